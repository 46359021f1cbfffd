"""What is wrong, if a solver that stops early may have a part in it.

A solver leaves small errors in every parameter. They may be all there is, so that nothing is wrong;
or they hide a cause, which then does not fit to all digits, beside parameters that seem to be wrong
for no reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import chain
from typing import NamedTuple

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._measure.jumps import SMALL_BESIDE, TINY
from gradcheck_magic._measure.measurement import Judged, Measurement
from gradcheck_magic._result.cause import Cause, Diagnosis
from gradcheck_magic._result.verdict import Verdict

__all__ = ["reconsidered"]

Diagnoses = tuple[Diagnosis, ...]

# What is said of a gradient without a simple cause; causes that only say where it is wrong, and
# those that say what each of its values is.
WITHOUT_CAUSE, SAYS_WHERE = {Cause.UNKNOWN, Cause.UPSTREAM}, {Cause.ENTRIES, Cause.SLICE}
SAYS_WHAT = {Cause.SIGN, Cause.SCALE, Cause.ZERO, Cause.TRANSPOSED, Cause.SWAPPED}
# Parts of the largest entry that are slight: more than tiny, and less than small.
SLIGHT = (1e-3, 3e-3, 1e-2)


def reconsidered(
    measurement: Measurement,
    cost: Cost,
    diagnosed: Callable[..., Diagnoses],
    judged: Judged,
    found: Diagnoses,
) -> tuple[Judged, Diagnoses]:
    """Return what is wrong, and why, given what seems to be."""
    if not measurement.is_of_one:
        return judged, found
    causes = {d.cause for d in found}
    if causes == {Cause.UNKNOWN} and measurement.jumps.may_be_far:
        return measurement.judged(cost, is_slight=True), ()
    is_open = bool(causes) and causes <= WITHOUT_CAUSE
    if is_open and (measurement.agrees_from_afar(cost) or measurement.jumps_explain_all(cost)):
        return measurement.judged(cost), ()
    if measurement.scan is None and causes & WITHOUT_CAUSE:
        return _beside(_Again(measurement, cost, diagnosed), judged, found)
    return judged, found


class _Again(NamedTuple):
    """What can be measured and diagnosed once more."""

    measurement: Measurement
    cost: Cost
    diagnosed: Callable[..., Diagnoses]

    def without(self, blur: float) -> tuple[Judged, Diagnoses]:
        """Return what is wrong beyond a part of the largest entries, and why, at no expense."""
        judged = self.measurement.judged(self.cost, blur=blur)
        return judged, self.diagnosed(*judged, evaluate=False, until=self.cost.deadline)

    def whole(self, judged: Judged) -> tuple[Judged, Diagnoses]:
        """Return what is wrong, and why, with all that the cost can tell."""
        return judged, self.diagnosed(*judged, until=self.cost.deadline)


def _beside(again: _Again, judged: Judged, found: Diagnoses) -> tuple[Judged, Diagnoses]:
    """Return what is wrong, and why, apart from the errors that a solver leaves.

    A cause that leaves nothing but tiny errors is taken, and so is one without a fitted number that
    leaves slight ones, if no parameter is right: a solver spares none. For small errors, J must
    have jumps.
    """
    nearly, known = again.without(TINY)
    parameters = [each.verdict for each in judged[0].parameters if each.size]
    if len(parameters) > 1 and set(parameters) <= {Verdict.BUG, Verdict.INSPECT}:
        for rough, told in chain([(nearly, known)], map(again.without, SLIGHT)):
            if _are_exact(told, len(parameters)):
                return again.whole(rough)
    if known and not _names(known, WITHOUT_CAUSE):
        return again.whole(nearly)
    rough, told = again.without(SMALL_BESIDE)
    is_simple = bool(told) and not _names(told, WITHOUT_CAUSE | SAYS_WHERE)
    is_less = set() < _names(told) < _names(found)
    is_nearly_right = again.measurement.is_nearly_right
    if not ((is_simple or is_less) and again.measurement.finds_jumps(again.cost)):
        return (nearly, known) if _explain_more(known, found) else (judged, found)
    judged, found = again.whole(again.measurement.judged(again.cost))
    # Jumps may hide what is wrong, or tell too little of what a solver leaves; but they may be all
    # there is.
    is_worse = is_simple and bool(_names(found, WITHOUT_CAUSE))
    is_more = not _names(told, WITHOUT_CAUSE) and bool(_names(found) - _names(told))
    is_hidden = judged[0].verdict is not Verdict.BUG and (is_simple or not is_nearly_right)
    if is_hidden or is_worse or is_more:
        return rough, told
    return judged, found


def _names(found: Diagnoses, causes: Collection[Cause] = frozenset(Cause)) -> set[str]:
    """Return the names of the parameters that have one of some causes."""
    return {name for d in found if d.cause in causes for name in d.names}


def _are_exact(told: Diagnoses, n_parameters: int) -> bool:
    """Return True for causes that say what each value is, with a factor that is no mere number.

    What all parameters share may be another mistake, at the start of the backward pass, which is
    nearly a factor.
    """
    factors = [abs(float(d.details.get("factor", 1.0))) for d in told]
    wholes = [max(factor, 1 / factor) for factor in factors if factor]
    are_whole = all(math.isclose(whole, round(whole)) for whole in wholes)
    is_shared = len(_names(told, SAYS_WHAT - {Cause.SWAPPED})) == n_parameters
    return bool(told) and {d.cause for d in told} <= SAYS_WHAT and are_whole and not is_shared


def _explain_more(told: Diagnoses, found: Diagnoses) -> bool:
    """Return True if fewer parameters have no cause, or not even a place, than was found."""
    kinds = WITHOUT_CAUSE, {Cause.UNKNOWN}
    now, before = ([_names(each, causes) for causes in kinds] for each in (told, found))
    return bool(told) and now != before and all(map(set.issubset, now, before))
