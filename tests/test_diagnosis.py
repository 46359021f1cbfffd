"""A cause is named where the numbers support it, and only there."""

import numpy as np
import pytest
from networks import Smooth

from gradcheck_magic import Cause, check_gradients


def planted(name, change):
    net = Smooth()
    grads = net.grads()
    grads[name] = change(grads[name])
    return check_gradients(net.params, grads, net.cost)


def row(i):
    def change(gradient):
        gradient = gradient.copy()
        gradient[i] *= 3
        return gradient

    return change


PLANTED = [
    pytest.param(
        "dW1", lambda g: -g, Cause.SIGN,
        "`dW1` is −1 times the numerical gradient, in all 16 entries: the opposite sign. Look at "
        "where `dW1` is formed.",
        id="sign",
    ),
    pytest.param(
        "dW2", lambda g: 2 * g, Cause.SCALE,
        "`dW2` is 2.000 times the numerical gradient, in all 8 entries. A factor 2: the "
        "derivative of a square, or a term added twice? Look at where `dW2` is formed.",
        id="twice",
    ),
    pytest.param(
        "dW2", lambda g: g / 2, Cause.SCALE,
        "`dW2` is 0.5000 times the numerical gradient, in all 8 entries. A factor ½: a missing 2 "
        "from the derivative of a square? Look at where `dW2` is formed.",
        id="half",
    ),
    pytest.param(
        "db1", lambda g: 20 * g, Cause.SCALE,
        "`db1` is 20.00 times the numerical gradient, in all 4 entries. A factor 20: 20/m instead "
        "of 1/m, or a mean forgotten? Look at where `db1` is formed.",
        id="mean forgotten",
    ),
    pytest.param(
        "db1", lambda g: g / 20, Cause.SCALE,
        "`db1` is 0.05000 times the numerical gradient, in all 4 entries. A factor 1/20: divided "
        "once too often, or a mean too many? Look at where `db1` is formed.",
        id="mean too many",
    ),
    pytest.param(
        "dW1", lambda g: 1.2345678 * g, Cause.SCALE,
        "`dW1` is 1.235 times the numerical gradient, in all 16 entries. Look at where `dW1` is "
        "formed.",
        id="a factor without a reading",
    ),
    pytest.param(
        "dW1", lambda g: (1 + 3e-5) * g, Cause.SCALE,
        "`dW1` is 1.00003 times the numerical gradient, in all 16 entries. Look at where `dW1` "
        "is formed.",
        id="nearly right",
    ),
    pytest.param(
        "dW1", lambda g: 1e200 * g, Cause.SCALE,
        "`dW1` is 1.000e+200 times the numerical gradient, in all 16 entries. Look at where `dW1` "
        "is formed.",
        id="huge",
    ),
    pytest.param(
        "dW1", lambda g: g.T.copy(), Cause.TRANSPOSED,
        "`dW1` is the transpose of the numerical gradient. Look at where `dW1` is formed.",
        id="transposed",
    ),
    pytest.param(
        "dW1", np.zeros_like, Cause.ZERO,
        "`dW1` is zero everywhere, and the cost does change with `W1`: never assigned, or a path "
        "forgotten.",
        id="zero",
    ),
    pytest.param(
        "dW1", row(2), Cause.ENTRIES,
        "`dW1` is wrong in 4 of 16 entries and right in the others. Look at what `dW1` sums over, "
        "and at the entries listed.",
        id="a row",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "cause", "sentence"), PLANTED)
def test_named(name, change, cause, sentence):
    (diagnosis,) = planted(name, change).diagnoses
    assert diagnosis.cause is cause
    assert diagnosis.names == (name[1:],)
    assert diagnosis.sentence == sentence


def test_factor_in_the_details():
    (diagnosis,) = planted("dW2", lambda g: -3.5 * g).diagnoses
    assert diagnosis.cause is Cause.SCALE
    assert diagnosis.details["factor"] == pytest.approx(-3.5, rel=1e-7)


NEAR_MISSES = [
    pytest.param("dW1", lambda g: 2 * g + 1e-3, id="nearly twice"),
    pytest.param("dW1", lambda g: -g + 1e-3, id="nearly the other sign"),
    pytest.param("dW1", lambda g: g.T + 1e-3, id="nearly transposed"),
    pytest.param("dW1", lambda g: 1e-3 + 0 * g, id="nearly zero"),
    pytest.param("dW1", lambda g: g + np.eye(4) + 1, id="shifted"),
]


@pytest.mark.parametrize(("name", "change"), NEAR_MISSES)
def test_not_named(name, change):
    (diagnosis,) = planted(name, change).diagnoses
    assert diagnosis.cause is Cause.UNKNOWN
    assert diagnosis.sentence.startswith(f"`{name}` is wrong in 16 of 16 entries, with no simple")


def test_one_entry_tells_no_cause():
    """A 1 × 1 gradient is always some factor of the right one."""
    check = check_gradients({"b": np.array([[2.0]])}, {"db": np.array([[8.0]])},
                            lambda p: p["b"].item() ** 2)  # fmt: skip
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is Cause.UNKNOWN
    assert diagnosis.sentence == (
        "`db` is 2 times the numerical value; one entry does not tell why."
    )


def test_one_factor_is_one_diagnosis():
    """Six parameters off by one factor are one mistake."""
    net = Smooth()
    grads = {name: 2 * value for name, value in net.grads().items()}
    (diagnosis,) = check_gradients(net.params, grads, net.cost).diagnoses
    assert diagnosis.names == ("W1", "b1", "W2", "b2")
    assert diagnosis.sentence.startswith(
        "`dW1`, `db1`, `dW2` and `db2` are 2.000 times the numerical gradient, in all 30 entries."
    )


def test_two_bugs_are_two_diagnoses():
    net = Smooth()
    grads = net.grads()
    grads["dW1"], grads["db2"] = -grads["dW1"], 3 * grads["db2"]
    causes = [d.cause for d in check_gradients(net.params, grads, net.cost).diagnoses]
    assert causes == [Cause.SIGN, Cause.SCALE]


def test_cost_ignores_one_parameter():
    params = {"W": np.ones(3), "V": np.ones(2)}
    grads = {"dW": 2 * np.ones(3), "dV": np.ones(2)}
    check = check_gradients(params, grads, lambda p: float(p["W"] @ p["W"]))
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause is Cause.COST_IGNORES_PARAMETERS
    assert diagnosis.sentence == (
        "The cost does not change with `V` at all, and `dV` is not zero: does the cost use it?"
    )
