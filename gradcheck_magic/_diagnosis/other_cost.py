"""Whether a gradient is that of some other function, tried in a few random directions.

For a direction v within one parameter, D_v = (J(θ + hv) − J(θ − hv)) / 2h must be gᵀv. A gradient
that has nothing to do with J disagrees in the first direction; one that agrees in several, each
within what its own error allows, belongs to J.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.mismatch import Mismatch, norm

__all__ = ["NOISE_BARS", "NoisyFunction", "is_gradient_of"]

Vector = NDArray[np.float64]

# Of a direction of length 1, in units of max(1, the largest entry of θ).
STEP_OF_DIRECTION = 2e-5
# In units of the noise of one evaluation, over the step: four deviations of a difference of two.
NOISE_BARS = 8.0
# What is left beside the error of the difference, in units of the gradient.
LEFT_OVER = 1e-7
# What is off by more than this part of what the user's own cost is off by does not fit.
DOUBTFUL = 0.1
# How many directions there are at least, and how unlikely (log₁₀) they must make it that all fit.
LEAST_DIRECTIONS = 8
BY_CHANCE = -6.0


@dataclass(frozen=True)
class NoisyFunction:
    """J, and what one value of it is worth.

    Attributes
    ----------
    evaluate : callable
        θ to J(θ); nan where it cannot be had.
    noise : float
        The absolute error of one value.
    """

    evaluate: Callable[[Vector], float]
    noise: float

    def slope(self, theta: Vector, direction: Vector, step: float) -> float:
        """Return the central difference along a direction, over `step` to each side."""
        plus, minus = (self.evaluate(theta + h * direction) for h in (step, -step))
        return (plus - minus) / (2 * step)


def is_gradient_of(
    function: NoisyFunction,
    theta: Vector,
    mismatches: Sequence[Mismatch],
    *,
    given: float = 0.0,
) -> bool:
    """Whether the analytic gradient of some parameters is that of a function.

    Parameters
    ----------
    function : Function
        J.
    theta : ndarray
        Where.
    mismatches : sequence of Mismatch
        The parameters; all other entries are held fixed.
    given : float
        The relative error of the point itself.

    Returns
    -------
    bool
        Whether it fits in every direction, and the gradient measured at the user's own θ, of the
        user's own cost, does not by far.
    """
    chance = 0.0
    random = np.random.default_rng(0)
    for mismatch, direction in _directions(mismatches, len(theta), random):
        sample, part = mismatch.sample, mismatch.part
        v = direction[part]
        expected = float(sample.analytic @ v)
        apart = abs(expected - float(sample.numerical @ v))
        scale = max(1.0, float(np.max(np.abs(theta[part]))))
        step = STEP_OF_DIRECTION * scale
        near = function.slope(theta, direction, step)
        if not abs(near - expected) <= DOUBTFUL * apart:
            return False
        far = function.slope(theta, direction, 2 * step)
        # The truncation of the nearer one is a third of what the two differ by.
        allowed = (
            NOISE_BARS * function.noise / step + abs(far - near) + LEFT_OVER * norm(sample.analytic)
        )
        allowed += given * apart
        if not abs(near - expected) <= allowed:
            return False
        chance += math.log10(min(1.0, allowed / apart)) if apart else 0.0
    return chance <= BY_CHANCE


def _directions(
    mismatches: Sequence[Mismatch], size: int, random: np.random.Generator
) -> Iterator[tuple[Mismatch, Vector]]:
    """Yield parameters in turn, each with a direction of length 1 within it."""
    for turn in range(max(LEAST_DIRECTIONS, len(mismatches))):
        # The last ones first: they are the least likely to be wrong for another reason.
        mismatch = mismatches[-1 - turn % len(mismatches)]
        direction = np.zeros(size)
        v = random.normal(size=mismatch.size)
        direction[mismatch.part] = v / np.linalg.norm(v)
        yield mismatch, direction
