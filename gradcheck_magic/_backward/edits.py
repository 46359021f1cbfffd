"""Statements written a little differently, as whoever has made a slip may have meant them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from itertools import permutations
from typing import NamedTuple

from gradcheck_magic._backward.statements import fresh

__all__ = [
    "ADD_AT",
    "AT_HAND",
    "FAR_FETCHED",
    "PUT_IN",
    "SPARE",
    "STAGES",
    "SUBTRACT_AT",
    "WRITTEN_OUT",
    "Edit",
    "Replacing",
    "conjugations_of",
    "edits_of",
]

# The name of another value in an expression.
SPARE = "spare"
# The names of the functions that set items of a copy, and that add to them.
PUT_IN, ADD_AT, SUBTRACT_AT = "put_in", "add_at", "subtract_at"

# How near at hand an edit is: what it needs is in the statement, or is known to the function, or it
# is made up.
STAGES = 3
WRITTEN_OUT, AT_HAND, FAR_FETCHED = range(STAGES)
AXES = (0, 1, -1, None)
# What is taken for what.
COMPARISONS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)
OTHER_OPERATORS: dict[type[ast.AST], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
}
# What is often forgotten: a mask, and the slopes of tanh and of the sigmoid.
SLOPES = [
    ast.parse(text, mode="eval").body
    for text in (f"({SPARE} > 0)", f"(1 - {SPARE} ** 2)", f"({SPARE} * (1 - {SPARE}))")
]
# What adds up, and what may be written instead.
OTHER_REDUCTIONS = {
    "sum": ("mean", "max"),
    "mean": ("sum",),
    "max": ("sum",),
    "min": ("sum",),
    "prod": ("sum",),
}


class Edit(NamedTuple):
    """An expression with one change, and how far-fetched that is."""

    stage: int
    tree: ast.expr


def edits_of(tree: ast.expr, *, is_change: bool) -> Iterator[Edit]:
    """Yield an expression in which all variables are called ``v0``, ``v1``, ..., with one change.

    If it changes an array, as ``v0 + v1`` stands for ``v0 += v1``, what is changed stays.
    """
    match tree:
        case ast.Call(func=ast.Name(id=name), args=[holder, index, value]) if name == PUT_IN:
            was = ast.Subscript(holder, index, ast.Load())
            yield Edit(
                WRITTEN_OUT, _with(tree, "args", [holder, index, _binary(was, ast.Add, value)])
            )
            yield from _items(tree, "args", [1, 2])
        case ast.Call(func=ast.Name(id=name)) if name in {ADD_AT, SUBTRACT_AT}:
            other = SUBTRACT_AT if name == ADD_AT else ADD_AT
            yield Edit(WRITTEN_OUT, _with(tree, "func", ast.Name(other, ast.Load())))
            yield from _items(tree, "args", [1, 2])
        case ast.BinOp(left=left, op=op, right=right) if is_change:
            yield Edit(WRITTEN_OUT, right)
            for operator in OTHER_OPERATORS.get(type(op), ()):
                yield Edit(WRITTEN_OUT, _binary(left, operator, right))
            for stage, each in _edited(right):
                yield Edit(stage, _binary(left, type(op), each))
        case _:
            yield from _edited(tree)
    yield from _renamed(tree)


def conjugations_of(tree: ast.expr) -> Iterator[Edit]:
    """Yield an expression of complex numbers with one conjugate more, or with one less."""
    for name in dict.fromkeys(node.id for node in ast.walk(tree) if _is_variable(node)):  # type: ignore[attr-defined]
        conjugate = ast.Call(ast.Attribute(ast.Name(name, ast.Load()), "conj", ast.Load()), [], [])
        yield Edit(WRITTEN_OUT, Replacing({name: conjugate}).visit(fresh(tree)))
    for k in range(sum(map(_is_conjugate, ast.walk(tree)))):
        yield Edit(WRITTEN_OUT, _WithoutConjugate(k).visit(fresh(tree)))


def _is_conjugate(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"conj", "conjugate"}
    )


class _WithoutConjugate(ast.NodeTransformer):
    """Takes what one of several calls of ``conj`` is of in place of it."""

    def __init__(self, which: int) -> None:
        self._left = which

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_conjugate(node):
            self._left -= 1
            if self._left < 0 and isinstance(node.func, ast.Attribute):
                self._left = sys.maxsize
                return node.args[0] if node.args else node.func.value
        return self.generic_visit(node)


def _renamed(tree: ast.expr) -> Iterator[Edit]:
    """Yield an expression with another variable in all places of one."""
    names = [node.id for node in ast.walk(tree) if _is_variable(node)]  # type: ignore[attr-defined]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            spare = ast.Name(SPARE, ast.Load())
            yield Edit(AT_HAND, Replacing({name: spare}).visit(fresh(tree)))


class Replacing(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, instead: Mapping[str, ast.expr]) -> None:
        self.instead = instead

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.instead.get(node.id, node)


def _edited(tree: ast.expr) -> Iterator[Edit]:
    spare = ast.Name(SPARE, ast.Load())
    is_name = _is_variable(tree)
    for operator in (ast.Mult, ast.Add, ast.Sub, ast.Div):
        yield Edit(AT_HAND, _binary(tree, operator, spare))
    for slope in SLOPES:
        yield Edit(AT_HAND, _binary(tree, ast.Mult, slope))
    for other in (spare, ast.Attribute(spare, "T", ast.Load())):
        yield Edit(AT_HAND, _binary(other, ast.MatMult, tree))
        yield Edit(AT_HAND, _binary(tree, ast.MatMult, other))
    if not is_name:
        yield Edit(WRITTEN_OUT, ast.Attribute(tree, "T", ast.Load()))
        yield Edit(FAR_FETCHED, spare)
        yield Edit(FAR_FETCHED, _binary(tree, ast.Mult, ast.Constant(0)))
        yield Edit(
            FAR_FETCHED, _binary(_binary(tree, ast.Mult, ast.Constant(0)), ast.Add, ast.Constant(1))
        )
        yield Edit(FAR_FETCHED, _binary(tree, ast.Sub, ast.Constant(1)))
        yield Edit(FAR_FETCHED, _binary(ast.Constant(1), ast.Sub, tree))
    yield from _within(tree)


def _within(tree: ast.expr) -> Iterator[Edit]:
    yield from _here(tree)
    for name, child in ast.iter_fields(tree):
        if isinstance(child, ast.expr):
            for stage, each in _within(child):
                yield Edit(stage, _with(tree, name, each))
        elif isinstance(child, list):
            places = [k for k, item in enumerate(child) if isinstance(item, ast.expr)]
            yield from _items(tree, name, places)


def _items(tree: ast.expr, name: str, places: list[int]) -> Iterator[Edit]:
    items = getattr(tree, name)
    for k in places:
        for stage, each in _within(items[k]):
            yield Edit(stage, _with(tree, name, [*items[:k], each, *items[k + 1 :]]))


def _here(tree: ast.expr) -> Iterator[Edit]:
    spare = ast.Name(SPARE, ast.Load())
    match tree:
        case ast.BinOp():
            yield from _of_operation(tree)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield Edit(WRITTEN_OUT, operand)
        case ast.Compare(left=left, ops=[op], comparators=others):
            for other in COMPARISONS:
                if not isinstance(op, other):
                    yield Edit(WRITTEN_OUT, ast.Compare(left, [other()], others))
        case ast.Attribute(attr="T", value=value):
            yield Edit(WRITTEN_OUT, value)
        case ast.Call():
            yield from _of_call(tree)
        case ast.Name() if _is_variable(tree):
            yield Edit(AT_HAND, spare)
            yield Edit(AT_HAND, _binary(tree, ast.Mult, spare))
            yield Edit(WRITTEN_OUT, ast.UnaryOp(ast.USub(), tree))
            yield Edit(WRITTEN_OUT, ast.Attribute(tree, "T", ast.Load()))
            yield Edit(WRITTEN_OUT, _binary(ast.Constant(1), ast.Sub, tree))
            yield Edit(WRITTEN_OUT, _binary(tree, ast.Pow, ast.Constant(2)))
            yield Edit(WRITTEN_OUT, _binary(tree, ast.Sub, ast.Constant(1)))


def _of_operation(tree: ast.BinOp) -> Iterator[Edit]:
    left, op, right = tree.left, tree.op, tree.right
    for other in OTHER_OPERATORS.get(type(op), ()):
        yield Edit(WRITTEN_OUT, _binary(left, other, right))
    yield Edit(WRITTEN_OUT, left)
    if isinstance(op, (ast.Add, ast.Mult)):
        yield Edit(WRITTEN_OUT, right)
    if isinstance(op, ast.Sub):
        yield Edit(WRITTEN_OUT, _binary(right, ast.Sub, left))
    if isinstance(op, ast.Div) and not isinstance(left, ast.Constant):
        yield Edit(WRITTEN_OUT, _binary(ast.Constant(1), ast.Div, right))
    if isinstance(op, (ast.Mult, ast.Div)):
        # That of a square has a factor of 2, and that of a cube one of 3.
        yield Edit(FAR_FETCHED, _binary(tree, ast.Mult, ast.Constant(2)))
        yield Edit(FAR_FETCHED, _binary(tree, ast.Div, ast.Constant(2)))
        yield Edit(FAR_FETCHED, _binary(tree, ast.Mult, ast.Constant(3)))


def _of_call(tree: ast.Call) -> Iterator[Edit]:
    name = tree.func.attr if isinstance(tree.func, ast.Attribute) else ""
    yield Edit(WRITTEN_OUT, _binary(tree, ast.Pow, ast.Constant(2)))
    if isinstance(tree.func, ast.Attribute) and name in OTHER_REDUCTIONS:
        for other in OTHER_REDUCTIONS[name]:
            swapped = ast.Attribute(tree.func.value, other, ast.Load())
            yield Edit(WRITTEN_OUT, _with(tree, "func", swapped))
        if not (tree.args or tree.keywords):
            yield from (Edit(WRITTEN_OUT, _along(tree, axis)) for axis in (0, -1))
    if name in {"transpose", "permute"} and all(map(_is_number, tree.args)):
        for order in permutations(tree.args):
            yield Edit(WRITTEN_OUT, _with(tree, "args", [*order]))
    elif len(tree.args) == 2 and not tree.keywords:  # noqa: PLR2004
        yield Edit(WRITTEN_OUT, _with(tree, "args", tree.args[::-1]))
    yield from (Edit(WRITTEN_OUT, each) for each in _other_axes(tree))


def _other_axes(call: ast.Call) -> Iterator[ast.expr]:
    """Yield a call with another axis, if it has one."""
    for k, keyword in enumerate(call.keywords):
        if keyword.arg in {"axis", "dim"}:
            for axis in _other_numbers(keyword.value):
                other = ast.keyword(keyword.arg, axis)
                yield _with(call, "keywords", [*call.keywords[:k], other, *call.keywords[k + 1 :]])
    # It is the first argument of a method, and the second one of a function.
    for k, argument in enumerate(call.args):
        for axis in _other_numbers(argument) if _is_number(argument) else ():
            yield _with(call, "args", [*call.args[:k], axis, *call.args[k + 1 :]])


def _along(call: ast.Call, axis: int) -> ast.expr:
    keywords = {"axis": axis, "keepdims": True}
    return ast.Call(call.func, [], [ast.keyword(k, ast.Constant(v)) for k, v in keywords.items()])


def _other_numbers(axis: ast.expr) -> Iterator[ast.expr]:
    return (ast.Constant(each) for each in AXES if ast.unparse(axis) != str(each))


def _binary(left: ast.expr, operator: type[ast.operator], right: ast.expr) -> ast.BinOp:
    return ast.BinOp(left, operator(), right)


def _with(tree: ast.expr, name: str, value: object) -> ast.expr:
    changed = copy(tree)
    setattr(changed, name, value)
    return changed


def _is_variable(tree: ast.AST) -> bool:
    return isinstance(tree, ast.Name) and tree.id[:1] == "v" and tree.id[1:].isdigit()


def _is_number(tree: ast.expr) -> bool:
    if isinstance(tree, ast.UnaryOp):
        return _is_number(tree.operand)
    return isinstance(tree, ast.Constant) and type(tree.value) is int
