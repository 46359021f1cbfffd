"""The possible causes of a wrong gradient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Cause", "Details", "Diagnosis"]

# Numbers, names and indices that `json` can represent.
Details = dict[str, Any]


class Cause(Enum):
    """The cause of a wrong gradient; the value describes it."""

    SIGN = "the opposite sign"
    SCALE = "a constant factor"
    CONJUGATE = "the complex conjugate"
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
    """The diagnosis of a wrong gradient: its cause, its place, and what to look at.

    Attributes
    ----------
    cause : Cause
        The cause that the numbers support.
    names : tuple of str
        The affected parameters.
    sentence : str
        The diagnosis in words: what is wrong, where, how certain it is, and what to look at.
    details : dict
        The evidence, as `json` can represent it: numbers such as ``factor``, ``strength`` (the
        excess of a gradient over the correct one, in units of the parameter), ``learning_rate``
        and ``cosine``; ``indices`` or ``sides`` of the affected entries, or their ``dtype``;
        ``axes`` and ``how`` they were mixed up; the ``array`` that holds the factors; ``owners``,
        ``after`` and ``before``, which are names of parameters.
    """

    cause: Cause
    names: tuple[str, ...]
    sentence: str
    details: Details
