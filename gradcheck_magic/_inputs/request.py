"""The options of a check, and their validation."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Integral, Number, Real
from typing import Any, Literal

import numpy as np

from gradcheck_magic._inputs.parameters import describe_type, is_function
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._wording import quoted
from gradcheck_magic.errors import InputError

__all__ = [
    "MODES",
    "Call",
    "Mode",
    "Progress",
    "Request",
    "Standing",
    "is_number",
    "sources_of",
    "valid_step",
]

# A function of (evaluations so far, evaluations expected in total, seconds so far).
Progress = Callable[[int, int, float], object]
# The longest time in seconds; an integer may be larger than any float.
LONGEST = sys.float_info.max
Mode = Literal["auto", "full", "scan"]
MODES = ("auto", "full", "scan")
Call = Literal["auto", "flat", "structured", "arguments", "closure"]
# The user has asked for these gradients; or they only have the usual name, and may be those that an
# earlier cell has computed.
Standing = Literal["chosen", "named", "old"]


@dataclass(frozen=True)
class Request:
    """The options of `check_gradients`, which are the same at every point, and valid."""

    cost_function: Callable[..., Any]
    grads: object
    epsilon: float | None
    mode: Mode
    only: Sequence[str] | None
    call: Call
    upstream: object
    points: int
    workers: int | Executor | None
    budget: float | None
    seed: int
    progress: Progress | None
    previous: GradientCheck | None
    started: float
    trace: bool = False
    standing: Standing = "chosen"
    # How the cost is called, each a sentence for the card, and what it has returned there.
    notes: Sequence[str] = ()
    expected: float | None = None
    # The random states that may be put back before each evaluation, if any are.
    starts: Sequence[Any] = ()
    # The random states at the start of the check.
    random: Any = None

    def __post_init__(self) -> None:
        budget, points = self.budget, self.points
        # These could not hold the longest time, and would round every deadline.
        budget = budget.item() if isinstance(budget, (np.float32, np.float16)) else budget
        if not (isinstance(self.mode, str) and self.mode in MODES):
            raise InputError(f"`mode` is {quoted(self.mode)}: expected {', '.join(MODES)}.")
        if budget is not None and not (is_number(budget, Real) and 0 < budget <= LONGEST):
            raise InputError(
                f"`budget` is {quoted(self.budget)}: expected a number of seconds, such as 10."
            )
        object.__setattr__(self, "budget", budget)
        if not (is_number(points, Integral) and points >= 1):
            raise InputError(f"`points` is {quoted(points)}: expected a positive integer.")
        if points > 1 and not any(map(is_function, self.sources)):
            raise InputError(
                f"`points` is {quoted(points)}, but `grads` is the gradient at the given point "
                "only: pass `grads` as a function of the parameters."
            )
        if not isinstance(self.previous, GradientCheck | None):
            raise InputError(
                f"`previous` is {describe_type(self.previous)}: expected the GradientCheck that an "
                "earlier check returned."
            )
        if not (self.progress is None or callable(self.progress)):
            raise InputError(
                f"`progress` is {describe_type(self.progress)}: expected a function of "
                "(evaluations so far, evaluations expected, seconds so far)."
            )

    @property
    def sources(self) -> list[object]:
        """Where the gradients may be, the likeliest first; see `sources_of`."""
        return sources_of(self.grads, self.cost_function, self.upstream, self.standing)

    @property
    def states(self) -> Any:
        """The random states that are put back before a gradient function is called, if any are."""
        return next(iter(self.starts), None)

    @property
    def seconds_left(self) -> float | None:
        """The time left for the check; None if there is no limit."""
        return None if self.budget is None else self.deadline - time.perf_counter()

    @property
    def deadline(self) -> float:
        """The time, according to `time.perf_counter`, by which the check must have ended."""
        return math.inf if self.budget is None else self.started + self.budget

    def seconds_before(self, reserve: float) -> float | None:
        """Return the time left for evaluations, if some is reserved: at most half of it."""
        left = self.seconds_left
        return None if left is None else left - min(reserve, max(left, 0.0) / 2)

    def progress_at(self, point: int) -> Progress | None:
        """Return a progress function for one point that reports the progress over all points."""
        report = self.progress
        if report is None or self.points == 1:
            return report
        started = time.perf_counter()

        def of_all(done: int, total: int, _: float) -> object:
            seconds = (time.perf_counter() - started) * (point * total + done) / done
            return report(point * total + done, (self.points + 1) * total, seconds)

        return of_all


def sources_of(
    grads: object, cost_function: object, upstream: object, standing: Standing = "chosen"
) -> list[object]:
    """Return where the gradients may be, the likeliest first.

    None stands for those that the parameters hold themselves, and the cost for those that it
    returns.
    """
    given = [] if grads is None else [grads]
    if given and standing == "chosen":
        return given
    first = [None, *given] if standing == "old" else [*given, None]
    return [*first, *([] if upstream is not None else [cost_function])]


def is_number(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return True for a number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def valid_step(epsilon: float) -> float:
    """Return the user's step as a float; raise `InputError` unless it is a positive number."""
    try:
        is_real = is_number(epsilon, Number) or np.asarray(epsilon).dtype.kind in "fiu"
        is_scalar = np.ndim(epsilon) == 0 and not isinstance(epsilon, np.ma.MaskedArray)
        step = float(epsilon) if is_real and is_scalar else math.nan
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        step = math.nan
    if not (math.isfinite(step) and step > 0):
        raise InputError(
            f"`epsilon` is {quoted(epsilon)}: expected a small positive number, such as 1e-7."
        )
    return step
