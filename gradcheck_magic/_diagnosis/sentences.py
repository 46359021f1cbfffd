"""What a finding says to a person: what, where, how sure, and what to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck_magic._diagnosis.finding import Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, norm
from gradcheck_magic._diagnosis.named_numbers import Factor, NamedNumbers, Strength
from gradcheck_magic._diagnosis.upstream import Layers, is_of_norm
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import counted, listed

__all__ = ["Context", "sentence"]

# Gradients and entries named in a sentence, at most.
NAMED_PLACES = 6
ENTRIES = 3
# A cosine that two digits would call 1.
COSINE_ALIKE = 0.99
# Smaller lengths may well be a typing mistake in front of 1/m, and not the length of anything.
SMALL_FACTOR = 10
# Digits of a factor, if its error bar allows for them.
DIGITS = 4
# A model may leave more unexplained than would be needed for further ones.
MOST_DIGITS = 5


@dataclass(frozen=True)
class Context:
    """What a sentence may refer to.

    Attributes
    ----------
    layers : Layers
        All parameters, right or wrong.
    named_numbers : NamedNumbers
        What numbers may stand for.
    cost_name : str
        What the user calls the cost.
    """

    layers: Layers
    named_numbers: NamedNumbers
    cost_name: str


def sentence(finding: Finding, context: Context) -> str:
    """Return what a finding says."""
    return _SENTENCES[finding.cause](finding, context)


# The parts of a sentence


def _gradients(mismatches: Sequence[Mismatch]) -> str:
    names = [mismatch.gradient_name for mismatch in mismatches]
    return listed(names, most=NAMED_PLACES if len(names) <= NAMED_PLACES else ENTRIES)


def _names(mismatches: Iterable[Mismatch]) -> str:
    return listed(mismatch.name for mismatch in mismatches)


def _is(mismatches: Sequence[Mismatch]) -> str:
    return "is" if len(mismatches) == 1 else "are"


def _everywhere(finding: Finding) -> str:
    """In how many entries, and how sure: zeros are any factor of each other."""
    sample = Sample.pooled(m.sample for m in finding.mismatches)
    zero = (sample.analytic == 0) & (sample.numerical == 0)
    told = int((sample.stands_out & ~zero).sum())
    if told == len(sample):
        which = ""
    elif told == sample.known.sum():
        which = " that were measured"
    elif told == len(sample) - zero.sum():
        which = " that are not zero"
    else:
        which = " that stand out from their error bars"
    if not told:
        return "as far as can be told"
    return f"in {'the one entry' if told == 1 else f'all {told:,} entries'}{which}{_digits(sample)}"


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
    return f"The error enters the backward pass between `{after}` and `{before}`."


def _apart(finding: Finding) -> str:
    """What a factor is not that of."""
    penalised = finding.details.get("penalised", ())
    return f", apart from the regularisation of {listed(penalised)}" if penalised else ""


def _formed(mismatches: Sequence[Mismatch]) -> str:
    return f"Look at where {_gradients(mismatches)} {_is(mismatches)} formed."


def _factor_text(factor: float, uncertainty: float) -> str:
    """The factor with four digits, or with its error bar where that supports fewer."""
    apart = abs(factor - 1)
    digits = DIGITS
    if uncertainty < apart < 1:
        # Enough to tell it from 1.
        digits = max(digits, int(2 - np.floor(np.log10(apart))))
    text = f"{factor:#.{digits}g}"
    if uncertainty > abs(factor) * 10.0 ** (1 - digits):
        text = f"{text} ± {uncertainty:.0e}"
    return f"−{text[1:]}" if factor < 0 else text


def _reading(factor: float, named_numbers: NamedNumbers) -> str:
    """What a factor is usually a sign of, as a question; empty where it means nothing."""
    read = named_numbers.factor(factor)
    if read is None:
        return ""
    if read.kind == "whole":
        return _whole_reading(read)
    if read.kind == "part":
        if read.number == 2:  # noqa: PLR2004 (a half)
            return "A factor ½: a missing 2 from the derivative of a square?"
        equal = f", and `{read.length}` is {read.number}" if read.length else ""
        root = f", or the root of `{read.square}` = {read.number**2}" if read.square else ""
        return f"A factor 1/{read.number}{equal}: divided once too often, or a mean too many{root}?"
    what = "the root" if read.kind == "root" else "one over the root"
    return f"It is {what} of `{read.length}` = {read.number}: a scaling forgotten, or twice?"


def _whole_reading(read: Factor) -> str:
    n = read.number
    if n == 2:  # noqa: PLR2004 (twice)
        return "A factor 2: the derivative of a square without its ½, or a term added twice?"
    if not read.length:
        root = f", or the root of `{read.square}` = {n * n}" if read.square else ""
        return f"A factor {n}: {n}/m in place of 1/m, or a mean forgotten{root}?"
    if n < SMALL_FACTOR:
        return (
            f"A factor {n}: {n}/m in place of 1/m? Or, as `{read.length}` is {n}, a missing mean "
            "over it?"
        )
    return f"A factor {n}, and `{read.length}` is {n}: a missing mean over the examples?"


# A sentence for each cause


def _sign(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    return (
        f"{_gradients(group)} {_is(group)} −1 times the numerical gradient{_apart(finding)}, "
        f"{_everywhere(finding)}: the opposite sign. {_place(finding, _formed(group))}"
    )


def _scale(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    factor = details["factor"]
    reading = _reading(abs(factor), context.named_numbers)
    place = _place(finding, _formed(group))
    if backward := _accumulated(finding, context.named_numbers):
        reading, place = backward, ""
    elif factor < 0:
        more = f", and {reading[0].lower()}{reading[1:]}" if reading else "."
        reading = f"The opposite sign{more}"
    return (
        f"{_gradients(group)} {_is(group)} {_factor_text(factor, details['factor_uncertainty'])} "
        f"times the numerical gradient{_apart(finding)}, {_everywhere(finding)}. "
        f"{reading}{' ' if reading and place else ''}{place}"
    )


def _accumulated(finding: Finding, named_numbers: NamedNumbers) -> str:
    """Whether it is what torch has added up, of all parameters; then, how often."""
    details, read = finding.details, named_numbers.factor(finding.details["factor"])
    is_torch = all(mismatch.gradient_name.endswith(".grad") for mismatch in finding.mismatches)
    everywhere = details.get("before") is not None and not details.get("after")
    if read is None or read.kind != "whole" or not (is_torch and everywhere):
        return ""
    often = "twice" if read.number == 2 else f"{read.number} times"  # noqa: PLR2004 (twice)
    return f"Gradients add up in `.grad`: was backward() called {often} without zero_grad()?"


def _transposed(finding: Finding, _: Context) -> str:
    (mismatch,), details = finding.mismatches, finding.details
    how, axes, why = details["how"], details["axes"], ""
    if how == "reshaped":
        what = "has the values of the numerical gradient in other places"
        why = ": reshaped where it should have been transposed"
        look = "Look for a reshape in its line"
    elif how == "reordered":
        what = "has the values of the numerical gradient in another order"
        look = "Look for a reshape, the order of a flattened array, or an index"
    elif how == "flipped":
        what = f"is the numerical gradient reversed along {_axes(axes)}"
        look = "Look for a flip: convolution and correlation differ by one"
        if len(mismatch.parameter.shape) <= 2:  # noqa: PLR2004 (no more than a matrix)
            look = "Look for [::-1]"
    elif how == "shifted":
        what = f"is the numerical gradient shifted by one along {_axes(axes)}"
        look = "Look for an index that is off by one"
    elif axes == (1, 0):
        what = "is the transpose of the numerical gradient"
        look = "Look at the order of the factors in its line"
    else:
        what = f"has the axes of the numerical gradient in the order {axes}"
        look = "Look at the order of the indices in its line"
    sure = _everywhere(finding)
    return f"`{mismatch.gradient_name}` {what}, {sure}{why}. {look}."


def _axes(axes: Sequence[int]) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {listed(map(str, axes), code=False)}"


def _swapped(finding: Finding, _: Context) -> str:
    group, owners = finding.mismatches, finding.details["owners"]
    pool = Sample.pooled(m.sample for m in group)
    sure = f"in all {len(pool):,} entries{_digits(pool)}"
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
        f"{_gradients(group)} {_is(group)} zero everywhere{_apart(finding)}, and the cost does "
        f"change with {_names(group)}: {never}. {_place(finding, _formed(group))}"
    )


def _regularization(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    strength, uncertainty = details["strength"], details["strength_uncertainty"]
    excess = _factor_text(strength, uncertainty)
    what = "the sign of the parameter" if details["l1"] else "the parameter itself"
    told = _told_of_penalty(strength, context.named_numbers.strength(strength, 2 * uncertainty))
    term = "λ sign(W)" if details["l1"] else "λ W"
    where = _everywhere(finding)
    if "n_wrong" in details:
        where = f"in {details['n_wrong']:,} of {group[0].size:,} entries, and the others are right"
    return (
        f"{_gradients(group)} {_is(group)} off by {excess} times {what}, "
        f"{where}: {told}. Look at the term {term}, or another like it, in the gradient and in "
        f"`{context.cost_name}`."
    )


def _told_of_penalty(strength: float, known: Strength | None) -> str:
    """Whether it is a penalty is sure only where its strength is that of one."""
    if known is not None and known.instead:
        pair = (known.instead, known.formula) if strength > 0 else (known.formula, known.instead)
        return "`{}` in place of `{}`".format(*pair)
    sure = "" if known is not None else "as by "
    by = f", by `{known.formula}`" if known is not None and known.is_whole else ""
    if strength > 0:
        return f"{sure}too much regularisation{by}: doubled, or not in the cost"
    return f"{sure}too little regularisation{by}: missing, or too small"


def _broadcast(finding: Finding, context: Context) -> str:
    details = finding.details
    if details["how"] == "cost":
        return _broadcast_in_cost(finding, context)
    (mismatch,) = finding.mismatches
    gradient = f"`{mismatch.gradient_name}`"
    look = f"Look at the axis of the sum that forms {gradient}."
    if details["how"] == "axis":
        total = details["total"]
        return (
            f"{gradient} has other entries than the numerical gradient and the same total, "
            f"{_signed(f'{total:.6g}')}. Is it summed over the wrong axis? {look}"
        )
    axes, shape = details["axes"], mismatch.parameter.shape
    everywhere = all(axis in axes or length == 1 for axis, length in enumerate(shape))
    same = "is one number" if everywhere else f"is the same all along {_axes(axes)}"
    return (
        f"{gradient} {same}, the {details['how']} of the numerical gradient, "
        f"{_everywhere(finding)}: summed over an axis too many. {look}"
    )


def _broadcast_in_cost(finding: Finding, context: Context) -> str:
    one, other = finding.details["shapes"]
    n = max(*one, *other)
    lines = finding.details["lines"]
    where = f", in {listed(lines)}" if lines else ""
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
    where = "elsewhere"
    if details["n_right"] + mismatch.wrong.sum() < mismatch.size:
        where = "wherever else it is known well enough"
    rest = f"and right {where}, in {details['n_right']:,} of {mismatch.size:,} entries"
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
    if sum(not _is_range(side) for side in sides) > 1:
        index = ", ".join(str(list(side)) for side in sides)
        return f"`{mismatch.gradient_name}[np.ix_({index})]`"
    index = ", ".join(_index(side, length) for side, length in zip(sides, shape, strict=True))
    return f"`{mismatch.gradient_name}[{index}]`"


def _is_range(side: Sequence[int]) -> bool:
    return side[-1] - side[0] == len(side) - 1


def _index(side: Sequence[int], length: int) -> str:
    """An index as NumPy would have it."""
    if len(side) == length > 1:
        return ":"
    if len(side) == 1:
        return str(side[0])
    if _is_range(side):
        return f"{side[0]}:{side[-1] + 1}"
    return str(list(side))


def _entries(finding: Finding, _: Context) -> str:
    if "clipped" in finding.details:
        return _clipped(finding)
    (mismatch,), details = finding.mismatches, finding.details
    gradient, size = f"`{mismatch.gradient_name}`", mismatch.size
    if "n_not_finite" in details:
        return (
            f"{gradient} is nan or infinite in {details['n_not_finite']:,} of {size:,} entries. "
            "Look for a division by zero or an overflow."
        )
    n, right = details["n_wrong"], details["n_right"]
    shown = [str(list(index)) for index in details["indices"][:ENTRIES]]
    more = [f"{n - len(shown):,} more"] if n > len(shown) else []
    labels = listed(shown + more, code=False)
    others = "in the others" if n + right == size else f"in {right:,} others"
    if details.get("within") == Cause.ZERO.name:
        return (
            f"{gradient} is zero in {n:,} of {size:,} entries, {labels}, where the cost does "
            f"change, and right {others}. {'Is it' if n == 1 else 'Are they'} ever assigned?"
        )
    return (
        f"{gradient} is wrong in {n:,} of {size:,} entries, {labels}, and right {others}. Look "
        f"at what {gradient} sums over, and at what is special there."
    )


def _clipped(finding: Finding) -> str:
    group = finding.mismatches
    return (
        f"{_gradients(group)} {_is(group)} clipped to ±{finding.details['clipped']:.6g}: right up "
        "to there, and at it where the numerical gradient is larger. Check the gradient before it "
        "is clipped."
    )


def _masked(finding: Finding, context: Context) -> str:
    details = finding.details
    first = next(m for m in finding.mismatches if m.name == details["name"])
    axis, units = details["axis"], details["indices"]
    nouns = ("row", "column") if len(first.parameter.shape) == 2 else ()  # noqa: PLR2004 (a matrix)
    place = nouns[axis] if nouns else f"index along axis {axis}:"
    which = listed(map(str, units), most=NAMED_PLACES, code=False)
    several = "s" if len(units) > 1 and nouns else ""
    others = [m for m in finding.mismatches if m is not first]
    also = f" (and {_gradients(others)} {_is(others)} wrong with it)" if others else ""
    return (
        f"`{first.gradient_name}` is not zero in {place}{several} {which}, where the numerical "
        f"gradient is exactly zero{also}: gradient flows where `{context.cost_name}` lets nothing "
        "through. Look for a mask that was forgotten on the way back, such as dZ = dA * (Z > 0) or "
        "a dropout's, or for what the cost never uses."
    )


def _upstream(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    cosines = [known["cosine"] for known in details["evidence"] if "cosine" in known]
    spread = f" ({_cosines(cosines)})" if cosines else ""
    wrong = f"{_gradients(group[::-1])} are wrong"
    if not details["after"]:
        return (
            f"The error enters at the start of the backward pass: {wrong}. No simpler cause fits"
            f"{spread}. Look at the derivative of the cost by the output, at what was kept from "
            f"the forward pass, and whether the gradient and `{context.cost_name}` use the same "
            "data and parameters."
        )
    layer = details["layer"]
    fits = "No simpler cause fits"
    if details["right_after"]:
        fits = "What comes after is right, and no simpler cause fits"
    if is_of_norm(details["after"]) and not is_of_norm(details["before"]):
        look = (
            "how the gradient gets through the normalisation between them, whose mean and variance "
            "depend on its input, too"
        )
    elif layer is None:
        look = (
            "the derivative of the activation between them, and at how the gradient gets from the "
            "one to the other"
        )
    else:
        look = f"the derivative of the activation of layer {layer} and at how `dA{layer}` is formed"
    order = "" if details["is_numbered"] else "In the order of the parameters, "
    return (
        f"{order}{'t' if order else 'T'}he error enters the backward pass between "
        f"`{details['after']}` and "
        f"`{details['before']}`: {wrong}. {fits}{spread}. Look at {look}."
    )


def _cosines(cosines: Sequence[float]) -> str:
    least, largest = (_signed(f"{cosine:z.2f}") for cosine in (min(cosines), max(cosines)))
    if min(cosines) > COSINE_ALIKE:
        return f"cosines above {COSINE_ALIKE}"
    return f"cosines {least} to {largest}" if least != largest else f"cosines of {least}"


def _signed(number: str) -> str:
    return number.replace("-", "−")


def _stale(finding: Finding, _: Context) -> str:
    group, details = finding.mismatches, finding.details
    if "learning_rate" not in details:
        return (
            f"{_gradients(group)} {_is(group)} what was right at the previous check, "
            f"{_everywhere(finding)}: the parameters, the data or the cost have changed since. "
            "Compute the gradient again."
        )
    name = f"`{details['name']}` = " if details["name"] else ""
    return (
        f"{_gradients(group)} {_belong(group)} to the parameters before an update with learning "
        f"rate {name}{details['learning_rate']:.6g}: there all is right, in several random "
        "directions. Compute the gradient again after the update."
    )


def _belong(mismatches: Sequence[Mismatch]) -> str:
    return "belongs" if len(mismatches) == 1 else "belong"


def _ignored(finding: Finding, _: Context) -> str:
    group, bar = finding.mismatches, finding.details["within"]
    within = f", to within {bar:.0e}" if bar else ""
    return (
        f"The cost does not change with {_names(group)} here{within}, and {_gradients(group)} "
        f"{_is(group)} not zero. Does the cost use {'it' if len(group) == 1 else 'them'}, or is "
        "all that it reaches switched off?"
    )


def _unknown(finding: Finding, context: Context) -> str:
    if "evidence" in finding.details:
        return _nearly_right(finding, context)
    (mismatch,), details = finding.mismatches, finding.details
    gradient = f"`{mismatch.gradient_name}`"
    if "flat_to" in details:
        return (
            f"{gradient} is not zero, and the slope of the cost is, to within "
            f"{details['flat_to']:.0e}: all that `{mismatch.name}` reaches is switched off, or it "
            "is at a minimum. Check at another point, too."
        )
    if mismatch.size == 1 and "ratio" in details:
        factor = _signed(f"{details['ratio'] * np.sign(details['cosine']):.4g}")
        return f"{gradient} is {factor} times the numerical value; one entry does not tell why."
    known = ""
    if "cosine" in details:
        cosine = _signed(f"{details['cosine']:z.3f}")
        known = (
            f": its cosine with the numerical gradient is {cosine}, and it is "
            f"{details['ratio']:.3g} times as long"
        )
    return (
        f"{gradient} is wrong in {details['n_wrong']:,} of {mismatch.size:,} entries, with no "
        f"simple cause{known}.{_hint(mismatch, context)}"
    )


def _nearly_right(finding: Finding, context: Context) -> str:
    least = min(known["cosine"] for known in finding.details["evidence"])
    return (
        f"{_gradients(finding.mismatches)} are wrong, and nearly right (cosines from {least:.4f}), "
        "with no simple cause. Look whether the gradient was computed with the data and the "
        f"parameters that `{context.cost_name}` now uses (were they updated since?), and at the "
        "derivative of the cost by the output."
    )


def _hint(mismatch: Mismatch, context: Context) -> str:
    """Where to look, if all else in the layer is right."""
    peers = [m for m in context.layers.beside(mismatch) if m.is_compared]
    if not peers or any(m.is_wrong for m in peers):
        return ""
    normalised = all(is_of_norm(m.name) for m in peers) and not is_of_norm(mismatch.name)
    also = ", and at the normalisation after it" if normalised else ""
    return (
        f" {_gradients(peers)}, of the same layer, {_is(peers)} right: look at the line of "
        f"`{mismatch.gradient_name}` itself{also}."
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
