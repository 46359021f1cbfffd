"""The values of a backward pass, and what can be told of each by itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import Use
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = [
    "Node",
    "adds_to_what_is_wrong",
    "ancestors",
    "are_parallel",
    "breaks_a_sum",
    "copied",
    "gradients_read",
    "has_odd_name",
    "is_as_meant",
    "is_copy",
    "is_divided",
    "is_handed_on",
    "is_natural",
    "is_odd",
    "is_own",
    "is_renamed",
    "is_right_in_itself",
    "needed",
    "order",
    "rounded",
    "same_values",
    "where_factor_changed",
]

Vector = NDArray[np.float64]

# Larger factors, and smaller ones than its inverse, are none.
LARGEST_FACTOR = 1e9
# Fewer entries may agree by accident.
FEWEST_ENTRIES = 3
# A value is a multiple of another one if it agrees to this part; its cosine is larger than this.
PARALLEL, ALMOST_PARALLEL = 1e-9, 0.999


@dataclass(eq=False)
class Node:
    """A value of the backward pass.

    Attributes
    ----------
    reads : list of Node
        The values that it was made from, without those of the forward pass.
    surely : list of Node
        Those among them that were read by themselves.
    beside : list of int
        The values of the forward pass that it was made from.
    factor : float
        It is this many times a gradient; nan if it is none that is known.
    of : str
        The array whose gradient it is; empty if none is known.
    named : list of int
        The arrays of the forward pass whose gradient it should be, by its name.
    hinted : list of int
        Those of its other names.
    is_called : bool
        True if a variable has been named after one of these.
    is_misshapen : bool
        True if no array of that name has its size.
    matched : list of int
        Those whose gradient it is, but for a factor.
    is_other : bool
        True for a value of the forward pass that has the name of another one.
    is_unlike : bool
        True for what is called like a value of the forward pass, and is another one.
    is_known : bool
        True for a value of the forward pass.
    is_operand : bool
        True for one that the backward pass has chosen by itself.
    is_final : bool
        True for the gradient under test of a parameter, or another name for it.
    is_odd : bool
        True if its factor is not that of what it was made from, as nobody wants.
    misreturned : (int, float), optional
        If a custom function has returned it, and it is not the gradient that it must be: the array
        of that, and how many times that it is; nan if it is no multiple.
    parameter : ParameterCheck, optional
        The parameter whose gradient under test it is.
    part : slice
        Which part of that it is.
    uses : frozenset of (int, int)
        The uses of an array of which it is the gradient, if that is not by all of them.
    added : float
        What the statement has added to it is this many times the gradient by a use; else nan.
    added_use : (int, int), optional
        That use.
    mended_by : list of Node
        The values that have made it wrong: with others in their place, it would be a gradient.
    """

    bound: Bound
    reads: list[Node] = field(default_factory=list)
    surely: list[Node] = field(default_factory=list)
    beside: list[int] = field(default_factory=list)
    factor: float = math.nan
    of: str = ""
    named: list[int] = field(default_factory=list)
    matched: list[int] = field(default_factory=list)
    hinted: list[int] = field(default_factory=list)
    is_called: bool = False
    is_misshapen: bool = False
    is_other: bool = False
    is_unlike: bool = False
    is_known: bool = False
    is_operand: bool = False
    is_final: bool = False
    is_odd: bool = False
    misreturned: tuple[int, float] | None = None
    parameter: ParameterCheck | None = None
    part: slice = field(default_factory=lambda: slice(None))
    uses: frozenset[Use] = frozenset()
    added: float = math.nan
    added_use: Use | None = None
    mended_by: list[Node] = field(default_factory=list)

    @cached_property
    def before(self) -> Node | None:
        """What was there before, if the statement has changed it."""
        if self.bound.before is None:
            return None
        same = (r for r in self.reads if np.array_equal(r.bound.value, self.bound.before))
        return next(same, None)

    @property
    def is_amiss(self) -> bool:
        """True if its name says that it should be a gradient, and it is none."""
        is_new = self.bound.alias_of is None and not self.is_operand
        has_name = bool(self.named) or self.is_called or self.is_misshapen
        return has_name and is_new and not self.is_gradient

    @property
    def has_no_effect(self) -> bool:
        """True if the statement should have changed something, and has not."""
        before = self.bound.before
        return before is not None and np.array_equal(before, self.bound.value)

    def adds(self, read: Node) -> bool:
        """Return True if it was made by adding something to another value, or is that itself."""
        if self.bound.alias_of is not None or read is self.before:
            return not self.bound.is_part
        how = self.bound.reads.get(read.bound.index)
        is_whole = how is not None and how.shape == read.bound.shape
        if not is_whole or self.bound.is_argument or read.bound.size != self.bound.size:
            return False
        part = self.bound.statement.parts[self.bound.place[1]]
        return how is not None and how.load is not None and how.load.text in part.terms

    @property
    def is_gradient(self) -> bool:
        """True if it is a gradient, but for a factor."""
        return not math.isnan(self.factor)

    @property
    def is_misnamed(self) -> bool:
        """True if it is the gradient of an array other than that in its name."""
        if self.is_other:
            return True
        if self.bound.replaced_by is not None or not (self.named and self.matched):
            return False
        # What has a right name may be changed on to another gradient.
        right = (read for read in self.reads if set(read.named) & set(read.matched))
        if any(read.bound.name == self.bound.name for read in right):
            return False
        return not set(self.named) & set(self.matched)


def are_parallel(one: Vector, other: Vector) -> bool:
    """Return True if the second value is a multiple of the first."""
    if len(one) != len(other) or len(one) == 1 or "f" not in one.dtype.kind + other.dtype.kind:
        return False
    square, product = float(one @ one), float(one @ other)
    # `np.allclose` takes ten times as long.
    if abs(product) < ALMOST_PARALLEL * math.sqrt(square * float(other @ other)):
        return False
    factor = product / square if square else 0.0
    return bool(np.allclose(other, factor * one, rtol=PARALLEL, atol=0))


def needed(terminals: Iterable[Node]) -> set[Node]:
    """Return values and what they were made from, up to what is known to be a gradient."""
    waiting = list(terminals)
    found = set(waiting)
    while waiting:
        fresh = {read for read in waiting.pop().reads if not read.is_gradient} - found
        found |= fresh
        waiting += fresh
    return found


def order(nodes: Iterable[Node]) -> list[Node]:
    """Return values in the order in which they were bound."""
    return sorted(nodes, key=lambda node: node.bound.index)


def rounded(factor: float) -> float:
    """Return a factor, rounded to a number that people write if it is one."""
    if not 1 / LARGEST_FACTOR < abs(factor) < LARGEST_FACTOR:
        return math.nan
    for number in (factor, 1 / factor):
        whole = round(number)
        if whole and abs(number - whole) <= 1e-4 * abs(whole):
            return float(whole) if number is factor else 1.0 / whole
    return factor


def is_natural(factor: float) -> bool:
    """Return True for a factor that people divide by later: 1, or how many there are."""
    return factor >= 1 and factor == round(factor)


def ancestors(node: Node, beyond: Collection[Node] = ()) -> set[Node]:
    """Return a value and all that it was made from, but not what some values were made from."""
    found, waiting = {node}, [node]
    while waiting:
        last = waiting.pop()
        fresh = [read for read in last.reads if read not in found and last not in beyond]
        found.update(fresh)
        waiting += fresh
    return found


def gradients_read(node: Node) -> tuple[Node, ...]:
    """Return the gradients that a value was made from."""
    return tuple(read for read in node.reads if read.is_gradient)


def same_values(node: Node) -> list[Node]:
    """Return a value, and what it is another name for, one after the other."""
    chain = [node]
    while chain[-1].bound.alias_of is not None and chain[-1].surely:
        chain.append(max(chain[-1].surely, key=lambda n: n.bound.index))
    return chain


def copied(node: Node) -> Node:
    """Return what a value is a copy of, if it is one of what may be wrong."""
    doubtful = [read for read in node.reads if not (read.is_known or read.is_gradient)]
    reads = [read for read in doubtful if not read.bound.is_part]
    same = (read for read in reads if np.array_equal(read.bound.value, node.bound.value))
    first = next(same, None)
    return node if first is None else copied(first)


def is_copy(node: Node) -> bool:
    """Return True if a value, or what was added, is a multiple of one that it was made from."""
    value, before = node.bound.value, node.bound.before
    reads = [read.bound.value for read in node.reads if not read.bound.is_part]
    if any(are_parallel(read, value) for read in reads):
        return True
    if before is None or len(before) != len(value):
        return False
    is_scaled = are_parallel(before, value)
    return is_scaled or any(are_parallel(read, value - before) for read in reads)


def is_renamed(node: Node) -> bool:
    """Return True for another name of a value, or of an item."""
    return node.bound.alias_of is not None or node.bound.is_name


def is_handed_on(node: Node) -> bool:
    """Return True for what is only an argument, or an item of something."""
    bound = node.bound
    if node.is_misnamed:
        # What was given to it had the wrong name already.
        return any(read.is_misnamed for read in node.reads)
    is_passed_on = bound.is_argument or bound.is_part or not bound.is_name
    is_alias = bound.alias_of is not None and node.misreturned is None
    return bound.is_handed_in or (is_alias and is_passed_on)


def is_right_in_itself(node: Node) -> bool:
    """Return True if only what a value was made from is wrong."""
    if node.uses and any(read.uses and not node.adds(read) for read in node.reads):
        return True
    return is_natural(node.added) or (bool(node.mended_by) and node not in node.mended_by)


def has_odd_name(node: Node) -> bool:
    """Return True if a gradient has the name of another one, or was only given a new name."""
    is_renamed = node.bound.alias_of is not None and not is_handed_on(node)
    return node.is_misnamed or is_renamed


def is_as_meant(node: Node) -> bool:
    """Return True for the whole gradient of an array, under no wrong name: it needs no mending."""
    is_new = node.bound.alias_of is None and node.bound.size >= FEWEST_ENTRIES
    is_whole = node.factor == 1 and bool(node.matched) and not node.uses
    return is_new and is_whole and not node.is_misnamed


def is_own(node: Node) -> bool:
    """Return True for a value that is no gradient, and is neither changed later nor an operand."""
    bound = node.bound
    is_final = bound.alias_of is None and bound.replaced_by is None
    return is_final and not node.is_operand and not node.is_gradient


def is_odd(node: Node) -> bool:
    """Return True if a statement changes the factor of a gradient by what nobody wants."""
    if not node.is_gradient or node.bound.alias_of is not None or node.is_final:
        return False
    before = [read for read in node.reads if read.is_gradient]
    if not before:
        return not is_natural(node.factor)
    ratios = [node.factor / read.factor for read in before]
    return not any(is_natural(ratio) or is_natural(1 / ratio) for ratio in ratios)


def breaks_a_sum(node: Node) -> bool:
    """Return True if a value is no part of a gradient any more, although all else in it is one."""
    if node.is_gradient or node.is_operand or is_natural(node.added):
        return False
    if node.before is not None:
        return bool(node.before.uses)
    terms = [read for read in node.reads if node.adds(read)]
    return len(terms) > 1 and all(term.uses for term in terms)


def adds_to_what_is_wrong(node: Node) -> bool:
    """Return True if what a statement has added is right, and what was there before is not."""
    is_whole = node.before is not None and not node.before.uses
    return is_whole and is_natural(node.added) and not node.is_gradient


def is_divided(node: Node) -> bool:
    """Return True if a gradient was divided by what it had too much."""
    before = [read.factor / node.factor for read in gradients_read(node)]
    return is_natural(node.factor) and all(map(is_natural, before))


def where_factor_changed(node: Node) -> Node | None:
    """Return where a gradient has got a factor that what it was made from does not have."""
    while True:
        before = gradients_read(node)
        same = [read for read in before if read.factor == node.factor]
        if not same:
            return node if before else None
        node = same[0]
