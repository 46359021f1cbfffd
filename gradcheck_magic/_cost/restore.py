"""Everything that a check changes besides the parameters, restored bit for bit in the end.

`Binding` restores the parameters. What else the user's functions change is what they reach: the
activations that a network keeps for its backward pass, running means, counters, random numbers,
and the gradients that PyTorch accumulates.
"""

from __future__ import annotations

import operator
import sys
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import accumulate, islice
from types import CellType, FunctionType
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from gradcheck_magic._cost.free_variables import attributes_assigned, global_variables_assigned
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._cost.random_states import RandomStates
from gradcheck_magic._cost.reached import (
    PLAIN,
    Reached,
    holds_state,
    items_of,
    modules_read,
    reached,
    slots_of,
)
from gradcheck_magic._cost.threads import thread_at_work
from gradcheck_magic._inputs.arrays import densifying, is_tensor, library_of, torch_class
from gradcheck_magic._inputs.containers import module_of, without_generators
from gradcheck_magic._inputs.fingerprint import digest, same_bits
from gradcheck_magic._inputs.parameters import array_leaves

__all__ = ["Restored", "restored"]

# What restores one thing, and returns True if that had changed.
Restore = partial[Any]
Array = NDArray[Any]
# At most this many bytes of arrays are copied before a check, the smallest first. Of the others, at
# most so many more are hashed, to tell if they have changed.
MOST_COPIED = 1 << 27
MOST_HASHED = 1 << 30
# The containers that may change, with the method that fills an empty one.
FILL: dict[type, Callable[[Any, Any], object]] = {
    list: list.extend,
    deque: deque.extend,
    set: set.update,
}
# The types of what a backward pass may need, besides objects of the user's and libraries' arrays.
ACTIVATIONS = (float, np.generic, np.ndarray, tuple, list, dict)
MISSING = object()
# The types of what is counted or noted in a variable, before and after: by itself, no backward pass
# needs it.
COUNTS = PLAIN - {float, complex} | {type(MISSING)}


class Restored(ExitStack):
    """A context that restores what was changed inside it; see `restored`."""

    def __init__(self) -> None:
        super().__init__()
        # Arrays that are too large to be copied, each with its name and its hash before.
        self.large: list[tuple[str, Array, str]] = []
        # The lists and deques in plain variables, each with its length before.
        self.logs: list[tuple[Any, int]] = []
        # The random states before.
        self.states = RandomStates()
        # Another thread that runs the user's code at the end, if there is one.
        self.thread: str | None = None

    def lost(self) -> tuple[list[str], str | None]:
        """Return the names of the large arrays that have changed, and cannot be restored.

        Also return the name of another thread that runs the user's code, if there is one: then
        nothing is put back over its changes.
        """
        self.thread = thread_at_work(waiting=False)
        changed = [name for name, array, before in self.large if digest([(name, array)]) != before]
        return changed, self.thread

    def shorten_logs(self) -> bool:
        """Take back activations that were added to lists, and return True if there are any."""
        # What was empty is a record of the check rather than of a forward pass.
        grown = [each for each in self.logs if each[1] and _has_activations(each)]
        for log, before in grown:
            while len(log) > before:
                log.pop()
        return bool(grown)


def restored(params: object, *functions: object) -> Restored:
    """Return a context that restores all that some functions reach at its end, but not θ.

    What a function counts or logs in plain variables stays, unless something else is restored: then
    a count may say which of the activations are those of θ. Signals cannot prevent the restoring:
    they are held back, except while the user's functions run, when their own guards let them
    through. If another thread runs the user's code at the end, only random states are restored:
    everything else may be what that thread has changed.

    Parameters
    ----------
    params : object
        The user's parameters.
    functions : callable
        The user's functions that will be called.
    """
    stack = Restored()
    try:
        # First of all, as what a signal raises must not be taken for an error of a user's object.
        stack.enter_context(InterruptGuard())
        stack.push(partial(_restore_all, stack, _everything(params, functions, stack)))
    except BaseException:
        stack.__exit__(*sys.exc_info())
        raise
    return stack


