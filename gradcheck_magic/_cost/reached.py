"""Everything that the user's functions reach, and may change when they are called.

The walk begins at the functions, and follows what they read: variables, the items of containers,
the attributes of objects and classes, and the functions that these call. It enters the user's own
code and objects, and PyTorch's modules; of other libraries' objects it sees only the arrays and
random generators that they hold.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from gradcheck_magic._cost.free_variables import (
    closure_variables,
    global_variables,
    instance_attributes,
    modules_imported,
    names_in,
)
from gradcheck_magic._inputs.arrays import library_of, torch_class
from gradcheck_magic._inputs.containers import is_module
from gradcheck_magic._inputs.ownership import is_in_library, is_users_class, is_users_module

__all__ = [
    "PLAIN",
    "Reached",
    "holds_state",
    "is_generator",
    "items_of",
    "modules_read",
    "reached",
    "slots_of",
]

# Types whose values cannot change, and which hold nothing.
PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, range, slice, np.ufunc})
SEQUENCES: tuple[type[Any], ...] = (list, tuple, set, frozenset, deque)
# Only this many items of a container are examined: longer lists are data.
MOST_HELD = 1000
# The walk ends after this many objects; a network by hand has some hundreds.
MOST_REACHED = 20_000
# Python's own classes whose objects hold whatever is assigned to them.
KEEPERS = {
    ("types", "SimpleNamespace"),
    ("argparse", "Namespace"),
    ("collections", "ChainMap"),
    ("collections", "UserDict"),
    ("collections", "UserList"),
    ("weakref", "WeakKeyDictionary"),
    ("weakref", "WeakValueDictionary"),
    ("_thread", "_local"),
}
# What a descriptor in a class wraps.
WRAPPED = {
    staticmethod: ["__func__"],
    classmethod: ["__func__"],
    property: ["fget", "fset", "fdel"],
    functools.cached_property: ["func"],
}


@dataclass(frozen=True, eq=False, slots=True)
class Kind:
    """What the type of an object says about it. A walk meets few types, and asks once for each.

    Attributes
    ----------
    holds_state, is_generator, is_module : bool
        What the functions of these names return.
    is_array : bool
        True for an array, of NumPy or of another library.
    slots : dict
        The descriptors of the attributes that its class declares in `__slots__`.
    inside : list of callable
        The functions that yield what is inside such an object.
    """

    holds_state: bool = False
    is_generator: bool = False
    is_module: bool = False
    is_array: bool = False
    slots: dict[str, Any] = field(default_factory=dict)
    inside: list[Callable[[Reached], Iterator[Reached]]] = field(default_factory=list)

    @classmethod
    def of(cls, value: object) -> Kind:
        """Return the kind of an object; if its class answers with anything, it is left alone."""
        with suppress(Exception):
            return cls._of(value)
        return cls()

    @classmethod
    def _of(cls, value: object) -> Kind:
        kind = type(value)
        state, generator = holds_state(value), is_generator(value)
        library = library_of(value)
        is_librarys = library is not None and not library.is_users
        inside = [inside for kinds, inside in INSIDE if issubclass(kind, kinds)]
        # A class of the user's may be derived from any of these.
        if not state:
            del inside[1:]
        if (state or not inside) and not (is_librarys or generator):
            inside.append(_inside_object)
        is_array = is_librarys or issubclass(kind, np.ndarray)
        return cls(state, generator, is_module(value), is_array, _slots(kind), inside)


@dataclass(eq=False, slots=True)
class Reached:
    """An object that a function reaches.

    Attributes
    ----------
    name : str
        The way to it, such as ``net.layers[0].A``.
    value : object
        The object; or the cell that holds a captured variable.
    owned : bool
        True if it is the state of some object; False if only variables and their containers lead
        to it.
    kind : Kind
        What its type says about it.
    """

    name: str
    value: Any
    owned: bool = False
    kind: Kind = field(init=False)


def reached(*roots: object, enters: Callable[[object], bool] = lambda _: True) -> Iterator[Reached]:
    """Yield everything that some functions, or objects, reach, each once.

    What is inside an object is only looked at if `enters` is true for it.
    """
    # They are kept, so that no `id` is used twice.
    seen: dict[int, object] = {}
    kinds: dict[type, Kind] = {}
    # What is nearest comes first: large data must not use up what a network needs.
    waiting = deque(Reached("", root) for root in roots)
    odd = suppress(Exception)  # an object of the user's may answer with anything
    while waiting and len(seen) < MOST_REACHED:
        each = waiting.popleft()
        # The type is examined, not the value: a proxy may raise when it is asked for its class.
        kind = type(each.value)
        if kind in PLAIN or id(each.value) in seen:
            continue
        if kind not in kinds:
            kinds[kind] = Kind.of(each.value)
        each.kind = kinds[kind]
        seen[id(each.value)] = each.value
        yield each
        if not enters(each.value):
            continue
        with odd:
            for inside in each.kind.inside:
                waiting.extend(inside(each))


def _inside_cell(each: Reached) -> Iterator[Reached]:
    yield Reached(each.name, each.value.cell_contents)


def _inside_method(each: Reached) -> Iterator[Reached]:
    owner = each.value.__self__
    yield Reached(type(owner).__name__, owner)
    yield Reached(each.name, getattr(each.value, "__func__", None))


def _inside_partial(each: Reached) -> Iterator[Reached]:
    called = each.value
    for part in (called.func, *called.args, *called.keywords.values()):
        yield Reached(each.name, part)


def _inside_class(each: Reached) -> Iterator[Reached]:
    kind = each.value
    if not is_users_class(kind):
        return
    for name, value in vars(kind).items():
        # A method or property is looked for in what wraps it.
        for wrapped in WRAPPED.get(type(value), ()) or [""]:
            held = getattr(value, wrapped, value)
            yield Reached(f"{kind.__name__}.{name}", held, owned=True)
    for base in kind.__bases__:
        yield Reached(base.__name__, base)


def _inside_function(each: Reached) -> Iterator[Reached]:
    """Yield the variables that a function captures and, if it is the user's own, all it reads."""
    function = each.value
    code = function.__code__
    # A function of a library may wrap one of the user's.
    yield from map(Reached, code.co_freevars, function.__closure__ or ())
    if is_in_library(code.co_filename):
        return
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield Reached(function.__name__, value)
    for name, value in vars(function).items():
        yield Reached(f"{function.__name__}.{name}", value, owned=True)
    read = list(global_variables(function))
    for name, module in modules_read(function):
        held = vars(module)
        read += [
            (f"{name}.{attribute}", held[attribute]) for attribute in names_in(code) & held.keys()
        ]
    # What matters in a module is what is read from it.
    yield from (Reached(*each) for each in read if not isinstance(each[1], ModuleType))


