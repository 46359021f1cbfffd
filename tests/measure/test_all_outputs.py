"""Many outputs that are looked at together are judged as they are one by one."""

import numpy as np
import pytest

import gradcheck_magic._measure.all_outputs as module
from gradcheck_magic import Verdict, check_gradients

rng = np.random.default_rng(0)
m, n = 150, 6
A, x = rng.normal(size=(m, n)), rng.normal(size=n)
sizes, fifth = 10.0 ** rng.uniform(-8, 8, m), np.arange(m) % 5 == 0


def tanh(x):
    return np.tanh(A @ x)


def slopes(x):
    return (1 - tanh(x) ** 2)[:, None] * A


def relu(x):
    return np.maximum(A @ x, 0)


def single(x):
    return np.where(fifth, tanh(x).astype(np.float32), tanh(x))


def rounded(x):
    return np.where(fifth, np.round(tanh(x), 6), tanh(x))


def constant(x):
    return np.concatenate([np.full(m - 3, 2.0), x[:3]])


CONSTANT = np.concatenate([np.zeros((m - 3, n)), np.eye(3, n)])
J = slopes(x)


def changed(jacobian, where, factor):
    wrong = jacobian.copy()
    wrong[where] *= factor
    return wrong


smallest = int(np.argmin(sizes))
# A point, the Jacobian, the function, and the number of wrong entries; None if nobody can tell.
CASES = [
    pytest.param(x, J, tanh, 0, id="smooth"),
    pytest.param(x, changed(J, (7, 3), 1.0001), tanh, 1, id="HARD: one entry, by 1e-4"),
    pytest.param(x, 2 * J, tanh, m * n, id="all of them, of which a few are measured again"),
    pytest.param(x, changed(J, fifth, 0.0), tanh, 30 * n, id="rows that are zero"),
    pytest.param(x, sizes[:, None] * J, lambda x: sizes * tanh(x), 0, id="of any size"),
    pytest.param(x, changed(sizes[:, None] * J, (smallest, 2), 1.001), lambda x: sizes * tanh(x), 1,
                 id="HARD: the smallest of any size"),
    pytest.param(x, (A @ x > 0)[:, None] * A, relu, 0, id="kinks near by"),
    pytest.param(x, A, relu, n * int(np.sum(A @ x < 0)), id="HARD: without their mask"),
    pytest.param(0 * x, 0 * A, relu, None, id="HARD: all at a kink, where anything is right"),
    pytest.param(x, J, single, 0, id="HARD: some in single precision"),
    pytest.param(x, changed(J, 5, 1.1), single, n, id="HARD: one of these is wrong"),
    pytest.param(x, J, rounded, 0, id="HARD: some are rounded"),
    pytest.param(x, J, lambda x: tanh(x) + 1e6, 0, id="HARD: far from zero, in noise"),
    pytest.param(x, changed(J, 4, 1.5), lambda x: tanh(x) + 1e6, n, id="the same, one row wrong"),
    pytest.param(1e-6 * x, 1e6 * J, lambda v: tanh(1e6 * v), 0, id="HARD: a small unit"),
    pytest.param(1e9 * x, 1e-9 * J, lambda v: tanh(1e-9 * v), 0, id="a large unit"),
    pytest.param(x, CONSTANT, constant, 0, id="most are constant"),
    pytest.param(x, changed(CONSTANT, (m - 1, 2), 3.0), constant, 1, id="but one, which is wrong"),
    pytest.param(x, CONSTANT + 1e-6 * (CONSTANT == 0), constant, (m - 3) * n + 3 * (n - 1),
                 id="HARD: what is constant has a small gradient"),
]  # fmt: skip


@pytest.mark.parametrize("many", [100, 1000], ids=["together", "one by one"])
@pytest.mark.parametrize(("point", "jacobian", "function", "n_wrong"), CASES)
def test_same_verdict(monkeypatch, *, many, point, jacobian, function, n_wrong):
    monkeypatch.setattr(module, "MANY", many)
    found = check_gradients(point, jacobian, function)
    expected = Verdict.BUG if n_wrong else Verdict.CORRECT
    assert found.verdict is (Verdict.INCONCLUSIVE if n_wrong is None else expected)
    assert found.wrong.sum() == (n_wrong or 0)
    assert len(found.measured) == m * n


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_many_outputs_take_no_more_evaluations(factor):
    """HARD: sixty thousand outputs, of which most need one step."""
    K, v = rng.normal(size=(60_000, 3)), rng.normal(size=3)
    jacobian = factor * (1 - np.tanh(K @ v) ** 2)[:, None] * K
    found = check_gradients(v, jacobian, lambda v: np.tanh(K @ v))
    assert found.wrong.sum() == (jacobian.size if factor != 1 else 0)
    assert found.n_evaluations < 150
