"""A recorded statement is evaluated again, with another value in place of one that it read."""

import ast

import numpy as np
import pytest

from gradcheck_magic._backward.again import Again, local_slopes
from gradcheck_magic._backward.record import Recorder

A = np.arange(6.0).reshape(2, 3) - 2.5
B = np.ones((2, 3)) / 3
NEW = np.linspace(-1, 1, 6).reshape(2, 3)


def doubled(array):
    return 2 * array


def product(A, B):
    return A * (1 - B**2)


def masked(A, B):
    found = A.copy()
    found[B > 0] = 0
    return found


def masked_and_scaled(A, B):
    found = A.copy()
    found[A < 0] *= 3
    return found


def added(A, B):
    found = A.copy()
    found += B
    return found


def put_out(A, B):
    found = np.empty_like(A)
    np.multiply(A, B, out=found)
    return found


def item_of_a_dict(A, B):
    kept = {}
    kept["found"] = A.T @ B
    return kept["found"]


def column(A, B):
    found = np.zeros((2, 3))
    found[:, 1] = A[:, 0] * B[:, 2]
    return found


def from_a_function(A, B):
    return A * doubled(B)


def with_a_number(A, B):
    m = 4
    return A / m


def drawn(A, B):
    return A * np.random.default_rng(0).normal(size=A.shape)


def chosen(A, B):
    return 2 * (A if A[0, 0] < 0 else B)


def recorded(function):
    with Recorder() as recorder:

        def cell():
            a, b = A * 1, B * 1
            function(a, b)

        cell()
    return {each.index: each for each in recorder.bound}


def last(known, label):
    whole = [each for each in known.values() if not each.is_part and not each.is_argument]
    return [each for each in whole if each.label == label and each.alias_of is None][-1]


@pytest.mark.parametrize(
    ("function", "label", "text", "expected"),
    {
        "a product": (product, "", "A", NEW * (1 - B**2)),
        "HARD: a mask": (masked, "found[B > 0]", "B", np.where(NEW > 0, 0, A)),
        "HARD: what was there before": (added, "found", "found", NEW + B),
        "HARD: a part of it scaled": (
            masked_and_scaled, "found[A < 0]", "found", np.where(A < 0, 3 * NEW, NEW),
        ),
        "HARD: out=": (put_out, "found", "B", A * NEW),
        "HARD: an item of a dict": (item_of_a_dict, "kept['found']", "B", A.T @ NEW),
        "HARD: parts of arrays": (column, "found[:, 1]", "A[:, 0]", np.ones(2) * B[:, 2]),
        "HARD: what a function has returned": (from_a_function, "", "()", A * NEW),
        "a number": (with_a_number, "", "A", NEW / 4),
    }.values(),
)  # fmt: skip
def test_value_with_another_in_place(function, label, text, expected):
    known = recorded(function)
    again = Again.of(last(known, label), known)
    instead = np.ones(2) if text == "A[:, 0]" else NEW
    np.testing.assert_allclose(again.value(text, instead), np.ravel(expected))
    np.testing.assert_array_equal(again.value(), last(known, label).value)


@pytest.mark.parametrize(
    "function",
    {"random numbers": drawn, "only a part of it runs": chosen}.values(),
)
def test_only_what_computes_is_evaluated(function):
    known = recorded(function)
    assert Again.of(last(known, ""), known) is None


class _OtherTree:
    def __deepcopy__(self, _):
        raise AssertionError("the tree of somebody else is copied")


def shifted(A, B):
    return A + B * 3


def test_other_trees_are_not_copied():
    """IPython's tracebacks note the parent in each node, and trees share the nodes of contexts."""
    shared = ast.parse("a", mode="eval").body.ctx
    shared.parent = _OtherTree()
    try:
        known = recorded(shifted)
        again = Again.of(last(known, ""), known)
        np.testing.assert_allclose(again.value("A", NEW), np.ravel(NEW + B * 3))
        assert list(again.mended())
    finally:
        del shared.parent


def test_what_does_not_fit_gives_nothing():
    known = recorded(product)
    again = Again.of(last(known, ""), known)
    assert again.value("A", np.ones(7)) is None


def test_local_slopes():
    """Of what is computed entry by entry, the slopes are those by hand."""
    known = recorded(product)
    *_, by_a = [slopes for _, text, slopes in local_slopes(known.values(), known) if text == "A"]
    *_, by_b = [slopes for _, text, slopes in local_slopes(known.values(), known) if text == "B"]
    np.testing.assert_allclose(by_a, 1 - B**2, rtol=1e-8)
    np.testing.assert_allclose(by_b, -2 * A * B, rtol=1e-8)


def in_the_shape_of(A, B):
    return np.zeros(A.shape) + B


def test_a_shape_is_not_repeated():
    """HARD: ``np.zeros(A.shape * 12)`` would be an array of two billion numbers."""
    known = recorded(in_the_shape_of)
    again = Again.of(last(known, ""), known)
    edited = [again.edited(k, {}, 12) for k, edit in enumerate(again.edits) if edit.needs_spare]
    assert any(each is not None for each in edited)
    assert all(each is None or each.size <= 72 for each in edited)
