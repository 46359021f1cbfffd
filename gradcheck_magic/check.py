"""The whole check, in the order in which it happens. Start reading here."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.borrowed import Borrowed
from gradcheck_magic.changes import changes
from gradcheck_magic.comparison import (
    LISTED,
    Comparison,
    Entry,
    ParameterCheck,
    Verdict,
    badness,
    relative_difference,
    relative_error,
)
from gradcheck_magic.convention import Convention
from gradcheck_magic.cost import Cost, Progress
from gradcheck_magic.diagnosis import Cause, Diagnosis, diagnose
from gradcheck_magic.display import Displayed
from gradcheck_magic.errors import (
    GradientCheckFailed,
    GradientCheckInterrupted,
    InputError,
    first_line,
    shown,
)
from gradcheck_magic.evaluation import OutOfTime
from gradcheck_magic.experiments import Earlier
from gradcheck_magic.explanation import notes, reasons
from gradcheck_magic.findings import Findings
from gradcheck_magic.fingerprint import fingerprint
from gradcheck_magic.gradient_function import moved_in_place, pair_at, point_around
from gradcheck_magic.measured import Measured
from gradcheck_magic.measurement import MODES, Measurement, Mode
from gradcheck_magic.pairing import Pairing, pair
from gradcheck_magic.parameters import (
    Names,
    VariableNames,
    collect,
    index_of,
    is_function,
    kind_of,
    label,
    spoken_key,
)
from gradcheck_magic.readings import Readings
from gradcheck_magic.textbook import CLEAR, CentralDifferences, textbook_pass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcheck_magic.close_up import CloseUp

__all__ = [
    "GradientCheck",
    "check_gradients",
    "cost_name",
    "gradient_checking",
    "jsonable",
    "valid_step",
]

Vector = NDArray[np.float64]
Call = Literal["auto", "flat", "structured", "arguments", "closure"]

# How many entries `to_dict` lists.
MOST_ENTRIES = 100
CUT_SHORT = "Stopped early: the cause was looked for without further evaluations of the cost."


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
        Borrowed(params, cost_function),
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
    _require_mode(mode)
    _require_budget(budget)
    _require_points(points, grads)
    _require_check(previous)
    _require_progress(progress)
    request = _Request(
        cost_function=cost_function,
        epsilon=None if epsilon is None else valid_step(epsilon),
        mode=mode,
        only=only,
        call=call,
        upstream=upstream,
        seed=seed,
        points=points,
        until=None if budget is None else time.perf_counter() + budget,
        progress=progress,
        previous=previous,
        workers=workers,
    )
    check = None
    try:
        # Of what becomes too small for a float in our own arithmetic, nobody wants to hear.
        with Borrowed(params, cost_function, grads), np.errstate(under="ignore"):
            check = _check_at(params, grads, names, request)
            if points > 1:
                check = _check_around(params, grads, names, request, check)
    except GradientCheckInterrupted as interrupt:
        interrupt.check = _since(previous, interrupt.check)
        raise
    except KeyboardInterrupt:
        if check is None:
            raise
        raise GradientCheckInterrupted(_since(previous, check)) from None
    return _since(previous, check)


def _since(previous: GradientCheck | None, check: GradientCheck) -> GradientCheck:
    """Return the same check, which tells what has changed since the one before."""
    if previous is None:
        return check
    differences = (previous.difference, check.difference)
    return replace(check, changes=changes(previous.parameters, check.parameters, differences))


@dataclass(frozen=True)
class _Request:
    """What is the same at every point."""

    cost_function: Callable[..., Any]
    epsilon: float | None
    mode: Mode
    only: Sequence[str] | None
    call: Call
    upstream: object
    seed: int
    points: int
    until: float | None
    progress: Progress | None
    previous: GradientCheck | None
    workers: int | Executor | None

    @property
    def seconds_left(self) -> float | None:
        """How long the check may go on; None: as long as it takes."""
        return None if self.until is None else self.until - time.perf_counter()

    def progress_at(self, point: int) -> Progress | None:
        """Return the progress at one point, which tells of all."""
        report = self.progress
        if report is None or self.points == 1:
            return report
        started = time.perf_counter()

        def of_all(done: int, total: int, _: float) -> object:
            seconds = (time.perf_counter() - started) * (point * total + done) / done
            return report(point * total + done, (self.points + 1) * total, seconds)

        return of_all


def _check_at(
    params: object, grads: object, names: Names, request: _Request, point: int = 0
) -> GradientCheck:
    """Check the gradient at one point."""
    started = time.perf_counter()
    if is_function(grads):
        pairing = pair_at(params, grads, only=request.only, names=names)
    else:
        pairing = pair(params, grads, only=request.only, names=names)
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
    measurement = Measurement(pairing, request.epsilon, request.mode)
    look = partial(
        diagnose,
        pairing,
        readings=partial(Readings, request.cost_function, names, pairing, grads),
        cost=cost,
        earlier=None if point else _earlier(request.previous, pairing),
    )
    stopped: BaseException | None = None
    try:
        cost.expected = measurement.expected
        with cost:
            _require_dependence(cost, pairing)
            measurement.choose(cost, request.seconds_left)
            measurement.run(cost, request.seed)
            judged = measurement.judged(cost)
            diagnoses = look(*judged, scan=measurement.scan)
    except (KeyboardInterrupt, OutOfTime) as stop:
        judged = measurement.judged(cost)
        diagnoses = look(*judged, scan=measurement.scan, evaluate=False)
        stopped = stop
    outcome = _Outcome(pairing, cost, measurement, *judged, diagnoses, stopped)
    check = _concluded(outcome, started)
    if isinstance(stopped, KeyboardInterrupt):
        raise GradientCheckInterrupted(check) from None
    return check


def _check_around(
    params: object, grads: object, names: Names, request: _Request, given: GradientCheck
) -> GradientCheck:
    """Check the gradient at points around the given one, until one fails; return what matters."""
    checks = [given]
    variables, spoken = VariableNames.among(names)
    parameters = collect(params, variables, only=request.only, names=spoken)
    random = np.random.default_rng(request.seed)
    while len(checks) <= request.points and not (_failed(checks[-1]) or checks[-1].interrupted):
        theta = point_around(parameters, random)
        try:
            if given.call == Convention.CLOSURE:
                with moved_in_place(parameters, theta):
                    check = _check_at(params, grads, names, request, len(checks))
            else:
                same_names = [parameter.name for parameter in parameters.arrays]
                there = parameters.at(theta)
                check = _check_at(there, grads, same_names, request, len(checks))
        except Exception as error:
            error.add_note(f"This happened at point {len(checks)} of {request.points} around θ.")
            raise
        checks.append(check)
    return _summed_up(checks, request)


def _failed(check: GradientCheck) -> bool:
    return check.verdict in {Verdict.BUG, Verdict.INSPECT}


def _summed_up(checks: list[GradientCheck], request: _Request) -> GradientCheck:
    """Return the check that fails; or one that says nothing; or the one at the given point."""
    telling = checks[-1] if _failed(checks[-1]) else next((c for c in checks if not c), checks[0])
    point = checks.index(telling)
    around = f"the parameters moved by up to 10 %, seed {request.seed}"
    reasons, notes = telling.reasons, telling.notes
    if point:
        before = "passes" if checks[0] else "says nothing"
        sentence = (
            f"This is point {point} of {request.points} around the given one ({around}): the "
            f"given one {before}."
        )
        reasons = (sentence, *reasons)
    elif telling:
        sentence = f"Checked at {request.points} points around the given one as well ({around})."
        notes = (*notes, sentence)
    return replace(
        telling,
        point=point,
        n_evaluations=sum(check.n_evaluations for check in checks),
        seconds=sum(check.seconds for check in checks),
        reasons=reasons,
        notes=notes,
    )


@dataclass(frozen=True, eq=False, repr=False)
class GradientCheck(Displayed):
    """What a gradient check found: plain numbers and NumPy arrays.

    Its ``str()`` is the whole report; at the end of a cell it shows its card. It is true, as in
    ``assert check``, if it passed.

    Attributes
    ----------
    verdict : Verdict
        On the whole gradient.
    difference, difference_uncertainty : float
        ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂) over the entries that have a quotient; 0.0 where
        both are zero. In full mode it is `gradient_checking`'s number, and its uncertainty 0;
        after a scan it is an estimate, and its spread.
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
    kinked : ndarray of bool, shape (m,)
        At which of them θ sits on a kink of the cost: there `numerical` is, of all values between
        the slopes on both sides, the nearest to `analytic`.
    mode : str
        "full": every entry by a central difference; "scan": random directions.
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
        An error larger than this, of any single entry measured, would have been listed as wrong;
        after a scan, an error larger than this and than 2e-5 of the entry, of any single one,
        found with probability 0.999.
    size : int
        How many entries were to be measured.
    interrupted : bool
        Whether the check was stopped before it measured them all.
    reasons : tuple of str
        Why the verdict is what it is, where the difference alone does not say; sentences.
    notes : tuple of str
        What was taken for granted, and what is odd; sentences.
    point : int
        At which of several points: 0 is the given one.
    changes : str
        What has changed since the previous check of the same parameters, such as ``"0.21 → 3e-09:
        `W2` mended"``; empty where there was none, or all was right then and is.
    fingerprint : str
        Two hashes, of θ and of the gradient, by which `step_curve` knows whether they are still
        the same.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck_magic import check_gradients
    >>> x = np.array([3.0, 4.0])
    >>> check = check_gradients(x, x, lambda x: x @ x)
    >>> check
    <GradientCheck BUG, difference 0.333>
    >>> check.difference_text, check.n_measured, check.wrong
    ('0.333', 2, array([ True,  True]))
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
    kinked: NDArray[np.bool_]
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
    point: int = 0
    changes: str = ""
    fingerprint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the verdict is CORRECT."""
        return self.verdict is Verdict.CORRECT

    @property
    def difference_text(self) -> str:
        """The difference as it is shown: ``0.285``, or ``≈ 4.1e-10 ± 6e-09`` after a scan."""
        if self.mode == "full":
            return f"{self.difference:.3g}"
        if math.isnan(self.difference):
            return "nan"
        spread = f" ± {self.difference_uncertainty:.0e}" if self.difference_uncertainty else ""
        return f"≈ {self.difference:.3g}{spread}"

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
        return f"<GradientCheck {self.verdict.name}, difference {self.difference_text}>"

    def raise_if_failed(self) -> None:
        """Raise `GradientCheckFailed`, in one line, unless the verdict is CORRECT.

        Raises
        ------
        GradientCheckFailed
            With the verdict, the difference and the first diagnosis or reason.

        Examples
        --------
        >>> x = np.array([3.0, 4.0])
        >>> check_gradients(x, 2 * x, lambda x: x @ x).raise_if_failed()
        >>> check_gradients(x, x, lambda x: x @ x).raise_if_failed()
        Traceback (most recent call last):
            ...
        gradcheck_magic.errors.GradientCheckFailed: There is a bug in backpropagation. ...
        """
        __tracebackhide__ = True  # pytest shows the line of the test, not this one
        if not self.passed:
            raise GradientCheckFailed(self.headline(), self)

    def headline(self) -> str:
        """Return the verdict, the difference and the first diagnosis or reason, in one line."""
        sentences = [diagnosis.sentence for diagnosis in self.diagnoses] + list(self.reasons)
        first = " ".join(sentences[:1])
        return f"{self.verdict.value} The difference is {self.difference_text}. {first}".rstrip()

    def worst_entries(self, most: int = MOST_ENTRIES) -> list[Entry]:
        """Return the entries that are furthest off, worst first, and the wrong ones before all.

        Parameters
        ----------
        most : int
            How many at most.

        Returns
        -------
        list of Entry
            Those of all parameters together.

        Examples
        --------
        >>> x = np.array([3.0, 4.0])
        >>> check = check_gradients(x, np.array([6.0, 9.0]), lambda x: x @ x)
        >>> [entry.label for entry in check.worst_entries()]
        ['params[1]', 'params[0]']
        """
        ranks = badness(self.analytic, self.numerical, self.wrong)
        order = np.argsort(-ranks, kind="stable")[:most]
        return [self._entry(int(position)) for position in order]

    def entries_behind(self, diagnosis: Diagnosis, most: int = MOST_ENTRIES) -> list[Entry]:
        """Return the entries that a diagnosis is about, worst first: the wrong ones, if any.

        Parameters
        ----------
        diagnosis : Diagnosis
            One of `diagnoses`.
        most : int
            How many at most.

        Returns
        -------
        list of Entry
            Those of the parameters that it names.
        """
        concerned = np.repeat(
            [parameter.name in diagnosis.names for parameter in self.parameters],
            [parameter.n_measured for parameter in self.parameters],
        )
        if np.any(concerned & self.wrong):
            concerned &= self.wrong
        ranks = np.where(concerned, badness(self.analytic, self.numerical, self.wrong), -np.inf)
        order = np.argsort(-ranks, kind="stable")[: min(most, int(concerned.sum()))]
        return [self._entry(int(position)) for position in order]

    def close_up(self, name: str) -> CloseUp:
        """Return what is known of each entry of one parameter.

        Parameters
        ----------
        name : str
            What the parameter is called.

        Returns
        -------
        CloseUp
            At the end of a cell, it shows histogram, map and scatter plot of the entries.

        Raises
        ------
        InputError
            If no parameter of this name was checked.

        Examples
        --------
        >>> W = np.array([[1.0, 2.0], [3.0, 4.0]])
        >>> check = check_gradients({"W": W}, {"dW": 2 * W}, lambda p: np.sum(p["W"] ** 2))
        >>> close_up = check.close_up("W")
        >>> close_up
        <CloseUp W, 4 of 4 entries measured>
        >>> close_up.analytic
        array([2., 4., 6., 8.])
        """
        # Looked up when it is asked for, as what shows it is.
        from gradcheck_magic.close_up import CloseUp

        return CloseUp.of(self, name)

    def _entry(self, position: int) -> Entry:
        where = int(self.measured[position])
        # They are in the order of θ, as the parameters are.
        parameter = next(p for p in self.parameters if p.start <= where < p.start + p.size)
        index = index_of(where - parameter.start, parameter.shape)
        values = (self.analytic[position], self.numerical[position], self.uncertainty[position])
        return Entry(label(parameter.name, index), index, *map(float, values))

    def to_dict(self) -> dict[str, Any]:
        """Return what `json` can hold: summary, parameters, diagnoses, the 100 worst entries.

        What is not finite becomes None. Verdicts and causes are told by their names.

        Returns
        -------
        dict
            ``verdict``, ``passed``, ``difference`` and the other numbers and sentences;
            ``parameters``, ``diagnoses`` and ``worst_entries`` as lists of dicts.

        Examples
        --------
        >>> import json
        >>> x = np.array([3.0, 4.0])
        >>> found = check_gradients(x, x, lambda x: x @ x).to_dict()
        >>> found["verdict"], found["n_wrong"], found["diagnoses"][0]["cause"]
        ('BUG', 2, 'SCALE')
        >>> json.loads(json.dumps(found)) == found
        True
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
            "n_kinked": int(self.kinked.sum()),
            "point": self.point,
            "n_evaluations": self.n_evaluations,
            "seconds": self.seconds,
            "detectable": _finite(self.detectable),
            "size": self.size,
            "n_measured": self.n_measured,
            "n_wrong": len(self.wrong_entries),
            "interrupted": self.interrupted,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "changes": self.changes,
            "parameters": [_parameter_dict(parameter) for parameter in self.parameters],
            "diagnoses": [_diagnosis_dict(diagnosis) for diagnosis in self.diagnoses],
            "worst_entries": [_entry_dict(entry) for entry in self.worst_entries()],
        }

    # The one allowed look upwards: how a result is shown is known to those modules.

    def __str__(self) -> str:
        from gradcheck_magic.text_report import text_report

        return text_report(self)

    def to_html(self) -> str:
        """Return the static card: HTML that needs nothing else, pictures included."""
        from gradcheck_magic.figures import png_element
        from gradcheck_magic.report import card

        return card(self, png_element(self), classes="gc-static")

    def figure(self) -> Figure:
        """Return a matplotlib figure: how the errors of the entries are spread.

        After a scan, what error it would have found beside the size of the entries.

        Returns
        -------
        matplotlib.figure.Figure
            Apart from pyplot: nothing is shown, and no figure stays open.
        """
        from gradcheck_magic.figures import picture

        return picture(self)


