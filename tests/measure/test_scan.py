"""A scan finds exactly the wrong entries among many, and accuses no others."""

import functools
import itertools
import json
import math
import re
import time
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ACTIVATIONS, Network

from gradcheck_magic import Cause, GradientCheckInterrupted, Verdict, check_gradients
from gradcheck_magic._cost.directions import Direction, likely_magnitude

SCAN = functools.partial(check_gradients, mode="scan")
# The evaluations that a scan may take for a correct gradient, and for each wrong entry.
ONCE, EACH = 60, 90


@functools.cache
def network(activation, seed=0):
    net = Network.small(activation, seed)
    return net, net.grads()


def scanned(activation, plant=lambda _: None, seed=0):
    """Scan a network after planting errors in a copy of its gradients."""
    net, right = network(activation, seed)
    grads = {name: grad.copy() for name, grad in right.items()}
    plant(grads)
    return SCAN(net.params, grads, net.cost, seed=seed)


def planted(grads, count, random):
    """Make some entries wrong by half, but no small ones; return which."""
    found = set()
    names = list(grads)
    while len(found) < count:
        grad = grads[names[random.integers(len(names))]]
        sizes = np.abs(grad)
        k = random.choice(np.flatnonzero(sizes >= np.median(sizes[sizes > 0])))
        name = next(name for name in names if grads[name] is grad)
        index = tuple(int(i) for i in np.unravel_index(k, grad.shape))
        if (name, index) not in found:
            found.add((name, index))
            grad[index] *= 1.5
    return found


# Single entries


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 25])
@pytest.mark.parametrize("seed", [0, 1])
def test_exactly_what_was_planted(activation, count, seed):
    random = np.random.default_rng(100 + seed)
    expected = set()
    check = scanned(activation, lambda g: expected.update(planted(g, count, random)), seed)
    assert set(check.wrong_entries) == expected
    assert check.verdict is (Verdict.BUG if count else Verdict.CORRECT)
    assert check.n_evaluations <= ONCE + EACH * count
    named = {name for diagnosis in check.diagnoses for name in diagnosis.names}
    assert named == {name for name, _ in expected}


@pytest.mark.parametrize(
    ("sign", "names"), [(1, ("W1", "W1")), (-1, ("W1", "W1")), (-1, ("W2", "b3"))]
)
def test_errors_of_one_size_do_not_cancel(sign, names):
    """With directions made only of signs, they would cancel half of the time."""
    for seed in range(20):
        random = np.random.default_rng(seed)

        def plant(grads, random=random):
            for factor, name in zip((1, sign), names, strict=True):
                flat = grads[name].reshape(-1)
                flat[random.integers(flat.size)] += 1e-3 * factor

        assert len(scanned("tanh", plant, seed).wrong_entries) == 2


def test_power_holds():
    """An error slightly larger than `detectable` is found, here every time."""
    net, right = network("tanh")
    promised = {p.name: p.detectable for p in SCAN(net.params, right, net.cost).parameters}
    random = np.random.default_rng(0)
    for name, _ in itertools.product(promised, range(12)):
        grads = {key: grad.copy() for key, grad in right.items()}
        k = int(random.integers(grads[name].size))
        flat = grads[name].reshape(-1)
        # An entry that is off by less than 2e-5 of itself is not called wrong.
        flat[k] += random.choice([-1, 1]) * max(1.05 * promised[name], 2.1e-5 * abs(flat[k]))
        check = SCAN(net.params, grads, net.cost)
        index = tuple(int(i) for i in np.unravel_index(k, grads[name].shape))
        assert check.wrong_entries == ((name, index),)


@pytest.mark.parametrize("amplitude", [0, 1e-11, 1e-9])
def test_power_is_computed(amplitude):
    """`detectable` follows the noise of the cost: errors of that size are found."""
    x = np.linspace(1.4, 1.5, 400)
    noise = np.random.default_rng(0).normal(size=10_000)

    def cost(theta):
        # The noise is the same wherever θ is, like that of a long sum in another order.
        return float(np.sum(np.sin(theta))) + amplitude * noise[crc32(theta) % len(noise)]

    def with_error(size):
        grad = np.cos(x)
        # An entry that is off by less than 2e-5 of itself is not called wrong.
        grad[123] += max(size, 2.1e-5 * grad[123] * (size > 0))
        return SCAN(x, grad, cost)

    right = with_error(0)
    assert right.passed
    assert with_error(1.05 * right.detectable).wrong_entries == (("params", (123,)),)
    assert right.detectable > 10 * amplitude


# Regions


def row(grads):
    grads["W1"][20] *= 2


