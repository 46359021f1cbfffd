"""The ways to call a cost function, and the buffers through which its parameters are perturbed.

Nothing here calls the function: a `Binding` only prepares its arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck_magic._cost.directions import Direction, blocks_of, box_size
from gradcheck_magic._cost.threads import thread_at_work
from gradcheck_magic._inputs.arrays import overlapping
from gradcheck_magic._inputs.parameters import Parameter, Parameters, array_leaves
from gradcheck_magic._inputs.precision import BFLOAT16, DOUBLE, eps_of
from gradcheck_magic._inputs.shared_memory import in_shared_memory
from gradcheck_magic.errors import InputError

__all__ = [
    "Arguments",
    "Binding",
    "Convention",
    "changes_parameter",
    "possible_bindings",
    "require_unchanged",
]

Array = NDArray[Any]
Arguments = tuple[Sequence[Any], dict[str, Any]]
# The units in the last place by which the sum of two numbers and a step back may differ from them.
MOST_ROUNDING = 4
# The relative rounding of an argument that the function copies in half precision.
COPIED_TO = eps_of(BFLOAT16)


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
    parameters : Parameters
        θ. Its arrays are copied, except under CLOSURE, or if the function gets objects that refer
        to each other: then they are the buffers themselves.
    theta : ndarray
        θ as one vector, from which everything is restored.
    keywords : bool
        True if ARGUMENTS passes the arrays of a dict by their names.
    dtype : dtype, optional
        The precision in which to pass θ, if it is not its own; not under CLOSURE.
    fresh : bool
        True if every call gets new copies, because the function keeps its arguments.
    written : set of int
        The positions of the user's own arrays to which the function writes its argument, as in
        ``net.W[...] = W``. They are restored, too.
    trusted : bool
        True once a call has left the parameters alone: what changes them later is something else.
    disturbed : Parameter, optional
        Under CLOSURE, a parameter that something else has changed meanwhile; it is left so.
    """

    convention: Convention
    parameters: Parameters
    theta: Array
    keywords: bool = False
    dtype: DTypeLike | None = None
    fresh: bool = False
    written: set[int] = field(default_factory=set)
    trusted: bool = field(default=False, init=False)
    disturbed: Parameter | None = field(default=None, init=False)
    # The last arguments if they can be passed again, their arrays, and the container of these.
    _arguments: Arguments | None = field(default=None, init=False)
    _leaves: Sequence[Any] = field(default=(), init=False)
    _container: Any = field(default=(), init=False)

    def __getstate__(self) -> dict[str, Any]:
        # A worker makes buffers of its own.
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    def drop(self) -> None:
        """Release the buffers, and everything made from them."""
        self.__dict__ = self.__getstate__()

    @property
    def is_copied(self) -> bool:
        """True if the buffers are copies, and not the user's own arrays."""
        if self.convention is Convention.STRUCTURED:
            return not self.parameters.is_linked
        return self.convention is not Convention.CLOSURE

    @cached_property
    def _passed(self) -> Sequence[Parameter]:
        """What the function gets: each parameter, or the flat θ as if it were the only one."""
        leaves = self.parameters.leaves
        if self.convention is not Convention.FLAT:
            return leaves
        finest = max(leaves, key=lambda parameter: parameter.bits)
        library = self.parameters.library
        vector = self.parameters.vector(self.theta)
        like = finest.value if library and not library.is_users else vector
        return [Parameter("θ", like, vector, 0)]

    @cached_property
    def _memory(self) -> list[tuple[Array, Array]]:
        """Each buffer, and a view that keeps its shape, dtype and flags if the buffer's change."""
        buffers = [_copied(p, self.dtype) if self.is_copied else p.array for p in self._passed]
        return [(buffer, buffer.view(np.ndarray)) for buffer in buffers]

    @cached_property
    def arrays(self) -> list[Array]:
        """A view of each parameter's buffer, in its shape; writing to it moves θ."""
        return [
            part
            for leaf, view in zip(self.parameters.leaves, self.wholes, strict=True)
            for part in ((view.real, view.imag) if leaf.is_complex else (view.real,))
        ]

    @property
    def wholes(self) -> list[Array]:
        """The same, but for complex parameters, which are one array."""
        views, leaves = [view for _, view in self._memory], self.parameters.leaves
        if self.convention is not Convention.FLAT:
            return views
        stops = [*accumulate(leaf.size for leaf in leaves)]
        parts = zip(leaves, [0, *stops], stops, strict=False)
        return [views[0][start:stop].reshape(leaf.shape) for leaf, start, stop in parts]

    def bits(self, position: int) -> int:
        """Return the significant bits in which the function gets a parameter."""
        if self.dtype is not None:
            return DOUBLE
        passed = self._passed if self.convention is Convention.FLAT else self.parameters.arrays
        return passed[0 if passed is self._passed else position].bits

    @property
    def eps(self) -> float:
        """The spacing of numbers next to 1 in the most precise of what the function gets."""
        return eps_of(max(map(self.bits, range(len(self.parameters.arrays)))))

    @cached_property
    def slots(self) -> list[Any]:
        """The same views, flattened."""
        # The user's array may have any layout; `flat` accesses it in C order without a copy.
        return [a.reshape(-1) if a.flags.c_contiguous else a.flat for a in self.arrays]

    @cached_property
    def saved(self) -> list[Array]:
        """The values to restore, in the shape of each parameter."""
        # θ may not be able to represent a large integer exactly.
        return [
            self.theta[p.start : p.stop].reshape(p.shape)
            if p.checked or p.array.dtype.kind == "f"
            else p.array
            if self.is_copied
            else p.array.copy()
            for p in self.parameters.arrays
        ]

    def arguments(self, wrap: Callable[[Array], Array] | None = None) -> Arguments:
        """Return the arguments of the function at the current θ.

        If they are NumPy arrays, `wrap(array)` replaces each of them.
        """
        if self._arguments is not None and wrap is None:
            return self._arguments
        arguments: Arguments = (), {}
        if not self.is_copied:
            self._write_through()
            if self.convention is Convention.STRUCTURED:
                arguments = (self.parameters.container,), {}
        else:
            buffers = [buffer.copy() if self.fresh else buffer for buffer, _ in self._memory]
            if wrap is not None and all(isinstance(p.value, np.ndarray) for p in self._passed):
                buffers = list(map(wrap, buffers))
            self._leaves = list(map(self._leaf, range(len(buffers)), buffers))
            arguments = self._arranged()
        # Arguments that do not share memory with the buffers are made anew for each call.
        if not (wrap or self.fresh or any(p.is_apart for p in self.parameters.checked)):
            self._arguments = arguments
        return arguments

    def _leaf(self, k: int, buffer: Array) -> Any:
        """Return the value to pass in place of the user's own, of the same type."""
        parameter = self._passed[k]
        if parameter.is_number and not parameter.checked:
            return parameter.value
        library = parameter.library
        if library is not None and not library.is_writable and self._leaves:
            # An immutable array is made anew only if θ has moved.
            last = self._leaves[k]
            if np.array_equal(library.array(last), buffer):
                return last
        return parameter.presented(buffer)

    def _arranged(self) -> Arguments:
        """Return the arguments that consist of the leaves."""
        if self.convention is Convention.STRUCTURED or self.keywords:
            self._container = self.parameters.filled(self._leaves)
            # A module of TorchScript has tensors of its own around the same memory.
            self._leaves = [leaf for _, leaf in array_leaves(self._container)]
            return ((), self._container) if self.keywords else ((self._container,), {})
        self._container = self._leaves
        return self._leaves, {}

    @contextmanager
    def moved_to(self, values: Callable[[slice], Array]) -> Iterator[None]:
        """Move every checked parameter to other values, given for a part of θ, and restore it."""
        try:
            for position, where, here, there in self._blocks(values):
                self._replace(position, where, here, there)
            if not self.is_copied:
                self._write_through()
            yield
        finally:
            if self.is_copied:
                self._find_written()
                self.restore()
            else:
                for position, where, here, there in self._blocks(values):
                    self._replace(position, where, there, here)
                self._write_through()

    def _blocks(self, values: Callable[[slice], Array]) -> Iterator[tuple[int, Any, Array, Array]]:
        """Yield a block of a parameter at a time, as it is at θ and with other values."""
        # So no other array of the size of θ is made.
        for position, parameter in enumerate(self.parameters.arrays):
            start = parameter.start
            for block in blocks_of(parameter.shape) if parameter.checked else ():
                part = slice(start, start := start + box_size(block))
                yield (
                    position,
                    tuple(slice(*side) for side in block),
                    self.theta[part],
                    values(part),
                )

    def move(self, direction: Direction, step: float) -> None:
        """Move a parameter from θ along a direction."""
        k = direction.position
        if self.is_copied:
            direction.move(self.arrays[k], self.saved[k], step)
            return
        for where, values in direction.moved(self.saved[k], step):
            self._replace(k, where, self.saved[k][where], values)

    def move_back(self, direction: Direction, step: float) -> None:
        """Restore θ from where `move` has moved it."""
        k = direction.position
        if self.is_copied:
            direction.restore(self.arrays[k], self.saved[k])
            return
        for where, values in direction.moved(self.saved[k], step):
            self._replace(k, where, values, self.saved[k][where])

    def _replace(self, position: int, where: Any, old: Array, new: Array) -> None:
        """Write new values to a block of a buffer that holds the old ones.

        Under CLOSURE, another thread may write to it at any time. What it has written is moved by
        as much as the rest, so that no update is lost, and no step of ours remains.
        """
        now = np.atleast_1d(self.arrays[position])[where]
        if self.is_copied:
            now[...] = new.reshape(now.shape)
            return
        old, new = (np.asarray(values, now.dtype).reshape(now.shape) for values in (old, new))
        row, values = now.reshape(-1), new.reshape(-1)
        # Python changes to another thread only at a call, and NumPy's own operators may let others
        # go on while they compute. Neither happens between this comparison and the assignment.
        if now.data == old.data:
            if now.flags.c_contiguous and now.dtype.isnative:
                row.data[:] = values.data
            else:
                now.flat = new
            return
        theirs = (now != old) & (now != new)
        if not theirs.any():
            now[...] = new
            return
        # Another thread may go on meanwhile: a sum is right in any order, but for its rounding.
        now += np.where(now == new, 0, new - old)
        rounding = new - now
        now += np.where(np.abs(rounding) <= MOST_ROUNDING * np.spacing(np.abs(new)), rounding, 0)
        self.disturbed = self.parameters.arrays[position]

    def take_back(self, position: int, k: int, moved: Any, saved: Any) -> None:
        """Do the same with one entry that is no longer where it was moved."""
        slot = self.slots[position]
        now = slot[k]
        slot[k] = saved if now == saved else now - (moved - saved)
        self.disturbed = self.parameters.arrays[position]

    def _find_written(self) -> None:
        both = zip(self.parameters.arrays, self.arrays, self.saved, strict=True)
        for k, (parameter, moved, saved) in enumerate(both):
            own = parameter.present
            if np.array_equal(own, saved):
                continue
            with np.errstate(all="ignore"):  # of a cast to a narrower dtype
                is_written = np.array_equal(own, moved.astype(own.dtype))
                if not (is_written or thread_at_work()):
                    # The function may also round its argument, or set a part of it to zero.
                    close = np.isclose(own, moved, rtol=COPIED_TO) | (own == 0)
                    is_written = bool(np.all(close))
            if is_written:
                self.written.add(k)

    def restore(self) -> None:
        """Restore every buffer, bit for bit, unless another thread may have changed it.

        So are the user's own arrays to which the function has written its argument.
        """
        if "_memory" not in vars(self):
            return
        for k in self.written:
            self.parameters.arrays[k].put(self.saved[k])
        if self.is_copied or not (self.disturbed or thread_at_work()):
            for array, saved, p in zip(
                self.arrays, self.saved, self.parameters.arrays, strict=True
            ):
                # A parameter that is held fixed may be read-only: it is written only if it changed.
                if p.checked or not np.array_equal(array, saved):
                    array[...] = saved
        if not self.is_copied:
            self._write_through()

    def _write_through(self) -> None:
        """Copy the buffers to arrays with memory of their own, such as on another device."""
        for parameter, buffer in zip(self.parameters.arrays, self.arrays, strict=True):
            if parameter.checked and parameter.is_apart:
                parameter.put(buffer)

    def changed(self) -> Parameter | None:
        """Return a parameter that the function has changed or replaced; None if there is none."""
        leaves, present = self.parameters.leaves, _identities(self._container)
        moved = zip(self.parameters.arrays, self.arrays, self.saved, strict=True)
        # The flat θ is a single buffer.
        reshaped = zip(leaves, self._memory, strict=False)
        replaced = zip(leaves, self._leaves, strict=False)
        changed = [
            *filter(None, [self.disturbed]),
            *(p for p, array, saved in moved if not np.array_equal(array, saved)),
            *(p for p, both in reshaped if not _same_layout(*both)),
            *(p for p, leaf in replaced if id(leaf) not in present),
        ]
        return changed[0] if changed else None

    def has_grown(self) -> bool:
        """Return True if the function has put other arrays into its container."""
        return len(_identities(self._container)) > len(self._leaves)