def _everything(params: object, functions: Iterable[object], stack: Restored) -> list[Restore]:
    """Take the random states, and return what restores everything else."""
    # A function that gets a copy of an object shares with it all that is no parameter.
    found = [*reached(*functions, module_of(params), params)]
    stack.states = RandomStates(each.value for each in found if each.kind.is_generator)
    kept: list[Restore] = []
    for each in found:
        # What an object of the user's answers with is not ours to trust.
        with suppress(Exception):
            kept += _restores(each)
    stack.logs += [
        (each.value, len(each.value))
        for each in found
        if type(each.value) in {list, deque} and not each.owned
    ]
    theta: list[object] = []
    # Errors in the parameters are reported later, when they are collected.
    with suppress(Exception):
        theta += [leaf for _, leaf in array_leaves(without_generators(params))]
    kept += _contents(found, theta, stack)
    if torch_class("Tensor"):
        kept += _torch_state(found, theta)
    return kept


def _restore_all(stack: Restored, kept: list[Restore], error: object, *_: object) -> None:
    """Restore everything, and raise only then what went wrong with one of them."""
    errors: list[Exception] = []
    # After an error or an interrupt, the last call was not at θ.
    is_any_restored = bool(error) and stack.shorten_logs()
    is_alone = not (stack.thread or thread_at_work(waiting=False))
    _run_all(stack.states.restores, errors)
    if is_alone:
        is_any_restored |= _run_all(kept, errors)
        if is_any_restored:
            _run_all([partial(r, counts=False) for r in kept if r.keywords.get("counts")], errors)
    if errors:
        raise errors[0]


def _run_all(restores: list[Restore], errors: list[Exception]) -> bool:
    """Restore in turn, collect the errors, and return True if anything had changed."""
    has_changed = False
    for restore in restores:
        try:
            has_changed |= bool(restore())
        except Exception as error:  # noqa: BLE001 (an object of the user's may raise anything)
            errors.append(error)
    return has_changed


# Variables, attributes and items


def _restores(each: Reached) -> Iterator[Restore]:
    """Yield what restores the names and items in an object, by identity."""
    value = each.value
    if isinstance(value, dict):
        yield _items(value, counts=not each.owned)
    elif isinstance(value, (list, deque, set)):
        plain = not each.owned
        saved = [*items_of(value)]
        yield partial(_restore_sequence, value, saved, is_log=plain, counts=plain)
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject and value.flags.writeable:
            yield partial(value.__setitem__, ..., value.copy())
    elif isinstance(value, (CellType, FunctionType)):
        yield from _variables(value)
    # A class of the user's may be derived from any of these.
    yield from _attributes(each)


def _variables(value: Any) -> Iterator[Restore]:
    """Yield what restores a captured variable, or the variables that a function assigns."""
    if isinstance(value, CellType):
        yield _by_name(value, OF_CELL, counts=True)
        return
    assigned = frozenset(global_variables_assigned(value))
    if assigned:
        yield _items(value.__globals__, assigned, counts=True)
    yield _items(vars(value), counts=True)
    assigned = frozenset(attributes_assigned(value))
    for _, module in modules_read(value):
        yield _items(vars(module), assigned, counts=True)


def _attributes(each: Reached) -> Iterator[Restore]:
    """Yield what restores the attributes of an object of the user's, or of a class."""
    value = each.value
    if isinstance(value, type):
        yield _by_name(value, OF_CLASS)
    elif each.kind.holds_state:
        if hasattr(value, "__dict__"):
            yield partial(_restore_dict, value, vars(value))
            yield _items(vars(value))
        if each.kind.slots:
            read = partial(slots_of, each.kind.slots)
            yield _by_name(value, Access(read, object.__setattr__, object.__delattr__))


def _restore_dict(value: Any, saved: dict[str, Any]) -> bool:
    if vars(value) is saved:
        return False
    object.__setattr__(value, "__dict__", saved)
    return True