def column(grads):
    grads["W2"][:, 7] *= -1


def whole(grads):
    grads["W1"] *= 2


def zero(grads):
    grads["W2"][:] = 0


REGIONS = [
    pytest.param(row, "W1[20, :]", "SLICE", id="row"),
    pytest.param(column, "W2[:, 7]", "SLICE", id="column"),
    pytest.param(whole, "W1", "SCALE", id="whole parameter, zeros in it"),
    pytest.param(zero, "W2", "ZERO", id="zero"),
]


@pytest.mark.parametrize(("plant", "where", "cause"), REGIONS)
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_region(plant, where, cause, activation):
    """A wrong region is not listed entry by entry: it is sampled and named."""
    check = scanned(activation, plant)
    (wrong,) = [p for p in check.parameters if p.verdict is Verdict.BUG]
    (region,) = wrong.regions
    assert region.label == where
    assert region.n_wrong == region.n_tried
    assert check.n_evaluations <= 250
    assert [diagnosis.cause.name for diagnosis in check.diagnoses] == [cause]
    assert any(reason.startswith(f"`{where}` is wrong: all") for reason in check.reasons)
    assert {name for name, _ in check.wrong_entries} == {wrong.name}


@pytest.mark.parametrize(
    ("plant", "where"), [(row, "Row 20 of `grads['W1']`"), (column, "Column 7 of `grads['W2']`")]
)
def test_a_line_is_called_a_line(plant, where):
    """A wrong row or column is named as such, not by the entries that were sampled."""
    (diagnosis,) = scanned("tanh", plant).diagnoses
    assert diagnosis.sentence.startswith(f"{where} is ")


def test_a_row_of_a_table_that_is_hardly_read():
    """Few rows of the table have a gradient; the error is one row's, not the whole table's."""
    random = np.random.default_rng(0)
    E, rows = random.normal(size=(10_000, 16)), [17, *random.integers(10_000, size=60)]

    def cost(E):
        return float(np.sum(np.tanh(E[rows]) ** 2))

    grad = np.zeros_like(E)
    np.add.at(grad, rows, 2 * np.tanh(E[rows]) * (1 - np.tanh(E[rows]) ** 2))
    assert SCAN(E, grad, cost)
    grad[17] *= 0.5
    (diagnosis,) = SCAN(E, grad, cost).diagnoses
    assert diagnosis.cause.name == "SLICE"
    assert diagnosis.sentence.startswith("Row 17 of `grads` is 0.5000 times the numerical gradient")


def test_two_rows_and_an_entry():
    """A wrong region that is known does not hide other errors."""

    def plant(grads):
        grads["W1"][[20, 43]] *= 2
        grads["W1"][30, 3] += 0.1
        grads["b1"][5] += 0.1

    check = scanned("tanh", plant)
    by_name = {p.name: p for p in check.parameters}
    assert sorted(r.label for r in by_name["W1"].regions) == ["W1[20, :]", "W1[43, :]"]
    assert {("W1", (30, 3)), ("b1", (5,))} <= set(check.wrong_entries)
    assert {index[0] for name, index in check.wrong_entries if name == "W1"} == {20, 30, 43}


def test_a_row_and_single_entries():
    """The region is named, and the entries outside it are listed individually."""
    random = np.random.default_rng(0)
    W = random.normal(size=(60, 60))
    for seed in range(15):
        grad = 2 * W
        grad[5] *= 2
        places = random.choice(np.arange(600, 3600), 6, replace=False)
        grad.reshape(-1)[places] *= 1.5
        check = SCAN(W, grad, lambda W: float((W**2).sum()), seed=seed)
        assert [r.label for r in check.parameters[0].regions] == ["params[5, :]"]
        outside = {index for _, index in check.wrong_entries if index[0] != 5}
        assert outside == {divmod(int(k), 60) for k in places}


def test_scattered():
    """If a third of the entries is wrong, the report says so, with the number sampled."""

    def plant(grads):
        grads["W1"][np.random.default_rng(0).random(grads["W1"].shape) < 1 / 3] += 1e-2

    check = scanned("tanh", plant)
    (region,) = check.parameters[0].regions
    assert region.label == "W1"
    assert 0 < region.n_wrong < region.n_tried
    assert f"{region.n_wrong} of {region.n_tried} sampled" in check.reasons[0]
    assert check.n_evaluations < 400


