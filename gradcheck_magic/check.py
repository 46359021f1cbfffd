"""The whole check, in the order in which it happens. Start reading here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.comparison import (
    THRESHOLDS,
    Comparison,
    Entry,
    ParameterCheck,
    Verdict,
    badness,
    compare,
    relative_difference,
    relative_error,
)
from gradcheck_magic.convention import Convention
from gradcheck_magic.cost import Cost
from gradcheck_magic.diagnosis import Cause, Diagnosis, diagnose
from gradcheck_magic.errors import (
    GradientCheckFailed,
    GradientCheckInterrupted,
    InputError,
    first_line,
    listed,
)
from gradcheck_magic.finite_difference import (
    CentralDifferences,
    Progress,
    default_step,
    measure,
)
from gradcheck_magic.pairing import Pairing, pair
from gradcheck_magic.parameters import VariableNames, index_of, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientCheck", "check_gradients", "gradient_checking"]

Vector = NDArray[np.float64]
Call = Literal["auto", "flat", "structured", "arguments", "closure"]

# How many entries `to_dict` lists.
MOST_ENTRIES = 100


def gradient_checking(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    epsilon: float = 1e-7,
) -> float:
    """Return the textbook's number for a gradient, to the last bit.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ, in its own precision; integers become float64.
    grads : array, or a container in the structure of `params`
        The backpropagated gradient.
    cost_function : callable
        Returns the cost. It is called with the flat θ, or, where `params` is one array, with an
        array of that shape.
    epsilon : float
        The step.

    Returns
    -------
    float
        ‖approx − grads‖₂ / (‖approx‖₂ + ‖grads‖₂), where
        ``approx[i] = (J(θ + ε eᵢ) − J(θ − ε eᵢ)) / 2ε``. Below 1e-7 the gradient is correct; from
        1e-5 on there is a bug. 0.0 where both are zero.

    Raises
    ------
    InputError
        If the check cannot be made as asked.

    Examples
    --------
    >>> import numpy as np
    >>> gradient_checking(np.array([3.0, 4.0]), np.array([6.0, 8.0]), lambda x: x @ x) < 1e-7
    True
    """
    pairing = pair(params, grads)
    call = "flat" if isinstance(params, (dict, list, tuple)) else "structured"
    differences = CentralDifferences.planned(pairing.size, _valid_step(epsilon))
    name = _cost_name(cost_function, None)
    with Cost(cost_function, pairing.parameters, name=name, call=call) as cost:
        measure(differences, cost, pairing)
    return relative_difference(differences.textbook(), pairing.analytic)


def check_gradients(
    params: object,
    grads: object,
    cost_function: Callable[..., Any],
    *,
    epsilon: float | None = None,
    mode: Literal["auto", "full"] = "auto",
    only: Sequence[str] | None = None,
    names: Sequence[str] | Mapping[str, object] | None = None,
    call: Call = "auto",
    upstream: object = None,
    points: int = 1,
    workers: None = None,
    budget: None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> GradientCheck:
    """Compare a backpropagated gradient with central differences of the cost.

    Parameters
    ----------
    params : array, or nested lists, tuples and dicts of arrays
        The point θ. It is never changed, except where the cost reads these very arrays (see
        `call`): then they are perturbed in place and restored, bit for bit.
    grads : array, or a container in the structure of `params`
        The gradient under test. Dicts are matched by name (``W1`` with ``dW1`` or ``W1``), and
        what else they hold is ignored. Copied before the first evaluation.
    cost_function : callable
        Returns the cost, or ``(cost, cache)``; or an array, with `upstream`.
    epsilon : float, optional
        The step: 1e-7, or larger where θ is in single precision.
    mode : {"auto", "full"}
        Every entry is measured either way; "scan" is not yet available.
    only : sequence of str, optional
        The names of the parameters to check. The others are held fixed and need no gradient.
    names : sequence of str, or mapping, optional
        What to call the arrays, in order; or a namespace, such as ``globals()``, whose variables
        name the arrays that they are.
    call : {"auto", "flat", "structured", "arguments", "closure"}
        How `cost_function` wants the parameters: as one flat vector, in the container `params`
        is, one by one, or not at all because it reads them itself.
    upstream : array_like, optional
        dJ/d(output), in the shape of what `cost_function` returns: J = Σ output · upstream.
    points, workers, budget
        Not yet available: 1, None and None.
    seed : int
        Of everything random in the check: the points around θ at which the calling conventions
        are compared, and the line along which the noise is measured.
    progress : callable, optional
        Called after each entry with (entries done, entries in all, seconds so far).

    Returns
    -------
    GradientCheck
        The result; its ``str()`` is a complete report.

    Raises
    ------
    InputError
        If the check cannot be made as asked; one line that names the culprit.
    GradientCheckInterrupted
        On Ctrl-C, with what was known by then in its ``check``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([3.0, 4.0])
    >>> check = check_gradients(x, 2 * x, lambda x: x @ x)
    >>> check.passed
    True
    """
    started = time.perf_counter()
    _require_available(mode=mode, points=points, workers=workers, budget=budget)
    pairing = pair(params, grads, only=only, names=names)
    cost = Cost(
        cost_function,
        pairing.parameters,
        name=_cost_name(cost_function, names),
        call=call,
        upstream=upstream,
        seed=seed,
    )
    differences = CentralDifferences.planned(pairing.size, _valid_step(epsilon))
    try:
        with cost:
            _require_dependence(cost, pairing)
            if epsilon is None:
                differences.epsilon = default_step(cost.itemsize)
            measure(differences, cost, pairing, progress)
    except KeyboardInterrupt:
        seconds = time.perf_counter() - started
        raise GradientCheckInterrupted(_concluded(pairing, cost, differences, seconds)) from None
    return _concluded(pairing, cost, differences, time.perf_counter() - started)


@dataclass(frozen=True, eq=False, repr=False)
class GradientCheck:
    """What a gradient check found: plain numbers and NumPy arrays.

    Attributes
    ----------
    verdict : Verdict
        On the whole gradient. `bool(check)` and `check.passed` are true for CORRECT alone.
    difference, difference_uncertainty : float
        ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂) over the entries that have a quotient; 0.0 where
        both are zero. In full mode it is `gradient_checking`'s number, and its uncertainty 0.
    parameters : tuple of ParameterCheck
        One for each parameter checked.
    diagnoses : tuple of Diagnosis
        What is probably wrong.
    wrong_entries : tuple of (str, tuple of int)
        Name and index of every entry that is wrong beyond its error bar, worst first.
    measured : ndarray of int, shape (m,)
        Indices into θ of the entries that were measured.
    analytic, numerical, uncertainty : ndarray, shape (m,)
        Their backpropagated values, the best numerical values known, and the error bars of these.
    wrong : ndarray of bool, shape (m,)
        Which of them are wrong.
    mode : str
        "full": every entry by a central difference.
    call : str
        How the function was called: "flat", "structured", "arguments" or "closure".
    epsilon : float
        The step.
    cost, noise : float
        J(θ), and the absolute error of one evaluation of it.
    n_evaluations : int
        How often the cost function was called.
    seconds : float
        How long it took.
    detectable : float
        An error larger than this, of any single entry measured, would have been listed as wrong.
    size : int
        How many entries were to be measured.
    interrupted : bool
        Whether the check was stopped before it measured them all.
    reasons : tuple of str
        Why the verdict is what it is, where the difference alone does not say; sentences.
    notes : tuple of str
        What was taken for granted, and what is odd; sentences.
    """

    verdict: Verdict
    difference: float
    difference_uncertainty: float
    parameters: tuple[ParameterCheck, ...]
    diagnoses: tuple[Diagnosis, ...]
    wrong_entries: tuple[tuple[str, tuple[int, ...]], ...]
    measured: NDArray[np.intp]
    analytic: Vector
    numerical: Vector
    uncertainty: Vector
    wrong: NDArray[np.bool_]
    mode: str
    call: str
    epsilon: float
    cost: float
    noise: float
    n_evaluations: int
    seconds: float
    detectable: float
    size: int
    interrupted: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the verdict is CORRECT."""
        return self.verdict is Verdict.CORRECT

    @property
    def n_measured(self) -> int:
        """How many entries were measured."""
        return len(self.measured)

    @property
    def relative_errors(self) -> Vector:
        """|numerical − analytic| / (|numerical| + |analytic|) over `measured`."""
        return relative_error(self.numerical, self.analytic)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<GradientCheck {self.verdict.name}, difference {self.difference:.3g}>"

    def raise_if_failed(self) -> None:
        """Raise `GradientCheckFailed`, in one line, unless the verdict is CORRECT."""
        if not self.passed:
            raise GradientCheckFailed(self.headline(), self)

    def headline(self) -> str:
        """Return the verdict, the difference and the first diagnosis or reason, in one line."""
        sentences = [diagnosis.sentence for diagnosis in self.diagnoses] + list(self.reasons)
        first = " ".join(sentences[:1])
        return f"{self.verdict.value} The difference is {self.difference:.3g}. {first}".rstrip()

    def worst_entries(self, most: int = MOST_ENTRIES) -> list[Entry]:
        """Return the entries that are furthest off, worst first, and the wrong ones before all."""
        ranks = badness(self.analytic, self.numerical, self.wrong)
        order = np.argsort(-ranks, kind="stable")[:most]
        return [self._entry(int(position)) for position in order]

    def _entry(self, position: int) -> Entry:
        k = position
        for parameter in self.parameters:
            if k < parameter.n_measured:
                break
            k -= parameter.n_measured
        index = index_of(k, parameter.shape)
        values = (self.analytic[position], self.numerical[position], self.uncertainty[position])
        return Entry(label(parameter.name, index), index, *map(float, values))

    def to_dict(self) -> dict[str, Any]:
        """Return what `json` can hold: summary, parameters, diagnoses, the 100 worst entries.

        What is not finite becomes None.
        """
        return {
            "verdict": self.verdict.name,
            "passed": self.passed,
            "difference": _finite(self.difference),
            "difference_uncertainty": _finite(self.difference_uncertainty),
            "mode": self.mode,
            "call": self.call,
            "epsilon": self.epsilon,
            "cost": _finite(self.cost),
            "noise": _finite(self.noise),
            "n_evaluations": self.n_evaluations,
            "seconds": self.seconds,
            "detectable": _finite(self.detectable),
            "size": self.size,
            "n_measured": self.n_measured,
            "n_wrong": len(self.wrong_entries),
            "interrupted": self.interrupted,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "parameters": [_parameter_dict(parameter) for parameter in self.parameters],
            "diagnoses": [_diagnosis_dict(diagnosis) for diagnosis in self.diagnoses],
            "worst_entries": [_entry_dict(entry) for entry in self.worst_entries()],
        }

    # The one allowed look upwards: how a result is shown is known to `report` and `figures`.

    def __str__(self) -> str:
        from gradcheck_magic.report import text_report

        return text_report(self)

    def to_html(self) -> str:
        """Return the static card: HTML that needs nothing else, pictures included."""
        from gradcheck_magic.figures import png_element
        from gradcheck_magic.report import card

        return card(self, png_element(self), classes="gc-static")

    def figure(self) -> Figure:
        """Return the histogram of the entrywise errors, as a matplotlib figure."""
        from gradcheck_magic.figures import histogram

        return histogram(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self.to_html()}


