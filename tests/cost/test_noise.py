"""The noise of a cost: of those that are rounded to a grid, of noisy and of smooth ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._cost.noise import NearbyCosts, measured_noise, noise_in_steps, noise_level

EPS = float(np.finfo(np.float64).eps)
NAN, INF = math.nan, math.inf


def around(function, at=1.0, size=4):
    """Surroundings of a function of a sum, in which every entry has a weight of its own."""
    return NearbyCosts(
        along=lambda distance: function(size * at * (1 + distance)),
        beside=lambda i, step: function(size * at + step * (1 + i / 7)),
        size=size,
        value=function(size * at),
        random=np.random.default_rng(0),
    )


def rounded(grid, function):
    return lambda x: grid * round(function(x) / grid)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([3.0] * 7, id="constant"),
        pytest.param([0.0] * 7, id="zero"),
        pytest.param([1.0, INF, *range(5)], id="not finite"),
        pytest.param([1.0, NAN, *range(5)], id="no number"),
    ],
)
def test_no_noise(values):
    assert noise_level(values) == 0.0


@pytest.mark.parametrize("degree", [1, 2])
def test_what_is_smooth_is_no_noise(degree):
    """The third differences of a parabola vanish: exactly, where the largest value is 2ⁿ."""
    assert noise_level([float((k + 1) ** degree) for k in range(1, 8)]) == 0.0


@settings(max_examples=50, deadline=None)
@given(
    unit=st.sampled_from([1e-200, 1e-9, 1.0, 1e200]),
    slope=st.sampled_from([0.0, 1.0, 50.0]),
    seed=st.integers(0, 1000),
)
def test_standard_deviation(unit, slope, seed):
    """Of 31 points, within a factor of 2, in whatever unit and on whatever slope."""
    noise = np.random.default_rng(seed).normal(size=31)
    values = unit * (noise + slope * np.arange(31))
    assert unit / 2 < noise_level(values.tolist()) < 2 * unit


@pytest.mark.parametrize("grid", [2.0**-40, 2.0**-35, 2.0**-30])
def test_a_grid(grid):
    """Rounding to a grid is off by up to half of it, with a standard deviation of grid / √12."""
    found = measured_noise(around(rounded(grid, lambda x: 3 * x + 0.4 * grid)), EPS, EPS)
    assert grid / math.sqrt(12) / 3 < found < 3 * grid


@pytest.mark.parametrize("decimals", [1, 2, 3, 4])
def test_stairs_wider_than_every_step(decimals):
    """Half a unit of the last decimal that the values have."""
    found = measured_noise(around(lambda x: round(0.123456789 + x * x, decimals)), EPS, EPS)
    assert found == pytest.approx(0.5 * 10.0**-decimals)


@pytest.mark.parametrize("value", [0.5, -1.0, 1e6, 1e-300])
def test_what_storing_loses(value):
    """Half a unit in the last place, of J as it is stored."""
    for eps in (EPS, float(np.finfo(np.float32).eps)):
        assert measured_noise(around(lambda _: value / 3), EPS, eps) == eps * abs(value / 3) / 2


SMOOTH = {
    "sin": math.sin,
    "exp": lambda x: math.exp(x / 3),
    "kink": lambda x: abs(x - 4 - 3e-8),
    "wild": lambda x: math.sin(1e5 * x),
}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_smooth_and_kinked(name):
    """Neither curvature nor a kink on the way counts as noise."""
    function = SMOOTH[name]
    # sin(1e5 x) feels the last place of x, 1e5 times.
    place = 1e5 * 4 * EPS if name == "wild" else 4 * EPS
    assert measured_noise(around(function), EPS, EPS) < 30 * place


def test_noise_that_shows_at_the_distance_of_a_step():
    """What is computed from θ in single precision does not change at all near by."""

    def function(x):
        return float(np.sin(np.float32(x)))

    found = measured_noise(around(function), EPS, EPS)
    assert 1e-9 < found < 1e-6


def hashed(size):
    """Noise that is the same wherever x is the same."""
    return lambda x: size * np.random.default_rng(abs(hash(x))).normal()


@pytest.mark.parametrize("size", [1e-9, 1e-6])
def test_steps_along_entries(size):
    """They tell noise from what grows with the step."""
    noise = hashed(size)
    noisy = noise_in_steps(around(lambda x: math.sin(x) + noise(x)), EPS)
    assert size / 3 < noisy < 10 * size
    assert noise_in_steps(around(math.sin), EPS) < 1e-14
    assert noise_in_steps(around(lambda x: abs(x - 4)), EPS) == 0.0


def test_steps_find_a_staircase():
    """Its stairs, from the first step on that is no more on the same one."""
    found = noise_in_steps(around(rounded(1e-3, lambda x: x + 4e-4)), EPS)
    assert found == pytest.approx(1e-3)


def test_steps_in_a_few_entries_only():
    asked = set()

    def beside(i, step):
        asked.add(i)
        return step

    surroundings = NearbyCosts(float, beside, 1000, 0.0, np.random.default_rng(0))
    assert noise_in_steps(surroundings, EPS) == 0.0
    assert len(asked) == 4
