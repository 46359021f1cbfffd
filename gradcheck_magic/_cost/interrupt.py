"""Protection from Ctrl-C: it may interrupt the user's function, but never the restoring of θ."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

__all__ = ["InterruptGuard", "interrupts_raised"]

Handler = Callable[[int, FrameType | None], object]


class InterruptGuard:
    """A guard that passes an interrupt on while it is `open`, and holds it back otherwise.

    Outside the main thread, Python delivers no signals, and the guard does nothing. One guard may
    be entered within another: then the inner one is in charge, and takes over an interrupt that
    the outer one holds back.

    Attributes
    ----------
    open : bool
        True while the user's code is running, which may be interrupted at once.
    pending : bool
        True if an interrupt is being held back.
    """

    def __init__(self) -> None:
        self.open = False
        self.pending = False
        # The handler that was in place before this guard, and the one before all guards.
        self._previous: Handler | None = None
        self._users: Handler | None = None

    def __enter__(self) -> Self:
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._previous = self._users = previous
            signal.signal(signal.SIGINT, self._handle)
            outer = getattr(previous, "__self__", None)
            if isinstance(outer, InterruptGuard):
                self._users = outer._users  # noqa: SLF001 (another one of these)
                self.pending, outer.pending = self.pending or outer.pending, False
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None:
            self.release()

    def release(self) -> None:
        """Raise the interrupt that was held back, if there is one."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.open and self._users is not None:
            # The code that runs next is ours again, even if the user's code was never reached.
            self.open = False
            self._users(signum, frame)
        else:
            self.pending = True


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Make Ctrl-C raise `KeyboardInterrupt`: after the end of a cell, a kernel may not."""
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
