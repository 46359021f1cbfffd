"""Statements evaluated again, from what they have read, with another value in place of one of it.

If that makes the result right, the statement is, and what it has read is not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, as_complex, is_complex, is_tensor
from gradcheck_magic._backward.bound import Bound, named_before
from gradcheck_magic._backward.expressions import (
    RETURNED,
    Edited,
    Expression,
    arguments_of,
    expressions_of,
    items_of,
    lists_of,
)
from gradcheck_magic._backward.references import Reference
from gradcheck_magic._backward.statements import Part

__all__ = ["RETURNED", "Again", "local_slopes"]

Array = NDArray[Any]

# The step of local slopes, as a part of the size of the values.
STEP = 1e-6
# Two values agree if they do to this part.
SAME_AGAIN = 1e-9
# A slope is one for each entry by itself if it is the same along two directions, to this part.
ENTRYWISE = 1e-5


@dataclass(frozen=True, eq=False)
class Again:
    """A statement that can be evaluated again.

    Attributes
    ----------
    bound : Bound
        What it has bound.
    values : dict
        What it has read.
    changed : frozenset of str
        How that is written which it has changed.
    read : dict
        How that is written which it has read, by where it was recorded.
    """

    bound: Bound
    values: Mapping[str, Any]
    changed: frozenset[str]
    read: Mapping[int, str]
    _expression: Expression

    @classmethod
    def of(cls, bound: Bound, others: Mapping[int, Bound]) -> Self | None:
        """Return the statement that has bound something; None if it does not give that again."""
        if bound.alias_of is not None:
            return cls._of_name(bound, others)
        expressions = _expressions_of(bound)
        if not expressions:
            return None
        known: dict[str, Any] = dict(bound.constants)
        texts: dict[int, str] = {}
        items = _items_of(bound)
        for index, read in bound.reads.items():
            its = others[index]
            text = RETURNED if read.load is None else read.load.text
            text += items.get(text, "")
            # What is read last is the array as it is then.
            if not read.path and (read.load is None or its.shape == read.shape):
                known[text], texts[index] = _as_read(its, its.value), text
        changed = frozenset[str]()
        part = _part_of(bound)
        if bound.before is not None and part is not None and part.target is not None:
            # That of an item is the whole array, unless the item is one by itself.
            changed = frozenset(_texts(part.target))
            known |= dict.fromkeys(changed, _as_read(bound, bound.before))
        for each in expressions:
            # What an object of the user's says of its shape is often that of the result.
            shapes = [text for text in each.texts if text.endswith(".shape")]
            known = dict.fromkeys(shapes, bound.own_shape) | known
            if all(text in known for text in each.texts):
                values = {text: known[text] for text in each.texts}
                again = cls(bound, values, changed, texts, each)
                if _are_same(again.value(), bound.value):
                    return again
        return None

    @classmethod
    def _of_name(cls, bound: Bound, others: Mapping[int, Bound]) -> Self | None:
        """Return the statement that gives another name to something."""
        names = [each for each in _expressions_of(bound) if each.is_name]
        if not names:
            return None
        (text,) = names[0].texts
        read = {named_before(bound, others): text}
        return cls(bound, {text: _as_read(bound, bound.value)}, frozenset(), read, names[0])

    @classmethod
    def of_statement(cls, bound: Bound, others: Mapping[int, Bound]) -> Self | None:
        """Return the same, but for arguments, which are a part of a statement only."""
        return None if bound.is_argument else cls.of(bound, others)

    @property
    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that it has read, by their names."""
        for text, value in self.values.items():
            array = as_array(value)
            if array is not None and array.dtype.kind in "fb" and array.size > 1:
                yield text, array

    def value(self, text: str = "", instead: Any = None) -> Array | None:
        """Return its value, flat, perhaps with another value of what it has read."""
        value = self.value_with({text: instead} if text else {})
        return None if value is None else value.reshape(-1)

    def value_with(self, others: Mapping[str, Any]) -> Array | None:
        """Return its value, in its shape, with other values of what it has read."""
        return self._evaluated(self._expression.code, others)

    def mended(self, spares: Sequence[Array] | None = None) -> Iterator[Array]:
        """Yield what it would be, in its shape, with one slip in it mended.

        That is where something was taken for another; or, given values, where one of them is
        missing.
        """
        for k, edit in enumerate(self.edits):
            if edit.needs_spare is (spares is None) or edit.is_bare:
                continue
            for spare in [None] if spares is None else spares:
                value = self.edited(k, {}, spare)
                # What is missing does not make it larger.
                if value is not None and (spare is None or value.shape == self.bound.shape):
                    yield value

    @property
    def is_name(self) -> bool:
        """True if it only gives another name to what it has read."""
        return self._expression.is_name

    @cached_property
    def edits(self) -> list[Edited]:
        """The ways to write it a little differently."""
        is_of_complex = any(map(is_complex, self.values.values()))
        return self._expression.complex_edits if is_of_complex else self._expression.edits

    def edited(self, k: int, others: Mapping[str, Any], spare: Any) -> Array | None:
        """Return what it would be, written differently, with other values of what it has read."""
        return self._evaluated(self.edits[k].code, others, spare)

    def _evaluated(
        self, code: CodeType, others: Mapping[str, Any], spare: Any = None
    ) -> Array | None:
        alike = {text: _alike(self.values[text], other) for text, other in others.items()}
        try:
            found: Array = self._expression.evaluated({**self.values, **alike}, code, spare)
        except Exception:  # noqa: BLE001 (what takes the place of a value need not fit)
            return None
        return found


