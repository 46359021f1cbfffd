"""Costs that come out of a solver that stops early, at a tolerance.

The true gradient is that of the solution itself: `exact` computes it, with many more iterations or
in a closed form, and the backward passes differentiate it by the implicit function theorem.
"""

from functools import partial

import numpy as np

from .elementwise import softmax
from .family import STOPS_EARLY, Family

# Conjugate gradients for a linear system.

CG_BUGS = ("adjoint system not solved", "sign of the adjoint", "logarithm forgotten")


def make_cg(rng, variant):
    n, tolerance = ((8, 1e-5), (12, 1e-3))[variant]
    B = rng.normal(size=(n, n))
    params = {"log_diagonal": rng.normal(size=n) / 2, "c": rng.normal(size=n)}
    data = {"A": B @ B.T / n + np.eye(n), "target": rng.normal(size=n), "m": 1}
    return params, data | {"tolerance": tolerance}


def matrix(xp, p, data):
    return data["A"] + xp.diag(xp.exp(p["log_diagonal"]))


def conjugate_gradients(H, c, tolerance):
    """Return the solution of H x = c, with a residual of at most so much of c."""
    x, r = np.zeros_like(c), c
    direction, square = r, r @ r
    goal = tolerance**2 * square
    for _ in range(10 * len(c)):
        # Written so that nan ends it, too.
        if not square > goal:
            break
        ahead = H @ direction
        step = square / (direction @ ahead)
        x, r = x + step * direction, r - step * ahead
        direction, square = r + (r @ r) / square * direction, r @ r
    return x


def cg_cost(xp, p, data):
    x = conjugate_gradients(matrix(xp, p, data), p["c"], data["tolerance"])
    return xp.sum((x - data["target"]) ** 2) / 2


def exact_cg_cost(xp, p, data):
    x = xp.linalg.solve(matrix(xp, p, data), p["c"])
    return xp.sum((x - data["target"]) ** 2) / 2


def cg_backward(p, data, bug):
    H = matrix(np, p, data)
    x = np.linalg.solve(H, p["c"])
    dx = x - data["target"]
    adjoint = dx if bug == CG_BUGS[0] else np.linalg.solve(H, dx)
    through = (1.0 if bug == CG_BUGS[1] else -1.0) * adjoint * x
    return {
        "log_diagonal": through * (1.0 if bug == CG_BUGS[2] else np.exp(p["log_diagonal"])),
        "c": adjoint,
    }


# A deep equilibrium: the fixed point of a layer.

FIXED_BUGS = ("last iteration only", "W not transposed in the adjoint", "input's bias forgotten")


def make_fixed_point(rng, variant):
    width, m, tolerance = ((4, 3, 1e-6), (3, 5, 1e-4))[variant]
    W = rng.normal(size=(width, width))
    params = {"W": W * 0.6 / np.linalg.norm(W, 2), "U": rng.normal(size=(2, width))}
    params["b"] = rng.normal(size=width) * 0.3
    data = {"X": rng.normal(size=(m, 2)), "Y": rng.normal(size=(m, width)), "m": m}
    return params, data | {"tolerance": tolerance}


def fixed_point(xp, p, data, tolerance, most):
    """Iterate Z = tanh(Z W + X U + b) until nothing changes by more than the tolerance."""
    inputs = data["X"] @ p["U"] + p["b"]
    Z = xp.tanh(inputs)
    for _ in range(most):
        new = xp.tanh(Z @ p["W"] + inputs)
        if tolerance and not np.abs(new - Z).max() > tolerance:
            return new
        Z = new
    return Z


def fixed_cost(xp, p, data):
    Z = fixed_point(xp, p, data, data["tolerance"], 200)
    return xp.sum((Z - data["Y"]) ** 2) / (2 * data["m"])


def exact_fixed_cost(xp, p, data):
    Z = fixed_point(xp, p, data, 0.0, 70)
    return xp.sum((Z - data["Y"]) ** 2) / (2 * data["m"])


def fixed_backward(p, data, bug):
    Z = fixed_point(np, p, data, 0.0, 70)
    dZ, slope = (Z - data["Y"]) / data["m"], 1 - Z**2
    back = p["W"] if bug == FIXED_BUGS[1] else p["W"].T
    back = back * (0.0 if bug == FIXED_BUGS[0] else 1.0)
    dA = np.stack(
        [
            np.linalg.solve((np.eye(len(back)) - back * slopes).T, slopes * d)
            for slopes, d in zip(slope, dZ, strict=True)
        ]
    )
    b = np.zeros_like(p["b"]) if bug == FIXED_BUGS[2] else dA.sum(axis=0)
    return {"W": Z.T @ dA, "U": data["X"].T @ dA, "b": b}


