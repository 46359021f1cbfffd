"""Objects of the user's own classes: which of their attributes are parameters and gradients."""

import dataclasses
import types
from collections import OrderedDict, UserDict, namedtuple
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic import InputError, check_gradients
from gradcheck_magic._inputs.containers import gradients_of
from gradcheck_magic._inputs.objects import held_by, holds_objects, rebuilt_object
from gradcheck_magic._inputs.pairing import pair

Pair = namedtuple("Pair", ["W", "b"])  # noqa: PYI024 (as many notebooks have it)


class Own:
    """An object with any attributes."""

    def __init__(self, **held):
        self.__dict__.update(held)


class Dense:
    """A layer as many write it: it keeps its input, and the gradient by that."""

    def __init__(self, *shape):
        self.W, self.b = np.ones(shape), np.zeros(shape[1])
        self.dW, self.db = np.full(shape, 2.0), np.full(shape[1], 3.0)
        self.inputs = self.dinputs = np.ones(4)

    def forward(self, x):
        self.inputs = x
        self.output = x @ self.W + self.b
        return self.output


class Flatten:
    """A layer without parameters."""

    def forward(self, x):
        return x


class Activation:
    """A layer without parameters, whose methods have names of their own."""

    def compute(self, x):
        self.x, self.y = x, np.tanh(x)
        return self.y

    def propagate(self, d):
        self.dx = d * (1 - self.y**2)
        return self.dx


class Weighted:
    """The same with a parameter, which a training step moves."""

    def __init__(self, *shape):
        self.W, self.dW = np.ones(shape), np.full(shape, 2.0)

    def compute(self, x):
        self.x = x
        return x @ self.W

    def propagate(self, d):
        self.dW, self.dx = self.x.T @ d, d @ self.W.T
        return self.dx

    def descend(self, rate):
        self.W = self.W - rate * self.dW

    def update(self, W):
        self.W = W


def passed(layer):
    """Return a layer that keeps what its passes compute."""
    layer.propagate(layer.compute(np.ones((2, 2))))
    return layer


class Encoder:
    def __init__(self):
        self.first = Dense(2, 3)

    def attach(self, decoder):
        self.second = decoder


def attached():
    encoder = Encoder()
    encoder.attach(Dense(3, 1))
    return encoder


class Optimizer:
    """It knows the layers by pairs, and comes first in a network."""

    def __init__(self, network):
        self.network = network
        self.params = [(layer, name) for layer in network.layers for name in "Wb"]


def optimized():
    network = Own(optimizer=None, layers=[Dense(2, 3)])
    network.optimizer = Optimizer(network)
    return network


class Slots:
    __slots__ = ("W", "dW", "unset")

    def __init__(self):
        self.W, self.dW = np.ones(2), np.full(2, 2.0)


class DerivedSlots(Slots):
    __slots__ = ("b", "db")

    def __init__(self):
        super().__init__()
        self.b, self.db = np.ones(3), np.full(3, 3.0)


@dataclasses.dataclass(frozen=True)
class Frozen:
    W: np.ndarray
    b: np.ndarray


class Scalar:
    """A number of an autograd engine of one's own."""

    def __init__(self, data):
        self.data, self.grad = data, 0.0


class Neuron:
    def __init__(self):
        self.w, self.b = [Scalar(1.0), Scalar(2.0)], Scalar(3.0)


class Behind:
    """A parameter whose class shows it by properties."""

    def __init__(self, value):
        self._v, self._g = value, np.full_like(value, 2.0)

    value = property(lambda self: self._v)
    grad = property(lambda self: self._g)


class Hostile:
    """An object that is asked for nothing but its stored attributes."""

    def __init__(self):
        own = object.__getattribute__(self, "__dict__")
        own.update(W=np.ones(2), dW=np.ones(2))

    def __getattribute__(self, name):
        raise RuntimeError

    @property
    def loss(self):
        raise RuntimeError


def circle():
    """Return a layer that knows its network, which knows its layers."""
    layer = Dense(2, 3)
    layer.network = Own(layers=[layer])
    return layer


