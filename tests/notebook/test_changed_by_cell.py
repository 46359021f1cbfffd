"""A gradient that was right before its own cell changed the parameters is named as such."""

import re

import pytest
from IPython.utils.capture import capture_output

from gradcheck_magic import Cause, Verdict

NETWORK = """
import numpy as np
from networks import Smooth
net = Smooth()
params, cost_function = net.params, net.cost
before = {name: array.copy() for name, array in params.items()}
"""
GRADIENT = "grads = net.grads()\n"


@pytest.fixture
def checked(shell, run):
    """Return a function that runs a cell with its check, and returns the diagnoses."""

    def of_cell(body, line=""):
        run(NETWORK)
        with capture_output():
            result = shell.run_cell(f"%%gradcheck {line}\n{body}")
        assert result.success, result.error_in_exec
        check = shell.user_ns["_gradcheck"]
        return check, {d.cause for d in check.diagnoses}

    return of_cell


@pytest.mark.parametrize(("update", "changed"), [
    pytest.param("params['W2'] -= 0.1 * grads['dW2']", "`W2`", id="one of them"),
    pytest.param("params['W1'] *= 0.5", "`W1`", id="HARD: not along the gradient"),
    pytest.param("params['b1'] += 1", "`b1`", id="by a constant"),
    pytest.param(
        "for name in ('W1', 'W2'): params[name] -= 0.01 * np.sign(grads['d' + name])",
        "`W1` and `W2`", id="by signs",
    ),
    pytest.param(
        "params = {**params, 'W1': params['W1'] + 1}\nnet.params = params", "`W1`",
        id="HARD: a new container",
    ),
])  # fmt: skip
def test_named(checked, update, changed):
    check, causes = checked(GRADIENT + update)
    assert check.verdict is Verdict.BUG
    assert causes == {Cause.STALE}
    assert check.diagnoses[0].sentence.endswith(
        "to the parameters before this cell: there, the gradient is correct, in several random "
        f"directions. The cell has changed {changed}: compute the gradient after that."
    )


@pytest.mark.parametrize("body", [
    pytest.param("grads = {**net.grads(), 'dW2': 2 * net.grads()['dW2']}\nparams['W2'] += 1",
                 id="wrong before as well"),
    pytest.param("params['W2'] += 1\ngrads = net.grads()\ngrads['db1'] = grads['db1'] * 2",
                 id="computed after the change, and wrong"),
    pytest.param("grads = {**net.grads(), 'dW2': 2 * net.grads()['dW2']}", id="nothing changed"),
])  # fmt: skip
def test_not_named(checked, body):
    check, causes = checked(body)
    assert check.verdict is Verdict.BUG
    assert Cause.STALE not in causes


def test_named_each_time(checked, shell):
    """The gradient is that of the previous check as well, but computing it again would not help."""
    step = GRADIENT + "for name in params: params[name] -= 0.1 * grads['d' + name]"
    checked(step)
    with capture_output():
        shell.run_cell(f"%%gradcheck\n{step}").raise_error()
    (diagnosis,) = shell.user_ns["_gradcheck"].diagnoses
    assert re.search("The cell has changed .*: compute the gradient after that", diagnosis.sentence)


def test_right_ones_are_right(checked):
    check, _ = checked("params['W1'] += 1\n" + GRADIENT)
    assert check.verdict is Verdict.CORRECT


def test_only_the_cell_that_made_it(shell, run, checked):
    """A check without a cell, after it, knows nothing of the parameters before."""
    checked(GRADIENT + "params['b1'] += 1")
    with capture_output():
        shell.run_line_magic("gradcheck", "")
    assert not re.search("this cell", str(shell.user_ns["_gradcheck"]))
