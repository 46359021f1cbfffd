"""One check at a time in a process, and what another thread changes meanwhile is kept."""

import itertools
import os
import random
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from clock import SECONDS

from gradcheck_magic import InputError, check_gradients, gradient_checking, step_curve
from gradcheck_magic._cost.threads import (
    STUCK_SECONDS,
    one_at_a_time,
    other_threads,
    show_progress,
    thread_at_work,
)


@pytest.fixture
def hasty():
    """Let Python change between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@contextmanager
def running(function, name="other"):
    """Run a function in a thread, and wait for its end."""
    thread = threading.Thread(target=function, name=name)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(SECONDS)
    assert not thread.is_alive()


@contextmanager
def held(counter=None):
    """Let another thread check something, until the end of this context."""
    inside, done = threading.Event(), threading.Event()

    def hold():
        with one_at_a_time(square):
            if counter is not None:
                show_progress(counter)
            inside.set()
            assert done.wait(SECONDS)

    with running(hold, "trainer"):
        assert inside.wait(SECONDS)
        try:
            yield
        finally:
            done.set()


def square(x):
    return float(np.sum(x**2))


# One at a time


def test_checks_take_turns(hasty):
    """However many threads check, warning filters and random states are as before."""

    def passes(seed):
        own = np.random.default_rng(seed)
        W, X = own.normal(size=(3, 2)), own.normal(size=(4, 3))

        def cost(W):
            np.random.rand()
            random.random()  # noqa: S311 (its state is looked at)
            return float(np.sum(np.tanh(X @ W)))

        dW = X.T @ (1 - np.tanh(X @ W) ** 2)
        assert gradient_checking(W, dW, cost) < 1e-6
        assert not step_curve(W, dW, cost, "params", (0, 0)).wrong
        return check_gradients(W, dW, cost).passed

    def state():
        numpys = str(np.random.get_state())
        return list(warnings.filters), random.getstate(), numpys

    before = state()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(passes, range(12)))
    assert state() == before


def test_only_one_thread_is_inside(hasty):
    inside, seen = [], []

    def enter(_):
        for _ in range(20):
            with one_at_a_time(square), one_at_a_time(square):
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))
    assert seen == [1] * 80


def test_a_check_that_is_stuck(clock):
    """A thread does not wait for ever, and says what for."""
    clock.tick = STUCK_SECONDS / 2
    with held(), pytest.raises(InputError) as error:
        check_gradients(np.ones(2), 2 * np.ones(2), np.sum)
    before, _, after = str(error.value).partition(" since ")
    assert before == ("`sum` cannot be checked now: the thread trainer has been checking `square`")
    assert after[8:] == (
        ", and has not got any further for 10 s. Only one check can run at a time: let it end, or "
        "interrupt it."
    )
    assert check_gradients(np.ones(2), 2 * np.ones(2), square).passed, "afterwards"


def test_a_cost_that_waits_for_another_check(clock):
    """It would wait for ever, as the other check waits for it."""
    clock.tick = STUCK_SECONDS / 2

    def cost(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(gradient_checking, x, 2 * x, square).result()

    with pytest.raises(InputError, match="`square` cannot be checked now: the thread MainThread"):
        check_gradients(np.ones(2), 2 * np.ones(2), cost)


def test_a_long_check_is_waited_for(clock):
    """While the other check gets further, it may take as long as it likes."""
    clock.tick = 10 * STUCK_SECONDS
    looks, may_end = itertools.count(), threading.Event()

    class Counter:
        @property
        def n_evaluations(self):
            if (n := next(looks)) == 3:
                may_end.set()
            return n

    counter, inside = Counter(), threading.Event()

    def hold():
        with one_at_a_time(square):
            show_progress(counter)
            inside.set()
            assert may_end.wait(SECONDS)

    with running(hold):
        assert inside.wait(SECONDS)
        assert check_gradients(np.ones(2), 2 * np.ones(2), square).passed
    assert next(looks) > 3


def test_interrupted_while_it_waits():
    looked = threading.Event()

    class Counter:
        n_evaluations = property(lambda _: looked.set() or 0)

    def interrupt():
        assert looked.wait(SECONDS)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    counter = Counter()
    with held(counter), running(interrupt), pytest.raises(KeyboardInterrupt):
        check_gradients(np.ones(2), 2 * np.ones(2), square)
    assert check_gradients(np.ones(2), 2 * np.ones(2), square).passed


def test_a_fork_does_not_wait_for_its_parent(monkeypatch):
    with held():
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert check_gradients(np.ones(2), 2 * np.ones(2), square).passed
        monkeypatch.undo()


def test_what_other_threads_do():
    """A thread that runs the user's code is named; one that waits for its turn is not."""
    assert thread_at_work() is None
    with held():
        assert thread_at_work() == "trainer"
        assert threading.get_ident() not in dict(other_threads())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        assert thread_at_work() is None, "it is idle"


