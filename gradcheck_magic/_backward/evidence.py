"""What is known to be right or wrong in a backward pass, before anything is blamed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradcheck_magic._backward.bound import Bound, Origin
from gradcheck_magic._backward.forward import ForwardPass
from gradcheck_magic._backward.match import Backward
from gradcheck_magic._backward.mend import Mender
from gradcheck_magic._backward.nodes import (
    Node,
    adds_to_what_is_wrong,
    ancestors,
    are_parallel,
    breaks_a_sum,
    copied,
    is_copy,
    is_natural,
    is_odd,
    same_values,
)
from gradcheck_magic._backward.under_test import is_meant_for, multiple_of, verdict_of
from gradcheck_magic._diagnosis.finding import ANY_NUMBER
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["Evidence"]

# Of what a statement has bound in J, at most this many values are looked at.
MOST_OF_STATEMENT = 4


@dataclass(eq=False)
class Evidence:
    """What is right, what is wrong, and what may be.

    Attributes
    ----------
    wrong : dict
        The gradients of parameters that are wrong and not yet explained, with their factors.
    odd : set of Node
        Multiples of a gradient with another factor than what they were made from, as nobody wants.
    right : set of Node
        What the right gradient of a parameter was made from: its factor is right.
    cleared : set of Node
        What any right gradient was made from, and must be right for that.
    regularizing : set of Node
        What only adds a multiple of the parameter to what is wrong already.
    incomplete : set of Node
        What is a part of a gradient only, and is taken for the whole.
    added : set of Node
        What more is added to, or what is added to something.
    renamed : set of Node
        The gradient by something, taken for that by what was computed from it.
    zeros : list of Node
        The gradients of parameters that were set to zero, and left so.
    """

    nodes: list[Node]
    forward: ForwardPass
    recorded: dict[int, Bound]
    wrong: dict[Node, float] = field(default_factory=dict)
    odd: set[Node] = field(default_factory=set)
    right: set[Node] = field(default_factory=set)
    cleared: set[Node] = field(default_factory=set)
    regularizing: set[Node] = field(default_factory=set)
    incomplete: set[Node] = field(default_factory=set)
    added: set[Node] = field(default_factory=set)
    renamed: set[Node] = field(default_factory=set)
    zeros: list[Node] = field(default_factory=list)

    @classmethod
    def of(cls, backward: Backward, check: GradientCheck, pairing: Pairing) -> Evidence:
        """Sort the gradients of parameters into right and wrong ones."""
        nodes = [node for node in backward.nodes if not node.bound.is_zero]
        evidence = cls(nodes, backward.forward, backward.recorded)
        for node in evidence.nodes:
            node.reads = [read for read in node.reads if not read.bound.is_zero]
            node.surely = [read for read in node.surely if not read.bound.is_zero]
        right = evidence._sort(backward, check)
        for node in evidence.nodes:
            if node.misreturned is not None:
                evidence.wrong[node], node.factor = node.misreturned[1], math.nan
        evidence.zeros = [n for n in backward.nodes if _is_left_at_zero(n)]
        for node in evidence.zeros:
            evidence.wrong.pop(node, None)
        backward.match_uses(evidence.wrong)
        # A multiple of the whole gradient is no part of it.
        parts = {n for n, factor in evidence.wrong.items() if n.uses and math.isnan(factor)}
        evidence.incomplete |= parts
        made = [node for node in evidence.nodes if node.bound.alias_of is None]
        evidence.added = {read for n in made for read in n.reads if evidence.adds_part(n, read)}
        for node in evidence.wrong:
            evidence._set_regularization_apart(node, check, pairing)
        evidence._clear_all(backward.helpers)
        Mender(backward, evidence.cleared).mend(evidence.wrong)
        evidence._acquit_helpers()
        for node in right:
            evidence.right |= ancestors(node, evidence.odd)
        return evidence

    def _sort(self, backward: Backward, check: GradientCheck) -> list[Node]:
        """Note which of the gradients under test are wrong, and return those that are right."""
        right = []
        for node in [node for node in self.nodes if node.parameter is not None]:
            is_wrong, factor = verdict_of(node, check)
            if is_wrong:
                is_gradient = bool(node.matched) and is_natural(node.factor)
                is_part = is_gradient and self._is_by_parameter(node)
                # The gradient by another array was only given the wrong name.
                is_meant = node.parameter is not None and is_meant_for(node, node.parameter)
                is_renamed = is_gradient and not (is_part or is_meant)
                wrong = (is_renamed and backward.hand_on(node)) or node
                self.wrong[wrong] = factor
                self.incomplete |= {wrong} if is_part else set()
                wrong.factor = math.nan
            elif not math.isnan(factor):
                node.factor, node.of = 1.0, node.parameter.name if node.parameter else ""
                right.append(node)
        return right

    def _is_by_parameter(self, node: Node) -> bool:
        """Return True for the gradient by a value of the parameter, where that is read."""
        names = self.forward.parameter(node.parameter.name) if node.parameter else []
        values = [self.forward.bound[k].value for k in names]
        its = [self.forward.bound[k].value for k in node.matched]
        return any(np.array_equal(one, other) for one in values for other in its)

    def _clear_all(self, helpers: Iterable[Node]) -> None:
        """Note which values must be right, as what is right was made from them."""
        for node in helpers:
            self.cleared.add(node)
            self._clear(node)
        for node in self.nodes:
            if is_natural(-node.factor) and self.is_of_cost(node.bound):
                # J is computed from what is the opposite of it.
                node.factor = -node.factor
        self.odd = {n for n in self.nodes if is_odd(n)}
        for node in self.nodes:
            is_right = is_natural(node.factor) and not node.is_misnamed and node not in self.odd
            is_other_name = node.is_final and node.parameter is None
            if is_right and not is_other_name and node not in self.wrong:
                self._clear(node)

    def _set_regularization_apart(self, node: Node, check: GradientCheck, pairing: Pairing) -> None:
        """Tell whether a wrong gradient is right before, or apart from, a term λθ is added."""
        parameter = node.parameter
        theta = {p.name: np.ravel(np.asarray(p.array)) for p in pairing.checked}
        close_up = check.close_up(parameter.name) if parameter else None
        if close_up is None or node.bound.size < ANY_NUMBER:
            return
        of_theta = theta[close_up.parameter.name].astype(np.float64)
        if len(close_up.numerical) != len(of_theta) or len(of_theta) != node.bound.size:
            return
        for read in node.reads:
            if read.is_gradient or read.bound.size != node.bound.size:
                continue
            missing = close_up.numerical - read.bound.value
            # A penalty pulls the parameter towards zero; what is too much is no missing penalty.
            if multiple_of(missing, of_theta, close_up.uncertainty) > 0:
                self.cleared.add(read)
            elif are_parallel(of_theta, node.bound.value - read.bound.value):
                self.regularizing.add(node)

    def _acquit_helpers(self) -> None:
        """Put the blame for what goes right elsewhere on what was made from it here."""
        right = {n.bound.origin for n in self.nodes if is_natural(n.factor) or n in self.cleared}
        for node in self.nodes:
            culprits = [n.bound for n in node.mended_by]
            if culprits and all(b.alias_of is None and b.origin in right for b in culprits):
                node.mended_by = [node]

    def _clear(self, right: Node) -> None:
        """Note what a right value was made from: that is right, too, if it is not longer."""
        waiting = [right]
        while waiting:
            for read in waiting.pop().surely:
                if read.is_gradient or read in self.cleared or read.bound.size > right.bound.size:
                    continue
                self.cleared.add(read)
                waiting.append(read)

    @cached_property
    def by_index(self) -> dict[int, Node]:
        """The values by where they were recorded."""
        return {node.bound.index: node for node in self.nodes}

    @cached_property
    def went_right(self) -> dict[Origin, list[Node]]:
        """The gradients that are right, by what has bound them."""
        found: dict[Origin, list[Node]] = {}
        for node in self.nodes:
            is_right = is_natural(node.factor) or node in self.cleared
            is_right &= node not in self.wrong
            if is_right and node.bound.size > 1 and not is_copy(node):
                found.setdefault(node.bound.origin, []).append(node)
        return found

    def culprits(self) -> set[Node]:
        """Return what would make something right, if it was another value."""
        found = {culprit for node in self.nodes for culprit in node.mended_by}
        found |= {n.before for n in self.nodes if n.before and adds_to_what_is_wrong(n)}
        found |= self._unlike
        wrong = {n for n in self.nodes if n.is_amiss or breaks_a_sum(n)}
        return {_chosen(copied(n)) for n in found if not wrong & set(n.reads)}

    @cached_property
    def _unlike(self) -> set[Node]:
        """What is called like a value of the forward pass, and is the first to be another one."""
        unlike = {node for node in self.nodes if node.is_unlike}
        return {node for node in unlike if not unlike & (ancestors(node) - {node})}

    def arrays_of(self, node: Node) -> AbstractSet[int]:
        """Return the array of the forward pass whose gradient a value should be, if it is clear."""
        if node.parameter is not None:
            return set(self.forward.parameter(node.parameter.name))
        # The arguments of layers are called the same in all of them.
        is_clear = len(set(node.named)) == 1 and not node.bound.is_argument
        return set(node.named) if is_clear else set()

    def adds_part(self, made: Node, read: Node) -> bool:
        """Return True if a part of a gradient is added to what may be another part of it."""
        if not (read.uses and made.adds(read)):
            return False
        own = {k for k, _ in read.uses}
        fitting = own | {k for array in own for k in self.forward.consumers(array)}
        terms = [term for term in made.reads if term is not read and made.adds(term)]
        others = [{k for k, _ in term.uses} | set(term.matched) for term in terms]
        return not any(each and not each & fitting for each in others)

    def is_of_cost(self, bound: Bound) -> bool:
        """Return True if J itself depends on what the statement binds: it defines what is right."""
        its = self.forward.made_by(bound.statement)
        return any(self.forward.matters(k) for k in its[:MOST_OF_STATEMENT])


def _is_left_at_zero(node: Node) -> bool:
    """Return True for a gradient under test to which nothing was added."""
    if node.parameter is None or np.any(node.bound.value):
        return False
    # What was computed from zeros is wrong for another reason.
    made = [read for read in node.reads if read.bound.value.dtype.kind == "f"]
    return node.bound.is_zero or all(np.any(read.bound.value) for read in made)


def _chosen(node: Node) -> Node:
    """Return where a value was chosen that is only handed on: where it got its last name."""
    names = [each for each in same_values(node) if not each.bound.is_argument]
    return next(iter(names), node)
