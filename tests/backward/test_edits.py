"""Statements are written as whoever has made a slip may have meant to write them."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_magic._backward.edits import (
    AT_HAND,
    FAR_FETCHED,
    WRITTEN_OUT,
    conjugations_of,
    edits_of,
)

names = st.sampled_from(["v0", "v1", "v2"]).map(lambda name: ast.Name(name, ast.Load()))


def compound(inner):
    operators = st.sampled_from([ast.Add(), ast.Sub(), ast.Mult(), ast.Div(), ast.MatMult()])
    calls = st.tuples(inner, st.sampled_from(["sum", "mean", "max"]), st.sampled_from([0, 1]))
    return st.one_of(
        st.builds(ast.BinOp, inner, operators, inner),
        st.builds(lambda value: ast.UnaryOp(ast.USub(), value), inner),
        st.builds(lambda value: ast.Attribute(value, "T", ast.Load()), inner),
        calls.map(
            lambda each: ast.Call(
                ast.Attribute(each[0], each[1], ast.Load()), [ast.Constant(each[2])], []
            )
        ),
    )


expressions = st.recursive(names, compound, max_leaves=5)


def written(expression, *, is_change=False):
    """Return all edits of an expression, as text, each with how far-fetched it is."""
    tree = ast.parse(expression, mode="eval").body
    edits = edits_of(tree, is_change=is_change)
    return {
        ast.unparse(ast.fix_missing_locations(each)): stage for stage, each in reversed([*edits])
    }


@pytest.mark.parametrize(
    ("slip", "meant", "stage"),
    {
        "a sign": ("v0 * (1 + v1 ** 2)", "v0 * (1 - v1 ** 2)", WRITTEN_OUT),
        "a sign that is missing": ("v0 * v1", "-v0 * v1", WRITTEN_OUT),
        "HARD: a difference the wrong way round": ("v0 - v1", "v1 - v0", WRITTEN_OUT),
        "HARD: a product for a sum": ("v0 * v1", "v0 + v1", WRITTEN_OUT),
        "a square that is missing": ("v0 * (1 - v1)", "v0 * (1 - v1 ** 2)", WRITTEN_OUT),
        "HARD: that of a call": ("1 - np.tanh(v0)", "1 - np.tanh(v0) ** 2", WRITTEN_OUT),
        "HARD: a value for 1 minus it": ("v0 * v0", "v0 * (1 - v0)", WRITTEN_OUT),
        "HARD: an exponent, by one": ("v0 ** v1", "v0 ** (v1 - 1)", WRITTEN_OUT),
        "a factor too many": ("v0 / v1", "v0", WRITTEN_OUT),
        "a transpose of all": ("np.dot(v0, v1.T)", "np.dot(v0, v1.T).T", WRITTEN_OUT),
        "arguments": ("np.dot(v0, v1)", "np.dot(v1, v0)", WRITTEN_OUT),
        "HARD: axes": ("v0.transpose(0, 3, 2, 1)", "v0.transpose(0, 2, 3, 1)", WRITTEN_OUT),
        "the other axis": ("v0.sum(0)", "v0.sum(1)", WRITTEN_OUT),
        "a maximum for a sum": ("v0.max(axis=v1)", "v0.sum(axis=v1)", WRITTEN_OUT),
        "HARD: equal for less": ("v0[v1 == 0]", "v0[v1 <= 0]", WRITTEN_OUT),
        "another value": ("v0 @ v1", "v0 @ spare", AT_HAND),
        "HARD: another value in both places": ("v0 * (1 - v0)", "spare * (1 - spare)", AT_HAND),
        "another name": ("v0", "spare", AT_HAND),
        "a mask that is missing": ("v0 @ v1", "v0 @ v1 * (spare > 0)", AT_HAND),
        "HARD: the slope of tanh that is missing": ("v0", "v0 * (1 - spare ** 2)", AT_HAND),
        "HARD: a matrix that is missing": ("v0", "spare.T @ v0", AT_HAND),
        "a length that is missing": ("v0 - v1", "(v0 - v1) / spare", AT_HAND),
        "HARD: ones for zeros": ("np.ones(v0)", "np.ones(v0) * 0", FAR_FETCHED),
        "a factor of 2": ("v0 * v1", "v0 * v1 * 2", FAR_FETCHED),
    }.values(),
)
def test_what_was_meant_is_found(slip, meant, stage):
    assert written(slip)[meant] == stage


@pytest.mark.parametrize(
    ("slip", "meant"),
    {
        "-= for +=": ("v0 - v1", "v0 + v1"),
        "+= for =": ("v0 + v1", "v1"),
        "what is added": ("v0 + v1", "v0 + spare"),
        "HARD: = for +=, of items": ("put_in(v0, v1, v2)", "put_in(v0, v1, v0[v1] + v2)"),
        "HARD: which items": ("put_in(v0, v1, v2)", "put_in(v0, spare, v2)"),
        "what is added to items": ("add_at(v0, v1, v2)", "subtract_at(v0, v1, v2)"),
    }.values(),
)
def test_what_changes_an_array_still_changes_that_one(slip, meant):
    edits = written(slip, is_change=True)
    assert meant in edits
    assert "spare + v1" not in edits
    assert not any(each.startswith(("put_in(spare", "add_at(spare")) for each in edits)


@given(expressions)
def test_edits_can_be_compiled_and_leave_the_expression_as_it_was(tree):
    before = ast.unparse(tree)
    for _, each in edits_of(tree, is_change=False):
        compile(ast.unparse(each), "<edit>", "eval")
    assert ast.unparse(tree) == before


CONJUGATIONS = [
    ("v0 @ v1", {"v0.conj() @ v1", "v0 @ v1.conj()"}),
    ("v0.conj().T @ v1", {"v0.T @ v1", "v0.conj().conj().T @ v1", "v0.conj().T @ v1.conj()"}),
    ("np.conj(v0) * v0", {"v0 * v0", "np.conj(v0.conj()) * v0.conj()"}),
    ("np.conj(v0.conj())", {"v0.conj()", "np.conj(v0)", "np.conj(v0.conj().conj())"}),
]


@pytest.mark.parametrize(("expression", "expected"), CONJUGATIONS)
def test_one_conjugate_more_or_less(expression, expected):
    tree = ast.parse(expression, mode="eval").body
    edits = {ast.unparse(ast.fix_missing_locations(each)) for _, each in conjugations_of(tree)}
    assert edits == expected
