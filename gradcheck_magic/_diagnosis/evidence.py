"""Everything that a check at one point found out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import OutOfTime
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.measurement import Measurement
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import listed

__all__ = ["NAMED_ENTRIES", "Evidence"]

Mask = NDArray[np.bool_]

# The largest number of entries that a sentence names.
NAMED_ENTRIES = 3


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that a check at one point found out: the result and its sentences follow.

    Attributes
    ----------
    stop : BaseException or None
        What stopped the check, if it was stopped.
    """

    pairing: Pairing
    cost: Cost
    measurement: Measurement
    comparison: Comparison
    measured: MeasuredEntries
    diagnoses: tuple[Diagnosis, ...] = ()
    stop: BaseException | None = None

    @property
    def scan(self) -> Scan | None:
        """The scan, if there was one."""
        return self.measurement.scan

    @property
    def is_cut_short(self) -> bool:
        """True if the check was stopped before everything was measured."""
        return self.stop is not None and not self.measurement.is_done

    @property
    def stopped(self) -> str:
        """A sentence that says why everything was not measured; empty if it was."""
        if not self.is_cut_short:
            return ""
        why = "The budget was used up" if isinstance(self.stop, OutOfTime) else "Interrupted"
        return f"{why}: {self.measurement.so_far}"

    @property
    def verdict(self) -> Verdict:
        """The overall verdict."""
        verdict = self.comparison.verdict
        is_bug = verdict is Verdict.BUG
        if self.is_cut_short and not is_bug:
            return Verdict.INCONCLUSIVE
        keep_shape = all(check.keeps_shape for check in self.comparison.parameters)
        return _with_shape(verdict, keeps_shape=keep_shape)

    @property
    def parameters(self) -> tuple[ParameterCheck, ...]:
        """The result for each parameter, with what the shape of its gradient tells."""
        return tuple(
            replace(check, verdict=_with_shape(check.verdict, keeps_shape=check.keeps_shape))
            for check in self.comparison.parameters
        )

    def labels(self, mask: Mask) -> str:
        """Return the names of the first few entries where a mask is true."""
        named: list[tuple[str, int]] = []
        for parameter, part, ks in self.measured.parts(self.pairing):
            chosen = ks[mask[part]]
            if len(chosen) == parameter.size > NAMED_ENTRIES:
                named.append((f"all of `{parameter.name}`", len(chosen)))
            else:
                named += [(f"`{parameter.label(int(k))}`", 1) for k in chosen[:NAMED_ENTRIES]]
        named = named[:NAMED_ENTRIES]
        more = int(mask.sum()) - sum(count for _, count in named)
        return listed([name for name, _ in named] + [f"{more} more"] * (more > 0), code=False)

    def places(self, mask: Mask) -> str:
        """Return the names of parameters for whole parameters, and else those of entries."""
        parts = [mask[part] for _, part, _ in self.measured.parts(self.pairing)]
        are_whole = all(part.all() for part in parts if part.any())
        return self.names(mask) if are_whole else self.labels(mask)

    def names(self, mask: Mask) -> str:
        """Return the names of the parameters in which a mask is true anywhere."""
        parts = self.measured.parts(self.pairing)
        return listed(p.name for p, part, _ in parts if mask[part].any())


def _with_shape(verdict: Verdict, *, keeps_shape: bool) -> Verdict:
    """Return a verdict on values, or INSPECT if they are right, but not the shape of them."""
    return verdict if keeps_shape or verdict is not Verdict.CORRECT else Verdict.INSPECT
