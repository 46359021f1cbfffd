"""What an earlier check, or a few more evaluations of the cost, tell of a wrong gradient.

It may be right for other parameters, or for a cost that differs in one respect.
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
from gradcheck_magic._diagnosis.mismatch import TOLERANCE, Mismatch
from gradcheck_magic._diagnosis.named_numbers import NamedNumbers
from gradcheck_magic._diagnosis.other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._diagnosis.recognise import ANY_NUMBER
from gradcheck_magic._diagnosis.stale import learning_rate
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.cause import Cause, Details
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["Earlier", "Experiments"]

Vector = NDArray[np.float64]

# What a large step changes by no more than so many times the noise does not depend on it.
FLAT_FAR_AWAY = 100.0


@dataclass(frozen=True)
class Earlier:
    """What an earlier check of the same parameters measured, each an array of shape (n,)."""

    numerical: Vector
    uncertainty: Vector

    @classmethod
    def of(cls, previous: GradientCheck | None, pairing: Pairing) -> Self | None:
        """Return what the previous check measured, if it was of the same parameters."""
        if previous is None or previous.n_measured < pairing.size:
            return None
        same = [(p.name, p.shape) for p in pairing.checked] == [
            (p.name, p.shape) for p in previous.parameters
        ]
        return cls(previous.numerical, previous.uncertainty) if same else None


class Experiments:
    """Tries hypotheses that the measured gradient alone cannot decide.

    Parameters
    ----------
    pairing : Pairing
        The parameters and the analytic gradient.
    mismatches : sequence of Mismatch
        All parameters.
    named_numbers : NamedNumbers
        What numbers may stand for.
    cost : Cost or None
        Entered; None where it must not be called.
    earlier : Earlier or None
        What the check before this one measured.
    """

    def __init__(
        self,
        pairing: Pairing,
        mismatches: Sequence[Mismatch],
        *,
        named_numbers: NamedNumbers,
        cost: Cost | None,
        earlier: Earlier | None,
    ) -> None:
        self._all = mismatches
        self._parts = {
            id(m): part for m, (_, part) in zip(mismatches, pairing.parts(), strict=True)
        }
        self._is_everything = pairing.size == pairing.parameters.size
        self._parameters = pairing.parameters
        self._named_numbers = named_numbers
        self._cost = cost
        self._earlier = earlier

    @functools.cached_property
    def _theta(self) -> Vector:
        return self._parameters.theta().astype(np.float64, copy=False)

    def is_ignored(self, mismatch: Mismatch) -> bool:
        """Whether the cost is the same far from here, and not only flat."""
        if self._cost is None:
            return True
        there = self._theta.copy()
        there[mismatch.part] += np.random.default_rng(0).normal(size=mismatch.size)
        moved, best = self._cost.at(there), self._cost.best
        return not math.isfinite(moved) or abs(moved - best.value) <= FLAT_FAR_AWAY * best.noise

    def previous(self, fitting: Sequence[Mismatch]) -> Finding | None:
        """See whether the gradient is what was right at the check before."""
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
        """See whether it is right before an update of the parameters; see `learning_rate`."""
        cost = self._cost
        # Two numbers lie on a line with any others: a learning rate could always be fitted.
        compared = sum(int(m.sample.is_nonzero.sum()) for m in fitting)
        if cost is None or not self._is_everything or compared < ANY_NUMBER:
            return None
        if (
            _are_partial(self._all)
            or not _all_finite(self._all)
            or any(m.is_compared and not m.is_wrong for m in fitting)
        ):
            # An update moves all parameters, and all their gradients with them.
            return None
        function = NoisyFunction(cost.at, cost.best.noise)
        rate = learning_rate(
            function, self._theta, self._all, fitting, self._named_numbers, thorough=thorough
        )
        if rate is None:
            return None
        details = {"learning_rate": rate, "name": self._named_numbers.rate(rate)}
        return Finding(Cause.STALE, _wrong_ones(fitting), details)

    def broadcast(self, fitting: Sequence[Mismatch]) -> Finding | None:
        """See whether it is right for a cost in which no (n,) meets an (n, 1)."""
        cost, watch = self._cost, BroadcastWatch()
        if cost is None or cost.convention is Convention.CLOSURE or not _all_finite(fitting):
            return None
        if _are_partial(fitting):
            return None
        mended = NoisyFunction(functools.partial(cost.at, wrap=watch.over), cost.best.noise)
        try:
            mended.evaluate(self._theta)
            fits = bool(watch.found) and is_gradient_of(mended, self._theta, fitting)
        finally:
            # What the cost has kept of these arrays is to be plain again.
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
    """Whether only some of the entries are at hand."""
    return any(m.sides is not None for m in mismatches)


def _wrong_ones(mismatches: Sequence[Mismatch]) -> tuple[Mismatch, ...]:
    return tuple(m for m in mismatches if m.is_wrong)
