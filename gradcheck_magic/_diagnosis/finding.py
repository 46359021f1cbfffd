"""A cause that was found, and the parameters that it explains."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._result.cause import Cause, Details

__all__ = ["Finding"]


@dataclass(frozen=True, eq=False)
class Finding:
    """A cause, and the parameters that it explains.

    Attributes
    ----------
    cause : Cause
        The cause that the numbers support.
    mismatches : tuple of Mismatch
        The parameters that it explains.
    details : dict
        The evidence.
    firm : bool
        True if the cause explains every entry. If False, it only says where these parameters are
        wrong, and an error earlier in the backward pass may explain more.
    """

    cause: Cause
    mismatches: tuple[Mismatch, ...]
    details: Details
    firm: bool = True
