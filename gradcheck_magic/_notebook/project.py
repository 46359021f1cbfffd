"""The settings that a project makes in its `pyproject.toml`.

The notebook does not mention that file, so nothing from it is run: it holds plain values.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcheck_magic._notebook.options import SETTINGS
from gradcheck_magic._notebook.writers import writer_besides_me
from gradcheck_magic._wording import did_you_mean, first_line, listed, printable, shortened
from gradcheck_magic.errors import InputError

__all__ = ["Project", "read_project"]

TABLE = "gradcheck_magic"
# The folders that mark the root of a repository.
REPOSITORY = (".git", ".hg", ".jj")
# A longer file is not read, in bytes.
LONGEST_FILE = 1_000_000


@dataclass(frozen=True)
class Project:
    """The settings of a project.

    Attributes
    ----------
    options : dict of str to object
        The options that are set.
    file : Path or None
        The file that sets them, if there is one.
    left_out : list of str
        A sentence for each file that sets options which do not count.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    left_out: list[str] = field(default_factory=list)

    def described(self) -> str:
        """Return which file sets which options, for the help; nothing if none does."""
        if self.file is None:
            return ""
        lines = [f"    {name} = {_as_written(value)}" for name, value in self.options.items()]
        return "\n".join([f"\nDefaults from {printable(str(self.file))}:\n", *lines, ""])


def read_project() -> Project:
    """Return the settings of the project that the working directory belongs to.

    They are in the table `[tool.gradcheck_magic]` of the nearest `pyproject.toml` that has one, in
    this directory or above, up to the root of the repository. A file without the table, as in a
    part of a larger project, is skipped. So is one that others may write to.

    Raises
    ------
    InputError
        If such a file cannot be read, or has an unknown option or an invalid value: a typing error
        must not make a check less strict than it looks.
    """
    left_out = []
    for folder in _folders():
        file = folder / "pyproject.toml"
        # A pipe would never end. Path.is_file raises an error if the folder may not be entered.
        if not os.path.isfile(file):  # noqa: PTH113
            continue
        told = printable(os.path.relpath(file))
        danger = _danger(file)
        try:
            table = _table(file, told)
        except InputError:
            if danger:
                continue
            raise
        if table is not None and danger:
            left_out.append(
                f"{told} is not used, as {danger}: change that with chown or chmod, or set the "
                "options with %config."
            )
        elif table is not None:
            return Project(_checked(table, told), file, left_out)
    return Project(left_out=left_out)


def _folders() -> list[Path]:
    """Return the folders that belong to the project: the working directory, and some above it.

    The last one is the root of the repository, or the home folder if that comes first. Above them
    are the folders of others.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        # The working directory has been deleted.
        return []
    # Path.home raises an error if there is none.
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111
    folders = [here, *here.parents]
    for number, folder in enumerate(folders, start=1):
        # Path.exists raises an error if the folder may not be entered.
        is_root = any(os.path.exists(folder / name) for name in REPOSITORY)  # noqa: PTH110
        if is_root or folder == home:
            return folders[:number]
    return [here]


def _danger(file: Path) -> str:
    """Return who else may change what is read from a file; nothing if nobody may."""
    told = {file: "it", file.parent: "its folder"}
    real = file.resolve()
    for path in (real, real.parent, file.parent):
        if writer := writer_besides_me(path):
            return f"{writer} may write to {told.get(path) or printable(os.path.relpath(path))}"
    return ""


def _text(file: Path, told: str) -> str:
    """Return the content of a file."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{told} cannot be read: {error.strerror}.") from None
    if len(content) > LONGEST_FILE:
        raise InputError(f"{told} is longer than {LONGEST_FILE:,} bytes, which no settings need.")
    try:
        # Some editors on Windows begin a file with a mark of its encoding.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{told} is not valid TOML: {first_line(error)}.") from None


def _table(file: Path, told: str) -> object | None:
    """Return the table of this package in a file, if there is one."""
    text = _text(file, told)
    try:
        tools = tomllib.loads(text).get("tool")
    except ValueError as error:
        # tomllib raises a subclass; Python raises it for a number with thousands of digits.
        raise InputError(f"{told} is not valid TOML: {first_line(error)}.") from None
    except RecursionError:
        raise InputError(f"{told} is not valid TOML: it is nested too deeply.") from None
    if not isinstance(tools, dict):
        return None
    for name in tools:
        if name != TABLE and re.fullmatch(r"gradcheck[-_]?(magics?)?", name, re.IGNORECASE):
            raise InputError(f"{told}: [tool.{name}] is not read: rename it to [tool.{TABLE}].")
    return tools.get(TABLE)


def _checked(table: object, told: str) -> dict[str, Any]:
    """Return the settings in the table, if all of them are valid."""
    if not isinstance(table, dict):
        found = _as_written(table)
        raise InputError(f"{told}: `{TABLE}` in [tool] is {found}: expected [tool.{TABLE}].")
    for name, value in table.items():
        if name not in SETTINGS:
            meant = did_you_mean(name, SETTINGS)
            known = "" if meant else f": expected {listed(SETTINGS, len(SETTINGS))}"
            unknown = shortened(name)
            raise InputError(f"{told}: [tool.{TABLE}] has no option `{unknown}`{meant}{known}.")
        SETTINGS[name].in_file.checked(value, f"{told}: `{name}` in [tool.{TABLE}]", _as_written)
    return table


def _as_written(value: object) -> str:
    """Return a value about as it is written in the file, on one line."""
    try:
        return shortened(printable(json.dumps(value, ensure_ascii=False, default=str)))
    except ValueError:
        # The file may have it in hexadecimal.
        return "a number with too many digits"
