"""Which statement is to blame: the first whose inputs are right, and whose result is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.factors import Factors, most_common
from gradcheck_magic._backward.further import Further
from gradcheck_magic._backward.match import Backward
from gradcheck_magic._backward.nodes import (
    Node,
    ancestors,
    breaks_a_sum,
    gradients_read,
    is_copy,
    is_natural,
    is_own,
    order,
)
from gradcheck_magic._backward.ranks import Ranks
from gradcheck_magic._backward.repair import Repairs
from gradcheck_magic._backward.slices import Slice, Slices
from gradcheck_magic._backward.suspicion import Suspicion
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["suspicions"]


def suspicions(backward: Backward, check: GradientCheck, pairing: Pairing) -> list[Suspicion]:
    """Return what may be wrong, each suspicion independent of the others, the first first."""
    evidence = Evidence.of(backward, check, pairing)
    search = _Search.of(evidence)
    for node in evidence.odd - evidence.right if evidence.wrong else ():
        node.is_odd = True
    wrong = [*evidence.wrong]
    found: list[Suspicion] = []
    while evidence.wrong:
        suspicion = search.next()
        explains = search.leave_out(suspicion)
        if not explains:
            break
        further = dict.fromkeys(Further(search.slices).of(suspicion, explains))
        rest = tuple(each for each in further if each not in suspicion.statements)
        found.append(replace(suspicion, further=rest, explains=explains))
    found += search.left_at_zero()
    found = _independent(sorted(found, key=lambda suspicion: suspicion.wrong.bound.index))
    return _repaired(found, Repairs(evidence, check, wrong)) if found else []


def _repaired(found: list[Suspicion], repairs: Repairs) -> list[Suspicion]:
    """Put the statements first that would make all right if they were written differently."""
    first = found[0]
    better = repairs.instead_of(first.statements, first.further)
    if not better:
        return found
    statements = tuple(dict.fromkeys([*better, *first.statements]))
    further = tuple(each for each in first.further if each not in statements)
    return [replace(first, statements=statements, further=further), *found[1:]]


def _independent(found: Sequence[Suspicion]) -> list[Suspicion]:
    """Return the suspicions that are not about what was made from what an earlier one is about."""
    kept: list[Suspicion] = []
    for suspicion in found:
        before = {node.bound.statement for node in ancestors(suspicion.wrong)}
        causes = [k for k, each in enumerate(kept) if each.statements[0] in before]
        if not causes:
            kept.append(suspicion)
            continue
        cause = kept[causes[0]]
        kept[causes[0]] = replace(cause, explains=(*cause.explains, *suspicion.explains))
    return kept


@dataclass(frozen=True, eq=False)
class _Search:
    """Blames one statement after the other, until all that is wrong is explained."""

    evidence: Evidence
    slices: Slices
    ranks: Ranks
    factors: Factors

    @classmethod
    def of(cls, evidence: Evidence) -> _Search:
        """Return the search, given what is known."""
        slices, ranks = Slices(evidence), Ranks(evidence)
        return cls(evidence, slices, ranks, Factors(evidence, slices, ranks))

    def next(self) -> Suspicion:
        """Return the next suspicion: first of what is a multiple of the gradient."""
        multiples = {n: f for n, f in self.evidence.wrong.items() if not math.isnan(f)}
        if multiples:
            return self.factors.first_multiple(multiples)
        return self._first_wrong([*self.evidence.wrong])

    def leave_out(self, suspicion: Suspicion) -> tuple[Node, ...]:
        """Leave out what a suspicion explains, and return it."""
        statements = set(suspicion.statements)
        explained = tuple(
            node
            for node in self.evidence.wrong
            if node is suspicion.wrong
            or node in suspicion.explains
            or any({n.bound.statement, *n.bound.callers} & statements for n in ancestors(node))
        )
        for node in explained:
            del self.evidence.wrong[node]
        return explained

    def left_at_zero(self) -> list[Suspicion]:
        """Return the suspicion that what should add to gradients has never run."""
        if not self.evidence.zeros:
            return []
        gradients = [n.bound for n in self.evidence.nodes if n.is_gradient][::-1]
        ran = [each for b in gradients for each in (b.statement, *reversed(b.callers))]
        heads = [head for each in ran for head in each.heads]
        statements = dict.fromkeys(
            [*heads, *(node.bound.statement for node in self.evidence.zeros)]
        )
        return [
            Suspicion(
                self.evidence.zeros[0],
                tuple(statements),
                (),
                0.0,
                explains=tuple(self.evidence.zeros),
            )
        ]

    def _first_wrong(self, terminals: Sequence[Node]) -> Suspicion:
        slices = {node: self.slices.of(node) for node in terminals}
        if odd := self.factors.odd_input(slices.values()):
            return self.factors.changed_factor(odd)
        if term := self.factors.odd_term(slices.values()):
            return term
        first = slices[order(slices)[0]]
        if odd := self.factors.unlike_input(first):
            return self.factors.changed_factor(odd)
        if unused := self._unused(terminals):
            rest = self.ranks.ranked(first.suspects, first.origins)
            ranked = tuple(dict.fromkeys([unused.bound.statement, *rest]))
            return Suspicion(unused, ranked, gradients_read(unused), explains=tuple(terminals))
        if shared := self._shared_input(slices):
            rest = self.ranks.ranked(first.suspects, first.origins)
            ranked = tuple(dict.fromkeys([shared.bound.statement, *rest]))
            return Suspicion(shared, ranked, gradients_read(shared))
        common = most_common([slices[node].origins for node in order(slices)])
        first = next(slices[n] for n in order(slices) if set(slices[n].origins) & set(common))
        # A name is no proof, but tells where to look first.
        likely = [n for n in first.suspects if n.bound.origin in common]
        within = [n for n in likely if not n.is_final]
        culprits = self.evidence.culprits()
        meant = [n for n in likely if n in culprits] or [n for n in within if self._is_meant(n)]
        wrong = meant[0] if meant else order(slices)[0]
        nearest = self.slices.of(wrong)
        # What explains all that is wrong comes first.
        wrong_ones = {n for part in slices.values() for n in part.suspects if self._is_wrong(n)}
        origins = ({n.bound.origin for n in ancestors(wrong)} for wrong in wrong_ones)
        explaining = set(common).intersection(*origins)
        foremost = self.ranks.ranked(nearest.suspects, [o for o in common if o in explaining])
        statements = (*foremost, *self.ranks.ranked(nearest.suspects, common))
        is_sure = bool(meant) and self._is_surely_wrong(wrong)
        rest = () if is_sure else self.ranks.ranked(first.suspects, common)
        ranked = tuple(dict.fromkeys([*statements, *rest]))
        # What the most likely statement has bound is told, if it starts from a gradient.
        bound = [n for n in first.suspects if n.bound.statement is ranked[0]]
        made = [n for n in order(self.evidence.nodes) if set(n.mended_by) & set(bound)]
        told = next((n for n in (*bound, *made) if gradients_read(n)), wrong)
        is_part = told in self.evidence.incomplete
        return Suspicion(told, ranked, gradients_read(told), is_part=is_part)

    def _shared_input(self, slices: dict[Node, Slice]) -> Node | None:
        """Return a gradient by another array than it is used for, if it explains all by itself.

        So it is where a derivative was left out: what is wrong has nothing else in common.
        """
        if set[Origin].intersection(*(set(part.origins) for part in slices.values())):
            return None
        for node in order({n for part in slices.values() for n in part.inputs}):
            used = [n for n, part in slices.items() if node in part.inputs]
            is_shared = all(node in (*part.inputs, *part.suspects) for part in slices.values())
            needed_for = {k for n in used for k in self._next_to(n)}
            if is_shared and not needed_for & set(node.matched):
                return [node, *self.slices.taken_for_another(node)][-1]
        return None

    def _unused(self, terminals: Sequence[Node]) -> Node | None:
        """Return a gradient that a call has returned, and the next one needs, but has never got."""
        needed_for = {k for node in terminals for k in self._next_to(node)}
        start = min(node.bound.index for node in terminals)
        calls = {caller for node in terminals for caller in node.bound.callers}
        read = {read for node in self.evidence.nodes for read in node.reads}
        before = (n for n in self.evidence.nodes if n.bound.index < start and n not in read)
        returned = (n for n in before if n.bound.statement in calls)
        return next((n for n in returned if n.is_gradient and needed_for & set(n.matched)), None)

    def _next_to(self, node: Node) -> set[int]:
        """Return what is computed from a parameter at once."""
        arrays = self.evidence.arrays_of(node)
        return {k for array in arrays for k in self.evidence.forward.consumers(array)}

    def _is_meant(self, node: Node) -> bool:
        """Return True if a value is probably meant to be a gradient, and is none."""
        is_wrong = self._is_surely_wrong(node) or self._fills_a_gap(node) or self._is_wrong(node)
        return is_wrong or breaks_a_sum(node)

    def _is_surely_wrong(self, node: Node) -> bool:
        """Return True if the statement has bound a gradient in another call, not in this one."""
        same = (n for n in self.evidence.nodes if n.bound.origin == node.bound.origin)
        return is_own(node) and any(n.is_gradient and not is_copy(n) for n in same)

    def _fills_a_gap(self, node: Node) -> bool:
        """Return True if a value starts from a right gradient, but is none of what comes before.

        What comes before is an array of its shape that is used only once, so that its gradient is
        made from that one alone, and that no value is the gradient of.
        """
        if not is_own(node) or node.bound.size == 1:
            return False
        found = {k for n in self.evidence.nodes for k in n.matched}
        return any(
            self.evidence.forward.bound[a].shape == node.bound.shape
            and a not in found
            and self.evidence.forward.is_used_once(a)
            and self.evidence.forward.matters(a)
            for read in node.reads
            for k in read.matched
            for a in self.evidence.forward.operands(k)
        )

    def _is_wrong(self, node: Node) -> bool:
        """Return True if a value is not the gradient that its name says, nor a part of it."""
        later = [
            n
            for n in self.evidence.nodes
            if node in n.reads
            and n.bound.alias_of is None
            and set(node.named) & set(n.named)
            and not is_natural(n.added)
        ]
        if any(n.before is node for n in later):
            # It was changed afterwards, on to what it should be.
            return False
        if node.is_misshapen and not later and node.bound.alias_of is None:
            return any(read.is_gradient for read in node.reads)
        # A name may be used for several arrays, one after the other.
        return node.is_amiss and len(later) < len(set(node.named))
