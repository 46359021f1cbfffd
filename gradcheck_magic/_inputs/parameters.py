"""Conversion between named arrays and one flat vector θ."""

from __future__ import annotations

import ast
import math
import re
from array import ArrayType
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import (
    Library,
    densifying,
    from_library,
    is_array,
    is_real,
    is_users_array,
    library_of,
)
from gradcheck_magic._inputs.containers import (
    Owners,
    children,
    children_once,
    is_module,
    is_pytree,
    module_of,
    rebuilt,
    without_generators,
)
from gradcheck_magic._inputs.objects import attributes, held_by, holds_objects, kept_by_methods
from gradcheck_magic._inputs.ownership import is_users_class
from gradcheck_magic._inputs.precision import BFLOAT16, significant_bits
from gradcheck_magic._result.parameter_check import index_of, label
from gradcheck_magic._wording import (
    counted,
    did_you_mean,
    first_line,
    listed,
    printable,
    quoted,
    shortened,
)
from gradcheck_magic.errors import GradientCheckError, InputError

__all__ = [
    "MOST_NAMED",
    "Mentioned",
    "Names",
    "Parameter",
    "Parameters",
    "array_leaves",
    "collect",
    "cost_name",
    "describe_type",
    "is_constant",
    "is_function",
    "is_positional",
    "joined_path",
    "numeric_array",
    "readable_key",
    "readable_names",
    "refuse_iterators",
    "variable_names",
    "while_reading",
]

Array = NDArray[Any]
# The entries of a parameter are large above this, and nearly the same if they differ by less than
# 1/LARGE of themselves.
LARGE = 1e3
# An error lists at most this many names that the user may copy.
MOST_NAMED = 8
# The deepest nesting that is accepted; real parameters are never nested this deep.
DEEPEST = 100
# Names that take the article "an"; those with a u, such as uint8 and UserDict, take "a".
SPOKEN_WITH_VOWEL = re.compile("[aeio]|xarray", re.IGNORECASE)
# The beginnings of paths in what has no name.
NO_NAMES = ("params[", "grads[")
# The names of the arrays, in order; or a namespace in which the arrays are looked up.
Names = Sequence[str] | Mapping[str, object] | None


