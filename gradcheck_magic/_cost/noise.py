"""The rounding noise of the cost, estimated from evaluations around θ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from gradcheck_magic._cost.surroundings import Precision, Surroundings

__all__ = [
    "NOISE_DEVIATIONS",
    "POINTS_ON_LINE",
    "SPACING",
    "STEP_SPACING",
    "SUSPICIOUS",
    "granularity",
    "level_at_large_steps",
    "measured_noise",
    "noise_in_steps",
    "noise_level",
    "noise_of_large_steps",
]

# The error bar of one value of J, in standard deviations of its noise. Both values in a difference
# may be off by that much at once.
NOISE_DEVIATIONS = 4.0
# The number of points on the line along which the noise is estimated, θ included, and their spacing
# in units in the last place: wide enough to change J, but so near that J is straight except for the
# noise. Nearer places than that are not told apart.
POINTS_ON_LINE = 7
SPACING = 8
NEAREST_SPACING = SPACING * float(np.finfo(np.float64).eps)
# The spacing at the distance of a difference's step, in double precision, and that of large steps.
STEP_SPACING, WIDE_SPACING = 1e-7, 1e-2
# If the noise there exceeds the noise near θ by SUSPICIOUS, it is examined in more detail: see
# `_Line.noise_at`.
SUSPICIOUS = 30.0


class Criteria(NamedTuple):
    """What tells noise on a line.

    J changes by no more than `most` of its size. If the slope is `visible` in spite of the noise,
    the `part` of this stays with a spacing that is finer by a factor. Otherwise, it grows by less
    than the factor while the spacing grows by that squared: up to this spacing, or to one that is
    wider by the factor.
    """

    visible: float
    most: float
    factor: float
    part: float


AT_STEP, WIDE = Criteria(5.0, 0.01, 32.0, 0.08), Criteria(1.0, 0.5, 8.0, 0.25)
# If J has no more values than this on the line, it may be rounded.
FEW_VALUES = 3
# For the details, some entries are moved by these steps, the smallest first. From one step to the
# next, the second difference grows 8 times for a kink in J, 64 times for curvature, and not at all
# for noise. It counts once it is BENT units of what storing J loses. The change of J itself grows 8
# times for a slope; if it jumps from STILL such units to more than STAIRCASE, J is a staircase.
PROBES = 4
NOISE_STEPS = tuple(2e-13 * 8.0**k for k in range(11))
STEADY_NOISE = 5.0
BENT, STILL, STAIRCASE = 64.0, 2.0, 256.0
# If J does not change near θ, these steps are tried until it changes or is not finite. It jumps if
# at least this part of the change is left after so many halvings. Then its noise shows at steps
# that are these multiples of the first one. If its values have fewer decimals, it was rounded; at
# the end and nowhere else, if the noise is no more than the last of these parts of the height of a
# stair. (The standard deviation of rounding is 0.29 of it, and the error at most half of it.)
WIDE_STEPS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
HALVINGS, LEFT = 16, 1e-3
MULTIPLES, WIDEST = (1.0, 10.0), 1e-2
DECIMALS, ONLY_ROUNDED = 10, 0.45


def measured_noise(around: Surroundings, precision: Precision) -> float:
    """Return the noise of J near θ or, if it is larger, at the distance of a difference's step.

    Near θ, the rounding of intermediate values in a lower precision would not be noticed.
    """
    line = _Line(around, precision)
    nearest = SPACING * precision.binding.eps
    near = line.level(nearest)
    # However well J was computed, storing it loses half a unit in the last place.
    stored = precision.eps * abs(precision.value) / 2
    is_double = nearest < STEP_SPACING
    spacing, criteria = (STEP_SPACING, AT_STEP) if is_double else (WIDE_SPACING, WIDE)
    far = line.level(spacing)
    is_flat = near == 0 and (len(line.seen) <= FEW_VALUES or not is_double)
    if is_flat:
        far, height = _noise_of_stairs(line)
    else:
        height = granularity(line.seen) if near == 0 else 0.0
        if far > SUSPICIOUS * max(near, stored, height):
            # Kinks, and parameters to which J is very sensitive, look like noise along the line.
            far = line.noise_at(spacing, criteria) or min(far, noise_in_steps(around, precision))
    if height > 0 and far <= ONLY_ROUNDED * height:
        # θ may be rounded as well, which no small step would show: a whole unit is granted.
        return height / NOISE_DEVIATIONS
    return max(stored, near, far, height / 2)


def noise_of_large_steps(around: Surroundings, precision: Precision) -> float:
    """Return the noise at the distance of large steps, where it is more than near θ; or 0.0.

    It is if parts of J are computed in lower precision, so that small steps do not change them.
    """
    return _Line(around, precision).noise_at(WIDE_SPACING, WIDE)


def level_at_large_steps(around: Surroundings, precision: Precision) -> float:
    """Return the most that the noise can be at the distance of large steps: kinks look like it."""
    return _Line(around, precision).level(WIDE_SPACING)


class _Line:
    """J at equidistant points on a line that starts at θ."""

    def __init__(self, around: Surroundings, precision: Precision) -> None:
        self.value = precision.value
        self._stored = precision.eps * abs(precision.value) / 2
        self._along = partial(around.along, precision.binding)
        self._known = {0.0: precision.value}

    @property
    def seen(self) -> set[float]:
        """All its values so far."""
        return set(self._known.values())

    def at(self, distance: float) -> float:
        """Return J at a distance from θ."""
        if distance not in self._known:
            self._known[distance] = self._along(distance)
        return self._known[distance]

    def values(self, spacing: float) -> list[float]:
        """Return J at points with some spacing, θ included."""
        return [self.value, *(self.at(k * spacing) for k in range(1, POINTS_ON_LINE))]

    def level(self, spacing: float) -> float:
        """Return the noise that J seems to have at points with some spacing."""
        return noise_level(self.values(spacing))

    def noise_at(self, spacing: float, criteria: Criteria) -> float:
        """Return the noise at a distance; 0.0 if what looks like it may be something else.

        Most kinks are on one side of θ only, and what bends becomes less with a finer spacing, and
        more with a wider one. Kinks right beside θ put θ alone off the line.
        """
        sides, factor = (spacing, -spacing), criteria.factor
        values = self.values(min(sides, key=self.level))
        rise, most = abs(values[-1] - values[0]), criteria.most * max(map(abs, values))
        beside = max(noise_level(self.values(side)[1:]) for side in sides)
        level, finer = self._on_both(spacing), self._on_both(spacing / factor)
        if not (max(level, finer) > 0 and level <= SUSPICIOUS * beside and rise < most):
            return 0.0
        is_visible = criteria.visible * level * len(values) < rise
        # The level of bends grows at least as fast as the distance, and that of noise does not.
        is_noise = (
            (is_visible and finer > criteria.part * level)
            or max(level, finer) < factor * self._on_both(spacing / factor**2)
            or self._on_both(factor * spacing) <= factor * finer
        )
        levels = [self.level(side / part) for side in sides for part in (1, factor)]
        noise = float(np.median(levels)) if is_noise else 0.0
        if noise <= BENT * self._stored:
            return noise
        # Noise and rounding jump somewhere. Kinks near θ do not, however much alike they look.
        return noise if self._jumps_within(spacing, LEFT * noise) else 0.0

    def _jumps_within(self, distance: float, least: float) -> bool:
        """Return True if J has a jump of more than so much, besides the slope that it has at θ."""
        slope = (self.at(STEP_SPACING) - self.value) / STEP_SPACING
        halvings = int(math.log2(distance / NEAREST_SPACING))
        jump = _largest_jump(lambda x: self.at(x) - slope * x, (0.0, distance), halvings)
        return jump > least + STILL * self._stored

    def _on_both(self, spacing: float) -> float:
        """Return the level on both sides of θ, as a geometric mean."""
        return math.sqrt(self.level(spacing) * self.level(-spacing))


def _noise_of_stairs(line: _Line) -> tuple[float, float]:
    """Return the noise of a cost that does not change near θ, and the height of its stairs.

    They are too wide for small steps to show them. If J is exactly 2.362 at θ and exactly 2.371
    where it first changes, it was rounded to three decimals; if all its values are multiples of
    2⁻⁸, it was rounded to these. Otherwise something in it was.
    """
    before, step, moved = 0.0, 0.0, line.value
    for wider in WIDE_STEPS:
        before, step, moved = step, wider, line.at(wider)
        if moved != line.value:
            break
    change = abs(moved - line.value)
    if not change or not _largest_jump(line.at, (before, step), HALVINGS) > LEFT * change:
        return 0.0, 0.0
    spacings = dict.fromkeys(min(wider * step, max(step, WIDEST)) for wider in MULTIPLES)
    noise = max(line.level(spacing) for spacing in spacings)
    decimals = max(map(_decimals, line.seen))
    rounded = 10.0**-decimals if decimals < DECIMALS else 0.0
    # A multiple of 2⁻⁴ has four decimals, too.
    return noise, max(rounded, granularity(line.seen))


def _largest_jump(
    along: Callable[[float], float], places: tuple[float, float], halvings: int
) -> float:
    """Return what halvings leave of a change between two places: next to nothing at a kink."""
    start, end = places
    before, after = along(start), along(end)
    for _ in range(halvings):
        middle = (start + end) / 2
        between = along(middle)
        if abs(between - before) > abs(after - between):
            end, after = middle, between
        else:
            start, before = middle, between
    return abs(after - before)


def granularity(values: Iterable[float]) -> float:
    """Return the largest power of two of which all values are multiples; 0.0 if all are zero."""
    finite = [abs(value) for value in values if value and math.isfinite(value)]
    # The denominator of a double is a power of two; that of a whole number is 1.
    exact = [value.as_integer_ratio() for value in map(float, finite)]
    return min(((n & -n) / d for n, d in exact), default=0.0)


def _decimals(value: float) -> int:
    """Return the number of decimals that a number needs, or `DECIMALS` if it needs more."""
    if not np.isfinite(value):
        return DECIMALS
    return next((n for n in range(DECIMALS) if value == round(value, n)), DECIMALS)


def noise_in_steps(around: Surroundings, precision: Precision) -> float:
    """Return the noise of J from steps along some entries, separated from kinks and curvature."""
    size = len(around.theta)
    chosen = around.random.choice(size, size=min(size, PROBES), replace=False)
    moved = partial(around.beside, precision.binding)
    found = [_noise_along(partial(moved, i), precision) for i in chosen.tolist()]
    levels = [level for level in found if level]
    changing = sum(level is not None for level in found)
    # Noise would appear in most of the entries.
    return float(np.median(levels)) if 2 * len(levels) >= max(changing, 1) else 0.0


def _noise_along(moved: Callable[[float], float], precision: Precision) -> float | None:
    """Return the part of the changes that does not grow with the step; None without a change."""
    value = precision.value
    stored = precision.eps * abs(value) / 2
    size = bend = math.inf
    changes = False
    for step in NOISE_STEPS:
        before, bent = size, bend
        up, down = moved(step) - value, moved(-step) - value
        size, bend = max(abs(up), abs(down)), abs(up + down)
        changes |= size > 0
        if before <= STILL * stored and size > STAIRCASE * stored:
            return size
        if math.inf > bent > BENT * stored:
            return max(bent, bend) if bend <= STEADY_NOISE * bent else 0.0
    return 0.0 if changes else None


def noise_level(values: Sequence[float]) -> float:
    """Estimate the noise of a function from its values at close, equidistant points.

    Taking differences removes the smooth part and keeps the noise: the k-th differences of noise
    of variance σ² have variance σ² (2k)! / (k!)². The estimate uses the first order at which the
    differences change sign and which agrees with the next two orders within a factor of 4.

    Parameters
    ----------
    values : sequence of float
        At least 6 values.

    Returns
    -------
    float
        The standard deviation of the noise; 0.0 if the values show none.

    References
    ----------
    J. J. Moré and S. M. Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33 (2011)
    1292-1314, algorithm ECnoise.
    """
    differences = np.array(values, dtype=np.float64)
    unit = float(np.abs(differences).max())  # the squares of huge values would overflow
    if not 0 < unit < np.inf:
        return 0.0
    differences /= unit
    levels, changes_sign = [], []
    gamma = 1.0
    for k in range(1, len(values)):
        differences = np.diff(differences)
        gamma *= 0.5 * k / (2 * k - 1)
        levels.append(float(np.sqrt(gamma * np.mean(differences**2))))
        changes_sign.append(bool(differences.min() < 0 < differences.max()))
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if changes_sign[k] and max(three) <= 4 * min(three):
            return levels[k] * unit
    # No three orders agree: a high order has the smallest remainder of the smooth part.
    return min(levels[2:]) * unit
