"""A cause is named if the numbers support it, and only then.

The file ``golden/diagnoses.txt`` has the exact diagnoses of every planted bug.
"""

import functools
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from networks import ClassicExercise, Digits, Smooth

from gradcheck_magic import (
    Cause,
    GradientCheckInterrupted,
    InputError,
    Verdict,
    check_gradients,
)
from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastWatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import pair

GOLDEN = Path(__file__).parents[1] / "golden" / "diagnoses.txt"
LAYERS = (1, 2, 3)
WEIGHTS = tuple(f"dW{k}" for k in LAYERS)
BIASES = tuple(f"db{k}" for k in LAYERS)


def checked(net, grads, params=None, **more):
    """Check a gradient as the magic does, with the notebook's namespace."""
    params = net.params if params is None else params
    return check_gradients(params, grads, net.cost, names=getattr(net, "namespace", None), **more)


def golden():
    """Return the diagnoses of each case in the golden file."""
    cases = {}
    for block in GOLDEN.read_text(encoding="utf-8").strip().split("\n\n"):
        case, *lines = block.split("\n")
        cases[case] = lines
    return cases


def write(cases):
    """Write the golden file, in the order of the planted bugs."""
    blocks = ("\n".join([case, *cases[case]]) for case in PLANTED if case in cases)
    GOLDEN.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def written(check):
    """Return the diagnoses of a check in the format of the golden file."""
    return [f"{d.cause.name} {', '.join(d.names)}: {rounded(d.sentence)}" for d in check.diagnoses]


def rounded(sentence):
    """Replace the number of digits by N: the last bits of a cost may change it by one."""
    digits = re.findall(r"to (\d+) digit", sentence)
    assert all(4 <= int(number) <= 9 for number in digits)
    return re.sub(r"to \d+ digits?", "to N digits", sentence)


# Bugs: changes to the correct gradients of a network


def one(name, change):
    """Change one gradient."""
    return lambda net, grads: {**grads, name: change(grads[name])}


def every(change, *names):
    """Change all gradients, or some of them."""
    return lambda net, grads: {
        name: change(grad) if name in (names or grads) else grad for name, grad in grads.items()
    }


def inside(bug):
    """Plant a bug inside the backward pass."""
    return lambda net, grads: net.grads(bug)


def penalised(excess, *names, penalty=lambda W: W):
    """Add this multiple of the parameters, in units of the penalty's own λ / m."""

    def plant(net, grads):
        m = net.X.shape[1]
        unit = net.lambd / m
        more = {n: excess(m) * unit * penalty(net.params[n[1:]]) for n in names}
        return {name: grad + more.get(name, 0) for name, grad in grads.items()}

    return plant


def part(index, change):
    """Change a part of a gradient."""

    def changed(grad):
        grad = grad.copy()
        grad[index] = change(grad[index])
        return grad

    return changed


def with_array(name, operation, array):
    """Combine one gradient with an array that the parameters give."""
    return lambda net, grads: {**grads, name: operation(grads[name], array(net.params))}


def gamma_1(params):
    return params["gamma1"]


def after_an_update(net, grads):
    """Compute the gradient at parameters that were updated, but are not those of the check."""
    return net.grads(p=updated(net, grads, 0.03))


def exchanged(one, other):
    return lambda net, grads: {**grads, one: grads[other], other: grads[one]}


def in_the_data(factor, *names):
    """Multiply the data's part of some gradients by a factor, but not the penalty's part."""

    def plant(net, grads):
        m = net.X.shape[1]
        penalty = {f"dW{k}": net.lambd / m * net.params[f"W{k}"] for k in LAYERS}
        rest = {name: (1 - factor) * penalty.get(name, 0.0) for name in names}
        return {n: factor * g + rest[n] if n in names else g for n, g in grads.items()}

    return plant


def both(*plants):
    def plant(net, grads):
        for each in plants:
            grads = each(net, grads)
        return grads

    return plant


def classic(_, grads):
    return ClassicExercise().grads(bugs=True)


class DeadUnits(Digits):
    """Rectifiers, two of them with inputs that are never above zero."""

    def __init__(self):
        super().__init__("relu", lambd=0.0, seed=3)
        self.params["b2"][[1, 4]] = -20.0


class Nameless(Digits):
    """A network whose penalty has a strength without a name: it is a number in the code."""

    def __init__(self):
        super().__init__()
        self.cost = functools.partial(_cost_of_nameless, self.forward, self.X, self.Y)
        self.namespace = {"X": self.X, "Y": self.Y}


def _cost_of_nameless(forward, X, Y, p):
    fit = -np.sum(Y * np.log(forward(p)[-1])) / X.shape[1]
    return fit + 0.7 / (2 * X.shape[1]) * sum(np.sum(p[f"W{k}"] ** 2) for k in LAYERS)


class Square(Digits):
    """A network with as many examples as units in layer 2: a sum over the wrong axis fits."""

    def __init__(self):
        super().__init__(m=5)
        self.params["W3"] = self.params["W3"][:, :5]

    def wrong_axis(self):
        """Return the second layer's dZ, summed over its units."""
        _, A2, A3 = self.forward(self.params)
        dZ2 = self.params["W3"].T @ (A3 - self.Y) * (1 - A2**2)
        return dZ2.sum(axis=0)[:, None] / self.X.shape[1]


class Tied:
    """A network with three weights of one shape: their gradients fit in any order."""

    def __init__(self):
        random = np.random.default_rng(2)
        self.X, self.Y = random.normal(size=(2, 12, 4))
        self.params = [random.normal(size=(4, 4)) for _ in range(3)]

    def forward(self, params):
        states = [self.X]
        for W in params:
            states.append(np.tanh(states[-1] @ W))
        return states

    def cost(self, params):
        return np.sum((self.forward(params)[-1] - self.Y) ** 2) / 2 / len(self.X)

    def grads(self):
        states = self.forward(self.params)
        dA, grads = (states[-1] - self.Y) / len(self.X), []
        for W, before, after in zip(self.params[::-1], states[-2::-1], states[:0:-1], strict=True):
            dZ = dA * (1 - after**2)
            grads.append(before.T @ dZ)
            dA = dZ @ W.T
        return grads[::-1]


class Kernel:
    """A convolution of images of digits, computed by its definition, with a square loss."""

    def __init__(self):
        random = np.random.default_rng(4)
        self.images = Digits(m=12).X.T.reshape(12, 3, 4)
        self.Y = random.normal(size=(12, 2, 2))
        self.params = {"K": random.normal(size=(1, 2, 3)), "b": random.normal(size=1)}

    def windows(self):
        return np.lib.stride_tricks.sliding_window_view(self.images, (2, 3), axis=(1, 2))

    def output(self, p):
        return np.einsum("ntsij,fij->nts", self.windows(), p["K"]) + p["b"]

    def cost(self, p):
        return np.sum((self.output(p) - self.Y) ** 2) / 2

    def grads(self):
        dout = self.output(self.params) - self.Y
        dK = np.einsum("nts,ntsij->ij", dout, self.windows())[None]
        return {"dK": dK, "db": np.array([dout.sum()])}


