"""The user's gradient function is called the way it wants, and cannot damage its arguments."""

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients
from gradcheck_magic._cost.gradient_function import moved_in_place, pair_at, point_around
from gradcheck_magic._inputs.pairing import pair

W, b = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([0.25, -4.0])
PARAMS = {"W": W, "b": b}
CALLS = [
    pytest.param(lambda p: {"dW": 2 * p["W"], "db": 3 * p["b"]}, id="with the container"),
    pytest.param(lambda theta: [2 * theta[:4].reshape(2, 2), 3 * theta[4:]], id="with θ"),
    pytest.param(lambda W, b: {"W": 2 * W, "b": 3 * b}, id="one by one"),
    pytest.param(lambda first, second: (2 * first, 3 * second), id="by position"),
    pytest.param(lambda: {"dW": 2 * W, "db": 3 * b}, id="with nothing"),
    pytest.param({"dW": 2 * W, "db": 3 * b}, id="no function"),
]


@pytest.mark.parametrize("grads", CALLS)
def test_called_as_it_wants(grads):
    pairing, _ = pair_at(PARAMS, [grads])
    assert [g.tolist() for g in pairing.gradients] == [(2 * W).ravel().tolist(), (3 * b).tolist()]


def test_only_some():
    pairing, _ = pair_at(PARAMS, [lambda p: {"db": 3 * p["b"]}], only=["b"])
    assert [parameter.name for parameter in pairing.checked] == ["b"]


def updates_its_argument(p):
    grads = {"dW": 2 * p["W"], "db": 3 * p["b"]}
    p["W"] -= 0.1 * grads["dW"]
    return grads


def updates_first(p):
    p["b"] *= 0.9
    return {"dW": 2 * p["W"], "db": 3 * p["b"]}


def replaces_an_array(p):
    grads = {"dW": 2 * p["W"], "db": 3 * p["b"]}
    p["b"] = p["b"] - 0.1 * grads["db"]
    return grads


def updates_the_notebook(p):
    W[0] -= 1
    return {"dW": 2 * p["W"], "db": 3 * p["b"]}


def updates_without_arguments():
    W[1] -= 1
    return {"dW": 2 * W, "db": 3 * b}


@pytest.mark.parametrize(("grads", "changed"), [
    pytest.param(updates_its_argument, "its argument `W`", id="after it was computed"),
    pytest.param(updates_first, "its argument `b`", id="before it is computed"),
    pytest.param(replaces_an_array, "its argument `b`", id="by another array"),
    pytest.param(updates_the_notebook, "the notebook's `W`", id="HARD: although it gets copies"),
    pytest.param(updates_without_arguments, "the notebook's `W`", id="with nothing"),
])  # fmt: skip
def test_it_must_not_change_the_parameters(grads, changed):
    before = W.tobytes(), b.tobytes()
    with pytest.raises(InputError) as caught:
        pair_at(PARAMS, [grads], names={"backward": grads})
    name = changed[-2]
    assert str(caught.value) == (
        f"`backward` changes {changed}: a gradient function must not change the parameters; let it "
        f"work on a copy ({name}.copy())."
    )
    assert (W.tobytes(), b.tobytes()) == before


def test_what_it_adds_to_its_argument_is_not_seen():
    def adds(p):
        p["cache"] = p["W"] + 1
        return {"dW": 2 * p["W"], "db": 3 * p["b"]}

    assert pair_at(PARAMS, [adds])[0].gradients[0].tolist() == (2 * W).ravel().tolist()


async def coroutine(p):
    return p


@pytest.mark.parametrize(
    ("grads", "error", "said"),
    [
        pytest.param(lambda p: p["W"] / None, TypeError, "unsupported", id="its own error"),
        pytest.param(lambda p: None, InputError, "None", id="nothing is returned"),
        pytest.param(lambda p: {"dW": W}, InputError, "no gradient for `b`", id="one is missing"),
        pytest.param(coroutine, InputError, "returned a coroutine", id="async"),
        pytest.param(lambda a, b, c: a, InputError, "cannot be called", id="three arguments"),
    ],
)
def test_what_is_said(grads, error, said):
    """The error is that of the most likely way to call it, whatever the other ways raise."""
    with pytest.raises(error, match=said):
        pair_at(PARAMS, [grads])


