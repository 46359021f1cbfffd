"""Whose code it is: the user's own, or that of Python, a library or this package."""

from __future__ import annotations

import builtins
import functools
import os
import re
import sys
import types
from pathlib import Path

__all__ = ["PACKAGE", "is_in_library", "is_users_class", "is_users_module"]

# The directory of this package.
PACKAGE = str(Path(__file__).parent.parent) + os.sep
# The beginnings of the paths of Python's own files, and of ours.
OF_PYTHON = (str(Path(os.__file__).parent) + os.sep, "<frozen", PACKAGE)
# What is in the path of an installed library.
INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")


def is_in_library(file: str) -> bool:
    """Return True for a file of Python itself, of an installed library, or of this package."""
    return file.startswith(OF_PYTHON) or INSTALLED.search(file) is not None


def is_users_class(kind: type) -> bool:
    """Return True for a class of the user's own."""
    # Classes made by `exec` without the name of a module, or by `make_dataclass`, seem to be
    # Python's own.
    for module in (builtins, types):
        if kind.__module__ == module.__name__:
            is_made = isinstance(vars(kind).get("__module__"), str)
            return is_made and vars(module).get(kind.__name__) is not kind
    return is_users_module(kind.__module__)


@functools.lru_cache(maxsize=4096)
def is_users_module(module: str) -> bool:
    """Return True if a module is the user's own: a notebook, or a file of theirs."""
    if module == "__main__":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return module not in sys.builtin_module_names and not is_in_library(file or "")
