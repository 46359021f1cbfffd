"""A gradient with the right values is not correct if an update would change a parameter's shape."""

import json

import numpy as np
import pytest

from gradcheck_magic import GradientCheckFailed, Verdict, check_gradients

CORRECT, INSPECT, BUG, OPEN = (
    Verdict.CORRECT,
    Verdict.INSPECT,
    Verdict.BUG,
    Verdict.INCONCLUSIVE,
)
B = np.arange(1.0, 9.0) / 8
SUM = "Sum with `keepdims=True`, or use `db.reshape(b.shape)`."
USE = "Use `db.reshape(b.shape)`."


def square(p):
    return sum(np.sum(np.asarray(array) ** 2) for array in p.values())


def checked(b, db, **options):
    return check_gradients({"b": b}, {"db": db}, square, **options)


def found(check):
    return check.verdict, check.parameters[0].verdict


def broken(given, own, result, *, in_place=True):
    error = ", and `b -= lr * db` would be an error" if in_place else ""
    return (
        f"`db` has shape {given}, but `b` has shape {own}: `b - lr * db` would have shape "
        f"{result}{error}. The values are right. "
    )


ROWS = [
    pytest.param((8, 1), (8,), broken((8,), (8, 1), (8, 8)) + SUM, id="a sum dropped an axis"),
    pytest.param((8, 1), (1, 8), broken((1, 8), (8, 1), (8, 8)) + USE, id="a row for a column"),
    pytest.param((8,), (8, 1), broken((8, 1), (8,), (8, 8)) + USE, id="HARD: of flat parameters"),
    pytest.param((8,), (1, 8), broken((1, 8), (8,), (1, 8)) + USE, id="HARD: one axis more"),
    pytest.param((2, 1, 4), (2, 4), broken((2, 4), (2, 1, 4), (2, 2, 4)) + SUM, id="the middle"),
    pytest.param(
        (2, 4), (2, 4, 1),
        "`db` has shape (2, 4, 1), but `b` has shape (2, 4): `b - lr * db` would be an error. The "
        f"values are right. {USE}",
        id="HARD: they do not broadcast",
    ),
]  # fmt: skip
HARMLESS = [
    pytest.param((1, 8), (8,), id="an axis of length 1 in front"),
    pytest.param((1, 2, 4), (2, 4), id="of three axes"),
    pytest.param((8,), (8,), id="the same"),
]


def sides(shape, given):
    b = B.reshape(shape)
    return b, 2 * b.reshape(given)


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize(("shape", "given", "told"), ROWS)
def test_an_update_would_not_keep_the_shape(shape, given, told, mode):
    """What numpy does with the update, and with the advice, is what the sentence says."""
    b, db = sides(shape, given)
    check = checked(b, db, mode=mode)
    assert found(check) == (INSPECT, INSPECT)
    assert check.reasons[0] == told
    assert not any("axes of length 1" in note for note in check.notes)
    with pytest.raises(ValueError, match="broadcast"):
        b.copy().__isub__(db)
    try:
        assert f"would have shape {(b - db).shape}" in told
    except ValueError:
        assert "`b - lr * db` would be an error" in told
    assert checked(b, db.reshape(b.shape), mode=mode).passed


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize(("shape", "given"), HARMLESS)
def test_an_update_keeps_the_shape(shape, given, mode):
    b, db = sides(shape, given)
    check = checked(b, db, mode=mode)
    assert found(check) == (CORRECT, CORRECT)
    note = f"`db` has shape {given} and `b` has shape {shape}: axes of length 1 were ignored."
    assert (note in check.notes) == (given != shape)
    assert (b - db).shape == shape
    assert not checked(b, 1.5 * db, mode=mode).passed


@pytest.mark.parametrize(("b", "is_array"), [
    pytest.param(3.0, False, id="a float"),
    pytest.param(np.float64(3.0), False, id="HARD: a number of numpy"),
    pytest.param(np.array(3.0), True, id="HARD: an array without axes"),
])  # fmt: skip
def test_numbers(b, is_array):
    """A number can be replaced by an array of shape (1,), and only an array has a shape."""
    use = USE if is_array else "Use `db.item()`."
    expected = broken((1,), (), (1,), in_place=is_array) + use
    assert checked(b, np.array([6.0])).reasons == (expected,)
    assert checked(b, np.float64(6.0)).passed
    assert checked(np.array([[3.0]]), 6.0).passed
    assert found(checked(b, np.array([7.0]))) == (BUG, BUG)


@pytest.mark.parametrize(("factor", "verdict", "n_diagnoses"), [
    pytest.param(2.0, BUG, 1, id="wrong values"),
    pytest.param(1 + 4e-6, INSPECT, 0, id="HARD: values worth inspecting"),
])  # fmt: skip
def test_besides_wrong_values(factor, verdict, n_diagnoses):
    b, db = sides((8, 1), (8,))
    check = checked(b, factor * db)
    assert found(check) == (verdict, verdict)
    assert len(check.diagnoses) == n_diagnoses
    assert (
        check.reasons[0] == broken((8,), (8, 1), (8, 8)).replace("The values are right. ", "") + SUM
    )
    assert any("relative errors of `b`" in reason for reason in check.reasons) == (
        verdict is INSPECT
    )