# An ordinary differential equation, solved with steps that adapt: hares and lynxes, or a pendulum.

ODE_BUGS = ("start's gradient by the last time only", "rates of another equation", "sign of a rate")
STAGES = 12


def lotka_volterra(y, rates):
    a, b, c, d = rates
    return y[0] * (a - b * y[1]), y[1] * (c * y[0] - d)


def lotka_volterra_jacobian(y, rates):
    """Return the derivatives of both rates of change by both numbers, and by the four rates."""
    a, b, c, d = rates
    by_y = np.array([[a - b * y[1], -b * y[0]], [c * y[1], c * y[0] - d]])
    by_rates = np.array([[y[0], -y[0] * y[1], 0, 0], [0, 0, y[0] * y[1], -y[1]]])
    return by_y, by_rates


def van_der_pol(y, rates):
    a, b, c, d = rates
    return c * y[1], a * (1 - b * y[0] * y[0]) * y[1] - d * y[0]


def van_der_pol_jacobian(y, rates):
    a, b, c, d = rates
    by_y = np.array([[0, c], [-2 * a * b * y[0] * y[1] - d, a * (1 - b * y[0] * y[0])]])
    bend = 1 - b * y[0] * y[0]
    by_rates = np.array([[0, 0, y[1], 0], [bend * y[1], -a * y[0] * y[0] * y[1], 0, -y[0]]])
    return by_y, by_rates


EQUATIONS = {
    "lotka-volterra": (lotka_volterra, lotka_volterra_jacobian),
    "van der pol": (van_der_pol, van_der_pol_jacobian),
}


def make_ode(rng, variant):
    name, tolerance = (("lotka-volterra", 1e-5), ("van der pol", 1e-3))[variant]
    params = {"rates": rng.uniform(0.5, 1.5, size=4), "start": rng.uniform(0.5, 1.5, size=2)}
    data = {"equation": name, "tolerance": tolerance, "apart": 0.6, "m": 4}
    return params, data | {"Y": rng.uniform(0.3, 2, size=(4, 2))}


def ode_cost(xp, p, data):
    """Solve by Bogacki and Shampine's pair, as ode23 does, with Python's numbers."""
    slope_of = EQUATIONS[data["equation"]][0]
    rates, y = [float(rate) for rate in p["rates"]], tuple(map(float, p["start"]))
    h, total = 0.1, 0.0
    for row in data["Y"]:
        y, h = advanced(lambda y: slope_of(y, rates), y, data["apart"], h, data["tolerance"])
        total += (y[0] - row[0]) ** 2 + (y[1] - row[1]) ** 2
    return np.float64(total / (2 * data["m"]))


def advanced(slope_of, y, left, h, tolerance):
    """Return the solution after a time, and the step with which to go on."""
    k1 = slope_of(y)
    for _ in range(300):
        if left <= 0:
            break
        h = min(h, left)
        k2 = slope_of([a + h / 2 * k for a, k in zip(y, k1, strict=True)])
        k3 = slope_of([a + 3 * h / 4 * k for a, k in zip(y, k2, strict=True)])
        new = [
            a + h * (2 * p + 3 * q + 4 * r) / 9 for a, p, q, r in zip(y, k1, k2, k3, strict=True)
        ]
        k4 = slope_of(new)
        off = max(
            abs(h * (-5 * p + 6 * q + 8 * r - 9 * s) / 72)
            for p, q, r, s in zip(k1, k2, k3, k4, strict=True)
        )
        # Written so that nan makes the step smaller.
        good = off <= tolerance
        if good:
            left, y, k1 = left - h, new, k4
        ratio = tolerance / off if off > 0 else 1e3
        h *= min(5.0, max(0.2, 0.9 * ratio ** (1 / 3))) if ratio > 0 else 0.2
    return y, h


