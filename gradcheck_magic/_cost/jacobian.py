"""A cost that returns many numbers, whose Jacobian is given as the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gradcheck_magic._cost.convention import possible_bindings
from gradcheck_magic._cost.evaluation import is_one_number
from gradcheck_magic._cost.gradient_function import pair_at
from gradcheck_magic._cost.interrupt import InterruptGuard, comes_from_handler
from gradcheck_magic._cost.one_output import OneOutput
from gradcheck_magic._cost.printed import followed
from gradcheck_magic._cost.random_states import RandomStates
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
) -> FoundJacobian | None:
    """Match the outputs of a function and its parameters with the Jacobian.

    Parameters
    ----------
    params, sources, cost_function, only, names, states
        As in `pair_at`.
    call : str
        The way to call the function.

    Returns
    -------
    FoundJacobian or None
        None if the function returns a single number, or cannot be called.

    Raises
    ------
    InputError
        If what is given is not its Jacobian.
    """
    parameters = collect(params, only=only, names=names)
    name = cost_name(cost_function, names)
    found = _returned(cost_function, parameters, name, call, states)
    errors: list[InputError] = []
    for returned, is_first in found:
        try:
            outputs = Outputs.of(returned, _spoken(name), is_first=is_first)
            pairing, source = pair_at(
                params,
                sources,
                cost_function=cost_function,
                only=only,
                names=names,
                states=states,
                match=partial(matched_jacobian, outputs=outputs),
            )
        except InputError as error:
            errors.append(error)
        else:
            assert isinstance(pairing, JacobianPairing)  # noqa: S101 (for mypy)
            return FoundJacobian(pairing, source, OneOutput.along(outputs, returned))
    if errors:
        # The first of several values is likelier to be the only output than the rest.
        raise errors[-1]
    return None


def _spoken(name: str) -> str:
    """Return the name of the outputs of a function, which may have none."""
    return "f" if name == "cost_function" else name


def _returned(
    function: Callable[..., Any],
    parameters: Parameters,
    name: str,
    call: str,
    states: RandomStates | None,
) -> list[tuple[Any, bool]]:
    """Return what a function returns at θ, in the ways in which that may be its outputs.

    Each is with True if only the first of several values is.
    """
    if not callable(function):
        return []
    with InterruptGuard() as guard, followed(function, name, guard):
        guard.release()
        for binding in possible_bindings(function, parameters, parameters.theta(), call, name):
            arguments = binding.arguments()
            try:
                if states is not None:
                    states.put_back()
                returned = guard.call(function, *arguments)
            except Exception as error:
                if comes_from_handler(error):
                    raise
            else:
                return [*_outputs(returned)]
            finally:
                binding.restore()
    return []


def _outputs(returned: Any) -> Iterator[tuple[Any, bool]]:
    """Yield what may be the outputs among what a function has returned."""
    if not _is_cost(returned):
        yield returned, False
    if isinstance(returned, tuple) and returned and not _is_cost(returned[0]):
        yield returned, True


def _is_cost(value: Any) -> bool:
    return is_constant(value) or is_one_number(value)
