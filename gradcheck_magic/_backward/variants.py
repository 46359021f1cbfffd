"""Expressions written a little differently, as whoever has made a slip has meant to write them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy

__all__ = ["SPARE", "variants_of"]

# The name of a value that may be missing in an expression.
SPARE = "spare"
# What is taken for what, in both directions.
SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Gt: (ast.Lt, ast.GtE),
    ast.Lt: (ast.Gt, ast.LtE),
    ast.GtE: (ast.LtE, ast.Gt),
    ast.LtE: (ast.GtE, ast.Lt),
}
REDUCTIONS = {"sum": "mean", "mean": "sum"}
AXES = (0, 1, -1, None)


def variants_of(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield an expression in which all variables are called ``v0``, ``v1``, ..., with one change.

    Where something may be missing, or should be another value, it has `SPARE` for it.
    """
    for op in (ast.Mult(), ast.Add(), ast.Sub()):
        yield ast.BinOp(tree, op, ast.Name(SPARE, ast.Load()))
    # Another name for the same is hardly meant to be something else.
    yield from () if _is_variable(tree) else _within(tree)


def _within(tree: ast.expr) -> Iterator[ast.expr]:
    yield from _here(tree)
    for name, child in ast.iter_fields(tree):
        if isinstance(child, ast.expr):
            for each in _within(child):
                yield _with(tree, name, each)
        elif isinstance(child, list):
            for k, item in enumerate(child):
                if isinstance(item, ast.expr):
                    for each in _within(item):
                        yield _with(tree, name, [*child[:k], each, *child[k + 1 :]])


def _with(tree: ast.expr, name: str, value: object) -> ast.expr:
    changed = copy(tree)
    setattr(changed, name, value)
    return changed


def _here(tree: ast.expr) -> Iterator[ast.expr]:
    match tree:
        case ast.BinOp():
            yield from _of_operation(tree)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield operand
        case ast.Compare(left=left, ops=[op], comparators=others):
            yield from (
                ast.Compare(left, [other()], others)  # type: ignore[list-item]
                for other in SWAPPED.get(type(op), ())
            )
        case ast.Attribute(attr="T", value=value):
            yield value
        case ast.Call(func=ast.Attribute(attr=name) as function, args=arguments):
            if name in REDUCTIONS:
                swapped = ast.Attribute(function.value, REDUCTIONS[name], ast.Load())
                yield ast.Call(swapped, arguments, tree.keywords)
            yield from _other_axes(tree)
            if name in REDUCTIONS and not (arguments or tree.keywords):
                yield from (_along(tree, axis) for axis in (0, -1))
        case ast.Name() if _is_variable(tree):
            yield ast.Name(SPARE, ast.Load())
            yield ast.UnaryOp(ast.USub(), tree)
            yield ast.BinOp(tree, ast.Pow(), ast.Constant(2))
            yield ast.Attribute(tree, "T", ast.Load())
            yield ast.BinOp(tree, ast.Mult(), ast.Name(SPARE, ast.Load()))


def _of_operation(tree: ast.BinOp) -> Iterator[ast.expr]:
    left, op, right = tree.left, tree.op, tree.right
    yield from (ast.BinOp(left, other(), right) for other in SWAPPED.get(type(op), ()))  # type: ignore[arg-type]
    yield left
    if isinstance(op, (ast.Add, ast.Mult)):
        yield right
    if isinstance(op, ast.Div) and not isinstance(left, ast.Constant):
        yield ast.BinOp(ast.Constant(1), op, right)
    if isinstance(op, (ast.Mult, ast.Div)):
        # That of a square has a factor of 2, and that of a cube one of 3.
        yield ast.BinOp(tree, ast.Mult(), ast.Constant(2))
        yield ast.BinOp(tree, ast.Div(), ast.Constant(2))
        yield ast.BinOp(tree, ast.Mult(), ast.Constant(3))


def _other_axes(call: ast.Call) -> Iterator[ast.expr]:
    """Yield a call with another axis, if it has one."""
    for k, keyword in enumerate(call.keywords):
        if keyword.arg in {"axis", "dim"}:
            for axis in _others(keyword.value):
                other = ast.keyword(keyword.arg, axis)
                yield _with(call, "keywords", [*call.keywords[:k], other, *call.keywords[k + 1 :]])
    # It is the first argument of a method, and the second one of a function.
    for k, argument in enumerate(call.args):
        if _is_number(argument):
            for axis in _others(argument):
                yield _with(call, "args", [*call.args[:k], axis, *call.args[k + 1 :]])


def _along(call: ast.Call, axis: int) -> ast.expr:
    keywords = {"axis": axis, "keepdims": True}
    return ast.Call(call.func, [], [ast.keyword(k, ast.Constant(v)) for k, v in keywords.items()])


def _others(axis: ast.expr) -> Iterator[ast.expr]:
    return (ast.Constant(each) for each in AXES if ast.unparse(axis) != str(each))


def _is_variable(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Name) and tree.id[:1] == "v" and tree.id[1:].isdigit()


def _is_number(tree: ast.expr) -> bool:
    if isinstance(tree, ast.UnaryOp):
        return _is_number(tree.operand)
    return isinstance(tree, ast.Constant) and type(tree.value) is int
