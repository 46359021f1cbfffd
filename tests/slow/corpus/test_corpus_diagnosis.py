"""The diagnoses of a part of the corpus; `python -m tests.benchmarks.diagnosis` runs it all."""

import pytest

pytest.importorskip("autograd")

from tests.benchmarks.diagnosis import can_be_told, goals, judged, planted
from tests.corpus.generate import build, plans

REGIMES = ["plain", "plain, another size", "regularised", "offset 1e4", "single precision"]


@pytest.fixture(scope="module")
def built():
    """Every wrong gradient of some regimes, with its plan."""
    wrong = [plan for plan in plans((0,), regimes=REGIMES) if plan.bug.name]
    return [(plan, case) for plan in wrong if (case := build(plan)) is not None]


def test_goals(built):
    """Those of the benchmark."""
    rows = [judged(plan, case) for plan, case in built]
    assert len(rows) > 600
    assert sum(bool(row.label) for row in rows) > 500
    assert [goal for goal in goals(rows) if not goal.kept] == []


@pytest.mark.parametrize(
    ("family", "bug", "told"),
    [
        ("dense tanh square", "opposite sign of W2", True),
        # One entry is some factor of another.
        ("gaussian process", "twice log_signal", False),
        ("gaussian process", "half of log_signal", False),
        ("gaussian process", "nothing for log_noise", True),
        # One wrong parameter may be wrong in its own line.
        ("batch norm", "gamma forgotten on the way back", False),
        ("dense tanh square", "W2 not transposed on the way back", True),
    ],
)
def test_what_can_be_told(built, family, bug, told):
    """The stated rule, where it can be read off by eye."""
    plan, case = next(
        (plan, case)
        for plan, case in built
        if (plan.family, plan.regime, plan.bug.name) == (family, "plain", bug)
    )
    assert can_be_told(case, planted(plan, case)) == told
