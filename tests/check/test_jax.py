"""Checks of arrays, pytrees and custom rules of JAX, with the real library."""

import random
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from needed import require

from gradcheck_magic import Cause, InputError, Verdict, check_gradients, step_curve

require("jax", hint="pip install -e '.[test]'")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)


@partial(jax.tree_util.register_dataclass, data_fields=["W", "rest"], meta_fields=["activation"])
@dataclass
class Net:
    """A pytree of the user's own type."""

    W: jax.Array
    rest: list
    activation: str = "tanh"


class Pair(NamedTuple):
    W: jax.Array
    b: jax.Array


FORMS = {
    "dict": (lambda W, b: {"W": W, "b": b}, lambda p: (p["W"], p["b"])),
    "list": (lambda W, b: [W, b], lambda p: p),
    "tuple": (lambda W, b: (W, b), lambda p: p),
    "namedtuple": (Pair, lambda p: (p.W, p.b)),
    "nested": (lambda W, b: {"layers": [{"W": W}, (b,)]},
               lambda p: (p["layers"][0]["W"], p["layers"][1][0])),
    "dataclass": (lambda W, b: Net(W, [{"b": b}]), lambda p: (p.W, p.rest[0]["b"])),
}  # fmt: skip


def arrays():
    return jnp.array(np.linspace(-1, 1, 8).reshape(4, 2)), jnp.array([0.1, -0.3])


def loss(W, b):
    return jnp.mean((jnp.tanh(X @ W) + b - Y) ** 2)


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def double(request):
    """Set JAX's default precision, or double precision."""
    with jax.enable_x64(request.param):
        yield request.param


# Compiling takes longest, so it is done for two forms: a Python container and the user's type.
@pytest.mark.parametrize(
    ("form", "jit"),
    [*((form, False) for form in FORMS), ("dict", True), ("dataclass", True)],
    ids=lambda value: {False: "plain", True: "jit"}.get(value, value),
)
def test_right_and_wrong(form, jit, double):
    make, parts = FORMS[form]
    params = make(*arrays())

    def cost(params):
        assert type(params) is type(make(0, 0))
        return loss(*parts(params))

    cost = jax.jit(cost) if jit else cost
    grads = jax.grad(cost)(params)
    check = check_gradients(params, grads, cost)
    assert check.passed, str(check)
    assert check.size == 10
    assert any("float32, JAX's default" in note for note in check.notes) is not double
    # In either precision, it is measured in double precision.
    assert check.uncertainty.max() < 1e-6

    wrong = make(*(g * factor for g, factor in zip(parts(grads), (1, 20), strict=True)))
    check = check_gradients(params, wrong, cost)
    assert check.verdict is Verdict.BUG
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert "is 20.00 times the numerical gradient" in diagnosis.sentence
    assert "`X.shape[0]` is 20: was the mean over the examples forgotten?" in diagnosis.sentence


def test_a_function_of_the_parameters():
    make, parts = FORMS["dataclass"]

    def cost(params):
        return loss(*parts(params))

    check = check_gradients(make(*arrays()), jax.grad(cost), cost, points=2)
    assert check.passed
    assert [p.name for p in check.parameters] == ["W", "rest[0].b"]


CALLS = {
    "flat": lambda theta: loss(theta[:8].reshape(4, 2), theta[8:]),
    "structured": lambda params: loss(*params),
    "arguments": loss,
}


@pytest.mark.parametrize("call", CALLS)
def test_what_the_function_gets(call):
    """The function gets arrays of JAX, on the same device as the user's."""
    given = []

    def cost(*args):
        given.extend(jax.tree_util.tree_leaves(args))
        return CALLS[call](*args)

    W, b = arrays()
    grads = jax.grad(lambda params: loss(*params))([W, b])
    check = check_gradients([W, b], grads, cost, call=call)
    assert check.passed
    assert all(isinstance(array, jax.Array) for array in given)
    assert {array.device for array in given} == {W.device}


@jax.custom_vjp
def softplus(x):
    return jnp.log1p(jnp.exp(x))


def forward(x):
    return softplus(x), x


def backward(x, upstream):
    return (upstream * jax.nn.sigmoid(x),)


def slip(x, upstream):
    return (upstream * jax.nn.sigmoid(-x),)


@pytest.mark.parametrize("rule", [backward, slip])
def test_custom_rule(rule, double):
    """In a real case, a custom_vjp is part of a network whose other layers are correct."""
    softplus.defvjp(forward, rule)
    W, b = arrays()
    v = jnp.array([[0.7], [-1.1]])

    def cost(params):
        return jnp.mean((softplus(X @ params["W"] + params["b"]) @ params["v"] - Y[:, :1]) ** 2)

    params = {"W": W, "b": b, "v": v}
    check = check_gradients(params, jax.grad(cost)(params), cost)
    assert check.passed is (rule is backward)
    if rule is slip:
        assert [(d.cause, set(d.names)) for d in check.diagnoses] == [(Cause.UPSTREAM, {"W", "b"})]


