"""The steps tried for one entry, and what they show together: a slope, its error bar, a kink.

Each rung is a pair of evaluations, J(θ+h) and J(θ−h). Its central difference carries rounding noise
of e_J/h, which falls with h, and a truncation error, which grows as h². Since J(θ) is known, there
is also a slope on each side. The gap between these shrinks as h where J is smooth, and stays where
J has a kink. The estimate does not know the gradient under test: no step may be preferred because
it agrees with that.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.noise import NOISE_DEVIATIONS

__all__ = [
    "RATIO",
    "REAL",
    "Estimate",
    "Ladder",
    "Rung",
    "Rungs",
    "follows_square_law",
    "gap_at_zero",
    "run_together",
]

Vector = NDArray[np.float64]
Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

# The ratio of the steps of two neighbouring rungs, and the least ratio at which another step still
# tells something new.
RATIO = 8.0
APART = 4.0
# Bounds on errors, as multiples of their estimates: the truncation error of a central difference
# is at most SAFETY times what two rungs suggest, that of an extrapolation at most EXTRAPOLATED
# times what three rungs suggest. They are this large so that a kink between the rungs cannot go
# unnoticed. MARGIN multiplies the bound once more, because the effects of several kinks may cancel.
SAFETY = 4.0
MARGIN = 1.5
EXTRAPOLATED = 128.0
# The largest step, in units of the length scale.
LARGEST_STEP = 0.4
# Noise that no single step shows is at most this part of |J|; anything larger is how J behaves.
HIDDEN = 1e-6
# The gap between the slopes on the two sides is real from here on, in units of the error bar of the
# central difference. The error bar of the gap is twice that one, so these are three of its own.
REAL = 6.0
# Factors, relative to a slope: a step shows the slope if that is more than SEEN times the error bar
# that noise puts on the step; a jump from one stair to the next looks more than JUMP times as
# steep; and two slopes are the same if they differ by at most this part, SAME_WITHIN.
SEEN = 2.0
JUMP = 4.0
SAME_WITHIN = 0.1
# A step that is shorter by this factor is well below another one.
WELL_BELOW = 16.0
# As far as J can show, a kink is at θ itself if its gap persists down to the step at which the gap
# is only this many error bars of the central difference wide.
NEAREST = 16.0


@dataclass(frozen=True, order=True)
class Rung:
    """The outcome of one step.

    Attributes
    ----------
    step : float
        The step h that was really taken: the mean of both sides.
    forward, backward : float
        The slopes (J(θ+h) − J(θ))/h and (J(θ) − J(θ−h))/h; nan where J is not finite.
    central : float
        The central difference; nan where either slope is.
    round_off : float
        The error bar that the noise of J puts on `central`.
    """

    step: float
    forward: float
    backward: float
    central: float
    round_off: float

    @property
    def gap(self) -> float:
        """The forward slope minus the backward slope."""
        return self.forward - self.backward


@dataclass(frozen=True, eq=False)
class Rungs:
    """The outcomes of many steps: each attribute is an array of what it is in a `Rung`."""

    step: Vector
    forward: Vector
    backward: Vector
    central: Vector
    round_off: Vector

    @classmethod
    def measured(
        cls, costs: tuple[Vector, float | Vector, Vector], steps: tuple[Vector, Vector], noise: Any
    ) -> Self:
        """Return the rungs for J(θ−h), J(θ), J(θ+h) and the steps really taken down and up."""
        minus, cost, plus = costs
        down, up = steps
        is_taken = (down > 0) & (up > 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            width = down + up
            slopes = (plus - cost) / up, (cost - minus) / down
            central, bar = (plus - minus) / width, 2 * NOISE_DEVIATIONS * noise / width
            central = np.where(np.isfinite(sum(slopes) + central), central, np.nan)
        forward, backward = (np.where(is_taken & np.isfinite(s), s, np.nan) for s in slopes)
        return cls(width / 2, forward, backward, central, np.where(is_taken, bar, np.inf))

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, k: int) -> Rung:
        columns = (self.step, self.forward, self.backward, self.central, self.round_off)
        return Rung(*(float(column[k]) for column in columns))

    def rows(self, which: NDArray[np.intp]) -> Self:
        """Return some of the rungs."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    def replaced(self, which: NDArray[np.intp], others: Self) -> Self:
        """Return the same rungs, with others in place of some."""
        columns = {field.name: getattr(self, field.name).copy() for field in fields(self)}
        for name, column in columns.items():
            column[which] = getattr(others, name)
        return type(self)(**columns)

    def has_same_gap(self, wider: Self) -> NDArray[np.bool_]:
        """Return True where wider steps have the same slopes on either side, as at a kink."""
        gap = np.abs(wider.gap)
        slack = SAME_WITHIN * gap + self.round_off
        same: NDArray[np.bool_] = np.abs(self.gap - wider.gap) <= 2 * slack
        return same & (np.abs(self.central - wider.central) <= slack)

    @property
    def gap(self) -> Vector:
        """The forward slopes minus the backward slopes; nan where one is missing."""
        return self.forward - self.backward

    @property
    def bar(self) -> Vector:
        """The error bars that the noise of J puts on `central`; inf where there is none."""
        return np.where(np.isfinite(self.central), self.round_off, np.inf)

    @property
    def is_flat(self) -> NDArray[np.bool_]:
        """True where J did not change at all."""
        flat: NDArray[np.bool_] = (self.forward == 0) & (self.backward == 0)
        return flat


