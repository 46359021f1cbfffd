"""Containers of arrays: lists, tuples, dicts, PyTorch modules, JAX pytrees, and objects."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from types import GeneratorType
from typing import Any

import numpy as np

from gradcheck_magic._inputs.arrays import torch_class
from gradcheck_magic._inputs.objects import (
    LONGEST_LIST,
    Gradients,
    Held,
    held_by,
    holds_objects,
    module_gradients,
    rebuilt_object,
)

__all__ = [
    "Owners",
    "children",
    "children_once",
    "gradients_of",
    "is_module",
    "is_named_tuple",
    "is_pytree",
    "module_of",
    "rebuilt",
    "without_generators",
]

# Which container holds an object, and as what, by the `id` of the object.
Owners = dict[int, tuple[int, Any]]
# Methods of torch.nn.Module that return generators, which can be called again.
MODULES_GENERATORS = {"parameters", "named_parameters"}


def without_generators(params: Any) -> Any:
    """Replace a generator by a list that can be read repeatedly, and named pairs by a dict.

    For ``model.parameters()``, the method is called again, so that the user's own generator is not
    used up.
    """
    module = module_of(params)
    if type(params) is GeneratorType and module is not None:
        asked = {**inspect.getgeneratorlocals(params)}
        del asked["self"]
        params = list(getattr(module, params.__name__)(**asked))
    if type(params) is list and params and all(map(_is_named, params)):
        return dict(params)
    return params


def is_named_tuple(value: object) -> bool:
    """Return True for a tuple whose items have names."""
    return issubclass(type(value), tuple) and hasattr(type(value), "_fields")


def is_module(value: object) -> bool:
    """Return True for a PyTorch module."""
    # The type is examined, not the value, here and below: a proxy may raise when it is asked for
    # its class.
    return issubclass(type(value), torch_class("nn.Module"))


def module_of(params: Any) -> Any:
    """Return the module that `params` is, or whose parameters it generates; None otherwise."""
    if type(params) is GeneratorType and params.__name__ in MODULES_GENERATORS:
        # Once a generator has begun, its variables also hold the items that it has yielded.
        is_new = inspect.getgeneratorstate(params) == inspect.GEN_CREATED
        params = inspect.getgeneratorlocals(params).get("self") if is_new else None
    return params if is_module(params) else None


def _is_named(pair: object) -> bool:
    """Return True for an item of a list such as ``list(model.named_parameters())``."""
    match pair:
        case tuple((str(), value)):
            return isinstance(value, torch_class("Tensor"))
    return False


def children(node: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the items of a container, each with its key; None if it is not a container."""
    held: Iterable[tuple[Any, Any]] | None = None
    if issubclass(type(node), np.ndarray):  # as nearly every leaf is
        return held
    if issubclass(type(node), dict):
        own = held_by(node)
        held = (own.parameters if own else node).items()
    elif is_named_tuple(node):
        held = zip(node._fields, node, strict=True)
    elif issubclass(type(node), (list, tuple)):
        held = enumerate(node)
    elif is_module(node):
        held = node.named_parameters()
    elif is_pytree(node):
        held = [(_key(path), child) for path, child in _flattened(node)[0]]
    elif (own := held_by(node)) is not None:
        held = own.parameters.items()
    return held


def children_once(node: Any, owners: Owners) -> Iterator[tuple[Any, Any]] | None:
    """Return the items of a container without the objects that belong to another container.

    A layer may know its network and its neighbours. Each object belongs to what holds it first, and
    is visited once; `owners` knows those of all that the walk has met.
    """
    held = children(node)
    if held is None:
        return None
    if _own(node) is not None:
        owners.setdefault(id(node), (0, None))  # here the walk begins
    every = iter(held)
    first = list(islice(every, LONGEST_LIST))
    _claim(node, first, owners)
    return (
        (key, child)
        for key, child in chain(first, every)
        if owners.get(id(child), (id(node), key)) == (id(node), key)
    )


