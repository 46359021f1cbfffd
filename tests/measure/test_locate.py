"""The search for the errors behind one residual finds exactly the entries that were made wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.analytic_gradient import gradient_under_test
from gradcheck_magic._measure.locate import RegionSearch
from gradcheck_magic._measure.residuals import Residuals, results_of
from gradcheck_magic._measure.sampling import Sampled, Sampler

SHAPES = [(300,), (20, 15), (6, 5, 10), (1, 300)]


def slopes(shape):
    return 1 + np.cos(np.arange(math.prod(shape))).reshape(shape) / 2


def searched(errors):
    """Search a linear cost whose gradient has these errors."""
    right = slopes(errors.shape)
    pairing = pair(np.zeros(errors.shape), right + errors)
    with Cost(lambda theta: float(np.sum(right * theta)), pairing.parameters) as cost:
        residuals = Residuals(cost, gradient_under_test(pairing, 0, cost), 0)
        (found,) = results_of([residuals.of_all(0)], cost)
        before = cost.n_evaluations
        sampler = Sampler(residuals, cost, sampled := Sampled(), 1e-7)
        left = RegionSearch(sampler, cost, 0).run(found)
        return sampled, left, cost.n_evaluations - before


signed = st.tuples(st.floats(1e-3, 10.0), st.sampled_from([-1, 1])).map(math.prod)


@settings(max_examples=25, deadline=None)
@given(shape=st.sampled_from(SHAPES), k=st.integers(0, 299), error=signed)
def test_a_single_one_is_found(shape, k, error):
    """A single error is found wherever it is, and however large."""
    errors = np.zeros(300)
    errors[k] = error
    sampled, left, _ = searched(errors.reshape(shape))
    assert (sampled.wrong, sampled.regions) == ({k}, [])
    assert not left.is_clear


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    planted=st.dictionaries(st.integers(0, 299), signed, max_size=5),
)
def test_what_is_left(shape, planted):
    """No correct entry is accused, and what is left is exactly what was not found."""
    errors = np.zeros(300)
    errors[list(planted)] = list(planted.values())
    sampled, left, _ = searched(errors.reshape(shape))
    assert sampled.wrong <= set(planted)
    holes = [region.box for region in sampled.regions]
    direction = Direction.over(0, shape, (0, 0, 0), holes)
    missed = {k: error for k, error in planted.items() if k not in sampled.wrong}
    moved = [e * direction.value_at(np.unravel_index(k, shape)) for k, e in missed.items()]
    assert left.value == pytest.approx(-math.fsum(moved), abs=left.bar)
    if not (left.is_clear or holes):
        assert not missed


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_was_planted(shape, count, seed):
    random = np.random.default_rng([count, seed])
    errors = np.zeros(300)
    ks = random.choice(300, count, replace=False)
    errors[ks] = random.uniform(0.1, 1, count) * random.choice([-1, 1], count)
    sampled, left, n_evaluations = searched(errors.reshape(shape))
    assert sampled.wrong == set(ks.tolist())
    assert sampled.regions == []
    assert not left.is_clear
    assert n_evaluations <= 60 * count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("k", [0, 1, 149, 299])
def test_a_single_one_is_read_off(shape, k):
    """The index along each axis takes a few evaluations, without halving."""
    errors = np.zeros(300)
    errors[k] = 0.5
    sampled, _, n_evaluations = searched(errors.reshape(shape))
    assert sampled.wrong == {k}
    # For each axis, the ramp and the part take two evaluations each; then one to three entries.
    assert n_evaluations <= 4 * len(shape) + 20


@pytest.mark.parametrize(
    ("where", "box"),
    [
        pytest.param(np.s_[7, :], ((7, 8), (0, 15)), id="a row"),
        pytest.param(np.s_[:, 4], ((0, 20), (4, 5)), id="a column"),
        pytest.param(np.s_[:, :], ((0, 20), (0, 15)), id="the whole"),
    ],
)
def test_too_many_are_a_region(where, box):
    errors = np.zeros((20, 15))
    errors[where] = 0.3 + np.sin(np.arange(300.0).reshape(20, 15)[where]) / 10
    sampled, left, _ = searched(errors)
    (region,) = sampled.regions
    assert region.box == box
    assert region.n_wrong == region.n_tried > 1
    assert not left.is_clear


def test_an_entry_beside_a_region():
    errors = np.zeros((20, 15))
    errors[7] = 0.3 + np.arange(15) / 50
    errors[12, 3] = -0.4
    sampled, left, _ = searched(errors)
    assert [region.box for region in sampled.regions] == [((7, 8), (0, 15))]
    assert {k for k in sampled.wrong if k // 15 != 7} == {12 * 15 + 3}
    assert not left.is_clear


def test_a_search_is_given_up():
    """The search gives up if wrong entries are scattered and neither few nor dense."""
    errors = np.zeros(4000)
    errors[np.random.default_rng(0).choice(4000, 400, replace=False)] = 0.5
    sampled, left, n_evaluations = searched(errors)
    assert sampled.wrong <= set(np.flatnonzero(errors).tolist())
    assert sampled.regions or left.is_clear
    assert n_evaluations < 120 + 60 * 41 + 200
