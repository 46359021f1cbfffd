"""A residual network: two blocks H + act(H W + b) V between linear layers."""

import numpy as np

from .elementwise import ACTIVATIONS, coarse
from .family import Family

BUGS = (
    "path around the block forgotten",
    "path through the block forgotten",
    "activation's derivative is another",
    "V not transposed on the way back",
)


def make(rng, variant):
    width, m, activation = ((4, 7, "tanh"), (3, 9, "relu"))[variant]
    params = {"W0": rng.normal(size=(3, width)) * 0.7}
    for k in (1, 2):
        params[f"W{k}"] = rng.normal(size=(width, width)) * 0.6
        params[f"b{k}"] = rng.normal(size=width) * 0.3
        params[f"V{k}"] = rng.normal(size=(width, width)) * 0.6
    params |= {"W3": rng.normal(size=(width, 2)) * 0.7, "b3": rng.normal(size=2) * 0.3}
    data = {"X": rng.normal(size=(m, 3)), "Y": rng.normal(size=(m, 2)), "m": m, "tie": 0.0}
    return params, data | {"activation": activation}


def forward(xp, p, data):
    """Return the inputs of the blocks and the last layer, the pre-activations, and the output."""
    value = ACTIVATIONS[data["activation"]].value
    Hs, Zs = [data["X"] @ p["W0"]], []
    for k in (1, 2):
        Zs.append(Hs[-1] @ p[f"W{k}"] + p[f"b{k}"])
        Hs.append(Hs[-1] + value(xp, Zs[-1], data["tie"]) @ p[f"V{k}"])
    return Hs, Zs, Hs[-1] @ p["W3"] + p["b3"]


def cost(xp, p, data):
    return xp.sum((forward(xp, p, data)[-1] - data["Y"]) ** 2) / (2 * data["m"])


def backward(p, data, bug):
    Hs, Zs, out = forward(np, p, data)
    activation = ACTIVATIONS[data["activation"]]
    dout = (out - data["Y"]) / data["m"]
    grads = {"W3": Hs[2].T @ dout, "b3": dout.sum(axis=0)}
    dH = dout @ p["W3"].T
    for k in (2, 1):
        Z, V = Zs[k - 1], p[f"V{k}"]
        grads[f"V{k}"] = activation.value(np, Z, data["tie"]).T @ dH
        slope = activation.wrong(Z) if bug == BUGS[2] else activation.slope(Z, data["tie"])
        dZ = dH @ (V if bug == BUGS[3] else V.T) * slope
        grads |= {f"W{k}": Hs[k - 1].T @ dZ, f"b{k}": dZ.sum(axis=0)}
        around = 0.0 if bug == BUGS[0] else dH
        dH = around + (0.0 if bug == BUGS[1] else dZ @ p[f"W{k}"].T)
    return grads | {"W0": data["X"].T @ dH}


def plant(params, data, distance):
    """Put a unit of the first block at this distance from zero: a kink if it is a rectifier."""
    data["activation"] = "relu"
    data["X"][0], params["W0"] = coarse(data["X"][0]), coarse(params["W0"])
    params["W1"][:, 1] = coarse(params["W1"][:, 1])
    params["b1"][1] = distance - data["X"][0] @ params["W0"] @ params["W1"][:, 1]


def prune(params, data, rng):
    """Let a unit of each block be zero."""
    data["activation"] = "relu"
    for k in (1, 2):
        unit = rng.integers(params[f"b{k}"].size)
        params[f"W{k}"][:, unit], params[f"b{k}"][unit] = 0, 0


FAMILIES = (
    Family(
        name="residual",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W0", "W1", "V1", "W2", "V2", "W3"),
        biases=("b1", "b2", "b3"),
        columns="X",
        plant=plant,
        prune=prune,
    ),
)