@dataclass(frozen=True)
class Estimate:
    """A slope with its error bar: it lies in [low, high], and each end is known to within `bar`.

    Both ends are equal where J is smooth; they are the slopes on the two sides where θ sits on a
    kink. J is flat if it did not change at all.
    """

    low: float
    high: float
    bar: float
    on_kink: bool = False
    is_flat: bool = False

    def nearest(self, value: float) -> float:
        """Return the slope within the estimate that is nearest to a value."""
        return min(max(value, self.low), self.high) if self.on_kink else self.low


class Ladder:
    """The rungs of one entry, in order of increasing step.

    Parameters
    ----------
    scale, cost : float
        The length over which J is expected to bend, and |J|.
    smallest : float
        The smallest step that θᵢ can take without losing it to rounding.

    Attributes
    ----------
    estimate : Estimate
        The slope with the smallest error bar that fits all smaller steps.
    """

    def __init__(self, scale: float, smallest: float, cost: float) -> None:
        self.rungs: list[Rung] = []
        self._largest = LARGEST_STEP * scale
        self._smallest = smallest
        self._most_noise = HIDDEN * cost
        # The rungs that have a slope, with the noise that they show together, and which of them
        # gives the best estimate.
        self._finite: list[Rung] = []
        self._best, self.estimate = 0, Estimate(math.nan, math.nan, math.inf)

    def add(self, rung: Rung) -> bool:
        """Add a rung and return True, unless there is already one with nearly the same step."""
        if any(0.8 < known.step / rung.step < 1.25 for known in self.rungs):  # noqa: PLR2004
            return False
        insort(self.rungs, rung)
        finite = self._with_slopes
        if bar := NOISE_DEVIATIONS * _hidden_noise(finite, self._most_noise):
            finite = [replace(r, round_off=max(r.round_off, bar / r.step)) for r in finite]
        self._finite = finite
        self._best, self.estimate = self._on_stairs(finite) or self._best_of(finite)
        return True

    @property
    def unhidden(self) -> Estimate:
        """The estimate if nothing hides from small steps: no unknown noise, and no stairs.

        Kinks may look like them.
        """
        return self._best_of(self._with_slopes)[1]

    @property
    def _with_slopes(self) -> list[Rung]:
        return [rung for rung in self.rungs if math.isfinite(rung.central)]

    def climb(
        self,
        take: Callable[[float], Generator[Question, Answer, Rung]],
        next_step: Callable[[], float | None],
        most: int,
    ) -> Generator[Question, Answer, None]:
        """Add rungs until there is no next step, or until most of them were added.

        To take a step, evaluations are asked for. There is no next step if enough is known, or if
        none would tell more.
        """
        for _ in range(most):
            step = next_step()
            if step is None or not self.add((yield from take(step))):
                return

    def best_rung(self) -> Rung | None:
        """Return the rung on which the estimate rests."""
        return self._finite[self._best] if self._finite else None

    def next_step(self, first: float) -> float | None:
        """Return the step to take next, or None if no other step would tell more.

        `first` is the step to be taken while there is only one rung.
        """
        rungs = self._finite
        if not rungs:
            return self._step_towards_finite(first)
        top = rungs[-1].step
        if len(rungs) == 1:
            return self._if_new(first) or self._if_new(top * RATIO)
        if self.estimate.is_flat:
            return self._if_new(top * RATIO**2) or self._if_new(top * RATIO)
        if stairs := _stair_height(rungs):
            step = self._if_new(top * RATIO) or _step_between(*rungs[-2:])
            if step or stairs < math.inf:
                return step
        if not _has_kink(rungs):
            return self._improving_step()
        # The slope on each side is extrapolated from two steps: the better ones are too short.
        is_noisy = rungs[-2].round_off >= self.estimate.bar / 8
        return self._nearest_step(rungs[0]) or (self._if_new(top * RATIO) if is_noisy else None)

    def step_to_compare(self, off: float) -> float | None:
        """Return a step near the best one, at which a disagreement by `off` would show again."""
        rungs, k = self._finite, self._best
        if len(rungs) < 2 or self.estimate.is_flat or _stair_height(rungs) > 0:  # noqa: PLR2004
            return None
        if k > 0:
            below = _step_between(rungs[k - 1], rungs[k])
            if below is not None and rungs[k].round_off * rungs[k].step / below <= 0.7 * off:
                return below
        above = _step_between(rungs[k], rungs[k + 1])
        return above or self._if_new(rungs[0].step / RATIO)

    def _best_of(self, rungs: list[Rung]) -> tuple[int, Estimate]:
        if not rungs:
            # J may be finite on one side.
            slope, bar = _best_side_slope(max(_sides(self.rungs), key=len))
            return 0, Estimate(slope, slope, bar)
        if all(rung.forward == rung.backward == 0 for rung in rungs):
            return 0, Estimate(0.0, 0.0, rungs[-1].round_off, is_flat=True)
        if len(rungs) > 1 and _has_kink(rungs):
            (low, one), (high, other) = sorted(map(_best_side_slope, _sides(rungs)))
            # Until no step can come nearer, the kink may be only near θ.
            resolved = self._nearest_step(rungs[0]) is None
            bar = max(one, other) if resolved else math.inf
            return 0, Estimate(low, high, bar, on_kink=resolved)
        found = []
        for k in range(max(1, len(rungs) - 1)):
            estimate = _central_estimate(rungs, k)
            slope, bar = estimate.low, estimate.bar
            # Where it does not fit what all smaller steps show, this step has crossed something.
            if all(abs(slope - rung.central) <= bar + rung.round_off for rung in rungs[:k]):
                found.append((k, estimate))
        return min(found, key=lambda known: known[1].bar)

    def _on_stairs(self, rungs: list[Rung]) -> tuple[int, Estimate] | None:
        """Return what a staircase shows; None if J is none, as far as the largest steps show."""
        stairs = _stair_height(rungs)
        if not stairs or (stairs == math.inf and self._if_new(rungs[-1].step * RATIO) is None):
            return None
        near, far = rungs[-2:]
        bar = NOISE_DEVIATIONS * stairs / far.step + abs(far.central - near.central)
        return len(rungs) - 1, Estimate(far.central, far.central, bar)

    def disagrees(self, estimate: Estimate, value: float) -> bool:
        """Return True if three steps in a row show the same disagreement with a value.

        Two steps may agree with each other by luck.
        """
        rungs = self._finite
        if estimate.on_kink:
            return True
        if len(rungs) > 1 and (stairs := _stair_height(rungs)):
            return stairs < math.inf
        off = abs(estimate.low - value)
        in_a_row = 0
        for rung in rungs:
            apart = abs(rung.central - estimate.low)
            steady = rung.round_off <= 0.7 * off and apart <= off / 4 + rung.round_off
            in_a_row = in_a_row + 1 if steady else 0
            if in_a_row == 3:  # noqa: PLR2004
                return True
        return False

    def may_hide_kink(self, off: float) -> bool:
        """Return True if a kink nearer than the best step may explain a disagreement.

        It may if larger steps show a gap, and no step is so short, and still so precise, that it
        would be on this side of the kink.
        """
        rungs, k = self._finite, self._best
        if k + 1 >= len(rungs):
            return False
        near = rungs[k].step / WELL_BELOW
        if any(rung.step <= near and rung.round_off <= off / 4 for rung in rungs):
            return False
        return abs(gap_at_zero(*rungs[k : k + 2])) > off / 2

    def _step_towards_finite(self, first: float) -> float | None:
        """Return a smaller step, twice; then larger ones, in case J is finite on one side."""
        steps = [rung.step for rung in self.rungs]
        if not steps:
            return self._if_new(first)
        return self._if_new(steps[0] / RATIO if len(steps) < 3 else steps[-1] * RATIO)  # noqa: PLR2004

    def _nearest_step(self, lowest: Rung) -> float | None:
        """Return the smallest step that can show whether the kink is at θ; None if it was taken."""
        step = max(NEAREST * lowest.round_off * lowest.step / abs(lowest.gap), self._smallest)
        return step if step < lowest.step / APART else None

    def _improving_step(self) -> float | None:
        """Return a step that may improve on the best one."""
        rungs, k, bar = self._finite, self._best, self.estimate.bar
        above = _step_between(rungs[k], rungs[k + 1])
        if rungs[k].round_off >= bar / 2:
            # Rounding noise limits the estimate; otherwise curvature or a kink does.
            wider = self._if_new(rungs[-1].step * RATIO)
            return above or wider if k < len(rungs) - 2 else wider or above
        if above is not None and rungs[k + 1].step > 2 * RATIO * rungs[k].step:
            # The neighbour is too far away to confirm the best rung.
            return above
        if k == 0:
            return self._if_new(rungs[0].step / RATIO)
        below = _step_between(rungs[k - 1], rungs[k])
        if below is not None and rungs[k].round_off * rungs[k].step / below < bar / 2:
            return below
        # A shorter step would be of no use if it drowned in noise.
        is_drowned = rungs[0].round_off * RATIO > bar
        outside = rungs[-1].step * RATIO if is_drowned else rungs[0].step / RATIO
        return above or self._if_new(outside)

    def _if_new(self, step: float) -> float | None:
        """Return the step, capped at the largest; None if it cannot be taken or is not new."""
        step = min(step, self._largest)
        known = any(1 / APART < rung.step / step < APART for rung in self.rungs)
        return None if known or step < self._smallest else step


