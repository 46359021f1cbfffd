"""Which value of the backward pass is the gradient by which array of the forward pass."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import ForwardPass, direction
from gradcheck_magic._diagnosis.finding import ANY_NUMBER
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = ["Backward", "Node", "is_natural", "multiple_of", "verdict_of"]

Vector = NDArray[np.float64]

# The directions along which a gradient must agree.
DIRECTIONS = 3
# Larger factors, and smaller ones than its inverse, are none.
LARGEST_FACTOR = 1e9
# A value without a name is compared with at most this many arrays.
MOST_TRIED = 24
# Slopes must agree within this part of their size, however narrow their error bars are.
SAME_TO = 1e-6
# A slope that is known no better than this part of the others is no evidence.
TOO_VAGUE = 1e-2
# Values of the forward pass that are computed twice agree to this part.
SAME_VALUE = 1e-9
# The names of the gradient of `z`, as in `dz`, `d_z`, `grad_z`, `z_grad`, `delta_z`.
GRADIENT_NAMES = re.compile(
    r"^(?:d|grad|delta|nabla|g|error|err)_?(?P<after>\w+)$|^(?P<before>\w+?)_?(?:grad|gradient|delta|bar|error)$",
    re.IGNORECASE,
)
# The attributes that hold the gradient of the object that they belong to.
OWN_GRADIENT = {"grad", "gradient", "g", "delta"}


@dataclass(eq=False)
class Node:
    """A value of the backward pass.

    Attributes
    ----------
    reads : list of Node
        The values that it was made from, without those of the forward pass.
    surely : list of Node
        Those among them that were read by themselves.
    factor : float
        It is this many times a gradient; nan if it is none that is known.
    of : str
        The array whose gradient it is; empty if none is known.
    named : list of int
        The arrays of the forward pass whose gradient it should be, by its name.
    matched : list of int
        Those whose gradient it is, but for a factor.
    is_other : bool
        True for a value of the forward pass that has the name of another one.
    is_operand : bool
        True for a value of the forward pass that the backward pass has chosen by itself.
    is_final : bool
        True for the gradient under test of a parameter, or another name for it.
    is_odd : bool
        True if its factor is not that of what it was made from, as nobody wants.
    parameter : ParameterCheck, optional
        The parameter whose gradient under test it is.
    part : slice
        Which part of that it is.
    """

    bound: Bound
    reads: list[Node] = field(default_factory=list)
    surely: list[Node] = field(default_factory=list)
    factor: float = math.nan
    of: str = ""
    named: list[int] = field(default_factory=list)
    matched: list[int] = field(default_factory=list)
    is_other: bool = False
    is_operand: bool = False
    is_final: bool = False
    is_odd: bool = False
    parameter: ParameterCheck | None = None
    part: slice = field(default_factory=lambda: slice(None))

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
        return not set(self.named) & set(self.matched)


@dataclass(eq=False)
class Backward:
    """The values of a backward pass, without those of the forward pass in it."""

    nodes: list[Node]
    forward: ForwardPass

    @classmethod
    def of(
        cls, bound: Sequence[Bound], forward: ForwardPass, check: GradientCheck, pairing: Pairing
    ) -> Backward:
        """Return the values of a recording that are none of the forward pass."""
        known = _Known(forward, pairing)
        by_index: dict[int, Node] = {}
        owners: dict[int, int] = {}
        for each in bound:
            place = known.place_of(each)
            if place is None or known.is_operand(each, place):
                by_index[each.index] = Node(
                    each, is_other=known.is_other(each), is_operand=place is not None
                )
            elif each.owner and place >= 0:
                owners[each.owner] = place
        for node in by_index.values():
            same = () if node.bound.alias_of is None else (node.bound.alias_of,)
            node.reads = [by_index[r] for r in {*node.bound.reads, *same} if r in by_index]
            sure = {*node.bound.surely, *same}
            node.surely = [read for read in node.reads if read.bound.index in sure]
        backward = cls(list(by_index.values()), forward)
        backward._find_parameters(check, pairing)
        backward._name(owners, known)
        return backward

    def _find_parameters(self, check: GradientCheck, pairing: Pairing) -> None:
        """Find the gradients under test among the values: the last of each."""
        for gradient, parameter in zip(pairing.gradients, check.parameters, strict=True):
            parts = {node: _part_of(node.bound.value, gradient) for node in self.nodes}
            equal = {node: part for node, part in parts.items() if part is not None}
            # What is only handed on was made before.
            made = {n: p for n, p in equal.items() if n.bound.alias_of is None or n.bound.is_name}
            equal = made or equal
            named = [n for n in equal if _plain(parameter.name) in _named_after(n.bound.name)]
            if not np.any(gradient):
                equal = {node: equal[node] for node in named}
            whole = [n for n, part in equal.items() if part == slice(0, len(gradient))]
            own = [n for n in whole if n in named] or whole[-1:] or list(equal)
            for node in equal:
                node.is_final = True
            for node in own:
                node.parameter, node.part = parameter, equal[node]

    def _name(self, owners: dict[int, int], known: _Known) -> None:
        """Find the arrays whose gradient each value should be, by its name."""
        by_name: dict[str, list[int]] = {}
        for each in self.forward.bound:
            # The gradient of a parameter is judged by itself.
            if not known.is_parameter(each):
                name = _plain(each.name)
                by_name.setdefault(name, []).append(each.index)
                if name.endswith("s") and each.label.endswith("]"):
                    by_name.setdefault(name[:-1], []).append(each.index)
        for node in self.nodes:
            for name in _named_after(node.bound.name):
                node.named += [
                    self.forward.origin(k)
                    for k in by_name.get(name, ())
                    if self.forward.bound[k].size == node.bound.size
                ]
            if node.bound.name.lower().strip("_") in OWN_GRADIENT and node.bound.owner in owners:
                place = owners[node.bound.owner]
                if self.forward.bound[place].size == node.bound.size:
                    node.named.append(place)

    def match(self, check: GradientCheck) -> None:
        """Find the gradient that each value is."""
        self._match_parameters(check)
        for node in self.nodes:
            is_given = node.bound.is_argument and not node.reads
            if node.is_operand or is_given or node.bound.value.dtype.kind != "f":
                continue
            self._match(node)

    def _match(self, node: Node) -> None:
        """Find the array whose gradient a value is: one that its name says, if there is one.

        Of several, that counts which needs no odd factor: x and −x have opposite gradients.
        """
        for k in dict.fromkeys(self._candidates(node)):
            has_name = not node.named or set(node.named) & set(node.matched)
            if is_natural(node.factor) and has_name:
                return
            factor = self.factor_of(node.bound.value, k)
            if not math.isnan(factor):
                node.matched.append(k)
                if not node.is_gradient or not is_natural(node.factor):
                    node.factor, node.of = factor, self.forward.label(k)

    def _candidates(self, node: Node) -> Iterator[int]:
        """Yield the arrays whose gradient a value may be, the most likely first."""
        size = node.bound.size
        same_size = self.forward.by_size.get(size, ())
        likely = [*node.named]
        for read in node.reads:
            for k in read.matched:
                likely += [k, *self.forward.operands(k)]
        yield from (k for k in likely if self.forward.bound[k].size == size)
        after = max(
            (k for read in node.reads for k in read.matched), default=len(self.forward.bound)
        )
        yield from [k for k in reversed(same_size) if k <= after][:MOST_TRIED]

    def _match_parameters(self, check: GradientCheck) -> None:
        """Find values that are multiples of the gradient of a parameter."""
        for parameter in check.parameters:
            ends = parameter.start, parameter.start + parameter.size
            here = slice(*(int(end) for end in np.searchsorted(check.measured, ends)))
            known = np.isfinite(check.uncertainty[here])
            if known.sum() < min(parameter.size, ANY_NUMBER) or check.mode != "full":
                continue
            places = check.measured[here][known] - parameter.start
            numerical, bar = check.numerical[here][known], check.uncertainty[here][known]
            for node in self.nodes:
                if (
                    node.bound.size == parameter.size
                    and node.parameter is None
                    and not node.is_gradient
                ):
                    factor = multiple_of(node.bound.value[places], numerical, bar)
                    if not math.isnan(factor):
                        node.factor, node.of = factor, parameter.name

    def factor_of(self, value: Vector, k: int) -> float:
        """Return c if a value is c times the gradient of J by the k-th array; nan if it is not."""
        size = len(value)
        slopes, bars, products = [], [], []
        lengths = float(np.linalg.norm(value)) or 1.0
        for number in range(min(DIRECTIONS, size)):
            product = float(value @ direction(size, number))
            known = self.forward.slope(k, number)
            if known is None:
                return math.nan
            slopes.append(known.low)
            bars.append(known.bar)
            products.append(product)
            if number and not self._agree(products, slopes, bars, lengths, value):
                return math.nan
        if not self._agree(products, slopes, bars, lengths, value):
            return math.nan
        return _rounded(_fitted(products, slopes))

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
            return abs(abs(factor) - 1) <= CLEAR * bars[0] / size + SAME_TO
        return all(
            abs(product - factor * slope) <= CLEAR * abs(factor) * (bar + SAME_TO * size) + slack
            for product, slope, bar in zip(products, slopes, bars, strict=True)
        )


@dataclass(eq=False)
class _Known:
    """The values of the forward pass, and the parameters."""

    forward: ForwardPass
    pairing: Pairing

    def __post_init__(self) -> None:
        self.by_size: dict[int, list[tuple[int, Vector, float]]] = {}
        self.by_name: dict[str, list[int]] = {}
        for bound in self.forward.bound:
            if bound.is_parameter:
                continue
            self._add(bound.index, bound.value)
            if bound.name:
                self.by_name.setdefault(_plain(bound.name), []).append(bound.index)
        for parameter in self.pairing.parameters.arrays:
            self._add(-1, np.ravel(np.asarray(parameter.array)))

    def _add(self, place: int, value: Vector) -> None:
        # A product with a random vector tells at once that most values are others.
        product = float(value @ direction(len(value), 0)) if len(value) else 0.0
        self.by_size.setdefault(len(value), []).append((place, value, product))

    def same(self, value: Vector) -> list[int]:
        """Return which values of the forward pass this one is, or -1 for a parameter."""
        known = self.by_size.get(len(value), ())
        if not known:
            return []
        along = direction(len(value), 0)
        product = float(value @ along)
        slack = 2 * SAME_VALUE * float(np.abs(value) @ np.abs(along))
        return [
            place
            for place, other, its in known
            if abs(its - product) <= slack and np.allclose(other, value, rtol=SAME_VALUE, atol=0)
        ]

    def is_parameter(self, bound: Bound) -> bool:
        """Return True for the value of a parameter."""
        return -1 in self.same(bound.value)

    def place_of(self, bound: Bound) -> int | None:
        """Return which value of the forward pass this is, -1 for a parameter; None if it is none.

        What J does not depend on is not of the forward pass, even if J computes it. Neither is a
        value that is called a gradient, or by the name of another one of the forward pass.
        """
        is_gradient = is_gradient_name(bound.name)
        named = set(self.by_name.get(_plain(bound.name), ()))
        places = self.same(bound.value)
        # Of the same values, the one that the same statement has bound is meant.
        places.sort(key=lambda place: not self._is_same(place, bound))
        for place in places:
            if place < 0:
                return None if is_gradient else place
            its = self.forward.bound[place]
            if its.statement is not bound.statement:
                is_other = named and not named & set(places)
                is_renamed = bound.alias_of is not None and bound.is_name and not named
                if is_gradient or is_other or is_renamed:
                    continue
            if place <= self.forward.end and (not is_gradient or self.forward.matters(place)):
                return place
        return None

    def _is_same(self, place: int, bound: Bound) -> bool:
        return place >= 0 and self.forward.bound[place].statement is bound.statement

    def is_operand(self, bound: Bound, place: int) -> bool:
        """Return True for a value of the forward pass that the backward pass has chosen by itself.

        It may be another one than was meant, if the forward pass has several of this name.
        """
        if place < 0 or bound.is_argument or bound.value.dtype.kind != "f":
            return False
        if self.forward.bound[place].statement is bound.statement:
            return False
        named = self.by_name.get(_plain(bound.name), ())
        return len({self.forward.origin(k) for k in named}) != 1

    def is_other(self, bound: Bound) -> bool:
        """Return True for a value of the forward pass that has the name of another one."""
        named = self.by_name.get(_plain(bound.name), ())
        same = set(self.same(bound.value))
        return bool(same and named) and not same & set(named)


def _part_of(value: Vector, gradient: Vector) -> slice | None:
    """Return the part of a gradient that a value is."""
    n = len(value)
    if n == len(gradient):
        return slice(0, n) if np.array_equal(value, gradient) else None
    if n < 2 or n > len(gradient) or not np.any(value):  # noqa: PLR2004
        return None
    k = int(np.flatnonzero(value)[0])
    for start in (np.flatnonzero(gradient == value[k]) - k).tolist():
        if start >= 0 and np.array_equal(gradient[start : start + n], value):
            return slice(start, start + n)
    return None


def _fitted(products: Sequence[float], slopes: Sequence[float]) -> float:
    return math.fsum(p * s for p, s in zip(products, slopes, strict=True)) / math.fsum(
        s * s for s in slopes
    )


def _rounded(factor: float) -> float:
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


def is_gradient_name(name: str) -> bool:
    """Return True if a name may be that of a gradient."""
    return GRADIENT_NAMES.match(name) is not None or name.lower().strip("_") in OWN_GRADIENT


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _named_after(name: str) -> Iterator[str]:
    """Yield the names of the array whose gradient has this name."""
    if match := GRADIENT_NAMES.match(name):
        yield _plain(match["after"] or match["before"])


def verdict_of(node: Node, check: GradientCheck) -> tuple[bool, float]:
    """Return if the gradient of a parameter is wrong, and its factor if it is a multiple."""
    if node.parameter is None:
        raise ValueError(node)
    start = node.parameter.start + node.part.start
    stop = node.parameter.start + node.part.stop
    here = (check.measured >= start) & (check.measured < stop)
    if not check.wrong[here].any():
        return False, 1.0 if np.any(
            np.abs(check.numerical[here]) > check.uncertainty[here] / TOO_VAGUE
        ) else math.nan
    known = here & np.isfinite(check.uncertainty)
    return True, multiple_of(
        check.analytic[known], check.numerical[known], check.uncertainty[known]
    )


def multiple_of(analytic: Vector, numerical: Vector, bar: Vector) -> float:
    """Return c if values are c times the measured ones, within their error bars; else nan."""
    norm = float(numerical @ numerical)
    telling = np.abs(numerical) > bar / TOO_VAGUE
    if not norm or not telling.any():
        return math.nan
    factor = _rounded(float(analytic @ numerical) / norm)
    off = np.abs(analytic - factor * numerical)
    allowed = CLEAR * abs(factor) * bar + SAME_TO * np.max(np.abs(analytic), initial=0)
    if not factor or not np.all(off <= allowed):
        return math.nan
    whole = {round(factor), 1 / (round(1 / factor) or 1)}
    return factor if telling.sum() >= ANY_NUMBER or factor in whole else math.nan
