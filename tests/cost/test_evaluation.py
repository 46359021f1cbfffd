"""The user's function gives one number on either side of θ, which is restored bit for bit."""

import time
import warnings

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients
from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.evaluation import EntryBatch, Evaluator, OutOfTime
from gradcheck_magic._inputs.pairing import pair

UPSTREAM = np.array([1.0, -2.0])


def evaluator(function=None, upstream=None):
    return Evaluator(function, "J", upstream)


def bound(params, convention=Convention.STRUCTURED):
    parameters = pair(params, params).parameters
    return Binding(convention, parameters, parameters.theta())


# Returned values

READ = [
    pytest.param(1.5, None, 1.5, id="a float"),
    pytest.param(np.float32(0.25), None, 0.25, id="a float of NumPy's"),
    pytest.param(3, None, 3.0, id="a whole number"),
    pytest.param(np.array([[2.5]]), None, 2.5, id="an array of one"),
    pytest.param(True, None, 1.0, id="a truth value"),
    pytest.param((1.5, {"cache": 1}), None, 1.5, id="cost and cache"),
    pytest.param(((1.5, 2), 3), None, 1.5, id="nested"),
    pytest.param([1.5, "cache"], None, 1.5, id="as a list"),
    pytest.param(np.array([3.0, 5.0]), UPSTREAM, -7.0, id="weighted: 1 · 3 − 2 · 5"),
    pytest.param([3.0, 5.0], UPSTREAM, -7.0, id="a list that is weighted"),
    pytest.param((np.array([3.0, 5.0]), "cache"), UPSTREAM, -7.0, id="output and cache"),
]


@pytest.mark.parametrize(("value", "upstream", "expected"), READ)
def test_read(value, upstream, expected):
    found = evaluator(upstream=upstream)
    assert found.as_number(found.as_array(value)) == expected
    several = isinstance(value, tuple) or (isinstance(value, list) and upstream is None)
    assert (found.first(value) is not value) == several


@pytest.mark.parametrize(
    ("value", "upstream", "said"),
    [
        (None, None, "None: is a `return` missing?"),
        ("1.5", None, "expected one real number"),
        (1j, None, r"the complex number 0\+1j: expected a real cost"),
        ([[1.0], [1.0, 2.0]], None, "expected one real number"),
        (np.ones(3), None, r"an array of shape \(3,\): expected one number"),
        (np.ma.masked_all(()), None, "masked value"),
        (
            np.ones(3),
            UPSTREAM,
            r"`upstream` has shape \(2,\), but `J` returned an array of shape \(3,\)",
        ),
    ],
)
def test_not_a_number(value, upstream, said):
    found = evaluator(upstream=upstream)
    with pytest.raises(InputError, match=said):
        found.as_number(found.as_array(value))


@pytest.mark.parametrize(
    ("value", "bits"), [(1.0, 53), (np.float32(1), 24), (np.float16(1), 11), (1, 53)]
)
def test_precision_of_what_comes_back(value, bits):
    parameters = pair(np.ones(2), np.ones(2)).parameters
    with Cost(lambda x: value, parameters) as cost:
        assert cost.bits == bits


# Calls


@pytest.mark.parametrize("fails", [False, True])
def test_the_guard_is_open_meanwhile(fails):
    def function(x):
        assert found.guard.open
        return 1.0 / (0 if fails else 2)

    found = evaluator(function)
    if fails:
        with pytest.raises(ZeroDivisionError):
            found.value(bound(np.ones(2)))
    else:
        assert found.value(bound(np.ones(2))) == 0.5
    assert not found.guard.open
    assert found.n_evaluations == 1


def test_quiet():
    """If the function raises, there is no value, and no warning is shown."""
    binding = bound(np.array([-1.0]))
    found = evaluator(lambda x: 1 / 0)
    assert np.isnan(found.value_or_nan(binding))

    def warns(x):
        warnings.warn("of the user's", stacklevel=1)
        return float(np.log(x)[0])

    found = evaluator(warns)
    with found.quiet():
        assert np.isnan(found.value_or_nan(binding))
    with pytest.raises(UserWarning, match="of the user's"):
        evaluator(warns).value(binding)


@pytest.mark.parametrize(("left", "is_enough"), [(1e6, True), (-1.0, False), (10.0, False)])
def test_time(left, is_enough):
    """An evaluation that would not end in time is not started."""
    found = evaluator(lambda x: 1.0)
    found.seconds_each = 1000.0
    found.deadline = time.perf_counter() + left
    if is_enough:
        assert found.value(bound(np.ones(1))) == 1.0
    else:
        with pytest.raises(OutOfTime):
            found.value(bound(np.ones(1)))
    assert found.n_evaluations == is_enough


# On both sides

THETA = {"a": np.array([0.1, 0.2, 0.3]), "W": np.array([[1.0, 2.0], [3.0, 4.0]])}
WEIGHTS = {"a": np.array([1.0, 10.0, 100.0]), "W": np.array([[2.0, 3.0], [5.0, 7.0]])}


def both_sides(found, binding, batch):
    return np.array(found.pairs(binding, batch)).T


def linear(p):
    return float(sum(np.sum(WEIGHTS[name] * p[name]) for name in p))


