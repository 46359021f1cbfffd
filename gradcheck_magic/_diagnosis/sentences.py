"""Turns a finding into a sentence: what is wrong, where, how certain it is, what to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck_magic._diagnosis.finding import Finding
from gradcheck_magic._diagnosis.mismatch import Mismatch, Sample, norm
from gradcheck_magic._diagnosis.notebook_numbers import Factor, NotebookNumbers, Strength
from gradcheck_magic._diagnosis.upstream import Layers, is_of_norm
from gradcheck_magic._result.cause import Cause
from gradcheck_magic._wording import counted, listed

__all__ = ["Context", "sentence"]

# The largest numbers of gradients and entries that a sentence names.
NAMED_PLACES = 6
ENTRIES = 3
# A larger cosine would be rounded to 1.00.
COSINE_ALIKE = 0.99
# A smaller relative difference is given as a percentage: cosine and length ratio would round to 1.
SMALL_DIFFERENCE = 0.1
# A smaller factor may well be a typing mistake before 1/m, even if some axis has that length.
SMALL_FACTOR = 10
# The number of digits given for a factor, if its error bar is small enough.
DIGITS = 4
# A model may leave a relative error of `TOLERANCE`, so more digits would claim too much.
MOST_DIGITS = 5


@dataclass(frozen=True)
class Context:
    """The context that a sentence may refer to.

    Attributes
    ----------
    layers : Layers
        All parameters, correct or wrong.
    numbers : NotebookNumbers
        The lengths and numbers that the notebook knows by name.
    cost_name : str
        The user's name for the cost.
    """

    layers: Layers
    numbers: NotebookNumbers
    cost_name: str


def sentence(finding: Finding, context: Context) -> str:
    """Return the sentence that describes a finding."""
    return _SENTENCES[finding.cause](finding, context)


# The parts of a sentence


def _gradients(mismatches: Sequence[Mismatch]) -> str:
    names = [mismatch.gradient_name for mismatch in mismatches]
    return listed(names, most=NAMED_PLACES if len(names) <= NAMED_PLACES else ENTRIES)


def _names(mismatches: Iterable[Mismatch]) -> str:
    return listed(mismatch.name for mismatch in mismatches)


def _is(mismatches: Sequence[Mismatch]) -> str:
    return "is" if len(mismatches) == 1 else "are"


def _extent(finding: Finding) -> str:
    """Return in how many entries, and to how many digits, a finding holds.

    Entries in which both gradients are zero do not count: any factor relates them.
    """
    sample = Sample.pooled(m.sample for m in finding.mismatches)
    zero = (sample.analytic == 0) & (sample.numerical == 0)
    told = int((sample.stands_out & ~zero).sum())
    if told == len(sample):
        which, clear = "", ""
    elif told == sample.known.sum():
        which, clear = "measured ", ""
    elif told == len(sample) - zero.sum():
        which, clear = "nonzero ", ""
    else:
        which, clear = "", " clearly larger than their error bars"
    if not told:
        return "as far as the error bars can tell"
    entries = f"the only {which}entry" if told == 1 else f"all {told:,} {which}entries"
    return f"in {entries}{clear}{_digits(sample)}"


def _digits(sample: Sample) -> str:
    """Return the number of digits to which the gradient, and so the finding, is known."""
    known = sample.known & (sample.bar < np.abs(sample.numerical))
    numerical, analytic = norm(sample.numerical[known]), norm(sample.analytic[known])
    if not numerical:
        return ""
    relative = norm(sample.bar[known]) / numerical
    relative += norm(sample.rounding[known]) / analytic if analytic else 0.0
    digits = int(np.clip(-np.log10(max(relative, 1e-16)), 1, MOST_DIGITS))
    return f", to {counted(digits, 'digit')}"


def _where_to_look(finding: Finding, otherwise: str) -> str:
    """Return where to look: at the place before all of these parameters, or `otherwise`."""
    after, before = finding.details.get("after"), finding.details.get("before")
    if before is None:
        return otherwise
    if not after:
        return "All gradients share it: look at the start of the backward pass."
    return f"The error enters the backward pass between `{after}` and `{before}`."


def _exempt(finding: Finding) -> str:
    """Return the part of the gradient that a factor does not apply to."""
    penalised = finding.details.get("penalised", ())
    return f", apart from the regularisation of {listed(penalised)}" if penalised else ""


def _look_at(mismatches: Sequence[Mismatch]) -> str:
    return f"Look at where {_gradients(mismatches)} {_is(mismatches)} computed."


def _factor_text(factor: float, uncertainty: float) -> str:
    """Return the factor with four digits, or with its error bar if fewer are known."""
    apart = abs(factor - 1)
    digits = DIGITS
    if uncertainty < apart < 1:
        # More digits are needed to show that it is not 1.
        digits = max(digits, int(2 - np.floor(np.log10(apart))))
    text = f"{factor:#.{digits}g}"
    if uncertainty > abs(factor) * 10.0 ** (1 - digits):
        text = f"{text} ± {uncertainty:.0e}"
    return f"−{text[1:]}" if factor < 0 else text


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


# A sentence for each cause


def _sign(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    return (
        f"{_gradients(group)} {_is(group)} −1 times the numerical gradient{_exempt(finding)}, "
        f"{_extent(finding)}: the sign is reversed. {_where_to_look(finding, _look_at(group))}"
    )


def _scale(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    factor = details["factor"]
    reading = _meaning(abs(factor), context.numbers)
    place = _where_to_look(finding, _look_at(group))
    if backward := _accumulated_in_torch(finding, context.numbers):
        reading, place = backward, ""
    elif factor < 0:
        reading = f"The sign is reversed. {reading}".rstrip()
    return (
        f"{_gradients(group)} {_is(group)} {_factor_text(factor, details['factor_uncertainty'])} "
        f"times the numerical gradient{_exempt(finding)}, {_extent(finding)}. "
        f"{reading}{' ' if reading and place else ''}{place}"
    )


def _accumulated_in_torch(finding: Finding, numbers: NotebookNumbers) -> str:
    """Return a sentence if torch has accumulated several gradients; otherwise an empty string."""
    details, read = finding.details, numbers.factor(finding.details["factor"])
    is_torch = all(mismatch.gradient_name.endswith(".grad") for mismatch in finding.mismatches)
    everywhere = details.get("before") is not None and not details.get("after")
    if read is None or read.kind != "whole" or not (is_torch and everywhere):
        return ""
    often = "twice" if read.number == 2 else f"{read.number} times"  # noqa: PLR2004 (twice)
    return f"Gradients add up in `.grad`: was backward() called {often} without zero_grad()?"


def _transposed(finding: Finding, _: Context) -> str:
    (mismatch,), details = finding.mismatches, finding.details
    how, axes, why = details["how"], details["axes"], ""
    line = f"the line that computes `{mismatch.gradient_name}`"
    if how == "reshaped":
        what = "contains the values of the numerical gradient in other places"
        why = ": it was reshaped where it should have been transposed"
        look = f"Look for a reshape in {line}"
    elif how == "reordered":
        what = "contains the values of the numerical gradient in another order"
        look = "Look for a reshape, the order of a flattened array, or a wrong index"
    elif how == "flipped":
        what = f"is the numerical gradient reversed along {_axes(axes)}"
        look = "Look for a flip: it is what distinguishes convolution from correlation"
        if len(mismatch.parameter.shape) <= 2:  # noqa: PLR2004 (no more than a matrix)
            look = "Look for [::-1]"
    elif how == "shifted":
        what = f"is the numerical gradient shifted by one along {_axes(axes)}"
        look = "Look for an index that is off by one"
    elif axes == (1, 0):
        what = "is the transpose of the numerical gradient"
        look = f"Look at the order of the factors in {line}"
    else:
        what = f"has the axes of the numerical gradient in the order {axes}"
        look = f"Look at the order of the indices in {line}"
    sure = _extent(finding)
    return f"`{mismatch.gradient_name}` {what}, {sure}{why}. {look}."


def _axes(axes: Sequence[int]) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {listed(map(str, axes), code=False)}"


def _swapped(finding: Finding, _: Context) -> str:
    group, owners = finding.mismatches, finding.details["owners"]
    pool = Sample.pooled(m.sample for m in group)
    sure = f"in all {len(pool):,} entries{_digits(pool)}"
    look = "Look at the order in which the gradients are returned or named."
    if len(group) == 2 and owners == [m.name for m in reversed(group)]:  # noqa: PLR2004 (a pair)
        return (
            f"{_gradients(group)} are swapped: each is the numerical gradient of the other's "
            f"parameter, {sure}. {look}"
        )
    each = "; ".join(
        f"`{m.gradient_name}` is the gradient of `{owner}`"
        for m, owner in zip(group, owners, strict=True)
    )
    if len(group) == 1:
        (mismatch,), (owner,) = group, owners
        return (
            f"`{mismatch.gradient_name}` is the numerical gradient of `{owner}`, {sure}. Look at "
            f"the line that assigns `{mismatch.gradient_name}`."
        )
    return f"{_gradients(group)} are in the wrong order, {sure}: {each}. {look}"


def _zero(finding: Finding, _: Context) -> str:
    group = finding.mismatches
    never = "never assigned, or the backward pass leaves out a path"
    it_was = "it was" if len(group) == 1 else "they were"
    return (
        f"{_gradients(group)} {_is(group)} zero everywhere{_exempt(finding)}, but the cost changes "
        f"with {_names(group)}: {it_was} {never}. {_where_to_look(finding, _look_at(group))}"
    )


def _regularization(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    strength, uncertainty = details["strength"], details["strength_uncertainty"]
    excess = _factor_text(strength, uncertainty)
    what = "the sign of the parameter" if details["l1"] else "the parameter itself"
    told = _penalty_error(strength, context.numbers.strength(strength, 2 * uncertainty))
    term = "λ sign(W)" if details["l1"] else "λ W"
    where = _extent(finding)
    if "n_wrong" in details:
        where = (
            f"in {details['n_wrong']:,} of {group[0].size:,} entries, while the others are correct"
        )
    return (
        f"{_gradients(group)} {_is(group)} off by {excess} times {what}, "
        f"{where}: {told}. Look at the term {term}, or one like it, in the gradient and in "
        f"`{context.cost_name}`."
    )


def _penalty_error(strength: float, known: Strength | None) -> str:
    """Say how the regularisation is wrong; it is certain only if the strength is a known one."""
    if known is not None and known.instead:
        pair = (known.instead, known.formula) if strength > 0 else (known.formula, known.instead)
        return "`{}` is used in place of `{}`".format(*pair)
    strong, why = "strong", "doubled, or not in the cost"
    if strength <= 0:
        strong, why = "weak", "missing, or too small"
    if known is None:
        return f"as if regularisation were too {strong} (its term may be {why})"
    by = f" by `{known.formula}`" if known.is_whole else ""
    return f"regularisation is too {strong}{by} (its term is {why})"


def _broadcast(finding: Finding, context: Context) -> str:
    details = finding.details
    if details["how"] == "cost":
        return _broadcast_in_cost(finding, context)
    (mismatch,) = finding.mismatches
    gradient = f"`{mismatch.gradient_name}`"
    look = f"Look at the axis of the sum that computes {gradient}."
    if details["how"] == "axis":
        total = details["total"]
        return (
            f"{gradient} differs from the numerical gradient but has the same total, "
            f"{_signed(f'{total:.6g}')}. Is it summed over the wrong axis? {look}"
        )
    axes, shape = details["axes"], mismatch.parameter.shape
    everywhere = all(axis in axes or length == 1 for axis, length in enumerate(shape))
    along = "" if everywhere else f" along {_axes(axes)}"
    return (
        f"{gradient} is constant{along}, equal to the {details['how']} of the numerical gradient, "
        f"{_extent(finding)}: the sum runs over one axis too many. {look}"
    )


def _broadcast_in_cost(finding: Finding, context: Context) -> str:
    one, other = finding.details["shapes"]
    n = max(*one, *other)
    lines = finding.details["lines"]
    where = f", in {listed(lines)}" if lines else ""
    return (
        f"`{context.cost_name}` broadcasts arrays of shapes {tuple(one)} and {tuple(other)} to "
        f"({n}, {n}){where}. If they are combined entry by entry, as was probably meant, "
        f"{_gradients(finding.mismatches)} {_is(finding.mismatches)} correct, in several random "
        "directions. Fix the cost: give both arrays the same shape."
    )


def _slice(finding: Finding, _: Context) -> str:
    (mismatch,), details = finding.mismatches, finding.details
    part = _part_name(mismatch, details["sides"])
    verb = "are" if part.startswith(("Rows", "Columns")) else "is"
    known = ""
    if details["n_right"] + mismatch.wrong.sum() < mismatch.size:
        known = " as far as it is known"
    rest = (
        f"the rest of `{mismatch.gradient_name}` is correct{known} "
        f"({details['n_right']:,} of {mismatch.size:,} entries)"
    )
    within = details.get("within")
    if within == Cause.ZERO.name:
        return (
            f"{part} {verb} zero where the numerical gradient is not; {rest}. Is that part ever "
            "assigned?"
        )
    special = "Look at what is special about that part."
    if within is not None:
        factor = details["factor"]
        text = "−1" if within == Cause.SIGN.name else _factor_text(
            factor, details["factor_uncertainty"]
        )  # fmt: skip
        return f"{part} {verb} {text} times the numerical gradient; {rest}. {special}"
    return f"{part} {verb} wrong; {rest}. {special}"


def _part_name(mismatch: Mismatch, sides: Sequence[Sequence[int]]) -> str:
    """Return the name of a row, a column or a block."""
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
    """Return an index in NumPy's notation."""
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
        is_it = "Is that entry" if n == 1 else "Are these entries"
        return (
            f"{gradient} is zero in {n:,} of {size:,} entries, {labels}, where the numerical "
            f"gradient is not, and correct {others}. {is_it} ever assigned?"
        )
    return (
        f"{gradient} is wrong in {n:,} of {size:,} entries, {labels}, and correct {others}. Look "
        f"at what {gradient} sums over, and at what is special about "
        f"{'that entry' if n == 1 else 'these entries'}."
    )


