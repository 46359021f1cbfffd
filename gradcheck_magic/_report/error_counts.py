"""The histogram of relative errors, as counts and in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck_magic._result.verdict import THRESHOLDS

__all__ = ["error_counts", "in_words"]

Vector = NDArray[np.float64]


def error_counts(errors: Vector, exponents: ArrayLike) -> NDArray[np.intp]:
    """Count relative errors in bins between powers of ten; every entry is in exactly one count.

    Parameters
    ----------
    errors : ndarray
        Relative errors from `relative_error`.
    exponents : array_like, increasing, shape (k + 1,)
        The edges of the bins, as powers of ten; the last is 0, an error of 1.

    Returns
    -------
    ndarray of int, shape (k + 2,)
        The entries that agree to the last bit, those in each bin (the first one holds smaller
        errors, too), and those with a value that is not finite.
    """
    edges, finite = np.asarray(exponents), np.isfinite(errors)
    ordinary = errors[finite & (errors > 0)]
    counts, _ = np.histogram(np.clip(np.log10(ordinary), edges[0], edges[-1]), edges)
    return np.array([np.sum(errors == 0), *counts, np.sum(~finite)])


def in_words(errors: Vector) -> str:
    """Return the number of relative errors in each band of the thresholds."""
    correct, inspect, bug = THRESHOLDS
    bands = (
        "exactly equal",
        f"below {correct:g}",
        f"from {correct:g} to {inspect:g}",
        f"from {inspect:g} to {bug:g}",
        f"at {bug:g} or more",
        "not finite",
    )
    # No error above zero is below 1e-400.
    counts = error_counts(errors, [-400.0, *np.log10(THRESHOLDS), 0.0])
    told = (f"{count} {band}" for count, band in zip(counts, bands, strict=True) if count)
    return ", ".join(told) or "none"