@pytest.mark.parametrize("convention", [Convention.STRUCTURED, Convention.FLAT])
def test_entries(convention):
    """Entries move one at a time, each with its own step or all with the same one."""

    def flat(theta):
        return linear({"a": theta[:3], "W": theta[3:].reshape(2, 2)})

    found = evaluator(flat if convention is Convention.FLAT else linear)
    binding = bound(THETA, convention)
    before = [array.tobytes() for array in binding.arrays]
    plus, minus = both_sides(found, binding, EntryBatch(1, [3, 0], [0.5, 0.25]))
    assert plus - minus == pytest.approx([2 * 0.5 * 7, 2 * 0.25 * 2])
    plus, minus = both_sides(found, binding, EntryBatch(0, [1, 2], 1e-3))
    assert plus - minus == pytest.approx([0.02, 0.2])
    assert [array.tobytes() for array in binding.arrays] == before
    assert found.n_evaluations == 8


def test_along():
    """Several parameters move at once, each along its own direction."""
    binding = bound(THETA)
    before = [array.tobytes() for array in binding.arrays]
    one = Direction.over(0, (3,), (1,), [])
    other = Direction.over(1, (2, 2), (2,), [])
    found = evaluator(linear)
    batch = [[(one, 0.5)], [(one, 0.5), (other, 0.25)]]
    plus, minus = both_sides(found, binding, batch)
    slope = sum(one.value_at((k,)) * WEIGHTS["a"][k] for k in range(3))
    further = sum(other.value_at(k) * WEIGHTS["W"][k] for k in np.ndindex(2, 2))
    assert plus - minus == pytest.approx([slope, slope + further / 2])
    assert [array.tobytes() for array in binding.arrays] == before


def fails_beyond(x):
    if x[0] > 1.05 or x[1] < 1.95:
        raise ValueError("beyond")
    return float(x.sum())


@pytest.mark.parametrize(
    ("ks", "steps", "done", "label"),
    [([0], 0.1, 0, "params[0]"), ([0, 1], [0.01, 0.1], 1, "params[1]")],
)
def test_an_error_is_the_users(ks, steps, done, label):
    """The error says which entry was moved; θ is restored, and earlier evaluations are kept."""
    binding = bound(np.array([1.0, 2.0]))
    known = []
    with pytest.raises(ValueError, match="beyond") as error:
        evaluator(fails_beyond).each_pair(binding, EntryBatch(0, ks, steps), known.append)
    assert error.value.__notes__ == [
        f"This happened with `{label}` moved by 0.1; at the parameters themselves `J` works."
    ]
    assert len(known) == done
    assert binding.arrays[0].tolist() == [1.0, 2.0]


def test_an_error_is_nan_where_it_may_be_our_own():
    binding = bound(np.array([1.0, 2.0]))
    found = evaluator(fails_beyond)
    plus, minus = both_sides(found, binding, EntryBatch(0, [0, 1], 0.1, quiet=True))
    np.testing.assert_equal(plus, [np.nan, 1 + 2.1])
    np.testing.assert_equal(minus, [0.9 + 2, np.nan])
    along = [[(Direction.over(0, (2,), (0,), []), 1.0)]]
    assert np.isnan(both_sides(found, binding, along)).any()
    assert binding.arrays[0].tolist() == [1.0, 2.0]


def test_a_quiet_batch_is_silenced_once():
    """Silencing each evaluation would take longer than a cheap cost."""
    found, entered = evaluator(linear), []
    found.quiet = lambda: (entered.append(True), Evaluator.quiet(found))[1]
    found.pairs(bound(THETA), EntryBatch(0, range(3), 0.1, quiet=True))
    assert entered == [True]


@pytest.mark.parametrize(
    ("batch", "steps"),
    [
        (EntryBatch(2, range(5), 0.5, quiet=True), 0.5),
        (EntryBatch(2, range(5), [1, 2, 3, 4, 5]), [2, 3]),
    ],
)
def test_part_of_a_batch(batch, steps):
    part = batch[1:3]
    assert (len(batch), len(part), list(part.ks)) == (5, 2, [1, 2])
    assert (part.position, part.steps, part.quiet) == (2, steps, batch.quiet)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda W: W[:, ::-1]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8", np.longdouble])
def test_moved_as_the_array_itself_would_be(dtype, layout):
    """Doubles in a row are moved as Python's floats, which makes no difference."""
    W, seen = layout(np.linspace(-1.0, 2.0, 6).astype(dtype).reshape(2, 3)), []
    expected = [W.copy() for _ in range(12)]
    for k, (plus, minus) in enumerate(zip(expected[::2], expected[1::2], strict=True)):
        plus.flat[k] += 1e-7
        minus.flat[k] -= 1e-7
    batch = EntryBatch(0, range(6), 1e-7)
    evaluator(lambda: seen.append(W.copy()) or 1.0).pairs(bound(W, Convention.CLOSURE), batch)
    assert np.array_equal(seen, expected)


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_bytes_in_another_order(dtype, mode):
    """Arrays as they are read from a file are moved in place, and restored."""
    W = np.linspace(-1.0, 2.0, 6).astype(dtype).reshape(2, 3)
    before = W.tobytes()
    check = check_gradients([W], [2 * W], lambda: float(np.sum(W**2, dtype=np.float64)), mode=mode)
    assert check.verdict is Verdict.CORRECT
    assert W.tobytes() == before
    assert W.dtype == dtype
