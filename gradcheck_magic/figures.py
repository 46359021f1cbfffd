"""A `GradientCheck` as matplotlib figures, built directly, never through pyplot."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from gradcheck_magic.check import GradientCheck
from gradcheck_magic.comparison import THRESHOLDS, ParameterCheck
from gradcheck_magic.error_histogram import error_histogram
from gradcheck_magic.report import picture_alt

__all__ = ["histogram", "picture", "png_element", "reach", "svg_element"]

INCHES = (4.6, 2.6)
DPI = 100
# Left, bottom, width and height of the axes: a layout engine would take longer than the drawing.
AREA = (0.115, 0.17, 0.865, 0.73)
# The same where names stand at the left; and so many lines at most.
REACH_AREA = (0.155, 0.17, 0.825, 0.73)
MOST_LINES = 12
# Okabe and Ito's colours, told apart by nearly everybody: first what agrees, then what is wrong.
AGREE = "#0072B2"
WRONG = ("#D55E00", "#E69F00", "#CC79A7")
UNKNOWN = "#7F7F7F"
BINS_PER_DECADE = 2
# The picture starts at 1e-12 at the latest, so that pictures of two checks can be compared.
FIRST_EXPONENT, LEAST_EXPONENT = -12, -17
# In the live card, what has this colour takes the colour of the text around it.
SENTINEL = "#010203"


def picture(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw what suits the check: the errors of all entries, or the reach of a scan."""
    return (histogram if check.mode == "full" else reach)(check, color=color)