def exact_ode_cost(xp, p, data):
    """Solve with many equal steps of the classical method of fourth order."""
    slope_of = EQUATIONS[data["equation"]][0]
    rates, y = [p["rates"][k] for k in range(4)], [p["start"][k] for k in range(2)]
    h, total = data["apart"] / STAGES, 0.0
    for row in data["Y"]:
        for _ in range(STAGES):
            y = classical(lambda y: slope_of(y, rates), y, h)
        total = total + (y[0] - row[0]) ** 2 + (y[1] - row[1]) ** 2
    return total / (2 * data["m"])


def classical(slope_of, y, h):
    """Return y after one step of Runge and Kutta's method of fourth order."""
    k1 = slope_of(y)
    k2 = slope_of([a + h / 2 * k for a, k in zip(y, k1, strict=True)])
    k3 = slope_of([a + h / 2 * k for a, k in zip(y, k2, strict=True)])
    k4 = slope_of([a + h * k for a, k in zip(y, k3, strict=True)])
    return [
        a + h / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in zip(y, k1, k2, k3, k4, strict=True)
    ]


def ode_backward(p, data, bug):
    """Solve for the derivatives by the rates and by the start, together with the solution."""
    slope_of, jacobian_of = EQUATIONS[data["equation"]]
    if bug == ODE_BUGS[1]:
        jacobian_of = next(j for f, j in EQUATIONS.values() if f is not slope_of)
    rates = p["rates"]

    def both(state):
        y, S = state
        by_y, by_rates = jacobian_of(y, rates)
        return np.array(slope_of(y, rates)), by_y @ S + np.hstack([by_rates, np.zeros((2, 2))])

    state = [p["start"], np.hstack([np.zeros((2, 4)), np.eye(2)])]
    gradient, last = np.zeros(6), None
    for row in data["Y"]:
        for _ in range(STAGES):
            state = classical(both, state, data["apart"] / STAGES)
        last = (state[0] - row) @ state[1] / data["m"]
        gradient += last
    by_rates, by_start = gradient[:4], gradient[4:]
    if bug == ODE_BUGS[0]:
        by_start = last[4:]
    if bug == ODE_BUGS[2]:
        by_rates = by_rates * [1, 1, 1, -1]
    return {"rates": by_rates, "start": by_start}


# Kepler's equation, and a cubic one: an implicit layer that is solved for each example.

IMPLICIT_BUGS = ("implicit derivative forgotten", "path through the anomaly forgotten", "its sign")


def make_kepler(rng, variant):
    n = (4, 3)[variant]
    params = {
        "eccentricity": rng.uniform(0.2, 0.7, size=n),
        "anomaly": rng.uniform(0.5, 2.5, size=n),
        "axis": rng.uniform(0.5, 2, size=n),
    }
    data = {"X": rng.normal(size=n), "Y": rng.normal(size=n), "m": n}
    return params, data | {
        "how": ("newton", "iteration")[variant],
        "tolerance": (1e-2, 1e-5)[variant],
    }


def kepler(xp, p, data, tolerance, most):
    """Solve E − e sin E = M by Newton's method, or by E = M + e sin E."""
    e, M = p["eccentricity"], p["anomaly"]
    E = M
    for _ in range(most):
        change = M + e * xp.sin(E) - E
        if data["how"] == "newton" or not tolerance:
            change = change / (1 - e * xp.cos(E))
        E = E + change
        if tolerance and not np.abs(change).max() > tolerance:
            break
    return E


def places(xp, p, E):
    """Return the places on the orbits."""
    a, e = p["axis"], p["eccentricity"]
    return a * (xp.cos(E) - e), a * xp.sqrt(1 - e**2) * xp.sin(E)


def orbit_cost(xp, p, data, E):
    x, y = places(xp, p, E)
    return (xp.sum((x - data["X"]) ** 2) + xp.sum((y - data["Y"]) ** 2)) / (2 * data["m"])


def kepler_cost(xp, p, data):
    return orbit_cost(xp, p, data, kepler(xp, p, data, data["tolerance"], 100))


def exact_kepler_cost(xp, p, data):
    return orbit_cost(xp, p, data, kepler(xp, p, data, 0.0, 12))


