"""A flat θ is told in the arrays that the cost reads from it."""

import sys

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients, step_curve
from tests.support.passes import checked, read

rng = np.random.default_rng(0)
X, y = rng.normal(size=(7, 4)), rng.normal(size=7)


def point(shape=18):
    return np.random.default_rng(1).normal(size=shape)


def net(W, b, v):
    return np.mean((np.tanh(X @ W + b) @ v - y) ** 2)


def unpack(theta):
    W = theta[:12].reshape(4, 3)
    return W, theta[12:15], theta[15:]


def in_variables(theta):
    W = np.reshape(theta[:12], (4, 3))
    b = theta[12:15]
    v = theta[15:]
    return net(W, b, v)


def in_a_function(theta):
    W1, b1, w2 = unpack(theta)
    return net(W1, b1, w2)


def in_a_dict(theta):
    p = {"b": theta[12:15]}
    p["W"] = theta[:12].reshape(4, 3)
    p["v"] = theta[15:]
    return net(p["W"], p["b"], p["v"])


def in_a_list(theta):
    layers = list(unpack(theta))
    return net(*layers)


def in_a_call(theta):
    return net(theta[:12].reshape(4, 3), theta[12:15], theta[15:])


def in_an_object(theta):
    class Net:
        pass

    net_ = Net()
    net_.W, net_.b, net_.v = unpack(theta)
    return net(net_.W, net_.b, net_.v)


def in_fortran_order(theta):
    W = theta[:12].reshape((4, 3), order="F")
    b, v = theta[12:15], theta[15:]
    return net(W, b, v)


def as_transpose(theta):
    W = theta[:12].reshape(3, 4).T
    b, v = theta[12:15], theta[15:]
    return net(W, b, v)


def with_columns(theta):
    W, b = theta[:12].reshape(4, 3), theta[12:15].reshape(1, 3)
    v = theta[15:].reshape(-1, 1)
    return net(W, b, v[:, 0])


def with_rows(theta):
    W = theta[:12].reshape(4, 3)
    z = 0
    for k in range(4):
        row = W[k]
        z = z + X[:, k : k + 1] * row
    b, v = theta[12:15], theta[15:]
    return np.mean((np.tanh(z + b) @ v - y) ** 2)


def in_two_steps(theta):
    layer = theta[:15]
    W, b = layer[:12].reshape(4, 3), layer[12:]
    v = theta[15:]
    return net(W, b, v)


def in_a_loop(theta):
    a, k = X, 0
    for n, m in ((4, 3), (3, 1)):
        W = theta[k : k + n * m].reshape(n, m)
        a, k = np.tanh(a @ W), k + n * m
    return np.mean((a[:, 0] - y) ** 2) + np.sum(theta[k:] ** 2)


def halves(theta):
    front, back = theta[:9], theta[9:]
    return norm(front) + 2 * norm(back)


def norm(part):
    M = part[:4].reshape(2, 2)
    return np.sum(M**2) + np.sum(np.sin(part))


def last_is_bias(theta):
    w, bias = theta[:-1], theta[-1]
    return np.mean((X @ w[:4] - bias) ** 2) + np.sum(w**3)


def of_its_own_name(theta):
    bias = theta[0]
    theta = theta[1:]
    return np.mean((X @ theta[:4] - bias) ** 2) + np.sum(theta**3)


def all_of_it(theta):
    W = theta.reshape(6, 3)
    return np.sum(np.tanh(W @ W.T))


def overlapping(theta):
    A, B = theta[:8].reshape(2, 4), theta[6:14].reshape(2, 4)
    return np.sum(np.sin(A * B)) + np.sum(theta**2)


def in_windows(theta):
    total = 0
    for k in range(16):
        window = theta[k : k + 3]
        total = total + np.sum(window) ** 2
    return total


def of_a_copy(theta):
    theta = theta.copy()
    W, b, v = unpack(theta)
    return net(W, b, v)


def numerical(cost, theta):
    steps = np.eye(theta.size).reshape(-1, *theta.shape) * 1e-5
    sides = [(cost(theta + step) - cost(theta - step)) / 2e-5 for step in steps]
    return np.reshape(sides, theta.shape)


THREE = [("W", (4, 3), 0), ("b", (3,), 12), ("v", (3,), 15)]
WHOLE = [("theta", (18,), 0)]


