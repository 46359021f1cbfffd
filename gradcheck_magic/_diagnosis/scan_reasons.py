"""Sentences on what a scan found beyond single entries, and on what it left open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION
from gradcheck_magic._measure.residuals import Residual
from gradcheck_magic._measure.scan import ParameterScan, Scan
from gradcheck_magic._result.parameter_check import WrongRegion
from gradcheck_magic._result.verdict import Verdict, textbook_verdict
from gradcheck_magic._wording import listed

__all__ = ["scan_reasons"]


def scan_reasons(evidence: Evidence, scan: Scan) -> Iterator[str]:
    """Yield what a scan found beyond single entries, what it left open, and why."""
    imprecise = []
    tolerance = SINGLE_PRECISION if evidence.cost.is_single else DOUBLE_PRECISION
    enough = tolerance.of_parameter
    for each, check in zip(scan.parameters, evidence.comparison.parameters, strict=True):
        yield from map(_wrong_region, check.regions)
        if each.is_measured and not (each.is_explained or check.regions):
            yield _unlocated(evidence, each)
        # If the directions are precise enough, it is single entries that are open.
        is_blunt = each.first is not None and each.detectable > enough * each.largest
        if check.verdict is Verdict.INCONCLUSIVE and each.is_explained and is_blunt:
            imprecise.append(each)
    if evidence.verdict is Verdict.INCONCLUSIVE:
        if scan.joint is not None:
            yield _off_in_joint_direction(scan.joint)
        # Moving the parameters helps against kinks, but not against noise.
        bent = [e.first is not None and e.first.is_bent for e in imprecise]
        for kind in (True, False):
            if alike := [
                each for each, is_bent in zip(imprecise, bent, strict=True) if is_bent == kind
            ]:
                yield _imprecise(evidence, alike)
    elif evidence.verdict is Verdict.BUG and _is_hidden(*evidence.comparison.difference):
        yield (
            f"The wrong entries are a small part of the gradient: the difference over all "
            f"parameters, about {evidence.comparison.difference[0]:.1e}, hides them."
        )


def _is_hidden(difference: float, uncertainty: float) -> bool:
    """Return True if the textbook's rule, given the difference alone, would not find the bug."""
    return uncertainty < math.inf and textbook_verdict(difference) is not Verdict.BUG


def _wrong_region(region: WrongRegion) -> str:
    is_all = region.n_wrong == region.n_tried
    some = "all" if is_all else f"{region.n_wrong} of"
    return (
        f"`{region.label}` is wrong{'' if is_all else ' in many places'}: {some} {region.n_tried} "
        f"sampled entries (of {region.size:,}) {'is' if region.n_wrong == 1 else 'are'} wrong. The "
        "scan did not list the others."
    )


def _every_entry(*names: str) -> str:
    """Return the option to measure every entry of some parameters."""
    return f'--mode full --only {" ".join(names)} (in Python, mode="full").'


def _unlocated(evidence: Evidence, each: ParameterScan) -> str:
    name, rest = each.parameter.name, each.rest
    if rest is None or not math.isfinite(rest.bar):
        return (
            f"`{evidence.cost.name}` is not finite along a random direction in `{name}`, or has "
            f"kinks closer than any step: `{name}` cannot be checked. Check at another point, or "
            f"measure every entry with {_every_entry(name)}"
        )
    if each.sampled.wrong or each.is_proven_wrong:
        found = ": more is wrong than the scan has located"
    elif evidence.is_cut_short:
        found = ", and the scan was stopped before it found out why"
    else:
        found = (
            ", but no single wrong entry was found: kinks very close to θ, rounding in "
            f"`{evidence.cost.name}` and many tiny errors look like that"
        )
    return (
        f"Along a random direction in `{name}`, the gradient is off by {abs(rest.value):.1e}, "
        f"where {rest.bar:.1e} is allowed{found}. Measure every entry with "
        f"{_every_entry(name)}"
    )


def _off_in_joint_direction(joint: Residual) -> str:
    return (
        "Along a random direction in which all parameters move, the gradient is off by "
        f"{abs(joint.value):.1e}, where {joint.bar:.1e} is allowed, but no parameter shows it "
        "individually: kinks very close to θ look like that. Check with another --seed, or with "
        '--mode full (in Python, mode="full").'
    )


def _imprecise(evidence: Evidence, imprecise: Sequence[ParameterScan]) -> str:
    worst = max(imprecise, key=lambda each: each.detectable / max(each.largest, 1e-300))
    names = [each.parameter.name for each in imprecise]
    limit, advice = f"noise of {evidence.cost.best.noise:.1e}", "Use"
    if evidence.cost.is_single:
        advice = "Compute the cost in float64, or use"
    if worst.first is not None and worst.first.is_bent:
        limit = "kinks or sharp bends at θ, or very close to it"
        advice = "Move the parameters a little, or use"
    return (
        f"The scan is not precise enough for {listed(names)}: in `{worst.parameter.name}`, the "
        f"smallest detectable error is {worst.detectable:.1e}, and the largest entry is "
        f"{worst.largest:.1e}; `{evidence.cost.name}` has {limit}. {_sampled(imprecise)}{advice} "
        f"{_every_entry(*names)}"
    )


def _sampled(imprecise: Sequence[ParameterScan]) -> str:
    """Return how many entries were measured individually, if any were: none of them is wrong."""
    n_right = sum(len(each.sampled.ks) for each in imprecise)
    return f"No error was found in {n_right:,} sampled entries. " if n_right > 1 else ""
