"""A `StepCurve` in words, and as a picture in text."""

from __future__ import annotations

import numpy as np

from gradcheck_magic.step_curve import StepCurve

__all__ = ["curve_sentence", "curve_text"]


def curve_sentence(curve: StepCurve) -> str:
    return curve.label


def curve_text(curve: StepCurve) -> str:
    return curve.label
