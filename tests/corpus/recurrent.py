"""Recurrent networks: a simple one and an LSTM, with a loss at every step or at the last."""

import numpy as np

from .elementwise import sigmoid, sigmoid_slope, tanh_slope
from .family import Family

RNN_BUGS = (
    "path through time forgotten",
    "hidden state of the wrong step",
    "1 − h instead of 1 − h²",
    "bias of the last step only",
    "Wh not transposed on the way back",
)
LSTM_BUGS = (
    "path through the cell forgotten",
    "path through the hidden state forgotten",
    "forget gate sees the new cell",
    "candidate's derivative is the sigmoid's",
    "derivative of tanh(c) forgotten",
    "gates' derivatives are the gates",
)


def sequences(rng, features, m, steps, where):
    """Return inputs for each step, targets, and the steps that the loss counts."""
    data = {"X": rng.normal(size=(m, steps, features)), "m": m}
    counts = np.ones(steps) if where == "all" else np.eye(steps)[-1]
    return data | {"Y": rng.normal(size=(m, steps, 2)), "counts": counts}


def make_rnn(rng, variant):
    features, hidden, m, steps, where = ((3, 4, 5, 5, "all"), (2, 5, 4, 6, "last"))[variant]
    params = {
        "Wx": rng.normal(size=(features, hidden)) * 0.6,
        "Wh": rng.normal(size=(hidden, hidden)) * 0.5,
        "b": rng.normal(size=hidden) * 0.3,
        "V": rng.normal(size=(hidden, 2)),
        "c": rng.normal(size=2) * 0.3,
    }
    return params, sequences(rng, features, m, steps, where)


def rnn_forward(xp, p, data):
    """Return the pre-activations, and the hidden states, starting with the initial zeros."""
    X = data["X"]
    Zs, hs = [], [np.zeros((data["m"], p["Wh"].shape[0]), dtype=X.dtype)]
    for t in range(X.shape[1]):
        Zs.append(X[:, t] @ p["Wx"] + hs[-1] @ p["Wh"] + p["b"])
        hs.append(xp.tanh(Zs[-1]))
    return Zs, hs


def read_out(xp, p, data, hs):
    """Return the square loss of the outputs that are read from the hidden states."""
    total = 0.0
    for t, count in enumerate(data["counts"]):
        residual = hs[t + 1] @ p["V"] + p["c"] - data["Y"][:, t]
        total = total + count * xp.sum(residual**2)
    return total / (2 * data["m"])


def read_out_back(p, data, hs):
    """Return the gradients of the read-out and, through it alone, of each hidden state."""
    grads = {"V": np.zeros_like(p["V"]), "c": np.zeros_like(p["c"])}
    dhs = []
    for t, count in enumerate(data["counts"]):
        residual = hs[t + 1] @ p["V"] + p["c"] - data["Y"][:, t]
        dout = residual * (count / data["m"])
        grads["V"] += hs[t + 1].T @ dout
        grads["c"] += dout.sum(axis=0)
        dhs.append(dout @ p["V"].T)
    return grads, dhs


def rnn_cost(xp, p, data):
    return read_out(xp, p, data, rnn_forward(xp, p, data)[1])


def rnn_backward(p, data, bug):
    Zs, hs = rnn_forward(np, p, data)
    grads, dhs = read_out_back(p, data, hs)
    grads |= {name: np.zeros_like(p[name]) for name in ("Wx", "Wh", "b")}
    later = np.zeros_like(hs[0])
    for t in reversed(range(len(Zs))):
        dZ = (dhs[t] + later) * (1 - hs[t + 1] if bug == RNN_BUGS[2] else tanh_slope(Zs[t]))
        grads["Wx"] += data["X"][:, t].T @ dZ
        grads["Wh"] += hs[t + 1 if bug == RNN_BUGS[1] else t].T @ dZ
        if bug != RNN_BUGS[3] or t == len(Zs) - 1:
            grads["b"] += dZ.sum(axis=0)
        later = dZ @ (p["Wh"] if bug == RNN_BUGS[4] else p["Wh"].T)
        if bug == RNN_BUGS[0]:
            later = np.zeros_like(later)
    return grads


