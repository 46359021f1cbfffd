"""The way in which the user's function wants to be called: every possible one is tried at θ."""

from __future__ import annotations

import math
import os
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.evaluation import Evaluator
from gradcheck_magic._cost.surroundings import Surroundings
from gradcheck_magic._inputs.parameters import DOUBLE
from gradcheck_magic._wording import first_line
from gradcheck_magic.errors import InputError

__all__ = [
    "PACKAGE",
    "REPEATABLE_SINGLE",
    "FoundCall",
    "find_call",
    "is_same",
    "require_unchanged",
]

# The directory of this package: code outside it is the user's, or that of other libraries.
PACKAGE = str(Path(__file__).parent.parent) + os.sep

# Two calls at the same θ may differ by this much, relatively, before the cost counts as random.
REPEATABLE = 1e-8
REPEATABLE_SINGLE = 1e-3
# The number of copies after which one of them reuses the memory of another, if nothing holds them.
COPIES = 8


@dataclass(frozen=True, eq=False)
class _Trial:
    """A way of calling the function that works, J(θ), and what it says about the cost."""

    binding: Binding
    value: float
    itemsize: int
    notes: list[str]


@dataclass(frozen=True, eq=False)
class _Failure:
    """A way of calling the function that does not work, and how far the call got."""

    convention: Convention
    error: Exception
    progress: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class FoundCall:
    """The way to call the function, and what it returned at θ.

    Attributes
    ----------
    binding : Binding
        The arguments.
    value, gap : float
        J(θ), and the difference between two calls.
    distance, nearby : float
        A distance from θ on the line around it, and J there.
    itemsize : int
        The size in bytes of the least precise among the parameters and J: 8 in double precision.
    notes : list of str
        The assumptions that were made about the returned value.
    passed_over : list
        More likely ways that failed, each with `convention` and `error`.
    """

    binding: Binding
    value: float
    gap: float
    distance: float
    nearby: float
    itemsize: int
    notes: list[str]
    passed_over: list[_Failure]


def find_call(around: Surroundings, bindings: list[Binding]) -> FoundCall:
    """Find the way to call the function among some, the most likely first.

    Raises
    ------
    InputError
        If there is none, or several that differ; or if the function is random, changes its
        argument, or does not return a finite number. Exceptions of the function pass through.
    """
    trials, passed_over = _working(around.evaluator, bindings)
    first = trials[0]
    gap = _require_repeatable(around.evaluator, first)
    _require_agreement(around, trials)
    binding, distance, nearby = _copied_if_kept(around, first)
    return FoundCall(
        binding, first.value, gap, distance, nearby, first.itemsize, first.notes, passed_over
    )


def is_same(one: float, other: float, itemsize: int) -> bool:
    """Return True if two values of J, in numbers of some bytes, may come from the same θ."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) == math.isfinite(other)
    tolerance = REPEATABLE if itemsize >= DOUBLE else REPEATABLE_SINGLE
    return abs(one - other) <= tolerance * max(abs(one), abs(other))


def require_unchanged(name: str, binding: Binding) -> None:
    """Raise `InputError` if the function has changed its parameters."""
    parameter = binding.changed()
    if parameter is None:
        return
    closure = binding.convention is Convention.CLOSURE
    whose = "the notebook's" if closure else "its argument"
    raise InputError(
        f"`{name}` changes {whose} `{parameter.name}`: a cost must not change the "
        f"parameters; let it work on a copy ({parameter.name}.copy())."
    )


def _working(evaluator: Evaluator, bindings: list[Binding]) -> tuple[list[_Trial], list[_Failure]]:
    """Call the function at θ in every way; return those that work, and likelier ones that fail."""
    # A wrong convention may overflow or divide by zero, which is not worth a warning.
    several = len(bindings) > 1
    with (
        np.errstate(all="ignore") if several else nullcontext(),
        warnings.catch_warnings(action="ignore") if several else nullcontext(),
    ):
        tried = [_tried(evaluator, binding) for binding in bindings]
    failures = [trial for trial in tried if isinstance(trial, _Failure)]
    working = _in_own_shape([trial for trial in tried if isinstance(trial, _Trial)])
    if not working:
        # The correct convention is most likely the one that got furthest into the function.
        furthest = max(failures, key=lambda failure: failure.progress)
        if not furthest.progress:
            # No line of the user's code was reached: the call itself failed.
            raise InputError(f"`{evaluator.name}` cannot be called: {first_line(furthest.error)}.")
        raise furthest.error
    for binding, trial in zip(bindings, tried, strict=True):
        if isinstance(trial, _Failure):
            # The frames of the traceback would keep the arguments of the call alive.
            trial.error.__traceback__ = None
            binding.drop()
    first = tried.index(working[0])
    return working, [each for each in tried[:first] if isinstance(each, _Failure)]


def _tried(evaluator: Evaluator, binding: Binding) -> _Trial | _Failure:
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
    except InputError as error:
        return _Failure(binding.convention, error, progress=(math.inf,))
    except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
        return _Failure(binding.convention, error, progress=_lines_reached(error))
    finally:
        binding.restore()
    if binding.has_grown():
        # The next call must not find what this one has left.
        binding = replace(binding, fresh=True)
    itemsize = array.dtype.itemsize if array.dtype.kind == "f" else DOUBLE
    what = "cost" if evaluator.upstream is None else "output"
    note = f"`{evaluator.name}` returns several values: the first was used as the {what}."
    notes = [note] if evaluator.first(returned) is not returned else []
    return _Trial(binding, value, min(binding.parameters.itemsize, itemsize), notes)


def _lines_reached(error: Exception) -> tuple[int, ...]:
    """Return how far the user's function got: the line in it, in the function it called, etc."""
    places: list[int] = []
    traceback = error.__traceback__
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(PACKAGE):
            # The instruction distinguishes between calls on the same line.
            places += (traceback.tb_lineno, traceback.tb_lasti)
        traceback = traceback.tb_next
    return tuple(places)


