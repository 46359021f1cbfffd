"""A cost that is random, or changes its state, is refused, even if two calls at θ agree."""

import re

import numpy as np
import pytest

from gradcheck_magic import InputError, check_gradients

SEEDS = range(12)
RANDOM = (
    r"`cost` (returned \S+ and then \S+|sometimes returns another value) for the same parameters: "
    r"it is random\. Make it repeatable \(no dropout, a fixed seed, the same batch\), or let every "
    r"call draw the same random numbers with --reseed \(in Python, reseed=True\)\.$"
)


def problem(seed):
    """Return parameters and data of a network with two hidden units."""
    random = np.random.default_rng(seed)
    params = {"W": random.normal(size=(2, 3)), "v": random.normal(size=(1, 2))}
    return params, random.normal(size=(3, 20)), random.normal(size=(1, 20))


def loss(params, X, Y, mask=1.0):
    hidden = np.tanh(params["W"] @ X) * mask
    return float(np.mean((params["v"] @ hidden - Y) ** 2)) / 2


def gradients(params, X, Y):
    hidden = np.tanh(params["W"] @ X)
    off = (params["v"] @ hidden - Y) / Y.size
    return {"dW": (params["v"].T @ off * (1 - hidden**2)) @ X.T, "dv": off @ hidden.T}


def drops_out(random, X, Y):
    return lambda params: loss(params, X, Y, (random((2, 1)) < 0.9) / 0.9)


def flips_now_and_then(random, X, Y):
    return lambda params: loss(params, X[::-1] if random() < 0.2 else X, Y)


def takes_a_half(random, X, Y):
    def cost(params):
        start = 10 * int(random() < 0.5)
        return loss(params, X[:, start : start + 10], Y[:, start : start + 10])

    return cost


def adds_noise_now_and_then(random, X, Y):
    return lambda params: loss(params, X, Y) + 1e-3 * (random() < 0.2)


def takes_every_fifth_elsewhere(random, X, Y):
    calls = []

    def cost(params):
        calls.append(None)
        return loss(params, X, Y if len(calls) % 5 else -Y)

    return cost


KINDS = [
    drops_out,
    flips_now_and_then,
    takes_a_half,
    adds_noise_now_and_then,
    takes_every_fifth_elsewhere,
]
GENERATORS = {
    "the global one": lambda seed: np.random.seed(seed) or np.random.random_sample,
    "one of the notebook": lambda seed: np.random.default_rng(seed).random,
}


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_refused(kind, generator, mode):
    told = []
    for seed in SEEDS:
        params, X, Y = problem(seed)
        cost = kind(GENERATORS[generator](seed), X, Y)
        try:
            check = check_gradients(
                params, gradients(params, X, Y), cost, mode=mode, names={"cost": cost}
            )
        except InputError as error:
            told.append(str(error))
        else:
            # A scan takes few evaluations, and does not repeat each that is odd.
            assert (mode, check.verdict.name) == ("scan", "INCONCLUSIVE")
    assert len(told) >= len(SEEDS) - 1
    for sentence in told:
        assert re.match(RANDOM, sentence), sentence


class Changing:
    """A cost that is 1 more from some call on; what it counts is not put back."""

    # A check restores the objects of the user that the cost changes, but not those of a library.
    __module__ = "time"

    def __init__(self, from_call):
        self.from_call, self.calls = from_call, 0

    def __call__(self, x):
        self.calls += 1
        return float(x @ x) + (self.calls > self.from_call)


@pytest.mark.parametrize("before_the_end", [1, 2, 10, 25], ids=lambda n: f"{n} before the end")
def test_changed_meanwhile(before_the_end):
    """The last call at θ shows it, if not those before, and some more show that it is no chance."""
    x = np.arange(1.0, 14.0)
    n = check_gradients(x, 2 * x, Changing(np.inf), mode="full").n_evaluations
    cost = Changing(n - before_the_end)
    with pytest.raises(InputError) as caught:
        check_gradients(x, 2 * x, cost, mode="full", names={"cost": cost})
    assert str(caught.value) == (
        "`cost` returned 819 when the check began, and 820 from some call on, for the same "
        "parameters: something that it reads has changed meanwhile, such as its data or a counter; "
        "let every call read the same."
    )
    assert np.array_equal(x, np.arange(1.0, 14.0))


def test_stopped_checks_do_not_compare(clock):
    """A check that ran out of time tells what it has found."""
    x = np.linspace(1, 2, 50)
    cost = clock.slow(Changing(75), 0.25)
    assert check_gradients(x, 2 * x, cost, mode="full", budget=19).interrupted


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("factor", [1, 2], ids=["right", "wrong"])
@pytest.mark.parametrize(("by", "plus"), [
    pytest.param(1.1, 0, id="HARD: so far that a step has no length"),
    pytest.param(1, 1e-9, id="HARD: hardly"),
    pytest.param(1, 1, id="far"),
    pytest.param(0, 0, id="to zero"),
])  # fmt: skip
def test_moves_its_argument_beside_theta(by, plus, factor, mode):
    """At θ itself it does not: then it would be noticed at once."""
    x = np.array([1.0, 2.0, 3.0])

    def cost(params):
        value = float(np.sum(params**4))
        if not np.array_equal(params, [1, 2, 3]):
            params *= by
            params += plus
        return value

    names = {"cost": cost, "x": x}
    with pytest.raises(InputError, match=r"^`cost` changes its argument `x`: a cost must not"):
        check_gradients(x, factor * 4 * x**3, cost, mode=mode, names=names)


def shared(seed):
    np.random.seed(seed)
    return np.random.random


DRAWN = {
    "NumPy's shared generator": shared,
    "one's own": lambda seed: np.random.default_rng(seed).random,
}


@pytest.mark.parametrize("scale", [1e-4, 1e-3])
@pytest.mark.parametrize("draws", DRAWN)
@pytest.mark.parametrize("factor", [1, 2], ids=["right", "wrong"])
def test_dropout_that_hardly_moves_the_cost(draws, scale, factor):
    """With small weights, the cost varies as little as by noise, and its slopes with each mask."""
    told = []
    for seed in range(4):
        random, draw = np.random.default_rng(seed), DRAWN[draws](seed)
        X, y = random.normal(size=(20, 5)), random.normal(size=20)
        params = {"W": scale * random.normal(size=(5, 6)), "v": scale * random.normal(size=6)}

        def passed(p, draw=draw, X=X, y=y):
            mask = draw((20, 6)) < 0.8
            A = np.maximum(X @ p["W"], 0) * mask
            return mask, A, A @ p["v"] - y

        mask, A, off = passed(params)
        dA = np.outer(off / 20, params["v"]) * mask * (A > 0)
        grads = {"dW": factor * X.T @ dA, "dv": A.T @ off / 20}
        try:
            check = check_gradients(params, grads, lambda p: np.mean(passed(p)[2] ** 2) / 2)
            told.append(check.verdict.name)
        except InputError as error:
            told.append(str(error))
    random = (
        "`cost_function` has other slopes from call to call for the same parameters: it is random. "
        "Make it repeatable (no dropout, a fixed seed, the same batch), or let every call draw the "
        "same random numbers with --reseed (in Python, reseed=True)."
    )
    assert random in told
    assert set(told) <= {random, "INCONCLUSIVE"}