def modules_read(function: FunctionType) -> Iterator[tuple[str, ModuleType]]:
    """Yield the user's modules that a function reads, and those inside them, by name."""
    waiting = [
        *global_variables(function),
        *closure_variables(function),
        *modules_imported(function),
    ]
    seen = set()
    while waiting:
        name, module = waiting.pop()
        if not issubclass(type(module), ModuleType) or id(module) in seen:
            continue
        seen.add(id(module))
        if is_users_module(module.__name__):
            yield name, module
            held = vars(module)
            names = names_in(function.__code__) & held.keys()
            waiting += [(f"{name}.{attribute}", held[attribute]) for attribute in names]


def _inside_container(each: Reached) -> Iterator[Reached]:
    value = each.value
    keyed: Iterable[tuple[Any, Any]] = (
        dict.items(value) if isinstance(value, dict) else enumerate(items_of(value))
    )
    for key, item in islice(keyed, MOST_HELD):
        if type(item) not in PLAIN:
            name = f"{each.name}[{key!r}]" if type(key) in PLAIN else each.name
            yield Reached(name, item, each.owned)
        if type(key) not in PLAIN:
            yield Reached(each.name, key, each.owned)


def items_of(value: Any) -> Iterator[Any]:
    """Yield the items of a list, tuple, set or deque, whatever its class does when it is read."""
    kind = next(kind for kind in SEQUENCES if isinstance(value, kind))
    yield from kind.__iter__(value)


def _inside_array(each: Reached) -> Iterator[Reached]:
    if each.value.dtype.hasobject:
        for item in each.value.flat[:MOST_HELD]:
            yield Reached(each.name, item, each.owned)


def _inside_module(_: Reached) -> Iterator[Reached]:
    """Yield nothing: what matters in a module is what a function reads from it."""
    yield from ()


def _inside_object(each: Reached) -> Iterator[Reached]:
    """Yield the attributes of an object, its class, and the function that it wraps."""
    value, is_entered = each.value, each.kind.holds_state
    if not is_entered and callable(inspect.getattr_static(value, "__wrapped__", None)):
        yield Reached(each.name, value.__wrapped__)  # by `jax.jit` or `functools.cache`
    for name, held in (*instance_attributes(value), *slots_of(each.kind.slots, value)):
        if type(held) not in PLAIN and (is_entered or _is_known(held)):
            yield Reached(f"{each.name}.{name}", held, owned=True)
    if is_entered:
        yield Reached(type(value).__name__, type(value))


def _is_known(held: object) -> bool:
    """Return True for what is looked at even in an object of a library."""
    functions = (FunctionType, MethodType, functools.partial, np.ndarray)
    known = issubclass(type(held), functions) or is_generator(held) or holds_state(held)
    return known or library_of(held) is not None


def holds_state(value: object) -> bool:
    """Return True for an object of the user's own classes, and for others that keep anything."""
    kind = type(value)
    return (kind.__module__, kind.__name__) in KEEPERS or is_users_class(kind) or is_module(value)


def slots_of(slots: dict[str, Any], value: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object that are in slots, which its `Kind` lists."""
    for name, member in slots.items():
        with suppress(AttributeError):  # it has no value yet
            yield name, member.__get__(value)


def _slots(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        # Looking through every class would take long.
        for name, member in vars(base).items() if "__slots__" in vars(base) else ():
            if inspect.ismemberdescriptor(member):
                found.setdefault(name, member)
    return found


def is_generator(value: object) -> bool:
    """Return True for a random generator that has a state."""
    kind = type(value)
    if issubclass(kind, random.SystemRandom):
        # It reads the system's entropy and has no state to restore.
        return False
    numpys = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
    return issubclass(kind, (*numpys, random.Random, torch_class("Generator")))


# What looks inside an object, by its type; any other is looked at as an object of some class.
INSIDE: tuple[tuple[Any, Callable[[Reached], Iterator[Reached]]], ...] = (
    (CellType, _inside_cell),
    (FunctionType, _inside_function),
    ((MethodType, BuiltinMethodType), _inside_method),
    (functools.partial, _inside_partial),
    (type, _inside_class),
    (ModuleType, _inside_module),
    ((dict, *SEQUENCES), _inside_container),
    (np.ndarray, _inside_array),
)
