"""Refining gives every entry a value, and an error bar that holds the truth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic import check_gradients
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure import refine
from gradcheck_magic._measure.analytic_gradient import gradient_under_test
from gradcheck_magic._measure.ladder import Rungs
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import (
    GROSS,
    STRAIGHT,
    VERIFIED,
    judged,
    measure,
    measure_parameter,
    noise_of_pair,
    planned_entries,
    steps_taken,
)

NAN, INF = math.nan, math.inf
EPS = float(np.finfo(np.float64).eps)


def measured(theta, gradient, function, *, epsilon=1e-7, progress=None):
    """Return the entries of one parameter, after the textbook's pass and refining."""
    pairing, tables = pair(theta, gradient), []
    with Cost(function, pairing.parameters, progress=progress) as cost:
        measure(tables, cost, pairing, epsilon)
    return tables[0]


@pytest.mark.parametrize("rows", [1, 7, 12, 13, 40])
def test_a_parameter_in_several_tables(rows, monkeypatch):
    """The tables of a huge parameter hold the same as a single one."""
    theta = np.linspace(-2, 2, 39).reshape(3, 13)
    gradient = 3 * theta**2
    gradient[1, [2, 7]] *= 1.5

    def checked():
        return check_gradients(theta, gradient, lambda x: float(np.sum(x**3)), mode="full")

    whole = checked()
    monkeypatch.setattr(refine, "ROWS", rows)
    parts = checked()
    assert parts.wrong_entries == whole.wrong_entries
    assert len(parts.wrong_entries) == 2
    assert (parts.difference, parts.n_evaluations) == (whole.difference, whole.n_evaluations)
    for column in ("measured", "analytic", "numerical", "uncertainty"):
        np.testing.assert_array_equal(getattr(parts, column), getattr(whole, column))


# One pass


@pytest.mark.parametrize(
    ("values", "step", "down", "up"),
    [
        pytest.param([1.0, -2.0], 0.25, [0.25, 0.25], [0.25, 0.25], id="exact"),
        # Below 1, numbers are twice as dense as above.
        pytest.param([1.0], EPS / 2, [EPS / 2], [0.0], id="half a place"),
        pytest.param([2.0**53], 1.0, [1.0], [0.0], id="lost in rounding"),
        pytest.param([2.0**53], 3.0, [3.0], [4.0], id="rounded to even"),
    ],
)
def test_steps_taken(values, step, down, up):
    found = steps_taken(np.array(values), step)
    assert [side.tolist() for side in found] == [down, up]


def test_steps_taken_in_single_precision():
    """The step that float32 really takes is given in double precision."""
    down, up = steps_taken(np.array([1.0], dtype=np.float32), 1e-7)
    assert (down.item(), up.item()) == (2.0**-23, 2.0**-23)


@pytest.mark.parametrize(
    ("plus", "minus", "noise", "expected"),
    [
        pytest.param(1.0, 1.0, 1e-3, 1e-3, id="the noise of J"),
        pytest.param(8.0, 1.0, EPS / 2, 4 * EPS, id="half a place of the larger value"),
        pytest.param(1.0, -8.0, EPS / 2, 4 * EPS, id="by size"),
        pytest.param(8.0, 1.0, EPS / 8, EPS, id="less, if J is only rounded at the end"),
        pytest.param(INF, 2.0, EPS / 2, EPS, id="what is not finite does not count"),
        pytest.param(NAN, NAN, 0.0, 0.0, id="nothing is finite"),
    ],
)
def test_noise_of_pair(plus, minus, noise, expected):
    precision = SimpleNamespace(value=1.0, noise=noise, eps=EPS)
    assert noise_of_pair(precision, plus, minus) == expected


def made(minus, value, plus, step=0.5, noise=0.0):
    """Return one pass over one entry, from J(θ−h), J(θ) and J(θ+h)."""
    costs = np.array([float(minus)]), value, np.array([float(plus)])
    return Rungs.measured(costs, (np.array([step]), np.array([step])), noise)


