"""ZERO: a gradient that is zero although the cost changes."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_magic._diagnosis.causes.scale import Multiple
from gradcheck_magic._diagnosis.finding import Case
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._result.cause import Cause

__all__ = ["Zero"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Zero(Multiple):
    """A gradient that is zero everywhere: 0 times the correct one."""

    cause = Cause.ZERO

    factor: float = 0.0
    factor_uncertainty: float = 0.0

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Zero | None:
        """Recognise a gradient without any value beyond the rounding of a zero."""
        return cls((mismatch,)) if mismatch.is_zero else None

    def sentence(self, case: Case) -> str:
        """Return where the gradient should have been assigned."""
        it_was = "it was" if len(self.mismatches) == 1 else "they were"
        return (
            f"{self.gradients} {self.are} zero everywhere{self.exempt}, but the cost changes with "
            f"{self.names}: {it_was} never assigned, or the backward pass leaves out a path. "
            f"{self.where_to_look}"
        )
