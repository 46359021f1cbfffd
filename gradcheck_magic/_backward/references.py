"""References to variables, attributes and items, looked up without running any user's code."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from gradcheck_magic._backward.arrays import is_foreign, is_tensor

__all__ = [
    "NOWHERE",
    "Names",
    "Reference",
    "attribute_of",
    "attributes_of",
    "item_step",
    "names_in",
    "reference_of",
]

NOWHERE = object()
# What an index may be made of. To look at what a statement binds, its index is evaluated again, and
# that must not run any code of the user's.
INDEX_NODES = (
    ast.Constant, ast.Name, ast.Tuple, ast.Slice, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop,
    ast.JoinedStr, ast.FormattedValue, ast.expr_context,
)  # fmt: skip
# The attributes of an array of torch or JAX that are it, seen in another way.
OTHER_VIEWS = {"T", "mT", "data"}
# What an array says of its size.
SIZES = {"shape", "size", "ndim"}
# The functions that an index may call, and the types of the values that it may read.
INDEX_CALLS = {"str": str, "len": len, "range": range, "int": int}
INDEX_TYPES = {int, str, bool, float, slice, tuple, list, range, type(None), np.int64, np.intp}


class Names(Mapping[str, Any]):
    """The variables that the code of a frame sees."""

    def __init__(self, frame: FrameType) -> None:
        self._local, self._global = frame.f_locals, frame.f_globals

    def __getitem__(self, name: str) -> Any:
        return self._local[name] if name in self._local else self._global[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._global, **self._local})

    def __len__(self) -> int:
        return len(self._local)

    def assign(self, name: str, value: Any) -> None:
        """Give a variable another value; Python takes it over when the trace function returns."""
        (self._local if name in self._local else self._global)[name] = value


def names_in(frame: FrameType) -> Names:
    """Return the variables that the code of a frame sees."""
    return Names(frame)


@dataclass(frozen=True, eq=False)
class Reference:
    """A variable, an attribute, or an item, such as ``self.dW`` or ``grads["dW" + str(l)]``.

    Attributes
    ----------
    root : str
        The variable.
    steps : tuple of (str, str or code)
        What follows it: ("attribute", name), or ("item", the compiled index). The index is None if
        it may not be evaluated again; then the whole array is meant.
    text : str
        It as it is written.
    """

    root: str
    steps: tuple[tuple[str, Any], ...]
    text: str

    def value_in(self, names: Mapping[str, Any]) -> Any:
        """Return what it refers to, without running any code of the user's; else `NOWHERE`."""
        owner, last = self.owner_in(names)
        return owner if last is None else _followed(owner, last, names)

    def entry_in(self, names: Mapping[str, Any]) -> Any:
        """Return the entry of an array that it refers to as a view of that; else `NOWHERE`."""
        owner, last = self.owner_in(names)
        if last is None or last[0] != "item" or type(owner) is not np.ndarray or last[1] is None:
            return NOWHERE
        try:
            index = _index(last[1], names)
            return owner[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        except Exception:  # noqa: BLE001 (as in `_followed`)
            return NOWHERE

    def owner_in(self, names: Mapping[str, Any]) -> tuple[Any, tuple[str, Any] | None]:
        """Return the object that holds it, and the last step from there; None for a variable."""
        try:
            value = names[self.root]
        except KeyError:
            return NOWHERE, None
        steps = list(self.steps)
        while len(steps) > 1:
            value = _followed(value, steps.pop(0), names)
        return value, steps[0] if steps else None

    def assign(self, names: Names, value: Any) -> None:
        """Make it refer to another value."""
        owner, last = self.owner_in(names)
        if last is None:
            names.assign(self.root, value)
        elif last[0] == "attribute":
            vars(owner)[last[1]] = value
        else:
            owner[_index(last[1], names)] = value

    def last_name_in(self, names: Mapping[str, Any]) -> str:
        """Return its last name: the attribute, the key if that is a string, or the variable."""
        for kind, what in reversed(self.steps):
            if kind == "attribute":
                return str(what)
            with suppress(Exception):
                if isinstance(key := _index(what, names), str):
                    return key
        return self.root


def _followed(value: Any, step: tuple[str, Any], names: Mapping[str, Any]) -> Any:
    kind, what = step
    if kind == "attribute":
        return attribute_of(value, what)
    if what is None:
        return value if _is_array(value) else NOWHERE
    if type(value) not in {list, tuple, dict} and not (_is_array(value) or _is_plain_dict(value)):
        return NOWHERE
    try:
        index = _index(what, names)
        if _is_array(value) and (_is_fancy(index) or _is_constant(value)):
            # That would be a copy.
            return value
        return value[index]
    except Exception:  # noqa: BLE001 (an index of the user's may be wrong in any way)
        return NOWHERE


def _is_plain_dict(value: Any) -> bool:
    return isinstance(value, dict) and type(value).__getitem__ is dict.__getitem__


def _is_array(value: Any) -> bool:
    return type(value) is np.ndarray or is_foreign(value)


def _is_constant(value: Any) -> bool:
    """Return True for an array of JAX, of which each item is a copy."""
    return is_foreign(value) and not is_tensor(value)


def _is_fancy(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, (list, range, np.ndarray, bool)) or is_foreign(p) for p in parts)


