"""SIGN and SCALE: a constant factor, of the whole gradient or of all but the regularisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck_magic._diagnosis.finding import (
    ANY_NUMBER,
    TELLING_ENTRIES,
    Case,
    Finding,
    is_same,
)
from gradcheck_magic._diagnosis.layers import boundary
from gradcheck_magic._diagnosis.mismatch import NO_GRADIENT, Mismatch, Sample, norm
from gradcheck_magic._diagnosis.notebook_numbers import Factor, NotebookNumbers
from gradcheck_magic._diagnosis.phrases import factor_text
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["Multiple", "Scale", "Sign"]

# A factor may be taken for one that has a meaning if its relative uncertainty is at most this.
SHARPLY_KNOWN = 1e-2
# Small whole numbers and their reciprocals are tried as well if the uncertainty is this small.
SHARPER = 1e-5
WHOLE_FACTORS = (*map(float, range(3, 11)), *(1 / n for n in range(3, 11)))
# A smaller factor may well be a typing mistake before 1/m, even if some axis has that length.
SMALL_FACTOR = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiple(Finding):
    """A gradient that is a multiple of the correct one."""

    factor: float
    factor_uncertainty: float
    # The parameters with a penalty to which the factor does not apply.
    penalised: tuple[str, ...] = ()
    # If nothing else is wrong, the parameters between which the error enters; the first is empty at
    # the very start of the backward pass.
    after: str | None = None
    before: str | None = None

    def joined(self, other: Finding) -> Finding | None:
        """Add a parameter with the same factor."""
        if other.is_open:
            return self._extended(other.mismatches[0])
        if not isinstance(other, Multiple) or other.cause is not self.cause:
            return None
        numbers = (self.factor, self.factor_uncertainty), (other.factor, other.factor_uncertainty)
        return self._with(other.mismatches, other.penalised) if is_same(*numbers) else None

    def _with(self, more: tuple[Mismatch, ...], penalised: tuple[str, ...]) -> Multiple:
        mismatches, penalised = (*self.mismatches, *more), (*self.penalised, *penalised)
        return replace(self, mismatches=mismatches, penalised=penalised)

    def _extended(self, mismatch: Mismatch) -> Multiple | None:
        """Add a parameter whose factor it may be, if only for all but the regularisation.

        For a parameter with a single entry, this is the only evidence; and with a known factor, no
        number needs to be known for the regularisation.
        """
        sample, bar = mismatch.sample, abs(self.factor) * mismatch.sample.bar
        scaled = self.factor * sample.numerical
        if sample.explained_by(scaled, bar):
            return self._with((mismatch,), ())
        excess, uncertainty = sample.fitted(
            sample.analytic - scaled, sample.theta, bar + sample.rounding
        )
        # A penalty has the right sign: λ = excess / (1 − factor).
        if not excess * (1 - self.factor) > uncertainty or sample.stands_out.sum() < ANY_NUMBER:
            return None
        if not sample.explained_by(scaled + excess * sample.theta, bar, free=1):
            return None
        return self._with((mismatch,), (mismatch.name,))

    @classmethod
    def placed(cls, case: Case) -> list[Finding]:
        """Add the place where the error enters, if one multiple is all that is wrong."""
        (finding, *others) = case.findings
        if others or not isinstance(finding, Multiple):
            return []
        place = boundary(case.layers, finding.mismatches)
        if place is None or len(place.explained) < len(finding.mismatches):
            return []
        return [replace(finding, after=place.after_name, before=place.before.name)]

    @property
    def exempt(self) -> str:
        """The part of the gradient that the factor does not apply to."""
        if not self.penalised:
            return ""
        return f", apart from the regularisation of {listed(self.penalised)}"

    @property
    def where_to_look(self) -> str:
        """The place where the error enters, if it is known."""
        if self.before is None:
            return f"Look at where {self.gradients} {self.are} computed."
        if not self.after:
            return "All gradients share it: look at the start of the backward pass."
        return f"The error enters the backward pass between `{self.after}` and `{self.before}`."


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Multiple):
    """A gradient that is correct but for a constant factor."""

    cause = Cause.SCALE

    @classmethod
    def shared(cls, case: Case) -> list[Finding]:
        """Recognise one factor of everything that is wrong."""
        found = cls.of(case.open, case.pool, case.numbers) if case.pool is not None else None
        return [] if found is None else [found]

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Multiple | None:
        """Recognise a factor of a gradient, or of all but its regularisation."""
        found = cls.of((mismatch,), mismatch.sample, case.numbers)
        return found or cls._of_all_but_penalty(mismatch, case.numbers)

    @classmethod
    def of(
        cls, mismatches: tuple[Mismatch, ...], sample: Sample, numbers: NotebookNumbers
    ) -> Scale | None:
        """Recognise one factor that explains all entries of a sample."""
        telling = int((sample.stands_out & (sample.analytic != 0)).sum())
        if telling < TELLING_ENTRIES:
            return None
        # The error bars scale with the factor, so a first estimate of it is needed.
        factor, _ = sample.fitted(sample.analytic, sample.numerical, sample.allowed)
        if not np.isfinite(factor):
            return None
        bar = abs(factor) * sample.bar + sample.rounding
        factor, width = sample.fitted(sample.analytic, sample.numerical, bar)
        candidates = [(value, 0) for value in _meant(factor, width, numbers)]
        candidates += [(factor, 1)] * (telling >= ANY_NUMBER)
        for value, free in candidates:
            if sample.explained_by(value * sample.numerical, abs(value) * sample.bar, free=free):
                return _made(mismatches, value, width)
        return None

    @classmethod
    def _of_all_but_penalty(cls, mismatch: Mismatch, numbers: NotebookNumbers) -> Scale | None:
        """Recognise a · (d − λ θ) + λ θ, where λ is known."""
        sample = mismatch.sample
        fitted = _fitted_to_both(sample)
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
        made = _made((mismatch,), next(meant, factor), factor_width)
        return replace(made, penalised=(mismatch.name,))

    def is_doubtful(self, case: Case) -> bool:
        """Return True if the factor has no known meaning."""
        return case.numbers.factor(abs(self.factor)) is None

    def sentence(self, case: Case) -> str:
        """Return the factor, and what it may mean."""
        hints = [_meaning(abs(self.factor), case.numbers), self.where_to_look]
        if backward := self._accumulated_in_torch(case.numbers):
            hints = [backward]
        elif self.factor < 0:
            hints.insert(0, "The sign is reversed.")
        return (
            f"{self.gradients} {self.are} {factor_text(self.factor, self.factor_uncertainty)} "
            f"times the numerical gradient{self.exempt}, {self.extent}. "
            f"{' '.join(filter(None, hints))}"
        )

    def _accumulated_in_torch(self, numbers: NotebookNumbers) -> str:
        """Return a sentence if torch has accumulated several gradients."""
        read = numbers.factor(self.factor)
        is_torch = all(mismatch.gradient_name.endswith(".grad") for mismatch in self.mismatches)
        if read is None or read.kind != "whole" or not is_torch or self.after != "":
            return ""
        often = "twice" if read.number == 2 else f"{read.number} times"  # noqa: PLR2004 (twice)
        return f"Gradients add up in `.grad`: was backward() called {often} without zero_grad()?"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sign(Scale):
    """A gradient with the opposite sign."""

    cause = Cause.SIGN

    def is_doubtful(self, case: Case) -> bool:
        """Return False: everybody knows what a sign means."""
        return False

    def sentence(self, case: Case) -> str:
        """Return where the sign may have been lost."""
        return (
            f"{self.gradients} {self.are} −1 times the numerical gradient{self.exempt}, "
            f"{self.extent}: the sign is reversed. {self.where_to_look}"
        )


def _made(mismatches: tuple[Mismatch, ...], factor: float, uncertainty: float) -> Scale:
    kind = Sign if factor == -1 else Scale
    return kind(mismatches, factor=factor, factor_uncertainty=uncertainty)


def _meant(factor: float, uncertainty: float, numbers: NotebookNumbers) -> list[float]:
    """Return the factors with a meaning that a measured one may be, the simplest first."""
    if uncertainty > SHARPLY_KNOWN * abs(factor):
        return []
    values = numbers.factors + (WHOLE_FACTORS if uncertainty <= SHARPER * abs(factor) else ())
    return [value for value in values if abs(value - factor) <= 2 * uncertainty]


def _fitted_to_both(sample: Sample) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return a and b in analytic ≈ a · numerical + b · θ, and their uncertainties.

    They are fitted by weighted least squares; None if too few entries are off, or if θ or the
    numerical values are all zero.
    """
    usable = sample.known & np.isfinite(sample.analytic)
    # Scale both columns to about 1.
    units = np.array([norm(sample.numerical[usable]), norm(sample.theta[usable])])
    if not units.all() or sample.stands_off[usable].sum() <= ANY_NUMBER:
        return None
    bar = np.maximum(sample.allowed[usable], NO_GRADIENT * units[0])
    columns = np.stack([sample.numerical, sample.theta], axis=1)[usable] / units / bar[:, None]
    inverse = np.linalg.pinv(columns.T @ columns)
    solution = inverse @ columns.T @ (sample.analytic[usable] / bar) / units
    # The error bars scale with the factor.
    widths = np.sqrt(np.diag(inverse)) / units * max(1.0, abs(solution[0]))
    (a, b), (a_width, b_width) = solution.tolist(), widths.tolist()
    return (a, b), (a_width, b_width)