LAYER = Dense(2, 3)


A, dA = np.ones(2), np.full(2, 2.0)
HOLDING = [
    *(
        pytest.param(Own(W=A, **{style.format("W"): dA}), ["W"], [style.format("W")], id=style)
        for style in ("d{}", "grad_{}", "{}_grad", "d_{}", "grad{}", "{}_gradient", "gradient_{}")
    ),
    pytest.param(Own(W=A, dW=None), ["W"], ["dW"], id="a gradient that is not there yet"),
    pytest.param(Own(W=None, dW=None), None, None, id="nothing is there yet"),
    pytest.param(
        Own(W=A, dW=None, grad_W=dA), ["W"], ["grad_W"], id="HARD: the one that is there",
    ),
    *(
        pytest.param(Own(**{value: A, grad: dA}), [value], [grad], id=f"{value}, {grad}")
        for value, grad in (
            ("value", "grad"), ("val", "grad"), ("w", "g"), ("array", "grad"), ("data", "diff"),
            ("theta", "dtheta"), ("weights", "gradient"), ("_value", "_grad"), ("_W", "_dW"),
        )
    ),
    pytest.param(
        Own(value=A, grad=dA, velocity=A, name="W"), ["value"], ["grad"], id="a velocity beside it",
    ),
    pytest.param(Own(value=A, grad=None), ["value"], ["grad"], id="before a backward pass"),
    pytest.param(Own(value=A, grad=0.0), ["value"], ["grad"], id="HARD: zeroed by a number"),
    pytest.param(Own(weights=A, grad=np.ones(3)), None, None, id="HARD: the gradient of another"),
    pytest.param(passed(Activation()), None, None, id="HARD: what any method has kept"),
    pytest.param(passed(Weighted(2, 2)), ["W"], ["dW"], id="HARD: beside a parameter"),
    pytest.param(attached(), ["first", "second"], [], id="HARD: a layer that a method attaches"),
    pytest.param(optimized(), ["optimizer", "layers"], [], id="HARD: an optimizer comes first"),
    pytest.param(Own(x=A, grad=A), None, None, id="HARD: an activation and its gradient"),
    pytest.param(Own(w=A, g=len), None, None, id="HARD: an activation function"),
    pytest.param(Behind(A), ["_v"], ["_g"], id="HARD: behind properties"),
    pytest.param({"value": A, "grad": dA}, ["value"], ["grad"], id="a dict that is one parameter"),
    pytest.param({"w": A, "g": dA}, None, None, id="HARD: a dict of two parameters"),
    pytest.param(
        Own(W=Own(value=A, grad=dA), b={"value": A, "grad": dA}), ["W", "b"], [],
        id="a layer with parameters that are objects",
    ),
    pytest.param(
        Own(params=[Own(value=A, grad=dA)]), ["params"], [], id="a list of such, called params",
    ),
    pytest.param(Own(W=A, b=A, dW=dA), ["W"], ["dW"], id="only what has a gradient"),
    pytest.param(Own(weights=A, dweights=dA), ["weights"], ["dweights"], id="as in nnfs"),
    pytest.param(Own(d=A, dd=dA), ["d"], ["dd"], id="HARD: a parameter named d"),
    pytest.param(
        Own(params={"W": A}, grads={"W": dA}, W=1), ["W"], ["W"], id="a dict, and its gradients",
    ),
    pytest.param(Own(params={"W": A}), ["W"], None, id="a dict without gradients"),
    pytest.param(Own(params=[A, A], grads=[dA, dA]), [0, 1], [0, 1], id="lists"),
    pytest.param(Own(parameters={"W": A}, gradients={"dW": dA}), ["W"], ["dW"], id="other names"),
    pytest.param(Own(params={"lr": 0.1}), None, None, id="HARD: settings that are called params"),
    pytest.param(Own(params=[]), None, None, id="a layer without parameters"),
    pytest.param(Own(params=lambda: [A]), None, None, id="a method"),
    pytest.param(
        Dense(2, 3), ["W", "b"], ["dW", "db"], id="HARD: what forward keeps is no parameter",
    ),
    pytest.param(Slots(), ["W"], ["dW"], id="slots, one of them empty"),
    pytest.param(DerivedSlots(), ["W", "b"], ["dW", "db"], id="slots of two classes"),
    pytest.param(Hostile(), ["W"], ["dW"], id="HARD: nothing is asked of it"),
    pytest.param(Frozen(A, A), ["W", "b"], None, id="a frozen dataclass"),
    pytest.param(SimpleNamespace(W=A, b=A), ["W", "b"], None, id="a namespace"),
    pytest.param(SimpleNamespace(W=A, dW=dA), ["W"], ["dW"], id="a namespace of both"),
    pytest.param(SimpleNamespace(), None, None, id="an empty namespace"),
    pytest.param(Own(w=Scalar(1.0)), ["w"], [], id="a scalar with a gradient of its own"),
    pytest.param(Neuron(), ["w", "b"], [], id="a neuron of them"),
    pytest.param(Own(layers=[Dense(2, 3), Own()]), ["layers"], [], id="a network of layers"),
    pytest.param(Own(first=Dense(2, 3), lr=0.1), ["first"], [], id="a layer by its name"),
    pytest.param(circle(), ["W", "b"], ["dW", "db"], id="HARD: objects in a circle"),
    pytest.param(Own(), None, None, id="nothing"),
    pytest.param(Own(X=A, y=A), None, None, id="HARD: an object that holds data"),
    pytest.param(Scalar(1.0), None, None, id="HARD: a scalar is an array itself"),
    pytest.param(A, None, None, id="an array"),
    pytest.param({"W": A, "dW": dA}, None, None, id="a dict"),
    pytest.param(Pair(A, A), None, None, id="a named tuple"),
    pytest.param(Own, None, None, id="a class"),
    pytest.param(types, None, None, id="a module"),
    pytest.param(len, None, None, id="a function"),
    pytest.param(Fraction(1, 3), None, None, id="HARD: an object of a library"),
    pytest.param(UserDict(W=A, dW=dA), None, None, id="HARD: although it has attributes"),
    pytest.param(np.random.default_rng(0), None, None, id="a generator"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "parameters", "gradients"), HOLDING)
