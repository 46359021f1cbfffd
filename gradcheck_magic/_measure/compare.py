"""Compare the analytic with the numerical gradient: each entry, each parameter, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.directions import box_size
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.analytic_gradient import ROUNDING
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import GROSS
from gradcheck_magic._measure.sampling import Region
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.parameter_check import (
    Entry,
    ParameterCheck,
    WrongRegion,
    relative_error,
    severity,
)
from gradcheck_magic._result.verdict import THRESHOLDS, Verdict, relative_difference

__all__ = ["DOUBLE_PRECISION", "SINGLE_PRECISION", "Comparison", "Tolerance", "compare"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tolerance:
    """The precision with which a gradient must be known before it is called correct.

    Attributes
    ----------
    of_parameter : float
        The largest error bar allowed for an entry, relative to the largest entry of its parameter.
    of_gradient : float
        The same relative to the largest entry of the whole gradient. An entry that is known only
        this well is too small to matter.
    error : float
        The relative error of an entry below which it is not worth inspecting.
    """

    of_parameter: float
    of_gradient: float
    error: float


# In double precision, three digits of the largest entry of the parameter must be known. In single
# precision the steps that are possible allow less: 5 % of it, or 0.1 % of the largest entry of the
# whole gradient.
DOUBLE_PRECISION = Tolerance(1e-3, 0.0, THRESHOLDS[0])
SINGLE_PRECISION = Tolerance(5e-2, 1e-3, THRESHOLDS[1])


@dataclass(frozen=True)
class Comparison:
    """The outcome of comparing the analytic with the numerical gradient.

    Attributes
    ----------
    verdict : Verdict
        The verdict on the whole gradient.
    difference : tuple of float
        The relative difference over all measured entries, and 0; after a scan, its estimate and the
        uncertainty of that.
    parameters : tuple of ParameterCheck
        The results for each parameter, in the order of θ.
    wrong : ndarray of bool, shape (m,)
        True for measured entries that disagree by more than is merely worth inspecting.
    inspect : ndarray of bool, shape (m,)
        True for measured entries that disagree by less than that.
    unknown : ndarray of bool, shape (m,)
        True for measured entries about which nothing can be said, because their error bar is too
        wide or missing.
    negligible : tuple of str
        The names of parameters whose gradient is too small to be compared to three digits, and so
        small beside that of the others that it does not matter.
    wrong_entries : tuple of (str, tuple of int)
        The parameter's name and the index of each wrong entry, worst first.
    """

    verdict: Verdict
    difference: tuple[float, float]
    parameters: tuple[ParameterCheck, ...]
    wrong: Mask
    inspect: Mask
    unknown: Mask
    negligible: tuple[str, ...]
    wrong_entries: tuple[tuple[str, tuple[int, ...]], ...]


def compare(
    pairing: Pairing, measured: MeasuredEntries, tolerance: Tolerance, scan: Scan | None = None
) -> Comparison:
    """Judge the analytic gradient by the numerical one.

    Every measured entry either disagrees beyond its error bar, clearly or not, or agrees; and an
    entry that agrees is known well enough, or not. The verdicts follow from that and not from the
    difference. After a scan they also depend on what the residuals of each parameter leave open.
    """
    analytic, numerical = measured.analytic, measured.numerical
    textbook = np.where(np.isfinite(measured.textbook), measured.textbook, numerical)
    lost = _lost_in_rounding(pairing, measured, scan)
    off = np.where(lost | measured.disputed, 0.0, _in_error_bars(measured))
    error = relative_error(numerical, analytic)
    wrong = (off > CLEAR) & (error >= THRESHOLDS[1]) | ~np.isfinite(analytic)
    # A disagreement this small must be all the clearer.
    inspect = (off > GROSS) & (error >= tolerance.error) & ~wrong
    unsure = (off > 1) & (error >= THRESHOLDS[1]) & ~wrong
    unknown, negligible = _unknown(pairing, measured, tolerance, lost)
    is_open = (unsure | (measured.disputed & ~lost) | ~np.isfinite(numerical)) & ~wrong & ~inspect
    unknown = unknown & ~wrong & ~inspect | is_open
    checks, ranked = [], []
    for i, (parameter, part, ks) in enumerate(measured.parts(pairing)):
        verdict = _verdict(wrong[part], inspect[part], unknown[part])
        entries = _ParameterEntries(
            parameter,
            ks,
            analytic[part],
            numerical[part],
            measured.uncertainty[part],
            wrong[part],
            verdict,
        )
        if scan is None:
            checks.append(_compare_parameter(entries, textbook[part]))
        else:
            judged = _judge_scan(scan, i, verdict, tolerance, is_open=bool(is_open[part].any()))
            checks.append(_scanned_parameter(entries, scan, i, judged))
        ranked.extend(entries.wrong_ones())
    ranked.sort(key=lambda entry: -entry[0])
    verdict = _overall(checks, scan) if scan else _verdict(wrong, inspect, unknown)
    is_zero = _shows_nothing(scan) if scan else _is_zero(measured)
    return Comparison(
        Verdict.INCONCLUSIVE if verdict is Verdict.CORRECT and is_zero else verdict,
        scan.difference if scan else (_difference(textbook, analytic), 0.0),
        tuple(checks),
        wrong,
        inspect,
        unknown,
        negligible,
        tuple(name for _, name in ranked),
    )


def _overall(checks: Sequence[ParameterCheck], scan: Scan) -> Verdict:
    """Return the worst verdict on any non-empty parameter, or on all of them together."""
    order = (Verdict.BUG, Verdict.INSPECT, Verdict.INCONCLUSIVE)
    found = {check.verdict for check in checks if check.size}
    if scan.joint is not None:
        found.add(Verdict.INCONCLUSIVE)
    return next((verdict for verdict in order if verdict in found), Verdict.CORRECT)


def _judge_scan(
    scan: Scan, i: int, entry_verdict: Verdict, tolerance: Tolerance, *, is_open: bool
) -> Verdict:
    """Return the verdict on a parameter, from its entries or what its residuals leave open."""
    each = scan.parameters[i]
    if entry_verdict in {Verdict.BUG, Verdict.INSPECT} or each.is_enumerated:
        return entry_verdict
    if is_open or not each.is_explained:
        return Verdict.INCONCLUSIVE
    largest = max(other.largest for other in scan.parameters)
    enough = max(tolerance.of_parameter * each.largest, tolerance.of_gradient * largest)
    known = each.detectable <= enough or each.is_nothing or scan.is_lost(i)
    return Verdict.CORRECT if known else Verdict.INCONCLUSIVE


def _shows_nothing(scan: Scan) -> bool:
    """Return True if the gradient is zero everywhere, as far as can be told."""
    return all(each.is_zero for each in scan.parameters)


def _verdict(wrong: Mask, inspect: Mask, unknown: Mask) -> Verdict:
    if wrong.any():
        return Verdict.BUG
    if inspect.any():
        return Verdict.INSPECT
    return Verdict.INCONCLUSIVE if unknown.any() else Verdict.CORRECT


def _in_error_bars(measured: MeasuredEntries) -> Vector:
    """Return the error of each entry in units of its error bar; 0 where it has none."""
    bars = measured.uncertainty + measured.rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(measured.analytic - measured.numerical) / bars
    return np.nan_to_num(off, nan=0.0, posinf=np.inf)


def _is_zero(measured: MeasuredEntries) -> bool:
    """Return True if both gradients are zero everywhere, as far as can be told."""
    sizes = np.fmax(np.abs(measured.analytic), np.abs(measured.numerical))
    return bool(np.all((sizes <= measured.uncertainty) & ~measured.kinked))


def _lost_in_rounding(pairing: Pairing, measured: MeasuredEntries, scan: Scan | None) -> Mask:
    """Return the entries of parameters whose whole gradient is rounding error from the others.

    The true gradient is zero there: backpropagation returns the sum of large terms that cancel.
    """
    analytic, numerical = np.abs(measured.analytic), np.abs(measured.numerical)
    largest = np.max(analytic, initial=0.0, where=np.isfinite(analytic))
    rounding = ROUNDING * max(pairing.gradient_eps) * largest
    zero = (analytic <= rounding) & (numerical <= CLEAR * measured.uncertainty)
    lost = np.zeros(len(analytic), dtype=bool)
    for i, (_, part, _) in enumerate(measured.parts(pairing)):
        lost[part] = np.all(zero[part]) if scan is None else scan.is_lost(i)
    return lost


def _unknown(
    pairing: Pairing, measured: MeasuredEntries, tolerance: Tolerance, lost: Mask
) -> tuple[Mask, tuple[str, ...]]:
    """Return the entries whose error bar is too wide, and the parameters too small to matter."""
    sizes = np.fmax(np.abs(measured.analytic), np.abs(measured.numerical))
    sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    unknown = np.zeros(len(sizes), dtype=bool)
    negligible = []
    of_all = tolerance.of_gradient * np.max(sizes, initial=0.0)
    for parameter, part, _ in measured.parts(pairing):
        enough = tolerance.of_parameter * np.max(sizes[part], initial=0.0)
        # Where both gradients are exactly zero, there are no three digits to be known.
        nothing = np.isfinite(measured.uncertainty[part]) & (lost[part] | (sizes[part] == 0))
        wide = ~(measured.uncertainty[part] <= enough) & ~nothing
        unknown[part] = wide & ~(measured.uncertainty[part] <= of_all)
        if np.any(wide & ~unknown[part]):
            negligible.append(parameter.name)
    return unknown | ~measured.settled, tuple(negligible)


@dataclass(frozen=True)
class _ParameterEntries:
    """The measured entries of one parameter, in C order, and their positions in it."""

    parameter: Parameter
    ks: NDArray[np.intp]
    analytic: Vector
    numerical: Vector
    uncertainty: Vector
    wrong: Mask
    verdict: Verdict

    def worst(self) -> Entry | None:
        """Return the entry with the largest error; wrong entries come before the others."""
        if not self.analytic.size:
            return None
        i = int(np.argmax(severity(self.analytic, self.numerical, self.wrong)))
        k = int(self.ks[i])
        return Entry(
            self.parameter.label(k),
            self.parameter.index(k),
            float(self.analytic[i]),
            float(self.numerical[i]),
            float(self.uncertainty[i]),
        )

    def wrong_ones(self) -> list[tuple[float, tuple[str, tuple[int, ...]]]]:
        """Return every wrong entry, with its severity."""
        how_bad = severity(self.analytic, self.numerical, self.wrong)
        return [
            (float(how_bad[i]), (self.parameter.name, self.parameter.index(int(self.ks[i]))))
            for i in np.flatnonzero(self.wrong).tolist()
        ]


def _compare_parameter(entries: _ParameterEntries, textbook: Vector) -> ParameterCheck:
    verdict = entries.verdict
    if entries.analytic.size < entries.parameter.size and verdict is not Verdict.BUG:
        verdict = Verdict.INCONCLUSIVE
    return _parameter_check(entries, verdict, (_difference(textbook, entries.analytic), 0.0))


def _scanned_parameter(
    entries: _ParameterEntries, scan: Scan, i: int, verdict: Verdict
) -> ParameterCheck:
    each = scan.parameters[i]
    check = _parameter_check(entries, verdict, scan.difference_of(i))
    return replace(
        check,
        is_scanned=each.is_measured,
        largest=each.largest,
        typical=each.norm / math.sqrt(max(check.size, 1)),
        detectable=each.detectable,
        regions=tuple(_wrong_region(entries.parameter, region) for region in each.regions),
    )


def _wrong_region(parameter: Parameter, region: Region) -> WrongRegion:
    sides = [
        ":"
        if (start, stop) == (0, length)
        else str(start)
        if stop - start == 1
        else f"{start}:{stop}"
        for (start, stop), length in zip(region.box, parameter.shape, strict=True)
    ]
    label = parameter.name
    if set(sides) != {":"}:
        label = f"{parameter.name}[{', '.join(sides)}]"
    return WrongRegion(label, box_size(region.box), region.n_wrong, region.n_tried)


def _parameter_check(
    entries: _ParameterEntries, verdict: Verdict, difference: tuple[float, float]
) -> ParameterCheck:
    parameter = entries.parameter
    return ParameterCheck(
        name=parameter.name,
        shape=parameter.shape,
        size=parameter.size,
        start=parameter.start,
        verdict=verdict,
        difference=difference[0],
        difference_uncertainty=difference[1],
        n_measured=entries.analytic.size,
        n_wrong=int(entries.wrong.sum()),
        worst=entries.worst(),
    )


def _difference(textbook: Vector, analytic: Vector) -> float:
    """Return the relative difference over the entries that have a finite quotient."""
    finite = np.isfinite(textbook)
    return relative_difference(textbook[finite], analytic[finite])
