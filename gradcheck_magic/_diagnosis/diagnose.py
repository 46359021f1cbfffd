"""Finds the cause of a wrong gradient, and its place.

A cause is named only if it explains every entry within its error bar, and the simplest such cause
is chosen: one cause for all wrong parameters is preferred to one for each, and a cause within one
parameter to an error elsewhere in the backward pass. A wrong name is worse than none, so every
wrong gradient is UNKNOWN until a cause explains it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.causes.broadcast import AxisTooMany, WrongAxis
from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastInCost
from gradcheck_magic._diagnosis.causes.changed_by_cell import ChangedByCell
from gradcheck_magic._diagnosis.causes.conjugate import Conjugate
from gradcheck_magic._diagnosis.causes.entries import Clipped, CutToIntegers, Entries, NotFinite
from gradcheck_magic._diagnosis.causes.ignored import Ignored
from gradcheck_magic._diagnosis.causes.mask import Mask
from gradcheck_magic._diagnosis.causes.regularization import Regularization
from gradcheck_magic._diagnosis.causes.scale import Multiple, Scale, Zero
from gradcheck_magic._diagnosis.causes.slice import Slice
from gradcheck_magic._diagnosis.causes.stale import OtherParameters, PreviousCheck, Update
from gradcheck_magic._diagnosis.causes.swapped import Swapped
from gradcheck_magic._diagnosis.causes.symmetrised import Symmetrised
from gradcheck_magic._diagnosis.causes.times_array import TimesArray
from gradcheck_magic._diagnosis.causes.transposed import Transposed
from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.causes.upstream import Upstream
from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.layers import Layers
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sides
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._diagnosis.unlocated import unlocated
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.measurement import Measurement
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["CAUSES", "diagnose", "is_of_same", "searched"]

Vector = NDArray[np.float64]

# If a parameter has more entries than this, the diagnosis of a scan uses only some of its rows and
# columns: those of the measured entries, and enough others to add about a thousand entries.
LARGE_PARAMETER = 100_000
BESIDE = 1000
# A number that several parameters may share is among the first of this many, or is not recognised.
MOST_SHARED = 64


def diagnose(
    comparison: Comparison,
    measured: MeasuredEntries,
    *,
    measurement: Measurement,
    numbers: Callable[[], NotebookNumbers],
    cost: Cost,
    evaluate: bool = True,
    until: float = math.inf,
    previous: GradientCheck | None = None,
    before: NDArray[Any] | None = None,
) -> tuple[Diagnosis, ...]:
    """Name the cause for every parameter that has wrong entries.

    Parameters that share a cause share a diagnosis. The `numbers` of the notebook are collected
    only if something is wrong. Unless `evaluate` is False, the cost may be called, to test
    hypotheses that need more evaluations. No further cause is tried after the time `until`,
    according to `time.perf_counter`.
    """
    pairing = measurement.told
    elsewhere = tuple(unlocated(pairing, comparison, measurement, cost.name))
    if not (comparison.wrong.any() or comparison.inspect.any()):
        return elsewhere
    mismatches = tuple(_mismatches(pairing, comparison, measured, measurement.scan))
    case = Case(
        pairing,
        mismatches,
        _layers(pairing, mismatches),
        numbers(),
        cost.name,
        cost if evaluate else None,
        previous if is_of_same(previous, pairing) else None,
        findings=tuple(Unknown.of(m) for m in mismatches if m.is_wrong),
        before=_if_changed(before, pairing),
    )
    # The squares of huge values overflow; a model that then becomes infinite explains nothing.
    with np.errstate(all="ignore"):
        found = tuple(
            Diagnosis(
                finding.cause,
                tuple(mismatch.name for mismatch in finding.mismatches),
                finding.sentence(case),
                finding.details,
            )
            for finding in searched(case, until).findings
            if finding.firm or any(mismatch.is_bug for mismatch in finding.mismatches)
        )
    return (*found, *elsewhere)


def _layers(pairing: Pairing, mismatches: Sequence[Mismatch]) -> Layers:
    # The blocks of a Jacobian are in no order.
    in_order = () if isinstance(pairing, JacobianPairing) else mismatches
    return Layers(in_order, is_everything=pairing.size == pairing.parameters.size)


def _if_changed(before: NDArray[Any] | None, pairing: Pairing) -> Vector | None:
    """Return θ before the cell, if it has as many entries as θ and differs from it."""
    theta = pairing.parameters.theta()
    if before is None or before.shape != theta.shape or np.array_equal(before, theta):
        return None
    return before.astype(np.float64)


def is_of_same(previous: GradientCheck | None, pairing: Pairing) -> bool:
    """Return True if the previous check measured all entries of the same parameters."""
    if previous is None or previous.n_measured < pairing.size:
        return False
    then, now = ([(p.name, p.shape) for p in ps] for ps in (previous.parameters, pairing.checked))
    return then == now


def searched(case: Case, until: float = math.inf) -> Case:
    """Ask each cause in turn; what it finds takes the place of what was found before."""
    for find in CAUSES:
        if time.perf_counter() > until:
            break
        case = case.with_findings(find(case))
    return case


def joined(case: Case) -> list[Finding]:
    """Let parameters that one number explains share a finding."""
    groups: list[tuple[Finding, list[Mismatch]]] = []
    # Those without a cause come last: they cannot say what number it is, but may agree.
    for finding in sorted(case.findings, key=lambda finding: finding.is_open):
        for i, (group, together) in enumerate(groups[:MOST_SHARED]):
            both = group.joined(finding)
            if both is not None:
                together.extend(finding.mismatches)
                groups[i] = both, together
                break
        else:
            groups.append((finding, list(finding.mismatches)))
    return [
        replace(group, mismatches=tuple(sorted(together, key=case.order.__getitem__)))
        for group, together in groups
    ]


# The causes, the simplest first. Each is asked about what those before it have left open, or have
# not explained well enough.
CAUSES: tuple[Callable[[Case], Sequence[Finding]], ...] = (
    # What the dtype shows.
    CutToIntegers.each,
    # What one sign shows.
    Conjugate.among,
    # One number for everything that is wrong.
    Scale.shared,
    Clipped.shared,
    Regularization.shared,
    # What one parameter shows by itself.
    NotFinite.each,
    Ignored.among,
    Zero.each,
    Scale.each,
    Transposed.each,
    Symmetrised.each,
    Regularization.each,
    AxisTooMany.each,
    TimesArray.each,
    Mask.each,
    Clipped.each,
    Slice.each,
    Entries.each,
    # What several parameters show.
    Swapped.among,
    joined,
    WrongAxis.each,
    # What a few more evaluations of the cost show.
    ChangedByCell.among,
    PreviousCheck.among,
    Update.among,
    OtherParameters.among,
    BroadcastInCost.among,
    # What the order of the parameters shows.
    Upstream.among,
    Multiple.placed,
)


def _mismatches(
    pairing: Pairing, comparison: Comparison, measured: MeasuredEntries, scan: Scan | None
) -> Iterator[Mismatch]:
    half_gap = np.where(measured.kinked, measured.high - measured.low, 0.0) / 2
    numerical = np.where(measured.kinked, measured.low + half_gap, measured.numerical)
    # At a kink, any value between the slopes on both sides is correct, and none beyond them: a
    # model may be off by `CLEAR` bars.
    bars = measured.uncertainty + half_gap / CLEAR
    wrong = comparison.wrong | comparison.inspect
    parts = zip(measured.parts(pairing), pairing.gradient_names, pairing.gradients, strict=True)
    for i, ((parameter, part, ks), gradient_name, analytic) in enumerate(parts):
        sides = right = None
        if scan is not None:
            right = scan.parameters[i].known_right(), scan.parameters[i].detectable
            # A scanned parameter may be huge, and a part of it tells as much.
            is_large = parameter.size > LARGE_PARAMETER
            sides = _some_sides(parameter, ks, analytic) if is_large else None
        yield Mismatch.of(
            parameter,
            gradient_name,
            (analytic, numerical[part], bars[part], measured.rounding[part]),
            wrong[part],
            ks,
            is_bug=bool(comparison.wrong[part].any()),
            sides=sides,
            right=right,
            dtype=pairing.gradient_dtypes[i],
            half_gap=half_gap[part],
        )


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
