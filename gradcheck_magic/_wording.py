"""Building blocks of sentences: quote values, count things and list names, always in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "counted",
    "did_you_mean",
    "duration",
    "escaped",
    "first_line",
    "listed",
    "printable",
    "quoted",
    "shortened",
    "some_were",
]

# The least length of a name that is completed: `dW` is too short to guess what was meant.
SHORTEST_STEM = 3
# Nobody reads a longer quotation to its end.
LONGEST_QUOTE = 160
LONGEST_MESSAGE = 1000


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an exception."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        return "its message cannot be read"
    return shortened(printable(text.partition("\n")[0]), LONGEST_MESSAGE)


def printable(text: str) -> str:
    """Return text with line breaks, lone surrogates and other unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(character: str) -> str:
    """Return a character as Python writes it in ASCII."""
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return a user's text, without its middle if it is very long."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}...{text[-longest // 4 :]}"


def quoted(value: object) -> str:
    """Return the ``repr`` of a value in one line, even if its own ``__repr__`` fails."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (the user's own may raise anything)
        text = object.__repr__(value)
    return shortened(printable(text))


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    if seconds < 120:  # noqa: PLR2004 (two minutes)
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004 (two hours)
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:  # noqa: PLR2004 (two days)
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:,.0f} days"


def counted(number: int, noun: str) -> str:
    """Return ``2 arrays`` or ``1 array``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def some_were(number: int, total: int, nouns: str) -> str:
    """Return ``2 of 4 entries were`` or ``1 of 4 entries was``."""
    return f"{number:,} of {total:,} {nouns} {'was' if number == 1 else 'were'}"


def listed(names: Iterable[str], most: int = 8, *, code: bool = True) -> str:
    """Return a readable list, such as ```W1`, `b1` and `W2```; without backquotes if not `code`."""
    quoted = [f"`{name}`" if code else name for name in names]
    if len(quoted) > most:
        quoted = [*quoted[:most], f"{len(quoted) - most} more"]
    *first, last = quoted or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean `gradients`?)"``, or an empty string if no candidate is close.

    Examples
    --------
    >>> did_you_mean("grads", ["gradients", "X"])
    ' (did you mean `gradients`?)'
    """
    pool = [c for c in candidates if not c.startswith("_")]
    close = [c for c in pool if c.lower() == name.lower()]
    close += difflib.get_close_matches(name, pool, n=1, cutoff=0.7)
    # An abbreviation is much shorter than its word, so the ratio of common letters misses it.
    stem = name.rstrip("s").lower()
    close += [c for c in pool if len(stem) >= SHORTEST_STEM and c.lower().startswith(stem)]
    return f" (did you mean `{close[0]}`?)" if close else ""
