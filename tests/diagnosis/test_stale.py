"""A gradient of the parameters before an update reveals the learning rate."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.causes.scale import Scale
from gradcheck_magic._diagnosis.causes.stale import USUAL_RATES, Update
from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.finding import Case
from gradcheck_magic._diagnosis.layers import Layers
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import pair

NOISE = 1e-15
SIZES = {"W": 6, "b": 4}
N = sum(SIZES.values())
RANDOM = np.random.default_rng(8)
A, C = RANDOM.normal(size=(12, N)) / 3, RANDOM.normal(size=12)
START = RANDOM.normal(size=N)
# Kinks on all sides of the start, some nearer than an update goes.
KINKS = A @ START + np.linspace(-0.06, 0.07, 12)


def smooth(theta):
    """Return Σ log cosh(Aθ − c), whose gradient is Aᵀ tanh(Aθ − c)."""
    return float(np.sum(np.logaddexp(A @ theta - C, C - A @ theta)))


def smooth_gradient(theta):
    return A.T @ np.tanh(A @ theta - C)


def kinked(theta):
    """Return Σ |Aθ − c|: along a line, its slope is constant except for jumps."""
    return float(np.sum(np.abs(A @ theta - KINKS)))


def kinked_gradient(theta):
    return A.T @ np.sign(A @ theta - KINKS)


def found_rate(
    theta, analytic, *, cost=smooth, gradient=smooth_gradient, names=(), thorough=True, bar=1e-9
):
    """Return the learning rate found, given the notebook's own learning rates.

    The search is thorough unless all gradients are explained by a factor, but by no known one.
    """
    ends = np.cumsum(list(SIZES.values()))
    params = dict(zip(SIZES, np.split(theta, ends[:-1]), strict=True))
    grads = dict(zip(SIZES, np.split(analytic, ends[:-1]), strict=True))
    pairing = pair(params, grads)
    mismatches = []
    for parameter, part in pairing.parts():
        size = parameter.size
        values = analytic[part], gradient(theta)[part], np.full(size, bar), np.zeros(size)
        wrong = np.ones(size, dtype=bool)
        m = Mismatch.of(parameter, "", values, wrong, np.arange(size), is_bug=True)
        mismatches.append(m)
    findings = [
        Unknown.of(m) if thorough else Scale((m,), factor=1.2345678, factor_uncertainty=1e-9)
        for m in mismatches
    ]
    case = Case(
        pairing, tuple(mismatches), Layers(mismatches), NotebookNumbers(cost, dict(names), pairing),
        "cost", SimpleNamespace(at=cost, best=SimpleNamespace(noise=NOISE)), None, tuple(findings),
    )  # fmt: skip
    rates = [finding.learning_rate for finding in Update.among(case)]
    return rates[0] if rates else None


@settings(max_examples=25, deadline=None)
@given(st.floats(-4, -0.7))
def test_planted(exponent):
    """After θ ← θ − α g, any α is found to a millionth, or as precisely as the slope allows.

    The slope along g is known to 1e-9 of ‖g‖, and changes by α gᵀHg / ‖g‖.
    """
    rate, g = 10.0**exponent, smooth_gradient(START)
    gHg = np.sum((A @ g) ** 2 / np.cosh(A @ START - C) ** 2)
    told = 2e-9 * (g @ g) / (rate * gHg)
    assert told < 1e-4
    assert found_rate(START - rate * g, g) == pytest.approx(rate, rel=max(1e-6, told))


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.075, 0.0012])
def test_round_numbers_are_found_to_the_digit(rate):
    before = smooth_gradient(START)
    assert found_rate(START - rate * before, before) == rate


def test_a_rate_of_the_notebook_is_taken_as_it_is():
    """A number of many digits is found to the last one if the notebook has it."""
    rate, before = 0.0123456789, smooth_gradient(START)
    theta = START - rate * before
    assert found_rate(theta, before, names={"lr": rate}) == rate
    assert found_rate(theta, before, names={"momentum": rate}) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("analytic", [
    pytest.param(np.random.default_rng(1).normal(size=N), id="another vector"),
    pytest.param(2 * smooth_gradient(START), id="twice what is right now"),
    pytest.param(smooth_gradient(START) + 1e-3, id="HARD: a little off"),
    pytest.param(smooth_gradient(START + 0.1), id="HARD: of another point, by no update"),
    pytest.param(np.zeros(N), id="zero"),
])  # fmt: skip
@pytest.mark.parametrize("thorough", [False, True])
def test_what_is_not_stale(analytic, thorough):
    assert found_rate(START, analytic, thorough=thorough) is None


def test_all_must_be_known():
    """If entries have no error bar, no learning rate is found: they may be updated as well."""
    rate, before = 0.1, smooth_gradient(START)
    assert found_rate(START - rate * before, before, bar=np.inf) is None


@pytest.mark.parametrize(("rate", "names", "thorough", "is_found"), [
    pytest.param(0.1, {}, True, True, id="a usual one"),
    pytest.param(0.1, {}, False, False, id="HARD: none is tried"),
    pytest.param(0.2, {}, True, False, id="HARD: an unusual one"),
    pytest.param(0.2, {"lr": 0.2}, True, True, id="an unusual one that the notebook has"),
])  # fmt: skip
def test_where_the_secants_lead_nowhere(rate, names, thorough, is_found):
    """For a piecewise linear cost, usual learning rates are tried instead of secants."""
    before = kinked_gradient(START)
    theta = START - rate * before
    assert np.any(kinked_gradient(theta) != before), "the update crosses kinks"
    assert (rate in USUAL_RATES) == (rate == 0.1)
    found = found_rate(
        theta, before, cost=kinked, gradient=kinked_gradient, names=names, thorough=thorough
    )
    assert found == (rate if is_found else None)


@pytest.mark.parametrize("factor", [
    pytest.param(-1.0, id="the sign reversed"),
    pytest.param(1.5, id="too large"),
    pytest.param(1e6, id="HARD: much too large"),
])  # fmt: skip
def test_the_search_stays_near(factor):
    """An update never moves the parameters by much more than their length."""
    distances = []

    def cost(theta):
        distances.append(np.linalg.norm(theta - START) / np.linalg.norm(START))
        return smooth(theta)

    analytic = factor * smooth_gradient(START) + 0.01
    assert found_rate(START, analytic, cost=cost, names={"lr": 9.0, "step": 1e-9}) is None
    assert 0 < max(distances) < 3


@pytest.mark.parametrize(("seconds", "most_slow"), [
    pytest.param(60.0, 1, id="ages"),
    pytest.param(0.1, None, id="HARD: no longer than a busy machine may take"),
])  # fmt: skip
def test_a_solver_that_is_slow_far_away(clock, seconds, most_slow):
    """After one evaluation that takes ages, no further learning rate is tried."""
    slow = []

    def cost(theta):
        is_far = bool(np.linalg.norm(theta - START) > 0.05)
        slow.extend([theta] * is_far)
        clock.sleep(seconds if is_far else 0.001)
        return smooth(theta)

    found = found_rate(START, 1.5 * smooth_gradient(START) + 0.01, cost=cost)
    assert found is None
    assert len(slow) > 1 if most_slow is None else len(slow) == most_slow