def test_what_is_held(node, parameters, gradients):
    held = held_by(node)
    if parameters is None:
        assert held is None
        return
    assert list(held.parameters) == parameters
    found = held.gradients
    if hasattr(found, "called"):
        assert list(found.called.values()) == gradients
        assert list(found) == list(found.called)
    else:
        keys = found if found is None or isinstance(found, dict) else range(len(found))
        assert (None if found is None else list(keys)) == gradients


def test_objects_of_libraries_hold_nothing():
    sklearn = pytest.importorskip("sklearn.linear_model")
    model = sklearn.LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    # HARD: it has the attributes of a network.
    model.params, model.grads = {"W": A}, {"W": dA}
    assert held_by(model) is None
    assert not holds_objects([model])


def test_attrs():
    attr = pytest.importorskip("attr")

    @attr.frozen
    class Record:
        W: object
        b: object

    record = Record(A, A)
    assert list(held_by(record).parameters) == ["W", "b"]
    changed = rebuilt_object(record, [dA, A])
    assert type(changed) is Record
    assert changed.W is dA
    assert record.W is A


LISTS = [
    pytest.param([Dense(2, 3)], True, id="a list of layers"),
    pytest.param({"first": Dense(2, 3)}, True, id="a dict of layers"),
    pytest.param([Own(), Dense(2, 3)], True, id="some without parameters"),
    pytest.param([A], False, id="arrays"),
    pytest.param([], False, id="nothing"),
    pytest.param(Dense(2, 3), False, id="one layer"),
    pytest.param([[Dense(2, 3)]], False, id="a list of lists"),
]


@pytest.mark.parametrize(("node", "expected"), LISTS)
def test_holds_objects(node, expected):
    assert holds_objects(node) is expected


