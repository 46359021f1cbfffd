"""Tab completion for `%gradcheck` and `%%gradcheck`: options and their values.

The parser of the magic supplies the options and their choices. Nothing is evaluated: names and
stored attributes are only looked up, so pressing a key never runs the user's code.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.interactiveshell import InteractiveShell

from gradcheck_magic._inputs.parameters import (
    VariableNames,
    array_leaves,
    mentioned_first,
    readable_names,
)
from gradcheck_magic._notebook.option_line import (
    Option,
    is_option,
    names,
    options_at,
    quoted,
    split,
    table_of,
    unquoted,
)
from gradcheck_magic.errors import InputError

__all__ = ["add_completer", "remove_completer"]

IDENTIFIER = "gradcheck_magic.options"
# At most this many parameters are offered, so that a list of a million numbers takes no time.
MOST_PARAMETERS = 1000
# A list of names; the cursor is at the last one.
LAST_NAME = re.compile(r"[\[(]*\s*(?:[\w.]+\s*,\s*)*(?P<path>(?:\w+\.)*)(?P<name>\w*)")
# The names that a cell will assign when it runs.
ASSIGNED = re.compile(r"^(?:def\s+(\w+)|([^\W\d]\w*)\s*=(?!=))", re.MULTILINE)
UNKNOWN_VALUE = object()
Namespace = Mapping[str, object]


@dataclass(frozen=True)
class Completions:
    """The completions for the last characters that were typed.

    Attributes
    ----------
    fragment : str
        The characters to replace.
    found : sequence of SimpleCompletion
        The completions, in order.
    is_all : bool
        True if the shell's own completions would only get in the way.
    """

    fragment: str = ""
    found: Sequence[SimpleCompletion] = ()
    is_all: bool = True


NO_COMPLETIONS = Completions()


def add_completer(
    shell: InteractiveShell, parser: argparse.ArgumentParser, params: Callable[[], str]
) -> None:
    """Make a shell complete the options of a magic.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    parser : argparse.ArgumentParser
        The parser of the magic.
    params : callable
        Returns the expression for the parameters, if the line has none.
    """
    shell.Completer.custom_matchers.append(OptionCompleter(shell, parser, params).complete)


def remove_completer(shell: InteractiveShell) -> None:
    """Undo `add_completer`."""
    shell.Completer.custom_matchers[:] = [
        matcher
        for matcher in shell.Completer.custom_matchers
        if getattr(matcher, "matcher_identifier", "") != IDENTIFIER
    ]


class OptionCompleter:
    """A matcher for IPython that completes the options after the name of a magic."""

    def __init__(
        self, shell: InteractiveShell, parser: argparse.ArgumentParser, params: Callable[[], str]
    ) -> None:
        self._shell = shell
        self._table = table_of(parser)
        self._params = params
        self._magic = re.compile(rf"\s*(%%?){parser.prog}(?=\s)")

    @context_matcher(identifier=IDENTIFIER)
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return the completions in the form that IPython expects of a matcher."""
        completions = NO_COMPLETIONS
        # The user's objects may raise anything when they are looked at; typing must go on.
        with contextlib.suppress(Exception):
            completions = self._completions(context)
        return {
            "completions": completions.found,
            "matched_fragment": completions.fragment,
            "suppress": completions.is_all and bool(completions.found),
            "ordered": True,
        }

    def _completions(self, context: CompletionContext) -> Completions:
        # Join continued lines, and keep the length of the text.
        text = context.full_text.replace("\\\n", "  ")
        above = context.full_text.split("\n")[: context.cursor_line]
        cursor = sum(len(line) + 1 for line in above) + context.cursor_position
        start = text.rfind("\n", 0, cursor) + 1
        line, _, body = text[start:].partition("\n")
        magic = self._magic.match(line)
        if magic is None or cursor - start <= magic.end():
            return NO_COMPLETIONS
        namespace = self._namespace()
        if magic[1] == "%%":
            if text[:start].strip():
                return NO_COMPLETIONS
            assigned = {
                name: UNKNOWN_VALUE for pair in ASSIGNED.findall(body) for name in pair if name
            }
            namespace = assigned | namespace
        rest = line[magic.end() :]
        return self._after_magic(rest, cursor - start - magic.end(), namespace)

    def _namespace(self) -> dict[str, object]:
        """Return the user's names, without those that IPython has defined."""
        hidden = self._shell.user_ns_hidden
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if name not in hidden or hidden[name] is not value
        }

    def _after_magic(self, line: str, cursor: int, namespace: Namespace) -> Completions:
        words = list(split(line))
        typed = "".join(line[w.start : cursor] for w in words if w.start < cursor <= w.stop)
        before = self._options(word.text for word in words if word.stop < cursor)
        after = self._options(word.text for word in words if word.start >= cursor)
        given = [*before, *after]
        if typed.startswith("#"):
            return NO_COMPLETIONS
        if is_option(typed) or typed == "-":
            return self._at_option(typed, given, namespace)
        if before and before[-1].takes_value:
            values = self._values(before[-1], typed, given, namespace)
            if typed or before[-1].lacks_value:
                return values
            return Completions("", [*values.found, *self._unused(given).found])
        return NO_COMPLETIONS if typed else self._unused(given)

    def _options(self, words: Iterable[str]) -> list[Option]:
        """Return the options among the words, and skip unknown ones."""
        options: list[Option] = []
        for word in words:
            if is_option(word):
                with contextlib.suppress(InputError):
                    options += options_at(self._table, word)
            elif options and options[-1].takes_value:
                options[-1].values.append(word)
        return options

    def _at_option(self, typed: str, given: Sequence[Option], namespace: Namespace) -> Completions:
        """Complete the name of an option, or the value in the same word."""
        name, equals, value = typed.partition("=")
        options = self._options([name])
        if equals:
            return self._values(options[-1], value, given, namespace) if options else NO_COMPLETIONS
        if options and options[-1].values:
            letter = Option(options[-1].name, options[-1].action)
            return self._values(letter, options[-1].values[0], given, namespace)
        return self._unused(given, typed)

    def _unused(self, given: Sequence[Option], typed: str = "") -> Completions:
        """Complete to options that are not on the line yet, long names first."""
        used = [option.action for option in given]
        unused = [name for name, action in self._table.items() if action not in used]
        unused.sort(key=lambda name: not name.startswith("--"))
        return _completions(typed, unused, "option")

    def _values(
        self, option: Option, typed: str, given: Sequence[Option], namespace: Namespace
    ) -> Completions:
        # A value after its closing quote is complete.
        text = typed[1:] if typed.startswith(("'", '"')) else typed
        if option.action.choices is not None:
            return _completions(text, option.action.choices, "value")
        if option.action.dest == "only":
            parameters = self._parameters(given, namespace)
            written = parameters if text != typed else [quoted(name) for name in parameters]
            return _complete_parameter(option, text, written)
        if option.action.dest in LIKELY:
            return _complete_name(text, namespace, LIKELY[option.action.dest])
        return NO_COMPLETIONS

    def _parameters(self, given: Sequence[Option], namespace: Namespace) -> list[str]:
        """Return the names of the parameters that the line refers to."""
        said = [value for o in given if o.action.dest == "params" for value in o.values]
        expression = unquoted(said[0]) if said else self._params()
        params = _known(expression, namespace)
        if not _holds_arrays(params):
            return []
        arrays = {name: value for name, value in namespace.items() if _holds_arrays(value)}
        variables = VariableNames(mentioned_first(expression, arrays))
        leaves = array_leaves(params, variables(params, "params"))
        return readable_names(list(islice(leaves, MOST_PARAMETERS)), variables)


