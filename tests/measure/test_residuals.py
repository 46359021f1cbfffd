"""The residual along a direction is the error of the gradient, times the direction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Direction, likely_magnitude
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.analytic_gradient import gradient_under_test
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._measure.residuals import (
    LEAST_STEP,
    Residual,
    Residuals,
    joint_residual,
    results_of,
)

NAN, INF = math.nan, math.inf
SHAPE = (4, 5)
THETA = np.linspace(-1, 1, 20).reshape(SHAPE)
SLOPES = np.cos(np.arange(20.0)).reshape(SHAPE)
V = Direction.over(0, SHAPE, (0, 0, 0), [])


def linear(theta):
    return float(np.sum(SLOPES * theta))


def with_residuals(gradient, ask, cost=linear, theta=THETA):
    """Return what `ask` gets from the residuals of one parameter."""
    pairing = pair(theta, gradient)
    with Cost(cost, pairing.parameters) as entered:
        residuals = Residuals(entered, gradient_under_test(pairing, 0, entered), seed=0)
        return ask(residuals, lambda look: results_of([look], entered)[0])


def of_all(gradient, **options):
    return with_residuals(gradient, lambda r, look: look(r.of_all(0)), **options)


@settings(max_examples=25, deadline=None)
@given(k=st.integers(0, 19), error=st.floats(-100, 100).filter(lambda e: abs(e) > 1e-6))
def test_a_single_error_shows_as_itself(k, error):
    """r = −δ · vₖ: the residual is clear, and its error bar is far smaller than the error."""
    gradient = SLOPES.copy()
    gradient.flat[k] += error
    found = of_all(gradient)
    v = V.value_at(np.unravel_index(k, SHAPE))
    assert found.is_clear
    assert abs(found.value + error * v) <= CLEAR * found.bar
    assert found.bar < 1e-2 * abs(error)
    assert found.slope == pytest.approx(float(np.sum(SLOPES * dense(V))), abs=found.bar)


def test_the_bars_hold_almost_always():
    """The bar is exceeded once in some thousand errors, and then by less than a second bar."""
    random = np.random.default_rng(0)
    beyond = []
    for _ in range(500):
        k = int(random.integers(SLOPES.size))
        gradient = SLOPES.copy()
        gradient.flat[k] += random.choice([-1, 1]) * 10 ** random.uniform(-6, 2)
        found = of_all(gradient)
        error = gradient.flat[k] - SLOPES.flat[k]
        v = V.value_at(np.unravel_index(k, SHAPE))
        beyond.append(abs(found.value + error * v) > found.bar)
    assert sum(beyond) <= 1


def dense(direction):
    return np.array([direction.value_at(index) for index in np.ndindex(SHAPE)]).reshape(SHAPE)


CURVED = {
    "square": (lambda x: float(np.sum(x**2)) / 2, lambda x: x),
    "sin": (lambda x: float(np.sum(np.sin(3 * x))), lambda x: 3 * np.cos(3 * x)),
    "product": (lambda x: float(np.exp(np.sum(x * SLOPES))), None),
}


@pytest.mark.parametrize("name", sorted(CURVED))
def test_a_right_gradient_leaves_nothing(name):
    cost, slope = CURVED[name]
    right = cost(THETA) * SLOPES if slope is None else slope(THETA)
    found = of_all(right, cost=cost)
    assert found.is_known
    assert not found.is_clear
    assert found.detectable < 1e-3 * np.abs(right).max()


@pytest.mark.parametrize("unit", [1e8, 1.0, 1e-4, 1e-8, 1e-10])
def test_the_length_over_which_the_cost_bends_is_found(unit):
    """A step of one size would be thousands of bends long if θ has a small unit."""

    def cost(x):
        return float(np.sum(np.tanh(x / unit + SLOPES)))

    right = (1 - np.tanh(THETA + SLOPES) ** 2) / unit
    for gradient, is_clear in ((right, False), (0 * right, True), (1.01 * right, True)):
        found = of_all(gradient, cost=cost, theta=unit * THETA)
        assert found.is_clear is found.is_proof is is_clear
        off = float(np.sum((right - gradient) * dense(V)))
        assert found.value == pytest.approx(off, abs=found.bar)
        assert found.detectable < 1e-3 * right.max()


@pytest.mark.parametrize(
    ("cost", "theta"),
    [
        pytest.param(lambda x: float(np.sum(np.sin(x))), THETA, id="ordinary"),
        pytest.param(lambda x: float(np.abs(x).sum()), 0 * THETA, id="HARD: kinks"),
        pytest.param(lambda x: float(np.sum(x**2)), 0 * THETA, id="HARD: a minimum"),
    ],
)
def test_a_step_is_not_shortened_without_need(cost, theta):
    """The slopes on the two sides are apart at kinks and minima, however short the step is."""

    def step(residuals, look):
        look(residuals.of_all(0))
        return residuals.step

    assert with_residuals(np.cos(theta), step, cost=cost, theta=theta) == LEAST_STEP


@pytest.mark.parametrize(
    ("value", "bar", "is_steady", "is_proof"),
    [
        pytest.param(101.0, 1.0, True, True, id="a hundred bars"),
        pytest.param(-101.0, 1.0, True, True, id="the other sign"),
        pytest.param(99.0, 1.0, True, False, id="HARD: less"),
        pytest.param(1e9, 1.0, False, False, id="HARD: steps do not agree"),
        pytest.param(INF, INF, True, False, id="HARD: not known"),
    ],
)
def test_proof(value, bar, is_steady, is_proof):
    assert Residual(V, value, bar, 1.0, bar, is_steady=is_steady).is_proof is is_proof


@pytest.mark.parametrize(("bar", "noise", "is_bent"), [(1, 1, False), (5, 1, True), (INF, 1, True)])
def test_what_widens_the_bar(bar, noise, is_bent):
    assert Residual(V, 0.0, bar, 1.0, noise).is_bent is is_bent


def test_a_kink_widens_the_bar():
    """At a kink, an error as large as the gap between the two slopes may be hidden."""
    theta = np.zeros(SHAPE)
    found = of_all(theta, cost=lambda x: float(np.abs(x).sum()), theta=theta)
    assert found.on_kink
    assert found.bar >= 2 * np.abs(dense(V)).sum() * (1 - 1e-6)


def test_not_finite():
    """A nan in the gradient counts as zero; if J itself is nan, the residual is unknown."""
    gradient = SLOPES.copy()
    gradient[1, 2] = NAN
    found = of_all(gradient)
    assert found.value == pytest.approx(SLOPES[1, 2] * V.value_at((1, 2)), abs=found.bar)
    lost = of_all(SLOPES, cost=lambda x: linear(x) if np.array_equal(x, THETA) else NAN)
    assert not lost.is_known


BOXES = [
    ((0, 4), (0, 5)),
    ((1, 2), (0, 5)),
    ((0, 4), (3, 4)),
    ((2, 3), (2, 3)),
]


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_of_part(box):
    """A residual of a part shows only the errors in it."""
    errors = np.zeros(SHAPE)
    errors[1, 1], errors[2, 2], errors[3, 3] = 0.5, -2.0, 1.0
    part = V.within(box)

    def ask(residuals, look):
        return look(residuals.of_part(part, 1.0)), look(residuals.of_all(0))

    found, whole = with_residuals(SLOPES + errors, ask)
    assert found.value == pytest.approx(-float(np.sum(errors * dense(part))), abs=found.bar)
    assert found.bar < 1e-3
    rest = whole.elsewhere(found, ((0, 1), (0, 1)))
    assert (rest.value, rest.slope) == (whole.value - found.value, whole.slope - found.slope)
    assert (rest.bar, rest.noise) == (whole.bar + found.bar, whole.noise + found.noise)
    assert rest.direction.box == ((0, 1), (0, 1))


def test_nothing_moves():
    empty = V.within(((2, 2), (0, 5)))
    found = with_residuals(SLOPES, lambda r, look: look(r.of_part(empty, 1.0)))
    assert (found.value, found.bar, found.is_clear) == (0.0, 0.0, False)


def test_mended():
    """After the wrong entries are measured, nothing is left, and their error bars are added."""
    gradient = SLOPES.copy()
    gradient[1, 1] += 0.5
    gradient[3, 4] -= 0.25

    def ask(residuals, look):
        found = look(residuals.of_all(0))
        steps = [found]
        for index in ((1, 1), (3, 4)):
            residuals.correct(int(np.ravel_multi_index(index, SHAPE)), SLOPES[index], 1e-9)
            steps.append(residuals.left_of(found))
        residuals.correct(0, NAN, INF)
        return [*steps, residuals.left_of(found)]

    first, one_left, none_left, again = with_residuals(gradient, ask)
    assert first.is_clear
    assert one_left.value == pytest.approx(0.25 * V.value_at((3, 4)), abs=first.bar)
    assert not none_left.is_clear
    moved = abs(V.value_at((1, 1))) + abs(V.value_at((3, 4)))
    assert none_left.bar == pytest.approx(first.bar + 1e-9 * moved, rel=1e-9)
    assert again == none_left


def test_holes_do_not_move():
    """Holes do not move in the next direction either, except in a sketch of the whole."""
    gradient = SLOPES.copy()
    gradient[1] += 5

    def ask(residuals, look):
        residuals.holes = [((1, 2), (0, 5))]
        return look(residuals.of_all(1)), look(residuals.sketched(1, 1.0))

    without, everything = with_residuals(gradient, ask)
    assert not without.is_clear
    assert everything.is_clear


@pytest.mark.parametrize(
    ("value", "bar", "is_known", "is_clear"),
    [
        (1.0, 0.5, True, True),
        (-1.0, 0.5, True, True),
        pytest.param(1.0, 1.0, True, False, id="exactly one bar"),
        (NAN, 1.0, False, False),
        (1.0, INF, False, False),
    ],
)
def test_clear(value, bar, is_known, is_clear):
    found = Residual(V, value, bar, 1.0, bar)
    assert (found.is_known, found.is_clear) == (is_known, is_clear)


def test_detectable():
    """An error escapes if its entry moves less than 99.9 % of them do and the bar hides as much."""
    found = Residual(V, 0.0, 1.0, 0.0, 0.0)
    error = found.detectable
    assert error * likely_magnitude(0.999) == pytest.approx(2.0)
    many = np.abs(dense(Direction.over(0, SHAPE, (5,), [])))
    assert (error * many > 1.99).all()


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_all_parameters_at_once(error):
    params = {"a": THETA, "b": np.array([0.5, 2.0, -1.0])}
    grads = {"a": SLOPES, "b": 2 * params["b"] + [0, error, 0]}

    def cost(p):
        return linear(p["a"]) + float(p["b"] @ p["b"])

    pairing = pair(params, grads)
    with Cost(cost, pairing.parameters) as entered:
        everything = [
            Residuals(entered, gradient_under_test(pairing, i, entered), 0) for i in (0, 1)
        ]
        (found,) = results_of([joint_residual(everything, entered, 1)], entered)
        # Each of the two parameters has half of the square of the length, in its own steps.
        a, b = everything
        v = b.direction(1).value_at((1,)) * b.step / max(a.step, b.step) / math.sqrt(2 * 3)
        everything[1].correct(1, 2 * params["b"][1], 0.0)
        (mended,) = results_of([joint_residual(everything, entered, 1)], entered)
    assert found.is_clear is bool(error)
    assert abs(found.value + error * v) <= found.bar
    assert not mended.is_clear
