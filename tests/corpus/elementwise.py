"""Activations and losses, each with its derivative and a wrong one.

Every value is computed with `xp`, NumPy or autograd's NumPy. `tie` is the derivative of max(0, z)
at z = 0, where any number from 0 to 1 is correct.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def step(z, tie):
    """Return 1 above zero, 0 below, and `tie` at zero, in the precision of z."""
    return np.where(z == 0, tie, z > 0).astype(z.dtype)


def relu(z, tie):
    """Return max(0, z), written so that autograd's derivative at zero is `tie`."""
    return z * step(z, tie)


def sigmoid(xp, z):
    """Return 1 / (1 + exp(−z)), without overflow and with full precision on both sides."""
    return xp.exp(-xp.logaddexp(0.0, -z))


def sigmoid_slope(z):
    """Return σ'(z), computed from z: A (1 − A) loses all digits where A is nearly 1."""
    return sigmoid(np, z) * sigmoid(np, -z)


def tanh_slope(z):
    """Return tanh'(z), computed from z: 1 − A² loses all digits where A is nearly 1."""
    e = np.exp(-2 * np.abs(z))
    return 4 * e / (1 + e) ** 2


def softmax(xp, z):
    """Return the softmax over the last axis."""
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def log_sum_exp(xp, z):
    """Return log Σ exp over the last axis, which is kept."""
    most = xp.max(z, axis=-1, keepdims=True)
    return most + xp.log(xp.sum(xp.exp(z - most), axis=-1, keepdims=True))


def gelu(xp, z):
    """Return the usual approximation with tanh."""
    return 0.5 * z * (1 + xp.tanh(0.7978845608 * (z + 0.044715 * z**3)))


def gelu_slope(z):
    """Return the derivative of the approximation."""
    inner = 0.7978845608 * (z + 0.044715 * z**3)
    inner_slope = 0.7978845608 * (1 + 3 * 0.044715 * z**2)
    return 0.5 * (1 + np.tanh(inner)) + 0.5 * z * tanh_slope(inner) * inner_slope


@dataclass(frozen=True)
class Activation:
    """A function of each entry: `value(xp, z, tie)`, `slope(z, tie)`, and a common wrong slope."""

    value: Callable
    slope: Callable
    wrong: Callable


ACTIVATIONS = {
    "tanh": Activation(
        lambda xp, z, tie: xp.tanh(z),
        lambda z, tie: tanh_slope(z),
        lambda z: 1 - np.tanh(z),
    ),
    "sigmoid": Activation(
        lambda xp, z, tie: sigmoid(xp, z),
        lambda z, tie: sigmoid_slope(z),
        lambda z: sigmoid(np, z),
    ),
    "relu": Activation(
        lambda xp, z, tie: relu(z, tie),
        step,
        np.ones_like,
    ),
    "softplus": Activation(
        lambda xp, z, tie: xp.logaddexp(0.0, z),
        lambda z, tie: sigmoid(np, z),
        sigmoid_slope,
    ),
    "gelu": Activation(
        lambda xp, z, tie: gelu(xp, z),
        lambda z, tie: gelu_slope(z),
        lambda z: 0.5 * (1 + np.tanh(0.7978845608 * (z + 0.044715 * z**3))),
    ),
}


@dataclass(frozen=True)
class Loss:
    """A sum over all outputs: `value(xp, out, Y, tie)`, `slope(out, Y, tie)`, and a wrong slope."""

    value: Callable
    slope: Callable
    wrong: Callable


def huber(xp, r):
    """Return the Huber loss: quadratic up to 0.5, then linear."""
    size = xp.abs(r)
    return xp.where(size <= 0.5, r**2 / 2, 0.5 * size - 0.125)


def pinball_slope(r, tie):
    """Return the derivative of the pinball loss (quantile 0.3) with respect to the residual."""
    return 0.3 - 1 + step(r, tie)


LOSSES = {
    "square": Loss(
        lambda xp, out, Y, tie: xp.sum((out - Y) ** 2) / 2,
        lambda out, Y, tie: out - Y,
        lambda out, Y: np.abs(out - Y),
    ),
    "softmax": Loss(
        lambda xp, out, Y, tie: xp.sum(log_sum_exp(xp, out)) - xp.sum(Y * out),
        lambda out, Y, tie: softmax(np, out) - Y,
        lambda out, Y: (softmax(np, out) - Y) * softmax(np, out),
    ),
    "logistic": Loss(
        lambda xp, out, Y, tie: xp.sum(xp.logaddexp(0.0, out) - Y * out),
        lambda out, Y, tie: sigmoid(np, out) - Y,
        lambda out, Y: (sigmoid(np, out) - Y) * sigmoid_slope(out),
    ),
    "huber": Loss(
        lambda xp, out, Y, tie: xp.sum(huber(xp, out - Y)),
        lambda out, Y, tie: np.clip(out - Y, -0.5, 0.5),
        lambda out, Y: out - Y,
    ),
    "logcosh": Loss(
        lambda xp, out, Y, tie: xp.sum(xp.logaddexp(out - Y, Y - out)),
        lambda out, Y, tie: np.tanh(out - Y),
        lambda out, Y: out - Y,
    ),
    "poisson": Loss(
        lambda xp, out, Y, tie: xp.sum(xp.exp(out) - Y * out),
        lambda out, Y, tie: np.exp(out) - Y,
        lambda out, Y: out - Y,
    ),
    "hinge": Loss(
        lambda xp, out, Y, tie: xp.sum(relu(1 - Y * out, tie)),
        lambda out, Y, tie: -Y * step(1 - Y * out, tie),
        lambda out, Y: -Y * (Y * out < 0),
    ),
    "pinball": Loss(
        lambda xp, out, Y, tie: xp.sum((Y - out) * pinball_slope(Y - out, tie)),
        lambda out, Y, tie: -pinball_slope(Y - out, tie),
        lambda out, Y: -0.3 * np.sign(Y - out),
    ),
}


def targets(rng, loss, out):
    """Return targets that suit the loss, close enough to the outputs to be learned."""
    if loss == "softmax":
        return np.eye(out.shape[1])[rng.integers(out.shape[1], size=len(out))]
    if loss == "logistic":
        return rng.integers(2, size=out.shape).astype(float)
    if loss == "hinge":
        return rng.choice([-1.0, 1.0], size=out.shape)
    if loss == "poisson":
        return rng.poisson(2.0, size=out.shape).astype(float)
    return out + rng.normal(size=out.shape)


def coarse(value):
    """Round to eighths: sums of products of such numbers are exact, in any order."""
    return np.round(value * 8) / 8