def _completions(typed: str, candidates: Iterable[str], kind: str) -> Completions:
    found = [SimpleCompletion(name, type=kind) for name in candidates if name.startswith(typed)]
    return Completions(typed, found)


def _complete_parameter(option: Option, typed: str, written: Sequence[str]) -> Completions:
    """Complete the last name in a list of parameters to one that is not in the list."""
    *before, last = [part.text.strip() for part in split(f"{typed} ", ",".__eq__)]
    named = {*before, *(name for value in option.values for name in names(unquoted(value)))}
    return _completions(last, [name for name in written if unquoted(name) not in named], "param")


def _complete_name(
    typed: str, namespace: Namespace, is_likely: Callable[[object], bool]
) -> Completions:
    """Complete a name, or the last in a list of names; likely objects come first."""
    place = LAST_NAME.fullmatch(typed)
    if place is None:
        return NO_COMPLETIONS
    path, fragment = place["path"].removesuffix("."), place["name"]
    members = _members(_known(path, namespace)) if path else namespace
    fitting = [
        name
        for name in members
        if name.startswith(fragment) and (fragment.startswith("_") or not name.startswith("_"))
    ]

    def order(name: str) -> tuple[bool, bool, str]:
        value = members[name]
        return not (value is UNKNOWN_VALUE or is_likely(value)), _is_of_program(value), name

    found = [
        SimpleCompletion(name, type=_kind(members[name])) for name in sorted(fitting, key=order)
    ]
    # Only the object itself may know its attributes, so the shell may add what it finds.
    return Completions(fragment, found, is_all=not path)


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


def _members(value: object) -> Namespace:
    if value is None or value is UNKNOWN_VALUE:
        return {}
    # dir() would run the object's own code.
    stored = [vars(kind) for kind in type(value).__mro__]
    with contextlib.suppress(AttributeError):
        stored.append(object.__getattribute__(value, "__dict__"))
    return {name: inspect.getattr_static(value, name, None) for names in stored for name in names}


def _holds_arrays(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, (dict, list, tuple, float)) or hasattr(kind, "__array__")


def _is_function(value: object) -> bool:
    return callable(value) and not _is_of_program(value)


def _is_executor(value: object) -> bool:
    return hasattr(type(value), "submit")


def _is_of_program(value: object) -> bool:
    """Return True for a module or a class, which are hardly ever checked."""
    return issubclass(type(value), (ModuleType, type))


def _kind(value: object) -> str:
    if _is_of_program(value):
        return "module" if issubclass(type(value), ModuleType) else "class"
    return "function" if callable(value) else "instance"


# For options that take a name or an expression: the objects whose names come first.
LIKELY: dict[str, Callable[[object], bool]] = {
    "params": _holds_arrays,
    "grads": _holds_arrays,
    "cost": _is_function,
    "upstream": _holds_arrays,
    "workers": _is_executor,
}
