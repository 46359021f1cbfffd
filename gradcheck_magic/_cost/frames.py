"""An exception does not keep the arrays of a check in memory."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gradcheck_magic._cost.calling import PACKAGE

__all__ = ["frames_released", "release_frames"]


@contextmanager
def frames_released() -> Iterator[None]:
    """Release the frames of this package from any exception that leaves this context."""
    try:
        yield
    except BaseException as error:
        release_frames(error)
        raise


def release_frames(error: BaseException | None) -> None:
    """Forget the local variables of this package's frames in the traceback of an exception.

    IPython keeps the last traceback for ``%debug``, and with it all arrays that a frame holds. The
    user's own frames stay as they are.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(PACKAGE):
                with suppress(RuntimeError):  # it still runs
                    frame.clear()
        error = error.__cause__ or error.__context__
