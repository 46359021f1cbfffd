"""The variables that a function reads besides its arguments: global, captured and bound ones."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = [
    "attributes_assigned",
    "closure_variables",
    "global_variables",
    "global_variables_assigned",
    "instance_attributes",
    "modules_imported",
    "names_in",
    "until_error",
    "variables_read",
]


def until_error(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the same items, and stop if one of the user's objects raises."""
    with suppress(Exception):
        yield from named


def variables_read(function: Any, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """Yield the variables that a function reads, and those that the functions it calls read."""
    while isinstance(function, functools.partial):
        yield from ((f"args[{i}]", value) for i, value in enumerate(function.args))
        yield from function.keywords.items()
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        yield from ((f"self.{k}", v) for k, v in instance_attributes(owner))
    function = getattr(function, "__func__", function)
    if _is_wrapper(function):
        yield from variables_read(function.__wrapped__, depth)
        return
    if not isinstance(getattr(function, "__code__", None), CodeType):
        return
    functions = []
    for name, value in (*closure_variables(function), *global_variables(function)):
        # The type is examined, not the value: a proxy may raise when it is asked for its class.
        if issubclass(type(value), (FunctionType, MethodType)) or _is_wrapper(value):
            functions.append(value)
        else:
            yield name, value
    for called in functions if depth else ():
        yield from variables_read(called, depth - 1)


def closure_variables(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables that a function captured from the functions around it."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    for name, cell in cells:
        with suppress(ValueError):  # the variable has not been assigned yet
            yield name, cell.cell_contents


def global_variables(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the global variables that a function and the functions inside it read."""
    for code in _codes(function.__code__):
        loaded = _names_of(code, "LOAD_GLOBAL")
        yield from ((k, v) for k, v in function.__globals__.items() if k in loaded)


@functools.lru_cache(maxsize=1024)
def names_in(code: CodeType) -> frozenset[str]:
    """Return the names of globals and attributes in a function and in those inside it."""
    return frozenset(name for each in _codes(code) for name in each.co_names)


def global_variables_assigned(function: Any) -> Iterator[str]:
    """Yield the names of the global variables that a function assigns or deletes."""
    for code in _codes(function.__code__):
        yield from _names_of(code, "STORE_GLOBAL")
        yield from _names_of(code, "DELETE_GLOBAL")


def attributes_assigned(function: Any) -> Iterator[str]:
    """Yield the names of the attributes that a function assigns or deletes, of any object."""
    for code in _codes(function.__code__):
        yield from _names_of(code, "STORE_ATTR")
        yield from _names_of(code, "DELETE_ATTR")


def modules_imported(function: Any) -> Iterator[tuple[str, ModuleType]]:
    """Yield the modules that a function itself imports, if they have been imported before."""
    package = function.__globals__.get("__package__")
    for code in _codes(function.__code__):
        for name in _names_of(code, "IMPORT_NAME"):
            for full in (name, name.partition(".")[0], f"{package}.{name}".rstrip(".")):
                if (module := sys.modules.get(full)) is not None:
                    yield full, module


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of the functions defined inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _names_of(code: CodeType, operation: str) -> frozenset[str]:
    # `co_names` would not do, because it holds attributes too.
    return _names(code).get(operation, frozenset())


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> dict[str, frozenset[str]]:
    """Return the names in a function by what is done with them."""
    found: dict[str, set[str]] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname.endswith(("_GLOBAL", "_ATTR", "_NAME")):
            found.setdefault(instruction.opname, set()).add(instruction.argval)
    return {operation: frozenset(names) for operation, names in found.items()}


def instance_attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the stored attributes of an object, but no properties."""
    with suppress(Exception):  # an object may answer with anything
        yield from dict(vars(value)).items()


def _is_wrapper(value: object) -> bool:
    """Return True for a wrapped function, such as those of `jax.jit` and `functools.cache`."""
    try:
        return callable(value) and callable(inspect.getattr_static(value, "__wrapped__", None))
    except Exception:  # noqa: BLE001 (an object may answer with anything)
        return False
