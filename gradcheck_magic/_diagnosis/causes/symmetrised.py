"""TRANSPOSED: a gradient that is right if it is symmetrised, or one that was, and should not be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import TELLING_ENTRIES, Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._result.cause import Cause

__all__ = ["MEAN", "SUM", "Symmetrised"]

Matrix = NDArray[np.float64]

# Ways to make a matrix symmetric: the transpose counts half, or as much as the matrix.
MEAN, SUM = "(G + G.T) / 2", "G + G.T - diag(G)"


@dataclass(frozen=True, eq=False, kw_only=True)
class Symmetrised(Finding):
    """A gradient of a square matrix that is symmetric by a `formula`, or should be.

    It `is_missing` if the gradient given is the G of the formula; if not, that is the numerical
    gradient.
    """

    cause = Cause.TRANSPOSED

    how: str
    formula: str
    is_missing: bool

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Self | None:
        """Recognise a symmetric part in place of the whole, or the other way round."""
        sample, shape = mismatch.sample, mismatch.shape
        is_square = len(shape) == 2 and shape[0] == shape[1] == mismatch.parameter.shape[0]  # noqa: PLR2004
        if not is_square or sample.stands_off.sum() < TELLING_ENTRIES:
            return None
        for formula in (MEAN, SUM):
            bar = _symmetric(sample.bar, shape, formula)
            model = _symmetric(sample.numerical, shape, formula)
            made = replace(sample, analytic=_symmetric(sample.analytic, shape, formula))
            if sample.explained_by(model, bar):
                return cls((mismatch,), how="symmetrised", formula=formula, is_missing=False)
            if made.explained_by(sample.numerical, sample.bar):
                return cls((mismatch,), how="symmetrised", formula=formula, is_missing=True)
        return None

    def sentence(self, case: Case) -> str:
        """Return the formula, and what the cost does with both halves of the matrix."""
        (mismatch,) = self.mismatches
        grad, name, cost = self.gradients, mismatch.name, f"`{case.cost_name}`"
        if self.is_missing:
            what = "both halves of" if self.formula == SUM else "only the symmetric part of"
            return (
                f"{grad} is right if it is symmetrised: `{self.formula}`, where G is {grad}, is "
                f"the numerical gradient, {self.extent}. {cost} uses {what} `{name}`, so "
                f"symmetrise {grad}, too."
            )
        start = f"{grad} is `{self.formula}`, where G is the numerical gradient, {self.extent}"
        if self.formula == SUM:
            return (
                f"{start}: it is right if `{name}[i, j]` and `{name}[j, i]` are one number, but "
                "the check moves each by itself. Leave the transpose out."
            )
        return (
            f"{start}: it is right if `{name}` stays symmetric, but {cost} does not use both "
            f"halves of `{name}` alike (a Cholesky decomposition reads only one of them). Let the "
            f"cost begin with {name} = ({name} + {name}.T) / 2."
        )


def _symmetric(entries: Matrix, shape: tuple[int, ...], formula: str) -> Matrix:
    matrix = entries.reshape(shape)
    symmetric = matrix + matrix.T
    if formula == MEAN:
        return np.ravel(symmetric / 2)
    return np.ravel(symmetric - np.diag(np.diag(matrix)))
