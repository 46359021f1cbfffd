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
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.calling import is_same
from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.evaluation import Batch, Evaluator, Pair, Probe, Take
from gradcheck_magic._cost.interrupt import FromOutside
from gradcheck_magic._cost.printed import as_outside
from gradcheck_magic._cost.worker_process import (
    KEEPING,
    Recipe,
    Task,
    TaskResult,
    evaluate,
    result_of,
)
from gradcheck_magic._inputs.parameters import describe_type
from gradcheck_magic._inputs.request import is_number
from gradcheck_magic._wording import first_line, quoted
from gradcheck_magic.errors import InputError, WorkerLostError

__all__ = ["Pool", "Workers", "pool_of"]

# The command that installs the packages which `workers` needs.
PARALLEL_EXTRA = "pip install gradcheck_magic[parallel]"
# The relative distances from θ at which the cost in a worker is compared with the one here.
COMPARED_AT = (0.1, 1e-3)
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
# The time between two looks of a process of our own at its parent, in seconds.
PARENT_POLL = 1.0
# The variables that set the number of threads in linear algebra libraries: with a process for each
# core, one thread each is enough.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Pool(NamedTuple):
    """An executor, the number of its workers, and True if the processes are our own."""

    executor: Any
    size: int
    is_ours: bool = False


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
    if not is_number(workers, (int, np.integer)) or workers < 1:
        raise InputError(
            f"`workers` is {quoted(workers)}: expected a positive integer, or an executor, "
            "such as a ProcessPoolExecutor or a Dask client's get_executor()."
        )
    return _processes(int(workers)) if workers > 1 else None


def _processes(number: int) -> Pool:
    """Return processes of our own: those of the previous check, if their number is the same."""
    try:
        return Pool(_started(number), number, is_ours=True)
    except (ImportError, OSError, RuntimeError) as error:
        if getattr(error, "name", None) in {"loky", "cloudpickle"}:
            needs = f"`workers` is {number}, which needs loky: {PARALLEL_EXTRA}."
            raise InputError(needs) from None
        raise InputError(
            f"`workers` is {number}, but this Python cannot start processes ({first_line(error)}): "
            "leave out --workers (in Python, workers=None)."
        ) from error


