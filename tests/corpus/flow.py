"""A normalising flow: a linear map, then an affine coupling; the density with its determinants."""

import numpy as np

from .elementwise import tanh_slope
from .family import Family

BUGS = (
    "log-determinant of the linear map forgotten",
    "inverse not transposed",
    "log-determinant of the coupling forgotten",
    "scale's path to the density forgotten",
    "1 − s instead of 1 − s²",
)


def make(rng, variant):
    half, m = ((2, 10), (3, 14))[variant]
    params = {
        "A": np.eye(2 * half) + rng.normal(size=(2 * half, 2 * half)) * 0.3,
        "W": rng.normal(size=(half, half)) * 0.7,
        "b": rng.normal(size=half) * 0.3,
        "V": rng.normal(size=(half, half)) * 0.7,
        "c": rng.normal(size=half) * 0.3,
    }
    return params, {"X": rng.normal(size=(m, 2 * half)) * 0.8, "m": m}


def forward(xp, p, data):
    Z, half = data["X"] @ p["A"], p["b"].shape[0]
    first, second = Z[:, :half], Z[:, half:]
    inner = first @ p["W"] + p["b"]
    scale = xp.tanh(inner)
    return first, second, inner, scale, second * xp.exp(scale) + first @ p["V"] + p["c"]


def cost(xp, p, data):
    first, _, _, scale, moved = forward(xp, p, data)
    density = (xp.sum(first**2) + xp.sum(moved**2)) / 2 - xp.sum(scale)
    return density / data["m"] - xp.linalg.slogdet(p["A"])[1]


def backward(p, data, bug):
    first, second, inner, scale, moved = forward(np, p, data)
    m = data["m"]
    dmoved, dscale = moved / m, 0.0 if bug == BUGS[2] else -1 / m
    if bug != BUGS[3]:
        dscale = dscale + dmoved * second * np.exp(scale)
    dinner = dscale * (1 - scale if bug == BUGS[4] else tanh_slope(inner))
    dfirst = first / m + dinner @ p["W"].T + dmoved @ p["V"].T
    dA = data["X"].T @ np.hstack([dfirst, dmoved * np.exp(scale)])
    inverse = np.linalg.inv(p["A"])
    if bug != BUGS[0]:
        dA = dA - (inverse if bug == BUGS[1] else inverse.T)
    grads = {"A": dA, "W": first.T @ dinner, "b": dinner.sum(axis=0)}
    return grads | {"V": first.T @ dmoved, "c": dmoved.sum(axis=0)}


FAMILIES = (
    Family(
        name="flow",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("W", "V"),
        biases=("b", "c"),
        saturates=("b",),
        columns="X",
    ),
)
