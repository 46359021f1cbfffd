"""Statements evaluated again, from what they have read, with another value in place of one of it.

If that makes the result right, the statement is, and what it has read is not. Nothing of the user's
runs: only expressions that call nothing but NumPy's functions are evaluated, with copies.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.inner import METHODS, NOT_PLAIN, NOT_PURE
from gradcheck_magic._backward.references import Reference, reference_of
from gradcheck_magic._backward.statements import Part

__all__ = ["RETURNED", "Again", "local_slopes"]

Array = NDArray[Any]

# The names of modules whose functions only compute.
MODULES = {"np": np, "numpy": np, "math": math}
# The place of what a function of the user's has returned.
RETURNED = "()"
# The name of the function that sets items of a copy.
PUT = "put_in"
# The step of local slopes, as a part of the size of the values.
STEP = 1e-6
# Two values agree if they do to this part.
SAME_AGAIN = 1e-9
# A slope is one for each entry by itself if it is the same along two directions, to this part.
ENTRYWISE = 1e-5


@dataclass(frozen=True, eq=False)
class _Expression:
    """An expression in which all that it reads has a name: ``v0``, ``v1``, ...

    Attributes
    ----------
    code : code
        The expression.
    texts : tuple of str
        What it reads, as it is written.
    """

    code: CodeType
    texts: tuple[str, ...]


@lru_cache(maxsize=4096)
def _expressions_of(part: Part) -> tuple[_Expression, ...]:
    """Return what gives the value of a part: its expression, or the whole array with it put in."""
    if part.value is None or part.path:
        return ()
    naming = _Naming()
    try:
        value = naming.visit(deepcopy(part.value))
        found = [_compiled(value, naming)]
        if part.target is not None and part.target.steps:
            found += _put_in(ast.parse(part.target.text, mode="eval").body, value, naming)
    except _NotPureError:
        return ()
    return tuple(found)


def _put_in(target: ast.expr, value: ast.expr, naming: _Naming) -> Iterator[_Expression]:
    """Yield the expression for a whole array with some items set, as in ``dZ[Z < 0] = 0``."""
    if isinstance(target, ast.Subscript):
        own = naming.name_of(ast.unparse(target))
        holder, index = naming.visit(deepcopy(target.value)), naming.visit(deepcopy(target.slice))
        value = _Replacing(own, ast.Subscript(holder, index, ast.Load())).visit(deepcopy(value))
        numpy = ast.Attribute(ast.Name("np", ast.Load()), "s_", ast.Load())
        index = ast.Subscript(numpy, index, ast.Load())
        yield _compiled(ast.Call(ast.Name(PUT, ast.Load()), [holder, index, value], []), naming)


def _compiled(tree: ast.expr, naming: _Naming) -> _Expression:
    whole = ast.fix_missing_locations(ast.Expression(tree))
    return _Expression(compile(whole, "<again>", "eval"), tuple(naming.texts))


def _put(array: Array, index: Any, value: Any) -> Array:
    array = np.array(array)
    array[index] = value
    return array


class _NotPureError(Exception):
    pass


class _Naming(ast.NodeTransformer):
    """Gives a name to each variable, attribute or item that an expression reads."""

    def __init__(self) -> None:
        self.texts: dict[str, None] = {}

    def visit(self, node: ast.AST) -> Any:
        """Refuse what has code of its own, or runs only a part of it."""
        if isinstance(node, NOT_PLAIN):
            raise _NotPureError
        is_transposed = isinstance(node, ast.Attribute) and node.attr == "T"
        is_read = isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and not is_transposed
        if is_read and reference_of(node) is not None:
            return self._named(ast.unparse(node))
        return super().visit(node)

    def _named(self, text: str) -> ast.expr:
        return ast.Name(self.name_of(text), ast.Load())

    def name_of(self, text: str) -> str:
        """Return the name of what is read."""
        self.texts.setdefault(text)
        return f"v{list(self.texts).index(text)}"

    def visit_Call(self, node: ast.Call) -> ast.expr:
        root, *names = ast.unparse(node.func).split(".")
        if NOT_PURE & set(names) or any(keyword.arg == "out" for keyword in node.keywords):
            raise _NotPureError
        if isinstance(node.func, ast.Attribute) and root not in MODULES:
            if node.func.attr not in METHODS:
                return self._named(RETURNED)
            node.func.value = self.visit(node.func.value)
        elif isinstance(node.func, ast.Name):
            if not callable(vars(np).get(root)):
                return self._named(RETURNED)
            node.func = ast.Attribute(ast.Name("np", ast.Load()), root, ast.Load())
        node.args = [self.visit(each) for each in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node


class _Replacing(ast.NodeTransformer):
    """Puts an expression in place of a name."""

    def __init__(self, name: str, instead: ast.expr) -> None:
        self.name, self.instead = name, instead

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.instead if node.id == self.name else node


@dataclass(frozen=True, eq=False)
class Again:
    """A statement that can be evaluated again.

    Attributes
    ----------
    bound : Bound
        What it has bound.
    values : dict
        What it has read.
    changed : frozenset of str
        How that is written which it has changed.
    """

    bound: Bound
    values: Mapping[str, Any]
    changed: frozenset[str]
    _expression: _Expression

    @classmethod
    def of(cls, bound: Bound, others: Mapping[int, Bound]) -> Self | None:
        """Return the statement that has bound something; None if it does not give that again."""
        if bound.is_argument or bound.is_inside or bound.place[2] or not bound.statement.parts:
            return None
        part = bound.statement.parts[bound.place[1]]
        expressions = _expressions_of(part)
        if not expressions:
            return None
        known: dict[str, Any] = dict(bound.constants)
        for index, read in bound.reads.items():
            its = others[index]
            text = RETURNED if read.load is None else read.load.text
            if read.path or text in known:
                continue
            if read.load is None or its.shape == read.shape:
                known[text] = its.value.reshape(its.shape)[()]
        changed = frozenset[str]()
        if bound.before is not None and part.target is not None:
            # That of an item is the whole array, unless the item is one by itself.
            before = bound.before.reshape(bound.shape)[()]
            changed = frozenset(_texts(part.target))
            known |= dict.fromkeys(changed, before)
        for each in expressions:
            if all(text in known for text in each.texts):
                again = cls(bound, {text: known[text] for text in each.texts}, changed, each)
                if _are_same(again.value(), bound.value):
                    return again
        return None

    @property
    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that it has read, by their names."""
        for text, value in self.values.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fb" and value.size > 1:
                yield text, value

    def value(self, text: str = "", instead: Any = None) -> Array | None:
        """Return its value, flat, perhaps with another value of what it has read."""
        values = {**self.values, text: instead} if text else self.values
        names = {f"v{k}": values[each] for k, each in enumerate(self._expression.texts)}
        try:
            found = eval(self._expression.code, {**MODULES, PUT: _put}, names)  # noqa: S307 (NumPy only)
            return np.array(found, float).reshape(-1)
        except Exception:  # noqa: BLE001 (what takes the place of a value need not fit)
            return None


