"""Every parameter gets its gradient, and every entry its place in θ and among those checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import require

from gradcheck_magic import InputError
from gradcheck_magic._inputs.pairing import pair

require("ml_dtypes", hint="pip install -e '.[test]'")
from ml_dtypes import bfloat16  # noqa: E402

PARAMS = {"a": np.zeros(2), "W": np.zeros((2, 3)), "b": np.zeros(4), "c": 0.5}
SIZES = {"a": 2, "W": 6, "b": 4, "c": 1}
# Entries are counted from 0, over all of θ.
STARTS = {"a": 0, "W": 2, "b": 8, "c": 12}


def counting(name):
    first = STARTS[name]
    return np.arange(first, first + SIZES[name], dtype=float).reshape(np.shape(PARAMS[name]))


only = st.sets(st.sampled_from(sorted(PARAMS)), min_size=1)


@settings(max_examples=40, deadline=None)
@given(only)
def test_where_entries_stand(names):
    """The gradient of each entry is its place in θ, so both must agree."""
    checked = [name for name in PARAMS if name in names]
    pairing = pair(PARAMS, {f"d{n}": counting(n) for n in checked}, only=checked)
    size = sum(SIZES[name] for name in checked)
    assert pairing.size == size
    assert pairing.indices.tolist() == [
        k for n in checked for k in range(STARTS[n], STARTS[n] + SIZES[n])
    ]
    assert pairing.analytic.tolist() == pairing.indices.tolist()
    parts = [(parameter.name, part.stop - part.start) for parameter, part in pairing.parts()]
    assert parts == [(name, SIZES[name]) for name in checked]


@pytest.mark.parametrize("style", ["d{}", "{}", "grad_{}", "{}_grad", "d_{}", "grad{}"])
def test_styles_of_names(style):
    """A gradient that has the name of its parameter is told apart from it by its container."""
    pairing = pair(PARAMS, {style.format(name): counting(name) for name in PARAMS})
    told = "grads['{}']" if style == "{}" else style
    assert pairing.gradient_names == tuple(told.format(name) for name in PARAMS)
    assert pairing.analytic.tolist() == list(range(13))


@pytest.mark.parametrize(("key", "name"), [
    ("W", "slopes['layer'].W"), ("dW", "slopes['layer'].dW"),
])  # fmt: skip
def test_names_of_nested_gradients(key, name):
    slopes = {"layer": {key: counting("W")}}
    pairing = pair({"layer": {"W": PARAMS["W"]}}, slopes, names={"slopes": slopes})
    assert pairing.gradient_names == (name,)
    assert pairing.checked[0].name == "layer.W"


@pytest.mark.parametrize(("only", "expected"), [(["W", "c"], ("a", "b")), (None, ())])
def test_what_is_left_out(only, expected):
    pairing = pair(PARAMS, {f"d{name}": counting(name) for name in PARAMS}, only=only)
    assert pairing.not_checked == expected


def test_best_style_wins():
    """A dict may hold both parameters and gradients, as a cache does."""
    grads = {"W": np.ones(2), "dW": np.full(2, 2.0), "db": np.full(1, 3.0)}
    pairing = pair({"W": np.zeros(2), "b": np.zeros(1)}, grads)
    assert pairing.gradient_names == ("dW", "db")


W = np.zeros((2, 3))
FITTING = [
    pytest.param([[1, 2, 3], [4, 5, 6]], id="lists of whole numbers"),
    pytest.param(np.arange(1.0, 7).reshape(2, 3)[::1, ::1], id="an array"),
    pytest.param(np.asfortranarray(np.arange(1, 7).reshape(2, 3)), id="Fortran order"),
    pytest.param(np.arange(1.0, 7).reshape(1, 2, 3), id="HARD: axes of length 1 do not count"),
    pytest.param(np.arange(1, 7).reshape(2, 3).astype("f2"), id="half precision"),
]


@pytest.mark.parametrize("gradient", FITTING)
def test_flat_in_c_order(gradient):
    pairing = pair({"W": W}, {"dW": gradient})
    assert pairing.gradients[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert pairing.gradients[0].dtype == np.float64
    assert pairing.gradient_shapes == (np.shape(gradient),)


@pytest.mark.parametrize(
    ("dtype", "eps"),
    [
        ("f8", 2.0**-52),
        ("f4", 2.0**-23),
        ("f2", 2.0**-10),
        (bfloat16, 2.0**-7),
        ("i8", 2.0**-52),
    ],
)
def test_precision(dtype, eps):
    assert pair(W, W.astype(dtype)).gradient_eps == (eps,)
    # One vector for all is as precise as its parts.
    both = np.concatenate([W, W]).ravel().astype(dtype)
    assert pair([W, W], both).gradient_eps == (eps, eps)


MISFITS = [
    (
        {"W": W},
        {"dW": W.T},
        r"`dW` has shape \(3, 2\), but `W` has shape \(2, 3\): is it trans",
    ),
    ({"W": W}, {"dW": W[:1]}, "a gradient must have its parameter's shape"),
    ({"W": W}, {"dW": None}, "`dW` is None: give a gradient for `W`"),
    ({"W": W, "b": W}, {"dW": W}, "no gradient for `b`: expected `db`, found `dW`"),
    ({"W1": W, "W2": W}, {"dW1": W, "dw2": W}, "expected `dW2`"),
    ([W, W], [W], "has 2 arrays, but .* has 1: give one gradient for each parameter"),
    ([W, W], {"x": W, "y": W}, "give both as dicts, or both as lists"),
    ({"W": W}, None, "is None: is a `return` missing"),
    ({"W": W}, lambda p: p, "is a function: call it, and pass its result"),
]


@pytest.mark.parametrize(("params", "grads", "said"), MISFITS)
def test_misfits(params, grads, said):
    with pytest.raises(InputError, match=said):
        pair(params, grads)


def test_one_vector_for_all():
    pairing = pair(PARAMS, np.arange(13.0))
    assert pairing.analytic.tolist() == list(range(13))
    assert "was split in the order of" in pairing.notes[0]


def test_shared_memory_is_noted():
    theta = np.zeros(6)
    pairing = pair({"a": theta[:4], "b": theta[2:]}, {"a": np.ones(4), "b": np.ones(4)})
    assert pairing.notes == ("`a` and `b` share memory: each was moved individually, in a copy.",)


@pytest.mark.parametrize(
    ("sizes", "slopes", "expected"),
    [
        pytest.param([1.0, 2.0], [3.0, 0.5], (3.0, 1.5), id="of one size"),
        # Joules and kelvins: each moves the cost by about 0.1.
        pytest.param([1e-21, 300.0], [1e20, 4e-4], (1e20, 4e-4), id="in units of physics"),
        pytest.param([0.0, 2.0], [3.0, 0.5], (3.0, 1.5), id="zero counts as 1"),
        pytest.param([1.0, 1.0], [np.inf, 0.5], (0.5, 0.5), id="not finite"),
        pytest.param([1.0, 1.0], [0.0, 0.0], (0.0, 0.0), id="no gradient"),
    ],
)
def test_the_largest_of_all_in_the_units_of_each(sizes, slopes, expected):
    """Gradients by parameters in different units are compared by what they move the cost."""
    params = {name: np.array([size]) for name, size in zip("ab", sizes, strict=True)}
    grads = {name: np.array([slope]) for name, slope in zip("ab", slopes, strict=True)}
    assert pair(params, grads).largest_beside == pytest.approx(expected)


THETA = np.arange(10.0)
MATRIX, COLUMN = np.arange(6.0).reshape(2, 3), np.arange(6.0, 10).reshape(4, 1)
SPLIT = [
    pytest.param([MATRIX, COLUMN], None, ["theta[0]", "theta[1]"], id="a list"),
    pytest.param((MATRIX, COLUMN), None, ["theta[0]", "theta[1]"], id="a tuple"),
    pytest.param({"dW": MATRIX, "db": COLUMN}, None, ["W", "b"], id="a dict"),
    pytest.param([MATRIX, COLUMN], {"dW": MATRIX, "db": COLUMN}, ["W", "b"], id="of variables"),
    pytest.param(
        {"Theta1_grad": MATRIX, "Theta2_grad": COLUMN}, None, ["Theta1", "Theta2"],
        id="in another style",
    ),
    pytest.param({"W": MATRIX, "b": COLUMN}, None, ["W", "b"], id="HARD: in no style"),
    pytest.param(
        {"dW": MATRIX, "W_grad": COLUMN}, None, ["dW", "W_grad"], id="HARD: two of the same name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("grads", "variables", "expected"), SPLIT)
def test_a_flat_vector_is_split_like_its_gradients(grads, variables, expected):
    names = {"theta": THETA, "grads": grads} | (variables or {})
    pairing = pair(THETA, grads, names=names)
    assert [parameter.name for parameter in pairing.checked] == expected
    assert [parameter.shape for parameter in pairing.checked] == [(2, 3), (4, 1)]
    assert pairing.analytic.tolist() == THETA.tolist() == pairing.parameters.theta().tolist()
    assert pairing.notes[0] == "`theta` was split like `grads`, row by row."
    # They are parts of the user's own vector.
    assert all(np.shares_memory(parameter.array, THETA) for parameter in pairing.checked)


NOT_SPLIT = [
    pytest.param(THETA, THETA.copy(), id="one vector"),
    pytest.param(THETA, [THETA.copy()], id="in a list"),
    pytest.param(THETA, THETA.reshape(-1, 1), id="HARD: a column"),
    pytest.param(THETA, THETA.tolist(), id="HARD: a list of numbers"),
]


@pytest.mark.parametrize(("theta", "grads"), NOT_SPLIT)
def test_what_is_not_split(theta, grads):
    pairing = pair(theta, grads, names={"theta": theta})
    assert [parameter.name for parameter in pairing.checked] == ["theta"]
    assert pairing.analytic.tolist() == theta.tolist()
    assert pairing.notes == ()


@pytest.mark.parametrize(
    ("grads", "said"),
    [
        pytest.param(
            [MATRIX, COLUMN[:3]],
            "`grads` is a list: expected a NumPy array or a number.",
            id="too few",
        ),
        pytest.param(
            {"dW": MATRIX},
            "`dW` has shape (2, 3), but `theta` has shape (10,): a gradient must have its "
            "parameter's shape.",
            id="one is missing",
        ),
    ],
)
def test_what_cannot_be_split(grads, said):
    with pytest.raises(InputError) as caught:
        pair(THETA, grads, names={"theta": THETA, "grads": grads})
    assert str(caught.value) == said


def test_a_flat_gradient_of_a_matrix():
    pairing = pair(MATRIX, MATRIX.ravel(), names={"W": MATRIX})
    assert pairing.notes == ("`grads` is one vector: it was read row by row, in the shape of `W`.",)
    assert pairing.analytic.tolist() == MATRIX.ravel().tolist()
    # HARD: column by column, it is another gradient.
    assert pair(MATRIX, MATRIX.T.ravel()).analytic.tolist() != pairing.analytic.tolist()
    # HARD: a row or a column is no matrix.
    assert pair(COLUMN, COLUMN.ravel()).notes == ()


@pytest.mark.parametrize(("params", "grads", "name"), [
    pytest.param(lambda w: w, lambda w: w, "grads", id="an array"),
    pytest.param(lambda w: [w], lambda w: [w], "grads[0]", id="in a list"),
    pytest.param(lambda w: {"w": w}, lambda w: {"dw": w}, "dw", id="in a dict"),
])  # fmt: skip
def test_a_gradient_that_is_its_parameter_has_another_name(params, grads, name):
    w = np.ones(3)
    found = pair(params(w), grads(w), names={"w": w})
    assert (found.checked[0].name, found.gradient_names) == ("w", (name,))
