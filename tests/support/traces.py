"""Everything that a check could leave changed, and a model to check."""

import contextlib
import gc
import importlib.util
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from gradcheck_magic import check_gradients, step_curve

torch = None
if importlib.util.find_spec("torch"):
    import torch


def world():
    """Return everything global that a check could leave changed."""
    return {
        "NumPy's random state": str(np.random.get_state(legacy=False)),
        "Python's random state": random.getstate(),
        "torch's random state": torch and torch.get_rng_state().numpy().tobytes(),
        "torch's settings": torch
        and (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
        "warning filters": (id(warnings.filters), list(warnings.filters)),
        "how warnings are shown": (warnings.showwarning, warnings.formatwarning),
        # Before rcParams, because asking for the backend chooses one.
        "the backend": mpl.get_backend(),
        "rcParams": list(dict.items(mpl.rcParams)),
        "figures": plt.get_fignums(),
        "what NumPy does about overflow": np.geterr(),
        "how NumPy prints": str(np.get_printoptions()),
        "handlers of signals": list(map(signal.getsignal, signal.valid_signals())),
        "hooks": (sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile()),
        "threads' hooks": threading.excepthook,
        "threads": sorted(t.name for t in threading.enumerate()),
        "the environment": dict(os.environ),
        "the path": list(sys.path),
        "the directory": Path.cwd(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "loggers": [*logging.root.handlers, logging.root.level],
        "the collector": (gc.isenabled(), gc.get_threshold()),
        "recursion": sys.getrecursionlimit(),
        "streams": (sys.stdout, sys.stderr),
    }


def changed(before):
    """Return the names of everything that is not as before."""
    now = world()
    return [name for name, value in before.items() if now[name] != value]


@contextlib.contextmanager
def unusual_world():
    """Change global settings to values that are nobody's default, and restore them at the end."""
    states = np.random.get_state(), random.getstate(), torch and torch.get_rng_state()
    np.random.seed(7)
    random.seed(7)
    np.random.rand(3)
    errors = np.seterr(under="warn", over="ignore")
    with (
        warnings.catch_warnings(),
        mpl.rc_context({"axes.grid": True, "font.size": 31, "lines.linewidth": 0.3}),
    ):
        warnings.filterwarnings("ignore", "nothing of this kind")
        yield
    np.seterr(**errors)
    np.random.set_state(states[0])
    random.setstate(states[1])
    if torch:
        torch.set_rng_state(states[2])


class Model:
    """A network whose cost reads its arrays, and draws random numbers without using them."""

    def __init__(self, fails_at=None):
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        self.W = np.asfortranarray(rng.normal(size=(3, 2)))
        self.W[0, 0] = -0.0
        self.b = np.zeros(4)[::2]
        self.own = np.random.default_rng(5)
        self.fails_at = fails_at
        self.calls = 0
        self.params = {"W": self.W, "b": self.b}
        error = 2 * (self.X @ self.W + self.b - self.Y)
        self.grads = {"dW": self.X.T @ error, "db": error.sum(axis=0)}

    def cost(self):
        self.calls += 1
        if self.calls == self.fails_at:
            raise ZeroDivisionError
        np.random.rand()
        random.random()  # noqa: S311 (as a cost would)
        self.own.normal()
        if torch:
            torch.rand(2)
        return np.sum((self.X @ self.W + self.b - self.Y) ** 2)

    def state(self):
        arrays = [self.W, self.b, *self.grads.values()]
        return (
            [(id(a), a.tobytes("A"), a.strides, a.flags.writeable) for a in arrays],
            list(self.params.items()),
            list(self.grads),
            str(self.own.bit_generator.state),
        )


def assert_no_trace(action):
    """Assert that everything is as it was before an action on a model."""
    model = Model()
    before, around = model.state(), world()
    action(model)
    assert model.state() == before
    assert changed(around) == []


def draws_a_card(model):
    assert "gc-card" in checked_wrong(model).to_html()


def draws_a_figure(model):
    checked_wrong(model).figure()


def draws_a_close_up(model):
    checked_wrong(model).close_up("W").to_html()


def checked_wrong(model):
    return check_gradients(model.params, {**model.grads, "dW": -model.grads["dW"]}, model.cost)


def draws_a_curve(model):
    step_curve(model.params, model.grads, model.cost, "W", (1, 1)).to_html()


PICTURES = [draws_a_card, draws_a_figure, draws_a_close_up, draws_a_curve]
