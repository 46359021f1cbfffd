"""The verdicts on a sample of the corpus; `python -m tests.benchmarks.verdicts` runs it all."""

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients

pytest.importorskip("autograd")

from corpus import sample


@pytest.fixture(scope="module")
def judged():
    """Every case of the sample, with its check: of all entries, however busy the machine is."""
    return [
        (case, check_gradients(case.params, case.grads, case.cost, mode="full"))
        for case in sample(700, seed=3)
    ]


def test_no_right_gradient_is_accused(judged):
    accused = {Verdict.BUG, Verdict.INSPECT}
    right = [(case, check) for case, check in judged if not case.bug]
    assert len(right) > 100
    assert [case.name for case, check in right if check.verdict in accused] == []


def test_no_wrong_gradient_passes(judged):
    """But where finite differences could never see it, by the stated rule."""
    wrong = [(case, check) for case, check in judged if case.bug and case.seeable()]
    assert len(wrong) > 400
    content = [case.name for case, check in wrong if check.passed]
    mild = [
        case.name
        for case, check in wrong
        if check.verdict is Verdict.INSPECT and case.error() > 1e-5
    ]
    assert content == mild == []


def test_hardly_anything_is_inconclusive(judged):
    seeable = [(case, check) for case, check in judged if case.seeable()]
    unsure = [case for case, check in seeable if check.verdict is Verdict.INCONCLUSIVE]
    assert len(unsure) < 0.01 * len(seeable)
    assert [case.name for case in unsure if case.ordinary] == []


def test_evaluations(judged):
    """About two for each entry in ordinary work, and twelve where it is hard."""
    extra = {
        ordinary: [
            (check.n_evaluations - 20) / check.size
            for case, check in judged
            if case.ordinary or not ordinary
        ]
        for ordinary in (True, False)
    }
    assert np.median(extra[True]) < 2.6
    assert np.percentile(extra[False], 95) < 12


def test_the_bars_hold(judged):
    """The truth is within the error bar that a number has, unless nothing was claimed."""
    beyond = total = 0
    for case, check in judged:
        low, high = (
            np.concatenate([side[name].ravel() for name in case.params])
            for side in (case.lower, case.upper)
        )
        off = np.maximum(low - check.numerical, check.numerical - high)
        rounding = 1e-6 if "single" in case.regime else 1e-12
        beyond += np.sum(off > check.uncertainty + rounding * np.maximum(np.abs(low), np.abs(high)))
        total += check.size
    assert total > 20_000
    assert beyond <= 1e-4 * total
