"""BROADCAST: a sum over an axis too many, or over the wrong axis."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np

from gradcheck_magic._diagnosis.finding import ANY_NUMBER, Case, Finding
from gradcheck_magic._diagnosis.mismatch import TOLERANCE, Mismatch, Sample, norm
from gradcheck_magic._diagnosis.phrases import numbered, signed
from gradcheck_magic._result.cause import Cause

__all__ = ["AxisTooMany", "WrongAxis"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AxisTooMany(Finding):
    """A gradient that is constant along some axes: `how` is "sum" or "mean" of the correct one."""

    cause = Cause.BROADCAST

    how: str
    axes: tuple[int, ...]

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise the sum or the mean of the correct gradient."""
        sample, shape = mismatch.sample, mismatch.shape
        if not sample.known.all() or sample.stands_out.sum() < ANY_NUMBER:
            return None
        numerical, bar, analytic = (
            x.reshape(shape) for x in (sample.numerical, sample.bar, sample.analytic)
        )
        counts = range(1, len(shape) + 1)
        for axes in (a for n in counts for a in itertools.combinations(range(len(shape)), n)):
            mean = analytic.mean(axes, keepdims=True)
            if np.any(np.abs(analytic - mean) > TOLERANCE * np.abs(mean)):
                continue
            for how in ("sum", "mean"):
                model, width = (
                    np.broadcast_to(getattr(x, how)(axes, keepdims=True), shape).ravel()
                    for x in (numerical, bar)
                )
                if sample.explained_by(model, width):
                    return cls((mismatch,), how=how, axes=axes)
        return None

    def sentence(self, case: Case) -> str:
        """Return the axes."""
        shape = self.mismatches[0].parameter.shape
        everywhere = all(axis in self.axes or length == 1 for axis, length in enumerate(shape))
        along = "" if everywhere else f" along {numbered(self.axes, 'axis', 'axes')}"
        return (
            f"{self.gradients} is constant{along}, equal to the {self.how} of the numerical "
            f"gradient, {self.extent}: the sum runs over one axis too many. Look at the axis of "
            f"the sum that computes {self.gradients}."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class WrongAxis(Finding):
    """A vector with other entries than the correct one, but with the same `total`."""

    cause = Cause.BROADCAST

    how: str
    total: float

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise a sum over the wrong axis of a square array.

        The vector is the gradient of a bias, and the gradients of the weights, computed from the
        same array, are correct.
        """
        sample = mismatch.sample
        if len(mismatch.squeezed) != 1 or not sample.known.all():
            return None
        if mismatch.size not in case.right_lengths:
            return None
        values = (getattr(sample, field.name) for field in dataclasses.fields(sample))
        totals = Sample(*(np.atleast_1d(value.sum()) for value in values))
        whole = dataclasses.replace(totals, spread=np.atleast_1d(norm(sample.off)))
        if whole.stands_out.all() and whole.explained_by(whole.numerical, whole.bar):
            return cls((mismatch,), how="axis", total=float(whole.numerical[0]))
        return None

    def sentence(self, case: Case) -> str:
        """Return the total."""
        return (
            f"{self.gradients} differs from the numerical gradient but has the same total, "
            f"{signed(f'{self.total:.6g}')}. Is it summed over the wrong axis? Look at the axis of "
            f"the sum that computes {self.gradients}."
        )
