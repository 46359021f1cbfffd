"""Arrays of any shape are laid out in a plane, with a cell for every entry."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._result.error_grid import LONGEST_ROW, Tiling

# shape, entry in C order, row and column of its cell
PLACES = [
    ((), 0, 0, 0),
    ((7,), 5, 0, 5),
    pytest.param((LONGEST_ROW,), 39, 0, 39, id="the longest row"),
    # 41 entries are folded: √(2 · 41) = 9.06, and 10 is the least of 10, 20, 50, … not below it.
    pytest.param((LONGEST_ROW + 1,), 39, 3, 9, id="folded"),
    ((3, 5), 7, 1, 2),
    pytest.param((1, 3, 1, 5), 7, 1, 2, id="axes of length 1 do not count"),
    # Two tiles of 3 × 4 are beside each other, with a gap between them.
    ((2, 3, 4), 12 + 6, 1, 5 + 2),
    # Tiles of 3 × 3 are in groups of three; after each group the gap is one cell wider.
    pytest.param((64, 3, 3, 3), 4 * 9 + 5, 1, 3 * 4 + 1 + 4 + 2, id="kernels"),
    # There are at most 240 columns: of 480, two share a cell, and so do two of 240 rows.
    pytest.param((240, 480), 3 * 480 + 5, 1, 2, id="blocks"),
    pytest.param((240, 480), 240 * 480 - 1, 119, 239, id="the last block"),
]


@pytest.mark.parametrize(("shape", "k", "row", "column"), PLACES)
def test_cells(shape, k, row, column):
    tiling = Tiling.of(shape)
    assert tiling.cells(np.array([k])).tolist() == [[row], [column]]


shapes = st.lists(st.integers(1, 7), max_size=5).map(tuple)


@settings(max_examples=60, deadline=None)
@given(shapes | st.tuples(st.integers(1, 400), st.integers(1, 500)))
def test_every_entry_has_a_cell(shape):
    """Every entry has a cell in the picture, and `within` is true for just these cells."""
    tiling = Tiling.of(shape)
    cells = tiling.cells(np.arange(math.prod(shape)))
    assert (cells >= 0).all()
    assert (cells < np.array(tiling.shape)[:, None]).all()
    everything = tiling.within([(0, length) for length in shape], shape)
    assert (tiling.any_of(cells) == everything).all()
    assert tiling.shape[0] <= 120
    assert tiling.shape[1] <= 240


@settings(max_examples=60, deadline=None)
@given(shapes, st.data())
def test_boxes(shape, data):
    """The cells of a box are those of its entries."""
    box = [tuple(sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in shape]
    if math.prod(stop - start for start, stop in box) == 0:
        box = [(0, 1) for _ in shape]
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(*side) for side in box)] = True
    tiling = Tiling.of(shape)
    expected = tiling.any_of(tiling.cells(np.flatnonzero(inside)))
    assert (tiling.within(box, shape) == expected).all()


@pytest.mark.parametrize(
    "box", [[(3, 4), (0, 480)], [(0, 240), (7, 480)], [(5, 8), (9, 10)], [(0, 2), (5, 9)]]
)
def test_boxes_in_blocks(box):
    """Boxes are correct in a large matrix too, whose cells are blocks of entries."""
    inside = np.zeros((240, 480), dtype=bool)
    inside[tuple(slice(*side) for side in box)] = True
    tiling = Tiling.of((240, 480))
    expected = inside.reshape(120, 2, 240, 2).any(axis=(1, 3))
    assert (tiling.within(box, (240, 480)) == expected).all()


@pytest.mark.parametrize("shape", [(10**11,), (10**5, 10**5, 3, 3)])
def test_a_whole_array_is_not_looked_at_entry_by_entry(shape):
    present = Tiling.of(shape).within([(0, length) for length in shape], shape)
    assert present.mean() > 0.5


def test_what_a_cell_shows():
    """A cell shows a mark if any of its entries has it, and the largest of their errors."""
    tiling = Tiling.of((240, 480))
    # The first two entries share a cell; the last one shows nothing.
    cells = tiling.cells(np.array([0, 481, 2, 960]))
    wrong = tiling.any_of(cells, np.array([False, True, False, False]))
    assert np.argwhere(wrong).tolist() == [[0, 0]]
    largest = tiling.largest(cells, np.array([-3.0, -2.0, -7.0, -np.inf]))
    assert largest[0, 0] == -2
    assert largest[0, 1] == -7
    assert np.isnan(largest).sum() == 120 * 240 - 2