def _earlier(previous: GradientCheck | None, pairing: Pairing) -> Earlier | None:
    """What the previous check measured, if it was of the same parameters."""
    if previous is None or previous.n_measured < pairing.size:
        return None
    same = [(p.name, p.shape) for p in pairing.checked] == [
        (p.name, p.shape) for p in previous.parameters
    ]
    return Earlier(previous.numerical, previous.uncertainty) if same else None


@dataclass(frozen=True, eq=False)
class _Outcome:
    """All that a check at one point came to."""

    pairing: Pairing
    cost: Cost
    measurement: Measurement
    comparison: Comparison
    measured: Measured
    diagnoses: tuple[Diagnosis, ...]
    stopped: BaseException | None

    @property
    def is_cut_short(self) -> bool:
        """Whether anything is missing that would have been measured."""
        return self.stopped is not None and not self.measurement.is_done

    @property
    def verdict(self) -> Verdict:
        """The verdict on everything."""
        verdict = self.comparison.verdict
        is_bug = verdict is Verdict.BUG
        return Verdict.INCONCLUSIVE if self.is_cut_short and not is_bug else verdict

    def findings(self) -> Findings:
        """What there is to be put into words."""
        measurement = self.measurement
        return Findings(
            self.pairing,
            self.cost,
            measurement.epsilon,
            self.measured,
            self.comparison,
            self.verdict,
            measurement.scan,
            self._stop() if self.is_cut_short else "",
            bool(self.diagnoses),
        )

    def _stop(self) -> str:
        why = "Interrupted"
        if isinstance(self.stopped, OutOfTime):
            why = "The budget was used up"
        return f"{why}: {self.measurement.so_far}"

    def notes(self) -> Iterator[str]:
        """Yield what else a reader should know."""
        if self.measurement.choice:
            yield self.measurement.choice
        yield from self.pairing.notes
        yield from self.cost.notes
        yield from notes(self.findings())
        yield from _doubts(self.cost, self.diagnoses)
        if self.stopped and self.diagnoses and not self.is_cut_short:
            yield CUT_SHORT


