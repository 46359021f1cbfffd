"""Recognises the cause of a mismatch from the arrays of one parameter alone.

The simplest cause that explains every entry is chosen; if none does, nothing is recognised.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.finding import Finding
from gradcheck_magic._diagnosis.mismatch import COINCIDENCE, TOLERANCE, Mismatch, Sample, norm
from gradcheck_magic._diagnosis.notebook_numbers import NotebookNumbers
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.cause import Cause, Details

__all__ = [
    "ANY_NUMBER",
    "clipped",
    "exchanged",
    "extended",
    "recognise_cause",
    "regularised",
    "same_total",
    "scaled",
    "similarity",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

# One entry is always a multiple of another. Two may be as well, whatever is wrong: the scores of
# two classes have opposite gradients, correct or wrong.
TELLING_ENTRIES = 2
ANY_NUMBER = 3
# A factor may be taken for one that has a meaning if its relative uncertainty is at most this.
SHARPLY_KNOWN = 1e-2
# Small whole numbers and their reciprocals are tried as well if the uncertainty is this small.
SHARPER = 1e-5
WHOLE_FACTORS = (*map(float, range(3, 11)), *(1 / n for n in range(3, 11)))
# A value this small compared with the rest counts as zero: it is what rounding leaves of a zero.
NO_GRADIENT = 1e-14
# An error bar this small is needed to say that the measured value is exactly zero.
FLAT_SPREAD = 1e-3
# With more axes there are too many permutations, and nobody confuses them.
MOST_AXES = 4
# At most one entry of a matrix in this many counts as a few entries.
FEW_ENTRIES = 8
# The largest number of indices in the details.
MOST_INDICES = 100
# A shorter run of entries of a vector does not count as a block.
RUN = 3


def recognise_cause(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    """Return the simplest cause that explains the gradient of one parameter."""
    for recognise in _RECOGNISERS:
        finding = recognise(mismatch, numbers)
        if finding is not None:
            return finding
    return None


def extended(finding: Finding, mismatch: Mismatch) -> Finding | None:
    """Return a finding of other parameters with this one added, if their number explains it too.

    For a parameter with a single entry, this is the only evidence; and if a factor applies to
    everything but the regularisation, no other number needs to be known.
    """
    sample, details = mismatch.sample, finding.details
    wider = dataclasses.replace(finding, mismatches=(*finding.mismatches, mismatch))
    if finding.cause is Cause.REGULARIZATION:
        penalty = np.sign(sample.theta) if details["l1"] else sample.theta
        model = sample.numerical + details["strength"] * penalty
        return wider if sample.explained_by(model, sample.bar) else None
    if finding.cause not in {Cause.SIGN, Cause.SCALE, Cause.ZERO}:
        return None
    factor = details.get("factor", 0.0)
    bar = abs(factor) * sample.bar
    if sample.explained_by(factor * sample.numerical, bar):
        return wider
    rest = sample.analytic - factor * sample.numerical
    excess, uncertainty = sample.fitted(rest, sample.theta, bar + sample.rounding)
    model = factor * sample.numerical + excess * sample.theta
    # A penalty has the right sign: λ = excess / (1 − factor).
    if not excess * (1 - factor) > uncertainty or sample.stands_out.sum() < ANY_NUMBER:
        return None
    if not sample.explained_by(model, bar, free=1):
        return None
    penalised = [*details.get("penalised", ()), mismatch.name]
    return dataclasses.replace(wider, details={**details, "penalised": penalised})


def similarity(mismatch: Mismatch) -> Details:
    """Return cosine and length ratio of the two gradients, for a mismatch without simple cause."""
    sample = mismatch.sample
    known = sample.known & np.isfinite(sample.analytic)
    analytic, numerical = sample.analytic[known], sample.numerical[known]
    lengths = norm(analytic), norm(numerical)
    details: Details = {"n_wrong": int(mismatch.wrong.sum())}
    if all(lengths):
        cosine = float((analytic / lengths[0]) @ (numerical / lengths[1]))
        details |= {"cosine": cosine, "ratio": lengths[0] / lengths[1]}
    return details


# The recognisers of single causes, the simplest first


def _not_finite(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    lost = ~np.isfinite(mismatch.sample.analytic)
    if not lost.any():
        return None
    return _finding(
        Cause.ENTRIES, mismatch, n_not_finite=int(lost.sum()), indices=_wrong_indices(mismatch)
    )


def _cost_constant(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    sample = mismatch.sample
    known = sample.known
    flat = np.abs(sample.numerical) <= sample.bar
    sharp = sample.bar <= FLAT_SPREAD * norm(sample.analytic)
    if not known.all() or not np.all(flat & sharp):
        return None
    return _finding(Cause.COST_IGNORES_PARAMETERS, mismatch, within=float(sample.bar.max()))


def _zero(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    sample = mismatch.sample
    if np.max(np.abs(sample.analytic)) > NO_GRADIENT * norm(sample.numerical):
        return None
    return _finding(Cause.ZERO, mismatch)


def scaled(sample: Sample, numbers: NotebookNumbers) -> tuple[Cause, Details] | None:
    """Return SIGN or SCALE, and the factor, if one factor explains all entries."""
    telling = int((sample.stands_out & (sample.analytic != 0)).sum())
    if telling < TELLING_ENTRIES or not sample.analytic.any():
        return None
    # The error bars scale with the factor, so a first estimate of it is needed.
    factor, _ = sample.fitted(sample.analytic, sample.numerical, sample.allowed)
    if not np.isfinite(factor):
        return None
    bar = abs(factor) * sample.bar + sample.rounding
    factor, uncertainty = sample.fitted(sample.analytic, sample.numerical, bar)
    candidates: list[tuple[float, int]] = [(factor, 1)] if telling >= ANY_NUMBER else []
    if uncertainty <= SHARPLY_KNOWN * abs(factor):
        values = numbers.factors + (WHOLE_FACTORS if uncertainty <= SHARPER * abs(factor) else ())
        meant = (value for value in values if abs(value - factor) <= 2 * uncertainty)
        candidates = [*((value, 0) for value in meant), *candidates]
    for value, free in candidates:
        if sample.explained_by(value * sample.numerical, abs(value) * sample.bar, free=free):
            cause = Cause.SIGN if value == -1 else Cause.SCALE
            # The factor is the meant value where that is known; its uncertainty is measured.
            return cause, {"factor": value, "factor_uncertainty": uncertainty}
    return None


def _scaled(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    found = scaled(mismatch.sample, numbers)
    return Finding(found[0], (mismatch,), found[1]) if found else None


def _rearranged(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    sample = mismatch.sample
    enough = TELLING_ENTRIES if len(mismatch.squeezed) > 1 else ANY_NUMBER
    if sample.stands_off.sum() < enough:
        return None
    for how, order in rearrangements(mismatch.shape):
        if sample.explained_by(sample.numerical[order], sample.bar[order]):
            return _finding(Cause.TRANSPOSED, mismatch, **how)
    return None


def _reordered(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    """Recognise the same values in any other order."""
    sample = mismatch.sample
    if sample.stands_off.sum() < ANY_NUMBER or not sample.known.all():
        return None
    if np.all(np.abs(np.abs(sample.analytic) - np.abs(sample.numerical)) <= sample.allowed):
        # Only signs differ.
        return None
    order, places = np.argsort(sample.analytic), np.argsort(sample.numerical)
    if np.array_equal(order, places):
        # The order is the same: the values are only inexact, as with 3.14159 for π.
        return None
    ranked = Sample(
        sample.analytic[order],
        sample.numerical[places],
        sample.theta,
        sample.bar[places],
        sample.rounding,
        # Neighbouring values are this close by chance.
        np.full(len(sample), max(float(np.median(np.diff(sample.numerical[places]))), 1e-300)),
    )
    if not ranked.explained_by(ranked.numerical, ranked.bar):
        return None
    return _finding(Cause.TRANSPOSED, mismatch, how="reordered", axes=())


def rearrangements(shape: Sequence[int]) -> Iterator[tuple[Details, Indices]]:
    """Yield ways to mix up the axes of an array, and the order of entries each leads to."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    seen = {hash(places.tobytes())}
    for how, mixed in _mixed(places):
        key = hash(mixed.tobytes())
        if key not in seen:
            seen.add(key)
            yield how, mixed.ravel()


