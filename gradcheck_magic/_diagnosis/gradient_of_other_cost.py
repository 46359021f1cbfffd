"""Tests in a few random directions if a gradient is that of another function.

For a direction v within one parameter, or within several if there are many, the difference
D_v = (J(θ + hv) − J(θ − hv)) / 2h must equal gᵀv. A gradient that has nothing to do with J
disagrees in the first direction; one that agrees in several, each time to within the error of D_v,
belongs to J.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, norm

__all__ = ["NOISE_BARS", "NoisyFunction", "Patience", "is_gradient_of"]

Vector = NDArray[np.float64]

# The step along a direction of length 1, in units of max(1, the largest entry of θ).
STEP_OF_DIRECTION = 2e-5
# The error allowed for noise, in units of the noise of one evaluation divided by the step: four
# deviations of a difference of two values.
NOISE_BARS = 8.0
# The error allowed besides that of the difference, in units of the gradient.
LEFT_OVER = 1e-7
# A function does not fit if its error exceeds this fraction of that of the user's own cost.
DOUBTFUL = 0.1
# The smallest number of directions, and the probability (log₁₀) of a chance fit in all of them that
# is small enough.
LEAST_DIRECTIONS = 8
BY_CHANCE = -6.0
# Of more parameters than this, several share a direction: every evaluation goes through all of θ.
MOST_DIRECTIONS = 64
# An evaluation far from θ is slow if it takes this many times as long as the fastest one, and more
# seconds than a busy machine may take from a fast one.
FAR_SLOWER, LEAST_SLOW = 10.0, 0.5


@dataclass
class Patience:
    """J(θ) far away, where a solver may need ages: after one slow evaluation, J is nan."""

    evaluate: Callable[[Vector], float]
    fastest: float = field(default=math.inf, init=False)
    is_over: bool = field(default=False, init=False)

    def __call__(self, theta: Vector) -> float:
        """Return J(θ), unless an evaluation before this one was slow."""
        if self.is_over:
            return math.nan
        started = time.perf_counter()
        value = self.evaluate(theta)
        seconds = time.perf_counter() - started
        self.fastest = min(self.fastest, seconds)
        self.is_over = seconds > max(FAR_SLOWER * self.fastest, LEAST_SLOW)
        return value


@dataclass(frozen=True)
class NoisyFunction:
    """J(θ) as a function that returns nan where it cannot be computed, and the noise of a value."""

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
    """Return True if the analytic gradient of some parameters is that of a function at a point.

    It must fit in every direction within these parameters, and fit far better than the one
    measured for the user's own cost at the user's own θ. The point itself may have a relative error
    that is `given`.
    """
    chance = 0.0
    random = np.random.default_rng(0)
    groups = [mismatches[k::MOST_DIRECTIONS] for k in range(min(len(mismatches), MOST_DIRECTIONS))]
    for turn in range(max(LEAST_DIRECTIONS, len(groups))):
        # Start with the last parameters: they are the least likely to be wrong for another reason.
        group = groups[-1 - turn % len(groups)]
        sample = Sample.pooled(m.sample for m in group)
        part = np.concatenate([np.arange(len(theta))[m.part] for m in group])
        v = random.normal(size=len(part))
        v /= np.linalg.norm(v)
        direction = np.zeros(len(theta))
        direction[part] = v
        expected = float(sample.analytic @ v)
        apart = abs(expected - float(sample.numerical @ v))
        step = STEP_OF_DIRECTION * max(1.0, float(np.max(np.abs(theta[part]))))
        near = function.slope(theta, direction, step)
        noise = NOISE_BARS * function.noise / step
        # Where both gradients are zero, as before batch norm, noise is all that there is.
        if not abs(near - expected) <= max(DOUBTFUL * apart, noise):
            return False
        far = function.slope(theta, direction, 2 * step)
        # The truncation error of the smaller step is a third of the difference between the two.
        allowed = noise + abs(far - near) + given * apart
        allowed += LEFT_OVER * norm(sample.analytic)
        if not abs(near - expected) <= allowed:
            return False
        chance += math.log10(min(1.0, allowed / apart)) if apart else 0.0
    return chance <= BY_CHANCE
