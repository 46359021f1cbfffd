"""The way in which the user's function wants to be called: every possible one is tried at θ."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck_magic._cost.convention import Binding, Convention, require_unchanged
from gradcheck_magic._cost.evaluation import Evaluator, position_of_cost
from gradcheck_magic._cost.surroundings import Surroundings
from gradcheck_magic._inputs.arrays import library_of
from gradcheck_magic._inputs.ownership import PACKAGE
from gradcheck_magic._inputs.precision import DOUBLE, eps_of, significant_bits
from gradcheck_magic._wording import first_line
from gradcheck_magic.errors import InputError

__all__ = [
    "REPEATABLE_SINGLE",
    "FoundCall",
    "find_call",
    "is_random",
    "is_same",
    "lines_reached",
    "require_repeatable",
    "tolerance",
    "working_calls",
]

# Two calls at the same θ may differ by this much, relatively, before the cost counts as random; in
# low precision, at least by this many units in the last place.
REPEATABLE = 1e-8
REPEATABLE_SINGLE = 1e-3
PLACES_APART = 2
# If they differ by this, relatively, it may be noise, as threads leave it that add up in any order,
# or an average over many samples; less than the first does not matter.
UNNOTICED, MOST_NOISE = 1e-12, 1e-4
# The number of further calls at θ that tell whether values differ by chance.
MANY_REPEATS = 32
# The noise is at least this part of the largest deviation among them, and two values that differ by
# more than so many times the noise are not the same but for noise.
PART_OF_LARGEST, NOISE_APART = 0.5, 10.0
# The means of the first and the second half may differ by this many times their noise: otherwise
# the cost drifts.
DRIFT = 4.0
# The number of copies after which one of them reuses the memory of another, if nothing holds them.
COPIES = 8


@dataclass(frozen=True, eq=False)
class FoundCall:
    """A way to call the function that works, and what it returned at θ.

    Attributes
    ----------
    binding : Binding
        The arguments.
    bits : int
        The significant bits of the least precise among the parameters and J.
    notes : list of str
        The assumptions that were made about the returned value.
    value, gap : float
        J(θ), and the difference between two calls.
    distance, nearby : float
        A distance from θ on the line around it, and J there.
    passed_over : sequence of (Convention, Exception)
        More likely ways that failed.
    """

    binding: Binding
    bits: int
    notes: list[str]
    value: float
    # What follows is found out only for the way that is chosen.
    gap: float = math.nan
    distance: float = math.nan
    nearby: float = math.nan
    passed_over: Sequence[tuple[Convention, Exception]] = ()


def find_call(around: Surroundings, trials: list[FoundCall]) -> FoundCall:
    """Find the way to call the function among those that work at θ, the most likely first.

    Raises
    ------
    InputError
        If there are several that differ.
    """
    _require_agreement(around, trials)
    return _copied_if_kept(around, trials[0])


def is_same(one: float, other: float, bits: int, jitter: float = 0.0) -> bool:
    """Return True if two values of J, with some significant bits, may come from the same θ.

    They may differ by the `jitter` of a cost that is not repeatable.
    """
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) == math.isfinite(other)
    return abs(one - other) <= max(tolerance(bits) * max(abs(one), abs(other)), jitter)


def tolerance(bits: int) -> float:
    """Return how much two values of J from the same θ may differ, relative to the size of J."""
    return REPEATABLE if bits == DOUBLE else max(REPEATABLE_SINGLE, PLACES_APART * eps_of(bits))


def working_calls(evaluator: Evaluator, bindings: list[Binding]) -> list[FoundCall]:
    """Call the function at θ in every way, and return those that work, the most likely first.

    That one is called twice.

    Raises
    ------
    InputError
        If there is none, or if the function is random, changes its argument, or does not return a
        finite number. Exceptions of the function pass through.
    """
    # A wrong convention may overflow or divide by zero, which is not worth a warning.
    with evaluator.quiet() if len(bindings) > 1 else nullcontext():
        tried = [_tried(evaluator, binding) for binding in bindings]
    working = [found for found in tried if isinstance(found, FoundCall)]
    arrays = bindings[0].parameters.leaves
    if len(arrays) == 1 and arrays[0].array.ndim != 1:
        # The user's own call would pass the array in its own shape. Flattened, a column would
        # broadcast where the column itself does not.
        working = [f for f in working if f.binding.convention is not Convention.FLAT] or working
    failed = [
        (binding, found)
        for binding, found in zip(bindings, tried, strict=True)
        if isinstance(found, Exception)
    ]
    if not working:
        # The correct convention is most likely the one that got furthest into the function.
        furthest = max((error for _, error in failed), key=lines_reached)
        if not lines_reached(furthest):
            # No line of the user's code was reached: the call itself failed.
            raise InputError(f"`{evaluator.name}` cannot be called: {first_line(furthest)}.")
        raise furthest
    for binding, error in failed:
        # The frames of the traceback would keep the arguments of the call alive.
        error.__traceback__ = None
        binding.drop()
    likelier = bindings[: tried.index(working[0])]
    passed_over = [(binding.convention, error) for binding, error in failed if binding in likelier]
    gap = _require_repeatable(evaluator, working[0])
    return [replace(working[0], passed_over=passed_over, gap=gap), *working[1:]]


def _tried(evaluator: Evaluator, binding: Binding) -> FoundCall | Exception:
    arguments = binding.arguments()
    try:
        returned = evaluator.called(arguments)
        array = evaluator.as_array(returned)
        value = evaluator.as_number(array)
        if not math.isfinite(value):
            raise InputError(  # noqa: TRY301 (another way may work)
                f"`{evaluator.name}` is {value} at the given parameters: the gradient can only be "
                "checked if the cost is finite."
            )
        require_unchanged(evaluator.name, binding)
        binding.trusted = True
    except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
        return error
    finally:
        binding.restore()
    if binding.has_grown():
        # The next call must not find what this one has left.
        binding = replace(binding, fresh=True)
    first = evaluator.first(returned)
    bits = significant_bits(array if library_of(first) is None else first)
    notes = [] if first is returned else [_which_was_used(evaluator, returned)]
    if array.dtype.kind == "c" and evaluator.upstream is None:
        notes.append(f"`{evaluator.name}` returns a complex number: its real part was used.")
    return FoundCall(binding, min(binding.parameters.bits, bits), notes, value)


def _which_was_used(evaluator: Evaluator, returned: Any) -> str:
    what = "cost" if evaluator.upstream is None else "output"
    is_later = evaluator.upstream is None and isinstance(returned, tuple)
    which = "only number" if is_later and position_of_cost(returned) else "first"
    return f"`{evaluator.name}` returns several values: the {which} was used as the {what}."


def lines_reached(error: Exception) -> tuple[float, ...]:
    """Return how far the user's function got: the line in it, in the function it called, etc."""
    if isinstance(error, InputError):
        # It got to its end.
        return (math.inf,)
    places: list[int] = []
    traceback = error.__traceback__
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(PACKAGE):
            # The instruction distinguishes between calls on the same line.
            places += (traceback.tb_lineno, traceback.tb_lasti)
        traceback = traceback.tb_next
    return tuple(places)


