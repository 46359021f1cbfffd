"""One entry of a gradient, compared with central differences for steps of every size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.display import Displayed, renderers
from gradcheck_magic._result.gradient_check import jsonable

__all__ = ["StepCurve"]

Vector = NDArray[np.float64]

# Two steps are the same if their logarithms differ by less than this, which allows for rounding.
SAME_STEP = 0.25


@dataclass(frozen=True, eq=False, repr=False)
class StepCurve(Displayed):
    """One entry of a gradient, compared with central differences for steps of every size.

    Its ``str()`` is a text plot; as the last expression of a cell, it shows its plot.

    Attributes
    ----------
    label : str
        The label of the entry, such as ``W2[3, 1]``.
    name, index : str, tuple of int
        The parameter's name, and the index of the entry in it.
    analytic : float
        The backpropagated value.
    steps : ndarray, shape (m,), increasing
        The steps ε that were really taken, after rounding: ((θ + ε) − (θ − ε)) / 2.
    values : ndarray, shape (m,)
        The central differences (J(θ + ε) − J(θ − ε)) / 2ε; nan if J is not finite.
    errors : ndarray, shape (m,)
        |value − analytic|.
    roundoff : ndarray, shape (m,)
        The possible effect of the rounding noise of J on each value: 4 e_J/ε, with e_J of at least
        half a unit in the last place of J; inf if there is no value.
    truncation : ndarray, shape (m,)
        The leading term c ε² = |J‴|/6 · ε² of the truncation error. c is the median over the
        steps whose values follow that law, clear of rounding noise; it is 0 if there are none, for
        example if the cost is quadratic in the entry.
    step : float
        The step that the check used; it is one of `steps`, except for rounding.
    best, bar : float
        The best numerical value, and its error bar, as the check found them; if it did not, or if
        something has changed since, as the steps here alone give them. On a kink, the value is the
        nearest to `analytic` between the slopes on both sides.
    low, high : float
        The slopes on both sides, if θ is on a kink; otherwise two equal values.
    rounding : float
        The possible effect of rounding on `analytic`.
    wrong : bool
        True if the entry is wrong beyond its error bar, according to the check if there is one.
    enough : float
        The error bar that counts as precise enough.
    changed : tuple of str
        The things that have changed since the check: "θ", "the gradient", "the cost".
    precision : str
        The precision in which θ was moved: "float64" even if θ is in single precision, provided
        that the cost function accepts it.
    n_evaluations : int
        The number of calls of the cost function.
    seconds : float
        The duration.
    """

    label: str
    name: str
    index: tuple[int, ...]
    analytic: float
    steps: Vector
    values: Vector
    errors: Vector
    roundoff: Vector
    truncation: Vector
    step: float
    best: float
    bar: float
    low: float
    high: float
    rounding: float
    wrong: bool
    enough: float
    changed: tuple[str, ...]
    precision: str
    n_evaluations: int
    seconds: float

    @property
    def moved(self) -> bool:
        """True if θ, the gradient or J(θ) has changed since the check; False without a check."""
        return bool(self.changed)

    @property
    def on_kink(self) -> bool:
        """True if θ is on a kink of the cost."""
        return self.low < self.high

    @property
    def used(self) -> int | None:
        """The index in `steps` of the step that was used; None if that step does not change θ."""
        apart = np.abs(np.log(self.steps / self.step))
        nearest = int(np.argmin(apart))
        return nearest if apart[nearest] < SAME_STEP else None

    @property
    def sentence(self) -> str:
        """A description of the curve in one to three sentences."""
        return str(renderers().curve_sentence(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as `json` can represent it; numbers that are not finite become None.

        Returns
        -------
        dict
            All attributes, with arrays as lists.
        """
        told = {"moved": self.moved, "on_kink": self.on_kink, "sentence": self.sentence}
        return {name: jsonable(value) for name, value in (vars(self) | told).items()}

    def __repr__(self) -> str:
        return f"<StepCurve {self.label}, {len(self.steps)} steps>"
