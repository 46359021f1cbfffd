"""The cards that show the progress of a check and then its result, as text or static HTML."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TextIO

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from gradcheck_magic._report.card import progress_card
from gradcheck_magic._report.text import text_report
from gradcheck_magic._report.text_style import TextStyle, columns
from gradcheck_magic._report.words import progress_text, selectable
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = [
    "JSON_TYPE",
    "Bundle",
    "Clock",
    "Published",
    "StaticCard",
    "TextCard",
    "bundle_of",
    "outputs_stand_alone",
    "say",
]

# The MIME type of the result for graders and scripts; no front end shows it.
JSON_TYPE = "application/vnd.gradcheck+json"
# Progress is first shown after PATIENCE, then every REFRESH; both are in seconds.
PATIENCE = 0.3
REFRESH = 0.1
# The notebook keeps at most this many diagnoses as JSON, and as many reasons.
MOST_IN_JSON = 100

Bundle = dict[str, Any]


class Published:
    """An output of a cell that is displayed, and can be updated in place."""

    def __init__(self, bundle: Bundle) -> None:
        self._handle = display(bundle, raw=True, display_id=True)

    def update(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)


def outputs_stand_alone(shell: InteractiveShell) -> bool:
    """Return True if the front end isolates outputs, so that one cannot hide another."""
    return (
        "__vsc_ipynb_file__" in shell.user_ns
        or "VSCODE_PID" in os.environ
        or "google.colab" in sys.modules
    )


class Clock:
    """A clock that says when to show progress again."""

    def __init__(self) -> None:
        self._next = PATIENCE

    def due(self, seconds: float) -> bool:
        """Return True if progress is due, this many seconds after the start."""
        if seconds < self._next:
            return False
        self._next = seconds + REFRESH
        return True


class StaticCard:
    """A card that is one HTML output, for front ends that keep outputs apart."""

    def __init__(self, publish: Callable[[Bundle], Published]) -> None:
        self._publish = publish
        self._output: Published | None = None
        self._clock = Clock()

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show the progress, if it is due."""
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
    """Return the MIME bundle of a result, with all forms that a notebook keeps."""
    return {"text/plain": text_report(check), "text/html": html, JSON_TYPE: _as_json(check)}


def _as_json(check: GradientCheck) -> dict[str, Any]:
    """Return the result as a dict; if there are thousands of parameters, those of the card."""
    found = check.to_dict()
    listed = {parameter.name for parameter in selectable(check)}
    if len(listed) < len(check.parameters):
        found["n_parameters"] = len(check.parameters)
        found["parameters"] = [each for each in found["parameters"] if each["name"] in listed]
    for name in ("diagnoses", "reasons"):
        found[name] = found[name][:MOST_IN_JSON]
    return found


def style_of(stream: TextIO) -> TextStyle:
    """Return the style of text for a stream: its encoding, and colours on a terminal.

    There are no colours if the environment sets `NO_COLOR` (https://no-color.org) or says that the
    terminal has none.
    """
    encoding = stream.encoding or "utf-8"
    if not stream.isatty():
        return TextStyle(encoding)
    is_coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return TextStyle(encoding, is_coloured, shutil.get_terminal_size().columns)


def say(sentence: str) -> None:
    """Print a sentence on one line, in characters that the stream can encode."""
    print(style_of(sys.stdout).sentence(sentence))  # noqa: T201 (one line for the user)


class TextCard:
    """A card that is the text report on `out`, with progress on `err` if that is a terminal."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._width = 0
        self._clock = Clock()

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Overwrite the progress line, if it is due."""
        if self._err.isatty() and self._clock.due(seconds):
            style = style_of(self._err)
            first, *_ = style.broken(style.sentence(progress_text(done, expected, seconds)))
            # A line that the terminal breaks cannot be overwritten.
            self._write_over(first)

    def show(self, check: GradientCheck) -> None:
        """Print the report."""
        self.clear()
        print(text_report(check, style_of(self._out)), file=self._out)

    def clear(self) -> None:
        """Wipe the progress line."""
        if self._width:
            self._write_over("")
            self._width = 0

    def _write_over(self, text: str) -> None:
        self._err.write("\r" + text.ljust(self._width) + ("" if text else "\r"))
        self._err.flush()
        self._width = columns(text)
