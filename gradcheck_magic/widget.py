"""The card in a notebook, live and static.

A widget alone is lost when the notebook is reopened, so the notebook's card is two outputs: a
static card, then the widget. While the widget lives, a rule in it hides the static card; once it
is dead, a rule in the static card hides what is left of it. Each pair has a class of its own, so
that two cards on one page leave each other alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets

from gradcheck_magic.check import GradientCheck
from gradcheck_magic.clock import Clock
from gradcheck_magic.figures import png_element, svg_element
from gradcheck_magic.report import card, progress_card, progress_text
from gradcheck_magic.text_report import text_report

__all__ = ["Card", "StaticCard", "WidgetCard"]

Bundle = dict[str, Any]


class Output(Protocol):
    """An output of a cell that can be replaced in place."""

    def update(self, bundle: Bundle, /) -> object: ...


class Card(Protocol):
    """Shows a check while it runs, and its result."""

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is; called now and then."""

    def show(self, check: GradientCheck) -> None:
        """Show the result, in place of the progress."""

    def clear(self) -> None:
        """Leave nothing of the progress behind."""


class StaticCard:
    """The card as one HTML output, for front ends where two outputs would not see each other.

    Parameters
    ----------
    publish : callable
        Displays a MIME bundle as an output of the cell and returns an `Output`.
    """

    def __init__(self, publish: Callable[[Bundle], Output]) -> None:
        self._publish = publish
        self._output: Output | None = None
        self._clock = Clock()

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is."""
        if self._clock.due(seconds):
            text = progress_text(done, expected, seconds)
            self._put({"text/plain": text, "text/html": progress_card(done, expected, seconds)})

    def show(self, check: GradientCheck) -> None:
        """Show the result."""
        self._put({"text/plain": text_report(check), "text/html": check.to_html()})

    def clear(self) -> None:
        """Empty the output, if there is one."""
        if self._output is not None:
            self._put({"text/plain": "", "text/html": ""})

    def _put(self, bundle: Bundle) -> None:
        if self._output is None:
            self._output = self._publish(bundle)
        else:
            self._output.update(bundle)


class WidgetCard(StaticCard):
    """The live card, with its static twin.

    Attributes
    ----------
    view : ipywidgets.HTML
        The widget.
    """

    def __init__(self, publish: Callable[[Bundle], Output]) -> None:
        super().__init__(publish)
        self.view = widgets.HTML()
        self._view_output: Output | None = None
        self._id = f"gc-{uuid.uuid4().hex[:12]}"

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is."""
        if not self._clock.due(seconds):
            return
        live = progress_card(done, expected, seconds, classes="gc-live")
        self.view.value = self._hide_static() + live
        if self._output is None:
            # The twin is empty until the end: what is saved half way is no result.
            self._put({"text/plain": "", "text/html": self._twin()})
            self._put_view()

    def show(self, check: GradientCheck) -> None:
        """Show the result, live and static."""
        static = card(check, png_element(check), classes=f"gc-static {self._id}")
        live = card(check, svg_element(check), classes="gc-live")
        self.view.value = self._hide_static() + live
        self._put({"text/plain": text_report(check), "text/html": self._hide_dead() + static})
        self._put_view()

    def clear(self) -> None:
        """Empty both outputs, and close the widget."""
        super().clear()
        if self._view_output is not None:
            self._view_output.update({"text/plain": ""})
        self.view.close()

    def _put_view(self) -> None:
        if self._view_output is None:
            # The widget's own text/plain is its repr, noise beside the twin's report.
            self._view_output = self._publish({**self.view._repr_mimebundle_(), "text/plain": ""})

    def _twin(self) -> str:
        return f'{self._hide_dead()}<div class="gc-static {self._id}"></div>'

    def _hide_dead(self) -> str:
        return (
            f"<style>.jp-OutputArea-child:has(.{self._id}.gc-static)"
            "+.jp-OutputArea-child:not(:has(.gc-live)){display:none}</style>"
        )

    def _hide_static(self) -> str:
        return (
            f"<style>.jp-OutputArea-child:has(.{self._id}.gc-static)"
            "{display:none!important}</style>"
        )
