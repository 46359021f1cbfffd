"""Recognises the shape of a mismatch from arrays alone and names the cause.

A cause is named only where it explains every entry of a parameter within its error bar, and the
simplest that does is taken. A wrong name is worse than none: what fits nothing is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.comparison import Comparison
from gradcheck_magic.errors import listed
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Parameter

__all__ = ["Cause", "Diagnosis", "diagnose"]

Vector = NDArray[np.float64]
Details = dict[str, float]

# What remains unexplained may be this large beside the entry, besides its error bar: the
# truncation of a step of 1e-7 is far smaller, a genuine second mistake is rarely so small.
TOLERANCE = 1e-6
# An entry tells something about a factor only if it stands out from its error bar, and one entry
# alone tells nothing: it is always some factor of the other.
STANDS_OUT = 10.0
TELLING = 2
# Numbers of examples and the like; beyond it, a factor is no simple fraction.
LARGEST_READ = 100_000
WHOLE = 1e-5


class Cause(Enum):
    """What is wrong with a gradient; the value describes it.

    Recognised so far are SIGN, SCALE, TRANSPOSED, ZERO, ENTRIES and COST_IGNORES_PARAMETERS; the
    others are UNKNOWN until they are.
    """

    SIGN = "the opposite sign"
    SCALE = "a constant factor"
    TRANSPOSED = "the transpose"
    SWAPPED = "the gradient of another parameter"
    ZERO = "zero where the cost changes"
    REGULARIZATION = "a term in proportion to the parameter, missing or too many"
    BROADCAST = "a sum over the wrong axis"
    SLICE = "a row, a column or a block"
    ENTRIES = "some entries wrong, the others right"
    MASK = "not zero where an activation lets nothing through"
    UPSTREAM = "everything before one place in the backward pass"
    STALE = "the gradient of parameters that have been updated since"
    COST_IGNORES_PARAMETERS = "not zero where the cost does not change"
    UNKNOWN = "no simple cause"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, where, and what to look at.

    Attributes
    ----------
    cause : Cause
        What the numbers support.
    names : tuple of str
        The parameters concerned.
    sentence : str
        For a person.
    details : dict
        The evidence in numbers, such as ``factor`` and ``cosine``.
    """

    cause: Cause
    names: tuple[str, ...]
    sentence: str
    details: Details


@dataclass(frozen=True)
class _Mismatch:
    """One wrong parameter, all its entries measured."""

    parameter: Parameter
    gradient_name: str
    analytic: Vector
    numerical: Vector
    uncertainty: Vector
    n_wrong: int

    def explained_by(self, model: Vector, bar: Vector) -> bool:
        """Whether `model`, made from the numerical values, gives the analytic ones."""
        allowed = bar + TOLERANCE * np.abs(model)
        return bool(np.all(np.abs(self.analytic - model) <= allowed))

    def informative(self) -> int:
        """Count the entries that stand out from their error bars."""
        return int(np.sum(np.abs(self.numerical) > STANDS_OUT * self.uncertainty))


def diagnose(
    pairing: Pairing, comparison: Comparison, numerical: Vector, uncertainty: Vector
) -> tuple[Diagnosis, ...]:
    """Name the cause for every parameter that has wrong entries.

    Parameters
    ----------
    pairing : Pairing
        The parameters and the analytic gradient.
    comparison : Comparison
        Which entries are wrong.
    numerical, uncertainty : ndarray
        Over the entries measured, the first ones of `pairing.indices`.

    Returns
    -------
    tuple of Diagnosis
        In the order of the parameters; one diagnosis for all that share a cause and its factor.
    """
    found: dict[tuple[Cause, str], list[tuple[_Mismatch, Details]]] = {}
    for mismatch in _mismatches(pairing, comparison, numerical, uncertainty):
        cause, details = _cause(mismatch)
        factor = _factor_text(details, mismatch) if cause is Cause.SCALE else ""
        apart = "" if cause in _SHARED else mismatch.parameter.name
        found.setdefault((cause, factor + apart), []).append((mismatch, details))
    return tuple(_diagnosis(cause, group) for (cause, _), group in found.items())


_SHARED = {Cause.SIGN, Cause.SCALE, Cause.ZERO, Cause.COST_IGNORES_PARAMETERS}


