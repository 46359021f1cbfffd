"""A network that keeps its activations, checked in cell after cell, as people do."""

import collections
import types

import numpy as np
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


START = """
import collections, functools
import numpy as np

rng = np.random.default_rng(0)
X, T = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))

class Dense:
    def __init__(self, rows, columns):
        self.W, self.b = rng.normal(size=(rows, columns)), rng.normal(size=columns)
        self.dW, self.db = np.zeros((rows, columns)), np.zeros(columns)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW[...] = slip * self.x.T @ d
        self.db = d.sum(axis=0)
        return d @ self.W.T

class ReLU:
    def forward(self, x):
        self.x, self.mask = x, x > 0
        return x * self.mask

    def backward(self, d):
        return d * self.mask

class Dropout:
    count, mask = 0, None

    def forward(self, x):
        if self.mask is None:
            self.mask = (np.random.default_rng(1).random(x.shape) < 0.8) / 0.8
        self.count, self.out = self.count + 1, x * self.mask
        return self.out

    def backward(self, d):
        return d * self.mask

class Means:
    def __init__(self, n):
        self.mean, self.log = np.zeros(n), []

    def forward(self, x):
        self.mean *= 0.9
        self.mean += 0.1 * x.mean(axis=0)
        self.log.append(float(x.sum()))
        return x

    def backward(self, d):
        return d

class InTurn:
    def forward(self, x):
        for layer in self.all():
            x = layer.forward(x)
        return x

    def backward(self, d):
        for layer in reversed([*self.all()]):
            d = layer.backward(d)

class TwoLayers:
    def __init__(self):
        self.first, self.last = Dense(3, 4), Dense(4, 2)

    def forward(self, x):
        return self.last.forward(self.keep(np.tanh(self.first.forward(x))))

    def backward(self, d):
        self.first.backward(self.last.backward(d) * (1 - self.kept() ** 2))
"""
ALL = "Dense(3, 4), ReLU(), Dropout(), Means(4), Dense(4, 2)"
# How a network is built, and where it keeps its activations.
KEPT = {
    "a list of layers": f"""
class Net(InTurn):
    def __init__(self):
        self.layers = [{ALL}]

    def all(self):
        return self.layers
""",
    "a dict of layers": f"""
class Net(InTurn):
    def __init__(self):
        self.layers = dict(zip("abcde", [{ALL}]))

    def all(self):
        return self.layers.values()
""",
    "attributes": f"""
class Net(InTurn):
    def __init__(self):
        self.a, self.b, self.c, self.d, self.e = {ALL}

    def all(self):
        return [self.a, self.b, self.c, self.d, self.e]
""",
    "layers that know each other": f"""
class Net(InTurn):
    def __init__(self):
        self.layers = [{ALL}]
        for one, other in zip(self.layers, self.layers[1:]):
            one.net, one.next, other.prev = self, other, one

    def all(self):
        layer = self.layers[0]
        while layer is not None:
            yield layer
            layer = getattr(layer, "next", None)
""",
    "a global dict": """
CACHE = {}

class Net(TwoLayers):
    def keep(self, h):
        CACHE["h"], CACHE["n"] = h, CACHE.get("n", 0) + 1
        return h

    def kept(self):
        return CACHE["h"]
""",
    "an attribute of the class": """
class Net(TwoLayers):
    last, log = None, []

    def keep(self, h):
        Net.last = h
        Net.log.append(h)
        return h

    def kept(self):
        return Net.last
""",
    "a closure": """
def closure():
    h = None

    class Net(TwoLayers):
        def keep(self, new):
            nonlocal h
            h = new
            return h

        def kept(self):
            return h

    return Net

Net = closure()
""",
    "a generator": """
class Net(TwoLayers):
    rng = np.random.default_rng(7)

    def keep(self, h):
        self.drawn, self.h = self.rng.normal(size=h.shape), h
        return h

    def kept(self):
        return self.h
""",
    "a memoizing decorator": """
def memoized(f):
    memo = {}

    @functools.wraps(f)
    def wrapped(self, x):
        key = x.tobytes(), self.first.W.tobytes(), self.last.W.tobytes()
        key += self.first.b.tobytes(), self.last.b.tobytes()
        if key not in memo:
            memo[key] = f(self, x)
        self.calls = len(memo)
        return memo[key]

    wrapped.memo = memo
    return wrapped

class Net(TwoLayers):
    forward = memoized(TwoLayers.forward)

    def keep(self, h):
        self.h = h
        return h

    def kept(self):
        return self.h
""",
    "parameters that are objects": """
class Param:
    def __init__(self, value):
        self.value, self.grad, self.uses = value, np.zeros_like(value), 0

class Layer:
    def __init__(self, rows, columns):
        self.W = Param(rng.normal(size=(rows, columns)))

    def forward(self, x):
        self.x, self.W.uses = x, self.W.uses + 1
        return x @ self.W.value

    def backward(self, d):
        self.W.grad[...] = slip * self.x.T @ d
        return d @ self.W.value.T

class Net(InTurn):
    def __init__(self):
        self.layers, self.recent = [Layer(3, 4), ReLU(), Layer(4, 2)], collections.deque(maxlen=3)

    def all(self):
        for layer in self.layers:
            self.recent.append(layer)
            yield layer
""",
}
RUN = """
net = Net()

def cost(net):
    return np.mean((net.forward(X) - T) ** 2)

def read():
    return cost(net)

loss = cost(net)
net.backward(2 * (net.forward(X) - T) / T.size)
"""


