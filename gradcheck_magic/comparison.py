"""Analytic against numerical: entries, parameters, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Parameter

__all__ = [
    "THRESHOLDS",
    "Comparison",
    "Entry",
    "ErrorHistogram",
    "ParameterCheck",
    "Verdict",
    "badness",
    "compare",
    "error_histogram",
    "relative_difference",
    "relative_error",
]

Vector = NDArray[np.float64]

# The bands of the textbook code: correct below the first, worth inspecting below the second; the
# third is a mark for the reader, above which nobody doubts a bug.
THRESHOLDS = (1e-7, 1e-5, 1e-3)
# What rounding may do to a backpropagated entry, in proportion to the largest of them.
ROUNDING = 8 * float(np.finfo(np.float64).eps)


class Verdict(Enum):
    """What the numbers say; the value is the sentence that a person reads."""

    CORRECT = "Backpropagation is correct."
    INSPECT = "Backpropagation is mostly correct, but worth inspecting."
    BUG = "There is a bug in backpropagation."
    INCONCLUSIVE = "The finite differences cannot tell."

    @property
    def symbol(self) -> str:
        """A mark that does not rely on colour."""
        return {"CORRECT": "✓", "INSPECT": "!", "BUG": "✗", "INCONCLUSIVE": "?"}[self.name]


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient.

    Attributes
    ----------
    label : str
        ``W2[3, 1]``.
    index : tuple of int
        Its index in its parameter.
    analytic, numerical, uncertainty : float
        The backpropagated value, the measured one, and the error bar of the latter.
    """

    label: str
    index: tuple[int, ...]
    analytic: float
    numerical: float
    uncertainty: float


@dataclass(frozen=True)
class ParameterCheck:
    """The gradient of one parameter.

    Attributes
    ----------
    name, shape, size
        Of the parameter.
    verdict : Verdict
        On this parameter alone.
    difference : float
        ‖approx − grad‖₂ / (‖approx‖₂ + ‖grad‖₂), over the entries of this parameter that have a
        quotient; `approx` is the textbook's, over the nominal step.
    n_measured, n_wrong : int
        How many entries were measured, and how many of these disagree.
    worst : Entry or None
        The entry that is furthest off; None where none was measured.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    verdict: Verdict
    difference: float
    n_measured: int
    n_wrong: int
    worst: Entry | None


@dataclass(frozen=True)
class Comparison:
    """All that was compared.

    Attributes
    ----------
    verdict : Verdict
        On the whole gradient.
    difference : float
        Over all entries measured.
    parameters : tuple of ParameterCheck
        In the order of θ.
    wrong : ndarray of bool, shape (m,)
        Which of the entries measured disagree.
    wrong_entries : tuple of (str, tuple of int)
        The parameter's name and the index in it of each of these, worst first.
    """

    verdict: Verdict
    difference: float
    parameters: tuple[ParameterCheck, ...]
    wrong: NDArray[np.bool_]
    wrong_entries: tuple[tuple[str, tuple[int, ...]], ...]


def relative_difference(numerical: NDArray[Any], analytic: NDArray[Any]) -> float:
    """‖numerical − analytic‖₂ / (‖numerical‖₂ + ‖analytic‖₂), and 0.0 where both are zero.

    It is nan where an entry is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        if scale == 0:
            return 0.0
        if np.isinf(scale):
            # The squares of huge entries overflow: the ratio itself is the same in smaller units.
            unit = max(np.abs(numerical).max(), np.abs(analytic).max())
            numerical, analytic = numerical / unit, analytic / unit
            scale = np.linalg.norm(numerical) + np.linalg.norm(analytic)
        return float(np.linalg.norm(numerical - analytic) / scale)


def relative_error(numerical: NDArray[Any], analytic: NDArray[Any]) -> Vector:
    """|numerical − analytic| / (|numerical| + |analytic|) for each entry.

    It is 0 where both are zero, at most 1, and nan where one of them is not finite.
    """
    # Halves, because the sum of two huge entries overflows.
    scale = np.abs(numerical / 2) + np.abs(analytic / 2)
    relative: Vector = np.where(scale == 0, 0.0, np.nan)
    with np.errstate(invalid="ignore"):
        np.divide(np.abs(numerical / 2 - analytic / 2), scale, out=relative, where=scale > 0)
    return relative


def badness(analytic: Vector, numerical: Vector, wrong: NDArray[np.bool_]) -> Vector:
    """How far off each entry is, for ranking: a wrong one before all that round-off explains.

    First come entries whose analytic value is not finite, last those that were not measured.
    """
    error = np.where(np.isfinite(numerical), relative_error(numerical, analytic), -1.0)
    return np.where(np.isfinite(analytic), error + 2.0 * wrong, np.inf)


