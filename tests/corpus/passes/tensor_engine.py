"""Someone who wrote an autograd engine of their own (tinytensor.py: class Tensor with closures, unbroadcast, topological sort) and trains an MLP with layer norm on it."""
# %% file tinytensor.py
from __future__ import annotations

import numpy as np


def unbroadcast(grad, shape):
    """Sum out the dimensions that NumPy has added."""
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
        #! grad = grad.mean(axis=0)
        #! grad = grad[0]
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] != 1:
            grad = grad.sum(axis=axis, keepdims=True)
            #! grad = grad.mean(axis=axis, keepdims=True)
            #! grad = grad.max(axis=axis, keepdims=True)
    return grad


def as_tensor(x):
    return x if isinstance(x, Tensor) else Tensor(x)


class Tensor:
    __array_priority__ = 1000

    def __init__(self, data, _children=(), _op=""):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self._backward = lambda: None
        self._prev = _children
        self._op = _op

    @property
    def shape(self):
        return self.data.shape

    def __repr__(self):
        return f"Tensor{self.shape}({self._op})"

    # ---- elementwise, with broadcasting

    def __add__(self, other):
        other = as_tensor(other)
        out = Tensor(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += unbroadcast(out.grad, self.shape)
            #! self.grad = unbroadcast(out.grad, self.shape)
            other.grad += unbroadcast(out.grad, other.shape)
            #! other.grad = unbroadcast(out.grad, other.shape)
            #! other.grad -= unbroadcast(out.grad, other.shape)

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = as_tensor(other)
        out = Tensor(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += unbroadcast(other.data * out.grad, self.shape)
            #! self.grad += unbroadcast(self.data * out.grad, self.shape)
            other.grad += unbroadcast(self.data * out.grad, other.shape)
            #! other.grad += unbroadcast(other.data * out.grad, other.shape)
            #! other.grad += unbroadcast(out.data * out.grad, other.shape)
            #! other.grad += unbroadcast(out.grad, other.shape)

        out._backward = _backward
        return out

    def __pow__(self, k):
        assert isinstance(k, (int, float))
        out = Tensor(self.data ** k, (self,), f"**{k}")

        def _backward():
            self.grad += k * self.data ** (k - 1) * out.grad
            #! self.grad += k * self.data ** k * out.grad
            #! self.grad += self.data ** (k - 1) * out.grad
            #! self.grad += k * out.data ** (k - 1) * out.grad

        out._backward = _backward
        return out

    def exp(self):
        out = Tensor(np.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.data * out.grad
            #! self.grad += self.data * out.grad
            #! self.grad += out.grad

        out._backward = _backward
        return out

    def log(self):
        out = Tensor(np.log(self.data), (self,), "log")

        def _backward():
            self.grad += out.grad / self.data
            #! self.grad += out.grad / out.data
            #! self.grad += out.grad * self.data

        out._backward = _backward
        return out

    def tanh(self):
        t = np.tanh(self.data)
        out = Tensor(t, (self,), "tanh")

        def _backward():
            self.grad += (1 - t ** 2) * out.grad
            #! self.grad += (1 - t) * out.grad
            #! self.grad += 1 - t ** 2 * out.grad
            #! self.grad += (1 - self.data ** 2) * out.grad

        out._backward = _backward
        return out

    def relu(self):
        out = Tensor(np.maximum(self.data, 0), (self,), "relu")

        def _backward():
            self.grad += (out.data > 0) * out.grad
            #! self.grad += (out.grad > 0) * out.grad
            #! self.grad += out.data * out.grad

        out._backward = _backward
        return out

    # ---- linear algebra and reductions

    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other), "@")

        def _backward():
            self.grad += out.grad @ other.data.T
            #! self.grad = -out.grad @ other.data.T
            other.grad += self.data.T @ out.grad
            #! other.grad += self.data.T @ out.data

        out._backward = _backward
        return out

    def sum(self, axis=None, keepdims=False):
        out = Tensor(self.data.sum(axis=axis, keepdims=keepdims), (self,), "sum")

        def _backward():
            g = out.grad
            #! g = np.ones_like(out.grad)
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            self.grad += np.broadcast_to(g, self.shape)
            #! self.grad += np.broadcast_to(g, self.shape) / self.data.size
            #! self.grad = np.broadcast_to(g, self.shape) * 1.0

        out._backward = _backward
        return out

    def mean(self, axis=None, keepdims=False):
        n = self.data.size if axis is None else self.shape[axis]
        return self.sum(axis, keepdims) * (1.0 / n)

    def __neg__(self): return self * -1
    def __sub__(self, other): return self + (-as_tensor(other))
    def __rsub__(self, other): return as_tensor(other) + (-self)
    def __truediv__(self, other): return self * as_tensor(other) ** -1
    def __radd__(self, other): return self + other
    def __rmul__(self, other): return self * other

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if id(v) not in visited:
                visited.add(id(v))
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = np.ones_like(self.data)
        #! self.grad = self.data.copy()
        for v in reversed(topo):
        #! for v in topo:
        #! for v in reversed(topo[:-1]):
        #! for v in topo[::-1][:-len(topo) // 2]:
            v._backward()

# %%
import numpy as np

from tinytensor import Tensor

rng = np.random.default_rng(3)

class Linear:
    def __init__(self, n_in, n_out):
        self.W = Tensor(rng.normal(0, n_in ** -0.5, (n_in, n_out)))
        self.b = Tensor(rng.normal(0, 0.1, n_out))

    def __call__(self, x):
        return x @ self.W + self.b

    def parameters(self):
        return [self.W, self.b]


class LayerNorm:
    def __init__(self, n):
        self.g, self.b = Tensor(rng.uniform(0.5, 1.5, n)), Tensor(rng.normal(0, 0.1, n))

    def __call__(self, x):
        d = x - x.mean(axis=1, keepdims=True)
        var = (d * d).mean(axis=1, keepdims=True)
        return d / (var + 1e-5) ** 0.5 * self.g + self.b

    def parameters(self):
        return [self.g, self.b]


class Net:
    def __init__(self):
        self.fc1, self.ln, self.fc2, self.fc3 = Linear(4, 6), LayerNorm(6), Linear(6, 6), Linear(6, 3)

    def __call__(self, x):
        h = self.ln(self.fc1(x)).tanh()
        for _ in range(2):  # the same weights twice
            h = h + self.fc2(h).relu()
        return self.fc3(h)

    def parameters(self):
        return sum((m.parameters() for m in (self.fc1, self.ln, self.fc2, self.fc3)), [])


def cross_entropy(logits, y):
    onehot = np.eye(logits.shape[1])[y]
    m = logits.data.max()
    z = logits - m
    lse = z.exp().sum(axis=1, keepdims=True).log()
    z_loss = ((lse + m) ** 2).mean()
    logp = z - lse
    return 0.05 * z_loss - (logp * onehot).sum() / len(y)

# %%
net = Net()
X = Tensor(rng.normal(size=(8, 4)))
y = rng.integers(0, 3, 8)

def total_loss():
    decay = sum((p ** 2).sum() for p in net.parameters() if p.data.ndim == 2)
    return cross_entropy(net(X), y) + 0.02 * decay

total_loss()

# %% gradcheck -p "[t.data for t in net.parameters()]" -g "[t.grad for t in net.parameters()]" -c "lambda: float(total_loss().data)"
for p in net.parameters():
    p.grad = np.zeros_like(p.data)
loss = total_loss()
loss.backward()
