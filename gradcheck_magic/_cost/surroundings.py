"""J at other points than θ: near it on one line, beside it along one entry, and far from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._cost.evaluation import Evaluator
from gradcheck_magic._cost.noise import NearbyCosts
from gradcheck_magic._inputs.parameters import random_direction

__all__ = ["Surroundings"]

Array = NDArray[Any]

# The relative distances from θ at which J is evaluated; the later ones are used if J is not finite
# at the first.
DISTANCES = (1e-2, 1e-4, 1e-6)


@dataclass(eq=False)
class Surroundings:
    """J around θ, without warnings: nan where the function raises.

    Attributes
    ----------
    evaluator : Evaluator
        The user's function.
    theta : ndarray
        θ as one vector.
    random : Generator
        The generator of the points.
    tell : callable
        A function that reports the progress.
    direction : ndarray
        The line along which every entry moves in proportion to its size.
    """

    evaluator: Evaluator
    theta: Array
    random: np.random.Generator
    tell: Callable[[], object]

    def __post_init__(self) -> None:
        self.direction = random_direction(self.theta, self.random)

    def at(
        self, binding: Binding, theta: Array, wrap: Callable[[Array], Array] | None = None
    ) -> float:
        """Return J at any other point."""
        with binding.at(theta):
            return self.evaluator.quiet_value(binding, wrap)

    def along(self, binding: Binding, distance: float) -> float:
        """Return J at a distance from θ on the line, at the same point for every binding."""
        self.tell()
        with binding.along(self.direction, distance):
            return self.evaluator.quiet_value(binding)

    def nearest_finite(self, bindings: Sequence[Binding]) -> tuple[float, list[float]]:
        """Return the first distance from θ at which J is finite for every binding, and its values.

        If there is none, it is the last distance.
        """
        for distance in DISTANCES:
            values = [self.along(binding, distance) for binding in bindings]
            if np.all(np.isfinite(values)):
                break
        return distance, values

    def beside(self, binding: Binding, i: int, step: float) -> float:
        """Return J with one entry of θ moved by a step in units of max(1, |entry|)."""
        # θ in single precision may be passed in double.
        theta = np.array(self.theta, dtype=np.result_type(self.theta, np.float64))
        here = float(theta[i])
        theta[i] = here + step * max(1.0, abs(here))
        return self.at(binding, theta)

    def of(self, binding: Binding, value: float) -> NearbyCosts:
        """Return J around θ, where it has a given value, as the noise is measured from it."""
        along, beside = partial(self.along, binding), partial(self.beside, binding)
        return NearbyCosts(along, beside, len(self.theta), value, self.random)
