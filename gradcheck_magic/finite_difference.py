"""The numerical gradient entry by entry, with an error bar on each.

First the textbook's pass: one central difference (J(θ+ε) − J(θ−ε)) / 2ε for each entry. Round-off,
e_J/ε, is its error wherever J is of ordinary curvature, and the noise e_J of the cost is known: so
most entries are settled by it. Those that are not, and only those, are measured again with other
steps, until their error bar is small or no step would say more; see `ladder`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.cost import DOUBLE, Cost, Precision
from gradcheck_magic.ladder import NOISE_DEVIATIONS, RATIO, Estimate, Ladder, Rung, gap_at_zero
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Parameter

__all__ = [
    "CLEAR",
    "GROSS",
    "ROUNDING",
    "CentralDifferences",
    "Progress",
    "default_step",
    "measure",
    "textbook_pass",
]

Progress = Callable[[int, int, float], object]
Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Single and half precision round θ and J so coarsely that only the step with the least total
# error, about (3 eps)^(1/3), is of use; double precision follows the textbook.
STEPS = {8: 1e-7, 4: 5e-3, 2: 1e-1}
# An entry is verified if its bar is at most this part of it: three digits, and a factor of 1.001
# is still seen.
VERIFIED = 2.5e-4
# What backpropagation may lose by rounding, in units of the largest gradient in the parameter.
ROUNDING = 32.0
AMPLIFIED = 64.0
SINGLE_EPS = float(np.finfo(np.float32).eps)
# A disagreement counts from so many bars on; what is between one and this is open.
CLEAR = 2.0
# A disagreement so many bars wide needs no second look, once some like it have had one.
GROSS = 10.0
CONFIRMED = 2
# A gap that is the gradient's fault stays the same, to within this part, whatever the step.
STEADY = 0.25
# Where the first step is not small, the slopes on both sides tell; this part of the gradient is
# more than noise and less than three digits' worth of truncation.
STRAIGHT = 0.01
# Steps of a second look, in units of max(1, |θᵢ|): the best for a central difference in double
# precision, and the first one where round-off allows for no smaller; two rungs are RATIO apart.
BEST_STEP = 6e-6
FIRST_STEP = 1e-3
# A step that is wider than most stairs, where J is a staircase.
STAIRS = 1e-2
# An analytic value that is this part of the error bar with FIRST_STEP is not seen with any step.
HOPELESS = 1e-3
# No smaller step than this many units in the last place of θᵢ.
PLACES = 64
LEAST_PLACE = 1e-316
MOST_RUNGS = 7
# So many wrong entries of a parameter are measured well, for whoever wants to know what is wrong.
SHARPENED = 8
BLURRED = 1e-3
MORE_RUNGS = 5


@dataclass
class CentralDifferences:
    """What was measured of some entries of θ, as far as it got.

    Attributes
    ----------
    epsilon : float
        The nominal step of the textbook's pass.
    cost_plus, cost_minus : ndarray
        J(θ + ε eᵢ) and J(θ − ε eᵢ) for each entry, nan where it was not measured.
    numerical, uncertainty : ndarray
        The best value known for each entry, and its error bar.
    low, high : ndarray
        The slopes on both sides of a kink on which θ sits; alike elsewhere.
    rounding : ndarray
        What rounding may have done to the analytic value.
    disputed : ndarray of bool
        Which entries look wrong, but not with enough steps.
    n_measured : int
        How many entries had their textbook difference; the first ones, in order.
    n_settled : int
        How many of these had the second look that they needed.
    """

    epsilon: float
    cost_plus: Vector
    cost_minus: Vector
    numerical: Vector
    uncertainty: Vector
    low: Vector
    high: Vector
    rounding: Vector
    disputed: Mask
    n_measured: int = 0
    n_settled: int = 0

    @classmethod
    def planned(cls, size: int, epsilon: float) -> Self:
        """Nothing measured yet, of `size` entries."""
        plus, minus, numerical, uncertainty, low, high, rounding = np.full((7, size), np.nan)
        disputed = np.zeros(size, dtype=bool)
        return cls(epsilon, plus, minus, numerical, uncertainty, low, high, rounding, disputed)

    def textbook(self) -> Vector:
        """Return (J(θ+ε) − J(θ−ε)) / 2ε, over the entries measured; nan where J is."""
        measured = slice(self.n_measured)
        with np.errstate(invalid="ignore"):  # inf − inf
            return (self.cost_plus[measured] - self.cost_minus[measured]) / (2 * self.epsilon)

    def kinked(self) -> Mask:
        """Return where θ sits on a kink, over the entries measured."""
        measured = slice(self.n_measured)
        return self.low[measured] < self.high[measured]


def default_step(itemsize: int) -> float:
    """Return the step ε for numbers of `itemsize` bytes: 1e-7 in double precision."""
    return STEPS.get(itemsize, STEPS[DOUBLE])


def _gradient_rounding(gradient: Vector, eps: float, cost: Cost) -> float:
    """Return what rounding may have done to any entry of a backpropagated gradient.

    Parameters
    ----------
    gradient : ndarray
        Of one parameter.
    eps : float
        Of the precision in which it was given.
    cost : Cost
        What rounding does to it, it does to the gradient as well.
    """
    largest = np.max(np.abs(gradient), initial=0.0, where=np.isfinite(gradient))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.float64(cost.own.noise) / cost.scale
    most = max(SINGLE_EPS, AMPLIFIED * cost.own.eps)
    amplified = min(float(relative), most) if np.isfinite(relative) else 0.0
    return float(ROUNDING * max(eps, amplified) * largest)


def measure(
    differences: CentralDifferences,
    cost: Cost,
    pairing: Pairing,
    progress: Progress | None = None,
) -> None:
    """Measure every checked entry, parameter by parameter.

    Parameters
    ----------
    differences : CentralDifferences
        What is filled, entry by entry: it holds what is known if this is interrupted.
    cost : Cost
        Entered as a context manager.
    pairing : Pairing
        What is to be measured, in the order of `pairing.indices`.
    progress : callable, optional
        Called after each entry with (entries done, entries in all, seconds so far).
    """
    started = time.perf_counter()

    def report(done: int) -> None:
        if progress is not None:
            progress(done, pairing.size, time.perf_counter() - started)

    for i, parameter in enumerate(pairing.checked):
        gradient = pairing.gradients[i]
        rounding = _gradient_rounding(gradient, pairing.gradient_eps[i], cost)
        entries = _Entries(differences, cost, parameter, gradient, rounding)
        try:
            textbook_pass(differences, cost, parameter, report)
        finally:
            entries.take()
        entries.settle(report)
        differences.n_settled = differences.n_measured


def textbook_pass(
    differences: CentralDifferences,
    cost: Cost,
    parameter: Parameter,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Measure the next entries, those of one parameter: 2 evaluations each."""
    slot, first = cost.slot(parameter, cost.own), differences.n_measured
    # An error so near to θ is the user's to see; with a larger step it may be our own.
    quiet = differences.epsilon > STEPS[DOUBLE]
    for k in range(parameter.size):
        with _blamed_on(cost, parameter, k, differences.epsilon):
            cost_plus, cost_minus = cost.central_pair(
                cost.own, slot, k, differences.epsilon, quiet=quiet
            )
        differences.cost_plus[first + k] = cost_plus
        differences.cost_minus[first + k] = cost_minus
        differences.n_measured = first + k + 1
        report(differences.n_measured)


