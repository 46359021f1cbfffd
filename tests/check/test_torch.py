"""Checks of tensors, parameters, modules and accumulated gradients of PyTorch, for real."""

import pickle
import random
import warnings

import numpy as np
import pytest
from needed import require

from gradcheck_magic import Cause, InputError, Verdict, check_gradients, step_curve
from gradcheck_magic._inputs.arrays import library_of
from gradcheck_magic._inputs.pairing import pair

require("torch", hint="pip install -e '.[torch]'")
import torch  # noqa: E402
from torch import nn  # noqa: E402


def network(dtype=torch.float64):
    """Return a module, and its cost on some data."""
    torch.manual_seed(0)
    X, Y = torch.randn(20, 4, dtype=dtype), torch.randn(20, 2, dtype=dtype)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)

    def cost(model):
        return ((model(X) - Y) ** 2).mean()

    cost(model).backward()
    return model, cost


def state(model):
    """Return everything that a module holds, bit for bit, and the identities of its tensors."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        name: (
            id(tensor),
            tensor.detach().numpy().tobytes(),
            tensor.requires_grad,
            id(tensor.grad),
            None if tensor.grad is None else tensor.grad.numpy().tobytes(),
        )
        for name, tensor in named.items()
    } | {f"training of {name}": part.training for name, part in model.named_modules()}


def vector(model):
    return nn.utils.parameters_to_vector(model.parameters())


# The params that are given, and the cost that goes with them.
FORMS = {
    "a module, and a closure": lambda m, cost: (m, lambda: cost(m)),
    "a module, as the argument": lambda m, cost: (m, cost),
    "parameters()": lambda m, cost: (m.parameters(), lambda: cost(m)),
    "a list of them": lambda m, cost: (list(m.parameters()), lambda: cost(m)),
    "named_parameters()": lambda m, cost: (m.named_parameters(), lambda: cost(m)),
    "a list of pairs": lambda m, cost: (list(m.named_parameters()), lambda: cost(m)),
    "a dict, for functional_call": lambda m, cost: (
        dict(m.named_parameters()),
        lambda p: cost(lambda X: torch.func.functional_call(m, p, X)),
    ),
    "a state_dict with its gradients": lambda m, cost: (
        dict(m.named_parameters()),
        lambda: cost(m),
    ),
    "the closure that an optimiser takes": lambda m, cost: (m, lambda: backward(m, cost)),
    "modules in a dict": lambda m, cost: ({"first": m[0], "last": m[2]}, lambda: cost(m)),
}


def backward(model, cost):
    model.zero_grad()
    loss = cost(model)
    loss.backward()
    return loss


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_right_and_wrong(form, dtype):
    """Accumulated gradients are correct; if one is doubled, that parameter is named."""
    model, cost = network(dtype)
    params, function = FORMS[form](model, cost)
    before = state(model)
    check = check_gradients(params, None, function)
    assert check.passed, str(check)
    assert check.size == 37
    assert state(model) == before
    assert any("float32, PyTorch's default" in note for note in check.notes) == (
        dtype == torch.float32
    )

    model[2].weight.grad *= 2
    before = state(model)
    params, function = FORMS[form](model, cost)
    check = check_gradients(params, None, function)
    assert check.verdict is Verdict.BUG
    assert [d.cause for d in check.diagnoses] == [Cause.SCALE]
    (name,) = check.diagnoses[0].names
    assert name in {"2.weight", "params[2]", "last.weight"}
    assert f"`{name}.grad` is 2.000 times the numerical gradient" in str(check)
    assert state(model) == before


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compiled", ["trace", "script"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_torchscript(compiled, dtype):
    """A module of TorchScript copies its tensors in its own way, and may be the argument too."""
    torch.manual_seed(0)
    X = torch.randn(20, 4, dtype=dtype)
    plain = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)
    model = torch.jit.trace(plain, X) if compiled == "trace" else torch.jit.script(plain)

    def cost(model):
        return (model(X.to(next(model.parameters()).dtype)) ** 2).mean()

    def changing(model):
        with torch.no_grad():
            next(model.parameters()).add_(1)
        return cost(model)

    cost(model).backward()
    before = state(model)
    assert check_gradients(model, None, cost).passed
    assert check_gradients(model, None, lambda: cost(model)).passed
    with pytest.raises(InputError, match=r"`changing` changes its argument `0\.weight`"):
        check_gradients(model, None, changing)
    assert state(model) == before
    next(model.parameters()).grad[1, 2] *= 2
    assert check_gradients(model, None, cost).wrong_entries == (("0.weight", (1, 2)),)


def embedding():
    """Return a module with a sparse gradient, a cost that adds to it, and that gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 3, sparse=True), nn.Linear(3, 2)).double()
    words, Y = torch.tensor([1, 2, 2, 4, 1]), torch.randn(5, 2, dtype=torch.float64)

    def cost(model=model):
        loss = ((model(words) - Y) ** 2).mean()
        loss.backward()
        return loss

    cost()
    return model, cost, model[0].weight.grad


