"""SWAPPED: gradients that belong to other parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradcheck_magic._diagnosis.finding import TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import COINCIDENCE, TOLERANCE, Mismatch
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.cause import Cause

__all__ = ["Swapped"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Swapped(Finding):
    """Gradients that belong to other parameters; `owners` are the names of these, one for each."""

    cause = Cause.SWAPPED

    owners: list[str]

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the gradients of others among those that nothing simpler explains."""
        weak = [m for f in case.findings if not f.firm for m in f.mismatches]
        found = {m: owner for m in weak if (owner := _owner(m, case.mismatches))}
        owners = {m: owner for m, (owner, _) in found.items()}
        findings: list[Finding] = []
        for group in _groups(owners):
            entries = sum(m.size for m in group)
            chance = sum(found[m][1] for m in group)
            is_telling = entries >= TELLING_ENTRIES and chance <= COINCIDENCE
            if is_telling and not _is_bias_of_wrong_weights(group, case):
                findings.append(cls(tuple(group), owners=[owners[m].name for m in group]))
        return findings

    def sentence(self, case: Case) -> str:
        """Return whose gradients they are."""
        if len(self.mismatches) == 1:
            return (
                f"{self.gradients} is the numerical gradient of `{self.owners[0]}`, {self.extent}. "
                f"Look at the line that assigns {self.gradients}."
            )
        look = "Look at the order in which the gradients are returned or named."
        names = [m.name for m in self.mismatches]
        if len(names) == 2 and self.owners == names[::-1]:  # noqa: PLR2004 (a pair)
            return (
                f"{self.gradients} are swapped: each is the numerical gradient of the other's "
                f"parameter, {self.extent}. {look}"
            )
        each = "; ".join(
            f"`{m.gradient_name}` is the gradient of `{owner}`"
            for m, owner in zip(self.mismatches, self.owners, strict=True)
        )
        return f"{self.gradients} are in the wrong order, {self.extent}: {each}. {look}"


def _owner(mismatch: Mismatch, among: Sequence[Mismatch]) -> tuple[Mismatch, float] | None:
    """Return the parameter whose numerical gradient this is, and log₁₀ of a chance agreement."""
    others = [m for m in among if m is not mismatch and _may_own(m, mismatch)]
    chances = {m: mismatch.sample.chance(m.sample.numerical, m.sample.bar) for m in others}
    best = min(chances, key=chances.__getitem__, default=None)
    return (best, chances[best]) if best and chances[best] else None


def _may_own(owner: Mismatch, mismatch: Mismatch) -> bool:
    """Return True if size and first entry agree: a fast test that few parameters pass."""
    if owner.size != mismatch.size or len(owner.sample) != len(mismatch.sample):
        return False
    one, other = mismatch.sample, owner.sample
    allowed = other.bar[0] + one.rounding[0] + TOLERANCE * abs(other.numerical[0])
    return not abs(one.analytic[0] - other.numerical[0]) > CLEAR * allowed


def _groups(owners: Mapping[Mismatch, Mismatch]) -> list[list[Mismatch]]:
    """Group the parameters that exchange gradients, each group in the order of the parameters."""
    groups: list[list[Mismatch]] = []
    for mismatch, owner in owners.items():
        linked = [g for g in groups if owner in g or any(owners[m] is mismatch for m in g)]
        merged = [*itertools.chain.from_iterable(linked), mismatch]
        groups = [group for group in groups if group not in linked] + [merged]
    return groups


def _is_bias_of_wrong_weights(group: Sequence[Mismatch], case: Case) -> bool:
    """Return True for a bias alone whose weights are also wrong, without a cause.

    Its gradient then equals that of another layer's bias because the array that both sum over
    passes unchanged from one layer to the other.
    """
    bias, *others = group
    return not others and any(m in case.open for m in case.layers.weights_of(bias))
