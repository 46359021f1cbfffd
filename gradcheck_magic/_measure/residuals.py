"""What a gradient leaves unexplained of J along directions in one parameter.

For a direction v the residual is r = D_v − gᵀv, with D_v the central difference along it. Over the
random directions used here E[r²] = ‖δ‖², where δ is the gradient's error, and a single wrong entry
shows as about ±δᵢ, however many entries move.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box, Direction, Prediction, likely_magnitude
from gradcheck_magic._cost.evaluation import DirectionBatch, Probe
from gradcheck_magic._measure.analytic import Analytic
from gradcheck_magic._measure.ladder import NOISE_DEVIATIONS, Estimate, Ladder, Rung, run_together
from gradcheck_magic._measure.refine import PLACES, VERIFIED, noise_of_pair

__all__ = ["CERTAINTY", "Residual", "Residuals", "joint_residual", "results_of"]

Vector = NDArray[np.float64]
Result = TypeVar("Result")
# Asks for J on both sides of θ along a probe, is sent both values, and returns what they tell.
Looking: TypeAlias = Generator[Probe, tuple[float, float], Result]

# Any single wrong entry larger than what is told is found with this probability.
CERTAINTY = 0.999
# The length of a step along a direction: the least, and the most, in units of max(1, ‖θ‖).
LEAST_STEP = 3e-5
MOST_STEP = 1e-3
# What a residual is worth that is to be located, in units of its error bar.
RESOLVED = 4000.0
# A doubtful slope is looked at with so many steps at most.
RUNGS_OF_DIRECTION = 7
# A residual needs no third step if it is so many error bars.
RESIDUAL_STANDS_OUT = 20.0


def results_of(looks: Sequence[Looking[Result]], cost: Cost) -> list[Result]:
    """Return what several looks find: at once, where there are workers."""

    def evaluated(probes: Sequence[Probe]) -> list[tuple[float, float]]:
        plus, minus = cost.pairs(cost.best, DirectionBatch(probes))
        return list(zip(plus.tolist(), minus.tolist(), strict=True))

    return run_together(looks, evaluated, cost.at_once)


@dataclass(frozen=True)
class Residual:
    """r = D_v − gᵀv along a direction, and D_v itself.

    Attributes
    ----------
    direction : Direction
        v.
    value, bar : float
        r and its error bar; nan and inf where J is not finite, or has kinks nearer to θ than any
        step. Where θ sits on a kink, the bar is as wide as the slopes on both sides are apart: so
        much may hide there.
    slope : float
        D_v.
    noise : float
        What of the bar is the noise of J.
    on_kink : bool
        Whether θ sits on one.
    """

    direction: Direction
    value: float
    bar: float
    slope: float
    noise: float
    on_kink: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether it is more than its error bar."""
        return self.is_known and abs(self.value) > self.bar

    @property
    def is_known(self) -> bool:
        """Whether there is any."""
        return math.isfinite(self.value) and math.isfinite(self.bar)

    @property
    def detectable(self) -> float:
        """The size of a single wrong entry that would be clear, all but certainly."""
        return 2 * self.bar / likely_magnitude(CERTAINTY)

    def elsewhere(self, part: Residual, box: Box) -> Residual:
        """Return what is left of it in the rest of its entries, given that of a part."""
        return Residual(
            self.direction.within(box),
            self.value - part.value,
            self.bar + part.bar,
            self.slope - part.slope,
            self.noise + part.noise,
        )


