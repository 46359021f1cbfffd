"""The table of entries that were measured individually, in a full check or a scan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.central_differences import CentralDifferences
from gradcheck_magic._measure.scan import Scan

__all__ = ["MeasuredEntries"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredEntries:
    """A table of m measured entries; each column is an array of shape (m,).

    Attributes
    ----------
    positions : ndarray of int
        The positions of the entries in `Pairing.indices`, in ascending order.
    analytic : ndarray
        The backpropagated values.
    textbook : ndarray
        The quotients with the nominal step. The difference is computed from those that are finite.
    numerical, uncertainty : ndarray
        The best known values, and their error bars. The verdict is based on these.
    rounding : ndarray
        A bound on the rounding error of the analytic values.
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
    low: Vector
    high: Vector
    disputed: Mask
    settled: Mask

    @classmethod
    def first(cls, pairing: Pairing, differences: CentralDifferences) -> Self:
        """Return the table after a full check, which measures the entries in order."""
        m = differences.n_measured
        return cls(np.arange(m), pairing.analytic[:m], *_columns(differences))

    @classmethod
    def sampled(cls, pairing: Pairing, scan: Scan) -> Self:
        """Return the table of the entries that a scan measured individually."""
        positions: list[int] = []
        batches: list[CentralDifferences] = []
        for each, (_, part) in zip(scan.parameters, pairing.parts(), strict=True):
            positions += [part.start + k for k in each.sampled.ks]
            batches += each.sampled.batches
        order = np.argsort(positions)
        columns = zip(*map(_columns, [NO_DIFFERENCES, *batches]), strict=True)
        where = np.array(positions, dtype=np.intp)[order]
        return cls(where, pairing.at(where), *(np.concatenate(c)[order] for c in columns))

    @property
    def kinked(self) -> Mask:
        """True for entries where θ sits on a kink."""
        return self.low < self.high

    def parts(self, pairing: Pairing) -> Iterator[tuple[Parameter, slice, NDArray[np.intp]]]:
        """Yield each checked parameter, its rows in this table, and their positions in it."""
        for parameter, part in pairing.parts():
            start, stop = np.searchsorted(self.positions, (part.start, part.stop))
            here = slice(int(start), int(stop))
            yield parameter, here, self.positions[here] - part.start


def _columns(differences: CentralDifferences) -> tuple[NDArray[Any], ...]:
    """Return the columns for all entries measured so far, and which of them are settled."""
    m = slice(differences.n_measured)
    settled = np.arange(differences.n_measured) < differences.n_settled
    return (
        differences.textbook(),
        differences.numerical[m],
        differences.uncertainty[m],
        differences.rounding[m],
        differences.low[m],
        differences.high[m],
        differences.disputed[m],
        settled,
    )


# This gives `np.concatenate` something to join where a scan measured no entry individually.
NO_DIFFERENCES = CentralDifferences.planned(0, 1.0)
