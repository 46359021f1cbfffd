"""Which statement, written a little differently, would make a wrong value right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.again import Again
from gradcheck_magic._backward.match import Backward
from gradcheck_magic._backward.nodes import Node, needed, order

__all__ = ["LARGEST_MENDED", "Rewriter"]

Array = NDArray[Any]

# Of statements that make larger arrays, nothing is looked for that would mend them.
LARGEST_MENDED = 10_000
# At most so many statements are evaluated to find it, and results compared, in about two seconds.
MOST_EVALUATED = 100_000


@dataclass(eq=False)
class Rewriter:
    """Evaluates statements written differently, and what was made from them.

    Attributes
    ----------
    cleared : set of Node
        What is known to be right.
    """

    backward: Backward
    cleared: AbstractSet[Node]
    _evaluable: dict[Node, Again | None] = field(default_factory=dict)
    _n_left: int = MOST_EVALUATED

    def culprits(self, node: Node, is_right: Callable[[Array], bool]) -> list[Node]:
        """Return what would make a value right, flat, if a slip in the statement was mended."""
        made_from = [n for n in order(needed({node})) if n is not node]
        renamed = [
            r for n in (*made_from, node) for r in n.reads if r.is_gradient and r.is_misnamed
        ]
        between = order({*made_from, *renamed})
        # What is a value of the forward pass is right.
        right = self.cleared | {n for n in between if n.is_known}
        suspects = [n for n in (node, *reversed(between)) if n not in right]
        # What is only written differently comes before what is missing.
        for is_missing in (False, True):
            found = []
            for each in suspects:
                values = self._without_slips(each, node, between, is_missing=is_missing)
                found += [each] if any(map(is_right, values)) else []
            if self._n_left < 0:
                break
            if found and is_missing:
                # A slope is made first, and a gradient comes to it later, unless it has its name.
                return [n for n in reversed(found) if n.is_amiss][:1] or found[:1]
            if found:
                return found
        return []

    def _without_slips(
        self, slip: Node, node: Node, between: Sequence[Node], *, is_missing: bool
    ) -> Iterator[Array]:
        """Yield what a value would be, flat, if a statement before it had no slip in it."""
        again = self._again(slip)
        later = self._made_from(slip, node, between)
        if again is None or later is None or slip.bound.size > LARGEST_MENDED:
            return
        spares = self._gradients_at_hand(slip) if is_missing else None
        for value in again.mended(spares):
            self._n_left -= 2 + len(later)
            if self._n_left < 0:
                return
            changed = {slip.bound.index: value}
            for each in later:
                self._follow(each, changed)
            result = changed.get(node.bound.index)
            if result is not None and result.size == node.bound.size and np.isfinite(result).all():
                yield result.reshape(-1)

    def _made_from(self, slip: Node, node: Node, between: Sequence[Node]) -> list[Node] | None:
        """Return what was made from a value, up to another one; None if that was not."""
        made = {slip.bound.index: slip}
        for each in (*between, node):
            bound = each.bound
            reads = {*bound.reads, bound.alias_of, each.before and each.before.bound.index}
            if bound.index > slip.bound.index and not reads.isdisjoint(made):
                made[bound.index] = each
        return list(made.values())[1:] if node.bound.index in made else None

    def _follow(self, node: Node, changed: dict[int, Array]) -> None:
        """Note what a value would be if what it was made from was changed."""
        bound = node.bound
        if bound.alias_of in changed and not bound.is_part:
            changed[bound.index] = changed[bound.alias_of]
            return
        read = [k for k in bound.reads if k in changed]
        again = self._again(node) if read else None
        if again is None or any(k not in again.read for k in read):
            return
        others = {again.read[k]: changed[k] for k in read}
        if node.before is not None and node.before.bound.index in changed:
            others |= dict.fromkeys(again.changed, changed[node.before.bound.index])
        value = again.value_with({t: v for t, v in others.items() if t in again.values})
        if value is not None:
            changed[bound.index] = value

    def _again(self, node: Node) -> Again | None:
        if node not in self._evaluable:
            self._evaluable[node] = Again.of_statement(node.bound, self.backward.recorded)
        return self._evaluable[node]

    def _gradients_at_hand(self, node: Node) -> list[Array]:
        """Return what may be missing in a statement: it must not make the result larger."""
        bound = node.bound
        # Of several names for the same value, one is enough.
        here = {
            n.bound.alias_of or n.bound.index: n.bound
            for n in self.backward.nodes
            if n.is_gradient
            and n.bound.call == bound.call
            and n.bound.index < bound.index
            and 1 < n.bound.size <= LARGEST_MENDED
        }
        return [each.shaped() for each in here.values()]