def kepler_backward(p, data, bug):
    E, a, e = kepler(np, p, data, 0.0, 12), p["axis"], p["eccentricity"]
    x, y = places(np, p, E)
    dx, dy, root = (x - data["X"]) / data["m"], (y - data["Y"]) / data["m"], np.sqrt(1 - e**2)
    dE = a * (dy * root * np.cos(E) - dx * np.sin(E))
    slope = 1.0 if bug == IMPLICIT_BUGS[0] else 1 - e * np.cos(E)
    dM = dE / slope * (-1.0 if bug == IMPLICIT_BUGS[2] else 1.0)
    through = 0.0 if bug == IMPLICIT_BUGS[1] else dM * np.sin(E)
    return {
        "eccentricity": through - a * (dx + dy * e / root * np.sin(E)),
        "anomaly": dM,
        "axis": (dx * x + dy * y) / a,
    }


# Bisection: the cost is constant between its last intervals.

CUBIC_BUGS = ("cube's slope forgotten", "logarithm forgotten", "its sign")


def make_cubic(rng, variant):
    n = (6, 4)[variant]
    params = {"log_slope": rng.normal(size=n) * 0.5, "c": rng.normal(size=n) * 2}
    return params, {"target": rng.normal(size=n), "m": n, "halvings": (22, 16)[variant]}


def bisected(p, halvings):
    """Return the root of z³ + a z = c in [−8, 8], after some halvings of that interval."""
    slope, middle, half = np.exp(p["log_slope"]), np.zeros_like(p["c"]), 4.0
    for _ in range(halvings):
        middle = middle + np.where(middle**3 + slope * middle < p["c"], half, -half)
        half /= 2
    return middle


def cubic_cost(xp, p, data):
    return xp.sum((bisected(p, data["halvings"]) - data["target"]) ** 2) / (2 * data["m"])


def cubic_root(xp, p, start):
    """Return the root, by Newton's method from near by."""
    slope, z = xp.exp(p["log_slope"]), start
    for _ in range(4):
        z = z - (z**3 + slope * z - p["c"]) / (3 * z**2 + slope)
    return z


def exact_cubic_cost(xp, p, data):
    plain = {name: getattr(value, "_value", value) for name, value in p.items()}
    z = cubic_root(xp, p, bisected(plain, 30))
    return xp.sum((z - data["target"]) ** 2) / (2 * data["m"])


def cubic_backward(p, data, bug):
    z, slope = cubic_root(np, p, bisected(p, 30)), np.exp(p["log_slope"])
    dz = (z - data["target"]) / data["m"]
    dc = dz / (slope if bug == CUBIC_BUGS[0] else 3 * z**2 + slope)
    sign = 1.0 if bug == CUBIC_BUGS[2] else -1.0
    return {"log_slope": sign * dc * z * (1.0 if bug == CUBIC_BUGS[1] else slope), "c": dc}


# The power iteration, for the largest eigenvalue and its vector.

POWER_BUGS = ("vector's path forgotten", "one factor only", "other eigenvalues forgotten")


def make_power(rng, variant):
    n, tolerance = ((5, 1e-6), (4, 1e-4))[variant]
    L = rng.normal(size=(n, 2)) * 0.5
    L[:, 0] *= 3
    params = {"L": L, "diagonal": rng.uniform(0, 1, size=n)}
    weights = rng.dirichlet(np.ones(n))
    return params, {"weights": weights, "goal": rng.uniform(2, 6), "m": 1, "tolerance": tolerance}


def symmetric(xp, p):
    return p["L"] @ p["L"].T + xp.diag(p["diagonal"])


def power_value(xp, S, v, data):
    value = v @ S @ v
    return (value - data["goal"]) ** 2 / 2 + 3 * xp.sum((v**2 - data["weights"]) ** 2)


def power_cost(xp, p, data):
    S = symmetric(xp, p)
    v = np.ones(len(S)) / len(S) ** 0.5
    for _ in range(300):
        new = S @ v
        new = new / np.sqrt(new @ new)
        change, v = np.abs(new - v).max(), new
        if not change > data["tolerance"]:
            break
    return power_value(xp, S, v, data)


def exact_power_cost(xp, p, data):
    S = symmetric(xp, p)
    return power_value(xp, S, xp.linalg.eigh(S)[1][:, -1], data)


def power_backward(p, data, bug):
    S = symmetric(np, p)
    values, vectors = np.linalg.eigh(S)
    v = vectors[:, -1]
    dv = 12 * (v**2 - data["weights"]) * v
    gaps = np.ones(len(v) - 1) if bug == POWER_BUGS[2] else values[-1] - values[:-1]
    moved = vectors[:, :-1] @ ((vectors[:, :-1].T @ dv) / gaps)
    if bug == POWER_BUGS[0]:
        moved = 0 * moved
    dS = np.outer((values[-1] - data["goal"]) * v + moved, v)
    dL = (dS if bug == POWER_BUGS[1] else dS + dS.T) @ p["L"]
    return {"L": dL, "diagonal": np.diag(dS).copy()}


