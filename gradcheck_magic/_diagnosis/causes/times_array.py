"""SCALE: a factor for each entry, row or column, which the notebook has as an array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, has_few_digits
from gradcheck_magic._result.cause import Cause

__all__ = ["TimesArray"]

Vector = NDArray[np.float64]

# How the factors of a gradient come from an array, and the one that they are then.
HOW = {"times": 1, "divided by": -1}


@dataclass(frozen=True, eq=False, kw_only=True)
class TimesArray(Finding):
    """A gradient that is the correct one times an array, or `how` else, along an axis or in all.

    The array is another one of the notebook, or the parameter itself: the gradient is then that
    of its logarithm.
    """

    cause = Cause.SCALE

    how: str
    array: str
    axis: int | None = None

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise the factors of every entry in an array."""
        # Entries that are zero tell no factor.
        sample = mismatch.sample.where(mismatch.sample.is_nonzero)
        telling = sample.stands_off
        if not (mismatch.is_whole and telling.any()):
            return None
        # A single entry is some power of a round number by chance.
        is_one = telling.sum() < TELLING_ENTRIES
        if is_one and has_few_digits(sample.theta[telling].item()):
            return None
        for array, axis, values in _candidates(mismatch, case):
            for how, power in HOW.items():
                factors = values[mismatch.sample.is_nonzero] ** power
                bar = np.abs(factors) * sample.bar
                is_known = np.isfinite(factors).all()
                if is_known and sample.explained_by(factors * sample.numerical, bar):
                    return cls((mismatch,), how=how, array=array, axis=axis)
        return None

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True for rows or columns: a factor may be missing before this parameter."""
        return self.axis is not None

    def sentence(self, case: Case) -> str:
        """Return the array, and what the gradient is then."""
        (mismatch,) = self.mismatches
        by, array = f"{self.gradients} is the numerical gradient {self.how}", f"`{self.array}`"
        along = "entry by entry" if self.axis is None else f"along axis {self.axis}"
        if self.axis is not None and len(mismatch.parameter.shape) == 2:  # noqa: PLR2004 (a matrix)
            along = ("row by row", "column by column")[self.axis]
        is_times, name = self.how == "times", mismatch.name
        if is_times and self.array == name and np.all(mismatch.sample.theta > 0):
            why = f"it is the derivative with respect to log({name}). Divide it by {array}"
        elif not is_times and self.array == _exponential(mismatch):
            why = (
                f"it is the derivative with respect to exp({name}), not {name}. Multiply it by "
                f"{array}"
            )
        elif is_times:
            why = f"it has the factor {array} once too often. Look at where it is multiplied by it"
        else:
            why = f"the factor {array} is missing. Look at where the backward pass leaves it out"
        return f"{by} {array}, {along}, {self.extent}: {why}."


def _candidates(mismatch: Mismatch, case: Case) -> Iterator[tuple[str, int | None, Vector]]:
    """Yield arrays that may hold the factors: name, axis, and a factor for every entry."""
    theta, shape = mismatch.sample.theta, mismatch.parameter.shape
    yield mismatch.name, None, theta
    yield _exponential(mismatch), None, np.exp(theta)
    arrays, by_shape = case.numbers.arrays, case.numbers.arrays_by_shape
    # Of many numbers, one is the factor of a single entry by chance.
    for name in by_shape.get(shape, ()) if mismatch.size > 1 else ():
        yield name, None, arrays[name].ravel()
    if len(shape) < 2:  # noqa: PLR2004 (rows and columns)
        return
    for axis, length in enumerate(shape):
        beside = [length if k == axis else 1 for k in range(len(shape))]
        for name in by_shape.get((length,), ()) if length > 1 else ():
            yield name, axis, np.broadcast_to(arrays[name].reshape(beside), shape).ravel()


def _exponential(mismatch: Mismatch) -> str:
    return f"np.exp({mismatch.name})"
