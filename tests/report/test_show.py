"""Results of every kind are shown as text, HTML or a figure."""

import io

import matplotlib as mpl
from matplotlib.figure import Figure
from reports import result_by_hand

from gradcheck_magic._report.card import card
from gradcheck_magic._report.show import figure, html, text

HAND = result_by_hand()


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


def test_figure_in_the_users_style():
    """It does not matter which style is set, neither when it is drawn nor when it is saved."""
    plain = pixels(figure(HAND))
    with mpl.rc_context({"xtick.color": "red", "font.size": 31, "axes.facecolor": "blue"}):
        assert pixels(figure(HAND)) == plain


def pixels(drawn):
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="rgba")
    return buffer.getvalue()