def _clipped(finding: Finding) -> str:
    group = finding.mismatches
    return (
        f"{_gradients(group)} {_is(group)} clipped to ±{finding.details['clipped']:.6g}: entries "
        "within this bound are correct, and those at the bound should be larger. Check the "
        "gradient before it is clipped."
    )


def _masked(finding: Finding, context: Context) -> str:
    details = finding.details
    first = next(m for m in finding.mismatches if m.name == details["name"])
    axis, units = details["axis"], details["indices"]
    which = listed(map(str, units), most=NAMED_PLACES, code=False)
    several = len(units) > 1
    if len(first.parameter.shape) == 2:  # noqa: PLR2004 (a matrix)
        place = f"in {('row', 'column')[axis]}{'s' if several else ''} {which}"
    else:
        place = f"at {'indices' if several else 'index'} {which} of axis {axis}"
    others = [m for m in finding.mismatches if m is not first]
    also = f" ({_gradients(others)} {_is(others)} wrong, too)" if others else ""
    return (
        f"`{first.gradient_name}` is not zero {place}, where the numerical gradient is exactly "
        f"zero{also}: the backward pass lets a gradient through where `{context.cost_name}` blocks "
        "it. Look for a mask that is missing in the backward pass, such as dZ = dA * (Z > 0) or "
        "that of dropout, or for something that the cost never uses."
    )


