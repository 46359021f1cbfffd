"""COST_IGNORES_PARAMETERS: a gradient that is not zero although the cost does not change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck_magic._diagnosis.causes.unknown import FlatHere
from gradcheck_magic._diagnosis.finding import FLAT_SPREAD, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, norm
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
    def among(cls, case: Case) -> list[Finding]:
        """Recognise slopes of zero, and whether the cost is flat here alone."""
        flat = [mismatch for mismatch in case.open if _is_flat(mismatch.sample)]
        most = FLAT_FAR_AWAY * case.cost.best.noise if case.cost else 0.0
        # A cost that depends on none of them shows that in a single evaluation.
        is_any_used = len(flat) <= 1 or not _change_with(flat, case) <= most
        found: list[Finding] = []
        for mismatch in flat:
            sample = mismatch.sample
            within = float(sample.bar[sample.known].max())
            is_all_flat = mismatch.is_whole and bool(sample.known.all())
            change = _change_with([mismatch], case) if is_any_used else 0.0
            if most < change < math.inf:
                found += [FlatHere((mismatch,), flat_to=within)] * is_all_flat
            # A scan has measured only some entries, but the others change nothing, either.
            elif is_all_flat or (case.cost is not None and change <= most):
                found.append(cls((mismatch,), within=within))
        return found

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


def _is_flat(sample: Sample) -> bool:
    known = sample.known
    flat = np.abs(sample.numerical) <= sample.bar
    sharp = sample.bar <= FLAT_SPREAD * norm(sample.analytic)
    return bool(known.any() and np.all((flat & sharp)[known]))


def _change_with(mismatches: Sequence[Mismatch], case: Case) -> float:
    """Return how much the cost changes if some parameters are moved far; 0 if it is not known."""
    if case.cost is None:
        return 0.0
    # Each is moved by other numbers: the cost may depend on the difference of two.
    there, random = case.theta.copy(), np.random.default_rng(0)
    for mismatch in mismatches:
        there[mismatch.part] += random.normal(size=mismatch.size)
    return abs(case.cost.at(there) - case.cost.best.value)
