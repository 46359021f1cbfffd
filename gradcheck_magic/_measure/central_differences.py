"""The textbook's pass: one central difference (J(θ+ε) − J(θ−ε)) / 2ε for each entry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._inputs.precision import BFLOAT16, DOUBLE, FLOAT16, SINGLE

__all__ = [
    "CLEAR",
    "TEXTBOOK_STEPS",
    "difference_quotients",
    "textbook_batch",
    "textbook_differences",
]

Vector = NDArray[np.float64]

# The textbook step for numbers of so many significant bits, in the units of θ. Double precision
# follows the textbook. The others round θ and J so coarsely that only the step with the least total
# error, about (3 eps)^(1/3), is of use.
TEXTBOOK_STEPS = {DOUBLE: 1e-7, SINGLE: 5e-3, FLOAT16: 1e-1, BFLOAT16: 3e-1}


# A disagreement counts from this many error bars on; between one and this it remains open.
CLEAR = 2.0


def textbook_batch(
    cost: Cost, parameter: Parameter, ks: Sequence[int], epsilon: float
) -> EntryBatch:
    """Return the request for J on both sides of θ, for some entries of a parameter."""
    # The user should see an error that occurs this close to θ. With a larger step, the error
    # may be our own doing.
    quiet = epsilon > TEXTBOOK_STEPS[DOUBLE]
    return EntryBatch(cost.position(parameter), ks, epsilon, quiet)


def difference_quotients(plus: Vector, minus: Vector, epsilon: float | Vector) -> Vector:
    """Return (J(θ+ε) − J(θ−ε)) / 2ε; nan where J is nan."""
    with np.errstate(invalid="ignore", over="ignore"):  # inf − inf, or almost inf
        return (plus - minus) / (2 * epsilon)


def textbook_differences(cost: Cost, parameter: Parameter, epsilon: float) -> Vector:
    """Return the central difference for every entry of a parameter, in C order."""
    batch = textbook_batch(cost, parameter, range(parameter.size), epsilon)
    return difference_quotients(*cost.pairs(cost.own, batch), epsilon)
