"""The numerical gradient entry by entry, with an error bar on each.

The central difference (J(θ+h) − J(θ−h)) / 2h has two errors that pull in opposite directions:
truncation, h²·|J‴|/6, which grows with h, and round-off, e_J/h, where e_J is the absolute error of
one evaluation. In double precision the textbook's h = 1e-7 makes truncation negligible wherever J
is of ordinary curvature, and leaves round-off, which the noise of the cost tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.cost import Cost
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Parameter

__all__ = ["CentralDifferences", "Progress", "default_step", "measure"]

Progress = Callable[[int, int, float], object]
Vector = NDArray[np.float64]

# The noise is a standard deviation: four of them hold nearly every value.
NOISE_DEVIATIONS = 4.0
# Single and half precision round θ and J so coarsely that only the step with the least total
# error, about (3 eps)^(1/3), is of use; double precision follows the textbook.
STEPS = {8: 1e-7, 4: 5e-3, 2: 1e-1}


@dataclass
class CentralDifferences:
    """A pass of central differences over some entries of θ, as far as it got.

    Attributes
    ----------
    epsilon : float
        The nominal step.
    cost_plus, cost_minus : ndarray
        J(θ + ε eᵢ) and J(θ − ε eᵢ) for each entry, nan where it was not measured.
    step : ndarray
        What was really stepped, (θ + ε) − (θ − ε), which rounding makes differ from 2ε.
    cost : float
        J(θ).
    noise : float
        The absolute error of one evaluation.
    n_measured : int
        How many entries were measured; the first ones, in order.
    """

    epsilon: float
    cost_plus: Vector
    cost_minus: Vector
    step: Vector
    cost: float
    noise: float
    n_measured: int = 0

    @classmethod
    def planned(cls, size: int, epsilon: float) -> Self:
        """Nothing measured yet, of `size` entries."""
        cost_plus, cost_minus, step = np.full((3, size), np.nan)
        return cls(epsilon, cost_plus, cost_minus, step, cost=np.nan, noise=np.nan)

    def textbook(self) -> Vector:
        """Return (J(θ+ε) − J(θ−ε)) / 2ε, over the entries measured; nan where J is."""
        measured = slice(self.n_measured)
        with np.errstate(invalid="ignore"):  # inf − inf
            return (self.cost_plus[measured] - self.cost_minus[measured]) / (2 * self.epsilon)

    def numerical(self) -> Vector:
        """Return the difference quotient over the step really taken; nan where there is none.

        Where J is finite on one side alone, it is the slope on that side.
        """
        measured = slice(self.n_measured)
        plus, minus, step = self.cost_plus[measured], self.cost_minus[measured], self.step[measured]
        with np.errstate(divide="ignore", invalid="ignore"):
            central = (plus - minus) / step
            forward = (plus - self.cost) / (step / 2)
            backward = (self.cost - minus) / (step / 2)
        one_sided = np.where(np.isfinite(plus), forward, backward)
        quotient = np.where(np.isfinite(plus) & np.isfinite(minus), central, one_sided)
        return np.where(np.isfinite(quotient), quotient, np.nan)

    def uncertainty(self) -> Vector:
        """Return the round-off of `numerical`: the noise of two evaluations over the step."""
        with np.errstate(divide="ignore"):
            bar = NOISE_DEVIATIONS * 2 * self.noise / np.abs(self.step[: self.n_measured])
        return np.where(np.isfinite(self.numerical()), bar, np.inf)


def default_step(itemsize: int) -> float:
    """Return the step ε for numbers of `itemsize` bytes: 1e-7 in double precision."""
    return STEPS.get(itemsize, STEPS[8])


def measure(
    differences: CentralDifferences,
    cost: Cost,
    pairing: Pairing,
    progress: Progress | None = None,
) -> None:
    """Measure every checked entry by a central difference: 2 evaluations each.

    Parameters
    ----------
    differences : CentralDifferences
        What is filled, entry by entry: it holds what is known if this is interrupted.
    cost : Cost
        Entered as a context manager.
    pairing : Pairing
        What is to be measured, in the order of `pairing.indices`.
    progress : callable, optional
        Called after each entry with (entries done, entries in all, seconds so far).
    """
    started = time.perf_counter()
    differences.cost, differences.noise = cost.value, cost.noise
    total = len(differences.step)
    epsilon = differences.epsilon
    for parameter in pairing.checked:
        slot = cost.slot(parameter)
        first = differences.n_measured
        differences.step[first : first + parameter.size] = _steps_taken(slot, epsilon)
        for k in range(parameter.size):
            with _blamed_on(cost, parameter, k, epsilon):
                cost_plus, cost_minus = cost.central_pair(slot, k, epsilon)
            differences.cost_plus[first + k] = cost_plus
            differences.cost_minus[first + k] = cost_minus
            differences.n_measured = first + k + 1
            if progress is not None:
                progress(differences.n_measured, total, time.perf_counter() - started)


def _steps_taken(slot: NDArray[Any], epsilon: float) -> Vector:
    values = slot[:]
    plus, minus = values + epsilon, values - epsilon
    return plus.astype(np.float64) - minus.astype(np.float64)


class _blamed_on:  # noqa: N801 (reads as a statement, and is far cheaper than a generator)
    """Tell, of an error of the user's function, at which perturbed point it was raised."""

    __slots__ = ("cost", "epsilon", "k", "parameter")

    def __init__(self, cost: Cost, parameter: Parameter, k: int, epsilon: float) -> None:
        self.cost, self.parameter, self.k, self.epsilon = cost, parameter, k, epsilon

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            error.add_note(
                f"This happened with `{self.parameter.label(self.k)}` moved by "
                f"{self.epsilon:g}; at the parameters themselves `{self.cost.name}` works."
            )
