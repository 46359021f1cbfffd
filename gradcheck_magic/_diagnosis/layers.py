"""Finds the order of the parameters in the network, and the place where an error enters.

Backpropagation goes from the last layer to the first. If the gradients are wrong before one place
and correct after it, the error enters there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.mismatch import Mismatch

__all__ = ["Boundary", "Layers", "boundary", "is_of_norm"]

Mask = NDArray[np.bool_]
Key = tuple[int, ...]

# A single wrong parameter may just as well have an error of its own.
TELLING_PARAMETERS = 2
# The numbers of gates in a layer of an ordinary network, of a GRU and of an LSTM.
GATES = {1, 3, 4}
# Contradictions between a bias and its weights may be chance in up to one of this many units.
CHANCE = 4
# Words in the names of parameters that suggest the scale or the shift of a normalisation.
NORMALISATION = {"gamma", "beta", "norm", "batchnorm", "layernorm", "bn", "ln"}


@dataclass(frozen=True, eq=False)
class Boundary:
    """A place in the network.

    Attributes
    ----------
    after : Mismatch or None
        The parameter after it, whose gradient backpropagation computes first; None at the very
        end, between the last parameter and the cost.
    before : Mismatch
        The last parameter before it.
    layer : int or None
        The number of the layer of `before`, if its name has one.
    explained : tuple of Mismatch
        The wrong parameters before it.
    is_right_after : bool
        True if no parameter after it is wrong, for whatever reason.
    """

    after: Mismatch | None
    before: Mismatch
    layer: int | None
    explained: tuple[Mismatch, ...]
    is_right_after: bool

    @property
    def after_name(self) -> str:
        """The name of the parameter after it; empty at the very end."""
        return self.after.name if self.after else ""

    @property
    def is_numbered(self) -> bool:
        """True if names give the order, rather than the order of the arguments alone."""
        sides = [self.before] if self.after is None else [self.after, self.before]
        return all(_numbers(side.name) for side in sides)


class Layers:
    """The parameters in layers, from the input to the output.

    They are in the order in which they were given, unless numbers in their names give another one:
    ``W1``, ``W2``, ``b1``, ``b2``. A layer has one matrix, and the vectors that go with it.

    Parameters
    ----------
    mismatches : sequence of Mismatch
        All parameters.
    is_everything : bool
        True if there are no unchecked parameters beyond the last one.
    """

    def __init__(self, mismatches: Sequence[Mismatch], *, is_everything: bool = True) -> None:
        self.is_everything = is_everything
        self.layers: list[list[Mismatch]] = []
        for mismatch in _by_number(mismatches):
            if self.layers and _belongs(mismatch, self.layers[-1]):
                self.layers[-1].append(mismatch)
            else:
                self.layers.append([mismatch])
        self._of = {id(m): layer for layer in self.layers for m in layer}

    def beside(self, mismatch: Mismatch) -> list[Mismatch]:
        """Return the other parameters of its layer, going by the numbers in the names."""
        return [other for other in self._of[id(mismatch)] if other is not mismatch]

    def weights_of(self, bias: Mismatch) -> list[Mismatch]:
        """Return the matrices in the layer of a vector; none for a matrix."""
        return [] if _is_matrix(bias) else [m for m in self.beside(bias) if _is_matrix(m)]


def _by_number(mismatches: Sequence[Mismatch]) -> list[Mismatch]:
    keys = {id(m): _numbers(m.name) for m in mismatches}
    matrices = Counter(keys[id(m)] for m in mismatches if _is_matrix(m))
    # If two matrices share a number, it counts within parts, such as encoder and decoder.
    numbered = all(keys.values()) and len({*map(len, keys.values())}) == 1
    if numbered and max(matrices.values(), default=0) == 1:
        return sorted(mismatches, key=lambda m: keys[id(m)])
    return list(mismatches)


def _belongs(mismatch: Mismatch, layer: Sequence[Mismatch]) -> bool:
    key, last = _numbers(mismatch.name), layer[-1].name
    same = key == _numbers(last) and mismatch.name.rpartition(".")[0] == last.rpartition(".")[0]
    return bool(key) and same and not (_is_matrix(mismatch) and any(map(_is_matrix, layer)))


def _numbers(name: str) -> Key:
    return tuple(map(int, re.findall(r"\d{1,9}", name)))


def _is_matrix(mismatch: Mismatch) -> bool:
    return len(mismatch.squeezed) > 1


def _layer_number(name: str) -> int | None:
    """Return the number in a name such as ``W2``; an index as in ``params[2]`` counts from 0."""
    number = re.fullmatch(r"[^\W\d]+(\d+)", name)
    return int(number[1]) if number else None


def boundary(layers: Layers, unexplained: Sequence[Mismatch]) -> Boundary | None:
    """Return the place before which all gradients are wrong, if there is one.

    Parameters
    ----------
    layers : Layers
        All parameters.
    unexplained : sequence of Mismatch
        The wrong parameters that no cause of their own explains.
    """
    wrong = {id(m) for m in _without_own_errors(unexplained, layers)}
    for last in reversed(range(len(layers.layers))):
        found = _boundary_in(layers.layers, last, wrong)
        if found is None or not _is_established(found, is_everything=layers.is_everything):
            continue
        beyond = layers.layers[last + 1] if last + 1 < len(layers.layers) else []
        # If the other side has an unexplained error, it may be the same one.
        return None if any(m in unexplained for m in beyond) else found
    return None


def _is_established(place: Boundary, *, is_everything: bool) -> bool:
    """Return True if both sides are connected; at the very end, if nothing unchecked follows."""
    if place.after is None:
        return is_everything
    if _numbers(place.after.name) and _numbers(place.before.name):
        return True
    # Connected parameters share a length, or a length times a number of gates.
    return any(
        max(one, other) / min(one, other) in GATES
        for one in place.after.squeezed
        for m in place.explained
        for other in m.squeezed
    )


def _boundary_in(layers: list[list[Mismatch]], last: int, wrong: set[int]) -> Boundary | None:
    """Return the boundary in layer number `last`, or right after it, if there is one."""
    here = [m for m in layers[last] if id(m) in wrong]
    before = [m for layer in layers[:last] for m in layer]
    explained = [m for m in before if id(m) in wrong] + here
    if not here or len(explained) < TELLING_PARAMETERS:
        return None
    # The place may be within a layer: parameters before it are wrong, those after it are correct.
    end = layers[last].index(here[-1]) + 1
    earlier = [*before, *layers[last][:end]]
    if any(not m.is_wrong and m.is_compared for m in earlier):
        return None
    if any(_are_one_unit(here[-1], m) for m in layers[last][end:]):
        # There is no place between weights and their bias: both are computed from the same array.
        return None
    later = [*layers[last][end:], *(m for layer in layers[last + 1 :] for m in layer)]
    beyond = layers[last][end:] or (layers[last + 1] if last + 1 < len(layers) else [])
    return Boundary(
        after=_best_known(beyond) if later else None,
        before=_best_known(here[::-1]),
        layer=_layer_number(here[-1].name),
        explained=tuple(explained),
        is_right_after=not any(m.is_wrong for m in later),
    )


def _best_known(layer: Sequence[Mismatch]) -> Mismatch:
    """Return the first matrix in part of a layer, or its first parameter if it has none."""
    return max(layer, key=_is_matrix)


def _without_own_errors(unexplained: Sequence[Mismatch], layers: Layers) -> list[Mismatch]:
    """Leave out parameters with an error of their own.

    These are weights whose bias is correct, and a bias that is wrong in other units than its
    weights: an error closer to the output makes both wrong, in the same units.

    Parameters
    ----------
    unexplained : sequence of Mismatch
        The wrong parameters that no cause of their own explains.
    layers : Layers
        All parameters.
    """
    pairs = [pair for layer in layers.layers for pair in pairwise(layer) if _are_one_unit(*pair)]
    alone = set()
    for weights, bias in pairs:
        if weights.is_wrong and bias.is_compared and not bias.is_wrong:
            alone.add(id(weights))
        elif weights in unexplained and bias in unexplained and not _same_units(weights, bias):
            alone.add(id(bias))
    return [m for m in unexplained if id(m) not in alone]


def _are_one_unit(one: Mismatch, other: Mismatch) -> bool:
    """Return True for weights and their bias."""
    shape = one.parameter.shape
    fits = len(shape) > 1 and not _is_matrix(other) and other.size in shape
    return fits and not is_of_norm(other.name)


def is_of_norm(name: str) -> bool:
    """Return True if a name suggests a normalisation, which comes after the weights."""
    return not NORMALISATION.isdisjoint(re.findall(r"[a-z]+", name.lower()))


def _same_units(weights: Mismatch, bias: Mismatch) -> bool:
    """Return True if hardly any unit is wrong in one of both and correct in the other."""
    if weights.sides is not None or bias.sides is not None:
        # Only some units of each are known, and not the same ones.
        return True
    shape = weights.parameter.shape
    return any(
        CHANCE * _contradictions(weights, bias, axis) <= bias.size
        for axis, length in enumerate(shape)
        if length == bias.size
    )


def _contradictions(weights: Mismatch, bias: Mismatch, axis: int) -> int:
    """Count such units, if they are along an axis of the weights."""
    wrong, right = (
        np.moveaxis(mask.reshape(weights.parameter.shape), axis, 0).reshape(bias.size, -1)
        for mask in (weights.wrong, weights.sample.is_nonzero & weights.right)
    )
    contradicted: Mask = bias.wrong & right.any(axis=1) & ~wrong.any(axis=1)
    contradicted |= bias.sample.is_nonzero & bias.right & wrong.any(axis=1)
    return int(contradicted.sum())
