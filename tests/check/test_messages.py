"""Wrong use gives one line that names the culprit and says what was found and what to do."""

import itertools
from collections import OrderedDict, UserDict
from enum import Enum

import numpy as np
import pytest
import xarray

from gradcheck_magic import (
    GradientCheckInterrupted,
    InputError,
    check_gradients,
    gradient_checking,
)
from gradcheck_magic._inputs.parameters import describe_type


def square(params):
    arrays = params.values() if isinstance(params, dict) else params
    return float(sum(np.sum(np.asarray(array) ** 2) for array in arrays))


def ones(*shape):
    return np.ones(shape)


class Tensor:
    """A stand-in for an array of another library."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)


PAIRS = [
    pytest.param(
        [ones(2), ones(3)], [ones(2)],
        "`params` has 2 arrays, but `grads` has 1: give one gradient for each parameter, in the "
        "same order.",
        id="a gradient too few",
    ),
    pytest.param(
        {"W1": ones(3, 2)}, {"dW1": ones(2, 3)},
        "`dW1` has shape (2, 3), but `W1` has shape (3, 2): is it transposed?",
        id="transposed",
    ),
    pytest.param(
        {"W1": ones(3, 2)}, {"dW1": ones(3, 4)},
        "`dW1` has shape (3, 4), but `W1` has shape (3, 2): a gradient must have its parameter's "
        "shape.",
        id="another shape",
    ),
    pytest.param(
        [ones(4)], [ones(5)],
        "`grads[0]` has shape (5,), but `params[0]` has shape (4,): a gradient must have its "
        "parameter's shape.",
        id="another size",
    ),
    pytest.param(
        {"W1": ones(2), "b1": ones(1)}, {"dW1": ones(2), "db_1": ones(1)},
        "`grads` has no gradient for `b1`: expected `db1` (did you mean `db_1`?), found `dW1` and "
        "`db_1`.",
        id="a gradient misnamed",
    ),
    pytest.param(
        {"X": ones(2), "W1": ones(2), "b1": ones(1), "mean": ones(1)},
        {"dW1": ones(2), "db1": ones(1)},
        "`grads` has no gradient for `X`: expected `dX`, found `dW1` and `db1`. If `X` needs none, "
        "check the others with --only W1 b1 (in Python, only=['W1', 'b1']).",
        id="HARD: arrays that are no parameters",
    ),
    pytest.param(
        {"X": ones(2), **{f"W{k}": ones(2) for k in range(9)}},
        {f"dW{k}": ones(2) for k in range(9)},
        "`grads` has no gradient for `X`: expected `dX`, found `dW0`, `dW1`, `dW2`, `dW3`, `dW4`, "
        "`dW5`, `dW6`, `dW7` and 1 more. If `X` needs none, check the others with --only (in "
        "Python, only=[...]).",
        id="more than anybody copies",
    ),
    pytest.param(
        {"W1": ones(2)}, {"b1": ones(2)},
        "`grads` has no gradient for `W1`: expected `dW1`, found `b1`.",
        id="HARD: nothing that could be checked",
    ),
    pytest.param(
        {"W1": ones(8, 12)}, {"W1": ones()},
        "`grads['W1']` has shape (), but `W1` has shape (8, 12): a gradient must have its "
        "parameter's shape.",
        id="HARD: a gradient with its parameter's name",
    ),
    pytest.param(
        {"W1": ones(2)}, {"dW1": None},
        "`dW1` is None: give a gradient for `W1`.",
        id="a gradient never set",
    ),
    pytest.param(
        {"W1": ones(2), "b1": ones(1)}, ones(2),
        "`params` has 2 arrays, but `grads` has 1: give one gradient for each parameter.",
        id="a dict and one array",
    ),
    pytest.param(
        {"l1": {"W": ones(2)}}, {"dl1": ones(2)},
        "`dl1` is a numpy.ndarray, but `l1` is a dict: give both the same structure.",
        id="another structure",
    ),
    pytest.param(
        {"l": [ones(2)]}, {"dl": {"a": ones(2)}},
        "`dl` is a dict, but `l` is a list of length 1: give both the same structure.",
        id="a dict where a list is",
    ),
    pytest.param(
        [ones(2)], None, "`grads` is None: is a `return` missing in the function that computes it?",
        id="grads None",
    ),
    pytest.param(
        [ones(2), None, ones(1)], [ones(2), ones(1)],
        "`params` has 3 items, but `grads` has 2: give one gradient for each parameter, in the "
        "same order.",
        id="a missing bias forgotten",
    ),
    pytest.param([], [], "`params` contains no arrays: there is nothing to check.", id="nothing"),
    pytest.param(None, None, "`params` contains no arrays: there is nothing to check.", id="None"),
    pytest.param([ones(0)], [ones(0)],
        "`params` has no entries: there is nothing to check.", id="no entries"),
    pytest.param(
        {"W": np.array([[1.0, np.nan]])}, {"dW": ones(1, 2)},
        "`W[0, 1]` is nan: the gradient can only be checked if every parameter is finite.",
        id="nan in the parameters",
    ),
    pytest.param(
        {"W": ones(1)}, {"dW": np.array([1j])},
        "`dW` is complex, but `W` is real, and so is its gradient: take the real part, dW.real, if "
        "that is all that is wrong.",
        id="complex",
    ),
    pytest.param(
        {"W": np.array([1, np.nan * 1j])}, {"dW": ones(2)},
        "`W[1]` is (nan+nanj): the gradient can only be checked if every parameter is finite.",
        id="HARD: not a complex number",
    ),
    pytest.param(
        {"W": np.array([[1], [1, 2]], dtype=object)}, {"dW": ones(1)},
        "`W` has dtype object: expected real numbers; an array of objects often comes from lists "
        "of different lengths.",
        id="objects",
    ),
    pytest.param(
        {"W": np.array([True])}, {"dW": ones(1)},
        "`W` has dtype bool: expected real numbers.",
        id="truth values",
    ),
    pytest.param(
        {"W": np.zeros(1, [(f"field_{k}", float) for k in range(1000)])}, {"dW": ones(1)},
        "`W` has dtype [('field_0', '<f8'), ('field_1', '<f8'), ('field_2', '<f8'), ('field_3', "
        "'<f8'),...ield_998', '<f8'), ('field_999', '<f8')]: expected real numbers.",
        id="records",
    ),
    pytest.param(
        {"W": Tensor()}, {"dW": ones(2)},
        "`W` is a test_messages.Tensor: expected a NumPy array or a number; convert it with "
        "np.asarray.",
        id="another library's array",
    ),
    pytest.param(
        {"W": np.ma.array([1.0, 2.0])}, {"dW": ones(2)},
        "`W` is a masked array: pass a plain array, such as W.filled(0).",
        id="a masked array",
    ),
    pytest.param(
        {"l1": {"W": ones(2)}}, {"dl1": 3},
            "`dl1` is an int, but `l1` is a dict: give both the same structure.",
        id="a number where a dict is",
    ),
    pytest.param(
        [ones(2), ones(2)], {"dA": ones(2), "dB": ones(2)},
        "`grads` is a dict, but `params` is a list: give both as dicts, or both as lists.",
        id="a list and a dict",
    ),
    pytest.param(
        {"W": {1, 2}}, {"dW": ones(2)},
        "`W` is a set: expected a NumPy array or a number.",
        id="a set",
    ),
]  # fmt: skip


def sentence_of(check, *args, **options):
    with pytest.raises(InputError) as error:
        check(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("params", "grads", "message"), PAIRS)
def test_pairing(params, grads, message):
    assert sentence_of(check_gradients, params, grads, square) == message
    assert sentence_of(gradient_checking, params, grads, square) == message


def changes_in_place(params):
    params["W"] += 1
    return square(params)


def replaces(params):
    params["W"] = params["W"] * 2
    return square(params)


def takes_away(params):
    return float(np.sum(params.pop("W") ** 2))


def draws():
    counter = itertools.count()

    def cost(params):
        return square(params) * (1 + next(counter) / 100)

    return cost


def constant(params):
    return 0.25 + 0 * square(params)


COSTS = [
    pytest.param(
        lambda params: params["W"],
        "`cost_function` returned an array of shape (2,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient.",
        id="an array",
    ),
    pytest.param(
        lambda params: None,
        "`cost_function` returned None: is a `return` missing?", id="None",
    ),
    pytest.param(
        lambda params: "low",
        "`cost_function` returned a str: expected one real number.", id="a string",
    ),
    pytest.param(
        lambda params: np.nan,
        "`cost_function` is nan at the given parameters: the gradient can only be checked if the "
        "cost is finite.",
        id="nan",
    ),
    pytest.param(
        lambda params: np.inf,
        "`cost_function` is inf at the given parameters: the gradient can only be checked if the "
        "cost is finite.",
        id="infinite",
    ),
    pytest.param(
        changes_in_place,
        "`changes_in_place` changes its argument `W`: a cost must not change the parameters; let "
        "it work on a copy (W.copy()).",
        id="changes its argument",
    ),
    pytest.param(
        replaces,
        "`replaces` changes its argument `W`: a cost must not change the parameters; let it work "
        "on a copy (W.copy()).",
        id="replaces an array",
    ),
    pytest.param(
        takes_away,
        "`takes_away` changes its argument `W`: a cost must not change the parameters; let it work "
        "on a copy (W.copy()).",
        id="takes an array out",
    ),
    pytest.param(
        draws(),
        "`cost` returned 5 and then 5.15 for the same parameters: it is random. Make it repeatable "
        "(no dropout, a fixed seed, the same batch), or let every call draw the same random "
        "numbers with --reseed (in Python, reseed=True).",
        id="random",
    ),
    pytest.param(
        constant,
        "`constant` is 0.25 for all values of the parameters, but the gradient is not zero: it "
        "ignores its argument, and may read the notebook's variables instead.",
        id="constant",
    ),
    pytest.param(
        lambda a, b, c: 0.0,
        "`cost_function(a, b, c)` cannot be called: it must accept `params`, the flat θ, the "
        "arrays one by one (1 here), or no arguments.",
        id="too many arguments",
    ),
    pytest.param(
        3.0,
        "`cost_function` is a float: expected a function that returns the cost.", id="no function",
    ),
    pytest.param(
        3, "`cost_function` is an int: expected a function that returns the cost.", id="a vowel",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("cost", "message"), COSTS)
def test_costs(cost, message):
    W = np.array([1.0, 2.0])
    assert sentence_of(check_gradients, {"W": W}, {"dW": 2 * W}, cost) == message
    assert list(W) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "an int"),
        ({}, "a dict"),
        (None, "a NoneType"),
        (object(), "an object"),
        (Enum, "an enum.EnumType"),
        (OrderedDict(), "a collections.OrderedDict"),
        (np.uint8(3), "a numpy.uint8"),
        (UserDict(), "a collections.UserDict"),
        (xarray.DataArray(), "an xarray.DataArray"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kind(value, words):
    """The article fits the pronunciation."""
    assert describe_type(value) == words


OPTIONS = [
    pytest.param(
        {"epsilon": -1}, "`epsilon` is -1: expected a small positive number, such as 1e-7."
    ),
    pytest.param(
        {"epsilon": "x"}, "`epsilon` is 'x': expected a small positive number, such as 1e-7."
    ),
    pytest.param(
        {"only": ["V"]}, "`only` names `V`, which is not a parameter: choose from `W` and `b`."
    ),
    pytest.param(
        {"only": "w"},
        "`only` names `w`, which is not a parameter (did you mean `W`?): choose from `W` and `b`.",
    ),
    pytest.param({"only": []}, "`only` selects no entries: choose from `W` and `b`."),
    pytest.param({"only": 3}, "`only` is 3: expected a sequence of names."),
    pytest.param({"names": 3}, "`names` is 3: expected a sequence of names."),
    pytest.param(
        {"names": ["one"]}, "`names` has 1 name for 2 arrays: give one name for each array."
    ),
    pytest.param({"names": [1, 2]}, "`names` contains 1: expected strings, or a namespace."),
    pytest.param({"mode": "fast"}, "`mode` is 'fast': expected auto, full, scan."),
    pytest.param(
        {"points": 3},
        "`points` is 3, but `grads` is the gradient at the given point only: pass `grads` as a "
        "function of the parameters.",
    ),
    pytest.param({"points": 0}, "`points` is 0: expected a positive integer."),
    pytest.param(
        {"workers": 0},
        "`workers` is 0: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor().",
    ),
    pytest.param({"budget": 0}, "`budget` is 0: expected a number of seconds, such as 10."),
    pytest.param({"budget": "5"}, "`budget` is '5': expected a number of seconds, such as 10."),
    pytest.param({"budget": True}, "`budget` is True: expected a number of seconds, such as 10."),
    pytest.param({"seed": -1}, "`seed` is -1: expected a non-negative integer."),
    pytest.param(
        {"upstream": np.array(1j)},
        "`upstream` is complex, but `square` returned an array that is real: dJ/d(output) must be "
        "real, too.",
    ),
    pytest.param(
        {"upstream": square},
        "`upstream` is a function (object): expected dJ/d(output), an array of real numbers.",
    ),
    pytest.param(
        {"names": ["a", "a"]}, "`names` contains `a` more than once: give each array its own name."
    ),
    pytest.param(
        {"call": "flatly"},
        "`call` is 'flatly': expected auto, structured, flat, arguments, closure.",
    ),
    pytest.param(
        {"call": "closure"},
        "`square(params)` cannot be called with call='closure': it must accept `params`, the flat "
        "θ, the arrays one by one (2 here), or no arguments.",
    ),
    pytest.param(
        {"upstream": np.ones(3)},
        "`upstream` has shape (3,), but `square` returned an array of shape (): dJ/d(output) must "
        "have the shape of the output.",
    ),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options(options, message):
    params, grads = {"W": ones(2), "b": ones(1)}, {"dW": 2 * ones(2), "db": 2 * ones(1)}
    assert sentence_of(check_gradients, params, grads, square, **options) == message


CLOSURES = [
    pytest.param(np.array([1, 2]), "`W` (int64)", id="integers"),
    pytest.param(2.0, "`W` (a plain number)", id="a plain number"),
    pytest.param(np.broadcast_to(1.0, (2,)), "`W` (read-only)", id="read-only"),
]


@pytest.mark.parametrize(("W", "found"), CLOSURES)
def test_closures(W, found):
    """Parameters that cannot be perturbed in place cannot be read from the notebook."""
    message = (
        f"`cost` reads {found} from the notebook, where it is perturbed in place: make it a "
        "writable array of floats, or an argument of the function."
    )

    def cost():
        return float(np.sum(np.square(W)))

    assert sentence_of(check_gradients, {"W": W}, {"dW": 2 * np.asarray(W)}, cost) == message


def test_closure_of_other_arrays():
    W, other = ones(2), ones(2)

    def cost():
        return float(np.sum(other**2))

    assert sentence_of(check_gradients, {"W": W}, {"dW": 2 * W}, cost) == (
        "`cost` is 2 for all values of the parameters, but the gradient is not zero: it reads "
        "arrays other than those in `params`."
    )


def test_closure_that_changes_the_notebook():
    """The change is undone and reported."""
    W = ones(2)

    def cost():
        W[0] += 1
        return float(np.sum(W**2))

    assert sentence_of(check_gradients, {"W": W}, {"dW": 2 * W}, cost) == (
        "`cost` changes the notebook's `W`: a cost must not change the parameters; let it work on "
        "a copy (W.copy())."
    )
    assert list(W) == [1.0, 1.0]


def test_change_in_the_middle_of_the_pass():
    """A function that behaves well at first is caught at the end."""
    calls = itertools.count()

    def cost(params):
        if next(calls) == 30:
            params["W"][1] += 1
        return square(params)

    W = ones(20)
    message = sentence_of(check_gradients, {"W": W}, {"dW": 2 * W}, cost)
    assert message.startswith("`cost` changes its argument `W`")


def test_user_error_at_theta_passes_through():
    """The error is the user's, and so is its traceback."""

    def cost(params):
        return params["V"].sum()

    with pytest.raises(KeyError) as error:
        check_gradients({"W": ones(2)}, {"dW": ones(2)}, cost)
    assert error.traceback[-1].name == "cost"