@pytest.mark.parametrize("call", ["closure", "structured"])
def test_sparse_gradient(call):
    """Repeated words are added up, and the sparse tensor of the user's stays as it is."""
    model, cost, gradient = embedding()
    held = gradient.clone()
    assert check_gradients(model, None, cost, call=call).passed
    assert model[0].weight.grad is gradient
    assert not gradient.is_coalesced()
    assert torch.equal(gradient._indices(), held._indices())
    assert torch.equal(gradient._values(), held._values())

    model[0].weight.grad = 2 * gradient
    check = check_gradients(model, None, cost, call=call)
    assert check.verdict is Verdict.BUG
    assert [(d.cause, d.names) for d in check.diagnoses] == [(Cause.SCALE, ("0.weight",))]


def halved(dtype):
    """Return a module in half precision, its costs, and what must stay, bit for bit."""
    torch.manual_seed(0)
    X, Y = torch.randn(20, 4, dtype=dtype), torch.randn(20, 2, dtype=dtype)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)

    def cost(model=model, dtype=dtype):
        return ((model(X.to(dtype)) - Y.to(dtype)) ** 2).mean()

    def any_precision(model):
        return cost(model, model[0].weight.dtype)

    def bits():
        tensors = [part for p in model.parameters() for part in (p, p.grad)]
        return [(id(t), t.detach().view(torch.int16).numpy().tobytes()) for t in tensors]

    cost().backward()
    return model, cost, any_precision, bits


HALVES = {torch.float16: "float16", torch.bfloat16: "bfloat16"}


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision(dtype):
    """If the cost goes along in double precision, half precision tells the cause."""
    model, _, cost, bits = halved(dtype)
    before = bits()
    check = check_gradients(model, None, cost)
    assert check.passed, str(check)
    assert bits() == before
    assert check.notes[0].startswith(f"Half precision ({HALVES[dtype]}): the step is ")
    assert "measured again with θ in float64" in check.notes[0]
    for factor, cause in ((-1, Cause.SIGN), (2, Cause.SCALE)):
        right = model[0].weight.grad
        model[0].weight.grad = factor * right
        check = check_gradients(model, None, cost)
        assert check.verdict is Verdict.BUG
        assert [(d.cause, d.names) for d in check.diagnoses] == [(cause, ("0.weight",))]
        model[0].weight.grad = right


