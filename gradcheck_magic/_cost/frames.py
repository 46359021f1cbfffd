"""The frames of this package in the traceback of an exception: they keep no arrays in memory."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from gradcheck_magic._inputs.ownership import PACKAGE

__all__ = ["connected", "frames_released", "release_frames"]

P = ParamSpec("P")
R = TypeVar("R")


def frames_released(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that releases the frames of this package from any exception of its own."""

    @wraps(function)
    def released(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            release_frames(error)
            raise

    return released


def release_frames(error: BaseException | None) -> None:
    """Forget the local variables of this package's frames in the traceback of an exception.

    IPython keeps the last traceback for ``%debug``, and with it all arrays that a frame holds. The
    user's own frames stay as they are.
    """
    for each in connected(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename.startswith(PACKAGE):
                with suppress(RuntimeError):  # it still runs
                    frame.clear()


def connected(error: BaseException | None) -> list[BaseException]:
    """Return an exception and all that a traceback shows with it, each once."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in found:
            found[id(each)] = each
            members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            waiting += (each.__cause__, each.__context__, *members)
    return list(found.values())
