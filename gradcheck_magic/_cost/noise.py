"""The rounding noise of the cost, estimated from evaluations around θ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from gradcheck_magic._cost.surroundings import Precision, Surroundings

__all__ = ["measured_noise", "noise_in_steps", "noise_level"]

# The number of points on the line along which the noise is estimated, θ included, and their spacing
# in units in the last place: wide enough to change J, but so near that J is straight except for the
# noise.
POINTS_ON_LINE = 7
SPACING = 8
# The spacing at the distance of a difference's step, and the ratio of the noise there to the noise
# near θ above which it is examined in more detail.
STEP_SPACING = 1e-7
SUSPICIOUS = 30.0
# For the details, some entries are moved by these steps. From one step to the next, the second
# difference grows 8 times for a kink in J, 64 times for curvature, and not at all for noise. The
# change of J itself grows 8 times for a slope; if there was no change at all before, J is a
# staircase.
PROBES = 4
NOISE_STEPS = (1.25e-8, 1e-7, 8e-7, 6.4e-6, 5.1e-5, 4.1e-4)
STEADY_NOISE = 5.0
STAIRCASE = 256.0
# If J does not change near θ, these steps are tried until it changes or is not finite. If it needs
# fewer decimals than this before and after the change, it was rounded.
WIDE_STEPS = (1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DECIMALS = 10


def measured_noise(around: Surroundings, precision: Precision) -> float:
    """Return the noise of J near θ or, if it is larger, at the distance of a difference's step.

    Near θ, the rounding of intermediate values in a lower precision would not be noticed.
    """

    def on_line(spacing: float) -> float:
        distances = [k * spacing for k in range(1, POINTS_ON_LINE)]
        moved = [around.along(precision.binding, distance) for distance in distances]
        return noise_level([precision.value, *moved])

    nearest = SPACING * float(np.finfo(precision.binding.dtype or around.theta.dtype).eps)
    near = far = on_line(nearest)
    # However well J was computed, storing it loses half a unit in the last place.
    stored = precision.eps * abs(precision.value) / 2
    if nearest < STEP_SPACING:
        far = on_line(STEP_SPACING)
    if near == far == 0:
        far = _rounding(around, precision)
    elif far > SUSPICIOUS * max(near, stored):
        # Kinks, and parameters to which J is very sensitive, look like noise along the line.
        far = min(far, noise_in_steps(around, precision))
    return max(stored, near, far)


def _rounding(around: Surroundings, precision: Precision) -> float:
    """Return the largest rounding error of a cost that does not change near θ; 0.0 if not rounded.

    If the cost is exactly 2.362 at θ and exactly 2.371 where it first changes, it was rounded to
    three decimals: its stairs are too wide for any difference to show them.
    """
    for step in WIDE_STEPS:
        moved = around.along(precision.binding, step)
        if moved != precision.value:
            decimals = max(_decimals(precision.value), _decimals(moved))
            return 0.5 * 10.0**-decimals if decimals < DECIMALS else 0.0
    return 0.0


def _decimals(value: float) -> int:
    """Return the number of decimals that a number needs, or `DECIMALS` if it needs more."""
    if not np.isfinite(value):
        return DECIMALS
    return next((n for n in range(DECIMALS) if value == round(value, n)), DECIMALS)


def noise_in_steps(around: Surroundings, precision: Precision) -> float:
    """Return the noise of J from steps along some entries, separated from kinks and curvature."""
    moved, value = partial(around.beside, precision.binding), precision.value
    size = len(around.theta)
    chosen = around.random.choice(size, size=min(size, PROBES), replace=False)
    changes = [
        [(moved(i, step) - value, moved(i, -step) - value) for step in NOISE_STEPS]
        for i in chosen.tolist()
    ]
    stored = precision.eps * abs(value) / 2
    levels = [level for each in changes if (level := _noise_in_changes(each, stored)) > 0]
    changing = sum(any(up or down for up, down in each) for each in changes)
    # Noise would appear in most of the entries.
    return float(np.median(levels)) if 2 * len(levels) >= max(changing, 1) else 0.0


def _noise_in_changes(changes: list[tuple[float, float]], stored: float) -> float:
    """Return the part of the changes that does not grow with the step, which is the noise."""
    flat = [up == down == 0 for up, down in changes]
    bends = [abs(up + down) for up, down in changes]
    for k in range(len(changes) - 1):
        if flat[k] and not flat[k + 1]:
            size = max(map(abs, changes[k + 1]))
            return size if size > STAIRCASE * stored else 0.0
        if bends[k] > 0:
            larger = bends[k + 1]
            return max(bends[k], larger) if larger <= STEADY_NOISE * bends[k] else 0.0
    return 0.0


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
