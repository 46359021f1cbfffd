"""Gradient checking for backpropagation written by hand.

In a notebook::

    %load_ext gradcheck_magic

    %%gradcheck
    grads = backward(params, X, Y)

and in Python::

    from gradcheck_magic import check_gradients
    check_gradients(params, grads, cost_function).raise_if_failed()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck_magic._measure.step_curve import step_curve
from gradcheck_magic._result.cause import Cause, Diagnosis
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic.check import check_gradients, gradient_checking
from gradcheck_magic.errors import (
    GradientCheckError,
    GradientCheckFailed,
    GradientCheckInterrupted,
    InputError,
    WorkerLostError,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

__all__ = [
    "Cause",
    "Diagnosis",
    "Entry",
    "GradientCheck",
    "GradientCheckError",
    "GradientCheckFailed",
    "GradientCheckInterrupted",
    "InputError",
    "ParameterCheck",
    "StepCurve",
    "Verdict",
    "WorkerLostError",
    "check_gradients",
    "gradient_checking",
    "load_ipython_extension",
    "step_curve",
    "unload_ipython_extension",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%gradcheck`` and ``%%gradcheck`` to a shell (``%load_ext gradcheck_magic``).

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's IPython shell.

    Raises
    ------
    InputError
        If an option in the project's ``pyproject.toml`` has an invalid value; in CI, also if
        others may write to that file.
    """
    from gradcheck_magic._notebook.magic import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove the magics from a shell (``%unload_ext gradcheck_magic``).

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's IPython shell.
    """
    from gradcheck_magic._notebook.magic import unload

    unload(shell)
