"""The error of one entry as a function of the step: rounding noise, truncation and the bug itself.

The central difference with step ε is off by at most about e_J/ε + |J‴|/6 · ε², where e_J is the
error of one evaluation of J: rounding noise falls with ε, and truncation grows. If neither explains
a disagreement, and it is the same at every step, it is the gradient's own.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import index as whole
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision
from gradcheck_magic._cost.gradient_function import pair_at
from gradcheck_magic._cost.restore import restored
from gradcheck_magic._inputs.fingerprint import changed_since, fingerprint
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import (
    DOUBLE,
    Names,
    Parameters,
    VariableNames,
    collect,
    cost_name,
    describe_type,
)
from gradcheck_magic._inputs.request import Call, Progress, valid_step
from gradcheck_magic._measure.analytic_gradient import Analytic, gradient_under_test
from gradcheck_magic._measure.central_differences import CLEAR, TEXTBOOK_STEPS, default_step
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION
from gradcheck_magic._measure.ladder import (
    NOISE_DEVIATIONS,
    RATIO,
    Estimate,
    Ladder,
    Rung,
    Rungs,
    run_together,
)
from gradcheck_magic._measure.refine import BEST_STEP, PLACES, SteppedEntries, steps_taken
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import label
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._result.verdict import THRESHOLDS
from gradcheck_magic._wording import counted, did_you_mean, listed, quoted
from gradcheck_magic.errors import InputError

__all__ = ["step_curve"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The number of steps per decade, and the most steps in all: where a small θ leaves room for many
# decades, there are fewer per decade.
PER_DECADE = 4
STEPS_OF_CURVE = 60
# The number of evaluations that setting up a cost usually takes.
SET_UP_EVALUATIONS = 20
# The most steps of the curve that the ladder for the best value uses after the first one.
RUNGS_OF_CURVE = 11
# Two coefficients of ε² are the same if they differ by at most this part.
SAME_COEFFICIENT = 0.25
# This matches a label such as W2[3, 1].
LABEL = re.compile(r"(?P<name>.+)\[(?P<index>-?\d+(?:, *-?\d+)*)\]")


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
    started = time.perf_counter()
    _require_check(check)
    variables, spoken = VariableNames.among(names)
    parameters = collect(params, variables, only=None, names=spoken)
    name, index = _place(parameters, name, index)
    only = _names_to_pair(parameters, name, check)
    with restored(params, cost_function, grads):
        pairing = pair_at(params, grads, only=only, names=names)
        cost = Cost(
            cost_function,
            pairing.parameters,
            name=cost_name(cost_function, names),
            call=call,
            upstream=upstream,
            seed=seed,
            progress=progress,
            expected=SET_UP_EVALUATIONS + 2 * STEPS_OF_CURVE,
        )
        with cost:
            step = _used_step(epsilon, check, cost)
            entry = _CurveEntry.of(pairing, name, index, cost, step)
            taken = entry.rungs()
    changed = _changes(check, pairing, cost)
    same = None if changed else check
    return _conclude(entry, taken, cost, check=same, changed=changed, started=started)


def _place(parameters: Parameters, name: str, index: Any) -> tuple[str, tuple[int, ...]]:
    """Return the name of a parameter and the index in it, given these or a label."""
    shapes = {parameter.name: parameter.shape for parameter in parameters.arrays}
    labelled = LABEL.fullmatch(name) if isinstance(name, str) and name not in shapes else None
    if labelled and labelled["name"] in shapes and not np.size(index):
        name, index = labelled["name"], map(int, labelled["index"].split(","))
    if name not in shapes:
        raise InputError(
            f"`{name}` is not a parameter{did_you_mean(str(name), shapes)}: choose from "
            f"{listed(shapes)}."
        )
    return name, _valid_index(name, index, shapes[name])


def _valid_index(name: str, index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        numbers = tuple(map(whole, index if np.iterable(index) else (index,)))
    except TypeError:
        raise InputError(
            f"`index` is {quoted(index)}: expected one whole number for each axis of `{name}`, "
            f"shape {shape}."
        ) from None
    if len(numbers) != len(shape):
        raise InputError(
            f"The index {numbers} has {counted(len(numbers), 'number')}, but `{name}` has shape "
            f"{shape}: give one number for each axis."
        )
    try:
        return tuple(range(n)[i] for i, n in zip(numbers, shape, strict=True))
    except IndexError:
        raise InputError(
            f"There is no entry `{label(name, numbers)}`: `{name}` has shape {shape}."
        ) from None


def _require_check(check: object) -> None:
    if not (check is None or isinstance(check, GradientCheck)):
        raise InputError(
            f"`check` is {describe_type(check)}: expected the GradientCheck that the entry belongs "
            "to."
        )


def _names_to_pair(parameters: Parameters, name: str, check: GradientCheck | None) -> list[str]:
    """Return the parameters whose gradient is needed: all of the check, so they can be compared."""
    if check is None:
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
    return check.epsilon if check is not None else default_step(cost.itemsize)


@dataclass(frozen=True, eq=False)
class _CurveEntry:
    """One entry of θ, which takes the steps of the curve.

    Attributes
    ----------
    analytic : Analytic
        The gradient of its parameter.
    index : tuple of int
        Its index in the parameter.
    entries : SteppedEntries
        The entry alone.
    step : float
        The step that was used.
    """

    analytic: Analytic
    index: tuple[int, ...]
    entries: SteppedEntries
    step: float

    @classmethod
    def of(
        cls, pairing: Pairing, name: str, index: tuple[int, ...], cost: Cost, step: float
    ) -> Self:
        """Return an entry, ready to be stepped."""
        i = [parameter.name for parameter in pairing.checked].index(name)
        parameter = pairing.checked[i]
        k = int(np.ravel_multi_index(index, parameter.shape)) if index else 0
        entries = SteppedEntries(cost, parameter, [k])
        return cls(gradient_under_test(pairing, i, cost), index, entries, step)

    @property
    def value(self) -> float:
        """The analytic value of the gradient."""
        return float(self.analytic.gradient[self.entries.ks[0]])

    @property
    def scale(self) -> float:
        """The absolute value of the entry, or 1 if that is larger."""
        return float(self.entries.scale[0])

    @property
    def place(self) -> float:
        """The unit in the last place of the entry; that of 1 if the entry is zero."""
        theta = self.entries.values
        size = np.abs(theta) if theta[0] else np.ones_like(theta)
        return float(np.spacing(size)[0])

    def steps(self) -> NDArray[Any]:
        """Return the steps in the precision of θ; the step that was used is one of them."""
        theta = self.entries.values
        least, most, used = map(math.log10, (PLACES * self.place, self.scale, self.step))
        least = max(least, most - STEPS_OF_CURVE)
        ratio = 1 / min(PER_DECADE, int(STEPS_OF_CURVE / (most - least)))
        multiples = np.arange(math.ceil((least - used) / ratio), (most - used) // ratio + 1)
        steps = self.step * 10.0 ** (ratio * np.union1d(multiples, [0.0]))
        down, up = steps_taken(theta, steps := steps.astype(theta.dtype))
        fitting: NDArray[Any] = steps[(down > 0) & (up > 0) & np.isfinite(up + down)]
        if not fitting.size:
            name = label(self.analytic.parameter.name, self.index)
            raise InputError(
                f"`{name}` is {theta[0]}, where {theta.dtype} has no room for a step on "
                "both sides: give it a smaller value."
            )
        return fitting

    def rungs(self) -> Rungs:
        """Evaluate J on both sides of θ, for every step."""
        cost = self.entries.cost
        # If the entry is huge, the largest step may overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            steps = self.steps()
            cost.expect(2 * len(steps))
            return self.entries.rungs(np.zeros(len(steps), dtype=np.intp), steps)


def _changes(check: GradientCheck | None, pairing: Pairing, cost: Cost) -> tuple[str, ...]:
    """Return what has changed since the check."""
    if check is None:
        return ()
    changed = changed_since(check.fingerprint, fingerprint(pairing))
    tolerance = NOISE_DEVIATIONS * max(check.noise, cost.noise)
    # If θ has changed, a different J(θ) says nothing about the function.
    if "θ" in changed or not abs(cost.value - check.cost) > tolerance:
        return changed
    return (*changed, "the cost")


def _conclude(
    entry: _CurveEntry,
    taken: Rungs,
    cost: Cost,
    *,
    check: GradientCheck | None,
    changed: tuple[str, ...],
    started: float,
) -> StepCurve:
    """Put the result together; `check` is given if nothing has changed since."""
    steps = taken.step
    known = _best_estimate(entry, taken, cost.best)
    best, bar = known.nearest(entry.value), known.bar
    rounding = entry.analytic.rounding
    wrong = _is_wrong(entry.value, best, bar + rounding)
    if (where := _row_in_check(entry, check)) is not None and check is not None:
        wrong = bool(check.wrong[where])
        if math.isfinite(check.numerical[where]) and math.isfinite(check.uncertainty[where]):
            best, bar = float(check.numerical[where]), float(check.uncertainty[where])
    name = entry.analytic.parameter.name
    return StepCurve(
        label=label(name, entry.index),
        name=name,
        index=entry.index,
        analytic=entry.value,
        steps=_frozen(steps),
        values=_frozen(taken.central),
        errors=_frozen(np.abs(taken.central - entry.value)),
        roundoff=_frozen(taken.bar),
        truncation=_frozen(_truncation(steps, taken)),
        step=entry.step,
        best=best,
        bar=bar,
        low=known.low,
        high=known.high,
        rounding=rounding,
        wrong=wrong,
        enough=_sufficient_bar(entry, best, cost),
        changed=changed,
        precision=str(entry.entries.values.dtype),
        n_evaluations=cost.n_evaluations,
        seconds=time.perf_counter() - started,
    )


def _sufficient_bar(entry: _CurveEntry, best: float, cost: Cost) -> float:
    """Return the error bar that is small enough: a part of the parameter's largest gradient entry.

    This is the rule of a check. If both values are zero, any bar will do. If the largest entry is
    nearly zero, the bar must reach the last digit of J, divided by the size of θ.
    """
    largest = np.nanmax([entry.analytic.largest, abs(best)])
    if largest == 0:
        return math.inf
    tolerance = SINGLE_PRECISION if cost.is_single else DOUBLE_PRECISION
    return float(max(tolerance.of_parameter * largest, cost.best.eps * cost.scale / entry.scale))


def _row_in_check(entry: _CurveEntry, check: GradientCheck | None) -> int | None:
    """Return the row in which the check holds the entry; None if it did not measure it."""
    if check is None:
        return None
    where = np.flatnonzero(check.measured == entry.analytic.parameter.start + entry.entries.ks[0])
    return int(where[0]) if where.size else None


def _is_wrong(analytic: float, best: float, bar: float) -> bool:
    """Return True if a check would call a value wrong: a clear error that is also large enough."""
    if not math.isfinite(analytic):
        return True
    off = abs(analytic - best)
    return off > CLEAR * bar and off >= THRESHOLDS[1] * (abs(analytic) + abs(best))


def _best_estimate(entry: _CurveEntry, taken: Rungs, precision: Precision) -> Estimate:
    """Return the slope that a second look would find, using the steps already taken."""
    ladder = Ladder(entry.scale, PLACES * entry.place, abs(precision.value))
    steps = np.log(taken.step)
    has_slope = np.isfinite(taken.central)
    # This is the step that was used, or the nearest to it that shows a slope.
    apart = np.where(has_slope | ~has_slope.any(), np.abs(steps - math.log(entry.step)), np.inf)
    used = int(np.argmin(apart))
    first = float(taken.step[used])
    best = BEST_STEP * entry.scale
    second = best if has_slope[np.argmin(np.abs(steps - math.log(best)))] else first / RATIO

    def take(step: float) -> Generator[float, Rung, Rung]:
        return (yield step)

    def nearest(asked: Sequence[float]) -> list[Rung]:
        return [taken[int(np.argmin(np.abs(steps - math.log(step))))] for step in asked]

    ladder.add(taken[used])
    climb = ladder.climb(take, partial(ladder.next_step, second), RUNGS_OF_CURVE)
    run_together([climb], nearest, 1)
    return ladder.estimate()


def _truncation(steps: Vector, taken: Rungs) -> Vector:
    """Return the truncation error c ε²; zeros if no run of steps shows one.

    From one step to the next, the change of the value divided by the change of ε² is always c. For
    a kink this ratio falls instead, and for terms of higher order it rises.
    """
    # In units of the largest step, since the squares of huge steps would overflow.
    squares = (steps / steps[-1]) ** 2
    with np.errstate(all="ignore"):
        apart = np.diff(squares)
        found = np.diff(taken.central) / apart
        noise = (taken.bar[1:] + taken.bar[:-1]) / apart
        clear = np.abs(found) > CLEAR * noise
        alike = np.abs(np.diff(found)) <= SAME_COEFFICIENT * np.abs(found[:-1]) + noise[:-1]
        row = _longest_run(clear[:-1] & clear[1:] & alike)
        if row.start == row.stop:
            return np.zeros(len(steps))
        truncation: Vector = np.abs(np.median(found[row.start : row.stop + 1])) * squares
        return truncation


def _longest_run(mask: Mask) -> slice:
    """Return the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    rows = [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    return max(rows, key=lambda row: row.stop - row.start, default=slice(0, 0))


def _frozen(array: Vector) -> Vector:
    array.setflags(write=False)
    return array