def attributes_of(value: Any) -> list[str]:
    """Return the names of the attributes that an object of the user's has by itself."""
    slots = getattr(type(value), "__slots__", ())
    held = getattr(value, "__dict__", None)
    return [*(slots if type(slots) in {tuple, list} else ()), *(held if type(held) is dict else ())]


def attribute_of(value: Any, name: str) -> Any:
    """Return an attribute that is there by itself, and no property, which would run code."""
    held = getattr(value, "__dict__", None)
    if isinstance(held, Mapping) and name in held:
        return held[name]
    slot = next((vars(c)[name] for c in type(value).__mro__ if name in vars(c)), None)
    if type(slot).__name__ in {"member_descriptor", "_tuplegetter"}:
        try:
            return slot.__get__(value)  # type: ignore[union-attr]
        except AttributeError:
            return NOWHERE
    if name in {"T", *SIZES} and type(value) is np.ndarray:
        return getattr(value, name)
    if name == "grad" and is_tensor(value) and value.is_leaf:
        return value.grad
    # Other views of the same memory; in JAX, copies of the same values.
    return value if name in OTHER_VIEWS and is_foreign(value) else NOWHERE


def _index(code: CodeType, names: Mapping[str, Any]) -> Any:
    read = {name: names[name] for name in code.co_names if name in names}
    for name, value in read.items():
        if type(value) not in INDEX_TYPES and not _is_array(value):
            raise TypeError(name)
    return eval(code, {"__builtins__": INDEX_CALLS}, read)  # noqa: S307 (made of INDEX_NODES)


def reference_of(node: ast.AST) -> Reference | None:
    steps: list[tuple[str, Any]] = []
    inner: ast.AST = node
    while True:
        match inner:
            case ast.Name(id=name):
                return Reference(name, tuple(reversed(steps)), ast.unparse(node))
            case ast.Attribute(value=inner, attr=attribute):
                steps.append(("attribute", attribute))
            case ast.Subscript(value=inner, slice=index):
                steps.append(("item", _compiled(index)))
            case _:
                return None


def _compiled(index: ast.expr) -> CodeType | None:
    """Return an index as code, if it is made of plain values."""
    for node in ast.walk(index):
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Name) and node.func.id in INDEX_CALLS):
                return None
        elif not isinstance(node, INDEX_NODES):
            return None
    if isinstance(index, ast.Slice) or any(isinstance(n, ast.Slice) for n in ast.walk(index)):
        index = _with_slices(index)
    tree = ast.fix_missing_locations(ast.Expression(index))
    return compile(tree, "<index>", "eval")


def _with_slices(index: ast.expr) -> ast.expr:
    """Return an index in which each slice is written as a call of `slice`."""
    if isinstance(index, ast.Tuple):
        return ast.Tuple([_with_slices(each) for each in index.elts], ast.Load())
    if isinstance(index, ast.Slice):
        ends = (index.lower, index.upper, index.step)
        values = [end or ast.Constant(None) for end in ends]
        return ast.Call(ast.Name("slice", ast.Load()), values, [])
    return index


INDEX_CALLS["slice"] = slice


def item_step(key: str) -> tuple[str, Any]:
    """Return the step to an item of a dict."""
    return "item", compile(repr(key), "<index>", "eval")
