"""Sentences that explain the verdict, and notes on anything else that a reader should know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.evaluation import OutOfTime
from gradcheck_magic._diagnosis.evidence import NAMED_ENTRIES, Evidence
from gradcheck_magic._diagnosis.scan_reasons import scan_reasons
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.ladder import NOISE_DEVIATIONS
from gradcheck_magic._result.parameter_check import relative_error
from gradcheck_magic._result.verdict import Verdict, textbook_verdict
from gradcheck_magic._wording import listed

__all__ = ["notes", "reasons"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The noise of an ordinary sum, in units of the rounding of its result. More noise than that has
# another origin than the size of the cost.
ORDINARY_NOISE = 100.0
# An analytic value smaller than this fraction of its error bar counts as zero.
ZERO = 1e-2
# A cost that exceeds its gradient by this factor hides it in rounding noise.
LARGE_COST = 1e4


def reasons(evidence: Evidence) -> Iterator[str]:
    """Yield the reasons for the verdict, where the difference alone does not explain it."""
    measurement, is_cut_short = evidence.measurement, evidence.is_cut_short
    if is_cut_short:
        is_late = isinstance(evidence.stopped, OutOfTime)
        yield f"{'The budget was used up' if is_late else 'Interrupted'}: {measurement.so_far}"
    if measurement.scan is not None:
        told = list(scan_reasons(evidence, measurement.scan))
        yield from told
        if evidence.verdict is Verdict.INCONCLUSIVE and not (told or is_cut_short):
            yield from _inconclusive(evidence)
        return
    if is_cut_short:
        return
    if evidence.verdict is Verdict.INSPECT and not evidence.diagnoses:
        yield from _slightly_off(evidence)
    if evidence.verdict is Verdict.INCONCLUSIVE:
        yield from _inconclusive(evidence)
    elif evidence.verdict is not textbook_verdict(evidence.comparison.difference[0]):
        yield _why_not_textbook(evidence)


def notes(evidence: Evidence) -> Iterator[str]:
    """Yield notes on anything else that is unusual about the numbers or the point."""
    yield from _precision(evidence)
    yield from _kinks(evidence)
    yield from _nothing_compared(evidence)
    yield from _symmetric(evidence)


# Reasons to inspect a gradient


def _slightly_off(evidence: Evidence) -> Iterator[str]:
    """Yield the size of the error, and the usual causes of one so small."""
    slightly = {
        p.name: float(relative_error(np.array(p.worst.numerical), np.array(p.worst.analytic)))
        for p in evidence.comparison.parameters
        if p.verdict is Verdict.INSPECT and p.worst is not None
    }
    if not slightly:
        return
    names, off = listed(slightly, NAMED_ENTRIES), max(slightly.values())
    yield (
        f"{names} {'has' if len(slightly) == 1 else 'have'} relative errors of up to "
        f"{off:.0e}: more than the error bars allow, but less than most bugs cause. Look for a "
        "constant with few digits, such as 3.1416, and for a computation in single precision."
    )


# Reasons for an inconclusive verdict


def _inconclusive(evidence: Evidence) -> Iterator[str]:
    unknown, cost = evidence.comparison.unknown, evidence.cost
    analytic_is_zero = np.abs(evidence.measured.analytic) <= ZERO * evidence.measured.uncertainty
    if not unknown.any() or np.all(
        analytic_is_zero & (np.abs(evidence.measured.numerical) <= evidence.measured.uncertainty)
    ):
        yield _stationary(evidence)
        return
    lost = ~np.isfinite(evidence.measured.numerical)
    if lost.any():
        yield (
            f"`{cost.name}` is not finite near {evidence.labels(lost)}, or every step there is too "
            f"small for floating point or too large for the cost: "
            f"{'that entry' if lost.sum() == 1 else 'these entries'} cannot be checked. Check at "
            "another point."
        )
    unknown = unknown & ~lost
    if unknown.any():
        yield _too_wide(evidence, unknown)


def _stationary(evidence: Evidence) -> str:
    if not (evidence.measured.numerical.any() or any(map(np.any, evidence.pairing.gradients))):
        return "Both gradients are zero everywhere: there is nothing to compare."
    bar = float(np.max(evidence.measured.uncertainty, initial=0.0))
    if evidence.measurement.scan is not None:
        bar = max(bar, evidence.measurement.scan.detectable)
    return (
        f"The gradient is zero here, to within {bar:.1e}: a wrong gradient that vanishes at a "
        "minimum would look the same. Check at another point, such as the start of training."
    )


def _too_wide(evidence: Evidence, unknown: Mask) -> str:
    """Return what limits the error bars, and what to do about it."""
    cost, names = evidence.cost, evidence.names(unknown)
    precision = cost.best
    bar = float(np.max(evidence.measured.uncertainty[unknown]))
    size = float(np.max(np.abs(evidence.measured.numerical[unknown])))
    known = f"the numerical gradient of {names}, at most {size:.1e}, is known only to {bar:.1e}"
    carries = f"`{cost.name}` is {precision.value:.3g} and has noise of {precision.noise:.1e}"
    if evidence.is_single and precision is cost.own:
        return f"{carries}, in single precision: {known}. Compute the cost in float64."
    rounding = precision.eps / 2 * abs(precision.value)
    if precision.noise > ORDINARY_NOISE * rounding:
        return (
            f"{carries}, far more than float64 causes: {known}. Look for rounding, a computation "
            "in lower precision, a solver that stops early, or large terms that cancel."
        )
    if abs(precision.value) > LARGE_COST * size:
        return (
            f"{carries}: {known}. Subtract the constant part of the cost, check a smaller batch, "
            "or check at a point where the gradient is larger."
        )
    return (
        f"`{cost.name}` has kinks, jumps or sharp bends very close to {evidence.labels(unknown)}: "
        f"{known}. "
        "Move the parameters a little, or scale them to about 1; also look for rounding, such as "
        "that of 1 − a where a is nearly 1."
    )


# Reasons for a verdict that differs from the textbook's


def _why_not_textbook(evidence: Evidence) -> str:
    difference, _ = evidence.comparison.difference
    if evidence.verdict is Verdict.CORRECT:
        return _why_correct(evidence, difference)
    if evidence.verdict is Verdict.BUG:
        return _why_bug(evidence, difference)
    mask = evidence.comparison.inspect
    worst = _worst_error(evidence, mask)
    return (
        f"{evidence.labels(mask)} {'disagrees' if mask.sum() == 1 else 'disagree'} beyond "
        f"{'its error bar' if mask.sum() == 1 else 'their error bars'}, with a relative error of "
        f"up to {worst:.1e}; the difference of {difference:.1e} "
        + ("hides it." if difference < worst else "is mostly rounding noise.")
    )


def _why_correct(evidence: Evidence, difference: float) -> str:
    cost, measured = evidence.cost, evidence.measured
    epsilon = evidence.measurement.epsilon
    agree = "with other steps, every entry agrees within its error bar"
    if evidence.is_single:
        return (
            f"The difference of {difference:.1e} comes from single precision: `{cost.name}` is "
            f"{cost.value:.3g}, with rounding noise of {cost.noise:.1e}; {agree}."
        )
    kinked = measured.kinked
    if kinked.any():
        return (
            f"The difference of {difference:.1e} comes from {evidence.labels(kinked)}, where θ "
            f"is at a kink of `{cost.name}`: there, the gradient lies between the slopes on both "
            "sides; it agrees everywhere else."
        )
    textbook = measured.textbook
    expected = NOISE_DEVIATIONS * cost.noise / epsilon * np.sqrt(len(textbook))
    if np.linalg.norm(textbook - evidence.measured.analytic) <= expected:
        return (
            f"The difference of {difference:.1e} is rounding noise: `{cost.name}` is "
            f"{cost.value:.3g}, with rounding noise of {cost.noise:.1e}, which a step of "
            f"{epsilon:g} magnifies; {agree}."
        )
    return (
        f"The difference of {difference:.1e} comes from the textbook's step: for some entries, "
        f"{epsilon:g} is too large, crosses a kink, or is lost in the rounding of "
        f"`{cost.name}`; {agree}."
    )


def _why_bug(evidence: Evidence, difference: float) -> str:
    mask = evidence.comparison.wrong
    part, whole = (
        float(np.linalg.norm(evidence.measured.numerical[m])) for m in (mask, mask | True)
    )
    share = f", {part / whole:.0e} of the whole gradient," if 0 < part < whole else ""
    has = "has a relative error" if mask.sum() == 1 else "have relative errors"
    return (
        f"{evidence.labels(mask)}{share} {has} of up to {_worst_error(evidence, mask):.1e}, far "
        f"beyond the error bars; the difference over all parameters, {difference:.1e}, hides it."
    )


def _worst_error(evidence: Evidence, mask: Mask) -> float:
    off = np.abs(evidence.measured.analytic[mask] - evidence.measured.numerical[mask])
    sizes = np.maximum(
        np.abs(evidence.measured.analytic[mask]), np.abs(evidence.measured.numerical[mask])
    )
    return float(np.max(off / sizes))


# Notes on what is unusual


def _precision(evidence: Evidence) -> Iterator[str]:
    cost = evidence.cost
    if not evidence.is_single:
        return
    library = evidence.pairing.parameters.library
    default = f", {library.default}" if library and library.default else ""
    step = f"{evidence.measurement.epsilon:g}"
    sentence = f"Single precision (float{8 * cost.itemsize}{default}): the step is {step}, "
    if cost.best is cost.own:
        how = f": {library.in_double}" if library else ""
        yield (
            f"{sentence}and the gradient is checked to single precision. Compute in float64 for a "
            f"more precise check{how}."
        )
    else:
        yield (
            f"{sentence}and the entries were measured again with θ in float64, where "
            f"`{cost.name}` has rounding noise of {cost.best.noise:.1e}; the gradient is checked "
            "to single precision."
        )


def _kinks(evidence: Evidence) -> Iterator[str]:
    kinked = evidence.measured.kinked & ~evidence.comparison.wrong
    if not kinked.any():
        return
    k = int(np.flatnonzero(kinked)[0])
    low, high = evidence.measured.low[k], evidence.measured.high[k]
    yield (
        f"θ is at a kink of `{evidence.cost.name}` in {evidence.labels(kinked)}, where any "
        f"gradient between the slopes on both sides is correct ({low:.4g} and {high:.4g} for "
        f"{evidence.labels(np.arange(len(kinked)) == k)}); the analytic gradient is between them."
    )


def _nothing_compared(evidence: Evidence) -> Iterator[str]:
    """Yield the names of the parameters whose gradients are both zero, or too small to compare."""
    zero, measured = [], evidence.measured
    for parameter, part, _ in measured.parts(evidence.pairing):
        if part.stop - part.start < parameter.size or not measured.settled[part].all():
            continue
        if not (evidence.measured.analytic[part].any() or evidence.measured.numerical[part].any()):
            zero.append(parameter.name)
    if evidence.measurement.scan is not None:
        zero += [e.parameter.name for e in evidence.measurement.scan.parameters if e.is_nothing]
    if zero and len(zero) < len(evidence.pairing.checked):
        yield f"Both gradients of {listed(zero)} are zero: there was nothing to compare."
    small = [name for name in evidence.comparison.negligible if name not in zero]
    if small:
        yield (
            f"The gradient of {listed(small)} is so small compared with the rest that finite "
            "differences cannot confirm three digits of it; it agrees as far as they can tell."
        )


def _symmetric(evidence: Evidence) -> Iterator[str]:
    """Yield a note if identical rows or columns may hide a bug at this point."""
    checked = evidence.pairing.checked
    alike = {p.name: word for p in checked if (word := _what_is_identical(p))}
    for word in sorted(set(alike.values())):
        names = [name for name, its in alike.items() if its == word]
        yield (
            f"{word} of {listed(names)} {'is' if word == 'Every entry' else 'are'} "
            f"{'zero' if word == 'Every entry' else 'equal'}: identical units hide mistakes that "
            "mix them up. Check at a random point."
        )


def _what_is_identical(parameter: Parameter) -> str:
    """Return what is identical in a matrix: every entry (zero), its rows or its columns."""
    array = parameter.array
    if array.ndim < 2 or min(array.shape) < 2:  # noqa: PLR2004 (a bias may be a column)
        return ""
    if not array.any():
        return "Every entry"
    if np.all(array == array[:1]):
        return "All rows"
    return "All columns" if np.all(array == array[:, :1]) else ""
