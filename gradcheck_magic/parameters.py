"""Named arrays ⇄ one flat vector θ, remembering which entry is whose.

Also the one place that decides whether `params` and `grads` belong together, and says in one line
what is wrong when they do not.
"""

from __future__ import annotations

import copy
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.errors import InputError

__all__ = ["Pairing", "Parameter", "Parameters", "array_leaves", "did_you_mean", "listed", "pair"]

Array = NDArray[Any]
Namespace = Mapping[str, object]

# How a gradient may be called, given its parameter's name; the first style that fits all is taken.
GRADIENT_STYLES = ("d{}", "{}", "grad_{}", "{}_grad", "d_{}", "grad{}")

# `dW` says too little of what was meant by it, `grad` enough.
SHORTEST_STEM = 3


@dataclass(frozen=True)
class Parameter:
    """One array of parameters, and where it stands in θ.

    Attributes
    ----------
    name : str
        What the user calls it.
    array : ndarray
        The user's own array, or a 0-d copy where the user's value is a plain number.
    start : int
        The position of its first entry in θ.
    scalar : bool
        Whether the user's value is a plain number rather than an array.
    """

    name: str
    array: Array
    start: int
    scalar: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.array.size

    @property
    def stop(self) -> int:
        """One past the position of its last entry in θ."""
        return self.start + self.size

    def index(self, k: int) -> tuple[int, ...]:
        """Index of its `k`-th entry, in C order."""
        return tuple(int(i) for i in np.unravel_index(k, self.shape))

    def label(self, k: int) -> str:
        """What to call its `k`-th entry: ``W2[3, 1]``."""
        index = self.index(k)
        return f"{self.name}[{', '.join(map(str, index))}]" if index else self.name


@dataclass(frozen=True)
class Parameters:
    """All parameters, in the order in which they form θ.

    Attributes
    ----------
    container : object
        The user's `params`, as given.
    name : str
        What the user calls the container.
    arrays : tuple of Parameter
        Its arrays, in order. Strings, None, booleans and functions in it are not parameters.
    """

    container: object
    name: str
    arrays: tuple[Parameter, ...]

    @property
    def size(self) -> int:
        """The length of θ."""
        return sum(parameter.size for parameter in self.arrays)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of θ: the parameters' own, float64 where they are integers."""
        dtype = np.result_type(*(parameter.array.dtype for parameter in self.arrays))
        return dtype if dtype.kind == "f" else np.dtype(np.float64)

    def theta(self) -> Array:
        """θ itself: a new flat vector."""
        return np.concatenate([p.array.ravel() for p in self.arrays]).astype(self.dtype)

    def filled(self, leaves: Iterable[Array]) -> Any:
        """Return a container built like the user's, around other arrays (``container`` is kept)."""
        remaining = iter(
            leaf.item() if parameter.scalar else leaf
            for parameter, leaf in zip(self.arrays, leaves, strict=True)
        )
        return _rebuild(self.container, remaining)

    def owner(self, i: int) -> Parameter:
        """Return the parameter to which entry `i` of θ belongs."""
        return next(parameter for parameter in self.arrays if i < parameter.stop)

    def label(self, i: int) -> str:
        """Name entry `i` of θ: ``W2[3, 1]``."""
        owner = self.owner(i)
        return owner.label(i - owner.start)


