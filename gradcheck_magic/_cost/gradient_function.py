"""The only module that calls the user's gradient function."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import Binding, Convention, possible_bindings
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._inputs.pairing import Pairing, pair
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameters,
    VariableNames,
    collect,
    is_function,
    random_direction,
)
from gradcheck_magic.errors import InputError

__all__ = ["moved_in_place", "pair_at", "point_around"]

# How far off the given point the others are, relatively.
DISTANCE = 0.1


def pair_at(
    params: object,
    grads: object,
    *,
    only: Sequence[str] | None = None,
    names: Names = None,
) -> Pairing:
    """Match every parameter with its gradient at θ, which a function may have to compute first.

    A gradient function is called in the ways in which a cost may be called, until one gives a
    gradient for every parameter. It is called with copies, unless it reads the notebook's own
    arrays.

    Raises
    ------
    InputError
        If it cannot be called, or no result is a gradient. What the function itself raises when
        called in the likeliest way passes through.
    """
    if not is_function(grads):
        return pair(params, grads, only=only, names=names)
    variables, given = VariableNames.among(names)
    parameters = collect(params, variables, only=only, names=given)
    theta, name = parameters.theta(), variables(grads, "grads")
    first_error = None
    for binding in possible_bindings(grads, parameters, theta, "auto", name):
        binding.fresh = True
        args, kwargs = binding.arguments()
        try:
            given = grads(*args, **kwargs)
            _require_result(given, name)
            return pair(params, given, only=only, names=names)
        except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
            first_error = first_error or error
        finally:
            binding.restore()
    assert first_error is not None  # noqa: S101 (there is at least one way)
    raise first_error


def _require_result(given: object, name: str) -> None:
    if inspect.iscoroutine(given):
        # Nobody is going to await it, and Python would complain of that.
        given.close()
        raise InputError(f"`{name}` returned a coroutine: give a function that is not async.")


def point_around(parameters: Parameters, random: np.random.Generator) -> NDArray[Any]:
    """Return a θ near the given one: every entry moved by up to 10 % of its size."""
    theta = parameters.theta()
    return theta + DISTANCE * random_direction(theta, random)


@contextmanager
def moved_in_place(parameters: Parameters, theta: NDArray[Any]) -> Iterator[None]:
    """Move the user's own arrays, and put them back, bit for bit; no interrupt can prevent it."""
    binding = Binding(Convention.CLOSURE, parameters, parameters.theta())
    with InterruptGuard() as guard, binding.at(theta):
        # Whoever calls the user's functions inside has a guard of its own.
        guard.open = True
        try:
            yield
        finally:
            guard.open = False
