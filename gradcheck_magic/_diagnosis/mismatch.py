"""The analytic gradient of a parameter beside the measured one, and what would explain it.

A model predicts the analytic values. It explains them if every one is within its error bar, and if
that is no coincidence: the more entries it predicts, and the narrower their bars are beside how far
off the gradient is, the less likely a model that has nothing to do with it would fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.central_differences import CLEAR
from gradcheck_magic._result.parameter_check import index_of

__all__ = ["COINCIDENCE", "TOLERANCE", "Mismatch", "Sample", "Sides", "norm"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sides = tuple[NDArray[np.intp], ...]

# What a model may leave unexplained besides the error bars, relatively: a second mistake is rarely
# so small, and no reader would care.
TOLERANCE = 1e-6
# A model that would fit by chance so often (log₁₀) is no explanation. Some thirty are tried.
COINCIDENCE = -5.0
# An entry tells something only if it stands out from its error bar, by so many bars.
STANDS_OUT = 10.0
# A bar for what was measured to the last bit, in units of the largest value.
LEAST_BAR = 1e-15


def norm(vector: Vector) -> float:
    """‖vector‖₂, without overflow."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if not 0 < largest < np.inf:
        return largest
    return largest * float(np.linalg.norm(vector / largest))


@dataclass(frozen=True, eq=False)
class Sample:
    """Entries of a gradient, each an array of shape (n,).

    Attributes
    ----------
    analytic, numerical, theta : ndarray
        The backpropagated and the measured values, and the entries of θ themselves.
    bar, rounding : ndarray
        The error bars of the measured values, inf where there is none, and what rounding may have
        done to the backpropagated ones.
    spread : ndarray
        How far off the entries of the same parameter are, typically.
    """

    analytic: Vector
    numerical: Vector
    theta: Vector
    bar: Vector
    rounding: Vector
    spread: Vector

    @classmethod
    def pooled(cls, samples: Iterable[Sample]) -> Self:
        """Return the entries of several parameters as one."""
        rows = [[getattr(sample, field.name) for field in fields(cls)] for sample in samples]
        return cls(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.analytic)

    def where(self, mask: Mask) -> Self:
        """Return some of the entries, with the spread that these have."""
        some = type(self)(*(getattr(self, field.name)[mask] for field in fields(self)))
        return replace(some, spread=_spread(some.analytic, some.numerical, some.bar))

    @property
    def off(self) -> Vector:
        """The analytic values less the measured ones."""
        return self.analytic - self.numerical

    @property
    def known(self) -> Mask:
        """Which entries were measured, with an error bar."""
        return np.isfinite(self.bar)

    @property
    def allowed(self) -> Vector:
        """How far both may be apart where they are the same."""
        return self.bar + self.rounding

    def explained_by(self, model: Vector, bar: Vector, *, free: int = 0) -> bool:
        """Whether a model explains the analytic values, and not by accident; see `chance`."""
        return self.chance(model, bar, free=free) <= COINCIDENCE

    def chance(self, model: Vector, bar: Vector, *, free: int = 0) -> float:
        """Return log₁₀ of how likely a model that has nothing to do with them fits the values.

        Parameters
        ----------
        model : ndarray, shape (n,)
            What it predicts.
        bar : ndarray, shape (n,)
            The error bars of that.
        free : int
            How many numbers in it were fitted to the same values.

        Returns
        -------
        float
            0.0 where it does not fit all of them.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            allowed = CLEAR * (bar + self.rounding + TOLERANCE * np.abs(model))
            judged = np.isfinite(allowed) & np.isfinite(self.analytic)
            off = np.abs(self.analytic - model)[judged]
        allowed, spread = allowed[judged], self.spread[judged]
        if not off.size or np.any(off > allowed):
            return 0.0
        with np.errstate(divide="ignore"):
            chances = np.log10(np.clip(allowed / spread, 1e-16, 1.0))
        # What was fitted to the most telling ones is no prediction of them.
        return float(np.sort(chances)[free:].sum())

    def fitted(self, target: Vector, regressor: Vector, bar: Vector) -> tuple[float, float]:
        """Return c and its uncertainty in target ≈ c · regressor, weighted by the error bars."""
        largest = float(np.max(np.abs(target), initial=0.0, where=self.known))
        bar = np.maximum(bar, LEAST_BAR * max(largest, 1e-300))
        known = np.isfinite(bar) & np.isfinite(target)
        if not known.any():
            return np.nan, np.inf
        # In units of the narrowest bar, lest the squares overflow.
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
        """Which entries have a measured value that stands out from its error bar."""
        stand_out: Mask = np.abs(self.numerical) > STANDS_OUT * self.bar
        return stand_out

    @property
    def is_nonzero(self) -> Mask:
        """Which entries have a measured value that is not zero, as far as can be told."""
        nonzero: Mask = np.abs(self.numerical) > self.allowed
        return nonzero

    @property
    def stands_off(self) -> Mask:
        """Which entries are off by more than their error bars, by far."""
        with np.errstate(invalid="ignore"):
            stand_off: Mask = np.abs(self.off) > STANDS_OUT * self.allowed
        return stand_off


def _spread(analytic: Vector, numerical: Vector, bar: Vector) -> Vector:
    usable = np.isfinite(bar) & np.isfinite(analytic)
    typical = norm((analytic - numerical)[usable]) / np.sqrt(max(usable.sum(), 1))
    return np.full(len(analytic), max(typical, 1e-300))


@dataclass(frozen=True, eq=False)
class Mismatch:
    """The gradient of one parameter, right or wrong.

    Attributes
    ----------
    parameter : Parameter
        Whose gradient it is.
    gradient_name : str
        What the user calls the gradient.
    sample : Sample
        All its entries, in C order; or those where some of its rows and columns meet.
    wrong : ndarray of bool, shape (n,)
        Which of them are wrong.
    is_bug : bool
        Whether any is wrong by more than is worth inspecting.
    sides : tuple of ndarray of int, or None
        Which rows, columns and so on the sample is of; None: all.
    n_right_elsewhere : int
        How many of the other entries are known to be right.
    """

    parameter: Parameter
    gradient_name: str
    sample: Sample
    wrong: Mask
    is_bug: bool
    sides: Sides | None = None
    n_right_elsewhere: int = 0

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
    ) -> Self:
        """Return it from analytic and numerical values, error bars and rounding.

        All but the analytic values, which are the whole parameter's, are of some entries alone,
        `ks`; where `sides` are given, all of these are where they meet.
        """
        analytic, theta = values[0], np.ravel(np.asarray(parameter.array))
        if sides is not None:
            chosen = _where_they_meet(sides, parameter.shape)
            analytic, theta, ks = analytic[chosen], theta[chosen], np.searchsorted(chosen, ks)
        numerical, bar, rounding = (
            _scattered(value, ks, len(analytic), fill)
            for value, fill in zip(values[1:], (np.nan, np.inf, 0.0), strict=True)
        )
        bar = np.where(np.isfinite(numerical), bar, np.inf)
        numerical = np.where(np.isfinite(bar), numerical, 0.0)
        spread = _spread(analytic, numerical, bar)
        sample = Sample(analytic, numerical, theta.astype(np.float64), bar, rounding, spread)
        everywhere = _scattered(wrong, ks, len(analytic), fill=False)
        return cls(parameter, gradient_name, sample, everywhere, is_bug, sides)

    def with_right_ones(self, right: Mask, bar: float) -> Self:
        """Return the same, knowing of some more entries that they are right, within a bar.

        Parameters
        ----------
        right : ndarray of bool
            Of all entries of the parameter, which these are.
        """
        sample, n_right = self.sample, int(right.sum())
        if self.sides is not None:
            right = right[_where_they_meet(self.sides, self.parameter.shape)]
        numerical = np.where(right, sample.analytic, sample.numerical)
        bars = np.where(right, bar, sample.bar)
        spread = _spread(sample.analytic, numerical, bars)
        return replace(
            self,
            sample=replace(sample, numerical=numerical, bar=bars, spread=spread),
            n_right_elsewhere=n_right - int(right.sum()),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the entries in the sample."""
        return self.parameter.shape if self.sides is None else tuple(map(len, self.sides))

    @property
    def n_right(self) -> int:
        """How many entries are known to be right, in the sample and elsewhere."""
        return int(self.right.sum()) + self.n_right_elsewhere

    def index(self, k: int) -> tuple[int, ...]:
        """Index in the parameter of the `k`-th entry of the sample."""
        index = index_of(k, self.shape)
        if self.sides is None:
            return index
        return tuple(int(side[i]) for side, i in zip(self.sides, index, strict=True))

    def places(self, axis: int, inside: NDArray[np.intp]) -> list[int]:
        """Return where along an axis of the parameter some rows, or columns, of the sample are."""
        if self.sides is None:
            return [int(i) for i in inside]
        if len(inside) == len(self.sides[axis]):
            return list(range(self.parameter.shape[axis]))
        return [int(i) for i in self.sides[axis][inside]]

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.parameter.name

    @property
    def size(self) -> int:
        """How many entries the parameter has."""
        return self.parameter.size

    @property
    def part(self) -> slice:
        """Where its entries stand in θ."""
        return slice(self.parameter.start, self.parameter.stop)

    @property
    def is_wrong(self) -> bool:
        """Whether any entry is."""
        return bool(self.wrong.any())

    @property
    def right(self) -> Mask:
        """Which entries are right, and known well enough to say so beside the wrong ones."""
        sample = self.sample
        off = sample.off[self.wrong & sample.known & np.isfinite(sample.analytic)]
        typical = norm(off) / np.sqrt(max(len(off), 1))
        right: Mask = ~self.wrong & (STANDS_OUT * CLEAR * sample.allowed <= typical)
        return right

    @property
    def is_compared(self) -> bool:
        """Whether there was anything to compare."""
        return bool(self.sample.stands_out.any())

    @property
    def squeezed(self) -> tuple[int, ...]:
        """Its shape without axes of length 1."""
        return tuple(length for length in self.parameter.shape if length != 1)

    def where(self, mask: Mask) -> Self:
        """Return the same, of some entries alone."""
        return replace(self, sample=self.sample.where(mask), wrong=self.wrong[mask])


def _where_they_meet(sides: Sides, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return where in C order the entries are in which some rows, columns and so on meet."""
    index = np.meshgrid(*sides, indexing="ij")
    return np.ravel_multi_index(tuple(i.ravel() for i in index), shape)


def _scattered(values: NDArray, ks: NDArray[np.intp], size: int, fill: float) -> NDArray:  # type: ignore[type-arg]
    """Return an array of all entries, given some of them."""
    everything = np.full(size, fill, dtype=values.dtype)
    everything[ks] = values
    return everything
