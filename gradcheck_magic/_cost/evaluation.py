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
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Arguments, Binding
from gradcheck_magic._cost.directions import Direction
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._inputs.arrays import from_library
from gradcheck_magic._inputs.parameters import describe_type
from gradcheck_magic.errors import InputError

__all__ = [
    "Batch",
    "DirectionBatch",
    "EntryBatch",
    "Evaluator",
    "OutOfTime",
    "Pair",
    "Probe",
    "Take",
]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# The types that nearly every cost returns, and that need no conversion.
PLAIN_FLOATS = (float, np.float64)


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

    def part(self, start: int, stop: int) -> EntryBatch:
        """Return a part of the batch."""
        steps = self.steps if isinstance(self.steps, float) else self.steps[start:stop]
        return EntryBatch(self.position, self.ks[start:stop], steps, self.quiet)


@dataclass(frozen=True, eq=False)
class DirectionBatch:
    """A request for J on both sides of θ, along directions in one or several parameters.

    Attributes
    ----------
    probes : sequence of tuple of (Direction, float), length m
        The directions of each pair of evaluations, each with its step.
    """

    probes: Sequence[Probe]

    def __len__(self) -> int:
        return len(self.probes)

    def part(self, start: int, stop: int) -> DirectionBatch:
        """Return a part of the batch."""
        return DirectionBatch(self.probes[start:stop])


Probe = Sequence[tuple[Direction, float]]
Batch = EntryBatch | DirectionBatch
# J on one side of θ, and on the other.
Pair = tuple[float, float]
# A function that gets each pair as soon as it is known. A generator would turn the `StopIteration`
# of a cost into another error.
Take = Callable[[Pair], object]


class OutOfTime(BaseException):
    """The exception raised if there is no time left for another evaluation."""


