"""The line of options after `%gradcheck`: split into words, and read by the table of options.

* Spaces separate words, except in quotes or in brackets.
* Quotes around a whole value are removed; all others are part of it: `-p params["W1"]`. There are
  no escapes. To use both kinds of quotes in a value, put it in brackets: `(f('a', "b"))`.
* A value follows its option, or the `=` after it, or a letter at once: `-pnet.params`. A word that
  begins with `-` and a letter is an option, so a value such as `-dW` needs quotes or the `=`; a
  negative number does not.
* A word that begins with `#` starts a comment.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence

from gradcheck_magic._notebook.options import FLAGS, Option
from gradcheck_magic._wording import did_you_mean, shortened
from gradcheck_magic.errors import InputError

__all__ = ["grouped", "names", "option_of", "quoted", "read_options", "split", "unquoted"]

# A Python string, or the rest of the line after an unclosed quote, or any other character.
PIECE = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\])*\1|(?P<unclosed>["'].*)|(?P<other>.)""", re.DOTALL)
QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
CLOSED_BY = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
FLAG = re.compile(r"--?[^\W\d]")
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
        if text in {")", "]", "}"}:
            del opened[-1:]
        elif text in CLOSED_BY or piece.lastgroup == "unclosed":
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


def quoted(text: str) -> str:
    """Return a value as it has to be written on a line, with quotes or brackets if needed."""
    is_word = split(text) == ([unquoted(text)], "")
    if is_word and not text.startswith("=") and not FLAG.match(text):
        return text
    quote = "'" if '"' in text else '"'
    return f"({text})" if quote in text else f"{quote}{text}{quote}"


def names(text: str) -> list[str]:
    """Return the names in `W1,b1`; a comma in brackets is part of a name."""
    parts, _ = split(text, ",".__eq__)
    return [unquoted(part.strip()) for part in parts if part.strip()]


def grouped(words: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return each flag with the values after it; the values before the first have an empty one."""
    groups: list[tuple[str, list[str]]] = [("", [])]
    for word in words:
        if FLAG.match(word):
            flag, equals, value = word.partition("=")
            letter = FLAGS.get(word[:2])
            # A value may follow a letter at once, but `-params` is a mistake for `--params`.
            if letter and not letter.is_switch and flag[2:] and f"-{flag}" not in FLAGS:
                groups.append((word[:2], [word[2:]]))
            else:
                groups.append((flag, [value] if equals else []))
        else:
            groups[-1][1].append(word)
    return groups if groups[0][1] else groups[1:]


# Options


def option_of(flag: str) -> Option | None:
    """Return the option that a flag names, perhaps abbreviated; None if none or several."""
    found = {option.name: option for name, option in FLAGS.items() if name.startswith(flag)}
    return found.popitem()[1] if len(found) == 1 else None


def read_options(line: str) -> Namespace:
    """Read a line, and return the value of each option by name, None if it is not there.

    Raises
    ------
    InputError
        If the line holds anything other than options and their values.
    """
    try:
        return Namespace(**_values(line))
    except InputError as error:
        raise InputError(f"%gradcheck: {error}") from None


def _values(line: str) -> dict[str, object]:
    words, opened = split(line)
    if opened in CLOSED_BY:
        what = "quote" if CLOSED_BY[opened] == opened else "bracket"
        raise InputError(
            f"the {what} {opened} in `{shortened(words[-1])}` is never closed: write "
            f"{CLOSED_BY[opened]} where the value ends."
        )
    found: dict[str, object] = dict.fromkeys(option.name for option in FLAGS.values())
    for flag, values in grouped(words):
        option = option_of(flag)
        if option is None and flag:
            raise InputError(f"there is no option `{shortened(flag)}`{_meant(flag)}.{SEE}")
        if option is None or (option.is_switch and values):
            raise InputError(
                f"`{shortened(values[0])}` has no option before it{_meant(values[0])}.{SEE}"
            )
        if found[option.name] is not None:
            raise InputError(f"`--{option.name}` is given twice: write it once.")
        found[option.name] = _value(option, flag, values)
    return found


def _meant(word: str) -> str:
    return did_you_mean(f"--{word.lstrip('-')}", FLAGS)


def _value(option: Option, flag: str, values: Sequence[str]) -> object:
    if option.is_switch:
        return not flag.startswith("--no-")
    first, *others = values or [""]
    if not first or first.startswith("="):
        example = f"{flag}={option.metavar.removesuffix(' ...')}"
        raise InputError(f"`{flag}` needs a value, {option.expected(str)}: write {example}.")
    if option.is_several:
        return [name for value in values for name in names(unquoted(value))]
    if others:
        rest = " ".join(others)
        raise InputError(
            f"`{shortened(rest)}` is left over after `{flag} {shortened(first)}`: put a value with "
            f"spaces in quotes or brackets, as in {flag} {shortened(quoted(f'{first} {rest}'))}."
        )
    return option.read(unquoted(first), f"`{flag}`")
