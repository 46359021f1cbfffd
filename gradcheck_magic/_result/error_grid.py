"""The errors of a parameter in its own shape, laid out in a plane."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_ROW", "ErrorGrid", "Tiling", "box_of"]

Mask = NDArray[np.bool_]

Indices = NDArray[np.intp]

Vector = NDArray[np.float64]


# A picture has no more cells than this: they would be smaller than its pixels.
ROWS_IN_GRID, COLUMNS_IN_GRID = 120, 240


# A vector up to this long is one row; a longer one is folded.
LONGEST_ROW = 40


# How much wider than high a folded vector and a sheet of tiles are, about.
ASPECT = 2.0


@dataclass(frozen=True, eq=False)
class ErrorGrid:
    """A picture of a parameter, cell by cell; a cell shows one entry, or a block of them.

    Each array but `cells` has the shape of the picture. A cell is exactly one of: padding, not
    measured, or measured; and then it has an error, or is exactly equal, or only not finite.

    Attributes
    ----------
    log_errors : ndarray of float
        log10 of the largest relative error in each cell; nan where there is none above zero.
    cells : ndarray of int, shape (2, m)
        Row and column of the cell in which each entry that was measured is.
    exact : ndarray of bool
        Where all that was measured agrees to the last bit.
    wrong, kinked, not_finite : ndarray of bool
        Where anything is wrong, sits on a kink, or has a value that is not finite.
    unmeasured : ndarray of bool
        Where there are entries and none of them was measured.
    padding : ndarray of bool
        Where there is no entry: between tiles, and at the end of a folded vector.
    regions : ndarray of bool
        Where a scan found too much wrong to list it.
    tiling : Tiling
        How the parameter is laid out.
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
        """How many rows and columns of cells there are."""
        return self.tiling.shape


