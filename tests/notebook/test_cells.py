"""The body of a cell runs as the shell would run it, and the end of each cell is reported once.

A cell waits for a check that runs in another thread.
"""

import re
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from clock import SECONDS
from IPython.utils.capture import capture_output

from gradcheck_magic import check_gradients
from gradcheck_magic._cost.threads import STUCK_SECONDS, one_at_a_time, show_progress
from gradcheck_magic._notebook.cells import (
    CellEvents,
    CellInterrupted,
    CellSyntaxError,
    run_body,
    show_from_user_code,
)
from gradcheck_magic.errors import InputError

# When a cell ends


@pytest.fixture
def told(shell):
    """Yield the seconds of all reported cells, and the events that report them."""
    seconds = []
    events = CellEvents(shell, seconds.append)
    events.follow()
    yield seconds, events
    events.ignore()


def test_each_cell_is_told_of_once(shell, told):
    seconds, _ = told
    for n in (1, 2, 3):
        shell.run_cell("a = 1")
        assert len(seconds) == n
    assert all(0 <= s < 60 for s in seconds)


@pytest.mark.parametrize("cell", [
    pytest.param("1 / 0", id="it raises"),
    pytest.param("1 +", id="HARD: no Python"),
    pytest.param("raise KeyboardInterrupt", id="it is interrupted"),
])  # fmt: skip
def test_a_cell_that_failed_is_not_told_of(shell, told, cell):
    seconds, _ = told
    with capture_output():
        shell.run_cell(cell)
        assert seconds == []
        shell.run_cell("a = 1")
    assert len(seconds) == 1, "the next one is"


def test_a_cell_inside_another_is_none_of_the_notebooks(shell, told):
    seconds, _ = told
    shell.run_cell("get_ipython().run_cell('b = 1')\na = b")
    assert shell.user_ns["a"] == 1
    assert len(seconds) == 1


@pytest.mark.parametrize("inner", [
    pytest.param("", id="HARD: an empty one, which begins nowhere"),
    pytest.param("passed_over()", id="HARD: one that is passed over"),
])  # fmt: skip
def test_no_cell_inside_another_ends_it(shell, told, inner):
    seconds, events = told
    shell.user_ns.update(passed_over=events.pass_over, seconds=seconds)
    cell = f"get_ipython().run_cell({inner!r})\nget_ipython().run_cell('b = 1')\ntold = [*seconds]"
    shell.run_cell(cell)
    assert shell.user_ns["told"] == []


def test_a_silent_cell_is_not_told_of(shell, told):
    seconds, _ = told
    shell.run_cell("a = 1", silent=True)
    assert seconds == []


def test_a_cell_may_be_passed_over(shell, told):
    seconds, events = told
    shell.user_ns["pass_over"] = events.pass_over
    shell.run_cell("pass_over()")
    assert seconds == []
    shell.run_cell("a = 1")
    assert len(seconds) == 1


def test_what_is_run_on_being_told_is_not_told_of(shell):
    """The callback may run cells itself, and cells are still reported after an error in it."""
    times = []

    def ended(_):
        times.append(1)
        shell.run_cell("b = 1")
        raise ZeroDivisionError

    events = CellEvents(shell, ended)
    events.follow()
    with capture_output():
        shell.run_cell("a = 1")
        shell.run_cell("a = 2")
    events.ignore()
    assert len(times) == 2


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), KeyboardInterrupt(), SystemExit()])
def test_an_error_on_being_told_is_the_error_of_the_cell(shell, error):
    """Whoever runs the cell sees that it failed; IPython alone would print the error at most."""

    def ended(_):
        raise error

    events = CellEvents(shell, ended)
    events.follow()
    with capture_output() as captured:
        result = shell.run_cell("a = 1")
    events.ignore()
    assert result.error_in_exec is error
    assert not shell.last_execution_succeeded
    assert type(error).__name__ in captured.stdout
    assert shell.run_cell("a = 2").success


def test_ignored(shell, told):
    """After `ignore`, no cell is reported; ignoring twice is not an error."""
    seconds, events = told
    events.ignore()
    events.ignore()
    shell.run_cell("a = 1")
    assert seconds == []
    events.follow()
    shell.run_cell("a = 1")
    assert len(seconds) == 1


def test_the_cell_that_begins_to_follow_is_not_told_of(shell):
    seconds = []
    events = CellEvents(shell, seconds.append)
    shell.user_ns["follow"] = events.follow
    shell.run_cell("follow()")
    assert seconds == []
    events.ignore()


# The body of a cell


def shown_by(shell, body):
    """Return what the body prints, and each value that it displays."""
    with capture_output() as captured:
        run_body(shell, body)
    return [*captured.stdout.split(), *(out.data["text/plain"] for out in captured.outputs)]