def _concluded(
    pairing: Pairing, cost: Cost, differences: CentralDifferences, seconds: float
) -> GradientCheck:
    """Judge what was measured."""
    numerical, uncertainty = differences.numerical(), differences.uncertainty()
    comparison = compare(pairing, differences.textbook(), numerical, uncertainty)
    verdict = comparison.verdict
    interrupted = differences.n_measured < pairing.size
    if interrupted and verdict is not Verdict.BUG:
        verdict = Verdict.INCONCLUSIVE
    m = len(numerical)
    diagnoses = diagnose(pairing, comparison, numerical, uncertainty)
    return GradientCheck(
        verdict=verdict,
        difference=comparison.difference,
        difference_uncertainty=0.0,
        parameters=comparison.parameters,
        diagnoses=diagnoses,
        wrong_entries=comparison.wrong_entries,
        measured=_frozen(pairing.indices[:m]),
        analytic=_frozen(pairing.analytic[:m]),
        numerical=_frozen(numerical),
        uncertainty=_frozen(uncertainty),
        wrong=_frozen(comparison.wrong),
        mode="full",
        call=cost.convention.value if cost.convention else "auto",
        epsilon=differences.epsilon,
        cost=cost.value,
        noise=cost.noise,
        n_evaluations=cost.n_evaluations,
        seconds=seconds,
        detectable=_detectable(numerical, uncertainty),
        size=pairing.size,
        interrupted=interrupted,
        reasons=tuple(_reasons(pairing, cost, differences, comparison)),
        notes=(
            *pairing.notes,
            *cost.notes,
            *_remarks(pairing, cost, differences),
            *_doubts(cost, diagnoses),
        ),
    )


