"""Finds (n,) against (n, 1) in a cost: NumPy makes an (n, n) array of them, and says nothing.

The parameters are handed to the cost as arrays that look on while it computes: where an operation
meets these two shapes, it takes note of the line, and computes entry by entry, as was probably
meant. Whether it was, the gradient tells: it is then that of the mended cost.
"""

from __future__ import annotations

import inspect
import linecache
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outer", "Watched"]

Array = NDArray[Any]

# What is ours or NumPy's is no line of the user's.
_INSIDE = (str(Path(np.__file__).parent) + os.sep, __file__)
BINARY = 2


@dataclass(frozen=True)
class Outer:
    """An operation that makes a square of two vectors.

    Attributes
    ----------
    shapes : tuple of two tuples of int
        Of the two.
    function, source : str
        The function in which it stands, and its line; empty where it cannot be had.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    function: str
    source: str


class Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that looks on, and so does all that is computed from it."""

    found: list[Outer] | None = None

    @classmethod
    def of(cls, array: Array, found: list[Outer]) -> Self:
        """Return a view that takes note in a list of what it sees."""
        watched = array.view(cls)
        watched.found = found
        return watched

    def __array_finalize__(self, source: object) -> None:
        if self.found is None:
            self.found = getattr(source, "found", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        found = next((x.found for x in inputs if isinstance(x, Watched)), self.found)
        plain = [_plain(x) for x in inputs]
        if method == "__call__" and len(plain) == BINARY and ufunc.signature is None:
            plain = _entry_by_entry(plain, found)
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return _watched(getattr(ufunc, method)(*plain, **options), found)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, options: Any
    ) -> Any:
        result = super().__array_function__(function, types, args, options)
        return _watched(result, self.found)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Watched) else value


def _watched(value: Any, found: list[Outer] | None) -> Any:
    if found is None or not isinstance(value, np.ndarray) or isinstance(value, Watched):
        return value
    return Watched.of(value, found)


def _entry_by_entry(pair: Sequence[Any], found: list[Outer] | None) -> list[Any]:
    """Return two operands, the column of them as a row where the other one is as long."""
    one, other = map(np.shape, pair)
    if _is_column(one) and _is_row(other) and one[0] == other[-1]:
        mended = [np.reshape(pair[0], other), pair[1]]
    elif _is_row(one) and _is_column(other) and other[0] == one[-1]:
        mended = [pair[0], np.reshape(pair[1], one)]
    else:
        return list(pair)
    if found is not None:
        found.append(Outer((one, other), *_line()))
    return mended


def _is_column(shape: tuple[int, ...]) -> bool:
    return len(shape) == BINARY and shape[0] > 1 and shape[1] == 1


def _is_row(shape: tuple[int, ...]) -> bool:
    return shape[-1:] > (1,) and (len(shape) == 1 or (len(shape) == BINARY and shape[0] == 1))


def _line() -> tuple[str, str]:
    """The user's function and line that are being computed."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    if frame is None:
        return "", ""
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
    return frame.f_code.co_name, source.strip()