@pytest.mark.parametrize(
    ("costs", "central", "gap", "round_off"),
    [
        # Four times the noise of 2⁻¹⁰, divided by h = 1/2.
        pytest.param((1.0, 2.0, 3.0), 2.0, 0.0, 2.0**-7, id="straight"),
        pytest.param((1.0, 0.0, 1.0), 0.0, 4.0, 2.0**-7, id="a kink"),
        pytest.param((1.0, 2.0, INF), NAN, NAN, INF, id="no value above"),
        pytest.param((NAN, 2.0, 3.0), NAN, NAN, INF, id="no value below"),
    ],
)
def test_one_pass(costs, central, gap, round_off):
    found = made(*costs, noise=2.0**-10)
    np.testing.assert_equal(found.central, [central])
    np.testing.assert_equal(found.gap, [gap])
    assert found.bar == [round_off]


def test_one_pass_over_what_was_really_stepped():
    stepped = np.array([0.5]), np.array([1.0])
    found = Rungs.measured((np.array([1.0]), 2.0, np.array([4.0])), stepped, 0.0)
    # (4 − 1) / 1.5, and (4 − 2) / 1 − (2 − 1) / 0.5
    assert (found.central.item(), found.gap.item()) == (2.0, 0.0)
    rung = found[0]
    assert (rung.step, rung.forward, rung.backward, rung.central) == (0.75, 2.0, 2.0, 2.0)


# With a step of 1/2, the noise n gives the slope, which is 1, an error bar of 8n.
NARROW = 0.99 * VERIFIED / 8
SETTLED, OPEN, IS_GROSS = (False, False), (True, False), (False, True)


@pytest.mark.parametrize(
    ("analytic", "noise", "gap", "aim", "expected"),
    [
        pytest.param(1.0, NARROW, 0.0, INF, SETTLED, id="agrees, with three digits"),
        pytest.param(1.0, 1.03 * NARROW, 0.0, INF, OPEN, id="agrees, with fewer"),
        pytest.param(1.0, NARROW, 0.0, NARROW, OPEN, id="less well than is asked for"),
        pytest.param(1 + 7 * NARROW, NARROW, 0.0, INF, SETTLED, id="within the bar"),
        pytest.param(1 + 9 * NARROW, NARROW, 0.0, INF, OPEN, id="beyond the bar"),
        pytest.param(1 + 79 * NARROW, NARROW, 0.0, INF, OPEN, id="beyond a few bars"),
        pytest.param(1 + 81 * NARROW, NARROW, 0.0, INF, IS_GROSS, id="beyond many bars"),
        pytest.param(1.0, 0.0, 0.99 * STRAIGHT, INF, SETTLED, id="all but straight"),
        pytest.param(1.0, 0.0, 1.01 * STRAIGHT, INF, OPEN, id="not straight"),
        pytest.param(2.0, 0.0, 0.24, INF, IS_GROSS, id="wrong, and nearly straight"),
        pytest.param(2.0, 0.0, 0.26, INF, OPEN, id="looks wrong, on a kink"),
        pytest.param(NAN, 0.0, 0.0, INF, SETTLED, id="no number: nothing to ask"),
    ],
)
def test_judged(analytic, noise, gap, aim, expected):
    # The slopes on the two sides are 1 ± gap/2.
    found = made(-0.5 + gap / 4, 0.0, 0.5 + gap / 4, noise=noise)
    assert GROSS == 10
    table = MeasuredEntries.planned(np.arange(1), np.array([analytic]), 0.0)
    open_ones, gross = judged(found, table, aim)
    assert (open_ones.item(), gross.item()) == expected


# All entries of a parameter

SMOOTH = {
    "polynomial": (lambda x: x**4 - 3 * x, lambda x: 4 * x**3 - 3),
    "exp": (np.exp, np.exp),
    "sin": (lambda x: np.sin(3 * x), lambda x: 3 * np.cos(3 * x)),
    "curved": (lambda x: 1e6 * x**2 + x, lambda x: 2e6 * x + 1),
}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(SMOOTH)),
    theta=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
    offset=st.sampled_from([10.0, 1e4]),
    factor=st.sampled_from([1.0, 1.0 + 1e-4, -1.0]),
)
def test_bars_hold_the_truth(name, theta, offset, factor):
    """They do so for correct and wrong gradients alike, with a cost of 1 or more."""
    function, slope = SMOOTH[name]
    theta = np.array(theta)
    right = slope(theta)
    found = measured(theta, factor * right, lambda x: offset + math.fsum(function(x)))
    assert (np.abs(found.numerical - right) <= found.uncertainty).all()
    assert found.settled.all()


