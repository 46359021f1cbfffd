"""Half precision: float16 and bfloat16, in NumPy, ml_dtypes and JAX."""

import numpy as np
import pytest
from needed import require

from gradcheck_magic import Cause, InputError, Verdict, check_gradients, step_curve

require("jax", "ml_dtypes", hint="pip install -e '.[test]'")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from ml_dtypes import bfloat16, float8_e4m3fn  # noqa: E402

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(20, 4)), RANDOM.normal(size=(20, 4))
PARAMS = {"W": RANDOM.normal(size=(4, 4)), "b": RANDOM.normal(size=4)}
HALVES = [np.float16, bfloat16]
BUGS = {
    Cause.SIGN: lambda dW: -dW,
    Cause.SCALE: lambda dW: 2 * dW,
    Cause.TRANSPOSED: lambda dW: dW.T,
}


def cost(params):
    return np.mean((np.tanh(X @ params["W"] + params["b"]) - Y) ** 2)


def gradients(params):
    W, b = (params[name].astype(float) for name in "Wb")
    T = np.tanh(X @ W + b)
    dZ = 2 * (T - Y) / T.size * (1 - T**2)
    return {"W": X.T @ dZ, "b": dZ.sum(0)}


def bits(params):
    return {name: np.asarray(array).tobytes() for name, array in params.items()}


def named(check):
    return [(diagnosis.cause, diagnosis.names) for diagnosis in check.diagnoses]


# The dtypes of the parameters and of the gradient.
MIXED = [
    *((half, half) for half in HALVES),
    *((half, np.float64) for half in HALVES),
    *((np.float32, half) for half in HALVES),
    *((np.float64, half) for half in HALVES),
]


@pytest.mark.parametrize(("own", "given"), MIXED, ids=lambda dtype: np.dtype(dtype).name)
def test_numpy(own, given):
    """The cost is measured in double precision, and the gradient may be as coarse as it is."""
    params = {name: array.astype(own) for name, array in PARAMS.items()}
    grads = {name: array.astype(given) for name, array in gradients(params).items()}
    before = bits(params) | {"d": bits(grads)}
    check = check_gradients(params, grads, cost)
    assert check.passed, str(check)
    assert check.uncertainty.max() < 1e-6
    for cause, bug in BUGS.items():
        # In NumPy 2.0, a number times bfloat16 is float32.
        wrong = {**grads, "W": bug(grads["W"]).astype(given)}
        check = check_gradients(params, wrong, cost)
        assert check.verdict is Verdict.BUG
        assert named(check) == [(cause, ("W",))]
    assert bits(params) | {"d": bits(grads)} == before


@pytest.mark.parametrize("half", HALVES)
def test_in_place(half):
    """The notebook's own arrays are moved from number to number of their own precision."""
    params = {name: array.astype(half) for name, array in PARAMS.items()}
    grads, before = gradients(params), bits(params)
    check = check_gradients(params, grads, lambda: cost(params))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert np.all(np.abs(check.numerical - check.analytic) <= check.uncertainty)
    assert bits(params) == before
    name = np.dtype(half).name
    assert check.notes[0] == (
        f"Half precision ({name}): the step is {check.epsilon:g}, and the gradient is checked to "
        "half precision. Compute in float64 for a more precise check"
        f"{': use dtype=float64' if half is bfloat16 else ''}."
    )
    grads["b"] = -10 * grads["b"]
    assert check_gradients(params, grads, lambda: cost(params)).verdict is Verdict.BUG
    assert bits(params) == before


def test_what_numpy_returns_in_bfloat16():
    """A mean is a number of ml_dtypes: as a cost, as a gradient, and as a parameter."""
    w = np.array([1.5, -2.0, 0.75], dtype=bfloat16)
    b = bfloat16(0.5)
    params, grads = {"w": w, "b": b}, {"w": 2 * w, "b": bfloat16(2) * b}

    def cost(params):
        return np.sum(params["w"] * params["w"]) + params["b"] * params["b"]

    assert type(cost(params)) is bfloat16
    assert check_gradients(params, grads, cost).passed
    assert named(check_gradients(params, {**grads, "w": -2 * w}, cost)) == [(Cause.SIGN, ("w",))]
    with pytest.raises(InputError) as error:
        check_gradients(params, grads, lambda: cost(params))
    assert str(error.value) == (
        "`cost_function` reads `b` (an immutable number in bfloat16) from the notebook, where it "
        "is perturbed in place: make it a writable array of floats, or an argument of the function."
    )


