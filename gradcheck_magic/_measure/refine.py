"""The second look at entries that the textbook pass cannot settle.

They are measured with other steps, until their error bar is small or no step would tell more: see
`ladder`. Where many entries disagree beyond any doubt, a few are measured again to confirm all.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import DOUBLE
from gradcheck_magic._measure.analytic_gradient import Analytic, gradient_under_test
from gradcheck_magic._measure.central_differences import (
    CLEAR,
    TEXTBOOK_STEPS,
    CentralDifferences,
    textbook_pass,
)
from gradcheck_magic._measure.ladder import (
    NOISE_DEVIATIONS,
    RATIO,
    Estimate,
    Ladder,
    Rung,
    follows_square_law,
    gap_at_zero,
    run_together,
)

__all__ = [
    "BEST_STEP",
    "GROSS",
    "PLACES",
    "VERIFIED",
    "Pass",
    "Refinement",
    "measure",
    "measure_parameter",
    "noise_of_pair",
    "steps_taken",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A generator that asks for J with one entry moved by a step, is sent both values, and returns what
# it made of them.
Steps = Generator[tuple[int, float], tuple[float, float], Any]

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
# Steps of a second look, in units of max(1, |θᵢ|): the best one for a central difference in double
# precision, and the largest first one, for when noise rules out smaller steps. (Rungs are a factor
# of RATIO apart.)
BEST_STEP = 6e-6
FIRST_STEP = 1e-3
# Where J is a staircase, this step is wider than most stairs; in units of max(1, |θᵢ|).
STAIRS = 1e-2
# Where J is flat, an analytic value below this part of the error bar shows with no step at all.
HOPELESS = 1e-3
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


class Refinement:
    """The refinement of entries of one parameter after the textbook pass.

    Parameters
    ----------
    differences : CentralDifferences
        The table in which these entries come next.
    analytic : Analytic
        The gradient under test.
    ks : sequence of int
        The positions of the entries in the parameter, in C order.
    aim : float
        The largest error bar that each of them should have, if that is possible.
    """

    def __init__(
        self,
        differences: CentralDifferences,
        cost: Cost,
        analytic: Analytic,
        ks: Sequence[int],
        *,
        aim: float = math.inf,
    ) -> None:
        self._differences = differences
        self._cost = cost
        self._position = cost.position(analytic.parameter)
        self._ks = ks
        self._where = slice(None) if isinstance(ks, range) else np.asarray(ks)
        self._analytic = analytic.gradient[self._where]
        self._rounding = analytic.rounding
        self._aim = aim
        self._precision = cost.best
        self._values = self._values_in(cost.best)
        self._theta = self._values.astype(np.float64)
        self._part = slice(differences.n_measured, differences.n_measured + len(ks))

    def _values_in(self, precision: Precision) -> NDArray[Any]:
        """Return the values of the entries, in the precision in which they are stepped."""
        values: NDArray[Any] = precision.binding.slots[self._position][self._where]
        return values

    def take(self) -> None:
        """Take over the results of the textbook pass, as far as it got, with wide error bars.

        An interrupt may prevent the second look. Until then only gross disagreements count.
        """
        differences = self._differences
        part = slice(self._part.start, differences.n_measured)
        epsilon, own = differences.epsilon, self._cost.own
        values = self._values_in(own)[: part.stop - part.start]
        pairs = differences.cost_plus[part], differences.cost_minus[part]
        first = Pass.made(*pairs, steps_taken(values, epsilon), own)
        self._store_pass(first, part, GROSS / CLEAR)

    def settle(self) -> None:
        """Find a value and an error bar for every entry."""
        first = self._first_pass()
        self._store_pass(first, self._part)
        open_ones, gross = self._judged(first)
        if not self._confirmed(first, np.flatnonzero(gross)):
            if self._cost.reexamine():
                self._precision = self._cost.best
                first = replace(first, noise=np.maximum(first.noise, self._precision.noise))
                self._store_pass(first, self._part)
                open_ones, gross = self._judged(first)
            open_ones = open_ones | gross
        # A kink nearer than the step needs no second look where a confirmed disagreement is gross:
        # its gap widens the error bar instead.
        rough = np.where(gross & ~open_ones, np.abs(first.gap), 0.0)
        self._differences.uncertainty[self._part] += rough
        open_ones = open_ones & ~self._settle_flat(first, open_ones)
        telling = self._worth_sharpening(first, open_ones, gross)
        looks = [
            self._refine(first, k, sharp=k in telling) for k in np.flatnonzero(open_ones).tolist()
        ]
        looks += [self._sharpen(first, k) for k in telling if not open_ones[k]]
        self._run_all(looks)
        self._excuse_kinks_at_zero()

    def _settle_flat(self, first: Pass, open_ones: Mask) -> Mask:
        """Settle entries with a zero gradient for which a large step does not change J either.

        One by one they would come to the same result; a dead layer has many such entries.
        """
        value = self._precision.value
        flat = (first.cost_plus == value) & (first.cost_minus == value)
        found = np.flatnonzero(open_ones & flat & (self._analytic == 0))
        still = np.zeros(len(flat), dtype=bool)
        if not found.size:
            return still
        scale = np.maximum(1.0, np.abs(self._theta[found]))
        steps = np.maximum(FIRST_STEP * scale, RATIO * first.stepped[found])
        ks = [self._ks[k] for k in found.tolist()]
        batch = EntryBatch(self._position, ks, steps.tolist(), quiet=True)
        plus, minus = self._cost.pairs(self._precision, batch)
        stepped = steps_taken(self._values[found], steps)
        second = Pass.made(plus, minus, stepped, self._precision)
        flat_again = (plus == value) & (minus == value)
        still[found[flat_again]] = True
        where = self._part.start + found[flat_again]
        self._differences.numerical[where] = 0.0
        self._differences.uncertainty[where] = second.round_off[flat_again]
        return still

    def _worth_sharpening(self, first: Pass, open_ones: Mask, gross: Mask) -> list[int]:
        """Return a few wrong entries whose error is not known precisely.

        More digits are not needed to call them wrong, but to find out what is wrong.
        """
        off = np.abs(first.central - self._analytic)
        bar = self._differences.uncertainty[self._part]
        with np.errstate(invalid="ignore"):
            telling = np.minimum(off, np.abs(first.central))
            blurred = (open_ones & (off > bar)) | (gross & (bar > BLURRED * telling))
        found = np.flatnonzero(blurred & np.isfinite(off))
        chosen: list[int] = found[np.argsort(-off[found], kind="stable")][:SHARPENED].tolist()
        return chosen

    def _judged(self, first: Pass) -> tuple[Mask, Mask]:
        """Return which entries need a second look, and which disagree beyond any doubt."""
        if self._cost.is_single:
            # The step is so large that its truncation error is not known.
            every = np.ones(len(self._ks), dtype=bool)
            return every, ~every
        open_ones, gross = first.judged(self._analytic, self._rounding, self._aim)
        if not self._theta.any():
            open_ones, gross = open_ones | gross, np.zeros_like(gross)
        return open_ones, gross

    def _excuse_kinks_at_zero(self) -> None:
        """Dispute wrong zeros where θ is all zeros and every unit sits on its kink.

        Many kinks meet there. The gradient of backpropagation with all units shut is right, though
        it need not lie between the two slopes along a single entry.
        """
        differences, part = self._differences, self._part
        on_kink = differences.low[part] < differences.high[part]
        if on_kink.any() and not self._theta.any():
            off = np.abs(differences.numerical[part]) > differences.uncertainty[part]
            differences.disputed[part] |= (self._analytic == 0) & off

    def _first_pass(self) -> Pass:
        """Return the textbook pass, repeated in double precision where that is possible."""
        differences, precision = self._differences, self._precision
        epsilon, part = differences.epsilon, self._part
        pairs = differences.cost_plus[part], differences.cost_minus[part]
        if precision is not self._cost.own:
            epsilon = TEXTBOOK_STEPS[DOUBLE]
            pairs = self._cost.pairs(
                precision, EntryBatch(self._position, self._ks, epsilon, quiet=True)
            )
        return Pass.made(*pairs, steps_taken(self._values_in(precision), epsilon), precision)

    def _store_pass(self, first: Pass, part: slice, wider: float = 1.0) -> None:
        differences = self._differences
        for values in (differences.numerical, differences.low, differences.high):
            values[part] = first.central
        differences.uncertainty[part] = wider * first.round_off
        differences.rounding[part] = self._rounding

    def _confirmed(self, first: Pass, gross: NDArray[np.intp]) -> bool:
        """Return True if gross disagreements persist with another step.

        The widest and the narrowest of them stand for all.
        """
        if not gross.size:
            return True
        if self._precision.noise >= self._cost.scale > 0:
            return False
        with np.errstate(divide="ignore", over="ignore"):
            gap = np.abs(first.central - self._analytic)
            order = gross[np.argsort(gap[gross] / first.round_off[gross])]
        chosen = {int(order[round(x)]) for x in np.linspace(0, len(order) - 1, CONFIRMED)}
        return all(self._run_one(self._is_steady(first, k)) for k in chosen)

    def _is_steady(self, first: Pass, k: int) -> Steps:
        # A flat J may be a staircase: a small step then sees only one stair.
        step = STAIRS if first.gap[k] == first.central[k] == 0 else BEST_STEP
        rung = yield from self._rung(k, step * self._scale(k))
        analytic, slope = float(self._analytic[k]), float(first.central[k])
        off = abs(slope - analytic)
        if abs(rung.central - slope) > STEADY_VALUE * off + float(first.round_off[k]):
            return False
        return not (yield from self._large_steps_agree(k, slope, analytic))

    def _large_steps_agree(self, k: int, slope: float, analytic: float) -> Steps:
        """Return True if a large step finds the analytic value where small ones find another slope.

        Part of J may be a staircase, of which all small steps see only one stair.
        """
        scale, off = self._scale(k), abs(slope - analytic)
        near = yield from self._rung(k, FIRST_STEP * scale)
        far = yield from self._rung(k, STAIRS * scale)
        found = min(abs(near.central - analytic), abs(far.central - analytic)) <= STEADY_VALUE * off
        # A kink on the way would mislead the large steps, and make their two slopes differ.
        if not found or abs(gap_at_zero(near, far)) > off:
            return False
        if abs(near.central - slope) > STEADY_VALUE * off:
            return True
        # The larger step may have met the analytic value by chance, because of curvature.
        farther = yield from self._rung(k, RATIO * STAIRS * scale)
        return not follows_square_law([near, far, farther], 0)

    def _refine(self, first: Pass, k: int, *, sharp: bool) -> Steps:
        """Measure one entry again, until its slope is known well enough or no step tells more."""
        analytic, ladder = (
            float(self._analytic[k]),
            (yield from self._climb(first, k, sharp=sharp)),
        )
        contradicted = yield from self._is_contradicted(k, ladder, analytic)
        self._store(k, ladder, analytic, contradicted=contradicted)

    def _sharpen(self, first: Pass, k: int) -> Steps:
        """Narrow the error bar of an entry that is wrong beyond any doubt."""
        ladder, i = (yield from self._climb(first, k, sharp=True)), self._part.start + k
        estimate = ladder.estimate()
        differences = self._differences
        beyond = self._is_beyond(estimate, float(self._analytic[k]))
        if beyond and not estimate.on_kink and estimate.bar < differences.uncertainty[i]:
            differences.numerical[i] = differences.low[i] = differences.high[i] = estimate.low
            differences.uncertainty[i] = estimate.bar

    def _climb(self, first: Pass, k: int, *, sharp: bool) -> Steps:
        """Return a ladder that shows an entry well enough; if `sharp`, also one that is wrong."""
        analytic, scale = float(self._analytic[k]), self._scale(k)
        # The spacing of numbers is that of the precision in which the step is taken.
        place = float(np.spacing(np.abs(self._values[k : k + 1]))[0])
        smallest = PLACES * max(place, LEAST_PLACE)
        ladder = Ladder(scale, smallest, abs(self._precision.value))
        if first.stepped[k] > 0:
            ladder.add(first.rung(k))
        wanted = self._first_step(first, k)
        for _ in range(RUNGS_OF_ENTRY + sharp * MORE_RUNGS):
            estimate = ladder.estimate()
            if self._is_settled(ladder, estimate, analytic, sharp=sharp):
                break
            step = self._next_step(ladder, estimate, analytic, wanted)
            if step is None:
                break
            ladder.add((yield from self._rung(k, step)))
        return ladder

    def _is_beyond(self, estimate: Estimate, analytic: float) -> bool:
        off = abs(analytic - estimate.nearest(analytic))
        return off > CLEAR * (estimate.bar + self._rounding)

    def _is_contradicted(self, k: int, ladder: Ladder, analytic: float) -> Steps:
        """Return True if a large step contradicts that the entry is wrong, and add more steps."""
        estimate = ladder.estimate()
        if self._cost.is_single or estimate.on_kink or not self._is_beyond(estimate, analytic):
            return False
        if not (yield from self._large_steps_agree(k, estimate.low, analytic)):
            return False
        for step in (FIRST_STEP, STAIRS, RATIO * STAIRS):
            ladder.add((yield from self._rung(k, step * self._scale(k))))
        return True

    def _next_step(
        self, ladder: Ladder, estimate: Estimate, analytic: float, wanted: float
    ) -> float | None:
        if self._is_disputed(ladder, estimate, analytic):
            return ladder.step_to_compare(abs(analytic - estimate.low)) or ladder.next_step(wanted)
        return ladder.next_step(wanted)

    def _store(self, k: int, ladder: Ladder, analytic: float, *, contradicted: bool) -> None:
        estimate, i = ladder.estimate(), self._part.start + k
        differences = self._differences
        differences.numerical[i] = estimate.nearest(analytic)
        differences.uncertainty[i] = estimate.bar
        differences.low[i], differences.high[i] = estimate.low, estimate.high
        beyond = self._is_beyond(estimate, analytic)
        differences.disputed[i] = (contradicted and beyond) or self._is_disputed(
            ladder, estimate, analytic
        )

    def _is_disputed(self, ladder: Ladder, estimate: Estimate, analytic: float) -> bool:
        """Return True if the entry looks wrong, but on the evidence of fewer than three steps."""
        if not self._is_beyond(estimate, analytic):
            return False
        drowned = self._precision.noise >= self._cost.scale > 0
        return drowned or not ladder.disagrees(estimate, analytic)

    def _is_settled(
        self, ladder: Ladder, estimate: Estimate, analytic: float, *, sharp: bool
    ) -> bool:
        """Return True if the estimate is good enough to call the entry correct or wrong."""
        if not math.isfinite(estimate.bar):
            return False
        if estimate.is_flat:
            # A larger step narrows the bar, but never enough to show a value this small.
            return len(ladder.rungs) > 1 and abs(analytic) < HOPELESS * estimate.bar
        if len(ladder.rungs) < 3:  # noqa: PLR2004 (three must agree)
            return False
        off = abs(analytic - estimate.nearest(analytic))
        bar = estimate.bar + self._rounding
        largest = max(abs(analytic), abs(estimate.low), abs(estimate.high))
        is_narrow = estimate.bar <= min(VERIFIED * largest, self._aim)
        if off > bar:
            clear = off > CLEAR * bar and not self._is_disputed(ladder, estimate, analytic)
            return clear and (is_narrow or not sharp)
        return is_narrow

    def _first_step(self, first: Pass, k: int) -> float:
        """Return the first step with noise low enough for three digits and to judge a gap."""
        analytic = abs(float(self._analytic[k]))
        aim = min(VERIFIED * analytic, self._aim) / 2
        gap = abs(float(first.central[k]) - float(self._analytic[k]))
        if first.round_off[k] < gap < math.inf:
            aim = min(aim, gap / 20)
        needed = NOISE_DEVIATIONS * self._precision.noise / aim if aim > 0 else math.inf
        scale = self._scale(k)
        largest = max(FIRST_STEP * scale, RATIO * float(first.stepped[k]))
        return min(max(needed, BEST_STEP * scale), largest)

    def _scale(self, k: int) -> float:
        return max(1.0, abs(float(self._theta[k])))

    def _rung(self, k: int, step: float) -> Steps:
        plus, minus = yield k, step
        down, up = steps_taken(self._values[k : k + 1], step)
        precision = self._precision
        noise = noise_of_pair(precision, plus, minus)
        costs = minus, precision.value, plus
        return Rung.measured(costs, (float(down[0]), float(up[0])), float(noise))

    def _run_one(self, look: Steps) -> Any:
        """Take the steps that one generator asks for, and return its result."""
        return self._run_all([look])[0]

    def _run_all(self, looks: Sequence[Steps]) -> list[Any]:
        """Take the steps that several generators ask for, in parallel if there are workers."""
        return run_together(looks, self._evaluate, self._cost.at_once)

    def _evaluate(self, asked: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
        ks = [self._ks[k] for k, _ in asked]
        batch = EntryBatch(self._position, ks, [step for _, step in asked], quiet=True)
        plus, minus = self._cost.pairs(self._precision, batch)
        return list(zip(plus.tolist(), minus.tolist(), strict=True))


def steps_taken(values: NDArray[Any], step: float | Vector) -> tuple[Vector, Vector]:
    """Return the steps really taken down and up, which differ from the nominal step by rounding."""
    down, up = values - step, values + step
    wide = values.astype(np.float64)
    return wide - down.astype(np.float64), up.astype(np.float64) - wide


@dataclass(frozen=True)
class Pass:
    """One step, taken for every entry of a parameter: arrays of what a `Rung` holds."""

    cost_plus: Vector
    cost_minus: Vector
    down: Vector
    up: Vector
    noise: Vector
    cost: float

    @classmethod
    def made(
        cls,
        cost_plus: Vector,
        cost_minus: Vector,
        stepped: tuple[Vector, Vector],
        precision: Precision,
    ) -> Self:
        """Return the pass for the costs on both sides and the steps really taken down and up."""
        noise = noise_of_pair(precision, cost_plus, cost_minus)
        return cls(cost_plus, cost_minus, *stepped, noise, precision.value)

    @cached_property
    def stepped(self) -> Vector:
        """The smaller of the steps taken down and up."""
        return np.minimum(self.down, self.up)

    @cached_property
    def central(self) -> Vector:
        """The central differences over the steps really taken; nan where there is none."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            quotient = (self.cost_plus - self.cost_minus) / (self.up + self.down)
        return np.where(np.isfinite(quotient), quotient, np.nan)

    @cached_property
    def round_off(self) -> Vector:
        """The error bars that the noise of J puts on `central`; inf where there is none."""
        with np.errstate(divide="ignore", over="ignore"):
            bar = 2 * NOISE_DEVIATIONS * self.noise / (self.up + self.down)
        return np.where(np.isfinite(self.central), bar, np.inf)

    @cached_property
    def gap(self) -> Vector:
        """The forward minus the backward slopes; nan where one of them is missing."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return (self.cost_plus - self.cost) / self.up - (
                self.cost - self.cost_minus
            ) / self.down

    def rung(self, k: int) -> Rung:
        """Return the rung of the k-th entry."""
        costs = float(self.cost_minus[k]), self.cost, float(self.cost_plus[k])
        return Rung.measured(costs, (float(self.down[k]), float(self.up[k])), float(self.noise[k]))

    def judged(self, analytic: Vector, rounding: float, aim: float) -> tuple[Mask, Mask]:
        """Return which entries need a second look, and which of the others disagree grossly."""
        with np.errstate(invalid="ignore"):
            off = np.abs(self.central - analytic)
            bar = self.round_off + rounding
            largest = np.maximum(np.abs(analytic), np.abs(self.central))
            straight = np.abs(self.gap) <= STRAIGHT * largest + 2 * self.round_off
            narrow = self.round_off <= np.minimum(VERIFIED * largest, aim)
            settled = (off <= bar) & narrow & straight
            gross = (off > GROSS * bar) & (
                np.abs(self.gap) < STEADY_VALUE * off + 2 * self.round_off
            )
        # An entry that is nan or inf is wrong in any case, and needs no second look.
        settled |= ~np.isfinite(analytic) & np.isfinite(self.central)
        return ~settled & ~gross, gross


def noise_of_pair(precision: Precision, plus: Any, minus: Any) -> Any:
    """Return the noise of both values: at least half a unit in the last place of the larger."""
    sizes = [np.where(np.isfinite(cost), np.abs(cost), 0.0) for cost in (plus, minus)]
    return np.maximum(precision.noise, precision.eps / 2 * np.maximum(*sizes))


def measure(differences: CentralDifferences, cost: Cost, pairing: Pairing) -> None:
    """Measure every checked entry, parameter by parameter.

    Parameters
    ----------
    differences : CentralDifferences
        The table to fill, entry by entry. After an interrupt it holds what is known.
    cost : Cost
        The cost, entered as a context manager.
    pairing : Pairing
        The parameters and gradients to be measured, in the order of `pairing.indices`.
    """
    cost.expect(2 * pairing.size)
    for i in range(len(pairing.checked)):
        measure_parameter(differences, cost, gradient_under_test(pairing, i, cost))


def measure_parameter(
    differences: CentralDifferences,
    cost: Cost,
    analytic: Analytic,
    ks: Sequence[int] | None = None,
    *,
    aim: float = math.inf,
) -> None:
    """Measure the next entries, which belong to one parameter.

    Parameters
    ----------
    ks : sequence of int, optional
        The positions of the entries in the parameter, in C order; all of them by default.
    aim : float
        The largest error bar that each entry should have, if that is possible.
    """
    ks = range(analytic.parameter.size) if ks is None else ks
    entries = Refinement(differences, cost, analytic, ks, aim=aim)
    try:
        textbook_pass(differences, cost, analytic.parameter, ks)
    finally:
        entries.take()
    entries.settle()
    differences.n_settled = differences.n_measured