def test_kernel():
    """A slice of an array with four axes is named by the index that a user would type."""
    random = np.random.default_rng(0)
    K, X = random.normal(size=(8, 6, 5, 5)), random.normal(size=(40, 8, 6, 5, 5))

    def cost(K):
        return float(np.mean(np.tanh(np.einsum("nabcd,abcd->n", X, K) / 10)))

    slopes = 1 - np.tanh(np.einsum("nabcd,abcd->n", X, K) / 10) ** 2
    grad = np.einsum("n,nabcd->abcd", slopes, X) / 400
    assert SCAN(K, grad, cost)
    grad[:, 2] *= 3
    check = SCAN(K, grad, cost)
    assert [r.label for r in check.parameters[0].regions] == ["params[:, 2, :, :]"]


# The difference


@pytest.mark.parametrize(
    ("plant", "spread"),
    [
        pytest.param(lambda g: None, None, id="right"),
        pytest.param(lambda g: g["W1"].__setitem__((5, 6), 1.0), 1e-15, id="entry"),
        pytest.param(whole, 1e-4, id="factor"),
        pytest.param(row, None, id="row"),
        pytest.param(zero, None, id="zero"),
    ],
)
def test_difference_is_estimated(plant, spread):
    """The estimate is within its spread, which is small for single entries and for a factor."""
    net, right = network("tanh")
    check = scanned("tanh", plant)
    grads = {name: grad.copy() for name, grad in right.items()}
    plant(grads)
    wrong, true = (np.concatenate([g[n].ravel() for n in net.params]) for g in (grads, right))
    difference = np.linalg.norm(wrong - true) / (np.linalg.norm(wrong) + np.linalg.norm(true))
    # The differences themselves are known only to 1e-5.
    told = max(4 * check.difference_uncertainty, 1e-5 * difference if spread else 0)
    assert abs(check.difference - difference) <= told
    assert spread is None or check.difference_uncertainty <= spread * difference
    assert check.difference_text.startswith("≈ ")


# No false accusation


def test_kinks():
    """With biases and inputs of zero, θ is at the kinks of many units at once."""
    for seed in range(10):
        net = Network.small("ReLU", seed)
        net.X = net.X.copy()
        net.X[:10] = 0
        for name in ("b1", "b2"):
            net.params[name][:] = 0
        check = SCAN(net.params, net.grads(), net.cost, seed=seed)
        assert check.verdict in {Verdict.CORRECT, Verdict.INCONCLUSIVE}
        assert not check.wrong_entries


def test_kinks_are_many():
    """Every step crosses too many kinks to tell them apart, and none is called a bug."""
    X = np.random.default_rng(0).normal(size=(4000, 300))
    w = np.random.default_rng(1).normal(size=300) * 1e-3
    right = X.T @ np.sign(X @ w) / len(X)
    check = SCAN(w, right, lambda w: float(np.mean(np.abs(X @ w))))
    assert check.verdict in {Verdict.CORRECT, Verdict.INCONCLUSIVE}
    assert not check.wrong_entries


@pytest.mark.parametrize("cost_too", [False, True])
def test_single_precision(cost_too):
    net, _ = network("tanh")
    params = {name: array.astype(np.float32) for name, array in net.params.items()}
    narrow = Network.small("tanh", 0)
    narrow.params = {name: array.astype(np.float64) for name, array in params.items()}
    grads = {name: grad.astype(np.float32) for name, grad in narrow.grads().items()}

    def cost(p):
        value = net.cost(p)
        return np.float32(value) if cost_too else value

    check = SCAN(params, grads, cost)
    assert check.verdict in {Verdict.CORRECT, Verdict.INCONCLUSIVE}
    assert not check.wrong_entries
    grads["W1"] *= 2
    assert SCAN(params, grads, cost).verdict is Verdict.BUG


def test_too_blunt():
    """A scan in single precision says that it cannot tell so many entries apart."""
    x = np.linspace(1, 2, 100_000, dtype=np.float32)
    check = SCAN(x, np.sin(x) / x.size, lambda x: np.mean(1 - np.cos(x), dtype=np.float32))
    assert check.verdict is Verdict.INCONCLUSIVE
    (reason,) = check.reasons
    assert reason.startswith(
        "The scan is not precise enough for `params`: in `params`, the smallest detectable error is"
    )
    assert "Compute the cost in float64, or use --mode full --only params" in reason
    assert "Compute in float64 for a more precise check" in check.notes[0]


def test_rounded_cost():
    """The cost has steps wider than any small ε: nothing is accused, and the scan ends."""
    net, right = network("tanh")
    check = SCAN(net.params, right, lambda p: round(net.cost(p), 5))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert not check.wrong_entries
    assert check.n_evaluations < 2000


