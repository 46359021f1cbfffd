"""Evaluation of the user's function, here or in a worker: no other module calls it.

An `Evaluator` passes θ as a `Binding` holds it, converts the result to one number, and evaluates J
on both sides of θ, along one entry or along a direction.
"""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Arguments, Binding, require_unchanged
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._cost.one_output import OneOutput
from gradcheck_magic._cost.random_states import DRAWING, RandomStates
from gradcheck_magic._inputs.arrays import from_library, is_array
from gradcheck_magic._inputs.parameters import describe_type
from gradcheck_magic._wording import quoted
from gradcheck_magic.errors import InputError

__all__ = [
    "Batch",
    "EntryBatch",
    "Evaluator",
    "OutOfTime",
    "Pair",
    "Probe",
    "Take",
    "is_one_number",
    "position_of_cost",
]

Array = NDArray[Any]

# The types that nearly every cost returns, and that need no conversion.
PLAIN_FLOATS = (float, np.float64)
# Rounding may leave a real cost an imaginary part of this power of its precision. A step of the
# check, which may give it a true one, is longer than that.
LEFT_BY_ROUNDING = 0.75


@dataclass(frozen=True, eq=False)
class EntryBatch:
    """A request for J on both sides of θ, for some entries of one parameter.

    Attributes
    ----------
    position : int
        The position of the parameter among all.
    ks : sequence of int, length m
        The positions of the entries in the parameter, in C order.
    steps : float, or sequence of float, length m
        The distance that each entry is moved to either side.
    quiet : bool
        True if the steps may leave the domain of J: errors then give nan, and warnings are ignored.
    """

    position: int
    ks: Sequence[int]
    steps: float | Sequence[float]
    quiet: bool = False

    def __len__(self) -> int:
        return len(self.ks)

    def __getitem__(self, part: slice) -> EntryBatch:
        steps = self.steps if isinstance(self.steps, float) else self.steps[part]
        return EntryBatch(self.position, self.ks[part], steps, self.quiet)


# A request for J on both sides of θ along some directions, each with its step.
Probe = Sequence[tuple[Direction, float]]
Batch = EntryBatch | Sequence[Probe]
# J on one side of θ, and on the other.
Pair = tuple[float, float]
# A function that gets each pair as soon as it is known. A generator would turn the `StopIteration`
# of a cost into another error.
Take = Callable[[Pair], object]


class OutOfTime(BaseException):
    """The exception raised if there is no time left for another evaluation."""


