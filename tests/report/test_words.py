"""Card and report say the same about a check, in few words.

The wording is tested by the golden files; here, the content.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import result_by_hand

from gradcheck_magic._report.words import (
    SEPARATOR,
    brief,
    difference_text,
    entry_rows,
    footer,
    parameter_verdict,
    picture_alt,
    progress_text,
    ratio_text,
    shape_text,
    split_sentences,
    table_rows,
    worst_values,
)
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck, WrongRegion
from gradcheck_magic._result.verdict import Verdict

HAND = result_by_hand()
CORRECT, INSPECT, BUG, OPEN = (
    Verdict.CORRECT,
    Verdict.INSPECT,
    Verdict.BUG,
    Verdict.INCONCLUSIVE,
)
RIGHT = replace(HAND, verdict=CORRECT, diagnoses=(), reasons=(), interrupted=False, size=13)

NOISY = replace(HAND, verdict=OPEN, diagnoses=())


def parameter(verdict=CORRECT, n_wrong=0, n_measured=1200, **more):
    return ParameterCheck("W", (30, 40), 1200, verdict, 1e-9, n_measured, n_wrong, None, **more)


def numbers(text):
    return re.findall(r"\d+(?:,\d+)*", text)


@pytest.mark.parametrize(("check", "told"), [
    pytest.param(parameter(BUG, 1100), ["1,100", "1,200"], id="wrong"),
    pytest.param(parameter(BUG, 2, 1000), ["2", "1,000", "1,200"], id="HARD: as far as it got"),
    pytest.param(parameter(OPEN, 0, 1000), ["1,000", "1,200"], id="measured so far"),
    pytest.param(parameter(BUG, 0), [], id="HARD: wrong in no single entry"),
    pytest.param(parameter(BUG, 3, 5, is_scanned=True), ["3"], id="found by a scan"),
    pytest.param(parameter(CORRECT, 0, 5, is_scanned=True), [], id="right, by a scan"),
])  # fmt: skip
def test_numbers_of_a_verdict(check, told):
    assert numbers(parameter_verdict(check)) == told


def test_each_verdict_has_words_of_its_own():
    words = {parameter_verdict(parameter(v, v is BUG)) for v in Verdict}
    assert len(words) == len(Verdict)
    misshapen = {
        parameter_verdict(parameter(v, v is BUG, gradient_shape=(40, 30))) for v in Verdict
    }
    assert misshapen - words == {"inspect the shape"}
    assert words >= {
        parameter_verdict(parameter(v, 0, 5, is_scanned=True)) for v in (CORRECT, OPEN)
    }


def test_regions_are_told_without_the_name():
    regions = (WrongRegion("W[3, :]", 40, 7, 7), WrongRegion("W[7, :]", 40, 7, 7))
    told = parameter_verdict(parameter(BUG, 14, 14, is_scanned=True, regions=regions))
    assert "[3, :]" in told
    assert "[7, :]" in told
    assert "W" not in told
    everywhere = (WrongRegion("W", 1200, 7, 7),)
    assert parameter_verdict(parameter(BUG, 7, 7, is_scanned=True, regions=everywhere))[-1] != " "


@pytest.mark.parametrize(
    ("shape", "text"), [((), "scalar"), ((3,), "3"), ((5, 4), "5 × 4"), ((2, 1, 3), "2 × 1 × 3")]
)
def test_shape(shape, text):
    assert shape_text(shape) == text


@pytest.mark.parametrize(("analytic", "numerical", "ratio"), [
    (2.0, 1.0, 2.0), (-3.0, 1.0, -3.0), (1.0, 3.0, 1 / 3), (0.0, 1.0, 0.0),
    (1.0, 0.0, None), (math.nan, 1.0, None), (1.0, math.nan, None), (math.inf, 1.0, None),
    (1e300, 1e-300, None),
])  # fmt: skip
def test_ratio(analytic, numerical, ratio):
    text = ratio_text(Entry("W", (), analytic, numerical, 0.0))
    assert text == "" if ratio is None else float(text) == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("uncertainty", [1e-9, math.inf])
def test_values_of_an_entry(uncertainty):
    entry = Entry("W[0]", (0,), 1 / 3, -2 / 3, uncertainty)
    label, analytic, numerical = worst_values(entry)
    assert label == "W[0]"
    assert float(analytic) == pytest.approx(1 / 3, rel=1e-5)
    value, *bar = numerical.split(" ± ")
    assert float(value) == pytest.approx(-2 / 3, rel=1e-5)
    assert [float(b) for b in bar] == ([1e-9] if uncertainty == 1e-9 else [])
    (row,) = entry_rows([entry])
    assert list(row.values()) == [label, analytic, numerical, "-0.5", "1.000e+00"]
    assert worst_values(None) == ("", "", "")


@pytest.mark.parametrize(("check", "text"), [
    pytest.param(parameter(), "1.0e-09", id="measured"),
    pytest.param(parameter(is_scanned=True), "≈ 1.0e-09", id="HARD: an estimate"),
    pytest.param(parameter(difference_uncertainty=math.inf), "≥ 1.0e-09", id="HARD: a bound"),
    pytest.param(replace(parameter(difference_uncertainty=math.inf), difference=math.nan), "",
                 id="HARD: none"),
])  # fmt: skip
def test_difference(check, text):
    assert difference_text(check) == text


@pytest.mark.parametrize("mode", ["full", "scan"])
def test_table(mode):
    """There is one row for each parameter, and all rows have the same columns."""
    scanned = {"is_scanned": mode == "scan", "detectable": 1e-4}
    parameters = [replace(p, **scanned) for p in HAND.parameters]
    check = replace(HAND, mode=mode)
    rows = table_rows(check, parameters)
    (heads,) = {tuple(row) for row in rows}
    assert ("smallest detectable error" in heads) is (mode == "scan")
    assert [row["parameter"] for row in rows] == [p.name for p in parameters]
    for row, p in zip(rows, parameters, strict=True):
        assert row["verdict"].startswith(p.verdict.symbol)
        assert row["worst entry"] == (p.worst.label if p.worst else "")
    if mode == "scan":
        assert {row["smallest detectable error"] for row in rows} == {"1.0e-04"}


# In one line


def test_footer():
    told = footer(replace(RIGHT, call="arguments", noise=2e-16, cost=0.125))
    for what in ("13", "1e-07", "40", "1.25", "0.125", "2e-16", "1.0e-09"):
        assert what in told
    parts = footer(HAND).split(SEPARATOR)
    assert all(parts)
    assert len(footer(RIGHT).split(SEPARATOR)) == len(parts) + 1, "HARD: stopped, it saw less"
    assert len(footer(replace(RIGHT, detectable=math.inf)).split(SEPARATOR)) == len(parts)
    assert len(footer(replace(RIGHT, call="structured")).split(SEPARATOR)) == len(parts)


@pytest.mark.parametrize(("limits", "text"), [
    pytest.param({"W": 3e-4}, "0.03 % of the gradient", id="one parameter"),
    pytest.param({"W": 1e-9}, "0.002 % of the gradient", id="HARD: less is not listed"),
    pytest.param({"W": 1e-3, "b": 4e-3, "V": 2e-3}, "0.2 % of the gradient", id="alike"),
    pytest.param({"W": 1e-3, "b": 0.4, "V": 1e-3}, "0.1 % of the gradient (40 % in b)",
                 id="one is worse"),
    pytest.param({"W": 1e-3, "b": 12.0}, "0.1 % of the gradient (over 100 % in b)",
                 id="HARD: nothing would be seen"),
    pytest.param({"W": 1e-3, "b": math.nan}, "0.1 % of the gradient", id="HARD: not measured"),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["full", "scan"])
def test_smallest_detectable_error(limits, text, mode):
    """It is relative to the largest entry of each parameter: that of the median, and the worst."""
    parameters = tuple(
        replace(parameter(largest=0.5, detectable=0.5 * limit), name=name)
        for name, limit in limits.items()
    )
    told = footer(replace(RIGHT, parameters=parameters, mode=mode))
    where = "for most entries" if mode == "full" else "with probability 0.999"
    assert told.endswith(f"smallest detectable error {text}, {where}")


@pytest.mark.parametrize(("check", "told"), [
    pytest.param(RIGHT, ["✓", "13", "1.25"], id="right"),
    pytest.param(replace(RIGHT, parameters=RIGHT.parameters[2:3], not_checked=("W",)),
                 ["✓", "`V` is correct; `W` was not checked · 13 entries"], id="some of it"),
    pytest.param(HAND, ["✗", "13", "20", "2.000"], id="wrong, and stopped"),
    pytest.param(replace(NOISY, reasons=("Too `a. b` noisy. More.",)), ["?", "Too `a. b` noisy."],
                 id="HARD: a reason"),
])  # fmt: skip
def test_brief(check, told):
    text = brief(check)
    assert text.startswith(told[0])
    assert all(what in text for what in told)
    assert "\n" not in text
    assert "More" not in text


@pytest.mark.parametrize(("done", "expected", "seconds", "told"), [
    pytest.param(500, 2000, 5.0, ["500", "2,000", "100", "15 s"], id="ordinary"),
    pytest.param(1, 1001, 4.0, ["0.2", "67 min"], id="HARD: slow"),
    pytest.param(10, 20, 0.0, ["0 s"], id="HARD: at once"),
])  # fmt: skip
def test_progress(done, expected, seconds, told):
    """The time left is that of the remaining evaluations, at the rate so far."""
    text = progress_text(done, expected, seconds)
    assert all(what in text for what in told)


def test_pictures_are_described():
    told = picture_alt(HAND)
    assert "13" in told
    scan = replace(HAND, mode="scan", parameters=(
        parameter(is_scanned=True, largest=0.25, detectable=1e-4), parameter(BUG, 0, 1200)
    ))  # fmt: skip
    told = picture_alt(scan)
    assert "2.5e-01" in told
    assert "1.0e-04" in told
    assert told.count("W") == 1


# Sentences


@pytest.mark.parametrize(("text", "split"), [
    pytest.param("One. Two. Three.", ("One.", "Two. Three."), id="three"),
    pytest.param("One.", ("One.", ""), id="one"),
    pytest.param("See `a. b`. Two.", ("See `a. b`.", "Two."), id="HARD: in code"),
    pytest.param("1.5 of 2. Two.", ("1.5 of 2.", "Two."), id="HARD: a number"),
    pytest.param("", ("", ""), id="nothing"),
])  # fmt: skip
def test_split(text, split):
    assert split_sentences(text) == split


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet="ab.` \n", max_size=20))
def test_nothing_is_lost_in_splitting(text):
    first, rest = split_sentences(text)
    assert text in {first, f"{first} {rest}"}


def test_relative_errors_are_those_of_the_arrays():
    """The description counts the entries that are drawn: 4 wrong, 1 unknown, and the others."""
    told = [int(n) for n in re.findall(r"(?:: |, )(\d+) ", picture_alt(HAND))]
    assert sum(told) == len(HAND.analytic)
    assert np.count_nonzero(np.isnan(HAND.relative_errors)) in told
