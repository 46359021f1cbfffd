"""What the user's functions print is shown once, and then counted; nothing else is hidden."""

# ruff: noqa: T201 (this is about printing)

import contextlib
import io
import logging
import pdb  # noqa: T100 (on purpose)
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gradcheck_magic import (
    GradientCheckInterrupted,
    InputError,
    check_gradients,
    gradient_checking,
    step_curve,
)

X = np.array([1.0, 2.0, 3.0])


def quadratic(says):
    """Return a cost that says something in each call, which gets its number."""
    calls = []

    def cost(x):
        calls.append(x)
        says(len(calls))
        return float(x @ x)

    return cost, calls


def to_err(*words, **more):
    print(*words, file=sys.stderr, **more)


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("wrong", [1, 3])
@pytest.mark.parametrize(("says", "shown", "lines"), [
    pytest.param(lambda n: print("call", n), ("call 1\n", ""), 1, id="a line"),
    pytest.param(lambda n: print("call", n, "\nand", n), ("call 1 \nand 1\n", ""), 2, id="two"),
    pytest.param(lambda n: to_err("call", n), ("", "call 1\n"), 1, id="to stderr"),
    pytest.param(lambda n: (print("a"), to_err("b")), ("a\n", "b\n"), 2, id="to both"),
    pytest.param(lambda n: sys.stdout.writelines(["a\n", "b\n"]), ("a\nb\n", ""), 2, id="lines"),
    pytest.param(lambda n: [to_err(f"\r{i}", end="") for i in range(3)], ("", "\r0\r1\r2"), 3,
                 id="HARD: a progress bar"),
    pytest.param(lambda n: print("a\r\nb\r\n", end=""), ("a\r\nb\r\n", ""), 2,
                 id="HARD: lines of Windows"),
])  # fmt: skip
def test_shown_once(says, shown, lines, wrong, mode, capsys):  # noqa: PLR0917 (a table)
    cost, calls = quadratic(says)
    check = check_gradients(X, wrong * 2 * X, cost, mode=mode)
    assert check.verdict.name == ("CORRECT" if wrong == 1 else "BUG")
    assert capsys.readouterr() == shown
    more = lines * (len(calls) - 1)
    assert check.notes[-1] == f"{more} more lines printed by `cost` were not shown."


@pytest.mark.parametrize(("says", "shown"), [
    pytest.param(lambda n: None, "", id="nothing"),
    pytest.param(lambda n: print("the first") if n == 1 else None, "the first\n", id="at first"),
    pytest.param(lambda n: print("later") if n == 7 else None, "later\n", id="HARD: once, later"),
])  # fmt: skip
def test_nothing_more_is_not_told(says, shown, capsys):
    cost, _ = quadratic(says)
    assert check_gradients(X, 2 * X, cost).notes == ()
    assert capsys.readouterr().out == shown


def test_each_function_once(capsys):
    cost, calls = quadratic(lambda n: print("forward", n))

    def backward(x):
        print("backward")
        return 2 * x

    check = check_gradients(X, backward, cost, points=2)
    assert capsys.readouterr().out == "backward\nforward 1\n"
    assert check.notes[-2:] == (
        "2 more lines printed by `grads` were not shown.",
        f"{len(calls) - 1} more lines printed by `cost` were not shown.",
    )


def test_one_more(capsys):
    cost, _ = quadratic(lambda n: print(n) if n < 3 else None)
    assert check_gradients(X, 2 * X, cost).notes == (
        "1 more line printed by `cost` was not shown.",
    )
    assert capsys.readouterr().out == "1\n"


def test_a_line_that_does_not_end(capsys):
    cost, _ = quadratic(lambda n: print(".", end=""))
    assert check_gradients(X, 2 * X, cost).notes == (
        "1 more line printed by `cost` was not shown.",
    )
    assert capsys.readouterr().out == "."


def test_elsewhere_it_is_printed(capsys):
    """A step curve and a plain difference have no notes."""
    cost, calls = quadratic(print)
    gradient_checking(X, 2 * X, cost)
    told = f"{len(calls) - 1} more lines printed by `cost` were not shown."
    assert capsys.readouterr().out.splitlines() == ["1", told]
    step_curve(X, 2 * X, cost, "params", 1)
    assert len(capsys.readouterr().out.splitlines()) == 2


class CostError(Exception):
    pass


@pytest.mark.parametrize("error", [CostError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 2, 19])
def test_an_error(at, error, capsys):
    """What the last call has printed is shown, and the streams are in their places."""
    streams = sys.stdout, sys.stderr

    def says(n):
        print("in", n)
        to_err("too", n)
        if n == at:
            raise error

    cost, _ = quadratic(says)
    with pytest.raises(error):
        check_gradients(X, 2 * X, cost, mode="full")
    out, err = capsys.readouterr()
    assert out.splitlines() == [*dict.fromkeys(["in 1", f"in {at}"])]
    assert err.splitlines() == [*dict.fromkeys(["too 1", f"too {at}"])]
    assert (sys.stdout, sys.stderr) == streams


def test_an_error_of_a_silent_call(capsys):
    """What an earlier call has printed would mislead."""

    def says(n):
        if n == 19:
            raise CostError
        print("in", n)

    cost, _ = quadratic(says)
    with pytest.raises(CostError):
        check_gradients(X, 2 * X, cost, mode="full")
    assert capsys.readouterr().out == "in 1\n"


