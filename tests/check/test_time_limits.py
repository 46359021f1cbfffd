"""A time limit, a debugger and other threads may end a check; no exception of theirs is lost."""

import bdb
import ctypes
import itertools
import signal
import threading

import numpy as np
import pytest
from interrupts import LimitError, time_limit

from gradcheck_magic import check_gradients, gradient_checking, step_curve


class TimeoutException(Exception):  # noqa: N818 (the name that some libraries give it)
    """The exception that another thread raises in this one."""


def alarm():
    signal.raise_signal(signal.SIGALRM)


def raise_from_another_thread():
    """Let another thread raise an exception in this one, as a time limit without signals does."""
    here, has_started = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def strike():
        # Within `start`, Python would make another exception of it.
        has_started.wait()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(here, ctypes.py_object(TimeoutException))

    other = threading.Thread(target=strike)
    other.start()
    has_started.set()
    other.join()


def translated():
    try:
        alarm()
    except LimitError as error:
        raise LookupError from error


def raising(error):
    def act():
        raise error

    return act


ENDS = [
    pytest.param(alarm, LimitError, id="alarm"),
    pytest.param(translated, LookupError, id="HARD: the cost makes another exception of it"),
    pytest.param(raise_from_another_thread, TimeoutException, id="another thread"),
    pytest.param(raising(TimeoutError()), TimeoutError, id="of its own"),
    pytest.param(raising(bdb.BdbQuit()), bdb.BdbQuit, id="quit in a debugger"),
    pytest.param(raising(SystemExit(3)), SystemExit, id="exit"),
]
CHECKS = {
    "full": lambda W, cost: check_gradients(W, 2 * W, cost, mode="full"),
    "scan": lambda W, cost: check_gradients(W, 2 * W, cost, mode="scan"),
    "wrong": lambda W, cost: check_gradients(W, -W, cost, mode="scan"),
    "points": lambda W, cost: check_gradients(W, lambda W: 2 * W, cost, mode="scan", points=2),
    "curve": lambda W, cost: step_curve(W, 2 * W, cost, "params", (2, 1)),
    "textbook": lambda W, cost: gradient_checking(W, 2 * W, cost),
}


class Struck:
    """A cost that reads the notebook's own `W`; something strikes at one of its evaluations."""

    def __init__(self, strike, at=0):
        self.W = np.linspace(-1.0, 2.0, 60).reshape(12, 5)
        self.strike, self.at = strike, at
        # A check would put a number back.
        self.calls = itertools.count(1)

    def cost(self, W):
        if next(self.calls) == self.at:
            self.strike()
        return float((W**2).sum())

    def own_cost(self):
        return self.cost(self.W)


@pytest.fixture(autouse=True)
def limit():
    if hasattr(signal, "SIGALRM"):
        with time_limit():
            yield
            # It is in place still, and so is Ctrl-C.
            with pytest.raises(LimitError):
                alarm()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def see_it_pass_through(check, strike, raised, part, cost):
    """See that an exception at a part of the evaluations ends the check, and changes nothing."""
    undisturbed = Struck(None)
    check(undisturbed.W, getattr(undisturbed, cost))
    n_calls = next(undisturbed.calls) - 1
    struck = Struck(strike, 1 + int(part * n_calls))
    before = struck.W.tobytes()
    with pytest.raises(raised) as error:
        check(struck.W, getattr(struck, cost))
    assert type(error.value) is raised
    assert struck.W.tobytes() == before


@pytest.mark.parametrize("part", [0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize(("strike", "raised"), ENDS)
def test_whatever_strikes(strike, raised, part):
    """It passes through, also where the cost may be undefined."""
    see_it_pass_through(CHECKS["scan"], strike, raised, part, "own_cost")


@pytest.mark.parametrize("part", [0.1, 0.99])
@pytest.mark.parametrize("how", CHECKS)
def test_in_every_kind_of_check(how, part):
    see_it_pass_through(CHECKS[how], alarm, LimitError, part, "cost")


@pytest.mark.parametrize(("strike", "raised"), ENDS)
def test_in_the_gradient_function(strike, raised):
    """No other way to call the function is tried."""
    struck = Struck(strike)
    calls = []

    def gradient(W):
        calls.append(1)
        strike()

    with pytest.raises(raised):
        check_gradients(struck.W, gradient, struck.cost)
    assert len(calls) == 1


def test_ctrl_c_in_the_gradient_function():
    """It is not held back until the function ends, which may never be."""
    reached = []

    def gradient(W):
        signal.raise_signal(signal.SIGINT)
        reached.append(W)

    with pytest.raises(KeyboardInterrupt):
        check_gradients(np.ones(3), gradient, lambda W: float(W @ W))
    assert not reached


def test_undefined_is_no_time_limit():
    """Other exceptions still mean that the cost is undefined at a point."""

    def cost(W):
        if (W > 2.001).any():
            raise ArithmeticError
        return float((W**2).sum())

    W = np.linspace(-1.0, 2.0, 60)
    assert check_gradients(W, 2 * W, cost, mode="scan").passed
