"""The user's function as J(θ).

`Cost` finds out how the function must be called, evaluates it at and around θ, here or in workers,
and estimates the rounding noise of one value.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding, Convention, possible_bindings
from gradcheck_magic._cost.evaluation import Batch, Evaluator
from gradcheck_magic._cost.noise import NearbyCosts, measured_noise, noise_in_steps
from gradcheck_magic._cost.workers import Workers, pool_of
from gradcheck_magic._inputs.arrays import from_library
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import (
    DOUBLE,
    Parameter,
    Parameters,
    describe_type,
    random_direction,
)
from gradcheck_magic._inputs.request import (
    Progress,
)
from gradcheck_magic._wording import first_line, quoted
from gradcheck_magic.errors import InputError

__all__ = ["PACKAGE", "Cost", "Precision", "require_dependence"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# The directory of this package: code outside it is the user's, or that of other libraries.
PACKAGE = str(Path(__file__).parent.parent) + os.sep

# The time that we add to an evaluation, in seconds.
OVERHEAD = 2e-6
# The approximate time between two reports of progress, in seconds.
CHUNK = 0.02
# The number of repeated measurements in a batch, for each worker.
LOOKS = 32

SINGLE = np.dtype(np.float32).itemsize
# Values with no more than 20 bits were rounded; they do not mean single precision.
ROUNDED_BITS = 2**20
# Two calls at the same θ may differ by this much, relatively, before the cost counts as random.
REPEATABLE = 1e-8
REPEATABLE_SINGLE = 1e-3
# The relative distances from θ at which calling conventions are compared; the later ones are used
# if J is not finite at the first.
DISTANCES = (1e-2, 1e-4, 1e-6)
# The number of copies after which one of them reuses the memory of another, if nothing holds them.
COPIES = 8
# The multiples of θ, and the number of other points of its size, at which J is evaluated to find
# out if it is constant everywhere or only flat around θ.
ELSEWHERE = (-1.0, 0.0, 10.0)
OTHER_POINTS = 3
# The largest difference between the cost in low and in double precision, in units of the rounding
# of the former; and the least reduction of the noise that makes double precision worth using.
ROUNDED = 32.0
BETTER = 30.0


class Cost:
    """The user's function as J(θ).

    Use it as a context manager: on exit, arrays that were perturbed in place are restored to the
    last bit, and an interrupt that was held back is raised.

    Parameters
    ----------
    function : callable
        The user's function.
    parameters : Parameters
        The point θ at which the gradient is checked.
    name : str
        The user's name for the function.
    call : {"auto", "flat", "structured", "arguments", "closure"}
        The way to call `function`; "auto" tries all that its signature allows.
    upstream : array_like, optional
        dJ/d(output), for a function that returns an array: J = Σ output · upstream.
    seed : int
        The seed of the points around θ at which J is evaluated.
    progress : callable, optional
        A function that is called now and then with (evaluations so far, evaluations expected,
        seconds so far).
    budget : float, optional
        The seconds from now after which `OutOfTime` is raised.
    workers : int or Executor, optional
        The number of processes, or the executor, that evaluates batches.

    Attributes
    ----------
    name : str
        The user's name for the function.
    convention : Convention or None
        The way it is called; None before that is known.
    own, best : Precision
        J(θ) in the precision that the user chose, and in double precision if that is better and
        the function accepts it; otherwise both are the same. They are known after entering.
    is_single : bool
        True if even the best precision is less than double.
    value : float
        J(θ).
    noise : float
        The absolute error of one evaluation.
    scale : float
        The size of J around θ; at θ itself it may be zero by accident.
    constant : bool
        True if J had the same value at all points that were tried, near and far.
    itemsize : int
        The size in bytes of the least precise among the parameters and J: 8 in double precision.
    passed_over : list
        More likely ways of calling the function that failed, each with `convention` and `error`.
    n_evaluations : int
        The number of calls of the function.
    notes : list of str
        The assumptions that were made, each a sentence for the card.
    expected : int
        The expected number of evaluations in total.
    n_filled : int
        The number of pairs of the last batch that were evaluated.

    Raises
    ------
    InputError
        On entering, if the function cannot be called, is random, changes its argument, or does
        not return a finite number. Exceptions of the function itself at θ pass through.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Parameters,
        *,
        name: str = "cost_function",
        call: str = "auto",
        upstream: object = None,
        seed: int = 0,
        progress: Progress | None = None,
        budget: float | None = None,
        workers: int | Executor | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(
                f"`{name}` is {describe_type(function)}: expected a function that returns the cost."
            )
        if not (isinstance(call, str) and call in ("auto", *Convention)):
            raise InputError(f"`call` is {quoted(call)}: expected auto, {', '.join(Convention)}.")
        self.name = name
        self.value = self.noise = self.scale = np.nan
        self.constant = False
        self.convention: Convention | None = None
        self.passed_over: list[_Failure] = []
        self._parameters = parameters
        self._call = call
        self._evaluator = Evaluator(function, name, _upstream_array(upstream), parameters.itemsize)
        self._theta = parameters.theta()
        self._random = _generator(seed)
        self._direction = random_direction(self._theta, self._random)
        self.expected = 0
        self.n_filled = 0
        self._progress = progress
        self._pool = pool_of(workers)
        self._workers: Workers | None = None
        self._started = time.perf_counter()
        if budget is not None:
            self._evaluator.deadline = self._started + budget
        self._chunk = 1
        self._stack = ExitStack()
        self._binding: Binding
        self.own: Precision
        self.best: Precision
        self.is_single = False

    @property
    def seconds_each(self) -> float:
        """The duration of one evaluation, our overhead included, divided by the workers."""
        return (self._evaluator.seconds_each + OVERHEAD) / (self._pool.size if self._pool else 1)

    @property
    def itemsize(self) -> int:
        """The size in bytes of the least precise among the parameters and J."""
        return self._evaluator.itemsize

    @property
    def n_evaluations(self) -> int:
        """The number of calls of the function."""
        return self._evaluator.n_evaluations

    @property
    def notes(self) -> list[str]:
        """The assumptions that were made, each a sentence for the card."""
        return self._evaluator.notes

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._evaluator.guard).release()
            bindings = possible_bindings(
                self._evaluator.function,
                self._parameters,
                self._theta,
                self._call,
                self.name,
            )
            for binding in bindings:
                stack.callback(binding.restore)
            trials = self._try_all_at_theta(bindings)
            gap = self._require_repeatable(trials[0])
            self._binding = self._agreed_binding(trials)
            self.convention = self._binding.convention
            self._look_around()
            eps = float(np.finfo(f"f{self._evaluator.itemsize}").eps)
            surroundings = self._surroundings(self._binding, self.value)
            smallest = float(np.finfo(self._theta.dtype).eps)
            self.noise = max(gap, measured_noise(surroundings, smallest, eps))
            self.own = Precision(self._binding, self.value, self.noise, eps)
            self.best = self._in_double() or self.own
            self.is_single = self.best is self.own and self._evaluator.itemsize < DOUBLE
            if self._pool is not None:
                self._workers = Workers(
                    self._pool, self._evaluator, self._binding, self._evaluator.require_time
                )
                self._workers.compare(self._is_same)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._require_unchanged(self._binding)
        finally:
            self._stack.__exit__(kind, error, traceback)

    def position(self, parameter: Parameter) -> int:
        """Return the position of a parameter among all parameters."""
        return self._parameters.arrays.index(parameter)

    @property
    def at_once(self) -> int:
        """The preferred number of pairs of evaluations in a batch."""
        return 1 if self._workers is None else LOOKS * self._workers.size

    def pairs(self, precision: Precision, batch: Batch) -> tuple[Vector, Vector]:
        """Return J on both sides of θ, in a given precision, for every pair of a batch."""
        plus, minus = np.full((2, len(batch)), np.nan)
        self.fill(precision, batch, plus, minus)
        return plus, minus

    def fill(self, precision: Precision, batch: Batch, plus: Vector, minus: Vector) -> None:
        """Write the values of `pairs` into arrays; after an error, `n_filled` pairs are there."""
        self.n_filled = 0
        # Evaluating a single pair here is faster than sending it.
        if self._workers is not None and len(batch) > 1:
            self._fill_from(self._workers, precision, batch, plus, minus)
            return
        while self.n_filled < len(batch):
            start = self.n_filled
            part = batch.part(start, start + self._chunk)
            began = time.perf_counter()
            try:
                self._evaluator.fill(precision.binding, part, plus[start:], minus[start:])
            finally:
                self.n_filled = start + self._evaluator.done
            self._chunk = _next_chunk(self._chunk, time.perf_counter() - began)
            self._report_progress()

    def _fill_from(
        self, workers: Workers, precision: Precision, batch: Batch, plus: Vector, minus: Vector
    ) -> None:
        """Evaluate a batch in workers, and write the values into arrays."""
        with closing(workers.parts(precision.binding, batch)) as parts:
            for part in parts:
                start = self.n_filled
                self.n_filled = stop = start + len(part.plus)
                plus[start:stop], minus[start:stop] = part.plus, part.minus
                if part.error is not None:
                    # If the same error happens here, the traceback shows where in the function.
                    self._evaluator.pairs(precision.binding, batch.part(stop, stop + 1))
                    part.error.add_note("This happened in a worker, but not here.")
                    raise part.error
                self._report_progress()

    def _report_progress(self) -> None:
        """Report the progress."""
        if self._progress is not None:
            expected = max(self.expected, self.n_evaluations)
            self._progress(self.n_evaluations, expected, time.perf_counter() - self._started)

    def at(self, theta: Array, wrap: Callable[[Array], Array] | None = None) -> float:
        """Return J at another θ in its best precision; nan if the function raises.

        Parameters
        ----------
        theta : ndarray
            The point. Parameters that are not checked stay as they are.
        wrap : callable, optional
            A function that replaces each array passed to the cost; it is not called if the cost
            reads the notebook's own arrays.
        """
        self._evaluator.guard.release()
        return self._cost_at(self.best.binding, theta, wrap)

    # The way to call the function

    def _try_all_at_theta(self, bindings: list[Binding]) -> list[_Trial]:
        """Call the function at θ in every way that its signature allows; return those that work."""
        if len(bindings) == 1:
            tried = [self._try(bindings[0])]
        else:
            # A wrong convention may overflow or divide by zero, which is not worth a warning.
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tried = [self._try(binding) for binding in bindings]
        working = [trial for trial in tried if isinstance(trial, _Trial)]
        failures = [trial for trial in tried if isinstance(trial, _Failure)]
        if not working:
            # The correct convention is most likely the one that got furthest into the function.
            furthest = max(failures, key=lambda failure: failure.progress)
            if not furthest.progress:
                # No line of the user's code was reached: the call itself failed.
                raise InputError(f"`{self.name}` cannot be called: {first_line(furthest.error)}.")
            raise furthest.error
        working = self._in_own_shape(working)
        first = tried.index(working[0])
        self.passed_over = [f for f in failures if tried.index(f) < first]
        for failure in failures:
            # The frames of the traceback would keep the arguments of the call alive.
            failure.error.__traceback__ = None
        return working

    def _in_own_shape(self, trials: list[_Trial]) -> list[_Trial]:
        """Leave out the flat θ if it is a single array that also works in its own shape.

        The user's own call would pass the array in its own shape. Flattened, a column would
        broadcast where the column itself does not.
        """
        arrays = self._parameters.arrays
        if len(arrays) > 1 or arrays[0].array.ndim == 1:
            return trials
        own_shape = [t for t in trials if t.binding.convention is not Convention.FLAT]
        for trial in trials:
            if own_shape and trial not in own_shape:
                trial.binding.drop()
        return own_shape or trials

    def _try(self, binding: Binding) -> _Trial | _Failure:
        arguments = binding.arguments()
        held = binding.references()
        try:
            value = self._require_finite(
                self._evaluator.as_number(self._evaluator.called(arguments))
            )
            self._require_unchanged(binding)
        except InputError as error:
            binding.restore()
            binding.drop()
            return _Failure(binding.convention, error, progress=(math.inf,))
        except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
            binding.restore()
            binding.drop()
            return _Failure(binding.convention, error, progress=_lines_reached(error))
        # If the function keeps its arguments, they must not change: it gets new copies from now on.
        binding.fresh = binding.references() > held
        return _Trial(binding, value)

    def _require_unchanged(self, binding: Binding) -> None:
        parameter = binding.changed()
        if parameter is None:
            return
        closure = binding.convention is Convention.CLOSURE
        whose = "the notebook's" if closure else "its argument"
        raise InputError(
            f"`{self.name}` changes {whose} `{parameter.name}`: a cost must not change the "
            f"parameters; let it work on a copy ({parameter.name}.copy())."
        )

    def _agreed_binding(self, trials: list[_Trial]) -> Binding:
        """Return the most likely convention, if all that work agree at a point around θ.

        At θ itself they often agree by accident: a function may ignore its arguments.
        """
        rivals = [trial.binding for trial in trials]
        _, values = self._nearby_costs(rivals)
        if all(self._is_same(values[0], value) for value in values):
            for rival in rivals[1:]:
                rival.drop()
            return rivals[0]
        ways = ", ".join(
            f"{binding.convention.described} (J = {value:.6g})"
            for binding, value in zip(rivals, values, strict=True)
        )
        *others, last = [f"--call {binding.convention}" for binding in rivals]
        raise InputError(
            f"`{self.name}` can be called in {len(rivals)} ways that differ around θ: {ways}; "
            f"choose one with {', '.join(others)} or {last} (in Python, call=...)."
        )

    def _is_same(self, one: float, other: float) -> bool:
        if not (np.isfinite(one) and np.isfinite(other)):
            return bool(np.isfinite(one) == np.isfinite(other))
        tolerance = REPEATABLE if self._evaluator.itemsize >= DOUBLE else REPEATABLE_SINGLE
        return bool(abs(one - other) <= tolerance * max(abs(one), abs(other)))

    def _require_finite(self, value: float) -> float:
        if not np.isfinite(value):
            raise InputError(
                f"`{self.name}` is {value} at the given parameters: the gradient can only be "
                "checked if the cost is finite."
            )
        return value

    # The precision of one value

    def _require_repeatable(self, trial: _Trial) -> float:
        """Call the function again at θ, and return the difference of the two values."""
        self.value = trial.value
        # Notes about the results of other conventions do not matter.
        self._evaluator.notes.clear()
        began = time.perf_counter()
        again = self._evaluator.value(trial.binding)
        self._evaluator.seconds_each = time.perf_counter() - began
        if not self._is_same(self.value, again):
            raise InputError(
                f"`{self.name}` returned {self.value:.9g} and then {again:.9g} for the same "
                "parameters: make it repeatable (no dropout, a fixed seed, the same batch)."
            )
        return abs(self.value - again)

    def _cost_around(self, binding: Binding, distance: float) -> float:
        """Return J at a point around θ, the same for every binding; nan if it raises."""
        self._report_progress()
        with binding.along(self._direction, distance):
            return self._evaluator.quiet_value(binding)

    def _cost_at(
        self, binding: Binding, theta: Array, wrap: Callable[[Array], Array] | None = None
    ) -> float:
        """Return J at any other point, without warnings; nan if it raises."""
        with binding.at(theta):
            return self._evaluator.quiet_value(binding, wrap)

    def _nearby_costs(self, bindings: list[Binding]) -> tuple[float, list[float]]:
        """Return the first distance from θ at which J is finite for every binding, and its values.

        If there is none, it is the last distance.
        """
        for distance in DISTANCES:
            values = [self._cost_around(binding, distance) for binding in bindings]
            if np.all(np.isfinite(values)):
                break
        return distance, values

    def _look_around(self) -> None:
        """Find out if J depends on θ, and if the function remembers the array it was given."""
        binding = self._binding
        distance, (around,) = self._nearby_costs([binding])
        if not binding.fresh and binding.convention is not Convention.CLOSURE:
            binding.fresh = True
            anew = self._cost_around(binding, distance)
            binding.fresh = not self._is_same(around, anew)
            if binding.fresh:
                self._require_no_mixed_up_arrays(binding, distance)
            around = anew
        self.scale = max(abs(self.value), abs(around)) if math.isfinite(around) else abs(self.value)
        values = {self.value, around, self._cost_around(binding, distance / 3)}
        if self._evaluator.itemsize == DOUBLE and len(values) > 2:  # noqa: PLR2004 (one may be round by chance)
            self._evaluator.itemsize = _itemsize(values)
        self.constant = around == self.value and self._constant_elsewhere()

    def _require_no_mixed_up_arrays(self, binding: Binding, distance: float) -> None:
        """Make sure that a function which remembers arrays by their id does not confuse them.

        Sooner or later, a copy reuses the memory of another that was freed: both have the same id.
        """
        distances = [distance / k for k in range(1, COPIES + 1)]
        first = [self._cost_around(binding, each) for each in distances]
        again = [self._cost_around(binding, each) for each in reversed(distances)]
        if not all(map(self._is_same, first, reversed(again))):
            raise InputError(
                f"`{self.name}` returns different values for the same numbers in other arrays: if "
                "it remembers arrays by their id(), let it use their contents (W.tobytes())."
            )

    def _constant_elsewhere(self) -> bool:
        """Return True if J is the same at points that are unrelated to θ.

        Around θ it may only be flat: if every unit is dead, or if J counts hits.
        """
        size = np.abs(self._direction)
        points = [multiple * self._theta for multiple in ELSEWHERE]
        for least in (0.0, 1.0):
            sizes = np.maximum(size, least)
            points += [sizes * self._random.normal(size=len(size)) for _ in range(OTHER_POINTS)]
        values = [self._cost_at(self._binding, point) for point in points]
        return all(value == self.value for value in values if np.isfinite(value))

    def reexamine(self) -> bool:
        """Measure the noise again, in steps along single entries; return True if it is larger."""
        best = self.best
        noise = noise_in_steps(self._surroundings(best.binding, best.value), best.eps)
        if noise <= best.noise:
            return False
        self.best = replace(best, noise=noise)
        if self.own is best:
            self.own, self.noise = self.best, noise
        return True

    def _surroundings(self, binding: Binding, value: float) -> NearbyCosts:
        def along(distance: float) -> float:
            return self._cost_around(binding, distance)

        def beside(i: int, step: float) -> float:
            parameter = next(p for p in self._parameters.arrays if p.start <= i < p.stop)
            slot = binding.slots[self.position(parameter)]
            k, here = i - parameter.start, float(self._theta[i])
            try:
                if parameter.checked:
                    slot[k] = here + step * max(1.0, abs(here))
                return self._evaluator.quiet_value(binding)
            finally:
                binding.restore()

        return NearbyCosts(along, beside, len(self._theta), value, self._random)

    def _in_double(self) -> Precision | None:
        """Return the cost in double precision, if θ is single and the function accepts it."""
        if self._theta.dtype.itemsize >= DOUBLE or self._binding.convention is Convention.CLOSURE:
            return None
        eps = float(np.finfo(np.float64).eps)
        binding, itemsize = self._binding.in_double(), self._evaluator.itemsize
        value = self._cost_at(binding, self._theta)
        # The dtype returned now says nothing about the precision that the user chose.
        self._evaluator.itemsize = itemsize
        tolerance = max(REPEATABLE_SINGLE, ROUNDED * float(np.finfo(self._theta.dtype).eps))
        apart = abs(value - self.value)
        if math.isnan(apart) or apart > tolerance * abs(self.value) + ROUNDED * self.noise:
            return None
        if (
            self._cost_at(binding, self._theta + self._rounded_away()) == value
            and not self.constant
        ):
            # The function itself converts θ back to the lower precision.
            return None
        noise = measured_noise(self._surroundings(binding, value), eps, eps)
        return Precision(binding, value, noise, eps) if noise < self.noise / BETTER else None

    def _rounded_away(self) -> Vector:
        """Return a step that rounding θ to its own precision would remove."""
        places = np.spacing(np.abs(self._theta)).astype(np.float64)
        return 0.3 * places * np.sign(self._direction)


