"""The style of text: its characters, its width and its colours.

Any terminal can show the report. If its encoding lacks one of our characters, we spell it out; if
it lacks one of the user's, we escape it as Python does. No character becomes a question mark, as
that is the symbol of a verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import escaped

__all__ = ["MUTED", "PLAIN_STYLE", "TONES", "TextStyle", "columns"]

# The spelling of every character beyond ASCII in our own sentences, for encodings that lack it.
SPELLED = {
    "✓": "OK", "✗": "X", "≈": "~", "±": "+-", "−": "-", "×": "x", "·": "|", "≤": "<=", "≥": ">=",
    "½": "1/2",     "θ": "theta", "ε": "eps", "λ": "lambda", "→": "->", "…": "...", "²": "^2",
    "●": "*", "–": "-", "█": "#", "▼": "v", "∂": "d",
}  # fmt: skip
# The parameters of the escape sequence that sets a colour ("select graphic rendition").
TONES = {
    Verdict.CORRECT: "32",
    Verdict.INSPECT: "33",
    Verdict.BUG: "31",
    Verdict.INCONCLUSIVE: "35",
}
MUTED = "2"
# A line may be broken at these spaces: not within an equation.
SPACE = re.compile(r"(?<!=) (?!=)")
CODE = re.compile(r"(`[^`]*`)")


@dataclass(frozen=True)
class TextStyle:
    """A style of text.

    Attributes
    ----------
    encoding : str
        The encoding; only its characters are used.
    is_coloured : bool
        True if colours are set. The text is the same without them.
    width : int or None
        The number of columns at which sentences are broken; None to break none.
    """

    encoding: str = "utf-8"
    is_coloured: bool = False
    width: int | None = None

    def sentence(self, text: str) -> str:
        """Return one of our sentences in this style; text in `code` is the user's."""
        return "".join(
            self.name(part) if part.startswith("`") else self._written(part, SPELLED)
            for part in CODE.split(text)
        )

    def name(self, text: str) -> str:
        """Return a string of the user's in this style, with missing characters escaped."""
        # The signs of a derivative are ours.
        return self._written(text, {"∂": SPELLED["∂"]} if "/∂" in text else {})

    def painted(self, text: str, tone: str) -> str:
        """Return a text in a colour, which is reset before the spaces at its end."""
        words = text.rstrip()
        if not (self.is_coloured and words):
            return text
        return f"\x1b[{tone}m{words}\x1b[0m{text[len(words) :]}"

    def broken(self, text: str, indent: str = "") -> Iterator[str]:
        """Yield the lines of a sentence, indented from the second line on."""
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
        # A line break or an escape sequence in a name is escaped, so that it has no effect.
        return "".join(
            c
            if c.isprintable() and c.encode(self.encoding, "ignore")
            else spelled.get(c) or escaped(c)
            for c in text
        )


# The style for files and notebooks.
PLAIN_STYLE = TextStyle()


def columns(text: str) -> int:
    """Return the width of a text in a terminal: 0 columns for accents, 2 for East Asian signs.

    Examples
    --------
    >>> columns("W1"), columns("权重"), columns("e\u0301")
    (2, 4, 1)
    """
    seen = [c for c in text if unicodedata.category(c) not in {"Mn", "Me"}]
    return len(seen) + sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in seen)