def test_read_only_in_bfloat16():
    w = np.ones(2, dtype=bfloat16)
    w.flags.writeable = False
    assert check_gradients(w, 2 * w, lambda w: np.sum(w * w)).passed
    with pytest.raises(InputError, match=r"reads `params` \(read-only\) from the notebook"):
        check_gradients(w, 2 * w, lambda: np.sum(w * w))


def test_fewer_bits():
    w = np.ones(2, dtype=float8_e4m3fn)
    with pytest.raises(InputError) as error:
        check_gradients({"w": w}, {"w": np.ones(2)}, lambda p: 0.0)
    assert str(error.value) == "`w` has dtype float8_e4m3fn: expected real numbers."


@pytest.mark.parametrize("call", ["structured", "flat"])
@pytest.mark.parametrize("half", HALVES)
def test_jax(half, call):
    """JAX computes in half precision throughout, and in double for the check."""
    params = {name: jnp.array(array).astype(half) for name, array in PARAMS.items()}
    x, y = jnp.array(X).astype(half), jnp.array(Y).astype(half)

    def loss(params):
        return jnp.mean((jnp.tanh(x @ params["W"] + params["b"]) - y) ** 2)

    def flat(theta):
        return loss({"W": theta[:16].reshape(4, 4), "b": theta[16:]})

    function = flat if call == "flat" else loss
    grads, before = jax.grad(loss)(params), bits(params)
    assert grads["W"].dtype == half
    check = check_gradients(params, grads, function, call=call)
    assert check.passed, str(check)
    assert check.uncertainty.max() < 1e-6
    check = check_gradients(params, {**grads, "W": -grads["W"]}, function, call=call)
    assert named(check) == [(Cause.SIGN, ("W",))]
    assert bits(params) == before


def test_beside_a_kink():
    """HARD: rounding opens a unit that is shut, and the gradient is that of a place near θ."""
    w = np.array([1.0, 3.0], dtype=bfloat16)
    # The unit of the first input is shut at θ, by less than bfloat16 can tell.
    inputs = np.array([[1.0, -1 / 3 - 1e-4], [0.5, 0.5]])

    def cost(w):
        return np.sum(np.maximum(0, inputs @ w)) + 10 * np.sum(w)

    at_theta, beside = 10 + inputs[1], 10 + inputs.sum(0)
    assert check_gradients(w, at_theta.astype(bfloat16), cost).passed
    check = check_gradients(w, (1.1 * beside).astype(bfloat16), cost)
    assert check.verdict is Verdict.INCONCLUSIVE
    (reason,) = check.reasons
    assert reason == (
        "In half precision, rounding moves all that the backward pass starts from: the gradient of "
        "`params` changes so much near θ that its errors may come from that. Compute the gradient "
        "in float32 or float64."
    )
    assert check_gradients(w, -beside.astype(bfloat16), cost).verdict is Verdict.BUG
    assert check_gradients(w, 1.1 * beside, cost, names=["w"]).verdict is Verdict.INCONCLUSIVE
    assert not check_gradients(w.astype(float), 1.1 * beside, cost).passed


def test_step_curve():
    w = np.array([1.0, 0.5], dtype=bfloat16)

    def cost(w):
        return float(np.sum(w.astype(bfloat16).astype(float) ** 2))

    curve = step_curve({"w": w}, {"w": 2 * w}, cost, "w", 0)
    assert curve.precision == "bfloat16"
    # The smallest step is many units in the last place of bfloat16.
    assert curve.steps.min() >= 2.0**-7
    assert curve.sentence.endswith("That is not precise enough to tell if it is correct.")