@dataclass(eq=False)
class Evaluator:
    """The user's function, as a function that returns a number.

    Attributes
    ----------
    name : str
        The user's name for the function.
    upstream : ndarray, dict of ndarray, or OneOutput, optional
        dJ/d(output), for a function that returns an array, or for some of several arrays by their
        positions or keys; or which of its outputs J is.
    states : RandomStates, optional
        The random states that are put back before each call.
    deadline : float
        The time, according to `time.perf_counter`, by which all evaluations must have ended.
    n_evaluations : int
        The number of calls.
    guard : InterruptGuard
        It is open while the user's function runs.
    seconds_each : float
        The duration of one evaluation.
    in_thread : bool
        True if other threads may evaluate the same function at the same time.
    jitter : float
        The most that two values at the same θ may differ, if the function is not repeatable.
    returns_more : bool
        True if the function has returned more than the cost, such as (cost, gradients).
    """

    function: Callable[..., Any]
    name: str
    upstream: Array | dict[Any, Array] | OneOutput | None = None
    states: RandomStates | None = None
    deadline: float = math.inf
    n_evaluations: int = 0
    guard: InterruptGuard = field(default_factory=InterruptGuard)
    seconds_each: float = 0.0
    in_thread: bool = False
    jitter: float = 0.0
    returns_more: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker has a guard and a time of its own.
        return Evaluator, (self.function, self.name, self.upstream, self.states)

    def value(self, binding: Binding, wrap: Callable[[Array], Array] | None = None) -> float:
        """Return J at the θ that a binding holds."""
        if isinstance(self.upstream, OneOutput):
            value: float = self.upstream.value(binding, partial(self._returned, binding, wrap))
            return value
        value = self._returned(binding, wrap)
        if type(value) in PLAIN_FLOATS and self.upstream is None:
            return float(value)
        return self.as_number(self.as_array(value))

    def _returned(self, binding: Binding, wrap: Callable[[Array], Array] | None) -> Any:
        """Return what the function returns at the θ that a binding holds."""
        if binding.dtype is None or (library := binding.parameters.library) is None:
            return self.called(binding.arguments(wrap))
        with library.double_precision():
            return self.called(binding.arguments(wrap))

    def value_or_nan(self, binding: Binding, wrap: Callable[[Array], Array] | None = None) -> float:
        """Return J, or nan if the function raises."""
        try:
            return self.value(binding, wrap)
        except Exception:  # noqa: BLE001 (the user's function may raise anything)
            return math.nan

    def output(self, binding: Binding) -> Any:
        """Return what the function returns, without the rest of (cost, cache)."""
        return self.first(self.called(binding.arguments()))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Ignore warnings in this context."""
        # All threads share the filters of Python's warnings, so those of a pool leave them alone.
        ignored = nullcontext() if self.in_thread else warnings.catch_warnings(action="ignore")
        with np.errstate(all="ignore"), ignored:
            yield

    def called(self, arguments: Arguments) -> Any:
        """Call the function; signals reach it at once while it runs."""
        args, kwargs = arguments
        if self.deadline < math.inf:
            self.require_time()
        self.n_evaluations += 1
        if self.states is None:
            return self.guard.call(self.function, args, kwargs)
        with DRAWING:
            self.states.put_back()
            return self.guard.call(self.function, args, kwargs)

    def require_time(self) -> None:
        """Raise `OutOfTime` if there is no time for another evaluation, and the last one at θ."""
        if time.perf_counter() + 2 * self.seconds_each > self.deadline:
            raise OutOfTime

    # The returned value

    def as_array(self, value: Any) -> Array:
        """Convert the value that the function returned to an array: one number, or the output."""
        if isinstance(self.upstream, OneOutput):
            return self.upstream.outputs.vector(value)
        if isinstance(self.upstream, dict):
            return np.array(self._over_outputs(value, self.upstream))
        return self._array(self.first(value))

    def _over_outputs(self, returned: Any, upstream: dict[Any, Array]) -> float:
        """Return the weighted sum of several outputs."""
        total = 0.0
        for key, weights in upstream.items():
            try:
                output = returned[key]
            except Exception:  # noqa: BLE001 (the user's own may raise anything)
                raise InputError(
                    f"`upstream` is for output {quoted(key)}, but `{self.name}` returned "
                    f"{describe_type(returned)} without it: give dJ/d(output) in the structure of "
                    "what the function returns, with None for what has none."
                ) from None
            what = f"upstream[{key!r}]"
            total += self._weighted(self._array(output), weights, what, f"output {quoted(key)} of ")
        return total

    def _array(self, first: Any) -> Array:
        if first is None:
            raise InputError(f"`{self.name}` returned None: is a `return` missing?")
        first = from_library(first, self.name)
        if inspect.iscoroutine(first):
            # Nobody will await the coroutine, and Python would warn about that.
            first.close()
        try:
            array = np.asarray(first)
        except Exception:  # noqa: BLE001 (lists of different lengths, or a user's object that raises)
            array = np.asarray(None)
        if isinstance(first, np.ma.MaskedArray) and np.any(first.mask):
            raise InputError(
                f"`{self.name}` returned a masked value: the gradient can only be checked if "
                "the cost is a number."
            )
        if array.dtype.kind not in "fiubc":
            raise InputError(
                f"`{self.name}` returned {describe_type(first)}: expected one real number."
            )
        return array

    def as_number(self, array: Array) -> float:
        """Return the number in an array, or the weighted sum of an output."""
        if isinstance(self.upstream, OneOutput):
            number: float = self.upstream.of(array)
            return number
        if not isinstance(self.upstream, np.ndarray):
            if array.size != 1:
                raise InputError(
                    f"`{self.name}` returned an array of shape {array.shape}: expected one number. "
                    "If it is a layer's output, pass dJ/d(output) with --upstream (upstream=...); "
                    "to check its Jacobian, give that as the gradient."
                )
            return float(self._real(array).item())
        return self._weighted(array, self.upstream)

    def _real(self, cost: Array) -> Array:
        """Return the real part of a cost, if rounding alone has left it an imaginary one."""
        if cost.dtype.kind != "c":
            return cost
        if np.abs(cost.imag) > np.finfo(cost.dtype).eps ** LEFT_BY_ROUNDING * np.abs(cost.real):
            raise InputError(
                f"`{self.name}` returned the complex number {cost.item():.6g}: expected a real "
                "cost, such as its real part or np.abs(...)**2. If it is an output, pass "
                "dJ/d(output) with --upstream (upstream=...)."
            )
        return cost.real

    def _weighted(
        self, output: Array, upstream: Array, name: str = "upstream", which: str = ""
    ) -> float:
        if output.shape != upstream.shape:
            raise InputError(
                f"`{name}` has shape {upstream.shape}, but {which}`{self.name}` "
                f"{'has' if which else 'returned an array of'} shape {output.shape}: dJ/d(output) "
                "must have the shape of the output."
            )
        if upstream.dtype.kind == "c" and output.dtype.kind != "c" and np.any(upstream.imag):
            raise InputError(
                f"`{name}` is complex, but {which}`{self.name}` "
                f"{'is' if which else 'returned an array that is'} real: dJ/d(output) must be "
                "real, too."
            )
        with np.errstate(all="ignore"):
            # For complex outputs, dJ/d(x + iy) is ∂J/∂x + i ∂J/∂y.
            return float(np.sum(np.real(output * np.conj(upstream)), dtype=np.float64))

    def first(self, value: Any) -> Any:
        """Return the cost of (cost, cache), [cost, cache] or (grads, cost), or else the value."""
        if isinstance(self.upstream, (dict, OneOutput)):
            return value
        while isinstance(value, tuple) and value:
            self.returns_more = self.returns_more or len(value) > 1
            value = value[position_of_cost(value) if self.upstream is None else 0]
        if isinstance(value, list) and value and self.upstream is None and is_one_number(value[0]):
            self.returns_more = self.returns_more or len(value) > 1
            value = value[0]
        return value

    # On both sides of θ

    def pairs(self, binding: Binding, batch: Batch) -> list[Pair]:
        """Return J on one side of θ and on the other, for every pair of a batch."""
        pairs: list[Pair] = []
        self.each_pair(binding, batch, pairs.append)
        return pairs

    def each_pair(self, binding: Binding, batch: Batch, take: Take) -> None:
        """Pass J on one side of θ and on the other to `take`, pair by pair; θ is restored then."""
        is_quiet = not isinstance(batch, EntryBatch) or batch.quiet
        with self.quiet() if is_quiet else nullcontext():
            if isinstance(batch, EntryBatch):
                self._each_beside(binding, batch, take)
                return
            for probe in batch:
                take((self._along(binding, probe, 1.0), self._along(binding, probe, -1.0)))

    def _each_beside(self, binding: Binding, batch: EntryBatch, take: Take) -> None:
        evaluate = self.value_or_nan if batch.quiet else self.value
        slot = _fast(binding.slots[batch.position])
        guard, is_copied = self.guard, binding.is_copied
        steps = repeat(batch.steps) if isinstance(batch.steps, float) else batch.steps
        for k, step in zip(batch.ks, steps, strict=False):
            if guard.pending:
                guard.release()
            # Python changes to another thread only at a call, so nobody can write to the user's
            # own array between looking at the entry and moving it.
            saved = moved = slot[k]
            try:
                slot[k] = saved + step
                moved = slot[k]
                plus = evaluate(binding)
                if is_copied or slot[k] == moved:
                    slot[k] = saved - step
                    moved = slot[k]
                    minus = evaluate(binding)
            except Exception as error:
                label = binding.parameters.arrays[batch.position].label(k)
                with suppress(Exception):  # the user's own exception need not take a note
                    error.add_note(
                        f"This happened with `{label}` moved by {step:g}; at the parameters "
                        f"themselves `{self.name}` works."
                    )
                raise
            finally:
                # The value is restored from a copy: subtracting the step again would round it.
                if is_copied or slot[k] == moved:
                    slot[k] = saved
                else:
                    binding.take_back(batch.position, k, moved, saved)
            if binding.disturbed:
                require_unchanged(self.name, binding)
            take((plus, minus))

    def _along(self, binding: Binding, probe: Probe, side: float) -> float:
        self.guard.release()
        try:
            for direction, step in probe:
                binding.move(direction, side * step)
            # Without a direction, this is θ itself, where errors are the user's to see.
            value = self.value_or_nan(binding) if probe else self.value(binding)
        finally:
            for direction, step in probe:
                binding.move_back(direction, side * step)
        if binding.disturbed:
            require_unchanged(self.name, binding)
        return value


def _fast(slot: Any) -> Any:
    """Return a flat array of doubles as a view that is read and written in half the time."""
    is_plain = isinstance(slot, np.ndarray) and slot.dtype == np.float64 and slot.flags.carray
    return slot.data if is_plain else slot


def position_of_cost(returned: tuple[Any, ...]) -> int:
    """Return the position of the cost in what a function returns: after gradients, if any."""
    for k, value in enumerate(returned):
        if is_one_number(value) or not (isinstance(value, (dict, list)) or is_array(value)):
            return k
    return 0


def is_one_number(value: Any) -> bool:
    """Return True for a number, and for an array of any library that holds one."""
    if isinstance(value, (*PLAIN_FLOATS, int, complex, np.number)):
        return True
    if not is_array(value):
        return False
    array = np.asarray(from_library(value, ""))
    return array.size == 1 and array.dtype.kind in "fiubc"
