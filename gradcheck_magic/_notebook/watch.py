"""The watch: it checks again if a cell has changed what a check uses."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gradcheck_magic._notebook.snapshot import Snapshot
from gradcheck_magic._report.words import SEPARATOR, brief
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import duration, first_line, listed
from gradcheck_magic.errors import GradientCheckError, GradientCheckInterrupted

__all__ = ["News", "Watch", "subject_of"]

Namespace = dict[str, Any]
Checker = Callable[[argparse.Namespace], GradientCheck]

# A watched check, including the snapshots, may take this part of the time of the cell before it, or
# LEAST_SECONDS if that is more.
CELL_SHARE = 0.25
LEAST_SECONDS = 0.3
# A check is not begun if there is no time for this many evaluations: it could say nothing.
LEAST_EVALUATIONS = 10
# Every entry is measured only if two evaluations for each take at most this part of the time.
FULL_SHARE = 0.5


class News(NamedTuple):
    """The news after a cell on one line, and the result if a check was made."""

    sentence: str
    check: GradientCheck | None = None


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
        self._namespace = namespace
        self._last: GradientCheck | None = None
        self._seen = self._snapshot()
        # What the expressions read when the gradient was last computed.
        self._computed = self._seen

    @property
    def blind_spots(self) -> str:
        """A warning about variables that are too large to be read in full, or an empty string."""
        names = self._seen.overlooked
        return f"in-place changes of {listed(names)} may go unnoticed" if names else ""

    def remember(self, options: argparse.Namespace, check: GradientCheck | None) -> None:
        """Take the present state as checked, if a check with these options is of this gradient."""
        if subject_of(options) == subject_of(self.options):
            # The time of the next check is estimated from this one.
            self._last = self._last if check is None else check
            self._set_seen(self._snapshot())

    def after_cell(self, seconds: float, check: Checker) -> News | None:
        """Check again if a cell that took these seconds has changed anything; raise no error."""
        try:
            began = time.perf_counter()
            now = self._snapshot()
            if now.objects == self._seen.objects:
                return None
            taken = time.perf_counter() - began
            budget = max(CELL_SHARE * seconds, LEAST_SECONDS)
            try:
                # Leave time for another snapshot, as the check may change what the cost reads.
                return self._news(now, max(budget - 2 * taken, taken), check)
            finally:
                self._set_seen(self._snapshot())
        except BaseException as error:  # noqa: BLE001 (the user's code may raise anything)
            return _not_checked(error)

    def _news(self, now: Snapshot, budget: float, check: Checker) -> News:
        params = self.options.params
        if self._is_kept(now) and now.are_values_new("params", self._computed):
            have = "has" if params.isidentifier() and params[-1] != "s" else "have"
            what = f"`{params}` {have} changed since {self._gradient(now)} was computed."
            return News(f"not checked: {what}")
        least = LEAST_EVALUATIONS * self._seconds_each
        if least > budget:
            why = f"it takes at least {_time(least)}; the limit is {_time(budget)}"
            return News(f"not checked: as the last check shows, {why}. Run %gradcheck to check it.")
        with _silence():
            self._last = check(self._options_within(budget))
        return self._result_news(now, self._last)

    def _result_news(self, now: Snapshot, check: GradientCheck) -> News:
        if check.interrupted and check.verdict is not Verdict.BUG:
            enough = f"{_time(check.seconds)} was not enough"
            return News(f"not checked: {enough}. Run %gradcheck to check in full.", check)
        line = brief(check)
        if not check.passed:
            if self._is_kept(now) and now.differs("cost", self._computed):
                what = f"`{self.options.cost}`, or something it uses, has changed"
                line += f" {what} since {self._gradient(now)} was computed."
            line += " `_gradcheck` shows the card."
        return News(SEPARATOR.join(filter(None, (line, self.blind_spots))), check)

    @property
    def _seconds_each(self) -> float:
        """The time of one evaluation of the cost in the last check."""
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
        return "`.grad`" if now.is_accumulated else f"`{self.options.grads}`"


def subject_of(options: argparse.Namespace) -> tuple[str | None, ...]:
    """Return the expressions and names that say which gradient a check is of."""
    return (options.params, options.grads, options.cost, options.upstream, *(options.only or ()))


def _not_checked(error: BaseException) -> News:
    """Return the news that there is no result, with the reason."""
    if isinstance(error, GradientCheckInterrupted):
        return News(f"not checked: interrupted. {error}", error.check)
    if isinstance(error, KeyboardInterrupt):
        return News("not checked: interrupted; the parameters are as they were before.")
    if isinstance(error, GradientCheckError):
        return News(f"not checked: {first_line(error)}")
    said = ": ".join(filter(None, (type(error).__name__, first_line(error))))
    return News(f"not checked: {said.rstrip('.')}. Run %gradcheck to see where.")


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004 (two digits)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress output and warnings, which the cost would repeat at each evaluation."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
