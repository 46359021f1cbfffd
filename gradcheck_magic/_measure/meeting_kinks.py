"""Entries at which several kinks of J meet, as where all weights of a ReLU unit are zero.

There, the gradient need not lie between the two slopes along an entry. Any limit of gradients near
by is right, and so is what lies between such limits (Clarke's generalised gradient): a unit may be
shut for all examples, or open for all. So entries that look wrong beside kinks are measured again
at places near by, at which the kinks have parted.

References
----------
F. H. Clarke, Optimization and Nonsmooth Analysis (1983), section 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product, repeat

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import PLACES

__all__ = ["part_kinks"]

Vector = NDArray[np.float64]
Places = NDArray[np.intp]

# Slopes are the same if they differ by less than this part of the largest. A noisy J allows only
# the second value: the kinks must part within FARTHEST of max(1, |θᵢ|).
EQUAL_SLOPES = (1e-5, 1e-2)
FARTHEST = 1e-3
# Entries move this many times as far as the step with which a slope is measured, so that the step
# crosses no kink.
BEYOND_STEP = 32.0
# The places near by: all entries on kinks are moved at random, every parameter by a distance of a
# different order, as one kink may hide behind another; then all of a parameter are moved together;
# then the entries of the smallest one, one by one, if these are no more than MOST_ALONE. At last,
# WANDERED times, a random step is taken from the place at which the slope was nearest.
AT_RANDOM, MOST_ALONE, WANDERED = 10, 16, 40
ORDERS = (1.0, 0.25, 0.0625)
FEW_KINKS = 3
# If a few entries have the same slopes at the first few places, no kinks meet.
ENTRIES_TRIED, PLACES_TRIED = 3, 10
# The most entries that are measured at every place.
MOST_ACCUSED = 64


@dataclass
class _Accused:
    """An entry that looks wrong: a row of a table, its position in θ, and the slopes it takes."""

    table: MeasuredEntries
    row: int
    position: int
    slopes: list[float]

    @property
    def analytic(self) -> float:
        """The value under test."""
        return float(self.table.analytic[self.row])

    def has_others(self, same: float) -> bool:
        """Return True if it takes other slopes near by than on the two sides of its own kink.

        Where that kink has not moved, the central difference is the mean of both.
        """
        low, high, *others = self.slopes
        own, bar = np.array([low, high, (low + high) / 2]), self.table.uncertainty[self.row]
        return any(np.abs(own - other).min() > same + bar for other in others)

    def is_among(self, same: float) -> bool:
        """Return True if the value under test is one of its slopes, or between them."""
        return min(self.slopes) - same <= self.analytic <= max(self.slopes) + same

    def excuse(self, same: float) -> None:
        """Let the table show that the value is right."""
        self._widen(disputed=False)
        nearest = np.clip(self.analytic, min(self.slopes), max(self.slopes))
        self.table.numerical[self.row], self.table.uncertainty[self.row] = nearest, same

    def dispute(self) -> None:
        """Let the table show that it cannot be told if the value is right."""
        self._widen(disputed=True)

    def accuse(self) -> None:
        """Let the table show that the value is wrong."""
        self.table.disputed[self.row] = False

    def _widen(self, *, disputed: bool) -> None:
        self.table.low[self.row], self.table.high[self.row] = min(self.slopes), max(self.slopes)
        self.table.disputed[self.row] = disputed


def part_kinks(tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing) -> None:
    """Look again at entries that seem wrong although kinks may meet at θ.

    Those that have the right gradient of a place near by are right. Of the others, those are
    disputed that take different slopes there, because not every place was tried.
    """
    rows = [np.flatnonzero(table.is_off & np.isfinite(table.low)) for table in tables]
    kinked = [table.positions[table.kinked] for table in tables] if any(map(len, rows)) else []
    if not any(map(len, kinked)):
        return
    # An interrupt leaves it open which of them are right.
    _dispute(tables, rows, disputed=True)
    accused = _most_telling(tables, rows, pairing)
    nearby = _Nearby(cost, pairing, pairing.indices_of(np.concatenate(kinked)), accused)
    if nearby.step is None:
        _dispute(
            tables, [r[~t.kinked[r]] for t, r in zip(tables, rows, strict=True)], disputed=False
        )
    elif nearby.has_other_slopes([*accused[: ENTRIES_TRIED - 1], accused[-1]]):
        nearby.judge(accused)
    else:
        _dispute(tables, rows, disputed=False)


def _dispute(tables: Sequence[MeasuredEntries], rows: Sequence[Places], *, disputed: bool) -> None:
    for table, some in zip(tables, rows, strict=True):
        table.disputed[some] = disputed


def _most_telling(
    tables: Sequence[MeasuredEntries], rows: Sequence[Places], pairing: Pairing
) -> list[_Accused]:
    """Return some of the entries that look wrong, those on kinks first: they may well be right."""
    accused = []
    for table, some in zip(tables, rows, strict=True):
        chosen = some[np.argsort(table.low[some] - table.high[some], kind="stable")][:MOST_ACCUSED]
        indices = pairing.indices_of(table.positions[chosen])
        for row, index in zip(chosen.tolist(), indices.tolist(), strict=True):
            slopes = [float(table.low[row]), float(table.high[row])]
            accused.append(_Accused(table, row, index, slopes))
    return sorted(accused, key=lambda each: each.slopes[0] - each.slopes[1])[:MOST_ACCUSED]


class _Nearby:
    """Places near θ at which kinks part, and the slopes of J there.

    Attributes
    ----------
    step : float or None
        The step with which slopes are measured; None if J is too noisy for one that is small.
    same : float
        The largest difference between slopes that are the same.
    """

    def __init__(
        self, cost: Cost, pairing: Pairing, kinked: Places, accused: Sequence[_Accused]
    ) -> None:
        self._cost = cost
        self._theta = pairing.parameters.theta().astype(np.float64)
        self._kinked = kinked
        # Moving all entries of a parameter; a bias comes first, as it parts the kinks of its unit.
        groups = [(p.start <= kinked) & (kinked < p.stop) for p in pairing.checked]
        self._groups = [1.0 * g for g in sorted(groups, key=np.count_nonzero) if g.any()]
        largest = max(abs(s) for each in accused for s in (*each.slopes, each.analytic))
        size = float(np.max(np.abs(self._theta), initial=1.0))
        place = max(float(np.spacing(a.dtype.type(size))) for a in cost.best.binding.saved)
        self.step = None
        for part in EQUAL_SLOPES:
            self.same = part * largest
            step = max(2 * NOISE_DEVIATIONS * cost.best.noise / self.same, PLACES * place)
            if step * BEYOND_STEP <= FARTHEST * size:
                self.step = step
                break

    def has_other_slopes(self, some: Sequence[_Accused]) -> bool:
        """Return True if some entries take other slopes near by, which means that kinks meet."""
        for move in islice(self._moves(), PLACES_TRIED):
            for each in some:
                each.slopes.append(self._slope(each, move))
            if any(each.has_others(self.same) for each in some):
                return True
        return False

    def judge(self, accused: Sequence[_Accused]) -> None:
        """Excuse entries that are right somewhere near by, and dispute what is not certain."""
        for each in accused:
            if each.is_among(self.same) or self._is_right_nearby(each):
                each.excuse(self.same)
            elif each.has_others(self.same):
                each.dispute()
            else:
                each.accuse()

    def _is_right_nearby(self, entry: _Accused) -> bool:
        """Return True if the value of an entry is a slope near by, or between such slopes."""
        best = np.zeros(len(self._kinked))
        moves, nearest = chain(self._moves(), repeat(None, WANDERED)), math.inf
        random = np.random.default_rng(0)
        for planned in moves:
            move = planned
            if move is None:
                move = best + random.choice(ORDERS) * random.normal(size=len(best))
                move /= np.abs(move).max()
            slope = self._slope(entry, move)
            entry.slopes.append(slope)
            if entry.is_among(self.same):
                return True
            if abs(slope - entry.analytic) < nearest:
                nearest, best = abs(slope - entry.analytic), move
        return False

    def _moves(self) -> Iterator[Vector]:
        """Yield moves of the entries on kinks, the ones most likely to tell first."""
        random, size = np.random.default_rng(0), len(self._kinked)
        # Of a few signs, each combination is tried once, in any order.
        few = (
            random.permutation(list(product([-1.0, 1.0], repeat=size))) if size <= FEW_KINKS else ()
        )
        for k in range(AT_RANDOM):
            signs = few[k % len(few)] if len(few) else random.choice([-1.0, 1.0], size)
            yield sum(random.choice(ORDERS) * group for group in self._groups) * signs
        first = self._groups[0]
        alone = np.eye(size)[first > 0] if np.count_nonzero(first) <= MOST_ALONE else ()
        for move in (*self._groups, *alone):
            yield -move
            yield move

    def _slope(self, entry: _Accused, move: Vector) -> float:
        """Return the central difference along an entry at a place near θ."""
        place, k, step = self._theta.copy(), entry.position, self.step or 0.0
        place[self._kinked] += BEYOND_STEP * step * move
        there, costs = place[k], []
        for sign in (1, -1):
            place[k] = there + sign * step
            costs.append((self._cost.at(place), place[k]))
        (plus, up), (minus, down) = costs
        return float((plus - minus) / (up - down))