def make_lstm(rng, variant):
    features, hidden, m, steps, where = ((2, 3, 4, 4, "last"), (3, 3, 3, 5, "all"))[variant]
    params = {
        "W": rng.normal(size=(features + hidden, 4 * hidden)) * 0.7,
        "b": rng.normal(size=4 * hidden) * 0.3,
        "V": rng.normal(size=(hidden, 2)),
        "c": rng.normal(size=2) * 0.3,
    }
    return params, sequences(rng, features, m, steps, where)


def lstm_step(xp, p, x, h, c):
    """Return a step's cache for the backward pass, and the new state."""
    joined, n = xp.concatenate([x, h], axis=1), h.shape[1]
    Z = joined @ p["W"] + p["b"]
    gates = [sigmoid(xp, Z[:, k * n : (k + 1) * n]) for k in range(3)]
    gates.append(xp.tanh(Z[:, 3 * n :]))
    take, keep, show, candidate = gates
    new = keep * c + take * candidate
    return (joined, Z, gates, c, new), show * xp.tanh(new), new


def lstm_forward(xp, p, data):
    """Return each step's cache for the backward pass, and the hidden states."""
    X = data["X"]
    h = c = np.zeros((data["m"], p["V"].shape[0]), dtype=X.dtype)
    caches, hs = [], [h]
    for t in range(X.shape[1]):
        cache, h, c = lstm_step(xp, p, X[:, t], h, c)
        caches.append(cache)
        hs.append(h)
    return caches, hs


def lstm_cost(xp, p, data):
    return read_out(xp, p, data, lstm_forward(xp, p, data)[1])


def lstm_backward(p, data, bug):
    caches, hs = lstm_forward(np, p, data)
    grads, dhs = read_out_back(p, data, hs)
    grads |= {"W": np.zeros_like(p["W"]), "b": np.zeros_like(p["b"])}
    dh, dc = np.zeros_like(hs[0]), np.zeros_like(hs[0])
    for cache, dhere in zip(reversed(caches), reversed(dhs), strict=True):
        dZ, dc = lstm_step_back(cache, dhere + dh, dc, bug)
        grads["W"] += cache[0].T @ dZ
        grads["b"] += dZ.sum(axis=0)
        dh = (dZ @ p["W"].T)[:, -dh.shape[1] :]
        if bug == LSTM_BUGS[0]:
            dc = np.zeros_like(dc)
        if bug == LSTM_BUGS[1]:
            dh = np.zeros_like(dh)
    return grads


def lstm_step_back(cache, dh, dc, bug):
    """Return the gradients of a step's pre-activations and of the cell before it."""
    _, Z, (take, keep, show, candidate), c, new = cache
    n = c.shape[1]
    dc = dc + dh * show * (1.0 if bug == LSTM_BUGS[4] else tanh_slope(new))
    seen = new if bug == LSTM_BUGS[2] else c
    dgates = np.hstack([dc * candidate, dc * seen, dh * np.tanh(new)])
    slope = sigmoid(np, Z) if bug == LSTM_BUGS[5] else sigmoid_slope(Z)
    last = (sigmoid_slope if bug == LSTM_BUGS[3] else tanh_slope)(Z[:, 3 * n :])
    return np.hstack([dgates * slope[:, : 3 * n], dc * take * last]), dc * keep


FAMILIES = (
    Family(
        name="recurrence",
        make=make_rnn,
        cost=rnn_cost,
        backward=rnn_backward,
        bugs=RNN_BUGS,
        weights=("Wx", "Wh", "V"),
        biases=("b", "c"),
        saturates=("b",),
        columns="X",
    ),
    Family(
        name="lstm",
        make=make_lstm,
        cost=lstm_cost,
        backward=lstm_backward,
        bugs=LSTM_BUGS,
        weights=("W", "V"),
        biases=("b", "c"),
        saturates=("b",),
        columns="X",
    ),
)
