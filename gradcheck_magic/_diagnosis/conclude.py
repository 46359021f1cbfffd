"""Puts the result of a check together from what was measured, judged and diagnosed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._diagnosis.reasons import notes, reasons
from gradcheck_magic._inputs.fingerprint import fingerprint
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.request import Request
from gradcheck_magic._measure.compare import detectable_errors
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._result.changes import changes
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import first_line, listed

__all__ = ["conclude", "has_failed", "most_telling", "with_changes", "with_lost", "with_notes"]

# What is said of the given point if another one tells more.
BEFORE = {
    Verdict.CORRECT: "passes",
    Verdict.INSPECT: "is worth inspecting",
    Verdict.INCONCLUSIVE: "is inconclusive",
}
CUT_SHORT = (
    "The check was stopped early, and so was the search for the cause: it made no further "
    "evaluations of the cost."
)


def with_changes(previous: GradientCheck | None, check: GradientCheck) -> GradientCheck:
    """Return the same check with the changes since the previous one."""
    if previous is None:
        return check
    differences = (_briefly(previous), _briefly(check))
    return replace(check, changes=changes(previous.parameters, check.parameters, differences))


def _briefly(check: GradientCheck) -> str:
    """Return the difference with two digits; a lower bound as such."""
    bound = "≥ " if math.isinf(check.difference_uncertainty) else ""
    return "unknown" if math.isnan(check.difference) else f"{bound}{check.difference:.2g}"


def with_notes(check: GradientCheck, more: Iterable[str]) -> GradientCheck:
    """Return the same check with more notes."""
    return replace(check, notes=(*check.notes, *more))


def with_lost(lost: list[str], thread: str | None, check: GradientCheck) -> GradientCheck:
    """Return the same check with notes on what stays changed, or as another thread left it."""
    notes = []
    if lost:
        notes.append(
            f"The cost changes {listed(lost)}, too large to be copied before a check: what is "
            "there now is what the last call, at the parameters, has left."
        )
    if thread:
        notes.append(
            f"The thread {thread} was running meanwhile, and may use what the cost keeps: that is "
            "as the last call, at the parameters, has left it, and not put back."
        )
    return with_notes(check, notes)


def has_failed(check: GradientCheck) -> bool:
    """Return True if values are wrong, or worth inspecting: a shape is the same at all points."""
    if check.verdict is not Verdict.INSPECT:
        return check.verdict is Verdict.BUG
    return any(p.verdict is Verdict.INSPECT and p.keeps_shape for p in check.parameters)


def most_telling(checks: list[GradientCheck], request: Request) -> GradientCheck:
    """Return the check that fails, or else an inconclusive one, or else that at the given point."""
    telling = (
        checks[-1] if has_failed(checks[-1]) else next((c for c in checks if not c), checks[0])
    )
    point = checks.index(telling)
    around = f"parameters moved by up to 10 %, seed {request.seed}"
    reasons, notes = telling.reasons, telling.notes
    if point:
        before = BEFORE[checks[0].verdict]
        where = f"This is point {point} of {request.points} around the given point ({around})"
        reasons = (f"{where}; the given point {before}.", *reasons)
    elif telling.verdict is not Verdict.INCONCLUSIVE and not has_failed(telling):
        where = f"at {request.points} points around the given one ({around})"
        notes = (*notes, f"The gradient was also checked {where}.")
    return replace(
        telling,
        point=point,
        n_evaluations=sum(check.n_evaluations for check in checks),
        seconds=sum(check.seconds for check in checks),
        reasons=reasons,
        notes=notes,
    )


def conclude(evidence: Evidence, started: float) -> GradientCheck:
    """Put the result together."""
    pairing, cost, measurement = evidence.pairing, evidence.cost, evidence.measurement
    comparison, measured, scan = evidence.comparison, evidence.measured, evidence.scan
    difference, uncertainty = comparison.difference
    return GradientCheck(
        verdict=evidence.verdict,
        difference=difference,
        difference_uncertainty=uncertainty,
        parameters=evidence.parameters,
        diagnoses=evidence.diagnoses,
        measured=_frozen(np.concatenate([p.start + ks for p, _, ks in measured.parts(pairing)])),
        analytic=_frozen(measured.analytic),
        numerical=_frozen(measured.numerical),
        uncertainty=_frozen(measured.uncertainty),
        wrong=_frozen(comparison.wrong),
        kinked=_frozen(measured.kinked),
        mode=measurement.mode,
        call=cost.convention.value if cost.convention else "auto",
        epsilon=measurement.epsilon,
        cost=cost.value,
        noise=cost.noise,
        n_evaluations=cost.n_evaluations,
        seconds=time.perf_counter() - started,
        detectable=scan.detectable if scan else _detectable(measured),
        size=pairing.size,
        interrupted=evidence.is_cut_short,
        reasons=tuple(reasons(evidence)),
        notes=tuple(_notes(evidence)),
        fingerprint=fingerprint(measurement.pairing),
        not_checked=pairing.not_checked,
        is_jacobian=isinstance(pairing, JacobianPairing),
    )


def _notes(evidence: Evidence) -> Iterator[str]:
    """Yield notes on anything that a reader should know besides the reasons."""
    cost = evidence.cost
    if evidence.measurement.choice:
        yield evidence.measurement.choice
    yield from evidence.pairing.notes
    yield from cost.notes
    yield from notes(evidence)
    ignored = any(d.cause is Cause.COST_IGNORES_PARAMETERS for d in evidence.diagnoses)
    if ignored and cost.passed_over and cost.convention:
        convention, error = cost.passed_over[0]
        yield (
            f"`{cost.name}` was called {cost.convention.described}, because it raised "
            f"{type(error).__name__} when called {convention.described}: "
            f"{first_line(error).rstrip('.')}. If it is meant to be called like that, "
            f"--call {convention} shows where the error occurs."
        )
    if evidence.stop and evidence.diagnoses and not evidence.is_cut_short:
        yield CUT_SHORT


def _detectable(measured: MeasuredEntries) -> float:
    """Return the smallest error that would be detected in any entry, even the least favourable."""
    errors = detectable_errors(measured)
    return float(np.max(errors)) if len(errors) else math.inf


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = array.copy()
    array.setflags(write=False)
    return array
