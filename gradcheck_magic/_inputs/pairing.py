"""Matching of parameters with their gradients, and the errors if that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate, islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import (
    densified,
    from_library,
    library_of,
    overlapping,
    requires_gradient,
)
from gradcheck_magic._inputs.containers import children, without_generators
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    array_leaves,
    collect,
    describe_type,
    is_constant,
    is_function,
    is_positional,
    joined_path,
    readable_key,
    real_array,
    refuse_iterators,
    variable_names,
    while_reading,
)
from gradcheck_magic._inputs.precision import eps_of, is_low, significant_bits
from gradcheck_magic._wording import counted, did_you_mean, listed
from gradcheck_magic.errors import InputError

__all__ = ["Pairing", "has_gradients", "largest_entry", "matched", "pair"]

Vector = NDArray[np.float64]
# A gradient as the user gave it, and its name; or a `_Missing`, which is an error only if the
# parameter is to be checked.
Match = tuple[str, object]

# Possible names of a gradient, given its parameter's name; the first style that fits best is used.
STYLES = ("d{}", "{}", "grad_{}", "{}_grad", "d_{}", "grad{}")
# The number of pairs of arrays that are noted as sharing memory.
MOST_NOTED = 3


@dataclass(frozen=True)
class Pairing:
    """`params` and `grads`, matched with each other."""

    parameters: Parameters
    # A float64 copy of the gradient of each parameter to be checked, flat, in C order.
    gradients: tuple[Vector, ...]
    gradient_names: tuple[str, ...]
    # The spacing of numbers next to 1 in the precision of each gradient as it was given.
    gradient_eps: tuple[float, ...]
    # The dtype of each gradient as it was given.
    gradient_dtypes: tuple[np.dtype[Any], ...]
    # The assumptions that were made, each a sentence for the card.
    notes: tuple[str, ...]

    @property
    def checked(self) -> tuple[Parameter, ...]:
        """The parameters whose gradient is to be checked."""
        return self.parameters.checked

    @property
    def size(self) -> int:
        """The number of entries to check."""
        return self.starts[-1]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The position in `indices` of the first entry of each checked parameter, and the end."""
        return tuple(accumulate((parameter.size for parameter in self.checked), initial=0))

    @property
    def indices(self) -> NDArray[np.intp]:
        """The indices into θ of the entries to check."""
        return np.concatenate([np.arange(p.start, p.stop) for p in self.checked])

    @cached_property
    def largest(self) -> float:
        """The largest absolute value among the finite entries of the gradient."""
        return max(map(largest_entry, self.gradients), default=0.0)

    @cached_property
    def largest_beside(self) -> tuple[float, ...]:
        """The largest entry of the gradient as it compares with those of each checked parameter.

        Gradients by parameters in different units, such as joules and kelvins, can be compared only
        if each is multiplied by the size of its parameter. The lesser of both comparisons counts.
        """
        sizes = [parameter.magnitude for parameter in self.checked]
        gradients = zip(self.gradients, sizes, strict=True)
        change = max((largest_entry(g) * size for g, size in gradients), default=0.0)
        return tuple(min(self.largest, change / size) for size in sizes)

    def indices_of(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the indices into θ of some of the entries to check."""
        which = np.searchsorted(self.starts, positions, side="right") - 1
        moved = [p.start - start for p, start in zip(self.checked, self.starts, strict=False)]
        indices: NDArray[np.intp] = positions + np.array(moved, dtype=np.intp)[which]
        return indices

    def parts(self) -> Iterator[tuple[Parameter, slice]]:
        """Yield each checked parameter, and its slice of `indices`."""
        for parameter, (start, stop) in zip(self.checked, pairwise(self.starts), strict=True):
            yield parameter, slice(start, stop)

    @property
    def analytic(self) -> Vector:
        """The backpropagated gradient over `indices`."""
        return np.concatenate(self.gradients)


def largest_entry(gradient: Vector) -> float:
    """Return the largest absolute value among the finite entries."""
    most = max(float(gradient.max(initial=0.0)), -float(gradient.min(initial=0.0)))
    return most if math.isfinite(most) else largest_entry(gradient[np.isfinite(gradient)])


def pair(
    params: object,
    grads: object,
    *,
    only: Sequence[str] | None = None,
    names: Names = None,
) -> Pairing:
    """Match every parameter with its gradient.

    Dicts are matched by name (``W1`` with ``dW1`` or ``W1``), sequences by position. Modules and
    pytrees are matched as dicts. If tensors require a gradient, `grads` may be None: then the
    gradient is taken from their ``.grad``, where torch accumulates it. `only` and `names` are those
    of `collect`. An `InputError` is raised if a gradient is missing or is not an array of real
    numbers, or if shapes differ.
    """
    return matched(collect(params, only=only, names=names), grads, names)


def matched(parameters: Parameters, grads: object, names: Names) -> Pairing:
    """Match parameters that were collected before with their gradients, as `pair` does."""
    variables = variable_names(names)
    root = variables.get(id(grads), "grads")
    if grads is None and any(requires_gradient(p.value) for p in parameters.arrays):
        parameters, matches, notes = _torch_gradients(parameters)
    else:
        with while_reading(root):
            matches, notes = _matches(parameters, grads, root)
    found = []
    for parameter, (name, value) in zip(parameters.arrays, matches, strict=True):
        if not parameter.checked:
            continue
        spoken = variables.get(id(value), name) if is_positional(name) else name
        with while_reading(spoken):
            found.append((spoken, *_fitting(parameter, spoken, value)))
    gradient_names, gradients, eps, dtypes, ignored = zip(*found, strict=True)
    shared = islice(overlapping((p.name, p.memory) for p in parameters.checked), MOST_NOTED)
    sharing = [
        f"`{one}` and `{other}` share memory: each was moved individually, in a copy."
        for one, other in shared
        if one != other
    ]
    notes = [*sharing, *notes, *filter(None, ignored)]
    return Pairing(parameters, gradients, gradient_names, eps, dtypes, tuple(notes))


def _torch_gradients(parameters: Parameters) -> tuple[Parameters, list[Match], list[str]]:
    """Match each parameter with its ``.grad``, and note the assumptions that were made.

    Parameters that require no gradient are held fixed in those that are returned.
    """
    fixed = [p.name for p in parameters.checked if not requires_gradient(p.value)]
    held = set(fixed)
    arrays = tuple(replace(p, checked=p.checked and p.name not in held) for p in parameters.arrays)
    parameters = replace(parameters, arrays=arrays)
    grads = [p.value.grad if p.checked and p.value.is_leaf else None for p in arrays]
    unused = [p.name for p, grad in zip(arrays, grads, strict=True) if p.checked and grad is None]
    if len(unused) == len(parameters.checked):
        raise InputError(
            f"no array in `{parameters.name}` has a gradient: call backward() on the cost first, "
            "or pass the gradients with --grads (grads=...)."
        )
    notes = []
    if fixed:
        rest = "is held fixed: it does" if len(fixed) == 1 else "are held fixed: they do"
        notes.append(f"{listed(fixed)} {rest} not require a gradient.")
    if unused:
        rest = "is None: it was" if len(unused) == 1 else "are None: they were"
        notes.append(f"{listed(f'{name}.grad' for name in unused)} {rest} treated as zero.")
    matches: list[Match] = [
        (f"{p.name}.grad", np.zeros(p.shape) if grad is None else grad)
        for p, grad in zip(arrays, grads, strict=True)
    ]
    return parameters, matches, notes


def has_gradients(params: object) -> bool:
    """Return True if `params` holds tensors for which torch computes gradients."""
    leaves = array_leaves(without_generators(params))
    return any(requires_gradient(leaf) for _, leaf in leaves)


def _matches(parameters: Parameters, grads: object, root: str) -> tuple[list[Match], list[str]]:
    """Return a gradient for every parameter, and a note if the kinds of container differ."""
    params, path = parameters.container, parameters.name
    if grads is None:
        raise InputError(
            f"`{root}` is None: is a `return` missing in the function that computes it?"
        )
    if is_function(grads):
        raise InputError(f"`{root}` is a function: call it, and pass its result.")
    grads = without_generators(grads)
    refuse_iterators(grads, root)
    if _kind(params) is _kind(grads):
        return list(_walk(params, grads, root, path, top=True)), []
    if _kind(params) is None or _kind(grads) is not dict:
        return _by_order(parameters, grads, root)
    # A sequence is matched with a dict by the names of its variables.
    named = {parameter.name: parameter.value for parameter in parameters.arrays}
    matches = list(_walk(named, grads, root, path, top=True))
    if all(isinstance(value, _Missing) for _, value in matches):
        raise InputError(
            f"`{root}` is a dict, but `{path}` is {describe_type(params)}: give both as dicts, or "
            "both as lists."
        )
    return matches, []


def _kind(node: object) -> type | None:
    """Return `list` for what is matched by position, `dict` for what is by name, else None."""
    if issubclass(type(node), (list, tuple)):
        return list
    return None if children(node) is None else dict


def _is_left_out(node: object) -> bool:
    """Return True for a constant that is no container: a module is callable, but holds arrays."""
    return _kind(node) is None and is_constant(node)


def _walk(
    params: object, grads: object, name: str, path: str, *, top: bool = False
) -> Iterator[Match]:
    """Walk through `params` and `grads` side by side, in the order of the parameters."""
    kind = _kind(params)
    if kind is None:
        if not is_constant(params):
            yield name, grads
        return
    held = dict(children(params) or ())
    if _kind(grads) is not kind:
        length = f" of length {len(held)}" if kind is list else ""
        raise InputError(
            f"`{name}` is {describe_type(grads)}, but `{path}` is {describe_type(params)}{length}: "
            "give both the same structure."
        )
    given = dict(children(grads) or ())
    if kind is list and len(held) != len(given):
        noun = "item" if any(map(_is_left_out, held.values())) else "array"
        raise InputError(
            f"`{path}` has {counted(len(held), noun)}, but `{name}` has {len(given)}: "
            "give one gradient for each parameter, in the same order."
        )
    keys = [key for key, child in held.items() if not _is_left_out(child)]
    styled = _best_style(keys, given)
    for key in keys:
        if styled(key) in given:
            below = joined_path(name, styled(key), top=top), joined_path(path, key, top=top)
            yield from _walk(held[key], given[styled(key)], *below)
        else:
            missing = _Missing(partial(_missing, key, name, given, keys, styled))
            yield from ((name, missing) for _ in array_leaves(held[key]))


def _by_order(parameters: Parameters, grads: object, root: str) -> tuple[list[Match], list[str]]:
    """Match containers of different kinds: array by array, or with one vector for all."""
    arrays, path = parameters.arrays, parameters.name
    found = list(array_leaves(grads, root))
    if len(found) == len(arrays):
        note = f"`{path}` and `{root}` were matched in the order of their arrays."
        return found, [note] if len(arrays) > 1 else []
    if not parameters.is_container and isinstance(grads, list):
        return [(root, grads)], []
    given = densified(found[0][1]) if len(found) == 1 else None
    whole = from_library(given, root)
    if whole is not None and np.size(whole) == parameters.size:
        flat = np.ravel(np.asarray(whole))
        # The parts of a vector in bfloat16 are given in bfloat16 again.
        library = library_of(given) if is_low(given) else None
        parts: list[Match] = []
        for p in arrays:
            part = flat[p.start : p.stop].reshape(p.shape)
            part = library.like(given, part) if library else part
            parts.append((f"{root}[{p.start}:{p.stop}]", part))
        return parts, [f"`{root}` is one vector: it was split in the order of `{path}`."]
    raise InputError(
        f"`{path}` has {counted(len(arrays), 'array')}, but `{root}` has {len(found)}: "
        "give one gradient for each parameter."
    )


def _best_style(keys: list[Any], grads: dict[Any, Any]) -> Callable[[Any], Any]:
    """Return the naming style under which most parameters have a gradient."""

    def in_style(style: str) -> Callable[[Any], Any]:
        # A subclass of `str` may format itself differently; only its characters matter.
        return lambda key: style.format(str.__str__(key)) if isinstance(key, str) else key

    return max(map(in_style, STYLES), key=lambda styled: sum(styled(key) in grads for key in keys))


@dataclass(frozen=True)
class _Missing:
    """In place of a gradient that is missing: a function that returns the error."""

    error: Callable[[], InputError]


def _missing(
    key: object,
    name: str,
    grads: dict[Any, Any],
    keys: Sequence[Any],
    styled: Callable[[Any], Any],
) -> InputError:
    taken = set(map(styled, keys))
    free = [readable_key(other) for other in grads if other not in taken]
    own = readable_key(key)
    expected = f"d{own}" if isinstance(key, str) else own
    return InputError(
        f"`{name}` has no gradient for `{own}`: expected `{expected}`"
        f"{did_you_mean(expected, free)}, found {listed(map(readable_key, grads))}."
    )


def _fitting(
    parameter: Parameter, name: str, value: object
) -> tuple[Vector, float, np.dtype[Any], str]:
    """Return a gradient that fits the shape of its parameter as a flat float64 vector.

    Also return the spacing of numbers next to 1 in its own precision, its dtype, and a note if the
    shapes differ by axes of length 1.
    """
    if isinstance(value, _Missing):
        raise value.error()
    if value is None:
        raise InputError(f"`{name}` is None: give a gradient for `{parameter.name}`.")
    if isinstance(value, list):
        with suppress(ValueError):  # lists of different lengths
            value = np.asarray(value)
    value = densified(value)
    array = real_array(value, name)
    with np.errstate(over="ignore"):  # of a long double, or of a whole number
        flat = np.array(array, dtype=np.float64).ravel()
    # A signalling nan would cause a warning at every use.
    flat[np.isnan(flat)] = np.nan
    eps = eps_of(significant_bits(value))
    if array.shape == parameter.shape:
        return flat, eps, array.dtype, ""
    given = f"`{name}` has shape {array.shape}"
    wanted = f"`{parameter.name}` has shape {parameter.shape}"
    if np.asarray(array).squeeze().shape == np.asarray(parameter.array).squeeze().shape:
        note = f"{given} and {wanted}: axes of length 1 were ignored."
        return flat, eps, array.dtype, note
    transposed = array.shape == parameter.shape[::-1]
    advice = "is it transposed?" if transposed else "a gradient must have its parameter's shape."
    raise InputError(f"{given}, but {wanted}: {advice}")
