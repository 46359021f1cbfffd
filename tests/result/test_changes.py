"""Running the check again shows what has changed."""

import numpy as np
import pytest

from gradcheck_magic import check_gradients
from gradcheck_magic._result.changes import changes
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict

RIGHT, WRONG, INSPECT, OPEN = (
    Verdict.CORRECT,
    Verdict.BUG,
    Verdict.INSPECT,
    Verdict.INCONCLUSIVE,
)


def parameters(**verdicts):
    return [ParameterCheck(n, (2,), 2, v, 0.0, 2, 0, None) for n, v in verdicts.items()]


ROWS = {
    "fixed": ({"W": WRONG}, {"W": RIGHT}, "0.21 → 3e-09: `W` fixed"),
    "inspected, then fixed": ({"W": INSPECT}, {"W": RIGHT}, "0.21 → 3e-09: `W` fixed"),
    "fixed and still wrong": (
        {"W1": WRONG, "b1": WRONG, "W2": RIGHT, "b2": WRONG},
        {"W1": RIGHT, "b1": WRONG, "W2": RIGHT, "b2": RIGHT},
        "0.21 → 3e-09: `W1` and `b2` fixed, `b1` still wrong",
    ),
    "broken": ({"W": RIGHT}, {"W": WRONG}, "0.21 → 3e-09: `W` now wrong"),
    "fixed and broken": (
        {"W": RIGHT, "b": WRONG},
        {"W": WRONG, "b": RIGHT},
        "0.21 → 3e-09: `b` fixed, `W` now wrong",
    ),
    "could not be told": ({"W": OPEN}, {"W": RIGHT}, "0.21 → 3e-09: `W` now agrees"),
    "can be told: it is wrong": ({"W": OPEN}, {"W": WRONG}, "0.21 → 3e-09: `W` now wrong"),
    "now inconclusive": ({"W": RIGHT}, {"W": OPEN}, "0.21 → 3e-09: `W` now inconclusive"),
    "wrong is not fixed by not looking": (
        {"W": WRONG},
        {"W": OPEN},
        "0.21 → 3e-09: `W` now inconclusive",
    ),
    "many": (
        dict.fromkeys("abcdefg", WRONG),
        dict.fromkeys("abcdefg", RIGHT),
        "0.21 → 3e-09: `a`, `b`, `c`, `d` and 3 more fixed",
    ),
    "right as before": ({"W": RIGHT}, {"W": RIGHT}, ""),
    "other parameters": ({"W": WRONG}, {"V": RIGHT}, ""),
    "one more parameter": ({"W": WRONG}, {"W": RIGHT, "b": RIGHT}, ""),
    "another order": ({"W": WRONG, "b": RIGHT}, {"b": RIGHT, "W": WRONG}, ""),
}


@pytest.mark.parametrize(("before", "after", "told"), ROWS.values(), ids=ROWS)
def test_changes(before, after, told):
    assert changes(parameters(**before), parameters(**after), ("0.21", "3e-09")) == told


def test_as_before():
    """If both numbers look the same, only one of them is shown."""
    wrong = parameters(W=WRONG)
    assert changes(wrong, wrong, ("0.21", "0.21")) == "0.21, as before: `W` still wrong"


def test_another_shape_is_another_parameter():
    other = [ParameterCheck("W", (3,), 3, RIGHT, 0.0, 3, 0, None)]
    assert changes(parameters(W=WRONG), other, ("0.21", "3e-09")) == ""


def check_of(dW, previous=None):
    W = np.array([1.0, 2.0])
    return check_gradients({"W": W}, {"W": dW}, lambda p: p["W"] @ p["W"] / 2, previous=previous)


def test_said_in_the_report():
    wrong = check_of(np.array([1.0, 4.0]))
    right = check_of(np.array([1.0, 2.0]), previous=wrong)
    assert wrong.changes == ""
    assert right.changes.startswith("0.31 → ")
    assert right.changes.endswith(": `W` fixed")
    assert str(right).splitlines()[1] == f"Since last time: {right.changes}."
    assert "Since last time:" in right.to_html()
    assert "Since last time:" not in str(wrong) + wrong.to_html()
    assert right.to_dict()["changes"] == right.changes


def test_cells_run_again(shell, run):
    """The magic remembers the previous check, in memory only."""
    shell.user_ns.update(
        params={"W": np.array([1.0, 2.0])},
        grads={"dW": np.array([1.0, 4.0])},
        cost_function=lambda p: p["W"] @ p["W"] / 2,
    )
    assert run("%gradcheck").changes == ""
    assert run("%gradcheck").changes == "0.31, as before: `W` still wrong"
    check = run("%%gradcheck\ngrads['dW'] = params['W'].copy()")
    assert check.changes.endswith(": `W` fixed")
    # A check of another gradient in between is not compared with.
    run("other = {'dW': params['W'] * 2}")
    assert run("%gradcheck -g other").changes == ""
    assert run("%%gradcheck\ngrads['dW'] = params['W'] * 2").changes.endswith(": `W` now wrong")
