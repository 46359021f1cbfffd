"""A gradient in half precision is that of a place near by: how much it may differ because of that.

Rounding moves whatever the backward pass starts from. Where units are about to open or to shut, or
where a small difference of large numbers counts, the gradient then changes by far more than it is
rounded itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.precision import FLOAT16, eps_of
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import BEST_STEP

__all__ = ["allow_for_half"]

Vector = NDArray[np.float64]

# The number of places near θ, and the most entries of a parameter that are measured there. The
# gradient may change more than there by this factor.
PLACES_NEAR, MEASURED_NEAR = 8, 4
MORE = 2.0


def allow_for_half(tables: Sequence[MeasuredEntries], cost: Cost, pairing: Pairing) -> bool:
    """Dispute entries in half precision that are off by no more than the gradient changes near θ.

    That is known only if the cost can be evaluated in higher precision. Return True if there are
    any.
    """
    eps = max(eps_of(cost.bits), *pairing.gradient_eps)
    if eps < eps_of(FLOAT16) or cost.best.eps >= eps_of(FLOAT16):
        return False
    is_any = False
    for table in tables:
        off = table.is_off & np.isfinite(table.analytic)
        for _, part, _ in table.parts(pairing):
            if not off[part].any():
                continue
            # An interrupt leaves it open which of them are right.
            table.disputed[part] |= off[part]
            errors = np.where(off, np.abs(table.analytic - table.numerical), 0.0)[part]
            worst = np.argsort(-errors, kind="stable")[: min(MEASURED_NEAR, off[part].sum())]
            rows = part.start + worst
            changes = _changes(cost, pairing, table.numerical[rows], table.positions[rows], eps)
            bars = table.uncertainty[part] + table.rounding[part] + MORE * changes
            is_wrong = off[part] & (errors > CLEAR * bars)
            table.disputed[part] &= ~is_wrong
            is_any |= bool(np.any(off[part] & ~is_wrong))
    return is_any


def _changes(
    cost: Cost, pairing: Pairing, here: Vector, positions: NDArray[np.intp], eps: float
) -> float:
    """Return the most by which the slopes along some entries change within the rounding of θ."""
    random, theta = np.random.default_rng(0), pairing.parameters.theta().astype(np.float64)
    indices = pairing.indices_of(positions).tolist()
    most = 0.0
    for _ in range(PLACES_NEAR):
        place = theta * (1 + eps * random.uniform(-1, 1, theta.size))
        changes = np.abs([_slope(cost, place, k) for k in indices] - here)
        most = max(most, float(np.max(changes, initial=0.0, where=np.isfinite(changes))))
    return most


def _slope(cost: Cost, place: Vector, k: int) -> float:
    """Return the slope of J along one entry at another place."""
    step, there = np.zeros(place.size), max(1.0, abs(float(place[k])))
    step[k] = BEST_STEP * there
    return (cost.at(place + step) - cost.at(place - step)) / (2 * BEST_STEP * there)
