"""The rounding noise of the cost, estimated from evaluations around θ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gradcheck_magic._cost.surroundings import Precision, Surroundings

__all__ = ["granularity", "measured_noise", "noise_in_steps", "noise_level"]

# The number of points on the line along which the noise is estimated, θ included, and their spacing
# in units in the last place: wide enough to change J, but so near that J is straight except for the
# noise.
POINTS_ON_LINE = 7
SPACING = 8
# The spacing at the distance of a difference's step, in double and in lower precision. If the noise
# there exceeds the noise near θ by this ratio, it is examined in more detail: whether it stays, or at
# least this part of it, on the other side of θ and with a spacing that is finer by this factor.
STEP_SPACING = (1e-7, 1e-3)
SUSPICIOUS = 30.0
FINER, SAME_NOISE = 32.0, 0.08
# For the details, some entries are moved by these steps, the smallest first. From one step to the
# next, the second difference grows 8 times for a kink in J, 64 times for curvature, and not at all
# for noise. It counts once it is BENT units of what storing J loses. The change of J itself grows 8
# times for a slope; if it jumps from STILL such units to more than STAIRCASE, J is a staircase.
PROBES = 4
NOISE_STEPS = tuple(2e-13 * 8.0**k for k in range(11))
STEADY_NOISE = 5.0
BENT, STILL, STAIRCASE = 64.0, 2.0, 256.0
# If J does not change near θ, these steps are tried until it changes or is not finite. It has jumped
# if at least this part of the change is left after so many halvings. Then its noise shows at steps
# that are these multiples of the first one. If it needs fewer decimals than this before
# and after the change, it was rounded.
WIDE_STEPS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
HALVINGS, LEFT = 16, 1e-3
WIDER, WIDEST = (1.0, 10.0), 1e-2
DECIMALS = 10


def measured_noise(around: Surroundings, precision: Precision) -> float:
    """Return the noise of J near θ or, if it is larger, at the distance of a difference's step.

    Near θ, the rounding of intermediate values in a lower precision would not be noticed.
    """

    def on_line(spacing: float) -> list[float]:
        distances = [k * spacing for k in range(1, POINTS_ON_LINE)]
        return [precision.value, *(around.along(precision.binding, each) for each in distances)]

    nearest = SPACING * float(np.finfo(precision.binding.dtype or around.theta.dtype).eps)
    near = far = noise_level(on_line(nearest))
    # However well J was computed, storing it loses half a unit in the last place.
    stored = precision.eps * abs(precision.value) / 2
    is_double = nearest < STEP_SPACING[0]
    spacing = STEP_SPACING[0 if is_double else 1]
    far = noise_level(on_line(spacing))
    if near == 0 and not (far and is_double):
        far = _noise_of_stairs(around, precision, on_line)
    elif far > SUSPICIOUS * max(near, stored):
        # Kinks, and parameters to which J is very sensitive, look like noise along the line. But
        # most kinks are on one side of θ, and sensitivity becomes less with a smaller spacing.
        elsewhere = (noise_level(on_line(each)) for each in (-spacing, spacing / FINER))
        if any(level < SAME_NOISE * far for level in elsewhere):
            far = min(far, noise_in_steps(around, precision))
    return max(stored, near, far)


def _noise_of_stairs(
    around: Surroundings, precision: Precision, on_line: Callable[[float], list[float]]
) -> float:
    """Return the noise of a cost that does not change near θ.

    Its stairs are too wide for small steps to show them. If it is exactly 2.362 at θ and exactly
    2.371 where it first changes, it was rounded to three decimals; if all its values are multiples
    of 2⁻⁸, it was rounded to these. Otherwise something in it was.
    """
    along = partial(around.along, precision.binding)
    before, step, moved = 0.0, 0.0, precision.value
    for wider in WIDE_STEPS:
        before, step, moved = step, wider, along(wider)
        if moved != precision.value:
            break
    if moved == precision.value or not _jumps(along, (before, step), (precision.value, moved)):
        return 0.0
    decimals = max(_decimals(precision.value), _decimals(moved))
    noise = 0.5 * 10.0**-decimals if decimals < DECIMALS else 0.0
    spacings = dict.fromkeys(min(wider * step, max(step, WIDEST)) for wider in WIDER)
    for spacing in spacings:
        values = on_line(spacing)
        noise = max(noise, noise_level(values), granularity(values) / 2)
    return noise


def _jumps(
    along: Callable[[float], float], places: tuple[float, float], values: tuple[float, float]
) -> bool:
    """Return True if J jumps between two places, instead of leaving a level at a kink."""
    (start, end), (level, value) = places, values
    first = value - level
    for _ in range(HALVINGS):
        middle = (start + end) / 2
        if (moved := along(middle)) == level:
            start = middle
        else:
            end, value = middle, moved
    return abs(value - level) > LEFT * abs(first)


def granularity(values: Sequence[float]) -> float:
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
