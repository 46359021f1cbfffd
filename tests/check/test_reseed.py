"""With `reseed`, a random cost is checked with the random numbers that its gradient belongs to.

Every right gradient passes, and the same gradient with a mistake does not.
"""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gradcheck_magic import InputError, check_gradients, step_curve

SEEDS = range(5)
OWN = np.random.default_rng(0)
LEGACY = np.random.RandomState(0)
PYTHONS = random.Random(0)  # noqa: S311


def pythons(generator):
    return lambda shape: np.reshape([generator.random() for _ in range(int(np.prod(shape)))], shape)


class Dropout:
    def __init__(self):
        self.random = np.random.default_rng(0)

    def draw(self, shape):
        return self.random.random(shape)


def captured():
    own = np.random.default_rng(0)
    return own.random


# Each draws numbers between 0 and 1, from a generator of its kind.
GENERATORS = {
    "NumPy's": np.random.random_sample,
    "Python's": pythons(random),
    "a variable": OWN.random,
    "an old one": LEGACY.random_sample,
    "one of Python's": pythons(PYTHONS),
    "HARD: of an object": Dropout().draw,
    "HARD: captured": captured(),
    "HARD: two of them": lambda shape: np.random.random_sample(shape) * OWN.random(shape),
}


def network(draw, seed=0, wrong=1.0):
    """Return parameters, the gradient as a function, and the cost of a network with dropout."""
    rng = np.random.default_rng(seed)
    params = {"W": rng.normal(size=(4, 3)), "v": rng.normal(size=(1, 4))}
    X, Y = rng.normal(size=(3, 20)), rng.normal(size=(1, 20))

    def forward(params):
        hidden = np.tanh(params["W"] @ X)
        mask = (draw(hidden.shape) < 0.7) / 0.7
        return params["v"] @ (hidden * mask) - Y, hidden, mask

    def cost(params):
        return float(np.mean(forward(params)[0] ** 2)) / 2

    def gradients(params):
        off, hidden, mask = forward(params)
        back = params["v"].T @ off * mask * (1 - hidden**2) / Y.size
        return {"dW": back @ X.T, "dv": wrong * off @ (hidden * mask).T / Y.size}

    return params, gradients, cost


def states():
    own = OWN.bit_generator.state, LEGACY.get_state(legacy=False), PYTHONS.getstate()
    return repr((random.getstate(), np.random.get_state(legacy=False), *own))


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize(("wrong", "verdict"), [(1.0, "CORRECT"), (-1.0, "BUG"), (1.001, "BUG")])
@pytest.mark.parametrize("kind", GENERATORS)
def test_gradient_function(kind, wrong, verdict, mode):
    """It draws as the cost does, whatever the state is; afterwards all is as it was."""
    for seed in SEEDS:
        np.random.seed(seed)
        params, gradients, cost = network(GENERATORS[kind], seed, wrong)
        before = states()
        check = check_gradients(params, gradients, cost, mode=mode, reseed=True)
        assert check.verdict.name == verdict
        assert check.notes[0] == (
            "`cost` is random: each call of it began with the random state with which the gradient "
            "function began."
        )
        assert states() == before


@pytest.mark.parametrize(("wrong", "verdict"), [(1.0, "CORRECT"), (-1.0, "BUG")])
def test_arrays_with_the_state_of_the_check(wrong, verdict):
    """A gradient that was computed from the state with which the check starts is the right one."""
    params, gradients, cost = network(np.random.random_sample, wrong=wrong)
    np.random.seed(0)
    grads = gradients(params)
    np.random.seed(0)
    check = check_gradients(params, grads, cost, reseed=True)
    assert check.verdict.name == verdict
    assert check.notes[0] == (
        "`cost` is random: each call of it began with the random state from the start of the check."
    )


def test_another_mask_is_told():
    params, gradients, cost = network(np.random.random_sample)
    np.random.seed(0)
    check = check_gradients(params, gradients(params), cost, reseed=True)
    assert check.verdict.name == "BUG"
    assert check.reasons[0] == (
        "`cost` is random, and the gradient must have been computed with the same random numbers, "
        "such as the same dropout mask: compute it in a cell with %%gradcheck --reseed, pass "
        "`grads` as a function of the parameters, or call np.random.seed(0) both before the "
        "forward pass and before the check."
    )


