"""Odd and hostile objects that a notebook may contain, and costs that do what costs should not."""

import functools
import itertools
import os
import random
import signal
import sys
import threading
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

from gradcheck_magic import check_gradients


def leaves(node):
    """Return the arrays and numbers in containers."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        return [leaf for child in node for leaf in leaves(child)]
    return [] if node is None or isinstance(node, (str, bool)) else [node]


def square(params):
    return float(sum(np.sum(np.asarray(a, dtype=np.float64) ** 2) for a in leaves(params)))


def gradient(params):
    return {f"d{name}": 2 * value for name, value in params.items()}


# Arrays


class Plain(np.ndarray):
    """A subclass that changes nothing."""


class WithoutUfuncs(np.ndarray):
    def __array_ufunc__(self, *args, **kwargs):
        raise RuntimeError("no ufuncs")


class WithoutItems(np.ndarray):
    def __getitem__(self, key):
        raise RuntimeError("no items")

    def __setitem__(self, key, value):
        raise RuntimeError("no items")


class WithoutArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")


def overlapping():
    flat = np.arange(1.0, 9)
    return {"a": flat[:5], "b": flat[3:]}


def transposed():
    array = np.arange(1.0, 5).reshape(2, 2)
    return [array, array.T], [2 * array, 2 * array.T]


def interlocking():
    flat = np.arange(1.0, 9)
    return [flat[::2], flat[1::2]], [2 * flat[::2], 2 * flat[1::2]]


def bits(*numbers):
    """Return the numbers with these bits, such as nans with a payload or one that signals."""
    return np.array(numbers, dtype=np.uint64).view(np.float64)


SIGNALLING, QUIET = 0x7FF4DEAD00000001, 0x7FF8000000000ABC


# Containers


def endless_list():
    values = [np.ones(2)]
    values.append(values)
    return values


def endless_dict():
    values = {"W": np.ones(2)}
    values["self"] = values
    return values


def endless_tuple():
    inner = []
    outer = (np.ones(2), inner)
    inner.append(outer)
    return outer


def endless_pair():
    one = [np.ones(2)]
    one.append([one])
    return one


def endless_array():
    values = np.empty(1, dtype=object)
    values[0] = values
    return values


def nested(depth, wrap=lambda inner: [inner]):
    value = np.ones(2)
    for _ in range(depth):
        value = wrap(value)
    return value


class Items(dict):
    def items(self):
        raise RuntimeError("no items")


class GetItem(dict):
    def __getitem__(self, key):
        raise RuntimeError("no item")


class Contains(dict):
    def __contains__(self, key):
        return True


class Growing(dict):
    def __missing__(self, key):
        self[key] = np.zeros(2)
        return self[key]


class WithoutCopy(dict):
    def __copy__(self):
        raise RuntimeError("no copies")


class WrongLength(list):
    def __len__(self):
        return 5


class WithoutIter(list):
    def __iter__(self):
        raise RuntimeError("no iterator")


Layer = namedtuple("Layer", "W b")  # noqa: PYI024 (the old kind is what notebooks have)


class Tied(Layer):
    """A named tuple whose constructor does not take all its fields."""

    def __new__(cls, W):
        return super().__new__(cls, W, W)


@dataclass
class Data:
    W: object


# Keys and names


class WithoutRepr:
    def __repr__(self):
        raise RuntimeError("no repr")


class WithoutEq:
    __hash__ = object.__hash__

    def __eq__(self, other):
        raise RuntimeError("no eq")


class TwoLines:
    def __repr__(self):
        return "two\nlines"


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no str")

    def __format__(self, spec):
        raise RuntimeError("no format")


class Proxy:
    """An object that raises on any access, like a proxy outside its context."""

    def __getattribute__(self, name):
        raise RuntimeError("no attributes")


class AnyName:
    """An object that has every attribute."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return 1.0


# Numbers


class WithoutFloat:
    def __float__(self):
        raise RuntimeError("no float")


class AsFloat:
    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value


# Exceptions