@pytest.mark.parametrize("call", ["closure", "structured"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_throughout(dtype, call):
    """Data in half precision keep the cost there: little can be told, and nothing is accused."""
    model, cost, _, bits = halved(dtype)
    before = bits()
    check = check_gradients(model, None, cost, call=call)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert bits() == before
    (note,) = check.notes
    assert note == (
        f"Half precision ({HALVES[dtype]}): the step is {check.epsilon:g}, and the gradient is "
        "checked to half precision. Compute in float64 for a more precise check: use "
        "model.double() and X.double()."
    )
    # Every entry is moved to numbers that there are, and the step is what lies between them.
    off = np.abs(check.numerical - check.analytic)
    assert np.all(off <= check.uncertainty)
    model[2].bias.grad *= -10
    assert check_gradients(model, None, cost, call=call).verdict is Verdict.BUG


def test_steps_in_bfloat16():
    """HARD: each step is rounded in its own way, and the cost is linear: any tells the slope."""
    w = torch.tensor([1.3, -0.7, 100.0], dtype=torch.bfloat16)
    C = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    given = []

    def cost():
        given.append(w.tolist())
        return (C * w).sum()

    before = w.tolist()
    check = check_gradients(w, C, cost)
    assert np.abs(check.numerical - C.numpy()).max() < 1e-9
    assert w.tolist() == before
    assert len({values[2] for values in given}) > 2


def test_forms_of_bfloat16():
    """One vector, the flat θ, a gradient of float32, parameters of several precisions."""
    low = {"a": torch.randn(3).bfloat16(), "b": torch.randn(3)}

    def cost(p):
        return sum(((v.double() - 1) ** 2).sum() for v in p.values())

    grads = {f"d{k}": 2 * (v - 1) for k, v in low.items()}
    assert check_gradients(low, grads, cost).passed
    assert check_gradients(low, {k: v.double() for k, v in grads.items()}, cost).passed
    both = torch.cat([g.double() for g in grads.values()])
    assert check_gradients(low, both, cost).passed
    assert not check_gradients(low, -both.bfloat16(), cost).passed
    seen = []

    def flat(theta):
        seen.append(theta.dtype)
        return ((theta.double() - 1) ** 2).sum()

    assert check_gradients(list(low.values()), both.bfloat16(), flat, call="flat").passed
    assert set(seen) == {torch.float32, torch.float64}


def test_what_a_cost_writes_in_bfloat16():
    """A cost that copies its argument to the user's own tensor, and keeps state in bfloat16."""
    w, kept = (torch.tensor([1.3, -0.7], dtype=torch.bfloat16) for _ in range(2))
    parameter = nn.Parameter(kept.clone())

    def cost(argument):
        w.copy_(argument)
        kept.add_(1)
        parameter.data.mul_(2)
        return (argument.double() ** 2).sum()

    before = [each.tolist() for each in (w, kept, parameter)]
    assert check_gradients(w, 2 * w, cost, call="structured").passed
    assert [each.tolist() for each in (w, kept, parameter)] == before


def test_points_in_bfloat16():
    w = torch.tensor([1.3, -0.7], dtype=torch.bfloat16)
    before, seen = w.tolist(), set()

    def gradient():
        seen.add(tuple(w.tolist()))
        return 2 * w.double()

    def cost():
        return (w.double() ** 2).sum()

    check_gradients(w, gradient, cost, points=3)
    assert w.tolist() == before
    assert len(seen) == 4


def test_views_in_bfloat16():
    """Two parameters in the same memory cannot be moved one by one, in any precision."""
    w = torch.ones(4, dtype=torch.bfloat16)

    def cost():
        return (w**2).sum()

    with pytest.raises(InputError, match="`a` and `b` from the notebook, but some entries share"):
        check_gradients({"a": w, "b": w[1:]}, {"a": w, "b": w[1:]}, cost)


def uncoalesced(values):
    """Return a sparse tensor in which every entry occurs twice."""
    half = (values / 2).to_sparse()
    indices, halves = half.indices().repeat(1, 2), half.values().repeat(2)
    return torch.sparse_coo_tensor(indices, halves, half.shape, is_coalesced=False)


SPARSE = {
    "coo": torch.Tensor.to_sparse,
    "HARD: uncoalesced": uncoalesced,
    "csr": torch.Tensor.to_sparse_csr,
    "csc": torch.Tensor.to_sparse_csc,
    "bsr": lambda values: values.to_sparse_bsr((2, 2)),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_gradients_of_all_layouts(layout):
    """They may also be given."""
    W = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)
    used = torch.tensor([[1.0], [0.0], [1.0], [0.0]])

    def cost(params):
        return (used * params["W"] ** 2).sum()

    for factor, causes in ((1, []), (-1, [(Cause.SIGN, ("W",))])):
        gradient = SPARSE[layout](factor * 2 * used * W)
        check = check_gradients({"W": W}, {"dW": gradient}, cost)
        assert check.passed is not bool(causes)
        assert [(d.cause, d.names) for d in check.diagnoses] == causes


@pytest.mark.parametrize(("calls", "often"), [(2, "twice"), (3, "3 times")])
def test_gradients_add_up(calls, often):
    """The message names the mistake that everybody makes once."""
    model, cost = network()
    for _ in range(1, calls):
        cost(model).backward()
    (diagnosis,) = check_gradients(model, None, lambda: cost(model)).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.sentence.endswith(
        f"Gradients add up in `.grad`: was backward() called {often} without zero_grad()?"
    )


@pytest.mark.parametrize("rows", [20, 1])
def test_gradients_by_hand(rows):
    """Backpropagation may be written by hand, in tensors without autograd."""
    X, Y = torch.randn(rows, 3, dtype=torch.float64), torch.randn(rows, 2, dtype=torch.float64)
    params = {"W": torch.randn(3, 2, dtype=torch.float64), "b": torch.zeros(2, dtype=torch.float64)}

    def cost(params):
        assert isinstance(params["W"], torch.Tensor)
        assert not params["W"].requires_grad
        return ((X @ params["W"] + params["b"] - Y) ** 2).sum()

    error = X @ params["W"] + params["b"] - Y
    grads = {"dW": 2 * X.T @ error, "db": 2 * error.sum(0)}
    assert check_gradients(params, grads, cost).passed
    wrong = check_gradients(params, {**grads, "dW": X.T @ error}, cost)
    assert [(d.cause, d.names) for d in wrong.diagnoses] == [(Cause.SCALE, ("W",))]


@pytest.mark.parametrize(
    "grads",
    [
        lambda model, cost: torch.autograd.grad(cost(model), list(model.parameters())),
        lambda model, cost: dict(
            zip(
                dict(model.named_parameters()),
                torch.autograd.grad(cost(model), list(model.parameters())),
                strict=True,
            )
        ),
        lambda model, cost: lambda m: torch.autograd.grad(cost(m), list(m.parameters())),
        lambda model, cost: {n: p.grad.numpy() for n, p in model.named_parameters()},
        lambda model, cost: torch.cat([p.grad.ravel() for p in model.parameters()]),
    ],
    ids=["a tuple", "a dict", "a function", "NumPy's", "one vector"],
)
def test_forms_of_gradients(grads):
    model, cost = network()
    given = grads(model, cost)
    assert check_gradients(model, given, cost).passed


def test_modules_in_a_container():
    """Modules are callable, but hold arrays: they are no settings to be left out."""
    model, cost = network()
    layers = [layer for layer in model.children() if list(layer.parameters())]
    grads = [{n: p.grad for n, p in layer.named_parameters()} for layer in layers]
    assert check_gradients(layers, grads, lambda: cost(model)).passed
    named, grads = ({f"l{k}": x for k, x in enumerate(xs)} for xs in (layers, grads))
    assert check_gradients(named, grads, lambda: cost(model)).passed


CALLS = {
    "flat": lambda W, b: lambda theta: cost_of(theta[:6].reshape(3, 2), theta[6:]),
    "structured": lambda W, b: lambda params: cost_of(*params),
    "arguments": lambda W, b: cost_of,
    "closure": lambda W, b: lambda: cost_of(W, b),
}


def cost_of(W, b):
    assert isinstance(W, torch.Tensor)
    assert isinstance(b, torch.Tensor)
    assert W.requires_grad
    assert b.requires_grad
    return torch.tanh(W.sum(0) * b).sum() + (W**2).sum()


@pytest.mark.parametrize("call", CALLS)
def test_what_the_function_gets(call):
    """It gets tensors, which require a gradient if the user's do, in every way of calling it."""
    W = torch.arange(6.0, dtype=torch.float64).reshape(3, 2).mul(0.1).requires_grad_()
    b = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    cost_of(W, b).backward()
    check = check_gradients([W, b], None, CALLS[call](W, b))
    assert check.passed
    assert check.call == call


def test_own_parameters_are_never_given():
    """A function with an argument gets copies; the user's module is left alone."""
    model, cost = network()
    given = []

    def looking(m):
        given.append(m)
        return cost(m)

    assert check_gradients(model, None, looking, call="structured").passed
    assert all(m is not model for m in given)
    assert all(isinstance(p, nn.Parameter) for m in given for p in m.parameters())


def test_layouts():
    """Tensors may be transposed, strided or 0-d; a closure sees them move in place."""
    W = torch.randn(4, 3, dtype=torch.float64).T
    s = torch.tensor(0.7, dtype=torch.float64)
    v = torch.randn(10, dtype=torch.float64)[::3]

    def cost():
        return (W**2).sum() * s + (v**3).sum()

    grads = [2 * W * s, (W**2).sum(), 3 * v**2]
    assert check_gradients([W, s, v], grads, cost).passed
    assert not check_gradients([W, s, v], [2 * W * s, s, 3 * v**2], cost).passed


def test_held_fixed():
    """Parameters that require no gradient are held fixed; unused ones have a gradient of zero."""
    model, cost = network()
    model[0].weight.requires_grad_(False)
    extra = nn.Parameter(torch.ones(2, dtype=torch.float64))
    params = {**dict(model.named_parameters()), "extra": extra}
    check = check_gradients(params, None, lambda: cost(model))
    assert check.passed
    assert "0.weight" not in {p.name for p in check.parameters}
    assert "`0.weight` is held fixed: it does not require a gradient." in check.notes
    assert "`extra.grad` is None: it was treated as zero." in check.notes

    used = check_gradients(params, None, lambda: cost(model) + extra.sum())
    assert [(d.cause, d.names) for d in used.diagnoses] == [(Cause.ZERO, ("extra",))]


def test_tied():
    """A tied weight is one parameter, whose gradient is the sum."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    model[2].weight = model[0].weight
    X = torch.randn(5, 3, dtype=torch.float64)

    def cost(m=model):
        return (m(X) ** 2).sum()

    cost().backward()
    for call in ("closure", "structured"):
        check = check_gradients(model, None, cost, call=call)
        assert check.passed
        assert [p.name for p in check.parameters] == ["0.weight", "0.bias", "2.bias"]


class Keeping(nn.Module):
    """A module that keeps tensors in every way: anew, in place, in a buffer and in an attribute."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1).double()
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("last", torch.zeros(5, 1, dtype=torch.float64))
        self.norm = nn.BatchNorm1d(3).double()
        self.seen, self.kept, self.calls = torch.zeros(1), [None], 0

    def forward(self, X):
        self.mean = 0.9 * self.mean + X.mean(0)
        self.kept = [self.linear(self.norm(X))]
        self.last.copy_(self.kept[0].detach())
        self.seen += 1
        self.calls += 1
        return self.kept[0]


def held_by(module):
    """Return what each module in a module holds: which objects, and their numbers."""
    return [
        (name, id(value), value.detach().numpy().tobytes() if torch.is_tensor(value) else value)
        for part in module.modules()
        for held in (vars(part), part._buffers)
        for name, value in held.items()
        if not name.startswith("_")
    ]


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("call", ["closure", "structured"])
def test_what_a_module_keeps(call, mode):
    """Buffers and attributes that `forward` assigns anew or changes in place are restored."""
    torch.manual_seed(0)
    model, X = Keeping(), torch.randn(5, 3, dtype=torch.float64)

    def cost(m=model):
        return (m(X) ** 2).mean()

    cost().backward()
    before = held_by(model)
    assert check_gradients(model, None, cost, call=call, mode=mode).passed
    assert held_by(model) == before


def test_a_compiled_module_stays():
    """The buffers of a scripted module are not among its attributes, and are restored as well."""
    torch.manual_seed(0)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        model = torch.jit.script(nn.BatchNorm1d(3).double())
    X = torch.randn(5, 3, dtype=torch.float64)

    def cost():
        return (model(X) ** 3).sum()

    cost().backward()
    before = [buffer.clone() for buffer in model.buffers()]
    assert check_gradients(dict(model.named_parameters()), None, cost).passed
    assert all(map(torch.equal, model.buffers(), before))


def test_running_means_stay():
    """Batch normalisation keeps running means of its inputs, and they are restored."""
    torch.manual_seed(0)
    X = torch.randn(8, 3, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()).double()

    def loss():
        return (model(X) ** 2).mean()

    loss().backward()
    before = state(model)
    for params in (model, model.parameters(), [model[0].weight, model[1].weight]):
        # The bias before batch normalisation has a gradient of zero.
        check_gradients(params, None, loss)
        assert state(model) == before
    check = check_gradients(model[1], None, loss)
    assert check.passed
    assert state(model) == before


def test_dropout_is_random():
    """It is refused, and torch's random state is restored."""
    model, cost = network()
    shaky = nn.Sequential(model, nn.Dropout())
    states = torch.get_rng_state(), np.random.get_state()[1].tobytes(), random.getstate()
    with pytest.raises(InputError, match="for the same parameters: it is random"):
        check_gradients(shaky, None, lambda: cost(shaky))
    assert check_gradients(shaky, None, lambda: cost(shaky.eval())).passed
    assert shaky.training
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tobytes() == states[1]
    assert random.getstate() == states[2]


class Softplus(torch.autograd.Function):
    """log(1 + exp(x)), with its backward pass written by hand."""

    slip = False

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.log1p(torch.exp(x))

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * (torch.sigmoid(-x) if Softplus.slip else torch.sigmoid(x))


@pytest.mark.parametrize("slip", [False, True])
def test_custom_function(slip, monkeypatch):
    """In a real case, a custom autograd.Function is part of a network that is otherwise correct."""
    monkeypatch.setattr(Softplus, "slip", slip)
    torch.manual_seed(0)
    X = torch.randn(12, 3, dtype=torch.float64)
    first, last = nn.Linear(3, 4).double(), nn.Linear(4, 1).double()
    params = nn.ModuleDict({"first": first, "last": last})

    def loss():
        return (last(Softplus.apply(first(X))) ** 2).mean()

    loss().backward()
    check = check_gradients(params, None, loss)
    assert check.passed is not slip
    if slip:
        assert [(d.cause, set(d.names)) for d in check.diagnoses] == [
            (Cause.UPSTREAM, {"first.weight", "first.bias"})
        ]


def test_custom_function_by_itself():
    """It is checked as a layer, with dJ/d(output)."""
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, dtype=torch.float64)
    Softplus.apply(x).backward(upstream)
    assert check_gradients(x, None, Softplus.apply, upstream=upstream).passed
    assert not check_gradients(x, 2 * x.grad, Softplus.apply, upstream=upstream).passed


def test_gradient_within_the_cost():
    """A penalty on a gradient needs autograd inside the cost."""
    w = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)

    def cost(w):
        (g,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
        return (g**2).sum()

    cost(w).backward()
    assert check_gradients(w, None, cost).passed


def test_graph_goes_on():
    """A graph from before the check can still be used afterwards."""
    model, cost = network()
    loss = cost(model)
    assert check_gradients(model, None, lambda: cost(model)).passed
    model.zero_grad()
    loss.backward()
    assert check_gradients(model, None, lambda: cost(model)).passed


def test_elsewhere(monkeypatch):
    """Tensors that share no memory with NumPy, as on a GPU, are copied there and back."""
    model, cost = network()
    monkeypatch.setattr(type(library_of(model[0].weight)), "shares", lambda self, value: False)
    monkeypatch.setattr(
        type(library_of(model[0].weight)), "array", lambda self, t: t.detach().clone().numpy()
    )
    before = state(model)
    for function in (lambda: cost(model), cost):
        assert check_gradients(model, None, function).passed
        assert state(model) == before
    model[0].bias.grad[1] += 0.5
    check = check_gradients(model, None, lambda: cost(model))
    assert check.wrong_entries == (("0.bias", (1,)),)
    with pytest.raises(ZeroDivisionError):
        check_gradients(model, None, failing(cost, model, after=7))
    assert state(model)["0.weight"] == before["0.weight"]


def failing(cost, model, after):
    calls = iter(range(after))

    def function():
        if next(calls, None) is None:
            raise ZeroDivisionError
        return cost(model)

    return function


def test_pickled_parameter_is_a_view():
    W = torch.zeros(3, dtype=torch.float64)
    (parameter,) = pickle.loads(pickle.dumps(pair(W, W))).parameters.arrays
    parameter.array[1] = 7
    assert parameter.value[1] == 7


def test_step_curve():
    model, cost = network()
    curve = step_curve(model, None, lambda: cost(model), "2.weight", (1, 3))
    assert curve.label == "2.weight[1, 3]"
    assert not curve.wrong


def test_points():
    model, cost = network()
    check = check_gradients(
        model, lambda m: torch.autograd.grad(cost(m), list(m.parameters())), cost, points=2
    )
    assert check.passed


ERRORS = {
    "no backward": (
        nn.Linear(2, 1),
        None,
        "no array in `params` has a gradient: call backward() on the cost first, or pass",
    ),
    "nothing requires a gradient": (
        torch.zeros(2),
        None,
        "`grads` is None: is a `return` missing in the function that computes it?",
    ),
    "sparse": (
        {"W": torch.zeros(2, 2).to_sparse()},
        {"W": torch.zeros(2, 2)},
        "`W` is a sparse array (torch.Tensor), and a parameter must be dense: pass W.to_dense(),",
    ),
    "complex": (
        {"W": torch.zeros(2)},
        {"W": torch.full((2,), 1j)},
        "`grads['W']` is complex, but `W` is real, and so is its gradient: take the real part,",
    ),
    "shapes": (
        {"W": torch.zeros(2, 3)},
        {"W": torch.zeros(3, 2)},
        "`grads['W']` has shape (3, 2), but `W` has shape (2, 3): is it transposed?",
    ),
    "an empty module": (nn.Tanh(), None, "`params` contains no arrays: there is nothing to check."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    params, grads, sentence = ERRORS[case]
    with pytest.raises(InputError) as error:
        check_gradients(params, grads, lambda *_: 0.0)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_in_the_magic(run, shell):
    """Without `grads` in the notebook, the gradients that torch has accumulated are checked."""
    model, cost = network()
    shell.user_ns |= {"model": model, "cost": lambda: cost(model)}
    assert run("%gradcheck -p model -c cost").passed
    assert run("%gradcheck -p model.parameters() -c cost").passed
    shell.user_ns["params"] = model.parameters()
    for _ in range(2):
        check = run("%gradcheck -c cost")
        names = [p.name for p in check.parameters]
        assert names == [f"model.{name}" for name, _ in model.named_parameters()]
    assert len(list(shell.user_ns["params"])) == 4
    assert run("%gradcheck -p [*model.parameters()] -c cost").parameters[0].name == "model.0.weight"
    shell.user_ns["grads"] = [2 * p.grad for p in model.parameters()]
    assert not run("%gradcheck -p model -c cost")
    assert run("%%gradcheck -p model -c cost -g None\nmodel.zero_grad()\ncost().backward()").passed


def test_a_gradient_of_another_tensor():
    """A tensor that the cost reads besides the parameters keeps its gradient, too."""
    W, V = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def cost():
        (V**2).sum().backward()
        return (W**2).sum() + V.detach().sum()

    cost().backward()
    before = V.grad.clone()
    assert check_gradients([W], None, cost).passed
    assert torch.equal(V.grad, before)


# Complex numbers

REAL, IMAGINARY = np.random.default_rng(3).normal(size=(2, 3, 4))
Z = torch.tensor(REAL + 1j * IMAGINARY)


def of_complex(z):
    """Return a cost of complex numbers in any precision."""
    return ((z - Z.to(z.dtype) / 2).abs() ** 2).sum()


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
@pytest.mark.parametrize("is_read", [False, True], ids=["passed", "read"])
def test_complex(dtype, is_read):
    z = Z.to(dtype, copy=True).requires_grad_()
    of_complex(z).backward()
    function = (lambda: of_complex(z)) if is_read else of_complex
    assert check_gradients(z, None, function).verdict is Verdict.CORRECT
    wrong = check_gradients(z, z.grad.conj(), function)
    assert [d.cause for d in wrong.diagnoses] == [Cause.CONJUGATE]


def test_a_conjugate_that_torch_has_not_computed_yet():
    z = Z.conj()
    assert check_gradients(z, z, of_complex).verdict is Verdict.BUG
    assert check_gradients(z, 2 * (z - Z / 2), of_complex).verdict is Verdict.CORRECT
