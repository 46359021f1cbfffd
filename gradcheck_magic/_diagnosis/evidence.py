"""The results of a check, from which the sentences of the report are written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import DOUBLE
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import listed

__all__ = ["NAMED_ENTRIES", "Evidence"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The largest number of entries that a sentence names.
NAMED_ENTRIES = 3


@dataclass(frozen=True)
class Evidence:
    """The results of a check, from which the sentences of the report are written.

    Attributes
    ----------
    scan : Scan or None
        The scan, if there was one.
    stopped : str
        The reason why the check was stopped before its end; empty if it was not.
    is_diagnosed : bool
        True if there is a diagnosis of what is probably wrong.
    """

    pairing: Pairing
    cost: Cost
    epsilon: float
    measured: MeasuredEntries
    comparison: Comparison
    verdict: Verdict
    scan: Scan | None = None
    stopped: str = ""
    is_diagnosed: bool = False

    @property
    def analytic(self) -> Vector:
        """The backpropagated values of the measured entries."""
        return self.measured.analytic

    @property
    def numerical(self) -> Vector:
        """The best numerical values of these entries."""
        return self.measured.numerical

    @property
    def uncertainty(self) -> Vector:
        """The error bars of the numerical values."""
        return self.measured.uncertainty

    @property
    def is_single(self) -> bool:
        """True if parameters or cost have less than double precision."""
        return self.cost.itemsize < DOUBLE

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

    def names(self, mask: Mask) -> str:
        """Return the names of the parameters in which a mask is true anywhere."""
        parts = self.measured.parts(self.pairing)
        return listed(p.name for p, part, _ in parts if mask[part].any())
