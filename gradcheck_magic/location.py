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
from gradcheck_magic.directions import Box, box_size, intersection
from gradcheck_magic.finite_difference import measure_parameter
from gradcheck_magic.residuals import Residual, Residuals, looked
from gradcheck_magic.second_look import CLEAR
from gradcheck_magic.textbook import CentralDifferences

__all__ = ["FEW", "Location", "Region", "Sampled", "Search", "sample"]

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
# So many entries are looked at for some with a gradient.
CANDIDATES = 64
# A box is halved, rather than read off, where the reading leaves more than this part of it.
READABLE = 0.4
# No more wrong entries and boxes are looked for in one parameter.
MOST_FOUND = 40
# Halving stops where both halves were wrong so many times in a row, and tries entries instead.
STREAK = 3


@dataclass
class Sampled:
    """Entries of one parameter that were measured by themselves.

    Attributes
    ----------
    ks : list of int
        Which, as they count in C order.
    batches : list of CentralDifferences
        What was measured, batch by batch.
    wrong : set of int
        Which of them are wrong.
    changes : dict
        The error of each of these that is a number, and its numerical value.
    """

    ks: list[int] = field(default_factory=list)
    batches: list[CentralDifferences] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    changes: dict[int, tuple[float, float]] = field(default_factory=dict)


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
class Location:
    """What was found in one parameter.

    Attributes
    ----------
    regions : list of Region
        Where it is not single entries.
    is_complete : bool
        Whether the search came to its end.
    rest : Residual
        What is left, outside of the regions, with all that was found.
    """

    rest: Residual
    regions: list[Region] = field(default_factory=list)
    is_complete: bool = True


def sample(
    residuals: Residuals, cost: Cost, sampled: Sampled, epsilon: float, ks: Sequence[int]
) -> None:
    """Measure some entries by themselves, those that have not been."""
    known = set(sampled.ks)
    ks = sorted({k for k in ks if k not in known})
    if not ks:
        return
    analytic = residuals.analytic
    batch = CentralDifferences.planned(len(ks), epsilon)
    try:
        measure_parameter(batch, cost, analytic, ks)
    finally:
        sampled.batches.append(batch)
        sampled.ks += ks[: batch.n_measured]
        _judge(residuals, sampled, batch, ks)


