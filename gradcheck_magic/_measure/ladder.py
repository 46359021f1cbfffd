"""The steps tried for one entry, and what they say together: a slope, its error bar, a kink.

Each rung is a pair of evaluations, J(θ+h) and J(θ−h). Its central difference carries a round-off
of e_J/h that falls with h, and a truncation error that grows as h². Since J(θ) is known it also
has a slope on each side; their gap shrinks as h where J is smooth, and stays where it has a kink.
The estimate does not know the gradient under test: no step may be preferred for agreeing with it.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

__all__ = [
    "NOISE_DEVIATIONS",
    "RATIO",
    "Estimate",
    "Ladder",
    "Rung",
    "follows_square_law",
    "gap_at_zero",
    "run_together",
]

# The noise is a standard deviation: four of them, of both evaluations at once, hold every value.
NOISE_DEVIATIONS = 4.0
# From one rung to the next, and what is still far enough apart to tell more.
RATIO = 8.0
APART = 4.0
# The truncation error is bounded by this many times what two rungs say it is, and that of an
# extrapolation by this many times what three rungs say: a kink on the way must not escape. Several
# kinks at once may conspire; the margin is for them.
SAFETY = 4.0
MARGIN = 1.5
EXTRAPOLATED = 128.0
# The largest step, in units of max(1, |θᵢ|).
LARGEST_STEP = 0.4
# Noise that no single step shows may be this part of J.
HIDDEN = 1e-6
# The gap between the slopes on both sides is real from this many of its error bars on, and that
# bar is twice the one of the central difference.
REAL = 6.0
# A slope shows in a step if it is so many times that step's round-off; a jump from one stair to the
# next looks so many times as steep; and two slopes are alike that differ by no more than this part.
SEEN = 2.0
JUMP = 4.0
SAME_WITHIN = 0.1
# A gap that is still there so near to θ that it is no more than this many error bars is a kink at
# θ itself, as far as J can show.
NEAREST = 16.0


@dataclass(frozen=True, order=True)
class Rung:
    """What one step showed.

    Attributes
    ----------
    step : float
        h, half of what was really stepped.
    forward, backward : float
        The slopes (J(θ+h) − J(θ))/h and (J(θ) − J(θ−h))/h; nan where J is not finite.
    central : float
        The central difference; nan where either of them is.
    round_off : float
        The error bar that the noise of J puts on `central`.
    """

    step: float
    forward: float
    backward: float
    central: float
    round_off: float

    @classmethod
    def measured(
        cls, costs: tuple[float, float, float], steps: tuple[float, float], noise: float
    ) -> Rung:
        """Return the rung of J(θ−h), J(θ), J(θ+h), and what was stepped down and up."""
        minus, cost, plus = costs
        down, up = steps
        step = (down + up) / 2
        if not (down > 0 and up > 0):
            return cls(step, math.nan, math.nan, math.nan, math.inf)
        forward = (plus - cost) / up if math.isfinite(plus) else math.nan
        backward = (cost - minus) / down if math.isfinite(minus) else math.nan
        both = math.isfinite(forward) and math.isfinite(backward)
        central = (plus - minus) / (down + up) if both else math.nan
        return cls(step, forward, backward, central, NOISE_DEVIATIONS * noise / step)

    @property
    def gap(self) -> float:
        """By how much the slopes on both sides differ."""
        return self.forward - self.backward


@dataclass(frozen=True)
class Estimate:
    """What is known about a slope: it is in [low, high], each known to within the bar.

    Attributes
    ----------
    low, high : float
        Alike where J is smooth; the slopes on both sides where θ sits on a kink.
    bar : float
        Of either.
    on_kink : bool
        Whether θ sits on a kink.
    is_flat : bool
        Whether J did not change at all.
    """

    low: float
    high: float
    bar: float
    on_kink: bool = False
    is_flat: bool = False

    def nearest(self, value: float) -> float:
        """Return the slope that is nearest to a value."""
        return min(max(value, self.low), self.high) if self.on_kink else self.low


NO_ESTIMATE = Estimate(math.nan, math.nan, math.inf)


class Ladder:
    """The rungs of one entry, by increasing step.

    Parameters
    ----------
    scale : float
        max(1, |θᵢ|).
    smallest : float
        The smallest step that θᵢ can take without losing it in rounding.
    cost : float
        The size of J.
    """

    def __init__(self, scale: float, smallest: float, cost: float) -> None:
        self.rungs: list[Rung] = []
        self._largest = LARGEST_STEP * scale
        self._smallest = smallest
        self._most_noise = HIDDEN * cost
        # What the rungs come to, until there is another one.
        self._known: tuple[list[Rung], int, Estimate] | None = None

    def add(self, rung: Rung) -> None:
        """Take in another rung, unless it is there already."""
        if not any(0.8 < known.step / rung.step < 1.25 for known in self.rungs):  # noqa: PLR2004
            insort(self.rungs, rung)
            self._known = None

    def estimate(self) -> Estimate:
        """Return the slope with the smallest error bar that all smaller steps bear out."""
        return self._best()[1]

    def best_rung(self) -> Rung | None:
        """Return the rung that the estimate rests on."""
        rungs, k, _ = self._summed_up()
        return rungs[k] if rungs else None

    def next_step(self, first: float) -> float | None:
        """Return the step to take next; None where no other would say more.

        Parameters
        ----------
        first : float
            The second step, where there is only one yet.
        """
        rungs = self._finite()
        if not rungs:
            return self._towards_finite(first)
        top = rungs[-1].step
        if len(rungs) == 1:
            return self._new(first) or self._new(top * RATIO)
        k, estimate = self._best()
        if estimate.is_flat:
            return self._new(top * RATIO**2) or self._new(top * RATIO)
        if _stairs(rungs) > 0:
            return self._new(top * RATIO) or self._between(*rungs[-2:])
        return self._nearer(rungs[0]) if _has_kink(rungs) else self._around(rungs, k, estimate.bar)

    def step_to_compare(self, off: float) -> float | None:
        """Return a step near the best one, to see whether a value is off by as much with it."""
        rungs = self._finite()
        if len(rungs) < 2 or _stairs(rungs) > 0:  # noqa: PLR2004
            return None
        k, _ = self._best()
        if k > 0:
            below = self._between(rungs[k - 1], rungs[k])
            if below is not None and rungs[k].round_off * rungs[k].step / below <= 0.7 * off:
                return below
        above = self._between(rungs[k], rungs[k + 1]) if k + 1 < len(rungs) else None
        return above or self._new(rungs[0].step / RATIO)

    def _finite(self) -> list[Rung]:
        """The rungs with a slope, and with the noise that they show together."""
        return self._summed_up()[0]

    def _best(self) -> tuple[int, Estimate]:
        """The rung with the best estimate, and the estimate."""
        return self._summed_up()[1:]

    def _summed_up(self) -> tuple[list[Rung], int, Estimate]:
        if self._known is None:
            rungs = self._with_noise()
            self._known = (rungs, *self._best_of(rungs))
        return self._known

    def _best_of(self, rungs: list[Rung]) -> tuple[int, Estimate]:
        if not rungs:
            return 0, _one_sided(self.rungs)
        if all(rung.forward == rung.backward == 0 for rung in rungs):
            return 0, Estimate(0.0, 0.0, rungs[-1].round_off, is_flat=True)
        if (stairs := _stairs(rungs)) > 0:
            return len(rungs) - 1, _over_stairs(rungs, stairs)
        if len(rungs) > 1 and _has_kink(rungs):
            return 0, _kinked(rungs, resolved=self._nearer(rungs[0]) is None)
        found = [
            (k, estimate)
            for k in range(max(1, len(rungs) - 1))
            if _borne_out(estimate := _central(rungs, k), rungs[:k])
        ]
        return min(found, key=lambda known: known[1].bar)

    def disagrees(self, estimate: Estimate, value: float) -> bool:
        """Return whether a value is off by as much with three steps in a row.

        Two may agree with each other by luck.
        """
        rungs = self._finite()
        if estimate.on_kink or (len(rungs) > 1 and _stairs(rungs) > 0):
            return True
        off = abs(estimate.low - value)
        in_a_row = 0
        for rung in rungs:
            apart = abs(rung.central - estimate.low)
            steady = rung.round_off <= 0.7 * off and apart <= off / 4 + rung.round_off
            in_a_row = in_a_row + 1 if steady else 0
            if in_a_row == 3:  # noqa: PLR2004
                return True
        return False

    def _with_noise(self) -> list[Rung]:
        rungs = [rung for rung in self.rungs if math.isfinite(rung.central)]
        bar = NOISE_DEVIATIONS * _hidden_noise(rungs, self._most_noise)
        if bar == 0:
            return rungs
        return [replace(r, round_off=max(r.round_off, bar / r.step)) for r in rungs]

    def _towards_finite(self, first: float) -> float | None:
        """A smaller step, twice; then larger ones, for the side on which J is finite."""
        steps = [rung.step for rung in self.rungs]
        if not steps:
            return self._new(first)
        return self._new(steps[0] / RATIO if len(steps) < 3 else steps[-1] * RATIO)  # noqa: PLR2004

    def _nearer(self, lowest: Rung) -> float | None:
        """The smallest step that can still show whether θ itself is on the kink; None if taken."""
        step = max(NEAREST * lowest.round_off * lowest.step / abs(lowest.gap), self._smallest)
        return step if step < lowest.step / APART else None

    def _around(self, rungs: list[Rung], k: int, bar: float) -> float | None:
        """A step that improves on the best one."""
        noisy = rungs[k].round_off >= bar / 2
        return self._above(rungs, k) if noisy else self._beside(rungs, k, bar)

    def _above(self, rungs: list[Rung], k: int) -> float | None:
        """A larger step, where round-off is what limits the best estimate."""
        top = len(rungs) - 1
        if k == top or (k == top - 1 and _agree(rungs[k], rungs[top])):
            return self._new(rungs[top].step * RATIO)
        return self._between(rungs[k], rungs[k + 1])

    def _beside(self, rungs: list[Rung], k: int, bar: float) -> float | None:
        """A step nearer to the best one, where curvature or a kink is what limits it."""
        above = None if k + 1 == len(rungs) else self._between(rungs[k], rungs[k + 1])
        if above is not None and rungs[k + 1].step > 2 * RATIO * rungs[k].step:
            # Its neighbour is too far away to bear it out.
            return above
        if k == 0:
            return self._new(rungs[0].step / RATIO)
        below = math.sqrt(rungs[k - 1].step * rungs[k].step)
        if rungs[k].round_off * rungs[k].step / below < bar / 2:
            between = self._between(rungs[k - 1], rungs[k])
            if between is not None:
                return between
        return above or self._new(rungs[0].step / RATIO)

    def _between(self, lower: Rung, upper: Rung) -> float | None:
        if upper.step < APART * lower.step:
            return None
        return math.sqrt(lower.step * upper.step)

    def _new(self, step: float) -> float | None:
        """The step, if it can be taken and is not there yet."""
        step = min(step, self._largest)
        known = any(1 / APART < rung.step / step < APART for rung in self.rungs)
        return None if known or step < self._smallest else step


def _agree(one: Rung, other: Rung) -> bool:
    """Whether round-off explains by how much two central differences differ."""
    return abs(one.central - other.central) <= one.round_off + other.round_off


def _borne_out(estimate: Estimate, smaller: list[Rung]) -> bool:
    """Whether an estimate fits all smaller steps: what does not has met something on its way."""
    return all(
        abs(estimate.low - rung.central) <= estimate.bar + rung.round_off for rung in smaller
    )


def _central(rungs: list[Rung], k: int) -> Estimate:
    """Return the slope by the k-th central difference, extrapolated where that is better."""
    rung = rungs[k]
    kinks = _kink_within(rungs, k)
    bar = rung.round_off + MARGIN * (_truncation(rungs, k) + kinks)
    estimates = [Estimate(rung.central, rung.central, bar)]
    if follows_square_law(rungs, k):
        near, middle, far = rungs[k : k + 3]
        value, further = _richardson(near, middle), _richardson(middle, far)
        share = min(1.0, EXTRAPOLATED * (near.step / far.step) ** 2)
        # What a kink does to the middle rung comes down with its weight.
        kinks += _kink_within(rungs, k + 1) / ((middle.step / near.step) ** 2 - 1)
        bar = 1.1 * near.round_off + share * abs(value - further) + kinks
        estimates.append(Estimate(value, value, bar))
    return min(estimates, key=lambda estimate: estimate.bar)


def _truncation(rungs: list[Rung], k: int) -> float:
    """A bound on the truncation error: how far the central differences on both sides are off."""
    rung = rungs[k]
    below = abs(rung.central - rungs[k - 1].central) if k > 0 else 0.0
    above = abs(rung.central - rungs[k + 1].central) if k + 1 < len(rungs) else math.inf
    if follows_square_law(rungs, k):
        above *= min(1.0, SAFETY / ((rungs[k + 1].step / rung.step) ** 2 - 1))
    if k == 0:
        # One step alone does not tell; but where the slopes of both sides agree, it is small.
        return above if math.isfinite(above) else abs(rung.gap)
    # Towards smaller steps the changes become smaller; where they do not, two agree by luck.
    noise = rung.round_off + rungs[k - 1].round_off
    return min(max(above, below - noise), 1.5 * below + noise)


def follows_square_law(rungs: list[Rung], k: int) -> bool:
    """Whether three central differences differ as h², as those of a smooth function do."""
    if k + 2 >= len(rungs):
        return False
    near, middle, far = rungs[k : k + 3]
    first, second = middle.central - near.central, far.central - middle.central
    if max(abs(first), abs(second)) <= near.round_off + middle.round_off:
        return True
    law = (far.step**2 - middle.step**2) / (middle.step**2 - near.step**2)
    # What round-off adds to a difference may hide how it grows.
    slack = law * (near.round_off + middle.round_off)
    return abs(second - law * first) <= abs(law * first) / 4 + slack


def _kink_within(rungs: list[Rung], k: int) -> float:
    """A bound on what a kink nearer than h does to the central difference.

    It is the gap between the slopes, but for the part of the gap that grows with h: that is
    curvature, which the central difference does not feel.
    """
    pairs = [rungs[i : i + 2] for i in (k - 1, k) if i >= 0 and i + 1 < len(rungs)]
    bounds = [abs(gap_at_zero(near, far)) for near, far in pairs] or [abs(rungs[k].gap) / 2]
    return max(0.0, min(bounds) - 2 * rungs[k].round_off)


def gap_at_zero(near: Rung, far: Rung) -> float:
    """The gap between the slopes as h goes to zero: none where J is smooth."""
    ratio = far.step / near.step
    return (ratio * near.gap - far.gap) / (ratio - 1)


def _richardson(near: Rung, far: Rung) -> float:
    squared = (far.step / near.step) ** 2
    return (squared * near.central - far.central) / (squared - 1)


def _stairs(rungs: list[Rung]) -> float:
    """Return how high the stairs are, where J is a staircase; inf where it only looks like one.

    Small steps may stay on one stair, and larger ones find a slope all the same, on both sides:
    J is rounded, or something in it is. A unit that is dead comes to life on one side alone.
    """
    slopes = [rung for rung in rungs if rung.forward * rung.backward > 0]
    if not slopes:
        return 0.0
    slope = slopes[-1].central
    hidden = [
        rung
        for rung in rungs
        if _is_on_stairs(rung, slope)
        and rung.step < slopes[-1].step
        and abs(slope) > SEEN * rung.round_off
    ]
    if not hidden:
        return 0.0
    if len(slopes) < 2 or not _alike(*slopes[-2:]):  # noqa: PLR2004
        return math.inf
    return max(
        rung.step * max(abs(rung.forward - slope), abs(rung.backward - slope)) for rung in hidden
    )


def _is_on_stairs(rung: Rung, slope: float) -> bool:
    """Whether J stays on its stair; or does on one side, and jumps to the next on the other."""
    steepest = max(abs(rung.forward), abs(rung.backward))
    return rung.forward * rung.backward == 0 and (steepest == 0 or steepest > JUMP * abs(slope))


def _alike(one: Rung, other: Rung) -> bool:
    """Whether two rungs have the same slope, and about the same on both sides."""
    size = abs(other.central)
    straight = abs(one.gap) <= size / 2 and abs(other.gap) <= size / 2
    return straight and abs(one.central - other.central) <= SAME_WITHIN * size


def _over_stairs(rungs: list[Rung], stairs: float) -> Estimate:
    """Return the slope of a staircase, by the largest step."""
    near, far = rungs[-2:]
    bar = NOISE_DEVIATIONS * stairs / far.step + abs(far.central - near.central)
    return Estimate(far.central, far.central, bar)


def _hidden_noise(rungs: list[Rung], most: float) -> float:
    """Return the noise that only the differences of several steps show.

    Larger steps agree on a slope, and smaller ones miss it the more, the smaller they are: that is
    how noise looks, or a staircase in a part of J (log(1 − a), with a nearly 1). Neither curvature
    does, from which larger steps suffer more, nor a kink, which would set the sides apart.

    Parameters
    ----------
    most : float
        What is more than that, J does in earnest.
    """
    found = 0.0
    for k in range(1, len(rungs) - 1):
        near, far = rungs[k : k + 2]
        doubt = max(8 * abs(near.central - far.central), 2 * abs(gap_at_zero(near, far)))
        misses = [(abs(rung.central - near.central), rung) for rung in rungs[:k]]
        if max(miss * rung.step for miss, rung in misses) > most:
            continue
        for miss, rung in misses:
            if miss > doubt + 2 * (rung.round_off + near.round_off):
                found = max(found, miss * rung.step)
    return found


def _has_kink(rungs: list[Rung]) -> bool:
    """Whether the gap between the slopes of the smallest step is one, and not curvature."""
    near, far = rungs[:2]
    if abs(near.gap) <= REAL * near.round_off:
        return False
    if abs(near.central - far.central) > 2 * abs(near.gap) or far.gap / near.gap < 0.5:  # noqa: PLR2004
        # Both sides change together, or the gap closes: that is no kink's doing.
        return False
    return 0.5 < gap_at_zero(near, far) / near.gap < 2  # noqa: PLR2004


def _kinked(rungs: list[Rung], *, resolved: bool) -> Estimate:
    """Return the slopes on both sides of a kink; without error bar if it may only be near θ."""
    sides = [
        _side([(rung.step, rung.forward, rung.round_off) for rung in rungs]),
        _side([(rung.step, rung.backward, rung.round_off) for rung in rungs]),
    ]
    (low, one), (high, other) = sorted(sides)
    return Estimate(low, high, max(one, other) if resolved else math.inf, on_kink=resolved)


def _one_sided(rungs: list[Rung]) -> Estimate:
    """Return the slope on the side where J is finite, if it is on one."""
    forward = [(r.step, r.forward, r.round_off) for r in rungs if math.isfinite(r.forward)]
    backward = [(r.step, r.backward, r.round_off) for r in rungs if math.isfinite(r.backward)]
    slopes = max(forward, backward, key=len)
    if not slopes:
        return NO_ESTIMATE
    value, bar = _side(slopes)
    return Estimate(value, value, bar)


def _side(slopes: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the best slope on one side, and its error bar, from (step, slope, round-off)."""
    if len(slopes) == 1:
        return slopes[0][1], math.inf
    found = []
    for (step, slope, round_off), (further, other, _) in pairwise(slopes):
        ratio = further / step
        correction = (slope - other) / (ratio - 1)
        bar = 2 * round_off * (ratio + 1) / (ratio - 1) + abs(correction)
        found.append((slope + correction, bar))
    return min(found, key=lambda known: known[1])


