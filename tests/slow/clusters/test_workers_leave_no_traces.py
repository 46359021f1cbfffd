"""Processes are started once, and after the next check everything is as it was before it."""

import numpy as np
import pytest
from traces import Model, assert_no_trace, unusual_world

from gradcheck_magic import check_gradients


def uses_workers(model):
    check = check_gradients(model.params, model.grads, model.cost, workers=2)
    assert check.n_evaluations


def test_workers():
    """The processes are kept for the next check, and so is the thread that manages them."""
    with unusual_world():
        uses_workers(Model())
        assert_no_trace(uses_workers)


def test_torch():
    """The tensors that a closure reads are moved in the workers too."""
    torch = pytest.importorskip("torch", reason="torch is missing: pip install -e '.[torch]'")
    torch.manual_seed(0)
    X, Y = torch.randn(20, 4, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    layers = torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    model = torch.nn.Sequential(*layers).double()

    def cost():
        return ((model(X) - Y) ** 2).mean()

    cost().backward()
    alone = check_gradients(model, None, cost)
    check = check_gradients(model, None, cost, workers=2)
    assert check.passed
    assert np.array_equal(check.numerical, alone.numerical)
