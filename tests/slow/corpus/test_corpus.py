"""The corpus itself: its correct gradients are correct, and its wrong ones are wrong."""

import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("autograd")

from corpus import FAMILIES, KINDS, REGIMES, build, cases, plans, sample
from corpus.family import LENGTH_SCALES, STOPS_EARLY
from corpus.generate import kind, solved
from corpus.regimes import jump
from corpus.rounded import rounded, to_bfloat16, to_float16, to_tf32
from corpus.seeable import steps
from corpus.truth import moved_a_little

SEEDS = (0,)


@pytest.fixture(scope="module")
def everything():
    """Return all cases of one seed."""
    return list(cases(SEEDS))


def test_there_are_many():
    assert len(FAMILIES) >= 50
    assert len(REGIMES) >= 42
    assert len(list(plans(part="first"))) >= 5000
    assert len(list(plans(part="added"))) >= 4000
    assert all(len(family.bugs) >= 2 for family in FAMILIES.values())


def test_hardly_any_bug_changes_nothing(everything):
    """The number of cases is about the number of plans."""
    assert len(everything) >= 0.95 * len(list(plans(SEEDS)))
    right = sum(not case.bug for case in everything)
    assert right >= 250


def test_the_first_corpus_stands(everything):
    """What was added comes after it, and each part of it says for which kind."""
    first, added = list(plans(part="first")), list(plans(part="added"))
    assert [*first, *added] == list(plans())
    assert len(first) == 5044
    assert not any(kind(plan.family, plan.regime) for plan in first)
    assert {kind(plan.family, plan.regime) for plan in added} == set(KINDS)
    assert all(case.kind == kind(case.family, case.regime) for case in everything)


def test_right_is_right(everything):
    """Correct gradients are exact to 1e-9, as `build` asserts, or to single-precision rounding."""
    for case in everything:
        if not case.bug:
            assert case.error() <= (1e-3 if "single" in case.regime else 1e-9), case.name


def test_wrong_is_wrong(everything):
    """Wrong gradients are off by at least 1e-4, or, rounded to single precision, a little less."""
    for case in everything:
        if case.bug:
            assert case.error() >= (5e-5 if "single" in case.regime else 1e-4), case.name


def test_the_parts_fit(everything):
    for case in everything:
        assert case.params.keys() == case.grads.keys() == case.lower.keys() == case.upper.keys()
        for name, value in case.params.items():
            shapes = {part[name].shape for part in (case.grads, case.lower, case.upper)}
            assert shapes == {value.shape}, case.name
            assert (case.lower[name] <= case.upper[name]).all()
            assert case.lower[name].dtype == case.upper[name].dtype == np.float64
        assert np.isfinite(case.cost(case.params)), case.name


def test_names_are_unique(everything):
    names = Counter(case.name for case in everything)
    assert names.most_common(1)[0][1] == 1


def test_precision():
    for case in cases(SEEDS, regimes=["single precision"]):
        arrays = [*case.params.values(), *case.grads.values(), case.cost(case.params)]
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}, case.name
        doubled = {name: value.astype(float) for name, value in case.params.items()}
        assert np.isclose(case.cost(doubled), case.cost(case.params), rtol=1e-3, atol=1e-4)


def test_offset_and_scale_are_what_they_say():
    for family in (name for name, family in FAMILIES.items() if not family.kind):
        for regime, scale in (("plain", 1), ("offset 1e8", 1), ("scaled by 1e9", 1e9)):
            case = next(cases(SEEDS, [family], [regime]))
            cost = case.cost(case.params)
            assert (cost > 1e7) == (regime == "offset 1e8") or scale > 1
            assert case.name == f"{family} | {regime} | 0"


@pytest.mark.parametrize(
    "family", [name for name, family in FAMILIES.items() if family.plant is not None]
)
def test_kinks_are_where_they_are_said_to_be(family):
    """The quotients from both sides are the two slopes that the corpus states."""
    case = next(cases(SEEDS, [family], ["at a kink"]))
    kinks = 0
    for name, value in case.params.items():
        for index in np.ndindex(value.shape):
            sides = sorted(quotient(case, name, index, step) for step in (-1e-7, 1e-7))
            slopes = [case.lower[name][index], case.upper[name][index]]
            assert np.allclose(sides, slopes, rtol=1e-5, atol=1e-6), (name, index)
            kinks += slopes[0] < slopes[1]
    assert 0 < kinks < case.size


def quotient(case, name, index, step):
    """Return the difference quotient to one side."""
    moved = case.params[name].copy()
    moved[index] += step
    return (case.cost({**case.params, name: moved}) - case.cost(case.params)) / step


def kinks_that_meet():
    return [
        *((name, "plain") for name, family in FAMILIES.items() if family.kinks_meet),
        *((name, "units pruned") for name, family in FAMILIES.items() if family.prune is not None),
    ]


