"""The choice between measuring every entry and a scan, and the measurement itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import Pairing, Piece
from gradcheck_magic._inputs.precision import DOUBLE
from gradcheck_magic._inputs.request import Mode
from gradcheck_magic._measure.central_differences import TEXTBOOK_STEPS
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION, Comparison, compare
from gradcheck_magic._measure.half_precision import allow_for_half
from gradcheck_magic._measure.jumps import (
    Jumps,
    agree_from_afar,
    allow_for_jumps,
    are_nearly_right,
    jumps_that_explain,
)
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.meeting_kinks import part_kinks
from gradcheck_magic._measure.refine import measure
from gradcheck_magic._measure.repeatability import require_repeatable
from gradcheck_magic._measure.scan import Scan, Scanner, planned_scan
from gradcheck_magic._measure.together import Together, wrong_together
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import duration, some_were

__all__ = ["FULL_LIMIT", "Judged", "Measurement"]

# The judgement of a gradient, and what it was judged by.
Judged = tuple[Comparison, MeasuredEntries]

# The longest time that a full check may be expected to take, in seconds; a scan is made otherwise.
FULL_LIMIT = 20.0
# The number of evaluations that a scan usually takes, apart from its first 4 for each parameter.
USUAL_EVALUATIONS = 30
# A full check that was expected to take longer than this, in seconds, mentions the quicker scan.
LONG = 5.0


class Measurement:
    """The measurement of a gradient, as far as it got.

    Parameters
    ----------
    epsilon : float, optional
        The step of the textbook differences; by default it suits the precision.
    mode : {"auto", "full", "scan"}
        The mode asked for.

    Attributes
    ----------
    epsilon : float
        The step of the textbook differences, final once `choose` was called.
    choice : str
        A sentence that says why this mode was chosen and how to choose the other; empty if the user
        chose, or if a full check takes next to no time.
    jumps : Jumps
        The jumps of J that were found, if small errors made it worthwhile to look for them.
    is_right_from_afar : bool
        True if J has over long distances the slope that the gradient says, but not near θ.
    is_rounded : bool
        True if entries of a gradient in half precision are off by no more than it changes near θ.
    tables : list of MeasuredEntries
        What was measured in full, table by table.
    together : dict
        The parameters, by name, that only their entries together prove to be wrong.
    scan : Scan or None
        The findings of the scan, in that mode.
    pairing : Pairing
        What was measured.
    told : Pairing
        The same as it is told: for a flat θ, in the pieces that the cost reads.
    """

    # False if it is the Jacobian of many numbers: there is no J by which a cause can be tested.
    is_of_one = True

    def __init__(self, pairing: Pairing, epsilon: float | None, mode: Mode) -> None:
        self.epsilon = TEXTBOOK_STEPS[DOUBLE] if epsilon is None else epsilon
        self.choice = ""
        self.jumps = Jumps()
        self.is_right_from_afar = self.is_rounded = False
        self.together: dict[str, Together] = {}
        self.scan: Scan | None = planned_scan(pairing) if mode == "scan" else None
        self._requested_mode = mode
        self.pairing = self.told = pairing
        self._epsilon_is_given = epsilon is not None
        self.tables: list[MeasuredEntries] = []

    @property
    def mode(self) -> Literal["full", "scan"]:
        """The way the gradient is measured."""
        return "full" if self.scan is None else "scan"

    @property
    def expected(self) -> int:
        """The number of evaluations to expect before the mode is chosen; for "auto", the fewer."""
        usual = USUAL_EVALUATIONS + 4 * len(self.pairing.checked)
        full = 2 * self.pairing.size
        return full if self._requested_mode == "full" else min(full, usual)

    def choose(self, cost: Cost, budget: float | None) -> None:
        """Choose between a full check and a scan, with a budget in seconds."""
        if not self._epsilon_is_given:
            self.epsilon = TEXTBOOK_STEPS[cost.bits]
        if self._requested_mode != "auto":
            return
        n_evaluations = 2 * self.pairing.size
        expected = n_evaluations * cost.seconds_each
        limit = FULL_LIMIT if budget is None else budget
        if expected > limit:
            self.scan = planned_scan(self.pairing)
            self.choice = (
                f"This is a scan: measuring all {self.pairing.size:,} entries would take "
                f"{n_evaluations:,} evaluations, about {duration(expected)}, and the limit is "
                f'{limit:.2g} s. To measure them all, use --mode full (in Python, mode="full").'
            )
        elif expected > LONG:
            self.choice = (
                f"Every entry was measured, which was expected to take {duration(expected)} (the "
                f"limit was {limit:.2g} s). A scan is faster: use --mode scan (in Python, "
                'mode="scan").'
            )

    def run(self, cost: Cost, seed: int) -> None:
        """Measure the gradient in the chosen mode."""
        if self.scan is None:
            measure(self.tables, cost, self.pairing, self.epsilon)
        else:
            Scanner(self.scan, cost, self.pairing, seed, self.epsilon).run()
        tables = self.tables if self.scan is None else self.scan.batches
        self.is_rounded = allow_for_half(tables, cost, self.pairing)
        part_kinks(tables, cost, self.pairing)
        self.jumps = allow_for_jumps(tables, cost, self.pairing)
        if self.scan is not None:
            self.scan.judge_again()

    def settled(self, cost: Cost) -> Judged:
        """Judge the gradient; what chance may have had a part in is evaluated again before.

        An `InputError` is raised if the cost is not repeatable.
        """
        judged = self.judged(cost)
        require_repeatable(cost, self.pairing, judged, self.epsilon, self.scan)
        return self._taken_together(cost, judged)

    def _taken_together(self, cost: Cost, judged: Judged) -> Judged:
        """Look for errors that are too badly known to be seen one by one; return what is wrong."""
        comparison, measured = judged
        # Jumps, kinks that meet, and rounding change the slope along a line more than that of an
        # entry.
        meeting = bool(np.any(measured.kinked & measured.disputed))
        is_blurred = self.jumps.drift or meeting or self.is_rounded
        if self.scan is None and comparison.verdict is Verdict.INCONCLUSIVE and not is_blurred:
            self.together = wrong_together(measured, comparison.unknown, cost, self.pairing)
        return self.judged(cost) if self.together else judged

    def tell_in(self, pieces: Sequence[Piece], judged: Judged) -> Judged:
        """From now on, tell of a flat θ in pieces, unless it was judged as a whole."""
        if not pieces or self.scan is not None or self.together:
            return judged
        self.told = self.pairing.in_pieces(pieces)
        return self._in_told(*judged)

    def _in_told(self, comparison: Comparison, measured: MeasuredEntries) -> Judged:
        is_whole = self.told is self.pairing
        return comparison if is_whole else comparison.in_pieces(self.told, measured), measured

    def finds_jumps(self, cost: Cost) -> bool:
        """Search J for jumps, whatever the errors are; return True if it has some.

        The error bars then allow for them.
        """
        if self.scan is None and not self.jumps.height:
            self.jumps = allow_for_jumps(self.tables, cost, self.pairing, anyway=True)
        return self.jumps.height > 0

    @property
    def is_nearly_right(self) -> bool:
        """True if no error is large beside its gradient: a solver may have caused them."""
        return are_nearly_right(self.tables, self.pairing)

    def jumps_explain_all(self, cost: Cost) -> bool:
        """Return True if jumps may cause all errors, and none is large; the bars allow for it."""
        if self.scan is not None or self.jumps.none_along_all:
            return False
        jumps = jumps_that_explain(self.tables, cost, self.pairing)
        if jumps.drift:
            self.jumps = jumps
        return jumps.drift > 0

    def agrees_from_afar(self, cost: Cost) -> bool:
        """Return True if J may have no errors over long distances; then they are disputed."""
        if self.scan is not None and not self.jumps.drift:
            return False
        tables = self.tables if self.scan is None else self.scan.batches
        agrees = agree_from_afar(tables, cost, self.pairing, self.jumps)
        self.is_right_from_afar = agrees and not self.jumps.drift
        return agrees

    def judged(self, cost: Cost, *, is_slight: bool = False, blur: float = 0.0) -> Judged:
        """Judge the analytic gradient by what was measured, as far as that got.

        The error bars are at least a `blur` times the largest entry of each parameter.
        """
        measured = self._measured.blurred(blur, self.pairing) if blur else self._measured
        tolerance = SINGLE_PRECISION if cost.is_single else DOUBLE_PRECISION
        known = self.scan, self.together
        comparison = compare(self.pairing, measured, tolerance, *known, is_slight=is_slight)
        return self._in_told(comparison, measured)

    @property
    def _measured(self) -> MeasuredEntries:
        return MeasuredEntries.joined(self.tables if self.scan is None else self.scan.batches)

    @property
    def is_done(self) -> bool:
        """True if everything was measured."""
        if self.scan is None:
            return sum(table.n_settled for table in self.tables) == self.pairing.size
        return self.scan.is_done

    @property
    def so_far(self) -> str:
        """A sentence that says how far the measurement got."""
        if self.scan is None:
            n_measured = sum(int(table.is_measured.sum()) for table in self.tables)
            measured = some_were(n_measured, self.pairing.size, "entries")
            return f"{measured} measured."
        looked_at = sum(each.is_measured for each in self.scan.parameters)
        total = len(self.scan.parameters)
        text = f"{some_were(looked_at, total, 'parameters')} looked at"
        if looked_at < total:
            return f"{text}."
        if all(each.is_explained for each in self.scan.parameters):
            return f"{text}, but not all of them once more together."
        return f"{text}, but the search for the wrong entries in them was not finished."
