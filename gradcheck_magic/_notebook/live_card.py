"""The card in a notebook, live and static.

A widget alone is lost when the notebook is reopened, so the notebook's card is two outputs: a
static card, then the widget. While the widget lives, a rule in it hides the static card; once it
is dead, a rule in the static card hides what is left of it. Each pair has a class of its own, so
that two cards on one page leave each other alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets as widgets

from gradcheck_magic._notebook.cards import Bundle, Clock, Output, StaticCard, bundle_of
from gradcheck_magic._notebook.controls import Controls, Requests, close
from gradcheck_magic._report.card import card, progress_card
from gradcheck_magic._report.figures import png_element, svg_element
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["LiveCards", "WidgetCard"]

# So many cards are live at once; an older one is its static twin from then on.
MOST_LIVE = 32


class WidgetCard(StaticCard):
    """The live card, with its static twin.

    Parameters
    ----------
    publish : callable
        Displays a MIME bundle as an output of the cell and returns an `Output`.
    requests : Requests
        Who does what the card is asked for.

    Attributes
    ----------
    view : ipywidgets.VBox
        The widget.
    shown : GradientCheck or None
        What it shows.
    """

    def __init__(self, publish: Callable[[Bundle], Output], requests: Requests) -> None:
        super().__init__(publish)
        self.shown: GradientCheck | None = None
        self._html = widgets.HTML()
        self._requests = requests
        self._controls: Controls | None = None
        self.view = widgets.VBox([self._html])
        for name in ("gc", "gc-box"):
            self.view.add_class(name)
        self._view_output: Output | None = None
        self._id = f"gc-{uuid.uuid4().hex[:12]}"

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show how far the check is, without what the result can be asked for."""
        if not self._clock.due(seconds):
            return
        live = progress_card(done, expected, seconds, classes="gc-live")
        self._html.value = self._hide_static() + live
        self.view.children = [self._html]
        if self._output is None:
            # The twin is empty until the end: what is saved half way is no result.
            self._put({"text/plain": "", "text/html": self._twin()})
            self._put_view()

    def show(self, check: GradientCheck) -> None:
        """Show the result, live and static."""
        self.shown = check
        self._clock = Clock()
        static = card(check, png_element(check), classes=f"gc-static {self._id}")
        live = card(check, svg_element(check), classes="gc-live", can_choose=True)
        self._html.value = self._hide_static() + live
        self._controls = self._controls or Controls(self._requests)
        self._controls.show(check)
        self.view.children = [self._html, self._controls.view]
        self._put(bundle_of(check, self._hide_dead() + static))
        self._put_view()

    def clear(self) -> None:
        """Empty both outputs, and close the widget."""
        super().clear()
        if self._view_output is not None:
            self._view_output.update({"text/plain": ""})
        self.retire()

    def retire(self) -> None:
        """Close the widget: from then on the static twin is what is seen."""
        close(self.view)
        if self._controls is not None:
            close(self._controls.view)

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


class _Live(NamedTuple):
    """A card that is live, and where: in which cell, and in which run of it."""

    card: WidgetCard
    cell: str | None
    run: int


class LiveCards:
    """The cards that are live: none of an earlier run of a cell, and not too many in all."""

    def __init__(self) -> None:
        self._cards: list[_Live] = []

    def add(self, card: WidgetCard, cell: str | None, run: int) -> None:
        """Keep a new card live, and retire those whose time is over.

        Parameters
        ----------
        card : WidgetCard
            The new one.
        cell : str or None
            In which cell it is, if the front end tells.
        run : int
            The number of the run; there may be several cards in one.
        """
        same_run = [o for o in self._cards if cell is None or o.cell != cell or o.run == run]
        self._keep([*same_run, _Live(card, cell, run)][-MOST_LIVE:])

    def close(self) -> None:
        """Retire them all."""
        self._keep([])

    def _keep(self, cards: list[_Live]) -> None:
        for live in self._cards:
            if live not in cards:
                live.card.retire()
        self._cards = cards
