"""Finds the cause of a wrong gradient, and its place.

A cause is named only if it explains every entry within its error bar, and the simplest such cause
is chosen: one cause for all wrong parameters is preferred to one for each, and a cause within one
parameter to an error elsewhere in the backward pass. A wrong name is worse than none, so every
wrong gradient is UNKNOWN until a cause explains it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.causes.broadcast import AxisTooMany, WrongAxis
from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastInCost
from gradcheck_magic._diagnosis.causes.entries import Clipped, Entries, NotFinite
from gradcheck_magic._diagnosis.causes.ignored import Ignored
from gradcheck_magic._diagnosis.causes.mask import Mask
from gradcheck_magic._diagnosis.causes.regularization import Regularization
from gradcheck_magic._diagnosis.causes.scale import Multiple, Scale, Zero
from gradcheck_magic._diagnosis.causes.slice import Slice
from gradcheck_magic._diagnosis.causes.stale import PreviousCheck, Update
from gradcheck_magic._diagnosis.causes.swapped import Swapped
from gradcheck_magic._diagnosis.causes.transposed import Transposed
from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.causes.upstream import Upstream
from gradcheck_magic._diagnosis.finding import Case, Earlier, Finding
from gradcheck_magic._diagnosis.layers import Layers
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sides
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.cause import Diagnosis

__all__ = ["CAUSES", "diagnose", "searched"]

Vector = NDArray[np.float64]

# If a parameter has more entries than this, the diagnosis of a scan uses only some of its rows and
# columns: those of the measured entries, and enough others to add about a thousand entries.
LARGE_PARAMETER = 100_000
BESIDE = 1000


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
    case = Case(
        pairing,
        mismatches,
        Layers(mismatches, is_everything=pairing.size == pairing.parameters.size),
        numbers(),
        cost.name,
        cost if evaluate else None,
        earlier,
        findings=tuple(Unknown.of(m) for m in mismatches if m.is_wrong),
    )
    # The squares of huge values overflow; a model that then becomes infinite explains nothing.
    with np.errstate(all="ignore"):
        return tuple(
            Diagnosis(
                finding.cause,
                tuple(mismatch.name for mismatch in finding.mismatches),
                finding.sentence(case),
                finding.details,
            )
            for finding in searched(case).findings
            if finding.firm or any(mismatch.is_bug for mismatch in finding.mismatches)
        )


def searched(case: Case) -> Case:
    """Ask each cause in turn; what it finds takes the place of what was found before."""
    for find in CAUSES:
        case = case.with_findings(find(case))
    return case


def joined(case: Case) -> list[Finding]:
    """Let parameters that one number explains share a finding."""
    groups: list[Finding] = []
    # Those without a cause come last: they cannot say what number it is, but may agree.
    for finding in sorted(case.findings, key=lambda finding: finding.is_open):
        for i, group in enumerate(groups):
            both = group.joined(finding)
            if both is not None:
                mismatches = case.in_order((*group.mismatches, *finding.mismatches))
                groups[i] = replace(both, mismatches=mismatches)
                break
        else:
            groups.append(finding)
    return groups


# The causes, the simplest first. Each is asked about what those before it have left open, or have
# not explained well enough.
CAUSES: tuple[Callable[[Case], Sequence[Finding]], ...] = (
    # One number for everything that is wrong.
    Scale.shared,
    Clipped.shared,
    Regularization.shared,
    # What one parameter shows by itself.
    NotFinite.each,
    Ignored.each,
    Zero.each,
    Scale.each,
    Transposed.each,
    Regularization.each,
    AxisTooMany.each,
    Mask.each,
    Slice.each,
    Entries.each,
    # What several parameters show.
    Swapped.among,
    joined,
    WrongAxis.each,
    # What a few more evaluations of the cost show.
    PreviousCheck.among,
    Update.among,
    BroadcastInCost.among,
    # What the order of the parameters shows.
    Upstream.among,
    Multiple.placed,
)


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
