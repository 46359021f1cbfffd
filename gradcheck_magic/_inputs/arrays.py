"""Conversion between NumPy arrays and those of PyTorch, JAX, CuPy, and the array API.

None of these libraries is imported here: a user who has one of their arrays has imported it.

References
----------
The array API standard, https://data-apis.org/array-api/2023.12/.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
from numpy.exceptions import TooHardError
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from gradcheck_magic._inputs.precision import is_low
from gradcheck_magic._wording import first_line
from gradcheck_magic.errors import InputError

__all__ = [
    "Library",
    "densified",
    "densifying",
    "from_library",
    "is_array",
    "is_leaf",
    "is_real",
    "is_tensor",
    "is_users_array",
    "library_of",
    "overlapping",
    "requires_gradient",
    "share",
    "torch_class",
]

Array = NDArray[Any]
# The addresses where an array starts and stops, its number, its name, and the array.
Part = tuple[int, int, int, str, Array]
# The modules of classes that are Python's own.
BUILT_IN = {None, "builtins", "types"}
# Of at most so many arrays in the same stretch of memory, every two are compared.
FEW = 32
# The most work spent on finding out if two strided arrays overlap; real layouts need far less.
MOST_WORK = 100_000


class Library:
    """Arrays that follow the array API, or are CuPy's; the base class of other libraries."""

    # The name of one of the arrays, for sentences.
    noun = "foreign array"
    # If the library uses single precision by default, a phrase that says so.
    default = ""
    # A phrase that says how to get double precision.
    in_double = "use dtype=float64"
    # True if the arrays can be changed in place.
    is_writable = True
    # True if their class is the user's own.
    is_users = False
    # True if the gradient with regard to x + iy is ∂J/∂x − i ∂J/∂y there, not ∂J/∂x + i ∂J/∂y.
    conjugates = False

    def double_precision(self) -> AbstractContextManager[object]:
        """Return a context in which new arrays of doubles keep double precision."""
        return nullcontext()

    def array(self, value: Any) -> Array:
        """Return the value as a NumPy array: a view of the same memory, if `shares` is true.

        Numbers in bfloat16 become a copy in float32.
        """
        array = self.memory(value)
        return array.astype(np.float32) if is_low(array) else array

    def memory(self, value: Any) -> Array:
        """Return the same, but for the dtype, as a view also of numbers in bfloat16."""
        # CuPy converts its arrays to NumPy's only on request.
        return np.asarray(value.get() if hasattr(value, "get") else value)

    def like(self, value: Any, array: Array) -> Any:
        """Return a NumPy array as an array of the library, to replace `value`.

        One in float32 stands for a value in bfloat16, if that is one.
        """
        if hasattr(value, "__array_namespace__"):
            library = value.__array_namespace__()
        else:
            library = sys.modules[type(value).__module__.partition(".")[0]]
        # The array is copied because JAX may keep reading the memory that it was given.
        array = array.astype(value.dtype) if _stands_for(array, value) else array.copy()
        if hasattr(value, "get"):
            with value.device:
                return library.asarray(array)
        return library.asarray(array, device=value.device)

    def shares(self, _: Any) -> bool:
        """Return True if `array` and `like` return views of the same memory, not copies.

        They copy numbers in bfloat16, even then.
        """
        return False

    def write(self, value: Any, array: Array) -> None:
        """Change the value in place."""
        value[...] = self.like(value, array)


class _BFloat16(Library):
    """NumPy's arrays with the bfloat16 of ml_dtypes, which NumPy does not know as a float."""

    noun = "NumPy array"

    def like(self, value: Any, array: Array) -> Any:
        array = array.astype(value.dtype) if _stands_for(array, value) else array
        return array if self.is_writable else array[()]


class _BFloat16Number(_BFloat16):
    """What an operation on such arrays returns if it is a single number."""

    noun = "number in bfloat16"
    is_writable = False


class _Torch(Library):
    """PyTorch's tensors, and the parameters of its modules."""

    noun = "PyTorch tensor"
    default = "PyTorch's default"
    in_double = "use model.double() and X.double()"

    def array(self, value: Any) -> Array:
        # A tensor on another device is copied to this memory.
        value = value.detach().cpu().resolve_conj()
        return np.asarray((value.float() if is_low(value) else value).numpy())

    def memory(self, value: Any) -> Array:
        value = value.detach()
        return self.array(value.view(sys.modules["torch"].int16) if is_low(value) else value)

    def like(self, value: Any, array: Array) -> Any:
        torch = sys.modules["torch"]
        tensor = torch.from_numpy(array)
        if _stands_for(array, value):
            tensor = tensor.to(value.device, value.dtype)
        elif not self.shares(value):
            tensor = tensor.to(value.device, copy=True)
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(tensor, requires_grad=value.requires_grad)
        return tensor.requires_grad_(value.requires_grad)

    def shares(self, value: Any) -> bool:
        return bool(value.device.type == "cpu")

    def write(self, value: Any, array: Array) -> None:
        # `data` is used so that autograd does not notice the change: a graph may still be needed.
        value.data.copy_(sys.modules["torch"].from_numpy(array))


