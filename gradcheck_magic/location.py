"""Where a gradient is wrong: group testing within one parameter.

A box of entries with a residual that is clear holds something wrong. Where along an axis it is can
be read off: the same direction, with its numbers multiplied by 0 at the beginning of the axis and
by 1 at its end, has a residual that many times smaller, if one entry (or row, or column) is behind
it. If all the residual is indeed there, the box shrinks to that; if not, several are behind it, and
the box is halved. Only one half is measured: residuals along one direction add up.

Every entry that is found is measured by itself, and nothing else makes it wrong. Where all entries
of a box that are tried are wrong, the box is reported instead of every entry in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.cost import Cost
from gradcheck_magic.directions import Box, box_size, contains, intersection
from gradcheck_magic.finite_difference import measure_parameter
from gradcheck_magic.parameters import index_of
from gradcheck_magic.residuals import Residual, Residuals, looked
from gradcheck_magic.second_look import CLEAR
from gradcheck_magic.textbook import CentralDifferences

__all__ = ["FEW", "Location", "Region", "Sampled", "Sampler", "Search"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A box of no more entries is measured entry by entry.
FEW = 3
# A box of no more is not worth a look whether all of it is wrong; in a box of more than that, one
# wrong entry among a few that are tried is one of many.
MANY = 16
VERY_MANY = 1000
# Rows and columns of the grid of entries that is measured where all is wrong, for the diagnosis.
GRID = 4
# The same of the whole, where a part is wrong.
WIDER = 3
# The error bar of an entry that is measured is to be this part of the error that it seems to have.
SHARP = 20.0
# So many entries are looked at for some with a gradient.
CANDIDATES = 64
# A box is halved, rather than read off, where the reading leaves more than this part of it.
READABLE = 0.4
# No more wrong entries and boxes are looked for in one parameter.
MOST_FOUND = 40
# A search is given up after so many evaluations, and so many more for each wrong entry it found.
PATIENCE, PATIENCE_EACH = 120, 60
# Halving stops where both halves were wrong so many times in a row, and tries entries instead.
STREAK = 3


class Region(NamedTuple):
    """A box in which entries are wrong, too many to be enumerated.

    Attributes
    ----------
    box : Box
        Where.
    n_wrong, n_tried : int
        How many of the entries in it that were measured are wrong, and how many were.
    """

    box: Box
    n_wrong: int
    n_tried: int


@dataclass
class Sampled:
    """Entries of one parameter that were measured by themselves, and what they speak for.

    Attributes
    ----------
    ks : list of int
        Which, as they count in C order.
    batches : list of CentralDifferences
        What was measured, batch by batch.
    wrong : set of int
        Which of them are wrong.
    blank : set of int
        Which have no gradient, right or wrong: they tell nothing.
    changes : dict
        The error of each that is off by more than its error bar, and its numerical value.
    regions : list of Region
        Where there are too many of them.
    """

    ks: list[int] = field(default_factory=list)
    batches: list[CentralDifferences] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    blank: set[int] = field(default_factory=set)
    changes: dict[int, tuple[float, float]] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)


@dataclass
class Location:
    """What a search came to.

    Attributes
    ----------
    rest : Residual
        What is left, outside of the regions, with all that was found.
    is_complete : bool
        Whether it came to its end.
    """

    rest: Residual
    is_complete: bool = True


class Sampler:
    """Measures entries of one parameter by themselves, each once.

    Parameters
    ----------
    residuals : Residuals
        Of the parameter: what is measured is mended in them.
    cost : Cost
        Entered as a context manager.
    sampled : Sampled
        Takes what is measured.
    epsilon : float
        The step of the textbook's differences.
    """

    def __init__(self, residuals: Residuals, cost: Cost, sampled: Sampled, epsilon: float) -> None:
        self._residuals = residuals
        self._cost = cost
        self._sampled = sampled
        self._epsilon = epsilon

    def sample(self, ks: Sequence[int], aim: float = math.inf) -> None:
        """Measure some entries, those that have not been.

        Parameters
        ----------
        aim : float
            The error bar that each is to have at most, if that can be had.
        """
        known = set(self._sampled.ks)
        ks = sorted({k for k in ks if k not in known})
        if not ks:
            return
        batch = CentralDifferences.planned(len(ks), self._epsilon)
        try:
            measure_parameter(batch, self._cost, self._residuals.analytic, ks, aim=aim)
        finally:
            self._sampled.batches.append(batch)
            self._sampled.ks += ks[: batch.n_measured]
            self._judge(batch, ks)

    def _judge(self, batch: CentralDifferences, ks: Sequence[int]) -> None:
        gradient = self._residuals.analytic.gradient
        for i in range(batch.n_settled):
            k, numerical, bar = ks[i], float(batch.numerical[i]), float(batch.uncertainty[i])
            self._residuals.mend(k, numerical, bar)
            off = abs(float(gradient[k]) - numerical)
            if gradient[k] == 0 and abs(numerical) <= bar:
                self._sampled.blank.add(k)
            is_wrong = off > CLEAR * (bar + float(batch.rounding[i])) and not batch.disputed[i]
            if is_wrong or not math.isfinite(gradient[k]):
                self._sampled.wrong.add(k)
            if off > bar:
                self._sampled.changes[k] = (numerical - float(gradient[k]), numerical)


class _RegionFound(Exception):  # noqa: N818 (it is no error)
    """Nothing in a region moves any more: the search begins anew."""


class Search:
    """The search in one parameter, along one direction.

    Parameters
    ----------
    residuals : Residuals
        Of the parameter.
    cost : Cost
        Entered as a context manager.
    sampled : Sampled
        Takes the entries that are measured on the way.
    sampler : Sampler
        Measures them.
    turn : int
        Of the direction.
    """

    def __init__(
        self,
        residuals: Residuals,
        cost: Cost,
        sampled: Sampled,
        sampler: Sampler,
        turn: int,
    ) -> None:
        self._residuals = residuals
        self._cost = cost
        self._sampled = sampled
        self._sampler = sampler
        self._turn = turn
        self._direction = residuals.direction(turn)
        self._shape = residuals.parameter.shape
        self._random = np.random.default_rng(turn)
        self._began = cost.n_evaluations
        self._location: Location

    def run(self, found: Residual) -> Location:
        """Find what is behind a residual over all entries."""
        self._location = Location(found)
        while True:
            try:
                self._search(self._direction.box, found, streak=0)
            except _RegionFound:
                self._direction = self._residuals.direction(self._turn)
                found = self._of(self._direction.box, found)
            else:
                self._location.rest = self._residuals.left_of(found)
                return self._location

    def _search(self, box: Box, found: Residual, streak: int) -> None:
        """Find everything wrong in a box, if its residual is clear."""
        if not found.is_known:
            self._location.is_complete = False
        if not self._residuals.left_of(found).is_clear:
            return
        if self._is_hopeless():
            self._location.is_complete = False
            return
        box, found, is_line = self._narrowed(box, found)
        if box_size(box) <= FEW:
            self._measure(box, found)
            return
        is_whole = box == self._direction.box
        if is_line or (box_size(box) > MANY and (is_whole or streak >= STREAK)):
            size = abs(self._residuals.left_of(found).value)
            self._report_if_dense(box, is_line=is_line, aim=size / math.sqrt(box_size(box)) / SHARP)
        self._halve(box, found, streak)

    def _is_hopeless(self) -> bool:
        """Whether too much was found, or nothing for too long."""
        n_found = len(self._sampled.wrong) + len(self._sampled.regions)
        n_evaluations = self._cost.n_evaluations - self._began
        return n_found >= MOST_FOUND or n_evaluations > PATIENCE + PATIENCE_EACH * n_found

    def _narrowed(self, box: Box, found: Residual) -> tuple[Box, Residual, bool]:
        """Return the least part of a box in which all of its residual is, as far as can be read.

        And whether it is a line of it: a row or a column.
        """
        is_line = False
        while True:
            narrower = self._read_off(box, found)
            if narrower is None:
                return box, found, is_line
            box, found = narrower
            is_line = True

    def _measure(self, box: Box, found: Residual) -> None:
        """Measure every entry of a small box, and see whether that explains its residual."""
        size = abs(self._residuals.left_of(found).value)
        self._sampler.sample(_all_in(box, self._shape), size / SHARP)
        left = self._residuals.left_of(found)
        if abs(left.value) > CLEAR * left.bar:
            self._location.is_complete = False

    def _halve(self, box: Box, found: Residual, streak: int) -> None:
        one, other = _halves(box)
        first = self._of(one, found)
        second = found.elsewhere(first, other)
        left, other_left = (self._residuals.left_of(r) for r in (first, second))
        if abs(other_left.value) < CLEAR * other_left.bar and (
            other_left.is_clear or not left.is_clear
        ):
            # The difference of two is less well known than what is measured.
            second = self._of(other, found)
        halves = [(one, first), (other, second)]
        halves = [half for half in halves if self._residuals.left_of(half[1]).is_clear]
        if not halves:
            self._location.is_complete = False
        for half, residual in halves:
            self._search(half, residual, streak + 1 if len(halves) > 1 else 0)

    def _read_off(self, box: Box, found: Residual) -> tuple[Box, Residual] | None:
        """Return a part of a box in which all of its residual is, if one axis tells."""
        left = self._residuals.left_of(found)
        for axis in _by_length(box):
            start, stop = box[axis]
            if stop - start == 1:
                continue
            ramp = self._residuals.left_of(self._of(box, found, ramp=axis))
            part = _read_off(box[axis], ramp, left)
            if part is None:
                continue
            narrower = (*box[:axis], part, *box[axis + 1 :])
            inside = self._of(narrower, found)
            left_inside = self._residuals.left_of(inside)
            if abs(left_inside.value - left.value) <= left_inside.bar + left.bar:
                return narrower, inside
        return None

    def _of(self, box: Box, found: Residual, ramp: int | None = None) -> Residual:
        sought = abs(self._residuals.left_of(found).value)
        look = self._residuals.of_part(self._direction.within(box, ramp), sought)
        return looked([look], self._cost)[0]

    def _report_if_dense(self, box: Box, *, is_line: bool, aim: float) -> None:
        """See whether entries of a box that are tried are wrong: most of it is then."""
        n_wrong = self._n_wrong(self._grid(box, 2), aim)
        if not n_wrong or (n_wrong == 1 and box_size(box) <= VERY_MANY):
            return
        region = self._extended(box) if is_line else self._direction.box
        if region != box and not self._n_wrong(self._grid(region, WIDER), aim):
            region = box
        tried = self._grid(region, GRID)
        n_wrong = self._n_wrong(tried, aim)
        if 4 * n_wrong < len(tried) and (not n_wrong or box_size(region) <= VERY_MANY):
            return
        regions = [r for r in self._sampled.regions if not _is_within(r.box, region)]
        telling = set(self._sampled.ks) - self._sampled.blank
        inside = [k for k in telling if contains(region, index_of(k, self._shape))]
        n_wrong = sum(k in self._sampled.wrong for k in inside)
        self._sampled.regions = [*regions, Region(region, n_wrong, len(inside))]
        self._residuals.holes = [known.box for known in self._sampled.regions]
        raise _RegionFound

    def _extended(self, line: Box) -> Box:
        """Return a whole row or column, given a part of one."""
        sides = zip(line, self._direction.box, strict=True)
        return tuple(part if part[1] - part[0] == 1 else whole for part, whole in sides)

    def _n_wrong(self, ks: Sequence[int], aim: float) -> int:
        """Measure some entries; return how many of them are wrong."""
        self._sampler.sample(ks, aim)
        return sum(k in self._sampled.wrong for k in ks)

    def _grid(self, box: Box, length: int) -> list[int]:
        """Entries where a few rows and a few columns meet: neighbours tell causes apart.

        Twice as many where there are no two sides. In most of them there is something to be
        compared, if there is anywhere.
        """
        index = [self._random.integers(start, stop, CANDIDATES) for start, stop in box]
        ks = np.ravel_multi_index(tuple(index), self._shape)
        # Every other one: a gradient that is zero may be what is wrong.
        is_nothing = self._residuals.analytic.gradient[ks] == 0
        is_nothing[1::2] = False
        order = np.argsort(is_nothing, kind="stable")
        long = [axis for axis in _by_length(box) if box[axis][1] - box[axis][0] > 1][:2]
        most = length if len(long) > 1 else 2 * length
        counts = [most if axis in long else 1 for axis in range(len(box))]
        sides = [_first_few(side[order], n) for side, n in zip(index, counts, strict=True)]
        return _flat(sides, self._shape)


def _read_off(side: tuple[int, int], ramp: Residual, found: Residual) -> tuple[int, int] | None:
    """Return where along an axis the residual is, by the same one with a ramp along it.

    None where that is nowhere, or says too little.
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


