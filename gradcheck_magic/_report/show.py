"""The entrance to this room: `text`, `html` and `figure` render a result of any kind.

The modules that draw are imported only when a picture is drawn, as matplotlib takes long to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck_magic._report.card import STYLE, card
from gradcheck_magic._report.step_curve_text import curve_sentence, curve_text
from gradcheck_magic._report.text import close_up_text, text_report
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.step_curve import StepCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve_sentence", "figure", "html", "text"]


def text(result: GradientCheck | CloseUp | StepCurve) -> str:
    """Return a result as text, for a terminal."""
    if isinstance(result, GradientCheck):
        return text_report(result)
    return close_up_text(result) if isinstance(result, CloseUp) else curve_text(result)


def html(result: GradientCheck | CloseUp | StepCurve) -> str:
    """Return a result as HTML that stands alone, with its pictures."""
    from gradcheck_magic._report.canvas import png

    if isinstance(result, GradientCheck):
        from gradcheck_magic._report.figures import element

        return card(result, element(result, png), classes="gc-static")
    from gradcheck_magic._report.close_up_card import close_up_card, curve_card

    if isinstance(result, CloseUp):
        content = close_up_card(result, png)
        tone = f"gc-{result.parameter.verdict.name.lower()}"
    else:
        content, tone = curve_card(result, png), ""
    return f'<style>{STYLE}</style><div class="gc gc-card gc-static {tone}">{content}</div>'


def figure(check: GradientCheck) -> Figure:
    """Return the picture of a check as a matplotlib figure."""
    from gradcheck_magic._report.canvas import plain_style
    from gradcheck_magic._report.figures import picture

    with plain_style():
        drawn = picture(check)
        # Otherwise the ticks would be made later, in the style that is set then.
        drawn.draw_without_rendering()
        # It stays transparent, whatever the user's settings for saved figures are.
        drawn.patch.set_alpha(0)
    return drawn
