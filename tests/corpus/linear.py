"""Linear models: Poisson regression, support vectors, lasso and quantile regression."""

from functools import partial

import numpy as np

from .elementwise import LOSSES, coarse, step, targets
from .family import Family

BUGS = (
    "loss's derivative is another",
    "penalty forgotten",
    "penalty of the bias as well",
    "exposure forgotten",
    "slope of the other penalty",
)


def make(loss, penalty, rng, variant):
    features, outputs, m = ((5, 3, 12), (8, 2, 9))[variant]
    params = {"W": rng.normal(size=(features, outputs)) * 0.5, "b": rng.normal(size=outputs) * 0.3}
    X = rng.normal(size=(m, features))
    data = {"X": X, "m": m, "tie": 0.0, "loss": loss, "penalty": penalty, "strength": 0.1}
    # The exposure is known in advance; it is added to every output of an example.
    data["exposure"] = rng.normal(size=(m, 1)) * 0.5 if variant else np.zeros((m, 1))
    data["Y"] = targets(rng, loss, X @ params["W"] + params["b"])
    return params, data


def cost(xp, p, data):
    out = data["X"] @ p["W"] + p["b"] + data["exposure"]
    fit = LOSSES[data["loss"]].value(xp, out, data["Y"], data["tie"]) / data["m"]
    if data["penalty"] == "l1":
        return fit + data["strength"] * xp.sum(p["W"] * sign(p["W"], data["tie"]))
    return fit + data["strength"] / 2 * xp.sum(p["W"] ** 2)


def sign(W, tie):
    return 2 * step(W, tie) - 1


def backward(p, data, bug):
    X, Y, tie, loss = data["X"], data["Y"], data["tie"], LOSSES[data["loss"]]
    out = X @ p["W"] + p["b"]
    if bug != BUGS[3]:
        out = out + data["exposure"]
    dout = (loss.wrong(out, Y) if bug == BUGS[0] else loss.slope(out, Y, tie)) / data["m"]
    absolute = (data["penalty"] == "l1") != (bug == BUGS[4])
    strength = 0.0 if bug == BUGS[1] else data["strength"]
    return {
        "W": X.T @ dout + strength * (sign(p["W"], tie) if absolute else p["W"]),
        "b": dout.sum(axis=0) + (strength * p["b"] if bug == BUGS[2] else 0.0),
    }


def plant_in_loss(params, data, distance):
    """Put one output at its target: there the residual is zero, and 1 − y · out for y = ±1."""
    data["X"][0], params["W"][:, 0] = coarse(data["X"][0]), coarse(params["W"][:, 0])
    data["Y"][0, 0], data["exposure"][0] = coarse(data["Y"][0, 0]), 0.0
    params["b"][0] = data["Y"][0, 0] - data["X"][0] @ params["W"][:, 0] + distance


def plant_in_penalty(params, data, distance):
    """Put three weights at their kinks: each kink is on the line of its own entry alone."""
    params["W"].flat[:3] = distance


def linear(name, loss, penalty, **more):
    return Family(
        name=name,
        make=partial(make, loss, penalty),
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W",),
        biases=("b",),
        columns="X",
        **more,
    )


FAMILIES = (
    linear("poisson regression", "poisson", "l2"),
    linear("support vectors", "hinge", "l2", plant=plant_in_loss),
    linear("quantile regression", "pinball", "l2", plant=plant_in_loss),
    linear("lasso", "square", "l1", plant=plant_in_penalty),
)
