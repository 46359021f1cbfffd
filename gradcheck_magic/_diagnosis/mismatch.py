"""Compares the analytic gradient of a parameter with the measured one, and with models of it.

A model predicts the analytic values. It explains them if every one is within its error bar, and if
that is no coincidence: the more entries the model predicts, and the narrower their bars are
compared with the error of the gradient, the less likely it is that an unrelated model fits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.parameter_check import index_of

__all__ = [
    "COINCIDENCE",
    "LIKELY",
    "NO_GRADIENT",
    "TOLERANCE",
    "Mask",
    "Mismatch",
    "Sample",
    "Sides",
    "has_few_digits",
    "norm",
]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sides = tuple[NDArray[np.intp], ...]

DOUBLES = np.dtype(np.float64)
# The relative error that a model may leave unexplained, however narrow the error bars are. A second
# mistake is rarely so small, and no reader would care about it.
TOLERANCE = 1e-6
# A model explains the values only if its probability of a chance fit (log₁₀) is at most this. About
# thirty models are tried.
COINCIDENCE = -5.0
# A model that is by far the most likely of all may fit by chance so often.
LIKELY = -3.0
# An entry counts as evidence only if it exceeds its error bar by this factor.
STANDS_OUT = 10.0
# Most of a gradient is at least this part of its length.
MOSTLY = 0.9
# A value this small compared with the rest counts as zero: it is what rounding leaves of a zero.
NO_GRADIENT = 1e-14
# A number that is exact with so many digits is round.
FEW_DIGITS = 3
# The error bar of values measured to the last bit, in units of the largest value.
LEAST_BAR = 1e-15


def norm(vector: Vector) -> float:
    """Return ‖vector‖₂, without overflow."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if not 0 < largest < np.inf:
        return largest
    return largest * float(np.linalg.norm(vector / largest))


def has_few_digits(number: float, digits: int = FEW_DIGITS) -> bool:
    """Return True for a number that these digits give exactly, as far as a reader cares."""
    return abs(number - float(f"{number:.{digits}g}")) <= TOLERANCE * abs(number)


