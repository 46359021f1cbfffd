"""Random directions: is anything wrong, and where, in a few evaluations for each parameter.

One direction in each parameter shows any wrong entry, unless several cancel in it. What is clear is
located, and one direction more, in which everything moves that is right by then, bears it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.cost import Cost
from gradcheck_magic.finite_difference import gradient_under_test
from gradcheck_magic.location import FEW, Region, Sampled, Search, sample
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Parameter
from gradcheck_magic.residuals import Residual, Residuals, joint_residual

__all__ = ["ParameterScan", "Scan", "scan"]

Vector = NDArray[np.float64]

# Directions after the first one, until nothing is left to be found.
TURNS = 3
# Directions by which the size of an error is estimated where it is not known entry by entry.
SKETCH = 6
# Of entries that are no numbers, so many are listed.
MOST_LISTED = 16


@dataclass
class ParameterScan:
    """What a scan found in one parameter, as far as it got.

    Attributes
    ----------
    parameter : Parameter
        Which.
    largest : float
        The largest of its analytic values, by size.
    norm : float
        ‖g‖ of its analytic values.
    first : Residual or None
        Over all its entries, as the gradient was given; None where that was not measured.
    rest : Residual or None
        The same of the last direction, without what was found until then.
    sampled : Sampled
        Its entries that were measured by themselves.
    regions : list of Region
        Where it is not single entries: rows, columns, or the whole.
    is_complete : bool
        Whether what was found explains the residuals, but for those of the regions.
    sketch : list of Residual
        Over all its entries, where the size of its error had to be estimated.
    """

    parameter: Parameter
    largest: float
    norm: float
    first: Residual | None = None
    rest: Residual | None = None
    sampled: Sampled = field(default_factory=Sampled)
    regions: list[Region] = field(default_factory=list)
    is_complete: bool = True
    sketch: list[Residual] = field(default_factory=list)

    @property
    def is_measured(self) -> bool:
        """Whether all its entries were looked at, together or one by one."""
        return self.first is not None or self.is_enumerated

    @property
    def is_enumerated(self) -> bool:
        """Whether every entry was measured by itself."""
        return len(self.sampled.ks) == self.parameter.size

    @property
    def is_explained(self) -> bool:
        """Whether no direction shows more than what was found."""
        if self.is_enumerated:
            return True
        return self.is_complete and self.rest is not None and not self.rest.is_clear

    @property
    def detectable(self) -> float:
        """The size of a single wrong entry that would all but certainly have been found."""
        if self.is_enumerated:
            return 0.0
        return math.inf if self.first is None else self.first.detectable

    @property
    def error(self) -> tuple[float, float]:
        """The square of the length of the gradient's error, and the spread of that."""
        if self.sketch:
            return self._estimated()[0]
        found = float(np.sum(np.square([change for change, _ in self._changes()])))
        if self.rest is None:
            return found, 0.0
        return found + min(abs(self.rest.value), self.rest.bar) ** 2, self.rest.bar**2

    @property
    def numerical_square(self) -> float:
        """The square of the length of the numerical gradient."""
        if self.sketch:
            return self._estimated()[1]
        return self.norm**2 + sum(
            numerical**2 - (numerical - change) ** 2 for change, numerical in self._changes()
        )

    def _estimated(self) -> tuple[tuple[float, float], float]:
        """Return the square of the error and its spread, and that of the numerical gradient.

        Along random directions the slope is that of the analytic gradient, times some factor, and
        a part that has nothing to do with it: E[(δᵀv)²] = ‖δ‖² for either.
        """
        off = np.array([residual.value for residual in self.sketch])
        said = np.array([residual.slope for residual in self.sketch]) - off
        information = float(said @ said)
        factor = float(off @ said) / information if information > 0 else 0.0
        n_free = len(off) - 1
        other = float(np.sum(np.square(off - factor * said))) / n_free
        uncertainty = math.sqrt(other / information) if information > 0 else 0.0
        square = self.norm**2
        spread = math.hypot(2 * factor * square * uncertainty, other * math.sqrt(2 / n_free))
        return (factor**2 * square + other, spread), (1 + factor) ** 2 * square + other

    def _changes(self) -> Iterator[tuple[float, float]]:
        """Yield the error of each wrong entry, and its numerical value."""
        return iter(self.sampled.changes.values())


@dataclass
class Scan:
    """What a scan found.

    Attributes
    ----------
    parameters : list of ParameterScan
        In the order of the parameters.
    """

    parameters: list[ParameterScan]

    @property
    def is_done(self) -> bool:
        """Whether every parameter was looked at."""
        return all(p.is_measured for p in self.parameters)

    @property
    def difference(self) -> tuple[float, float]:
        """The relative difference, estimated, and its spread."""
        return _difference(self.parameters)

    def difference_of(self, i: int) -> tuple[float, float]:
        """Return the same for one parameter."""
        return _difference(self.parameters[i : i + 1])


