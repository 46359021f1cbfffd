"""A picture is an element of a page, in any colour, and independent of the user's settings."""

import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib as mpl
import matplotlib.style
import pytest
from matplotlib.lines import Line2D

from gradcheck_magic._report.canvas import (
    DPI,
    INCHES,
    legend_above,
    new_axes,
    paint,
    plain_style,
    png,
    power,
    svg,
)

AREA = (0.1, 0.1, 0.8, 0.8)
WORDS = 'an "error" of <W> & more'


def drawn(*, color):
    figure, axes = new_axes(AREA)
    axes.plot([1, 2], [3, 4], color="#0072B2")
    axes.set_xlabel("steps")
    paint(axes, color)
    return figure


@pytest.mark.parametrize(("value", "text"), [
    (1e-7, "1e-7"), (1e-12, "1e-12"), (1e-10, "1e-10"), (1.0, "1"), (10.0, "1e1"),
    (1e10, "1e10"), (1e100, "1e100"), (1e-100, "1e-100"), (1e30, "1e30"),
])  # fmt: skip
def test_power(value, text):
    assert power(value) == text
    assert float(power(value)) == value


def test_the_style_is_ours_and_theirs_is_back():
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        with plain_style({"lines.linewidth": 7}):
            assert mpl.rcParams["font.size"] == 9
            assert mpl.rcParams["axes.facecolor"] == mpl.rcParamsDefault["axes.facecolor"]
            assert mpl.rcParams["lines.linewidth"] == 7
        assert mpl.rcParams["font.size"] == 31
        assert mpl.rcParams["axes.facecolor"] == "red"


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


def test_axes():
    figure, axes = new_axes(AREA)
    assert figure.patch.get_alpha() == 0
    assert tuple(figure.get_size_inches()) == INCHES
    assert axes.get_position().bounds == pytest.approx(AREA)


def test_paint():
    """Text and axes have the colour, and the axes are open on the right and at the top."""
    _, axes = new_axes(AREA)
    legend_above(axes, [Line2D([], [], label="mark")], ncols=1)
    paint(axes, "#123456")
    assert axes.xaxis.label.get_color() == axes.yaxis.label.get_color() == "#123456"
    assert [text.get_color() for text in axes.get_legend().get_texts()] == ["#123456"]
    assert {side for side, spine in axes.spines.items() if spine.get_visible()} == {
        "left",
        "bottom",
    }
    assert axes.patch.get_alpha() == 0


def test_a_legend_of_nothing_is_none():
    _, axes = new_axes(AREA)
    legend_above(axes, [], ncols=1)
    assert axes.get_legend() is None
    paint(axes, "black")


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

    def watched(*, color):
        asked.append(color)
        return drawn(color=color)

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
