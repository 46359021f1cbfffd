"""A cost that varies a little from call to call is checked with the error bars of that noise.

No right gradient is accused, and no bug passes. Where noise hides the slopes, it is said.
"""

import re

import numpy as np
import pytest

from gradcheck_magic import InputError, check_gradients, gradient_checking

SEEDS = range(6)


def network(seed):
    random = np.random.default_rng(seed)
    params = {
        "W": random.normal(size=(4, 3)),
        "b": random.normal(size=(4, 1)),
        "v": random.normal(size=(1, 4)),
    }
    return params, random.normal(size=(3, 20)), random.normal(size=(1, 20))


def loss(params, X, Y):
    off = params["v"] @ np.tanh(params["W"] @ X + params["b"]) - Y
    return float(np.mean(off**2)) / 2


def gradients(params, X, Y):
    hidden = np.tanh(params["W"] @ X + params["b"])
    off = (params["v"] @ hidden - Y) / Y.size
    back = params["v"].T @ off * (1 - hidden**2)
    return {"dW": back @ X.T, "db": back.sum(axis=1, keepdims=True), "dv": off @ hidden.T}


def added(draw):
    """Return a cost with noise that is added to it, relative to its size."""

    def noisy(random, size, params, X, Y):
        scale = loss(params, X, Y)
        return lambda params: loss(params, X, Y) + scale * size * draw(random)

    return noisy


def in_data(random, size, _, X, Y):
    return lambda params: loss(params, X + size * random.normal(size=X.shape), Y)


NOISES = {
    "normal": added(lambda random: random.normal()),
    "uniform": added(lambda random: random.uniform(-1, 1)),
    "HARD: heavy tails": added(lambda random: random.standard_t(3) / 2),
    "HARD: two values": added(lambda random: random.random() < 0.5),
    "HARD: now and then": added(lambda random: random.random() < 0.2),
    "HARD: hardly ever": added(lambda random: random.random() < 0.03),
    "HARD: in the data, so that the slope varies, too": in_data,
}
BUGS = {
    "a sign": lambda grads: {**grads, "dW": -grads["dW"]},
    "a factor": lambda grads: {**grads, "db": 2 * grads["db"]},
    "HARD: one entry": lambda grads: {**grads, "dv": grads["dv"] * [1, 1.5, 1, 1]},
}


def verdicts(noise, size, mode, bug=None):
    """Return the verdicts, "refused" for an error, and the notes."""
    told, notes = [], []
    for seed in SEEDS:
        params, X, Y = network(seed)
        grads = gradients(params, X, Y)
        cost = NOISES[noise](np.random.default_rng(seed), size, params, X, Y)
        try:
            check = check_gradients(params, bug(grads) if bug else grads, cost, mode=mode)
        except InputError:
            told.append("refused")
        else:
            told.append(check.verdict.name)
            notes += check.notes[:1]
    return told, notes


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("size", [1e-9, 1e-7, 1e-6, 1e-5, 3e-5])
@pytest.mark.parametrize("noise", NOISES)
def test_right_gradients_are_not_accused(noise, size, mode):
    told, _ = verdicts(noise, size, mode)
    assert {*told} <= {"CORRECT", "INCONCLUSIVE", "INSPECT", "refused"}


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("size", [1e-7, 1e-5])
@pytest.mark.parametrize("noise", NOISES)
def test_bugs_do_not_pass(noise, size, bug, mode):
    told, _ = verdicts(noise, size, mode, BUGS[bug])
    assert {*told} <= {"BUG", "INCONCLUSIVE", "refused"}
    assert "BUG" in told


@pytest.mark.parametrize("size", [1e-9, 1e-7])
def test_what_noise_does_not_hide_is_told(size):
    told, notes = verdicts("normal", size, "full")
    assert told.count("CORRECT") >= len(SEEDS) - 1
    assert len(notes) == len(SEEDS)
    for note in notes:
        assert re.fullmatch(
            r"`cost_function` is not exactly repeatable: it varies by about \de-\d\d from call to "
            r"call, so larger steps were used\.",
            note,
        )


def test_what_noise_hides_is_told():
    params, X, Y = network(0)
    cost = NOISES["normal"](np.random.default_rng(0), 1e-5, params, X, Y)
    check = check_gradients(params, gradients(params, X, Y), cost)
    assert check.verdict.name == "INCONCLUSIVE"
    assert re.fullmatch(
        r"`cost_function` is \S+ and has noise of \S+, as it varies from call to call: the "
        r"numerical gradient of .* is known only to \S+\. Make it repeatable, or less noisy, such "
        r"as by --reseed, by a single thread or by more samples\.",
        check.reasons[0],
    )


@pytest.mark.parametrize("noise", [
    pytest.param(lambda n, random: 1e-3 * random.normal(), id="too much"),
    pytest.param(lambda n, random: 1e-6 * n, id="HARD: it drifts"),
    pytest.param(lambda n, random: 1e-5 * (n > 20), id="HARD: it changes once"),
])  # fmt: skip
def test_what_is_no_noise_is_refused(noise):
    random, calls = np.random.default_rng(0), []
    x = np.ones(3)

    def cost(x):
        calls.append(x)
        return float(x @ x) + noise(len(calls), random)

    with pytest.raises(InputError, match="for the same parameters"):
        check_gradients(x, 2 * x, cost)


def test_the_plain_difference_has_no_error_bars():
    """Noise would look like a bug."""
    random = np.random.default_rng(0)
    x = np.ones(3)
    with pytest.raises(InputError, match="sometimes returns another value for the same parameters"):
        gradient_checking(x, 2 * x, lambda x: float(x @ x) + 1e-6 * random.normal())
