"""One gradient under test, and what is known to be true about it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .seeable import confirmable, visible

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """A cost, a point, a gradient that may be wrong, and the true derivative.

    `lower` and `upper` are equal where the cost is differentiable; at a kink they are the two
    one-sided slopes, and whatever lies between them is right.
    """

    family: str
    regime: str
    bug: str
    seed: int
    params: Arrays
    grads: Arrays
    cost: Callable[[Arrays], Any]
    lower: Arrays
    upper: Arrays
    ordinary: bool

    @property
    def name(self) -> str:
        """Such as `lstm | offset 1e8 | 0 | opposite sign of W`; without the last part if right."""
        parts = (self.family, self.regime, str(self.seed), self.bug)
        return " | ".join(part for part in parts if part)

    @property
    def size(self) -> int:
        """The number of entries."""
        return sum(value.size for value in self.params.values())

    def error(self) -> float:
        """How wrong the gradient is: the largest relative distance of an entry from the truth.

        Distances as small as the rounding of the arithmetic the gradient was computed in,
        compared with its parameter, are none; for a parameter that has no gradient at all, they
        are compared with the largest gradient there is.
        """
        return max(float(relative_distance(self, name).max()) for name in self.params)

    def seeable(self) -> bool:
        """Whether finite differences could tell at all: the rule is in `seeable.py`."""
        return self._seeable

    @cached_property
    def _seeable(self):
        return visible(self) if self.bug else confirmable(self)


def relative_distance(case, name):
    """How far each entry is from the truth, in units of its size; 0 where inside."""
    grad = np.asarray(case.grads[name], dtype=float)
    nearest = np.clip(grad, case.lower[name], case.upper[name])
    distance, size = np.abs(grad - nearest), np.abs(grad) + np.abs(nearest)
    distance[distance <= rounding(case, name)] = 0
    return np.divide(distance, size, out=np.zeros_like(distance), where=distance > 0)


def rounding(case, name):
    """The distance from the truth that the arithmetic explains."""
    largest = magnitude(case.lower[name], case.upper[name])
    if largest == 0:
        largest = max(magnitude(case.lower[each], case.upper[each]) for each in case.params)
    return float(np.finfo(case.grads[name].dtype).eps) ** 0.75 * largest


def magnitude(lower, upper):
    """The largest slope of a parameter."""
    return float(np.maximum(np.abs(lower), np.abs(upper)).max())
