"""Where arrays were recorded: found again by their memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, memory_of
from gradcheck_magic._backward.bound import MOST_ITEMS

__all__ = ["Memory"]

Array = NDArray[Any]
# The effort to find out whether two views overlap.
OVERLAP_WORK: Any = 1000


class Memory:
    """The arrays and numbers that were recorded, each with its index.

    They are kept alive: another one in the same memory would be taken for them.
    """

    def __init__(self) -> None:
        self._views: dict[int, list[tuple[Array, int]]] = {}
        self._numbers: dict[int, tuple[Any, int]] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._views.clear()
        self._numbers.clear()

    def add(self, leaf: Any, index: int) -> None:
        """Remember an array, or a number that is an object of its own."""
        array = as_array(leaf)
        if array is not None:
            self._views.setdefault(memory_of(array)[0], []).append((array, index))
        elif not isinstance(leaf, int):
            self._numbers[id(leaf)] = leaf, index

    def where(self, leaf: Any) -> Iterator[int]:
        """Yield what was recorded of an array, the latest first; of its memory, if it is a view."""
        array = as_array(leaf)
        if array is None:
            known = self._numbers.get(id(leaf))
            if known is not None and known[0] is leaf:
                yield known[1]
            return
        memory, n_bytes = memory_of(array)
        for view, index in reversed(self._views.get(memory, [])[-MOST_ITEMS:]):
            if _is_same_view(view, array) or view.nbytes >= n_bytes:
                yield index
                return
            if _overlap(view, array):
                yield index

    def index_of(self, leaf: Any) -> int | None:
        """Return where this very array or number was recorded, if it was not changed since."""
        array = as_array(leaf)
        if array is not None:
            # What was recorded of a part of it later has changed it.
            views = reversed(self._views.get(memory_of(array)[0], []))
            last = next(((view, k) for view, k in views if _overlap(view, array)), None)
            return last[1] if last is not None and _is_same_view(last[0], array) else None
        return next(self.where(leaf), None)

    def overlapping(self, leaf: Array) -> set[int]:
        """Return what was recorded of the memory of an array."""
        views = self._views.get(memory_of(leaf)[0], ())
        return {index for view, index in views if _overlap(view, leaf)}


def _is_same_view(one: Array, other: Array) -> bool:
    return one is other or (
        one.shape == other.shape
        and one.strides == other.strides
        and one.__array_interface__["data"] == other.__array_interface__["data"]
    )


def _overlap(one: Array, other: Array) -> bool:
    if not np.may_share_memory(one, other):
        return False
    try:
        return bool(np.shares_memory(one, other, max_work=OVERLAP_WORK))
    except np.exceptions.TooHardError:
        return True