@pytest.mark.parametrize(("family", "regime"), kinks_that_meet())
def test_where_kinks_meet(family, regime):
    """Gradients near by are within what the corpus calls right, and some entries vary there."""
    made, lower, upper = solved(family, regime, 1)
    # HARD: these are not the points from which the corpus has it.
    rng = np.random.default_rng(1)
    beyond = total = 0
    for _ in range(200):
        moved = replace(made.in_double(), params=moved_a_little(made.in_double(), rng))
        for name, grad in moved.gradient().items():
            slack = 1e-5 * np.abs(grad).max()
            beyond += np.sum((grad < lower[name] - slack) | (grad > upper[name] + slack))
            total += grad.size
    assert beyond <= 1e-3 * total
    assert any((lower[name] < upper[name]).any() for name in lower)


def test_a_pruned_unit_varies_by_more_than_its_own_quotients_show():
    """Where kinks meet, an entry's own two slopes are not all that is right."""
    case = next(cases(SEEDS, ["dense relu softmax"], ["units pruned"]))
    wider = 0
    for name, value in case.params.items():
        for index in np.ndindex(value.shape):
            sides = [quotient(case, name, index, step) for step in (-1e-6, 1e-6)]
            low, high = case.lower[name][index], case.upper[name][index]
            assert low - 1e-4 <= min(sides), (name, index)
            assert max(sides) <= high + 1e-4, (name, index)
            wider += high - low > 1.1 * (max(sides) - min(sides)) + 1e-3
    assert wider


@pytest.mark.parametrize(
    "family", [name for name, family in FAMILIES.items() if family.kind == LENGTH_SCALES]
)
def test_lengths(family):
    """A thousandth of the length shows the slope."""
    case = next(cases(SEEDS, [family], ["plain"]))
    for name, length in case.lengths.items():
        entry = np.unravel_index(np.abs(case.lower[name]).argmax(), case.lower[name].shape)
        sides = [quotient(case, name, entry, step) for step in (-1e-3 * length, 1e-3 * length)]
        assert np.isclose(np.mean(sides), case.lower[name][entry], rtol=1e-3), name


def test_the_steps_of_the_rule():
    assert [*steps(np.array([3.0]), 0)][::16] == [3 * 10**-1.0, 3 * 10**-9.0]
    assert [*steps(np.array([1e-5]), 0)][-1] == 1e-12
    assert [*steps(np.array([1.7e9]), 0, 2.0)][::16] == [2 * 10**-1.0, 2 * 10**-9.0]
    assert [*steps(np.array([1e-5]), 0, 1e-5)][-1] == 1e-5 * 1e-9


@pytest.mark.parametrize(
    "family", [name for name, family in FAMILIES.items() if family.kind == STOPS_EARLY]
)
def test_solvers_stop_early(family):
    """The cost is near that of the solution, and is not it."""
    made, _, _ = solved(family, "plain, another size", 0)
    early, exact = made.cost(made.params), made.in_double().cost(made.params)
    assert 1e-12 < abs(early - exact) < 1e-2 * max(1.0, abs(exact))


def test_low_precision():
    values = np.array([1 + 2**-9, 1 + 2**-12, 70_000.0, 1 / 3])
    assert to_float16(values).tolist() == [1 + 2**-9, 1, np.inf, 1365 / 4096]
    assert to_bfloat16(values).tolist() == [1, 1, 70_144, 171 / 512]
    assert to_tf32(values).tolist() == [1 + 2**-9, 1, 70_016, 1365 / 4096]
    a = rounded({"a": np.array([[0.1, 0.2], [0.3, 0.7]])}, to_bfloat16)["a"]
    for result in (a + a, a @ a, np.exp(a), a.sum(axis=0), np.mean(a, axis=1), 3 * a**2, a.T / 7):
        assert np.array_equal(result, to_bfloat16(np.asarray(result)))
    assert not np.array_equal(a @ a, np.asarray(a) @ np.asarray(a))


def test_products_of_low_precision():
    """What is multiplied is rounded, and neither the sum nor anything else."""
    a = np.array([[0.1, 0.2], [0.3, 0.7]])
    b, low = rounded({"a": a}, to_bfloat16, products_only=True)["a"], to_bfloat16(a)
    assert np.array_equal(b @ b, low @ low)
    assert np.array_equal(np.einsum("ij,jk->ik", b, np.exp(b)), low @ to_bfloat16(np.exp(a)))
    assert np.array_equal((b @ b) @ b, to_bfloat16(low @ low) @ low)
    for operation in (np.exp, np.sum, lambda x: x * x, lambda x: np.mean(x, axis=1), np.linalg.inv):
        assert np.array_equal(operation(b), operation(a))


