"""Compare the analytic with the numerical gradient: each entry, each parameter, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.analytic_gradient import rounding_part
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import GROSS
from gradcheck_magic._measure.scan import NEGLIGIBLE, Scan
from gradcheck_magic._result.parameter_check import (
    Entry,
    ParameterCheck,
    relative_error,
    worst_first,
)
from gradcheck_magic._result.verdict import LISTED, THRESHOLDS, Verdict, relative_difference

__all__ = [
    "DOUBLE_PRECISION",
    "SINGLE_PRECISION",
    "Comparison",
    "Tolerance",
    "compare",
    "detectable_errors",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The verdicts on entries that are wrong, to be inspected, unknown, or none of these.
WORST_FIRST = (Verdict.BUG, Verdict.INSPECT, Verdict.INCONCLUSIVE, Verdict.CORRECT)
# The share of the entries of a parameter for which its smallest detectable error holds.
MOST = 0.9


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
    difference : tuple of float
        The relative difference over all measured entries, and 0; after a scan, its estimate and the
        uncertainty of that.
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
    """

    verdict: Verdict
    difference: tuple[float, float]
    parameters: tuple[ParameterCheck, ...]
    wrong: Mask
    inspect: Mask
    unknown: Mask
    negligible: tuple[str, ...]

    def in_pieces(self, pairing: Pairing, measured: MeasuredEntries) -> Self:
        """Return the same judgement of every entry, told for the pieces of a flat θ."""
        masks = self.wrong, self.inspect, self.unknown
        checks = (
            replace(_parameter_check(*part, measured, masks), gradient_shape=part[0].shape)
            for part in measured.parts(pairing)
        )
        return replace(self, parameters=tuple(checks))


def compare(
    pairing: Pairing,
    measured: MeasuredEntries,
    tolerance: Tolerance,
    scan: Scan | None = None,
    together: Collection[str] = (),
    *,
    is_slight: bool = False,
) -> Comparison:
    """Judge the analytic gradient by the numerical one.

    Every measured entry either disagrees beyond its error bar, clearly or not, or agrees; and an
    entry that agrees is known well enough, or not. The verdicts follow from that and not from the
    difference. After a scan they also depend on what the residuals of each parameter leave open. If
    all errors are slight, they are worth inspecting, whatever they are in units of their entries.
    Parameters may also be wrong if their entries are taken `together`: these are given by name.
    """
    analytic, numerical = measured.analytic, measured.numerical
    lost = _lost_in_rounding(pairing, measured, scan)
    # The error of each entry in units of its error bar; 0 where it has none.
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(analytic - numerical) / (measured.uncertainty + measured.rounding)
    open_anyway = measured.disputed | (_faint(pairing, measured) & (off > 1))
    off = np.where(lost | open_anyway, 0.0, np.nan_to_num(off, posinf=np.inf))
    error = relative_error(numerical, analytic)
    least = math.inf if is_slight else THRESHOLDS[1]
    wrong = (off > CLEAR) & (error >= least) | ~np.isfinite(analytic)
    # A disagreement this small must be all the clearer.
    inspect = (off > GROSS) & (error >= tolerance.error) & ~wrong
    unsure = (off > 1) & (error >= THRESHOLDS[1]) & ~wrong
    unknown, negligible = _unknown(pairing, measured, tolerance, lost)
    is_open = (unsure | (open_anyway & ~lost) | ~np.isfinite(numerical)) & ~wrong & ~inspect
    unknown = unknown & ~wrong & ~inspect | is_open
    masks = wrong, inspect, unknown
    parts = list(measured.parts(pairing))
    disagree = {parameter.name for parameter, rows, _ in parts if is_open[rows].any()}
    checks = [
        replace(_parameter_check(*part, measured, masks), gradient_shape=shape)
        for part, shape in zip(parts, pairing.gradient_shapes, strict=True)
    ]
    checks = [replace(c, verdict=Verdict.BUG) if c.name in together else c for c in checks]
    verdict, difference = _verdict(masks), (_difference(measured, slice(None)), 0.0)
    verdict = Verdict.BUG if together else verdict
    sizes = np.fmax(np.abs(analytic), np.abs(numerical))
    is_zero = bool(np.all((sizes <= measured.uncertainty) & ~measured.kinked))
    if scan is not None:
        checks = [
            _with_scan(scan, i, checks[i], tolerance, is_open=bool(is_open[rows].any()))
            for i, (_, rows, _) in enumerate(parts)
        ]
        found = [check.verdict for check in checks if check.size]
        found += [Verdict.CORRECT if scan.joint is None else Verdict.INCONCLUSIVE]
        verdict = min(found, key=WORST_FIRST.index)
        difference = scan.difference
        is_zero = all(each.is_zero for each in scan.parameters)
    return Comparison(
        Verdict.INCONCLUSIVE if is_zero and verdict is Verdict.CORRECT else verdict,
        difference,
        tuple(checks),
        *masks,
        tuple(name for name in negligible if name not in disagree),
    )