class _Entries:
    """The entries of one parameter after the textbook's pass, and what is still open in them."""

    def __init__(
        self,
        differences: CentralDifferences,
        cost: Cost,
        parameter: Parameter,
        gradient: Vector,
        rounding: float,
    ) -> None:
        self._differences = differences
        self._cost = cost
        self._parameter = parameter
        self._analytic = gradient
        self._rounding = rounding
        self._precision = cost.best
        self._slot = cost.slot(parameter, cost.best)
        self._theta = self._slot[:].astype(np.float64)
        self._part = slice(differences.n_measured, differences.n_measured + parameter.size)

    def take(self) -> None:
        """Take over what the textbook's pass knows, as far as it got: no one has looked twice."""
        differences = self._differences
        part = slice(self._part.start, differences.n_measured)
        epsilon, own = differences.epsilon, self._cost.own
        values = self._cost.slot(self._parameter, own)[: part.stop - part.start]
        pairs = differences.cost_plus[part], differences.cost_minus[part]
        first = _Pass.made(*pairs, _stepped(values, epsilon), own)
        self._put_all(first, part, GROSS / CLEAR)

    def settle(self, report: Callable[[int], None]) -> None:
        """Find a value and an error bar for every entry."""
        first = self._first_pass()
        self._put_all(first, self._part)
        open_ones, gross = self._judged(first)
        if not self._confirmed(first, np.flatnonzero(gross)):
            if self._cost.reexamine():
                self._precision = self._cost.best
                first = replace(first, noise=np.maximum(first.noise, self._precision.noise))
                self._put_all(first, self._part)
                open_ones, gross = self._judged(first)
            open_ones = open_ones | gross
        # A kink nearer than the step is not worth a second look where all agree that it is wrong.
        rough = np.where(gross & ~open_ones, np.abs(first.gap), 0.0)
        self._differences.uncertainty[self._part] += rough
        telling = self._telling(first, open_ones, gross)
        for k in np.flatnonzero(open_ones).tolist():
            self._refine(first, k, sharp=k in telling)
            report(self._differences.n_measured)
        for k in telling:
            if not open_ones[k]:
                self._sharpen(first, k)
                report(self._differences.n_measured)
        self._excuse_kinks_at_zero()

    def _telling(self, first: _Pass, open_ones: Mask, gross: Mask) -> list[int]:
        """Return a few entries that are wrong, and of which it is not clear by how much.

        That they are wrong needs no more digits; what is wrong with them does.
        """
        off = np.abs(first.central - self._analytic)
        bar = self._differences.uncertainty[self._part]
        with np.errstate(invalid="ignore"):
            telling = np.minimum(off, np.abs(first.central))
            blurred = (open_ones & (off > bar)) | (gross & (bar > BLURRED * telling))
        found = np.flatnonzero(blurred & np.isfinite(off))
        chosen: list[int] = found[np.argsort(-off[found], kind="stable")][:SHARPENED].tolist()
        return chosen

    def _judged(self, first: _Pass) -> tuple[Mask, Mask]:
        """Return which entries need a second look, and which disagree beyond any doubt."""
        if self._cost.is_single:
            # The step is so large that its truncation error is open.
            every = np.ones(self._parameter.size, dtype=bool)
            return every, ~every
        open_ones, gross = first.judged(self._analytic, self._rounding)
        if not self._theta.any():
            open_ones, gross = open_ones | gross, np.zeros_like(gross)
        return open_ones, gross

    def _excuse_kinks_at_zero(self) -> None:
        """Do not accuse zeros where all units are on their kinks at once.

        Many kinks meet there, and what is right need not be between the slopes along one entry:
        backpropagation with all of them shut is.
        """
        differences, part = self._differences, self._part
        on_kink = differences.low[part] < differences.high[part]
        if on_kink.any() and not self._theta.any():
            off = np.abs(differences.numerical[part]) > differences.uncertainty[part]
            differences.disputed[part] |= (self._analytic == 0) & off

    def _first_pass(self) -> _Pass:
        """The textbook's pass, or the same in double precision where that is to be had."""
        differences, precision = self._differences, self._precision
        epsilon, part = differences.epsilon, self._part
        pairs = differences.cost_plus[part], differences.cost_minus[part]
        if precision is not self._cost.own:
            epsilon = STEPS[DOUBLE]
            measured = [self._evaluated(k, epsilon) for k in range(self._parameter.size)]
            plus, minus = np.array(measured).reshape(-1, 2).T
            pairs = plus, minus
        return _Pass.made(*pairs, _stepped(self._slot[:], epsilon), precision)

    def _put_all(self, first: _Pass, part: slice, wider: float = 1.0) -> None:
        differences = self._differences
        for values in (differences.numerical, differences.low, differences.high):
            values[part] = first.central
        differences.uncertainty[part] = wider * first.round_off
        differences.rounding[part] = self._rounding

    def _confirmed(self, first: _Pass, gross: NDArray[np.intp]) -> bool:
        """Whether gross disagreements are still there with another step.

        Two of them speak for all: the widest and the narrowest.
        """
        if not gross.size:
            return True
        if self._precision.noise >= self._cost.scale > 0:
            return False
        with np.errstate(divide="ignore", over="ignore"):
            gap = np.abs(first.central - self._analytic)
            order = gross[np.argsort(gap[gross] / first.round_off[gross])]
        chosen = {int(order[round(x)]) for x in np.linspace(0, len(order) - 1, CONFIRMED)}
        return all(self._is_steady(first, k) for k in chosen)

    def _is_steady(self, first: _Pass, k: int) -> bool:
        # What looks flat may be a staircase, of which a small step sees one stair.
        step = STAIRS if first.gap[k] == first.central[k] == 0 else BEST_STEP
        rung = self._rung(k, step * self._scale(k))
        analytic = float(self._analytic[k])
        gap = abs(float(first.central[k]) - analytic)
        if abs(rung.central - float(first.central[k])) > STEADY * gap + float(first.round_off[k]):
            return False
        return not self._borne_out_from_afar(k, gap, analytic)

    def _borne_out_from_afar(self, k: int, off: float, analytic: float) -> bool:
        """Whether a large step finds the analytic value, which small ones say is off.

        Part of J may be a staircase, of which all small steps see one stair.
        """
        scale = self._scale(k)
        near, far = self._rung(k, FIRST_STEP * scale), self._rung(k, STAIRS * scale)
        found = min(abs(near.central - analytic), abs(far.central - analytic)) <= STEADY * off
        # A kink on the way would mislead the large steps, and set their two sides apart.
        return found and abs(gap_at_zero(near, far)) <= off

    def _refine(self, first: _Pass, k: int, *, sharp: bool) -> None:
        """Look again at one entry, until its slope is known well enough or no step says more."""
        analytic, ladder = float(self._analytic[k]), self._climbed(first, k, sharp=sharp)
        self._put(k, ladder, analytic, doubtful=self._is_doubtful(k, ladder, analytic))

    def _sharpen(self, first: _Pass, k: int) -> None:
        """Narrow the error bar of an entry that is wrong beyond any doubt."""
        estimate, i = self._climbed(first, k, sharp=True).estimate(), self._part.start + k
        differences = self._differences
        beyond = self._is_beyond(estimate, float(self._analytic[k]))
        if beyond and not estimate.on_kink and estimate.bar < differences.uncertainty[i]:
            differences.numerical[i] = differences.low[i] = differences.high[i] = estimate.low
            differences.uncertainty[i] = estimate.bar

    def _climbed(self, first: _Pass, k: int, *, sharp: bool) -> Ladder:
        """Return the steps it takes to know an entry well enough; `sharp`: also a wrong one."""
        analytic, scale = float(self._analytic[k]), self._scale(k)
        # In the precision in which the step is taken.
        place = float(np.spacing(np.abs(self._slot[k : k + 1]))[0])
        smallest = PLACES * max(place, LEAST_PLACE)
        ladder = Ladder(scale, smallest, abs(self._precision.value))
        if first.stepped[k] > 0:
            ladder.add(first.rung(k))
        wanted = self._first_step(first, k)
        for _ in range(MOST_RUNGS + sharp * MORE_RUNGS):
            estimate = ladder.estimate()
            if self._is_settled(ladder, estimate, analytic, sharp=sharp):
                break
            step = self._next_step(ladder, estimate, analytic, wanted)
            if step is None:
                break
            ladder.add(self._rung(k, step))
        return ladder

    def _is_beyond(self, estimate: Estimate, analytic: float) -> bool:
        off = abs(analytic - estimate.nearest(analytic))
        return off > CLEAR * (estimate.bar + self._rounding)

    def _is_doubtful(self, k: int, ladder: Ladder, analytic: float) -> bool:
        """Whether a large step contradicts that the entry is wrong; more of them are then taken."""
        estimate = ladder.estimate()
        if self._cost.is_single or estimate.on_kink or not self._is_beyond(estimate, analytic):
            return False
        if not self._borne_out_from_afar(k, abs(analytic - estimate.low), analytic):
            return False
        for step in (FIRST_STEP, STAIRS, RATIO * STAIRS):
            ladder.add(self._rung(k, step * self._scale(k)))
        return True

    def _next_step(
        self, ladder: Ladder, estimate: Estimate, analytic: float, wanted: float
    ) -> float | None:
        if self._is_disputed(ladder, estimate, analytic):
            return ladder.step_to_compare(abs(analytic - estimate.low)) or ladder.next_step(wanted)
        return ladder.next_step(wanted)

    def _put(self, k: int, ladder: Ladder, analytic: float, *, doubtful: bool) -> None:
        estimate, i = ladder.estimate(), self._part.start + k
        differences = self._differences
        differences.numerical[i] = estimate.nearest(analytic)
        differences.uncertainty[i] = estimate.bar
        differences.low[i], differences.high[i] = estimate.low, estimate.high
        beyond = self._is_beyond(estimate, analytic)
        differences.disputed[i] = (doubtful and beyond) or self._is_disputed(
            ladder, estimate, analytic
        )

    def _is_disputed(self, ladder: Ladder, estimate: Estimate, analytic: float) -> bool:
        """Whether the entry looks wrong, on the word of two steps alone."""
        if not self._is_beyond(estimate, analytic):
            return False
        drowned = self._precision.noise >= self._cost.scale > 0
        return drowned or not ladder.disagrees(estimate, analytic)

    def _is_settled(
        self, ladder: Ladder, estimate: Estimate, analytic: float, *, sharp: bool
    ) -> bool:
        """Whether the estimate says clearly enough that the entry is right, or that it is wrong."""
        if not math.isfinite(estimate.bar):
            return False
        if estimate.is_flat:
            # A larger step narrows the bar, but never enough to see less than a part of it.
            return len(ladder.rungs) > 1 and abs(analytic) < HOPELESS * estimate.bar
        if len(ladder.rungs) < 3:  # noqa: PLR2004 (three must agree)
            return False
        off = abs(analytic - estimate.nearest(analytic))
        bar = estimate.bar + self._rounding
        largest = max(abs(analytic), abs(estimate.low), abs(estimate.high))
        is_narrow = estimate.bar <= VERIFIED * largest
        if off > bar:
            clear = off > CLEAR * bar and not self._is_disputed(ladder, estimate, analytic)
            return clear and (is_narrow or not sharp)
        return is_narrow

    def _first_step(self, first: _Pass, k: int) -> float:
        """The step whose round-off is small enough for three digits, and to tell who is right."""
        analytic = abs(float(self._analytic[k]))
        aim = VERIFIED * analytic / 2
        gap = abs(float(first.central[k]) - float(self._analytic[k]))
        if first.round_off[k] < gap < math.inf:
            aim = min(aim, gap / 20)
        needed = NOISE_DEVIATIONS * self._precision.noise / aim if aim > 0 else math.inf
        scale = self._scale(k)
        largest = max(FIRST_STEP * scale, RATIO * float(first.stepped[k]))
        return min(max(needed, BEST_STEP * scale), largest)

    def _scale(self, k: int) -> float:
        return max(1.0, abs(float(self._theta[k])))

    def _evaluated(self, k: int, step: float) -> tuple[float, float]:
        with _blamed_on(self._cost, self._parameter, k, step):
            return self._cost.central_pair(self._precision, self._slot, k, step, quiet=True)

    def _rung(self, k: int, step: float) -> Rung:
        plus, minus = self._evaluated(k, step)
        down, up = _stepped(self._slot[k : k + 1], step)
        precision = self._precision
        noise = _noise(precision, plus, minus)
        costs = minus, precision.value, plus
        return Rung.measured(costs, (float(down[0]), float(up[0])), float(noise))


