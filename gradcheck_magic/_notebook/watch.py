"""The watch: it checks again if a cell has changed what a check uses."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from gradcheck_magic._inputs.parameters import readable_key
from gradcheck_magic._notebook.snapshot import Snapshot
from gradcheck_magic._report.words import SEPARATOR, brief
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import counted, duration, first_line, listed
from gradcheck_magic.errors import (
    GradientCheckError,
    GradientCheckFailed,
    GradientCheckInterrupted,
    InputError,
)

__all__ = ["News", "Watch", "subject_of"]

Namespace = dict[str, Any]
Checker = Callable[[argparse.Namespace], GradientCheck]

# A watched check, including the snapshots, may take this part of the time of the cell before it, or
# LEAST_SECONDS if that is more.
CELL_SHARE = 0.25
LEAST_SECONDS = 0.3
# A check that took this many times its limit was held up by something that the limit cannot stop:
# a single evaluation, or an expression.
LATE = 1.5
# The time of one evaluation is known from a check with at least this many.
LEAST_EVALUATIONS = 10
# Every entry is measured only if two evaluations for each take at most this part of the time.
FULL_SHARE = 0.5


class News(NamedTuple):
    """The news after a cell on one line, and the result if a check was made.

    `error` is what a strict watch raises; it is None if the gradient is correct.
    """

    sentence: str
    check: GradientCheck | None = None
    error: BaseException | None = None


class _Pace:
    """How long a check may take after each cell, and when one that took too long is tried again.

    A check that is stopped is followed by a pause, until the limits of later cells add up to the
    time it took. Each further one that is stopped adds its time to the pause. So the watch takes no
    more than its share in the long run, however slow the cost is, and never gives up.
    """

    def __init__(self) -> None:
        self._pause = self._earned = self._taken = 0.0

    def limit_after(self, seconds: float) -> float:
        """Return the limit after a cell that took these seconds; it counts towards the pause."""
        limit = max(CELL_SHARE * seconds, LEAST_SECONDS)
        self._earned += limit
        return limit

    @property
    def cells_left(self) -> int:
        """The number of cells after which the pause is over at the latest."""
        return math.ceil(max(0.0, self._pause - self._earned) / LEAST_SECONDS)

    def stopped(self, taken: float) -> None:
        """Pause because a check that took so long has no result."""
        self._pause, self._earned = self._pause + taken, 0.0

    def finished(self, taken: float, limit: float) -> None:
        """Go on without a pause, unless this check and the one before took too long."""
        # One by itself may have taken so long because a jit had to compile.
        usual, self._taken = min(taken, self._taken), taken
        self._pause, self._earned = usual if usual > LATE * limit else 0.0, 0.0


class Watch:
    """The expressions of a check, and what they read at the time of the last check."""

    def __init__(self, options: argparse.Namespace, namespace: Namespace) -> None:
        self.options = options
        texts = {name: getattr(options, name) for name in ("params", "grads", "cost", "upstream")}
        self._trees = {
            name: ast.parse(text.strip(), mode="eval").body
            for name, text in texts.items()
            if text is not None
        }
        self._cost = self._trees["cost"]
        self._namespace = namespace
        self._last: GradientCheck | None = None
        self._pace = _Pace()
        # True if there was no time to check the last change.
        self._is_pending = False
        self._seen = self._snapshot()
        # What the expressions read when the gradient was last computed.
        self._computed = self._seen

    @property
    def blind_spots(self) -> str:
        """A warning about variables that are too large to be read in full, or an empty string."""
        # A strict watch checks whenever they may have changed.
        names = () if self.options.strict else self._seen.overlooked
        return f"in-place changes of {listed(names)} may go unnoticed" if names else ""

    def also_reads(self, names: Sequence[str]) -> None:
        """Watch variables that the cost is called with, as well."""
        own = [ast.Name(name, ast.Load()) for name in names if name in self._namespace]
        self._trees["cost"] = ast.Tuple([self._cost, *own], ast.Load())

    def remember(self, options: argparse.Namespace, check: GradientCheck | None) -> None:
        """Take the present state as checked, if a check with these options is of this gradient."""
        if subject_of(options) == subject_of(self.options):
            if check is not None:
                # The mode of the next check is chosen by the time of this one.
                self._last = check
                self._pace, self._is_pending = _Pace(), False
            self._set_seen(self._snapshot())

    def after_cell(self, seconds: float, check: Checker) -> News | None:
        """Check again if a cell that took these seconds has changed anything; raise no error."""
        began = time.perf_counter()
        limit = self._pace.limit_after(seconds)
        try:
            now = self._snapshot()
            is_due = self._is_pending and not self._pace.cells_left
            is_due |= self.options.strict and bool(now.overlooked)
            if now.objects == self._seen.objects and not is_due:
                return None
            taken = time.perf_counter() - began
            try:
                # Leave time for another snapshot, as the check may change what the cost reads.
                return self._news(now, max(limit - 2 * taken, taken), check)
            finally:
                self._set_seen(self._snapshot())
        except BaseException as error:  # noqa: BLE001 (the user's code may raise anything)
            taken = time.perf_counter() - began
            if isinstance(error, KeyboardInterrupt):
                self._pace.stopped(taken)
            else:
                self._pace.finished(taken, limit)
            return _not_checked(error)

    def _news(self, now: Snapshot, limit: float, check: Checker) -> News:
        params, grads = self.options.params, self._gradient(now)
        self._is_pending = False
        if self._is_kept(now) and now.are_values_new("params", self._computed):
            have = "has" if params.isidentifier() and params[-1] != "s" else "have"
            what = f"{_code(params)} {have} changed since {grads} was computed"
            how = f"compute {grads} in the same cell, or end the watch before (--unwatch)"
            return News(f"not checked: {what}.", error=InputError(f"{what}: {how}."))
        if self.options.strict:
            # A check that is asked for strictly is made, whatever time it takes.
            found, _ = _timed(check, self.options)
        elif cells := self._pace.cells_left:
            self._is_pending = True
            line = (
                f"not checked: as the last check shows, it takes longer than {_time(limit)}. It is "
                f"tried again after {counted(cells, 'more cell')} at most; run %gradcheck to check "
                "it now."
            )
            return News(line, error=InputError(line))
        else:
            found = self._checked_within(limit, check)
        return self._result_news(now, found)

    def _checked_within(self, limit: float, check: Checker) -> GradientCheck:
        """Make a check in this time; again, if an evaluation was slower than usual."""
        options = self._options_within(limit)
        late = LATE * max(options.budget, self._seconds_each)
        found, taken = _timed(check, options)
        if _is_unfinished(found) and taken > late:
            # After the compilation of a jit, or a busy moment, the second check is quick.
            found, taken = _timed(check, options)
        if found.n_evaluations >= LEAST_EVALUATIONS:
            self._last = found
        self._is_pending = _is_unfinished(found)
        if self._is_pending:
            self._pace.stopped(taken)
        else:
            self._pace.finished(taken, options.budget)
        return found

    def _result_news(self, now: Snapshot, check: GradientCheck) -> News:
        if _is_unfinished(check):
            enough = f"{_time(check.seconds)} was not enough"
            line = f"not checked: {enough}. Run %gradcheck to check in full."
            return News(line, check, GradientCheckFailed(check.headline(), check))
        if check.passed:
            return News(SEPARATOR.join(filter(None, (brief(check), self.blind_spots))), check)
        more = ""
        if self._is_kept(now) and now.differs("cost", self._computed):
            what = f"{_code(self.options.cost)}, or something it uses, has changed"
            more = f" {what} since {self._gradient(now)} was computed."
        more += " `_gradcheck` shows the card."
        line = SEPARATOR.join(filter(None, (brief(check) + more, self.blind_spots)))
        return News(line, check, GradientCheckFailed(check.headline() + more, check))

    @property
    def _seconds_each(self) -> float:
        """The time of one evaluation of the cost, as far as it is known."""
        return 0.0 if self._last is None else self._last.seconds / max(1, self._last.n_evaluations)

    def _options_within(self, seconds: float) -> argparse.Namespace:
        """Return the options of a check that takes no longer than this."""
        mode, asked = self.options.mode, self.options.budget
        n_evaluations = 0 if self._last is None else 2 * self._last.size
        if mode == "auto" and n_evaluations * self._seconds_each > FULL_SHARE * seconds:
            mode = "scan"
        budget = seconds if asked is None else min(seconds, asked)
        # The time is too short to start processes and to send them functions.
        changed = {"budget": budget, "mode": mode, "workers": None}
        return argparse.Namespace(**{**vars(self.options), **changed})

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._trees, self._namespace)

    def _set_seen(self, now: Snapshot) -> None:
        if now.differs("grads", self._seen):
            self._computed = now
        self._seen = now

    def _is_kept(self, now: Snapshot) -> bool:
        """Return True if the gradient is stored, and has not changed."""
        return "grads" in now.stored and not now.differs("grads", self._seen)

    def _gradient(self, now: Snapshot) -> str:
        return "`.grad`" if now.is_accumulated else _code(self.options.grads)


def subject_of(options: argparse.Namespace) -> tuple[str | None, ...]:
    """Return the expressions and names that say which gradient a check is of."""
    return (options.params, options.grads, options.cost, options.upstream, *(options.only or ()))


def _timed(check: Checker, options: argparse.Namespace) -> tuple[GradientCheck, float]:
    """Make a check without any output; return it with the seconds that it took in all."""
    began = time.perf_counter()
    with _silence():
        found = check(options)
    return found, time.perf_counter() - began


def _is_unfinished(check: GradientCheck) -> bool:
    """Return True if a check was stopped before it found anything out."""
    return check.interrupted and check.verdict is not Verdict.BUG


def _not_checked(error: BaseException) -> News:
    """Return the news that there is no result, with the reason."""
    check, why = None, first_line(error)
    if isinstance(error, GradientCheckInterrupted):
        check, why = error.check, f"interrupted. {error}"
    elif isinstance(error, KeyboardInterrupt):
        why = "interrupted; the parameters are as they were before."
    elif not isinstance(error, GradientCheckError):
        said = ": ".join(filter(None, (type(error).__name__, why)))
        why = f"{said.rstrip('.')}. Run %gradcheck to see where."
    return News(f"not checked: {why}", check, error)


def _code(expression: str) -> str:
    """Return an expression as it is quoted in a sentence."""
    return f"`{readable_key(expression)}`"


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004 (two digits)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress output and warnings, which the cost would repeat at each evaluation."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
