"""The negative log marginal likelihood of a Gaussian process, over hyperparameters and inputs."""

import numpy as np

from .family import Family

BUGS = (
    "logarithm forgotten in the lengths",
    "trace term forgotten",
    "only one of each pair moves an input",
    "square of the length forgotten",
)


def make(rng, variant):
    n, d = ((6, 2), (12, 1))[variant]
    inputs = rng.normal(size=(n, d)) * (1.5, 3.0)[variant]
    params = {
        "inputs": inputs,
        "log_length": rng.normal(size=d) * 0.3,
        "log_signal": rng.normal(size=1) * 0.3,
        "log_noise": rng.normal(size=1) * 0.2 - 1,
    }
    return params, {"y": np.sin(inputs.sum(axis=1)) + 0.3 * rng.normal(size=n), "m": 1}


def kernel(xp, p):
    """Return the differences of the inputs, in length scales, and the covariance without noise."""
    scaled = p["inputs"] / xp.exp(p["log_length"])
    gaps = scaled[:, None, :] - scaled[None, :, :]
    return gaps, xp.exp(2 * p["log_signal"]) * xp.exp(-0.5 * xp.sum(gaps**2, axis=2))


def covariance(xp, p):
    gaps, signal = kernel(xp, p)
    one = np.eye(len(signal), dtype=signal.dtype)
    noise = xp.exp(2 * p["log_noise"]) * one
    # The noise has a floor: the likelihood may prefer none, and then no digits are left.
    return gaps, signal, signal + noise + 0.01 * one, noise


def cost(xp, p, data):
    y, (_, _, K, _) = data["y"], covariance(xp, p)
    fit = xp.sum(y * xp.linalg.solve(K, y)) / 2
    return fit + xp.linalg.slogdet(K)[1] / 2 + len(y) / 2 * float(np.log(2 * np.pi))


def backward(p, data, bug):
    gaps, signal, K, noise = covariance(np, p)
    alpha = np.linalg.solve(K, data["y"])
    trace = 0.0 if bug == BUGS[1] else np.linalg.inv(K)
    dK = (trace - np.outer(alpha, alpha)) / 2
    shared = dK * signal
    length = np.exp(p["log_length"])
    dlength = np.einsum("ij,ijd->d", shared, gaps**2)
    sides = 1 if bug == BUGS[2] else 2
    power = 0 if bug == BUGS[3] else 1
    return {
        "inputs": -sides * np.einsum("ij,ijd->id", shared, gaps) / length**power,
        "log_length": dlength / length if bug == BUGS[0] else dlength,
        "log_signal": np.array([2 * shared.sum()]),
        "log_noise": np.array([2 * (dK * noise).sum()]),
    }


FAMILIES = (
    Family(
        name="gaussian process",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("inputs", "log_length"),
        averaged=False,
    ),
)
