"""Finds the order of the parameters in the network, and the place where an error enters.

Backpropagation goes from the last layer to the first. If the gradients are wrong before one place
and correct after it, the error enters there.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_magic._diagnosis.mismatch import Mismatch

__all__ = ["Boundary", "Layers", "boundary", "is_of_norm"]

# A single wrong parameter may just as well have an error of its own.
TELLING_PARAMETERS = 2
# The numbers of gates in a layer of an ordinary network, of a GRU and of an LSTM.
GATES = {1, 3, 4}
# Words in the names of parameters that suggest the scale or the shift of a normalisation.
NORMALISATION = {"gamma", "beta", "norm", "batchnorm", "layernorm", "bn", "ln"}


@dataclass(frozen=True, eq=False)
class Boundary:
    """A place in the network."""

    # The parameter after it, whose gradient backpropagation computes first; None at the very end,
    # between the last parameter and the cost.
    after: Mismatch | None
    # The last parameter before it, and all wrong ones.
    before: Mismatch
    explained: tuple[Mismatch, ...]
    # True if no parameter after it is wrong, for whatever reason.
    is_right_after: bool

    @property
    def after_name(self) -> str:
        """The name of the parameter after it; empty at the very end."""
        return self.after.own_name if self.after else ""

    @property
    def before_name(self) -> str:
        """The name of the parameter before it."""
        return self.before.own_name

    @property
    def layer(self) -> int | None:
        """The number of the layer of `before`, as in ``W2``; an index as in ``[2]`` is none."""
        number = re.fullmatch(r"[^\W\d]+(\d+)", self.before_name)
        return int(number[1]) if number else None

    @property
    def is_numbered(self) -> bool:
        """True if names give the order, rather than the order of the arguments alone."""
        sides = [self.before] if self.after is None else [self.after, self.before]
        # The index of a list is the order of its items.
        names = [side.own_name for side in sides]
        return all(_numbers(name) and not name.endswith("]") for name in names)


class Layers:
    """The parameters in layers, from the input to the output.

    They are in the order in which they were given, unless numbers in their names give another one:
    ``W1``, ``W2``, ``b1``, ``b2``. A layer has one matrix, and the vectors that go with it.

    `is_everything` says that there are no unchecked parameters beyond the last one.
    """

    def __init__(self, mismatches: Sequence[Mismatch], *, is_everything: bool = True) -> None:
        self.is_everything = is_everything
        self.layers: list[list[Mismatch]] = []
        for mismatch in _by_number(mismatches):
            if self.layers and _belongs(mismatch, self.layers[-1]):
                self.layers[-1].append(mismatch)
            else:
                self.layers.append([mismatch])
        self._layer_of = {m: layer for layer in self.layers for m in layer}

    def of(self, mismatch: Mismatch) -> Sequence[Mismatch]:
        """Return the layer of a parameter."""
        return self._layer_of.get(mismatch, ())

    def beside(self, mismatch: Mismatch) -> list[Mismatch]:
        """Return the other parameters of its layer, going by the numbers in the names."""
        return [m for m in self.of(mismatch) if m is not mismatch]

    def weights_of(self, bias: Mismatch) -> list[Mismatch]:
        """Return the matrices in the layer of a vector; none for a matrix."""
        return [] if _is_matrix(bias) else [m for m in self.beside(bias) if _is_matrix(m)]


def _by_number(mismatches: Sequence[Mismatch]) -> list[Mismatch]:
    keys = {m: _numbers(m.own_name) for m in mismatches}
    named = {m.own_name: keys[m] for m in mismatches if _is_matrix(m)}
    matrices = Counter(named.values())
    # If two matrices share a number, it counts within parts, such as encoder and decoder.
    numbered = all(keys.values()) and len({*map(len, keys.values())}) == 1
    if numbered and max(matrices.values(), default=0) == 1:
        return sorted(mismatches, key=keys.__getitem__)
    return list(mismatches)


def _belongs(mismatch: Mismatch, layer: Sequence[Mismatch]) -> bool:
    name, last = mismatch.own_name, layer[-1].own_name
    key, matrices = _numbers(name), {m.own_name for m in layer if _is_matrix(m)}
    same = key == _numbers(last) and name.rpartition(".")[0] == last.rpartition(".")[0]
    return bool(key) and same and not (_is_matrix(mismatch) and matrices - {name})


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d{1,9}", name)))


def _is_matrix(mismatch: Mismatch) -> bool:
    return len(mismatch.squeezed) > 1


def boundary(layers: Layers, unexplained: Sequence[Mismatch]) -> Boundary | None:
    """Return the place before which all gradients are wrong, if there is one.

    The `unexplained` parameters are those wrong ones that no cause of their own explains.
    """
    wrong = _without_own_errors(unexplained, layers)
    order = list(itertools.chain(*layers.layers))
    # No parameter before the place may be correct.
    right = (k for k, m in enumerate(order) if m.is_right)
    start, first_right = len(order), next(right, len(order))
    for last in reversed(range(len(layers.layers))):
        start -= len(layers.layers[last])
        if start > first_right:
            continue
        found = _boundary_in(layers.layers, last, wrong, order, start)
        if found is not None and _is_established(found, order, layers):
            # If the other side has an unexplained error, it may be the same one. Without numbers,
            # these parameters are no chain if there is one anywhere further on.
            furthest = last + 2 if found.is_numbered else None
            beyond = itertools.chain(*layers.layers[last + 1 : furthest])
            return None if any(m in unexplained or m.is_disputed.any() for m in beyond) else found
    return None


def _is_established(place: Boundary, order: Sequence[Mismatch], layers: Layers) -> bool:
    """Return True if both sides are connected; at the very end, if nothing unchecked follows."""
    if place.is_numbered:
        # An error spreads to all units of the layers before it.
        earlier = [m for m in place.explained if m not in layers.of(place.before)]
        if any(map(_is_mostly_right, earlier)):
            return False
    elif all(map(_is_mostly_right, place.explained)):
        return False
    if place.after is None:
        return layers.is_everything
    if place.is_numbered:
        return place.after.is_mostly_known
    if not place.after.is_mostly_known or _are_side_by_side(place, order):
        return False
    # Connected parameters share a length, or a length times a number of gates.
    return any(
        max(one, other) / min(one, other) in GATES
        for one in place.after.squeezed
        for m in place.explained
        for other in m.squeezed
    )


def _is_mostly_right(mismatch: Mismatch) -> bool:
    """Return True if more than half of the entries with a gradient are correct."""
    n_right = int((mismatch.right & mismatch.sample.is_nonzero).sum())
    return n_right > int(mismatch.wrong.sum())


def _are_side_by_side(place: Boundary, order: Sequence[Mismatch]) -> bool:
    """Return True for matrices with the same input, such as those of several gates, or one unit.

    In a chain, one that leads back comes before the next one from the same length to another.
    """
    if place.after is None or _are_one_unit(place.before, place.after):
        return True
    shape, shapes = place.after.squeezed, {m.squeezed for m in order}
    is_matrix = len(shape) == 2  # noqa: PLR2004 (not a kernel)
    return (
        is_matrix and shape[::-1] not in shapes and shape in {m.squeezed for m in place.explained}
    )


def _boundary_in(
    layers: list[list[Mismatch]],
    last: int,
    wrong: set[Mismatch],
    order: list[Mismatch],
    start: int,
) -> Boundary | None:
    """Return the boundary in layer number `last`, or right after it, if there is one.

    The layer begins at `start` in the `order` of all parameters.
    """
    here = [m for m in layers[last] if m in wrong]
    if not here:
        return None
    # The place may be within a layer: parameters before it are wrong, those after it are correct.
    within = layers[last].index(here[-1]) + 1
    while any(m.is_disputed.any() for m in layers[last][within : within + 1]):
        within += 1
    rest = layers[last][within:]
    if any(_are_one_unit(here[-1], m) for m in rest):
        # There is no place between weights and their bias: both are computed from the same array.
        return None
    earlier, later = order[: start + within], order[start + within :]
    explained = [m for m in earlier if m in wrong]
    some_are_right = any(m.is_right for m in layers[last][:within])
    if len({m.own_name for m in explained}) < TELLING_PARAMETERS or some_are_right:
        return None
    return Boundary(
        after=_best_known(rest or layers[last + 1]) if later else None,
        before=_best_known(here[::-1]),
        explained=tuple(explained),
        is_right_after=not any(m.is_wrong for m in later),
    )


def _best_known(layer: Sequence[Mismatch]) -> Mismatch:
    """Return the first matrix in part of a layer, or its first parameter if it has none."""
    return max(layer, key=_is_matrix)


def _without_own_errors(unexplained: Sequence[Mismatch], layers: Layers) -> set[Mismatch]:
    """Leave out weights whose bias is correct, and a bias that is wrong in other units.

    An error closer to the output makes both wrong, in the same units.
    """
    pairs = itertools.chain(*map(itertools.pairwise, layers.layers))
    beside = [(weights, bias) for weights, bias in pairs if _are_one_unit(weights, bias)]
    alone = {weights for weights, bias in beside if bias.is_right}
    alone |= {bias for weights, bias in beside if weights.is_wrong and _are_disjoint(weights, bias)}
    return set(unexplained) - alone


def _are_disjoint(weights: Mismatch, bias: Mismatch) -> bool:
    """Return True if no unit is wrong in both; False if some units are not known."""
    if not (weights.is_whole and bias.is_whole):
        return False
    wrong = weights.wrong.reshape(weights.shape)
    units = [
        wrong.any(axis=tuple(other for other in range(wrong.ndim) if other != axis))
        for axis, length in enumerate(wrong.shape)
        if length == bias.size
    ]
    return not any((of_weights & bias.wrong).any() for of_weights in units)


def _are_one_unit(one: Mismatch, other: Mismatch) -> bool:
    """Return True for weights and their bias."""
    shape = one.parameter.shape
    fits = len(shape) > 1 and not _is_matrix(other) and other.size in shape
    return fits and not is_of_norm(other.name)


def is_of_norm(name: str) -> bool:
    """Return True if a name suggests a normalisation, which comes after the weights."""
    return not NORMALISATION.isdisjoint(re.findall(r"[a-z]+", name.lower()))