@dataclass(frozen=True, eq=False)
class Parameter:
    """One array of parameters, and its position in θ."""

    # The user's name for it, and the user's own object.
    name: str
    value: Any
    # The value as a NumPy array: the user's own, a view of another library's memory, or a copy if
    # there is no memory to share, or if NumPy does not know the numbers in it.
    array: Array
    # The position of its first entry in θ.
    start: int
    # True if its gradient is to be checked; otherwise the parameter is held fixed.
    checked: bool = True
    # The number of its first axes that are those of an output, in a block of a Jacobian.
    output_axes: int = 0
    # The complex parameter of which it is a part, if it is one; and which part it is.
    whole: Parameter | None = None
    is_imaginary: bool = False

    @property
    def is_complex(self) -> bool:
        """True if its entries are complex: then each is two entries of θ."""
        return bool(self.array.dtype.kind == "c")

    def parts(self) -> tuple[Parameter, ...]:
        """Return the real and the imaginary part, as they are in θ; only itself, if it is real."""
        if not self.is_complex:
            return (self,)
        real = replace(self, name=f"{self.name}.real", array=self.array.real, whole=self)
        imaginary = replace(real, name=f"{self.name}.imag", array=self.array.imag, start=real.stop)
        return real, replace(imaginary, is_imaginary=True)

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
        """The position of its last entry in θ, plus one."""
        return self.start + self.size * (2 if self.is_complex else 1)

    @cached_property
    def magnitude(self) -> float:
        """The largest absolute value of its entries; 1.0 if all are zero, or if there are none."""
        values = np.asarray(self.array)
        return max(float(values.max(initial=0)), -float(values.min(initial=0))) or 1.0

    @cached_property
    def spread(self) -> float | None:
        """How much its entries differ, at least 1.0, if they are large and nearly the same.

        Times in seconds since 1970 are: a step in proportion to their size would be far too long.
        None for all others.
        """
        if self.magnitude <= LARGE:
            return None
        values = np.asarray(self.array, dtype=np.float64)
        deviation = float(np.std(values))
        is_same = 0 < deviation < abs(float(np.mean(values))) / LARGE
        return max(1.0, deviation) if is_same else None

    @cached_property
    def library(self) -> Library | None:
        """The library of the user's value; None for NumPy and for plain numbers."""
        return library_of(self.value)

    @cached_property
    def is_number(self) -> bool:
        """True if the user's value is a plain number, which cannot be changed in place."""
        return not isinstance(self.value, np.ndarray) and self.library is None

    @cached_property
    def bits(self) -> int:
        """The significant bits of the user's numbers."""
        return significant_bits(self.value)

    @cached_property
    def is_apart(self) -> bool:
        """True if `array` does not share memory with the user's value."""
        if self.library is None:
            return self.is_number
        return not self.library.shares(self.value) or self.bits == BFLOAT16

    @cached_property
    def memory(self) -> Array:
        """The same array, or one of any dtype that has the memory of numbers in bfloat16."""
        if self.library is None or self.bits != BFLOAT16:
            return self.array
        return self.library.memory(self.value)

    @property
    def present(self) -> Array:
        """The values that the user's object has now."""
        if not self._writing:
            return self.array
        now = self._writing.array(self.value)
        return now.imag if self.is_imaginary else now.real

    def put(self, array: Array) -> None:
        """Change the user's object in place."""
        self.array[...] = array
        if self._writing:
            self._writing.write(self.value, (self.whole or self).array)

    @property
    def _writing(self) -> Library | None:
        """The library that writes to the user's object, if `array` is not in the same memory."""
        return self.library if self.is_apart and self.library and self.library.is_writable else None

    def presented(self, array: Array) -> Any:
        """Convert an array to the type of the user's value."""
        if self.library is not None:
            return self.library.like(self.value, array)
        if not self.is_number:
            return array
        return array[()] if isinstance(self.value, np.generic) else array.item()

    def __reduce__(self) -> tuple[Any, ...]:
        # A view of another library's memory would be unpickled as a separate copy.
        if self.whole is not None:
            return _part_of, (self.whole, self.is_imaginary)
        return _reread, (self.name, self.value, self.start, self.checked)

    def index(self, k: int) -> tuple[int, ...]:
        """Return the index of its `k`-th entry, in C order."""
        return index_of(k, self.shape)

    def label(self, k: int) -> str:
        """Return the label of its `k`-th entry, such as ``W2[3, 1]``, or ``∂r[3]/∂x[1]``."""
        return label(self.name, self.index(k), self.output_axes)


def _part_of(whole: Parameter, k: int) -> Parameter:
    return whole.parts()[k]


def _reread(name: str, value: Any, start: int, checked: bool) -> Parameter:  # noqa: FBT001 (pickle)
    return Parameter(name, value, numeric_array(value, name), start, checked)


