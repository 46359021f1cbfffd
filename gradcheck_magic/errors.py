"""The exceptions, each with the one-line rendering a notebook shows; and how sentences are put.

IPython calls ``_render_traceback_`` instead of formatting a traceback. The cell still ends in a
real error, so *Run All* stops and nbmake, nbval, nbconvert and papermill are red, but the reader
sees one sentence and not the inside of this package.
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
    """Anything this package raises, other than an interrupt or the user's own exceptions.

    A notebook shows it in one line, without a traceback, and the cell has failed all the same.
    Whatever a sentence quotes, it is one line.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class InputError(GradientCheckError, ValueError):
    """The check was asked for in a way that cannot work: the call is wrong, not the gradient.

    It names the culprit, and says what was found and what to do. It is a `ValueError`.
    """


class WorkerLostError(GradientCheckError, RuntimeError):
    """A worker died, and the check could not be made.

    It is a `RuntimeError`.
    """


class GradientCheckFailed(GradientCheckError, AssertionError):  # noqa: N818 (a public name)
    """The check ran, and its verdict is not CORRECT.

    It is an `AssertionError`, so that a test fails by it.

    Attributes
    ----------
    check : GradientCheck
        The whole result.
    """

    # Nothing can be imported here: what is raised knows nothing of what raises it.
    def __init__(self, message: str, check: Any) -> None:
        super().__init__(message)
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[str, Any]]:
        return type(self), (str(self), self.check)


class GradientCheckInterrupted(KeyboardInterrupt):
    """The check was interrupted; every parameter is as it was before.

    It is a `KeyboardInterrupt`, so that *Run All* stops.

    Attributes
    ----------
    check : GradientCheck
        What was known by then; ``check.interrupted`` tells whether entries are missing.
    """

    def __init__(self, check: Any) -> None:
        checked = f"{some_were(check.n_measured, check.size, 'entries')} checked"
        if check.mode == "scan":
            looked_at = sum(parameter.is_scanned for parameter in check.parameters)
            checked = f"{some_were(looked_at, len(check.parameters), 'parameters')} looked at"
        super().__init__(f"{checked}; the parameters are as they were before.")
        self.check = check

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self.check,)

    def _render_traceback_(self) -> list[str]:
        return [f"Gradient check interrupted: {self}"]
