"""What runs in a worker: the cost, made ready once, and the tasks that name it."""

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

# What is long is sent as an array: Dask would spell out bytes as text, for the name of the task.
Bytes = NDArray[np.uint8]

Vector = NDArray[np.float64]
Array = NDArray[Any]

# What `workers` needs besides the package itself.
PARALLEL_EXTRA = "pip install gradcheck_magic[parallel]"
# A worker keeps what so many checks need; the points of one check follow each other.
COSTS_KEPT = 2
# How far from θ, relatively, the cost in the workers is compared with the one here.
COMPARED_AT = (0.1, 1e-3)

# The environment variable by which others have memory trimmed, and what glibc's mallopt(3) calls
# the two thresholds.
ASKED = "MALLOC_TRIM_THRESHOLD_"
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# As far as glibc adapts by itself, in bytes: arrays up to the first are kept, up to the second in
# all.
LARGEST_KEPT, MOST_KEPT = 32 << 20, 64 << 20
# The threshold at which glibc begins, in bytes.
MMAP_DEFAULT = 128 << 10
# The same for processes of our own, from their start.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(LARGEST_KEPT), ASKED: str(MOST_KEPT)}

# What this process knows: the costs that it was sent, ready to be evaluated.
_known = threading.local()


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker is asked for.

    Attributes
    ----------
    key : str
        Of the cost.
    number : int
        Of the task: to Dask, two that are alike are the same one.
    precision : dtype or None
        In which θ is handed over, if not in its own.
    batch : Entries, Along or None
        The pairs of evaluations; None: J at θ and around it, for comparison.
    recipe : ndarray, Recipe or None
        The cost, for a worker that does not know the key: pickled, or as it is where memory is
        shared.
    """

    key: str
    number: int
    precision: DTypeLike | None
    batch: Batch | None
    recipe: Bytes | CostRecipe | None = None


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What a worker made of a task.

    Attributes
    ----------
    plus, minus : ndarray
        J on one side of θ and on the other, as far as it got.
    n_evaluations : int
        How many evaluations that took.
    seconds : float
        How long it took.
    error : Exception or None
        What the user's function raised at the pair after these.
    process : tuple
        In which process of which machine it was.
    """

    plus: Vector
    minus: Vector
    n_evaluations: int
    seconds: float
    error: Exception | None
    process: tuple[str, int]


@dataclass(frozen=True, eq=False)
class UnknownCost:
    """A worker does not know the cost.

    Attributes
    ----------
    process : tuple
        In which process of which machine that is.
    """

    process: tuple[str, int]


@dataclass(frozen=True, eq=False)
class CostRecipe:
    """What it takes to evaluate the cost elsewhere: see `Evaluator` and `Binding`.

    Attributes
    ----------
    floating : dict
        What NumPy is to do about an overflow and the like.
    benches : dict
        What threads that share this recipe have made of it.
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
    benches: dict[int, _ReadyCost] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluator: Evaluator, binding: Binding) -> CostRecipe:
        """Return what makes another evaluator and binding like these."""
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

    def bench(self) -> _ReadyCost:
        """Return the cost as this thread evaluates it, which is kept with the recipe."""
        thread = threading.get_ident()
        if thread not in self.benches:
            self.benches[thread] = _ReadyCost(self)
        return self.benches[thread]

    def evaluator(self) -> Evaluator:
        """Return an evaluator for this thread."""
        alone = threading.current_thread() is threading.main_thread()
        kind = Evaluator if alone else _ThreadsEvaluator
        return kind(self.function, self.name, self.upstream, self.itemsize)

    def binding(self, precision: DTypeLike | None) -> Binding:
        """Return θ with buffers of its own."""
        binding = Binding(
            self.convention, self.parameters, self.theta, keywords=self.keywords, dtype=precision
        )
        binding.fresh = self.fresh
        return binding

    def pickled(self) -> Bytes:
        """Return it pickled, functions of a notebook included."""
        try:
            import cloudpickle
        except ImportError:
            raise InputError(
                f"`workers` needs cloudpickle, which hands `{self.name}` over: {PARALLEL_EXTRA}."
            ) from None
        try:
            pickled = cloudpickle.dumps(self)
        except Exception as error:
            raise InputError(
                f"`{self.name}` cannot be sent to `workers`: {first_line(error)}. Make that in the "
                "function itself, or say workers=None."
            ) from error
        return np.frombuffer(pickled, np.uint8)


class _ThreadsEvaluator(Evaluator):
    """Leaves the filters of warnings alone, which all threads of a process share."""

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

    def made(self, task: Task) -> TaskResult:
        """Return what was asked for, as far as the user's function goes along."""
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
    """Do a task, in a worker, if it knows the cost."""
    if isinstance(task.recipe, CostRecipe):
        # Memory is shared: what is kept goes with the check.
        return task.recipe.bench().made(task)
    benches: dict[str, _ReadyCost] = _known.__dict__.setdefault("benches", {})
    if task.key not in benches:
        if task.recipe is None:
            return UnknownCost(process_id())
        try:
            recipe: CostRecipe = pickle.loads(task.recipe.data)  # noqa: S301 (it comes from the check itself)
            bench = _ReadyCost(recipe)
        except Exception as error:  # noqa: BLE001 (what it imports may raise anything)
            return TaskResult(np.empty(0), np.empty(0), 0, 0.0, _sendable(error), process_id())
        while len(benches) >= COSTS_KEPT:
            del benches[next(iter(benches))]
        benches[task.key] = bench
    return benches[task.key].made(task)


def sampled_costs(evaluator: Evaluator, binding: Binding) -> Vector:
    """Return J at θ and at a few points around it, where all that is checked has moved."""
    probes = [
        [(direction, distance * size) for direction, size in _directions(binding)]
        for distance in COMPARED_AT
    ]
    here = evaluator.value(binding)
    return np.hstack([here, *evaluator.pairs(binding, DirectionBatch(probes))])


def _directions(binding: Binding) -> Iterator[tuple[Direction, float]]:
    """Yield a direction in each parameter that is checked, and the size of the parameter."""
    for position, parameter in enumerate(binding.parameters.arrays):
        if parameter.checked and parameter.size:
            values = binding.theta[parameter.start : parameter.stop].astype(np.float64)
            size = float(np.sqrt(np.mean(values**2)))
            yield Direction.over(position, parameter.shape, (position,), ()), size or 1.0


def _sendable(error: Exception) -> Exception:
    """The same exception, or one that says as much where it cannot be pickled."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (pickled in this line)
    except Exception:  # noqa: BLE001 (the user's exceptions may raise others)
        return RuntimeError(f"{type(error).__name__}: {first_line(error)}")
    return error


def process_id() -> tuple[str, int]:
    return platform.node(), os.getpid()


@contextmanager
def memory_not_trimmed() -> Iterator[None]:
    """Let memory be kept meanwhile; afterwards it is given back, and all is as it was.

    Dask has its workers give memory back early, by the environment's MALLOC_TRIM_THRESHOLD_. With
    that, the C library no longer adapts to what a process does: each large array is mapped anew,
    page by page, and a cost that makes such arrays takes twice as long as elsewhere.
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
    """Return glibc's function; None where the C library is another."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (found or not)
        mallopt: Callable[[int, int], int] = library.mallopt
    except (AttributeError, OSError, TypeError):
        return None
    return mallopt
