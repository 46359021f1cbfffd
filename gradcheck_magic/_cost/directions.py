"""Random directions, along which many entries of a parameter move at once.

Along a direction v, the slope of J is gᵀv, so two evaluations test all the entries that v moves.
With random signs alone, two errors of the same size would cancel half the time. Therefore every
entry has a random magnitude as well, which is never small and has mean square 1.

To save memory, the random numbers of one parameter are kept in single precision, and everything
else is computed block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LARGEST_MAGNITUDE",
    "LEAST_MAGNITUDE",
    "Box",
    "Direction",
    "blocks_of",
    "box_size",
    "contains",
    "forget_numbers",
    "intersection",
    "likely_magnitude",
]

Array = NDArray[Any]
Vector = NDArray[np.float64]
# The start and the stop along each axis.
Box = tuple[tuple[int, int], ...]

# The magnitudes are uniform between these, and their mean square is 1.
LEAST_MAGNITUDE = 0.5
LARGEST_MAGNITUDE = math.sqrt(2.8125) - 0.25
# The number of entries in a block.
NUMBERS_AT_ONCE = 1 << 15


def box_size(box: Box) -> int:
    """Return the number of entries in a box."""
    return math.prod(max(0, stop - start) for start, stop in box)


def intersection(one: Box, other: Box) -> Box:
    """Return the intersection of two boxes, which may be empty."""
    pairs = zip(one, other, strict=True)
    return tuple((max(a, c), max(a, c, min(b, d))) for (a, b), (c, d) in pairs)


def contains(box: Box, index: tuple[int, ...]) -> bool:
    """Return True if an entry is in a box."""
    return all(start <= i < stop for i, (start, stop) in zip(index, box, strict=True))


def _relative(part: Box, whole: Box) -> tuple[slice, ...]:
    """Return the slices of a part, relative to the start of the whole box."""
    pairs = zip(part, whole, strict=True)
    return tuple(slice(a - start, b - start) for (a, b), (start, _) in pairs)


def likely_magnitude(probability: float) -> float:
    """Return the value that the magnitude of an entry exceeds with a given probability."""
    return LEAST_MAGNITUDE + (1 - probability) * (LARGEST_MAGNITUDE - LEAST_MAGNITUDE)


@dataclass(frozen=True)
class Direction:
    """A random direction in which the entries in a box of one parameter move, and no others.

    Attributes
    ----------
    position : int
        The position of the parameter among all.
    shape : tuple of int
        The shape of the parameter.
    seed : tuple of int
        The seed of the random numbers. It is the same for every box of a parameter, so that the
        slopes along the two halves of a box add up to the slope along the box.
    box : Box
        The entries that move.
    holes : tuple of Box
        The parts of the box that do not move.
    ramp : int, optional
        An axis along which the numbers are multiplied by a factor that rises from 0 at the start
        of the box to 1 at its end. The slope with the ramp, divided by the slope without it, then
        locates a single wrong entry along the axis.
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
        """Return a direction in which every entry of a parameter moves, except in the holes."""
        return cls(position, shape, seed, tuple((0, length) for length in shape), tuple(holes))

    def within(self, box: Box, ramp: int | None = None) -> Direction:
        """Return the same direction, restricted to the entries in a box."""
        return replace(self, box=box, ramp=ramp)

    @property
    def size(self) -> int:
        """The number of entries that move."""
        left_out = sum(box_size(intersection(hole, self.box)) for hole in self.holes)
        return max(0, box_size(self.box) - left_out)

    def value_at(self, index: tuple[int, ...]) -> float:
        """Return the component of the direction for one entry."""
        if not contains(self.box, index) or any(contains(hole, index) for hole in self.holes):
            return 0.0
        value = float(_random_numbers(self.seed, self.shape)[index])
        if self.ramp is not None:
            start, stop = self.box[self.ramp]
            value *= (index[self.ramp] - start) / max(stop - start - 1, 1)
        return value

    def move(self, array: Array, theta: Array, step: float) -> None:
        """Move an array of the parameter's shape to θ + step · v, within the box."""
        for where, values in self.moved(theta, step):
            array[where] = values

    def moved(self, theta: Array, step: float) -> Iterator[tuple[tuple[slice, ...], Array]]:
        """Yield the slices of each block of the box, and θ + step · v in it."""
        for where, v in self._blocks():
            yield where, theta[where] + step * v

    def restore(self, array: Array, theta: Array) -> None:
        """Restore θ within the box."""
        where = tuple(slice(*side) for side in self.box)
        array[where] = theta[where]

    def predicted(
        self, gradient: Vector, theta: Array, step: float, passed: Callable[[Array], Array]
    ) -> tuple[float, float, float]:
        """Return what a gradient predicts for J at θ ± step · v.

        These are the slope gᵀv, and the change of J on either side that is due to the rounding of
        θ ± step · v.

        Parameters
        ----------
        gradient, theta : ndarray
            The gradient and the values of the parameter, in its shape.
        step : float
            The step.
        passed : callable
            A function that rounds θ ± step · v to the precision in which the cost gets it.
        """
        slope = plus = minus = 0.0
        for where, v in self._blocks():
            g, here = gradient[where].ravel(), theta[where].astype(np.float64)
            slope += float(g @ v.ravel())
            plus += float(g @ _rounding_error(here, step * v, passed).ravel())
            minus += float(g @ _rounding_error(here, -step * v, passed).ravel())
        return slope, plus, minus

    def _blocks(self) -> Iterator[tuple[tuple[slice, ...], Vector]]:
        """Yield the slices of each block of the box, and a new array of the numbers in it."""
        numbers = _random_numbers(self.seed, self.shape)
        for block in _cut(self.box):
            where = tuple(slice(*side) for side in block)
            v = np.asarray(numbers[where], dtype=np.float64)
            if self.ramp is not None:
                start, stop = self.box[self.ramp]
                factors = (np.arange(*block[self.ramp]) - start) / max(stop - start - 1, 1)
                v *= factors.reshape([-1 if k == self.ramp else 1 for k in range(len(block))])
            for hole in self.holes:
                v[_relative(intersection(hole, block), block)] = 0
            yield where, v


def blocks_of(shape: tuple[int, ...]) -> Iterator[Box]:
    """Yield the blocks of an array, one after the other in C order."""
    return _cut(tuple((0, length) for length in shape))


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


def _rounding_error(theta: Vector, step: Vector, passed: Callable[[Array], Array]) -> Vector:
    """Return the rounding error of θ + step in float64, and then in another precision."""
    moved: Vector = passed(theta + step).astype(np.float64)
    moved -= theta
    moved -= step
    return moved


# The numbers of the last direction are kept: the next box is likely to need them.
@lru_cache(maxsize=1)
def _random_numbers(seed: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    # The old numbers are released first, so that both are never in memory together.
    forget_numbers()
    numbers = np.asarray(np.random.default_rng(seed).random(shape, dtype=np.float32))
    flat = numbers.reshape(-1)
    for first in range(0, flat.size, NUMBERS_AT_ONCE):
        block = flat[first : first + NUMBERS_AT_ONCE]
        block *= 2
        block -= 1
        # The numbers are now uniform in (−1, 1); their magnitudes are moved away from zero.
        magnitude = np.abs(block) * np.float32(LARGEST_MAGNITUDE - LEAST_MAGNITUDE) + np.float32(
            LEAST_MAGNITUDE
        )
        np.copysign(magnitude, block, out=block)
    numbers.setflags(write=False)
    return numbers


def forget_numbers() -> None:
    """Release the random numbers that are kept."""
    _random_numbers.cache_clear()
