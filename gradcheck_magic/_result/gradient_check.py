"""The result of a gradient check as a whole."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.backward_pass import BackwardPass
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.display import Displayed, renderers
from gradcheck_magic._result.parameter_check import (
    Entry,
    ParameterCheck,
    index_of,
    relative_error,
    worst_first,
)
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import did_you_mean, listed
from gradcheck_magic.errors import GradientCheckFailed, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "GradientCheck", "jsonable"]

Vector = NDArray[np.float64]

# The number of entries that `to_dict` lists.
ENTRIES_IN_DICT = 100
# The attributes that have a value for each measured entry.
COLUMNS = ("analytic", "numerical", "uncertainty", "wrong", "kinked")


@dataclass(frozen=True, eq=False, repr=False)
class GradientCheck(Displayed):
    """The result of a gradient check: plain numbers and NumPy arrays.

    Its ``str()`` is the complete report; as the last expression of a cell, it shows its card. It is
    true, as in ``assert check``, if it passed.

    Attributes
    ----------
    verdict : Verdict
        The verdict on the whole gradient.
    difference, difference_uncertainty : float
        The difference ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂) over the entries that have a
        difference quotient; 0.0 if both norms are zero, and nan if no entry was measured. In full
        mode it is the number that `gradient_checking` returns, and its uncertainty is 0; after a
        scan it is an estimate, and the uncertainty is its spread. A scan that ended before it
        could estimate it gives a lower bound (nan if it has none), and the uncertainty is inf.
    parameters : tuple of ParameterCheck
        The result for each parameter that was checked.
    diagnoses : tuple of Diagnosis
        The probable causes of a wrong gradient.
    wrong_entries : tuple of (str, tuple of int)
        The name and index of every entry that is wrong beyond its error bar, worst first.
    measured : ndarray of int, shape (m,)
        The indices into θ of the measured entries.
    analytic, numerical, uncertainty : ndarray, shape (m,)
        Their backpropagated values, their best numerical values, and the error bars of the latter.
    wrong : ndarray of bool, shape (m,)
        True for each entry that is wrong.
    kinked : ndarray of bool, shape (m,)
        True for each entry at which θ is on a kink of the cost: there, `numerical` is the value
        nearest to `analytic` between the slopes on both sides.
    mode : str
        "full" if every entry was measured by a central difference; "scan" if random directions
        were.
    call : str
        The way the cost function was called: "flat", "structured", "arguments" or "closure".
    epsilon : float
        The step ε.
    cost, noise : float
        J(θ), and the absolute error of one evaluation of it; for a Jacobian, the norm ‖f(θ)‖ of all
        outputs, and the error of that.
    n_evaluations : int
        The number of calls of the cost function.
    seconds : float
        The duration of the check.
    detectable : float
        The smallest detectable error: a larger error of any single measured entry would have been
        listed as wrong, even in the least precise entry. After a scan, a larger error of any single
        entry would have been found with probability 0.999, provided that it is also more than 2e-5
        of the entry. The report gives the limit of most entries, relative to the gradient.
    size : int
        The number of entries that were to be measured.
    interrupted : bool
        True if the check was stopped before it measured all of them.
    reasons : tuple of str
        The reasons for the verdict, as sentences, if the difference alone does not explain it.
    notes : tuple of str
        The assumptions that were made, and anything unusual, as sentences.
    point : int
        The number of the point, if several were checked: 0 is the given one.
    changes : str
        The changes since the previous check of the same parameters, such as ``"0.21 → 3e-09: `W2`
        fixed"``; empty if there was no such check, or if everything was correct and still is.
    fingerprint : str
        Two hashes, one of θ and one of the gradient. They tell `step_curve` whether either has
        changed.
    backward : BackwardPass or None
        The backward pass, statement by statement, and which one is wrong; None if it was not
        looked at, or could not be.
    not_checked : tuple of str
        The names of the parameters that were left out with `only`.
    is_jacobian : bool
        True if a Jacobian was checked. Then `parameters` are its blocks, such as ``∂r/∂x``: one for
        each output and each parameter, in the shape of both together.

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
    backward: BackwardPass | None = None
    not_checked: tuple[str, ...] = ()
    is_jacobian: bool = False

    @property
    def passed(self) -> bool:
        """True if the verdict is CORRECT."""
        return self.verdict is Verdict.CORRECT

    @property
    def verdict_text(self) -> str:
        """The verdict as a sentence; it says so of a Jacobian, and what `only` left out."""
        text = self.verdict.value
        if self.is_jacobian:
            text = text.replace("Backpropagation", "The Jacobian")
            text = text.replace("backpropagation", "the Jacobian")
        if not self.not_checked:
            return text
        if not self.is_jacobian:
            are = "is" if len(self.parameters) == 1 else "are"
            subject = f"{listed(parameter.name for parameter in self.parameters)} {are}"
            text = text.replace("Backpropagation is", subject)
        text = text.rstrip(".")
        were = "was" if len(self.not_checked) == 1 else "were"
        return f"{text}; {listed(self.not_checked)} {were} not checked."

    @property
    def difference_text(self) -> str:
        """The difference as it is shown: ``0.285``, or ``≈ 4.1e-10 ± 6e-09`` after a scan.

        A lower bound is shown as ``≥ 0.0105``, or ``unknown`` if there is none.
        """
        if self.mode == "full":
            return f"{self.difference:.3g}"
        if math.isnan(self.difference):
            is_bound = math.isinf(self.difference_uncertainty)
            return "unknown" if is_bound and np.isfinite(self.analytic).all() else "nan"
        if math.isinf(self.difference_uncertainty):
            return f"≥ {self.difference:.3g}"
        spread = f" ± {self.difference_uncertainty:.0e}" if self.difference_uncertainty else ""
        return f"≈ {self.difference:.3g}{spread}"

    # A hundred thousand of these take 20 MB, and few readers ask for them.
    @cached_property
    def wrong_entries(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The name and index of every entry that is wrong beyond its error bar, worst first."""
        rows = np.flatnonzero(self.wrong)
        columns = self.analytic[rows], self.numerical[rows], self.wrong[rows]
        rows = rows[worst_first(*columns, len(rows))]
        places = map(self._place, self.measured[rows].tolist())
        return tuple((parameter.name, index_of(k, parameter.shape)) for parameter, k in places)

    @property
    def n_measured(self) -> int:
        """The number of measured entries."""
        return len(self.measured)

    @property
    def relative_errors(self) -> Vector:
        """The relative errors |numerical − analytic| / (|numerical| + |analytic|) of `measured`."""
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
            The message has the verdict, the difference and the first diagnosis or reason.

        Examples
        --------
        >>> from gradcheck_magic import check_gradients
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
        """Return the verdict, the difference, the wrong statement and a diagnosis, in one line."""
        sentences = [diagnosis.sentence for diagnosis in self.diagnoses] + list(self.reasons)
        faults = self.backward.faults if self.backward else ()
        first = " ".join([*(fault.sentence for fault in faults[:1]), *sentences[:1]])
        return f"{self.verdict_text} The difference is {self.difference_text}. {first}".rstrip()

    def worst_entries(self, most: int = ENTRIES_IN_DICT) -> list[Entry]:
        """Return the entries with the largest errors: the wrong ones first, each group worst first.

        Parameters
        ----------
        most : int
            The maximum number of entries.

        Returns
        -------
        list of Entry
            Entries of all parameters together.

        Examples
        --------
        >>> from gradcheck_magic import check_gradients
        >>> x = np.array([3.0, 4.0])
        >>> check = check_gradients(x, np.array([6.0, 9.0]), lambda x: x @ x)
        >>> [entry.label for entry in check.worst_entries()]
        ['params[1]', 'params[0]']
        """
        return self._worst(np.arange(self.n_measured), most)

    def entries_behind(self, diagnosis: Diagnosis, most: int = ENTRIES_IN_DICT) -> list[Entry]:
        """Return the entries that a diagnosis is about, worst first: only the wrong ones, if any.

        Parameters
        ----------
        diagnosis : Diagnosis
            One of `diagnoses`.
        most : int
            The maximum number of entries.

        Returns
        -------
        list of Entry
            Entries of the parameters that the diagnosis names.
        """
        concerned = np.repeat(
            [parameter.name in diagnosis.names for parameter in self.parameters],
            [parameter.n_measured for parameter in self.parameters],
        )
        if np.any(concerned & self.wrong):
            concerned &= self.wrong
        return self._worst(np.flatnonzero(concerned), most)

    def close_up(self, name: str) -> CloseUp:
        """Return the entries of one parameter.

        Parameters
        ----------
        name : str
            The name of the parameter.

        Returns
        -------
        CloseUp
            As the last expression of a cell, it shows a histogram, a map and a scatter plot of the
            entries.

        Raises
        ------
        InputError
            If no parameter of this name was checked.

        Examples
        --------
        >>> from gradcheck_magic import check_gradients
        >>> W = np.array([[1.0, 2.0], [3.0, 4.0]])
        >>> check = check_gradients({"W": W}, {"dW": 2 * W}, lambda p: np.sum(p["W"] ** 2))
        >>> close_up = check.close_up("W")
        >>> close_up
        <CloseUp W, 4 of 4 entries measured>
        >>> close_up.analytic
        array([2., 4., 6., 8.])
        """
        by_name = {parameter.name: parameter for parameter in self.parameters}
        if name not in by_name:
            meant = did_you_mean(name, by_name)
            raise InputError(f"`{name}` was not checked{meant}: choose from {listed(by_name)}.")
        parameter = by_name[name]
        ends = (parameter.start, parameter.start + parameter.size)
        here = slice(*(int(end) for end in np.searchsorted(self.measured, ends)))
        columns = (getattr(self, column)[here] for column in COLUMNS)
        return CloseUp(parameter, self.measured[here] - parameter.start, *columns)

    def _worst(self, rows: NDArray[np.intp], most: int) -> list[Entry]:
        found = []
        columns = self.analytic[rows], self.numerical[rows], self.wrong[rows]
        for row in rows[worst_first(*columns, most)].tolist():
            parameter, k = self._place(int(self.measured[row]))
            values = self.analytic[row], self.numerical[row], self.uncertainty[row]
            entry = k, parameter.name, parameter.shape, values, parameter.output_axes
            found.append(Entry.at(*entry))
        return found

    def _place(self, k: int) -> tuple[ParameterCheck, int]:
        """Return the parameter that holds the `k`-th entry of θ, and its position there."""
        # The parameters are in the order of θ; an empty one has no entry.
        after = bisect_right(self.parameters, k, key=attrgetter("start"))
        parameter = self.parameters[after - 1]
        return parameter, k - parameter.start

    def to_dict(self) -> dict[str, Any]:
        """Return a summary, the parameters, the diagnoses and the 100 worst entries for `json`.

        Numbers that are not finite become None. Verdicts and causes are given by their names.

        Returns
        -------
        dict
            ``verdict``, ``passed``, ``difference`` and the other numbers and sentences;
            ``parameters``, ``diagnoses`` and ``worst_entries`` as lists of dicts.

        Examples
        --------
        >>> from gradcheck_magic import check_gradients
        >>> import json
        >>> x = np.array([3.0, 4.0])
        >>> found = check_gradients(x, x, lambda x: x @ x).to_dict()
        >>> found["verdict"], found["n_wrong"], found["diagnoses"][0]["cause"]
        ('BUG', 2, 'SCALE')
        >>> json.loads(json.dumps(found)) == found
        True
        """
        left_out = {"measured", *COLUMNS, "wrong_entries", "fingerprint"}
        found = {name: value for name, value in vars(self).items() if name not in left_out}
        found["passed"] = self.passed
        found["n_kinked"] = int(self.kinked.sum())
        found["n_measured"] = self.n_measured
        found["n_wrong"] = int(self.wrong.sum())
        found["worst_entries"] = self.worst_entries()
        return {name: jsonable(value) for name, value in found.items()}

    def figure(self) -> Figure:
        """Return a matplotlib figure of the distribution of the errors of the entries.

        After a scan, it compares the smallest detectable error with the size of the entries.

        Returns
        -------
        matplotlib.figure.Figure
            A figure that pyplot does not manage: it is not shown, and it does not stay open.
        """
        drawn: Figure = renderers().figure(self)
        return drawn


def jsonable(value: Any) -> Any:
    """Return a value as `json` can represent it: records as dicts, and None for nan and inf."""
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value):
        value = vars(value)
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
