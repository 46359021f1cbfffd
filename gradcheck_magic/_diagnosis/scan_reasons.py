"""Sentences on what a scan found beyond single entries, and on what it left open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._measure.residuals import Residual
from gradcheck_magic._measure.scan import ParameterScan, Scan
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict, textbook_verdict
from gradcheck_magic._wording import listed

__all__ = ["scan_reasons"]

# If the error bar exceeds the part due to noise by this factor, it has another cause.
NOISY = 4.0


def scan_reasons(evidence: Evidence, scan: Scan) -> Iterator[str]:
    """Yield what a scan found beyond single entries, what it left open, and why."""
    for check in evidence.comparison.parameters:
        yield from _regions(check)
    pairs = list(zip(scan.parameters, evidence.comparison.parameters, strict=True))
    for each, check in pairs:
        if each.is_measured and _is_unlocated(each, check.verdict):
            yield _unlocated(evidence, each)
    if evidence.verdict is Verdict.INCONCLUSIVE:
        if scan.joint is not None:
            yield _off_in_joint_direction(scan.joint)
        imprecise = [each for each, check in pairs if _is_imprecise(each, check.verdict)]
        on_kink = [each for each in imprecise if each.first is not None and each.first.on_kink]
        if on_kink:
            yield _hidden_by_kinks(evidence, on_kink)
        imprecise = [each for each in imprecise if each not in on_kink]
        if imprecise:
            yield _imprecise(evidence, imprecise)
    elif _is_hidden(evidence):
        yield (
            f"The wrong entries are a small part of the gradient: the difference over all "
            f"parameters, about {evidence.comparison.difference[0]:.1e}, hides them."
        )


def _is_hidden(evidence: Evidence) -> bool:
    """Return True if there is a bug that the difference does not show."""
    is_bug, wrong = evidence.verdict is Verdict.BUG, evidence.comparison.wrong
    is_number = bool(np.isfinite(evidence.measured.analytic[wrong]).all())
    return (
        is_bug
        and is_number
        and textbook_verdict(evidence.comparison.difference[0]) is not Verdict.BUG
    )


def _regions(check: ParameterCheck) -> Iterator[str]:
    for region in check.regions:
        if region.n_wrong == region.n_tried:
            yield (
                f"`{region.label}` is wrong: all {region.n_tried} sampled entries (of "
                f"{region.size:,}) are wrong. The scan did not list the others."
            )
        else:
            yield (
                f"`{region.label}` is wrong in many places: {region.n_wrong} of {region.n_tried} "
                f"sampled entries (of {region.size:,}) {'is' if region.n_wrong == 1 else 'are'} "
                "wrong. The scan did not list the others."
            )


def _is_unlocated(each: ParameterScan, verdict: Verdict) -> bool:
    if each.regions or each.is_enumerated:
        return False
    return verdict in {Verdict.BUG, Verdict.INSPECT, Verdict.INCONCLUSIVE} and not each.is_explained


def _unlocated(evidence: Evidence, each: ParameterScan) -> str:
    name, rest = each.parameter.name, each.rest
    remedy = f'--mode full --only {name} (in Python, mode="full")'
    if rest is None or not math.isfinite(rest.bar):
        return (
            f"`{evidence.cost.name}` is not finite along a random direction in `{name}`, or has "
            f"kinks closer than any step: `{name}` cannot be checked. Check at another point, or "
            f"measure every entry with {remedy}."
        )
    if each.sampled.wrong:
        return (
            f"More is wrong in `{name}` than the scan has located. Measure every entry with "
            f"{remedy}."
        )
    return (
        f"Along a random direction in `{name}`, the gradient is off by {abs(rest.value):.1e}, "
        f"where {rest.bar:.1e} is allowed, but no single wrong entry was found: kinks very close "
        f"to θ, rounding in `{evidence.cost.name}` and many tiny errors look like that. Measure "
        f"every entry with {remedy}."
    )


def _off_in_joint_direction(joint: Residual) -> str:
    return (
        "Along a random direction in which all parameters move, the gradient is off by "
        f"{abs(joint.value):.1e}, where {joint.bar:.1e} is allowed, but no parameter shows it "
        "individually: kinks very close to θ look like that. Check with another --seed, or with "
        '--mode full (in Python, mode="full").'
    )


def _is_imprecise(each: ParameterScan, verdict: Verdict) -> bool:
    return verdict is Verdict.INCONCLUSIVE and each.first is not None and each.is_explained


def _hidden_by_kinks(evidence: Evidence, on_kink: Sequence[ParameterScan]) -> str:
    names = [each.parameter.name for each in on_kink]
    return (
        f"θ is at a kink of `{evidence.cost.name}` in {listed(names)}, which may hide other errors "
        "along a random direction. Move the parameters a little, "
        f'or use --mode full --only {" ".join(names)} (in Python, mode="full").'
    )


def _imprecise(evidence: Evidence, imprecise: Sequence[ParameterScan]) -> str:
    worst = max(imprecise, key=lambda each: each.detectable / max(each.largest, 1e-300))
    names = listed(each.parameter.name for each in imprecise)
    precise = evidence.cost.best
    single = (
        "Compute the cost in float64, or "
        if precise is evidence.cost.own and evidence.is_single
        else ""
    )
    only = " ".join(each.parameter.name for each in imprecise)
    option = f'use --mode full --only {only} (in Python, mode="full")'
    limit = f"`{evidence.cost.name}` has noise of {precise.noise:.1e}"
    if worst.first is not None and worst.first.bar > NOISY * worst.first.noise:
        limit = f"`{evidence.cost.name}` has kinks or sharp bends very close to θ"
    return (
        f"The scan is not precise enough for {names}: in `{worst.parameter.name}`, the smallest "
        f"detectable error is {worst.detectable:.1e}, and the largest entry is "
        f"{worst.largest:.1e}; {limit}. "
        f"{single}{option if single else option[0].upper() + option[1:]}."
    )
