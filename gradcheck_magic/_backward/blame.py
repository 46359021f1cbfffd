"""Which statement is to blame: the first whose inputs are right, and whose result is not."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.forward import ForwardPass
from gradcheck_magic._backward.match import Backward, Node, is_natural, multiple_of, verdict_of
from gradcheck_magic._backward.statements import Statement
from gradcheck_magic._diagnosis.finding import ANY_NUMBER
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["Suspicion", "is_wrong_name", "suspicions"]

Vector = NDArray[np.float64]

# A value is a multiple of another one if it agrees to this part.
PARALLEL = 1e-9


@dataclass(frozen=True, eq=False)
class Suspicion:
    """The statements one of which is wrong, the most likely first; often there is only one.

    Attributes
    ----------
    wrong : Node
        The first value that is known to be wrong.
    statements : tuple of Statement
        What may have made it wrong.
    inputs : tuple of Node
        The right gradients that it starts from.
    factor : float
        It is this many times what it should be; nan if it is no multiple.
    explains : tuple of Node
        The gradients of parameters that are wrong because of it.
    """

    wrong: Node
    statements: tuple[Statement, ...]
    inputs: tuple[Node, ...]
    factor: float = math.nan
    explains: tuple[Node, ...] = ()


def suspicions(backward: Backward, check: GradientCheck, pairing: Pairing) -> list[Suspicion]:
    """Return what may be wrong, each suspicion independent of the others, the first first."""
    search = _Search.of(backward, check, pairing)
    for node in search.odd - search.right if search.wrong else ():
        node.is_odd = True
    found: list[Suspicion] = []
    while search.wrong:
        suspicion = search.next()
        explains = search.leave_out(suspicion)
        if not explains:
            break
        found.append(replace(suspicion, explains=explains))
    return _independent(sorted(found, key=lambda suspicion: suspicion.wrong.bound.index))


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
class _Slice:
    """What a value was made from, as far as nothing says that it is right."""

    suspects: list[Node]
    inputs: list[Node]

    @property
    def origins(self) -> list[Origin]:
        """What has bound the suspects, in order."""
        return list(dict.fromkeys(node.bound.origin for node in self.suspects))


@dataclass(eq=False)
class _Search:
    """The state of the search.

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
    """

    nodes: list[Node]
    forward: ForwardPass
    wrong: dict[Node, float] = field(default_factory=dict)
    odd: set[Node] = field(default_factory=set)
    right: set[Node] = field(default_factory=set)
    cleared: set[Node] = field(default_factory=set)
    regularizing: set[Node] = field(default_factory=set)

    @classmethod
    def of(cls, backward: Backward, check: GradientCheck, pairing: Pairing) -> _Search:
        """Sort the gradients of parameters into right and wrong ones."""
        search = cls([n for n in backward.nodes if not n.bound.is_zero], backward.forward)
        for node in search.nodes:
            node.reads = [read for read in node.reads if not read.bound.is_zero]
            node.surely = [read for read in node.surely if not read.bound.is_zero]
        verdicts = {n: verdict_of(n, check) for n in search.nodes if n.parameter is not None}
        for node, (is_wrong, factor) in verdicts.items():
            if is_wrong:
                search.wrong[node] = factor
                node.factor = math.nan
            elif not math.isnan(factor):
                node.factor, node.of = 1.0, node.parameter.name if node.parameter else ""
        for node in search.wrong:
            search._set_regularization_apart(node, check, pairing)
        search.odd = {n for n in search.nodes if _is_odd(n)}
        for node in search.nodes:
            if node.is_gradient and not node.is_misnamed and node not in search.odd:
                search._clear(node)
        for node, (is_wrong, factor) in verdicts.items():
            if not is_wrong and not math.isnan(factor):
                search.right |= ancestors(node, search.odd)
        return search

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
            elif _are_parallel(of_theta, node.bound.value - read.bound.value):
                self.regularizing.add(node)

    def _clear(self, right: Node) -> None:
        """Note what a right value was made from: that is right, too, if it is not longer."""
        waiting = [right]
        while waiting:
            for read in waiting.pop().surely:
                if read.is_gradient or read in self.cleared or read.bound.size > right.bound.size:
                    continue
                self.cleared.add(read)
                waiting.append(read)

    def next(self) -> Suspicion:
        """Return the next suspicion: first of what is a multiple of the gradient."""
        multiples = {n: f for n, f in self.wrong.items() if not math.isnan(f)}
        return self._first_multiple(multiples) if multiples else self._first_wrong([*self.wrong])

    def leave_out(self, suspicion: Suspicion) -> tuple[Node, ...]:
        """Leave out what a suspicion explains, and return it."""
        statements = set(suspicion.statements)
        explained = tuple(
            node
            for node in self.wrong
            if node is suspicion.wrong
            or any({n.bound.statement, *n.bound.callers} & statements for n in ancestors(node))
        )
        for node in explained:
            del self.wrong[node]
        return explained

    # A value that is no multiple of the gradient

    def _first_wrong(self, terminals: Sequence[Node]) -> Suspicion:
        slices = {node: self._slice(node) for node in terminals}
        if odd := self._odd_input(slices.values()):
            return self._changed_factor(odd)
        first = slices[order(slices)[0]]
        if odd := self._unlike_input(first):
            return self._changed_factor(odd)
        common = self._common([slices[node].origins for node in order(slices)])
        # A name is no proof, but tells where to look first.
        likely = [n for n in first.suspects if n.bound.origin in common]
        within = [n for n in likely if not n.is_final]
        meant = [n for n in within if self._is_meant(n)]
        wrong = meant[0] if meant else order(slices)[0]
        nearest = self._slice(wrong)
        statements = self._ranked(nearest.suspects, common)
        is_sure = bool(meant) and self._is_surely_wrong(wrong)
        rest = () if is_sure else self._ranked(first.suspects, common)
        ranked = tuple(dict.fromkeys([*statements, *rest]))
        # What the most likely statement has bound is told, if it starts from a gradient.
        bound = [n for n in first.suspects if n.bound.statement is ranked[0]]
        told = next((n for n in bound if _gradients_read(n)), wrong)
        return Suspicion(told, ranked, _gradients_read(told))

    def _is_meant(self, node: Node) -> bool:
        """Return True if a value is probably meant to be a gradient, and is none."""
        return self._is_surely_wrong(node) or self._fills_a_gap(node) or self._is_wrong(node)

    def _is_surely_wrong(self, node: Node) -> bool:
        """Return True if the statement has bound a gradient in another call, not in this one."""
        same = (n for n in self.nodes if n.bound.origin == node.bound.origin)
        return _is_own(node) and any(n.is_gradient and not _is_copy(n) for n in same)

    def _fills_a_gap(self, node: Node) -> bool:
        """Return True if a value starts from a right gradient, but is none of what comes before.

        What comes before is an array of its shape that is used only once, so that its gradient is
        made from that one alone, and that no value is the gradient of.
        """
        if not _is_own(node) or node.bound.size == 1:
            return False
        found = {k for n in self.nodes for k in n.matched}
        return any(
            self.forward.bound[a].shape == node.bound.shape
            and a not in found
            and self.forward.is_used_once(a)
            and self.forward.matters(a)
            for read in node.reads
            for k in read.matched
            for a in self.forward.operands(k)
        )

    def _is_wrong(self, node: Node) -> bool:
        """Return True if a value is not the gradient that its name says, nor a part of it."""
        later = [n for n in self.nodes if node in n.reads and set(node.named) & set(n.named)]
        # A name may be used for several arrays, one after the other.
        return is_wrong_name(node) and len(later) < len(set(node.named))

    @staticmethod
    def _common(found: Sequence[list[Origin]]) -> list[Origin]:
        """Return the statements of the first that may explain as many of the others as possible."""
        common = found[0]
        for other in found[1:]:
            common = [origin for origin in common if origin in other] or common
        return common

    def _slice(self, node: Node) -> _Slice:
        found, inputs = {node: self._arrays_of(node)}, dict[Node, None]()
        waiting = [node]
        while waiting:
            made = waiting.pop()
            arrays = found[made]
            for read in made.reads:
                if read in found or read in self.cleared:
                    continue
                if not read.is_gradient or _has_odd_name(read):
                    is_part = read.bound.size == made.bound.size and not read.matched
                    found[read] = arrays if is_part else self._arrays_of(read)
                    waiting.append(read)
                elif self._is_other_gradient(read, arrays):
                    found.update(dict.fromkeys(_same_values(read), frozenset[int]()))
                else:
                    inputs[read] = None
        suspects = [n for n in found if n is node or not _is_handed_on(n)]
        return _Slice(order(suspects), list(inputs))

    def _arrays_of(self, node: Node) -> AbstractSet[int]:
        """Return the array of the forward pass whose gradient a value should be, if it is clear."""
        if node.parameter is not None:
            return set(self.forward.parameter(node.parameter.name))
        return set(node.named) if len(set(node.named)) == 1 else set()

    def _is_other_gradient(self, read: Node, arrays: AbstractSet[int]) -> bool:
        """Return True for the gradient by something that was not computed from these arrays."""
        consumers = {k for array in arrays for k in self.forward.consumers(array)}
        return bool(consumers and read.matched) and not consumers & set(read.matched)

    def _ranked(self, suspects: Sequence[Node], common: Sequence[Origin]) -> tuple[Statement, ...]:
        """Return the statements that may be to blame, the most likely first."""
        likely = [n.bound.origin for n in reversed(suspects)]
        misnamed = [n.bound.origin for n in suspects if n.is_misnamed]
        unchanged = [n.bound.origin for n in suspects if _is_copy(n) or n in self.regularizing]
        operands = [n.bound.origin for n in suspects if n.is_operand]

        def rank(origin: Origin) -> int:
            if origin in misnamed:
                return 0
            if origin in operands or origin in unchanged:
                return 4 if origin in operands else 3
            # What only multiplies is simpler than what it multiplies.
            return 2 if origin[0].is_product else 1

        ranked = sorted((o for o in dict.fromkeys(likely) if o in common), key=rank)
        loops = [o[0].loop for o in common if o[0].loop is not None and likely.count(o) > 1]
        concerned = [n for n in suspects if n.bound.origin in common]
        callers = [caller for node in concerned for caller in self._callers(node)]
        return tuple(dict.fromkeys([*(origin[0] for origin in ranked), *callers, *loops]))

    def _callers(self, node: Node) -> list[Statement]:
        """Return the calls that may be wrong: others go right, or they depend on a condition."""
        went_right = [n for n in self.nodes if is_natural(n.factor) and not _is_copy(n)]
        same = [n for n in went_right if n.bound.origin == node.bound.origin]
        others = {caller for n in same for caller in n.bound.callers}
        right = {caller for n in went_right for caller in n.bound.callers}
        callers = node.bound.callers
        found = [caller for caller in callers if others and caller not in others]
        for above, caller in zip((None, *callers), callers, strict=False):
            if caller.in_branch and caller not in right:
                found += [caller, *filter(None, [above])]
        return found

    # A multiple of the gradient

    def _odd_input(self, slices: Iterable[_Slice]) -> Node | None:
        """Return a right gradient with a factor that nobody wants, from which others were made."""
        inputs = [node for each in slices for node in each.inputs]
        found = [n for node in inputs for n in ancestors(node) if n in self.odd]
        found = [n for n in found if n not in self.right]
        return order(found)[0] if found else None

    def _unlike_input(self, part: _Slice) -> Node | None:
        """Return the value at which the factor of an input became unlike that of the others."""
        factors = [node.factor for node in part.inputs]
        if len(set(factors)) < 2:  # noqa: PLR2004
            return None
        usual = max(set(factors), key=factors.count)
        for node in order(n for n in part.inputs if n.factor != usual):
            while True:
                before = [read for read in node.reads if read.is_gradient]
                same = [read for read in before if read.factor == node.factor]
                if not same:
                    break
                node = same[0]  # noqa: PLW2901 (the walk goes up)
            if before:
                return node
        return None

    def _changed_factor(self, node: Node) -> Suspicion:
        before = _gradients_read(node)
        ratio = node.factor / before[0].factor if before else node.factor
        self.odd.discard(node)
        part = self._slice(node)
        statements = self._ranked(part.suspects, part.origins)
        return Suspicion(node, statements, before, ratio)

    def _first_multiple(self, multiples: dict[Node, float]) -> Suspicion:
        for odd in order(self.odd):
            if odd not in self.right and any(odd in ancestors(node) for node in multiples):
                return self._changed_factor(odd)
        first = order(multiples)[0]
        factor = multiples[first]
        regions = [self._scaled_before(n) for n, f in multiples.items() if f == factor]
        origins = [[n.bound.origin for n in region] for region in regions]
        origins.sort(key=lambda each: first.bound.origin not in each)
        common = self._common(origins)
        region = [n for n in self._scaled_before(first) if n.bound.origin in common] or [first]
        changes = [n for n in region if self._changes_factor(n, factor)]
        exact = [n for n in changes if n in self.wrong or n.factor == factor]
        likely = (exact or changes or region[::-1])[0]
        inputs = _gradients_read(likely)
        rest = [n.bound.statement for n in reversed(region) if n not in exact]
        ranked = tuple(dict.fromkeys([likely.bound.statement, *rest]))
        return Suspicion(likely, ranked, inputs, factor)

    def _scaled_before(self, node: Node) -> list[Node]:
        """Return what a value was made from, as far as its factor is not known to be right."""
        found, waiting = {node}, [node]
        while waiting:
            for read in waiting.pop().reads:
                if read not in self.right and read not in self.cleared and read not in found:
                    found.add(read)
                    waiting.append(read)
        return order(n for n in found if n is node or not _is_handed_on(n))

    def _changes_factor(self, node: Node, factor: float) -> bool:
        """Return True if the factors are natural with this statement mended."""
        own = 1.0 if node in self.wrong else node.factor / factor
        before = [read.factor for read in node.reads if read.is_gradient]
        return is_natural(own) and all(map(is_natural, before))


def _is_odd(node: Node) -> bool:
    """Return True if a statement changes the factor of a gradient by what nobody wants."""
    if not node.is_gradient or node.bound.alias_of is not None or node.is_final:
        return False
    before = [read for read in node.reads if read.is_gradient]
    ratios = [node.factor / read.factor for read in before] or [node.factor]
    return not any(is_natural(ratio) or is_natural(1 / ratio) for ratio in ratios)


def is_wrong_name(node: Node) -> bool:
    """Return True if a value is not the gradient that its name says."""
    is_new = node.bound.alias_of is None and not node.is_operand
    return bool(node.named) and is_new and not node.is_gradient


def _is_own(node: Node) -> bool:
    """Return True for a value that is no gradient, and is neither changed later nor an operand."""
    bound = node.bound
    is_final = bound.alias_of is None and bound.replaced_by is None
    return is_final and not node.is_operand and not node.is_gradient


def _has_odd_name(node: Node) -> bool:
    """Return True if a gradient has the name of another one, or was only given a new name."""
    is_renamed = node.bound.alias_of is not None and not _is_handed_on(node)
    return node.is_misnamed or is_renamed


def _is_handed_on(node: Node) -> bool:
    """Return True for what is only an argument, or an item of something."""
    bound = node.bound
    if node.is_misnamed:
        # What was given to it had the wrong name already.
        return any(read.is_misnamed for read in node.reads)
    return bound.alias_of is not None and (bound.is_argument or not bound.is_name)


def _gradients_read(node: Node) -> tuple[Node, ...]:
    return tuple(read for read in node.reads if read.is_gradient)


def _same_values(node: Node) -> list[Node]:
    """Return a value, and what it is another name for, one after the other."""
    chain = [node]
    while chain[-1].bound.alias_of is not None and chain[-1].surely:
        chain.append(chain[-1].surely[0])
    return chain


def _is_copy(node: Node) -> bool:
    """Return True if a value is a multiple of one that it was made from."""
    return any(_are_parallel(read.bound.value, node.bound.value) for read in node.reads)


def _are_parallel(one: Vector, other: Vector) -> bool:
    if len(one) != len(other) or len(one) == 1 or "f" not in one.dtype.kind + other.dtype.kind:
        return False
    square = float(one @ one)
    factor = float(one @ other) / square if square else 0.0
    return bool(np.allclose(other, factor * one, rtol=PARALLEL, atol=0))


def ancestors(node: Node, beyond: Collection[Node] = ()) -> set[Node]:
    """Return a value and all that it was made from, but not what some values were made from."""
    found, waiting = {node}, [node]
    while waiting:
        last = waiting.pop()
        fresh = [read for read in last.reads if read not in found and last not in beyond]
        found.update(fresh)
        waiting += fresh
    return found


def order(nodes: Iterable[Node]) -> list[Node]:
    """Return values in the order in which they were bound."""
    return sorted(nodes, key=lambda node: node.bound.index)
