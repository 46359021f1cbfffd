"""Several steps give one value, whose error bar holds the true slope with any noise."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._measure.ladder import (
    Estimate,
    Ladder,
    Rungs,
    follows_square_law,
    gap_at_zero,
    run_together,
)

NAN, INF = math.nan, math.inf


def measured(costs, steps, noise):
    """Return the rung for J(θ−h), J(θ) and J(θ+h), and the steps taken down and up."""
    minus, cost, plus = costs
    sides = np.array([minus]), cost, np.array([plus])
    return Rungs.measured(sides, tuple(np.array([step]) for step in steps), noise)[0]


def rung(function, at, step, noise=0.0, random=None):
    """Measure one step of a function with noise of a known size, uniform over ±√3 times that."""

    def value(x):
        error = 0.0 if random is None else math.sqrt(3) * noise * random.uniform(-1, 1)
        return function(x) + error

    return measured((value(at - step), value(at), value(at + step)), (step, step), noise)


def climbed(function, at=0.0, noise=1e-16, *, first=6e-6, random=None, most=8):
    """Take the steps that a ladder asks for, starting with the textbook's."""
    ladder = Ladder(max(1.0, abs(at)), 1e-14, 1.0)
    step = 1e-7
    while step is not None and len(ladder.rungs) < most:
        ladder.add(rung(function, at, step, noise, random))
        step = ladder.next_step(first)
    return ladder


SMOOTH = {
    "square": (lambda x: x * x, lambda x: 2 * x),
    "cubic": (lambda x: 5 * x**3 - x, lambda x: 15 * x**2 - 1),
    "exp": (math.exp, math.exp),
    "sin": (lambda x: math.sin(4 * x), lambda x: 4 * math.cos(4 * x)),
    "straight": (lambda x: 3 * x, lambda _: 3.0),
    "constant": (lambda _: 0.5, lambda _: 0.0),
}


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SMOOTH)),
    at=st.floats(-2, 2),
    noise=st.sampled_from([1e-13, 1e-11, 1e-9]),
    seed=st.integers(0, 10**6),
)
def test_bars_hold_the_truth(name, at, noise, seed):
    """The noise exceeds the rounding of values up to 40, and the error bars are not too wide."""
    function, slope = SMOOTH[name]
    random = np.random.default_rng(seed)
    estimate = climbed(function, at, noise, first=1e-4, random=random).estimate
    assert abs(estimate.low - slope(at)) <= estimate.bar
    assert estimate.bar < 100 * noise ** (2 / 3)
    assert not estimate.on_kink


# One rung


@pytest.mark.parametrize(
    ("costs", "steps", "slopes"),
    [
        ((1.0, 2.0, 4.0), (0.5, 0.5), (0.5, 4.0, 2.0, 3.0)),
        pytest.param((1.0, 2.0, 4.0), (0.25, 0.75), (0.5, 8 / 3, 4.0, 3.0), id="unlike steps"),
        pytest.param((1.0, 2.0, INF), (0.5, 0.5), (0.5, NAN, 2.0, NAN), id="no value above"),
        pytest.param((NAN, 2.0, 4.0), (0.5, 0.5), (0.5, 4.0, NAN, NAN), id="no value below"),
        pytest.param((1.0, 2.0, 4.0), (0.0, 0.5), (0.25, NAN, NAN, NAN), id="no step down"),
    ],
)
def test_rung(costs, steps, slopes):
    found = measured(costs, steps, 0.125)
    np.testing.assert_equal((found.step, found.forward, found.backward, found.central), slopes)
    # Four times the noise, divided by the step.
    assert found.round_off == (INF if 0 in steps else 0.5 / found.step)
    np.testing.assert_equal(found.gap, slopes[1] - slopes[2])


@pytest.mark.parametrize(
    ("estimate", "value", "nearest"),
    [
        (Estimate(-1.0, 1.0, 0.1, on_kink=True), 0.25, 0.25),
        (Estimate(-1.0, 1.0, 0.1, on_kink=True), 3.0, 1.0),
        (Estimate(-1.0, 1.0, 0.1, on_kink=True), -3.0, -1.0),
        pytest.param(Estimate(2.0, 2.0, 0.1), 3.0, 2.0, id="no kink"),
        pytest.param(Estimate(-1.0, 1.0, INF), 0.0, -1.0, id="perhaps a kink near by"),
    ],
)
def test_nearest(estimate, value, nearest):
    assert estimate.nearest(value) == nearest


# Several rungs


def three(function, at=0.5):
    return [rung(function, at, step, noise=1e-16) for step in (0.01, 0.03, 0.09)]


@pytest.mark.parametrize(
    ("function", "follows"),
    [
        (lambda x: x**3, True),
        (math.exp, True),
        (lambda x: 2 * x, True),
        pytest.param(lambda x: abs(x - 0.52), False, id="a kink on the way"),
        pytest.param(lambda x: float(x > 0.52), False, id="a jump on the way"),
    ],
)
def test_square_law(function, follows):
    assert follows_square_law(three(function), 0) is follows
    assert not follows_square_law(three(function), 1)


