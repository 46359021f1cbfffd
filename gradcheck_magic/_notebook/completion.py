"""Tab completion for `%gradcheck` and `%%gradcheck`: options, their values, names of parameters.

Attributes, and names inside of expressions, are left to IPython. Nothing is evaluated: names and
stored attributes are only looked up, so pressing a key never runs the user's code.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.interactiveshell import InteractiveShell

from gradcheck_magic._inputs.parameters import (
    Mentioned,
    array_leaves,
    readable_names,
    variable_names,
)
from gradcheck_magic._notebook.option_line import (
    grouped,
    names,
    option_of,
    quoted,
    split,
    unquoted,
)
from gradcheck_magic._notebook.options import FLAGS, NOT_COMPILED
from gradcheck_magic._notebook.snapshot import roots

__all__ = ["around_cursor", "completer", "completions", "users_names"]

# At most this many parameters are offered, so that a list of a million numbers takes no time.
MOST_PARAMETERS = 1000
# The line up to the cursor: `%gradcheck` on any line, or `%%gradcheck` on the first.
LINE = re.compile(r"(?:\A\s*%|^[^\S\n]*)%gradcheck([^\S\n].*)\Z", re.MULTILINE)
# A name, or the last in a list of names.
LAST_NAME = re.compile(r"""["'\[(]*\s*(?:[\w.]+\s*,\s*)*(\w*)""")
Namespace = dict[str, Any]


def completer(shell: InteractiveShell, params: Callable[[], str]) -> Any:
    """Return a completer for the options of the magic.

    `params` returns the expression for the parameters, if the line has none.
    """

    @context_matcher(identifier="gradcheck_magic.options")
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        fragment, found = "", list[str]()
        # The user's objects may raise anything when they are looked at; typing must go on.
        with contextlib.suppress(Exception):
            fragment, found = completions(*around_cursor(context), users_names(shell), params())
        return {
            "completions": [
                SimpleCompletion(text, type="option" if text[0] == "-" else "value")
                for text in found
            ],
            "matched_fragment": fragment,
            "suppress": bool(found),
            "ordered": True,
        }

    return complete


def users_names(shell: InteractiveShell) -> Namespace:
    """Return the user's variables, without those that IPython has defined."""
    hidden = shell.user_ns_hidden
    # The default is in no namespace: a variable of the user's may well be None.
    names = shell.user_ns.items()
    return {name: value for name, value in names if hidden.get(name, hidden) is not value}


def around_cursor(context: CompletionContext) -> tuple[str, str]:
    """Return what is on the line of the magic before and after the cursor; nothing elsewhere."""
    lines = context.full_text.split("\n")
    above, below = lines[: context.cursor_line], lines[context.cursor_line + 1 :]
    rest = context.line_with_cursor[context.cursor_position :]
    # Join continued lines.
    text = "\n".join([*above, context.text_until_cursor]).replace("\\\n", " ")
    after = "\n".join([rest, *below]).replace("\\\n", " ").partition("\n")[0]
    line = LINE.search(text)
    return (line[1], after) if line else ("", "")


def completions(
    before: str, after: str, namespace: Namespace, params: str
) -> tuple[str, list[str]]:
    """Return the characters to replace before the cursor, and what may stand in their place."""
    words, opened = split(before)
    if not before or opened == "#":
        return "", []
    if before[-1].isspace() and not opened:
        words.append("")
    elsewhere = grouped([*words[:-1], *split(after)[0]])
    given = {option.name: values for flag, values in elsewhere if (option := option_of(flag))}
    unused = [flag for flag, option in FLAGS.items() if option.name not in given]
    unused.sort(key=lambda flag: not flag.startswith("--"))
    flag, values = grouped(words)[-1]
    if not values or values[-1] in {"-", "--"}:
        return _starting(words[-1], unused)
    *values, text = values
    option = option_of(flag)
    if option is None or option.is_switch or (values and not option.is_several):
        return _starting(text, [] if text else unused)
    if option.kind.choices:
        return _starting(text.lstrip("'\""), map(str, option.kind.choices))
    if not option.is_several:
        return _last_name(text, namespace) if option.kind.of_text is None else ("", [])
    expression, *_ = given.get("params") or [params]
    fragment, found = _parameters(text, values, _known_parameters(unquoted(expression), namespace))
    return fragment, [*found, *unused] if values and not text else found


def _starting(fragment: str, candidates: Iterable[str]) -> tuple[str, list[str]]:
    return fragment, [name for name in candidates if name.startswith(fragment)]


def _last_name(text: str, namespace: Namespace) -> tuple[str, list[str]]:
    """Complete a name, or the last in a list of names; modules and classes come last."""
    place = LAST_NAME.fullmatch(text)
    if place is None:
        return "", []
    fragment = place[1]
    public = [name for name in namespace if fragment.startswith("_") or not name.startswith("_")]
    public.sort(key=lambda name: (issubclass(type(namespace[name]), (ModuleType, type)), name))
    return _starting(fragment, public)


def _parameters(text: str, values: Iterable[str], every: Sequence[str]) -> tuple[str, list[str]]:
    """Complete the last name in a list of parameters to one that is not in the list."""
    inside = text.lstrip("'\"")
    *named, last = [part.strip() for part in split(f"{inside} ", ",".__eq__)[0]]
    named += [name for value in values for name in names(unquoted(value))]
    unnamed = [name for name in every if name not in named]
    return _starting(last, unnamed if inside != text else map(quoted, unnamed))


def _known_parameters(params: str, namespace: Namespace) -> list[str]:
    """Return the names of the parameters that an expression stands for."""
    try:
        tree = ast.parse(params.strip(), mode="eval").body
    except NOT_COMPILED:
        return []
    found, is_stored = roots(tree, namespace)
    parts = [value for _, value in found]
    if isinstance(tree, ast.Dict) or not (is_stored and all(map(_holds_arrays, parts))):
        return []
    value = parts if isinstance(tree, (ast.List, ast.Tuple)) else parts[0]
    arrays = {name: each for name, each in namespace.items() if _holds_arrays(each)}
    variables = variable_names(Mentioned(arrays, {params: value}))
    leaves = array_leaves(value, variables.get(id(value), "params"))
    return readable_names(list(islice(leaves, MOST_PARAMETERS)), variables)


def _holds_arrays(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, (dict, list, tuple, float)) or hasattr(kind, "__array__")
