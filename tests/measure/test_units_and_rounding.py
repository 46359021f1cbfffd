"""Parameters in different units, and costs that are rounded: verdicts of whole checks."""

import numpy as np
import pytest

from gradcheck_magic import Verdict, check_gradients

CORRECT, BUG, INCONCLUSIVE = Verdict.CORRECT, Verdict.BUG, Verdict.INCONCLUSIVE
RNG = np.random.default_rng(0)


# Units


BOLTZMANN = 1.380649e-23
ENERGIES, SHARES = BOLTZMANN * 300 * RNG.normal(size=4), RNG.dirichlet(np.ones(4))


def occupation(p):
    """Return the negative log-likelihood of how levels are occupied; inf a few lengths away."""
    z = -p["energies"] / (BOLTZMANN * p["temperature"])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return float(np.log(np.exp(z).sum()) - SHARES @ z)


def occupation_backward(p, factors):
    z = -p["energies"] / (BOLTZMANN * p["temperature"])
    dz = np.exp(z) / np.exp(z).sum() - SHARES
    grads = {
        "energies": -dz / (BOLTZMANN * p["temperature"]),
        "temperature": -(dz @ z) / p["temperature"],
    }
    return {name: factors.get(name, 1.0) * grad for name, grad in grads.items()}


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0, 1.01])
@pytest.mark.parametrize("name", ["energies", "temperature"])
def test_joules_and_kelvins(name, factor, offset, mode):
    """A gradient of 1e-4 per kelvin is no rounding error of one of 1e19 per joule."""
    p = {"energies": ENERGIES, "temperature": np.array([280.0])}
    grads = occupation_backward(p, {name: factor})
    found = check_gradients(p, grads, lambda p: offset + occupation(p), mode=mode)
    assert found.verdict is (CORRECT if factor == 1 else BUG)


@pytest.mark.parametrize(("share", "verdict"), [(1e-7, BUG), (1e-8, BUG), (1e-11, CORRECT)])
def test_a_forgotten_gradient_that_is_faint(share, verdict):
    """The largest possible step tells whether a gradient is zero, as far as J can show."""
    p = {"w": np.array([0.4, -1.1, 0.7]), "b": np.array([0.3, -0.2])}

    def cost(p):
        return 1e6 + float(np.tanh(p["w"]).sum() + share * np.sin(p["b"]).sum())

    grads = {"w": 1 - np.tanh(p["w"]) ** 2, "b": np.zeros(2)}
    assert check_gradients(p, grads, cost).verdict is verdict


@pytest.mark.parametrize("wrong", [False, True])
def test_times_since_1970(wrong):
    """A line in proportion to θ is millions of seconds long, and would show noise that is none."""
    t = 1.7e9 + np.array([-2.0, 1.0, 2.5])
    p = {"t": t, "w": np.array([0.5, -0.4, 1.2])}

    def cost(p):
        return float(np.abs(p["w"] * (p["t"] - 1.7e9) - 0.3).sum())

    sign = np.sign(p["w"] * (t - 1.7e9) - 0.3)
    grads = {"t": sign * p["w"], "w": sign * (t - 1.7e9) * (1.001 if wrong else 1.0)}
    found = check_gradients(p, grads, cost)
    assert found.noise < 1e-14
    assert found.verdict is (BUG if wrong else CORRECT)


# Rounding


X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=12)


def squares(w):
    return float(np.mean((X @ w - Y) ** 2))


ROUNDED = {
    "to 6 decimals": lambda w: round(squares(w), 6),
    "to 2⁻²⁰": lambda w: round(squares(w) * 2**20) / 2**20,
    "1e4 added in single precision": lambda w: np.float32(1e4 + squares(w)),
    "1e9 added": lambda w: 1e9 + squares(w),
}


@pytest.mark.parametrize("factor", [1.0, 1.05])
@pytest.mark.parametrize("name", ROUNDED)
def test_only_rounded(name, factor):
    """Where J is rounded at the end and nowhere else, it is off by at most half a unit."""
    w = np.array([1.3, -0.7, 2.2])
    gradient = 2 / 12 * X.T @ (X @ w - Y)
    found = check_gradients(w, gradient * [factor, 1.0, 1.0], ROUNDED[name])
    assert found.verdict is (CORRECT if factor == 1 else BUG)


def to_bfloat16(values):
    """Round to the 7 bits of bfloat16."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_rounded_products_beside_an_exact_term(seed):
    """Small steps show only the slope of the term that is not rounded, and it is exact."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(2, 8, 4)).astype(np.float32)
    W = (np.eye(4) * 2 + rng.normal(size=(4, 4)) / 2).astype(np.float32)

    def cost(W):
        Z = to_bfloat16(X) @ to_bfloat16(W)
        return float(np.mean((Z - Y) ** 2) - np.linalg.slogdet(W.astype(np.float64))[1])

    right = 2 / X.size * X.T @ (X @ W - Y) - np.linalg.inv(W).T
    assert check_gradients(W, right, cost).verdict in {CORRECT, INCONCLUSIVE}
    assert check_gradients(W, -right, cost).verdict in {BUG, INCONCLUSIVE}


@pytest.mark.parametrize("bits", [18, 22, 26])
@pytest.mark.parametrize("wrong", [False, True])
def test_a_stair_that_begins_near_by_is_no_bend(bits, wrong):
    """If J steps to another stair within the first step, its slope still shows farther away."""
    p = {"a": np.array([0.6, -0.8, 1.1]), "b": np.array([0.4, 0.9])}
    edge = float(np.tanh(p["a"]).sum() * 3 + p["b"].sum())

    def cost(p):
        J = 4.5 + 3 * np.tanh(p["a"]).sum() + p["b"].sum() - edge
        # θ is at the edge of a stair.
        return float(np.floor(J * 2.0**bits + 1e-9) / 2.0**bits)

    grads = {
        "a": 3 * (1 - np.tanh(p["a"]) ** 2) * [1.0, 1.0, 1.2 if wrong else 1.0],
        "b": np.ones(2),
    }
    found = check_gradients(p, grads, cost)
    assert found.verdict is (BUG if wrong else CORRECT)
