"""One parameter, entry by entry: the position of each entry, and the pictures."""

import io
from functools import partial
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic import (
    GradientCheckInterrupted,
    InputError,
    ParameterCheck,
    Verdict,
    check_gradients,
)
from gradcheck_magic._report.canvas import plain_style, png, power, svg
from gradcheck_magic._report.close_up_figures import (
    error_map,
    error_map_alt,
    parameter_histogram,
    parameter_histogram_alt,
    scatter,
    scatter_alt,
    step_curve_alt,
    step_curve_picture,
)
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.error_grid import Tiling
from gradcheck_magic._result.parameter_check import WrongRegion

PICTURES = [
    (parameter_histogram, parameter_histogram_alt),
    (error_map, error_map_alt),
    (scatter, scatter_alt),
]


def close_up(shape, *, wrong=(), not_finite=(), kinked=(), measured=None, regions=(), name="W"):
    """Return entries 1, 2, 3, … with an error of 1e-9; wrong ones have the opposite sign."""
    size = int(np.prod(shape))
    measured = np.arange(size) if measured is None else np.array(measured, dtype=int)
    analytic = 1.0 + np.arange(size)
    numerical = analytic * (1 + 2e-9)
    numerical[list(wrong)] *= -1
    numerical[list(not_finite)] = np.nan
    is_wrong, is_kinked = np.zeros((2, size), dtype=bool)
    is_wrong[list(wrong)] = True
    is_kinked[list(kinked)] = True
    n_wrong = int(is_wrong[measured].sum())
    parameter = ParameterCheck(
        name, shape, size, Verdict.BUG, 0.1, len(measured), n_wrong, None, regions=regions
    )
    return CloseUp(
        parameter,
        measured,
        analytic[measured],
        numerical[measured],
        np.full(len(measured), 1e-9),
        is_wrong[measured],
        is_kinked[measured],
    )


def curve(**changes):
    steps = np.array([1e-8, 1e-6, 1e-4, 1e-2])
    what = {
        "label": "W[0, 1]",
        "steps": steps,
        "errors": np.array([2e-8, 2e-10, 1e-8, 1e-4]),
        "roundoff": 2e-16 / steps,
        "truncation": steps**2,
        "step": 1e-7,
        "bar": 1e-10,
    }
    return SimpleNamespace(**(what | changes))


# The entries


def test_a_check_looks_closer():
    """A close-up has the entries of one parameter alone, with their own indices."""
    params = {"W": np.arange(1.0, 7.0).reshape(2, 3), "b": np.array([1.0, 2.0, 3.0])}
    grads = {"dW": 2 * params["W"], "db": 2 * params["b"]}
    grads["db"][1] *= -1
    check = check_gradients(params, grads, lambda p: sum(float(np.sum(a * a)) for a in p.values()))
    close = check.close_up("b")
    assert close.parameter is check.parameters[1]
    assert close.indices.tolist() == [0, 1, 2]
    assert close.analytic.tolist() == [2, -4, 6]
    assert close.wrong.tolist() == [False, True, False]
    assert [entry.label for entry in close.worst(1)] == ["b[1]"]
    assert close.worst(3) == [e for e in check.worst_entries() if e.label.startswith("b")]
    assert len(check.close_up("W").worst(100)) == 6


def test_unknown_name():
    check = check_gradients(
        {"W1": np.ones(2)}, {"dW1": 2 * np.ones(2)}, lambda p: p["W1"] @ p["W1"]
    )
    with pytest.raises(InputError) as caught:
        check.close_up("w1")
    assert str(caught.value) == "`w1` was not checked (did you mean `W1`?): choose from `W1`."


def test_interrupted():
    """A parameter that was not reached has a picture without errors."""
    calls = 0

    def cost(p):
        nonlocal calls
        calls += 1
        if calls == 30:
            raise KeyboardInterrupt
        return float(np.sum(p["a"] ** 2) + np.sum(p["b"] ** 2))

    params = {"a": np.ones(20), "b": np.ones(3)}
    with pytest.raises(GradientCheckInterrupted) as caught:
        check_gradients(params, {"da": 2 * np.ones(20), "db": 2 * np.ones(3)}, cost)
    reached, missed = (caught.value.check.close_up(name) for name in "ab")
    assert 0 < len(reached.indices) < 20
    assert reached.grid().unmeasured.sum() == 20 - len(reached.indices)
    assert missed.grid().unmeasured.all()
    assert (
        error_map_alt(missed)
        == "Map of the relative errors of b (3): 0 of 3 entries measured; none wrong."
    )
    assert len(caught.value.check.close_up("b").worst(5)) == 0


