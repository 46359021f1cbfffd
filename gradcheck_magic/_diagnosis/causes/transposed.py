"""TRANSPOSED: the right values in other places, or in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import ANY_NUMBER, TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample
from gradcheck_magic._diagnosis.phrases import axes_named
from gradcheck_magic._result.cause import Cause

__all__ = ["Transposed", "rearrangements"]

Indices = NDArray[np.intp]
Axes = tuple[int, ...]
# How the axes were mixed up, which ones, and the order of entries this leads to.
Rearrangement = tuple[str, Axes, Indices]

# With more axes there are too many permutations, and nobody confuses them.
MOST_AXES = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Transposed(Finding):
    """A gradient with the right values in other places."""

    cause = Cause.TRANSPOSED

    # "transposed", "reshaped", "flipped", "shifted" or "reordered".
    how: str
    axes: Axes

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Transposed | None:
        """Recognise an arrangement that people choose by mistake, or else any other order."""
        sample = mismatch.sample
        enough = TELLING_ENTRIES if len(mismatch.squeezed) > 1 else ANY_NUMBER
        n_off = sample.stands_off.sum()
        for how, axes, order in rearrangements(mismatch.shape) if n_off >= enough else ():
            if sample.explained_by(sample.numerical[order], sample.bar[order]):
                return cls((mismatch,), how=how, axes=axes)
        if n_off >= ANY_NUMBER and _is_reordered(sample):
            return cls((mismatch,), how="reordered", axes=())
        return None

    def sentence(self, case: Case) -> str:
        """Return how the gradient was mixed up."""
        mismatch, why = self.mismatches[0], ""
        line = f"the line that computes {self.gradients}"
        if self.how == "reshaped":
            what = "contains the values of the numerical gradient in other places"
            why = ": it was reshaped where it should have been transposed"
            look = f"Look for a reshape in {line}"
        elif self.how == "reordered":
            what = "contains the values of the numerical gradient in another order"
            look = "Look for a reshape, the order of a flattened array, or a wrong index"
        elif self.how == "flipped":
            what = f"is the numerical gradient reversed along {axes_named(self.axes)}"
            look = "Look for a flip: it is what distinguishes convolution from correlation"
            if len(mismatch.parameter.shape) <= 2:  # noqa: PLR2004 (no more than a matrix)
                look = "Look for [::-1]"
        elif self.how == "shifted":
            what = f"is the numerical gradient shifted by one along {axes_named(self.axes)}"
            look = "Look for an index that is off by one"
        elif self.axes == (1, 0):
            what = "is the transpose of the numerical gradient"
            look = f"Look at the order of the factors in {line}"
        else:
            what = f"has the axes of the numerical gradient in the order {self.axes}"
            look = f"Look at the order of the indices in {line}"
        return f"{self.gradients} {what}, {self.extent}{why}. {look}."


def rearrangements(shape: Sequence[int]) -> Iterator[Rearrangement]:
    """Yield ways to mix up the axes of an array, and the order of entries each leads to."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    seen = {hash(places.tobytes())}
    for how, axes, mixed in _mixed(places):
        key = hash(mixed.tobytes())
        if key not in seen:
            seen.add(key)
            yield how, axes, mixed.ravel()


def _mixed(places: Indices) -> Iterator[Rearrangement]:
    axes = range(places.ndim)
    if places.ndim <= MOST_AXES:
        orders = list(itertools.permutations(axes))
        for order in orders:
            if tuple(places.shape[axis] for axis in order) == places.shape:
                yield "transposed", order, places.transpose(order)
        for order in orders:
            # Reshaped where it should have been transposed, in both directions.
            yield "reshaped", order, places.transpose(order).reshape(places.shape)
            moved = places.reshape([places.shape[axis] for axis in order])
            yield "reshaped", order, moved.transpose(np.argsort(order))
        for count in range(1, places.ndim + 1):
            for flipped in itertools.combinations(axes, count):
                yield "flipped", flipped, np.flip(places, flipped)
    for axis in axes:
        for shift in (1, -1):
            yield "shifted", (axis,), np.roll(places, shift, axis)


def _is_reordered(sample: Sample) -> bool:
    """Return True for the same values in any other order."""
    if not sample.known.all():
        return False
    if np.all(np.abs(np.abs(sample.analytic) - np.abs(sample.numerical)) <= sample.allowed):
        # Only signs differ.
        return False
    order, places = np.argsort(sample.analytic), np.argsort(sample.numerical)
    if np.array_equal(order, places):
        # The order is the same: the values are only inexact, as with 3.14159 for π.
        return False
    ranked = Sample(
        sample.analytic[order],
        sample.numerical[places],
        sample.theta,
        sample.bar[places],
        sample.rounding,
        # Neighbouring values are this close by chance.
        np.full(len(sample), max(float(np.median(np.diff(sample.numerical[places]))), 1e-300)),
    )
    return ranked.explained_by(ranked.numerical, ranked.bar)
