"""The values of the forward pass, found again in the backward pass."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import ForwardPass, direction
from gradcheck_magic._backward.names import has_gradient_name, plain
from gradcheck_magic._inputs.pairing import Pairing

__all__ = ["Known"]

Vector = NDArray[np.float64]

# Values of the forward pass that are computed twice agree to this part.
SAME_VALUE = 1e-9


@dataclass(eq=False)
class Known:
    """The values of the forward pass, and the parameters."""

    forward: ForwardPass
    pairing: Pairing

    def __post_init__(self) -> None:
        self.by_size: dict[int, list[tuple[float, int, Vector]]] = {}
        self.by_name: dict[str, list[int]] = {}
        self.by_exact_name: dict[str, list[int]] = {}
        for bound in self.forward.bound[: self.forward.end + 1]:
            if bound.is_parameter:
                continue
            self._add(bound.index, bound.value)
            if bound.name:
                self.by_name.setdefault(plain(bound.name), []).append(bound.index)
                self.by_exact_name.setdefault(bound.name, []).append(bound.index)
        arrays = [parameter.array for parameter in self.pairing.parameters.arrays]
        self.parameters = [np.ravel(np.asarray(array)) for array in arrays]
        for array in self.parameters:
            self._add(-1, array)

    def _add(self, place: int, value: Vector) -> None:
        # A product with a random vector tells at once that most values are others.
        product = float(value @ direction(len(value), 0)) if len(value) else 0.0
        insort(self.by_size.setdefault(len(value), []), (product, place, value), key=_product)

    def same(self, value: Vector) -> list[int]:
        """Return which values of the forward pass this one is, or -1 for a parameter."""
        known = self.by_size.get(len(value))
        if not known:
            return []
        along = direction(len(value), 0)
        product = float(value @ along)
        slack = 2 * SAME_VALUE * float(np.abs(value) @ np.abs(along))
        first = bisect_left(known, product - slack, key=_product)
        last = bisect_right(known, product + slack, key=_product)
        return sorted(place for _, place, other in known[first:last] if _are_close(other, value))

    def is_parameter(self, bound: Bound) -> bool:
        """Return True for the value of a parameter."""
        return any(_are_close(array, bound.value) for array in self.parameters)

    def place_of(self, bound: Bound) -> int | None:
        """Return which value of the forward pass this is, -1 for a parameter; None if it is none.

        What J does not depend on is not of the forward pass, even if J computes it. Neither is a
        value that is called a gradient, or by the name of another one of the forward pass.
        """
        is_gradient = has_gradient_name(bound)
        named = set(self.by_name.get(plain(bound.name), ()))
        places = self.same(bound.value)
        # Of the same values, the one that the same statement has bound is meant.
        places.sort(key=lambda place: (not self._is_same(place, bound), place < 0))
        for place in places:
            if place < 0:
                return None if is_gradient else place
            its = self.forward.bound[place]
            if its.statement is not bound.statement:
                is_other = named and not named & set(places)
                is_renamed = bound.alias_of is not None and bound.is_name and not named
                if is_gradient or is_other or is_renamed:
                    continue
            return place if not is_gradient or self.forward.matters(place) else None
        return None

    def _is_same(self, place: int, bound: Bound) -> bool:
        return place >= 0 and self.forward.bound[place].statement is bound.statement

    def is_operand(self, bound: Bound, place: int) -> bool:
        """Return True for a value of the forward pass that the backward pass has chosen by itself.

        It may be another one than was meant, if the forward pass has several of this name, or if
        the backward pass has computed it once more.
        """
        if self.is_unlike(bound):
            return True
        if place < 0 or bound.is_argument or bound.value.dtype.kind != "f":
            return False
        if self.forward.bound[place].statement is bound.statement:
            return False
        named = self.by_name.get(plain(bound.name), ())
        if len({self.forward.origin(k) for k in named}) != 1:
            return True
        return bound.alias_of is None and bound.is_own and not self.is_same(bound)

    def is_known(self, bound: Bound) -> bool:
        """Return True for a value that another statement has bound in the forward pass."""
        same = [self.forward.bound[place] for place in self.same(bound.value) if place >= 0]
        return any(each.statement is not bound.statement for each in same)

    def is_same(self, bound: Bound) -> bool:
        """Return True for a value of the forward pass that has the same name there."""
        named = self.by_name.get(plain(bound.name), ())
        return bool(set(named) & set(self.same(bound.value)))

    def is_other(self, bound: Bound) -> bool:
        """Return True for a value that has the name of another one of the forward pass."""
        named = self.by_exact_name.get(bound.name, ())
        same = set(self.same(bound.value))
        is_variable = bound.label.isidentifier() and bound.size > 1
        is_renamed = bound.alias_of is not None and bound.is_name and is_variable
        has_name = bool(named) and not bound.is_part
        return has_name and bool(same or is_renamed) and not same & set(named)

    def is_unlike(self, bound: Bound) -> bool:
        """Return True for what is called like one value of the forward pass, and is another one."""
        named = {self.forward.origin(k) for k in self.by_exact_name.get(bound.name, ())}
        is_new = bound.is_own and bound.value.dtype.kind == "f"
        if not (is_new and len(named) == 1 and bound.label.isidentifier()):
            return False
        its = self.forward.bound[named.pop()]
        return its.shape == bound.shape and not _are_close(its.value, bound.value)


def _product(known: tuple[float, int, Vector]) -> float:
    return known[0]


def _are_close(one: Vector, other: Vector) -> bool:
    if len(one) != len(other):
        return False
    # `np.allclose` takes ten times as long.
    off = np.abs(np.subtract(one, other, dtype=np.float64))
    return bool((off <= SAME_VALUE * np.abs(other)).all())
