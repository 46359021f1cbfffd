"""Finds the meaning of a number among the lengths and numbers that the notebook knows by name."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradcheck_magic._cost.free_variables import until_error, variables_read
from gradcheck_magic._inputs.arrays import is_array
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Names, array_leaves

__all__ = ["WHOLE_WITHIN", "Factor", "NotebookNumbers", "Strength"]

# The depth to which called functions, and containers, are searched for names.
NAME_DEPTH = 2
# Longer lists are data, not a collection of arrays.
LONGEST_LISTED = 32
# The range of lengths that may be sizes of batches or layers.
SHORTEST_LENGTH, LONGEST_LENGTH = 2, 1_000_000
# Arrays of factors are smaller, and among so many of their shape.
MOST_OF_A_SHAPE = 32
LARGEST_ARRAY = 10_000
# A factor this close to a whole number, or to the reciprocal of one, counts as that number.
WHOLE_WITHIN = 1e-5
# Larger factors have no meaning.
LARGEST_READ = 100_000
LARGEST_RATE = 10
# A named number matches if its relative distance is at most `SAME`. None is searched for unless the
# value is known to `KNOWN`: some quotient of many numbers and lengths would match by chance.
SAME = 1e-9
KNOWN = 1e-5
# Less precision is enough for a number that the cost reads, if it is named like a strength.
ROUGHLY_KNOWN = 1e-2
# Names of IPython's own history.
NOT_THE_USERS = {"In", "Out"}
# Words in the names of numbers that suggest a strength of regularisation, a learning rate or a
# length, and words that rule it out.
STRENGTHS = re.compile(
    r"lam\w*|lmb\w*|reg\w*|penal\w*|strength|ridge|lasso|decay|alpha|beta|l1|l2|wd|c"
)
OTHER_STRENGTHS = re.compile(r"lr|learning\w*")
RATES = re.compile(r"lr|learning\w*|alpha|eta|step\w*")
OTHER_RATES = re.compile(r"drop\w*|decay|momentum|keep|epochs|n")
LENGTHS = re.compile(
    r"[bcdhmn]\d*|num|size|batch|dim|count|length|samples|examples|classes|features|hidden|units"
)
OTHER_LENGTHS = re.compile(r"epochs?|iter\w*|steps?|seed")


@dataclass(frozen=True)
class Factor:
    """The probable meaning of a factor.

    It is a whole number, its reciprocal, its square root, or one over that.
    """

    kind: Literal["whole", "part", "root", "part of root"]
    number: int
    # What has this length in the notebook, such as ``m`` or ``X.shape[1]``; empty if nothing has.
    length: str
    # What has its square as a length, unless the number is too small to mean anything.
    square: str = ""


@dataclass(frozen=True)
class Strength:
    """The formula for an excess of regularisation, such as ``lambd / X.shape[1]``."""

    formula: str
    # The formula used in its place, such as ``lambd``; empty if the formula itself is the excess.
    instead: str = ""
    # True for a strength as the gradient has it, λ or λ / m; False for half or twice that.
    is_whole: bool = True


class NotebookNumbers:
    """The lengths of arrays, and the numbers, that may explain a factor or a strength.

    Variables that the cost reads come first, then the parameters themselves, then the rest of the
    namespace. The gradients, `grads`, are left out: they cannot explain themselves.

    Attributes
    ----------
    arrays : dict of ndarray
        The arrays that may hold a factor for each entry, row or column, or other values of the
        parameters, by name.
    """

    def __init__(
        self, function: Callable[..., Any], names: Names, pairing: Pairing, grads: object = ()
    ) -> None:
        self._lengths: dict[int, str] = {}
        self._numbers: dict[str, float] = {}
        own = {id(parameter.value) for parameter in pairing.arguments.leaves}
        own |= {id(pairing.arguments.container), id(grads)}
        own |= {id(leaf) for _, leaf in until_error(array_leaves(grads))}
        namespace = list(until_error(_public(names))) if isinstance(names, Mapping) else []
        # Variables that the cost reads are the likeliest; use the notebook's names for them.
        spoken = {id(value): name for name, value in namespace if is_array(value)}
        read = [
            (spoken.get(id(v), k), v) for k, v in until_error(variables_read(function, NAME_DEPTH))
        ]
        in_cost, elsewhere = (
            [leaf for variable in named for leaf in until_error(_leaves(*variable, own))]
            for named in (read, namespace)
        )
        parameters = [(parameter.name, parameter) for parameter in pairing.arguments.arrays]
        for label, leaf in (*in_cost, *parameters, *elsewhere):
            for axis, length in enumerate(getattr(leaf, "shape", ())):
                if SHORTEST_LENGTH <= length <= LONGEST_LENGTH:
                    self._lengths.setdefault(length, f"{label}.shape[{axis}]")
        for label, leaf in (*elsewhere, *in_cost):
            if not is_array(leaf) and (number := _finite(leaf)):
                self._numbers.setdefault(label, number)
        self._read = {label for label, _ in in_cost}
        # A length that has a name of its own is called by that, best by one that the cost reads.
        named: dict[int, str] = {}
        for label in sorted(self._numbers, key=self._read.__contains__, reverse=True):
            is_size = label in self._read or _is_called(label, LENGTHS, OTHER_LENGTHS)
            if is_size and (number := self._numbers[label]) in self._lengths:
                named.setdefault(int(number), label)
        self._lengths |= named
        own_arrays = [(label, parameter.array) for label, parameter in parameters]
        self.arrays = {
            label: leaf.astype(np.float64, copy=False)
            for label, leaf in reversed((*in_cost, *own_arrays, *elsewhere))
            if type(leaf) is np.ndarray
            and leaf.dtype.kind in "fiu"
            and 0 < leaf.size <= LARGEST_ARRAY
        }

    @functools.cached_property
    def arrays_by_shape(self) -> dict[tuple[int, ...], list[str]]:
        """The names of these arrays, first those that the cost reads; of many, only some."""
        names: dict[tuple[int, ...], list[str]] = {}
        for name in reversed(self.arrays):
            same = names.setdefault(self.arrays[name].shape, [])
            same += [name] * (len(same) < MOST_OF_A_SHAPE)
        return names

    @functools.cached_property
    def factors(self) -> tuple[float, ...]:
        """The factors that have a meaning, the simplest first."""
        lengths = [n for n in self._lengths if n > SHORTEST_LENGTH]
        return (-1.0, 2.0, 0.5, *map(float, lengths), *(1.0 / n for n in lengths), -2.0, -0.5)

    def factor(self, value: float) -> Factor | None:
        """Return the probable meaning of a positive factor; None if it has none."""
        if not 1 / LARGEST_READ <= value <= LARGEST_READ:
            return None
        if n := _whole(value):
            return Factor("whole", n, self._lengths.get(n, ""), self._square(n))
        if n := _whole(1 / value):
            return Factor("part", n, self._lengths.get(n, ""), self._square(n))
        if (n := _whole(value**2)) in self._lengths:
            return Factor("root", n, self._lengths[n])
        if (n := _whole(value**-2)) in self._lengths:
            return Factor("part of root", n, self._lengths[n])
        return None

    def _square(self, n: int) -> str:
        return self._lengths.get(n * n, "") if n > SHORTEST_LENGTH else ""

    def rate(self, value: float) -> str:
        """Return the name of the learning rate with this value; empty if there is none."""
        return next((k for k, v in self._rates() if abs(v - value) <= SAME * abs(value)), "")

    @property
    def rates(self) -> tuple[float, ...]:
        """The numbers whose names suggest a learning rate."""
        return tuple(dict.fromkeys(v for _, v in self._rates() if 0 < v <= LARGEST_RATE))

    def _rates(self) -> list[tuple[str, float]]:
        return [(k, v) for k, v in self._numbers.items() if _is_called(k, RATES, OTHER_RATES)]

    def strength(self, value: float, tolerance: float) -> Strength | None:
        """Return the formula for an excess λ of regularisation; None if nothing fits.

        The gradient exceeds the correct one by `value` times the parameter, known to within
        `tolerance`.
        """
        is_known = tolerance <= KNOWN * abs(value)
        if not (is_known or tolerance <= ROUGHLY_KNOWN * abs(value)):
            return None
        for name, number in self._numbers.items():
            clues = (name in self._read) + _is_called(name, STRENGTHS, OTHER_STRENGTHS)
            if clues < (1 if is_known else 2):
                continue
            meant = self._excesses(name, number)
            for strength, excess in meant if is_known else [next(meant)]:
                if abs(abs(value) - excess) <= max(tolerance, SAME * excess):
                    return strength
        return None

    def _excesses(self, name: str, number: float) -> Iterator[tuple[Strength, float]]:
        """Yield formulas for the error that a number may cause as λ, each with its size."""
        whole = [(name, abs(number))]
        whole += [(f"{name} / {label}", abs(number) / n) for n, label in self._lengths.items()]
        for formula, term in whole:
            yield Strength(formula), term
        for formula, term in whole:
            yield Strength(formula, is_whole=False), 2 * term
            yield Strength(formula, is_whole=False), term / 2
        for formula, term in whole[1:]:
            yield Strength(formula, instead=name), abs(number) - term


def _whole(value: float) -> int:
    """Return the whole number, at least 2, that a value is close to; 0 if there is none."""
    n = round(value) if value < 2 * LARGEST_READ else 0
    return n if n > 1 and abs(value - n) <= WHOLE_WITHIN * value else 0


def _finite(value: Any) -> float:
    """Return a finite number as a float; 0 for anything else."""
    try:
        number = float(value)
    except (OverflowError, ValueError, TypeError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _is_called(name: str, words: re.Pattern[str], others: re.Pattern[str]) -> bool:
    """Return True if one of the words in a name matches, as in ``self.lr``, and no other does."""
    parts = re.findall(r"[a-z]+\d*", name.rpartition(".")[2].lower())
    return any(map(words.fullmatch, parts)) and not any(map(others.fullmatch, parts))


def _public(namespace: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """Yield the user's own variables."""
    for name, value in namespace.items():
        if not str(name).startswith("_") and name not in NOT_THE_USERS:
            yield str(name), value


def _leaves(
    label: str, value: Any, own: set[int], depth: int = NAME_DEPTH
) -> Iterator[tuple[str, Any]]:
    """Yield the arrays and numbers in a value, except parameters and gradients, with a name."""
    if isinstance(value, bool) or id(value) in own:
        return
    if is_array(value) or isinstance(value, (int, float, np.integer, np.floating)):
        yield label, value
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            if isinstance(key, (str, int)):
                yield from _leaves(f"{label}[{key!r}]", item, own, depth - 1)
    elif isinstance(value, (list, tuple)) and depth and len(value) <= LONGEST_LISTED:
        for i, item in enumerate(value):
            yield from _leaves(f"{label}[{i}]", item, own, depth - 1)
