"""One gradient under test, together with the truth about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .seeable import confirmable, visible

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """A cost, a point, a gradient that may be wrong, and the true derivative.

    `lower` and `upper` are equal where the cost is differentiable; at a kink they are the two
    one-sided slopes, and where kinks meet the least and the greatest slope near by. Any value
    between them is correct. `kind` is the difficulty that the family or the regime was added for;
    `lengths` are the distances, where they are stated, over which the cost changes its shape, and
    `granularity` is that of its values, if they are rounded on purpose.
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
    kind: str = ""
    lengths: dict[str, float] = field(default_factory=dict)
    granularity: float = 0.0

    @property
    def name(self) -> str:
        """A name like `lstm | offset 1e8 | 0 | opposite sign of W`; no last part if correct."""
        parts = (self.family, self.regime, str(self.seed), self.bug)
        return " | ".join(part for part in parts if part)

    @property
    def size(self) -> int:
        """The number of entries."""
        return sum(value.size for value in self.params.values())

    def error(self) -> float:
        """Return the largest relative distance of an entry of the gradient from the truth.

        A distance counts as zero if it is as small as rounding in the gradient's own precision,
        relative to the largest gradient of its parameter; or, if the parameter has no gradient at
        all, relative to the largest gradient of any parameter.
        """
        return max(float(relative_distance(self, name).max()) for name in self.params)

    def seeable(self) -> bool:
        """Return True if finite differences could tell at all; the rule is in `seeable.py`."""
        return self._seeable

    @cached_property
    def _seeable(self):
        return visible(self) if self.bug else confirmable(self)


def relative_distance(case, name):
    """Return each entry's distance from the truth, relative to its size; 0 between the slopes."""
    grad = np.asarray(case.grads[name], dtype=float)
    nearest = np.clip(grad, case.lower[name], case.upper[name])
    distance, size = np.abs(grad - nearest), np.abs(grad) + np.abs(nearest)
    distance[distance <= rounding(case, name)] = 0
    return np.divide(distance, size, out=np.zeros_like(distance), where=distance > 0)


def rounding(case, name):
    """Return the distance from the truth that rounding explains."""
    largest = magnitude(case.lower[name], case.upper[name])
    if largest == 0:
        largest = max(magnitude(case.lower[each], case.upper[each]) for each in case.params)
    return float(np.finfo(case.grads[name].dtype).eps) ** 0.75 * largest


def magnitude(lower, upper):
    """Return the largest slope of a parameter."""
    return float(np.maximum(np.abs(lower), np.abs(upper)).max())