class Normalised:
    """Batch norm after each of two weights without a bias, with numbers in all names."""

    def __init__(self):
        digits = Digits()
        random = np.random.default_rng(6)
        self.X, self.Y = digits.X.T, digits.Y.T
        self.params = {
            "W1": random.normal(size=(12, 6)), "gamma1": random.uniform(0.5, 1.5, size=6),
            "beta1": random.normal(size=6), "W2": random.normal(size=(6, 5)),
            "gamma2": random.uniform(0.5, 1.5, size=5), "beta2": random.normal(size=5),
            "W3": random.normal(size=(5, 10)),
        }  # fmt: skip

    def forward(self, p):
        A, layers = self.X, []
        for k in (1, 2):
            Z = A @ p[f"W{k}"]
            std = Z.std(axis=0)
            N = (Z - Z.mean(axis=0)) / std
            layers.append((A, N, std))
            A = np.tanh(p[f"gamma{k}"] * N + p[f"beta{k}"])
        return A, layers

    def cost(self, p):
        return np.mean((self.forward(p)[0] @ p["W3"] - self.Y) ** 2) / 2

    def grads(self, detached=(), over=np.mean):
        """Return the gradients; layers in `detached` treat their mean and variance as constants."""
        p = self.params
        A, layers = self.forward(p)
        dZ = (A @ p["W3"] - self.Y) / self.Y.size
        grads = {"dW3": A.T @ dZ}
        dA = dZ @ p["W3"].T
        for k, (before, N, std) in ((2, layers[1]), (1, layers[0])):
            after = np.tanh(p[f"gamma{k}"] * N + p[f"beta{k}"])
            dout = dA * (1 - after**2)
            grads |= {f"dgamma{k}": (dout * N).sum(axis=0), f"dbeta{k}": dout.sum(axis=0)}
            dN = dout * p[f"gamma{k}"]
            through = over(dN, axis=0) + N * over(dN * N, axis=0)
            dZ = (dN if k in detached else dN - through) / std
            grads[f"dW{k}"] = before.T @ dZ
            dA = dZ @ p[f"W{k}"].T
        return grads


