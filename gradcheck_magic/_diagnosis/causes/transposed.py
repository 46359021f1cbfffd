"""TRANSPOSED: the right values in other places, or in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample
from gradcheck_magic._diagnosis.phrases import numbered
from gradcheck_magic._result.cause import Cause

__all__ = ["Transposed", "rearrangements"]

# How the axes were mixed up, which ones, and the order of entries this leads to.
Rearrangement = tuple[str, tuple[int, ...], NDArray[np.intp]]

# With more axes there are too many permutations, and nobody confuses them.
MOST_AXES = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Transposed(Finding):
    """A gradient with the right values in other places."""

    cause = Cause.TRANSPOSED

    # "transposed", "reshaped", "flipped", "shifted" or "reordered".
    how: str
    axes: tuple[int, ...]

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Transposed | None:
        """Recognise an arrangement that people choose by mistake, or else any other order."""
        sample = mismatch.sample
        # A value that moves to the place of a zero tells no more than a count that is off.
        if (sample.stands_off & sample.stands_out).sum() < TELLING_ENTRIES:
            return None
        for how, axes, order in rearrangements(mismatch.shape):
            if sample.explained_by(sample.numerical[order], sample.bar[order]):
                return cls((mismatch,), how=how, axes=axes)
        # The others are in their places.
        if _is_reordered(sample.where(mismatch.wrong)):
            return cls((mismatch,), how="reordered", axes=())
        return None

    def sentence(self, case: Case) -> str:
        """Return how the gradient was mixed up."""
        along, why = numbered(self.axes, "axis", "axes"), ""
        line = f"the line that computes {self.gradients}"
        if self.how == "reshaped":
            what = "contains the values of the numerical gradient in other places"
            why = ": it was reshaped where it should have been transposed"
            look = f"Look for a reshape in {line}"
        elif self.how == "reordered":
            what = "contains the values of the numerical gradient in another order"
            look = "Look for a reshape, the order of a flattened array, or a wrong index"
        elif self.how == "flipped":
            what = f"is the numerical gradient reversed along {along}"
            look = "Look for [::-1]"
            if len(self.mismatches[0].parameter.shape) > 2:  # noqa: PLR2004 (a kernel)
                look = "Look for a flip: it is what distinguishes convolution from correlation"
        elif self.how == "shifted":
            what = f"is the numerical gradient shifted by one along {along}"
            look = "Look for an index that is off by one"
        elif self.axes == (1, 0):
            what = "is the transpose of the numerical gradient"
            look = f"Look at the order of the factors in {line}"
        else:
            what = f"has the axes of the numerical gradient in the order {self.axes}"
            look = f"Look at the order of the indices in {line}"
        return f"{self.gradients} {what}, {self.extent}{why}. {look}."


def rearrangements(shape: Sequence[int]) -> Iterator[Rearrangement]:
    """Yield ways to mix up the axes of an array, and the order of entries each leads to.

    For some shapes, several ways lead to the same order, or back to the right one.
    """
    places, axes = np.arange(int(np.prod(shape))).reshape(shape), range(len(shape))
    if len(shape) <= MOST_AXES:
        orders = list(itertools.permutations(axes))
        for order in orders:
            if tuple(places.shape[axis] for axis in order) == places.shape:
                yield "transposed", order, places.transpose(order).ravel()
        for order in orders:
            # Reshaped where it should have been transposed, in both directions.
            yield "reshaped", order, places.transpose(order).ravel()
            moved = places.reshape([places.shape[axis] for axis in order])
            yield "reshaped", order, moved.transpose(np.argsort(order)).ravel()
        for count in range(1, len(shape) + 1):
            for flipped in itertools.combinations(axes, count):
                yield "flipped", flipped, np.flip(places, flipped).ravel()
    for axis in axes:
        for shift in (1, -1):
            yield "shifted", (axis,), np.roll(places, shift, axis).ravel()


def _is_reordered(sample: Sample) -> bool:
    """Return True for the same values in any other order."""
    unsigned = replace(sample, analytic=np.abs(sample.analytic))
    if not sample.known.all() or unsigned.chance(np.abs(sample.numerical), sample.bar):
        # In their own places, the values are right but for signs, or inexact as 3.14159 is for π.
        return False
    order, places = np.argsort(sample.analytic), np.argsort(sample.numerical)
    if np.array_equal(order, places):
        return False
    # Neighbouring values are this close by chance.
    gap = max(float(np.median(np.diff(sample.numerical[places]))), 1e-300)
    ranked = replace(sample, analytic=sample.analytic[order], spread=np.full(len(sample), gap))
    return ranked.explained_by(sample.numerical[places], sample.bar[places])
