"""The figures of a `GradientCheck`, made without pyplot in the style of `plain_style`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from gradcheck_magic._report.canvas import AGREE, UNKNOWN_COLOR, WRONG, Draw, legend_above, power
from gradcheck_magic._report.error_counts import error_counts
from gradcheck_magic._report.words import picture_alt, shown_first
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = ["draw_histogram", "element", "histogram", "picture", "reach"]

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


def element(check: GradientCheck, make: Callable[[Draw, str], str]) -> str:
    """Return the picture of a check as an HTML element, made by `svg` or `png`."""
    return make(partial(picture, check), picture_alt(check))


def picture(check: GradientCheck) -> Figure:
    """Draw the histogram of a full check, or the reach of a scan."""
    return (histogram if check.mode == "full" else reach)(check)


def histogram(check: GradientCheck) -> Figure:
    """Draw the relative errors of all entries measured, the wrong ones in a colour per parameter.

    If there are more parameters than colours, those with the fewest wrong entries share one.
    """
    parameters = check.parameters
    owner = np.repeat(np.arange(len(parameters)), [p.n_measured for p in parameters])
    wrong = sorted(
        (k for k, p in enumerate(parameters) if p.n_wrong), key=lambda k: -parameters[k].n_wrong
    )
    n_apart = len(WRONG) - (len(wrong) > len(WRONG))
    others = wrong[n_apart:]
    parts = [(parameters[k].name, check.wrong & (owner == k)) for k in wrong[:n_apart]]
    parts.append((f"{len(others)} others", check.wrong & np.isin(owner, others)))
    return draw_histogram(check, parts)


def draw_histogram(
    result: GradientCheck | CloseUp, parts: Sequence[tuple[str, NDArray[np.bool_]]]
) -> Figure:
    """Draw relative errors on a logarithmic scale, with dashed lines at the thresholds.

    Entries that agree exactly, and those that are not finite, have bins of their own.

    Parameters
    ----------
    parts : sequence of (str, ndarray of bool)
        The names of the groups of wrong entries, and their entries.
    """
    errors, unknown = result.relative_errors, ~np.isfinite(result.numerical) & ~result.wrong
    groups = [("agree", AGREE, errors[~result.wrong & ~unknown])]
    groups += [
        (name, color, errors[there])
        for (name, there), color in zip(parts, WRONG, strict=False)
        if there.any()
    ]
    if unknown.any():
        groups.append(("not measurable", UNKNOWN_COLOR, errors[unknown]))
    figure = Figure()
    axes = figure.add_axes(AREA)
    _draw_bars(axes, groups, _exponents(errors))
    if len(groups) > 1:
        keys = [Patch(color=color, label=name) for name, color, _ in groups]
        legend_above(axes, keys, ncols=len(keys))
    _draw_thresholds(axes)
    axes.set_xlabel("relative error of each entry")
    axes.set_ylabel("entries")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(lambda n, _: f"{n / 1000:g}k" if n >= MANY_ENTRIES else f"{n:g}")
    return figure


def _exponents(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of the bins, as powers of ten."""
    ordinary = errors[np.isfinite(errors) & (errors > 0)]
    smallest = np.floor(np.log10(ordinary.min())) if ordinary.size else FIRST_BIN
    first = int(np.clip(smallest, LEAST_BIN, FIRST_BIN))
    return np.linspace(first, 0, -first * BINS_PER_DECADE + 1)


def _draw_bars(
    axes: Axes,
    groups: Sequence[tuple[str, str, NDArray[np.float64]]],
    exponents: NDArray[np.float64],
) -> None:
    """Draw the bars of the groups upon each other, and label the bins."""
    width = 1 / BINS_PER_DECADE
    places = np.array([exponents[0] - 3 * width, *(exponents[:-1] + width / 2), 3 * width])
    total = np.zeros(len(places))
    for _, color, errors in groups:
        heights = error_counts(errors, exponents)
        there = heights > 0
        axes.bar(places[there], heights[there], 0.92 * width, total[there], color=color)
        total += heights
    ticks = {float(e): f"1e{e}" if e else "1" for e in range(0, int(exponents[0]) - 1, -2)}
    ticks |= {places[k]: name for k, name in ((0, "0"), (-1, "nan")) if total[k]}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(min(exponents[0], *ticks) - 0.5, max(ticks) + 0.5)
    # Without any bars, the axis would show fractions of an entry, and less than none.
    axes.set_ylim(0, None if total.any() else 1)


def _draw_thresholds(axes: Axes) -> None:
    # Room for the labels above the highest bar.
    axes.margins(y=0.18)
    for threshold in THRESHOLDS:
        exponent = np.log10(threshold)
        axes.axvline(exponent, linewidth=0.8, dashes=(4, 3))
        axes.annotate(
            power(threshold), (exponent, 1), (2, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip


def reach(check: GradientCheck) -> Figure:
    """Draw the smallest error that a scan detects in a single entry, beside the entries' size.

    Each parameter has a line from its smallest detectable error to its largest entry, with a dot
    at the size of a typical entry. Crosses are the errors of wrong entries.
    """
    shown = [p for p in shown_first(check.parameters)[0] if p.is_scanned][:MOST_LINES]
    figure = Figure()
    axes = figure.add_axes(AREA)
    axes.set_xscale("log")
    for place, parameter in enumerate(shown):
        _draw_reach(axes, check, parameter, place)
    axes.set_yticks(range(len(shown)), [_shortened(p.name) for p in shown])
    _make_room_for_names(axes)
    axes.set_ylim(max(len(shown), 3) - 0.4, -0.6)
    axes.set_xlabel("size of an error in a single entry")
    axes.xaxis.set_major_formatter(lambda size, _: power(size))
    axes.xaxis.set_minor_formatter(NullFormatter())
    marks = [
        ("|", AGREE, "smallest detectable error"),
        ("o", AGREE, "typical entry"),
        ("x", WRONG[0], "wrong entry"),
    ]
    keys = [
        Line2D([], [], color=color, marker=mark, linestyle="none", markeredgewidth=1.5, label=name)
        for mark, color, name in marks[: 2 + bool(check.wrong.any())]
    ]
    # It starts at the left of the picture, however much room the names take.
    figure.legend(handles=keys, loc="upper left", ncols=3, handletextpad=0.1)
    return figure


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
