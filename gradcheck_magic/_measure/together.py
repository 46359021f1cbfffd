"""Errors that no entry shows by itself: J is followed along all of them at once.

Where J is noisy, an entry is known to within e_J/h at best, and an error of that size in each of n
entries shows in none of them. Along the line on which the measured errors add up, the slope is that
of √n such errors, while its error bar is that of a single entry. What points that line is chance as
well, of course, so nothing is told from the errors themselves: the slope is measured anew.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.ladder import Ladder
from gradcheck_magic._measure.lines import Along, along_line, rung_along
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import expected_scale

__all__ = ["Together", "wrong_together"]

Mask = NDArray[np.bool_]

# The slope must be off by so many error bars, both along the errors of all parameters and along
# those of one: kinks may make a bar too narrow, but hardly on both lines. And it is off by as much
# as the errors add up to, in their direction, or less, as some of them are noise. Where it is off
# by more, J has bent within the steps.
PROVEN, AT_MOST = 3.5, 1.5
# The first steps, in units of the expected scales, the least one, and the most.
STEPS_TOGETHER, LEAST_TOGETHER, MOST_TOGETHER = (0.4, 0.1, 0.025, 0.00625), 1e-9, 8


class Together(NamedTuple):
    """The slope of J along the errors of a parameter, and that of the gradient under test."""

    slope: float
    given: float


def wrong_together(
    measured: MeasuredEntries, unknown: Mask, cost: Cost, pairing: Pairing
) -> dict[str, Together]:
    """Return the parameters that are wrong if their entries are taken together, by name.

    Only those are tried in which some entries are `unknown`.
    """
    line = _Errors(measured, cost, pairing)
    if line.disagreement(slice(None)) is None:
        return {}
    parts = [(parameter.name, rows) for parameter, rows, _ in measured.parts(pairing)]
    found = {name: line.disagreement(rows) for name, rows in parts if unknown[rows].any()}
    return {name: together for name, together in found.items() if together is not None}


class _Errors:
    """The errors of all entries, and the lines along them, in units of the expected scales."""

    def __init__(self, measured: MeasuredEntries, cost: Cost, pairing: Pairing) -> None:
        self._cost, self._pairing, self._positions = cost, pairing, measured.positions
        theta = pairing.parameters.theta().astype(np.float64)[pairing.indices]
        scales = [expected_scale(theta[part], parameter) for parameter, part in pairing.parts()]
        self._scales = np.concatenate(scales)
        scale = self._scales[measured.positions]
        self._given, self._rounding = measured.analytic * scale, measured.rounding * scale
        self._errors = np.nan_to_num(measured.numerical - measured.analytic) * scale

    def disagreement(self, rows: slice) -> Together | None:
        """Return the slope along the errors of some rows, if the given one is beyond any doubt."""
        with np.errstate(over="ignore"):
            size = float(np.linalg.norm(self._errors[rows]))
        if not 0.0 < size < np.inf:
            return None
        part = self._errors[rows] / size
        line = np.zeros_like(self._scales)
        line[self._positions[rows]] = part
        given, rounding = float(self._given[rows] @ part), float(self._rounding[rows] @ abs(part))
        ladder = self._ladder(along_line(self._cost, self._pairing, line * self._scales))
        found = ladder.estimate
        off, bar = found.low - given, found.bar + rounding
        if found.on_kink or found.is_flat or not PROVEN * bar < off < AT_MOST * size + bar:
            return None
        is_proof = ladder.disagrees(found, given) and not ladder.may_hide_kink(off)
        return Together(found.low, given) if is_proof else None

    def _ladder(self, along: Along) -> Ladder:
        """Return a ladder of steps along a line."""
        best = self._cost.best
        ladder = Ladder(1.0, LEAST_TOGETHER, abs(best.value))
        steps = iter(STEPS_TOGETHER)
        for _ in range(MOST_TOGETHER):
            step = next(steps, None) or ladder.next_step(STEPS_TOGETHER[-1])
            if step is None or not ladder.add(rung_along(along, step, best)):
                break
        return ladder
