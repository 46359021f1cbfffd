"""Sampled entries are measured individually, once each, and judged by their own error bars."""

import numpy as np
import pytest

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.analytic_gradient import gradient_under_test
from gradcheck_magic._measure.residuals import Residuals
from gradcheck_magic._measure.sampling import Sampled, Sampler

THETA = np.array([0.0, 1.0, -2.0, 3.0, 0.5, 0.0])


def quadratic(theta):
    return float(theta @ theta) / 2


def sampled(gradient, *batches, cost=quadratic, aim=np.inf, theta=THETA):
    """Measure batches of entries; return what was found and corrected, and the evaluations."""
    pairing = pair(theta, gradient)
    with Cost(cost, pairing.parameters) as entered:
        residuals = Residuals(entered, gradient_under_test(pairing, 0, entered), 0)
        sampler = Sampler(residuals, entered, found := Sampled(), 1e-7)
        counts = [entered.n_evaluations]
        for ks in batches:
            sampler.sample(ks, aim)
            counts.append(entered.n_evaluations)
    return found, residuals.corrections, np.diff(counts).tolist()


def test_what_is_found():
    """Entries are wrong if they are off, and blank if both gradients are zero there."""
    gradient = THETA + np.array([0, 0.5, 0, 0, -1e-3, 0])
    found, corrected, _ = sampled(gradient, [4, 0, 1], [2])
    assert found.ks == [0, 1, 4, 2]
    assert (found.wrong, found.blank) == ({1, 4}, {0})
    assert set(found.changes) >= {1, 4}
    assert found.changes[1][:2] == pytest.approx((-0.5, 1.0), rel=1e-5)
    assert found.changes[4][:2] == pytest.approx((1e-3, 0.5), rel=1e-3)
    assert all(0 < bar < 1e-6 for _, _, bar in found.changes.values())
    # The correction of a measured entry is its numerical minus its analytic value.
    assert set(corrected) == {(0,), (1,), (2,), (4,)}
    for (k,), (change, bar) in corrected.items():
        assert abs(change - (THETA - gradient)[k]) <= bar


@pytest.mark.parametrize(
    ("index", "value", "wrong", "blank"),
    [
        pytest.param(0, 0.0, False, True, id="zero, and zero is given"),
        pytest.param(0, 1.0, True, False, id="zero, and one is given"),
        pytest.param(1, 0.0, True, False, id="one, and zero is given"),
        pytest.param(1, 1.0 + 1e-12, False, False, id="off by less than its bar"),
        pytest.param(1, np.nan, True, False, id="nan is given"),
        pytest.param(0, np.inf, True, False, id="inf is given where it is zero"),
    ],
)
def test_one_entry(index, value, wrong, blank):
    gradient = THETA.copy()
    gradient[index] = value
    found, _, _ = sampled(gradient, [index])
    assert (index in found.wrong, index in found.blank) == (wrong, blank)


def test_a_kink_excuses():
    """Any slope between those on the two sides is correct."""
    found, _, _ = sampled(
        [0.5, *THETA[1:5], 1.5], [0, 5], cost=lambda x: quadratic(x) + abs(x[0]) + abs(x[5])
    )
    assert found.wrong == {5}


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_kink_excuses_no_more(value):
    """The slopes at each kink are 1 and 3, whatever the other entry is."""
    found, _, _ = sampled(
        [value, 2.0], [0, 1], cost=lambda x: float(np.sum(np.abs(x) + 2 * x)), theta=np.zeros(2)
    )
    assert found.wrong == {0}
    assert found.changes[0][:2] == pytest.approx((1 - value, 1.0), abs=1e-6)


def test_each_is_measured_once():
    found, _, counts = sampled(THETA, [1, 2, 2], [2, 1], [3, 1], [])
    assert found.ks == [1, 2, 3]
    assert len(found.batches) == 2
    assert counts[0] > 0 < counts[2]
    assert (counts[1], counts[3]) == (0, 0)


@pytest.mark.parametrize("aim", [np.inf, 1e-10])
def test_as_well_as_is_asked_for(aim):
    found, _, _ = sampled(THETA, [1, 3], aim=aim)
    (batch,) = found.batches
    assert (batch.uncertainty <= min(aim, 1e-6)).all()


def test_interrupted():
    """What was measured by then is kept, and is wrong if the textbook's step alone shows it."""

    def cost(theta):
        if theta[2] != THETA[2] and theta[1] == THETA[1]:
            raise KeyboardInterrupt
        return quadratic(theta)

    pairing = pair(THETA, 2 * THETA)
    found = Sampled()
    with Cost(cost, pairing.parameters) as entered:
        residuals = Residuals(entered, gradient_under_test(pairing, 0, entered), 0)
        sampler = Sampler(residuals, entered, found, 1e-7)
        with pytest.raises(KeyboardInterrupt):
            sampler.sample([1, 2, 3])
    assert found.ks == [1]
    assert found.wrong == set(found.changes) == {1}
    assert set(residuals.corrections) == {(1,)}


def sparse_with_kinks(n_zero, slopes):
    """Return a θ that begins with zeros, and a cost with a kink at zero in every entry."""
    theta = np.arange(200.0) * (np.arange(200) >= n_zero)
    return theta, lambda x: float(x @ slopes + np.abs(x).sum())


@pytest.mark.parametrize("n_zero", [0, 150, 200])
@pytest.mark.parametrize("is_zero", [False, True])
def test_a_sample_from_anywhere(n_zero, is_zero):
    """Half of the sampled entries are not zero, if there are any, and half have a gradient."""
    theta, cost = sparse_with_kinks(n_zero, np.full(200, 0.5))
    gradient = np.zeros(200) if is_zero else np.where(np.arange(200) % 2, 0.5 + np.sign(theta), 0)
    pairing = pair(theta, gradient)
    with Cost(cost, pairing.parameters) as entered:
        residuals = Residuals(entered, gradient_under_test(pairing, 0, entered), 0)
        Sampler(residuals, entered, found := Sampled(), 1e-7).sample_anywhere()
    assert 8 <= len(found.ks) <= 16
    chosen = np.array(found.ks)
    assert (n_zero == 200) or np.sum(theta[chosen] != 0) >= 8
    assert is_zero or np.sum(gradient[chosen] != 0) >= 8
    # Where θ is zero, everything from -0.5 to 1.5 is right.
    wrong = (gradient[chosen] == 0) & (theta[chosen] != 0)
    assert found.wrong == set(chosen[wrong].tolist())
    assert bool(found.regions) == (4 * wrong.sum() >= len(chosen))
