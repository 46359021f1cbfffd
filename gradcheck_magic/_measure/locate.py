"""Group testing within one parameter: the search for wrong entries.

A box of entries with a clear residual contains something wrong. Its place along an axis can be read
off: repeat the measurement along the same direction, with its numbers multiplied by a ramp that
rises from 0 to 1 along the axis. If a single entry (or row, or column) is wrong, the ratio of the
two residuals is the height of the ramp at its place. If that place then accounts for the whole
residual, the box shrinks to it. If not, several entries are wrong and the box is halved. Only one
half is measured, because residuals along one direction add up.

Every suspect is measured individually, and only that measurement makes an entry wrong. Where all
entries sampled from a box are wrong, the box is reported instead of each entry in it. A search that
has taken as long as measuring every entry ends with just that, and so takes about twice as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box, Direction, box_size, contains, intersection
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.residuals import Residual, results_of
from gradcheck_magic._measure.sampling import DENSE, Sampler, region_of
from gradcheck_magic._result.parameter_check import WrongRegion, index_of

__all__ = ["FEW_SUSPECTS", "RegionSearch"]

# A box with at most this many entries is measured entry by entry.
FEW_SUSPECTS = 3
# A box with at most this many entries is never sampled to see if all of it is wrong. In a box with
# more entries than VERY_MANY, a single wrong entry in a small sample means that many are wrong.
MANY_SUSPECTS = 16
VERY_MANY = 1000
# The number of rows and columns in the grid of entries that is sampled from a region where all is
# wrong: the diagnosis needs entries that share a row or a column.
GRID = 4
# The same for the first sample of a wider region, when a part of it is known to be wrong.
WIDER = 3
# The error that an entry seems to have, in units of the error bar with which it is measured.
SHARP_BARS = 20.0
# The number of entries drawn at random, from which some that have a gradient are chosen.
CANDIDATES = 64
# The largest part of a side of the box that the place read off may leave open; if more is left, the
# box is halved instead.
READABLE = 0.4
# The most wrong entries and regions that are searched for in one parameter.
MOST_FOUND = 40
# The evaluations that it takes to find a single entry, at least.
FOR_ONE = 8
# A search is given up after this many evaluations, and this many more for each wrong entry found.
MOST_EVALUATIONS, MOST_EVALUATIONS_EACH = 200, 60
# Each time both halves were wrong so many times in a row, a sample of entries is measured as well.
STREAK = 3


class _RegionFound(Exception):  # noqa: N818 (it is not an error)
    """A region was found; its entries no longer move, so the search starts again."""


class RegionSearch:
    """The search within one parameter, along one direction.

    Every residual belongs to a box of entries, that of its direction.
    """

    def __init__(self, sampler: Sampler, cost: Cost, turn: int) -> None:
        self._sampler = sampler
        self._residuals = residuals = sampler.residuals
        self._sampled = sampler.sampled
        self._cost = cost
        self._turn = turn
        self._whole = residuals.direction(turn).box
        self._shape = residuals.parameter.shape
        self._random = np.random.default_rng(turn)
        self._evaluations_before = cost.n_evaluations

    def run(self, found: Residual) -> Residual:
        """Find the wrong entries behind a residual over all entries.

        Return what remains of the residual outside the regions, corrected for all that was found:
        if that is not clear, everything was found.
        """
        while True:
            try:
                self._search(found, streak=0)
            except _RegionFound:
                found = self._residual_along(self._residuals.direction(self._turn), found)
            else:
                return self._residuals.left_of(found)

    def _search(self, found: Residual, streak: int) -> None:
        """Find everything wrong in a box, if its residual is clear.

        In a streak of several halvings in a row, both halves had a clear residual.
        """
        left = self._residuals.left_of(found)
        if left.is_clear and self._n_evaluations + FOR_ONE >= 2 * self._sampler.size:
            # Measuring every entry is as fast.
            self._sampled.regions, self._residuals.holes = [], []
            self._sampler.sample(range(self._sampler.size))
            return
        if not (found.is_known and left.is_clear) or self._is_hopeless():
            return
        narrowed = self._narrowed(found)
        box, is_line = narrowed.direction.box, narrowed is not found
        if box_size(box) <= FEW_SUSPECTS:
            self._measure_all(narrowed)
            return
        is_time = box == self._whole or streak % STREAK == STREAK - 1
        if is_line or (is_time and box_size(box) > MANY_SUSPECTS):
            self._report_if_dense(narrowed, is_line=is_line)
        self._halve(narrowed, streak)

    @property
    def _n_evaluations(self) -> int:
        return self._cost.n_evaluations - self._evaluations_before

    def _is_hopeless(self) -> bool:
        """Return True if too much was found, or the search has taken too many evaluations."""
        n_found = len(self._sampled.wrong) + len(self._sampled.regions)
        most = MOST_EVALUATIONS + MOST_EVALUATIONS_EACH * n_found
        return n_found >= MOST_FOUND or self._n_evaluations > most

    def _narrowed(self, found: Residual) -> Residual:
        """Return the residual of the smallest part that holds all of it, as far as can be read.

        That part is a line of the box (a row or a column), or an entry.
        """
        left, box = self._residuals.left_of(found), found.direction.box
        for axis in _by_length(box):
            start, stop = box[axis]
            if stop - start == 1:
                continue
            ramp = self._residuals.left_of(self._residual_in(box, found, ramp=axis))
            part = _range_along(box[axis], ramp, left)
            if part is None:
                continue
            inside = self._residual_in((*box[:axis], part, *box[axis + 1 :]), found)
            left_inside = self._residuals.left_of(inside)
            if abs(left_inside.value - left.value) <= left_inside.bar + left.bar:
                return self._narrowed(inside)
        return found

    def _measure_all(self, found: Residual) -> None:
        """Measure every entry of a small box."""
        size = abs(self._residuals.left_of(found).value)
        sides = [np.arange(*side) for side in found.direction.box]
        self._sampler.sample(_flat_positions(sides, self._shape), size / SHARP_BARS)

    def _halve(self, found: Residual, streak: int) -> None:
        """Search both halves of a box; measure only one of them if that is enough for both."""
        box = found.direction.box
        axis = _by_length(box)[0]
        start, stop = box[axis]
        middle = (start + stop) // 2
        one, other = (
            (*box[:axis], half, *box[axis + 1 :]) for half in ((start, middle), (middle, stop))
        )
        first = self._residual_in(one, found)
        second = found.elsewhere(first, other)
        left = self._residuals.left_of(second)
        # A difference of residuals may be clear by too little to rely on.
        is_open = left.is_clear and abs(left.value) < CLEAR * left.bar
        if is_open or not (left.is_clear or self._residuals.left_of(first).is_clear):
            second = self._residual_in(other, found)
        clear = [half for half in (first, second) if self._residuals.left_of(half).is_clear]
        for half in clear:
            self._search(half, streak + 1 if len(clear) > 1 else 0)

    def _residual_in(self, box: Box, found: Residual, ramp: int | None = None) -> Residual:
        """Measure the residual of a part of the entries that another one belongs to."""
        return self._residual_along(found.direction.within(box, ramp), found)

    def _residual_along(self, direction: Direction, found: Residual) -> Residual:
        sought = abs(self._residuals.left_of(found).value)
        return results_of([self._residuals.of_part(direction, sought)], self._cost)[0]

    def _report_if_dense(self, found: Residual, *, is_line: bool) -> None:
        """Report a region as wrong if too many of the entries sampled from a box are wrong.

        The region is the whole parameter or, for a line, the whole row or column, if a sample of it
        shows wrong entries as well. Otherwise it is the box. Then the search starts again, and the
        entries of the region no longer move.
        """
        box, region = found.direction.box, self._whole
        # The error of each entry, if all of them are wrong.
        typical = abs(self._residuals.left_of(found).value) / math.sqrt(box_size(box))
        aim = typical / SHARP_BARS
        # In a large box, a sample does not hit a single wrong entry by accident.
        if self._sample_box(box, 2, aim).n_wrong < (1 if box_size(box) > VERY_MANY else 2):
            return
        if is_line:
            sides = zip(box, self._whole, strict=True)
            region = tuple(part if part[1] - part[0] == 1 else whole for part, whole in sides)
        if region != box and not self._sample_box(region, WIDER, aim).n_wrong:
            region = box
        tried = self._sample_box(region, GRID, aim)
        if DENSE * tried.n_wrong >= (1 if tried.size > VERY_MANY else max(tried.n_tried, 1)):
            others = [r for r in self._sampled.regions if intersection(r.box, region) != r.box]
            self._sampled.regions = [*others, tried]
            self._residuals.holes = [known.box for known in self._sampled.regions]
            raise _RegionFound

    def _sample_box(self, box: Box, length: int, aim: float) -> WrongRegion:
        """Measure entries where a few rows meet a few columns of a box, and count the wrong ones.

        Such neighbours help to tell causes apart. If the box is a single row or column, twice as
        many entries are taken along it. Entries with a gradient to compare are preferred, and those
        without one do not count.
        """
        index = [self._random.integers(start, stop, CANDIDATES) for start, stop in box]
        ks = np.ravel_multi_index(tuple(index), self._shape)
        # Apply this to every other entry only: a zero gradient may be what is wrong.
        is_nothing = self._residuals.analytic.gradient[ks] == 0
        is_nothing[1::2] = False
        order = np.argsort(is_nothing, kind="stable")
        long = [axis for axis in _by_length(box) if box[axis][1] - box[axis][0] > 1][:2]
        most = length if len(long) > 1 else 2 * length
        sides = [
            np.sort(list(dict.fromkeys(side[order].tolist()))[: most if axis in long else 1])
            for axis, side in enumerate(index)
        ]
        chosen = [
            k
            for k in _flat_positions(sides, self._shape)
            if not any(contains(hole, index_of(k, self._shape)) for hole in self._residuals.holes)
        ]
        self._sampler.sample(chosen, aim)
        informative = [k for k in chosen if k not in self._sampled.blank]
        n_wrong = sum(k in self._sampled.wrong for k in informative)
        return region_of(self._residuals.parameter, box, n_wrong, len(informative))


def _range_along(side: tuple[int, int], ramp: Residual, found: Residual) -> tuple[int, int] | None:
    """Return the range along an axis that holds the residual, from its ratio with and without ramp.

    None if the range is empty, or too wide to be of use.
    """
    if found.value == 0:
        return None
    start, stop = side
    last = stop - start - 1
    ratio = ramp.value / found.value
    doubt = 0.1 + (ramp.bar + abs(ratio) * found.bar) / abs(found.value) * last
    place = start + ratio * last
    if not (math.isfinite(place) and math.isfinite(doubt)):
        return None
    low, high = max(start, math.ceil(place - doubt)), min(stop, math.floor(place + doubt) + 1)
    return (low, high) if 0 < high - low <= max(1, READABLE * (stop - start)) else None


def _by_length(box: Box) -> list[int]:
    """Return the axes of a box, the longest first."""
    return sorted(range(len(box)), key=lambda axis: box[axis][0] - box[axis][1])


def _flat_positions(sides: Sequence[NDArray[np.intp]], shape: tuple[int, ...]) -> list[int]:
    """Return the positions, in C order, of all combinations of some indices along each axis."""
    positions: list[int] = np.ravel_multi_index(np.ix_(*sides), shape).ravel().tolist()
    return positions
