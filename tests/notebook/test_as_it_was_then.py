"""What a cost reads has the values that it had when the gradient was computed; or that is asked.

A cell may bind its names again, and an earlier cell may have computed some of them from θ. A right
gradient is not called wrong because another value was used, nor a wrong one right.
"""

import pytest

from gradcheck_magic import InputError

SET_UP = """
import numpy as np
random = np.random.default_rng(3)
X, y, w, b = random.normal(size=(20, 3)), random.normal(size=20), random.normal(size=3), 0.5
def mse(w, X, y): return np.mean((X @ w - y) ** 2)
def grad(w, X, y): return 2 * X.T @ (X @ w - y) / len(y)
def step(w, h): return np.sum((w * h) ** 2), 2 * w * h * h, w * h
def value_and_grad(f): return lambda w, X, y: (f(w, X, y), grad(w, X, y))
def penalised(w, reg=0.0): return mse(w, X, y) + reg * w @ w
def fit(u, x=None, **more): return x @ u if not more else mse(u, x, more["t"])
def put(kept, name, value): kept[name] = value
def fill(kept, w):
    z = X @ w
    put(kept, "z", value=z)
def error(): return z - y
def of_z(): return np.mean(error() ** 2) + w @ w
class Net:
    def __init__(self): self.w, self.dw = w, np.zeros(3)
    def loss(self, X, y): self.X, self.r = X, X @ self.w - y; return self.r @ self.r
    def backward(self): self.dw += 2 * self.X.T @ self.r
net = Net()
layers = [Net(), Net()]
"""
DECAY = "L = np.mean((z - y) ** 2) + w @ w\ndw = grad(w, X, y) + 2 * w"
# The last statement of each cell computes the gradient; it is run as it is, and halved.
RIGHT = [
    pytest.param("", "L", "xb, yb = X[:9], y[:9]\nL = mse(w, xb, yb)\ndw = grad(w, xb, yb)\n"
                 "xb, yb = X[9:], y[9:]", id="data that are bound again"),
    pytest.param("", "mse", "xb, yb = X[:9], y[:9]\nL = mse(w, xb, yb)\ndw = grad(w, xb, yb)\n"
                 "xb, yb = X[9:], y[9:]", id="the same as a function"),
    pytest.param("h = np.ones(3)", "step", "L, dw, h = step(w, h)", id="HARD: a state"),
    pytest.param("h = np.ones(3)", "L", "L, dw, h = step(w, h)", id="HARD: a state, and a number"),
    pytest.param("", "L", "h = np.ones(3)\nL, dw, h = step(w, h)", id="a state of this cell"),
    pytest.param("", "L", "r = X @ w - y\nL = r @ r\ndw = 2 * X.T @ r\ndel r, X",
                 id="HARD: data that are deleted"),
    pytest.param("w_old = w.copy()\nw += 0.1", "L",
                 "L = mse(w, X, y) + 0.5 * np.sum((w - w_old) ** 2)\n"
                 "dw = grad(w, X, y) + w - w_old", id="HARD: a copy of θ, held fixed"),
    pytest.param("for k in range(5):\n    r = X @ w + b - y\n    w -= 0.1 * 2 * X.T @ r / 20\n"
                 "    b -= 0.1 * 2 * r.mean()", "L",
                 "r = X @ w + b - y\nL = np.mean(r**2)\ndw = 2 * X.T @ r / 20",
                 id="HARD: another parameter, trained before"),
    pytest.param("y = y - X @ w * 0.5", "mse", "dw = grad(w, X, y)", id="HARD: residuals as data"),
    pytest.param("", "penalised", "L = penalised(w, reg=0.3)\ndw = grad(w, X, y) + 0.6 * w",
                 id="HARD: an optional argument of the call"),
    pytest.param("", "mse", "L, dw = value_and_grad(mse)(w, X[:5], y[:5])",
                 id="a call of what was made of the cost"),
    pytest.param("", "L", "print(L := mse(w, X, y))\ndw = grad(w, X, y)", id="bound in passing"),
    pytest.param("", "L", "%time L = mse(w, X, y)\ndw = grad(w, X, y)", id="timed"),
    pytest.param("", "L", "L = 0.0\nfor x, t in zip(X, y):\n    L += (x @ w - t) ** 2\n"
                 "dw = 2 * X.T @ (X @ w - y)", id="a sum over examples"),
    pytest.param("", "mse", "dw = grad(w, X, y)\nfor k in range(3):\n"
                 "    plus, minus = w.copy(), w.copy()\n    plus[k] += 1e-5\n"
                 "    minus[k] -= 1e-5\n    print(mse(plus, X, y) - mse(minus, X, y))",
                 id="HARD: a numerical check of one's own"),
    pytest.param("", "L", f"z = np.zeros(20)\nnp.dot(X, w, out=z)\n{DECAY}", id="HARD: out="),
    pytest.param("", "L", f"z = np.zeros(20)\n_ = np.matmul(X, w, out=(z,))\n{DECAY}",
                 id="out= in an assignment"),
    pytest.param("", "L", f"z = np.zeros(20)\nnp.add(X @ w, 0, z)\n{DECAY}",
                 id="HARD: the last argument is the output"),
    pytest.param("", "L", f"kept = {{}}\nkept.update(z=X @ w)\nz = kept['z']\n{DECAY}",
                 id="a dict that is updated"),
    pytest.param("", "L", f"kept = [X]\nkept.append(kept[-1] @ w)\nz = kept[-1]\n{DECAY}",
                 id="a list that grows"),
    pytest.param("", "L", f"kept = {{}}\nfill(kept, w)\nz = kept['z']\n{DECAY}",
                 id="HARD: a function of one's own fills its argument"),
    pytest.param("", "L", f"kept = {{}}\nnone = fill(w=w, kept=kept)\nz = kept['z']\n{DECAY}",
                 id="HARD: by keyword, and in an assignment"),
    pytest.param("kept = Net()", "L", f"setattr(kept, 'z', X @ w)\nz = kept.z\n{DECAY}",
                 id="an attribute"),
    pytest.param("", "L", f"both = np.zeros(40)\nz = both[20:]\nboth[20:] = X @ w\n{DECAY}",
                 id="HARD: another name for its memory"),
    pytest.param("", "L", f"kept = {{}}\ndef forward():\n    kept['z'] = X @ w\nforward()\n"
                 f"z = kept['z']\n{DECAY}", id="HARD: a function fills a variable"),
    pytest.param("", "L", f"def forward():\n    global z\n    z = X @ w\nforward()\n{DECAY}",
                 id="HARD: a function binds a variable"),
    pytest.param("", "L", "z = X @ w\nL = of_z()\ndw = grad(w, X, y) + 2 * w",
                 id="HARD: functions read a variable"),
    pytest.param("", "of_z", "z = X @ w\ndw = grad(w, X, y) + 2 * w",
                 id="HARD: and are the cost"),
    pytest.param("", "L", "z = X @ w\nof = lambda: np.mean((z - y) ** 2) + w @ w\nL = of()\n"
                 "dw = grad(w, X, y) + 2 * w", id="a lambda reads a variable"),
    pytest.param("", "L", "for k in range(3):\n    z = X @ w\n    w = w - 0.1 * grad(w, X, y)\n"
                 "w = w + 0.1\nL = mse(w, X, z)\ndw = grad(w, X, z)",
                 id="HARD: what was computed before an update"),
    pytest.param("", "L", "z = 0\nfor k, layer in enumerate(layers):\n    layer.z = X @ layer.w\n"
                 f"    z = z + (1 - k) * layer.z\n{DECAY}", id="HARD: items that keep activations"),
    pytest.param("", "L", f"layers[0].loss(X, y)\nz = layers[0].r + y\n{DECAY}",
                 id="HARD: a method of an item"),
    pytest.param("X = np.random.normal(size=(20, 3))\nX -= 1", "L", "L = 0.0\nfor x in X:\n"
                 "    L += (x @ w) ** 2\nL += w @ w\ndw = 2 * X.T @ (X @ w) + 2 * w",
                 id="HARD: rows of data that were drawn"),
    pytest.param("D = np.random.normal(size=(20, 3))", "L", "L = 0.0\nfor d, x in zip(D, X):\n"
                 "    L += (x @ w) ** 2 + d @ d\nL += w @ w\ndw = 2 * X.T @ (X @ w) + 2 * w",
                 id="HARD: rows that a loop goes through"),
    pytest.param("", "L", "L = 0.0\nfor k in (0, 10):\n    xb, yb = X[k : k + 10], y[k : k + 10]\n"
                 "    L += net.loss(xb, yb)\n    if k >= 0:\n        net.backward()\ndw = net.dw",
                 id="HARD: micro-batches"),
    pytest.param("", "fit", "scores = fit(w, X)\nL = fit(w, X, t=y)\ndw = grad(w, X, y)",
                 id="HARD: a call that returns scores, and one that returns the cost"),
    pytest.param("", "fit", "fit(w, X, t=y)\ndw = grad(w, X, y)", id="**kwargs"),
]  # fmt: skip