def _contents_of(cell: CellType) -> Iterator[tuple[str, Any]]:
    """Yield what a captured variable holds, if it has been assigned."""
    with suppress(ValueError):
        yield "cell_contents", cell.cell_contents


def _class_attributes(kind: type) -> Iterator[tuple[str, Any]]:
    # Python itself manages those with two underscores.
    return (item for item in vars(kind).items() if not item[0].startswith("__"))


def _items(
    mapping: dict[Any, Any], names: Container[Any] | None = None, *, counts: bool = False
) -> Restore:
    """Return what restores the items of a dict, or those of some names."""
    access = OF_ORDERED if isinstance(mapping, OrderedDict) else OF_DICT
    if names is not None:
        access = access._replace(read=partial(_items_of, names))
    return _by_name(mapping, access, counts=counts)


def _items_of(names: Container[Any], mapping: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    # Other threads may add to the list of variables meanwhile.
    return [item for item in [*dict.items(mapping)] if item[0] in names]


class Access(NamedTuple):
    """How the names of an owner are read with what they hold, how one is put back, and dropped."""

    read: Callable[[Any], Iterable[tuple[Any, Any]]]
    put: Callable[[Any, Any, Any], object]
    drop: Callable[[Any, Any], object]


OF_CELL = Access(_contents_of, setattr, delattr)
OF_CLASS = Access(_class_attributes, type.__setattr__, type.__delattr__)
OF_DICT = Access(dict.items, dict.__setitem__, dict.__delitem__)
OF_ORDERED = Access(OrderedDict.items, OrderedDict.__setitem__, OrderedDict.__delitem__)


def _by_name(owner: Any, access: Access, *, counts: bool = False) -> Restore:
    """Return what restores the names of an owner to the values that they have now, by identity.

    With `counts`, what is counted or noted stays if it is new, or in place of another.
    """
    return partial(_restore_names, owner, access, dict(access.read(owner)), counts=counts)


def _restore_names(owner: Any, access: Access, saved: dict[Any, Any], *, counts: bool) -> bool:
    now, has_changed = dict(access.read(owner)), False
    if not saved.keys() <= now.keys():
        # All are put back anew, because what was removed would become the last.
        for name in now.keys() & saved.keys():
            access.drop(owner, name)
        now = {name: value for name, value in now.items() if name not in saved}
    for name, value in {**now, **saved}.items():
        was, is_now = saved.get(name, MISSING), now.get(name, MISSING)
        if was is is_now or (counts and {type(was), type(is_now)} <= COUNTS):
            continue
        has_changed = True
        if was is not MISSING:
            access.put(owner, name, value)
        else:
            access.drop(owner, name)
    return has_changed


def _restore_sequence(value: Any, saved: list[Any], *, is_log: bool, counts: bool) -> bool:
    """Restore the items of a list, deque or set, by identity.

    What was added to a log stays. With `counts`, numbers that were taken out stay away, and what is
    counted stays.
    """
    now = [*items_of(value)]
    if _is_same(now, saved) or (is_log and _has_grown(now, saved)):
        return False
    if counts and {*map(type, now + saved)} <= COUNTS:
        return False
    if counts and {*map(type, saved)} <= PLAIN and _is_used_up(now, saved):
        return False
    kind = next(kind for kind in FILL if isinstance(value, kind))
    kind.clear(value)  # type: ignore[attr-defined]
    FILL[kind](value, saved)
    return True


def _has_grown(now: list[Any], saved: list[Any]) -> bool:
    return _is_same(now[: len(saved)], saved)


def _is_used_up(now: list[Any], saved: list[Any]) -> bool:
    """Return True if items were taken from one end of a list."""
    n = len(now)
    return n < len(saved) and (_is_same(saved[:n], now) or _is_same(saved[-n:] if n else [], now))


def _has_activations(log: tuple[Any, int]) -> bool:
    """Return True if items that a backward pass may need were appended to a list."""
    return any(
        isinstance(item, ACTIVATIONS) or holds_state(item) or library_of(item) is not None
        for item in islice(log[0], log[1], None)
    )


def _is_same(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


# The numbers in arrays


def _contents(found: list[Reached], theta: list[object], stack: Restored) -> Iterator[Restore]:
    """Yield what restores the numbers in arrays, bit for bit, but not in those of θ."""
    to_copy, to_hash = MOST_COPIED, MOST_HASHED
    own = set(map(id, theta))
    others = [each for each in found if each.kind.is_array and id(each.value) not in own]
    arrays = [(each, array) for each in others for array in _view(each.value)]
    is_theta = _memory_of(theta if arrays else [])
    for each, array in sorted(arrays, key=lambda both: both[1].nbytes):
        if is_theta(array):
            continue
        if array.nbytes <= to_copy:
            to_copy -= array.nbytes
            yield partial(_restore_numbers, each.value, array, array.copy())
        elif array.nbytes <= to_hash:
            to_hash -= array.nbytes
            stack.large.append((each.name, array, digest([(each.name, array)])))


def _view(value: Any) -> Iterator[Array]:
    """Yield a view of the memory of an array that may change."""
    with suppress(Exception):  # a tensor may be sparse, or without numbers
        if isinstance(value, np.ndarray):
            array = value.view(np.ndarray)
        elif (library := library_of(value)) and library.is_writable and library.shares(value):
            array = library.memory(value)
        else:
            return
        if array.size and array.flags.writeable and not array.dtype.hasobject:
            yield array


def _memory_of(theta: list[object]) -> Callable[[Array], bool]:
    """Return a function that tells if an array has memory in common with θ."""
    bounds = sorted(byte_bounds(array) for leaf in theta for array in _view(leaf))
    starts = [start for start, _ in bounds]
    stops = [*accumulate((stop for _, stop in bounds), max)]

    def overlaps(array: Array) -> bool:
        start, stop = byte_bounds(array)
        before = bisect_left(starts, stop)
        return before > 0 and stops[before - 1] > start

    return overlaps


def _restore_numbers(value: Any, array: Array, saved: Array) -> bool:
    # `resize` may have freed the memory of the view.
    if isinstance(value, np.ndarray) and byte_bounds(value) != byte_bounds(array):
        return False
    # Memory that has not changed is not written to: somebody else may be using it.
    if same_bits(array, saved):
        return False
    array[...] = saved
    return True


# PyTorch


def _torch_state(found: list[Reached], theta: list[Any]) -> Iterator[Restore]:
    """Yield functions that restore gradients, running means and modes, each once."""
    arrays = [each.value for each in found if each.kind.is_array]
    every = filter(is_tensor, (*arrays, *theta))
    tensors = {id(value): value for value in every if value.requires_grad}
    modules: dict[int, Any] = {}
    for each in found:
        if each.kind.is_module and id(each.value) not in modules:
            modules |= {id(module): module for module in each.value.modules()}
    for module in modules.values():
        own = module.parameters(recurse=False)
        tensors |= {id(parameter): parameter for parameter in own}
        # Those in this memory are restored like any other array.
        for buffer in module.buffers(recurse=False):
            if buffer.device.type != "cpu":
                yield partial(buffer.data.copy_, buffer.detach().clone())
        # A module that was compiled does not keep its mode among its attributes.
        yield partial(setattr, module, "training", module.training)
    for tensor in tensors.values():
        if tensor.is_leaf:
            grad = tensor.grad
            values = None if grad is None else grad.detach().clone()
            yield partial(_restore_gradient, tensor, grad, values)


def _restore_gradient(tensor: Any, grad: Any, values: Any) -> None:
    """Restore the gradient: the same tensor, with the same numbers."""
    # `data` is used so that autograd does not notice the change: a graph may still be needed.
    if grad is not None and densifying(grad):
        # A sparse tensor has more entries than before, in other memory.
        grad.data = values
    elif grad is not None:
        grad.data.copy_(values)
    tensor.grad = grad
