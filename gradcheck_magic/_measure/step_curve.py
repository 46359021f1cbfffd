"""The error of one entry as a function of the step: rounding noise, truncation and the bug itself.

The central difference with step ε is off by at most about e_J/ε + |J‴|/6 · ε², where e_J is the
error of one evaluation of J: rounding noise falls with ε, and truncation grows. If neither explains
a disagreement, and it is the same at every step, it is the gradient's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index as whole
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.filled import filled, filled_gradient
from gradcheck_magic._cost.frames import frames_released
from gradcheck_magic._cost.gradient_function import pair_at
from gradcheck_magic._cost.jacobian import jacobian_at
from gradcheck_magic._cost.noise import NOISE_DEVIATIONS
from gradcheck_magic._cost.printed import PrintedOnce
from gradcheck_magic._cost.random_states import starts
from gradcheck_magic._cost.restore import restored
from gradcheck_magic._cost.threads import one_at_a_time
from gradcheck_magic._cost.written import Available
from gradcheck_magic._inputs.fingerprint import changed_since, fingerprint
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    collect,
    cost_name,
    describe_type,
    is_function,
)
from gradcheck_magic._inputs.precision import DOUBLE, spacing
from gradcheck_magic._inputs.request import Call, Progress, Standing, sources_of, valid_step
from gradcheck_magic._measure.analytic_gradient import Analytic, gradient_under_test
from gradcheck_magic._measure.central_differences import CLEAR, TEXTBOOK_STEPS
from gradcheck_magic._measure.compare import (
    DOUBLE_PRECISION,
    SINGLE_PRECISION,
    Tolerance,
    compare,
)
from gradcheck_magic._measure.ladder import RATIO, Estimate, Ladder, Rungs
from gradcheck_magic._measure.refine import (
    BEST_STEP,
    PLACES,
    SteppedEntries,
    planned_entries,
    steps_taken,
)
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck, index_in, label
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._wording import did_you_mean, listed, quoted
from gradcheck_magic.errors import InputError

__all__ = ["curve_of", "step_curve"]

Vector = NDArray[np.float64]

# The number of steps per decade, and the most steps in all: where a small θ leaves room for many
# decades, there are fewer per decade.
PER_DECADE = 4
STEPS_OF_CURVE = 60
# The number of evaluations that setting up a cost usually takes.
SET_UP_EVALUATIONS = 20
# Two coefficients of ε² are the same if they differ by at most this part.
SAME_COEFFICIENT = 0.25


@dataclass(frozen=True, eq=False)
class _Asked:
    """The entry that is asked for.

    Attributes
    ----------
    whole : Pairing
        All gradients, as they are checked; its `k`-th entry in `parameter` is asked for.
    gradient : Pairing
        The gradient of J: the same, or a row of a Jacobian.
    i, place : int
        The position of its parameter in that, and of the entry in the parameter.
    upstream : object
        dJ/d(output), or the output that is J.
    """

    whole: Pairing
    parameter: Parameter
    k: int
    gradient: Pairing
    i: int
    place: int
    upstream: object


@frames_released
def step_curve(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    name: str,
    index: int | Sequence[int] = (),
    *,
    check: GradientCheck | None = None,
    names: Names = None,
    call: Call = "auto",
    upstream: object = None,
    epsilon: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    reseed: bool = False,
    arguments: Mapping[str, object] | None = None,
) -> StepCurve:
    """Compare one entry of a gradient with central differences for steps of every size.

    An error that is the same at every step is the gradient's own. One that falls and rises again is
    made of rounding noise and truncation.

    There are four steps per decade, from near the smallest that still changes θ to the size of the
    entry (or 1, if that is larger). Each takes two evaluations, which makes some 140 in all.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ, in any form that `check_gradients` accepts.
    grads : array, a container in the structure of `params`, or a callable
        The gradient under test, as in `check_gradients`.
    cost_function : callable
        The function that returns the cost, as in `check_gradients`.
    name : str
        The name of the parameter, or the whole label of the entry: ``W2[3, 1]``.
    index : int or sequence of int
        The position of the entry in the parameter, one number for each axis. Leave it out if `name`
        is a label or if the parameter is a single number.
    check : GradientCheck, optional
        The check that the entry belongs to. The curve uses its step and its best value, and says
        what has changed since.
    names, call, upstream : sequence of str or mapping, str, array_like
        As in `check_gradients`.
    epsilon : float, optional
        The step to be marked as the one used; by default that of `check`, or the one that
        `check_gradients` would use.
    seed : int
        As in `check_gradients`.
    progress : callable, optional
        A function that is called now and then with (evaluations so far, evaluations expected,
        seconds so far).
    reseed : bool
        As in `check_gradients`.
    arguments : mapping, optional
        As in `check_gradients`.

    Returns
    -------
    StepCurve
        The result; ``str()`` of it is a picture in text.

    Raises
    ------
    InputError
        If there is no such entry, if it does not belong to `check`, or for the reasons listed in
        `check_gradients`. The message is one line that names the argument at fault.
    KeyboardInterrupt
        On Ctrl-C. The parameters are restored first.

    References
    ----------
    * W. H. Press et al., Numerical Recipes, 3rd ed. (2007), section 5.7: the error of a central
      difference as the sum of round-off and truncation, and the step where it is least.
    * J. J. Moré and S. M. Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33 (2011)
      1292-1314: the noise e_J of one evaluation.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck_magic import step_curve
    >>> x = np.array([3.0, 4.0])
    >>> curve = step_curve(x, 3 * x**2, lambda x: np.sum(x**3), "params", 1)
    >>> curve
    <StepCurve params[1], 55 steps>
    >>> curve.wrong
    False

    The third derivative is 6, so the truncation error is ε²:

    >>> bool(np.allclose(curve.truncation, curve.steps**2))
    True
    """
    available = None if arguments is None else Available(arguments)
    return curve_of(
        params,
        filled_gradient(grads, params, names, available),
        filled(cost_function, params, names, available).function,
        name,
        index,
        check=check,
        names=names,
        call=call,
        upstream=upstream,
        epsilon=epsilon,
        seed=seed,
        progress=progress,
        reseed=reseed,
    )


@frames_released
def curve_of(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    name: str,
    index: int | Sequence[int],
    *,
    check: GradientCheck | None,
    names: Names,
    call: Call,
    upstream: object,
    seed: int,
    progress: Progress | None,
    epsilon: float | None = None,
    reseed: object = False,
    standing: Standing = "chosen",
) -> StepCurve:
    """Return the curve of `step_curve`, for a cost that takes the parameters alone.

    `reseed` may be the list of the random states before each statement of a cell.
    """
    started, printed = time.perf_counter(), PrintedOnce()
    # The user need not hear about underflow in our own arithmetic.
    with (
        one_at_a_time(cost_function),
        restored(params, cost_function, *filter(is_function, [grads])) as kept,
        printed,
        np.errstate(under="ignore"),
    ):
        begin = starts(reseed, kept.states, grads)
        known: dict[str, Any] = {
            "sources": sources_of(grads, cost_function, upstream, standing),
            "cost_function": cost_function,
            "names": names,
            "states": begin[0] if begin else None,
        }
        asked = _asked_of_jacobian(params, known, name, index, check=check, call=call)
        asked = asked or _asked(params, known, name, index, check=check, upstream=upstream)
        cost = Cost(
            cost_function,
            asked.gradient.arguments,
            name=cost_name(cost_function, names),
            call=call,
            upstream=asked.upstream,
            seed=seed,
            progress=progress,
            expected=SET_UP_EVALUATIONS + 2 * STEPS_OF_CURVE,
            starts=begin,
            pairing=asked.gradient,
        )
        with cost:
            step = _used_step(epsilon, check, cost)
            analytic = gradient_under_test(asked.gradient, asked.i, cost)
            moved = SteppedEntries(cost, analytic.parameter, [asked.place])
            taken = _with_all_steps(moved, step, asked.parameter.label(asked.k))
        curve = _conclude(analytic, moved, taken, asked, check=check, step=step, started=started)
    printed.tell()
    return curve


def _asked(
    params: object,
    known: dict[str, Any],
    name: str,
    index: int | Sequence[int],
    *,
    check: GradientCheck | None,
    upstream: object,
) -> _Asked:
    """Return the entry of a gradient that is asked for."""
    parameters = collect(params, names=known["names"])
    name, index = _place(_shapes(parameters, check), name, index)
    piece = _pieces(parameters, check).get(name)
    only = _names_to_pair(parameters, name if piece is None else parameters.name, check)
    pairing, _ = pair_at(params, only=only, **known)
    i = 0 if piece else [parameter.name for parameter in pairing.checked].index(name)
    parameter = asked = pairing.checked[i]
    if piece is not None:
        array = parameter.array.reshape(-1)[piece.start : piece.start + piece.size]
        asked = replace(parameter, name=name, array=array.reshape(piece.shape), start=piece.start)
    k = int(np.ravel_multi_index(index, asked.shape)) if index else 0
    place = asked.start - parameter.start + k
    return _Asked(pairing, asked, k, pairing, i, place, upstream)


def _asked_of_jacobian(
    params: object,
    known: dict[str, Any],
    name: str,
    index: int | Sequence[int],
    *,
    check: GradientCheck | None,
    call: Call,
) -> _Asked | None:
    """Return the entry of a Jacobian that is asked for; None if it is none of a Jacobian."""
    if not (isinstance(name, str) and name.startswith("∂") and "/∂" in name):
        return None
    left_out = () if check is None else check.not_checked
    names = [p.name for p in collect(params, names=known["names"]).arrays]
    only = [each for each in names if each not in left_out]
    found = jacobian_at(params, only=only, call=call, **known)
    if found is None:
        return None
    name, index = _place(_shapes(found.pairing.parameters, None), name, index)
    parts = list(found.pairing.parts())
    parameter, part = next(each for each in parts if each[0].name == name)
    k = int(np.ravel_multi_index(index, parameter.shape)) if index else 0
    row, i, place = found.pairing.place(part.start + k)
    upstream = found.output.choosing(row.output)
    return _Asked(found.pairing, parameter, k, row.gradient, i, place, upstream)


def _pieces(parameters: Parameters, check: object) -> dict[str, ParameterCheck]:
    """Return the pieces in which a check has told of a flat θ, by their names."""
    if not isinstance(check, GradientCheck) or len(parameters.arrays) > 1:
        return {}
    pieces = {each.name: each for each in check.parameters}
    return {} if parameters.arrays[0].name in pieces or check.size != parameters.size else pieces


def _shapes(parameters: Parameters, check: object) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of which an entry may be chosen, by their names."""
    shapes = {each.name: each.shape for each in parameters.arrays}
    return shapes | {name: piece.shape for name, piece in _pieces(parameters, check).items()}


