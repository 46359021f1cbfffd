"""A gradient is that of a function if it fits in every direction, and not by chance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.gradient_of_other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._inputs.parameters import Parameter

SIZES = (3, 4)
NOISE = 1e-15


def quadratic(seed):
    """Return J = θᵀAθ / 2 + bᵀθ, and its gradient Aθ + b."""
    random = np.random.default_rng(seed)
    root, b = random.normal(size=(7, 7)), random.normal(size=7)
    A = root @ root.T
    return lambda theta: theta @ A @ theta / 2 + b @ theta, lambda theta: A @ theta + b


def mismatches(analytic, numerical, theta, sizes=SIZES):
    """Return mismatches of parameters of these sizes, whose gradients are parts of these."""
    found, start = [], 0
    for k, size in enumerate(sizes):
        name = f"p{k}"
        part = slice(start, start + size)
        parameter = Parameter(name, None, theta[part], start)
        values = analytic[part], numerical[part], np.full(size, 1e-9), np.zeros(size)
        wrong = np.ones(size, dtype=bool)
        m = Mismatch.of(parameter, f"d{name}", values, wrong, np.arange(size), is_bug=True)
        found.append(m)
        start += size
    return found


def case(seed=0):
    """Return a point, a function, its gradient, and the measured gradient: another function's."""
    theta = np.random.default_rng(seed + 1000).normal(size=7)
    function, gradient = quadratic(seed)
    _, other = quadratic(seed + 1)
    return theta, NoisyFunction(function, NOISE), gradient(theta), other(theta)


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(1e-4, 10))
def test_slope_of_a_quadratic(x, v, step):
    """A central difference has no truncation error here: J = 5 x² has the slope 10 x v."""
    slope = NoisyFunction(lambda theta: 5 * float(theta @ theta), 0.0).slope(
        np.array([x]), np.array([v]), step
    )
    assert slope == pytest.approx(10 * x * v, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500), st.integers(0, 6), st.floats(-1, 1), st.integers(-4, 2))
def test_belongs(seed, k, sign, exponent):
    """The gradient of a quadratic fits, and one that is off in a single entry does not."""
    theta, function, gradient, measured = case(seed)
    assert is_gradient_of(function, theta, mismatches(gradient, measured, theta))
    off = np.zeros(7)
    off[k] = math.copysign(10.0**exponent, sign) * np.linalg.norm(gradient)
    assert not is_gradient_of(function, theta, mismatches(gradient + off, measured, theta))


def test_another_point():
    """A gradient of another point fits there, and not here."""
    theta, function, _, _ = case()
    _, gradient = quadratic(0)
    there = theta + 0.1
    found = mismatches(gradient(there), gradient(theta), theta)
    assert is_gradient_of(function, there, found)
    assert not is_gradient_of(function, theta, found)


def test_what_was_measured_already_belongs_to_the_cost():
    """A gradient that also fits the user's own cost is not taken for that of another one."""
    theta, function, gradient, _ = case()
    assert not is_gradient_of(function, theta, mismatches(gradient, gradient, theta))
    assert not is_gradient_of(function, theta, mismatches(gradient, gradient * (1 + 1e-9), theta))


@pytest.mark.parametrize("which", [0, 1])
def test_each_parameter_is_to_fit(which):
    theta, function, gradient, measured = case()
    gradient = gradient.copy()
    part = mismatches(gradient, measured, theta)[which].part
    gradient[part] = 1.01 * gradient[part]
    found = mismatches(gradient, measured, theta)
    assert not is_gradient_of(function, theta, found)
    assert is_gradient_of(function, theta, [found[1 - which]]), "the other one does"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nothing_belongs_where_there_is_no_cost(value):
    theta, _, gradient, measured = case()
    found = mismatches(gradient, measured, theta)
    with np.errstate(invalid="ignore"):
        assert not is_gradient_of(NoisyFunction(lambda _: np.float64(value), NOISE), theta, found)


@pytest.mark.parametrize(("given", "expected"), [(0.0, False), (1e-2, True)])
def test_a_point_that_is_known_roughly(given, expected):
    """A relative error of the point excuses as large a fraction of the gradient's own error."""
    theta, function, gradient, measured = case()
    nearly = gradient + 1e-4 * (measured - gradient)
    found = mismatches(nearly, measured, theta)
    assert is_gradient_of(function, theta, found, given=given) is expected


@pytest.mark.parametrize(("noise", "expected"), [(NOISE, False), (1e-9, True), (1.0, False)])
def test_noise(noise, expected):
    """Noise of 1e-9 excuses an error of 1e-5; with too much noise, nothing can be said."""
    theta, function, gradient, measured = case()
    nearly = gradient + 1e-5 / np.sqrt(7)
    found = mismatches(nearly, measured, theta)
    assert is_gradient_of(NoisyFunction(function.evaluate, noise), theta, found) is expected


@pytest.mark.parametrize("is_wrong", [False, True])
def test_many_parameters_share_directions(is_wrong):
    """Every evaluation goes through all of θ, so there are not several for each parameter."""
    theta = np.random.default_rng(0).normal(size=1000)
    n_evaluations = 0

    def square(at):
        nonlocal n_evaluations
        n_evaluations += 1
        return float(at @ at)

    analytic = 2 * theta
    analytic[500] *= 1 + 1e-3 * is_wrong
    found = mismatches(analytic, 3 * theta, theta, [2] * 500)
    assert is_gradient_of(NoisyFunction(square, 1e-14), theta, found) is not is_wrong
    assert n_evaluations <= 4 * 64


@pytest.mark.parametrize(("slope", "fits"), [
    pytest.param(0.0, True, id="as before batch norm"),
    pytest.param(1e-3, False, id="HARD: nearly"),
])  # fmt: skip
def test_a_parameter_without_a_gradient_may_fit(slope, fits):
    """Noise is all that there is of a slope of zero, here and there."""
    theta = np.random.default_rng(1).normal(size=7)
    function, gradient = quadratic(0)
    front, random = np.arange(7) < SIZES[0], np.random.default_rng(2)
    analytic = gradient(theta * front) * front

    def noisy(point):
        return function(point * front) + slope * point[SIZES[0] :].sum() + 1e-12 * random.normal()

    found = mismatches(analytic, 2 * analytic + front, theta)
    assert is_gradient_of(NoisyFunction(noisy, 1e-12), theta, found) is fits
