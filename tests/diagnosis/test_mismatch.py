"""A model explains a gradient if it fits every entry, and not by coincidence."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.mismatch import COINCIDENCE, Mismatch, Sample, norm
from gradcheck_magic._inputs.parameters import Parameter

inf, nan = np.inf, np.nan


def sample(analytic, numerical, bar=1e-3, *, rounding=0.0, spread=1.0):
    """Return entries of a gradient; a number is repeated for all of them."""
    columns = np.broadcast_arrays(analytic, numerical, 1.0, bar, rounding, spread)
    return Sample(*(np.array(column, dtype=np.float64) for column in columns))


def mismatch(numerical, wrong, *, ks=None, sides=None, bar=1e-6, analytic=None, right=None):
    """Return the mismatch of a `W` whose entries, and gradient by default, are 0, 1, 2, …"""
    shape = (3, 4)
    size = math.prod(shape)
    parameter = Parameter("W", None, np.arange(size, dtype=np.float64).reshape(shape), 5)
    ks = np.arange(size) if ks is None else np.array(ks)
    analytic = np.arange(size, dtype=np.float64) if analytic is None else analytic
    values = analytic, np.array([*numerical], float), np.zeros(len(ks)) + bar, np.zeros(len(ks))
    wrong = np.isin(ks, wrong)
    return Mismatch.of(parameter, "dW", values, wrong, ks, is_bug=True, sides=sides, right=right)


@pytest.mark.parametrize(("vector", "length"), [
    pytest.param([3.0, 4.0], 5.0, id="ordinary"),
    pytest.param([3e200, -4e200], 5e200, id="HARD: the squares overflow"),
    pytest.param([3e-200, 4e-200], 5e-200, id="HARD: the squares underflow"),
    pytest.param([0.0, 0.0], 0.0, id="zero"),
    pytest.param([], 0.0, id="empty"),
    pytest.param([1.0, -inf], inf, id="infinite"),
])  # fmt: skip
def test_norm(vector, length):
    assert norm(np.array(vector)) == pytest.approx(length, rel=1e-15)


# The probability that a model fits by chance: each entry may be off by 2 (bar + rounding), relative
# to a spread of 1.


@pytest.mark.parametrize(("entries", "model", "chance"), [
    pytest.param(sample([0, 0, 0], 9, bar=5e-4), [0, 0, 0], -9, id="1e-3 of the spread, thrice"),
    pytest.param(sample([0, 0], 9, bar=[5e-4, 5e-2]), [0, 0], -4, id="each by its own bar"),
    pytest.param(sample([0], 9, bar=4e-4, rounding=1e-4), [0], -3, id="rounding counts as well"),
    pytest.param(sample([0], 9, bar=5e-3, spread=10), [0], -3, id="further off is more telling"),
    pytest.param(sample([9e-4], 9, bar=5e-4), [0], -3, id="HARD: just within two bars"),
    pytest.param(sample([11e-4], 9, bar=5e-4), [0], 0, id="HARD: just outside"),
    pytest.param(sample([0, 0, 1], 9, bar=5e-4), [0, 0, 0], 0, id="one of them does not fit"),
    pytest.param(sample([0, 0], 9, bar=[5e-4, 50]), [0, 0], -3, id="HARD: a wide bar is silent"),
    pytest.param(sample([0, nan], 9, bar=5e-4), [0, 0], -3, id="HARD: nan is not judged"),
    pytest.param(sample([0, 0], 9, bar=[5e-4, inf]), [0, 0], -3, id="HARD: nor what has no bar"),
    pytest.param(sample([0, 0], 9, bar=inf), [0, 0], 0, id="nothing is known"),
    pytest.param(sample([1], 9, bar=0), [1 + 1e-6], math.log10(2e-6), id="to a part in a million"),
    pytest.param(sample([1], 9, bar=0), [1 + 3e-6], 0, id="HARD: not three parts"),
])  # fmt: skip
def test_chance(entries, model, chance):
    assert entries.chance(np.array(model, float), entries.bar) == pytest.approx(chance, abs=1e-5)


@pytest.mark.parametrize(("free", "chance"), [(0, -6), (1, -3), (2, -1), (3, 0), (4, 0)])
def test_chance_of_what_was_fitted(free, chance):
    """For each fitted number, one entry does not count: the most telling ones are left out."""
    entries = sample([0, 0, 0], 9, bar=[5e-3, 5e-4, 5e-2])
    assert entries.chance(np.zeros(3), entries.bar, free=free) == pytest.approx(chance, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    st.floats(1e-6, 10),
    st.floats(1, 10),
    st.integers(0, 2),
)
def test_chance_is_a_probability(values, bar, wider, free):
    """It falls with each further entry that agrees, and rises with bars and fitted numbers."""
    entries = sample(values, 9, bar=bar)
    model = entries.analytic
    chance = entries.chance(model, entries.bar, free=free)
    assert chance <= 0
    assert chance <= entries.chance(model, entries.bar * wider, free=free)
    assert chance <= entries.chance(model, entries.bar, free=free + 1)
    more = Sample.pooled([entries, sample([0.0], 9, bar=1e-2)])
    fewer_free = entries.chance(model, entries.bar, free=free)
    assert more.chance(np.append(model, 0.0), more.bar, free=free) <= fewer_free
    one_off = replace(entries, analytic=model + np.eye(len(model))[0] * 4 * (bar + 1e-4))
    assert one_off.chance(model, entries.bar, free=free) == 0


def test_explained():
    """Two entries that each fit by chance once in 100 may be a coincidence; three are not."""
    assert -6 < COINCIDENCE < -4
    for n, is_explained in ((1, False), (2, False), (3, True)):
        entries = sample(np.zeros(n), 9, bar=5e-3)
        assert entries.explained_by(np.zeros(n), entries.bar) is is_explained


# A factor, fitted


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-1e6, 1e6).filter(lambda c: abs(c) > 1e-6),
    st.lists(st.floats(0.1, 3), min_size=1, max_size=5),
    st.sampled_from([1e-150, 1.0, 1e150]),
)
def test_fitted(factor, regressor, unit):
    """Any factor is found, for values of any size, as precisely as weighted least squares allow."""
    regressor = unit * np.array(regressor)
    bar = 1e-3 * unit * np.arange(1, len(regressor) + 1)
    entries = sample(factor * regressor, 0, bar=bar)
    found, uncertainty = entries.fitted(entries.analytic, regressor, bar)
    assert found == pytest.approx(factor, rel=1e-12)
    floor = 1e-15 * abs(factor) * regressor.max()
    expected = 1 / np.linalg.norm(regressor / np.maximum(bar, floor))
    assert uncertainty == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("target", "regressor", "bar", "factor"), [
    # By hand, (1·0.5 + 100·0.5) / (1 + 100): each entry has the weight 1/bar².
    pytest.param([1, 1], [2, 2], [1, 1], 0.5, id="alike"),
    pytest.param([0, 1], [1, 1], [1, 0.1], 100 / 101, id="HARD: a narrow bar counts for more"),
    pytest.param([5, 1], [1, 1], [inf, 1], 1, id="HARD: without a bar it does not count"),
    pytest.param([nan, 1], [1, 1], [1, 1], 1, id="HARD: nan does not count"),
    pytest.param([1, 1], [0, 0], [1, 1], nan, id="nothing to multiply"),
    pytest.param([1, 1], [1, 1], [inf, inf], nan, id="nothing known"),
])  # fmt: skip
def test_fitted_by_hand(target, regressor, bar, factor):
    target, regressor, bar = (np.array(x, float) for x in (target, regressor, bar))
    found, uncertainty = sample(target, 0, bar=bar).fitted(target, regressor, bar)
    assert found == pytest.approx(factor, nan_ok=True)
    assert math.isinf(uncertainty) == math.isnan(factor)


# Entries that are known well enough


@pytest.mark.parametrize(("entry", "expected"), [
    # Expected: `stands_out`, `is_nonzero` and `stands_off`.
    pytest.param((1.0, 1.0, 1e-3), (True, True, False), id="right, and known"),
    pytest.param((2.0, 1.0, 1e-3), (True, True, True), id="wrong, and known"),
    pytest.param((1.0, 1.0, 0.5), (False, True, False), id="HARD: known to be no zero, no more"),
    pytest.param((1.5, 1.0, 0.08), (True, True, False), id="HARD: off, but not by far"),
    pytest.param((1.0, 0.1, 0.5), (False, False, False), id="lost in its bar"),
    pytest.param((1.0, 0.0, inf), (False, False, False), id="not measured"),
    pytest.param((nan, 1.0, 1e-3), (True, True, False), id="HARD: nan is off by nothing known"),
])  # fmt: skip
def test_telling(entry, expected):
    entries = sample([entry[0]], *entry[1:])
    told = entries.stands_out, entries.is_nonzero, entries.stands_off
    assert tuple(bool(each[0]) for each in told) == expected


def test_pooled_keeps_each_with_its_own_spread():
    one, other = sample([1, 2], 0, spread=3), sample([4], 5, bar=6, spread=7)
    both = Sample.pooled([one, other])
    assert len(both) == 3
    for field in fields(Sample):
        columns = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(getattr(both, field.name), np.concatenate(columns))


def test_some_entries_have_a_spread_of_their_own():
    """The spread is √((3² + 4²) / 2), of two kept entries; one without a bar does not count."""
    entries = sample([3, -4, 100, 7], 0, bar=[1e-3, 1e-3, 1e-3, inf])
    some = entries.where(np.array([True, True, False, True]))
    np.testing.assert_allclose(some.spread, np.full(3, math.sqrt(12.5)))
    np.testing.assert_array_equal(some.analytic, [3, -4, 7])


# The gradient of one parameter


def test_of_all_entries():
    m = mismatch([*range(11), 0], wrong=[11])
    assert (m.name, m.size, m.shape, m.part) == ("W", 12, (3, 4), slice(5, 17))
    assert m.is_wrong
    assert m.index(11) == (2, 3)
    np.testing.assert_array_equal(np.flatnonzero(m.wrong), [11])
    # The spread is √(11² / 12), typical of the parameter.
    np.testing.assert_allclose(m.sample.spread, 11 / math.sqrt(12))


@pytest.mark.parametrize(("numerical", "wrong", "is_right"), [
    pytest.param([*range(12)], [], True, id="everything agrees"),
    pytest.param([*range(11), 0], [11], False, id="an entry is wrong"),
    pytest.param([*range(11), 0], [], False, id="HARD: an entry disagrees that may be right"),
    pytest.param([*range(11), 11 + 1e-6], [], True, id="within two error bars"),
    pytest.param(np.zeros(12), [], False, id="HARD: nothing to compare"),
])  # fmt: skip
def test_is_right(numerical, wrong, is_right):
    analytic = None if np.any(numerical) else np.zeros(12)
    assert mismatch(numerical, wrong, analytic=analytic).is_right is is_right


def test_a_disputed_entry_is_not_right():
    """Where kinks meet, nobody can say whether it is wrong; but it does not agree."""
    m = mismatch([*range(10), 0, 0], wrong=[11])
    np.testing.assert_array_equal(np.flatnonzero(m.is_disputed), [10])
    np.testing.assert_array_equal(np.flatnonzero(m.right), range(10))


@pytest.mark.parametrize(("bar", "is_known"), [
    pytest.param(1e-3, True, id="narrow"),
    pytest.param([0.02] * 6 + [9.0] * 6, False, id="HARD: some entries are, but not the largest"),
    pytest.param([9.0] * 6 + [0.02] * 6, True, id="the largest ones are"),
])  # fmt: skip
def test_mostly_known(bar, is_known):
    assert mismatch(range(12), wrong=[], bar=bar).is_mostly_known == is_known


def test_of_some_entries():
    """An entry that was not measured has no error bar, and is neither correct nor wrong."""
    m = mismatch([2.0, nan, 0.0], wrong=[9], ks=[2, 5, 9])
    np.testing.assert_array_equal(np.flatnonzero(m.sample.known), [2, 9])
    np.testing.assert_array_equal(np.flatnonzero(m.wrong), [9])
    np.testing.assert_array_equal(np.flatnonzero(m.right), [2])


def test_where_rows_and_columns_meet():
    """Rows 0 and 2, columns 1 and 3: entries 1, 3, 9 and 11 of the parameter, in this order."""
    sides = np.array([0, 2]), np.array([1, 3])
    m = mismatch([3.0, 0.0], wrong=[9], ks=[3, 9], sides=sides)
    np.testing.assert_array_equal(m.sample.analytic, [1, 3, 9, 11])
    np.testing.assert_array_equal(m.sample.theta, [1, 3, 9, 11])
    np.testing.assert_array_equal(m.sample.known, [False, True, True, False])
    np.testing.assert_array_equal(m.wrong, [False, False, True, False])
    assert m.shape == (2, 2)
    assert m.size == 12
    assert [m.index(k) for k in range(4)] == [(0, 1), (0, 3), (2, 1), (2, 3)]
    assert m.places(0, np.array([1])) == [2]
    assert m.places(1, np.array([0, 1])) == [0, 1, 2, 3], "all of the sample is all there is"


@pytest.mark.parametrize(("bar", "right"), [
    pytest.param(1e-6, range(11), id="narrow"),
    # The error is 11, and twenty times the bar must not exceed it.
    pytest.param(0.54, range(11), id="HARD: just narrow enough"),
    pytest.param(0.56, (), id="HARD: too wide, beside what is wrong"),
])  # fmt: skip
def test_right_beside_wrong_ones(bar, right):
    m = mismatch([*range(11), 0], wrong=[11], bar=bar)
    np.testing.assert_array_equal(np.flatnonzero(m.right), right)
    assert m.n_right == len(right)


@pytest.mark.parametrize("sides", [None, (np.array([0, 2]), np.array([1, 3]))])
def test_right_ones_known_from_elsewhere(sides):
    """A scan shows that rows 0 and 1 are correct; the sample may hold only part of them."""
    m = mismatch([0.0], wrong=[9], ks=[9], sides=sides)
    assert m.n_right == 0
    wider = mismatch([0.0], wrong=[9], ks=[9], sides=sides, right=(np.arange(12) < 8, 1e-5))
    assert wider.n_right == 8
    inside = 8 if sides is None else 2
    assert int(wider.right.sum()) == inside
    assert wider.n_right_elsewhere == 8 - inside
    np.testing.assert_array_equal(wider.sample.off[wider.right], 0)


def test_some_of_it():
    m = mismatch([*range(11), 0], wrong=[11])
    part = m.where(m.wrong)
    assert len(part.sample) == 1
    assert part.wrong.all()
    assert part.size == 12


def test_squeezed():
    parameter = Parameter("b", None, np.zeros((1, 4, 1)), 0)
    zeros = (np.zeros(4),) * 4
    m = Mismatch.of(parameter, "db", zeros, np.zeros(4, bool), np.arange(4), is_bug=False)
    assert m.squeezed == (4,)
