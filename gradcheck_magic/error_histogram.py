"""How the relative errors of the entries are spread, for whoever draws or prints it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ErrorHistogram", "error_histogram"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorHistogram:
    """How the relative errors are spread: every entry is in exactly one of the counts.

    Attributes
    ----------
    exponents : ndarray of float, shape (k + 1,)
        The edges of the bins, as powers of ten; the last is 0, an error of 1.
    counts : ndarray of int, shape (k,)
        Entries with an error in each bin. The first bin holds the smaller ones too.
    n_exact, n_not_finite : int
        Entries that agree to the last bit, and entries of which one value is not finite.
    """

    exponents: Vector
    counts: NDArray[np.intp]
    n_exact: int
    n_not_finite: int


def error_histogram(errors: Vector, exponents: Vector) -> ErrorHistogram:
    """Count relative errors in bins between powers of ten.

    Parameters
    ----------
    errors : ndarray
        From `relative_error`.
    exponents : ndarray, increasing
        The edges, as powers of ten.
    """
    finite = np.isfinite(errors)
    ordinary = errors[finite & (errors > 0)]
    inside = np.clip(np.log10(ordinary), exponents[0], exponents[-1])
    counts, _ = np.histogram(inside, exponents)
    return ErrorHistogram(exponents, counts, int(np.sum(errors == 0)), int(np.sum(~finite)))
