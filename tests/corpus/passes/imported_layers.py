"""Somebody who keeps the layers in a module: a base class with params and grads, over cs231n-like functions that return (out, cache); three affine layers."""
# %% file mylayers.py
import numpy as np


def affine_forward(x, w, b):
    """x has shape (N, d_1, ..., d_k); it is reshaped to (N, D)."""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    #! dx = -dout.dot(w.T).reshape(x.shape)
    #! dx = dout.dot((w + b).T).reshape(x.shape)
    #! dx = dout.dot(w.T).reshape(x.shape) / len(x)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    #! dw = x.reshape(-1, x.shape[0]).dot(dout)
    #! dw = x.reshape(x.shape[0], -1).T.dot(dout) / len(x)
    #! dw = x.reshape(x.shape[0], -1, order='F').T.dot(dout)
    db = np.sum(dout, axis=0)
    #! db = np.mean(dout, axis=0)
    #! db = dout.T.dot(x.reshape(x.shape[0], -1)[:, 0])
    #! db = dout[0]
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(x, 0)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    mask = x > 0
    #! mask = x < 0
    #! mask = dout > 0
    #! mask = np.ones_like(x)
    #! mask = x
    dx = dout * mask
    #! dx = dout * np.maximum(x, 0)
    #! dx = dout + mask
    return dx


def softmax_loss(x, y):
    shifted_logits = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted_logits), axis=1, keepdims=True)
    log_probs = shifted_logits - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    #! dx = log_probs.copy()
    #! dx = np.exp(x)
    dx[np.arange(N), y] -= 1
    #! dx[np.arange(N), y] *= -1
    #! dx[np.arange(N), x.argmax(axis=1)] -= 1
    #! dx[:, y] -= 1
    dx /= N
    #! dx /= x.shape[1]
    #! dx = dx / dx.size
    return loss, dx


class Layer(object):
    """Base class: what has no parameters needs no more than forward and backward."""

    def __init__(self):
        self.params, self.grads = {}, {}
        self.cache = None

    def __call__(self, x):
        return self.forward(x)


class Affine(Layer):
    def __init__(self, n_in, n_out, rng, l2=0.0):
        super().__init__()
        self.params["w"] = rng.standard_normal((n_in, n_out)) * np.sqrt(2.0 / n_in)
        self.params["b"] = 0.1 * rng.standard_normal(n_out)
        self.l2 = l2

    def penalty(self):
        return 0.5 * self.l2 * np.sum(self.params["w"] ** 2)

    def forward(self, x):
        out, self.cache = affine_forward(x, self.params["w"], self.params["b"])
        return out

    def backward(self, dout):
        dx, dw, db = affine_backward(dout, self.cache)
        self.grads["w"] = dw + self.l2 * self.params["w"]
        #! self.grads["w"] = dw
        #! self.grads["w"] = dw + 2 * self.l2 * self.params["w"]
        #! self.grads["w"] = dw - self.l2 * self.params["w"]
        self.grads["b"] = db
        #! self.grads["b"] = db + self.l2 * self.params["b"]
        return dx
        #! return dx + self.l2
        #! return dx * (dx > 0)


class ReLU(Layer):
    def forward(self, x):
        out, self.cache = relu_forward(x)
        return out

    def backward(self, dout):
        return relu_backward(dout, self.cache)
        #! return dout
        #! return relu_backward(dout, dout)
        #! return relu_backward(self.cache, dout)

# %%
import numpy as np
from mylayers import Affine, ReLU, softmax_loss

# %%
class Net:
    def __init__(self, layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def loss(self, x, y):
        scores = self.forward(x)
        loss, dscores = softmax_loss(scores, y)
        return loss + sum(l.penalty() for l in self.layers if hasattr(l, "penalty")), dscores

    def backward(self, dout):
        for layer in self.layers[::-1]:
            dout = layer.backward(dout)
            #! dout = layer.backward(dout) if layer is not self.layers[1] else dout
            #! dout = 0.9 * layer.backward(dout)
        return dout

    @property
    def weights(self):
        return {f"{k}{i}": v for i, l in enumerate(self.layers) for k, v in l.params.items()}

    @property
    def gradients(self):
        return {f"{k}{i}": v for i, l in enumerate(self.layers) for k, v in l.grads.items()}

rng = np.random.default_rng(7)
images = rng.standard_normal((8, 2, 3, 3))
targets = rng.integers(0, 4, size=8)
net = Net([Affine(18, 7, rng, l2=0.03), ReLU(), Affine(7, 6, rng), ReLU(), Affine(6, 4, rng, l2=0.1)])

# %% gradcheck -p net.weights -g net.gradients -c "lambda: net.loss(images, targets)[0]"
loss, dscores = net.loss(images, targets)
net.backward(dscores)
#! net.backward(-dscores)
#! net.backward(dscores / len(images))
