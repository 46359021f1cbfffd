"""Says when a statement of the user's begins and when it has ended, while the code runs.

`sys.settrace` reports each line of the user's own functions, and nothing of a library's. Where a
line has several statements, or a statement several lines, each instruction is reported.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, Self

from gradcheck_magic._backward.references import NOWHERE
from gradcheck_magic._backward.sources import Source, counts_references, source_of
from gradcheck_magic._backward.statements import Statement
from gradcheck_magic._inputs.ownership import is_in_library

__all__ = ["Call", "StatementTracer"]


@dataclass(eq=False)
class Call:
    """A call of one of the user's functions that is being traced.

    Attributes
    ----------
    number : int
        Its number, from 1; 0 for the cell, whose statements all have the same variables.
    statement : Statement, optional
        The statement that runs.
    callers : tuple of Statement
        The statements that have led here, the outermost first.
    reads : list of dict
        What each part of the statement has read.
    before : list of ndarray
        What was there before, of what each part of the statement changes.
    constants : dict
        What the statement reads and is not recorded: numbers, strings, arrays bound before.
    binders : list of Statement
        The statements that have bound what it reads and is not recorded.
    arguments : set of int
        The identities of its arguments.
    loaded : set of int
        The identities of what the statement reads.
    returned : dict
        What functions have returned that the statement has called, with its place in a container.
    passed_on : dict
        The statements by which they have returned what they have not made themselves.
    is_callback : bool
        True if a library has called it.
    """

    source: Source
    number: int
    callers: tuple[Statement, ...] = ()
    statement: Statement | None = None
    offset: int = -1
    reads: list[dict[int, Any]] = field(default_factory=list)
    before: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    binders: list[Statement] = field(default_factory=list)
    arguments: set[int] = field(default_factory=set)
    loaded: set[int] = field(default_factory=set)
    returned: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    passed_on: dict[int, Statement] = field(default_factory=dict)
    is_callback: bool = False
    at_hand: dict[str, tuple[int, Any]] = field(default_factory=dict)


class StatementTracer:
    """A context in which the user's code is traced, unless something else traces it.

    Attributes
    ----------
    obstacle : str
        Why nothing, or not everything, was traced; empty if everything was.
    """

    def __init__(self) -> None:
        self.obstacle = ""
        self.calls: list[Call] = []
        self.seconds = 0.0
        self._n_calls = 0
        self._sources: dict[CodeType, Source | None] = {}

    def __enter__(self) -> Self:
        self.obstacle = _who_traces()
        if not self.obstacle:
            sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.calls.clear()
        self._sources.clear()

    def stop(self, why: str = "") -> None:
        """Trace no further, and say why."""
        self.obstacle = self.obstacle or why
        # Another one may have taken our place.
        if sys.gettrace() == self._on_call:
            sys.settrace(None)

    # What a subclass does

    def wants(self, code: CodeType) -> Source | None:
        """Return the statements of code that is to be traced."""
        return source_of(code)

    def called(self, call: Call, frame: FrameType) -> None:
        """A function was called."""

    def begins(self, call: Call, frame: FrameType) -> None:
        """The statement of a call begins."""

    def ended(self, call: Call, frame: FrameType, returned: Any) -> None:
        """The statement of a call has ended; if it returns from the function, with a value."""

    # What Python reports

    def _on_call(self, frame: FrameType, _event: str, _arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        try:
            source = self._sources[code]
        except KeyError:
            if counts_references(code):
                self.stop("it calls a function that counts references to arrays, such as resize")
                return None
            source = self._sources[code] = self._safely(self.wants, code)
        if source is None:
            return None
        is_cell = code.co_name == "<module>"
        self._n_calls += not is_cell
        above = self.calls[-1] if self.calls else None
        callers = (*above.callers, above.statement) if above and above.statement else ()
        call = Call(source, 0 if is_cell else self._n_calls, callers)
        self._safely(self.called, call, frame)
        self.calls.append(call)

        def on_event(frame: FrameType, event: str, arg: Any) -> Any:
            self._safely(self._on_event, call, frame, event, arg)
            return on_event

        if source.by_offset is not None:
            # From Python 3.12 on, this has an effect only once the frame has a trace function.
            frame.f_trace = on_event
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            # Python 3.12 itself needs to be told once more.
            sys.settrace(self._on_call)
        return on_event

    def _safely(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of ours: the user's code must go on, whatever happens in it.

        What the handler of a signal raises meanwhile passes through, as in any code of the user's.
        """
        # On a busy machine, what others take does not count.
        began = time.thread_time()
        try:
            return function(*arguments)
        except Exception as error:
            *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
            if not is_in_library(innermost.f_code.co_filename):
                raise
            self.stop(f"following it failed ({type(error).__name__}: {error})")
            return None
        finally:
            self.seconds += time.thread_time() - began

    def _on_event(self, call: Call, frame: FrameType, event: str, arg: Any) -> None:
        if event == "exception":
            call.statement = None
        elif event == "return":
            self._end(call, frame, arg)
            call.statement = None
            if self.calls and self.calls[-1] is call:
                self.calls.pop()
        elif event == ("line" if call.source.by_offset is None else "opcode"):
            statement, is_new = self._statement_at(call, frame)
            if is_new:
                self._end(call, frame, NOWHERE)
                call.statement = statement
                if statement is not None and statement.parts:
                    self.begins(call, frame)

    def _statement_at(self, call: Call, frame: FrameType) -> tuple[Statement | None, bool]:
        """Return the statement that is to run, and if it begins only now."""
        offsets = call.source.by_offset
        if offsets is None:
            return call.source.by_line.get(frame.f_lineno), True
        offset = frame.f_lasti // 2
        statement = offsets[offset] if offset < len(offsets) else None
        # In a comprehension, Python 3.12 goes back within a statement, which does not begin again.
        is_start = not offset or offsets[offset - 1] is not statement
        is_new = statement is not call.statement or (offset <= call.offset and is_start)
        call.offset = offset
        return statement, is_new

    def _end(self, call: Call, frame: FrameType, returned: Any) -> None:
        statement = call.statement
        is_left = statement is not None and statement.is_return and returned is NOWHERE
        if statement is not None and statement.parts and not is_left:
            self.ended(call, frame, returned)


def _who_traces() -> str:
    """Say who traces the code already; empty if nobody does."""
    if sys.gettrace() is not None:
        return "a debugger or coverage traces the code, and is left alone"
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        for tool in (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID):
            if (name := monitoring.get_tool(tool)) is not None:
                return f"{name} monitors the code, and is left alone"
    return ""
