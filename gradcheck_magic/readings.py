"""What a number may stand for: the lengths and numbers that the notebook knows by name."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

import numpy as np

from gradcheck_magic.pairing import Pairing
from gradcheck_magic.parameters import Names

__all__ = ["Readings"]

# How deep into functions that functions call, and into containers, names are looked for.
DEPTH = 2
# Lengths beyond these are no sizes of batches or layers that anyone would divide by.
SHORTEST, LONGEST = 2, 1_000_000
# A named number that is this near is meant, and none is looked for that is not as well known.
SAME = 1e-9
SHARP = 1e-4
# What strengths of a regularisation, and learning rates, are usually called.
STRENGTHS = re.compile(r"lam|reg|decay|penal|streng|alpha|beta|l1|l2|wd|(^|\W)c$")
RATES = re.compile(r"lr|rate|alpha|eta|step")
# Longer lists are data, and no handful of arrays.
LONGEST_LISTED = 32


class Readings:
    """The lengths of arrays, and the numbers, that a factor or a strength may stand for.

    What the cost reads comes first, then the namespace, then the parameters themselves.

    Parameters
    ----------
    function : callable
        The cost.
    names : mapping or sequence of str, optional
        The namespace, if it is one.
    pairing : Pairing
        The parameters.
    """

    def __init__(self, function: Callable[..., Any], names: Names, pairing: Pairing) -> None:
        self._lengths: dict[int, str] = {}
        self._numbers: dict[str, float] = {}
        self._own = {id(parameter.value) for parameter in pairing.parameters.arrays}
        self._own.add(id(pairing.parameters.container))
        namespace = list(_public(names)) if isinstance(names, Mapping) else []
        # What the cost reads is the likeliest, by the name that the notebook has for it.
        spoken = {id(value): name for name, value in namespace if isinstance(value, np.ndarray)}
        read = [(spoken.get(id(v), k), v) for k, v in _read_by(function, DEPTH)]
        for label, leaf in self._leaves([*read, *namespace]):
            if isinstance(leaf, np.ndarray):
                self._take_lengths(label, leaf.shape)
        for label, leaf in self._leaves([*namespace, *read]):
            if not isinstance(leaf, np.ndarray) and np.isfinite(leaf) and leaf != 0:
                self._numbers.setdefault(label, float(leaf))
        for parameter in pairing.parameters.arrays:
            self._take_lengths(parameter.name, parameter.shape)

    def _leaves(self, named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Yield all arrays and numbers that are not parameters."""
        for name, value in named:
            if id(value) not in self._own:
                yield from (
                    (label, leaf)
                    for label, leaf in _leaves(name, value, DEPTH)
                    if id(leaf) not in self._own
                )

    def _take_lengths(self, label: str, shape: tuple[int, ...]) -> None:
        for axis, length in enumerate(shape):
            if SHORTEST <= length <= LONGEST:
                self._lengths.setdefault(length, f"{label}.shape[{axis}]")

    def has(self, length: int) -> bool:
        """Whether an array has an axis of this length."""
        return length in self._lengths

    def length(self, value: float) -> str:
        """What has this length, such as ``X.shape[1]``; empty if nothing."""
        return self._lengths.get(round(value), "") if np.isfinite(value) else ""

    @functools.cached_property
    def factors(self) -> tuple[float, ...]:
        """Factors that mean something, the simplest first."""
        lengths = [n for n in self._lengths if n > SHORTEST]
        return (-1.0, 2.0, 0.5, *map(float, lengths), *(1.0 / n for n in lengths), -2.0, -0.5)

    def number(self, value: float, tolerance: float) -> str:
        """What number of the notebook this is, such as ``learning_rate``; empty if none."""
        allowed = max(tolerance, SAME * abs(value))
        return next((k for k, v in self._numbers.items() if abs(v - value) <= allowed), "")

    @property
    def rates(self) -> tuple[float, ...]:
        """Numbers that may be a learning rate."""
        return tuple(dict.fromkeys(v for _, v in self._called(RATES) if 0 < v <= 1))

    def _called(self, pattern: re.Pattern[str]) -> list[tuple[str, float]]:
        """The numbers so called; then those that are not whole, and may be called anything."""
        numbers = self._numbers.items()
        so_called = [(k, v) for k, v in numbers if pattern.search(k.lower())]
        others = [(k, v) for k, v in numbers if (k, v) not in so_called and v != round(v)]
        return so_called + others

    def strength(self, value: float, tolerance: float) -> tuple[str, str]:
        """What an excess λ of regularisation is made of, and what it says of the gradient.

        Parameters
        ----------
        value, tolerance : float
            The gradient's excess over the right one is `value` times the parameter.

        Returns
        -------
        formula, meaning : str
            Such as ``lambd / X.shape[1]`` and ``missing``; empty if nothing fits.
        """
        if tolerance > SHARP * abs(value):
            return "", ""
        for name, number in self._called(STRENGTHS):
            for formula, meaning, excess in self._excesses(name, number):
                if abs(value - excess) <= max(tolerance, SAME * abs(excess)):
                    return formula, meaning
        return "", ""

    def _excesses(self, name: str, number: float) -> Iterator[tuple[str, str, float]]:
        whole, *parts = terms = list(self._terms(name, number))
        for formula, term in terms:
            yield formula, "missing", -term
            yield formula, "too many", term
        for formula, term in parts:
            yield formula, f"{whole[0]} in place of it", whole[1] - term
            yield whole[0], f"{formula} in place of it", term - whole[1]

    def _terms(self, name: str, number: float) -> Iterator[tuple[str, float]]:
        """Yield what the gradient of a penalty of this strength may be multiplied by."""
        yield name, number
        for length, label in self._lengths.items():
            yield f"{name} / {label}", number / length
        yield f"2 {name}", 2 * number
        yield f"{name} / 2", number / 2
        for length, label in self._lengths.items():
            yield f"2 {name} / {label}", 2 * number / length
            yield f"{name} / (2 {label})", number / (2 * length)


def _public(namespace: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """Yield the variables that the user has named."""
    yield from ((str(k), v) for k, v in namespace.items() if not str(k).startswith("_"))


def _read_by(function: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the variables that a function reads, and those that the functions it calls read."""
    while isinstance(function, functools.partial):
        yield from function.keywords.items()
        yield from ((f"argument {i}", value) for i, value in enumerate(function.args))
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        yield from ((f"self.{k}", v) for k, v in _attributes(owner))
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    functions = []
    for name, value in (*_captured(function, code), *_globals(function, code)):
        if inspect.isfunction(value) or inspect.ismethod(value):
            functions.append(value)
        else:
            yield name, value
    for called in functions if depth else ():
        yield from _read_by(called, depth - 1)


def _captured(function: Any, code: CodeType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue


def _globals(function: Any, code: CodeType) -> Iterator[tuple[str, Any]]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    for name in code.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for each in inner:
        yield from _globals(function, each)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds; nothing of what it would have to compute."""
    try:
        yield from vars(value).items()
    except TypeError:
        return


def _leaves(label: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the arrays and numbers in a value, each with what to call it."""
    if isinstance(value, bool):
        return
    if isinstance(value, (np.ndarray, int, float, np.integer, np.floating)):
        yield label, value
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            yield from _leaves(f"{label}[{key!r}]", item, depth - 1)
    elif isinstance(value, (list, tuple)) and depth and len(value) <= LONGEST_LISTED:
        for i, item in enumerate(value):
            yield from _leaves(f"{label}[{i}]", item, depth - 1)
