"""The pictures of one parameter (histogram, error map, scatter plot), and the step curve.

They are drawn in the style of `plain_style`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, Locator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gradcheck_magic._report.canvas import (
    AGREE,
    UNKNOWN_COLOR,
    WRONG,
    legend_above,
    power,
)
from gradcheck_magic._report.error_counts import in_words
from gradcheck_magic._report.figures import draw_histogram
from gradcheck_magic._report.words import entries_text, shape_text
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.error_grid import LONGEST_ROW, ErrorGrid, Tiling
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = [
    "error_map",
    "error_map_alt",
    "parameter_histogram",
    "parameter_histogram_alt",
    "scatter",
    "scatter_alt",
    "step_curve_alt",
    "step_curve_picture",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The colours of the map run from this power of ten to 1.
LEAST_LOG_ERROR = -12
MAP_AREA = (0.145, 0.17, 0.695, 0.66)
BAR_AREA = (0.87, 0.17, 0.022, 0.66)
PLOT_AREA = (0.155, 0.17, 0.825, 0.72)
# Okabe and Ito's sky blue and bluish green, which stand out from the map.
EXACT = "#56B4E9"
TRUNCATION_COLOR = "#009E73"
NOT_FINITE = WRONG[2]
# The map is drawn with about this many pixels, so that patterns in its cells can be seen.
PATTERN_ROWS, PATTERN_COLUMNS = 180, 360
# The distance between the stripes of a pattern, in pixels.
STRIPE = 6
# Each mark is an element of the SVG, which should stay small.
MOST_MARKS = 200
MOST_POINTS = 400
MOST_BARS = 100
# If the values span more than this factor, a linear scale would hide the small ones.
LINEAR_RANGE = 1e3
MOST_DECADES = 8
# Larger values would overflow when matplotlib sets the ends of an axis.
LARGEST_DRAWN = 1e300
# Points are on a line if they miss it by at most this part of their size.
LINE_TOLERANCE = 1e-3


def parameter_histogram(close_up: CloseUp) -> Figure:
    """Draw the histogram of the relative errors of one parameter."""
    return draw_histogram(close_up, [("wrong", close_up.wrong)])


def parameter_histogram_alt(close_up: CloseUp) -> str:
    """Return the histogram of a parameter in words."""
    errors = close_up.relative_errors
    return (
        f"Histogram of the relative errors of {entries_text(len(errors))} of "
        f"{close_up.parameter.name}: {in_words(errors)}."
    )


# The error map


def error_map(close_up: CloseUp) -> Figure:
    """Draw the relative error of each entry in the parameter's shape.

    The map has a cell for each entry. If there are too many, a cell stands for a block of entries:
    it shows their largest error, and is wrong if one of them is. Crosses mark wrong cells.
    """
    grid = close_up.grid()
    figure = Figure()
    axes = figure.add_axes(MAP_AREA)
    rows, columns = grid.tiling.extent
    high, wide = (n * b for n, b in zip(grid.shape, grid.tiling.block, strict=True))
    # "none" stores the cells themselves, so they stay sharp at any size.
    axes.imshow(
        _pixels(grid),
        interpolation="none",
        extent=(-0.5, wide - 0.5, high - 0.5, -0.5),
        aspect="equal" if rows <= columns <= LONGEST_ROW * rows else "auto",
    )
    axes.set_anchor("W")
    _mark(axes, grid)
    _label_map(axes, grid)
    legend_above(axes, list(_map_keys(grid)), ncols=3)
    _draw_color_bar(figure.add_axes(BAR_AREA))
    return figure


def error_map_alt(close_up: CloseUp) -> str:
    """Return the error map in words."""
    parameter, errors = close_up.parameter, close_up.relative_errors
    high, wide = Tiling.of(parameter.shape).block
    blocks = f", each cell the largest of {high} × {wide} entries" if high * wide > 1 else ""
    parts = [
        f"{len(errors):,} of {entries_text(parameter.size)} measured",
        in_words(errors) if len(errors) else "",
        f"{close_up.wrong.sum() or 'none'} wrong",
        f"{close_up.kinked.sum()} on a kink" if close_up.kinked.any() else "",
        *(f"wrong region {region.label}" for region in parameter.regions),
    ]
    worst = f" The worst entry is {close_up.worst(1)[0].label}." if close_up.wrong.any() else ""
    return (
        f"Map of the relative errors of {parameter.name} ({shape_text(parameter.shape)}{blocks}): "
        f"{'; '.join(filter(None, parts))}.{worst}"
    )


def _pixels(grid: ErrorGrid) -> NDArray[np.float64]:
    """Return the map as an image: colours for errors, patterns for cells without one."""
    colors = mpl.colormaps["viridis"](1 - grid.log_errors / LEAST_LOG_ERROR)
    for cells, color in (
        (grid.exact, EXACT),
        (grid.not_finite, NOT_FINITE),
        (grid.unmeasured, (UNKNOWN_COLOR, 0.2)),
        (grid.padding, "none"),
    ):
        colors[cells] = mpl.colors.to_rgba(color)
    down, across = (
        max(1, most // n)
        for most, n in zip((PATTERN_ROWS, PATTERN_COLUMNS), grid.shape, strict=True)
    )
    pixels: NDArray[np.float64] = colors.repeat(down, axis=0).repeat(across, axis=1)
    y, x = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    for cells, slant, color in (
        (grid.unmeasured, 1, (UNKNOWN_COLOR, 0.9)),
        (grid.regions & grid.unmeasured, -1, WRONG[0]),
        (grid.not_finite, -1, "black"),
    ):
        inside = cells.repeat(down, axis=0).repeat(across, axis=1)
        pixels[inside & ((x + slant * y) % STRIPE < STRIPE / 3)] = mpl.colors.to_rgba(color)
    return pixels


def _mark(axes: Axes, grid: ErrorGrid) -> None:
    """Mark wrong cells with crosses and cells on a kink with rings; if they are many, only some."""
    # Half as wide as a cell, in points.
    size = float(np.clip(min(60 / grid.shape[0], 115 / grid.shape[1]), 4, 10))
    for cells, marker, _ in _marks(grid):
        places = _some(np.argwhere(cells), MOST_MARKS)
        y, x = ((places + 0.5) * grid.tiling.block - 0.5).T
        for color, width in (("white", 3.0), ("black", 1.2)):
            axes.plot(
                x, y, marker, color=color, markeredgewidth=width, markersize=size,
                fillstyle="none", clip_on=False,
            )  # fmt: skip


def _marks(grid: ErrorGrid) -> Iterator[tuple[Mask, str, str]]:
    """Yield the cells to mark, the mark, and its meaning."""
    yield grid.wrong, "x", "wrong"
    yield grid.kinked, "o", "on a kink"
    if 2 * grid.unmeasured.sum() > grid.unmeasured.size:
        # Few cells were measured: without a mark they would be lost among the others.
        agree = ~(grid.wrong | grid.kinked | grid.not_finite | grid.unmeasured | grid.padding)
        yield agree, "s", "agrees"


def _some(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most this many rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _map_keys(grid: ErrorGrid) -> Iterator[Patch | Line2D]:
    """Yield a legend entry for each mark and pattern in the map."""
    for cells, marker, name in _marks(grid):
        number = int(cells.sum())
        if number:
            some = f", {MOST_MARKS} of {number} cells" if number > MOST_MARKS else ""
            yield Line2D(
                [], [], marker=marker, linestyle="none", fillstyle="none", markeredgewidth=1.5,
                label=name + some,
            )  # fmt: skip
    for cells, name, face, edge, hatch in (
        (grid.regions, "wrong region", "none", WRONG[0], "////"),
        (grid.exact, "exactly equal", EXACT, EXACT, ""),
        (grid.not_finite, "not finite", NOT_FINITE, "black", "////"),
        (grid.unmeasured, "not measured", "none", UNKNOWN_COLOR, "\\\\\\\\"),
    ):
        if cells.any():
            yield Patch(facecolor=face, edgecolor=edge, hatch=hatch, label=name)


def _label_map(axes: Axes, grid: ErrorGrid) -> None:
    tiling = grid.tiling
    axes.set_xlabel(tiling.across)
    axes.set_ylabel(tiling.down)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if tiling.gap or tiling.extent == (1, 1):
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
    elif tiling.count > 1:
        # Each row of a folded vector is labelled with its first index.
        axes.yaxis.set_major_formatter(lambda row, _: f"{row * tiling.per_row:.0f}")
    if not tiling.down:
        axes.set_yticks([])


def _draw_color_bar(axes: Axes) -> None:
    axes.imshow(
        np.linspace(1, 0, 256)[:, None], cmap="viridis", aspect="auto",
        extent=(0, 1, LEAST_LOG_ERROR, 0),
    )  # fmt: skip
    exponents = [LEAST_LOG_ERROR, *np.log10(THRESHOLDS), 0]
    labels = [f"≤{power(10.0**LEAST_LOG_ERROR)}", *map(power, THRESHOLDS), "1"]
    axes.set_yticks(exponents, labels, fontsize=8)
    axes.hlines(np.log10(THRESHOLDS), 0, 1, color="white", linewidth=1)
    axes.set_xticks([])
    axes.set_xlabel("error", fontsize=8)
    axes.yaxis.tick_right()
    axes.spines[:].set_visible(False)


# The scatter plot


def scatter(close_up: CloseUp) -> Figure:
    """Draw the analytic against the numerical value of each entry: a factor is a slope.

    The plot has the line on which both values are equal. If all wrong entries lie on another line
    through the origin, it has that line and its slope, too. If there are many entries, only some
    are drawn.
    """
    drawn = _drawable(close_up)
    figure = Figure()
    axes = figure.add_axes(PLOT_AREA)
    end = _set_scales(axes, close_up, drawn)
    line = end * np.concatenate([-np.logspace(0, -12, 60), [0.0], np.logspace(-12, 0, 60)])
    axes.plot(line, line, color=UNKNOWN_COLOR, linewidth=1, dashes=(4, 3), label="equal")
    slope = _slope(close_up, drawn)
    if slope is not None:
        axes.plot(line, slope * line, color=WRONG[1], linewidth=1.2, label=f"slope {slope:.4g}")
    # Wrong entries differ in colour and in form.
    for kind, label, color, marker, size, edge in (
        (~close_up.wrong, "agree", AGREE, "o", 3.5, 0.0),
        (close_up.wrong, "wrong", WRONG[0], "x", 5.0, 1.5),
    ):
        there = _some(np.flatnonzero(drawn & kind), MOST_POINTS)
        if there.size:
            x, y = close_up.numerical[there], close_up.analytic[there]
            axes.plot(x, y, marker, color=color, markersize=size, markeredgewidth=edge, label=label)
            _draw_error_bars(axes, x, y, close_up.uncertainty[there], color)
    left_out = np.sum(~drawn)
    if left_out:
        told = f"{left_out} not finite, not drawn"
        axes.text(0.02, 0.97, told, transform=axes.transAxes, va="top")
    axes.set_xlabel("numerical")
    axes.set_ylabel("analytic")
    legend_above(axes, axes.get_legend_handles_labels()[0], ncols=4)
    return figure


def scatter_alt(close_up: CloseUp) -> str:
    """Return the scatter plot in words."""
    drawn = _drawable(close_up)
    n, n_wrong = int(drawn.sum()), int((drawn & close_up.wrong).sum())
    n_shown = min(n_wrong, MOST_POINTS) + min(n - n_wrong, MOST_POINTS)
    some = f", {n_shown} of them drawn" if n_shown < n else ""
    slope = _slope(close_up, drawn)
    on_line = f" (on a line of slope {slope:.4g})" if slope is not None else ""
    left_out = len(drawn) - n
    rest = f" Not finite, and so not drawn: {left_out}." if left_out else ""
    return (
        f"Analytic against numerical values of {entries_text(n)} of {close_up.parameter.name}"
        f"{some}: {n - n_wrong} agree, {n_wrong} wrong{on_line}.{rest}"
    )


def _drawable(close_up: CloseUp) -> Mask:
    values = np.stack([close_up.analytic, close_up.numerical])
    drawn: Mask = np.all(np.abs(values) < LARGEST_DRAWN, axis=0)
    return drawn


def _set_scales(axes: Axes, close_up: CloseUp, drawn: Mask) -> float:
    """Give both axes the same scale, logarithmic if that shows more; return their end."""
    sizes = np.abs(np.concatenate([close_up.analytic[drawn], close_up.numerical[drawn]]))
    sizes = sizes[sizes > 0] if sizes.any() else np.ones(1)
    largest, small = max(float(sizes.max()), 1e-290), float(np.quantile(sizes, 0.05))
    is_wide = largest > LINEAR_RANGE * small
    if is_wide:
        # Both axes are linear around zero.
        low, high = np.floor(np.log10([max(small, largest * 10.0**-MOST_DECADES), largest]))
        axes.set_xscale("symlog", linthresh=10.0**low)
        axes.set_yscale("symlog", linthresh=10.0**low)
        # Two ticks on either side: the labels of more would overlap around zero.
        ticks = 10.0 ** np.unique([np.ceil((low + high) / 2), high])
        _label_powers(axes, partial(FixedLocator, [*-ticks, 0.0, *ticks]))
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(lambda value, _: f"{value:.3g}" if value else "0")
    end = (2 if is_wide else 1.08) * largest
    axes.set_xlim(-end, end)
    axes.set_ylim(-end, end)
    return end


def _label_powers(axes: Axes, locator: Callable[[], Locator]) -> None:
    """Label both axes with powers of ten as plain text, as a formula would have to be typeset."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(locator())
        axis.set_major_formatter(lambda value, _: power(value))
        axis.set_minor_locator(NullLocator())


