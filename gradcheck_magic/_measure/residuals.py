"""Residuals: the change of J along a direction that the gradient does not explain.

For a direction v in one parameter the residual is r = D_v − gᵀv, where D_v is the central
difference along v. Over the random directions used here E[r²] = ‖δ‖², where δ is the error of the
gradient, and a single wrong entry shows as about ±δᵢ, however many entries move.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box, Direction, likely_magnitude
from gradcheck_magic._cost.evaluation import Probe
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS
from gradcheck_magic._inputs.precision import eps_of, rounded
from gradcheck_magic._measure.analytic_gradient import Analytic
from gradcheck_magic._measure.ladder import (
    Ladder,
    Rung,
    Rungs,
    run_together,
)
from gradcheck_magic._measure.refine import PLACES, VERIFIED, noise_of_pair

__all__ = ["CERTAINTY", "Residual", "Residuals", "joint_residual", "results_of"]

Vector = NDArray[np.float64]
Result = TypeVar("Result")
# A generator that asks for J on both sides of θ along a probe, is sent both values, and returns
# what it made of them.
Looking: TypeAlias = Generator[Probe, tuple[float, float], Result]

# The probability with which a single wrong entry is found if it exceeds the stated size.
CERTAINTY = 0.999
# The first step along a direction is long enough for a wrong entry to stand out from the noise. Its
# length is bounded: a shorter one than LEAST_STEP, which is absolute, would gain no accuracy, and
# beyond MOST_STEP, in units of max(1, ‖θ‖), truncation takes over.
LEAST_STEP = 3e-5
MOST_STEP = 1e-3
# The size of a residual that is to be located, in units of its error bar: a place along an axis of
# 2000 entries can then be read off to within about one.
RESOLVED = 4000.0
# J bends within a step if a longer one shows a slope that differs by more than the first of these
# parts, and if J changes because of that by more than the second part of itself. The step is then
# made shorter by a factor, so many times at most.
SAME_SLOPE, LITTLE_CHANGE = 0.1, 1e-8
SHORTENED_BY, SHORTENINGS = 32.0, 14
# The most steps that are taken along one direction, if its slope remains doubtful.
RUNGS_OF_DIRECTION = 7
# A residual of this many error bars needs no more than three steps.
RESIDUAL_STANDS_OUT = 20.0
# If the error bar exceeds the part due to noise by this factor, kinks or sharp bends widen it.
NOISY = 4.0
# A residual proves that the gradient is wrong if it exceeds its error bar by this factor, and if J
# is smooth and three steps agree. No entry has to be found for that.
PROOF = 100.0
# Steps agree if their slopes differ by at most this part of the slope, or by noise.
STEADY = 0.25
# The least number of steps that must agree.
LEAST_STEPS = 3


def results_of(looks: Sequence[Looking[Result]], cost: Cost) -> list[Result]:
    """Return the results of several generators, evaluated in parallel if there are workers."""

    def evaluated(probes: Sequence[Probe]) -> list[tuple[float, float]]:
        plus, minus = cost.pairs(cost.best, probes)
        return list(zip(plus.tolist(), minus.tolist(), strict=True))

    return run_together(looks, evaluated, cost.at_once)


@dataclass(frozen=True)
class Residual:
    """The residual r = D_v − gᵀv along a direction, and the slope D_v.

    Attributes
    ----------
    value, bar : float
        r and its error bar; nan and inf if J is not finite, or has kinks nearer to θ than any step.
        Where θ sits on a kink, the bar is as wide as the gap between the slopes on the two sides,
        since an error of that size may hide there.
    noise : float
        The part of the error bar that is due to the noise of J.
    is_steady : bool
        True if three steps in a row show the same residual, and J is smooth.
    """

    direction: Direction
    value: float
    bar: float
    slope: float
    noise: float
    on_kink: bool = False
    is_steady: bool = False

    @property
    def is_clear(self) -> bool:
        """True if the residual exceeds its error bar."""
        return self.is_known and abs(self.value) > self.bar

    @property
    def is_known(self) -> bool:
        """True if the residual and its error bar are finite."""
        return math.isfinite(self.value) and math.isfinite(self.bar)

    @property
    def is_bent(self) -> bool:
        """True if kinks or sharp bends, and not noise, determine the error bar."""
        return not self.bar <= NOISY * self.noise

    @property
    def is_proof(self) -> bool:
        """True if nothing but a wrong gradient explains the residual."""
        return self.is_steady and self.is_known and abs(self.value) > PROOF * self.bar

    @property
    def detectable(self) -> float:
        """The size of a single wrong entry that would be clear with probability CERTAINTY."""
        return 2 * self.bar / likely_magnitude(CERTAINTY)

    def elsewhere(self, part: Residual, box: Box) -> Residual:
        """Return the residual of the other entries, given the residual of some of them."""
        return Residual(
            self.direction.within(box),
            self.value - part.value,
            self.bar + part.bar,
            self.slope - part.slope,
            self.noise + part.noise,
        )


class Residuals:
    """Measures residuals in one parameter, corrected for entries that were measured individually.

    Entries of the gradient that are not finite count as zero.

    Attributes
    ----------
    step : float
        The length of the first step along a direction.
    corrections : dict
        The correction to each entry that was measured, by its index, and its error bar.
    holes : list of Box
        The boxes known to be wrong; their entries no longer move.
    """

    def __init__(self, cost: Cost, analytic: Analytic, seed: int) -> None:
        self.parameter = parameter = analytic.parameter
        self.analytic = analytic
        self.size = parameter.size
        self._cost = cost
        self._seed = seed
        self._position = cost.position(parameter)
        finite = bool(np.isfinite(analytic.gradient).all())
        self._gradient = (
            analytic.gradient if finite else np.nan_to_num(analytic.gradient, posinf=0, neginf=0)
        ).reshape(parameter.shape)
        binding = cost.best.binding
        self._theta = binding.saved[self._position]
        bits, dtype = binding.bits(self._position), binding.arrays[self._position].dtype
        self._passed = lambda theta: rounded(theta.astype(dtype), bits)
        length = float(np.linalg.norm(self._theta))
        self.scale = max(1.0, length) if math.isfinite(length) else 1.0
        # The least an entry may move, because of rounding; this matters if θ is large or in single
        # precision.
        self._least_move = PLACES * eps_of(bits) * length / math.sqrt(self.size)
        self.corrections: dict[tuple[int, ...], tuple[float, float]] = {}
        self.holes: list[Box] = []
        self.step = self._first_step()
        # How far a single step can be trusted: the step that was best for all entries together, and
        # the part of its error bar that was not noise.
        self._best_step, self._truncation = self.step, 0.0

    @property
    def values(self) -> tuple[Vector, Vector]:
        """The values of the entries, and their gradient."""
        return np.ravel(self._theta), np.ravel(self._gradient)

    def direction(self, turn: int) -> Direction:
        """Return the direction with a number; all entries outside the holes move along it."""
        seed = (self._seed, self._position, turn)
        return Direction.over(self._position, self.parameter.shape, seed, self.holes)

    def correct(self, k: int, numerical: float, bar: float) -> None:
        """Replace the given value of an entry by its measured one from now on."""
        if math.isfinite(bar):
            index = self.parameter.index(k)
            self.corrections[index] = (numerical - float(self._gradient[index]), bar)

    def of_all(self, turn: int) -> Looking[Residual]:
        """Measure the residual over all entries, with enough steps to trust it."""
        direction = self.direction(turn)
        line = self._line(direction)
        yield from line.measure()
        self.step = line.first
        best = line.ladder.best_rung()
        if best is not None:
            self._best_step = best.step
            self._truncation = max(0.0, line.ladder.estimate.bar - best.round_off)
        return line.residual(direction, math.sqrt(direction.size))

    def of_part(self, direction: Direction, sought: float) -> Looking[Residual]:
        """Measure the residual of the entries that move, with a single step where that suffices.

        The step is as short as the size of the residual allows that is sought.
        """
        if not direction.size:
            return Residual(direction, 0.0, 0.0, 0.0, 0.0)
        line, root = self._line(direction), math.sqrt(direction.size)
        noise = RESOLVED * NOISE_DEVIATIONS * self._cost.best.noise * root
        needed = noise / sought if sought > 0 else math.inf
        if needed > self._best_step:
            # The residual hardly stands out, or there are kinks near by, so every digit counts.
            yield from line.measure()
            return line.residual(direction, root)
        step = max(needed, self.least_step(direction))
        rung = yield from line.take(step)
        # This assumes the worst: that all curvature is that of one entry, which moves as far as h.
        # The error of the difference, in units of v itself, then grows as h².
        further = step / self._best_step
        truncation = self._truncation * further**2 * (math.sqrt(self.size) / root) ** 3
        bar = root * (rung.round_off + truncation + self.analytic.rounding)
        off, slope = root * (rung.central - line.predicted_slope), root * rung.central
        return Residual(direction, off, bar, slope, root * rung.round_off)

    def sketched(self, turn: int, sought: float) -> Looking[Residual]:
        """Measure a residual over all entries, including the holes, to estimate its size."""
        return self.of_part(replace(self.direction(turn), holes=()), sought)

    def left_of(self, residual: Residual) -> Residual:
        """Return a residual corrected for all entries that were measured individually."""
        return self.without_corrected(residual, residual.direction, 1.0)

    def without_corrected(self, residual: Residual, direction: Direction, share: float) -> Residual:
        """Return a residual corrected along a direction that is scaled by `share`."""
        value, bar = residual.value, residual.bar
        for index, (change, uncertainty) in self.corrections.items():
            v = share * direction.value_at(index)
            value -= change * v
            bar += abs(uncertainty * v)
        return replace(residual, value=value, bar=bar)

    def predicted(self, direction: Direction, step: float) -> tuple[float, float, float]:
        """Return what the gradient, as it was given, predicts: see `Direction.predicted`."""
        return direction.predicted(self._gradient, self._theta, step, self._passed)

    def _first_step(self) -> float:
        """Return the step that reveals an entry wrong by a small part of the largest one."""
        root = math.sqrt(self.size)
        noise = NOISE_DEVIATIONS * self._cost.best.noise
        wanted = VERIFIED * self.analytic.largest * likely_magnitude(CERTAINTY) / 2
        needed = noise * root / wanted if wanted > 0 else math.inf
        least = max(LEAST_STEP, self._least_move * root)
        return min(max(needed, least), max(MOST_STEP * self.scale, least))

    def _line(self, direction: Direction) -> _Line:
        return _Line([Term(self, direction, 1 / math.sqrt(direction.size))], self._cost)

    def least_step(self, direction: Direction) -> float:
        """Return the least step along a direction that rounding permits."""
        return max(1e-300, self._least_move * math.sqrt(direction.size))


class Term(NamedTuple):
    """One of several directions along which θ moves at once, by a share of each step."""

    residuals: Residuals
    direction: Direction
    share: float


def joint_residual(everything: Sequence[Residuals], cost: Cost, turn: int) -> Looking[Residual]:
    """Measure the residual along one direction that moves several parameters, each by its step."""
    terms, longest = [], max(residuals.step for residuals in everything)
    for residuals in everything:
        direction = residuals.direction(turn)
        share = residuals.step / longest / math.sqrt(len(everything) * direction.size)
        terms.append(Term(residuals, direction, share))
    line = _Line(terms, cost)
    yield from line.measure()
    found = line.residual(terms[0].direction, 1.0)
    for residuals, direction, share in terms:
        found = residuals.without_corrected(found, direction, share)
    return found


class _Line:
    """A line through θ, and the steps along it: a step of length 1 moves all terms together."""

    def __init__(self, terms: Sequence[Term], cost: Cost) -> None:
        self._terms = terms
        self._cost = cost
        # The first step.
        self.first = max(term.residuals.step for term in terms)
        self._rounding = max(term.residuals.analytic.rounding for term in terms)
        # The error bar that suffices.
        self._enough = VERIFIED * min(t.residuals.analytic.largest * t.share for t in terms)
        scale = max(term.residuals.scale for term in terms)
        self._least = max(term.residuals.least_step(term.direction) for term in terms)
        self.ladder = Ladder(scale, self._least, abs(cost.best.value))
        # The slope that the gradient predicts.
        self.predicted_slope = 0.0

    def measure(self) -> Looking[None]:
        """Take steps until the slope is known.

        The first step is long enough for a single wrong entry to show. A second, twice as long,
        confirms it. If it does not, or if the gradient disagrees, more steps follow.
        """
        near, far = (yield from self.take(self.first)), (yield from self.take(2 * self.first))
        if self._is_bent(near, far):
            near, far = yield from self._straightened(near, far)
        self.ladder.add(near)
        self.ladder.add(far)
        yield from self.ladder.climb(self.take, self._next_step, RUNGS_OF_DIRECTION - 2)

    def _straightened(self, first: Rung, second: Rung) -> Looking[tuple[Rung, Rung]]:
        """Return two rungs with steps so short that J is nearly straight; the same if none are.

        Where θ has a small unit, J bends over lengths far below 1. Where J is noisy, or has stairs,
        no step is short enough.
        """
        near, far = first, second
        for _ in range(SHORTENINGS):
            step = near.step / SHORTENED_BY
            if step < self._least:
                break
            near, far = (yield from self.take(step)), near
            if not self._is_bent(near, far):
                self.first = near.step
                self.ladder = Ladder(far.step, self._least, abs(self._cost.best.value))
                return near, (yield from self.take(2 * near.step))
        return first, second

    def _is_bent(self, near: Rung, far: Rung) -> bool:
        """Return True if J bends within a step: a longer one shows another slope.

        Noise does not count, nor does what hardly changes J.
        """
        off = abs(near.central - far.central)
        same = SAME_SLOPE * max(abs(near.central), abs(far.central))
        changes_little = off * near.step <= LITTLE_CHANGE * abs(self._cost.best.value)
        return off > same + near.round_off + far.round_off and not changes_little

    def take(self, step: float) -> Looking[Rung]:
        """Take a step of some length."""
        best = self._cost.best
        probe = [(term.direction, step * term.share) for term in self._terms]
        plus, minus = yield probe
        noise = noise_of_pair(best, plus, minus)
        self.predicted_slope = 0.0
        changes = plus != best.value, minus != best.value
        for term, (direction, length) in zip(self._terms, probe, strict=True):
            slope, rounding_plus, rounding_minus = term.residuals.predicted(direction, length)
            self.predicted_slope += term.share * slope
            # Where J did not change, it is flat or a staircase. A correction would hide that.
            plus -= rounding_plus * changes[0]
            minus -= rounding_minus * changes[1]
        lengths, costs = np.array([step]), (np.array([minus]), best.value, np.array([plus]))
        return Rungs.measured(costs, (lengths, lengths), noise)[0]

    def residual(self, direction: Direction, root: float) -> Residual:
        """Return the residual, scaled to the length of a direction."""
        estimate, best = self.ladder.estimate, self.ladder.best_rung()
        if not math.isfinite(estimate.bar):
            return Residual(direction, math.nan, math.inf, math.nan, math.nan)
        slope = estimate.nearest(self.predicted_slope)
        return Residual(
            direction,
            root * (slope - self.predicted_slope),
            root * (estimate.bar + estimate.high - estimate.low + self._rounding),
            root * slope,
            root * (math.inf if best is None else best.round_off),
            estimate.on_kink,
            self._is_steady,
        )

    def _next_step(self) -> float | None:
        return None if self._is_settled() else self.ladder.next_step(self.first)

    def _is_settled(self) -> bool:
        ladder, estimate = self.ladder, self.ladder.estimate
        if not math.isfinite(estimate.bar) or estimate.is_flat:
            return False
        off = abs(estimate.nearest(self.predicted_slope) - self.predicted_slope)
        bar = estimate.bar + self._rounding
        if off <= bar:
            return estimate.bar <= self._enough
        # A residual to be located must stand out, or three steps must agree on it.
        is_confirmed = len(ladder.rungs) >= LEAST_STEPS
        return is_confirmed and (off > RESIDUAL_STANDS_OUT * bar or self._is_steady)

    @property
    def _is_steady(self) -> bool:
        """True if J is smooth, and three steps show its slope and that the gradient is off."""
        estimate = self.ladder.estimate
        if estimate.on_kink or estimate.is_flat:
            return False
        same = [
            abs(rung.central - estimate.low) <= STEADY * abs(estimate.low) + rung.round_off
            for rung in self.ladder.rungs
        ]
        return sum(same) >= LEAST_STEPS and self.ladder.disagrees(estimate, self.predicted_slope)
