"""A verdict that the difference does not explain has a reason, which names what it is about.

These tests ignore the wording: they look for the entries, parameters and numbers in a sentence.
"""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._diagnosis.reasons import notes, reasons
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION, compare
from gradcheck_magic._measure.jumps import Jumps
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._result.verdict import Verdict

nan, inf = np.nan, np.inf
CORRECT, INSPECT, BUG, OPEN = (
    Verdict.CORRECT,
    Verdict.INSPECT,
    Verdict.BUG,
    Verdict.INCONCLUSIVE,
)
# Sizes of W, b and c; every vector below holds their entries.
SHAPES = {"W": 3, "b": 2, "c": 1}

ONES = np.ones(6)


def at(*changed, of=ONES):
    """Return the same values except for some, given as pairs of a position and a value."""
    values = np.array(of, dtype=float)
    for k, value in changed:
        values[k] = value
    return values


def evidence(
    analytic=ONES, numerical=ONES, *, bar=1e-10, textbook=None, kink=None, value=1.0, noise=1e-16,
    bits=53, in_double=False, stopped="", diagnosed=False, params=None,
):  # fmt: skip
    """Return the evidence for a gradient and measured values."""
    params = {n: np.arange(1.0, k + 1) for n, k in SHAPES.items()} if params is None else params
    ends = np.cumsum([array.size for array in params.values()])
    parts = np.split(np.array(analytic, dtype=float), ends[:-1])
    shaped = [part.reshape(array.shape) for part, array in zip(parts, params.values(), strict=True)]
    pairing = pair(params, dict(zip(params, shaped, strict=True)))
    numerical = np.array(numerical, dtype=float)
    low, high = numerical.copy(), numerical.copy()
    if kink is not None:
        low[kink], high[kink] = -1, 2
    n = len(numerical)
    measured = MeasuredEntries(
        np.arange(n), pairing.analytic, numerical if textbook is None else textbook, numerical,
        np.broadcast_to(np.float64(bar), n), np.zeros(n), np.zeros(n), low, high, np.zeros(n, bool),
        np.ones(n, bool),
    )  # fmt: skip
    own = SimpleNamespace(value=value, noise=noise, eps=2.0 ** (1 - bits))
    best = SimpleNamespace(value=value, noise=noise, eps=2e-16) if in_double else own
    cost = SimpleNamespace(
        name="J", value=value, noise=noise, bits=bits, own=own, best=best,
        is_single=bits < 53 and not in_double, began=None, is_noisy=False,
    )  # fmt: skip
    comparison = compare(pairing, measured, SINGLE_PRECISION if bits < 53 else DOUBLE_PRECISION)
    measurement = SimpleNamespace(
        epsilon=1e-7,
        scan=None,
        is_done=not stopped,
        so_far=stopped,
        jumps=Jumps(),
        together={},
        is_right_from_afar=False,
        is_rounded=False,
    )
    stop = KeyboardInterrupt() if stopped else None
    return Evidence(pairing, cost, measurement, comparison, measured, (None,) * diagnosed, stop)


def named(sentences):
    """Return all names in code, except for the cost."""
    found = [name for sentence in sentences for name in re.findall(r"`([^`]*)`", sentence)]
    return [name for name in dict.fromkeys(found) if name != "J"]


# Error bars with which one entry is hardly known, or not at all.
BLURRED = at((3, 0.5), of=1e-10 * ONES)
NOTHING = at((5, inf), of=1e-10 * ONES)
SLIGHTLY = {"analytic": at((3, 1 + 1e-6)), "diagnosed": True}
HIDDEN = {"analytic": at((4, 2e-9)), "numerical": at((4, 1e-9))}


@pytest.mark.parametrize(("known", "verdict", "names"), [
    # None means that there is nothing to say, a list that one sentence has these names.
    pytest.param({}, CORRECT, None, id="right, and the difference says so"),
    pytest.param({"analytic": 2 * ONES}, BUG, None, id="wrong, and the difference says so"),
    pytest.param(HIDDEN, BUG, ["b[1]"], id="HARD: a bug that the difference hides"),
    pytest.param({"textbook": at((0, 1.1))}, CORRECT, [], id="HARD: the step is off"),
    pytest.param({"textbook": at((0, 1 + 1e-5)), "noise": 1e-12}, CORRECT, [], id="round-off"),
    pytest.param({"textbook": at((2, 0.5)), "kink": 2}, CORRECT, ["W[2]"], id="HARD: on a kink"),
    pytest.param({"textbook": at((0, 1.1)), "bits": 24}, CORRECT, [], id="single precision"),
    pytest.param({"analytic": at((3, 1 + 1e-6))}, INSPECT, ["b"], id="slightly off"),
    pytest.param(SLIGHTLY, INSPECT, None,
                 id="slightly off, with a diagnosis"),
    pytest.param({**SLIGHTLY, "textbook": at((0, 1.1))}, INSPECT, ["b[0]"],
                 id="HARD: slightly off, and the difference says more"),
    pytest.param({"analytic": 0 * ONES, "numerical": 0 * ONES}, OPEN, [], id="both are zero"),
    pytest.param({"analytic": 0 * ONES, "numerical": 1e-11 * ONES}, OPEN, [], id="at a minimum"),
    pytest.param({"numerical": at((5, nan)), "bar": NOTHING}, OPEN, ["c[0]"],
                 id="not finite"),
    pytest.param({"bar": BLURRED, "value": 1e8, "noise": 1e-8}, OPEN, ["b[0]"],
                 id="drowned by a large cost"),
    pytest.param({"bar": BLURRED, "noise": 1e-3}, OPEN, ["b[0]"], id="noise"),
    pytest.param({"bar": BLURRED}, OPEN, ["b[0]"], id="HARD: kinks near"),
    pytest.param({"bar": 0.5, "bits": 24}, OPEN, ["W", "b", "c"], id="blurred, in single"),
    pytest.param({**HIDDEN, "stopped": "Stopped."}, BUG, [], id="HARD: stopped"),
])  # fmt: skip
def test_reasons(known, verdict, names):
    evident = evidence(**known)
    assert evident.verdict is verdict
    told = list(reasons(evident))
    assert len(told) == (names is not None)
    assert named(told) == (names or [])
    if "stopped" in known:
        assert told == ["Interrupted: Stopped."]