@dataclass(frozen=True)
class Parameters:
    """All parameters, in the order in which they form θ."""

    # The user's `params`, and the user's name for it.
    container: object
    name: str
    # The arrays in it, in order. Strings, None, booleans and functions are not parameters.
    leaves: tuple[Parameter, ...]

    @cached_property
    def arrays(self) -> tuple[Parameter, ...]:
        """The real arrays that form θ: one for each leaf, or two for a complex one."""
        return tuple(part for leaf in self.leaves for part in leaf.parts())

    @property
    def is_container(self) -> bool:
        """True if `container` holds arrays; False if it is itself an array."""
        return children(self.container) is not None

    @cached_property
    def is_linked(self) -> bool:
        """True if objects in `container` refer to each other: then copies would not do so."""
        return _is_linked(self.container, {})

    @cached_property
    def library(self) -> Library | None:
        """The library of all the arrays; None for NumPy, or if they are of several libraries."""
        first, *others = (parameter.library for parameter in self.leaves)
        return first if all(library is first for library in others) else None

    @cached_property
    def size(self) -> int:
        """The length of θ."""
        return sum(parameter.size for parameter in self.arrays)

    @cached_property
    def positions(self) -> dict[Parameter, int]:
        """The position of each parameter among all."""
        return {parameter: k for k, parameter in enumerate(self.arrays)}

    @cached_property
    def checked(self) -> tuple[Parameter, ...]:
        """The parameters whose gradient is to be checked."""
        return tuple(parameter for parameter in self.arrays if parameter.checked)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of θ: that of the parameters, or float64 for integers."""
        dtype = np.result_type(*(parameter.array.dtype for parameter in self.arrays))
        return dtype if dtype.kind == "f" else np.dtype(np.float64)

    @property
    def bits(self) -> int:
        """The significant bits of the least precise floats among the parameters."""
        return min(parameter.bits for parameter in self.arrays)

    def theta(self) -> Array:
        """Return θ as a new flat vector."""
        flat = [np.ravel(np.asarray(p.array)) for p in self.arrays]
        return np.concatenate(flat, dtype=self.dtype, casting="unsafe")

    def values(self, leaf: Parameter, theta: Array) -> Array:
        """Return the values of a leaf in any θ, in its shape; a view, unless it is complex."""
        parts = [theta[p.start : p.stop].reshape(p.shape) for p in leaf.parts()]
        return _complex(*parts) if len(parts) > 1 else parts[0]

    def vector(self, theta: Array) -> Array:
        """Return a flat θ as the user's functions get it: complex, if a parameter is complex."""
        if not any(leaf.is_complex for leaf in self.leaves):
            return theta
        return np.concatenate([np.ravel(self.values(leaf, theta)) for leaf in self.leaves])

    def random_direction(self, theta: Array, random: np.random.Generator) -> NDArray[np.float64]:
        """Return a random step in proportion to each entry of θ, so that none changes its sign."""
        with np.errstate(over="ignore", under="ignore"):  # of squares of what is huge, or tiny
            direction = np.abs(theta, dtype=np.float64)
            for parameter in self.arrays:
                part = direction[parameter.start : parameter.stop]
                if parameter.spread is not None:
                    part[:] = parameter.spread
                elif part.any():
                    part[part == 0] = parameter.magnitude
            typical = math.sqrt(float(direction @ direction) / max(theta.size, 1)) or 1.0
        if not math.isfinite(typical):
            typical = float(direction.max())
        direction[direction == 0] = typical
        # The steps are computed in place, so that few arrays of this size are in memory at once.
        signs = random.integers(0, 2, size=theta.size)
        np.negative(direction, out=direction, where=signs == 0)
        del signs
        direction *= random.uniform(0.5, 1.0, theta.size)
        return direction

    def at(self, theta: Array) -> Any:
        """Return a container like the user's, with other values of the checked parameters."""
        return self.filled(self._leaf_at(leaf, theta) for leaf in self.leaves)

    def _leaf_at(self, leaf: Parameter, theta: Array) -> Any:
        if not leaf.checked:
            return leaf.value
        own = leaf.array.dtype
        values = self.values(leaf, theta)
        return leaf.presented(values.astype(own if own.kind in "fc" else np.float64))

    def filled(self, leaves: Iterable[Any]) -> Any:
        """Return a container like the user's with other leaves; the original is not changed."""
        with while_reading(self.name):
            return _rebuilt(self.container, iter(leaves))


def _complex(real: Array, imaginary: Array) -> Array:
    """Return both as one array. A sum real + 1j · imaginary would lose the sign of zeros."""
    array = np.empty(real.shape, dtype=np.result_type(real, np.complex64))
    array.real, array.imag = real, imaginary
    return array


def variable_names(names: Names) -> dict[int, str]:
    """Return the names of the variables in a namespace by the `id` of their values.

    There are none if `names` is no namespace.
    """
    if isinstance(names, Mentioned):
        return names.by_id
    return _variable_names(names, ()) if isinstance(names, Mapping) else {}