def _upstream(finding: Finding, context: Context) -> str:
    group, details = finding.mismatches, finding.details
    cosines = [known["cosine"] for known in details["evidence"] if "cosine" in known]
    spread = f" ({_cosines(cosines)})" if cosines else ""
    wrong = f"{_gradients(group[::-1])} are wrong"
    if not details["after"]:
        return (
            f"The error enters at the start of the backward pass: {wrong}. No simpler cause fits"
            f"{spread}. Look at the derivative of the cost with respect to the output and at the "
            "values kept from the forward pass, and check that the gradient and "
            f"`{context.cost_name}` use the same data and parameters."
        )
    layer = details["layer"]
    fits = "No simpler cause fits"
    if details["right_after"]:
        fits = "The layers closer to the output are right, and no simpler cause fits"
    if is_of_norm(details["after"]) and not is_of_norm(details["before"]):
        look = (
            "how the gradient passes through the normalisation between them, whose mean and "
            "variance also depend on its input"
        )
    elif layer is None:
        look = (
            "the derivative of the activation between them, and at how the gradient passes from "
            "one to the other"
        )
    else:
        look = (
            f"the derivative of the activation of layer {layer} and at how `dA{layer}` is computed"
        )
    order = ""
    if not details["is_numbered"]:
        order = "If the parameters are in order from input to output, "
    return (
        f"{order}{'t' if order else 'T'}he error enters the backward pass between "
        f"`{details['after']}` and "
        f"`{details['before']}`: {wrong}. {fits}{spread}. Look at {look}."
    )


