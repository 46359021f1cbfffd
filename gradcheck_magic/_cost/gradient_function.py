"""Calls of the user's gradient function, which no other module makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.convention import (
    Binding,
    Convention,
    changes_parameter,
    possible_bindings,
)
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._cost.threads import thread_at_work
from gradcheck_magic._inputs.fingerprint import same_bits
from gradcheck_magic._inputs.pairing import Pairing, matched
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    collect,
    is_function,
    variable_names,
)
from gradcheck_magic.errors import InputError

__all__ = ["go_forward", "moved_in_place", "pair_at", "point_around"]

# Parameters, each with its values before.
Values = list[tuple[Parameter, NDArray[Any]]]
# The relative distance of the other points from the given one.
DISTANCE = 0.1


def pair_at(
    params: object,
    grads: object,
    *,
    only: Sequence[str] | None = None,
    names: Names = None,
) -> Pairing:
    """Match every parameter with its gradient at θ; if `grads` is a function, call it first.

    The function is called in the same ways as a cost, until one of them gives a gradient for every
    parameter. It gets copies, unless it reads the notebook's own arrays.

    Raises
    ------
    InputError
        If the function cannot be called, no result is a gradient, or it changes the parameters,
        which are then put back. An exception of the function itself, called in the most likely way,
        passes through.
    """
    parameters = collect(params, only=only, names=names)
    if not is_function(grads):
        return matched(parameters, grads, names)
    name = variable_names(names).get(id(grads), "grads")
    errors: list[Exception] = []
    # The function may change them although it gets copies.
    own = [(parameter, parameter.array.copy()) for parameter in parameters.arrays]
    with InterruptGuard() as guard:
        guard.release()
        for binding in possible_bindings(grads, parameters, parameters.theta(), "auto", name):
            arguments = binding.arguments()
            try:
                result = guard.call(grads, *arguments)
                if inspect.iscoroutine(result):
                    # Nobody will await the coroutine, and Python would warn about that.
                    result.close()
                    raise InputError(  # noqa: TRY301 (another way may work)
                        f"`{name}` returned a coroutine: pass a function that is not async."
                    )
                pairing = matched(parameters, result, names)
            except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
                errors.append(error)
            else:
                _require_unchanged(name, own, binding)
                return pairing
            finally:
                binding.restore()
                for parameter, before in _changed(own):
                    parameter.put(before)
        raise errors[0]


def _require_unchanged(name: str, own: Values, binding: Binding) -> None:
    """Raise `InputError` if the gradient function has changed a parameter, or its copy of one."""
    changed = [parameter for parameter, _ in _changed(own)]
    is_copy = not changed and binding.is_copied
    if is_copy:
        changed = [*filter(None, [binding.changed()])]
    if changed:
        raise changes_parameter("gradient function", name, changed[0], is_copy=is_copy)


def _changed(own: Values) -> Values:
    """Return the parameters of the notebook that have changed, unless another thread may do that.

    What such a thread writes is kept.
    """
    changed = [(p, before) for p, before in own if not same_bits(p.present, before)]
    return [] if changed and thread_at_work() else changed


def go_forward(cost_function: Callable[..., Any], params: object, call: str) -> None:
    """Call the cost, so that a backward pass finds the activations of these parameters.

    What the cost raises here is not told: it has worked at these parameters, or is called next.
    """
    parameters = collect(params)
    theta = parameters.theta()
    with InterruptGuard() as guard:
        guard.release()
        binding = possible_bindings(cost_function, parameters, theta, call, "cost_function")[0]
        arguments = binding.arguments()
        try:
            with suppress(Exception):
                guard.call(cost_function, *arguments)
        finally:
            binding.restore()


def point_around(parameters: Parameters, random: np.random.Generator) -> NDArray[Any]:
    """Return a θ near the given one, with every entry moved by up to 10 % of its size."""
    theta = parameters.theta()
    return theta + DISTANCE * parameters.random_direction(theta, random)


@contextmanager
def moved_in_place(parameters: Parameters, theta: NDArray[Any]) -> Iterator[None]:
    """Move the user's own arrays, and restore them bit for bit, even after an interrupt."""
    binding = Binding(Convention.CLOSURE, parameters, parameters.theta())
    with InterruptGuard(), binding.moved_to(theta.__getitem__):
        yield
