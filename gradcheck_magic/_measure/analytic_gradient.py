"""The gradient under test, one parameter at a time, and how much of it may be rounding error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing, largest_entry
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._inputs.precision import BFLOAT16, FLOAT16, eps_of

__all__ = ["Analytic", "gradient_under_test", "rounding_part"]

Vector = NDArray[np.float64]

# The rounding error that backpropagation may leave in an entry, in units of the largest entry of
# its parameter times the relative precision of the gradient: that entry and the sums that lead to
# it are rounded many times. In bfloat16 only the results of sums are rounded: all libraries add up
# in float32.
ROUNDING = 32.0
ROUNDING_OF_BFLOAT16 = 4.0
# The most of the largest entry that rounding may be, whatever amplifies it: a factor of 2 must show
# in any precision.
MOST_AMPLIFIED = 0.1
# The least distance of two numbers in float16: what is rounded to multiples of it may be small.
LEAST_HALF = float(np.finfo(np.float16).smallest_subnormal)
# Where J is noisier than its own precision, rounding is amplified on the way to J, and so it is on
# the way back. That is granted to the gradient up to this many times the precision of J, in units
# of its eps, or up to the eps of single precision if that is larger: a very noisy J must not
# excuse everything.
AMPLIFIED = 64.0
SINGLE_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Analytic:
    """The gradient under test for one parameter, flat in C order.

    Attributes
    ----------
    start : int
        The position of its first entry in `Pairing.indices`.
    largest : float
        The largest absolute value among its finite entries.
    of_all : float
        The same for the whole gradient, in units that compare with this parameter.
    rounding : float
        A bound on the rounding error of any entry.
    """

    parameter: Parameter
    start: int
    gradient: Vector
    largest: float
    of_all: float
    rounding: float


def rounding_part(eps: float) -> float:
    """Return the rounding error of a gradient of some precision, as a part of its largest entry."""
    return _roundings(eps) * eps


def _roundings(eps: float) -> float:
    return ROUNDING if eps < eps_of(BFLOAT16) else ROUNDING_OF_BFLOAT16


def gradient_under_test(pairing: Pairing, i: int, cost: Cost) -> Analytic:
    """Return the gradient of the i-th checked parameter.

    Rounding that makes J noisy affects the gradient as well.
    """
    gradient = pairing.gradients[i]
    largest = largest_entry(gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.float64(cost.own.noise) / cost.scale
    most = max(SINGLE_EPS, AMPLIFIED * cost.own.eps)
    amplified = min(float(relative), most) if np.isfinite(relative) else 0.0
    eps = pairing.gradient_eps[i]
    least = LEAST_HALF if eps == eps_of(FLOAT16) else 0.0
    roundings = _roundings(max(eps, cost.own.eps))
    rounding = min(roundings * max(eps, amplified), MOST_AMPLIFIED) * largest + roundings * least
    known = pairing.checked[i], pairing.starts[i], gradient
    return Analytic(*known, largest, pairing.largest_beside[i], rounding)