def _mixed(places: Indices) -> Iterator[tuple[Details, Indices]]:
    axes = range(places.ndim)
    if places.ndim <= MOST_AXES:
        orders = list(itertools.permutations(axes))
        for order in orders:
            if tuple(places.shape[axis] for axis in order) == places.shape:
                yield {"how": "transposed", "axes": order}, places.transpose(order)
        for order in orders:
            # Reshaped where it should have been transposed, in both directions.
            yield {"how": "reshaped", "axes": order}, places.transpose(order).reshape(places.shape)
            moved = places.reshape([places.shape[axis] for axis in order])
            yield {"how": "reshaped", "axes": order}, moved.transpose(np.argsort(order))
        for count in range(1, places.ndim + 1):
            for flipped in itertools.combinations(axes, count):
                yield {"how": "flipped", "axes": flipped}, np.flip(places, flipped)
    for axis in axes:
        for shift in (1, -1):
            yield {"how": "shifted", "axes": (axis,)}, np.roll(places, shift, axis)


def regularised(sample: Sample, numbers: NotebookNumbers) -> Details | None:
    """Return the strength of a penalty whose gradient explains the error."""
    off = np.where(np.isfinite(sample.bar), sample.off, 0.0)
    for l1, penalty in ((False, sample.theta), (True, np.sign(sample.theta))):
        enough = ANY_NUMBER if l1 else TELLING_ENTRIES
        told = sample.stands_off & sample.stands_out
        if told.sum() < enough or np.all(penalty == penalty[0]):
            # A constant penalty is a mere shift; and entries that are zero tell nothing.
            continue
        strength, uncertainty = sample.fitted(off, penalty, sample.allowed)
        if not np.isfinite(strength) or abs(strength) <= 2 * uncertainty:
            continue
        free = 0 if numbers.strength(strength, 2 * uncertainty) else 1
        if sample.explained_by(sample.numerical + strength * penalty, sample.bar, free=free):
            return {"strength": strength, "strength_uncertainty": uncertainty, "l1": l1}
    return None


