"""A check leaves no trace: everything that it uses is restored bit for bit, however it ends."""

import copy
import signal
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from interrupts import see_interrupts_leave_no_trace, time_limit
from IPython.utils.capture import capture_output
from traces import (
    PICTURES,
    Model,
    assert_no_trace,
    changed,
    checked_wrong,
    torch,
    unusual_world,
    world,
)

from gradcheck_magic import InputError, check_gradients

# The number of lines, among those that a check runs, at which it is interrupted.
MOMENTS = 60


@pytest.fixture(autouse=True)
def somewhere(clock):
    # Every look at the clock moves it on, so a budget may be used up.
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


CHECKS = [passes, fails, scans, asks_for_gradients, is_told]
ENDS = [*CHECKS, *PICTURES, cannot_tell, runs_out_of_time, is_refused, is_random, raises]


@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_end(end):
    assert_no_trace(end)


# Interrupted


@pytest.mark.parametrize("action", CHECKS)
def test_interrupted_at_any_line(action):
    """An interrupt at any time leaves no trace and is never swallowed; pictures have slow tests."""
    see_interrupts_leave_no_trace(action, MOMENTS)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")
def test_out_of_time_at_any_line():
    """A time limit raises an `Exception`, which nothing takes for an error of the user's code."""
    with time_limit() as number:
        see_interrupts_leave_no_trace(scans, MOMENTS // 4, number=number)


@pytest.mark.skipif(torch is None, reason="torch is missing: pip install -e '.[torch]'")
def test_torch_interrupted_at_any_line():
    """Gradients, running means and modes are restored as well."""
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

    cost()  # from here on there are gradients
    see_interrupts_leave_no_trace(action, MOMENTS // 2, lambda: SimpleNamespace(state=state))


# In the shell


def parts_of(shell):
    """Return everything that an extension could leave behind in a shell."""
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
    """The comparison can fail, and then says what differs."""
    around = world()
    np.random.rand()
    mpl.rcParams["font.size"] = 3
    assert changed(around) == ["NumPy's random state", "rcParams"]
    model = Model()
    before = copy.deepcopy(model.state())
    model.W[0, 0] = 0.0
    assert model.state() != before
