"""A convolutional network in one dimension: convolution, pooling, convolution, a linear layer."""

import numpy as np

from .elementwise import ACTIVATIONS, coarse, step
from .family import Family

BUGS = (
    "activation's derivative is another",
    "pooling hands its gradient to all",
    "kernel flipped on the way back",
    "bias of the first position only",
    "gradient of the kernel flipped",
)


def make(rng, variant):
    activation, pool, m = (("tanh", "max", 4), ("relu", "mean", 6))[variant]
    params = {
        "K1": rng.normal(size=(3, 2, 3)) * 0.6,
        "b1": rng.normal(size=3) * 0.3,
        "K2": rng.normal(size=(3, 3, 2)) * 0.6,
        "b2": rng.normal(size=3) * 0.3,
        "W3": rng.normal(size=(6, 2)) * 0.6,
        "b3": rng.normal(size=2) * 0.3,
    }
    data = {"X": rng.normal(size=(m, 2, 8)), "Y": rng.normal(size=(m, 2)), "m": m, "tie": 0.0}
    return params, data | {"activation": activation, "pool": pool}


def convolve(xp, A, K, b):
    """Map (example, channel, position) to (example, filter, position)."""
    width = K.shape[2]
    length = A.shape[2] - width + 1
    shifted = [xp.einsum("nct,fc->nft", A[:, :, k : k + length], K[:, :, k]) for k in range(width)]
    return sum(shifted[1:], shifted[0]) + xp.reshape(b, (1, -1, 1))


def shares(A, data):
    """Return the share of the first of two neighbours in the pooling; the second has the rest."""
    if data["pool"] == "mean":
        return 0.5
    return step(A[:, :, ::2] - A[:, :, 1::2], data["tie"])


def forward(xp, p, data):
    value, tie = ACTIVATIONS[data["activation"]].value, data["tie"]
    Z1 = convolve(xp, data["X"], p["K1"], p["b1"])
    A1 = value(xp, Z1, tie)
    share = shares(A1, data)
    pooled = A1[:, :, ::2] * share + A1[:, :, 1::2] * (1 - share)
    Z2 = convolve(xp, pooled, p["K2"], p["b2"])
    flat = xp.reshape(value(xp, Z2, tie), (data["m"], -1))
    return Z1, A1, pooled, Z2, flat, flat @ p["W3"] + p["b3"]


def cost(xp, p, data):
    return xp.sum((forward(xp, p, data)[-1] - data["Y"]) ** 2) / (2 * data["m"])


def backward(p, data, bug):
    Z1, A1, pooled, Z2, flat, out = forward(np, p, data)
    activation = ACTIVATIONS[data["activation"]]
    dout = (out - data["Y"]) / data["m"]
    grads = {"W3": flat.T @ dout, "b3": dout.sum(axis=0)}
    dZ2 = (dout @ p["W3"].T).reshape(Z2.shape) * activation.slope(Z2, data["tie"])
    grads["K2"], grads["b2"], dpooled = convolve_back(dZ2, pooled, p["K2"], bug)
    share, dA1 = shares(A1, data), np.empty_like(A1)
    dA1[:, :, ::2] = dpooled * (1 if bug == BUGS[1] else share)
    dA1[:, :, 1::2] = dpooled * (1 if bug == BUGS[1] else 1 - share)
    dZ1 = dA1 * (activation.wrong(Z1) if bug == BUGS[0] else activation.slope(Z1, data["tie"]))
    grads["K1"], grads["b1"], _ = convolve_back(dZ1, data["X"], p["K1"], bug)
    return grads


def convolve_back(dZ, A, K, bug):
    """Return the gradients of the kernel, the bias and the input of the convolution."""
    length, dK, dA = dZ.shape[2], np.empty_like(K), np.zeros_like(A)
    back = K[:, :, ::-1] if bug == BUGS[2] else K
    for k in range(K.shape[2]):
        dK[:, :, k] = np.einsum("nft,nct->fc", dZ, A[:, :, k : k + length])
        dA[:, :, k : k + length] += np.einsum("nft,fc->nct", dZ, back[:, :, k])
    db = dZ[:, :, 0].sum(axis=0) if bug == BUGS[3] else dZ.sum(axis=(0, 2))
    return (dK[:, :, ::-1] if bug == BUGS[4] else dK), db, dA


def plant(params, data, distance):
    """Plant a tie between two neighbours in max pooling, or a rectifier at zero."""
    X, K = data["X"], params["K1"]
    X[0], K[1] = coarse(X[0]), coarse(K[1])
    if data["pool"] == "mean":
        params["b1"][1] = distance - np.sum(X[0, :, :3] * K[1])
        return
    # Only the second of the two windows, at positions 2 to 4 and 3 to 5, reaches position 5, and
    # dividing by a power of two is exact.
    K[1, 0, 2] = 0.5
    X[0, 0, 5] += (np.sum(X[0, :, 2:5] * K[1]) - np.sum(X[0, :, 3:6] * K[1]) - distance) / 0.5


def prune(params, data, rng):
    """Let a filter of each layer be zero."""
    data["activation"] = "relu"
    for k in (1, 2):
        unit = rng.integers(params[f"b{k}"].size)
        params[f"K{k}"][unit], params[f"b{k}"][unit] = 0, 0


FAMILIES = (
    Family(
        name="convolution",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("K1", "K2", "W3"),
        biases=("b1", "b2", "b3"),
        columns="X",
        plant=plant,
        prune=prune,
    ),
)
