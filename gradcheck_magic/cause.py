"""The causes that a wrong gradient may have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from gradcheck_magic.mismatch import Mismatch

__all__ = ["Cause", "Details", "Finding"]

# Numbers, names and indices, as `json` can hold them.
Details = dict[str, Any]


class Cause(Enum):
    """What is wrong with a gradient; the value describes it."""

    SIGN = "the opposite sign"
    SCALE = "a constant factor"
    TRANSPOSED = "the right values in other places"
    SWAPPED = "the gradient of another parameter"
    ZERO = "zero where the cost changes"
    REGULARIZATION = "a term in proportion to the parameter, missing or too many"
    BROADCAST = "(n,) against (n, 1), or a sum over the wrong axis"
    SLICE = "a row, a column or a block"
    ENTRIES = "some entries wrong, the others right"
    MASK = "not zero where an activation lets nothing through"
    UPSTREAM = "everything before one place in the backward pass"
    STALE = "the gradient of parameters that have been updated since"
    COST_IGNORES_PARAMETERS = "not zero where the cost does not change"
    UNKNOWN = "no simple cause"


@dataclass(frozen=True, eq=False)
class Finding:
    """A cause, and what it explains.

    Attributes
    ----------
    cause : Cause
        What the numbers support.
    mismatches : tuple of Mismatch
        The parameters that it explains.
    details : dict
        The evidence.
    firm : bool
        Whether it explains every entry. If not, it says where these parameters are wrong, and
        something before them in the backward pass may explain more.
    """

    cause: Cause
    mismatches: tuple[Mismatch, ...]
    details: Details
    firm: bool = True
