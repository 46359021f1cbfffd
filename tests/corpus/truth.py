"""The true derivative, from autograd, which knows nothing of the handwritten backward passes."""

from dataclasses import replace

import numpy as np

# Where kinks meet, the gradients at so many points near by are taken, and every so many compared
# with autograd's.
NEAR_BY, COMPARED = 1000, 250


def slopes(problem):
    """Return the two one-sided slopes of every entry, in order; equal where differentiable.

    With one kink on each entry's line, the cost follows one of two smooth branches on either side,
    and their derivatives are those that take 0 and 1 as the derivative at the kink.
    """
    double = problem.in_double()
    if problem.kinks_meet:
        return near_by(double)
    if "tie" not in problem.data:
        truth = differentiate(double)
        return truth, truth
    one, other = differentiate(double.with_tie(0.0)), differentiate(double.with_tie(1.0))
    lower, upper = {}, {}
    for name in one:
        a, b = one[name], other[name]
        # The branches round differently even where they are the same.
        b = np.where(np.abs(a - b) <= 1e-13 * np.abs(a).max(initial=1e-300), a, b)
        lower[name], upper[name] = np.minimum(a, b), np.maximum(a, b)
    # There is a kink where one was planted, and nowhere else.
    found = any((lower[name] < upper[name]).any() for name in lower)
    assert found == problem.kinked, problem.family.name
    return lower, upper


def near_by(problem):
    """Return the least and the greatest slope of every entry near the point, where kinks meet.

    Each parameter is moved by its own random distance, so that all kinds of regions are visited:
    the smallest around a kink are those in which a bias has moved further than the weights. What
    lies between the extremes also lies between limits of gradients.
    """
    rng = np.random.default_rng(0)
    at = []
    for k in range(NEAR_BY):
        moved = replace(problem, params=moved_a_little(problem, rng))
        at.append(moved.gradient())
        if k % COMPARED == 0:
            truth = differentiate(moved)
            assert_right(moved, truth, truth)
    here, lower, upper = problem.gradient(), {}, {}
    for name in problem.params:
        grads = np.array([each[name] for each in at])
        low, high = grads.min(axis=0), grads.max(axis=0)
        # Without a kink, the slope differs only as much as it does so near by.
        little = 1e-5 * np.abs(grads).max(initial=1e-300)
        smooth = high - low <= little
        lower[name] = np.where(smooth, here[name], low - little)
        upper[name] = np.where(smooth, here[name], high + little)
        assert (here[name] >= low - little).all(), (problem.family.name, name)
        assert (here[name] <= high + little).all(), (problem.family.name, name)
    assert any((lower[name] < upper[name]).any() for name in lower), problem.family.name
    return lower, upper


def moved_a_little(problem, rng):
    """Return the parameters, moved by 1e-11 to 1e-8 of their lengths."""
    return {
        name: value
        + problem.lengths.get(name, 1.0)
        / problem.units.get(name, 1.0)
        * 10 ** rng.uniform(-11, -8)
        * rng.normal(size=value.shape)
        for name, value in problem.params.items()
    }


def differentiate(problem):
    """Return autograd's derivative at the point of the problem, in double precision."""
    import autograd  # noqa: PLC0415  # only the truth needs autograd; the rest works without it
    import autograd.numpy as anp  # noqa: PLC0415

    truth = autograd.grad(lambda params: problem.value(anp, params))(problem.params)
    for name in problem.family.without_gradient:
        if name in truth:
            truth[name] = np.zeros_like(truth[name])
    return {name: np.array(truth[name], dtype=float) for name in problem.params}


def assert_right(problem, lower, upper):
    """Assert that the handwritten gradient is autograd's; otherwise the corpus is worthless."""
    double = problem.in_double()
    grads = double.gradient()
    most = max(np.abs(upper[name]).max() for name in upper)
    for name, grad in grads.items():
        off = np.abs(grad - np.clip(grad, lower[name], upper[name])).max()
        largest = np.maximum(np.abs(lower[name]), np.abs(upper[name])).max()
        allowed = 1e-9 * largest if largest else 1e-12 * most
        assert off <= allowed, f"{problem.family.name}: {name} is off by {off:.1e} of {largest:.1e}"
