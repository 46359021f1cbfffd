"""The options of the magic, in one table.

The line after `%gradcheck` is read by it, and so are the settings of `%config GradcheckMagics` and
of `pyproject.toml`. The completions and the help are made from it.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from numbers import Integral, Real
from typing import Any

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._inputs.request import MODES, is_number
from gradcheck_magic._wording import did_you_mean, listed, printable, quoted, shortened
from gradcheck_magic.errors import InputError

__all__ = ["FLAGS", "NOT_COMPILED", "OPTIONS", "SETTINGS", "Option", "described"]

# What Python raises for an expression that it cannot compile, such as one that is too long.
NOT_COMPILED = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class _Kind:
    """What the values of an option may be: in words, as a test, and all of them if they are few.

    `of_text` returns the value that is written on a line, or raises a ValueError. None: it is an
    expression, which is evaluated only when the check is made. `in_file` is the kind that may stand
    in a file instead, as nothing from there is run. None: the same.
    """

    expected: str
    fits: Callable[[Any], bool]
    of_text: Callable[[str], object] | None = str
    choices: Sequence[str | bool] = ()
    in_file: _Kind | None = None


@dataclass(frozen=True)
class Option:
    """An option of the magic, on the line after `%gradcheck`, as a setting, or both.

    `help` says what it means, with the default in brackets, and `metavar` stands for its value
    there. `short` is its letter, such as `-p`.
    """

    name: str
    kind: _Kind
    help: str
    metavar: str = ""
    short: str = ""
    default: object = None
    is_several: bool = False
    is_on_line: bool = True
    is_setting: bool = True

    @property
    def is_switch(self) -> bool:
        """True if it takes no value on a line."""
        return True in self.kind.choices

    @property
    def flags(self) -> list[str]:
        """Its names on a line: `-q`, `--quiet` and `--no-quiet`."""
        no = f"--no-{self.name}" if self.is_switch and self.is_setting else ""
        return [flag for flag in (self.short, f"--{self.name}", no) if flag and self.is_on_line]

    @property
    def in_file(self) -> Option:
        """The same option as a file may set it, where only plain values are accepted."""
        return replace(self, kind=self.kind.in_file or self.kind)

    def expected(self, written: Callable[[object], str] = quoted) -> str:
        """Return a description of its values, with choices as they are written there."""
        choices = listed(map(written, self.kind.choices), code=False).replace(" and ", " or ")
        return choices if self.kind.choices else self.kind.expected

    def checked(
        self, value: object, where: str, written: Callable[[object], str] = quoted
    ) -> object:
        """Return a value of this option if it is valid, else raise an InputError."""
        if value is self.default or self.kind.fits(value):
            return value
        found = written(value)
        meant = did_you_mean(found, map(written, self.kind.choices))
        raise InputError(f"{where} is {found}{meant}: expected {self.expected(written)}.")

    def read(self, text: str, where: str) -> Any:
        """Return the value that a text stands for if it is valid, else raise an InputError."""
        if self.kind.of_text is None:
            return text
        value: object = text
        with contextlib.suppress(ValueError):
            value = self.kind.of_text(text)
        return self.checked(value, where, lambda value: shortened(printable(str(value))))


def _choice(values: Sequence[str | bool]) -> _Kind:
    # 1 is not true.
    return _Kind("", lambda value: isinstance(value, (str, bool)) and value in values, str, values)


def _positive(example: str) -> _Kind:
    return _Kind(
        f"a positive number, such as {example}",
        lambda value: is_number(value, Real) and 0 < value < math.inf,
        float,
    )


def _whole(least: int) -> _Kind:
    return _Kind(
        f"a whole number from {least} on",
        lambda value: is_number(value, Integral) and value >= least,
        int,
    )


def _is_name(text: str) -> bool:
    return text.isidentifier() and not iskeyword(text) and not text.startswith("__")


def _parsed(value: object) -> ast.expr | None:
    """Return the syntax tree of an expression, or None if it is none."""
    # An expression that is nested too deeply exhausts the parser.
    with contextlib.suppress(*NOT_COMPILED):
        return ast.parse(value.strip(), mode="eval").body if isinstance(value, str) else None
    return None


def _is_expression(value: object) -> bool:
    return _parsed(value) is not None


def _is_notebook_name(node: ast.expr | None) -> bool:
    # Not a builtin: `exit` would be called as the cost. Nor an attribute: `os.abort` would, too.
    return isinstance(node, ast.Name) and _is_name(node.id) and not hasattr(builtins, node.id)


def _are_names(value: object) -> bool:
    node = _parsed(value)
    several = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    return bool(several) and all(map(_is_notebook_name, several))


def _is_workers(value: object) -> bool:
    is_executor = hasattr(type(value), "submit")
    return is_executor or _whole(1).fits(value) or _is_expression(value)


SWITCH = _choice((True, False))
EXPRESSION = _Kind(
    'a name or an expression, such as "model.weights"',
    _is_expression,
    of_text=None,
    in_file=_Kind(
        'a name of the notebook or a list of names, such as "[W1, b1]"; %config takes expressions',
        _are_names,
    ),
)
WORKERS = _Kind(
    'a whole number from 1 on, or an executor, such as "pool"',
    _is_workers,
    of_text=None,
    in_file=_Kind(
        'a whole number from 1 on, or the name of an executor, such as "pool"; %config takes '
        "expressions",
        lambda value: _whole(1).fits(value) or _is_notebook_name(_parsed(value)),
    ),
)

OPTIONS = [
    Option(
        "params", EXPRESSION, "the parameters: a name or an expression [params]",
        "EXPR", "-p", "params",
    ),
    Option("grads", EXPRESSION, "the backpropagated gradients [grads]", "EXPR", "-g", "grads"),
    Option(
        "cost", EXPRESSION, "the function that returns the cost, or the cost [cost_function]",
        "EXPR", "-c", "cost_function",
    ),
    Option(
        "upstream", EXPRESSION, "dJ/d(output), if the function returns an array, as a layer does",
        "EXPR", "-u", is_setting=False,
    ),
    Option(
        "mode", _choice(MODES),
        "full, scan, or auto: every entry if there is time for that [auto]",
        "MODE", default="auto",
    ),
    Option(
        "budget", _positive("10"),
        "stop after this time, and report what is known by then [no limit; auto mode scans if a "
        "full check would take more than 20 s]",
        "SECONDS",
    ),
    Option(
        "only", _Kind("names of parameters", bool), "check only these parameters [all]",
        "NAME ...", is_several=True, is_setting=False,
    ),
    Option(
        "epsilon", _positive("1e-7"),
        "the step of the central differences [1e-7; larger in single precision]",
        "STEP",
    ),
    Option(
        "call", _choice(("auto", *(convention.value for convention in Convention))),
        "how the function takes the parameters: flat, structured, arguments or closure [auto]",
        "CALL", default="auto",
    ),
    Option(
        "points", _whole(1),
        "check K points around the given one too; grads is then a function of the parameters [only "
        "the given one]",
        "K", default=1,
    ),
    Option(
        "workers", WORKERS,
        "evaluate the cost in N processes, or with an executor: a name or an expression [in this "
        "process]",
        "N",
    ),
    Option(
        "display", _choice(("auto", "widget", "static", "text")),
        "widget (the live card and a static copy), static, text, or auto: what the front end can "
        "show [auto]",
        "KIND", default="auto",
    ),
    Option(
        "trace", SWITCH,
        "show the backward pass statement by statement, whatever the verdict is [only where there "
        "is a bug]",
        default=False, is_setting=False,
    ),
    Option(
        "reseed", SWITCH,
        "put random states back before each evaluation, for a cost with dropout; as a cell magic, "
        "to what they were when the cell began [off]",
        default=False, is_setting=False,
    ),
    Option("seed", _whole(0), "the seed of everything random in the check [0]", "N", default=0),
    Option(
        "out", _Kind("a name", _is_name), "bind the result to NAME as well as to _gradcheck",
        "NAME", "-o", is_setting=False,
    ),
    Option(
        "quiet", SWITCH, "show nothing if the gradient is correct, else one line [off]",
        short="-q", default=False,
    ),
    Option(
        "strict", _choice((True, False, "ci")),
        'raise GradientCheckFailed unless the gradient is correct; the setting "ci": only in CI '
        "[off]",
        default=False,
    ),
    Option(
        "watch", SWITCH,
        "check now, and again after each cell that changes what the check uses; if it is strict, "
        "that cell fails unless the gradient is correct [off]",
        is_setting=False,
    ),
    Option("unwatch", SWITCH, "stop watching; make no check", is_setting=False),
    Option(
        "enabled", SWITCH,
        "make checks; otherwise, only run the cell's body, and fail if the check is strict [on]",
        default=True, is_on_line=False,
    ),
]  # fmt: skip
FLAGS = {flag: option for option in OPTIONS for flag in option.flags}
# The settings of `%config GradcheckMagics` and of `[tool.gradcheck_magic]`.
SETTINGS = {option.name: option for option in OPTIONS if option.is_setting}


def described() -> str:
    """Return the help of all options: how each is written, and what it means."""
    lines = []
    for option in OPTIONS:
        if option.is_on_line:
            lines.append(f"  {', '.join(option.flags)} {option.metavar}".rstrip())
            lines.append(textwrap.indent(textwrap.fill(option.help), " " * 8))
    return "\n".join(lines)
