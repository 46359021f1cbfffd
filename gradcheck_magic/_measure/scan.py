"""Measure a gradient along random directions: find what is wrong in few evaluations.

One direction in each parameter reveals any wrong entry, unless several cancel. Whatever is clearly
wrong is located. Where kinks hide everything along a direction, a few entries are measured
individually. One more direction, along which everything moves that is correct so far, confirms the
result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import forget_numbers
from gradcheck_magic._inputs.pairing import Pairing, largest_entry
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.analytic_gradient import gradient_under_test, rounding_part
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.locate import FEW_SUSPECTS, RegionSearch
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.residuals import Residual, Residuals, joint_residual, results_of
from gradcheck_magic._measure.sampling import Sampled, Sampler
from gradcheck_magic._result.parameter_check import WrongRegion
from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = ["NEGLIGIBLE", "ParameterScan", "Scan", "Scanner", "planned_scan"]

Vector = NDArray[np.float64]

# The most directions after the first one; they end earlier if nothing is left to be found.
TURNS = 3
# The number of directions that estimate the size of an error not known entry by entry.
SKETCH = 6
# Where θ sits on a kink, a parameter with at most this many entries is measured entry by entry.
ENUMERATED = 64
# A true error of this many error bars is certain to be called wrong: what is measured of it must
# exceed CLEAR bars, and the bar may hide one more.
CLEAR_OF_ALL = CLEAR + 1
# If the largest absolute value of a gradient is between these, its squares neither overflow nor
# underflow, however many are summed.
SMALL_ENTRY, LARGE_ENTRY = 1e-140, 1e140
# A gradient is called zero if no entry can be larger than this part of the largest of all.
NEGLIGIBLE = 1e-3
# The most entries of a parameter that are nan or inf and still are measured individually.
MOST_SETTLED = 16


@dataclass
class ParameterScan:
    """The findings of a scan in one parameter, as far as it got.

    Attributes
    ----------
    largest : float
        The largest absolute value in its analytic gradient.
    of_all : float
        The same for the whole gradient, in units that compare with this parameter.
    norm : float
        ‖g‖, the length of its analytic gradient without entries that are nan or inf.
    first : Residual or None
        The residual over all entries for the gradient as given; None if that was not measured.
    rest : Residual or None
        The residual along the last direction, corrected for what was found until then.
    sketch : list of Residual
        Residuals over all entries, if the size of the error had to be estimated.
    """

    parameter: Parameter
    largest: float
    of_all: float
    norm: float
    is_finite: bool = True
    first: Residual | None = None
    rest: Residual | None = None
    sampled: Sampled = field(default_factory=Sampled)
    sketch: list[Residual] = field(default_factory=list)

    @property
    def regions(self) -> list[WrongRegion]:
        """The rows, columns or larger boxes in which too many entries are wrong to list."""
        return self.sampled.regions

    @property
    def is_measured(self) -> bool:
        """True if all entries were measured, together or individually."""
        return self.first is not None or self.is_enumerated

    @property
    def is_enumerated(self) -> bool:
        """True if every entry was measured individually."""
        return len(self.sampled.ks) == self.parameter.size

    @property
    def is_explained(self) -> bool:
        """True if no direction shows more than what was found."""
        if self.is_enumerated:
            return True
        rest = self.rest
        return rest is not None and rest.is_known and not rest.is_clear

    @property
    def is_blind(self) -> bool:
        """True if kinks or sharp bends along a direction hide even an error as large as an entry.

        Nothing is known then but what single entries show.
        """
        first = self.first
        return (
            first is not None
            and not self.is_enumerated
            and first.is_bent
            and not first.is_clear
            and not first.detectable <= self.largest
        )

    @property
    def is_proven_wrong(self) -> bool:
        """True if a residual proves that the gradient is wrong, whichever entries are.

        Where J has small jumps, as that of a solver that stops early has, its slope along a line is
        not that of the gradient; this changes less than what nobody doubts to be a bug.
        """
        rest = self.rest
        if rest is None or not rest.is_proof or self.is_enumerated:
            return False
        return abs(rest.value) > 2 * THRESHOLDS[-1] * max(self.norm, abs(rest.slope))

    @property
    def is_sized(self) -> bool:
        """True if the size of the error is known or estimated, and not only that of a part."""
        if self.is_blind:
            return False
        return len(self.sketch) > 1 or (self.is_explained and not self.regions)

    @property
    def detectable(self) -> float:
        """The size above which a single wrong entry would almost certainly have been found."""
        if self.is_enumerated:
            batches = self.sampled.batches
            bars = [CLEAR_OF_ALL * (b.uncertainty + b.rounding)[b.settled] for b in batches]
            return float(np.max(np.concatenate(bars), initial=0.0)) if bars else 0.0
        return math.inf if self.first is None else self.first.detectable

    @property
    def is_zero(self) -> bool:
        """True if both gradients are zero, as far as can be told."""
        if self.first is None:
            return self.largest == 0 and not self.sampled.wrong
        return self.first.is_known and max(abs(self.first.slope), self.largest) <= self.first.bar

    @property
    def longest(self) -> float:
        """The largest absolute value of any measured slope, error or numerical gradient."""
        slopes = [abs(r.slope) for r in (self.first, *self.sketch) if r is not None and r.is_known]
        numerical = [abs(n) for change in self.sampled.changes.values() for n in change[:2]]
        return max([*slopes, *numerical], default=0.0)

    def known_right(self) -> NDArray[np.bool_]:
        """Return a mask of entries that are correct although not measured individually."""
        is_known = self.is_explained and not (self.is_enumerated or self.is_blind)
        right = np.full(self.parameter.shape, is_known)
        for region in self.regions:
            right[tuple(slice(*side) for side in region.box)] = False
        flat: NDArray[np.bool_] = right.reshape(-1)
        flat[self.sampled.ks] = False
        return flat

    def squares(self, unit: float) -> _Squares:
        """Return the squared lengths of error and numerical gradient, relative to a unit."""
        if len(self.sketch) > 1:
            return self._estimate(unit)
        changes = np.array(list(self.sampled.changes.values())).reshape(-1, 3).T / unit
        error, numerical, _ = changes
        found = float(np.sum(error**2))
        more = float(np.sum(numerical**2 - (numerical - error) ** 2))
        left = 0.0
        if self.rest is not None and self.rest.is_known:
            left = self.rest.bar / unit
            found += (min(abs(self.rest.value), self.rest.bar) / unit) ** 2
        return _Squares(found, left**2, (self.norm / unit) ** 2 + more)

    def least_square(self, unit: float) -> float:
        """Return what the squared length of the error is at least, relative to a unit."""
        if self.is_sized:
            squares = self.squares(unit)
            return max(squares.error - squares.spread, 0.0)
        changes = self.sampled.changes.values()
        return math.fsum(((abs(error) - bar) / unit) ** 2 for error, _, bar in changes)

    def _estimate(self, unit: float) -> _Squares:
        """Estimate the squared lengths from residuals along several random directions.

        The error is a multiple of the analytic gradient plus an unrelated part. For both of these
        E[(δᵀv)²] = ‖δ‖² (Johnson and Lindenstrauss), and the multiple is found by least squares,
        like the coefficient of a control variate.
        """
        off = np.array([residual.value for residual in self.sketch]) / unit
        predicted = np.array([residual.slope for residual in self.sketch]) / unit - off
        information = float(predicted @ predicted)
        factor = float(off @ predicted) / information if information > 0 else 0.0
        n_free = len(off) - 1
        other = float(np.sum(np.square(off - factor * predicted))) / n_free
        doubt = other / information if information > 0 else 0.0
        square = (self.norm / unit) ** 2
        bars = float(np.mean(np.square([residual.bar / unit for residual in self.sketch])))
        # The square of an estimate is too large by its variance, on average. With so few
        # directions, the spread is that of Student's t.
        more = other - doubt * square
        wider = math.sqrt(n_free / max(n_free - 2, 1))
        spread = wider * math.hypot(
            2 * factor * square * math.sqrt(doubt), other * math.sqrt(2 / n_free), bars
        )
        error, numerical = factor**2 * square + more, (1 + factor) ** 2 * square + more
        return _Squares(max(error, 0.0), spread, max(numerical, 0.0))


class _Squares(NamedTuple):
    """The squared lengths of the gradient's error, its spread, and of the numerical gradient."""

    error: float
    spread: float
    numerical: float


