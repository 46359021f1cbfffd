"""Tests of a wrong gradient that use an earlier check, or a few more evaluations of the cost.

The gradient may be correct for other parameters, or for a cost that differs in one respect.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.broadcasting import BroadcastWatch
from gradcheck_magic._diagnosis.finding import Finding
from gradcheck_magic._diagnosis.gradient_of_other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._diagnosis.mismatch import TOLERANCE, Mismatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._diagnosis.recognise_cause import ANY_NUMBER
from gradcheck_magic._diagnosis.stale import learning_rate
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.cause import Cause, Details
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["Earlier", "Experiments"]

Vector = NDArray[np.float64]

# A cost that a large step changes by at most this many times its noise does not depend on it.
FLAT_FAR_AWAY = 100.0


@dataclass(frozen=True)
class Earlier:
    """The measurements of an earlier check of the same parameters, as arrays of shape (n,)."""

    numerical: Vector
    uncertainty: Vector

    @classmethod
    def of(cls, previous: GradientCheck | None, pairing: Pairing) -> Self | None:
        """Return the measurements of the previous check, if it had the same parameters."""
        if previous is None or previous.n_measured < pairing.size:
            return None
        same = [(p.name, p.shape) for p in pairing.checked] == [
            (p.name, p.shape) for p in previous.parameters
        ]
        return cls(previous.numerical, previous.uncertainty) if same else None


class Experiments:
    """Tests of hypotheses that the measured gradient alone cannot decide.

    Parameters
    ----------
    pairing : Pairing
        The parameters and the analytic gradient.
    mismatches : sequence of Mismatch
        All parameters.
    numbers : NotebookNumbers
        The lengths and numbers that the notebook knows by name.
    cost : Cost or None
        The cost, already entered; None if it must not be called.
    earlier : Earlier or None
        The measurements of the check before this one.
    """

    def __init__(
        self,
        pairing: Pairing,
        mismatches: Sequence[Mismatch],
        *,
        numbers: NotebookNumbers,
        cost: Cost | None,
        earlier: Earlier | None,
    ) -> None:
        self._all = mismatches
        self._parts = {
            id(m): part for m, (_, part) in zip(mismatches, pairing.parts(), strict=True)
        }
        self._is_everything = pairing.size == pairing.parameters.size
        self._parameters = pairing.parameters
        self._notebook_numbers = numbers
        self._cost = cost
        self._earlier = earlier

    @functools.cached_property
    def _theta(self) -> Vector:
        return self._parameters.theta().astype(np.float64, copy=False)

    def is_ignored(self, mismatch: Mismatch) -> bool:
        """Return True if the cost is the same far from here, and not only flat."""
        if self._cost is None:
            return True
        there = self._theta.copy()
        there[mismatch.part] += np.random.default_rng(0).normal(size=mismatch.size)
        moved, best = self._cost.at(there), self._cost.best
        return not math.isfinite(moved) or abs(moved - best.value) <= FLAT_FAR_AWAY * best.noise

    def previous(self, fitting: Sequence[Mismatch]) -> Finding | None:
        """Test whether the gradient was correct at the previous check."""
        earlier = self._earlier
        if earlier is None or _are_partial(fitting):
            return None
        for m in fitting:
            numerical, bar = (
                x[self._parts[id(m)]] for x in (earlier.numerical, earlier.uncertainty)
            )
            bar = bar + TOLERANCE * np.abs(numerical)
            if m.is_wrong and not m.sample.explained_by(numerical, bar):
                return None
        return Finding(Cause.STALE, _wrong_ones(fitting), {})

    def stale(self, fitting: Sequence[Mismatch], *, thorough: bool) -> Finding | None:
        """Test whether the gradient belongs to parameters before an update; see `learning_rate`."""
        cost = self._cost
        # With one or two numbers, a learning rate could always be fitted.
        compared = sum(int(m.sample.is_nonzero.sum()) for m in fitting)
        if cost is None or not self._is_everything or compared < ANY_NUMBER:
            return None
        if (
            _are_partial(self._all)
            or not _all_finite(self._all)
            or any(m.is_compared and not m.is_wrong for m in fitting)
        ):
            # An update changes all parameters, and so all gradients.
            return None
        function = NoisyFunction(cost.at, cost.best.noise)
        rate = learning_rate(
            function, self._theta, self._all, fitting, self._notebook_numbers, thorough=thorough
        )
        if rate is None:
            return None
        details = {"learning_rate": rate, "name": self._notebook_numbers.rate(rate)}
        return Finding(Cause.STALE, _wrong_ones(fitting), details)

    def broadcast(self, fitting: Sequence[Mismatch]) -> Finding | None:
        """Test whether the gradient is correct for a cost without (n,) combined with (n, 1)."""
        cost, watch = self._cost, BroadcastWatch()
        if cost is None or cost.convention is Convention.CLOSURE or not _all_finite(fitting):
            return None
        if _are_partial(fitting):
            return None
        fixed = NoisyFunction(functools.partial(cost.at, wrap=watch.over), cost.best.noise)
        try:
            fixed.evaluate(self._theta)
            fits = bool(watch.found) and is_gradient_of(fixed, self._theta, fitting)
        finally:
            # Arrays that the cost has kept must behave like plain ones again.
            watch.is_over = True
            cost.at(self._theta)
        if not fits:
            return None
        lines = list(dict.fromkeys(outer.source for outer in watch.found if outer.source))
        details: Details = {"how": "cost", "shapes": watch.found[0].shapes, "lines": lines}
        return Finding(Cause.BROADCAST, _wrong_ones(fitting), details)


def _all_finite(mismatches: Sequence[Mismatch]) -> bool:
    return all(np.isfinite(m.sample.analytic).all() for m in mismatches)


def _are_partial(mismatches: Sequence[Mismatch]) -> bool:
    """Return True if any parameter is known only in part."""
    return any(m.sides is not None for m in mismatches)


def _wrong_ones(mismatches: Sequence[Mismatch]) -> tuple[Mismatch, ...]:
    return tuple(m for m in mismatches if m.is_wrong)
