"""One entry of a gradient beside central differences with steps of every size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.display import Displayed, renderers
from gradcheck_magic._result.gradient_check import jsonable

__all__ = ["StepCurve"]

Vector = NDArray[np.float64]

# By how much, as a logarithm, rounding may change a step that is still the same.
SAME_STEP = 0.25


@dataclass(frozen=True, eq=False, repr=False)
class StepCurve(Displayed):
    """One entry of a gradient, beside central differences with steps of every size.

    Its ``str()`` is a picture of it in text; at the end of a cell it shows its plot.

    Attributes
    ----------
    label : str
        ``W2[3, 1]``.
    name, index : str, tuple of int
        Its parameter, and where in it the entry stands.
    analytic : float
        Its backpropagated value.
    steps : ndarray, shape (m,), increasing
        ε, as rounding allows it to be taken: ((θ + ε) − (θ − ε)) / 2.
    values : ndarray, shape (m,)
        The central differences (J(θ + ε) − J(θ − ε)) / 2ε; nan where J is not finite.
    errors : ndarray, shape (m,)
        |value − analytic|.
    roundoff : ndarray, shape (m,)
        What the noise of J may do to each value: 4 e_J/ε, with e_J of at least half a unit in the
        last place of J; inf where there is no value.
    truncation : ndarray, shape (m,)
        c ε², the leading term |J‴|/6 · ε² of the truncation error. c is the median over the longest
        row of steps whose values change by that law, clear of round-off; 0 where there
        are none, as with a cost that is quadratic in the entry.
    step : float
        The step that was used; one of `steps`, but for rounding.
    best, bar : float
        The best numerical value known, and its error bar: those of the check; where it has none,
        or something has changed since, what the steps come to by themselves. On a kink, of all
        values between the slopes on both sides, the nearest to `analytic`.
    low, high : float
        The slopes on both sides, where θ sits on a kink; both the same value elsewhere.
    rounding : float
        What rounding may have done to `analytic`.
    wrong : bool
        Whether the entry is wrong beyond its error bar: the check's word, as far as there is one.
    enough : float
        The error bar with which the entry counts as known.
    changed : tuple of str
        What is no longer as the check saw it: "θ", "the gradient", "the cost".
    precision : str
        In which θ was stepped: "float64", also where it is in single precision and the cost
        function goes along.
    n_evaluations : int
        How often the cost function was called.
    seconds : float
        How long it took.
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
        """Whether θ, the gradient or J(θ) is no longer what the check saw; False without one."""
        return bool(self.changed)

    @property
    def on_kink(self) -> bool:
        """Whether θ sits on a kink of the cost."""
        return self.low < self.high

    @property
    def used(self) -> int | None:
        """Which of the steps is the one that was used; None where it does not change θ."""
        apart = np.abs(np.log(self.steps / self.step))
        nearest = int(np.argmin(apart))
        return nearest if apart[nearest] < SAME_STEP else None

    @property
    def sentence(self) -> str:
        """What the curve shows, in one to three sentences."""
        told: str = renderers().curve_sentence(self)
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return what `json` can hold; what is not finite becomes None.

        Returns
        -------
        dict
            All attributes, with arrays as lists.
        """
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in fields.items()
        }
        found: dict[str, Any] = jsonable(
            plain | {"moved": self.moved, "on_kink": self.on_kink, "sentence": self.sentence}
        )
        return found

    def __repr__(self) -> str:
        return f"<StepCurve {self.label}, {len(self.steps)} steps>"