@pytest.mark.parametrize(("cost", "pieces"), [
    (in_variables, THREE),
    (in_a_dict, THREE),
    (in_a_call, THREE),
    (in_an_object, THREE),
    pytest.param(in_a_function, [("W1", (4, 3), 0), ("b1", (3,), 12), ("w2", (3,), 15)],
                 id="HARD: the names of the cost itself count"),
    (in_a_list, [("layers[0]", (4, 3), 0), ("layers[1]", (3,), 12), ("layers[2]", (3,), 15)]),
    pytest.param(in_fortran_order, [("W.T", (3, 4), 0), *THREE[1:]], id="HARD: order='F'"),
    pytest.param(as_transpose, [("W.T", (3, 4), 0), *THREE[1:]], id="HARD: a transpose"),
    (with_columns, [THREE[0], ("b", (1, 3), 12), ("v", (3, 1), 15)]),
    pytest.param(with_rows, THREE, id="HARD: rows are a part of their matrix"),
    pytest.param(in_two_steps, THREE, id="HARD: the smaller parts tell more"),
    pytest.param(in_a_loop, [("W", (4, 3), 0), ("W (2)", (3, 1), 12), ("theta[15:18]", (3,), 15)],
                 id="HARD: a name twice, and a rest that has none"),
    pytest.param(halves, [("M", (2, 2), 0), ("theta[4:9]", (5,), 4),
                          ("M (2)", (2, 2), 9), ("theta[13:18]", (5,), 13)],
                 id="HARD: a function for each half"),
    pytest.param(last_is_bias, [("w", (17,), 0), ("theta[17]", (), 17)], id="HARD: a number"),
    pytest.param(of_its_own_name, WHOLE, id="HARD: theta = theta[1:]"),
    (all_of_it, [("W", (6, 3), 0)]),
    pytest.param(overlapping, WHOLE, id="HARD: arrays that overlap"),
    pytest.param(in_windows, WHOLE, id="HARD: windows"),
    pytest.param(of_a_copy, WHOLE, id="HARD: a copy is no part"),
])  # fmt: skip
def test_pieces(cost, pieces):
    """A right gradient passes, and a wrong entry is told in the piece that it is in."""
    theta = point()
    given, grads = theta.copy(), numerical(cost, theta)
    names = {"theta": theta, "grads": grads}
    right = check_gradients(theta, grads, cost, names=names)
    assert right.verdict is Verdict.CORRECT
    assert [(p.name, p.shape, p.start) for p in right.parameters] == pieces
    grads[13] += 1
    wrong = check_gradients(theta, grads, cost, names=names, previous=right)
    assert wrong.verdict is Verdict.BUG
    assert [(p.name, p.shape, p.start) for p in wrong.parameters] == pieces
    its = [p for p in wrong.parameters if p.start <= 13 < p.start + p.size]
    assert [p for p in wrong.parameters if p.verdict is Verdict.BUG] == its
    assert wrong.measured[wrong.wrong].tolist() == [13]
    assert wrong.changes.endswith(f"`{its[0].name}` now wrong")
    assert np.array_equal(theta, given)
    assert sys.gettrace() is None


def of_the_net(theta, wrong):
    """Return the gradient of `in_variables`, with a mistake that people make."""
    W, b, v = unpack(theta)
    A = np.tanh(X @ W + b)
    d = 2 * (A @ v - y) / len(y)
    dZ = np.outer(d, v) * (1 - A**2)
    dW, db, dv = X.T @ dZ, dZ.sum(0), A.T @ d
    if wrong == "a factor":
        db = db / len(y)
    elif wrong == "a column":
        dW[:, 1] = 0
    elif wrong == "regularised":
        dv = dv + 0.5 * v
    elif wrong == "order":
        dW = dW.T
    return np.concatenate([dW.ravel(), db, dv])


PARTS = "`W` is `theta[0:12]`, `b` is `theta[12:15]` and `v` is `theta[15:18]`"


OF_B = (
    "`grads[12:15]` is 0.1429 times the numerical gradient, in all 3 entries, to 5 digits. A "
    "factor of 1/7, and `X.shape[0]` is 7: is there one division or mean too many? Look at where "
    "`grads[12:15]` is computed."
)
OF_COLUMN = (
    "Column 1 of `grads[0:12]` is zero where the numerical gradient is not; the rest of "
    "`grads[0:12]` is correct (8 of 12 entries). Is that part ever assigned?"
)
OF_V = (
    "`grads[15:18]` is off by 0.5000 times the parameter itself, in all 3 entries, to 5 digits: as "
    "if regularisation were too strong (its term may be doubled, or not in the cost). Look at the "
    "term λ W, or one like it, in the gradient and in `in_variables`."
)
OF_W = (
    "`grads[0:12]` contains the values of the numerical gradient in other places, in all 12 "
    "entries, to 5 digits: it was reshaped where it should have been transposed. Look for a "
    "reshape in the line that computes `grads[0:12]`."
)


@pytest.mark.parametrize(("wrong", "sentence"), [
    ("", None), ("a factor", OF_B), ("a column", OF_COLUMN), ("regularised", OF_V), ("order", OF_W),
])  # fmt: skip
def test_sentences(wrong, sentence):
    """Each array has a cause of its own, and a note says where it is in θ."""
    theta = point()
    grads = of_the_net(theta, wrong)
    names = {"theta": theta, "grads": grads, "X": X}
    check = check_gradients(theta, grads, in_variables, names=names)
    assert [d.sentence for d in check.diagnoses] == ([sentence] if wrong else [])
    assert check.notes == (f"The cost reads `theta` in parts: {PARTS}.",)


