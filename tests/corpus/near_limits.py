"""Losses of probabilities that are nearly 0 or 1, computed as people write them down."""

from functools import partial

import numpy as np

from .elementwise import sigmoid, sigmoid_slope, softmax
from .family import NEAR_LIMITS, Family

FOCAL_BUGS = ("path through the weight forgotten", "exponent not lowered", "sign of the class")


def make_confident(rng, margin):
    """Return a linear model, and classes that it is sure of: by the logits that `margin` draws."""
    features, m = 3, 12
    params = {"w": rng.normal(size=features), "b": rng.normal(size=1)}
    X = rng.normal(size=(m, features))
    signs = rng.choice([-1.0, 1.0], size=m)
    # Each example is moved along w, to where its logit is the one that was drawn.
    wanted = signs * margin(rng, m)
    away = (wanted - X @ params["w"] - params["b"]) / (params["w"] @ params["w"])
    return params, {"X": X + away[:, None] * params["w"], "signs": signs, "m": m}


def make_focal(rng, variant):
    low, high = ((3, 9), (7, 14))[variant]
    params, data = make_confident(rng, lambda rng, m: rng.uniform(low, high, size=m))
    return params, data | {"exponent": (2.0, 3.0)[variant]}


def logits(p, data):
    return data["X"] @ p["w"] + p["b"]


def focal_cost(xp, p, data):
    """Return the focal loss, from probabilities."""
    right = 1 / (1 + xp.exp(-data["signs"] * logits(p, data)))
    return -xp.sum((1 - right) ** data["exponent"] * xp.log(right)) / data["m"]


def exact_focal_cost(xp, p, data):
    """Return the same from logits, with all digits."""
    z = data["signs"] * logits(p, data)
    return xp.sum(sigmoid(xp, -z) ** data["exponent"] * xp.logaddexp(0.0, -z)) / data["m"]


def focal_backward(p, data, bug):
    z, power = data["signs"] * logits(p, data), data["exponent"]
    wrong, loss = sigmoid(np, -z), np.logaddexp(0.0, -z)
    lowered = wrong ** (power if bug == FOCAL_BUGS[1] else power - 1)
    weight = -power * lowered * sigmoid_slope(z) * loss
    weight = weight * (0.0 if bug == FOCAL_BUGS[0] else 1.0)
    signs = 1.0 if bug == FOCAL_BUGS[2] else data["signs"]
    dz = signs * (weight - wrong**power * wrong) / data["m"]
    return {"w": data["X"].T @ dz, "b": np.array([dz.sum()])}


CLIP_BUGS = ("clipping forgotten", "sign of the class", "clipped at the other side only")


def make_clipped(rng, variant):
    params, data = make_confident(
        rng, lambda rng, m: rng.choice([-1.0, 1.0], p=[0.3, 0.7], size=m) * rng.uniform(3, 25, m)
    )
    return params, data | {"least": (1e-7, 1e-5)[variant]}


def clipped_cost(xp, p, data):
    """Return the cross-entropy of probabilities that are clipped, as in Keras."""
    q = xp.clip(1 / (1 + xp.exp(-logits(p, data))), data["least"], 1 - data["least"])
    y = (data["signs"] + 1) / 2
    return -xp.sum(y * xp.log(q) + (1 - y) * xp.log(1 - q)) / data["m"]


def exact_clipped_cost(xp, p, data):
    """Return the same from logits that are clipped there, with all digits."""
    most = np.log1p(-data["least"]) - np.log(data["least"])
    z = data["signs"] * xp.clip(logits(p, data), -most, most)
    return xp.sum(xp.logaddexp(0.0, -z)) / data["m"]


def clipped_backward(p, data, bug):
    z = logits(p, data)
    most = np.log1p(-data["least"]) - np.log(data["least"])
    passed = (z < most) if bug == CLIP_BUGS[2] else np.abs(z) < most
    signs = 1.0 if bug == CLIP_BUGS[1] else data["signs"]
    dz = -signs * sigmoid(np, -data["signs"] * z) / data["m"]
    dz = dz * (1.0 if bug == CLIP_BUGS[0] else passed)
    return {"w": data["X"].T @ dz, "b": np.array([dz.sum()])}


SOFTMAX_BUGS = ("softmax backwards by its diagonal alone", "mean forgotten", "epsilon taken for 1")


def make_log_softmax(rng, variant):
    features, classes, m, size = ((3, 4, 8, 3.0), (4, 3, 9, 8.0))[variant]
    params = {"W": rng.normal(size=(features, classes)) * size, "b": rng.normal(size=classes)}
    labels = np.eye(classes)[rng.integers(classes, size=m)]
    data = {"X": rng.normal(size=(m, features)), "Y": labels, "m": m}
    return params, data | {"epsilon": (1e-8, 1e-12)[variant]}


def log_softmax_cost(xp, p, data):
    P = softmax(xp, data["X"] @ p["W"] + p["b"])
    return -xp.sum(data["Y"] * xp.log(P + data["epsilon"])) / data["m"]


def log_softmax_backward(p, data, bug):
    P = softmax(np, data["X"] @ p["W"] + p["b"])
    epsilon = 1.0 if bug == SOFTMAX_BUGS[2] else data["epsilon"]
    dP = -data["Y"] / (P + epsilon) / (1.0 if bug == SOFTMAX_BUGS[1] else data["m"])
    around = 0.0 if bug == SOFTMAX_BUGS[0] else (dP * P).sum(axis=1, keepdims=True)
    dZ = P * (dP - around)
    return {"W": data["X"].T @ dZ, "b": dZ.sum(axis=0)}


family = partial(Family, kind=NEAR_LIMITS, ordinary=False)

FAMILIES = (
    family("focal loss", make_focal, focal_cost, focal_backward, FOCAL_BUGS,
           weights=("w",), exact=exact_focal_cost),
    family("clipped probabilities", make_clipped, clipped_cost, clipped_backward, CLIP_BUGS,
           weights=("w",), exact=exact_clipped_cost),
    family("log of softmax", make_log_softmax, log_softmax_cost, log_softmax_backward,
           SOFTMAX_BUGS, weights=("W",)),
)  # fmt: skip
