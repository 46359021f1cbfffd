"""The cards that show a check while it runs, then its result: in a terminal, or as one output."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from gradcheck_magic._report.card import progress_card
from gradcheck_magic._report.text import text_report
from gradcheck_magic._report.text_style import TextStyle, columns
from gradcheck_magic._report.words import progress_text
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = [
    "JSON_TYPE",
    "Bundle",
    "Card",
    "Clock",
    "Output",
    "StaticCard",
    "TextCard",
    "bundle_of",
    "style_of",
]


# The result for graders and scripts; no front end shows this type.
JSON_TYPE = "application/vnd.gradcheck+json"


# Nothing is shown of a check that is over sooner, and what is shown changes no oftener.
PATIENCE = 0.3
REFRESH = 0.1

Bundle = dict[str, Any]


class Output(Protocol):
    """An output of a cell that can be replaced in place."""

    def update(self, bundle: Bundle, /) -> object: ...


class Card(Protocol):
    """Shows a check while it runs, and its result."""

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is; called now and then."""

    def show(self, check: GradientCheck) -> None:
        """Show the result, in place of the progress."""

    def clear(self) -> None:
        """Leave nothing of the progress behind."""


class Clock:
    """Says when it is time to show progress again."""

    def __init__(self) -> None:
        self._next = PATIENCE

    def due(self, seconds: float) -> bool:
        """Whether to show it, so many seconds after the start."""
        if seconds < self._next:
            return False
        self._next = seconds + REFRESH
        return True


class StaticCard:
    """The card as one HTML output, for front ends where two outputs would not see each other.

    Parameters
    ----------
    publish : callable
        Displays a MIME bundle as an output of the cell and returns an `Output`.
    """

    def __init__(self, publish: Callable[[Bundle], Output]) -> None:
        self._publish = publish
        self._output: Output | None = None
        self._clock = Clock()

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is."""
        if self._clock.due(seconds):
            text = progress_text(done, expected, seconds)
            self._put({"text/plain": text, "text/html": progress_card(done, expected, seconds)})

    def show(self, check: GradientCheck) -> None:
        """Show the result."""
        self._clock = Clock()
        self._put(bundle_of(check, check.to_html()))

    def clear(self) -> None:
        """Empty the output, if there is one."""
        if self._output is not None:
            self._put({"text/plain": "", "text/html": ""})

    def _put(self, bundle: Bundle) -> None:
        if self._output is None:
            self._output = self._publish(bundle)
        else:
            self._output.update(bundle)


def bundle_of(check: GradientCheck, html: str) -> Bundle:
    """Return all forms of a result that a notebook keeps."""
    return {"text/plain": text_report(check), "text/html": html, JSON_TYPE: check.to_dict()}


def style_of(stream: TextIO) -> TextStyle:
    """Return how text is written to a stream: in its encoding, and in colour on a terminal.

    There are no colours where the environment has `NO_COLOR` (https://no-color.org), or says that
    the terminal has none.
    """
    encoding = stream.encoding or "utf-8"
    if not stream.isatty():
        return TextStyle(encoding)
    is_coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return TextStyle(encoding, is_coloured, shutil.get_terminal_size().columns)


class TextCard:
    """The report as text.

    Parameters
    ----------
    out, err : text stream
        Where the report goes, and the line of progress, if it is a terminal.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._width = 0
        self._clock = Clock()

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Overwrite the line of progress."""
        if self._err.isatty() and self._clock.due(seconds):
            style = style_of(self._err)
            first, *_ = style.broken(style.sentence(progress_text(done, expected, seconds)))
            # A line that the terminal breaks cannot be overwritten.
            self._write_over(first)

    def show(self, check: GradientCheck) -> None:
        """Print the report."""
        self.clear()
        print(text_report(check, style_of(self._out)), file=self._out)

    def say(self, sentence: str) -> None:
        """Print a sentence in one line, in characters that the stream has."""
        print(style_of(self._out).sentence(sentence), file=self._out)

    def clear(self) -> None:
        """Wipe the line of progress."""
        if self._width:
            self._write_over("")
            self._width = 0

    def _write_over(self, text: str) -> None:
        self._err.write("\r" + text.ljust(self._width) + ("" if text else "\r"))
        self._err.flush()
        self._width = columns(text)
