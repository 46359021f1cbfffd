"""The user's gradient function is called the way it wants, and cannot damage its arguments."""

import numpy as np
import pytest

from gradcheck_magic import InputError
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
