"""Where several kinks meet, the gradient of any place near by is right."""

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients

RIGHT, OPEN, BUG = {Verdict.CORRECT}, {Verdict.CORRECT, Verdict.INCONCLUSIVE}, {Verdict.BUG}


def network(seed, *, pruned, hidden=6, tie=0.0, unit=1.0):
    """Return parameters, the gradient and the cost of a network with units that are all zero."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    p = {"W": unit * rng.normal(size=(3, hidden)), "b": unit * rng.normal(size=hidden)}
    p["v"] = rng.normal(size=hidden)
    p["W"][:, pruned], p["b"][pruned] = 0.0, 0.0

    def forward(p):
        Z = (X @ p["W"] + p["b"]) / unit
        return Z, np.maximum(Z, 0)

    def cost(p):
        return float(np.mean((forward(p)[1] @ p["v"] - y) ** 2))

    Z, A = forward(p)
    r = 2 * (A @ p["v"] - y) / 9
    dZ = r[:, None] * p["v"] * np.where(Z == 0, tie, Z > 0) / unit
    return p, {"dW": X.T @ dZ, "db": dZ.sum(axis=0), "dv": A.T @ r}, cost


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param({"pruned": [2]}, RIGHT, id="relu'(0) = 0"),
        pytest.param({"pruned": [2], "tie": 1.0}, RIGHT, id="relu'(0) = 1"),
        pytest.param({"pruned": [2], "tie": 0.5}, RIGHT, id="relu'(0) = 1/2"),
        pytest.param({"pruned": [0, 3, 4]}, RIGHT, id="three units"),
        pytest.param({"pruned": range(6)}, RIGHT, id="not initialised yet"),
        pytest.param({"pruned": [2], "unit": 1e-6}, OPEN, id="in a small unit"),
    ],
)
def test_units_that_are_zero(made, expected, seed):
    assert check_gradients(*network(seed, **made)).verdict in expected


def maxout(seed):
    """Return parameters, the gradient and the cost of two units of three equal pieces each."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    p = {"W": np.tile(rng.normal(size=(1, 4, 2)), (3, 1, 1)), "b": np.zeros((3, 2))}
    V = rng.normal(size=(2, 2))

    def cost(p):
        Z = np.einsum("nd,kdh->nkh", X, p["W"]) + p["b"]
        return float(np.sum((Z.max(axis=1) @ V - Y) ** 2) / 12)

    dZ = (X @ p["W"][0] @ V - Y) / 6 @ V.T
    first = np.array([1.0, 0.0, 0.0])
    dW = first[:, None, None] * (X.T @ dZ)
    return p, {"dW": dW, "db": np.outer(first, dZ.sum(axis=0))}, cost


@pytest.mark.parametrize("seed", range(12))
def test_pieces_that_are_equal(seed):
    """Each example may choose any of them."""
    assert check_gradients(*maxout(seed)).verdict not in BUG


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda g: {**g, "dv": -g["dv"]}, id="another parameter is wrong"),
        pytest.param(lambda g: {**g, "dW": -g["dW"]}, id="its own parameter is wrong"),
        pytest.param(lambda g: {**g, "db": 2 * g["db"]}, id="its bias is wrong"),
    ],
)
def test_wrong_beside_units_that_are_zero(change):
    """The other entries show what is wrong."""
    for seed in range(4):
        params, grads, cost = network(seed, pruned=[2])
        assert check_gradients(params, change(grads), cost).verdict in BUG


@pytest.mark.parametrize("value", [0.0, 1.0, 5.0])
def test_opposite_kinks(value):
    """J is the larger one of two numbers: moving both moves nothing, and any weights are right."""
    theta = np.array([1.0, 1.0])
    found = check_gradients(theta, np.array([value, 1 - value]), lambda x: float(max(x)) + 0 * x[0])
    assert found.verdict in (OPEN if value <= 1 else OPEN | BUG)


def test_kinks_that_do_not_meet():
    """At the kinks of a lasso, what is beyond the slopes on both sides remains wrong."""
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(20, 8)), rng.normal(size=20), rng.normal(size=8)
    w[::2] = 0

    def cost(w):
        return float(np.mean((X @ w - y) ** 2) / 2 + 0.1 * np.abs(w).sum())

    right = X.T @ (X @ w - y) / 20 + 0.1 * np.sign(w)
    assert check_gradients(w, right, cost).verdict in RIGHT
    off = np.where(w == 0, 0.2, 0.0)
    found = check_gradients(w, right + off, cost)
    assert found.verdict in BUG
    assert {index for _, index in found.wrong_entries} == {(0,), (2,), (4,), (6,)}