def _part_of(bound: Bound) -> Part | None:
    """Return the part of a statement that has computed a value."""
    is_other = bound.is_argument or bound.is_inside or bound.is_part or bound.is_parameter
    parts = () if is_other else bound.statement.parts
    return parts[bound.place[1]] if parts else None


def _expressions_of(bound: Bound) -> tuple[Expression, ...]:
    """Return what may have computed a value."""
    if bound.is_argument:
        # Of what was not computed in the call, only another name is known.
        code = bound.called if bound.alias_of is not None else bound.code
        return () if code is None else arguments_of(bound.statement.text, code, bound.label)
    part, path = _part_of(bound), bound.place[2]
    if part is None:
        return ()
    if part.is_itemwise and len(path) == 1:
        return items_of(part, path[0])
    return () if path else expressions_of(part)


def _items_of(bound: Bound) -> dict[str, str]:
    """Return what follows the name of each list of which an item was read to make an item."""
    part, path = _part_of(bound), bound.place[2]
    if part is None or not (part.is_itemwise and len(path) == 1):
        return {}
    return dict.fromkeys((*lists_of(part), RETURNED), f"[{path[0]}]")


def _as_read(bound: Bound, value: Array) -> Any:
    """Return a value as the statement has read it: in its shape, and of its library."""
    array = bound.shaped(value)
    return _tensor(array) if bound.is_tensor else array


def _alike(value: Any, other: Array) -> Any:
    """Return another value, of the same library as the first, and complex if that is."""
    other = as_complex(other) if is_complex(value) else other
    return _tensor(other) if is_tensor(value) else other


def _tensor(array: Array) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.from_numpy(np.array(array))


def _texts(target: Reference) -> Iterator[str]:
    """Yield how what a statement changes is written, and how the array around it is."""
    yield target.text
    tree = ast.parse(target.text, mode="eval").body
    if isinstance(tree, ast.Subscript):
        yield ast.unparse(tree.value)


def _are_same(one: Array | None, other: Array) -> bool:
    return one is not None and one.shape == other.shape and np.allclose(one, other, SAME_AGAIN, 0)


def local_slopes(
    bound: Iterable[Bound], others: Mapping[int, Bound]
) -> Iterator[tuple[Bound, str, Array]]:
    """Yield the slopes of each statement that computes entry by entry, by each array it reads."""
    for each in bound:
        if each.alias_of is not None or each.value.dtype.kind != "f" or each.size < 2:  # noqa: PLR2004
            continue
        again = Again.of(each, others)
        if again is None:
            continue
        for text, array in again.arrays:
            if array.size == each.size and array.dtype.kind == "f":
                one, other = (_slope(again, text, array, seed) for seed in (0, 1))
                if one is None or other is None:
                    continue
                if np.allclose(one, other, ENTRYWISE, ENTRYWISE):
                    yield each, text, one.reshape(array.shape)


def _slope(again: Again, text: str, array: Array, seed: int) -> Array | None:
    size = float(np.sqrt(np.mean(np.square(array)))) or 1.0
    step = STEP * size * np.random.default_rng(seed).uniform(0.5, 1.5, array.shape)
    above, below = again.value(text, array + step), again.value(text, array - step)
    if above is None or below is None or len(above) != array.size:
        return None
    return (above - below) / (2 * step.reshape(-1))
