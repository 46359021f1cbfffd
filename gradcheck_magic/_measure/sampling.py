"""Entries of a parameter that a scan measures individually, and the regions they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.directions import Box, box_size, contains
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.refine import measure_parameter, planned_entries
from gradcheck_magic._measure.residuals import Residuals
from gradcheck_magic._result.parameter_check import WrongRegion

__all__ = ["DENSE", "Sampled", "Sampler", "region_of"]

# The number of entries that are measured where only single entries can tell.
ANYWHERE = 16
# If one of this many entries in a sample is wrong, it is a region in which many are.
DENSE = 4


def region_of(parameter: Parameter, box: Box, n_wrong: int, n_tried: int) -> WrongRegion:
    """Return a box with too many wrong entries to list: so many of those that were tried."""
    sides = [
        ":"
        if (start, stop) == (0, length)
        else str(start)
        if stop - start == 1
        else f"{start}:{stop}"
        for (start, stop), length in zip(box, parameter.shape, strict=True)
    ]
    index = "" if set(sides) == {":"} else f"[{', '.join(sides)}]"
    return WrongRegion(f"{parameter.name}{index}", box_size(box), n_wrong, n_tried, box)


@dataclass
class Sampled:
    """The entries of one parameter that were measured individually, and what follows from them.

    Attributes
    ----------
    ks : list of int
        The positions of these entries in the parameter, in C order; `batches` are their tables.
    wrong : set of int
        The positions of those that are wrong.
    blank : set of int
        The positions of those that have no gradient, right or wrong: these tell nothing.
    changes : dict
        For each entry that is off by more than its error bar: its error, its numerical value, and
        the error bar.
    regions : list of WrongRegion
        The regions with too many wrong entries to list.
    """

    ks: list[int] = field(default_factory=list)
    batches: list[MeasuredEntries] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    blank: set[int] = field(default_factory=set)
    changes: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    regions: list[WrongRegion] = field(default_factory=list)

    def judge(self, batch: MeasuredEntries, ks: Sequence[int]) -> None:
        """Note which of the first entries of a batch are wrong, or tell nothing."""
        is_off = batch.is_off
        for i, k in enumerate(ks):
            analytic, numerical = float(batch.analytic[i]), float(batch.numerical[i])
            off, bar = abs(analytic - numerical), float(batch.uncertainty[i])
            if analytic == 0 and abs(numerical) <= bar:
                self.blank.add(k)
            if is_off[i] or not math.isfinite(analytic):
                self.wrong.add(k)
            if off > bar:
                self.changes[k] = (numerical - analytic, numerical, bar)

    def judge_again(self, parameter: Parameter) -> None:
        """Judge all entries again; a region in which none is wrong any more is no region."""
        self.wrong, self.blank, self.changes, start = set(), set(), {}, 0
        for batch in self.batches:
            stop = start + int(batch.is_measured.sum())
            self.judge(batch, self.ks[start:stop])
            start = stop
        told = {k: parameter.index(k) for k in self.ks if k not in self.blank}
        inside = [(r, [k for k, i in told.items() if contains(r.box, i)]) for r in self.regions]
        counted = [(r.box, len(self.wrong & set(ks)), len(ks)) for r, ks in inside]
        self.regions = [region_of(parameter, *counts) for counts in counted if counts[1]]


class Sampler:
    """Measures entries of one parameter individually, each once, into a table of the sampled ones.

    The residuals of the parameter are corrected for every entry measured.
    """

    def __init__(self, residuals: Residuals, cost: Cost, sampled: Sampled, epsilon: float) -> None:
        self.residuals = residuals
        self.size = residuals.parameter.size
        self.sampled = sampled
        self._cost = cost
        self._epsilon = epsilon

    def sample(self, ks: Sequence[int], aim: float = math.inf) -> None:
        """Measure those of some entries that have not been measured yet.

        Each should have an error bar of at most `aim`, if that is possible.
        """
        known = set(self.sampled.ks)
        ks = sorted({k for k in ks if k not in known})
        if not ks:
            return
        batch = planned_entries(self.residuals.analytic, ks)
        self.sampled.batches.append(batch)
        try:
            parameter = self.residuals.parameter
            measure_parameter(batch, self._cost, parameter, self._epsilon, ks, aim=aim)
        finally:
            ks = ks[: int(batch.is_measured.sum())]
            self.sampled.ks += ks
            self.sampled.judge(batch, ks)
            for k, numerical, bar in zip(ks, batch.numerical, batch.uncertainty, strict=False):
                self.residuals.correct(k, float(numerical), float(bar))

    def sample_anywhere(self) -> None:
        """Measure a few entries from anywhere, and report the parameter if many of them are wrong.

        Half of them are not zero, since zero is where kinks are most often; the others have a
        gradient. Where all entries are alike in that, they are drawn from all.
        """
        random, (theta, gradient) = np.random.default_rng(0), self.residuals.values
        chosen: set[int] = set()
        for values in (theta, gradient):
            telling = np.flatnonzero(values)
            ks = telling if len(telling) else np.arange(self.size)
            chosen.update(random.choice(ks, min(ANYWHERE // 2, len(ks)), replace=False).tolist())
        self.sample(sorted(chosen))
        n_wrong, parameter = len(self.sampled.wrong), self.residuals.parameter
        if DENSE * n_wrong >= len(chosen):
            whole = tuple((0, length) for length in parameter.shape)
            n_tried = len(self.sampled.ks) - len(self.sampled.blank)
            self.sampled.regions.append(region_of(parameter, whole, n_wrong, n_tried))
