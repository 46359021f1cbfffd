"""Matching of parameters with their gradients, and the errors if that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import from_library, overlapping, requires_gradient
from gradcheck_magic._inputs.containers import plain, without_generators
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    VariableNames,
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
    while_reading,
)
from gradcheck_magic._wording import counted, did_you_mean, listed, quoted
from gradcheck_magic.errors import InputError

__all__ = ["Pairing", "has_gradients", "matched", "pair"]

Vector = NDArray[np.float64]

# Possible names of a gradient, given its parameter's name; the first style that fits best is used.
STYLES = ("d{}", "{}", "grad_{}", "{}_grad", "d_{}", "grad{}")

# The number of pairs of arrays that are noted as sharing memory.
MOST_NOTED = 3


@dataclass(frozen=True)
class Pairing:
    """`params` and `grads`, matched with each other.

    Attributes
    ----------
    parameters : Parameters
        All parameters.
    gradients : tuple of ndarray
        A float64 copy of the gradient of each parameter to be checked, flat, in C order.
    gradient_names : tuple of str
        The user's name for each gradient.
    gradient_eps : tuple of float
        The spacing of numbers next to 1 in the precision of each gradient as it was given.
    notes : tuple of str
        The assumptions that were made, each a sentence for the card.
    """

    parameters: Parameters
    gradients: tuple[Vector, ...]
    gradient_names: tuple[str, ...]
    gradient_eps: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def checked(self) -> tuple[Parameter, ...]:
        """The parameters whose gradient is to be checked."""
        return self.parameters.checked

    @property
    def size(self) -> int:
        """The number of entries to check."""
        return sum(parameter.size for parameter in self.checked)

    @property
    def indices(self) -> NDArray[np.intp]:
        """The indices into θ of the entries to check."""
        return self.theta_indices(np.arange(self.size))

    def theta_indices(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the indices into θ of the entries at some sorted positions in `indices`."""
        found = [
            positions[here] - part.start + parameter.start
            for parameter, part, here in self._among(positions)
        ]
        return np.concatenate(found)

    def at(self, positions: NDArray[np.intp]) -> Vector:
        """Return the analytic values of the entries at some sorted positions in `indices`."""
        pairs = zip(self.gradients, self._among(positions), strict=True)
        return np.concatenate([g[positions[here] - part.start] for g, (_, part, here) in pairs])

    def _among(self, positions: NDArray[np.intp]) -> Iterator[tuple[Parameter, slice, slice]]:
        """Yield each checked parameter, its slice of `indices`, and its slice of `positions`."""
        for parameter, part in self.parts():
            first, last = np.searchsorted(positions, (part.start, part.stop)).tolist()
            yield parameter, part, slice(first, last)

    def parts(self) -> Iterator[tuple[Parameter, slice]]:
        """Yield each checked parameter, and its slice of `indices`."""
        start = 0
        for parameter in self.checked:
            yield parameter, slice(start, start + parameter.size)
            start += parameter.size

    @property
    def analytic(self) -> Vector:
        """The backpropagated gradient over `indices`."""
        return np.concatenate(self.gradients)


def pair(
    params: object,
    grads: object,
    *,
    only: Sequence[str] | None = None,
    names: Names = None,
) -> Pairing:
    """Match every parameter with its gradient.

    Parameters
    ----------
    params, grads : array, number, or nested lists, tuples and dicts of them
        Dicts are matched by name (``W1`` with ``dW1`` or ``W1``), sequences by position. Modules
        and pytrees are matched as dicts. If tensors require a gradient, `grads` may be None: then
        the gradient is taken from their ``.grad``, where torch accumulates it.
    only : sequence of str, optional
        The names of the parameters to check; the others are held fixed and need no gradient.
    names : sequence of str, or mapping, optional
        The names of the arrays, in order; or a namespace in which the arrays are looked up.

    Raises
    ------
    InputError
        If a gradient is missing or is not an array of real numbers, or if shapes differ.
    """
    variables, given = VariableNames.among(names)
    return matched(collect(params, variables, only=only, names=given), grads, variables)


def matched(parameters: Parameters, grads: object, variables: VariableNames) -> Pairing:
    """Match parameters that were collected before with their gradients, as `pair` does."""
    root = variables(grads, "grads")
    if grads is None and any(requires_gradient(p.value) for p in parameters.arrays):
        parameters, matches, notes = _torch_gradients(parameters)
    else:
        with while_reading(root):
            matches, notes = _Matcher(parameters, variables).match(grads, root)
    notes = [*_sharing(parameters), *notes]
    gradients, gradient_names, gradient_eps = [], [], []
    for parameter, match in zip(parameters.arrays, matches, strict=True):
        if not parameter.checked:
            continue
        if isinstance(match, InputError):
            raise match
        with while_reading(match.name):
            gradient, eps, note = _fitting(parameter, match)
        gradients.append(gradient)
        gradient_names.append(match.name)
        gradient_eps.append(eps)
        notes.extend([note] if note else [])
    return Pairing(
        parameters, tuple(gradients), tuple(gradient_names), tuple(gradient_eps), tuple(notes)
    )


