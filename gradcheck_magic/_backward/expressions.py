"""Expressions of the user's in which all that they read has a name, so that they can be evaluated.

Only expressions that call nothing but functions of NumPy, torch and JAX are; what they change is a
copy.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import CodeType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_numpy
from gradcheck_magic._backward.edits import (
    ADD_AT,
    PUT_IN,
    SPARE,
    SUBTRACT_AT,
    Edit,
    Replacing,
    conjugations_of,
    edits_of,
)
from gradcheck_magic._backward.inner import METHODS, METHODS_OF_TENSORS, NOT_PLAIN, is_pure
from gradcheck_magic._backward.references import Reference, reference_of
from gradcheck_magic._backward.statements import Part, fresh, sources_of

__all__ = [
    "RETURNED",
    "Edited",
    "Expression",
    "arguments_of",
    "expressions_of",
    "items_of",
    "lists_of",
]

Array = NDArray[Any]

# What modules are called whose functions only compute.
MODULES = {
    "np": "numpy", "numpy": "numpy", "math": "math", "torch": "torch", "F": "torch.nn.functional",
    "jnp": "jax.numpy",
}  # fmt: skip
# Functions that are no module's.
PLAIN_FUNCTIONS = {"abs", "float", "int", "len", "range", "slice"}
# Functions that add to items of an array, and by what they are replaced.
FUNCTIONS_AT: dict[tuple[str, ...], str] = {("add", "at"): ADD_AT, ("subtract", "at"): SUBTRACT_AT}
# The place of what a function of the user's has returned.
RETURNED = "()"


class Edited(NamedTuple):
    """An edit that can be evaluated.

    Attributes
    ----------
    stage : int
        How far-fetched it is.
    needs_spare, is_bare : bool
        True if it needs another value, or is nothing else.
    """

    code: CodeType
    stage: int
    needs_spare: bool
    is_bare: bool


def _edited(edit: Edit) -> Edited:
    code = _code(edit.tree)
    is_bare = isinstance(edit.tree, ast.Name) and edit.tree.id == SPARE
    return Edited(code, edit.stage, SPARE in code.co_names, is_bare)


@dataclass(eq=False)
class Expression:
    """An expression in which all that it reads has a name: ``v0``, ``v1``, ...

    Attributes
    ----------
    texts : tuple of str
        What it reads, as it is written.
    is_change : bool
        True if it changes what it reads first.
    """

    tree: ast.expr
    texts: tuple[str, ...]
    is_change: bool = False

    @cached_property
    def code(self) -> CodeType:
        """The expression as code."""
        return _code(self.tree)

    @property
    def is_name(self) -> bool:
        """True if it is nothing but a name."""
        return isinstance(self.tree, ast.Name)

    @cached_property
    def edits(self) -> list[Edited]:
        """The same, with one change each."""
        return [*map(_edited, edits_of(self.tree, is_change=self.is_change))]

    @cached_property
    def complex_edits(self) -> list[Edited]:
        """The same, if the numbers are complex."""
        return [*self.edits, *map(_edited, conjugations_of(self.tree))]

    def evaluated(self, values: Mapping[str, Any], code: CodeType, spare: Any = None) -> Any:
        """Return its value, or that of one of its edits, given what it reads."""
        names = {name: _not_repeated(values[text]) for name, text in self._names}
        names[SPARE] = _not_repeated(spare)
        found = eval(code, self._functions, names)  # noqa: S307 (they only compute)
        return np.array(as_numpy(found), float)

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        return [(f"v{k}", text) for k, text in enumerate(self.texts)]

    @cached_property
    def _functions(self) -> dict[str, Any]:
        modules = {name: sys.modules.get(module) for name, module in MODULES.items()}
        return modules | CHANGING


class _Shape(tuple[Any, ...]):
    """A tuple that is not repeated: ``np.zeros(x.shape * 12)`` would fill all memory."""

    __slots__ = ()
    __mul__ = __rmul__ = None  # type: ignore[assignment]


def _not_repeated(value: Any) -> Any:
    return _Shape(value) if type(value) is tuple else value


@lru_cache(maxsize=4096)
def expressions_of(part: Part) -> tuple[Expression, ...]:
    """Return what gives the value of a part: its expression, or the whole array with it put in."""
    if part.value is None:
        return ()
    target = part.target
    left = part.value.left if isinstance(part.value, ast.BinOp) else part.value
    is_change = part.changes and target is not None and ast.unparse(left) == target.text
    return tuple(_expressions(part.value, None if part.path else target, is_change=is_change))


def _expressions(
    whole: ast.expr, target: Reference | None = None, *, is_change: bool = False
) -> Iterator[Expression]:
    naming = _Naming()
    # A starred item is no expression by itself.
    with suppress(_NotPureError, SyntaxError):
        value = naming.visit(fresh(whole))
        yield _compiled(value, naming, is_change=is_change)
        if target is not None and target.steps:
            yield from _put_in(ast.parse(target.text, mode="eval").body, value, naming)


@lru_cache(maxsize=4096)
def items_of(part: Part, k: int) -> tuple[Expression, ...]:
    """Return the expression for an item of a list that is made item by item."""
    if not isinstance(part.value, ast.ListComp) or part.value.generators[0].ifs:
        return ()
    items = {
        name: ast.Subscript(ast.parse(text, mode="eval").body, ast.Constant(k), ast.Load())
        for name, text in sources_of(part.value.generators[0]).items()
    }
    return tuple(_expressions(Replacing(items).visit(fresh(part.value.elt))))


def lists_of(part: Part) -> list[str]:
    """Return the lists from which the items of a list are made, as they are written."""
    if not isinstance(part.value, ast.ListComp):
        return []
    return [*sources_of(part.value.generators[0]).values()]


@lru_cache(maxsize=4096)
def arguments_of(text: str, code: CodeType, name: str) -> tuple[Expression, ...]:
    """Return what may be an argument of a function that a statement calls."""
    try:
        tree = ast.parse(text if not text.endswith(":") else text + " pass")
    except SyntaxError:
        return ()
    names = code.co_varnames[: code.co_argcount]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: ast.unparse(call.func).split(".")[-1] != code.co_name)
    found: list[ast.expr] = []
    for call in calls:
        found += [keyword.value for keyword in call.keywords if keyword.arg == name]
        k = names.index(name) - (names[0] in {"self", "cls"})
        if 0 <= k < len(call.args):
            found.append(call.args[k])
    return tuple(each for value in found for each in _expressions(value))


def _put_in(target: ast.expr, value: ast.expr, naming: _Naming) -> Iterator[Expression]:
    """Yield the expression for a whole array with some items set, as in ``dZ[Z < 0] = 0``."""
    if isinstance(target, ast.Subscript):
        own = naming.name_of(ast.unparse(target))
        holder, index = naming.visit(target.value), naming.visit(target.slice)
        was = ast.Subscript(holder, index, ast.Load())
        value = Replacing({own: was}).visit(fresh(value))
        numpy = ast.Attribute(ast.Name("np", ast.Load()), "s_", ast.Load())
        index = ast.Subscript(numpy, index, ast.Load())
        yield _compiled(ast.Call(ast.Name(PUT_IN, ast.Load()), [holder, index, value], []), naming)


def _compiled(tree: ast.expr, naming: _Naming, *, is_change: bool = False) -> Expression:
    found = Expression(tree, tuple(naming.texts), is_change)
    # What can't be compiled is no expression.
    _ = found.code
    return found


def _code(tree: ast.expr) -> CodeType:
    return compile(ast.unparse(tree), "<again>", "eval")


def _put_in_copy(array: Any, index: Any, value: Any) -> Any:
    array = array.copy() if isinstance(array, np.ndarray) else array.clone()
    array[index] = value
    return array


def _at(function: np.ufunc, array: Array, index: Any, value: Any) -> Array:
    array = array.copy()
    function.at(array, index, value)
    return array


# Functions that take the place of what changes an array.
CHANGING = {
    PUT_IN: _put_in_copy,
    ADD_AT: partial(_at, np.add),
    SUBTRACT_AT: partial(_at, np.subtract),
}


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

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Give a name to an item of what a function of the user's has returned."""
        if isinstance(node.value, ast.Call) and isinstance(node.slice, ast.Constant):
            value = self.visit(node.value)
            if isinstance(value, ast.Name) and value.id == self.name_of(RETURNED):
                return self._named(f"{RETURNED}[{node.slice.value!r}]")
            node.value = value
            return node
        found: ast.expr = self.generic_visit(node)  # type: ignore[assignment]
        return found

    def _named(self, text: str) -> ast.expr:
        return ast.Name(self.name_of(text), ast.Load())

    def name_of(self, text: str) -> str:
        """Return the name of what is read."""
        self.texts.setdefault(text)
        return f"v{list(self.texts).index(text)}"

    def visit_Call(self, node: ast.Call) -> ast.expr:
        root, *names = ast.unparse(node.func).split(".")
        if root in MODULES and tuple(names) in FUNCTIONS_AT:
            node.func = ast.Name(FUNCTIONS_AT[tuple(names)], ast.Load())
            node.args = [self.visit(each) for each in node.args]
            return node
        if not is_pure(names) or any(keyword.arg == "out" for keyword in node.keywords):
            raise _NotPureError
        if isinstance(node.func, ast.Attribute) and root not in MODULES:
            if node.func.attr not in METHODS | METHODS_OF_TENSORS:
                return self._named(RETURNED)
            node.func.value = self.visit(node.func.value)
        elif isinstance(node.func, ast.Name) and root not in PLAIN_FUNCTIONS:
            if not callable(vars(np).get(root)):
                return self._named(RETURNED)
            node.func = ast.Attribute(ast.Name("np", ast.Load()), root, ast.Load())
        node.args = [self.visit(each) for each in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node
