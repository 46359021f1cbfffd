"""The statement that is wrong is told by what is right around it: one small pass for each rule."""

import pytest

from tests.support.passes import checked, read

HEAD = """
# %%
import numpy as np

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
params = {"W1": rng.normal(size=(4, 5)), "b1": rng.normal(size=5),
          "W2": rng.normal(size=(5, 3)), "b2": rng.normal(size=3)}

def forward(p):
    Z1 = X @ p["W1"] + p["b1"]
    A1 = np.tanh(Z1)
    Z2 = A1 @ p["W2"] + p["b2"]
    return Z1, A1, Z2

def cost(p):
    Z1, A1, Z2 = forward(p)
    return np.sum((Z2 - Y) ** 2) / (2 * len(X))
"""

TWO_LAYERS = """
# %% gradcheck -c cost
Z1, A1, Z2 = forward(params)
m = len(X)
#! m = X.shape[1]
dZ2 = (Z2 - Y) / m
#! dZ2 = (Z2 + Y) / m
dA1 = dZ2 @ params["W2"].T
dZ1 = dA1 * (1 - A1 ** 2)
#! dZ1 = dA1 * (1 - A1)
#! dZ1 = dA1 * (1 - Z1 ** 2)
#! dZ1 = dA1
grads = {"W1": X.T @ dZ1, "b1": dZ1.sum(0)}
#! grads = {"W1": X.T @ dA1, "b1": dZ1.sum(0)}
#! grads = {"W1": X.T @ dZ1, "b1": dA1.sum(0)}
grads.update(W2=A1.T @ dZ2, b2=dZ2.sum(0))
#! grads.update(W2=Z1.T @ dZ2, b2=dZ2.sum(0))
#! grads.update(W2=A1.T @ dZ2, b2=dZ2[0])
"""

IN_PLACE = """
# %%
def forward(p):
    Z1 = X @ p["W1"] + p["b1"]
    A1 = np.maximum(Z1, 0)
    return Z1, A1, A1 @ p["W2"] + p["b2"]

# %% gradcheck -c cost
Z1, A1, Z2 = forward(params)
d = Z2 - Y
d /= len(X)
#! d /= Z2.size
grads = {"W2": np.dot(A1.T, d)}
grads["b2"] = d.sum(0)
d = d @ params["W2"].T
d[Z1 < 0] = 0
#! d[Z1 > 0] = 0
#! d[A1 < 0] = 0
grads["W1"], grads["b1"] = X.T @ d, d.sum(0)
#! grads["b1"], grads["W1"] = d.sum(0), X.T @ -d
"""

SUMS = """
# %%
params = {"W": rng.normal(size=(4, 4)), "V": rng.normal(size=(4, 3)), "c": rng.normal(size=4)}

def forward(p):
    x = X * p["c"]
    h = np.tanh(x @ p["W"])
    y = x + h
    return x, h, y, y @ p["V"]

def cost(p):
    return np.sum((forward(p)[3] - Y) ** 2) / 2 + 0.1 * np.sum(p["V"] ** 2)

# %% gradcheck -c cost
x, h, y, out = forward(params)
dout = out - Y
dV = y.T @ dout
dV += 0.2 * params["V"]
#! dV += 0.1 * params["V"]
#! dV -= 0.2 * params["V"]
dy = dout @ params["V"].T
dx = dy.copy()
#! dx = np.zeros_like(dy)
#! dx = np.ones_like(dy)
da = dy * (1 - h ** 2)
dx += da @ params["W"].T
#! dx = da @ params["W"].T
#! dx -= da @ params["W"].T
#! dx += da @ params["W"]
grads = {"W": x.T @ da, "V": dV, "c": (dx * X).sum(0)}
"""

LAYERS = """
# %%
shapes = {"W": (4, 4), "b": 4}
params = {f"{kind}{k}": rng.normal(size=shapes[kind]) for k in (1, 2, 3) for kind in "Wb"}
T = rng.normal(size=(6, 4))

def layer(A, W, b):
    Z = A @ W + b
    return np.tanh(Z), (A, W, Z)

def forward(p):
    A, caches = X, []
    for k in (1, 2, 3):
        A, cache = layer(A, p[f"W{k}"], p[f"b{k}"])
        caches.append(cache)
    return A, caches

def cost(p):
    return np.sum((forward(p)[0] - T) ** 2) / 2

def tanh_backward(dA, Z):
    return dA * (1 - np.tanh(Z) ** 2)

def sigmoid_backward(dA, Z):
    s = 1 / (1 + np.exp(-Z))
    return dA * s * (1 - s)

def backward(A, caches):
    grads = {}
    dA = A - T
    for k in (3, 2, 1):
    #! for k in (3, 2):
        A_prev, W, Z = caches[k - 1]
        #! A_prev, W, Z = caches[k - 1 if k > 1 else 1]
        dZ = tanh_backward(dA, Z)
        #! dZ = tanh_backward(dA, Z) if k != 2 else sigmoid_backward(dA, Z)
        #! dZ = dA
        grads[f"W{k}"], grads[f"b{k}"] = A_prev.T @ dZ, dZ.sum(0)
        #! grads[f"W{k}"], grads[f"b{k}"] = A_prev.T @ dZ, dZ.mean(0)
        dA = dZ @ W.T
        #! dA = dZ @ W
    return grads

# %% gradcheck -c cost
A, caches = forward(params)
grads = {name: np.zeros_like(array) for name, array in params.items()}
grads.update(backward(A, caches))
"""

