"""Complex numbers are pairs of real ones; a conjugate is missed where it is missing."""

import numpy as np
import pytest

from gradcheck_magic import check_gradients
from gradcheck_magic._backward.arrays import as_array, as_complex, moved
from gradcheck_magic._backward.layouts import layouts_of
from gradcheck_magic._inputs.pairing import pair
from tests.support.passes import checked, passes

Z = np.arange(24).reshape(4, 6) * (1 - 2j)
VIEWS = [
    pytest.param(Z, id="plain"),
    pytest.param(Z.T, id="HARD: transposed"),
    pytest.param(Z[::-1, ::2], id="HARD: a part"),
    pytest.param(np.asfortranarray(Z), id="by columns"),
    pytest.param(Z.astype(np.complex64), id="single"),
    pytest.param(np.array(1j), id="HARD: without an axis"),
    pytest.param(np.zeros((0, 3), complex), id="empty"),
]


@pytest.mark.parametrize("array", VIEWS)
def test_pairs(array):
    pairs = as_array(array)
    assert pairs.shape == (*array.shape, 2)
    assert np.shares_memory(pairs, array) or not array.size
    back = as_complex(pairs)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_moved():
    move = np.arange(48.0)
    there = moved(Z, move)
    np.testing.assert_array_equal(there - Z, (move[::2] + 1j * move[1::2]).reshape(4, 6))


def test_side_by_side():
    """The parts of a complex parameter come together; those of a real one stay where they are."""
    params = {"a": np.ones(2), "z": np.array([1 + 2j, 3 + 4j, 5 + 6j]), "b": np.ones(1)}
    grads = {name: 2 * value for name, value in params.items()}
    grads["z"] = grads["z"] + np.array([0, 1j, 0])
    check = check_gradients(
        params, grads, lambda p: sum(np.sum(np.abs(value) ** 2) for value in p.values())
    )
    ((check, pairing, told),) = layouts_of(check, pair(params, grads))
    assert told == {"a": ["a"], "z": ["z.real", "z.imag"], "b": ["b"]}
    assert [(p.name, p.start, p.size, p.shape) for p in check.parameters] == [
        ("a", 0, 2, (2,)), ("z", 2, 6, (3, 2)), ("b", 8, 1, (1,))
    ]  # fmt: skip
    np.testing.assert_array_equal(check.measured, np.arange(9))
    np.testing.assert_array_equal(check.analytic, [2, 2, 2, 4, 6, 9, 10, 12, 2])
    np.testing.assert_array_equal(np.flatnonzero(check.wrong), [5])
    np.testing.assert_array_equal(np.concatenate(pairing.gradients), check.analytic)
    assert [p.array.shape for p in pairing.parameters.leaves] == [(2,), (3, 2), (1,)]


(CELL,) = passes("complex_cell")
NAMED = [
    "dout = 2*(out - Y).conj()/out.size",
    "dU += np.outer(dp, hs[t])",
    "dA1 = dout @ W2.T",
    "dr = (dA1*Z1).real*(1 - t**2)",
    "dW1 = X.T @ dZ1",
]


@pytest.mark.parametrize("line", NAMED)
def test_a_conjugate_that_is_missing(line):
    (slip,) = [each for each in CELL.slips if each.line == line or each.line.strip() == line]
    check = checked(CELL, slip, "--trace")
    (fault, *_) = check.backward.faults
    assert fault.lines[0].text == line
    assert all(name.endswith((".real", ".imag")) for name in fault.parameters)


def test_right_pass():
    check = checked(CELL)
    assert check.passed
    assert check.backward is None
