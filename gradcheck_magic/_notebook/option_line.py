"""The line of options after `%gradcheck`: split into words here, and read by argparse.

* Spaces separate words, except in quotes or in brackets.
* Quotes around a whole value are removed; all others are part of it: `-p params["W1"]`. There are
  no escapes. To use both kinds of quotes in a value, put it in brackets: `(f('a', "b"))`.
* A value follows its option, or the `=` after it. A word that begins with `-` and a letter is an
  option, so a value such as `-dW` needs quotes or the `=`; a negative number does not.
* A word that begins with `#` starts a comment.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from IPython.core.magic_arguments import MagicArgumentParser, MagicHelpFormatter

from gradcheck_magic._notebook.options import FLAGS, OPTIONS, Option
from gradcheck_magic._wording import did_you_mean, printable, shortened
from gradcheck_magic.errors import InputError

__all__ = [
    "is_value",
    "marked",
    "names",
    "option_of",
    "option_parser",
    "quoted",
    "read_options",
    "split",
    "unquoted",
]

# A Python string, or the rest of the line after an unclosed quote, or any other character.
PIECE = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\])*\1|(?P<unclosed>["'].*)|(?P<other>.)""", re.DOTALL)
QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
OPENING, CLOSING = "([{", ")]}"
CLOSED_BY = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
FLAG = re.compile(r"--?[^\W\d]")
FLAG_AND_VALUE = re.compile(r"(--[^\W\d][\w-]*|-[^\W\d])=(.*)", re.DOTALL)
SEE = " See %gradcheck? for the options."


# Words


def split(line: str, is_separator: Callable[[str], bool] = str.isspace) -> tuple[list[str], str]:
    """Split a line at the separators that are outside of quotes and brackets.

    Returns
    -------
    words : list of str
        The words as written, with their quotes, but not a comment.
    opened : str
        The quote or bracket that is still open at the end, or the `#` of a comment, if any.
    """
    words = [""]
    opened: list[str] = []
    for piece in PIECE.finditer(line):
        text = piece.group()
        if is_separator(text) and not opened:
            words.append("")
            continue
        if text == "#" and not words[-1]:
            opened.append(text)
            break
        words[-1] += text
        if text in OPENING:
            opened.append(text)
        elif text in CLOSING:
            del opened[-1:]
        elif piece.lastgroup == "unclosed":
            opened.append(text[0])
    return [word for word in words if word], "".join(opened[-1:])


def unquoted(text: str) -> str:
    """Return a value without the quotes around it.

    Examples
    --------
    >>> unquoted('"[W1, b1]"')
    '[W1, b1]'
    >>> unquoted("'a' + 'b'")
    "'a' + 'b'"
    """
    around = QUOTED.fullmatch(text)
    return around[2] if around else text


def quoted(value: object) -> str:
    """Return a value as it has to be written on a line, with quotes or brackets if needed."""
    text = str(value)
    is_word = split(text) == ([unquoted(text)], "")
    if is_word and not text.startswith(("#", "=")) and not FLAG.match(text):
        return text
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    return f"({text})"


def names(text: str) -> list[str]:
    """Return the names in `W1,b1`; a comma in brackets is part of a name."""
    parts, _ = split(text, ",".__eq__)
    return [unquoted(part.strip()) for part in parts if part.strip()]


def marked(words: Iterable[str]) -> Iterator[str]:
    """Yield flags as they are, and values with a space before them, also the one after `=`.

    The space says to argparse that this is a value: it takes `-1e-7` for a flag.
    """
    for word in words:
        pair = FLAG_AND_VALUE.fullmatch(word)
        if pair:
            yield from (pair[1], f" {pair[2]}")
        else:
            yield word if FLAG.match(word) else f" {word}"


def is_value(word: str) -> bool:
    """Return True for a value among the words of `marked`."""
    return word.startswith(" ")


def option_of(word: str) -> Option | None:
    """Return the option that a flag names, perhaps abbreviated; None if none or several."""
    name = word if word.startswith("--") else word[:2]
    found = {option.name: option for flag, option in FLAGS.items() if flag.startswith(name)}
    return found.popitem()[1] if len(found) == 1 else None


# Options


def option_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser for the line of a magic."""
    parser = _Parser(name, description=description, formatter_class=_HelpFormatter)
    for option in OPTIONS:
        if option.is_on_line:
            metavar = f"{option.metavar} ..." if option.is_several else option.metavar
            nargs = 0 if option.is_switch else "*"
            parser.add_argument(
                *option.flags, action=_Store, nargs=nargs, metavar=metavar, help=option.help
            )
    return parser


def read_options(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """Read a line, and return the value of each option by name.

    Raises
    ------
    InputError
        If the line holds anything other than options and their values.
    """
    try:
        read, rest = parser.parse_known_args([*marked(_words(line))])
        if rest:
            raise _unknown(rest[0])
    except InputError as error:
        raise InputError(f"%{parser.prog}: {error}") from None
    return read


def _words(line: str) -> list[str]:
    words, opened = split(line)
    if opened not in {"", "#"}:
        what = "bracket" if opened in OPENING else "quote"
        raise InputError(
            f"the {what} {opened} in `{words[-1]}` is never closed: write {CLOSED_BY[opened]} "
            "where the value ends."
        )
    for word in words:
        # argparse would read `-params` as `-p arams`.
        name = word.partition("=")[0]
        if name.startswith("-") and f"-{name}" in FLAGS:
            raise _unknown(name)
    return words


class _Parser(MagicArgumentParser):
    """A parser whose errors are shown in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise an error of argparse, such as an ambiguous abbreviation."""
        raise InputError(f"{message}.{SEE}")


class _HelpFormatter(MagicHelpFormatter):
    """A formatter that shows one value, although `_Store` accepts several and counts them."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:  # noqa: ARG002
        return str(action.metavar)


class _Store(argparse.Action):
    """The action for each option: it stores the value if it is valid and the only one.

    All messages are ours, as those of argparse change from one Python to the next.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the values of an option."""
        if getattr(namespace, self.dest) is not None:
            raise InputError(f"`--{self.dest}` is given twice: write it once.")
        words = [word.removeprefix(" ") for word in values or ()]
        setattr(namespace, self.dest, _value(FLAGS[f"--{self.dest}"], str(option_string), words))


def _value(option: Option, flag: str, values: Sequence[str]) -> object:
    if option.is_switch:
        return not flag.startswith("--no-")
    first, *others = values or [""]
    if not first or first.startswith("="):
        raise InputError(
            f"`{flag}` needs a value, {option.expected(_as_written)}: write "
            f"{flag}={option.metavar}."
        )
    if option.is_several:
        return [name for value in values for name in names(unquoted(value))]
    if others:
        rest = " ".join(others)
        raise InputError(
            f"`{rest}` is left over after `{flag} {first}`: put a value with spaces in quotes "
            f"or brackets, as in {flag} {quoted(f'{first} {rest}')}."
        )
    return _converted(option, flag, unquoted(first))


def _converted(option: Option, flag: str, text: str) -> object:
    convert = option.kind.of_text
    if convert is None:
        return text
    value: object = text
    with contextlib.suppress(ValueError):
        value = convert(text)
    return option.checked(value, f"`{flag}`", _as_written)


def _as_written(value: object) -> str:
    return shortened(printable(str(value)))


def _unknown(word: str) -> InputError:
    text = word.removeprefix(" ")
    meant = did_you_mean(f"--{text.lstrip('-')}", FLAGS)
    if is_value(word):
        return InputError(f"`{text}` has no option before it{meant}.{SEE}")
    return InputError(f"there is no option `{text}`{meant}.{SEE}")
