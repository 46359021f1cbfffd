"""Statements evaluated again, from what they have read, with another value in place of one of it.

If that makes the result right, the statement is, and what it has read is not. Nothing of the user's
runs: only expressions that call nothing but functions of NumPy, torch and JAX are evaluated, with
copies.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, as_numpy
from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.inner import METHODS, METHODS_OF_TENSORS, NOT_PLAIN, is_pure
from gradcheck_magic._backward.references import Reference, reference_of
from gradcheck_magic._backward.statements import Part, fresh
from gradcheck_magic._backward.variants import SPARE, variants_of

__all__ = ["RETURNED", "Again", "local_slopes"]

Array = NDArray[Any]

# What modules are called whose functions only compute.
MODULES = {
    "np": "numpy", "numpy": "numpy", "math": "math", "torch": "torch", "F": "torch.nn.functional",
    "jnp": "jax.numpy",
}  # fmt: skip
# Functions that are no module's.
PLAIN_FUNCTIONS = {"abs", "float", "int", "len", "range"}
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


@dataclass(eq=False)
class _Expression:
    """An expression in which all that it reads has a name: ``v0``, ``v1``, ...

    Attributes
    ----------
    code : code
        The expression.
    texts : tuple of str
        What it reads, as it is written.
    tree : ast.expr
        The same, as a tree.
    """

    code: CodeType
    texts: tuple[str, ...]
    tree: ast.expr

    @cached_property
    def variants(self) -> list[CodeType]:
        """The same, with one slip mended each."""
        return [_code(tree) for tree in variants_of(self.tree)]


@lru_cache(maxsize=4096)
def _expressions_of(part: Part) -> tuple[_Expression, ...]:
    """Return what gives the value of a part: its expression, or the whole array with it put in."""
    if part.value is None:
        return ()
    naming = _Naming()
    try:
        value = naming.visit(fresh(part.value))
        found = [_compiled(value, naming)]
        if part.target is not None and part.target.steps and not part.path:
            found += _put_in(ast.parse(part.target.text, mode="eval").body, value, naming)
    except (_NotPureError, SyntaxError):
        # A starred item is no expression by itself.
        return ()
    return tuple(found)


def _put_in(target: ast.expr, value: ast.expr, naming: _Naming) -> Iterator[_Expression]:
    """Yield the expression for a whole array with some items set, as in ``dZ[Z < 0] = 0``."""
    if isinstance(target, ast.Subscript):
        own = naming.name_of(ast.unparse(target))
        holder, index = naming.visit(target.value), naming.visit(target.slice)
        value = _Replacing(own, ast.Subscript(holder, index, ast.Load())).visit(fresh(value))
        numpy = ast.Attribute(ast.Name("np", ast.Load()), "s_", ast.Load())
        index = ast.Subscript(numpy, index, ast.Load())
        yield _compiled(ast.Call(ast.Name(PUT, ast.Load()), [holder, index, value], []), naming)


def _compiled(tree: ast.expr, naming: _Naming) -> _Expression:
    return _Expression(_code(tree), tuple(naming.texts), tree)


def _code(tree: ast.expr) -> CodeType:
    return compile(ast.unparse(tree), "<again>", "eval")


def _put(array: Any, index: Any, value: Any) -> Any:
    array = array.copy() if isinstance(array, np.ndarray) else array.clone()
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
    read : dict
        How that is written which it has read, by where it was recorded.
    """

    bound: Bound
    values: Mapping[str, Any]
    changed: frozenset[str]
    read: Mapping[int, str]
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
        texts: dict[int, str] = {}
        for index, read in bound.reads.items():
            its = others[index]
            text = RETURNED if read.load is None else read.load.text
            if read.path or text in known:
                continue
            if read.load is None or its.shape == read.shape:
                known[text], texts[index] = _as_read(its, its.value), text
        changed = frozenset[str]()
        if bound.before is not None and part.target is not None:
            # That of an item is the whole array, unless the item is one by itself.
            changed = frozenset(_texts(part.target))
            known |= dict.fromkeys(changed, _as_read(bound, bound.before))
        for each in expressions:
            if all(text in known for text in each.texts):
                values = {text: known[text] for text in each.texts}
                again = cls(bound, values, changed, texts, each)
                if _are_same(again.value(), bound.value):
                    return again
        return None

    @property
    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that it has read, by their names."""
        for text, value in self.values.items():
            array = as_array(value)
            if array is not None and array.dtype.kind in "fb" and array.size > 1:
                yield text, array

    def value(self, text: str = "", instead: Any = None) -> Array | None:
        """Return its value, flat, perhaps with another value of what it has read."""
        value = self.value_with({text: instead} if text else {})
        return None if value is None else value.reshape(-1)

    def value_with(self, others: Mapping[str, Any]) -> Array | None:
        """Return its value, in its shape, with other values of what it has read."""
        alike = {text: _alike(self.values[text], other) for text, other in others.items()}
        return self._evaluated(self._expression.code, {**self.values, **alike})

    def variants(self, spares: Sequence[Array] | None = None) -> Iterator[Array]:
        """Yield what it would be, in its shape, with one slip in it mended.

        That is where something was taken for another; or, given values, where one of them is
        missing.
        """
        for code in self._expression.variants:
            if (SPARE in code.co_names) is (spares is None):
                continue
            for spare in [None] if spares is None else spares:
                value = self._evaluated(code, self.values, {SPARE: spare})
                # What is missing does not make it larger.
                if value is not None and (spare is None or value.shape == self.bound.shape):
                    yield value

    def _evaluated(
        self, code: CodeType, values: Mapping[str, Any], more: Mapping[str, Any] | None = None
    ) -> Array | None:
        names = {f"v{k}": values[each] for k, each in enumerate(self._expression.texts)}
        modules = {name: sys.modules.get(module) for name, module in MODULES.items()}
        try:
            found = eval(code, {**modules, PUT: _put, **(more or {})}, names)  # noqa: S307 (they only compute)
            return np.array(as_numpy(found), float)
        except Exception:  # noqa: BLE001 (what takes the place of a value need not fit)
            return None


def _as_read(bound: Bound, value: Array) -> Any:
    """Return a value as the statement has read it: in its shape, and of its library."""
    array = value.reshape(bound.shape)[()]
    return _tensor(array) if bound.is_tensor else array


def _alike(value: Any, other: Array) -> Any:
    """Return another value, of the same library as the first."""
    return other if isinstance(value, (np.ndarray, np.generic)) else _tensor(other)


def _tensor(array: Array) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.from_numpy(np.array(array))


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