def _step_between(lower: Rung, upper: Rung) -> float | None:
    """Return the step halfway between two others, if they are far enough apart."""
    if upper.step < APART * lower.step:
        return None
    return math.sqrt(lower.step * upper.step)


def _central_estimate(rungs: list[Rung], k: int) -> Estimate:
    """Return the slope from the k-th central difference, extrapolated where that is better."""
    rung = rungs[k]
    kinks = _kink_bound(rungs, k)
    bar = rung.round_off + MARGIN * (_truncation_bound(rungs, k) + kinks)
    estimates = [Estimate(rung.central, rung.central, bar)]
    if follows_square_law(rungs, k):
        near, middle, far = rungs[k : k + 3]
        value, further = _richardson(near, middle), _richardson(middle, far)
        share = min(1.0, EXTRAPOLATED * (near.step / far.step) ** 2)
        # A kink that affects the middle rung counts only with the weight of that rung.
        kinks += _kink_bound(rungs, k + 1) / ((middle.step / near.step) ** 2 - 1)
        bar = 1.1 * near.round_off + share * abs(value - further) + kinks
        estimates.append(Estimate(value, value, bar))
    return min(estimates, key=lambda estimate: estimate.bar)


def _truncation_bound(rungs: list[Rung], k: int) -> float:
    """Return a bound on the truncation error, from the differences with the neighbouring rungs."""
    rung = rungs[k]
    below = abs(rung.central - rungs[k - 1].central) if k > 0 else 0.0
    above = abs(rung.central - rungs[k + 1].central) if k + 1 < len(rungs) else math.inf
    if follows_square_law(rungs, k):
        above *= min(1.0, SAFETY / ((rungs[k + 1].step / rung.step) ** 2 - 1))
    if k == 0:
        # A single step tells little, but where the slopes on both sides agree the error is small.
        return above if math.isfinite(above) else abs(rung.gap)
    # With smaller steps the changes become smaller. Where they do not, two rungs agree by luck.
    noise = rung.round_off + rungs[k - 1].round_off
    return min(max(above, below - noise), 1.5 * below + noise)


