"""The backward pass of a custom function of torch or JAX, which the library runs, is followed."""

import numpy as np
import pytest
from needed import require

from gradcheck_magic import Verdict, check_gradients
from tests.support.passes import checked, read

TORCH = '''"""torch"""
# %%
import torch

torch.manual_seed(0)
X, Y = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)

class Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, b):
        ctx.save_for_backward(x, W, b)
        return x @ W + b

    @staticmethod
    def backward(ctx, grad):
        x, W, b = ctx.saved_tensors
        grad_x = grad @ W.t()
        #! grad_x = grad @ W.t() / 2
        grad_W = x.t() @ grad
        #! grad_W = x.t() @ grad / len(x)
        #! grad_W = -x.t() @ grad
        grad_b = grad.sum(0)
        #! grad_b = grad.mean(0)
        return grad_x, grad_W, grad_b

class Softsign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        bottom = 1 + z.abs()
        ctx.save_for_backward(z, bottom)
        return z / bottom

    @staticmethod
    def backward(ctx, grad):
        z, bottom = ctx.saved_tensors
        slope = 1 / bottom ** 2
        #! slope = 1 / bottom
        #! slope = z.sign() / bottom ** 2
        return grad * slope
        #! return slope
        #! return grad

def start(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

params = {"W1": start(3, 5), "b1": start(5), "W2": start(5, 4), "b2": start(4)}

def cost(p):
    hidden = Softsign.apply(Dense.apply(X, p["W1"], p["b1"]))
    return ((Dense.apply(hidden, p["W2"], p["b2"]) - Y) ** 2).mean()

# %% gradcheck -p params -c cost
for each in params.values():
    each.grad = None
cost(params).backward()
grads = {name: each.grad for name, each in params.items()}
'''

JAX = '''"""JAX"""
# %%
import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)
keys = jax.random.split(jax.random.key(0), 4)
X, Y = jax.random.normal(keys[0], (7, 3)), jax.random.normal(keys[1], (7, 4))
params = {"W": jax.random.normal(keys[2], (3, 4)), "b": jax.random.normal(keys[3], (4,))}

@jax.custom_vjp
def swish(z):
    return z / (1 + jnp.exp(-z))

def swish_fwd(z):
    s = 1 / (1 + jnp.exp(-z))
    return z * s, (z, s)

def swish_bwd(saved, grad):
    z, s = saved
    slope = s + z * s * (1 - s)
    #! slope = s + z * (1 - s)
    #! slope = s * (1 - s)
    return (grad * slope,)
    #! return (-grad * slope,)

swish.defvjp(swish_fwd, swish_bwd)

def cost(p):
    return ((swish(X @ p["W"] + p["b"]) - Y) ** 2).mean()

# %% gradcheck -p params -c cost
grads = jax.grad(cost)(params)
'''
PASSES = {"torch": TORCH, "jax": JAX}
# With `bottom` held, this is the right slope: what is missing may be in either statement.
ONLY_IN_RANGE = {("torch", 4)}
CASES = [(name, k) for name, text in PASSES.items() for k in range(text.count("#!"))]


def pass_in(library):
    """Return the pass in a library, if that is installed."""
    require(library, hint=f"pip install {library}")
    return read(library, PASSES[library])


@pytest.mark.parametrize("library", PASSES)
def test_right_pass(library):
    check = checked(pass_in(library))
    assert check.verdict is Verdict.CORRECT
    assert not (check.backward and check.backward.faults)


@pytest.mark.parametrize("library", PASSES)
def test_steps_are_shown_when_asked_for(library):
    steps = checked(pass_in(library), options="--trace").backward.steps
    assert {step.mark for step in steps} >= {"right"}
    assert "slope" in {step.value for step in steps}


@pytest.mark.parametrize(("library", "k"), CASES)
def test_statement_with_a_slip_is_named(library, k):
    backward = pass_in(library)
    slip = backward.slips[k]
    place = backward.place(slip)
    check = checked(backward, slip)
    assert check.verdict is Verdict.BUG
    fault = check.backward.faults[0]
    lines = [(line.file, line.line) for line in fault.lines]
    assert (place.file, place.line) in lines
    assert min(line for _, line in lines) > 0, "a statement of the library"
    if (library, k) not in ONLY_IN_RANGE:
        assert lines[0] == (place.file, place.line), fault.sentence


@pytest.mark.parametrize(
    ("library", "own", "other"),
    [
        ("torch", "cost(params).backward()", "(3 * cost(params) ** 2).backward()"),
        ("jax", "jax.grad(cost)(params)", "jax.grad(lambda p: 3 * cost(p))(params)"),
    ],
)
def test_another_cost_is_not_judged(library, own, other):
    """The gradient of something else: no statement of it is wrong."""
    text = "\n".join(pass_in(library).lines).replace(own, other)
    check = checked(read(library, text))
    assert check.verdict is Verdict.BUG
    assert not (check.backward and check.backward.faults)


def test_gradients_that_another_call_has_left():
    """What torch computes now is not what is under test: no statement of it is wrong."""
    torch = pytest.importorskip("torch", reason="torch is missing: pip install torch")

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return 2 * x

        @staticmethod
        def backward(_, upstream):
            return 2 * upstream

    w = torch.linspace(0.5, 2, 6, dtype=torch.float64, requires_grad=True)
    for stale in (torch.ones(6), torch.linspace(1, 2, 6)):
        w.grad = stale.double()
        check = check_gradients(w, None, lambda w: Double.apply(w).sum())
        assert check.verdict is Verdict.BUG
        assert not (check.backward and check.backward.faults)


def test_gradients_of_torch_itself():
    """Without gradients of the user's, those of torch are checked, and its own `.grad` stays."""
    torch = pytest.importorskip("torch", reason="torch is missing: pip install torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, upstream):
            (x,) = ctx.saved_tensors
            return upstream * 2 * x**2

    w = torch.linspace(0.5, 2, 6, dtype=torch.float64, requires_grad=True)

    def cost(w):
        return Cube.apply(w).sum()

    cost(w).backward()
    before = w.grad.clone()
    check = check_gradients(w, None, cost)
    (fault,) = check.backward.faults
    assert fault.lines[0].text == "return upstream * 2 * x**2"
    assert fault.factor == pytest.approx(2 / 3)
    np.testing.assert_array_equal(w.grad, before)
