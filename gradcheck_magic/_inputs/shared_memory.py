"""Arrays whose memory is a file, or belongs to several processes: they are never moved in place.

A process that is killed cannot restore anything, and other processes would see the moved values.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import torch_class

__all__ = ["in_shared_memory"]

Array = NDArray[Any]
# Linux lists here the memory of this process by address, and says if a part is shared or private.
MAPPINGS = Path("/proc/self/maps")
WRITABLE_AND_SHARED = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw.s", re.MULTILINE)


def in_shared_memory(named: Iterable[tuple[str, Array]]) -> Iterator[str]:
    """Yield the names of the arrays that are a file, or memory of other processes as well."""
    try:
        mappings = WRITABLE_AND_SHARED.findall(MAPPINGS.read_text("utf-8", "replace"))
    except OSError:  # another system
        yield from (name for name, array in named if _has_shared_owner(array))
        return
    # They are sorted, and none overlaps another.
    starts = [int(start, 16) for start, _ in mappings]
    stops = [int(stop, 16) for _, stop in mappings]
    for name, array in named:
        low, high = byte_bounds(array)
        before = bisect_left(starts, high)
        if before > 0 and low < stops[before - 1]:
            yield name


def _has_shared_owner(array: Array) -> bool:
    """Return True if an array's memory belongs to something that other processes can share."""
    for owner in _owners(array):
        if isinstance(owner, np.memmap) and owner.mode == "c":  # copied when it is written
            return False
        # The last are the arrays of `multiprocessing`, which ctypes describes.
        if isinstance(owner, mmap) or hasattr(owner, "_wrapper"):
            return True
        if isinstance(owner, torch_class("Tensor")):
            return bool(owner.is_shared())
    return False


def _owners(array: Any) -> Iterator[Any]:
    """Yield an array, the object of which it is a view, and so on."""
    while array is not None:
        yield array
        array = getattr(array, "obj" if isinstance(array, memoryview) else "base", None)
