"""A network with batch norm; one variant has a bias before it, whose true gradient is zero."""

import numpy as np

from . import norm
from .elementwise import ACTIVATIONS, LOSSES, targets
from .family import Family

BUGS = (*norm.BUGS, "activation's derivative is another", "gamma forgotten on the way back")


def make(rng, variant):
    features, hidden, m = ((4, 4, 9), (3, 5, 8))[variant]
    params = {"W1": rng.normal(size=(features, hidden)), "b1": rng.normal(size=hidden) * 0.3}
    params |= {"gamma": 1 + rng.normal(size=hidden) * 0.3, "beta": rng.normal(size=hidden) * 0.3}
    params |= {"W2": rng.normal(size=(hidden, 3)), "b2": rng.normal(size=3) * 0.3}
    if variant:
        del params["b1"]
    data = {"X": rng.normal(size=(m, features)), "m": m, "tie": 0.0}
    data |= {"activation": ("tanh", "softplus")[variant], "loss": ("softmax", "square")[variant]}
    data["Y"] = targets(rng, data["loss"], rng.normal(size=(m, 3)))
    return params, data


def forward(xp, p, data):
    Z = data["X"] @ p["W1"]
    if "b1" in p:
        Z = Z + p["b1"]
    N, spread = norm.normalise(xp, Z, axis=0)
    S = N * p["gamma"] + p["beta"]
    A = ACTIVATIONS[data["activation"]].value(xp, S, data["tie"])
    return N, spread, S, A, A @ p["W2"] + p["b2"]


def cost(xp, p, data):
    out = forward(xp, p, data)[-1]
    return LOSSES[data["loss"]].value(xp, out, data["Y"], data["tie"]) / data["m"]


def backward(p, data, bug):
    N, spread, S, A, out = forward(np, p, data)
    activation = ACTIVATIONS[data["activation"]]
    dout = LOSSES[data["loss"]].slope(out, data["Y"], data["tie"]) / data["m"]
    grads = {"W2": A.T @ dout, "b2": dout.sum(axis=0)}
    slope = activation.wrong(S) if bug == BUGS[2] else activation.slope(S, data["tie"])
    dS = dout @ p["W2"].T * slope
    grads |= {"gamma": (dS * N).sum(axis=0), "beta": dS.sum(axis=0)}
    dN = dS if bug == BUGS[3] else dS * p["gamma"]
    dZ = norm.normalise_back(dN, N, spread, 0, bug)
    return grads | {"W1": data["X"].T @ dZ, "b1": dZ.sum(axis=0)}


FAMILIES = (
    Family(
        name="batch norm",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W1", "W2"),
        biases=("b1", "beta", "b2"),
        columns="X",
        without_gradient=("b1",),
    ),
)
