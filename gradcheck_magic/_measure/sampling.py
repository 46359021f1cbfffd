"""Entries of a parameter that are measured by themselves in a scan, and what they speak for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box
from gradcheck_magic._measure.central_differences import CLEAR, CentralDifferences
from gradcheck_magic._measure.refine import measure_parameter
from gradcheck_magic._measure.residuals import Residuals

__all__ = ["Region", "Sampled", "Sampler"]


class Region(NamedTuple):
    """A box in which entries are wrong, too many to be enumerated.

    Attributes
    ----------
    box : Box
        Where.
    n_wrong, n_tried : int
        How many of the entries in it that were measured are wrong, and how many were.
    """

    box: Box
    n_wrong: int
    n_tried: int


@dataclass
class Sampled:
    """Entries of one parameter that were measured by themselves, and what they speak for.

    Attributes
    ----------
    ks : list of int
        Which, as they count in C order.
    batches : list of CentralDifferences
        What was measured, batch by batch.
    wrong : set of int
        Which of them are wrong.
    blank : set of int
        Which have no gradient, right or wrong: they tell nothing.
    changes : dict
        The error of each that is off by more than its error bar, and its numerical value.
    regions : list of Region
        Where there are too many of them.
    """

    ks: list[int] = field(default_factory=list)
    batches: list[CentralDifferences] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    blank: set[int] = field(default_factory=set)
    changes: dict[int, tuple[float, float]] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)


class Sampler:
    """Measures entries of one parameter by themselves, each once.

    Parameters
    ----------
    residuals : Residuals
        Of the parameter: what is measured is mended in them.
    cost : Cost
        Entered as a context manager.
    sampled : Sampled
        Takes what is measured.
    epsilon : float
        The step of the textbook's differences.
    """

    def __init__(self, residuals: Residuals, cost: Cost, sampled: Sampled, epsilon: float) -> None:
        self.residuals = residuals
        self.sampled = sampled
        self._cost = cost
        self._epsilon = epsilon

    def sample(self, ks: Sequence[int], aim: float = math.inf) -> None:
        """Measure some entries, those that have not been.

        Parameters
        ----------
        aim : float
            The error bar that each is to have at most, if that can be had.
        """
        known = set(self.sampled.ks)
        ks = sorted({k for k in ks if k not in known})
        if not ks:
            return
        batch = CentralDifferences.planned(len(ks), self._epsilon)
        try:
            measure_parameter(batch, self._cost, self.residuals.analytic, ks, aim=aim)
        finally:
            self.sampled.batches.append(batch)
            self.sampled.ks += ks[: batch.n_measured]
            self._judge(batch, ks)

    def _judge(self, batch: CentralDifferences, ks: Sequence[int]) -> None:
        gradient = self.residuals.analytic.gradient
        for i in range(batch.n_settled):
            k, numerical, bar = ks[i], float(batch.numerical[i]), float(batch.uncertainty[i])
            self.residuals.correct(k, numerical, bar)
            off = abs(float(gradient[k]) - numerical)
            if gradient[k] == 0 and abs(numerical) <= bar:
                self.sampled.blank.add(k)
            is_wrong = off > CLEAR * (bar + float(batch.rounding[i])) and not batch.disputed[i]
            if is_wrong or not math.isfinite(gradient[k]):
                self.sampled.wrong.add(k)
            if off > bar:
                self.sampled.changes[k] = (numerical - float(gradient[k]), numerical)
