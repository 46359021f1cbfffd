"""COST_IGNORES_PARAMETERS: a gradient that is not zero although the cost does not change."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck_magic._diagnosis.causes.unknown import FlatHere
from gradcheck_magic._diagnosis.finding import FLAT_SPREAD, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, norm
from gradcheck_magic._result.cause import Cause

__all__ = ["Ignored"]

# A cost that a large step changes by at most this many times its noise does not depend on it.
FLAT_FAR_AWAY = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Ignored(Finding):
    """A gradient of parameters that the cost does not depend on, to `within` an error bar."""

    cause = Cause.COST_IGNORES_PARAMETERS

    within: float

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Ignored | FlatHere | None:
        """Recognise a slope of zero, and whether the cost is flat here alone."""
        sample = mismatch.sample
        flat = np.abs(sample.numerical) <= sample.bar
        sharp = sample.bar <= FLAT_SPREAD * norm(sample.analytic)
        if not sample.known.all() or not np.all(flat & sharp):
            return None
        within = float(sample.bar.max())
        if case.cost is not None:
            # A cost that does not depend on it is the same far from here, too.
            there = case.theta.copy()
            there[mismatch.part] += np.random.default_rng(0).normal(size=mismatch.size)
            moved, best = case.cost.at(there), case.cost.best
            if math.isfinite(moved) and abs(moved - best.value) > FLAT_FAR_AWAY * best.noise:
                return FlatHere((mismatch,), flat_to=within)
        return cls((mismatch,), within=within)

    def joined(self, other: Finding) -> Ignored | None:
        """Let all parameters that the cost does not depend on share a finding."""
        return self if isinstance(other, Ignored) else None

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True if it may cancel in the cost, as a bias before batch norm does."""
        return any(m.is_wrong for m in case.layers.beside(self.mismatches[0]))

    def sentence(self, case: Case) -> str:
        """Return to what precision the cost does not change."""
        within = f", to within {self.within:.0e}" if self.within else ""
        it, feeds = ("it", "it feeds") if len(self.mismatches) == 1 else ("them", "they feed")
        return (
            f"The cost does not change with {self.names} here{within}, but {self.gradients} "
            f"{self.are} not zero. Does the cost use {it}, or is everything that {feeds} switched "
            "off?"
        )
