"""REGULARIZATION: a multiple of the parameter, or of its sign, is missing or too many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.causes.scale import Scale
from gradcheck_magic._diagnosis.causes.slice import place_of
from gradcheck_magic._diagnosis.finding import ANY_NUMBER, TELLING_ENTRIES, Case, Finding, is_same
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers, Strength
from gradcheck_magic._diagnosis.phrases import factor_text
from gradcheck_magic._result.cause import Cause

__all__ = ["Regularization"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Regularization(Finding):
    """A gradient that is off by a multiple of the parameter, or of its sign (L1)."""

    cause = Cause.REGULARIZATION

    strength: float
    strength_uncertainty: float
    l1: bool
    # The number of entries that it applies to, if it exempts some.
    n_wrong: int | None = None

    @classmethod
    def shared(cls, case: Case) -> list[Finding]:
        """Recognise one penalty of everything that is wrong."""
        found = cls.of(case.open, case.pool, case.numbers) if case.pool is not None else None
        return [] if found is None else [found]

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise a penalty of all entries, or one that exempts some."""
        found = cls.of((mismatch,), mismatch.sample, case.numbers)
        n_wrong = int(mismatch.wrong.sum())
        if found or n_wrong < ANY_NUMBER or not mismatch.n_right == mismatch.size - n_wrong >= 1:
            return found
        # Some entries may be exempt from the penalty, as an intercept is. A factor is preferred,
        # also that of 0: the penalty may be all there is to the gradient.
        some = mismatch.where(mismatch.wrong)
        if some.is_zero or Scale.of((mismatch,), some.sample, case.numbers):
            return None
        found = cls.of((mismatch,), some.sample, case.numbers)
        return found and replace(found, n_wrong=n_wrong)

    @classmethod
    def of(
        cls, mismatches: tuple[Mismatch, ...], sample: Sample, numbers: NotebookNumbers
    ) -> Self | None:
        """Recognise a penalty whose gradient explains the error of a sample."""
        # Entries that are zero tell nothing.
        telling = (sample.is_off & sample.stands_out).sum()
        for l1, enough in ((False, TELLING_ENTRIES), (True, ANY_NUMBER)):
            penalty = _penalty(sample, l1=l1)
            if telling < enough or np.all(penalty == penalty[0]):
                # A constant penalty is a mere shift.
                continue
            strength, width = sample.fitted(sample.off, penalty, sample.allowed)
            free = 0 if numbers.strength(strength, 2 * width) else 1
            model = sample.numerical + strength * penalty
            if abs(strength) > 2 * width and sample.explained_by(model, sample.bar, free=free):
                return cls(mismatches, strength=strength, strength_uncertainty=width, l1=l1)
        return None

    def joined(self, other: Finding) -> Self | None:
        """Share the strength with another parameter, unless some entries are exempt."""
        if isinstance(other, Regularization) and self.n_wrong is other.n_wrong is None:
            one, two = ((f.strength, f.strength_uncertainty) for f in (self, other))
            same = self.l1 == other.l1 and is_same(one, two)
        else:
            sample = other.mismatches[0].sample
            model = sample.numerical + self.strength * _penalty(sample, l1=self.l1)
            same = other.is_open and sample.explained_by(model, sample.bar)
        return self if same else None

    def sentence(self, case: Case) -> str:
        """Return the strength, and how it may have come about."""
        what = "sign of the parameter" if self.l1 else "parameter itself"
        term = "λ sign(W)" if self.l1 else "λ W"
        strength, width = self.strength, self.strength_uncertainty
        told = _penalty_error(strength, case.numbers.strength(strength, 2 * width))
        where = self.extent
        if self.n_wrong is not None:
            (mismatch,) = self.mismatches
            count = f"{self.n_wrong:,} of {mismatch.size:,} entries"
            place = place_of(mismatch)
            where = f"{place} ({count})" if place else f"in {count}"
            where = f"{where}, while the others are correct"
        return (
            f"{self.gradients} {self.are} off by {factor_text(strength, width)} times the {what}, "
            f"{where}: {told}. Look at the term {term}, or one like it, in the gradient and in "
            f"`{case.cost_name}`."
        )


def _penalty(sample: Sample, *, l1: bool) -> NDArray[np.float64]:
    return np.sign(sample.theta) if l1 else sample.theta


def _penalty_error(strength: float, known: Strength | None) -> str:
    """Say how the regularisation is wrong; it is certain only if the strength is a known one."""
    if known is not None and known.instead:
        pair = (known.instead, known.formula) if strength > 0 else (known.formula, known.instead)
        return "`{}` is used in place of `{}`".format(*pair)
    strong, why = "strong", "doubled, or not in the cost"
    if strength <= 0:
        strong, why = "weak", "missing, or too small"
    if known is None:
        return f"as if regularisation were too {strong} (its term may be {why})"
    by = f" by `{known.formula}`" if known.is_whole else ""
    return f"regularisation is too {strong}{by} (its term is {why})"