def test_worst_of_many_is_the_worst_of_all():
    close = close_up((1000,), wrong=(3, 500, 501), not_finite=(2,))
    assert close.worst(4) == close.worst(1000)[:4]
    assert [entry.label for entry in close.worst(3)] == ["W[3]", "W[500]", "W[501]"]
    assert close.worst(0) == []


# Positions of entries

LAYOUTS = [
    # shape, rows and columns of cells, labels of the axes
    ((), (1, 1), "", ""),
    ((1,), (1, 1), "", ""),
    ((7,), (1, 7), "index", ""),
    ((1000,), (20, 50), "index, 50 per row", "row starts at"),
    ((10**6,), (100, 223), "index, 2000 per row", "row starts at"),
    ((1, 30), (1, 30), "index", ""),
    ((50, 1), (5, 10), "index, 10 per row", "row starts at"),
    ((3, 5), (3, 5), "column", "row"),
    ((6, 5, 1, 1), (6, 5), "axis 1", "axis 0"),
    ((1000, 1000), (112, 200), "column", "row"),
    ((2, 3, 4), (3, 9), "tiles [i, :, :]: 2 per row", ""),
    ((64, 3, 3, 3), (39, 89), "tiles [i, j, :, :]: 7 × 3 per row", ""),
    ((8, 1, 5, 5), (11, 23), "tiles [i, 0, :, :]: 4 per row", ""),
    ((0,), (1, 1), "", ""),
    ((3, 0), (3, 1), "column", "row"),
]


@pytest.mark.parametrize(("shape", "cells", "across", "down"), LAYOUTS, ids=str)
def test_layout(shape, cells, across, down):
    tiling = Tiling.of(shape)
    assert (tiling.shape, tiling.across, tiling.down) == (cells, across, down)


def test_a_matrix_is_itself():
    grid = close_up((3, 5), wrong=(7,), not_finite=(3,), kinked=(14,)).grid()
    for mask, place in ((grid.wrong, (1, 2)), (grid.not_finite, (0, 3)), (grid.kinked, (2, 4))):
        assert np.argwhere(mask).tolist() == [list(place)]
    assert grid.log_errors[1, 2] == 0
    assert np.isnan(grid.log_errors[0, 3])
    assert not grid.padding.any()


def test_tiles_are_set_apart():
    """The shape (2, 3, 4) is shown as two tiles of 3 × 4 beside each other, with a gap."""
    grid = close_up((2, 3, 4), wrong=(12,)).grid()
    assert np.argwhere(grid.wrong).tolist() == [[0, 5]]
    assert grid.padding[:, 4].all()
    assert grid.padding.sum() == 3


@pytest.mark.parametrize("where", [0, 345_678, 999_999])
@pytest.mark.parametrize("shape", [(10**6,), (1000, 1000), (100, 100, 10, 10)], ids=str)
def test_one_wrong_entry_among_a_million_is_seen(shape, where):
    close = close_up(shape, wrong=(where,))
    grid = close.grid()
    assert grid.wrong.sum() == 1
    assert grid.log_errors[grid.wrong].tolist() == [0]
    assert np.nanmax(grid.log_errors[~grid.wrong]) < -8
    (axes, _) = error_map(close).axes
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [1, 1]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=4).map(tuple), st.randoms(use_true_random=False))
def test_no_entry_is_lost(shape, random):
    """Every entry has a cell, no two share one unless they must, and wrong entries are seen."""
    size = int(np.prod(shape))
    measured = sorted(random.sample(range(size), random.randint(0, size)))
    wrong = random.sample(measured, min(len(measured), 3))
    close = close_up(shape, wrong=wrong, measured=measured)
    grid = close.grid()
    rows, columns = grid.cells
    assert grid.cells.shape == (2, len(measured))
    assert grid.wrong[rows, columns][close.wrong].all()
    assert not (grid.padding | grid.unmeasured)[rows, columns].any()
    everything = close_up(shape).grid()
    assert np.array_equal(~everything.padding, everything.tiling.any_of(everything.cells))
    if grid.tiling.block == (1, 1):
        assert len(set(zip(*everything.cells.tolist(), strict=True))) == size
        assert grid.wrong.sum() == len(wrong)
        assert grid.unmeasured.sum() == size - len(measured)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 700))