def test_what_is_inconclusive_stays_so():
    """No value is right or wrong at a minimum; the shape is told all the same."""
    check = checked(np.zeros((8, 1)), np.zeros(8))
    assert check.verdict is OPEN
    assert "would have shape (8, 8)" in check.reasons[0]
    assert "values are right" not in check.reasons[0]
    assert "nothing to compare" in check.reasons[1]


def test_one_of_several():
    """Only the parameter whose shape would change is to be inspected, and a bug counts for more."""
    p = {"W": np.ones((2, 3)), "b": B[:, None], "c": B[:4]}
    grads = {"dW": 2 * p["W"], "db": 2 * B, "dc": 2 * p["c"]}
    check = check_gradients(p, grads, square)
    assert [each.verdict for each in check.parameters] == [CORRECT, INSPECT, CORRECT]
    assert check.verdict is INSPECT
    assert "! inspect the shape" in str(check)
    check = check_gradients(p, {**grads, "dW": 3 * p["W"]}, square)
    assert [each.verdict for each in check.parameters] == [BUG, INSPECT, CORRECT]
    assert check.verdict is BUG
    assert "would have shape (8, 8)" in check.reasons[0]
    assert check_gradients(p, grads, square, only=["W", "c"]).passed


@pytest.mark.parametrize(("params", "grads", "names", "told"), [
    pytest.param(
        [B[:, None]], [2 * B], None,
        "`params[0] - lr * grads[0]` would have shape (8, 8)", id="by position",
    ),
    pytest.param(
        [B[:, None]], [2 * B], ["b"],
        "`b - lr * grads[0]` would have shape (8, 8)", id="a name that is given",
    ),
    pytest.param(
        {"b": B[:, None]}, {"b": 2 * B}, None,
        "`b - lr * grads['b']` would have shape (8, 8)", id="HARD: the same name twice",
    ),
    pytest.param(
        B, 2 * B[:, None], None,
        "`params - lr * grads` would have shape (8, 8)", id="one flat vector",
    ),
])  # fmt: skip
def test_names(params, grads, names, told):
    cost = square if isinstance(params, dict) else lambda p: np.sum(np.asarray(p) ** 2)
    call = "auto" if isinstance(params, np.ndarray) else "structured"
    assert told in check_gradients(params, grads, cost, names=names, call=call).reasons[0]


@pytest.mark.parametrize(("shape", "given", "told"), [
    ((8, 1), (8,), "`x` and `dx` together broadcast to shape (8, 8). "),
    ((2, 4), (2, 4, 1), "`x` and `dx` together do not broadcast. "),
])  # fmt: skip
def test_the_input_of_a_layer_is_not_updated(shape, given, told):
    x = B.reshape(shape)
    layer, upstream = lambda p: p["x"] ** 2, np.ones(shape)
    check = check_gradients({"x": x}, {"dx": 2 * x.reshape(given)}, layer, upstream=upstream)
    assert check.verdict is INSPECT
    assert told in check.reasons[0]
    assert check_gradients({"x": x}, {"dx": 2 * x}, layer, upstream=upstream).passed


def test_other_points_are_checked_all_the_same():
    """A wrong shape is the same everywhere, and must not hide what is wrong elsewhere."""
    b = {"b": B[:, None]}
    right = check_gradients(b, lambda p: {"db": 2 * p["b"][:, 0]}, square, points=2)
    assert (right.verdict, right.point) == (INSPECT, 0)
    assert "checked at 2 points" in right.notes[-1]
    # It is right at the given point alone.
    wrong = check_gradients(b, lambda p: {"db": p["b"][:, 0] + B}, square, points=2)
    assert (wrong.verdict, wrong.point) == (BUG, 1)
    assert wrong.reasons[0].endswith("; the given point is worth inspecting.")


def test_where_it_is_told():
    """The text leads with it after the verdict; a strict check fails with it; JSON has it."""
    check = checked(*sides((8, 1), (8,)))
    lines = str(check).splitlines()
    told = broken((8,), (8, 1), (8, 8)) + SUM
    assert lines[0].startswith("! Backpropagation is mostly correct, but worth inspecting.")
    assert lines[2] == f"- {told}"
    with pytest.raises(GradientCheckFailed) as error:
        check.raise_if_failed()
    assert str(error.value).endswith(told)
    said = json.loads(json.dumps(check.to_dict()))
    assert (said["verdict"], said["passed"], said["reasons"]) == ("INSPECT", False, [told])
    assert said["parameters"][0]["gradient_shape"] == [8]
    assert said["parameters"][0]["verdict"] == "INSPECT"
