"""The verdict of a check, and the contents of a result."""

import json
import pickle
import re

import numpy as np
import pytest
from networks import Smooth

from gradcheck_magic import (
    GradientCheckFailed,
    Verdict,
    check_gradients,
)


def linear(slope):
    """Return a cost whose numerical gradient is `slope`, up to rounding noise of order 1e-9."""
    return lambda theta: float(slope @ theta)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        pytest.param(1, Verdict.CORRECT, id="right"),
        pytest.param(1 + 1e-7, Verdict.CORRECT, id="half of 1e-7"),
        pytest.param(1 + 4e-7, Verdict.INSPECT, id="twice 1e-7"),
        pytest.param(1 + 1.8e-5, Verdict.INSPECT, id="just below 1e-5"),
        pytest.param(1 + 2.2e-5, Verdict.INSPECT, id="above 1e-5, in all entries, without a cause"),
        pytest.param(1 + 2.2e-4, Verdict.INSPECT, id="above 1e-4, in all entries, without a cause"),
        pytest.param(1 + 6.6e-4, Verdict.BUG, id="just above 3e-4"),
        pytest.param(1.001, Verdict.BUG, id="with a cause"),
        pytest.param(-1, Verdict.BUG, id="the other sign"),
    ],
)
def test_bands(check, factor, verdict):
    slope = np.array([3.0, -2.0, 1.0])
    found = check(np.zeros(3), factor * slope, linear(slope))
    assert found.verdict is verdict
    assert bool(found) is found.passed is (verdict is Verdict.CORRECT)
    expected = abs(factor - 1) / (abs(factor) + 1)
    assert found.difference == pytest.approx(expected, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradient_not_finite(check, value):
    """It is a bug, and the message names the entry."""
    found = check({"W": np.zeros((2, 2))}, {"dW": np.array([[1, value], [3, 4]])},
                  lambda p: float(np.sum(p["W"] * [[1, 2], [3, 4]])))  # fmt: skip
    assert found.verdict is Verdict.BUG
    assert found.wrong_entries == (("W", (0, 1)),)
    assert found.parameters[0].worst.label == "W[0, 1]"
    assert "`dW` is nan or infinite in 1 of 4 entries" in found.diagnoses[0].sentence


def test_both_zero_everywhere(check):
    """Nothing was compared, so there is no verdict."""
    found = check(np.ones(3), np.zeros(3), lambda theta: 7.0 + 0 * theta[0])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.difference == 0.0
    assert found.reasons == ("Both gradients are zero everywhere: there is nothing to compare.",)


def test_one_parameter_zero(check):
    params = {"W": np.ones(2), "unused": np.ones(2)}
    grads = {"dW": 2 * np.ones(2), "dunused": np.zeros(2)}
    found = check(params, grads, lambda p: float(p["W"] @ p["W"]))
    assert found.verdict is Verdict.CORRECT
    assert found.notes == ("Both gradients of `unused` are zero: there was nothing to compare.",)


def test_round_off_of_a_tiny_gradient_is_not_held_against_its_parameter(check):
    """The error bars excuse only errors that are smaller."""
    params = {"big": np.array([1.0]), "tiny": np.array([1.0])}

    def cost(p):
        return float(np.exp(p["big"][0]) + 1e-9 * p["tiny"][0])

    found = check(params, {"dbig": np.exp([1.0]), "dtiny": np.array([1e-9])}, cost)
    tiny = found.parameters[1]
    assert tiny.difference > 1e-5
    assert tiny.verdict is Verdict.CORRECT
    assert tiny.n_wrong == 0


def test_a_small_wrong_parameter_is_a_bug(check):
    """The textbook's number passes it; the error bars do not."""
    params = {"big": np.array([1.0]), "small": np.array([1.0])}

    def cost(p):
        return float(1e3 * (p["big"][0] - 1) + 1e-4 * p["small"][0])

    grads = {"dbig": np.array([1e3]), "dsmall": np.array([1.1e-4])}
    found = check(params, grads, cost)
    assert found.difference < 1e-7
    assert found.verdict is Verdict.BUG
    assert [p.verdict for p in found.parameters] == [Verdict.CORRECT, Verdict.BUG]
    assert found.wrong_entries == (("small", (0,)),)
    (reason,) = found.reasons
    assert reason == (
        "`small[0]`, 1e-07 of the whole gradient, has a relative error of up to 9.1e-02, far "
        "beyond the error bars; the difference over all parameters, 5.0e-09, hides it."
    )


def test_one_sided_where_the_cost_ends(check):
    """At the edge of the cost's domain, only the other side is used."""

    def cost(theta):
        with np.errstate(invalid="ignore"):
            return float(np.sqrt(theta[0] - 1) ** 4 + theta[1] ** 2)

    found = check(np.array([1.0, 2.0]), np.array([0.0, 4.0]), cost)
    assert np.all(np.isfinite(found.numerical))
    assert found.numerical == pytest.approx([0, 4], abs=1e-6)


def test_lost_where_the_cost_is_finite_nowhere_around(check):
    """Correct gradients of other entries do not make up for it."""

    def cost(theta):
        return float(theta[1] ** 2) if theta[0] == 1 else np.nan

    found = check(np.array([1.0, 2.0]), np.array([0.0, 4.0]), cost)
    assert found.verdict is Verdict.INCONCLUSIVE
    (reason,) = found.reasons
    assert reason == (
        "`cost` is not finite near `params[0]`, or every step there is too small for floating "
        "point or too large for the cost: that entry cannot be checked. Check at another point."
    )


def test_single_precision(check):
    """The step is larger, and a note says why."""
    theta = np.array([1, 2], dtype=np.float32)
    found = check(theta, 2 * theta, lambda t: t @ t)
    assert found.epsilon == 5e-3
    assert found.difference < 1e-4
    assert found.notes[0].startswith("Single precision (float32): the step is 0.005,")
    given = check(theta, 2 * theta, lambda t: t @ t, epsilon=0.25)
    assert given.epsilon == 0.25


def test_noise(check):
    """The estimated noise of one evaluation is close to the true one."""
    random = np.random.default_rng(0)

    def cost(theta):
        return float(theta @ theta) + 1e-10 * random.uniform(-1, 1)

    found = check(np.ones(5), 2 * np.ones(5), cost)
    assert 2e-11 < found.noise < 5e-10
    assert np.all(np.abs(found.numerical - 2) < found.uncertainty)
    assert found.verdict is Verdict.CORRECT
    assert "which a step of 1e-07 magnifies" in found.reasons[0]


def test_result():
    """A result keeps its promises."""
    net = Smooth()
    found = check_gradients(net.params, net.grads(), net.cost, mode="full")
    assert found.passed
    assert found.mode == "full"
    assert found.difference_uncertainty == 0.0
    assert found.size == found.n_measured == 30
    assert list(found.measured) == list(range(30))
    assert [p.name for p in found.parameters] == ["W1", "b1", "W2", "b2"]
    assert [p.shape for p in found.parameters] == [(4, 4), (4,), (4, 2), (2,)]
    assert not found.wrong.any()
    assert found.wrong_entries == found.diagnoses == found.reasons == found.notes == ()
    assert found.cost == net.cost(net.params)
    assert found.raise_if_failed() is None
    assert repr(found) == f"<GradientCheck CORRECT, difference {found.difference:.3g}>"
    with pytest.raises(AttributeError):
        found.verdict = Verdict.BUG
    with pytest.raises(ValueError, match="read-only"):
        found.analytic[0] = 0


def test_evaluations_are_counted():
    calls = []
    net = Smooth()

    def cost(p):
        calls.append(None)
        return net.cost(p)

    found = check_gradients(net.params, net.grads(), cost)
    assert found.n_evaluations == len(calls)
    assert len(calls) <= 2 * found.size + 20


def test_failed():
    net = Smooth()
    grads = net.grads()
    grads["dW2"] *= 2
    found = check_gradients(net.params, grads, net.cost)
    with pytest.raises(GradientCheckFailed) as error:
        found.raise_if_failed()
    assert error.value.check is found
    assert re.sub(r"to \d digits", "to N digits", str(error.value)) == (
        f"There is a bug in backpropagation. The difference is {found.difference:.3g}. `dW2` is "
        "2.000 times the numerical gradient, in all 8 entries, to N digits. A factor of 2: was "
        "the ½ before a square forgotten, or a term added twice? Look at where `dW2` is computed."
    )


def test_to_dict_is_json():
    """It is, even if some values are not finite."""
    net = Smooth()
    grads = net.grads()
    grads["dW1"][1, 2] = np.nan
    found = check_gradients(net.params, grads, net.cost)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["verdict"] == "BUG"
    assert read["passed"] is False
    assert read["n_wrong"] == 1
    assert [p["name"] for p in read["parameters"]] == ["W1", "b1", "W2", "b2"]
    assert read["worst_entries"][0]["label"] == "W1[1, 2]"
    assert read["worst_entries"][0]["analytic"] is None
    assert len(read["worst_entries"]) == 30


def test_worst_entries_with_only():
    """Labels are correct even if only some parameters were checked."""
    net = Smooth()
    grads = net.grads()
    grads["db1"][2] += 1
    found = check_gradients(net.params, grads, net.cost, only=["b1", "b2"])
    assert found.worst_entries(1)[0].label == "b1[2]"
    assert list(found.measured[found.wrong]) == [18]


@pytest.mark.parametrize(("slope", "verdict"), [(1, Verdict.CORRECT), (2, Verdict.BUG)])
def test_step_lost_in_rounding(check, slope, verdict):
    """If θ + ε is θ, a step that does change θ is used instead."""
    grads = np.array([slope, 1.0])
    found = check(np.array([1e10, 1.0]), grads, lambda t: float(t[1] + (t[0] - 1e10)))
    assert found.verdict is verdict
    assert found.numerical == pytest.approx([1, 1], rel=1e-3)


@pytest.mark.parametrize(("factor", "verdict"), [(1, Verdict.CORRECT), (1.5, Verdict.BUG)])
def test_huge_gradients(check, factor, verdict):
    """The squares overflow, but the ratio does not."""
    slope = np.array([3e200, -2e200])
    assert check(np.zeros(2), factor * slope, linear(slope)).verdict is verdict


def test_half_precision(check):
    """The step is even larger."""
    theta = np.array([0.5, 1, 1.5], dtype=np.float16)
    assert check(theta, 2 * theta, lambda t: np.sum(t**2)).epsilon == 0.1


def test_wrong_entries_are_among_the_worst():
    """They are, however many entries are only rounding noise."""
    n = 200
    slope = np.full(n, 1e-14)
    slope[-1] = 1.0
    gradient = slope.copy()
    gradient[-1] = 1.2
    found = check_gradients(np.ones(n), gradient, lambda theta: float(theta[-1]))
    assert found.wrong_entries == (("params", (n - 1,)),)
    assert found.to_dict()["worst_entries"][0]["label"] == f"params[{n - 1}]"


def test_round_off_of_a_large_cost_is_told(check):
    """The textbook's bands call it a bug; the error bars do not, and a reason says why."""
    theta = np.array([1.0, 2.0])
    found = check(theta, 2 * theta, lambda t: float(t @ t) + 1e8)
    assert found.difference > 1e-3
    assert found.verdict is Verdict.CORRECT
    assert found.reasons[0].startswith(f"The difference of {found.difference:.1e} is rounding")
    assert "is 1e+08, with rounding noise of" in found.reasons[0]


def test_infinite_on_both_sides(check):
    """The check itself gives no warning about it."""

    def cost(theta):
        return float(theta[1] ** 2) if theta[0] == 1 else np.inf

    assert check(np.array([1.0, 2.0]), np.array([0.0, 4.0]), cost).verdict is Verdict.INCONCLUSIVE


def test_detectable():
    """An error that is larger is listed, and one that is smaller is not."""
    theta = np.array([1.0, 2.0])
    right = check_gradients(theta, 2 * theta, lambda t: float(t @ t))
    for factor, seen in [(0.5, 0), (1.5, 1)]:
        gradient = 2 * theta + [0, factor * right.detectable]
        found = check_gradients(theta, gradient, lambda t: float(t @ t))
        assert len(found.wrong_entries) == seen


def test_failure_travels_between_processes():
    net = Smooth()
    found = check_gradients(net.params, {k: 2 * v for k, v in net.grads().items()}, net.cost)
    with pytest.raises(GradientCheckFailed) as error:
        found.raise_if_failed()
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value)
    assert copy.check.difference == found.difference


def test_rounding_of_the_gradient(check):
    """If the cost is zero, error bars are tiny, but rounding of the gradient is not a mistake."""
    found = check(np.zeros(2), np.array([1.0, 2e-16]), lambda theta: float(theta[0]))
    assert found.verdict is Verdict.CORRECT
    assert found.wrong_entries == ()
