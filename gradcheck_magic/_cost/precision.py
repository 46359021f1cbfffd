"""How precise J is around θ: in the user's precision, and in double precision where that helps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gradcheck_magic._cost.calling import REPEATABLE_SINGLE, FoundCall
from gradcheck_magic._cost.noise import level_at_large_steps, measured_noise
from gradcheck_magic._cost.surroundings import Precision, Surroundings
from gradcheck_magic._inputs.precision import DOUBLE, SINGLE, eps_of, spacing

__all__ = ["bits_around", "in_double", "is_constant", "own_precision"]

# Values with no more than 20 bits were rounded; they do not mean single precision.
ROUNDED_BITS = 2**20
# The multiples of θ, and the number of other points of its size, at which J is evaluated to find
# out if it is constant everywhere or only flat around θ.
ELSEWHERE = (-1.0, 0.0, 10.0)
OTHER_POINTS = 3
# The largest difference between the cost in low and in double precision, in units of the rounding
# of the former; and the least reduction of the noise that makes double precision worth using.
ROUNDED = 32.0
BETTER = 30.0
# The noise of J from which on it is examined what large steps show in double precision, in units of
# the rounding of J.
COARSE = 30.0


def bits_around(around: Surroundings, found: FoundCall) -> int:
    """Return the significant bits of the numbers in which J is computed, whatever it returns.

    Values computed in single precision use the 24 bits of a float32 and no more; values with far
    fewer bits were rounded.
    """
    values = {found.value, found.nearby, around.along(found.binding, found.distance / 3)}
    if found.bits != DOUBLE or len(values) <= 2:  # noqa: PLR2004 (one may be round by chance)
        return found.bits
    array = np.array(list(values))
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.all(array.astype(np.float32) == array):
            return DOUBLE
    fraction, _ = np.frexp(array)
    return DOUBLE if np.all(np.modf(fraction * ROUNDED_BITS)[0] == 0) else SINGLE


def is_constant(around: Surroundings, found: FoundCall) -> bool:
    """Return True if J is the same around θ and at points that are unrelated to it.

    Around θ it may only be flat: if every unit is dead, or if J counts hits.
    """
    if found.nearby != found.value:
        return False
    size = np.abs(around.direction)
    points = [multiple * around.theta for multiple in ELSEWHERE]
    for least in (0.0, 1.0):
        sizes = np.maximum(size, least)
        points += [sizes * around.random.normal(size=len(size)) for _ in range(OTHER_POINTS)]
    values = [around.at(found.binding, point) for point in points]
    return all(value == found.value for value in values if math.isfinite(value))


def own_precision(around: Surroundings, found: FoundCall, bits: int) -> Precision:
    """Return J in the precision that the user chose, and measure its noise."""
    own = Precision(found.binding, found.value, found.gap, eps_of(bits))
    return replace(own, noise=max(found.gap, measured_noise(around, own)))


def in_double(around: Surroundings, own: Precision, *, constant: bool) -> Precision | None:
    """Return J in double precision, if θ is single and the function accepts it."""
    parameters, theta = around.parameters, around.theta
    if theta.dtype.itemsize >= np.dtype(np.float64).itemsize or not own.binding.is_copied:
        return None
    binding = replace(own.binding, dtype=np.float64)
    value = around.at(binding, theta)
    tolerance = max(REPEATABLE_SINGLE, ROUNDED * eps_of(parameters.bits))
    apart = abs(value - own.value)
    if math.isnan(apart) or apart > tolerance * abs(own.value) + ROUNDED * own.noise:
        return None
    # A step that rounding θ to its own precision would remove.
    places = [spacing(theta[p.start : p.stop], p.bits) for p in parameters.arrays]
    step = 0.3 * np.concatenate(places) * np.sign(around.direction)
    if around.at(binding, theta + step) == value and not constant:
        # The function itself converts θ back to the lower precision.
        return None
    double = Precision(binding, value, own.noise, eps_of(DOUBLE))
    noise = measured_noise(around, double)
    if own.noise > COARSE * own.eps * abs(own.value):
        # Something in J is computed in a precision that is even lower, whatever θ is given in.
        noise = max(noise, level_at_large_steps(around, double))
    return replace(double, noise=noise) if noise < own.noise / BETTER else None
