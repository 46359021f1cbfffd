"""Has batches of evaluations made by workers: by the processes of a pool, here or elsewhere.

What the cost needs is pickled once, all of it together: an array that the cost reads and `params`
holds is one array there too. It is sent once to a worker, and each task then names it by a key; a
worker that does not know the key says so, and is sent it with the task.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import uuid
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.evaluation import Batch, Evaluator
from gradcheck_magic._cost.worker_process import (
    KEEPING,
    PARALLEL_EXTRA,
    CostRecipe,
    Task,
    TaskResult,
    UnknownCost,
    evaluate,
    process_id,
    sampled_costs,
)
from gradcheck_magic._inputs.parameters import describe_type
from gradcheck_magic._wording import quoted
from gradcheck_magic.errors import InputError, WorkerLostError

__all__ = ["Pool", "Workers", "pool_of"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# A task takes about so many seconds, and so many are under way for each worker: one is evaluated,
# and one waits.
TASK_SECONDS = 0.25
TASKS_PER_WORKER = 2
# Towards the end of a batch tasks are smaller, so that all workers finish together; not below this.
SHORTEST_TASK = 0.005
# So often, in seconds, one looks up while waiting.
POLL = 0.1
# What is under way when a check ends early may take so many seconds more.
GRACE = 0.5
# Our own processes are kept so many seconds for the next check.
IDLE = 300
# Whose threads a linear algebra library starts: with a process for each core, one is enough.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# What the libraries, which are not imported for it, raise where a worker is gone.
LOST = {"KilledWorker", "CancelledError", "CommClosedError", "EngineError"}


# In a worker


# Who does it


@dataclass(frozen=True, eq=False)
class Pool:
    """Where tasks are done.

    Attributes
    ----------
    executor : Executor
        Has a method ``submit``.
    size : int
        How many workers there are.
    is_ours : bool
        Whether it may be stopped.
    """

    executor: Any
    size: int
    is_ours: bool = False

    @property
    def shares_memory(self) -> bool:
        """Whether its workers are known to be threads of this process."""
        return isinstance(self.executor, ThreadPoolExecutor)

    def renewed(self) -> Pool:
        """Return new processes in place of our own."""
        self.executor.shutdown(wait=True, kill_workers=True)
        return _processes(self.size)

    def give_up(self, futures: list[Future[Any]]) -> None:
        """Cancel what is not yet done, and stop our own processes if they do not come to an end.

        A cost may hang in one of them, and the next check would wait for it.
        """
        for future in futures:
            future.cancel()
        running = [future for future in futures if not future.done()]
        if self.is_ours and running and wait(running, GRACE).not_done:
            self.executor.shutdown(wait=False, kill_workers=True)


def pool_of(workers: Any) -> Pool | None:
    """Return the pool that is asked for; None where all is evaluated here.

    Parameters
    ----------
    workers : int, Executor or None
        How many processes, or whose.

    Raises
    ------
    InputError
        If it is neither, or there is no loky.
    """
    if workers is None:
        return None
    if callable(getattr(workers, "submit", None)):
        return Pool(workers, _size(workers))
    is_number = isinstance(workers, (int, np.integer)) and not isinstance(workers, bool)
    if not is_number or workers < 1:
        raise InputError(
            f"`workers` is {quoted(workers)}: expected a whole number from 1 on, or an executor, "
            "such as a ProcessPoolExecutor or a Dask client's get_executor()."
        )
    return _processes(int(workers)) if workers > 1 else None


def _processes(number: int) -> Pool:
    """Return processes of our own, those of the check before if they are as many."""
    try:
        import loky
    except ImportError:
        raise InputError(f"`workers` is {number}, which needs loky: {PARALLEL_EXTRA}.") from None
    threads = max(1, loky.cpu_count() // number)
    environment = {**dict.fromkeys(THREADS, str(threads)), **KEEPING}
    # What a worker keeps of a large data set is not a leak, after which loky would replace it.
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
    """Begin a process, which serves until it would be begun with something else.

    Ctrl-C, which reaches all processes of a terminal, is left to the one that waits for them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _size(executor: Any) -> int:
    """Return how many workers an executor has, as far as it tells."""
    client = getattr(executor, "_client", executor)
    questions: list[Callable[[], int]] = [
        lambda: executor._max_workers,  # noqa: SLF001 (concurrent.futures, and whoever follows it)
        lambda: sum(client.nthreads().values()),  # Dask
    ]
    for question in questions:
        with suppress(Exception):
            return max(1, int(question()))
    return os.cpu_count() or 1