Question = TypeVar("Question")


Answer = TypeVar("Answer")


Result = TypeVar("Result")


def run_together(
    inquiries: Sequence[Generator[Question, Answer, Result]],
    answers: Callable[[Sequence[Question]], Sequence[Answer]],
    at_once: int,
) -> list[Result]:
    """Return what each inquiry comes to, in their order.

    Parameters
    ----------
    inquiries : sequence of generator
        Each yields questions and is sent their answers.
    answers : callable
        Answers several questions at once.
    at_once : int
        How many inquiries go on at the same time.
    """
    results: list[Result] = []
    for start in range(0, len(inquiries), at_once):
        results += _in_step(inquiries[start : start + at_once], answers)
    return results


def _in_step(
    inquiries: Sequence[Generator[Question, Answer, Result]],
    answers: Callable[[Sequence[Question]], Sequence[Answer]],
) -> list[Result]:
    results: dict[int, Result] = {}
    asked: dict[int, Question] = {}

    def go_on(i: int, go: Callable[[], Question]) -> None:
        try:
            asked[i] = go()
        except StopIteration as stop:
            results[i] = stop.value

    for i, inquiry in enumerate(inquiries):
        go_on(i, partial(next, inquiry))
    while asked:
        under_way, found = list(asked), answers(list(asked.values()))
        asked.clear()
        for i, answer in zip(under_way, found, strict=True):
            go_on(i, partial(inquiries[i].send, answer))
    return [results[i] for i in range(len(inquiries))]