@dataclass(frozen=True)
class Tiling:
    """How an array of any shape is laid out in a plane: tiles from left to right, then down.

    A matrix is one tile. Each entry of a vector is a tile of its own, each pair of the last two
    axes of a larger array another. Axes of length 1 do not count.

    Attributes
    ----------
    count, height, width : int
        How many tiles there are, and the size of each.
    per_row, group : int
        How many tiles are beside each other, and after how many of these the gap is wider.
    gap : int
        Between tiles.
    across, down : str
        What the axes of the picture mean.
    """

    count: int
    height: int
    width: int
    per_row: int
    group: int
    gap: int
    across: str
    down: str

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """Return the layout for an array of this shape."""
        axes = [axis for axis, length in enumerate(shape) if length != 1]
        lengths = [shape[axis] for axis in axes]
        if len(axes) < 2:  # noqa: PLR2004 (a plane has two axes)
            return cls._of_vector(math.prod(lengths))
        if len(axes) == 2:  # noqa: PLR2004 (a plane has two axes)
            down, across = _axis_names(axes, len(shape))
            return cls(1, lengths[0], lengths[1], 1, 1, 0, across, down)
        return cls._of_stack(lengths, _tile_name(axes, len(shape)))

    @classmethod
    def _of_vector(cls, length: int) -> Self:
        if length <= LONGEST_ROW:
            return cls(
                length, 1, 1, max(length, 1), max(length, 1), 0, "index" if length > 1 else "", ""
            )
        per_row = _round(math.sqrt(ASPECT * length))
        return cls(length, 1, 1, per_row, per_row, 0, f"index, {per_row} to a row", "row starts at")

    @classmethod
    def _of_stack(cls, lengths: list[int], tile: str) -> Self:
        *_, channels, height, width = lengths
        count = math.prod(lengths[:-2])
        ideal = math.sqrt(ASPECT * count * (height + 1) / (width + 1))
        per_row, group, beside = max(1, round(ideal)), 1, ""
        if len(lengths) > 3 and channels <= ideal:  # noqa: PLR2004 (n, c, h, w)
            # All channels of a kernel stand together.
            group = channels
            per_row = round(ideal / channels) * channels
            beside = f"{per_row // channels} × "
        per_row = min(per_row, count)
        words = f"tiles {tile}: {beside}{group if beside else per_row} to a row"
        return cls(count, height, width, per_row, group if beside else per_row, 1, words, "")

    @property
    def extent(self) -> tuple[int, int]:
        """How many rows and columns there would be if each cell showed one place."""
        n_rows = -(-self.count // self.per_row)
        wide = min(self.per_row, self.count) - 1
        last = wide * (self.width + self.gap) + wide // self.group * self.gap
        rows = n_rows * (self.height + self.gap) - self.gap
        return max(rows, 1), max(last + self.width, 1)

    @property
    def block(self) -> tuple[int, int]:
        """How many rows and columns of these one cell shows."""
        rows, columns = self.extent
        return -(-rows // ROWS_IN_GRID), -(-columns // COLUMNS_IN_GRID)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns of cells there are."""
        rows, columns = (-(-n // b) for n, b in zip(self.extent, self.block, strict=True))
        return rows, columns

    def cells(self, indices: Indices) -> Indices:
        """Return row and column of the cell of each entry; shape (2, m)."""
        tile, rest = np.divmod(indices, self.height * self.width)
        y, x = np.divmod(rest, self.width)
        return np.stack([self._rows(tile, y), self._columns(tile, x)])

    def _rows(self, tile: Indices, y: Indices) -> Indices:
        return (tile // self.per_row * (self.height + self.gap) + y) // self.block[0]

    def _columns(self, tile: Indices, x: Indices) -> Indices:
        place = tile % self.per_row
        wider = place // self.group * self.gap
        return (place * (self.width + self.gap) + wider + x) // self.block[1]

    def any_of(self, cells: Indices, which: Mask | None = None) -> Mask:
        """Return the cells with any entry of which something is true."""
        result = np.zeros(self.shape, dtype=bool)
        rows, columns = cells if which is None else cells[:, which]
        result[rows, columns] = True
        return result

    def largest(self, cells: Indices, values: Vector) -> Vector:
        """Return the largest value in each cell; nan where there is none above -inf."""
        result = np.full(math.prod(self.shape), -np.inf)
        np.maximum.at(result, cells[0] * self.shape[1] + cells[1], values)
        return np.where(np.isneginf(result), np.nan, result).reshape(self.shape)

    def present(self) -> Mask:
        """Return the cells in which there is any entry, without looking at every one."""
        result = np.zeros(self.shape, dtype=bool)
        whole = self.count // self.per_row * self.per_row
        for tiles in (np.arange(whole), np.arange(whole, self.count)):
            # Rows and columns have nothing to do with each other, except in the last row of tiles.
            rows = self._rows(tiles[:: self.per_row, None], np.arange(self.height))
            columns = self._columns(tiles[: self.per_row, None], np.arange(self.width))
            result[np.ix_(np.unique(rows), np.unique(columns))] = True
        return result

    def within(self, box: list[tuple[int, int]], shape: tuple[int, ...]) -> Mask:
        """Return the cells of a box of an array of this shape: start and stop along each axis."""
        sides = [np.arange(start, stop) for start, stop in box]
        if self.count == 1:
            # Of a matrix with millions of entries, one for each cell will do.
            steps = iter(self.block)
            long = [length != 1 for length in shape]
            sides = [
                np.append(side[:: next(steps)], side[-1]) if is_long else side
                for side, is_long in zip(sides, long, strict=True)
            ]
        indices = np.ravel_multi_index(np.ix_(*sides), shape).ravel()
        return self.any_of(self.cells(indices))


def _round(wanted: float) -> int:
    """The least of 10, 20, 50, 100, 200, … that is as large."""
    power: int = 10 ** math.floor(math.log10(wanted))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wanted)


def _axis_names(axes: list[int], ndim: int) -> tuple[str, str]:
    if ndim == 2:  # noqa: PLR2004 (a matrix)
        return "row", "column"
    return f"axis {axes[0]}", f"axis {axes[1]}"


def _tile_name(axes: list[int], ndim: int) -> str:
    """What stands in a tile: ``[i, j, :, :]``."""
    letters = iter("ijklmnopqrstuvwxyz")
    sides = [":" if axis in axes[-2:] else next(letters, "…") for axis in range(ndim)]
    for axis in set(range(ndim)) - set(axes):
        sides[axis] = "0"
    return f"[{', '.join(sides)}]"


def box_of(sides: str, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Read ``[3, :, 2:5]``: start and stop along each axis."""
    box = []
    for side, length in zip(re.findall(r"[\d:]+", sides), shape, strict=True):
        start, colon, stop = side.partition(":")
        first = int(start or 0)
        box.append((first, int(stop or length) if colon else first + 1))
    return box
