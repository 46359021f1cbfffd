"""Values that must become gradients if a statement before them is mended.

To compute all that follows from it takes much longer than to compare one value.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.forward import ForwardPass, direction
from gradcheck_magic._backward.match import DIRECTIONS
from gradcheck_magic._backward.nodes import Node, is_as_meant
from gradcheck_magic._backward.statements import Statement

__all__ = ["Checkpoint", "Checkpoints"]

Array = NDArray[np.float64]
# A part of a statement, and the statements that have led to its call.
Loop = tuple[Origin, tuple[Statement, ...]]

# A value is taken for a gradient if it is a multiple of it to this part, or to ten error bars.
ALMOST, BARS = 1e-5, 10


class Checkpoint(NamedTuple):
    """A value that must be a multiple of the gradient by one of some arrays.

    Attributes
    ----------
    at : int
        Where it was recorded.
    along : ndarray, shape (3, n)
        Random directions.
    slopes, bars : ndarray, shape (k, 3) and (k,)
        The slopes by each of the arrays along them, and their error bars.
    """

    at: int
    along: Array
    slopes: Array
    bars: Array

    @classmethod
    def of(cls, at: int, arrays: Sequence[int], forward: ForwardPass) -> Self | None:
        """Return the one for a value, given the arrays; None if no slope by them is known."""
        numbers = range(DIRECTIONS)
        found = [[forward.slope(k, number) for number in numbers] for k in arrays]
        known = [[each for each in row if each is not None] for row in found if None not in row]
        if not known:
            return None
        size = forward.bound[arrays[0]].size
        along = np.stack([direction(size, number) for number in numbers])
        slopes = np.array([[each.low for each in row] for row in known])
        bars = np.array([max(each.bar for each in row) for row in known])
        return cls(at, along, slopes, bars)

    def passes(self, value: Array) -> bool:
        """Return True if a value may be such a gradient."""
        if value.size != self.along.shape[1]:
            return False
        products = self.along @ value.reshape(-1)
        squares = np.maximum((self.slopes**2).sum(axis=1), np.finfo(float).tiny)
        factors = self.slopes @ products / squares
        off = np.abs(products - factors[:, None] * self.slopes).max(axis=1)
        allowed = np.abs(factors) * (BARS * self.bars + ALMOST * np.sqrt(squares))
        return bool((off <= allowed).any())


@dataclass(eq=False)
class Checkpoints:
    """Finds the first value that must become a gradient."""

    evidence: Evidence

    def first(self, steps: Sequence[int], ends: Container[int]) -> Checkpoint | None:
        """Return the first of some values that is no gradient, but is one in other rounds."""
        bound = self.evidence.forward.bound
        for k in steps:
            node = self.evidence.by_index.get(k)
            if node is None or node.is_gradient or k in ends or _is_handed_on(node):
                continue
            arrays = self._meant.get(_loop(node), ())
            own = [a for a in arrays if bound[a].size == node.bound.size]
            if own:
                return Checkpoint.of(k, own, self.evidence.forward)
        return None

    @cached_property
    def _meant(self) -> dict[Loop, list[int]]:
        """The arrays whose gradients a statement makes in a loop, as far as it is right there."""
        forward = self.evidence.forward.bound
        found: dict[Loop, set[Origin]] = {}
        for node in filter(is_as_meant, self.evidence.nodes):
            found.setdefault(_loop(node), set()).update(forward[k].origin for k in node.matched)
        own = [b for b in forward if b.alias_of is None]
        return {key: [b.index for b in own if b.origin in its] for key, its in found.items()}


def _is_handed_on(node: Node) -> bool:
    """Return True for an argument, and for a sum to which more is added."""
    bound = node.bound
    return bound.is_argument or bound.before is not None or bound.replaced_by is not None


def _loop(node: Node) -> Loop:
    return node.bound.origin, node.bound.callers