def follows_square_law(rungs: list[Rung], k: int) -> bool:
    """Return True if three central differences change as h², as they do for a smooth function."""
    if k + 2 >= len(rungs):
        return False
    near, middle, far = rungs[k : k + 3]
    first, second = middle.central - near.central, far.central - middle.central
    if max(abs(first), abs(second)) <= near.round_off + middle.round_off:
        return True
    law = (far.step**2 - middle.step**2) / (middle.step**2 - near.step**2)
    # Rounding noise in the differences may hide how they grow.
    slack = law * (near.round_off + middle.round_off)
    return abs(second - law * first) <= abs(law * first) / 4 + slack


def _kink_bound(rungs: list[Rung], k: int) -> float:
    """Return a bound on how much a kink nearer than h changes the central difference.

    The bound is the gap between the slopes, without the part of the gap that grows with h: that
    part is curvature, which does not affect a central difference.
    """
    pairs = [rungs[i : i + 2] for i in (k - 1, k) if i >= 0 and i + 1 < len(rungs)]
    # Of two bounds, the one counts that is lower with all its noise.
    bounds = [
        (gap + _noise_of_gap(*pair), gap) for pair in pairs for gap in [abs(gap_at_zero(*pair))]
    ]
    bound = min(bounds)[1] if bounds else abs(rungs[k].gap) / 2
    return max(0.0, bound - 2 * rungs[k].round_off)


