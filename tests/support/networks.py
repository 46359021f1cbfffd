"""Networks with hand-written backpropagation, correct or wrong in known ways."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gradcheck_magic.demo import load_digits


def relu(Z):
    return np.maximum(0, Z)


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


class ClassicExercise:
    """The gradient checking exercise of many courses, on its usual data.

    LINEAR-RELU-LINEAR-RELU-LINEAR-SIGMOID on three examples of four features. Its difference is
    known: 0.2850931567 with both bugs, and 1.1885552e-07 when they are fixed.
    """

    def __init__(self):
        random = np.random.RandomState(1)
        self.X = random.randn(4, 3)
        self.Y = np.array([[1, 1, 0]])
        shapes = {
            "W1": (5, 4),
            "b1": (5, 1),
            "W2": (3, 5),
            "b2": (3, 1),
            "W3": (1, 3),
            "b3": (1, 1),
        }
        self.params = {name: random.randn(*shape) for name, shape in shapes.items()}

    def forward(self, p):
        A1 = relu(p["W1"] @ self.X + p["b1"])
        A2 = relu(p["W2"] @ A1 + p["b2"])
        return A1, A2, sigmoid(p["W3"] @ A2 + p["b3"])

    def cost(self, p):
        *_, A3 = self.forward(p)
        m = self.X.shape[1]
        return 1.0 / m * np.sum(-np.log(A3) * self.Y - np.log(1 - A3) * (1 - self.Y))

    def grads(self, *, bugs=False):
        p, m = self.params, self.X.shape[1]
        A1, A2, A3 = self.forward(p)
        dZ3 = A3 - self.Y
        dA2 = p["W3"].T @ dZ3
        dZ2 = dA2 * (A2 > 0)
        dA1 = p["W2"].T @ dZ2
        dZ1 = dA1 * (A1 > 0)
        two, four = (2, 4) if bugs else (1, 1)
        return {
            "dZ3": dZ3, "dA2": dA2, "dZ2": dZ2, "dA1": dA1, "dZ1": dZ1,
            "dW3": 1 / m * dZ3 @ A2.T, "db3": 1 / m * dZ3.sum(axis=1, keepdims=True),
            "dW2": 1 / m * dZ2 @ A1.T * two, "db2": 1 / m * dZ2.sum(axis=1, keepdims=True),
            "dW1": 1 / m * dZ1 @ self.X.T, "db1": four / m * dZ1.sum(axis=1, keepdims=True),
        }  # fmt: skip


class Smooth:
    """A small network without kinks: tanh, then a square loss. All gradients are of order one."""

    def __init__(self, seed=0, hidden=4):
        random = np.random.default_rng(seed)
        self.X, self.Y = random.normal(size=(20, 4)), random.normal(size=(20, 2))
        self.params = {
            "W1": random.normal(size=(4, hidden)),
            "b1": random.normal(size=hidden),
            "W2": random.normal(size=(hidden, 2)),
            "b2": random.normal(size=2),
        }

    def cost(self, p):
        A1 = np.tanh(self.X @ p["W1"] + p["b1"])
        return np.sum((A1 @ p["W2"] + p["b2"] - self.Y) ** 2) / 2 / len(self.X)

    def grads(self):
        p = self.params
        A1 = np.tanh(self.X @ p["W1"] + p["b1"])
        dZ2 = (A1 @ p["W2"] + p["b2"] - self.Y) / len(self.X)
        dZ1 = dZ2 @ p["W2"].T * (1 - A1**2)
        return {
            "dW1": self.X.T @ dZ1,
            "db1": dZ1.sum(axis=0),
            "dW2": A1.T @ dZ2,
            "db2": dZ2.sum(axis=0),
        }


class Digits:
    """Two hidden layers on real digits, with weights penalised by λ / 2m; examples are columns.

    The names are those of a notebook, whose variables are in `namespace`.
    """

    def __init__(self, activation="tanh", *, m=40, lambd=0.7, seed=0):
        images, labels = load_digits(m)
        # Pixels that are never dark teach nothing.
        self.X, self.Y = images[:, images.any(axis=0)][:, 8:20].T, labels.T
        self.lambd, self.activation = lambd, activation
        random = np.random.default_rng(seed)
        sizes = (len(self.X), 6, 5, len(self.Y))
        self.params = {}
        for layer in (1, 2, 3):
            shape = sizes[layer], sizes[layer - 1]
            self.params[f"W{layer}"] = random.normal(size=shape) * np.sqrt(2 / shape[1])
            self.params[f"b{layer}"] = random.normal(size=(shape[0], 1)) * 0.2
        self.namespace = {"X": self.X, "Y": self.Y, "lambd": lambd, "learning_rate": 0.05}

    def forward(self, p):
        activate = np.tanh if self.activation == "tanh" else relu
        A1 = activate(p["W1"] @ self.X + p["b1"])
        A2 = activate(p["W2"] @ A1 + p["b2"])
        scores = p["W3"] @ A2 + p["b3"]
        odds = np.exp(scores - scores.max(axis=0))
        return A1, A2, odds / odds.sum(axis=0)

    def cost(self, p):
        m = self.X.shape[1]
        fit = -np.sum(self.Y * np.log(self.forward(p)[-1])) / m
        return fit + self.lambd / (2 * m) * sum(np.sum(p[f"W{k}"] ** 2) for k in (1, 2, 3))

    def grads(self, bug="", p=None):
        p = self.params if p is None else p
        A1, A2, A3 = self.forward(p)
        m = self.X.shape[1]
        dZ3 = A3 - self.Y
        if bug == "loss's derivative":
            dZ3 = A3 * (A3 - self.Y)
        dA2 = p["W3"].T @ dZ3
        dZ2 = dA2 * self.slope(A2, bug, 2)
        dA1 = p["W2"].T @ dZ2
        dZ1 = dA1 * self.slope(A1, bug, 1)
        layers = {1: (dZ1, self.X), 2: (dZ2, A1), 3: (dZ3, A2)}
        grads = {}
        for k, (dZ, A) in layers.items():
            grads[f"dW{k}"] = dZ @ A.T / m + self.lambd / m * p[f"W{k}"]
            grads[f"db{k}"] = dZ.sum(axis=1, keepdims=True) / m
        return grads

    def slope(self, A, bug, layer):
        """Return the derivative of the activation, given its value; a bug may leave it out."""
        if bug == f"slope of layer {layer}":
            return 1.0
        if bug == f"1 - A in layer {layer}":
            return 1 - A
        return 1 - A**2 if self.activation == "tanh" else A > 0


class Activation(NamedTuple):
    """A function, its derivative, and the variance of the weights before it, times their number."""

    value: Callable
    slope: Callable
    gain: float


ACTIVATIONS = {
    "tanh": Activation(np.tanh, lambda Z: 1 - np.tanh(Z) ** 2, 1.0),
    "ReLU": Activation(lambda Z: np.maximum(0, Z), lambda Z: Z > 0, 2.0),
    "softplus": Activation(lambda Z: np.logaddexp(0, Z), lambda Z: 1 / (1 + np.exp(-Z)), 2.0),
}


class Network:
    """Two hidden layers on real digits, with softmax and cross-entropy; examples are rows.

    It is made for scans: large, and without a penalty that would make all entries large.
    """

    def __init__(self, X, Y, hidden, activation, seed):
        self.X, self.Y = X, Y
        self.activation = ACTIVATIONS[activation]
        random = np.random.default_rng(seed)
        sizes = (X.shape[1], *hidden, Y.shape[1])
        self.params = {}
        for k, shape in enumerate(pairwise(sizes), start=1):
            deviation = np.sqrt(self.activation.gain / shape[0])
            self.params[f"W{k}"] = random.normal(scale=deviation, size=shape)
            self.params[f"b{k}"] = random.normal(scale=0.1, size=shape[1])

    @classmethod
    def large(cls, activation, seed):
        """Return 784-1000-200-10: 8 × 8 digits, three times as large, in a margin of two pixels."""
        X, Y = load_digits(50)
        images = X.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2)
        X = np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(len(X), -1)
        return cls(X, Y, (1000, 200), activation, seed)

    @classmethod
    def small(cls, activation, seed):
        """Return 64-100-50-10, on 8 × 8 digits."""
        return cls(*load_digits(50), (100, 50), activation, seed)

    @property
    def size(self):
        return sum(array.size for array in self.params.values())

    def forward(self, p):
        Z1 = self.X @ p["W1"] + p["b1"]
        A1 = self.activation.value(Z1)
        Z2 = A1 @ p["W2"] + p["b2"]
        A2 = self.activation.value(Z2)
        scores = A2 @ p["W3"] + p["b3"]
        scores -= scores.max(axis=1, keepdims=True)
        return Z1, A1, Z2, A2, scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def cost(self, p):
        return -np.sum(self.Y * self.forward(p)[-1]) / len(self.X)

    def grads(self):
        p = self.params
        Z1, A1, Z2, A2, logarithms = self.forward(p)
        dZ3 = (np.exp(logarithms) - self.Y) / len(self.X)
        dZ2 = dZ3 @ p["W3"].T * self.activation.slope(Z2)
        dZ1 = dZ2 @ p["W2"].T * self.activation.slope(Z1)
        layers = [(self.X, dZ1), (A1, dZ2), (A2, dZ3)]
        weights = {f"W{k}": A.T @ dZ for k, (A, dZ) in enumerate(layers, start=1)}
        return weights | {f"b{k}": dZ.sum(axis=0) for k, (_, dZ) in enumerate(layers, start=1)}