def test_the_cost_is_rounded_inside():
    """Steps below the precision change nothing at all, and longer ones too much."""
    for regime, step in [("float16 inside", 1e-5), ("bfloat16 inside", 1e-4)]:
        case = next(cases(SEEDS, ["dense tanh square"], [regime]))
        assert isinstance(case.cost(case.params), float)
        moved = {name: value * (1 + step) for name, value in case.params.items()}
        assert case.cost(moved) == case.cost(case.params)
        exact = next(cases(SEEDS, ["dense tanh square"], ["plain"]))
        assert exact.cost({**exact.params, "b3": exact.params["b3"] + step}) != exact.cost(
            exact.params
        )


def test_a_faint_gradient_moves_the_cost_a_little():
    """A tenth of the usual length moves the cost by a few of its units, and by 100 at most."""
    for family in ("dense tanh square", "convolution"):
        for regime in ("rounded to 6 decimals", "offset 1e6"):
            right, *wrong = cases(SEEDS, [family], [f"a faint gradient, {regime}"])
            faintest = min(np.abs(grad).max() for grad in right.grads.values())
            assert 1.9 < 0.2 * faintest / right.granularity < 101
            assert [case.bug for case in wrong] == [f"nothing for {name}" for name in right.params]


def test_jumps_have_no_slope():
    """Near by the cost moves as it did without them; the jumps do not grow with the distance."""
    table = np.random.default_rng(0).normal(size=97) * 1e-6
    at = [jump(table, 1e-3, {"a": np.array([x])}) for x in np.linspace(0.5e-4, 1000, 4001)]
    assert len(set(at)) == 97
    assert abs(np.polyfit(np.linspace(0, 1000, 4001), at, 1)[0]) < 1e-9
    assert jump(table, 1e-3, {"a": np.array([1e-4])}) == jump(table, 1e-3, {"a": np.array([2e-4])})
    assert np.isnan(jump(table, 1e-3, {"a": np.array([np.inf])}))


def test_the_bias_before_batch_norm_has_no_gradient():
    case = next(cases(SEEDS, ["batch norm"], ["plain"]))
    assert not case.lower["b1"].any()
    assert case.error() == 0


def test_no_step_makes_a_warning():
    """Even a step that is far too long gives no warning, whatever its cost."""
    for family, regime in [("poisson regression", "parameters of 1e-6"), ("flow", "plain")]:
        case = next(cases(SEEDS, [family], [regime]))
        for step in (1e-3, 1.0, 1e4):
            case.cost({name: value + step for name, value in case.params.items()})


def test_two_generations_are_the_same():
    for plan in list(plans())[::97]:
        one, _, other = build(plan), solved.cache_clear(), build(plan)
        assert (one is None) == (other is None)
        if one is not None:
            assert fingerprint(one) == fingerprint(other)


def test_a_sample_is_fixed_and_spread_out():
    one, _, other = sample(60), solved.cache_clear(), sample(60)
    assert [fingerprint(case) for case in one] == [fingerprint(case) for case in other]
    assert len({case.family for case in one}) > 15
    assert len({case.regime for case in one}) > 15
    assert {bool(case.bug) for case in one} == {True, False}


def fingerprint(case):
    """Return all the numbers of a case, to the bit."""
    parts = [case.params, case.grads, case.lower, case.upper]
    arrays = [(part[name].dtype.str, part[name].tobytes()) for part in parts for name in part]
    return case.name, arrays, float(case.cost(case.params))


def test_other_processes_can_be_given_cases():
    case = sample(1)[0]
    assert fingerprint(pickle.loads(pickle.dumps(case))) == fingerprint(case)


def test_the_stated_rule():
    """An error of a percent can be seen; errors below the rounding noise of the cost cannot."""
    for regime, factor, seen in [
        ("plain", 1.01, True),
        ("plain", 1 + 1e-4, True),
        ("plain", 1 + 1e-13, False),
        ("offset 1e8", 1.01, True),
        ("offset 1e8", 1 + 1e-8, False),
    ]:
        right = next(cases(SEEDS, ["dense tanh square"], [regime]))
        grads = {name: grad * factor for name, grad in right.grads.items()}
        assert replace(right, grads=grads, bug="a factor").seeable() == seen, (regime, factor)
    assert right.seeable()


def test_a_cost_that_does_not_move_shows_nothing():
    """A slope of zero is seen only where the deviation from it would move the cost."""
    right = next(cases(SEEDS, ["dense tanh square"], ["1e6 added in single precision"]))
    assert right.granularity == 0.0625
    flat = {name: np.zeros_like(grad) for name, grad in right.grads.items()}
    still = replace(right, cost=lambda params: 1e6, lower=flat, upper=flat, bug="a constant")
    for slope, seen in [(0.1, False), (10.0, True)]:
        grads = {name: np.full_like(grad, slope) for name, grad in right.grads.items()}
        assert replace(still, grads=grads).seeable() == seen, slope
    assert replace(still, granularity=0.0, grads=grads).seeable()
