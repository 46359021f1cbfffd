"""MASK: a gradient that is not zero where an activation lets nothing through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import FLAT_SPREAD, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, norm
from gradcheck_magic._diagnosis.phrases import are, gradients
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["Mask"]

Booleans = NDArray[np.bool_]

# The largest number of rows or columns that a sentence names.
NAMED_PLACES = 6
# A single wrong entry does not make a row or a column.
LEAST_WRONG = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Mask(Finding):
    """A gradient that is not zero in rows or columns where the correct one is exactly zero."""

    cause = Cause.MASK

    # The parameter that shows it, and its rows or columns.
    name: str
    axis: int
    indices: list[int]
    # The parameters between which the mask is missing, if it makes others wrong as well.
    after: str | None = None
    before: str | None = None

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise such rows or columns; if more is wrong, a bias must confirm them."""
        if len(mismatch.squeezed) < 2:  # noqa: PLR2004 (rows and columns)
            return None
        shape = mismatch.shape
        for axis in reversed(range(len(shape))):
            closed = _closed(mismatch, axis)
            if not 0 < closed.sum() < shape[axis]:
                continue
            inside = closed[np.indices(shape)[axis].ravel()]
            firm = not np.any(mismatch.wrong & ~inside)
            units = mismatch.places(axis, np.flatnonzero(closed))
            if firm or _is_confirmed(mismatch, axis, units, case):
                return cls((mismatch,), name=mismatch.name, axis=axis, indices=units, firm=firm)
            return None
        return None

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True: the mask was forgotten before this parameter."""
        return True

    def sentence(self, case: Case) -> str:
        """Return where the gradient should be zero."""
        first = next(m for m in self.mismatches if m.name == self.name)
        which = listed(map(str, self.indices), most=NAMED_PLACES, code=False)
        several = len(self.indices) > 1
        place = f"at {'indices' if several else 'index'} {which} of axis {self.axis}"
        if len(first.parameter.shape) == 2:  # noqa: PLR2004 (a matrix)
            place = f"in {('row', 'column')[self.axis]}{'s' if several else ''} {which}"
        others = [m for m in self.mismatches if m is not first]
        also = f" ({gradients(others)} {are(others)} wrong, too)" if others else ""
        return (
            f"`{first.gradient_name}` is not zero {place}, where the numerical gradient is exactly "
            f"zero{also}: the backward pass lets a gradient through where `{case.cost_name}` "
            "blocks it. Look for a mask that is missing in the backward pass, such as dZ = dA * "
            "(Z > 0) or that of dropout, or for something that the cost never uses."
        )


def _closed(mismatch: Mismatch, axis: int) -> Booleans:
    """Return True for rows or columns in which only the measured gradient is exactly zero."""
    sample, shape = mismatch.sample, mismatch.shape
    typical = norm(sample.numerical[sample.known])
    flat = (np.abs(sample.numerical) <= sample.bar) & (sample.bar <= FLAT_SPREAD * typical)
    # Where an input is zero, the gradient is zero with or without a mask.
    silent = flat & (np.abs(sample.analytic) <= sample.allowed)
    others = tuple(k for k in range(len(shape)) if k != axis)
    n_wrong = mismatch.wrong.reshape(shape).sum(axis=others)
    closed: Booleans = n_wrong >= max(len(sample) / shape[axis] / 2, LEAST_WRONG)
    closed &= (flat & (mismatch.wrong | silent)).reshape(shape).all(axis=others)
    return closed


def _is_confirmed(mismatch: Mismatch, axis: int, units: Sequence[int], case: Case) -> bool:
    """Return True if a bias is wrong in the same units.

    A gradient that is wrong everywhere is also nonzero where the correct one is zero.
    """
    biases = [
        m
        for m in case.layers.beside(mismatch)
        if len(m.squeezed) == 1 and m.size == mismatch.parameter.shape[axis]
    ]
    return any(m.wrong[units].all() for m in biases)