class Residuals:
    """Measures residuals in one parameter, and knows what was mended in its gradient.

    Parameters
    ----------
    cost : Cost
        Entered as a context manager.
    analytic : Analytic
        The gradient under test; what is not finite in it counts as zero.
    seed : int
        Of the directions.

    Attributes
    ----------
    size : int
        The number of entries.
    largest : float
        The largest of the analytic values, by size.
    step : float
        How long a step along a direction has to be.
    mended : dict
        By how much, and how well, entries that were measured differ from what was given.
    holes : list of Box
        Where all is known to be wrong: there nothing moves any more.
    """

    def __init__(self, cost: Cost, analytic: Analytic, seed: int) -> None:
        self.parameter = parameter = analytic.parameter
        self.analytic = analytic
        self.size = parameter.size
        self.largest = analytic.largest
        self._cost = cost
        self._seed = seed
        self._position = cost.position(parameter)
        finite = bool(np.isfinite(analytic.gradient).all())
        self._gradient = (
            analytic.gradient if finite else np.nan_to_num(analytic.gradient, posinf=0, neginf=0)
        ).reshape(parameter.shape)
        binding = cost.best.binding
        self._theta = binding.saved[self._position]
        self._dtype = binding.arrays[self._position].dtype
        length = float(np.linalg.norm(self._theta))
        self.scale = max(1.0, length) if math.isfinite(length) else 1.0
        # What rounding leaves to a step, where θ is large or in single precision.
        self._least_move = PLACES * float(np.finfo(self._dtype).eps) * length / math.sqrt(self.size)
        self.mended: dict[int, tuple[float, float]] = {}
        self.holes: list[Box] = []
        self.step = self._first_step()
        # What one step alone can be trusted with: the length of the one that was best for all the
        # entries, and what of its error bar was not noise.
        self._best_step, self._truncation = self.step, 0.0

    def direction(self, turn: int) -> Direction:
        """Return the direction of a turn, in which all entries move."""
        seed = (self._seed, self._position, turn)
        return Direction.over(self._position, self.parameter.shape, seed, self.holes)

    def correct(self, k: int, numerical: float, bar: float) -> None:
        """Take an entry as measured from now on, instead of as it was given."""
        if math.isfinite(bar):
            self.mended[k] = (numerical - float(self._gradient.reshape(-1)[k]), bar)

    def of_all(self, turn: int) -> Looking[Residual]:
        """Find the residual over all entries, with steps enough to trust it."""
        direction = self.direction(turn)
        root = math.sqrt(direction.size)
        enough = VERIFIED * self.largest / root
        found = yield from _climbed([Term(self, direction, 1 / root)], self._cost, enough)
        if found.step > 0:
            self._best_step, self._truncation = found.step, found.truncation
        return found.residual(direction, self.analytic.rounding, root)

    def of_part(self, direction: Direction, sought: float) -> Looking[Residual]:
        """Find the residual of some of the entries, with one step where that will do.

        Parameters
        ----------
        direction : Direction
            In which only they move.
        sought : float
            The size of the residual that is to be located: the step is as short as that allows.
        """
        if not direction.size:
            return Residual(direction, 0.0, 0.0, 0.0, 0.0)
        root = math.sqrt(direction.size)
        terms = [Term(self, direction, 1 / root)]
        noise = RESOLVED * NOISE_DEVIATIONS * self._cost.best.noise * root
        needed = noise / sought if sought > 0 else math.inf
        if needed > self._best_step:
            # It hardly stands out, or there are kinks near by: every digit counts.
            found = yield from _climbed(terms, self._cost, VERIFIED * self.largest / root)
            return found.residual(direction, self.analytic.rounding, root)
        step = max(needed, self.least_step(direction))
        rung, said = yield from _stepped(terms, self._cost, step)
        # As if all the curvature of the whole were that of one entry, which moves as far as h does:
        # the error of the difference, in units of v itself, goes as h².
        further = step / self._best_step
        truncation = self._truncation * further**2 * (math.sqrt(self.size) / root) ** 3
        bar = root * (rung.round_off + truncation + self.analytic.rounding)
        off, slope = root * (rung.central - said), root * rung.central
        return Residual(direction, off, bar, slope, root * rung.round_off)

    def sketched(self, turn: int, sought: float) -> Looking[Residual]:
        """Find a residual over all entries, holes and all, for an estimate of its size."""
        return self.of_part(replace(self.direction(turn), holes=()), sought)

    def left_of(self, residual: Residual) -> Residual:
        """Return a residual with the entries that were measured as they are, not as given."""
        return self.without_corrected(residual, residual.direction, 1.0)

    def without_corrected(self, residual: Residual, direction: Direction, share: float) -> Residual:
        """Return a residual without what was mended here, along its share of a direction."""
        value, bar = residual.value, residual.bar
        for k, (change, uncertainty) in self.mended.items():
            v = share * direction.value_at(self.parameter.index(k))
            value -= change * v
            bar += abs(uncertainty * v)
        return replace(residual, value=value, bar=bar)

    def predicted(self, direction: Direction, step: float) -> Prediction:
        """Return what the gradient, as it was given, predicts."""
        return direction.predicted(self._gradient, self._theta, step, self._dtype)

    def _first_step(self) -> float:
        """The step with which a wrong entry shows that is a small part of the largest one."""
        root = math.sqrt(self.size)
        noise = NOISE_DEVIATIONS * self._cost.best.noise
        wanted = VERIFIED * self.largest * likely_magnitude(CERTAINTY) / 2
        needed = noise * root / wanted if wanted > 0 else math.inf
        least = max(LEAST_STEP, self._least_move * root)
        return min(max(needed, least), max(MOST_STEP * self.scale, least))

    def least_step(self, direction: Direction) -> float:
        """Return the least step that rounding leaves in a direction."""
        return max(1e-300, self._least_move * math.sqrt(direction.size))


