"""The measurement of a Jacobian, row by row: each is the gradient of one output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.request import Mode
from gradcheck_magic._measure.all_outputs import AllOutputs, can_be_together
from gradcheck_magic._measure.central_differences import TEXTBOOK_STEPS
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.measurement import Judged, Measurement

__all__ = ["JacobianMeasurement"]

# Of many rows that are wrong beyond any doubt, so many are measured again.
MOST_CONFIRMED = 20


class JacobianMeasurement(Measurement):
    """The measurement of a Jacobian, as far as it got.

    Every row has a noise of its own, so that outputs of any size can be measured. What is evaluated
    for one row is all that the others need, unless they need other steps.
    """

    pairing: JacobianPairing
    is_of_one = False

    def __init__(self, pairing: JacobianPairing, epsilon: float | None, mode: Mode) -> None:
        super().__init__(pairing, epsilon, "full")
        if mode == "scan":
            self.choice = "There is no scan of a Jacobian: every entry was measured."

    @property
    def expected(self) -> int:
        """The number of evaluations to expect: an evaluation is that of all outputs."""
        return 2 * self.pairing.inputs.size

    def choose(self, cost: Cost, budget: float | None) -> None:  # noqa: ARG002 (there is no choice)
        """Choose the step."""
        if not self._epsilon_is_given:
            self.epsilon = TEXTBOOK_STEPS[cost.bits]

    def run(self, cost: Cost, seed: int) -> None:
        """Measure every row: many of them at once, and those that this leaves open one by one."""
        left = np.ones(self.pairing.outputs.size, dtype=bool)
        if can_be_together(cost, self.pairing):
            together = AllOutputs(cost, self.pairing, self.epsilon)
            some = together.is_open | _a_few(together.is_gross)
            self._measure_rows(cost, seed, some)
            left = together.is_gross & ~some
            if self._confirms(together.is_gross & some):
                left[:] = False
            self.tables += together.of(~(some | left))
        self._measure_rows(cost, seed, left)
        self.tables = [MeasuredEntries.joined(self.tables)]

    def settled(self, cost: Cost) -> Judged:
        """Judge the Jacobian."""
        return self.judged(cost)

    def _measure_rows(self, cost: Cost, seed: int, wanted: NDArray[np.bool_]) -> None:
        """Measure some rows, each with a noise of its own."""
        for row in self.pairing.rows(wanted):
            with cost.of_output(row.output):
                measurement = Measurement(row.gradient, self.epsilon, "full")
                try:
                    measurement.run(cost, seed)
                finally:
                    self.tables += [
                        replace(table, positions=row.positions[table.positions])
                        for table in measurement.tables
                    ]
            self.is_rounded |= measurement.is_rounded
            self.jumps = max(self.jumps, measurement.jumps, key=lambda jumps: jumps.height)

    def _confirms(self, gross: NDArray[np.bool_]) -> bool:
        """Return True if each of these rows is wrong somewhere, also as it was measured again."""
        wrong = np.concatenate([t.positions[t.is_off] for t in self.tables] or [np.arange(0)])
        return all(np.isin(row.positions, wrong).any() for row in self.pairing.rows(gross))


def _a_few(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of some of these, from the first to the last."""
    found = np.flatnonzero(mask)
    chosen = np.zeros_like(mask)
    if found.size:
        chosen[found[np.unique(np.linspace(0, len(found) - 1, MOST_CONFIRMED).astype(int))]] = True
    return chosen
