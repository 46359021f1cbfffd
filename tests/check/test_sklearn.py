"""Backpropagation that was written elsewhere: the multilayer perceptrons of scikit-learn.

The loss and gradient of the packed coefficients are those that its own optimizer gets.
"""

import inspect
import warnings

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients
from gradcheck_magic.demo import load_digits

ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
HIDDEN = (6, 5)


class Perceptron:
    """A perceptron of scikit-learn, with its loss and gradient at a random point."""

    def __init__(self, kind, activation, alpha=0.1):
        X, Y = load_digits(40)
        # A fifth of the pixels, so that every input varies.
        X = X[:, X.std(axis=0) > 0.3][:, :8]
        y = Y.argmax(axis=1) if kind == "MLPClassifier" else Y @ np.arange(10.0)
        # Imported here because it takes long, and no other file needs it.
        neural_network = pytest.importorskip("sklearn.neural_network")
        model = getattr(neural_network, kind)(
            hidden_layer_sizes=HIDDEN,
            activation=activation,
            alpha=alpha,
            solver="lbfgs",
            max_iter=1,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one step does not converge, and need not
            model.fit(X, y)
        target = model._label_binarizer.transform(y) if kind == "MLPClassifier" else y[:, None]
        self.model, self.X, self.y = model, X, target.astype(float)
        random = np.random.default_rng(0)
        self.params = {}
        for i, (W, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), start=1):
            self.params[f"W{i}"] = random.normal(scale=0.5, size=W.shape)
            self.params[f"b{i}"] = random.normal(scale=0.5, size=b.shape)
        self.packed = self._pack(self.params)

    def _pack(self, params):
        """Pack all weights before all biases, as scikit-learn does."""
        ordered = sorted(params, key=lambda name: (name[0] == "b", name))
        return np.concatenate([params[name].ravel() for name in ordered])

    def loss_and_gradient(self, packed):
        units = [self.X.shape[1], *HIDDEN, self.y.shape[1]]
        model = self.model
        model._unpack(packed)
        arrays = [self.X] + [np.empty((len(self.X), width)) for width in units[1:]]
        coefs = [np.empty_like(W) for W in model.coefs_]
        intercepts = [np.empty_like(b) for b in model.intercepts_]
        deltas = [np.empty_like(a) for a in arrays[1:]]
        weighted = "sample_weight" in inspect.signature(model._loss_grad_lbfgs).parameters
        extra = (None,) if weighted else ()  # new in scikit-learn 1.7
        return model._loss_grad_lbfgs(
            packed, self.X, self.y, *extra, arrays, deltas, coefs, intercepts
        )

    def cost(self, packed):
        return self.loss_and_gradient(packed)

    def gradient(self):
        return self.loss_and_gradient(self.packed)[1].copy()

    def named_gradient(self):
        """Return the gradient by layers, with the names that a card shows."""
        self.loss_and_gradient(self.packed)
        flat, grads, at = self.gradient(), {}, 0
        for name in sorted(self.params, key=lambda name: (name[0] == "b", name)):
            size = self.params[name].size
            grads["d" + name] = flat[at : at + size].reshape(self.params[name].shape)
            at += size
        return grads

    def cost_of_layers(self, params):
        return self.cost(self._pack(params))


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_correct(check, kind, activation):
    net = Perceptron(kind, activation)
    found = check(net.packed, net.gradient(), net.cost)
    assert found.verdict is Verdict.CORRECT
    assert not found.wrong.any()
    by_layers = check(net.params, net.named_gradient(), net.cost_of_layers)
    assert by_layers.verdict is Verdict.CORRECT


def entry(grads):
    grads["dW2"][3, 1] *= 1.01


def exchanged(grads):
    grads["db1"][[0, 1]] = grads["db1"][[1, 0]]


def without_regularization(grads, net):
    grads["dW1"] -= net.model.alpha * net.params["W1"] / len(net.X)


CORRUPTIONS = {
    "sign": lambda g, _: g.update(dW3=-g["dW3"]),
    "factor 2": lambda g, _: g.update(dW2=2 * g["dW2"]),
    "factor 1.001": lambda g, _: g.update(dW1=1.001 * g["dW1"]),
    "mean forgotten": lambda g, net: g.update(db3=len(net.X) * g["db3"]),
    "one entry": lambda g, _: entry(g),
    "one row": lambda g, _: g["dW1"][2].__imul__(-1),
    "zero": lambda g, _: g.update(dW1=np.zeros_like(g["dW1"])),
    "exchanged": lambda g, _: exchanged(g),
    "regularization": without_regularization,
    "shifted": lambda g, _: g["db2"].__iadd__(1e-3),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_corruptions(kind, corruption):
    """Each one is a bug, in the parameter that was corrupted and in no other."""
    net = Perceptron(kind, "tanh")
    right, grads = net.named_gradient(), net.named_gradient()
    CORRUPTIONS[corruption](grads, net)
    (changed,) = [name[1:] for name in grads if not np.array_equal(grads[name], right[name])]
    found = check_gradients(net.params, grads, net.cost_of_layers)
    assert found.verdict is Verdict.BUG
    assert [p.name for p in found.parameters if p.n_wrong] == [changed]
