"""A flat θ, as an optimiser wants it, with the gradients of its matrices."""

import numpy as np
import pytest

from gradcheck_magic import Verdict

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(3, 5)), rng.normal(size=(2, 5))
THETA = rng.normal(size=8)


def cost(theta):
    return 0.5 * np.sum((theta[:6].reshape(2, 3) @ X + theta[6:].reshape(2, 1) - Y) ** 2)


def slopes(factor):
    E = THETA[:6].reshape(2, 3) @ X + THETA[6:].reshape(2, 1) - Y
    return E @ X.T, factor * E.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("made", "names"),
    [
        pytest.param(np.append, ["params"], id="one vector"),
        pytest.param(lambda W, b: [W, b], ["params[0]", "params[1]"], id="a list"),
        pytest.param(lambda W, b: (W, b), ["params[0]", "params[1]"], id="a tuple"),
        pytest.param(lambda W, b: {"dW": W, "db": b}, ["W", "b"], id="a dict"),
        pytest.param(lambda W, b: {"W": W, "b": b}, ["W", "b"], id="HARD: by the same names"),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_gradients_of_its_matrices(check, made, names, factor):
    before = THETA.tobytes()
    found = check(THETA, made(*slopes(factor)), cost)
    assert found.verdict is (Verdict.CORRECT if factor == 1 else Verdict.BUG)
    # The magic has the name of the expression.
    told = [parameter.name.replace("_given[0]", "params") for parameter in found.parameters]
    assert told == names
    assert found.call == ("structured" if made is np.append else "flat")
    assert {name for name, _ in found.wrong_entries} <= {found.parameters[-1].name}
    assert THETA.tobytes() == before