def beside_kinks(other):
    """Return a cost with a kink in every entry of `b`, one of which also has a slope."""
    random = np.random.default_rng(0)
    params = {"a": random.normal(size=300), "b": random.normal(size=200)}
    center = params["b"].copy()

    def cost(p):
        kinks = np.abs(p["b"] - center).sum() + 3 * (p["b"][7] - center[7])
        return float((p["a"] ** 2).sum() + other(kinks))

    return params, cost


def test_what_hides_behind_kinks():
    """A zero is wrong, but every entry has a kink: the scan must not call it correct."""
    params, cost = beside_kinks(lambda kinks: kinks)
    grads = {"da": 2 * params["a"], "db": np.zeros(200)}
    assert check_gradients(params, grads, cost, mode="full").verdict is Verdict.BUG
    check = SCAN(params, grads, cost)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.reasons[0].startswith("The scan is not precise enough for `b`: ")
    assert "`cost` has kinks or sharp bends at θ" in check.reasons[0]


def sparse(n, share, penalty, seed):
    """Return a sparse θ, the two parts of its gradient, and a cost with an L1 penalty."""
    random = np.random.default_rng(seed)
    X, y = random.normal(size=(60, n)) / 10, random.normal(size=60)
    w = random.normal(size=n) * (random.random(n) < share)

    def cost(w):
        return float(np.mean((X @ w - y) ** 2) + penalty * np.abs(w).sum())

    return w, 2 * X.T @ (X @ w - y) / 60, penalty * np.sign(w), cost


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        pytest.param(lambda data, penalty: data + penalty, None, id="right"),
        pytest.param(lambda data, penalty: -data - penalty, "SIGN", id="negated"),
        pytest.param(lambda data, penalty: 10 * (data + penalty), "SCALE", id="ten times"),
        pytest.param(lambda data, penalty: 0 * data, "ZERO", id="zero"),
        pytest.param(lambda data, penalty: data, "REGULARIZATION", id="HARD: no penalty"),
    ],
)
@pytest.mark.parametrize("theta", [(10_000, 0.1, 0.05), (3000, 0.02, 0.5), (300, 0.5, 0.01)])
def test_single_entries_tell_where_kinks_hide_everything(wrong, cause, theta):
    """Along any direction, the slopes on the two sides are farther apart than the gradient is."""
    w, data, penalty, cost = sparse(*theta, seed=0)
    check = SCAN(w, wrong(data, penalty), cost)
    assert check.verdict is (Verdict.BUG if cause else Verdict.INCONCLUSIVE)
    assert [diagnosis.cause.name for diagnosis in check.diagnoses] == [cause] * bool(cause)
    assert check.n_evaluations < 400
    if not cause:
        n = check.n_measured
        assert 8 <= n <= 16
        assert (
            f"has kinks or sharp bends at θ, or very close to it. No error was found in {n} "
            in (check.reasons[0])
        )


def test_where_kinks_hide_everything_the_others_are_not_known():
    """What a dozen entries show is not said of a row, nor as a number of all wrong ones."""
    random = np.random.default_rng(4)
    X, Y = random.normal(size=(40, 60)), random.normal(size=(40, 10))
    W = random.normal(size=(60, 10)) * (random.random((60, 10)) < 0.15)
    right = X.T @ (X @ W - Y) / 200 + 0.05 * np.sign(W)

    def cost(W):
        return float(np.mean((X @ W - Y) ** 2) + 0.05 * np.abs(W).sum())

    largest = np.argsort(-np.abs(right), axis=None)
    for n, ks in ((8, largest[[1, 5, 9, 14, 20, 30, 40, 50]]), (150, largest[::4])):
        wrong = right.copy()
        wrong.reshape(-1)[ks] *= -1
        (diagnosis,) = SCAN(W, wrong, cost).diagnoses
        assert diagnosis.cause is not Cause.SLICE, n
        assert " in at least " in diagnosis.sentence


