"""The options that a project sets in its `pyproject.toml`, and the option `strict`."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcheck_magic._cost.convention import Convention
from gradcheck_magic._inputs.request import MODES
from gradcheck_magic._wording import did_you_mean, first_line, listed
from gradcheck_magic.errors import InputError

__all__ = ["CALLS", "DISPLAYS", "OPTIONS", "is_strict", "project_options"]

CALLS = ("auto", *(convention.value for convention in Convention))
DISPLAYS = ("auto", "widget", "static", "text")

FILE = "pyproject.toml"
TABLE = "gradcheck_magic"
# Values of the environment variable CI that mean that this is no CI.
NOT_CI = {"", "0", "false", "no", "off"}


def is_strict(strict: object) -> bool:
    """Return True if a check is strict here, for a setting of True, False or "ci"."""
    if isinstance(strict, bool):
        return strict
    if not (isinstance(strict, str) and strict == "ci"):
        meant = did_you_mean(str(strict), ["True", "False", "ci"])
        raise InputError(
            f"`GradcheckMagics.strict` is {strict!r}{meant}: expected True, False or 'ci'."
        )
    return os.environ.get("CI", "").strip().lower() not in NOT_CI


def project_options() -> dict[str, Any]:
    """Return the options of the project that the working directory belongs to.

    They are in the table `[tool.gradcheck_magic]` of the nearest `pyproject.toml` that has one, in
    this directory or above. A file without the table, as in a part of a larger project, is skipped.

    Raises
    ------
    InputError
        If such a file cannot be read, or has an unknown option or an invalid value: a typing error
        must not make a check less strict than it looks.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        # The working directory has been deleted.
        return {}
    for directory in (here, *here.parents):
        file = directory / FILE
        # Path.is_file would raise an error if the directory may not be entered.
        if os.path.isfile(file):  # noqa: PTH113
            told = os.path.relpath(file)
            table = _table(file, told)
            if table is not None:
                return _checked(table, told)
    return {}


def _table(file: Path, told: str) -> object | None:
    """Return the table of this package in a file, if there is one."""
    try:
        tools = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except OSError as error:
        raise InputError(f"{told} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{told} is not valid TOML: {first_line(error)}.") from None
    if not isinstance(tools, dict):
        return None
    for name in tools:
        if name != TABLE and re.fullmatch(r"gradcheck[-_]?(magics?)?", name, re.IGNORECASE):
            raise InputError(f"{told}: [tool.{name}] is not read: rename it to [tool.{TABLE}].")
    return tools.get(TABLE)


def _checked(table: object, told: str) -> dict[str, Any]:
    """Return the options in the table, if all of them are valid."""
    if not isinstance(table, dict):
        found = _as_written(table)
        raise InputError(f"{told}: `{TABLE}` in [tool] is {found}: expected [tool.{TABLE}].")
    for name, value in table.items():
        if name not in OPTIONS:
            meant = did_you_mean(name, OPTIONS)
            known = "" if meant else f": expected {listed(OPTIONS, len(OPTIONS))}"
            raise InputError(f"{told}: [tool.{TABLE}] has no option `{name}`{meant}{known}.")
        option = OPTIONS[name]
        if not option.fits(value):
            found = _as_written(value)
            raise InputError(
                f"{told}: `{name}` in [tool.{TABLE}] is {found}"
                f"{did_you_mean(found, option.choices)}: expected {option.expected}."
            )
    return table


def _as_written(value: object) -> str:
    """Return a value about as it is written in the file, on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class _Option:
    """The values that an option may have."""

    expected: str
    fits: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def _choice(values: Sequence[str | bool]) -> _Option:
    # Values are compared as they are written, as 1 is not true.
    choices = tuple(_as_written(value) for value in values)
    *others, last = choices
    expected = f"{', '.join(others)} or {last}"
    return _Option(expected, lambda value: _as_written(value) in choices, choices)


def _whole_number(least: int) -> _Option:
    return _Option(
        f"a whole number from {least} on", lambda value: type(value) is int and value >= least
    )


def _positive(example: str) -> _Option:
    return _Option(
        f"a positive number, such as {example}",
        lambda value: type(value) in {int, float} and 0 < value < math.inf,
    )


def _is_expression(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ast.parse(value.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


EXPRESSION = _Option('a name or an expression, such as "model.weights"', _is_expression)
WORKERS = _Option(
    f'{_whole_number(1).expected}, or an executor, such as "pool"',
    lambda value: _whole_number(1).fits(value) or _is_expression(value),
)
# The names are those of `%config GradcheckMagics`.
OPTIONS = {
    "strict": _choice((True, False, "ci")),
    "quiet": _choice((True, False)),
    "params": EXPRESSION,
    "grads": EXPRESSION,
    "cost": EXPRESSION,
    "epsilon": _positive("1e-7"),
    "call": _choice(CALLS),
    "points": _whole_number(1),
    "seed": _whole_number(0),
    "mode": _choice(MODES),
    "budget": _positive("10"),
    "workers": WORKERS,
    "display": _choice(DISPLAYS),
    "enabled": _choice((True, False)),
}
