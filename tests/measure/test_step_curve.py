"""The error of one entry as a function of the step, for costs with known derivatives."""

import json
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic import InputError, check_gradients, step_curve

# Measured errors stay below round-off plus truncation, up to this factor: a truncation that is
# not clearly above the round-off counts as none.
SAFETY = 64


def array(*values, dtype=np.float64):
    return np.array(values, dtype=dtype)


def curve_of(theta, gradient, cost, **options):
    return step_curve(theta, gradient, cost, "params", 0, **options)


def coefficient(curve):
    """Return c of the truncation error c ε²."""
    return (curve.truncation / curve.steps**2)[-1]


def sine(x):
    return float(np.sin(x[0]))


ROWS = [
    pytest.param(
        array(2.0), array(12.0), lambda x: x[0] ** 3, 1.0,
        "grows on both sides, as rounding noise (left) and truncation error (right) do. The "
        "gradient is correct, and 1e-07 was good enough.",
        id="cube",
    ),
    pytest.param(
        array(0.0), array(0.0), lambda x: x[0] ** 3, 1.0,
        "grows only to the right, as truncation error does", id="cube at zero",
    ),
    pytest.param(
        array(2.0, 3.0), array(4.0, 6.0), lambda x: x @ x, 0.0,
        "there is no truncation error. The error falls to 0", id="quadratic",
    ),
    pytest.param(
        array(1.0), np.exp(array(1.0)), lambda x: np.exp(x[0]), np.e / 6,
        "grows on both sides", id="exp",
    ),
    pytest.param(
        array(1.0), 2 * np.exp(array(1.0)), lambda x: np.exp(x[0]), np.e / 6,
        "the error of 2.7 is far above that. From",
        id="factor 2",
    ),
    pytest.param(
        array(1.3), array(1.3), lambda x: x[0] ** 2, 0.0,
        "there is no truncation error; the error of 1.3 is far above that.",
        id="factor ½ of a quadratic",
    ),
    pytest.param(
        array(1.0), (1 + 1e-6) * np.exp(array(1.0)), lambda x: np.exp(x[0]), np.e / 6,
        "The error falls to 2.7e-06 and no further", id="worth inspecting",
    ),
    pytest.param(
        array(1.0), np.cos(array(1.0)), lambda x: sine(x) + 1e8, np.cos(1) / 6,
        "1e-07 was too small a step", id="a large constant",
    ),
    pytest.param(
        array(1.0), 2 * np.cos(array(1.0)), lambda x: sine(x) + 1e8, np.cos(1) / 6,
        "the error of 0.54 cannot be seen there. From", id="a large constant, and wrong",
    ),
    pytest.param(
        array(1.0), 1e-3 * np.cos(array(1.0)), lambda x: 1e-3 * sine(x) + 1e12, 0.0,
        "Rounding noise dominates at every step", id="a huge constant",
    ),
    pytest.param(
        array(0.0), array(1.0), lambda x: abs(x[0]), 0.0,
        "θ sits on a kink: the slope of the cost is -1 on one side and 1 on the other, however "
        "small the step; the gradient, 1, is between them, and any such value is correct.",
        id="on a kink",
    ),
    pytest.param(
        array(0.0), array(2.0), lambda x: abs(x[0]), 0.0,
        "the gradient, 2, is not between them: it is wrong.", id="on a kink, and wrong",
    ),
    pytest.param(
        array(1e-9), array(1.0), lambda x: abs(x[0]), 0.0,
        "1e-07 was too large a step", id="a kink nearer than the step",
    ),
    pytest.param(
        array(1e-3), array(1e3), lambda x: np.log(x[0]), 1e9 / 3,
        "From ε = 0.001 upwards the cost is not finite.", id="the edge of a domain",
    ),
    pytest.param(
        array(0.0), array(1.0), lambda x: np.sqrt(x[0]) ** 2, 0.0,
        "The cost is finite on only one side of θ, whatever the step: the slope there is 1",
        id="on the edge of a domain",
    ),
    pytest.param(
        array(1e10), array(1e-10), lambda x: np.log(x[0]), 1e-30 / 3,
        "A step of ε = 1e-07 does not change θ", id="huge",
    ),
    pytest.param(
        array(1e-310), array(1.0), lambda x: np.exp(x[0]), 1 / 6, "grows on both sides", id="tiny"
    ),
    pytest.param(
        array(1.0), array(0.0), lambda x: 3.0, 0.0,
        "The cost does not change at any step up to ε = 1, and the gradient is 0.",
        id="constant",
    ),
    pytest.param(
        array(1.0), array(2.0), lambda x: 3.0, 0.0, "and the gradient is 2.", id="constant, wrong"
    ),
    pytest.param(
        array(1.0), array(np.nan), lambda x: x[0] ** 3, 1.0,
        "The gradient is nan here", id="a gradient that is none",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("theta", "gradient", "cost", "c", "sentence"), ROWS)
def test_curve(theta, gradient, cost, c, sentence):
    before = theta.tobytes()
    curve = curve_of(theta, gradient, cost)
    assert theta.tobytes() == before
    assert coefficient(curve) == pytest.approx(c, rel=0.1, abs=0)
    assert sentence in curve.sentence
    assert sentence.split(".")[0] in str(curve)
    assert np.all(np.diff(curve.steps) > 0)
    assert curve.errors == pytest.approx(abs(curve.values - curve.analytic), nan_ok=True)
    assert not curve.moved
    assert 20 < len(curve.steps) < 65
    assert curve.n_evaluations < 180
    json.dumps(curve.to_dict(), allow_nan=False)
    with pytest.raises(ValueError, match="read-only"):
        curve.values[0] = 0


@pytest.mark.parametrize(
    ("theta", "cost", "precision", "step"),
    [
        (array(1.0, dtype=np.float32), lambda x: np.sum(np.sin(x)), "float64", 1e-7),
        (array(1.0), lambda x: np.sin(x.astype(np.float32))[0], "float64", 5e-3),
        (array(1.0, dtype=np.float16), lambda x: np.sum(np.sin(x)), "float64", 1e-7),
    ],
)
def test_single_precision(theta, cost, precision, step):
    curve = curve_of(theta, np.cos(theta), cost)
    assert (curve.precision, curve.step) == (precision, step)
    assert "The gradient is correct" in curve.sentence
    assert "no choice of step" in curve_of(theta, 2 * np.cos(theta), cost).sentence


def test_single_precision_in_place():
    w = array(1.0, dtype=np.float32)
    curve = curve_of(w, np.cos(w), lambda: np.sin(w)[0])
    assert (curve.precision, curve.step) == ("float32", 5e-3)
    assert coefficient(curve) == pytest.approx(np.cos(1) / 6, rel=0.1)


@pytest.mark.parametrize(("epsilon", "how"), [(0.3, "large"), (1e-14, "small")])
def test_a_step_of_the_users(epsilon, how):
    theta = array(0.3)
    curve = curve_of(theta, np.cos(theta), sine, epsilon=epsilon)
    assert curve.steps[curve.used] == pytest.approx(epsilon, rel=0.01)
    assert f"was too {how} a step" in curve.sentence


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-3, 3).map(lambda c: round(c, 3)), min_size=1, max_size=5),
    st.floats(-2, 2),
)
def test_right_gradients_stay_below_the_bounds(coefficients, at):
    """For polynomials of degree 4 or less, the truncation error is exactly c ε²."""
    polynomial = np.polynomial.Polynomial(coefficients)
    curve = curve_of(
        array(at), array(float(polynomial.deriv()(at))), lambda x: float(polynomial(x[0]))
    )
    # Intermediate values cancel, and J does not show the digits that are lost.
    size = np.abs(coefficients) @ (abs(at) + curve.steps) ** np.arange(len(coefficients))[:, None]
    lost = 1e-16 * size / curve.steps
    bound = SAFETY * (curve.roundoff + curve.truncation + lost)
    assert np.all(curve.errors <= bound + curve.rounding)


