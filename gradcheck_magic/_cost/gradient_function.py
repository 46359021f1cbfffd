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
from gradcheck_magic._cost.evaluation import is_one_number, position_of_cost
from gradcheck_magic._cost.interrupt import InterruptGuard, comes_from_handler
from gradcheck_magic._cost.printed import followed
from gradcheck_magic._cost.random_states import RandomStates
from gradcheck_magic._cost.threads import thread_at_work
from gradcheck_magic._inputs.arrays import share
from gradcheck_magic._inputs.containers import gradients_of
from gradcheck_magic._inputs.fingerprint import same_bits
from gradcheck_magic._inputs.pairing import Pairing, Undefined, matched
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    array_leaves,
    collect,
    cost_name,
    is_constant,
    is_function,
    variable_names,
)
from gradcheck_magic.errors import InputError

__all__ = ["finished", "go_forward", "moved_in_place", "pair_at", "point_around"]

# A function that matches parameters with what is their gradient, given the names.
Match = Callable[[Parameters, object, Names], Pairing]
# Parameters, each with its values before.
Values = list[tuple[Parameter, NDArray[Any]]]
# The relative distance of the other points from the given one.
DISTANCE = 0.1


def pair_at(
    params: object,
    sources: Sequence[object],
    *,
    cost_function: object = None,
    only: Sequence[str] | None = None,
    names: Names = None,
    states: RandomStates | None = None,
    match: Match = matched,
) -> tuple[Pairing, object]:
    """Match every parameter with its gradient at θ; return the source of the gradient, too.

    Parameters
    ----------
    params : object
        The user's parameters.
    sources : sequence of object
        Where the gradients may be, the likeliest first: the first is used that has one for every
        parameter. None stands for those that the parameters hold themselves. A function is called
        in the same ways as a cost, until one of them gives a gradient for every parameter. It gets
        copies, unless it reads the notebook's own arrays.
    cost_function : callable, optional
        The source that is the cost itself: it returns ``(cost, gradients)``.
    only, names
        As in `collect`.
    states : RandomStates, optional
        The random states with which each call begins.
    match : callable
        The function that matches parameters with a gradient, given the names.

    Raises
    ------
    InputError
        If no source has the gradients, a function cannot be called, or it changes the parameters,
        which are then put back. An exception of the function itself, called in the most likely way,
        passes through. What is wrong with the first source is told.
    """
    parameters = collect(params, only=only, names=names)
    errors: list[Exception] = []
    for source in sources:
        try:
            if is_function(source):
                is_cost = source is cost_function
                found = _called(
                    source, parameters, names, is_cost=is_cost, states=states, match=match
                )
                return found, source
            return match(parameters, source, names), source
        except Exception as error:
            if len(sources) == 1 or comes_from_handler(error):
                raise
            errors.append(error)
    # That `grads` is not defined does not matter if the parameters hold their gradients.
    is_held = isinstance(sources[0], Undefined) and gradients_of(parameters.container) is not None
    raise errors[1 if is_held else 0]


def _called(
    function: Callable[..., Any],
    parameters: Parameters,
    names: Names,
    *,
    is_cost: bool,
    states: RandomStates | None,
    match: Match,
) -> Pairing:
    """Match the parameters with the gradient that a function returns."""
    name = variable_names(names).get(id(function), "grads")
    errors: list[Exception] = []
    # The function may change them although it gets copies.
    own = [(parameter, parameter.array.copy()) for parameter in parameters.leaves]
    with InterruptGuard() as guard, followed(function, name, guard):
        guard.release()
        for binding in possible_bindings(function, parameters, parameters.theta(), "auto", name):
            arguments = binding.arguments()
            try:
                if states is not None:
                    states.put_back()
                returned = guard.call(function, *arguments)
                if is_cost:
                    pairing = _beside_cost(returned, parameters, names, binding)
                else:
                    pairing = match(parameters, finished(returned, name), names)
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


def finished(returned: Any, name: str) -> Any:
    """Return what a function has returned, unless that has yet to be computed."""
    if inspect.iscoroutine(returned):
        # Nobody will await the coroutine, and Python would warn about that.
        returned.close()
        raise InputError(f"`{name}` returned a coroutine: pass a function that is not async.")
    return returned


def _beside_cost(returned: Any, parameters: Parameters, names: Names, binding: Binding) -> Pairing:
    """Match the parameters with the gradients that a cost has returned besides its value."""
    if (k := _place_of_cost(returned)) is not None:
        beside = [*returned[:k], *returned[k + 1 :]]
        # A loop over time returns its last state as well: `loss, gradients, a_last`.
        one_each = beside[: len(parameters.leaves)]
        copies = None
        for candidate in (*(each for each in beside if not is_constant(each)), beside, one_each):
            with suppress(InputError):
                given = _without_parameters(candidate, binding)
                pairing = matched(parameters, given, names)
                if _holds_parameters(given, binding):
                    continue
                if not _are_parameters(pairing):
                    return pairing
                # The gradient of ½θ² is θ.
                copies = copies or pairing
        if copies:
            return copies
    return matched(parameters, returned, names)


def _place_of_cost(returned: Any) -> int | None:
    """Return where the cost is in what a function has returned; None if nothing is beside it."""
    is_list = isinstance(returned, list) and bool(returned) and is_one_number(returned[0])
    if not (is_list or isinstance(returned, tuple)) or len(returned) < 2:  # noqa: PLR2004
        return None
    return 0 if is_list else position_of_cost(returned)


def _are_parameters(pairing: Pairing) -> bool:
    """Return True if what was taken for the gradient of some parameter has the values of that."""
    pairs = zip(pairing.gradients, pairing.checked, strict=True)
    return any(np.array_equal(gradient, np.ravel(p.array)) for gradient, p in pairs)


def _without_parameters(candidate: Any, binding: Binding) -> Any:
    """Return a dict without the parameters themselves, as in ``{"W": W, "dW": dW}``."""
    if type(candidate) is not dict:
        return candidate
    return {key: v for key, v in candidate.items() if not _holds_parameters(v, binding)}


def _holds_parameters(candidate: object, binding: Binding) -> bool:
    """Return True for a cache, which holds the very arrays that the function was given."""
    held = [leaf for _, leaf in array_leaves(candidate) if isinstance(leaf, np.ndarray)]
    return any(share(leaf, array) for leaf in held for array in binding.arrays)


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


def go_forward(
    cost_function: Callable[..., Any],
    params: object,
    call: str,
    states: RandomStates | None = None,
) -> None:
    """Call the cost, so that a backward pass finds the activations of these parameters.

    What the cost raises here is not told: it has worked at these parameters, or is called next.
    """
    parameters = collect(params)
    theta = parameters.theta()
    name = cost_name(cost_function, None)
    with InterruptGuard() as guard, followed(cost_function, name, guard):
        guard.release()
        binding = possible_bindings(cost_function, parameters, theta, call, "cost_function")[0]
        arguments = binding.arguments()
        try:
            if states is not None:
                states.put_back()
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
