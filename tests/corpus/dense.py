"""Dense networks, three layers deep, with all the usual activations and losses."""

from functools import partial
from itertools import pairwise

import numpy as np

from .elementwise import ACTIVATIONS, LOSSES, coarse, targets
from .family import Family

BUGS = (
    "activation's derivative is another",
    "activation's derivative of the wrong layer",
    "activation's derivative forgotten",
    "loss's derivative is another",
    "W2 not transposed on the way back",
    "biases averaged instead of summed",
)


def make(kinds, rng, variant):
    """Return parameters and data; `kinds` has an activation and a loss for each variant."""
    activation, loss = kinds[variant]
    features, hidden, outputs, m = ((4, 5, 2, 12), (3, 6, 3, 7))[variant]
    sizes = (features, hidden, hidden, outputs)
    params = {}
    for layer, (n, k) in enumerate(pairwise(sizes), start=1):
        params[f"W{layer}"] = rng.normal(size=(n, k)) / np.sqrt(n / 2)
        params[f"b{layer}"] = rng.normal(size=k) * 0.3
    data = {"X": rng.normal(size=(m, features)), "m": m, "tie": 0.0}
    data |= {"activation": activation, "loss": loss}
    data["Y"] = targets(rng, loss, forward(np, params, data)[0][-1])
    return params, data


def forward(xp, p, data):
    """Return the pre-activations of all layers, and the activations, starting with the data."""
    activation = ACTIVATIONS[data["activation"]]
    Zs, As = [], [data["X"]]
    for layer in range(1, len(p) // 2 + 1):
        Zs.append(As[-1] @ p[f"W{layer}"] + p[f"b{layer}"])
        As.append(activation.value(xp, Zs[-1], data["tie"]))
    return Zs, As


def cost(xp, p, data):
    Zs, _ = forward(xp, p, data)
    return LOSSES[data["loss"]].value(xp, Zs[-1], data["Y"], data["tie"]) / data["m"]


def backward(p, data, bug):
    Zs, As = forward(np, p, data)
    loss, out, Y = LOSSES[data["loss"]], Zs[-1], data["Y"]
    dZ = loss.wrong(out, Y) if bug == BUGS[3] else loss.slope(out, Y, data["tie"])
    dZ = dZ / data["m"]
    grads = {}
    for layer in range(len(Zs), 0, -1):
        grads[f"W{layer}"] = As[layer - 1].T @ dZ
        grads[f"b{layer}"] = dZ.mean(axis=0) if bug == BUGS[5] else dZ.sum(axis=0)
        if layer > 1:
            W = p[f"W{layer}"]
            dA = dZ @ (W if bug == BUGS[4] and layer == 2 else W.T)
            dZ = dA * slope(Zs, layer - 2, data, bug)
    return grads


def slope(Zs, layer, data, bug):
    """Return the derivative of the activation of a hidden layer, counted from 0."""
    activation = ACTIVATIONS[data["activation"]]
    if bug == BUGS[0]:
        return activation.wrong(Zs[layer])
    if bug == BUGS[1]:
        return activation.slope(Zs[1 - layer], data["tie"])
    return 1.0 if bug == BUGS[2] else activation.slope(Zs[layer], data["tie"])


def plant(params, data, distance):
    """Put the second unit's pre-activation in the first example at this distance from zero."""
    x, w = coarse(data["X"][0]), coarse(params["W1"][:, 1])
    data["X"][0], params["W1"][:, 1] = x, w
    params["b1"][1] = distance - x @ w


def prune(params, data, rng):
    """Let a unit of each hidden layer be zero, or an example together with the first biases."""
    if rng.integers(2):
        data["X"][0], params["b1"][:] = 0, 0
    else:
        params["W1"][:, 1], params["b1"][1] = 0, 0
    params["W2"][:, 2], params["b2"][2] = 0, 0


def dense(name, *kinds, **more):
    """Return a family of dense networks."""
    return Family(
        name=name,
        make=partial(make, kinds),
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W1", "W2", "W3"),
        biases=("b1", "b2", "b3"),
        columns="X",
        **more,
    )


FAMILIES = (
    dense("dense tanh square", ("tanh", "square"), ("tanh", "softmax"), saturates=("b1",)),
    dense("dense relu softmax", ("relu", "softmax"), ("relu", "square"), plant=plant,
          prune=prune),
    dense("dense sigmoid logistic", ("sigmoid", "logistic"), ("sigmoid", "square"),
          saturates=("b1",)),
    dense("dense softplus huber", ("softplus", "huber"), ("gelu", "logcosh")),
)  # fmt: skip
