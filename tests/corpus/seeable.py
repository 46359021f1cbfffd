"""The limits of finite differences: the deviations that they could ever see.

**The stated rule.** Take the plain central difference quotient of the cost as it is given, in its
own precision, at the steps h = s · 10⁻ᵏ for k = 1, 1.5, 2, …, 9, with s = max(1, |θᵢ|); or up to
k = 12 if a parameter's largest entry is below 1e-3. Where the corpus states the length scale of a
parameter (it is small, as in metres, or the parameter is far from zero, as in years), s is that
length, and k goes up to 9. The difference *can see* a deviation δ of entry i if, at three
neighbouring steps of that list, it is no further than |δ| / 10 from the true derivative. At a kink
the two one-sided quotients, in order, must be that close to the two one-sided slopes, in order.
Where kinks meet, the least and the greatest slope near by take the place of the two one-sided ones:
what is right there is often more than an entry's own two quotients can show.

If the corpus rounds the cost on purpose, to multiples of g, the quotient must not be close by luck,
as 0 is where the cost does not move: 2h|δ| must be at least g.

A wrong gradient **can be seen** if the deviation of at least one entry can be seen. (The entries
tried are those with the five largest deviations relative to the largest true entry of their
parameter, and those with the five largest relative to the entry itself.)

A correct gradient **can be confirmed** if, for every parameter, a deviation of a thousandth of its
largest true entry, at that entry, could be seen. A parameter whose largest true entry is at most
1e-12 of the largest of all counts as zero, and needs no confirmation.
"""

import numpy as np

# A parameter below this, three powers of ten smaller than usual, has its own length scale.
TINY = 1e-3
TRIED = 5


def visible(case):
    """Return True if the difference can see that this gradient is wrong."""
    return any(
        can_see(case, name, index, deviation) for name, index, deviation in largest_deviations(case)
    )


def confirmable(case):
    """Return True if the difference can see that this gradient is correct."""
    largest = {
        name: np.maximum(np.abs(case.lower[name]), np.abs(case.upper[name])) for name in case.params
    }
    zero = 1e-12 * max(value.max() for value in largest.values())
    return all(
        can_see(case, name, np.unravel_index(value.argmax(), value.shape), 1e-3 * value.max())
        for name, value in largest.items()
        if value.max() > zero
    )


def largest_deviations(case):
    """Return parameter, index and deviation of the entries that are worth trying."""
    rows = []
    for name, grad in case.grads.items():
        lower, upper = case.lower[name], case.upper[name]
        nearest = np.clip(np.asarray(grad, dtype=float), lower, upper)
        deviation = np.abs(grad - nearest)
        sizes = np.abs(nearest).max(), np.abs(grad) + np.abs(nearest)
        # Relative to zero, any deviation is infinite.
        ratios = [
            np.divide(deviation, size, out=np.full(grad.shape, np.inf), where=size > 1e-300)
            for size in sizes
        ]
        rows += [
            (name, index, float(deviation[index]), *(ratio[index] for ratio in ratios))
            for index in np.ndindex(grad.shape)
            if deviation[index] > 0
        ]
    tried = {}
    for key in (3, 4):
        for row in sorted(rows, key=lambda row: row[key], reverse=True)[:TRIED]:
            tried[row[:2]] = row[:3]
    return list(tried.values())


def can_see(case, name, index, deviation):
    """Return True if three neighbouring quotients are within a tenth of the deviation."""
    slopes = case.lower[name][index], case.upper[name][index]
    in_a_row = 0
    for step in steps(case.params[name], index, case.lengths.get(name)):
        apart = off(case, name, index, step, slopes)
        near = apart <= deviation / 10 and case.granularity <= 2 * step * deviation
        in_a_row = in_a_row + 1 if near else 0
        if in_a_row == 3:
            return True
    return False


def steps(value, index, length=None):
    """Yield the steps of the rule for one entry, the largest first."""
    last = 12 if length is None and np.abs(value).max() < TINY else 9
    for twice in range(2, 2 * last + 1):
        yield (length or max(1.0, abs(float(value[index])))) * 10 ** (-twice / 2)


def off(case, name, index, step, slopes):
    """Return the quotient's distance from the truth; infinite if there is no quotient."""
    right, at_right = moved(case, name, index, step)
    left, at_left = moved(case, name, index, -step)
    if slopes[0] == slopes[1]:
        return abs(ratio(right - left, at_right - at_left) - slopes[0])
    here, at = moved(case, name, index, 0.0)
    quotients = sorted([ratio(right - here, at_right - at), ratio(here - left, at - at_left)])
    return max(abs(q - slope) for q, slope in zip(quotients, slopes, strict=True))


def moved(case, name, index, step):
    """Return the cost with one entry moved, and the entry itself after rounding."""
    value = case.params[name].copy()
    value[index] += step
    return float(case.cost({**case.params, name: value})), float(value[index])


def ratio(rise, run):
    """Return the quotient; infinite if the step was lost to rounding or the cost overflowed."""
    quotient = rise / run if run else np.inf
    return quotient if np.isfinite(quotient) else np.inf
