"""The exceptions, each shown by a notebook in one line.

IPython calls ``_render_traceback_`` instead of formatting a traceback. The cell still ends in a
real error, so *Run All* stops and nbmake, nbval, nbconvert and papermill fail, but the reader sees
one sentence and not the internals of this package.
"""

from __future__ import annotations

from typing import Any

from gradcheck_magic._wording import printable, some_were

__all__ = [
    "GradientCheckError",
    "GradientCheckFailed",
    "GradientCheckInterrupted",
    "InputError",
    "WorkerLostError",
]


class GradientCheckError(Exception):
    """The base class of everything this package raises, except for the interrupt.

    Exceptions of the user's own functions pass through as they are. A notebook shows the error in
    one line, without a traceback, and the cell still fails. The message is one line, whatever it
    quotes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class InputError(GradientCheckError, ValueError):
    """An error in the call of a check: the call is wrong, not the gradient.

    The message names the culprit, says what was found, and says what to do. It is a `ValueError`.
    """


class WorkerLostError(GradientCheckError, RuntimeError):
    """The error raised if a worker dies, so that the check cannot be completed.

    It is a `RuntimeError`.
    """


class GradientCheckFailed(GradientCheckError, AssertionError):  # noqa: N818 (a public name)
    """The failure of a check that ran: its verdict is not CORRECT.

    It is an `AssertionError`, so that it fails a test.

    Attributes
    ----------
    check : GradientCheck
        The complete result.
    """

    # `check` is untyped because this module must not import the modules that raise its errors.
    def __init__(self, message: str, check: Any) -> None:
        super().__init__(message)
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[str, Any]]:
        return type(self), (str(self), self.check)


class GradientCheckInterrupted(KeyboardInterrupt):
    """The interrupt of a check; every parameter is as it was before.

    It is a `KeyboardInterrupt`, so that *Run All* stops.

    Attributes
    ----------
    check : GradientCheck
        The results so far; ``check.interrupted`` is true if entries are missing.
    """

    def __init__(self, check: Any) -> None:
        checked = f"{some_were(check.n_measured, check.size, 'entries')} checked"
        if check.mode == "scan":
            scanned = sum(parameter.is_scanned for parameter in check.parameters)
            checked = f"{some_were(scanned, len(check.parameters), 'parameters')} scanned"
        super().__init__(f"{checked}; the parameters are as they were before.")
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self.check,)

    def _render_traceback_(self) -> list[str]:
        return [f"Gradient check interrupted: {self}"]
