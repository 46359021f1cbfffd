"""CONJUGATE: ∂J/∂x − i ∂J/∂y, where the gradient with regard to x + iy is ∂J/∂x + i ∂J/∂y."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gradcheck_magic._diagnosis.causes.scale import Scale
from gradcheck_magic._diagnosis.finding import Case, Finding, is_same
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample
from gradcheck_magic._diagnosis.phrases import factor_text
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import listed

__all__ = ["Conjugate"]

# Half of the conjugate is a derivative that has a name.
WIRTINGER = 0.5
# What it is, half of it, and what is expected.
USUAL = "∂J/∂x − i ∂J/∂y", "∂J/∂z", "∂J/∂x + i ∂J/∂y, the steepest ascent"
OF_JAX = "∂J/∂x + i ∂J/∂y", "∂J/∂z*", "∂J/∂x − i ∂J/∂y, as JAX does"


@dataclass(frozen=True, eq=False, kw_only=True)
class Conjugate(Finding):
    """The complex conjugate of the correct gradient, or a multiple of that.

    Half of it is ∂J/∂z, if ∂J/∂z and ∂J/∂z* are those of Wirtinger.

    References
    ----------
    K. Kreutz-Delgado, The Complex Gradient Operator and the CR-Calculus, arXiv:0906.4835 (2009).
    """

    cause = Cause.CONJUGATE

    factor: float = 1.0
    factor_uncertainty: float = 0.0

    @classmethod
    def among(cls, case: Case) -> list[Finding]:
        """Recognise it in each complex parameter."""
        found = (cls._recognised(*pair, case) for pair in _pairs(case.mismatches))
        return [finding for finding in found if finding is not None]

    @classmethod
    def _recognised(cls, real: Mismatch, imaginary: Mismatch, case: Case) -> Conjugate | None:
        pair = real, imaginary
        # If one part is zero, the conjugate is no other number than this one, or than minus it.
        if imaginary not in case.open or not all(m.sample.stands_out.any() for m in pair):
            return None
        conjugate = replace(imaginary.sample, analytic=-imaginary.sample.analytic)
        sample = Sample.pooled([real.sample, conjugate])
        if sample.explained_by(sample.numerical, sample.bar):
            return cls((imaginary,))
        wrong = tuple(m for m in pair if m.is_wrong)
        times = Scale.of(wrong, sample, case.numbers)
        if times is None:
            return None
        return cls(wrong, factor=times.factor, factor_uncertainty=times.factor_uncertainty)

    def joined(self, other: Finding) -> Finding | None:
        """Share the factor with another parameter."""
        if not isinstance(other, Conjugate):
            return None
        one, two = ((f.factor, f.factor_uncertainty) for f in (self, other))
        return self if is_same(one, two) else None

    def sentence(self, case: Case) -> str:
        """Return which convention it is, and which one is expected."""
        names = list(dict.fromkeys(m.own_gradient_name for m in self.mismatches))
        which = replace(
            self, mismatches=tuple(m for m in self.mismatches if m.parameter.is_imaginary)
        )
        libraries = {m.parameter.library for m in self.mismatches}
        is_jax = any(library is not None and library.conjugates for library in libraries)
        given, half, expected = OF_JAX if is_jax else USUAL
        times, take = "", f"take {names[0]}.conj(), or look"
        if self.factor == WIRTINGER:
            times, given = "half of ", f"Wirtinger's {half} = ½ ({given})"
            take = f"take 2 * {names[0]}.conj(), or look"
        elif self.factor != 1:
            times = f"{factor_text(self.factor, self.factor_uncertainty)} times "
            given, take = f"{times}({given})", "look"
        return (
            f"{listed(names)} {'is' if len(names) == 1 else 'are'} {times}the complex conjugate of "
            f"the gradient, {which.extent}: {given}, for z = x + iy. The check expects {expected}: "
            f"{take} for a conjugate that the backward pass leaves out."
        )


def _pairs(mismatches: tuple[Mismatch, ...]) -> Iterator[tuple[Mismatch, Mismatch]]:
    """Yield the real and the imaginary part of each complex parameter."""
    real = {m.parameter.whole: m for m in mismatches if not m.parameter.is_imaginary}
    for m in mismatches:
        if m.parameter.is_imaginary:
            yield real[m.parameter.whole], m
