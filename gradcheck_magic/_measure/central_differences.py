"""The textbook's pass: one central difference (J(θ+ε) − J(θ−ε)) / 2ε for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch, Pair
from gradcheck_magic._inputs.parameters import DOUBLE, Parameter

__all__ = ["CLEAR", "TEXTBOOK_STEPS", "CentralDifferences", "default_step", "textbook_pass"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The textbook step for numbers of 8, 4 and 2 bytes, in the units of θ. Double precision follows the
# textbook. Single and half precision round θ and J so coarsely that only the step with the least
# total error, about (3 eps)^(1/3), is of use.
TEXTBOOK_STEPS = {8: 1e-7, 4: 5e-3, 2: 1e-1}


# A disagreement counts from this many error bars on; between one and this it remains open.
CLEAR = 2.0


def default_step(itemsize: int) -> float:
    """Return the step ε for numbers of `itemsize` bytes: 1e-7 in double precision."""
    return TEXTBOOK_STEPS.get(itemsize, TEXTBOOK_STEPS[DOUBLE])


@dataclass
class CentralDifferences:
    """The measurements of some entries of θ, as far as they got.

    Attributes
    ----------
    epsilon : float
        The nominal step of the textbook pass.
    cost_plus, cost_minus : ndarray
        J(θ + ε eᵢ) and J(θ − ε eᵢ) for each entry; nan if it was not measured.
    numerical, uncertainty : ndarray
        The best known value of each entry, and its error bar.
    low, high : ndarray
        The slopes on the two sides of a kink at θ; equal where there is none.
    rounding : ndarray
        A bound on the rounding error of the analytic value.
    disputed : ndarray of bool
        True for entries that look wrong, but on the evidence of too few steps.
    n_measured : int
        The number of entries whose textbook difference was measured: the first ones, in order.
    n_settled : int
        The number of these that have had any second look they needed.
    """

    epsilon: float
    cost_plus: Vector
    cost_minus: Vector
    numerical: Vector
    uncertainty: Vector
    low: Vector
    high: Vector
    rounding: Vector
    disputed: Mask
    n_measured: int = 0
    n_settled: int = 0

    @classmethod
    def planned(cls, size: int, epsilon: float) -> Self:
        """Return an empty table for `size` entries."""
        plus, minus, numerical, uncertainty, low, high, rounding = np.full((7, size), np.nan)
        disputed = np.zeros(size, dtype=bool)
        return cls(epsilon, plus, minus, numerical, uncertainty, low, high, rounding, disputed)

    @property
    def shows_nothing(self) -> bool:
        """True if every measured entry is zero within its error bar."""
        m = slice(self.n_measured)
        return bool(np.all(np.abs(self.numerical[m]) <= CLEAR * self.uncertainty[m]))

    def textbook(self) -> Vector:
        """Return (J(θ+ε) − J(θ−ε)) / 2ε for the measured entries; nan where J is nan."""
        measured = slice(self.n_measured)
        with np.errstate(invalid="ignore", over="ignore"):  # inf − inf, or almost inf
            return (self.cost_plus[measured] - self.cost_minus[measured]) / (2 * self.epsilon)


def textbook_pass(
    differences: CentralDifferences,
    cost: Cost,
    parameter: Parameter,
    ks: Sequence[int] | None = None,
) -> None:
    """Measure the next entries, which belong to one parameter, with 2 evaluations each.

    Parameters
    ----------
    ks : sequence of int, optional
        The positions of these entries in the parameter, in C order; all of them by default.
    """
    ks = range(parameter.size) if ks is None else ks
    # The user should see an error that occurs this close to θ. With a larger step, the error
    # may be our own doing.
    quiet = differences.epsilon > TEXTBOOK_STEPS[DOUBLE]
    batch = EntryBatch(cost.position(parameter), ks, differences.epsilon, quiet)

    def take(pair: Pair) -> None:
        # If the pass is interrupted, the entries evaluated by then are still known.
        i = differences.n_measured
        differences.cost_plus[i], differences.cost_minus[i] = pair
        differences.n_measured = i + 1

    cost.each_pair(cost.own, batch, take)