@pytest.mark.parametrize(
    ("function", "gap"),
    [
        (lambda x: x * x, 0.0),
        (lambda x: abs(x - 0.5), 2.0),
        pytest.param(lambda x: 3 * abs(x - 0.5) + 7 * (x - 0.5) ** 2, 6.0, id="with curvature"),
    ],
)
def test_gap_at_zero(function, gap):
    near, far, _ = three(function)
    assert gap_at_zero(near, far) == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("curvature", [0.0, 10.0])
def test_kink(curvature):
    found = climbed(lambda x: 2 * max(x, 0) - max(-x, 0) + curvature * x * x).estimate
    assert found.on_kink
    assert (found.low, found.high) == pytest.approx((1.0, 2.0), abs=max(found.bar, 1e-12))
    assert found.bar < 1e-5


@pytest.mark.parametrize("offset", [3e-9, 1e-5, 1e-3])
def test_kink_near_by(offset):
    """A kink must not pass for a slope: the error bar holds the truth, or there is no value."""
    found = climbed(lambda x: 2 * max(x - offset, 0) - max(offset - x, 0)).estimate
    inside = abs(found.nearest(1.0) - 1.0) <= found.bar
    assert inside


def test_flat():
    found = climbed(lambda _: 7.0, noise=1e-15).estimate
    assert found.is_flat
    assert (found.low, found.high) == (0.0, 0.0)
    # With the largest step, 0.4: four times the noise, divided by the step.
    assert found.bar == pytest.approx(4e-15 / 0.4)


def test_staircase():
    """Small steps stay on one stair; larger ones find the slope, to within one digit."""
    found = climbed(lambda x: 1e-5 * math.floor(3 * x / 1e-5 + 0.3)).estimate
    assert abs(found.low - 3.0) <= found.bar < 0.3


def taken(function, *steps):
    """Take some steps from zero."""
    ladder = Ladder(1.0, 1e-14, 1.0)
    for step in steps:
        ladder.add(rung(function, 0.0, step, 1e-16))
    return ladder.estimate


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: max(x - 0.03, 0), id="rising on one side"),
        pytest.param(lambda x: -max(x - 0.03, 0), id="HARD: sinking on one side"),
        pytest.param(lambda x: max(x - 0.03, 0) - max(-x - 0.1, 0) / 2, id="HARD: on both"),
    ],
)
def test_a_valley_with_kinks_beside_it(function):
    """It is no staircase: that has the same slope on both sides, and with any large step."""
    found = taken(lambda x: 1 + 1e-4 * x * x + function(x), 1e-7, 1e-3, 8e-3, 6.4e-2, 0.4)
    assert found.low == 0.0
    assert found.bar < 1e-12


def test_kinks_are_no_noise():
    """HARD: larger steps agree on a slope, and smaller ones miss it; but on one side only."""
    found = taken(
        lambda x: 0.0207 * max(x - 1e-6, 0) - 0.018 * max(x - 2e-7, 0),
        *(1e-8, 3e-8, 1e-7, 1e-6, 1e-5, 3e-5, 1e-4, 1e-3, 8e-3),
    )
    assert found.low == 0.0
    assert found.bar < 1e-7


@pytest.mark.parametrize("side", [1, -1])
def test_edge_of_the_domain(side):
    """If J exists on one side only, that side gives the slope."""
    found = climbed(lambda x: math.exp(x) if side * x >= 0 else NAN).estimate
    assert abs(found.low - 1.0) <= found.bar < 1e-3


def test_nowhere():
    found = climbed(lambda x: NAN if x else 1.0).estimate
    assert (math.isnan(found.low), found.bar) == (True, INF)


def test_steps():
    """Steps differ by a factor of 8 (of at least 2 for one in between), and reach at most 0.4."""
    ladder = climbed(math.exp, 1.0)
    steps = [each.step for each in ladder.rungs]
    assert all(further >= 2 * near for near, further in pairwise(steps))
    assert steps[-1] <= 0.4
    before = list(ladder.rungs)
    ladder.add(rung(math.exp, 1.0, 1.1 * steps[1]))
    assert ladder.rungs == before
    small = Ladder(1.0, 1e-3, 1.0)
    small.add(rung(math.exp, 1.0, 2e-3))
    assert small.next_step(1e-4) == pytest.approx(16e-3)


# Inquiries


def inquiry(name, n_questions):
    """Ask some questions, and return all answers."""
    answers = []
    while len(answers) < n_questions:
        answers.append((yield f"{name}{len(answers)}"))
    return answers


@pytest.mark.parametrize(
    ("at_once", "batches"),
    [
        (1, [["a0"], ["a1"], ["c0"], ["c1"], ["c2"]]),
        (2, [["a0"], ["a1"], ["c0"], ["c1"], ["c2"]]),
        (3, [["a0", "c0"], ["a1", "c1"], ["c2"]]),
    ],
)
def test_answered(at_once, batches):
    """Answers come in order, and all inquiries that still have questions are asked together."""
    asked = []

    def answers(questions):
        asked.append(list(questions))
        return [question.upper() for question in questions]

    looks = [inquiry("a", 2), inquiry("b", 0), inquiry("c", 3)]
    assert run_together(looks, answers, at_once) == [["A0", "A1"], [], ["C0", "C1", "C2"]]
    assert asked == batches
