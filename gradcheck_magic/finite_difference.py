"""The numerical gradient entry by entry, with an error bar on each.

First the textbook's pass. Round-off, e_J/ε, is its error wherever J is of ordinary curvature, and
the noise e_J of the cost is known: so most entries are settled by it. Those that are not, and only
those, have a second look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.cost import Cost
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.second_look import Analytic, SecondLook
from gradcheck_magic.textbook import CentralDifferences, textbook_pass

__all__ = ["ROUNDING", "gradient_under_test", "largest_entry", "measure", "measure_parameter"]

Vector = NDArray[np.float64]

# What backpropagation may lose by rounding, in units of the largest gradient in the parameter.
ROUNDING = 32.0
AMPLIFIED = 64.0
SINGLE_EPS = float(np.finfo(np.float32).eps)


def _gradient_rounding(gradient: Vector, eps: float, cost: Cost) -> float:
    """Return what rounding may have done to any entry of a backpropagated gradient.

    Parameters
    ----------
    gradient : ndarray
        Of one parameter.
    eps : float
        Of the precision in which it was given.
    cost : Cost
        What rounding does to it, it does to the gradient as well.
    """
    largest = largest_entry(gradient)
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


def measure(differences: CentralDifferences, cost: Cost, pairing: Pairing) -> None:
    """Measure every checked entry, parameter by parameter.

    Parameters
    ----------
    differences : CentralDifferences
        What is filled, entry by entry: it holds what is known if this is interrupted.
    cost : Cost
        Entered as a context manager.
    pairing : Pairing
        What is to be measured, in the order of `pairing.indices`.
    """
    cost.expected = cost.n_evaluations + 2 * pairing.size
    for i in range(len(pairing.checked)):
        measure_parameter(differences, cost, gradient_under_test(pairing, i, cost))


def gradient_under_test(pairing: Pairing, i: int, cost: Cost) -> Analytic:
    """Return the gradient of the i-th parameter that is checked."""
    gradient = pairing.gradients[i]
    rounding = _gradient_rounding(gradient, pairing.gradient_eps[i], cost)
    return Analytic(pairing.checked[i], gradient, rounding)


def measure_parameter(
    differences: CentralDifferences,
    cost: Cost,
    analytic: Analytic,
    ks: Sequence[int] | None = None,
    *,
    aim: float = math.inf,
) -> None:
    """Measure the next entries, those of one parameter.

    Parameters
    ----------
    ks : sequence of int, optional
        Which of the entries, as they count in C order; all, if not given.
    aim : float
        The error bar that each is to have at most, if that can be had.
    """
    ks = range(analytic.parameter.size) if ks is None else ks
    entries = SecondLook(differences, cost, analytic, ks, aim=aim)
    try:
        textbook_pass(differences, cost, analytic.parameter, ks)
    finally:
        entries.take()
    entries.settle()
    differences.n_settled = differences.n_measured
