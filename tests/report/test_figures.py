"""The picture of a check shows every entry once, in the colour of its verdict."""

import re
from dataclasses import replace
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from reports import result_by_hand

from gradcheck_magic._report.canvas import AGREE, UNKNOWN_COLOR, WRONG, plain_style, svg
from gradcheck_magic._report.figures import (
    MANY_ENTRIES,
    MOST_LINES,
    draw_histogram,
    element,
    histogram,
    picture,
    reach,
)
from gradcheck_magic._report.words import picture_alt
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import THRESHOLDS, Verdict

HAND = result_by_hand()


def bars(figure):
    """Return the total height of the bars of each colour."""
    heights = {}
    for bar in figure.axes[0].patches:
        color = to_hex(bar.get_facecolor()).upper()
        heights[color] = heights.get(color, 0) + bar.get_height()
    return heights


def found(errors, wrong=False):
    """Return a result with these errors."""
    wrong = np.full(len(errors), wrong) if wrong is False else wrong
    return SimpleNamespace(relative_errors=errors, numerical=np.zeros(len(errors)), wrong=wrong)


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def scanned(*parameters, wrong=()):
    """Return a scan of parameters, given by name, smallest detectable error and largest entry."""
    checks, start = [], 0
    for name, detectable, largest in parameters:
        checks.append(
            ParameterCheck(
                name, (100,), 100, Verdict.CORRECT, 1e-9, 2, 0, None, start, is_scanned=True,
                largest=largest, typical=largest / 2, detectable=detectable,
            )
        )  # fmt: skip
        start += 100
    positions = np.array(sorted({0, *wrong}))
    is_wrong = np.isin(positions, wrong)
    ones = np.ones(len(positions))
    return replace(
        HAND, mode="scan", parameters=tuple(checks), measured=positions, numerical=ones,
        analytic=ones + is_wrong / 4, uncertainty=ones / 1e9, wrong=is_wrong,
        kinked=is_wrong & False, size=start,
    )  # fmt: skip


def test_what_suits_the_check():
    assert picture(HAND).axes[0].get_ylabel() == histogram(HAND).axes[0].get_ylabel()
    scan = scanned(("W", 1e-5, 1.0))
    assert picture(scan).axes[0].get_xlabel() == reach(scan).axes[0].get_xlabel()
    assert picture(HAND).axes[0].get_xlabel() != picture(scan).axes[0].get_xlabel()


# The histogram


def test_every_entry_is_drawn_once():
    """Eight agree, one cannot be measured, three are wrong in one parameter and one in another."""
    heights = bars(histogram(HAND))
    assert heights == {AGREE: 8, UNKNOWN_COLOR: 1, WRONG[0]: 3, WRONG[1]: 1}


def test_more_wrong_parameters_than_colours():
    """The worst two have their own colours, and the others share one."""
    parameters = tuple(
        ParameterCheck(name, (n,), n, Verdict.BUG, 1.0, n, n, None)
        for name, n in zip("abcd", (2, 1, 4, 3), strict=True)
    )
    ones = np.ones(10)
    check = replace(
        HAND, parameters=parameters, measured=np.arange(10), analytic=2 * ones, numerical=ones,
        uncertainty=ones / 1e9, wrong=ones > 0, kinked=ones < 0, size=10,
    )  # fmt: skip
    figure = histogram(check)
    assert bars(figure) == {WRONG[0]: 4, WRONG[1]: 3, WRONG[2]: 3}
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[1:3] == ["c", "d"]
    assert "2" in legend[3]


@pytest.mark.parametrize(("errors", "ends"), [
    pytest.param([1e-9, 1e-3], set(), id="ordinary"),
    pytest.param([0.0, 1e-9], {"0"}, id="some agree exactly"),
    pytest.param([np.nan, 1e-9], {"nan"}, id="some are no number"),
    pytest.param([], set(), id="HARD: none at all"),
    pytest.param([5e-324, 1.0], set(), id="HARD: the least and the largest"),
])  # fmt: skip
def test_bins_at_the_ends(errors, ends):
    errors = np.array(errors)
    figure = draw_histogram(found(errors), [])
    assert set(ticks(figure.axes[0].xaxis)) & {"0", "nan"} == ends
    assert sum(bars(figure).values()) == len(errors)
    assert figure.axes[0].get_legend() is None, "one colour needs no legend"


def test_bars_stand_upon_each_other():
    wrong = np.arange(5) > 2
    figure = draw_histogram(found(np.full(5, 1e-9), wrong), [("b", wrong)])
    spans = sorted((bar.get_y(), bar.get_height()) for bar in figure.axes[0].patches)
    assert spans == [(0, 3), (3, 2)]


def test_thresholds():
    axes = histogram(HAND).axes[0]
    places = [line.get_xdata()[0] for line in axes.lines]
    np.testing.assert_allclose(places, np.log10(THRESHOLDS))


@pytest.mark.parametrize(("count", "text"), [(MANY_ENTRIES - 1, "9999"), (MANY_ENTRIES, "10k")])
def test_counts(count, text):
    axes = histogram(HAND).axes[0]
    assert axes.yaxis.get_major_formatter()(count, 0) == text


# The reach of a scan


def test_a_line_for_each_parameter():
    """Lines go from smallest detectable error to largest entry; crosses are wrong entries."""
    figure = reach(scanned(("W", 1e-5, 1.0), ("b", 1e-3, 0.5), wrong=(100, 105)))
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() != "x"]
    assert [list(line.get_xdata()) for line in lines] == [[1e-5, 1.0], [1e-3, 0.5]]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    (cross,) = crosses
    np.testing.assert_allclose(cross.get_xdata(), [0.25, 0.25])
    np.testing.assert_allclose(cross.get_ydata(), [1, 1])
    assert ticks(axes.yaxis) == ["W", "b"]


@pytest.mark.parametrize(("detectable", "largest"), [(np.inf, 1.0), (0.0, 1.0), (1e-5, 0.0)])
def test_what_cannot_be_drawn_is_left_out(detectable, largest):
    axes = reach(scanned(("W", detectable, largest))).axes[0]
    assert all(len(line.get_xdata()) == 0 for line in axes.lines)


def test_long_lists_and_long_names():
    """Only the first lines are drawn; a long name keeps its start and end, and stays unique."""
    many = [(f"layers.{k}.attention.weight.{k}", 1e-5, 1.0) for k in range(MOST_LINES + 5)]
    names = ticks(reach(scanned(*many)).axes[0].yaxis)
    assert len(names) == MOST_LINES
    assert len(set(names)) == MOST_LINES
    assert all(len(name) <= 18 and name.startswith("layers.") for name in names)


def test_names_are_no_formulas():
    with plain_style():
        figure = reach(scanned(("$W$", 1e-5, 1.0)))
    assert not any(text.get_parse_math() for text in figure.axes[0].get_yticklabels())


# As an element of a page


def test_element():
    """The description of the element is that of this very check."""
    assert re.match(f'<svg [^>]*"{re.escape(picture_alt(HAND))}"', element(HAND, svg))


def test_a_saved_figure_stays_transparent():
    with mpl.rc_context({"savefig.facecolor": "yellow"}):
        assert HAND.figure().patch.get_alpha() == 0