@pytest.fixture
def remembered(shell, capsys):
    """Return a function that runs a cell which the notebook remembers."""

    def run_cell(cell):
        shell.run_cell(cell, store_history=True).raise_error()
        capsys.readouterr()
        return shell.user_ns.get("_gradcheck")

    run_cell(SET_UP)
    return run_cell


@pytest.mark.parametrize(("end", "verdict"), [("", "CORRECT"), ("\ndw = dw / 2", "BUG")])
@pytest.mark.parametrize(("before", "cost", "cell"), RIGHT)
def test_values_of_then(remembered, before, cost, cell, end, verdict):  # noqa: PLR0917 (a table)
    remembered(before)
    found = remembered(f"%%gradcheck -p w -g dw -c {cost}\n{cell}{end}")
    assert found.verdict.name == verdict


# A cell may also update the parameters by a call, before it computes their gradient.
LOSS = "def loss(): return mse(w, X, y)\n"
UPDATED = [
    pytest.param(LOSS + "def renorm(w): w /= np.linalg.norm(w)", "loss", "renorm(w)",
                 id="HARD: in place, by an argument"),
    pytest.param(LOSS + "def renorm(w): w /= np.linalg.norm(w)", "L", "renorm(w)\nL = loss()",
                 id="HARD: and the cost is a number"),
    pytest.param(LOSS + "def move():\n    global w\n    w = w - 0.1 * grad(w, X, y)", "loss",
                 "move()", id="HARD: as a global variable"),
    pytest.param(LOSS + "def clip(): w[w > 0] = 0.2", "loss", "clip()", id="some of it in place"),
    pytest.param("old = {}\ndef sync(): old['w'] = w.copy()\n"
                 "def loss(): return mse(w, X, y) + 0 * np.sum((w - old['w']) ** 2)",
                 "loss", "sync()", id="HARD: a copy of it is kept"),
    pytest.param("n = 0\ndef forward():\n    global n, seen\n    n, seen = n + 1, X @ w", "L",
                 "forward()\nL = np.mean((seen - y) ** 2)", id="HARD: calls are counted"),
    pytest.param("class Layer:\n    def __init__(self): self.W = random.normal(size=3)\n"
                 "layers = [Layer()]\ndef loss(): return mse(w, X, y) + layers[0].W[0]",
                 "loss", "layers", id="HARD: layers are not made anew"),
]  # fmt: skip


