"""A cause that was found, and the case in which causes are searched for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._diagnosis.layers import Layers
from gradcheck_magic._diagnosis.mismatch import TOLERANCE, Mismatch, Sample
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._diagnosis.phrases import are, digits, gradients
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.cause import Cause, Details
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._wording import listed

__all__ = [
    "ANY_NUMBER",
    "FLAT_SPREAD",
    "TELLING_ENTRIES",
    "Case",
    "Finding",
    "is_same",
]

Vector = NDArray[np.float64]

# One entry is always a multiple of another. Two may be as well, whatever is wrong: the scores of
# two classes have opposite gradients, correct or wrong.
TELLING_ENTRIES = 2
ANY_NUMBER = 3
# An error bar this small is needed to say that the measured value is exactly zero.
FLAT_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class Finding:
    """A cause, and the parameters that it explains.

    Each kind of finding is a subclass, whose own fields are the evidence.

    Attributes
    ----------
    mismatches : tuple of Mismatch
        The parameters that it explains.
    firm : bool
        True if the cause explains every entry. If False, it only says where these parameters are
        wrong, and an error earlier in the backward pass may explain more.
    """

    cause: ClassVar[Cause]
    # True if it only says that a gradient is wrong, and so is the first thing to be replaced.
    is_open: ClassVar[bool] = False

    mismatches: tuple[Mismatch, ...]
    firm: bool = field(default=True, kw_only=True)

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Finding | None:
        """Return a finding if this cause explains the gradient of one parameter."""
        raise NotImplementedError

    @classmethod
    def each(cls, case: Case) -> list[Finding]:
        """Return what this cause explains of the open parameters, each by itself."""
        found = (cls.recognise(mismatch, case) for mismatch in case.open)
        return [finding for finding in found if finding is not None]

    def sentence(self, case: Case) -> str:
        """Return what the gradient is, in numbers, and where to look."""
        raise NotImplementedError

    @property
    def details(self) -> Details:
        """The evidence as a dict, without fields that have their default."""
        own = fields(self)[len(fields(Finding)) :]
        return {f.name: value for f in own if (value := getattr(self, f.name)) != f.default}

    def without(self, explained: Collection[Mismatch]) -> Self:
        """Return the finding for the other parameters, if another one explains some better."""
        return replace(self, mismatches=tuple(m for m in self.mismatches if m not in explained))

    def joined(self, other: Finding) -> Finding | None:  # noqa: ARG002 (by some causes only)
        """Return the finding with the evidence of another one, if the same number explains both."""
        return None

    def is_doubtful(self, case: Case) -> bool:  # noqa: ARG002 (by some causes only)
        """Return True if the gradient may rather be correct for another point or cost."""
        return not self.firm

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True if an error closer to the output may look like this."""
        return self.is_doubtful(case)

    @property
    def gradients(self) -> str:
        """The names of the gradients."""
        return gradients(self.mismatches)

    @property
    def are(self) -> str:
        """The verb that goes with their names."""
        return are(self.mismatches)

    @property
    def names(self) -> str:
        """The names of the parameters."""
        return listed(mismatch.name for mismatch in self.mismatches)

    @property
    def extent(self) -> str:
        """The number of entries in which it holds, and of digits.

        Entries in which both gradients are zero do not count: any factor relates them.
        """
        sample = Sample.pooled(mismatch.sample for mismatch in self.mismatches)
        zero = (sample.analytic == 0) & (sample.numerical == 0)
        told = int((sample.stands_out & ~zero).sum())
        if not told:
            return "as far as the error bars can tell"
        kinds = ((len(sample), ""), (sample.known.sum(), "measured "), ((~zero).sum(), "nonzero "))
        which = next((kind for n, kind in kinds if n == told), None)
        clear = " clearly larger than their error bars" if which is None else ""
        some = f"all {told:,} {which or ''}entries" if told > 1 else f"the only {which or ''}entry"
        return f"in {some}{clear}{digits(sample)}"


def is_same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return True if two numbers, each with its uncertainty, may be the same."""
    apart, widths = abs(one[0] - other[0]), one[1] + other[1]
    return bool(apart <= 2 * widths + TOLERANCE * abs(one[0]))


@dataclass(frozen=True, eq=False)
class Case:
    """A wrong gradient: all that can be asked about it, and what was found so far.

    Attributes
    ----------
    mismatches : tuple of Mismatch
        All parameters, correct or wrong.
    layers : Layers
        The same in the order of the network.
    cost : Cost, optional
        The cost, already entered; None if it must not be called.
    earlier : GradientCheck, optional
        The check before this one, if it measured the same parameters.
    findings : tuple of Finding
        What was found so far, in the order of the parameters.
    before : ndarray, optional
        θ before the cell that makes the check, if the cell has changed it.
    """

    pairing: Pairing
    mismatches: tuple[Mismatch, ...]
    layers: Layers
    numbers: NotebookNumbers
    cost_name: str
    cost: Cost | None = None
    earlier: GradientCheck | None = None
    findings: tuple[Finding, ...] = ()
    before: Vector | None = None

    def with_findings(self, new: Sequence[Finding]) -> Case:
        """Return the case with new findings, in place of older ones about the same parameters."""
        if not new:
            return self
        explained = {m for finding in new for m in finding.mismatches}
        kept = (finding.without(explained) for finding in self.findings)
        findings = [*(finding for finding in kept if finding.mismatches), *new]
        findings.sort(key=lambda finding: self.order[finding.mismatches[0]])
        return replace(self, findings=tuple(findings))

    @cached_property
    def order(self) -> dict[Mismatch, int]:
        """The position of each parameter."""
        return {mismatch: k for k, mismatch in enumerate(self.mismatches)}

    @cached_property
    def right_lengths(self) -> set[int]:
        """The lengths of the axes of all matrices whose gradient is correct."""
        right = (m for m in self.mismatches if len(m.squeezed) > 1 and m.is_right)
        return {length for m in right for length in m.squeezed}

    @property
    def open(self) -> tuple[Mismatch, ...]:
        """The wrong parameters of which no cause is known yet."""
        return tuple(f.mismatches[0] for f in self.findings if f.is_open)

    @property
    def pool(self) -> Sample | None:
        """The entries of all wrong parameters, if no cause is known yet.

        Gradients that are zero or not finite are recognised in each parameter by itself.
        """
        if not self.open or any(m.is_zero or not m.is_finite for m in self.open):
            return None
        return Sample.pooled(m.sample for m in self.open)

    @property
    def doubtful(self) -> list[Finding]:
        """The findings that a gradient of another point or cost would explain better."""
        found = [f for f in self.findings if f.is_doubtful(self)]
        if not any(m.is_bug for f in found for m in f.mismatches):
            return []
        if all(f.firm for f in found):
            return found
        # A cost that is flat now may not have been flat before an update.
        ignored = Cause.COST_IGNORES_PARAMETERS
        return found + [f for f in self.findings if f.cause is ignored]

    @property
    def fitting(self) -> tuple[Mismatch, ...]:
        """The parameters whose gradient would have to fit there.

        There are none if nothing is doubtful, or if some are known only in part.
        """
        doubtful = set(self.doubtful)
        kept = {m for f in self.findings if f not in doubtful for m in f.mismatches}
        fitting = tuple(m for m in self.mismatches if m not in kept)
        return fitting if doubtful and all(m.is_whole for m in fitting) else ()

    @cached_property
    def theta(self) -> Vector:
        """The parameters as one vector."""
        return self.pairing.parameters.theta().astype(np.float64, copy=False)
