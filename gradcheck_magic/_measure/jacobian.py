"""The measurement of a Jacobian, row by row: each is the gradient of one output."""

from __future__ import annotations

from dataclasses import replace

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._measure.central_differences import TEXTBOOK_STEPS
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.measurement import Judged, Measurement

__all__ = ["JacobianMeasurement"]


class JacobianMeasurement(Measurement):
    """The measurement of a Jacobian, as far as it got.

    Every row has a noise of its own, so that outputs of any size can be measured. What is evaluated
    for one row is all that the others need, unless they need other steps.
    """

    def __init__(self, pairing: JacobianPairing, epsilon: float | None) -> None:
        super().__init__(pairing, epsilon, "full")
        self._jacobian = pairing

    def choose(self, cost: Cost, budget: float | None) -> None:  # noqa: ARG002 (there is no choice)
        """Choose the step."""
        if not self._epsilon_is_given:
            self.epsilon = TEXTBOOK_STEPS[cost.bits]

    def run(self, cost: Cost, seed: int) -> None:
        """Measure every row."""
        for row in self._jacobian.rows():
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
        self.tables = [MeasuredEntries.joined(self.tables)]

    def taken_together(self, cost: Cost, judged: Judged) -> Judged:  # noqa: ARG002 (each row is)
        """Return what is known: the errors of several rows say nothing about each other."""
        return judged
