"""Which of several statements is the most likely to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.nodes import (
    Node,
    is_copy,
    is_renamed,
)
from gradcheck_magic._backward.statements import Statement

__all__ = ["Ranks"]


@dataclass(frozen=True, eq=False)
class Ranks:
    """Puts the statements first that are the most likely to be wrong."""

    evidence: Evidence

    def ranked(self, suspects: Sequence[Node], common: Sequence[Origin]) -> tuple[Statement, ...]:
        """Return the statements that may be to blame, the most likely first.

        Those are in common to what is wrong; then come loops and calls that may be wrong instead.
        """
        # What is missing in a sum is missing where it is added up, where it begins, or is renamed.
        incomplete = [n for n in suspects if n in self.evidence.incomplete]
        incomplete.sort(key=lambda n: (not _adds_up(n), not n.bound.is_name))
        sums = [n.bound.origin for n in incomplete]
        likely = [*sums, *(n.bound.origin for n in reversed(suspects))]
        levels = self._levels(suspects) | dict.fromkeys(sums, 0)
        ranked = sorted((o for o in dict.fromkeys(likely) if o in common), key=levels.__getitem__)
        concerned = [n for n in suspects if n.bound.origin in common]
        foremost = [n for n in concerned if n.bound.origin in ranked[:1] and not n.is_gradient]
        special = [caller for node in foremost for caller in self._special_callers(node)]
        callers = [caller for node in concerned for caller in self._callers(node)]
        loops = [o[0].loop for o in common if likely.count(o) > 1]
        missing = [o[0].loop for o in sums if sums.count(o) > 1]
        # It may have been left out where a part of it was returned, last of all.
        parts = {n.bound.index for n in incomplete}
        names = [n.bound for n in reversed(self.evidence.nodes) if n.bound.alias_of in parts]
        passed_on = [statement for each in names for statement in each.passed_on]
        statements = [*missing, *passed_on, *special, *(o[0] for o in ranked), *callers, *loops]
        return tuple(dict.fromkeys(filter(None, statements)))

    def _levels(self, suspects: Sequence[Node]) -> dict[Origin, int]:
        """Return how unlikely it is that each is wrong: 0 if something speaks for it."""
        culprits = self.evidence.culprits() | self.evidence.renamed
        culprits |= {n for n in suspects if n.has_no_effect or n.bound.overwrites or n.is_misnamed}
        regularizing = self.evidence.regularizing
        same = {n for n in suspects if is_copy(n) or n.is_known or n in regularizing}
        others = {n.bound.origin for n in suspects if n not in same}
        made = {n for n in suspects if not (n.is_gradient or is_copy(n))}
        levels = {n.bound.origin: 1 for n in suspects}
        # What only multiplies is simpler than what it multiplies, and what changes than what makes.
        simple = [n for n in suspects if n.bound.statement.is_product or n.before in made]
        # What goes right elsewhere is less likely to be wrong here.
        cleared = [n for n in self.evidence.cleared if not n.is_gradient]
        unchanged = [n for n in same if n.bound.origin not in others]
        renamed = [n for n in suspects if is_renamed(n)]
        operands = [n for n in suspects if n.is_operand or n.bound.value.dtype.kind != "f"]
        each_level = {2: simple, 3: [*cleared, *unchanged], 4: renamed, 5: operands}
        for level, nodes in each_level.items():
            levels |= {n.bound.origin: level for n in nodes}
        return levels | {n.bound.origin: 0 for n in suspects if n in culprits}

    def _special_callers(self, node: Node) -> list[Statement]:
        """Return the calls that may be wrong, as the same statement goes right in other calls."""
        same = self.evidence.went_right.get(node.bound.origin, [])
        others = {caller for n in same for caller in n.bound.callers}
        return [each for each in reversed(node.bound.callers) if same and each not in others]

    def _callers(self, node: Node) -> list[Statement]:
        """Return the calls that may be wrong: others go right, or they depend on a condition."""
        right = {
            c for nodes in self.evidence.went_right.values() for n in nodes for c in n.bound.callers
        }
        callers = node.bound.callers
        found = self._special_callers(node)
        for above, caller in zip((None, *callers), callers, strict=False):
            if caller.in_branch and caller not in right:
                found += [caller, *filter(None, [above])]
        return found


def _adds_up(node: Node) -> bool:
    """Return True if parts of a gradient are added up."""
    terms = [read for read in node.reads if read.uses and node.adds(read)]
    return node.bound.alias_of is None and len(terms) > 1
