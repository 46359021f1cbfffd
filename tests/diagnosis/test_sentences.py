"""The sentence for a finding has its names, its numbers and its places.

The wording itself is in the golden files; these tests do not depend on it.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from causes import case_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.causes.broadcast import AxisTooMany, WrongAxis
from gradcheck_magic._diagnosis.causes.broadcast_in_cost import BroadcastInCost
from gradcheck_magic._diagnosis.causes.changed_by_cell import ChangedByCell
from gradcheck_magic._diagnosis.causes.conjugate import Conjugate
from gradcheck_magic._diagnosis.causes.entries import Clipped, CutToIntegers, Entries, NotFinite
from gradcheck_magic._diagnosis.causes.ignored import Ignored
from gradcheck_magic._diagnosis.causes.mask import Mask
from gradcheck_magic._diagnosis.causes.regularization import Regularization
from gradcheck_magic._diagnosis.causes.scale import Scale, Sign, Zero
from gradcheck_magic._diagnosis.causes.slice import Slice
from gradcheck_magic._diagnosis.causes.stale import OtherParameters, PreviousCheck, Update
from gradcheck_magic._diagnosis.causes.swapped import Swapped
from gradcheck_magic._diagnosis.causes.symmetrised import MEAN, SUM, Symmetrised
from gradcheck_magic._diagnosis.causes.times_array import TimesArray
from gradcheck_magic._diagnosis.causes.transposed import Transposed
from gradcheck_magic._diagnosis.causes.unknown import FlatHere, NearlyRight, Unknown
from gradcheck_magic._diagnosis.causes.upstream import Upstream
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._result.cause import Cause

BAR = 1e-9
NUMBERS = NotebookNumbers(lambda p: 0.0, {"X": np.zeros((3, 40)), "lambd": 0.7}, pair(1.0, 1.0))


def mismatch(name="W", shape=(3, 4), factor=3.0, *, bar=BAR, gradient_name=None):
    """Return a gradient that is a multiple of the measured one."""
    size = int(np.prod(shape))
    numerical = np.arange(1.0, size + 1)
    parameter = Parameter(name, None, np.ones(shape), 0)
    values = factor * numerical, numerical, np.full(size, bar), np.zeros(size)
    wrong = np.full(size, factor != 1)
    name = gradient_name or f"d{name}"
    return Mismatch.of(parameter, name, values, wrong, np.arange(size), is_bug=True)


W, V = mismatch(), mismatch("V")
COMPLEX = Parameter("z", None, np.ones((3, 4), dtype=complex), 0)
IMAGINARY = replace(mismatch(gradient_name="dz.imag"), parameter=COMPLEX.parts()[1])


def told(kind, evidence, *mismatches, among=None):
    """Return the sentence for a finding."""
    mismatches = mismatches or (W,)
    case = case_of(mismatches if among is None else among, NUMBERS)
    return kind(mismatches, **evidence).sentence(case)


def quoted(text):
    return re.findall(r"`([^`]*)`", text)


def numbers(text):
    """Return the numbers outside of code."""
    plain = re.sub(r"`[^`]*`", "", text).replace("−", "-").replace(",", "")
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", plain)]


def known(**more):
    return {"n_wrong": 3, **more}


PLACE = {"after": "W3", "before": "W2", "layer": 2, "right_after": True, "is_numbered": True}
START = {**PLACE, "after": "", "layer": None}
ALIKE = [{"name": "W", "cosine": 0.25}, {"name": "V", "cosine": 0.75}]
SIGN = {"factor": -1.0, "factor_uncertainty": 1e-9}
SCALE = {"factor": 40.0, "factor_uncertainty": 1e-9}
STRENGTH = {"strength": 0.7, "strength_uncertainty": 1e-9, "l1": False}
ENTRIES = {"n_wrong": 2, "n_right": 10, "indices": [(0, 1), (2, 3)]}

# For each finding, names that must be in code, and numbers that must be in the sentence.
SAID = {
    "sign": (Sign, SIGN, (W, V), {"dW", "dV"}, ()),
    "sign, placed": (Sign, {**SIGN, "after": "W3", "before": "W2"}, (W,), {"dW", "W3", "W2"}, ()),
    "but for a penalty": (Sign, {**SIGN, "penalised": ("V",)}, (W,), {"dW", "V"}, ()),
    "scale": (Scale, SCALE, (W,), {"dW", "X.shape[1]"}, (40.0,)),
    "scale and sign": (Scale, {**SCALE, "factor": -3.25}, (W,), {"dW"}, (-3.25,)),
    "nearly right": (Scale, {**SCALE, "factor": 1.00003}, (W,), {"dW"}, (1.00003,)),
    "conjugate": (Conjugate, {}, (IMAGINARY,), {"dz"}, ()),
    "times the conjugate": (Conjugate, {"factor": 1.25}, (IMAGINARY,), {"dz"}, (1.25, 1.25)),
    "transposed": (Transposed, {"how": "transposed", "axes": (1, 0)}, (W,), {"dW"}, ()),
    "axes": (Transposed, {"how": "transposed", "axes": (0, 2, 1)}, (W,), {"dW"}, (0, 2, 1)),
    "reshaped": (Transposed, {"how": "reshaped", "axes": (1, 0)}, (W,), {"dW"}, ()),
    "reordered": (Transposed, {"how": "reordered", "axes": ()}, (W,), {"dW"}, ()),
    "flipped": (Transposed, {"how": "flipped", "axes": (0, 1)}, (W,), {"dW"}, (0, 1)),
    "shifted": (Transposed, {"how": "shifted", "axes": (1,)}, (W,), {"dW"}, (1,)),
    "exchanged": (Swapped, {"owners": ["V", "W"]}, (W, V), {"dW", "dV"}, (24,)),
    "another's": (Swapped, {"owners": ["U"]}, (W,), {"dW", "U"}, (12,)),
    "others'": (Swapped, {"owners": ["V", "U"]}, (W, V), {"dW", "dV", "V", "U"}, (24,)),
    "zero": (Zero, {}, (W,), {"dW", "W"}, ()),
    "penalty": (Regularization, STRENGTH, (W,), {"dW", "lambd", "J"}, (0.7,)),
    "penalty of some": (Regularization, {**STRENGTH, "n_wrong": 5}, (W,), {"dW"}, (5, 12)),
    "cost": (BroadcastInCost, {"how": "cost", "shapes": ((7,), (7, 1)), "lines": ["r = p - y"]},
             (W,), {"J", "dW", "r = p - y"}, (7, 7, 7, 1)),
    "other axis": (WrongAxis, {"how": "axis", "total": -2.5}, (W,), {"dW"}, (-2.5,)),
    "sum": (AxisTooMany, {"how": "sum", "axes": (0, 1)}, (W,), {"dW"}, ()),
    "mean": (AxisTooMany, {"how": "mean", "axes": (0,)}, (W,), {"dW"}, (0,)),
    "slice": (Slice, {"sides": [[2], [0, 1, 2, 3]], "n_right": 8}, (W,), {"dW"}, (2,)),
    "entries": (Entries, ENTRIES, (W,), {"dW"}, (2, 12, 0, 1, 2, 3)),
    "a factor of entries": (Entries, {**ENTRIES, "within": "SCALE", "factor": 3.25}, (W,), {"dW"},
                            (3.25, 2, 12)),
    "zero entries": (Entries, {**ENTRIES, "within": "ZERO"}, (W,), {"dW"}, (2, 12, 0, 1)),
    "not finite": (NotFinite, {"n_not_finite": 4, "indices": []}, (W,), {"dW"}, (4, 12)),
    "clipped": (Clipped, {"clipped": 0.125}, (W, V), {"dW", "dV"}, (0.125,)),
    "integers": (CutToIntegers, {"dtype": "int64"}, (W, V), {"dW", "dV"}, ()),
    "no signs": (CutToIntegers, {"dtype": "uint8"}, (W,), {"dW"}, ()),
    "mask": (Mask, {"name": "W", "axis": 0, "indices": [1, 2]}, (W, V), {"dW", "dV", "J"},
             (1, 2)),
    "upstream": (Upstream, {**PLACE, "evidence": ALIKE}, (W, V), {"W3", "W2", "dW", "dV"},
                 ()),
    "start": (Upstream, {**START, "evidence": ALIKE}, (W, V), {"dW", "dV", "J"}, ()),
    "stale": (Update, {"learning_rate": 0.05, "name": "lr"}, (W, V), {"dW", "dV", "lr"},
              (0.05,)),
    "stale, unnamed": (Update, {"learning_rate": 0.05, "name": ""}, (W,), {"dW"}, (0.05,)),
    "elsewhere": (OtherParameters, {"arrays": ["old['W']", "old['V']"]}, (W, V),
                  {"dW", "dV", "old['W']", "old['V']", "J"}, ()),
    "after": (Update, {"learning_rate": 0.05, "name": "", "how": "after"}, (W,), {"dW", "J"},
              (0.05,)),
    "times itself": (TimesArray, {"how": "times", "array": "W"}, (W,), {"dW", "W"}, (12,)),
    "by exp": (TimesArray, {"how": "divided by", "array": "np.exp(W)"}, (W,), {"np.exp(W)"}, ()),
    "times exp": (TimesArray, {"how": "times", "array": "np.exp(W)"}, (W,), {"np.exp(W)"}, ()),
    "by itself": (TimesArray, {"how": "divided by", "array": "W"}, (W,), {"dW", "W"}, ()),
    "by an array": (TimesArray, {"how": "divided by", "array": "gamma", "axis": 1}, (W,),
                    {"dW", "gamma"}, ()),
    "its mean": (Symmetrised, {"how": "symmetrised", "formula": MEAN, "is_missing": False}, (W,),
                 {"dW", "W", "J", MEAN}, (12,)),
    "its sum": (Symmetrised, {"how": "symmetrised", "formula": SUM, "is_missing": False}, (W,),
                {"dW", "W[i, j]", "W[j, i]", SUM}, (12,)),
    "no mean": (Symmetrised, {"how": "symmetrised", "formula": MEAN, "is_missing": True}, (W,),
                {"dW", "W", "J", MEAN}, (12,)),
    "no sum": (Symmetrised, {"how": "symmetrised", "formula": SUM, "is_missing": True}, (W,),
               {"dW", "W", "J", SUM}, (12,)),
    "by its cell": (ChangedByCell, {"changed": ["W"]}, (W, V), {"dW", "dV", "W"}, ()),
    "previous": (PreviousCheck, {}, (W,), {"dW"}, ()),
    "ignored": (Ignored, {"within": 3e-7}, (W,), {"W", "dW"}, (3e-7,)),
    "unknown": (Unknown, known(cosine=-0.125, ratio=2.5), (W,), {"dW"},
                (3, 12)),
    "flat": (FlatHere, {"flat_to": 3e-7}, (W,), {"W", "dW"}, (3e-7,)),
    "all nearly right": (NearlyRight, {"evidence": [{"name": "W", "cosine": 0.9875}]}, (W, V),
                         {"dW", "dV", "J"}, ()),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "evidence", "mismatches", "names", "values"), SAID.values(), ids=SAID
)
def test_said(kind, evidence, mismatches, names, values):
    text = told(kind, evidence, *mismatches)
    assert names <= set(quoted(text))
    rest = numbers(text)
    for value in values:
        assert value in rest
        rest.remove(value)
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert text.count("`") % 2 == 0


def test_every_cause_has_a_sentence_of_its_own():
    assert {kind.cause for kind, *_ in SAID.values()} == set(Cause)
    texts = [told(kind, evidence, *group) for kind, evidence, group, _, _ in SAID.values()]
    assert len(set(texts)) == len(texts)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e4, 1e4).filter(lambda c: abs(c) > 1e-3 and abs(c - 1) > 1e-3))
def test_any_factor_is_told_to_four_digits(factor):
    text = told(Scale, {"factor": factor, "factor_uncertainty": 1e-12})
    assert any(n == pytest.approx(factor, rel=5.1e-4) for n in numbers(text))


@pytest.mark.parametrize("uncertainty", [1e-9, 0.02])
def test_the_error_bar_of_a_factor(uncertainty):
    """The error bar is stated if it does not allow four digits."""
    text = told(Scale, {"factor": 3.25, "factor_uncertainty": uncertainty})
    assert (0.02 in numbers(text)) == (uncertainty == 0.02)


SHAPE = (4, 5, 6)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*(st.sets(st.integers(0, n - 1), min_size=1) for n in SHAPE)))
def test_a_block_is_told_as_numpy_would_take_it(sides):
    """The code in the sentence is an index that selects just these entries."""
    sides = [sorted(side) for side in sides]
    text = told(Slice, {"sides": sides, "n_right": 1}, mismatch(shape=SHAPE))
    expression = next(code for code in quoted(text) if code.startswith("dW["))
    picked, meant = np.zeros((2, *SHAPE), dtype=bool)
    namespace = {"dW": picked, "np": np}
    exec(f"{expression} = True", namespace)  # noqa: S102 (the sentence contains code)
    meant[np.ix_(*sides)] = True
    np.testing.assert_array_equal(picked, meant)


@pytest.mark.parametrize(("n", "shown"), [(6, 6), (7, 3), (100, 3)])
def test_many_are_counted(n, shown):
    """Of many gradients, some are named, and the others are counted."""
    group = [mismatch(f"W{k}") for k in range(n)]
    text = told(Clipped, {"clipped": 0.5}, *group)
    assert quoted(text) == [f"dW{k}" for k in range(shown)]
    assert (n - shown in numbers(text)) == (n > shown)


def test_torch_adds_gradients_up():
    """`zero_grad` is mentioned only if all gradients are torch's, and all off by a whole factor."""
    group = [mismatch(name, gradient_name=f"{name}.grad") for name in ("W1", "W2")]
    everywhere = {"factor": 3.0, "factor_uncertainty": 1e-9, "after": "", "before": "W2"}
    assert "zero_grad" in told(Scale, everywhere, *group)
    assert "zero_grad" not in told(Scale, {**everywhere, "after": "W2"}, *group)
    assert "zero_grad" not in told(Scale, {**everywhere, "factor": 2.5}, *group)
    assert "zero_grad" not in told(Scale, everywhere, W, V)