def _started(number: int) -> Any:
    """Return loky's executor; what its import and start raise depends on what Python lacks."""
    # Loky would wait forever for a thread that could not be started.
    threading.Thread(target=int).start()
    import loky

    threads = max(1, loky.cpu_count() // number)
    environment = {**dict.fromkeys(THREADS, str(threads)), **KEEPING}
    # Loky replaces workers that seem to leak memory, but a large data set that is kept is no leak.
    environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e15"
    executor = loky.get_reusable_executor(
        max_workers=number,
        timeout=IDLE,
        initializer=_begin,
        initargs=(os.getpid(), tuple(sys.path), Path.cwd()),
        env=environment,
    )
    # The first task starts the processes.
    executor.submit(os.getpid)
    return executor


def _begin(parent: int, *_: object) -> None:
    """Initialize a process; loky starts new ones if the arguments differ from the last time.

    Ctrl-C reaches all processes of a terminal, but only the one that waits for them handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process if its parent is killed, which cannot end it then."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(1)


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
    evaluator : Evaluator
        The user's function; evaluations in workers are counted in it.
    binding : Binding
        θ, unmoved, in the form in which the function is called.
    bits : int
        The significant bits of the numbers in which J is computed.

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
        bits: int,
    ) -> None:
        self.size = pool.size
        self._pool = pool
        self._evaluator = evaluator
        self._key = uuid.uuid4().hex
        self._seconds_per_pair = TASK_SECONDS
        # The tasks that were sent, in order.
        self._running: dict[Future[Any], Task] = {}
        recipe = evaluator, binding, dict(np.geterr())
        self._pickled: NDArray[np.uint8] | None = None
        self._evaluate: Callable[[Task], TaskResult | None] = evaluate
        if not isinstance(pool.executor, ThreadPoolExecutor):
            self._pickled = _pickled(recipe)
        elif not binding.is_copied:
            raise InputError(
                f"`{evaluator.name}` reads the notebook's arrays, which several threads would move "
                "at the same time: set `workers` to a number or a pool of processes, or make the "
                f"parameters an argument of `{evaluator.name}`."
            )
        else:
            self._evaluate = partial(result_of, recipe)
        probes = [[], *_probes(binding)]
        here = evaluator.pairs(binding, probes)
        try:
            self._compare(probes, here, bits)
        except Exception:
            if not pool.is_ours:
                raise
            pool.executor.shutdown(wait=True, kill_workers=True)
            self._pool = _processes(pool.size)
            self._compare(probes, here, bits)

    def _compare(self, probes: list[Probe], here: list[Pair], bits: int) -> None:
        """Let every idle worker evaluate some probes, and compare the values with those here."""
        name = self._evaluator.name
        try:
            for _ in range(self.size):
                self._send(Task(self._key, None, probes, self._pickled))
            for future in list(self._running):
                part = self._receive(future)
                if part.error is not None:
                    part.error.add_note(f"This happened in a worker; here `{name}` works.")
                    raise part.error
                for one, other in zip(chain(*here), chain(*part.pairs), strict=True):
                    if not is_same(one, other, bits, self._evaluator.jitter):
                        raise InputError(
                            f"`{name}` is {other:.9g} in a worker, but {one:.9g} here: it may read "
                            "arrays of an imported module, or arrays of which `params` contains "
                            "views, and a worker has other copies of these; make the parameters an "
                            "argument of it."
                        )
        finally:
            self._cancel()

    def each_pair(self, binding: Binding, batch: Batch, take: Take) -> None:
        """Pass J on one side of θ and on the other to `take`, in the order of the batch.

        If this ends early, for whatever reason, the remaining tasks are cancelled.
        """
        start = n_known = 0
        try:
            while self._running or start < len(batch):
                while start < len(batch) and len(self._running) < TASKS_PER_WORKER * self.size:
                    stop = start + self._length(len(batch) - start)
                    self._send(Task(self._key, binding.dtype, batch[start:stop]))
                    start = stop
                part = self._receive(next(iter(self._running)))
                for pair in part.pairs:
                    take(pair)
                n_known += len(part.pairs)
                if part.error is not None:
                    # If the same error happens here, the traceback shows where in the function.
                    self._evaluator.pairs(binding, batch[n_known : n_known + 1])
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

    def _send(self, task: Task) -> Future[Any]:
        try:
            future: Future[Any] = self._pool.executor.submit(self._evaluate, task)
        except BrokenExecutor as error:
            raise self._lost(error) from error
        self._running[future] = task
        return future

    def _receive(self, future: Future[Any]) -> TaskResult:
        """Return the result of a task; if the worker does not know the cost, send it as well."""
        part, task = self._wait_for(future), self._running.pop(future)
        if part is None and task.pickled is None:
            return self._receive(self._send(replace(task, pickled=self._pickled)))
        if not isinstance(part, TaskResult):
            raise InputError(
                f"`workers` returned {describe_type(part)}: expected an executor that does "
                "each task once, such as ipyparallel's Client.executor()."
            )
        self._evaluator.n_evaluations += 2 * len(part.pairs)
        self._seconds_per_pair = part.seconds / max(len(part.pairs), 1)
        return part

    def _wait_for(self, future: Future[Any]) -> Any:
        """Wait for a result; signals are passed on at once."""
        guard = self._evaluator.guard
        while True:
            guard.release()
            self._evaluator.require_time()
            try:
                return guard.call(future.result, (POLL,))
            except FromOutside as outside:
                is_waiting = isinstance(outside.error, TimeoutError) and not future.done()
                if guard.has_raised or not is_waiting:
                    raise
            except Exception as error:
                # Errors of the cost are results, so this one is the executor's.
                raise self._lost(error) from error

    def _lost(self, error: Exception) -> WorkerLostError:
        lost = WorkerLostError(
            f"A worker was lost while it evaluated `{self._evaluator.name}` "
            f"({type(error).__name__}): it may have run out of memory, or lack a package. Try "
            "fewer workers, or workers=None."
        )
        lost.add_note(first_line(error))
        return lost

    def _cancel(self) -> None:
        """Cancel all waiting tasks, and wait for the running ones: they call the user's function.

        A cost may hang in one of them, and the next check would wait for it. So our own processes
        are then stopped.
        """
        for future in self._running:
            future.cancel()
        running = [future for future in self._running if not future.done()]
        if wait(running, GRACE).not_done and self._pool.is_ours:
            self._pool.executor.shutdown(wait=False, kill_workers=True)
        self._running.clear()


def _pickled(recipe: Recipe) -> NDArray[np.uint8]:
    """Return the recipe pickled, including functions that are defined in a notebook."""
    name = recipe[0].name
    try:
        import cloudpickle
    except ImportError:
        raise InputError(
            f"`workers` needs cloudpickle to send `{name}`: {PARALLEL_EXTRA}."
        ) from None
    try:
        # It knows the streams by their places.
        with as_outside():
            pickled = cloudpickle.dumps(recipe)
    except Exception as error:
        raise InputError(
            f"`{name}` cannot be sent to `workers`: {first_line(error)}. Create that "
            "object inside the function, or use workers=None."
        ) from error
    return np.frombuffer(pickled, np.uint8)


def _probes(binding: Binding) -> Iterator[Probe]:
    """Yield a few points around θ, with every checked parameter moved by a part of its size."""
    for distance in COMPARED_AT:
        probe = []
        for position, parameter in enumerate(binding.parameters.arrays):
            if parameter.checked and parameter.size:
                values = binding.theta[parameter.start : parameter.stop].astype(np.float64)
                size = float(np.sqrt(np.mean(values**2))) or 1.0
                direction = Direction.over(position, parameter.shape, (position,), ())
                probe.append((direction, distance * size))
        yield probe
