"""The verdicts, and the difference by which the textbook judges."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LISTED", "THRESHOLDS", "Verdict", "relative_difference", "textbook_verdict"]


Vector = NDArray[np.float64]


# The bands of the textbook code: correct below the first, worth inspecting below the second; the
# third is a mark for the reader, above which nobody doubts a bug.
THRESHOLDS = (1e-7, 1e-5, 1e-3)


# An entry that is off by this part of itself has the relative error that is called wrong, which is
# in units of both values.
LISTED = 2 * THRESHOLDS[1]


class Verdict(Enum):
    """What the numbers say; the value is the sentence that a person reads.

    Attributes
    ----------
    CORRECT
        Every entry agrees within its error bar, and the bars are small: a thousandth of the
        parameter's largest entry, or a twentieth in single precision.
    INSPECT
        Some entries disagree beyond their bars, by a relative error
        |numerical − analytic| / (|numerical| + |analytic|) of less than 1e-5.
    BUG
        Some entries disagree beyond their bars by more, or are nan or infinite.
    INCONCLUSIVE
        Nothing disagrees, and something could not be measured well enough; `reasons` tell why, and
        what to do.
    """

    CORRECT = "Backpropagation is correct."
    INSPECT = "Backpropagation is mostly correct, but worth inspecting."
    BUG = "There is a bug in backpropagation."
    INCONCLUSIVE = "The finite differences cannot tell."

    @property
    def symbol(self) -> str:
        """A mark that does not rely on colour."""
        return {"CORRECT": "✓", "INSPECT": "!", "BUG": "✗", "INCONCLUSIVE": "?"}[self.name]


def relative_difference(numerical: NDArray[Any], analytic: NDArray[Any]) -> float:
    """‖numerical − analytic‖₂ / (‖numerical‖₂ + ‖analytic‖₂), and 0.0 where both are zero.

    It is nan where an entry is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        if scale == 0:
            return 0.0
        if np.isinf(scale):
            # The squares of huge entries overflow: the ratio itself is the same in smaller units.
            unit = max(np.abs(numerical).max(), np.abs(analytic).max())
            numerical, analytic = numerical / unit, analytic / unit
            scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        return float(np.linalg.norm(numerical - analytic) / scale)


def textbook_verdict(difference: float) -> Verdict:
    """Return what the textbook says of a difference."""
    correct, inspect, _ = THRESHOLDS
    if difference < correct:
        return Verdict.CORRECT
    return Verdict.INSPECT if difference < inspect else Verdict.BUG
