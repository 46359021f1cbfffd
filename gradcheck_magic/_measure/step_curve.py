"""The error of one entry as a function of the step: round-off, truncation, and what is the bug's.

The central difference with step ε is off by at most about e_J/ε + |J‴|/6 · ε², where e_J is the
error of one evaluation of J: round-off falls with ε, truncation grows. A gap that neither explains,
and that is the same at every step, is the gradient's own.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index as whole
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost, Precision
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._cost.gradient_function import pair_at
from gradcheck_magic._cost.restore import Restored
from gradcheck_magic._inputs.fingerprint import changed_since, fingerprint
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import (
    DOUBLE,
    Names,
    Parameter,
    Parameters,
    VariableNames,
    collect,
    cost_name,
    describe_type,
)
from gradcheck_magic._inputs.request import Call, Progress, valid_step
from gradcheck_magic._measure.analytic import Analytic, gradient_under_test
from gradcheck_magic._measure.central_differences import CLEAR, TEXTBOOK_STEPS, default_step
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION
from gradcheck_magic._measure.ladder import NOISE_DEVIATIONS, RATIO, Estimate, Ladder
from gradcheck_magic._measure.refine import BEST_STEP, PLACES, Pass, steps_taken
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import label
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._result.verdict import THRESHOLDS
from gradcheck_magic._wording import counted, did_you_mean, listed, quoted
from gradcheck_magic.errors import InputError

__all__ = ["step_curve"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Steps to a decade; fewer of them where a small θ leaves room for many decades.
PER_DECADE = 4
STEPS_OF_CURVE = 60
# What it takes to get to know a cost, in evaluations.
SET_UP_EVALUATIONS = 20
# The ladder that gives the best value takes no more of the steps than this.
RUNGS_OF_CURVE = 12
# Coefficients of ε² are alike that differ by no more than this part.
SAME_COEFFICIENT = 0.25
# A label such as W2[3, 1].
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
    """Compare one entry of a gradient with central differences, with steps of every size.

    An error that is the same at every step is the gradient's own; one that falls and rises again is
    round-off and truncation.

    There are four steps to a decade, from near the smallest that still changes θ to the size of the
    entry (or 1, if that is larger). It takes two evaluations each; some 140 in all.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ, and whatever else it may be in `check_gradients`.
    grads : array, a container in the structure of `params`, or a callable
        The gradient under test, as there.
    cost_function : callable
        Returns the cost, as there.
    name : str
        What its parameter is called, or the whole label of the entry: ``W2[3, 1]``.
    index : int or sequence of int
        Where in the parameter the entry stands, one number for each axis; left out with a label,
        and for a number.
    check : GradientCheck, optional
        The check that the entry belongs to. Its step and its best value are taken over, and the
        curve says what has changed since.
    names, call, upstream : sequence of str or mapping, str, array_like
        As in `check_gradients`.
    epsilon : float, optional
        The step that was used; the one of `check`, or the one that it would use.
    seed : int
        As in `check_gradients`.
    progress : callable, optional
        Called now and then with (evaluations so far, evaluations expected, seconds so far).

    Returns
    -------
    StepCurve
        The result; its ``str()`` is a picture of it in text.

    Raises
    ------
    InputError
        If there is no such entry, if it does not belong to `check`, or as `check_gradients` raises
        it; one line that names the culprit.
    KeyboardInterrupt
        On Ctrl-C; the parameters are as they were before.

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

    The third derivative is 6, so that truncation is ε²:

    >>> bool(np.allclose(curve.truncation, curve.steps**2))
    True
    """
    started = time.perf_counter()
    _require_check(check)
    variables, spoken = VariableNames.among(names)
    wanted = _EntryPlace.found(collect(params, variables, only=None, names=spoken), name, index)
    only = _names_to_pair(wanted, check)
    with Restored(params, cost_function, grads):
        pairing = pair_at(params, grads, only=only, names=names)
        cost = Cost(
            cost_function,
            pairing.parameters,
            name=cost_name(cost_function, names),
            call=call,
            upstream=upstream,
            seed=seed,
            progress=progress,
        )
        cost.expected = SET_UP_EVALUATIONS + 2 * STEPS_OF_CURVE
        with cost:
            step = _used_step(epsilon, check, cost)
            entry = _SteppedEntry.of(pairing, wanted, cost, step)
            taken = entry.measured(cost)
    changed = _changes(check, pairing, cost)
    same = None if changed else check
    return _concluded(entry, taken, cost, check=same, changed=changed, started=started)


@dataclass(frozen=True)
class _EntryPlace:
    """Where an entry stands."""

    parameters: Parameters
    name: str
    index: tuple[int, ...]

    @classmethod
    def found(cls, parameters: Parameters, name: str, index: Any) -> Self:
        """Return the place that a name and an index, or a label, stand for."""
        shapes = {parameter.name: parameter.shape for parameter in parameters.arrays}
        labelled = LABEL.fullmatch(name) if isinstance(name, str) and name not in shapes else None
        if labelled and labelled["name"] in shapes and not np.size(index):
            name, index = labelled["name"], map(int, labelled["index"].split(","))
        if name not in shapes:
            raise InputError(
                f"`{name}` is not a parameter{did_you_mean(str(name), shapes)}: there are "
                f"{listed(shapes)}."
            )
        return cls(parameters, name, _valid_index(name, index, shapes[name]))

    @property
    def k(self) -> int:
        """Which entry of its parameter it is, in C order."""
        return int(np.ravel_multi_index(self.index, self.shape)) if self.index else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its parameter."""
        return next(p.shape for p in self.parameters.arrays if p.name == self.name)


