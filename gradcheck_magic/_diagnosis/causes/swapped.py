"""SWAPPED: gradients that belong to other parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from gradcheck_magic._diagnosis.finding import TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import COINCIDENCE, TOLERANCE, Mismatch
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.cause import Cause

__all__ = ["Swapped", "may_be_swapped"]

# If more parameters than this may own a gradient, going by its first entry, the rest is not tried.
MOST_OWNERS = 32


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
        first_values, of_no_cause = _FirstValues(case.mismatches), set(case.open)
        for m in weak:
            others = islice(first_values.may_own(m), MOST_OWNERS)
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
            and not _is_bias_of_wrong_weights(group, case, of_no_cause)
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


def may_be_swapped(mismatches: Sequence[Mismatch]) -> bool:
    """Return True if two gradients fit each other's parameter, though it may be by chance."""
    return any(
        len(one.sample) == len(two.sample)
        and one.sample.chance(two.sample.numerical, two.sample.bar) < 0
        and two.sample.chance(one.sample.numerical, one.sample.bar) < 0
        for one, two in combinations(mismatches, 2)
    )


class _FirstValues:
    """The size and the first numerical value of each parameter, and its error bar."""

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        self._mismatches = [m for m in mismatches if m.size]
        samples = [m.sample for m in self._mismatches]
        self._sizes = np.array([(m.size, len(m.sample)) for m in self._mismatches])
        self._values = np.array([sample.numerical[0] for sample in samples])
        self._allowed = np.array([sample.bar[0] for sample in samples])
        self._allowed += TOLERANCE * np.abs(self._values)

    def may_own(self, mismatch: Mismatch) -> Iterator[Mismatch]:
        """Yield the others whose size and first value agree: a fast test that few pass."""
        sample = mismatch.sample
        allowed = CLEAR * (self._allowed + sample.rounding[0])
        agrees = ~(np.abs(sample.analytic[0] - self._values) > allowed)
        agrees &= (self._sizes == (mismatch.size, len(sample))).all(axis=1)
        found = (self._mismatches[k] for k in np.flatnonzero(agrees))
        return (other for other in found if other is not mismatch)


def _groups(owners: Mapping[Mismatch, Mismatch]) -> list[list[Mismatch]]:
    """Group the parameters that exchange gradients, each group in the order of the parameters."""
    group_of = {mismatch: [mismatch] for mismatch in owners}
    for mismatch, owner in owners.items():
        if owner in owners and group_of[owner] is not group_of[mismatch]:
            few, many = sorted((group_of[owner], group_of[mismatch]), key=len)
            many += few
            group_of.update(dict.fromkeys(few, many))
    # A dict keeps the order in which the groups are first met.
    groups: dict[int, list[Mismatch]] = {}
    for mismatch, group in group_of.items():
        groups.setdefault(id(group), []).append(mismatch)
    return list(groups.values())


def _is_bias_of_wrong_weights(
    group: Sequence[Mismatch], case: Case, of_no_cause: Collection[Mismatch]
) -> bool:
    """Return True for a bias alone whose weights are also wrong, without a cause.

    Its gradient then equals that of another layer's bias because the array that both sum over
    passes unchanged from one layer to the other.
    """
    bias, *others = group
    return not others and any(m in of_no_cause for m in case.layers.weights_of(bias))
