"""What holds arrays: lists, tuples and dicts, modules of PyTorch, and pytrees of JAX, nested."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import GeneratorType
from typing import Any

from gradcheck_magic.errors import InputError
from gradcheck_magic.libraries import torch_class

__all__ = ["children", "is_tree", "module_of", "opened", "plain", "rebuilt"]

# Of torch.nn.Module: what they give can be asked for again.
MODULES_GENERATORS = {"parameters", "named_parameters"}


def opened(params: Any, name: str) -> Any:
    """Return what can be read any number of times, and pairs of names and arrays as a dict.

    ``model.parameters()`` is asked for anew, so that the user's own goes on giving all of them.

    Raises
    ------
    InputError
        If it can be read only once.
    """
    module = module_of(params)
    if isinstance(params, GeneratorType) and module is not None:
        asked = {**inspect.getgeneratorlocals(params)}
        del asked["self"]
        params = list(getattr(module, params.__name__)(**asked))
    if isinstance(params, Iterator):
        raise InputError(
            f"`{name}` is a {type(params).__name__}, which can be read only once: make it a list, "
            f"list({name})."
        )
    return dict(params) if _is_named(params) else params


def module_of(params: Any) -> Any:
    """Return the module that it is, or whose parameters it gives; None if there is none."""
    if isinstance(params, GeneratorType) and params.__name__ in MODULES_GENERATORS:
        # Once it has begun, what it has given is among its variables.
        is_new = inspect.getgeneratorstate(params) == inspect.GEN_CREATED
        params = inspect.getgeneratorlocals(params).get("self") if is_new else None
    return params if isinstance(params, torch_class("nn.Module")) else None


def _is_named(params: object) -> bool:
    """Whether it is what ``list(model.named_parameters())`` is."""
    tensor = torch_class("Tensor")
    return (
        isinstance(params, list)
        and bool(params)
        and all(
            isinstance(pair, tuple)
            and len(pair) == 2  # noqa: PLR2004 (a pair)
            and isinstance(pair[0], str)
            and isinstance(pair[1], tensor)
            for pair in params
        )
    )


def children(node: Any) -> Sequence[tuple[Any, Any]] | None:
    """Return what a container holds, each with its key; None for what is no container."""
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, (list, tuple)):
        return list(enumerate(node))
    if isinstance(node, torch_class("nn.Module")):
        return list(node.named_parameters())
    if _is_pytree(node):
        return [(_key(path), child) for path, child in _flattened(node)[0]]
    return None


def is_tree(node: object) -> bool:
    """Whether it is a module or a pytree, rather than one of Python's own containers."""
    if isinstance(node, (dict, list, tuple)):
        return False
    return isinstance(node, torch_class("nn.Module")) or _is_pytree(node)


def plain(node: Any) -> Any:
    """Return the same in dicts, lists and tuples alone; what is made of these is itself."""
    held = children(node)
    if held is None:
        return node
    simple = [plain(child) for _, child in held]
    if is_tree(node):
        return dict(zip((key for key, _ in held), simple, strict=True))
    if all(new is child for new, (_, child) in zip(simple, held, strict=True)):
        return node
    return rebuilt(node, simple)


def rebuilt(node: Any, held: Sequence[Any]) -> Any:
    """Return a container of the same kind around something else."""
    if isinstance(node, dict):
        same = copy.copy(node)
        same.update(zip(node, held, strict=True))
        return same
    if isinstance(node, (list, tuple)):
        if hasattr(node, "_fields"):
            return type(node)(*held)
        return tuple(held) if isinstance(node, tuple) else list(held)
    if isinstance(node, torch_class("nn.Module")):
        own = (id(parameter) for _, parameter in node.named_parameters())
        # To copy is to ask there first: whatever refers to a parameter gets what is put in here.
        return copy.deepcopy(node, dict(zip(own, held, strict=True)))
    return _flattened(node)[1].unflatten(held)


# Pytrees


def _is_pytree(node: object) -> bool:
    """Whether JAX knows it as a container that is none of Python's own."""
    tree = getattr(sys.modules.get("jax"), "tree_util", None)
    return node is not None and tree is not None and not tree.all_leaves([node])


def _flattened(node: Any) -> tuple[Iterable[tuple[Any, Any]], Any]:
    """What a pytree holds itself, with paths, and how it is put together."""
    tree = sys.modules["jax"].tree_util
    held, structure = tree.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)
    return held, structure


def _key(path: Sequence[Any]) -> Any:
    """What a pytree calls a part: a field, a key or a position."""
    (key,) = path
    return next(getattr(key, kind) for kind in ("name", "key", "idx") if hasattr(key, kind))