def compare(
    pairing: Pairing, textbook: Vector, numerical: Vector, uncertainty: Vector
) -> Comparison:
    """Judge the analytic gradient by the numerical one.

    Parameters
    ----------
    pairing : Pairing
        The parameters and the analytic gradient.
    textbook : ndarray, shape (m,)
        The quotients over the nominal step, of the first m entries of `pairing.indices`: they
        give the differences, where they are finite.
    numerical, uncertainty : ndarray, shape (m,)
        The best values known, and their error bars: they tell which entries are wrong.
    """
    m = len(numerical)
    analytic = pairing.analytic[:m]
    textbook = np.where(np.isfinite(textbook), textbook, numerical)
    wrong = _is_wrong(analytic, numerical, uncertainty)
    checks, ranked = [], []
    for parameter, part in pairing.parts(m):
        entries = _Entries(
            parameter, analytic[part], numerical[part], uncertainty[part], wrong[part]
        )
        checks.append(_compare_parameter(entries, textbook[part]))
        ranked.extend(entries.wrong_ones())
    ranked.sort(key=lambda entry: -entry[0])
    difference = _difference(textbook, analytic)
    verdict = _verdict(textbook, analytic, numerical)
    if verdict is Verdict.CORRECT and not (analytic.any() or numerical.any()):
        verdict = Verdict.INCONCLUSIVE
    wrong_entries = tuple(name for _, name in ranked)
    return Comparison(verdict, difference, tuple(checks), wrong, wrong_entries)


@dataclass(frozen=True)
class _Entries:
    """The measured entries of one parameter, in C order."""

    parameter: Parameter
    analytic: Vector
    numerical: Vector
    uncertainty: Vector
    wrong: NDArray[np.bool_]

    def worst(self) -> Entry | None:
        """The entry that is furthest off; a wrong one before all that round-off explains."""
        if not self.analytic.size:
            return None
        k = int(np.argmax(badness(self.analytic, self.numerical, self.wrong)))
        return Entry(
            self.parameter.label(k),
            self.parameter.index(k),
            float(self.analytic[k]),
            float(self.numerical[k]),
            float(self.uncertainty[k]),
        )

    def wrong_ones(self) -> list[tuple[float, tuple[str, tuple[int, ...]]]]:
        """Every wrong entry with how far off it is."""
        how_bad = badness(self.analytic, self.numerical, self.wrong)
        return [
            (float(how_bad[k]), (self.parameter.name, self.parameter.index(k)))
            for k in np.flatnonzero(self.wrong).tolist()
        ]


def _compare_parameter(entries: _Entries, textbook: Vector) -> ParameterCheck:
    difference = _difference(textbook, entries.analytic)
    verdict = _verdict(textbook, entries.analytic, entries.numerical)
    if verdict in {Verdict.INSPECT, Verdict.BUG} and _is_round_off(entries):
        verdict = Verdict.CORRECT
    if entries.analytic.size < entries.parameter.size and verdict is not Verdict.BUG:
        verdict = Verdict.INCONCLUSIVE
    return ParameterCheck(
        entries.parameter.name,
        entries.parameter.shape,
        entries.parameter.size,
        verdict,
        difference,
        entries.analytic.size,
        int(entries.wrong.sum()),
        entries.worst(),
    )


def _difference(textbook: Vector, analytic: Vector) -> float:
    """The relative difference over the entries that have a quotient."""
    finite = np.isfinite(textbook)
    return relative_difference(textbook[finite], analytic[finite])


def _verdict(textbook: Vector, analytic: Vector, numerical: Vector) -> Verdict:
    """The bands of the textbook code, and what it does not provide for."""
    if not np.all(np.isfinite(analytic)):
        return Verdict.BUG
    measured = np.isfinite(numerical)
    difference = relative_difference(textbook[measured], analytic[measured])
    correct, inspect, _ = THRESHOLDS
    if difference >= inspect:
        return Verdict.BUG
    if not np.all(measured):
        return Verdict.INCONCLUSIVE
    return Verdict.INSPECT if difference >= correct else Verdict.CORRECT


def _is_wrong(analytic: Vector, numerical: Vector, uncertainty: Vector) -> NDArray[np.bool_]:
    """Entries that disagree beyond their error bar, and by more than worth inspecting."""
    finite = np.isfinite(analytic)
    # The analytic gradient is rounded too: where the cost is zero, the bars alone are too small.
    bar = uncertainty + ROUNDING * np.max(np.abs(analytic), initial=0.0, where=finite)
    with np.errstate(invalid="ignore"):  # inf − inf
        beyond = np.abs(analytic - numerical) > bar
    wrong: NDArray[np.bool_] = beyond & (relative_error(numerical, analytic) >= THRESHOLDS[1])
    return wrong | ~finite


def _is_round_off(entries: _Entries) -> bool:
    """Whether the error bars explain the whole difference of a parameter."""
    if entries.wrong.any():
        return False
    error = np.linalg.norm(entries.numerical - entries.analytic)
    return bool(error <= np.linalg.norm(entries.uncertainty))


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
