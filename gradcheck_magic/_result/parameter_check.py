"""The result of a check for one parameter, and for its entries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.verdict import Verdict

__all__ = [
    "Entry",
    "ParameterCheck",
    "WrongRegion",
    "index_in",
    "index_of",
    "label",
    "relative_error",
    "severity",
    "worst_first",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


def index_of(k: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the `k`-th entry of an array, in C order."""
    return tuple(int(i) for i in np.unravel_index(k, shape))


def label(name: str, index: tuple[int, ...], output_axes: int = 0) -> str:
    """Return the label of an entry: ``W2[3, 1]``, or just ``b`` for a single number.

    The first indices of a block of a Jacobian may be those of its output: ``∂r[3]/∂x[1]``.
    """
    if output_axes:
        output, parameter = name.split("/∂", 1)
        parts = label(output, index[:output_axes]), label(parameter, index[output_axes:])
        return "/∂".join(parts)
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def index_in(text: str, name: str) -> tuple[int, ...] | None:
    """Return the index in a label of an entry of a parameter; None if it is no such label."""
    parts = name.split("/∂", 1) if name.startswith("∂") else [name]
    number = r"(?:\[(-?\d+(?:, *-?\d+)*)\])?"
    found = re.fullmatch("/∂".join(f"{re.escape(part)}{number}" for part in parts), text)
    if found is None:
        return None
    return tuple(int(i) for group in found.groups() if group for i in group.split(","))


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient.

    Attributes
    ----------
    label : str
        The label, such as ``W2[3, 1]``.
    index : tuple of int
        The index in the parameter; empty for a single number.
    analytic, numerical, uncertainty : float
        The backpropagated value, the measured one, and the error bar of the latter.
    """

    label: str
    index: tuple[int, ...]
    analytic: float
    numerical: float
    uncertainty: float

    @classmethod
    def at(
        cls,
        k: int,
        name: str,
        shape: tuple[int, ...],
        values: Iterable[float],
        output_axes: int = 0,
    ) -> Self:
        """Return the `k`-th entry of a parameter, in C order."""
        index = index_of(k, shape)
        return cls(label(name, index, output_axes), index, *map(float, values))


@dataclass(frozen=True)
class WrongRegion:
    """A part of a parameter with too many wrong entries to list them.

    Attributes
    ----------
    label : str
        The label, such as ``W1[3, :]``.
    size : int
        The number of entries in it.
    n_wrong, n_tried : int
        The number of measured entries that are wrong, and the number of measured entries.
    box : tuple of (int, int)
        The start and the stop of the region along each axis.
    """

    label: str
    size: int
    n_wrong: int
    n_tried: int
    box: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ParameterCheck:
    """The result of a check for one parameter.

    Attributes
    ----------
    name, shape, size : str, tuple of int, int
        The parameter's name, shape and number of entries.
    verdict : Verdict
        The verdict on this parameter alone.
    difference : float
        ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂), over the entries of this parameter that have a
        difference quotient; `approx` is the textbook's quotient, with the nominal step. After a
        scan, it is an estimate; nan if nothing was measured. If a scan was stopped early, it may be
        a lower bound.
    n_measured, n_wrong : int
        The number of entries that were measured individually, and the number that disagree.
    worst : Entry or None
        The entry with the largest error; None if no entry was measured.
    start : int
        The position of the parameter's first entry in θ.
    difference_uncertainty : float
        The spread of `difference`, if it is an estimate; inf if that is a lower bound.
    is_scanned : bool
        True if a scan looked at all its entries at once.
    largest : float
        The largest absolute value of both gradients; after a scan, of the analytic one.
    typical : float
        After a scan, the root mean square of the analytic gradient.
    detectable : float
        The smallest detectable error of an entry: a larger one would have been listed as wrong in
        nine of ten measured entries. After a scan, it would have been found in any single entry
        with probability 0.999, provided that it is also more than 2e-5 of the entry.
    regions : tuple of WrongRegion
        After a scan, the regions with too many wrong entries to list them.
    gradient_shape : tuple of int
        The shape of its gradient as it was given, which may differ by axes of length 1.
    output_axes : int
        The number of axes that are those of the output, in a block of a Jacobian.
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
    gradient_shape: tuple[int, ...] = ()
    output_axes: int = 0

    @property
    def updated_shape(self) -> tuple[int, ...] | None:
        """The shape of the parameter minus its gradient; None if both cannot be broadcast."""
        with suppress(ValueError):
            return np.broadcast_shapes(self.shape, self.gradient_shape)
        return None

    @property
    def keeps_shape(self) -> bool:
        """True if an update by the gradient does not change the shape of the parameter."""
        return self.updated_shape == self.shape


# As a decorator, it is also undone if Ctrl-C strikes between the last line and the end of a `with`.
@np.errstate(invalid="ignore")
def relative_error(numerical: NDArray[Any], analytic: NDArray[Any]) -> Vector:
    """Return |numerical − analytic| / (|numerical| + |analytic|) for each entry.

    It is 0 if both are zero, at most 1, and nan if one of them is not finite.
    """
    # Both values are halved, because the sum of two huge entries would overflow.
    scale = np.abs(numerical / 2) + np.abs(analytic / 2)
    relative: Vector = np.where(scale == 0, 0.0, np.nan)
    np.divide(np.abs(numerical / 2 - analytic / 2), scale, out=relative, where=scale > 0)
    return relative


def severity(analytic: Vector, numerical: Vector, wrong: Mask) -> Vector:
    """Rank each entry by its error: a wrong one above all that rounding noise explains.

    Entries whose analytic value is not finite rank highest, and unmeasured ones lowest.
    """
    error = np.where(np.isfinite(numerical), relative_error(numerical, analytic), -1.0)
    return np.where(np.isfinite(analytic), error + 2.0 * wrong, np.inf)


def worst_first(analytic: Vector, numerical: Vector, wrong: Mask, most: int) -> NDArray[np.intp]:
    """Return the positions of the worst entries by `severity`, at most `most` of them."""
    return np.argsort(-severity(analytic, numerical, wrong), kind="stable")[:most]