def test_slopes_that_contradict_each_other():
    """An entry is known no better than to their difference, however narrow its bar is."""
    evident = evidence(numerical=at((3, 1 + 1e-3)), bar=1e-10)
    evident.measured.disputed[3] = True
    judged = compare(evident.pairing, evident.measured, DOUBLE_PRECISION)
    (told,) = reasons(replace(evident, comparison=judged))
    assert "the numerical gradient of `b[0]`, at most 1.0e+00, is known only to 1.0e-03" in told


def test_two_ways_of_knowing_nothing_are_told_apart():
    """Entries that are not finite and entries with wide error bars each have a sentence."""
    bars = at((0, 0.5), (5, inf), of=1e-10 * ONES)
    told = list(reasons(evidence(numerical=at((5, nan)), bar=bars, noise=1e-3)))
    assert [named([sentence]) for sentence in told] == [["c[0]"], ["W[0]"]]


def test_each_reason_is_another():
    """The same verdict has a different sentence for each limit of the precision."""
    blurred = {"bar": BLURRED}
    causes = ({}, {"value": 1e8, "noise": 1e-8}, {"noise": 1e-3}, {"bits": 24})
    told = {next(reasons(evidence(**blurred, **cause))) for cause in causes}
    assert len(told) == len(causes)
    off = {"textbook": at((0, 1 + 1e-5))}
    causes = ({}, {"noise": 1e-12}, {"bits": 24}, {"kink": 0})
    told = {next(reasons(evidence(**off, **cause))) for cause in causes}
    assert len(told) == len(causes)


def test_the_numbers():
    """A hidden error of 1e-9 in 2e-9 is a half; its share is that of the whole gradient."""
    (told,) = reasons(evidence(**HIDDEN))
    # |2 − 1| / max(2, 1), 1e-9 / ‖(1, 1, 1, 1, 1)‖, and 1e-9 / (2 √5).
    for number in ("5.0e-01", f"{1e-9 / np.sqrt(5):.0e}", f"{1e-9 / 2 / np.sqrt(5):.1e}"):
        assert number in told


# Notes

W = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(("known", "names"), [
    pytest.param({}, None, id="nothing"),
    pytest.param({"bits": 24}, [], id="single precision"),
    pytest.param({"bits": 24, "in_double": True}, [], id="single, and measured in double"),
    pytest.param({"kink": 2}, ["W[2]"], id="a kink"),
    pytest.param({"analytic": at((2, 9.0)), "kink": 2}, None, id="HARD: wrong on a kink"),
    pytest.param({"analytic": at((5, 0)), "numerical": at((5, 0))}, ["c"], id="nothing compared"),
    pytest.param({"analytic": at((4, 0)), "numerical": at((4, 0))}, None, id="HARD: a part"),
    pytest.param({"analytic": at((5, 0)), "numerical": at((5, 0)), "kink": 5}, ["c[0]"],
                 id="HARD: zero is one of the slopes at a kink"),
    pytest.param({"analytic": 0 * ONES, "numerical": 0 * ONES}, None, id="HARD: nor anywhere"),
    pytest.param({"params": {"W": W * 0}}, ["W"], id="all zero"),
    pytest.param({"params": {"W": W[[0, 0]]}}, ["W"], id="rows alike"),
    pytest.param({"params": {"W": W[:, [0, 0, 0]]}}, ["W"], id="columns alike"),
    pytest.param({"params": {"W": W}}, None, id="all different"),
    pytest.param({"params": {"W": W.reshape(6, 1) * 0}}, None, id="HARD: a bias is a column"),
    pytest.param({"params": {"W": W[None]}}, None, id="HARD: one array of a batch"),
])  # fmt: skip
def test_notes(known, names):
    told = list(notes(evidence(**known)))
    assert len(told) == (names is not None)
    assert named(told) == (names or [])


def test_a_gradient_too_small_to_matter():
    """In single precision, a gradient below the error bars of the others is excused, and named."""
    tiny = at((5, 1e-7))
    known = evidence(tiny, tiny, bar=at((5, 1e-7), of=1e-4 * ONES), bits=24)
    assert known.comparison.negligible == ("c",)
    assert named(notes(known)) == ["c"]
