"""Networks that are no chain of layers: gates side by side, one layer with its input, a matrix."""

import numpy as np

from .elementwise import ACTIVATIONS, sigmoid, sigmoid_slope, tanh_slope
from .family import NO_CHAIN, Family

HIGHWAY_BUGS = (
    "gate's slope forgotten",
    "path around the layer forgotten",
    "gate's gradient without the path around",
)


def make_highway(rng, variant):
    width, m = ((4, 8), (3, 10))[variant]
    params = {}
    for gate in ("h", "t"):
        params[f"W{gate}"] = rng.normal(size=(width, width)) * 0.8
        params[f"b{gate}"] = rng.normal(size=width) * 0.3
    params["Wo"] = rng.normal(size=(width, 2)) * 0.8
    return params, {"X": rng.normal(size=(m, width)), "Y": rng.normal(size=(m, 2)), "m": m}


def highway(xp, p, data):
    """Return the pre-activations of layer and gate, both after them, and the last layer's input."""
    Zh, Zt = (data["X"] @ p[f"W{gate}"] + p[f"b{gate}"] for gate in ("h", "t"))
    H, T = xp.tanh(Zh), sigmoid(xp, Zt)
    return Zh, Zt, H, T, T * H + (1 - T) * data["X"]


def highway_cost(xp, p, data):
    out = highway(xp, p, data)[-1] @ p["Wo"]
    return xp.sum((out - data["Y"]) ** 2) / (2 * data["m"])


def highway_backward(p, data, bug):
    X = data["X"]
    Zh, Zt, H, T, mixed = highway(np, p, data)
    if bug == HIGHWAY_BUGS[1]:
        mixed = T * H
    dout = (mixed @ p["Wo"] - data["Y"]) / data["m"]
    dmixed = dout @ p["Wo"].T
    dZh = dmixed * T * tanh_slope(Zh)
    dT = dmixed * (H if bug == HIGHWAY_BUGS[2] else H - X)
    dZt = dT * (1.0 if bug == HIGHWAY_BUGS[0] else sigmoid_slope(Zt))
    return {
        "Wh": X.T @ dZh,
        "bh": dZh.sum(axis=0),
        "Wt": X.T @ dZt,
        "bt": dZt.sum(axis=0),
        "Wo": mixed.T @ dout,
    }


LAYER_BUGS = (
    "W not transposed on the way back",
    "activation's derivative is another",
    "bias averaged instead of summed",
)


def make_layer(rng, variant):
    width, m, activation = ((4, 6, "tanh"), (3, 9, "gelu"))[variant]
    params = {
        "A": rng.normal(size=(m, width)),
        "W": rng.normal(size=(width, width)) * 0.8,
        "b": rng.normal(size=width) * 0.3,
    }
    upstream = rng.normal(size=(m, width))
    return params, {"upstream": upstream, "activation": activation, "m": m}


def layer_cost(xp, p, data):
    value = ACTIVATIONS[data["activation"]].value
    return xp.sum(data["upstream"] * value(xp, p["A"] @ p["W"] + p["b"], 0.0))


def layer_backward(p, data, bug):
    activation, Z = ACTIVATIONS[data["activation"]], p["A"] @ p["W"] + p["b"]
    slope = activation.wrong(Z) if bug == LAYER_BUGS[1] else activation.slope(Z, 0.0)
    dZ = data["upstream"] * slope
    return {
        "A": dZ @ (p["W"] if bug == LAYER_BUGS[0] else p["W"].T),
        "W": p["A"].T @ dZ,
        "b": dZ.mean(axis=0) if bug == LAYER_BUGS[2] else dZ.sum(axis=0),
    }


LIKELIHOOD_BUGS = (
    "determinant forgotten",
    "inverse of one side only",
    "half of the determinant's slope forgotten",
)


def make_likelihood(rng, variant):
    n, m = ((4, 9), (3, 12))[variant]
    B = rng.normal(size=(n, n))
    params = {"S": B @ B.T / n + np.eye(n), "mean": rng.normal(size=n)}
    return params, {"X": rng.normal(size=(m, n)) * 1.3, "m": m}


def likelihood_cost(xp, p, data):
    """Return the negative log-likelihood of a normal distribution; S is made symmetric first."""
    S, R = (p["S"] + p["S"].T) / 2, data["X"] - p["mean"]
    quadratic = xp.sum(R * xp.linalg.solve(S, R.T).T) / data["m"]
    return (xp.linalg.slogdet(S)[1] + quadratic) / 2


def likelihood_backward(p, data, bug):
    S, R = (p["S"] + p["S"].T) / 2, data["X"] - p["mean"]
    inverse = np.linalg.inv(S)
    scatter = R.T @ R / data["m"]
    around = scatter @ inverse if bug == LIKELIHOOD_BUGS[1] else inverse @ scatter @ inverse
    share = {LIKELIHOOD_BUGS[0]: 0.0, LIKELIHOOD_BUGS[2]: 0.5}.get(bug, 1.0)
    dS = (share * inverse - around) / 2
    return {"S": (dS + dS.T) / 2, "mean": -(R @ inverse).mean(axis=0)}


FAMILIES = (
    Family(
        name="highway",
        make=make_highway,
        cost=highway_cost,
        backward=highway_backward,
        bugs=HIGHWAY_BUGS,
        weights=("Wh", "Wt", "Wo"),
        kind=NO_CHAIN,
    ),
    Family(
        name="one layer",
        make=make_layer,
        cost=layer_cost,
        backward=layer_backward,
        bugs=LAYER_BUGS,
        weights=("W",),
        averaged=False,
        kind=NO_CHAIN,
    ),
    Family(
        name="normal likelihood",
        make=make_likelihood,
        cost=likelihood_cost,
        backward=likelihood_backward,
        bugs=LIKELIHOOD_BUGS,
        weights=("S",),
        kind=NO_CHAIN,
    ),
)