def _place(
    shapes: Mapping[str, tuple[int, ...]], name: str, index: Any
) -> tuple[str, tuple[int, ...]]:
    """Return the name of a parameter and the index in it, given these or a label."""
    if isinstance(name, str) and name not in shapes and not np.size(index):
        labelled = ((each, found) for each in shapes if (found := index_in(name, each)))
        name, index = next(labelled, (name, index))
    if name not in shapes:
        raise InputError(
            f"`{name}` is not a parameter{did_you_mean(str(name), shapes)}: choose from "
            f"{listed(shapes)}."
        )
    shape = shapes[name]
    try:
        numbers = tuple(map(whole, index if np.iterable(index) else (index,)))
        return name, tuple(range(n)[i] for i, n in zip(numbers, shape, strict=True))
    except (TypeError, ValueError):
        raise InputError(
            f"`index` is {quoted(index)}: expected one whole number for each axis of `{name}`, "
            f"shape {shape}."
        ) from None
    except IndexError:
        raise InputError(
            f"There is no entry `{label(name, numbers)}`: `{name}` has shape {shape}."
        ) from None


def _names_to_pair(parameters: Parameters, name: str, check: GradientCheck | None) -> list[str]:
    """Return the parameters whose gradient is needed: all of the check, so they can be compared."""
    if check is None:
        return [name]
    if not isinstance(check, GradientCheck):
        raise InputError(
            f"`check` is {describe_type(check)}: expected the GradientCheck that the entry belongs "
            "to."
        )
    if _pieces(parameters, check):
        return [name]
    checked = [parameter.name for parameter in check.parameters]
    known = [parameter.name for parameter in parameters.arrays]
    if not set(checked) <= set(known):
        raise InputError(
            f"`check` is a check of {listed(checked)}, but `{parameters.name}` holds "
            f"{listed(known)}: give the same `params` and `names` as to the check."
        )
    if name not in checked:
        raise InputError(
            f"`{name}` was not checked, because `only` left it out: choose an entry from "
            f"{listed(checked)}."
        )
    return checked


