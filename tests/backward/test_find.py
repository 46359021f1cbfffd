"""The statement that is wrong is named: in the cell, in functions, in files."""

import json
import sys

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients
from gradcheck_magic.errors import GradientCheckFailed
from tests.support.passes import Slip, checked, passes, read

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(3, 7)), rng.normal(size=(2, 7))
M = X.shape[1]
PARAMS = {
    "W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=(4, 1)),
    "W2": rng.normal(size=(2, 4)), "b2": rng.normal(size=(2, 1)),
}  # fmt: skip


def forward(p):
    Z1 = p["W1"] @ X + p["b1"]
    A1 = np.tanh(Z1)
    A2 = p["W2"] @ A1 + p["b2"]
    return A1, A2


def cost(p):
    return np.sum((forward(p)[1] - Y) ** 2) / (2 * M)


def backward(p, slope=lambda a: 1 - a**2):
    A1, A2 = forward(p)
    dA2 = A2 - Y
    dA1 = p["W2"].T @ dA2
    dZ1 = dA1 * slope(A1)
    return {
        "dW1": dZ1 @ X.T / M,
        "db1": dZ1.sum(axis=1, keepdims=True) / M,
        "dW2": dA2 @ A1.T / M,
        "db2": dA2.sum(axis=1, keepdims=True) / M,
    }


def test_gradient_function_is_called_again():
    check = check_gradients(PARAMS, lambda p: backward(p, slope=lambda a: 1 - a), cost)
    (fault,) = check.backward.faults
    assert [line.text for line in fault.lines][:1] == ["1 - a"]
    assert "dZ1 = dA1 * slope(A1)" in [line.text for line in fault.lines]
    assert fault.inputs == ("dA1",)
    assert fault.parameters == ("W1", "b1")
    assert fault.lines[0].place.startswith("test_find.py, line ")


def test_factors_are_told():
    """People divide by m at the end: then everything before is m times the gradient, and right."""
    check = check_gradients(PARAMS, backward, cost, trace=True)
    assert check.verdict is Verdict.CORRECT
    assert not check.backward.faults
    steps = {step.value: step for step in check.backward.steps}
    assert {name: steps[name].factor for name in ("dA2", "dA1", "dZ1")} == {
        "dA2": M, "dA1": M, "dZ1": M,
    }  # fmt: skip
    assert {name: steps[name].of for name in ("dA2", "dA1", "dZ1")} == {
        "dA2": "A2", "dA1": "A1", "dZ1": "Z1",
    }  # fmt: skip
    assert {step.mark for step in check.backward.steps if step.value in {"dW1", "db2"}} == {"right"}


def test_not_looked_at_without_a_bug():
    assert check_gradients(PARAMS, backward, cost).backward is None


def test_a_gradient_that_nobody_saw_computed():
    grads = backward(PARAMS)
    grads["dW1"] *= 2
    assert check_gradients(PARAMS, grads, cost).backward is None


def test_cost_that_computes_the_gradient():
    """A function that returns (cost, grads) is its own backward pass."""

    def loss(p):
        A1, A2 = forward(p)
        value = np.sum((A2 - Y) ** 2) / (2 * M)
        dA2 = (A2 - Y) / M
        dA1 = p["W2"].T @ dA2
        dZ1 = dA1 * (1 - A1)
        grads = {"W1": dZ1 @ X.T, "b1": dZ1.sum(axis=1, keepdims=True)}
        return value, grads | {"W2": dA2 @ A1.T, "b2": dA2.sum(axis=1, keepdims=True)}

    check = check_gradients(PARAMS, loss(PARAMS)[1], loss)
    (fault,) = check.backward.faults
    assert [line.text for line in fault.lines][:1] == ["dZ1 = dA1 * (1 - A1)"]
    assert fault.n_likely == 1
    assert fault.outcome == "`dA1`, from which it starts, is right; `dZ1` is not."


def test_gradients_that_were_computed_before():
    """Only what the cell itself runs can be followed, and that is said."""
    source = """
# %%
import numpy as np

x = np.arange(3.0)
W = np.ones(3)
dW = 2 * W * x

# %% gradcheck -p W -g dW -c "lambda W: np.sum((W * x) ** 2)"
checked = True
"""
    check = checked(read("computed before", '""""""' + source))
    assert not check.backward.faults
    (note,) = check.backward.notes
    assert note == (
        "The cell does not compute the gradients: if the code that does is put into it, "
        "the statement that is wrong can be named."
    )


def test_no_trace_function_is_left():
    before = sys.gettrace()
    check_gradients(PARAMS, lambda p: backward(p, slope=lambda a: 1 - a), cost)
    assert sys.gettrace() is before


def test_told_everywhere():
    """The line is in the report, in the dict, and in the error of a strict check."""
    check = check_gradients(PARAMS, lambda p: backward(p, slope=lambda a: a), cost)
    (fault,) = check.backward.faults
    sentence = fault.sentence
    assert sentence in str(check)
    assert sentence in check.headline()
    with pytest.raises(GradientCheckFailed) as failed:
        check.raise_if_failed()
    assert sentence in str(failed.value)
    told = json.loads(json.dumps(check.to_dict()))["backward"]
    assert told["faults"][0]["lines"][0]["text"] == fault.lines[0].text
    assert told["steps"][0]["of"] == "A2"
    assert "gc-fault" in check.to_html()


def slip(backward, was, line):
    """Return the slip that puts a line in the place of another one."""
    (at,) = [k for k, each in enumerate(backward.lines) if each.strip() == was]
    indent = backward.lines[at][: -len(was)]
    return Slip(at, indent + line)


@pytest.mark.parametrize(
    ("name", "was", "line"),
    [
        ("planar_one_hidden", "dZ2 = A2 - Y", "dZ2 = Y - A2"),
        ("toplevel_softmax", "dh = dscores @ W2.T", "dh = (p - Y) @ W2.T"),
        ("deep_l_layer", "dA_prev = np.dot(W.T, dZ)", "dA_prev = -np.dot(W.T, dZ)"),
        ("cs231n_two_layer", "dhidden[hidden <= 0] = 0", "dhidden[dhidden <= 0] = 0"),
        ("cs231n_two_layer", "grads['W2'] += 2 * reg * W2", "grads['W2'] += reg * W2"),
        ("imported_layers", "dx = dout * mask", "dx = dout * ~mask"),
        ("one_function", "dw2 = u.T @ df + 0.02 * w2", "dw2 = h.T @ df + 0.02 * w2"),
        ("min_char_rnn", "dhraw = (1 - hs[t] * hs[t]) * dh # backprop through tanh nonlinearity",
         "dhraw = (1 - hs[t]) * dh"),
    ],
)  # fmt: skip
def test_named_first(name, was, line):
    backward = next(each for each in passes(name) if each.name.startswith(name))
    planted = slip(backward, was, line)
    check = checked(backward, planted, "--trace")
    assert check.verdict is Verdict.BUG
    first = check.backward.faults[0].lines[0]
    place = backward.place(planted)
    assert (first.file, first.line) == (place.file, place.line)


@pytest.mark.parametrize("name", ["planar", "toplevel", "deep_l", "one_function", "batchnorm"])
def test_right_passes_are_not_accused(name):
    backward = next(each for each in passes(name) if each.name.startswith(name))
    check = checked(backward, options="--trace")
    assert check.passed
    assert not check.backward.faults
    assert check.backward.steps