@dataclass(frozen=True)
class Pairing:
    """`params` and `grads`, found to belong together.

    Attributes
    ----------
    parameters : Parameters
        All parameters.
    checked : tuple of Parameter
        Those whose gradient is to be checked.
    gradients : tuple of ndarray
        A float64 copy of each one's gradient, flat, in C order.
    gradient_names : tuple of str
        What the user calls each gradient.
    notes : tuple of str
        What was taken for granted, each a sentence for the card.
    """

    parameters: Parameters
    checked: tuple[Parameter, ...]
    gradients: tuple[NDArray[np.float64], ...]
    gradient_names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many entries are to be checked."""
        return sum(parameter.size for parameter in self.checked)

    @property
    def indices(self) -> NDArray[np.intp]:
        """Indices into θ of the entries to check."""
        return np.concatenate([np.arange(p.start, p.stop) for p in self.checked])

    @property
    def analytic(self) -> NDArray[np.float64]:
        """The backpropagated gradient over `indices`."""
        return np.concatenate(self.gradients)


def pair(
    params: object,
    grads: object,
    *,
    only: Sequence[str] | None = None,
    names: Sequence[str] | Namespace | None = None,
) -> Pairing:
    """Match every parameter with its gradient.

    Parameters
    ----------
    params, grads : array, number, or nested lists, tuples and dicts of them
        Dicts are matched by name (``W1`` with ``dW1`` or ``W1``), sequences by position.
    only : sequence of str, optional
        The names of the parameters to check; the others are held fixed and need no gradient.
    names : sequence of str, or mapping, optional
        What to call the arrays, in order; or a namespace whose variables name them.

    Raises
    ------
    InputError
        If something is missing, or is not an array of real numbers, or the shapes differ.
    """
    name_of = _Names(names if isinstance(names, Mapping) else {})
    parameters = _collect(params, name_of, None if isinstance(names, Mapping) else names)
    checked = _select(parameters, only)
    matcher = _Matcher(parameters, name_of, {p.name for p in checked})
    found = matcher.match(grads)
    notes = list(matcher.notes)
    gradients = []
    for parameter in checked:
        gradient_name, value = found[parameter.name]
        gradient, note = _fitting(parameter, gradient_name, value)
        gradients.append(gradient)
        notes.extend([note] if note else [])
    gradient_names = tuple(found[parameter.name][0] for parameter in checked)
    return Pairing(parameters, checked, tuple(gradients), gradient_names, tuple(notes))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean `gradients`?)"``, or nothing where no candidate is close.

    Examples
    --------
    >>> did_you_mean("grads", ["gradients", "X"])
    ' (did you mean `gradients`?)'
    """
    pool = [c for c in candidates if not c.startswith("_")]
    close = [c for c in pool if c.lower() == name.lower()]
    close += difflib.get_close_matches(name, pool, n=1, cutoff=0.7)
    # An abbreviation is short beside the word itself, so the ratio of common letters misses it.
    stem = name.rstrip("s").lower()
    close += [c for c in pool if len(stem) >= SHORTEST_STEM and c.lower().startswith(stem)]
    return f" (did you mean `{close[0]}`?)" if close else ""


class _Names:
    """The variables of a namespace, found by the identity of their values."""

    def __init__(self, namespace: Namespace) -> None:
        self._by_id: dict[int, str] = {}
        for name, value in namespace.items():
            if not name.startswith("_") and isinstance(value, (np.ndarray, dict, list, tuple)):
                self._by_id.setdefault(id(value), name)

    def __call__(self, value: object, otherwise: str) -> str:
        return self._by_id.get(id(value), otherwise)


def _collect(params: object, name_of: _Names, names: Sequence[str] | None) -> Parameters:
    root = name_of(params, "params")
    leaves = list(array_leaves(params, root))
    if not leaves:
        raise InputError(f"`{root}` holds no arrays: nothing to check.")
    spoken = _given_names(names, leaves) or _unique_names(leaves, name_of)
    arrays: list[Parameter] = []
    start = 0
    for name, (_, value) in zip(spoken, leaves, strict=True):
        array = _real_array(value, name)
        arrays.append(Parameter(name, array, start, scalar=not isinstance(value, np.ndarray)))
        start += array.size
    if start == 0:
        raise InputError(f"`{root}` is empty: no entry to check.")
    parameters = Parameters(params, root, tuple(arrays))
    _require_finite(parameters)
    return parameters


def array_leaves(node: object, path: str = "", *, top: bool = True) -> Iterator[tuple[str, object]]:
    """Yield every leaf that is no constant, with its path: ``W1``, ``layers[0].W``.

    The keys of the outermost dict stand for themselves.
    """
    for key, child in _children(node):
        yield from array_leaves(child, _joined(path, key, top=top), top=False)
    if not isinstance(node, (dict, list, tuple)) and not _is_constant(node):
        yield path, node


def _joined(path: str, key: object, *, top: bool) -> str:
    """What to call a part: ``W1``, ``layers.W``, ``params[0]``; names at the top stand alone."""
    if not isinstance(key, str):
        return f"{path}[{key!r}]"
    return key if top else f"{path}.{key}"


def _children(node: object) -> Iterable[tuple[object, object]]:
    if isinstance(node, dict):
        return node.items()
    if isinstance(node, (list, tuple)):
        return enumerate(node)
    return ()


def _is_constant(value: object) -> bool:
    """Settings that live beside the arrays: an activation's name, a missing bias, a function."""
    if isinstance(value, np.ndarray):
        return False
    return value is None or isinstance(value, (str, bool, np.bool_)) or _is_function(value)


def _is_function(value: object) -> bool:
    return callable(value) and not hasattr(value, "__array__")


def _given_names(names: Sequence[str] | None, leaves: Sequence[object]) -> list[str] | None:
    if names is None:
        return None
    given = [names] if isinstance(names, str) else list(names)
    if len(given) != len(leaves):
        raise InputError(f"`names` has {len(given)} names for {_count(len(leaves), 'array')}.")
    repeated = [name for name, count in Counter(given).items() if count > 1]
    if repeated:
        raise InputError(f"`names` calls two arrays `{repeated[0]}`: give each its own name.")
    return given