def _valid_index(name: str, index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        numbers = tuple(map(whole, index if np.iterable(index) else (index,)))
    except TypeError:
        raise InputError(
            f"`index` is {quoted(index)}: expected whole numbers, one for each axis of `{name}` "
            f"{shape}."
        ) from None
    if len(numbers) != len(shape):
        raise InputError(
            f"The index {numbers} has {counted(len(numbers), 'number')}, and the shape of `{name}` "
            f"is {shape}."
        )
    try:
        return tuple(range(n)[i] for i, n in zip(numbers, shape, strict=True))
    except IndexError:
        raise InputError(
            f"There is no `{label(name, numbers)}`: the shape of `{name}` is {shape}."
        ) from None


def _require_check(check: object) -> None:
    if not (check is None or isinstance(check, GradientCheck)):
        raise InputError(
            f"`check` is {describe_type(check)}: expected the GradientCheck that the entry belongs "
            "to."
        )


def _names_to_pair(place: _EntryPlace, check: GradientCheck | None) -> list[str]:
    """Return the parameters whose gradient is needed: those of the check, to be compared."""
    if check is None:
        return [place.name]
    checked = [parameter.name for parameter in check.parameters]
    known = [parameter.name for parameter in place.parameters.arrays]
    if not set(checked) <= set(known):
        raise InputError(
            f"`check` is of {listed(checked)}, and `{place.parameters.name}` holds "
            f"{listed(known)}: give the same `params` and `names`."
        )
    if place.name not in checked:
        raise InputError(
            f"`{place.name}` was not checked, as `only` left it out: the check is of "
            f"{listed(checked)}."
        )
    return checked


def _used_step(epsilon: float | None, check: GradientCheck | None, cost: Cost) -> float:
    """The step on whose value the verdict rests."""
    if epsilon is not None:
        return valid_step(epsilon)
    if cost.best is not cost.own:
        # Single precision, measured again in double.
        return TEXTBOOK_STEPS[DOUBLE]
    return check.epsilon if check is not None else default_step(cost.itemsize)


@dataclass(frozen=True, eq=False)
class _SteppedEntry:
    """One entry of θ, and the steps that it is to take.

    Attributes
    ----------
    theta : ndarray, shape (1,)
        Its value, in the precision in which it is stepped.
    """

    parameter: Parameter
    analytic: Analytic
    k: int
    theta: NDArray[Any]
    step: float

    @classmethod
    def of(cls, pairing: Pairing, place: _EntryPlace, cost: Cost, step: float) -> Self:
        """Return an entry of what is to be checked."""
        i = [parameter.name for parameter in pairing.checked].index(place.name)
        parameter, k = pairing.checked[i], place.k
        slot = cost.best.binding.slots[cost.position(parameter)]
        theta = np.array(slot[k : k + 1])
        return cls(parameter, gradient_under_test(pairing, i, cost), k, theta, step)

    @property
    def value(self) -> float:
        """The analytic value."""
        return float(self.analytic.gradient[self.k])

    @property
    def scale(self) -> float:
        """The size of the entry, or 1 if that is larger."""
        return max(1.0, abs(float(self.theta[0])))

    @property
    def place(self) -> float:
        """A unit in its last place; next to 1, if it is zero."""
        size = np.abs(self.theta) if self.theta[0] else np.ones_like(self.theta)
        return float(np.spacing(size)[0])

    def steps(self) -> NDArray[Any]:
        """Return the steps, the used one among them, in the precision of θ."""
        least, most, used = map(math.log10, (PLACES * self.place, self.scale, self.step))
        least = max(least, most - STEPS_OF_CURVE)
        ratio = 1 / min(PER_DECADE, int(STEPS_OF_CURVE / (most - least)))
        multiples = np.arange(math.ceil((least - used) / ratio), (most - used) // ratio + 1)
        steps = self.step * 10.0 ** (ratio * np.union1d(multiples, [0.0]))
        down, up = steps_taken(self.theta, steps := steps.astype(self.theta.dtype))
        fitting: NDArray[Any] = steps[(down > 0) & (up > 0) & np.isfinite(up + down)]
        if not fitting.size:
            raise InputError(
                f"`{self.parameter.label(self.k)}` is {self.theta[0]}: {self.theta.dtype} has no "
                "room for a step on both sides of it."
            )
        return fitting

    def measured(self, cost: Cost) -> Pass:
        """Evaluate J on both sides, with every step."""
        # A huge entry may overflow with the largest one.
        with np.errstate(over="ignore", invalid="ignore"):
            steps = self.steps()
            cost.expected = cost.n_evaluations + 2 * len(steps)
            ks = [self.k] * len(steps)
            batch = EntryBatch(cost.position(self.parameter), ks, steps.tolist(), quiet=True)
            pairs = cost.pairs(cost.best, batch)
            return Pass.made(*pairs, steps_taken(self.theta, steps), cost.best)


def _changes(check: GradientCheck | None, pairing: Pairing, cost: Cost) -> tuple[str, ...]:
    """Return what is no longer as the check saw it."""
    if check is None:
        return ()
    changed = changed_since(check.fingerprint, fingerprint(pairing))
    tolerance = NOISE_DEVIATIONS * max(check.noise, cost.noise)
    # With another θ, another J(θ) says nothing of the function.
    if "θ" in changed or not abs(cost.value - check.cost) > tolerance:
        return changed
    return (*changed, "the cost")


def _concluded(
    entry: _SteppedEntry,
    taken: Pass,
    cost: Cost,
    *,
    check: GradientCheck | None,
    changed: tuple[str, ...],
    started: float,
) -> StepCurve:
    """Put together what the steps showed; `check`, if it was of the same."""
    steps = (taken.up + taken.down) / 2
    known = _known(entry, taken, cost.best)
    best, bar = known.nearest(entry.value), known.bar
    rounding = entry.analytic.rounding
    wrong = _is_wrong(entry.value, best, bar + rounding)
    if (where := _position(entry, check)) is not None and check is not None:
        wrong = bool(check.wrong[where])
        if math.isfinite(check.numerical[where]) and math.isfinite(check.uncertainty[where]):
            best, bar = float(check.numerical[where]), float(check.uncertainty[where])
    parameter, index = entry.parameter, entry.parameter.index(entry.k)
    return StepCurve(
        label=label(parameter.name, index),
        name=parameter.name,
        index=index,
        analytic=entry.value,
        steps=_frozen(steps),
        values=_frozen(taken.central),
        errors=_frozen(np.abs(taken.central - entry.value)),
        roundoff=_frozen(taken.round_off),
        truncation=_frozen(_truncation(steps, taken)),
        step=entry.step,
        best=best,
        bar=bar,
        low=known.low,
        high=known.high,
        rounding=rounding,
        wrong=wrong,
        enough=_enough(entry, best, cost),
        changed=changed,
        precision=str(entry.theta.dtype),
        n_evaluations=cost.n_evaluations,
        seconds=time.perf_counter() - started,
    )


def _enough(entry: _SteppedEntry, best: float, cost: Cost) -> float:
    """The error bar that is enough: a part of the largest entry of the parameter, as for a check.

    Where both values are zero, any will do; and where that entry is nearly zero, the last digit of
    J over the size of θ.
    """
    largest = np.nanmax([entry.analytic.largest, abs(best)])
    if largest == 0:
        return math.inf
    tolerance = SINGLE_PRECISION if cost.is_single else DOUBLE_PRECISION
    return float(max(tolerance.of_parameter * largest, cost.best.eps * cost.scale / entry.scale))


def _position(entry: _SteppedEntry, check: GradientCheck | None) -> int | None:
    """Where the check measured the entry; None where it did not."""
    if check is None:
        return None
    where = np.flatnonzero(check.measured == entry.parameter.start + entry.k)
    return int(where[0]) if where.size else None


def _is_wrong(analytic: float, best: float, bar: float) -> bool:
    """Whether a value is wrong by what the check calls wrong: clear of bars and of inspection."""
    if not math.isfinite(analytic):
        return True
    off = abs(analytic - best)
    return off > CLEAR * bar and off >= THRESHOLDS[1] * (abs(analytic) + abs(best))


def _known(entry: _SteppedEntry, taken: Pass, precision: Precision) -> Estimate:
    """Return the slope that a second look would find, from the steps that were taken anyway."""
    ladder = Ladder(entry.scale, PLACES * entry.place, abs(precision.value))
    steps = np.log(taken.stepped)
    quoted = np.isfinite(taken.central)
    # The used step, or the nearest to it that shows anything.
    apart = np.where(quoted | ~quoted.any(), np.abs(steps - math.log(entry.step)), np.inf)
    first = float(taken.stepped[np.argmin(apart)])
    best = BEST_STEP * entry.scale
    second = best if quoted[np.argmin(np.abs(steps - math.log(best)))] else first / RATIO
    step: float | None = first
    for _ in range(RUNGS_OF_CURVE):
        if step is None:
            break
        nearest = int(np.argmin(np.abs(steps - math.log(step))))
        ladder.add(taken.rung(nearest))
        step = ladder.next_step(second)
    return ladder.estimate()


def _truncation(steps: Vector, taken: Pass) -> Vector:
    """Return c ε²; zeros where no row of steps shows it.

    From step to step, what the value changes by over what ε² does is the same c; what a kink does
    comes down instead, and terms of higher order go up.
    """
    # In units of the largest step: the squares of huge ones overflow.
    squares = (steps / steps[-1]) ** 2
    with np.errstate(all="ignore"):
        apart = np.diff(squares)
        found = np.diff(taken.central) / apart
        noise = (taken.round_off[1:] + taken.round_off[:-1]) / apart
        clear = np.abs(found) > CLEAR * noise
        alike = np.abs(np.diff(found)) <= SAME_COEFFICIENT * np.abs(found[:-1]) + noise[:-1]
        row = _longest(clear[:-1] & clear[1:] & alike)
        if row.start == row.stop:
            return np.zeros(len(steps))
        truncation: Vector = np.abs(np.median(found[row.start : row.stop + 1])) * squares
        return truncation


def _longest(mask: Mask) -> slice:
    """Return where the longest row of true values is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    rows = [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    return max(rows, key=lambda row: row.stop - row.start, default=slice(0, 0))


def _frozen(array: Vector) -> Vector:
    array.setflags(write=False)
    return array