def _judge(
    residuals: Residuals, sampled: Sampled, batch: CentralDifferences, ks: Sequence[int]
) -> None:
    gradient = residuals.analytic.gradient
    for i in range(batch.n_settled):
        k, bar = ks[i], float(batch.uncertainty[i])
        numerical = float(batch.numerical[i])
        residuals.mend(k, numerical, bar)
        off = abs(float(gradient[k]) - numerical)
        is_right = off <= CLEAR * (bar + float(batch.rounding[i])) or batch.disputed[i]
        if not is_right or not math.isfinite(gradient[k]):
            sampled.wrong.add(k)
            if math.isfinite(gradient[k]):
                sampled.changes[k] = (numerical - float(gradient[k]), numerical)


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
    turn : int
        Of the direction.
    epsilon : float
        The step of the textbook's differences.
    """

    def __init__(
        self, residuals: Residuals, cost: Cost, sampled: Sampled, turn: int, epsilon: float
    ) -> None:
        self._residuals = residuals
        self._cost = cost
        self._sampled = sampled
        self._epsilon = epsilon
        self._turn = turn
        self._direction = residuals.direction(turn)
        self._shape = residuals.parameter.shape
        self._random = np.random.default_rng(turn)
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
        if not self._residuals.left_of(found).is_clear:
            return
        if len(self._sampled.wrong) + len(self._location.regions) >= MOST_FOUND:
            self._location.is_complete = False
            return
        box, found, is_line = self._narrowed(box, found)
        if box_size(box) <= FEW:
            self._measure(box, found)
            return
        is_whole = box == self._direction.box
        if box_size(box) > MANY and (is_line or is_whole or streak >= STREAK):
            self._report_if_dense(box, is_line=is_line)
        self._halve(box, found, streak)

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
        self._sample(_all_in(box, self._shape))
        left = self._residuals.left_of(found)
        if abs(left.value) > CLEAR * left.bar:
            self._location.is_complete = False

    def _halve(self, box: Box, found: Residual, streak: int) -> None:
        one, other = _halves(box)
        first = self._of(one, found)
        second = found.elsewhere(first, other)
        left = self._residuals.left_of(second)
        if left.is_clear and abs(left.value) < CLEAR * left.bar:
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
        for axis in sorted(range(len(box)), key=lambda k: box[k][0] - box[k][1]):
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

    def _report_if_dense(self, box: Box, *, is_line: bool) -> None:
        """See whether entries of a box that are tried are wrong: most of it is then."""
        ks = self._grid(box, 2)
        n_wrong = self._n_wrong(ks)
        # Where there are many, one that is hit by accident is one of many.
        if not (2 * n_wrong >= len(ks) or (n_wrong and box_size(box) > VERY_MANY)):
            return
        region = self._extended(box) if is_line else self._direction.box
        if region != box and not self._n_wrong(self._grid(region, WIDER)):
            region = box
        tried = self._grid(region, GRID)
        found = Region(region, self._n_wrong(tried), len(tried))
        inside = [known for known in self._location.regions if _is_within(known.box, region)]
        self._location.regions = [
            *(known for known in self._location.regions if known not in inside),
            found,
        ]
        self._residuals.holes[:] = [known.box for known in self._location.regions]
        raise _RegionFound

    def _extended(self, line: Box) -> Box:
        """Return a whole row or column, given a part of one."""
        sides = zip(line, self._direction.box, strict=True)
        return tuple(part if part[1] - part[0] == 1 else whole for part, whole in sides)

    def _n_wrong(self, ks: Sequence[int]) -> int:
        """Measure some entries; return how many of them are wrong."""
        self._sample(ks)
        return sum(k in self._sampled.wrong for k in ks)

    def _grid(self, box: Box, length: int) -> list[int]:
        """Entries where a few rows and a few columns meet: neighbours tell causes apart.

        There is something to be compared in most of them, if there is anywhere.
        """
        index = [self._random.integers(a, b, CANDIDATES) for a, b in box]
        ks = np.ravel_multi_index(tuple(index), self._shape)
        # Every other one: a gradient that is zero may be what is wrong.
        is_nothing = self._residuals.analytic.gradient[ks] == 0
        is_nothing[1::2] = False
        order = np.argsort(is_nothing, kind="stable")
        chosen = [side[order] for side in index]
        sides = [side[:1] for side in chosen[:-2]]
        sides += [_first_few(side, length) for side in chosen[-2:]]
        return _flat(sides, self._shape)

    def _sample(self, ks: Sequence[int]) -> None:
        sample(self._residuals, self._cost, self._sampled, self._epsilon, ks)

    def _is_enough(self) -> bool:
        return len(self._sampled.wrong) + len(self._location.regions) >= MOST_FOUND


def _read_off(side: tuple[int, int], ramp: Residual, found: Residual) -> tuple[int, int] | None:
    """Return where along an axis the residual is, by the same one with a ramp along it.

    None where that is nowhere, or says too little.
    """
    start, stop = side
    last = stop - start - 1
    ratio = ramp.value / found.value
    doubt = 0.1 + (ramp.bar + abs(ratio) * found.bar) / abs(found.value) * last
    place = start + ratio * last
    low, high = max(start, math.ceil(place - doubt)), min(stop, math.floor(place + doubt) + 1)
    return (low, high) if 0 < high - low <= max(1, READABLE * (stop - start)) else None


def _halves(box: Box) -> tuple[Box, Box]:
    """Cut a box in two, across its longest side."""
    axis = max(range(len(box)), key=lambda k: box[k][1] - box[k][0])
    start, stop = box[axis]
    middle = (start + stop) // 2
    one = (*box[:axis], (start, middle), *box[axis + 1 :])
    other = (*box[:axis], (middle, stop), *box[axis + 1 :])
    return one, other


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
