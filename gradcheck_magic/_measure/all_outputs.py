"""The textbook's pass for all outputs of a function at once: most of them need no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch
from gradcheck_magic._cost.noise import POINTS_ON_LINE, SPACING, STEP_SPACING, SUSPICIOUS
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._inputs.precision import DOUBLE
from gradcheck_magic._measure.analytic_gradient import rounding_part
from gradcheck_magic._measure.central_differences import difference_quotients, textbook_batch
from gradcheck_magic._measure.ladder import RATIO, Rungs
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import FAINT, FIRST_STEP, SteppedEntries, judged, steps_taken

__all__ = ["AllOutputs", "can_be_together"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# With fewer outputs than this, each is measured by itself, which takes a millisecond.
MANY = 100


def can_be_together(cost: Cost, pairing: JacobianPairing) -> bool:
    """Return True if it pays to look at all outputs at once, and if their noise is that simple."""
    return pairing.outputs.size > MANY and cost.bits == DOUBLE and not cost.is_noisy


class AllOutputs:
    """What one step shows of a Jacobian, a table for each parameter.

    Attributes
    ----------
    tables : list of MeasuredEntries
        Every entry, in the order of the outputs.
    is_open, is_gross : ndarray of bool
        True for each output that needs a look of its own, and for each that disagrees beyond any
        doubt somewhere.
    """

    def __init__(self, cost: Cost, pairing: JacobianPairing, epsilon: float) -> None:
        self.tables: list[MeasuredEntries] = []
        self._cost, self._pairing = cost, pairing
        self._values, self._noise, self.is_open = _values_and_noise(cost)
        self.is_gross = np.zeros_like(self.is_open)
        parameters = pairing.inputs.checked
        largest = [_largest(pairing.columns(j)[0]) for j in range(len(parameters))]
        changes = [size * p.magnitude for size, p in zip(largest, parameters, strict=True)]
        for j, parameter in enumerate(parameters):
            of_all = np.minimum(
                np.max(largest, axis=0), np.max(changes, axis=0) / parameter.magnitude
            )
            rounding = rounding_part(max(pairing.gradient_eps)) * largest[j]
            self._look(j, parameter, epsilon, rounding, of_all)

    def of(self, outputs: Mask) -> list[MeasuredEntries]:
        """Return the tables of some outputs alone."""
        n = len(outputs)
        return [
            t.rows(np.flatnonzero(np.repeat(outputs, len(t.positions) // n))) for t in self.tables
        ]

    def _look(
        self, j: int, parameter: Parameter, epsilon: float, rounding: Vector, of_all: Vector
    ) -> None:
        """Take the step with every entry of a parameter."""
        analytic, positions = self._pairing.columns(j)
        m, n = analytic.shape
        ks = range(n)
        entries = SteppedEntries(self._cost, parameter, ks)
        batch = textbook_batch(self._cost, parameter, ks, epsilon)
        first, quotients = self._rungs(entries, batch, epsilon)
        table = MeasuredEntries.planned(positions.ravel(), analytic.ravel(), 0.0)
        table = replace(table, rounding=np.repeat(rounding, n), of_all=np.repeat(of_all, n))
        table.textbook[:] = quotients
        table.store(first)
        open_ones, gross = judged(first, table, np.inf)
        # A gap may be a kink that is nearer than the step.
        table.uncertainty[:] += np.where(gross, np.abs(first.gap), 0.0)
        zero = open_ones & first.is_flat & (table.analytic == 0)
        if zero.any():
            open_ones &= ~self._are_flat(table, entries, zero)
        open_ones |= first.step < np.tile(entries.smallest, m)
        table.settled[:] = True
        self.tables.append(table)
        self.is_open |= open_ones.reshape(m, n).any(axis=1)
        self.is_gross |= gross.reshape(m, n).any(axis=1)

    def _are_flat(self, table: MeasuredEntries, entries: SteppedEntries, zero: Mask) -> Mask:
        """Settle entries that a large step does not change either; return which these are."""
        steps = np.maximum(FIRST_STEP * entries.scale, RATIO * entries.smallest)
        position = self._cost.position(entries.parameter)
        batch = EntryBatch(position, entries.ks, steps.tolist(), quiet=True)
        second, _ = self._rungs(entries, batch, steps)
        sizes = np.repeat(np.abs(self._values), len(entries))
        faint = FAINT * np.where(table.of_all > 0, table.of_all, sizes)
        flat: Mask = zero & second.is_flat & (second.round_off <= faint)
        table.numerical[flat] = 0.0
        table.uncertainty[flat] = second.round_off[flat]
        return flat

    def _rungs(
        self, entries: SteppedEntries, batch: EntryBatch, steps: float | Vector
    ) -> tuple[Rungs, Vector]:
        """Return the rungs of some steps, output by output, and the quotients as they are."""
        plus, minus = (side.T.ravel() for side in self._cost.outputs_beside(batch))
        m, n = len(self._values), len(entries)
        taken = steps_taken(entries.values, steps, entries.bits)
        down, up = (np.tile(side, m) for side in taken)
        sizes = np.maximum(np.abs(plus), np.abs(minus))
        noise = np.maximum(np.repeat(self._noise, n), self._cost.own.eps / 2 * sizes)
        values = np.repeat(self._values, n)
        quotients = difference_quotients(plus, minus, np.tile(np.broadcast_to(steps, n), m))
        return Rungs.measured((minus, values, plus), (down, up), noise), quotients


def _largest(columns: Vector) -> Vector:
    """Return the largest finite absolute value in each row."""
    sizes = np.abs(columns)
    largest: Vector = np.max(sizes, axis=1, initial=0.0, where=np.isfinite(sizes))
    return largest


def _values_and_noise(cost: Cost) -> tuple[Vector, Vector, Mask]:
    """Return all outputs at θ, their noise, and which of them need a look of their own for it.

    The noise is that of a high order of differences on the line around θ, which have next to
    nothing left of what is smooth.
    """
    points = np.arange(POINTS_ON_LINE)
    near, far = (
        cost.outputs_along((spacing * points).tolist())
        for spacing in (SPACING * cost.own.eps, STEP_SPACING)
    )
    values = near[0]
    least = np.maximum(cost.own.eps / 2 * np.abs(values), _level(near))
    noise = np.maximum(least, _level(far))
    # Kinks look like noise there, and what does not change may be rounded.
    is_open = (noise > SUSPICIOUS * least) | np.all(near == values, axis=0) | ~np.isfinite(noise)
    return values, np.where(is_open, least, noise), is_open


def _level(values: Vector) -> Vector:
    """Return the noise of equidistant values as their high differences show it."""
    levels, differences, gamma = [], values, 1.0
    for k in range(1, len(values)):
        differences = np.diff(differences, axis=0)
        gamma *= 0.5 * k / (2 * k - 1)
        levels.append(np.sqrt(gamma * np.mean(differences**2, axis=0)))
    level: Vector = np.max(levels[2:], axis=0)
    return level