def _texts(target: Reference) -> Iterator[str]:
    """Yield how what a statement changes is written, and how the array around it is."""
    yield target.text
    tree = ast.parse(target.text, mode="eval").body
    if isinstance(tree, ast.Subscript):
        yield ast.unparse(tree.value)


def _are_same(one: Array | None, other: Array) -> bool:
    return one is not None and one.shape == other.shape and np.allclose(one, other, SAME_AGAIN, 0)


def local_slopes(
    bound: Iterable[Bound], others: Mapping[int, Bound]
) -> Iterator[tuple[str, Array]]:
    """Yield the slopes of each statement that computes entry by entry, by each array it reads."""
    for each in bound:
        if each.alias_of is not None or each.value.dtype.kind != "f" or each.size < 2:  # noqa: PLR2004
            continue
        again = Again.of(each, others)
        if again is None:
            continue
        for text, array in again.arrays:
            if array.size == each.size and array.dtype.kind == "f":
                one, other = (_slope(again, text, array, seed) for seed in (0, 1))
                if one is None or other is None:
                    continue
                if np.allclose(one, other, ENTRYWISE, ENTRYWISE):
                    yield text, one.reshape(array.shape)


def _slope(again: Again, text: str, array: Array, seed: int) -> Array | None:
    size = float(np.sqrt(np.mean(np.square(array)))) or 1.0
    step = STEP * size * np.random.default_rng(seed).uniform(0.5, 1.5, array.shape)
    above, below = again.value(text, array + step), again.value(text, array - step)
    if above is None or below is None or len(above) != array.size:
        return None
    return (above - below) / (2 * step.reshape(-1))