def _variable_names(
    names: Mapping[str, object], parts: Iterable[tuple[str, object]]
) -> dict[int, str]:
    found: dict[int, str] = {}
    with while_reading("names"):
        named: list[tuple[str, Any]] = [
            (readable_key(k), v) for k, v in names.items() if isinstance(k, str)
        ]
    for name, value in named:
        # A generator such as model.parameters() would only be another name for the parameters.
        if is_module(value):
            for path, parameter in value.named_parameters():
                found.setdefault(id(parameter), f"{name}.{path}")
    for name, value in named:
        # If an array has several names, the one with a gradient is preferred.
        is_better = id(value) not in found or f"d{name}" in names
        if is_better and _is_nameable(value) and not name.startswith("_"):
            found[id(value)] = readable_key(name)
    for identity, name in _names_inside(named):
        found.setdefault(identity, name)
    # A number is only called what the user calls it in an expression.
    for name, value in (*parts, *((k, v) for k, v in named if is_users_array(v))):
        found.setdefault(id(value), name)
    return found


def _names_inside(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[int, str]]:
    """Yield the `id` and the name of each array in the objects of a namespace."""
    for name, value in named:
        with suppress(InputError):  # objects that refer to each other in a circle
            if held_by(value) is not None:
                yield from ((id(leaf), f"{name}.{path}") for path, leaf in array_leaves(value))
            elif holds_objects(value):
                yield from ((id(leaf), path) for path, leaf in array_leaves(value, name))


def _is_nameable(value: object) -> bool:
    # The type is examined, not the value: a proxy in the notebook may raise.
    if is_users_array(value):
        return False
    own = issubclass(type(value), (np.ndarray, dict, list, tuple)) or callable(value)
    is_array = library_of(value) is not None or bool(densifying(value))
    return own or is_array or is_pytree(value) or held_by(value) is not None


