"""A cost that jumps, as a solver that stops early makes it: jumps are told from kinks and bends."""

import math
import re

import numpy as np
import pytest

from gradcheck_magic import Cause, Verdict, check_gradients
from gradcheck_magic._measure import jumps
from gradcheck_magic._measure.jumps import jumps_along

EPS = float(np.finfo(np.float64).eps)


def lorentzian(width):
    return lambda x: 1 / (1 + (x / width) ** 2)


@pytest.mark.parametrize("reach", [0.5, 0.03])
@pytest.mark.parametrize(
    ("function", "height"),
    [
        pytest.param(math.exp, 0.0, id="smooth"),
        pytest.param(lambda x: math.sin(8 * x), 0.0, id="bent"),
        pytest.param(lambda x: abs(x - 0.011), 0.0, id="a kink"),
        pytest.param(lambda x: abs(x - 0.011) + max(x, -0.02) ** 2, 0.0, id="two kinks"),
        pytest.param(lorentzian(1e-2), 0.0, id="a peak"),
        pytest.param(lorentzian(1e-4), 0.0, id="a peak that is far narrower than a step"),
        pytest.param(lambda x: math.tanh((x - 0.01) / 1e-5), 0.0, id="a front, nearly a jump"),
        pytest.param(lambda x: 1e-3 * (x > 0.007) + math.exp(x), 1e-3, id="one jump"),
        pytest.param(lambda x: 1e-6 * (x > 0.007) + math.exp(x), 1e-6, id="a small jump"),
        pytest.param(lambda x: 1e-6 * (x > 1e-5) + math.exp(x), 1e-6, id="within the first steps"),
        pytest.param(lambda x: abs(x - 4e-3) + 1e-4 * (x > 0.02), 1e-4, id="behind a kink"),
        pytest.param(lambda x: math.inf if x > 0 else 1.0, 0.0, id="not finite"),
    ],
)
def test_height(function, height, reach):
    found = jumps_along(function, reach, EPS, 1e-5)
    assert found.height == pytest.approx(height, rel=0.1)
    assert (found.drift > 0) == (height > 0)


@pytest.mark.parametrize("width", [0.3, 0.03, 0.003])
def test_drift(width):
    """A sawtooth drifts by its height from jump to jump; both of the nearest ones count."""

    def sawtooth(x):
        return math.sin(3 * x) + 1e-5 * ((x / width + 0.4) % 1.0)

    found = jumps_along(sawtooth, 0.5, EPS, 1e-5)
    assert found.height == pytest.approx(1e-5, rel=0.1)
    assert found.drift == pytest.approx(2e-5 / width, rel=0.5)


def test_what_is_too_low_to_matter_is_passed_over():
    def steps(x):
        return math.exp(x) + 1e-9 * (x > 0.1)

    assert jumps_along(steps, 0.5, EPS, 1e-7).drift > 0
    assert jumps_along(steps, 0.5, EPS, 1e-3).drift == 0


def test_evaluations():
    """A smooth J is followed in few steps, and so is one that jumps at once."""
    for function in (math.exp, lambda x: math.exp(x) + 1e-6 * (abs(x) > 0.02)):
        places = []
        jumps_along(lambda x, f=function, p=places: p.append(x) or f(x), 0.5, EPS, 1e-5)
        assert len(places) <= 70


def fixed_point(seed, tolerance):
    """Return parameters, the exact gradient and the cost of z = tanh(W z + u), iterated."""
    rng = np.random.default_rng(seed)
    W, (u, t) = rng.normal(size=(4, 4)), rng.normal(size=(2, 4))
    W *= 0.7 / np.linalg.norm(W, 2)

    def solved(W, u, tolerance):
        z = 0 * u
        while np.abs((new := np.tanh(z @ W + u)) - z).max() > tolerance:
            z = new
        return new

    def cost(p):
        return float(np.sum((solved(p["W"], p["u"], tolerance) - t) ** 2))

    z = solved(W, u, 1e-14)
    da = (1 - z**2) * np.linalg.solve(np.eye(4) - W * (1 - z**2), 2 * (z - t))
    return {"W": W, "u": u}, {"dW": np.outer(z, da), "du": da}, cost


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-10])
def test_a_solver_that_stops_early(tolerance):
    said = [check_gradients(*fixed_point(seed, tolerance)) for seed in range(6)]
    assert Verdict.BUG not in {check.verdict for check in said}
    if tolerance == 1e-6:
        told = [reason for check in said for reason in check.reasons]
        assert any("is what a solver leaves that stops early" in reason for reason in told)


