"""`%%gradcheck --reseed`: the cost gets the dropout mask that the gradient of the cell has."""

import pytest
from IPython.utils.capture import capture_output

from gradcheck_magic import InputError

NETWORK = """
import random
import numpy as np

data = np.random.default_rng(5)
params = {"W": data.normal(size=(4, 3)), "v": data.normal(size=(1, 4))}
X, Y = data.normal(size=(3, 20)), data.normal(size=(1, 20))
own = np.random.default_rng(9)
draw = np.random.random_sample
factor = 1

def forward(params):
    hidden = np.tanh(params["W"] @ X)
    mask = (draw(hidden.shape) < 0.7) / 0.7
    return params["v"] @ (hidden * mask) - Y, hidden, mask

def backward(params, off, hidden, mask):
    back = params["v"].T @ off * mask * (1 - hidden**2) / Y.size
    return {"dW": factor * back @ X.T, "dv": off @ (hidden * mask).T / Y.size}

def cost_function(params):
    return float(np.mean(forward(params)[0] ** 2)) / 2
"""
CELLS = {
    "as usual": "cache = forward(params)\ngrads = backward(params, *cache)",
    "in one statement": "grads = backward(params, *forward(params))",
    "written out": (
        "hidden = np.tanh(params['W'] @ X)\nmask = (draw(hidden.shape) < 0.7) / 0.7\n"
        "off = params['v'] @ (hidden * mask) - Y\ngrads = backward(params, off, hidden, mask)"
    ),
    "the cost comes first": "J = cost_function(params)\ngrads = backward(params, *forward(params))",
    "HARD: the cost comes last": (
        "grads = backward(params, *forward(params))\nJ = cost_function(params)"
    ),
    "HARD: it seeds": "np.random.seed(3)\ngrads = backward(params, *forward(params))",
    "HARD: it makes data": "noise = np.random.randn(7)\ngrads = backward(params, *forward(params))",
    "HARD: it draws in vain": "grads = backward(params, *forward(params))\nrandom.random()",
    "its own generator": "draw = own.random\ngrads = backward(params, *forward(params))",
    "HARD: a new generator": (
        "new = np.random.default_rng(0)\ndraw = new.random\n"
        "grads = backward(params, *forward(params))"
    ),
    "HARD: functions of the cell": (
        "def forward(params):\n    hidden = np.tanh(params['W'] @ X)\n"
        "    mask = (own.random(hidden.shape) < 0.7) / 0.7\n"
        "    return params['v'] @ (hidden * mask) - Y, hidden, mask\n"
        "grads = backward(params, *forward(params))"
    ),
}
BEFORE = "`cost_function` is random: each call of it began with the random state from before "


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("factor", [1, -1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_cells(run, cell, factor, mode):
    run(NETWORK)
    for seed in range(3):
        run(f"np.random.seed({seed}); factor = {factor}")
        check = run(f"%%gradcheck --reseed --mode {mode}\n{CELLS[cell]}")
        assert check.verdict.name == ("CORRECT" if factor == 1 else "BUG")
        assert check.notes[-1] in {f"{BEFORE}the cell.", f"{BEFORE}a later statement of the cell."}
        assert [diagnosis.names for diagnosis in check.diagnoses] == [("W",)] * (factor != 1)


def test_the_random_state_goes_on(run):
    """After the check, it is where the cell left it."""
    run(NETWORK)
    run(f"np.random.seed(0)\n{CELLS['as usual']}\nnext_one = np.random.random()")
    run("np.random.seed(0)")
    run(f"%%gradcheck --reseed\n{CELLS['as usual']}")
    run("assert np.random.random() == next_one")


def test_another_mask_is_told(run):
    """In a loop, the cell had other masks after the one with which a statement began."""
    run(NETWORK)
    loop = "for _ in range(3):\n    grads = backward(params, *forward(params))"
    check = run(f"%%gradcheck --reseed\n{loop}")
    assert check.reasons[0] == (
        "`cost_function` is random, and the gradient must have been computed with the same random "
        "numbers, such as the same dropout mask: the forward pass in the cell must draw what the "
        "cost draws, in the same order; or pass `grads` as a function of the parameters."
    )
    function = '"lambda params: backward(params, *forward(params))"'
    assert run(f"%gradcheck --reseed -g {function}").passed


@pytest.mark.parametrize("factor", [1, 2])
def test_the_card_checks_again(run, shell, factor, monkeypatch):
    """The buttons of a card use the random states of its cell."""
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    run(f"{NETWORK}\nfactor = {factor}")
    with capture_output():
        check = run(f"%%gradcheck --reseed --display widget\n{CELLS['HARD: it seeds']}")
        requests = shell.magics_manager.registry["GradcheckMagics"]._live._cards[-1][0]._requests
        curve = requests.curve(check, "W", (0, 1), lambda *_: None)
        requests.again("scan", None)
    again = shell.user_ns["_gradcheck"]
    assert again is not check
    assert [check.passed, again.passed, not curve.wrong] == [factor == 1] * 3


def test_watched(run):
    run(NETWORK)
    with pytest.raises(InputError) as caught:
        run("%gradcheck --reseed --watch")
    assert str(caught.value) == (
        "%gradcheck: --watch and --reseed were given together, but later cells compute the "
        "gradient with random states that a watch does not know: use only one."
    )
