"""A value that a statement has bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import CodeType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, as_complex, is_complex
from gradcheck_magic._backward.references import Reference
from gradcheck_magic._backward.statements import Statement

__all__ = [
    "KINDS",
    "MOST_ITEMS",
    "Bound",
    "Origin",
    "Read",
    "Reads",
    "Run",
    "grouped",
    "leaves",
    "named_before",
]

Array = NDArray[Any]
K = TypeVar("K")
# A statement, and which part of it.
Origin = tuple[Statement, int]
# A statement, and for which time it ran.
Run = tuple[Statement, int]


class Read(NamedTuple):
    """How a statement has read a value, or a part of it.

    It has read it by a name, from a place in a container, with a shape.
    """

    path: tuple[Any, ...] = ()
    load: Reference | None = None
    shape: tuple[int, ...] = ()


# How each value was read, by its index.
Reads = dict[int, Read]
# At most this many items of a container are looked at, and containers in it this deep.
MOST_ITEMS = 64
DEPTH = 3
# The kinds of dtypes that are recorded.
KINDS = "fiub"


@dataclass(eq=False)
class Bound:
    """A value that a statement has bound.

    Attributes
    ----------
    statement : Statement
        The statement.
    label : str
        What it is bound to, as it is written: ``dZ2``, ``self.dW`` or ``grads["dW2"]``; empty for a
        value that a function returns.
    name : str
        The last name in the label.
    reads : dict
        The values that the statement may have read, by their indices. The path is () for what it
        has read by itself, not in a container.
    constants : dict
        What else it has read, by its name: numbers, strings, and arrays that were bound before.
    passed_on : tuple of Statement
        The statement by which a function has returned it that has not made it.
    binders : tuple of Statement
        The statements that have bound what it has read and is not recorded, such as a slice.
    call : int
        The number of the call of the function in which this happened.
    callers : tuple of Statement
        The statements that have led to the call, the outermost first.
    owner : int
        Which object's attribute it is; 0 if it is none.
    ran : int
        For which time the statement ran.
    place : tuple
        By which it is found again: how often the statement, or the function whose argument it is,
        had run then, which part of the statement this is, and the place in what that has bound.
    index : int
        The place in the order of all.
    shape : tuple of int
        Its shape; () for a number.
    value : ndarray
        A copy, flat.
    before : ndarray, optional
        What was there before, if the statement has changed it.
    alias_of : int, optional
        The value that it is another name for.
    replaced_by : int, optional
        The value that has taken its place, and was made from it.
    overwrites : bool
        True if an attribute had another value, from which it was not made.
    changes : bool
        True if the statement has changed an array rather than bound another one.
    is_name, is_zero : bool
        True if the statement only gives another name to a value, or only sets something to zero.
    is_argument : bool
        True for an argument of a function, bound by the statement that calls it.
    called : code, optional
        That of the function whose argument it is.
    code : code, optional
        The same, if the call itself has computed the argument.
    at_hand : dict
        What else a closure knows of its objects: by how it is written, where it was recorded, or
        −1 and its value.
    memory : (int, tuple of int), optional
        Where the array is in memory, and its strides.
    is_part : bool
        True for a part of an array, as a statement has read it.
    is_tensor : bool
        True for a tensor of torch.
    is_complex : bool
        True if the values are pairs, of which the user's array has complex numbers.
    is_handed_in : bool
        True for an argument that a library has computed, unseen.
    is_inside : bool
        True for a value inside an expression.
    is_parameter : bool
        True for a parameter, which is there before anything runs.
    """

    statement: Statement
    label: str
    name: str
    reads: Reads
    call: int
    callers: tuple[Statement, ...] = ()
    constants: dict[str, Any] = field(default_factory=dict)
    passed_on: tuple[Statement, ...] = ()
    binders: tuple[Statement, ...] = ()
    owner: int = 0
    ran: int = 0
    place: tuple[int, int, tuple[Any, ...]] = (0, 0, ())
    index: int = -1
    shape: tuple[int, ...] = ()
    value: Array = field(default_factory=lambda: np.zeros(0))
    before: Array | None = None
    alias_of: int | None = None
    replaced_by: int | None = None
    overwrites: bool = False
    changes: bool = False
    is_name: bool = False
    is_argument: bool = False
    is_zero: bool = False
    code: CodeType | None = None
    is_part: bool = False
    is_tensor: bool = False
    is_complex: bool = False
    is_handed_in: bool = False
    is_inside: bool = False
    is_parameter: bool = False
    called: CodeType | None = None
    at_hand: dict[str, tuple[int, Any]] = field(default_factory=dict)
    memory: tuple[int, tuple[int, ...]] | None = None

    @property
    def size(self) -> int:
        """The number of entries."""
        return len(self.value)

    @property
    def own_shape(self) -> tuple[int, ...]:
        """The shape of the user's array."""
        return self.shape[:-1] if self.is_complex else self.shape

    def shaped(self, value: Array | None = None) -> Any:
        """Return its value, or another one, in its shape, and as a number if it is one."""
        array = (self.value if value is None else value).reshape(self.shape)
        return (as_complex(array) if self.is_complex else array)[()]

    @property
    def is_own(self) -> bool:
        """True if a statement, or a call, has computed it: it is not only handed in."""
        is_passed_on = self.is_argument and self.code is None
        return not (self.is_parameter or self.is_part or is_passed_on)

    @property
    def variable(self) -> str:
        """The variable in the label."""
        return re.split(r"[.\[]", self.label, maxsplit=1)[0]

    @property
    def surely(self) -> list[int]:
        """The values that the statement has read by themselves, not in a container."""
        return [index for index, read in self.reads.items() if not read.path]

    @property
    def run(self) -> Run:
        """The statement that has bound it, and for which time it ran."""
        return self.statement, self.ran

    @property
    def origin(self) -> Origin:
        """The part of the statement that has bound it; the first, if one call has made several."""
        parts, k = self.statement.parts, self.place[1]
        is_item = bool(parts) and parts[k].value is None and not parts[k].path
        return self.statement, 0 if is_item else k


def grouped(bounds: Iterable[Bound], key: Callable[[Bound], K]) -> dict[K, list[Bound]]:
    """Return values by a key."""
    found: dict[K, list[Bound]] = {}
    for bound in bounds:
        found.setdefault(key(bound), []).append(bound)
    return found


def named_before(bound: Bound, others: Mapping[int, Bound]) -> int:
    """Return what a value was called before it got another name."""
    known = bound.alias_of
    same = (k for k in bound.reads if known in {k, others[k].alias_of})
    return max(same, default=bound.index if known is None else known)


def leaves(value: Any, depth: int = DEPTH) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the arrays and numbers in a value, each with its place in its containers."""
    kind = type(value)
    array = as_array(value)
    if array is not None:
        if array.dtype.kind in KINDS and array.size:
            yield (), value
    elif kind in {float, int} or (isinstance(value, np.number) and not is_complex(value)):
        yield (), value
    elif depth:
        for place, item in _items(value):
            for path, leaf in leaves(item, depth - 1):
                yield (place, *path), leaf


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the first items of a container."""
    if isinstance(value, (list, tuple)):
        yield from enumerate(value[:MOST_ITEMS])
    elif isinstance(value, dict):
        yield from islice(value.items(), MOST_ITEMS)
