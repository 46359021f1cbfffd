"""What a function reads besides its arguments, and what an object holds; nothing is called."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any

__all__ = ["attributes", "captured", "globals_read"]


def captured(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables of the functions around it that a function reads."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    for name, cell in cells:
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue


def globals_read(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the global variables that a function reads, those inside it included."""
    for code in _codes(function.__code__):
        loaded = _names_loaded(code)
        yield from ((k, v) for k, v in function.__globals__.items() if k in loaded)


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds; nothing of what it would have to compute."""
    try:
        yield from vars(value).items()
    except TypeError:
        return


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of those that are written inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


@functools.lru_cache(maxsize=1024)
def _names_loaded(code: CodeType) -> frozenset[str]:
    # Not from `co_names`, which holds attributes too.
    instructions = dis.get_instructions(code)
    return frozenset(i.argval for i in instructions if i.opname == "LOAD_GLOBAL")
