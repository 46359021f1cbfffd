"""Signals, such as Ctrl-C and time limits: the user's code hears of them, the restoring does not.

The handler of a signal is called between any two lines, and may raise an exception there. While our
own code runs, signals are therefore held back. They reach the user's code at once, and what their
handlers raise then, `FromOutside` takes past everything that catches the errors of that code.
"""

from __future__ import annotations

import inspect
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, Self

__all__ = ["FromOutside", "InterruptGuard", "comes_from_handler"]

Handler = Callable[[int, FrameType | None], object]

# Numbers are looked up faster than members of an enum.
SIGNALS = tuple(map(int, signal.valid_signals()))
# The function inside `signal.getsignal`, which tries to make an enum of every handler: that takes
# many times as long as finding it.
handler_of: Callable[[int], Any] = getattr(
    sys.modules.get("_signal"), "getsignal", signal.getsignal
)
NO_KEYWORDS: dict[str, Any] = {}
# The names of exceptions that say nothing about the point θ, even without a signal: a time limit of
# any library, and "quit" in a debugger.
NOT_OF_THE_POINT = re.compile("timeout|timedout|timelimit|bdbquit", re.IGNORECASE)


class FromOutside(BaseException):
    """The way of an exception that came from outside the user's function while it ran.

    Such an exception says nothing about J. As it is no `Exception`, nothing takes it for an error
    of the function; the end of a guard raises the exception itself.

    Attributes
    ----------
    error : Exception
        The exception itself.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class InterruptGuard:
    """A guard that passes signals on while it is `open`, and holds them back otherwise.

    It is in charge of all signals that are handled in Python. Outside the main thread, Python
    delivers no signals, and the guard does nothing. One guard may be entered within another: then
    the inner one is in charge, and takes over what the outer one holds back. If the user's code has
    entered it, in a check of its own, the outer one hears of every signal that is passed on.

    Parameters
    ----------
    interrupt : callable, optional
        The handler of Ctrl-C inside this guard, if it is not to be the one that is found.

    Attributes
    ----------
    open : bool
        True while the user's code is running, which signals may reach at once. If the handler of
        one raises, the guard is closed: the code that runs next may be ours.
    has_raised : bool
        True if the handler of a signal has raised something during the last `call`.
    n_calls, failed : int
        The number of calls so far, and of the last one that has raised an exception.
    pending : list of int
        The signals that are being held back.
    """

    def __init__(self, interrupt: Handler | None = None) -> None:
        self.open = False
        self.pending: list[int] = []
        self.has_raised = False
        self.n_calls = self.failed = 0
        # The handlers that were in place before this guard, and those before all guards.
        self._previous: dict[int, Handler] = {}
        self._users: dict[int, Handler] = {}
        self._interrupt = interrupt
        self._process = os.getpid()

    def __enter__(self) -> Self:
        self.open = False
        if threading.current_thread() is threading.main_thread():
            try:
                for number in SIGNALS:
                    if callable(handler := handler_of(number)):
                        self._take(number, handler)
            except BaseException as error:  # of a signal that was not held back yet
                self.__exit__(type(error), error, None)
                raise
        return self

    def _take(self, number: int, previous: Handler) -> None:
        self._previous[number] = self._users[number] = previous
        signal.signal(number, self._handle)
        outer = getattr(previous, "__self__", None)
        if isinstance(outer, InterruptGuard):
            if not outer.open:
                self._users[number] = outer._users[number]  # noqa: SLF001 (another one of these)
            if number in outer.pending:
                outer.pending.remove(number)
                self.pending.append(number)
        if self._interrupt is not None and number == signal.SIGINT:
            self._users[number] = self._interrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._put_back()
        # If the user has kept our handler, it changes nothing from now on.
        self.open = True
        # Where everything ends with an error, there is nothing left for Ctrl-C to stop.
        self._deliver(self._previous, () if kind is None else (KeyboardInterrupt,))
        if isinstance(error, FromOutside):
            _raise_unchanged(error.error)

    def _put_back(self) -> None:
        """Put the previous handlers back, except where the user has set others since."""
        try:
            for number, previous in self._previous.items():
                if handler_of(number) == self._handle:
                    signal.signal(number, previous)
        except BaseException:  # of a signal whose handler is already back; the others follow
            self._put_back()
            raise

    def release(self) -> None:
        """Pass on the signals that were held back, if there are any."""
        if self.pending:
            try:
                self._deliver(self._users)
            except Exception as error:  # noqa: BLE001 (the user's handler may raise anything)
                raise FromOutside(error) from None

    def _deliver(
        self, handlers: dict[int, Handler], ignored: tuple[type[BaseException], ...] = ()
    ) -> None:
        try:
            while self.pending:
                number = self.pending.pop(0)
                with suppress(*ignored):
                    handlers[number](number, inspect.currentframe())
        finally:
            # If a handler has raised, the others are called all the same.
            if self.pending:
                self._deliver(handlers, ignored)

    def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] = NO_KEYWORDS,
    ) -> Any:
        """Call the user's code, which signals reach at once.

        Raises
        ------
        FromOutside
            If the function did not raise its exception by itself.
        """
        try:
            try:
                self.has_raised = False
                self.n_calls += 1
                self.open = True
                return function(*args, **kwargs)
            finally:
                self.open = False
        except Exception as error:
            self.failed = self.n_calls
            if self.has_raised or _is_from_outside(error):
                raise FromOutside(error) from None
            raise

    def _handle(self, number: int, frame: FrameType | None) -> None:
        was_open = self.open
        if was_open or self._is_elsewhere(number):
            self.open, self.has_raised = False, True
            self._users[number](number, frame)
            self.open, self.has_raised = was_open, False
        elif number not in self.pending:
            self.pending.append(number)

    def _is_elsewhere(self, number: int) -> bool:
        """Return True in a process that was forked from ours, where nothing is to be restored."""
        # Ctrl-C reaches all processes of a terminal, but only the first one handles it.
        return os.getpid() != self._process and number != signal.SIGINT


def comes_from_handler(error: Exception) -> bool:
    """Return True if the handler of a signal has raised an exception, or a time limit has."""
    ours = {InterruptGuard._handle.__code__, InterruptGuard._deliver.__code__}  # noqa: SLF001
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return _is_from_outside(error) or any(frame.f_code in ours for frame in frames)


def _is_from_outside(error: Exception) -> bool:
    return any(NOT_OF_THE_POINT.search(kind.__name__) for kind in type(error).__mro__)


def _raise_unchanged(error: Exception) -> None:
    """Raise an exception while another is handled, as if there was none."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
