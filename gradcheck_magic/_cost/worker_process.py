"""The code that runs in a worker: it prepares the cost once, and then does tasks with it."""

from __future__ import annotations

import ctypes
import os
import pickle
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.evaluation import Batch, DirectionBatch, Evaluator
from gradcheck_magic._inputs.parameters import Parameters
from gradcheck_magic._wording import first_line
from gradcheck_magic.errors import InputError

__all__ = [
    "KEEPING",
    "PARALLEL_EXTRA",
    "CostRecipe",
    "Task",
    "TaskResult",
    "UnknownCost",
    "evaluate",
    "memory_not_trimmed",
    "process_id",
    "sampled_costs",
]

# Long data is sent as an array: Dask would write out bytes as text in the name of the task.
Bytes = NDArray[np.uint8]

Vector = NDArray[np.float64]
Array = NDArray[Any]

# The command that installs the packages which `workers` needs.
PARALLEL_EXTRA = "pip install gradcheck_magic[parallel]"
# The number of costs that a worker keeps. One check may have several, one for each point.
COSTS_KEPT = 2
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

# The costs that this process was sent, ready to be evaluated, for each thread.
_known = threading.local()


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
    plus, minus : ndarray
        J on one side of θ and on the other, for all pairs or for those before an error.
    n_evaluations : int
        The number of evaluations.
    seconds : float
        The duration.
    error : Exception or None
        The exception that the user's function raised at the pair after these.
    process : tuple
        The machine and the process of the worker.
    """

    plus: Vector
    minus: Vector
    n_evaluations: int
    seconds: float
    error: Exception | None
    process: tuple[str, int]


@dataclass(frozen=True, eq=False)
class UnknownCost:
    """The answer of a worker that does not know the cost.

    Attributes
    ----------
    process : tuple
        The machine and the process of the worker.
    """

    process: tuple[str, int]


@dataclass(frozen=True, eq=False)
class CostRecipe:
    """Everything that is needed to evaluate the cost elsewhere: see `Evaluator` and `Binding`.

    Attributes
    ----------
    floating : dict
        NumPy's settings for overflow and other floating-point errors.
    ready : dict
        The cost as each thread that shares this recipe evaluates it.
    """

    function: Callable[..., Any]
    name: str
    upstream: Array | None
    itemsize: int
    convention: Convention
    parameters: Parameters
    theta: Array
    keywords: bool
    fresh: bool
    floating: dict[str, Any]
    ready: dict[int, _ReadyCost] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluator: Evaluator, binding: Binding) -> CostRecipe:
        """Return a recipe for an evaluator and a binding like these."""
        return cls(
            evaluator.function,
            evaluator.name,
            evaluator.upstream,
            evaluator.itemsize,
            binding.convention,
            binding.parameters,
            binding.theta,
            binding.keywords,
            binding.fresh,
            dict(np.geterr()),
        )

    def ready_cost(self) -> _ReadyCost:
        """Return the cost as this thread evaluates it; it is kept with the recipe."""
        thread = threading.get_ident()
        if thread not in self.ready:
            self.ready[thread] = _ReadyCost(self)
        return self.ready[thread]

    def evaluator(self) -> Evaluator:
        """Return an evaluator for this thread."""
        is_main = threading.current_thread() is threading.main_thread()
        kind = Evaluator if is_main else _ThreadsEvaluator
        return kind(self.function, self.name, self.upstream, self.itemsize)

    def binding(self, precision: DTypeLike | None) -> Binding:
        """Return θ with buffers of its own."""
        binding = Binding(
            self.convention, self.parameters, self.theta, keywords=self.keywords, dtype=precision
        )
        binding.fresh = self.fresh
        return binding

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


class _ThreadsEvaluator(Evaluator):
    """An evaluator that leaves the warning filters alone, which all threads of a process share."""

    def quiet_value(self, binding: Binding, wrap: Callable[[Array], Array] | None = None) -> float:
        with np.errstate(all="ignore"):
            try:
                return self.value(binding, wrap)
            except Exception:  # noqa: BLE001 (the user's function may raise anything)
                return np.nan


class _ReadyCost:
    """The cost, as one thread of a worker evaluates it."""

    def __init__(self, recipe: CostRecipe) -> None:
        self._recipe = recipe
        self._evaluator = recipe.evaluator()
        self._bindings: dict[Any, Binding] = {}

    def result_of(self, task: Task) -> TaskResult:
        """Do a task, and return its result, which ends at the first error."""
        if task.precision not in self._bindings:
            self._bindings[task.precision] = self._recipe.binding(task.precision)
        binding, evaluator = self._bindings[task.precision], self._evaluator
        before, began = evaluator.n_evaluations, time.perf_counter()
        plus = minus = np.empty(0)
        error = None
        try:
            with np.errstate(**self._recipe.floating), memory_not_trimmed():
                if task.batch is None:
                    plus = minus = sampled_costs(evaluator, binding)
                else:
                    plus, minus = np.full((2, len(task.batch)), np.nan)
                    evaluator.fill(binding, task.batch, plus, minus)
        except Exception as raised:  # noqa: BLE001 (the user's function may raise anything)
            plus, minus = plus[: evaluator.done], minus[: evaluator.done]
            error = _sendable(raised)
        seconds = time.perf_counter() - began
        return TaskResult(
            plus, minus, evaluator.n_evaluations - before, seconds, error, process_id()
        )


def evaluate(task: Task) -> TaskResult | UnknownCost:
    """Do a task in a worker, if it knows the cost."""
    if isinstance(task.recipe, CostRecipe):
        # Memory is shared: the cost is kept with the recipe, and released with the check.
        return task.recipe.ready_cost().result_of(task)
    costs: dict[str, _ReadyCost] = _known.__dict__.setdefault("costs", {})
    if task.key not in costs:
        if task.recipe is None:
            return UnknownCost(process_id())
        try:
            recipe: CostRecipe = pickle.loads(task.recipe.data)  # noqa: S301 (it comes from the check itself)
            cost = _ReadyCost(recipe)
        except Exception as error:  # noqa: BLE001 (the modules it imports may raise anything)
            return TaskResult(np.empty(0), np.empty(0), 0, 0.0, _sendable(error), process_id())
        while len(costs) >= COSTS_KEPT:
            del costs[next(iter(costs))]
        costs[task.key] = cost
    return costs[task.key].result_of(task)


def sampled_costs(evaluator: Evaluator, binding: Binding) -> Vector:
    """Return J at θ and at a few points around it, with all checked parameters moved."""
    probes = [
        [(direction, distance * size) for direction, size in _directions(binding)]
        for distance in COMPARED_AT
    ]
    here = evaluator.value(binding)
    return np.hstack([here, *evaluator.pairs(binding, DirectionBatch(probes))])


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


def process_id() -> tuple[str, int]:
    """Return the name of this machine, and the id of this process."""
    return platform.node(), os.getpid()


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
