"""J has slopes by each array of the forward pass, moved at the moment it is bound."""

import numpy as np
import pytest

from gradcheck_magic._backward.forward import ForwardPass, direction
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.parameters import collect

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(3, 7)), rng.normal(size=(2, 7))
PARAMS = {
    "W1": rng.normal(size=(4, 3)),
    "b1": rng.normal(size=(4, 1)),
    "W2": rng.normal(size=(2, 4)),
}


def bound_one_by_one(p):
    z = p["W1"] @ X + p["b1"]
    a = np.tanh(z)
    out = p["W2"] @ a
    return np.sum((out - Y) ** 2)


def inside_one_expression(p):
    a = np.tanh(p["W1"] @ X + p["b1"])
    return np.sum((p["W2"] @ a - Y) ** 2)


class Layer:
    def __init__(self):
        self.kept = {}

    def forward(self, p):
        self.kept["z"], b = p["W1"] @ X, p["b1"]
        self.kept["z"] += b
        self.a = np.empty_like(self.kept["z"])
        np.tanh(self.kept["z"], out=self.a)
        return p["W2"] @ self.a


def in_a_class(p):
    layer = Layer()
    out = layer.forward(p)
    return np.sum((out - Y) ** 2)


def truth():
    """Return the gradient of J by each array, by hand."""
    z = PARAMS["W1"] @ X + PARAMS["b1"]
    a = np.tanh(z)
    out = 2 * (PARAMS["W2"] @ a - Y)
    da = PARAMS["W2"].T @ out
    return {"z": da * (1 - a**2), "a": da, "out": out}


@pytest.mark.parametrize(
    ("cost", "labels"),
    {
        "bound to names": (bound_one_by_one, {"z": "z", "a": "a", "out": "out"}),
        "HARD: inside an expression": (
            inside_one_expression, {"z": "p['W1'] @ X + p['b1']", "a": "a", "out": "p['W2'] @ a"},
        ),
        "HARD: in a dict, an attribute, and in place": (
            in_a_class, {"z": "self.kept['z']", "a": "self.a", "out": ""},
        ),
    }.values(),
)  # fmt: skip
def test_slopes(cost, labels):
    """The slope along a direction is that of the gradient by hand, within its error bar."""
    parameters = collect(PARAMS)
    before = {name: array.copy() for name, array in PARAMS.items()}
    with Cost(cost, parameters) as opened:
        forward = ForwardPass(opened, np.inf)
        forward.follow()
        for name, gradient in truth().items():
            # What is changed in place is bound twice.
            named = [b for b in forward.bound if (b.label, b.size) == (labels[name], gradient.size)]
            k = [b.index for b in named if b.is_inside == ("@" in b.label)][-1]
            for number in range(2):
                known = forward.slope(k, number)
                expected = float(gradient.ravel() @ direction(gradient.size, number))
                assert abs(known.low - expected) <= known.bar
                assert known.bar <= 1e-3 * np.linalg.norm(gradient)
    for name, array in PARAMS.items():
        assert np.array_equal(array, before[name])


def test_data_is_put_back_bit_for_bit():
    """What is moved may be the user's own array under another name."""
    data = X.copy()

    def cost(p):
        x = data
        if not np.array_equal(x, X):
            raise ArithmeticError
        return np.sum((p["W1"] @ x) ** 2)

    def moved(p):
        x = data
        return np.sum((p["W1"] @ x) ** 2)

    for function in (cost, moved):
        with Cost(function, collect(PARAMS)) as opened:
            forward = ForwardPass(opened, np.inf)
            forward.follow()
            (k,) = [b.index for b in forward.bound if b.label == "x"]
            known = forward.slope(k, 0)
        assert np.array_equal(data, X)
        assert (known is None) == (function is cost)


def test_an_interrupt_leaves_nothing_moved():
    data = X.copy()
    calls = []

    def cost(p):
        x = data
        calls.append(1)
        if not np.array_equal(x, X):
            raise KeyboardInterrupt
        return np.sum((p["W1"] @ x) ** 2)

    def look():
        with Cost(cost, collect(PARAMS)) as opened:
            forward = ForwardPass(opened, np.inf)
            forward.follow()
            (k,) = [b.index for b in forward.bound if b.label == "x"]
            forward.slope(k, 0)

    with pytest.raises(KeyboardInterrupt):
        look()
    assert np.array_equal(data, X)


def used_twice(p):
    h = p["W1"] @ X
    a = np.tanh(h)
    first = h[:1] * a[:1]
    return np.sum(a**2) + np.sum(first)


def used_within_a_call(p):
    """The statement calls a function that uses the same array."""
    h = p["W1"] @ X

    def squares():
        return np.sum(h**2)

    p["total"] = squares() + np.sum(np.sin(h))
    return p["total"]


@pytest.mark.parametrize(
    ("cost", "by_uses"),
    {
        "a whole array, and a part of it": (
            used_twice,
            lambda h: {"a": (2 * np.tanh(h) + (np.arange(4) == 0)[:, None] * h) / np.cosh(h) ** 2,
                       "first": np.tanh(h)[:1]},
        ),
        "HARD: in a statement, and in what it calls": (
            used_within_a_call,
            lambda h: {"p['total']": np.cos(h), "": 2 * h},
        ),
    }.values(),
)  # fmt: skip
def test_slopes_by_one_use_only(cost, by_uses):
    """An array is moved only while one statement reads it."""
    by_use = by_uses(PARAMS["W1"] @ X)
    with Cost(cost, collect(PARAMS)) as opened:
        forward = ForwardPass(opened, np.inf)
        forward.follow()
        (k,) = [b.index for b in forward.bound if b.label == "h" and not b.is_argument]
        for name, gradient in by_use.items():
            (use,) = [use for use in forward.uses(k) if forward.bound[use[1]].label == name]
            assert forward.size(use) == gradient.size
            known = forward.slope(k, 0, use[1])
            expected = float(gradient.ravel() @ direction(gradient.size, 0))
            assert abs(known.low - expected) <= known.bar + 1e-6 * np.linalg.norm(gradient)
