"""ENTRIES: some entries are wrong and the others right; or clipped, integers, or no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gradcheck_magic._diagnosis.causes.scale import Scale, Zero
from gradcheck_magic._diagnosis.finding import ANY_NUMBER, TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import NO_GRADIENT, Mismatch, Sample
from gradcheck_magic._diagnosis.phrases import at_kinks, factor_text, n_of, signed
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["Clipped", "CutToIntegers", "Entries", "NotFinite"]

# The first wrong entries.
Indices = list[tuple[int, ...]]

# At most one entry of a matrix in this many counts as a few entries.
FEW_ENTRIES = 8
# The largest number of indices in the details, and in a sentence.
MOST_INDICES, MOST_TOLD = 100, 3
# Ranges are told if there are at most a third as many of them.
FEWER_RANGES = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class NotFinite(Finding):
    """A gradient with entries that are nan or infinite."""

    cause = Cause.ENTRIES

    n_not_finite: int
    indices: Indices

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> NotFinite | None:
        """Recognise entries that are no numbers."""
        lost = int(np.sum(~np.isfinite(mismatch.sample.analytic)))
        return cls((mismatch,), n_not_finite=lost, indices=_indices(mismatch)) if lost else None

    def sentence(self, case: Case) -> str:
        """Return how many there are."""
        return (
            f"{self.gradients} is nan or infinite in {self.n_not_finite:,} of "
            f"{self.mismatches[0].size:,} entries. Look for a division by zero or an overflow."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class CutToIntegers(Finding):
    """Gradients in an integer dtype, which has cut off a part of every update."""

    cause = Cause.ENTRIES

    dtype: str

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> CutToIntegers | None:
        """Recognise integers between zero and the measured values, which are no integers."""
        if mismatch.dtype.kind not in "iu":
            return None
        sample = mismatch.sample.where(mismatch.wrong)
        analytic = sample.analytic
        if mismatch.dtype.kind == "u":
            # A negative number wraps around: in eight bits, −3 is 253.
            above = 2.0 ** (8 * mismatch.dtype.itemsize)
            analytic = analytic - above * (analytic > above / 2)
        is_fraction = np.abs(sample.numerical - np.round(sample.numerical)) > sample.allowed
        # An update may also have been rounded.
        is_rest = np.abs(analytic - sample.numerical) < 1
        is_rest |= np.abs(sample.numerical) >= np.abs(analytic)
        is_rest &= analytic * sample.numerical >= 0
        is_cut = is_fraction.any() and is_rest.all()
        return cls((mismatch,), dtype=str(mismatch.dtype)) if is_cut else None

    def joined(self, other: Finding) -> CutToIntegers | None:
        """Return the same finding for gradients of the same dtype."""
        is_same = isinstance(other, CutToIntegers) and other.dtype == self.dtype
        return self if is_same else None

    def sentence(self, case: Case) -> str:
        """Return the dtype, and how to get another."""
        has = "has" if len(self.mismatches) == 1 else "have"
        signs = " and has no negative numbers" if self.dtype.startswith("u") else ""
        return (
            f"{self.gradients} {has} dtype {self.dtype}, which cuts off everything after the "
            f"decimal point{signs}. Use floats, such as "
            f"np.zeros_like({self.mismatches[0].name}, dtype=float)."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Clipped(Finding):
    """Gradients whose wrong entries are all at one bound, `clipped`, and should be beyond it."""

    cause = Cause.ENTRIES

    clipped: float
    # True if there is no bound at the other end, −clipped.
    one_sided: bool = False

    @classmethod
    def shared(cls, case: Case) -> list[Finding]:
        """Recognise one bound of all gradients; entries within it are correct."""
        if case.pool is None:
            return []
        found = cls.of(case.mismatches)
        return [] if found is None else [replace(found, mismatches=case.open)]

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise a bound of one gradient alone."""
        return cls.of((mismatch,))

    @classmethod
    def of(cls, mismatches: Sequence[Mismatch]) -> Self | None:
        """Recognise the bound at which all wrong entries are."""
        sample = Sample.pooled(m.sample for m in mismatches)
        wrong = np.concatenate([m.wrong for m in mismatches])
        at_bound = sample.analytic[wrong]
        bound = float(np.max(np.abs(at_bound)))
        # A bound for negative entries alone is negative.
        side = float(at_bound[0]) if np.all(at_bound == at_bound[0]) else 0.0
        one_sided = side != 0 and bool(np.any(-np.sign(side) * sample.analytic > bound))
        inside = np.abs(sample.analytic) < bound * (1 - NO_GRADIENT)
        if one_sided:
            inside |= np.sign(sample.analytic) == -np.sign(side)
        beyond = ~inside & (np.sign(sample.analytic) * sample.numerical > bound)
        none_exceeds = np.abs(sample.analytic[~inside]) <= bound
        within = sample.stands_out & inside & ~wrong
        if wrong.sum() < TELLING_ENTRIES or within.sum() < ANY_NUMBER:
            return None
        if not (np.all(beyond[wrong]) and np.all(none_exceeds)):
            return None
        kept = tuple(m for m in mismatches if m.is_wrong)
        return cls(kept, clipped=side if one_sided else bound, one_sided=one_sided)

    def sentence(self, case: Case) -> str:
        """Return the bound."""
        bound = signed(f"{self.clipped:.6g}")
        what = f"clipped at {bound}" if self.one_sided else f"clipped to ±{bound}"
        return (
            f"{self.gradients} {self.are} {what}: entries within this bound are correct, and those "
            "at the bound should be larger. Check the gradient before it is clipped."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Entries(Finding):
    """A gradient that is wrong in some entries."""

    cause = Cause.ENTRIES

    n_wrong: int
    n_right: int
    indices: Indices
    # "ZERO", "SIGN" or "SCALE", if that explains all of them, and the factor.
    within: str | None = None
    factor: float | None = None
    factor_uncertainty: float = 0.0

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Entries | None:
        """Recognise a gradient that is wrong in no more entries than it is right.

        If a scan has searched for the wrong ones, few others were measured.
        """
        n_wrong = int(mismatch.wrong.sum())
        is_zero = mismatch.where(mismatch.wrong).is_zero
        if n_wrong > mismatch.n_right and (mismatch.is_judged or not is_zero):
            return None
        # In a vector, or if there are many in a matrix, the wrong entries may be those of some
        # units: an error closer to the output may be confined to these.
        firm = len(mismatch.squeezed) > 1 and FEW_ENTRIES * n_wrong <= mismatch.size
        part = mismatch.where(mismatch.wrong)
        within = Zero.recognise(part, case) or Scale.of((part,), part.sample, case.numbers)
        return cls(
            (mismatch,),
            n_wrong=n_wrong,
            n_right=mismatch.n_right,
            indices=_indices(mismatch),
            firm=firm,
            **({"within": within.cause.name, **within.details} if within else {}),
        )

    def sentence(self, case: Case) -> str:
        """Return which entries they are."""
        n, mismatch = self.n_wrong, self.mismatches[0]
        which = f"in {n_of(n, mismatch)}, {listed(self._labels(), code=False)},"
        n_right = "the" if n + self.n_right == mismatch.size else f"{self.n_right:,}"
        right = f"correct in {n_right} others"
        these = "that entry" if n == 1 else "these entries"
        if self.factor is not None:
            factor = factor_text(self.factor, self.factor_uncertainty)
            return (
                f"{self.gradients} is {factor} times the numerical gradient {which} and {right}. "
                f"Look at what is special about {these}."
            )
        if self.within is None:
            look = (
                f" Look at what {self.gradients} sums over, and at what is special about {these}."
            )
            kinks = at_kinks(self.mismatches[0])
            return f"{self.gradients} is wrong {which} and {right}.{kinks or look}"
        return (
            f"{self.gradients} is zero {which} where the numerical gradient is not, and {right}. "
            f"{'Is' if n == 1 else 'Are'} {these} ever assigned?"
        )

    def _labels(self) -> list[str]:
        """Return the first indices, or the ranges of indices in a vector."""
        mismatch = self.mismatches[0]
        wrong = [mismatch.index(int(k)) for k in np.flatnonzero(mismatch.wrong)]
        ranges = _ranges([k for (k,) in wrong]) if len(wrong[0]) == 1 else []
        if ranges and len(ranges) <= len(wrong) / FEWER_RANGES:
            more = len(ranges) - MOST_TOLD
            return ranges[:MOST_TOLD] + [f"{more:,} more ranges"] * (more > 0)
        labels = [str(list(index)) for index in self.indices[:MOST_TOLD]]
        return labels + [f"{self.n_wrong - len(labels):,} more"] * (self.n_wrong > len(labels))


def _ranges(numbers: Sequence[int]) -> list[str]:
    """Return sorted numbers as ranges.

    Examples
    --------
    >>> _ranges([0, 1, 2, 7, 80, 81])
    ['0–2', '7', '80–81']
    """
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [f"{part[0]}–{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts]


def _indices(mismatch: Mismatch) -> Indices:
    """Return the indices of the first wrong entries."""
    return [mismatch.index(int(k)) for k in np.flatnonzero(mismatch.wrong)[:MOST_INDICES]]
