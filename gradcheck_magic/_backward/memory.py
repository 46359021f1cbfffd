"""Where arrays were recorded: found again by their memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        if isinstance(leaf, np.ndarray):
            self._views.setdefault(id(_root(leaf)), []).append((leaf, index))
        elif not isinstance(leaf, int):
            self._numbers[id(leaf)] = leaf, index

    def where(self, leaf: Any) -> Iterator[int]:
        """Yield what was recorded of an array, the latest first; of its memory, if it is a view."""
        if not isinstance(leaf, np.ndarray):
            known = self._numbers.get(id(leaf))
            if known is not None and known[0] is leaf:
                yield known[1]
            return
        for view, index in reversed(self._views.get(id(_root(leaf)), [])[-MOST_ITEMS:]):
            if _is_same_view(view, leaf) or view.size >= _root(leaf).size:
                yield index
                return
            if _overlap(view, leaf):
                yield index

    def index_of(self, leaf: Any) -> int | None:
        """Return where this very array or number was recorded, if it was not changed since."""
        if isinstance(leaf, np.ndarray):
            # What was recorded of a part of it later has changed it.
            views = reversed(self._views.get(id(_root(leaf)), []))
            last = next(((view, k) for view, k in views if _overlap(view, leaf)), None)
            return last[1] if last is not None and _is_same_view(last[0], leaf) else None
        return next(self.where(leaf), None)

    def overlapping(self, leaf: Array) -> set[int]:
        """Return what was recorded of the memory of an array."""
        views = self._views.get(id(_root(leaf)), ())
        return {index for view, index in views if _overlap(view, leaf)}


def _root(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


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
