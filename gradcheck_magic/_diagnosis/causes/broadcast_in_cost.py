"""BROADCAST: (n,) is combined with (n, 1) in the cost, which NumPy broadcasts to (n, n).

The parameters are passed to the cost as arrays that watch its operations. If an operation combines
these two shapes, the watch records the line and computes entry by entry, as was probably meant.
If the gradient is that of the cost fixed in this way, the guess was right.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.gradient_of_other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["BroadcastInCost", "BroadcastWatch"]

Array = NDArray[Any]
Shape = tuple[int, ...]

# Frames in these files are not the user's code.
_INSIDE = (str(Path(np.__file__).parent) + os.sep, __file__)
BINARY = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class BroadcastInCost(Finding):
    """Gradients that are correct for a cost that combines vectors entry by entry."""

    cause = Cause.BROADCAST

    how: str
    shapes: tuple[Shape, Shape]
    lines: list[str]

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise the gradient of the cost with (n,) in place of (n, 1)."""
        cost, fitting, watch = case.cost, case.fitting, BroadcastWatch()
        if cost is None or cost.convention is Convention.CLOSURE:
            return []
        if not fitting or not all(m.is_finite for m in fitting):
            return []
        fixed = NoisyFunction(functools.partial(cost.at, wrap=watch.over), cost.best.noise)
        try:
            fixed.evaluate(case.theta)
            fits = bool(watch.shapes) and is_gradient_of(fixed, case.theta, fitting)
        finally:
            # Arrays that the cost has kept must behave like plain ones again.
            watch.is_over = True
            cost.at(case.theta)
        if not fits:
            return []
        lines = list(dict.fromkeys(filter(None, watch.lines)))
        wrong = tuple(m for m in fitting if m.is_wrong)
        return [cls(wrong, how="cost", shapes=watch.shapes[0], lines=lines)]

    def sentence(self, case: Case) -> str:
        """Return the shapes, and the lines of code."""
        one, other = self.shapes
        n = max(*one, *other)
        where = f", in {listed(self.lines)}" if self.lines else ""
        return (
            f"`{case.cost_name}` broadcasts arrays of shapes {tuple(one)} and {tuple(other)} to "
            f"({n}, {n}){where}. If they are combined entry by entry, as was probably meant, "
            f"{self.gradients} {self.are} correct, in several random "
            "directions. Fix the cost: give both arrays the same shape."
        )


class BroadcastWatch:
    """A watch over the operations of a cost.

    Attributes
    ----------
    shapes : list of two tuples of int
        The shapes of the operands that were broadcast to a square array so far.
    lines : list of str
        The lines of code, as far as they are available.
    is_over : bool
        True if the watch has ended: arrays that the cost has kept then behave like any others.
    """

    def __init__(self) -> None:
        self.shapes: list[tuple[Shape, Shape]] = []
        self.lines: list[str] = []
        self.is_over = False

    def over(self, array: Array) -> Array:
        """Return a view of an array that watches the operations on it."""
        watched = array.view(_Watched)
        watched.watch = self
        return watched

    def paired(self, pair: Sequence[Any]) -> list[Any]:
        """Return two operands, a column as a vector if the other is a vector of its length."""
        one, other = map(np.shape, pair)
        if _is_column(one) and _is_vector(other) and one[0] == other[0]:
            fixed = [np.reshape(pair[0], other), pair[1]]
        elif _is_vector(one) and _is_column(other) and other[0] == one[0]:
            fixed = [pair[0], np.reshape(pair[1], one)]
        else:
            return list(pair)
        self.shapes.append((one, other))
        self.lines.append(_users_line())
        return fixed


class _Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that watches the operations on it, as does everything computed from it."""

    watch: BroadcastWatch | None = None

    def __array_finalize__(self, source: object) -> None:
        if self.watch is None:
            self.watch = getattr(source, "watch", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        watch = next((x.watch for x in inputs if isinstance(x, _Watched)), self.watch)
        plain = [_plain(x) for x in inputs]
        binary = method == "__call__" and len(plain) == BINARY and ufunc.signature is None
        if binary and watch is not None and not watch.is_over:
            plain = watch.paired(plain)
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return _watched(getattr(ufunc, method)(*plain, **options), watch)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, options: Any
    ) -> Any:
        return _watched(super().__array_function__(function, types, args, options), self.watch)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Watched) else value


def _watched(value: Any, watch: BroadcastWatch | None) -> Any:
    if watch is None or watch.is_over:
        return _plain(value)
    return watch.over(value) if isinstance(value, np.ndarray) else value


def _is_column(shape: Shape) -> bool:
    return len(shape) == BINARY and shape[0] > 1 and shape[1] == 1


def _is_vector(shape: Shape) -> bool:
    # A row (1, n) does not count: code that combines it with (n, 1) means all pairs.
    return len(shape) == 1 and shape[0] > 1


def _users_line() -> str:
    """Return the line of the user's code that is being executed."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    if frame is None:
        return ""
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
    return source.strip().replace("`", "'")
