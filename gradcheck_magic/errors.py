"""The exceptions, each with the one-line rendering a notebook shows.

IPython calls ``_render_traceback_`` instead of formatting a traceback. The cell still ends in a
real error, so *Run All* stops and nbmake, nbval, nbconvert and papermill are red, but the reader
sees one sentence and not the inside of this package.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "GradientCheckError",
    "GradientCheckFailed",
    "GradientCheckInterrupted",
    "InputError",
]


class GradientCheckError(Exception):
    """Anything this package raises, other than an interrupt or the user's own exceptions."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class InputError(GradientCheckError, ValueError):
    """The check was asked for in a way that cannot work: the call is wrong, not the gradient."""


class GradientCheckFailed(GradientCheckError, AssertionError):  # noqa: N818 (a public name)
    """The check ran, and its verdict is not CORRECT.

    Attributes
    ----------
    check : GradientCheck
        The whole result.
    """

    # Nothing can be imported here: what is raised knows nothing of what raises it.
    def __init__(self, message: str, check: Any) -> None:
        super().__init__(message)
        self.check = check


class GradientCheckInterrupted(KeyboardInterrupt):
    """The check was interrupted; every parameter is as it was before.

    Attributes
    ----------
    check : GradientCheck
        What was known by then, with ``check.interrupted`` true.
    """

    def __init__(self, check: Any) -> None:
        super().__init__(
            f"{check.n_measured} of {check.size} entries were checked; "
            "the parameters are as they were before."
        )
        self.check = check

    def _render_traceback_(self) -> list[str]:
        return [f"Gradient check interrupted: {self}"]
