"""Finds the cause of a wrong gradient, and its place.

A cause is named only if it explains every entry within its error bar, and the simplest such cause
is chosen: one cause for all wrong parameters is preferred to one for each, and a cause within one
parameter to an error elsewhere in the backward pass. A wrong name is worse than none, so a
gradient that no cause explains is UNKNOWN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.experiments import Earlier, Experiments
from gradcheck_magic._diagnosis.finding import Finding
from gradcheck_magic._diagnosis.mismatch import TOLERANCE, Mismatch, Sample, Sides
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._diagnosis.recognise_cause import (
    clipped,
    exchanged,
    extended,
    recognise_cause,
    regularised,
    same_total,
    scaled,
    similarity,
)
from gradcheck_magic._diagnosis.sentences import Context, sentence
from gradcheck_magic._diagnosis.upstream import Boundary, Layers, boundary
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.cause import Cause, Details, Diagnosis

__all__ = ["diagnose"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A gradient is nearly right if its cosine with the numerical one exceeds this in every parameter.
NEARLY = 0.98
# If a parameter has more entries than this, the diagnosis of a scan uses only some of its rows and
# columns: those of the measured entries, and enough others to add about a thousand entries.
LARGE_PARAMETER = 100_000
BESIDE = 1000
# Parameters that share one of these causes are reported in one diagnosis.
_SHARED = {Cause.SIGN, Cause.ZERO, Cause.COST_IGNORES_PARAMETERS}
# Parameters with one of these causes must share this number of the details as well.
_NUMBERS = {Cause.SCALE: "factor", Cause.REGULARIZATION: "strength"}


def diagnose(
    pairing: Pairing,
    comparison: Comparison,
    measured: MeasuredEntries,
    *,
    numbers: Callable[[], NotebookNumbers],
    cost: Cost,
    evaluate: bool = True,
    earlier: Earlier | None = None,
    scan: Scan | None = None,
) -> tuple[Diagnosis, ...]:
    """Name the cause for every parameter that has wrong entries.

    Parameters
    ----------
    pairing : Pairing
        The parameters and the analytic gradient.
    comparison : Comparison
        The verdicts on the entries.
    measured : MeasuredEntries
        The entries that were measured.
    numbers : callable
        Returns the lengths and numbers that the notebook knows by name. It is called only if
        something is wrong.
    cost : Cost
        The cost.
    evaluate : bool
        If True, the cost may be called, to test hypotheses that need more evaluations.
    earlier : Earlier, optional
        The measurements of the check before this one.
    scan : Scan, optional
        The scan, which also knows about entries that were not measured individually.

    Returns
    -------
    tuple of Diagnosis
        The diagnoses in the order of the parameters; parameters that share a cause share one.
    """
    if not (comparison.wrong.any() or comparison.inspect.any()):
        return ()
    mismatches = tuple(_mismatches(pairing, comparison, measured, scan))
    known = numbers()
    layers = Layers(mismatches, is_everything=pairing.size == pairing.parameters.size)
    experiments = Experiments(
        pairing,
        mismatches,
        numbers=known,
        cost=cost if evaluate else None,
        earlier=earlier,
    )
    search = _CauseSearch(mismatches, layers, known, experiments)
    context = Context(layers, known, cost.name)
    # The squares of huge values overflow; a model that then becomes infinite explains nothing.
    with np.errstate(all="ignore"):
        return tuple(_diagnosis(finding, context) for finding in search.findings())


def _diagnosis(finding: Finding, context: Context) -> Diagnosis:
    names = tuple(mismatch.name for mismatch in finding.mismatches)
    return Diagnosis(finding.cause, names, sentence(finding, context), finding.details)


def _mismatches(
    pairing: Pairing, comparison: Comparison, measured: MeasuredEntries, scan: Scan | None
) -> Iterator[Mismatch]:
    # At a kink, any value between the slopes on both sides is correct.
    numerical = np.where(measured.kinked, (measured.low + measured.high) / 2, measured.numerical)
    half_gap = np.where(measured.kinked, (measured.high - measured.low) / 2, 0.0)
    bars = measured.uncertainty + half_gap
    wrong = comparison.wrong | comparison.inspect
    parts = zip(measured.parts(pairing), pairing.gradient_names, pairing.gradients, strict=True)
    for i, ((parameter, part, ks), gradient_name, analytic) in enumerate(parts):
        values = analytic, numerical[part], bars[part], measured.rounding[part]
        is_bug = bool(comparison.wrong[part].any())
        # A scanned parameter may be huge, and a part of it tells as much.
        is_all = scan is None or parameter.size <= LARGE_PARAMETER
        sides = None if is_all else _some_sides(parameter, ks, analytic)
        mismatch = Mismatch.of(
            parameter, gradient_name, values, wrong[part], ks, is_bug=is_bug, sides=sides
        )
        if scan is not None:
            each = scan.parameters[i]
            mismatch = mismatch.with_right_ones(each.known_right(), each.detectable)
        yield mismatch


def _some_sides(parameter: Parameter, ks: NDArray[np.intp], analytic: Vector) -> Sides:
    """Return the rows, columns and so on of some entries, and a few more.

    Half of the additional ones contain entries with a gradient. In an embedding table of which few
    rows are looked up, only those can show what is correct.
    """
    random = np.random.default_rng(0)
    few = math.ceil(BESIDE ** (1 / max(len(parameter.shape), 1)) / 2)
    telling = np.flatnonzero(analytic)
    more = random.choice(telling, few) if len(telling) else ks
    sides = zip(
        np.unravel_index(np.append(ks, more), parameter.shape), parameter.shape, strict=True
    )
    return tuple(np.union1d(index, random.integers(0, length, few)) for index, length in sides)


class _CauseSearch:
    """A search for the simplest findings that explain all mismatches."""

    def __init__(
        self,
        mismatches: Sequence[Mismatch],
        layers: Layers,
        numbers: NotebookNumbers,
        experiments: Experiments,
    ) -> None:
        self._all = mismatches
        self._wrong = [m for m in mismatches if m.is_wrong]
        self._layers = layers
        self._notebook_numbers = numbers
        self._experiments = experiments

    def findings(self) -> list[Finding]:
        """Return the findings in the order of the parameters."""
        shared = self._shared_by_all()
        findings = [shared] if shared else self._one_by_one()
        findings = self._by_experiments(findings)
        findings = self._upstream(findings)
        findings = [self._with_place(finding) for finding in findings]
        findings = [f for f in findings if f.firm or any(m.is_bug for m in f.mismatches)]
        return sorted(findings, key=lambda f: self._all.index(f.mismatches[0]))

    # Causes within single parameters

    def _shared_by_all(self) -> Finding | None:
        """Return one factor, bound or strength that explains everything that is wrong, if any."""
        pool, group = Sample.pooled(m.sample for m in self._wrong), tuple(self._wrong)
        # Gradients that are zero or not finite are recognised in each parameter separately.
        if not all(m.sample.analytic.any() for m in group) or not np.isfinite(pool.analytic).all():
            return None
        found = scaled(pool, self._notebook_numbers)
        if found:
            return Finding(found[0], group, found[1])
        everything = Sample.pooled(m.sample for m in self._all)
        bound = clipped(everything, np.concatenate([m.wrong for m in self._all]))
        if bound is not None:
            return Finding(Cause.ENTRIES, group, {"clipped": bound})
        details = regularised(pool, self._notebook_numbers)
        return Finding(Cause.REGULARIZATION, group, details) if details else None

    def _one_by_one(self) -> list[Finding]:
        found = {
            id(m): self._confirmed(recognise_cause(m, self._notebook_numbers)) for m in self._wrong
        }
        weak = [m for m in self._wrong if _may_be_swapped(found[id(m)])]
        # A zero gradient fits any parameter without a gradient, so a nonzero one must be involved.
        swaps = [
            swap
            for swap in exchanged(weak, self._all)
            if any(m.sample.analytic.any() for m in swap.mismatches)
            and not self._is_bias_of_wrong_weights(swap, found)
        ]
        taken = {id(m) for swap in swaps for m in swap.mismatches}
        single = [found[id(m)] for m in self._wrong if id(m) not in taken]
        findings = _grouped(finding for finding in single if finding is not None)
        for m in weak:
            if id(m) in taken or found[id(m)] is not None:
                continue
            findings = self._explaining_also(findings, m)
        return findings + swaps

    def _is_bias_of_wrong_weights(self, swap: Finding, found: dict[int, Finding | None]) -> bool:
        """Return True for a bias alone whose weights are also wrong, without a cause.

        Its gradient then equals that of another layer's bias because the array that both sum over
        passes unchanged from one layer to the other.
        """
        bias, *others = swap.mismatches
        weights = self._layers.weights_of(bias)
        return not others and any(m.is_wrong and found[id(m)] is None for m in weights)

    def _confirmed(self, finding: Finding | None) -> Finding | None:
        """Return the finding if further evidence supports it, or what remains of it."""
        if finding is not None and finding.cause is Cause.COST_IGNORES_PARAMETERS:
            (mismatch,) = finding.mismatches
            if self._experiments.is_ignored(mismatch):
                return finding
            flat = {"flat_to": finding.details["within"], "n_wrong": int(mismatch.wrong.sum())}
            return Finding(Cause.UNKNOWN, finding.mismatches, flat, firm=False)
        if finding is not None and finding.cause is Cause.MASK and not finding.firm:
            return self._confirmed_mask(finding)
        return finding

    def _confirmed_mask(self, finding: Finding) -> Finding | None:
        """Return a mask that explains only some of the entries if a bias confirms it, or else None.

        A gradient that is wrong everywhere is also nonzero where the correct one is zero.
        """
        (mismatch,), axis = finding.mismatches, finding.details["axis"]
        units = finding.details["indices"]
        biases = [
            m
            for m in self._layers.beside(mismatch)
            if len(m.squeezed) == 1 and m.size == mismatch.parameter.shape[axis]
        ]
        return finding if any(m.wrong[units].all() for m in biases) else None

    def _explaining_also(self, findings: list[Finding], mismatch: Mismatch) -> list[Finding]:
        """Return the findings, of which one explains this parameter, if only as UNKNOWN."""
        for i, finding in enumerate(findings):
            wider = extended(finding, mismatch)
            if wider is not None:
                ordered = replace(wider, mismatches=_ordered(wider.mismatches, self._all))
                return [*findings[:i], ordered, *findings[i + 1 :]]
        unknown = Finding(Cause.UNKNOWN, (mismatch,), similarity(mismatch), firm=False)
        return [*findings, same_total(mismatch, self._all) or unknown]

    # Comparison with another point, or with a fixed cost

    def _by_experiments(self, findings: list[Finding]) -> list[Finding]:
        """Replace doubtful findings if the gradient is that of another point or a fixed cost."""
        doubtful = [f for f in findings if not f.firm or self._is_without_meaning(f)]
        if not any(m.is_bug for f in doubtful for m in f.mismatches):
            return findings
        if not all(f.firm for f in doubtful):
            # A cost that is flat now may not have been flat before an update.
            flat = Cause.COST_IGNORES_PARAMETERS
            doubtful += [f for f in findings if f.cause is flat]
        kept = [f for f in findings if f not in doubtful]
        settled = {id(m) for f in kept for m in f.mismatches}
        fitting = [m for m in self._all if id(m) not in settled]
        # One fitted number is no simpler than another, unless it occurs in the notebook.
        fitted = all(f.firm for f in doubtful)
        experiments = self._experiments
        stale = functools.partial(experiments.stale, thorough=not fitted)
        for tried in (experiments.previous, stale, experiments.broadcast):
            found = tried(fitting)
            if found is not None and (not fitted or _is_evident(found)):
                return [*kept, found]
        return findings

    def _is_without_meaning(self, finding: Finding) -> bool:
        """Return True for a factor without a known meaning."""
        factor = finding.details.get("factor", np.nan)
        return finding.cause is Cause.SCALE and self._notebook_numbers.factor(abs(factor)) is None

    # Causes that the order of the parameters reveals

    def _upstream(self, findings: list[Finding]) -> list[Finding]:
        """Replace findings without a simple cause by the place where the error enters, if any."""
        weak = [f for f in findings if self._may_come_from_upstream(f)]
        unexplained = [m for f in weak for m in f.mismatches]
        place = boundary(self._layers, unexplained)
        if place is None or not any(m.is_bug for m in place.explained):
            return findings
        inside = {id(m) for m in place.explained}
        absorbed = [f for f in weak if id(f.mismatches[0]) in inside]
        if all(f.firm for f in absorbed) or all(map(_is_aligned_block, absorbed)):
            return findings
        # If the cost does not change with a parameter, that holds whatever else is wrong.
        ignored = Cause.COST_IGNORES_PARAMETERS
        kept = [f for f in findings if f not in absorbed or f.cause is ignored]
        return [*kept, _finding_at(place, absorbed)]

    def _may_come_from_upstream(self, finding: Finding) -> bool:
        """Return True if an error closer to the output may look like this."""
        if finding.cause is Cause.COST_IGNORES_PARAMETERS:
            # The parameter may cancel in the cost, as a bias before batch norm does.
            return any(m.is_wrong for m in self._layers.beside(finding.mismatches[0]))
        return not finding.firm or finding.cause is Cause.MASK or self._is_without_meaning(finding)

    def _with_place(self, finding: Finding) -> Finding:
        """Add the place where the error enters to a finding that several parameters share."""
        if finding.cause is Cause.MASK:
            return _with_first_name(finding)
        if finding.cause not in {Cause.SIGN, Cause.SCALE, Cause.ZERO}:
            return finding
        place = boundary(self._layers, finding.mismatches)
        if place is None or len(place.explained) < len(self._wrong):
            return finding
        return replace(finding, details=finding.details | _place_details(place))


def _finding_at(place: Boundary, absorbed: Sequence[Finding]) -> Finding:
    """Return the finding for an error that enters at a place in the backward pass."""
    mask = next((f for f in absorbed if f.cause is Cause.MASK and _is_right_before(f, place)), None)
    if mask is not None:
        details = _with_first_name(mask).details | _place_details(place)
        return Finding(Cause.MASK, place.explained, details)
    known = [{"name": m.name, **similarity(m)} for m in place.explained]
    if not place.after and all(map(_is_nearly_right, place.explained, known)):
        # The gradient is nearly right everywhere, so the point or the data differ, not a formula.
        return Finding(Cause.UNKNOWN, place.explained, {"evidence": known}, firm=False)
    details = {**_place_details(place), "layer": place.layer, "right_after": place.is_right_after}
    details |= {"is_numbered": place.is_numbered, "evidence": known}
    return Finding(Cause.UPSTREAM, place.explained, details)


def _is_nearly_right(mismatch: Mismatch, known: Details) -> bool:
    """Return True if direction and length are nearly right; a single number has no direction."""
    alike = known.get("cosine", 0.0) > NEARLY and 0.5 < known["ratio"] < 2  # noqa: PLR2004 (twice)
    return alike and mismatch.size > 1


def _is_evident(finding: Finding) -> bool:
    """Return True if a finding needs no fitted number.

    A learning rate is a fitted number, unless it occurs in the notebook.
    """
    return "learning_rate" not in finding.details or bool(finding.details["name"])


def _may_be_swapped(finding: Finding | None) -> bool:
    """Return True if a parameter may still have the gradient of another one."""
    zero = {Cause.ZERO, Cause.COST_IGNORES_PARAMETERS}
    return finding is None or not finding.firm or finding.cause in zero


def _ordered(some: Iterable[Mismatch], everything: Sequence[Mismatch]) -> tuple[Mismatch, ...]:
    return tuple(sorted(some, key=everything.index))


def _place_details(place: Boundary) -> Details:
    return {"after": place.after.name if place.after else "", "before": place.before.name}


def _with_first_name(finding: Finding) -> Finding:
    return replace(finding, details={"name": finding.mismatches[0].name, **finding.details})


def _is_right_before(finding: Finding, place: Boundary) -> bool:
    """Return True if a mask was forgotten right before a place."""
    return finding.mismatches[0] is place.before


def _is_aligned_block(finding: Finding) -> bool:
    """Return True for one of the equal blocks, side by side, that hold several gates."""
    if finding.cause is not Cause.SLICE:
        return False
    shape = finding.mismatches[0].parameter.shape
    partial = [
        (side, n) for side, n in zip(finding.details["sides"], shape, strict=True) if len(side) < n
    ]
    if len(partial) != 1:
        return False
    side, length = partial[0]
    width = side[-1] - side[0] + 1
    return bool(width == len(side) > 1 and side[0] % width == length % width == 0)


def _grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Merge the findings that share a cause and its number."""
    groups: list[Finding] = []
    for finding in findings:
        i = next((i for i, group in enumerate(groups) if _is_shared(group, finding)), None)
        if i is None:
            groups.append(finding)
        else:
            group = groups[i]
            both = (*group.mismatches, *finding.mismatches)
            groups[i] = replace(group, mismatches=both, details=_merged(group, finding))
    return groups


def _merged(group: Finding, finding: Finding) -> Details:
    penalised = [*group.details.get("penalised", ()), *finding.details.get("penalised", ())]
    return group.details | ({"penalised": penalised} if penalised else {})


def _is_shared(group: Finding, finding: Finding) -> bool:
    if group.cause is not finding.cause:
        return False
    if "n_wrong" in {*group.details, *finding.details} and finding.cause in _NUMBERS:
        # If some entries are exempt, each parameter is reported separately.
        return False
    if finding.cause in _SHARED:
        return True
    if finding.cause not in _NUMBERS:
        return False
    number = _NUMBERS[finding.cause]
    one, other = group.details, finding.details
    allowed = 2 * (one[f"{number}_uncertainty"] + other[f"{number}_uncertainty"])
    apart = abs(one[number] - other[number])
    return bool(apart <= allowed + TOLERANCE * abs(one[number])) and one.get("l1") == other.get(
        "l1"
    )