def _regularised(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    details = regularised(mismatch.sample, numbers)
    n_wrong = int(mismatch.wrong.sum())
    if details is None and mismatch.n_right == mismatch.size - n_wrong >= 1:
        # Some entries may be exempt from the penalty, as an intercept is. A factor is preferred.
        some = mismatch.where(mismatch.wrong).sample
        if n_wrong >= ANY_NUMBER and scaled(some, numbers) is None:
            details = regularised(some, numbers)
        if details is not None:
            details["n_wrong"] = n_wrong
    return Finding(Cause.REGULARIZATION, (mismatch,), details) if details else None


def clipped(sample: Sample, wrong: Mask) -> float | None:
    """Return the bound to which a gradient was clipped, if it was.

    All wrong entries are then at the bound, with measured values beyond it, and all entries within
    the bound are correct.
    """
    bound = float(np.max(np.abs(sample.analytic), initial=0.0))
    beyond = np.sign(sample.analytic) * sample.numerical > bound
    at_bound = np.abs(np.abs(sample.analytic) - bound) <= NO_GRADIENT * bound
    within = sample.stands_out & ~at_bound & ~wrong
    if (
        wrong.sum() < TELLING_ENTRIES
        or within.sum() < ANY_NUMBER
        or not np.all((at_bound & beyond)[wrong])
    ):
        return None
    return bound


def _scaled_but_for_penalty(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    """Recognise a factor of all but the regularisation: a · (d − λ θ) + λ θ, where λ is known."""
    sample = mismatch.sample
    usable = sample.known & np.isfinite(sample.analytic)
    if sample.stands_off[usable].sum() <= ANY_NUMBER:
        return None
    fitted = _fitted_to_both(sample, usable)
    if fitted is None:
        return None
    (factor, excess), (factor_width, excess_width) = fitted
    if factor_width > SHARPLY_KNOWN * abs(factor) or abs(factor - 1) <= SHARPLY_KNOWN:
        return None
    model = factor * sample.numerical + excess * sample.theta
    if not sample.explained_by(model, abs(factor) * sample.bar, free=2):
        return None
    strength = excess / (1 - factor)
    known = numbers.strength(strength, excess_width / abs(1 - factor))
    if strength <= 0 or known is None or not known.is_whole:
        return None
    meant = (value for value in numbers.factors if abs(value - factor) <= 2 * factor_width)
    factor = next(meant, factor)
    details: Details = {"factor": factor, "factor_uncertainty": factor_width}
    details["penalised"] = [mismatch.name]
    return Finding(Cause.SIGN if factor == -1 else Cause.SCALE, (mismatch,), details)


def _fitted_to_both(
    sample: Sample, usable: Mask
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return a and b in analytic ≈ a · numerical + b · θ, and their uncertainties.

    They are fitted by weighted least squares; None if θ or the numerical values are all zero.
    """
    # Scale both columns to about 1.
    units = np.array([norm(sample.numerical[usable]), norm(sample.theta[usable])])
    if not units.all():
        return None
    bar = np.maximum(sample.allowed[usable], NO_GRADIENT * units[0])
    columns = np.stack([sample.numerical, sample.theta], axis=1)[usable] / units / bar[:, None]
    inverse = np.linalg.pinv(columns.T @ columns)
    solution = inverse @ columns.T @ (sample.analytic[usable] / bar) / units
    # The error bars scale with the factor.
    widths = np.sqrt(np.diag(inverse)) / units * max(1.0, abs(solution[0]))
    (a, b), (a_width, b_width) = solution.tolist(), widths.tolist()
    return (a, b), (a_width, b_width)


def _constant_along_axes(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    """Recognise a gradient that is constant along an axis: the sum or mean of the correct one."""
    sample, shape = mismatch.sample, mismatch.shape
    if not sample.known.all() or sample.stands_out.sum() < ANY_NUMBER:
        return None
    analytic, numerical, bar = (
        x.reshape(shape) for x in (sample.analytic, sample.numerical, sample.bar)
    )
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            if np.any(np.ptp(analytic, axis=axes) > NO_GRADIENT * np.abs(analytic).max()):
                continue
            for what in ("sum", "mean"):
                model, width = (
                    np.broadcast_to(getattr(x, what)(axes, keepdims=True), shape).ravel()
                    for x in (numerical, bar)
                )
                if np.abs(model).max() > 0 and sample.explained_by(model, width):
                    details: Details = {"how": what, "axes": axes}
                    return Finding(Cause.BROADCAST, (mismatch,), details)
    return None


def _masked(mismatch: Mismatch, _: NotebookNumbers) -> Finding | None:
    """Recognise rows or columns in which only the measured gradient is exactly zero."""
    if len(mismatch.squeezed) < 2:  # noqa: PLR2004 (rows and columns)
        return None
    sample, shape = mismatch.sample, mismatch.shape
    typical = norm(sample.numerical[sample.known])
    flat = (np.abs(sample.numerical) <= sample.bar) & (sample.bar <= FLAT_SPREAD * typical)
    # Where an input is zero, the gradient is zero with or without a mask.
    silent = flat & (np.abs(sample.analytic) <= sample.allowed)
    for axis in reversed(range(len(shape))):
        others = tuple(k for k in range(len(shape)) if k != axis)
        through = flat.reshape(shape).all(axis=others)
        through &= (mismatch.wrong | silent).reshape(shape).all(axis=others)
        # A single wrong entry does not make a row or a column.
        through &= 2 * mismatch.wrong.reshape(shape).sum(axis=others) >= max(
            len(sample) // shape[axis], 4
        )
        closed = np.flatnonzero(through)
        if 0 < len(closed) < shape[axis]:
            inside = np.isin(_index_along(shape, axis), closed)
            firm = not np.any(mismatch.wrong & ~inside)
            units = mismatch.places(axis, closed)
            return _finding(Cause.MASK, mismatch, firm=firm, axis=axis, indices=units)
    return None


def _index_along(shape: Sequence[int], axis: int) -> Indices:
    """Return the index along an axis of each entry, in C order."""
    index: Indices = np.indices(shape)[axis].ravel()
    return index


def _block(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    """Recognise a wrong row, column or block among correct ones."""
    block = _enclosing_block(mismatch)
    if block is None:
        return None
    sides, inside = block
    part = mismatch.where(inside)
    within = _zero(part, numbers) or _scaled(part, numbers)
    if within is None and 2 * mismatch.wrong.sum() > mismatch.size:
        # If more than half is wrong, the block is not an exception worth naming.
        return None
    places = [mismatch.places(axis, side) for axis, side in enumerate(sides)]
    details: Details = {"sides": places, "n_right": mismatch.n_right}
    if within:
        details |= {"within": within.cause.name, **within.details}
    return _finding(Cause.SLICE, mismatch, firm=within is not None, **details)


def _enclosing_block(mismatch: Mismatch) -> tuple[list[Indices], Mask] | None:
    """Return the smallest block that holds all wrong entries, if it holds no correct ones."""
    shape = mismatch.shape
    if not shape:
        return None
    wrong = mismatch.wrong.reshape(shape)
    where = np.nonzero(wrong)
    sides = [np.unique(indices) for indices in where]
    inside = np.zeros(shape, dtype=bool)
    inside[np.ix_(*sides)] = True
    sample = mismatch.sample
    # An entry that is zero is not evidence of a correct gradient.
    right = (sample.is_nonzero & mismatch.right).reshape(shape)
    if inside.sum() == 1 or np.any(inside & right) or not np.any(right):
        return None
    if len(mismatch.squeezed) == 1 and not _is_run(inside.ravel()):
        return None
    # Extend the block to whole rows and columns if the missing entries have no gradient, or were
    # not measured by the scan.
    unknown = ~right & ~sample.known.reshape(shape)
    sides = [
        np.arange(length)
        if not np.any(np.delete(right, side, axis)) or _is_unknown_beyond(unknown, sides, axis)
        else side
        for axis, (side, length) in enumerate(zip(sides, shape, strict=True))
    ]
    return sides, inside.ravel()


def _is_unknown_beyond(unknown: Mask, sides: Sequence[Indices], axis: int) -> bool:
    """Return True if nothing is known about the rest of a block's rows or columns."""
    beyond = np.delete(np.arange(unknown.shape[axis]), sides[axis])
    around = np.ix_(*sides[:axis], beyond, *sides[axis + 1 :])
    return bool(len(beyond) and np.all(unknown[around]))


def _is_run(mask: Mask) -> bool:
    places = np.flatnonzero(mask)
    return len(places) >= RUN and bool(np.ptp(places) == len(places) - 1)


def _some_entries(mismatch: Mismatch, numbers: NotebookNumbers) -> Finding | None:
    if mismatch.wrong.sum() > mismatch.n_right:
        return None
    # In a vector, or if there are many in a matrix, the wrong entries may be those of some units:
    # an error closer to the output may be confined to these.
    firm = len(mismatch.squeezed) > 1 and FEW_ENTRIES * mismatch.wrong.sum() <= mismatch.size
    details: Details = {"n_wrong": int(mismatch.wrong.sum()), "indices": _wrong_indices(mismatch)}
    details["n_right"] = mismatch.n_right
    if _zero(mismatch.where(mismatch.wrong), numbers):
        details["within"] = Cause.ZERO.name
    return _finding(Cause.ENTRIES, mismatch, firm=firm, **details)


def _wrong_indices(mismatch: Mismatch) -> list[tuple[int, ...]]:
    """Return the indices of the first wrong entries."""
    return [mismatch.index(int(k)) for k in np.flatnonzero(mismatch.wrong)[:MOST_INDICES]]


def _finding(cause: Cause, mismatch: Mismatch, *, firm: bool = True, **details: object) -> Finding:
    return Finding(cause, (mismatch,), dict(details), firm)


# The first recogniser that explains a gradient decides.
_RECOGNISERS: tuple[Callable[[Mismatch, NotebookNumbers], Finding | None], ...] = (
    _not_finite,
    _cost_constant,
    _zero,
    _scaled,
    _rearranged,
    _reordered,
    _regularised,
    _scaled_but_for_penalty,
    _constant_along_axes,
    _masked,
    _block,
    _some_entries,
)


# Causes that involve other parameters


def same_total(mismatch: Mismatch, among: Sequence[Mismatch]) -> Finding | None:
    """Recognise a vector with other entries but the same total: a sum over the wrong axis.

    The array that was summed is square. The vector is the gradient of a bias, and the gradients of
    the weights, computed from the same array, are correct.
    """
    sample = mismatch.sample
    if len(mismatch.squeezed) != 1 or not sample.known.all():
        return None
    if not any(
        m.is_compared and not m.is_wrong and len(m.squeezed) > 1 and mismatch.size in m.squeezed
        for m in among
    ):
        return None
    totals = (
        np.atleast_1d(getattr(sample, field.name).sum()) for field in dataclasses.fields(sample)
    )
    whole = dataclasses.replace(Sample(*totals), spread=np.atleast_1d(norm(sample.off)))
    if whole.stands_out.all() and whole.explained_by(whole.numerical, whole.bar):
        return _finding(Cause.BROADCAST, mismatch, how="axis", total=float(whole.numerical[0]))
    return None


def exchanged(mismatches: Sequence[Mismatch], among: Sequence[Mismatch]) -> list[Finding]:
    """Find the gradients that belong to other parameters.

    Parameters
    ----------
    mismatches : sequence of Mismatch
        The parameters that nothing simpler explains.
    among : sequence of Mismatch
        All parameters.
    """
    found = {id(m): found for m in mismatches if (found := _owner(m, among)) is not None}
    owners = {key: owner for key, (owner, _) in found.items()}
    findings = []
    for group in _exchange_groups([m for m in mismatches if id(m) in owners], owners):
        entries = sum(m.size for m in group)
        chance = sum(found[id(m)][1] for m in group)
        if entries >= TELLING_ENTRIES and chance <= COINCIDENCE:
            details: Details = {"owners": [owners[id(m)].name for m in group]}
            findings.append(Finding(Cause.SWAPPED, tuple(group), details))
    return findings


def _owner(mismatch: Mismatch, among: Sequence[Mismatch]) -> tuple[Mismatch, float] | None:
    """Return the parameter whose numerical gradient this is, and log₁₀ of a chance agreement."""
    sample = mismatch.sample
    others = [m for m in among if m is not mismatch and _may_own(m, mismatch)]
    chances = [sample.chance(m.sample.numerical, m.sample.bar) for m in others]
    best = min(range(len(others)), key=chances.__getitem__, default=None)
    return None if best is None or chances[best] == 0 else (others[best], chances[best])


def _may_own(owner: Mismatch, mismatch: Mismatch) -> bool:
    """Return True if size and first entry agree: a fast test that few parameters pass."""
    if owner.size != mismatch.size or len(owner.sample) != len(mismatch.sample) or not owner.size:
        return False
    one, other = mismatch.sample, owner.sample
    allowed = other.bar[0] + one.rounding[0] + TOLERANCE * abs(other.numerical[0])
    return not abs(one.analytic[0] - other.numerical[0]) > CLEAR * allowed


def _exchange_groups(
    mismatches: list[Mismatch], owners: dict[int, Mismatch]
) -> list[list[Mismatch]]:
    """Group the parameters that exchange gradients, each group in the order of the parameters."""
    groups: list[list[Mismatch]] = []
    for mismatch in mismatches:
        linked = [
            group
            for group in groups
            if owners[id(mismatch)] in group or any(owners[id(m)] is mismatch for m in group)
        ]
        merged = [*itertools.chain.from_iterable(linked), mismatch]
        groups = [group for group in groups if group not in linked] + [merged]
    return groups
