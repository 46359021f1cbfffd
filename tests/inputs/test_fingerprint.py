"""A fingerprint changes if and only if a bit of θ or of the gradient changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._inputs.fingerprint import BYTES_AT_ONCE, changed_since, digest, fingerprint
from gradcheck_magic._inputs.pairing import pair

LAYOUTS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: np.flip(np.flip(a).copy()),
}


def of(array, name="W"):
    return digest([(name, array)])


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 300),
    dtype=st.sampled_from(["f8", "f4", "f2"]),
    where=st.integers(0, 10**6),
)
def test_any_single_bit(size, dtype, where):
    """A bit counts even if the size is not a multiple of the words in which arrays are read."""
    array = np.random.default_rng(size).normal(size=size).astype(dtype)
    other = array.copy()
    where %= 8 * array.nbytes
    other.view(np.uint8)[where // 8] ^= 1 << where % 8
    assert of(array.copy()) == of(array) != of(other)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shape", [(7, 3), (300, 301)])
def test_not_of_the_layout(layout, shape):
    array = np.random.default_rng(0).normal(size=shape)
    assert of(layout(array)) == of(array)


BASE = np.arange(1.0, 13.0)
OTHERS = [
    pytest.param(lambda: of(BASE, "V"), id="name"),
    pytest.param(lambda: of(BASE.reshape(3, 4)), id="shape"),
    pytest.param(lambda: of(BASE.view(np.int64)), id="dtype"),
    pytest.param(lambda: of(BASE[::-1]), id="order"),
    pytest.param(lambda: of(BASE * np.where(np.arange(12) < 2, -1, 1)), id="two signs"),
    pytest.param(lambda: of(np.append(BASE, 0)), id="a zero more"),
    pytest.param(lambda: digest([("W", BASE[:6]), ("W", BASE[6:])]), id="in two parts"),
    pytest.param(lambda: digest([]), id="nothing"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_not_alike(other):
    assert other() != of(BASE)


def test_zeros_of_either_sign_differ():
    """They are equal, but their bits differ."""
    assert of(np.array([0.0])) != of(np.array([-0.0]))


def test_names_that_no_text_may_hold():
    assert of(BASE, "\ud800") != of(BASE, "\ud801")


@pytest.mark.parametrize("k", range(6))
def test_only_so_much(k):
    """Of six blocks, three are read, evenly spaced: the first, the third and the fifth."""
    n = BYTES_AT_ONCE // 8
    array = np.zeros(6 * n)
    other = array.copy()
    other[k * n + 7] = 1
    most = 3 * BYTES_AT_ONCE
    seen = k in {0, 2, 4}
    assert (digest([("W", array)], most) != digest([("W", other)], most)) is seen
    assert of(array) != of(other)


W, b = np.array([[1.0, 2.0]]), np.array([3.0])


def fingerprint_of(W=W, b=b, dW=W, db=b, **options):
    return fingerprint(pair({"W": W, "b": b}, {"dW": dW, "db": db}, **options))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({"W": W + 1}, ("θ",)),
        ({"dW": W + 1}, ("the gradient",)),
        ({"b": b + 1, "db": -b}, ("θ", "the gradient")),
    ],
)
def test_what_has_changed(change, expected):
    assert changed_since(fingerprint_of(), fingerprint_of(**change)) == expected


@pytest.mark.parametrize(("change", "expected"), [({"b": b + 1}, ("θ",)), ({"db": b + 1}, ())])
def test_what_is_held_fixed(change, expected):
    """The cost depends on a fixed parameter, but its gradient is not under test."""
    before, now = fingerprint_of(only=["W"]), fingerprint_of(only=["W"], **change)
    assert changed_since(before, now) == expected


@pytest.mark.parametrize(("before", "now"), [("", "a:b"), ("a:b", ""), ("", "")])
def test_nothing_is_said_of_what_is_not_known(before, now):
    assert changed_since(before, now) == ()
