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
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BroadcastWatch", "OuterBroadcast"]

Array = NDArray[Any]

# What is ours or NumPy's is no line of the user's.
_INSIDE = (str(Path(np.__file__).parent) + os.sep, __file__)
BINARY = 2


@dataclass(frozen=True)
class OuterBroadcast:
    """An operation that makes a square of two vectors.

    Attributes
    ----------
    shapes : tuple of two tuples of int
        Of the two.
    source : str
        Its line; empty where it cannot be had.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    source: str


class BroadcastWatch:
    """Looks on while a cost computes.

    Attributes
    ----------
    found : list of Outer
        What it has seen.
    is_over : bool
        Whether it looks on no more: arrays that somebody has kept are then like any others.
    """

    def __init__(self) -> None:
        self.found: list[OuterBroadcast] = []
        self.is_over = False

    def over(self, array: Array) -> Array:
        """Return a view of an array that looks on."""
        watched = array.view(_Watched)
        watched.watch = self
        return watched

    def paired(self, pair: Sequence[Any]) -> list[Any]:
        """Return two operands, the column of them as a vector where the other one is as long."""
        one, other = map(np.shape, pair)
        if _is_column(one) and _is_vector(other) and one[0] == other[0]:
            mended = [np.reshape(pair[0], other), pair[1]]
        elif _is_vector(one) and _is_column(other) and other[0] == one[0]:
            mended = [pair[0], np.reshape(pair[1], one)]
        else:
            return list(pair)
        self.found.append(OuterBroadcast((one, other), _line()))
        return mended


class _Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that looks on, and so does all that is computed from it."""

    watch: BroadcastWatch | None = None

    def __array_finalize__(self, source: object) -> None:
        if self.watch is None:
            self.watch = getattr(source, "watch", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        watch = next((x.watch for x in inputs if isinstance(x, _Watched)), self.watch)
        plain = [_plain(x) for x in inputs]
        binary = method == "__call__" and len(plain) == BINARY and ufunc.signature is None
        if binary and watch is not None and not watch.is_over:
            plain = watch.paired(plain)
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return _watched(getattr(ufunc, method)(*plain, **options), watch)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, options: Any
    ) -> Any:
        return _watched(super().__array_function__(function, types, args, options), self.watch)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Watched) else value


def _watched(value: Any, watch: BroadcastWatch | None) -> Any:
    if watch is None or watch.is_over:
        return _plain(value)
    return watch.over(value) if isinstance(value, np.ndarray) else value


def _is_column(shape: tuple[int, ...]) -> bool:
    return len(shape) == BINARY and shape[0] > 1 and shape[1] == 1


def _is_vector(shape: tuple[int, ...]) -> bool:
    # Not (1, n): whoever writes that beside (n, 1) wants all pairs.
    return len(shape) == 1 and shape[0] > 1


def _line() -> str:
    """The line of the user's that is being computed."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    if frame is None:
        return ""
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
    return source.strip().replace("`", "'")
