"""The parts of sentences that several causes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, norm
from gradcheck_magic._wording import counted, listed

__all__ = ["are", "at_kinks", "digits", "factor_text", "gradients", "n_of", "numbered", "signed"]

# The largest number of gradients that a sentence names; of more, it names only some.
NAMED_GRADIENTS, NAMED_OF_MANY = 6, 3
# The number of digits given for a factor, if its error bar is small enough.
DIGITS = 4
# A model may leave a relative error of `TOLERANCE`, so more digits would claim too much.
MOST_DIGITS = 5


def gradients(mismatches: Sequence[Mismatch]) -> str:
    """Return the names of some gradients."""
    names = _gradient_names(mismatches)
    return listed(names, most=NAMED_GRADIENTS if len(names) <= NAMED_GRADIENTS else NAMED_OF_MANY)


def are(mismatches: Sequence[Mismatch]) -> str:
    """Return the verb that goes with their names."""
    return "is" if len(_gradient_names(mismatches)) == 1 else "are"


def _gradient_names(mismatches: Sequence[Mismatch]) -> list[str]:
    """Return the name of each gradient; that of a complex one, if both of its parts are there."""
    parts = Counter(m.own_name for m in mismatches)
    names = [m.own_gradient_name if parts[m.own_name] > 1 else m.gradient_name for m in mismatches]
    return list(dict.fromkeys(names))


def numbered(numbers: Sequence[int], one: str, several: str = "") -> str:
    """Return the numbers of some axes, rows and so on."""
    noun = one if len(numbers) == 1 else several or f"{one}s"
    return f"{noun} {listed(map(str, numbers), code=False)}"


def n_of(number: int, mismatch: Mismatch) -> str:
    """Return ``2 of 16 entries``; ``at least 2 of 16 entries`` if others were not measured."""
    least = "" if mismatch.is_judged else "at least "
    return f"{least}{number:,} of {mismatch.size:,} entries"


def signed(number: str) -> str:
    """Return a formatted number with a minus sign in place of a hyphen."""
    return number.replace("-", "−")


def at_kinks(mismatch: Mismatch) -> str:
    """Say that all wrong entries are on kinks, and give the slopes at the first; empty if not."""
    half_gap, wrong = mismatch.half_gap, np.flatnonzero(mismatch.wrong)
    if half_gap is None or not len(wrong) or not half_gap[wrong].all():
        return ""
    k, sample = wrong[0], mismatch.sample
    is_one, place = len(wrong) == 1, list(mismatch.index(int(k)))
    middle, value = sample.numerical[k], sample.analytic[k]
    low, high, found = (
        signed(f"{x:.4g}") for x in (middle - half_gap[k], middle + half_gap[k], value)
    )
    return (
        f" {'It is on a kink' if is_one else 'They are on kinks'} of the cost, where the gradient "
        f"must lie between the slopes on both sides: {'' if is_one else f'at {place}, '}these are "
        f"{low} and {high}, and it is {found}."
    )


def digits(sample: Sample) -> str:
    """Return the number of digits to which the gradient, and so its cause, is known."""
    known = sample.known & (sample.bar < np.abs(sample.numerical))
    numerical, analytic = norm(sample.numerical[known]), norm(sample.analytic[known])
    if not numerical:
        return ""
    relative = norm(sample.bar[known]) / numerical
    relative += norm(sample.rounding[known]) / analytic if analytic else 0.0
    n = int(np.clip(-np.log10(max(relative, 1e-16)), 1, MOST_DIGITS))
    return f", to {counted(n, 'digit')}"


def factor_text(factor: float, uncertainty: float) -> str:
    """Return a factor with four digits, or with its error bar if fewer are known."""
    if factor == -1:
        return "−1"
    apart = abs(factor - 1)
    n_digits = DIGITS
    if uncertainty < apart < 1:
        # More digits are needed to show that it is not 1.
        n_digits = max(n_digits, int(2 - np.floor(np.log10(apart))))
    text = f"{factor:#.{n_digits}g}"
    if uncertainty > abs(factor) * 10.0 ** (1 - n_digits):
        text = f"{text} ± {uncertainty:.0e}"
    return f"−{text[1:]}" if factor < 0 else text
