"""Evaluation of batches in workers: the processes of a pool, here or on other machines.

The cost and its parameters are pickled together, so that an array which both the cost and `params`
refer to remains a single array in the worker. The pickle is sent to each worker once, and each task
names it by a key. A worker that does not know the key returns None, and the task is sent again with
the pickle.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.evaluation import Batch, Evaluator, Pair, Take
from gradcheck_magic._cost.worker_process import (
    KEEPING,
    PARALLEL_EXTRA,
    Bytes,
    CostRecipe,
    Task,
    TaskResult,
    evaluate,
    sampled_costs,
)
from gradcheck_magic._inputs.parameters import describe_type
from gradcheck_magic._wording import first_line, quoted
from gradcheck_magic.errors import InputError, WorkerLostError

__all__ = ["Pool", "Workers", "pool_of"]

# The approximate duration of a task in seconds, and the number of tasks for each worker: one is
# being evaluated, and one waits.
TASK_SECONDS = 0.25
TASKS_PER_WORKER = 2
# Tasks get shorter towards the end of a batch, so that all workers finish together. This is their
# least duration in seconds.
SHORTEST_TASK = 0.005
# The time between two looks at the clock and at interrupts while waiting, in seconds.
POLL = 0.1
# The seconds that running tasks may still take when a check ends early.
GRACE = 0.5
# The seconds for which our own processes are kept for the next check.
IDLE = 300
# The variables that set the number of threads in linear algebra libraries: with a process for each
# core, one thread each is enough.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool of workers.

    Attributes
    ----------
    executor : Executor
        An object with a method ``submit``.
    size : int
        The number of workers.
    is_ours : bool
        True if the processes are our own and may be stopped.
    """

    executor: Any
    size: int
    is_ours: bool = False

    @property
    def shares_memory(self) -> bool:
        """True if the workers are known to be threads of this process."""
        return isinstance(self.executor, ThreadPoolExecutor)

    def renewed(self) -> Pool:
        """Replace our own processes by new ones."""
        self.executor.shutdown(wait=True, kill_workers=True)
        return _processes(self.size)

    def give_up(self, futures: list[Future[Any]]) -> None:
        """Cancel all waiting tasks, and stop our own processes if the running tasks do not end.

        A cost may hang in one of them, and the next check would wait for it.
        """
        for future in futures:
            future.cancel()
        running = [future for future in futures if not future.done()]
        if self.is_ours and running and wait(running, GRACE).not_done:
            self.executor.shutdown(wait=False, kill_workers=True)


def pool_of(workers: Any) -> Pool | None:
    """Return the requested pool; None if everything is evaluated here.

    Parameters
    ----------
    workers : int, Executor or None
        The number of processes, or the executor to use.

    Raises
    ------
    InputError
        If `workers` is neither, or if loky is not installed.
    """
    if workers is None:
        return None
    if callable(getattr(workers, "submit", None)):
        return Pool(workers, _size(workers))
    is_number = isinstance(workers, (int, np.integer)) and not isinstance(workers, bool)
    if not is_number or workers < 1:
        raise InputError(
            f"`workers` is {quoted(workers)}: expected a positive integer, or an executor, "
            "such as a ProcessPoolExecutor or a Dask client's get_executor()."
        )
    return _processes(int(workers)) if workers > 1 else None


