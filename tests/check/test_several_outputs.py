"""A function that returns several arrays, each with its own gradient dJ/d(output), or none."""

import numpy as np
import pytest

from gradcheck_magic import InputError, Verdict, check_gradients

rng = np.random.default_rng(0)
x, h, W = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(3, 4))
dn, dc = rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
PARAMS = {"x": x, "W": W}


def step(p):
    """Return the next state, the next memory, and a cache."""
    z = p["x"] @ p["W"] + h
    return np.tanh(z), z**2, {"z": z}


def backward(dn, dc, factor=1.0):
    z = x @ W + h
    dz = dn * (1 - np.tanh(z) ** 2) + dc * 2 * z
    return {"dx": factor * dz @ W.T, "dW": x.T @ dz}


def as_dict(p):
    n, c, _ = step(p)
    return {"next": n, "c": c, "others": None}


ZERO = np.zeros((2, 4))
FORMS = [
    pytest.param(step, (dn, dc), (dn, dc), id="a tuple"),
    pytest.param(step, [dn, dc], (dn, dc), id="a list"),
    pytest.param(step, (dn, dc, None), (dn, dc), id="None for the cache"),
    pytest.param(step, (None, dc), (ZERO, dc), id="HARD: None for the first"),
    pytest.param(step, {0: dn, 1: dc}, (dn, dc), id="by position"),
    pytest.param(step, {1: dc}, (ZERO, dc), id="HARD: only the second, by position"),
    pytest.param(step, dn, (dn, ZERO), id="HARD: one array is that of the first"),
    pytest.param(step, (dn,), (dn, ZERO), id="one in a tuple"),
    pytest.param(lambda p: list(step(p)), (dn, dc), (dn, dc), id="a list is returned"),
    pytest.param(as_dict, {"next": dn, "c": dc}, (dn, dc), id="a dict"),
    pytest.param(as_dict, {"c": dc}, (ZERO, dc), id="a dict, only one of them"),
    pytest.param(as_dict, {"next": None, "c": dc}, (ZERO, dc), id="a dict with None"),
    pytest.param(
        lambda p: np.stack(step(p)[:2]), np.stack([dn, dc]), (dn, dc), id="one array of both"
    ),
    pytest.param(
        lambda p: np.stack(step(p)[:2]), (dn, dc), (dn, dc), id="HARD: one array, a pair for it"
    ),
    pytest.param(
        lambda p: step(p)[0], dn.tolist(), (dn, ZERO), id="HARD: a list of lists is one array"
    ),
]


@pytest.mark.parametrize(("function", "upstream", "weights"), FORMS)
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_several_outputs(check, function, upstream, weights, factor):
    before = [array.tobytes() for array in (x, W, dn, dc)]
    found = check(PARAMS, backward(*weights, factor), function, upstream=upstream)
    assert found.verdict is (Verdict.CORRECT if factor == 1 else Verdict.BUG)
    assert {name for name, _ in found.wrong_entries} == (set() if factor == 1 else {"x"})
    assert [array.tobytes() for array in (x, W, dn, dc)] == before


def test_the_upstream_may_be_moved():
    """HARD: θ is among the upstream gradients: those are what they were."""
    params = {"x": x.copy(), "W": W.copy()}

    def scaled(p):
        return p["x"], p["W"] ** 2

    grads = {"x": params["x"].copy(), "W": 2 * W * W}
    check = check_gradients(params, grads, scaled, upstream=(params["x"], params["W"]))
    assert check.verdict is Verdict.CORRECT


ERRORS = [
    pytest.param(
        step, (dn, dc[:1]),
        "`upstream[1]` has shape (1, 4), but output 1 of `{}` has shape (2, 4): dJ/d(output) must "
        "have the shape of the output.",
        id="another shape",
    ),
    pytest.param(
        step, (dn, dc, None, dn),
        "`upstream` is for output 3, but `{}` returned a tuple without it: give dJ/d(output) in "
        "the structure of what the function returns, with None for what has none.",
        id="one too many",
    ),
    pytest.param(
        step, {"next": dn},
        "`upstream` is for output 'next', but `{}` returned a tuple without it: give dJ/d(output) "
        "in the structure of what the function returns, with None for what has none.",
        id="by name, of a tuple",
    ),
    pytest.param(
        as_dict, {"h": dn},
        "`upstream` is for output 'h', but `{}` returned a dict without it: give dJ/d(output) in "
        "the structure of what the function returns, with None for what has none.",
        id="another name",
    ),
    pytest.param(
        as_dict, (dn, dc),
        "`upstream` is for output 0, but `{}` returned a dict without it: give dJ/d(output) in "
        "the structure of what the function returns, with None for what has none.",
        id="a tuple for a dict",
    ),
    pytest.param(
        step, (dn, dc, dn), "`{}` returned a dict: expected one real number.", id="for the cache",
    ),
    pytest.param(
        as_dict, {"others": dn}, "`{}` returned None: is a `return` missing?", id="for None",
    ),
    pytest.param(
        step, (dn, np.array(["a"])),
        "`upstream[1]` is a numpy.ndarray (<U1): expected dJ/d(output), an array of real numbers.",
        id="no numbers",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("function", "upstream", "said"), ERRORS)
def test_what_is_said(check, function, upstream, said):
    with pytest.raises(InputError) as caught:
        check(PARAMS, backward(dn, dc), function, upstream=upstream)
    assert str(caught.value) == said.format(function.__name__)
