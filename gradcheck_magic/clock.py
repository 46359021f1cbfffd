"""When progress is shown."""

from __future__ import annotations

__all__ = ["Clock"]

# Nothing is shown of a check that is over sooner, and what is shown changes no oftener.
PATIENCE = 0.3
REFRESH = 0.1


class Clock:
    """Says when it is time to show progress again."""

    def __init__(self) -> None:
        self._next = PATIENCE

    def due(self, seconds: float) -> bool:
        """Whether to show it, so many seconds after the start."""
        if seconds < self._next:
            return False
        self._next = seconds + REFRESH
        return True
