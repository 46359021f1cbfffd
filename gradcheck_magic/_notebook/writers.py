"""Who may write to a file, besides its reader and the administrator of the machine."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import grp
    import pwd

__all__ = ["writer_besides_me"]

# The number of the administrator, and of that group.
ROOT = 0


def writer_besides_me(path: Path) -> str | None:
    """Return who else may write to a file or a folder, such as "the user anna"; None if nobody.

    A group of which nobody else is a member is no danger: on many machines everybody has one, and
    lets it write. On Windows, the permissions are not looked at.
    """
    if sys.platform == "win32":
        return None
    status = path.stat()
    if status.st_uid not in {ROOT, os.geteuid()}:
        return f"the user {_user(status.st_uid)}"
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and _has_others(status.st_gid):
        return f"the group {_group(status.st_gid)[0]}"
    return None


def _has_others(group: int) -> bool:
    """Return True if a group has members other than the user; root's has only administrators."""
    members = {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    members.update(_group(group)[1])
    return group != ROOT and not members <= {_user(ROOT), _user(os.geteuid())}


def _user(number: int) -> str:
    """Return the name of a user, or the number if this machine has no name for it."""
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def _group(number: int) -> tuple[str, list[str]]:
    """Return the name of a group, and the members that are listed there."""
    with suppress(KeyError):
        found = grp.getgrgid(number)
        return found.gr_name, found.gr_mem
    return str(number), []
