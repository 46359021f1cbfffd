"""Everything that a check changes besides the parameters, restored bit for bit in the end.

`Binding` restores the parameters. The user's function may also use up random numbers, and PyTorch
modules and tensors change when they are used: running means and gradients accumulate.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain, islice
from types import ModuleType
from typing import Any

import numpy as np

from gradcheck_magic._cost.free_variables import instance_attributes, until_error, variables_read
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._inputs.arrays import requires_gradient, torch_class
from gradcheck_magic._inputs.containers import is_module, module_of, without_generators
from gradcheck_magic._inputs.parameters import array_leaves

__all__ = ["restored"]

Restore = Callable[[], object]

# Only this many items of a container are examined: longer lists are data.
MOST_HELD = 1000


def restored(params: object, *functions: object) -> ExitStack:
    """Return a context that restores random states, and the tensors that torch changes, at its end.

    Signals cannot prevent this: they are held back, except while the user's functions run, when
    their own guards let them through.

    Parameters
    ----------
    params : object
        The user's parameters.
    functions : callable
        The user's functions that will be called.
    """
    with ExitStack() as stack:
        # First of all, as what a signal raises must not be taken for an error of a user's object.
        stack.enter_context(InterruptGuard())
        read = [*chain.from_iterable(map(_objects_read, functions))]
        restores = [*_global_randomness(), *map(_own_randomness, filter(_is_random, read))]
        if torch_class("Tensor"):
            modules = filter(is_module, [module_of(params), *functions, *read])
            restores += _torch_state(params, modules)
        for restore in restores:
            stack.callback(restore)
        return stack.pop_all()


def _objects_read(function: object) -> Iterator[object]:
    """Yield the variables that a function reads, and the items and attributes of these."""
    for _, value in until_error(variables_read(function)):
        yield value
        kind = type(value)
        if kind is dict:
            yield from islice(value.values(), MOST_HELD)
        elif kind in {list, tuple}:
            yield from value[:MOST_HELD]
        elif not issubclass(kind, (ModuleType, type)):
            yield from (held for _, held in instance_attributes(value))


def _global_randomness() -> Iterator[Restore]:
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state(legacy=False))  # noqa: NPY002 (the user's)
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "get_rng_state"):
        yield partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _is_random(value: object) -> bool:
    kind = type(value)
    if issubclass(kind, random.SystemRandom):
        # It reads the system's entropy and has no state to restore.
        return False
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return issubclass(kind, (*kinds, torch_class("Generator")))


def _own_randomness(generator: Any) -> Restore:
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return partial(setattr, bits, "state", bits.state)
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    return partial(generator.set_state, generator.get_state())


def _torch_state(params: object, modules: Iterable[Any]) -> Iterator[Restore]:
    """Yield functions that restore gradients, running means and modes, each once."""
    distinct = {id(module): module for module in modules}.values()
    tensors = [parameter for module in distinct for parameter in module.parameters()]
    # Errors in the parameters are reported later, when they are collected.
    with suppress(Exception):
        leaves = [leaf for _, leaf in array_leaves(without_generators(params))]
        tensors += filter(requires_gradient, leaves)
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        if tensor.is_leaf:
            values = None if tensor.grad is None else tensor.grad.detach().clone()
            yield partial(_restore_gradient, tensor, tensor.grad, values)
    for module in distinct:
        for buffer in module.buffers():
            yield partial(buffer.data.copy_, buffer.detach().clone())
        for part in module.modules():
            yield partial(setattr, part, "training", part.training)


def _restore_gradient(tensor: Any, grad: Any, values: Any) -> None:
    """Restore the gradient: the same tensor, with the same numbers."""
    if grad is not None:
        # `data` is used so that autograd does not notice the change: a graph may still be needed.
        grad.data.copy_(values)
    tensor.grad = grad