@pytest.mark.parametrize(("body", "shown"), [
    pytest.param("a = 1", [], id="an assignment"),
    pytest.param("41 + 1", ["42"], id="the value of the last line"),
    pytest.param("41 + 1;", [], id="HARD: a semicolon hides it"),
    pytest.param("1\n2", ["2"], id="HARD: of the last alone"),
    pytest.param("if True:\n    7", [], id="HARD: not inside a block"),
    pytest.param("print(3)\nNone", ["3"], id="what it prints"),
    pytest.param("", [], id="nothing"),
    pytest.param("%precision 3\n1", ["1"], id="HARD: a magic in it"),
    pytest.param("1\nfrom __future__ import annotations\n2", ["2"], id="HARD: the future, later"),
])  # fmt: skip
def test_body(shell, body, shown):
    assert shown_by(shell, body) == shown


@pytest.mark.parametrize(("interactivity", "shown"), [
    ("none", []), ("last_expr", []), ("last_expr_or_assign", ["3"]), ("all", ["1", "2"]),
])  # fmt: skip
def test_interactivity(shell, interactivity, shown):
    """The user's setting for which values are displayed applies here, too."""
    shell.ast_node_interactivity = interactivity
    assert shown_by(shell, "1\n2\na = 3") == shown


def test_names_are_the_notebooks(shell):
    shell.user_ns["a"] = 4
    run_body(shell, "b = a + 1\ndef f():\n    return b")
    assert shell.user_ns["b"] == 5
    assert shell.user_ns["f"]() == 5


def test_lines_count_from_the_magic_on(shell):
    """The magic is on line 1, so an error in the body's second line is on line 3."""
    with pytest.raises(ZeroDivisionError) as error:
        run_body(shell, "a = 1\na / 0\nb = 2")
    assert error.traceback[-1].lineno + 1 == 3
    assert "b" not in shell.user_ns


def test_no_python(shell):
    """A syntax error is shown as in any cell: its place, and none of our own lines."""
    with pytest.raises(CellSyntaxError) as error:
        run_body(shell, "a = 1\nb = (")
    shown = "\n".join(error.value._render_traceback_())
    assert "b = (" in shown
    assert "run_body" not in shown
    assert "a" not in shell.user_ns, "nothing of it has run"


@pytest.mark.parametrize("body", ["await f()", "x = await f()", "async for a in b: pass"])
def test_await(shell, body):
    """A top-level `await` is refused; inside a function it does not matter."""
    with pytest.raises(InputError, match="await"):
        run_body(shell, f"a = 1\n{body}")
    assert "a" not in shell.user_ns
    run_body(shell, "async def f():\n    await g()")


# Errors


def error_of(shell, body):
    """Return the error that a body raises."""
    try:
        run_body(shell, body)
    except BaseException as error:  # noqa: BLE001 (an interrupt, too)
        return error
    raise AssertionError


def test_an_error_is_shown_from_the_users_code_on(shell):
    error = error_of(shell, "def f():\n    return 1 / 0\nf()")
    show_from_user_code(shell, error)
    shown = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error._render_traceback_()))
    assert "return 1 / 0" in shown
    # Our own line, which runs the body, is not shown.
    assert "user_global_ns" not in shown
    assert not hasattr(error, "_render_traceback_"), "once only: it may be raised again elsewhere"


def test_our_own_mistake_is_shown_whole(shell):
    """An error without a line of the user's is shown in full."""
    error = ZeroDivisionError()
    show_from_user_code(shell, error)
    assert not hasattr(error, "_render_traceback_")


def test_an_interrupt_of_ours_is_one_line(shell):
    error = KeyboardInterrupt()
    show_from_user_code(shell, error)
    assert len(error._render_traceback_()) == 1


def test_who_shows_itself_is_left_alone(shell):
    error = CellSyntaxError(shell, SyntaxError("no"))
    lines = error._render_traceback_()
    show_from_user_code(shell, error)
    assert error._render_traceback_() is lines


def test_an_endless_recursion_is_no_other_one(shell):
    """A traceback as deep as the stack allows is shown without another recursion."""
    error = error_of(shell, "def f():\n    f()\nf()")
    assert isinstance(error, RecursionError)
    show_from_user_code(shell, error)
    assert hasattr(error, "_render_traceback_")


# Cells and checks in other threads


class Check:
    """A check in another thread, which ends when it has been looked at so often."""

    def __init__(self, most_looks, looked=int, *, by_button=True):
        self.n_looks, self.most_looks, self._looked = 0, most_looks, looked
        self.by_button = by_button
        self.inside, self.may_end = threading.Event(), threading.Event()

    @property
    def n_evaluations(self):
        self.n_looks += 1
        self._looked()
        if self.n_looks >= self.most_looks:
            self.may_end.set()
        return 0

    def run(self):
        with one_at_a_time(check_gradients, holds_cells=self.by_button):
            show_progress(self)
            self.inside.set()
            assert self.may_end.wait(SECONDS)

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.run, name="button")
        thread.start()
        try:
            assert self.inside.wait(SECONDS)
            yield self
        finally:
            self.may_end.set()
            thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize("cell", [
    "ended = check.may_end.is_set()",
    pytest.param(
        "import asyncio\nawait asyncio.sleep(0)\nended = check.may_end.is_set()",
        id="HARD: with await",
    ),
    pytest.param("%%time\nended = check.may_end.is_set()", id="under another magic"),
])  # fmt: skip
def test_a_cell_waits_for_a_check_in_another_thread(shell, cell):
    with Check(3).running() as check, capture_output():
        shell.user_ns["check"] = check
        shell.run_cell(cell).raise_error()
    assert shell.user_ns["ended"]


