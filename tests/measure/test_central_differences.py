"""`gradient_checking` returns the textbook's number, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ClassicExercise

from gradcheck_magic import check_gradients, gradient_checking


def plain_loop(theta, gradient, cost, epsilon=1e-7):
    """Run the textbook's own code: it copies θ and moves one entry in each copy."""
    gradient = np.asarray(gradient, dtype=float).ravel()
    approx = np.zeros(theta.size)
    for i in range(theta.size):
        plus, minus = np.copy(theta), np.copy(theta)
        plus[i] = plus[i] + epsilon
        minus[i] = minus[i] - epsilon
        approx[i] = (float(cost(plus)) - float(cost(minus))) / (2 * epsilon)
    scale = np.linalg.norm(approx) + np.linalg.norm(gradient)
    return np.linalg.norm(approx - gradient) / scale if scale else 0.0


def quartic(theta):
    return (theta**4).sum() / 4 + np.sin(theta).sum()


def flattened(container):
    return np.concatenate(
        [np.ravel(container[name]) for name in ("W1", "b1", "W2", "b2", "W3", "b3")]
    )


@pytest.mark.parametrize(
    ("bugs", "published"), [(True, 0.285093156781), (False, 1.18855520355e-07)]
)
def test_classic_exercise(bugs, published):
    """The numbers are those that every solution of the exercise prints."""
    net = ClassicExercise()
    found = check_gradients(net.params, net.grads(bugs=bugs), net.cost)
    assert found.difference == pytest.approx(published, rel=1e-3)


def test_classic_exercise_is_the_plain_loop():
    net = ClassicExercise()
    shapes = {name: array.shape for name, array in net.params.items()}
    stops = np.cumsum([array.size for array in net.params.values()])

    def cost(theta):
        parts = zip(shapes.items(), np.split(theta, stops[:-1]), strict=True)
        return net.cost({name: part.reshape(shape) for (name, shape), part in parts})

    grads = net.grads(bugs=True)
    gradient = np.concatenate([grads["d" + name].ravel() for name in shapes])
    expected = plain_loop(flattened(net.params), gradient, cost)
    assert gradient_checking(net.params, grads, cost) == expected
    assert check_gradients(net.params, grads, cost).difference == expected


finite = st.floats(-100, 100, allow_subnormal=False)


@settings(max_examples=200, deadline=None)
@given(
    theta=st.lists(finite, min_size=1, max_size=6),
    factor=finite,
    epsilon=st.sampled_from([1e-7, 1e-5, 1e-3, 0.1]),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_bit_for_bit(theta, factor, epsilon, dtype):
    """The last bit is right for every point, gradient, step and precision."""
    theta = np.array(theta, dtype=dtype)
    gradient = factor * (theta**3 + np.cos(theta))
    expected = plain_loop(theta, gradient, quartic, epsilon)
    assert gradient_checking(theta, gradient, quartic, epsilon) == expected


@pytest.mark.parametrize(
    "theta",
    [
        pytest.param(np.array([1.0, -2.0, 3.0]), id="float64"),
        pytest.param(np.array([1, -2, 3], dtype=np.float32), id="float32"),
        pytest.param(np.array([1, -2, 3], dtype=np.float16), id="float16"),
        pytest.param(np.array([[1.0], [-2.0], [3.0]]), id="a column"),
        pytest.param(np.arange(12.0).reshape(3, 4)[:, ::2], id="not contiguous"),
        pytest.param(np.asfortranarray(np.arange(6.0).reshape(2, 3)), id="Fortran order"),
    ],
)
def test_own_precision_and_layout(theta):
    gradient = 1.001 * (theta.astype(float) ** 3 + np.cos(theta.astype(float)))
    expected = plain_loop(theta.ravel(), gradient, quartic)
    assert gradient_checking(theta, gradient, quartic) == expected


def test_integers_become_float64():
    """With integers, `zeros_like` would cut every difference to 0."""
    theta = np.array([1, -2, 3])
    gradient = theta**3 + np.cos(theta)
    expected = plain_loop(theta.astype(float), gradient, quartic)
    assert gradient_checking(theta, gradient, quartic) == expected < 1e-7


def test_both_zero_is_zero():
    assert gradient_checking(np.ones(3), np.zeros(3), lambda theta: 7.0) == 0.0


def test_containers_are_flattened():
    """If the parameters are a list of arrays, the function is called with one flat θ."""
    params, seen = [np.ones((2, 2)), np.zeros(3)], []

    def cost(theta):
        seen.append(theta.shape)
        return quartic(theta)

    gradient_checking(params, [np.ones((2, 2)), np.ones(3)], cost)
    assert set(seen) == {(7,)}