@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.02])
def test_wrong_beside_a_solver(factor):
    """Jumps of a millionth excuse no error of a hundredth."""
    for seed in range(3):
        params, grads, cost = fixed_point(seed, 1e-6)
        grads["du"] = factor * grads["du"]
        assert check_gradients(params, grads, cost).verdict is Verdict.BUG


def test_a_small_error_of_a_smooth_cost_is_not_excused():
    x = np.linspace(0.5, 2.0, 7)
    found = check_gradients(x, np.cos(x) * (1 + 1e-3 * x), lambda x: float(np.sin(x).sum()))
    assert found.verdict is Verdict.BUG


X = np.linspace(0.5, 2.0, 7)


def teeth(x):
    """Return sines that are too steep by a third, and jump back after each 3e-3."""
    return float(np.sum(np.sin(x) + 0.3 * ((x / 3e-3 + 0.2) % 1.0) * 3e-3))


def bend(x):
    """Return sines and hyperbolas that are as straight as absolute values after 1e-5."""
    return float(np.sum(np.sin(x) + np.hypot(x - X + 1e-5, 1e-5)))


def test_large_errors_that_end_very_near():
    """The slope over long distances is that of the gradient: a solver may look like that."""
    found = check_gradients(X, np.cos(X), teeth)
    assert found.verdict is Verdict.INCONCLUSIVE
    (reason,) = found.reasons
    assert reason == (
        "Very close to θ, the slope of `teeth` is not the one that it has over longer distances, "
        "and the gradient of `params` agrees with that: this is what a solver leaves that stops "
        "early. Lower its tolerance, or let it make a fixed number of steps."
    )


