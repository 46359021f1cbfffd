"""The whole check, in the order in which it happens. Start reading here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._cost.cost import Cost, require_dependence
from gradcheck_magic._cost.evaluation import OutOfTime
from gradcheck_magic._cost.gradient_function import moved_in_place, pair_at, point_around
from gradcheck_magic._cost.restore import Restored
from gradcheck_magic._diagnosis.conclude import (
    Outcome,
    conclude,
    has_failed,
    most_telling,
    with_changes,
)
from gradcheck_magic._diagnosis.diagnose import diagnose
from gradcheck_magic._diagnosis.experiments import Earlier
from gradcheck_magic._diagnosis.named_numbers import NamedNumbers
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._inputs.parameters import Names, VariableNames, collect, cost_name
from gradcheck_magic._inputs.request import Call, Mode, Progress, Request, valid_step
from gradcheck_magic._measure.central_differences import CentralDifferences, textbook_pass
from gradcheck_magic._measure.measurement import Measurement
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import relative_difference
from gradcheck_magic.errors import GradientCheckInterrupted

__all__ = ["check_gradients", "gradient_checking"]


def gradient_checking(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    epsilon: float = 1e-7,
) -> float:
    """Return the textbook's number for a gradient, to the last bit.

    By the textbook's rule a gradient is correct below 1e-7, worth inspecting below 1e-5, and has a
    bug above. `check_gradients` computes the same number, and does not judge by it alone.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ, in its own precision; integers become float64.
    grads : array, or a container in the structure of `params`
        The backpropagated gradient.
    cost_function : callable
        Returns the cost. It is called with the flat θ, or, where `params` is one array, with an
        array of that shape; twice for each entry.
    epsilon : float
        The step.

    Returns
    -------
    float
        ‖approx − grads‖₂ / (‖approx‖₂ + ‖grads‖₂), where
        ``approx[i] = (J(θ + ε eᵢ) − J(θ − ε eᵢ)) / 2ε``; 0.0 where both are zero.

    Raises
    ------
    InputError
        If `params` and `grads` do not fit each other or hold something else than numbers, if the
        cost is not one finite number at θ or is another one when it is called again, or if
        `epsilon` is no positive number.

    References
    ----------
    * A. Ng, Improving Deep Neural Networks, deeplearning.ai (2017), week 1, "Gradient checking":
      the formula, and 1e-7, 1e-5 and 1e-3 as marks.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck_magic import gradient_checking
    >>> gradient_checking(np.array([3.0, 4.0]), np.array([6.0, 8.0]), lambda x: x @ x) < 1e-7
    True
    """
    pairing = pair(params, grads)
    call = "flat" if isinstance(params, (dict, list, tuple)) else "structured"
    differences = CentralDifferences.planned(pairing.size, valid_step(epsilon))
    name = cost_name(cost_function, None)
    with (
        Restored(params, cost_function),
        Cost(cost_function, pairing.parameters, name=name, call=call) as cost,
    ):
        for parameter in pairing.checked:
            textbook_pass(differences, cost, parameter)
    return relative_difference(differences.textbook(), pairing.analytic)


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
) -> GradientCheck:
    """Compare a backpropagated gradient with central differences of the cost.

    Every entry of the numerical gradient has an error bar, from the noise of the cost and from how
    its differences change with the step. An entry is wrong if it disagrees beyond its bar; how the
    verdict follows from that is told by `Verdict`.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ; also tensors, a ``torch.nn.Module``, or any pytree of JAX's. It is never
        changed, except where the cost reads these very arrays (see `call`): then they are perturbed
        in place and restored, bit for bit.
    grads : array, a container in the structure of `params`, or a callable
        The gradient under test, or a function of the parameters that returns it. Dicts are
        matched by name (``W1`` with ``dW1`` or ``W1``), and what else they hold is ignored.
        Copied before the first evaluation. None where torch's ``backward()`` has left them in
        ``.grad``.
    cost_function : callable
        Returns the cost, or ``(cost, cache)``; or an array, with `upstream`. It gives the same
        cost for the same parameters.
    epsilon : float, optional
        The step of the textbook's pass: 1e-7, or 5e-3 where θ or the cost is in single precision
        (0.1 in half). Entries that it leaves open are measured again with other steps.
    mode : {"auto", "full", "scan"}
        Measure every entry, at two evaluations each; or look along random directions, some fifty
        evaluations for a net of six parameters however large they are, and locate what is wrong
        in them. "auto" measures every entry where that fits the budget.
    only : sequence of str, optional
        The names of the parameters to check. The others are held fixed and need no gradient.
    names : sequence of str, or mapping, optional
        What to call the arrays, in order; or a namespace, such as ``globals()``, whose variables
        name the arrays that they are.
    call : {"auto", "flat", "structured", "arguments", "closure"}
        How `cost_function` wants the parameters: as one flat vector, in the container `params`
        is, one by one, or not at all because it reads them itself.
    upstream : array_like, optional
        The gradient dJ/d(output), in the shape of what `cost_function` returns: then
        J = Σ output · upstream.
    points : int
        With more than 1, and `grads` a function, as many points around the given one are checked
        as well, until one fails: every entry is moved by up to 10 % of its size.
    workers : int or Executor, optional
        By how many processes of its own (``pip install gradcheck_magic[parallel]``), or by whose
        workers, the cost is evaluated: a `concurrent.futures.Executor`, or anything with its
        `submit`, such as Dask's ``client.get_executor()``, ipyparallel's ``client.executor()`` and
        mpi4py's `MPIPoolExecutor`; it is not shut down. The result does not depend on it.
    budget : float, optional
        Seconds. The check stops in time, and says what was known by then; if it is not given, 20 s
        decide between a full check and a scan, and nothing is stopped.
    seed : int
        Of everything random in the check: these points, those at which the calling conventions
        are compared, and the line along which the noise is measured.
    progress : callable, optional
        Called now and then with (evaluations so far, evaluations expected, seconds so far).
    previous : GradientCheck, optional
        The check before this one: a wrong gradient may be the one that was right then.

    Returns
    -------
    GradientCheck
        The result; its ``str()`` is a complete report.

    Raises
    ------
    InputError
        If the check cannot be made as asked, in one line that names the culprit: `params` and
        `grads` do not fit each other, or hold something else than numbers; the cost is not one
        finite number at θ, is another one when it is called again, changes what it is given, or
        does not depend on it; an option is not what it may be.
    WorkerLostError
        If a process of `workers` dies, as it would from lack of memory.
    GradientCheckInterrupted
        On Ctrl-C, with what was known by then in its ``check``.
    Exception
        What `cost_function` and `grads` raise themselves; a note tells where, if not at θ.

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
    """
    request = Request(
        cost_function,
        grads,
        epsilon=epsilon,
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
        started=time.perf_counter(),
    )
    check = None
    try:
        # Numbers that become too small for a float in our own arithmetic are no news to the user.
        with Restored(params, cost_function, grads), np.errstate(under="ignore"):
            check = _check_at(params, names, request)
            if points > 1:
                check = _check_around(params, names, request, check)
    except GradientCheckInterrupted as interrupt:
        interrupt.check = with_changes(previous, interrupt.check)
        raise
    except KeyboardInterrupt:
        if check is None:
            raise
        raise GradientCheckInterrupted(with_changes(previous, check)) from None
    return with_changes(previous, check)


def _check_at(params: object, names: Names, request: Request, point: int = 0) -> GradientCheck:
    """Check the gradient at one point."""
    started = time.perf_counter()
    pairing = pair_at(params, request.grads, only=request.only, names=names)
    cost = Cost(
        request.cost_function,
        pairing.parameters,
        name=cost_name(request.cost_function, names),
        call=request.call,
        upstream=request.upstream,
        seed=request.seed,
        progress=request.progress_at(point),
        budget=request.seconds_left,
        workers=request.workers,
    )
    measurement = Measurement(pairing, request.step, request.mode)
    diagnosed = partial(
        diagnose,
        pairing,
        named_numbers=partial(NamedNumbers, request.cost_function, names, pairing, request.grads),
        cost=cost,
        earlier=None if point else Earlier.of(request.previous, pairing),
    )
    stopped: BaseException | None = None
    try:
        cost.expected = measurement.expected
        with cost:
            require_dependence(cost, pairing)
            measurement.choose(cost, request.seconds_left)
            measurement.run(cost, request.seed)
            judged = measurement.judged(cost)
            diagnoses = diagnosed(*judged, scan=measurement.scan)
    except (KeyboardInterrupt, OutOfTime) as stop:
        judged = measurement.judged(cost)
        diagnoses = diagnosed(*judged, scan=measurement.scan, evaluate=False)
        stopped = stop
    check = conclude(Outcome(pairing, cost, measurement, *judged, diagnoses, stopped), started)
    if isinstance(stopped, KeyboardInterrupt):
        raise GradientCheckInterrupted(check) from None
    return check


def _check_around(
    params: object, names: Names, request: Request, given: GradientCheck
) -> GradientCheck:
    """Check the gradient at points around the given one, until one fails; return what matters."""
    checks = [given]
    variables, spoken = VariableNames.among(names)
    parameters = collect(params, variables, only=request.only, names=spoken)
    random = np.random.default_rng(request.seed)
    while len(checks) <= request.points and not (has_failed(checks[-1]) or checks[-1].interrupted):
        theta = point_around(parameters, random)
        try:
            if given.call == Convention.CLOSURE:
                with moved_in_place(parameters, theta):
                    check = _check_at(params, names, request, len(checks))
            else:
                same_names = [parameter.name for parameter in parameters.arrays]
                check = _check_at(parameters.at(theta), same_names, request, len(checks))
        except Exception as error:
            error.add_note(f"This happened at point {len(checks)} of {request.points} around θ.")
            raise
        checks.append(check)
    return most_telling(checks, request)
