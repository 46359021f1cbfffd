"""Objects of the user's own classes that hold parameters: networks, layers, records.

A network may keep its parameters in ``self.params`` and their gradients in ``self.grads``. A layer
has attributes in pairs, such as `W` and `dW`, or `weights` and `grad_weights`. Either may hold
other objects that do, or scalars with a ``.grad``. A dataclass, or a class made by attrs, is a
record of parameters.
"""

from __future__ import annotations

import copy
import dataclasses
import dis
import functools
import inspect
from collections.abc import Sequence
from contextlib import suppress
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

from gradcheck_magic._inputs.arrays import library_of, requires_gradient, torch_class
from gradcheck_magic._inputs.ownership import is_users_class

__all__ = ["GRADIENT_STYLES", "Held", "gradients_of", "held_by", "holds_objects", "rebuilt_object"]

# Possible names of a gradient, given its parameter's name.
GRADIENT_STYLES = ("d{}", "grad_{}", "{}_grad", "d_{}", "grad{}", "{}_gradient", "gradient_{}")
# The names under which a network keeps all its parameters, and all gradients.
PARAMETERS = ("params", "parameters")
GRADIENTS = ("grads", "gradients", "grad")
# The methods of a forward pass, which keep activations. These have gradients, too.
FORWARD = ("forward", "__call__", "predict")
# Longer lists are data, unless they are called parameters.
LONGEST_LIST = 1000
CONTAINERS = (dict, list, tuple)
# No more objects are looked into: a network by hand has fewer layers.
MOST_LAYERS = 100


class Held(NamedTuple):
    """The parameters in an object.

    Attributes
    ----------
    parameters : dict
        Arrays, or what holds arrays, by their names.
    gradients : object
        Their gradients, by the names that the object has for them; None if it has none.
    inside : str
        The attribute that holds the parameters; empty if each is an attribute of its own.
    nested : sequence of str
        The attributes with objects that hold parameters, and gradients, themselves.
    """

    parameters: dict[Any, Any]
    gradients: Any = None
    inside: str = ""
    nested: Sequence[str] = ()


def held_by(node: object) -> Held | None:
    """Return the parameters that an object of the user's holds; None if it holds none.

    The object is not asked for anything but its stored attributes.
    """
    return _held(node, {})


def holds_objects(node: object) -> bool:
    """Return True for a container of objects that hold parameters, such as a list of layers."""
    is_container = issubclass(type(node), (dict, list))
    items = _items(node, LONGEST_LIST) if is_container else {}
    return any(held_by(each) is not None for each in items.values())


def gradients_of(node: object) -> Any:
    """Return the gradients that objects hold, in the structure of their parameters, or None."""
    if issubclass(type(node), CONTAINERS):
        inside = {key: gradients_of(value) for key, value in _items(node).items()}
        is_dict = issubclass(type(node), dict)
        if all(each is None for each in inside.values()):
            return None
        return inside if is_dict else list(inside.values())
    if isinstance(node, torch_class("nn.Module")):
        return _of_module(node)
    held = held_by(node)
    if held is None or not held.nested:
        return held and held.gradients
    nested = {name: gradients_of(held.parameters[name]) for name in held.nested}
    found = {**held.gradients, **{k: each for k, each in nested.items() if each is not None}}
    return found or None


def _of_module(module: Any) -> dict[str, Any] | None:
    """Return the gradients that a module of torch holds as attributes, by the parameters' names."""
    found = {}
    parts = dict(module.named_modules())
    for path, _ in module.named_parameters():
        owner, _, name = path.rpartition(".")
        own = attributes(parts[owner])
        if (gradient := _gradient_name(name, own)) is not None:
            found[path] = own[gradient]
    return found or None


def rebuilt_object(node: Any, values: Sequence[Any]) -> Any:
    """Return a copy of an object with other parameters."""
    held = held_by(node)
    if held is None:
        return node
    copied = copy.copy(node)
    changed = dict(zip(held.parameters, values, strict=True))
    if held.inside:
        container = copy.copy(attributes(node)[held.inside])
        if issubclass(type(container), dict):
            container.update(changed)
        else:
            container = getattr(container, "_make", type(container))(values)
        changed = {held.inside: container}
    for name, value in changed.items():
        # A dataclass may be frozen.
        object.__setattr__(copied, name, value)
    return copied


