"""Which value of the backward pass is the gradient by which array of the forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import ForwardPass, Use, direction
from gradcheck_magic._backward.known import Known
from gradcheck_magic._backward.names import OWN_GRADIENT, has_gradient_name, named_after, plain
from gradcheck_magic._backward.nodes import Node, is_natural, needed, order, rounded
from gradcheck_magic._backward.under_test import (
    SAME_TO,
    TOO_VAGUE,
    is_named,
    multiples,
    part_of,
    pieces,
    places,
)
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = ["DIRECTIONS", "Backward"]

Vector = NDArray[np.float64]

# The directions along which a gradient must agree.
DIRECTIONS = 3
# A value without a name is compared with at most this many arrays, or numbers.
MOST_TRIED = 24
MOST_NUMBERS_TRIED = 64


@dataclass(eq=False)
class Backward:
    """The values of a backward pass, without those of the forward pass in it.

    Attributes
    ----------
    nodes : list of Node
        These values.
    recorded : dict
        All that was recorded, by its index.
    known : Known
        The values of the forward pass.
    helpers : list of Node
        Values from which values of the forward pass were made: they are right.
    usual : set of float
        The factors of gradients that are arrays, and 1.
    """

    nodes: list[Node]
    forward: ForwardPass
    recorded: dict[int, Bound]
    known: Known
    helpers: list[Node] = field(default_factory=list)
    usual: set[float] = field(default_factory=lambda: {1.0})
    # The names of the parameters whose gradient is wrong.
    wrong: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls, bound: Sequence[Bound], forward: ForwardPass, check: GradientCheck, pairing: Pairing
    ) -> Backward:
        """Return the values of a recording that are none of the forward pass."""
        known = Known(forward, pairing)
        by_index: dict[int, Node] = {}
        owners: dict[int, int] = {}
        helpers: dict[int, None] = {}
        places: dict[int, int] = {}
        for each in bound:
            if each.is_inside or each.is_parameter:
                continue
            place = known.place_of(each)
            if place is not None and place >= 0:
                places[each.index] = place
            if place is None or known.is_operand(each, place):
                node = Node(each, is_operand=place is not None)
                node.is_other = known.is_other(each)
                node.is_known = known.is_known(each)
                node.is_unlike = known.is_unlike(each)
                by_index[each.index] = node
                continue
            # What only has another name may have been chosen wrongly.
            helpers |= dict.fromkeys(each.surely if each.alias_of is None else ())
            if each.owner and place >= 0:
                owners[each.owner] = place
        for node in by_index.values():
            same = () if node.bound.alias_of is None else (node.bound.alias_of,)
            node.reads = [by_index[r] for r in {*node.bound.reads, *same} if r in by_index]
            sure = {*node.bound.surely, *same}
            node.surely = [read for read in node.reads if read.bound.index in sure]
            node.beside = [places[r] for r in node.bound.reads if r in places]
        recorded = {each.index: each for each in bound}
        backward = cls(list(by_index.values()), forward, recorded, known)
        backward.helpers = [by_index[k] for k in helpers if k in by_index]
        backward._find_parameters(check, pairing)
        backward._name(owners, known)
        return backward

    @property
    def has_parameters(self) -> bool:
        """True if it has gradients under test."""
        return any(node.parameter is not None for node in self.nodes)

    @property
    def has_all_wrong(self) -> bool:
        """True if it has all gradients under test that are wrong."""
        return self.wrong <= {node.parameter.name for node in self.nodes if node.parameter}

    def _find_parameters(self, check: GradientCheck, pairing: Pairing) -> None:
        """Find the gradients under test among the values: the last of each."""
        self.wrong = {parameter.name for parameter in check.parameters if parameter.n_wrong}
        for gradient, parameter in zip(pairing.gradients, check.parameters, strict=True):
            whole = [node for node in self.nodes if not node.bound.is_part]
            parts = {node: part_of(node.bound.value, gradient) for node in whole}
            equal = {node: part for node, part in parts.items() if part is not None}
            named = [n for n in equal if is_named(n, parameter)]
            if not np.any(gradient):
                left = [n for n in equal if n.bound.is_zero and n.bound.replaced_by is None]
                equal = {node: equal[node] for node in named or left}
            # What is only handed on was made before.
            made = {n: p for n, p in equal.items() if n.bound.alias_of is None or n.bound.is_name}
            equal = made or equal
            whole = [n for n, part in equal.items() if part == slice(0, len(gradient))]
            # Two gradients may have the same values.
            meant = {n.bound.alias_of for n in named if n.bound.alias_of is not None}
            meant |= {n.bound.index for n in named}
            own = [n for n in whole if n in named] or [n for n in whole if n.bound.index in meant]
            own = own or pieces(equal, len(gradient)) or whole[-1:] or list(equal)
            own = [node for node in own if not node.bound.is_zero] or own
            for node in equal:
                node.is_final = True
            for node in own:
                node.parameter, node.part = parameter, equal[node]
            if not own:
                self._find_entries(gradient, parameter)

    def _find_entries(self, gradient: Vector, parameter: ParameterCheck) -> None:
        """Find the entries of a gradient under test among the numbers: the last of each."""
        last = {float(node.bound.value[0]): node for node in self.nodes if node.bound.size == 1}
        found = {k: last[each] for k, each in enumerate(gradient.tolist()) if each in last}
        telling = {k: node for k, node in found.items() if has_gradient_name(node.bound)}
        if len(telling) < np.count_nonzero(gradient):
            return
        for k, node in telling.items():
            node.is_final, node.parameter, node.part = True, parameter, slice(k, k + 1)

    def _name(self, owners: dict[int, int], known: Known) -> None:
        """Find the arrays whose gradient each value should be, by its name."""
        by_name: dict[str, list[int]] = {}
        for each in self.forward.bound:
            # The gradient of a parameter is judged by itself.
            if not known.is_parameter(each):
                name = plain(each.name)
                by_name.setdefault(name, []).append(each.index)
                if name.endswith("s") and each.label.endswith("]"):
                    by_name.setdefault(name[:-1], []).append(each.index)
        for node in self.nodes:
            for name in named_after(node.bound.name):
                named = [self.forward.origin(k) for k in by_name.get(name, ())]
                same = [k for k in named if self.forward.bound[k].size == node.bound.size]
                node.named += same
                node.is_misshapen |= bool(named and not same and node.bound.size > 1)
            if node.bound.name.lower().strip("_") in OWN_GRADIENT and node.bound.owner in owners:
                place = self.forward.origin(owners[node.bound.owner])
                if self.forward.bound[place].size == node.bound.size:
                    node.named.append(place)

        by_index = {node.bound.index: node for node in self.nodes}
        for node in self.nodes:
            if node.bound.alias_of in by_index:
                origin = by_index[node.bound.alias_of]
                origin.hinted += node.named
                origin.is_called |= bool(node.named) and not node.bound.is_argument

    def match(self, check: GradientCheck) -> None:
        """Find the gradient that each value is; numbers come last, with the factors of arrays."""
        self._match_parameters(check)
        arrays = [node for node in self.nodes if node.bound.size > 1]
        for node in arrays:
            self._match(node)
        self.usual |= {node.factor for node in arrays if is_natural(node.factor)}
        for node in self.nodes:
            if node.bound.size == 1:
                self._match(node)

    def _match(self, node: Node) -> None:
        """Find the array whose gradient a value is: one that its name says, if there is one.

        Of several, that counts which needs no odd factor: x and −x have opposite gradients.
        """
        is_given = node.bound.is_argument and not (node.reads or node.bound.code)
        is_chosen = node.is_operand and node.bound.alias_of is not None
        if is_chosen or is_given or node.is_unlike or node.bound.value.dtype.kind != "f":
            return
        for k in dict.fromkeys(self._candidates(node)):
            has_name = bool(set(node.named) & set(node.matched))
            if has_name and k not in node.named:
                return
            if is_natural(node.factor) and (has_name or not node.named):
                return
            factor = self.factor_of(node.bound.value, (k, None))
            if not math.isnan(factor):
                node.matched.append(k)
                if not node.is_gradient or not is_natural(node.factor):
                    node.factor, node.of = factor, self.forward.label(k)

    def match_uses(self, terminals: Iterable[Node]) -> None:
        """Find what is the gradient by a use of an array, as far as wrong gradients depend on it.

        Where an array is used several times, people add up what comes from each of its uses.
        """
        for node in order(needed(terminals)):
            its = next((r for r in node.reads if r.bound.index == node.bound.alias_of), None)
            if node.is_gradient or node.is_operand or node.bound.value.dtype.kind != "f":
                continue
            if its is not None and its.uses and not node.bound.is_part:
                node.factor, node.uses, node.of = its.factor, its.uses, its.of
            else:
                self._match_uses(node)

    def _match_uses(self, node: Node) -> None:
        uses = self.uses_of(node)
        terms = [read for read in node.reads if node.adds(read)]
        for use in uses:
            others = frozenset[Use]().union(*(self._uses_by(term, use[0]) for term in terms))
            together = self.forward.uses_in_call(use)
            for each in {frozenset({use}), others, others | {use}, together} - {frozenset()}:
                factor = self.factor_of(node.bound.value, *each)
                if not math.isnan(factor):
                    node.factor, node.uses = factor, each
                    node.of = self.forward.label(use[0])
                    return
        before_it = node.bound.before
        if before_it is not None and len(before_it) == node.bound.size:
            added = node.bound.value - before_it
            for use in uses:
                if not math.isnan(factor := self.factor_of(added, use)):
                    node.added, node.added_use = factor, use
                    break
            if node.added_use and self._is_of_another(node, node.added_use[0]):
                node.added = math.nan

    def _is_of_another(self, node: Node, k: int) -> bool:
        """Return True if the gradient by a use of an array was added to that by another array."""
        if node.before is None or not node.before.matched or k in node.named:
            return False
        return not self._uses_by(node.before, k)

    def _uses_by(self, term: Node, k: int) -> frozenset[Use]:
        """Return the uses of an array of which a value is the gradient."""
        if term.uses:
            return term.uses if all(a == k for a, _ in term.uses) else frozenset()
        uses = self.forward.uses(k, term.matched)
        return frozenset(u for u in uses if not math.isnan(self.factor_of(term.bound.value, u)))

    def uses_of(self, node: Node) -> list[Use]:
        """Return the uses of which a value may be the gradient, the most likely first."""
        users = [k for read in node.reads for k in read.matched]
        arrays = dict.fromkeys(a for k in users for a in self.forward.operands(k))
        found = [use for a in arrays for use in self.forward.uses(a, users)]
        parts = dict.fromkeys(a for read in node.reads for a, _ in read.uses)
        parameter = self.forward.parameter(node.parameter.name) if node.parameter else []
        parameter = [k for k in parameter if self.forward.bound[k].size == node.bound.size]
        for a in (*parts, *node.named, *parameter):
            found += self.forward.uses(a)
        named = set(parameter) or set(node.named) or {*arrays, *parts}
        return [
            (a, user)
            for a, user in dict.fromkeys(found)
            if a in named and self.forward.size((a, user)) == node.bound.size
        ][:MOST_TRIED]

    def _candidates(self, node: Node) -> Iterator[int]:
        """Yield the arrays whose gradient a value may be, the most likely first."""
        size = node.bound.size
        same_size = self.forward.by_size.get(size, ())
        likely = [*node.named, *node.hinted]
        for read in node.reads:
            for k in read.matched:
                likely += [k, *self.forward.operands(k)]
        for k in node.beside:
            likely += [k, *self.forward.consumers(k), *self.forward.operands(k)]
        yield from (k for k in likely if self.forward.bound[k].size == size)
        after = max(
            (k for read in node.reads for k in read.matched), default=len(self.forward.bound)
        )
        most = MOST_NUMBERS_TRIED if size == 1 else MOST_TRIED
        yield from [k for k in reversed(same_size) if k <= after][:most]

    def _match_parameters(self, check: GradientCheck) -> None:
        """Find values that are multiples of the gradient of a parameter.

        One that is under test as the gradient of another parameter was given the wrong name.
        """
        for parameter in check.parameters:
            multiple = multiples(parameter, check)
            fitting = [n for n in self.nodes if n.bound.size == parameter.size]
            if multiple is None:
                continue
            is_right = not check.wrong[places(parameter, check)].any()
            for node in fitting:
                is_other = node.parameter not in {None, parameter}
                if is_other and is_right:
                    continue
                factor = math.nan if node.is_gradient else multiple(node.bound.value)
                if is_other and (factor != 1 or self.hand_on(node) is None):
                    continue
                if not math.isnan(factor):
                    node.factor, node.of = factor, parameter.name

    def hand_on(self, node: Node) -> Node | None:
        """Put the last name of a gradient under test to the test; None if it has no other."""
        names = [n for n in self.nodes if n.bound.alias_of == node.bound.index]
        named = [n for n in names if node.parameter and is_named(n, node.parameter)]
        if not named:
            return None
        last = named[-1]
        last.parameter, last.part, last.is_final = node.parameter, node.part, True
        node.parameter, node.is_final = None, False
        return last

    def factor_of(self, value: Vector, *uses: Use) -> float:
        """Return c if a value is c times the gradient of J by some uses; nan if it is not."""
        size = len(value)
        slopes, bars, products = [], [], []
        length = float(np.linalg.norm(value)) or 1.0
        if not math.isfinite(length):
            return math.nan
        for number in range(min(DIRECTIONS, size)):
            product = float(value @ direction(size, number))
            known = [self.forward.slope(k, number, user) for k, user in uses]
            if None in known:
                return math.nan
            slopes.append(math.fsum(each.low for each in known if each))
            bars.append(math.fsum(each.bar for each in known if each))
            products.append(product)
            if number and not self._agree(products, slopes, bars, length, value):
                return math.nan
        if not self._agree(products, slopes, bars, length, value):
            return math.nan
        factor = _fitted(products, slopes)
        # In single precision, a slope is not known as well as a factor can be told.
        is_one = abs(abs(factor) - 1) <= CLEAR * max(bars) / math.hypot(*slopes)
        return math.copysign(1.0, factor) if is_one else rounded(factor)

    def _agree(
        self,
        products: list[float],
        slopes: list[float],
        bars: list[float],
        length: float,
        value: Vector,
    ) -> bool:
        size = math.hypot(*slopes)
        if not size > max(bars) / TOO_VAGUE:
            return False
        factor = _fitted(products, slopes)
        if not (math.isfinite(factor) and factor):
            return False
        eps = float(np.finfo(value.dtype).eps) if value.dtype.kind == "f" else 0.0
        slack = eps * length * 64
        if len(value) == 1:
            # Any number is a multiple of any other.
            slack = CLEAR * bars[0] / size + SAME_TO
            return any(abs(factor - usual) <= slack * usual for usual in self.usual)
        return all(
            abs(product - factor * slope) <= CLEAR * abs(factor) * (bar + SAME_TO * size) + slack
            for product, slope, bar in zip(products, slopes, bars, strict=True)
        )


def _fitted(products: Sequence[float], slopes: Sequence[float]) -> float:
    return math.fsum(p * s for p, s in zip(products, slopes, strict=True)) / math.fsum(
        s * s for s in slopes
    )