class Mentioned(dict[str, Any]):
    """A namespace at the time of a check, and what parts of its expressions stand for in it.

    Such a part is ``layer1.W`` in ``[layer1.W, layer1.b]``. `left_over` returns the names that only
    loops have bound.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        expressions: Mapping[str, object],
        left_over: Callable[[], Container[str]] = tuple,
    ) -> None:
        words = re.findall(r"[^\W\d]\w*", " ".join(expressions))
        # The names that occur come first: an array may have several.
        super().__init__({word: values[word] for word in words if word in values})
        self.update({name: value for name, value in values.items() if name not in self})
        self._parts = [part for each in expressions.items() for part in _parts_of(*each)]
        self._mentioned, self._left_over = set(words), left_over

    @cached_property
    def by_id(self) -> dict[int, str]:
        """The names of the variables by the `id` of their values."""
        left_over = self._left_over()
        # What a loop has left in `p` has a better name, or a position in a list.
        chosen = {k: v for k, v in self.items() if k in self._mentioned or k not in left_over}
        return _variable_names(chosen, self._parts)


def _parts_of(expression: str, value: object) -> Iterator[tuple[str, object]]:
    tree = ast.parse(expression.strip(), mode="eval").body
    whole = [(tree, value)]
    if isinstance(tree, (ast.List, ast.Tuple)) and isinstance(value, (list, tuple)):
        whole = list(zip(tree.elts, value, strict=False))
    for part, held in whole:
        spoken = ast.unparse(part)
        if isinstance(part, (ast.Name, ast.Attribute, ast.Subscript)) and spoken[0] != "_":
            yield spoken, held


def collect(
    params: object, *, only: Sequence[str] | None = None, names: Names = None
) -> Parameters:
    """Collect the arrays in `params`, and name them.

    `only` has the names of the parameters to check, and `names` those of all arrays, in order; or
    it is a namespace in which the arrays are looked up. An `InputError` is raised if there are no
    arrays, or one of them does not hold finite real numbers.
    """
    variables = variable_names(names)
    root = variables.get(id(params), "params")
    if (module := module_of(params)) is not None:
        for path, parameter in module.named_parameters():
            variables.setdefault(id(parameter), path)
    container = without_generators(params)
    refuse_iterators(container, root)
    with while_reading(root):
        leaves = list(array_leaves(container, root, variables))
    if not leaves:
        raise InputError(f"`{root}` contains no arrays: there is nothing to check.")
    if names is None or isinstance(names, Mapping):
        spoken = readable_names(leaves, variables)
    else:
        spoken = _given_names(names, len(leaves))
    wanted = set(spoken if only is None else _wanted_names(only, spoken))
    arrays: list[Parameter] = []
    start = 0
    for name, (_, value) in zip(spoken, leaves, strict=True):
        with while_reading(name):
            arrays.append(Parameter(name, value, _finite_array(value, name), start, name in wanted))
        start = arrays[-1].stop
    if start == 0:
        raise InputError(f"`{root}` has no entries: there is nothing to check.")
    if not any(parameter.size for parameter in arrays if parameter.checked):
        raise InputError(f"`only` selects no entries: choose from {listed(spoken)}.")
    return Parameters(container, root, tuple(arrays))


def array_leaves(
    node: object,
    path: str = "",
    variables: Mapping[int, str] = MappingProxyType({}),
    above: tuple[object, ...] = (),
    owners: Owners | None = None,
) -> Iterator[tuple[str, object]]:
    """Yield every leaf that is not a constant, with its path: ``W1``, ``layers[0].W``.

    The keys of the outermost dict are used without a prefix. `variables` are the names of
    containers by their `id`, used in place of positions, and `above` the containers around a node.
    An `InputError` is raised if a container contains itself, or is nested too deep. Objects that
    refer to each other are visited once; see `children_once` for their `owners`.
    """
    owners = {} if owners is None else owners
    held = children_once(node, owners)
    if held is not None and any(node is container for container in above):
        raise InputError(
            f"`{path}` is {describe_type(node)} that contains itself: remove that reference."
        )
    if len(above) > DEEPEST:
        raise InputError(
            f"`{path}` is nested more than {DEEPEST} containers deep: use a flatter structure."
        )
    if held is None and not is_constant(node):
        yield path, node
    for key, child in held or ():
        below = joined_path(path, key, top=not above)
        if is_positional(below) and children(child) is not None:
            below = variables.get(id(child), below)
        yield from array_leaves(child, below, variables, (*above, node), owners)


def joined_path(path: str, key: object, *, top: bool) -> str:
    """Return the path of a part: ``layers.W`` or ``params[0]``, and just ``W1`` at the top."""
    if not isinstance(key, str):
        return shortened(f"{path}[{readable_key(key)}]")
    return readable_key(key) if top else shortened(f"{path}.{readable_key(key)}")


def readable_key(key: object) -> str:
    """Return a key or a name as printable text."""
    # A subclass of `str` may convert itself differently; only its characters matter.
    return shortened(printable(str.__str__(key))) if isinstance(key, str) else quoted(key)


@contextmanager
def while_reading(name: str) -> Iterator[None]:
    """Turn any exception from the user's own containers and keys into a one-line `InputError`."""
    try:
        yield
    except GradientCheckError:
        raise
    except Exception as error:
        raise InputError(
            f"`{name}` cannot be read: {type(error).__name__} ({first_line(error)})."
        ) from error


def is_constant(value: object) -> bool:
    """Return True for a setting among the arrays: an activation's name, None, a function."""
    if value is None or isinstance(value, (str, bool, np.bool_)):
        return True
    # The type is examined, as Python does for special methods: an object may have any attribute.
    if hasattr(type(value), "__array__"):
        return False
    return callable(value) or (_is_layer(value) and library_of(value) is None)


