"""`params` and `grads` are matched, and their arrays named."""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._inputs.parameters import collect
from gradcheck_magic._wording import did_you_mean


class Layer(NamedTuple):
    W: Any
    b: Any


def values(*shapes):
    return [np.arange(1.0, 1 + np.prod(shape)).reshape(shape) for shape in shapes]


W1, b1, W2 = values((2, 3), (3,), (3, 1))
dW1, db1, dW2 = 10 * W1, 10 * b1, 10 * W2

MATCHES = [
    pytest.param({"W1": W1, "b1": b1}, {"dW1": dW1, "db1": db1}, id="by name"),
    pytest.param({"W1": W1, "b1": b1}, {"db1": db1, "dW1": dW1}, id="by name, in another order"),
    pytest.param({"W1": W1, "b1": b1}, {"W1": dW1, "b1": db1}, id="by the same name"),
    pytest.param({"W1": W1, "b1": b1}, {"grad_W1": dW1, "grad_b1": db1}, id="grad_"),
    pytest.param({"W1": W1, "b1": b1}, {"W1_grad": dW1, "b1_grad": db1}, id="_grad"),
    pytest.param(
        {"W1": W1, "b1": b1},
        {"dW1": dW1, "db1": db1, "dZ1": np.ones((9, 9)), "dA1": None, "W1": W1},
        id="with more than gradients",
    ),
    pytest.param({"W": W1, "dW": b1}, {"W": dW1, "dW": db1}, id="a parameter called dW"),
    pytest.param(OrderedDict(W1=W1, b1=b1), {"dW1": dW1, "db1": db1}, id="an OrderedDict"),
    pytest.param([W1, b1], (dW1, db1), id="a list and a tuple"),
    pytest.param(Layer(W1, b1), Layer(dW1, db1), id="named tuples"),
    pytest.param({"l1": Layer(W1, b1)}, {"l1": Layer(dW1, db1)}, id="named tuples in a dict"),
    pytest.param([{"W": W1}, {"b": b1}], [{"dW": dW1}, {"db": db1}], id="dicts in a list"),
    pytest.param([[W1], [b1]], [[dW1], [db1]], id="lists in a list"),
    pytest.param({1: W1, 2: b1}, {1: dW1, 2: db1}, id="numbers as keys"),
    pytest.param([W1, None, b1], [dW1, None, db1], id="a missing bias"),
    pytest.param([W1, b1], [dW1.tolist(), db1.tolist()], id="lists of numbers"),
    pytest.param({"a.b": W1, "a": {"b": b1}}, {"a.b": dW1, "a": {"b": db1}}, id="odd keys"),
    pytest.param({"W": W1.view(np.matrix), "b": b1}, {"dW": dW1, "db": db1}, id="a matrix"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "grads"), MATCHES)
def test_matched(params, grads):
    pairing = pair(params, grads)
    assert [list(g) for g in pairing.gradients] == [list(dW1.ravel()), list(db1)]
    assert list(pairing.parameters.theta()) == [*W1.ravel(), *b1]
    assert pairing.notes == ()


