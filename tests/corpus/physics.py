"""Energies of particles: on springs and in a trap, and a Lennard-Jones cluster."""

import numpy as np

from .family import Family

SPRING_BUGS = (
    "third law forgotten",
    "direction not normalised",
    "rest lengths forgotten in the force",
    "logarithm forgotten in the stiffness",
)
CLUSTER_BUGS = (
    "third law forgotten",
    "repulsion's exponent halved",
    "distance not squared",
    "attraction forgotten",
)


def incidence(pairs, n):
    """Return a matrix in which each row subtracts one particle's position from another's."""
    ends = np.zeros((len(pairs), n))
    for row, (i, j) in enumerate(pairs):
        ends[row, i], ends[row, j] = 1, -1
    return ends


def make_springs(rng, variant):
    n, d = ((6, 2), (5, 3))[variant]
    pairs = [(i, j) for i in range(n) for j in range(i) if i - j <= 2]
    params = {
        "positions": rng.normal(size=(n, d)) * 1.5,
        "log_stiffness": rng.normal(size=len(pairs)) * 0.5,
        "rest": rng.uniform(0.5, 2, size=len(pairs)),
    }
    return params, {"ends": incidence(pairs, n), "trap": rng.uniform(0.2, 1, size=(n, 1)), "m": 1}


def stretched(xp, p, data):
    """Return the vectors along the springs and their lengths."""
    along = data["ends"] @ p["positions"]
    return along, xp.sqrt(xp.sum(along**2, axis=1))


def spring_cost(xp, p, data):
    _, length = stretched(xp, p, data)
    elastic = xp.sum(xp.exp(p["log_stiffness"]) * (length - p["rest"]) ** 2) / 2
    return elastic + xp.sum(data["trap"] * p["positions"] ** 2) / 2


def spring_backward(p, data, bug):
    along, length = stretched(np, p, data)
    stiffness, stretch = np.exp(p["log_stiffness"]), length - p["rest"]
    tension = stiffness * (length if bug == SPRING_BUGS[2] else stretch)
    direction = along if bug == SPRING_BUGS[1] else along / length[:, None]
    force = forces(data["ends"], tension[:, None] * direction, bug)
    stored = stretch**2 / 2
    return {
        "positions": force + data["trap"] * p["positions"],
        "log_stiffness": stored if bug == SPRING_BUGS[3] else stored * stiffness,
        "rest": -stiffness * stretch,
    }


def forces(ends, pulls, bug):
    """Return the forces of all pairs on both of their particles."""
    return (np.maximum(ends, 0) if bug == SPRING_BUGS[0] else ends).T @ pulls


def make_cluster(rng, variant):
    n, d, apart = ((6, 3, 1.3), (8, 2, 1.4))[variant]
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    params = {
        "positions": apart * grid[:n] + rng.uniform(-0.1, 0.1, size=(n, d)),
        "log_size": rng.normal(size=1) * 0.05,
    }
    return params, {"ends": incidence(pairs, n), "m": 1}


def powers(xp, p, data):
    """Return the vectors between the particles, squared distances, and (σ/r)⁶."""
    along = data["ends"] @ p["positions"]
    squared = xp.sum(along**2, axis=1)
    return along, squared, xp.exp(6 * p["log_size"]) / squared**3


def cluster_cost(xp, p, data):
    _, _, sixth = powers(xp, p, data)
    return xp.sum(4 * (sixth**2 - sixth))


def cluster_backward(p, data, bug):
    along, squared, sixth = powers(np, p, data)
    attraction = 0.0 if bug == CLUSTER_BUGS[3] else sixth
    # This is the derivative with respect to log r, without its sign.
    virial = 4 * ((6 if bug == CLUSTER_BUGS[1] else 12) * sixth**2 - 6 * attraction)
    over = np.sqrt(squared) if bug == CLUSTER_BUGS[2] else squared
    return {
        "positions": forces(data["ends"], -(virial / over)[:, None] * along, bug),
        "log_size": np.array([virial.sum()]),
    }


FAMILIES = (
    Family(
        name="springs",
        make=make_springs,
        cost=spring_cost,
        backward=spring_backward,
        bugs=SPRING_BUGS,
        weights=("positions", "log_stiffness"),
        averaged=False,
    ),
    Family(
        name="lennard-jones cluster",
        make=make_cluster,
        cost=cluster_cost,
        backward=cluster_backward,
        bugs=CLUSTER_BUGS,
        weights=("positions",),
        averaged=False,
    ),
)
