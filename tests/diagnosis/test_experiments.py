"""A wrong gradient may be that of an earlier check, of another point, or of a fixed cost."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic import check_gradients
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastInCost
from gradcheck_magic._diagnosis.causes.ignored import Ignored
from gradcheck_magic._diagnosis.causes.stale import PreviousCheck, Update
from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.diagnose import is_of_same
from gradcheck_magic._diagnosis.finding import Case
from gradcheck_magic._diagnosis.layers import Layers
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._result.cause import Cause

BAR = 1e-9
RATE = 0.005
RANDOM = np.random.default_rng(3)
W, B = RANDOM.normal(size=(3, 2)), RANDOM.normal(size=3)
RIGHT = {"dW": 2 * W, "db": np.ones(3)}


def squares(p):
    """Return a cost whose gradient is `RIGHT`."""
    return float(np.sum(p["W"] ** 2) + np.sum(p["b"]))


def case_of(grads, numerical=RIGHT, *, params=None, cost=None, earlier=None, only=None, sides=None):
    """Return a case in which no cause of any wrong gradient has been found."""
    params = {"W": W, "b": B} if params is None else params
    pairing = pair(params, grads, only=only)
    mismatches = []
    for parameter, name, analytic in zip(
        pairing.checked, pairing.gradient_names, pairing.gradients, strict=True
    ):
        ks = np.arange(parameter.size) if sides is None else sides[0]
        bars, rounding = np.full(len(ks), BAR), np.zeros(len(ks))
        values = analytic, np.ravel(numerical[name])[ks], bars, rounding
        wrong = ~(np.abs(analytic[ks] - values[1]) <= 2 * BAR)
        m = Mismatch.of(parameter, name, values, wrong, ks, is_bug=True, sides=sides)
        mismatches.append(m)
    numbers = NotebookNumbers(squares, {"lr": RATE}, pairing)
    return Case(
        pairing,
        tuple(mismatches),
        Layers(mismatches, is_everything=only is None),
        numbers,
        "cost",
        cost,
        earlier,
        tuple(Unknown.of(m) for m in mismatches if m.is_wrong),
    )


def entered(function, params=None, call="auto"):
    """Return a cost that can be evaluated."""
    params = {"W": W, "b": B} if params is None else params
    return Cost(function, pair(params, params).parameters, call=call)


def previous(names=("W", "b"), shapes=((3, 2), (3,)), n_measured=9):
    """Return a previous check of some parameters, with the attributes that are used."""
    parameters = [
        SimpleNamespace(name=name, shape=shape) for name, shape in zip(names, shapes, strict=True)
    ]
    values = np.arange(float(n_measured))
    return SimpleNamespace(
        parameters=parameters, numerical=values, uncertainty=values / 10, n_measured=n_measured
    )


@pytest.mark.parametrize(("check", "is_taken"), [
    pytest.param(previous(), True, id="of the same parameters"),
    pytest.param(None, False, id="none"),
    pytest.param(previous(("W", "c")), False, id="of others"),
    pytest.param(previous(shapes=((2, 3), (3,))), False, id="HARD: of another shape"),
    pytest.param(previous(("b", "W"), ((3,), (3, 2))), False, id="HARD: in another order"),
    pytest.param(previous(n_measured=8), False, id="HARD: that was stopped"),
])  # fmt: skip
def test_earlier(check, is_taken):
    assert is_of_same(check, pair({"W": W, "b": B}, RIGHT)) is is_taken


# Parameters that the cost ignores

FLAT = {**RIGHT, "db": np.zeros(3)}


@pytest.mark.parametrize(("reads_b", "ignored"), [
    pytest.param(lambda b: 0.0, True, id="not used"),
    pytest.param(lambda b: np.maximum(b - 9, 0).sum(), True, id="HARD: off, as far as it goes"),
    pytest.param(lambda b: np.maximum(b - B.max(), 0).sum(), False, id="HARD: off here alone"),
    pytest.param(lambda b: b.sum(), False, id="used"),
    pytest.param(lambda b: 0.0 if np.allclose(b, B) else np.nan, True, id="HARD: no number there"),
])  # fmt: skip
def test_ignored(reads_b, ignored):
    with entered(lambda p: float(np.sum(p["W"]) + reads_b(p["b"]))) as cost:
        (found,) = Ignored.among(case_of(RIGHT, FLAT, cost=cost))
    assert found.names == "`b`"
    assert isinstance(found, Ignored) is ignored


def test_ignored_as_far_as_is_known_without_a_cost():
    (found,) = Ignored.among(case_of(RIGHT, FLAT))
    assert isinstance(found, Ignored)


@pytest.mark.parametrize(("reads", "ignored", "evaluations"), [
    pytest.param(lambda W, b: 1.0, [True, True], 1, id="neither is used"),
    pytest.param(lambda W, b: 1 + np.maximum(b - B.max(), 0).sum(), [True, False], 3, id="one is"),
    pytest.param(lambda W, b: W.sum() + b.sum(), [False, False], 3, id="both are"),
    pytest.param(lambda W, b: W.sum() if np.allclose(b, B) else np.nan, [False, True], 3,
                 id="HARD: no number with both"),
    pytest.param(lambda W, b: (np.ravel(W)[:3] - b).sum(), [False, False], 3,
                 id="HARD: only their difference is"),
])  # fmt: skip
def test_ignored_together(reads, ignored, evaluations):
    """One evaluation is enough for all that are not used."""
    with entered(lambda p: float(reads(p["W"], p["b"]))) as cost:
        before = cost.n_evaluations
        flat = {name: np.zeros_like(gradient) for name, gradient in RIGHT.items()}
        found = Ignored.among(case_of(RIGHT, flat, cost=cost))
        assert cost.n_evaluations - before == evaluations
    assert [finding.names for finding in found] == ["`W`", "`b`"]
    assert [isinstance(finding, Ignored) for finding in found] == ignored


@pytest.mark.parametrize(("reads", "cause"), [
    pytest.param(lambda w: 0.0, Cause.COST_IGNORES_PARAMETERS, id="none of them"),
    pytest.param(lambda w: np.sin(w[::8]).sum(), Cause.ENTRIES, id="HARD: some of them"),
])  # fmt: skip
def test_ignored_in_a_scan(reads, cause):
    """A scan measures a few entries, and one step with all of them shows that none is used."""
    w, V = np.random.default_rng(0).normal(size=(2, 400))
    right = np.zeros(400)
    if cause is Cause.ENTRIES:
        right[::8] = np.cos(w[::8])
    wrong = right + (np.arange(400) % 3 if cause is Cause.COST_IGNORES_PARAMETERS else 0)
    wrong[4] += 5.0
    params, grads = {"w": w, "V": V}, {"dw": wrong, "dV": 2 * V}
    check = check_gradients(
        params, grads, lambda p: float(p["V"] @ p["V"] + reads(p["w"])), mode="scan"
    )
    assert [(d.cause, d.names) for d in check.diagnoses] == [(cause, ("w",))]


# Gradients that were correct at the previous check

THEN = {"dW": 3 * W + 1, "db": np.ones(3)}


@pytest.mark.parametrize(("grads", "bar", "names"), [
    pytest.param(THEN, BAR, [["W"]], id="right then"),
    pytest.param({**THEN, "dW": 3 * W + 1 + 1e-3}, BAR, [], id="wrong then, too"),
    pytest.param({**THEN, "dW": 3 * W + 1 + 1e-3}, np.inf, [], id="HARD: not measured then"),
    pytest.param({**THEN, "db": 2 * np.ones(3)}, BAR, [], id="HARD: another one wrong then"),
])  # fmt: skip
def test_previous(grads, bar, names):
    then = np.concatenate([np.ravel(THEN["dW"]), THEN["db"]])
    found = PreviousCheck.among(
        case_of(grads, earlier=SimpleNamespace(numerical=then, uncertainty=np.full(9, bar)))
    )
    assert [[m.name for m in finding.mismatches] for finding in found] == names
    assert [finding.details for finding in found] == [{}] * len(names)


def test_nothing_is_known_of_before():
    assert PreviousCheck.among(case_of(THEN)) == []


# Gradients that are correct before an update

BEFORE = {"W": W, "b": B}
# The gradient of Σ W⁴ + b⁴.
GRADIENT = {"dW": 4 * W**3, "db": 4 * B**3}
AFTER = {name: array - RATE * GRADIENT[f"d{name}"] for name, array in BEFORE.items()}
NOW = {f"d{name}": 4 * array**3 for name, array in AFTER.items()}


def fourth_powers(p):
    return float(sum(np.sum(array**4) for array in p.values()))


def test_stale():
    with entered(fourth_powers, AFTER) as cost:
        (finding,) = Update.among(case_of(GRADIENT, NOW, params=AFTER, cost=cost))
    assert finding.cause is Cause.STALE
    assert [m.name for m in finding.mismatches] == ["W", "b"]
    assert finding.details == {"learning_rate": RATE, "name": "lr"}


NOT_FINITE = {**GRADIENT, "db": np.full(3, np.nan)}


@pytest.mark.parametrize(("grads", "only"), [
    pytest.param({**GRADIENT, "db": NOW["db"]}, None, id="HARD: an update leaves nothing right"),
    pytest.param(NOT_FINITE, None, id="not finite"),
    pytest.param(GRADIENT, ["W"], id="HARD: what else was updated is not known"),
    pytest.param({**GRADIENT, "dW": GRADIENT["dW"] + 0.1}, None, id="not the gradient before"),
])  # fmt: skip
def test_not_stale(grads, only):
    with entered(fourth_powers, AFTER) as cost:
        assert Update.among(case_of(grads, NOW, params=AFTER, cost=cost, only=only)) == []
    case = case_of(GRADIENT, NOW, params=AFTER)
    assert Update.among(case) == [], "without a cost nothing is tried"


# Gradients that are correct for a fixed cost

P, Y = RANDOM.normal(size=(2, 5))


def meeting(p):
    """Return half of the mean square of a residual that was meant to be a vector."""
    residual = p["p"] - Y[:, None]
    return float(np.mean(residual**2) / 2)


MEANT = {"dp": (P - Y) / 5}
# The gradient of the cost as it is: the mean over all pairs.
DONE = {"dp": (P - Y.mean()) / 5}


@pytest.mark.parametrize(("grads", "function", "is_found"), [
    pytest.param(MEANT, meeting, True, id="right, as meant"),
    pytest.param({"dp": MEANT["dp"] * 1.01}, meeting, False, id="wrong, as meant, too"),
    pytest.param({"dp": MEANT["dp"] * np.nan}, meeting, False, id="not finite"),
    pytest.param(MEANT, lambda p: float(np.mean((p["p"] - Y.mean()) ** 2) / 2), False,
                 id="HARD: no vector meets a column"),
])  # fmt: skip
def test_broadcast(grads, function, is_found):
    params = {"p": P}
    with entered(function, params) as cost:
        found = BroadcastInCost.among(case_of(grads, DONE, params=params, cost=cost))
    assert len(found) == is_found
    for finding in found:
        assert finding.cause is Cause.BROADCAST
        assert finding.details["how"] == "cost"
        assert finding.details["shapes"] == ((5,), (5, 1))
        assert finding.details["lines"] == ['residual = p["p"] - Y[:, None]']


def test_what_a_cost_keeps_is_like_any_other_array():
    """Arrays that the cost was given during the watch are like any others after it."""
    kept = []

    def keeping(p):
        kept.append(p["p"] * 1.0)
        return meeting(p)

    with entered(keeping, {"p": P}) as cost:
        assert BroadcastInCost.among(case_of(MEANT, DONE, params={"p": P}, cost=cost))
    assert type(kept[-1]) is np.ndarray
    assert any(type(array) is not np.ndarray for array in kept)
    assert {type(array - Y[:, None]) for array in kept} == {np.ndarray}
    assert {(array - Y[:, None]).shape for array in kept} == {(5, 5)}


def test_a_cost_that_reads_the_notebook_cannot_be_watched():
    own = {"p": P.copy()}
    with entered(lambda: meeting(own), own, call="closure") as cost:
        assert BroadcastInCost.among(case_of(MEANT, DONE, params=own, cost=cost)) == []


def test_of_some_entries_nothing_is_tried():
    """After a scan, only some rows and columns are known, so nothing is tried."""
    sides = (np.arange(4),)
    with entered(meeting, {"p": P}) as cost:
        earlier = SimpleNamespace(numerical=np.ravel(MEANT["dp"]), uncertainty=np.full(5, BAR))
        case = case_of(MEANT, DONE, params={"p": P}, cost=cost, sides=sides, earlier=earlier)
        for kind in (BroadcastInCost, Update, PreviousCheck):
            assert kind.among(case) == []
