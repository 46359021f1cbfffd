"""The negative log likelihood of a mixture of Gaussians with diagonal covariances."""

import numpy as np

from .elementwise import log_sum_exp, softmax
from .family import Family

BUGS = (
    "responsibilities forgotten",
    "prior of the softmax forgotten",
    "determinant forgotten",
    "scale not squared in the means",
)


def make(rng, variant):
    parts, d, m = ((3, 2, 12), (2, 4, 9))[variant]
    params = {
        "means": rng.normal(size=(parts, d)) * 1.5,
        "log_scales": rng.normal(size=(parts, d)) * 0.3,
        "logits": rng.normal(size=parts) * 0.5,
    }
    return params, {"X": rng.normal(size=(m, d)) * 1.5, "m": m}


def joint(xp, p, data):
    """Return standardised residuals and joint log densities for each example and component."""
    R = (data["X"][:, None, :] - p["means"]) / xp.exp(p["log_scales"])
    prior = p["logits"] - log_sum_exp(xp, p["logits"])
    inside = xp.sum(R**2, axis=2) / 2 + xp.sum(p["log_scales"], axis=1)
    return R, prior - inside - data["X"].shape[1] / 2 * float(np.log(2 * np.pi))


def cost(xp, p, data):
    return -xp.sum(log_sum_exp(xp, joint(xp, p, data)[1])) / data["m"]


def backward(p, data, bug):
    R, density = joint(np, p, data)
    shares = softmax(np, density) / data["m"]
    if bug == BUGS[0]:
        shares = np.full_like(shares, 1 / shares.size)
    prior = 0.0 if bug == BUGS[1] else softmax(np, p["logits"])
    scale, determinant = np.exp(p["log_scales"]), 0.0 if bug == BUGS[2] else 1.0
    return {
        "means": -np.einsum("np,npd->pd", shares, R) / (1.0 if bug == BUGS[3] else scale),
        "log_scales": np.einsum("np,npd->pd", shares, determinant - R**2),
        "logits": prior - shares.sum(axis=0),
    }


FAMILIES = (
    Family(
        name="mixture",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("means",),
    ),
)
