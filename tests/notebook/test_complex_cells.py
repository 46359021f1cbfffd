"""Cells of complex numbers, as people write them: with names alone, or one option."""

import pytest

SET_UP = """
import numpy as np
random = np.random.default_rng(1)
def normal(*shape): return random.normal(size=shape) + 1j * random.normal(size=shape)
A, y, w, lam = normal(6, 4), normal(6), normal(4), 0.3
def cost(w, A, y, lam): return np.sum(np.abs(A @ w - y) ** 2) + lam * np.sum(np.abs(w) ** 2)
def value_and_grad(w, A, y, lam):
    r = A @ w - y
    return np.vdot(r, r) + lam * np.vdot(w, w), 2 * factor * A.conj().T @ r + 2 * lam * w
class Net:
    def __init__(self): self.w, self.b = normal(4), random.normal(size=1)
    def loss(self, A, y):
        r = A @ self.w + self.b - y
        self.dw, self.db = 2 * factor * A.conj().T @ r, 2 * np.sum(r, keepdims=True).real
        return np.vdot(r, r)
net = Net()
"""
CELLS = [
    pytest.param("-p w -g dw -c cost", "dw = 2 * factor * A.conj().T @ (A @ w - y) + 2 * lam * w",
                 id="arguments of the notebook"),
    pytest.param("-p w -c value_and_grad", "J, dw = value_and_grad(w, A, y, lam)",
                 id="HARD: a complex cost, and its gradient"),
    pytest.param("-p w -g dw -c J", "r = A @ w - y\nJ = np.vdot(r, r)\n"
                 "dw = 2 * factor * A.conj().T @ r", id="HARD: a complex number"),
    pytest.param("-p net -c L", "L = net.loss(A, y)", id="an object, and a complex number"),
    pytest.param("-p w -g dw -c layer --upstream dout",
                 "layer = lambda w: A @ w\ndout = normal(6)\ndw = factor * A.conj().T @ dout",
                 id="a layer"),
    pytest.param("-p M -g dM -c f --mode scan", "M = normal(200, 300)\n"
                 "f = lambda M: np.sum(np.abs(M) ** 2)\ndM = 2 * factor * M", id="a scan"),
]  # fmt: skip


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "CORRECT"), (0.9, "BUG")])
@pytest.mark.parametrize(("options", "cell"), CELLS)
def test_cells(shell, options, cell, factor, verdict):
    shell.run_cell(SET_UP + f"factor = {factor}", store_history=True).raise_error()
    shell.run_cell(f"%%gradcheck {options}\n{cell}", store_history=True).raise_error()
    check = shell.user_ns["_gradcheck"]
    assert check.verdict.name == verdict, str(check)
    assert any(name.endswith(".imag") for name in (p.name for p in check.parameters))
