"""Options are valid, or refused with a sentence that says what is expected."""

import math
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from reports import result_by_hand

from gradcheck_magic import InputError, check_gradients, gradient_checking
from gradcheck_magic._inputs.request import Request, valid_step

PLAIN = {
    "cost_function": abs, "grads": abs, "epsilon": None, "mode": "auto", "only": None,
    "call": "auto", "upstream": None, "points": 1, "workers": None, "budget": None, "seed": 0,
    "progress": None, "previous": None, "started": 0.0,
}  # fmt: skip


def request(**options):
    return Request(**{**PLAIN, **options})


class Hostile:
    def __float__(self):
        raise RuntimeError

    def __repr__(self):
        return "hostile"


GOOD = [
    {},
    {"mode": "full"},
    {"mode": "scan"},
    {"budget": 1},
    {"budget": 0.5},
    {"budget": Fraction(1, 3)},
    {"budget": np.float64(2)},
    {"points": 3},
    {"points": np.int64(2)},
    {"points": 1, "grads": np.ones(3)},
    {"epsilon": 1e-4},
    {"progress": print},
    {"previous": result_by_hand()},
]


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_taken(options):
    found = request(**options)
    for name, value in options.items():
        assert getattr(found, name) is value


REFUSED = [
    ({"mode": "Full"}, "`mode` is 'Full': expected auto, full, scan."),
    ({"mode": ["auto"]}, "`mode` is .*: expected auto, full, scan."),
    ({"mode": None}, "`mode` is None"),
    ({"budget": 0}, "`budget` is 0: expected a number of seconds, such as 10."),
    ({"budget": -1.0}, "`budget` is -1.0"),
    ({"budget": math.nan}, "`budget` is nan"),
    ({"budget": math.inf}, "`budget` is inf"),
    ({"budget": 10**400}, "`budget` is 1"),
    ({"budget": True}, "`budget` is True"),
    ({"budget": "10"}, "`budget` is '10'"),
    ({"points": 0}, "`points` is 0: expected a positive integer."),
    ({"points": 1.0}, "`points` is 1.0"),
    ({"points": True}, "`points` is True"),
    ({"points": 2, "grads": np.ones(2)}, "`points` is 2, but `grads` is the gradient at the given"),
    ({"previous": 0.3}, "`previous` is .*: expected the GradientCheck"),
    ({"progress": 5}, "`progress` is .*: expected a function of"),
]


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_small_floats_do_not_round_the_deadline(kind):
    found = request(budget=kind(2), started=1e6 + 1 / 64)
    assert found.deadline == 1e6 + 2 + 1 / 64


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_refused(options, said):
    with pytest.raises(InputError, match=said):
        request(**options)


@pytest.mark.parametrize(
    ("epsilon", "step"),
    [
        (1e-7, 1e-7),
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (np.array(0.25), 0.25),
        (Decimal("0.125"), 0.125),
        (Fraction(1, 4), 0.25),
        (np.int8(1), 1.0),
        (5e-324, 5e-324),
    ],
)
def test_step(epsilon, step):
    assert valid_step(epsilon) == step
    assert type(valid_step(epsilon)) is float


NO_STEP = [
    0, -1, math.nan, math.inf, "small", [1e-7], np.ones(1), 1j, np.ma.masked, Hostile(),
    # Python would convert these to a number.
    "1e-7", b"1e-7", True, np.True_, np.array(True), np.array("1e-7"), np.array("1e-7", object),
]  # fmt: skip


@pytest.mark.parametrize("epsilon", NO_STEP, ids=repr)
@pytest.mark.parametrize("check", [check_gradients, gradient_checking])
def test_no_step(check, epsilon):
    with pytest.raises(InputError, match=r"`epsilon` is .*: expected a small positive number, su"):
        check(np.ones(2), 2 * np.ones(2), lambda x: float(x @ x), epsilon=epsilon)


def test_seconds_left():
    """Time counts from the start of the check; it is negative when the budget is used up."""
    assert request().seconds_left is None
    assert 99 < request(budget=100).seconds_left <= 100
    late = request(budget=1, started=time.perf_counter() - 10)
    assert -10 < late.seconds_left <= -9


@pytest.mark.parametrize("points", [1, 4])
@pytest.mark.parametrize("point", [0, 3])
def test_progress(points, point):
    """With several points, the progress counts all of them; without a callback, there is none."""
    assert request(points=points).progress_at(point) is None
    told = []
    found = request(points=points, progress=lambda *told_now: told.append(told_now))
    report = found.progress_at(point)
    report(5, 20, 1.5)
    ((done, total, seconds),) = told
    if points == 1:
        assert (done, total, seconds) == (5, 20, 1.5)
    else:
        # The gradient function may take as long as one more point.
        assert (done, total) == (20 * point + 5, 20 * 5)
        assert seconds >= 0