class WithoutStr(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("no str")


class WithoutNotes(Exception):  # noqa: N818
    add_note = None


class Frozen(Exception):  # noqa: N818
    def __setattr__(self, name, value):
        raise RuntimeError("no attributes")


class Base(BaseException):
    pass


def raising(error, after):
    """Return a cost that raises an error after some evaluations."""
    calls = itertools.count()

    def cost(p):
        if next(calls) >= after:
            raise error
        return square(p)

    return cost


# Costs and other functions of the user's


def endless(p):
    return endless(p)


def checks_itself():
    inside = []

    def cost(p):
        if not inside:
            inside.append(True)
            assert check_gradients(p, gradient(p), cost)
            inside.clear()
        return square(p)

    return cost


def checks_another(p):
    x = np.array([1.0, 2.0])
    assert check_gradients(x, 2 * x, lambda x: x @ x)
    return square(p)


def caches_bytes():
    @functools.lru_cache
    def inner(*contents):
        return sum(float(np.sum(np.frombuffer(c) ** 2)) for c in contents)

    return lambda p: inner(*(a.tobytes() for a in p.values()))


def remembers_ids():
    memory = {}

    def cost(p):
        if id(p["W"]) not in memory:
            memory[id(p["W"])] = square(p)
        return memory[id(p["W"])]

    return cost


def remembers_arrays():
    memory = {}

    def cost(p):
        if id(p["W"]) not in memory:
            memory[id(p["W"])] = p["W"], square(p)
        return memory[id(p["W"])][1]

    return cost


def keeps(what):
    kept = []

    def cost(p):
        kept.append(what(p))
        return square(p)

    return cost


def compares_with_last():
    last = []

    def cost(p):
        if not (last and all(np.array_equal(last[0][key], p[key]) for key in p)):
            last[:] = [p, square(p)]
        return last[1]

    return cost


def after(do):
    """Return a cost that does something first."""

    def cost(p):
        do(p)
        return square(p)

    return cost


def before(do):
    """Return a cost that does something at the end."""

    def cost(p):
        value = square(p)
        do(p)
        return value

    return cost


def once(n, do):
    """Return a cost that does something at one evaluation only, given its number from 0 on."""
    calls = itertools.count()

    def cost(p):
        if next(calls) == n:
            do(p)
        return square(p)

    return cost


def adds_one(p):
    p["W"] += 1


def adds_and_takes(p):
    p["W"] += 1
    p["W"] -= 1


def adds_a_place(p):
    p["W"][0] = np.nextafter(p["W"][0], 9)


def replaces(p):
    p["W"] = p["W"] * 1.0


def replaces_shape(p):
    p["W"] = np.ones(5)


def adds_a_key(p):
    p["cache"] = np.ones(3)


def swaps(p):
    p["W"], p["b"] = p["b"], p["W"]


def resizes(p):
    p["W"].resize(5, refcheck=False)


def reshapes(p):
    p["W"].shape = (2, 1)


def retypes(p):
    p["W"].dtype = np.int64


def protects(p):
    p["W"].setflags(write=False)


def swaps_bytes(p):
    p["W"].byteswap(inplace=True)


def fills(p):
    p["W"].fill(np.nan)


def runs_thread(p):
    found = []
    thread = threading.Thread(target=lambda: found.append(square(p)))
    thread.start()
    thread.join()
    return found[0]


def runs_pool(p):
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(square, [[a] for a in p.values()]))


def prints(p):
    print("cost")
    print("cost", file=sys.stderr)
    return square(p)


def warns(p):
    warnings.warn("cost", stacklevel=1)
    return square(p)


def draws(p):
    return square(p) + np.random.rand() + random.random()


def draws_and_forgets(p):
    np.random.rand(3)
    random.random()
    return square(p)


def seeds(p):
    np.random.seed(0)
    random.seed(0)
    return square(p) + np.random.rand() + random.random()


def drops_out(p):
    return float(np.sum((p["W"] * (np.random.rand(2) < 0.5)) ** 2))


def sets_errors(p):
    np.seterr(all="raise")
    return square(p)


def sets_filters(p):
    warnings.simplefilter("error")
    return square(p)


def sets_style(p):
    mpl.rcParams["font.size"] = 33.0
    return square(p)


def sets_environment(p):
    os.environ["ODD_THINGS"] = "1"
    return square(p)


def sets_signal(p):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return square(p)


def sets_recursion(p):
    sys.setrecursionlimit(5000)
    return square(p)


def around(value):
    """Return a cost that has this value on one side of θ."""
    return lambda p: value if p["W"][0] > 1 else square(p)


# Signatures


class Model:
    def __call__(self, p):
        return square(p)

    def method(self, p):
        return square(p)

    @staticmethod
    def static(p):
        return square(p)

    @classmethod
    def of_class(cls, p):
        return square(p)


class NoSignature:
    @property
    def __signature__(self):
        raise RuntimeError("no signature")

    def __call__(self, p):
        return square(p)


class NoName:
    @property
    def __name__(self):
        raise RuntimeError("no name")

    def __call__(self, p):
        return square(p)


class OddName:
    __name__ = "two\nlines\ud800"

    def __call__(self, p):
        return "x"


class NumberName:
    __name__ = 3

    def __call__(self, p):
        return "x"


async def awaited(p):
    return square(p)


def yielded(p):
    yield square(p)


async def both(p):
    yield square(p)


def needs(p, *, rate):
    return square(p)


def by_keyword(*, W, b):
    return square([W, b])


def by_position(W, b, /):
    return square([W, b])


def any_number(*arrays):
    return square(list(arrays))


def any_keyword(**arrays):
    return square(arrays)


def anything(*args, **kwargs):
    return square(list(args) or kwargs)


def with_defaults(W, b=None, rate=3):
    return square([W, b])


def in_another_order(b, W):
    return square([W, b])


def six(a, b, c, d, e, f):
    return 0.0
