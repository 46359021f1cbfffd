"""Jumps of J: what a solver that stops early leaves, or an adaptive step, or a lookup in a table.

Between two jumps, J is smooth, so that no noise shows near θ. But its slope there is not quite that
of the function it stands for: it may be off by as much as the jumps make J drift. Therefore, if a
gradient seems only a little wrong, J is followed along a line through θ and searched for jumps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing, largest_entry
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import VERIFIED

__all__ = ["SMALL_BESIDE", "Jumps", "allow_for_jumps", "jumps_along"]

Vector = NDArray[np.float64]

# Errors beyond this part of their entry, and this part of the largest of its parameter, have
# another origin. So do errors of no more than MOST_OFF of the entries, unless all are TINY beside
# the largest.
SMALL_ERROR, SMALL_BESIDE, MOST_OFF, TINY = 0.1, 1e-2, 0.3, 1e-4
# If no jumps are found, more of them must be off to suspect some farther away.
HALF = 0.5
# The number of lines, the distances on either side of θ up to which J is followed, in units of θ,
# and the number of steps on each side.
LINES, REACHES, STEPS = 3, (0.5, 0.03), 32
# A jump shows in differences of this order, as PEAK times its height, while a smooth J makes them
# small: it stands out from their median by this factor, and from the noise of J by this one.
ORDER, PEAK, CONSPICUOUS, ABOVE_NOISE = 6, 10.0, 20.0, 100.0
# At most so many jumps are confirmed within each distance: a kink also stands out, but with steps
# that are FINER_STEP times as short only a jump is still as high, or at least this part of it.
# AROUND is the number of such steps on either side, and CLOSER how often they become finer.
MOST_JUMPS, FINER_STEP, AROUND, CLOSER, LEFT_OF_JUMP = 3, 8, 16, 2, 0.25
# The gradient of such a J may be off by this many times the drift that the jumps cause; it is then
# known to no more than three digits. If it is off by more, up to DISPUTED times, it cannot be told.
ALLOWED, DISPUTED = 1.5, 100.0


class Jumps(NamedTuple):
    """The jumps of J near θ: the largest, and how far all of them together make J drift.

    The drift is per unit of distance, along a line on which each entry moves by about its size. If
    none were found but most entries are off by next to nothing, there may be some farther away.
    """

    height: float = 0.0
    drift: float = 0.0
    may_be_far: bool = False


def allow_for_jumps(
    tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing, *, anyway: bool = False
) -> Jumps:
    """Widen the error bars by what jumps of J explain, if all errors are small, or `anyway`.

    Errors that are not much larger than that are disputed. Return the jumps.
    """
    jumps = Jumps()
    if not any(table.is_off.any() for table in tables):
        return jumps
    gradients = zip(pairing.checked, pairing.gradients, strict=True)
    largest = np.concatenate([np.full(p.size, largest_entry(g)) for p, g in gradients])
    n_off, are_tiny, are_slight = _small_errors(tables, largest)
    if not (anyway or (n_off and (are_tiny or n_off > MOST_OFF * pairing.size))):
        return jumps
    random = np.random.default_rng(0)
    theta = pairing.parameters.theta().astype(np.float64)
    for _ in range(LINES):
        line = cost.direction * random.choice([-1.0, 1.0], len(theta))
        along, noise = partial(_at, cost, theta, line), cost.best.noise
        found = (jumps, *(jumps_along(along, noise, reach) for reach in REACHES))
        jumps = Jumps(*map(max, zip(*found, strict=True)))
    if not jumps.drift:
        return Jumps(may_be_far=are_tiny and are_slight and n_off > HALF * pairing.size)
    drift = np.concatenate([_drift(p, jumps.drift, cost.direction) for p in pairing.checked])
    for table in tables:
        _grant(table, VERIFIED * largest[table.positions], drift[table.positions])
    return jumps


def _grant(table: MeasuredEntries, granted: Vector, drift: Vector) -> None:
    """Widen the bars of a table by the least that explains errors, and dispute what is near."""
    off = np.abs(table.analytic - table.numerical)
    allowed = ALLOWED * drift
    table.uncertainty[:] += np.where(off <= np.minimum(granted, allowed), granted, allowed)
    table.disputed[:] = (off > allowed) & (table.disputed | (off < DISPUTED * drift))


def _drift(parameter: Parameter, drift: float, direction: Vector) -> Vector:
    """Return how far the slope along each entry of a parameter may be off because of a drift."""
    part = direction[parameter.start : parameter.stop]
    size = math.sqrt(float(np.mean(np.square(part)))) if part.size else 1.0
    return np.full(part.size, drift / size)


def _at(cost: Cost, theta: Vector, line: Vector, distance: float) -> float:
    return cost.at(theta + distance * line)


def _small_errors(tables: Sequence[MeasuredEntries], largest: Vector) -> tuple[int, bool, bool]:
    """Return how many entries are off, 0 if any is by much; and if they are off by little.

    That is, beside the largest entry of their parameter, and beside themselves.
    """
    n_off, are_tiny, are_slight = 0, True, True
    for table in tables:
        off, is_off = np.abs(table.analytic - table.numerical), table.is_off
        beside = largest[table.positions]
        much = np.maximum(SMALL_ERROR * np.abs(table.numerical), SMALL_BESIDE * beside)
        if np.any(is_off & ~(off <= much)):
            return 0, False, False
        n_off += int(np.count_nonzero(is_off))
        are_tiny &= not np.any(is_off & (off > TINY * beside))
        are_slight &= not np.any(is_off & (off > SMALL_ERROR * np.abs(table.numerical)))
    return n_off, are_tiny, are_slight


def jumps_along(along: Callable[[float], float], noise: float, reach: float) -> Jumps:
    """Return the jumps of J along a line.

    Parameters
    ----------
    along : callable
        J at a distance from θ on the line.
    noise : float
        The noise of J.
    reach : float
        The distance to follow it on either side.
    """
    spacing = reach / STEPS
    rough = _roughness(along, 0.0, spacing, STEPS)
    least = max(CONSPICUOUS * float(np.median(rough)), ABOVE_NOISE * noise)
    heights = [0.0]
    for _ in range(MOST_JUMPS):
        k = int(np.argmax(rough))
        if rough[k] <= least:
            break
        place = (k + ORDER / 2 - STEPS) * spacing
        heights.append(_confirmed(along, place, spacing, float(rough[k])) / PEAK)
        # The same jump shows in all differences that span it.
        rough[max(0, k - ORDER) : k + ORDER + 1] = 0.0
    return Jumps(max(heights), sum(heights) / (2 * reach))


def _roughness(
    along: Callable[[float], float], middle: float, spacing: float, steps: int
) -> Vector:
    """Return the differences of high order, on a line with so many steps on either side."""
    places = middle + spacing * np.arange(-steps, steps + 1)
    values = [along(place) for place in places.tolist()]
    with np.errstate(invalid="ignore", over="ignore"):
        rough: Vector = np.abs(np.diff(values, ORDER))
    # What is not finite is no jump.
    return np.where(np.isfinite(rough), rough, 0.0)


def _confirmed(
    along: Callable[[float], float], place: float, spacing: float, height: float
) -> float:
    """Return the height of a difference that stays with finer steps; 0.0 for a kink."""
    for _ in range(CLOSER):
        spacing /= FINER_STEP
        rough = _roughness(along, place, spacing, AROUND)
        k = int(np.argmax(rough))
        if not rough[k] >= LEFT_OF_JUMP * height:
            return 0.0
        place += (k + ORDER / 2 - AROUND) * spacing
    return height
