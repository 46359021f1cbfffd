"""The live card in a notebook, with its static copy.

A widget alone is lost when the notebook is reopened, so the card is two outputs: a static card, and
then the widget. While the widget lives, a style rule in it hides the static card. Once it is dead,
a rule in the static card hides the remains of the widget. Each pair has its own class, so that two
cards on one page do not affect each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets as widgets

from gradcheck_magic._notebook.controls import Controls, Requests, close
from gradcheck_magic._notebook.plain_cards import Bundle, Clock, Output, StaticCard, bundle_of
from gradcheck_magic._report.canvas import png, svg
from gradcheck_magic._report.card import card, progress_card
from gradcheck_magic._report.figures import element
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["LiveCards", "WidgetCard"]

# At most this many cards are live at once; older ones are replaced by their static copies.
MOST_LIVE = 32


class WidgetCard(StaticCard):
    """A live card, with its static copy.

    Parameters
    ----------
    publish : callable
        Displays a MIME bundle as an output of the cell and returns an `Output`.
    requests : Requests
        The functions behind the controls.

    Attributes
    ----------
    view : ipywidgets.VBox
        The widget.
    """

    def __init__(self, publish: Callable[[Bundle], Output], requests: Requests) -> None:
        super().__init__(publish)
        self._shown: GradientCheck | None = None
        self._html = widgets.HTML()
        self._requests = requests
        self._controls: Controls | None = None
        self.view = widgets.VBox([self._html])
        for name in ("gc", "gc-box"):
            self.view.add_class(name)
        self._view_output: Output | None = None
        self._id = f"gc-{uuid.uuid4().hex[:12]}"

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show the progress, if it is due, without the controls of a result."""
        if not self._clock.due(seconds):
            return
        live = progress_card(done, expected, seconds, classes="gc-live")
        self._html.value = self._hide_static() + live
        self.view.children = [self._html]
        if self._output is None:
            # The static copy is empty until the end: a notebook saved half way has no result.
            self._put({"text/plain": "", "text/html": self._twin()})
            self._put_view()

    def show(self, check: GradientCheck) -> None:
        """Show the result in the live card and in its static copy."""
        self._shown = check
        self._clock = Clock()
        static = card(check, element(check, png), classes=f"gc-static {self._id}")
        live = card(check, element(check, svg), classes="gc-live", can_choose=True)
        self._html.value = self._hide_static() + live
        self._controls = self._controls or Controls(self._requests)
        self._controls.show(check)
        self.view.children = [self._html, self._controls.view]
        self._put(bundle_of(check, self._hide_dead() + static))
        self._put_view()

    def clear(self) -> None:
        """Show the last result again; without one, empty both outputs and close the widget."""
        if self._shown is not None:
            self.show(self._shown)
            return
        super().clear()
        if self._view_output is not None:
            self._view_output.update({"text/plain": ""})
        self.retire()

    def retire(self) -> None:
        """Close the widget, so that the static copy is seen from now on."""
        close(self.view)
        if self._controls is not None:
            close(self._controls.view)

    def _put_view(self) -> None:
        if self._view_output is None:
            # The widget's own text/plain is its repr, which would clutter the report of the copy.
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
    """A live card, its cell, and the number of the run."""

    card: WidgetCard
    cell: str | None
    run: int


class LiveCards:
    """The live cards: none from an earlier run of a cell, and not too many in all."""

    def __init__(self) -> None:
        self._cards: list[_Live] = []

    def add(self, card: WidgetCard, cell: str | None, run: int) -> None:
        """Add a new card, and retire the cards of earlier runs and those that are too many.

        Parameters
        ----------
        card : WidgetCard
            The new card.
        cell : str or None
            The id of its cell, if the front end gives one.
        run : int
            The number of the run; one run may show several cards.
        """
        same_run = [o for o in self._cards if cell is None or o.cell != cell or o.run == run]
        self._keep([*same_run, _Live(card, cell, run)][-MOST_LIVE:])

    def close(self) -> None:
        """Retire all cards."""
        self._keep([])

    def _keep(self, cards: list[_Live]) -> None:
        for live in self._cards:
            if live not in cards:
                live.card.retire()
        self._cards = cards