def _draw_error_bars(axes: Axes, x: Vector, y: Vector, bars: Vector, color: str) -> None:
    bars = np.where(np.isfinite(bars), bars, 0.0)
    left, right = (
        axes.transData.transform(np.column_stack([ends, y]))[:, 0] for ends in (x - bars, x + bars)
    )
    longest = np.argsort(right - left)[-MOST_BARS:]
    x, y, bars = x[longest], y[longest], bars[longest]
    axes.hlines(y, x - bars, x + bars, color=color, linewidth=1)


def _slope(close_up: CloseUp, drawn: Mask) -> float | None:
    """Return the slope of a line through the origin with all wrong entries, if there is one."""
    wrong = drawn & close_up.wrong
    x, y = close_up.numerical[wrong], close_up.analytic[wrong]
    # A single point is on a line in any case.
    if len(x) < 2 or not np.all(x):  # noqa: PLR2004 (two points)
        return None
    slope = float(np.median(y / x))
    bars = np.abs(slope) * close_up.uncertainty[wrong]
    room = np.maximum(LINE_TOLERANCE * np.abs(y), np.nan_to_num(2 * bars))
    is_line = slope and abs(slope) < LARGEST_DRAWN and np.all(np.abs(y - slope * x) <= room)
    return slope if is_line else None


