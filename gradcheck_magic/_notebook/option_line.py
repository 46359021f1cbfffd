"""The parser for the line of options after `%gradcheck`.

The magic's argparse parser defines the options and shows their help, but the line is read here.
IPython's own splitting leaves the quotes around values, and cuts `--params="a b"` in two. argparse
takes `-1e-7` for an option, and its error messages change from one Python to the next.

* Spaces separate words, except in quotes or in brackets.
* Quotes around a whole value are removed; all others are part of it: `-p params["W1"]`. There are
  no escapes. To use both kinds of quotes in a value, put it in brackets: `(f('a', "b"))`.
* A value follows its option, or the `=` after it. A word that begins with `-` and a letter is an
  option, so a value such as `-dW` needs quotes or the `=`; a negative number does not.
* A word that begins with `#` starts a comment.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from keyword import iskeyword
from typing import Any

from gradcheck_magic._wording import did_you_mean, listed
from gradcheck_magic.errors import InputError

__all__ = [
    "Option",
    "Word",
    "identifier",
    "is_option",
    "names",
    "options_at",
    "quoted",
    "read_options",
    "split",
    "table_of",
    "unquoted",
]

# A Python string, or the rest of the line after an unclosed quote, or any other character.
PIECE = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\])*\1|(?P<unclosed>["'].*)|(?P<other>.)""", re.DOTALL)
QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
OPENING, CLOSING = "([{", ")]}"
CLOSED_BY = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
OPTION = re.compile(r"--|-[^\W\d]")
Table = dict[str, argparse.Action]


# Words


@dataclass(frozen=True)
class Word:
    """A word of a line.

    Attributes
    ----------
    text : str
        The word as written, with its quotes; a comment is one word.
    start : int
        The position of its first character in the line.
    unclosed : str
        The quote or bracket that is still open at the end of the line, if any.
    """

    text: str
    start: int
    unclosed: str = ""

    @property
    def stop(self) -> int:
        """The position after its last character in the line."""
        return self.start + len(self.text)

    @property
    def is_comment(self) -> bool:
        """True if the word is a comment."""
        return self.text.startswith("#")


def split(line: str, is_separator: Callable[[str], bool] = str.isspace) -> Iterator[Word]:
    """Split a line at the separators that are outside of quotes and brackets."""
    start = 0
    opened: list[str] = []
    for piece in PIECE.finditer(line):
        text = piece.group()
        if is_separator(text) and not opened:
            if piece.start() > start:
                yield Word(line[start : piece.start()], start)
            start = piece.end()
        elif text == "#" and piece.start() == start:
            break
        elif text in OPENING:
            opened.append(text)
        elif text in CLOSING:
            del opened[-1:]
        elif piece.lastgroup == "unclosed":
            opened.append(text[0])
    if start < len(line):
        yield Word(line[start:], start, "".join(opened[-1:]))


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


def quoted(text: str) -> str:
    """Return a value as it has to be written on a line, with quotes or brackets if needed."""
    words = [word.text for word in split(text) if not word.unclosed]
    if words == [unquoted(text)] and not text.startswith(("#", "=")) and not is_option(text):
        return text
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    return f"({text})"


def names(text: str) -> list[str]:
    """Return the names in `W1,b1`; a comma in brackets is part of a name."""
    parts = [part.text.strip() for part in split(text, ",".__eq__)]
    return [unquoted(part) for part in parts if part]


def identifier(text: str) -> str:
    """Return the text if it is a valid name of a variable, else raise a ValueError."""
    if not text.isidentifier() or iskeyword(text) or text.startswith("__"):
        raise ValueError(text)
    return text


# The expected kind of value for each conversion, for error messages.
EXPECTED: dict[object, str] = {int: "a whole number", float: "a number", identifier: "a name"}


# Options


@dataclass(frozen=True)
class Option:
    """An option that is on a line.

    Attributes
    ----------
    name : str
        The name, such as `--params` or `-p`; never abbreviated.
    action : argparse.Action
        The parser's definition of the option.
    values : list of str
        The values as written, with their quotes.
    """

    name: str
    action: argparse.Action
    values: list[str] = field(default_factory=list)

    @property
    def lacks_value(self) -> bool:
        """True if the option needs a value and has none yet."""
        return self.action.nargs != 0 and not self.values

    @property
    def takes_value(self) -> bool:
        """True if the next word is a value of this option."""
        return self.lacks_value or self.action.nargs == "+"


def table_of(parser: argparse.ArgumentParser) -> Table:
    """Return the parser's definition of each option, by every name of the option."""
    actions = parser._actions  # noqa: SLF001 (argparse has no other list of them)
    return {name: action for action in actions for name in action.option_strings}


def is_option(text: str) -> bool:
    """Return True if a word is meant as an option, which a negative number is not."""
    return OPTION.match(text) is not None


def options_at(table: Table, word: str) -> list[Option]:
    """Return the options in a word, with the value that is part of the word.

    A word such as `-qo` holds several options, and the last of them may have a value.

    Raises
    ------
    InputError
        If there is no such option, or more than one.
    """
    name, equals, value = word.partition("=")
    if name.startswith("--"):
        name = _completed(table, name)
        return [_with_value(name, table[name], equals, value)]
    letter, rest = word[:2], word[2:]
    if letter not in table or f"-{name}" in table:
        raise _no_option(table, name)
    if table[letter].nargs == 0 and rest and not rest.startswith("="):
        return [Option(letter, table[letter]), *options_at(table, f"-{rest}")]
    return [_with_value(letter, table[letter], rest[:1], rest.removeprefix("="))]