def _require_available(**options: object) -> None:
    """Refuse what the public contract names and this version does not have."""
    available = {"mode": ("auto", "full"), "points": (1,), "workers": (None,), "budget": (None,)}
    for option, value in options.items():
        if value not in available[option]:
            expected = " or ".join(map(repr, available[option]))
            raise InputError(
                f"`{option}` is {value!r}, which this version does not have yet: expected "
                f"{expected}."
            )


def _cost_name(function: object, names: Sequence[str] | Mapping[str, object] | None) -> str:
    """What the user calls the function: a variable's name, or its own."""
    own = getattr(function, "__name__", "<lambda>")
    otherwise = "cost_function" if own == "<lambda>" else own
    variables = VariableNames(names if isinstance(names, Mapping) else {})
    return variables(function, otherwise)


def _require_dependence(cost: Cost, pairing: Pairing) -> None:
    everything = pairing.size == pairing.parameters.size
    if not (cost.constant and everything and pairing.analytic.any()):
        return
    reads = (
        f"it reads other arrays than those in `{pairing.parameters.name}`"
        if cost.convention is Convention.CLOSURE
        else "it ignores its argument, and may read the notebook's variables instead"
    )
    raise InputError(
        f"`{cost.name}` is {cost.value:.6g} wherever the parameters are, while the gradient is not "
        f"zero: {reads}."
    )


