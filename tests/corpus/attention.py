"""Self-attention with a residual path, layer norm, and the mean over all tokens."""

import numpy as np

from . import norm
from .elementwise import softmax
from .family import Family

BUGS = (
    "path through the keys forgotten",
    "root of the width forgotten",
    "softmax backwards by its diagonal alone",
    "values' gradient by the wrong side",
    *norm.BUGS,
)


def make(rng, variant):
    width, tokens, m = ((4, 5, 3), (3, 4, 4))[variant]
    params = {name: rng.normal(size=(width, width)) * 0.7 for name in ("Wq", "Wk", "Wv", "Wo")}
    params |= {"gamma": 1 + rng.normal(size=width) * 0.2, "beta": rng.normal(size=width) * 0.2}
    X = rng.normal(size=(m, tokens, width))
    return params, {"X": X, "Y": rng.normal(size=X.shape), "m": m}


def forward(xp, p, data):
    X = data["X"]
    Q, K, V = (X @ p[name] for name in ("Wq", "Wk", "Wv"))
    P = softmax(xp, Q @ xp.swapaxes(K, 1, 2) / X.shape[2] ** 0.5)
    mixed = P @ V
    N, spread = norm.normalise(xp, X + mixed @ p["Wo"], axis=2)
    return Q, K, V, P, mixed, N, spread, N * p["gamma"] + p["beta"]


def cost(xp, p, data):
    return xp.sum((forward(xp, p, data)[-1] - data["Y"]) ** 2) / (2 * data["m"])


def backward(p, data, bug):
    Q, K, V, P, mixed, N, spread, out = forward(np, p, data)
    X, dout = data["X"], (out - data["Y"]) / data["m"]
    grads = {"gamma": (dout * N).sum(axis=(0, 1)), "beta": dout.sum(axis=(0, 1))}
    dH = norm.normalise_back(dout * p["gamma"], N, spread, 2, bug)
    grads["Wo"] = np.einsum("nti,ntj->ij", mixed, dH)
    dmixed = dH @ p["Wo"].T
    dV = (P if bug == BUGS[3] else np.swapaxes(P, 1, 2)) @ dmixed
    dS = softmax_back(dmixed @ np.swapaxes(V, 1, 2), P, bug)
    dS = dS / (1.0 if bug == BUGS[1] else X.shape[2] ** 0.5)
    dQ, dK = dS @ K, np.swapaxes(dS, 1, 2) @ Q
    if bug == BUGS[0]:
        dK = np.zeros_like(dK)
    for name, d in (("Wq", dQ), ("Wk", dK), ("Wv", dV)):
        grads[name] = np.einsum("nti,ntj->ij", X, d)
    return grads


def softmax_back(dP, P, bug):
    """Return the gradient with respect to the scores."""
    if bug == BUGS[2]:
        return dP * P * (1 - P)
    return P * (dP - (dP * P).sum(axis=-1, keepdims=True))


FAMILIES = (
    Family(
        name="attention",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("Wq", "Wk", "Wv", "Wo"),
        biases=("beta",),
        columns="X",
    ),
)