def test_a_slope_below_the_noise_gets_a_larger_step():
    """With the textbook's step, the noise of 1e6 leaves no digit of a slope of 1e-2."""
    theta = np.array([0.5])
    found = measured(theta, [0.01], lambda x: 1e6 + 0.01 * float(x[0]))
    textbook_bar = 4 * EPS / 2 * 1e6 / 1e-7
    assert found.uncertainty[0] < VERIFIED * 0.01 < textbook_bar
    assert abs(found.numerical[0] - 0.01) <= found.uncertainty[0]
    assert not found.disputed[0]


@pytest.mark.parametrize(
    ("analytic", "numerical"),
    [(0.5, 0.5), (-1.0, -1.0), (1.0, 1.0), pytest.param(2.0, 1.0, id="outside"), (-3.0, -1.0)],
)
def test_a_kink(analytic, numerical):
    """At |x| = 0, any slope from −1 to 1 is correct; the nearest one is returned."""
    found = measured(np.array([0.0, 3.0]), [analytic, 1.0], lambda x: float(np.abs(x).sum()))
    bar = found.uncertainty[0]
    assert bar < 1e-6
    assert found.numerical[0] == pytest.approx(numerical, abs=bar)
    assert (found.low[0], found.high[0]) == pytest.approx((-1.0, 1.0), abs=bar)
    assert found.low[1] == found.high[1]


def test_dead_units_take_one_more_step_together():
    """If J is flat and the gradient is zero, one larger step for each entry is enough."""
    theta, evaluated = np.full(20, -1.0), []

    def cost(x):
        evaluated.append(x.copy())
        return 1.5 + float(np.maximum(x, 0).sum())

    found = measured(theta, np.zeros(20), cost)
    assert found.numerical.tolist() == [0.0] * 20
    assert (found.uncertainty < 1e-11).all()
    moved = [x for x in evaluated if np.count_nonzero(x != theta) == 1]
    assert len(moved) <= 20 * 4 + 10


def test_only_some_entries():
    """Only the requested entries are measured, and they are written in the requested order."""
    theta = np.array([1.0, 2.0, 3.0, 4.0])
    pairing = pair(theta, 2 * theta)
    with Cost(lambda x: float(x @ x), pairing.parameters) as cost:
        analytic = gradient_under_test(pairing, 0, cost)
        two, one = planned_entries(analytic, [3, 1]), planned_entries(analytic, [0])
        measure_parameter(two, cost, analytic.parameter, 1e-7, [3, 1])
        measure_parameter(one, cost, analytic.parameter, 1e-7, [0], aim=1e-10)
    assert two.numerical == pytest.approx([8.0, 4.0], rel=1e-6)
    assert one.numerical == pytest.approx([2.0], rel=1e-6)
    assert one.uncertainty[0] <= 1e-10
    assert (two.rounding == 32 * EPS * 8).all()
    assert two.settled.all()


def test_interrupted():
    """What the textbook's pass measured is kept with wider error bars, and is not settled."""
    theta, calls = np.arange(1.0, 6.0), []

    def cost(x):
        if x[3] != 4 and np.array_equal(x[:3], theta[:3]) and x[4] == theta[4]:
            calls.append(x)
            raise KeyboardInterrupt
        return float(x @ x)

    pairing, tables = pair(theta, 2 * theta), []
    with pytest.raises(KeyboardInterrupt), Cost(cost, pairing.parameters) as entered:
        measure(tables, entered, pairing, 1e-7)
    assert len(calls) == 1
    (found,) = tables
    assert found.is_measured.tolist() == [True, True, True, False, False]
    assert not found.settled.any()
    assert found.numerical[:3] == pytest.approx(2 * theta[:3], rel=1e-6)
    # The bar is as wide as a gross error: an entry that was measured once is not called wrong.
    plain = measured(theta, 2 * theta, lambda x: float(x @ x))
    assert found.uncertainty[:3] == pytest.approx(GROSS / 2 * plain.uncertainty[:3], rel=0.1)
    assert np.isnan(found.numerical[3:]).all()