def _require_repeatable(evaluator: Evaluator, found: FoundCall) -> float:
    """Call the function again at θ, and return the difference of the two values."""
    began = time.perf_counter()
    again = evaluator.value(found.binding)
    evaluator.seconds_each = time.perf_counter() - began
    apart, size = abs(found.value - again), abs(found.value)
    if found.bits == DOUBLE and UNNOTICED * size < apart <= MOST_NOISE * size:
        noise = _jitter(evaluator, found.binding, found.value)
        if noise is not None:
            evaluator.jitter = NOISE_APART * noise
            return noise
    if not is_same(found.value, again, found.bits):
        raise _unrepeatable(evaluator, found.binding, found.value, again)
    return apart


def _jitter(evaluator: Evaluator, binding: Binding, value: float) -> float | None:
    """Return the noise of J(θ) in many calls; None if it is more than that."""
    values = np.array([evaluator.value(binding) for _ in range(MANY_REPEATS)])
    if not np.all(np.isfinite(values)):
        return None
    off = float(np.max(np.abs(values - np.median(values))))
    noise = max(float(np.std(values)), PART_OF_LARGEST * off)
    first, second = np.split(values, 2)
    drift = abs(float(np.mean(first) - np.mean(second)))
    is_steady = drift <= DRIFT * noise * math.sqrt(4 / MANY_REPEATS)
    return noise if is_steady and off <= MOST_NOISE * abs(value) else None