def test_custom_rule_by_itself():
    """It is checked as a layer, with dJ/d(output)."""
    softplus.defvjp(forward, backward)
    x, upstream = jnp.array([0.3, -2.0, 1.0]), jnp.array([1.0, -0.5, 2.0])
    _, pull_back = jax.vjp(softplus, x)
    assert check_gradients(x, pull_back(upstream)[0], softplus, upstream=upstream).passed
    assert not check_gradients(x, pull_back(2 * upstream)[0], softplus, upstream=upstream).passed


def test_nothing_changes(double):
    """JAX's precision, the arrays, and the random states stay the same."""
    W, b = arrays()
    before = np.asarray(W).tobytes(), np.random.get_state()[1].tobytes(), random.getstate()
    assert check_gradients([W, b], jax.grad(loss, argnums=(0, 1))(W, b), loss).passed
    assert jax.config.jax_enable_x64 is double
    assert (
        np.asarray(W).tobytes(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
    ) == before


def test_stays_single():
    """A cost that itself returns to single precision is judged by single precision."""
    W, b = arrays()

    def cost(W, b):
        return loss(W.astype(jnp.float32), b.astype(jnp.float32))

    check = check_gradients([W, b], jax.grad(cost, argnums=(0, 1))(W, b), cost)
    assert check.passed
    assert any(note.endswith("precise check: enable jax_enable_x64.") for note in check.notes)


def test_step_curve():
    W, b = arrays()
    curve = step_curve([W, b], jax.grad(loss, argnums=(0, 1))(W, b), loss, "params[0]", (1, 1))
    assert curve.label == "params[0][1, 1]"


def test_closure():
    """An array of JAX cannot be moved in place."""
    W, b = arrays()
    with pytest.raises(InputError) as error:
        check_gradients({"W": W, "b": b}, {"W": W, "b": b}, lambda: loss(W, b))
    assert str(error.value) == (
        "`cost_function` reads `W` (an immutable JAX array) from the notebook, where it is "
        "perturbed in place: make it a writable array of floats, or an argument of the function."
    )


def test_traced():
    """Inside a transformation, there are no numbers to check."""
    errors = []

    def cost(w):
        try:
            check_gradients({"w": w}, {"w": 2 * w}, lambda p: jnp.sum(p["w"] ** 2))
        except InputError as error:
            errors.append(str(error))
        return jnp.sum(w**2)

    jax.grad(cost)(jnp.ones(3))
    assert errors
    assert errors[0].startswith("`w` is a JAX array of float32, which NumPy cannot read")
    assert "\n" not in errors[0]


def test_in_the_magic(run, shell):
    W, b = arrays()
    shell.user_ns |= {"params": Pair(W, b), "cost_function": lambda params: loss(*params)}
    shell.user_ns["jax"] = jax
    check = run("%%gradcheck\ngrads = jax.grad(cost_function)(params)")
    assert check.passed
    assert run('%gradcheck -g "jax.grad(cost_function)" --points 2').passed


# Complex numbers

REAL, IMAGINARY = np.random.default_rng(3).normal(size=(2, 3, 4))
OTHERWISE = "look for a conjugate that the backward pass leaves out."


def of_complex(z):
    return jnp.sum(jnp.abs(z - 1.5) ** 2)


def test_complex():
    """JAX's convention is the conjugate of torch's, also for what comes from upstream."""
    with jax.enable_x64(True):
        z = jnp.asarray(REAL + 1j * IMAGINARY)
        grads = jax.grad(of_complex)(z)
        _, pulled = jax.vjp(jnp.sin, z)
        (of_layer,) = pulled(grads)
        right = check_gradients(z, grads, of_complex)
        layer = check_gradients(z, of_layer, jnp.sin, upstream=grads)
        wrong = check_gradients(z, grads.conj(), of_complex)
        half = check_gradients(z, grads.conj() / 2, of_complex)
    assert right.verdict is layer.verdict is Verdict.CORRECT
    note = (
        "JAX's gradient with regard to x + iy is ∂J/∂x − i ∂J/∂y, and was read like that: a step "
        "of gradient descent takes its conjugate."
    )
    assert right.notes == (note,)
    sentence = (
        "`grads` is the complex conjugate of the gradient, in all 12 entries, to 5 digits: "
        "∂J/∂x + i ∂J/∂y, for z = x + iy. The check expects ∂J/∂x − i ∂J/∂y, as JAX does: take "
        f"grads.conj(), or {OTHERWISE}"
    )
    assert [d.sentence for d in wrong.diagnoses] == [sentence]
    assert "Wirtinger's ∂J/∂z* = ½ (∂J/∂x + i ∂J/∂y)" in half.diagnoses[0].sentence