def _concluded(outcome: _Outcome, started: float) -> GradientCheck:
    """Put together what was found."""
    pairing, cost, measurement = outcome.pairing, outcome.cost, outcome.measurement
    comparison, measured = outcome.comparison, outcome.measured
    difference, uncertainty = comparison.difference
    scan = measurement.scan
    return GradientCheck(
        verdict=outcome.verdict,
        difference=difference,
        difference_uncertainty=uncertainty,
        parameters=comparison.parameters,
        diagnoses=outcome.diagnoses,
        wrong_entries=comparison.wrong_entries,
        measured=_frozen(pairing.theta_indices(measured.positions)),
        analytic=_frozen(measured.analytic),
        numerical=_frozen(measured.numerical),
        uncertainty=_frozen(measured.uncertainty),
        wrong=_frozen(comparison.wrong),
        kinked=_frozen(measured.kinked),
        mode=measurement.mode,
        call=cost.convention.value if cost.convention else "auto",
        epsilon=measurement.epsilon,
        cost=cost.value,
        noise=cost.noise,
        n_evaluations=cost.n_evaluations,
        seconds=time.perf_counter() - started,
        detectable=scan.detectable if scan else _detectable(measured),
        size=pairing.size,
        interrupted=outcome.is_cut_short,
        reasons=tuple(reasons(outcome.findings())),
        notes=tuple(outcome.notes()),
        fingerprint=fingerprint(pairing),
    )