# Arrays that another thread changes


class Training:
    """A cost that reads the notebook's arrays, of which a thread makes an update meanwhile.

    The update happens during the n-th evaluation. The thread may have ended before the check looks.
    """

    def __init__(self, arrays, update, at, ends):
        self.arrays, self.update, self.at = arrays, update, at
        self.calls = itertools.count()
        self.due, self.done = threading.Event(), threading.Event()
        self.ended = threading.Event()
        self.ends = ends
        self.thread = threading.Thread(target=self.train, name="training", daemon=True)
        self.thread.start()

    def train(self):
        assert self.due.wait(SECONDS)
        self.update(self.arrays)
        self.done.set()
        if not self.ends:
            assert self.ended.wait(SECONDS)

    def cost(self):
        if next(self.calls) == self.at:
            self.due.set()
            assert self.done.wait(SECONDS)
            if self.ends:
                self.thread.join(SECONDS)
        return sum(float(np.sum(np.tanh(array))) for array in self.arrays.values())

    def checked(self, **options):
        grads = {name: 1 - np.tanh(array) ** 2 for name, array in self.arrays.items()}
        try:
            with pytest.raises(InputError) as error:
                check_gradients(self.arrays, grads, self.cost, **options)
        finally:
            self.due.set()
            self.ended.set()
            self.thread.join(SECONDS)
        return str(error.value)


def arrays_of_every_kind():
    own = np.random.default_rng(0)
    return {
        "W": own.normal(size=(4, 3)),
        "F": np.asfortranarray(own.normal(size=(3, 2))),
        "v": own.normal(size=(6, 4))[::2, 1::2],
        "s": own.normal(size=5).astype(np.float32),
        "c": np.array(0.5),
    }


def descend(arrays):
    for array in arrays.values():
        np.subtract(array, 0.0625, out=array)


def descend_some(arrays):
    arrays["W"][1] -= 0.0625


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "HARD: ends at once"])
@pytest.mark.parametrize("update", [descend, descend_some])
@pytest.mark.parametrize(("mode", "at"), [
    ("full", 1), ("full", 7), ("full", 41), ("scan", 2), ("scan", 20),
])  # fmt: skip
def test_updates_are_kept(mode, at, update, ends):
    """No update is lost, none of our steps stays, and the rest is as before to the last bit."""
    arrays, expected = arrays_of_every_kind(), arrays_of_every_kind()
    update(expected)
    said = Training(arrays, update, at, ends).checked(mode=mode)
    for name, array in arrays.items():
        close = 1e-6 if array.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(array, expected[name], rtol=close, atol=close)
    if update is descend_some:
        before = arrays_of_every_kind()
        assert arrays["W"][[0, 2, 3]].tobytes() == before["W"][[0, 2, 3]].tobytes()
        assert all(arrays[name].tobytes() == before[name].tobytes() for name in "Fvsc")
    who = "another thread" if ends else "the thread training"
    assert f", by {who} or by `cost` itself, and keeps its new values: " in said


def test_an_update_in_the_first_evaluation():
    """Only a thread that still runs can be told from a cost that changes its parameters."""
    arrays, expected = arrays_of_every_kind(), arrays_of_every_kind()
    descend(expected)
    assert Training(arrays, descend, 0, ends=False).checked() == (
        "`W` was changed while `cost` was being checked, by the thread training or by `cost` "
        "itself, and keeps its new values: check again when nothing else changes `W`, or make it "
        "an argument of `cost`, which then gets copies."
    )
    assert all(np.array_equal(arrays[name], expected[name]) for name in arrays)