# With a check


def network():
    W = array([1.0, 2.0], [3.0, 4.0])
    params, grads = {"W": W, "b": array(0.5)}, {"dW": 2 * W, "db": array(0.75)}
    return params, grads, lambda p: np.sum(p["W"] ** 2) + p["b"][0] ** 3


def test_it_belongs_to_a_check():
    params, grads, cost = network()
    check = check_gradients(params, grads, cost)
    curve = step_curve(params, grads, cost, "W[1, 0]", check=check)
    assert (curve.label, curve.name, curve.index) == ("W[1, 0]", "W", (1, 0))
    assert (curve.best, curve.bar) == (check.numerical[2], check.uncertainty[2])
    assert not curve.moved
    same = step_curve(params, lambda p: grads, cost, "W", (-1, 0))
    assert list(same.values) == list(curve.values)


def test_a_check_that_could_not_tell():
    """The curve keeps its own value if the check has none."""
    params, grads = {"x": array(1.0, 2.0)}, {"dx": array(2.0, 4.0)}

    def cost(p):
        return float(p["x"] @ p["x"]) if abs(p["x"][0] - 1) < 5e-14 else np.nan

    check = check_gradients(params, grads, cost)
    assert np.isnan(check.numerical[0])
    curve = step_curve(params, grads, cost, "x[0]", check=check)
    assert abs(curve.best - 2) <= curve.bar < 0.1


@pytest.mark.parametrize("epsilon", [None, 1e-4])
@pytest.mark.parametrize("theta", [1e-6, 1e-8, 1e-10])
def test_not_finite_at_the_step_used(theta, epsilon):
    """The logarithm ends closer than the step: smaller steps tell the slope."""
    x = array(theta, 1.0)
    for factor in (1, 2):
        gradient = array(factor / theta, 2.0)
        curve = curve_of(x, gradient, lambda x: float(np.log(x[0]) + x[1] ** 2), epsilon=epsilon)
        assert curve.wrong == (factor == 2)
        assert abs(curve.best - 1 / theta) <= curve.bar < 1e-3 / theta