FLAT = """
# %%
theta = np.concatenate([array.ravel() for array in params.values()])

def unrolled(theta):
    W1, b1, W2, b2 = np.split(theta, [20, 25, 40])
    return {"W1": W1.reshape(4, 5), "b1": b1, "W2": W2.reshape(5, 3), "b2": b2}

def J(theta):
    return cost(unrolled(theta))

# %% gradcheck -p theta -g grad -c J
p = unrolled(theta)
Z1, A1, Z2 = forward(p)
delta3 = (Z2 - Y) / len(X)
#! delta3 = (Z2 - Y) / len(Y[0])
delta2 = delta3 @ p["W2"].T * (1 - A1 ** 2)
#! delta2 = delta3 @ p["W2"].T
grads = X.T @ delta2, delta2.sum(0), A1.T @ delta3, delta3.sum(0)
grad = np.concatenate([each.ravel() for each in grads])
"""

NORMALIZED = """
# %%
def forward(p):
    H = X @ p["W1"] + p["b1"]
    C = H - H.mean(1, keepdims=True)
    var = (C ** 2).mean(1, keepdims=True)
    inv = 1 / np.sqrt(var + 1e-5)
    N = C * inv
    return C, inv, N, N @ p["W2"] + p["b2"]

def cost(p):
    return np.sum((forward(p)[-1] - Y) ** 2) / (2 * len(X))

# %% gradcheck -c cost
C, inv, N, out = forward(params)
dout = (out - Y) / len(X)
dN = dout @ params["W2"].T
dinv = (dN * C).sum(1, keepdims=True)
#! dinv = (dN * N).sum(1, keepdims=True)
#! dinv = (dN * C).mean(1, keepdims=True)
dvar = -0.5 * dinv * inv ** 3
#! dvar = -0.5 * dinv * inv ** 2
#! dvar = 0.5 * dinv * inv ** 3
dC = dN * inv + 2 * C * dvar / C.shape[1]
#! dC = dN * inv + C * dvar / C.shape[1]
#! dC = dN * inv - 2 * C * dvar / C.shape[1]
#! dC = dN * inv + 2 * C * dvar
dH = dC - dC.mean(1, keepdims=True)
#! dH = dC + dC.mean(1, keepdims=True)
#! dH = dC - dC.mean(0, keepdims=True)
#! dH = dC
grads = {"W1": X.T @ dH, "b1": dH.sum(0), "W2": N.T @ dout, "b2": dout.sum(0)}
#! grads = {"W1": X.T @ dH, "b1": dH.mean(0), "W2": N.T @ dout, "b2": dout.sum(0)}
"""

RECOMPUTED = """
# %% gradcheck -c cost
def backward(p):
    Z1 = X @ p["W1"] + p["b1"]
    #! Z1 = X @ p["W1"]
    A1 = np.tanh(Z1)
    #! A1 = 1 / (1 + np.exp(-Z1))
    #! A1 = np.tanh(X @ p["W1"])
    Z2 = A1 @ p["W2"] + p["b2"]
    #! Z2 = A1 @ p["W2"]
    #! Z2 = np.tanh(A1 @ p["W2"] + p["b2"])
    dZ2 = (Z2 - Y) / len(X)
    dZ1 = dZ2 @ p["W2"].T * (1 - A1 ** 2)
    return {"W1": X.T @ dZ1, "b1": dZ1.sum(0), "W2": A1.T @ dZ2, "b2": dZ2.sum(0)}

grads = backward(params)
"""