def require_repeatable(
    evaluator: Evaluator, binding: Binding, value: float, bits: int, times: int = 1
) -> float:
    """Call the function again at θ, and return the last value.

    Raises
    ------
    InputError
        If any of the values differs from the first one.
    """
    for _ in range(times):
        again = evaluator.value(binding)
        if not is_same(value, again, bits, evaluator.jitter):
            raise _unrepeatable(evaluator, binding, value, again)
    return again


def _unrepeatable(evaluator: Evaluator, binding: Binding, value: float, again: float) -> InputError:
    """Return the error for a cost with two values at θ; raise another if something moved θ."""
    if not binding.is_copied:
        require_unchanged(evaluator.name, binding)
    return is_random(evaluator, f"returned {value:.9g} and then {again:.9g}")


def is_random(evaluator: Evaluator, what: str = "sometimes returns another value") -> InputError:
    """Return the error for a cost that does `what` for the same parameters."""
    does = f"`{evaluator.name}` {what} for the same parameters"
    if evaluator.states is not None:
        return InputError(
            f"{does}, although every call began with the same random state: it may make a "
            "generator without a seed, count its calls, or read what changes meanwhile."
        )
    return InputError(
        f"{does}: it is random. Make it repeatable (no dropout, a fixed seed, the same batch), or "
        "let every call draw the same random numbers with --reseed (in Python, reseed=True)."
    )


def _require_agreement(around: Surroundings, trials: list[FoundCall]) -> None:
    """Make sure that all the ways agree at a point around θ.

    At θ itself they often agree by accident: a function may ignore its arguments.
    """
    rivals, bits = [trial.binding for trial in trials], trials[0].bits
    _, values = around.nearest_finite(rivals)
    jitter = around.evaluator.jitter
    if all(is_same(values[0], value, bits, jitter) for value in values):
        return
    require_repeatable(around.evaluator, rivals[0], trials[0].value, bits, MANY_REPEATS)
    ways = ", ".join(
        f"{binding.convention.described} (J = {value:.6g})"
        for binding, value in zip(rivals, values, strict=True)
    )
    *others, last = [f"--call {binding.convention}" for binding in rivals]
    raise InputError(
        f"`{around.evaluator.name}` can be called in {len(rivals)} ways that differ around θ: "
        f"{ways}; choose one with {', '.join(others)} or {last} (in Python, call=...)."
    )


def _copied_if_kept(around: Surroundings, found: FoundCall) -> FoundCall:
    """Let the function get new copies if it remembers the arrays it was given."""
    binding, bits = found.binding, found.bits
    distance, (value,) = around.nearest_finite([binding])
    if binding.fresh or not binding.is_copied:
        return replace(found, distance=distance, nearby=value)
    anew = around.along(replace(binding), distance)
    found = replace(found, distance=distance, nearby=anew)
    if is_same(value, anew, bits, around.evaluator.jitter):
        return found
    copied = replace(binding, fresh=True)
    if _confuses(around, copied, distance, bits):
        evaluator = around.evaluator
        require_repeatable(evaluator, binding, found.value, bits, MANY_REPEATS)
        if not _confuses(around, copied, distance, bits):
            raise is_random(evaluator)
        raise InputError(
            f"`{evaluator.name}` returns different values for the same numbers in other arrays: if "
            "it remembers arrays by their id(), let it use their contents (W.tobytes())."
        )
    return replace(found, binding=copied)


def _confuses(around: Surroundings, copied: Binding, distance: float, bits: int) -> bool:
    """Return True if a function that gets new copies returns other values for the same numbers.

    One that remembers arrays by their id confuses them: sooner or later, a copy reuses the memory
    of another that was freed.
    """
    distances = [distance / k for k in range(1, COPIES + 1)]
    first = [around.along(copied, each) for each in distances]
    again = [around.along(copied, each) for each in reversed(distances)]
    jitter = around.evaluator.jitter
    pairs = zip(first, reversed(again), strict=True)
    return not all(is_same(*pair, bits, jitter) for pair in pairs)
