"""The estimated noise of a cost: of costs rounded to a grid, of noisy and of smooth ones."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._cost.noise import (
    NOISE_DEVIATIONS,
    measured_noise,
    noise_in_steps,
    noise_level,
    noise_of_large_steps,
)
from gradcheck_magic._cost.surroundings import Precision

EPS = float(np.finfo(np.float64).eps)
NAN, INF = math.nan, math.inf


def around(function, eps=EPS, size=4):
    """Return the surroundings of a function of a sum, with a different weight for every entry."""
    found = SimpleNamespace(
        along=lambda _, distance: function(size * (1 + distance)),
        beside=lambda _, i, step: function(size + step * (1 + i / 7)),
        theta=np.ones(size),
        random=np.random.default_rng(0),
    )
    return found, Precision(SimpleNamespace(eps=EPS), function(size), math.nan, eps)


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
    """The third differences of a parabola vanish, exactly so if the largest value is 2ⁿ."""
    assert noise_level([float((k + 1) ** degree) for k in range(1, 8)]) == 0.0


@settings(max_examples=50, deadline=None)
@given(
    unit=st.sampled_from([1e-200, 1e-9, 1.0, 1e200]),
    slope=st.sampled_from([0.0, 1.0, 50.0]),
    seed=st.integers(0, 1000),
)
def test_standard_deviation(unit, slope, seed):
    """The noise of 31 points is found within a factor of 2, in any unit and on any slope."""
    noise = np.random.default_rng(seed).normal(size=31)
    values = unit * (noise + slope * np.arange(31))
    assert unit / 2 < noise_level(values.tolist()) < 2 * unit


@pytest.mark.parametrize("grid", [2.0**-40, 2.0**-35, 2.0**-30])
def test_a_grid(grid):
    """Rounding to a grid is off by up to half its width, and no more."""
    found = measured_noise(*around(rounded(grid, lambda x: 3 * x + 0.4 * grid)))
    assert grid / 2 <= NOISE_DEVIATIONS * found < 3 * grid


@pytest.mark.parametrize("decimals", [1, 2, 3, 4])
def test_stairs_wider_than_every_step(decimals):
    """A value is off by half a unit of the last decimal; twice that is granted."""
    found = measured_noise(*around(lambda x: round(0.123456789 + x * x, decimals)))
    assert NOISE_DEVIATIONS * found == pytest.approx(10.0**-decimals)


@pytest.mark.parametrize("value", [0.5, -1.0, 1e6, 1e-300])
def test_what_storing_loses(value):
    """The noise is half a unit in the last place of the stored J."""
    for eps in (EPS, float(np.finfo(np.float32).eps)):
        assert measured_noise(*around(lambda _: value / 3, eps)) == eps * abs(value / 3) / 2


def kinks_from(nearest, n, seed):
    """Return a function with kinks beside 4, the weaker the farther away."""
    away = np.outer(nearest * 3.0 ** np.arange(n), [1, -1]).ravel()
    gaps = nearest / 100 / np.abs(away) * np.random.default_rng(seed).choice([-1, 1], len(away))
    return lambda x: x / 9 + float(np.abs(x - 4 - away) @ gaps)


SMOOTH = {
    "sin": math.sin,
    "exp": lambda x: math.exp(x / 3),
    "kink": lambda x: abs(x - 4 - 3e-8),
    "kinks right beside": lambda x: x + abs(x - 4 - 4e-10) + abs(x - 4 + 8e-10),
    "HARD: kinks at all distances": kinks_from(1e-9, 16, seed=5),
    "wild": lambda x: math.sin(1e5 * x),
}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_smooth_and_kinked(name):
    """Neither curvature nor a kink counts as noise."""
    function = SMOOTH[name]
    # sin(1e5 x) magnifies the last place of x by 1e5.
    place = 1e5 * 4 * EPS if name == "wild" else 4 * EPS
    assert measured_noise(*around(function)) < 30 * place


def test_noise_that_shows_at_the_distance_of_a_step():
    """If the cost computes in single precision, it does not change at all very close to θ."""

    def function(x):
        return float(np.sin(np.float32(x)))

    found = measured_noise(*around(function))
    assert 1e-9 < found < 1e-6


def hashed(size):
    """Return noise that is the same for the same x."""
    return lambda x: size * np.random.default_rng(abs(hash(x))).normal()


@pytest.mark.parametrize("size", [1e-9, 1e-6])
def test_steps_along_entries(size):
    """The steps tell noise from a difference that grows with the step."""
    noise = hashed(size)
    noisy = noise_in_steps(*around(lambda x: math.sin(x) + noise(x)))
    assert size / 3 < noisy < 10 * size
    assert noise_in_steps(*around(math.sin)) < 1e-14
    assert noise_in_steps(*around(lambda x: abs(x - 4))) == 0.0


def test_steps_find_a_staircase():
    """The noise is the height of the stairs, from the first step that reaches another stair."""
    found = noise_in_steps(*around(rounded(1e-3, lambda x: x + 4e-4)))
    assert found == pytest.approx(1e-3)


def test_steps_in_a_few_entries_only():
    asked = set()

    def beside(_, i, step):
        asked.add(i)
        return step

    found, precision = around(lambda x: 0.0, size=1000)
    found.beside = beside
    assert noise_in_steps(found, precision) == 0.0
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        pytest.param(lambda x: math.sin(x) + hashed(1e-3)(x), 2e-4, 4e-3, id="beside a slope"),
        pytest.param(hashed(1e-3), 2e-4, 4e-3, id="without a visible slope"),
        pytest.param(lambda x: hashed(1e-3)(x) + max(x - 4, 0), 2e-4, 4e-3, id="and a kink"),
        pytest.param(rounded(1e-2, float), 1e-3, 1e-2, id="in step with stairs"),
        pytest.param(lambda x: hashed(1e-3)(round(x, 4)), 2e-4, 4e-3, id="nothing finer"),
        pytest.param(math.sin, 0.0, 1e-12, id="smooth"),
        pytest.param(lambda x: abs(x - 4.01), 0.0, 1e-12, id="a kink"),
        pytest.param(
            lambda x: sum(abs(x - 4 - 7e-3 * k) for k in range(-6, 7)), 0.0, 0.0, id="many kinks"
        ),
        pytest.param(kinks_from(1e-6, 10, seed=6), 0.0, 0.0, id="HARD: kinks at all distances"),
    ],
)  # fmt: skip
def test_noise_of_large_steps(function, low, high):
    """Noise does not grow with the distance; kinks and bends do."""
    found = noise_of_large_steps(*around(lambda x: 5.0 + function(x)))
    assert low <= found <= high