def require_unchanged(name: str, binding: Binding) -> None:
    """Raise `InputError` if the parameters have changed, by the function `name` or another thread.

    The function's own changes are undone when the binding is restored, and all others are kept.
    """
    parameter = binding.changed()
    if parameter is None:
        return
    thread = None if binding.is_copied else thread_at_work()
    if thread or (binding.trusted and not binding.is_copied):
        binding.disturbed = parameter
        raise InputError(
            f"`{parameter.name}` was changed while `{name}` was being checked, by "
            f"{f'the thread {thread}' if thread else 'another thread'} or by `{name}` itself, and "
            f"keeps its new values: check again when nothing else changes `{parameter.name}`, or "
            f"make it an argument of `{name}`, which then gets copies."
        )
    raise changes_parameter("cost", name, parameter, is_copy=binding.is_copied)


def changes_parameter(what: str, name: str, parameter: Parameter, *, is_copy: bool) -> InputError:
    """Return the error for a function that changes a parameter."""
    whose = "its argument" if is_copy else "the notebook's"
    return InputError(
        f"`{name}` changes {whose} `{parameter.name}`: a {what} must not change the parameters; "
        f"let it work on a copy ({parameter.name}.copy())."
    )


def _identities(container: object) -> list[int]:
    return [id(leaf) for _, leaf in array_leaves(container)]


