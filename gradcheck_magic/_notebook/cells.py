"""The cells of a notebook: when one begins and ends, its body, and its errors."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, NoReturn

from IPython.core.displayhook import DisplayHook
from IPython.core.error import InputRejected
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from gradcheck_magic._cost.frames import connected
from gradcheck_magic._cost.printed import hides_display
from gradcheck_magic._cost.threads import one_at_a_time, other_threads, wait_for_check
from gradcheck_magic._inputs.ownership import PACKAGE
from gradcheck_magic._notebook.plain_cards import say
from gradcheck_magic.errors import GradientCheckError, InputError

__all__ = [
    "CellEvents",
    "CellInterrupted",
    "CellSyntaxError",
    "WaitingCells",
    "called_in_notebook",
    "displayed_once",
    "holding_cells",
    "require_no_other_cell",
    "run_body",
    "show_from_user_code",
]

# A context in which nothing else happens.
NOTHING: AbstractContextManager[object] = contextlib.nullcontext()


class CellEvents:
    """A listener that reports each cell that succeeds, but no cell that runs inside another.

    Parameters
    ----------
    shell : InteractiveShell
        The shell that runs the cells. Cells that it runs silently are not reported.
    ended : callable
        Called after a cell, with its run time in seconds. An exception that it raises becomes the
        error of the cell.
    """

    def __init__(self, shell: InteractiveShell, ended: Callable[[float], None]) -> None:
        self._shell = shell
        self.ended = ended
        self._began: float | None = None

    def follow(self) -> None:
        """Report every cell from the next one on."""
        self._shell.events.register("pre_run_cell", self._pre_run_cell)
        self._shell.events.register("post_run_cell", self._post_run_cell)

    def ignore(self) -> None:
        """Report no more cells."""
        for event in ("pre_run_cell", "post_run_cell"):
            with contextlib.suppress(ValueError):  # not followed
                self._shell.events.unregister(event, getattr(self, f"_{event}"))

    def pass_over(self) -> None:
        """Do not report the cell that runs now."""
        self._began = None

    def _pre_run_cell(self, _: object) -> None:
        if not self._is_inside():
            self._began = time.perf_counter()

    def _post_run_cell(self, result: ExecutionResult | None) -> None:
        if self._is_inside():
            return
        began, self._began = self._began, None
        if began is not None and result is not None and result.success:
            try:
                self.ended(time.perf_counter() - began)
            except BaseException as error:  # noqa: BLE001 (IPython would only print it)
                # Whoever runs the cell, such as a kernel, looks at its result after this event.
                result.error_in_exec = error
                self._shell.last_execution_succeeded = False
                self._shell.showtraceback((type(error), error, error.__traceback__))

    def _is_inside(self) -> bool:
        """Return True if this event comes from inside a cell, or from inside `ended`."""
        running = {InteractiveShell.run_code.__code__, CellEvents._post_run_cell.__code__}
        # The first two frames are this one and that of the event.
        frames = itertools.islice(traceback.walk_stack(inspect.currentframe()), 2, None)
        return any(frame.f_code in running for frame, _ in frames)


class CellInterrupted(InputRejected):
    """Ctrl-C while a cell waited: it does not run. IPython shows this in one line."""

    def _render_traceback_(self) -> list[str]:
        return ["Interrupted while another thread was checking: this cell has not run."]


class WaitingCells(ast.NodeTransformer):
    """Makes cells of the main thread wait for a check that the magics make in another thread.

    There a kernel may handle a card's buttons, and run the cells of a subshell: these never wait.
    After Ctrl-C it poses, for one cell, as one of IPython's transformers of code: these can keep a
    cell from running, which no listener to an event can.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def follow(self) -> None:
        """Let every cell wait from the next one on."""
        self._shell.events.register("pre_run_cell", self._pre_run_cell)

    def ignore(self) -> None:
        """Let no more cells wait."""
        with contextlib.suppress(ValueError):  # the user has removed it
            self._shell.events.unregister("pre_run_cell", self._pre_run_cell)

    def _pre_run_cell(self, _: object) -> None:
        # After Ctrl-C, a cell that is no Python was not transformed.
        self._stop_rejecting()
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            stuck = wait_for_check()
        except KeyboardInterrupt:
            self._shell.ast_transformers.append(self)
        else:
            if stuck is not None:
                say(f"gradcheck: this cell did not wait any longer: {stuck.described()}.")

    def visit(self, _: ast.AST) -> NoReturn:
        """Reject the code of the cell."""
        self._stop_rejecting()
        raise CellInterrupted

    def _stop_rejecting(self) -> None:
        with contextlib.suppress(ValueError):
            self._shell.ast_transformers.remove(self)


def holding_cells(cost_function: object) -> contextlib.ExitStack:
    """Return a context for a check, for whose end the cells of the notebook wait.

    Raises
    ------
    InputError
        If a cell runs in another thread already, or a check there is stuck.
    """
    with one_at_a_time(cost_function, holds_cells=True) as stack:
        # A cell that begins from now on waits.
        require_no_other_cell()
        return stack.pop_all()


def displayed_once(shell: InteractiveShell) -> contextlib.ExitStack:
    """Return a context in which a kernel shows what a function displays only in its first call."""

    def passed_on(message: object) -> object:
        return None if hides_display() else message

    stack = contextlib.ExitStack()
    publisher: Any = shell.display_pub
    # A terminal prints what is displayed.
    if hasattr(publisher, "register_hook"):
        publisher.register_hook(passed_on)
        stack.callback(publisher.unregister_hook, passed_on)
    return stack