def everything(value, seen):
    """Return all that an object leads to: what it is, and its numbers, bit for bit."""
    if id(value) in seen or value is None or isinstance(value, (str, bool, type(np))):
        return id(value)
    seen[id(value)] = value
    inside = getattr(value, "__dict__", {})
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, dict):
        inside = value
    elif isinstance(value, (list, tuple, collections.deque)):
        inside = dict(enumerate(value))
    elif isinstance(value, types.FunctionType):
        cells = {k: cell.cell_contents for k, cell in enumerate(value.__closure__ or ())}
        inside = {**inside, **cells}
    # Python itself manages those with two underscores.
    inside = {key: each for key, each in inside.items() if not str(key).startswith("__")}
    return id(value), [(key, everything(each, seen)) for key, each in inside.items()]


@pytest.mark.parametrize("cost", ["cost", "read"])
@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("slip", [1.0, 1.1])
def test_however_it_is_kept(run, shell, kind, slip, cost):
    """Whatever the layers keep, with parameters or without, is after a check as it was before."""
    run(f"slip = {slip}\n{START}{KEPT[kind]}")
    run(RUN)
    names = ["net", "Net", "X", "T", "CACHE"]
    before = [everything(shell.user_ns.get(name), {}) for name in names]
    check = run(f"%gradcheck -p net -c {cost}")
    assert [everything(shell.user_ns.get(name), {}) for name in names] == before
    assert check.passed is (slip == 1.0)


def test_gradients_that_the_cell_sets_to_zero(run, shell):
    """The cost is evaluated with the statements before it: they must not leave a trace."""
    run(f"slip = 1.0\n{START}{KEPT['a list of layers']}{RUN}")
    run("def zero(self):\n    for layer in self.layers[::4]:\n        layer.dW[...] = 0")
    run("Net.zero = zero")
    cell = "net.zero()\nloss = cost(net)\nnet.backward(2 * (net.forward(X) - T) / T.size)"
    run(cell)
    before = [layer.dW.copy() for layer in shell.user_ns["net"].layers[::4]]
    assert run(f"%%gradcheck -p net -c loss\n{cell}").passed
    for layer, dW in zip(shell.user_ns["net"].layers[::4], before, strict=True):
        np.testing.assert_array_equal(layer.dW, dW)
    assert all(map(np.any, before))
