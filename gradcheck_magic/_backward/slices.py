"""What a value was made from, as far as nothing says that it is right."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.nodes import (
    Node,
    adds_to_what_is_wrong,
    has_odd_name,
    is_handed_on,
    is_natural,
    is_right_in_itself,
    order,
    same_values,
)

__all__ = ["Slice", "Slices"]

# A statement goes back at most this many steps of the forward pass.
FURTHEST_USE = 3


@dataclass(frozen=True, eq=False)
class Slice:
    """What a value was made from, as far as nothing says that it is right."""

    suspects: list[Node]
    inputs: list[Node]
    found: list[Node]

    @property
    def origins(self) -> list[Origin]:
        """What has bound the suspects, in order."""
        return list(dict.fromkeys(node.bound.origin for node in self.suspects))


@dataclass(frozen=True, eq=False)
class Slices:
    """Goes back from a value through what it was made from."""

    evidence: Evidence

    def of(self, node: Node) -> Slice:
        """Return what a value was made from, up to the gradients that are right."""
        found, inputs = {node: self.evidence.arrays_of(node)}, dict[Node, None]()
        waiting = [node]
        while waiting:
            made = waiting.pop()
            arrays = found[made]
            for read in self._doubtful(made):
                if read in found or read in self.evidence.cleared:
                    continue
                if self._is_suspect(made, read, arrays):
                    is_same = read.bound.size == made.bound.size and not read.matched
                    found[read] = arrays if is_same else self.evidence.arrays_of(read)
                    waiting.append(read)
                elif taken := self._taken_by(made, read, arrays):
                    self.evidence.renamed |= set(taken)
                    found.update(dict.fromkeys(taken, frozenset[int]()))
                else:
                    inputs[read] = None
        culprits = self.evidence.culprits()
        suspects = [
            n
            for n in found
            if n in self.evidence.renamed | culprits
            or not (is_handed_on(n) or is_right_in_itself(n) or self.evidence.is_of_cost(n.bound))
        ]
        return Slice(order(suspects or [node]), list(inputs), list(found))

    def _is_suspect(self, made: Node, read: Node, arrays: AbstractSet[int]) -> bool:
        """Return True if what a value was made from may be wrong itself."""
        is_part = self.evidence.adds_part(made, read) or read in self.evidence.added
        is_whole = made in self.evidence.incomplete or not is_part
        if read.uses and is_whole and not self._may_complete(made, read):
            self.evidence.incomplete.add(read)
            return True
        is_left = read is made.before and adds_to_what_is_wrong(made)
        is_passed_on = read.bound.is_argument and any(n.is_misnamed for n in same_values(read))
        has_name = has_odd_name(read) or is_passed_on
        is_misnamed = has_name and not self._is_needed(made, read, arrays)
        return is_left or is_misnamed or read.has_no_effect or not read.is_gradient

    def _may_complete(self, made: Node, read: Node) -> bool:
        """Return True if what a part of a gradient lacks is of another kind than what it has.

        A penalty, for example, is added to the gradient by all samples, and may be missing here.
        """
        own = {array for array, _ in read.uses}
        fitting = self.evidence.arrays_of(made) | {array for array, _ in made.uses}
        if made.bound.alias_of is not None or not own <= fitting:
            return False
        forward = self.evidence.forward
        lacking = {use for array in own for use in forward.uses(array)} - read.uses
        kinds, others = (
            {forward.bound[user].statement for _, user in uses if user is not None}
            for uses in (read.uses, lacking)
        )
        return bool(others) and not kinds & others

    def _taken_by(self, made: Node, read: Node, arrays: AbstractSet[int]) -> list[Node]:
        """Return by which names the gradient by another array was taken for what is needed."""
        return self.taken_for_another(read) if self._is_other_gradient(made, read, arrays) else []

    @staticmethod
    def _doubtful(made: Node) -> list[Node]:
        """Return what a value was made from, without what is right about it."""
        if made.uses:
            # It is a part of a gradient.
            return [read for read in made.reads if read.uses]
        if made.mended_by:
            misnamed = [read for read in made.reads if read.is_misnamed]
            return [*(node for node in made.mended_by if node is not made), *misnamed]
        if made.before and is_natural(made.added):
            # What was added is right, but what was there before is not.
            return [made.before]
        return made.reads

    def taken_for_another(self, read: Node) -> list[Node]:
        """Return by which names a gradient was taken for another one; new ones, if it has any."""
        chain = [node for node in same_values(read) if node not in self.evidence.right]
        # Under its own name, it was right.
        right = [
            k for k, node in enumerate(chain) if self.evidence.arrays_of(node) & set(node.matched)
        ]
        chain = chain[: right[0]] if right else chain
        return [node for node in chain if not is_handed_on(node)] or chain[-1:]

    def _is_needed(self, made: Node, read: Node, arrays: AbstractSet[int]) -> bool:
        """Return True for the gradient by what is computed from these arrays at once."""
        consumers = {k for array in arrays for k in self.evidence.forward.consumers(array)}
        return made.bound.alias_of is None and bool(consumers & set(read.matched))

    def _was_used_before(self, made: Node, read: Node) -> bool:
        """Return True if an earlier round of a loop has rightly started from the same gradient."""
        same = self.evidence.went_right.get(made.bound.origin, ())
        rounds = [n for n in same if n.bound.callers == made.bound.callers]
        return any(set(read.matched) & set(r.matched) for n in rounds for r in n.reads)

    def _is_other_gradient(self, made: Node, read: Node, arrays: AbstractSet[int]) -> bool:
        """Return True for the gradient by something that was not computed from these arrays."""
        if made.bound.alias_of is not None:
            # Nothing was computed from it: it is taken as it is.
            return bool(arrays and read.matched) and not arrays & set(read.matched)
        if self._was_used_before(made, read):
            return True
        consumers, last = set[int](), set(arrays)
        # A statement that goes right elsewhere needs the gradient of what comes next.
        for _ in range(1 if made.bound.origin in self.evidence.went_right else FURTHEST_USE):
            last = {k for array in last for k in self.evidence.forward.consumers(array)} - consumers
            consumers |= last
        others = [other for other in made.reads if other is not read]
        if any(consumers & set(other.matched) for other in others):
            # It has what it needs, and something else.
            return False
        return bool(consumers and read.matched) and not (consumers | arrays) & set(read.matched)
