"""The user's function as J(θ).

`Cost` finds out how the function must be called and how precise it is, and evaluates it at and
around θ, here or in workers.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.calling import (
    FoundCall,
    find_call,
    is_random,
    tolerance,
    working_calls,
)
from gradcheck_magic._cost.convention import (
    Binding,
    Convention,
    possible_bindings,
    require_unchanged,
)
from gradcheck_magic._cost.evaluation import Batch, EntryBatch, Evaluator, OutOfTime, Pair, Take
from gradcheck_magic._cost.one_output import OneOutput
from gradcheck_magic._cost.precision import bits_around, in_double, is_constant, own_precision
from gradcheck_magic._cost.printed import followed
from gradcheck_magic._cost.random_states import Origin, RandomStates
from gradcheck_magic._cost.surroundings import Precision, Surroundings
from gradcheck_magic._cost.threads import show_progress
from gradcheck_magic._cost.workers import Workers, pool_of
from gradcheck_magic._inputs.arrays import from_library, is_array, library_of
from gradcheck_magic._inputs.containers import children
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter, Parameters, describe_type
from gradcheck_magic._inputs.precision import DOUBLE
from gradcheck_magic._inputs.request import Progress, is_number
from gradcheck_magic._wording import quoted
from gradcheck_magic.errors import InputError

__all__ = ["Cost", "Precision", "require_dependence", "sides_of"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# The time that we add to an evaluation, in seconds.
OVERHEAD = 2e-6
# The time between two reports of progress, in seconds.
CHUNK = 0.02
# The number of repeated measurements in a batch, for each worker.
LOOKS = 32
# The number of further calls at the same parameters where the cost may be random.
REPEATS = 8
# The relative distance from θ within which J is a straight line, but for noise, kinks and chance.
NEAREST_LINE = 1e-5
# The most parameters whose slopes tell with which random states a gradient was computed, the step
# along them, relative to θ, and the least by which a slope is said to miss the gradient.
MOST_SLOPES, STEP_OF_SLOPES, LEAST_MISS = 8, 1e-4, 1e-9


class Cost:
    """The user's function as J(θ).

    Use it as a context manager: on exit, arrays that were perturbed in place are restored to the
    last bit, and an interrupt that was held back is raised. The last evaluation is at θ, as a
    backward pass may read what a forward pass has kept, wherever that is.

    Parameters
    ----------
    function : callable
        The user's function.
    parameters : Parameters
        The point θ at which the gradient is checked.
    name : str
        The user's name for the function.
    call, upstream, seed, progress, workers
        See `check_gradients`.
    expected : int
        The expected number of evaluations in total.
    budget : float, optional
        The seconds from now after which `OutOfTime` is raised.
    goes_forward : bool
        False if the caller will call the function at the user's parameters afterwards.
    notes : sequence of str
        What is known about the function already.
    starts : sequence of RandomStates
        The random states that may be put back before each call, if any are. Among several, those
        are put back with which the gradient was computed.
    pairing : Pairing, optional
        That gradient.
    watched : context manager, optional
        In which the function is called for the first time.
    random : RandomStates, optional
        The random states of now, of all generators that the function uses.

    Attributes
    ----------
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
    bits : int
        The significant bits of the least precise among the parameters and J.
    passed_over : sequence of (Convention, Exception)
        More likely ways of calling the function that failed.
    began : Origin or None
        The origin of the random state with which each call began, if the function is random.
    notes : list of str
        The assumptions that were made, each a sentence for the card.

    Raises
    ------
    InputError
        On entering, if the function cannot be called, is random, changes its argument, or does
        not return a finite number. Exceptions of the function itself at θ pass through. On leaving
        without an error, if it has changed its argument or returns another value than at first.
    """

    own: Precision
    best: Precision
    _around: Surroundings
    _binding: Binding
    _found: FoundCall

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
        expected: int = 0,
        budget: float | None = None,
        workers: int | Executor | None = None,
        goes_forward: bool = True,
        notes: Sequence[str] = (),
        starts: Sequence[RandomStates] = (),
        pairing: Pairing | None = None,
        watched: AbstractContextManager[object] | None = None,
        random: RandomStates | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(
                f"`{name}` is {describe_type(function)}: expected a function that returns the cost."
            )
        if not (isinstance(call, str) and call in ("auto", *Convention)):
            raise InputError(f"`call` is {quoted(call)}: expected auto, {', '.join(Convention)}.")
        self.name = name
        self.value = self.noise = self.scale = np.nan
        self.constant = self.is_single = False
        self.began: Origin | None = None
        self.convention: Convention | None = None
        self.bits = parameters.bits
        self.passed_over: Sequence[tuple[Convention, Exception]] = ()
        self.notes = [*notes]
        self._parameters = parameters
        self._call = call
        self._started = self._reported = time.perf_counter()
        deadline = math.inf if budget is None else self._started + budget
        self._starts, self._pairing, self._states = starts, pairing, random
        self._watched = watched or nullcontext()
        self._evaluator = Evaluator(
            function, name, _upstream(upstream), next(iter(starts), None), deadline
        )
        self._seed = seed
        self._random = _generator(seed)
        self._progress = progress
        self._expected = expected
        self._told = 0
        self._pool = pool_of(workers)
        self._workers: Workers | None = None
        self._goes_forward = goes_forward
        # The ways in which the noise was measured again.
        self._examined: set[Callable[[Surroundings, Precision], float]] = set()
        # What is wrong if the last call at θ has not returned what the first did.
        self._differs: InputError | None = None
        self._stack = ExitStack()

    @property
    def seconds_each(self) -> float:
        """The duration of one evaluation, our overhead included, divided by the workers."""
        return (self._evaluator.seconds_each + OVERHEAD) / (self._pool.size if self._pool else 1)

    @property
    def has_upstream(self) -> bool:
        """True if the function returns an output whose dJ/d(output) is given."""
        return self._evaluator.upstream is not None

    @property
    def is_one_of_many(self) -> bool:
        """True if J is one of many outputs, all of which are known where one is."""
        return isinstance(self._evaluator.upstream, OneOutput)

    @property
    def returns_more(self) -> bool:
        """True if the function has returned more than the cost, such as (cost, gradients)."""
        return self._evaluator.returns_more

    @property
    def deadline(self) -> float:
        """The time, according to `time.perf_counter`, after which nothing more is evaluated."""
        return self._evaluator.deadline

    @property
    def n_evaluations(self) -> int:
        """The number of calls of the function."""
        return self._evaluator.n_evaluations

    @property
    def is_noisy(self) -> bool:
        """True if J(θ) varies a little from call to call."""
        return self._evaluator.jitter > 0

    @property
    def repeatable(self) -> float:
        """The most that two values of J at the same parameters may differ."""
        return max(tolerance(self.bits) * self.scale, self._evaluator.jitter)

    @property
    def at_once(self) -> int:
        """The preferred number of pairs of evaluations in a batch."""
        return 1 if self._workers is None else LOOKS * self._workers.size

    def __enter__(self) -> Self:
        show_progress(self._evaluator)
        with ExitStack() as stack:
            guard, function = self._evaluator.guard, self._evaluator.function
            stack.enter_context(guard)
            stack.enter_context(followed(function, self.name, guard))
            guard.release()
            # Copying a large θ takes a while, too, and so does finding a direction.
            self._evaluator.require_time()
            theta = self._parameters.theta()
            self._evaluator.require_time()
            around = Surroundings(
                self._evaluator, self._parameters, theta, self._random, self._tell
            )
            self._evaluator.require_time()
            ways = possible_bindings(function, self._parameters, theta, self._call, self.name)
            with self._watched:
                trials = working_calls(self._evaluator, ways)
            # From now on θ is moved.
            self._binding = trials[0].binding
            stack.callback(self._restore)
            if self._goes_forward:
                stack.push(self._go_forward)
            found = find_call(around, trials)
            self._binding = found.binding
            # Those that are not chosen have buffers, too.
            del ways, trials
            if len(self._starts) > 1 and self._pairing is not None:
                found = self._started_where_gradient_is(self._pairing, around, found)
            began, n_before = time.perf_counter(), self.n_evaluations
            self._explore(around, found)
            # That a single evaluation was slow must not decide between a full check and a scan.
            typical = (time.perf_counter() - began) / (self.n_evaluations - n_before)
            self._evaluator.seconds_each = min(self._evaluator.seconds_each, typical)
            if (states := self._evaluator.states) and self._differs_without_states():
                self.began = states.origin
            if self._pool is not None:
                evaluator, binding = self._evaluator, found.binding
                self._workers = Workers(self._pool, evaluator, binding, self.bits)
            self._around, self._found = around, found
            self._stack = stack.pop_all()
        return self

    def _explore(self, around: Surroundings, found: FoundCall) -> None:
        """Find out how large and how precise J is, and how long it takes."""
        self.convention, self.value = found.binding.convention, found.value
        self.passed_over = found.passed_over
        self.notes += found.notes
        if self._evaluator.jitter:
            self.notes.append(
                f"`{self.name}` is not exactly repeatable: it varies by about {found.gap:.0e} from "
                "call to call, so larger steps were used."
            )
        sizes = abs(found.value), abs(found.nearby)
        self.scale = max(size for size in sizes if math.isfinite(size))
        self.bits = bits_around(around, found)
        self.constant = is_constant(around, found)
        around.seen.clear()
        self.own = own_precision(around, found, self.bits)
        self._require_same_nearby(around)
        self.best = in_double(around, self.own, constant=self.constant) or self.own
        self.noise = self.own.noise
        self.is_single = self.best is self.own and self.bits < DOUBLE

    def _started_where_gradient_is(
        self, pairing: Pairing, around: Surroundings, found: FoundCall
    ) -> FoundCall:
        """From now on, put those states back with which J has the slopes that a gradient says.

        The gradient may be wrong, but hardly that of every parameter.
        """
        gradients = list(zip(pairing.checked, pairing.gradients, strict=True))
        tried = gradients[:: math.ceil(len(gradients) / MOST_SLOPES)]

        def miss(states: RandomStates) -> float:
            self._evaluator.states = states
            total = 0.0
            for parameter, gradient in tried:
                here = slice(parameter.start, parameter.stop)
                step = np.zeros(len(around.theta))
                step[here] = STEP_OF_SLOPES * around.direction[here]
                sides = [around.at(found.binding, around.theta + s * step) for s in (1.0, -1.0)]
                rise, told = sides[0] - sides[1], 2 * float(step[here] @ gradient)
                total += math.log(abs(rise - told) / (abs(rise) + abs(told) or 1.0) + LEAST_MISS)
            return math.inf if math.isnan(total) else total

        self._evaluator.states = min(self._starts, key=miss)
        value = self._evaluator.value(found.binding)
        return replace(found, value=value, nearby=around.along(found.binding, found.distance))

    def _differs_without_states(self) -> bool:
        """Return True if J(θ) is another value where random states are not put back."""
        states, self._evaluator.states = self._evaluator.states, None
        try:
            return self._difference(self._again()) is not None
        finally:
            self._evaluator.states = states

    def _require_same_nearby(self, around: Surroundings) -> None:
        """Evaluate again what was not on a straight line near θ: it may have been by chance."""
        near = sorted((x, value) for x, value in around.seen.items() if 0 < x < NEAREST_LINE)
        if not near:
            return
        distances, values = np.array(near).T
        with np.errstate(invalid="ignore"):  # inf − inf
            line = self.value + (values[-1] - self.value) * distances / distances[-1]
            odd = np.flatnonzero(np.abs(values - line) > self.repeatable)[:REPEATS]
        if odd.size:
            # Another thread may write to θ: then it is not moved again.
            require_unchanged(self.name, self.own.binding)
        again = [around.along(self.own.binding, x) for x in distances[odd].tolist()]
        self.require_same(values[odd], np.array(again))

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:  # noqa: PYI036 (passed on)
        try:
            # A function that moves its argument can make a step so long that another has no length.
            if kind is None or issubclass(kind, ArithmeticError):
                require_unchanged(self.name, self.own.binding)
            if kind is None:
                self._evaluator.guard.release()
        finally:
            self._stack.__exit__(kind, *details)
            # It reports the progress to this object: a circle would keep θ in memory.
            del self._around
        if self._differs:
            raise self._differs

    def _again(self) -> list[float]:
        """Return J(θ) from some more calls."""
        return [self._evaluator.value(self.own.binding) for _ in range(REPEATS)]

    def _difference(self, values: Sequence[float]) -> InputError | None:
        """Return the error for a cost with these further values at θ; None if they are the same."""
        others = [value for value in values if not abs(value - self.value) <= self.repeatable]
        if not others:
            return None
        other = others[0]
        if all(abs(value - other) <= self.repeatable for value in values):
            return InputError(
                f"`{self.name}` returned {self.value:.9g} when the check began, and {other:.9g} "
                "from some call on, for the same parameters: something that it reads has changed "
                "meanwhile, such as its data or a counter; let every call read the same."
            )
        return is_random(self._evaluator, f"returned {self.value:.9g} and then {other:.9g}")

    @contextmanager
    def of_output(self, position: int) -> Iterator[None]:
        """Let J be one of the outputs, in this context: what is known of the others is used."""
        evaluator, found, theta = self._evaluator, self._found, self._around.theta
        # What is known takes time as well.
        evaluator.require_time()
        norm, before = cast("OneOutput", evaluator.upstream), vars(self).copy()
        evaluator.upstream = norm.choosing(position)
        try:
            self._workers, self._examined, self.notes = None, set(), []
            # Every output is measured at the same points.
            random = _generator(self._seed)
            around = Surroundings(evaluator, self._parameters, theta, random, self._tell)
            self._around = around
            value = evaluator.value(found.binding)
            nearby = around.along(found.binding, found.distance)
            self._explore(around, replace(found, value=value, nearby=nearby))
            yield
        finally:
            evaluator.upstream = norm
            vars(self).update(before)

    def outputs_along(self, distances: Sequence[float]) -> Array:
        """Return all outputs at some distances on the line around θ, a row for each distance."""
        with self._all_outputs():
            found = [self._around.along(self.own.binding, each) for each in distances]
        # Where the function raises, all are nan.
        return np.array(np.broadcast_arrays(*found), dtype=np.float64)

    def outputs_beside(self, batch: Batch) -> tuple[Array, Array]:
        """Return all outputs on both sides of θ, a row for each pair of a batch."""
        pairs: list[Pair] = []

        def take(pair: Pair) -> None:
            pairs.append(pair)
            self._tell()

        with self._all_outputs():
            self._evaluator.each_pair(self.own.binding, batch, take)
        plus, minus = zip(*pairs, strict=True)
        both = np.array(np.broadcast_arrays(*plus, *minus), dtype=np.float64)
        return both[: len(pairs)], both[len(pairs) :]

    @contextmanager
    def _all_outputs(self) -> Iterator[None]:
        """Let J be an array of all outputs, in this context."""
        norm = cast("OneOutput", self._evaluator.upstream)
        self._evaluator.upstream = norm.choosing(slice(None))
        try:
            yield
        finally:
            self._evaluator.upstream = norm

    def pairs_by_draw(self, batch: EntryBatch, n_draws: int) -> Iterator[tuple[Vector, Vector]]:
        """Yield J on both sides of θ, for both with the same random numbers; each time with others.

        What draws no random numbers that are known is the same each time.
        """
        states = self._states
        for _ in range(n_draws if states else 0):
            self._evaluator.states = states
            try:
                pairs = self._evaluator.pairs(self.own.binding, batch)
            finally:
                self._evaluator.states = None
            plus, minus = np.array(pairs).reshape(-1, 2).T
            yield plus, minus
            states = states and states.now()

    def is_random(self, what: str) -> InputError:
        """Return the error for a cost that does `what` for the same parameters."""
        return is_random(self._evaluator, what)

    def _restore(self) -> None:
        self._binding.restore()

    def _go_forward(self, kind: type[BaseException] | None, *_: object) -> None:
        """Evaluate J(θ) once more, unless somebody wants the check to end."""
        if kind is None or issubclass(kind, (Exception, OutOfTime)):
            # The function may have changed its argument.
            self._restore()
            # The time for it has been kept.
            self._evaluator.deadline = math.inf
            # What the function raises here is not told: it has worked at these parameters.
            with suppress(Exception):
                last = self._evaluator.value(self._binding)
                if kind is None and self._difference([last]):
                    self._differs = self._difference([last, *self._again()])
        if kind is None:
            self._tell()

    def position(self, parameter: Parameter) -> int:
        """Return the position of a parameter among all parameters."""
        return self._parameters.positions[parameter]

    def pairs(self, precision: Precision, batch: Batch) -> tuple[Vector, Vector]:
        """Return J on both sides of θ, in a given precision, for every pair of a batch."""
        costs = array("d")
        self.each_pair(precision, batch, costs.extend)
        return sides_of(costs)

    def each_pair(self, precision: Precision, batch: Batch, take: Take) -> None:
        """Pass the same values to `take`, pair by pair, as soon as they are known."""
        # Evaluating a single pair here is faster than sending it.
        evaluating = self._evaluator if len(batch) == 1 else (self._workers or self._evaluator)
        if self._progress is None:
            evaluating.each_pair(precision.binding, batch, take)
            return

        def take_and_tell(pair: Pair) -> None:
            take(pair)
            if time.perf_counter() - self._reported >= CHUNK:
                self._tell()

        evaluating.each_pair(precision.binding, batch, take_and_tell)
        self._tell()

    def require_same(self, before: Vector, again: Vector) -> None:
        """Raise `InputError` if what should be the same values of J differs."""
        with np.errstate(invalid="ignore"):
            apart = np.abs(before - again) > self.repeatable
        if np.any(apart | (np.isfinite(before) != np.isfinite(again))):
            require_unchanged(self.name, self.own.binding)
            raise self._difference(self._again()) or is_random(self._evaluator)

    def require_no_noise(self) -> None:
        """Raise `InputError` if J(θ) varies from call to call, however little."""
        if self.is_noisy:
            raise is_random(self._evaluator)

    def require_same_here(self) -> None:
        """Raise `InputError` if J(θ) differs in some more calls."""
        if error := self._difference(self._again()):
            raise error

    def expect(self, n_more: int) -> None:
        """Expect more evaluations, besides those so far and the last one."""
        if self.is_one_of_many:
            # All that is usual is expected since the beginning.
            return
        self._expected = self.n_evaluations + n_more + 1

    def _tell(self) -> None:
        """Report the progress."""
        done = self.n_evaluations
        if self._progress is not None and done > self._told:
            self._told, self._reported = done, time.perf_counter()
            self._progress(done, max(self._expected, done), self._reported - self._started)

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
        return self._around.at(self.best.binding, theta, wrap)

    def buffers(self) -> list[tuple[str, Array]]:
        """Return the name of each parameter, and the array through which the function gets it.

        That is the one in the user's own precision.
        """
        binding = self.own.binding
        names = [leaf.name for leaf in self._parameters.leaves]
        return list(zip(names, binding.wholes, strict=True))

    def here(self, precision: Precision | None = None) -> float:
        """Return J(θ) from another call, in its best precision; nan if the function raises."""
        self._evaluator.guard.release()
        with self._evaluator.quiet():
            return self._evaluator.value_or_nan((precision or self.best).binding)

    def output(self) -> tuple[Any, Array | None]:
        """Return what the function returns at θ, as it is, and the upstream gradient, if any.

        Both are None for several outputs.
        """
        self._evaluator.guard.release()
        with self._evaluator.quiet():
            upstream = self._evaluator.upstream
            if isinstance(upstream, (dict, OneOutput)):
                return None, None
            return self._evaluator.output(self.own.binding), upstream

    @property
    def direction(self) -> Vector:
        """A line along which every entry moves in proportion to its size."""
        return self._around.direction

    def reexamine(self, measured: Callable[[Surroundings, Precision], float]) -> bool:
        """Measure the noise in another way, once; return True if it is larger."""
        best = self.best
        if measured in self._examined:
            return False
        self._examined.add(measured)
        noise = measured(self._around, best)
        if noise <= best.noise:
            return False
        self.best = replace(best, noise=noise)
        if self.own is best:
            self.own, self.noise = self.best, noise
        return True


def sides_of(costs: array[float]) -> tuple[Vector, Vector]:
    """Return J on one side of θ and on the other, from pairs in a row."""
    plus, minus = np.array(costs).reshape(-1, 2).T.copy()
    return plus, minus


def _upstream(upstream: object) -> Array | dict[Any, Array] | OneOutput | None:
    """Return copies, because they may be among the arrays that are perturbed."""
    if upstream is None or isinstance(upstream, OneOutput):
        return upstream
    # A function that returns several arrays; None stands for those without a gradient.
    several = {k: each for k, each in children(upstream) or () if each is not None}
    if any(map(is_array, several.values())):
        return {k: _upstream_array(each, f"upstream[{k!r}]") for k, each in several.items()}
    return _upstream_array(upstream, "upstream")


def _upstream_array(upstream: object, name: str) -> Array:
    library, upstream = library_of(upstream), from_library(upstream, name)
    try:
        array = np.array(upstream)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        array = np.array(None)
    if isinstance(upstream, np.ma.MaskedArray):
        raise InputError(
            f"`{name}` is a masked array: pass a plain array, such as {name}.filled(0)."
        )
    if array.dtype.kind not in "fiubc":
        raise InputError(
            f"`{name}` is {describe_type(upstream)} ({array.dtype}): expected dJ/d(output), an "
            "array of real numbers."
        )
    return array.conj() if library is not None and library.conjugates else array


def _generator(seed: Any) -> np.random.Generator:
    if not is_number(seed, (int, np.integer)) or seed < 0:
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
