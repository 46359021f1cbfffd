"""The table of entries that were measured individually, in a full check or a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.ladder import Estimate, Rungs

__all__ = ["MeasuredEntries"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MeasuredEntries:
    """A table of m entries; each column is an array of shape (m,), filled as they are measured.

    Attributes
    ----------
    positions : ndarray of int
        The positions of the entries in `Pairing.indices`.
    analytic : ndarray
        The backpropagated values.
    textbook : ndarray
        The quotients with the nominal step. The difference is computed from those that are finite.
    numerical, uncertainty : ndarray
        The best known values, and their error bars. The verdict is based on these. An error bar is
        nan until its entry is measured.
    rounding : ndarray
        A bound on the rounding error of the analytic values.
    of_all : ndarray
        The largest entry of the whole gradient under test, as it compares with this one.
    low, high : ndarray
        The slopes on the two sides of a kink at θ; equal where there is none.
    disputed : ndarray of bool
        True for entries that look wrong, but on the evidence of too few steps.
    settled : ndarray of bool
        True for entries that were measured as well as they needed to be.
    """

    positions: NDArray[np.intp]
    analytic: Vector
    textbook: Vector
    numerical: Vector
    uncertainty: Vector
    rounding: Vector
    of_all: Vector
    low: Vector
    high: Vector
    disputed: Mask
    settled: Mask

    @classmethod
    def planned(
        cls, positions: NDArray[np.intp], analytic: Vector, rounding: float, of_all: float = 0.0
    ) -> Self:
        """Return a table of entries that are still to be measured."""
        m = len(positions)
        textbook, numerical, uncertainty, low, high = np.full((5, m), np.nan)
        known = positions, analytic, textbook, numerical, uncertainty
        same_for_all = np.full(m, rounding), np.full(m, of_all)
        return cls(*known, *same_for_all, low, high, *np.zeros((2, m), dtype=bool))

    @classmethod
    def joined(cls, tables: Iterable[Self]) -> Self:
        """Return what was measured of the entries of several tables, in the order of θ."""
        # A table of millions of entries, most of them still planned, is not copied.
        parts = [table.rows(np.flatnonzero(table.is_measured)) for table in tables]
        parts = parts or [cls.planned(np.arange(0), np.zeros(0), 0.0)]
        names = [field.name for field in fields(cls)]
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        whole = parts[0] if len(parts) == 1 else cls(*columns)
        if np.all(whole.positions[1:] >= whole.positions[:-1]):
            return whole
        return whole.rows(np.argsort(whole.positions, kind="stable"))

    def rows(self, which: NDArray[np.intp]) -> Self:
        """Return some rows as a table of their own."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def n_settled(self) -> int:
        """The number of entries that were measured as well as they needed to be."""
        return int(np.count_nonzero(self.settled & self.is_measured))

    @property
    def is_measured(self) -> Mask:
        """True for entries that were measured, well or not."""
        return ~np.isnan(self.uncertainty)

    @property
    def shows_nothing(self) -> bool:
        """True if every measured entry is zero within its error bar."""
        zero = np.abs(self.numerical) <= CLEAR * self.uncertainty
        return bool(np.all(zero | ~self.is_measured))

    @property
    def is_off(self) -> Mask:
        """True for entries that look wrong: off by much more than their error bar, undisputed."""
        with np.errstate(invalid="ignore"):
            off = np.abs(self.analytic - self.numerical)
            return (off > CLEAR * (self.uncertainty + self.rounding)) & ~self.disputed

    @property
    def kinked(self) -> Mask:
        """True for entries where θ sits on a kink."""
        return self.low < self.high

    def blurred(self, blur: float, pairing: Pairing) -> Self:
        """Return a copy whose bars are at least this part of the largest entry of a parameter."""
        bars = self.uncertainty.copy()
        for _, part, _ in self.parts(pairing):
            largest = np.max(np.abs(self.numerical[part]), initial=0.0)
            bars[part] = np.maximum(bars[part], blur * largest)
        return replace(self, uncertainty=bars)

    def parts(self, pairing: Pairing) -> Iterator[tuple[Parameter, slice, NDArray[np.intp]]]:
        """Yield each checked parameter, its rows in this table, and their positions in it."""
        ends = np.searchsorted(self.positions, pairing.starts).tolist()
        for (parameter, part), (start, stop) in zip(pairing.parts(), pairwise(ends), strict=True):
            here = slice(start, stop)
            yield parameter, here, self.positions[here] - part.start

    def store(self, first: Rungs, wider: float = 1.0) -> None:
        """Fill the first rows with central differences, and bars this much wider than the noise."""
        rows = slice(len(first))
        for column in (self.numerical, self.low, self.high):
            column[rows] = first.central
        self.uncertainty[rows] = wider * first.bar

    def store_estimate(self, k: int, estimate: Estimate) -> None:
        """Fill the k-th row."""
        self.numerical[k] = estimate.nearest(float(self.analytic[k]))
        self.uncertainty[k] = estimate.bar
        self.low[k], self.high[k] = estimate.low, estimate.high
