"""A check leaves no trace: what it borrows is bit for bit as before, however it ends."""

import copy
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
import pytest
from IPython.utils.capture import capture_output

import gradcheck_magic
from gradcheck_magic import GradientCheckInterrupted, InputError, check_gradients, step_curve

torch = None
if importlib.util.find_spec("torch"):
    import torch

PACKAGE = str(Path(gradcheck_magic.__file__).parent) + os.sep
# At so many of the lines that a check runs through it is interrupted, and that each picture does,
# which takes a hundred times as long.
MOMENTS, MOMENTS_OF_A_PICTURE = 60, 30


def world():
    """Everything global that a check could leave changed."""
    return {
        "NumPy's random state": str(np.random.get_state(legacy=False)),
        "Python's random state": random.getstate(),
        "torch's random state": torch and torch.get_rng_state().numpy().tobytes(),
        "torch's settings": torch
        and (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
        "warning filters": (id(warnings.filters), list(warnings.filters)),
        "how warnings are shown": (warnings.showwarning, warnings.formatwarning),
        "rcParams": dict(mpl.rcParams),
        "figures": plt.get_fignums(),
        "the backend": mpl.get_backend(),
        "what NumPy does about overflow": np.geterr(),
        "how NumPy prints": str(np.get_printoptions()),
        "the handler of Ctrl-C": signal.getsignal(signal.SIGINT),
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
    """Name what is not as before."""
    now = world()
    return [name for name, value in before.items() if now[name] != value]


@pytest.fixture(autouse=True)
def somewhere():
    """A state of things that is nobody's default."""
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
    """A network whose arrays the cost reads from here, and draws random numbers for nothing."""

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


def passes(model):
    assert check_gradients(model.params, model.grads, model.cost).passed


def fails(model):
    wrong = {**model.grads, "dW": 2 * model.grads["dW"]}
    assert not check_gradients(model.params, wrong, model.cost).passed


def scans(model):
    assert check_gradients(model.params, model.grads, model.cost, mode="scan").passed


def asks_for_gradients(model):
    assert check_gradients(model.params, lambda: model.grads, model.cost).passed


def cannot_tell(model):
    check_gradients(model.params, model.grads, model.cost, epsilon=1e-15, budget=1e-3)


def is_refused(model):
    with pytest.raises(InputError):
        check_gradients(model.params, {"dW": model.grads["dW"]}, model.cost)


def is_random(model):
    with pytest.raises(InputError, match="repeatable"):
        check_gradients(model.params, model.grads, lambda: model.cost() + np.random.rand())


def raises(model):
    for model.fails_at in (1, 2, 33):
        model.calls = 0
        with pytest.raises(ZeroDivisionError):
            check_gradients(model.params, model.grads, model.cost)


def is_told(model):
    check = checked_wrong(model)
    assert "There is a bug" in str(check)


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


def uses_workers(model):
    check = check_gradients(model.params, model.grads, model.cost, workers=2)
    assert check.n_evaluations


CHECKS = [passes, fails, scans, asks_for_gradients, is_told]
PICTURES = [draws_a_card, draws_a_figure, draws_a_close_up, draws_a_curve]
ENDS = [*CHECKS, *PICTURES, cannot_tell, is_refused, is_random, raises]


@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_end(end):
    model = Model()
    before, around = model.state(), world()
    end(model)
    assert model.state() == before
    assert changed(around) == []


def test_workers():
    """The processes are kept for the next check, and so is the thread that looks after them."""
    uses_workers(Model())
    test_whatever_the_end(uses_workers)


# Interrupted


class Interrupter:
    """Sends an interrupt at the n-th line of the package that is run; counts them all."""

    def __init__(self, at=None):
        self.at = at
        self.lines = 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                signal.raise_signal(signal.SIGINT)
        return self.trace


def lines_of(action):
    with Interrupter() as all_lines:
        action(Model())
    return all_lines.lines


def interrupted(action, model, moment):
    """Return what comes out of an action that is interrupted at a line, or ends before it."""
    with Interrupter(moment) as interrupter:
        try:
            action(model)
        except KeyboardInterrupt as interrupt:
            return interrupt
    # How many lines there are depends on how long they take, by a few.
    assert interrupter.lines < moment, "it was swallowed"
    return None


INTERRUPTED = [
    *((action, MOMENTS) for action in CHECKS),
    *((action, MOMENTS_OF_A_PICTURE) for action in PICTURES),
]


@pytest.mark.parametrize(("action", "moments"), INTERRUPTED)
def test_interrupted_at_any_line(action, moments):
    """Whatever it is doing; and it is never swallowed."""
    action(Model())  # what is done once only
    n_lines = lines_of(action)
    n_interrupted = 0
    for moment in np.random.default_rng(0).integers(1, n_lines, moments):
        model = Model()
        before, around = model.state(), world()
        interrupt = interrupted(action, model, moment)
        assert model.state() == before, f"line {moment} of {n_lines}"
        assert changed(around) == [], f"line {moment} of {n_lines}"
        if isinstance(interrupt, GradientCheckInterrupted):
            assert "the parameters are as they were before" in str(interrupt)
        n_interrupted += interrupt is not None
    assert n_interrupted > 0.8 * moments


@pytest.mark.skipif(torch is None, reason="torch is missing: pip install -e '.[torch]'")
def test_torch_interrupted_at_any_line():
    """Gradients, running means and modes as well."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).double()
    X = torch.randn(5, 2, dtype=torch.float64)

    def cost():
        loss = (model(X) ** 3).sum()
        loss.backward()
        return loss

    def state():
        tensors = [*model.parameters(), *model.buffers()]
        grads = [p.grad for p in model.parameters()]
        return [(id(t), t.detach().numpy().tobytes()) for t in [*tensors, *grads]]

    def action(_):
        check_gradients(model, None, cost)

    cost()
    n_lines = lines_of(action)
    for moment in np.random.default_rng(0).integers(1, n_lines, MOMENTS // 2):
        before, around = state(), world()
        interrupted(action, None, moment)
        assert state() == before, f"line {moment} of {n_lines}"
        assert changed(around) == [], f"line {moment} of {n_lines}"


# In the shell


def parts_of(shell):
    """What an extension could leave behind in a shell."""
    return {
        "magics": {kind: dict(named) for kind, named in shell.magics_manager.magics.items()},
        "classes of magics": list(shell.magics_manager.registry),
        "configurables": list(shell.configurables),
        "events": {event: list(them) for event, them in shell.events.callbacks.items()},
        "matchers": list(shell.Completer.custom_matchers),
        "AST transformers": list(shell.ast_transformers),
        "input transformers": [*shell.input_transformers_cleanup, *shell.input_transformers_post],
        "exception handlers": (shell.custom_exceptions, shell.CustomTB),
        "hooks": {name: str(hook) for name, hook in vars(shell.hooks).items()},
    }


CELLS = [
    "%%gradcheck\ngrads = model.grads",
    "%gradcheck -g model.grads --strict",
    "%%gradcheck --strict\ngrads = {**model.grads, 'dW': 0 * model.W}",
    "%%gradcheck\n1 / 0",
    "%%gradcheck\ndef",
    "%gradcheck --epsilom 3",
    "%gradcheck -g nothing",
    "%gradcheck --workers nothing",
]


@pytest.mark.parametrize("cell", CELLS)
def test_shell(shell, cell):
    model = Model()
    shell.user_ns |= {"model": model, "params": model.params, "cost_function": model.cost}
    with capture_output():
        shell.run_cell("%gradcheck -g model.grads")
        before, around, parts = model.state(), world(), parts_of(shell)
        variables = set(shell.user_ns)
        shell.run_cell(cell)
        left = changed(around)
    assert model.state() == before
    assert left == []
    assert parts_of(shell) == parts
    assert {v for v in set(shell.user_ns) - variables if not v.startswith("_i")} <= {"grads"}


def test_unloaded(shell):
    """Loading, reloading and unloading leave the shell as it was."""
    shell.run_line_magic("unload_ext", "gradcheck_magic")
    parts, around = parts_of(shell), world()
    for load in ("load_ext", "reload_ext", "load_ext"):
        with capture_output():
            shell.run_line_magic(load, "gradcheck_magic")
    model = Model()
    shell.user_ns |= {"model": model, "params": model.params, "cost_function": model.cost}
    with capture_output():
        shell.run_cell("%gradcheck -g model.grads")
        shell.run_cell("%gradcheck -g 2")
    shell.run_line_magic("unload_ext", "gradcheck_magic")
    assert parts_of(shell) == parts
    assert changed(around) == []


def test_a_copy_of_the_state_is_no_change():
    """The comparison itself can fail, and tells what differs."""
    around = world()
    np.random.rand()
    mpl.rcParams["font.size"] = 3
    assert changed(around) == ["NumPy's random state", "rcParams"]
    model = Model()
    before = copy.deepcopy(model.state())
    model.W[0, 0] = 0.0
    assert model.state() != before
