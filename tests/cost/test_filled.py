"""A cost is called with what it needs, as the notebook has it, and nothing of that changes."""

import re

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients

START = """
import functools
import numpy as np
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(3, 5)), rng.normal(size=(2, 5))
parameters = {"W": rng.normal(size=(2, 3)), "b": rng.normal(size=(2, 1))}
W, b = parameters["W"], parameters["b"]

def half(E):
    return 0.5 * np.sum(E**2)

def backward(W, b, X=X, Y=Y):
    E = W @ X + b - Y
    return {"dW": slip * E @ X.T, "db": E.sum(axis=1, keepdims=True)}

class Model:
    def __init__(self, params):
        self.params = params

    def scores(self, X):
        return self.params["W"] @ X + self.params["b"]

    def loss(self, X, Y):
        E = self.scores(X) - Y
        grads = {"W": slip * E @ X.T, "b": E.sum(axis=1, keepdims=True)}
        return half(E), grads

    def __call__(self, X, Y):
        return self.loss(X, Y)[0]

model = Model(parameters)
"""
GRADS = "grads = backward(W, b)"
BY_NAME = [
    pytest.param(
        "def cost(W, bias, X, Y):\n    return half(W @ X + bias - Y)",
        "[W, b.copy()]", "[grads['dW'], grads['db']]", "cost",
        "`cost(W, bias, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: one by one, and the second has a name in the function alone",
    ),
    pytest.param(
        "def cost(parameters, X, Y):\n    return half(parameters['W'] @ X + parameters['b'] - Y)",
        "parameters", "grads", "cost",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="the parameters first",
    ),
    pytest.param(
        "def forward_propagation_n(X, Y, parameters):\n"
        "    E = parameters['W'] @ X + parameters['b'] - Y\n    return half(E), (X, E)",
        "parameters", "grads", "forward_propagation_n",
        "`forward_propagation_n(X, Y, parameters)` was evaluated, with the notebook's `X` and `Y`.",
        id="the parameters last",
    ),
    pytest.param(
        "def cost(p, X, Y):\n    return half(p['W'] @ X + p['b'] - Y)",
        "parameters", "grads", "cost",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="the parameters by another name",
    ),
    pytest.param(
        "def cost(W, b, X, Y):\n    return half(W @ X + b - Y)",
        "parameters", "grads", "cost",
        "`cost(W, b, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="array by array, from a dict",
    ),
    pytest.param(
        "def cost(X, Y, b, W):\n    return half(W @ X + b - Y)",
        "[W, b]", "[grads['dW'], grads['db']]", "cost",
        "`cost(X, Y, b, W)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: array by array, in another order",
    ),
    pytest.param(
        "def cost(parameters, X, Y, scale=1.0, *rest, **more):\n"
        "    return scale * half(parameters['W'] @ X + parameters['b'] - Y)\nscale = 7.0",
        "parameters", "grads", "cost",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: defaults stay, whatever the notebook has",
    ),
    pytest.param(
        "def cost(X, *, parameters, Y):\n"
        "    return half(parameters['W'] @ X + parameters['b'] - Y)",
        "parameters", "grads", "cost",
        "`cost(X, parameters=parameters, Y=Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="only by keyword",
    ),
    pytest.param(
        "def cost(parameters, scale=1.0, *, Y):\n"
        "    return scale * half(parameters['W'] @ X + parameters['b'] - Y)",
        "parameters", "grads", "cost",
        "`cost(parameters, Y=Y)` was evaluated, with the notebook's `Y`.",
        id="HARD: by keyword after a default",
    ),
    pytest.param(
        "def cost(theta, rows, X, Y):\n"
        "    W, b = theta[:6].reshape(rows, 3), theta[6:].reshape(rows, 1)\n"
        "    E = W @ X + b - Y\n"
        "    return half(E), np.append(slip * E @ X.T, E.sum(axis=1))\n"
        "rows = 2\ntheta = np.append(W, b)\ngrad = cost(theta, rows, X, Y)[1]",
        "theta", "grad", "cost",
        "`cost(theta, rows, X, Y)` was evaluated, with the notebook's `rows`, `X` and `Y`.",
        id="a flat θ, and numbers",
    ),
    pytest.param(
        "", "parameters", "grads", "model.loss",
        "`model.loss(X, Y)` was evaluated, with the notebook's `X` and `Y`.", id="a method",
    ),
    pytest.param(
        "", "model.params", "grads", "model",
        "`model(X, Y)` was evaluated, with the notebook's `X` and `Y`.", id="an object",
    ),
    pytest.param(
        "f = lambda _: model.loss(X, Y)[0]", "model.params", "grads", "f",
        None, id="HARD: what it takes is not read",
    ),
    pytest.param(
        "f = lambda W: model.loss(X, Y)[0]", "model.params", "grads", "f",
        "`f(W)` was evaluated.", id="HARD: as in cs231n",
    ),
    pytest.param(
        "def cost(scale, parameters, X, Y):\n"
        "    return scale * half(parameters['W'] @ X + parameters['b'] - Y)\n"
        "cost = functools.partial(cost, 1.0)",
        "parameters", "grads", "cost",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="a partial function",
    ),
    pytest.param(
        "def cost(parameters):\n    return half(parameters['W'] @ X + parameters['b'] - Y)",
        "parameters", "grads", "cost", None, id="HARD: it takes nothing else",
    ),
    pytest.param(
        "def cost(one, other):\n    return half(one @ X + other - Y)\n"
        "one, other = np.zeros_like(W), np.zeros_like(b)",
        "[W, b]", "[grads['dW'], grads['db']]", "cost", None,
        id="HARD: the notebook has arrays like the parameters",
    ),
    pytest.param(
        "cost = lambda: half(W @ X + b - Y)", "parameters", "grads", "cost", None,
        id="HARD: it takes nothing",
    ),
]  # fmt: skip


