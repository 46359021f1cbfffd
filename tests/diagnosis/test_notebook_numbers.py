"""A factor may be a length, or another number, that has a name in the notebook."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.notebook_numbers import Factor, NotebookNumbers, Strength
from gradcheck_magic._inputs.pairing import pair

PARAMS = {"W": np.ones((7, 3)), "b": np.ones(7)}
GRADS = {"dW": np.ones((7, 3)), "db": np.ones(7)}
PAIRING = pair(PARAMS, GRADS)


def reading(**variables):
    """Return a cost that reads some variables under these names."""
    exec_in = dict(variables)
    body = ", ".join(exec_in) or "0"
    exec(f"def cost(p):\n    return ({body})", exec_in)  # noqa: S102 (names come from the table)
    return exec_in["cost"]


def known(cost=None, **namespace):
    return NotebookNumbers(cost or reading(), namespace, PAIRING, GRADS)


X = np.zeros((3, 40))
ROOTS = np.zeros((2, 81))


@pytest.mark.parametrize(("value", "expected"), [
    pytest.param(40, Factor("whole", 40, "X.shape[1]"), id="a length"),
    pytest.param(1 / 40, Factor("part", 40, "X.shape[1]"), id="one over it"),
    pytest.param(math.sqrt(40), Factor("root", 40, "X.shape[1]"), id="its root"),
    pytest.param(1 / math.sqrt(40), Factor("part of root", 40, "X.shape[1]"), id="one over that"),
    pytest.param(7, Factor("whole", 7, "W.shape[0]"), id="of a parameter"),
    pytest.param(11, Factor("whole", 11, ""), id="a whole number"),
    pytest.param(1 / 11, Factor("part", 11, ""), id="one over it, of no length"),
    pytest.param(9, Factor("whole", 9, "", "Z.shape[1]"), id="HARD: or the root of a length"),
    pytest.param(2, Factor("whole", 2, "Z.shape[0]"), id="two"),
    pytest.param(40 * (1 + 5e-6), Factor("whole", 40, "X.shape[1]"), id="HARD: nearly whole"),
    pytest.param(40 * (1 + 5e-5), None, id="HARD: not near enough"),
    pytest.param(1.2345, None, id="any number"),
    pytest.param(1.0, None, id="HARD: one is no factor"),
    pytest.param(math.sqrt(11), None, id="HARD: the root of no length"),
    pytest.param(2e5, None, id="too large to mean anything"),
    pytest.param(5e-6, None, id="too small"),
])  # fmt: skip
def test_factor(value, expected):
    assert known(reading(X=X, Z=ROOTS)).factor(value) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5000))
def test_every_length_is_read(n):
    numbers = NotebookNumbers(lambda p: 0.0, {"D": np.empty((n, 0))}, PAIRING, GRADS)
    # The parameters' own lengths come first.
    name = {7: "W.shape[0]", 3: "W.shape[1]"}.get(n, "D.shape[0]")
    whole, part = numbers.factor(n), numbers.factor(1 / n)
    assert (whole.kind, whole.number, whole.length) == ("whole", n, name)
    assert (part.kind, part.number, part.length) == ("part", n, name)
    assert n == 2 or {float(n), 1 / n} <= set(numbers.factors)


def test_simple_factors_come_first():
    factors = known(reading(X=X)).factors
    assert factors[:3] == (-1.0, 2.0, 0.5)
    assert factors[-2:] == (-2.0, -0.5)
    assert {3.0, 40.0, 7.0, 1 / 40} <= set(factors)


# The name of a length


@pytest.mark.parametrize(("read", "namespace", "n", "name"), [
    pytest.param({"X": X}, {"A": X.copy()}, 40, "X.shape[1]", id="what the cost reads"),
    pytest.param({"X": X}, {"data": X}, 40, "data.shape[1]", id="HARD: by the notebook's name"),
    pytest.param({}, {"A": np.zeros(7)}, 7, "W.shape[0]", id="then the parameters"),
    pytest.param({}, {"A": np.zeros(40)}, 40, "A.shape[0]", id="then the notebook"),
    pytest.param({}, {"d": {"X": X}}, 40, "d['X'].shape[1]", id="in a dict"),
    pytest.param({}, {"d": [X]}, 40, "d[0].shape[1]", id="in a list"),
    pytest.param({}, {"d": [0.0] * 33 + [X]}, 40, "", id="HARD: not in long lists: data"),
    pytest.param({}, {"_X": X}, 40, "", id="not what is private"),
    pytest.param({}, {"Out": {1: X}}, 40, "", id="not what IPython keeps"),
    pytest.param({}, {"g": GRADS, "dW": GRADS["dW"]}, 9, "", id="not the gradients"),
    pytest.param({}, {"A": np.zeros(2_000_000)[::1]}, 2_000_000, None, id="too long to mean it"),
])  # fmt: skip
def test_whose_length(read, namespace, n, name):
    factor = known(reading(**read), **namespace).factor(n)
    assert (factor and factor.length) == name


@pytest.mark.parametrize(("read", "namespace", "n", "name"), [
    pytest.param({"X": X}, {"m": 40}, 40, "m", id="called like a length"),
    pytest.param({"X": X}, {"n_samples": 40.0}, 40, "n_samples", id="HARD: in floating point"),
    pytest.param({"X": X, "many": 40}, {"m": 40}, 40, "many", id="HARD: read by the cost"),
    pytest.param({"X": X}, {"sizes": {"m": 40}}, 40, "sizes['m']", id="in a dict"),
    pytest.param({"X": X}, {"m": 40, "N": 40}, 40, "m", id="the first of two"),
    pytest.param({}, {"n": 7}, 7, "n", id="of a parameter"),
    pytest.param({"X": X}, {"epochs": 40, "n_iter": 40, "i": 40}, 40, "X.shape[1]",
        id="HARD: numbers that happen to be equal"),
    pytest.param({"X": X}, {"m": 40.5}, 40, "X.shape[1]", id="HARD: nearly equal"),
    pytest.param({"X": X}, {"m": 41}, 41, "", id="HARD: of no array"),
])  # fmt: skip
def test_the_name_of_a_number_is_preferred(read, namespace, n, name):
    """A user who has written ``m = 40`` thinks of `m`, and not of ``X.shape[1]``."""
    numbers = known(reading(**read), **namespace)
    assert numbers.factor(n).length == name
    assert numbers.factor(1 / n).length == name


@pytest.mark.parametrize(("value", "expected"), [
    (0.7 / 40, Strength("reg / m")), (0.7 - 0.7 / 40, Strength("reg / m", "reg")),
    (0.7 / 3, Strength("reg / X.shape[0]")),
])  # fmt: skip
def test_formulas_have_it_too(value, expected):
    numbers = known(reading(X=X, reg=0.7), m=40)
    assert numbers.strength(value, 1e-9 * value) == expected
    assert known(reading(X=np.zeros(6400)), m=6400).factor(80).square == "m"


def test_gradients_explain_nothing():
    """A length is no explanation if only the gradient under test has it."""
    grads = {"dW": np.ones((7, 3)), "db": np.ones(7), "extra": np.ones(23)}
    numbers = NotebookNumbers(lambda p: 0.0, {"grads": grads, "e": grads["extra"]}, PAIRING, grads)
    assert numbers.factor(23).length == ""


# Learning rates


@pytest.mark.parametrize(("name", "is_rate"), [
    ("lr", True), ("learning_rate", True), ("alpha", True), ("step_size", True), ("eta", True),
    ("LR", True), ("lr_decay", False), ("momentum", False), ("beta", False), ("learner", False),
    ("n_steps", False),
])  # fmt: skip
def test_what_is_called_a_learning_rate(name, is_rate):
    numbers = known(**{name: 0.0375})
    assert numbers.rates == ((0.0375,) if is_rate else ())
    assert numbers.rate(0.0375) == (name if is_rate else "")
    assert numbers.rate(0.0375 * (1 + 1e-8)) == ""


def test_rates_that_nobody_would_choose():
    assert known(lr=-0.1, lr2=0.0, eta=1e3, learning_rate=True, alpha=np.nan).rates == ()


# Strengths of regularisation


@pytest.mark.parametrize(("value", "expected"), [
    pytest.param(0.7, Strength("lambd"), id="λ"),
    pytest.param(-0.7, Strength("lambd"), id="λ too little"),
    pytest.param(0.7 / 40, Strength("lambd / X.shape[1]"), id="λ / m"),
    pytest.param(1.4, Strength("lambd", is_whole=False), id="twice λ"),
    pytest.param(0.35 / 40, Strength("lambd / X.shape[1]", is_whole=False), id="half of λ / m"),
    pytest.param(0.7 - 0.7 / 40, Strength("lambd / X.shape[1]", "lambd"), id="HARD: λ for λ / m"),
    pytest.param(0.71, None, id="another"),
    pytest.param(0.7 * (1 + 1e-6), None, id="HARD: near, and known better than that"),
])  # fmt: skip
def test_strength(value, expected):
    assert known(reading(X=X, lambd=0.7)).strength(value, 1e-9 * abs(value)) == expected


@pytest.mark.parametrize(("numbers", "relative", "is_found"), [
    pytest.param(known(reading(lambd=0.7)), 1e-6, True, id="known well"),
    pytest.param(known(reading(lambd=0.7)), 5e-3, True, id="known roughly, read, and called so"),
    pytest.param(known(reading(k=0.7)), 1e-6, True, id="read by the cost"),
    pytest.param(known(reading(k=0.7)), 5e-3, False, id="HARD: not called so"),
    pytest.param(known(lambd=0.7), 1e-6, True, id="called so"),
    pytest.param(known(lambd=0.7), 5e-3, False, id="HARD: not read"),
    pytest.param(known(k=0.7), 1e-6, False, id="neither"),
    pytest.param(known(learning_rate_c=0.7), 1e-6, False, id="HARD: a learning rate"),
    pytest.param(known(reading(lambd=0.7)), 5e-2, False, id="hardly known"),
])  # fmt: skip
def test_how_well_a_strength_is_known(numbers, relative, is_found):
    assert (numbers.strength(0.7, 0.7 * relative) is not None) == is_found


def test_a_hostile_namespace_is_no_error():
    """A variable that raises an error when it is read ends the search, and nothing else."""

    class Hostile(dict):
        def items(self):
            raise RuntimeError

    numbers = known(a=Hostile(b=1), lr=0.1)
    assert numbers.factor(2).kind == "whole"
    assert NotebookNumbers(None, ["W", "b"], PAIRING).factor(7).length == "W.shape[0]"