def shapes(node):
    """Return the structure of some gradients, with values instead of arrays."""
    if isinstance(node, dict):
        return {key: shapes(value) for key, value in node.items()}
    if isinstance(node, list):
        return [shapes(value) for value in node]
    return node if node is None else float(np.max(node))


GRADIENTS = [
    pytest.param(Dense(2, 3), {"W": 2.0, "b": 3.0}, id="a layer"),
    pytest.param([Dense(2, 3), Own()], [{"W": 2.0, "b": 3.0}, None], id="layers in a list"),
    pytest.param((Dense(2, 3),), [{"W": 2.0, "b": 3.0}], id="in a tuple"),
    pytest.param({"a": Dense(2, 3)}, {"a": {"W": 2.0, "b": 3.0}}, id="in a dict"),
    pytest.param(
        Own(layers=[Dense(2, 3)]), {"layers": [{"W": 2.0, "b": 3.0}]}, id="in a network",
    ),
    pytest.param(
        Own(net=Own(layers=[Dense(2, 3)]), s=A, ds=dA),
        {"s": 2.0, "net": {"layers": [{"W": 2.0, "b": 3.0}]}},
        id="HARD: in a network in a network, beside a parameter of its own",
    ),
    pytest.param(Own(params={"W": A}, grads={"W": dA}), {"W": 2.0}, id="grads"),
    pytest.param(Own(params={"W": A}), None, id="no grads"),
    pytest.param(
        Own(W=A, dW=dA, b=A, db=None), {"W": 2.0, "b": None}, id="HARD: one that is missing",
    ),
    pytest.param(
        [Dense(2, 3), Own(W=A, dW=None)], [{"W": 2.0, "b": 3.0}, {"W": None}],
        id="HARD: all that are missing in a layer",
    ),
    pytest.param(Own(W=A, dW=None), None, id="none yet"),
    pytest.param(
        Own(wte=A, dwte=dA, head=Dense(2, 3), blocks=[Dense(2, 3)]),
        {"wte": 2.0, "head": {"W": 2.0, "b": 3.0}, "blocks": [{"W": 2.0, "b": 3.0}]},
        id="HARD: more layers than parameters of its own",
    ),
    pytest.param(
        optimized(),
        {"optimizer": {"params": [[None, None]] * 2}, "layers": [{"W": 2.0, "b": 3.0}]},
        id="HARD: an optimizer comes first",
    ),
    pytest.param(circle(), {"W": 2.0, "b": 3.0}, id="HARD: objects in a circle"),
    pytest.param([LAYER, LAYER], [{"W": 2.0, "b": 3.0}, None], id="HARD: the same layer twice"),
    pytest.param({"value": A, "grad": dA}, {"value": 2.0}, id="a dict that is one parameter"),
    pytest.param(Frozen(A, A), None, id="a record"),
    pytest.param([Own(), A], None, id="nothing in a list"),
    pytest.param(A, None, id="an array"),
    pytest.param(Neuron(), None, id="scalars have their own"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "expected"), GRADIENTS)
def test_gradients_of(node, expected):
    assert shapes(gradients_of(node)) == expected


def test_gradients_of_a_module():
    """A module of torch may keep the gradients that its own backward pass computes."""
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    assert gradients_of(module) is None
    module[0].weight_grad = torch.ones(3, 2)
    module[2].dbias = torch.ones(1)
    assert list(gradients_of(module)) == ["0.weight", "2.bias"]


REBUILT = [
    pytest.param(Own(W=A, dW=dA, lr=0.1), ["W"], id="attributes"),
    pytest.param(Own(params={"W": A, "b": A}, lr=0.1), ["W", "b"], id="a dict"),
    pytest.param(Own(params=OrderedDict(W=A, b=A)), ["W", "b"], id="HARD: a dict of another kind"),
    pytest.param(Own(params=[A, A]), [0, 1], id="a list"),
    pytest.param(Own(params=(A, A)), [0, 1], id="a tuple"),
    pytest.param(Own(params=Pair(A, A)), [0, 1], id="HARD: a named tuple"),
    pytest.param(Own(params=[A] * 1001), [0, 1000], id="HARD: a long list"),
    pytest.param(Frozen(A, A), ["W", "b"], id="a frozen dataclass"),
    pytest.param(Slots(), ["W"], id="slots"),
    pytest.param(Own(_value=A, _grad=dA), ["_value"], id="a parameter that is an object"),
    pytest.param(SimpleNamespace(W=A, b=A), ["W", "b"], id="a namespace"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "names"), REBUILT)
