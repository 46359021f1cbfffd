"""Arrays of other libraries ⇄ NumPy's: PyTorch's, JAX's, CuPy's, and whoever follows the array API.

None of them is imported here: whoever has one of their arrays has done that already.

References
----------
The array API standard, https://data-apis.org/array-api/2023.12/.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.errors import InputError, first_line

__all__ = ["Library", "from_library", "library_of", "requires_gradient", "torch_class"]

Array = NDArray[Any]


class Library(Protocol):
    """What is to be known of a library's arrays."""

    # How its arrays come to be in double precision, in words.
    in_double: str

    def array(self, value: Any) -> Array:
        """Return it as one of NumPy's: a view of the same memory, if `shares` says so."""

    def like(self, value: Any, array: Array) -> Any:
        """Return an array of NumPy's as one of the library's, to stand in for `value`."""

    def shares(self, value: Any, /) -> bool:
        """Whether `array` and `like` make views of one memory, rather than copies."""

    def is_writable(self, value: Any, /) -> bool:
        """Whether it can be changed in place."""

    def write(self, value: Any, array: Array) -> None:
        """Change it in place."""


class _Torch:
    """PyTorch's tensors, and the parameters of its modules."""

    in_double = "model.double() and X.double(), or dtype=torch.float64"

    def array(self, value: Any) -> Array:
        tensor = value.detach()
        # What is not in this memory is copied anyway.
        array: Array = tensor.cpu().numpy()
        return array

    def like(self, value: Any, array: Array) -> Any:
        torch = sys.modules["torch"]
        tensor = torch.from_numpy(array)
        if not self.shares(value):
            tensor = tensor.to(value.device, copy=True)
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(tensor, requires_grad=value.requires_grad)
        return tensor.requires_grad_(value.requires_grad)

    def shares(self, value: Any) -> bool:
        is_here: bool = value.device.type == "cpu"
        return is_here

    def is_writable(self, _: Any) -> bool:
        return True

    def write(self, value: Any, array: Array) -> None:
        # Through `data`, so that a graph which is still to be used does not count it as a change.
        value.data.copy_(sys.modules["torch"].from_numpy(array))


class _ArrayApi:
    """JAX's and CuPy's arrays, and all that tell which namespace they belong to."""

    in_double = 'jax.config.update("jax_enable_x64", True), or dtype=float64'

    def array(self, value: Any) -> Array:
        # CuPy's do not go to NumPy unless they are told to.
        array = value.get() if hasattr(value, "get") else value
        return np.asarray(array)

    def like(self, value: Any, array: Array) -> Any:
        # A copy, because JAX may go on reading the memory that it is given.
        array = array.copy()
        if hasattr(value, "get"):
            with value.device:
                return self._namespace(value).asarray(array)
        return self._namespace(value).asarray(array, device=value.device)

    def shares(self, _: Any) -> bool:
        return False

    def is_writable(self, value: Any) -> bool:
        # JAX's have the method as well, and it raises.
        return hasattr(value, "__setitem__") and hasattr(value, "get")

    def write(self, value: Any, array: Array) -> None:
        value[...] = self.like(value, array)

    def _namespace(self, value: Any) -> Any:
        if hasattr(value, "__array_namespace__"):
            return value.__array_namespace__()
        return sys.modules[type(value).__module__.partition(".")[0]]


_TORCH, _ARRAY_API = _Torch(), _ArrayApi()


def torch_class(name: str) -> Any:
    """Return a class of torch's, such as ``nn.Module``; an empty tuple where torch is not there."""
    found: Any = sys.modules.get("torch")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else ()


def library_of(value: object) -> Library | None:
    """Return whose array it is; None for NumPy's, and for all that is no array."""
    if isinstance(value, (np.ndarray, np.generic)):
        return None
    if isinstance(value, torch_class("Tensor")):
        return _TORCH
    kind = type(value)
    if hasattr(kind, "__array_namespace__") or hasattr(kind, "__cuda_array_interface__"):
        return _ARRAY_API
    return None


def from_library(value: Any, name: str) -> Any:
    """Return a library's array as one of NumPy's, and anything else as it is.

    Raises
    ------
    InputError
        If that cannot be done; `name` is what the user calls it.
    """
    library = library_of(value)
    if library is None:
        return value
    try:
        return library.array(value)
    except Exception as error:
        kind = f"{type(value).__module__.partition('.')[0]} {type(value).__name__}"
        kind += f" of {value.dtype}" if hasattr(value, "dtype") else ""
        raise InputError(
            f"`{name}` is a {kind}, which NumPy cannot read ({first_line(error)}): expected a "
            "dense array of float32 or float64."
        ) from error


def requires_gradient(value: object) -> bool:
    """Whether it is a tensor for which torch computes a gradient."""
    return library_of(value) is _TORCH and bool(value.requires_grad)  # type: ignore[attr-defined]
