"""The pictures of one parameter (histogram, error map, scatter plot), and the step curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gradcheck_magic._report.canvas import (
    AGREE,
    INCHES,
    UNKNOWN_COLOR,
    WRONG,
    legend_above,
    new_axes,
    paint,
    plain_style,
    power,
)
from gradcheck_magic._report.figures import draw_histogram
from gradcheck_magic._report.histogram import in_words
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
# Wrong entries differ in colour and in form.
POINT_STYLES: dict[bool, dict[str, Any]] = {
    False: {
        "label": "agree", "color": AGREE, "marker": "o", "markersize": 3.5, "markeredgewidth": 0,
    },
    True: {
        "label": "wrong", "color": WRONG[0], "marker": "x", "markersize": 5, "markeredgewidth": 1.5,
    },
}  # fmt: skip
# An error bar is drawn if it is wider than this part of the picture.
VISIBLE_WIDTH = 0.01
# If the values span more than this factor, a linear scale would hide the small ones.
LINEAR_RANGE = 1e3
MOST_DECADES = 8
# Larger values would overflow when matplotlib sets the ends of an axis.
LARGEST_DRAWN = 1e300
# Points are on a line if they miss it by at most this part of their size.
LINE_TOLERANCE = 1e-3


def parameter_histogram(close_up: CloseUp, *, color: str = "black") -> Figure:
    """Draw the histogram of the relative errors of one parameter."""
    errors, wrong = close_up.relative_errors, close_up.wrong
    unknown = ~np.isfinite(close_up.numerical) & ~wrong
    groups = [
        ("agree", AGREE, errors[~wrong & ~unknown]),
        ("wrong", WRONG[0], errors[wrong]),
        ("not measurable", UNKNOWN_COLOR, errors[unknown]),
    ]
    return draw_histogram([groups[0], *(g for g in groups[1:] if g[2].size)], color=color)


def parameter_histogram_alt(close_up: CloseUp) -> str:
    """Return the histogram of a parameter in words."""
    errors = close_up.relative_errors
    return (
        f"Histogram of the relative errors of {_entries(len(errors))} of "
        f"{close_up.parameter.name}: {in_words(errors)}."
    )


# The error map


def error_map(close_up: CloseUp, *, color: str = "black") -> Figure:
    """Draw the relative error of each entry in the parameter's shape.

    Parameters
    ----------
    color : str
        The colour of text and axes; the background is transparent.

    Returns
    -------
    Figure
        The map has a cell for each entry. If there are too many, a cell stands for a block of
        entries: it shows their largest error, and is wrong if one of them is. Crosses mark wrong
        cells.
    """
    grid = close_up.grid()
    with plain_style():
        figure, axes = new_axes(MAP_AREA)
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
        legend_above(axes, list(_map_keys(grid, color)), ncols=3)
        paint(axes, color)
        if grid.tiling.gap or grid.tiling.extent == (1, 1):
            axes.spines[:].set_visible(False)
        _draw_color_bar(figure.add_axes(BAR_AREA), color)
    return figure


def error_map_alt(close_up: CloseUp) -> str:
    """Return the error map in words."""
    parameter, errors = close_up.parameter, close_up.relative_errors
    shape = " × ".join(map(str, parameter.shape)) or "scalar"
    high, wide = Tiling.of(parameter.shape).block
    blocks = f", each cell the largest of {high} × {wide} entries" if high * wide > 1 else ""
    parts = [
        f"{len(errors):,} of {_entries(parameter.size)} measured"
        if len(errors) < parameter.size
        else "",
        in_words(errors) if len(errors) else "",
        f"{close_up.wrong.sum()} wrong" if close_up.wrong.any() else "none wrong",
        f"{close_up.kinked.sum()} on a kink" if close_up.kinked.any() else "",
        f"wrong regions {', '.join(r.label for r in parameter.regions)}"
        if parameter.regions
        else "",
    ]
    worst = close_up.worst(1) if close_up.wrong.any() else []
    furthest = f" The worst entry is {worst[0].label}." if worst else ""
    return (
        f"Map of the relative errors of {parameter.name} ({shape}{blocks}): "
        f"{'; '.join(filter(None, parts))}.{furthest}"
    )


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _pixels(grid: ErrorGrid) -> NDArray[np.float64]:
    """Return the map as an image: colours for errors, patterns for cells without one."""
    colors = mpl.colormaps["viridis"](1 - grid.log_errors / LEAST_LOG_ERROR)
    for cells, name in ((grid.exact, EXACT), (grid.not_finite, NOT_FINITE)):
        colors[cells] = mpl.colors.to_rgba(name)
    colors[grid.padding] = 0
    times = [
        max(1, most // n)
        for most, n in zip((PATTERN_ROWS, PATTERN_COLUMNS), grid.shape, strict=True)
    ]

    def enlarged(cells: NDArray[np.float64]) -> NDArray[np.float64]:
        return cells.repeat(times[0], axis=0).repeat(times[1], axis=1)

    pixels = enlarged(colors)
    y, x = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    stripes, opposite = ((x + sign * y) % STRIPE < STRIPE / 3 for sign in (1, -1))
    for cells, pattern, name, alpha in (
        (grid.unmeasured, stripes, UNKNOWN_COLOR, 0.9),
        (grid.regions & grid.unmeasured, opposite, WRONG[0], 1.0),
        (grid.not_finite, opposite, "#000000", 1.0),
    ):
        inside = enlarged(cells.astype(float)) > 0
        if name == UNKNOWN_COLOR:
            pixels[inside] = mpl.colors.to_rgba(UNKNOWN_COLOR, 0.2)
        pixels[inside & pattern] = mpl.colors.to_rgba(name, alpha)
    return pixels


def _mark(axes: Axes, grid: ErrorGrid) -> None:
    """Mark wrong cells with crosses and cells on a kink with rings; if they are many, only some."""
    inches = (INCHES[1] * MAP_AREA[3], INCHES[0] * MAP_AREA[2])
    room = 72 * min(size / n for size, n in zip(inches, grid.shape, strict=True))
    size = float(np.clip(0.5 * room, 4, 10))
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


def _map_keys(grid: ErrorGrid, color: str) -> Iterator[Patch | Line2D]:
    """Yield a legend entry for each mark and pattern in the map."""
    for cells, marker, name in _marks(grid):
        number = int(cells.sum())
        if number:
            some = f", {MOST_MARKS} of {number} cells" if number > MOST_MARKS else ""
            yield Line2D(
                [], [], color=color, marker=marker, linestyle="none", fillstyle="none",
                markeredgewidth=1.5, label=name + some,
            )  # fmt: skip
    if grid.regions.any():
        yield Patch(facecolor="none", edgecolor=WRONG[0], hatch="////", label="wrong region")
    if grid.exact.any():
        yield Patch(color=EXACT, label="exactly equal")
    if grid.not_finite.any():
        yield Patch(facecolor=NOT_FINITE, edgecolor="black", hatch="////", label="not finite")
    if grid.unmeasured.any():
        yield Patch(
            facecolor="none", edgecolor=UNKNOWN_COLOR, hatch="\\\\\\\\", label="not measured"
        )


def _label_map(axes: Axes, grid: ErrorGrid) -> None:
    tiling = grid.tiling
    axes.set_xlabel(tiling.across)
    axes.set_ylabel(tiling.down)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if tiling.gap or tiling.extent == (1, 1):
        axes.set_xticks([])
    elif tiling.count > 1:
        # Each row of a folded vector is labelled with its first index.
        axes.yaxis.set_major_formatter(lambda row, _: f"{row * tiling.per_row:.0f}")
    if not tiling.down:
        axes.set_yticks([])


def _draw_color_bar(axes: Axes, color: str) -> None:
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
    paint(axes, color)
    for spine in axes.spines.values():
        spine.set_visible(False)


# The scatter plot


def scatter(close_up: CloseUp, *, color: str = "black") -> Figure:
    """Draw the analytic against the numerical value of each entry: a factor is a slope.

    Parameters
    ----------
    color : str
        The colour of text and axes; the background is transparent.

    Returns
    -------
    Figure
        The plot has the line on which both values are equal. If all wrong entries lie on another
        line through the origin, it has that line and its slope, too. If there are many entries,
        only some are drawn.
    """
    drawn = _drawable(close_up)
    with plain_style():
        figure, axes = new_axes(PLOT_AREA)
        scale = _set_scales(axes, close_up, drawn)
        line = scale * np.concatenate([-np.logspace(0, -12, 60), [0.0], np.logspace(-12, 0, 60)])
        axes.plot(line, line, color=UNKNOWN_COLOR, linewidth=1, dashes=(4, 3), label="equal")
        slope = _slope(close_up, drawn)
        if slope is not None:
            axes.plot(line, slope * line, color=WRONG[1], linewidth=1.2, label=f"slope {slope:.4g}")
        for wrong, style in POINT_STYLES.items():
            there = _some(np.flatnonzero(drawn & (close_up.wrong == wrong)), MOST_POINTS)
            if there.size:
                _draw_points(axes, close_up, there, style)
        left_out = len(drawn) - int(drawn.sum())
        if left_out:
            axes.text(
                0.02, 0.97, f"{left_out} not finite, not drawn", transform=axes.transAxes,
                va="top", color=color,
            )  # fmt: skip
        axes.set_xlabel("numerical")
        axes.set_ylabel("analytic")
        legend_above(axes, axes.get_legend_handles_labels()[0], ncols=4)
        paint(axes, color)
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
        f"Analytic against numerical values of {_entries(n)} of {close_up.parameter.name}{some}: "
        f"{n - n_wrong} agree, {n_wrong} wrong{on_line}.{rest}"
    )


def _drawable(close_up: CloseUp) -> Mask:
    values = np.stack([close_up.analytic, close_up.numerical])
    drawn: Mask = np.all(np.isfinite(values) & (np.abs(values) < LARGEST_DRAWN), axis=0)
    return drawn


def _set_scales(axes: Axes, close_up: CloseUp, drawn: Mask) -> float:
    """Give both axes the same scale, logarithmic if that shows more; return their end."""
    sizes = np.abs(np.concatenate([close_up.analytic[drawn], close_up.numerical[drawn]]))
    sizes = sizes[sizes > 0]
    largest = max(float(np.max(sizes, initial=0.0)), 1e-290) if sizes.size else 1.0
    small = float(np.quantile(sizes, 0.05)) if sizes.size else 1.0
    is_wide = largest > LINEAR_RANGE * small
    if is_wide:
        _set_logarithmic(axes, max(small, largest * 10.0**-MOST_DECADES), largest)
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(lambda value, _: f"{value:.3g}" if value else "0")
    end = (2 if is_wide else 1.08) * largest
    axes.set_xlim(-end, end)
    axes.set_ylim(-end, end)
    return end


def _set_logarithmic(axes: Axes, small: float, largest: float) -> None:
    """Make both axes linear around zero, and logarithmic beyond `small`."""
    low, high = np.floor(np.log10([small, largest]))
    axes.set_xscale("symlog", linthresh=10.0**low)
    axes.set_yscale("symlog", linthresh=10.0**low)
    # Two ticks on either side: the labels of more would overlap around zero.
    ticks = 10.0 ** np.unique([np.ceil((low + high) / 2), high])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([*-ticks, 0.0, *ticks]))
        # Plain text, as a formula would have to be typeset.
        axis.set_major_formatter(lambda value, _: power(value) if value else "0")
        axis.set_minor_locator(NullLocator())


def _draw_points(
    axes: Axes, close_up: CloseUp, there: NDArray[np.intp], style: dict[str, Any]
) -> None:
    """Draw the given entries, and the error bars that are long enough to be seen."""
    x, y, bars = (a[there] for a in (close_up.numerical, close_up.analytic, close_up.uncertainty))
    axes.plot(x, y, linestyle="none", **style)
    to_pixels = axes.transData.transform
    wide = axes.transAxes.transform((1, 0))[0] - axes.transAxes.transform((0, 0))[0]
    bars = np.where(np.isfinite(bars), bars, 0.0)
    long = (
        to_pixels(np.column_stack([x + bars, y]))[:, 0]
        - to_pixels(np.column_stack([x - bars, y]))[:, 0]
    )
    seen = np.flatnonzero(long > VISIBLE_WIDTH * wide)[:MOST_BARS]
    axes.hlines(
        y[seen], x[seen] - bars[seen], x[seen] + bars[seen], color=style["color"], linewidth=1
    )


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


def step_curve_picture(curve: StepCurve, *, color: str = "black") -> Figure:
    """Draw the error of a central difference against the step, and the terms that explain it.

    Parameters
    ----------
    color : str
        The colour of text and axes; the background is transparent.
    """
    with plain_style():
        figure, axes = new_axes(PLOT_AREA)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _set_ends(axes, curve)
        for values, style, paint_in, name in (
            (curve.roundoff, "--", WRONG[1], "rounding"),
            (curve.truncation, "-.", TRUNCATION_COLOR, "truncation"),
            (curve.errors, "o-", AGREE, "error"),
        ):
            positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
            axes.plot(
                curve.steps,
                positive,
                style,
                color=paint_in,
                markersize=4,
                linewidth=1.5,
                label=name,
            )
        if 0 < curve.bar < np.inf:
            axes.axhline(curve.bar, color=UNKNOWN_COLOR, linewidth=1, dashes=(1, 2))
            axes.annotate(
                "error bar", (0.99, curve.bar), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8, color=color,
            )  # fmt: skip
        zero = curve.steps[curve.errors == 0]
        axes.plot(
            zero, np.full(len(zero), axes.get_ylim()[0]), "v", color=AGREE, clip_on=False,
            fillstyle="none", label="exactly 0" if zero.size else "",
        )  # fmt: skip
        _draw_step(axes, curve, color)
        axes.set_xlabel("step ε")
        axes.set_ylabel("|central difference − analytic|")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=7))
            # Plain text, as a formula would have to be typeset.
            axis.set_major_formatter(lambda value, _: power(value))
            axis.set_minor_locator(NullLocator())
        legend_above(axes, axes.get_legend_handles_labels()[0], ncols=5)
        paint(axes, color)
    return figure


def step_curve_alt(curve: StepCurve) -> str:
    """Return the step curve in words."""
    finite = np.isfinite(curve.errors)
    start = f"Error of the central difference of {curve.label} as a function of the step ε"
    if not finite.any():
        return f"{start}: no step gives a finite value."
    errors = np.where(finite, curve.errors, np.inf)
    best, nearest = int(np.argmin(errors)), int(np.argmin(np.abs(curve.steps - curve.step)))
    lost = int((~finite).sum())
    rest = f" {lost} of {len(finite)} steps give no finite value." if lost else ""
    return (
        f"{start}, from {curve.steps[0]:.0e} to {curve.steps[-1]:.0e}: the least is "
        f"{errors[best]:.1e}, at ε = {curve.steps[best]:.0e}; it is {curve.errors[nearest]:.1e} "
        f"near the step used, {curve.step:.0e}. The error bar of the best value is {curve.bar:.0e}."
        f"{rest}"
    )


def _set_ends(axes: Axes, curve: StepCurve) -> None:
    """Fit the axes to the errors, with some room: rounding noise alone reaches much further."""
    values = np.append(curve.errors, curve.bar)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if values.size else (1e-16, 1.0)
    axes.set_xlim(curve.steps[0] / 2, curve.steps[-1] * 2)
    axes.set_ylim(max(low / 10, 1e-305), min(high * 30, LARGEST_DRAWN))


def _draw_step(axes: Axes, curve: StepCurve, color: str) -> None:
    axes.axvline(curve.step, color=color, linewidth=0.8)
    axes.annotate(
        f"ε used: {curve.step:.0e}".replace("e-0", "e-"), (curve.step, 1), (3, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
        fontsize=8, color=color,
    )  # fmt: skip
