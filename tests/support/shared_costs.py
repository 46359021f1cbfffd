"""Costs for workers to evaluate, and what has to hold, whoever the workers are."""

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
from gradcheck_magic._inputs.parameters import VariableNames, collect

HERE = os.getpid()
N = 40
# Nothing here is about time: what is long is only long enough.
LONG = 60.0


class AtOnce(Executor):
    """An executor of another library: only its `submit` is known, and it pickles what it gets."""

    def submit(self, function, /, *args):
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args))))))
        return future


# What is evaluated. Functions in functions are pickled whole, as those of a notebook are.


def sum_of_squares(theta):
    """A cost that workers import."""
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
    """All that a check says, but for the number of evaluations and how long it took."""
    arrays = [check.numerical, check.uncertainty, check.analytic, check.wrong, check.kinked]
    summary = {**check.to_dict(), "n_evaluations": None, "seconds": None}
    return [array.tobytes() for array in arrays], summary


# What has to hold


def see_the_same_bits(case, workers):
    """See all that a check says be the same as without workers."""
    params, grads, cost, options = case()
    # Else what is measured depends on how busy the machine is.
    alone = check_gradients(params, grads, cost, mode="full", **options)
    shared = check_gradients(params, grads, cost, mode="full", workers=workers, **options)
    assert known(shared) == known(alone)


def see_the_same_bits_of_a_scan(n_wrong, workers):
    """See the same of a scan: its directions are made in the workers, of the same numbers."""
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
    """It cannot be unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def see_an_error_of_the_cost(kind, workers):
    """See it come as it is, from where it happens; what was done before it counts."""
    arguments = ("one", "other")

    def cost(theta):
        if theta[5] > 1:
            raise kind(*arguments)
        return float(theta @ theta)

    parameters = collect(np.ones(N), VariableNames({}), only=None, names=None)
    plus, minus = np.full((2, N), np.nan)
    with Cost(cost, parameters, call="structured", workers=workers) as there:
        with pytest.raises(kind) as error:
            there.fill(there.own, EntryBatch(0, range(N), 1e-7), plus, minus)
        assert there.n_filled == 5
    assert np.isfinite(plus).sum() == 5
    assert error.traceback[-1].name == "cost"
    (note,) = error.value.__notes__
    assert note == (
        "This happened with `params[5]` moved by 1e-07; at the parameters themselves "
        "`cost_function` works."
    )


def interrupt():
    os.kill(HERE, signal.SIGINT)


def interrupted(cost, workers):
    """Return what was known when an interrupt came while the check waited."""
    theta = np.linspace(1, 2, 400)
    timers = []

    def progress(done, *_):
        if done > 200 and not timers:
            timers.append(threading.Timer(0.02, interrupt))
            timers[0].start()

    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients(theta, 2 * theta, cost, workers=workers, progress=progress)
    check = error.value.check
    assert check.interrupted
    assert 0 < check.n_measured < 400
    assert check.numerical == pytest.approx(2 * theta[: check.n_measured], rel=1e-6)
    return check


def see_an_interrupt(workers):
    """See what was measured be known, and the workers there for the next check."""

    def cost(theta):
        time.sleep(0.005)
        return float(theta @ theta)

    interrupted(cost, workers)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=workers).passed


def see_nothing_kept(workers):
    """See nothing of the user's alive because of a check that is over."""
    data = np.ones(1000)
    theta = np.linspace(1, 2, N)
    alive = weakref.ref(data)

    cost = partial(lambda data, t: float(t @ t) + float(data[0]), data)
    check_gradients(theta, 2 * theta, cost, workers=workers)
    del data, cost
    gc.collect()
    assert alive() is None