@pytest.mark.parametrize(("shape", "most_lost"), [
    pytest.param((8, 5), 0.0, id="small"),
    # NumPy computes with large arrays in both threads at once, so a few entries may be written by
    # both at the same moment.
    pytest.param((40, 200), 0.01, id="HARD: without the GIL"),
])  # fmt: skip
def test_a_training_loop(hasty, shape, most_lost):
    """A loop that trains all the time loses nothing."""
    W, step, n_updates = np.random.default_rng(0).normal(size=shape), 2.0**-20, 0
    expected, end, going = W.copy(), threading.Event(), threading.Event()

    def train():
        nonlocal W, n_updates
        while not end.is_set():
            W -= step
            n_updates += 1
            going.set()

    def cost():
        # However busy the machine is, there is an update in every evaluation.
        going.clear()
        assert going.wait(SECONDS)
        return float(np.sum(W * W))

    with running(train):
        try:
            with pytest.raises(InputError):
                check_gradients({"W": W}, lambda: 2 * W, cost)
        finally:
            end.set()
    lost = np.abs(W - (expected - n_updates * step)) > step / 2
    assert lost.mean() <= most_lost


def test_a_parameter_that_is_put_back():
    """If somebody puts θ back while an entry is moved, there is no step to take back."""
    arrays, theta = arrays_of_every_kind(), arrays_of_every_kind()

    def reset(arrays):
        for name, array in arrays.items():
            array[...] = theta[name]

    said = Training(arrays, reset, 41, ends=False).checked(mode="full")
    assert "keeps its new values" in said
    assert all(arrays[name].tobytes() == theta[name].tobytes() for name in arrays)


def test_copies_do_not_mind():
    """A cost with arguments gets copies, which nobody else changes."""
    W = np.ones(3)
    calls = itertools.count()

    def cost(params):
        if next(calls) == 10:
            W[:] = 7
        return square(params)

    assert check_gradients(W, 2 * W, cost).passed
    assert W.tolist() == [7, 7, 7]


def test_points_around(hasty):
    """An update at another point is kept as well: there all entries are moved."""
    W, own = np.ones(4), SimpleNamespace(calls=itertools.count())

    def cost():
        if next(own.calls) == 80:
            with running(lambda: np.subtract(W, 0.25, out=W)):
                pass
        return square(W)

    with pytest.raises(InputError, match="keeps its new values"):
        check_gradients({"W": W}, lambda: 2 * W, cost, points=4)
    np.testing.assert_allclose(W, 0.75, rtol=1e-15)


class Network:
    """It keeps its activations, and is trained by a thread as long as it is checked."""

    def __init__(self):
        self.W, self.means = np.ones(4), {"x": np.zeros(2)}
        self.n_updates, self.updates = 0, []
        self.activations = np.zeros(4)

    def cost(self, x):
        self.activations = 2 * x
        return float(np.sum(self.activations**2))

    def train(self, going, end):
        while not end.is_set():
            self.W -= 2.0**-20
            self.means["x"] = self.means["x"] + 1
            self.n_updates += 1
            self.updates.append(self.n_updates)
            going.set()


@pytest.mark.parametrize("mode", ["full", "scan"])
def test_what_a_cost_reaches(hasty, mode):
    """What another thread changes in the network stays; the activations are those of θ."""
    net, x = Network(), np.ones(4)
    going, end = threading.Event(), threading.Event()
    with running(lambda: net.train(going, end), "trainer"):
        assert going.wait(SECONDS)
        try:
            check = check_gradients(x, 8 * x, net.cost, mode=mode)
        finally:
            end.set()
    n = net.n_updates
    assert net.updates == list(range(1, n + 1))
    assert net.W.tolist() == [1 - n * 2.0**-20] * 4
    assert net.means["x"].tolist() == [n, n]
    assert net.activations.tolist() == [2.0] * 4
    assert check.passed
    assert check.notes[-1] == (
        "The thread trainer was running meanwhile, and may use what the cost keeps: that is as the "
        "last call, at the parameters, has left it, and not put back."
    )


def test_a_thread_that_waits_is_not_at_work():
    """A check in a thread for which the notebook waits restores everything."""
    net, x = Network(), np.ones(4)
    before = net.activations
    with ThreadPoolExecutor(1) as pool:
        check = pool.submit(check_gradients, x, 8 * x, net.cost).result()
    assert check.passed
    assert check.notes == ()
    assert net.activations is before
