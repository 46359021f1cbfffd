"""The card in a terminal: the report as text, and a line of progress before it."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from gradcheck_magic.check import GradientCheck
from gradcheck_magic.clock import Clock
from gradcheck_magic.report import progress_text
from gradcheck_magic.text_report import text_report
from gradcheck_magic.text_style import TextStyle, columns

__all__ = ["TextCard", "style_of"]


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
