"""Results of every kind are shown as text, HTML or a figure."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from reports import result_by_hand

from gradcheck_magic._report.card import card
from gradcheck_magic._report.show import figure, html, text
from gradcheck_magic._report.step_curve_text import curve_text
from gradcheck_magic._report.text import close_up_text, text_report
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.step_curve import StepCurve

HAND = result_by_hand()


@pytest.mark.parametrize(
    ("kind", "shows"),
    [(GradientCheck, text_report), (CloseUp, close_up_text), (StepCurve, curve_text)],
)
def test_text(kind, shows):
    assert text.dispatch(kind) is shows
    assert html.dispatch(kind) not in {html.dispatch(object), text.dispatch(kind)}


def test_each_kind_has_a_page_of_its_own():
    pages = {html.dispatch(kind) for kind in (GradientCheck, CloseUp, StepCurve)}
    assert len(pages) == 3


@pytest.mark.parametrize("show", [text, html])
@pytest.mark.parametrize("other", [None, "a check", SimpleNamespace(verdict=1), np.ones(2)])
def test_what_is_no_result(show, other):
    with pytest.raises(NotImplementedError, match=type(other).__name__):
        show(other)


def test_a_check():
    assert text(HAND) == str(HAND)
    page = html(HAND)
    assert page.count("<img") == 2
    assert "gc-static" in page
    assert "gc-static" not in card(HAND, "")


def test_figure():
    drawn = figure(HAND)
    assert isinstance(drawn, Figure)
    assert sum(bar.get_height() for bar in drawn.axes[0].patches) == len(HAND.analytic)