class Workers:
    """The workers of one check.

    Parameters
    ----------
    pool : Pool
        Where tasks are done.
    evaluator : Evaluator
        The user's function; evaluations made elsewhere are counted in it.
    binding : Binding
        θ, at rest, as the function wants it.
    check_time : callable, optional
        Called now and then while waiting; it may raise.

    Raises
    ------
    InputError
        If threads would move the arrays that a cost reads under each other, or the cost cannot be
        pickled.
    """

    def __init__(
        self,
        pool: Pool,
        evaluator: Evaluator,
        binding: Binding,
        check_time: Callable[[], object] | None = None,
    ) -> None:
        self.size = pool.size
        self._pool = pool
        self._evaluator = evaluator
        self._binding = binding
        self._check_time = check_time or _never
        self._key = uuid.uuid4().hex
        self._numbers = count()
        self._seconds = TASK_SECONDS
        # To whom the cost was sent because they did not know it.
        self._told: set[tuple[str, int]] = set()
        self._under_way: list[Future[Any]] = []
        if pool.shares_memory:
            self._require_own_arrays()
        recipe = CostRecipe.of(evaluator, binding)
        self._recipe = recipe if pool.shares_memory else recipe.pickled()

    def compare(self, is_same: Callable[[float, float], bool]) -> None:
        """Make sure that the cost which the workers evaluate is this one.

        Every worker that is idle gets to know it on this occasion. Our own processes are begun
        anew where it is another: they may have imported a module that was edited since.

        Parameters
        ----------
        is_same : callable
            Whether two values of J may come from the same θ.

        Raises
        ------
        InputError
            If it is another one. What the function raises there passes through.
        """
        here = sampled_costs(self._evaluator, self._binding)
        try:
            self._compare(here, is_same)
        except Exception:
            if not self._pool.is_ours:
                raise
            self._pool = self._pool.renewed()
            self._compare(here, is_same)

    def _compare(self, here: Vector, is_same: Callable[[float, float], bool]) -> None:
        tasks = [replace(self._task(None, None), recipe=self._recipe) for _ in range(self.size)]
        try:
            for task, future in [(task, self._sent(task)) for task in tasks]:
                self._require_same(here, self._received(task, future), is_same)
        finally:
            self._give_up()

    def _require_same(
        self, here: Vector, part: TaskResult, is_same: Callable[[float, float], bool]
    ) -> None:
        if part.process == process_id():
            self._require_own_arrays()
        if part.error is not None:
            part.error.add_note(f"This happened in a worker; here `{self._evaluator.name}` works.")
            raise part.error
        self._seconds = part.seconds / len(here) * 2
        for one, other in zip(here.tolist(), part.plus.tolist(), strict=True):
            if not is_same(one, other):
                raise InputError(
                    f"`{self._evaluator.name}` is {other:.9g} in a worker where it is {one:.9g} "
                    "here: it may read arrays of an imported module, or of which `params` holds "
                    "views, and these are others there; make the parameters an argument of it."
                )

    def _require_own_arrays(self) -> None:
        if self._binding.convention is Convention.CLOSURE:
            name = self._evaluator.name
            raise InputError(
                f"`{name}` reads the notebook's arrays, which threads would move under each other: "
                "give `workers` a number or a pool of processes, or make the parameters an "
                f"argument of `{name}`."
            )

    def parts(self, binding: Binding, batch: Batch) -> Generator[TaskResult, None, None]:
        """Yield what the workers make of a batch, part by part, in its order.

        Whatever ends this early, what is then under way is cancelled.
        """
        waiting: deque[tuple[Task, Future[Any]]] = deque()
        start = 0
        try:
            while waiting or start < len(batch):
                while start < len(batch) and len(waiting) < TASKS_PER_WORKER * self.size:
                    stop = start + self._length(len(batch) - start)
                    task = self._task(binding, batch.part(start, stop))
                    waiting.append((task, self._sent(task)))
                    start = stop
                part = self._received(*waiting.popleft())
                self._seconds = part.seconds / max(len(part.plus), 1)
                yield part
        finally:
            self._give_up()

    def _length(self, remaining: int) -> int:
        """Return how many of the pairs that remain the next task is to have."""
        shortest, longest = (
            max(1, int(s / (self._seconds or 1e-9))) for s in (SHORTEST_TASK, TASK_SECONDS)
        )
        share = math.ceil(remaining / (TASKS_PER_WORKER * self.size))
        return min(remaining, max(shortest, min(share, longest)))

    def _task(self, binding: Binding | None, batch: Batch | None) -> Task:
        precision = None if binding is None else binding.dtype
        # Where memory is shared, the cost is no load.
        recipe = self._recipe if self._pool.shares_memory else None
        return Task(self._key, next(self._numbers), precision, batch, recipe)

    def _sent(self, task: Task) -> Future[Any]:
        try:
            future: Future[Any] = self._pool.executor.submit(evaluate, task)
        except Exception as error:
            self._require_alive(error)
            raise
        self._under_way.append(future)
        return future

    def _received(self, task: Task, future: Future[Any]) -> TaskResult:
        """Return the result of a task, sent again with the cost if need be."""
        part = self._result(future)
        if isinstance(part, UnknownCost):
            part = self._again(task, part)
        if not isinstance(part, TaskResult):
            raise InputError(
                f"`workers` answered with {describe_type(part)}: expected an executor that has "
                "each task done once, such as ipyparallel's Client.executor()."
            )
        self._evaluator.n_evaluations += part.n_evaluations
        return part

    def _again(self, task: Task, answer: UnknownCost) -> Any:
        """Return the result of a task which came to a worker that did not know the cost."""
        if answer.process in self._told:
            # The task was on its way there before the cost was.
            again = self._result(self._sent(replace(task, number=next(self._numbers))))
            if not isinstance(again, UnknownCost):
                return again
            answer = again
        self._told.add(answer.process)
        whole = replace(task, number=next(self._numbers), recipe=self._recipe)
        return self._result(self._sent(whole))

    def _result(self, future: Future[Any]) -> Any:
        """Wait for a result; an interrupt comes through at once."""
        guard = self._evaluator.guard
        while True:
            guard.release()
            self._check_time()
            guard.open = True
            try:
                result = future.result(timeout=POLL)
            except TimeoutError:
                if future.done():
                    raise
            except Exception as error:
                self._require_alive(error)
                raise
            else:
                self._under_way.remove(future)
                return result
            finally:
                guard.open = False

    def _require_alive(self, error: Exception) -> None:
        """Say so if what an executor raised means that a worker is gone."""
        # ipyparallel wraps what is not its own, and gives its name.
        kinds = {kind.__name__ for kind in type(error).__mro__} | {getattr(error, "ename", "")}
        if isinstance(error, BrokenExecutor) or kinds & LOST:
            raise WorkerLostError(
                f"A worker died while it evaluated `{self._evaluator.name}`, as it would from lack "
                "of memory: try fewer workers, or workers=None."
            ) from error

    def _give_up(self) -> None:
        self._pool.give_up(self._under_way)
        self._under_way.clear()


def _never() -> None:
    """Look at no clock."""
