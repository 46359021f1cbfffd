"""STALE: the gradient of parameters, data or a cost that have changed since.

After θ ← θ − α g, the gradient g is that of θ + α g. The slope of J along g is known here. The
point on the line θ + α g where it is ‖g‖² gives the learning rate α, provided that g fits there in
every other direction as well. If it was the gradient that was computed after an update, it is that
of θ − α d, where d is the gradient here: the numerical one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.causes.scale import Multiple
from gradcheck_magic._diagnosis.finding import ANY_NUMBER, Case, Finding
from gradcheck_magic._diagnosis.gradient_of_other_cost import (
    NOISE_BARS,
    NoisyFunction,
    Patience,
    is_gradient_of,
)
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, has_few_digits, norm
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["USUAL_RATES", "OtherParameters", "PreviousCheck", "Update"]

# The step along the line for slopes, in units of max(1, the largest entry of θ).
STEP_ALONG_LINE = 1e-5
# The secant method: the first point in units of that step, the largest number of steps, the factor
# by which each must reduce the gap, and the relative gap that is small enough.
FIRST = 100.0
MOST_SECANTS = 8
FASTER = 2
CONVERGED = 1e-9
# Learning rates that people choose, tried if the secant method fails.
USUAL_RATES = (0.1, 0.01, 0.3, 0.5, 1.0)
# The smallest relative error of a learning rate from the secant method.
LEAST_ERROR = 1e-5
# A number of one digit is hardly met by chance if it is known to this relative error. A factor that
# has few digits, within its own, is the one that was chosen.
ROUGHLY = 1e-3
DIGITS_OF_FACTOR = 4
# The largest number of other arrays that a sentence names.
NAMED_ARRAYS = 3
# If the slope along the line is this close to the required one, other directions are tried.
SIMILAR = 1e-3
# No learning rate is tried that would have moved θ by more than this many times its length. People
# choose much smaller ones, and a solver may need ages so far away.
FURTHEST = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class PreviousCheck(Finding):
    """Gradients that were correct at the previous check."""

    cause = Cause.STALE

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the numerical gradient of the previous check."""
        earlier, fitting = case.earlier, case.fitting
        if earlier is None or not fitting:
            return []
        wrong = tuple(m for m in fitting if m.is_wrong)
        sought = set(wrong)
        for m, (_, part) in zip(case.mismatches, case.pairing.parts(), strict=True):
            numerical, bar = earlier.numerical[part], earlier.uncertainty[part]
            if m in sought and not m.sample.explained_by(numerical, bar):
                return []
        return [cls(wrong)]

    def sentence(self, case: Case) -> str:
        """Return what to do about it."""
        return (
            f"{self.gradients} {self.are} equal to the numerical gradient of the previous "
            f"check, {self.extent}: the parameters, the data or the cost have changed "
            "since. Compute the gradient again."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class OtherParameters(Finding):
    """Gradients that are correct at other arrays of the notebook, such as updated ones."""

    cause = Cause.STALE

    # The names of these arrays, one for each parameter.
    arrays: list[str]

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the gradient at arrays that are named like the parameters."""
        cost, fitting = case.cost, case.fitting
        if cost is None or not all(m.is_whole and m.is_finite for m in fitting):
            return []
        function = NoisyFunction(Patience(cost.at), cost.best.noise)
        for arrays in _arrays_like(case) if fitting else ():
            there = case.theta.copy()
            for mismatch, name in zip(case.mismatches, arrays, strict=True):
                there[mismatch.part] = case.numbers.arrays[name].ravel()
            moved = not np.array_equal(there, case.theta)
            if moved and is_gradient_of(function, there, fitting):
                return [cls(tuple(m for m in fitting if m.is_wrong), arrays=arrays)]
        return []

    def sentence(self, case: Case) -> str:
        """Return the arrays."""
        belong = "belongs" if len(self.mismatches) == 1 else "belong"
        arrays = listed(self.arrays, most=NAMED_ARRAYS)
        return (
            f"{self.gradients} {belong} to other parameters in the notebook, {arrays}: there, the "
            "gradient is correct, in several random directions. Compute the gradient and "
            f"`{case.cost_name}` with the same parameters."
        )


def _arrays_like(case: Case) -> Iterator[list[str]]:
    """Yield the names of arrays with the shapes of all parameters, and with names like theirs.

    Such are ``old["W"]`` and ``old["b"]``, ``W_old`` and ``b_old``, or ``old[0]`` and ``old[1]``.
    """
    arrays = case.numbers.arrays
    # Only the index of an item is also that of an item of another list.
    own = [m.name[max(m.name.find("["), 0) :] for m in case.mismatches]
    shapes = [m.parameter.shape for m in case.mismatches]
    for like_first in (name for name in arrays if own[0] in name):
        before, _, after = like_first.partition(own[0])
        names = (f"{before}{each}{after}" for each in own)
        if all(n in arrays and arrays[n].shape == s for n, s in zip(names, shapes, strict=True)):
            yield [f"{before}{each}{after}" for each in own]


@dataclass(frozen=True, eq=False, kw_only=True)
class Update(Finding):
    """Gradients that are correct before an update of the parameters, or `how` else, after it."""

    cause = Cause.STALE

    learning_rate: float
    # Its name in the notebook; empty if it has none.
    name: str
    how: str = "before"

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the gradient of a point before this one or after it, on a line through it."""
        cost, fitting = case.cost, case.fitting
        # With one or two numbers, a learning rate could always be fitted.
        compared = sum(int(m.sample.is_nonzero.sum()) for m in fitting)
        if cost is None or not case.layers.is_everything or compared < ANY_NUMBER:
            return []
        # An update changes all parameters, and so all gradients.
        if any(m.is_right for m in fitting):
            return []
        if not all(m.is_whole and m.sample.known.all() and m.is_finite for m in case.mismatches):
            return []
        function = NoisyFunction(Patience(cost.at), cost.best.noise)
        for how in ("before", "after"):
            if found := cls._along(_Line(function, case, how), fitting, case):
                return [found]
        return []

    @classmethod
    def _along(cls, line: _Line, fitting: tuple[Mismatch, ...], case: Case) -> Self | None:
        """Return the update on a line, if there is one and nothing simpler explains as much."""
        # One fitted number is no simpler than another, unless it occurs in the notebook. After many
        # updates, all gradients have the same direction, so that a factor fits as well.
        is_fitted = all(f.firm for f in case.doubtful)
        thorough = not is_fitted and line.how == "before"
        for rate, error in line.candidates(thorough=thorough):
            if is_gradient_of(line.function, line.at(rate), fitting, given=error):
                name, wrong = case.numbers.rate(rate), tuple(m for m in fitting if m.is_wrong)
                if not (name or not is_fitted or line.is_round(rate, case.doubtful)):
                    return None
                return cls(wrong, learning_rate=rate, name=name, how=line.how)
        return None

    def sentence(self, case: Case) -> str:
        """Return the learning rate."""
        name = f"`{self.name}` = " if self.name else ""
        belong = "belongs" if len(self.mismatches) == 1 else "belong"
        look = "Compute the gradient again after the update."
        if self.how == "after":
            look = f"Check with the updated parameters: `{case.cost_name}` gets those before it."
        return (
            f"{self.gradients} {belong} to the parameters {self.how} an update with learning "
            f"rate {name}{self.learning_rate:.6g}: there, the gradient is correct, in several "
            f"random directions. {look}"
        )


class _Line:
    """The points from which an update may lead to θ, or to which it may lead from there.

    The slope along the line is `_wanted` where the update begins or ends.
    """

    def __init__(self, function: NoisyFunction, case: Case, how: str) -> None:
        self.function, self.how = function, how
        self._theta, self._numbers = case.theta, case.numbers
        pool = Sample.pooled(m.sample for m in case.mismatches)
        self._move = pool.analytic if how == "before" else -pool.numerical
        self.length = norm(self._move)
        along = self._move / (self.length or 1.0)
        self._wanted = float(pool.analytic @ along)
        self._gap_here = float(pool.numerical @ along) - self._wanted
        self._largest_rate = FURTHEST * norm(self._theta) / (self.length or 1.0)
        self._step = STEP_ALONG_LINE * max(1.0, float(np.max(np.abs(self._theta))))
        self._error = math.inf
        self._tolerance = max(CONVERGED * self.length, NOISE_BARS * function.noise / self._step)

    def at(self, rate: float) -> NDArray[np.float64]:
        """Return the point from which, or to which, a step with this learning rate leads."""
        return self._theta + rate * self._move

    def is_round(self, rate: float, factors: Sequence[Finding]) -> bool:
        """Return True if a rate is measured as a number of one digit, unlike the factors."""
        return (
            rate == float(f"{rate:.1g}")
            and self._error <= ROUGHLY
            and not any(
                has_few_digits(f.factor, DIGITS_OF_FACTOR)
                for f in factors
                if isinstance(f, Multiple)
            )
        )

    def candidates(self, *, thorough: bool) -> Iterator[tuple[float, float]]:
        """Yield learning rates to try, each with its relative error.

        If the secant method fails, usual ones are tried, but only if the search is to be thorough.
        """
        if not 0 < self.length < math.inf:
            return
        numbers, solved = self._numbers, self._rate_by_secants()
        if solved is not None:
            error = max(2 * self._tolerance / abs(self._gap_here), LEAST_ERROR)
            self._error = error
            # People choose numbers of one or two digits.
            for rate in (*numbers.rates, float(f"{solved:.2g}")):
                if abs(rate - solved) <= error * solved:
                    yield rate, 0.0
            yield solved, error
        elif thorough:
            for rate in dict.fromkeys((*numbers.rates, *USUAL_RATES)):
                if rate > self._largest_rate:
                    continue
                if abs(self._gap(rate)) <= SIMILAR * abs(self._gap_here):
                    yield rate, 0.0

    def _rate_by_secants(self) -> float | None:
        """Return the learning rate where the gap closes, by the secant method."""
        rate = min(FIRST * self._step / self.length, self._largest_rate)
        last, last_gap = 0.0, self._gap_here
        for step in range(MOST_SECANTS):
            gap = self._gap(rate)
            if abs(gap) <= self._tolerance:
                return rate
            # For a gradient that is merely stale, the method converges at once.
            is_slow = step > 0 and abs(gap) > abs(last_gap) / FASTER
            if is_slow or not math.isfinite(gap) or gap == last_gap:
                return None
            last, last_gap, rate = rate, gap, rate - gap * (rate - last) / (gap - last_gap)
            if not 0 < rate <= self._largest_rate:
                return None
        return None

    def _gap(self, rate: float) -> float:
        """Return the slope of J there, along the line, minus what it should be."""
        along = self._move / self.length
        return self.function.slope(self.at(rate), along, self._step) - self._wanted
