"""A `StepCurve` in words, and as a picture made of text."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._wording import listed

__all__ = ["curve_sentence", "curve_text"]

Vector = NDArray[np.float64]

# Noise is far below an error if it is at most this part of it. An error stays the same if it
# changes by at most this part.
FAR_BELOW = 0.1
# An error is unexplained if it is more than this many times the expected one.
UNEXPLAINED = 8.0
# The width of the picture.
WIDTH = 48


def curve_sentence(curve: StepCurve) -> str:
    """Return the description of a curve in a few sentences."""
    changed = ""
    if curve.changed:
        verb = "has" if len(curve.changed) == 1 else "have"
        what = listed(curve.changed, code=False)
        changed = f"Since the check, {what} {verb} changed: this curve is of the current values. "
    return changed + _description(curve)


def _description(curve: StepCurve) -> str:
    finite = np.isfinite(curve.values)
    if not finite.any() and math.isfinite(curve.best):
        return (
            "The cost is finite on only one side of θ, whatever the step: the slope there is "
            f"{curve.best:.6g}, and the gradient is {curve.analytic:.6g}."
        )
    if not finite.any():
        return "The cost is not finite on either side of θ: there is nothing to compare."
    if not math.isfinite(curve.analytic):
        return f"The gradient is {curve.analytic} here: there is nothing to compare."
    off = abs(curve.analytic - curve.best)
    if curve.on_kink:
        told = _kink(curve)
    elif curve.best == 0 and not np.any(curve.values[finite]):
        told = (
            f"The cost does not change at any step up to ε = {_size(curve.steps[finite][-1])}, and "
            f"the gradient is {curve.analytic:z.6g}."
        )
    elif curve.wrong:
        told = f"{_opening(curve)}; {_wrong(curve, off)}"
    elif not curve.bar <= curve.enough:
        told = f"{_opening(curve)}. {_too_noisy(curve)}"
    else:
        told = f"{_opening(curve)}. The error falls to {_correct(curve, off)}"
    end = np.flatnonzero(finite)[-1] + 1
    if end < len(finite):
        told += f" From ε = {_size(curve.steps[end])} upwards the cost is not finite."
    return told


def _kink(curve: StepCurve) -> str:
    fits = "not between them: it is wrong"
    if not curve.wrong:
        fits = "between them, and any such value is correct"
    return (
        f"θ sits on a kink: the slope of the cost is {curve.low:.6g} on one side and "
        f"{curve.high:.6g} on the other, however small the step; the gradient, "
        f"{curve.analytic:.6g}, is {fits}."
    )


def _wrong(curve: StepCurve, off: float) -> str:
    first = last = _best_step(curve)
    same = np.abs(curve.errors - off) <= FAR_BELOW * off
    while first > 0 and same[first - 1]:
        first -= 1
    while last + 1 < len(same) and same[last + 1]:
        last += 1
    k = curve.used
    is_clear = k is not None and curve.roundoff[k] + curve.truncation[k] <= FAR_BELOW * off
    return (
        f"the error of {_size(off)} {'is far above that' if is_clear else 'cannot be seen there'}. "
        f"From {_size(curve.steps[first])} to {_size(curve.steps[last])} it is the same at every "
        "step: no choice of step would make the two agree."
    )


def _too_noisy(curve: StepCurve) -> str:
    i = _best_step(curve)
    known = "no step is confirmed by others"
    if math.isfinite(curve.bar):
        known = f"all steps together give the entry to ± {_size(curve.bar)}"
    if curve.roundoff[i] > curve.truncation[i]:
        known = f"rounding noise dominates at every step: {known}"
    return (
        f"{known.capitalize()}, and the gradient is {curve.analytic:.6g}. That is not precise "
        "enough to tell if it is correct."
    )


def _correct(curve: StepCurve, off: float) -> str:
    if off > CLEAR * (curve.bar + curve.rounding):
        return (
            f"{_size(off)} and no further. That is more than the error bar of {_size(curve.bar)}, "
            f"but only {_size(off / abs(curve.best))} of the entry."
        )
    i = _best_step(curve)
    falls = f"{_size(curve.errors[i])} at ε = {_size(curve.steps[i])} and {_growth(curve, i)}"
    if off > CLEAR * curve.bar:
        falls = f"{_size(off)} and no further, which the rounding of the gradient itself explains"
    return f"{falls}. The gradient is correct, and {_quality(curve)}."


def _growth(curve: StepCurve, i: int) -> str:
    """Say how the error grows on both sides of the best step."""
    if not np.any(curve.truncation):
        explained = curve.roundoff + curve.bar + curve.rounding
        beyond = curve.steps[curve.errors > UNEXPLAINED * explained]
        if beyond.size:
            return (
                f"grows to the left, as rounding noise does; from {_size(beyond[0])} upwards it is "
                "larger than that and does not grow as ε²: there is a kink or a sharp bend nearby"
            )
    if not curve.truncation[i]:
        return "grows only to the left, as rounding noise does"
    if i == 0:
        return "grows only to the right, as truncation error does"
    return "grows on both sides, as rounding noise (left) and truncation error (right) do"


def _quality(curve: StepCurve) -> str:
    """Say if the step that was used was a good one."""
    step = _size(curve.step)
    if curve.used is None:
        return f"{step} is too small to change θ"
    apart, round_off = abs(curve.values[curve.used] - curve.low), curve.roundoff[curve.used]
    if max(apart, round_off) <= curve.enough or curve.used == _best_step(curve):
        return f"{step} was good enough"
    return f"{step} was too {'small' if round_off > apart / 2 else 'large'} a step"


def _opening(curve: StepCurve) -> str:
    """Return the size of both terms at the step that was used."""
    if curve.used is None:
        return f"A step of ε = {_size(curve.step)} does not change θ"
    if not math.isfinite(curve.values[curve.used]):
        return f"At ε = {_size(curve.step)} the cost is not finite"
    noise, truncation = _size(curve.roundoff[curve.used]), curve.truncation[curve.used]
    term = f"the truncation error is {_size(truncation)}"
    if not truncation:
        term = "there is no truncation error"
    return f"At ε = {_size(curve.step)} the rounding noise is {noise} and {term}"


def _best_step(curve: StepCurve) -> int:
    """Return the index of the step with the least error that is not small by luck alone."""
    apart, expected = np.abs(curve.values - curve.low), curve.roundoff + curve.truncation
    return int(np.argmin(np.where(np.isfinite(apart), np.fmax(apart, expected), np.inf)))


def _size(value: float) -> str:
    """Return a step or an error with the two or three digits that matter."""
    return f"{value:.2g}" if value < 100 else f"{value:.3g}"  # noqa: PLR2004 (three digits)


# The picture


def curve_text(curve: StepCurve) -> str:
    """Return a table with one step per decade, and its error drawn on a logarithmic scale."""
    rows = _rows(curve)
    low, high = _range(curve, rows)
    value = f"{curve.best:.8g} ± {curve.bar:.1g}"
    lines = [
        f"{curve.label}: gradient {curve.analytic:.8g}, numerical {value}",
        "",
        f"{'ε':>9} {'difference':>15} {'error':>8}  1e{low:<{WIDTH - 4}}1e{high}",
        *(_line(curve, i, low, high) for i in rows),
        "  ● error, · rounding noise, + truncation error, * the step used",
        "",
        curve.sentence,
    ]
    return "\n".join(lines)


def _rows(curve: StepCurve) -> list[int]:
    """Return the index of one step per decade; the used step is one of them."""
    anchor = curve.steps[curve.used] if curve.used is not None else curve.step
    exponents = np.log10(curve.steps / anchor)
    decades = np.round(exponents)
    return [
        int(np.argmin(np.where(decades == decade, np.abs(exponents - decade), np.inf)))
        for decade in np.unique(decades)
    ]


def _marks(curve: StepCurve) -> dict[str, Vector]:
    """Return the values to draw, by their marks; later marks cover earlier ones."""
    return {"·": curve.roundoff, "+": curve.truncation, "●": curve.errors}


def _range(curve: StepCurve, rows: list[int]) -> tuple[int, int]:
    """Return the powers of ten between which all shown values lie."""
    shown = np.concatenate([values[rows] for values in _marks(curve).values()])
    exponents = np.log10(shown[np.isfinite(shown) & (shown > 0)])
    if not exponents.size:
        return -1, 0
    # An error far below the noise at the largest step is small by accident, and is not shown.
    least = np.min(curve.roundoff) / 100
    low = max(exponents.min(), math.log10(least) if least > 0 else -np.inf)
    return math.floor(low), max(math.ceil(exponents.max()), math.floor(low) + 1)


def _line(curve: StepCurve, i: int, low: int, high: int) -> str:
    cells = [" "] * (WIDTH + 1)
    for mark, values in _marks(curve).items():
        if math.isfinite(values[i]) and values[i] > 0:
            at = round(WIDTH * (math.log10(values[i]) - low) / (high - low))
            if at >= 0:
                cells[at] = mark
    used = "*" if i == curve.used else " "
    value, error = "not finite", ""
    if math.isfinite(curve.values[i]):
        value, error = f"{curve.values[i]:.8g}", f"{curve.errors[i]:.1e}"
    return f"{used}{curve.steps[i]:8.1e} {value:>15} {error:>8} |{''.join(cells)}".rstrip()
