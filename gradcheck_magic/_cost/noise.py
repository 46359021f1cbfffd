"""The rounding noise of the cost, estimated from evaluations around θ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NearbyCosts", "measured_noise", "noise_in_steps", "noise_level"]

Vector = NDArray[np.float64]

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


@dataclass(frozen=True)
class NearbyCosts:
    """The cost J around θ.

    Attributes
    ----------
    along : callable
        A function that returns J at a distance from θ, on a line along which every entry moves in
        proportion to its size; nan if J has no value.
    beside : callable
        A function that returns J with one entry of θ moved by a step in units of max(1, |entry|).
    size : int
        The number of entries.
    value : float
        J(θ).
    random : Generator
        The generator that chooses the entries to move.
    """

    along: Callable[[float], float]
    beside: Callable[[int, float], float]
    size: int
    value: float
    random: np.random.Generator

    def noise(self, spacing: float) -> float:
        """Return the noise along the line."""
        values = [self.along(k * spacing) for k in range(1, POINTS_ON_LINE)]
        return noise_level([self.value, *values])

    def changes(self, i: int, step: float) -> tuple[float, float]:
        """Return the changes of J for a step up and a step down in one entry."""
        return self.beside(i, step) - self.value, self.beside(i, -step) - self.value


def measured_noise(around: NearbyCosts, eps_theta: float, eps_cost: float) -> float:
    """Return the noise of J near θ or, if it is larger, at the distance of a difference's step.

    Near θ, the rounding of intermediate values in a lower precision would not be noticed.

    Parameters
    ----------
    eps_theta, eps_cost : float
        The spacing of numbers next to 1, in the precision of θ and of J.
    """
    near = far = around.noise(SPACING * eps_theta)
    # However well J was computed, storing it loses half a unit in the last place.
    stored = eps_cost * abs(around.value) / 2
    if SPACING * eps_theta < STEP_SPACING:
        far = around.noise(STEP_SPACING)
    if near == far == 0:
        far = _rounding(around)
    elif far > SUSPICIOUS * max(near, stored):
        # Kinks, and parameters to which J is very sensitive, look like noise along the line.
        far = min(far, noise_in_steps(around, eps_cost))
    return max(stored, near, far)


def _rounding(around: NearbyCosts) -> float:
    """Return the largest rounding error of a cost that does not change near θ; 0.0 if not rounded.

    If the cost is exactly 2.362 at θ and exactly 2.371 where it first changes, it was rounded to
    three decimals: its stairs are too wide for any difference to show them.
    """
    for step in WIDE_STEPS:
        moved = around.along(step)
        if moved != around.value:
            decimals = max(_decimals(around.value), _decimals(moved))
            return 0.5 * 10.0**-decimals if decimals < DECIMALS else 0.0
    return 0.0


def _decimals(value: float) -> int:
    """Return the number of decimals that a number needs, or `DECIMALS` if it needs more."""
    if not np.isfinite(value):
        return DECIMALS
    return next((n for n in range(DECIMALS) if value == round(value, n)), DECIMALS)


def noise_in_steps(around: NearbyCosts, eps_cost: float) -> float:
    """Return the noise of J from steps along some entries, separated from kinks and curvature.

    Parameters
    ----------
    eps_cost : float
        The spacing of numbers next to 1, in the precision of J.
    """
    stored = eps_cost * abs(around.value) / 2
    chosen = around.random.choice(around.size, size=min(around.size, PROBES), replace=False)
    changes = [[around.changes(i, step) for step in NOISE_STEPS] for i in chosen.tolist()]
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