def test_furthest_error_is_shown():
    """If called in a wrong way, a function fails early; the error of the right way is shown."""

    def cost(theta):
        W = theta[:4].reshape(2, 2)
        return float(W @ ones(3))

    with pytest.raises(ValueError, match="matmul"):
        check_gradients([ones(2, 2), ones(1)], [ones(2, 2), ones(1)], cost)


def test_user_error_at_a_perturbed_point():
    """A note says where it happened."""

    def cost(theta):
        if theta[1] > 4:
            raise ValueError("out of range")
        return float(theta @ theta)

    with pytest.raises(ValueError, match="out of range") as error:
        check_gradients(np.array([1.0, 4.0]), np.array([2.0, 8.0]), cost)
    assert error.value.__notes__ == [
        "This happened with `params[1]` moved by 1e-07; at the parameters themselves `cost` works."
    ]


@pytest.mark.parametrize(("k", "message"), [(0, "0 of 4 entries were"), (1, "1 of 4 entries was")])
def test_interrupted(k, message):
    """The verb is in the singular or the plural."""
    x = np.arange(1.0, 5.0)
    given = x.copy()

    def cost(x):
        if np.flatnonzero(x != given).tolist() == [k]:
            raise KeyboardInterrupt
        return float(x @ x)

    with pytest.raises(GradientCheckInterrupted) as interrupt:
        check_gradients(x, 2 * x, cost)
    assert str(interrupt.value).startswith(f"{message} checked; ")
    assert f"Interrupted: {message} measured." in str(interrupt.value.check)