def histogram(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw the relative errors of all entries measured, on a logarithmic scale.

    Parameters
    ----------
    color : str
        Of text and axes; the background is transparent.

    Returns
    -------
    Figure
        With the thresholds as dashed lines, and bins of their own for entries that agree exactly
        and for those that are not finite.
    """
    with _plain_style():
        figure, axes = _axes(AREA)
        exponents = _exponents(check.relative_errors)
        ends = _draw_bars(axes, check, exponents)
        _draw_thresholds(axes, color)
        _label(axes, exponents, ends)
        _paint(axes, color)
    return figure


def reach(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw what error of a single entry a scan finds, beside the size of the entries.

    Parameters
    ----------
    color : str
        Of text and axes; the background is transparent.

    Returns
    -------
    Figure
        One line for each parameter, from the least error that is found to its largest entry, with
        a dot at the size of a typical one; crosses are the errors of entries that are wrong.
    """
    shown = [p for p in check.parameters if p.is_scanned][:MOST_LINES]
    with _plain_style():
        figure, axes = _axes(REACH_AREA)
        axes.set_xscale("log")
        for place, parameter in enumerate(shown):
            _draw_reach(axes, check, parameter, place)
        axes.set_yticks(range(len(shown)), [p.name for p in shown])
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.set_ylim(max(len(shown), 3) - 0.4, -0.6)
        axes.set_xlabel("size of an error in a single entry")
        # Without a formula, which would have to be typeset.
        axes.xaxis.set_major_formatter(lambda size, _: f"{size:.0e}".replace("e-0", "e-"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _draw_marks(axes, is_wrong=bool(check.wrong.any()))
        _paint(axes, color)
    return figure


def _axes(area: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Return a figure, transparent, with axes."""
    figure = Figure(figsize=INCHES, dpi=DPI)
    figure.patch.set_alpha(0)
    return figure, figure.add_axes(area)


def _draw_marks(axes: Axes, *, is_wrong: bool) -> None:
    """Say above the axes what the marks are."""
    marks = [
        ("|", AGREE, "found from here on"),
        ("o", AGREE, "typical entry"),
        ("x", WRONG[0], "wrong entry"),
    ]
    handles = [
        Line2D([], [], color=color, marker=mark, linestyle="none", markeredgewidth=1.5, label=name)
        for mark, color, name in marks[: 2 + is_wrong]
    ]
    axes.legend(
        handles=handles,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.15, 0.99),
        ncols=len(handles),
        handletextpad=0.1,
        columnspacing=1.2,
    )


def _draw_reach(axes: Axes, check: GradientCheck, parameter: ParameterCheck, place: int) -> None:
    ends = [parameter.detectable, parameter.largest]
    if 0 < ends[0] < np.inf and ends[1] > 0:
        axes.plot(sorted(ends), [place, place], color=AGREE, linewidth=2, alpha=0.5)
        axes.plot(ends[:1], [place], color=AGREE, marker="|", markersize=10, markeredgewidth=2)
        axes.plot([parameter.typical], [place], color=AGREE, marker="o", markersize=5)
    inside = (check.measured >= parameter.start) & (
        check.measured < parameter.start + parameter.size
    )
    off = np.abs(check.analytic - check.numerical)[inside & check.wrong]
    off = off[np.isfinite(off) & (off > 0)]
    axes.plot(off, np.full(len(off), place), "x", color=WRONG[0], markersize=6)


def png_element(check: GradientCheck) -> str:
    """Return the picture as `<img>` elements with embedded PNGs, for light and for dark."""
    light = _img(check, color="#1a1a1a", background="#ffffff", style="")
    dark = _img(check, color="#eeeeee", background="#111111", style="display:none")
    return light + dark


def svg_element(check: GradientCheck) -> str:
    """Return the picture as an `<svg>` element that takes the colour of the text around it."""
    with _plain_style({"svg.fonttype": "none", "svg.hashsalt": "gradcheck"}):
        buffer = io.StringIO()
        picture(check, color=SENTINEL).savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(SENTINEL, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Ids are only for references, which are made by hash: the others would repeat on the page.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    alt = html.escape(picture_alt(check), quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)


def _img(check: GradientCheck, *, color: str, background: str, style: str) -> str:
    with _plain_style():
        buffer = io.BytesIO()
        figure = picture(check, color=color)
        # Opaque: where the styles are taken away, the light one may stand on something dark.
        figure.patch.set(facecolor=background, alpha=1)
        figure.savefig(buffer, format="png", dpi=2 * DPI)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = html.escape(picture_alt(check), quote=True)
    theme = "gc-dark" if style else "gc-light"
    return (
        f'<img class="{theme}" style="{style}" width="{round(INCHES[0] * DPI)}" alt="{alt}" '
        f'src="data:image/png;base64,{data}">'
    )


@contextmanager
def _plain_style(further: dict[str, object] | None = None) -> Iterator[None]:
    """Matplotlib's own style, whatever the user has set; theirs is back afterwards."""
    with (
        matplotlib.style.context(["default", {"font.size": 9, **(further or {})}]),
        warnings.catch_warnings(),
    ):
        # A name may be in any script; the table beside the picture shows it all the same.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


def _exponents(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The edges of the bins, as powers of ten."""
    ordinary = errors[np.isfinite(errors) & (errors > 0)]
    smallest = np.floor(np.log10(ordinary.min())) if ordinary.size else FIRST_EXPONENT
    first = int(np.clip(smallest, LEAST_EXPONENT, FIRST_EXPONENT))
    return np.linspace(first, 0, -first * BINS_PER_DECADE + 1)


def _draw_bars(
    axes: Axes, check: GradientCheck, exponents: NDArray[np.float64]
) -> list[tuple[float, str]]:
    """Draw the bars, and return place and name of the bins at the ends."""
    width = 1 / BINS_PER_DECADE
    exact, not_finite = exponents[0] - 3 * width, exponents[-1] + 3 * width
    bottom = np.zeros(len(exponents) + 1)
    places = np.concatenate([[exact], exponents[:-1] + width / 2, [not_finite]])
    groups = _groups(check)
    for _, color, errors in groups:
        counted = error_histogram(errors, exponents)
        heights = np.array([counted.n_exact, *counted.counts, counted.n_not_finite])
        there = heights > 0
        axes.bar(places[there], heights[there], 0.92 * width, bottom[there], color=color)
        bottom += heights
    if len(groups) > 1:
        _draw_legend(axes, [(name, color) for name, color, _ in groups])
    ends = [(exact, "0")] if bottom[0] else []
    return ends + ([(not_finite, "nan")] if bottom[-1] else [])


def _draw_legend(axes: Axes, groups: list[tuple[str, str]]) -> None:
    """Name the colours above the axes, where no bar is in the way."""
    names = [name for name, _ in groups]
    legend = axes.legend(
        [Patch(color=color) for _, color in groups],
        names,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.01, 0.99),
        ncols=len(names),
        handlelength=1,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        # A name may hold dollar signs that start no formula.
        text.set_parse_math(False)


def _groups(check: GradientCheck) -> list[tuple[str, str, NDArray[np.float64]]]:
    """Name, colour and errors of what is drawn apart: what agrees, then the wrong, and whose."""
    errors, parameters = check.relative_errors, check.parameters
    owner = np.repeat(np.arange(len(parameters)), [p.n_measured for p in parameters])
    wrong = sorted(
        (k for k, p in enumerate(parameters) if p.n_wrong), key=lambda k: -parameters[k].n_wrong
    )
    apart = wrong if len(wrong) <= len(WRONG) else wrong[: len(WRONG) - 1]
    others = wrong[len(apart) :]
    unknown = ~np.isfinite(check.numerical) & ~check.wrong
    groups = [("agree", AGREE, errors[~check.wrong & ~unknown])]
    groups += [
        (parameters[k].name, color, errors[check.wrong & (owner == k)])
        for k, color in zip(apart, WRONG, strict=False)
    ]
    if others:
        groups.append(
            (f"{len(others)} others", WRONG[-1], errors[check.wrong & np.isin(owner, others)])
        )
    if unknown.any():
        groups.append(("not measurable", UNKNOWN, errors[unknown]))
    return groups


def _draw_thresholds(axes: Axes, color: str) -> None:
    # Room for the labels above the highest bar.
    axes.margins(y=0.18)
    for threshold in THRESHOLDS:
        exponent = np.log10(threshold)
        axes.axvline(exponent, color=color, linewidth=0.8, dashes=(4, 3))
        axes.annotate(
            f"{threshold:.0e}".replace("e-0", "e-"),
            (exponent, 1), (2, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8, color=color,
        )  # fmt: skip


def _label(axes: Axes, exponents: NDArray[np.float64], ends: list[tuple[float, str]]) -> None:
    ticks = [(float(e), f"1e{e}" if e else "1") for e in range(0, int(exponents[0]) - 1, -2)]
    places, labels = zip(*(ticks + ends), strict=True)
    axes.set_xticks(places, labels)
    axes.set_xlim(min(places[-1], exponents[0]) - 0.5, max(0, *places) + 0.5)
    axes.set_xlabel("relative error of each entry")
    axes.set_ylabel("entries")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def _paint(axes: Axes, color: str) -> None:
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