def _require_mode(mode: object) -> None:
    if not (isinstance(mode, str) and mode in MODES):
        raise InputError(f"`mode` is {shown(mode)}: expected {', '.join(MODES)}.")


def _require_budget(budget: Any) -> None:
    if budget is None:
        return
    is_number = isinstance(budget, Real) and not isinstance(budget, bool)
    # Whole numbers may be larger than any float.
    if not (is_number and 0 < budget <= sys.float_info.max):
        raise InputError(f"`budget` is {shown(budget)}: expected a number of seconds, such as 10.")


def _require_points(points: Any, grads: object) -> None:
    is_whole = isinstance(points, (int, np.integer)) and not isinstance(points, bool)
    if not is_whole or points < 1:
        raise InputError(f"`points` is {shown(points)}: expected a whole number from 1 on.")
    if points > 1 and not is_function(grads):
        raise InputError(
            f"`points` is {shown(points)}, and the gradient is known at the given point alone: "
            "give `grads` as a function of the parameters."
        )


def _require_check(previous: object) -> None:
    if not (previous is None or isinstance(previous, GradientCheck)):
        raise InputError(
            f"`previous` is {kind_of(previous)}: expected the GradientCheck that an earlier "
            "check returned."
        )


def _require_progress(progress: object) -> None:
    if not (progress is None or callable(progress)):
        raise InputError(
            f"`progress` is {kind_of(progress)}: expected a function of (evaluations so far, "
            "evaluations expected, seconds so far)."
        )