def frozen(value):
    """Return all that must not change in a value, in a form that can be compared."""
    if isinstance(value, np.ndarray):
        return value.tobytes(), value.shape, value.dtype.str
    if isinstance(value, dict):
        return [(key, frozen(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [frozen(each) for each in value]
    if type(value).__name__ in {"Model", "Layer"}:
        return frozen(vars(value))
    return value if isinstance(value, (int, float, str)) else id(value)


def state(namespace):
    names = [key for key in namespace if not (key.startswith("_") or key in {"In", "Out"})]
    return {key: frozen(namespace[key]) for key in names}


@pytest.fixture(params=["function", "magic"])
def check(request):
    """Return a function that makes a check of expressions, in a namespace made by some code."""

    def by_function(code, params, grads, cost, **options):
        namespace = {}
        exec(code, namespace)  # noqa: S102 (a notebook)
        before = state(namespace)
        given = [eval(each, namespace) for each in (params, grads, cost)]  # noqa: S307
        found = check_gradients(*given, names=namespace, arguments=namespace, **options)
        assert state(namespace) == before
        return found

    def by_magic(code, params, grads, cost, **options):
        shell = request.getfixturevalue("shell")
        shell.run_cell(code).raise_error()
        before = state(shell.user_ns)
        line = " ".join(f"--{name} {value}" for name, value in options.items())
        shell.run_cell(f'%gradcheck -p "{params}" -g "{grads}" -c "{cost}" {line}').raise_error()
        assert state(shell.user_ns) == before
        return shell.user_ns["_gradcheck"]

    return by_function if request.param == "function" else by_magic


def notes(check):
    return [each for each in check.notes if "was evaluated" in each]


def rows(table):
    """Return a table with a single value in each row."""
    return [pytest.param(each.values, id=each.id) for each in table]


@pytest.mark.parametrize("row", rows(BY_NAME))
def test_arguments_by_their_names(check, row):
    code, params, grads, cost, note = row
    found = check(f"slip = 1.0\n{START}\n{code}\n{GRADS}", params, grads, cost)
    assert found.verdict is Verdict.CORRECT
    # A function that is given has the name that Python has for it.
    called = [note, (note or "").replace("`model.", "`")]
    assert notes(found) in ([[]] if note is None else [[each] for each in called])


@pytest.mark.parametrize("row", rows(BY_NAME))
def test_a_wrong_gradient(check, row):
    code, params, grads, cost, _ = row
    found = check(f"slip = 1.1\n{START}\n{code}\n{GRADS}", params, grads, cost)
    assert found.verdict is Verdict.BUG
    assert {name for name, _ in found.wrong_entries} <= {"W", "theta"}


STEPS = """
def forward(X, parameters):
    A = parameters["W"] @ X + parameters["b"]
    return A, {"A": A}

def compute_cost(A, Y):
    return half(A - Y)

def regularized(A, Y, parameters, lambd):
    return half(A - Y) + lambd / 2 * np.sum(parameters["W"] ** 2)

def cost(parameters, X, Y, scale=1.0):
    return scale * half(parameters["W"] @ X + parameters["b"] - Y)

class Layer:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, X):
        self.inputs, self.output = X, self.W @ X + self.b

    def backward(self, E):
        self.dW, self.db = slip * E @ self.inputs.T, E.sum(axis=1, keepdims=True)

layer = Layer(W, b)
"""
OF_CELLS = [
    pytest.param(
        "", "-p parameters -c compute_cost", "A, cache = forward(X, parameters)\n" + GRADS,
        "`compute_cost(A, Y)` was evaluated, with the notebook's `Y`, after "
        "`A, cache = forward(X, parameters)`.",
        id="what is computed in the cell",
    ),
    pytest.param(
        "A, cache = forward(X, parameters)", "-p parameters -c compute_cost", GRADS,
        "`compute_cost(A, Y)` was evaluated, with the notebook's `Y`, after "
        "`A, cache = forward(X, parameters)`.",
        id="what is computed in a cell before",
    ),
    pytest.param(
        "", "-p parameters -c compute_cost",
        "Z = parameters['W'] @ X\nA = Z + parameters['b']\n" + GRADS,
        "`compute_cost(A, Y)` was evaluated, with the notebook's `Y`, after the 2 statements "
        "of the notebook that lead to it.",
        id="by several statements",
    ),
    pytest.param(
        "Y_assess = Y + 1\ngrads2 = backward(W, b, X, Y_assess)", "-p parameters -g grads2 "
        "-c compute_cost",
        "A2, _ = forward(X, parameters)\nloss = compute_cost(A2, Y_assess)",
        "`compute_cost(A2, Y_assess)` was evaluated, with the notebook's `Y_assess`, after "
        "`A2, _ = forward(X, parameters)`.",
        id="a call with other names in the cell",
    ),
    pytest.param(
        "", "-p parameters -c cost", GRADS + "\nJ = cost(parameters, X, Y, 1)",
        "`cost(parameters, X, Y, 1)` was evaluated, with the notebook's `X` and `Y`.",
        id="a call with literals",
    ),
    pytest.param(
        "grads = backward(W, b)", "-p parameters -c cost",
        "J = cost(parameters, X[:, :5], Y=Y)\nK = J + 1",
        "`cost(parameters, X[:, :5], Y=Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="a call with expressions",
    ),
    pytest.param(
        "grads = backward(W, b)\nf = lambda p: cost(p, X, Y)", "-p parameters -c f",
        "J = f(parameters)", None, id="HARD: a call as it would be anyway",
    ),
    pytest.param(
        "", "-p parameters -c cost",
        "J = cost(parameters, X, Y)\nmoved = {'W': W + 1, 'b': b}\nK = cost(moved, X, Y)\n" + GRADS,
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: not that with a copy which was moved",
    ),
    pytest.param(
        "", "-p parameters -c cost",
        GRADS + "\nplus = {'W': W + 1e-3, 'b': b}\nJ_plus = cost(plus, X, Y)",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: although there is no other call",
    ),
    pytest.param(
        "", "-p parameters -c loss", "A = W @ X + b\nloss = half(A - Y)\n" + GRADS,
        "`loss` was evaluated, after the 2 statements of the notebook that lead to it.",
        id="a number",
    ),
    pytest.param(
        "", "-p W,b -g grads['dW'],grads['db'] -c loss", "loss = half(W @ X + b - Y)\n" + GRADS,
        "`loss` was evaluated, after `loss = half(W @ X + b - Y)`.", id="HARD: of single arrays",
    ),
    pytest.param(
        "", "-p parameters -c 'half(A - Y) + 0'", "A = W @ X + b\n" + GRADS,
        "`half(A - Y) + 0` was evaluated, with the notebook's `Y`, after `A = W @ X + b`.",
        id="an expression",
    ),
    pytest.param(
        "", "-p parameters -c 'compute_cost(logits, Y)'",
        "logits = W @ X + b\ndlogits = logits - Y\n" + GRADS,
        "`compute_cost(logits, Y)` was evaluated, with the notebook's `Y`, after "
        "`logits = W @ X + b`.",
        id="a call as an expression",
    ),
    pytest.param(
        "", "-p parameters -c loss",
        "loss = 0.0\nfor k in range(5):\n    loss += half(W @ X[:, k:k+1] + b - Y[:, k:k+1])\n"
        + GRADS,
        "`loss` was evaluated, after the 2 statements of the notebook that lead to it.",
        id="a loop",
    ),
    pytest.param(
        "losses = []", "-p parameters -c losses[-1]",
        "losses.append(half(W @ X + b - Y))\n" + GRADS,
        "`losses[-1]` was evaluated, after the 2 statements of the notebook that lead to it.",
        id="HARD: a list that grows",
    ),
    pytest.param(
        "history = {}", "-p parameters -c loss",
        "history['A'] = W @ X + b\nhistory['n'] = 1\nloss = half(history['A'] - Y)\n" + GRADS,
        "`loss` was evaluated, after the 4 statements of the notebook that lead to it.",
        id="HARD: a dict that is filled",
    ),
    pytest.param(
        "", "-p parameters -c loss",
        "for step in range(3):\n    loss = half(W @ X + b - Y)\n    grads = backward(W, b)\n"
        "    W -= 0.01 * grads['dW']\n    b -= 0.01 * grads['db']\n" + GRADS,
        "`loss` was evaluated, after `loss = half(W @ X + b - Y)`.",
        id="HARD: a loop that trains stands for one round",
    ),
    pytest.param(
        "", "-p layer -c 'half(layer.output - Y)'",
        "layer.forward(X)\nlayer.backward(layer.output - Y)",
        "`half(layer.output - Y)` was evaluated, with the notebook's `Y`, after "
        "`layer.forward(X)`.",
        id="a layer that keeps its output",
    ),
    pytest.param(
        "lr = 0.1", "-p parameters -c compute_cost",
        "A, cache = forward(X, parameters)\nJ = compute_cost(A, Y)\n" + GRADS
        + "\nX = X * 5\nY = None\nA = None",
        "`compute_cost(A, Y)` was evaluated, with the notebook's `Y`, after "
        "`A, cache = forward(X, parameters)`.",
        id="HARD: values as they were before the cell changed them",
    ),
    pytest.param(
        "", "-p parameters -c cost", GRADS + "\nJ = cost(parameters, X, Y)\nX = X * 5",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="HARD: values as they were before the cell changed them, in a call",
    ),
    pytest.param(
        "def slopes(parameters, X, Y):\n    return backward(**parameters, X=X, Y=Y)",
        "-p parameters -g slopes -c cost --points 2", "J = cost(parameters, X, Y)",
        "`cost(parameters, X, Y)` was evaluated, with the notebook's `X` and `Y`.",
        id="gradients by a function that needs as much, at several points",
    ),
    pytest.param(
        "", "-p parameters -c 'lambda _: model.loss(X, Y)[0]'", GRADS, None,
        id="what it takes is not read",
    ),
]  # fmt: skip


@pytest.fixture
def cells(shell):
    """Return a function that runs cells, as a notebook does, and returns the check of the last."""

    def run(*codes):
        for code in codes:
            shell.run_cell(code, store_history=True).raise_error()
        return shell.user_ns.get("_gradcheck")

    return run


VERDICTS = pytest.mark.parametrize(
    ("slip", "verdict"), [(1.0, Verdict.CORRECT), (1.1, Verdict.BUG)], ids=["right", "wrong"]
)


@VERDICTS
@pytest.mark.parametrize("row", rows(OF_CELLS))
def test_as_the_cells_compute_it(cells, row, slip, verdict):
    before, line, body, note = row
    cells(f"slip = {slip}\n{START}\n{STEPS}", before or "pass")
    found = cells(f"%%gradcheck {line}\n{body}")
    assert found.verdict is verdict
    assert notes(found) == ([] if note is None else [note])


@pytest.mark.parametrize("row", rows(OF_CELLS))
def test_nothing_changes(shell, cells, row):
    """The statements have run once, as far as anybody can see."""
    before, line, body, _ = row
    cells(f"slip = 1.0\n{START}\n{STEPS}", before or "pass", body)
    after = state(shell.user_ns)
    shell.reset()
    cells(f"slip = 1.0\n{START}\n{STEPS}", before or "pass", f"%%gradcheck {line}\n{body}")
    now = state(shell.user_ns)
    values = {key for key, value in after.items() if not isinstance(value, int)}
    assert {key: now[key] for key in values} == {key: after[key] for key in values}


ERRORS = [
    pytest.param(
        "def cost(parameters, X, Y, lambd):\n"
        "    E = parameters['W'] @ X + parameters['b'] - Y\n"
        "    return half(E) + lambd * np.sum(parameters['W'] ** 2)",
        "cost", GRADS,
        "`cost(parameters, X, Y, lambd)` needs `lambd`, which the notebook does not have: assign "
        'it, or say what to pass: -c "lambda parameters: cost(parameters, X, Y, ...)" (in Python, '
        "arguments=...).",
        "0", id="a name that is missing",
    ),
    pytest.param(
        "def cost(p, X, *, target, scale=1.0):\n    return half(p['W'] @ X + p['b'] - target)",
        "cost", GRADS,
        "`cost(p, X, target=target)` needs `target`, which the notebook does not have: assign it, "
        'or say what to pass: -c "lambda p: cost(p, X, target=...)" (in Python, arguments=...).',
        "Y", id="HARD: by keyword, of parameters with another name",
    ),
    pytest.param(
        "def cost(parameters, data, target):\n"
        "    return half(parameters['W'] @ data + parameters['b'] - target)",
        "cost", GRADS,
        "`cost(parameters, data, target)` needs `data` and `target`, which the notebook does not "
        'have: assign it, or say what to pass: -c "lambda parameters: cost(parameters, ..., ...)" '
        "(in Python, arguments=...).",
        "XY", id="two of them",
    ),
    pytest.param(
        "def cost(parameters, X, Y):\n"
        "    return half(parameters['W'] @ X + parameters['b'] - Y)\nX_dev = 2 * X",
        "cost", GRADS + "\nJ = cost(parameters, X, Y)\nJ_dev = cost(parameters, X_dev, Y)",
        "The cell calls `cost` in more than one way: say which is the cost, with "
        '-c "lambda parameters: cost(parameters, X_dev, Y)" or -c "lambda parameters: '
        'cost(parameters, X, Y)".',
        "", id="HARD: two calls in the cell",
    ),
    pytest.param(
        "one, other = ({'W': np.ones((2, 3)), 'b': np.ones((2, 1))} for _ in range(2))\n"
        "def cost(other, X, Y, one):\n    return half(one['W'] @ X + one['b'] - Y)",
        "cost", GRADS,
        "`other` and `one` may each be the parameters in `cost(other, X, Y, one)`: say which, with "
        '-c "lambda other: cost(other, X, Y, one)" or -c "lambda one: cost(other, X, Y, one)".',
        "", id="HARD: two that may be the parameters",
    ),
    pytest.param(
        "A = [[1], [2, 3]]\ndef cost(A, X, Y):\n    return half(A[0] - Y)", "cost", GRADS,
        "`cost(A, X, Y)` does not take `parameters`, and nothing that it takes was computed from "
        'it in a cell: say how, with -c "lambda parameters: ..." (in Python, pass such a '
        "function).",
        None, id="HARD: nothing was computed from the parameters",
    ),
    pytest.param(
        "A = np.ones((2, 5))", "compute_cost", GRADS,
        "`compute_cost(A, Y)` does not take `parameters`, and nothing that it takes was computed "
        'from it in a cell: say how, with -c "lambda parameters: ..." (in Python, pass such a '
        "function).",
        None, id="HARD: although it takes as many arrays as there are",
    ),
    pytest.param(
        "def cost(E, other):\n    return half(E) + other\ndef likewise(E, other):\n    return 0",
        "cost", "likewise(1, 2)\n" + GRADS,
        "`cost(E, other)` does not take `parameters`, and nothing that it takes was computed from "
        'it in a cell: say how, with -c "lambda parameters: ..." (in Python, pass such a '
        "function).",
        None, id="HARD: what it takes is only known from another call",
    ),
]  # fmt: skip


@VERDICTS
@pytest.mark.parametrize("row", rows(ERRORS))
def test_what_is_said_can_be_pasted(cells, row, slip, verdict):
    """The last line that is suggested makes the check, once its dots are replaced."""
    code, cost, body, said, dots = row
    cells(f"slip = {slip}\n{START}\n{STEPS}\n{code}")
    with pytest.raises(InputError) as caught:
        cells(f"%%gradcheck -p parameters -c {cost}\n{body}")
    assert str(caught.value) == said
    if dots is None:
        return
    *_, line = re.findall('-c "(.*?)"', said)
    assert line.count("...") == len(dots)
    for each in dots:
        line = line.replace("...", each, 1)
    assert cells(f'%%gradcheck -p parameters -c "{line}"\n{body}').verdict is verdict


def test_arguments_of_a_function_alone():
    """Without `arguments`, nothing is taken from anywhere, and what fits no argument is ignored."""
    namespace = {"slip": 1.0}
    exec(f"{START}\n{STEPS}\n{GRADS}", namespace)  # noqa: S102 (a notebook)
    given = namespace["parameters"], namespace["grads"], namespace["cost"]
    arguments = {name: namespace[name] for name in "XY"} | {"unknown": 1, "scale": 3.0}
    found = check_gradients(*given, arguments=arguments)
    assert found.verdict is Verdict.CORRECT
    assert notes(found) == ["`cost(params, X, Y)` was evaluated, with the notebook's `X` and `Y`."]
    with pytest.raises(InputError):
        check_gradients(*given)