class _Jax(Library):
    """JAX's arrays, which are immutable."""

    noun = "JAX array"
    default = "JAX's default"
    in_double = "enable jax_enable_x64"
    is_writable = False
    conjugates = True

    def double_precision(self) -> AbstractContextManager[object]:
        # By default, JAX would convert the array to single precision.
        scope: Any = getattr(sys.modules["jax"], "enable_x64", None)
        if scope is None:
            scope = sys.modules["jax.experimental"].enable_x64
        enabled: AbstractContextManager[object] = scope(True)  # noqa: FBT003 (JAX's own)
        return enabled


class _Engine(Library):
    """Scalars and tensors of an autograd engine of one's own, with a ``.data`` and a ``.grad``.

    Those of micrograd hold a float, and others an array of NumPy.
    """

    noun = "object with .data and .grad"
    is_users = True

    def array(self, value: Any) -> Array:
        return value.data if self.shares(value) else np.asarray(value.data, np.float64)

    def like(self, value: Any, array: Array) -> Any:
        other = copy.copy(value)
        other.data = array if self.shares(value) else array.item()
        # A backward pass in the cost would add to the user's own gradient.
        other.grad = copy.copy(value.grad)
        return other

    def shares(self, value: Any) -> bool:
        return isinstance(value.data, np.ndarray)

    def write(self, value: Any, array: Array) -> None:
        if self.shares(value):
            value.data[...] = array
        else:
            value.data = array.item()


_TORCH, _ARRAY_API, _JAX, _ENGINE = _Torch(), Library(), _Jax(), _Engine()
_BFLOAT16, _BFLOAT16_NUMBER = _BFloat16(), _BFloat16Number()


def _stands_for(array: Array, value: object) -> bool:
    """Return True if an array holds what is to be numbers in bfloat16, as those of a value are."""
    return array.dtype == np.float32 and is_low(value)


def torch_class(name: str) -> Any:
    """Return a class of torch, such as ``nn.Module``; an empty tuple if torch is not imported."""
    found: Any = sys.modules.get("torch")
    if found is None:
        return ()
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else ()


def library_of(value: object) -> Library | None:
    """Return the library that an array belongs to; None for NumPy's, and for other objects.

    That of NumPy's arrays is None, but for those in bfloat16.
    """
    # The type is examined, not the value: a proxy may raise when it is asked for its class.
    kind = type(value)
    if issubclass(kind, (np.ndarray, np.generic)):
        if not (value.dtype.kind == "V" and is_low(value)):  # type: ignore[attr-defined]
            return None
        return _BFLOAT16 if issubclass(kind, np.ndarray) else _BFLOAT16_NUMBER
    if issubclass(kind, torch_class("Tensor")):
        return _TORCH
    if str(kind.__module__).startswith("jax"):
        return _JAX if isinstance(value, sys.modules["jax"].Array) else None
    if hasattr(kind, "__array_namespace__") or hasattr(kind, "__cuda_array_interface__"):
        return _ARRAY_API
    return _ENGINE if _has_data_and_grad(value) else None


def _has_data_and_grad(value: object) -> bool:
    """Return True for a leaf of an autograd engine of the user's own."""
    kind = type(value)
    has_attributes = any({"__dict__", "__slots__"} & vars(base).keys() for base in kind.__mro__)
    if vars(kind).get("__module__") in BUILT_IN or not has_attributes:
        return False
    try:
        held = [object.__getattribute__(value, name) for name in ("data", "grad")]
    except AttributeError:
        return False
    return is_real(held[0]) or isinstance(held[0], np.ndarray)


