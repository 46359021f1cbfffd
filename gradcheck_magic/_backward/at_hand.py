"""What may stand in a statement in place of something: what its function knew, and J knows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.again import local_slopes
from gradcheck_magic._backward.bound import Bound, grouped
from gradcheck_magic._backward.forward import ForwardPass
from gradcheck_magic._backward.statements import Statement

__all__ = ["LARGEST", "AtHand", "Spare"]

Array = NDArray[Any]
# A value, and where it was recorded; −1 if it was not.
Known = tuple[Any, int]

# Larger arrays are not looked at.
LARGEST = 10_000
# What a function has bound at most so many steps before or after is looked at.
NEAR = 60
# For each run of a statement, at most so many values of a statement of J are tried.
MOST_PER_RUN = 6


@dataclass(frozen=True, eq=False)
class Spare:
    """A value that may stand in a statement, for each time that it ran.

    Attributes
    ----------
    known : callable
        Gives it for the n-th time; None if it was not there.
    is_length : bool
        True for a length of an array, for which the function need have no name.
    """

    known: Callable[[int], Known | None]
    is_length: bool = False


@dataclass(eq=False)
class AtHand:
    """What the functions of a backward pass knew when they ran, and what J knows."""

    recorded: Mapping[int, Bound]
    forward: ForwardPass
    _known: dict[int, dict[str, Known]] = field(default_factory=dict)

    def spares(self, runs: Sequence[Bound]) -> list[Spare]:
        """Return what may stand in a statement, given what it has bound each time that it ran."""
        return [*self._by_name(runs), *self._of_rounds(runs), *self._of_data(runs[0].own_shape)]

    def _by_name(self, runs: Sequence[Bound]) -> Iterator[Spare]:
        for name in self._names_at(runs[0]):
            yield Spare(partial(self._named, runs, name), is_length=name.isdigit())

    def _named(self, runs: Sequence[Bound], name: str, n: int) -> Known | None:
        return self._names_at(runs[n]).get(name)

    def _of_rounds(self, runs: Sequence[Bound]) -> Iterator[Spare]:
        """Yield what a statement of J has bound in as many rounds, in the same or reverse order."""
        n_runs, shape = len(runs), runs[0].own_shape
        for values in self._rounds:
            each, rest = divmod(len(values), n_runs)
            if rest or not 0 < each <= MOST_PER_RUN:
                continue
            for k in range(each):
                own = values[k::each]
                if own[0].shape == own[-1].shape == shape:
                    for ordered in (own, own[::-1])[: min(n_runs, 2)]:
                        yield Spare(partial(_of_round, ordered))

    def _of_data(self, shape: tuple[int, ...]) -> Iterator[Spare]:
        data = (value for value in self._data if value.shape == shape)
        for value in (*data, *self._parameters):
            yield Spare(partial(_always, value))

    def _names_at(self, bound: Bound) -> dict[str, Known]:
        """Return what else a function knew, by how it is written: the value, and where it is.

        What it reads later is what it could have read before, if it was there; the nearest counts.
        """
        if bound.index not in self._known:
            found: dict[str, Known] = {}
            around = self._around(bound)
            near = self._near(around.call, around.index + 1) if around is not None else []
            for each in (*self._near(self._call_of(bound), bound.index), *near):
                for name, known in self._known_to(each, bound.index):
                    found.setdefault(name, known)
            arrays = [value for value, _ in found.values() if isinstance(value, np.ndarray)]
            lengths = {n for each in arrays for n in (*each.shape, each.size)} - {0, 1}
            self._known[bound.index] = found | {f"{n}": (n, -1) for n in lengths}
        return self._known[bound.index]

    def _known_to(self, bound: Bound, until: int) -> Iterator[tuple[str, Known]]:
        """Yield what a statement has bound and read that was there before something."""
        if bound.index < until and bound.label:
            yield bound.label, (bound.shaped(), bound.index)
        for k, read in bound.reads.items():
            its = self.recorded[k]
            if k < until and read.load and not read.path and its.shape == read.shape:
                yield read.load.text, (its.shaped(), k)
        for name, (k, value) in bound.at_hand.items():
            yield name, (value if k < 0 else self.recorded[k].shaped(), k)
        for name, value in bound.constants.items():
            if isinstance(value, range):
                yield f"len({name})", (len(value), -1)
            elif isinstance(value, (int, float, np.ndarray)) and not isinstance(value, bool):
                yield name, (value, -1)

    def _near(self, call: int, k: int) -> list[Bound]:
        """Return what a call has bound around a place, the nearest first."""
        own = self._by_call.get(call, [])
        at = bisect_left(own, k, key=_index)
        return sorted(own[max(0, at - NEAR) : at + NEAR], key=lambda b: abs(b.index - k))

    def _call_of(self, bound: Bound) -> int:
        """Return the call whose variables a statement reads: of an argument, the caller's."""
        if not bound.is_argument:
            return bound.call
        own = [b for b in self._by_statement[bound.statement] if not b.is_argument]
        later = [b for b in own if b.index > bound.index]
        return (later or own or [bound])[0].call

    def _around(self, bound: Bound) -> Bound | None:
        """Return what the function around a closure has bound last from the same values."""
        own = bound.statement
        reads = _reads(bound)
        users = (b for k, _ in reads for b in self._readers.get(k, ()) if b.index < bound.index)
        return max(
            (
                b
                for b in users
                if b.statement.file == own.file
                and b.statement.function != own.function
                and reads & _reads(b)
            ),
            key=_index,
            default=None,
        )

    @cached_property
    def _rounds(self) -> list[list[Array]]:
        """What each statement of J has bound, and the slopes of those that compute by entry."""
        own = [
            b
            for b in self.forward.bound[: self.forward.end + 1]
            if b.alias_of is None
            and 1 < b.size <= LARGEST
            and not (b.is_part or b.is_parameter or b.is_inside)
        ]
        found: dict[Any, list[Array]] = {}
        for b in own:
            found.setdefault(b.origin, []).append(b.shaped())
        for b, text, slopes in local_slopes(own, {b.index: b for b in self.forward.bound}):
            found.setdefault((b.origin, text), []).append(slopes)
        return [*found.values()]

    @cached_property
    def _data(self) -> list[Array]:
        constants = (b.constants.items() for b in self.forward.bound)
        arrays = {k: v for items in constants for k, v in items if isinstance(v, np.ndarray)}
        return [*arrays.values()]

    @cached_property
    def _parameters(self) -> list[Array]:
        own = (b for b in self.forward.bound if b.is_parameter and b.size <= LARGEST)
        return [b.shaped() for b in own]

    @cached_property
    def _by_call(self) -> dict[int, list[Bound]]:
        return grouped(self.recorded.values(), lambda bound: bound.call)

    @cached_property
    def _by_statement(self) -> dict[Statement, list[Bound]]:
        return grouped(self.recorded.values(), lambda bound: bound.statement)

    @cached_property
    def _readers(self) -> dict[int, list[Bound]]:
        found: dict[int, list[Bound]] = {}
        for b in self.recorded.values():
            for k in b.reads:
                found.setdefault(k, []).append(b)
        return found


def _of_round(values: Sequence[Array], n: int) -> Known:
    return values[n], -1


def _always(value: Array, n: int) -> Known:  # noqa: ARG001 (as any spare)
    return value, -1


def _reads(bound: Bound) -> set[tuple[int, str]]:
    return {(k, read.load.text) for k, read in bound.reads.items() if read.load is not None}


def _index(bound: Bound) -> int:
    return bound.index
