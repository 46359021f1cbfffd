"""Sentences that explain the verdict, and notes on anything else that a reader should know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS
from gradcheck_magic._cost.random_states import Origin
from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._diagnosis.scan_reasons import scan_reasons
from gradcheck_magic._diagnosis.shapes import harmless_shapes, wrong_shapes
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.precision import DOUBLE, PRECISIONS, SINGLE
from gradcheck_magic._measure.central_differences import TEXTBOOK_STEPS
from gradcheck_magic._result.parameter_check import relative_error
from gradcheck_magic._result.verdict import Verdict, textbook_verdict
from gradcheck_magic._wording import listed

__all__ = ["notes", "reasons"]

Mask = NDArray[np.bool_]

# The noise of an ordinary sum, in units of the rounding of its result. More noise than that has
# another origin than the size of the cost.
ORDINARY_NOISE = 100.0
# What noise may come from, and what to do about it.
NOT_REPEATABLE = (
    "{}, as it varies from call to call: {}. Make it repeatable, or less noisy, such as by "
    "--reseed, by a single thread or by more samples."
)
NOT_ROUNDING = (
    "{}, far more than float64 causes: {}. Look for rounding, a computation in lower precision, a "
    "solver that stops early, or large terms that cancel."
)
# An analytic value smaller than this fraction of its error bar counts as zero.
ZERO = 1e-2
# The random state with which each evaluation began, and what lets the gradient begin with it.
BEGAN_WITH = {
    Origin.CHECK: "from the start of the check",
    Origin.CELL: "from before the cell",
    Origin.STATEMENT: "from before a later statement of the cell",
    Origin.FUNCTION: "with which the gradient function began",
}
IN_CELL = (
    "the forward pass in the cell must draw what the cost draws, in the same order; or pass "
    "`grads` as a function of the parameters"
)
REMEDIES = {
    Origin.CHECK: "compute it in a cell with %%gradcheck --reseed, pass `grads` as a function of "
    "the parameters, or call np.random.seed(0) both before the forward pass and before the check",
    Origin.CELL: IN_CELL,
    Origin.STATEMENT: IN_CELL,
}
# A cost that exceeds its gradient by this factor hides it in rounding noise.
LARGE_COST = 1e4
# A bar that noise causes is at most this many times the noise at the textbook's step.
NOTABLE = 10.0


def reasons(evidence: Evidence) -> Iterator[str]:
    """Yield the reasons for the verdict, where the difference alone does not explain it."""
    if evidence.verdict in {Verdict.BUG, Verdict.INSPECT}:
        yield from _other_random_numbers(evidence)
    told = [evidence.stopped] if evidence.stopped else []
    yield from told
    yield from wrong_shapes(evidence)
    if evidence.scan is not None:
        scanned = list(scan_reasons(evidence, evidence.scan))
        yield from scanned
        told += scanned
    if not told:
        yield from _of_values(evidence)


def notes(evidence: Evidence) -> Iterator[str]:
    """Yield notes on anything else that is unusual about the shapes, the numbers or the point."""
    yield from harmless_shapes(evidence)
    yield from _began_with(evidence)
    yield from _precision(evidence)
    yield from _kinks(evidence)
    yield from _nothing_compared(evidence)
    yield from _symmetric(evidence)


def _of_values(evidence: Evidence) -> Iterator[str]:
    """Yield the reasons for the verdict on the values, if all of them were compared."""
    verdict = evidence.comparison.verdict
    if verdict is Verdict.INCONCLUSIVE:
        yield from _inconclusive(evidence)
    elif evidence.scan is None:
        if verdict is Verdict.INSPECT and not evidence.diagnoses:
            yield _slightly_off(evidence)
        is_known = evidence.comparison.wrong.any() or not evidence.measurement.together
        if is_known and verdict is not textbook_verdict(evidence.comparison.difference[0]):
            yield _why_not_textbook(evidence)


def _slightly_off(evidence: Evidence) -> str:
    """Return the size of the error, and the usual causes of one so small."""
    measured, mask = evidence.measured, evidence.comparison.inspect
    errors = relative_error(measured.numerical[mask], measured.analytic[mask])
    return (
        f"The relative errors of {evidence.names(mask)} are up to {errors.max():.0e}: more than "
        "the error bars allow, but less than most bugs cause. Look for a constant with few digits, "
        "such as 3.1416, for a computation in single precision, and for a solver that stops early."
    )


# Random costs


def _began_with(evidence: Evidence) -> Iterator[str]:
    """Yield the random state with which each evaluation of a random cost began."""
    cost = evidence.cost
    if cost.began:
        yield (
            f"`{cost.name}` is random: each call of it began with the random state "
            f"{BEGAN_WITH[cost.began]}."
        )


def _other_random_numbers(evidence: Evidence) -> Iterator[str]:
    """Yield that a gradient which was computed before may belong to other random numbers."""
    cost = evidence.cost
    if cost.began in REMEDIES:
        yield (
            f"`{cost.name}` is random, and the gradient must have been computed with the same "
            f"random numbers, such as the same dropout mask: {REMEDIES[cost.began]}."
        )


# Reasons for an inconclusive verdict


def _inconclusive(evidence: Evidence) -> Iterator[str]:
    unknown, cost, measured = evidence.comparison.unknown, evidence.cost, evidence.measured
    is_zero = np.abs(measured.analytic) <= ZERO * measured.uncertainty
    is_zero &= np.abs(measured.numerical) <= measured.uncertainty
    if is_zero.all() or not unknown.any():
        yield _stationary(evidence)
        return
    lost = ~np.isfinite(measured.numerical)
    if lost.any():
        yield (
            f"`{cost.name}` is not finite near {evidence.labels(lost)}, or every step there is too "
            f"small for floating point or too large for the cost: "
            f"{'that entry' if lost.sum() == 1 else 'these entries'} cannot be checked. Check at "
            "another point."
        )
    unknown = unknown & ~lost
    meeting = unknown & measured.disputed & measured.kinked
    if meeting.any():
        yield (
            f"Several kinks of `{cost.name}` meet at θ in {evidence.labels(meeting)}: near by, the "
            "slope takes many values, and the analytic one may be another of them. Check at "
            "another point; a small random bias is enough to part the kinks."
        )
    unknown = unknown & ~meeting
    if not unknown.any():
        return
    if evidence.measurement.is_rounded:
        yield (
            "In half precision, rounding moves all that the backward pass starts from: the "
            f"gradient of {evidence.places(unknown)} changes so much near θ that its errors may "
            "come from that. Compute the gradient in float32 or float64."
        )
    else:
        yield _too_wide(evidence, unknown)


def _stationary(evidence: Evidence) -> str:
    if not (evidence.measured.numerical.any() or any(map(np.any, evidence.pairing.gradients))):
        return "Both gradients are zero everywhere: there is nothing to compare."
    bar = float(np.max(evidence.measured.uncertainty, initial=0.0))
    if evidence.scan is not None:
        bar = max(bar, evidence.scan.detectable)
    return (
        f"The gradient is zero here, to within {bar:.1e}: a wrong gradient that vanishes at a "
        "minimum would look the same. Check at another point, such as the start of training."
    )


def _too_wide(evidence: Evidence, unknown: Mask) -> str:
    """Return what limits the error bars, and what to do about it."""
    cost, precision = evidence.cost, evidence.cost.best
    measured = evidence.measured
    # The slopes on which an entry might rest contradict each other.
    apart = np.where(measured.disputed, np.abs(measured.analytic - measured.numerical), 0.0)
    bar = float(np.max(np.fmax(measured.uncertainty, apart)[unknown]))
    size = float(np.max(np.abs(measured.numerical[unknown])))
    names = evidence.places(unknown)
    known = f"the numerical gradient of {names}, at most {size:.1e}, is known only to {bar:.1e}"
    carries = f"`{cost.name}` is {precision.value:.3g} and has noise of {precision.noise:.1e}"
    height = evidence.measurement.jumps.height
    if height:
        return (
            f"`{cost.name}` jumps by up to {height:.1e} near θ, as a solver does that stops early: "
            f"{known}. Lower its tolerance, or let it make a fixed number of steps."
        )
    if evidence.measurement.is_right_from_afar:
        return (
            f"Very close to θ, the slope of `{cost.name}` is not the one that it has over longer "
            f"distances, and the gradient of {names} agrees with that: this is what a solver "
            "leaves that stops early. Lower its tolerance, or let it make a fixed number of steps."
        )
    if cost.is_single:
        return f"{carries}, in {_low(cost)} precision: {known}. Compute the cost in float64."
    rounding = precision.eps / 2 * abs(precision.value)
    if cost.is_noisy or precision.noise > ORDINARY_NOISE * rounding:
        return (NOT_REPEATABLE if cost.is_noisy else NOT_ROUNDING).format(carries, known)
    # A wider bar has another reason: noise allows for steps as short as the textbook's.
    noise_at_step = NOISE_DEVIATIONS * precision.noise / TEXTBOOK_STEPS[DOUBLE]
    if abs(precision.value) > LARGE_COST * size and bar <= NOTABLE * noise_at_step:
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
    verdict, measured = evidence.comparison.verdict, evidence.measured
    if verdict is Verdict.CORRECT:
        return _why_correct(evidence, difference)
    is_bug = verdict is Verdict.BUG
    mask = evidence.comparison.wrong if is_bug else evidence.comparison.inspect
    analytic, numerical = measured.analytic[mask], measured.numerical[mask]
    sizes = np.maximum(np.abs(analytic), np.abs(numerical))
    worst = float(np.max(np.abs(analytic - numerical) / sizes))
    part, whole = (float(np.linalg.norm(values)) for values in (numerical, measured.numerical))
    share = f", {part / whole:.0e} of the whole gradient," if 0 < part < whole else ""
    has = "has a relative error" if mask.sum() == 1 else "have relative errors"
    hides = "hides it" if mask.sum() == 1 else "hides them"
    hides = hides if difference < worst else "is mostly rounding noise"
    return (
        f"{evidence.labels(mask)}{share} {has} of up to {worst:.1e}, {'far ' if is_bug else ''}"
        f"beyond the error bars; the difference over all parameters, {difference:.1e}, {hides}."
    )


def _why_correct(evidence: Evidence, difference: float) -> str:
    cost, measured, epsilon = evidence.cost, evidence.measured, evidence.measurement.epsilon
    kinked = measured.kinked
    off = f"The difference of {difference:.1e}"
    noise = f"`{cost.name}` is {cost.value:.3g}, with rounding noise of {cost.noise:.1e}"
    agree = "with other steps, every entry agrees within its error bar"
    errors = np.nan_to_num(np.abs(measured.textbook - measured.analytic))
    if kinked.any() and np.max(errors[kinked]) >= np.max(errors):
        return (
            f"{off} comes from {evidence.labels(kinked)}, where θ is at a kink of `{cost.name}`: "
            "there, the gradient lies between the slopes on both sides; it agrees everywhere else."
        )
    if cost.bits < DOUBLE:
        return f"{off} comes from {_low(cost)} precision: {noise}; {agree}."
    if height := evidence.measurement.jumps.height:
        return (
            f"{off} is what a solver leaves that stops early: `{cost.name}` jumps by up to "
            f"{height:.1e} near θ, and every entry agrees within the error bar of that."
        )
    expected = NOISE_DEVIATIONS * cost.noise / epsilon * np.sqrt(len(measured.textbook))
    if np.linalg.norm(measured.textbook - measured.analytic) <= expected:
        return f"{off} is rounding noise: {noise}, which a step of {epsilon:g} magnifies; {agree}."
    return (
        f"{off} comes from the textbook's step: for some entries, {epsilon:g} is too large, "
        f"crosses a kink, or is lost in the rounding of `{cost.name}`; {agree}."
    )


def _low(cost: Cost) -> str:
    return "single" if cost.bits == SINGLE else "half"


# Notes on what is unusual


def _precision(evidence: Evidence) -> Iterator[str]:
    cost, library = evidence.cost, evidence.pairing.parameters.library
    if cost.bits == DOUBLE:
        return
    # No library computes in half precision unless it is told to.
    is_default = library and library.default and cost.bits == SINGLE
    default = f", {library.default}" if library and is_default else ""
    known = f"the gradient is checked to {_low(cost)} precision"
    if cost.best is cost.own:
        how = f": {library.in_double}" if library else ""
        known = f"{known}. Compute in float64 for a more precise check{how}"
    else:
        known = (
            f"the entries were measured again with θ in float64, where `{cost.name}` has rounding "
            f"noise of {cost.best.noise:.1e}; {known}"
        )
    yield (
        f"{_low(cost).capitalize()} precision ({PRECISIONS[cost.bits]}{default}): the step is "
        f"{evidence.measurement.epsilon:g}, and {known}."
    )


def _kinks(evidence: Evidence) -> Iterator[str]:
    kinked = evidence.measured.kinked & ~evidence.comparison.wrong & ~evidence.measured.disputed
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
    measured = evidence.measured
    zero = [
        parameter.name
        for parameter, part, ks in measured.parts(evidence.pairing)
        if len(ks) == parameter.size
        and measured.settled[part].all()
        and not measured.kinked[part].any()
        and not (measured.analytic[part].any() or measured.numerical[part].any())
    ]
    if evidence.scan is not None:
        scan = evidence.scan
        zero += [e.parameter.name for i, e in enumerate(scan.parameters) if scan.is_nothing(i)]
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
    if isinstance(evidence.pairing, JacobianPairing):
        # All rows of a block are θ.
        return
    zero, alike = [], []
    for parameter in evidence.pairing.checked:
        array = parameter.array
        if array.ndim < 2 or min(array.shape) < 2:  # noqa: PLR2004 (a bias may be a column)
            continue
        if not array.any():
            zero.append(parameter.name)
        elif np.all(array == array[:1]) or np.all(array == array[:, :1]):
            alike.append(parameter.name)
    hint = "identical units hide mistakes that mix them up. Check at a random point."
    if zero:
        yield f"Every entry of {listed(zero)} is zero: {hint}"
    if alike:
        yield f"All rows, or all columns, of {listed(alike)} are equal: {hint}"