def test_rebuilt_with_other_parameters(node, names):
    """The copy has the new ones, the user's object keeps its own, and all else is shared."""
    before = held_by(node).parameters
    kept = {name: before[name] for name in names}
    new = {name: np.full(2, 5.0 + k) for k, name in enumerate(before)}
    again = rebuilt_object(node, list(new.values()))
    assert type(again) is type(node)
    assert again is not node
    for name in names:
        assert held_by(again).parameters[name] is new[name]
        assert held_by(node).parameters[name] is kept[name]
    for name in {"dW", "lr"} & set(getattr(node, "__dict__", ())):
        assert getattr(again, name) is getattr(node, name)
    inside = getattr(node, "params", None)
    assert type(getattr(again, "params", None)) is type(inside)


def test_what_holds_nothing_is_not_rebuilt():
    node = Own(X=A)
    assert rebuilt_object(node, []) is node


class Net:
    """A network of two layers, whose backward pass leaves the gradients in them."""

    def __init__(self, factor=1.0):
        rng = np.random.default_rng(0)
        self.layers = [Dense(2, 3), Flatten(), Dense(3, 1)]
        for layer in self.layers[::2]:
            layer.W, layer.b = rng.normal(size=layer.W.shape), rng.normal(size=layer.b.shape)
        self.factor = factor

    def forward(self, x):
        first, _, last = self.layers
        self.hidden = np.tanh(first.forward(x))
        return last.forward(self.hidden)

    def backward(self, d):
        first, _, last = self.layers
        last.dW, last.db = self.hidden.T @ d, d.sum(axis=0)
        d = (d @ last.W.T) * (1 - self.hidden**2) * self.factor
        first.dW, first.db = first.inputs.T @ d, d.sum(axis=0)


X = np.array([[1.0, -0.5], [0.25, 2.0]])


@pytest.mark.parametrize("what", ["net", "layers", "namespace", "dict"])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, True), (1.1, False)])
def test_a_network_is_checked_as_it_is(what, factor, expected):
    net = Net(factor)
    params = {
        "net": net,
        "layers": net.layers,
        "namespace": SimpleNamespace(net=net),
        "dict": {"net": net},
    }[what]
    net.backward(2 * net.forward(X))
    before = [array.tobytes() for layer in net.layers[::2] for array in vars(layer).values()]
    held = [id(layer) for layer in net.layers]
    check = check_gradients(params, None, lambda: np.sum(net.forward(X) ** 2))
    assert check.passed is expected
    inside = {"net": "layers[{}].", "layers": "[{}].", "namespace": "net.layers[{}].",
              "dict": "net.layers[{}]."}[what]  # fmt: skip
    assert [parameter.name.removeprefix("params").removeprefix(".") for parameter in
            check.parameters] == [inside.format(k) + n for k in (0, 2) for n in "Wb"]  # fmt: skip
    # Nothing of it has changed: parameters, gradients, or what it kept.
    assert [a.tobytes() for layer in net.layers[::2] for a in vars(layer).values()] == before
    assert [id(layer) for layer in net.layers] == held


def test_a_named_tuple_beside_a_plain_one():
    params = Pair(np.ones(2), np.ones(3))
    right, wrong = (np.full(2, 2.0), np.full(3, 2.0)), (np.full(2, 2.0), np.full(3, 2.5))

    def cost(params):
        return np.sum(params.W**2) + np.sum(params.b**2)

    assert check_gradients(params, right, cost).passed
    assert check_gradients(params, wrong, cost).wrong_entries[0][0] == "b"
    assert check_gradients(tuple(params), Pair(*right), lambda p: cost(Pair(*p))).passed