def _used_step(epsilon: float | None, check: GradientCheck | None, cost: Cost) -> float:
    """Return the step that gave the value on which the verdict rests."""
    if epsilon is not None:
        return valid_step(epsilon)
    if cost.best is not cost.own:
        # Single precision is measured again in double precision.
        return TEXTBOOK_STEPS[DOUBLE]
    return check.epsilon if check is not None else TEXTBOOK_STEPS[cost.bits]


def _with_all_steps(moved: SteppedEntries, used: float, name: str) -> Rungs:
    """Take steps of every size; the one that was used is among them."""
    theta = moved.values
    place = float(spacing(theta if theta[0] else np.ones_like(theta), moved.bits)[0])
    least, most, middle = map(math.log10, (PLACES * place, float(moved.scale[0]), used))
    least = max(least, most - STEPS_OF_CURVE)
    ratio = 1 / min(PER_DECADE, int(STEPS_OF_CURVE / (most - least)))
    multiples = np.arange(math.ceil((least - middle) / ratio), (most - middle) // ratio + 1)
    # If the entry is huge, the largest step may overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        steps = used * 10.0 ** (ratio * np.union1d(multiples, [0.0]))
        down, up = steps_taken(theta, steps := steps.astype(theta.dtype), moved.bits)
        fitting = steps[(down > 0) & (up > 0) & np.isfinite(up + down)]
        if not fitting.size:
            raise InputError(
                f"`{name}` is {theta[0]}, where {moved.precision} has no room for a step on "
                "both sides: give it a smaller value."
            )
        moved.cost.expect(2 * len(fitting))
        return moved.rungs(np.zeros(len(fitting), dtype=np.intp), fitting)


def _conclude(
    analytic: Analytic,
    moved: SteppedEntries,
    taken: Rungs,
    asked: _Asked,
    *,
    check: GradientCheck | None,
    step: float,
    started: float,
) -> StepCurve:
    """Put the result together; what the check found counts if nothing has changed since."""
    parameter, cost, k = asked.parameter, moved.cost, asked.k
    entry = planned_entries(analytic, [asked.place])
    entry.store_estimate(0, _best_estimate(moved, taken, step))
    entry.settled[0] = True
    changed = () if check is None else _changes(check, asked, cost)
    tolerance = SINGLE_PRECISION if cost.is_single else DOUBLE_PRECISION
    wrong = compare(asked.gradient, entry, tolerance).wrong
    best, bar = entry.numerical, entry.uncertainty
    if check is not None and not changed:
        row = check.measured == parameter.start + k
        if row.any():
            wrong = check.wrong[row]
            if np.isfinite(check.numerical[row] + check.uncertainty[row]).all():
                best, bar = check.numerical[row], check.uncertainty[row]
    return StepCurve(
        label=parameter.label(k),
        name=parameter.name,
        index=parameter.index(k),
        analytic=float(entry.analytic[0]),
        steps=_frozen(taken.step),
        values=_frozen(taken.central),
        errors=_frozen(np.abs(taken.central - entry.analytic[0])),
        roundoff=_frozen(taken.bar),
        truncation=_frozen(_truncation(taken)),
        step=step,
        best=float(best[0]),
        bar=float(bar[0]),
        low=float(entry.low[0]),
        high=float(entry.high[0]),
        rounding=analytic.rounding,
        wrong=bool(wrong[0]),
        enough=_sufficient_bar(max(analytic.largest, abs(float(best[0]))), tolerance, moved),
        changed=changed,
        precision=moved.precision,
        n_evaluations=cost.n_evaluations,
        seconds=time.perf_counter() - started,
    )


def _best_estimate(moved: SteppedEntries, taken: Rungs, used: float) -> Estimate:
    """Return the slope that a second look would find, with the steps already taken."""
    scale = float(moved.scale[0])
    ladder = Ladder(scale, float(taken.step[0]), abs(moved.cost.best.value))
    steps, has_slope = np.log(taken.step), np.isfinite(taken.central)
    # Begin with the step that was used, or the nearest to it that shows a slope.
    off = np.where(has_slope | ~has_slope.any(), np.abs(steps - math.log(used)), np.inf)
    nearest, second = int(np.argmin(off)), BEST_STEP * scale
    if not has_slope[np.argmin(np.abs(steps - math.log(second)))]:
        second = float(taken.step[nearest]) / RATIO
    while ladder.add(taken[nearest]) and (step := ladder.next_step(second)) is not None:
        nearest = int(np.argmin(np.abs(steps - math.log(step))))
    return ladder.estimate


def _changes(check: GradientCheck, asked: _Asked, cost: Cost) -> tuple[str, ...]:
    """Return what has changed since the check."""
    changed = changed_since(check.fingerprint, fingerprint(asked.whole))
    if asked.whole is not asked.gradient:
        # The check knows the norm of the outputs, and not each of them.
        return changed
    tolerance = NOISE_DEVIATIONS * max(check.noise, cost.noise)
    # If θ has changed, a different J(θ) says nothing about the function.
    if "θ" in changed or not abs(cost.value - check.cost) > tolerance:
        return changed
    return (*changed, "the cost")


def _sufficient_bar(largest: float, tolerance: Tolerance, moved: SteppedEntries) -> float:
    """Return the error bar that is small enough: a part of the parameter's largest gradient entry.

    This is the rule of a check. If both values are zero, any bar will do. If the largest entry is
    nearly zero, the bar must reach the last digit of J, divided by the size of θ.
    """
    if largest == 0:
        return math.inf
    last_digit = moved.cost.best.eps * moved.cost.scale / float(moved.scale[0])
    return max(tolerance.of_parameter * largest, last_digit)


def _truncation(taken: Rungs) -> Vector:
    """Return the truncation error c ε²; zeros if no steps show one.

    From one step to the next, the change of the value divided by the change of ε² is always c. For
    a kink this ratio falls instead, and for terms of higher order it rises.
    """
    # In units of the largest step, since the squares of huge steps would overflow.
    squares = (taken.step / taken.step[-1]) ** 2
    with np.errstate(all="ignore"):
        apart = np.diff(squares)
        found = np.diff(taken.central) / apart
        noise = (taken.bar[1:] + taken.bar[:-1]) / apart
        clear = np.abs(found) > CLEAR * noise
        alike = np.abs(np.diff(found)) <= SAME_COEFFICIENT * np.abs(found[:-1]) + noise[:-1]
        same = found[:-1][clear[:-1] & clear[1:] & alike]
        return np.abs(np.median(same)) * squares if same.size else np.zeros(len(squares))


def _frozen(array: Vector) -> Vector:
    array.setflags(write=False)
    return array