def _mismatches(
    pairing: Pairing, comparison: Comparison, numerical: Vector, uncertainty: Vector
) -> Iterable[_Mismatch]:
    analytic = pairing.analytic
    found = zip(pairing.parts(), pairing.gradient_names, comparison.parameters, strict=True)
    for (parameter, part), gradient_name, check in found:
        if check.n_wrong and check.n_measured == parameter.size:
            yield _Mismatch(
                parameter,
                gradient_name,
                analytic[part],
                numerical[part],
                uncertainty[part],
                check.n_wrong,
            )


def _cause(mismatch: _Mismatch) -> tuple[Cause, Details]:
    """The simplest cause that explains every entry, with its evidence."""
    for cause, recognise in _RECOGNISERS:
        details = recognise(mismatch)
        if details is not None:
            return cause, details
    return Cause.UNKNOWN, _evidence(mismatch)


def _not_finite(mismatch: _Mismatch) -> Details | None:
    finite = np.all(np.isfinite(mismatch.analytic)) and np.all(np.isfinite(mismatch.numerical))
    return None if finite else {"n_wrong": mismatch.n_wrong}


def _cost_constant(mismatch: _Mismatch) -> Details | None:
    return None if mismatch.numerical.any() else {}


def _zero(mismatch: _Mismatch) -> Details | None:
    return None if mismatch.analytic.any() else {}


def _scale(mismatch: _Mismatch) -> Details | None:
    unit = np.abs(mismatch.numerical).max()  # lest the squares of huge entries overflow
    analytic, numerical = mismatch.analytic / unit, mismatch.numerical / unit
    factor = float(analytic @ numerical / (numerical @ numerical))
    if mismatch.informative() < TELLING:
        return None
    if not mismatch.explained_by(factor * mismatch.numerical, abs(factor) * mismatch.uncertainty):
        return None
    return {"factor": factor}


def _sign(mismatch: _Mismatch) -> Details | None:
    details = _scale(mismatch)
    if details is None:
        return None
    allowed = max(TOLERANCE, 2 * _factor_uncertainty(mismatch))
    return details if abs(details["factor"] + 1) <= allowed else None


def _transposed(mismatch: _Mismatch) -> Details | None:
    shape = mismatch.parameter.shape
    if shape != shape[::-1] or len(shape) == 1 or mismatch.informative() < TELLING:
        return None
    model, bar = (x.reshape(shape).T.ravel() for x in (mismatch.numerical, mismatch.uncertainty))
    return {} if mismatch.explained_by(model, bar) else None


def _some_entries(mismatch: _Mismatch) -> Details | None:
    few = mismatch.n_wrong <= mismatch.parameter.size // 2
    return {"n_wrong": mismatch.n_wrong} if few else None


def _evidence(mismatch: _Mismatch) -> Details:
    # In units of the largest entry, lest the squares of huge ones overflow.
    units = np.abs(mismatch.analytic).max(), np.abs(mismatch.numerical).max()
    analytic, numerical = mismatch.analytic / units[0], mismatch.numerical / units[1]
    lengths = np.linalg.norm(analytic), np.linalg.norm(numerical)
    return {
        "n_wrong": mismatch.n_wrong,
        "cosine": float(analytic @ numerical / (lengths[0] * lengths[1])),
        "ratio": float(lengths[0] / lengths[1] * (units[0] / units[1])),
    }


# The simplest cause first: what it explains is not looked at again.
_RECOGNISERS: tuple[tuple[Cause, Callable[[_Mismatch], Details | None]], ...] = (
    (Cause.ENTRIES, _not_finite),
    (Cause.COST_IGNORES_PARAMETERS, _cost_constant),
    (Cause.ZERO, _zero),
    (Cause.SIGN, _sign),
    (Cause.SCALE, _scale),
    (Cause.TRANSPOSED, _transposed),
    (Cause.ENTRIES, _some_entries),
)


def _factor_uncertainty(mismatch: _Mismatch) -> float:
    unit = np.abs(mismatch.numerical).max()
    return float(
        np.linalg.norm(mismatch.uncertainty / unit) / np.linalg.norm(mismatch.numerical / unit)
    )


