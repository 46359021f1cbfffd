"""The errors of a parameter, laid out in a plane according to its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_ROW", "ErrorGrid", "Tiling"]

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Vector = NDArray[np.float64]

# The maximum number of cells in a picture: smaller ones would be smaller than its pixels.
ROWS_IN_GRID, COLUMNS_IN_GRID = 120, 240
# A vector of up to this length is one row; a longer one is folded into several.
LONGEST_ROW = 40
# The approximate ratio of width to height of a folded vector and of a sheet of tiles.
ASPECT = 2.0


@dataclass(frozen=True, eq=False)
class ErrorGrid:
    """A picture of a parameter in cells; each cell shows one entry, or a block of them.

    Each array except `cells` has the shape of the picture. A cell is exactly one of these: padding,
    not measured, or measured. A measured cell either has an error, or agrees exactly, or has only
    values that are not finite.

    Attributes
    ----------
    log_errors : ndarray of float
        log10 of the largest relative error in each cell; nan if there is none above zero.
    cells : ndarray of int, shape (2, m)
        The row and the column of the cell of each measured entry.
    exact : ndarray of bool
        True for cells in which all measured entries agree to the last bit.
    wrong, kinked, not_finite : ndarray of bool
        True for cells with an entry that is wrong, is on a kink, or is not finite.
    unmeasured : ndarray of bool
        True for cells in which no entry was measured.
    padding : ndarray of bool
        True for cells without entries: between tiles, and at the end of a folded vector.
    regions : ndarray of bool
        True for cells in which a scan found too many wrong entries to list them.
    tiling : Tiling
        The layout of the parameter.
    """

    log_errors: Vector
    cells: Indices
    exact: Mask
    wrong: Mask
    kinked: Mask
    not_finite: Mask
    unmeasured: Mask
    padding: Mask
    regions: Mask
    tiling: Tiling

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns of cells."""
        return self.tiling.shape