def test_the_statement_is_named_by_the_array():
    """The backward pass is judged array by array, too."""

    def gradient(theta):
        W, b, v = unpack(theta)
        A = np.tanh(X @ W + b)
        d = 2 * (A @ v - y) / len(y)
        dZ = np.outer(d, v) * (1 - A**2)
        db = dZ.mean(0)
        return np.concatenate([(X.T @ dZ).ravel(), db, A.T @ d])

    check = check_gradients(point(), gradient, in_variables)
    (fault,) = check.backward.faults
    assert (fault.lines[0].text, fault.parameters) == ("db = dZ.mean(0)", ("b",))


NETWORK = """
# %%
import numpy as np

rng = np.random.default_rng(0)
X, Y, theta = rng.normal(size=(9, 4)), rng.normal(size=(9, 2)), rng.normal(size=37)

def unpack(theta):
    return theta[:20].reshape(4, 5), theta[20:25], theta[25:35].reshape(5, 2), theta[35:]

def cost(theta):
    W1, b1, W2, b2 = unpack(theta)
    return np.sum((np.tanh(X @ W1 + b1) @ W2 + b2 - Y) ** 2)

# %% gradcheck -p theta -g grad -c cost
W1, b1, W2, b2 = unpack(theta)
A1 = np.tanh(X @ W1 + b1)
dZ2 = 2 * (A1 @ W2 + b2 - Y)
dZ1 = dZ2 @ W2.T * (1 - A1 ** 2)
#! dZ1 = dZ2 @ W2.T * (1 - A1)
"""
TOGETHER = """
grad = np.concatenate([(X.T @ dZ1).ravel(), dZ1.sum(0), (A1.T @ dZ2).ravel(), dZ2.sum(0)])
#! grad = np.concatenate([(X.T @ dZ1).ravel(), dZ1.mean(0), (A1.T @ dZ2).ravel(), dZ2.sum(0)])
"""
NAMED = """
dW1 = X.T @ dZ1
dW2 = A1.T @ dZ2
#! dW2 = 3 * A1.T @ dZ2
grad = np.r_[dW1.ravel(), dZ1.sum(0), dW2.ravel(), dZ2.sum(0)]
#! grad = np.r_[dW1.ravel(), dZ1.mean(0), dW2.ravel(), dZ2.sum(0)]
"""
SLICES = """
grad = np.zeros_like(theta)
grad[:20] = (X.T @ dZ1).ravel()
grad[20:25] = dZ1.sum(0)
#! grad[20:25] = dZ1.mean(0)
grad[25:35] = (A1.T @ dZ2).ravel()
grad[35:] = dZ2.sum(0)
"""
PASSES = [read(name, NETWORK + end) for name, end in (
    ("together", TOGETHER), ("named", NAMED), ("slices", SLICES)
)]  # fmt: skip


@pytest.mark.parametrize(
    ("backward", "slip"),
    [pytest.param(b, s, id=f"{b.name}: {s.line}") for b in PASSES for s in b.slips],
)
def test_the_statement_is_named_however_the_gradient_is_put_together(backward, slip):
    """The parts need not have names: then the vector of all is looked for."""
    check = checked(backward, slip, "--trace")
    assert len(check.parameters) == 4
    assert slip.line in [line.text for line in check.backward.faults[0].lines]
    explained = {name for fault in check.backward.faults for name in fault.parameters}
    assert explained == {p.name for p in check.parameters if p.n_wrong}


def test_tensors():
    """A flat tensor is read through views, as an array is."""
    torch = pytest.importorskip("torch")
    theta = torch.tensor(point(15), requires_grad=True)

    def cost(theta):
        W, v = theta[:12].view(4, 3), theta[12:]
        return ((torch.tanh(torch.tensor(X) @ W) @ v - torch.tensor(y)) ** 2).mean()

    cost(theta).backward()
    check = check_gradients(theta, None, cost)
    assert check.passed
    assert [p.name for p in check.parameters] == ["W", "v"]
    theta.grad[13] += 1
    check = check_gradients(theta, None, cost)
    assert check.wrong_entries == (("v", (1,)),)


@pytest.mark.parametrize("column", [False, True])
def test_step_curve(column):
    """The curve of an entry is found by the label that the check has given to it."""
    theta = point((18, 1) if column else 18)

    def cost(theta):
        return in_variables(theta.ravel())

    grads = numerical(cost, theta)
    grads[5] += 1
    check = check_gradients(theta, grads, cost)
    curve = step_curve(theta, grads, cost, "W[1, 2]", check=check)
    assert (curve.label, curve.name, curve.index) == ("W[1, 2]", "W", (1, 2))
    assert (curve.wrong, curve.best, curve.changed) == (True, check.numerical[5], ())
    whole = step_curve(theta, grads, cost, "params[5, 0]" if column else "params[5]", check=check)
    assert whole.best == curve.best
    with pytest.raises(InputError, match=r"There is no entry `W\[4, 0\]`: `W` has shape \(4, 3\)"):
        step_curve(theta, grads, cost, "W[4, 0]", check=check)


def test_a_scan_tells_of_the_whole():
    """A scan has looked at θ as one array, and tells of it so."""
    theta = point()
    check = check_gradients(theta, numerical(in_variables, theta), in_variables, mode="scan")
    assert check.passed
    assert [p.name for p in check.parameters] == ["params"]
