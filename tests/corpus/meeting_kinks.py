"""Points at which several kinks meet: zeros, ties and grids, as people start from them.

The handwritten gradients take a derivative that is usual there: relu'(0) = 0, the first of equal
numbers in a maximum, the cell that `floor` finds, sign(0) = 0.
"""

from functools import partial

import numpy as np

from .elementwise import coarse, relu, sigmoid, step
from .family import KINKS_MEET, Family

# XOR with zero biases, or with the textbook's solution; and a sequence that is padded with zeros.

NETWORK_BUGS = (
    "rectifier's derivative forgotten",
    "W2 not transposed on the way back",
    "biases averaged instead of summed",
)


def make_xor(rng, variant):
    hidden = (4, 3)[variant]
    params = {"W1": rng.normal(size=(2, hidden)), "b1": np.zeros(hidden)}
    if variant:
        params["W1"][:, :2], params["b1"][:2] = 1.0, (0.0, -1.0)
        params["b1"][2] = 0.3
    params |= {"W2": rng.normal(size=(hidden, hidden)), "b2": rng.normal(size=hidden) * 0.1}
    params["w3"] = rng.normal(size=hidden)
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return params, {"X": X, "y": np.array([0.0, 1.0, 1.0, 0.0]), "m": 4, "tie": 0.0}


def two_layers(xp, p, data):
    Z1 = data["X"] @ p["W1"] + p["b1"]
    A1 = relu(Z1, data["tie"])
    Z2 = A1 @ p["W2"] + p["b2"]
    return Z1, A1, Z2, xp.tanh(Z2) @ p["w3"]


def xor_cost(xp, p, data):
    out = two_layers(xp, p, data)[-1]
    return xp.sum(xp.logaddexp(0.0, out) - data["y"] * out) / data["m"]


def xor_backward(p, data, bug):
    Z1, A1, Z2, out = two_layers(np, p, data)
    dout = (sigmoid(np, out) - data["y"]) / data["m"]
    dZ2 = dout[:, None] * p["w3"] * (1 - np.tanh(Z2) ** 2)
    back = p["W2"] if bug == NETWORK_BUGS[1] else p["W2"].T
    dZ1 = dZ2 @ back * (1.0 if bug == NETWORK_BUGS[0] else step(Z1, data["tie"]))
    return {
        "W1": data["X"].T @ dZ1,
        "b1": dZ1.mean(axis=0) if bug == NETWORK_BUGS[2] else dZ1.sum(axis=0),
        "W2": A1.T @ dZ2,
        "b2": dZ2.sum(axis=0),
        "w3": np.tanh(Z2).T @ dout,
    }


PADDED_BUGS = (
    "rectifier's derivative forgotten",
    "row written instead of added",
    "mean over the length forgotten",
)


def make_padded(rng, variant):
    words, width, hidden, m, length = ((6, 3, 4, 5, 4), (5, 4, 3, 6, 3))[variant]
    table = rng.normal(size=(words, width))
    table[0] = 0
    params = {"E": table, "W": rng.normal(size=(width, hidden)), "b": np.zeros(hidden)}
    params["V"] = rng.normal(size=(hidden, 2))
    tokens = rng.integers(1, words, size=(m, length))
    for row, end in enumerate(rng.integers(1, length, size=m)):
        tokens[row, end:] = 0
    one_hot = np.eye(words)[tokens]
    return params, {"tokens": one_hot, "Y": rng.normal(size=(m, 2)), "m": m, "tie": 0.0}


def padded(xp, p, data):
    looked_up = data["tokens"] @ p["E"]
    Z = looked_up @ p["W"] + p["b"]
    A = relu(Z, data["tie"])
    pooled = xp.sum(A, axis=1) / data["tokens"].shape[1]
    return looked_up, Z, pooled, pooled @ p["V"]


def padded_cost(xp, p, data):
    return xp.sum((padded(xp, p, data)[-1] - data["Y"]) ** 2) / (2 * data["m"])


