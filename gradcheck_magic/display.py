"""How a front end is given a result: as text, as HTML, or as whichever of them it asks for."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["Displayed"]


class Displayed:
    """A result that notebooks show as a card, `to_html()`, and terminals as text, its `str()`."""

    def to_html(self) -> str:
        """Return the card: HTML that needs nothing else, pictures included."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Return what is asked for, and draw no pictures for who wants text alone."""
        forms = {"text/plain": self.__str__, "text/html": self.to_html}
        return {
            kind: form()
            for kind, form in forms.items()
            if (not include or kind in include) and not (exclude and kind in exclude)
        }
