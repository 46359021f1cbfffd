"""All that a check found out, for whoever puts it into words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import DOUBLE
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.entries import MeasuredEntries
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import listed

__all__ = ["NAMED_ENTRIES", "Evidence"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Entries named in a sentence, at most.
NAMED_ENTRIES = 3


@dataclass(frozen=True)
class Evidence:
    """All that a check found out, for whoever puts it into words.

    Attributes
    ----------
    scan : Scan or None
        What it found, where there was one.
    stopped : str
        Why the check was stopped before its end; empty, if it was not.
    is_diagnosed : bool
        Whether it is said what is probably wrong.
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
        """The backpropagated values of the entries measured."""
        return self.measured.analytic

    @property
    def numerical(self) -> Vector:
        """The best numerical values known of them."""
        return self.measured.numerical

    @property
    def uncertainty(self) -> Vector:
        """The error bars of these."""
        return self.measured.uncertainty

    @property
    def is_single(self) -> bool:
        """Whether parameters or cost are in less than double precision."""
        return self.cost.itemsize < DOUBLE

    def labels(self, mask: Mask) -> str:
        """Name the entries where a mask is true, the first few of them."""
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
        """Name the parameters in which a mask is true anywhere."""
        parts = self.measured.parts(self.pairing)
        return listed(p.name for p, part, _ in parts if mask[part].any())