def _stepped(values: NDArray[Any], step: float) -> tuple[Vector, Vector]:
    """What is really stepped down and up, which rounding makes differ from the step."""
    down, up = values - step, values + step
    wide = values.astype(np.float64)
    return wide - down.astype(np.float64), up.astype(np.float64) - wide


@dataclass(frozen=True)
class _Pass:
    """One step, taken at every entry of a parameter: `Rung`s as arrays."""

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
        noise = _noise(precision, cost_plus, cost_minus)
        return cls(cost_plus, cost_minus, *stepped, noise, precision.value)

    @property
    def stepped(self) -> Vector:
        return np.minimum(self.down, self.up)

    @property
    def central(self) -> Vector:
        """The quotient over what was really stepped; nan where there is none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = (self.cost_plus - self.cost_minus) / (self.up + self.down)
        return np.where(np.isfinite(quotient), quotient, np.nan)

    @property
    def round_off(self) -> Vector:
        with np.errstate(divide="ignore"):
            bar = 2 * NOISE_DEVIATIONS * self.noise / (self.up + self.down)
        return np.where(np.isfinite(self.central), bar, np.inf)

    @property
    def gap(self) -> Vector:
        """By how much the slopes on both sides differ; nan where one of them is missing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.cost_plus - self.cost) / self.up - (
                self.cost - self.cost_minus
            ) / self.down

    def rung(self, k: int) -> Rung:
        costs = float(self.cost_minus[k]), self.cost, float(self.cost_plus[k])
        return Rung.measured(costs, (float(self.down[k]), float(self.up[k])), float(self.noise[k]))

    def judged(self, analytic: Vector, rounding: float) -> tuple[Mask, Mask]:
        """Return which entries need a second look, and which of the others disagree grossly."""
        with np.errstate(invalid="ignore"):
            off = np.abs(self.central - analytic)
            bar = self.round_off + rounding
            largest = np.maximum(np.abs(analytic), np.abs(self.central))
            straight = np.abs(self.gap) <= STRAIGHT * largest + 2 * self.round_off
            settled = (off <= bar) & (self.round_off <= VERIFIED * largest) & straight
            gross = (off > GROSS * bar) & (np.abs(self.gap) < STEADY * off + 2 * self.round_off)
        # Nothing is left to ask of an entry that is no number.
        settled |= ~np.isfinite(analytic) & np.isfinite(self.central)
        return ~settled & ~gross, gross


def _noise(precision: Precision, plus: Any, minus: Any) -> Any:
    """The noise at both points: at least half a unit in the last place of what J is there."""
    sizes = [np.where(np.isfinite(cost), np.abs(cost), 0.0) for cost in (plus, minus)]
    return np.maximum(precision.noise, precision.eps / 2 * np.maximum(*sizes))


class _blamed_on:  # noqa: N801 (reads as a statement, and is far cheaper than a generator)
    """Tell, of an error of the user's function, at which perturbed point it was raised."""

    __slots__ = ("cost", "k", "parameter", "step")

    def __init__(self, cost: Cost, parameter: Parameter, k: int, step: float) -> None:
        self.cost, self.parameter, self.k, self.step = cost, parameter, k, step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            error.add_note(
                f"This happened with `{self.parameter.label(self.k)}` moved by "
                f"{self.step:g}; at the parameters themselves `{self.cost.name}` works."
            )
