"""The arrays that a cost reads from a flat θ: ``W1 = theta[:40].reshape(8, 5)``."""

from __future__ import annotations

import math
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array
from gradcheck_magic._backward.bound import leaves
from gradcheck_magic._backward.record import bound_value, labelled
from gradcheck_magic._backward.references import names_in
from gradcheck_magic._backward.trace import Call, StatementTracer
from gradcheck_magic._inputs.pairing import Piece

__all__ = ["Watched"]

# A cost unpacks θ before it does anything else: so many of its statements are looked at.
MOST_STATEMENTS = 200
# With more pieces than this, θ was not unpacked, but read in a loop.
MOST_ARRAYS = 64


class _View(NamedTuple):
    """An array that was bound: where it is in memory, and what it is called."""

    start: int
    n_bytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    # What is bound by the outermost function comes first.
    depth: int
    name: str
    label: str

    @property
    def is_vector(self) -> bool:
        return math.prod(self.shape) == max(self.shape)


class Watched(StatementTracer):
    """A context in which a cost is evaluated that may read arrays from a flat θ."""

    def __init__(self) -> None:
        super().__init__()
        self._views: list[_View] = []
        self._n_ended = 0

    def called(self, call: Call, frame: FrameType) -> None:
        """Note the arguments of a call."""
        for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]:
            self._note(frame.f_locals.get(name), call, name, name)

    def ended(self, call: Call, frame: FrameType, returned: Any) -> None:
        """Note what the statement has bound."""
        self._n_ended += 1
        if self._n_ended > MOST_STATEMENTS:
            self.stop("what comes first was enough")
            return
        names = names_in(frame)
        for part in call.statement.parts if call.statement else ():
            if part.target is not None and not part.changes:
                for path, leaf in leaves(bound_value(part, names, returned)):
                    self._note(leaf, call, *labelled(part, path, names))

    def _note(self, leaf: Any, call: Call, label: str, name: str) -> None:
        array = as_array(leaf)
        if array is None or not (array.size and array.ndim):
            return
        # In the order of its memory, an array with order="F" is its transpose.
        is_transposed = not array.flags.c_contiguous
        if is_transposed:
            array, label, name = array.T, f"{label}.T", f"{name}.T"
        if array.flags.c_contiguous:
            start = array.__array_interface__["data"][0]
            place = start, array.nbytes, array.dtype, array.shape
            self._views.append(_View(*place, len(call.callers), name, label))

    def pieces(self, own: str, theta: NDArray[Any]) -> list[Piece]:
        """Return the arrays that θ was seen to be made of, and what is between them, in order.

        There are none if the cost has not read θ in arrays, or if some of these overlap. What has
        θ's own name, as in ``theta = theta[1:]``, is no array of another name.
        """
        found = _disjoint([v for v in self._views if v.name != own and _is_in(v, theta)])
        if not 0 < len(found) <= MOST_ARRAYS:
            return []
        start = theta.__array_interface__["data"][0]
        pieces, end = [], 0
        for name, view in zip(_names(found), found, strict=True):
            first = (view.start - start) // theta.itemsize
            pieces += [_between(end, first)] if first > end else []
            pieces.append(Piece(name, first, view.shape))
            end = first + math.prod(view.shape)
        return pieces + ([_between(end, theta.size)] if theta.size > end else [])


def _is_in(view: _View, theta: NDArray[Any]) -> bool:
    """Return True for a view of a part of θ, or of all of it in another shape."""
    start = theta.__array_interface__["data"][0]
    is_inside = start <= view.start and view.start + view.n_bytes <= start + theta.nbytes
    is_whole = view.is_vector and view.n_bytes == theta.nbytes
    return is_inside and view.dtype == theta.dtype and not is_whole


def _disjoint(views: list[_View]) -> list[_View]:
    """Return views that have no entry in common, in the order of θ.

    Matrices tell the most; of what is inside of one another, the first counts. Views that overlap
    otherwise are no unpacking.
    """
    chosen: list[_View] = []
    for view in sorted(views, key=lambda each: (each.is_vector, each.depth)):
        common = [each for each in chosen if _overlap(each, view)]
        if any(not (_holds(each, view) or _holds(view, each)) for each in common):
            return []
        chosen += [] if common else [view]
    return sorted(chosen, key=lambda each: each.start)


def _overlap(one: _View, other: _View) -> bool:
    return one.start < other.start + other.n_bytes and other.start < one.start + one.n_bytes


def _holds(one: _View, other: _View) -> bool:
    end = other.start + other.n_bytes
    return one.start <= other.start and end <= one.start + one.n_bytes


def _names(views: list[_View]) -> list[str]:
    """Return the last names of views; as they are written, if those are not enough."""
    names = [view.name for view in views]
    return names if len({*names}) == len(names) and all(names) else [v.label for v in views]


def _between(start: int, stop: int) -> Piece:
    """Return what no array was seen of, as a piece that has no name."""
    return Piece("", start, (stop - start,) if stop - start > 1 else ())
