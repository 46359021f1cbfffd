"""A network that keeps its activations, checked in cell after cell, as people do."""

import pytest

NETWORK = """
import numpy as np

class Net:
    def __init__(self):
        random = np.random.default_rng(0)
        self.params = {"W1": random.normal(size=(4, 5)), "W2": random.normal(size=(5, 1))}

    def forward(self, X):
        self.X, self.A1 = X, np.tanh(X @ self.params["W1"])
        self.out = self.A1 @ self.params["W2"]
        return self.out

    def backward(self, y):
        d = 2 * (self.out - y) / len(y)
        dA = d @ self.params["W2"].T * (1 - self.A1**2)
        return {"dW1": self.X.T @ dA, "dW2": self.A1.T @ d}

random = np.random.default_rng(1)
X, y = random.normal(size=(20, 4)), random.normal(size=(20, 1))
net = Net()
params = net.params

def cost_function():
    return float(np.mean((net.forward(X) - y) ** 2))

net.forward(X)
kept = dict(vars(net))
"""
BACKWARD = "grads = net.backward(y)"
UNCHANGED = "assert all(vars(net)[name] is value for name, value in kept.items())"


@pytest.mark.parametrize(
    "magic",
    ["%%gradcheck --mode full", "%%gradcheck --mode scan", '%%gradcheck -g "net.backward(y)"'],
)
def test_the_same_cell_again(run, magic):
    """The cell holds the backward pass alone, and is run again and again."""
    run(NETWORK)
    for _ in range(3):
        assert run(f"{magic}\n{BACKWARD}").passed
        run(UNCHANGED)


def test_watched(run, capsys):
    """What the watch evaluates is not what the next cell finds."""
    run(NETWORK + BACKWARD)
    run("%gradcheck --watch")
    for step in range(5):
        run("params['W1'] *= 0.99; net.forward(X); kept = dict(vars(net))\n" + BACKWARD)
        assert capsys.readouterr().out.splitlines()[-1].startswith("✓"), step
        run(UNCHANGED)


def test_interrupted(run, shell):
    run(NETWORK)
    run("full, n = cost_function, []\ndef cost_function():\n    n.append(1)\n    J = full()\n"
        "    if len(n) == 9:\n        raise KeyboardInterrupt\n    return J")  # fmt: skip
    result = shell.run_cell(f"%%gradcheck --mode full\n{BACKWARD}")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    run(UNCHANGED)