@pytest.mark.parametrize("slope", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("width", [0.01, 0.03, 0.05, 0.1, 0.2])
def test_errors_of_any_kind_that_jumps_take_back(slope, width):
    """A slope that is off in most entries, and jumps that make up for it: nothing can be told.

    Errors without them are a bug, and so are large ones.
    """

    def teeth(x):
        return float(np.sum(np.sin(x) + slope * width * ((x / width + 0.2) % 1.0)))

    found = check_gradients(X, np.cos(X), teeth)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert re.match("(`teeth` jumps by up to|Very close to θ)", found.reasons[0])
    for wrong in (0.7 * np.cos(X), -np.cos(X), np.cos(X)[::-1], 0 * X):
        assert check_gradients(X, wrong, teeth).verdict is Verdict.BUG


@pytest.mark.parametrize("seed", [2, 5])
def test_one_entry_on_a_staircase(seed):
    """log(1 + exp(z)) has steps; over long distances, the slope is that of the gradient."""
    random = np.random.default_rng(seed)
    X, y = 6 * random.normal(size=(20, 3)), random.poisson(3, 20)
    params = {"w": random.normal(size=3), "b": random.normal(size=1)}

    def cost(p):
        rate = np.log(1 + np.exp(X @ p["w"] + p["b"]))
        return float(np.mean(rate - y * np.log(rate + 1e-10)))

    z = X @ params["w"] + params["b"]
    dz = (1 - y / (np.logaddexp(0, z) + 1e-10)) / (1 + np.exp(-z)) / 20
    grads = {"dw": X.T @ dz, "db": dz.sum(keepdims=True)}
    assert check_gradients(params, grads, cost).verdict is not Verdict.BUG
    grads["db"] *= -1
    assert check_gradients(params, grads, cost).verdict is Verdict.BUG


@pytest.mark.parametrize(
    ("grad", "cost"),
    [
        pytest.param(0.7 * np.cos(X), teeth, id="as wrong far away"),
        pytest.param(np.cos(X), bend, id="HARD: a sharp bend, and straight beyond"),
        pytest.param(0 * X, bend, id="HARD: nothing, and far slopes are smaller"),
    ],
)
def test_large_errors_that_remain(grad, cost):
    assert check_gradients(X, grad, cost).verdict is Verdict.BUG


def test_tiny_errors_that_noise_hides_in_most_entries():
    """Those that are known are all off, so it may be a solver in which no jumps are found."""
    errors = 1e-5 * np.array([3.0, -3.0, 1.0, -1.0, 3.0, -1.0, 1.0])
    found = check_gradients(X, np.cos(X) + errors, lambda x: float(1e4 + np.sum(np.sin(x))))
    assert found.verdict is Verdict.INSPECT
    assert found.parameters[0].n_wrong == 0


def newton(tolerance):
    """Return θ = z of z³ + a z = c, and the derivatives of Σ z² by a and by c."""

    def solved(a, c, tolerance):
        z = c / (1 + a)
        for _ in range(100):
            change = (z**3 + a * z - c) / (3 * z**2 + a)
            z = z - change
            if np.abs(change).max() <= tolerance:
                break
        return z

    rng = np.random.default_rng(0)
    a, c = rng.uniform(1, 2, size=5), rng.normal(size=5) * 2
    z = solved(a, c, 1e-14)
    dc = 2 * z / (3 * z**2 + a)

    def cost(p):
        return float(np.sum(solved(p["a"], p["c"], tolerance) ** 2))

    return {"a": a, "c": c}, {"da": -dc * z, "dc": dc}, cost


def relaxed(tolerance):
    """Return a linear system that is solved by Gauss and Seidel's method, and its gradient."""
    rng = np.random.default_rng(1)
    A, b, t = rng.normal(size=(4, 4)), *rng.normal(size=(2, 4))
    A = A @ A.T / 4 + np.eye(4)

    def cost(p):
        x = np.zeros(4)
        for _ in range(500):
            before = x.copy()
            for i in range(4):
                x[i] += (p["b"][i] - p["A"][i] @ x) / p["A"][i, i]
            if np.abs(x - before).max() <= tolerance:
                break
        return float(np.sum((x - t) ** 2))

    x = np.linalg.solve(A, b)
    db = np.linalg.solve(A.T, 2 * (x - t))
    return {"A": A, "b": b}, {"dA": -np.outer(db, x), "db": db}, cost


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("solver", [newton, relaxed])
def test_other_solvers(solver, tolerance):
    """A right gradient is no bug, and one with a wrong part is, as far as jumps leave it open."""
    params, grads, cost = solver(tolerance)
    found = check_gradients(params, grads, cost)
    assert found.verdict is not Verdict.BUG
    name = next(reversed(grads))
    wrong = {**grads, name: 0.5 * grads[name]}
    assert check_gradients(params, wrong, cost).verdict is Verdict.BUG


def test_wrong_by_a_thousandth_beside_a_solver():
    """The jumps are a thousand times too low to explain it."""
    params, grads, cost = fixed_point(1, 1e-8)
    grads = {**grads, "dW": 1.001 * grads["dW"]}
    assert check_gradients(params, grads, cost).verdict is Verdict.BUG


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        pytest.param(lambda g: {**g, "du": -g["du"]}, Cause.SIGN, id="one sign"),
        pytest.param(lambda g: {**g, "dW": 2 * g["dW"]}, Cause.SCALE, id="twice one"),
        pytest.param(lambda g: {k: g[k] / 4 for k in g}, Cause.SCALE, id="a mean too many"),
        pytest.param(lambda g: {**g, "dW": g["dW"].T}, Cause.TRANSPOSED, id="transposed"),
        pytest.param(lambda g: {**g, "du": 0 * g["du"]}, Cause.ZERO, id="nothing"),
    ],
)
def test_jumps_hide_no_simple_cause(change, cause):
    """What the jumps leave in the other gradients is no error, and no reason to say UNKNOWN."""
    params, grads, cost = fixed_point(0, 1e-6)
    wrong = change(grads)
    check = check_gradients(params, wrong, cost)
    assert check.verdict is Verdict.BUG
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is cause
    assert set(diagnosis.names) == {name[1:] for name in wrong if wrong[name] is not grads[name]}


def test_without_jumps_an_unknown_cause_costs_no_search():
    """J is followed along lines only if a simple cause would explain more without its digits."""
    random = np.random.default_rng(0)
    params = {"W": random.normal(size=(4, 3)), "b": random.normal(size=3)}
    wrong = {"dW": random.normal(size=(4, 3)), "db": random.normal(size=3)}
    check = check_gradients(params, wrong, lambda p: float(np.sum(np.sin(p["W"]) @ p["b"])))
    assert {diagnosis.cause for diagnosis in check.diagnoses} <= {Cause.UNKNOWN, Cause.UPSTREAM}
    assert check.n_evaluations < 100


