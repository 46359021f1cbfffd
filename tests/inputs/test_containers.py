"""Containers are opened, read, and rebuilt with the same type and structure."""

import sys
from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._inputs.containers import (
    children,
    is_module,
    module_of,
    rebuilt,
    without_generators,
)

Layer = namedtuple("Layer", ["W", "b"])  # noqa: PYI024 (as many notebooks have it)
nested = st.recursive(
    st.integers(),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=2), held, max_size=3)
    | st.tuples(held, held) | st.builds(Layer, held, held),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"W": 1, 2: 3}, [("W", 1), (2, 3)]),
        ([5, None], [(0, 5), (1, None)]),
        ((), []),
        (Layer(1, 2), [("W", 1), ("b", 2)]),
        (OrderedDict(b=1, a=2), [("b", 1), ("a", 2)]),
        pytest.param(3, None, id="a number"),
        pytest.param("ab", None, id="a string"),
        pytest.param(np.ones(2), None, id="an array"),
        pytest.param({1, 2}, None, id="a set"),
        pytest.param(None, None, id="None"),
    ],
)
def test_children(node, expected):
    found = children(node)
    assert (None if found is None else list(found)) == expected
    assert not is_module(node)
    assert module_of(node) is None


@settings(max_examples=60, deadline=None)
@given(nested)
def test_own_containers_are_themselves(node):
    """A structure of dicts, lists and tuples is left as it is, without a copy."""
    assert without_generators(node) is node


@settings(max_examples=60, deadline=None)
@given(nested.filter(lambda node: children(node) is not None))
def test_rebuilt_of_the_same(node):
    """The rebuilt container is equal and of the same type, but another object."""
    again = rebuilt(node, [child for _, child in children(node)])
    assert again == node
    assert type(again) is type(node)
    assert again is not node or node == ()


def test_rebuilt_around_something_else():
    before = {"W": 1, "b": 2}
    assert rebuilt(before, [3, 4]) == {"W": 3, "b": 4}
    assert before == {"W": 1, "b": 2}
    assert rebuilt(Layer(1, 2), [3, 4]) == Layer(3, 4)


def test_pairs_of_strings_are_no_parameters():
    """Only pairs with tensors are named parameters."""
    pairs = [("W", np.ones(2))]
    assert without_generators(pairs) is pairs


# Stand-ins for PyTorch and JAX, which take seconds to import


class Tensor:
    pass


class Module:
    """A stand-in for torch.nn.Module: it yields its parameters, in a new generator each time."""

    def __init__(self, **held):
        self.held = held

    def named_parameters(self, prefix=""):
        yield from ((prefix + name, tensor) for name, tensor in self.held.items())

    def parameters(self):
        yield from self.held.values()

    def buffers(self):
        yield from ()


@pytest.fixture
def module(monkeypatch):
    torch = SimpleNamespace(Tensor=Tensor, nn=SimpleNamespace(Module=Module))
    monkeypatch.setitem(sys.modules, "torch", torch)
    return Module(weight=Tensor(), bias=Tensor())


def test_modules(module):
    assert is_module(module)
    assert dict(children(module)) == module.held


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        pytest.param(lambda m: m.parameters(), lambda h: list(h.values()), id="parameters"),
        pytest.param(lambda m: m.named_parameters(), dict, id="named"),
        pytest.param(
            lambda m: m.named_parameters("net."),
            lambda h: {f"net.{name}": tensor for name, tensor in h.items()},
            id="with a prefix",
        ),
        pytest.param(lambda m: list(m.named_parameters()), dict, id="a list of pairs"),
        pytest.param(lambda m: m, lambda h: None, id="the module itself"),
    ],
)
def test_parameters_are_asked_for_anew(module, ask, expected):
    """The user's own generator is not used up."""
    given_ = ask(module)
    found = without_generators(given_)
    assert found == (module if given_ is module else expected(module.held))
    if given_ is not module:
        assert len(list(given_)) == 2


@pytest.mark.parametrize(
    ("ask", "is_known"),
    [
        (lambda m: m, True),
        (lambda m: m.parameters(), True),
        (lambda m: m.named_parameters(), True),
        pytest.param(lambda m: m.buffers(), False, id="another generator"),
        pytest.param(lambda m: begun(m.parameters()), False, id="one that has begun"),
        pytest.param(lambda m: list(m.parameters()), False, id="a list"),
    ],
)
def test_module_of(module, ask, is_known):
    assert module_of(ask(module)) is (module if is_known else None)


def begun(generator):
    next(generator)
    return generator


class Tree:
    """A stand-in for a JAX pytree with two fields."""

    def __init__(self, W, b):
        self.W, self.b = W, b


class Structure:
    @staticmethod
    def unflatten(held):
        return Tree(*held)


@pytest.fixture
def tree(monkeypatch):
    def flatten(node, is_leaf):
        assert not is_leaf(node)
        assert is_leaf(node.W)
        fields = [((SimpleNamespace(name=n),), getattr(node, n)) for n in ("W", "b")]
        return fields, Structure

    tree_util = SimpleNamespace(
        all_leaves=lambda nodes: not isinstance(nodes[0], Tree), tree_flatten_with_path=flatten
    )
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(tree_util=tree_util))
    return Tree(1.0, [2.0, 3.0])


def test_pytrees(tree):
    """They are read as dicts with the names of their fields, and rebuilt."""
    assert list(children(tree)) == [("W", 1.0), ("b", [2.0, 3.0])]
    again = rebuilt(tree, [4.0, 5.0])
    assert (type(again), again.W, again.b, tree.W) == (Tree, 4.0, 5.0, 1.0)