def _noise_of_gap(near: Rung, far: Rung) -> float:
    ratio = far.step / near.step
    return 2 * (ratio * near.round_off + far.round_off) / (ratio - 1)


def gap_at_zero(near: Rung, far: Rung) -> float:
    """Return the gap between the slopes, extrapolated to h = 0: zero where J is smooth."""
    ratio = far.step / near.step
    return (ratio * near.gap - far.gap) / (ratio - 1)


def _richardson(near: Rung, far: Rung) -> float:
    squared = (far.step / near.step) ** 2
    return (squared * near.central - far.central) / (squared - 1)


def _stair_height(rungs: list[Rung]) -> float:
    """Return the height of the stairs where J is a staircase; inf where it may only look like one.

    Small steps may stay on one stair while the next larger ones find a slope on both sides: then J
    is rounded, or something in it is. (A dead unit that comes to life does so on one side only.)
    """
    slopes = [rung for rung in rungs if _has_slopes(rung)]
    height = 0.0
    for k, rung in enumerate(rungs):
        slope = next((larger.central for larger in rungs[k + 1 :] if _has_slopes(larger)), 0.0)
        if _is_on_stairs(rung, slope) and abs(slope) > SEEN * rung.round_off:
            steepest = max(abs(rung.forward - slope), abs(rung.backward - slope))
            height = max(height, rung.step * steepest)
    if height and (len(slopes) < 2 or not _have_same_slope(*slopes[-2:])):  # noqa: PLR2004
        return math.inf
    return height


def _has_slopes(rung: Rung) -> bool:
    """Return True if J has a slope on both sides, beyond noise, and about the same.

    A kink on one side may be all that J has got there, apart from a slight regularization.
    """
    least, steepest = sorted((abs(rung.forward), abs(rung.backward)))
    is_alike = rung.forward * rung.backward > 0 and steepest <= JUMP * least
    return is_alike and least > 2 * rung.round_off


def _is_on_stairs(rung: Rung, slope: float) -> bool:
    """Return True if J stays on its stair on both sides, or jumps to the next stair on one side."""
    steepest = max(abs(rung.forward), abs(rung.backward))
    return rung.forward * rung.backward == 0 and (steepest == 0 or steepest > JUMP * abs(slope))


