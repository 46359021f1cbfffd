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
        # A gradient of zero, and one where the cost is flat, may be the halves of a swap.
        zero = {Cause.ZERO, Cause.COST_IGNORES_PARAMETERS}
        weak = [m for f in case.findings if not f.firm or f.cause in zero for m in f.mismatches]
        owners: dict[Mismatch, Mismatch] = {}
        chance: dict[Mismatch, float] = {}
        for m in weak:
            others = [o for o in case.mismatches if o is not m and _may_own(o, m)]
            chances = {o: m.sample.chance(o.sample.numerical, o.sample.bar) for o in others}
            owner = min(chances, key=chances.__getitem__, default=m)
            if chances.get(owner):
                owners[m], chance[m] = owner, chances[owner]
        return [
            cls(tuple(group), owners=[owners[m].name for m in group])
            for group in _groups(owners)
            if sum(m.size for m in group) >= TELLING_ENTRIES
            and sum(chance[m] for m in group) <= COINCIDENCE
            # A zero gradient fits any parameter without a gradient, so one of them is not zero.
            and any(m.sample.analytic.any() for m in group)
            and not _is_bias_of_wrong_weights(group, case)
        ]

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
