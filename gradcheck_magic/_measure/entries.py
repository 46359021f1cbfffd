"""What is known of the entries that were measured, each by itself, in a full check or a scan."""

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
    """What is known of m entries, each an array of shape (m,).

    Attributes
    ----------
    positions : ndarray of int
        Which entries of `Pairing.indices`, in order.
    analytic : ndarray
        Their backpropagated values.
    textbook : ndarray
        The quotients over the nominal step: they give the differences, where they are finite.
    numerical, uncertainty : ndarray
        The best values known, and their error bars: they give the verdicts.
    rounding : ndarray
        What rounding may have done to the analytic values.
    low, high : ndarray
        The slopes on both sides of a kink on which θ sits; alike elsewhere.
    disputed : ndarray of bool
        Which of them look wrong, but not with enough steps.
    settled : ndarray of bool
        Which of them were measured as well as they needed to be.
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
        """Return what is known of the first entries of all."""
        m = differences.n_measured
        return cls(np.arange(m), pairing.analytic[:m], *_columns(differences))

    @classmethod
    def sampled(cls, pairing: Pairing, scan: Scan) -> Self:
        """Return what a scan measured entry by entry."""
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
        """Where θ sits on a kink."""
        return self.low < self.high

    def parts(self, pairing: Pairing) -> Iterator[tuple[Parameter, slice, NDArray[np.intp]]]:
        """Yield each checked parameter, where its entries stand here, and which of it they are."""
        for parameter, part in pairing.parts():
            start, stop = np.searchsorted(self.positions, (part.start, part.stop))
            here = slice(int(start), int(stop))
            yield parameter, here, self.positions[here] - part.start


def _columns(differences: CentralDifferences) -> tuple[NDArray[Any], ...]:
    """What was measured, and whether it is settled, as far as it got."""
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


# So that there is something to join.
NO_DIFFERENCES = CentralDifferences.planned(0, 1.0)