class Value(Scalar):
    """With the operations of micrograd."""

    def __mul__(self, other):
        return Value(self.data * other.data)


@pytest.mark.parametrize(("grads", "expected"), [((-3.0, 2.0), True), ((-3.0, 2.5), False)])
def test_leaves_of_an_engine(grads, expected):
    a, b = Value(2.0), Value(-3.0)
    a.grad, b.grad = grads
    check = check_gradients([a, b], None, lambda p: (p[0] * p[1]).data)
    assert check.passed is expected
    assert (a.data, b.data, a.grad, b.grad) == (2.0, -3.0, *grads)


def test_without_gradients():
    """A record of parameters has none, and what to do is said."""
    with pytest.raises(InputError) as caught:
        pair(SimpleNamespace(W=A), None)
    assert str(caught.value) == (
        "`grads` is None: is a `return` missing in the function that computes it?"
    )


class Param:
    """A parameter with its gradient, as many libraries have it."""

    def __init__(self, value):
        self.value, self.grad = value, None


class Node:
    """A layer that knows its network and its neighbours, and passes on what it computes."""

    def __init__(self, network, before, *shape):
        rng = np.random.default_rng(shape)
        self.network, self.before, self.after = network, before, None
        self.W, self.b = Param(rng.normal(size=shape)), Param(rng.normal(size=shape[1]))
        if before is not None:
            before.after = self

    def forward(self, x):
        self.x, self.out = x, np.tanh(x @ self.W.value + self.b.value)
        return self.out if self.after is None else self.after.forward(self.out)

    def backward(self, d):
        d = d * (1 - self.out**2) * self.network.factor
        self.W.grad, self.b.grad = self.x.T @ d, d.sum(axis=0)
        if self.before is not None:
            self.before.backward(d @ self.W.value.T)


class Chain:
    """A network that holds its layers in a list, or only the first and the last of them."""

    def __init__(self, factor, *, in_list):
        self.factor = factor
        first = Node(self, None, 2, 3)
        last = Node(self, Node(self, first, 3, 3), 3, 1)
        if in_list:
            self.layers = [first, first.after, last]
        else:
            self.first, self.last = first, last

    def cost(self):
        first = self.layers[0] if hasattr(self, "layers") else self.first
        return np.sum(first.forward(X))


@pytest.mark.parametrize("takes", [True, False], ids=["an argument", "none"])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, True), (1.1, False)])
@pytest.mark.parametrize("in_list", [True, False], ids=["in a list", "linked"])
def test_objects_that_refer_to_each_other(in_list, factor, expected, takes):
    """Each is visited once, by its shortest name; no copy of one refers to the user's others."""
    net = Chain(factor, in_list=in_list)
    net.cost()
    layers = net.layers if in_list else [net.first, net.first.after, net.last]
    layers[-1].backward(np.ones((2, 1)))
    kept = [(p, p.value, p.value.copy(), p.grad) for each in layers for p in (each.W, each.b)]
    activations = [(each.x, each.out) for each in layers]
    check = check_gradients(net, None, (lambda net: net.cost()) if takes else net.cost)
    assert check.passed is expected
    paths = ["layers[0]", "layers[1]", "layers[2]"] if in_list else ["first", "first.after", "last"]
    names = {f"{path}.{name}.value" for path in paths for name in "Wb"}
    assert {parameter.name for parameter in check.parameters} == names
    assert check.call == ("structured" if takes else "closure")
    for parameter, value, copied, grad in kept:
        assert parameter.value is value
        assert parameter.grad is grad
        assert np.array_equal(value, copied)
    for layer, (x, out) in zip(layers, activations, strict=True):
        assert layer.x is x
        assert layer.out is out