def _with_scan(
    scan: Scan, i: int, check: ParameterCheck, tolerance: Tolerance, *, is_open: bool
) -> ParameterCheck:
    """Add what a scan knows of the entries that were not measured individually."""
    each, verdict = scan.parameters[i], check.verdict
    if not (verdict in {Verdict.BUG, Verdict.INSPECT} or each.is_enumerated):
        enough = max(tolerance.of_parameter * each.largest, tolerance.of_gradient * each.of_all)
        known = each.detectable <= enough or scan.is_nothing(i) or scan.is_lost(i)
        is_right = each.is_explained and known and not is_open
        verdict = Verdict.CORRECT if is_right else Verdict.INCONCLUSIVE
    if each.is_proven_wrong:
        verdict = Verdict.BUG
    difference, uncertainty = scan.difference_of(i)
    return replace(
        check,
        verdict=verdict,
        difference=difference,
        difference_uncertainty=uncertainty,
        is_scanned=each.is_measured,
        largest=each.largest,
        typical=each.norm / math.sqrt(max(check.size, 1)),
        detectable=each.detectable,
        regions=tuple(each.regions),
    )


def _verdict(masks: tuple[Mask, Mask, Mask], rows: slice = slice(None)) -> Verdict:
    """Return the worst verdict on any measured entry, or on those in some rows."""
    found = (worst for worst, mask in zip(WORST_FIRST, masks, strict=False) if mask[rows].any())
    return next(found, Verdict.CORRECT)


def _faint(pairing: Pairing, measured: MeasuredEntries) -> Mask:
    """Return the entries that are not zero, but no more than rounding the others may leave."""
    sizes = np.maximum(np.abs(measured.analytic), np.abs(measured.numerical))
    rounding = np.empty(len(sizes))
    for eps, (_, part, _) in zip(pairing.gradient_eps, measured.parts(pairing), strict=True):
        rounding[part] = rounding_part(eps)
    faint: Mask = (measured.analytic != 0) & (sizes <= rounding * measured.of_all)
    return faint


def _lost_in_rounding(pairing: Pairing, measured: MeasuredEntries, scan: Scan | None) -> Mask:
    """Return the entries of parameters whose whole gradient is rounding error from the others.

    The true gradient is zero there: backpropagation returns the sum of large terms that cancel.
    """
    rounding = rounding_part(max(pairing.gradient_eps)) * measured.of_all
    zero = np.abs(measured.analytic) <= rounding
    # A gradient that was forgotten is exactly zero: a bar must not exclude that, not even a little.
    bars = np.where(measured.analytic == 0, 1.0, CLEAR) * measured.uncertainty
    zero &= np.abs(measured.numerical) <= bars
    lost = np.zeros(len(zero), dtype=bool)
    for i, (_, part, ks) in enumerate(measured.parts(pairing)):
        if not len(ks):
            continue
        lost[part] = zero[part].all() if scan is None else scan.is_lost(i)
    return lost


