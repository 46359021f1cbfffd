"""The entrance to this room: `text`, `html` and `figure` render a result of any kind.

The modules that draw are imported only when a picture is drawn, as matplotlib takes long to import.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from gradcheck_magic._report.card import card
from gradcheck_magic._report.step_curve_text import curve_sentence, curve_text
from gradcheck_magic._report.text import close_up_text, text_report
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.step_curve import StepCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve_sentence", "figure", "html", "text"]


@singledispatch
def text(result: object) -> str:
    """Return a result as text, for a terminal."""
    raise NotImplementedError(type(result).__name__)


text.register(GradientCheck, text_report)
text.register(CloseUp, close_up_text)
text.register(StepCurve, curve_text)


@singledispatch
def html(result: object) -> str:
    """Return a result as HTML that stands alone, with its pictures."""
    raise NotImplementedError(type(result).__name__)


@html.register
def _(check: GradientCheck) -> str:
    from gradcheck_magic._report.figures import png_element

    return card(check, png_element(check), classes="gc-static")


@html.register
def _(close_up: CloseUp) -> str:
    from gradcheck_magic._report.close_up_card import close_up_page

    return close_up_page(close_up)


@html.register
def _(curve: StepCurve) -> str:
    from gradcheck_magic._report.close_up_card import curve_page

    return curve_page(curve)


def figure(check: GradientCheck) -> Figure:
    """Return the picture of a check as a matplotlib figure."""
    from gradcheck_magic._report.figures import picture

    return picture(check)