def padded_backward(p, data, bug):
    looked_up, Z, pooled, out = padded(np, p, data)
    dout = (out - data["Y"]) / data["m"]
    dpooled = (dout @ p["V"].T)[:, None] / (
        1.0 if bug == PADDED_BUGS[2] else data["tokens"].shape[1]
    )
    dZ = dpooled * (np.ones_like(Z) if bug == PADDED_BUGS[0] else step(Z, data["tie"]))
    dE = np.einsum("nti,ntj->ij", data["tokens"], dZ @ p["W"].T)
    if bug == PADDED_BUGS[1]:
        last = (data["tokens"] * np.arange(1, Z.shape[1] + 1)[:, None]).argmax(axis=1)
        dE = np.zeros_like(dE)
        for word in range(len(dE)):
            for row in np.flatnonzero(data["tokens"][:, :, word].any(axis=1))[-1:]:
                dE[word] = (dZ @ p["W"].T)[row, last[row, word]]
    return {
        "E": dE,
        "W": np.einsum("nti,ntj->ij", looked_up, dZ),
        "b": dZ.sum(axis=(0, 1)),
        "V": pooled.T @ dout,
    }


# Maxout units whose pieces start as copies of each other.

MAXOUT_BUGS = ("gradient to all pieces", "gradient to another piece", "bias of one example only")


def make_maxout(rng, variant):
    pieces, features, hidden, m = ((2, 3, 4, 7), (3, 4, 2, 6))[variant]
    W = np.repeat(coarse(rng.normal(size=(1, features, hidden))), pieces, axis=0)
    b = np.repeat(coarse(rng.normal(size=(1, hidden))), pieces, axis=0)
    params = {"W": W, "b": b, "V": rng.normal(size=(hidden, 2)) * 0.7}
    X = coarse(rng.normal(size=(m, features)))
    return params, {"X": X, "Y": rng.normal(size=(m, 2)), "m": m}


def maxout(xp, p, data):
    Z = xp.einsum("nd,kdh->nkh", data["X"], p["W"]) + p["b"]
    chosen = np.swapaxes(np.eye(Z.shape[1])[xp.argmax(Z, axis=1)], 1, 2)
    A = xp.sum(Z * chosen, axis=1)
    return chosen, A, A @ p["V"]


def maxout_cost(xp, p, data):
    return xp.sum((maxout(xp, p, data)[-1] - data["Y"]) ** 2) / (2 * data["m"])


def maxout_backward(p, data, bug):
    chosen, A, out = maxout(np, p, data)
    dout = (out - data["Y"]) / data["m"]
    if bug == MAXOUT_BUGS[0]:
        chosen = np.ones_like(chosen)
    if bug == MAXOUT_BUGS[1]:
        chosen = np.where(A[:, None, :] > 0, chosen, 0.0)
    dZ = chosen * (dout @ p["V"].T)[:, None]
    return {
        "W": np.einsum("nd,nkh->kdh", data["X"], dZ),
        "b": dZ[0] if bug == MAXOUT_BUGS[2] else dZ.sum(axis=0),
        "V": A.T @ dout,
    }


# A spatial transformer at the identity: every point that is read lies on the grid.

TRANSFORMER_BUGS = (
    "gradients of x and y exchanged",
    "sign of the left neighbour",
    "gain forgotten on the way back",
)


def make_transformer(rng, variant):
    size = (5, 3)[variant]
    points = np.arange(size) - (size - 1) / 2
    grid = [each.ravel() for each in np.meshgrid(points, points)]
    image = np.pad(rng.normal(size=(size, size)), 2)
    params = {"theta": np.eye(2, 3), "gain": rng.uniform(0.5, 2, size=1)}
    params["bias"] = rng.normal(size=1)
    G = np.stack([*grid, np.ones(size**2)])
    return params, {"G": G, "image": image, "Y": rng.normal(size=size**2), "m": size**2}


def read(xp, p, data):
    """Return what is read from the image, and its slopes by x and y, between four pixels."""
    side = data["image"].shape[0]
    x, y = xp.clip(p["theta"] @ data["G"] + (side - 1) / 2, 0, side - 1)
    column, row = (np.clip(xp.floor(at), 0, side - 2).astype(int) for at in (x, y))
    u, w, image = x - column, y - row, data["image"]
    a, b = image[row, column], image[row, column + 1]
    c, d = image[row + 1, column], image[row + 1, column + 1]
    value = (a * (1 - u) + b * u) * (1 - w) + (c * (1 - u) + d * u) * w
    return value, (b - a) * (1 - w) + (d - c) * w, (c - a) * (1 - u) + (d - b) * u


def transformer_cost(xp, p, data):
    out = p["gain"] * read(xp, p, data)[0] + p["bias"]
    return xp.sum((out - data["Y"]) ** 2) / (2 * data["m"])