def _difference(parameters: Sequence[ParameterScan]) -> tuple[float, float]:
    measured = [p for p in parameters if p.is_measured]
    errors = [p.error for p in measured]
    square = sum(error for error, _ in errors)
    spread = math.sqrt(sum(uncertainty**2 for _, uncertainty in errors))
    numerical = math.sqrt(max(sum(p.numerical_square for p in measured), 0.0))
    scale = numerical + math.sqrt(sum(p.norm**2 for p in measured))
    if not scale > 0:
        return 0.0, 0.0
    length = math.sqrt(square)
    # d√x = dx / 2√x, but √dx where x is no more than that.
    uncertainty = spread / (2 * length) if square > spread else math.sqrt(spread)
    return length / scale, uncertainty / scale


def planned(pairing: Pairing) -> Scan:
    """Return a scan of which nothing is done yet."""
    pairs = zip(pairing.checked, pairing.gradients, strict=True)
    return Scan([_planned(parameter, gradient) for parameter, gradient in pairs])


def _planned(parameter: Parameter, gradient: Vector) -> ParameterScan:
    finite = np.isfinite(gradient)
    most = float(np.max(np.abs(gradient), initial=0.0, where=finite))
    length = float(np.linalg.norm(gradient if finite.all() else gradient[finite]))
    return ParameterScan(parameter, most, length)


def scan(found: Scan, cost: Cost, pairing: Pairing, *, seed: int, epsilon: float) -> None:
    """Look for everything wrong.

    Parameters
    ----------
    found : Scan
        What is filled: it holds what is known if this is interrupted.
    cost : Cost
        Entered as a context manager.
    pairing : Pairing
        What is to be looked at.
    seed : int
        Of the directions.
    epsilon : float
        The step of the differences by which entries are confirmed.
    """
    _Scanner(found, cost, pairing, seed, epsilon).run()


class _Scanner:
    def __init__(
        self, found: Scan, cost: Cost, pairing: Pairing, seed: int, epsilon: float
    ) -> None:
        self._cost = cost
        self._epsilon = epsilon
        self._all = [
            (each, Residuals(cost, gradient_under_test(pairing, i, cost), seed))
            for i, each in enumerate(found.parameters)
            if each.parameter.size
        ]

    def run(self) -> None:
        cost = self._cost
        cost.expected = cost.n_evaluations + 4 * len(self._all) + 4
        for each, residuals in self._all:
            self._look(each, residuals)
        for each, residuals in self._all:
            if each.first is not None and each.first.is_clear:
                self._locate(each, residuals, 0, each.first)
        for turn in range(1, TURNS + 1):
            if not self._bear_out(turn):
                break
        for each, residuals in self._all:
            if each.regions or not each.is_complete:
                self._sketch(each, residuals)

    def _look(self, each: ParameterScan, residuals: Residuals) -> None:
        """Look at a parameter as a whole."""
        odd = np.flatnonzero(~np.isfinite(residuals.analytic.gradient))
        if odd.size:
            self._sample(each, residuals, odd[:MOST_LISTED].tolist())
        if residuals.size <= FEW:
            self._sample(each, residuals, range(residuals.size))
        elif not odd.size > MOST_LISTED:
            each.first = each.rest = residuals.of_all(0)

    def _locate(
        self, each: ParameterScan, residuals: Residuals, turn: int, found: Residual
    ) -> None:
        search = Search(residuals, self._cost, each.sampled, turn, self._epsilon)
        location = search.run(found)
        each.regions += location.regions
        each.is_complete = location.is_complete
        each.rest = residuals.left_of(found)

    def _bear_out(self, turn: int) -> bool:
        """Look once more at everything that is explained; return whether something came up."""
        explained = [
            (each, residuals)
            for each, residuals in self._all
            if each.first is not None and each.is_complete and residuals.direction(turn).size
        ]
        if not explained:
            return False
        joint = joint_residual([residuals for _, residuals in explained], self._cost, turn)
        if not joint.is_clear:
            return False
        for each, residuals in explained:
            found = residuals.of_all(turn)
            each.rest = residuals.left_of(found)
            if each.rest.is_clear:
                self._locate(each, residuals, turn, found)
        return True

    def _sketch(self, each: ParameterScan, residuals: Residuals) -> None:
        """Estimate the size of an error that is not known entry by entry."""
        for turn in range(TURNS + 1, TURNS + 1 + SKETCH):
            each.sketch.append(residuals.sketched(turn))

    def _sample(self, each: ParameterScan, residuals: Residuals, ks: Sequence[int]) -> None:
        sample(residuals, self._cost, each.sampled, self._epsilon, list(ks))