def is_real(value: object) -> bool:
    """Return True for a plain number; True and False are none."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def from_library(value: Any, name: str) -> Any:
    """Return a library's array as a NumPy array, and anything else unchanged.

    `InputError` is raised if the array, which the user calls `name`, cannot be converted.
    """
    library = library_of(value)
    if library is None:
        return value
    try:
        return library.array(value)
    except Exception as error:
        of = f" of {value.dtype}" if hasattr(value, "dtype") else ""
        raise InputError(
            f"`{name}` is a {library.noun}{of}, which NumPy cannot read ({first_line(error)}): "
            "expected a dense array of float32 or float64."
        ) from error


def is_array(value: object) -> bool:
    """Return True for an array of any library."""
    # The type is examined, not the value: a proxy may raise when it is asked for its class.
    return issubclass(type(value), np.ndarray) or library_of(value) is not None


def is_tensor(value: object) -> bool:
    """Return True for a tensor of PyTorch."""
    return library_of(value) is _TORCH


def is_users_array(value: object) -> bool:
    """Return True for a scalar or tensor of an autograd engine of the user's own."""
    return library_of(value) is _ENGINE


def is_leaf(value: Any) -> bool:
    """Return False for a tensor that torch has computed, and which has no gradient of its own."""
    return bool(getattr(value, "is_leaf", True))


def densifying(value: object) -> str:
    """Return the method that makes a sparse array dense: torch's or SciPy's; "" if it is dense."""
    kind = type(value)
    if issubclass(kind, torch_class("Tensor")):
        return "to_dense" if "sparse" in str(value.layout) else ""  # type: ignore[attr-defined]
    return "toarray" if hasattr(kind, "toarray") else ""


def densified(value: object) -> object:
    """Return a dense copy of a sparse array, in which repeated entries are added up.

    Anything else is returned unchanged.
    """
    method = densifying(value)
    return getattr(value, method)() if method else value


def requires_gradient(value: object) -> bool:
    """Return True for a tensor for which torch, or an engine of one's own, computes a gradient."""
    library = library_of(value)
    return library in {_TORCH, _ENGINE} and bool(getattr(value, "requires_grad", True))


def overlapping(named: Iterable[tuple[str, Array]]) -> Iterator[tuple[str, str]]:
    """Yield the names of every two arrays that share an entry.

    An array that contains an entry more than once is paired with itself.

    Examples
    --------
    >>> flat = np.zeros(10)
    >>> list(overlapping([("a", flat[:5]), ("b", flat[5:]), ("c", flat[4:6])]))
    [('a', 'c'), ('b', 'c')]
    """
    numbered = enumerate(named)
    parts = sorted((*byte_bounds(a), k, name, a) for k, (name, a) in numbered if a.size)
    for close in _interleaved(parts):
        for i, (low, high, k, name, array) in enumerate(close):
            if array.nbytes > high - low:
                yield name, name
            for start, _, other_k, other_name, other in islice(close, i + 1, None):
                # The arrays are sorted, so all that follow begin even later.
                if start >= high:
                    break
                if share(array, other):
                    yield (name, other_name) if k < other_k else (other_name, name)


def _interleaved(parts: list[Part]) -> Iterator[list[Part]]:
    """Yield groups of sorted arrays, so that arrays of different groups share nothing."""
    group: list[Part] = []
    stop = 0
    for part in parts:
        if group and part[0] >= stop:
            yield _sharing(group)
            group = []
        group.append(part)
        stop = max(stop, part[1])
    yield _sharing(group)


def _sharing(parts: list[Part]) -> list[Part]:
    """Leave out arrays that share nothing, if there are many: columns of a matrix, for example."""
    if len(parts) <= FEW:
        return parts
    # Every entry is an interval of addresses; sorted, each is compared with all before it at once.
    starts = np.concatenate([_addresses(array) for *_, array in parts])
    order = np.argsort(starts, kind="stable")
    owners = np.repeat(np.arange(len(parts)), [array.size for *_, array in parts])[order]
    sizes = np.array([array.itemsize for *_, array in parts])
    starts = starts[order]
    stops = np.maximum.accumulate(starts + sizes[owners])
    shared = np.flatnonzero(starts[1:] < stops[:-1])
    # The earlier of two that overlap also overlaps the one that follows it.
    return [parts[k] for k in np.unique(owners[np.concatenate([shared, shared + 1])])]


def _addresses(array: Array) -> NDArray[np.intp]:
    """Return the address of every entry."""
    start = array.__array_interface__["data"][0]
    offsets = np.array(start, dtype=np.intp)
    for length, stride in zip(array.shape, array.strides, strict=True):
        offsets = np.add.outer(offsets, np.arange(length) * stride)
    return offsets.reshape(-1)


def share(one: Array, other: Array) -> bool:
    """Return True if two arrays share an entry, as far as that can be told in a short time."""
    try:
        return np.shares_memory(one, other, max_work=MOST_WORK)  # type: ignore[arg-type]
    except TooHardError:
        return False
