"""The frames of this package in the traceback of an exception: they keep no arrays in memory."""

from __future__ import annotations

import traceback
from contextlib import suppress

from gradcheck_magic._cost.ownership import PACKAGE

__all__ = ["FramesReleased", "connected", "release_frames"]


class FramesReleased:
    """A context that releases the frames of this package from any exception that leaves it."""

    def __enter__(self) -> None:
        pass

    # A generator would set an attribute of the user's exceptions, which these may refuse.
    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        release_frames(error)


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
