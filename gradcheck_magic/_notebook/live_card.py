"""The live card in a notebook, with its static copy.

A widget alone is lost when the notebook is reopened, so the card is two outputs: a static card, and
then the widget. While the widget lives, a style rule in it hides the static card. Once it is dead,
a rule in the static card hides the remains of the widget. Each pair has its own class, so that two
cards on one page do not affect each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any, TypeVar

import ipywidgets as widgets
from IPython.core.interactiveshell import InteractiveShell

from gradcheck_magic._notebook.controls import Controls, Requests, close
from gradcheck_magic._notebook.plain_cards import Bundle, Clock, Published, StaticCard, bundle_of
from gradcheck_magic._report.canvas import png, svg
from gradcheck_magic._report.card import card, progress_card
from gradcheck_magic._report.figures import element
from gradcheck_magic._result.gradient_check import GradientCheck

__all__ = ["LiveCards", "WidgetCard", "latest"]

Held = TypeVar("Held")

# At most this many cards are live at once, whose checks measured at most this many entries in all;
# older ones are replaced by their static copies. An entry takes 34 bytes.
MOST_LIVE, MOST_ENTRIES = 32, 2_000_000


class WidgetCard(StaticCard):
    """A live card, which is the widget `view`, with its static copy."""

    def __init__(self, publish: Callable[[Bundle], Published], requests: Requests) -> None:
        super().__init__(publish)
        self._shown: GradientCheck | None = None
        self._html = widgets.HTML()
        self._requests = requests
        self._controls: Controls | None = None
        self.view = widgets.VBox([self._html])
        for name in ("gc", "gc-box"):
            self.view.add_class(name)
        self._view_output: Published | None = None
        self._id = f"gc-{uuid.uuid4().hex[:12]}"
        output = ".jp-OutputArea-child"
        static = f"{output}:has(.{self._id}.gc-static)"
        self._hide_static = f"<style>{static}{{display:none!important}}</style>"
        dead = f"{static}+{output}:not(:has(.gc-live))"
        self._hide_dead = f"<style>{dead}{{display:none}}</style>"

    def progress(self, done: int, expected: int, seconds: float) -> None:
        """Show the progress, if it is due, without the controls of a result."""
        if not self._clock.due(seconds):
            return
        live = progress_card(done, expected, seconds, classes="gc-live")
        self._html.value = self._hide_static + live
        self.view.children = [self._html]
        if self._output is None:
            # The static copy is empty until the end: a notebook saved half way has no result.
            empty = f'{self._hide_dead}<div class="gc-static {self._id}"></div>'
            self._put({"text/plain": "", "text/html": empty})
            self._put_view()

    def show(self, check: GradientCheck) -> None:
        """Show the result in the live card and in its static copy."""
        self._shown = check
        self._clock = Clock()
        static = card(check, element(check, png), classes=f"gc-static {self._id}")
        live = card(check, element(check, svg), classes="gc-live", can_choose=True)
        self._html.value = self._hide_static + live
        self._controls = self._controls or Controls(self._requests)
        self._controls.show(check)
        self.view.children = [self._html, self._controls.view]
        self._put(bundle_of(check, self._hide_dead + static))
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

    @property
    def n_entries(self) -> int:
        """The number of measured entries that it keeps."""
        return 0 if self._shown is None else self._shown.n_measured

    def retire(self) -> None:
        """Close the widget, so that the static copy is seen from now on."""
        close(self.view)
        self._shown = None
        if self._controls is not None:
            self._controls.close()

    def _put_view(self) -> None:
        if self._view_output is None:
            # The widget's own text/plain is its repr, which would clutter the report of the copy.
            self._view_output = self._publish({**self.view._repr_mimebundle_(), "text/plain": ""})


def latest(held: Sequence[Held], most: int, n_entries: Callable[[Held], int]) -> Sequence[Held]:
    """Return the last items, at most `most`, with at most MOST_ENTRIES in all but the very last."""
    totals = accumulate(map(n_entries, held[:-1][::-1]), initial=0)
    return held[-min(most, sum(total <= MOST_ENTRIES for total in totals)) :]


class LiveCards:
    """The live cards: none from an earlier run of a cell, and not too many in all."""

    def __init__(self) -> None:
        # Each card, with its cell and the number of the run, which may show several cards.
        self._cards: list[tuple[WidgetCard, object, int]] = []

    def add(self, card: WidgetCard, shell: InteractiveShell) -> None:
        """Add the card of the running cell, and retire those of earlier runs or too many."""
        cell, run = _cell_id(shell), shell.execution_count
        others = [o for o in self._cards if cell is None or o[1] != cell or o[2] == run]
        self._keep(latest([*others, (card, cell, run)], MOST_LIVE, lambda live: live[0].n_entries))

    def close(self) -> None:
        """Retire all cards."""
        self._keep([])

    def _keep(self, cards: Sequence[tuple[WidgetCard, object, int]]) -> None:
        for live in self._cards:
            if live not in cards:
                live[0].retire()
        self._cards = list(cards)


def _cell_id(shell: Any) -> object:
    """Return the id of the cell that runs; None if that is unknown."""
    # Kernels may lack `get_parent`, their front ends the message of a cell, and that the id.
    with suppress(Exception):
        return shell.get_parent()["metadata"]["cellId"]
    return None
