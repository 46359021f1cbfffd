"""What would be a gradient, if it was made from another value than from what it was made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.again import RETURNED, Again, local_slopes
from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import Use
from gradcheck_magic._backward.match import DIRECTIONS, Backward
from gradcheck_magic._backward.names import plain
from gradcheck_magic._backward.nodes import Node, are_parallel, is_natural, needed, order
from gradcheck_magic._backward.rewrite import LARGEST_MENDED, Rewriter

__all__ = ["Mender"]

Vector = NDArray[np.float64]

# A statement goes back at most so many steps of the forward pass.
FURTHEST_OPERAND = 2
# Slopes that differ by at most this part are the same.
SAME_LOCAL_SLOPE = 1e-5


class Other(NamedTuple):
    """What may stand in place of something in a statement."""

    label: str
    name: str
    value: Vector


class Instead(NamedTuple):
    """A value in whose place another one may stand, and by which names it was rightly called."""

    node: Node
    right_names: frozenset[str]


@dataclass(eq=False)
class Mender:
    """Looks for what has made the values of a backward pass wrong.

    Attributes
    ----------
    cleared : set of Node
        What is known to be right.
    """

    backward: Backward
    cleared: AbstractSet[Node]

    def mend(self, terminals: Iterable[Node]) -> None:
        """Find what would be a gradient with another value in place of one that it was made from.

        That may be any value of the forward pass, or a slope of one of its statements.
        """
        # What is made from what is mended, or is wrong by its name, need not be looked at.
        mended, amiss = set[Node](), set[Node]()
        for node in order(needed(terminals)):
            if self.backward.forward.is_over:
                break
            made_from = [read for read in node.reads if read is not node.before]
            is_scaled = any(read.is_gradient and not is_natural(read.factor) for read in made_from)
            is_amiss = any(read.is_amiss or read in amiss for read in made_from)
            if mended & set(node.reads):
                mended.add(node)
            elif is_scaled or is_amiss:
                amiss.add(node)
            elif not (node.is_gradient or node.is_operand or node.bound.value.dtype.kind != "f"):
                targets = self._targets(node)
                if targets and DIRECTIONS <= node.bound.size <= LARGEST_MENDED:
                    self._mend(node, targets)
                    if not node.mended_by:
                        is_right = partial(self._is_meant, node, targets)
                        node.mended_by = self._rewriter.culprits(node, is_right)
                mended |= {node} if node.mended_by else set()

    def _mend(self, node: Node, targets: Sequence[Use]) -> None:
        for read, other, mended in self._changed(node):
            values = [other.value.reshape(-1), *(each.bound.value for each in node.reads)]
            is_known = any(are_parallel(value, mended) for value in values)
            if is_known or len(mended) != node.bound.size:
                continue
            # Without one of its terms, a sum is often a part of a gradient.
            fitting = [use for use in targets if use[1] is None or other.label != "0"]
            if any(is_natural(self.backward.factor_of(mended, use)) for use in fitting):
                if all(self._is_chosen(each, other, node) for each in read):
                    node.mended_by = [node]
                    return
                is_right = partial(_are_same, other.value.reshape(-1))
                wrong = [each.node for each in read]
                before = [c for n in wrong for c in self._rewriter.culprits(n, is_right)]
                node.mended_by = wrong if set(wrong) & set(before) else before or wrong
                return

    def _is_meant(self, node: Node, targets: Sequence[Use], value: Vector) -> bool:
        """Return True if what a value might be is one of some gradients, and that is news."""
        whole = [use for use in targets if use[1] is None]
        if not any(is_natural(self.backward.factor_of(value, use)) for use in whole):
            return False
        gradients = (n.bound.value for n in self.backward.nodes if n.is_gradient)
        return not any(are_parallel(one, value) for one in (node.bound.value, *gradients))

    def _is_chosen(self, read: Instead, other: Other, node: Node) -> bool:
        """Return True if a statement should have read something else, rather than what is wrong.

        So it is if what it has read is what its name says, and the right value is called otherwise
        or was at hand.
        """
        has_name = bool(read.right_names) and plain(other.name) not in read.right_names
        is_at_hand = read.node.is_operand and self._is_at_hand(other.value, node.bound)
        return read.node.bound.is_part or has_name or is_at_hand

    def _changed(self, node: Node) -> Iterator[tuple[list[Instead], Other, Vector]]:
        """Yield what a value would be with others in place of what it was made from."""
        value, before = node.bound.value, node.bound.before
        was = [Instead(node.before, frozenset())] if node.before else []
        if before is not None and before.shape == value.shape and not _is_right(was):
            for other in self.others.get(node.bound.shape, ()) if was else ():
                yield was, other, value - before + other.value.reshape(-1)
        again = Again.of_statement(node.bound, self.backward.recorded)
        for text, array in again.arrays if again else ():
            loads = node.bound.reads.items()
            read = [k for k, each in loads if text == (each.load.text if each.load else RETURNED)]
            found = [each for each in map(self._read, read) if each is not None]
            if again and text in again.changed:
                found = was
            for other in () if _is_right(found) else self.others.get(array.shape, ()):
                mended = again.value(text, other.value) if again else None
                if mended is not None:
                    yield found, other, mended

    def _read(self, k: int) -> Instead | None:
        """Return the k-th value that was recorded, or what it was called before, if it is there."""
        right = set[str]()
        while True:
            bound = self.backward.recorded[k]
            right |= {plain(bound.name)} if self.backward.known.is_same(bound) else set()
            if k in self._by_index:
                return Instead(self._by_index[k], frozenset(right))
            if bound.alias_of is None:
                return None
            k = max({bound.alias_of, *bound.reads})

    @cached_property
    def _by_index(self) -> dict[int, Node]:
        return {node.bound.index: node for node in self.backward.nodes}

    def _is_at_hand(self, value: Vector, bound: Bound) -> bool:
        """Return True if the function that binds something has bound a value before."""
        flat = value.reshape(-1)
        here = [
            b
            for b in self.backward.recorded.values()
            if b.call == bound.call and b.index < bound.index
        ]
        return any(np.array_equal(each.value, flat) for each in here)

    def _targets(self, node: Node) -> list[Use]:
        """Return the arrays and uses whose gradient a value may have been meant to be."""
        if node.is_misshapen:
            return []
        if node.misreturned is not None:
            return [(node.misreturned[0], None)]
        arrays = [*node.named] or [k for read in node.reads for k in read.matched]
        for _ in range(0 if node.named else FURTHEST_OPERAND):
            arrays += [i for k in arrays for i in self.backward.forward.operands(k)]
        whole: list[Use] = [(k, None) for k in dict.fromkeys(arrays)]
        of_size = [use for use in whole if self.backward.forward.size(use) == node.bound.size]
        return [*of_size, *self.backward.uses_of(node)]

    @cached_property
    def _rewriter(self) -> Rewriter:
        return Rewriter(self.backward, self.cleared)

    @cached_property
    def others(self) -> dict[tuple[int, ...], list[Other]]:
        """What may stand in place of something in a statement, by its shape."""
        found: dict[tuple[int, ...], list[Other]] = {}
        forward = self.backward.forward
        bound = [b for b in forward.bound[: forward.end + 1] if 1 < b.size <= LARGEST_MENDED]
        for each in bound:
            if each.alias_of is None and not each.is_parameter:
                other = Other(each.label, each.name, each.value.reshape(each.shape))
                found.setdefault(each.shape, []).append(other)
        for _, _, slopes in local_slopes(bound, {each.index: each for each in forward.bound}):
            found.setdefault(slopes.shape, []).append(Other("", "", slopes))
        for node in self.backward.nodes:
            # A sum may begin with what is not zero.
            others = found.setdefault(node.bound.shape, [])
            if not others or others[-1].label != "0":
                others.append(Other("0", "0", np.zeros(node.bound.shape)))
        return found


def _are_same(one: Vector, other: Vector) -> bool:
    """Return True if two values are the same, as far as local slopes are known."""
    off = float(np.linalg.norm(one - other)) if len(one) == len(other) else math.inf
    return off <= SAME_LOCAL_SLOPE * float(np.linalg.norm(one))


def _is_right(read: list[Instead]) -> bool:
    return any(each.node.is_gradient for each in read)