@dataclass(frozen=True)
class _Gradient:
    """A gradient as the user gave it, and the user's name for it."""

    name: str
    value: object


# An error is raised only if its parameter is to be checked.
_Match = _Gradient | InputError


def _torch_gradients(parameters: Parameters) -> tuple[Parameters, list[_Match], list[str]]:
    """Match each parameter with its ``.grad``; hold those that require no gradient fixed.

    Returns
    -------
    parameters : Parameters
        The same parameters, of which fewer may be checked.
    matches : list
        A gradient for each of them.
    notes : list of str
        The assumptions that were made.
    """
    fixed = [p.name for p in parameters.checked if not requires_gradient(p.value)]
    arrays = tuple(replace(p, checked=p.checked and p.name not in fixed) for p in parameters.arrays)
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
    matches: list[_Match] = [
        _Gradient(f"{p.name}.grad", np.zeros(p.shape) if grad is None else grad)
        for p, grad in zip(arrays, grads, strict=True)
    ]
    return parameters, matches, notes


def has_gradients(params: object) -> bool:
    """Return True if `params` holds tensors for which torch computes gradients."""
    leaves = array_leaves(without_generators(params))
    return any(requires_gradient(leaf) for _, leaf in leaves)


class _Matcher:
    """A walk through `params` and `grads` side by side, in the order of the parameters."""

    def __init__(self, parameters: Parameters, variables: VariableNames) -> None:
        self._parameters = parameters
        self._variables = variables

    def match(self, grads: object, root: str) -> tuple[list[_Match], list[str]]:
        """Return a match for every parameter, and a note if the kinds of container differ."""
        params, path = self._parameters.plain, self._parameters.name
        if grads is None:
            raise InputError(
                f"`{root}` is None: is a `return` missing in the function that computes it?"
            )
        if is_function(grads):
            raise InputError(f"`{root}` is a function: call it, and pass its result.")
        grads = plain(without_generators(grads))
        refuse_iterators(grads, root)
        sequences = (list, tuple)
        same_kind = (
            (isinstance(params, dict) and isinstance(grads, dict))
            or (isinstance(params, sequences) and isinstance(grads, sequences))
            or not (self._parameters.is_container or isinstance(grads, (dict, *sequences)))
        )
        if same_kind:
            return list(self._walk(params, grads, root, path, top=True)), []
        if isinstance(grads, dict) and self._parameters.is_container:
            return self._by_variable_name(grads, root), []
        return self._by_order(grads, root)

    def _walk(
        self, params: object, grads: object, name: str, path: str, *, top: bool = False
    ) -> Iterator[_Match]:
        if isinstance(params, dict):
            yield from self._walk_dicts(params, grads, name, path, top=top)
        elif isinstance(params, (list, tuple)):
            yield from self._walk_sequences(params, grads, name, path)
        elif not is_constant(params):
            spoken = self._variables(grads, name) if is_positional(name) else name
            yield _Gradient(spoken, grads)

    def _walk_sequences(
        self, params: Sequence[object], grads: object, name: str, path: str
    ) -> Iterator[_Match]:
        if not isinstance(grads, (list, tuple)):
            raise InputError(
                f"`{name}` is {describe_type(grads)}, but `{path}` is {describe_type(params)} "
                f"of length {len(params)}: give both the same structure."
            )
        if len(params) != len(grads):
            noun = "item" if any(map(is_constant, params)) else "array"
            raise InputError(
                f"`{path}` has {counted(len(params), noun)}, but `{name}` has {len(grads)}: "
                "give one gradient for each parameter, in the same order."
            )
        for i, (child, grad) in enumerate(zip(params, grads, strict=True)):
            yield from self._walk(
                child, grad, joined_path(name, i, top=False), joined_path(path, i, top=False)
            )

    def _walk_dicts(
        self, params: dict[Any, Any], grads: object, name: str, path: str, *, top: bool
    ) -> Iterator[_Match]:
        if not isinstance(grads, dict):
            raise InputError(
                f"`{name}` is {describe_type(grads)}, but `{path}` is a dict: "
                "give both the same structure."
            )
        keys = [key for key, child in params.items() if not is_constant(child)]
        styled = _best_style(keys, grads)
        for key in keys:
            child, grad_key = params[key], styled(key)
            if grad_key in grads:
                below = joined_path(name, grad_key, top=top)
                yield from self._walk(
                    child, grads[grad_key], below, joined_path(path, key, top=top)
                )
            else:
                missing = _missing(key, name, grads, [styled(other) for other in keys])
                yield from (missing for _ in array_leaves(child))

    def _by_variable_name(self, grads: dict[Any, Any], root: str) -> list[_Match]:
        """Match a sequence of arrays with a dict of gradients by the names of their variables."""
        names = [parameter.name for parameter in self._parameters.arrays]
        styled = _best_style(names, grads)
        if not any(styled(name) in grads for name in names):
            raise InputError(
                f"`{root}` is a dict, but `{self._parameters.name}` is "
                f"{describe_type(self._parameters.plain)}: give both as dicts, or both as lists."
            )
        return [
            _Gradient(styled(name), grads[styled(name)])
            if styled(name) in grads
            else _missing(name, root, grads, list(map(styled, names)))
            for name in names
        ]

    def _by_order(self, grads: object, root: str) -> tuple[list[_Match], list[str]]:
        """Match containers of different kinds: array by array, or with one vector for all."""
        arrays, path = self._parameters.arrays, self._parameters.name
        found = [_Gradient(name, leaf) for name, leaf in array_leaves(grads, root)]
        if len(found) == len(arrays):
            note = f"`{path}` and `{root}` were matched in the order of their arrays."
            return list(found), [note] if len(arrays) > 1 else []
        if not self._parameters.is_container and isinstance(grads, list):
            return [_Gradient(root, grads)], []
        whole = from_library(found[0].value, root) if len(found) == 1 else None
        if whole is not None and np.size(whole) == self._parameters.size:
            flat = np.ravel(np.asarray(whole))
            parts = [
                _Gradient(f"{root}[{p.start}:{p.stop}]", flat[p.start : p.stop].reshape(p.shape))
                for p in arrays
            ]
            return list(parts), [f"`{root}` is one vector: it was split in the order of `{path}`."]
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