def _reasons(
    pairing: Pairing, cost: Cost, differences: CentralDifferences, comparison: Comparison
) -> list[str]:
    """Why the verdict is what it is, where the difference alone does not say."""
    reasons = []
    numerical, analytic = differences.numerical(), pairing.analytic[: differences.n_measured]
    if differences.n_measured < pairing.size:
        reasons.append(
            f"Interrupted: {differences.n_measured} of {pairing.size} entries were measured."
        )
    elif not (numerical.any() or analytic.any()):
        reasons.append("Both gradients are zero everywhere: there is nothing to compare.")
    lost = int(np.sum(~np.isfinite(numerical)))
    if lost:
        reasons.append(
            f"`{cost.name}` is not finite on both sides of {lost} of the entries, or the step is "
            "lost in rounding: nothing can be said of them."
        )
    hidden = [p.name for p in comparison.parameters if p.n_wrong]
    if hidden and comparison.verdict is not Verdict.BUG:
        verb = "disagrees" if len(hidden) == 1 else "disagree"
        reasons.append(f"{listed(hidden)} {verb}, which the difference over all parameters hides.")
    if comparison.verdict in {Verdict.BUG, Verdict.INSPECT} and all(
        check.verdict is Verdict.CORRECT for check in comparison.parameters
    ):
        reasons.append(
            f"Each parameter agrees within its error bars: J is {cost.value:.3g}, known to "
            f"{cost.noise:.1e}, and the difference may be round-off."
        )
    return reasons