class Evaluator:
    """The user's function, as a function that returns a number.

    Parameters
    ----------
    function : callable
        The user's function.
    name : str
        The user's name for it.
    upstream : ndarray, optional
        dJ/d(output), for a function that returns an array.
    deadline : float
        The time, according to `time.perf_counter`, by which all evaluations must have ended.

    Attributes
    ----------
    n_evaluations : int
        The number of calls.
    guard : InterruptGuard
        A guard that is open while the user's function runs.
    seconds_each : float
        The duration of one evaluation.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        upstream: Array | None = None,
        deadline: float = math.inf,
    ) -> None:
        self.function = function
        self.name = name
        self.upstream = upstream
        self.deadline = deadline
        self.n_evaluations = 0
        self.guard = InterruptGuard()
        self.seconds_each = 0.0

    def value(self, binding: Binding, wrap: Callable[[Array], Array] | None = None) -> float:
        """Return J at the θ that a binding holds."""
        if binding.dtype is None:
            return self._value(binding, wrap)
        with binding.in_precision():
            return self._value(binding, wrap)

    def _value(self, binding: Binding, wrap: Callable[[Array], Array] | None) -> float:
        value = self.called(binding.arguments() if wrap is None else binding.wrapped(wrap))
        if type(value) in PLAIN_FLOATS and self.upstream is None:
            return float(value)
        return self.as_number(self.as_array(value))

    def quiet_value(self, binding: Binding, wrap: Callable[[Array], Array] | None = None) -> float:
        """Return J without warnings, or nan if the function raises."""
        with np.errstate(all="ignore"), self.warnings_ignored():
            try:
                return self.value(binding, wrap)
            except Exception:  # noqa: BLE001 (the user's function may raise anything)
                return np.nan

    def warnings_ignored(self) -> AbstractContextManager[object]:
        """Return a context in which no warnings are shown."""
        return warnings.catch_warnings(action="ignore")

    def called(self, arguments: Arguments) -> Any:
        """Call the function; an interrupt is raised at once while it runs."""
        args, kwargs = arguments
        if self.deadline < math.inf:
            self.require_time()
        self.n_evaluations += 1
        self.guard.open = True
        try:
            return self.function(*args, **kwargs)
        finally:
            self.guard.open = False

    def require_time(self) -> None:
        """Raise `OutOfTime` if there is no time for another evaluation."""
        if time.perf_counter() + self.seconds_each > self.deadline:
            raise OutOfTime

    # The returned value

    def as_array(self, value: Any) -> Array:
        """Convert the value that the function returned to an array: one number, or the output."""
        first = self.first(value)
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
        if array.dtype.kind not in "fiub":
            raise InputError(
                f"`{self.name}` returned {describe_type(first)}: expected one real number."
            )
        return array

    def as_number(self, array: Array) -> float:
        """Return the number in an array, or the weighted sum of an output."""
        if self.upstream is not None:
            return self._weighted(array, self.upstream)
        if array.size != 1:
            raise InputError(
                f"`{self.name}` returned an array of shape {array.shape}: expected one number. "
                "If it is a layer's output, pass dJ/d(output) with --upstream (upstream=...)."
            )
        return float(array.item())

    def first(self, value: Any) -> Any:
        """Return the first item of (cost, cache) or [cost, cache], or else the value itself."""
        while isinstance(value, tuple) and value:
            value = value[0]
        if isinstance(value, list) and value and self.upstream is None and _is_single(value[0]):
            value = value[0]
        return value

    def _weighted(self, output: Array, upstream: Array) -> float:
        if output.shape != upstream.shape:
            raise InputError(
                f"`upstream` has shape {upstream.shape}, but `{self.name}` returned an array of "
                f"shape {output.shape}: dJ/d(output) must have the shape of the output."
            )
        with np.errstate(all="ignore"):
            return float(np.sum(output * upstream, dtype=np.float64))

    # On both sides of θ

    def pairs(self, binding: Binding, batch: Batch) -> list[Pair]:
        """Return J on one side of θ and on the other, for every pair of a batch."""
        pairs: list[Pair] = []
        self.each_pair(binding, batch, pairs.append)
        return pairs

    def each_pair(self, binding: Binding, batch: Batch, take: Take) -> None:
        """Pass J on one side of θ and on the other to `take`, pair by pair; θ is restored then."""
        if isinstance(batch, EntryBatch):
            self._each_beside(binding, batch, take)
            return
        for probe in batch.probes:
            take((self._value_along(binding, probe, 1.0), self._value_along(binding, probe, -1.0)))

    def _each_beside(self, binding: Binding, batch: EntryBatch, take: Take) -> None:
        evaluate = self.quiet_value if batch.quiet else self.value
        slot, guard = binding.slots[batch.position], self.guard
        steps = repeat(batch.steps) if isinstance(batch.steps, float) else batch.steps
        for k, step in zip(batch.ks, steps, strict=False):
            guard.release()
            saved = slot[k]
            try:
                slot[k] = saved + step
                plus = evaluate(binding)
                slot[k] = saved - step
                minus = evaluate(binding)
            except Exception as error:
                label = binding.parameters.arrays[batch.position].label(k)
                with suppress(Exception):  # the user's own exception need not take a note
                    error.add_note(self._note_on_move(f"`{label}` moved by {step:g}"))
                raise
            finally:
                # The value is restored from a copy: subtracting the step again would round it.
                slot[k] = saved
            take((plus, minus))

    def _value_along(self, binding: Binding, probe: Probe, side: float) -> float:
        self.guard.release()
        with _moved(binding, probe, side):
            return self.quiet_value(binding)

    def _note_on_move(self, moved: str) -> str:
        return f"This happened with {moved}; at the parameters themselves `{self.name}` works."


def _is_single(value: Any) -> bool:
    try:
        return np.ndim(value) == 0
    except Exception:  # noqa: BLE001 (lists of different lengths, or anything of the user's)
        return False


@contextmanager
def _moved(binding: Binding, probe: Probe, side: float) -> Iterator[None]:
    """Move θ along some directions, and restore it."""
    arrays, saved = binding.arrays, binding.saved
    try:
        for direction, step in probe:
            position = direction.position
            direction.move(arrays[position], saved[position], side * step)
        yield
    finally:
        for direction, _ in probe:
            direction.restore(arrays[direction.position], saved[direction.position])
