"""The closer look at one parameter, and the step curve of one entry, as HTML."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gradcheck_magic._report.canvas import Draw, svg
from gradcheck_magic._report.card import NO_MATHS, entries_table, in_code
from gradcheck_magic._report.close_up_figures import (
    error_map,
    error_map_alt,
    parameter_histogram,
    parameter_histogram_alt,
    scatter,
    scatter_alt,
    step_curve_alt,
    step_curve_picture,
)
from gradcheck_magic._report.words import parameter_verdict, shape_text
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._wording import as_html

__all__ = ["close_up_card", "curve_card"]

# Makes an HTML element from a function that draws a picture, and the picture in words: `svg`, or
# `png` if the card has to stand alone.
Element = Callable[[Draw, str], str]

# A close-up lists at most this many of the worst entries.
ENTRIES_IN_CLOSE_UP = 8
PANELS = (
    ("Relative errors of its entries", parameter_histogram, parameter_histogram_alt),
    ("Error by position", error_map, error_map_alt),
    ("Analytic against numerical", scatter, scatter_alt),
)


def close_up_card(close_up: CloseUp, element: Element = svg) -> str:
    """Return the closer look at one parameter: its pictures and worst entries."""
    parameter = close_up.parameter
    name = as_html(parameter.name)
    verdict = as_html(f"{parameter.verdict.symbol} {parameter_verdict(parameter)}")
    panels = [
        _panel(title, element(partial(draw, close_up), alt(close_up)))
        for title, draw, alt in PANELS
    ]
    worst = entries_table(close_up.worst(ENTRIES_IN_CLOSE_UP), "The worst entries")
    return (
        f'<div class="gc gc-close-up {NO_MATHS}" role="group" aria-label="A closer look at {name}">'
        f"<div><b><code>{name}</code></b> {shape_text(parameter.shape)} · {verdict}</div>"
        f'<div class="gc-panels">{"".join(panels)}</div>'
        '<div class="gc-scroll" role="group" aria-label="Worst entries" tabindex="0">'
        f"{worst}</div></div>"
    )


def curve_card(curve: StepCurve, element: Element = svg) -> str:
    """Return the step curve of one entry, with its description."""
    label = as_html(curve.label)
    picture = element(partial(step_curve_picture, curve), step_curve_alt(curve))
    return (
        f'<div class="gc gc-curve gc-panels {NO_MATHS}" role="group" '
        f'aria-label="The step curve of {label}">'
        f"{_panel('Error as a function of the step', picture)}"
        f'<div><b><code>{label}</code></b><div class="gc-diagnosis" style="padding:6px 10px">'
        f"{in_code(curve.sentence)}</div></div></div>"
    )


def _panel(title: str, picture: str) -> str:
    return f"<figure><figcaption>{title}</figcaption>{picture}</figure>"
