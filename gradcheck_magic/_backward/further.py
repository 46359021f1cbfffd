"""What else may be wrong, if the statements that are blamed are right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.nodes import (
    Node,
    ancestors,
    needed,
)
from gradcheck_magic._backward.slices import Slices
from gradcheck_magic._backward.statements import Statement
from gradcheck_magic._backward.suspicion import Suspicion

__all__ = ["Further"]


@dataclass(frozen=True, eq=False)
class Further:
    """Looks for what the statements that are blamed depend on."""

    slices: Slices

    def of(self, suspicion: Suspicion, explained: Iterable[Node]) -> Iterator[Statement]:
        """Yield what else may be wrong, the nearest first.

        That is what the values were made from, what has bound what their statements have read, and
        under which conditions and by which calls they ran.
        """
        before = {n for node in explained for n in ancestors(node)}
        nodes = {n for n in before if n.bound.statement in suspicion.statements}
        nodes |= {n for node in explained for n in self.slices.of(node).found} | needed(explained)
        known = {n.bound.index for n in nodes}
        nodes |= {n for n in before if n.bound.alias_of in known}
        here = suspicion.wrong.bound.index
        nearest = sorted((n.bound for n in nodes), key=lambda bound: abs(bound.index - here))
        yield from self._and_more([bound for bound in nearest if bound.index <= here])
        # What comes later only suffers, unless another statement is wrong.
        later = [bound for bound in nearest if bound.index > here]
        inputs = [node.bound for node in suspicion.inputs if node not in nodes]
        yield from self._and_more([*later, *inputs])

    def _and_more(self, made: Sequence[Bound]) -> Iterator[Statement]:
        """Yield the statements that have made some values, and what these depend on."""
        found = dict.fromkeys(made)
        for more in (self._read_by(made), self._of_same_variable(made)):
            found |= dict.fromkeys(more)
        yield from (bound.statement for bound in found)
        for bound in found:
            yield from bound.binders
            yield from bound.statement.heads
        for bound in found:
            for caller in reversed(bound.callers):
                yield caller
                yield from caller.heads

    def _of_same_variable(self, made: Iterable[Bound]) -> list[Bound]:
        """Return what was bound to, or put into, the same variables."""
        variables = {(bound.call, bound.variable) for bound in made if bound.variable}
        return [
            bound
            for bound in self.slices.evidence.recorded.values()
            if (bound.call, bound.variable) in variables and not bound.is_part
        ]

    def _read_by(self, bound: Iterable[Bound]) -> list[Bound]:
        """Return the values of the forward pass that the backward pass has handed on to itself."""
        of_forward = {each.statement for each in self.slices.evidence.forward.bound}
        found: dict[Bound, None] = {}
        waiting = [*bound]
        known = {n.bound for n in self.slices.evidence.nodes if n.is_gradient}
        while waiting:
            each = waiting.pop(0)
            for index in each.reads:
                read = self.slices.evidence.recorded[index]
                if not (read in found or read in known or read.statement in of_forward):
                    found[read] = None
                    waiting.append(read)
        return [*found]