def test_a_cell_does_not_wait_for_a_thread_of_the_users_own(shell):
    with Check(99, by_button=False).running() as check:
        shell.run_cell("a = 1").raise_error()
        assert shell.user_ns["a"] == 1
        assert check.n_looks == 0


def test_a_cell_of_a_subshell_does_not_wait(shell):
    """One looks in there while something runs."""
    with Check(99).running() as check:
        subshell = threading.Thread(target=shell.run_cell, args=["a = 1"])
        subshell.start()
        subshell.join(SECONDS)
        assert shell.user_ns["a"] == 1
        assert check.n_looks == 0


def test_a_cell_does_not_wait_for_a_stuck_check(shell, clock):
    """It says why, and later cells find out at once."""
    clock.tick = STUCK_SECONDS / 2
    with Check(99).running() as check, capture_output() as captured:
        shell.run_cell("a = 1").raise_error()
        n_looks = check.n_looks
        shell.run_cell("a += 1").raise_error()
        assert check.n_looks == n_looks + 1
        assert not check.may_end.is_set()
    assert shell.user_ns["a"] == 2
    said = re.sub(r"\d\d:\d\d:\d\d", "12:00:00", captured.stdout)
    assert said == 2 * (
        "gradcheck: this cell did not wait any longer: the thread button has been checking "
        "`check_gradients` since 12:00:00, and has not got any further for 10 s.\n"
    )


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.parametrize("cell", [
    "a = 1", "import asyncio\nawait asyncio.sleep(0)\na = 1", "%%gradcheck\na = 1", "%time a = 1",
])  # fmt: skip
def test_ctrl_c_while_a_cell_waits(shell, cell):
    """The cell does not run, and the next one does."""

    with Check(99, interrupt).running() as check, capture_output() as captured:
        result = shell.run_cell(cell)
        assert not check.may_end.is_set()
    assert "a" not in shell.user_ns
    assert type(result.error_before_exec) is CellInterrupted
    assert captured.stdout == (
        "Interrupted while another thread was checking: this cell has not run.\n"
    )
    shell.run_cell("a = 2").raise_error()
    assert shell.user_ns["a"] == 2
    assert shell.ast_transformers == []


def test_ctrl_c_while_a_cell_waits_that_is_no_python(shell):
    """The next cell runs."""
    with Check(99, interrupt).running(), capture_output():
        shell.run_cell("a =")
    shell.run_cell("a = 2").raise_error()
    assert shell.user_ns["a"] == 2


CHECKING = "check_gradients(x, 2 * x, cost).passed"


@pytest.mark.parametrize("cell", [
    pytest.param(f"passed = {CHECKING}", id="its cost runs a cell"),
    pytest.param(f"get_ipython().run_cell('passed = {CHECKING}')", id="in a cell inside a cell"),
    pytest.param(f"%%gradcheck -p x -g 2*x -c cost\npassed = {CHECKING}", id="HARD: with magic"),
])  # fmt: skip
def test_a_cell_does_not_wait_for_its_own_check(shell, clock, cell):
    def cost(x):
        shell.run_cell("n = 1").raise_error()
        return float(np.sum(x**2))

    shell.user_ns |= {"check_gradients": check_gradients, "x": np.ones(2), "cost": cost}
    with capture_output() as captured:
        shell.run_cell(cell).raise_error()
    assert shell.user_ns["passed"]
    assert "wait" not in captured.stdout


def test_a_cell_that_begins_while_a_button_evaluates(shell):
    """The arrays are the cell's: the check is refused."""
    evaluating, begun, refused = threading.Event(), threading.Event(), threading.Event()

    def backward():
        evaluating.set()
        assert begun.wait(SECONDS)
        return {"x": 2 * np.ones(2)}

    def cost_function(params):
        return float(np.sum(params["x"] ** 2))

    magics = shell.magics_manager.registry["GradcheckMagics"]
    shell.user_ns |= {
        "params": {"x": np.ones(2)}, "backward": backward, "cost_function": cost_function,
        "begun": begun, "refused": refused,
    }  # fmt: skip

    def press():
        with pytest.raises(InputError, match="A cell is running"):
            magics._make_check(magics.options_of("-g backward()"), shell.user_ns)
        refused.set()

    thread = threading.Thread(target=press)
    thread.start()
    assert evaluating.wait(SECONDS)
    shell.run_cell(f"begun.set()\nassert refused.wait({SECONDS})").raise_error()
    thread.join(SECONDS)