def test_what_is_neither_few_nor_many():
    """Two in a hundred entries are wrong: the scan finds some of them, and a bug in any case."""
    random = np.random.default_rng(0)
    W, X = random.normal(size=(100, 20)), random.normal(size=(100, 20))
    grad = X * np.cos(X * W)
    wrong = random.choice(W.size, W.size // 50, replace=False)
    grad.reshape(-1)[wrong] *= -1
    for seed in range(2):
        check = SCAN(W, grad, lambda W: float(np.sum(np.sin(X * W))), seed=seed)
        assert check.verdict is Verdict.BUG
        found = {20 * i + j for _, (i, j) in check.wrong_entries}
        assert found <= set(wrong.tolist())
        (diagnosis,) = check.diagnoses
        assert "at least" in diagnosis.sentence or len(found) in {0, len(wrong)}


def test_a_diagonal_is_no_set_of_rows():
    """The scan finds wrong entries in many rows, but has hardly measured any other entry."""
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(2, 40, 100))
    W = random.normal(size=(100, 100)) / 10
    A = np.tanh(X @ W)
    grad = X.T @ (2 * (A - Y) * (1 - A**2)) / A.size
    np.fill_diagonal(grad, 0)
    check = SCAN(W, grad, lambda W: float(np.mean((np.tanh(X @ W) - Y) ** 2)))
    assert check.verdict is Verdict.BUG
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause.name == "ENTRIES"
    n_wrong = check.parameters[0].n_wrong
    assert f"is zero in at least {n_wrong} of 10,000 entries, [0, 0]" in diagnosis.sentence
    assert {i - j for _, (i, j) in check.wrong_entries} == {0}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda kinks: kinks, id="kinks"),
        pytest.param(lambda kinks: np.nan if kinks else 0.0, id="not finite"),
    ],
)
def test_neighbours_do_not_spoil_the_second_look(other):
    """Two errors that cancel along the first direction are found along the second."""
    params, cost = beside_kinks(other)
    grads = {"da": 2 * params["a"], "db": np.zeros(200)}
    # The first direction of the scan.
    direction = Direction.over(0, (300,), (0, 0, 0), ())
    for k, sign in ((10, 1), (200, -1)):
        grads["da"][k] += sign * 0.5 / direction.value_at((k,))
    check = SCAN(params, grads, cost)
    assert {("a", (10,)), ("a", (200,))} <= set(check.wrong_entries)


# What else a gradient may be


def square(params):
    return sum(float(np.sum(np.square(array))) for array in params.values())


SHAPES = {"a": (), "b": (1,), "c": (3,), "d": (0,), "e": (50, 1), "f": (7, 8, 9)}


def test_all_sizes():
    """Arrays of every size are scanned, even empty ones; small ones are measured individually."""
    params = {
        name: np.asarray(np.random.default_rng(0).normal(size=s)) for name, s in SHAPES.items()
    }
    grads = {f"d{name}": 2 * array for name, array in params.items()}
    check = SCAN(params, grads, square)
    assert check.passed
    assert [p.n_measured for p in check.parameters] == [1, 1, 3, 0, 0, 0]
    grads["df"] = grads["df"].copy()
    grads["df"][3, 4, 5] = np.nan
    grads["da"] = np.asarray(7.0)
    check = SCAN(params, grads, square)
    assert set(check.wrong_entries) == {("f", (3, 4, 5)), ("a", ())}


def test_nothing_to_compare():
    params = {"W": np.random.default_rng(0).normal(size=(9, 9)), "V": np.ones(20)}
    grads = {"dW": 2 * params["W"], "dV": np.zeros(20)}
    check = SCAN(params, grads, lambda p: float(np.sum(p["W"] ** 2)))
    assert check.passed
    assert any(note.startswith("Both gradients of `V` are zero") for note in check.notes)
    everything = SCAN(params["V"], np.zeros(20), lambda _: 1.0)
    assert everything.verdict is Verdict.INCONCLUSIVE
    assert everything.reasons == (
        "Both gradients are zero everywhere: there is nothing to compare.",
    )


@pytest.mark.parametrize("n_odd", [1, 50])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_difference_of_what_is_no_number(n_odd, value):
    """The difference is nan, as in a full check."""
    x = np.linspace(1, 2, 300)
    grad = 2 * x
    grad[:n_odd] = value
    full, check = (
        check_gradients(x, grad, lambda x: float(x @ x), mode=mode) for mode in ("full", "scan")
    )
    assert np.isnan(full.difference)
    assert np.isnan(check.difference)
    assert check.difference_text == "nan"
    assert check.verdict is Verdict.BUG
    assert {("params", (k,)) for k in range(min(n_odd, 16))} <= set(check.wrong_entries)
    assert "hides" not in " ".join(check.reasons)


def test_a_few_zeros():
    check = SCAN({"a": np.ones(2)}, {"da": np.zeros(2)}, lambda _: 1.0)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.reasons == ("Both gradients are zero everywhere: there is nothing to compare.",)


def test_only_some():
    """Parameters that are not checked do not move."""
    net, right = network("tanh")
    check = SCAN(net.params, right, net.cost, only=["W2"])
    assert check.passed
    wrong = right["W2"].copy()
    wrong[3, 4] *= 1.5
    check = SCAN(net.params, {**right, "W2": wrong}, net.cost, only=["W2"])
    assert check.wrong_entries == (("W2", (3, 4)),)
    assert check.measured.tolist() == [64 * 100 + 100 + 3 * 50 + 4]