def _missing(key: object, name: str, grads: dict[Any, Any], taken: list[Any]) -> InputError:
    free = [_spoken(other) for other in grads if other not in taken]
    expected = f"d{_spoken(key)}" if isinstance(key, str) else _spoken(key)
    return InputError(
        f"`{name}` has no gradient for `{_spoken(key)}`: expected `{expected}`"
        f"{did_you_mean(expected, free)}, found {listed(map(_spoken, grads))}."
    )


def _spoken(key: object) -> str:
    return readable_key(key) if isinstance(key, str) else quoted(key)


def _sharing(parameters: Parameters) -> Iterator[str]:
    """Yield a note on every two arrays that share memory: the cost gets separate copies."""
    for one, other in islice(
        overlapping((p.name, p.array) for p in parameters.checked), MOST_NOTED
    ):
        if one != other:
            yield f"`{one}` and `{other}` share memory: each was moved individually, in a copy."


def _fitting(parameter: Parameter, gradient: _Gradient) -> tuple[Vector, float, str | None]:
    """Return a gradient that fits the shape of its parameter.

    Returns
    -------
    gradient : ndarray
        The gradient as a flat float64 vector.
    eps : float
        The spacing of numbers next to 1 in its own precision.
    note : str or None
        A note if the shapes differ by axes of length 1.
    """
    name, value = gradient.name, gradient.value
    if value is None:
        raise InputError(f"`{name}` is None: give a gradient for `{parameter.name}`.")
    array = real_array(_from_lists(value), name)
    with np.errstate(over="ignore"):  # of a long double, or of a whole number
        flat = np.array(array, dtype=np.float64).ravel()
    # A signalling nan would cause a warning at every use.
    flat[np.isnan(flat)] = np.nan
    eps = float(np.finfo(array.dtype if array.dtype.kind == "f" else np.float64).eps)
    if array.shape == parameter.shape:
        return flat, eps, None
    if _without_ones(array.shape) == _without_ones(parameter.shape):
        note = (
            f"`{name}` has shape {array.shape} and `{parameter.name}` has shape {parameter.shape}: "
            "axes of length 1 were ignored."
        )
        return flat, eps, note
    transposed = array.shape == parameter.shape[::-1]
    raise InputError(
        f"`{name}` has shape {array.shape}, but `{parameter.name}` has shape {parameter.shape}: "
        + ("is it transposed?" if transposed else "a gradient must have its parameter's shape.")
    )


def _from_lists(value: object) -> object:
    """Return lists of numbers as an array, and anything else unchanged."""
    if not isinstance(value, list):
        return value
    try:
        return np.asarray(value)
    except ValueError:  # lists of different lengths
        return value


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