@dataclass(frozen=True, eq=False)
class Sample:
    """Entries of a gradient: each column is an array of shape (n,).

    The error `bar` is that of the measured values, inf where there is none; the `rounding` error is
    that of the backpropagated ones. The `spread` is the typical error in the same parameter.
    """

    analytic: Vector
    numerical: Vector
    theta: Vector
    bar: Vector
    rounding: Vector
    spread: Vector

    @classmethod
    def pooled(cls, samples: Iterable[Sample]) -> Self:
        """Return the entries of several parameters as one sample."""
        rows = [[getattr(sample, field.name) for field in fields(cls)] for sample in samples]
        return cls(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.analytic)

    def where(self, mask: Mask) -> Self:
        """Return some of the entries, with their own spread."""
        some = type(self)(*(getattr(self, field.name)[mask] for field in fields(self)))
        return replace(some, spread=_spread(some.analytic, some.numerical, some.bar))

    @property
    def off(self) -> Vector:
        """The analytic values minus the measured ones."""
        return self.analytic - self.numerical

    @property
    def known(self) -> Mask:
        """True for entries that were measured, with an error bar."""
        return np.isfinite(self.bar)

    @property
    def allowed(self) -> Vector:
        """The largest difference that error bar and rounding explain."""
        return self.bar + self.rounding

    def explained_by(self, model: Vector, bar: Vector, *, free: int = 0) -> bool:
        """Return True if a model explains the analytic values, and not by `chance`."""
        return self.chance(model, bar, free=free) <= COINCIDENCE

    def chance(self, model: Vector, bar: Vector, *, free: int = 0) -> float:
        """Return log₁₀ of the probability that an unrelated model fits the values.

        It is 0.0 if the model, whose predictions have error bars, does not fit every value; `free`
        of its numbers were fitted to the same values.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            allowed = CLEAR * np.maximum(bar + self.rounding, TOLERANCE * np.abs(model))
            judged = np.isfinite(allowed) & np.isfinite(self.analytic)
            off = np.abs(self.analytic - model)[judged]
        allowed, spread = allowed[judged], self.spread[judged]
        if not off.size or np.any(off > allowed):
            return 0.0
        with np.errstate(divide="ignore"):
            chances = np.log10(np.clip(allowed / spread, 1e-16, 1.0))
        # A fitted number uses up the most telling values: they are no longer predictions.
        return float(np.sort(chances)[free:].sum())

    def fitted(self, target: Vector, regressor: Vector, bar: Vector) -> tuple[float, float]:
        """Return c and its uncertainty in target ≈ c · regressor, weighted by the error bars."""
        known = self.known & np.isfinite(bar) & np.isfinite(target)
        largest = float(np.max(np.abs(target), initial=0.0, where=known))
        bar = np.maximum(bar, LEAST_BAR * max(largest, 1e-300))
        if not known.any():
            return np.nan, np.inf
        # Scale by the narrowest bar, so that the squares do not overflow.
        unit = float(bar[known].min())
        bar = bar / unit
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = regressor[known] / bar[known]
            information = float(weighted @ weighted)
            product = float(weighted @ (target[known] / bar[known]))
        if not (np.isfinite(product) and 0 < information < np.inf):
            return np.nan, np.inf
        return product / information, unit / float(np.sqrt(information))

    @property
    def stands_out(self) -> Mask:
        """True for entries whose measured value clearly exceeds its error bar."""
        stand_out: Mask = np.abs(self.numerical) > STANDS_OUT * self.bar
        return stand_out

    @property
    def is_nonzero(self) -> Mask:
        """True for entries whose measured value exceeds its error bar, and so is not zero."""
        nonzero: Mask = np.abs(self.numerical) > self.allowed
        return nonzero

    @property
    def is_off(self) -> Mask:
        """True for entries whose error is clearly larger than the error bars."""
        with np.errstate(invalid="ignore"):
            off: Mask = np.abs(self.off) > CLEAR * self.allowed
        return off

    @property
    def stands_off(self) -> Mask:
        """True for entries whose error is far larger than the error bars."""
        with np.errstate(invalid="ignore"):
            stand_off: Mask = np.abs(self.off) > STANDS_OUT * self.allowed
        return stand_off


def _spread(analytic: Vector, numerical: Vector, bar: Vector) -> Vector:
    usable = np.isfinite(bar) & np.isfinite(analytic)
    typical = norm((analytic - numerical)[usable]) / np.sqrt(max(usable.sum(), 1))
    return np.full(len(analytic), max(typical, 1e-300))


def _placed(values: Vector, places: NDArray[np.intp], size: int) -> Vector:
    vector = np.zeros(size)
    vector[places] = values
    return vector


@dataclass(frozen=True, eq=False)
class Mismatch:
    """The gradient of one parameter, correct or wrong.

    Attributes
    ----------
    sides : tuple of ndarray of int
        The rows, columns and so on in the sample. A parameter that was scanned may be huge, and
        then these are only some.
    sample : Sample
        The entries where they meet, in C order.
    wrong : ndarray of bool
        True for wrong entries of the sample.
    is_bug : bool
        True if the error of any entry is too large to be merely worth inspecting.
    n_right_elsewhere : int
        The number of entries outside the sample that are known to be correct.
    dtype : dtype
        That of the gradient as it was given.
    half_gap : ndarray, optional
        Half the gap between the slopes on both sides of θ, where it is on a kink; 0 elsewhere.
    """

    parameter: Parameter
    gradient_name: str
    sides: Sides
    sample: Sample
    wrong: Mask
    is_bug: bool
    n_right_elsewhere: int = 0
    dtype: np.dtype[Any] = DOUBLES
    half_gap: Vector | None = None

    @classmethod
    def of(
        cls,
        parameter: Parameter,
        gradient_name: str,
        values: tuple[Vector, Vector, Vector, Vector],
        wrong: Mask,
        ks: NDArray[np.intp],
        *,
        is_bug: bool,
        sides: Sides | None = None,
        right: tuple[Mask, float] | None = None,
        dtype: np.dtype[Any] = DOUBLES,
        half_gap: Vector | None = None,
    ) -> Self:
        """Return a mismatch from analytic and numerical values, error bars and rounding.

        The analytic values are those of the whole parameter; all others are only those of the
        entries `ks`. If `sides` are given, all entries of `ks` are where they meet. More entries of
        the whole parameter may be known to be `right`, to within an error bar.
        """
        sides = tuple(map(np.arange, parameter.shape)) if sides is None else sides
        chosen = np.ravel(np.ravel_multi_index(np.ix_(*sides), parameter.shape))
        analytic, theta = values[0][chosen], np.ravel(np.asarray(parameter.array))[chosen]
        if parameter.output_axes:
            # In a Jacobian, all rows are θ, and no penalty is added to it.
            theta = np.zeros_like(theta)
        numerical, bar, rounding = (np.full(len(chosen), fill) for fill in (0.0, np.inf, 0.0))
        n_right_elsewhere = 0
        if right is not None:
            inside = right[0][chosen]
            numerical[inside], bar[inside] = analytic[inside], right[1]
            n_right_elsewhere = int(right[0].sum() - inside.sum())
        known = np.isfinite(values[1]) & np.isfinite(values[2])
        places, everywhere = np.searchsorted(chosen, ks), np.zeros(len(chosen), dtype=bool)
        numerical[places], bar[places] = np.where(known, values[1:3], [[0.0], [np.inf]])
        rounding[places], everywhere[places] = values[3], wrong
        spread = _spread(analytic, numerical, bar)
        sample = Sample(analytic, numerical, theta.astype(np.float64), bar, rounding, spread)
        if half_gap is not None:
            half_gap = _placed(half_gap, places, len(chosen))
        known_as = parameter, gradient_name, sides, sample, everywhere, is_bug
        return cls(*known_as, n_right_elsewhere, dtype, half_gap)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the sample."""
        return tuple(map(len, self.sides))

    @property
    def n_right(self) -> int:
        """The number of entries known to be correct, in the sample and elsewhere."""
        return int(self.right.sum()) + self.n_right_elsewhere

    def index(self, k: int) -> tuple[int, ...]:
        """Return the index in the parameter of the `k`-th entry of the sample."""
        index = index_of(k, self.shape)
        return tuple(int(side[i]) for side, i in zip(self.sides, index, strict=True))

    def places(self, axis: int, inside: NDArray[np.intp]) -> list[int]:
        """Return the indices in the parameter of some rows, or columns, of the sample."""
        side = self.sides[axis]
        # What holds for the whole sample holds for the whole parameter.
        is_all = len(inside) == len(side)
        return list(range(self.parameter.shape[axis])) if is_all else side[inside].tolist()

    @property
    def name(self) -> str:
        """The name of the parameter."""
        return self.parameter.name

    @property
    def own_name(self) -> str:
        """The name of the user's own array: of the whole, for a part of a complex one."""
        return (self.parameter.whole or self.parameter).name

    @property
    def own_gradient_name(self) -> str:
        """The name of the gradient of that array."""
        is_part = self.parameter.whole is not None
        return self.gradient_name.rpartition(".")[0] if is_part else self.gradient_name

    @property
    def size(self) -> int:
        """The number of entries of the parameter."""
        return self.parameter.size

    @property
    def part(self) -> slice:
        """The slice of θ that holds its entries."""
        return slice(self.parameter.start, self.parameter.stop)

    @property
    def is_wrong(self) -> bool:
        """True if any entry is wrong."""
        return bool(self.wrong.any())

    @property
    def right(self) -> Mask:
        """True for correct entries with error bars well below the error of the wrong ones."""
        sample = self.sample
        off = sample.off[self.wrong & sample.known & np.isfinite(sample.analytic)]
        typical = norm(off) / np.sqrt(max(len(off), 1))
        allowed = sample.allowed
        if self.half_gap is not None:
            # Between the slopes on both sides of a kink, any value is correct.
            allowed = allowed - self.half_gap / CLEAR
        right: Mask = ~self.wrong & ~self.is_disputed & (STANDS_OUT * CLEAR * allowed <= typical)
        return right

    @property
    def is_disputed(self) -> Mask:
        """True for entries that disagree, although nobody can say that they are wrong."""
        with np.errstate(invalid="ignore"):
            off = np.abs(self.sample.off) > CLEAR * self.sample.allowed
        disputed: Mask = off & ~self.wrong
        return disputed

    @property
    def is_zero(self) -> bool:
        """True if the analytic gradient is zero everywhere, to within its rounding."""
        sample = self.sample
        return not np.max(np.abs(sample.analytic)) > NO_GRADIENT * norm(sample.numerical)

    @property
    def is_finite(self) -> bool:
        """True if the analytic gradient has no nan and no infinity."""
        return bool(np.isfinite(self.sample.analytic).all())

    @property
    def is_whole(self) -> bool:
        """True if the sample has all entries of the parameter."""
        return len(self.sample) == self.size

    @property
    def is_judged(self) -> bool:
        """True if every entry of the parameter is known to be right or wrong."""
        return int(self.sample.known.sum()) + self.n_right_elsewhere >= self.size

    @property
    def is_right(self) -> bool:
        """True if everything agrees, and an error as large as the gradient would show."""
        sample, known = self.sample, self.sample.known
        would_show = CLEAR * norm(sample.allowed[known]) < norm(sample.numerical[known])
        is_compared = would_show or bool(sample.stands_out.any())
        return is_compared and not self.is_wrong and not self.is_disputed.any()

    @property
    def is_mostly_known(self) -> bool:
        """True if most of the gradient clearly exceeds the error bars: an error would show."""
        numerical = self.sample.numerical
        return norm(numerical[self.sample.stands_out]) >= MOSTLY * norm(numerical)

    @property
    def squeezed(self) -> tuple[int, ...]:
        """The shape of the parameter without axes of length 1."""
        return tuple(length for length in self.parameter.shape if length != 1)

    def where(self, mask: Mask) -> Self:
        """Return a copy with only some of the entries."""
        half_gap = None if self.half_gap is None else self.half_gap[mask]
        some = self.sample.where(mask)
        return replace(self, sample=some, wrong=self.wrong[mask], half_gap=half_gap)
