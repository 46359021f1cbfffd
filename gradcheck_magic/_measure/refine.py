"""The second look at entries that the textbook pass cannot settle.

They are measured with other steps, until their error bar is small or no step would tell more: see
`ladder`. Where many entries disagree beyond any doubt, a few are measured again to confirm all.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision, sides_of
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS, noise_in_steps, noise_of_large_steps
from gradcheck_magic._cost.surroundings import Surroundings
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._inputs.precision import BFLOAT16, DOUBLE, PRECISIONS, rounded, spacing
from gradcheck_magic._measure.analytic_gradient import Analytic, gradient_under_test
from gradcheck_magic._measure.central_differences import (
    CLEAR,
    TEXTBOOK_STEPS,
    difference_quotients,
    textbook_batch,
)
from gradcheck_magic._measure.ladder import (
    RATIO,
    REAL,
    Estimate,
    Ladder,
    Rung,
    Rungs,
    follows_square_law,
    gap_at_zero,
    run_together,
)
from gradcheck_magic._measure.measured_entries import MeasuredEntries

__all__ = [
    "BEST_STEP",
    "FAINT",
    "FIRST_STEP",
    "GROSS",
    "PLACES",
    "VERIFIED",
    "Refinement",
    "SteppedEntries",
    "expected_scale",
    "judged",
    "measure",
    "measure_parameter",
    "noise_of_pair",
    "planned_entries",
    "steps_taken",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A way to measure the noise.
Noise = Callable[[Surroundings, Precision], float]
# A generator that asks for a step of one entry, is sent the rung, and returns what it made of it.
Steps = Generator[tuple[int, float], Rung, Any]

# An entry is verified if its error bar is at most this part of its value. That is three digits, and
# a factor of 1.001 still shows.
VERIFIED = 2.5e-4
# A disagreement of GROSS error bars needs no second look of its own, once CONFIRMED others like it
# have been measured again.
GROSS = 10.0
CONFIRMED = 2
# A disagreement that is the gradient's fault does not depend on the step: this is how far it may
# vary, relative to itself.
STEADY_VALUE = 0.25
# The gap between the slopes on the two sides, relative to the entry, up to which the textbook pass
# may settle it. This is more than noise, and less than truncation that would cost three digits.
STRAIGHT = 0.01
# J bends within a step if the slopes on the two sides differ by more than 1/STEPS_PER_BEND of the
# slope, and if J changes by more than CHANGED of its size because of that. The step is then made
# SHORTER, at most SHORTENED times.
STEPS_PER_BEND, CHANGED = 30.0, 1e-10
SHORTER, SHORTENED = 32.0, 14
# The number of steps for each factor of two, for outputs that share them: so few that they do, and
# so many that a step is as good as the one that was asked for.
STEPS_PER_OCTAVE = 4
# Steps of a second look, in units of the length scale of an entry: the best one for a central
# difference in double precision, and the largest first one, for when noise rules out smaller steps.
# (Rungs are a factor of RATIO apart.)
BEST_STEP = 6e-6
FIRST_STEP = 1e-3
# Where J is a staircase, this step is wider than most stairs; in units of the length scale.
STAIRS = 1e-2
# Where J is flat, an analytic value below this part of the error bar shows with no step at all.
HOPELESS = 1e-3
# Where J is flat, a slope below this part of the largest entry is of no interest; or of J, if all
# entries are zero.
FAINT = 1e-9
# The smallest step, in units in the last place of θᵢ. Along a random direction, a typical entry
# moves by no less.
PLACES = 64
# The smallest unit in the last place that is used, absolute, so that a step from zero has digits.
LEAST_PLACE = 1e-316
# The most steps of a second look at one entry.
RUNGS_OF_ENTRY = 7
# The most wrong entries of a parameter that are measured well, to help find out what is wrong. An
# error bar wider than BLURRED, relative to the error and to the slope, is too wide for that; these
# entries may take MORE_RUNGS further steps.
SHARPENED = 8
BLURRED = 1e-3
MORE_RUNGS = 5
# Entries take a step together, which saves time where J takes hardly any: at most this many, and so
# few that an interrupt loses no more than this many seconds.
TOGETHER = 32
LOST_SECONDS = 0.02
# The most entries in a table: one of ten million would take seconds to plan, and much memory.
ROWS = 1 << 20


class SteppedEntries:
    """Some entries of one parameter, and the steps that they take to either side.

    Attributes
    ----------
    ks : sequence of int
        Their positions in the parameter.
    theta : ndarray
        The values of the entries in float64.
    scale : ndarray
        The length over which J is expected to bend along each entry; `resolved` corrects it.
    """

    def __init__(self, cost: Cost, parameter: Parameter, ks: Sequence[int]) -> None:
        self.cost = cost
        self.ks = ks
        self.parameter = parameter
        self._position = cost.position(parameter)
        self._where = slice(ks.start, ks.stop) if isinstance(ks, range) else np.asarray(ks)
        self.theta = self.values.astype(np.float64)
        self.scale = expected_scale(self.theta, parameter)

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def values(self) -> NDArray[Any]:
        """The values of the entries, in the precision in which they take steps."""
        return self._values(self.cost.best)

    @property
    def bits(self) -> int:
        """The significant bits with which they take steps."""
        return self._bits(self.cost.best)

    @property
    def precision(self) -> str:
        """The name of their precision."""
        return PRECISIONS[BFLOAT16] if self.bits == BFLOAT16 else str(self.values.dtype)

    def rungs(self, which: NDArray[np.intp], steps: Vector) -> Rungs:
        """Return J with steps of some of the entries, as rungs in the best precision."""
        best, ks = self.cost.best, [self.ks[k] for k in which.tolist()]
        if self.cost.is_one_of_many:
            # With a few steps for each octave, most others take the same, and these are known.
            steps = 2.0 ** (np.floor(STEPS_PER_OCTAVE * np.log2(steps)) / STEPS_PER_OCTAVE)
        batch = EntryBatch(self._position, ks, steps.tolist(), quiet=True)
        plus, minus = self.cost.pairs(best, batch)
        noise = noise_of_pair(best, plus, minus)
        taken = steps_taken(self.values[which], steps, self.bits)
        return Rungs.measured((minus, best.value, plus), taken, noise)

    def textbook_pass(self, table: MeasuredEntries, epsilon: float) -> Rungs:
        """Take the textbook's step with every entry, and write what it shows into a table.

        An interrupt may prevent the second look. Until then only gross disagreements count.
        """
        own = self.cost.own
        costs = array("d")
        try:
            batch = textbook_batch(self.cost, self.parameter, self.ks, epsilon)
            self.cost.each_pair(own, batch, costs.extend)
        finally:
            # If the pass is interrupted, the entries evaluated by then are still known.
            plus, minus = sides_of(costs)
            known = slice(len(plus))
            table.textbook[known] = difference_quotients(plus, minus, epsilon)
            taken = steps_taken(self._values(own)[known], epsilon, self._bits(own))
            noise = noise_of_pair(own, plus, minus)
            first = Rungs.measured((minus, own.value, plus), taken, noise)
            table.store(first, GROSS / CLEAR)
        return first

    @cached_property
    def smallest(self) -> Vector:
        """The smallest step that each entry can take without losing it to rounding."""
        places = spacing(self.values, self.bits)
        return PLACES * np.maximum(places, LEAST_PLACE)

    def resolved(self, first: Rungs) -> Rungs:
        """Return the first rungs, with other steps for entries for which these say nothing.

        A step may be lost in the rounding of a large entry. It may also be so wide that J has bent
        or levelled off long before, where the entry has a small unit: then it is shortened until J
        is nearly straight.
        """
        lost = np.flatnonzero(first.step < self.smallest)
        if lost.size:
            first = first.replaced(lost, self.rungs(lost, 2 * self.smallest[lost]))
        on_kink = np.zeros(len(first), dtype=bool)
        bent = np.flatnonzero(self._is_bent(first))
        steps = first.step[bent]
        for _ in range(SHORTENED):
            steps = steps / SHORTER
            possible = steps >= self.smallest[bent]
            bent, steps = bent[possible], steps[possible]
            if not bent.size:
                break
            nearer = self.rungs(bent, steps)
            # The gap of a kink stays as it is.
            kinked = nearer.has_same_gap(first.rows(bent))
            on_kink[bent[kinked]] = True
            better = np.flatnonzero(~kinked & np.isfinite(nearer.central))
            first = first.replaced(bent[better], nearer.rows(better))
            self.scale[bent[~kinked]] = np.minimum(self.scale[bent], steps * SHORTER)[~kinked]
            more = ~kinked & self._is_bent(nearer)
            bent, steps = bent[more], steps[more]
        self._shorten_scale(first, on_kink)
        return first

    def _is_bent(self, rungs: Rungs) -> Mask:
        """Return which rungs are so wide that J may bend within their steps."""
        gap, scale = np.abs(rungs.gap), self.cost.scale
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Near a stationary point, J is bent in comparison with its slope, but changes little.
            least = np.maximum(np.abs(rungs.central) / STEPS_PER_BEND, CHANGED * scale / rungs.step)
            bent: Mask = gap > np.maximum(REAL * rungs.round_off, least)
        return bent | (np.isnan(rungs.central) & (rungs.step > 0))

    def _shorten_scale(self, first: Rungs, on_kink: Mask) -> None:
        """Expect J to bend as soon as the gaps between the slopes on the two sides suggest."""
        gap = np.abs(first.gap)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            length = np.sqrt(self.cost.scale * first.step / gap)
            seen = (gap > REAL * first.round_off) & (length > 0) & ~on_kink
        self.scale = np.where(seen, np.minimum(self.scale, length), self.scale)

    def _bits(self, precision: Precision) -> int:
        return precision.binding.bits(self._position)

    def _values(self, precision: Precision) -> NDArray[Any]:
        values: NDArray[Any] = precision.binding.slots[self._position][self._where]
        return values


def expected_scale(theta: Vector, parameter: Parameter) -> Vector:
    """Return the length over which J is expected to bend, for some entries of a parameter.

    It is max(1, |θᵢ|), unless all entries are large and nearly the same: then it is their spread.
    """
    scale: Vector = np.maximum(1.0, np.abs(theta))
    return scale if parameter.spread is None else np.minimum(scale, parameter.spread)


def steps_taken(
    values: NDArray[Any], step: float | Vector, bits: int = DOUBLE
) -> tuple[Vector, Vector]:
    """Return the steps really taken down and up, which differ from the nominal step by rounding.

    `bits` are the significant bits in which the function gets the values.
    """
    step = np.asarray(step, dtype=values.dtype)
    down, up = rounded(values - step, bits), rounded(values + step, bits)
    wide = values.astype(np.float64)
    return wide - down.astype(np.float64), up.astype(np.float64) - wide


def noise_of_pair(precision: Precision, plus: Any, minus: Any) -> Any:
    """Return the noise of both values: at least half a unit in the last place of the larger."""
    sizes = np.abs(plus), np.abs(minus)
    if not np.isfinite(largest := np.maximum(*sizes)).all():
        # What is not finite does not count.
        largest = np.maximum(*(np.where(np.isfinite(size), size, 0.0) for size in sizes))
    # Where J is only rounded at the end, its noise is less than half a unit in the last place.
    least = precision.eps / 2 * abs(precision.value)
    relative = precision.eps / 2 * min(1.0, precision.noise / least if least else 1.0)
    return np.maximum(precision.noise, relative * largest)


class Aim(NamedTuple):
    """How well the entries of a parameter should be known: the error bar that is wanted.

    Where J is flat, a slope below `faint` is of no interest.
    """

    bar: float
    faint: float


class Refinement:
    """What the textbook's pass leaves open among the entries of one parameter, measured again.

    Each of them should have an error bar of at most `aim`, if that is possible.
    """

    def __init__(
        self, table: MeasuredEntries, entries: SteppedEntries, aim: float = math.inf
    ) -> None:
        self._table = table
        self._entries = entries
        self._cost = entries.cost
        largest = float(np.max(table.of_all, initial=0.0))
        self._aim = Aim(aim, FAINT * (largest or self._cost.scale))

    def settle(self, first: Rungs) -> None:
        """Find a value and an error bar for every entry, given the rung of the first pass."""
        table = self._table
        first = self._entries.resolved(first)
        table.store(first)
        if np.any(first.is_flat & (table.analytic != 0)):
            first = self._reexamined(first, noise_of_large_steps)
        open_ones, gross = self._judged(first)
        apart = self._apart(first, np.flatnonzero(gross))
        if not apart < math.inf:
            first = self._reexamined(first, noise_in_steps)
            open_ones, gross = self._judged(first)
            open_ones = open_ones | gross
        # A kink nearer than the step needs no second look where a confirmed disagreement is gross:
        # its gap widens the error bar instead. So does what another step finds.
        wider = np.abs(first.gap) + np.where(apart > 2 * first.round_off, apart, 0.0)
        table.uncertainty[:] += np.where(gross & ~open_ones, wider, 0.0)
        open_ones = open_ones & ~self._settled_flat(first, open_ones)
        telling = self._worth_sharpening(first, open_ones, gross)
        looks = [
            self._refine(first, k, sharp=k in telling) for k in np.flatnonzero(open_ones).tolist()
        ]
        looks += [self._sharpen(first, k) for k in telling if not open_ones[k]]
        self._run_all(looks)

    def _reexamined(self, first: Rungs, measured: Noise) -> Rungs:
        """Measure the noise in another way, and return the same rungs with that."""
        if self._cost.reexamine(measured):
            with np.errstate(divide="ignore"):
                bar = NOISE_DEVIATIONS * self._cost.best.noise / first.step
            first = replace(first, round_off=np.maximum(first.round_off, bar))
            self._table.store(first)
        return first

    def _judged(self, first: Rungs) -> tuple[Mask, Mask]:
        """Return which entries need a second look, and which disagree beyond any doubt."""
        if self._cost.is_single:
            # The step is so large that its truncation error is not known.
            every = np.ones(len(first), dtype=bool)
            return every, ~every
        open_ones, gross = judged(first, self._table, self._aim.bar)
        if not self._entries.theta.any():
            open_ones, gross = open_ones | gross, np.zeros_like(gross)
        return open_ones, gross

    def _apart(self, first: Rungs, gross: NDArray[np.intp]) -> float:
        """Return how far another step moves grossly wrong entries; inf if it contradicts them.

        The widest and the narrowest of them stand for all.
        """
        if not gross.size:
            return 0.0
        if _is_drowned(self._cost):
            return math.inf
        with np.errstate(divide="ignore", over="ignore"):
            gap = np.abs(first.central - self._table.analytic)
            order = gross[np.argsort(gap[gross] / first.round_off[gross])]
        chosen = {int(order[round(x)]) for x in np.linspace(0, len(order) - 1, CONFIRMED)}
        found = 0.0
        for k in chosen:
            found = max(found, *self._run_all([self._look(first, k).apart()]))
            if found == math.inf:
                break
        return found

    def _settled_flat(self, first: Rungs, open_ones: Mask) -> Mask:
        """Settle entries with a zero gradient for which a large step does not change J either.

        One by one they would come to the same result; a dead layer has many such entries.
        """
        found = np.flatnonzero(open_ones & first.is_flat & (self._table.analytic == 0))
        settled = np.zeros(len(first), dtype=bool)
        if found.size:
            large = FIRST_STEP * self._entries.scale[found]
            # In a small unit, the first step is a large one.
            second = first.rows(found)
            if np.any(second.step < large):
                steps = np.maximum(large, RATIO * second.step)
                second = self._entries.rungs(found, steps)
            known = second.is_flat & (second.round_off <= self._aim.faint)
            flat = found[known]
            settled[flat] = True
            self._table.numerical[flat] = 0.0
            self._table.uncertainty[flat] = second.round_off[known]
        return settled

    def _worth_sharpening(self, first: Rungs, open_ones: Mask, gross: Mask) -> list[int]:
        """Return a few wrong entries whose error is not known precisely.

        More digits are not needed to call them wrong, but to find out what is wrong.
        """
        off = np.abs(first.central - self._table.analytic)
        bar = self._table.uncertainty
        with np.errstate(invalid="ignore"):
            telling = np.minimum(off, np.abs(first.central))
            blurred = (open_ones & (off > bar)) | (gross & (bar > BLURRED * telling))
        found = np.flatnonzero(blurred & np.isfinite(off))
        chosen: list[int] = found[np.argsort(-off[found], kind="stable")][:SHARPENED].tolist()
        return chosen

    def _look(self, first: Rungs, k: int) -> _SecondLook:
        return _SecondLook(self._entries, k, first[k], self._table, self._aim)

    def _refine(self, first: Rungs, k: int, *, sharp: bool) -> Steps:
        """Measure one entry again, until its slope is known well enough or no step tells more."""
        look = self._look(first, k)
        yield from look.climb(sharp=sharp)
        is_contradicted = yield from look.is_contradicted()
        self._table.store_estimate(k, look.estimate)
        self._table.disputed[k] = look.is_disputed or (is_contradicted and look.is_beyond)

    def _sharpen(self, first: Rungs, k: int) -> Steps:
        """Narrow the error bar of an entry that is wrong beyond any doubt."""
        look = self._look(first, k)
        yield from look.climb(sharp=True)
        found = look.estimate
        if look.is_beyond and not found.on_kink and found.bar < self._table.uncertainty[k]:
            self._table.store_estimate(k, found)

    def _run_all(self, looks: Sequence[Steps]) -> list[Any]:
        """Take the steps that generators ask for, in parallel if there are workers."""
        instant = min(TOGETHER, int(LOST_SECONDS / self._cost.seconds_each))
        return run_together(looks, self._taken, max(self._cost.at_once, instant))

    def _taken(self, asked: Sequence[tuple[int, float]]) -> Sequence[Rung]:
        ks, steps = zip(*asked, strict=True)
        rungs = self._entries.rungs(np.array(ks), np.array(steps))
        return [rungs[i] for i in range(len(asked))]


def judged(first: Rungs, table: MeasuredEntries, aim: float) -> tuple[Mask, Mask]:
    """Return which entries need a second look, and which of the others disagree grossly."""
    analytic = table.analytic
    with np.errstate(invalid="ignore"):
        off = np.abs(first.central - analytic)
        bar = first.bar + table.rounding
        largest = np.maximum(np.abs(analytic), np.abs(first.central))
        straight = np.abs(first.gap) <= STRAIGHT * largest + 2 * first.bar
        narrow = first.bar <= np.minimum(VERIFIED * largest, aim)
        settled = (off <= bar) & narrow & straight
        gross = (off > GROSS * bar) & (np.abs(first.gap) < STEADY_VALUE * off + 2 * first.bar)
    # An entry that is nan or inf is wrong in any case, and needs no second look.
    settled |= ~np.isfinite(analytic) & np.isfinite(first.central)
    return ~settled & ~gross, gross


def _is_drowned(cost: Cost) -> bool:
    """Return True if the noise of J is as large as J."""
    return cost.best.noise >= cost.scale > 0


class _SecondLook:
    """One entry that is measured again, and the ladder of its steps."""

    def __init__(
        self, entries: SteppedEntries, k: int, first: Rung, table: MeasuredEntries, aim: Aim
    ) -> None:
        self._k = k
        self._first = first
        self._analytic, self._rounding = float(table.analytic[k]), float(table.rounding[k])
        self._aim = aim
        self._cost = entries.cost
        self._scale = float(entries.scale[k])
        smallest = float(entries.smallest[k])
        self._ladder = Ladder(self._scale, smallest, abs(self._cost.best.value))

    @property
    def estimate(self) -> Estimate:
        """What all steps together show."""
        return self._ladder.estimate

    @property
    def is_beyond(self) -> bool:
        """True if the analytic value is clearly off."""
        return self._is_off(self.estimate)

    @property
    def is_disputed(self) -> bool:
        """True if the entry looks wrong, but on the evidence of fewer than three steps.

        Or it is right unless something hides from small steps.
        """
        if not self.is_beyond:
            return False
        if not self._is_off(self._ladder.unhidden):
            return True
        if _is_drowned(self._cost) or not self._ladder.disagrees(self.estimate, self._analytic):
            return True
        estimate = self.estimate
        off = abs(self._analytic - estimate.nearest(self._analytic))
        return not estimate.on_kink and self._ladder.may_hide_kink(off)

    def _is_off(self, estimate: Estimate) -> bool:
        off = abs(self._analytic - estimate.nearest(self._analytic))
        return off > CLEAR * (estimate.bar + self._rounding)

    def apart(self) -> Steps:
        """Return how far another step moves a gross disagreement; inf if it contradicts it."""
        slope = self._first.central
        # A flat J may be a staircase: a small step then sees only one stair.
        step = STAIRS if self._first.gap == slope == 0 else BEST_STEP
        rung = yield from self._take(step * self._scale)
        off = abs(slope - self._analytic)
        apart = abs(rung.central - slope)
        if apart > STEADY_VALUE * off + self._first.round_off:
            return math.inf
        return math.inf if (yield from self._large_steps_agree(slope)) else apart

    def climb(self, *, sharp: bool) -> Steps:
        """Take steps until the entry is known well enough; if `sharp`, also one that is wrong."""
        if math.isfinite(self._first.round_off):
            self._ladder.add(self._first)
        next_step = partial(self._next_step, self._second_step(), sharp=sharp)
        yield from self._ladder.climb(self._take, next_step, RUNGS_OF_ENTRY + sharp * MORE_RUNGS)

    def is_contradicted(self) -> Steps:
        """Return True if a large step contradicts that the entry is wrong, and add more steps."""
        if self.estimate.on_kink or not self.is_beyond:
            return False
        if not (yield from self._large_steps_agree(self.estimate.low)):
            return False
        for step in (FIRST_STEP, STAIRS, RATIO * STAIRS):
            self._ladder.add((yield from self._take(step * self._scale)))
        return True

    def _large_steps_agree(self, slope: float) -> Steps:
        """Return True if a large step finds the analytic value where small ones find another slope.

        Part of J may be a staircase, of which all small steps see only one stair.
        """
        analytic = self._analytic
        off = abs(slope - analytic)
        near = yield from self._take(FIRST_STEP * self._scale)
        far = yield from self._take(STAIRS * self._scale)
        found = min(abs(near.central - analytic), abs(far.central - analytic)) <= STEADY_VALUE * off
        # A kink on the way would mislead the large steps, and make their two slopes differ.
        if not found or abs(gap_at_zero(near, far)) > off:
            return False
        farther = yield from self._take(RATIO * STAIRS * self._scale)
        # Any bounded function has far slopes that are nearly zero, but these never agree.
        if not all(_agree(analytic, rung) for rung in (near, far, farther)):
            return False
        if abs(near.central - slope) > STEADY_VALUE * off:
            return True
        # The larger step may have met the analytic value by chance, because of curvature.
        return not follows_square_law([near, far, farther], 0)

    def _take(self, step: float) -> Generator[tuple[int, float], Rung, Rung]:
        return (yield self._k, step)

    def _second_step(self) -> float:
        """Return the second step, with noise low enough for three digits and to judge a gap."""
        analytic = abs(self._analytic)
        aim = min(VERIFIED * analytic, self._aim.bar) / 2
        gap = abs(self._first.central - self._analytic)
        if self._first.round_off < gap < math.inf:
            aim = min(aim, gap / 20)
        needed = NOISE_DEVIATIONS * self._cost.best.noise / aim if aim > 0 else math.inf
        largest = max(FIRST_STEP * self._scale, RATIO * self._first.step)
        return min(max(needed, BEST_STEP * self._scale), largest)

    def _next_step(self, second: float, *, sharp: bool) -> float | None:
        """Return the step to take next; None if the entry is known well enough."""
        estimate, ladder = self.estimate, self._ladder
        if self._is_settled(estimate, sharp=sharp):
            return None
        step = None
        if self.is_disputed:
            step = ladder.step_to_compare(abs(self._analytic - estimate.low))
        return step or ladder.next_step(second)

    def _is_settled(self, estimate: Estimate, *, sharp: bool) -> bool:
        """Return True if the estimate is good enough to call the entry correct or wrong."""
        if not math.isfinite(estimate.bar):
            return False
        if estimate.is_flat:
            # A larger step narrows the bar, but never enough to show a value this small.
            hopeless = abs(self._analytic) < HOPELESS * estimate.bar
            is_known = hopeless if self._analytic else estimate.bar <= self._aim.faint
            return len(self._ladder.rungs) > 1 and is_known
        if len(self._ladder.rungs) < 3:  # noqa: PLR2004 (three must agree)
            return False
        off = abs(self._analytic - estimate.nearest(self._analytic))
        bar = estimate.bar + self._rounding
        largest = max(abs(self._analytic), abs(estimate.low), abs(estimate.high))
        is_narrow = estimate.bar <= min(VERIFIED * largest, self._aim.bar)
        if off > bar:
            clear = off > CLEAR * bar and not self.is_disputed
            return clear and (is_narrow or not sharp)
        return is_narrow


def _agree(slope: float, rung: Rung) -> bool:
    """Return True if a rung shows a slope, roughly or within its error bar."""
    largest = max(abs(slope), abs(rung.central))
    return abs(rung.central - slope) <= STEADY_VALUE * largest + rung.round_off


def measure(tables: list[MeasuredEntries], cost: Cost, pairing: Pairing, epsilon: float) -> None:
    """Measure every checked entry, parameter by parameter, with the textbook's step `epsilon`.

    Each table is added to `tables` before it is filled. After an interrupt they hold what is known.
    """
    cost.expect(2 * pairing.size)
    doubtful = []
    for i in range(len(pairing.checked)):
        analytic = gradient_under_test(pairing, i, cost)
        size = analytic.parameter.size
        for start in range(0, size, ROWS):
            ks, noise = range(start, min(start + ROWS, size)), cost.best.noise
            tables.append(planned_entries(analytic, ks))
            measure_parameter(tables[-1], cost, analytic.parameter, epsilon, ks)
            if tables[-1].is_off.any() or _is_vague(tables[-1]):
                doubtful.append((len(tables) - 1, analytic, ks, noise))
    for k, analytic, ks, noise in doubtful:
        if noise < cost.best.noise:
            # Meanwhile J turned out to be noisier than it was thought to be.
            tables[k] = planned_entries(analytic, ks)
            measure_parameter(tables[k], cost, analytic.parameter, epsilon, ks)


def _is_vague(table: MeasuredEntries) -> bool:
    """Return True if fewer than three digits are known of any entry, beside the largest."""
    sizes = np.fmax(np.abs(table.analytic), np.abs(table.numerical))
    largest = np.max(sizes, initial=0.0, where=np.isfinite(sizes))
    return not np.all(table.uncertainty <= VERIFIED * largest)


def planned_entries(analytic: Analytic, ks: Sequence[int]) -> MeasuredEntries:
    """Return the table of some entries of one parameter that are still to be measured."""
    where = np.arange(ks.start, ks.stop) if isinstance(ks, range) else np.asarray(ks)
    values = analytic.gradient[where]
    known = analytic.rounding, analytic.of_all
    return MeasuredEntries.planned(analytic.start + where, values, *known)


def measure_parameter(
    table: MeasuredEntries,
    cost: Cost,
    parameter: Parameter,
    epsilon: float,
    ks: Sequence[int],
    *,
    aim: float = math.inf,
) -> None:
    """Measure the entries of a table: those at some positions in a parameter.

    Each should have an error bar of at most `aim`, if that is possible.
    """
    entries = SteppedEntries(cost, parameter, ks)
    first = entries.textbook_pass(table, epsilon)
    if cost.best is not cost.own:
        # The pass is repeated in double precision, with its step.
        every = np.arange(len(entries))
        first = entries.rungs(every, np.full(len(entries), TEXTBOOK_STEPS[DOUBLE]))
    Refinement(table, entries, aim).settle(first)
    table.settled[:] = True