def _cosines(cosines: Sequence[float]) -> str:
    least, largest = (_signed(f"{cosine:z.2f}") for cosine in (min(cosines), max(cosines)))
    if min(cosines) > COSINE_ALIKE:
        return f"cosine similarity above {COSINE_ALIKE}"
    return f"cosine similarity {least}" + (f" to {largest}" if least != largest else "")


def _signed(number: str) -> str:
    return number.replace("-", "−")


def _stale(finding: Finding, _: Context) -> str:
    group, details = finding.mismatches, finding.details
    if "learning_rate" not in details:
        return (
            f"{_gradients(group)} {_is(group)} equal to the numerical gradient of the previous "
            f"check, {_extent(finding)}: the parameters, the data or the cost have changed "
            "since. Compute the gradient again."
        )
    name = f"`{details['name']}` = " if details["name"] else ""
    return (
        f"{_gradients(group)} {_belong(group)} to the parameters before an update with learning "
        f"rate {name}{details['learning_rate']:.6g}: there, the gradient is correct, in several "
        "random directions. Compute the gradient again after the update."
    )


def _belong(mismatches: Sequence[Mismatch]) -> str:
    return "belongs" if len(mismatches) == 1 else "belong"


def _ignored(finding: Finding, _: Context) -> str:
    group, bar = finding.mismatches, finding.details["within"]
    within = f", to within {bar:.0e}" if bar else ""
    it, it_feeds = ("it", "it feeds") if len(group) == 1 else ("them", "they feed")
    return (
        f"The cost does not change with {_names(group)} here{within}, but {_gradients(group)} "
        f"{_is(group)} not zero. Does the cost use {it}, or is everything that {it_feeds} switched "
        "off?"
    )


