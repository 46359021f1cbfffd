"""The textbook's pass: one central difference (J(θ+ε) − J(θ−ε)) / 2ε for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._inputs.parameters import DOUBLE, Parameter

__all__ = ["CLEAR", "TEXTBOOK_STEPS", "CentralDifferences", "default_step", "textbook_pass"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Single and half precision round θ and J so coarsely that only the step with the least total
# error, about (3 eps)^(1/3), is of use; double precision follows the textbook.
TEXTBOOK_STEPS = {8: 1e-7, 4: 5e-3, 2: 1e-1}


# A disagreement counts from so many bars on; what is between one and this is open.
CLEAR = 2.0


def default_step(itemsize: int) -> float:
    """Return the step ε for numbers of `itemsize` bytes: 1e-7 in double precision."""
    return TEXTBOOK_STEPS.get(itemsize, TEXTBOOK_STEPS[DOUBLE])


@dataclass
class CentralDifferences:
    """What was measured of some entries of θ, as far as it got.

    Attributes
    ----------
    epsilon : float
        The nominal step of the textbook's pass.
    cost_plus, cost_minus : ndarray
        J(θ + ε eᵢ) and J(θ − ε eᵢ) for each entry, nan where it was not measured.
    numerical, uncertainty : ndarray
        The best value known for each entry, and its error bar.
    low, high : ndarray
        The slopes on both sides of a kink on which θ sits; alike elsewhere.
    rounding : ndarray
        What rounding may have done to the analytic value.
    disputed : ndarray of bool
        Which entries look wrong, but not with enough steps.
    n_measured : int
        How many entries had their textbook difference; the first ones, in order.
    n_settled : int
        How many of these had the second look that they needed.
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
        """Nothing measured yet, of `size` entries."""
        plus, minus, numerical, uncertainty, low, high, rounding = np.full((7, size), np.nan)
        disputed = np.zeros(size, dtype=bool)
        return cls(epsilon, plus, minus, numerical, uncertainty, low, high, rounding, disputed)

    @property
    def shows_nothing(self) -> bool:
        """Whether every entry is zero, as far as can be told."""
        m = slice(self.n_measured)
        return bool(np.all(np.abs(self.numerical[m]) <= CLEAR * self.uncertainty[m]))

    def textbook(self) -> Vector:
        """Return (J(θ+ε) − J(θ−ε)) / 2ε, over the entries measured; nan where J is."""
        measured = slice(self.n_measured)
        with np.errstate(invalid="ignore", over="ignore"):  # inf − inf, or all but inf
            return (self.cost_plus[measured] - self.cost_minus[measured]) / (2 * self.epsilon)


def textbook_pass(
    differences: CentralDifferences,
    cost: Cost,
    parameter: Parameter,
    ks: Sequence[int] | None = None,
) -> None:
    """Measure the next entries, those of one parameter: 2 evaluations each.

    Parameters
    ----------
    ks : sequence of int, optional
        Which of them, as they count in C order; all, if not given.
    """
    ks = range(parameter.size) if ks is None else ks
    first = differences.n_measured
    part = slice(first, first + len(ks))
    # An error so near to θ is the user's to see; with a larger step it may be our own.
    quiet = differences.epsilon > TEXTBOOK_STEPS[DOUBLE]
    batch = EntryBatch(cost.position(parameter), ks, differences.epsilon, quiet)
    try:
        cost.fill(cost.own, batch, differences.cost_plus[part], differences.cost_minus[part])
    finally:
        # What was under way when something came up is known as far as it got.
        differences.n_measured = first + cost.n_filled
