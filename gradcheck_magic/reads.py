"""What a function reads besides its arguments: variables of the notebook, and what it captured."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

__all__ = ["read_by"]


def read_by(function: Any, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """Yield the variables that a function reads, and those that the functions it calls read."""
    while isinstance(function, functools.partial):
        yield from ((f"args[{i}]", value) for i, value in enumerate(function.args))
        yield from function.keywords.items()
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        yield from ((f"self.{k}", v) for k, v in _attributes(owner))
    # What is decorated by `jax.jit` or `functools.cache` is inside.
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    functions = []
    for name, value in (*_captured(function, code), *_globals(function, code)):
        if inspect.isfunction(value) or inspect.ismethod(value) or hasattr(value, "__wrapped__"):
            functions.append(value)
        else:
            yield name, value
    for called in functions if depth else ():
        yield from read_by(called, depth - 1)


def _captured(function: Any, code: CodeType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue


def _globals(function: Any, code: CodeType) -> Iterator[tuple[str, Any]]:
    # Not from `co_names`, which holds attributes too.
    loaded = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    yield from ((k, v) for k, v in function.__globals__.items() if k in loaded)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(function, inner)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds; nothing of what it would have to compute."""
    try:
        yield from vars(value).items()
    except TypeError:
        return
