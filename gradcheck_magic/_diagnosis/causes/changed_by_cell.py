"""STALE: the gradient of the parameters as they were before the cell that makes the check.

A cell that computes the gradient and then updates the parameters, in place or with new arrays,
leaves a gradient that is right for the old ones. The magic knows these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.gradient_of_other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["ChangedByCell"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ChangedByCell(Finding):
    """Gradients that were correct before the cell has changed some parameters."""

    cause = Cause.STALE

    # The names of the parameters that the cell has changed.
    changed: list[str]

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the gradient of the parameters before the cell."""
        cost, fitting, before = case.cost, case.fitting, case.before
        if cost is None or before is None or not all(m.is_finite for m in fitting):
            return []
        function = NoisyFunction(cost.at, cost.best.noise)
        if not fitting or not is_gradient_of(function, before, fitting):
            return []
        parameters = case.pairing.parameters.arrays
        moved = before != case.theta
        changed = [p.name for p in parameters if np.any(moved[p.start : p.stop])]
        return [cls(tuple(m for m in fitting if m.is_wrong), changed=changed)]

    def sentence(self, case: Case) -> str:
        """Return what was changed, and what to do about it."""
        belong = "belongs" if len(self.mismatches) == 1 else "belong"
        return (
            f"{self.gradients} {belong} to the parameters before this cell: there, the gradient is "
            f"correct, in several random directions. The cell has changed {listed(self.changed)}: "
            "compute the gradient after that."
        )