def test_no_entry_of_a_large_matrix_is_lost(n_rows, n_columns):
    """The corners of a large matrix have cells too, and the picture stays within its size."""
    tiling = Tiling.of((n_rows, n_columns))
    corners = np.array([0, n_columns - 1, (n_rows - 1) * n_columns, n_rows * n_columns - 1])
    cells = tiling.cells(corners)
    assert np.all(cells < np.array([tiling.shape]).T)
    assert tiling.shape[0] <= 120
    assert tiling.shape[1] <= 240
    everything = tiling.within([(0, n_rows), (0, n_columns)], (n_rows, n_columns))
    assert everything[tuple(cells)].all()


@pytest.mark.parametrize(
    ("shape", "box", "number"),
    [
        ((20, 30), ((3, 4), (0, 30)), 30),
        ((20, 30), ((0, 20), (4, 5)), 20),
        ((20, 30), ((2, 5), (4, 6)), 6),
        ((20, 30), ((0, 20), (0, 30)), 600),
        ((1000, 1000), ((20, 21), (0, 1000)), 200),
        ((1000, 1000), ((0, 1000), (7, 999)), 112 * 199),
        ((100,), ((10, 20),), 10),
        ((4, 3, 5, 5), ((0, 4), (2, 3), (0, 5), (0, 5)), 100),
        ((6, 1, 5), ((3, 4), (0, 1), (0, 5)), 5),
    ],
)
def test_regions_of_a_scan(shape, box, number):
    grid = close_up(shape, measured=[0], regions=(WrongRegion("W", 1, 1, 1, box),)).grid()
    assert grid.regions.sum() == number
    assert not (grid.regions & grid.padding).any()


def test_scan():
    """After a scan, few entries are measured, and a wrong row is marked."""
    W = np.random.default_rng(0).normal(size=(60, 40))
    grad = 2 * W
    grad[7] *= 3
    check = check_gradients(
        {"W": W}, {"dW": grad}, lambda p: float(np.sum(p["W"] ** 2)), mode="scan"
    )
    close = check.close_up("W")
    grid = close.grid()
    assert np.unique(np.argwhere(grid.regions)[:, 0]).tolist() == [7]
    assert (~grid.unmeasured).sum() == len(close.indices) == check.n_measured
    assert "wrong region W[7, :]" in error_map_alt(close)
    assert keys(error_map(close)) == ["wrong", "wrong region", "not measured"]


# The pictures


