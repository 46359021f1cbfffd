"""Snapshots of what the expressions of a check read, which show if anything has changed.

A snapshot covers arrays by identity and content, functions by identity and code, and the variables
that the functions of the notebook read in turn.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import inspect
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.free_variables import (
    closure_variables,
    global_variables,
    instance_attributes,
)
from gradcheck_magic._inputs.arrays import is_leaf, library_of, requires_gradient
from gradcheck_magic._inputs.fingerprint import digest
from gradcheck_magic._inputs.parameters import is_function

__all__ = ["MOST_BYTES", "Snapshot", "roots"]

Namespace = dict[str, Any]
Named = tuple[str, Any]

# The most bytes of arrays that a snapshot reads, and the most objects for one expression.
MOST_BYTES = 1 << 27
MOST_OBJECTS = 20_000
# Objects of these packages belong to the front end, and change whenever anything is run or shown.
FRONT_END = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "traitlets"}


class Snapshot:
    """All objects that some expressions read, at one time.

    `trees` are the expressions by their role: "params", "grads", "cost" and "upstream", in this
    order.

    Attributes
    ----------
    objects
        The id and the content of each object that an expression reads. The content is a number or
        a hash; None for an object that only holds others.
    stored
        The expressions that only name stored objects, and compute nothing.
    overlooked
        The variables that were not looked at completely, as keys.
    is_accumulated
        True if there is no `grads`, as torch accumulates gradients in the parameters.
    """

    def __init__(self, trees: dict[str, ast.expr], namespace: Namespace) -> None:
        self.objects: dict[str, list[tuple[int, object]]] = {}
        self.stored: set[str] = set()
        self.overlooked: dict[str, None] = {}
        self.is_accumulated = False
        self._namespace = namespace
        # Each object is looked at only once, even if several expressions read it.
        self._contents: dict[int, object] = {}
        self._tensors: list[Named] = []
        self._bytes_left = MOST_BYTES
        for role, tree in trees.items():
            found, is_stored = roots(tree, namespace)
            if role == "grads" and isinstance(tree, ast.Name) and not found and self._tensors:
                found = [(name, tensor.grad) for name, tensor in self._tensors]
                is_stored = self.is_accumulated = True
            if is_stored and not any(is_function(value) for _, value in found):
                self.stored.add(role)
            self.objects[role] = self._reached_from(found)
        # A snapshot that is remembered keeps nothing of the user's alive.
        self._tensors.clear()

    def differs(self, role: str, other: Snapshot) -> bool:
        """Return True if an expression reads other objects than before, or other values."""
        return self.objects[role] != other.objects[role]

    def are_values_new(self, role: str, other: Snapshot) -> bool:
        """Return True if the stored values have changed, in whatever objects they are."""
        return role in self.stored & other.stored and self._values(role) != other._values(role)

    def _values(self, role: str) -> list[object]:
        return [content for _, content in self.objects[role]]

    def _reached_from(self, named: Iterable[Named]) -> list[tuple[int, object]]:
        """Look at some variables, and at everything inside them."""
        reached: list[tuple[int, object]] = []
        waiting = deque(named)
        while waiting and len(reached) < MOST_OBJECTS:
            name, value = waiting.popleft()
            if id(value) not in self._contents:
                self._contents[id(value)] = self._content(name, value)
                waiting.extend(itertools.islice(self._inside(name, value), MOST_OBJECTS))
            reached.append((id(value), self._contents[id(value)]))
        self.overlooked.update((name, None) for name, _ in waiting)
        return reached

    def _content(self, name: str, value: Any) -> object:
        # The type is examined, not the value: a proxy may raise when it is asked for its class.
        kind = type(value)
        if issubclass(kind, (int, float, complex, np.generic)):
            return value
        if issubclass(kind, (str, bytes, CodeType)):
            return hash(value)
        if not _is_array(value):
            return None
        if requires_gradient(value) and is_leaf(value):
            self._tensors.append((name, value))
        # An array may take half of what is left, so that there is always something left.
        most = self._bytes_left // 2
        array = _array(value, most)
        if array is None or array.nbytes > most:
            self.overlooked[name] = None
        if array is None:
            return None
        self._bytes_left -= min(array.nbytes, most)
        return digest([("", array)], most)

    def _inside(self, name: str, value: Any) -> Iterator[Named]:
        """Yield the parts of an object, each with the name of the nearest variable."""
        parts: Iterable[Any] = ()
        kind = type(value)
        if issubclass(kind, FunctionType):
            yield from closure_variables(value)
            if value.__globals__ is self._namespace:
                yield from global_variables(value)
            parts = (value.__code__, value.__defaults__, value.__kwdefaults__)
        elif issubclass(kind, type):
            # Only classes of the notebook are of interest.
            if value.__module__ == self._namespace.get("__name__"):
                parts = (*value.__bases__, *vars(value).values())
        elif not (
            issubclass(kind, ModuleType)
            or _is_array(value)
            or kind.__module__.partition(".")[0] in FRONT_END
        ):
            yield from instance_attributes(value)
            parts = _referents(value)
        yield from ((name, part) for part in parts)


def _referents(value: object) -> Iterable[Any]:
    """Return what is inside a list, a dict, a method, a partial or any other object."""
    if type(value) is list:
        return value  # it may be long
    # The results in a `functools.cache` are no inputs, and come and go.
    return () if hasattr(type(value), "cache_info") else gc.get_referents(value)


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__") or library_of(value) is not None


def _array(value: Any, most: int) -> NDArray[Any] | None:
    """Return an array of any library as a NumPy array; None if that is not possible, or costly."""
    library = library_of(value)
    with contextlib.suppress(Exception):  # the object may raise anything
        if library is not None or isinstance(value, np.ndarray) or not _is_costly(value, most):
            array = np.asarray(value) if library is None else library.array(value)
            return None if array.dtype.hasobject else array
    return None


def _is_costly(value: Any, most: int) -> bool:
    """Return True if reading the values is a computation, or a large file or copy."""
    graph = getattr(value, "__dask_graph__", None)
    is_computed = graph is not None and graph() is not None
    return is_computed or getattr(value, "nbytes", getattr(value, "size", 0)) > most


# The variables of an expression


def roots(tree: ast.expr, namespace: Namespace) -> tuple[list[Named], bool]:
    """Return the variables that an expression reads, and True if it only names stored objects.

    Nothing is computed: for ``net.params`` this is the attribute that `net` stores, or `net` itself
    if it stores none of this name.
    """
    if isinstance(tree, (ast.List, ast.Tuple, ast.Dict)):
        elements = tree.values if isinstance(tree, ast.Dict) else tree.elts
        found = [roots(element, namespace) for element in elements]
        return [root for part, _ in found for root in part], all(stored for _, stored in found)
    try:
        return [(ast.unparse(tree), _stored(tree, namespace))], True
    except Exception:  # noqa: BLE001 (it is computed, or does not exist; the object may raise anything)
        function = eval(f"lambda: ({ast.unparse(tree)})", namespace)  # noqa: S307 (it is never called)
        return list(global_variables(function)), False


def _stored(tree: ast.expr, namespace: Namespace) -> Any:
    """Return the object that a name, an attribute or an item stands for, or raise an error."""
    if isinstance(tree, ast.Name):
        return namespace[tree.id]
    if isinstance(tree, ast.Attribute):
        owner = _stored(tree.value, namespace)
        found = inspect.getattr_static(owner, tree.attr)
        # An attribute of the class is stored too, but a property or a method is computed.
        if not hasattr(type(found), "__get__") or found is vars(owner).get(tree.attr):
            return found
    if isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Constant):
        container = _stored(tree.value, namespace)
        if isinstance(container, (dict, list, tuple)):
            index: Any = tree.slice.value
            return container[index]
    raise LookupError
