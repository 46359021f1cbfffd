"""Entries are named by their index, and ranked by their error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_magic._result.parameter_check import (
    index_in,
    index_of,
    label,
    relative_error,
    severity,
)

NAN, INF, HUGE, TINY = math.nan, math.inf, 1.7e308, 5e-324
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("k", "shape", "index", "name"),
    [
        (0, (), (), "W"),
        (3, (5,), (3,), "W[3]"),
        (7, (2, 5), (1, 2), "W[1, 2]"),
        (23, (2, 3, 4), (1, 2, 3), "W[1, 2, 3]"),
        (4, (1, 5, 1), (0, 4, 0), "W[0, 4, 0]"),
    ],
)
def test_names_of_entries(k, shape, index, name):
    found = index_of(k, shape)
    assert found == index
    assert all(type(i) is int for i in found)
    assert label("W", found) == name
    assert index_in(name, "W") == found


BLOCKS = [
    ("∂r/∂x", (3, 1), 1, "∂r[3]/∂x[1]"),
    ("∂r/∂x", (3, 0, 1), 2, "∂r[3, 0]/∂x[1]"),
    ("∂r/∂x", (3,), 1, "∂r[3]/∂x"),
    ("∂r/∂x", (1,), 0, "∂r/∂x[1]"),
    ("∂r/∂x", (), 0, "∂r/∂x"),
    ("∂f[0]/∂params[1]", (3, 1), 1, "∂f[0][3]/∂params[1][1]"),
]


@pytest.mark.parametrize(("name", "index", "axes", "text"), BLOCKS)
def test_names_of_entries_of_a_jacobian(name, index, axes, text):
    if axes:
        assert label(name, index, axes) == text
    assert index_in(text, name) == index


@pytest.mark.parametrize("text", ["W", "r[3]", "∂r[3]/∂W[1]", "∂r[a]/∂x", "∂r/∂x[1.5]", ""])
def test_no_such_entry(text):
    assert index_in(text, "∂r/∂x") is None


@pytest.mark.parametrize(
    ("numerical", "analytic", "error"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 3.0, 0.5),
        (0.0, 0.0, 0.0),
        pytest.param(1.0, 0.0, 1.0, id="zero is given"),
        pytest.param(1.0, -1.0, 1.0, id="the other sign"),
        pytest.param(HUGE, -HUGE, 1.0, id="the sum overflows"),
        pytest.param(HUGE, HUGE, 0.0, id="so does that of equal ones"),
        pytest.param(1.0, NAN, NAN, id="no number"),
        pytest.param(INF, INF, NAN, id="infinite"),
    ],
)
def test_relative_error(numerical, analytic, error):
    found = relative_error(np.array([numerical]), np.array([analytic]))
    np.testing.assert_equal(found, [error])


@given(finite, finite)
def test_relative_error_is_a_share(numerical, analytic):
    """The error is between 0 and 1, and does not change if both are exchanged or negated."""
    one, other = np.array([numerical]), np.array([analytic])
    (found,) = relative_error(one, other)
    assert 0 <= found <= 1
    assert relative_error(other, one) == relative_error(-one, -other) == found


def test_ranks():
    """The ranks are: not a number, wrong, merely off, equal, not measured."""
    rows = [
        # analytic, numerical, wrong
        (NAN, 1.0, True),
        (1.0, -1.0, True),
        (1.0, 1.1, True),
        (1.0, -1.0, False),
        (1.0, 1.1, False),
        (1.0, 1.0, False),
        (1.0, NAN, False),
    ]
    ranks = severity(*map(np.array, zip(*rows, strict=True)))
    assert (np.diff(ranks) < 0).all()
    assert ranks[0] == severity(np.array([-INF]), np.array([NAN]), np.array([False])) == INF
