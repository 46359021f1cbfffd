"""Bugs planted at the end of the backward pass, in a gradient that was correct until then."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np


@dataclass(frozen=True)
class Bug:
    """A bug: `inside` the backward pass, in the `decay`, or of a `kind` at its end."""

    name: str = ""
    inside: bool = False
    kind: str = ""
    where: str = ""
    other: str = ""
    decay: float = 1.0


RIGHT = Bug()


def entry(grad, name):
    """Return the index of one entry, always the same for a name."""
    return np.unravel_index(crc32(name.encode()) % grad.size, grad.shape)


def one_times(grad):
    wrong = grad.copy()
    wrong[entry(grad, "times")] *= 1.1
    return wrong


def one_plus(grad):
    wrong = grad.copy()
    wrong[entry(grad, "plus")] += 0.1 * np.sqrt(np.mean(grad**2))
    return wrong


def row_zero(grad):
    wrong = grad.copy()
    wrong[entry(grad, "row")[0]] = 0
    return wrong


def column_zero(grad):
    wrong = grad.copy()
    wrong[..., entry(grad, "column")[-1]] = 0
    return wrong


# Bugs in the gradient of one parameter.
KINDS = {
    "opposite sign of": np.negative,
    "twice": lambda grad: grad * 2,
    "half of": lambda grad: grad / 2,
    "1.001 times": lambda grad: grad * 1.001,
    "one entry 10 % too large in": one_times,
    "one entry shifted in": one_plus,
    "a row zero in": row_zero,
    "a column zero in": column_zero,
    "nothing for": np.zeros_like,
    "transposed": np.transpose,
}


def suits(kind, shape):
    """Return True if a parameter of this shape can have this kind of bug."""
    if kind == "transposed":
        return len(shape) == 2 and shape[0] == shape[1] > 1
    if kind.endswith("zero in"):
        return len(shape) > 1
    # If there is only one entry, it is the whole parameter, which has its own kinds of bugs.
    return not kind.startswith("one entry") or np.prod(shape) > 1


def outer_bugs(params, m):
    """Return all bugs for the end of a backward pass with these parameters and `m` examples."""
    bugs = [
        Bug(f"{kind} {name}", kind=kind, where=name)
        for kind in KINDS
        for name, value in params.items()
        if suits(kind, value.shape)
    ]
    names = list(params)
    bugs += [
        Bug(f"{a} and {b} exchanged", kind="exchanged", where=a, other=b)
        for position, a in enumerate(names)
        for b in names[position + 1 :]
        if params[a].size == params[b].size
    ]
    if m > 1:
        bugs.append(Bug("everything by m once more", kind="by m"))
        bugs += [Bug(f"mean forgotten in {name}", kind="mean", where=name) for name in names]
    return bugs


def decay_bugs():
    """Return the bugs of a regularisation."""
    return [
        Bug("regularisation forgotten", decay=0.0),
        Bug("regularisation doubled", decay=2.0),
    ]


def wrong_gradient(problem, bug):
    """Return the gradient of a problem with this bug, in the precision of the backward pass."""
    grads = problem.gradient(bug.name if bug.inside else "", decay_factor=bug.decay)
    if bug.kind == "by m":
        return {name: grad / problem.data["m"] for name, grad in grads.items()}
    if bug.kind == "exchanged":
        a, b = grads[bug.where], grads[bug.other]
        return {**grads, bug.where: b.reshape(a.shape), bug.other: a.reshape(b.shape)}
    if bug.kind == "mean":
        grads[bug.where] = grads[bug.where] * problem.data["m"]
    elif bug.kind:
        grads[bug.where] = np.array(KINDS[bug.kind](grads[bug.where]))
    return grads
