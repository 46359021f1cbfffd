"""Arrays of other libraries: autograd, the array API, and CuPy as far as possible without a GPU."""

import numpy as np
import pytest
from needed import require

from gradcheck_magic import Cause, InputError, check_gradients

require("autograd", "array_api_strict", "scipy", hint="pip install -e '.[test]'")
import array_api_strict as xp  # noqa: E402
import autograd  # noqa: E402
import autograd.numpy as anp  # noqa: E402
import scipy.sparse as sp  # noqa: E402


def test_autograd():
    """HIPS/autograd computes with arrays of NumPy itself."""
    X, y = np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6.0)
    params = {"w": np.array([0.4, -0.7]), "b": 0.5}

    def cost(params):
        return anp.mean((anp.tanh(X @ params["w"]) + params["b"] - y) ** 2)

    for grads in (autograd.grad(cost)(params), autograd.grad(cost)):
        assert check_gradients(params, grads, cost).passed
    grads = autograd.grad(cost)(params)
    assert not check_gradients(params, {**grads, "b": grads["b"] / 2}, cost).passed


@autograd.extend.primitive
def softplus(x):
    return anp.log1p(anp.exp(x))


@pytest.mark.parametrize("slip", [False, True])
def test_autograd_primitive(slip):
    """A primitive may have a rule that the user wrote."""
    sign = -1 if slip else 1
    autograd.extend.defvjp(softplus, lambda _, x: lambda g: g / (1 + anp.exp(-sign * x)))
    x = np.array([0.3, -1.2, 2.0])

    def cost(x):
        return anp.sum(softplus(x) ** 2)

    assert check_gradients(x, autograd.grad(cost), cost).passed is not slip


def test_array_api():
    """The library has nothing but the standard, which NumPy's functions do not belong to."""
    W, b = xp.asarray([[0.3, -1.0], [0.2, 0.9]]), xp.asarray([0.1, -0.4])

    def cost(params):
        assert type(params["W"]) is type(W)
        return xp.sum(xp.tanh(params["W"] @ params["b"]) ** 2)

    t = np.tanh(np.asarray(W) @ np.asarray(b))
    upstream = 2 * t * (1 - t**2)
    grads = {"W": xp.asarray(np.outer(upstream, b)), "b": xp.asarray(np.asarray(W).T @ upstream)}
    before = np.asarray(W).tobytes()
    assert check_gradients({"W": W, "b": b}, grads, cost).passed
    wrong = check_gradients({"W": W, "b": b}, {**grads, "b": -grads["b"]}, cost)
    assert [d.names for d in wrong.diagnoses] == [("b",)]
    # The arrays of a function without arguments are moved in place.
    assert check_gradients({"W": W, "b": b}, grads, lambda: cost({"W": W, "b": b})).passed
    assert np.asarray(W).tobytes() == before


class OnDevice:
    """An array like CuPy's: it has its own memory, and NumPy gets it only through `get`."""

    __cuda_array_interface__ = {"version": 3}  # noqa: RUF012 (only its presence matters)
    __array_ufunc__ = None

    def __init__(self, values, device):
        self._values = values
        self.device = device

    def __array_namespace__(self):
        return self.device

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self):
        return self._values.copy()

    def __setitem__(self, where, other):
        self._values[where] = other._values

    def __mul__(self, other):
        return OnDevice(self._values * other._values, self.device)

    def sum(self):
        return OnDevice(self._values.sum(), self.device)

    @property
    def dtype(self):
        return self._values.dtype


class Device:
    """The device on which arrays are made: inside a `with` block, as with CuPy."""

    current = None

    def __enter__(self):
        Device.current = self

    def __exit__(self, *_):
        Device.current = None

    @staticmethod
    def asarray(array):
        return OnDevice(array.copy(), Device.current)


@pytest.mark.parametrize("closure", [False, True])
def test_as_cupy(closure):
    device = Device()
    values = np.array([[0.3, -1.0], [0.2, 0.9]])
    W = OnDevice(values.copy(), device)

    def cost(given=W):
        assert type(given) is OnDevice
        assert given.device is device
        return (given * given * given).sum()

    call = "closure" if closure else "structured"
    assert check_gradients(W, OnDevice(3 * values**2, device), cost, call=call).passed
    check = check_gradients(
        {"W": W}, {"W": OnDevice(-3 * values**2, device)}, lambda p: cost(p["W"])
    )
    assert [d.names for d in check.diagnoses] == [("W",)]
    assert W.get().tobytes() == values.tobytes()


def test_points_as_cupy():
    """Arrays on another device are moved for a gradient that reads them."""
    values = np.array([0.3, -1.0])
    W = OnDevice(values.copy(), Device())
    seen = set()

    def gradient():
        seen.add(W.get().tobytes())
        return 3 * W.get() ** 2

    def cost():
        return (W * W * W).sum()

    assert check_gradients(W, gradient, cost, points=2).passed
    assert len(seen) == 3
    assert W.get().tobytes() == values.tobytes()


def test_what_a_cost_writes_as_cupy():
    """A cost may copy its argument to the user's own array, which is put back."""
    values = np.array([0.3, -1.0])
    W = OnDevice(values.copy(), Device())

    def cost(given):
        W[...] = given
        return (given * given * given).sum()

    assert check_gradients(W, 3 * values**2, cost, call="structured").passed
    assert W.get().tobytes() == values.tobytes()


def test_not_dense():
    """The error names an array that NumPy cannot read."""
    broken = OnDevice(np.ones(2), Device())
    broken.get = lambda: 1 / 0
    with pytest.raises(InputError) as error:
        check_gradients({"W": broken}, {"W": np.ones(2)}, lambda p: 0.0)
    assert str(error.value) == (
        "`W` is a foreign array of float64, which NumPy cannot read (division by zero): "
        "expected a dense array of float32 or float64."
    )


SPARSE = [sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_matrix]


@pytest.mark.parametrize("kind", SPARSE, ids=lambda kind: kind.__name__)
def test_sparse_gradients(kind):
    """A dense parameter may have a sparse gradient."""
    W = np.linspace(-1, 1, 8).reshape(4, 2)
    used = np.array([[1.0], [0.0], [1.0], [0.0]])

    def cost(W):
        return np.sum(used * W**2)

    gradient = kind(2 * used * W)
    assert check_gradients(W, gradient, cost).passed
    assert check_gradients({"W": W}, {"dW": gradient}, cost, call="arguments").passed
    check = check_gradients({"W": W}, {"dW": -gradient}, cost, call="arguments")
    assert [(d.cause, d.names) for d in check.diagnoses] == [(Cause.SIGN, ("W",))]


def test_sparse_parameters():
    with pytest.raises(InputError) as error:
        check_gradients({"W": sp.csr_matrix(np.eye(2))}, {"W": np.eye(2)}, lambda p: 0.0)
    assert str(error.value) == (
        "`W` is a sparse array (scipy.csr_matrix), and a parameter must be dense: pass "
        "W.toarray(), or its stored values alone, and let the cost make a sparse array of them."
    )