def test_notebook_arrays_are_put_back():
    """The cost reads the notebook's own arrays, which may have any layout."""
    random = np.random.default_rng(0)
    W = np.asfortranarray(random.normal(size=(30, 20)))
    v = random.normal(size=80)[::2]
    before = W.tobytes(), v.tobytes()

    def cost():
        return float(np.sum(np.sin(W)) + np.sum(v**3))

    grads = [np.cos(W), 3 * v**2]
    assert SCAN([W, v], grads, cost).passed
    grads[0][3, 4] *= 2
    check = SCAN([W, v], grads, cost)
    assert check.wrong_entries == (("params[0]", (3, 4)),)
    assert (W.tobytes(), v.tobytes()) == before


def test_cost_that_is_not_finite_elsewhere():
    """The cost is nan along the direction, so only single entries can tell: none is accused."""
    x = np.full(50, 1e-9)
    check = SCAN(x, 1 / x, lambda x: float(np.sum(np.log(x))) if np.all(x > 0) else np.nan)
    assert check.verdict in {Verdict.CORRECT, Verdict.INCONCLUSIVE}
    assert not check.wrong_entries


# How the mode is chosen, and how long a check may take


def test_auto_takes_what_fits(clock):
    net, right = network("tanh")
    quick = check_gradients(net.params, right, net.cost, only=["b1", "b2"])
    assert (quick.mode, quick.n_measured) == ("full", 150)
    assert not any("--mode" in note for note in quick.notes)
    long = check_gradients(net.params, right, clock.slow(net.cost, 1 / 512))
    assert (long.mode, long.n_measured) == ("scan", 0)
    assert long.notes[0] == (
        "This is a scan: measuring all 12,060 entries would take 24,120 evaluations, about 47 s, "
        'and the limit is 20 s. To measure them all, use --mode full (in Python, mode="full").'
    )


@pytest.mark.parametrize("slow", [1, 2, 3, 10])
def test_one_slow_evaluation_decides_nothing(clock, slow):
    """A jit compiles at the first evaluation, and the machine may be busy at any other."""
    net, right = network("tanh")
    calls = itertools.count(1)

    def cost(params):
        if next(calls) == slow:
            clock.sleep(10)
        return net.cost(params)

    slowed = clock.slow(cost, 1 / 2**14)
    check = check_gradients(net.params, right, slowed, only=["b1", "b2"])
    assert check.mode == "full"
    assert check.notes == ()


def test_budget_decides(clock):
    net, right = network("tanh")
    slow = clock.slow(net.cost, 1 / 256)
    some = functools.partial(check_gradients, net.params, right, slow, only=["b1", "b2"])
    assert some(budget=60).mode == "full"
    check = some(budget=0.5)
    assert check.mode == "scan"
    assert re.search(
        r"and the limit is 0\.\d+ s\. To measure them all, use --mode full", check.notes[0]
    )


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize(
    ("fit", "evaluations"),
    [pytest.param(0.5, 1, id="not known before the first"), (15, 15), (15.9, 15), (40, 40)],
)
def test_budget_is_kept(clock, mode, fit, evaluations):
    """The check stops in time, but not earlier, and says how far it got."""
    net, right = network("tanh")
    slow = clock.slow(net.cost, 1 / 64)
    check = check_gradients(net.params, right, slow, mode=mode, budget=fit / 64)
    assert check.interrupted
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.n_evaluations == evaluations
    assert check.seconds == evaluations / 64
    what = "entries w(as|ere) measured" if mode == "full" else "parameters w(as|ere) looked at"
    assert check.reasons[0].startswith("The budget was used up: ")
    assert re.search(what, check.reasons[0])
    assert json.loads(json.dumps(check.to_dict()))["interrupted"] is True


def test_budget_is_kept_by_the_real_clock(monkeypatch):
    """The budget is kept on a machine of any speed, and the reported seconds are real."""
    monkeypatch.undo()
    net, right = network("tanh")
    began = time.perf_counter()
    check = check_gradients(net.params, right, net.cost, mode="full", budget=0.1)
    assert check.interrupted
    assert 0 < check.seconds <= time.perf_counter() - began


def test_budget_is_of_all_points(clock):
    x = np.linspace(1, 2, 100)
    cost = clock.slow(lambda x: float(x @ x), 1 / 256)
    check = check_gradients(x, lambda x: 2 * x, cost, mode="full", points=5, budget=2)
    assert check.interrupted
    assert check.n_evaluations == 2 * 256


