"""One parameter as pictures: its errors, where they are, value against value, and the step."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradcheck_magic.close_up import CloseUp

__all__ = [
    "StepCurve",
    "error_map",
    "error_map_alt",
    "parameter_histogram",
    "parameter_histogram_alt",
    "scatter",
    "scatter_alt",
    "step_curve_alt",
    "step_curve_picture",
]

Vector = NDArray[np.float64]


class StepCurve(Protocol):
    """The error of one entry's central difference as a function of the step."""

    label: str
    steps: Vector
    errors: Vector
    roundoff: Vector
    truncation: Vector
    step: float
    bar: float


def parameter_histogram(close_up: CloseUp, *, color: str = "black") -> Figure: ...
def parameter_histogram_alt(close_up: CloseUp) -> str: ...
def error_map(close_up: CloseUp, *, color: str = "black") -> Figure: ...
def error_map_alt(close_up: CloseUp) -> str: ...
def scatter(close_up: CloseUp, *, color: str = "black") -> Figure: ...
def scatter_alt(close_up: CloseUp) -> str: ...
def step_curve_picture(curve: StepCurve, *, color: str = "black") -> Figure: ...
def step_curve_alt(curve: StepCurve) -> str: ...