# Sinkhorn's iteration: the cost of moving points onto others, with some entropy.

SINKHORN_BUGS = ("weights' potential forgotten", "distance's slope by half", "plan not transposed")


def make_sinkhorn(rng, variant):
    n, tolerance = ((4, 1e-4), (5, 1e-3))[variant]
    params = {"points": rng.normal(size=(n, 2)), "logits": rng.normal(size=n) * 0.5}
    data = {"others": rng.normal(size=(n, 2)), "shares": rng.dirichlet(np.full(n, 3.0)), "m": 1}
    return params, data | {"tolerance": tolerance, "entropy": 1.0}


def distances(xp, p, data):
    apart = p["points"][:, None] - data["others"]
    return apart, xp.sum(apart**2, axis=2) / 2


def plan(xp, p, data, tolerance, most):
    """Return distances, weights, and the plan with its potentials; it has the right columns."""
    _, C = distances(xp, p, data)
    a, K = softmax(xp, p["logits"]), xp.exp(-C / data["entropy"])
    v = np.ones(len(data["shares"]))
    for _ in range(most):
        u = a / (K @ v)
        v = data["shares"] / (K.T @ u)
        if tolerance and not np.abs(u * (K @ v) - a).max() > tolerance:
            break
    return C, a, u, v, u[:, None] * K * v


def sinkhorn_cost(xp, p, data):
    C, _, _, _, P = plan(xp, p, data, data["tolerance"], 200)
    return xp.sum(P * C) + data["entropy"] * xp.sum(P * xp.log(P))


def exact_sinkhorn_cost(xp, p, data):
    _, a, u, v, _ = plan(xp, p, data, 0.0, 100)
    return data["entropy"] * (xp.sum(a * xp.log(u)) + xp.sum(data["shares"] * xp.log(v)))


def sinkhorn_backward(p, data, bug):
    apart, _ = distances(np, p, data)
    _, a, u, _, P = plan(np, p, data, 0.0, 100)
    if bug == SINKHORN_BUGS[2]:
        P = P.T
    slope = apart / 2 if bug == SINKHORN_BUGS[1] else apart
    da = 0 * u if bug == SINKHORN_BUGS[0] else data["entropy"] * np.log(u)
    return {
        "points": (P[:, :, None] * slope).sum(axis=1),
        "logits": a * (da - (a * da).sum()),
    }


family = partial(Family, kind=STOPS_EARLY, ordinary=False, averaged=False)

FAMILIES = (
    family(
        "conjugate gradients",
        make_cg,
        cost=cg_cost,
        exact=exact_cg_cost,
        backward=cg_backward,
        bugs=CG_BUGS,
        weights=("log_diagonal", "c"),
    ),
    family(
        "fixed point",
        make_fixed_point,
        cost=fixed_cost,
        exact=exact_fixed_cost,
        backward=fixed_backward,
        bugs=FIXED_BUGS,
        weights=("W", "U"),
    ),
    family(
        "adaptive steps",
        make_ode,
        cost=ode_cost,
        exact=exact_ode_cost,
        backward=ode_backward,
        bugs=ODE_BUGS,
        weights=("rates",),
    ),
    family(
        "kepler's equation",
        make_kepler,
        cost=kepler_cost,
        exact=exact_kepler_cost,
        backward=kepler_backward,
        bugs=IMPLICIT_BUGS,
        weights=("axis",),
    ),
    family(
        "bisection",
        make_cubic,
        cost=cubic_cost,
        exact=exact_cubic_cost,
        backward=cubic_backward,
        bugs=CUBIC_BUGS,
        weights=("log_slope",),
    ),
    family(
        "power iteration",
        make_power,
        cost=power_cost,
        exact=exact_power_cost,
        backward=power_backward,
        bugs=POWER_BUGS,
        weights=("L",),
    ),
    family(
        "sinkhorn",
        make_sinkhorn,
        cost=sinkhorn_cost,
        exact=exact_sinkhorn_cost,
        backward=sinkhorn_backward,
        bugs=SINKHORN_BUGS,
        weights=("points",),
    ),
)
