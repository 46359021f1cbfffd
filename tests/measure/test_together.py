"""Errors that noise hides in each entry, and that show where all entries move along them."""

import numpy as np
import pytest

from gradcheck_magic import Cause, Verdict, check_gradients
from gradcheck_magic._measure import measurement

N = 40
RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(-2, 2, size=N)
SIGNS, AWAY = RANDOM.choice([-1.0, 1.0], size=N), RANDOM.uniform(-0.3, 0.3, size=N)


def in_float16(x):
    return float(np.float16(40 + np.sum(np.sin(x))))


def in_steps(x):
    return round(float(np.sum(np.sin(x))), 1)


def with_kinks(x):
    return float(np.float16(40 + np.sum(np.sin(x)) + np.sum(np.maximum(0, x - X - AWAY))))


ROWS = [
    pytest.param(in_float16, 0.2 * SIGNS, id="a little in each entry"),
    pytest.param(in_float16, -0.3 * np.cos(X), id="a factor"),
    pytest.param(in_float16, 0.2 * (SIGNS > 0), id="HARD: half of the entries are right"),
    pytest.param(in_steps, 0.6 * SIGNS, id="a staircase"),
    pytest.param(with_kinks, (AWAY < 0) + 0.35 * SIGNS, id="HARD: kinks near by"),
]


@pytest.mark.parametrize(("cost", "error"), ROWS)
def test_wrong(cost, error):
    found = check_gradients({"x": X}, {"dx": np.cos(X) + error}, cost)
    (diagnosis,) = found.diagnoses
    assert found.verdict is found.parameters[0].verdict is Verdict.BUG
    assert found.wrong_entries == ()
    assert diagnosis.cause is Cause.UNKNOWN
    name = cost.__name__
    assert diagnosis.sentence.startswith(
        f"`dx` is wrong: along all of its errors at once, the slope of `{name}` is "
    )
    assert diagnosis.sentence.endswith(
        "according to the gradient. Which entries are wrong is not known: the noise of "
        f"`{name}` hides the error of each. Compute it in higher precision to see them."
    )
    assert "x          40    " in str(found)
    assert "✗ wrong, entries not located" in str(found)


@pytest.mark.parametrize(
    ("cost", "grad"),
    [
        pytest.param(in_float16, np.cos(X), id="half precision"),
        pytest.param(in_steps, np.cos(X), id="a staircase"),
        pytest.param(with_kinks, np.cos(X) + (AWAY < 0), id="HARD: kinks near by"),
        pytest.param(in_float16, np.cos(X) + 0.02 * SIGNS, id="errors below the noise of all"),
    ],
)
def test_cannot_be_told(cost, grad):
    assert check_gradients(X, grad, cost).verdict is Verdict.INCONCLUSIVE


def test_only_the_parameter_that_is_wrong():
    """What is known badly is not wrong beside what is."""

    def cost(p):
        return in_float16(p["x"]) + float(np.float16(40 + np.sum(np.cos(p["y"]))))

    grads = {"dx": np.cos(X), "dy": -np.sin(X) + 0.3 * SIGNS}
    found = check_gradients({"x": X, "y": X}, grads, cost)
    assert [p.verdict for p in found.parameters] == [Verdict.INCONCLUSIVE, Verdict.BUG]


def test_evaluations(monkeypatch):
    """A right gradient takes sixteen more, along one line."""
    n_evaluations = check_gradients(X, np.cos(X), in_float16).n_evaluations
    monkeypatch.setattr(measurement, "wrong_together", lambda *_: {})
    assert 0 < n_evaluations - check_gradients(X, np.cos(X), in_float16).n_evaluations <= 16
