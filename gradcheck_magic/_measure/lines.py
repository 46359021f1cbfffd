"""J along a line through θ, on which any of the entries move together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing

__all__ = ["Along", "along_line"]

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
