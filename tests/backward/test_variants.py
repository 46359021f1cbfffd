"""Expressions are written as whoever has made a slip has meant to write them."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_magic._backward.variants import variants_of

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


def written(expression):
    """Return all variants of an expression, as text."""
    tree = ast.parse(expression, mode="eval").body
    return {ast.unparse(ast.fix_missing_locations(each)) for each in variants_of(tree)}


@pytest.mark.parametrize(
    ("slip", "meant"),
    {
        "a sign": ("v0 * (1 + v1 ** 2)", "v0 * (1 - v1 ** 2)"),
        "a sign before": ("-v0.T @ v1", "v0.T @ v1"),
        "a sign that is missing": ("v0 * v1", "-v0 * v1"),
        "a quotient": ("v0 * v1", "v0 / v1"),
        "a square that is missing": ("v0 * (1 - v1)", "v0 * (1 - v1 ** 2)"),
        "a factor of 2": ("v0 * v1", "v0 * v1 * 2"),
        "a factor of 2 too many": ("2 * v0 * v1", "2 * v0 * v1 / 2"),
        "a factor too many": ("v0 / v1", "v0"),
        "HARD: a numerator too many": ("v0 * v1 / v2", "1 / v2"),
        "a term too many": ("v0 + v1 * v2", "v0"),
        "HARD: the first term too many": ("v0 + v1 * v2", "v1 * v2"),
        "HARD: a term that is missing": ("v0 @ v1", "v0 @ v1 + spare"),
        "HARD: a factor that is missing": ("v0 @ v1", "v0 @ (v1 * spare)"),
        "HARD: another value": ("v0 * v1", "v0 * spare"),
        "the other axis": ("v0.sum(0)", "v0.sum(1)"),
        "HARD: the other axis, of a function": ("np.sum(v0, axis=1)", "np.sum(v0, axis=0)"),
        "HARD: an axis that is missing": ("v0 / v0.sum()", "v0 / v0.sum(axis=-1, keepdims=True)"),
        "a sum for a mean": ("v0.mean(0)", "v0.sum(0)"),
        "a comparison": ("v0 * (v1 < 0)", "v0 * (v1 > 0)"),
        "HARD: one too far": ("v0 * (v1 > 0)", "v0 * (v1 >= 0)"),
        "a transpose too many": ("v0 @ v1.T", "v0 @ v1"),
        "a transpose that is missing": ("v0 @ v1", "v0 @ v1.T"),
    }.values(),
)
def test_slip_is_mended(slip, meant):
    assert meant in written(slip)


def test_another_name_may_only_miss_something():
    assert written("v0") == {"v0 * spare", "v0 + spare", "v0 - spare"}


@given(expressions)
def test_expression_stays_as_it_is(tree):
    """Each variant is another expression that can be compiled, and the first one is not changed."""
    before = ast.dump(tree)
    variants = list(variants_of(tree))
    assert variants
    for each in variants:
        assert ast.dump(each) != before
        compile(ast.fix_missing_locations(ast.Expression(each)), "<variant>", "eval")
    assert ast.dump(tree) == before