def cost_name(function: object, names: Names) -> str:
    """What the user calls the function: a variable's name, or its own."""
    own: object = None
    with suppress(Exception):  # the user's own may raise anything
        own = function.__name__  # type: ignore[attr-defined]
    otherwise = "cost_function"
    if isinstance(own, str) and own != "<lambda>":
        otherwise = spoken_key(own)
    variables, _ = VariableNames.among(names)
    return variables(function, otherwise)


def _require_dependence(cost: Cost, pairing: Pairing) -> None:
    everything = pairing.size == pairing.parameters.size
    if not (cost.constant and everything and any(map(np.any, pairing.gradients))):
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
            f"{first_line(likelier.error).rstrip('.')}. If that is how it is meant to be called, "
            f"--call {likelier.convention} shows where."
        )
    ]


def _detectable(measured: Measured) -> float:
    """The error that is clear of the error bar and of inspection, at the least favourable entry."""
    if not measured.numerical.size:
        return math.inf
    bars = (CLEAR + 1) * (measured.uncertainty + measured.rounding)
    floor = np.maximum(bars, LISTED * np.abs(measured.numerical))
    return float(np.max(np.where(np.isfinite(floor), floor, np.inf)))


def valid_step(epsilon: float) -> float:
    """Return the step that was asked for, if it is one."""
    try:
        is_number = np.ndim(epsilon) == 0 and not isinstance(epsilon, np.ma.MaskedArray)
        step = float(epsilon) if is_number else math.nan
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        step = math.nan
    if not (math.isfinite(step) and step > 0):
        raise InputError(
            f"`epsilon` is {shown(epsilon)}: expected a small positive number, such as 1e-7."
        )
    return step


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = array.copy()
    array.setflags(write=False)
    return array


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def jsonable(value: Any) -> Any:
    """The same, of what `json` can hold."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return _finite(value) if isinstance(value, float) else value


def _parameter_dict(check: ParameterCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "shape": list(check.shape),
        "size": check.size,
        "verdict": check.verdict.name,
        "difference": _finite(check.difference),
        "n_measured": check.n_measured,
        "n_wrong": check.n_wrong,
        "detectable": _finite(check.detectable),
        "regions": [asdict(region) for region in check.regions],
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
        "details": jsonable(diagnosis.details),
    }