@pytest.mark.parametrize(("factor", "verdict"), [(1, "CORRECT"), (0.5, "BUG")])
@pytest.mark.parametrize(("before", "cost", "cell"), UPDATED)
def test_calls_that_update_the_parameters(  # noqa: PLR0917 (a table)
    remembered, shell, before, cost, cell, factor, verdict
):
    """They are not made again, and θ stays as the cell has left it, bit for bit."""
    remembered(before)
    gradient = f"dw = {factor} * grad(w, X, y)\nkept = w.copy()"
    found = remembered(f"%%gradcheck -p w -g dw -c {cost}\n{cell}\n{gradient}")
    assert found.verdict.name == verdict
    assert shell.user_ns["w"].tobytes() == shell.user_ns["kept"].tobytes()


ASKED = [
    pytest.param(
        "t = X @ w", "L", "L = mse(w, X, 0.9 * t)\ndw = grad(w, X, 0.9 * t)",
        "`t` in `L` was computed from `w` in an earlier cell: compute it in the cell of the check, "
        'or hold it fixed with -c "lambda w: L".', id="it may be held fixed, or not",
    ),
    pytest.param(
        "", "L", "L = mse(w, X, y)\ndw = grad(w, X, y)\nX *= 2",
        "`L` was 6.25535445 in the notebook, and is 22.7848451 when it is computed again: "
        "something that it reads has changed since, such as its data or the parameters. Change "
        "nothing between the cost and the check, or name a function with -c.",
        id="data that are changed in place",
    ),
    pytest.param(
        "", "mse", "batch = (X[:4], y[:4])\ndw = grad(w, *batch)",
        "`mse(w, X, y)` needs `X` and `y`, which the notebook does not have: assign it, or say "
        'what to pass: -c "lambda w: mse(w, ..., ...)" (in Python, arguments=...).',
        id="HARD: arguments that are not seen",
    ),
    pytest.param(
        "", "mse", "L = mse(w, X, y)\nvalidation = mse(w, X[:5], y[:5])\ndw = grad(w, X, y)",
        "The cell calls `mse` in more than one way: say which is the cost, with "
        '-c "lambda w: mse(w, X[:5], y[:5])" or -c "lambda w: mse(w, X, y)".',
        id="two calls",
    ),
    pytest.param(
        "", "L", "L = float(input_of_mine)\ndw = grad(w, X, y)",
        "`L` is a number, and no statement is known that computes it from `w`: compute it in the "
        "cell of the check, or name a function with -c.", id="a number from elsewhere",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "cost", "cell", "said"), ASKED)
def test_what_is_asked(remembered, before, cost, cell, said):
    """Nobody is accused on a guess."""
    remembered(f"input_of_mine = 3.0\n{before}")
    with pytest.raises(InputError) as error:
        remembered(f"%%gradcheck -p w -g dw -c {cost}\n{cell}")
    assert str(error.value) == said


def test_updated_after_the_gradient(remembered):
    """If θ itself has moved, the gradient is judged, and the cause is named."""
    found = remembered("%%gradcheck -p w -g dw -c L\nL = mse(w, X, y)\ndw = grad(w, X, y)\nw -= dw")
    assert [each.cause.name for each in found.diagnoses] == ["STALE"]
