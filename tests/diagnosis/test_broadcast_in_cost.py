"""If (n,) meets (n, 1) in a cost, the watch computes entry by entry, and records the line."""

import numpy as np
import pytest

from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastWatch

N = 4
P, Y = np.arange(1.0, N + 1), np.array([1.0, 0.0, 2.0, 5.0])


@pytest.mark.parametrize(("one", "other", "is_found"), [
    pytest.param((N,), (N, 1), True, id="vector and column"),
    pytest.param((N, 1), (N,), True, id="column and vector"),
    pytest.param((N,), (N,), False, id="two vectors"),
    pytest.param((N, 1), (N, 1), False, id="two columns"),
    pytest.param((N,), (N + 1, 1), False, id="HARD: of other lengths: meant so"),
    pytest.param((1, N), (N, 1), False, id="HARD: a row and a column: meant so"),
    pytest.param((1,), (1, 1), False, id="HARD: of length 1, nothing is square"),
    pytest.param((N,), (N, N), False, id="a vector and a matrix"),
    pytest.param((N, 1), (N, N), False, id="HARD: a column and a matrix: meant so"),
    pytest.param((), (N, 1), False, id="a number"),
    pytest.param((N,), (N, 1, 1), False, id="three axes"),
])  # fmt: skip
def test_pairs(one, other, is_found):
    watch = BroadcastWatch()
    pair = np.ones(one), np.ones(other)
    mended = [np.shape(x) for x in watch.paired(pair)]
    assert mended == ([(N,), (N,)] if is_found else [one, other])
    assert watch.shapes == ([(one, other)] if is_found else [])


def mean_square(p, y):
    return np.mean((p - y) ** 2)


@pytest.mark.parametrize("cost", [
    pytest.param(mean_square, id="ordinary"),
    pytest.param(lambda p, y: mean_square(p * 1.0, y), id="HARD: computed from it"),
    pytest.param(lambda p, y: mean_square(np.concatenate([p[:1], p[1:]]), y), id="HARD: joined"),
    pytest.param(lambda p, y: mean_square(-(y - 2 * p), -p), id="HARD: on the right"),
    pytest.param(lambda p, y: mean_square(np.subtract(p, y, out=np.empty(N)), 0), id="HARD: out="),
    pytest.param(lambda p, y: np.mean((p - y) ** 2, where=p > 0), id="HARD: where="),
])  # fmt: skip
def test_entry_by_entry(cost):
    """The cost has the value that it would have for two vectors."""
    watch = BroadcastWatch()
    value = cost(watch.over(P), Y[:, None])
    assert value == pytest.approx(cost(P, Y))
    assert watch.shapes


@pytest.mark.parametrize("cost", [
    pytest.param(lambda p: mean_square(p, Y), id="no column"),
    pytest.param(lambda p: np.sum(p[:, None] - p[None, :]), id="HARD: all pairs, as meant"),
    pytest.param(lambda p: np.sum(np.outer(p, p)), id="HARD: an outer product, by name"),
    pytest.param(lambda p: p @ np.diag(Y) @ Y[:, None], id="HARD: products of matrices"),
    pytest.param(lambda p: float(np.add.reduce(p)), id="a reduction"),
])  # fmt: skip
def test_others_are_as_without_watching(cost):
    watch = BroadcastWatch()
    with np.errstate(all="raise"):
        assert float(np.sum(cost(watch.over(P)))) == float(np.sum(cost(P)))
    assert watch.shapes == []


def test_the_line():
    watch = BroadcastWatch()
    residual = watch.over(P) - Y[:, None]
    assert residual.shape == (N,)
    assert watch.lines == ["residual = watch.over(P) - Y[:, None]"]


def test_the_array_itself_is_not_touched():
    own = P.copy()
    watched = BroadcastWatch().over(own)
    assert np.shares_memory(watched, own)
    assert type(own) is np.ndarray


def test_over():
    """After the watch, an array that was kept is like any other, and so are its results."""
    watch = BroadcastWatch()
    kept = watch.over(P)
    watch.is_over = True
    square = kept - Y[:, None]
    assert type(square) is np.ndarray
    np.testing.assert_array_equal(square, P - Y[:, None])
    assert watch.shapes == []
