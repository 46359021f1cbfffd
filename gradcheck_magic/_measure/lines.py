"""J along a line through θ, on which any of the entries move together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.ladder import Rung, Rungs
from gradcheck_magic._measure.refine import noise_of_pair

__all__ = ["Along", "along_line", "rung_along"]

Vector = NDArray[np.float64]
# J at a distance from θ.
Along = Callable[[float], float]


def along_line(cost: Cost, pairing: Pairing, move: Vector) -> Along:
    """Return J along a line, given the move of each entry to check per unit of distance."""
    theta = pairing.parameters.theta().astype(np.float64)
    moves = np.zeros_like(theta)
    moves[pairing.indices] = move

    def at(distance: float) -> float:
        return cost.at(theta + distance * moves)

    return at


def rung_along(along: Along, step: float, precision: Precision) -> Rung:
    """Return the rung of a step along a line, given J at θ and its noise."""
    minus, plus, taken = (np.array([x]) for x in (along(-step), along(step), step))
    costs, noise = (minus, precision.value, plus), noise_of_pair(precision, plus, minus)
    return Rungs.measured(costs, (taken, taken), noise)[0]