def _is_layer(value: object) -> bool:
    """Return True for an object without parameters: it has no numbers but those of a pass."""
    kind: Any = type(value)
    if any(hasattr(kind, name) for name in ("forward", "backward", "fprop", "bprop")):
        return True
    if not is_users_class(kind):
        return False
    kept = frozenset().union(*kept_by_methods(kind))
    own = [held for name, held in attributes(value).items() if name not in kept]
    return bool(kept) and not any(is_array(held) or is_real(held) for held in own)


def is_function(grads: object) -> TypeGuard[Callable[..., Any]]:
    """Return True if `grads` is a function that computes the gradient."""
    return is_constant(grads) and callable(grads) and not (is_module(grads) or is_pytree(grads))


def is_positional(path: str) -> bool:
    """Return True for a path that is only a position, such as ``params[0]``."""
    return path.endswith("]") or path in {"params", "grads"}


def _rebuilt(node: Any, leaves: Iterator[Any]) -> Any:
    held = children(node)
    if held is not None:
        return rebuilt(node, [_rebuilt(child, leaves) for _, child in held])
    return node if is_constant(node) else next(leaves)


def _is_linked(node: Any, owners: Owners) -> bool:
    held = [child for _, child in children_once(node, owners) or ()]
    count = sum(1 for _ in children(node) or ())
    return len(held) < count or any(_is_linked(child, owners) for child in held)


def _name_list(value: object, option: str, expected: str) -> list[str]:
    """Return a sequence of names, or a single name, as a list."""
    if isinstance(value, str):
        return [readable_key(value)]
    if isinstance(value, Iterator) or not np.iterable(value):
        raise InputError(f"`{option}` is {quoted(value)}: expected a sequence of names.")
    given = list(value)
    for name in given:
        if not isinstance(name, str):
            raise InputError(f"`{option}` contains {quoted(name)}: expected {expected}.")
    return list(map(readable_key, given))


def _given_names(names: Sequence[str], count: int) -> list[str]:
    given = _name_list(names, "names", "strings, or a namespace")
    if len(given) != count:
        raise InputError(
            f"`names` has {counted(len(given), 'name')} for {counted(count, 'array')}: "
            "give one name for each array."
        )
    for name, times in Counter(given).items():
        if times > 1:
            raise InputError(
                f"`names` contains `{name}` more than once: give each array its own name."
            )
    return given


def _wanted_names(only: Sequence[str], known: list[str]) -> list[str]:
    all_names = set(known)
    # The real and the imaginary part of a complex parameter are only checked together.
    wanted = [
        name if name in all_names else name.removesuffix(".real").removesuffix(".imag")
        for name in _name_list(only, "only", "names of parameters")
    ]
    for name in wanted:
        if name not in all_names:
            raise InputError(
                f"`only` names `{name}`, which is not a parameter{did_you_mean(name, known)}: "
                f"choose from {listed(known)}."
            )
    return wanted


def readable_names(leaves: Sequence[tuple[str, object]], variables: dict[int, str]) -> list[str]:
    """Return a unique name for each array: the user's own name for it if possible."""
    paths = [path for path, _ in leaves]
    spoken = [_spoken(path, variables.get(id(leaf), path)) for path, leaf in leaves]
    counts = Counter(spoken)
    names = [name if counts[name] == 1 else path for name, path in zip(spoken, paths, strict=True)]
    # A key such as "a.b" may look like the path of another array.
    so_far: Counter[str] = Counter()
    unique = []
    for name in names:
        so_far[name] += 1
        unique.append(name if so_far[name] == 1 else f"{name} ({so_far[name]})")
    return unique


def _spoken(path: str, variable: str) -> str:
    """Return the name of a variable in place of a position, unless it only repeats the path."""
    is_better = is_positional(path) or path.startswith(NO_NAMES)
    return variable if is_better and not variable.endswith(f".{path}") else path


