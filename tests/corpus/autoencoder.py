"""An autoencoder whose decoder is its encoder transposed: one weight, two paths to it."""

import numpy as np

from .elementwise import ACTIVATIONS
from .family import Family

BUGS = (
    "path through the encoder forgotten",
    "path through the decoder forgotten",
    "activation's derivative is another",
)


def make(rng, variant):
    features, hidden, m = ((5, 3, 8), (4, 4, 6))[variant]
    params = {
        "W": rng.normal(size=(features, hidden)) * 0.6,
        "b": rng.normal(size=hidden) * 0.3,
        "c": rng.normal(size=features) * 0.3,
    }
    data = {"X": rng.normal(size=(m, features)), "m": m}
    return params, data | {"activation": ("tanh", "sigmoid")[variant]}


def forward(xp, p, data):
    Z = data["X"] @ p["W"] + p["b"]
    A = ACTIVATIONS[data["activation"]].value(xp, Z, 0.0)
    return Z, A, A @ p["W"].T + p["c"]


def cost(xp, p, data):
    return xp.sum((forward(xp, p, data)[-1] - data["X"]) ** 2) / (2 * data["m"])


def backward(p, data, bug):
    Z, A, out = forward(np, p, data)
    activation = ACTIVATIONS[data["activation"]]
    dout = (out - data["X"]) / data["m"]
    slope = activation.wrong(Z) if bug == BUGS[2] else activation.slope(Z, 0.0)
    dZ = dout @ p["W"] * slope
    encoder = 0.0 if bug == BUGS[0] else data["X"].T @ dZ
    decoder = 0.0 if bug == BUGS[1] else dout.T @ A
    return {"W": encoder + decoder, "b": dZ.sum(axis=0), "c": dout.sum(axis=0)}


FAMILIES = (
    Family(
        name="autoencoder",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W",),
        biases=("b", "c"),
        saturates=("b",),
        columns="X",
    ),
)
