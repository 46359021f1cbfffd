"""A budget counts everything: reading the arrays, the evaluations, and the end of the check."""

import numpy as np
import pytest

from gradcheck_magic import check_gradients
from gradcheck_magic._diagnosis import diagnose
from gradcheck_magic._result.verdict import Verdict


def square(w):
    return float(w @ w)


@pytest.mark.parametrize(("reading", "ends"), [
    pytest.param(0, 100, id="nothing to reserve"),
    pytest.param(1, 97, id="three times as long is kept for the end"),
    pytest.param(20, 60, id="that is no more than half of what is left"),
    pytest.param(100, 100, id="HARD: nothing is left"),
    pytest.param(500, 500, id="HARD: less than nothing"),
])  # fmt: skip
def test_what_is_left_for_evaluations(clock, reading, ends):
    """The seconds that reading takes are no longer there, and some are kept for the end."""

    def grads(w):
        clock.sleep(reading)
        return 2 * w

    w = np.linspace(1, 2, 1000)
    check = check_gradients(w, grads, clock.slow(square, 0.25), mode="full", budget=100)
    assert check.interrupted
    # The clock is what the cost keeps, and is put back in the end.
    assert check.seconds == pytest.approx(ends, abs=0.5)
    assert check.n_evaluations == pytest.approx((ends - reading) / 0.25, abs=2)
    assert check.reasons[0].startswith("The budget was used up: ")


def test_the_search_for_the_cause_ends_in_time(clock, monkeypatch):
    """No further cause is tried if the time is up, and the check says that it was stopped."""
    asked = []

    def slow(find):
        def asking(case):
            asked.append(find)
            clock.sleep(1)
            return []

        return asking

    causes = tuple(map(slow, diagnose.CAUSES))
    monkeypatch.setattr(diagnose, "CAUSES", causes)
    w = np.linspace(1, 2, 10)
    check = check_gradients(w, 3 * w, square, mode="full", budget=5)
    assert check.verdict is Verdict.BUG
    assert not check.interrupted
    assert 5 <= len(asked) <= 6
    assert check.notes[-1].startswith("The check was stopped early, and so was the search")
    asked.clear()
    whole = check_gradients(w, 3 * w, square, mode="full")
    # Each is asked again, whether it would fit but for tiny errors, and then for small ones.
    assert len(asked) == 3 * len(causes)
    assert not any("stopped" in note for note in whole.notes)
