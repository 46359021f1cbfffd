"""What custom functions of torch and JAX return in the backward pass.

Each such value is the gradient by what that very call of the function got. So it can be judged even
where the library computes everything around it, unseen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array
from gradcheck_magic._backward.bound import Bound, leaves
from gradcheck_magic._backward.custom import CustomCall
from gradcheck_magic._backward.forward import ForwardPass, direction
from gradcheck_magic._backward.match import DIRECTIONS, Backward
from gradcheck_magic._backward.names import named_after, plain
from gradcheck_magic._backward.nodes import Node
from gradcheck_magic._backward.sources import source_of
from gradcheck_magic._backward.under_test import TOO_VAGUE, places
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["judge_returned"]

Vector = NDArray[Any]

# Slopes that differ by at most this part are the same. Those of other costs differ by factors.
SAME_CHANGE = 1e-3


def judge_returned(backward: Backward, check: GradientCheck) -> bool:
    """Tell what is no gradient although it must be one.

    Return False if it is the backward pass of something else: J at other parameters, for example.
    """
    of_code: dict[CodeType, list[CustomCall]] = {}
    for call in backward.forward.custom_calls:
        of_code.setdefault(call.backward, []).append(call)
    pairs: list[tuple[CustomCall, _Pass]] = []
    for code, calls in of_code.items():
        passes = _passes(backward, code)
        # The backward pass goes the other way round.
        if len(passes) >= len(calls):
            pairs += zip(reversed(calls), passes[-len(calls) :], strict=True)
    pairs.sort(key=lambda pair: pair[1].returned[0].bound.index)
    is_right = True
    for number, (call, one) in enumerate(pairs):
        starts_right = _starts_right(backward, call, one)
        if starts_right is None and is_right:
            # What the library computes between right functions is right, if it starts from J.
            starts_right = _has_right_gradient(check)
        if not (number or starts_right):
            return False
        is_right &= bool(starts_right) and _are_right(backward, call, one)
    return True


def _has_right_gradient(check: GradientCheck) -> bool:
    """Return True if the gradient of some parameter is right: not all have a factor."""
    telling = np.abs(check.numerical) > check.uncertainty / TOO_VAGUE
    every = (places(parameter, check) for parameter in check.parameters)
    return any(telling[here].any() and not check.wrong[here].any() for here in every)


@dataclass(frozen=True, eq=False)
class _Pass:
    """What one call of a backward function was given, and what it has returned."""

    given: list[Node]
    returned: list[Node]


def _passes(backward: Backward, code: CodeType) -> list[_Pass]:
    """Return what each call of some code was given, and what it has returned."""
    source = source_of(code)
    statements = source.statements if source else set()
    returned: dict[int, list[Node]] = {}
    for node in backward.nodes:
        if node.bound.statement.is_return and node.bound.statement in statements:
            returned.setdefault(node.bound.call, []).append(node)
    given: dict[int, list[Node]] = {}
    for node in backward.nodes:
        if node.bound.is_argument:
            given.setdefault(node.bound.call, []).append(node)
    return [_Pass(given.get(call, []), nodes) for call, nodes in returned.items()]


def _starts_right(backward: Backward, call: CustomCall, one: _Pass) -> bool | None:
    """Return if all is given that it should be; None if J by what the call returns is not known."""
    forward = backward.forward
    of_call = (b for b in forward.bound if b.call == call.number and b.statement.is_return)
    origins = {forward.origin(b.index) for b in of_call if not (b.is_inside or b.is_argument)}
    # A result can be moved under some of its names only.
    results = [
        b.index
        for b in forward.bound
        if forward.origin(b.index) in origins and forward.slope(b.index, 0) is not None
    ]
    if not results:
        return _goes_with_arguments(backward, call, one)
    return bool(one.given) and all(
        any(_factor(backward, node, k) == 1 for k in results) for node in one.given
    )


def _goes_with_arguments(backward: Backward, call: CustomCall, one: _Pass) -> bool | None:
    """Return if J changes with an argument by what is given; None if that cannot be told.

    Along a direction of the argument, the function's value is moved by its own numerical derivative
    there: how much J changes is their product with what is given.
    """
    forward = backward.forward
    places = _places(forward, call)
    for position, name in call.arguments.items():
        k = places.get(name)
        slope = forward.slope(k, 0) if k is not None and _is_steep(forward, k) else None
        if k is None or slope is None:
            continue
        moves = _moves(call, position, forward.bound[k].value)
        if [len(move) for move in moves] != [node.bound.size for node in one.given]:
            return None
        pairs = zip(one.given, moves, strict=True)
        told = math.fsum(float(node.bound.value @ move) for node, move in pairs)
        return abs(told - slope.low) <= slope.bar + SAME_CHANGE * abs(told)
    return None


def _moves(call: CustomCall, position: int, value: Vector) -> list[Vector]:
    """Return how fast each result of a call moves if an argument moves along a direction."""
    step = float(np.cbrt(np.finfo(value.dtype).eps) * (np.abs(value).max() or 1.0))
    results = []
    for sign in (1, -1):
        result = call.value_with(position, sign * step * direction(value.size, 0))
        arrays = [array for _, leaf in leaves(result) if (array := as_array(leaf)) is not None]
        results.append([np.ravel(array).astype(np.float64) for array in arrays])
    return [(above - below) / (2 * step) for above, below in zip(*results, strict=True)]


def _places(forward: ForwardPass, call: CustomCall) -> dict[str, int]:
    """Return where the arguments of a call were recorded."""
    return {b.name: b.index for b in forward.bound if b.call == call.number and b.is_argument}


def _factor(backward: Backward, node: Node, k: int) -> float:
    is_same_size = backward.forward.bound[k].size == node.bound.size
    return backward.factor_of(node.bound.value, (k, None)) if is_same_size else math.nan


def _are_right(backward: Backward, call: CustomCall, one: _Pass) -> bool:
    """Return True if no value that was returned is wrong; note those that are."""
    forward = backward.forward
    places = _places(forward, call)
    by_index = {node.bound.index: node for node in backward.nodes}
    are_right = True
    for node in one.returned:
        name = call.arguments.get(_position(node.bound), "")
        k = places.get(name)
        # A gradient that nobody needs may be zero.
        if k is None or forward.bound[k].size != node.bound.size or not np.any(node.bound.value):
            continue
        factor = _factor(backward, node, k)
        alias_of = node.bound.alias_of
        made = node if alias_of is None else by_index.get(alias_of, node)
        if factor == 1:
            made.factor, made.of = 1.0, name
        elif _is_steep(forward, k):
            if plain(name) not in named_after(made.bound.name):
                # It may be right in itself, and returned in the wrong place.
                node.parameter, node.part = made.parameter or node.parameter, made.part
                made.parameter = None
                if any(_factor(backward, made, other) == 1 for other in places.values()):
                    made.factor = 1.0
                made = node
            made.misreturned, are_right = (k, factor), False
    return are_right


def _position(bound: Bound) -> int:
    """Return which of the values it is that a function returns; -1 if it is none by itself."""
    path = (*bound.statement.parts[bound.place[1]].path, *bound.place[2])
    return path[0] if len(path) == 1 else -len(path)


def _is_steep(forward: ForwardPass, k: int) -> bool:
    """Return True if J depends on the k-th array, and it is well known how."""
    slopes = [forward.slope(k, n) for n in range(min(DIRECTIONS, forward.bound[k].size))]
    known = [slope for slope in slopes if slope is not None]
    steepest = max((abs(slope.low) for slope in known), default=0.0)
    return len(known) == len(slopes) and steepest > max(s.bar for s in known) / TOO_VAGUE