@pytest.mark.parametrize(("wrong", "expected"), [(0.0, True), (0.1, False)])
def test_linked_objects_at_several_points(wrong, expected):
    net = Chain(1.0, in_list=True)

    def gradient(net):
        net.cost()
        net.layers[-1].backward(np.ones((2, 1)))
        # A factor that is 1 at the given point alone.
        factor = 1 + wrong * (net.layers[0].W.value[0, 0] - start)
        grads = [{name: getattr(each, name).grad * factor for name in "Wb"} for each in net.layers]
        return {"layers": [{k: {"value": v} for k, v in each.items()} for each in grads]}

    start = net.layers[0].W.value[0, 0]
    check = check_gradients(net, gradient, lambda net: net.cost(), points=3)
    assert check.passed is expected
    assert net.layers[0].W.value[0, 0] == start


def test_a_number_in_linked_objects():
    net = Chain(1.0, in_list=True)
    net.cost()
    net.layers[-1].backward(np.ones((2, 1)))
    net.layers[0].W.value = net.layers[0].W.grad = 2.0
    with pytest.raises(InputError) as caught:
        check_gradients(net, None, lambda net: net.layers[0].W.value ** 2)
    assert str(caught.value) == (
        "`cost_function` reads `layers[0].W.value` (a plain number) from the notebook, where it is "
        "perturbed in place: make it a writable array of floats, or an argument of the function."
    )


DEEP = f"`{'n.' * 39}n.....{'n.' * 20}W` is nested more than 100 containers deep"


@pytest.mark.parametrize(("count", "error"), [(90, ""), (101, f"{DEEP}: use a flatter structure.")])
def test_long_chains_of_objects(count, error):
    """A chain ends in a check or in a sentence, but not in a recursion."""
    net = last = Own(W=A.copy(), dW=2 * A)
    for _ in range(count):
        last.n = Own(W=A.copy(), dW=2 * A)
        last = last.n

    def cost():
        each, total = net, 0.0
        while each is not None:
            total, each = total + np.sum(each.W**2), getattr(each, "n", None)
        return total

    if not error:
        assert check_gradients(net, None, cost).passed
        last.dW = 2.5 * A
        assert not check_gradients(net, None, cost).passed
        return
    with pytest.raises(InputError) as caught:
        check_gradients(net, None, cost)
    assert str(caught.value) == error


def test_a_missing_gradient_is_told():
    """A layer that a backward pass has forgotten is not left out."""
    net = Net()
    net.backward(2 * net.forward(X))
    net.layers[0].db = None
    with pytest.raises(InputError) as caught:
        pair(net, None)
    assert str(caught.value) == "`layers[0].db` is None: give a gradient for `layers[0].b`."


def test_methods_of_any_name():
    """What a layer keeps is no parameter, and a layer that only keeps something is left alone."""
    layers = [Weighted(2, 3), Activation(), Weighted(3, 1)]

    def cost():
        x = X
        for layer in layers:
            x = layer.compute(x)
        return np.sum(x)

    cost()
    d = np.ones((2, 1))
    for layer in reversed(layers):
        d = layer.propagate(d)
    check = check_gradients(layers, None, cost)
    assert [p.name for p in check.parameters] == ["params[0].W", "params[2].W"]
    assert check.passed
    layers[0].dW = layers[0].dW * 1.1
    assert not check_gradients(layers, None, cost).passed


class Layers(list):
    """A network that is a list of its layers."""

    def forward(self, x):
        for layer in self:
            x = np.tanh(layer.forward(x))
        return x


@pytest.mark.parametrize(("factor", "expected"), [(1.0, True), (1.1, False)])
def test_a_list_of_ones_own_class(factor, expected):
    net = Layers([Dense(2, 3)])
    d = 1 - net.forward(X) ** 2
    net[0].dW, net[0].db = factor * X.T @ d, d.sum(axis=0)
    assert check_gradients(net, None, lambda net: np.sum(net.forward(X))).passed is expected
    assert type(net) is Layers


def test_an_object_without_gradients():
    """What can be pasted is said."""
    with pytest.raises(InputError) as caught:
        pair(Own(W=A, b=A, lr=0.1), {"W": A, "b": A})
    assert str(caught.value) == (
        "`params` is a test_objects.Own: expected a NumPy array or a number; pass the parameters "
        "in it, such as [params.W, params.b]."
    )
