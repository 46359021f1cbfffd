"""Whether a measurement can be repeated, or shows nothing but chance.

A random cost, such as one with dropout, may return the same value twice at θ. It gives itself away
where it was measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import require_unchanged
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.central_differences import difference_quotients, textbook_batch
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.scan import Scan
from gradcheck_magic._result.verdict import Verdict

__all__ = ["require_repeatable"]

# The most entries that are evaluated again.
REPEATED = 3


def require_repeatable(
    cost: Cost,
    pairing: Pairing,
    judged: tuple[Comparison, MeasuredEntries],
    epsilon: float,
    scan: Scan | None,
) -> None:
    """Evaluate again what chance may have had a part in; usually this is nothing.

    Raises
    ------
    InputError
        If the cost now returns other values than before.
    """
    comparison, measured = judged
    # The diagnosis puts the argument back, as it moves all of it.
    require_unchanged(cost.name, cost.own.binding)
    doubtful = _doubtful(cost, measured, epsilon)
    for parameter, here, ks in measured.parts(pairing):
        rows = doubtful[(doubtful >= here.start) & (doubtful < here.stop)]
        batch = textbook_batch(cost, parameter, ks[rows - here.start].tolist(), epsilon)
        again = difference_quotients(*cost.pairs(cost.own, batch), epsilon)
        cost.require_same(epsilon * measured.textbook[rows], epsilon * again)
    if scan and comparison.verdict in {Verdict.BUG, Verdict.INSPECT}:
        cost.require_same_here()


def _doubtful(cost: Cost, measured: MeasuredEntries, epsilon: float) -> NDArray[np.intp]:
    """Return the entries for which the textbook's step misled most.

    The slope, known from other steps, tells how far this one should move J. If it moved J
    elsewhere, by more than two values at the same parameters may differ, that may be chance.
    """
    astray = epsilon * np.abs(measured.textbook - measured.numerical)
    astray[np.isnan(astray)] = np.inf
    found = np.flatnonzero(astray > cost.repeatable)
    return found[np.argsort(-astray[found], kind="stable")][:REPEATED]