def test_what_was_wrong_by_then_is_a_bug(clock):
    net, right = network("tanh")
    wrong = {**right, "W1": -right["W1"]}
    slow = clock.slow(net.cost, 1 / 256)
    check = check_gradients(net.params, wrong, slow, mode="full", budget=1)
    assert check.interrupted
    assert check.n_evaluations == 256
    assert check.verdict is Verdict.BUG


@pytest.mark.parametrize("size", [4, 10, 40])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_scan_takes_at_most_twice_as_long_as_a_full_check(size, share):
    """HARD: in tiny parameters, a search for many wrong entries would take longer than that."""
    random = np.random.default_rng(size)
    theta = {f"w{i}": random.normal(size=size) for i in range(10)}
    wrong = {name: random.random(size) < share for name in theta}
    grads = {name: 2 * w * (1 + wrong[name] * random.uniform(0.1, 1, size))
             for name, w in theta.items()}  # fmt: skip

    def cost(params):
        return float(sum(w @ w for w in params.values()))

    scan, full = (check_gradients(theta, grads, cost, mode=mode) for mode in ("scan", "full"))
    assert scan.n_evaluations <= 2 * full.n_evaluations
    assert [p.n_wrong for p in full.parameters] == [mask.sum() for mask in wrong.values()]
    if size <= 10:
        assert scan.wrong_entries == full.wrong_entries


def test_difference_is_unbiased():
    """The square of the estimate is correct on average."""
    random = np.random.default_rng(0)
    W = random.normal(size=(60, 60))
    ratios = []
    for seed in range(100):
        grad = 2 * W
        grad[5] *= random.uniform(1.5, 3, size=60)
        check = SCAN(W, grad, lambda W: float((W**2).sum()), seed=seed)
        truth = np.linalg.norm(grad - 2 * W) / (np.linalg.norm(grad) + np.linalg.norm(2 * W))
        ratios.append(check.difference / truth)
    # A hundred estimates, each with an error of about 30 %.
    assert abs(np.mean(np.square(ratios)) - 1) < 0.25


def test_interrupt_of_a_right_one():
    """If the gradient is correct, nothing is called wrong after an interrupt at any time."""
    net, right = network("tanh")
    for at in range(20, 48):
        calls = itertools.count(1)

        def cost(params, calls=calls, at=at):
            if next(calls) == at:
                raise KeyboardInterrupt
            return net.cost(params)

        with pytest.raises(GradientCheckInterrupted) as interrupt:
            SCAN(net.params, right, cost)
        check = interrupt.value.check
        assert check.verdict is Verdict.INCONCLUSIVE
        assert re.search("parameters (was|were) looked at", check.reasons[0])
        assert "wrong" not in check.reasons[0]


@pytest.mark.parametrize("at", [1, 10, 25, 40, 60, 80])
def test_interrupt(at):
    """An interrupt at any time keeps the results so far and restores the arrays."""
    net, right = network("tanh")
    grads = {name: grad.copy() for name, grad in right.items()}
    planted(grads, 3, np.random.default_rng(0))
    W = net.params["W1"]
    before = W.tobytes()
    calls = itertools.count(1)

    def cost():
        if next(calls) == at:
            raise KeyboardInterrupt
        return net.cost(net.params)

    with pytest.raises(GradientCheckInterrupted) as interrupt:
        SCAN(net.params, grads, cost)
    check = interrupt.value.check
    assert W.tobytes() == before
    assert check.interrupted
    assert check.verdict in {Verdict.INCONCLUSIVE, Verdict.BUG}
    assert re.search("of 6 parameters (was|were) looked at", str(check))
    assert re.search("parameters (was|were) looked at", check.to_html())


# How it is shown


def test_report():
    check = scanned("tanh", row)
    text = str(check)
    assert text.startswith("✗ There is a bug in backpropagation.   difference ≈ ")
    assert "✗ wrong, [20, :]" in text
    assert "scan of 12,060 entries, " in text
    assert "smallest detectable error 0.002 % of the gradient, with probability 0.999" in text
    html = check.to_html()
    assert "smallest detectable error" in html
    assert "W1 up to" in html
    assert check.figure().axes[0].get_xlabel() == "size of an error in a single entry"
    summary = json.loads(json.dumps(check.to_dict()))
    assert summary["mode"] == "scan"
    assert summary["parameters"][0]["regions"][0]["label"] == "W1[20, :]"


def test_headline():
    check = scanned("tanh")
    assert check.headline() == (
        f"Backpropagation is correct. The difference is {check.difference_text}."
    )


# Directions


