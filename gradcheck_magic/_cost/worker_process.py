"""The code that runs in a worker: it keeps the cost, and does tasks with it."""

from __future__ import annotations

import ctypes
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.evaluation import Batch, DirectionBatch, Evaluator, Pair
from gradcheck_magic._wording import first_line
from gradcheck_magic.errors import InputError

__all__ = [
    "KEEPING",
    "PARALLEL_EXTRA",
    "Bytes",
    "CostRecipe",
    "Task",
    "TaskResult",
    "evaluate",
    "memory_not_trimmed",
    "sampled_costs",
]

# Long data is sent as an array: Dask would write out bytes as text in the name of the task.
Bytes = NDArray[np.uint8]

Array = NDArray[Any]

# The command that installs the packages which `workers` needs.
PARALLEL_EXTRA = "pip install gradcheck_magic[parallel]"
# The relative distances from θ at which the cost in a worker is compared with the one here.
COMPARED_AT = (0.1, 1e-3)

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
class CostRecipe:
    """Everything that is needed to evaluate the cost elsewhere: see `Evaluator` and `Binding`.

    Attributes
    ----------
    floating : dict
        NumPy's settings for overflow and other floating-point errors.
    """

    function: Callable[..., Any]
    name: str
    upstream: Array | None
    binding: Binding
    floating: dict[str, Any]

    def pickled(self) -> Bytes:
        """Return the recipe pickled, including functions that are defined in a notebook."""
        try:
            import cloudpickle
        except ImportError:
            raise InputError(
                f"`workers` needs cloudpickle to send `{self.name}`: {PARALLEL_EXTRA}."
            ) from None
        try:
            pickled = cloudpickle.dumps(self)
        except Exception as error:
            raise InputError(
                f"`{self.name}` cannot be sent to `workers`: {first_line(error)}. Create that "
                "object inside the function, or use workers=None."
            ) from error
        return np.frombuffer(pickled, np.uint8)


@dataclass(frozen=True, eq=False)
class Task:
    """A task for a worker.

    Attributes
    ----------
    key : str
        The key of the cost.
    number : int
        The number of the task: Dask would treat two equal tasks as one.
    precision : dtype or None
        The precision in which θ is passed, if it is not its own.
    batch : EntryBatch, DirectionBatch or None
        The pairs of evaluations; None for J at and around θ, for comparison.
    recipe : ndarray, CostRecipe or None
        The cost, for a worker that does not know the key: pickled, or as it is if memory is shared.
    """

    key: str
    number: int
    precision: DTypeLike | None
    batch: Batch | None
    recipe: Bytes | CostRecipe | None = None


@dataclass(frozen=True, eq=False)
class TaskResult:
    """The result of a task.

    Attributes
    ----------
    pairs : list of tuple of (float, float)
        J on one side of θ and on the other, for all pairs or for those before an error.
    n_evaluations : int
        The number of evaluations.
    seconds : float
        The duration.
    error : Exception or None
        The exception that the user's function raised at the pair after these.
    """

    pairs: list[Pair]
    n_evaluations: int = 0
    seconds: float = 0.0
    error: Exception | None = None


class _ThreadsEvaluator(Evaluator):
    """An evaluator that leaves the warning filters alone, which all threads of a process share."""

    def warnings_ignored(self) -> AbstractContextManager[object]:
        return nullcontext()


def evaluate(task: Task) -> TaskResult | None:
    """Do a task in a worker; return None if it does not know the cost."""
    try:
        recipe = _recipe_of(task)
    except Exception as error:  # noqa: BLE001 (the modules it imports may raise anything)
        return TaskResult([], error=_sendable(error))
    return None if recipe is None else _result(recipe, task)


def _recipe_of(task: Task) -> CostRecipe | None:
    if isinstance(task.recipe, CostRecipe):
        return task.recipe
    if task.recipe is not None and getattr(_known, "key", None) != task.key:
        _known.recipe = pickle.loads(task.recipe.data)  # noqa: S301 (it comes from the check itself)
        _known.key = task.key
    return _known.recipe if getattr(_known, "key", None) == task.key else None


def _result(recipe: CostRecipe, task: Task) -> TaskResult:
    """Return the values of J, up to the first error."""
    is_main = threading.current_thread() is threading.main_thread()
    kind = Evaluator if is_main else _ThreadsEvaluator
    evaluator = kind(recipe.function, recipe.name, recipe.upstream)
    # Every task has buffers of its own, because threads may share the recipe.
    binding = replace(recipe.binding, dtype=task.precision)
    pairs: list[Pair] = []
    error, began = None, time.perf_counter()
    try:
        with np.errstate(**recipe.floating), memory_not_trimmed():
            if task.batch is None:
                pairs += sampled_costs(evaluator, binding)
            else:
                evaluator.each_pair(binding, task.batch, pairs.append)
    except Exception as raised:  # noqa: BLE001 (the user's function may raise anything)
        error = _sendable(raised)
    return TaskResult(pairs, evaluator.n_evaluations, time.perf_counter() - began, error)


def sampled_costs(evaluator: Evaluator, binding: Binding) -> list[Pair]:
    """Return J at θ, twice, and at a few points around it, with all checked parameters moved."""
    probes = [
        [(direction, distance * size) for direction, size in _directions(binding)]
        for distance in COMPARED_AT
    ]
    here = evaluator.value(binding)
    return [(here, here), *evaluator.pairs(binding, DirectionBatch(probes))]


def _directions(binding: Binding) -> Iterator[tuple[Direction, float]]:
    """Yield a direction in each checked parameter, and the typical size of its entries."""
    for position, parameter in enumerate(binding.parameters.arrays):
        if parameter.checked and parameter.size:
            values = binding.theta[parameter.start : parameter.stop].astype(np.float64)
            size = float(np.sqrt(np.mean(values**2)))
            yield Direction.over(position, parameter.shape, (position,), ()), size or 1.0


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
