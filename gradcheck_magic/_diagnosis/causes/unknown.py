"""UNKNOWN: a gradient is wrong, and no simple cause explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gradcheck_magic._diagnosis.finding import ANY_NUMBER, Case, Finding
from gradcheck_magic._diagnosis.layers import is_of_norm
from gradcheck_magic._diagnosis.mismatch import Mismatch, norm
from gradcheck_magic._diagnosis.phrases import are, at_kinks, gradients, n_of, signed
from gradcheck_magic._result.cause import Cause, Details

__all__ = ["NEARLY", "FlatHere", "NearlyRight", "Unknown"]

# A smaller relative difference is given as a percentage: cosine and length ratio would round to 1.
SMALL_DIFFERENCE = 0.1
# A cosine closer to 1 or −1 would be rounded to it.
ALIGNED = 5e-4
# A gradient is nearly right if its cosine with the numerical one exceeds this in every parameter.
NEARLY = 0.98


@dataclass(frozen=True, eq=False, kw_only=True)
class Unknown(Finding):
    """A gradient without a simple cause."""

    cause = Cause.UNKNOWN
    is_open: ClassVar[bool] = True

    n_wrong: int
    # Cosine and length ratio of the two gradients, if neither is zero.
    cosine: float = 0.0
    ratio: float = 0.0
    firm: bool = False

    @classmethod
    def of(cls, mismatch: Mismatch) -> Self:
        """Compare the two gradients of one parameter."""
        sample, n_wrong = mismatch.sample, int(mismatch.wrong.sum())
        known = sample.known & np.isfinite(sample.analytic)
        analytic, numerical = sample.analytic[known], sample.numerical[known]
        lengths = norm(analytic), norm(numerical)
        if not all(lengths):
            return cls((mismatch,), n_wrong=n_wrong)
        cosine = float((analytic / lengths[0]) @ (numerical / lengths[1]))
        return cls((mismatch,), n_wrong=n_wrong, cosine=cosine, ratio=lengths[0] / lengths[1])

    @property
    def is_nearly_right(self) -> bool:
        """True if direction and length are nearly right; a single number has no direction."""
        is_one = self.mismatches[0].size == 1
        return not is_one and self.cosine > NEARLY and 0.5 < self.ratio < 2  # noqa: PLR2004

    def sentence(self, case: Case) -> str:
        """Return how far the gradient is from the correct one."""
        (mismatch,), known = self.mismatches, ""
        if self.ratio:
            if mismatch.size == 1:
                factor = signed(f"{self.ratio * np.sign(self.cosine):.4g}")
                return (
                    f"{self.gradients} is {factor} times the numerical value; a single entry "
                    "cannot show why."
                )
            known = f": {compared(self.cosine, self.ratio)}"
        pattern = f", with no simple pattern{known}"
        if self.n_wrong < ANY_NUMBER and not mismatch.is_judged:
            pattern = "; too few were measured to show a pattern"
        return (
            f"{self.gradients} is wrong in {n_of(self.n_wrong, mismatch)}{pattern}."
            f"{at_kinks(mismatch) or _peers_hint(mismatch, case)}"
        )


def compared(cosine: float, ratio: float) -> str:
    """Say how far a gradient is from the numerical one, given their cosine and length ratio."""
    # The law of cosines, without squares: a ratio may be as large as a float can be.
    off = math.hypot(ratio - 1, math.sqrt(ratio) * math.sqrt(2 * (1 - min(abs(cosine), 1.0))))
    if off < SMALL_DIFFERENCE:
        percent = f"by {100 * off:.2g} %"
        if cosine < 0:
            return f"it differs from −1 times the numerical gradient {percent}"
        return f"it differs from the numerical gradient {percent}"
    long = f"{ratio:.3g} times as long"
    if abs(cosine) > 1 - ALIGNED:
        direction = "the same direction as" if cosine > 0 else "the opposite direction of"
        return f"it has nearly {direction} the numerical gradient, and is {long}"
    if float(f"{ratio:.3g}") == 1:
        long = "just as long"
    return (
        f"its cosine similarity with the numerical gradient is {signed(f'{cosine:z.3f}')}, and it "
        f"is {long}"
    )


def _peers_hint(mismatch: Mismatch, case: Case) -> str:
    """Return where to look if everything else in the layer is correct."""
    beside = case.layers.beside(mismatch)
    peers = [m for m in beside if m.is_right]
    if not peers or any(m.is_wrong for m in beside):
        return ""
    normalised = all(is_of_norm(m.name) for m in peers) and not is_of_norm(mismatch.name)
    also = ", and at the normalisation after it" if normalised else ""
    return (
        f" {gradients(peers)}, in the same layer, {are(peers)} correct: look at the line that "
        f"computes `{mismatch.gradient_name}`{also}."
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class FlatHere(Finding):
    """A gradient where the cost is flat, but not everywhere; `flat_to` is its slope's error bar."""

    cause = Cause.UNKNOWN

    flat_to: float
    firm: bool = False

    def sentence(self, case: Case) -> str:
        """Return what to do about it."""
        return (
            f"{self.gradients} is not zero, but the slope of the cost is, to within "
            f"{self.flat_to:.0e}: everything that {self.names} feeds is switched off, "
            "or it is at a minimum. Check at another point as well."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class NearlyRight(Finding):
    """All gradients are nearly right, so the point or the data differ, not a formula."""

    cause = Cause.UNKNOWN

    evidence: list[Details]
    firm: bool = False

    def sentence(self, case: Case) -> str:
        """Return how nearly right they are."""
        least = min(known["cosine"] for known in self.evidence)
        return (
            f"{self.gradients} are wrong, but nearly right (cosine similarity at least "
            f"{least:.4f}), with no simple pattern. Check that the gradient was computed with the "
            f"data and the parameters that `{case.cost_name}` uses now (were they updated since?), "
            "and look at the derivative of the cost with respect to the output."
        )
