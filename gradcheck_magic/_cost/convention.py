"""The ways to call a cost function, and the buffers through which its parameters are perturbed.

Nothing here calls the function: a `Binding` only prepares its arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._inputs.arrays import Library, overlapping
from gradcheck_magic._inputs.parameters import Parameter, Parameters, array_leaves
from gradcheck_magic.errors import InputError

__all__ = ["Arguments", "Binding", "Convention", "possible_bindings"]

Array = NDArray[Any]
Arguments = tuple[Sequence[Any], dict[str, Any]]
# The number of entries that are moved at a time.
ENTRIES_AT_ONCE = 1 << 16


class Convention(StrEnum):
    """The ways to pass the parameters to a cost function, most likely first."""

    STRUCTURED = "structured"
    FLAT = "flat"
    ARGUMENTS = "arguments"
    CLOSURE = "closure"

    @property
    def described(self) -> str:
        """A phrase that describes the convention."""
        return {
            Convention.STRUCTURED: "with the container",
            Convention.FLAT: "with the flat θ",
            Convention.ARGUMENTS: "with the arrays one by one",
            Convention.CLOSURE: "without arguments",
        }[self]


@dataclass(eq=False)
class Binding:
    """θ in the form in which one convention passes it to the function.

    The buffers are made when they are first needed.

    Attributes
    ----------
    convention : Convention
        The way the function is called.
    parameters : Parameters
        θ. Its arrays are copied, except under CLOSURE: then they are the buffers themselves.
    theta : ndarray
        θ as one vector, from which everything is restored.
    keywords : bool
        True if ARGUMENTS passes the arrays of a dict by their names.
    dtype : dtype, optional
        The precision in which to pass θ, if it is not its own; not under CLOSURE.
    fresh : bool
        True if every call gets new copies, because the function keeps its arguments.
    """

    convention: Convention
    parameters: Parameters
    theta: Array
    keywords: bool = False
    dtype: DTypeLike | None = None
    fresh: bool = False
    _arguments: Arguments | None = field(default=None, init=False)
    # The container that was last passed to the function, and the leaves that were put into it.
    _container: Any = field(default=None, init=False)
    _leaves: list[Any] = field(default_factory=list, init=False)
    _unchanging: dict[str, tuple[Array, Any]] = field(default_factory=dict, init=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker makes buffers of its own.
        given = (self.convention, self.parameters, self.theta)
        return Binding, (*given, self.keywords, self.dtype, self.fresh)

    @cached_property
    def _memory(self) -> list[tuple[Array, Array]]:
        """Each buffer, and a view that keeps its shape, dtype and flags if the buffer's change."""
        return [(buffer, buffer.view(np.ndarray)) for buffer in self._new_buffers()]

    def _new_buffers(self) -> list[Array]:
        if self._is_closure:
            return [parameter.array for parameter in self.parameters.arrays]
        if self.convention is Convention.FLAT:
            # The function gets a view, so that it cannot resize the array and free the memory.
            return [self.theta.astype(self.dtype or self.parameters.dtype).view()]
        return [_copied(parameter, self.dtype) for parameter in self.parameters.arrays]

    @cached_property
    def arrays(self) -> list[Array]:
        """A view of each parameter's buffer, in its shape; writing to it moves θ."""
        views = [view for _, view in self._memory]
        if self.convention is not Convention.FLAT:
            return views
        (theta,) = views
        return [theta[p.start : p.stop].reshape(p.shape) for p in self.parameters.arrays]

    @cached_property
    def slots(self) -> list[Any]:
        """The same views, flattened."""
        # The user's array may have any layout; `flat` accesses it in C order without a copy.
        return [a.reshape(-1) if a.flags.c_contiguous else a.flat for a in self.arrays]

    @cached_property
    def saved(self) -> list[Array]:
        """The values to restore, in the shape of each parameter."""
        return [self._original(parameter) for parameter in self.parameters.arrays]

    def _original(self, parameter: Parameter) -> Array:
        is_flat = self.convention is Convention.FLAT
        if is_flat or parameter.array.dtype.kind == "f" or parameter.checked:
            return self.theta[parameter.start : parameter.stop].reshape(parameter.shape)
        # θ may not be able to represent a large integer exactly.
        return parameter.array.copy() if self._is_closure else parameter.array

    @property
    def _is_closure(self) -> bool:
        return self.convention is Convention.CLOSURE

    def in_precision(self) -> AbstractContextManager[object]:
        """Return a context in which the library computes in the precision of this binding."""
        if self._library is None or self.dtype is None:
            return nullcontext()
        return self._library.double_precision()

    @cached_property
    def _library(self) -> Library | None:
        # It is cached because every evaluation needs it.
        return self.parameters.library

    def arguments(self) -> Arguments:
        """Return the arguments of the function at the current θ."""
        if self._arguments is not None:
            return self._arguments
        arguments = self._arguments_from(self._passed())
        # Arguments that do not share memory with the buffers are made anew for each call.
        if not (self.fresh or any(p.is_apart for p in self.parameters.checked)):
            self._arguments = arguments
        return arguments

    def _passed(self) -> list[Array]:
        return [buffer.copy() if self.fresh else buffer for buffer, _ in self._memory]

    def pattern(self) -> Arguments:
        """Return placeholder arguments, of which only the number and the names are correct."""
        if self._is_closure:
            return (), {}
        if self.convention is not Convention.ARGUMENTS:
            return (None,), {}
        container = self.parameters.container
        if self.keywords and isinstance(container, dict):
            return (), container
        return [None] * len(self.parameters.arrays), {}

    def wrapped(self, wrap: Callable[[Array], Array]) -> Arguments:
        """Return arguments in which each array is replaced by `wrap(array)`."""
        if not all(isinstance(p.value, np.ndarray) for p in self.parameters.arrays):
            return self._arguments_from(self._passed())
        return self._arguments_from([wrap(buffer) for buffer in self._passed()])

    def _arguments_from(self, buffers: list[Array]) -> Arguments:
        if self._is_closure:
            self._write_through()
            return (), {}
        if self.convention is Convention.FLAT:
            self._leaves = [self._flat(*buffers)]
            return self._leaves, {}
        pairs = zip(self.parameters.arrays, buffers, strict=True)
        self._leaves = [self._leaf(parameter, buffer) for parameter, buffer in pairs]
        if self.convention is Convention.ARGUMENTS and not self.keywords:
            return self._leaves, {}
        self._container = self.parameters.filled(self._leaves)
        return ((), self._container) if self.keywords else ((self._container,), {})

    def _leaf(self, parameter: Parameter, buffer: Array) -> Any:
        """Return the value to pass in place of the user's own, of the same type."""
        if parameter.is_number and not parameter.checked:
            return parameter.value
        if parameter.library is None or parameter.library.is_writable:
            return parameter.presented(buffer)
        # An immutable array is made anew only if θ has moved.
        there, leaf = self._unchanging.get(parameter.name, (None, None))
        if there is None or not np.array_equal(there, buffer):
            there, leaf = buffer.copy(), parameter.presented(buffer)
            self._unchanging[parameter.name] = there, leaf
        return leaf

    def _flat(self, theta: Array) -> Any:
        """Return the flat θ as an array of the parameters' library, if they share one."""
        library = self._library
        return theta if library is None else library.like(self.parameters.arrays[0].value, theta)

    def _write_through(self) -> None:
        """Copy the buffers to arrays with memory of their own, such as on another device."""
        for parameter, (buffer, _) in zip(self.parameters.arrays, self._memory, strict=True):
            if parameter.checked and parameter.library is not None and parameter.is_apart:
                parameter.library.write(parameter.value, buffer)

    @contextmanager
    def at(self, theta: Array) -> Iterator[None]:
        """Move every checked parameter to another θ, and restore it."""
        with self._moved(lambda part: theta[part]):
            yield

    @contextmanager
    def along(self, direction: Array, distance: float) -> Iterator[None]:
        """Move every checked parameter to θ + distance · direction, and restore it."""
        with self._moved(lambda part: self.theta[part] + distance * direction[part]):
            yield

    @contextmanager
    def _moved(self, values: Callable[[slice], Array]) -> Iterator[None]:
        try:
            for slot, parameter in zip(self.slots, self.parameters.arrays, strict=True):
                # A part at a time, so that no other array of the size of θ is made.
                for start in range(0, parameter.size if parameter.checked else 0, ENTRIES_AT_ONCE):
                    stop = min(start + ENTRIES_AT_ONCE, parameter.size)
                    here = slice(parameter.start + start, parameter.start + stop)
                    slot[start:stop] = values(here)
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Restore every buffer, bit for bit."""
        if "_memory" not in self.__dict__:
            return
        for array, saved, parameter in self._compared():
            # A parameter that is held fixed may be read-only, so it is written only if it changed.
            if parameter.checked or not np.array_equal(array, saved):
                array[...] = saved
        if self._is_closure:
            self._write_through()

    def drop(self) -> None:
        """Release the buffers, and everything made from them."""
        for name in ("_memory", "arrays", "slots", "saved"):
            vars(self).pop(name, None)
        self._arguments, self._container, self._leaves, self._unchanging = None, None, [], {}

    def changed(self) -> Parameter | None:
        """Return a parameter that the function has changed; None if there is none."""
        changed = (p for array, saved, p in self._compared() if not np.array_equal(array, saved))
        return next(changed, None) or self._reshaped_parameter() or self._replaced_parameter()

    def _compared(self) -> Iterator[tuple[Array, Array, Parameter]]:
        return zip(self.arrays, self.saved, self.parameters.arrays, strict=True)

    def _reshaped_parameter(self) -> Parameter | None:
        """Return a parameter whose shape, dtype or flags the function has changed; or None."""
        pairs = zip(self.parameters.arrays, self._memory)  # noqa: B905 (of the flat θ there is one)
        return next((p for p, both in pairs if not _same_layout(*both)), None)

    def _replaced_parameter(self) -> Parameter | None:
        """Return a parameter that the function has replaced in its container; or None."""
        if self.convention is not Convention.STRUCTURED or not self._leaves:
            return None
        present = self._present()
        pairs = zip(self.parameters.arrays, self._leaves, strict=True)
        return next((parameter for parameter, leaf in pairs if id(leaf) not in present), None)

    def has_grown(self) -> bool:
        """Return True if the function has put other arrays into its container."""
        return self.convention is Convention.STRUCTURED and len(self._present()) > len(self._leaves)

    def _present(self) -> list[int]:
        return [id(leaf) for _, leaf in array_leaves(self._container)]


def _copied(parameter: Parameter, precision: DTypeLike | None) -> Array:
    """Return a copy as floats, in which the parameter can be moved; a fixed one keeps its dtype."""
    array = parameter.array
    if array.dtype.kind == "f":
        dtype = np.dtype(precision or array.dtype)
    else:
        dtype = np.dtype(np.float64) if parameter.checked else array.dtype
    return np.array(array, dtype=dtype, order="C", subok=True).view()


def _same_layout(one: Array, other: Array) -> bool:
    return (one.shape, one.dtype, one.flags.writeable) == (
        other.shape,
        other.dtype,
        other.flags.writeable,
    )


def possible_bindings(
    function: Callable[..., Any], parameters: Parameters, theta: Array, call: str, name: str
) -> list[Binding]:
    """Return a binding for every convention that `call` and the signature of `function` allow.

    Parameters
    ----------
    theta : ndarray
        The parameters as one vector.
    call : str
        A `Convention`, or "auto".
    name : str
        The user's name for the function.

    Raises
    ------
    InputError
        If the function cannot be called in any of these ways.
    """
    signature = _signature(function)
    wanted = _plausible_conventions(parameters) if call == "auto" else [Convention(call)]
    obstacle = _closure_obstacle(parameters) or _shared(parameters)
    if obstacle and (call == Convention.CLOSURE or (signature and not signature.parameters)):
        raise InputError(f"`{name}` reads {obstacle}.")
    keywords = _by_keyword(signature, parameters)
    bindings = [
        Binding(
            convention,
            parameters,
            theta,
            keywords=keywords and convention is Convention.ARGUMENTS,
        )
        for convention in wanted
        if not (obstacle and convention is Convention.CLOSURE)
    ]
    fitting = [binding for binding in bindings if _accepts(signature, *binding.pattern())]
    if not fitting:
        asked = "" if call == "auto" else f" with call={call!r}"
        raise InputError(
            f"`{name}{signature}` cannot be called{asked}: it must accept `{parameters.name}`, the "
            f"flat θ, the arrays one by one ({len(parameters.arrays)} here), or no arguments."
        )
    return fitting


def _plausible_conventions(parameters: Parameters) -> list[Convention]:
    if parameters.is_container:
        return list(Convention)
    # A single array is its own container, and "one by one" would be the same call.
    lone = [Convention.STRUCTURED, Convention.CLOSURE]
    return lone if parameters.arrays[0].array.ndim == 1 else [*lone, Convention.FLAT]


def _closure_obstacle(parameters: Parameters) -> str | None:
    """Say which array of the user cannot be perturbed in place, and why; None if all can."""
    for parameter in parameters.checked:
        if reason := _fixed_because(parameter):
            return (
                f"`{parameter.name}` ({reason}) from the notebook, where it is perturbed in place: "
                "make it a writable array of floats, or an argument of the function"
            )
    return None


def _fixed_because(parameter: Parameter) -> str:
    if parameter.is_number:
        return "a plain number"
    if parameter.library is not None and not parameter.library.is_writable:
        return f"an immutable {parameter.library.noun}"
    if parameter.array.dtype.kind != "f":
        return str(parameter.array.dtype)
    return "" if parameter.array.flags.writeable else "read-only"


def _shared(parameters: Parameters) -> str | None:
    """Say which arrays of the user share memory; None if none do."""
    pair = next(overlapping((p.name, p.array) for p in parameters.checked), None)
    return pair and (
        f"{' and '.join(f'`{name}`' for name in dict.fromkeys(pair))} from the notebook, but some "
        "entries share memory: moving one moves the other. Check one of the arrays alone "
        "(only=...), with the gradient of both together, or make them arguments of the function"
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        return None


def _by_keyword(signature: inspect.Signature | None, parameters: Parameters) -> bool:
    """Return True if the arrays of a dict can be passed by their names."""
    container = parameters.container
    if signature is None or not isinstance(container, dict):
        return False
    return all(isinstance(key, str) for key in container) and _accepts(signature, (), container)


def _accepts(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: dict[str, Any]
) -> bool:
    if signature is None:
        return True
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
