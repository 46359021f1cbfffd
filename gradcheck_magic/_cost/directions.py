"""Random directions: which entries of a parameter move, and by how much.

Along a direction v the slope of J is gᵀv, so two evaluations say something of as many entries as v
moves. Pure signs would let two errors of one size cancel half the time: every entry has a random
magnitude as well, never small, and of mean square 1.

Nothing here is larger than a part of θ: the random numbers are kept in single precision, and all
else is made block by block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LARGEST_MAGNITUDE",
    "LEAST_MAGNITUDE",
    "Box",
    "Direction",
    "Prediction",
    "box_size",
    "contains",
    "forget_numbers",
    "intersection",
    "likely_magnitude",
]

Array = NDArray[Any]
Vector = NDArray[np.float64]
# From where to where along each axis.
Box = tuple[tuple[int, int], ...]

# The magnitudes are uniform between these, and of mean square 1.
LEAST_MAGNITUDE = 0.5
LARGEST_MAGNITUDE = math.sqrt(2.8125) - 0.25
# So many entries are worked on at a time.
NUMBERS_AT_ONCE = 1 << 15


def box_size(box: Box) -> int:
    """Return the number of entries in a box."""
    return math.prod(max(0, stop - start) for start, stop in box)


def intersection(one: Box, other: Box) -> Box:
    """Return what two boxes share, which may be empty."""
    pairs = zip(one, other, strict=True)
    return tuple((max(a, c), max(a, c, min(b, d))) for (a, b), (c, d) in pairs)


def contains(box: Box, index: tuple[int, ...]) -> bool:
    """Whether an entry is in a box."""
    return all(start <= i < stop for i, (start, stop) in zip(index, box, strict=True))


def _relative(part: Box, whole: Box) -> tuple[slice, ...]:
    """Where a part stands within a box."""
    pairs = zip(part, whole, strict=True)
    return tuple(slice(a - start, b - start) for (a, b), (start, _) in pairs)


def likely_magnitude(probability: float) -> float:
    """Return what the magnitude of an entry exceeds with a probability."""
    return LEAST_MAGNITUDE + (1 - probability) * (LARGEST_MAGNITUDE - LEAST_MAGNITUDE)


@dataclass(frozen=True)
class Prediction:
    """What a gradient says of J along a direction.

    Attributes
    ----------
    slope : float
        gᵀv.
    rounding_plus, rounding_minus : float
        By how much J differs from that on either side because θ ± h·v is rounded.
    """

    slope: float
    rounding_plus: float
    rounding_minus: float


@dataclass(frozen=True)
class Direction:
    """Random numbers for the entries of a box in one parameter; all other entries stay.

    Attributes
    ----------
    position : int
        Of the parameter among all.
    shape : tuple of int
        Of the parameter.
    seed : tuple of int
        Of the numbers: the same for every box, so that what two halves of one show adds up.
    box : Box
        Which entries move.
    holes : tuple of Box
        Parts of it that stay as they are.
    ramp : int, optional
        An axis along which the numbers are multiplied by 0 at the beginning of the box, and by 1
        at its end: what it shows, over what the same shows without, is where along the axis.
    """

    position: int
    shape: tuple[int, ...]
    seed: tuple[int, ...]
    box: Box
    holes: tuple[Box, ...] = ()
    ramp: int | None = None

    @classmethod
    def over(
        cls, position: int, shape: tuple[int, ...], seed: tuple[int, ...], holes: Sequence[Box]
    ) -> Direction:
        """Return a direction in which every entry of a parameter moves, but for some boxes."""
        return cls(position, shape, seed, tuple((0, length) for length in shape), tuple(holes))

    def within(self, box: Box, ramp: int | None = None) -> Direction:
        """Return the same direction, of a part of the entries."""
        return replace(self, box=box, ramp=ramp)

    @property
    def size(self) -> int:
        """How many entries move."""
        left_out = sum(box_size(intersection(hole, self.box)) for hole in self.holes)
        return max(0, box_size(self.box) - left_out)

    def value_at(self, index: tuple[int, ...]) -> float:
        """Return by how much one entry moves."""
        if not contains(self.box, index) or any(contains(hole, index) for hole in self.holes):
            return 0.0
        value = float(self._numbers()[index])
        if self.ramp is not None:
            start, stop = self.box[self.ramp]
            value *= (index[self.ramp] - start) / max(stop - start - 1, 1)
        return value

    def move(self, array: Array, theta: Array, step: float) -> None:
        """Write θ + step · v into an array of the parameter's shape, within the box."""
        for where, v in self._blocks():
            array[where] = theta[where] + step * v

    def restore(self, array: Array, theta: Array) -> None:
        """Write θ back."""
        where = self._slices()
        array[where] = theta[where]

    def predicted(self, gradient: Vector, theta: Array, step: float, dtype: Any) -> Prediction:
        """Return what a gradient predicts of J at θ ± step · v, written in a dtype.

        Parameters
        ----------
        gradient, theta : ndarray
            In the parameter's shape.
        """
        slope = plus = minus = 0.0
        for where, v in self._blocks():
            g, here = gradient[where].ravel(), theta[where].astype(np.float64)
            slope += float(g @ v.ravel())
            plus += float(g @ _lost(here, step * v, dtype).ravel())
            minus += float(g @ _lost(here, -step * v, dtype).ravel())
        return Prediction(slope, plus, minus)

    def _numbers(self) -> NDArray[np.float32]:
        return _random_numbers(self.seed, self.shape)

    def _slices(self) -> tuple[slice, ...]:
        return tuple(slice(start, stop) for start, stop in self.box)

    def _blocks(self) -> Iterator[tuple[tuple[slice, ...], Vector]]:
        """Yield the box in blocks, and the numbers there: arrays of the block's own."""
        numbers = self._numbers()
        for block in _cut(self.box):
            where = tuple(slice(*side) for side in block)
            v = np.asarray(numbers[where], dtype=np.float64)
            if self.ramp is not None:
                v *= self._ramp(block)
            for hole in self.holes:
                v[_relative(intersection(hole, block), block)] = 0
            yield where, v

    def _ramp(self, block: Box) -> Vector:
        """The multipliers of a block, to be broadcast over it."""
        axis = self.ramp or 0
        start, stop = self.box[axis]
        multipliers = (np.arange(*block[axis]) - start) / max(stop - start - 1, 1)
        return multipliers.reshape([-1 if k == axis else 1 for k in range(len(block))])