def _remarks(pairing: Pairing, cost: Cost, differences: CentralDifferences) -> list[str]:
    """What else is odd about the numbers."""
    remarks = []
    zero = _zero_parameters(pairing, differences.numerical())
    if zero and len(zero) < len(pairing.checked):
        remarks.append(f"Both gradients of {listed(zero)} are zero: nothing was compared there.")
    if cost.itemsize < np.dtype(np.float64).itemsize:
        remarks.append(
            f"Single precision (float{8 * cost.itemsize}): the step is {differences.epsilon:g}, "
            "and differences below about 1e-3 may be round-off. Compute in float64 for a sharper "
            "check."
        )
    return remarks


def _doubts(cost: Cost, diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Whether the function was called in the wrong way: it then ignores what it should use."""
    ignored = any(d.cause is Cause.COST_IGNORES_PARAMETERS for d in diagnoses)
    if not (ignored and cost.passed_over and cost.convention):
        return []
    likelier = cost.passed_over[0]
    return [
        (
            f"`{cost.name}` was called {cost.convention.described}, because it raised "
            f"{type(likelier.error).__name__} when called {likelier.convention.described}: "
            f"{first_line(likelier.error)}. If that is how it is meant to be called, "
            f"--call {likelier.convention} shows where."
        )
    ]


def _zero_parameters(pairing: Pairing, numerical: Vector) -> list[str]:
    """Names of the parameters of which both gradients are zero in every entry."""
    return [
        parameter.name
        for (parameter, part), gradient in zip(
            pairing.parts(len(numerical)), pairing.gradients, strict=True
        )
        if 0 < len(numerical[part]) == parameter.size
        and not (gradient.any() or numerical[part].any())
    ]


def _detectable(numerical: Vector, uncertainty: Vector) -> float:
    """The larger of error bar and inspection threshold, at the entry where it is largest."""
    if not numerical.size:
        return math.inf
    _, inspect, _ = THRESHOLDS
    floor = np.maximum(uncertainty, 2 * inspect * np.abs(numerical))
    return float(np.max(np.where(np.isfinite(floor), floor, np.inf)))


def _valid_step(epsilon: float | None) -> float:
    if epsilon is None:
        return default_step(8)
    try:
        step = float(epsilon)
    except (TypeError, ValueError):
        step = math.nan
    if not (math.isfinite(step) and step > 0):
        raise InputError(
            f"`epsilon` is {epsilon!r}: expected a small positive number, such as 1e-7."
        )
    return step


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = array.copy()
    array.setflags(write=False)
    return array


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _parameter_dict(check: ParameterCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "shape": list(check.shape),
        "size": check.size,
        "verdict": check.verdict.name,
        "difference": _finite(check.difference),
        "n_measured": check.n_measured,
        "n_wrong": check.n_wrong,
        "worst": _entry_dict(check.worst) if check.worst else None,
    }


def _entry_dict(entry: Entry) -> dict[str, Any]:
    return {
        "label": entry.label,
        "index": list(entry.index),
        "analytic": _finite(entry.analytic),
        "numerical": _finite(entry.numerical),
        "uncertainty": _finite(entry.uncertainty),
    }


def _diagnosis_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "cause": diagnosis.cause.name,
        "names": list(diagnosis.names),
        "sentence": diagnosis.sentence,
        "details": {key: _finite(value) for key, value in diagnosis.details.items()},
    }