def _halves(box: Box) -> tuple[Box, Box]:
    """Cut a box in two, across its longest side."""
    axis = _by_length(box)[0]
    start, stop = box[axis]
    middle = (start + stop) // 2
    one = (*box[:axis], (start, middle), *box[axis + 1 :])
    other = (*box[:axis], (middle, stop), *box[axis + 1 :])
    return one, other


def _by_length(box: Box) -> list[int]:
    """Return its axes, the longest first."""
    return sorted(range(len(box)), key=lambda axis: box[axis][0] - box[axis][1])


def _is_within(box: Box, other: Box) -> bool:
    return intersection(box, other) == box


def _all_in(box: Box, shape: tuple[int, ...]) -> list[int]:
    return _flat([np.arange(a, b) for a, b in box], shape)


def _first_few(values: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return the first few different ones, in order of size."""
    return np.array(sorted(list(dict.fromkeys(values.tolist()))[:length]))


def _flat(sides: Sequence[NDArray[np.intp]], shape: tuple[int, ...]) -> list[int]:
    """Return the entries where some indices along each axis meet, as they count in C order."""
    if not shape:
        return [0]
    index = np.meshgrid(*sides, indexing="ij")
    return [int(k) for k in np.ravel_multi_index(tuple(i.ravel() for i in index), shape)]
