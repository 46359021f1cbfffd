"""The code that runs in a worker: it keeps the cost, and does tasks with it."""

from __future__ import annotations

import copy
import ctypes
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._cost.evaluation import Batch, Evaluator, Pair
from gradcheck_magic._cost.interrupt import FromOutside
from gradcheck_magic._cost.printed import hushed_thread
from gradcheck_magic._wording import first_line

__all__ = [
    "KEEPING",
    "Recipe",
    "Task",
    "TaskResult",
    "evaluate",
    "memory_not_trimmed",
    "result_of",
]

# Everything that is needed to evaluate the cost elsewhere; the last are NumPy's settings for
# overflow and other floating-point errors.
Recipe = tuple[Evaluator, Binding, dict[str, Any]]

# The environment variable with which Dask makes glibc trim memory, and the numbers of the two
# thresholds in glibc's mallopt(3).
ASKED = "MALLOC_TRIM_THRESHOLD_"
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# The limits to which glibc raises the thresholds by itself, in bytes: the largest freed array whose
# memory the process keeps, and the most memory that it keeps in total.
LARGEST_KEPT, MOST_KEPT = 32 << 20, 64 << 20
# The initial threshold of glibc, in bytes.
MMAP_DEFAULT = 128 << 10
# The environment that sets the same limits in our own processes, from their start.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(LARGEST_KEPT), ASKED: str(MOST_KEPT)}

# The cost that each thread of this process was sent last, and its key.
_known = threading.local()


@dataclass(frozen=True, eq=False)
class Task:
    """A task for a worker.

    Attributes
    ----------
    key : str
        The key of the cost.
    dtype : dtype or None
        The precision in which θ is passed, if it is not its own.
    batch : EntryBatch or sequence of probes
        The pairs of evaluations.
    pickled : ndarray, optional
        The recipe of the cost, for a worker that does not know the key. Dask would write out bytes
        as text in the name of the task.
    number : int
        A number of its own: Dask would treat two equal tasks as one.
    """

    key: str
    dtype: DTypeLike | None
    batch: Batch
    pickled: NDArray[np.uint8] | None = None
    number: int = field(default_factory=count().__next__, init=False)


@dataclass(frozen=True, eq=False)
class TaskResult:
    """The result of a task: the pairs, or those before an error; the seconds, and the error."""

    pairs: list[Pair]
    seconds: float = 0.0
    error: Exception | None = None


def evaluate(task: Task) -> TaskResult | None:
    """Do a task in a worker; return None if it does not know the cost."""
    known = vars(_known)
    try:
        if task.pickled is not None and known.get("key") != task.key:
            known["recipe"] = pickle.loads(task.pickled.data)  # noqa: S301 (the check's own)
            known["key"] = task.key
    except Exception as error:  # noqa: BLE001 (the modules it imports may raise anything)
        return TaskResult([], error=_sendable(error))
    return result_of(known["recipe"], task) if known.get("key") == task.key else None


def result_of(recipe: Recipe, task: Task) -> TaskResult:
    """Return the values of J, up to the first error."""
    # Threads may share the recipe, so every task has an evaluator and buffers of its own.
    evaluator, binding, floating = recipe
    evaluator = copy.copy(evaluator)
    evaluator.in_thread = threading.current_thread() is not threading.main_thread()
    pairs: list[Pair] = []
    error, began = None, time.perf_counter()
    try:
        hushed = hushed_thread(evaluator.function, evaluator.name)
        with np.errstate(**floating), memory_not_trimmed(), hushed:
            evaluator.each_pair(replace(binding, dtype=task.dtype), task.batch, pairs.append)
    except FromOutside as outside:
        error = _sendable(outside.error)
    except Exception as raised:  # noqa: BLE001 (the user's function may raise anything)
        error = _sendable(raised)
    return TaskResult(pairs, time.perf_counter() - began, error)


def _sendable(error: Exception) -> Exception:
    """Return the exception, or one with the same message if it cannot be pickled."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (pickled in this line)
    except Exception:  # noqa: BLE001 (the user's exceptions may raise others)
        return RuntimeError(f"{type(error).__name__}: {first_line(error)}")
    return error


@contextmanager
def memory_not_trimmed() -> Iterator[None]:
    """Let the C library keep freed memory for reuse, and restore its settings afterwards.

    Dask makes its workers return memory early, by the environment variable MALLOC_TRIM_THRESHOLD_.
    Then the C library no longer adapts to the process: each large array is mapped anew, page by
    page, and a cost that makes such arrays takes twice as long as elsewhere.
    """
    asked = os.environ.get(ASKED, "")
    mallopt = _mallopt() if asked.isdigit() else None
    if mallopt is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(TRIM_THRESHOLD, MOST_KEPT)
    try:
        yield
    finally:
        mallopt(MMAP_THRESHOLD, MMAP_DEFAULT)
        mallopt(TRIM_THRESHOLD, int(asked))


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function; None for any other C library."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (found or not)
        mallopt: Callable[[int, int], int] = library.mallopt
    except (AttributeError, OSError, TypeError):
        return None
    return mallopt