def require_no_other_cell() -> None:
    """Raise `InputError` if a cell runs in another thread, which may use the same arrays.

    In a subshell, a kernel handles buttons and runs cells while the notebook's own cell runs.
    """
    running = InteractiveShell.run_cell_async.__code__
    if any(frame.f_code is running for _, stack in other_threads() for frame in stack):
        raise InputError(
            "A cell is running, and a check would move arrays that it may use: check again when it "
            "has ended."
        )


class CellSyntaxError(GradientCheckError):
    """A syntax error in the body of the cell, shown as IPython shows it for any other cell.

    IPython would show a SyntaxError from a magic together with the whole traceback.
    """

    def __init__(self, shell: InteractiveShell, error: SyntaxError) -> None:
        super().__init__(str(error))
        self._lines: list[str] = shell.SyntaxTB.structured_traceback(type(error), error, None)

    def _render_traceback_(self) -> list[str]:
        return self._lines


def run_body(
    shell: InteractiveShell,
    body: str,
    recorder: AbstractContextManager[object] = NOTHING,
    after_each: Callable[[], object] | None = None,
) -> str:
    """Run the body of a cell magic as the shell runs a cell, with the same output and errors.

    The recorder is open while it runs, and `after_each` is called after each statement. Return the
    name of the file that Python takes it for. `shell.run_cell` is no alternative: it shows an error
    of the body, and then goes on.
    """
    # An empty first line, in place of the magic, keeps the line numbers of the cell.
    source = "\n" + shell.transform_cell(body)
    name = shell.compile.cache(source, shell.execution_count, raw_code=body)
    try:
        nodes = shell.transform_ast(shell.compile.ast_parse(source, filename=name)).body
        silent = DisplayHook.semicolon_at_end_of_expression(source)
        interactivity = "none" if silent else shell.ast_node_interactivity
        if interactivity == "last_expr_or_assign" and nodes:
            nodes = [*nodes, *_display_of_target(nodes[-1])]
        is_value = any(isinstance(node, ast.Expr) for node in nodes[-1:])
        n_shown = {"all": len(nodes), "last": 1, "none": 0}.get(interactivity, is_value)
        first = len(nodes) - n_shown
        with shell.compile.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):
            # IPython's class compiles trees as well as text, whatever its base class declares.
            compiled: Callable[..., CodeType] = shell.compile
            # As in the shell, each statement on its own: `from __future__` may follow others.
            codes = [
                *(compiled(ast.Module([node], []), name, "exec") for node in nodes[:first]),
                *(compiled(ast.Interactive([node]), name, "single") for node in nodes[first:]),
            ]
    except SyntaxError as error:
        raise CellSyntaxError(shell, error) from None
    if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
        raise InputError(
            "%%gradcheck cannot run a top-level `await`: put it in a cell of its own, and run "
            "%gradcheck in the next."
        )
    with recorder:
        for code in codes:
            exec(code, shell.user_global_ns, shell.user_ns)  # noqa: S102 (the user's own cell)
            if after_each is not None:
                after_each()
    return name


def called_in_notebook(shell: InteractiveShell, own: str | None, file: str) -> str:
    """Return what to call a file: a cell by its number, and the cell that makes a check "cell"."""
    if file == own:
        return "cell"
    cell = shell.compile.format_code_name(file)
    return f"cell {cell[1].removeprefix('In')}" if cell else Path(file).name


def _display_of_target(node: ast.stmt) -> list[ast.stmt]:
    """Return a statement that displays the target of an assignment, if that is a single name."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)])
            | ast.AnnAssign(target=ast.Name(id=name))
            | ast.AugAssign(target=ast.Name(id=name))
        ):
            shown = ast.Expr(ast.Name(name, ast.Load()))
            return [ast.fix_missing_locations(ast.copy_location(shown, node))]
    return []


def show_from_user_code(shell: InteractiveShell, error: BaseException) -> None:
    """Make IPython show only the user's frames of a traceback, without those of this package."""
    if hasattr(error, "_render_traceback_"):
        return
    users = _without_package(error.__traceback__)
    if users is None and not isinstance(error, KeyboardInterrupt):
        # No frame is the user's: the bug is ours, so the whole traceback is of interest.
        return
    # IPython does not ask a group of exceptions how to show it. A bare `raise` adds no frame again.
    for each in connected(error):
        # The user's class may have another method of this name.
        BaseException.with_traceback(each, _without_package(each.__traceback__))

    def render() -> list[str]:
        # It works only once, as the same exception may be raised again elsewhere.
        del error._render_traceback_  # type: ignore[attr-defined]
        if users is None:
            return ["Gradient check interrupted."]
        lines: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, users, tb_offset=0
        )
        return lines

    # An exception that cannot hold an attribute is shown as it is.
    with contextlib.suppress(Exception):
        error._render_traceback_ = render  # type: ignore[attr-defined]


def _without_package(frames: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package."""
    # This is a loop, as an endless recursion leaves as many frames as the stack holds.
    users = []
    while frames is not None:
        if not frames.tb_frame.f_code.co_filename.startswith(PACKAGE):
            users.append(frames)
        frames = frames.tb_next
    rest = None
    for each in reversed(users):
        rest = TracebackType(rest, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return rest
