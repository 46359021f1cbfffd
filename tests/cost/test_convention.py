"""The cost function is called the way it wants."""

import functools

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients

W, b = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0.5, -0.5])
X, Y = np.array([[1.0, -1.0, 2.0], [0.5, 0.25, -1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])


def loss(W, b):
    return np.sum((X @ W + b - Y) ** 2) / 2


def gradient():
    residual = X @ W + b - Y
    return X.T @ residual, residual.sum(axis=0)


def of_theta(theta):
    return loss(theta[:6].reshape(3, 2), theta[6:])


def of_container(params):
    return loss(*(params.values() if isinstance(params, dict) else params))


def of_arrays(W, b):
    return loss(W, b)


def of_keywords(*, b, W):
    return loss(W, b)


def of_nothing():
    return loss(W, b)


class Model:
    def method(self, params):
        return of_container(params)

    def __call__(self, W, b):
        return loss(W, b)


CONVENTIONS = [
    pytest.param(of_theta, id="flat"),
    pytest.param(of_container, id="the container"),
    pytest.param(of_arrays, id="one by one"),
    pytest.param(of_nothing, id="nothing"),
    pytest.param(lambda *arrays: 1.0 * loss(*arrays), id="any number of arrays"),
    pytest.param(lambda W, b, extra=1.0: extra * loss(W, b), id="a default"),
    pytest.param(functools.partial(lambda scale, W, b: scale * loss(W, b), 1.0), id="partial"),
    pytest.param(Model().method, id="a method"),
    pytest.param(Model(), id="an object"),
    pytest.param(lambda params: (of_container(params), "cache"), id="cost, cache"),
    pytest.param(lambda params: np.array([[of_container(params)]]), id="a 1 by 1 array"),
]


@pytest.mark.parametrize("cost", CONVENTIONS)
@pytest.mark.parametrize("container", [list, tuple, dict])
def test_conventions(check, cost, container):
    """With every convention and container, correct gradients pass and a wrong entry is found."""
    dW, db = gradient()
    if container is dict:
        params, grads = {"W": W, "b": b}, {"dW": dW, "db": db}
    else:
        params, grads = container([W, b]), container([dW, db])
    before = W.tobytes(), b.tobytes()
    assert check(params, grads, cost).verdict is Verdict.CORRECT
    dW[1, 0] *= 1.5
    found = check(params, grads, cost)
    assert found.verdict is Verdict.BUG
    assert [index for _, index in found.wrong_entries] == [(1, 0)]
    assert (W.tobytes(), b.tobytes()) == before


def test_by_keyword(check):
    """The arrays of a dict are passed by name if the signature has the names."""
    dW, db = gradient()
    assert check({"W": W, "b": b}, {"dW": dW, "db": db}, of_keywords).passed


@pytest.mark.parametrize("call", ["flat", "structured", "arguments"])
def test_call_decides(check, call):
    """A function that works in several ways, with different values, is called as requested."""
    params, grads = [np.array([1.0]), np.array([2.0])], [np.array([1.0]), np.array([1.0])]
    factors = {"flat": 1.0, "structured": 2.0, "arguments": 3.0}

    def cost(first, second=None):
        if second is not None:
            return 3.0 * float(first[0] + second[0])
        if isinstance(first, list):
            return 2.0 * float(first[0][0] + first[1][0])
        return float(first.sum())

    message = (
        "`cost` can be called in 3 ways that differ around θ: with the container (J = 6.03352), "
        "with the flat θ (J = 3.01676), with the arrays one by one (J = 9.05028); choose one with "
        "--call structured, --call flat or --call arguments (in Python, call=...)."
    )
    with pytest.raises(InputError) as error:
        check(params, grads, cost)
    assert str(error.value) == message
    found = check(params, grads, cost, call=call)
    assert found.numerical == pytest.approx(factors[call], rel=1e-6)


def test_agreement_is_not_ambiguous(check):
    """For one number in a list, the flat θ and the container look the same."""
    assert check([3.0], [6.0], lambda theta: theta[0] ** 2).passed


def test_a_column_stays_a_column(check):
    """If it were flattened, it would broadcast: (3, 1) against (3,) is (3, 3)."""
    theta, target = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [2.0], [1.0]])
    found = check(theta, 2 * (theta - target), lambda t: np.sum((t - target) ** 2))
    assert found.passed


@pytest.mark.parametrize(
    ("params", "grads", "cost"),
    [
        pytest.param(2.0, 4.0, lambda x: x**2, id="a plain number"),
        pytest.param(np.array(2.0), np.array(4.0), lambda x: x**2, id="0-d"),
        pytest.param(
            {"w": 2.0, "b": 1.0}, {"dw": 4.0, "db": 2.0},
            lambda p: p["w"] ** 2 + 2 * p["b"], id="numbers in a dict",
        ),
        pytest.param((2.0, 1.0), (4.0, 2.0), lambda w, b: w**2 + 2 * b, id="numbers one by one"),
        pytest.param(np.array([1, 2]), np.array([2, 4]), lambda x: x @ x, id="integers"),
    ],
)  # fmt: skip
def test_numbers(check, params, grads, cost):
    assert check(params, grads, cost).passed


def test_nested(check):
    """Nested lists and dicts are passed in the same structure, with the settings in them."""
    params = {
        "layers": [{"W": W, "b": b}, {"W": np.eye(2), "b": None}],
        "activation": "none",
    }
    dW, db = gradient()
    grads = {"layers": [{"dW": dW, "db": db}, {"dW": np.zeros((2, 2)), "db": None}], "cost": 3.0}

    def cost(params):
        assert params["activation"] == "none"
        first, second = params["layers"]
        assert second["b"] is None
        return loss(first["W"], first["b"]) + 0 * second["W"].sum()

    found = check(params, grads, cost)
    assert found.passed
    names = [parameter.name for parameter in found.parameters]
    assert names == ["layers[0].W", "layers[0].b", "layers[1].W"]