# The step curve


def step_curve_picture(curve: StepCurve) -> Figure:
    """Draw the error of a central difference against the step, and the terms that explain it."""
    figure = Figure()
    axes = figure.add_axes(PLOT_AREA)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _set_ends(axes, curve)
    for values, style, color, name in (
        (curve.roundoff, "--", WRONG[1], "rounding"),
        (curve.truncation, "-.", TRUNCATION_COLOR, "truncation"),
        (curve.errors, "o-", AGREE, "error"),
    ):
        positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        axes.plot(curve.steps, positive, style, color=color, markersize=4, label=name)
    if 0 < curve.bar < np.inf:
        axes.axhline(curve.bar, color=UNKNOWN_COLOR, linewidth=1, dashes=(1, 2))
        axes.annotate(
            "error bar", (0.99, curve.bar), (0, 2), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=8,
        )  # fmt: skip
    zero = curve.steps[curve.errors == 0]
    axes.plot(
        zero, np.full(len(zero), axes.get_ylim()[0]), "v", color=AGREE, clip_on=False,
        fillstyle="none", label="exactly 0" if zero.size else "",
    )  # fmt: skip
    axes.axvline(curve.step, linewidth=0.8)
    axes.annotate(
        f"ε used: {power(curve.step)}", (curve.step, 1), (3, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=8,
    )  # fmt: skip
    axes.set_xlabel("step ε")
    axes.set_ylabel("|central difference − analytic|")
    _label_powers(axes, partial(LogLocator, numticks=7))
    legend_above(axes, axes.get_legend_handles_labels()[0], ncols=5)
    return figure


def step_curve_alt(curve: StepCurve) -> str:
    """Return the step curve in words."""
    finite = np.isfinite(curve.errors)
    start = f"Error of the central difference of {curve.label} as a function of the step ε"
    if not finite.any():
        return f"{start}: no step gives a finite value."
    least = int(np.argmin(np.where(finite, curve.errors, np.inf)))
    used = int(np.argmin(np.abs(curve.steps - curve.step)))
    return (
        f"{start}, from {curve.steps[0]:.0e} to {curve.steps[-1]:.0e}, finite at {finite.sum()} of "
        f"{len(finite)} steps: the least is {curve.errors[least]:.1e}, at ε = "
        f"{curve.steps[least]:.0e}; it is {curve.errors[used]:.1e} near the step used, "
        f"{curve.step:.0e}. The error bar of the best value is {curve.bar:.0e}."
    )


def _set_ends(axes: Axes, curve: StepCurve) -> None:
    """Fit the axes to the errors, with some room: rounding noise alone reaches much further."""
    values = np.append(curve.errors, curve.bar)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if values.size else (1e-16, 1.0)
    axes.set_xlim(curve.steps[0] / 2, curve.steps[-1] * 2)
    axes.set_ylim(max(low / 10, 1e-305), min(high * 30, LARGEST_DRAWN))
