"""A picture is an element of a page, in any colour, and independent of the user's settings."""

import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib as mpl
import matplotlib.style
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradcheck_magic._report.canvas import (
    DPI,
    INCHES,
    legend_above,
    plain_style,
    png,
    power,
    svg,
)

AREA = (0.1, 0.1, 0.8, 0.8)
WORDS = 'an "error" of <W> & more'


def drawn():
    figure = Figure()
    axes = figure.add_axes(AREA)
    axes.plot([1, 2], [3, 4], color="#0072B2")
    axes.set_xlabel("steps")
    return figure


@pytest.mark.parametrize(("value", "text"), [
    (1e-7, "1e-7"), (1e-12, "1e-12"), (1e-10, "1e-10"), (1.0, "1"), (10.0, "1e1"),
    (1e10, "1e10"), (1e100, "1e100"), (1e-100, "1e-100"), (1e30, "1e30"),
])  # fmt: skip
def test_power(value, text):
    assert power(value) == text
    assert float(power(value)) == value


def test_the_style_is_ours_and_theirs_is_back():
    with mpl.rc_context({"font.size": 31, "axes.grid": True}):
        with plain_style("black", {"lines.linewidth": 7}):
            assert mpl.rcParams["font.size"] == 9
            assert mpl.rcParams["axes.grid"] == mpl.rcParamsDefault["axes.grid"]
            assert mpl.rcParams["lines.linewidth"] == 7
        assert mpl.rcParams["font.size"] == 31
        assert mpl.rcParams["axes.grid"]


def test_the_style_is_back_after_an_error():
    with mpl.rc_context({"font.size": 31}):
        with pytest.raises(ZeroDivisionError), plain_style():
            raise ZeroDivisionError
        assert mpl.rcParams["font.size"] == 31


def test_only_missing_glyphs_are_no_news():
    with plain_style():
        warnings.warn("Glyph 26435 (x) missing from font(s) DejaVu Sans.", stacklevel=1)
        with pytest.warns(UserWarning, match="another"):
            warnings.warn("another", stacklevel=1)


def test_text_and_axes_have_the_colour():
    """The axes are open on the right and at the top, and nothing covers the background."""
    with plain_style("#123456"):
        figure = drawn()
        (axes,) = figure.axes
        legend_above(axes, [Line2D([], [], label="mark $x_1$")], ncols=1)
        figure.draw_without_rendering()
    (text,) = axes.get_legend().get_texts()
    inked = [
        axes.xaxis.label,
        axes.yaxis.label,
        text,
        *axes.get_xticklabels(),
        *axes.get_yticklabels(),
    ]
    assert {item.get_color() for item in inked} == {"#123456"}
    assert not text.get_parse_math()
    shown = {side: spine for side, spine in axes.spines.items() if spine.get_visible()}
    assert set(shown) == {"left", "bottom"}
    assert {to_hex(spine.get_edgecolor()) for spine in shown.values()} == {"#123456"}
    assert figure.patch.get_facecolor()[3] == axes.patch.get_facecolor()[3] == 0
    assert tuple(figure.get_size_inches()) == INCHES


def test_a_legend_of_nothing_is_none():
    axes = Figure().add_axes(AREA)
    legend_above(axes, [], ncols=1)
    assert axes.get_legend() is None


def test_svg():
    """The element has a description, the colour of the text around it, and no unused ids."""
    element = svg(drawn, WORDS)
    root = ET.fromstring(element)  # noqa: S314 (our own)
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == WORDS
    assert "currentColor" in element
    assert "#010203" not in element
    assert "#0072b2" in element.lower(), "other colours are kept"
    ids = re.findall(r' id="([^"]*)"', element)
    assert len(ids) == len(set(ids))
    assert all(f"#{name}" in element for name in ids)
    assert "<metadata" not in element
    assert svg(drawn, WORDS) == element, "the same picture is the same text"


def test_png():
    """There is one picture for light and one for dark, which is hidden if there are no styles."""
    asked = []

    def watched():
        asked.append(mpl.rcParams["text.color"])
        return drawn()

    root = ET.fromstring(f"<p>{png(watched, WORDS).replace('>', '/>')}</p>")  # noqa: S314 (our own)
    light, dark = root
    assert (light.get("class"), dark.get("class")) == ("gc-light", "gc-dark")
    assert light.get("style") == ""
    assert "none" in dark.get("style")
    assert {light.get("alt"), dark.get("alt")} == {WORDS}
    assert int(light.get("width")) == round(INCHES[0] * DPI)
    assert light.get("src").startswith("data:image/png;base64,iVBOR")
    assert light.get("src") != dark.get("src")
    assert len(set(asked)) == 2
