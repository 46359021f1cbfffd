"""What a function returns, if that is more than one number: all its outputs as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import densified, from_library
from gradcheck_magic._inputs.containers import children
from gradcheck_magic._inputs.parameters import (
    array_leaves,
    is_constant,
    numeric_array,
    while_reading,
)
from gradcheck_magic._result.parameter_check import index_of, label
from gradcheck_magic.errors import InputError

__all__ = ["Output", "Outputs"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Output:
    """One array among the outputs, and its position in the vector of all."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def rows(self) -> range:
        """The positions of its entries among all outputs."""
        return range(self.start, self.start + self.size)


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a function.

    Attributes
    ----------
    name : str
        The name of the function.
    arrays : tuple of Output
        The arrays that it returns, in order.
    tree : Output or dict
        The container in which it returns them: its keys, and what they hold.
    is_first : bool
        True if they are only the first of what it returns, as in ``(residuals, jacobian)``.
    """

    name: str
    arrays: tuple[Output, ...]
    tree: Any
    is_first: bool = False

    @classmethod
    def of(cls, returned: Any, name: str, *, is_first: bool = False) -> Self:
        """Return the outputs in what a function has returned.

        An `InputError` is raised if they are not arrays of finite numbers.
        """
        part = returned[0] if is_first else returned
        found: list[Output] = []
        start = 0
        with while_reading(name):
            for path, leaf in _leaves(part, name):
                array = _array(leaf, path)
                _require_finite(array, path)
                found.append(Output(path, array.shape, start))
                start += array.size
            tree = _tree(part, iter(found)) if start else None
        if not start:
            raise InputError(f"`{name}` returned no numbers: there is no Jacobian to check.")
        return cls(name, tuple(found), tree, is_first)

    @property
    def size(self) -> int:
        """The number of entries of all outputs together."""
        return sum(output.size for output in self.arrays)

    def vector(self, returned: Any) -> Array:
        """Return all outputs as one vector, in the precision of the function.

        An `InputError` is raised if their shapes are not the same as before.
        """
        arrays = [
            _array(leaf, path)
            for path, leaf in _leaves(returned[0] if self.is_first else returned, self.name)
        ]
        before, now = [each.shape for each in self.arrays], [each.shape for each in arrays]
        if before != now:
            raise InputError(
                f"`{self.name}` returned {_spoken(before)} at first, and then {_spoken(now)}: its "
                "outputs must keep their shapes."
            )
        return np.concatenate([array.ravel() for array in arrays])


def _leaves(returned: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each output, with its name; a list of numbers is one."""
    if _is_list_of_numbers(returned):
        yield name, np.asarray([from_library(each, name) for each in returned])
    else:
        yield from array_leaves(returned, name)


def _tree(returned: Any, found: Iterator[Output]) -> Any:
    held = None if _is_list_of_numbers(returned) else children(returned)
    if held is None:
        return next(found)
    return {key: _tree(child, found) for key, child in held if not is_constant(child)}


def _is_list_of_numbers(returned: Any) -> bool:
    return isinstance(returned, list) and all(np.ndim(each) == 0 for each in returned)


def _array(leaf: Any, name: str) -> Array:
    array = np.asarray(numeric_array(densified(leaf), name))
    if array.dtype.kind == "c":
        raise InputError(
            f"`{name}` is complex, and a Jacobian is checked only of real outputs: return the real "
            "and the imaginary part as two, or pass dJ/d(output) with --upstream (upstream=...)."
        )
    return array


def _require_finite(array: Array, name: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        k = int(np.argmin(finite))
        raise InputError(
            f"`{label(name, index_of(k, array.shape))}` is {array.ravel()[k]!s} at the given "
            "parameters: the Jacobian can only be checked where every output is finite."
        )


def _spoken(shapes: list[tuple[int, ...]]) -> str:
    return "nothing" if not shapes else " and ".join(map(str, shapes))
