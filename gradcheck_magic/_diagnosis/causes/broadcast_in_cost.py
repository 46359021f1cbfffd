"""BROADCAST: (n,) is combined with (n, 1) in the cost, which NumPy broadcasts to (n, n).

The parameters are passed to the cost as arrays that watch its operations. If an operation combines
these two shapes, the watch records the line and computes entry by entry, as was probably meant.
If the gradient is that of the cost fixed in this way, the guess was right.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.gradient_of_other_cost import NoisyFunction, is_gradient_of
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed, printable, shortened

__all__ = ["BroadcastInCost", "BroadcastWatch"]

Shape = tuple[int, ...]

# Frames in these files are not the user's code.
_INSIDE = (*np.__path__, __file__)


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
            f"`{case.cost_name}` broadcasts arrays of shapes {one} and {other} to ({n}, {n})"
            f"{where}. If they are combined entry by entry, as was probably meant, "
            f"{self.gradients} {self.are} correct, in several random directions. Fix the cost: "
            "give both arrays the same shape."
        )


class BroadcastWatch:
    """A watch over the operations of a cost that broadcast two operands to a square array.

    It records their `shapes`, and the `lines` of code as far as they are available. When it
    `is_over`, arrays that the cost has kept behave like any others.
    """

    def __init__(self) -> None:
        self.shapes: list[tuple[Shape, Shape]] = []
        self.lines: list[str] = []
        self.is_over = False
        self._kind = type("Watched", (_Watched,), {"watch": self})

    def over(self, result: Any) -> Any:
        """Return a view of an array that watches the operations on it, until the watch is over."""
        if self.is_over:
            return _plain(result)
        return result.view(self._kind) if isinstance(result, np.ndarray) else result

    def paired(self, pair: Sequence[Any]) -> list[Any]:
        """Return two operands, a column as a vector if the other is a vector of its length."""
        n, shapes = np.size(pair[0]), (np.shape(pair[0]), np.shape(pair[1]))
        # A row (1, n) does not count: code that combines it with (n, 1) means all pairs.
        if n == 1 or {*shapes} != {(n,), (n, 1)}:
            return list(pair)
        frames = (frame for frame, _ in traceback.walk_stack(inspect.currentframe()))
        frame = next(f for f in frames if not f.f_code.co_filename.startswith(_INSIDE))
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
        self.shapes.append(shapes)
        self.lines.append(shortened(printable(line.strip().replace("`", "'"))))
        return [np.reshape(operand, n) for operand in pair]


class _Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that watches the operations on it, as does everything computed from it."""

    watch: ClassVar[BroadcastWatch]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = _plain(inputs)
        is_binary = ufunc.nin == 2 and ufunc.signature is None  # noqa: PLR2004 (two operands)
        if is_binary and method == "__call__" and not self.watch.is_over:
            plain = self.watch.paired(plain)
        options = {key: _plain(value) for key, value in options.items()}
        return self.watch.over(getattr(ufunc, method)(*plain, **options))

    def __array_function__(self, *call: Any, **options: Any) -> Any:
        return self.watch.over(super().__array_function__(*call, **options))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.view(np.ndarray) if isinstance(value, _Watched) else value