class Term(NamedTuple):
    """One of the directions in which θ moves at once.

    Attributes
    ----------
    residuals : Residuals
        Of the parameter in which it moves.
    direction : Direction
        The direction.
    share : float
        By how much of it for a step of length 1.
    """

    residuals: Residuals
    direction: Direction
    share: float


def joint_residual(everything: Sequence[Residuals], cost: Cost, turn: int) -> Looking[Residual]:
    """Find the residual along one direction of length 1 in which several parameters move."""
    terms = []
    for residuals in everything:
        direction = residuals.direction(turn)
        share = 1 / math.sqrt(len(everything) * direction.size)
        terms.append(Term(residuals, direction, share))
    enough = VERIFIED * min(t.residuals.largest * t.share for t in terms)
    rounding = max(t.residuals.analytic.rounding for t in terms)
    climbed = yield from _climbed(terms, cost, enough)
    found = climbed.residual(terms[0].direction, rounding, 1.0)
    for residuals, direction, share in terms:
        found = residuals.without_corrected(found, direction, share)
    return found


@dataclass(frozen=True)
class _Climbed:
    """A slope along a direction of length 1, and what the gradient says of it.

    Attributes
    ----------
    step : float
        The one that was best; 0.0 where none was.
    round_off, truncation : float
        What of its error bar is the noise of J, and the rest of it.
    """

    estimate: Estimate
    said: float
    step: float
    round_off: float
    truncation: float

    def residual(self, direction: Direction, rounding: float, root: float) -> Residual:
        """Scale it to the length of a direction."""
        if not math.isfinite(self.estimate.bar):
            return Residual(direction, math.nan, math.inf, math.nan, math.nan)
        slope = self.estimate.nearest(self.said)
        apart = self.estimate.high - self.estimate.low
        return Residual(
            direction,
            root * (slope - self.said),
            root * (self.estimate.bar + apart + rounding),
            root * slope,
            root * self.round_off,
            self.estimate.on_kink,
        )


def _climbed(terms: Sequence[Term], cost: Cost, enough: float) -> Looking[_Climbed]:
    """Take steps along a direction until its slope is known.

    The first one is chosen for a single wrong entry to show. A second one, twice as long, bears it
    out; where it does not, or the gradient disagrees, there are more of them.

    Parameters
    ----------
    enough : float
        The error bar that will do.
    """
    first = max(term.residuals.step for term in terms)
    scale = max(term.residuals.scale for term in terms)
    least = max(term.residuals.least_step(term.direction) for term in terms)
    rounding = max(term.residuals.analytic.rounding for term in terms)
    ladder = Ladder(scale, least, abs(cost.best.value))
    steps: list[float | None] = [first, 2 * first]
    said = 0.0
    while len(ladder.rungs) < RUNGS_OF_DIRECTION:
        step = steps.pop(0) if steps else ladder.next_step(first)
        if step is None:
            break
        n_rungs = len(ladder.rungs)
        rung, said = yield from _stepped(terms, cost, step)
        ladder.add(rung)
        if not steps and _is_settled(ladder, said, enough, rounding):
            break
        if len(ladder.rungs) == n_rungs:
            break
    estimate, best = ladder.estimate(), ladder.best_rung()
    if best is None:
        return _Climbed(estimate, said, 0.0, math.inf, math.inf)
    truncation = max(0.0, estimate.bar - best.round_off)
    return _Climbed(estimate, said, best.step, best.round_off, truncation)


def _is_settled(ladder: Ladder, said: float, enough: float, rounding: float) -> bool:
    estimate = ladder.estimate()
    if not math.isfinite(estimate.bar) or estimate.is_flat:
        return False
    off = abs(estimate.nearest(said) - said)
    if off <= estimate.bar + rounding:
        return estimate.bar <= enough
    # It is to be located: it must stand out, and three steps must agree on it.
    clear = off > RESIDUAL_STANDS_OUT * (estimate.bar + rounding)
    return clear or (len(ladder.rungs) > 2 and ladder.disagrees(estimate, said))  # noqa: PLR2004 (three)


def _stepped(terms: Sequence[Term], cost: Cost, step: float) -> Looking[tuple[Rung, float]]:
    """Take a step of some length, and return also what the gradient says of the slope."""
    best = cost.best
    probe = [(term.direction, step * term.share) for term in terms]
    plus, minus = yield probe
    noise = float(noise_of_pair(best, plus, minus))
    said = 0.0
    changes = plus != best.value, minus != best.value
    for term, (direction, length) in zip(terms, probe, strict=True):
        prediction = term.residuals.predicted(direction, length)
        said += term.share * prediction.slope
        # Where J did not change it is flat, or a staircase: that must stay to be seen.
        plus -= prediction.rounding_plus * changes[0]
        minus -= prediction.rounding_minus * changes[1]
    return Rung.measured((minus, best.value, plus), (step, step), noise), said