def read_options(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """Read a line, and return the value of each option by name.

    Raises
    ------
    InputError
        If the line holds anything other than options and their values.
    """
    try:
        options = _options(table_of(parser), _words(line))
        read = argparse.Namespace(
            **{action.dest: action.default for action in table_of(parser).values()}
        )
        for option in options:
            option.action(parser, read, _value(option), option.name)
    except InputError as error:
        raise InputError(f"%{parser.prog}: {error}") from None
    return read


def _words(line: str) -> list[str]:
    words = [word for word in split(line) if not word.is_comment]
    for word in words:
        if word.unclosed:
            what = "bracket" if word.unclosed in OPENING else "quote"
            raise InputError(
                f"the {what} {word.unclosed} in `{word.text}` is never closed: write "
                f"{CLOSED_BY[word.unclosed]} where the value ends."
            )
    return [word.text for word in words]


def _options(table: Table, words: Sequence[str]) -> list[Option]:
    options: list[Option] = []
    for position, word in enumerate(words):
        last = options[-1] if options else None
        if is_option(word):
            if last is not None and last.lacks_value:
                raise _lacks_value(last, word)
            options += options_at(table, word)
            _require_once(options)
        elif last is None or not last.takes_value:
            rest = takewhile(lambda word: not is_option(word), words[position:])
            raise _without_option(table, list(rest), last)
        elif word.startswith("="):
            raise _lacks_value(last)
        else:
            last.values.append(word)
    if options and options[-1].lacks_value:
        raise _lacks_value(options[-1])
    return options


def _completed(table: Table, name: str) -> str:
    """Return the full name of an option that may be abbreviated."""
    if name in table:
        return name
    candidates = [long for long in table if long.startswith(name)]
    if name == "--" or not candidates:
        raise _no_option(table, name)
    if len(candidates) > 1:
        either = listed(candidates).replace(" and ", " or ")
        raise InputError(f"`{name}` could be {either}: write the whole name.")
    return candidates[0]


def _with_value(name: str, action: argparse.Action, mark: str, value: str) -> Option:
    """Return an option with the value after `=`, or directly after its letter."""
    if not mark:
        return Option(name, action)
    if action.nargs == 0:
        raise InputError(f"`{name}` takes no value: write {_either(action)}.")
    if not value:
        raise _lacks_value(Option(name, action))
    return Option(name, action, [value])


def _require_once(options: Sequence[Option]) -> None:
    *before, last = options
    if any(option.action is last.action for option in before):
        all_of_them = ", with all its values" if last.action.nargs == "+" else ""
        raise InputError(f"`{_long(last.action)}` is given twice: write it once{all_of_them}.")


def _value(option: Option) -> Any:
    values = [_converted(option, unquoted(value)) for value in option.values]
    return values if option.action.nargs in {0, "+"} else values[0]


def _converted(option: Option, value: str) -> object:
    action = option.action
    if action.choices is not None and value not in action.choices:
        close = did_you_mean(value, action.choices)
        raise InputError(f"`{option.name}` is {value!r}{close}: expected {_either(action)}.")
    convert = action.type if callable(action.type) else str
    try:
        return convert(value)
    except ValueError:
        raise InputError(f"`{option.name}` is {value!r}: expected {EXPECTED[convert]}.") from None


# Errors

SEE = " See %gradcheck? for the options."


def _long(action: argparse.Action) -> str:
    return next(name for name in action.option_strings if name.startswith("--"))


def _either(action: argparse.Action) -> str:
    """Return `auto, full or scan`, or `--quiet or --no-quiet`."""
    ways = action.choices or [name for name in action.option_strings if name.startswith("--")]
    return listed(ways, code=False).replace(" and ", " or ")


def _no_option(table: Table, name: str) -> InputError:
    # The user may have typed one dash, or the first letter alone: `-mode` or `-m`.
    meant = [long for long in table if long.startswith(f"-{name}")] if name[1:2] != "-" else []
    hint = did_you_mean(name, table)
    if meant:
        hint = f" (did you mean {listed(meant).replace(' and ', ' or ')}?)"
    return InputError(f"there is no option `{name}`{hint}.{SEE}")


def _lacks_value(option: Option, found: str = "") -> InputError:
    name, action = option.name, option.action
    if found:
        return InputError(
            f"`{name}` needs a value, and `{found}` looks like an option: write {name}={found} if "
            "that is the value."
        )
    choice = f", {_either(action)}" if action.choices else ""
    value = next(iter(action.choices)) if action.choices else action.metavar
    return InputError(
        f"`{name}` needs a value{choice}: write {name} {value}, or {name}={value} without spaces."
    )


def _without_option(table: Table, words: Sequence[str], last: Option | None) -> InputError:
    found, meant = " ".join(words), _meant(table, words)
    if meant:
        return InputError(f"`{found}` has no option before it (did you mean `{meant}`?).{SEE}")
    if last is None or not last.values:
        first = next(iter(table))
        return InputError(
            f"`{found}` has no option before it: write one, as in `{first} {found}`.{SEE}"
        )
    before = last.values[-1]
    return InputError(
        f"`{found}` is left over after `{last.name} {before}`: put a value with spaces in quotes "
        f"or brackets, as in {last.name} {quoted(f'{before} {found}')}."
    )


def _meant(table: Table, words: Sequence[str]) -> str:
    """Return the likely meaning of a word without an option, or an empty string."""
    first, *others = words
    for name, action in table.items():
        if action.choices is not None and first in action.choices:
            return f"{name} {first}"
    action_of_name = table.get(f"--{first}")
    if action_of_name is None:
        return ""
    if others or action_of_name.nargs == 0:
        return " ".join([f"--{first}", *others])
    if action_of_name.type is None and action_of_name.choices is None:
        return f"{action_of_name.option_strings[0]} {first}"
    return f"--{first} {action_of_name.metavar}"
