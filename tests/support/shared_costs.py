"""Costs for workers to evaluate, and what must be true for every kind of worker."""

import gc
import os
import pickle
import signal
import threading
import time
import weakref
from concurrent.futures import Executor, Future
from functools import partial

import numpy as np
import pytest

from gradcheck_magic import GradientCheckInterrupted, check_gradients
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._inputs.parameters import collect

HERE = os.getpid()
N = 40
# Seconds that a hanging cost sleeps; the exact number does not matter.
LONG = 60.0


class AtOnce(Executor):
    """An executor of another library: it has only `submit`, and it pickles what it gets."""

    def submit(self, function, /, *args):
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args))))))
        return future


# The costs. Nested functions are pickled whole, like those of a notebook.


def sum_of_squares(theta):
    """Return the sum of squares; this is a cost that workers import."""
    return float(theta @ theta)


def network(dtype=np.float64, wrong=1.0):
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(7, 4)).astype(dtype), random.normal(size=(7, 3)).astype(dtype)
    W, b = random.normal(size=(4, 3)).astype(dtype), random.normal(size=3).astype(dtype)

    def loss(W, b):
        return np.mean((np.tanh(X @ W + b) - Y) ** 2)

    A = np.tanh(X @ W + b)
    dZ = 2 * (A - Y) * (1 - A**2) / Y.size
    dW, db = X.T @ dZ, dZ.sum(axis=0)
    dW[1, 2] *= wrong
    return {"W": W, "b": b}, {"dW": dW, "db": db}, loss


def structured():
    params, grads, loss = network(wrong=1.5)
    return params, grads, lambda p: (loss(p["W"], p["b"]), "cache"), {}


def in_single_precision():
    params, grads, loss = network(np.float32)
    return params, grads, lambda p: loss(p["W"], p["b"]), {}


def single_by_itself():
    params, grads, loss = network(np.float32, wrong=1.1)
    return params, grads, lambda p: np.float32(loss(*(p[k].astype("f4") for k in "Wb"))), {}


def arguments():
    params, grads, loss = network()
    return list(params.values()), list(grads.values()), loss, {}


def by_keyword():
    params, grads, loss = network(wrong=0.0)
    return params, grads, lambda *, b, W: loss(W, b), {"only": ["W"]}


def flat():
    params, grads, loss = network()
    cost = lambda t: loss(t[:12].reshape(4, 3), t[12:])  # noqa: E731
    return params, grads, cost, {"call": "flat"}


def closure():
    params, grads, loss = network(wrong=1.5)
    W, b = params.values()
    return [W, b], list(grads.values()), lambda: loss(W, b), {}


def keeps_its_argument():
    kept = {}

    def cost(theta):
        if id(theta) not in kept:
            kept[id(theta)] = theta, float(theta @ theta)
        return kept[id(theta)][1]

    theta = np.linspace(1, 2, 7)
    return theta, 2 * theta, cost, {}


def numbers():
    return {"w": 2.0, "b": 1.0}, {"dw": 4.0, "db": 3.0}, lambda p: p["w"] ** 2 + 2 * p["b"], {}


def upstream():
    random = np.random.default_rng(0)
    x, w, dout = (random.normal(size=shape) for shape in [(5, 3), (3, 4), (5, 4)])
    return [x, w], [dout @ w.T, x.T @ dout], lambda x, w: (x @ w, "cache"), {"upstream": dout}


def on_kinks():
    theta = np.array([0.0, 1.0, -1e-8, 2.0, 0.0, 1e-9, -3.0])
    return theta, np.sign(theta), lambda t: float(np.abs(t).sum()), {}


def outside_the_domain():
    theta = np.array([1e-8, 1e-3, 1.0, 2.0])

    def cost(t):
        if t.min() <= 0:
            raise ValueError
        return float(np.log(t).sum())

    return theta, 1 / theta, cost, {"epsilon": 1e-5}


def noisy():
    theta = np.linspace(1, 2, 9)
    return theta, 3 * theta**2, lambda t: float(np.round((t**3).sum(), 6)), {}


