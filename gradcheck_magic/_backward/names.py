"""What the names of values say: which are those of gradients, and of which arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradcheck_magic._backward.bound import Bound

__all__ = ["OWN_GRADIENT", "has_gradient_name", "named_after", "plain"]

# The names of the gradient of `z`, as in `dz`, `d_z`, `grad_z`, `z_grad`, `delta_z`.
GRADIENT_NAMES = re.compile(
    r"^(?:d|grad|delta|nabla|g|error|err)_?(?P<after>\w+)$|^(?P<before>\w+?)_?(?:grad|gradient|delta|bar|error)$",
    re.IGNORECASE,
)
# The attributes that hold the gradient of the object that they belong to.
OWN_GRADIENT = {"grad", "gradient", "g", "delta"}


def has_gradient_name(bound: Bound) -> bool:
    """Return True if the name of a value may be that of a gradient."""
    if GRADIENT_NAMES.match(bound.name) is not None:
        return True
    own = bound.name.lower().strip("_")
    # A variable `g` is more often the gate of an LSTM.
    return own in OWN_GRADIENT and (own != "g" or bound.owner != 0)


def plain(name: str) -> str:
    return name.lower().replace("_", "")


def named_after(name: str) -> Iterator[str]:
    """Yield the names of the array whose gradient has this name."""
    if match := GRADIENT_NAMES.match(name):
        after = plain(match["after"] or match["before"])
        # The gradient by `z3` is often called `delta3`.
        yield f"z{after}" if after.isdigit() else after
