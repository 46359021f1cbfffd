"""An error is located between a layer with wrong gradients and the correct ones after it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.layers import Layers, boundary, is_of_norm
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._inputs.parameters import Parameter

MATRIX, VECTOR = (3, 4), (3,)
FLAT = "flat"


def mismatch(name, shape=None, wrong=False):
    """Return a gradient of ones, wrong in no, some or all entries; or one that is zero."""
    shape = shape or (VECTOR if name.startswith("b") else MATRIX)
    size = int(np.prod(shape))
    is_wrong = np.zeros(shape, dtype=bool)
    if wrong is not FLAT:
        is_wrong[() if wrong is True else (wrong or [])] = True
    is_wrong = is_wrong.ravel()
    numerical = np.full(size, 0.0 if wrong is FLAT else 1.0)
    values = numerical + is_wrong, numerical, np.full(size, 1e-9), np.zeros(size)
    parameter = Parameter(name, None, np.ones(shape), 0)
    return Mismatch.of(parameter, f"d{name}", values, is_wrong, np.arange(size), is_bug=True)


def net(wrong, *, weights="W{}", biases="b{}", depth=4):
    """Return layers of weights and biases, some of them wrong."""
    named = [style.format(k) for k in range(1, depth + 1) for style in (weights, biases)]
    return [mismatch(name, wrong=name in wrong) for name in named]


def placed(mismatches, *, known=(), is_everything=True):
    """Return the place of an error; the `known` wrong parameters have a cause of their own."""
    layers = Layers(mismatches, is_everything=is_everything)
    return boundary(layers, [m for m in mismatches if m.is_wrong and m.name not in known])


def names(mismatches):
    return [m.name for m in mismatches]


@pytest.mark.parametrize(("given", "layers"), [
    pytest.param("W1 b1 W2 b2", "W1 b1|W2 b2", id="in order"),
    pytest.param("W1 W2 b1 b2", "W1 b1|W2 b2", id="weights first"),
    pytest.param("b2 W2 b1 W1", "b1 W1|b2 W2", id="backwards"),
    pytest.param("W2 b2 W10 b10", "W2 b2|W10 b10", id="HARD: 10 comes after 2"),
    pytest.param("W2_1 W1_2 W1_1", "W1_1|W1_2|W2_1", id="two numbers"),
    pytest.param("W b V", "W|b|V", id="without a number, as given"),
    pytest.param("W2 W1 V", "W2|W1|V", id="HARD: some without a number, as given"),
    pytest.param("W2 V2 W1", "W2|V2|W1", id="HARD: two matrices of a number, as given"),
    pytest.param("a.W1 a.b1 c.b1", "a.W1 a.b1|c.b1", id="HARD: the same number, elsewhere"),
    pytest.param("l[1].W l[1].b l[0].W", "l[0].W|l[1].W l[1].b", id="indices"),
])  # fmt: skip
def test_layers(given, layers):
    shape = {True: VECTOR, False: MATRIX}
    mismatches = [mismatch(name, shape["b" in name]) for name in given.split()]
    found = Layers(mismatches).layers
    assert "|".join(" ".join(names(layer)) for layer in found) == layers


def test_beside():
    mismatches = net([])
    layers = Layers(mismatches)
    weights, bias = mismatches[2:4]
    assert layers.beside(weights) == [bias]
    assert layers.weights_of(bias) == [weights]
    assert layers.weights_of(weights) == []


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_between_the_right_two(data):
    """The place is found if all is wrong up to layer k and correct after it, in any given order."""
    depth = data.draw(st.integers(1, 6), label="depth")
    k = data.draw(st.integers(1, depth), label="k")
    wrong = [style.format(i) for i in range(1, k + 1) for style in ("W{}", "b{}")]
    mismatches = data.draw(st.permutations(net(wrong, depth=depth)), label="order")
    place = placed(mismatches)
    assert place.before.name == f"W{k}"
    assert place.after is None if k == depth else place.after.name == f"W{k + 1}"
    assert place.layer == k
    assert sorted(names(place.explained)) == sorted(wrong)
    assert place.is_right_after
    assert place.is_numbered


@pytest.mark.parametrize(("wrong", "known", "before"), [
    pytest.param("W1 b1 W2 b2", "", "W2", id="two layers"),
    pytest.param("W1 b1 W2 b2 W4", "W4", "W2", id="and another bug, which has a cause"),
    pytest.param("W1 b1 W2 b2 W4 b4", "", "W2", id="HARD: another one further on"),
    pytest.param("W1 b1 W2 b2 W3", "W3", "W2", id="HARD: next to it, a bug that has a cause"),
    pytest.param("W1 b1 W2 b2 W3", "", None, id="HARD: next to it, one that has none"),
    pytest.param("W2 b2", "", None, id="HARD: what comes before is right"),
    pytest.param("W1", "", None, id="one alone"),
    pytest.param("b1", "", None, id="a bias alone"),
    pytest.param("", "", None, id="nothing"),
])  # fmt: skip
def test_place(wrong, known, before):
    place = placed(net(wrong.split()), known=known.split())
    assert (place and place.before.name) == before
    if place:
        assert place.is_right_after == ({"W3", "W4"}.isdisjoint(wrong.split()))


@pytest.mark.parametrize(("unit", "is_placed"), [
    pytest.param(0, True, id="in the same unit"),
    pytest.param(2, False, id="HARD: in another unit, for another reason"),
])  # fmt: skip
def test_weights_and_their_bias(unit, is_placed):
    """An error closer to the output makes both wrong in the same units."""
    wrong = {"W1": np.s_[:1], "b1": np.s_[unit : unit + 1]}
    order = ("W1", "b1", "W2", "b2")
    place = placed([mismatch(name, wrong=wrong.get(name, False)) for name in order])
    assert (place is not None) == is_placed


def test_nothing_to_compare_is_not_right():
    """A parameter whose gradient is zero, such as a bias before batch norm, shows nothing."""
    order = ["W1", "b1", "W2", "b2", "W3", "b3"]
    flat = [mismatch(n, wrong=FLAT if n == "b1" else n in {"W1", "W2", "b2"}) for n in order]
    assert placed(flat).before.name == "W2"
    right = [mismatch(n, wrong=n in {"W1", "W2", "b2"}) for n in order]
    assert placed(right) is None


@pytest.mark.parametrize("is_everything", [True, False])
def test_beyond_the_last_one_there_may_be_more(is_everything):
    """If some parameters are held fixed, the error may enter after the checked ones."""
    place = placed(net(["W1", "b1"], depth=1), is_everything=is_everything)
    assert (place is not None) == is_everything


@pytest.mark.parametrize(("lengths", "is_placed"), [
    pytest.param((4, 3), True, id="a length in common"),
    pytest.param((12, 7), True, id="HARD: four gates of 3"),
    pytest.param((9, 7), True, id="HARD: three gates of 3"),
    pytest.param((6, 7), False, id="HARD: twice is none"),
    pytest.param((5, 7), False, id="no length in common"),
])  # fmt: skip
def test_without_numbers_lengths_tell_the_chain(lengths, is_placed):
    wrong = [mismatch("U", (3, 11), wrong=True), mismatch("V", (3, 13), wrong=True)]
    place = placed([*wrong, mismatch("W", lengths)])
    assert (place is not None) == is_placed
    if place:
        assert (place.before.name, place.after.name) == ("V", "W")
        assert place.layer is None
        assert not place.is_numbered


def test_between_weights_and_their_normalisation():
    """The scale and the shift of a normalisation come after the weights, in the same layer."""
    shapes = {"W1": MATRIX, "gamma1": VECTOR, "beta1": VECTOR, "W2": (3, 3), "gamma2": VECTOR}
    wrong = {"W1", "gamma1", "beta1", "W2"}
    mismatches = [mismatch(n, shape, n in wrong) for n, shape in shapes.items()]
    place = placed(mismatches)
    assert (place.before.name, place.after.name) == ("W2", "gamma2")


NORMS = ("gamma1", "beta", "bn1.weight", "layers[0].norm.bias", "LayerNorm_2", "ln1")
OTHERS = ("W1", "b1", "normal", "alphabet", "bnet", "theta")


@pytest.mark.parametrize(
    ("name", "expected"), [*((n, True) for n in NORMS), *((n, False) for n in OTHERS)]
)
def test_names_of_normalisations(name, expected):
    assert is_of_norm(name) is expected