def _cut(box: Box) -> Iterator[Box]:
    """Cut a box into blocks of no more than `NUMBERS_AT_ONCE` entries, across its first axes."""
    if box_size(box) <= NUMBERS_AT_ONCE:
        yield box
        return
    axis = next(k for k, (start, stop) in enumerate(box) if stop - start > 1)
    (start, stop), rest = box[axis], box[axis + 1 :]
    rows = max(1, NUMBERS_AT_ONCE // box_size(rest))
    for first in range(start, stop, rows):
        yield from _cut((*box[:axis], (first, min(first + rows, stop)), *rest))


def _lost(theta: Vector, step: Vector, dtype: Any) -> Vector:
    """By how much θ + step is off once it is rounded: to θ's own grid, and to a dtype."""
    moved: Vector = (theta + step).astype(dtype).astype(np.float64)
    moved -= theta
    moved -= step
    return moved


# The numbers of the last direction, which the next box is likely to need: seed and shape, and they.
_kept: dict[tuple[tuple[int, ...], tuple[int, ...]], NDArray[np.float32]] = {}


def forget_numbers() -> None:
    """Give up the random numbers that are kept."""
    _kept.clear()


def _random_numbers(seed: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    numbers = _kept.get((seed, shape))
    if numbers is None:
        # The last ones first, lest both be in memory.
        forget_numbers()
        numbers = _kept[seed, shape] = _made_numbers(seed, shape)
    return numbers


def _made_numbers(seed: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    numbers = np.random.default_rng(seed).random(shape, dtype=np.float32)
    numbers = np.asarray(numbers)
    flat = numbers.reshape(-1)
    for first in range(0, flat.size, NUMBERS_AT_ONCE):
        block = flat[first : first + NUMBERS_AT_ONCE]
        block *= 2
        block -= 1
        # Spread over ±(0, 1), then moved away from zero.
        magnitude = np.abs(block) * np.float32(LARGEST_MAGNITUDE - LEAST_MAGNITUDE) + np.float32(
            LEAST_MAGNITUDE
        )
        np.copysign(magnitude, block, out=block)
    numbers.setflags(write=False)
    return numbers