@st.composite
def directions(draw):
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=4)))
    box = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        box.append((start, draw(st.integers(start + 1, length))))
    whole = Direction.over(0, shape, (draw(st.integers(0, 9)), 0, 0), ())
    axes = [None, *range(len(shape))]
    return whole, whole.within(tuple(box), draw(st.sampled_from(axes)))


@given(directions(), st.floats(1e-6, 1e-2))
def test_direction(pair, step):
    """A direction moves what `value_at` and the prediction say, and everything is restored."""
    whole, part = pair
    random = np.random.default_rng(0)
    theta, gradient = (np.asarray(random.normal(size=whole.shape)) for _ in range(2))
    array = theta.copy()
    part.move(array, theta, step)
    values = np.array([part.value_at(index) for index in np.ndindex(whole.shape)])
    assert np.allclose(array.ravel(), theta.ravel() + step * values, rtol=0, atol=1e-15)
    slope, rounding, _ = part.predicted(gradient, theta, step, np.float64)
    assert math.isclose(slope, float(gradient.ravel() @ values), abs_tol=1e-12)
    moved = float(np.sum(gradient * (array - theta)))
    assert math.isclose(moved, step * slope + rounding, abs_tol=1e-14)
    part.restore(array, theta)
    assert array.tobytes() == theta.tobytes()
    if part.ramp is None:
        everywhere = [whole.value_at(index) for index in np.ndindex(whole.shape)]
        assert np.all((values == 0) | (values == everywhere))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_magnitudes(seed):
    """The magnitudes are never small; their mean square is 1, and they have either sign."""
    direction = Direction.over(0, (20_000,), (seed, 0, 0), ())
    array = np.zeros(20_000)
    direction.move(array, np.zeros(20_000), 1.0)
    assert 0.5 <= np.abs(array).min() < 0.501
    assert abs(np.mean(array**2) - 1) < 0.03
    assert abs(np.mean(np.sign(array))) < 0.05
    share = np.mean(np.abs(array) > likely_magnitude(0.9))
    assert abs(share - 0.9) < 0.02


def test_holes_stay():
    direction = Direction.over(0, (6, 7), (0, 0, 0), [((1, 3), (0, 7)), ((5, 6), (2, 4))])
    array = np.zeros((6, 7))
    direction.move(array, np.zeros((6, 7)), 1.0)
    moved = array != 0
    assert moved.sum() == direction.size == 42 - 14 - 2
    assert not moved[1:3].any()
    assert not moved[5, 2:4].any()
    assert direction.value_at((2, 2)) == 0 != direction.value_at((0, 0))


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e300])
def test_scale_of_the_cost(scale):
    """The squares of the gradient leave the range of floating point."""
    x = np.linspace(1, 2, 100)
    grad = 2 * x * scale
    assert SCAN(x, grad, lambda x: float(scale * (x @ x))).passed
    grad[7] *= 1.5
    check = SCAN(x, grad, lambda x: float(scale * (x @ x)))
    assert check.wrong_entries == (("params", (7,)),)
    assert 0.01 < check.difference < 0.1


def test_lost_in_rounding():
    """The gradient of a bias before batch norm is truly zero, but backpropagation adds rounding."""
    random = np.random.default_rng(0)
    X = random.normal(size=(30, 8)).astype(np.float32)
    params = {name: random.normal(size=8).astype(np.float32) for name in ("b", "w")}

    def cost(p):
        Z = X + p["b"]
        return np.float32(np.mean(np.tanh((Z - Z.mean(axis=0)) / Z.std(axis=0) * p["w"]) ** 2))

    Z = X - X.mean(axis=0)
    A = np.tanh(Z / X.std(axis=0) * params["w"])
    dw = (2 * A * (1 - A**2) * Z / X.std(axis=0)).sum(axis=0) / A.size
    grads = {"db": np.float32(1e-9) * random.normal(size=8).astype(np.float32), "dw": dw}
    check = SCAN(params, grads, cost)
    assert not check.wrong_entries
    assert check.verdict in {Verdict.CORRECT, Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(
    "name", ["W", "100%_$b$", "layer1.weight", "encoder.attention.query.weight", "W" * 40]
)
def test_names_have_room_in_the_picture(name):
    """No name or legend is cut off, and the lines keep at least a third of the width."""
    theta = np.linspace(0.1, 1, 300)
    check = SCAN({name: theta}, {name: 2 * theta}, lambda p: p[name] @ p[name])
    figure = check.figure()
    figure.canvas.draw()
    (axes,) = figure.axes
    shown = [*axes.get_yticklabels(), *figure.legends]
    assert figure.legends
    for box in (element.get_window_extent() for element in shown):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    assert axes.get_window_extent().width > figure.bbox.width / 3
