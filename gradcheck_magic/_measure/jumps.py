"""Jumps of J: what a solver that stops early leaves, or an adaptive step, or a lookup in a table.

Between two jumps, J is smooth, so that no noise shows near θ. But its slope there is not quite that
of the function it stands for: J drifts away from that, and jumps back. Therefore, if a gradient
seems only a little wrong, J is followed along the line on which its errors add up. If they are the
solver's, there are jumps that take them back; if they are the gradient's, there are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision
from gradcheck_magic._inputs.pairing import Pairing, largest_entry
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.ladder import gap_at_zero
from gradcheck_magic._measure.lines import Along, along_line, rung_along
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import VERIFIED

__all__ = [
    "SMALL_BESIDE",
    "TINY",
    "Jumps",
    "agree_from_afar",
    "allow_for_jumps",
    "are_nearly_right",
    "jumps_along",
    "jumps_that_explain",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A place on a line, and J there, or the height of its jump.
Place = tuple[float, float]

# Errors beyond this part of their entry, and this one of the largest of its parameter, have another
# origin. So do errors of no more than MOST_OFF of the entries, unless all are TINY beside the
# largest.
SMALL_ERROR, SMALL_BESIDE, MOST_OFF, TINY = 0.1, 0.03, 0.3, 3e-4
# If no cause is found, jumps may also explain errors of up to this part of the largest entry.
LARGE_ERROR = 0.3
# If the errors lead to no jump, and more of the entries are off than this, all of them are moved.
# If that leads to none either, and the errors are tiny, there may be some farther away. Entries do
# not count if their error bars would hide a typical error.
HALF = 0.5
# The gradient of a J with jumps may be off by this many times the drift that they cause; it is then
# known to no more than three digits. Jumps are TOO_LOW to count if they would have to cause so many
# times their drift.
ALLOWED, TOO_LOW = 3.0, 200.0
# A solver's error may also be smooth, and larger than its jumps tell. Then J has another slope over
# long distances, which takes so many pairs: slopes are the same if they differ by these parts of an
# error. Without a jump, it must be that of the gradient over two parts of the reach; in most cases,
# two pairs show that it is not.
PAIRS, SAME_FAR, AS_GIVEN, PARTS = 12, 0.1, 0.3, (1 / 8, 1 / 32)
# J is followed until an entry has moved by this part of its size, or J by CHANGES of its own. A
# solver without a limit may never end farther away.
MOVED, CHANGES = 1.0, 2.0
# The first steps, so many AROUND θ, are 1/FIRST_STEPS of that; if there is a jump among them, they
# become shorter by this factor again, NEARER times at most. Then they grow by GROWTH each, up to
# 1/STEPS of the whole; there are no more than MOST_STEPS on either side.
AROUND, FIRST_STEPS, NEARER, GROWTH, STEPS, MOST_STEPS = 4, 256, 3, 1.5, 16, 60
# The number of places that predict the next. J is not as predicted if it is off by so many times
# its noise. Then the step is halved so often: of a jump at least this part is left, while a bend
# disappears, and so does a kink, which is jumped over if the steps get shorter than 1/SHORTEST.
PREDICTING, ABOVE_NOISE, HALVED, LEFT_OF_JUMP, SHORTEST = 6, 10.0, 16, 0.25, 64


class Jumps(NamedTuple):
    """The jumps of J near θ: the largest, and how far all of them together make J drift.

    The drift is per unit of distance: that is what a single entry moves if it moves by its size. If
    no jumps were found but most entries are off by next to nothing, there may be some farther away.
    There are `none_along_all` if J was followed along all errors in vain: once is enough.
    """

    height: float = 0.0
    drift: float = 0.0
    may_be_far: bool = False
    none_along_all: bool = False


def allow_for_jumps(
    tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing, *, anyway: bool = False
) -> Jumps:
    """Widen the error bars by what jumps explain, if all errors are small; return the jumps.

    They may also be looked for `anyway`, whatever the other errors are.
    """
    if not any(table.is_off.any() for table in tables):
        return Jumps()
    largest = _largest_beside(pairing)
    small = _small_errors(MeasuredEntries.joined(tables), largest)
    if not (anyway or (small.n_off and (small.are_tiny or small.share > MOST_OFF))):
        return Jumps()
    sizes, are_most = _sizes(cost, pairing), small.share > HALF
    errors, slopes = _per_size(tables, sizes, largest)
    size, jumps = float(np.linalg.norm(errors)), Jumps()
    line = partial(_line, cost, pairing, sizes, slopes)
    if size:
        jumps = jumps_along(*line(errors / size)[:2], cost.best.noise, size)
    if not jumps.drift and (small.are_tiny or are_most or anyway):
        random = np.random.default_rng(0).choice([-1.0, 1.0], pairing.size)
        jumps = jumps_along(*line(random)[:2], cost.best.noise, 0.0 if anyway else size)
    if not jumps.drift:
        may_be_far = small.are_tiny and small.are_slight and are_most
        return Jumps(may_be_far=may_be_far, none_along_all=small.n_off > 0)
    for table in tables:
        drift = jumps.drift / sizes[table.positions]
        _grant(table, VERIFIED * largest[table.positions], ALLOWED * drift)
    return jumps


def are_nearly_right(tables: Sequence[MeasuredEntries], pairing: Pairing) -> bool:
    """Return True if no error is large beside the largest entry of its parameter."""
    largest = _largest_beside(pairing)
    return not any(
        np.any(t.is_off & (np.abs(t.analytic - t.numerical) > LARGE_ERROR * largest[t.positions]))
        for t in tables
    )


def jumps_that_explain(tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing) -> Jumps:
    """Widen the error bars by what jumps explain, if that is every error; return the jumps.

    A solver with a coarse tolerance leaves errors that are not small.
    """
    errors = _along_errors(tables, cost, pairing)
    if errors is None or not are_nearly_right(tables, pairing):
        return Jumps()
    jumps = jumps_along(errors.along, errors.reach, cost.best.noise, errors.size)
    if ALLOWED * jumps.drift < errors.size:
        return Jumps()
    for table in tables:
        allowed = ALLOWED * jumps.drift / errors.sizes[table.positions]
        _grant(table, allowed, allowed)
    return jumps


def agree_from_afar(
    tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing, jumps: Jumps
) -> bool:
    """Dispute errors that J does not have over long distances; return whether any are disputed.

    A solver may also cause errors between its jumps, and these may be large. If J jumps, the slope
    over distances that are long beside those between jumps is then another one. If no jump was
    found, it must be that of the gradient under test.
    """
    errors = _along_errors(tables, cost, pairing)
    if errors is None:
        return False
    along, reach, slope, size, _ = errors
    if jumps.drift:
        far, bar = _slope_over(along, reach / 2, jumps.height)
        agree = abs(far - slope) + bar > SAME_FAR * size
    else:
        # At a kink, J has another slope farther away, too.
        is_kinked = any(np.any(table.is_off & table.kinked) for table in tables)
        agree = not is_kinked and _is_as_given(along, cost.best, reach, slope - size, size)
    for table in tables:
        table.disputed[:] |= table.is_off & agree
    return agree


class _AlongErrors(NamedTuple):
    """J on the line on which all errors add up.

    Its reach and its slope are in units of the `sizes` of the entries, and so is the `size` of the
    error of that slope.
    """

    along: Along
    reach: float
    slope: float
    size: float
    sizes: Vector


def _along_errors(
    tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing
) -> _AlongErrors | None:
    """Return J on the line of all errors; None if there are none, or infinite ones."""
    sizes = _sizes(cost, pairing)
    errors, slopes = _per_size(tables, sizes, np.full(pairing.size, math.inf))
    with np.errstate(over="ignore"):
        size = float(np.linalg.norm(errors))
    if not 0.0 < size < math.inf:
        return None
    return _AlongErrors(*_line(cost, pairing, sizes, slopes, errors / size), size, sizes)


def _is_as_given(
    along: Along, precision: Precision, reach: float, given: float, off: float
) -> bool:
    """Return True if J has the slope that is given over long distances, to a part of an error."""
    length = reach * min(PARTS)
    near, far = (rung_along(along, step, precision) for step in (length / 2, length))
    # Where J bends on the way to where it is straight again, its slopes on both sides differ.
    off_there = (4 * near.central - far.central) / 3 - given
    if max(abs(off_there), abs(gap_at_zero(near, far))) > off / 2:
        return False
    # Any bounded function has far slopes that are nearly zero.
    enough = AS_GIVEN * min(off, abs(given))
    over = (_slope_over(along, part * reach, 0.0) for part in PARTS)
    return all(abs(slope - given) + bar <= enough for slope, bar in over)


def _slope_over(along: Along, reach: float, height: float) -> tuple[float, float]:
    """Return the slope of J at θ over a long distance, with jumps for noise, and its error bar."""
    x = np.arange(1, PAIRS + 1) / PAIRS
    odd = np.array([(along(reach * d) - along(-reach * d)) / 2 for d in x.tolist()])
    if not np.isfinite(odd).all():
        return 0.0, math.inf
    powers = x[:, None] ** [1, 3, 5]
    known = np.linalg.pinv(powers)
    left = float(np.linalg.norm(odd - powers @ (known @ odd))) / math.sqrt(PAIRS - len(known))
    bar = max(left, height / 2) * float(np.linalg.norm(known[0]))
    return float(known[0] @ odd) / reach, bar / reach


def _grant(table: MeasuredEntries, granted: Vector, allowed: Vector) -> None:
    """Widen the bars of a table by the least that explains errors."""
    off = np.abs(table.analytic - table.numerical)
    table.uncertainty[:] += np.where(off <= np.minimum(granted, allowed), granted, allowed)
    table.disputed[:] &= off > allowed


class _SmallErrors(NamedTuple):
    """How many entries are off, none if any is off by much, and by how little they are.

    The share is that of the entries of which an error of that kind would be seen. Errors are tiny
    beside the largest entry of their parameter, and slight beside the entry itself.
    """

    n_off: int = 0
    share: float = 0.0
    are_tiny: bool = False
    are_slight: bool = False


def _small_errors(measured: MeasuredEntries, largest: Vector) -> _SmallErrors:
    """Return what is small about the errors, given the largest entries beside all entries."""
    off, is_off = np.abs(measured.analytic - measured.numerical), measured.is_off
    beside = largest[measured.positions]
    if not is_off.any() or np.any(is_off & ~_is_small(measured, beside)):
        return _SmallErrors()
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (off / beside)[is_off]
    hidden = ~is_off & (CLEAR * measured.uncertainty > np.median(parts) * beside)
    n_off = int(np.count_nonzero(is_off))
    return _SmallErrors(
        n_off,
        n_off / (len(largest) - int(np.count_nonzero(hidden))),
        bool(np.max(parts) <= TINY),
        not np.any(is_off & (off > SMALL_ERROR * np.abs(measured.numerical))),
    )


def _is_small(table: MeasuredEntries, beside: Vector) -> Mask:
    """Return True for errors that a solver may cause, given the largest entries beside them."""
    off, itself = np.abs(table.analytic - table.numerical), SMALL_ERROR * np.abs(table.numerical)
    small: Mask = off <= np.maximum(itself, SMALL_BESIDE * beside)
    return small


def _largest_beside(pairing: Pairing) -> Vector:
    """Return the largest entry of the gradient of its parameter for each entry to check."""
    gradients = zip(pairing.checked, pairing.gradients, strict=True)
    return np.concatenate([np.full(p.size, largest_entry(g)) for p, g in gradients])


def _sizes(cost: Cost, pairing: Pairing) -> Vector:
    """Return how far each entry to check can be moved: by the size of its parameter."""
    parts = [cost.direction[p.start : p.stop] for p in pairing.checked]
    return np.concatenate([np.full(len(part), np.abs(part).mean()) for part in parts if len(part)])


def _per_size(
    tables: Sequence[MeasuredEntries], sizes: Vector, largest: Vector
) -> tuple[Vector, Vector]:
    """Return all errors that are small, and all slopes, for a move of each entry by its size."""
    errors, slopes = np.zeros((2, len(sizes)))
    for table in tables:
        counts = table.is_off & _is_small(table, largest[table.positions])
        off = np.where(counts, table.numerical - table.analytic, 0.0)
        errors[table.positions] = off * sizes[table.positions]
        slopes[table.positions] = np.nan_to_num(table.numerical) * sizes[table.positions]
    return errors, slopes


def _line(
    cost: Cost, pairing: Pairing, sizes: Vector, slopes: Vector, line: Vector
) -> tuple[Along, float, float]:
    """Return J along a line through θ, given in units of the sizes, its reach, and its slope."""
    reach, slope = float(MOVED / np.max(np.abs(line))), float(slopes @ line)
    if slope:
        reach = min(reach, CHANGES * cost.scale / abs(slope))
    return along_line(cost, pairing, line * sizes), reach, slope


def jumps_along(along: Along, reach: float, noise: float, slope: float) -> Jumps:
    """Return the jumps of J along a line: the nearest one on either side of θ.

    Parameters
    ----------
    along : callable
        J at a distance from θ on the line.
    reach : float
        The distance to follow it on either side.
    noise : float
        The noise of J.
    slope : float
        The slope that the jumps have to explain. Those that are far too low for that do not count.
    """
    for k in range(1, NEARER + 1):
        step = reach / FIRST_STEPS**k
        near = [(i * step, along(i * step)) for i in range(-AROUND, AROUND + 1)]
        both = near, near[::-1]
        sides = [_Side(along, noise, slope, places[:PREDICTING]) for places in both]
        tested = [
            (side, at)
            for side, places in zip(sides, both, strict=True)
            for at in places[PREDICTING:]
        ]
        if all(side.goes_on(*at) for side, at in tested):
            break
    found = [side.nearest_jump(reach) for side in sides]
    heights = [height for _, height in found]
    return Jumps(max(heights), sum(heights) / sum(abs(place) for place, _ in found))


class _Side:
    """J on one side of θ: a polynomial through what is known of it predicts what comes next."""

    def __init__(self, along: Along, noise: float, slope: float, known: Sequence[Place]) -> None:
        self._along, self._noise, self._slope = along, noise, slope
        self._known, self._left = list(known), MOST_STEPS

    def goes_on(self, place: float, value: float) -> bool:
        """Return True if a value is as predicted, and so becomes known."""
        is_smooth = self._miss(place, value) == 0
        if is_smooth:
            self._known.append((place, value))
        return is_smooth

    def nearest_jump(self, reach: float) -> Place:
        """Return the place and the height of the nearest jump; or how far there is none, and 0."""
        (before, _), (place, _) = self._known[-2:]
        step, longest = place - before, reach / STEPS
        while self._left > 0 and abs(place) < reach:
            step = math.copysign(min(GROWTH * abs(step), longest, reach - abs(place)), step)
            ahead = place + step, self._value(place + step)
            if not math.isfinite(ahead[1]):
                break
            if not self.goes_on(*ahead):
                end, height = self._narrowed(*ahead)
                if height > 0:
                    return end, height
                step = end - self._known[-1][0]
                if abs(step) < longest / SHORTEST:
                    # A kink: the other side of it is predicted by nothing before it.
                    places = (end + i * step for i in range(PREDICTING))
                    self._known = [(place, self._value(place)) for place in places]
            place = self._known[-1][0]
        return place, 0.0

    def _narrowed(self, place: float, value: float) -> Place:
        """Return where J jumps before a place, and by how much; 0.0 for a bend or a kink."""
        first = height = self._miss(place, value)
        for _ in range(HALVED):
            middle = (self._known[-1][0] + place) / 2
            there = self._value(middle)
            if self._miss(middle, there) < LEFT_OF_JUMP * height:
                self._known.append((middle, there))
            else:
                place, value = middle, there
            height = self._miss(place, value)
            if height < LEFT_OF_JUMP * first:
                return place, 0.0
        return place, height

    def _miss(self, place: float, value: float) -> float:
        """Return how far a value is from its prediction, 0.0 if that does not matter."""
        places, values = np.array(self._known[-PREDICTING:]).T
        apart = places[:, None] - places + np.eye(len(places))
        # What is not finite, or at the same place, predicts nothing.
        with np.errstate(all="ignore"):
            ratios = (place - places) / apart
            np.fill_diagonal(ratios, 1.0)
            weights = ratios.prod(axis=1)
            noise = ABOVE_NOISE * self._noise * float(np.abs(weights).sum())
            miss = abs(value - float(weights @ values))
        matters = miss > max(noise, self._slope * abs(place) / TOO_LOW)
        return miss if matters and math.isfinite(miss) else 0.0

    def _value(self, place: float) -> float:
        self._left -= 1
        return self._along(place)
