"""How text is written: in which characters, how wide, and in which colours.

A terminal of any age shows the report: where its encoding lacks a character of ours, that is
spelled out, and one of the user's is escaped, as Python does it. Nothing becomes a question mark,
which is a verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import escaped

__all__ = ["MUTED", "PLAIN_STYLE", "TONES", "TextStyle", "columns"]

# Every character beyond ASCII that this package shows, for encodings which lack it.
SPELLED = {
    "✓": "OK", "✗": "X", "≈": "~", "±": "+-", "−": "-", "×": "x", "·": "|", "≤": "<=", "½": "1/2",
    "θ": "theta", "ε": "eps", "λ": "lambda", "→": "->", "…": "...", "²": "^2",
    "●": "*", "█": "#", "▼": "v",
}  # fmt: skip
# Parameters of the sequence that sets a colour ("select graphic rendition").
TONES = {
    Verdict.CORRECT: "32",
    Verdict.INSPECT: "33",
    Verdict.BUG: "31",
    Verdict.INCONCLUSIVE: "35",
}
MUTED = "2"
# Where a line may end: not within an equation.
SPACE = re.compile(r"(?<!=) (?!=)")
CODE = re.compile(r"(`[^`]*`)")


@dataclass(frozen=True)
class TextStyle:
    """How text is written.

    Attributes
    ----------
    encoding : str
        Only characters that it has are used.
    is_coloured : bool
        Whether colours are set; the text is the same without them.
    width : int or None
        At how many columns sentences are broken; None: nowhere.
    """

    encoding: str = "utf-8"
    is_coloured: bool = False
    width: int | None = None

    def sentence(self, text: str) -> str:
        """Write what this package says; what it quotes in `code` is the user's."""
        return "".join(
            self.name(part) if part.startswith("`") else self._written(part, SPELLED)
            for part in CODE.split(text)
        )

    def name(self, text: str) -> str:
        """Write a string of the user's, from which it can be told what it was."""
        return self._written(text, {})

    def painted(self, text: str, tone: str) -> str:
        """Set the colour of a text, and take it back behind it."""
        return f"\x1b[{tone}m{text}\x1b[0m" if self.is_coloured and text else text

    def broken(self, text: str, indent: str = "") -> Iterator[str]:
        """Yield the lines of a sentence, all but the first of them indented."""
        if self.width is None:
            yield text
            return
        line, *words = SPACE.split(text)
        for word in words:
            if columns(line) + 1 + columns(word) <= self.width:
                line += " " + word
            else:
                yield line
                line = indent + word
        yield line

    def _written(self, text: str, spelled: Mapping[str, str]) -> str:
        return "".join(c if self._has(c) else spelled.get(c) or escaped(c) for c in text)

    def _has(self, character: str) -> bool:
        # A line break in a name, or a sequence that sets a colour, is written as what it is.
        if not character.isprintable():
            return False
        try:
            character.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


# For files and notebooks.
PLAIN_STYLE = TextStyle()


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: accents none, East Asian signs two.

    Examples
    --------
    >>> columns("W1"), columns("权重"), columns("e\u0301")
    (2, 4, 1)
    """
    return sum(map(_columns_of_character, text))


def _columns_of_character(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