def attributes(node: object) -> dict[str, Any]:
    """Return the stored attributes of an object, in slots or not."""
    found: dict[str, Any] = {}
    with suppress(Exception):  # an object may answer with anything
        for base in reversed(type(node).__mro__):
            for name, member in vars(base).items() if "__slots__" in vars(base) else ():
                if inspect.ismemberdescriptor(member):
                    with suppress(AttributeError):  # it has no value yet
                        found[name] = member.__get__(node)
        found.update(object.__getattribute__(node, "__dict__"))
    return found


def _held(node: object, seen: dict[int, object]) -> Held | None:
    kind = type(node)
    is_known = kind is SimpleNamespace or is_users_class(kind)
    if id(node) in seen or not is_known or _is_array(node) or len(seen) >= MOST_LAYERS:
        return None
    # What is kept here is not visited twice: objects may refer to each other in circles.
    seen[id(node)] = node
    own = attributes(node)
    return _in_container(own) or _in_attributes(kind, own, seen) or _in_record(kind, own)


def _in_container(own: dict[str, Any]) -> Held | None:
    """Return what a network keeps in ``self.params``."""
    for name in PARAMETERS:
        container = own.get(name)
        items = _items(container)
        if any(_is_array(value) or isinstance(value, CONTAINERS) for value in items.values()):
            gradients = next((own[each] for each in GRADIENTS if own.get(each) is not None), None)
            return Held(items, gradients, name)
    return None


def _in_attributes(kind: type, own: dict[str, Any], seen: dict[int, object]) -> Held | None:
    """Return the attributes that have a gradient, and those that hold such objects."""
    parameters, gradients, nested = dict[str, Any](), dict[str, Any](), []
    kept = _kept_by_forward(kind)
    for name, value in own.items():
        gradient = _gradient_name(name, own)
        if name in kept:
            continue
        if gradient is not None:
            parameters[name] = value
            # A private name has no style of its own.
            gradients[name if name.startswith("_") else gradient] = own[gradient]
        elif _holds_some(value, seen):
            parameters[name] = value
            nested.append(name)
    return Held(parameters, gradients, nested=nested) if parameters else None


def _in_record(kind: type, own: dict[str, Any]) -> Held | None:
    """Return the fields of a dataclass, of a class made by attrs, or of a namespace."""
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")
    is_record = is_record or kind is SimpleNamespace
    return Held(own) if is_record and own else None


def _items(value: object, most: int | None = None) -> dict[Any, Any]:
    if issubclass(type(value), dict):
        return value  # type: ignore[return-value]
    if issubclass(type(value), (list, tuple)):
        return dict(enumerate(value[:most]))  # type: ignore[index]
    return {}


def _gradient_name(name: str, own: dict[str, Any]) -> str | None:
    """Return the name of the attribute that is the gradient of another."""
    private = "_" * name.startswith("_")
    styled = (private + style.format(name.removeprefix("_")) for style in GRADIENT_STYLES)
    return next((each for each in styled if own.get(each) is not None), None)


def _holds_some(value: object, seen: dict[int, object]) -> bool:
    """Return True for objects with parameters, in lists or not, and for what has its own `grad`."""
    if issubclass(type(value), CONTAINERS):
        return any(_holds_some(each, seen) for each in _items(value, LONGEST_LIST).values())
    return requires_gradient(value) or _held(value, seen) is not None


def _is_array(node: object) -> bool:
    kind = type(node)
    return hasattr(kind, "__array__") or library_of(node) is not None


@functools.lru_cache(maxsize=1024)
def _kept_by_forward(kind: type) -> frozenset[str]:
    """Return the attributes that the forward pass of a class assigns."""
    methods = (vars(base).get(name) for base in kind.__mro__ for name in FORWARD)
    codes = [method.__code__ for method in methods if isinstance(method, FunctionType)]
    return frozenset(
        instruction.argval
        for code in codes
        for instruction in dis.get_instructions(code)
        if instruction.opname == "STORE_ATTR"
    )
