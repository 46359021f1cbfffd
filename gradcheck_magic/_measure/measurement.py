"""What is measured, every entry or random directions; and which of them, in the time there is."""

from __future__ import annotations

from typing import Literal

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.request import Mode
from gradcheck_magic._measure.central_differences import CentralDifferences, default_step
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION, Comparison, compare
from gradcheck_magic._measure.entries import MeasuredEntries
from gradcheck_magic._measure.refine import measure
from gradcheck_magic._measure.scan import Scan, planned_scan, scan
from gradcheck_magic._wording import duration, some_were

__all__ = ["FULL_LIMIT", "Measurement"]

# As long as this, in seconds, a full check may take before a scan is made instead.
FULL_LIMIT = 20.0
# What a scan takes besides its first looks.
USUAL_EVALUATIONS = 30
# From this time on a full check tells that there is a quicker way.
LONG = 5.0


class Measurement:
    """What is known of a gradient, as far as the measurement got.

    Parameters
    ----------
    pairing : Pairing
        What is to be measured.
    epsilon : float, optional
        The step of the textbook's differences; chosen to suit the precision, if not given.
    mode : {"auto", "full", "scan"}
        What was asked for.

    Attributes
    ----------
    epsilon : float
        The same, once it is chosen.
    choice : str
        Why it is measured like that, and how to have it otherwise; empty where that was asked for,
        or takes no time to speak of.
    scan : Scan or None
        What a scan found, where there is one.
    """

    def __init__(self, pairing: Pairing, epsilon: float | None, mode: Mode) -> None:
        self.epsilon = default_step(8) if epsilon is None else epsilon
        self.choice = ""
        self.scan: Scan | None = planned_scan(pairing) if mode == "scan" else None
        self._asked = mode
        self._pairing = pairing
        self._is_given = epsilon is not None
        self._differences = CentralDifferences.planned(0, self.epsilon)

    @property
    def mode(self) -> Literal["full", "scan"]:
        """How it is measured."""
        return "full" if self.scan is None else "scan"

    @property
    def expected(self) -> int:
        """How many evaluations it may take, before it is chosen: of a scan, if there may be one."""
        full = 2 * self._pairing.size
        return (
            full
            if self._asked == "full"
            else min(full, USUAL_EVALUATIONS + 4 * len(self._pairing.checked))
        )

    def choose(self, cost: Cost, budget: float | None) -> None:
        """Choose between all entries and a scan.

        Parameters
        ----------
        cost : Cost
            Entered as a context manager: it knows how long an evaluation takes.
        budget : float, optional
            The seconds there are.
        """
        if not self._is_given:
            self.epsilon = default_step(cost.itemsize)
        if self._asked != "auto":
            return
        n_evaluations = 2 * self._pairing.size
        expected = n_evaluations * cost.seconds_each
        limit = FULL_LIMIT if budget is None else budget
        if expected > limit:
            self.scan = planned_scan(self._pairing)
            self.choice = (
                f"A scan: all {self._pairing.size:,} entries would take {n_evaluations:,} "
                f"evaluations, about {duration(expected)}, and there are {limit:.2g} s. "
                '--mode full (in Python, mode="full") measures them all.'
            )
        elif expected > LONG:
            self.choice = (
                f"Every entry was measured: that was expected to take {duration(expected)}, and "
                f'there were {limit:.2g} s. --mode scan (in Python, mode="scan") looks at all of '
                "them at once."
            )

    def run(self, cost: Cost, seed: int) -> None:
        """Measure, as was chosen."""
        if self.scan is None:
            self._differences = CentralDifferences.planned(self._pairing.size, self.epsilon)
            measure(self._differences, cost, self._pairing)
        else:
            scan(self.scan, cost, self._pairing, seed=seed, epsilon=self.epsilon)

    def judged(self, cost: Cost) -> tuple[Comparison, MeasuredEntries]:
        """Judge what was measured."""
        if self.scan is None:
            measured = MeasuredEntries.first(self._pairing, self._differences)
        else:
            measured = MeasuredEntries.sampled(self._pairing, self.scan)
        tolerance = SINGLE_PRECISION if cost.is_single else DOUBLE_PRECISION
        return compare(self._pairing, measured, tolerance, self.scan), measured

    @property
    def is_done(self) -> bool:
        """Whether everything was measured."""
        if self.scan is None:
            return self._differences.n_settled == self._pairing.size
        return self.scan.is_done

    @property
    def so_far(self) -> str:
        """How far it got, in words."""
        if self.scan is None:
            measured = some_were(self._differences.n_measured, self._pairing.size, "entries")
            return f"{measured} measured."
        looked_at = sum(each.is_measured for each in self.scan.parameters)
        total = len(self.scan.parameters)
        text = f"{some_were(looked_at, total, 'parameters')} looked at"
        if looked_at < total:
            return f"{text}."
        if all(each.is_explained for each in self.scan.parameters):
            return f"{text}, and not all of them once more together."
        return f"{text}, and what is wrong in them was not located to the end."