@dataclass
class Scan:
    """The findings of a scan.

    Attributes
    ----------
    eps : float
        The eps of the coarsest precision in the gradient.
    joint : Residual or None
        The residual along a direction that moves all parameters, if it shows something wrong that
        no parameter shows by itself.
    """

    parameters: list[ParameterScan]
    eps: float
    joint: Residual | None = None
    is_done: bool = False

    @property
    def batches(self) -> list[MeasuredEntries]:
        """The measurements of all entries that were measured individually, batch by batch."""
        return [batch for each in self.parameters for batch in each.sampled.batches]

    @property
    def detectable(self) -> float:
        """The size above which a single wrong entry would have been found in any parameter."""
        return max((each.detectable for each in self.parameters), default=math.inf)

    def judge_again(self) -> None:
        """Judge the entries again after their error bars have changed."""
        for each in self.parameters:
            each.sampled.judge_again(each.parameter)

    def is_nothing(self, i: int) -> bool:
        """Return True if both gradients of a parameter are zero, to little beside the others."""
        each = self.parameters[i]
        first = each.first
        if first is None or first.on_kink or not each.largest == first.slope == 0:
            return False
        return each.of_all == 0 or self._is_negligible(each)

    def is_lost(self, i: int) -> bool:
        """Return True if the whole gradient of a parameter is rounding error from the others.

        The true gradient is zero there, as far as can be measured.
        """
        each = self.parameters[i]
        if each.largest > rounding_part(self.eps) * each.of_all or not each.is_explained:
            return False
        if not self._is_negligible(each):
            return False
        if not all(batch.shows_nothing for batch in each.sampled.batches):
            return False
        first = each.first
        return first is None or (not first.on_kink and abs(first.slope) <= CLEAR * first.bar)

    def _is_negligible(self, each: ParameterScan) -> bool:
        """Return True if any error of a parameter would be little beside the whole gradient."""
        return each.detectable <= NEGLIGIBLE * each.of_all

    @property
    def difference(self) -> tuple[float, float]:
        """The estimated relative difference and its uncertainty; or a lower bound, and inf."""
        return _difference(self.parameters)

    def difference_of(self, i: int) -> tuple[float, float]:
        """Return the same for one parameter."""
        return _difference(self.parameters[i : i + 1])