def transformer_backward(p, data, bug):
    value, by_x, by_y = read(np, p, data)
    r = (p["gain"] * value + p["bias"] - data["Y"]) / data["m"]
    if bug == TRANSFORMER_BUGS[0]:
        by_x, by_y = by_y, by_x
    if bug == TRANSFORMER_BUGS[1]:
        by_x = -by_x
    back = r if bug == TRANSFORMER_BUGS[2] else r * p["gain"]
    return {
        "theta": np.stack([back * by_x, back * by_y]) @ data["G"].T,
        "gain": np.array([(r * value).sum()]),
        "bias": np.array([r.sum()]),
    }


# Penalties with a kink at zero: total variation of what is flat, and a sparse lasso, in groups.

PENALTY_BUGS = ("penalty forgotten", "penalty's sign by the neighbour", "data's sign")


def make_variation(rng, variant):
    n, flat = ((9, 3), (8, 2))[variant]
    levels = np.repeat(coarse(rng.normal(size=-(-n // flat))), flat)[:n]
    params = {"u": levels, "gain": rng.uniform(0.5, 2, size=1)}
    D = np.eye(n, k=1)[:-1] - np.eye(n)[:-1]
    if variant:
        # A ring of pixels.
        D = np.roll(np.eye(n), 1, axis=1) - np.eye(n)
    return params, {"D": D, "y": rng.normal(size=n), "weight": rng.uniform(0.1, 1), "m": 1}


def variation_cost(xp, p, data):
    r = p["gain"] * p["u"] - data["y"]
    return xp.sum(r**2) / 2 + data["weight"] * xp.sum(xp.abs(data["D"] @ p["u"]))


def variation_backward(p, data, bug):
    r = p["gain"] * p["u"] - data["y"]
    signs = np.sign(data["D"] @ p["u"])
    if bug == PENALTY_BUGS[1]:
        signs = np.roll(signs, 1)
    penalty = 0.0 if bug == PENALTY_BUGS[0] else data["weight"] * (data["D"].T @ signs)
    sign = -1.0 if bug == PENALTY_BUGS[2] else 1.0
    return {"u": sign * r * p["gain"] + penalty, "gain": np.array([r @ p["u"]])}


LASSO_BUGS = ("penalty forgotten", "norm forgotten in the penalty", "intercept's sign")


def make_lasso(rng, variant):
    groups, size, m = ((4, 3, 12), (9, 1, 15))[variant]
    W = rng.normal(size=(groups, size))
    W[rng.permutation(groups)[: groups // 2]] = 0
    params = {"W": W, "b": rng.normal(size=1)}
    data = {"X": rng.normal(size=(m, groups, size)), "y": rng.normal(size=m), "m": m}
    return params, data | {"weight": rng.uniform(0.1, 1)}


def lasso_cost(xp, p, data):
    r = xp.einsum("ngs,gs->n", data["X"], p["W"]) + p["b"] - data["y"]
    norms = xp.sqrt(xp.sum(p["W"] ** 2, axis=1))
    return xp.sum(r**2) / (2 * data["m"]) + data["weight"] * xp.sum(norms)


def lasso_backward(p, data, bug):
    r = (np.einsum("ngs,gs->n", data["X"], p["W"]) + p["b"] - data["y"]) / data["m"]
    norms = np.sqrt((p["W"] ** 2).sum(axis=1, keepdims=True))
    if bug == LASSO_BUGS[1]:
        norms = np.ones_like(norms)
    penalty = np.divide(p["W"], norms, out=np.zeros_like(p["W"]), where=norms > 0)
    weight = 0.0 if bug == LASSO_BUGS[0] else data["weight"]
    return {
        "W": np.einsum("ngs,n->gs", data["X"], r) + weight * penalty,
        "b": np.array([-r.sum() if bug == LASSO_BUGS[2] else r.sum()]),
    }


# Margins: a hinge over all classes, with all scores equal or with integers everywhere.

MARGIN_BUGS = ("right class forgotten", "margin forgotten", "largest class forgotten")


def make_margin(rng, variant):
    features, classes, m = ((3, 4, 8), (2, 3, 10))[variant]
    labels = np.eye(classes)[rng.integers(classes, size=m)]
    if variant:
        X = rng.integers(-2, 3, size=(m, features)).astype(float)
        W = rng.integers(-1, 2, size=(features, classes)).astype(float)
        b = rng.integers(-1, 2, size=classes).astype(float)
    else:
        X = rng.normal(size=(m, features))
        W, b = np.zeros((features, classes)), np.zeros(classes)
    params = {"W": W, "b": b, "temper": rng.normal(size=features)}
    return params, {"X": X, "labels": labels, "m": m}


def margins(xp, p, data):
    scores = data["X"] @ p["W"] + p["b"] + (1 - data["labels"])
    most = np.eye(scores.shape[1])[xp.argmax(scores, axis=1)]
    return scores, most


def margin_cost(xp, p, data):
    scores, most = margins(xp, p, data)
    smooth = xp.sum(xp.tanh(data["X"] @ p["temper"]) ** 2) / 2
    return (xp.sum(scores * (most - data["labels"])) + smooth) / data["m"]


def margin_backward(p, data, bug):
    X, labels = data["X"], data["labels"]
    _, most = margins(np, p, data)
    if bug == MARGIN_BUGS[1]:
        most = np.eye(most.shape[1])[(X @ p["W"] + p["b"] - 10 * labels).argmax(axis=1)]
    right, largest = (float(bug != MARGIN_BUGS[k]) for k in (0, 2))
    d = (largest * most - right * labels) / data["m"]
    t = np.tanh(X @ p["temper"])
    return {"W": X.T @ d, "b": d.sum(axis=0), "temper": X.T @ (t * (1 - t**2)) / data["m"]}


# Sorted errors: the largest ones weigh more, and several are equal.

SORTED_BUGS = ("weights not put back in order", "sign of the error forgotten", "one weight for all")


def make_sorted(rng, variant):
    n, features = ((7, 7), (9, 3))[variant]
    X = np.eye(n) if variant == 0 else rng.integers(-1, 2, size=(n, features)).astype(float)
    w = rng.integers(-2, 3, size=features).astype(float)
    params = {"w": w, "spread": rng.uniform(0.5, 2, size=1)}
    y = rng.integers(-1, 2, size=n) + 0.5
    weights = np.sort(rng.uniform(0, 1, size=n))
    return params, {"X": X, "y": y, "weights": weights, "m": n}


def errors(xp, p, data):
    r = data["X"] @ p["w"] - data["y"]
    sizes = r * np.sign(xp.floor(r) + 0.5)
    return r, sizes, np.argsort(xp.argsort(sizes, kind="stable"))


def sorted_cost(xp, p, data):
    _, sizes, ranks = errors(xp, p, data)
    total = xp.sum(data["weights"][ranks] * sizes) / data["m"]
    return total / p["spread"][0] + xp.log(p["spread"][0])


def sorted_backward(p, data, bug):
    r, sizes, ranks = errors(np, p, data)
    weights = data["weights"][ranks]
    if bug == SORTED_BUGS[0]:
        weights = data["weights"]
    if bug == SORTED_BUGS[2]:
        weights = np.full_like(weights, weights.mean())
    signs = 1.0 if bug == SORTED_BUGS[1] else np.sign(r)
    total = (data["weights"][ranks] * sizes).sum() / data["m"]
    spread = p["spread"]
    return {
        "w": data["X"].T @ (weights * signs) / data["m"] / spread,
        "spread": -total / spread**2 + 1 / spread,
    }


family = partial(Family, kind=KINKS_MEET, ordinary=False, kinks_meet=True)

FAMILIES = (
    family("xor network", make_xor, xor_cost, xor_backward, NETWORK_BUGS,
           weights=("W1", "W2", "w3")),
    family("padded tokens", make_padded, padded_cost, padded_backward, PADDED_BUGS,
           weights=("W", "V")),
    family("maxout of copies", make_maxout, maxout_cost, maxout_backward, MAXOUT_BUGS,
           weights=("W", "V")),
    family("spatial transformer", make_transformer, transformer_cost, transformer_backward,
           TRANSFORMER_BUGS, weights=("theta",)),
    family("total variation", make_variation, variation_cost, variation_backward, PENALTY_BUGS,
           weights=("u",), averaged=False),
    family("group lasso", make_lasso, lasso_cost, lasso_backward, LASSO_BUGS, weights=("W",)),
    family("margin of all classes", make_margin, margin_cost, margin_backward, MARGIN_BUGS,
           weights=("W",)),
    family("sorted errors", make_sorted, sorted_cost, sorted_backward, SORTED_BUGS,
           weights=("w",)),
)  # fmt: skip
