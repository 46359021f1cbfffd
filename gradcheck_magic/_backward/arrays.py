"""The arrays of a backward pass, NumPy's or not, seen as NumPy's.

Complex numbers are seen as pairs of real ones, along another axis: so the gradient ∂J/∂x + i ∂J/∂y
is the gradient with regard to such pairs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import library_of, torch_class

__all__ = [
    "as_array",
    "as_complex",
    "as_numpy",
    "is_complex",
    "is_foreign",
    "is_tensor",
    "memory_of",
    "moved",
    "writable",
]

Array = NDArray[Any]


def is_tensor(value: Any) -> bool:
    """Return True for a tensor of torch in this memory."""
    # It is asked of all that the user's code binds, which is seldom one.
    if not str(type(value).__module__).startswith("torch"):
        return False
    # A subclass of the user's may run code of its own.
    is_plain = type(value) in {torch_class("Tensor"), torch_class("nn.Parameter")}
    return is_plain and value.device.type == "cpu"


def is_foreign(value: Any) -> bool:
    """Return True for a tensor of torch in this memory, and for an array of JAX that has values."""
    if not str(type(value).__module__).startswith("jax"):
        return is_tensor(value)
    jax: Any = sys.modules.get("jax")
    return isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)


def as_array(value: Any) -> Array | None:
    """Return an array as one of NumPy's, in the same memory; None for what is no array."""
    if isinstance(value, np.ndarray):
        return _real(value)
    library = library_of(value) if is_foreign(value) else None
    if library is None or (library.conjugates and is_complex(value)):
        return None
    try:
        return _real(library.array(value))
    except Exception:  # noqa: BLE001 (sparse, a dtype of its own, or without values while torch traces)
        return None


def is_complex(value: Any) -> bool:
    """Return True for an array, or a number, that is complex."""
    # It is asked of all that the user's code binds, and must be quick.
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", None)
    return kind == "c" if kind is not None else bool(getattr(dtype, "is_complex", False))


def _real(array: Array) -> Array:
    """Return complex numbers as pairs of real ones, in the same memory."""
    if array.dtype.kind != "c":
        return array
    return np.asarray(array)[..., np.newaxis].view(array.real.dtype)


def as_complex(pairs: Array) -> Array:
    """Return pairs of real numbers as complex ones; what can be none is returned unchanged."""
    if pairs.shape[-1:] != (2,):
        return pairs
    dtype = np.result_type(pairs.dtype, np.complex64)
    return np.ascontiguousarray(pairs).view(dtype)[..., 0]


def as_numpy(leaf: Any) -> Array:
    """Return an array, or a number, as an array of NumPy's."""
    array = as_array(leaf)
    return _real(np.asarray(leaf)) if array is None else array


def writable(value: Any) -> Array | None:
    """Return an array of floats, through which it can be changed in place; None if it cannot."""
    array = as_array(value)
    if array is None or array.dtype.kind != "f" or not array.size or not array.flags.writeable:
        return None
    # What torch expands has the same entry in many places.
    layout = zip(array.shape, array.strides, strict=True)
    return None if any(n > 1 and not step for n, step in layout) else array


def moved(value: Any, move: Array) -> Any:
    """Return another array of the same library, or number, some way from the first."""
    array = as_array(value)
    if array is None:
        return type(value)(value + move[0])
    there = array + move.reshape(array.shape)
    if is_tensor(value):
        # Only torch does not mix precisions; in a lower one, steps are rounded.
        there = there.astype(array.dtype)
    there = as_complex(there) if is_complex(value) else there
    library = library_of(value)
    return there if library is None else library.like(value, there)


def memory_of(array: Array) -> tuple[int, int]:
    """Return which memory an array is part of, and how many bytes that has."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    if array.base is not None and isinstance(array.base, torch_class("Tensor")):
        storage: Any = array.base.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    # NumPy makes a new array whenever it looks at JAX's.
    is_own = array.base is None
    return id(array) if is_own else array.__array_interface__["data"][0], array.nbytes
