"""How a cost function wants its parameters, and the buffers through which they are perturbed.

Nothing here calls the function: a `Binding` only prepares what it is called with.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._inputs.arrays import Library, library_of, overlapping
from gradcheck_magic._inputs.parameters import Parameter, Parameters, array_leaves
from gradcheck_magic.errors import InputError

__all__ = ["Arguments", "Binding", "Convention", "possible_bindings"]

Array = NDArray[Any]
Arguments = tuple[Sequence[Any], dict[str, Any]]
# So many entries are moved at a time.
ENTRIES_AT_ONCE = 1 << 16


class Convention(StrEnum):
    """How a cost function wants its parameters, the likeliest first."""

    STRUCTURED = "structured"
    FLAT = "flat"
    ARGUMENTS = "arguments"
    CLOSURE = "closure"

    @property
    def described(self) -> str:
        """The convention in words."""
        return {
            Convention.STRUCTURED: "with the container",
            Convention.FLAT: "with the flat θ",
            Convention.ARGUMENTS: "with the arrays one by one",
            Convention.CLOSURE: "with nothing",
        }[self]


class Binding:
    """θ, held in the form in which one convention hands it to the function.

    Its buffers are made when they are first needed.

    Parameters
    ----------
    convention : Convention
        How the function is called.
    parameters : Parameters
        θ. Its arrays are copied, except under CLOSURE: then they are the buffers themselves.
    theta : ndarray
        The same as one vector, which is what everything is restored from.
    keywords : bool
        Whether ARGUMENTS passes the arrays of a dict by their names.
    dtype : dtype, optional
        Hand θ over in this precision instead of its own; not under CLOSURE.
    """

    def __init__(
        self,
        convention: Convention,
        parameters: Parameters,
        theta: Array,
        *,
        keywords: bool = False,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.convention = convention
        self.parameters = parameters
        self.theta = theta
        self.keywords = keywords
        self.dtype = dtype
        self._fresh = False
        self._arguments: Arguments | None = None
        # What was handed out last: the container, and the leaves that were put into it.
        self._container: Any = None
        self._leaves: list[Any] = []
        self._unchanging: dict[str, tuple[Array, Any]] = {}

    @property
    def fresh(self) -> bool:
        """Whether every call gets its own copies, because the function keeps what it is given."""
        return self._fresh

    @fresh.setter
    def fresh(self, fresh: bool) -> None:
        self._fresh = fresh
        # What was handed out so far is not held any longer; and who keeps it shall not see it move.
        self._forget()
        if fresh:
            self.drop()

    @cached_property
    def _buffers(self) -> list[Array]:
        if self.convention is Convention.CLOSURE:
            return [parameter.array for parameter in self.parameters.arrays]
        if self.convention is Convention.FLAT:
            # What is handed out is a view: nobody can resize it, and leave us without the memory.
            return [self.theta.astype(self.dtype or self.parameters.dtype).view()]
        return [_copied(parameter, self.dtype) for parameter in self.parameters.arrays]

    @cached_property
    def _own(self) -> list[Array]:
        """A view of each buffer, which keeps its shape, dtype and flags whatever becomes of it."""
        return [buffer.view(np.ndarray) for buffer in self._buffers]

    @cached_property
    def arrays(self) -> list[Array]:
        """A view of each parameter's buffer, in its shape: writing to it is what moves θ."""
        if self.convention is not Convention.FLAT:
            return self._own
        (theta,) = self._own
        return [theta[p.start : p.stop].reshape(p.shape) for p in self.parameters.arrays]

    @cached_property
    def slots(self) -> list[Any]:
        """The same views, flat."""
        # The user's layout may be any: only an iterator reaches it in C order without a copy.
        return [a.reshape(-1) if a.flags.c_contiguous else a.flat for a in self.arrays]

    @cached_property
    def saved(self) -> list[Array]:
        """What is to be restored, in the shape of each parameter."""
        return [self._original(parameter) for parameter in self.parameters.arrays]

    def _original(self, parameter: Parameter) -> Array:
        is_flat = self.convention is Convention.FLAT
        if is_flat or parameter.array.dtype.kind == "f" or parameter.checked:
            return self.theta[parameter.start : parameter.stop].reshape(parameter.shape)
        # A large integer need not be a number that θ can hold.
        return parameter.array.copy() if self._is_closure else parameter.array

    @property
    def _is_closure(self) -> bool:
        return self.convention is Convention.CLOSURE

    def in_double(self) -> Binding:
        """Return a binding that hands θ over the same way, but in double precision."""
        double = Binding(
            self.convention,
            self.parameters,
            self.theta,
            keywords=self.keywords,
            dtype=np.float64,
        )
        double.fresh = self.fresh
        return double

    def in_precision(self) -> AbstractContextManager[object]:
        """Where what is handed over keeps its precision, and so does what is computed with it."""
        if self._library is None or self.dtype is None:
            return nullcontext()
        return self._library.double_precision()

    @cached_property
    def _library(self) -> Library | None:
        # Kept, because it is asked for with every evaluation.
        return self.parameters.library

    def arguments(self) -> Arguments:
        """Return what the function is to be called with at the present θ."""
        if self.fresh:
            return self._presented([buffer.copy() for buffer in self._buffers])
        if self._arguments is None:
            arguments = self._presented(self._buffers)
            if any(p.is_apart for p in self.parameters.checked):
                # What does not see the buffers change is handed out anew.
                return arguments
            self._arguments = arguments
        return self._arguments

    def pattern(self) -> Arguments:
        """Return arguments of which only the number and the names are right."""
        if self._is_closure:
            return (), {}
        if self.convention is not Convention.ARGUMENTS:
            return (None,), {}
        container = self.parameters.container
        if self.keywords and isinstance(container, dict):
            return (), container
        return [None] * len(self.parameters.arrays), {}

    def wrapped(self, wrap: Callable[[Array], Array]) -> Arguments:
        """Return arguments with something else in place of each array."""
        buffers = [buffer.copy() for buffer in self._buffers] if self.fresh else self._buffers
        if not all(parameter.is_numpy for parameter in self.parameters.arrays):
            return self._presented(buffers)
        return self._presented([wrap(buffer) for buffer in buffers])

    def _presented(self, buffers: list[Array]) -> Arguments:
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
        """What the function is given in place of the user's own value: the same kind of thing."""
        if parameter.is_number and not parameter.checked:
            return parameter.value
        if parameter.library is None or parameter.library.is_writable(parameter.value):
            return parameter.presented(buffer)
        # What nobody can change is made anew only where θ has moved.
        there, leaf = self._unchanging.get(parameter.name, (None, None))
        if there is None or not np.array_equal(there, buffer):
            there, leaf = buffer.copy(), parameter.presented(buffer)
            self._unchanging[parameter.name] = there, leaf
        return leaf

    def _flat(self, theta: Array) -> Any:
        """θ as the function is to get it: the library's own, where all the arrays are of one."""
        library = self._library
        return theta if library is None else library.like(self.parameters.arrays[0].value, theta)

    def _write_through(self) -> None:
        """Let arrays that are elsewhere, as on another device, follow their buffers."""
        for parameter, buffer in zip(self.parameters.arrays, self._buffers, strict=True):
            if parameter.checked and parameter.library is not None and parameter.is_apart:
                parameter.library.write(parameter.value, buffer)

    @contextmanager
    def at(self, theta: Array) -> Iterator[None]:
        """Move every parameter that is checked, and put it back."""
        with self._moved(lambda slot, here, _: slot.__setitem__(slice(None), theta[here])):
            yield

    @contextmanager
    def along(self, direction: Array, distance: float) -> Iterator[None]:
        """Move every parameter that is checked to θ + distance · direction, and put it back."""

        def move(slot: Array, here: slice, parameter: Parameter) -> None:
            for start in range(0, parameter.size, ENTRIES_AT_ONCE):
                stop = min(start + ENTRIES_AT_ONCE, parameter.size)
                there = slice(here.start + start, here.start + stop)
                slot[start:stop] = self.theta[there] + distance * direction[there]

        with self._moved(move):
            yield

    @contextmanager
    def _moved(self, move: Callable[[Any, slice, Parameter], None]) -> Iterator[None]:
        try:
            for slot, parameter in zip(self.slots, self.parameters.arrays, strict=True):
                if parameter.checked:
                    move(slot, slice(parameter.start, parameter.stop), parameter)
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Make every buffer what it was at first, bit for bit."""
        if "_buffers" not in self.__dict__:
            return
        for array, saved, parameter in self._compared():
            # What is held fixed may not even be writable.
            if parameter.checked or not np.array_equal(array, saved):
                array[...] = saved
        if self._is_closure:
            self._write_through()

    def drop(self) -> None:
        """Give up the buffers, and what was made of them."""
        for name in ("_buffers", "_own", "arrays", "slots", "saved"):
            self.__dict__.pop(name, None)
        self._forget()

    def _forget(self) -> None:
        self._arguments = self._container = None
        self._leaves = []
        self._unchanging = {}

    def changed(self) -> Parameter | None:
        """Return a parameter that the function has changed, if there is one."""
        changed = (p for array, saved, p in self._compared() if not np.array_equal(array, saved))
        return next(changed, None) or self._remade() or self._replaced()

    def _compared(self) -> Iterator[tuple[Array, Array, Parameter]]:
        return zip(self.arrays, self.saved, self.parameters.arrays, strict=True)

    def _remade(self) -> Parameter | None:
        """Return a parameter whose array the function has given another shape, dtype or flag."""
        kept = map(_same_layout, self._buffers, self._own)
        return next((p for p, kept in zip(self.parameters.arrays, kept) if not kept), None)  # noqa: B905 (of the flat θ there is one)

    def _replaced(self) -> Parameter | None:
        """Return a parameter for which the function has put another array into its container."""
        if self.convention is not Convention.STRUCTURED or not self._leaves:
            return None
        present = {id(leaf) for _, leaf in array_leaves(self._container)}
        pairs = zip(self.parameters.arrays, self._leaves, strict=True)
        return next((parameter for parameter, leaf in pairs if id(leaf) not in present), None)

    def references(self) -> int:
        """Return how many references to what is handed out there are, views of it included."""
        # Our own views are there whenever this is asked.
        own = len(self.slots)
        # A view of a view is one of the array beneath both; and what another library makes of a
        # buffer may be kept in its place.
        bases = [buffer.base for buffer in self._buffers]
        others = (leaf for leaf in self._leaves if library_of(leaf) is not None)
        held = [*self._buffers, *bases, self._container, *others]
        return sum(sys.getrefcount(each) for each in held if each is not None) - own


def _copied(parameter: Parameter, precision: DTypeLike | None) -> Array:
    """A copy in which differences can be taken; what is held fixed keeps its type."""
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
        What the user calls the function.

    Raises
    ------
    InputError
        If there is none.
    """
    signature = _signature(function)
    wanted = _worth_trying(parameters) if call == "auto" else [Convention(call)]
    obstacle = _closure_obstacle(parameters)
    if obstacle and (call == Convention.CLOSURE or (signature and not signature.parameters)):
        raise InputError(
            f"`{name}` reads {obstacle} from the notebook, where it is perturbed in place: "
            "make it a writable array of floats, or an argument of the function."
        )
    shared = _shared(parameters)
    if shared and (call == Convention.CLOSURE or (signature and not signature.parameters)):
        raise InputError(
            f"`{name}` reads {shared} from the notebook, where each is moved in place, and they "
            "share memory: moving one moves the other. Name one of them alone (only=...), with the "
            "gradient of both together, or make them arguments of the function."
        )
    obstacle = obstacle or shared
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
    fitting = [binding for binding in bindings if _binds(signature, *binding.pattern())]
    if not fitting:
        asked = "" if call == "auto" else f" as call={call!r} asks"
        raise InputError(
            f"`{name}{signature}` cannot be called{asked}: it may take `{parameters.name}`, the "
            f"flat θ, the arrays one by one ({len(parameters.arrays)} here), or nothing."
        )
    return fitting


