"""The verdicts, and the relative difference that the textbook judges by."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LISTED", "THRESHOLDS", "Verdict", "relative_difference", "textbook_verdict"]

Vector = NDArray[np.float64]

# The textbook's thresholds: correct below the first, worth inspecting below the second. Above the
# third, which is only a mark for the reader, nobody doubts that there is a bug.
THRESHOLDS = (1e-7, 1e-5, 1e-3)

# The least error, as a fraction of the entry, that is called wrong: twice the threshold, because
# the relative error divides by the sum of both values.
LISTED = 2 * THRESHOLDS[1]


class Verdict(Enum):
    """The verdict on a gradient; the value is the sentence that a person reads.

    Attributes
    ----------
    CORRECT
        Every entry agrees within its error bar, and the error bars are small: at most a thousandth
        of the parameter's largest entry, or a twentieth in single precision.
    INSPECT
        Some entries disagree beyond their error bars, but by a relative error
        |numerical − analytic| / (|numerical| + |analytic|) of less than 1e-5. Or all agree, but a
        gradient has a shape with which an update would fail, or change that of its parameter: if
        ``db`` is (8,) and ``b`` is (8, 1), ``b - lr * db`` becomes (8, 8).
    BUG
        Some entries disagree beyond their error bars by more than that, or are nan or infinite; or
        the gradient is clearly off along a random direction, in a scan, or along the errors of all
        entries, where noise hides that of each.
    INCONCLUSIVE
        Nothing disagrees, but some entries could not be measured precisely enough; `reasons` says
        why, and what to do. Or what disagrees may be what a solver leaves that stops early.
    """

    CORRECT = "Backpropagation is correct."
    INSPECT = "Backpropagation is mostly correct, but worth inspecting."
    BUG = "There is a bug in backpropagation."
    INCONCLUSIVE = "The finite differences cannot tell."

    @property
    def symbol(self) -> str:
        """A symbol for the verdict that does not rely on colour."""
        return {"CORRECT": "✓", "INSPECT": "!", "BUG": "✗", "INCONCLUSIVE": "?"}[self.name]


def relative_difference(numerical: NDArray[Any], analytic: NDArray[Any]) -> float:
    """Return ‖numerical − analytic‖₂ / (‖numerical‖₂ + ‖analytic‖₂), or 0.0 if both are zero.

    It is nan if an entry is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        if scale == 0:
            return 0.0
        if np.isinf(scale):
            # The squares of huge entries overflow; the ratio is the same in smaller units.
            unit = max(np.abs(numerical).max(), np.abs(analytic).max())
            numerical, analytic = numerical / unit, analytic / unit
            scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        return float(np.linalg.norm(numerical - analytic) / scale)


def textbook_verdict(difference: float) -> Verdict:
    """Return the textbook's verdict on a difference."""
    correct, inspect, _ = THRESHOLDS
    if difference < correct:
        return Verdict.CORRECT
    return Verdict.INSPECT if difference < inspect else Verdict.BUG
