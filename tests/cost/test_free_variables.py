"""The variables that a function reads besides its arguments are found without calling it."""

import functools
import math

import pytest

from gradcheck_magic._cost.free_variables import (
    closure_variables,
    global_variables,
    instance_attributes,
    until_error,
    variables_read,
)

rate = 0.5
unused = 7
shape = "not this one"


def helper(x):
    return rate * x


def calls_helper(x):
    return helper(x)


def three_deep(x):
    return calls_helper(x) + one_more(x)


def one_more(x):
    return two_more(x)


def two_more(x):
    return too_deep(x)


def too_deep(x):
    return unused * x


def reads_inside(xs):
    return map(lambda x: rate + x.shape, xs)  # noqa: C417 (a function inside)


def closure(weight):
    later_value = None
    del later_value

    def cost(x):
        return weight * x + later

    if weight is None:
        later = 1
    return cost


class Model:
    def __init__(self):
        self.weight = 3
        self.scale = rate

    @property
    def loss(self):
        raise AssertionError("nobody asks for what it would have to compute")

    def cost(self, x):
        return self.weight * x + unused


@functools.cache
def cached(x):
    return rate * x


def with_default(x, scale=2):
    return rate * scale * x


READ = [
    pytest.param(helper, {"rate": 0.5}, id="a global variable"),
    pytest.param(calls_helper, {"rate": 0.5}, id="by a function that it calls"),
    pytest.param(three_deep, {"rate": 0.5}, id="not beyond two calls"),
    pytest.param(reads_inside, {"rate": 0.5}, id="in a function inside, and no attribute"),
    pytest.param(closure(4), {"weight": 4}, id="captured, and one not yet assigned"),
    pytest.param(
        Model().cost, {"self.weight": 3, "self.scale": 0.5, "unused": 7}, id="a bound method"
    ),
    pytest.param(cached, {"rate": 0.5}, id="inside a wrapper"),
    pytest.param(
        functools.partial(with_default, 1, scale=9), {"args[0]": 1, "scale": 9, "rate": 0.5},
        id="a partial",
    ),
    pytest.param(
        functools.partial(functools.partial(with_default, 1), scale=9),
        {"scale": 9, "args[0]": 1, "rate": 0.5}, id="a partial of a partial",
    ),
    pytest.param(math.sin, {}, id="a function without code"),
    pytest.param(3, {}, id="no function"),
    pytest.param(len, {}, id="a built-in, which belongs to a module"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "expected"), READ)
def test_read_by(function, expected):
    assert dict(variables_read(function)) == expected


@pytest.mark.parametrize(("depth", "expected"), [(0, set()), (1, {"rate"}), (2, {"rate"})])
def test_depth(depth, expected):
    assert {name for name, _ in variables_read(three_deep, depth)} == set() | (
        expected if depth > 1 else set()
    )
    assert {name for name, _ in variables_read(calls_helper, depth)} == expected


def test_recursion_ends():
    assert dict(variables_read(recursive)) == {"rate": 0.5}


def recursive(x):
    return recursive(x - rate)


def test_captured():
    assert dict(closure_variables(closure(4))) == {"weight": 4}
    assert dict(closure_variables(helper)) == {}


def test_globals_read():
    assert dict(global_variables(reads_inside)) == {"rate": 0.5}
    assert set(dict(global_variables(calls_helper))) == {"helper"}


def test_attributes():
    """Attributes are read from the object itself; an object without any gives none."""
    assert dict(instance_attributes(Model())) == {"weight": 3, "scale": 0.5}
    assert dict(instance_attributes(3)) == {}


def test_up_to_where_it_raises():
    def hostile():
        yield "a", 1
        raise RuntimeError

    assert list(until_error(hostile())) == [("a", 1)]