def _unique_names(leaves: Sequence[tuple[str, object]], name_of: _Names) -> list[str]:
    """Return the variables' names for array leaves that only have a position, if they differ."""
    spoken = [name_of(leaf, path) if _by_position(path) else path for path, leaf in leaves]
    counts = Counter(spoken)
    return [
        name if counts[name] == 1 else path for name, (path, _) in zip(spoken, leaves, strict=True)
    ]


def _by_position(path: str) -> bool:
    return path.endswith("]") or path == "params"


def _real_array(value: object, name: str) -> Array:
    """Return `value` as an array of real numbers: an ndarray as it is, a number as 0-d."""
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, (int, float, complex, np.number)):
        array = np.asarray(value)
    else:
        hint = "; convert it with np.asarray" if hasattr(value, "__array__") else ""
        raise InputError(
            f"`{name}` is a {_type_name(value)}: expected a NumPy array or a number{hint}."
        )
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"`{name}` has dtype {array.dtype}: expected real numbers{_dtype_hint(array)}."
        )
    return array


def _dtype_hint(array: Array) -> str:
    return {
        "c": "; check the real and the imaginary part as two parameters",
        "O": "; an array of objects often comes from lists of different lengths",
    }.get(array.dtype.kind, "")


def _type_name(value: object) -> str:
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    return kind.__name__ if module == "builtins" else f"{module}.{kind.__name__}"


def _require_finite(parameters: Parameters) -> None:
    for parameter in parameters.arrays:
        wrong = np.flatnonzero(~np.isfinite(parameter.array.ravel()))
        if wrong.size:
            value = parameter.array.ravel()[wrong[0]]
            raise InputError(
                f"`{parameter.label(wrong[0])}` is {value}: the gradient can only be checked "
                "where every parameter is finite."
            )


def _select(parameters: Parameters, only: Sequence[str] | None) -> tuple[Parameter, ...]:
    if only is None:
        return parameters.arrays
    wanted = [only] if isinstance(only, str) else list(only)
    known = [parameter.name for parameter in parameters.arrays]
    for name in wanted:
        if name not in known:
            raise InputError(
                f"`only` names `{name}`, which is not a parameter{did_you_mean(name, known)}: "
                f"there are {listed(known)}."
            )
    checked = tuple(p for p in parameters.arrays if p.name in wanted)
    if sum(parameter.size for parameter in checked) == 0:
        raise InputError(f"`only` leaves no entry to check: there are {listed(known)}.")
    return checked


