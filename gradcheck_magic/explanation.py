"""Why the verdict is what it is, and what else a reader should know: sentences, with numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.comparison import Verdict, band, relative_error
from gradcheck_magic.errors import listed
from gradcheck_magic.findings import NAMED, Findings
from gradcheck_magic.ladder import NOISE_DEVIATIONS
from gradcheck_magic.parameters import Parameter
from gradcheck_magic.scan_explanation import scan_reasons

__all__ = ["notes", "reasons"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The noise of a sum of ordinary length, in units of the rounding of its result: what is above it
# has another origin than the size of the cost.
ORDINARY_NOISE = 100.0
# An analytic value that is this part of its error bar says that the slope is zero.
ZERO = 1e-2
# A cost that is larger than its gradient times this drowns it.
LARGE = 1e4


def reasons(findings: Findings) -> Iterator[str]:
    """Yield why the verdict is what it is, where the difference alone does not say."""
    if findings.stopped:
        yield findings.stopped
    if findings.scan is not None:
        told = list(scan_reasons(findings, findings.scan))
        yield from told
        if findings.verdict is Verdict.INCONCLUSIVE and not (told or findings.stopped):
            yield from _inconclusive(findings)
        return
    if findings.stopped:
        return
    if findings.verdict is Verdict.INSPECT and not findings.is_diagnosed:
        yield from _slightly_off(findings)
    if findings.verdict is Verdict.INCONCLUSIVE:
        yield from _inconclusive(findings)
    elif findings.verdict is not band(findings.comparison.difference[0]):
        yield _departure(findings)


def notes(findings: Findings) -> Iterator[str]:
    """Yield what else is odd about the numbers or the point."""
    yield from _precision(findings)
    yield from _kinks(findings)
    yield from _nothing_compared(findings)
    yield from _symmetric(findings)


# Why something is worth a look


def _slightly_off(findings: Findings) -> Iterator[str]:
    """By how much, and what is usually off by so little."""
    slightly = {
        p.name: float(relative_error(np.array(p.worst.numerical), np.array(p.worst.analytic)))
        for p in findings.comparison.parameters
        if p.verdict is Verdict.INSPECT and p.worst is not None
    }
    if not slightly:
        return
    names, off = listed(slightly, NAMED), max(slightly.values())
    yield (
        f"{names} {'is' if len(slightly) == 1 else 'are'} off by up to {off:.0e} of an entry: more "
        "than the error bars allow, and less than most bugs make. Look for a constant of few "
        "digits, such as 3.1416, and for a step in single precision."
    )


# Why nothing can be said


def _inconclusive(findings: Findings) -> Iterator[str]:
    unknown, cost = findings.comparison.unknown, findings.cost
    said_zero = np.abs(findings.analytic) <= ZERO * findings.uncertainty
    if not unknown.any() or np.all(
        said_zero & (np.abs(findings.numerical) <= findings.uncertainty)
    ):
        yield _stationary(findings)
        return
    lost = ~np.isfinite(findings.numerical)
    if lost.any():
        yield (
            f"`{cost.name}` is not finite around {findings.labels(lost)}, or no step there is both "
            "large enough for floating point and small enough for it: nothing can be said of "
            f"{'it' if lost.sum() == 1 else 'them'}. Check at another point."
        )
    unknown = unknown & ~lost
    if unknown.any():
        yield _too_wide(findings, unknown)


def _stationary(findings: Findings) -> str:
    if not (findings.numerical.any() or any(map(np.any, findings.pairing.gradients))):
        return "Both gradients are zero everywhere: there is nothing to compare."
    bar = float(np.max(findings.uncertainty, initial=0.0))
    if findings.scan is not None:
        bar = max(bar, findings.scan.detectable)
    return (
        f"The gradient is zero here, to within {bar:.1e}: a wrong one that vanishes at a minimum "
        "would look the same. Check at another point, such as the one where training starts."
    )


def _too_wide(findings: Findings, unknown: Mask) -> str:
    """What limits the error bars, and what to do about it."""
    cost, names = findings.cost, findings.names(unknown)
    precision = cost.best
    bar = float(np.max(findings.uncertainty[unknown]))
    size = float(np.max(np.abs(findings.numerical[unknown])))
    known = f"in {names} the numerical gradient, up to {size:.1e}, is known to {bar:.1e} only"
    carries = f"`{cost.name}` is {precision.value:.3g} and carries noise of {precision.noise:.1e}"
    if findings.is_single and precision is cost.own:
        return f"{carries}, in single precision: {known}. Compute it in float64."
    rounding = precision.eps / 2 * abs(precision.value)
    if precision.noise > ORDINARY_NOISE * rounding:
        return (
            f"{carries}, far more than float64 needs: {known}. Look for rounding, a step in lower "
            "precision, a solver that stops early, or large terms that cancel."
        )
    if abs(precision.value) > LARGE * size:
        return (
            f"{carries}: {known}. Subtract the constant part of the cost, check a smaller batch, "
            "or check at a point where the gradient is not so small."
        )
    return (
        f"`{cost.name}` has kinks, steps or sharp bends very near {findings.labels(unknown)}: "
        f"{known}. "
        "Move the parameters a little, or scale them to about 1; and look for rounding, such as "
        "that of 1 − a where a is nearly 1."
    )


# Why the verdict is not the textbook's


def _departure(findings: Findings) -> str:
    difference, _ = findings.comparison.difference
    if findings.verdict is Verdict.CORRECT:
        return _excused(findings, difference)
    if findings.verdict is Verdict.BUG:
        return _hidden(findings, difference)
    mask = findings.comparison.inspect
    worst = _worst_error(findings, mask)
    return (
        f"{findings.labels(mask)} {'disagrees' if mask.sum() == 1 else 'disagree'} beyond "
        f"{'its' if mask.sum() == 1 else 'their'} error bars, by up to {worst:.1e} of the entry; "
        f"the difference of {difference:.1e} "
        + ("hides it." if difference < worst else "is mostly round-off.")
    )


def _excused(findings: Findings, difference: float) -> str:
    cost, measured = findings.cost, findings.measured
    agree = "with other steps every entry agrees within its error bar"
    if findings.is_single:
        return (
            f"The difference of {difference:.1e} is what single precision leaves: "
            f"`{cost.name}` is {cost.value:.3g} and known to {cost.noise:.1e}; {agree}."
        )
    kinked = measured.kinked
    if kinked.any():
        return (
            f"The difference of {difference:.1e} comes from {findings.labels(kinked)}, where θ "
            f"sits on a kink of `{cost.name}`: the gradient is between the slopes on both sides, "
            "and agrees everywhere else."
        )
    textbook = measured.textbook
    expected = NOISE_DEVIATIONS * cost.noise / findings.epsilon * np.sqrt(len(textbook))
    if np.linalg.norm(textbook - findings.analytic) <= expected:
        return (
            f"The difference of {difference:.1e} is round-off: `{cost.name}` is {cost.value:.3g} "
            f"and known to {cost.noise:.1e}, which a step of {findings.epsilon:g} magnifies; "
            f"{agree}."
        )
    return (
        f"The difference of {difference:.1e} is the textbook's step: at some entries "
        f"{findings.epsilon:g} is too large, crosses a kink, or is lost in what `{cost.name}` "
        f"rounds; {agree}."
    )


def _hidden(findings: Findings, difference: float) -> str:
    mask = findings.comparison.wrong
    part, whole = (float(np.linalg.norm(findings.numerical[m])) for m in (mask, mask | True))
    share = f", {part / whole:.0e} of the whole gradient," if 0 < part < whole else ""
    verb = "is" if mask.sum() == 1 else "are"
    return (
        f"{findings.labels(mask)}{share} {verb} off by up to {_worst_error(findings, mask):.1e}, "
        f"relatively, far beyond the error bars: the difference over all parameters, "
        f"{difference:.1e}, hides it."
    )


def _worst_error(findings: Findings, mask: Mask) -> float:
    off = np.abs(findings.analytic[mask] - findings.numerical[mask])
    sizes = np.maximum(np.abs(findings.analytic[mask]), np.abs(findings.numerical[mask]))
    return float(np.max(off / sizes))


# What is odd


def _precision(findings: Findings) -> Iterator[str]:
    cost = findings.cost
    if not findings.is_single:
        return
    library = findings.pairing.parameters.library
    default = f", {library.default}" if library and library.default else ""
    sentence = (
        f"Single precision (float{8 * cost.itemsize}{default}): the step is {findings.epsilon:g}, "
    )
    if cost.best is cost.own:
        how = f": {library.in_double}" if library else ""
        yield (
            f"{sentence}and the gradient is judged to single precision. Compute in float64 for a "
            f"sharper check{how}."
        )
    else:
        yield (
            f"{sentence}and the entries were measured again with θ in float64, where "
            f"`{cost.name}` is known to {cost.best.noise:.1e}; the gradient is judged to single "
            "precision."
        )


def _kinks(findings: Findings) -> Iterator[str]:
    kinked = findings.measured.kinked & ~findings.comparison.wrong
    if not kinked.any():
        return
    k = int(np.flatnonzero(kinked)[0])
    low, high = findings.measured.low[k], findings.measured.high[k]
    verb, theirs = ("is", "its") if kinked.sum() == 1 else ("are", "their")
    yield (
        f"θ sits on a kink of `{findings.cost.name}` at {findings.labels(kinked)}, which {verb} "
        f"right with any value between the slopes on both sides ({low:.4g} and {high:.4g} for "
        f"{findings.labels(np.arange(len(kinked)) == k)}); {theirs} gradient is between them."
    )


def _nothing_compared(findings: Findings) -> Iterator[str]:
    """Parameters of which both gradients are zero, or as good as."""
    zero, measured = [], findings.measured
    for parameter, part, _ in measured.parts(findings.pairing):
        if part.stop - part.start < parameter.size or not measured.settled[part].all():
            continue
        if not (findings.analytic[part].any() or findings.numerical[part].any()):
            zero.append(parameter.name)
    if findings.scan is not None:
        zero += [e.parameter.name for e in findings.scan.parameters if e.is_nothing]
    if zero and len(zero) < len(findings.pairing.checked):
        yield f"Both gradients of {listed(zero)} are zero: nothing was compared there."
    small = [name for name in findings.comparison.negligible if name not in zero]
    if small:
        yield (
            f"The gradient of {listed(small)} is so small beside the rest that the differences "
            "cannot confirm three digits of it; it agrees as far as they go."
        )


def _symmetric(findings: Findings) -> Iterator[str]:
    """Points that hide bugs: units that are all alike."""
    checked = findings.pairing.checked
    alike = {p.name: word for p in checked if (word := _likeness(p))}
    for word in sorted(set(alike.values())):
        names = [name for name, its in alike.items() if its == word]
        yield (
            f"{word} of {listed(names)} {'is' if word == 'Every entry' else 'are'} "
            f"{'zero' if word == 'Every entry' else 'equal'}: units that are alike hide mistakes "
            "that mix them up. Check at a random point."
        )


def _likeness(parameter: Parameter) -> str:
    """Say whether a weight is all zero, or all its rows or columns are the same."""
    array = parameter.array
    if array.ndim < 2 or min(array.shape) < 2:  # noqa: PLR2004 (a bias may well be a column)
        return ""
    if not array.any():
        return "Every entry"
    if np.all(array == array[:1]):
        return "All rows"
    return "All columns" if np.all(array == array[:, :1]) else ""
