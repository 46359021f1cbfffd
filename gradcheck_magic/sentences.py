"""What a finding says to a person: what, where, how sure, and what to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck_magic.cause import Cause, Finding
from gradcheck_magic.errors import counted, listed
from gradcheck_magic.layers import same_layer
from gradcheck_magic.mismatch import Mismatch, Sample, norm
from gradcheck_magic.readings import Readings

__all__ = ["Context", "factor_reading", "sentence"]

# Gradients and entries named in a sentence, at most.
NAMED = 6
ENTRIES = 3
# How near to a whole number, or one over it, a factor counts as one; larger ones have no meaning.
WHOLE = 1e-5
LARGEST_READ = 100_000
# Smaller ones may well be a typing mistake in front of 1/m, and not the length of anything.
SMALL = 10
# Digits of a factor, if its error bar allows for them.
DIGITS = 4
MOST_DIGITS = 12


@dataclass(frozen=True)
class Context:
    """What a sentence may refer to.

    Attributes
    ----------
    mismatches : tuple of Mismatch
        All parameters, right or wrong.
    readings : Readings
        What numbers may stand for.
    cost_name : str
        What the user calls the cost.
    """

    mismatches: tuple[Mismatch, ...]
    readings: Readings
    cost_name: str


def sentence(finding: Finding, context: Context) -> str:
    """Return what a finding says."""
    return _SENTENCES[finding.cause](finding, context)


# The parts of a sentence


def _gradients(mismatches: Sequence[Mismatch]) -> str:
    names = [mismatch.gradient_name for mismatch in mismatches]
    if len(names) <= NAMED:
        return listed(names)
    return f"{listed(names[:ENTRIES])} and {len(names) - ENTRIES} more gradients"


def _names(mismatches: Iterable[Mismatch]) -> str:
    return listed(mismatch.name for mismatch in mismatches)


def _is(mismatches: Sequence[Mismatch]) -> str:
    return "is" if len(mismatches) == 1 else "are"


def _everywhere(finding: Finding) -> str:
    """In how many entries, and how sure: zeros are any factor of each other."""
    sample = Sample.pooled(m.sample for m in finding.mismatches)
    zero = int(np.sum((sample.analytic == 0) & (sample.numerical == 0)))
    measured = int(sample.known.sum()) - zero
    if measured < len(sample) - zero:
        which = f"{measured} entries measured"
    else:
        which = f"{measured} entries that are not zero" if zero else f"{measured} entries"
    return f"in all {which}{_digits(sample)}"


def _digits(sample: Sample) -> str:
    """To how many digits the gradient is known, and so what is said of it."""
    known = sample.known & (sample.bar < np.abs(sample.numerical))
    numerical, analytic = norm(sample.numerical[known]), norm(sample.analytic[known])
    if not numerical:
        return ""
    relative = norm(sample.bar[known]) / numerical
    relative += norm(sample.rounding[known]) / analytic if analytic else 0.0
    digits = int(np.clip(-np.log10(max(relative, 1e-16)), 1, MOST_DIGITS))
    return f", to {counted(digits, 'digit')}"


def _place(finding: Finding, otherwise: str) -> str:
    """Where to look: where the group of parameters begins, or where each of them is formed."""
    after, before = finding.details.get("after"), finding.details.get("before")
    if before is None:
        return otherwise
    if not after:
        return "All gradients have it: look at where the backward pass starts."
    return f"It enters the backward pass between `{after}` and `{before}`."


def _formed(mismatches: Sequence[Mismatch]) -> str:
    return f"Look at where {_gradients(mismatches)} {_is(mismatches)} formed."


def _factor_text(factor: float, uncertainty: float) -> str:
    """The factor with four digits, or with its error bar where that supports fewer."""
    apart = abs(factor - 1)
    # Enough to tell it from 1.
    digits = max(DIGITS, int(2 - np.floor(np.log10(apart)))) if 0 < apart < 1 else DIGITS
    text = f"{factor:#.{digits}g}"
    if uncertainty > abs(factor) * 10.0 ** (1 - digits):
        text = f"{text} ± {uncertainty:.0e}"
    return f"−{text[1:]}" if factor < 0 else text


def factor_reading(factor: float, readings: Readings) -> str:
    """What a factor is usually a sign of, as a question; empty where it means nothing."""
    if not 1 / LARGEST_READ <= factor <= LARGEST_READ:
        return ""
    if _is_whole(factor, 2):
        return "A factor 2: the derivative of a square without its ½, or a term added twice?"
    if _is_whole(1 / factor, 2):
        return "A factor ½: a missing 2 from the derivative of a square?"
    if _is_whole(factor):
        return _whole_reading(round(factor), readings.length(factor))
    if _is_whole(1 / factor):
        return _part_reading(round(1 / factor), readings.length(1 / factor))
    return _root_reading(factor, readings)


def _part_reading(n: int, length: str) -> str:
    equal = f", and `{length}` is {n}" if length else ""
    return f"A factor 1/{n}{equal}: divided once too often, or a mean too many?"


def _root_reading(factor: float, readings: Readings) -> str:
    for square, what in ((factor**2, "the root"), (factor**-2, "one over the root")):
        length = readings.length(square) if _is_whole(square) else ""
        if length:
            return f"It is {what} of `{length}` = {round(square)}: a scaling forgotten, or twice?"
    return ""


def _whole_reading(n: int, length: str) -> str:
    if not length:
        return f"A factor {n}: {n}/m in place of 1/m, or a mean forgotten?"
    if n < SMALL:
        return (
            f"A factor {n}: {n}/m in place of 1/m? Or, as `{length}` is {n}, a missing mean over "
            "it?"
        )
    return f"A factor {n}, and `{length}` is {n}: a missing mean over the examples?"


def _is_whole(factor: float, number: int | None = None) -> bool:
    if not 1 < factor <= LARGEST_READ:
        return False
    whole = number or round(factor)
    return whole > 1 and abs(factor - whole) <= WHOLE * factor


# A sentence for each cause


def _sign(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    return (
        f"{_gradients(group)} {_is(group)} −1 times the numerical gradient, "
        f"{_everywhere(finding)}: the opposite sign. {_place(finding, _formed(group))}"
    )


def _scale(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    factor = details["factor"]
    reading = factor_reading(factor, context.readings)
    if factor < 0 and (positive := factor_reading(-factor, context.readings)):
        reading = f"The opposite sign, and more. {positive}"
    apart = ", apart from the regularisation" if "strength" in details else ""
    return (
        f"{_gradients(group)} {_is(group)} {_factor_text(factor, details['factor_uncertainty'])} "
        f"times the numerical gradient{apart}, {_everywhere(finding)}. "
        f"{reading}{' ' if reading else ''}"
        f"{_place(finding, _formed(group))}"
    )


def _transposed(finding: Finding, _: Context) -> str:
    (mismatch,), details = finding.mismatches, finding.details
    why = ""
    if "reshaped" in details:
        what = "has the values of the numerical gradient in other places"
        why = ": reshaped where it should have been transposed"
        look = "Look for a reshape in its line"
    elif "reordered" in details:
        what = "has the values of the numerical gradient in another order"
        look = "Look for a reshape, the order of a flattened array, or an index"
    elif "flipped" in details:
        what = f"is the numerical gradient reversed along {_axes(details['flipped'])}"
        look = "Look for a flip: convolution and correlation differ by one"
        if len(mismatch.parameter.shape) <= 2:  # noqa: PLR2004 (no more than a matrix)
            look = "Look for [::-1]"
    elif "shifted" in details:
        what = f"is the numerical gradient shifted by one along {_axes([details['axis']])}"
        look = "Look for an index that is off by one"
    elif details["axes"] == (1, 0):
        what = "is the transpose of the numerical gradient"
        look = "Look at the order of the factors in its line"
    else:
        what = f"has the axes of the numerical gradient in the order {details['axes']}"
        look = "Look at the order of the indices in its line"
    sure = _everywhere(finding)
    return f"`{mismatch.gradient_name}` {what}, {sure}{why}. {look}."


def _axes(axes: Sequence[int]) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {listed(map(str, axes), code=False)}"


def _swapped(finding: Finding, _: Context) -> str:
    group, owners = finding.mismatches, finding.details["owners"]
    sure = _everywhere(finding)
    look = "Look at the order in which gradients are returned or named."
    if len(group) == 2 and owners == [m.name for m in reversed(group)]:  # noqa: PLR2004 (a pair)
        return (
            f"{_gradients(group)} are exchanged: each is the numerical gradient of the other's "
            f"parameter, {sure}. {look}"
        )
    each = "; ".join(
        f"`{m.gradient_name}` is that of `{owner}`" for m, owner in zip(group, owners, strict=True)
    )
    if len(group) == 1:
        (mismatch,), (owner,) = group, owners
        return (
            f"`{mismatch.gradient_name}` is the numerical gradient of `{owner}`, {sure}. Look at "
            f"the line that assigns `{mismatch.gradient_name}`."
        )
    return f"{_gradients(group)} are in another order, {sure}: {each}. {look}"


def _zero(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    never = "never assigned, or a path forgotten"
    return (
        f"{_gradients(group)} {_is(group)} zero everywhere, and the cost does change with "
        f"{_names(group)}: {never}. {_place(finding, _formed(group))}"
    )


def _regularization(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    strength, uncertainty = details["strength"], details["strength_uncertainty"]
    formula, meaning = context.readings.strength(strength, 2 * uncertainty)
    what = "the sign of the parameter" if details["l1"] else "the parameter itself"
    excess = _factor_text(strength, uncertainty)
    if "in place of it" in meaning:
        told = f"`{meaning.removesuffix(' in place of it')}` in place of `{formula}`"
    elif strength < 0:
        told = "the regularisation is missing" + (f", `{formula}`" if formula else "")
    else:
        told = "a regularisation too many" + (f", `{formula}`" if formula else "")
        told += ": doubled, or not in the cost"
    term = "λ sign(W)" if details["l1"] else "λ W"
    where = _everywhere(finding)
    if "n_wrong" in details:
        where = f"in {details['n_wrong']} of {group[0].size} entries, and the others are right"
    return (
        f"{_gradients(group)} {_is(group)} off by {excess} times {what}, "
        f"{where}: {told}. Look at the term {term} in the gradient and in "
        f"`{context.cost_name}`."
    )


def _broadcast(finding: Finding, context: Context) -> str:
    if "shapes" in finding.details:
        return _broadcast_in_cost(finding, context)
    (mismatch,), details = finding.mismatches, finding.details
    gradient = f"`{mismatch.gradient_name}`"
    if "total" in details:
        return (
            f"{gradient} has other entries than the numerical gradient and the same total, "
            f"{details['total']:.6g}: summed over the wrong axis? Look at the axis of the sum that "
            f"forms {gradient}."
        )
    what = "sum" if "sum" in details else "mean"
    return (
        f"{gradient} is one number where there should be several, the {what} of the numerical "
        f"gradient, {_everywhere(finding)}: summed over an axis too many. Look at the axis of the "
        f"sum that forms {gradient}."
    )


def _broadcast_in_cost(finding: Finding, context: Context) -> str:
    one, other = finding.details["shapes"]
    n = max(*one, *other)
    source = finding.details["source"]
    where = f", in `{source}`" if source else ""
    return (
        f"`{context.cost_name}` makes an array of shape ({n}, {n}) out of {tuple(one)} and "
        f"{tuple(other)}{where}: entry by entry, as was probably meant, "
        f"{_gradients(finding.mismatches)} {_is(finding.mismatches)} right, in several random "
        "directions. Mend the cost: give both the same shape."
    )


def _slice(finding: Finding, _: Context) -> str:
    (mismatch,), details = finding.mismatches, finding.details
    part = _part(mismatch, details["sides"])
    verb = "are" if part.startswith(("Rows", "Columns")) else "is"
    n = int(mismatch.wrong.sum())
    rest = f"and right elsewhere, in {mismatch.size - n} of {mismatch.size} entries"
    within = details.get("within")
    if within == Cause.ZERO.name:
        return f"{part} {verb} zero where the cost does change, {rest}. Is that part ever assigned?"
    if within is not None:
        factor = details["factor"]
        text = "−1" if within == Cause.SIGN.name else _factor_text(
            factor, details["factor_uncertainty"]
        )  # fmt: skip
        return (
            f"{part} {verb} {text} times the numerical gradient, {rest}. Look at what is special "
            "there."
        )
    return f"{part} {verb} wrong, {rest}. Look at what is special there."


def _part(mismatch: Mismatch, sides: Sequence[Sequence[int]]) -> str:
    """What to call a row, a column or a block."""
    shape, gradient = mismatch.parameter.shape, f"`{mismatch.gradient_name}`"
    partial = [axis for axis, side in enumerate(sides) if len(side) < shape[axis]]
    if len(shape) == 2 and len(partial) == 1:  # noqa: PLR2004 (a matrix)
        (axis,) = partial
        noun = ("row", "column")[axis]
        which = listed(map(str, sides[axis]), code=False)
        return f"{noun.capitalize()}{'s' if len(sides[axis]) > 1 else ''} {which} of {gradient}"
    index = ", ".join(_index(side, length) for side, length in zip(sides, shape, strict=True))
    return f"`{mismatch.gradient_name}[{index}]`"


def _index(side: Sequence[int], length: int) -> str:
    """An index as NumPy would have it."""
    if len(side) == length > 1:
        return ":"
    if len(side) == 1:
        return str(side[0])
    if side[-1] - side[0] == len(side) - 1:
        return f"{side[0]}:{side[-1] + 1}"
    return str(list(side))


def _entries(finding: Finding, _: Context) -> str:
    details = finding.details
    if "clipped" in details:
        group = finding.mismatches
        return (
            f"{_gradients(group)} {_is(group)} clipped to ±{details['clipped']:.6g}: right up to "
            "there, and at it where the numerical gradient is larger. Check the gradient before "
            "it is clipped."
        )
    (mismatch,) = finding.mismatches
    gradient, size = f"`{mismatch.gradient_name}`", mismatch.size
    if "n_not_finite" in details:
        return (
            f"{gradient} is nan or infinite in {details['n_not_finite']} of {size} entries. Look "
            "for a division by zero or an overflow."
        )
    n = details["n_wrong"]
    labels = [f"{list(index)}" for index in details["indices"][:ENTRIES]]
    more = f" and {n - ENTRIES} more" if n > ENTRIES else ""
    if details.get("within") == Cause.ZERO.name:
        return (
            f"{gradient} is zero in {n} of {size} entries, {listed(labels, code=False)}{more}, "
            "where the cost does change, and right in the others. Are they ever assigned?"
        )
    return (
        f"{gradient} is wrong in {n} of {size} entries, {listed(labels, code=False)}{more}, and "
        f"right in the others. Look at what {gradient} sums over, and at what is special there."
    )


def _masked(finding: Finding, context: Context) -> str:
    details = finding.details
    first = next(m for m in finding.mismatches if m.name == details["name"])
    noun = ("row", "column")[details["axis"]] if len(first.parameter.shape) == 2 else "index"  # noqa: PLR2004
    which = listed(map(str, details["indices"][:NAMED]), code=False)
    several = "s" if len(details["indices"]) > 1 else ""
    others = [m for m in finding.mismatches if m is not first]
    also = f" (and {_gradients(others)} {_is(others)} wrong with it)" if others else ""
    return (
        f"`{first.gradient_name}` is not zero in {noun}{several} {which}, where the numerical "
        f"gradient is exactly zero{also}: gradient flows where `{context.cost_name}` lets nothing "
        "through. Look for the mask of an activation that was forgotten on the way back, such as "
        "dZ = dA * (Z > 0), or that of a dropout."
    )


def _upstream(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    cosines = [known["cosine"] for known in details["evidence"] if "cosine" in known]
    spread = f" (cosines {min(cosines):.2f} to {max(cosines):.2f})" if cosines else ""
    wrong = f"{_gradients(group[::-1])} are wrong"
    if not details["after"]:
        return (
            f"The error enters at the start of the backward pass: {wrong}. No simpler cause fits"
            f"{spread}. Look at the derivative of the cost by the output, and whether the gradient "
            f"and `{context.cost_name}` use the same data and parameters."
        )
    layer = details["layer"]
    look = (
        "the derivative of the activation between them, and at what is handed back through "
        f"`{details['after']}`"
        if layer is None
        else f"the derivative of the activation of layer {layer} and at how `dA{layer}` is formed"
    )
    return (
        f"The error enters the backward pass between `{details['after']}` and "
        f"`{details['before']}`: {wrong}. What comes after is right, and no simpler cause fits"
        f"{spread}. Look at {look}."
    )


def _stale(finding: Finding, _: Context) -> str:
    details = finding.details
    if "learning_rate" not in details:
        return (
            f"{_gradients(finding.mismatches)} {_is(finding.mismatches)} what was right at the "
            f"previous check, {_everywhere(finding)}: the parameters, the data or the cost have "
            "changed since. Compute the gradient again."
        )
    rate = details["learning_rate"]
    name = f"`{details['name']}` = " if details["name"] else ""
    return (
        f"These gradients belong to the parameters before an update with learning rate "
        f"{name}{rate:.6g}: there they are right, in several random directions. Compute the "
        "gradient again after the update."
    )


def _ignored(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    return (
        f"The cost does not change with {_names(group)} at all, and {_gradients(group)} "
        f"{_is(group)} not zero: does the cost use {'it' if len(group) == 1 else 'them'}?"
    )


def _unknown(finding: Finding, context: Context) -> str:
    if "evidence" in finding.details:
        cosines = [known["cosine"] for known in finding.details["evidence"]]
        return (
            f"Every gradient is wrong, and nearly right (cosines from {min(cosines):.4f}), with no "
            "simple cause. Look whether the gradient was computed with the data and the parameters "
            f"that `{context.cost_name}` now uses (were they updated since?), and at the "
            "derivative of the cost by the output."
        )
    (mismatch,), details = finding.mismatches, finding.details
    gradient, size = f"`{mismatch.gradient_name}`", mismatch.size
    if size == 1 and "ratio" in details:
        factor = details["ratio"] * np.sign(details["cosine"])
        return f"{gradient} is {factor:.4g} times the numerical value; one entry does not tell why."
    known = ""
    if "cosine" in details:
        known = (
            f": its cosine with the numerical gradient is {details['cosine']:.3f}, and it is "
            f"{details['ratio']:.3g} times as long"
        )
    peers = [m for m in same_layer(mismatch, context.mismatches) if m.is_compared]
    right = [m for m in peers if not m.is_wrong]
    hint = ""
    if right and len(right) == len(peers):
        hint = (
            f" {_gradients(right)}, of the same layer, {_is(right)} right: look at the line of "
            f"{gradient} itself."
        )
    return (
        f"{gradient} is wrong in {details['n_wrong']} of {size} entries, with no simple cause"
        f"{known}.{hint}"
    )


_SENTENCES: dict[Cause, Callable[[Finding, Context], str]] = {
    Cause.SIGN: _sign,
    Cause.SCALE: _scale,
    Cause.TRANSPOSED: _transposed,
    Cause.SWAPPED: _swapped,
    Cause.ZERO: _zero,
    Cause.REGULARIZATION: _regularization,
    Cause.BROADCAST: _broadcast,
    Cause.SLICE: _slice,
    Cause.ENTRIES: _entries,
    Cause.MASK: _masked,
    Cause.UPSTREAM: _upstream,
    Cause.STALE: _stale,
    Cause.COST_IGNORES_PARAMETERS: _ignored,
    Cause.UNKNOWN: _unknown,
}
