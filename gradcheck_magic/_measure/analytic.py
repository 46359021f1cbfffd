"""The gradient under test, parameter by parameter, and what rounding may have done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter

__all__ = ["ROUNDING", "Analytic", "gradient_under_test", "largest_entry"]

Vector = NDArray[np.float64]

# What backpropagation may lose by rounding, in units of the largest gradient in the parameter.
ROUNDING = 32.0
AMPLIFIED = 64.0
SINGLE_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Analytic:
    """The gradient under test, of one parameter.

    Attributes
    ----------
    parameter : Parameter
        Whose it is.
    gradient : ndarray
        Its values, flat.
    largest : float
        The largest of those that are finite, by size.
    rounding : float
        What rounding may have done to any of them.
    """

    parameter: Parameter
    gradient: Vector
    largest: float
    rounding: float


def gradient_under_test(pairing: Pairing, i: int, cost: Cost) -> Analytic:
    """Return the gradient of the i-th parameter that is checked."""
    gradient = pairing.gradients[i]
    largest = largest_entry(gradient)
    rounding = _gradient_rounding(largest, pairing.gradient_eps[i], cost)
    return Analytic(pairing.checked[i], gradient, largest, rounding)


def _gradient_rounding(largest: float, eps: float, cost: Cost) -> float:
    """Return what rounding may have done to any entry of a backpropagated gradient.

    Parameters
    ----------
    largest : float
        The largest entry of one parameter's, by size.
    eps : float
        Of the precision in which it was given.
    cost : Cost
        What rounding does to it, it does to the gradient as well.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.float64(cost.own.noise) / cost.scale
    most = max(SINGLE_EPS, AMPLIFIED * cost.own.eps)
    amplified = min(float(relative), most) if np.isfinite(relative) else 0.0
    return float(ROUNDING * max(eps, amplified) * largest)


def largest_entry(gradient: Vector) -> float:
    """Return the largest of the finite entries, by size."""
    finite = np.isfinite(gradient)
    most = np.max(gradient, initial=0.0, where=finite)
    least = np.min(gradient, initial=0.0, where=finite)
    return float(max(most, -least))
