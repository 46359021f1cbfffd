"""Group testing within one parameter: the search for wrong entries.

A box of entries with a clear residual contains something wrong. Its place along an axis can be read
off: repeat the measurement along the same direction, with its numbers multiplied by a ramp that
rises from 0 to 1 along the axis. If a single entry (or row, or column) is wrong, the ratio of the
two residuals is the height of the ramp at its place. If that place then accounts for the whole
residual, the box shrinks to it. If not, several entries are wrong and the box is halved. Only one
half is measured, because residuals along one direction add up.

Every suspect is measured individually, and only that measurement makes an entry wrong. Where all
entries sampled from a box are wrong, the box is reported instead of each entry in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box, box_size, contains, intersection
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.residuals import Residual, results_of
from gradcheck_magic._measure.sampling import Sampler, region_of
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
# A search is given up after this many evaluations, and this many more for each wrong entry found.
MOST_EVALUATIONS, MOST_EVALUATIONS_EACH = 120, 60
# After both halves were wrong this many times in a row, a sample of entries is measured as well.
STREAK = 3


class _RegionFound(Exception):  # noqa: N818 (it is not an error)
    """A region was found; its entries no longer move, so the search starts again."""


class RegionSearch:
    """The search within one parameter, along one direction.

    Parameters
    ----------
    sampler : Sampler
        The sampler that measures entries of the parameter.
    cost : Cost
        The cost, entered as a context manager.
    turn : int
        The number of the direction.
    """

    def __init__(self, sampler: Sampler, cost: Cost, turn: int) -> None:
        self._sampler = sampler
        self._residuals = residuals = sampler.residuals
        self._sampled = sampler.sampled
        self._cost = cost
        self._turn = turn
        self._direction = residuals.direction(turn)
        self._shape = residuals.parameter.shape
        self._random = np.random.default_rng(turn)
        self._evaluations_before = cost.n_evaluations
        self._is_complete = True

    def run(self, found: Residual) -> tuple[bool, Residual]:
        """Find the wrong entries behind a residual over all entries.

        Returns
        -------
        bool
            True if the search was completed.
        Residual
            What remains of the residual, outside the regions and corrected for all that was found.
        """
        while True:
            try:
                self._is_complete = True
                self._search(self._direction.box, found, streak=0)
            except _RegionFound:
                self._direction = self._residuals.direction(self._turn)
                found = self._residual_of(self._direction.box, found)
            else:
                return self._is_complete, self._residuals.left_of(found)

    def _search(self, box: Box, found: Residual, streak: int) -> None:
        """Find everything wrong in a box, if its residual is clear.

        Parameters
        ----------
        streak : int
            The number of halvings in a row in which both halves had a clear residual.
        """
        left = self._residuals.left_of(found)
        if not found.is_known or (left.is_clear and self._is_hopeless()):
            self._is_complete = False
            return
        if not left.is_clear:
            return
        box, found, is_line = self._narrow(box, found)
        if box_size(box) <= FEW_SUSPECTS:
            self._measure_all(box, found)
            return
        is_whole = box == self._direction.box
        if is_line or (box_size(box) > MANY_SUSPECTS and (is_whole or streak >= STREAK)):
            self._report_if_dense(box, found, is_line=is_line)
        self._halve(box, found, streak)

    def _is_hopeless(self) -> bool:
        """Return True if too much was found, or the search has taken too many evaluations."""
        n_found = len(self._sampled.wrong) + len(self._sampled.regions)
        most = MOST_EVALUATIONS + MOST_EVALUATIONS_EACH * n_found
        return n_found >= MOST_FOUND or self._cost.n_evaluations - self._evaluations_before > most

    def _narrow(self, box: Box, found: Residual) -> tuple[Box, Residual, bool]:
        """Return the smallest part of a box that holds all of its residual, as far as can be read.

        Also return the residual of that part, and True if it is a line of the box (a row or a
        column).
        """
        is_line = False
        while (narrower := self._narrow_once(box, found)) is not None:
            box, found = narrower
            is_line = True
        return box, found, is_line

    def _narrow_once(self, box: Box, found: Residual) -> tuple[Box, Residual] | None:
        """Return a part of a box that holds all of its residual, if one can be read off an axis."""
        left = self._residuals.left_of(found)
        for axis in _by_length(box):
            start, stop = box[axis]
            if stop - start == 1:
                continue
            ramp = self._residuals.left_of(self._residual_of(box, found, ramp=axis))
            part = _range_along(box[axis], ramp, left)
            if part is None:
                continue
            narrower = (*box[:axis], part, *box[axis + 1 :])
            inside = self._residual_of(narrower, found)
            left_inside = self._residuals.left_of(inside)
            if abs(left_inside.value - left.value) <= left_inside.bar + left.bar:
                return narrower, inside
        return None

    def _measure_all(self, box: Box, found: Residual) -> None:
        """Measure every entry of a small box, and check that they explain its residual."""
        size = abs(self._residuals.left_of(found).value)
        self._sampler.sample(_all_in(box, self._shape), size / SHARP_BARS)
        left = self._residuals.left_of(found)
        if abs(left.value) > CLEAR * left.bar:
            self._is_complete = False

    def _halve(self, box: Box, found: Residual, streak: int) -> None:
        """Search both halves of a box; measure only one of them if that is enough for both."""
        one, other = _halves(box)
        first = self._residual_of(one, found)
        second = found.elsewhere(first, other)
        if self._is_open(second) or not (self._is_clear(first) or self._is_clear(second)):
            second = self._residual_of(other, found)
        both = ((one, first), (other, second))
        clear = [(half, residual) for half, residual in both if self._is_clear(residual)]
        if not clear:
            self._is_complete = False
        for half, residual in clear:
            self._search(half, residual, streak + 1 if len(clear) > 1 else 0)

    def _is_clear(self, residual: Residual) -> bool:
        return self._residuals.left_of(residual).is_clear

    def _is_open(self, derived: Residual) -> bool:
        """Return True if a difference of residuals is clear, but by too little to rely on."""
        left = self._residuals.left_of(derived)
        return left.is_clear and abs(left.value) < CLEAR * left.bar

    def _residual_of(self, box: Box, found: Residual, ramp: int | None = None) -> Residual:
        """Measure the residual of some of the entries."""
        sought = abs(self._residuals.left_of(found).value)
        look = self._residuals.of_part(self._direction.within(box, ramp), sought)
        return results_of([look], self._cost)[0]

    def _report_if_dense(self, box: Box, found: Residual, *, is_line: bool) -> None:
        """Report a region as wrong if too many of the entries sampled from a box are wrong.

        The region is the whole parameter or, for a line, the whole row or column, if a sample of it
        shows wrong entries as well. Otherwise it is the box.
        """
        # The error of each entry, if all of them are wrong.
        typical = abs(self._residuals.left_of(found).value) / math.sqrt(box_size(box))
        aim = typical / SHARP_BARS
        if not _is_suspicious(self._sample_box(box, 2, aim), box):
            return
        region = self._extended(box) if is_line else self._direction.box
        if region != box and not self._sample_box(region, WIDER, aim).n_wrong:
            region = box
        tried = self._sample_box(region, GRID, aim)
        if _is_dense(tried):
            self._report(tried)

    def _report(self, region: WrongRegion) -> None:
        """Add a region, remove those within it, and start again without moving its entries."""
        others = [r for r in self._sampled.regions if not _is_within(r.box, region.box)]
        self._sampled.regions = [*others, region]
        self._residuals.holes = [known.box for known in self._sampled.regions]
        raise _RegionFound

    def _extended(self, line: Box) -> Box:
        """Return the whole row or column, given a part of it."""
        sides = zip(line, self._direction.box, strict=True)
        return tuple(part if part[1] - part[0] == 1 else whole for part, whole in sides)

    def _sample_box(self, box: Box, length: int, aim: float) -> WrongRegion:
        """Measure some entries of a box, and return the box with the number of wrong ones.

        Entries without a gradient do not count.
        """
        ks = self._grid(box, length)
        self._sampler.sample(ks, aim)
        informative = [k for k in ks if k not in self._sampled.blank]
        n_wrong = sum(k in self._sampled.wrong for k in informative)
        return region_of(self._residuals.parameter, box, n_wrong, len(informative))

    def _grid(self, box: Box, length: int) -> list[int]:
        """Return entries where a few rows meet a few columns.

        Such neighbours help to tell causes apart. If the box is a single row or column, twice as
        many entries are taken along it. Entries with a gradient to compare are preferred.
        """
        index = [self._random.integers(start, stop, CANDIDATES) for start, stop in box]
        ks = np.ravel_multi_index(tuple(index), self._shape)
        # Apply this to every other entry only: a zero gradient may be what is wrong.
        is_nothing = self._residuals.analytic.gradient[ks] == 0
        is_nothing[1::2] = False
        order = np.argsort(is_nothing, kind="stable")
        long = [axis for axis in _by_length(box) if box[axis][1] - box[axis][0] > 1][:2]
        most = length if len(long) > 1 else 2 * length
        counts = [most if axis in long else 1 for axis in range(len(box))]
        sides = [_first_few(side[order], n) for side, n in zip(index, counts, strict=True)]
        holes = self._residuals.holes
        return [
            k
            for k in _flat_positions(sides, self._shape)
            if not any(contains(hole, index_of(k, self._shape)) for hole in holes)
        ]


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


def _is_suspicious(tried: WrongRegion, box: Box) -> bool:
    """Return True if more of a box may be wrong than should be searched for entry by entry.

    In a large box, a sample does not hit a single wrong entry by accident.
    """
    return tried.n_wrong > 1 or (tried.n_wrong == 1 and box_size(box) > VERY_MANY)


def _is_dense(tried: WrongRegion) -> bool:
    """Return True if too much of a box is wrong for its entries to be listed."""
    if box_size(tried.box) > VERY_MANY:
        return tried.n_wrong > 0
    return 4 * tried.n_wrong >= max(tried.n_tried, 1)


def _halves(box: Box) -> tuple[Box, Box]:
    """Cut a box into two halves, across its longest side."""
    axis = _by_length(box)[0]
    start, stop = box[axis]
    middle = (start + stop) // 2
    one = (*box[:axis], (start, middle), *box[axis + 1 :])
    other = (*box[:axis], (middle, stop), *box[axis + 1 :])
    return one, other


def _by_length(box: Box) -> list[int]:
    """Return the axes of a box, the longest first."""
    return sorted(range(len(box)), key=lambda axis: box[axis][0] - box[axis][1])


def _is_within(box: Box, other: Box) -> bool:
    return intersection(box, other) == box


def _all_in(box: Box, shape: tuple[int, ...]) -> list[int]:
    return _flat_positions([np.arange(a, b) for a, b in box], shape)


def _first_few(values: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return the first few distinct values, sorted."""
    return np.array(sorted(list(dict.fromkeys(values.tolist()))[:length]))


def _flat_positions(sides: Sequence[NDArray[np.intp]], shape: tuple[int, ...]) -> list[int]:
    """Return the positions, in C order, of all combinations of some indices along each axis."""
    if not shape:
        return [0]
    index = np.meshgrid(*sides, indexing="ij")
    return [int(k) for k in np.ravel_multi_index(tuple(i.ravel() for i in index), shape)]
