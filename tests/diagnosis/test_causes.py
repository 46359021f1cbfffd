"""The simplest cause that explains every entry is recognised; if none does, it stays open."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from causes import case_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.causes.broadcast import WrongAxis
from gradcheck_magic._diagnosis.causes.entries import Clipped
from gradcheck_magic._diagnosis.causes.mask import Mask
from gradcheck_magic._diagnosis.causes.regularization import Regularization
from gradcheck_magic._diagnosis.causes.swapped import Swapped
from gradcheck_magic._diagnosis.causes.transposed import rearrangements
from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.diagnose import searched
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._result.cause import Cause

BAR = 1e-9
# A matrix for which all arrangements differ, and parameters.
RANDOM = np.random.default_rng(5)
G = RANDOM.normal(size=(4, 6))
THETA = RANDOM.normal(size=(4, 6))
SQUARE = RANDOM.normal(size=(4, 4))
VECTOR = RANDOM.normal(size=6)
COUNT = 50


def knowing(X, lambd):
    """Return a cost that reads a length and a strength."""
    return lambda p: lambd * float(np.sum(p**2)) / X.shape[1]


NUMBERS = NotebookNumbers(knowing(np.zeros((3, COUNT)), 0.7), {}, pair(THETA, G))
NO_NUMBERS = NotebookNumbers(lambda p: 0.0, {}, pair(np.ones(2), np.ones(2)))


def mismatch(analytic, numerical, *, name="W", theta=None, bar=BAR, known=True):
    """Return a gradient beside measured values; an error of more than two bars is wrong."""
    analytic, numerical = np.asarray(analytic, dtype=float), np.asarray(numerical, dtype=float)
    theta = np.resize(THETA, numerical.shape) if theta is None else theta
    size = numerical.size
    bars = np.where(np.broadcast_to(known, numerical.shape), bar, np.inf).ravel()
    wrong = ~(np.abs(analytic - numerical).ravel() <= 2 * bars)
    values = analytic.ravel(), numerical.ravel(), bars, np.zeros(size)
    parameter = Parameter(name, None, theta, 0)
    return Mismatch.of(parameter, f"d{name}", values, wrong, np.arange(size), is_bug=True)


def put(array, index, value):
    """Return the same array with other values in some places."""
    array = np.array(array, dtype=float)
    array[index] = value
    return array


def found(analytic, numerical, numbers=NUMBERS, **more):
    return recognised(mismatch(analytic, numerical, **more), numbers)


def alone(mismatch):
    """Return a mismatch, and a case of nothing else."""
    return mismatch, case_of([mismatch], NUMBERS)


def recognised(mismatch, numbers=NUMBERS):
    """Return the simplest cause of one parameter; None if there is none."""
    (finding,) = searched(case_of([mismatch], numbers)).findings
    return None if finding.cause is Cause.UNKNOWN else finding


# Every cause that one parameter shows by itself, with its numbers

DEAD = put(G, np.s_[:, [1, 4]], 0.0)


@pytest.mark.parametrize(("analytic", "numerical", "cause", "details"), [
    pytest.param(put(G, ([0, 2, 3], [1, 5, 0]), 1.7 * G[[0, 2, 3], [1, 5, 0]]), G, Cause.ENTRIES,
                 {"within": "SCALE", "factor": pytest.approx(1.7)}, id="a factor of some entries"),
    pytest.param(put(G, (1, 2), -G[1, 2]), G, Cause.ENTRIES, {"within": "SIGN", "factor": -1},
                 id="HARD: the sign of an entry"),
    pytest.param(put(G, (1, 2), 9.0), G, Cause.ENTRIES, {"n_wrong": 1}, id="another entry"),
    pytest.param(put(G, (1, 2), np.nan), G, Cause.ENTRIES, {"n_not_finite": 1, "indices": [(1, 2)]},
                 id="not finite"),
    pytest.param(G, 0 * G, Cause.COST_IGNORES_PARAMETERS, {"within": BAR}, id="flat"),
    pytest.param(0 * G, G, Cause.ZERO, {}, id="zero"),
    pytest.param(1e-16 * G, G, Cause.ZERO, {}, id="HARD: zero, but for rounding"),
    pytest.param(-G, G, Cause.SIGN, {"factor": -1}, id="sign"),
    pytest.param(2 * G, G, Cause.SCALE, {"factor": 2}, id="twice"),
    pytest.param(G / COUNT, G, Cause.SCALE, {"factor": 1 / COUNT}, id="a length too many"),
    pytest.param([2, -2, 0], [1, -1, 0], Cause.SCALE, {"factor": 2}, id="HARD: two of three"),
    pytest.param(-3 * G, G, Cause.SCALE, {"factor": pytest.approx(-3)}, id="HARD: sign and scale"),
    pytest.param(-G * (1 + 3e-6), G, Cause.SIGN, {"factor": -1}, id="HARD: nearly the sign"),
    pytest.param([-0.123457], [0.123457], Cause.SIGN, {"factor": -1}, id="sign of one entry"),
    pytest.param([-2.0], [2.0], Cause.SIGN, {"factor": -1}, id="HARD: sign of a round one"),
    pytest.param([0.246914], [0.123457], Cause.SCALE, {"factor": 2}, id="twice one entry"),
    pytest.param([0.123457 / COUNT], [0.123457], Cause.SCALE, {"factor": 1 / COUNT},
                 id="HARD: a length too many in one entry"),
    pytest.param([2.0, 1.0], [1.0, 2.0], Cause.TRANSPOSED, {"how": "flipped"},
                 id="two entries, reversed"),
    pytest.param(put(VECTOR, [1, 4], VECTOR[[4, 1]]), VECTOR, Cause.TRANSPOSED,
                 {"how": "reordered"}, id="HARD: two of six exchanged"),
    pytest.param(put(G, ([0, 2], [1, 5]), G[[2, 0], [5, 1]]), G, Cause.TRANSPOSED,
                 {"how": "reordered"}, id="HARD: two of a matrix exchanged"),
    pytest.param(SQUARE.T, SQUARE, Cause.TRANSPOSED, {"how": "transposed", "axes": (1, 0)},
                 id="transposed"),
    pytest.param(G.T.reshape(4, 6), G, Cause.TRANSPOSED, {"how": "reshaped"}, id="reshaped"),
    pytest.param(G.reshape(6, 4).T, G, Cause.TRANSPOSED, {"how": "reshaped"},
                 id="HARD: reshaped the other way"),
    pytest.param(G[::-1], G, Cause.TRANSPOSED, {"how": "flipped", "axes": (0,)}, id="flipped"),
    pytest.param(np.roll(G, 1, 1), G, Cause.TRANSPOSED, {"how": "shifted", "axes": (1,)},
                 id="shifted"),
    pytest.param(G[[1, 3, 0, 2]], G, Cause.TRANSPOSED, {"how": "reordered"}, id="shuffled"),
    pytest.param(G + 0.3 * THETA, G, Cause.REGULARIZATION,
                 {"strength": pytest.approx(0.3), "l1": False}, id="a penalty too many"),
    pytest.param(G - 0.3 * np.sign(THETA), G, Cause.REGULARIZATION,
                 {"strength": pytest.approx(-0.3), "l1": True}, id="an L1 penalty too few"),
    pytest.param(put(G + 0.3 * THETA, 0, G[0]), G, Cause.REGULARIZATION,
                 {"strength": pytest.approx(0.3), "n_wrong": 18}, id="HARD: some are exempt"),
    # 2 (d − λθ) + λθ = 2 d − λθ, with a λ that the cost reads.
    pytest.param(2 * G - 0.7 / COUNT * THETA, G, Cause.SCALE,
                 {"factor": 2.0, "penalised": ("W",)}, id="HARD: twice, but for the penalty"),
    pytest.param(1.37 * G - 0.37 * 0.7 / COUNT * THETA, G, Cause.SCALE,
                 {"factor": pytest.approx(1.37), "penalised": ("W",)},
                 id="HARD: a factor without a meaning, but for the penalty"),
    pytest.param(G * 0 + G.sum(), G, Cause.BROADCAST, {"how": "sum", "axes": (0, 1)},
                 id="a sum too many"),
    pytest.param(G * 0 + G.mean(axis=1, keepdims=True), G, Cause.BROADCAST,
                 {"how": "mean", "axes": (1,)}, id="a mean over one axis"),
    pytest.param(G, DEAD, Cause.MASK, {"axis": 1, "indices": [1, 4]}, id="a mask forgotten"),
    pytest.param(put(G, 2, 0), G, Cause.SLICE,
                 {"sides": [[2], [0, 1, 2, 3, 4, 5]], "within": "ZERO", "n_right": 18}, id="a row"),
    pytest.param(put(G, np.s_[:, 1:3], -G[:, 1:3]), G, Cause.SLICE,
                 {"sides": [[0, 1, 2, 3], [1, 2]], "within": "SIGN"}, id="columns"),
    pytest.param(put(G, np.s_[0:2, 1:4], RANDOM.normal(size=(2, 3))), G, Cause.SLICE,
                 {"sides": [[0, 1], [1, 2, 3]]}, id="a block"),
    pytest.param(put(G, ([0, 3], [1, 5]), 9.0), G, Cause.ENTRIES,
                 {"n_wrong": 2, "n_right": 22, "indices": [(0, 1), (3, 5)]}, id="entries"),
    pytest.param(put(VECTOR, [0, 3], 0), VECTOR, Cause.ENTRIES, {"within": "ZERO"},
                 id="HARD: entries of a vector, zero"),
])  # fmt: skip
def test_causes(analytic, numerical, cause, details):
    finding = found(analytic, numerical)
    assert finding.cause is cause
    assert {key: finding.details[key] for key in details} == details


@pytest.mark.parametrize(("analytic", "numerical", "causes"), [
    pytest.param(RANDOM.normal(size=(4, 6)), G, {None}, id="noise"),
    pytest.param(G + np.sqrt(np.abs(G)), G, {None}, id="another formula"),
    pytest.param([2.0], [1.0], {None}, id="one entry: small numbers have small factors"),
    pytest.param([0.3, 0.0], [0.0, 0.3], {None}, id="HARD: a number in place of a zero"),
    pytest.param([0.1728398], [0.123457], {None}, id="one entry: any factor fits"),
    pytest.param([-0.123458], [0.123457], {None}, id="HARD: one entry, nearly the other sign"),
    pytest.param([3.0, -3.0], [1.7, -1.7], {None}, id="HARD: two entries, a factor of no meaning"),
    pytest.param(-G, G * np.sign(RANDOM.normal(size=G.shape)), {None}, id="HARD: some signs"),
    pytest.param(G + 0.3, G, {None}, id="a constant"),
    pytest.param(1e-8 * THETA, 1e5 * (G - G.mean()), {None}, id="HARD: nearly zero, as the sum is"),
    pytest.param(2.5 * G - 0.33 * THETA, G, {None}, id="HARD: a factor, a strength of no meaning"),
])  # fmt: skip
def test_what_fits_nothing_stays_open(analytic, numerical, causes):
    finding = found(analytic, numerical)
    assert (finding and finding.cause) in causes


def test_whether_it_explains_every_entry():
    """A pattern that all wrong entries of a row share is a cause; the row alone is only a place."""
    assert found(put(G, 2, 0), G).firm
    assert not found(put(G, 2, RANDOM.normal(size=6)), G).firm
    assert found(G, DEAD).firm
    assert not found(G + put(0 * G, (0, 0), 1.0), DEAD).firm
    assert found(put(G, (0, 0), 9.0), G).firm
    assert not found(put(VECTOR, 0, 9.0), VECTOR).firm


# A factor


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e3, 1e3), st.integers(0, 99))
def test_any_factor(factor, seed):
    """A gradient that is c times the correct one is recognised, for any c beyond the error bars."""
    assume(abs(factor) > 1e-3)
    assume(min(abs(factor - 1), abs(factor + 1)) > 1e-3)
    numerical = np.random.default_rng(seed).normal(size=(4, 6))
    finding = found(factor * numerical, numerical)
    assert finding.cause is Cause.SCALE
    assert finding.details["factor"] == pytest.approx(factor, rel=1e-7)
    assert finding.details["factor_uncertainty"] < 1e-6 * max(1, abs(factor))


def test_the_bars_grow_with_the_factor():
    """If a value is multiplied by a thousand, so is its error bar."""
    bar = 1e-4
    numerical = G + 1.5 * bar * np.sign(THETA)
    assert found(1000 * G, numerical, bar=bar).cause is Cause.SCALE
    assert found(1000 * G, G + 3 * bar * np.sign(THETA), bar=bar) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_no_factor_in_noise(seed):
    """For two unrelated arrays, no cause is found."""
    random = np.random.default_rng(seed)
    analytic, numerical = random.normal(size=(2, 4, 6))
    assert found(analytic, numerical) is None


@pytest.mark.parametrize(("numbers", "factor"), [(NUMBERS, COUNT), (NO_NUMBERS, None)])
def test_two_entries_take_a_factor_with_a_meaning(numbers, factor):
    """50 is a length that one cost reads; for another cost it is an arbitrary number."""
    finding = found([COUNT, -2.0 * COUNT], [1.0, -2.0], numbers)
    assert (finding and finding.factor) == factor


@pytest.mark.parametrize(("factor", "bar", "cause"), [
    pytest.param(-1.01, 0.1, Cause.SIGN, id="a sign, known to two percent"),
    pytest.param(2.01, 0.05, Cause.SCALE, id="twice, known to one percent"),
    pytest.param(-1.3, 0.1, Cause.SCALE, id="HARD: too far from −1"),
])  # fmt: skip
def test_simple_factors_need_few_digits(factor, bar, cause):
    """Nothing but a sign is this near to −1; nobody knows what 49 ± 1 means."""
    finding = found(factor * G, G, bar=bar)
    assert finding.cause is cause
    is_simple = finding.factor in {-1.0, 2.0}
    assert is_simple == (abs(factor) != 1.3)
    assert found(49.6 * G, G, bar=bar).factor == pytest.approx(49.6)


@pytest.mark.parametrize(("factor", "n", "bar", "said"), [
    pytest.param(-1.0, 2, 1e-2, -1.0, id="HARD: the sign of two, to two digits"),
    pytest.param(3.0, 2, 1e-2, None, id="HARD: thrice two, to two digits"),
    pytest.param(0.66, 16, 0.1, None, id="HARD: two thirds, to 3 %"),
    pytest.param(6.01, 16, 0.1, pytest.approx(6.01), id="about six, to 3 %"),
    pytest.param(1.001, 3, 5e-7, pytest.approx(1.001), id="HARD: hardly a factor, of three"),
])  # fmt: skip
def test_factors_of_few_digits(factor, n, bar, said):
    """The simpler a factor, the less it takes to tell it; one without a meaning takes the most."""
    some = np.resize(G, n)
    finding = found(factor * some, some, NO_NUMBERS, bar=bar)
    assert (finding and finding.details["factor"]) == said


def test_entries_that_hardly_stand_out_are_no_evidence():
    """Seven values with wide bars, and one with a narrower one, fit a sign by chance."""
    bar, spread = np.array([0.09, *[0.125] * 7]), np.array([1.0, *[1.2] * 7])
    assert found(-spread, spread, bar=bar) is None
    assert found(-spread, spread, bar=bar / 1e6).cause is Cause.SIGN


# Correct values in other places


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 2, 3), (5,), (1, 4)])
def test_rearrangements(shape):
    """All are permutations."""
    size = math.prod(shape)
    assert all(sorted(order) == list(range(size)) for _, _, order in rearrangements(shape))


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 2, 3), (5,), (1, 4)])
@pytest.mark.parametrize("values", ["distinct", "alike"])
def test_rearranged_iff_it_can_be_told(shape, values):
    """Every rearrangement is recognised if the entries can be told apart, and only then."""
    size = math.prod(shape)
    numerical = np.arange(1.0, size + 1) ** 1.5 if values == "distinct" else np.ones(size)
    for _, _, order in rearrangements(shape):
        m = mismatch(numerical[order].reshape(shape), numerical.reshape(shape))
        if not m.is_wrong:
            assert values == "alike" or np.array_equal(order, range(size))
            continue
        finding = recognised(m)
        assert finding is not None
        assert finding.cause is Cause.TRANSPOSED


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.sampled_from([BAR, 0.45]))
def test_any_other_order(order, bar):
    """The same values in any order are recognised, unless error bars make them ambiguous."""
    numerical = np.arange(1.0, 9.0)
    m = mismatch(numerical[list(order)], numerical, bar=bar)
    assume(m.is_wrong)
    finding = recognised(m)
    told = bar == BAR
    assert (finding is not None and finding.cause is Cause.TRANSPOSED) == told


# Regularisation


@settings(max_examples=30, deadline=None)
@given(st.floats(-100, 100).filter(lambda s: abs(s) > 1e-3), st.booleans())
def test_any_strength(strength, l1):
    penalty = np.sign(THETA) if l1 else THETA
    finding = Regularization.recognise(*alone(mismatch(G + strength * penalty, G)))
    assert finding.strength == pytest.approx(strength, rel=1e-6)
    assert finding.l1 is l1


def test_two_numbers_that_may_be_exchanged():
    """With wide bars, nothing proves it; but then there is a simpler cause than a place."""
    wide = {"theta": np.ones(1), "bar": 0.2}
    one, two = mismatch([0.8], [2.5], name="a", **wide), mismatch([2.5], [0.8], name="b", **wide)
    assert {f.cause for f in searched(case_of([one, two], NUMBERS)).findings} == {Cause.UNKNOWN}


def test_a_penalty_to_one_digit():
    """No entry is off by much more than its bar, but nothing else fits all of them."""
    finding = found(G + 0.3 * THETA, G, bar=0.06)
    assert finding.cause is Cause.REGULARIZATION


def test_a_row_of_nothing_but_its_penalty():
    """It is zero, which needs no strength."""
    finding = found(put(G, 2, 0.0), put(G, 2, 0.3 * THETA[2]))
    assert finding.cause is Cause.SLICE
    assert finding.details["within"] == "ZERO"


def test_parameters_that_are_all_alike_show_no_penalty():
    """The gradient is then shifted by a constant, which may have any other cause."""
    ones = np.ones(G.shape)
    assert Regularization.recognise(*alone(mismatch(G + 0.3, G, theta=ones))) is None


# A bound


@pytest.mark.parametrize(("analytic", "numerical", "bound"), [
    pytest.param(np.clip(VECTOR, -0.5, 0.5), VECTOR, 0.5, id="clipped"),
    pytest.param([1, 1, 0.1, 0.2, 0.3], [9, 7, 0.1, 0.2, 0.3], 1, id="on one side"),
    pytest.param([1, 1, 0.1, 0.2, 0.4], [9, 7, 0.1, 0.2, 0.3], None, id="HARD: within is wrong"),
    pytest.param([1, 1, 0.1, 0.2, 0.3], [9, 0.5, 0.1, 0.2, 0.3], None, id="HARD: not beyond it"),
    pytest.param([1, -1, 0.1, 0.2, 0.3], [9, 7, 0.1, 0.2, 0.3], None, id="HARD: other sign"),
    pytest.param([1, 0.5, 0.1, 0.2, 0.3], [9, 0.5, 0.1, 0.2, 0.3], None, id="HARD: one alone"),
    pytest.param([1, 1, 0.1, 0.2], [9, 7, 0.1, 0.2], None, id="HARD: two within"),
    pytest.param([1, 1, 1, 0.1, 0.2], [9, 7, 1, 0.1, 0.2], None, id="HARD: and a right one at it"),
])  # fmt: skip
def test_clipped(analytic, numerical, bound):
    m, case = alone(mismatch(analytic, numerical))
    finding = Clipped.recognise(m, case)
    assert [found.clipped for found in Clipped.shared(case)] == [bound] * (bound is not None)
    assert (finding and finding.clipped) == bound


SIDES = np.array([-0.9, -0.7, -0.2, 0.1, 0.15, 0.8, 0.6])


@pytest.mark.parametrize(("analytic", "one_sided", "bound"), [
    pytest.param(np.minimum(SIDES, 0.3), True, "clipped at 0.3:", id="from above"),
    pytest.param(np.maximum(SIDES, -0.3), True, "clipped at −0.3:", id="HARD: from below"),
    pytest.param(np.clip(SIDES, -0.3, 0.3), False, "clipped to ±0.3:", id="from both sides"),
])  # fmt: skip
def test_the_sides_that_are_clipped(analytic, one_sided, bound):
    m, case = alone(mismatch(analytic, SIDES))
    finding = recognised(m)
    assert finding.one_sided is one_sided
    assert bound in finding.sentence(case)


# Other parameters that a finding explains


@pytest.mark.parametrize(("analytic", "numerical", "is_joined"), [
    pytest.param([4.0], [2.0], True, id="the same factor"),
    pytest.param([4.1], [2.0], False, id="another one"),
    pytest.param(2 * G - 0.5 * THETA, G, True, id="HARD: but for a penalty"),
    pytest.param(2 * G + 0.5 * THETA, G, False, id="HARD: a penalty of the wrong sign"),
])  # fmt: skip
def test_joined_to_a_factor(analytic, numerical, is_joined):
    others = found(2 * G, G)
    shared = others.joined(Unknown.of(mismatch(analytic, numerical, name="b", bar=1e-12)))
    assert (shared is not None) == is_joined
    if shared:
        assert shared.penalised == (("b",) if np.size(numerical) > 1 else ())


@pytest.mark.parametrize(("excess", "is_joined"), [(0.3, True), (0.4, False)])
def test_joined_to_a_strength(excess, is_joined):
    theta = np.array([2.0])
    more = mismatch([1 + excess * 2], [1.0], name="b", theta=theta, bar=1e-12)
    assert (found(G + 0.3 * THETA, G).joined(Unknown.of(more)) is not None) == is_joined


def test_joined_to_places_is_nothing():
    assert found(SQUARE.T, SQUARE).joined(Unknown.of(mismatch([1.0], [2.0]))) is None


def test_evidence():
    """cos = (3 · 4 + 4 · 3) / (5 · 5), and ‖(6, 8)‖ / ‖(4, 3)‖; unknown entries are left out."""
    known = Unknown.of(mismatch([6.0, 8.0, 1], [4.0, 3.0, 5], known=[True, True, False])).details
    assert known == {"n_wrong": 2, "cosine": pytest.approx(24 / 25), "ratio": pytest.approx(2)}
    assert Unknown.of(mismatch([0.0, 0.0], [4.0, 3.0])).details == {"n_wrong": 2}


@pytest.mark.parametrize(("analytic", "weights", "is_found"), [
    pytest.param([1.0, 5.0, 3.0], "right", True, id="the same total"),
    pytest.param([1.0, 5.0, 3.1], "right", False, id="another total"),
    pytest.param([1.0, 5.0, 3.0], "wrong", False, id="HARD: the weights are wrong, too"),
    pytest.param([1.0, 5.0, 3.0], "elsewhere", False, id="HARD: no weights of its length"),
])  # fmt: skip
def test_summed_over_the_other_axis(analytic, weights, is_found):
    bias = mismatch(analytic, [2.0, 3.0, 4.0], name="b", bar=1e-12)
    numerical = SQUARE[:3] if weights != "elsewhere" else SQUARE
    others = mismatch(numerical + (weights == "wrong"), numerical)
    finding = WrongAxis.recognise(bias, case_of([others, bias], NUMBERS))
    assert (finding is not None) == is_found
    if finding:
        assert finding.details["total"] == pytest.approx(9)


def exchanged(mismatches, wrong=None):
    return Swapped.among(case_of(mismatches, NUMBERS, wrong))


@pytest.mark.parametrize("owners", [
    pytest.param("b a c", id="two exchanged"),
    pytest.param("b c a", id="three in a circle"),
    pytest.param("b b c", id="a copy of another"),
])  # fmt: skip
def test_exchanged(owners):
    """Each gradient is that of another parameter; a group is exchanged within itself."""
    numerical = dict(zip("abc", np.random.default_rng(1).normal(size=(3, 2, 3)), strict=True))
    names = dict(zip("abc", owners.split(), strict=True))
    every = [mismatch(numerical[names[n]], numerical[n], name=n) for n in "abc"]
    (swap,) = exchanged(every)
    assert swap.cause is Cause.SWAPPED
    moved = [n for n in "abc" if names[n] != n]
    assert [m.name for m in swap.mismatches] == moved
    assert swap.details["owners"] == [names[n] for n in moved]


def test_not_exchanged():
    """A single entry does not show an exchange, nor does a vector that is off in one entry."""
    one, other = mismatch([2.0], [1.0], name="a"), mismatch([2.0], [2.0], name="b")
    assert exchanged([one, other], [one]) == []
    nearly = put(VECTOR, 5, 9.0)
    one, other = mismatch(nearly, VECTOR + 1, name="a"), mismatch(VECTOR, VECTOR, name="b")
    assert exchanged([one, other], [one]) == []


def test_two_pairs_are_two_groups():
    arrays = np.random.default_rng(2).normal(size=(4, 5))
    every = [mismatch(arrays[k ^ 1], arrays[k], name=n) for k, n in enumerate("abcd")]
    groups = [[m.name for m in swap.mismatches] for swap in exchanged(every, every)]
    assert groups == [["a", "b"], ["c", "d"]]
    assert list(itertools.chain(*groups)) == list("abcd")


@pytest.mark.parametrize(("factors", "causes"), [
    pytest.param((3.1, 3.2), {Cause.UPSTREAM}, id="nearly the same multiple"),
    pytest.param((3.1, -3.2), {Cause.UNKNOWN}, id="HARD: another sign"),
    pytest.param((1.0, 3.2), {Cause.UNKNOWN}, id="HARD: one is nearly right"),
])  # fmt: skip
def test_what_enters_at_the_start_is_alike_everywhere(factors, causes):
    """Gradients that are nearly other multiples of the correct ones have causes of their own."""
    nearly = 1 + 0.01 * THETA
    mismatches = [mismatch(f * nearly * G, G, name=n) for f, n in zip(factors, "VW", strict=True)]
    findings = searched(case_of(mismatches, NO_NUMBERS)).findings
    assert {finding.cause for finding in findings} == causes


def test_no_mask_if_other_entries_may_be_wrong():
    """Nobody knows if the others agree: where kinks meet, they need not be wrong."""
    numerical = put(G, (slice(None), 2), 0.0)
    masked = mismatch(G, numerical)
    assert Mask.recognise(*alone(masked)).firm
    off = mismatch(put(G, (0, 0), 9.0), numerical)
    disputed = replace(off, wrong=masked.wrong)
    assert Mask.recognise(*alone(disputed)) is None


def test_a_stray_entry_is_no_mask():
    """One entry of a column of two is wrong where the gradient of the column is zero."""
    numerical = put(G[:2], (slice(None), 2), 0.0)
    one = mismatch(put(numerical, (0, 2), 0.1), numerical)
    assert Mask.recognise(*alone(one)) is None
