"""Factorisation of a partly known matrix, with its own regularisation."""

from .family import Family

BUGS = (
    "unknown entries counted",
    "own regularisation forgotten",
    "own regularisation doubled",
    "offsets of the rows forgotten in the residual",
)


def make(rng, variant):
    rows, columns, rank = ((5, 5, 2), (7, 4, 3))[variant]
    params = {
        "U": rng.normal(size=(rows, rank)),
        "V": rng.normal(size=(columns, rank)),
        "bu": rng.normal(size=rows) * 0.5,
        "bv": rng.normal(size=columns) * 0.5,
    }
    known = (rng.random((rows, columns)) < 0.7).astype(float)
    data = {"R": rng.normal(size=(rows, columns)), "known": known}
    return params, data | {"m": int(known.sum()), "strength": 0.05 if variant else 0.2}


def residual(p, data):
    return p["U"] @ p["V"].T + p["bu"].reshape(-1, 1) + p["bv"] - data["R"]


def cost(xp, p, data):
    fit = xp.sum(data["known"] * residual(p, data) ** 2) / (2 * data["m"])
    return fit + data["strength"] / 2 * (xp.sum(p["U"] ** 2) + xp.sum(p["V"] ** 2))


def backward(p, data, bug):
    E = residual(p, data)
    if bug == BUGS[3]:
        E = E - p["bu"].reshape(-1, 1)
    E = E / data["m"] if bug == BUGS[0] else data["known"] * E / data["m"]
    strength = data["strength"] * {BUGS[1]: 0.0, BUGS[2]: 2.0}.get(bug, 1.0)
    return {
        "U": E @ p["V"] + strength * p["U"],
        "V": E.T @ p["U"] + strength * p["V"],
        "bu": E.sum(axis=1),
        "bv": E.sum(axis=0),
    }


FAMILIES = (
    Family(
        name="factorisation",
        make=make,
        cost=cost,
        backward=backward,
        bugs=BUGS,
        weights=("U", "V"),
        biases=("bu", "bv"),
    ),
)