def _copied(parameter: Parameter, precision: DTypeLike | None) -> Array:
    """Return a copy as floats, in which the parameter can be moved; a fixed one keeps its dtype."""
    dtype: DTypeLike = parameter.array.dtype
    if parameter.array.dtype.kind in "fc":
        dtype = np.result_type(precision or dtype, dtype)
    elif parameter.checked:
        dtype = np.float64
    # The function gets a view, so that it cannot resize the array and free the memory.
    return np.array(parameter.array, dtype=dtype, order="C", subok=True).view()


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
    call : str
        A `Convention`, or "auto".
    name : str
        The user's name for the function.

    Raises
    ------
    InputError
        If the function cannot be called in any of these ways.
    """
    signature = None
    with suppress(Exception):  # the user's own may raise anything
        signature = inspect.signature(function)
    wanted = _plausible_conventions(parameters) if call == "auto" else [Convention(call)]
    by_name = _by_keyword(signature, parameters)
    numbers = {Convention.CLOSURE: 0, Convention.ARGUMENTS: len(parameters.leaves)}
    fitting: list[Binding] = []
    for convention in wanted:
        keywords = by_name and convention is Convention.ARGUMENTS
        fits = keywords or _accepts(signature, [None] * numbers.get(convention, 1), {})
        binding = Binding(convention, parameters, theta, keywords)
        if fits and not binding.is_copied and (obstacle := _closure_obstacle(parameters)):
            if convention is Convention.STRUCTURED or not fitting:
                raise InputError(f"`{name}` reads {obstacle}.")
        elif fits:
            fitting.append(binding)
    if not fitting:
        asked = "" if call == "auto" else f" with call={call!r}"
        raise InputError(
            f"`{name}{signature}` cannot be called{asked}: it must accept `{parameters.name}`, the "
            f"flat θ, the arrays one by one ({len(parameters.leaves)} here), or no arguments."
        )
    return fitting


def _plausible_conventions(parameters: Parameters) -> list[Convention]:
    if parameters.is_container:
        return list(Convention)
    # A single array is its own container, and "one by one" would be the same call.
    lone = [Convention.STRUCTURED, Convention.CLOSURE]
    return lone if parameters.leaves[0].array.ndim == 1 else [*lone, Convention.FLAT]


def _closure_obstacle(parameters: Parameters) -> str | None:
    """Say which arrays of the user cannot be perturbed in place, and why; None if all can."""
    checked = [leaf for leaf in parameters.leaves if leaf.checked]
    for parameter in checked:
        if reason := _fixed_because(parameter):
            return (
                f"`{parameter.name}` ({reason}) from the notebook, where it is perturbed in place: "
                "make it a writable array of floats, or an argument of the function"
            )
    named = [(parameter.name, parameter.memory) for parameter in checked]
    for name in in_shared_memory(named):
        return (
            f"`{name}` from the notebook, where it would be perturbed in place, but its memory is "
            "a file or shared with other processes: make it an argument of the function, or check "
            "a copy that the function reads"
        )
    pair = next(overlapping(named), None)
    return pair and (
        f"{' and '.join(f'`{name}`' for name in dict.fromkeys(pair))} from the notebook, but some "
        "entries share memory: moving one moves the other. Check one of the arrays alone "
        "(only=...), with the gradient of both together, or make them arguments of the function"
    )


def _fixed_because(parameter: Parameter) -> str:
    if parameter.is_number:
        return "a plain number"
    if parameter.library is not None and not parameter.library.is_writable:
        return f"an immutable {parameter.library.noun}"
    if parameter.array.dtype.kind not in "fc":
        return str(parameter.array.dtype)
    return "" if parameter.memory.flags.writeable else "read-only"


def _by_keyword(signature: inspect.Signature | None, parameters: Parameters) -> bool:
    """Return True if the arrays of a dict can be passed by their names."""
    container = parameters.container
    if signature is None or not isinstance(container, dict):
        return False
    return all(isinstance(key, str) for key in container) and _accepts(signature, (), container)


def _accepts(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: dict[str, Any]
) -> bool:
    try:
        if signature is not None:
            signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