CASES = [structured, in_single_precision, single_by_itself, arguments, by_keyword, flat, closure,
         keeps_its_argument, numbers, upstream, on_kinks, outside_the_domain, noisy]  # fmt: skip


def known(check):
    """Return all that a check says, except the number of evaluations and the time."""
    arrays = [check.numerical, check.uncertainty, check.analytic, check.wrong, check.kinked]
    summary = {**check.to_dict(), "n_evaluations": None, "seconds": None}
    return [array.tobytes() for array in arrays], summary


# What must be true


def see_the_same_bits(case, workers):
    """Assert that a check says exactly the same as without workers."""
    params, grads, cost, options = case()
    # Without "full", the measured entries would depend on how busy the machine is.
    alone = check_gradients(params, grads, cost, mode="full", **options)
    shared = check_gradients(params, grads, cost, mode="full", workers=workers, **options)
    assert known(shared) == known(alone)


def see_the_same_bits_of_a_scan(n_wrong, workers):
    """Assert the same of a scan, whose directions the workers make from the same numbers."""
    random = np.random.default_rng(0)
    params = {"W": random.normal(size=(30, 20)), "b": random.normal(size=20)}
    X = random.normal(size=(9, 30))
    grads = {"dW": X.T @ (1 - np.tanh(X @ params["W"] + params["b"]) ** 2)}
    grads["db"] = (1 - np.tanh(X @ params["W"] + params["b"]) ** 2).sum(axis=0)
    grads["dW"][[3, 4, 20][:n_wrong], 5] *= 1.5

    def cost(p):
        return float(np.tanh(X @ p["W"] + p["b"]).sum())

    alone = check_gradients(params, grads, cost, mode="scan")
    shared = check_gradients(params, grads, cost, mode="scan", workers=workers)
    assert known(shared) == known(alone)
    assert len(alone.wrong_entries) == n_wrong


class StrangeError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def see_an_error_of_the_cost(kind, workers):
    """Assert that an error arrives unchanged, from its own line, and earlier results are kept."""
    arguments = ("one", "other")

    def cost(theta):
        if theta[5] > 1:
            raise kind(*arguments)
        return float(theta @ theta)

    parameters = collect(np.ones(N))
    pairs = []
    there = Cost(cost, parameters, call="structured", workers=workers)
    with there, pytest.raises(kind) as error:
        there.each_pair(there.own, EntryBatch(0, range(N), 1e-7), pairs.append)
    assert len(pairs) == 5
    assert error.traceback[-1].name == "cost"
    (note,) = error.value.__notes__
    assert note == (
        "This happened with `params[5]` moved by 1e-07; at the parameters themselves "
        "`cost_function` works."
    )


def interrupt():
    os.kill(HERE, signal.SIGINT)


def interrupted(cost, workers, after=200):
    """Interrupt a check while it waits, after some evaluations, and return the results so far."""
    theta = np.linspace(1, 2, 400)
    timers = []

    def progress(done, *_):
        if done > after and not timers:
            timers.append(threading.Timer(0.02, interrupt))
            timers[0].start()

    options = {"mode": "full", "workers": workers, "progress": progress}
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients(theta, 2 * theta, cost, **options)
    check = error.value.check
    assert check.interrupted
    assert 0 < check.n_measured < 400
    assert check.numerical == pytest.approx(2 * theta[: check.n_measured], rel=1e-6)
    return check


def see_an_interrupt(workers):
    """Assert that an interrupt keeps the results so far, and the workers for the next check."""

    def cost(theta):
        # The whole check takes many seconds, so the interrupt comes in time even on a busy machine.
        time.sleep(0.03)
        return float(theta @ theta)

    interrupted(cost, workers, after=60)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=workers).passed


def see_nothing_kept(workers):
    """Assert that a finished check keeps none of the user's objects alive."""
    data = np.ones(1000)
    theta = np.linspace(1, 2, N)
    alive = weakref.ref(data)

    cost = partial(lambda data, t: float(t @ t) + float(data[0]), data)
    check_gradients(theta, 2 * theta, cost, workers=workers)
    del data, cost
    gc.collect()
    assert alive() is None
