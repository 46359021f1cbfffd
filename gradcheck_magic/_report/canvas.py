"""What all pictures share: a style of their own, and HTML elements."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._wording import as_html

__all__ = [
    "AGREE",
    "UNKNOWN_COLOR",
    "WRONG",
    "Draw",
    "legend_above",
    "plain_style",
    "png",
    "power",
    "svg",
]

# Draws a figure in the style that is set, such as ``partial(error_map, close_up)``.
Draw = Callable[[], Figure]

# The size of a picture, in inches and dots per inch: as wide as half a card.
INCHES = (4.6, 2.6)
DPI = 100
# Okabe and Ito's colours, which nearly everybody can tell apart.
AGREE = "#0072B2"
WRONG = ("#D55E00", "#E69F00", "#CC79A7")
UNKNOWN_COLOR = "#7F7F7F"
# In the live card, everything in this colour takes the colour of the surrounding text.
SENTINEL = "#010203"
# The differences of our style from matplotlib's default one.
OUR_STYLE: dict[str, object] = {
    "figure.figsize": INCHES,
    "figure.dpi": DPI,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    # A dollar sign in a name does not start a formula.
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.2,
}
# The settings that have the colour of the text.
INKED = (
    "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "lines.color",
)  # fmt: skip


@contextmanager
def plain_style(color: str = "black", further: dict[str, object] | None = None) -> Iterator[None]:
    """Use our own style, with text and axes in a colour; the user's settings are restored.

    An interrupt is held back until they are.
    """
    with (
        InterruptGuard(),
        matplotlib.style.context(
            ["default", {**OUR_STYLE, **dict.fromkeys(INKED, color), **(further or {})}]
        ),
        warnings.catch_warnings(),
    ):
        # A font may lack the script of a name; the table beside the picture shows the name anyway.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


def legend_above(axes: Axes, handles: Sequence[Artist], *, ncols: int) -> None:
    """Put the legend above the axes, where it covers no data."""
    if handles:
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=ncols)


def power(value: float) -> str:
    """Return a power of ten as plain text, ``1e-7``: a formula would have to be typeset."""
    text = f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return text.removesuffix("e0")


def svg(draw: Draw, alt: str) -> str:
    """Return a picture as an `<svg>` element in the colour of the surrounding text.

    Parameters
    ----------
    alt : str
        The picture in words, as plain text.
    """
    with plain_style(SENTINEL, {"svg.fonttype": "none", "svg.hashsalt": "gradcheck"}):
        buffer = io.StringIO()
        draw().savefig(buffer, format="svg", metadata={"Date": None})
    element = buffer.getvalue()
    element = element[element.index("<svg") :].replace(SENTINEL, "currentColor")
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # References use ids made from a hash. All other ids would repeat on the page.
    element = re.sub(r'<g id="[^"]*">', "<g>", element)
    element = re.sub(r'(<image [^>]*?)\s?id="[^"]*"', r"\1", element)
    words = as_html(alt)
    return element.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)


def png(draw: Draw, alt: str) -> str:
    """Return a picture as two `<img>` elements with embedded PNGs, one light and one dark."""
    elements = ""
    for theme, color, background, style in (
        ("gc-light", "#1a1a1a", "#ffffff", ""),
        ("gc-dark", "#eeeeee", "#111111", "display:none"),
    ):
        # It is opaque, as a page without our style sheet may show the light one on a dark ground.
        with plain_style(color, {"figure.facecolor": background}):
            buffer = io.BytesIO()
            draw().savefig(buffer, format="png", dpi=2 * DPI)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        elements += (
            f'<img class="{theme}" style="{style}" width="{round(INCHES[0] * DPI)}" '
            f'alt="{as_html(alt)}" src="data:image/png;base64,{data}">'
        )
    return elements