SAMPLE_BY_SAMPLE = """
# %% gradcheck -c cost
def of_sample(x, y, p):
    a = np.tanh(x @ p["W1"] + p["b1"])
    d2 = a @ p["W2"] + p["b2"] - y
    #! d2 = a @ p["W2"] - y
    d1 = d2 @ p["W2"].T * (1 - a * a)
    #! d1 = d2 @ p["W2"].T * (1 - a)
    return [np.outer(x, d1), d1, np.outer(a, d2), d2]

def gradient(p):
    total = [np.zeros_like(array) for array in p.values()]
    for x, y in zip(X, Y):
        total = [each + more for each, more in zip(total, of_sample(x, y, p))]
        #! total = [each - more for each, more in zip(total, of_sample(x, y, p))]
    total = [each / len(X) for each in total]
    #! total = [each / X.size for each in total]
    return dict(zip(p, total))

grads = gradient(params)
"""

RESIDUAL = """
# %%
T = rng.normal(size=(6, 4))
params = {f"{kind}{k}": rng.normal(size=(4, 4)[: 2 if kind == "W" else 1])
          for k in (1, 2, 3) for kind in "Wb"}

def block(x, W, b):
    h = np.tanh(x @ W + b)
    return x + h, (x, W, h)

def forward(p):
    x, caches = X, []
    for k in (1, 2, 3):
        x, cache = block(x, p[f"W{k}"], p[f"b{k}"])
        caches.append(cache)
    return x, caches

def cost(p):
    return np.sum((forward(p)[0] - T) ** 2) / 2

def affine_backward(dz, x, W):
    dx = dz @ W.T
    return dx, x.T @ dz, dz.sum(0)

def block_backward(dout, cache):
    x, W, h = cache
    dx, dW, db = affine_backward(dout * (1 - h ** 2), x, W)
    return dout + dx, dW, db
    #! return dx, dW, db
    #! return dout, dW, db

# %% gradcheck -c cost
x, caches = forward(params)
dx, grads = x - T, {}
for k in (3, 2, 1):
    dx, grads[f"W{k}"], grads[f"b{k}"] = block_backward(dx, caches[k - 1])
    #! _, grads[f"W{k}"], grads[f"b{k}"] = block_backward(dx, caches[k - 1])
    #! dx, grads[f"W{k}"], grads[f"b{k}"] = block_backward(dx, caches[-1])
"""

NUMBERS = """
# %%
class Value:
    def __init__(self, data, children=()):
        self.data, self.grad, self.children = data, 0.0, children
        self.back = lambda: None

    def __add__(self, other):
        out = Value(self.data + other.data, (self, other))
        def back():
            self.grad += out.grad
            #! self.grad -= out.grad
            other.grad += out.grad
            #! other.grad += out.data * out.grad
        out.back = back
        return out

    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other))
        def back():
            self.grad += other.data * out.grad
            #! self.grad += out.grad
            other.grad += self.data * out.grad
        out.back = back
        return out

    def backward(self):
        self.grad = 1.0
        waiting = [self]
        while waiting:
            node = waiting.pop(0)
            node.back()
            waiting += node.children

def value(theta):
    a, b, c = [Value(float(t)) for t in theta]
    return a * b + c * Value(3.0), (a, b, c)

theta = np.array([0.7, -1.3, 0.4])

def J(theta):
    return value(theta)[0].data

# %% gradcheck -p theta -g "np.array([each.grad for each in leaves])" -c J --trace
out, leaves = value(theta)
out.backward()
"""

RECURRENCE = """
# %%
T = 5
xs, ys = rng.normal(size=(T, 3, 1)), rng.normal(size=(T, 2, 1))
params = {name: rng.normal(size=shape) / 2
          for name, shape in {"W": (4, 3), "U": (4, 4), "V": (2, 4)}.items()}

def forward(p):
    hs, outs = [np.zeros((4, 1))], []
    for t in range(T):
        hs.append(np.tanh(p["W"] @ xs[t] + p["U"] @ hs[t]))
        outs.append(p["V"] @ hs[t + 1])
    return hs, outs

def cost(p):
    _, outs = forward(p)
    return sum(np.sum((out - y) ** 2) for out, y in zip(outs, ys)) / (2 * T)

def tanh_backward(dh, h):
    return dh * (1 - h * h)

# %% gradcheck -c cost --trace
hs, outs = forward(params)
W, U, V = params["W"], params["U"], params["V"]
dW, dU, dV = np.zeros_like(W), np.zeros_like(U), np.zeros_like(V)
dh_next = np.zeros((4, 1))
#! dh_next = np.ones((4, 1))
for t in reversed(range(T)):
    dout = (outs[t] - ys[t]) / T
    #! dout = outs[t] - ys[t]
    #! dout = (ys[t] - outs[t]) / T
    dV += dout @ hs[t + 1].T
    dh = V.T @ dout + dh_next
    #! dh = V.T @ dout
    dz = tanh_backward(dh, hs[t + 1])
    #! dz = tanh_backward(dh, hs[t])
    dW += dz @ xs[t].T
    dU += dz @ hs[t].T
    #! dU += dh @ hs[t].T
    #! dU = dz @ hs[t].T
    dh_next = U.T @ dz
    #! dh_next = dz
    #! dh_next = U.T @ dh
    #! dh_next = U @ dz
grads = {"W": dW, "U": dU, "V": dV}
"""

