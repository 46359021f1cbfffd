"""Which arrays share memory, so that moving an entry of one moves an entry of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.exceptions import TooHardError
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

__all__ = ["overlapping"]

Named = tuple[str, NDArray[Any]]
# Whether strides interlock is looked into no further than this; nobody's layout comes near it.
MOST_WORK = 100_000


def overlapping(named: Iterable[Named]) -> Iterator[tuple[str, str]]:
    """Yield the names of every two arrays that share an entry, and one twice if it does so itself.

    Parameters
    ----------
    named : iterable of (str, ndarray)
        Each array with its name.

    Examples
    --------
    >>> flat = np.zeros(10)
    >>> list(overlapping([("a", flat[:5]), ("b", flat[5:]), ("c", flat[4:6])]))
    [('a', 'c'), ('b', 'c')]
    """
    parts = [(*byte_bounds(array), name, array) for name, array in named if array.size]
    order = {name: position for position, (_, _, name, _) in enumerate(parts)}
    parts.sort(key=lambda part: part[:2])
    for i, (low, high, name, array) in enumerate(parts):
        if array.nbytes > high - low:
            yield name, name
        for other_low, _, other_name, other in parts[i + 1 :]:
            # All that follow begin further on.
            if other_low >= high:
                break
            if _share(array, other):
                first, last = sorted((name, other_name), key=order.__getitem__)
                yield first, last


def _share(one: NDArray[Any], other: NDArray[Any]) -> bool:
    try:
        return np.shares_memory(one, other, max_work=MOST_WORK)  # type: ignore[arg-type]
    except TooHardError:
        return False
