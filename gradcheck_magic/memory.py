"""Memory that an evaluation frees is kept for the next one, while a worker has a task.

Dask has its workers give memory back early, by the environment's MALLOC_TRIM_THRESHOLD_. With that,
the C library no longer adapts to what a process does: each large array is mapped anew, page by
page, and a cost that makes such arrays takes twice as long as elsewhere.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["KEEPING", "memory_kept"]

# Where others ask for it, and what glibc's mallopt(3) calls it.
ASKED = "MALLOC_TRIM_THRESHOLD_"
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# As far as glibc adapts by itself, in bytes: arrays up to the one are kept, up to the other in all.
LARGEST, MOST = 32 << 20, 64 << 20
# Where it begins.
MMAP_DEFAULT = 128 << 10

# The same for processes of our own, from their start.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(LARGEST), ASKED: str(MOST)}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let memory be kept meanwhile; afterwards it is given back, and all is as it was."""
    asked = os.environ.get(ASKED, "")
    mallopt = _mallopt() if asked.isdigit() else None
    if mallopt is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, MOST)
    try:
        yield
    finally:
        mallopt(MMAP_THRESHOLD, MMAP_DEFAULT)
        mallopt(TRIM_THRESHOLD, int(asked))


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function; None where the C library is another."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (found or not)
        mallopt: Callable[[int, int], int] = library.mallopt
    except (AttributeError, OSError, TypeError):
        return None
    return mallopt