def test_no_line_is_followed_twice(monkeypatch):
    """Small errors lead to no jump, and do so no more if a cause is not found either."""
    lines = []

    def followed(along, reach, noise, slope):
        lines.append((reach, along(reach)))
        return jumps_along(along, reach, noise, slope)

    monkeypatch.setattr(jumps, "jumps_along", followed)
    errors = 0.01 * np.random.default_rng(0).normal(size=7)
    found = check_gradients(X, np.cos(X) * (1 + errors), lambda x: float(np.sum(np.sin(x))))
    assert [diagnosis.cause for diagnosis in found.diagnoses] == [Cause.UNKNOWN]
    assert len(lines) == len(set(lines)) == 2, "along the errors, and along a random line"


@pytest.mark.parametrize("size", [1e-3, 2e-2])
@pytest.mark.parametrize("activation", [np.tanh, lambda z: np.maximum(z, 0)], ids=["tanh", "relu"])
def test_small_errors_without_jumps_are_a_bug(activation, size):
    """Neither bends nor kinks far away are taken for a solver, if most entries are slightly off."""
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(20, 4)), random.normal(size=(20, 6))
    params = {"W": random.normal(size=(4, 6)), "b": random.normal(size=6)}

    def cost(p):
        return float(np.mean((activation(X @ p["W"] + p["b"]) - Y) ** 2))

    Z = X @ params["W"] + params["b"]
    A = activation(Z)
    dZ = 2 * (A - Y) / Y.size * (1 - A**2 if activation is np.tanh else Z > 0)
    right = {"dW": X.T @ dZ, "db": dZ.sum(axis=0)}
    wrong = {name: g * (1 + size * random.normal(size=g.shape)) for name, g in right.items()}
    assert check_gradients(params, right, cost).verdict is Verdict.CORRECT
    assert check_gradients(params, wrong, cost).verdict is Verdict.BUG


def two_sines(a, b):
    """Return a smooth cost."""
    return float(np.sum(np.sin(a)) + np.sum(np.sin(b)))


SLIGHT = 1e-3 * np.array([1.0, -2.0, 1.5, 2.0, -1.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("a", "b", "causes"),
    [
        pytest.param(-1, 1, {Cause.SIGN: ("a",)}, id="a sign"),
        pytest.param(0.5, 1, {Cause.SCALE: ("a",)}, id="half"),
        pytest.param(0, 1, {Cause.ZERO: ("a",)}, id="zero"),
        pytest.param(2, 2, {Cause.UPSTREAM: ("a", "b")}, id="HARD: both"),
        pytest.param(1.7, 1, {Cause.UNKNOWN: ("b",)}, id="HARD: a factor that was fitted"),
    ],
)
def test_what_a_solver_leaves_beside_a_cause(a, b, causes):
    """If no parameter is right, the slight errors of all have another origin than one's cause."""
    grads = a * np.cos(X) + a * SLIGHT, b * np.cos(X) + SLIGHT[::-1]
    check = check_gradients([X, X], list(grads), two_sines, names=["a", "b"])
    assert check.verdict is Verdict.BUG
    assert {d.cause: d.names for d in check.diagnoses} == causes


def test_a_parameter_that_is_right_shows_that_there_is_no_solver():
    grads = [SLIGHT - np.cos(X), np.cos(X)]
    (diagnosis,) = check_gradients([X, X], grads, two_sines, names=["a", "b"]).diagnoses
    assert diagnosis.cause is Cause.UNKNOWN


def test_tiny_errors_do_not_hide_a_cause_beside_what_has_none():
    grads = [1e-5 * SLIGHT - np.cos(X), np.cos(X) ** 2, (1 + 1e-6) * np.cos(X)]

    def cost(a, b, c):
        return two_sines(a, b) + float(np.sum(np.sin(c)))

    found = check_gradients([X, X, X], grads, cost, names=["a", "b", "c"]).diagnoses
    assert [(d.cause, d.names) for d in found] == [(Cause.SIGN, ("a",)), (Cause.UNKNOWN, ("b",))]


def test_jumps_that_are_far_in_most_directions():
    """They are met on the line on which the small errors add up, and allow for a fitted factor."""
    x = np.linspace(0.2, 1.2, 12)

    def cost(a, b):
        moved = float(np.sum(a - x) + np.sum(b - x))
        return two_sines(a, b) + 0.02 * ((moved + 4.0) % 8.0)

    grads = [-3.7 * np.cos(x), np.cos(x)]
    (diagnosis,) = check_gradients([x, x], grads, cost, names=["a", "b"]).diagnoses
    assert (diagnosis.cause, diagnosis.names) == (Cause.SCALE, ("a",))