def test_what_is_tiny_may_vanish():
    """If the user's NumPy raises at underflow, our arithmetic does not."""
    x, gradient = array(0.0, 1.0), array(3e-300, 2.0)
    with np.errstate(all="raise"):
        curve = curve_of(x, gradient, lambda x: float(3e-300 * x[0] + x[1] ** 2))
    assert not curve.wrong


def test_what_has_changed_since():
    params, grads, cost = network()
    check = check_gradients(params, grads, cost)

    def changed(cost):
        curve = step_curve(params, grads, cost, "b", 0, check=check)
        assert curve.moved is bool(curve.changed)
        return curve

    assert changed(lambda p: cost(p) + 1e-9).sentence.startswith(
        "Since the check, the cost has changed: "
    )
    params["W"][0, 0] += 1e-3
    found = changed(cost)
    assert found.changed == ("θ",)
    assert found.sentence.startswith("Since the check, θ has changed: ")
    grads["db"][0] = 1.0
    assert changed(cost).sentence.startswith("Since the check, θ and the gradient have changed: ")
    params["W"][0, 0] = 1.0
    assert changed(cost).changed == ("the gradient",)


def test_fingerprint():
    """The fingerprint changes with a single bit, but not with the memory layout."""
    params, grads, cost = network()
    fingerprint = check_gradients(params, grads, cost).fingerprint
    assert check_gradients(params, grads, cost).fingerprint == fingerprint
    other = {**params, "W": np.asfortranarray(params["W"])}
    assert check_gradients(other, grads, cost).fingerprint == fingerprint
    params["W"][1, 1] = np.nextafter(4.0, 5.0)
    now = check_gradients(params, grads, cost).fingerprint.split(":")
    assert now[0] != fingerprint.split(":")[0]
    assert now[1] == fingerprint.split(":")[1]


# Everything is restored


def test_a_cost_that_raises():
    """A step at which the cost raises gives nan, and the arrays are restored to the last bit."""
    w = array(0.1, 0.7)

    def cost():
        if w[0] > 0.5:
            raise ZeroDivisionError
        return float(w @ w)

    before, state = w.tobytes(), np.random.get_state()[1].tobytes()
    curve = curve_of(w, 2 * w, cost)
    assert w.tobytes() == before
    assert np.random.get_state()[1].tobytes() == state
    assert np.isnan(curve.values[-1])
    assert np.isfinite(curve.values[curve.used])


@pytest.mark.parametrize("at", [1, 30, 31, 100])
def test_interrupted(at):
    w = array(0.1, 0.7)
    before, calls = w.tobytes(), []

    def cost():
        calls.append(None)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)
        return float(w @ w)

    with pytest.raises(KeyboardInterrupt):
        curve_of(w, 2 * w, cost)
    assert w.tobytes() == before


def test_progress():
    seen = []
    curve_of(array(0.5), array(1.0), lambda x: x @ x, progress=lambda *state: seen.append(state))
    assert seen[-1][0] == seen[-1][1]


# Wrong use


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("w", (0, 0), "`w` is not a parameter (did you mean `W`?): choose from `W` and `b`."),
        ("W", (2, 0), "There is no entry `W[2, 0]`: `W` has shape (2, 2)."),
        (
            "W",
            1,
            "`index` is 1: expected one whole number for each axis of `W`, shape (2, 2).",
        ),
        (
            "W",
            (),
            "`index` is (): expected one whole number for each axis of `W`, shape (2, 2).",
        ),
        (
            "W",
            "0",
            "`index` is '0': expected one whole number for each axis of `W`, shape (2, 2).",
        ),
        ("b", 0, "`b` was not checked, because `only` left it out: choose an entry from `W`."),
    ],
)
def test_messages(name, index, message):
    params, grads, cost = network()
    check = check_gradients(params, grads, cost, only=["W"])
    with pytest.raises(InputError) as error:
        step_curve(params, grads, cost, name, index, check=check)
    assert str(error.value) == message


def test_messages_of_other_things():
    params, grads, cost = network()
    with pytest.raises(InputError, match="`check` is an int: expected the GradientCheck"):
        step_curve(params, grads, cost, "b", 0, check=3)
    with pytest.raises(InputError, match="`grads` has no gradient for `b`"):
        step_curve(params, {"dW": grads["dW"]}, cost, "b", 0)
    check = check_gradients({"V": params["W"]}, {"dV": grads["dW"]}, lambda p: np.sum(p["V"] ** 2))
    with pytest.raises(
        InputError, match="`check` is a check of `V`, but `params` holds `W` and `b`"
    ):
        step_curve(params, grads, cost, "b", 0, check=check)