def _worth_trying(parameters: Parameters) -> list[Convention]:
    if parameters.is_container:
        return list(Convention)
    # A lone array is its own container, and "one by one" is the same call.
    lone = [Convention.STRUCTURED, Convention.CLOSURE]
    return lone if parameters.arrays[0].array.ndim == 1 else [*lone, Convention.FLAT]


def _closure_obstacle(parameters: Parameters) -> str | None:
    """Say which of the user's own arrays cannot be perturbed, and why."""
    for parameter in parameters.checked:
        if parameter.is_number:
            return f"`{parameter.name}` (a plain number)"
        if parameter.library is not None and not parameter.library.is_writable(parameter.value):
            return f"`{parameter.name}` (a {parameter.library.noun}, which nobody can change)"
        if parameter.array.dtype.kind != "f":
            return f"`{parameter.name}` ({parameter.array.dtype})"
        if not parameter.array.flags.writeable:
            return f"`{parameter.name}` (read-only)"
    return None


def _shared(parameters: Parameters) -> str | None:
    """Say which of the user's own arrays move together."""
    pair = next(overlapping((p.name, p.array) for p in parameters.checked), None)
    return None if pair is None else " and ".join(f"`{name}`" for name in dict.fromkeys(pair))


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        return None


def _by_keyword(signature: inspect.Signature | None, parameters: Parameters) -> bool:
    """Whether the arrays of a dict can be passed by their names."""
    container = parameters.container
    if signature is None or not isinstance(container, dict):
        return False
    return all(isinstance(key, str) for key in container) and _binds(signature, (), container)


def _binds(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: dict[str, Any]
) -> bool:
    if signature is None:
        return True
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
