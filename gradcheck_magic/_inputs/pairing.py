"""Matching of parameters with their gradients, and the errors if that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate, islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import (
    densified,
    from_library,
    is_leaf,
    library_of,
    overlapping,
    requires_gradient,
)
from gradcheck_magic._inputs.containers import (
    Owners,
    children,
    children_once,
    gradients_of,
    is_named_tuple,
    without_generators,
)
from gradcheck_magic._inputs.objects import GRADIENT_STYLES, Gradients
from gradcheck_magic._inputs.parameters import (
    MOST_NAMED,
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
    numeric_array,
    readable_key,
    readable_names,
    refuse_iterators,
    variable_names,
    while_reading,
)
from gradcheck_magic._inputs.precision import eps_of, is_low, significant_bits
from gradcheck_magic._wording import counted, did_you_mean, listed
from gradcheck_magic.errors import InputError

__all__ = [
    "Match",
    "Pairing",
    "Piece",
    "Undefined",
    "flat_doubles",
    "largest_entry",
    "matched",
    "matches_of",
    "pair",
    "require_all",
]

Vector = NDArray[np.float64]
# A gradient as the user gave it, and its name; or a `_Missing`, which is an error only if the
# parameter is to be checked.
Match = tuple[str, object]

# Possible names of a gradient, given its parameter's name; the first style that fits best is used.
STYLES = (GRADIENT_STYLES[0], "{}", *GRADIENT_STYLES[1:])
# The number of pairs of arrays that are noted as sharing memory.
MOST_NOTED = 3
CONJUGATED = (
    "JAX's gradient with regard to x + iy is ∂J/∂x − i ∂J/∂y, and was read like that: a step of "
    "gradient descent takes its conjugate."
)


class Piece(NamedTuple):
    """An array that is read from a flat θ: its name, if it has one, its place, and its shape."""

    name: str
    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pairing:
    """`params` and `grads`, matched with each other."""

    parameters: Parameters
    # A float64 copy of the gradient of each parameter to be checked, flat, in C order.
    gradients: tuple[Vector, ...]
    gradient_names: tuple[str, ...]
    # The spacing of numbers next to 1 in the precision of each gradient as it was given.
    gradient_eps: tuple[float, ...]
    # The dtype and the shape of each gradient as it was given.
    gradient_dtypes: tuple[np.dtype[Any], ...]
    gradient_shapes: tuple[tuple[int, ...], ...]
    # The names of the parameters that the user has left out with `only`.
    not_checked: tuple[str, ...]
    # The assumptions that were made, each a sentence for the card.
    notes: tuple[str, ...]

    @property
    def arguments(self) -> Parameters:
        """The parameters as the function takes them."""
        return self.parameters

    @property
    def checked(self) -> tuple[Parameter, ...]:
        """The parameters whose gradient is to be checked."""
        return self.parameters.checked

    @property
    def size(self) -> int:
        """The number of entries to check."""
        return self.starts[-1]

    @property
    def is_flat(self) -> bool:
        """True if θ is one vector, and so is its gradient."""
        (first, *others), shape = self.parameters.arrays, self.gradient_shapes[0]
        return not others and first.shape == shape and first.size == max(shape, default=0)

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

    def in_pieces(self, pieces: Sequence[Piece]) -> Pairing:
        """Return the same for a flat θ as it is read: in pieces, which are all of it, in order."""
        (flat,), (gradient,), (root,) = self.checked, self.gradients, self.gradient_names
        # Some may have the same name.
        plain = [_slice_of(flat.name, piece) for piece in pieces]
        given = [(piece.name or each, each) for piece, each in zip(pieces, plain, strict=True)]
        arrays = _split(flat, readable_names(given, {}), [piece.shape for piece in pieces])
        arrays = tuple(replace(each, value=flat.value) for each in arrays)
        named = zip(arrays, plain, pieces, strict=True)
        spoken = [f"`{each.name}` is `{place}`" for each, place, piece in named if piece.name]
        many = len(arrays)
        return replace(
            self,
            parameters=replace(self.parameters, leaves=arrays),
            gradients=tuple(gradient[each.start : each.stop] for each in arrays),
            gradient_names=tuple(_slice_of(root, piece) for piece in pieces),
            gradient_eps=self.gradient_eps * many,
            gradient_dtypes=self.gradient_dtypes * many,
            gradient_shapes=tuple(each.shape for each in arrays),
            notes=(
                *self.notes,
                f"The cost reads `{flat.name}` in parts: {listed(spoken, MOST_NAMED, code=False)}.",
            ),
        )

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
    if isinstance(grads, Undefined):
        raise grads.error
    # A gradient is not called what its parameter is, even if it is the same object.
    own = {id(parameters.container), *(id(leaf.value) for leaf in parameters.leaves)}
    variables = {k: name for k, name in variable_names(names).items() if k not in own}
    root = variables.get(id(grads), "grads")
    not_checked = tuple(p.name for p in parameters.leaves if not p.checked)
    if grads is None:
        with while_reading(root):
            grads = gradients_of(parameters.container)
    if grads is None and any(requires_gradient(p.value) for p in parameters.leaves):
        parameters, matches, notes = _torch_gradients(parameters)
    else:
        with while_reading(root):
            parameters, split = _split_like(parameters, grads, root, variables)
            matches, notes = matches_of(parameters, grads, root)
            notes = [*split, *notes]
    found = []
    pairs = [pair for pair in zip(parameters.leaves, matches, strict=True) if pair[0].checked]
    with while_reading(root):
        require_all(pairs)
    for parameter, (name, value) in pairs:
        spoken = variables.get(id(value), name) if is_positional(name) else name
        with while_reading(spoken):
            array = _fitting(parameter, spoken, value)
            eps = eps_of(significant_bits(value))
        if parameter.is_complex and array.dtype.kind != "c":
            notes = [*notes, f"`{spoken}` is real: its imaginary part was taken as zero."]
        found += [
            (each, flat_doubles(part), eps, part.dtype, part.shape)
            for each, part in _parts(parameter, spoken, array)
        ]
    gradient_names, gradients, eps, dtypes, shapes = zip(*found, strict=True)
    shared = islice(overlapping((p.name, p.memory) for p, _ in pairs), MOST_NOTED)
    sharing = [
        f"`{one}` and `{other}` share memory: each was moved individually, in a copy."
        for one, other in shared
        if one != other
    ]
    as_given = gradient_names, eps, dtypes, shapes
    if any(_is_conjugate(parameter) for parameter, _ in pairs):
        notes = [*notes, CONJUGATED]
    return Pairing(parameters, gradients, *as_given, not_checked, (*sharing, *notes))


def _split_like(
    parameters: Parameters, grads: object, root: str, variables: dict[int, str]
) -> tuple[Parameters, list[str]]:
    """Split a flat θ as its gradients are, which makes rows and columns of it; note that, too."""
    if parameters.is_container or parameters.leaves[0].array.ndim != 1 or is_function(grads):
        return parameters, []
    (flat,) = parameters.leaves
    leaves = [
        (variables.get(id(value), name) if is_positional(name) else name, from_library(value, name))
        for name, value in array_leaves(without_generators(grads), root)
    ]
    shapes = [np.shape(value) if isinstance(value, np.ndarray) else () for _, value in leaves]
    sizes = [math.prod(shape) for shape in shapes]
    is_same = len(leaves) == 1 and math.prod(shapes[0]) == max(shapes[0], default=1)
    if is_same or flat.library is not None or () in shapes or sum(sizes) != flat.size:
        return parameters, []
    is_dict = issubclass(type(grads), dict)
    plain = [name if is_dict else f"{flat.name}[{k}]" for k, (name, _) in enumerate(leaves)]
    names = [_without_style(name) or own for (name, _), own in zip(leaves, plain, strict=True)]
    names = names if len(set(names)) == len(names) else plain
    arrays = _split(flat, names, shapes)
    note = f"`{flat.name}` was split like `{root}`, row by row."
    views = [each.array for each in arrays]
    container = dict(zip(names, views, strict=True)) if is_dict else views
    return Parameters(container, parameters.name, arrays), [note]


def _split(
    flat: Parameter, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> tuple[Parameter, ...]:
    """Return views of a flat θ as parameters of their own."""
    vector, starts = flat.array.reshape(-1), accumulate(map(math.prod, shapes), initial=0)
    arrays = []
    for name, shape, start in zip(names, shapes, starts, strict=False):
        view = vector[start : start + math.prod(shape)].reshape(shape)
        arrays.append(replace(flat, name=name, value=view, array=view, start=start))
    return tuple(arrays)


def _slice_of(name: str, piece: Piece) -> str:
    """Return a piece of a vector as Python writes it; a number as an item."""
    stop = piece.start + math.prod(piece.shape)
    return f"{name}[{piece.start}:{stop}]" if piece.shape else f"{name}[{piece.start}]"


def _without_style(name: str) -> str:
    """Return the name of a parameter, given that of its gradient; empty if it has no style."""
    for style in GRADIENT_STYLES:
        before, after = style.split("{}")
        inside = name.removeprefix(before).removesuffix(after)
        if inside.isidentifier() and style.format(inside) == name:
            return inside
    return ""


def _torch_gradients(parameters: Parameters) -> tuple[Parameters, list[Match], list[str]]:
    """Match each parameter with its ``.grad``, and note the assumptions that were made.

    Parameters that require no gradient are held fixed in those that are returned.
    """
    leaves = parameters.leaves
    fixed = [p.name for p in leaves if p.checked and not requires_gradient(p.value)]
    held = set(fixed)
    leaves = tuple(replace(p, checked=p.checked and p.name not in held) for p in leaves)
    parameters = replace(parameters, leaves=leaves)
    grads = [p.value.grad if p.checked and is_leaf(p.value) else None for p in leaves]
    unused = [p.name for p, grad in zip(leaves, grads, strict=True) if p.checked and grad is None]
    if len(unused) == sum(p.checked for p in leaves):
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
        for p, grad in zip(leaves, grads, strict=True)
    ]
    return parameters, matches, notes


def matches_of(parameters: Parameters, grads: object, root: str) -> tuple[list[Match], list[str]]:
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
    params, grads = _alike(params, grads)
    is_flat = not parameters.is_container and _is_flattened(grads, parameters.leaves[0])
    if _kind(params) is _kind(grads) and not is_flat:
        return list(_walk(params, grads, root, path, {}, top=True)), []
    if _kind(params) is None or _kind(grads) is not dict:
        return _by_order(parameters, grads, root)
    # A sequence is matched with a dict by the names of its variables.
    named = {parameter.name: parameter.value for parameter in parameters.leaves}
    matches = list(_walk(named, grads, root, path, {}, top=True))
    if all(isinstance(value, _Missing) for _, value in matches):
        raise InputError(
            f"`{root}` is a dict, but `{path}` is {describe_type(params)}: give both as dicts, or "
            "both as lists."
        )
    return matches, []


def _kind(node: object) -> type | None:
    """Return `list` for what is matched by position, `dict` for what is by name, else None."""
    if issubclass(type(node), (list, tuple)) and not is_named_tuple(node):
        return list
    return None if children(node) is None else dict


def _alike(params: object, grads: object) -> tuple[object, object]:
    """Return both as they are, or without the names of a named tuple if only one has names."""
    one, other = (
        tuple(node) if is_named_tuple(node) and _kind(beside) is list else node  # type: ignore[arg-type]
        for node, beside in ((params, grads), (grads, params))
    )
    return one, other


def _is_left_out(node: object) -> bool:
    """Return True for a constant that is no container: a module is callable, but holds arrays."""
    return _kind(node) is None and is_constant(node)


def _walk(
    params: object, grads: object, name: str, path: str, owners: Owners, *, top: bool = False
) -> Iterator[Match]:
    """Walk through `params` and `grads` side by side, in the order of the parameters."""
    params, grads = _alike(params, grads)
    kind = _kind(params)
    if kind is None:
        if not is_constant(params):
            yield name, grads
        return
    count, held = len(list(children(params) or ())), dict(children_once(params, owners) or ())
    if _kind(grads) is not kind:
        length = f" of length {count}" if kind is list else ""
        raise InputError(
            f"`{name}` is {describe_type(grads)}, but `{path}` is {describe_type(params)}{length}: "
            "give both the same structure."
        )
    given = dict(children(grads) or ())
    if kind is list and count != len(given):
        noun = "item" if any(map(_is_left_out, held.values())) else "array"
        raise InputError(
            f"`{path}` has {counted(count, noun)}, but `{name}` has {len(given)}: "
            "give one gradient for each parameter, in the same order."
        )
    keys = [key for key, child in held.items() if not _is_left_out(child)]
    styled = _best_style(keys, given)
    called = grads.called if type(grads) is Gradients else None
    for key in keys:
        if styled(key) in given:
            own = joined_path(path, key, top=top)
            spoken = styled(key) if called is None else called.get(key, key)
            below = joined_path(name, spoken, top=top)
            if top and called is None and isinstance(key, str) and styled(key) == key:
                # A gradient must not have the name of its parameter.
                is_dict = issubclass(type(grads), dict)
                below = f"{name}['{own}']" if is_dict else f"{name}.{own}"
            yield from _walk(held[key], given[styled(key)], below, own, owners)
        else:
            missing = _Missing(partial(_missing, key, name, given, keys, styled))
            yield from ((name, missing) for _ in array_leaves(held[key], owners=owners))


def _by_order(parameters: Parameters, grads: object, root: str) -> tuple[list[Match], list[str]]:
    """Match containers of different kinds: array by array, or with one vector for all."""
    arrays, path = parameters.leaves, parameters.name
    found = list(array_leaves(grads, root))
    given = densified(found[0][1]) if len(found) == 1 else None
    whole = from_library(given, root)
    if len(found) == len(arrays) and not _is_flattened(whole, arrays[0]):
        note = f"`{path}` and `{root}` were matched in the order of their arrays."
        return found, [note] if len(arrays) > 1 else []
    if not parameters.is_container and isinstance(grads, list):
        return [(root, grads)], []
    stops = list(accumulate(p.size for p in arrays))
    if whole is not None and np.size(whole) == stops[-1]:
        flat = np.ravel(np.asarray(whole))
        # The parts of a vector in bfloat16 are given in bfloat16 again.
        library = library_of(given) if is_low(given) else None
        parts: list[Match] = []
        for p, start, stop in zip(arrays, [0, *stops], stops, strict=False):
            part = flat[start:stop].reshape(p.shape)
            part = library.like(given, part) if library else part
            parts.append((f"{root}[{start}:{stop}]", part))
        what = "split in the order" if len(arrays) > 1 else "read row by row, in the shape"
        return parts, [f"`{root}` is one vector: it was {what} of `{path}`."]
    raise InputError(
        f"`{path}` has {counted(len(arrays), 'array')}, but `{root}` has {len(found)}: "
        "give one gradient for each parameter."
    )


def _is_flattened(value: object, parameter: Parameter) -> bool:
    """Return True for a vector with as many entries as a matrix."""
    is_vector = isinstance(value, np.ndarray) and value.ndim == 1 and value.size == parameter.size
    return is_vector and np.asarray(parameter.array).squeeze().ndim > 1


def _best_style(keys: list[Any], grads: dict[Any, Any]) -> Callable[[Any], Any]:
    """Return the naming style under which most parameters have a gradient."""

    def in_style(style: str) -> Callable[[Any], Any]:
        # A subclass of `str` may format itself differently; only its characters matter.
        return lambda key: style.format(str.__str__(key)) if isinstance(key, str) else key

    return max(map(in_style, STYLES), key=lambda styled: sum(styled(key) in grads for key in keys))


@dataclass(frozen=True)
class Undefined:
    """In place of all gradients: the error that says so."""

    error: InputError


@dataclass(frozen=True)
class _Missing:
    """In place of a gradient that is missing: a function that says so.

    It returns the error as a sentence, and what may have been meant, if anything.
    """

    sentence: Callable[[], tuple[str, str]]


def require_all(pairs: Sequence[tuple[Parameter, Match]]) -> None:
    """Raise `InputError` if the gradient of a parameter is missing."""
    missing = {p.name: value for p, (_, value) in pairs if type(value) is _Missing}
    if not missing:
        return
    given = [p.name for p, _ in pairs if p.name not in missing]
    name, first = next(iter(missing.items()))
    sentence, meant = first.sentence()
    if given and not meant:
        option, value = "--only", "[...]"
        if len(given) <= MOST_NAMED:
            option, value = " ".join([option, *given]), f"{given}"
        others = f"check the others with {option} (in Python, only={value})"
        sentence = f"{sentence} If `{name}` needs none, {others}."
    raise InputError(sentence)


def _missing(
    key: object,
    name: str,
    grads: dict[Any, Any],
    keys: Sequence[Any],
    styled: Callable[[Any], Any],
) -> tuple[str, str]:
    taken = set(map(styled, keys))
    free = [readable_key(other) for other in grads if other not in taken]
    own = readable_key(key)
    expected = f"d{own}" if isinstance(key, str) else own
    meant = did_you_mean(expected, free)
    found = listed(map(readable_key, grads))
    wanted = f"expected `{expected}`{meant}"
    return f"`{name}` has no gradient for `{own}`: {wanted}, found {found}.", meant


def _fitting(parameter: Parameter, name: str, value: object) -> NDArray[Any]:
    """Return a gradient as a NumPy array, if it fits the shape of its parameter.

    Axes of length 1 do not count.
    """
    if value is None:
        raise InputError(f"`{name}` is None: give a gradient for `{parameter.name}`.")
    if isinstance(value, list):
        with suppress(ValueError):  # lists of different lengths
            value = np.asarray(value)
    array = numeric_array(densified(value), name)
    if np.asarray(array).squeeze().shape != np.asarray(parameter.array).squeeze().shape:
        is_transposed = array.shape == parameter.shape[::-1]
        must = "a gradient must have its parameter's shape."
        raise InputError(
            f"`{name}` has shape {array.shape}, but `{parameter.name}` has shape "
            f"{parameter.shape}: {'is it transposed?' if is_transposed else must}"
        )
    if not parameter.is_complex and array.dtype.kind == "c" and np.any(array.imag):
        raise InputError(
            f"`{name}` is complex, but `{parameter.name}` is real, and so is its gradient: take "
            f"the real part, {name}.real, if that is all that is wrong."
        )
    return array


def _parts(
    parameter: Parameter, name: str, gradient: NDArray[Any]
) -> list[tuple[str, NDArray[Any]]]:
    """Return ∂J/∂x and ∂J/∂y for a complex parameter x + iy; the gradient itself for a real one."""
    if not parameter.is_complex:
        return [(name, gradient.real)]
    imaginary = -gradient.imag if _is_conjugate(parameter) else gradient.imag
    return [(f"{name}.real", gradient.real), (f"{name}.imag", imaginary)]


def _is_conjugate(parameter: Parameter) -> bool:
    """Return True if the gradient with regard to x + iy is expected to be ∂J/∂x − i ∂J/∂y."""
    library = parameter.library
    return parameter.is_complex and library is not None and library.conjugates


def flat_doubles(array: NDArray[Any]) -> Vector:
    """Return a copy as a flat float64 vector."""
    with np.errstate(over="ignore"):  # of a long double, or of a whole number
        flat = np.array(array, dtype=np.float64).ravel()
    # A signalling nan would cause a warning at every use.
    flat[np.isnan(flat)] = np.nan
    return flat