def _in_own_shape(trials: list[_Trial]) -> list[_Trial]:
    """Leave out the flat θ if it is a single array that also works in its own shape.

    The user's own call would pass the array in its own shape. Flattened, a column would broadcast
    where the column itself does not.
    """

    def is_flattened(binding: Binding) -> bool:
        arrays = binding.parameters.arrays
        is_flat = binding.convention is Convention.FLAT
        return is_flat and len(arrays) == 1 and arrays[0].array.ndim != 1

    return [trial for trial in trials if not is_flattened(trial.binding)] or trials


def _require_repeatable(evaluator: Evaluator, trial: _Trial) -> float:
    """Call the function again at θ, and return the difference of the two values."""
    began = time.perf_counter()
    again = evaluator.value(trial.binding)
    evaluator.seconds_each = time.perf_counter() - began
    if not is_same(trial.value, again, trial.itemsize):
        raise InputError(
            f"`{evaluator.name}` returned {trial.value:.9g} and then {again:.9g} for the same "
            "parameters: make it repeatable (no dropout, a fixed seed, the same batch)."
        )
    return abs(trial.value - again)


def _require_agreement(around: Surroundings, trials: list[_Trial]) -> None:
    """Make sure that all the ways agree at a point around θ.

    At θ itself they often agree by accident: a function may ignore its arguments.
    """
    rivals = [trial.binding for trial in trials]
    _, values = around.nearest_finite(rivals)
    if all(is_same(values[0], value, trials[0].itemsize) for value in values):
        return
    ways = ", ".join(
        f"{binding.convention.described} (J = {value:.6g})"
        for binding, value in zip(rivals, values, strict=True)
    )
    *others, last = [f"--call {binding.convention}" for binding in rivals]
    raise InputError(
        f"`{around.evaluator.name}` can be called in {len(rivals)} ways that differ around θ: "
        f"{ways}; choose one with {', '.join(others)} or {last} (in Python, call=...)."
    )


def _copied_if_kept(around: Surroundings, trial: _Trial) -> tuple[Binding, float, float]:
    """Let the function get new copies if it remembers the arrays it was given.

    Return its arguments, a distance from θ and J there.
    """
    binding = trial.binding
    distance, (value,) = around.nearest_finite([binding])
    if binding.fresh or binding.convention is Convention.CLOSURE:
        return binding, distance, value
    anew = around.along(replace(binding), distance)
    if is_same(value, anew, trial.itemsize):
        return binding, distance, anew
    copied = replace(binding, fresh=True)
    # A function that remembers arrays by their id must not confuse them: sooner or later, a copy
    # reuses the memory of another that was freed.
    distances = [distance / k for k in range(1, COPIES + 1)]
    first = [around.along(copied, each) for each in distances]
    again = [around.along(copied, each) for each in reversed(distances)]
    if not all(map(is_same, first, reversed(again), [trial.itemsize] * COPIES)):
        raise InputError(
            f"`{around.evaluator.name}` returns different values for the same numbers in other "
            "arrays: if it remembers arrays by their id(), let it use their contents (W.tobytes())."
        )
    return copied, distance, anew