NOTED = [
    pytest.param(
        {"W1": W1, "b1": b1}, [dW1, db1],
        "`params` and `grads` were matched in the order of their arrays.", id="a dict and a list",
    ),
    pytest.param(
        [W1, b1], np.concatenate([dW1.ravel(), db1])[:, None],
        "`grads` is one vector: it was split in the order of `params`.", id="one column for all",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("params", "grads", "note"), NOTED)
def test_matched_with_a_note(params, grads, note):
    pairing = pair(params, grads)
    assert [list(g) for g in pairing.gradients] == [list(dW1.ravel()), list(db1)]
    assert pairing.notes == (note,)


NAMESPACE = {"__name__": "__main__", "_hidden": W1, "weights": W1, "b": b1, "again": W1, "n": 3}

NAMES = [
    pytest.param({"W1": W1, "b1": b1}, NAMESPACE, ["W1", "b1"], id="keys come first"),
    pytest.param([W1, b1], NAMESPACE, ["weights", "b"], id="variables that are the arrays"),
    pytest.param([W1, W2], NAMESPACE, ["weights", "params[1]"], id="one without a variable"),
    pytest.param([W1, W1], NAMESPACE, ["params[0]", "params[1]"], id="the same array twice"),
    pytest.param([W1, b1], None, ["params[0]", "params[1]"], id="no namespace"),
    pytest.param(W1, NAMESPACE, ["weights"], id="one array"),
    pytest.param(W1, None, ["params"], id="one array without a variable"),
    pytest.param([W1, b1], ["w", "v"], ["w", "v"], id="given"),
    pytest.param({"l": {"W": W1}, "m": [b1]}, None, ["l.W", "m[0]"], id="nested"),
]


@pytest.mark.parametrize(("params", "names", "expected"), NAMES)
def test_names(params, names, expected):
    pairing = pair(params, params, names=names)
    assert [parameter.name for parameter in pairing.checked] == expected


def test_labels():
    """An entry has the index that the user would type."""
    first, number, last = pair([W1, 2.0, b1], [W1, 2.0, b1]).checked
    labels = [first.label(0), first.label(5), number.label(0), last.label(0)]
    assert labels == ["params[0][0, 0]", "params[0][1, 2]", "params[1]", "params[2][0]"]


def test_only(check):
    """The others are held fixed and need no gradient."""
    params = {"W1": W1, "b1": b1, "W2": W2}
    grads = {"db1": 2 * b1}

    def cost(p):
        return sum(float((p[name] ** 2).sum()) for name in params)

    found = check(params, grads, cost, only=["b1"])
    assert found.passed
    assert list(found.measured) == [6, 7, 8]
    assert [parameter.name for parameter in found.parameters] == ["b1"]


def test_gradients_are_copied():
    """A cost that writes into the gradients does not change the comparison."""
    grads = {"dW": np.array([2.0, 4.0])}

    def cost(p):
        grads["dW"][:] = 0
        return float((p["W"] ** 2).sum())

    found = check_gradients({"W": np.array([1.0, 2.0])}, grads, cost)
    assert found.verdict is Verdict.CORRECT
    assert list(found.analytic) == [2.0, 4.0]


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("grads", ["gradients", "X"], " (did you mean `gradients`?)"),
        ("params", ["parameters", "X"], " (did you mean `parameters`?)"),
        ("cost_function", ["compute_cost", "cost_func"], " (did you mean `cost_func`?)"),
        ("grads", ["Grads", "gradients"], " (did you mean `Grads`?)"),
        ("grads", ["_grads", "X", "Y"], ""),
        ("dW", ["d", "W"], ""),
    ],
)
def test_did_you_mean(name, candidates, expected):
    assert did_you_mean(name, candidates) == expected


@pytest.mark.parametrize(
    ("array", "magnitude", "spread"),
    [
        pytest.param([0.5, -2.0, 0.0], 2.0, None, id="weights"),
        pytest.param([0.0, 0.0], 1.0, None, id="all zero"),
        pytest.param([-3e-21, 1e-21], 3e-21, None, id="joules"),
        pytest.param([1.7e9 - 3, 1.7e9 + 3], 1.7e9 + 3, 3.0, id="seconds since 1970"),
        pytest.param([1e6, 1e6 + 1e-3], 1e6 + 1e-3, 1.0, id="nearly the same: 1 at least"),
        pytest.param([1e6, -1e6], 1e6, None, id="large, but not the same"),
        pytest.param([1.7e9], 1.7e9, None, id="one alone has no spread"),
        pytest.param([5000, 5004], 5004.0, 2.0, id="integers"),
    ],
)
def test_size_and_spread(array, magnitude, spread):
    (parameter,) = collect(np.array(array)).arrays
    assert parameter.magnitude == pytest.approx(magnitude)
    assert parameter.spread == (None if spread is None else pytest.approx(spread))


def test_a_random_direction_is_in_the_units_of_each_parameter():
    """No step is long beside the length over which a cost may bend, and none is zero."""
    params = {
        "energies": np.array([1e-21, 0.0, -2e-21]),
        "temperature": np.array([300.0]),
        "times": 1.7e9 + np.array([-2.0, 2.0]),
        "b": np.zeros(2),
    }
    parameters = collect(params)
    found = parameters.random_direction(parameters.theta(), np.random.default_rng(0))
    energies, temperature, times, b = np.split(np.abs(found), [3, 4, 6])
    # Each step is between half and all of the size.
    assert np.all((energies >= 0.5e-21) & (energies <= 2e-21))
    assert 150 <= temperature[0] <= 300
    assert np.all((times >= 1) & (times <= 2))
    # What is zero altogether has no size of its own.
    assert np.all((b > 1) & (b < 300))
