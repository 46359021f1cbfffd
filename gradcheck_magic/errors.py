"""The exceptions, each with the one-line rendering a notebook shows; and how sentences are put.

IPython calls ``_render_traceback_`` instead of formatting a traceback. The cell still ends in a
real error, so *Run All* stops and nbmake, nbval, nbconvert and papermill are red, but the reader
sees one sentence and not the inside of this package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "GradientCheckError",
    "GradientCheckFailed",
    "GradientCheckInterrupted",
    "InputError",
    "WorkerLostError",
    "counted",
    "did_you_mean",
    "escaped",
    "first_line",
    "listed",
    "printable",
    "shortened",
    "shown",
    "some_were",
]

# `dW` says too little of what was meant by it, `grad` enough.
SHORTEST_STEM = 3
# What is longer is not read to its end.
LONGEST = 160


class GradientCheckError(Exception):
    """Anything this package raises, other than an interrupt or the user's own exceptions.

    A notebook shows it in one line, without a traceback, and the cell has failed all the same.
    Whatever a sentence quotes, it is one line.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class InputError(GradientCheckError, ValueError):
    """The check was asked for in a way that cannot work: the call is wrong, not the gradient.

    It names the culprit, and says what was found and what to do. It is a `ValueError`.
    """


class WorkerLostError(GradientCheckError, RuntimeError):
    """A worker died, and the check could not be made.

    It is a `RuntimeError`.
    """


class GradientCheckFailed(GradientCheckError, AssertionError):  # noqa: N818 (a public name)
    """The check ran, and its verdict is not CORRECT.

    It is an `AssertionError`, so that a test fails by it.

    Attributes
    ----------
    check : GradientCheck
        The whole result.
    """

    # Nothing can be imported here: what is raised knows nothing of what raises it.
    def __init__(self, message: str, check: Any) -> None:
        super().__init__(message)
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[str, Any]]:
        return type(self), (str(self), self.check)


class GradientCheckInterrupted(KeyboardInterrupt):
    """The check was interrupted; every parameter is as it was before.

    It is a `KeyboardInterrupt`, so that *Run All* stops.

    Attributes
    ----------
    check : GradientCheck
        What was known by then; ``check.interrupted`` tells whether entries are missing.
    """

    def __init__(self, check: Any) -> None:
        checked = f"{some_were(check.n_measured, check.size, 'entries')} checked"
        if check.mode == "scan":
            looked_at = sum(parameter.is_scanned for parameter in check.parameters)
            checked = f"{some_were(looked_at, len(check.parameters), 'parameters')} looked at"
        super().__init__(f"{checked}; the parameters are as they were before.")
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self.check,)

    def _render_traceback_(self) -> list[str]:
        return [f"Gradient check interrupted: {self}"]


def first_line(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        return "what it says cannot be read"
    return printable(text.partition("\n")[0])


def printable(text: str) -> str:
    """Return text with line breaks, lone surrogates and what else is not shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(character: str) -> str:
    """Return a character as Python writes it in ASCII."""
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str) -> str:
    """Return a text of the user's, without its middle where it is very long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 4 :]}"


def shown(value: object) -> str:
    """Return how a value is written, in one line, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        text = object.__repr__(value)
    return shortened(printable(text))


def duration(seconds: float) -> str:
    """Return a time in the unit in which people would say it."""
    if seconds < 120:  # noqa: PLR2004 (two minutes)
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004 (two hours)
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:  # noqa: PLR2004 (two days)
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:,.0f} days"


def counted(number: int, noun: str) -> str:
    """Return ``2 arrays``, and ``1 array``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def some_were(number: int, total: int, nouns: str) -> str:
    """Return ``2 of 4 entries were``, and ``1 of 4 entries was``."""
    return f"{number:,} of {total:,} {nouns} {'was' if number == 1 else 'were'}"


def listed(names: Iterable[str], most: int = 8, *, code: bool = True) -> str:
    """Return a readable list, such as ```W1`, `b1` and `W2```; without quotes if not `code`."""
    quoted = [f"`{name}`" if code else name for name in names]
    if len(quoted) > most:
        quoted = [*quoted[:most], f"{len(quoted) - most} more"]
    *first, last = quoted or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean `gradients`?)"``, or nothing where no candidate is close.

    Examples
    --------
    >>> did_you_mean("grads", ["gradients", "X"])
    ' (did you mean `gradients`?)'
    """
    pool = [c for c in candidates if not c.startswith("_")]
    close = [c for c in pool if c.lower() == name.lower()]
    close += difflib.get_close_matches(name, pool, n=1, cutoff=0.7)
    # An abbreviation is short beside the word itself, so the ratio of common letters misses it.
    stem = name.rstrip("s").lower()
    close += [c for c in pool if len(stem) >= SHORTEST_STEM and c.lower().startswith(stem)]
    return f" (did you mean `{close[0]}`?)" if close else ""
