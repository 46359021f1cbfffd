"""A cost that returns many numbers, whose Jacobian is given as the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from gradcheck_magic._cost.calling import lines_reached
from gradcheck_magic._cost.convention import possible_bindings
from gradcheck_magic._cost.evaluation import is_one_number
from gradcheck_magic._cost.gradient_function import finished, pair_at
from gradcheck_magic._cost.interrupt import InterruptGuard, comes_from_handler
from gradcheck_magic._cost.one_output import OneOutput
from gradcheck_magic._cost.printed import followed
from gradcheck_magic._cost.random_states import RandomStates
from gradcheck_magic._inputs.containers import children
from gradcheck_magic._inputs.jacobian import JacobianPairing, matched_jacobian
from gradcheck_magic._inputs.outputs import Outputs
from gradcheck_magic._inputs.parameters import Names, Parameters, collect, cost_name, is_constant
from gradcheck_magic.errors import InputError

__all__ = ["FoundJacobian", "jacobian_at"]


@dataclass(frozen=True, eq=False)
class FoundJacobian:
    """A Jacobian, where it comes from, and what is J for it."""

    pairing: JacobianPairing
    source: object
    output: OneOutput


def jacobian_at(
    params: object,
    sources: Sequence[object],
    *,
    cost_function: Callable[..., Any],
    only: Sequence[str] | None = None,
    names: Names = None,
    states: RandomStates | None = None,
    call: str = "auto",
    of_one: bool = False,
) -> FoundJacobian | None:
    """Match the outputs of a function and its parameters with the Jacobian.

    Parameters
    ----------
    params, sources, cost_function, only, names, states
        As in `pair_at`.
    call : str
        The way to call the function.
    of_one : bool
        True if an array of a single number counts as an output, too, rather than as a cost.

    Returns
    -------
    FoundJacobian or None
        None if the function returns a single number, or cannot be called.

    Raises
    ------
    InputError
        If what is given is not its Jacobian. Exceptions of the function pass through.
    """
    parameters = collect(params, only=only, names=names)
    name = cost_name(cost_function, names)
    returned = _returned(cost_function, parameters, name, call, states)
    # Parameters that hold their gradients do not hold a Jacobian, and the function may return it
    # after its outputs.
    beside = returned[1:] if isinstance(returned, tuple) else ()
    beside = beside[0] if len(beside) == 1 else beside
    given = [beside if each is cost_function else each for each in sources if each is not None]
    if not given or (isinstance(given[0], tuple) and not given[0]):
        return None
    errors: list[InputError] = []
    for is_first in _readings(returned, of_one=of_one):
        try:
            outputs = Outputs.of(returned, _spoken(name), is_first=is_first)
            pairing, source = pair_at(
                params,
                given,
                cost_function=cost_function,
                only=only,
                names=names,
                states=states,
                match=partial(matched_jacobian, outputs=outputs),
            )
        except InputError as error:
            errors.append(error)
        else:
            source = cost_function if source is beside else source
            found = cast("JacobianPairing", pairing)
            return FoundJacobian(found, source, OneOutput.along(outputs, returned))
    if not errors or (isinstance(returned, tuple) and any(map(_is_number, returned[:1]))):
        # It is (cost, cache) after all.
        return None
    # A single Jacobian is meant for the first of several values: it may be the second itself.
    raise errors[0 if children(given[0]) else -1]


def _spoken(name: str) -> str:
    """Return the name of the outputs of a function, which may have none."""
    return "f" if name == "cost_function" else name


def _returned(
    function: Callable[..., Any],
    parameters: Parameters,
    name: str,
    call: str,
    states: RandomStates | None,
) -> Any:
    """Return what a function returns at θ; None if it cannot be called.

    What it raises itself passes through.
    """
    if not callable(function):
        return None
    errors: list[Exception] = []
    with InterruptGuard() as guard, followed(function, name, guard):
        guard.release()
        for binding in possible_bindings(function, parameters, parameters.theta(), call, name):
            arguments = binding.arguments()
            try:
                if states is not None:
                    states.put_back()
                return finished(guard.call(function, *arguments), name)
            except Exception as error:
                if comes_from_handler(error):
                    raise
                errors.append(error)
            finally:
                binding.restore()
    furthest = max(errors, key=lines_reached)
    if lines_reached(furthest):
        raise furthest
    return None


def _readings(returned: Any, *, of_one: bool) -> Iterator[bool]:
    """Yield how the outputs may be in what a function has returned: True if only the first is."""
    if not (_is_number(returned) and not (of_one and np.ndim(returned))):
        yield False
    if isinstance(returned, tuple) and returned and not _is_number(returned[0]):
        yield True


def _is_number(value: Any) -> bool:
    return is_constant(value) or is_one_number(value)
