"""The result of a check as a whole: its verdict, its arrays, and the reason why it stopped."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from reports import result_by_hand

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._cost.evaluation import OutOfTime
from gradcheck_magic._diagnosis.conclude import (
    CUT_SHORT,
    conclude,
    has_failed,
    most_telling,
    with_changes,
)
from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, compare
from gradcheck_magic._measure.jumps import Jumps
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._result.cause import Cause, Diagnosis
from gradcheck_magic._result.verdict import Verdict

CORRECT, INSPECT, BUG, OPEN = (
    Verdict.CORRECT,
    Verdict.INSPECT,
    Verdict.BUG,
    Verdict.INCONCLUSIVE,
)
BAR = 1e-9
IGNORED = Diagnosis(Cause.COST_IGNORES_PARAMETERS, ("W",), "It does not change.", {})


def outcome(*, wrong=False, stopped=None, is_done=False, diagnoses=(), scan=None, **cost):
    """Return the outcome of a check of four of five entries."""
    pairing = pair({"W": np.ones((2, 2)), "b": 1.0}, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    numerical = pairing.analytic[:4] + np.array([0, 0, 1.0 * wrong, 0])
    measured = MeasuredEntries(
        np.arange(4), pairing.analytic[:4], numerical, numerical, np.full(4, BAR),
        np.full(4, BAR / 2), np.full(4, 5.0), numerical, numerical, np.zeros(4, bool),
        np.ones(4, bool),
    )  # fmt: skip
    own = SimpleNamespace(value=0.5, noise=1e-16, eps=2e-16)
    known = {
        "name": "J", "value": 0.5, "noise": 1e-16, "bits": 53, "is_single": False,
        "own": own, "best": own, "notes": ["A note of the cost."], "began": None, "is_noisy": False,
        "convention": Convention.FLAT, "passed_over": [], "n_evaluations": 12, **cost,
    }  # fmt: skip
    measurement = SimpleNamespace(
        epsilon=1e-7,
        mode="full",
        scan=scan,
        choice="",
        is_done=is_done,
        so_far="4 of 5.",
        jumps=Jumps(),
        pairing=pairing,
        together={},
    )
    comparison = compare(pairing, measured, DOUBLE_PRECISION)
    return Evidence(
        pairing, SimpleNamespace(**known), measurement, comparison, measured, diagnoses, stopped
    )


@pytest.mark.parametrize(("wrong", "stopped", "is_done", "verdict"), [
    pytest.param(False, None, True, CORRECT, id="right"),
    pytest.param(True, None, True, BUG, id="wrong"),
    pytest.param(False, KeyboardInterrupt(), False, OPEN, id="HARD: right, as far as it got"),
    pytest.param(True, KeyboardInterrupt(), False, BUG, id="wrong, as far as it got"),
    pytest.param(False, OutOfTime(), True, CORRECT, id="HARD: stopped after all was measured"),
])  # fmt: skip
def test_verdict(wrong, stopped, is_done, verdict):
    check = conclude(outcome(wrong=wrong, stopped=stopped, is_done=is_done), 0.0)
    assert check.verdict is verdict
    assert check.interrupted == (stopped is not None and not is_done)
    assert any("4 of 5." in reason for reason in check.reasons) == check.interrupted


def test_who_stopped_it():
    """An interrupt and the end of a budget have different reasons."""
    reasons = [
        conclude(outcome(stopped=stop), 0.0).reasons for stop in (OutOfTime(), KeyboardInterrupt())
    ]
    assert reasons[0] != reasons[1]
    diagnosed = outcome(stopped=OutOfTime(), is_done=True, diagnoses=(IGNORED,))
    assert CUT_SHORT in conclude(diagnosed, 0.0).notes
    assert CUT_SHORT not in conclude(outcome(diagnoses=(IGNORED,)), 0.0).notes


def test_what_is_in_it():
    """The result has all the data of the check, and its arrays cannot be changed by accident."""
    found = outcome(wrong=True)
    check = conclude(found, 0.0)
    assert (check.cost, check.noise, check.n_evaluations, check.call) == (0.5, 1e-16, 12, "flat")
    assert (check.size, check.n_measured, check.mode, check.epsilon) == (5, 4, "full", 1e-7)
    assert check.wrong_entries == (("W", (1, 0)),)
    assert "A note of the cost." in check.notes
    assert check.fingerprint
    for name in ("measured", "analytic", "numerical", "uncertainty", "wrong", "kinked"):
        array = getattr(check, name)
        assert len(array) == 4
        assert not array.flags.writeable
    assert not np.shares_memory(check.analytic, found.measured.analytic)
    np.testing.assert_array_equal(check.wrong, [False, False, True, False])
    assert conclude(outcome(convention=None), 0.0).call == "auto"


@pytest.mark.parametrize(("scale", "expected"), [
    pytest.param(1.0, 2e-5 * 4.0, id="an error of 2e-5 of the largest entry is worth a look"),
    pytest.param(1e-6, 3 * 1.5 * BAR, id="HARD: three bars, with the rounding"),
])  # fmt: skip
def test_detectable(scale, expected):
    found = outcome()
    measured = replace(found.measured, numerical=found.measured.numerical * scale)
    assert conclude(replace(found, measured=measured), 0.0).detectable == pytest.approx(expected)


def test_nothing_measured_finds_nothing():
    found = outcome(stopped=KeyboardInterrupt())
    columns = {n: getattr(found.measured, n)[:0] for n in MeasuredEntries.__dataclass_fields__}
    empty = replace(found.measured, **columns)
    nothing = replace(
        found, measured=empty, comparison=compare(found.pairing, empty, DOUBLE_PRECISION)
    )
    assert conclude(nothing, 0.0).detectable == np.inf
    finite = replace(found.measured, uncertainty=np.array([BAR, BAR, BAR, np.inf]))
    check = conclude(replace(found, measured=finite), 0.0)
    assert check.detectable == np.inf


@pytest.mark.parametrize(("diagnoses", "passed_over", "is_doubted"), [
    ((IGNORED,), True, True), ((), True, False), ((IGNORED,), False, False),
])  # fmt: skip
def test_a_cost_called_in_another_way_is_doubted(diagnoses, passed_over, is_doubted):
    """If the cost ignores its arguments, a note has the error of the likelier way to call it."""
    failure = (Convention.STRUCTURED, KeyError("gone"))
    found = outcome(diagnoses=diagnoses, passed_over=[failure] if passed_over else [])
    told = [note for note in conclude(found, 0.0).notes if "KeyError" in note]
    assert len(told) == is_doubted
    assert all("gone" in note and "--call structured" in note for note in told)


# Several checks

HAND = result_by_hand()


def with_verdict(verdict, n=1):
    return replace(HAND, verdict=verdict, reasons=(), notes=(), n_evaluations=n, seconds=float(n))


@pytest.mark.parametrize(
    ("verdict", "expected"), [(CORRECT, False), (INSPECT, True), (BUG, True), (OPEN, False)]
)
def test_failed(verdict, expected):
    assert has_failed(with_verdict(verdict)) is expected


@pytest.mark.parametrize(("verdicts", "point"), [
    pytest.param([CORRECT, CORRECT, CORRECT], 0, id="all right"),
    pytest.param([CORRECT, BUG], 1, id="wrong elsewhere"),
    pytest.param([CORRECT, CORRECT, INSPECT], 2, id="worth a look elsewhere"),
    pytest.param([BUG], 0, id="wrong here"),
    pytest.param([CORRECT, OPEN, CORRECT], 1, id="HARD: one says nothing"),
    pytest.param([OPEN, CORRECT, BUG], 2, id="HARD: wrong counts for more than nothing"),
    pytest.param([OPEN, OPEN], 0, id="none says anything"),
])  # fmt: skip
def test_summed_up(verdicts, point):
    """The most telling point is shown, with the evaluations and the seconds of all points."""
    checks = [with_verdict(verdict, 10**k) for k, verdict in enumerate(verdicts)]
    check = most_telling(checks, SimpleNamespace(points=2, seed=17))
    assert check.verdict is verdicts[point]
    assert check.point == point
    assert check.n_evaluations == check.seconds == sum(10**k for k in range(len(verdicts)))
    told = [text for text in (*check.reasons, *check.notes) if "17" in text]
    # If the given point itself is wrong or inconclusive, nothing is said of other points.
    assert len(told) == (point > 0 or verdicts[0] is CORRECT)


def test_since():
    """Changes are reported only if there was a previous check."""
    assert with_changes(None, HAND) is HAND
    bound = replace(HAND, difference=0.0105, difference_uncertainty=np.inf)
    assert "→ ≥ 0.011: " in with_changes(HAND, bound).changes
    now = replace(HAND, difference=1e-9)
    changed = with_changes(HAND, now)
    assert changed.changes
    assert changed.difference == now.difference
    assert changed.verdict is now.verdict