def _unknown(finding: Finding, context: Context) -> str:
    if "evidence" in finding.details:
        return _nearly_right(finding, context)
    (mismatch,), details = finding.mismatches, finding.details
    gradient = f"`{mismatch.gradient_name}`"
    if "flat_to" in details:
        return (
            f"{gradient} is not zero, but the slope of the cost is, to within "
            f"{details['flat_to']:.0e}: everything that `{mismatch.name}` feeds is switched off, "
            "or it is at a minimum. Check at another point as well."
        )
    if mismatch.size == 1 and "ratio" in details:
        factor = _signed(f"{details['ratio'] * np.sign(details['cosine']):.4g}")
        return f"{gradient} is {factor} times the numerical value; a single entry cannot show why."
    known = ""
    if "cosine" in details:
        known = f": {_compared(details['cosine'], details['ratio'])}"
    return (
        f"{gradient} is wrong in {details['n_wrong']:,} of {mismatch.size:,} entries, with no "
        f"simple pattern{known}.{_peers_hint(mismatch, context)}"
    )


def _compared(cosine: float, ratio: float) -> str:
    """Say how far a gradient is from the numerical one, given their cosine and length ratio."""
    off = np.sqrt((ratio - 1) ** 2 + 2 * ratio * (1 - min(cosine, 1.0)))
    if off < SMALL_DIFFERENCE:
        return f"it differs from the numerical gradient by {100 * off:.2g} %"
    return (
        f"its cosine similarity with the numerical gradient is {_signed(f'{cosine:z.3f}')}, and it "
        f"is {ratio:.3g} times as long"
    )


def _nearly_right(finding: Finding, context: Context) -> str:
    least = min(known["cosine"] for known in finding.details["evidence"])
    return (
        f"{_gradients(finding.mismatches)} are wrong, but nearly right (cosine similarity at least "
        f"{least:.4f}), with no simple pattern. Check that the gradient was computed with the data "
        f"and the parameters that `{context.cost_name}` uses now (were they updated since?), and "
        "look at the derivative of the cost with respect to the output."
    )


def _peers_hint(mismatch: Mismatch, context: Context) -> str:
    """Return where to look if everything else in the layer is correct."""
    peers = [m for m in context.layers.beside(mismatch) if m.is_compared]
    if not peers or any(m.is_wrong for m in peers):
        return ""
    normalised = all(is_of_norm(m.name) for m in peers) and not is_of_norm(mismatch.name)
    also = ", and at the normalisation after it" if normalised else ""
    return (
        f" {_gradients(peers)}, in the same layer, {_is(peers)} correct: look at the line that "
        f"computes `{mismatch.gradient_name}`{also}."
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
