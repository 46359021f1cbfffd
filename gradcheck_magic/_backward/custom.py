"""Calls of custom functions of torch and JAX, whose backward pass is the user's own code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, is_foreign, is_tensor, moved
from gradcheck_magic._inputs.arrays import torch_class
from gradcheck_magic._inputs.ownership import is_in_library

__all__ = ["CustomCall", "custom_call", "is_called_by_library"]

# A library calls the user's code through at most this many functions of its own.
MOST_ABOVE = 12
# The classes of torch: of custom functions, and of what they note for the backward pass.
FUNCTION, CONTEXT = "autograd.Function", "autograd.function.FunctionCtx"


@dataclass(frozen=True, eq=False)
class CustomCall:
    """A call of a custom function in the forward pass.

    Attributes
    ----------
    number : int
        The number of the call.
    backward : code
        The code that computes its gradients.
    arguments : dict
        The names of the arguments that have a gradient, by their positions.
    function : callable, optional
        What computes its value from its arguments, without anything else.
    values : tuple
        All arguments.
    """

    number: int
    backward: CodeType
    arguments: dict[int, str]
    function: Callable[..., Any] | None
    values: tuple[Any, ...]

    def value_with(self, position: int, move: NDArray[np.float64]) -> Any:
        """Return what the function returns with one of its arguments moved."""
        values = list(self.values)
        values[position] = moved(values[position], move)
        return self.function(*values) if self.function else None


def is_called_by_library(frame: FrameType) -> bool:
    """Return True if no code of the user's has called a function."""
    return frame.f_back is not None and is_in_library(frame.f_back.f_code.co_filename)


def custom_call(number: int, frame: FrameType) -> CustomCall | None:
    """Return the call of a custom function that has just begun; None if it is none."""
    found = _backward_of(frame)
    if found is None:
        return None
    function, backward = found
    local, code = frame.f_locals, frame.f_code
    names = list(code.co_varnames[: code.co_argcount])
    if names and isinstance(local.get(names[0]), torch_class(CONTEXT)):
        del names[0]
    arguments = {k: name for k, name in enumerate(names) if _has_gradient(local.get(name))}
    return CustomCall(number, backward, arguments, function, tuple(local[name] for name in names))


def _has_gradient(value: Any) -> bool:
    array = as_array(value) if is_foreign(value) else None
    is_real = array is not None and array.dtype.kind == "f" and array.size > 0
    return is_real and (not is_tensor(value) or bool(value.requires_grad))


def _backward_of(frame: FrameType) -> tuple[Callable[..., Any] | None, CodeType] | None:
    """Return the function that a frame computes, and the code that computes its gradients.

    Those of torch cannot be called without what they note.
    """
    jax: Any = sys.modules.get("jax")
    above = frame.f_back
    for _ in range(MOST_ABOVE):
        if above is None or not is_in_library(above.f_code.co_filename):
            break
        if above.f_code.co_name == "apply":
            custom: Any = above.f_locals.get("cls")
            if isinstance(custom, type) and issubclass(custom, torch_class(FUNCTION)):
                return _pair(None, custom.forward, custom.backward, frame)  # type: ignore[attr-defined]
        elif above.f_code.co_name == "__call__" and jax is not None:
            custom = above.f_locals.get("self")
            if isinstance(custom, jax.custom_vjp) and not custom.nondiff_argnums:
                return _pair(custom.fun, custom.fun, custom.bwd, frame)
        above = above.f_back
    return None


def _pair(
    function: Callable[..., Any] | None, forward: Any, backward: Any, frame: FrameType
) -> tuple[Callable[..., Any] | None, CodeType] | None:
    code = _code(backward)
    return (function, code) if code is not None and _code(forward) is frame.f_code else None


def _code(function: Any) -> CodeType | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None
