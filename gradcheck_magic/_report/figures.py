"""The figures of a `GradientCheck`, made without pyplot."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from gradcheck_magic._report.canvas import (
    AGREE,
    UNKNOWN_COLOR,
    WRONG,
    new_axes,
    paint,
    plain_style,
    png,
    power,
    svg,
)
from gradcheck_magic._report.error_counts import error_counts
from gradcheck_magic._report.words import picture_alt
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = [
    "Group",
    "draw_histogram",
    "histogram",
    "picture",
    "png_element",
    "reach",
    "svg_element",
]

# The name, the colour and the errors of entries that are drawn alike.
Group = tuple[str, str, NDArray[np.float64]]

# The left, bottom, width and height of the axes. They are fixed, as a layout engine would take
# longer than the drawing.
AREA = (0.14, 0.17, 0.84, 0.73)
# The margin beside the names at the left, and the most letters of a name.
NAME_MARGIN = 0.045
MOST_LETTERS = 18
MOST_LINES = 12
# Counts from this one on are given in thousands, to save room.
MANY_ENTRIES = 10_000
BINS_PER_DECADE = 2
# The picture starts at 1e-12 at the latest, so that pictures of two checks can be compared.
FIRST_BIN, LEAST_BIN = -12, -17


def picture(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw the histogram of a full check, or the reach of a scan."""
    return (histogram if check.mode == "full" else reach)(check, color=color)


def histogram(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw the relative errors of all entries measured, on a logarithmic scale.

    Parameters
    ----------
    color : str
        The colour of text and axes; the background is transparent.

    Returns
    -------
    Figure
        The histogram has dashed lines at the thresholds, and separate bins for entries that agree
        exactly and for entries that are not finite.
    """
    return draw_histogram(_groups(check), color=color)


def draw_histogram(groups: list[Group], *, color: str) -> Figure:
    """Draw the histograms of several groups of entries, stacked."""
    with plain_style():
        figure, axes = new_axes(AREA)
        exponents = _exponents(np.concatenate([errors for *_, errors in groups]))
        ends = _draw_bars(axes, groups, exponents)
        _draw_thresholds(axes, color)
        _label(axes, exponents, ends)
        paint(axes, color)
    return figure


def reach(check: GradientCheck, *, color: str = "black") -> Figure:
    """Draw the smallest error that a scan detects in a single entry, beside the entries' size.

    Parameters
    ----------
    color : str
        The colour of text and axes; the background is transparent.

    Returns
    -------
    Figure
        Each parameter has a line from its smallest detectable error to its largest entry, with a
        dot at the size of a typical entry. Crosses are the errors of wrong entries.
    """
    shown = [p for p in check.parameters if p.is_scanned][:MOST_LINES]
    with plain_style():
        figure, axes = new_axes(AREA)
        axes.set_xscale("log")
        for place, parameter in enumerate(shown):
            _draw_reach(axes, check, parameter, place)
        axes.set_yticks(range(len(shown)), [_shortened(p.name) for p in shown])
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        _make_room_for_names(axes)
        axes.set_ylim(max(len(shown), 3) - 0.4, -0.6)
        axes.set_xlabel("size of an error in a single entry")
        axes.xaxis.set_major_formatter(lambda size, _: power(size))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _draw_marks(axes, is_wrong=bool(check.wrong.any()))
        paint(axes, color)
    return figure


def _shortened(name: str) -> str:
    """Leave out the middle of a long name, as names of layers differ at the start or at the end."""
    if len(name) <= MOST_LETTERS:
        return name
    half = (MOST_LETTERS - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _make_room_for_names(axes: Axes) -> None:
    """Move the left end of the axes to the right of the longest name."""
    longest = max((text.get_window_extent().width for text in axes.get_yticklabels()), default=0)
    left = NAME_MARGIN + longest / axes.figure.bbox.width
    _, bottom, _, height = AREA
    axes.set_position((left, bottom, 0.98 - left, height))


def _draw_marks(axes: Axes, *, is_wrong: bool) -> None:
    """Draw the legend above the axes."""
    marks = [
        ("|", AGREE, "smallest detectable error"),
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
        # It starts at the left of the picture, however much room the names take.
        bbox_to_anchor=(0.01, 0.9),
        bbox_transform=axes.figure.transFigure,
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
    """Return the picture as two `<img>` elements with embedded PNGs, one light and one dark."""
    return png(partial(picture, check), picture_alt(check))


def svg_element(check: GradientCheck) -> str:
    """Return the picture as an `<svg>` element in the colour of the surrounding text."""
    return svg(partial(picture, check), picture_alt(check))


def _exponents(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of the bins, as powers of ten."""
    ordinary = errors[np.isfinite(errors) & (errors > 0)]
    smallest = np.floor(np.log10(ordinary.min())) if ordinary.size else FIRST_BIN
    first = int(np.clip(smallest, LEAST_BIN, FIRST_BIN))
    return np.linspace(first, 0, -first * BINS_PER_DECADE + 1)


def _draw_bars(
    axes: Axes, groups: list[Group], exponents: NDArray[np.float64]
) -> list[tuple[float, str]]:
    """Draw the bars, and return the places and names of the bins at the ends."""
    width = 1 / BINS_PER_DECADE
    exact, not_finite = exponents[0] - 3 * width, exponents[-1] + 3 * width
    bottom = np.zeros(len(exponents) + 1)
    places = np.concatenate([[exact], exponents[:-1] + width / 2, [not_finite]])
    for _, color, errors in groups:
        heights = error_counts(errors, exponents)
        there = heights > 0
        axes.bar(places[there], heights[there], 0.92 * width, bottom[there], color=color)
        bottom += heights
    if len(groups) > 1:
        _draw_legend(axes, [(name, color) for name, color, _ in groups])
    ends = [(exact, "0")] if bottom[0] else []
    return ends + ([(not_finite, "nan")] if bottom[-1] else [])


def _draw_legend(axes: Axes, groups: list[tuple[str, str]]) -> None:
    """Draw the legend above the axes, where it covers no bar."""
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
        # A dollar sign in a name does not start a formula.
        text.set_parse_math(False)


def _groups(check: GradientCheck) -> list[Group]:
    """Return the groups: entries that agree, then the wrong entries of each parameter."""
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
        groups.append(("not measurable", UNKNOWN_COLOR, errors[unknown]))
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
    axes.set_xlim(min(exponents[0], *places) - 0.5, max(0, *places) + 0.5)
    axes.set_xlabel("relative error of each entry")
    axes.set_ylabel("entries")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(lambda n, _: f"{n / 1000:g}k" if n >= MANY_ENTRIES else f"{n:g}")