def _meaning(factor: float, numbers: NotebookNumbers) -> str:
    """Return the usual reason for a factor, as a question; empty if it has no known meaning."""
    read = numbers.factor(factor)
    if read is None:
        return ""
    if read.kind == "whole":
        return _meaning_of_whole(read)
    if read.kind == "part":
        if read.number == 2:  # noqa: PLR2004 (a half)
            return "A factor of ½: was the 2 from the derivative of a square forgotten?"
        equal = f", and `{read.length}` is {read.number}" if read.length else ""
        root = ""
        if read.square:
            root = f", or is it one over the square root of `{read.square}` = {read.number**2}"
        return f"A factor of 1/{read.number}{equal}: is there one division or mean too many{root}?"
    what = "the square root" if read.kind == "root" else "one over the square root"
    return (
        f"The factor is {what} of `{read.length}` = {read.number}: was a scaling forgotten, or "
        "applied twice?"
    )


def _meaning_of_whole(read: Factor) -> str:
    n = read.number
    if n == 2:  # noqa: PLR2004 (twice)
        return "A factor of 2: was the ½ before a square forgotten, or a term added twice?"
    if not read.length:
        root = f", or is it the square root of `{read.square}` = {n * n}" if read.square else ""
        return f"A factor of {n}: is {n}/m used in place of 1/m, or was a mean forgotten{root}?"
    if n < SMALL_FACTOR:
        return (
            f"A factor of {n}: is {n}/m used in place of 1/m? Or, as `{read.length}` is {n}, was a "
            "mean over that axis forgotten?"
        )
    return f"A factor of {n}, and `{read.length}` is {n}: was the mean over the examples forgotten?"
