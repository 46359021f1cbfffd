"""A scan that is stopped at any evaluation says nothing that is false."""

import functools
import itertools
import math
import re

import numpy as np
import pytest

from gradcheck_magic import GradientCheckInterrupted, Verdict, check_gradients
from gradcheck_magic._measure.scan import ParameterScan

# A scan is stopped at every third evaluation from its first direction on, and then less often.
FIRST, CLOSELY, FEWER = 14, 50, 1.6


@functools.cache
def layer():
    """Return the parameters of a small network, their gradients, and the cost."""
    random = np.random.default_rng(3)
    params = {
        "W": random.normal(size=(8, 16)) / 3,
        "b": random.normal(size=16) / 3,
        "V": random.normal(size=(16, 40)) / 4,
    }
    X, Y = random.normal(size=(20, 8)), random.normal(size=(20, 40))

    def cost(p):
        return float(np.mean((np.tanh(X @ p["W"] + p["b"]) @ p["V"] - Y) ** 2))

    A = np.tanh(X @ params["W"] + params["b"])
    dout = 2 * (A @ params["V"] - Y) / Y.size
    dZ = dout @ params["V"].T * (1 - A**2)
    return params, {"W": X.T @ dZ, "b": dZ.sum(axis=0), "V": A.T @ dout}, cost


def negated(grads):
    for grad in grads.values():
        np.negative(grad, out=grad)


def scattered(grads):
    grads["V"][np.random.default_rng(0).random(grads["V"].shape) < 0.1] *= -1


def two(grads):
    grads["V"][2, 3], grads["V"][5, 30] = 0, 1


PLANTED = [
    pytest.param(lambda _: None, id="right"),
    pytest.param(lambda g: g["b"].__imul__(np.linspace(0.5, 1.7, 16)), id="a bias"),
    pytest.param(lambda g: g["b"].__imul__(0), id="forgotten"),
    pytest.param(negated, id="everything"),
    pytest.param(lambda g: g["W"][3].__imul__(2), id="a row"),
    pytest.param(two, id="HARD: two entries"),
    pytest.param(scattered, id="HARD: a tenth of the entries"),
    pytest.param(lambda g: np.fill_diagonal(g["V"], 0), id="HARD: a diagonal"),
]  # fmt: skip


def stopped(params, grads, cost, at):
    """Return what a scan says if it is stopped at an evaluation, or at the end."""
    calls = itertools.count(1)

    def interrupted(p):
        if next(calls) == at:
            raise KeyboardInterrupt
        return cost(p)

    try:
        return check_gradients(params, grads, interrupted, mode="scan")
    except GradientCheckInterrupted as interrupt:
        return interrupt.check


def stops(n_evaluations):
    """Return the evaluations at which a scan is stopped."""
    later = itertools.takewhile(
        lambda at: at < n_evaluations, (int(CLOSELY * FEWER**k) for k in itertools.count())
    )
    return [*range(FIRST, min(CLOSELY, n_evaluations), 3), *later]


def difference(grads, right):
    """Return the true difference of some gradients."""
    one, other = (np.concatenate([grad.ravel() for grad in g]) for g in (grads, right))
    lengths = np.linalg.norm(one) + np.linalg.norm(other)
    return np.linalg.norm(one - other) / lengths


def false_claims(check, grads, right):
    """Yield everything that a check says and that is not true."""
    wrong = {name: grads[name] != right[name] for name in right}
    claimed = [(check, difference(grads.values(), right.values()))]
    claimed += [(p, difference([grads[p.name]], [right[p.name]])) for p in check.parameters]
    for told, true in claimed:
        if math.isinf(told.difference_uncertainty):
            if told.difference > true:
                yield f"the difference is at least {told.difference}, {true}"
        elif not abs(told.difference - true) <= 5 * told.difference_uncertainty + 1e-4 * true:
            yield f"the difference is {told.difference} ± {told.difference_uncertainty}, {true}"
    for p in check.parameters:
        is_wrong = bool(wrong[p.name].any())
        if p.verdict is (Verdict.CORRECT if is_wrong else Verdict.BUG):
            yield f"{p.name} is {p.verdict.name}"
        if p.is_scanned and is_wrong and p.verdict is not Verdict.BUG:
            yield f"{p.name} cannot be told, though a direction shows it"
    for diagnosis in check.diagnoses:
        yield from false_counts(diagnosis, wrong)
    if any("small part" in reason or "kinks very" in reason for reason in check.reasons):
        yield "an excuse"


def false_counts(diagnosis, wrong):
    """Yield a sentence with a false number of wrong entries, or that calls others correct."""
    sentence, mask = diagnosis.sentence, wrong[diagnosis.names[0]]
    counted = re.search(r"in (at least )?([\d,]+) of ([\d,]+) entries", sentence)
    if counted:
        count = int(counted[2].replace(",", ""))
        if count > mask.sum() or (count < mask.sum() and not counted[1]):
            yield sentence
    if "in the others" in sentence and not (counted and counted[2] == f"{mask.sum()}"):
        yield sentence
    if sentence.startswith("Row") and mask[mask.any(axis=1)].mean() < 1:
        yield sentence


@pytest.mark.parametrize("plant", PLANTED)
def test_nothing_false_is_said(plant):
    params, right, cost = layer()
    grads = {name: grad.copy() for name, grad in right.items()}
    plant(grads)
    whole = check_gradients(params, grads, cost, mode="scan")
    assert list(false_claims(whole, grads, right)) == []
    for at in stops(whole.n_evaluations):
        check = stopped(params, grads, cost, at)
        assert check.interrupted
        assert list(false_claims(check, grads, right)) == [], at


def test_a_lower_bound_is_shown_as_one():
    params, right, cost = layer()
    grads = {**right, "b": right["b"] * np.linspace(0.5, 1.7, 16)}
    check = stopped(params, grads, cost, 60)
    assert check.difference_text == f"≥ {check.difference:.3g}"
    assert f"difference ≥ {check.difference:.3g}" in str(check)
    assert 0 < check.difference < difference(grads.values(), right.values())
    assert check.to_dict()["difference_uncertainty"] is None


def test_a_residual_proves_it():
    """No entry was measured yet, but a direction has shown that the gradient is wrong."""
    params, right, cost = layer()
    check = stopped(params, {**right, "b": 2 * right["b"]}, cost, 32)
    b = check.parameters[1]
    assert (b.verdict, b.n_wrong) == (Verdict.BUG, 0)
    assert "✗ wrong, entries not located" in str(check)
    (diagnosis,) = check.diagnoses
    assert (diagnosis.cause.name, diagnosis.names) == ("UNKNOWN", ("b",))
    slope, given = (float(x) for x in re.findall(r"-?\d\.\d+", diagnosis.sentence))
    assert given == pytest.approx(2 * slope, rel=1e-2)
    assert "Which entries are wrong is not known." in diagnosis.sentence


@pytest.mark.parametrize("plant", PLANTED[1:2])
def test_a_claim_without_measurement_would_be_noticed(plant, monkeypatch):
    """The list of false claims is not empty for a scan that believes what it has not measured."""
    monkeypatch.setattr(ParameterScan, "is_sized", True)
    monkeypatch.setattr(ParameterScan, "is_proven_wrong", False)
    params, right, cost = layer()
    grads = {name: grad.copy() for name, grad in right.items()}
    plant(grads)
    claims = [list(false_claims(stopped(params, grads, cost, at), grads, right)) for at in (30, 60)]
    assert all(claims)
