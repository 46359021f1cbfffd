"""Random directions move the entries they say, by the amounts they say, and restore every bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._cost.directions import (
    LARGEST_MAGNITUDE,
    LEAST_MAGNITUDE,
    NUMBERS_AT_ONCE,
    Direction,
    box_size,
    contains,
    forget_numbers,
    intersection,
    likely_magnitude,
)

shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@st.composite
def boxes(draw, shape):
    ends = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
    return tuple(tuple(side) for side in ends)


@st.composite
def directions(draw):
    """Draw a direction of any shape, in any box, with holes and perhaps a ramp."""
    shape = draw(shapes)
    holes = draw(st.lists(boxes(shape), max_size=1))
    direction = Direction.over(1, shape, (draw(st.integers(0, 9)),), holes)
    ramp = draw(st.sampled_from([None, *range(len(shape))]))
    return direction.within(draw(boxes(shape)), ramp)


def dense(direction):
    """Return the direction as an array."""
    values = [direction.value_at(index) for index in np.ndindex(direction.shape)]
    return np.array(values).reshape(direction.shape)


# Boxes


@pytest.mark.parametrize(
    ("one", "other", "shared", "size"),
    [
        (((0, 4),), ((2, 9),), ((2, 4),), 2),
        (((0, 4), (0, 4)), ((1, 2), (3, 9)), ((1, 2), (3, 4)), 1),
        pytest.param(((0, 2),), ((2, 4),), ((2, 2),), 0, id="side by side"),
        pytest.param(((0, 1),), ((5, 6),), ((5, 5),), 0, id="apart"),
        pytest.param((), (), (), 1, id="a number"),
    ],
)
def test_intersection(one, other, shared, size):
    assert intersection(one, other) == intersection(other, one) == shared
    assert box_size(shared) == size


def test_an_empty_box_has_no_entries():
    assert box_size(((3, 2), (0, 5))) == 0


@pytest.mark.parametrize(
    ("index", "inside"), [((1, 2), True), ((1, 4), False), ((0, 2), False), ((2, 3), True)]
)
def test_contains(index, inside):
    assert contains(((1, 3), (2, 4)), index) is inside


# The numbers


def test_magnitudes():
    """Magnitudes are never small, have mean square 1, and follow the stated distribution."""
    numbers = dense(Direction.over(0, (20_000,), (3,), []))
    sizes = np.abs(numbers)
    assert sizes.min() >= LEAST_MAGNITUDE
    assert sizes.max() <= LARGEST_MAGNITUDE + 1e-6
    # The mean of x² over [a, b] is (a² + ab + b²) / 3.
    a, b = LEAST_MAGNITUDE, LARGEST_MAGNITUDE
    assert (a * a + a * b + b * b) / 3 == pytest.approx(1.0)
    assert np.mean(numbers**2) == pytest.approx(1.0, abs=0.02)
    assert abs(np.mean(np.sign(numbers))) < 4 / math.sqrt(len(numbers))
    for probability in (0.999, 0.9, 0.5):
        share = np.mean(sizes > likely_magnitude(probability))
        assert share == pytest.approx(probability, abs=0.02)


def test_numbers_depend_on_the_seed_alone():
    """They do not depend on the box, on earlier directions, or on whether they were forgotten."""
    shape = (6, 7)
    whole = dense(Direction.over(0, shape, (1, 2), []))
    other = dense(Direction.over(0, shape, (1, 3), []))
    forget_numbers()
    part = Direction.over(4, shape, (1, 2), []).within(((2, 4), (1, 6)))
    assert (dense(part)[2:4, 1:6] == whole[2:4, 1:6]).all()
    assert (whole != other).mean() > 0.9


@settings(max_examples=40, deadline=None)
@given(directions())
def test_what_moves(direction):
    """Nothing moves outside the box or in a hole, and `size` is the number of entries that do."""
    values = dense(direction.within(direction.box))
    moving = np.array(
        [
            contains(direction.box, index) and not any(contains(h, index) for h in direction.holes)
            for index in np.ndindex(direction.shape)
        ]
    ).reshape(direction.shape)
    assert ((values != 0) == moving).all()
    assert direction.size == moving.sum()


def test_ramp():
    """The ramp is 0 at the start of the box and 1 at its end."""
    direction = Direction.over(0, (3, 8), (0,), []).within(((0, 3), (2, 7)))
    plain, ramped = dense(direction)[:, 2:7], dense(direction.within(direction.box, 1))[:, 2:7]
    np.testing.assert_allclose(ramped, plain * [0, 0.25, 0.5, 0.75, 1], rtol=1e-15)


# Moving


@settings(max_examples=40, deadline=None)
@given(directions(), st.floats(-10, 10), st.sampled_from([np.float64, np.float32]), st.booleans())
def test_moved_and_restored(direction, step, dtype, fortran):
    random = np.random.default_rng(0)
    theta = random.normal(size=direction.shape).astype(dtype)
    array = np.array(theta, order="F" if fortran else "C")
    before = array.tobytes()
    direction.move(array, theta, step)
    assert array.tobytes() == (theta + step * dense(direction)).astype(dtype).tobytes()
    direction.restore(array, theta)
    assert array.tobytes() == before


@pytest.mark.parametrize("shape", [(NUMBERS_AT_ONCE + 5,), (3, NUMBERS_AT_ONCE - 1), (40, 30, 50)])
def test_in_blocks(shape):
    """A direction that needs several blocks is moved and predicted as any other."""
    hole = tuple((1, 2) if k == 0 else (0, n) for k, n in enumerate(shape))
    direction = Direction.over(0, shape, (0,), [hole])
    # Steps of 2⁻² are exact with the single-precision numbers of the direction.
    theta, array = np.zeros(shape), np.zeros(shape)
    direction.move(array, theta, 0.25)
    numbers = array * 4
    assert (numbers[1] == 0).all()
    assert np.count_nonzero(numbers) == direction.size
    gradient = np.random.default_rng(1).normal(size=shape)
    slope, _, _ = direction.predicted(gradient, theta, 0.25, lambda there: there)
    assert slope == pytest.approx(float(np.sum(gradient * numbers)), rel=1e-9)


# Predictions


@settings(max_examples=40, deadline=None)
@given(directions(), st.sampled_from([1e-1, 1e-3, 1e-5]), st.sampled_from(["f8", "f4", "f2"]))
def test_prediction_of_a_linear_function(direction, step, dtype):
    """Together with the rounding of θ ± h·v, it is the change of the function, in any precision."""
    random = np.random.default_rng(1)
    theta = random.normal(size=direction.shape).astype(dtype)
    gradient = random.normal(size=direction.shape)
    slope, plus, minus = direction.predicted(
        gradient, theta, step, lambda there: there.astype(dtype)
    )

    def change(side):
        array = theta.copy()
        direction.move(array, theta, side * step)
        return float(np.sum(gradient * (array.astype(float) - theta.astype(float))))

    size = float(np.sum(np.abs(gradient) * (np.abs(theta.astype(float)) + step)))
    assert slope == pytest.approx(float(np.sum(gradient * dense(direction))), abs=1e-12)
    slack = 1e-14 * (size + 1)
    assert step * slope + plus == pytest.approx(change(1), abs=slack)
    assert -step * slope + minus == pytest.approx(change(-1), abs=slack)
