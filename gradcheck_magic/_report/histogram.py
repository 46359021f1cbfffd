"""The histogram of relative errors, as counts and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = ["ErrorHistogram", "error_histogram", "in_words"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorHistogram:
    """A histogram of relative errors, in which every entry is counted exactly once.

    Attributes
    ----------
    exponents : ndarray of float, shape (k + 1,)
        The edges of the bins, as powers of ten; the last is 0, an error of 1.
    counts : ndarray of int, shape (k,)
        The number of entries in each bin. The first bin holds smaller errors, too.
    n_exact, n_not_finite : int
        The number of entries that agree to the last bit, and of entries with a value that is not
        finite.
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
        Relative errors from `relative_error`.
    exponents : ndarray, increasing
        The edges of the bins, as powers of ten.
    """
    finite = np.isfinite(errors)
    ordinary = errors[finite & (errors > 0)]
    inside = np.clip(np.log10(ordinary), exponents[0], exponents[-1])
    counts, _ = np.histogram(inside, exponents)
    return ErrorHistogram(exponents, counts, int(np.sum(errors == 0)), int(np.sum(~finite)))


def in_words(errors: Vector) -> str:
    """Return the number of relative errors in each band of the thresholds."""
    correct, inspect, bug = THRESHOLDS
    counts = [
        (np.sum(errors == 0), "exactly equal"),
        (np.sum((errors > 0) & (errors < correct)), f"below {correct:g}"),
        (np.sum((errors >= correct) & (errors < inspect)), f"from {correct:g} to {inspect:g}"),
        (np.sum((errors >= inspect) & (errors < bug)), f"from {inspect:g} to {bug:g}"),
        (np.sum(errors >= bug), f"at {bug:g} or more"),
        (np.sum(~np.isfinite(errors)), "not finite"),
    ]
    return ", ".join(f"{count} {words}" for count, words in counts if count) or "none"
