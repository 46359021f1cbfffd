"""SLICE: a row, a column or a block is wrong, among correct entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._diagnosis.causes.scale import Scale, Zero
from gradcheck_magic._diagnosis.finding import Case, Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch
from gradcheck_magic._diagnosis.phrases import at_kinks, factor_text, numbered
from gradcheck_magic._result.cause import Cause

__all__ = ["Slice", "place_of"]

# If not every entry of a block was measured, the least number of wrong ones in each row or column.
SUPPORT = 4
# A shorter run of entries of a vector does not count as a block.
RUN = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(Finding):
    """A gradient that is wrong in a block, whose rows, columns and so on are its `sides`."""

    cause = Cause.SLICE

    sides: list[list[int]]
    n_right: int
    # "ZERO", "SIGN" or "SCALE", if that explains the block, and the factor.
    within: str | None = None
    factor: float | None = None
    factor_uncertainty: float = 0.0

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Slice | None:
        """Recognise a block that has a cause of its own, or else one that is an exception."""
        block = _block(mismatch)
        if block is None:
            return None
        sides, inside = block
        part = mismatch.where(inside)
        within = Zero.recognise(part, case) or Scale.of((part,), part.sample, case.numbers)
        if within is None and 2 * mismatch.wrong.sum() > mismatch.size:
            # If more than half is wrong, the block is not an exception worth naming.
            return None
        places = [mismatch.places(axis, side) for axis, side in enumerate(sides)]
        more = {"within": within.cause.name, **within.details} if within else {"firm": False}
        return cls((mismatch,), sides=places, n_right=mismatch.n_right, **more)

    @property
    def is_gate(self) -> bool:
        """True for one of the equal blocks, side by side, that hold several gates."""
        shape = self.mismatches[0].parameter.shape
        partial = [(s, n) for s, n in zip(self.sides, shape, strict=True) if len(s) < n]
        if len(partial) != 1:
            return False
        ((side, length),) = partial
        width = side[-1] - side[0] + 1
        return bool(width == len(side) > 1 and side[0] % width == length % width == 0)

    def sentence(self, case: Case) -> str:
        """Return the place, and what explains it."""
        (mismatch,) = self.mismatches
        part = _part_name(mismatch, self.sides)
        verb = "are" if part.startswith(("Rows", "Columns")) else "is"
        is_known = self.n_right + mismatch.wrong.sum() >= mismatch.size
        what = "wrong"
        look = at_kinks(mismatch).strip() or "Look at what is special about that part."
        if self.within == Cause.ZERO.name:
            what, look = "zero where the numerical gradient is not", "Is that part ever assigned?"
        elif self.factor is not None:
            factor = factor_text(self.factor, self.factor_uncertainty)
            what = f"{factor} times the numerical gradient"
        return (
            f"{part} {verb} {what}; the rest of {self.gradients} is correct"
            f"{'' if is_known else ' as far as it is known'} ({self.n_right:,} of "
            f"{mismatch.size:,} entries). {look}"
        )


def place_of(mismatch: Mismatch) -> str:
    """Return where the wrong entries are: a row, a block, or all but one; empty if neither."""
    shape = mismatch.shape
    for but, mask in (("", mismatch.wrong), ("everywhere but in ", ~mismatch.wrong)):
        sides = [np.unique(indices) for indices in np.nonzero(mask.reshape(shape))]
        if shape and mask.sum() == np.prod([len(side) for side in sides]):
            places = [mismatch.places(axis, side) for axis, side in enumerate(sides)]
            name = _part_name(mismatch, places)
            return f"{but or 'in '}{name[0].lower()}{name[1:]}"
    return ""


def _block(mismatch: Mismatch) -> tuple[list[NDArray[np.intp]], NDArray[np.bool_]] | None:
    """Return the smallest block that holds all wrong entries, if it holds no correct ones."""
    shape = mismatch.shape
    if not shape:
        return None
    wrong = mismatch.wrong.reshape(shape)
    sides = [np.unique(indices) for indices in np.nonzero(wrong)]
    inside = np.zeros(shape, dtype=bool)
    inside[np.ix_(*sides)] = True
    sample = mismatch.sample
    # An entry that is zero is not evidence of a correct gradient.
    right = (sample.is_nonzero & mismatch.right).reshape(shape)
    if inside.sum() == 1 or np.any(inside & right) or not np.any(right):
        return None
    if not (np.all(sample.known.reshape(shape)[inside]) or _is_supported(wrong, sides)):
        return None
    if len(mismatch.squeezed) == 1:
        places = np.flatnonzero(inside)
        if len(places) < RUN or np.ptp(places) != len(places) - 1:
            return None
    # Extend the block to whole rows and columns if the missing entries have no gradient, or were
    # not measured by the scan: first along the axis of which it has the most.
    for axis in sorted(range(len(shape)), key=lambda axis: -len(sides[axis])):
        wider = [*sides[:axis], np.arange(shape[axis]), *sides[axis + 1 :]]
        if not np.any(right[np.ix_(*wider)]):
            sides = wider
    return sides, inside.ravel()


def _is_supported(wrong: NDArray[np.bool_], sides: list[NDArray[np.intp]]) -> bool:
    """Return True if a sample shows enough wrong entries in each row or column of a block.

    The wrong entries of a diagonal, one in each row, would look like those of many rows.
    """
    block = wrong[np.ix_(*sides)]
    return any(
        np.min(np.sum(line, axis=1)) >= min(SUPPORT, line.shape[1])
        for line in (
            np.moveaxis(block, axis, 0).reshape(n, -1) for axis, n in enumerate(block.shape)
        )
    )


def _part_name(mismatch: Mismatch, sides: Sequence[Sequence[int]]) -> str:
    """Return the name of a row, a column or a block."""
    shape, gradient = mismatch.parameter.shape, mismatch.gradient_name
    partial = [axis for axis, side in enumerate(sides) if len(side) < shape[axis]]
    if len(shape) == 2 and len(partial) == 1:  # noqa: PLR2004 (a matrix)
        (axis,) = partial
        return f"{numbered(sides[axis], ('Row', 'Column')[axis])} of `{gradient}`"
    indices = [_index(side, length) for side, length in zip(sides, shape, strict=True)]
    if sum(index.startswith("[") for index in indices) > 1:
        indices = [f"np.ix_({', '.join(map(str, sides))})"]
    return f"`{gradient}[{', '.join(indices)}]`"


def _index(side: Sequence[int], length: int) -> str:
    """Return an index in NumPy's notation."""
    if len(side) == length > 1:
        return ":"
    if len(side) == 1:
        return str(side[0])
    is_range = side[-1] - side[0] == len(side) - 1
    return f"{side[0]}:{side[-1] + 1}" if is_range else str(side)