def test_point_around():
    """Every entry moves by at most a tenth of its size, by an amount set by the seed alone."""
    parameters = pair(PARAMS, PARAMS).parameters
    points = [point_around(parameters, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    theta = parameters.theta()
    for point in points:
        assert (point != theta).all()
        assert (np.abs(point - theta) <= 0.1 * np.maximum(np.abs(theta), 1) + 1e-15).all()
    assert (points[0] == points[1]).all()
    assert (points[0] != points[2]).any()


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_moved_in_place(error):
    """The user's own arrays move, in any layout, and fixed ones do not."""
    own = {"W": np.asfortranarray(W), "b": np.array([9.0, 0.1, 9.0, 0.2])[1::2], "c": np.ones(2)}
    before = [array.tobytes() for array in own.values()]
    parameters = pair(own, own, only=["W", "b"]).parameters
    point = parameters.theta() + 1
    seen = []

    def look():
        with moved_in_place(parameters, point):
            seen.extend(array.copy() for array in own.values())
            if error is not None:
                raise error

    if error is None:
        look()
    else:
        with pytest.raises(error):
            look()
    assert (seen[0] == own["W"] + 1).all()
    assert (seen[1] == own["b"] + 1).all()
    assert (seen[2] == 1).all()
    assert [array.tobytes() for array in own.values()] == before


def value(p):
    return np.sum(p["W"] ** 2) + 1.5 * np.sum(p["b"] ** 2)


def slopes(p, factor=1.0):
    return {"dW": 2 * p["W"], "db": 3 * factor * p["b"]}


def returning(what):
    """Return a cost that returns something made of its value, the parameters and the gradients."""
    return lambda p, factor=1.0: what(value(p), p, slopes(p, factor))


FIRST = "the first was used as the cost"
LATER = "the only number was used as the cost"
RETURNED = [
    pytest.param(lambda j, p, g: (j, g), FIRST, id="a dict"),
    pytest.param(lambda j, p, g: (j, g["dW"], g["db"]), FIRST, id="one by one"),
    pytest.param(lambda j, p, g: (j, list(g.values())), FIRST, id="a list"),
    pytest.param(lambda j, p, g: (j, tuple(g.values())), FIRST, id="a tuple"),
    pytest.param(
        lambda j, p, g: (j, np.append(g["dW"], g["db"])), FIRST, id="one vector",
    ),
    pytest.param(lambda j, p, g: (g, j), LATER, id="the cost last"),
    pytest.param(lambda j, p, g: (g["dW"], g["db"], j), LATER, id="HARD: one by one before it"),
    pytest.param(lambda j, p, g: (j, g, np.ones(3)), FIRST, id="and the last state"),
    pytest.param(lambda j, p, g: (j, np.ones(3), g), FIRST, id="after a state"),
    pytest.param(lambda j, p, g: (j, 0.5, g), FIRST, id="after the accuracy"),
    pytest.param(lambda j, p, g: (j, None, "cost", g), FIRST, id="after nothing in particular"),
    pytest.param(lambda j, p, g: ((j, 0.5), g), FIRST, id="beside a tuple"),
    pytest.param(lambda j, p, g: (np.array([[j]]), g), FIRST, id="HARD: the cost is an array"),
    pytest.param(lambda j, p, g: [j, g], FIRST, id="in a list"),
    pytest.param(lambda j, p, g: [j, g["dW"], g["db"]], FIRST, id="HARD: one by one in a list"),
    pytest.param(lambda j, p, g: (j, {**p, **g}), FIRST, id="HARD: beside the parameters"),
    pytest.param(
        lambda j, p, g: (j, {k: v.copy() for k, v in p.items()}, g), FIRST,
        id="HARD: after copies of the parameters",
    ),
    pytest.param(lambda j, p, g: (j, dict(p), g), FIRST, id="HARD: after a cache of parameters"),
    pytest.param(
        lambda j, p, g: (j, (p["W"], p["b"]), g), FIRST, id="HARD: in a tuple",
    ),
    pytest.param(
        lambda j, p, g: (j, [p["W"].T.T, p["b"][:]], g), FIRST, id="HARD: of views",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "used"), RETURNED)
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.CORRECT), (1.1, Verdict.BUG)])
def test_gradients_that_the_cost_returns(what, used, factor, verdict):
    cost = returning(what)
    before = W.tobytes(), b.tobytes()
    check = check_gradients(PARAMS, None, lambda p: cost(p, factor))
    assert check.verdict is verdict
    assert {name for name, _ in check.wrong_entries} == (set() if factor == 1 else {"b"})
    *_, source, value = check.notes
    assert source == "The gradients are those that the cost returns besides its value."
    assert value == f"`cost_function` returns several values: {used}."
    assert (W.tobytes(), b.tobytes()) == before


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.CORRECT), (1.1, Verdict.BUG)])
def test_the_gradient_may_be_the_parameters(factor, verdict):
    """Copies of the parameters are taken for the gradient only where nothing else is there."""
    check = check_gradients(W, None, lambda w: (np.sum(w**2) / 2 * factor, w.copy()))
    assert check.verdict is verdict