@dataclass(frozen=True, eq=False)
class Precision:
    """J around θ, in one floating-point precision.

    Attributes
    ----------
    binding : Binding
        The arguments of the function.
    value, noise : float
        J(θ), and the absolute error of one evaluation.
    eps : float
        The spacing of numbers next to 1, which is twice the unit roundoff of J.
    """

    binding: Binding
    value: float
    noise: float
    eps: float


@dataclass(frozen=True, eq=False)
class _Trial:
    """A way of calling the function that works, and J(θ)."""

    binding: Binding
    value: float


@dataclass(frozen=True, eq=False)
class _Failure:
    """A way of calling the function that does not work, and how far the call got."""

    convention: Convention
    error: Exception
    progress: tuple[float, ...]


def _next_chunk(size: int, seconds: float) -> int:
    """Return the size of the next batch, so that one takes about `CHUNK` seconds."""
    if seconds > CHUNK:
        return max(1, size // 2)
    return 2 * size if seconds < CHUNK / 2 else size


def _itemsize(values: Iterable[float]) -> int:
    """Return 4 for values that were computed in single precision, else 8.

    Such values use the 24 bits of a float32 and no more; values with far fewer bits were rounded.
    """
    array = np.array(list(values))
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.all(array.astype(np.float32) == array):
            return DOUBLE
    fraction, _ = np.frexp(array)
    return DOUBLE if np.all(np.modf(fraction * ROUNDED_BITS)[0] == 0) else SINGLE


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


def _upstream_array(upstream: object) -> Array | None:
    """Return a copy, because it may be one of the arrays that are perturbed."""
    if upstream is None:
        return None
    upstream = from_library(upstream, "upstream")
    try:
        array = np.array(upstream)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        array = np.array(None)
    if isinstance(upstream, np.ma.MaskedArray):
        raise InputError(
            "`upstream` is a masked array: pass a plain array, such as upstream.filled(0)."
        )
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"`upstream` is {describe_type(upstream)} ({array.dtype}): expected dJ/d(output), an "
            "array of real numbers."
        )
    return array


def _generator(seed: Any) -> np.random.Generator:
    is_number = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not is_number or seed < 0:
        raise InputError(f"`seed` is {quoted(seed)}: expected a non-negative integer.")
    return np.random.default_rng(seed)


def require_dependence(cost: Cost, pairing: Pairing) -> None:
    """Raise `InputError` if the cost is constant, but the gradient is not zero."""
    everything = pairing.size == pairing.parameters.size
    if not (cost.constant and everything and any(map(np.any, pairing.gradients))):
        return
    reads = (
        f"it reads arrays other than those in `{pairing.parameters.name}`"
        if cost.convention is Convention.CLOSURE
        else "it ignores its argument, and may read the notebook's variables instead"
    )
    raise InputError(
        f"`{cost.name}` is {cost.value:.6g} for all values of the parameters, but the gradient is "
        f"not zero: {reads}."
    )
