"""The front end: which cell runs, what it can show, and outputs that can be replaced."""

from __future__ import annotations

import os
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from gradcheck_magic._notebook.cards import Bundle

__all__ = ["Published", "cell_of", "outputs_stand_alone"]


def cell_of(shell: InteractiveShell) -> str | None:
    """Return the id of the cell that runs, if the front end tells."""
    # Kernels other than ipykernel may not have it.
    header: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}
    cell: str | None = header.get("metadata", {}).get("cellId")
    return cell


class Published:
    """An output that was displayed, and can be replaced."""

    def __init__(self, bundle: Bundle) -> None:
        self._handle = display(bundle, raw=True, display_id=True)

    def update(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)


def outputs_stand_alone(shell: InteractiveShell) -> bool:
    """Whether the front end keeps outputs in frames, where one cannot hide another."""
    return (
        "__vsc_ipynb_file__" in shell.user_ns
        or "VSCODE_PID" in os.environ
        or "google.colab" in sys.modules
    )
