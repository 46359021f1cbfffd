"""The backward pass, computed again from what was recorded, where some of it is other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.again import Again
from gradcheck_magic._backward.bound import Bound, named_before

__all__ = ["Replay"]

Array = NDArray[Any]


@dataclass(eq=False)
class Replay:
    """What was recorded, as statements that can be evaluated again."""

    recorded: Mapping[int, Bound]
    _statements: dict[int, Again | None] = field(default_factory=dict)
    _links: dict[int, list[tuple[int, list[str]]]] = field(default_factory=dict)
    _sources: dict[int, set[int]] = field(default_factory=dict)
    _unread: dict[int, set[int]] = field(default_factory=dict)

    def again(self, k: int) -> Again | None:
        """Return the statement that has bound a value; None if it can't be evaluated again."""
        if k not in self._statements:
            self._statements[k] = Again.of(self.recorded[k], self.recorded)
        return self._statements[k]

    def sources(self, k: int) -> set[int]:
        """Return what a value was made from; of a new name, what it was called before."""
        if k not in self._sources:
            bound = self.recorded[k]
            is_name = bound.alias_of is not None and not bound.is_part
            read = [named_before(bound, self.recorded)] if is_name else bound.reads
            self._sources[k] = {self._as_read(j, bound) for j in read}
        return self._sources[k]

    def ancestors(self, last: Collection[int], first: int = 0) -> set[int]:
        """Return some values and what they were made from, as far as it was bound after a place."""
        found, waiting = set(last), list(last)
        while waiting:
            fresh = {k for k in self.sources(waiting.pop()) if k not in found and k >= first}
            found |= fresh
            waiting += fresh
        return found

    def made_from(self, first: Collection[int], last: Collection[int]) -> list[int]:
        """Return what was made from some values, in order, as far as others were made from it."""
        made, found = set(first), list[int]()
        for k in sorted(self.ancestors(last, min(first))):
            if k not in made and not made.isdisjoint(self.sources(k)):
                made.add(k)
                found.append(k)
        return found

    def descendants(self, first: Collection[int]) -> set[int]:
        """Return what was made from some values, whatever it was used for."""
        made, start = set(first), min(first)
        for k in self.recorded:
            if k > start and not made.isdisjoint(self.sources(k)):
                made.add(k)
        return made

    def lost(self, steps: Collection[int], changed: Collection[int]) -> set[int]:
        """Return what can't be computed again if some of what it was made from changes."""
        found = set[int]()
        for k in steps:
            is_left = found.isdisjoint(self.sources(k))
            if not (is_left and self._is_known(self.recorded[k], changed)):
                found.add(k)
        return found

    def others(self, k: int, changed: Mapping[int, Array]) -> dict[str, Array]:
        """Return what a statement reads that has changed, by how it is written there."""
        links = self._links[k] if k in self._links else self._link(k)
        return {text: changed[j] for j, texts in links if j in changed for text in texts}

    def _link(self, k: int) -> list[tuple[int, list[str]]]:
        """Note what a statement reads, and how it is written there."""
        again, bound = self.again(k), self.recorded[k]
        self._links[k] = links = []
        for j, text in again.read.items() if again else ():
            texts = again.changed if again and text in again.changed else {text}
            known = [each for each in texts if again and each in again.values]
            links.append((self._as_read(j, bound), known))
        return links

    def value(self, k: int, changed: Mapping[int, Array]) -> Array | None:
        """Return what a value would be, given what has changed of what it was made from."""
        bound = self.recorded[k]
        if bound.is_part:
            return self._put_together(bound, changed)
        if bound.alias_of is not None:
            (before,) = self.sources(k)
            return changed[before]
        again = self.again(k)
        if again is not None and self._covers(again, bound, changed):
            return again.value_with(self.others(k, changed))
        added_to = self._only_before(bound, changed)
        if added_to is None or bound.before is None or changed[added_to].size != bound.size:
            return None
        added = (bound.value - bound.before).reshape(bound.shape)
        return np.asarray(changed[added_to].reshape(bound.shape) + added)

    def _is_known(self, bound: Bound, changed: Collection[int]) -> bool:
        if bound.is_part:
            return all(self.recorded[k].memory for k in (*bound.reads, bound.index))
        if bound.alias_of is not None:
            return True
        again = self.again(bound.index)
        is_covered = again is not None and self._covers(again, bound, changed)
        return is_covered or self._only_before(bound, changed) is not None

    def _covers(self, again: Again, bound: Bound, changed: Collection[int]) -> bool:
        """Return True if a statement can be evaluated with all that has changed of its reads."""
        if bound.index not in self._unread:
            unread = {self._as_read(k, bound) for k in bound.reads if k not in again.read}
            self._unread[bound.index] = unread
        return self._unread[bound.index].isdisjoint(changed)

    def _only_before(self, bound: Bound, changed: Collection[int]) -> int | None:
        """Return what a statement adds to, if only that has changed of what it reads."""
        if bound.before is None or not bound.changes or len(bound.before) != bound.size:
            return None
        others = [k for k in bound.reads if self._as_read(k, bound) in changed]
        same = [k for k in others if np.array_equal(self.recorded[k].value, bound.before)]
        return self._as_read(same[-1], bound) if same and same == others else None

    def _as_read(self, k: int, reader: Bound) -> int:
        """Return by which name a value was read, if that is the attribute of an object."""
        names = [name for name in self._attributes.get(k, ()) if name < reader.index]
        read = reader.reads.get(k)
        if not names or read is None or read.load is None or not read.load.steps:
            return k
        is_same = read.load.steps[-1] == ("attribute", self.recorded[names[-1]].name)
        return names[-1] if is_same else k

    @cached_property
    def _attributes(self) -> dict[int, list[int]]:
        """The names that values have got as attributes of objects."""
        found: dict[int, list[int]] = {}
        for bound in self.recorded.values():
            if bound.owner and bound.alias_of is not None and not bound.is_part:
                found.setdefault(bound.alias_of, []).append(bound.index)
        return found

    def _put_together(self, part: Bound, changed: Mapping[int, Array]) -> Array:
        """Return a part of an array, with what has changed of the same memory."""
        value, own = part.value.copy(), _places(part)
        # The latest comes first.
        for k in reversed(part.reads):
            if k in changed and changed[k].size == self.recorded[k].size:
                theirs = _places(self.recorded[k])
                by_place = np.argsort(theirs)
                at = np.searchsorted(theirs, own, sorter=by_place).clip(max=len(theirs) - 1)
                there = by_place[at]
                here = theirs[there] == own
                value[here] = changed[k].reshape(-1)[there[here]]
        return value.reshape(part.shape)


def _places(bound: Bound) -> NDArray[np.int64]:
    """Return where the entries of an array are in memory."""
    if bound.memory is None:
        raise ValueError(bound)
    start, strides = bound.memory
    if not bound.shape:
        return np.array([start])
    steps = np.indices(bound.shape).reshape(len(bound.shape), -1)
    places: NDArray[np.int64] = start + np.array(strides, np.int64) @ steps
    return places