def opposite(x):
    return abs(x[0] + x[1]) - abs(x[0] - x[1]) / 2


def largest_of_three(x):
    return max(0.5 * x[0] + x[1], 2 * x[0] + x[1], 0.0)


def sorted_sizes(x):
    return float(np.sort(np.abs(x)) @ np.arange(1.0, len(x) + 1))


def hinges(x):
    return sum(max(0.0, 1 - label * (x[0] * a + x[1])) for a, label in ((1, 1), (2, 1), (-1, -1)))


def clipped(x):
    return (min(max(x[0] + x[1], -1.0), 1.0) - 2) ** 2 + min(max(x[0] - x[1], -1.0), 1.0)


def two_layers(x):
    first = np.maximum([x[0], -x[0] + x[1]], 0)
    return float(np.maximum([first[0] - 2 * first[1] + x[2], first[1] + x[2]], 0) @ [1.0, -0.5])


@pytest.mark.parametrize(
    ("cost", "at", "right", "wrong"),
    [
        pytest.param(
            largest_of_three, [0, 0], [[0.5, 1], [2, 1], [0, 0]], [[5, 1]], id="a maximum"
        ),
        pytest.param(
            opposite, [0, 0], [[1.5, 0.5], [0.5, 1.5], [-0.5, -1.5]], [[9, 0]], id="opposite signs"
        ),
        pytest.param(
            sorted_sizes, [0, 0, 0], [[1, 2, 3], [3, 1, 2], [0, 0, 0]], [[4, 1, 2]], id="sorted"
        ),
        pytest.param(hinges, [1, 0], [[0, 0], [-1, -1], [-2, 0]], [[1, 0], [-4, -1]], id="hinges"),
        pytest.param(clipped, [1, 0], [[-1, -3], [0, 0], [1, -1]], [[9, 0]], id="clips"),
        pytest.param(
            two_layers,
            [0, 0, 0],
            [[0, 0, 0], [1, 0, 1], [2.5, -2.5, 0.5]],
            [[0, 0, 9]],
            id="layers",
        ),
    ],
)
def test_choices_at_a_tie(cost, at, right, wrong):
    """What each kink by itself allows is not accused, and what no sides of kinks explain is."""
    for grads, expected in ((right, OPEN), (wrong, BUG)):
        for grad in grads:
            theta = np.array(at, dtype=float)
            assert check_gradients(theta, np.array(grad, dtype=float), cost).verdict in expected


def test_wrong_where_several_kinks_meet():
    """The slope never turns back where J is convex, so that its own two slopes are the bounds."""
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(8, 3)), rng.integers(4, size=8)

    def cost(W):
        scores = X @ W + 1 - np.eye(4)[labels]
        return float(np.mean(scores.max(axis=1) - (X * W.T[labels]).sum(axis=1)))

    most = np.eye(4)[(1 - np.eye(4)[labels]).argmax(axis=1)]
    right = X.T @ (most - np.eye(4)[labels]) / 8
    assert check_gradients(np.zeros((3, 4)), right, cost).verdict in RIGHT
    for wrong in (-right, 3 * right, X.T @ most / 8):
        assert check_gradients(np.zeros((3, 4)), wrong, cost).verdict in BUG


def test_what_is_said_where_it_cannot_be_told():
    """Other slopes are met near by, but not the value under test: not every place was tried."""
    found = check_gradients(np.zeros(2), np.array([3.0, 0.0]), opposite)
    assert found.verdict is Verdict.INCONCLUSIVE
    said = "Several kinks of `opposite` meet at θ in `params[0]`: near by,"
    assert found.reasons[0].startswith(said)


def test_a_noisy_cost():
    """With noise, the places are farther apart; with more noise, no entry on a kink is accused."""
    for noise, expected in ((1e-9, RIGHT), (1e-3, OPEN)):
        params, grads, cost = network(1, pruned=[2])
        table = noise * np.random.default_rng(0).normal(size=997)

        def noisy(p, cost=cost, table=table):
            return cost(p) + table[hash(p["W"].tobytes() + p["b"].tobytes()) % 997]

        assert check_gradients(params, grads, noisy).verdict in expected | OPEN