class _Matcher:
    """Walks `params` and `grads` side by side and finds each parameter's gradient."""

    def __init__(self, parameters: Parameters, name_of: _Names, wanted: set[str]) -> None:
        self.parameters = parameters
        self.name_of = name_of
        self.wanted = wanted
        self.notes: list[str] = []
        self._found: dict[str, tuple[str, object]] = {}
        self._names: Iterator[str] = iter(())

    def match(self, grads: object) -> dict[str, tuple[str, object]]:
        """Return, by the parameter's name, the gradient's name and value."""
        root = self.name_of(grads, "grads")
        if _is_function(grads):
            raise InputError(f"`{root}` is a function: call it and give its result.")
        if not self._same_kind(self.parameters.container, grads):
            return self._match_by_order(grads, root)
        self._names = iter([parameter.name for parameter in self.parameters.arrays])
        self._walk(self.parameters.container, grads, root, self.parameters.name, top=True)
        return self._found

    @staticmethod
    def _same_kind(params: object, grads: object) -> bool:
        for kind in (dict, (list, tuple)):
            if isinstance(params, kind) or isinstance(grads, kind):
                return isinstance(params, kind) and isinstance(grads, kind)
        return True

    def _walk(self, params: object, grads: object, name: str, path: str, *, top: bool) -> None:
        if isinstance(params, dict):
            self._walk_dicts(params, grads, name, path, top=top)
        elif isinstance(params, (list, tuple)):
            self._walk_sequences(params, grads, name, path)
        elif not _is_constant(params):
            if _by_position(name) or name == "grads":
                name = self.name_of(grads, name)
            self._found[next(self._names)] = (name, grads)

    def _walk_sequences(
        self, params: Sequence[object], grads: object, name: str, path: str
    ) -> None:
        if not isinstance(grads, (list, tuple)):
            raise InputError(
                f"`{name}` is a {_type_name(grads)} where `{path}` is a {_type_name(params)} "
                f"of {len(params)}."
            )
        if len(params) != len(grads):
            raise InputError(
                f"`{path}` has {_count(len(params), 'array')} and `{name}` has {len(grads)}: "
                "each parameter needs its gradient, in the same order."
            )
        for i, (child, grad) in enumerate(zip(params, grads, strict=True)):
            below, child_path = _joined(name, i, top=False), _joined(path, i, top=False)
            self._walk(child, grad, below, child_path, top=False)

    def _walk_dicts(
        self, params: dict[Any, Any], grads: object, name: str, path: str, *, top: bool
    ) -> None:
        if not isinstance(grads, dict):
            raise InputError(f"`{name}` is a {_type_name(grads)} where `{path}` is a dict.")
        style = self._style(params, grads)
        for key, child in params.items():
            if _is_constant(child):
                continue
            grad_key = style(key)
            if grad_key in grads:
                below, child_path = _joined(name, grad_key, top=top), _joined(path, key, top=top)
                self._walk(child, grads[grad_key], below, child_path, top=False)
                continue
            skipped = [next(self._names) for _ in array_leaves(child)]
            if self.wanted.intersection(skipped):
                others = [str(other) for other in grads if other not in map(style, params)]
                raise InputError(
                    f"`{name}` has no gradient for `{key}`: expected `d{key}`"
                    f"{did_you_mean(f'd{key}', others)}, found {listed(map(str, grads))}."
                )

    def _style(self, params: dict[Any, Any], grads: dict[Any, Any]) -> Callable[[Any], Any]:
        """Return the naming style under which most parameters have a gradient."""
        keys = [key for key, child in params.items() if not _is_constant(child)]

        def named(style: str) -> Callable[[Any], Any]:
            return lambda key: style.format(key) if isinstance(key, str) else key

        styles = [named(style) for style in GRADIENT_STYLES]
        return max(styles, key=lambda style: sum(style(key) in grads for key in keys))

    def _match_by_order(self, grads: object, root: str) -> dict[str, tuple[str, object]]:
        """Containers of different kinds: the same number of arrays, or one vector for all."""
        arrays = self.parameters.arrays
        path = self.parameters.name
        leaves = list(array_leaves(grads, root))
        if len(leaves) == len(arrays):
            if len(arrays) > 1:
                self.notes.append(
                    f"`{path}` and `{root}` were matched in the order of their arrays."
                )
            return {p.name: leaf for p, leaf in zip(arrays, leaves, strict=True)}
        if len(leaves) == 1 and np.size(leaves[0][1]) == self.parameters.size:  # type: ignore[arg-type]
            self.notes.append(f"`{root}` is one vector: it was split in the order of `{path}`.")
            flat = np.asarray(leaves[0][1]).ravel()
            return {
                p.name: (f"{root}[{p.start}:{p.stop}]", flat[p.start : p.stop].reshape(p.shape))
                for p in arrays
            }
        raise InputError(
            f"`{path}` has {_count(len(arrays), 'array')} and `{root}` has {len(leaves)}: "
            "each parameter needs its gradient."
        )


def _fitting(
    parameter: Parameter, name: str, value: object
) -> tuple[NDArray[np.float64], str | None]:
    """Return the gradient, flat, if it has the parameter's shape; and a note if only nearly."""
    if value is None:
        raise InputError(f"`{name}` is None: `{parameter.name}` needs a gradient.")
    gradient = _real_array(value, name)
    flat = np.array(gradient, dtype=np.float64).ravel()
    if gradient.shape == parameter.shape:
        return flat, None
    if _without_ones(gradient.shape) == _without_ones(parameter.shape):
        return flat, (
            f"`{name}` has shape {gradient.shape} and `{parameter.name}` {parameter.shape}: "
            "axes of length 1 were ignored."
        )
    transposed = gradient.shape == parameter.shape[::-1]
    raise InputError(
        f"`{name}` is {gradient.shape} and `{parameter.name}` is {parameter.shape}: "
        + ("transposed?" if transposed else "a gradient has the shape of its parameter.")
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _rebuild(node: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(node, dict):
        rebuilt = copy.copy(node)
        for key, child in node.items():
            rebuilt[key] = _rebuild(child, leaves)
        return rebuilt
    if isinstance(node, (list, tuple)):
        children = [_rebuild(child, leaves) for child in node]
        if hasattr(node, "_fields"):
            return type(node)(*children)
        return tuple(children) if isinstance(node, tuple) else children
    return node if _is_constant(node) else next(leaves)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return a readable list: `W1`, `b1` and `W2`."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > most:
        quoted = [*quoted[:most], f"{len(quoted) - most} more"]
    *first, last = quoted or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last
