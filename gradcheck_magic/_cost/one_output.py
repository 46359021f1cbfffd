"""One of many outputs as J: all of them are computed at once, and kept for the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding
from gradcheck_magic._inputs.outputs import Outputs

__all__ = ["OneOutput"]

Array = NDArray[Any]

# The most numbers that are kept, so that they take no more than 160 MB.
MOST_NUMBERS = 20_000_000


@dataclass(frozen=True, eq=False)
class OneOutput:
    """The output that is J; or, before one is chosen, the norm of all of them as it is near θ.

    All outputs may be chosen at once: then J is an array of them.

    Attributes
    ----------
    outputs : Outputs
        All outputs.
    weights : ndarray, optional
        The direction of the outputs at θ. Their part in that direction is the norm.
    chosen : int or slice, optional
        The position of the output, or of all.
    kept : dict
        All outputs at every point at which they were computed. They are used once an output is
        chosen: before that, the function is called each time, as it may be random.
    """

    outputs: Outputs
    weights: Array
    chosen: int | slice | None = None
    kept: dict[bytes, Array] = field(default_factory=dict)

    @classmethod
    def along(cls, outputs: Outputs, returned: Any) -> Self:
        """Return the norm of the outputs, given what the function returned at θ."""
        vector = outputs.vector(returned).astype(np.float64)
        # The squares of huge values would overflow.
        unit = vector / (np.max(np.abs(vector), initial=0.0) or 1.0)
        weights = unit / (float(np.linalg.norm(unit)) or 1.0)
        # An output that is zero has a part in it, too.
        weights[vector == 0] = 1 / math.sqrt(len(vector))
        return cls(outputs, weights)

    def __getstate__(self) -> dict[str, Any]:
        # A worker need not know the outputs at all points.
        return {**vars(self), "kept": {}}

    def choosing(self, position: int | slice) -> Self:
        """Return the same with an output as J."""
        return replace(self, chosen=position)

    def value(self, binding: Binding, returned: Callable[[], Any]) -> Any:
        """Return J at the θ that a binding holds."""
        point = b"".join([str(binding.dtype).encode(), *(a.tobytes() for a in binding.arrays)])
        found = None if self.chosen is None else self.kept.get(point)
        if found is None:
            found = self.outputs.vector(returned())
            if len(self.kept) * self.outputs.size < MOST_NUMBERS:
                # Later ones may be those of other random numbers.
                self.kept.setdefault(point, found)
        return self.of(found)

    def of(self, vector: Array) -> Any:
        """Return J, given all outputs."""
        if self.chosen is not None:
            found = vector[self.chosen]
            return found if found.ndim else float(found)
        with np.errstate(all="ignore"):
            return float(vector.astype(np.float64) @ self.weights)
