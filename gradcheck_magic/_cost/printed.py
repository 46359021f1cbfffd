"""What the user's functions print: a check shows it once, and counts the lines from then on.

A cost that prints would do so hundreds of times. The streams are replaced for the whole check, so
that an evaluation takes no longer. What is written while no function of the user's runs, such as
the progress, is shown, and so is everything that other threads print.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any, NamedTuple, Self

from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._wording import counted
from gradcheck_magic.errors import GradientCheckError

__all__ = ["PrintedOnce", "as_outside", "followed", "hides_display", "hushed_thread"]

STREAMS = ("stdout", "stderr")
# At most this many pieces of the latest call are kept, to be shown if it raises.
MOST_PIECES = 1000
# The modules that print what is to be answered at once, and those that print what Python's filters
# do not let through twice.
DEBUGGERS = {"bdb", "cmd", "code", "pdb", "IPython.core.debugger", "IPython.terminal.debugger"}
WARNINGS = {"warnings", "_py_warnings"}
# The checks that run now, each inside the one before it.
_open: list[PrintedOnce] = []


class Followed:
    """A function of the user's, and how much of what it prints was not shown.

    Attributes
    ----------
    guards : list of InterruptGuard
        Those that are open while it runs.
    shown : int
        The number of the call that is shown, which is the first one that prints; 0 before that.
    failed : int
        The number of the last call that has raised an exception; 0 if none has.
    hidden : int
        The number of lines that were not shown.
    is_hidden : bool
        True if any text was not shown: a line that does not end is one, too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.guards: list[InterruptGuard] = []
        self.is_hidden = False
        self.shown = self.failed = self.hidden = self._n_before = 0

    @property
    def is_running(self) -> bool:
        """True during a call."""
        return any(guard.open for guard in self.guards)

    @property
    def n_calls(self) -> int:
        """The number of calls so far."""
        return self._n_before + sum(guard.n_calls for guard in self.guards)

    def end(self, guard: InterruptGuard) -> None:
        """Do not follow calls for which this guard is open any longer."""
        if guard.failed:
            self.failed = self._n_before + guard.failed
        self._n_before += guard.n_calls
        self.guards.remove(guard)


class Hidden(NamedTuple):
    """What a call has printed that was not shown, piece by piece, each with its stream."""

    function: Followed
    call: int
    pieces: deque[tuple[Any, str]]

    def show(self) -> None:
        """Show it now."""
        for stream, text in self.pieces:
            # It may be closed by now.
            with suppress(Exception):
                stream.write(text)
        self.pieces.clear()


class PrintedOnce:
    """A context in which each function that is followed prints once.

    If it ends with an exception of the user's, all that the call has printed which raised it is
    shown.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._functions: dict[int, Followed] = {}
        # The function that runs in each thread of a pool.
        self.threads: dict[int, Followed] = {}
        # What the latest calls have printed that was not shown: after an error, there is one more.
        self._latest: deque[Hidden] = deque(maxlen=2)
        self._streams: dict[str, _Stream] = {}

    def __enter__(self) -> Self:
        _open.append(self)
        self.replace()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _open.remove(self)
        self.put_back()
        if kind is None or issubclass(kind, GradientCheckError):
            return
        for each in self._latest:
            last = each.function.failed if issubclass(kind, Exception) else each.function.n_calls
            if each.call == last:
                each.show()

    def replace(self) -> None:
        """Replace the streams."""
        for name in STREAMS:
            stream = getattr(sys, name)
            if stream is not None:
                self._streams[name] = _Stream(stream, self)
                setattr(sys, name, self._streams[name])

    def put_back(self) -> None:
        """Put the streams back in their places."""
        for name, stream in self._streams.items():
            # If somebody has kept it, it only passes on what is written.
            stream.prints = None
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.stream)
        self._streams.clear()

    def follow(self, function: object, name: str) -> Followed:
        """Return what is known of a function."""
        return self._functions.setdefault(id(function), Followed(name))

    def hides(self, stream: Any, text: str, lines: int) -> bool:
        """Return True if something that is written now is not to be shown, and count it."""
        thread = threading.get_ident()
        running = [each for each in self._functions.values() if each.is_running]
        function = running[0] if running and thread == self._thread else self.threads.get(thread)
        if function is None:
            return False
        if thread == self._thread:
            call = function.n_calls
            function.shown = function.shown or call
            if function.shown == call:
                return False
            if not self._latest or self._latest[-1][:2] != (function, call):
                self._latest.append(Hidden(function, call, deque(maxlen=MOST_PIECES)))
            if writing := _modules_writing():
                if writing & DEBUGGERS:
                    # What was printed before, in this call, may explain it.
                    self._latest[-1].show()
                return False
            self._latest[-1].pieces.append((stream, text))
        function.hidden += lines
        function.is_hidden |= bool(text)
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each function of which something was not shown."""
        told = []
        for each in self._functions.values():
            if n := max(each.hidden, int(each.is_hidden)):
                were = "was" if n == 1 else "were"
                lines = counted(n, "more line")
                told.append(f"{lines} printed by `{each.name}` {were} not shown.")
        return tuple(told)

    def tell(self) -> None:
        """Print these sentences."""
        for note in self.notes:
            print(note)  # noqa: T201 (one line for the user)


class _Stream:
    """A stream in place of another, which gets everything that is to be shown."""

    def __init__(self, stream: Any, prints: PrintedOnce) -> None:
        self.stream = stream
        self.prints: PrintedOnce | None = prints

    def write(self, text: str) -> Any:
        if self.prints is not None and isinstance(text, str):
            # A progress bar begins its line anew.
            lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
            if self.prints.hides(self.stream, text, lines):
                return len(text)
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


# As a context, a generator would set an attribute of the user's exceptions, which these may refuse.


def followed(function: object, name: str, guard: InterruptGuard) -> ExitStack:
    """Return a context in which a function is followed, in calls for which a guard is open."""
    stack = ExitStack()
    if _open:
        each = _open[-1].follow(function, name)
        each.guards.append(guard)
        stack.callback(each.end, guard)
    return stack


def hushed_thread(function: object, name: str) -> ExitStack:
    """Return a context that hides what a function prints in this thread of a pool.

    In the processes of a pool, no check runs, and nothing is hidden.
    """
    stack = ExitStack()
    if _open:
        thread, threads = threading.get_ident(), _open[-1].threads
        threads[thread] = _open[-1].follow(function, name)
        stack.callback(threads.pop, thread, None)
    return stack


def as_outside() -> ExitStack:
    """Return a context in which the streams are as they are outside of all checks."""
    stack = ExitStack()
    for each in reversed(_open):
        each.put_back()
        stack.callback(each.replace)
    return stack


def hides_display() -> bool:
    """Return True if an output that is displayed now is not to be shown."""
    return bool(_open) and _open[-1].hides(None, "", 1)


def _modules_writing() -> set[object]:
    """Return which of the modules that are always shown are writing now."""
    names = set[object]()
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 (documented, and fast)
    while frame is not None and frame.f_code is not InterruptGuard.call.__code__:
        names.add(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return names & (DEBUGGERS | WARNINGS)