@pytest.mark.parametrize(("other", "is_named"), [(1.0, True), (3.0, False)])
def test_the_others_of_a_layer_are_named_where_they_are_right(other, is_named):
    weights, bias = mismatch("W1"), mismatch("b1", (3,), other)
    text = told(Unknown, known(), weights, among=[weights, bias])
    assert ("db1" in quoted(text)) == is_named


@pytest.mark.parametrize("bar", [1e-9, 1e-2])
def test_how_sure(bar):
    """The sentence has the number of entries that support the cause, and of agreeing digits."""
    text = told(Sign, SIGN, mismatch(bar=bar))
    # All 12 entries, from 1 to 12 with bars of 1e-2, exceed ten bars; 1e-2 √12 / √650 is 1e-3.
    assert {12, 5 if bar < 1e-6 else 2} <= set(numbers(text))


@pytest.mark.parametrize(
    ("cosine", "ratio", "said"),
    [
        # |a - n| / |n| of these: the ratio alone, the angle alone, and both.
        pytest.param(1.0, 1.001, "differs from the numerical gradient by 0.1 %", id="longer"),
        pytest.param(1.0, 0.95, "differs from the numerical gradient by 5 %", id="shorter"),
        pytest.param(1 - 1e-6, 1.0, "differs from the numerical gradient by 0.14 %", id="turned"),
        pytest.param(0.998, 1.05, "differs from the numerical gradient by 8.2 %", id="both"),
        pytest.param(1.0 + 1e-15, 1.09, "by 9 %", id="HARD: a cosine rounded to more than 1"),
        pytest.param(1.0, 1.11, "nearly the same direction as the numerical gradient", id="far"),
        pytest.param(-1.0, 1.03, "differs from −1 times the numerical gradient by 3 %", id="other"),
        pytest.param(0.99, 1.0, "numerical gradient is 0.990, and it is just as long", id="wide"),
        pytest.param(-1.0, 1e300, "nearly the opposite direction", id="HARD: huge"),
    ],
)  # fmt: skip
def test_a_small_difference_is_a_percentage(cosine, ratio, said):
    """A cosine or a ratio that would be rounded to 1 is not shown."""
    text = told(Unknown, known(cosine=cosine, ratio=ratio))
    assert said in text
    assert ("%" in text) != ("as long" in text)
    assert not re.search(r"1\.000| 1 times", text)
