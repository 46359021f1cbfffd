"""The settings that a project makes in its `pyproject.toml`."""

from __future__ import annotations

import json
import os
import re
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from gradcheck_magic._notebook.options import SETTINGS
from gradcheck_magic._wording import did_you_mean, first_line, listed
from gradcheck_magic.errors import InputError

__all__ = ["project_options"]

TABLE = "gradcheck_magic"
# Writes a value about as it is written in the file, on one line.
AS_WRITTEN = partial(json.dumps, ensure_ascii=False, default=str)


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
        file = directory / "pyproject.toml"
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
    """Return the settings in the table, if all of them are valid."""
    if not isinstance(table, dict):
        found = AS_WRITTEN(table)
        raise InputError(f"{told}: `{TABLE}` in [tool] is {found}: expected [tool.{TABLE}].")
    for name, value in table.items():
        if name not in SETTINGS:
            meant = did_you_mean(name, SETTINGS)
            known = "" if meant else f": expected {listed(SETTINGS, len(SETTINGS))}"
            raise InputError(f"{told}: [tool.{TABLE}] has no option `{name}`{meant}{known}.")
        SETTINGS[name].checked(value, f"{told}: `{name}` in [tool.{TABLE}]", AS_WRITTEN)
    return table
