"""The gradients under test: where they are among the values, and the verdicts about them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.names import named_after, plain
from gradcheck_magic._backward.nodes import Node, order, rounded
from gradcheck_magic._diagnosis.finding import ANY_NUMBER
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = [
    "SAME_TO",
    "TOO_VAGUE",
    "is_meant_for",
    "is_named",
    "is_right_as",
    "multiple_of",
    "multiples",
    "part_of",
    "pieces",
    "places",
    "verdict_of",
]

Vector = NDArray[np.float64]

# Slopes must agree within this part of their size, however narrow their error bars are.
SAME_TO = 1e-6
# A slope that is known no better than this part of the others is no evidence.
TOO_VAGUE = 1e-2


def is_named(node: Node, parameter: ParameterCheck) -> bool:
    """Return True if a value is called the gradient of a parameter, or as the parameter is."""
    name = node.bound.name
    return plain(parameter.name) in {plain(name), *named_after(name)}


def is_meant_for(node: Node, parameter: ParameterCheck) -> bool:
    """Return True if a value is called the gradient of a part of a parameter's name, at least.

    So it is for ``dgamma`` and ``gamma1``, or ``"gamma"`` and ``block0.gamma``.
    """
    whole, name = plain(parameter.name), node.bound.name
    parts = {plain(name), *named_after(name)} - {""}
    return any(whole.startswith(part) or whole.endswith(part) for part in parts)


def part_of(value: Vector, gradient: Vector) -> slice | None:
    """Return the part of a gradient that a value is."""
    n = len(value)
    if n == len(gradient):
        return slice(0, n) if np.array_equal(value, gradient) else None
    if n < 2 or n > len(gradient) or not np.any(value):  # noqa: PLR2004
        return None
    k = int(np.flatnonzero(value)[0])
    for start in (np.flatnonzero(gradient == value[k]) - k).tolist():
        if start >= 0 and np.array_equal(gradient[start : start + n], value):
            return slice(start, start + n)
    return None


def pieces(parts: dict[Node, slice], size: int) -> list[Node]:
    """Return the values of which a gradient was put together; none if they are not all of it."""
    last = {(part.start, part.stop): node for node, part in parts.items()}
    last.pop((0, size), None)
    end = 0
    for start, stop in sorted(last):
        if start != end:
            return []
        end = stop
    return order(last.values()) if end == size else []


def verdict_of(node: Node, check: GradientCheck) -> tuple[bool, float]:
    """Return if the gradient of a parameter is wrong, and its factor if it is a multiple."""
    if node.parameter is None:
        raise ValueError(node)
    start = node.parameter.start + node.part.start
    stop = node.parameter.start + node.part.stop
    here = (check.measured >= start) & (check.measured < stop)
    if not check.wrong[here].any():
        return False, 1.0 if np.any(
            np.abs(check.numerical[here]) > check.uncertainty[here] / TOO_VAGUE
        ) else math.nan
    if stop - start < min(node.parameter.size, ANY_NUMBER):
        # Any number is a multiple of any other.
        return True, math.nan
    known = here & np.isfinite(check.uncertainty)
    return True, multiple_of(
        check.analytic[known], check.numerical[known], check.uncertainty[known]
    )


def is_right_as(node: Node, value: Vector, check: GradientCheck) -> bool:
    """Return True if a value would be right as the gradient under test that a node is."""
    if node.parameter is None or len(value) != node.bound.size:
        return False
    start = node.parameter.start + node.part.start
    stop = node.parameter.start + node.part.stop
    here = (check.measured >= start) & (check.measured < stop) & np.isfinite(check.uncertainty)
    mine = value[check.measured[here] - start]
    measured = check.numerical[here]
    allowed = CLEAR * check.uncertainty[here] + SAME_TO * np.max(np.abs(measured), initial=0)
    return bool(np.all(np.abs(mine - measured) <= allowed))


def places(parameter: ParameterCheck, check: GradientCheck) -> slice:
    """Return where the measured entries of a parameter are among all of them."""
    ends = parameter.start, parameter.start + parameter.size
    return slice(*(int(end) for end in np.searchsorted(check.measured, ends)))


def multiples(parameter: ParameterCheck, check: GradientCheck) -> Callable[[Vector], float] | None:
    """Return what tells of which multiple of the gradient of a parameter a value is, if any."""
    here = places(parameter, check)
    known = np.isfinite(check.uncertainty[here])
    if known.sum() < min(parameter.size, ANY_NUMBER) or check.mode != "full":
        return None
    entries = check.measured[here][known] - parameter.start
    numerical, bar = check.numerical[here][known], check.uncertainty[here][known]
    return lambda value: multiple_of(value[entries], numerical, bar)


def multiple_of(analytic: Vector, numerical: Vector, bar: Vector) -> float:
    """Return c if values are c times the measured ones, within their error bars; else nan."""
    norm = float(numerical @ numerical)
    telling = np.abs(numerical) > bar / TOO_VAGUE
    if not norm or not telling.any():
        return math.nan
    factor = rounded(float(analytic @ numerical) / norm)
    off = np.abs(analytic - factor * numerical)
    allowed = CLEAR * abs(factor) * bar + SAME_TO * np.max(np.abs(analytic), initial=0)
    if not factor or not np.all(off <= allowed):
        return math.nan
    whole = {round(factor), 1 / (round(1 / factor) or 1)}
    return factor if telling.sum() >= ANY_NUMBER or factor in whole else math.nan
