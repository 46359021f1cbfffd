"""MASK: a gradient that is not zero where an activation lets nothing through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import FLAT_SPREAD, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, norm
from gradcheck_magic._diagnosis.phrases import are, gradients, numbered
from gradcheck_magic._result.cause import Cause

__all__ = ["Mask"]


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
            if 0 < closed.sum() < shape[axis]:
                inside = closed[np.indices(shape)[axis].ravel()]
                firm = not np.any((mismatch.wrong | mismatch.is_disputed) & ~inside)
                units = mismatch.places(axis, np.flatnonzero(closed))
                # A gradient that is wrong everywhere is also nonzero where the correct one is zero.
                length = (mismatch.parameter.shape[axis],)
                biases = [m for m in case.layers.beside(mismatch) if m.squeezed == length]
                found = cls((mismatch,), name=mismatch.name, axis=axis, indices=units, firm=firm)
                return found if firm or any(m.wrong[units].all() for m in biases) else None
        return None

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True: the mask was forgotten before this parameter."""
        return True

    def sentence(self, case: Case) -> str:
        """Return where the gradient should be zero."""
        first = next(m for m in self.mismatches if m.name == self.name)
        place = f"at {numbered(self.indices, 'index', 'indices')} of axis {self.axis}"
        if len(first.parameter.shape) == 2:  # noqa: PLR2004 (a matrix)
            place = f"in {numbered(self.indices, ('row', 'column')[self.axis])}"
        others = [m for m in self.mismatches if m is not first]
        also = f" ({gradients(others)} {are(others)} wrong, too)" if others else ""
        return (
            f"`{first.gradient_name}` is not zero {place}, where the numerical gradient is exactly "
            f"zero{also}: the backward pass lets a gradient through where `{case.cost_name}` "
            "blocks it. Look for a mask that is missing in the backward pass, such as dZ = dA * "
            "(Z > 0) or that of dropout, or for something that the cost never uses."
        )


def _closed(mismatch: Mismatch, axis: int) -> NDArray[np.bool_]:
    """Return True for rows or columns in which only the measured gradient is exactly zero."""
    sample, shape = mismatch.sample, mismatch.shape
    typical = norm(sample.numerical[sample.known])
    flat = (np.abs(sample.numerical) <= sample.bar) & (sample.bar <= FLAT_SPREAD * typical)
    # Where an input is zero, the gradient is zero with or without a mask.
    silent = flat & (np.abs(sample.analytic) <= sample.allowed)
    others = tuple(k for k in range(len(shape)) if k != axis)
    n_wrong = mismatch.wrong.reshape(shape).sum(axis=others)
    # A single wrong entry does not make a row or a column.
    closed: NDArray[np.bool_] = (n_wrong > 1) & (2 * n_wrong >= len(sample) / shape[axis])
    closed &= (flat & (mismatch.wrong | silent)).reshape(shape).all(axis=others)
    return closed