def _difference(parameters: Sequence[ParameterScan]) -> tuple[float, float]:
    measured = [p for p in parameters if p.is_measured]
    if not measured or not all(p.is_finite for p in parameters):
        return math.nan, math.inf
    # Dividing by a unit keeps the squares of huge or tiny values in the range of floating point.
    unit = max((max(p.norm, p.longest) for p in measured), default=0.0)
    if not 0 < unit < math.inf:
        return (0.0, 0.0) if unit == 0 else (math.nan, math.inf)
    if not all(p.is_sized for p in parameters if p.parameter.size):
        # The numerical gradient is no longer than the analytic one and the error together.
        least = math.sqrt(math.fsum(p.least_square(unit) for p in measured))
        whole = 2 * math.hypot(*(p.norm / unit for p in parameters)) + least
        return least / whole if least > 0 else math.nan, math.inf
    squares = [p.squares(unit) for p in measured]
    error = sum(s.error for s in squares)
    spread = math.hypot(*(s.spread for s in squares))
    scale = math.sqrt(max(sum(s.numerical for s in squares), 0.0)) + math.hypot(
        *(p.norm / unit for p in measured)
    )
    if not scale > 0:
        return 0.0, 0.0
    length = math.sqrt(error)
    # d√x = dx / 2√x; but √dx if x is no larger than dx.
    uncertainty = spread / (2 * length) if error > spread else math.sqrt(spread)
    return length / scale, uncertainty / scale


def planned_scan(pairing: Pairing) -> Scan:
    """Return a scan in which nothing has been measured yet."""
    found = []
    gradients = zip(pairing.gradients, pairing.largest_beside, strict=True)
    for parameter, (gradient, of_all) in zip(pairing.checked, gradients, strict=True):
        largest = largest_entry(gradient)
        is_finite = bool(np.isfinite(gradient).all())
        finite = gradient if is_finite else gradient[np.isfinite(gradient)]
        # The squares of huge or tiny values would overflow or underflow; others need no copy.
        unit = 1.0 if SMALL_ENTRY < largest < LARGE_ENTRY else largest or 1.0
        length = unit * float(np.linalg.norm(finite if unit == 1 else finite / unit))
        found.append(ParameterScan(parameter, largest, of_all, length, is_finite))
    return Scan(found, max(pairing.gradient_eps))


