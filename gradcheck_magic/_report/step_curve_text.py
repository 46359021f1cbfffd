"""A `StepCurve` in words, and as a picture made of text."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
# The width of the picture, and its marks; later marks cover earlier ones.
WIDTH = 48
ROUNDOFF_MARK, TRUNCATION_MARK, ERROR_MARK = "·", "+", "●"


def curve_sentence(curve: StepCurve) -> str:
    """Return the description of a curve in a few sentences."""
    return " ".join(_sentences(curve))


def _sentences(curve: StepCurve) -> Iterator[str]:
    if curve.changed:
        verb = "has" if len(curve.changed) == 1 else "have"
        what = listed(curve.changed, code=False)
        yield (
            f"{_capital(what)} {verb} changed since the check: this curve is of the current values."
        )
    if not np.any(np.isfinite(curve.values)):
        yield _not_finite(curve)
        return
    if not math.isfinite(curve.analytic):
        yield f"The gradient is {curve.analytic} here: there is nothing to compare."
        return
    yield _main(curve)
    ending = _end_of_domain(curve)
    if ending is not None:
        yield f"From ε = {_size(ending)} upwards the cost is not finite."


def _main(curve: StepCurve) -> str:
    off = abs(curve.analytic - curve.best)
    if curve.on_kink:
        return _kink(curve)
    if _is_flat(curve):
        return _flat(curve)
    if curve.wrong:
        return _wrong(curve, off)
    if not curve.bar <= curve.enough:
        return _too_noisy(curve)
    if off > CLEAR * (curve.bar + curve.rounding):
        return _nearly_correct(curve, off)
    return _correct(curve, off)


def _not_finite(curve: StepCurve) -> str:
    if math.isfinite(curve.best):
        return (
            f"The cost is finite on only one side of θ, whatever the step: the slope there is "
            f"{curve.best:.6g}, and the gradient is {curve.analytic:.6g}."
        )
    return (
        "The cost is not finite on either side of θ, whatever the step: there is no difference to "
        "compare with."
    )


def _kink(curve: StepCurve) -> str:
    fits = (
        f"the gradient is {curve.analytic:.6g}, which is not between them: it is wrong"
        if curve.wrong
        else f"the gradient, {curve.analytic:.6g}, is between them, and any such value is correct"
    )
    return (
        f"θ sits on a kink: the slope of the cost is {curve.low:.6g} on one side and "
        f"{curve.high:.6g} on the other, however small the step; {fits}."
    )


def _is_flat(curve: StepCurve) -> bool:
    finite = np.isfinite(curve.values)
    return curve.best == 0 and not np.any(curve.values[finite])


def _flat(curve: StepCurve) -> str:
    top = _size(curve.steps[np.isfinite(curve.values)][-1])
    says = "zero too" if curve.analytic == 0 else f"{curve.analytic:.6g}"
    return f"The cost does not change at any step up to ε = {top}, and the gradient is {says}."


def _wrong(curve: StepCurve, off: float) -> str:
    first, last = map(_size, _plateau(curve, off))
    never = "no choice of step would make the two agree"
    round_off, truncation = _at_used(curve)
    if round_off + truncation > FAR_BELOW * off:
        return (
            f"{_opening(curve)}; the error of {_size(off)} cannot be seen there. From {first} to "
            f"{last} it is the same at every step: {never}."
        )
    which = "both are far below" if truncation else "the noise is far below"
    return (
        f"{_opening(curve)}; {which} the error of {_size(off)}, which stays the same at every step "
        f"from {first} to {last}: {never}."
    )


def _nearly_correct(curve: StepCurve, off: float) -> str:
    return (
        f"{_opening(curve)}. The error falls to {_size(off)} and no further. That is more than the "
        f"error bar of {_size(curve.bar)}, but only {_size(off / abs(curve.best))} of the entry."
    )


def _too_noisy(curve: StepCurve) -> str:
    i = _best_step(curve)
    noisy = (
        "Rounding noise dominates at every step: "
        if curve.roundoff[i] > curve.truncation[i]
        else ""
    )
    known = (
        f"all steps together give the entry to ± {_size(curve.bar)}"
        if math.isfinite(curve.bar)
        else "no step is confirmed by others"
    )
    return (
        f"{_opening(curve)}. {_capital(noisy + known)}, and the gradient is "
        f"{curve.analytic:.6g}. That is not precise enough to tell if it is correct."
    )


def _correct(curve: StepCurve, off: float) -> str:
    is_right = f"The gradient is correct, and {_quality(curve)}"
    if off > CLEAR * curve.bar:
        return (
            f"{_opening(curve)}. The error falls to {_size(off)} and no further, which the "
            f"rounding of the gradient itself explains. {is_right}."
        )
    i = _best_step(curve)
    return (
        f"{_opening(curve)}. The error falls to {_size(curve.errors[i])} at ε = "
        f"{_size(curve.steps[i])} and {_growth(curve, i)}. {is_right}."
    )


def _growth(curve: StepCurve, i: int) -> str:
    """Say how the error grows on both sides of the best step."""
    jump = _jump(curve)
    if jump is not None:
        return (
            f"grows to the left, as rounding noise does; from {_size(curve.steps[jump])} upwards "
            "it is larger than that and does not grow as ε²: there is a kink or a sharp bend nearby"
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
    if not math.isfinite(apart):
        return f"{step} was too large: the cost is not finite there"
    if max(apart, round_off) <= curve.enough or curve.used == _best_step(curve):
        return f"{step} was good enough"
    return f"{step} was too {'small' if round_off > apart / 2 else 'large'} a step"


def _opening(curve: StepCurve) -> str:
    if curve.used is None:
        return f"A step of ε = {_size(curve.step)} does not change θ"
    if not math.isfinite(curve.values[curve.used]):
        return f"At ε = {_size(curve.step)} the cost is not finite"
    round_off, truncation = _at_used(curve)
    term = (
        f"the truncation error is {_size(truncation)}"
        if truncation
        else "there is no truncation error"
    )
    return f"At ε = {_size(curve.step)} the rounding noise is {_size(round_off)} and {term}"


def _at_used(curve: StepCurve) -> tuple[float, float]:
    """Return the rounding noise and truncation error at the used step, or infinity and zero."""
    if curve.used is None:
        return math.inf, 0.0
    return float(curve.roundoff[curve.used]), float(curve.truncation[curve.used])


def _expected(curve: StepCurve) -> Vector:
    """Return the largest error to expect if the gradient is correct."""
    return curve.roundoff + curve.truncation


def _best_step(curve: StepCurve) -> int:
    """Return the index of the step with the least error that is not small by luck alone."""
    apart = np.abs(curve.values - curve.low)
    return int(np.argmin(np.where(np.isfinite(apart), np.fmax(apart, _expected(curve)), np.inf)))


def _plateau(curve: StepCurve, off: float) -> tuple[float, float]:
    """Return the smallest and the largest step around the best one with the same error."""
    same = np.abs(curve.errors - off) <= FAR_BELOW * off
    first = last = _best_step(curve)
    while first > 0 and same[first - 1]:
        first -= 1
    while last + 1 < len(same) and same[last + 1]:
        last += 1
    return float(curve.steps[first]), float(curve.steps[last])


def _jump(curve: StepCurve) -> int | None:
    """Return the index of the first step with an unexplained error, if there is one.

    If there is a truncation error, the excess at the largest steps is of higher order, and no jump.
    """
    if np.any(curve.truncation):
        return None
    explained = _expected(curve) + curve.bar + curve.rounding
    beyond = np.flatnonzero(curve.errors > UNEXPLAINED * explained)
    return int(beyond[0]) if beyond.size else None


def _end_of_domain(curve: StepCurve) -> float | None:
    """Return the step from which the cost is not finite, if there is one."""
    finite = np.flatnonzero(np.isfinite(curve.values))
    end = finite[-1] + 1
    return float(curve.steps[end]) if end < len(curve.steps) else None


def _size(value: float) -> str:
    """Return a step or an error with the two or three digits that matter."""
    return f"{value:.2g}" if value < 100 else f"{value:.3g}"  # noqa: PLR2004 (three digits)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:] if text[0] != "θ" else text


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
        (
            f"  {ERROR_MARK} error, {ROUNDOFF_MARK} rounding noise, {TRUNCATION_MARK} truncation "
            "error, * the step used"
        ),
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


def _range(curve: StepCurve, rows: list[int]) -> tuple[int, int]:
    """Return the powers of ten between which all shown values lie."""
    shown = np.concatenate([column[rows] for column in _columns(curve)])
    exponents = np.log10(shown[np.isfinite(shown) & (shown > 0)])
    if not exponents.size:
        return -1, 0
    # An error far below the noise at the largest step is small by accident, and is not shown.
    least = np.min(curve.roundoff) / 100
    low = max(exponents.min(), math.log10(least) if least > 0 else -np.inf)
    return math.floor(low), max(math.ceil(exponents.max()), math.floor(low) + 1)


def _columns(curve: StepCurve) -> tuple[Vector, Vector, Vector]:
    return curve.roundoff, curve.truncation, curve.errors


def _line(curve: StepCurve, i: int, low: int, high: int) -> str:
    cells = [" "] * (WIDTH + 1)
    for column, mark in zip(
        _columns(curve), (ROUNDOFF_MARK, TRUNCATION_MARK, ERROR_MARK), strict=True
    ):
        value = column[i]
        if math.isfinite(value) and value > 0:
            at = round(WIDTH * (math.log10(value) - low) / (high - low))
            if at >= 0:
                cells[at] = mark
    used = "*" if i == curve.used else " "
    value = f"{curve.values[i]:.8g}" if math.isfinite(curve.values[i]) else "not finite"
    error = (
        f"{curve.errors[i]:.1e}" if curve.errors[i] > 0 else ("0" if not curve.errors[i] else "")
    )
    return f"{used}{curve.steps[i]:8.1e} {value:>15} {error:>8} |{''.join(cells)}".rstrip()
