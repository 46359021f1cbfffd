"""A check leaves no trace: what it borrows is bit for bit as before, however it ends."""

import copy
import os
import signal
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from IPython.utils.capture import capture_output
from traces import Model, assert_no_trace, changed, torch, unusual_world, world

import gradcheck_magic
from gradcheck_magic import GradientCheckInterrupted, InputError, check_gradients, step_curve

PACKAGE = str(Path(gradcheck_magic.__file__).parent) + os.sep
# At so many of the lines that a check runs through it is interrupted, and that each picture does,
# which takes a hundred times as long.
MOMENTS, MOMENTS_OF_A_PICTURE = 60, 30


@pytest.fixture(autouse=True)
def somewhere(clock):
    # Whoever looks at the clock is later then: a budget may be used up.
    clock.tick = 1e-4
    with unusual_world():
        yield


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
    check_gradients(model.params, model.grads, model.cost, epsilon=1e-15)


def runs_out_of_time(model):
    assert check_gradients(model.params, model.grads, model.cost, budget=1e-3).interrupted


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


CHECKS = [passes, fails, scans, asks_for_gradients, is_told]
PICTURES = [draws_a_card, draws_a_figure, draws_a_close_up, draws_a_curve]
ENDS = [*CHECKS, *PICTURES, cannot_tell, runs_out_of_time, is_refused, is_random, raises]


@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_end(end):
    assert_no_trace(end)


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