def numeric_array(value: object, name: str) -> Array:
    """Return a value, which the user calls `name`, as a NumPy array of real or complex numbers.

    An ndarray is returned as it is, and a number as a 0-d array. The array of another library
    becomes a view, if its memory can be shared. An `InputError` is raised for anything else.
    """
    value = from_library(value, name)
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(
            f"`{name}` is a masked array: pass a plain array, such as {name}.filled(0)."
        )
    if isinstance(value, np.ndarray):
        array: Array = value
    elif isinstance(value, (int, float, complex, np.number)):
        array = np.asarray(value)
        if array.dtype == object:
            raise InputError(f"`{name}` is an integer of more than 64 bits: pass float({name}).")
    else:
        refuse_iterators(value, name)
        raise InputError(
            f"`{name}` is {describe_type(value)}: expected a NumPy array or a number"
            f"{_type_hint(value, name)}."
        )
    if array.dtype.kind not in "fiuc":
        is_ragged = array.dtype.kind == "O"
        hint = "; an array of objects often comes from lists of different lengths"
        dtype = shortened(printable(str(array.dtype)))
        raise InputError(
            f"`{name}` has dtype {dtype}: expected real numbers{hint if is_ragged else ''}."
        )
    return array


def refuse_iterators(value: object, name: str) -> None:
    """Raise `InputError` if a value can be iterated only once; nothing is taken from it."""
    if isinstance(value, Iterator):
        raise InputError(
            f"`{name}` is {describe_type(value)}, which can be read only once: convert it with "
            f"list({name})."
        )


def _type_hint(value: object, name: str) -> str:
    """Return a hint on how to convert a value that probably holds numbers."""
    if isinstance(value, (dict, list, str, bytes, bytearray)):
        return ""
    if hasattr(value, "__array__") or isinstance(value, (memoryview, ArrayType)):
        return "; convert it with np.asarray"
    if isinstance(value, Mapping):
        return f"; convert it with dict({name})"
    if isinstance(value, (Sequence, ValuesView)):
        return f"; convert it with list({name})"
    arrays = [key for key, held in attributes(value).items() if isinstance(held, np.ndarray)]
    if is_users_class(type(value)) and 0 < len(arrays) <= MOST_NAMED:
        return f"; pass the parameters in it, such as [{', '.join(f'{name}.{k}' for k in arrays)}]"
    return ""


def describe_type(value: object) -> str:
    """Return the type of a value in words, with an article.

    Examples
    --------
    >>> describe_type(3), describe_type("3"), describe_type(np.uint8(3))
    ('an int', 'a str', 'a numpy.uint8')
    """
    kind = type(value)
    module = str(kind.__module__).partition(".")[0]
    name = shortened(kind.__name__ if module == "builtins" else f"{module}.{kind.__name__}")
    return f"{'an' if SPOKEN_WITH_VOWEL.match(name) else 'a'} {name}"


def _finite_array(value: object, name: str) -> Array:
    """Return a parameter as `numeric_array` does, if all its entries are finite."""
    if method := densifying(value):
        kind = describe_type(value).partition(" ")[2]
        raise InputError(
            f"`{name}` is a sparse array ({kind}), and a parameter must be dense: pass "
            f"{name}.{method}(), or its stored values alone, and let the cost make a sparse array "
            "of them."
        )
    array = numeric_array(value, name)
    flat = np.ravel(np.asarray(array))
    with np.errstate(over="ignore"):  # a long double may be infinite as a double
        double = flat.astype(np.float64) if flat.dtype == np.longdouble else flat
    finite = np.isfinite(double)
    if not finite.all():
        k = int(np.argmin(finite))
        entry, found = label(name, index_of(k, array.shape)), flat[k]
        precision = " in double precision" if np.isfinite(found) else ""
        raise InputError(
            f"`{entry}` is {found!s}: the gradient can only be checked if every parameter is "
            f"finite{precision}."
        )
    return array


def cost_name(function: object, names: Names) -> str:
    """Return the user's name for the function: that of a variable, or its own."""
    own: object = None
    with suppress(Exception):  # the user's own may raise anything
        own = function.__name__  # type: ignore[attr-defined]
    is_named = isinstance(own, str) and own != "<lambda>"
    otherwise = readable_key(own) if is_named else "cost_function"
    return variable_names(names).get(id(function), otherwise)