def keys(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


HARD = {
    "scalar": close_up(()),
    "one": close_up((1,), wrong=(0,)),
    "empty": close_up((0,)),
    "folded": close_up((1000,), wrong=range(1000)),
    "kernels": close_up((64, 3, 3, 3), wrong=range(30, 39), kinked=(100,), not_finite=(500,)),
    "unmeasured": close_up((3, 5), measured=[]),
    "not finite": close_up((3, 5), not_finite=range(15)),
    "many wrong": close_up((120, 240), wrong=range(0, 28800, 2)),
    "name": close_up((3,), wrong=(1,), name="<b>$x_1 & 'é权"),
}


@pytest.mark.parametrize(("draw", "alt"), PICTURES, ids=["histogram", "map", "scatter"])
@pytest.mark.parametrize("name", HARD)
def test_pictures_of_hard_cases(name, draw, alt):
    """The pictures can be drawn, are small, and contain no markup from the user's names."""
    close = HARD[name]
    words = alt(close)
    element = svg(partial(draw, close), words)
    root = ET.fromstring(element)  # noqa: S314 (our own)
    assert root.get("aria-label") == words
    assert "<b>" not in element
    assert "currentColor" in element
    assert len(element) < 150_000


def test_huge_and_tiny_values():
    """No scale of a picture overflows."""
    close = close_up((4,))
    for values in ([1e308, -1e308, 1.0, 0.0], [5e-324, 0, 0, 0], [1e299, 1e-299, 1, -1], [0] * 4):
        array = np.array(values, dtype=float)
        hard = CloseUp(close.parameter, close.indices, array, array, close.uncertainty * np.inf,
                       close.wrong, close.kinked)  # fmt: skip
        for draw, alt in PICTURES:
            assert png(partial(draw, hard), alt(hard))


def test_alt_texts():
    close = close_up((3, 5), wrong=(7, 8), not_finite=(3,), kinked=(14,))
    assert parameter_histogram_alt(close) == (
        "Histogram of the relative errors of 15 entries of W: 12 below 1e-07, 2 at 0.001 or more, "
        "1 not finite."
    )
    assert error_map_alt(close) == (
        "Map of the relative errors of W (3 × 5): 15 of 15 entries measured; 12 below 1e-07, 2 at "
        "0.001 or more, 1 not finite; 2 wrong; 1 on a kink. The worst entry is W[1, 2]."
    )
    assert scatter_alt(close) == (
        "Analytic against numerical values of 14 entries of W: 12 agree, 2 wrong (on a line of "
        "slope -1). Not finite, and so not drawn: 1."
    )
    assert error_map_alt(close_up((1000, 1000))) == (
        "Map of the relative errors of W (1000 × 1000, each cell the largest of 9 × 5 entries): "
        "1,000,000 of 1,000,000 entries measured; 1000000 below 1e-07; none wrong."
    )
    assert scatter_alt(close_up((1000,))) == (
        "Analytic against numerical values of 1,000 entries of W, 400 of them drawn: 1000 agree, "
        "0 wrong."
    )


def test_map_names_what_is_there():
    everything = close_up((3, 5), wrong=(7,), not_finite=(3,), kinked=(14,), measured=range(1, 15))
    assert keys(error_map(everything)) == ["wrong", "on a kink", "not finite", "not measured"]
    assert keys(error_map(close_up((3, 5), measured=[1, 2]))) == ["agrees", "not measured"]
    assert error_map(close_up((3, 5))).axes[0].get_legend() is None
    assert keys(error_map(HARD["many wrong"])) == ["wrong, 200 of 14400 cells"]


def test_exact_zeros():
    close = close_up((2, 2))
    zero = CloseUp(close.parameter, close.indices, 0 * close.analytic, 0 * close.analytic,
                   close.uncertainty, close.wrong, close.kinked)  # fmt: skip
    assert zero.grid().exact.all()
    assert np.isnan(zero.grid().log_errors).all()
    assert keys(error_map(zero)) == ["exactly equal"]


def test_a_factor_is_a_slope():
    """A slope is shown if several wrong entries are all on one line; a single one always is."""
    assert keys(scatter(close_up((9,), wrong=(1, 2, 3)))) == ["equal", "slope -1", "agree", "wrong"]
    assert keys(scatter(close_up((9,), wrong=(1,)))) == ["equal", "agree", "wrong"]


def test_step_curve():
    assert keys(step_curve_picture(curve())) == ["rounding", "truncation", "error"]
    assert step_curve_alt(curve()) == (
        "Error of the central difference of W[0, 1] as a function of the step ε, from 1e-08 to "
        "1e-02, finite at 4 of 4 steps: the least is 2.0e-10, at ε = 1e-06; it is 2.0e-08 near the "
        "step used, 1e-07. The error bar of the best value is 1e-10."
    )


def test_step_curve_with_nothing_in_it():
    """Exact zeros have their own mark, and values that are not finite are counted."""
    zero = curve(errors=np.array([0.0, np.nan, 1e-8, np.inf]))
    assert keys(step_curve_picture(zero))[-1] == "exactly 0"
    assert "finite at 2 of 4 steps: the least is 0.0e+00, at ε = 1e-08" in step_curve_alt(zero)
    nothing = curve(
        errors=np.full(4, np.nan), roundoff=np.zeros(4), truncation=np.zeros(4), bar=np.nan
    )
    assert svg(partial(step_curve_picture, nothing), step_curve_alt(nothing))
    assert "no step gives a finite value" in step_curve_alt(nothing)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-7, "1e-7"), (1e-12, "1e-12"), (1.0, "1"), (-100.0, "-1e2"), (1e20, "1e20")],
)
def test_power(value, text):
    assert power(value) == text


@pytest.mark.parametrize(
    "own",
    [
        {"text.usetex": True},
        {"font.size": 60, "axes.facecolor": "black", "text.color": "white"},
        {"svg.fonttype": "path", "image.cmap": "jet", "image.interpolation": "bilinear"},
    ],
)
def test_immune_to_settings(own):
    """The user's settings do not change the pictures, nor do the pictures change the settings."""
    draws = [(partial(draw, HARD["kernels"]), "words") for draw, _ in PICTURES]
    draws.append((partial(step_curve_picture, curve()), "words"))
    plain = [svg(*each) for each in draws]
    with mpl.rc_context(own):
        before = dict(mpl.rcParams)
        assert [svg(*each) for each in draws] == plain
        assert dict(mpl.rcParams) == before


def test_picture_is_transparent():
    buffer = io.BytesIO()
    with plain_style():
        error_map(HARD["scalar"]).savefig(buffer, format="rgba")
    assert buffer.getvalue()[3] == 0