def _unknown(
    pairing: Pairing, measured: MeasuredEntries, tolerance: Tolerance, lost: Mask
) -> tuple[Mask, tuple[str, ...]]:
    """Return the entries whose error bar is too wide, and the parameters too small to matter."""
    sizes = np.fmax(np.abs(measured.analytic), np.abs(measured.numerical))
    sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    unknown = np.zeros(len(sizes), dtype=bool)
    negligible = []
    largest = np.where(measured.of_all > 0, measured.of_all, np.max(sizes, initial=0.0))
    of_all, of_zero = tolerance.of_gradient * largest, NEGLIGIBLE * largest
    for parameter, part, ks in measured.parts(pairing):
        if not len(ks):
            continue
        enough = tolerance.of_parameter * np.max(sizes[part], initial=0.0)
        # Where both gradients are exactly zero, there are no three digits to be known: it must be
        # certain only that this is little beside the rest.
        is_little = measured.uncertainty[part] <= of_zero[part]
        nothing = (sizes[part] == 0) & is_little
        nothing |= np.isfinite(measured.uncertainty[part]) & lost[part]
        wide = ~(measured.uncertainty[part] <= enough) & ~nothing
        unknown[part] = wide & ~(measured.uncertainty[part] <= of_all[part])
        if np.any(wide & ~unknown[part]) or np.any(nothing & ~is_little):
            negligible.append(parameter.name)
    return unknown | ~measured.settled, tuple(negligible)


def _parameter_check(
    parameter: Parameter,
    rows: slice,
    ks: NDArray[np.intp],
    measured: MeasuredEntries,
    masks: tuple[Mask, Mask, Mask],
) -> ParameterCheck:
    """Return what the entries of a parameter show: those in some rows, at the positions `ks`."""
    wrong, verdict = masks[0][rows], _verdict(masks, rows)
    if verdict is Verdict.CORRECT and len(ks) < parameter.size:
        verdict = Verdict.INCONCLUSIVE
    values = measured.analytic[rows], measured.numerical[rows], measured.uncertainty[rows]
    sizes = np.fmax(np.abs(values[0]), np.abs(values[1]))
    errors = detectable_errors(measured, rows)
    worst = [
        Entry(
            parameter.label(int(ks[i])), parameter.index(int(ks[i])), *(float(c[i]) for c in values)
        )
        for i in (worst_first(*values[:2], wrong, 1) if len(ks) else ())
    ]
    return ParameterCheck(
        name=parameter.name,
        shape=parameter.shape,
        size=parameter.size,
        start=parameter.start,
        verdict=verdict,
        difference=_difference(measured, rows) if parameter.size else 0.0,
        n_measured=len(ks),
        n_wrong=int(wrong.sum()),
        worst=worst[0] if worst else None,
        largest=float(np.max(sizes, initial=0.0, where=np.isfinite(sizes))),
        detectable=float(np.quantile(errors, MOST, method="higher")) if len(errors) else math.nan,
        output_axes=parameter.output_axes,
    )


def detectable_errors(measured: MeasuredEntries, rows: slice = slice(None)) -> Vector:
    """Return the smallest error that would be detected in each entry; inf if none would be."""
    bars = (CLEAR + 1) * (measured.uncertainty + measured.rounding)[rows]
    least = np.maximum(bars, LISTED * np.abs(measured.numerical[rows]))
    return np.where(np.isfinite(least), least, np.inf)


def _difference(measured: MeasuredEntries, rows: slice) -> float:
    """Return the relative difference over the entries that have a quotient, or else a value.

    It is nan if no entry has been measured.
    """
    textbook, analytic = measured.textbook[rows], measured.analytic[rows]
    if not len(textbook):
        return math.nan
    textbook = np.where(np.isfinite(textbook), textbook, measured.numerical[rows])
    finite = np.isfinite(textbook)
    return relative_difference(textbook[finite], analytic[finite])
