"""A family of costs, and a problem: one cost of a family at one point."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .rounded import rounded

# The kinds of difficulty for which families and regimes were added to the first corpus.
LENGTH_SCALES = "length scales"
KINKS_MEET = "kinks that meet"
STOPS_EARLY = "solvers that stop early"
LOW_PRECISION = "low precision"
JUMPS = "jumps"
NEAR_LIMITS = "losses near their limits"
NO_CHAIN = "networks that are no chain"
KINDS = (
    LENGTH_SCALES,
    KINKS_MEET,
    STOPS_EARLY,
    LOW_PRECISION,
    JUMPS,
    NEAR_LIMITS,
    NO_CHAIN,
)

Arrays = dict[str, np.ndarray]
Data = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A cost with its handwritten backward pass, and the ways to make it hard to check.

    The cost gets the module to compute with, NumPy or autograd's NumPy; the backward pass never
    uses autograd. The data holds arrays, `m` (the number of examples) and settings.
    """

    name: str
    make: Callable[[np.random.Generator, int], tuple[Arrays, Data]]
    cost: Callable[[Any, Arrays, Data], Any]
    backward: Callable[[Arrays, Data, str], Arrays]
    bugs: tuple[str, ...]
    weights: tuple[str, ...]
    biases: tuple[str, ...] = ()
    # Shifting these parameters far away saturates their units.
    saturates: tuple[str, ...] = ()
    # The columns of this array of data can be measured in other units.
    columns: str = ""
    averaged: bool = True
    # Puts one kink at the given distance from the parameters, in place.
    plant: Callable[[Arrays, Data, float], None] | None = None
    # The true gradient of these parameters is zero in theory, and rounding noise in practice.
    without_gradient: tuple[str, ...] = ()
    # The kind of difficulty that the family was added for; none if it is of the first corpus.
    kind: str = ""
    # Whether its cost is smooth, in double precision, and well scaled.
    ordinary: bool = True
    # What the cost approximates, if it is a solver that stops early.
    exact: Callable[[Any, Arrays, Data], Any] | None = None
    # Several kinks meet at the parameters: right is what lies between the gradients near by.
    kinks_meet: bool = False
    # Lets several kinks meet at the parameters, in place.
    prune: Callable[[Arrays, Data, np.random.Generator], None] | None = None


@dataclass(frozen=True)
class Problem:
    """A family's cost at one point, transformed by a regime.

    A parameter θ stands for the family's p = c + u · (θ − c), with the unit u and the centre c, or
    for p = θ − s, with the shift s. Its length, if it is stated, is the distance of p over which
    the cost changes its shape.
    """

    family: Family
    params: Arrays
    data: Data
    scale: float = 1.0
    offset: float = 0.0
    decay: float = 0.0
    units: dict[str, float] = field(default_factory=dict)
    centres: Arrays = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)
    # The distance between neighbouring values of the cost, if it is rounded on purpose.
    granularity: float = 0.0
    casts: bool = False
    # How numbers are rounded inside the cost, and nowhere else: everywhere, or in products only.
    rounding: Callable[[np.ndarray], np.ndarray] | None = None
    products_only: bool = False
    # What is added to the cost, and has no slope: jumps.
    jumps: Callable[[Arrays], float] | None = None
    returns: Callable[[Any], Any] | None = None
    kinked: bool = False
    kinks_meet: bool = False

    def natural(self, params):
        """Return the parameters with which the family's cost is called."""
        p = {}
        for name, value in params.items():
            unit, centre = self.units.get(name), self.centres.get(name, 0.0)
            # The centre is subtracted first: near it the difference is exact.
            p[name] = value if unit is None else centre + unit * (value - centre)
            if name in self.shifts:
                p[name] = p[name] - self.shifts[name]
        if self.casts:
            p = {name: value.astype(np.float32) for name, value in p.items()}
        return p

    def decayed(self):
        """Return the names of the regularised parameters."""
        return [name for name in self.family.weights if name in self.params]

    def value(self, xp, params):
        """Return the cost, computed with NumPy or autograd's NumPy."""
        p, data = self.natural(params), self.data
        if self.rounding:
            p, data = (
                rounded(values, self.rounding, products_only=self.products_only)
                for values in (p, data)
            )
        cost = self.family.cost(xp, p, data) * self.scale
        if self.decay:
            cost = cost + self.decay / 2 * sum(xp.sum(p[name] ** 2) for name in self.decayed())
        return cost + (self.offset if self.jumps is None else self.offset + self.jumps(p))

    def cost(self, params):
        """Return the cost, as the user's function would."""
        # A step that is far too long gives inf or nan, without a warning.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            cost = self.value(np, params)
        return cost if self.returns is None else self.returns(cost)

    def gradient(self, bug="", decay_factor=1.0):
        """Return the handwritten gradient, with a bug inside the backward pass if one is named."""
        p = self.natural(self.params)
        grads = self.family.backward(p, self.data, bug)
        grads = {name: grads[name] * self.scale for name in self.params}
        if self.decay:
            for name in self.decayed():
                grads[name] = grads[name] + self.decay * decay_factor * p[name]
        return {name: grad * self.units.get(name, 1.0) for name, grad in grads.items()}

    def in_double(self):
        """Return the same problem, computed in double precision throughout, and exactly."""
        return replace(
            self,
            family=replace(self.family, cost=self.family.exact or self.family.cost),
            params=cast(self.params, np.float64),
            data=cast(self.data, np.float64),
            casts=False,
            rounding=None,
            jumps=None,
            returns=None,
        )

    def with_tie(self, tie):
        """Return the same problem with another derivative at the kink itself."""
        return replace(self, data={**self.data, "tie": tie})


def cast(values, dtype):
    """Return the same dict, with its floating-point arrays in another precision."""
    return {
        name: value.astype(dtype)
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
        else value
        for name, value in values.items()
    }
