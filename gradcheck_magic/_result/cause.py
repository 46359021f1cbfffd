"""The causes that a wrong gradient may have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Cause", "Details", "Diagnosis"]

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


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, where, and what to look at.

    Attributes
    ----------
    cause : Cause
        What the numbers support.
    names : tuple of str
        The parameters concerned.
    sentence : str
        For a person: what, where, how sure, what to look at.
    details : dict
        The evidence, as `json` can hold it: numbers such as ``factor``, ``strength`` (the excess of
        a gradient over the right one, in units of the parameter), ``learning_rate`` and ``cosine``;
        ``indices`` or ``sides`` of the entries concerned, ``axes`` and ``how`` they were mixed up;
        ``owners``, ``after`` and ``before``, names of parameters.
    """

    cause: Cause
    names: tuple[str, ...]
    sentence: str
    details: Details
