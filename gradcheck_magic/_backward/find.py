"""Finds the statement of the backward pass that is wrong: the entrance to this room."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcheck_magic._backward.blame import suspicions
from gradcheck_magic._backward.bound import Bound
from gradcheck_magic._backward.forward import ForwardPass
from gradcheck_magic._backward.layouts import Layout, layouts_of
from gradcheck_magic._backward.match import Backward
from gradcheck_magic._backward.nodes import Node
from gradcheck_magic._backward.returned import judge_returned
from gradcheck_magic._backward.statements import Statement
from gradcheck_magic._backward.suspicion import Suspicion
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.interrupt import comes_from_handler
from gradcheck_magic._diagnosis.phrases import signed
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._result.backward_pass import BackwardPass, Fault, Line, Step
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._wording import listed, printable, shortened

__all__ = ["FAILED", "Recording", "backward_pass"]

# It may take as long as the check before it, but at least this long, in seconds; and longer, if it
# was asked for.
LEAST_TIME, TIME_IF_ASKED = 8.0, 30.0
NOT_COMPUTED = (
    "The cell does not compute the gradients: if the code that does is put into it, "
    "the statement that is wrong can be named."
)
# The note about a mistake of our own begins like this.
FAILED = "To find the statement that is wrong has failed"
# A sentence names at most this many gradients that are right.
MOST_INPUTS = 3
# A statement is shown with at most this many characters.
LONGEST_STATEMENT = 160


@dataclass(frozen=True, eq=False)
class Recording:
    """What some code has bound while it ran.

    Attributes
    ----------
    bound : sequence of Bound
        The values.
    obstacle : str
        Why not everything was recorded; empty if it was.
    """

    bound: Sequence[Bound]
    obstacle: str = ""


def backward_pass(
    check: GradientCheck,
    pairing: Pairing,
    cost: Cost,
    recordings: Sequence[Callable[[], Recording | None]],
    place: Callable[[str], str] | None = None,
    *,
    is_asked: bool = False,
) -> BackwardPass | None:
    """Return the backward pass with what is wrong in it; None if none was seen.

    Parameters
    ----------
    recordings : sequence of callable
        The ways to a recording of it, the best first. If none has the gradients under test, they
        may be computed by the cost itself.
    place : callable, optional
        What to call a file, given the name that Python has for it.
    is_asked : bool
        True if the user has asked for it.
    """
    recorded = [recording for get in recordings if (recording := get()) is not None]
    if not (recorded or cost.returns_more):
        return None
    n_before = cost.n_evaluations
    least = TIME_IF_ASKED if is_asked else LEAST_TIME
    until = min(cost.deadline, time.perf_counter() + max(least, check.seconds))
    forward = ForwardPass(cost, until, pieces=pairing.parameters.leaves)
    # The user need not hear about an overflow in our own arithmetic.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forward.follow()
        recorded.append(Recording(forward.bound))
        found_in, notes = _with_gradients(recorded, forward, layouts_of(check, pairing))
        if found_in is None:
            # What other libraries compute is not followed.
            is_numpy = all(parameter.library is None for parameter in pairing.checked)
            is_elsewhere = len(recorded) > 1 and is_numpy and bool(check.wrong.any())
            notes += [NOT_COMPUTED] if is_elsewhere and not notes else []
            n_evaluations = cost.n_evaluations - n_before
            return BackwardPass((), (), n_evaluations, tuple(notes)) if notes else None
        backward, (check, pairing, told) = found_in
        found: list[Suspicion] = []
        try:
            backward.match(check)
            is_of_cost = not check.wrong.any() or judge_returned(backward, check)
            is_judged = is_of_cost and not forward.is_late
            judged = suspicions(backward, check, pairing) if is_judged else []
            found = [suspicion for suspicion in judged if suspicion.statements[0].line]
        except Exception as error:
            # The verdict stands, whatever happens here.
            if comes_from_handler(error):
                raise
            notes.append(f"{FAILED} ({type(error).__name__}: {error}).")
        if not (found or notes or backward.has_parameters):
            return None
    if forward.is_late:
        notes.append("There was no time to look at the whole backward pass.")
    shown = _Shown(place or (lambda file: Path(file).name), told)
    faults = tuple(map(shown.fault, found))
    steps = tuple(shown.steps(backward, [suspicion.wrong for suspicion in found]))
    return BackwardPass(faults, steps, cost.n_evaluations - n_before, tuple(notes))


def _with_gradients(
    recorded: Sequence[Recording], forward: ForwardPass, layouts: Sequence[Layout]
) -> tuple[tuple[Backward, Layout] | None, list[str]]:
    """Return the first recording that has the gradients under test, and what was not followed.

    Of several layouts, one in which it has all that are wrong counts most.
    """
    notes = []
    for recording in recorded:
        if recording.obstacle:
            notes.append(f"The cell was not followed to its end: {recording.obstacle}.")
        found = [(Backward.of(recording.bound, forward, *each[:2]), each) for each in layouts]
        own = [each for each in found if each[0].has_parameters]
        if own or forward.custom_calls:
            return next((each for each in own if each[0].has_all_wrong), (own or found)[0]), notes
    return None, notes


@dataclass(frozen=True)
class _Shown:
    """Turns what was found into plain data."""

    place: Callable[[str], str]
    told: Mapping[str, Sequence[str]]

    def line(self, statement: Statement) -> Line:
        """Return a statement as plain data."""
        # A sentence sets it in backticks.
        text = shortened(printable(statement.text.replace("`", "'")), LONGEST_STATEMENT)
        where = self.place(statement.file), statement.line, statement.last_line
        return Line(*where, statement.function, text)

    def fault(self, suspicion: Suspicion) -> Fault:
        """Return a suspicion as plain data, and in words."""
        # What a library computes by itself is no statement of the user's.
        likely = [statement for statement in suspicion.statements if statement.line]
        further = [statement for statement in suspicion.further if statement.line]
        lines = tuple(map(self.line, (*likely, *further)))
        value = suspicion.wrong.bound.label
        inputs = tuple(dict.fromkeys(n.bound.label for n in suspicion.inputs if n.bound.label))
        explained = dict.fromkeys(n.parameter.name for n in suspicion.explains if n.parameter)
        parameters = tuple(part for name in explained for part in self.told[name])
        is_made_here = suspicion.wrong.bound.statement is suspicion.statements[0]
        outcome = _outcome(value, inputs, suspicion.factor, is_made_here=is_made_here)
        if suspicion.is_part:
            outcome = f"{_named(value)[0]} is right as far as it goes, but a part is missing."
        return Fault(lines, len(likely), value, inputs, suspicion.factor, parameters, outcome)

    def steps(self, backward: Backward, wrong: Sequence[Node]) -> Iterator[Step]:
        """Yield what the backward pass has bound, without other names for the same."""
        for node in backward.nodes:
            bound = node.bound
            is_shown = bound.alias_of is None and not node.is_operand and bound.statement.line > 0
            if not is_shown or bound.value.dtype.kind != "f":
                continue
            mark = "right" if node.is_gradient else "not looked at"
            is_wrong = node in wrong or (node.parameter and not node.is_gradient)
            if is_wrong or node.is_odd or (node.named and node.is_amiss):
                mark = "wrong"
            yield Step(self.line(bound.statement), bound.label, mark, node.factor, node.of)


def _named(value: str) -> tuple[str, str]:
    """Return what to call a value at the start of a sentence, and within it."""
    return (f"`{value}`", f"`{value}`") if value else ("What it returns", "what it returns")


def _outcome(value: str, inputs: Sequence[str], factor: float, *, is_made_here: bool) -> str:
    """Say what is right and what is wrong at the first wrong statement, or after it."""
    at_start, result = _named(value)
    if factor == 0:
        return f"{at_start} is set to 0, and nothing is added to it."
    times = signed(f"{factor:.4g}")
    by = "" if math.isnan(factor) else f": it is {times} times what it should be"
    if not inputs:
        return f"{at_start} is the first gradient that is known to be wrong{by}."
    named = listed(inputs[:MOST_INPUTS])
    are = "is" if len(inputs) == 1 else "are"
    if not is_made_here:
        return f"{named} {are} right; {result}, for which this is used, is not{by}."
    return f"{named}, from which it starts, {are} right; {result} is not{by}."
