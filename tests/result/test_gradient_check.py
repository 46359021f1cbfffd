"""A result made by hand: its texts, its entries, and its JSON."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from reports import result_by_hand

from gradcheck_magic import GradientCheckFailed, InputError, Verdict, check_gradients
from gradcheck_magic._result.gradient_check import GradientCheck, jsonable

NAN, INF = math.nan, math.inf


def check(**changes):
    return replace(result_by_hand(), **changes)


@pytest.mark.parametrize("verdict", Verdict, ids=lambda v: v.name)
def test_only_what_is_correct_passes(verdict):
    found = check(verdict=verdict)
    assert found.passed is bool(found) is (verdict is Verdict.CORRECT)
    if found.passed:
        found.raise_if_failed()
        return
    with pytest.raises(GradientCheckFailed) as error:
        found.raise_if_failed()
    assert error.value.check is found
    assert str(error.value) == found.headline()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"difference": 0.285093}, "0.285"),
        ({"difference": 1.18855e-7}, "1.19e-07"),
        ({"difference": NAN}, "nan"),
        pytest.param(
            {"mode": "scan", "difference": 4.1e-10, "difference_uncertainty": 6e-9},
            "≈ 4.1e-10 ± 6e-09",
            id="a scan",
        ),
        pytest.param({"mode": "scan", "difference": 0.25}, "≈ 0.25", id="a scan that knows it"),
        pytest.param(
            {
                "mode": "scan",
                "difference": NAN,
                "difference_uncertainty": INF,
                "analytic": np.zeros(0),
            },
            "unknown",
            id="HARD: a scan that was stopped at once",
        ),
        pytest.param(
            {"mode": "scan", "difference": 0.0105, "difference_uncertainty": INF},
            "≥ 0.0105",
            id="a lower bound",
        ),
    ],
)
def test_difference(changes, text):
    found = check(**changes)
    assert found.difference_text == text
    assert repr(found) == f"<GradientCheck BUG, difference {text}>"


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, "in all 3 entries. Look at where `dW` is formed."),
        ({"diagnoses": ()}, "Interrupted: 13 of 20 entries were measured."),
        ({"diagnoses": (), "reasons": ()}, "The difference is 0.285."),
    ],
)
def test_headline(changes, last):
    """A headline ends with one diagnosis, or else with one reason, or with the difference."""
    assert check(**changes).headline().startswith("There is a bug in backpropagation. The diff")
    assert check(**changes).headline().endswith(last)


@pytest.mark.parametrize(("verdict", "names", "not_checked", "text"), [
    (Verdict.CORRECT, "V", ("W", "b"), "`V` is correct; `W` and `b` were not checked."),
    (Verdict.CORRECT, "VU", ("W",), "`V` and `U` are correct; `W` was not checked."),
    (Verdict.INSPECT, "U", ("W",),
        "`U` is mostly correct, but worth inspecting; `W` was not checked."),
    (Verdict.BUG, "W", ("V",), "There is a bug in backpropagation; `V` was not checked."),
    (Verdict.INCONCLUSIVE, "T", ("V",), "The finite differences cannot tell; `V` was not checked."),
    pytest.param(Verdict.CORRECT, "V", (), "Backpropagation is correct.", id="HARD: all of it"),
])  # fmt: skip
def test_a_verdict_on_some_parameters(verdict, names, not_checked, text):
    """A check of some parameters says nothing of the others, wherever the verdict is told."""
    params = {name: np.ones(2) for name in sorted({*names, *not_checked}, key="VUWTb".index)}
    grads = {name: 2 * array for name, array in params.items()}
    only = check_gradients(params, grads, lambda p: sum(map(np.sum, p.values())), only=[*names])
    found = replace(only, verdict=verdict)
    assert found.verdict_text == text
    assert found.headline().startswith(f"{text} The difference is")
    assert str(found).startswith(f"{verdict.symbol} {text}   difference")
    spoken = text.replace("`", "")
    assert f'aria-label="Gradient check: {spoken} Difference' in found._repr_html_()
    coded = re.sub("`(.)`", r"<code>\1</code>", text)
    assert f"{verdict.symbol} {coded}</b>" in found._repr_html_()
    assert found.to_dict()["not_checked"] == list(not_checked)


def labels(entries):
    return [entry.label for entry in entries]


def test_worst_entries():
    """Entries that are not numbers come first, then wrong, then other, then unmeasured ones."""
    found = result_by_hand()
    assert labels(found.worst_entries(5)) == ["b", "W[0, 0]", "W[0, 1]", "W[0, 2]", "long_name[0]"]
    everything = found.worst_entries()
    assert len(everything) == 13
    assert everything[-1].label == "T[0]"
    second = everything[1]
    assert (second.index, second.analytic, second.numerical, second.uncertainty) == (
        (0, 0), 0.02, 0.01, 1e-9,
    )  # fmt: skip
    assert found.worst_entries(0) == []


def test_entries_behind_a_diagnosis():
    scale, overflow = result_by_hand().diagnoses
    found = result_by_hand()
    assert labels(found.entries_behind(scale)) == ["W[0, 0]", "W[0, 1]", "W[0, 2]"]
    assert labels(found.entries_behind(scale, 2)) == ["W[0, 0]", "W[0, 1]"]
    assert labels(found.entries_behind(overflow)) == ["b"]
    # Of several parameters, only the wrong entries are listed; if there are none, all entries.
    both = replace(scale, names=("U", "b"))
    assert labels(found.entries_behind(both)) == ["b"]
    assert set(labels(found.entries_behind(replace(scale, names=("V",))))) == {"V[0]", "V[1]"}


@pytest.mark.parametrize(
    ("name", "ks", "analytic"),
    [("W", [0, 1, 2], [0.02, 0.02, 0.04]), ("b", [0], [NAN]), ("V", [0, 1], [0.5, 0.5])],
)
def test_close_up(name, ks, analytic):
    close = result_by_hand().close_up(name)
    assert close.parameter.name == name
    assert close.indices.tolist() == ks
    np.testing.assert_equal(close.analytic, analytic)
    assert close.wrong.all() == (name != "V")


def test_close_up_after_some_were_measured():
    """After a scan, indices are positions in the parameter, not in the list of measured entries."""
    found = result_by_hand()
    some = np.array([1, 2, 7, 12])
    columns = ("analytic", "numerical", "uncertainty", "wrong", "kinked")
    found = replace(found, measured=some, **{name: getattr(found, name)[some] for name in columns})
    assert found.close_up("U").indices.tolist() == [1]
    assert found.close_up("b").indices.tolist() == []
    assert labels(found.worst_entries()) == ["W[0, 1]", "W[0, 2]", "long_name[1]", "U[1]"]


@pytest.mark.parametrize(("name", "meant"), [("w", ""), ("long_nam", "did you mean `long_name`")])
def test_no_such_parameter(name, meant):
    with pytest.raises(InputError, match=f"`{name}` was not checked.*{meant}.*from `W`, `b`"):
        result_by_hand().close_up(name)


def test_relative_errors():
    errors = result_by_hand().relative_errors
    third = pytest.approx(1 / 3)
    assert errors[:3].tolist() == [third] * 3
    assert np.isnan(errors[[3, 10]]).all()
    assert errors[4] == 0


def test_as_json():
    found = result_by_hand()
    held = found.to_dict()
    assert json.loads(json.dumps(held, allow_nan=False)) == held
    assert (held["verdict"], held["passed"], held["n_wrong"]) == ("BUG", False, 4)
    assert (held["n_measured"], held["size"], held["interrupted"]) == (13, 20, True)
    assert [p["verdict"] for p in held["parameters"]] == [
        "BUG", "BUG", "CORRECT", "INSPECT", "INCONCLUSIVE", "BUG",
    ]  # fmt: skip
    assert held["parameters"][0]["shape"] == [1, 3]
    assert held["parameters"][1]["difference"] is None
    assert held["parameters"][5]["worst"] is None
    assert held["worst_entries"][0] == {
        "label": "b", "index": [], "analytic": None, "numerical": -1.25, "uncertainty": 1e-9,
    }  # fmt: skip
    assert held["diagnoses"][0]["cause"] == "SCALE"
    assert held["diagnoses"][0]["details"] == {"factor": 2.0}


def test_as_json_of_many():
    n = 250
    found = check(
        measured=np.zeros(n, dtype=int), analytic=np.ones(n), numerical=np.ones(n),
        uncertainty=np.ones(n), wrong=np.zeros(n, bool), kinked=np.arange(n) < 7,
    )  # fmt: skip
    held = found.to_dict()
    assert (len(held["worst_entries"]), held["n_measured"], held["n_kinked"]) == (100, n, 7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1.5),
        (NAN, None),
        ({"a": (1, -INF, "x")}, {"a": [1, None, "x"]}),
        ([None, True, [INF]], [None, True, [None]]),
    ],
)
def test_jsonable(value, expected):
    assert jsonable(value) == expected


def test_results_are_compared_by_identity():
    """Results are compared by identity, because a comparison of arrays is not one truth value."""
    one, other = result_by_hand(), result_by_hand()
    assert one == one  # noqa: PLR0124 (that is the question)
    assert one != other
    assert isinstance(hash(one), int)
    assert type(one) is GradientCheck
