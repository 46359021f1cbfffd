"""UPSTREAM: everything is wrong before one place in the backward pass, and right after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradcheck_magic._diagnosis.causes.ignored import Ignored
from gradcheck_magic._diagnosis.causes.mask import Mask
from gradcheck_magic._diagnosis.causes.slice import Slice
from gradcheck_magic._diagnosis.causes.swapped import may_be_swapped
from gradcheck_magic._diagnosis.causes.unknown import NEARLY, NearlyRight, Unknown
from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.layers import boundary, is_of_norm
from gradcheck_magic._diagnosis.mismatch import Mismatch, norm
from gradcheck_magic._diagnosis.phrases import gradients, signed
from gradcheck_magic._result.cause import Cause, Details

__all__ = ["Upstream"]

# A larger cosine would be rounded to 1.00.
COSINE_ALIKE = 0.99
# Factors are alike if none is larger than another by more than this factor.
ALIKE = 1.5
# One mistake hardly makes some gradients wrong by so many times as much as others.
UNEQUAL = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Upstream(Finding):
    """An error that enters at one place in the backward pass; see `Boundary`."""

    cause = Cause.UPSTREAM

    after: str
    before: str
    layer: int | None
    right_after: bool
    is_numbered: bool
    # How far each gradient is from the correct one.
    evidence: list[Details]

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the place that explains the findings without a simple cause."""
        weak = [f for f in case.findings if f.may_come_from_upstream(case)]
        place = boundary(case.layers, [m for f in weak for m in f.mismatches])
        if place is None or not any(m.is_bug for m in place.explained):
            return []
        explained = set(place.explained)
        absorbed = [f for f in weak if f.mismatches[0] in explained]
        are_gates = all(isinstance(f, Slice) and f.is_gate for f in absorbed)
        if are_gates or all(f.firm for f in absorbed):
            return []
        names: Details = {"after": place.after_name, "before": place.before_name}
        known = [Unknown.of(mismatch) for mismatch in place.explained]
        evidence = [{"name": each.mismatches[0].name, **each.details} for each in known]
        found: Finding = cls(
            place.explained,
            **names,
            layer=place.layer,
            right_after=place.is_right_after,
            is_numbered=place.is_numbered,
            evidence=evidence,
        )
        if _are_unequal(place.explained) or may_be_swapped(place.explained):
            return []
        if not place.after and _have_other_factors(known):
            return []
        if not place.after and all(each.is_nearly_right for each in known):
            found = NearlyRight(place.explained, evidence=evidence)
        for mask in absorbed:
            if isinstance(mask, Mask) and mask.mismatches[0] is place.before:
                found = replace(mask, mismatches=place.explained, **names)
        # If the cost does not change with a parameter, that holds whatever else is wrong.
        return [*(f for f in absorbed if isinstance(f, Ignored)), found]

    def sentence(self, case: Case) -> str:
        """Return the place, and what is computed there."""
        wrong = f"{gradients(self.mismatches[::-1])} are wrong"
        spread = _cosines([known["cosine"] for known in self.evidence if "cosine" in known])
        if not self.after:
            what, output = (
                "The error enters",
                "the derivative of the cost with respect to the output",
            )
            if not self.is_numbered:
                what = "If it is a single error, it enters"
            if case.cost is not None and case.cost.has_upstream:
                output = "the derivative of the output itself, such as that of an activation,"
            return (
                f"{what} at the start of the backward pass: {wrong}. No simpler cause "
                f"fits{spread}. Look at {output} and at the values kept from the forward pass, and "
                f"check that the gradient and `{case.cost_name}` use the same data and parameters."
            )
        fits = "No simpler cause fits"
        if self.right_after:
            fits = "The layers closer to the output are right, and no simpler cause fits"
        enters = "The error enters"
        if not self.is_numbered:
            enters = "If the parameters are in order from input to output, the error enters"
        return (
            f"{enters} the backward pass between `{self.after}` and `{self.before}`: {wrong}. "
            f"{fits}{spread}. Look at {self._where_to_look}."
        )

    @property
    def _where_to_look(self) -> str:
        if is_of_norm(self.after) and not is_of_norm(self.before):
            return (
                "how the gradient passes through the normalisation between them, whose mean and "
                "variance also depend on its input"
            )
        if self.layer is None:
            return (
                "the derivative of the activation between them, and at how the gradient passes "
                "from one to the other"
            )
        return (
            f"the derivative of the activation of layer {self.layer} and at how `dA{self.layer}` "
            "is computed"
        )


def _are_unequal(mismatches: Sequence[Mismatch]) -> bool:
    """Return True if some gradients are off by next to nothing, and others by far more.

    What is next to nothing may be what a solver leaves.
    """
    errors = [
        norm(m.sample.off[m.wrong]) / max(norm(m.sample.analytic), norm(m.sample.numerical), 1e-300)
        for m in mismatches
        if m.is_wrong and m.is_finite
    ]
    return bool(errors) and max(errors) > UNEQUAL * min(errors)


def _have_other_factors(known: Sequence[Unknown]) -> bool:
    """Return True if all gradients are nearly multiples, with factors that are not alike.

    What enters at the start of the backward pass would give them the same.
    """
    # A single number has no direction.
    arrays = [each for each in known if each.mismatches[0].size > 1]
    factors = sorted(each.ratio * math.copysign(1.0, each.cosine) for each in arrays)
    nearly = all(abs(each.cosine) > NEARLY for each in arrays)
    return nearly and bool(arrays) and not 1 / ALIKE <= factors[0] / factors[-1] <= ALIKE


def _cosines(cosines: Sequence[float]) -> str:
    if not cosines:
        return ""
    if min(cosines) > COSINE_ALIKE:
        return f" (cosine similarity above {COSINE_ALIKE})"
    least, largest = (signed(f"{cosine:z.2f}") for cosine in (min(cosines), max(cosines)))
    return f" (cosine similarity {least}" + (f" to {largest})" if least != largest else ")")
