"""The work of a check grows in proportion to the number of parameters, and its report does not."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from gradcheck_magic import check_gradients
from gradcheck_magic._notebook.controls import Controls, Requests
from gradcheck_magic._notebook.plain_cards import JSON_TYPE, bundle_of
from gradcheck_magic._report.card import card


def given(n, kind):
    """Return n small parameters, and a gradient for each."""
    random = np.random.default_rng(0)
    params = {f"w{i}": random.uniform(1, 2, 4) for i in range(n)}
    grads = {name: 2 * w for name, w in params.items()}
    if kind == "wrong":
        grads = {name: g * random.uniform(0.5, 1.5, 4) for name, g in grads.items()}
    if kind == "in the wrong order":
        grads = dict(zip(grads, [*list(grads.values())[1:], grads["w0"]], strict=True))
    if kind == "missing but one":
        grads = {"w0": grads["w0"]}
    return params, grads


def square(theta):
    return float(theta @ theta)


def n_calls(function):
    """Return the number of function calls that a function leads to, and its result."""
    total = 0

    def count(_frame, event, _):
        nonlocal total
        total += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        result = function()
    finally:
        sys.setprofile(None)
    return total, result


@pytest.mark.parametrize(("mode", "kind"), [
    ("full", "right"),
    ("scan", "right"),
    ("full", "wrong"),
    ("full", "in the wrong order"),
    ("full", "missing but one"),
])  # fmt: skip
def test_no_work_for_each_pair_of_parameters(mode, kind):
    """A loop over all parameters within another one would show in the second difference."""

    def shown(n):
        params, grads = given(n, kind)
        only = ["w0"] if kind == "missing but one" else None
        check = check_gradients(params, grads, square, mode=mode, call="flat", only=only)
        return str(check), card(check, "", can_choose=True), check.to_dict()

    shown(2)  # what is imported, or kept, at the first call
    few, more, most = (n_calls(lambda n=n: shown(n))[0] for n in (24, 40, 56))
    assert (most - 2 * more + few) / 16**2 < 2


@pytest.fixture(scope="module")
def large():
    """Return a check of many parameters, all of them wrong in their own way."""
    params, grads = given(300, "wrong")
    check = check_gradients(params, grads, square, mode="full", call="flat")
    assert len(check.parameters) == len(check.wrong_entries) / 4 == 300
    return check


def with_many(large, n):
    """Return the same with n diagnoses and n reasons."""
    return replace(large, diagnoses=large.diagnoses[:1] * n, reasons=("Something is odd.",) * n)


def test_a_large_card_is_small(large):
    """The worst parameters are in its table, more in a fold, and the rest is counted."""
    check = with_many(large, 500)
    page = card(check, "", can_choose=True)
    assert len(page) < 110_000
    assert page.count("<tr>") < 400
    assert "260 more: 260 wrong" in page
    assert "And 200 more: 200 wrong. <code>check.parameters</code> has them all." in page
    for name in ("diagnoses", "reasons"):
        assert f"And 488 more: <code>check.{name}</code> has them all." in page


@pytest.mark.parametrize(("n", "left_out"), [(100, ""), (130, "And 30 more, all agree.")])
def test_a_card_lists_a_hundred_parameters(n, left_out):
    """However many of them are wrong."""
    params, grads = given(n, "right")
    check = check_gradients(params, grads, square, mode="full", call="flat")
    page = card(check, "")
    assert page.count('<th scope="row">') == 100
    assert re.findall(r"And .*? agree\.", page) == [left_out] * bool(left_out)
    assert len(bundle_of(check, "")[JSON_TYPE]["parameters"]) == 100


def test_a_large_report_is_short(large):
    report = str(with_many(large, 500))
    assert len(report) < 20_000
    assert "- And 488 more: `check.diagnoses` has them all." in report
    assert "- And 488 more: `check.reasons` has them all." in report
    assert "... and 260 more: 260 wrong" in report


def test_a_short_report_is_complete(large):
    """Twelve diagnoses are all told."""
    assert "has them all" not in str(with_many(large, 12))


def test_a_large_result_in_the_notebook_is_small(large):
    """The JSON has the parameters of the card, and says how many there are."""
    found = bundle_of(with_many(large, 500), "")[JSON_TYPE]
    assert found["n_parameters"] == 300
    assert [p["name"] for p in found["parameters"]] == [f"w{i}" for i in range(100)]
    assert len(found["diagnoses"]) == len(found["reasons"]) == 100


def test_each_name_on_a_large_card_selects_its_own_parameter(large):
    """The buttons in the table count the options of the list, which has the same parameters."""
    controls = Controls(Requests(lambda *_: None, lambda *_: None, "auto", None))
    controls.show(large)
    options = controls._parameter.options
    assert len(options) == 101
    page = card(large, "", can_choose=True)
    for k, (label, name) in enumerate(options[1:], start=1):
        assert label == f"✗ {name}"
        button = page.partition(f"s.selectedIndex={k};")[2].partition("</button>")[0]
        assert f"<code>{name}</code>" in button
    controls.close()
