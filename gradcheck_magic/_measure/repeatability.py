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
# With so many random states, a mask of dropout changes for some entries.
DRAWS = 8
# A part of its error that the slope moves by chance; and by rounding, in units of J/ε.
MOVED_BY_CHANCE, MOVED_BY_ROUNDING = 0.1, 16.0


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
    if cost.is_noisy and comparison.verdict is Verdict.BUG:
        _require_steady_slopes(cost, pairing, judged, epsilon)


def _require_steady_slopes(
    cost: Cost, pairing: Pairing, judged: tuple[Comparison, MeasuredEntries], epsilon: float
) -> None:
    """Raise `InputError` if other random numbers move the slopes as far as the gradient is off.

    With dropout, a cost may vary little, and its slopes much: the gradient may be right for the
    random numbers with which it was computed.
    """
    comparison, measured = judged
    off = np.abs(measured.analytic - measured.numerical)
    off[~(comparison.wrong & np.isfinite(off))] = 0.0
    worst = np.argsort(-off, kind="stable")[:REPEATED]
    least = MOVED_BY_ROUNDING * np.finfo(np.float64).eps * cost.scale / epsilon
    for parameter, here, ks in measured.parts(pairing):
        rows = worst[(worst >= here.start) & (worst < here.stop) & (off[worst] > 0)]
        if not rows.size:
            continue
        batch = textbook_batch(cost, parameter, ks[rows - here.start].tolist(), epsilon)
        sides = cost.pairs_by_draw(batch, DRAWS)
        slopes = [difference_quotients(*each, epsilon) for each in sides]
        if slopes and np.any(
            np.ptp(slopes, axis=0) > np.maximum(MOVED_BY_CHANCE * off[rows], least)
        ):
            raise cost.is_random("has other slopes from call to call")


def _doubtful(cost: Cost, measured: MeasuredEntries, epsilon: float) -> NDArray[np.intp]:
    """Return the entries for which the textbook's step misled most.

    The slope, known from other steps, tells how far this one should move J. If it moved J
    elsewhere, by more than two values at the same parameters may differ, that may be chance.
    """
    astray = epsilon * np.abs(measured.textbook - measured.numerical)
    astray[np.isnan(astray)] = np.inf
    found = np.flatnonzero(astray > cost.repeatable)
    return found[np.argsort(-astray[found], kind="stable")][:REPEATED]