@dataclass(frozen=True)
class Tiling:
    """The layout of an array of any shape in a plane: tiles from left to right, then down.

    A matrix is one tile. In a vector, each entry is a tile; in an array with more axes, each matrix
    along the last two axes is a tile. Axes of length 1 do not count.
    """

    # The number of tiles, and the size of each.
    count: int
    height: int
    width: int
    # The number of tiles in a row, and the number of tiles after which the gap is wider.
    per_row: int
    group: int
    # The number of empty cells between tiles.
    gap: int
    # The labels of the axes of the picture.
    across: str
    down: str

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """Return the layout for an array of this shape."""
        axes = [axis for axis, length in enumerate(shape) if length != 1]
        match [shape[axis] for axis in axes]:
            case [] | [0]:
                return cls(math.prod(shape), 1, 1, 1, 1, 0, "", "")
            case [length] if length <= LONGEST_ROW:
                return cls(length, 1, 1, length, length, 0, "index", "")
            case [length]:
                per_row = _round(math.sqrt(ASPECT * length))
                across = f"index, {per_row} per row"
                return cls(length, 1, 1, per_row, per_row, 0, across, "row starts at")
            case [height, width]:
                names = (
                    ["row", "column"] if len(axes) == len(shape) else [f"axis {i}" for i in axes]
                )
                return cls(1, height, width, 1, 1, 0, names[1], names[0])
            case lengths:
                return cls._of_stack(lengths, _tile_name(axes, len(shape)))

    @classmethod
    def _of_stack(cls, lengths: list[int], tile: str) -> Self:
        *_, channels, height, width = lengths
        count = math.prod(lengths[:-2])
        ideal = math.sqrt(ASPECT * count * (height + 1) / (width + 1))
        per_row, group, beside = max(1, round(ideal)), 1, ""
        if len(lengths) > 3 and channels <= ideal:  # noqa: PLR2004 (n, c, h, w)
            # All channels of a kernel stay together.
            group = channels
            per_row = round(ideal / channels) * channels
            beside = f"{per_row // channels} × "
        per_row = min(per_row, count)
        words = f"tiles {tile}: {beside}{group if beside else per_row} per row"
        return cls(count, height, width, per_row, group if beside else per_row, 1, words, "")

    @property
    def extent(self) -> tuple[int, int]:
        """The number of rows and columns if each cell showed one entry."""
        n_rows = -(-self.count // self.per_row)
        wide = min(self.per_row, self.count) - 1
        last = wide * (self.width + self.gap) + wide // self.group * self.gap
        rows = n_rows * (self.height + self.gap) - self.gap
        return max(rows, 1), max(last + self.width, 1)

    @property
    def block(self) -> tuple[int, int]:
        """The number of rows and columns of entries that one cell shows."""
        rows, columns = self.extent
        return -(-rows // ROWS_IN_GRID), -(-columns // COLUMNS_IN_GRID)

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns of cells."""
        rows, columns = (-(-n // b) for n, b in zip(self.extent, self.block, strict=True))
        return rows, columns

    def cells(self, indices: Indices) -> Indices:
        """Return the row and the column of the cell of each entry; shape (2, m)."""
        tile, rest = np.divmod(indices, self.height * self.width)
        y, x = np.divmod(rest, self.width)
        row, place = np.divmod(tile, self.per_row)
        wider = place // self.group * self.gap
        rows = row * (self.height + self.gap) + y
        columns = place * (self.width + self.gap) + wider + x
        return np.stack([rows // self.block[0], columns // self.block[1]])

    def any_of(self, cells: Indices, which: Mask | None = None) -> Mask:
        """Return a mask of the cells that contain any of the entries, or of those in `which`."""
        result = np.zeros(self.shape, dtype=bool)
        rows, columns = cells if which is None else cells[:, which]
        result[rows, columns] = True
        return result

    def largest(self, cells: Indices, values: Vector) -> Vector:
        """Return the largest value in each cell, without nan; nan if there is none above -inf."""
        result = np.full(self.shape, -np.inf)
        np.fmax.at(result, tuple(cells), values)
        return np.where(np.isneginf(result), np.nan, result)

    def present(self) -> Mask:
        """Return a mask of the cells that contain entries, without looking at every entry."""
        result = np.zeros(self.shape, dtype=bool)
        if self.count * self.height * self.width == 0:
            return result
        whole = self.count // self.per_row * self.per_row
        down, across = np.arange(self.height) * self.width, np.arange(self.width)
        for start, stop in ((0, whole), (whole, self.count)):
            # Rows and columns are independent of each other, except in the last row of tiles.
            firsts = np.arange(start, stop, self.per_row) * self.height * self.width
            tiles = np.arange(start, min(stop, start + self.per_row)) * self.height * self.width
            rows, _ = self.cells(np.add.outer(firsts, down).ravel())
            _, columns = self.cells(np.add.outer(tiles, across).ravel())
            result[np.ix_(np.unique(rows), np.unique(columns))] = True
        return result

    def within(self, box: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> Mask:
        """Return a mask of the cells of a box, given as start and stop along each axis."""
        if tuple(box) == tuple((0, length) for length in shape):
            return self.present()
        sides = [np.arange(start, stop) for start, stop in box] or [np.arange(1)]
        plane = [axis for axis, length in enumerate(shape) if length != 1][-2:]
        if len(plane) > 1:
            # A matrix may have millions of entries; one for each cell is enough.
            for axis, step in zip(plane, self.block, strict=True):
                sides[axis] = np.append(sides[axis][::step], sides[axis][-1:])
        indices = np.ravel_multi_index(np.ix_(*sides), shape or (1,)).ravel()
        return self.any_of(self.cells(indices))


def _round(wanted: float) -> int:
    """Round up to one of 1, 2, 5, 10, 20, 50, 100, …."""
    power: int = 10 ** math.floor(math.log10(wanted))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wanted)


def _tile_name(axes: list[int], ndim: int) -> str:
    """Return the label of a tile, such as ``[i, j, :, :]``."""
    letters = iter("ijklmnopqrstuvwxyz")
    sides = [":" if axis in axes[-2:] else next(letters, "…") for axis in range(ndim)]
    for axis in set(range(ndim)) - set(axes):
        sides[axis] = "0"
    return f"[{', '.join(sides)}]"
