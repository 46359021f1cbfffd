"""The base class of results that can be shown as text or as HTML."""

from __future__ import annotations

from collections.abc import Container
from types import ModuleType

__all__ = ["Displayed", "renderers"]


def renderers() -> ModuleType:
    """Return the module that renders each kind of result.

    This is the only import from a package above this one: a result is plain data, and imports its
    renderers when it is shown.
    """
    from gradcheck_magic._report import show

    return show


class Displayed:
    """A result that notebooks show as HTML, `to_html()`, and terminals as text, `str()`."""

    def __str__(self) -> str:
        return str(renderers().text(self))

    def to_html(self) -> str:
        """Return the result as self-contained HTML, pictures included."""
        return str(renderers().html(self))

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Return the requested formats; no pictures are drawn for text alone."""
        forms = {"text/plain": self.__str__, "text/html": self.to_html}
        return {
            kind: form()
            for kind, form in forms.items()
            if (not include or kind in include) and not (exclude and kind in exclude)
        }