def _have_same_slope(one: Rung, other: Rung) -> bool:
    """Return True if two rungs have the same slope, and each about the same on both sides."""
    size = abs(other.central)
    straight = abs(one.gap) <= size / 2 and abs(other.gap) <= size / 2
    return straight and abs(one.central - other.central) <= SAME_WITHIN * size


def _hidden_noise(rungs: list[Rung], most: float) -> float:
    """Return the noise that shows only when several steps are compared.

    Larger steps agree on a slope, and smaller ones miss it by more the smaller they are. That is
    how noise looks, or a staircase in a part of J, such as log(1 − a) with a close to 1. Curvature
    looks different, because it disturbs larger steps more; so does a kink, because it makes the
    slopes on the two sides differ, or leaves one of them as it is. A change of more than `most` is
    how J behaves.
    """
    found = 0.0
    for k in range(1, len(rungs) - 1):
        near, far = rungs[k : k + 2]
        doubt = max(8 * abs(near.central - far.central), 4 * abs(gap_at_zero(near, far)))
        misses = [(abs(rung.central - near.central), rung) for rung in rungs[:k]]
        if max(miss * rung.step for miss, rung in misses) > most:
            continue
        for miss, rung in misses:
            sides = rung.forward - near.forward, rung.backward - near.backward
            if min(miss, *map(abs, sides)) > doubt + 2 * (rung.round_off + near.round_off):
                found = max(found, miss * rung.step)
    return found


def _has_kink(rungs: list[Rung]) -> bool:
    """Return True if the gap between the slopes of the smallest step is a kink, not curvature."""
    near, far = rungs[:2]
    if abs(near.gap) <= REAL * near.round_off:
        return False
    if abs(near.central - far.central) > 2 * abs(near.gap) or far.gap / near.gap < 0.5:  # noqa: PLR2004
        # Both sides change together, or the gap closes; neither happens at a kink.
        return False
    return 0.5 < gap_at_zero(near, far) / near.gap < 2  # noqa: PLR2004


def _sides(rungs: list[Rung]) -> list[list[tuple[float, float, float]]]:
    """Return (step, slope, noise) triples for each side, where J is finite on it."""
    forward = [(r.step, r.forward, r.round_off) for r in rungs if math.isfinite(r.forward)]
    backward = [(r.step, r.backward, r.round_off) for r in rungs if math.isfinite(r.backward)]
    return [forward, backward]


def _best_side_slope(slopes: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the best slope on one side and its error bar."""
    if len(slopes) < 2:  # noqa: PLR2004
        return slopes[0][1] if slopes else math.nan, math.inf
    found: list[tuple[float, float]] = []
    for k, ((step, slope, round_off), (further, other, _)) in enumerate(pairwise(slopes)):
        ratio = further / step
        correction = (slope - other) / (ratio - 1)
        bar = 2 * round_off * (ratio + 1) / (ratio - 1) + abs(correction)
        best = slope + correction
        # Where it does not fit what all smaller steps show, this step has crossed something.
        if all(abs(best - near) <= bar + 2 * noise for _, near, noise in slopes[:k]):
            found.append((best, bar))
    return min(found, key=lambda known: known[1])


def run_together(
    inquiries: Sequence[Generator[Question, Answer, Result]],
    answers: Callable[[Sequence[Question]], Sequence[Answer]],
    at_once: int,
) -> list[Result]:
    """Run generators that ask for evaluations, some at once, and return their results in order.

    Each yields questions and is sent their answers; `answers` answers several questions at once.
    """
    results: dict[int, Result] = {}
    for start in range(0, len(inquiries), at_once):
        # A generator starts when it is sent None.
        found: dict[int, Any] = dict.fromkeys(range(len(inquiries))[start : start + at_once])
        while found:
            asked = {}
            for i, answer in found.items():
                try:
                    asked[i] = inquiries[i].send(answer)
                except StopIteration as stop:
                    results[i] = stop.value
            replies = answers(list(asked.values())) if asked else ()
            found = dict(zip(asked, replies, strict=True))
    return [results[i] for i in range(len(inquiries))]
