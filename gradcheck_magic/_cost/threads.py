"""Other threads: they wait while one of them checks, and may change the user's arrays meanwhile.

A check moves the notebook's arrays, and restores random states and warning filters, which all
threads share. So there is one check at a time in a process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from weakref import ref

from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._inputs.ownership import is_in_library
from gradcheck_magic._inputs.parameters import cost_name
from gradcheck_magic.errors import InputError

__all__ = [
    "Turn",
    "one_at_a_time",
    "other_threads",
    "show_progress",
    "thread_at_work",
    "wait_for_check",
]

# The seconds for which a thread waits for a check that makes no evaluation: it may be stuck, or its
# cost may wait for this very thread.
STUCK_SECONDS = 10.0
# The functions in which a thread waits for another one.
WAITING = {(threading.__file__, name) for name in ("wait", "join", "_wait_for_tstate_lock")}
# The seconds between two looks at interrupts and at the other check.
LOOK_SECONDS = 0.1


@dataclass(eq=False)
class Turn:
    """The check that runs at present.

    Attributes
    ----------
    name : str
        The name of its cost.
    holds_cells : bool
        True if cells of the notebook wait for its end.
    thread, since : str
        The name of its thread, and the time of day at which it began.
    counters : list of weak references
        The objects that count its evaluations, which show that it is not stuck.
    """

    name: str
    holds_cells: bool = False
    thread: str = field(default_factory=lambda: threading.current_thread().name)
    since: str = field(default_factory=lambda: time.strftime("%H:%M:%S"))
    counters: list[ref[Any]] = field(default_factory=list)
    # The number of evaluations that a waiting thread saw last, and when it saw it first.
    _seen: tuple[int, float] = (-1, 0.0)

    @property
    def n_evaluations(self) -> int:
        """The number of evaluations so far."""
        alive = [counter() for counter in self.counters]
        return sum(counter.n_evaluations for counter in alive if counter is not None)

    def is_stuck(self) -> bool:
        """Return True if the threads that wait have seen no evaluation for some time."""
        n_evaluations, now = self.n_evaluations, time.perf_counter()
        if n_evaluations != self._seen[0]:
            self._seen = n_evaluations, now
        return now - self._seen[1] >= STUCK_SECONDS

    def described(self) -> str:
        """Return, for a sentence, that this check is stuck."""
        return (
            f"the thread {self.thread} has been checking `{self.name}` since {self.since}, and has "
            f"not got any further for {STUCK_SECONDS:.0f} s"
        )


class _Queue:
    """The lock of a process, and the check that holds it."""

    def __init__(self) -> None:
        # A cost may itself check something, in the same thread.
        self.lock = threading.RLock()
        self.turn: Turn | None = None

    def wait(self, guard: InterruptGuard) -> Turn | None:
        """Take the lock; return the check in another thread if that is stuck and keeps it."""
        while not self.lock.acquire(timeout=LOOK_SECONDS):
            guard.release()
            turn = self.turn
            if turn is not None and turn.is_stuck():
                return turn
        return None


# The queue of each process: a fork must not wait for a thread that exists only in its parent.
_queues: dict[int, _Queue] = {}


def _queue() -> _Queue:
    return _queues.setdefault(os.getpid(), _Queue())


def one_at_a_time(cost_function: object, *, holds_cells: bool = False) -> ExitStack:
    """Wait until no other thread is checking; return a context that keeps others waiting.

    With `holds_cells`, the cells of the notebook wait, too.

    Raises
    ------
    InputError
        If the other check has not got any further for some time. The message says which it is.
    """
    queue = _queue()
    # A generator would set an attribute of the user's exceptions, which these may refuse.
    with ExitStack() as stack:
        guard = stack.enter_context(InterruptGuard())
        name = cost_name(cost_function, None)
        if stuck := queue.wait(guard):
            raise InputError(
                f"`{name}` cannot be checked now: {stuck.described()}. Only one check can run at a "
                "time: let it end, or interrupt it."
            )
        stack.callback(queue.lock.release)
        stack.callback(setattr, queue, "turn", queue.turn)
        queue.turn = queue.turn or Turn(name, holds_cells)
        return stack.pop_all()


def show_progress(counter: Any) -> None:
    """Let the threads that wait for this check see its `n_evaluations`."""
    if (turn := _queue().turn) is not None:
        turn.counters.append(ref(counter))


def wait_for_check() -> Turn | None:
    """Wait until no other thread makes a check that holds cells; return it if that is stuck.

    Ctrl-C raises KeyboardInterrupt, also in a cell with `await`.
    """
    queue = _queue()
    turn = queue.turn
    if turn is None or not turn.holds_cells:
        return None
    with InterruptGuard(signal.default_int_handler) as guard:
        stuck = queue.wait(guard)
        if stuck is None:
            queue.lock.release()
        guard.release()
        return stuck


def other_threads() -> Iterator[tuple[int, list[FrameType]]]:
    """Yield the identity of every other thread, and its stack of frames, the innermost first.

    One that waits for a check is left out: it changes nothing.
    """
    for thread, innermost in sys._current_frames().items():  # noqa: SLF001 (documented, and the only way)
        # A list of this thread's own frames would be a circle of references.
        if thread == threading.get_ident():
            continue
        stack = [frame for frame, _ in traceback.walk_stack(innermost)]
        if all(frame.f_code is not _Queue.wait.__code__ for frame in stack):
            yield thread, stack


def thread_at_work(*, waiting: bool = True) -> str | None:
    """Return the name of another thread that is in the user's code now; None if there is none.

    If not `waiting`, those that wait there for another thread do not count: it may be ours, as when
    a cell waits for a pool of checks.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for thread, stack in other_threads():
        codes = [frame.f_code for frame in stack]
        is_users = not all(is_in_library(code.co_filename) for code in codes)
        waits = (codes[0].co_filename, codes[0].co_name) in WAITING
        if is_users and (waiting or not waits):
            return names.get(thread, f"Thread {thread}")
    return None
