"""Containers are opened, read and rebuilt as what they were."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._inputs.containers import (
    DEEPEST,
    children,
    is_module,
    is_tree,
    module_of,
    plain,
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
        (Layer(1, 2), [(0, 1), (1, 2)]),
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
    assert not is_tree(node)
    assert not is_module(node)
    assert module_of(node) is None


@settings(max_examples=60, deadline=None)
@given(nested)
def test_own_containers_are_themselves(node):
    """What is made of dicts, lists and tuples is left as it is; nor is it opened."""
    assert plain(node) is node
    assert without_generators(node) is node


@settings(max_examples=60, deadline=None)
@given(nested.filter(lambda node: children(node) is not None))
def test_rebuilt_of_the_same(node):
    """It is equal, of the same kind, and another one."""
    again = rebuilt(node, [child for _, child in children(node)])
    assert again == node
    assert type(again) is type(node)
    assert again is not node or node == ()


def test_rebuilt_around_something_else():
    before = {"W": 1, "b": 2}
    assert rebuilt(before, [3, 4]) == {"W": 3, "b": 4}
    assert before == {"W": 1, "b": 2}
    assert rebuilt(Layer(1, 2), [3, 4]) == Layer(3, 4)


def test_what_contains_itself():
    ring = [1]
    ring.append(ring)
    assert plain(ring) is ring


def test_what_lies_too_deep():
    deep = 1
    for _ in range(3 * DEEPEST):
        deep = [deep]
    assert plain(deep) is deep


def test_pairs_of_strings_are_no_parameters():
    """Only tensors are named like that."""
    pairs = [("W", np.ones(2))]
    assert without_generators(pairs) is pairs
