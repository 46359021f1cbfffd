"""J at other points than θ: near it on one line, beside it along one entry, and far from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._cost.evaluation import Evaluator
from gradcheck_magic._inputs.parameters import Parameters

__all__ = ["Precision", "Surroundings"]

Array = NDArray[Any]

# The relative distances from θ at which J is evaluated; the later ones are used if J is not finite
# at the first.
DISTANCES = (1e-2, 1e-4, 1e-6)


@dataclass(frozen=True, eq=False)
class Precision:
    """J around θ, in one floating-point precision.

    Attributes
    ----------
    binding : Binding
        The arguments of the function.
    value, noise : float
        J(θ), and the absolute error of one evaluation.
    eps : float
        The spacing of numbers next to 1, which is twice the unit roundoff of J.
    """

    binding: Binding
    value: float
    noise: float
    eps: float


@dataclass(eq=False)
class Surroundings:
    """J around θ, without warnings: nan where the function raises.

    Attributes
    ----------
    random : Generator
        The generator of the points.
    tell : callable
        A function that reports the progress.
    direction : ndarray
        The line along which every entry moves in proportion to its size.
    seen : dict
        J at the distances on the line at which it was evaluated last.
    """

    evaluator: Evaluator
    parameters: Parameters
    theta: Array
    random: np.random.Generator
    tell: Callable[[], object]
    seen: dict[float, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.direction = self.parameters.random_direction(self.theta, self.random)

    def at(
        self, binding: Binding, theta: Array, wrap: Callable[[Array], Array] | None = None
    ) -> float:
        """Return J at any other point."""
        with binding.moved_to(theta.__getitem__), self.evaluator.quiet():
            return self.evaluator.value_or_nan(binding, wrap)

    def along(self, binding: Binding, distance: float) -> float:
        """Return J at a distance from θ on the line, at the same point for every binding."""
        self.tell()
        start, line = self.theta, self.direction
        with (
            binding.moved_to(lambda part: start[part] + distance * line[part]),
            self.evaluator.quiet(),
        ):
            value = self.seen[distance] = self.evaluator.value_or_nan(binding)
        return value

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
        theta[i] += step * max(1.0, abs(theta[i]))
        return self.at(binding, theta)
