"""An error is located between a layer with wrong gradients and the correct ones after it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.layers import Layers, boundary, is_of_norm
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._inputs.parameters import Parameter

MATRIX, VECTOR = (3, 4), (3,)
# A gradient that is zero, one that disagrees but may be right, and one that is hardly known.
FLAT, DISPUTED, BLURRED = "flat", "disputed", "blurred"


def mismatch(name, shape=None, wrong=False):
    """Return a gradient of ones, wrong in no, some or all entries; or one of another kind."""
    shape = shape or (VECTOR if name.startswith("b") else MATRIX)
    size = int(np.prod(shape))
    is_wrong = np.zeros(shape, dtype=bool)
    if not isinstance(wrong, str):
        is_wrong[() if wrong is True else (wrong or [])] = True
    is_wrong = is_wrong.ravel()
    numerical = np.full(size, 0.0 if wrong is FLAT else 1.0)
    bar = np.full(size, 1.0 if wrong is BLURRED else 1e-9)
    values = numerical + (is_wrong | (wrong is DISPUTED)), numerical, bar, np.zeros(size)
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


@pytest.mark.parametrize(("kinds", "before"), [
    pytest.param({"W1": True, "b1": True, "W2": True, "b2": True}, "W2", id="between two layers"),
    pytest.param({"W1": True, "b1": True, "W2": True, "b2": DISPUTED}, "W2", id="HARD: a bias may"),
    pytest.param({"W1": True, "b1": True, "W2": DISPUTED}, None, id="HARD: the next one may"),
    pytest.param({"W1": True, "b1": True, "W2": BLURRED}, None, id="HARD: the next is not known"),
])  # fmt: skip
def test_what_comes_after_is_known_to_be_right(kinds, before):
    """An error further on would have made it wrong as well, and nobody could tell."""
    order = ["W1", "b1", "W2", "b2", "W3", "b3"]
    place = placed([mismatch(name, wrong=kinds.get(name, False)) for name in order])
    assert (place and place.before.name) == before


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


GATE, SQUARE = (3, 4), (4, 4)


def gates(*names, wrong):
    """Return the parameters of gates that get the same input, and the output after them."""
    shapes = [GATE, SQUARE, (4,)] * 3 + [(4, 2), (2,)]
    return [mismatch(n, shape, n in wrong) for n, shape in zip(names, shapes, strict=True)]


ITEMS = [f"p[{k}]" for k in range(11)]
NAMED = ["Wz", "Uz", "bz", "Wr", "Ur", "br", "Wh", "Uh", "bh", "V", "c"]


@pytest.mark.parametrize("names", [ITEMS, NAMED])
@pytest.mark.parametrize(("wrong", "before"), [
    pytest.param([0, 1, 2], None, id="one gate"),
    pytest.param(range(6), None, id="two gates"),
    pytest.param([0, 1, 2, 4, 5], None, id="HARD: some of two gates"),
    pytest.param(range(9), 8, id="all that comes before the output"),
])  # fmt: skip
def test_gates_side_by_side_are_no_chain(names, wrong, before):
    """Two matrices of the same shape, neither square nor with a way back, have the same input."""
    place = placed(gates(*names, wrong=[names[k] for k in wrong]))
    assert (place and place.before.name) == (before and names[before])
    assert place is None or not place.is_numbered


def test_a_way_back_makes_it_a_chain():
    """The blocks of a residual network repeat their shapes."""
    shapes = {"p[0]": (3, 8), "p[1]": (8, 3), "p[2]": (3, 8), "p[3]": (8, 3)}
    mismatches = [mismatch(n, shape, n < "p[2]") for n, shape in shapes.items()]
    assert placed(mismatches).before.name == "p[1]"


def test_without_numbers_an_error_further_on_is_another_pattern():
    """The weights of gates are followed by their biases."""
    shapes = {"W": SQUARE, "V": SQUARE, "U": SQUARE, "b": (4,), "c": (4,), "d": (4,)}
    mismatches = [mismatch(n, shape, n in {"W", "V", "b", "c"}) for n, shape in shapes.items()]
    assert placed(mismatches) is None


@pytest.mark.parametrize("names", [("A", "W", "b"), ("p[0]", "p[1]", "p[2]")])
def test_no_place_between_weights_and_their_bias(names):
    shapes = (5, 3), (3, 4), (4,)
    mismatches = [mismatch(n, s, n != names[2]) for n, s in zip(names, shapes, strict=True)]
    assert placed(mismatches) is None


@pytest.mark.parametrize(("earlier", "is_placed"), [
    pytest.param(np.s_[:], True, id="everywhere"),
    pytest.param(np.s_[:, 0], False, id="HARD: in a column alone"),
])  # fmt: skip
def test_an_error_spreads_to_all_units_of_earlier_layers(earlier, is_placed):
    mismatches = [mismatch("W1", wrong=earlier), mismatch("W2", wrong=np.s_[:, 0])]
    assert (placed(mismatches) is not None) == is_placed


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
