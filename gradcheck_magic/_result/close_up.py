"""The entries of one parameter, and their places in a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.display import Displayed
from gradcheck_magic._result.error_grid import ErrorGrid, Tiling
from gradcheck_magic._result.parameter_check import (
    Entry,
    ParameterCheck,
    relative_error,
    worst_first,
)

__all__ = ["CloseUp"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class CloseUp(Displayed):
    """The entries of one parameter, m of which were measured.

    `GradientCheck.close_up` returns it. Its ``str()`` is a table and a histogram; as the last
    expression of a cell, it shows its pictures.

    Attributes
    ----------
    parameter : ParameterCheck
        The result for the parameter as a whole.
    indices : ndarray of int, shape (m,)
        The positions of the measured entries in the parameter, in C order.
    analytic, numerical, uncertainty : ndarray, shape (m,)
        Their backpropagated values, their best numerical values, and the error bars of the latter.
    wrong, kinked : ndarray of bool, shape (m,)
        True for each entry that is wrong, and for each entry at which θ is on a kink.
    """

    parameter: ParameterCheck
    indices: Indices
    analytic: Vector
    numerical: Vector
    uncertainty: Vector
    wrong: Mask
    kinked: Mask

    @property
    def relative_errors(self) -> Vector:
        """The relative error |numerical − analytic| / (|numerical| + |analytic|) of each entry."""
        return relative_error(self.numerical, self.analytic)

    def __repr__(self) -> str:
        measured = f"{len(self.indices):,} of {self.parameter.size:,} entries measured"
        return f"<CloseUp {self.parameter.name}, {measured}>"

    def worst(self, most: int) -> list[Entry]:
        """Return the entries with the largest errors: the wrong ones first, each group worst first.

        Parameters
        ----------
        most : int
            The maximum number of entries.

        Returns
        -------
        list of Entry
            Entries of this parameter.
        """
        name, shape, axes = self.parameter.name, self.parameter.shape, self.parameter.output_axes
        worst = worst_first(self.analytic, self.numerical, self.wrong, most)
        columns = self.indices, self.analytic, self.numerical, self.uncertainty
        rows = zip(*(column[worst].tolist() for column in columns), strict=True)
        return [Entry.at(k, name, shape, values, axes) for k, *values in rows]

    def grid(self) -> ErrorGrid:
        """Return the errors in the parameter's shape, reduced to the size of a page.

        Returns
        -------
        ErrorGrid
            A grid of at most 120 by 240 cells; each cell shows one entry, or a block of them.
        """
        shape = self.parameter.shape
        tiling = Tiling.of(shape)
        cells = tiling.cells(self.indices)
        any_of = partial(tiling.any_of, cells)
        present = tiling.within([(0, length) for length in shape], shape)
        # A scan may find too many wrong entries to list them.
        regions = [tiling.within(region.box, shape) for region in self.parameter.regions]
        errors = self.relative_errors
        with np.errstate(divide="ignore"):  # -inf for an error of zero
            logs = np.log10(errors)
        return ErrorGrid(
            log_errors=tiling.largest(cells, logs),
            cells=cells,
            exact=any_of(errors == 0) & ~any_of(errors != 0),
            wrong=any_of(self.wrong),
            kinked=any_of(self.kinked),
            not_finite=any_of(np.isnan(errors)),
            unmeasured=present & ~any_of(),
            padding=~present,
            regions=np.any([np.zeros_like(present), *regions], axis=0),
            tiling=tiling,
        )
