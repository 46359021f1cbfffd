"""What all pictures share: matplotlib's default style, axes, and HTML elements."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradcheck_magic._cost.interrupt import InterruptGuard

__all__ = [
    "AGREE",
    "INCHES",
    "UNKNOWN_COLOR",
    "WRONG",
    "Draw",
    "legend_above",
    "new_axes",
    "paint",
    "plain_style",
    "png",
    "power",
    "svg",
]

# The size of a picture, in inches and dots per inch: as wide as half a card.
INCHES = (4.6, 2.6)
DPI = 100
# Okabe and Ito's colours, which nearly everybody can tell apart.
AGREE = "#0072B2"
WRONG = ("#D55E00", "#E69F00", "#CC79A7")
UNKNOWN_COLOR = "#7F7F7F"
# In the live card, everything in this colour takes the colour of the surrounding text.
SENTINEL = "#010203"


class Draw(Protocol):
    """A function that draws a figure, with text and axes in a given colour."""

    def __call__(self, *, color: str) -> Figure:
        """Return the figure, with a transparent background."""


@contextmanager
def plain_style(further: dict[str, object] | None = None) -> Iterator[None]:
    """Use matplotlib's default style, and restore the user's settings afterwards.

    An interrupt is held back until they are restored.
    """
    with (
        InterruptGuard(),
        matplotlib.style.context(["default", {"font.size": 9, **(further or {})}]),
        warnings.catch_warnings(),
    ):
        # A font may lack the script of a name; the table beside the picture shows the name anyway.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


def new_axes(area: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Return a transparent figure and its axes."""
    figure = Figure(figsize=INCHES, dpi=DPI)
    figure.patch.set_alpha(0)
    return figure, figure.add_axes(area)


def legend_above(axes: Axes, handles: Sequence[Artist], *, ncols: int) -> None:
    """Put the legend above the axes, where it covers no data."""
    if not handles:
        return
    axes.legend(
        handles=handles,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.99),
        ncols=ncols,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.2,
    )


def power(value: float) -> str:
    """Return a power of ten as plain text, ``1e-7``: a formula would have to be typeset."""
    text = f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return text.removesuffix("e0")


def paint(axes: Axes, color: str) -> None:
    """Set the colour of text and axes, and remove the frame."""
    axes.patch.set_alpha(0)
    axes.tick_params(colors=color)
    axes.xaxis.label.set_color(color)
    axes.yaxis.label.set_color(color)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(color)
    legend = axes.get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_color(color)


def svg(draw: Draw, alt: str) -> str:
    """Return a picture as an `<svg>` element in the colour of the surrounding text.

    Parameters
    ----------
    draw : callable
        Draws the picture, such as ``partial(error_map, close_up)``.
    alt : str
        The picture in words, as plain text.
    """
    with plain_style({"svg.fonttype": "none", "svg.hashsalt": "gradcheck"}):
        buffer = io.StringIO()
        draw(color=SENTINEL).savefig(buffer, format="svg", metadata={"Date": None})
    element = buffer.getvalue()
    element = element[element.index("<svg") :].replace(SENTINEL, "currentColor")
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # References use ids made from a hash. All other ids would repeat on the page.
    element = re.sub(r'<g id="[^"]*">', "<g>", element)
    element = re.sub(r'(<image [^>]*?)\s?id="[^"]*"', r"\1", element)
    words = html.escape(alt, quote=True)
    return element.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)


def png(draw: Draw, alt: str) -> str:
    """Return a picture as two `<img>` elements with embedded PNGs, one light and one dark."""
    light = _img(draw, alt, color="#1a1a1a", background="#ffffff", style="")
    dark = _img(draw, alt, color="#eeeeee", background="#111111", style="display:none")
    return light + dark


def _img(draw: Draw, alt: str, *, color: str, background: str, style: str) -> str:
    with plain_style():
        buffer = io.BytesIO()
        figure = draw(color=color)
        # It is opaque, as a page without our style sheet may show the light one on a dark ground.
        figure.patch.set(facecolor=background, alpha=1)
        figure.savefig(buffer, format="png", dpi=2 * DPI)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    theme = "gc-dark" if style else "gc-light"
    return (
        f'<img class="{theme}" style="{style}" width="{round(INCHES[0] * DPI)}" '
        f'alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
    )
