"""The absolute error of one evaluation of the cost, from evaluations of it around θ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NearbyCosts", "measured_noise", "noise_in_steps", "noise_level"]

Vector = NDArray[np.float64]

# Points on the line along which the noise is estimated, θ among them, and their spacing in units of
# the last place: wide enough to change J, near enough for J to be straight but for the noise.
POINTS_ON_LINE = 7
SPACING = 8
# The same at the distance of a difference's step, and from how many times the noise near by on it
# is worth a closer look.
STEP_SPACING = 1e-7
SUSPICIOUS = 30.0
# The closer look: steps in some entries. From one to the next a kink in J makes the second
# difference 8 times as large, curvature 64 times, and noise leaves it as it is. A slope makes J
# itself change 8 times as much: where it did not change at all before, J is a staircase.
PROBES = 4
NOISE_STEPS = (1.25e-8, 1e-7, 8e-7, 6.4e-6, 5.1e-5, 4.1e-4)
STEADY_NOISE = 5.0
STAIRCASE = 256.0
# Where J does not change at all: how far to go until it does, or is not finite. If it needs fewer
# decimals than this on both sides of a change, that is no accident.
WIDE_STEPS = (1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DECIMALS = 10


@dataclass(frozen=True)
class NearbyCosts:
    """J around θ.

    Attributes
    ----------
    along : callable
        J at a distance from θ, on a line through it on which every entry moves in proportion to
        its size; nan where J has no value.
    beside : callable
        J with one entry, counted in θ, moved by a step in units of max(1, its size).
    size : int
        The number of entries.
    value : float
        J(θ).
    random : Generator
        Chooses the entries of a closer look.
    """

    along: Callable[[float], float]
    beside: Callable[[int, float], float]
    size: int
    value: float
    random: np.random.Generator

    def noise(self, spacing: float) -> float:
        """Return the noise on the line."""
        values = [self.along(k * spacing) for k in range(1, POINTS_ON_LINE)]
        return noise_level([self.value, *values])

    def changes(self, i: int, step: float) -> tuple[float, float]:
        """Return by how much J changes with a step up and with one down, in one entry."""
        return self.beside(i, step) - self.value, self.beside(i, -step) - self.value


def measured_noise(around: NearbyCosts, eps_theta: float, eps_cost: float) -> float:
    """Return the noise of J near θ or, if it is larger, at the distance of a difference's step.

    Near by, what is computed from θ in a lower precision does not show.

    Parameters
    ----------
    eps_theta, eps_cost : float
        The spacing of numbers next to 1, in the precision of θ and of J.
    """
    near = far = around.noise(SPACING * eps_theta)
    # Half a unit in the last place is lost in storing J, however well it was computed.
    stored = eps_cost * abs(around.value) / 2
    if SPACING * eps_theta < STEP_SPACING:
        far = around.noise(STEP_SPACING)
    if near == far == 0:
        far = _rounding(around)
    elif far > SUSPICIOUS * max(near, stored):
        # Kinks and wild parameters on the way look like noise.
        far = min(far, noise_in_steps(around, eps_cost))
    return max(stored, near, far)


def _rounding(around: NearbyCosts) -> float:
    """Return by how much a cost that does not change near θ was rounded at most, else 0.0.

    If it is 2.362 at θ and 2.371 where it changes at last, to the last bit, it was rounded to three
    decimals: its staircase is too wide for any difference to show it.
    """
    for step in WIDE_STEPS:
        moved = around.along(step)
        if moved != around.value:
            decimals = max(_decimals(around.value), _decimals(moved))
            return 0.5 * 10.0**-decimals if decimals < DECIMALS else 0.0
    return 0.0


def _decimals(value: float) -> int:
    """Return how many decimals a number needs; at most `DECIMALS` are tried."""
    if not np.isfinite(value):
        return DECIMALS
    return next((n for n in range(DECIMALS) if value == round(value, n)), DECIMALS)


def noise_in_steps(around: NearbyCosts, eps_cost: float) -> float:
    """Return the noise of J from steps along some entries, which tell it from kinks and curvature.

    Parameters
    ----------
    eps_cost : float
        The spacing of numbers next to 1, in the precision of J.
    """
    stored = eps_cost * abs(around.value) / 2
    chosen = around.random.choice(around.size, size=min(around.size, PROBES), replace=False)
    changes = [[around.changes(i, step) for step in NOISE_STEPS] for i in chosen.tolist()]
    levels = [level for each in changes if (level := _level(each, stored)) > 0]
    changing = sum(any(up or down for up, down in each) for each in changes)
    # Were it noise, it would be in most of them.
    return float(np.median(levels)) if 2 * len(levels) >= max(changing, 1) else 0.0


def _level(changes: list[tuple[float, float]], stored: float) -> float:
    """Return what of the changes with ever larger steps is noise: what does not grow with them."""
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
    """Estimate the noise of a function from its values at equidistant points, close together.

    Differencing removes what is smooth and keeps what is noise: the k-th differences of noise of
    variance σ² have variance σ² (2k)! / (k!)². The first order from which three estimates agree
    within a factor of 4, its differences changing sign, is taken.

    Parameters
    ----------
    values : sequence of float
        At least 6 of them.

    Returns
    -------
    float
        The standard deviation of the noise; 0.0 where the values show none.

    References
    ----------
    J. J. Moré and S. M. Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33 (2011)
    1292-1314, algorithm ECnoise.
    """
    differences = np.array(values, dtype=np.float64)
    unit = float(np.abs(differences).max())  # lest the squares of huge values overflow
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
    # Nothing settles: a high order still holds the least of what is smooth.
    return min(levels[2:]) * unit