PLANTED = {
    "sign": (Digits, one("dW1", np.negative)),
    "sign of everything": (Digits, every(np.negative)),
    "sign of one layer": (Digits, every(np.negative, "dW2", "db2")),
    "twice": (Digits, one("dW2", lambda g: 2 * g)),
    "half": (Digits, one("dW2", lambda g: g / 2)),
    "twice from one layer back": (
        Digits, every(lambda g: 2 * g, "dW1", "db1", "dW2", "db2")
    ),
    "mean forgotten": (Digits, one("db3", lambda g: 40 * g)),
    "mean forgotten everywhere": (Digits, every(lambda g: 40 * g)),
    "mean twice": (Digits, one("db1", lambda g: g / 40)),
    "mean forgotten in the data": (Digits, in_the_data(40, *WEIGHTS, *BIASES)),
    "sign in the data": (Digits, in_the_data(-1, "dW1", "db1", "dW2", "db2")),
    "twice in the data, a strength without a name": (Nameless, in_the_data(2, *WEIGHTS, *BIASES)),
    "no data, a strength without a name": (Nameless, in_the_data(0, "dW1", "db1")),
    "root of a length": (Digits, one("dW3", lambda g: np.sqrt(40) * g)),
    "a small whole number": (Smooth, one("db2", lambda g: 3 * g)),
    "without a meaning": (Smooth, one("dW1", lambda g: 1.2345678 * g)),
    "nearly right": (Smooth, one("dW1", lambda g: (1 + 3e-5) * g)),
    "huge": (Smooth, one("dW1", lambda g: 1e200 * g)),
    "a number and an array": (Smooth, every(lambda g: -2 * g, "db1", "db2")),
    "transposed": (Smooth, one("dW1", lambda g: g.T.copy())),
    "reshaped": (Digits, one("dW1", lambda g: g.T.reshape(g.shape))),
    "reshaped the other way": (Digits, one("dW1", lambda g: g.reshape(g.shape[::-1]).T.copy())),
    "reversed": (Digits, one("db2", lambda g: g[::-1])),
    "kernel flipped": (Kernel, one("dK", lambda g: g[:, ::-1, ::-1])),
    "off by one": (Digits, one("dW2", lambda g: np.roll(g, 1, axis=0))),
    "shuffled rows": (Digits, one("dW1", lambda g: g[[3, 1, 5, 0, 2, 4]])),
    "exchanged": (Tied, lambda net, grads: [grads[2], grads[1], grads[0]]),
    "another order": (Tied, lambda net, grads: [grads[1], grads[2], grads[0]]),
    "copied from another": (Tied, lambda net, grads: [grads[0], grads[0], grads[2]]),
    "exchanged numbers": (ClassicExercise, exchanged("db2", "dW3")),
    "times itself": (Normalised, with_array("dgamma2", np.multiply, lambda p: p["gamma2"])),
    "times itself, negative": (Smooth, with_array("dW1", np.multiply, lambda p: p["W1"])),
    "by its exponential": (Smooth, with_array("dW1", np.divide, lambda p: np.exp(p["W1"]))),
    "divided by itself": (Digits, with_array("db2", np.divide, lambda p: p["b2"])),
    "a factor of columns forgotten": (
        Normalised, with_array("dW3", np.divide, lambda p: p["gamma2"][:, None])
    ),
    "a factor of entries too many": (Normalised, with_array("dbeta1", np.multiply, gamma_1)),
    "mean with the transpose": (Smooth, one("dW1", lambda g: (g + g.T) / 2)),
    "sum with the transpose": (Smooth, one("dW1", lambda g: g + g.T - np.diag(np.diag(g)))),
    "after an update": (Digits, after_an_update),
    "zero": (Digits, one("dW1", np.zeros_like)),
    "zero from one layer back": (Digits, every(np.zeros_like, "dW1", "db1")),
    "penalty missing": (Digits, penalised(lambda m: -1, *WEIGHTS)),
    "penalty doubled": (Digits, penalised(lambda m: 1, *WEIGHTS)),
    "penalty not divided by m": (Digits, penalised(lambda m: m - 1, *WEIGHTS)),
    "penalty of a bias": (Digits, penalised(lambda m: 1, "db2")),
    "penalty of the sign": (Digits, penalised(lambda m: 1, "dW2", penalty=np.sign)),
    "a row zero": (Digits, one("dW1", part(2, np.zeros_like))),
    "columns negative": (Digits, one("dW1", part((slice(None), [3, 5]), np.negative))),
    "a block": (Digits, one("dW1", part(np.s_[1:3, 2:5], lambda g: g + np.sqrt(np.abs(g)) + 0.1))),
    "a row scaled": (Smooth, one("dW1", part(2, lambda g: 3 * g))),
    "entries": (Digits, one("dW1", part(([1, 4], [2, 7]), lambda g: g + 0.3))),
    "an entry of a vector": (Digits, one("db3", part(4, np.zeros_like))),
    "not finite": (Digits, one("db3", part([1, 4], lambda g: g / 0))),
    "clipped": (Digits, every(lambda g: np.clip(g, -0.02, 0.02))),
    "integers": (Digits, every(lambda g: g.astype(int), "dW1", "db3")),
    "integers, rounded": (Smooth, one("dW1", lambda g: np.round(g).astype(np.int8))),
    "mask forgotten": (DeadUnits, inside("slope of layer 2")),
    "mask of dead units alone": (DeadUnits, one("dW2", part([1, 4], lambda g: g + 1.0))),
    "a sum too many": (Digits, one("db2", lambda g: np.full_like(g, g.sum()))),
    "a mean too many": (Digits, one("dW3", lambda g: np.ones_like(g) * g.mean(axis=0))),
    "the wrong axis": (Square, lambda net, grads: {**grads, "db2": net.wrong_axis()}),
    "slope of layer 1": (Digits, inside("slope of layer 1")),
    "slope of layer 2": (Digits, inside("slope of layer 2")),
    "another slope": (Digits, inside("1 - A in layer 2")),
    "loss's derivative": (Digits, inside("loss's derivative")),
    "norm taken for constant": (Normalised, lambda net, grads: net.grads(detached=(1, 2))),
    "norm of layer 1 taken for constant": (Normalised, lambda net, grads: net.grads(detached=(1,))),
    "norm's mean forgotten": (Normalised, lambda net, grads: net.grads(over=np.sum)),
    "weights before a norm": (Normalised, one("dW2", np.negative)),
    "two bugs": (Digits, both(inside("slope of layer 1"), one("dW3", np.negative))),
    "two simple bugs": (Digits, both(one("dW1", np.negative), one("db2", lambda g: 3 * g))),
    "the classic exercise": (ClassicExercise, classic),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_named(case, request):
    """Every planted bug is named, in the words of the golden file; JSON can hold the details."""
    make, plant = PLANTED[case]
    net = make()
    check = checked(net, plant(net, net.grads()))
    if request.config.getoption("update_golden"):
        write(golden() | {case: written(check)})
    assert written(check) == golden().get(case)
    assert json.loads(json.dumps(check.to_dict()))["diagnoses"][0]["sentence"]


def test_nothing_is_written_down_that_is_not_planted():
    assert set(golden()) == set(PLANTED)


@pytest.mark.parametrize("make", [Digits, DeadUnits, Square, Smooth, Tied, Kernel, Normalised])
def test_right_gradients_have_no_diagnosis(make):
    net = make()
    check = checked(net, net.grads())
    assert check.passed
    assert check.diagnoses == ()


INTEGERS = np.array([1, -2, 3, 4])
# In eight bits without a sign, as a copy of an image has them, −1 is 255.
WRAPPED = np.trunc(INTEGERS / 2).astype(int).astype(np.uint8)


@pytest.mark.parametrize(
    ("grads", "params", "causes"),
    [
        pytest.param(2 * INTEGERS, INTEGERS, [], id="right, and whole"),
        pytest.param(-2 * INTEGERS, INTEGERS, [Cause.SIGN], id="the sign of whole numbers"),
        pytest.param(0 * INTEGERS, INTEGERS, [Cause.ZERO], id="never assigned"),
        pytest.param(40 * INTEGERS, INTEGERS / 4, [Cause.SCALE], id="HARD: a factor"),
        pytest.param(INTEGERS // 2, INTEGERS / 4, [Cause.ENTRIES], id="HARD: rounded down"),
        pytest.param(0 * INTEGERS, INTEGERS / 9, [Cause.ENTRIES], id="HARD: nothing is left"),
        pytest.param(WRAPPED, INTEGERS / 3.7, [Cause.ENTRIES], id="HARD: no signs"),
        pytest.param(0.0 * INTEGERS, INTEGERS / 9, [Cause.ZERO], id="HARD: floats"),
    ],
)
def test_integers(grads, params, causes):
    """The dtype is the cause only if the correct gradient is not whole, and has lost a part."""
    check = check_gradients(params, grads, lambda x: float(np.sum(x**2)))
    assert [d.cause for d in check.diagnoses] == causes
    assert [d.details.get("dtype") for d in check.diagnoses] == [
        str(grads.dtype) if cause is Cause.ENTRIES else None for cause in causes
    ]


def test_every_cause_is_planted():
    """Every cause is planted in the table, or in a separate test below."""
    named = {line.split()[0] for lines in golden().values() for line in lines}
    elsewhere = {"CONJUGATE", "STALE", "COST_IGNORES_PARAMETERS", "UNKNOWN"}
    assert named | elsewhere == {cause.name for cause in Cause}


# Bugs that must not be named


def shifted(change, by=1e-3):
    return lambda g: change(g) + by


SHIFT = 1e-3
NEAR_MISSES = {
    "nearly the other sign": (Smooth, one("dW1", shifted(np.negative))),
    "nearly twice": (Smooth, one("dW1", shifted(lambda g: 2 * g))),
    "nearly transposed": (Smooth, one("dW1", shifted(np.transpose))),
    "nearly zero": (Smooth, one("dW1", lambda g: SHIFT + 0 * g)),
    "shifted": (Smooth, one("dW1", lambda g: g + np.eye(4) + 1)),
    "twice, but for one entry": (
        Smooth, one("dW1", lambda g: part((2, 3), lambda x: x * 2)(2 * g))
    ),
    "transposed, but for one entry": (
        Smooth, one("dW1", lambda g: part((2, 3), lambda x: x + SHIFT)(g.T))
    ),
    "nearly times itself": (
        Smooth, with_array("dW1", np.multiply, lambda p: p["W1"] + SHIFT)
    ),
    "nearly symmetrised": (Smooth, one("dW1", shifted(lambda g: (g + g.T) / 2))),
    "nearly after an update": (
        Digits, lambda net, grads: {n: g + SHIFT for n, g in after_an_update(net, grads).items()}
    ),
    "two entries of one factor by chance": (Smooth, one("db2", lambda g: g * [1.7, 1.7])),
    "nearly exchanged": (Tied, lambda net, grads: [grads[2] + SHIFT, grads[1], grads[0] + SHIFT]),
    "the square of the parameter": (
        Digits, penalised(lambda m: 1, "dW2", penalty=lambda W: W * np.abs(W))
    ),
    "random": (Digits, one("dW2", lambda g: np.sin(np.arange(g.size)).reshape(g.shape))),
    "more wrong than right": (Digits, one("dW2", part(np.s_[:, :4], lambda g: g + g**2 + 0.2))),
    "nearly clipped": (Digits, one("dW2", lambda g: np.clip(g, -0.02, 0.021))),
    "signs of a gradient": (Digits, one("dW2", np.sign)),
    "half of it clipped": (
        Digits, one("dW2", lambda g: np.where(g > 0.02, 0.02, np.where(g < 0, 1.1 * g, g)))
    ),
    "random where most is zero": (
        DeadUnits, one("dW2", lambda g: g + np.sin(np.arange(g.size)).reshape(g.shape))
    ),
    "one of them by next to nothing": (
        Smooth, lambda net, grads: {
            **{name: grad + SHIFT + grad**2 for name, grad in grads.items()},
            "dW2": grads["dW2"] + SHIFT,
        }
    ),
    "another total": (Square, lambda net, grads: {**grads, "db2": net.wrong_axis() + SHIFT}),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_not_named(case):
    """A wrong cause is worse than none: an error that no cause fits exactly is only located."""
    make, plant = NEAR_MISSES[case]
    net = make()
    causes = {d.cause for d in checked(net, plant(net, net.grads())).diagnoses}
    assert causes <= {Cause.UNKNOWN, Cause.ENTRIES, Cause.SLICE}
    assert causes


def quadratic(change):
    """Return the diagnoses for J = Σ w², where a wrong factor also looks like a penalty."""
    w = np.random.default_rng(0).normal(size=(6, 4))
    return check_gradients({"w": w}, {"dw": change(2 * w)}, lambda p: np.sum(p["w"] ** 2)).diagnoses


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (np.zeros_like, Cause.ZERO),
        (lambda g: 1.25 * g, Cause.SCALE),
        # It is also the gradient before an update with a learning rate of 0.1.
        (lambda g: 1.2 * g, Cause.SCALE),
        (part((slice(None), 1), lambda g: 1.3 * g), Cause.SLICE),
        (part(([0, 2, 5], [1, 3, 0]), lambda g: 1.7 * g), Cause.ENTRIES),
    ],
)
def test_of_a_quadratic_the_simpler_is_named(change, cause):
    """Neither a penalty nor an update is named if a factor or a zero is enough."""
    assert [d.cause for d in quadratic(change)] == [cause]


def test_two_classes():
    """Two classes have opposite gradients, but rows with a reversed sign are not reordered."""
    random = np.random.default_rng(1)
    X, Y = random.normal(size=(30, 6)), np.eye(2)[random.integers(2, size=30)]

    def cost(p):
        scores = X @ p["W"]
        return np.mean(np.log(np.exp(scores).sum(axis=1)) - (Y * scores).sum(axis=1))

    W = random.normal(size=(6, 2))
    odds = np.exp(X @ W)
    dW = X.T @ (odds / odds.sum(axis=1, keepdims=True) - Y) / 30
    dW[[0, 2, 5]] *= -1
    (diagnosis,) = check_gradients({"W": W}, {"dW": dW}, cost).diagnoses
    assert diagnosis.sentence == (
        "Rows 0, 2 and 5 of `dW` are −1 times the numerical gradient; the rest of `dW` is correct "
        "(6 of 12 entries). Look at what is special about that part."
    )


@pytest.mark.parametrize(
    ("side", "called"),
    [
        (np.s_[1:3, 2:5], "`dW1[1:3, 2:5]` is"),
        (np.s_[1:3, [2, 5]], "`dW1[1:3, [2, 5]]` is"),
        (np.ix_([1, 4], [2, 5]), "`dW1[np.ix_([1, 4], [2, 5])]` is"),
        (np.s_[[1, 4], :], "Rows 1 and 4 of `dW1` are"),
        (np.s_[:, 3], "Column 3 of `dW1` is"),
    ],
)
def test_what_a_block_is_called(side, called):
    """A block is named as NumPy would index it."""
    net = Digits()
    grads = net.grads()
    grads["dW1"] = part(side, lambda g: 1.5 * g)(grads["dW1"])
    (diagnosis,) = checked(net, grads).diagnoses
    assert diagnosis.sentence.startswith(f"{called} 1.500 times the numerical gradient")


def test_two_numbers():
    """A list of numbers has no layers."""
    check = check_gradients([1.5, 2.5], [3.0, 250.0], lambda a, b: a**2 * b)
    assert [d.cause for d in check.diagnoses] == [Cause.UPSTREAM]
    assert "nearly right" not in check.diagnoses[0].sentence


def test_at_a_minimum_the_cost_is_not_ignored():
    """A cost that is flat here, but not everywhere, does not ignore its parameters."""
    x = np.zeros(3)
    (diagnosis,) = check_gradients(
        {"x": x}, {"dx": x + 1}, lambda p: np.cosh(p["x"]).sum()
    ).diagnoses
    assert diagnosis.cause is Cause.UNKNOWN
    bar = diagnosis.details["flat_to"]
    assert diagnosis.sentence == (
        f"`dx` is not zero, but the slope of the cost is, to within {bar:.0e}: everything that `x` "
        "feeds is switched off, or it is at a minimum. Check at another point as well."
    )


def test_unknown_says_what_is_known():
    net = Smooth()
    grads = net.grads()
    grads["dW1"] = 1.5 * grads["dW1"] + 0.01
    (diagnosis,) = checked(net, grads).diagnoses
    assert diagnosis.cause is Cause.UNKNOWN
    assert diagnosis.details.keys() == {"n_wrong", "cosine", "ratio"}
    assert diagnosis.sentence == (
        "`dW1` is wrong in 16 of 16 entries, with no simple pattern: its cosine similarity with "
        f"the numerical gradient is {diagnosis.details['cosine']:.3f}, and it is "
        f"{diagnosis.details['ratio']:.3g} times as long. `db1`, in the same layer, is correct: "
        "look at the line that computes `dW1`."
    )


def test_one_entry_tells_no_cause():
    """A 1 × 1 gradient is always a multiple of the correct one."""
    check = check_gradients(
        {"b": np.array([[2.0]])}, {"db": np.array([[8.0]])}, lambda p: p["b"].item() ** 2
    )
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is Cause.UNKNOWN
    assert diagnosis.sentence == (
        "`db` is 2 times the numerical value; a single entry cannot show why."
    )


def test_one_entry_joins_what_others_tell():
    """A number is wrong by a factor if arrays beside it are wrong by the same one."""
    net = ClassicExercise()
    grads = {name: 2 * grad for name, grad in net.grads().items()}
    (diagnosis,) = checked(net, grads).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.names == ("W1", "b1", "W2", "b2", "W3", "b3")


def test_on_a_kink_no_digit_is_demanded():
    """On a kink, any value between two slopes is correct, so a factor cannot be measured."""
    params = {"w": np.array([0.0, 1.0, -2.0, 3.0])}
    grads = {"w": 2 * np.array([1.0, 1.0, -1.0, 1.0])}
    (diagnosis,) = check_gradients(params, grads, lambda p: np.abs(p["w"]).sum()).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.details["factor"] == pytest.approx(2)


def lasso(*, excess, wrong):
    """Return the diagnoses of a lasso with half its weights at zero, if some entries are wrong."""
    random = np.random.default_rng(0)
    X, y, w = random.normal(size=(20, 8)), random.normal(size=20), random.normal(size=8)
    w[::2] = 0
    dw = X.T @ (X @ w - y) / 20 + 0.1 * np.sign(w)
    dw[wrong] += excess

    def cost(w):
        return np.mean((X @ w - y) ** 2) / 2 + 0.1 * np.abs(w).sum()

    return check_gradients(w, dw, cost).diagnoses


ON_KINKS = (
    "`grads` is wrong in 4 of 8 entries, [0], [2], [4] and 1 more, and correct in the others. They "
    "are on kinks of the cost, where the gradient must lie between the slopes on both sides: at "
    "[0], these are −0.1369 and 0.0631, and it is 0.1631."
)
ON_ONE = (
    "`grads` is wrong in 1 of 8 entries, [6], and correct in the others. It is on a kink of the "
    "cost, where the gradient must lie between the slopes on both sides: these are 0.07426 and "
    "0.2743, and it is 0.3743."
)
ON_NONE = (
    "`grads` is wrong in 2 of 8 entries, [0] and [1], and correct in the others. Look at what "
    "`grads` sums over, and at what is special about these entries."
)


@pytest.mark.parametrize(("excess", "wrong", "said"), [
    pytest.param(0.2, np.s_[::2], ON_KINKS, id="HARD: beyond the slopes by half their gap"),
    pytest.param(0.2, [6], ON_ONE, id="one of them"),
    pytest.param(5.0, [0, 1], ON_NONE, id="HARD: not all are on kinks"),
])  # fmt: skip
def test_wrong_on_kinks(excess, wrong, said):
    """The slopes on both sides are bounds, and the right entries elsewhere are no factor of 1."""
    (diagnosis,) = lasso(excess=excess, wrong=wrong)
    assert diagnosis.cause is Cause.ENTRIES
    assert diagnosis.sentence == said


@pytest.mark.parametrize(("wrong", "which"), [
    pytest.param([*range(40), *range(80, 85)], "45 of 120 entries, 0–39 and 80–84",
                 id="two ranges"),
    pytest.param([*range(9), 50], "10 of 120 entries, 0–8 and 50", id="a range and an entry"),
    pytest.param([0, 7, 14, 21], "4 of 120 entries, [0], [7], [14] and 1 more",
                 id="HARD: in no range"),
    pytest.param([k for k in range(100) if k % 10 < 4],
                 "40 of 120 entries, 0–3, 10–13, 20–23 and 7 more ranges", id="HARD: ten ranges"),
])  # fmt: skip
def test_wrong_in_ranges(wrong, which):
    """The parts of a flat vector are those of the arrays that it consists of."""
    theta, off = np.random.default_rng(0).normal(size=(2, 120))
    gradient = 3 * theta**2 + 2 * theta.sum()
    gradient[wrong] += off[wrong]
    (diagnosis,) = check_gradients(
        theta, gradient, lambda t: np.sum(t**3) + np.sum(t) ** 2
    ).diagnoses
    assert diagnosis.cause is Cause.ENTRIES
    assert diagnosis.sentence.startswith(f"`grads` is wrong in {which}, and correct in the others.")


@pytest.mark.parametrize(("where", "said"), [
    pytest.param(np.s_[:, 0], "in column 0 of `dV` (7 of 35 entries)", id="a column"),
    pytest.param(np.s_[:, 1:], "in columns 1, 2, 3 and 4 of `dV` (28 of 35 entries)", id="columns"),
    pytest.param(np.s_[2:4, 1:3], "in `dV[2:4, 1:3]` (4 of 35 entries)", id="a block"),
    pytest.param((slice(1), slice(1)), "everywhere but in `dV[0, 0]` (34 of 35 entries)",
                 id="HARD: all but one"),
    pytest.param(([0, 3, 5], [1, 2, 0]), "in 3 of 35 entries", id="HARD: here and there"),
])  # fmt: skip
def test_where_a_penalty_is(where, said):
    random = np.random.default_rng(3)
    A, T, V = (random.normal(size=shape) for shape in ((9, 7), (9, 5), (7, 5)))
    dV, excess = 2 * A.T @ (A @ V - T) / 45, 0.1 * V
    if said.startswith("everywhere"):
        dV += excess
        excess = -excess
    dV[where] += excess[where]
    (diagnosis,) = check_gradients(
        {"V": V}, {"dV": dV}, lambda p: np.mean((A @ p["V"] - T) ** 2)
    ).diagnoses
    assert diagnosis.cause is Cause.REGULARIZATION
    assert f"the parameter itself, {said}, while the others are correct" in diagnosis.sentence


def test_single_precision_has_fewer_digits():
    net = Smooth()
    params = {name: value.astype(np.float32) for name, value in net.params.items()}
    net.X, net.Y = net.X.astype(np.float32), net.Y.astype(np.float32)
    right = {name: grad.astype(np.float32) for name, grad in net.grads().items()}
    wrong = {**right, "dW1": np.float32(2) * right["dW1"]}
    (diagnosis,) = check_gradients(params, wrong, lambda p: np.float32(net.cost(p))).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.details["factor"] == pytest.approx(2, rel=1e-2)
    digits = int(diagnosis.sentence.partition(", to ")[2].partition(" digit")[0])
    assert 1 <= digits <= 4


def test_a_factor_is_never_told_to_be_one():
    """However few digits of a factor are known, those shown differ from 1."""
    net = Smooth()
    params = {name: value.astype(np.float32) for name, value in net.params.items()}
    grads = {name: grad.astype(np.float32) for name, grad in net.grads().items()}
    grads["dW1"] = grads["dW1"] * np.float32(1.01)
    (diagnosis,) = check_gradients(params, grads, net.cost).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.sentence.startswith("`dW1` is 1.01")


@pytest.mark.parametrize(("half", "formula"), [
    pytest.param(lambda K: (K + K.T) / 2, "(G + G.T) / 2", id="both halves count half"),
    pytest.param(lambda K: K + K.T - np.diag(np.diag(K)), "G + G.T - diag(G)", id="HARD: twice"),
])  # fmt: skip
def test_not_symmetrised(half, formula):
    """If the cost makes a parameter symmetric, its gradient is symmetric as well."""
    K, B = np.random.default_rng(0).normal(size=(2, 4, 4))
    dK = (1 - np.tanh(half(K)) ** 2) * B
    params, grads = {"K": K}, {"dK": dK}
    (diagnosis,) = check_gradients(
        params, grads, lambda p: np.sum(np.tanh(half(p["K"])) * B)
    ).diagnoses
    assert diagnosis.cause is Cause.TRANSPOSED
    assert diagnosis.details == {"how": "symmetrised", "formula": formula, "is_missing": True}
    assert diagnosis.sentence.startswith(f"`dK` is right if it is symmetrised: `{formula}`")


def test_the_factor_of_a_single_entry():
    """The standard deviation of a Gaussian is often one number, given by its logarithm."""
    x, log_s = np.random.default_rng(0).normal(size=30), np.array([0.3214567])
    ds = 1 / np.exp(log_s) - np.mean(x**2) / np.exp(3 * log_s)

    def cost(p):
        return np.mean(x**2) / (2 * np.exp(2 * p["log_s"][0])) + p["log_s"][0]

    (diagnosis,) = check_gradients({"log_s": log_s}, {"dlog_s": ds}, cost).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert rounded(diagnosis.sentence) == (
        "`dlog_s` is the numerical gradient divided by `np.exp(log_s)`, entry by entry, in the "
        "only entry, to N digits: it is the derivative with respect to exp(log_s), not log_s. "
        "Multiply it by `np.exp(log_s)`."
    )


# The order of the layers


def rearranged(place):
    """Return the cost of `Digits` with its parameters in other places, and wrong gradients."""
    net = Digits()

    def cost(p):
        return net.cost({f"{kind}{k}": place(p, kind, k) for k in LAYERS for kind in "Wb"})

    return cost, net.params, net.grads("slope of layer 2")


def diagnosed_under(names):
    """Return the diagnosis of that bug under other names of the parameters."""
    cost, params, grads = rearranged(lambda p, kind, k: p[names[f"{kind}{k}"]])
    (diagnosis,) = check_gradients(
        {names[name]: value for name, value in params.items()},
        {f"d{names[name[1:]]}": value for name, value in grads.items()},
        cost,
    ).diagnoses
    return diagnosis


def test_boundary_in_a_list_of_layers():
    cost, params, grads = rearranged(lambda p, kind, k: p[k - 1][kind])
    layers = [{"W": params[f"W{k}"], "b": params[f"b{k}"]} for k in LAYERS]
    dlayers = [{"dW": grads[f"dW{k}"], "db": grads[f"db{k}"]} for k in LAYERS]
    (diagnosis,) = check_gradients(layers, dlayers, cost).diagnoses
    assert diagnosis.cause is Cause.UPSTREAM
    assert diagnosis.details["after"] == "params[2].W"
    assert diagnosis.details["before"] == "params[1].W"


def test_boundary_with_the_weights_first():
    cost, params, grads = rearranged(lambda p, kind, k: p[f"{kind}{k}"])
    order = [f"{kind}{k}" for kind in "Wb" for k in LAYERS]
    (diagnosis,) = check_gradients(
        {name: params[name] for name in order}, {f"d{name}": grads[f"d{name}"] for name in order},
        cost,
    ).diagnoses  # fmt: skip
    assert diagnosis.cause is Cause.UPSTREAM
    assert (diagnosis.details["after"], diagnosis.details["before"]) == ("W3", "W2")


def test_boundary_without_numbers():
    names = {"W1": "kernel", "b1": "shift", "W2": "inner", "b2": "offset", "W3": "outer", "b3": "c"}
    diagnosis = diagnosed_under(names)
    assert diagnosis.cause is Cause.UPSTREAM
    assert (diagnosis.details["after"], diagnosis.details["before"]) == ("outer", "offset")


def test_an_index_is_no_number_of_a_layer():
    cost, params, grads = rearranged(lambda p, kind, k: p[2 * (k - 1) + "Wb".index(kind)])
    (diagnosis,) = check_gradients(
        list(params.values()), [grads[f"d{name}"] for name in params], cost
    ).diagnoses
    assert diagnosis.details["layer"] is None
    assert "dA" not in diagnosis.sentence


def test_numbers_that_count_something_else():
    """An encoder and a decoder are each numbered from 1: the given order counts."""
    names = {"W1": "enc_W1", "b1": "enc_b1", "W2": "enc_W2", "b2": "enc_b2", "W3": "dec_W1",
             "b3": "dec_b1"}  # fmt: skip
    diagnosis = diagnosed_under(names)
    assert (diagnosis.details["after"], diagnosis.details["before"]) == ("dec_W1", "enc_W2")


def test_what_is_not_checked_may_be_where_it_is():
    """If some parameters are left out, nothing is said of the end of the network."""
    net = Digits()
    check = checked(net, net.grads("slope of layer 2"), only=["W1", "b1"])
    assert [d.cause for d in check.diagnoses] == [Cause.UNKNOWN, Cause.UNKNOWN]


def test_nothing_lies_between_weights_and_their_bias():
    """Both are computed from the same array, so there is no place between them."""
    net = Digits()
    grads = net.grads("slope of layer 2")
    grads["db2"] = -net.grads()["db2"]
    found = {(d.cause, d.names) for d in checked(net, grads).diagnoses}
    assert (Cause.SIGN, ("b2",)) in found
    assert Cause.UPSTREAM not in {cause for cause, _ in found}


def test_what_was_zero_before_an_update_is_no_penalty():
    """After θ = 0 − α g, the gradient is −θ / α, but not a penalty: dead units do nothing."""
    net = DeadUnits()
    grads = net.grads()
    grads["db2"][[1, 4]] = [[0.3], [-0.2]]
    net.params["b2"][[1, 4]] = -0.1 * grads["db2"][[1, 4]] - 20
    causes = {d.cause for d in checked(net, grads).diagnoses}
    assert Cause.REGULARIZATION not in causes
    assert causes


def test_no_place_beside_what_nobody_knows():
    """No place is named if the next weights are wrong too: it may be the same error."""
    net = Digits()
    grads = net.grads("slope of layer 1")
    grads["dW2"] = grads["dW2"] + np.sin(np.arange(30)).reshape(5, 6)
    assert {d.cause for d in checked(net, grads).diagnoses} == {Cause.UNKNOWN}


ASSERTED = "The error enters at the start of the backward pass"
SUPPOSED = "If it is a single error, it enters at the start of the backward pass"
OF_COST = "Look at the derivative of the cost with respect to the output and at the values kept"
OF_OUTPUT = "Look at the derivative of the output itself, such as that of an activation, and at"


@pytest.mark.parametrize(("names", "upstream", "start", "look"), [
    pytest.param(("W1", "b1"), None, ASSERTED, OF_COST, id="numbered"),
    pytest.param(("W", "b"), None, SUPPOSED, OF_COST, id="HARD: nobody knows the order"),
    pytest.param(("W", "b"), np.ones((5, 4)), SUPPOSED, OF_OUTPUT, id="HARD: a layer"),
])  # fmt: skip
def test_at_the_start(names, upstream, start, look):
    random = np.random.default_rng(0)
    A, W, b = random.normal(size=(5, 3)), random.normal(size=(3, 4)), random.normal(size=4)

    def layer(p):
        output = np.tanh(A @ p[names[0]] + p[names[1]])
        return output.sum() if upstream is None else output

    wrong = 1 - np.tanh(A @ W + b)
    grads = dict(zip([f"d{name}" for name in names], [A.T @ wrong, wrong.sum(axis=0)], strict=True))
    params = dict(zip(names, [W, b], strict=True))
    (diagnosis,) = check_gradients(params, grads, layer, upstream=upstream).diagnoses
    assert diagnosis.cause is Cause.UPSTREAM
    assert diagnosis.sentence.startswith(start)
    assert look in diagnosis.sentence


def test_towers_are_no_chain():
    """Parameters without a common length are no chain, unless numbers in their names say so."""
    random = np.random.default_rng(5)
    X, Z = random.normal(size=(9, 3)), random.normal(size=(9, 4))
    params = {"U": random.normal(size=(3, 2)), "u": random.normal(size=2),
              "V": random.normal(size=(4, 5)), "v": random.normal(size=5)}  # fmt: skip

    def cost(p):
        return np.tanh(X @ p["U"] + p["u"]).sum() + np.tanh(Z @ p["V"] + p["v"]).sum()

    grads = {
        "dU": X.T @ np.ones((9, 2)), "du": np.array([9.0, 10.0]),
        "dV": Z.T @ (1 - np.tanh(Z @ params["V"] + params["v"]) ** 2),
        "dv": (1 - np.tanh(Z @ params["V"] + params["v"]) ** 2).sum(axis=0),
    }  # fmt: skip
    check = check_gradients(params, grads, cost)
    assert {d.cause for d in check.diagnoses} == {Cause.UNKNOWN}


# Causes that other evaluations show


def updated(net, grads, rate):
    return {name: value - rate * grads[f"d{name}"] for name, value in net.params.items()}


@pytest.mark.parametrize("rate", [1e-4, 0.003, 0.05, 0.0123456, 0.5, 1.0])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_stale(activation, rate):
    """An update of the parameters after the gradient was computed is recognised."""
    net = Digits(activation, seed=3)
    grads = net.grads()
    params = updated(net, grads, rate)
    before = {name: value.copy() for name, value in params.items()}
    (diagnosis,) = checked(net, grads, params).diagnoses
    assert diagnosis.cause is Cause.STALE
    assert diagnosis.details["learning_rate"] == pytest.approx(rate, rel=1e-4)
    name = "`learning_rate` = " if rate == net.namespace["learning_rate"] else ""
    assert diagnosis.sentence == (
        "`dW1`, `db1`, `dW2`, `db2`, `dW3` and `db3` belong to the parameters before an update "
        f"with learning rate {name}{rate:.6g}: there, the gradient is correct, in several random "
        "directions. Compute the gradient again after the update."
    )
    assert all(np.array_equal(params[name], before[name]) for name in params)


@pytest.mark.parametrize(("rate", "cause"), [
    pytest.param(0.1, Cause.STALE, id="a number that people choose"),
    pytest.param(0.0876543, Cause.SCALE, id="HARD: any number, as simple as the factor"),
])  # fmt: skip
def test_stale_after_many_updates(rate, cause):
    """By then, the gradient changes its length alone, so that a factor near 1 fits as well."""
    random = np.random.default_rng(0)
    X, w = random.normal(size=(50, 3)) * [1, 1.5, 0.35], np.zeros(3)
    y = X @ [1, -2, 0.5] + 0.1 * random.normal(size=50)
    for _ in range(600):
        dw = X.T @ (X @ w - y) / 50
        w = w - rate * dw
    check = check_gradients({"w": w}, {"dw": dw}, lambda p: np.mean((X @ p["w"] - y) ** 2) / 2)
    assert [d.cause for d in check.diagnoses] == [cause]


def by_signs(net):
    """Return parameters after an update that leads in another direction than the gradient."""
    return {n: v - 0.05 * np.sign(net.grads()[f"d{n}"]) for n, v in net.params.items()}


SUFFIXES = {"W1_new", "b1_new", "W2_new"}


@pytest.mark.parametrize(("names", "found"), [
    pytest.param(lambda new: {"new": new}, {"new['W1']", "new['b1']", "new['W2']"}, id="a dict"),
    pytest.param(lambda new: {f"{n}_new": v for n, v in new.items()}, SUFFIXES, id="names"),
    pytest.param(lambda new: {"W1": new["W1"], "old": {**new, "b3": np.zeros((3, 1))}}, None,
                 id="HARD: not all of them"),
    pytest.param(lambda new: {"new": {n: v + 0.01 for n, v in new.items()}}, None,
                 id="HARD: others"),
])  # fmt: skip
def test_correct_at_other_arrays_of_the_notebook(names, found):
    net = Digits()
    new = by_signs(net)
    check = check_gradients(net.params, net.grads(p=new), net.cost, names=names(new))
    said = {d.cause: d.sentence for d in check.diagnoses}
    assert (Cause.STALE in said) == (found is not None)
    if found:
        assert found <= set(re.findall(r"`([^`]*)`", said[Cause.STALE]))


def test_stale_and_wrong():
    """A gradient that is wrong before and after an update is not called stale."""
    net = Digits()
    grads = net.grads("slope of layer 2")
    causes = {d.cause for d in checked(net, grads, updated(net, grads, 0.05)).diagnoses}
    assert Cause.STALE not in causes


def test_other_data_are_not_stale():
    net, other = Digits(), Digits(m=80)
    other.X, other.Y = other.X[:, 40:], other.Y[:, 40:]
    causes = {d.cause for d in checked(net, other.grads(p=net.params)).diagnoses}
    assert Cause.STALE not in causes


def test_stale_needs_more_than_two_numbers():
    """Any two numbers are a possible step away from any others, so they show nothing."""
    params = {"w": np.array([1.0, 2.0])}
    check = check_gradients(params, {"dw": np.array([3.0, 1.0])}, lambda p: p["w"] @ p["w"])
    assert [d.cause for d in check.diagnoses] == [Cause.UNKNOWN]


def test_previous():
    """After an update other than plain descent, the previous check shows that it is stale."""
    net = Digits()
    grads = net.grads()
    first = checked(net, grads)
    params = {name: value - 0.05 * np.sign(grads[f"d{name}"]) for name, value in net.params.items()}
    (diagnosis,) = checked(net, grads, params, previous=first).diagnoses
    assert diagnosis.cause is Cause.STALE
    assert rounded(diagnosis.sentence) == (
        "`dW1`, `db1`, `dW2`, `db2`, `dW3` and `db3` are equal to the numerical gradient of the "
        "previous check, in all 173 entries, to N digits: the parameters, the data or the cost "
        "have changed since. Compute the gradient again."
    )
    assert diagnosis.names == ("W1", "b1", "W2", "b2", "W3", "b3")
    (other,) = checked(net, grads, params).diagnoses
    assert "previous check" not in other.sentence
    assert "other parameters in the notebook, `self.params['W1']`" in other.sentence


def test_a_constant_of_few_digits():
    """An error of less than a millionth is not taken for another order of the entries."""
    params = {"angle": np.linspace(0.1, 1.4, 12), "radius": np.linspace(1.0, 2.0, 12)}
    wave = np.pi * params["angle"]
    grads = {"angle": 3.14159 * params["radius"] * np.cos(wave) / 12, "radius": np.sin(wave) / 12}
    check = check_gradients(
        params, grads, lambda p: np.mean(p["radius"] * np.sin(np.pi * p["angle"]))
    )
    assert check.verdict is Verdict.INSPECT
    assert check.diagnoses == ()
    (reason,) = check.reasons
    assert reason == (
        "The relative errors of `angle` are up to 4e-07: more than the error bars allow, but less "
        "than most bugs cause. Look for a constant with few digits, such as 3.1416, for a "
        "computation in single precision, and for a solver that stops early."
    )


def test_previous_of_something_else():
    """An earlier check of other parameters says nothing."""
    net, other = Digits(), Smooth()
    first = checked(other, other.grads())
    (diagnosis,) = checked(net, net.grads("slope of layer 2"), previous=first).diagnoses
    assert diagnosis.cause is Cause.UPSTREAM


def regression(y_shape):
    random = np.random.default_rng(1)
    X, y = random.normal(size=(20, 3)), random.normal(size=20)
    target = y.reshape(y_shape)

    def cost_function(p):
        predicted = X @ p["w"] + p["b"]
        return np.mean((predicted - target) ** 2)

    params = {"w": random.normal(size=3), "b": np.array(0.3)}
    residual = X @ params["w"] + params["b"] - y
    grads = {"dw": 2 / 20 * X.T @ residual, "db": np.array(2 * residual.mean())}
    return params, grads, cost_function


def test_broadcast_in_the_cost():
    """(20,) minus (20, 1) is (20, 20), but the gradient is correct for the intended cost."""
    params, grads, cost = regression((20, 1))
    (diagnosis,) = check_gradients(params, grads, cost).diagnoses
    assert diagnosis.cause is Cause.BROADCAST
    assert diagnosis.sentence == (
        "`cost_function` broadcasts arrays of shapes (20,) and (20, 1) to (20, 20), in `return "
        "np.mean((predicted - target) ** 2)`. If they are combined entry by entry, as was probably "
        "meant, `dw` is correct, in several random directions. Fix the cost: give both arrays the "
        "same shape."
    )
    params, grads, cost = regression((20,))
    assert check_gradients(params, grads, cost).passed


def test_a_cost_that_keeps_arrays_keeps_plain_ones():
    """When the check is over, arrays that the cost has kept no longer watch its operations."""
    params, grads, cost = regression((20, 1))
    kept = []

    def cost_function(p):
        kept.extend([p["w"], 2 * p["w"]])
        return cost(p)

    (diagnosis,) = check_gradients(params, grads, cost_function).diagnoses
    assert diagnosis.cause is Cause.BROADCAST
    assert {type(value) for value in kept[-2:]} == {np.ndarray}


def test_watching():
    """A column may meet a vector on either side; other operations give ordinary results."""
    watch = BroadcastWatch()
    vector, column = watch.over(np.arange(3.0)), np.arange(3.0)[:, None]
    assert (vector - column).shape == (column - vector).shape == (3,)
    assert len(watch.shapes) == 2
    vector += 1
    assert np.sum(vector, where=[True, False, True]) == 4
    # The first is meant to be a table of all pairs; in the second, (1, 1) is not a column.
    assert (column - vector[None, :]).shape == (3, 3)
    assert (vector - np.ones((1, 1))).shape == (1, 3)
    watch.is_over = True
    assert (vector - column).shape == (3, 3)
    assert type(vector + 1) is np.ndarray


def test_stale_but_for_one_parameter():
    """However many parameters there are, each must be correct before the update."""
    random = np.random.default_rng(6)
    params = {f"W{k}": random.normal(size=(3, 2)) for k in range(12)}
    grads = {f"d{name}": np.sin(value) for name, value in params.items()}
    later = {name: value - 0.1 * grads[f"d{name}"] for name, value in params.items()}

    def cost(p):
        return -sum(np.cos(value).sum() for value in p.values())

    (diagnosis,) = check_gradients(later, grads, cost).diagnoses
    assert diagnosis.cause is Cause.STALE
    grads["dW0"] = grads["dW0"] + random.normal(size=(3, 2))
    causes = {d.cause for d in check_gradients(later, grads, cost).diagnoses}
    assert Cause.STALE not in causes


def test_interrupted_in_the_diagnosis():
    """All entries are measured by then, and a note says that the search for the cause stopped."""
    net = Digits()
    grads = net.grads()
    params = updated(net, grads, 0.05)
    full = checked(net, grads, params)
    calls = []

    def cost_function(p):
        calls.append(1)
        # The last but two: then the backward pass is looked at.
        if len(calls) == full.n_evaluations - 2:
            raise KeyboardInterrupt
        return net.cost(p)

    with pytest.raises(GradientCheckInterrupted) as interrupt:
        check_gradients(params, grads, cost_function)
    check = interrupt.value.check
    assert check.n_measured == full.size
    assert not check.interrupted
    assert check.notes[-1] == (
        "The check was stopped early, and so was the search for the cause: it made no further "
        "evaluations of the cost."
    )
    assert [d.cause for d in check.diagnoses] == [Cause.UNKNOWN]


def test_of_some_entries_alone():
    """Entries measured before an interrupt allow a diagnosis, which speaks only of those."""
    net = Digits()
    grads = net.grads()
    grads["dW1"] = -grads["dW1"]

    evaluations = itertools.count()

    def cost(params):
        if next(evaluations) == 80:
            raise KeyboardInterrupt
        return net.cost(params)

    with pytest.raises(GradientCheckInterrupted) as interrupt:
        check_gradients(net.params, grads, cost)
    (diagnosis,) = interrupt.value.check.diagnoses
    assert rounded(diagnosis.sentence) == (
        "`dW1` is −1 times the numerical gradient, in all 30 measured entries, to N digits: "
        "the sign is reversed. Look at where `dW1` is computed."
    )


def test_previous_must_be_a_check():
    with pytest.raises(InputError) as error:
        checked(Smooth(), Smooth().grads(), previous={"a": 1})
    assert str(error.value) == (
        "`previous` is a dict: expected the GradientCheck that an earlier check returned."
    )


def test_broadcast_that_is_meant():
    """A table of all pairs is no mistake if the gradient would be wrong for the fixed cost."""
    params, grads, cost = regression((20, 1))
    grads["dw"] = grads["dw"] + [0.1, 0.2, -0.3]
    causes = {d.cause for d in check_gradients(params, grads, cost).diagnoses}
    assert Cause.BROADCAST not in causes


def test_cost_ignores_one_parameter():
    params = {"W": np.ones(3), "V": np.ones(2)}
    grads = {"dW": 2 * np.ones(3), "dV": np.ones(2)}
    check = check_gradients(params, grads, lambda p: float(p["W"] @ p["W"]))
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is Cause.COST_IGNORES_PARAMETERS
    assert diagnosis.sentence == (
        f"The cost does not change with `V` here, to within {check.uncertainty[3:].max():.0e}, but "
        "`dV` is not zero. Does the cost use it, or is everything that it feeds switched off?"
    )


def test_evaluations_for_the_diagnosis_are_counted():
    net = Digits()
    calls = []

    def cost_function(p):
        calls.append(1)
        return net.cost(p)

    check = check_gradients(net.params, net.grads("slope of layer 2"), cost_function)
    assert check.n_evaluations == len(calls)


def test_the_tutorial(run):
    """The check names both bugs at once, and leaves open what the numbers cannot show."""
    notebook = Path(__file__).parents[2] / "notebooks" / "02_find_the_bugs.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    check = next(check for check in map(run, sources) if check is not None)
    b1, W2 = check.diagnoses
    assert (b1.names, W2.names) == (("b1",), ("W2",))
    assert b1.sentence.startswith("`db1` is 4.000 times the numerical gradient, in all 4 nonzero")
    assert "as `X.shape[0]` is 4, was a mean over that axis forgotten?" in b1.sentence
    assert W2.sentence.startswith("`dW2` is 2.000 times the numerical gradient, in all 4 nonzero")


def test_an_update_between_two_checks(run, shell):
    """The magic remembers the previous check, and only that one."""
    run("import numpy as np\nx = np.arange(1.0, 6.0)\nA = np.vander(x, 5)")
    run("params = {'w': np.linspace(-1, 1, 5)}")
    run("def cost_function(p):\n    return np.sum(np.tanh(A @ p['w'] / 100) ** 2)")
    gradient = "2 * A.T @ (t * (1 - t**2)) / 100"
    run(f"t = np.tanh(A @ params['w'] / 100)\ngrads = {{'dw': {gradient}}}")
    assert run("%gradcheck").passed
    run("params = {'w': params['w'] - 0.01 * np.sign(grads['dw'])}")
    (diagnosis,) = run("%gradcheck").diagnoses
    assert diagnosis.cause is Cause.STALE
    assert "`dw` is equal to the numerical gradient of the previous check" in diagnosis.sentence
    (diagnosis,) = run("%gradcheck").diagnoses
    assert "previous check" not in diagnosis.sentence


# The meaning of numbers


def readings(function=lambda p: 0.0, **namespace):
    return NotebookNumbers(function, namespace, pair(np.ones(2), np.ones(2)))


def test_lengths():
    known = readings(X=np.ones((40, 3)), Out={3: np.ones((7, 7))}, _hidden=np.ones(11))
    assert known.factor(40.0).length == "X.shape[0]"
    assert known.factor(1 / 3).kind == "part"
    assert known.factor(np.sqrt(40)).kind == "root"
    assert known.factor(40.01) is None
    assert known.factor(7.0).length == known.factor(11.0).length == ""


def test_rates():
    known = readings(dropout=0.05, lr_decay=0.9, model1=0.3, learning_rate=0.05, huge=10**400)
    assert known.rates == (0.05,)
    assert known.rate(0.05) == "learning_rate"
    assert known.rate(0.3) == ""


@pytest.mark.parametrize(
    ("value", "formula", "instead"),
    [
        (0.7, "lambd", ""),
        (-0.7 / 40, "lambd / X.shape[0]", ""),
        (0.7 - 0.7 / 40, "lambd / X.shape[0]", "lambd"),
        (1.4, "lambd", ""),
    ],
)
def test_strengths(value, formula, instead):
    known = readings(X=np.ones((40, 3)), lambd=0.7, model1=0.1, learning_rate=0.3)
    strength = known.strength(value, 1e-9)
    assert (strength.formula, strength.instead) == (formula, instead)
    assert known.strength(0.1, 1e-9) is known.strength(0.3, 1e-9) is None
    assert known.strength(value, 1e-2) is None


def test_what_the_cost_reads_comes_first():
    data, unrelated = np.ones((12, 4)), np.ones((12, 5))

    def cost(p):
        return (data @ p).sum()

    known = NotebookNumbers(cost, {"A": unrelated, "B": data}, pair(np.ones(4), np.ones(4)))
    assert known.factor(12.0).length == "B.shape[0]"


def test_the_parameters_come_before_what_the_cost_does_not_read():
    unrelated, grads = np.ones((4, 12)), np.ones(4)
    known = NotebookNumbers(
        np.sum, {"A": unrelated}, pair(np.ones(4), grads, names={"w": np.ones(4)})
    )
    assert known.factor(4.0).length == "params.shape[0]"
    assert known.factor(12.0).length == "A.shape[1]"


def test_gradients_explain_nothing():
    grads = {"dW1": np.ones((3, 5)), "dW2": np.ones((7, 5))}
    params = {"W1": np.ones((3, 5)), "W2": np.ones((7, 5))}
    names = {"grads": grads, "same": grads["dW2"], "other": np.ones(11)}
    known = NotebookNumbers(np.sum, names, pair(params, grads), grads)
    lengths = [known.factor(float(n)).length for n in (3, 5, 7, 11)]
    assert lengths == ["W1.shape[0]", "W1.shape[1]", "W2.shape[0]", "other.shape[0]"]


# Uses of a diagnosis


def test_the_entries_behind_a_diagnosis():
    net = Digits()
    check = checked(net, both(one("dW1", part(2, np.negative)), one("db3", np.negative))(
        net, net.grads()
    ))  # fmt: skip
    row, vector = check.diagnoses
    assert {entry.index[0] for entry in check.entries_behind(row)} == {2}
    assert len(check.entries_behind(row)) == 12
    labels = [entry.label for entry in check.entries_behind(vector, 2)]
    assert [label[:3] for label in labels] == ["b3[", "b3["]
