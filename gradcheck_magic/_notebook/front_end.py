"""The front end: the id of the running cell, and outputs that can be updated."""

from __future__ import annotations

import os
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from gradcheck_magic._notebook.cards import Bundle

__all__ = ["Published", "cell_of", "outputs_stand_alone"]


def cell_of(shell: InteractiveShell) -> str | None:
    """Return the id of the running cell, if the front end gives one."""
    # Kernels other than ipykernel may lack get_parent.
    header: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}
    cell: str | None = header.get("metadata", {}).get("cellId")
    return cell


class Published:
    """An output that is displayed, and can be updated in place."""

    def __init__(self, bundle: Bundle) -> None:
        self._handle = display(bundle, raw=True, display_id=True)

    def update(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)


def outputs_stand_alone(shell: InteractiveShell) -> bool:
    """Return True if the front end isolates outputs, so that one cannot hide another."""
    return (
        "__vsc_ipynb_file__" in shell.user_ns
        or "VSCODE_PID" in os.environ
        or "google.colab" in sys.modules
    )
