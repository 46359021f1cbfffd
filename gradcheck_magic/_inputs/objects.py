"""Objects of the user's own classes that hold parameters: networks, layers, records.

A network may keep its parameters in ``self.params`` and their gradients in ``self.grads``. A layer
has attributes in pairs, such as `W` and `dW`, or `weights` and `grad_weights`. A parameter may be
an object of its own, or a dict, with a `value` and a `grad`. All of these may hold other objects
that do, or scalars with a ``.grad``. A dataclass, or a class made by attrs, is a record of
parameters.
"""

from __future__ import annotations

import copy
import dataclasses
import dis
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

from gradcheck_magic._inputs.arrays import is_real, library_of, requires_gradient
from gradcheck_magic._inputs.ownership import is_users_class

__all__ = [
    "GRADIENT_STYLES",
    "LONGEST_LIST",
    "Gradients",
    "Held",
    "attributes",
    "held_by",
    "holds_objects",
    "kept_by_methods",
    "module_gradients",
    "rebuilt_object",
]

# Possible names of a gradient, given its parameter's name.
GRADIENT_STYLES = ("d{}", "grad_{}", "{}_grad", "d_{}", "grad{}", "{}_gradient", "gradient_{}")
# The names under which a network keeps all its parameters, and all gradients.
PARAMETERS = ("params", "parameters")
GRADIENTS = ("grads", "gradients", "grad")
# In an object that is one parameter: the names of its value, and those of its gradient.
VALUES = ("value", "val", "data", "array", "w", "W", "weight", "weights", "theta", "param")
GRADIENT_OF_VALUE = ("grad", "gradient", "g", "diff")
# The same in a dict, where `w` and `g` are two parameters.
DICTS_VALUES, DICTS_GRADIENTS = VALUES[:4], GRADIENT_OF_VALUE[:2]
# The most items of a dict that is one parameter: also its name, its momentum and the like.
MOST_OF_ONE = 20
# The methods of a forward pass, which keep activations. These have gradients, too.
FORWARD = re.compile("forward|^(__call__|call|predict|fprop)$")
# Other methods keep them as well, if they take an argument, and do not make or move parameters.
MAKING = re.compile("init|build|set|load|make|create|add|param|weight|update|step|fit|train|learn")
# Longer lists are data, unless they are called parameters.
LONGEST_LIST = 1000
CONTAINERS = (dict, list, tuple)
# No more objects are looked into: a network by hand has fewer layers.
MOST_LAYERS = 100


class Gradients(dict[Any, Any]):
    """Gradients by the names of their parameters; `called` has the names of their attributes."""

    def __init__(self, gradients: Mapping[Any, Any], called: Mapping[Any, str]) -> None:
        super().__init__(gradients)
        self.called = called


class Held(NamedTuple):
    """The parameters in an object.

    Attributes
    ----------
    parameters : dict
        Arrays, or what holds arrays, by their names.
    gradients : object
        Their gradients; None if it has none. A gradient that has yet to be computed is None, too.
    inside : str
        The attribute that holds the parameters; empty if each is an attribute of its own.
    nested : sequence of str
        The attributes with objects that hold parameters, and gradients, themselves.
    """

    parameters: dict[Any, Any]
    gradients: Any = None
    inside: str = ""
    nested: Sequence[str] = ()


# Objects that were met, by their `id`, and what they hold.
Seen = dict[int, tuple[object, Held | None]]


def held_by(node: object) -> Held | None:
    """Return the parameters that an object of the user's holds; None if it holds none.

    The object is not asked for anything but its stored attributes.
    """
    return _held(node, {})


def module_gradients(module: Any) -> dict[str, Any] | None:
    """Return the gradients that a module of torch holds as attributes, by the parameters' names."""
    found = {}
    parts = dict(module.named_modules())
    for path, _ in module.named_parameters():
        owner, _, name = path.rpartition(".")
        own = attributes(parts[owner])
        if (gradient := _gradient_name(name, own)) is not None and own[gradient] is not None:
            found[path] = own[gradient]
    return found or None


def holds_objects(node: object) -> bool:
    """Return True for a container of objects that hold parameters, such as a list of layers."""
    return any(held_by(each) is not None for each in _items(node, LONGEST_LIST).values())


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


def _held(node: object, seen: Seen) -> Held | None:
    kind = type(node)
    if issubclass(kind, dict):
        # A dict of the user's own class may answer with anything.
        own = _items(node, MOST_OF_ONE + 1)
        is_one = len(own) <= MOST_OF_ONE
        return _in_one(own, DICTS_VALUES, DICTS_GRADIENTS) if is_one else None
    is_known = kind is SimpleNamespace or is_users_class(kind)
    if not is_known or _is_array(node):
        return None
    if id(node) not in seen and len(seen) < MOST_LAYERS:
        # Objects may refer to each other in circles: while it is looked into, it holds nothing.
        seen[id(node)] = node, None
        seen[id(node)] = node, _looked_into(node, seen)
    return seen.get(id(node), (node, None))[1]