def test_upstream(check):
    """The forward function of a layer is checked against its backward, for weights and inputs."""
    random = np.random.default_rng(0)
    x, w, dout = (random.normal(size=shape) for shape in [(5, 3), (3, 4), (5, 4)])

    def forward(x, w):
        out = np.tanh(x @ w)
        return out, (x, w, out)

    _, (_, _, out) = forward(x, w)
    dz = dout * (1 - out**2)
    dx, dw = dz @ w.T, x.T @ dz
    found = check([x, w], [dx, dw], forward, upstream=dout)
    assert found.passed
    assert "`forward` returns several values: the first was used as the output." in found.notes
    found = check({"x": x, "w": w}, {"dx": -dx, "dw": dw}, forward, upstream=dout)
    assert [p.name for p in found.parameters if p.n_wrong] == ["x"]


def test_cached_arguments():
    """A function that caches results by the identity of its argument is given copies."""
    results = {}

    def cost(theta):
        if id(theta) not in results:
            results[id(theta)] = (theta, theta @ theta)
        return results[id(theta)][1]

    assert check_gradients(np.array([1.0, 2.0]), np.array([2.0, 4.0]), cost).passed


def test_closure_restores_every_layout():
    """An array that is not contiguous, in Fortran order, or a view has the same bits afterwards."""
    base = np.random.default_rng(0).normal(size=(6, 8))
    whole = base.copy()
    params = {"A": base[::2, 1::3], "B": np.asfortranarray(base[:2, :2]), "C": base[5, 7:]}
    grads = {name: 2 * array for name, array in params.items()}

    def cost():
        return sum(float((array**2).sum()) for array in params.values())

    assert check_gradients(params, grads, cost).passed
    assert base.tobytes() == whole.tobytes()


def test_what_is_held_fixed_keeps_its_type():
    """Indices and counts beside the weights are passed unchanged."""
    params = {"E": W, "rows": np.array([0, 2]), "times": 3, "scale": np.float64(0.5)}

    def cost(p):
        picked = p["E"][p["rows"]]
        return sum(float((p["scale"] * picked**2).sum()) for _ in range(p["times"]))

    dE = np.zeros_like(W)
    dE[[0, 2]] = 3 * W[[0, 2]]
    assert check_gradients(params, {"dE": dE}, cost, only=["E"]).passed


def test_numbers_keep_their_kind():
    """A NumPy number has methods that a plain number lacks."""
    found = check_gradients({"w": np.float64(3)}, {"dw": 6.0}, lambda p: (p["w"] ** 2).sum())
    assert found.passed


@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(lambda **p: loss(p["W"], p["b"]), id="any keywords"),
        pytest.param(lambda W, b, /: loss(W, b), id="by position alone"),
    ],
)
def test_kinds_of_arguments(check, cost):
    dW, db = gradient()
    assert check({"W": W, "b": b}, {"dW": dW, "db": db}, cost).call == "arguments"


def test_replaced_beside_a_number():
    """The check notices that an array is replaced, even with a number beside it."""

    def cost(p):
        p["W"] = p["W"] * 2
        return float(np.sum(p["W"] ** 2) + p["b"] ** 2)

    with pytest.raises(InputError, match="changes its argument `W`"):
        check_gradients({"W": W, "b": 0.5}, {"dW": 8 * W, "db": 1.0}, cost)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_closure_that_changes_and_fails(error):
    """Any changes that the function made before it failed are undone."""
    w = np.ones(3)

    def cost():
        w[:] *= 2
        raise error

    with pytest.raises(error):
        check_gradients(w, 2 * w, cost)
    assert list(w) == [1.0, 1.0, 1.0]


def test_upstream_may_be_a_parameter():
    """It is copied, and not perturbed together with the parameter."""
    x = np.array([1.0, 2.0])
    assert check_gradients(x, x.copy(), lambda: x * 1.0, upstream=x).passed


def test_flat_around_theta_is_not_constant(check):
    """With a forgotten mask, all units are dead, but the cost still depends on θ."""
    found = check(np.array([-1.0, -2.0]), np.ones(2), lambda t: float(np.maximum(t, 0).sum()))
    assert found.verdict is Verdict.BUG
    assert found.diagnoses[0].cause.name == "COST_IGNORES_PARAMETERS"


def test_a_likelier_way_that_failed_is_told():
    """When it is called with the flat θ, a function may run by accident and ignore most of it."""

    def cost(p):
        return np.sum(p[0] * np.ones((3, 5)))

    found = check_gradients([W, b], [W, b], cost)
    assert found.call == "flat"
    assert found.notes[-1].startswith(
        "`cost` was called with the flat θ, because it raised ValueError when called with the "
        "container: operands could not be broadcast"
    )
    assert "cost called with the flat θ" in str(found)


def test_upstream_of_a_number():
    """The output of a layer may be one number, and it is weighted as well."""
    x = np.array([1.0, 2.0])
    found = check_gradients(x, 6 * x, lambda x: float(x @ x), upstream=3.0)
    assert found.passed


@pytest.mark.parametrize("container", [list, dict])
def test_a_column_in_a_container(check, container):
    """If it were flattened it would only broadcast, so the user need not choose."""
    column, target = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [2.0], [1.0]])
    params = [column] if container is list else {"W": column}
    grads = [2 * (column - target)] if container is list else {"dW": 2 * (column - target)}
    found = check(params, grads, lambda W: np.sum((W - target) ** 2))
    assert found.passed
    assert found.cost == np.sum((column - target) ** 2)