def _claim(node: Any, held: Iterable[tuple[Any, Any]], owners: Owners) -> None:
    """Note to whom the objects in a container belong, and those in its lists and dicts."""
    for key, child in held:
        is_object = _own(child) is not None
        if id(child) not in owners and (is_object or holds_objects(child)):
            owners[id(child)] = id(node), key
            if not is_object:
                _claim(child, islice(children(child) or (), LONGEST_LIST), owners)


def _own(node: Any) -> Held | None:
    """Return what an object of the user's holds, or a dict that is one parameter."""
    is_librarys = is_module(node) or (not issubclass(type(node), dict) and is_pytree(node))
    return None if is_librarys else held_by(node)


def gradients_of(node: Any) -> Any:
    """Return the gradients that objects hold, in the structure of their parameters, or None."""
    found = _gradients_in(node, {})
    return found if _has_any(found) else None


def _gradients_in(node: Any, owners: Owners) -> Any:
    if is_module(node):
        return module_gradients(node)
    own, held = _own(node), children_once(node, owners)
    if held is None or (own is not None and not own.nested):
        return own and own.gradients
    inside = {key: _gradients_in(child, owners) for key, child in held}
    if own is not None:
        nested = {key: inside[key] for key in own.nested if key in inside}
        return Gradients({**own.gradients, **nested}, own.gradients.called)
    every = {key: inside.get(key) for key, _ in children(node) or ()}
    return list(every.values()) if issubclass(type(node), (list, tuple)) else every


def _has_any(gradients: Any) -> bool:
    if not issubclass(type(gradients), (dict, list)):
        return gradients is not None
    parts = gradients.values() if issubclass(type(gradients), dict) else gradients
    return any(map(_has_any, parts))


def rebuilt(node: Any, held: Sequence[Any]) -> Any:
    """Return a container of the same kind with other items."""
    if issubclass(type(node), dict):
        same = copy.copy(node)
        for (key, _), child in zip(children(node) or (), held, strict=True):
            same[key] = child
        return same
    if issubclass(type(node), (list, tuple)):
        if hasattr(node, "_make"):
            return node._make(held)
        return tuple(held) if issubclass(type(node), tuple) else _refilled(node, held)
    if is_module(node):
        own = (id(parameter) for _, parameter in node.named_parameters())
        # `deepcopy` looks in this dict first, so each reference to a parameter gets the new one.
        known = dict(zip(own, held, strict=True))
        # Torch refuses to copy what a module has kept of an earlier forward pass.
        for tensor in _computed([vars(part) for part in node.modules()]):
            known[id(tensor)] = tensor.detach().clone()
        copied = copy.deepcopy(node, known)
        for (_, parameter), new in zip(copied.named_parameters(), held, strict=True):
            if parameter is not new:  # TorchScript has copied the old one, without that dict
                parameter.data = new.data
        return copied
    if not is_pytree(node):
        return rebuilt_object(node, held)
    return _flattened(node)[1].unflatten(held)


def _refilled(node: Any, held: Sequence[Any]) -> Any:
    """Return a list of the same class with other items: a network may be a list of layers."""
    same = copy.copy(node)
    same[:] = held
    return same


def _computed(node: Any) -> Iterator[Any]:
    """Yield the tensors in a container that torch has computed from others."""
    if issubclass(type(node), torch_class("Tensor")):
        if not node.is_leaf:
            yield node
    elif issubclass(type(node), (dict, list, tuple)):
        for _, child in children(node) or ():
            yield from _computed(child)


# Pytrees


def is_pytree(node: object) -> bool:
    """Return True if JAX is imported and treats the node as a container."""
    tree = getattr(sys.modules.get("jax"), "tree_util", None)
    return node is not None and tree is not None and not tree.all_leaves([node])


def _flattened(node: Any) -> Any:
    """Return the direct children of a pytree, with their paths, and its structure."""
    flatten = sys.modules["jax"].tree_util.tree_flatten_with_path
    return flatten(node, is_leaf=lambda part: part is not node)


def _key(path: Sequence[Any]) -> Any:
    """Return the name of a part of a pytree: a field, a key or a position."""
    (key,) = path
    return next(getattr(key, kind) for kind in ("name", "key", "idx") if hasattr(key, kind))
