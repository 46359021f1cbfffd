"""The whole check, in the order in which it happens. Start reading here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.autograd import differentiated
from gradcheck_magic._backward.find import Recording, backward_pass
from gradcheck_magic._backward.flat import Watched
from gradcheck_magic._backward.record import Recorder
from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._cost.cost import Cost, require_dependence
from gradcheck_magic._cost.evaluation import OutOfTime
from gradcheck_magic._cost.filled import filled, filled_gradient
from gradcheck_magic._cost.frames import frames_released
from gradcheck_magic._cost.gradient_function import (
    go_forward,
    moved_in_place,
    pair_at,
    point_around,
)
from gradcheck_magic._cost.interrupt import comes_from_handler
from gradcheck_magic._cost.jacobian import jacobian_at
from gradcheck_magic._cost.printed import PrintedOnce
from gradcheck_magic._cost.random_states import starts
from gradcheck_magic._cost.restore import restored
from gradcheck_magic._cost.threads import one_at_a_time
from gradcheck_magic._cost.written import Available
from gradcheck_magic._diagnosis.beside_solver import reconsidered
from gradcheck_magic._diagnosis.conclude import (
    conclude,
    has_failed,
    most_telling,
    with_changes,
    with_lost,
    with_notes,
)
from gradcheck_magic._diagnosis.diagnose import diagnose
from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.objects import held_by
from gradcheck_magic._inputs.pairing import Pairing, pair
from gradcheck_magic._inputs.parameters import Names, collect, cost_name, is_function
from gradcheck_magic._inputs.request import Call, Mode, Progress, Request, valid_step
from gradcheck_magic._measure.central_differences import textbook_differences
from gradcheck_magic._measure.jacobian import JacobianMeasurement
from gradcheck_magic._measure.measurement import Judged, Measurement
from gradcheck_magic._result.backward_pass import BackwardPass
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import Verdict, relative_difference
from gradcheck_magic.errors import GradientCheckInterrupted, InputError

__all__ = ["Seen", "check_after_cell", "check_gradients", "gradient_checking"]

# The part of a budget that is kept for the end of the check, once nothing more is evaluated: this
# many times what it took to collect the parameters, as the verdict also reads every one of them.
CONCLUDING = 3.0
# The cost in the notebook, and as it is computed again, may differ by this much, relatively.
CLOSE = 1e-6


@dataclass(frozen=True, eq=False)
class Seen:
    """What has happened in the cell that makes a check.

    Attributes
    ----------
    theta : ndarray or None
        θ before the cell, if it was there.
    recording : Recording or None
        What the cell has computed.
    place : callable
        What to call a file, given the name that Python has for it: cells have files of their own.
    """

    theta: NDArray[Any] | None
    recording: Recording | None
    place: Callable[[str], str]


@frames_released
def gradient_checking(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    epsilon: float = 1e-7,
) -> float:
    """Return the textbook's relative difference for a gradient, exact to the last bit.

    By the textbook's rule, a gradient is correct if the number is below 1e-7 and worth inspecting
    if it is below 1e-5; otherwise there is a bug. `check_gradients` computes the same number, but
    does not judge by it alone.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ, in its own precision; integers become float64.
    grads : array, or a container with the structure of `params`
        The backpropagated gradient.
    cost_function : callable
        A function that returns the cost. It is called twice for each entry: with the flat θ or, if
        `params` is a single array, with an array of that shape.
    epsilon : float
        The step ε.

    Returns
    -------
    float
        ‖approx − grads‖₂ / (‖approx‖₂ + ‖grads‖₂), where
        ``approx[i] = (J(θ + ε eᵢ) − J(θ − ε eᵢ)) / 2ε``; 0.0 if both are zero.

    Raises
    ------
    InputError
        If `params` and `grads` do not match or contain anything but numbers, if the cost is not a
        single finite number at θ or changes when it is called again, or if `epsilon` is not a
        positive number.

    References
    ----------
    * A. Ng, Improving Deep Neural Networks, deeplearning.ai (2017), week 1, "Gradient checking":
      the formula, and the thresholds 1e-7, 1e-5 and 1e-3.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck_magic import gradient_checking
    >>> gradient_checking(np.array([3.0, 4.0]), np.array([6.0, 8.0]), lambda x: x @ x) < 1e-7
    True
    """
    printed = PrintedOnce()
    with one_at_a_time(cost_function), restored(params, cost_function), printed:
        pairing = pair(params, grads)
        is_container = isinstance(params, (dict, list, tuple)) or held_by(params) is not None
        call = "flat" if is_container else "structured"
        epsilon = valid_step(epsilon)
        name = cost_name(cost_function, None)
        with Cost(cost_function, pairing.parameters, name=name, call=call) as cost:
            cost.require_no_noise()
            found = [textbook_differences(cost, each, epsilon) for each in pairing.checked]
    printed.tell()
    return relative_difference(np.concatenate(found), pairing.analytic)


@frames_released
def check_gradients(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    *,
    epsilon: float | None = None,
    mode: Mode = "auto",
    only: Sequence[str] | None = None,
    names: Names = None,
    call: Call = "auto",
    upstream: object = None,
    points: int = 1,
    workers: int | Executor | None = None,
    budget: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    previous: GradientCheck | None = None,
    trace: bool = False,
    arguments: Mapping[str, object] | None = None,
    reseed: bool = False,
) -> GradientCheck:
    """Compare a backpropagated gradient with central differences of the cost.

    Every entry of the numerical gradient has an error bar, estimated from the rounding noise of
    the cost and from the change of the differences with the step. An entry is wrong if it
    disagrees by more than its error bar. `Verdict` explains how the verdict follows from that.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ; also tensors, a ``torch.nn.Module``, any JAX pytree, dataclasses, and objects
        that hold parameters as attributes. It is never changed, except if the cost reads these very
        arrays (see `call`): then they are perturbed in place and restored, bit for bit.
    grads : array, a container with the structure of `params`, or a callable
        The gradient under test, or a function of the parameters that returns it. Dicts are
        matched by name (``W1`` with ``dW1`` or ``W1``), and any other keys are ignored. The
        gradient is copied before the first evaluation. Give None if torch's ``backward()`` has
        left the gradients in ``.grad``, if the objects in `params` hold them, or if
        `cost_function` returns them. With regard to a complex z = x + iy, the gradient of the real
        cost is ∂J/∂x + i ∂J/∂y, as in torch; for arrays of JAX, it is ∂J/∂x − i ∂J/∂y, as in JAX.
        The real and the imaginary part are checked as `z.real` and `z.imag`. Or give the Jacobian,
        if `cost_function` returns more than one number: see the notes.
    cost_function : callable
        A function that returns the cost, ``(cost, cache)`` or ``(cost, gradients)``; or, with
        `upstream` or a Jacobian, one or several arrays. It must return the same cost for the same
        parameters; see `reseed` if it is random. Noise of up to 1e-4 of the cost, as threads leave
        it that add up in any order, is measured instead.
    epsilon : float, optional
        The step ε of the textbook's pass: 1e-7, or 5e-3 if θ or the cost is in single precision
        (0.1 in float16, 0.3 in bfloat16). Entries that this step cannot settle are measured again
        with other steps.
    mode : {"auto", "full", "scan"}
        "full" measures every entry, with two evaluations each. "scan" looks along random
        directions and locates the wrong entries; it takes about fifty evaluations for a network
        of six parameters, however large they are. "auto" measures every entry if that fits the
        budget.
    only : sequence of str, optional
        The names of the parameters to check. The others are held fixed and need no gradient; the
        verdict says that they were not checked.
    names : sequence of str, or mapping, optional
        The names of the arrays, in order; or a namespace, such as ``globals()``, in which the
        arrays are looked up.
    call : {"auto", "flat", "structured", "arguments", "closure"}
        The way to call `cost_function`: with one flat vector, with a container like `params`,
        with the arrays one by one, or without arguments because it reads the parameters itself.
    upstream : array_like, or tuple, list or dict of arrays, optional
        The gradient dJ/d(output), in the shape of the array that `cost_function` returns: then
        J = Σ output · upstream. If it returns several, one for each, or None. For complex outputs,
        in the same convention as `grads`: J = Re Σ output · conj(upstream), or without the
        conjugate for arrays of JAX.
    points : int
        If more than 1, and if `grads` is a function, this many points around the given one are
        checked as well, until one fails: every entry is moved by up to 10 % of its size.
    workers : int or Executor, optional
        The number of processes that evaluate the cost (``pip install gradcheck_magic[parallel]``);
        or the workers to use: a `concurrent.futures.Executor`, or anything with its `submit`, such
        as Dask's ``client.get_executor()``, ipyparallel's ``client.executor()`` and mpi4py's
        `MPIPoolExecutor`. An executor is not shut down. The result does not depend on the workers.
    budget : float, optional
        The seconds that the check may take. It stops in time and reports the results so far; only
        a single evaluation, and reading and copying huge arrays, cannot be cut short.
        Without a budget, a full check is chosen if it takes less than 20 s, and nothing is stopped.
    seed : int
        The seed of everything random in the check: these points, the points at which the calling
        conventions are compared, and the line along which the noise is measured.
    progress : callable, optional
        A function that is called now and then with (evaluations so far, evaluations expected,
        seconds so far).
    previous : GradientCheck, optional
        The previous check: a wrong gradient may be the one that was correct then.
    trace : bool
        True to look at the backward pass statement by statement, whatever the verdict is. Without
        it, that is done where there is a bug.
    arguments : mapping, optional
        What `cost_function` takes besides the parameters, by the names of its arguments; other
        names in it are ignored. The same holds for `grads`, if it is a function.
    reseed : bool
        True for a cost that is random, such as one with dropout. Then the random states of NumPy,
        Python and PyTorch, and of all generators that the functions use, are put back before each
        call of the cost, and of `grads` if that is a function, to what they were at the start of
        the check. A gradient that is given as arrays must belong to the same random numbers: for
        example, call ``np.random.seed(0)`` before the forward pass, and again before the check.

    Returns
    -------
    GradientCheck
        The result; its ``str()`` is a complete report.

    Raises
    ------
    InputError
        If the check cannot be made as requested. One line names the culprit: `params` and `grads`
        do not match, or contain anything but numbers; the cost is not a single finite number at θ,
        changes when it is called again, modifies its arguments, or does not depend on them;
        another thread changes the parameters meanwhile, or is stuck in a check of its own; or an
        option has an invalid value.
    WorkerLostError
        If a process of `workers` dies, for example from lack of memory.
    GradientCheckInterrupted
        On Ctrl-C; its ``check`` holds the results so far.
    Exception
        Any exception of `cost_function` and `grads` themselves; if it did not happen at θ, a note
        says where. The same holds for a time limit: whatever the handler of a signal raises, and
        any exception named after a timeout.

    Notes
    -----
    A Jacobian is checked in blocks, one for each output and each parameter, such as ``∂r/∂x``. It
    may be a matrix (dense or sparse) with a row for each output and a column for each parameter,
    or have the shape of both, one after the other. For several parameters, give a container of
    blocks by parameter, or one matrix by all of them. For several outputs, as a dict or a tuple,
    give such a container for each output; or a dict by pairs, ``{("f", "x"): ...}``, in which a
    pair that is missing means zero. `cost_function` may return it after its outputs, as in
    ``(residuals, jacobian)``. Every entry is measured, and one evaluation serves all outputs;
    `mode` and `workers` have no effect.

    References
    ----------
    * W. H. Press et al., Numerical Recipes, 3rd ed. (2007), section 5.7: the error of a central
      difference as the sum of round-off and truncation.
    * J. J. Moré and S. M. Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33 (2011)
      1292-1314: the noise of one evaluation of the cost.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck_magic import check_gradients
    >>> x = np.array([3.0, 4.0])
    >>> check_gradients(x, 2 * x, lambda x: x @ x).passed
    True
    >>> check = check_gradients(x, x, lambda x: x @ x)
    >>> check.verdict
    <Verdict.BUG: 'There is a bug in backpropagation.'>
    >>> check.diagnoses[0].cause
    <Cause.SCALE: 'a constant factor'>

    Arrays in a container have names:

    >>> params = {"W": np.eye(2), "b": np.array([1.0, 2.0])}
    >>> grads = {"dW": 2 * params["W"], "db": np.array([2.0, 3.0])}
    >>> def cost(params):
    ...     return sum(np.sum(array**2) for array in params.values())
    >>> check_gradients(params, grads, cost).wrong_entries
    (('b', (1,)),)

    The Jacobian of residuals, with a wrong sign in its second column:

    >>> t, y = np.array([0.0, 1.0, 2.0]), np.array([3.0, 2.0, 1.0])
    >>> def residuals(x):
    ...     return x[0] * np.exp(-x[1] * t) - y
    >>> x, e = np.array([3.0, 0.5]), np.exp(-0.5 * t)
    >>> check = check_gradients(x, np.stack([e, 3 * t * e], axis=1), residuals)
    >>> check.verdict_text
    'There is a bug in the Jacobian.'
    >>> [entry.label for entry in check.worst_entries(2)]
    ['∂residuals[1]/∂params[1]', '∂residuals[2]/∂params[1]']
    """
    available = None if arguments is None else Available(arguments)
    called = filled(cost_function, params, names, available)
    return check_after_cell(
        params,
        filled_gradient(grads, params, names, available),
        called.function,
        names,
        epsilon=None if epsilon is None else valid_step(epsilon),
        mode=mode,
        only=only,
        call=call,
        upstream=upstream,
        points=points,
        workers=workers,
        budget=budget,
        seed=seed,
        progress=progress,
        previous=previous,
        trace=trace,
        notes=called.notes,
        expected=called.expected,
        reseed=reseed,
    )


@frames_released
def check_after_cell(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    names: Names = None,
    *,
    seen: Seen | None = None,
    reseed: object = False,
    **options: Any,
) -> GradientCheck:
    """Make the check of `check_gradients`, knowing what has happened in the cell that makes it.

    `reseed` may then be the list of the random states before each statement of the cell.
    """
    started = time.perf_counter()
    check, previous, printed = None, options["previous"], PrintedOnce()
    try:
        # The user need not hear about underflow in our own arithmetic.
        with (
            one_at_a_time(cost_function),
            restored(params, cost_function, *filter(is_function, [grads])) as kept,
            printed,
            np.errstate(under="ignore"),
        ):
            begin = starts(reseed, kept.states, grads)
            request = Request(
                cost_function, grads, **options, started=started, starts=begin, random=kept.states
            )
            check = _check_at(params, names, request, seen=seen)
            if request.points > 1:
                check = _check_around(params, names, request, check)
            check = with_lost(*kept.lost(), check)
        check = with_notes(check, printed.notes)
    except GradientCheckInterrupted as interrupt:
        interrupt.check = with_changes(previous, with_notes(interrupt.check, printed.notes))
        raise
    except KeyboardInterrupt:
        if check is None:
            raise
        raise GradientCheckInterrupted(with_changes(previous, check)) from None
    if previous and check.backward is None and previous.fingerprint == check.fingerprint:
        # What has computed the gradient is known from then.
        check = replace(check, backward=previous.backward)
    return with_changes(previous, check)


def _check_at(
    params: object,
    names: Names,
    request: Request,
    point: int = 0,
    *,
    seen: Seen | None = None,
) -> GradientCheck:
    """Check the gradient at one point."""
    started = time.perf_counter()
    pairing, source, upstream = _paired(params, names, request)
    request = replace(request, **_taken_from(source, upstream, request))
    # The end of the check reads everything several times more often.
    reserve = CONCLUDING * (time.perf_counter() - started)
    measurement = _measurement_of(pairing, request)
    watched = Watched() if pairing.is_flat else None
    cost = _cost_at(measurement, names, request, point=point, reserve=reserve, watched=watched)
    diagnosed = partial(
        diagnose,
        measurement=measurement,
        numbers=partial(NotebookNumbers, request.cost_function, names, pairing, request.grads),
        cost=cost,
        previous=None if point else request.previous,
        before=seen.theta if seen else None,
    )
    concluded = partial(_concluded, measurement, cost, started=started)
    stopped: BaseException | None = None
    check: GradientCheck | None = None
    backward: BackwardPass | None = None
    try:
        with cost:
            if not point:
                _require_as_expected(cost, pairing, request, seen)
            require_dependence(cost, pairing)
            measurement.choose(cost, request.seconds_left)
            measurement.run(cost, request.seed)
            judged = measurement.settled(cost)
            if watched:
                judged = measurement.tell_in(watched.pieces(*cost.buffers()[0]), judged)
            diagnoses = diagnosed(*judged, evaluate=measurement.is_of_one, until=cost.deadline)
            judged, diagnoses = reconsidered(measurement, cost, diagnosed, judged, diagnoses)
            stopped = OutOfTime() if time.perf_counter() > cost.deadline else None
            check = concluded(judged, diagnoses, stopped)
            is_traced = check.verdict is Verdict.BUG or request.trace
            if is_traced and measurement.is_of_one and not stopped:
                recordings = _recordings(params, names, request, seen, cost)
                place = seen.place if seen else None
                backward = backward_pass(
                    check, measurement.told, cost, recordings, place, is_asked=request.trace
                )
    except (KeyboardInterrupt, OutOfTime) as stop:
        # Its traceback would keep this frame alive, and everything in it.
        stopped = stop.with_traceback(None)
        if check is None:
            judged = measurement.judged(cost)
            diagnoses = diagnosed(*judged, evaluate=False, until=request.deadline)
            check = concluded(judged, diagnoses, stopped)
    check = replace(
        check,
        # The shape of many outputs was not known without a call.
        n_evaluations=cost.n_evaluations + (not measurement.is_of_one),
        seconds=time.perf_counter() - started,
        backward=backward,
    )
    if isinstance(stopped, KeyboardInterrupt):
        raise GradientCheckInterrupted(check) from None
    return check


def _concluded(
    measurement: Measurement,
    cost: Cost,
    judged: Judged,
    diagnoses: tuple[Diagnosis, ...],
    stopped: BaseException | None,
    *,
    started: float,
) -> GradientCheck:
    """Put together what was found out so far."""
    evidence = Evidence(measurement.told, cost, measurement, *judged, diagnoses, stopped)
    return conclude(evidence, started)


def _require_as_expected(cost: Cost, pairing: Pairing, request: Request, seen: Seen | None) -> None:
    """Raise `InputError` if J(θ) is another number than in the notebook, for the same θ."""
    expected = request.expected
    if (
        expected is None
        or request.starts
        or abs(cost.value - expected) <= max(cost.repeatable, CLOSE * abs(expected))
    ):
        return
    before = seen.theta if seen else None
    if before is not None and not np.array_equal(before, pairing.parameters.theta()):
        # The cell has moved θ since, which the diagnosis tells.
        return
    raise InputError(
        f"`{cost.name}` was {expected:.9g} in the notebook, and is {cost.value:.9g} when it is "
        "computed again: something that it reads has changed since, such as its data or the "
        "parameters. Change nothing between the cost and the check, or name a function with -c."
    )


def _paired(params: object, names: Names, request: Request) -> tuple[Pairing, object, object]:
    """Match the parameters with their gradients; return the source of these, and dJ/d(output).

    If they do not match, and the function returns many numbers, they are its Jacobian.
    """
    known: dict[str, Any] = {
        "cost_function": request.cost_function,
        "only": request.only,
        "names": names,
        "states": request.states,
    }
    mismatch: InputError | None = None
    try:
        pairing, source = pair_at(params, request.sources, **known)
    except InputError as error:
        mismatch = error
    else:
        # A gradient by x may be the Jacobian of a function that returns an array of one number.
        parts = zip(pairing.gradient_shapes, pairing.checked, strict=True)
        if not any(shape == (1, *parameter.shape) for shape, parameter in parts):
            return pairing, source, request.upstream
    found = None
    if request.upstream is None:
        of_one = mismatch is None
        found = jacobian_at(params, request.sources, **known, call=request.call, of_one=of_one)
    if found is not None:
        return found.pairing, found.source, found.output
    if mismatch is not None:
        raise mismatch
    return pairing, source, request.upstream


def _measurement_of(pairing: Pairing, request: Request) -> Measurement:
    if isinstance(pairing, JacobianPairing):
        return JacobianMeasurement(pairing, request.epsilon, request.mode)
    return Measurement(pairing, request.epsilon, request.mode)


def _taken_from(source: object, upstream: object, request: Request) -> dict[str, Any]:
    """Return what is known of the request once the source of the gradients is."""
    notes = [*request.notes]
    if source is request.cost_function:
        notes.append(
            "The gradients are those that the cost returns besides its value."
            if upstream is None
            else "The Jacobian is the one that the function returns besides its outputs."
        )
    return {"grads": source, "upstream": upstream, "standing": "chosen", "notes": notes}


def _recordings(
    params: object, names: Names, request: Request, seen: Seen | None, cost: Cost
) -> list[Callable[[], Recording | None]]:
    """Return the ways to a recording of the backward pass, the best first."""

    def called_again() -> Recording | None:
        if not is_function(request.grads):
            return None
        recorder = Recorder()
        try:
            with recorder:
                _paired(params, names, request)
        except Exception as error:
            # It has worked before, and need not work twice.
            if comes_from_handler(error):
                raise
        return Recording(recorder.bound, recorder.obstacle)

    def in_cell() -> Recording | None:
        return seen.recording if seen else None

    def of_cost() -> Recording | None:
        if request.grads is not None:
            return None
        try:
            return differentiated(cost)
        except Exception as error:
            # It may have freed what it has noted.
            if comes_from_handler(error):
                raise
        return None

    return [called_again, in_cell, of_cost]


def _cost_at(
    measurement: Measurement,
    names: Names,
    request: Request,
    *,
    point: int,
    reserve: float,
    watched: Watched | None,
) -> Cost:
    """Return the cost to evaluate at one point, with some seconds of the budget reserved."""
    pairing, is_of_one = measurement.pairing, measurement.is_of_one
    return Cost(
        request.cost_function,
        pairing.arguments,
        name=cost_name(request.cost_function, names),
        call=request.call,
        upstream=request.upstream,
        seed=request.seed,
        progress=request.progress_at(point),
        expected=measurement.expected,
        budget=request.seconds_before(reserve),
        # What was evaluated once serves all outputs, but in one process alone.
        workers=request.workers if is_of_one else None,
        goes_forward=not point,
        notes=request.notes,
        starts=request.starts,
        random=request.random,
        pairing=pairing if is_of_one else None,
        watched=watched,
    )


def _check_elsewhere(params: object, names: Names, request: Request, point: int) -> GradientCheck:
    """Check the gradient at another point, where it finds the activations of that point."""
    go_forward(request.cost_function, params, request.call, request.states)
    check = _check_at(params, names, request, point)
    return replace(check, n_evaluations=check.n_evaluations + 1)


def _check_around(
    params: object, names: Names, request: Request, given: GradientCheck
) -> GradientCheck:
    """Check the gradient at points around the given one, until one fails.

    Return the check that matters most.
    """
    checks = [given]
    # How the cost wants to be called is known by now.
    request = replace(request, call=cast(Call, given.call))
    parameters = collect(params, only=request.only, names=names)
    random = np.random.default_rng(request.seed)
    while len(checks) <= request.points and not (has_failed(checks[-1]) or checks[-1].interrupted):
        theta = point_around(parameters, random)
        try:
            if given.call == Convention.CLOSURE or parameters.is_linked:
                with moved_in_place(parameters, theta):
                    check = _check_elsewhere(params, names, request, len(checks))
            else:
                same_names = [leaf.name for leaf in parameters.leaves]
                there = parameters.at(theta)
                check = _check_elsewhere(there, same_names, request, len(checks))
        except Exception as error:
            error.add_note(f"This happened at point {len(checks)} of {request.points} around θ.")
            go_forward(request.cost_function, params, request.call, request.states)
            raise
        checks.append(check)
    telling = most_telling(checks, request)
    if len(checks) == 1:
        return telling
    # A backward pass then finds the activations of the given point.
    go_forward(request.cost_function, params, request.call, request.states)
    return replace(telling, n_evaluations=telling.n_evaluations + 1)