def _processes(number: int) -> Pool:
    """Return processes of our own: those of the previous check, if their number is the same."""
    try:
        import loky
    except ImportError:
        raise InputError(f"`workers` is {number}, which needs loky: {PARALLEL_EXTRA}.") from None
    threads = max(1, loky.cpu_count() // number)
    environment = {**dict.fromkeys(THREADS, str(threads)), **KEEPING}
    # Loky replaces workers that seem to leak memory, but a large data set that is kept is no leak.
    environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e15"
    executor = loky.get_reusable_executor(
        max_workers=number,
        timeout=IDLE,
        initializer=_begin,
        initargs=(tuple(sys.path), Path.cwd()),
        env=environment,
    )
    return Pool(executor, number, is_ours=True)


def _begin(*_: object) -> None:
    """Initialize a process; loky starts new ones if the arguments differ from the last time.

    Ctrl-C reaches all processes of a terminal, but only the one that waits for them handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _size(executor: Any) -> int:
    """Return the number of workers of an executor, or of cores here if it does not tell."""
    with suppress(Exception):
        return max(1, int(executor._max_workers))  # noqa: SLF001 (concurrent.futures, and similar executors)
    with suppress(Exception):  # Dask's
        return max(1, int(sum(getattr(executor, "_client", executor).nthreads().values())))
    return os.cpu_count() or 1


class Workers:
    """The workers of one check; they are made sure to evaluate the same cost.

    Every idle worker gets the cost for this. If the values differ, our own processes are restarted:
    they may have imported a module that was edited since.

    Parameters
    ----------
    pool : Pool
        The pool that does the tasks.
    evaluator : Evaluator
        The user's function; evaluations in workers are counted in it.
    binding : Binding
        θ, unmoved, in the form in which the function is called.
    is_same : callable
        A function that returns True if two values of J may come from the same θ.

    Raises
    ------
    InputError
        If several threads would move the same arrays that a cost reads, if the cost cannot be
        pickled, or if the values differ. An exception of the function in a worker passes through.
    """

    def __init__(
        self,
        pool: Pool,
        evaluator: Evaluator,
        binding: Binding,
        is_same: Callable[[float, float], bool],
    ) -> None:
        self.size = pool.size
        self._pool = pool
        self._evaluator = evaluator
        self._key = uuid.uuid4().hex
        self._numbers = count()
        self._seconds_per_pair = TASK_SECONDS
        self._running: list[Future[Any]] = []
        if pool.shares_memory and binding.convention is Convention.CLOSURE:
            raise InputError(
                f"`{evaluator.name}` reads the notebook's arrays, which several threads would move "
                "at the same time: set `workers` to a number or a pool of processes, or make the "
                f"parameters an argument of `{evaluator.name}`."
            )
        function, name, upstream = evaluator.function, evaluator.name, evaluator.upstream
        recipe = CostRecipe(function, name, upstream, binding, dict(np.geterr()))
        self._recipe = recipe if pool.shares_memory else recipe.pickled()
        here = sampled_costs(evaluator, binding)
        try:
            self._compare(here, is_same)
        except Exception:
            if not pool.is_ours:
                raise
            self._pool = pool.renewed()
            self._compare(here, is_same)

    def _compare(self, here: list[Pair], is_same: Callable[[float, float], bool]) -> None:
        tasks = [self._task(None, None, self._recipe) for _ in range(self.size)]
        try:
            for task, future in [(task, self._send(task)) for task in tasks]:
                self._require_same(here, self._receive(task, future), is_same)
        finally:
            self._cancel()

    def _require_same(
        self, here: list[Pair], part: TaskResult, is_same: Callable[[float, float], bool]
    ) -> None:
        name = self._evaluator.name
        if part.error is not None:
            part.error.add_note(f"This happened in a worker; here `{name}` works.")
            raise part.error
        self._seconds_per_pair = part.seconds / len(here)
        for one, other in zip(chain(*here), chain(*part.pairs), strict=True):
            if not is_same(one, other):
                raise InputError(
                    f"`{name}` is {other:.9g} in a worker, but {one:.9g} here: it may read arrays "
                    "of an imported module, or arrays of which `params` contains views, and a "
                    "worker has other copies of these; make the parameters an argument of it."
                )

    def each_pair(self, binding: Binding, batch: Batch, take: Take) -> None:
        """Pass J on one side of θ and on the other to `take`, in the order of the batch.

        If this ends early, for whatever reason, the remaining tasks are cancelled.
        """
        waiting: deque[tuple[Task, Future[Any]]] = deque()
        start = n_known = 0
        try:
            while waiting or start < len(batch):
                while start < len(batch) and len(waiting) < TASKS_PER_WORKER * self.size:
                    stop = start + self._length(len(batch) - start)
                    task = self._task(binding, batch.part(start, stop))
                    waiting.append((task, self._send(task)))
                    start = stop
                part = self._receive(*waiting.popleft())
                self._seconds_per_pair = part.seconds / max(len(part.pairs), 1)
                for pair in part.pairs:
                    take(pair)
                n_known += len(part.pairs)
                if part.error is not None:
                    # If the same error happens here, the traceback shows where in the function.
                    self._evaluator.pairs(binding, batch.part(n_known, n_known + 1))
                    part.error.add_note("This happened in a worker, but not here.")
                    raise part.error
        finally:
            self._cancel()

    def _length(self, remaining: int) -> int:
        """Return the number of pairs for the next task."""
        shortest, longest = (
            max(1, int(s / (self._seconds_per_pair or 1e-9))) for s in (SHORTEST_TASK, TASK_SECONDS)
        )
        share = math.ceil(remaining / (TASKS_PER_WORKER * self.size))
        return min(remaining, max(shortest, min(share, longest)))

    def _task(
        self, binding: Binding | None, batch: Batch | None, recipe: Bytes | CostRecipe | None = None
    ) -> Task:
        precision = None if binding is None else binding.dtype
        # If memory is shared, the cost can be passed with every task.
        recipe = self._recipe if self._pool.shares_memory else recipe
        return Task(self._key, next(self._numbers), precision, batch, recipe)

    def _send(self, task: Task) -> Future[Any]:
        try:
            future: Future[Any] = self._pool.executor.submit(evaluate, task)
        except BrokenExecutor as error:
            raise self._lost(error) from error
        self._running.append(future)
        return future

    def _receive(self, task: Task, future: Future[Any]) -> TaskResult:
        """Return the result of a task; if the worker does not know the cost, send it as well."""
        part = self._wait_for(future)
        if part is None:
            whole = replace(task, number=next(self._numbers), recipe=self._recipe)
            part = self._wait_for(self._send(whole))
        if not isinstance(part, TaskResult):
            raise InputError(
                f"`workers` returned {describe_type(part)}: expected an executor that does "
                "each task once, such as ipyparallel's Client.executor()."
            )
        self._evaluator.n_evaluations += part.n_evaluations
        return part

    def _wait_for(self, future: Future[Any]) -> Any:
        """Wait for a result; an interrupt is raised at once."""
        guard = self._evaluator.guard
        while True:
            guard.release()
            self._evaluator.require_time()
            guard.open = True
            try:
                result = future.result(timeout=POLL)
            except TimeoutError:
                if future.done():
                    raise
            except Exception as error:
                # Errors of the cost are results, so this one is the executor's.
                raise self._lost(error) from error
            else:
                self._running.remove(future)
                return result
            finally:
                guard.open = False

    def _lost(self, error: Exception) -> WorkerLostError:
        lost = WorkerLostError(
            f"A worker was lost while it evaluated `{self._evaluator.name}` "
            f"({type(error).__name__}): it may have run out of memory, or lack a package. Try "
            "fewer workers, or workers=None."
        )
        lost.add_note(first_line(error))
        return lost

    def _cancel(self) -> None:
        self._pool.give_up(self._running)
        self._running.clear()
