"""What was found of one parameter's gradient, and of its entries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.verdict import Verdict

__all__ = [
    "Entry",
    "ParameterCheck",
    "WrongRegion",
    "index_of",
    "label",
    "relative_error",
    "severity",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


def index_of(k: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Index of the `k`-th entry of an array, in C order."""
    return tuple(int(i) for i in np.unravel_index(k, shape))


def label(name: str, index: tuple[int, ...]) -> str:
    """What to call an entry: ``W2[3, 1]``, and ``b`` where it is a single number."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient.

    Attributes
    ----------
    label : str
        ``W2[3, 1]``.
    index : tuple of int
        Its index in its parameter; empty for a number.
    analytic, numerical, uncertainty : float
        The backpropagated value, the measured one, and the error bar of the latter.
    """

    label: str
    index: tuple[int, ...]
    analytic: float
    numerical: float
    uncertainty: float


@dataclass(frozen=True)
class WrongRegion:
    """A part of a parameter in which entries are wrong, too many to be listed.

    Attributes
    ----------
    label : str
        ``W1[3, :]``.
    size : int
        How many entries it has.
    n_wrong, n_tried : int
        How many of those that were measured are wrong, and how many were measured.
    """

    label: str
    size: int
    n_wrong: int
    n_tried: int


@dataclass(frozen=True)
class ParameterCheck:
    """The gradient of one parameter.

    Attributes
    ----------
    name, shape, size : str, tuple of int, int
        What it is called, and how large it is.
    verdict : Verdict
        On this parameter alone.
    difference : float
        ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂), over the entries of this parameter that have a
        quotient; `approx` is the textbook's, over the nominal step. After a scan, an estimate.
    n_measured, n_wrong : int
        How many entries were measured by themselves, and how many of these disagree.
    worst : Entry or None
        The entry that is furthest off; None where none was measured.
    start : int
        The position of its first entry in θ.
    difference_uncertainty : float
        The spread of `difference`, where it is an estimate.
    is_scanned : bool
        Whether a scan looked at all its entries at once.
    largest, typical : float
        After a scan, the largest of its analytic values, by size, and their root mean square.
    detectable : float
        After a scan, the size of an error of a single entry that it would have found, if it is
        more than 2e-5 of the entry.
    regions : tuple of WrongRegion
        After a scan, where entries are wrong that are too many to be listed.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    verdict: Verdict
    difference: float
    n_measured: int
    n_wrong: int
    worst: Entry | None
    start: int = 0
    difference_uncertainty: float = 0.0
    is_scanned: bool = False
    largest: float = math.nan
    typical: float = math.nan
    detectable: float = math.nan
    regions: tuple[WrongRegion, ...] = ()


def relative_error(numerical: NDArray[Any], analytic: NDArray[Any]) -> Vector:
    """|numerical − analytic| / (|numerical| + |analytic|) for each entry.

    It is 0 where both are zero, at most 1, and nan where one of them is not finite.
    """
    # Halves, because the sum of two huge entries overflows.
    scale = np.abs(numerical / 2) + np.abs(analytic / 2)
    relative: Vector = np.where(scale == 0, 0.0, np.nan)
    with np.errstate(invalid="ignore"):
        np.divide(np.abs(numerical / 2 - analytic / 2), scale, out=relative, where=scale > 0)
    return relative


def severity(analytic: Vector, numerical: Vector, wrong: Mask) -> Vector:
    """How far off each entry is, for ranking: a wrong one before all that round-off explains.

    First come entries whose analytic value is not finite, last those that were not measured.
    """
    error = np.where(np.isfinite(numerical), relative_error(numerical, analytic), -1.0)
    return np.where(np.isfinite(analytic), error + 2.0 * wrong, np.inf)
