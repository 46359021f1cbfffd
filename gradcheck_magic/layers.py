"""The order of the parameters in the network, and where in it an error enters the backward pass.

Backpropagation goes from the last layer to the first. What is wrong before one place, and right
after it, went wrong there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck_magic.mismatch import Mismatch
from gradcheck_magic.parameters import Parameter

__all__ = ["Boundary", "boundary", "in_order", "same_layer"]

# One wrong parameter may as well be wrong by itself.
TELLING = 2

Key = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Boundary:
    """A place in the network.

    Attributes
    ----------
    after : Mismatch or None
        The parameter after it, whose gradient backpropagation forms first; None at the very end,
        between the last parameter and the cost.
    before : Mismatch
        The last parameter before it.
    layer : int or None
        The number of the layer of `before`, if its name has one.
    explained : tuple of Mismatch
        The wrong ones before it.
    """

    after: Mismatch | None
    before: Mismatch
    layer: int | None
    explained: tuple[Mismatch, ...]


def in_order(mismatches: Sequence[Mismatch]) -> list[list[Mismatch]]:
    """Return the parameters in layers, from the input to the output.

    Numbers in the names tell, as in ``W1``, ``b1``, ``W2`` or ``layers[0].W``; where not all have
    one, the order in which they were given, alike numbers together.
    """
    keys = [_numbers(m.parameter) for m in mismatches]
    order = list(range(len(mismatches)))
    if all(keys) and len({len(key) for key in keys}) == 1:
        order.sort(key=lambda i: keys[i])
    layers: list[list[Mismatch]] = []
    last: Key | None = None
    for i in order:
        if layers and keys[i] and keys[i] == last:
            layers[-1].append(mismatches[i])
        else:
            layers.append([mismatches[i]])
        last = keys[i]
    return layers


def _numbers(parameter: Parameter) -> Key:
    return tuple(map(int, re.findall(r"\d+", parameter.name)))


def same_layer(mismatch: Mismatch, mismatches: Sequence[Mismatch]) -> list[Mismatch]:
    """Return the other parameters of its layer, as far as numbers in the names tell."""
    (layer,) = (layer for layer in in_order(mismatches) if mismatch in layer)
    return [other for other in layer if other is not mismatch]


def boundary(mismatches: Sequence[Mismatch], open_ones: Iterable[Mismatch]) -> Boundary | None:
    """Return the place before which everything is wrong, if there is one.

    Parameters
    ----------
    mismatches : sequence of Mismatch
        All parameters.
    open_ones : iterable of Mismatch
        Those that are wrong, and that no cause of their own explains.
    """
    layers = in_order(mismatches)
    wrong = {id(m) for m in open_ones}
    for last in reversed(range(len(layers))):
        found = _boundary_in(layers, last, wrong)
        if found is not None:
            return found
    return None


def _boundary_in(layers: list[list[Mismatch]], last: int, wrong: set[int]) -> Boundary | None:
    """The boundary in layer number `last`, or right after it, if there is one."""
    here = [m for m in layers[last] if id(m) in wrong]
    before = [m for layer in layers[:last] for m in layer]
    explained = [m for m in before if id(m) in wrong] + here
    if not here or len(explained) < TELLING:
        return None
    # Within a layer too, what comes after the place is right and what comes before it is wrong.
    end = layers[last].index(here[-1]) + 1
    earlier = [*before, *layers[last][:end]]
    if any(id(m) not in wrong and not m.is_wrong and m.is_compared for m in earlier):
        return None
    later = [*layers[last][end:], *(m for layer in layers[last + 1 :] for m in layer)]
    beyond = layers[last][end:] or (layers[last + 1] if last + 1 < len(layers) else [])
    numbers = _numbers(here[-1].parameter)
    return Boundary(
        after=_best_known(beyond) if later else None,
        before=_best_known(here[::-1]),
        layer=numbers[0] if len(numbers) == 1 else None,
        explained=tuple(explained),
    )


def _best_known(layer: Sequence[Mismatch]) -> Mismatch:
    """The first weights of a layer, or of what is nearest to a place in it."""
    return max(layer, key=lambda m: len(m.squeezed) > 1)