@pytest.mark.parametrize(("wrong", "verdict"), [(1, "CORRECT"), (2, "BUG")])
@pytest.mark.parametrize("draws", [
    pytest.param(lambda: 0, id="it does not draw"),
    pytest.param(lambda: np.random.seed(0) or np.random.random(), id="HARD: it seeds"),
    pytest.param(lambda: np.random.default_rng(0).random(), id="it makes its own generator"),
    pytest.param(lambda: 0 * np.random.random(), id="it draws for nothing"),
])  # fmt: skip
def test_what_is_not_random_is_checked_as_ever(draws, wrong, verdict):
    x = np.arange(1.0, 5.0)
    check = check_gradients(x, wrong * 2 * x, lambda x: float(x @ x) + draws(), reseed=True)
    assert check.verdict.name == verdict
    assert not any("random" in sentence for sentence in (*check.notes, *check.reasons))


@pytest.mark.parametrize("noise", [
    pytest.param(lambda: np.random.default_rng().random(), id="a generator without a seed"),
    pytest.param(lambda calls=[]: calls.append(0) or len(calls), id="HARD: a counter"),
])  # fmt: skip
def test_what_reseeding_does_not_repeat(noise):
    def cost(x):
        return float(x @ x) + noise()

    x = np.ones(3)
    with pytest.raises(InputError) as caught:
        check_gradients(x, 2 * x, cost, reseed=True)
    sentence = str(caught.value)
    assert sentence.startswith("`cost` returned ")
    assert sentence.endswith(
        " for the same parameters, although every call began with the same random state: it may "
        "make a generator without a seed, count its calls, or read what changes meanwhile."
    )


@pytest.mark.parametrize(("wrong", "verdict"), [(1.0, "CORRECT"), (-1.0, "BUG")])
def test_points(wrong, verdict):
    params, gradients, cost = network(np.random.random_sample, wrong=wrong)
    check = check_gradients(params, gradients, cost, points=3, reseed=True)
    assert check.verdict.name == verdict


@pytest.mark.parametrize(("wrong", "verdict"), [(1.0, "CORRECT"), (-1.0, "BUG")])
@pytest.mark.parametrize("kind", ["NumPy's", "a variable", "HARD: of an object"])
def test_threads_share_generators(kind, wrong, verdict):
    """One draws after the other, so none gets what another was to draw."""
    params, gradients, cost = network(GENERATORS[kind], wrong=wrong)
    alone = check_gradients(params, gradients, cost, reseed=True, mode="full")
    with ThreadPoolExecutor(3) as pool:
        check = check_gradients(params, gradients, cost, workers=pool, reseed=True, mode="full")
    assert check.verdict.name == verdict
    assert np.array_equal(check.numerical, alone.numerical)


@pytest.mark.parametrize("wrong", [1.0, -1.0])
def test_step_curve(wrong):
    params, gradients, cost = network(np.random.random_sample, wrong=wrong)
    curve = step_curve(params, gradients, cost, "v[0, 1]", reseed=True)
    assert curve.wrong == (wrong != 1)


@pytest.mark.parametrize("reseed", [0, 7, None, "yes", [1]])
def test_a_seed_is_no_answer(reseed):
    x = np.ones(2)
    with pytest.raises(InputError) as caught:
        check_gradients(x, 2 * x, lambda x: x @ x, reseed=reseed)
    assert str(caught.value) == (
        f"`reseed` is {reseed!r}: expected True, to put random states back before every "
        "evaluation, or False."
    )


@pytest.mark.parametrize(("wrong", "verdict"), [(1.0, "CORRECT"), (-1.0, "BUG")])
@pytest.mark.parametrize("own", [False, True], ids=["torch's own", "HARD: a generator"])
def test_torch(own, wrong, verdict):
    torch = pytest.importorskip("torch")
    generator = torch.Generator() if own else None
    params, gradients, cost = network(
        lambda shape: torch.rand(*shape, generator=generator).numpy(), wrong=wrong
    )
    before = torch.get_rng_state()
    check = check_gradients(params, gradients, cost, reseed=True)
    assert check.verdict.name == verdict
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("factor", [1, 2])
def test_torchs_dropout(factor):
    """`backward()` has left the gradient of the mask with whose state the check begins."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Dropout(0.4), torch.nn.Linear(4, 1)
    ).double()
    data = torch.randn(10, 5).double()

    def cost():
        return model(data).square().mean()

    torch.manual_seed(1)
    (factor * cost()).backward()
    torch.manual_seed(1)
    check = check_gradients(model, None, cost, reseed=True)
    assert check.verdict.name == ("CORRECT" if factor == 1 else "BUG")
