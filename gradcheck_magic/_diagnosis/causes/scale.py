"""SIGN, SCALE and ZERO: a constant factor, of the whole gradient or of all but its penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradcheck_magic._diagnosis.finding import ANY_NUMBER, TELLING_ENTRIES, Case, Finding, is_same
from gradcheck_magic._diagnosis.layers import boundary
from gradcheck_magic._diagnosis.mismatch import (
    COINCIDENCE,
    LIKELY,
    Mask,
    Mismatch,
    Sample,
    has_few_digits,
)
from gradcheck_magic._diagnosis.notebook_numbers import WHOLE_WITHIN, Factor, NotebookNumbers
from gradcheck_magic._diagnosis.phrases import factor_text
from gradcheck_magic._inputs.jacobian import JacobianPairing
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["Multiple", "Scale", "Sign", "Zero"]

# A factor may be taken for one that has a meaning if its relative uncertainty is at most this.
SHARPLY_KNOWN = 1e-2
# With less certainty, only the simplest ones are.
BLUNTLY_KNOWN, SIMPLEST = 0.1, (-1.0, 2.0, 0.5)
# Small whole numbers and their reciprocals have a meaning, even if no axis has that length.
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
        """Share the factor with another parameter, if only for all but its penalty.

        For a parameter with a single entry, this is the only evidence; and with a known factor, no
        number needs to be known for the penalty.
        """
        if isinstance(other, Multiple) and other.cause is self.cause:
            one, two = ((f.factor, f.factor_uncertainty) for f in (self, other))
            same, penalised = is_same(one, two), other.penalised
        elif other.is_open:
            sample, factor = other.mismatches[0].sample, self.factor
            bare = sample.explained_by(factor * sample.numerical, abs(factor) * sample.bar)
            same = bare or _penalty_beside(sample, factor) is not None
            penalised = () if bare else (other.mismatches[0].name,)
        else:
            return None
        return replace(self, penalised=(*self.penalised, *penalised)) if same else None

    @classmethod
    def placed(cls, case: Case) -> list[Finding]:
        """Add the place where the error enters, if one multiple is all that is wrong."""
        (finding, *others) = case.findings
        if others or not isinstance(finding, Multiple):
            return []
        place = boundary(case.layers, finding.mismatches)
        if place is None or len(place.explained) < len(finding.mismatches):
            return []
        return [replace(finding, after=place.after_name, before=place.before_name)]

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
        """Recognise a factor of a gradient, or of all but a penalty whose strength is known."""
        sample, bar = mismatch.sample, mismatch.sample.allowed
        if found := cls.of((mismatch,), sample, case.numbers):
            return found
        # The factor relates what is left of both gradients without their parts along θ.
        left, right = (
            gradient - sample.fitted(gradient, sample.theta, bar)[0] * sample.theta
            for gradient in (sample.analytic, sample.numerical)
        )
        fitted, width = sample.fitted(left, right, bar)
        for factor in (*case.numbers.factors, *WHOLE_FACTORS, fitted):
            is_near = abs(factor - fitted) <= 2 * width * max(1.0, abs(factor))
            is_other = abs(factor - 1) > SHARPLY_KNOWN
            penalty = _penalty_beside(sample, factor) if is_near and is_other else None
            strength = penalty and case.numbers.strength(*penalty)
            if strength and strength.is_whole:
                return replace(_made((mismatch,), factor, width), penalised=(mismatch.name,))
        return None

    @classmethod
    def of(
        cls, mismatches: tuple[Mismatch, ...], sample: Sample, numbers: NotebookNumbers
    ) -> Scale | None:
        """Recognise one factor that explains all entries of a sample."""
        tells = _tells(sample)
        telling = int(tells.sum())
        if not telling:
            return None
        # The error bars scale with the factor, so a first estimate of it is needed.
        factor, _ = sample.fitted(sample.analytic, sample.numerical, sample.allowed)
        bar = abs(factor) * sample.bar + sample.rounding
        factor, width = sample.fitted(sample.analytic, sample.numerical, bar)
        meant = _meant(numbers, width / abs(factor)) if factor else ()
        if telling < TELLING_ENTRIES:
            meant = _meant_by_one(sample, numbers)
        candidates = [(value, 0) for value in meant if abs(value - factor) <= 2 * width]
        # A factor that may be 1 explains nothing.
        candidates += [(factor, 1)] * (telling >= ANY_NUMBER and abs(factor - 1) > 2 * width)
        is_blunt = width > SHARPLY_KNOWN * abs(factor)
        is_near = any(abs(value - factor) <= 2 * width for value in WHOLE_FACTORS)
        for value, free in candidates:
            model, bar = value * sample.numerical, abs(value) * sample.bar
            most = COINCIDENCE
            if value in SIMPLEST and telling > 1:
                most = LIKELY
            elif free and is_blunt and not is_near:
                # Not even two digits are known of a number that means nothing.
                most = 2 * COINCIDENCE
            # If one entry tells it, the others must fit, but are no evidence.
            is_known = telling > 1 or sample.where(tells).explained_by(model[tells], bar[tells])
            if is_known and sample.chance(model, bar, free=free) <= most:
                return _made(mismatches, value, width)
        return None

    def is_doubtful(self, case: Case) -> bool:
        """Return True if the factor has no known meaning; everybody knows what a sign means."""
        return self.factor != -1 and case.numbers.factor(abs(self.factor)) is None

    def may_come_from_upstream(self, case: Case) -> bool:
        """Return True if a single entry tells: it may be the multiple of another by chance."""
        is_one = sum(int(_tells(m.sample).sum()) for m in self.mismatches) < TELLING_ENTRIES
        return is_one or self.is_doubtful(case)

    def sentence(self, case: Case) -> str:
        """Return the factor, and what it may mean."""
        factor = factor_text(self.factor, self.factor_uncertainty)
        start = f"{self.gradients} {self.are} {factor} times the numerical gradient{self.exempt}"
        if self.factor == -1:
            return f"{start}, {self.extent}: the sign is reversed. {self.where_to_look}"
        meant = case.numbers.factor(abs(self.factor))
        is_complex = all(m.parameter.whole for m in self.mismatches)
        hint = self.where_to_look
        if meant:
            hint = f"{_meaning(meant, is_complex=is_complex)} {hint}"
        in_torch = all(m.gradient_name.endswith(".grad") for m in self.mismatches)
        if self.factor < 0:
            hint = f"The sign is reversed. {hint}"
        elif in_torch and self.after == "" and meant and meant.kind == "whole":
            times = "twice" if meant.number == 2 else f"{meant.number} times"  # noqa: PLR2004
            hint = (
                f"Gradients add up in `.grad`: was backward() called {times} without zero_grad()?"
            )
        return f"{start}, {self.extent}. {hint}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sign(Scale):
    """A gradient with the opposite sign."""

    cause = Cause.SIGN


@dataclass(frozen=True, eq=False, kw_only=True)
class Zero(Multiple):
    """A gradient that is zero everywhere: 0 times the correct one."""

    cause = Cause.ZERO

    factor: float = 0.0
    factor_uncertainty: float = 0.0

    @classmethod
    def recognise(cls, mismatch: Mismatch, case: Case) -> Zero | None:
        """Recognise a gradient without any value beyond the rounding of a zero."""
        return cls((mismatch,)) if mismatch.is_zero else None

    def sentence(self, case: Case) -> str:
        """Return where the gradient should have been assigned."""
        it_was = "it was" if len(self.mismatches) == 1 else "they were"
        but, what = f"the cost changes with {self.names}", "the backward pass"
        if isinstance(case.pairing, JacobianPairing):
            but, what = f"{self.names} {self.are} not", "the derivative"
        return (
            f"{self.gradients} {self.are} zero everywhere{self.exempt}, but {but}: {it_was} never "
            f"assigned, or {what} leaves out a path. {self.where_to_look}"
        )


def _made(mismatches: tuple[Mismatch, ...], factor: float, uncertainty: float) -> Scale:
    if abs(factor + 1) <= WHOLE_WITHIN:
        return Sign(mismatches, factor=-1.0, factor_uncertainty=uncertainty)
    return Scale(mismatches, factor=factor, factor_uncertainty=uncertainty)


def _tells(sample: Sample) -> Mask:
    """Return True for the entries that tell a factor."""
    telling: Mask = sample.stands_out & (sample.analytic != 0)
    return telling


def _meant(numbers: NotebookNumbers, width: float) -> tuple[float, ...]:
    """Return the factors that may be meant by one that is known to this relative uncertainty."""
    if width > SHARPLY_KNOWN:
        return SIMPLEST if width <= BLUNTLY_KNOWN else ()
    return (*numbers.factors, *WHOLE_FACTORS)


def _meant_by_one(sample: Sample, numbers: NotebookNumbers) -> tuple[float, ...]:
    """Return the factors that are no coincidence even in a single entry, if they fit exactly.

    Values of few digits, as in an exercise made up by hand, often are multiples of each other.
    """
    (value,) = sample.numerical[_tells(sample)]
    return (-1.0,) if has_few_digits(value) else numbers.factors


def _penalty_beside(sample: Sample, factor: float) -> tuple[float, float] | None:
    """Return λ > 0 and its uncertainty, if a gradient is factor · (d − λ θ) + λ θ."""
    scaled, bar = factor * sample.numerical, abs(factor) * sample.bar
    excess, width = sample.fitted(sample.analytic - scaled, sample.theta, bar + sample.rounding)
    strength, uncertainty = excess / (1 - factor), width / abs(1 - factor)
    if not strength > uncertainty or sample.stands_out.sum() < ANY_NUMBER:
        return None
    if not sample.explained_by(scaled + excess * sample.theta, bar, free=1):
        return None
    return strength, uncertainty


def _meaning(factor: Factor, *, is_complex: bool) -> str:
    """Return the usual reason for a factor, as a question."""
    n, axis, is_part = factor.number, f"`{factor.length}`", factor.kind.startswith("part")
    root = f"{'one over ' if is_part else ''}the square root"
    if factor.kind.endswith("root"):
        return f"The factor is {root} of {axis} = {n}: was a scaling forgotten, or applied twice?"
    root = f", or is it {root} of `{factor.square}` = {n * n}" if factor.square else ""
    if is_part:
        if n == 2:  # noqa: PLR2004 (a half)
            other = ", or is it Wirtinger's ∂J/∂z*, half of ∂J/∂x + i ∂J/∂y" if is_complex else ""
            return f"A factor of ½: was the 2 from the derivative of a square forgotten{other}?"
        equal = f", and {axis} is {n}" if factor.length else ""
        return f"A factor of 1/{n}{equal}: is there one division or mean too many{root}?"
    if n == 2:  # noqa: PLR2004 (twice)
        return "A factor of 2: was the ½ before a square forgotten, or a term added twice?"
    if factor.length and n >= SMALL_FACTOR:
        return f"A factor of {n}, and {axis} is {n}: was the mean over the examples forgotten?"
    or_mean = ", or was a mean forgotten" + root
    if factor.length:
        over = "that axis" if ".shape[" in factor.length else "that many"
        or_mean = f"? Or, as {axis} is {n}, was a mean over {over} forgotten"
    return f"A factor of {n}: is {n}/m used in place of 1/m{or_mean}?"
