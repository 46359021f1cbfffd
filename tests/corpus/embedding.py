"""Words as rows of a table, their mean, and a softmax: most rows have no gradient at all."""

import numpy as np

from .elementwise import LOSSES, targets
from .family import Family

BUGS = (
    "repeated words overwritten instead of added",
    "mean over the words forgotten",
    "gradient in the wrong rows",
)


def make(rng, variant):
    words, width, length, m = ((15, 3, 4, 3), (12, 4, 5, 2))[variant]
    params = {
        "E": rng.normal(size=(words, width)),
        "W": rng.normal(size=(width, 3)),
        "b": rng.normal(size=3) * 0.3,
    }
    # Only the first two thirds of the words occur, some of them more than once.
    words_seen = rng.integers(words * 2 // 3, size=(m, length))
    words_seen[:, 1] = words_seen[:, 0]
    return params, {"words": words_seen, "Y": targets(rng, "softmax", np.zeros((m, 3))), "m": m}


def forward(xp, p, data):
    A = xp.mean(p["E"][data["words"]], axis=1)
    return A, A @ p["W"] + p["b"]


def cost(xp, p, data):
    return LOSSES["softmax"].value(xp, forward(xp, p, data)[1], data["Y"], 0.0) / data["m"]


def backward(p, data, bug):
    A, out = forward(np, p, data)
    dout = LOSSES["softmax"].slope(out, data["Y"], 0.0) / data["m"]
    words = data["words"]
    dA = dout @ p["W"].T / (1 if bug == BUGS[1] else words.shape[1])
    spread = np.broadcast_to(dA[:, None, :], (*words.shape, dA.shape[1]))
    dE = np.zeros_like(p["E"])
    if bug == BUGS[0]:
        dE[words] = spread
    else:
        np.add.at(dE, words + (bug == BUGS[2]), spread)
    return {"E": dE, "W": A.T @ dout, "b": dout.sum(axis=0)}


FAMILIES = (
    Family(
        name="embedding",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("E", "W"),
        biases=("b",),
    ),
)
