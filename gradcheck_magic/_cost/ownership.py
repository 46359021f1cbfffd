"""Whose code it is: the user's own, or that of Python, a library or this package."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["PACKAGE", "is_in_library"]

# The directory of this package.
PACKAGE = str(Path(__file__).parent.parent) + os.sep
# The beginnings of the paths of Python's own files, and of ours.
OF_PYTHON = (str(Path(os.__file__).parent) + os.sep, "<frozen", PACKAGE)
# What is in the path of an installed library.
INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")


def is_in_library(file: str) -> bool:
    """Return True for a file of Python itself, of an installed library, or of this package."""
    return file.startswith(OF_PYTHON) or INSTALLED.search(file) is not None
