"""What a family of costs provides, and one instance of it at one point."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Data = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A cost with its backward pass by hand, and where it can be made hard.

    The cost takes the module it computes with, NumPy or autograd's NumPy; the backward pass never
    sees autograd. Data holds arrays, `m` (the number of examples) and settings.
    """

    name: str
    make: Callable[[np.random.Generator, int], tuple[Arrays, Data]]
    cost: Callable[[Any, Arrays, Data], Any]
    backward: Callable[[Arrays, Data, str], Arrays]
    bugs: tuple[str, ...]
    weights: tuple[str, ...]
    biases: tuple[str, ...] = ()
    # Shifting these far away saturates the units they belong to.
    saturates: tuple[str, ...] = ()
    # The columns of this array of data can be given other units.
    columns: str = ""
    averaged: bool = True
    # Puts one kink at the given distance from the parameters, in place.
    plant: Callable[[Arrays, Data, float], None] | None = None
    # The true gradient of these is zero in theory, and rounding in practice.
    without_gradient: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A family's cost at one point, as its regime transforms it.

    A parameter θ stands for the family's p = c + u · (θ − c), with the unit u and the centre c.
    """

    family: Family
    params: Arrays
    data: Data
    scale: float = 1.0
    offset: float = 0.0
    decay: float = 0.0
    units: dict[str, float] = field(default_factory=dict)
    centres: Arrays = field(default_factory=dict)
    casts: bool = False
    returns: Callable[[Any], Any] | None = None
    kinked: bool = False

    def natural(self, params):
        """What the family's cost is to be called with."""
        p = {}
        for name, value in params.items():
            unit, centre = self.units.get(name), self.centres.get(name, 0.0)
            # Subtracted first: near the centre the difference is exact.
            p[name] = value if unit is None else centre + unit * (value - centre)
        if self.casts:
            p = {name: value.astype(np.float32) for name, value in p.items()}
        return p

    def decayed(self):
        """The names of what the regularisation holds."""
        return [name for name in self.family.weights if name in self.params]

    def value(self, xp, params):
        """Return the cost, computed with NumPy or autograd's NumPy."""
        p = self.natural(params)
        cost = self.family.cost(xp, p, self.data) * self.scale
        if self.decay:
            cost = cost + self.decay / 2 * sum(xp.sum(p[name] ** 2) for name in self.decayed())
        return cost + self.offset

    def cost(self, params):
        """Return the cost, as the user's function does."""
        # A step that is far too long gives inf or nan, and no warning.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            cost = self.value(np, params)
        return cost if self.returns is None else self.returns(cost)

    def gradient(self, bug="", decay_factor=1.0):
        """Return the gradient by hand, with a bug inside the backward pass if one is named."""
        p = self.natural(self.params)
        grads = self.family.backward(p, self.data, bug)
        grads = {name: grads[name] * self.scale for name in self.params}
        if self.decay:
            for name in self.decayed():
                grads[name] = grads[name] + self.decay * decay_factor * p[name]
        return {name: grad * self.units.get(name, 1.0) for name, grad in grads.items()}

    def in_double(self):
        """The same function at the same point, computed in double precision throughout."""
        return replace(
            self,
            params=cast(self.params, np.float64),
            data=cast(self.data, np.float64),
            casts=False,
            returns=None,
        )

    def with_tie(self, tie):
        """The same, with another derivative at the kink itself."""
        return replace(self, data={**self.data, "tie": tie})


def cast(values, dtype):
    """The same dict, with its floating-point arrays in another precision."""
    return {
        name: value.astype(dtype)
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
        else value
        for name, value in values.items()
    }
