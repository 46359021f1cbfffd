"""Entries at which several kinks of J meet, as where all weights of a ReLU unit are zero.

There, the gradient need not lie between the two slopes along an entry. Any limit of gradients near
by is right, and so is what lies between such limits (Clarke's generalised gradient): a unit may be
shut for all examples, or open for all. So J is followed along lines beside θ, each parallel to an
entry that looks wrong. Far down such a line the slope is that on one side of the entry's own kink,
far up it is that on the other side, and in between every kink is crossed once. What is between two
slopes that were seen is right.

The lines also show what cannot be right. A convex kink lets the slope rise, and a concave one lets
it fall, by the same amount on every line. So no choice of sides takes the slope further below the
lower end, or further above the upper one, than it turns back along a line; not at all, if J is
convex or concave. What is within these bounds, but was not seen, is looked for at further places.

References
----------
F. H. Clarke, Optimization and Nonsmooth Analysis (1983), section 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.precision import spacing
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import PLACES

__all__ = ["part_kinks"]

Vector = NDArray[np.float64]
Places = NDArray[np.intp]

# Slopes are the same if they differ by less than this part of the largest. A noisy J needs longer
# lines, along which it also bends; if it needs more than the second value, it cannot be told.
EQUAL_SLOPES = (1e-5, 1e-2)
# A line goes so many spacings to either side of the place that it passes, which is so many from θ:
# most kinks cross it there. First it is followed in steps of ROUGH spacings.
SIDE, AWAY, ROUGH = 16, 4.0, 2
# The moves to places at which a slope alone is measured: the entries of the smallest parameter one
# by one, if these are no more than MOST_ALONE, and WANDERED random steps from the place at which
# the slope was nearest to the value under test, of distances of these ORDERS.
MOST_ALONE, WANDERED, ORDERS = 16, 40, (1.0, 0.25, 0.0625)
# An entry is wrong if it is outside the bounds on so many lines, and has shown no slopes but its
# own, at a single kink; otherwise, places are tried as well. The bounds are made wider by what the
# lines may have missed: by this part of the turn, and of the distance between the extremes.
ENOUGH, OF_TURN, OF_RANGE = 4, 2.0, 0.04
# The least divisor, in place of zero.
LEAST = 1e-300
# If these few entries take no other slopes beside θ than at θ, no kinks meet.
ENTRIES_TRIED = 3
# The most entries that are looked at.
MOST_ACCUSED = 64


@dataclass
class _Accused:
    """An entry that looks wrong, and what lines beside θ show of it.

    Attributes
    ----------
    table, row, position : MeasuredEntries, int, int
        A row of a table, and the entry's position in θ.
    spacing, same : float
        The distance between points on a line, and how much equal slopes may differ there.
    low, high : float
        The least and the greatest slope that was seen.
    turn : float
        The most that the slope turned back along a line.
    meet : bool
        True if several kinks crossed a line.
    nearest, place : float, ndarray
        How near a slope came to the value under test, and the move of entries at which it did.
    """

    table: MeasuredEntries
    row: int
    position: int
    spacing: float
    same: float
    low: float
    high: float
    turn: float = 0.0
    meet: bool = False
    nearest: float = math.inf
    place: Vector = field(default_factory=lambda: np.zeros(0))

    @property
    def analytic(self) -> float:
        """The value under test."""
        return float(self.table.analytic[self.row])

    @property
    def is_plain(self) -> bool:
        """True if no line has shown any slopes but those on the two sides of θ."""
        same = self.same + self.table.uncertainty[self.row]
        low, high = self.table.low[self.row] - same, self.table.high[self.row] + same
        return bool(low <= self.low and self.high <= high and self.turn <= 2 * self.same)

    @property
    def is_right(self) -> bool:
        """True if the value under test is a slope that was seen, or between two of them."""
        return self.low - self.same <= self.analytic <= self.high + self.same

    @property
    def is_wrong(self) -> bool:
        """True if no sides that the kinks may take explain the value under test."""
        margin = self.same + OF_TURN * self.turn
        if self.meet:
            margin += OF_RANGE * (self.high - self.low)
        return not self.low - margin <= self.analytic <= self.high + margin

    def see(self, slopes: Vector) -> None:
        """Take note of the slopes along a line, from its lower end to the upper one."""
        if not np.isfinite(slopes).all():
            self.turn = math.inf
            return
        changes = np.diff(slopes)
        rise, fall = changes.clip(min=0).sum(), -changes.clip(max=0).sum()
        self.turn = max(self.turn, float(min(rise, fall)))
        self.low = min(self.low, float(slopes.min()))
        self.high = max(self.high, float(slopes.max()))
        # A single kink is within one step.
        between = (slopes > self.low + 2 * self.same) & (slopes < self.high - 2 * self.same)
        self.meet |= bool(np.count_nonzero(between) > 1)

    def excuse(self) -> None:
        """Let the table show that the value is right."""
        self.dispute(disputed=False)
        nearest = np.clip(self.analytic, self.low, self.high)
        self.table.numerical[self.row], self.table.uncertainty[self.row] = nearest, self.same

    def dispute(self, *, disputed: bool = True) -> None:
        """Let the table show that it cannot be told if the value is right."""
        self.table.low[self.row], self.table.high[self.row] = self.low, self.high
        self.table.disputed[self.row] = disputed

    def accuse(self) -> None:
        """Let the table show that the value is wrong."""
        self.table.disputed[self.row] = False


def part_kinks(tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing) -> None:
    """Look again at entries that seem wrong although kinks may meet at θ.

    Those that have the right gradient of a place near by are right. Of the others, those are
    disputed that kinks might explain, each on either side.
    """
    off = [t.is_off & np.isfinite(t.low) & np.isfinite(t.analytic) for t in tables]
    rows = [np.flatnonzero(each) for each in off]
    if not (any(map(len, rows)) and any(table.kinked.any() for table in tables)):
        return
    # An interrupt leaves it open which of them are right.
    _dispute(tables, rows, disputed=True)
    # What is grossly wrong was not searched for kinks of its own.
    moved = [t.positions[t.kinked | each] for t, each in zip(tables, off, strict=True)]
    beside = _Beside(cost, pairing, pairing.indices_of(np.concatenate(moved)))
    accused = _most_telling(tables, rows, pairing, beside)
    first, others = [*accused[: ENTRIES_TRIED - 1], accused[-1]], accused[ENTRIES_TRIED - 1 : -1]
    are_plain = [beside.judge(each) for each in first[: len(accused)]]
    if all(are_plain):
        _dispute(tables, rows, disputed=False)
    else:
        for each in others:
            beside.judge(each)


def _dispute(tables: Sequence[MeasuredEntries], rows: Sequence[Places], *, disputed: bool) -> None:
    for table, some in zip(tables, rows, strict=True):
        table.disputed[some] = disputed


def _most_telling(
    tables: Sequence[MeasuredEntries], rows: Sequence[Places], pairing: Pairing, beside: _Beside
) -> list[_Accused]:
    """Return some of the entries that look wrong, those on kinks first: they may well be right."""
    accused = []
    for table, some in zip(tables, rows, strict=True):
        chosen = some[np.argsort(table.low[some] - table.high[some], kind="stable")][:MOST_ACCUSED]
        indices = pairing.indices_of(table.positions[chosen])
        sizes = np.abs(table.numerical)
        largest = float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
        for row, index in zip(chosen.tolist(), indices.tolist(), strict=True):
            resolution = beside.resolution(max(largest, abs(float(table.analytic[row]))))
            slopes = float(table.low[row]), float(table.high[row])
            accused.append(_Accused(table, row, index, *resolution, *slopes))
    return sorted(accused, key=lambda each: each.low - each.high)[:MOST_ACCUSED]


class _Beside:
    """Lines beside θ, on which the kinks that meet there have parted."""

    def __init__(self, cost: Cost, pairing: Pairing, moved: Places) -> None:
        self._cost = cost
        self._theta = pairing.parameters.theta().astype(np.float64)
        self._moved = moved
        groups = [(p.start <= moved) & (moved < p.stop) for p in pairing.checked]
        self._in_order = [1.0 * g for g in groups if g.any()]
        self._groups = [1.0 * g for g in sorted(groups, key=np.count_nonzero) if g.any()]
        size = float(np.max(np.abs(self._theta[moved]), initial=1.0))
        binding = cost.best.binding
        place = max(
            float(spacing(np.asarray(size, array.dtype), binding.bits(k)))
            for k, array in enumerate(binding.arrays)
        )
        self._least_spacing = PLACES * place

    def resolution(self, largest: float) -> tuple[float, float]:
        """Return the distance between points on a line, and how much equal slopes may differ.

        At the best distance, noise tells as much as bending. A power of two is added to θ without
        rounding. If no distance is any good, slopes may differ by anything.
        """
        noise = 4 * NOISE_DEVIATIONS * self._cost.best.noise
        bends = math.sqrt(SIDE * noise / largest), SIDE * self._least_spacing
        part = max(EQUAL_SLOPES[0], *bends)
        if part > EQUAL_SLOPES[1]:
            return 0.0, math.inf
        same = part * largest
        return 2.0 ** math.ceil(math.log2(max(noise / same, self._least_spacing))), same

    def judge(self, entry: _Accused) -> bool:
        """Excuse, accuse or dispute an entry; return True if it is wrong, and no kinks meet."""
        if math.isinf(entry.same):
            entry.dispute(disputed=bool(entry.table.kinked[entry.row]))
            return False
        for n_looks in self._looks(entry):
            if entry.is_right:
                entry.excuse()
                return False
            if n_looks >= ENOUGH and entry.is_plain and entry.is_wrong and not entry.meet:
                break
        if entry.is_wrong:
            entry.accuse()
        else:
            entry.dispute()
        return entry.is_wrong and entry.is_plain

    def _looks(self, entry: _Accused) -> Iterator[int]:
        """Let an entry see slopes along lines, then at other places; yield the number of lines."""
        n_lines, own = 0, self._moved == entry.position
        ends = self._slopes(entry, np.zeros(len(own)), (-SIDE, 0, SIDE))
        for n_lines, move in enumerate(self._moves(), start=1):
            move[own] = 0.0
            beside = AWAY * move / np.abs(move).max(initial=LEAST)
            costs: dict[int, float] = {}
            for step in (ROUGH, 1):
                between = self._slopes(entry, beside, range(-SIDE, SIDE + 1, step), costs)
                entry.see(np.array([ends[0], *between, ends[1]]))
                # Finer steps show how kinks of opposite signs follow on each other.
                if entry.is_plain or entry.is_right:
                    break
            yield n_lines
        for move in self._places(entry):
            entry.see(self._slopes(entry, SIDE * move / np.abs(move).max(), (-1, 1)))
            yield n_lines

    def _moves(self) -> Iterator[Vector]:
        """Yield the moves to lines, those most likely to tell first.

        All entries are moved down, then up, as a unit may be shut or open for all examples, and
        then at random. The fewer entries a parameter has, the farther they are moved: a bias parts
        the kinks of its unit. Or the later layer is moved farther: it opens for both signs of what
        the earlier one sends.
        """
        random, size = np.random.default_rng(0), len(self._moved)
        fewer = sum(group / np.count_nonzero(group) ** 3 for group in self._groups)
        later = sum(4.0**k * group for k, group in enumerate(self._in_order))
        for sign in (-1, 1):
            yield sign * fewer * random.uniform(0.5, 1.0, size)
        yield later * random.uniform(0.5, 1.0, size)
        yield fewer * random.normal(size=size)
        yield sum(random.choice(ORDERS) * g for g in self._groups) * random.normal(size=size)

    def _places(self, entry: _Accused) -> Iterator[Vector]:
        """Yield moves to places at which the value under test may be the slope."""
        first, size = self._groups[0], len(self._moved)
        alone = np.eye(size)[first > 0] if np.count_nonzero(first) <= MOST_ALONE else ()
        for move in (*self._groups, *alone):
            yield -move
            yield move
        random = np.random.default_rng(0)
        for _ in range(WANDERED):
            near = entry.place / np.abs(entry.place).max()
            yield near + random.choice(ORDERS) * random.normal(size=size)

    def _slopes(
        self,
        entry: _Accused,
        move: Vector,
        points: Sequence[int],
        costs: dict[int, float] | None = None,
    ) -> Vector:
        """Return the slopes between points on a line, so many spacings from each other.

        What is known of J there is in `costs`, and what was missing is added.
        """
        place, k, spacing = self._theta.copy(), entry.position, entry.spacing
        costs = {} if costs is None else costs
        place[self._moved] += spacing * move
        there = place[k]
        for n in points:
            if n not in costs:
                place[k] = there + n * spacing
                costs[n] = self._cost.at(place)
        slopes: Vector = np.diff([costs[n] for n in points]) / (spacing * np.diff(points))
        off = np.abs(slopes - entry.analytic)
        nearest = int(off.argmin())
        if off[nearest] < entry.nearest:
            entry.nearest, entry.place = float(off[nearest]), move.copy()
            entry.place[self._moved == k] += (points[nearest] + points[nearest + 1]) / 2
        return slopes