class Scanner:
    """Finds everything that is wrong in a gradient, and fills a planned scan with it.

    Random directions come from `seed`; single entries are confirmed with the step `epsilon`. After
    an interrupt the scan holds what is known.
    """

    def __init__(
        self, found: Scan, cost: Cost, pairing: Pairing, seed: int, epsilon: float
    ) -> None:
        self._found = found
        self._cost = cost
        self._all: list[tuple[ParameterScan, Sampler]] = []
        for i, each in enumerate(found.parameters):
            if each.parameter.size:
                residuals = Residuals(cost, gradient_under_test(pairing, i, cost), seed)
                self._all.append((each, Sampler(residuals, cost, each.sampled, epsilon)))

    def run(self) -> None:
        """Look along one direction in each parameter, find what is wrong, and confirm the rest."""
        try:
            self._run()
        finally:
            forget_numbers()
        self._found.is_done = True

    def _run(self) -> None:
        self._cost.expect(4 * len(self._all) + 4)
        for start in range(0, len(self._all), self._cost.at_once):
            self._look_at(self._all[start : start + self._cost.at_once])
        for each, sampler in self._all:
            self._look_closer_at(each, sampler)
        for turn in range(1, TURNS + 1):
            self._found.joint = self._confirm_together(turn)
            if self._found.joint is None:
                break
        for each, sampler in self._all:
            if not each.is_blind and (each.regions or (each.is_measured and not each.is_explained)):
                self._sketch(each, sampler.residuals)

    def _look_at(self, batch: Sequence[tuple[ParameterScan, Sampler]]) -> None:
        """Measure each parameter along one direction; small ones and nan or inf individually."""
        together = []
        for each, sampler in batch:
            not_finite = np.flatnonzero(~np.isfinite(sampler.residuals.analytic.gradient)).tolist()
            sampler.sample(not_finite[:MOST_SETTLED])
            if sampler.size <= FEW_SUSPECTS:
                sampler.sample(range(sampler.size))
            elif len(not_finite) <= MOST_SETTLED:
                together.append((each, sampler.residuals))
        found = results_of([residuals.of_all(0) for _, residuals in together], self._cost)
        for (each, residuals), first in zip(together, found, strict=True):
            each.first = first
            each.rest = residuals.left_of(first)

    def _look_closer_at(self, each: ParameterScan, sampler: Sampler) -> None:
        """Locate what the first direction shows; or measure entries, if it shows nothing."""
        if each.first is None or each.rest is None:
            return
        if sampler.size <= ENUMERATED and (each.first.on_kink or each.is_blind):
            sampler.sample(range(sampler.size))
        elif each.is_blind:
            sampler.sample_anywhere()
        elif each.rest.is_clear:
            self._locate(each, sampler, 0, each.first)

    def _locate(self, each: ParameterScan, sampler: Sampler, turn: int, found: Residual) -> None:
        each.rest = RegionSearch(sampler, self._cost, turn).run(found)

    def _confirm_together(self, turn: int) -> Residual | None:
        """Check everything that is explained along one joint direction.

        Return the joint residual if it shows something wrong, and locate that.
        """
        # A parameter on a kink, or with nothing left to move, would spoil the result.
        explained = [
            (each, sampler)
            for each, sampler in self._all
            if each.first is not None
            and not (each.first.on_kink or each.is_enumerated or each.is_blind)
            and each.is_explained
            and sampler.residuals.direction(turn).size > 0
        ]
        if not explained:
            return None
        everything = [sampler.residuals for _, sampler in explained]
        (joint,) = results_of([joint_residual(everything, self._cost, turn)], self._cost)
        if not joint.is_clear:
            return None
        again = results_of([residuals.of_all(turn) for residuals in everything], self._cost)
        for (each, sampler), found in zip(explained, again, strict=True):
            each.rest = sampler.residuals.left_of(found)
            if each.rest.is_clear:
                self._locate(each, sampler, turn, found)
        return joint

    def _sketch(self, each: ParameterScan, residuals: Residuals) -> None:
        """Estimate the size of an error that is not known entry by entry."""
        turns = range(TURNS + 1, TURNS + 1 + SKETCH)
        sought = abs(each.first.value) if each.first is not None else each.largest
        looks = [residuals.sketched(turn, sought) for turn in turns]
        each.sketch = [sketch for sketch in results_of(looks, self._cost) if sketch.is_known]