ENGINE = """
# %%
class Tensor:
    def __init__(self, data):
        self.data, self.grad = np.asarray(data), 0.0
        self.back = lambda: None

def product(a, b):
    out = Tensor(a.data @ b.data)
    def back():
        a.grad = a.grad + out.grad @ b.data.T
        b.grad = b.grad + a.data.T @ out.grad
        #! b.grad = a.data.T @ out.grad
        #! b.grad = b.grad - a.data.T @ out.grad
    out.back = back
    return out

def tanh(a):
    out = Tensor(np.tanh(a.data))
    def back():
        a.grad = a.grad + out.grad * (1 - out.data ** 2)
        #! a.grad = a.grad + out.grad * (1 - a.data ** 2)
        #! a.grad = a.grad + out.grad
    out.back = back
    return out

def squares(a, y):
    out = Tensor(np.sum((a.data - y) ** 2) / len(y))
    def back():
        a.grad = a.grad + 2 * (a.data - y) / len(y)
        #! a.grad = a.grad + 2 * (a.data - y)
        #! a.grad = a.grad + 2 * (y - a.data) / len(y)
    out.back = back
    return out

shapes = {"W1": (4, 5), "W2": (5, 5), "W3": (5, 3)}
params = {name: rng.normal(size=shape) for name, shape in shapes.items()}

def run(p):
    leaves = {name: Tensor(value) for name, value in p.items()}
    steps = [product(Tensor(X), leaves["W1"])]
    steps.append(tanh(steps[-1]))
    for _ in range(2):
        steps.append(product(steps[-1], leaves["W2"]))
        steps.append(tanh(steps[-1]))
    steps.append(product(steps[-1], leaves["W3"]))
    steps.append(squares(steps[-1], Y))
    return leaves, steps

def cost(p):
    return run(p)[1][-1].data

# %% gradcheck -c cost --trace
leaves, steps = run(params)
for step in reversed(steps):
    step.back()
grads = {name: leaf.grad for name, leaf in leaves.items()}
"""

PASSES = {
    "two layers, at the top level": TWO_LAYERS,
    "HARD: in place": IN_PLACE,
    "HARD: an array that is used twice, and a penalty": SUMS,
    "HARD: the same functions for all layers": LAYERS,
    "HARD: one flat gradient": FLAT,
    "HARD: the same statistics for several entries": NORMALIZED,
    "HARD: the forward pass once more": RECOMPUTED,
    "HARD: the sum of lists over samples": SAMPLE_BY_SAMPLE,
    "HARD: blocks with a shortcut": RESIDUAL,
    "HARD: numbers that are objects": NUMBERS,
    "HARD: a recurrence": RECURRENCE,
    "HARD: arrays that are objects": ENGINE,
}
# Numbers do not tell the right one here: it is among those that may be wrong instead.
ONLY_IN_RANGE = {
    "HARD: an array that is used twice, and a penalty: 2",
    "HARD: the same functions for all layers: 2",
    "HARD: one flat gradient: 1",
    "HARD: blocks with a shortcut: 3",
    "HARD: a recurrence: 6",
}
CASES = {
    f"{name}: {k}": (name, k) for name, body in PASSES.items() for k in range(body.count("#!"))
}


@pytest.mark.parametrize("name", PASSES)
def test_right_pass(name):
    check = checked(read(name, '""""""' + HEAD + PASSES[name]))
    assert check.verdict.name == "CORRECT"
    assert not (check.backward and check.backward.faults)


@pytest.mark.parametrize("case", CASES)
def test_statement_with_a_slip_is_named(case):
    name, k = CASES[case]
    backward = read(name, '""""""' + HEAD + PASSES[name])
    slip = backward.slips[k]
    place = backward.place(slip)
    # Without it, the time that is left for recording may be over in a process that does more.
    fault = checked(backward, slip, "--trace").backward.faults[0]
    lines = [(line.file, line.line) for line in fault.lines]
    assert (place.file, place.line) in lines
    if case not in ONLY_IN_RANGE:
        assert lines[0] == (place.file, place.line), fault.sentence
