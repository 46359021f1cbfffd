"""Which statements, written a little differently, would make all gradients right at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.again import Again
from gradcheck_magic._backward.arrays import as_complex
from gradcheck_magic._backward.at_hand import LARGEST, AtHand, Spare
from gradcheck_magic._backward.bound import Bound, grouped
from gradcheck_magic._backward.checkpoint import Checkpoint, Checkpoints
from gradcheck_magic._backward.edits import FAR_FETCHED, STAGES, WRITTEN_OUT
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.match import DIRECTIONS
from gradcheck_magic._backward.nodes import Node, is_as_meant
from gradcheck_magic._backward.replay import Replay
from gradcheck_magic._backward.statements import Statement
from gradcheck_magic._backward.under_test import is_right_as
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["Repairs"]

Array = NDArray[Any]
Changed = dict[int, Array]
# A part of a statement, or an argument in it.
Place = tuple[Statement, int, str]

# At most so many statements are evaluated, in about three seconds.
MOST_REPLAYED = 300_000


class _Runs(NamedTuple):
    """What one part of a statement has bound each time that it ran, and how that is computed."""

    bound: list[Bound]
    agains: list[Again]
    steps: list[int]
    ends: dict[int, Node]
    wrong: set[int]
    later: set[int]
    checkpoint: Checkpoint | None


@dataclass(eq=False)
class Repairs:
    """Looks for the statement that is wrong by writing each of them differently.

    Attributes
    ----------
    wrong : sequence of Node
        The gradients that are wrong.
    """

    evidence: Evidence
    check: GradientCheck
    wrong: Sequence[Node]
    _n_left: int = MOST_REPLAYED
    _all_reached: dict[Place, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._replay = Replay(self.evidence.recorded)
        self._at_hand = AtHand(self.evidence.recorded, self.evidence.forward)
        self._checkpoints = Checkpoints(self.evidence)

    def instead_of(
        self, likely: Sequence[Statement], further: Sequence[Statement]
    ) -> list[Statement]:
        """Return the statements that would make all right, if the first of some would not.

        That is what is meant first, and of those what ran first. If the first statement can't be
        tested, it is believed. What is far-fetched must be likely for other reasons.
        """
        if not self._ends_wrong or self._may_be_it(likely[0]):
            return []
        order = {statement: k for k, statement in enumerate([*likely, *further])}
        places = [p for p in self._places if p[0] is not likely[0] and self._explains_all(p)]
        places.sort(key=lambda place: order.get(place[0], len(order)))
        runs = [own for place in places if (own := self._runs_of(place)) is not None]
        for stage in range(STAGES):
            found = [own for own in runs if self._is_repaired(own, stage)]
            found.sort(key=lambda own: own.bound[0].index)
            statements = dict.fromkeys(own.bound[0].statement for own in found)
            if stage == FAR_FETCHED:
                return [each for each in statements if each in likely]
            if statements:
                return [*statements]
        return []

    def _may_be_it(self, statement: Statement) -> bool:
        """Return True if a statement would make all right, or if that can't be told.

        The head of a loop binds nothing: if another statement makes all right, it is not wrong.
        """
        if not statement.parts:
            return False
        own = [place for place in self._places if place[0] is statement and _has_expression(place)]
        runs = [self._runs_of(place) for place in own if self._explains_all(place)]
        is_of_cost = any(self._is_of_cost(self._by_place[place][0]) for place in own)
        is_known = bool(own) and None not in runs and not is_of_cost
        return not is_known or any(
            self._is_repaired(each, stage) for stage in range(STAGES) for each in runs if each
        )

    @cached_property
    def _ends_wrong(self) -> set[int]:
        """The wrong gradients, by their last names."""
        return {self._last_name(node) for node in self.wrong if node.parameter is not None}

    @cached_property
    def _places(self) -> list[Place]:
        """What the wrong gradients were made from, the last first."""
        made = sorted(self._replay.ancestors(self._ends_wrong), reverse=True)
        places = dict.fromkeys(_place(self.evidence.recorded[k]) for k in made)
        return [place for place in places if place[0].line and place in self._by_place]

    def _last_name(self, node: Node) -> int:
        """Return the last name of a gradient under test."""
        return self._last_names.get(node.bound.index, node.bound.index)

    @cached_property
    def _last_names(self) -> dict[int, int]:
        bound = self.evidence.recorded.values()
        return {b.alias_of: b.index for b in bound if b.alias_of is not None and not b.is_part}

    @cached_property
    def _ends(self) -> dict[int, Node]:
        return {self._last_name(n): n for n in self.evidence.nodes if n.parameter is not None}

    @cached_property
    def _by_place(self) -> dict[Place, list[Bound]]:
        bound = self.evidence.recorded.values()
        own = (b for b in bound if not (b.is_part or b.is_inside or b.is_parameter))
        return grouped(own, _place)

    def _explains_all(self, place: Place) -> bool:
        """Return True if a statement is not right, and all that is wrong was made from it."""
        bound = self._by_place[place]
        nodes = [self.evidence.by_index.get(each.index) for each in bound]
        if self._is_of_cost(bound[0]) or all(node and is_as_meant(node) for node in nodes):
            return False
        return self._ends_wrong <= self._reached(place)

    def _reached(self, place: Place) -> set[int]:
        """Return what a statement has bound, and what was made from it up to the gradients."""
        if place not in self._all_reached:
            own = {bound.index for bound in self._by_place[place]}
            self._all_reached[place] = own.union(self._replay.made_from(own, self._ends))
        return self._all_reached[place]

    def _runs_of(self, place: Place) -> _Runs | None:
        """Return the runs of a statement; None if they can't be evaluated again."""
        bound = self._by_place[place]
        agains = [again for b in bound if (again := self._replay.again(b.index)) is not None]
        if len(agains) < len(bound) or any(b.size > LARGEST for b in bound):
            return None
        own, reached = {b.index for b in bound}, self._reached(place)
        steps = sorted(reached - self._replay.lost(sorted(reached - own), reached))
        ends = {k: node for k, node in self._ends.items() if k in set(steps)}
        wrong = ends.keys() & self._ends_wrong
        if sum(ends[k].bound.size for k in wrong) < DIRECTIONS:
            return None
        checkpoint = self._checkpoints.first(steps, self._ends)
        return _Runs(bound, agains, steps, ends, wrong, self._replay.descendants(own), checkpoint)

    def _is_of_cost(self, bound: Bound) -> bool:
        """Return True if J itself depends on the statement: it defines what is right."""
        return not bound.is_argument and self.evidence.is_of_cost(bound)

    def _is_repaired(self, runs: _Runs, stage: int) -> bool:
        own = {b.index: n for n, b in enumerate(runs.bound)}
        for k, spare in self._edits(runs, stage):
            if self._n_left < 0 or self.evidence.forward.is_over:
                return False
            if self._mends(runs, own, k, spare):
                return True
        return False

    def _edits(self, runs: _Runs, stage: int) -> Iterator[tuple[int, Spare | None]]:
        """Yield the edits of a stage that change something, each with what it needs."""
        first, again = runs.bound[0], runs.agains[0]
        spares = self._at_hand.spares(runs.bound)
        known = {first.value.astype(float).tobytes()}
        for k, edit in enumerate(again.edits):
            # Whoever gives another name to a value hardly means to compute with it.
            is_computed = first.is_argument or edit.stage == WRITTEN_OUT
            if again.is_name and is_computed and not edit.is_bare:
                continue
            for spare in spares if edit.needs_spare else [None]:
                is_length = spare is not None and spare.is_length
                if (FAR_FETCHED if is_length else edit.stage) != stage:
                    continue
                self._n_left -= 1
                value = self._edited(runs, 0, k, spare, {})
                if value is None or not np.isfinite(value).all():
                    continue
                # What is the same the first time may differ later.
                is_known = len(runs.bound) == 1 and value.tobytes() in known
                if not is_known and (spare is None or value.shape == first.shape):
                    known.add(value.tobytes())
                    yield k, spare

    def _mends(self, runs: _Runs, own: Mapping[int, int], k: int, spare: Spare | None) -> bool:
        """Return True if an edit makes all gradients right that it reaches."""
        changed: Changed = {}
        for step in runs.steps:
            self._n_left -= 1
            if step in own:
                value = self._edited(runs, own[step], k, spare, changed)
            elif changed.keys().isdisjoint(self._replay.sources(step)):
                continue
            else:
                value = self._replay.value(step, changed)
            if value is None:
                return False
            changed[step] = value
            if not self._may_be_right(runs, step, value):
                return False
        return runs.wrong <= changed.keys()

    def _may_be_right(self, runs: _Runs, step: int, value: Array) -> bool:
        if runs.checkpoint and step == runs.checkpoint.at:
            return runs.checkpoint.passes(value)
        end = runs.ends.get(step)
        return end is None or is_right_as(end, value.reshape(-1), self.check)

    def _edited(
        self, runs: _Runs, n: int, k: int, spare: Spare | None, changed: Changed
    ) -> Array | None:
        """Return what the statement would have bound for the n-th time, with an edit."""
        others = self._replay.others(runs.bound[n].index, changed)
        known = None if spare is None else spare.known(n)
        if known is None:
            return runs.agains[n].edited(k, others, None) if spare is None else None
        value, place = known
        if place in runs.later:
            value = self._as_it_is_now(place, runs, changed, value)
        return runs.agains[n].edited(k, others, value)

    def _as_it_is_now(self, k: int, runs: _Runs, changed: Changed, was: Any) -> Any:
        """Return a value that need not lead to the gradients, given what has changed before it."""
        if k not in changed:
            sources = self._replay.sources(k)
            for each in sources & runs.later - changed.keys():
                self._as_it_is_now(each, runs, changed, None)
            value = None if changed.keys().isdisjoint(sources) else self._replay.value(k, changed)
            if value is None:
                return was
            changed[k] = value
        return as_complex(changed[k]) if self._replay.recorded[k].is_complex else changed[k]


def _has_expression(place: Place) -> bool:
    """Return True unless it is one of several values that a function has returned."""
    statement, k, argument = place
    return bool(argument) or not statement.parts or statement.parts[k].value is not None


def _place(bound: Bound) -> Place:
    return (*bound.origin, bound.label if bound.is_argument else "")