def _factor_text(details: Details, mismatch: _Mismatch) -> str:
    """The factor with four digits, or as many as the error bars support."""
    supported = -np.log10(max(_factor_uncertainty(mismatch), 1e-16))
    # Enough to tell it from 1, and never more than is known.
    apart = abs(details["factor"] - 1)
    wanted = max(4, 2 - np.floor(np.log10(apart))) if apart else 4
    return f"{details['factor']:#.{int(np.clip(wanted, 3, max(3, supported)))}g}"


def _diagnosis(cause: Cause, group: list[tuple[_Mismatch, Details]]) -> Diagnosis:
    mismatches = [mismatch for mismatch, _ in group]
    details = group[0][1]
    names = tuple(mismatch.parameter.name for mismatch in mismatches)
    return Diagnosis(cause, names, _sentence(cause, mismatches, details), details)


def _sentence(cause: Cause, mismatches: list[_Mismatch], details: Details) -> str:
    first = mismatches[0]
    gradients = listed(mismatch.gradient_name for mismatch in mismatches)
    verb = "is" if len(mismatches) == 1 else "are"
    where = f"Look at where {gradients} {verb} formed."
    everywhere = f", in {_everywhere(mismatches)}"
    if cause is Cause.SIGN:
        return (
            f"{gradients} {verb} −1 times the numerical gradient{everywhere}: the opposite sign. "
            f"{where}"
        )
    if cause is Cause.SCALE:
        text = _factor_text(details, first)
        return (
            f"{gradients} {verb} {text} times the numerical gradient{everywhere}. "
            f"{_reading(details['factor'])}{where}"
        )
    if cause is Cause.TRANSPOSED:
        return f"{gradients} is the transpose of the numerical gradient. {where}"
    if cause is Cause.ZERO:
        return (
            f"{gradients} {verb} zero everywhere, and the cost does change with "
            f"{listed(m.parameter.name for m in mismatches)}: never assigned, or a path forgotten."
        )
    if cause is Cause.COST_IGNORES_PARAMETERS:
        return (
            f"The cost does not change with {listed(m.parameter.name for m in mismatches)} at "
            f"all, and {gradients} {verb} not zero: does the cost use it?"
        )
    return _uncertain_sentence(cause, first, details)


def _everywhere(mismatches: list[_Mismatch]) -> str:
    """In words, the entries that a factor explains: zeros are any factor of each other."""
    size = sum(mismatch.parameter.size for mismatch in mismatches)
    zero = sum(int(np.sum((m.analytic == 0) & (m.numerical == 0))) for m in mismatches)
    return f"all {size - zero} entries that are not zero" if zero else f"all {size} entries"


def _uncertain_sentence(cause: Cause, mismatch: _Mismatch, details: Details) -> str:
    size = mismatch.parameter.size
    gradient = f"`{mismatch.gradient_name}`"
    lost = int(np.sum(~np.isfinite(mismatch.analytic)))
    if lost:
        return (
            f"{gradient} is nan or infinite in {lost} of {size} entries. "
            "Look for a division by zero or an overflow."
        )
    if cause is Cause.ENTRIES:
        return (
            f"{gradient} is wrong in {mismatch.n_wrong} of {size} entries and right in the others. "
            f"Look at what {gradient} sums over, and at the entries listed."
        )
    if size == 1:
        factor = details["ratio"] * np.sign(details["cosine"])
        return f"{gradient} is {factor:.4g} times the numerical value; one entry does not tell why."
    return (
        f"{gradient} is wrong in {mismatch.n_wrong} of {size} entries, with no simple cause: its "
        f"cosine with the numerical gradient is {details['cosine']:.3f}, and it is "
        f"{details['ratio']:.3g} times as long."
    )


def _reading(factor: float) -> str:
    """What a factor is usually a sign of; nothing where it is no whole number or part of one."""
    if _is_whole(factor, 2):
        return "A factor 2: the derivative of a square, or a term added twice? "
    if _is_whole(1 / factor, 2):
        return "A factor ½: a missing 2 from the derivative of a square? "
    if _is_whole(factor):
        n = round(factor)
        return f"A factor {n}: {n}/m instead of 1/m, or a mean forgotten? "
    if _is_whole(1 / factor):
        return f"A factor 1/{round(1 / factor)}: divided once too often, or a mean too many? "
    return ""


def _is_whole(factor: float, number: int | None = None) -> bool:
    if not 1 < factor <= LARGEST_READ:
        return False
    whole = number or round(factor)
    return whole > 1 and abs(factor - whole) <= WHOLE * factor