def test_an_error_of_ours_is_enough(capsys):
    cost, calls = quadratic(print)
    with pytest.raises(InputError):
        check_gradients(X, 2 * X, lambda x: cost(x) + len(calls))
    assert capsys.readouterr().out == "1\n"


def test_interrupted_checks_tell_it(capsys):
    cost, _ = quadratic(lambda n: print(n) or (n == 19 and signal.raise_signal(signal.SIGINT)))
    with pytest.raises(GradientCheckInterrupted) as caught:
        check_gradients(X, 2 * X, cost, mode="full")
    assert caught.value.check.notes[-1] == "18 more lines printed by `cost` were not shown."
    assert capsys.readouterr().out == "1\n19\n"


# What is no print of the cost


def test_progress_is_shown(capsys):
    cost, _ = quadratic(lambda n: print("cost"))
    told = []

    def progress(done, *_):
        print("progress", done)
        told.append(f"progress {done}")

    check_gradients(X, 2 * X, cost, progress=progress)
    assert capsys.readouterr().out.splitlines() == ["cost", *told]


def test_other_threads_are_shown(capsys):
    """Another thread may print while the cost runs."""

    def says(n):
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()

    cost, calls = quadratic(says)
    check = check_gradients(X, 2 * X, cost)
    assert capsys.readouterr().out.splitlines() == ["thread"] * len(calls)
    assert check.notes == ()


def test_handlers_of_signals_are_shown(capsys):
    before = signal.signal(signal.SIGTERM, lambda *_: print("signal"))
    try:
        cost, calls = quadratic(lambda n: signal.raise_signal(signal.SIGTERM))
        check_gradients(X, 2 * X, cost)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().out.splitlines() == ["signal"] * len(calls)


def test_a_pool_of_threads(capsys):
    cost, _ = quadratic(lambda n: print("line"))
    with ThreadPoolExecutor(2) as pool:
        check = check_gradients(X, 2 * X, cost, workers=pool, mode="full")
    assert capsys.readouterr().out == "line\n"
    assert check.notes[-1].endswith("more lines printed by `cost` were not shown.")


WARNS = """
import warnings
import numpy as np
from gradcheck_magic import check_gradients

def cost(x):
    print("line")
    if x[0] != 1:
        warnings.warn("take care")
    return float(x @ x)

check_gradients(np.ones(2), 2 * np.ones(2), cost)
"""


def test_warnings_are_shown():
    """Python itself does not repeat them."""
    run = [sys.executable, "-c", WARNS]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == "line\n"
    assert done.stderr == "<string>:9: UserWarning: take care\n"


def test_a_debugger_is_shown(capsys, monkeypatch):
    """Its prompt, what it answers, and what the cost has printed before it in this call."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("p 6 * 7\nc\n"))

    def says(n):
        print("call", n)
        if n == 19:
            debugger = pdb.Pdb(nosigint=True)
            debugger.use_rawinput = False
            debugger.set_trace()

    cost, _ = quadratic(says)
    assert check_gradients(X, 2 * X, cost, mode="full").passed
    out = capsys.readouterr().out
    assert out.startswith("call 1\ncall 19\n")
    assert "(Pdb) 42\n" in out
    assert "call 18" not in out
    assert "call 20" not in out


# What a cost may do with the streams


def test_a_stream_that_is_kept(capsys):
    """One that the cost has kept still prints after the check; one from before always does."""
    mine, kept = sys.stdout, []
    cost, calls = quadratic(lambda n: (kept.append(sys.stdout), mine.write("mine\n")))
    check_gradients(X, 2 * X, cost)
    assert capsys.readouterr().out.splitlines() == ["mine"] * len(calls)
    kept[-1].write("kept")
    kept[-1].flush()
    assert kept[-1].isatty() == mine.isatty()
    assert capsys.readouterr().out == "kept"


def test_output_that_is_redirected(capsys):
    texts = []

    def says(n):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            print("call", n)
        texts.append(text.getvalue())

    cost, calls = quadratic(says)
    assert check_gradients(X, 2 * X, cost).notes == ()
    assert texts == [f"call {n}\n" for n in range(1, len(calls) + 1)]


def test_a_stream_that_is_replaced(capsys, monkeypatch):
    """What the cost puts into its place stays there."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    own = io.StringIO()
    cost, _ = quadratic(lambda n: setattr(sys, "stdout", own))
    check_gradients(X, 2 * X, cost)
    assert sys.stdout is own


def test_no_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert check_gradients(X, 2 * X, lambda x: print("nowhere") or float(x @ x)).passed
    assert sys.stdout is sys.stderr is None


def test_logging(capsys):
    """A handler holds the stream that was there when it was made."""
    logger = logging.getLogger("of a cost")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        cost, calls = quadratic(lambda n: logger.warning("logged"))
        check_gradients(X, 2 * X, cost)
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().err.splitlines() == ["logged"] * len(calls)


def test_a_check_within_a_check(capsys):
    inner, _ = quadratic(lambda n: print("inner", n))
    cost, _ = quadratic(lambda n: print("outer", n) or check_gradients(X, 2 * X, inner))
    check_gradients(X, 2 * X, cost)
    assert capsys.readouterr().out == "outer 1\ninner 1\n"
