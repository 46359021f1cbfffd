"""A step curve in words has the right numbers, and as a picture every mark at its place.

The wording is tested elsewhere; here, the case that a sentence describes, and its numbers.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._report.step_curve_text import WIDTH, curve_sentence, curve_text
from gradcheck_magic._result.step_curve import StepCurve

nan, inf = np.nan, np.inf
STEPS = 10.0 ** np.arange(-10, 0)
NOISE, BEND = 1e-16, 0.5


def curve(*, analytic=2.0, true=2.0, bend=BEND, noise=NOISE, holes=(), values=None, **more):
    """Return the curve of an entry with a slope of 2: noise over ε, plus a bend times ε²."""
    roundoff, truncation = 4 * noise / STEPS, bend * STEPS**2
    if values is None:
        values = true + truncation + roundoff / 2
    values = np.array(values, dtype=float)
    values[list(holes)] = nan
    roundoff[list(holes)] = inf
    found = {
        "label": "W[0]", "name": "W", "index": (0,), "analytic": analytic, "steps": STEPS,
        "values": values, "errors": np.abs(values - analytic), "roundoff": roundoff,
        "truncation": truncation, "step": 1e-7, "best": true, "bar": 1e-11, "low": true,
        "high": true, "rounding": 0.0, "wrong": abs(analytic - true) > 1e-10, "enough": 1e-6,
        "changed": (), "precision": "float64", "n_evaluations": 20, "seconds": 0.1, **more,
    }  # fmt: skip
    return StepCurve(**found)


# Every case, and the numbers that its sentence must contain.
ALL = range(len(STEPS))
CASES = {
    "right": (curve(), ["1e-07"]),
    "right, quadratic": (curve(bend=0.0), ["1e-07"]),
    "right, to the left of all": (curve(noise=0.0), ["1e-10"]),
    "used too small": (curve(noise=1e-13, step=1e-10, enough=1e-9), ["1e-10"]),
    "used too large": (curve(step=0.1, enough=1e-9), ["0.1"]),
    "step does not change θ": (curve(step=1e-30), ["1e-30"]),
    "wrong": (curve(analytic=2.5), ["0.5", "1e-10"]),
    "wrong, and the step is blunt": (curve(analytic=2.5, step=1e-10, noise=1e-11), ["0.5"]),
    "nearly": (curve(analytic=2 + 1e-7, wrong=False), ["1e-07", "5e-08"]),
    "rounded gradient": (curve(analytic=2 + 1e-8, wrong=False, rounding=1e-8), ["1e-08"]),
    "noisy": (curve(bar=0.25, noise=1e-3), ["0.25"]),
    "not borne out": (curve(bar=inf), []),
    "kink": (curve(low=-1.5, high=2.5, analytic=0.25, wrong=False), ["-1.5", "2.5", "0.25"]),
    "wrong on a kink": (curve(low=-1.5, high=2.5, analytic=7.25), ["-1.5", "2.5", "7.25"]),
    "flat": (curve(values=0 * STEPS, true=0.0, analytic=0.0), ["0.1"]),
    "flat, and it is said to rise": (curve(values=0 * STEPS, true=0.0), ["0.1", "2"]),
    "nowhere": (curve(holes=ALL, bend=0.0, best=nan, bar=inf), []),
    "on one side": (curve(holes=ALL, bend=0.0), ["2"]),
    "nan": (curve(analytic=nan), ["nan"]),
    "an end": (curve(holes=(8, 9)), ["0.01"]),
    "changed": (curve(changed=("θ",)), []),
    "both changed": (curve(changed=("θ", "the gradient")), []),
}  # fmt: skip


@pytest.mark.parametrize(("curve", "told"), CASES.values(), ids=CASES)
def test_numbers(curve, told):
    sentence = curve_sentence(curve).replace("−", "-")
    found = [t.rstrip(".") for t in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?|nan", sentence)]
    assert set(told) <= set(found)
    assert sentence[0] == "θ" or sentence[0].isupper()
    assert sentence.endswith(".")


def test_every_case_has_a_sentence_of_its_own():
    sentences = [curve_sentence(curve) for curve, _ in CASES.values()]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("name", ["right", "wrong", "kink", "noisy", "nan", "nowhere"])
def test_what_has_changed_comes_first(name):
    """The rest of the sentence is the same as without a change."""
    known, _ = CASES[name]
    changed = curve_sentence(replace(known, changed=("the cost",)))
    first, _, rest = changed.partition(". ")
    assert "cost" in first
    assert first.endswith("now") or ":" in first
    assert rest.endswith(curve_sentence(known))


def test_the_steps_of_a_plateau():
    """A wrong entry has the same error at many steps; the first and the last are given."""
    values = np.full(10, 2.0)
    values[:2], values[8:] = 7.0, 9.0
    told = curve_sentence(curve(analytic=2.5, values=values))
    assert {"1e-08", "0.001"} <= set(re.findall(r"\d[\d.]*(?:e-\d+)?", told))


def test_a_kink_on_the_way():
    """If an error appears at large steps and is not truncation, its first step is given."""
    values = np.full(10, 2.0)
    values[7:] = 2.25
    assert "0.001" in curve_sentence(curve(values=values, bend=0.0))
    smooth = np.full(10, 2.0)
    assert "0.001" not in curve_sentence(curve(values=smooth, bend=0.0))


# The picture


def rows(curve):
    """Return the lines of the picture, one for each step."""
    lines = curve_text(curve).split("\n")
    return [line for line in lines if re.match(r"[ *]\s*\d\.\de[-+]\d\d ", line)]


def test_one_row_for_each_decade():
    """The step that was used is one of them, and marked."""
    fine = 10.0 ** np.arange(-10, 0, 1 / 3)
    size = len(fine)
    told = rows(replace(
        curve(), steps=fine, values=np.full(size, 2.0), errors=np.full(size, 1e-9),
        roundoff=np.full(size, 1e-10), truncation=np.zeros(size), step=fine[10],
    ))  # fmt: skip
    assert 9 <= len(told) <= 11
    marked = [float(row[1:10]) for row in told if row.startswith("*")]
    assert marked == [pytest.approx(fine[10], rel=0.1)]
    assert all(9 < one / other < 11 for one, other in zip(
        [float(row[1:10]) for row in told][1:], [float(row[1:10]) for row in told], strict=False
    ))  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-14, 2), min_size=10, max_size=10))
def test_marks_stand_where_the_errors_are(exponents):
    """The scale is logarithmic: a mark at place p of W is at 10^(low + p / W · (high − low))."""
    errors = 10.0 ** np.array(exponents)
    quiet = replace(curve(), errors=errors, roundoff=np.full(10, 1e-30), truncation=np.zeros(10))
    low, high = map(int, re.search(r"1e(-?\d+) +1e(-?\d+)", curve_text(quiet)).groups())
    told = rows(quiet)
    assert len(told) == 10
    for row, exponent in zip(told, exponents, strict=True):
        picture = row.partition("|")[2]
        assert len(picture) <= WIDTH + 1
        at = low + picture.index("●") / WIDTH * (high - low)
        assert at == pytest.approx(exponent, abs=0.51 * (high - low) / WIDTH)


@pytest.mark.parametrize("name", CASES)
def test_the_whole(name):
    """The label and the values come first and the sentence last, for every curve."""
    known, _ = CASES[name]
    first, *_, last = curve_text(known).split("\n")
    assert first.startswith("W[0]")
    assert last == curve_sentence(known)
    told = rows(known)
    assert len(told) == len(STEPS)
    assert sum(row.startswith("*") for row in told) == (known.used is not None)
    lost = sum(not math.isfinite(value) for value in known.values)
    assert sum("●" not in row for row in told) >= lost