NOT_RETURNED = [
    pytest.param(lambda j, p, g: [j, p], id="HARD: a list with a cache of the parameters"),
    pytest.param(lambda j, p, g: [g["dW"], g["db"], j], id="HARD: a list with the cost last"),
    pytest.param(lambda j, p, g: j, id="only the cost"),
    pytest.param(lambda j, p, g: (j, p), id="HARD: a cache of the parameters"),
    pytest.param(lambda j, p, g: (j, (p["W"], g["db"])), id="HARD: one of which is a parameter"),
    pytest.param(lambda j, p, g: (j, p["W"][::-1], g["db"]), id="HARD: or a view of one"),
    pytest.param(lambda j, p, g: (j, g["dW"]), id="one is missing"),
    pytest.param(lambda j, p, g: (j, {"dW": g["dW"]}), id="one is missing in a dict"),
    pytest.param(lambda j, p, g: (j, g["dW"].T, g["db"][:1]), id="of other shapes"),
    pytest.param(lambda j, p, g: (j, None), id="None"),
]


@pytest.mark.parametrize("what", NOT_RETURNED)
def test_what_is_no_gradient(what):
    with pytest.raises(InputError) as caught:
        check_gradients(PARAMS, None, returning(what))
    assert str(caught.value) == (
        "`grads` is None: is a `return` missing in the function that computes it?"
    )


STALE = {"dW1": np.ones((3, 3)), "db1": np.ones(3)}
WRONG = {"dW": 3 * W, "db": 3 * b}


def returned(pairing):
    return [gradient.tolist() for gradient in pairing.gradients]


@pytest.mark.parametrize(
    ("grads", "used"),
    [
        pytest.param(STALE, "cost", id="of another network"),
        pytest.param({"dW": np.ones((3, 3)), "db": b}, "cost", id="of other shapes"),
        pytest.param("a string", "cost", id="no gradients at all"),
        pytest.param(WRONG, "grads", id="HARD: wrong, but they fit"),
    ],
)
def test_what_does_not_fit_gives_way(grads, used):
    """Unless the user has asked for it, `grads` is only the likeliest of several sources."""
    cost = returning(lambda j, p, g: (j, g))
    pairing, source = pair_at(PARAMS, [grads, None, cost], cost_function=cost)
    assert source is (cost if used == "cost" else grads)
    expected = slopes(PARAMS) if used == "cost" else WRONG
    assert returned(pairing) == [value.ravel().tolist() for value in expected.values()]


GIVEN = [
    pytest.param(
        STALE,
        "`grads` has no gradient for `W`: expected `dW` (did you mean `dW1`?), found `dW1` and "
        "`db1`.",
        id="of another network",
    ),
    pytest.param(
        {"dW": np.ones((3, 3)), "db": b},
        "`dW` has shape (3, 3), but `W` has shape (2, 2): a gradient must have its parameter's "
        "shape.",
        id="of other shapes",
    ),
]


@pytest.mark.parametrize(("grads", "said"), GIVEN)
@pytest.mark.parametrize("is_returned", [True, False])
def test_what_is_said_of_the_first(grads, said, is_returned):
    """What the user has named is meant; and if nothing fits, the first is what is told."""
    cost = returning(lambda j, p, g: (j, g) if is_returned else j)
    sources = [grads] if is_returned else [grads, None, cost]
    with pytest.raises(InputError) as caught:
        pair_at(PARAMS, sources, cost_function=cost)
    assert str(caught.value) == said


NOTEBOOK = """
import numpy as np
params = {"W": np.array([[1.0, -2.0], [3.0, 0.5]]), "b": np.array([0.25, -4.0])}

def cost(params):
    W, b = params["W"], params["b"]
    return np.sum(W**2) + 1.5 * np.sum(b**2), {"dW": 2 * W, "db": slip * b}
"""


@pytest.mark.parametrize(
    ("grads", "line", "said"),
    [
        pytest.param("", "", "", id="there are none"),
        pytest.param("grads = {'dW1': np.ones(3)}", "", "", id="of another network"),
        pytest.param(
            "grads = {'dW1': np.ones(3)}",
            "-g grads",
            "`grads` has no gradient for `W`: expected `dW` (did you mean `dW1`?), found `dW1`.",
            id="HARD: but asked for",
        ),
        pytest.param(
            "",
            "-g grads",
            "`grads` is not defined: assign it before the check, or name what to use with --grads.",
            id="HARD: asked for, and not there",
        ),
        pytest.param("J, grads = cost(params)", "", "", id="unpacked before"),
    ],
)
@pytest.mark.parametrize("slip", [3.0, 3.5])
def test_in_a_notebook(run, grads, line, said, slip):
    run(f"slip = {slip}\n{NOTEBOOK}\n{grads}")
    if said:
        with pytest.raises(InputError) as caught:
            run(f"%gradcheck {line} -c cost")
        assert str(caught.value) == said
        return
    check = run(f"%gradcheck {line} -c cost")
    assert check.verdict is (Verdict.BUG if slip > 3 else Verdict.CORRECT)
    assert {name for name, _ in check.wrong_entries} == ({"b"} if slip > 3 else set())