def _looked_into(node: object, seen: Seen) -> Held | None:
    kind, own = type(node), attributes(node)
    return (
        _in_container(own, seen)
        or _in_attributes(kind, own, seen)
        or _in_one(own, VALUES, GRADIENT_OF_VALUE, kind)
        or _in_record(kind, own)
    )


def _in_container(own: dict[str, Any], seen: Seen) -> Held | None:
    """Return what a network keeps in ``self.params``."""
    for name in PARAMETERS:
        container = own.get(name)
        items = _items(container)
        if _is_any(container, lambda each: bool(_held(each, seen))):
            continue
        if any(_is_array(value) or isinstance(value, CONTAINERS) for value in items.values()):
            gradients = next((own[each] for each in GRADIENTS if own.get(each) is not None), None)
            return Held(items, gradients, name)
    return None


def _in_attributes(kind: type, own: dict[str, Any], seen: Seen) -> Held | None:
    """Return the attributes that have a gradient, and those that hold such objects."""
    parameters, called, nested = dict[str, Any](), dict[str, str](), []
    by_forward, by_others = kept_by_methods(kind)
    for name, value in own.items():
        if value is None or name in by_forward:
            continue
        gradient = _gradient_name(name, own)
        if gradient is not None:
            if name not in by_others:
                parameters[name] = value
                called[name] = gradient
        # Any method may attach a layer.
        elif _is_any(value, lambda each: requires_gradient(each) or bool(_held(each, seen))):
            parameters[name] = value
            nested.append(name)
    return Held(parameters, _gradients(own, called), nested=nested) if parameters else None


def _in_one(
    own: Mapping[Any, Any],
    values: Sequence[str],
    gradients: Sequence[str],
    kind: type = object,
) -> Held | None:
    """Return the value of what is one parameter, with its gradient."""
    value, gradient = (
        next(filter(None, (_stored(name, own, kind) for name in names)), None)
        for names in (values, gradients)
    )
    if value is None or gradient is None or not _belongs_to(own[gradient], own[value]):
        return None
    return Held({value: own[value]}, _gradients(own, {value: gradient}))


def _stored(name: str, own: Mapping[Any, Any], kind: type) -> str | None:
    """Return the attribute of this name, or the one that a property of this name returns."""
    member = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    getter = member.fget if isinstance(member, property) else None
    read = getter.__code__.co_names if isinstance(getter, FunctionType) else ()
    found = (each for each in (name, f"_{name}", *(read if len(read) == 1 else ())) if each in own)
    return next(found, None)


def _gradients(own: Mapping[Any, Any], called: Mapping[Any, str]) -> Gradients:
    return Gradients({name: own[gradient] for name, gradient in called.items()}, called)


def _belongs_to(gradient: object, value: object) -> bool:
    """Return True for a gradient in the shape of a value, or one that has yet to be computed."""
    shapes = [getattr(each, "shape", () if is_real(each) else None) for each in (value, gradient)]
    return shapes[0] is not None and (gradient is None or shapes[1] in ((), shapes[0]))


def _in_record(kind: type, own: dict[str, Any]) -> Held | None:
    """Return the fields of a dataclass, of a class made by attrs, or of a namespace."""
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")
    is_record = is_record or kind is SimpleNamespace
    return Held(own) if is_record and own else None


def _items(value: object, most: int | None = None) -> dict[Any, Any]:
    if issubclass(type(value), dict):
        return dict(islice(dict.items(value), most))  # type: ignore[arg-type]
    if issubclass(type(value), (list, tuple)):
        return dict(enumerate(value[:most]))  # type: ignore[index]
    return {}


def _gradient_name(name: str, own: dict[str, Any]) -> str | None:
    """Return the name of the attribute that is the gradient of another, or will be."""
    private = "_" * name.startswith("_")
    styled = (private + style.format(name.removeprefix("_")) for style in GRADIENT_STYLES)
    found = [each for each in styled if each in own]
    return min(found, key=lambda each: own[each] is None, default=None)


def _is_any(value: object, test: Callable[[object], bool]) -> bool:
    """Return True if a test is true for a value, or for anything in lists and dicts in it."""
    return test(value) or any(_is_any(each, test) for each in _items(value, LONGEST_LIST).values())


def _is_array(node: object) -> bool:
    kind = type(node)
    return hasattr(kind, "__array__") or library_of(node) is not None


@functools.lru_cache(maxsize=1024)
def kept_by_methods(kind: type) -> tuple[frozenset[str], frozenset[str]]:
    """Return the attributes in which a forward pass, and other methods, keep what they compute."""
    by_forward, by_others, made = set[str](), set[str](), set[str]()
    for name, method in (item for base in kind.__mro__ for item in vars(base).items()):
        if isinstance(method, FunctionType):
            code = method.__code__
            is_making = code.co_argcount <= 1 or MAKING.search(name)
            into = by_forward if FORWARD.search(name) else made if is_making else by_others
            instructions = dis.get_instructions(code)
            into |= {each.argval for each in instructions if each.opname == "STORE_ATTR"}
    return frozenset(by_forward), frozenset(by_others - made)
