"""Tab completion for `%gradcheck` and `%%gradcheck`: options, their values, names of parameters.

Attributes, and names inside of expressions, are left to IPython. Nothing is evaluated: names and
stored attributes are only looked up, so pressing a key never runs the user's code.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, pairwise, takewhile
from types import ModuleType

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.interactiveshell import InteractiveShell

from gradcheck_magic._inputs.parameters import (
    array_leaves,
    mentioned_first,
    readable_names,
    variable_names,
)
from gradcheck_magic._notebook.option_line import (
    is_value,
    marked,
    names,
    option_of,
    quoted,
    split,
    unquoted,
)
from gradcheck_magic._notebook.options import FLAGS

__all__ = ["add_completer", "around_cursor", "completions", "remove_completer", "users_names"]

IDENTIFIER = "gradcheck_magic.options"
# At most this many parameters are offered, so that a list of a million numbers takes no time.
MOST_PARAMETERS = 1000
# The line up to the cursor: `%gradcheck` on any line, or `%%gradcheck` on the first.
LINE = re.compile(r"(?:\A\s*%|^[^\S\n]*)%gradcheck([^\S\n].*)\Z", re.MULTILINE)
# A name, or the last in a list of names.
LAST_NAME = re.compile(r"""["'\[(]*\s*(?:[\w.]+\s*,\s*)*(\w*)""")
Namespace = Mapping[str, object]


def add_completer(shell: InteractiveShell, params: Callable[[], str]) -> None:
    """Make a shell complete the options of the magic.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    params : callable
        Returns the expression for the parameters, if the line has none.
    """

    @context_matcher(identifier=IDENTIFIER)
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

    shell.Completer.custom_matchers.append(complete)


def remove_completer(shell: InteractiveShell) -> None:
    """Undo `add_completer`."""
    shell.Completer.custom_matchers[:] = [
        matcher
        for matcher in shell.Completer.custom_matchers
        if getattr(matcher, "matcher_identifier", "") != IDENTIFIER
    ]


def users_names(shell: InteractiveShell) -> Namespace:
    """Return the user's variables, without those that IPython has defined."""
    hidden = shell.user_ns_hidden
    # The default is in no namespace: a variable of the user's may well be None.
    names = shell.user_ns.items()
    return {name: value for name, value in names if hidden.get(name, hidden) is not value}


def around_cursor(context: CompletionContext) -> tuple[str, str]:
    """Return what is on the line of the magic before and after the cursor; nothing elsewhere."""
    # Join continued lines, and keep the length of the text.
    text = context.full_text.replace("\\\n", "  ")
    above = context.full_text.split("\n")[: context.cursor_line]
    cursor = sum(len(line) + 1 for line in above) + context.cursor_position
    line = LINE.search(text[:cursor])
    return (line[1], text[cursor:].partition("\n")[0]) if line else ("", "")


def completions(
    before: str, after: str, namespace: Namespace, params: str
) -> tuple[str, list[str]]:
    """Return the characters to replace before the cursor, and what may stand in their place."""
    typed_words, opened = split(before)
    if not before or opened == "#":
        return "", []
    if before[-1].isspace() and not opened:
        typed_words.append("")
    *words, typed = marked(typed_words)
    line = [*words, *marked(split(after)[0])]
    used = {option.name for option in map(option_of, line) if option}
    unused = [flag for flag, option in FLAGS.items() if option.name not in used]
    unused.sort(key=lambda flag: not flag.startswith("--"))
    text = typed.removeprefix(" ")
    if text in {"-", "--"} or not is_value(typed):
        return _starting(text, unused)
    values = [*takewhile(is_value, reversed(words))]
    option = option_of(words[-1 - len(values)]) if len(values) < len(words) else None
    if option is None or option.is_switch or (values and not option.is_several):
        return _starting(text, [] if text else unused)
    if option.kind.choices:
        return _starting(text.lstrip("'\""), map(str, option.kind.choices))
    if not option.is_several:
        return _last_name(text, namespace) if option.kind.of_text is None else ("", [])
    fragment, found = _parameters(text, values, _known_parameters(line, namespace, params))
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
    named += [name for value in values for name in names(unquoted(value.strip()))]
    unnamed = [name for name in every if name not in named]
    return _starting(last, unnamed if inside != text else map(quoted, unnamed))


def _known_parameters(line: Sequence[str], namespace: Namespace, params: str) -> list[str]:
    """Return the names of the parameters that a line refers to."""
    for flag, value in pairwise(line):
        option = option_of(flag)
        if option and option.name == "params" and is_value(value):
            params = unquoted(value.strip())
    found = _known(params, namespace)
    if not _holds_arrays(found):
        return []
    arrays = {name: value for name, value in namespace.items() if _holds_arrays(value)}
    variables = variable_names(mentioned_first(params, arrays))
    leaves = array_leaves(found, variables.get(id(found), "params"))
    return readable_names(list(islice(leaves, MOST_PARAMETERS)), variables)


# Look-ups that run no code: an object's type, and its stored attributes


def _known(expression: str, namespace: Namespace) -> object:
    """Return the value of a name, an attribute or a list of those; None for anything else."""
    try:
        return _looked_up(ast.parse(expression.strip(), mode="eval").body, namespace)
    except SyntaxError:
        return None


def _looked_up(node: ast.expr, namespace: Namespace) -> object:
    match node:
        case ast.Name(id=name):
            return namespace.get(name)
        case ast.Attribute(value=owner, attr=name):
            return inspect.getattr_static(_looked_up(owner, namespace), name, None)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_looked_up(part, namespace) for part in parts]
    return None


def _holds_arrays(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, (dict, list, tuple, float)) or hasattr(kind, "__array__")
