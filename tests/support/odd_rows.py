"""Rows of odd inputs, each with the outcome of its check.

The outcome is the verdict, the sentence of our error, or the type of the user's own exception.
"""

import array
import collections
import datetime as dt
import decimal
import fractions
import functools
import io
import math
import operator
import sys
import types
from unittest.mock import MagicMock, Mock

import numpy as np
import odd_things as odd
import pandas as pd
import pytest
import xarray as xr
from odd_things import gradient, square


def row(label, make, expected):
    return pytest.param(make, expected, id=label)


def number(value):
    return np.asarray(value, dtype=np.float64)


def params():
    return {"W": np.array([1.0, 2.0]), "b": np.array([[0.5]])}


def grads(p=None, **others):
    return gradient(params() if p is None else p) | others


def W():
    return np.array([1.0, 2.0])


def dW():
    return np.array([2.0, 4.0])


def matrix():
    return np.random.default_rng(0).normal(size=(4, 6))


# A key like these is found only by the very same object.
TWO_LINES, WITHOUT_REPR = odd.TwoLines(), odd.WithoutRepr()


# Values of the parameter `W`; its gradient is correct, where it has one.
PARAMETERS = [
    row("empty", lambda: np.ones(0), "`params` has no entries: there is nothing to check."),
    row("empty, two axes", lambda: np.ones((3, 0)),
        "`params` has no entries: there is nothing to check."),
    row("0-d", lambda: np.array(2.0), "CORRECT"),
    row("one entry", lambda: np.ones(1), "CORRECT"),
    row("one entry, three axes", lambda: np.ones((1, 1, 1)), "CORRECT"),
    row("every other", lambda: matrix()[::2, ::3], "CORRECT"),
    row("backwards", lambda: matrix()[::-1, ::-2], "CORRECT"),
    row("transposed", lambda: matrix().T, "CORRECT"),
    row("Fortran order", lambda: np.asfortranarray(matrix()), "CORRECT"),
    row("read-only", lambda: np.frombuffer(np.ones(3).tobytes()), "CORRECT"),
    row("big-endian", lambda: matrix().astype(">f8"), "CORRECT"),
    row("big-endian, single", lambda: matrix().astype(">f4"), "CORRECT"),
    row("masked", lambda: np.ma.array([1.0, 2.0]),
        "`W` is a masked array: pass a plain array, such as W.filled(0)."),
    row("masked, with a mask", lambda: np.ma.array([1.0, 2.0], mask=[0, 1]),
        "`W` is a masked array: pass a plain array, such as W.filled(0)."),
    row("records", lambda: np.zeros(2, [("a", float), ("b", float)]),
        "`W` has dtype [('a', '<f8'), ('b', '<f8')]: expected real numbers."),
    row("a record array", lambda: np.rec.array([(1.0, 2.0)], dtype=[("a", float), ("b", float)]),
        "`W` has dtype (numpy.record, [('a', '<f8'), ('b', '<f8')]): expected real numbers."),
    row("raw bytes", lambda: np.zeros(2, "V8"), "`W` has dtype |V8: expected real numbers."),
    row("objects", lambda: np.array([1.0, 2.0], dtype=object),
        "`W` has dtype object: expected real numbers; an array of objects often comes from "
        "lists of different lengths."),
    row("itself in it", lambda: odd.endless_array(),
        "`W` has dtype object: expected real numbers; an array of objects often comes from "
        "lists of different lengths."),
    row("strings", lambda: np.array(["1", "2"]), "`W` has dtype <U1: expected real numbers."),
    row("byte strings", lambda: np.array([b"1"]), "`W` has dtype |S1: expected real numbers."),
    row("variable strings", lambda: np.array(["1"], dtype=np.dtypes.StringDType()),
        "`W` has dtype StringDType(): expected real numbers."),
    row("dates", lambda: np.array(["2020-01-01"], dtype="M8[D]"),
        "`W` has dtype datetime64[D]: expected real numbers."),
    row("durations", lambda: np.array([1], dtype="m8[s]"),
        "`W` has dtype timedelta64[s]: expected real numbers."),
    row("complex", lambda: np.ones(2, dtype=complex), "BUG"),
    row("truth values", lambda: np.ones(2, dtype=bool),
        "`W` has dtype bool: expected real numbers."),
    row("half", lambda: matrix().astype(np.float16), "CORRECT"),
    row("single", lambda: matrix().astype(np.float32), "CORRECT"),
    row("long double", lambda: matrix().astype(np.longdouble), "CORRECT"),
    row("int8", lambda: np.array([1, 2, 3], dtype="int8"), "CORRECT"),
    row("int16", lambda: np.array([1, 2, 3], dtype="int16"), "CORRECT"),
    row("int32", lambda: np.array([1, 2, 3], dtype="int32"), "CORRECT"),
    row("int64", lambda: np.array([1, 2, 3], dtype="int64"), "CORRECT"),
    row("uint8", lambda: np.array([1, 2, 3], dtype="uint8"), "CORRECT"),
    row("uint16", lambda: np.array([1, 2, 3], dtype="uint16"), "CORRECT"),
    row("uint32", lambda: np.array([1, 2, 3], dtype="uint32"), "CORRECT"),
    row("uint64", lambda: np.array([1, 2, 3], dtype="uint64"), "CORRECT"),
    row("the largest int64", lambda: np.array([2**63 - 1, 1]), "INCONCLUSIVE"),
    row("the largest uint64", lambda: np.array([2**64 - 1], dtype=np.uint64), "CORRECT"),
    row("huge", lambda: np.array([1e150, 1e-150]), "INCONCLUSIVE"),
    row("denormal", lambda: np.array([5e-324, 1e-310]), "INCONCLUSIVE"),
    row("its square overflows", lambda: np.array([1e300]),
        "`square` is inf at the given parameters: the gradient can only be checked if the cost is "
        "finite."),
    row("nan", lambda: np.array([1.0, np.nan]),
        "`W[1]` is nan: the gradient can only be checked if every parameter is finite."),
    row("a nan that signals", lambda: odd.bits(odd.SIGNALLING, odd.QUIET),
        "`W[0]` is nan: the gradient can only be checked if every parameter is finite."),
    row("inf", lambda: np.array([[1.0, np.inf]]),
        "`W[0, 1]` is inf: the gradient can only be checked if every parameter is finite."),
    row("-inf", lambda: np.array([-np.inf]),
        "`W[0]` is -inf: the gradient can only be checked if every parameter is finite."),
    row("negative zero", lambda: np.array([-0.0, 1.0]), "CORRECT"),
    row("a matrix", lambda: matrix().view(np.matrix), "CORRECT"),
    row("a subclass", lambda: matrix().view(odd.Plain), "CORRECT"),
    row("a subclass without ufuncs", lambda: np.ones(3).view(odd.WithoutUfuncs), "CORRECT"),
    row("a subclass without items", lambda: np.ones(3).view(odd.WithoutItems), "CORRECT"),
    row("broadcast", lambda: np.broadcast_to(np.ones(1), (3,)), "CORRECT"),
    row("one number at three places",
        lambda: np.lib.stride_tricks.as_strided(np.ones(2), (3,), (0,)),
        "CORRECT"),
    row("windows", lambda: np.lib.stride_tricks.sliding_window_view(np.arange(5.0), 3), "CORRECT"),
    row("a float", lambda: 2.0, "CORRECT"),
    row("an int", lambda: 3, "CORRECT"),
    row("a long int", lambda: 2**70, "`W` is an integer of more than 64 bits: pass float(W)."),
    row("a longer int", lambda: 10**400,
        "`W` is an integer of more than 64 bits: pass float(W)."),
    row("a longest int", lambda: 10**5000,
        "`W` is an integer of more than 64 bits: pass float(W)."),
    row("a truth value", lambda: True, "`params` contains no arrays: there is nothing to check."),
    row("a NumPy truth value", lambda: np.True_,
        "`params` contains no arrays: there is nothing to check."),
    row("np.float64", lambda: np.float64(2), "CORRECT"),
    row("np.float16", lambda: np.float16(2), "CORRECT"),
    row("np.longdouble", lambda: np.longdouble(2), "CORRECT"),
    row("np.int8", lambda: np.int8(2), "CORRECT"),
    row("nan itself", lambda: math.nan,
        "`W` is nan: the gradient can only be checked if every parameter is finite."),
    row("a complex number", lambda: 1j,
        "`dW` has shape (2,), but `W` has shape (): a gradient must have its parameter's shape."),
    row("np.complex64", lambda: np.complex64(1j),
        "`dW` has shape (2,), but `W` has shape (): a gradient must have its parameter's shape."),
    row("a fraction", lambda: fractions.Fraction(1, 2),
        "`W` is a fractions.Fraction: expected a NumPy array or a number."),
    row("a decimal", lambda: decimal.Decimal(1),
        "`W` is a decimal.Decimal: expected a NumPy array or a number."),
    row("np.datetime64", lambda: np.datetime64("2020"),
        "`W` is a numpy.datetime64: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a date", lambda: dt.date(2020, 1, 1),
        "`W` is a datetime.date: expected a NumPy array or a number."),
    row("np.void", lambda: np.void(b"x"),
        "`W` is a numpy.void: expected a NumPy array or a number; convert it with np.asarray."),
    row("np.str_", lambda: np.str_("x"), "`params` contains no arrays: there is nothing to check."),
    row("bytes", lambda: b"12", "`W` is a bytes: expected a NumPy array or a number."),
    row("a bytearray", lambda: bytearray(b"12"),
        "`W` is a bytearray: expected a NumPy array or a number."),
    row("a memoryview", lambda: memoryview(np.ones(2)),
        "`W` is a memoryview: expected a NumPy array or a number; convert it with np.asarray."),
    row("array.array", lambda: array.array("d", [1.0, 2.0]),
        "`W` is an array.array: expected a NumPy array or a number; convert it with np.asarray."),
    row("a Series", lambda: pd.Series([1.0, 2.0]),
        "`W` is a pandas.Series: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a DataFrame", lambda: pd.DataFrame(matrix()),
        "`W` is a pandas.DataFrame: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a DataArray", lambda: xr.DataArray([1.0, 2.0]),
        "`W` is an xarray.DataArray: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a generator", lambda: (x for x in [1.0]),
        "`W` is a generator, which can be read only once: convert it with list(W)."),
    row("a list's iterator", lambda: iter([1.0]),
        "`W` is a list_iterator, which can be read only once: convert it with list(W)."),
    row("a map", lambda: map(float, [1]),
        "`W` is a map, which can be read only once: convert it with list(W)."),
    row("a zip", lambda: zip([1.0], [2.0]),
        "`W` is a zip, which can be read only once: convert it with list(W)."),
    row("a file", lambda: io.StringIO("1.0"),
        "`W` is a _io.StringIO, which can be read only once: convert it with list(W)."),
    row("a range", lambda: range(3),
        "`W` is a range: expected a NumPy array or a number; convert it with list(W)."),
    row("a set", lambda: {1.0}, "`W` is a set: expected a NumPy array or a number."),
    row("a frozenset", lambda: frozenset([1.0]),
        "`W` is a frozenset: expected a NumPy array or a number."),
    row("a deque", lambda: collections.deque([1.0]),
        "`W` is a collections.deque: expected a NumPy array or a number; convert it with list(W)."),
    row("a dict's values", lambda: {"a": 1.0}.values(),
        "`W` is a dict_values: expected a NumPy array or a number; convert it with list(W)."),
    row("a dict's items", lambda: {"a": 1.0}.items(),
        "`W` is a dict_items: expected a NumPy array or a number."),
    row("a UserDict", lambda: collections.UserDict(W=1.0),
        "`W` is a collections.UserDict: expected a NumPy array or a number; convert it with "
        "dict(W)."),
    row("a mapping proxy", lambda: types.MappingProxyType({"W": 1.0}),
        "`W` is a mappingproxy: expected a NumPy array or a number; convert it with dict(W)."),
    row("a ChainMap", lambda: collections.ChainMap({"W": 1.0}),
        "`W` is a collections.ChainMap: expected a NumPy array or a number; convert it with "
        "dict(W)."),
    row("a UserList", lambda: collections.UserList([1.0]),
        "`W` is a collections.UserList: expected a NumPy array or a number; convert it with "
        "list(W)."),
    row("a namespace", lambda: types.SimpleNamespace(W=1.0),
        "`dW` is a numpy.ndarray, but `W` is a types.SimpleNamespace: give both the same "
        "structure."),
    row("a dataclass", lambda: odd.Data(1.0),
        "`dW` is a numpy.ndarray, but `W` is an odd_things.Data: give both the same structure."),
    row("an object", lambda: object(), "`W` is an object: expected a NumPy array or a number."),
    row("an ellipsis", lambda: ..., "`W` is an ellipsis: expected a NumPy array or a number."),
    row("a module", lambda: math, "`W` is a module: expected a NumPy array or a number."),
    row("a class", lambda: int, "`params` contains no arrays: there is nothing to check."),
    row("a dtype", lambda: np.dtype(float),
        "`W` is a numpy.Float64DType: expected a NumPy array or a number."),
    row("no array", lambda: odd.WithoutArray(),
        "`W` is an odd_things.WithoutArray: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("no float", lambda: odd.WithoutFloat(),
        "`W` is an odd_things.WithoutFloat: expected a NumPy array or a number."),
    row("no repr", lambda: odd.WithoutRepr(),
        "`W` is an odd_things.WithoutRepr: expected a NumPy array or a number."),
    row("a proxy", lambda: odd.Proxy(), "`params` cannot be read: RuntimeError (no attributes)."),
    row("any name", lambda: odd.AnyName(),
        "`params` contains no arrays: there is nothing to check."),
    row("None", lambda: None, "`params` contains no arrays: there is nothing to check."),
    row("a string", lambda: "tanh", "`params` contains no arrays: there is nothing to check."),
    row("a function", lambda: math.sqrt, "`params` contains no arrays: there is nothing to check."),
]  # fmt: skip


# `params` and `grads`; the cost is the sum of all squares.
CONTAINERS = [
    row("a list in itself", lambda: (odd.endless_list(), [dW()]),
        "`params[1]` is a list that contains itself: remove that reference."),
    row("a dict in itself", lambda: (odd.endless_dict(), {"dW": dW()}),
        "`self` is a dict that contains itself: remove that reference."),
    row("a tuple in itself", lambda: (odd.endless_tuple(), dW()),
        "`params[1][0]` is a tuple that contains itself: remove that reference."),
    row("a list in a list in it", lambda: (odd.endless_pair(), odd.endless_pair()),
        "`params[1][0]` is a list that contains itself: remove that reference."),
    row("gradients in themselves", lambda: (W(), odd.endless_list()),
        "`grads[1]` is a list that contains itself: remove that reference."),
    row("gradients in themselves, for a dict", lambda: ({"W": W()}, odd.endless_list()),
        "`grads[1]` is a list that contains itself: remove that reference."),
    row("gradients in themselves, for a list", lambda: ([W()], odd.endless_list()),
        "`params` has 1 array, but `grads` has 2: give one gradient for each parameter, in the "
        "same order."),
    row("a dict of gradients in itself", lambda: ({"W": W()}, odd.endless_dict()), "BUG"),
    row("one gradient in itself", lambda: ({"W": W()}, {"dW": odd.endless_list()}),
        "`dW` is a list: expected a NumPy array or a number."),
    row("deep", lambda: (odd.nested(90), [odd.nested(0) * 2]),
        "`grads[0]` is a numpy.ndarray, but `params[0]` is a list of length 1: give both the same "
        "structure."),
    row("too deep", lambda: (odd.nested(5000), odd.nested(5000)),
        "`params[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0...][0]["
        "0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]` "
        "is nested more than 100 containers deep: use a flatter structure."),
    row("dicts too deep", lambda: (odd.nested(2000, lambda inner: {"W": inner}), [dW()]),
        "`W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.....W.W."
        "W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W.W` "
        "is nested more than 100 containers deep: use a flatter structure."),
    row("gradients too deep", lambda: (W(), odd.nested(5000)),
        "`grads[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]...][0]["
        "0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]` "
        "is nested more than 100 containers deep: use a flatter structure."),
    row("an iterator", lambda: (iter([W()]), [dW()]),
        "`params` is a list_iterator, which can be read only once: convert it with list(params)."),
    row("a generator", lambda: ((a for a in [W()]), [dW()]),
        "`params` is a generator, which can be read only once: convert it with list(params)."),
    row("a map", lambda: (map(np.asarray, [[1.0, 2.0]]), [dW()]),
        "`params` is a map, which can be read only once: convert it with list(params)."),
    row("a zip", lambda: (zip([W()], [W()]), [dW()]),
        "`params` is a zip, which can be read only once: convert it with list(params)."),
    row("a generator in a list", lambda: ([(a for a in [W()])], [dW()]),
        "`params[0]` is a generator, which can be read only once: convert it with "
        "list(params[0])."),
    row("an iterator of gradients", lambda: ([W()], iter([dW()])),
        "`grads` is a list_iterator, which can be read only once: convert it with list(grads)."),
    row("a generator of gradients", lambda: ({"W": W()}, (g for g in [dW()])),
        "`grads` is a generator, which can be read only once: convert it with list(grads)."),
    row("a generator of gradients, for two", lambda: ([W(), W()], (g for g in [dW(), dW()])),
        "`grads` is a generator, which can be read only once: convert it with list(grads)."),
    row("a generator for a gradient", lambda: ({"W": W()}, {"dW": (g for g in [2.0, 4.0])}),
        "`dW` is a generator, which can be read only once: convert it with list(dW)."),
    row("a generator for one array", lambda: (W(), (g for g in [2.0, 4.0])),
        "`grads` is a generator, which can be read only once: convert it with list(grads)."),
    row("a dict's values", lambda: ({"W": W()}.values(), [dW()]),
        "`params` is a dict_values: expected a NumPy array or a number; convert it with "
        "list(params)."),
    row("gradients as a dict's values", lambda: ({"W": W()}, {"dW": dW()}.values()),
        "`grads` is a dict_values: expected a NumPy array or a number; convert it with "
        "list(grads)."),
    row("gradients in a set", lambda: ({"W": 1.0}, {2.0}),
        "`grads` is a set: expected a NumPy array or a number."),
    row("gradients in a range", lambda: (np.arange(3.0), range(0, 6, 2)),
        "`grads` is a range: expected a NumPy array or a number; convert it with list(grads)."),
    row("gradients in a deque", lambda: ([W()], collections.deque([dW()])),
        "`grads` is a collections.deque: expected a NumPy array or a number; convert it with "
        "list(grads)."),
    row("a DataFrame for all", lambda: (pd.DataFrame({"W": [1.0, 2.0]}), {"dW": dW()}),
        "`params` is a pandas.DataFrame: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("gradients in a DataFrame", lambda: ({"W": W()}, pd.DataFrame({"dW": [2.0, 4.0]})),
        "`grads` is a pandas.DataFrame: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a Dataset", lambda: (xr.Dataset({"W": ("x", [1.0, 2.0])}), {"dW": dW()}),
        "`params` is an xarray.Dataset: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a defaultdict", lambda: (collections.defaultdict(W, W=W()), {"dW": dW()}), "CORRECT"),
    row("gradients in a defaultdict",
        lambda: ({"W": W(), "b": W()}, collections.defaultdict(dW, dW=dW())),
        "`grads` has no gradient for `b`: expected `db`, found `dW`. If `b` needs none, check the "
        "others with --only W (in Python, only=['W'])."),
    row("gradients in a defaultdict, for a list",
        lambda: ([W()], collections.defaultdict(dW, dW=dW())),
        "`grads` is a dict, but `params` is a list: give both as dicts, or both as lists."),
    row("a dict that grows", lambda: (odd.Growing(W=W()), {"dW": dW()}), "CORRECT"),
    row("gradients in a dict that grows", lambda: ({"W": W()}, odd.Growing()),
        "`grads` has no gradient for `W`: expected `dW`, found nothing."),
    row("an OrderedDict",
        lambda: (collections.OrderedDict(W=W()), collections.OrderedDict(dW=dW())),
        "CORRECT"),
    row("a Counter", lambda: (collections.Counter(W=2), {"dW": 4}), "CORRECT"),
    row("a UserDict", lambda: (collections.UserDict(W=W()), {"dW": dW()}),
        "`params` is a collections.UserDict: expected a NumPy array or a number; convert it with "
        "dict(params)."),
    row("gradients in a UserDict", lambda: ({"W": W()}, collections.UserDict(dW=dW())),
        "`grads` is a collections.UserDict: expected a NumPy array or a number; convert it with "
        "dict(grads)."),
    row("a mapping proxy", lambda: (types.MappingProxyType({"W": W()}), {"dW": dW()}),
        "`params` is a mappingproxy: expected a NumPy array or a number; convert it with "
        "dict(params)."),
    row("gradients in a mapping proxy", lambda: ({"W": W()}, types.MappingProxyType({"dW": dW()})),
        "`grads` is a mappingproxy: expected a NumPy array or a number; convert it with "
        "dict(grads)."),
    row("a namespace", lambda: (types.SimpleNamespace(W=W()), {"dW": dW()}), "CORRECT"),
    row("a dataclass", lambda: (odd.Data(W()), odd.Data(dW())), "CORRECT"),
    row("a dataclass in a dict", lambda: ({"l": odd.Data(W())}, {"l": odd.Data(dW())}), "CORRECT"),
    row("a named tuple", lambda: (odd.Layer(W(), W()), odd.Layer(dW(), dW())), "CORRECT"),
    row("a named tuple that is made otherwise", lambda: (odd.Tied(W()), odd.Tied(dW())), "CORRECT"),
    row("no items", lambda: (odd.Items(W=W()), {"dW": dW()}),
        "`params` cannot be read: RuntimeError (no items)."),
    row("no item", lambda: (odd.GetItem(W=W()), {"dW": dW()}), "CORRECT"),
    row("gradients without item", lambda: ({"W": W()}, odd.GetItem(dW=dW())), "CORRECT"),
    row("a dict that has all", lambda: ({"W": W()}, odd.Contains()),
        "`grads` has no gradient for `W`: expected `dW`, found nothing."),
    row("a dict without copies", lambda: (odd.WithoutCopy(W=W()), {"dW": dW()}),
        "`params` cannot be read: RuntimeError (no copies)."),
    row("a list of the wrong length", lambda: (odd.WrongLength([W()]), [dW()]), "CORRECT"),
    row("gradients of the wrong length", lambda: ([W()], odd.WrongLength([dW()])), "CORRECT"),
    row("a list without iterator", lambda: (odd.WithoutIter([W()]), [dW()]),
        "`params` cannot be read: RuntimeError (no iterator)."),
    row("gradients without iterator", lambda: ([W()], odd.WithoutIter([dW()])),
        "`grads` cannot be read: RuntimeError (no iterator)."),
    row("the key 1", lambda: ({1: W()}, {1: dW()}), "CORRECT"),
    row("the key True", lambda: ({True: W()}, {True: dW()}), "CORRECT"),
    row("the key None", lambda: ({None: W()}, {None: dW()}), "CORRECT"),
    row("the key of two", lambda: ({(1, "a"): W()}, {(1, "a"): dW()}), "CORRECT"),
    row("the key bytes", lambda: ({b"W": W()}, {b"W": dW()}), "CORRECT"),
    row("the key a class", lambda: ({int: W()}, {int: dW()}), "CORRECT"),
    row("the key an ellipsis", lambda: ({...: W()}, {...: dW()}), "CORRECT"),
    row("the key np.int64", lambda: ({np.int64(1): W()}, {np.int64(1): dW()}), "CORRECT"),
    row("the key a frozenset", lambda: ({frozenset([1]): W()}, {frozenset([1]): dW()}), "CORRECT"),
    row("the key nan", lambda: ({math.nan: W()}, {math.nan: dW()}), "CORRECT"),
    row("the key -1.5", lambda: ({-1.5: W()}, {-1.5: dW()}), "CORRECT"),
    row("the key two lines", lambda: ({TWO_LINES: W()}, {TWO_LINES: dW()}), "CORRECT"),
    row("the key without repr", lambda: ({WITHOUT_REPR: W()}, {WITHOUT_REPR: dW()}), "CORRECT"),
    row("the key of a hundred", lambda: ({tuple(range(100)): W()}, {tuple(range(100)): dW()}),
        "CORRECT"),
    row("the key a hostile string", lambda: ({odd.Text("W"): W()}, {odd.Text("W"): dW()}),
        "CORRECT"),
    row("mixed keys", lambda: ({1: W(), "W": W(), None: W()}, {1: dW(), "dW": dW(), None: dW()}),
        "CORRECT"),
    row("1 and '1'", lambda: ({1: W(), "1": W()}, {1: dW(), "1": dW()}), "CORRECT"),
    row("a missing key 1", lambda: ({1: W()}, {2: dW()}),
        "`grads` has no gradient for `1`: expected `1`, found `2`."),
    row("a missing key of two lines", lambda: ({TWO_LINES: W()}, {2: dW()}),
        "`grads` has no gradient for `two\\nlines`: expected `two\\nlines`, found `2`."),
    row("a missing hostile string", lambda: ({odd.Text("W"): W()}, {2: dW()}),
        "`grads` has no gradient for `W`: expected `dW`, found `2`."),
    row("keys that cannot be compared", lambda: ({"W": W()}, {odd.WithoutEq(): dW()}),
        "`grads` has no gradient for `W`: expected `dW`, found `<odd_things.WithoutEq object at "
        "0x...>`."),
    row("a hostile key beside", lambda: ({"W": W()}, {WITHOUT_REPR: 1, "dW": dW()}), "CORRECT"),
    row("long keys", lambda: ({"W": W()}, {"x" * 1000 + str(i): dW() for i in range(100)}),
        "`grads` has no gradient for `W`: expected `dW`, found "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx2`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx3`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx4`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx5`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx6`, "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx7` and 92 more."),
    row("one array twice", lambda: (dict.fromkeys("ab", W()), dict.fromkeys(["da", "db"], dW())),
        "CORRECT"),
    row("arrays that overlap", lambda: (odd.overlapping(), gradient(odd.overlapping())), "CORRECT"),
    row("an array and its transpose", lambda: odd.transposed(), "CORRECT"),
    row("parts that interlock", lambda: odd.interlocking(), "CORRECT"),
    row("gradients that are the parameters", lambda: [[np.ones(2)]] * 2, "BUG"),
    row("a hundred numbers", lambda: ([1.0] * 100, [2.0] * 100), "CORRECT"),
    row("nothing", lambda: ([], []), "`params` contains no arrays: there is nothing to check."),
    row("only settings", lambda: (["tanh", None], []),
        "`params` contains no arrays: there is nothing to check."),
    row("None", lambda: (None, None), "`params` contains no arrays: there is nothing to check."),
    row("settings and arrays", lambda: (["tanh", W(), None, True], ["tanh", dW(), None, True]),
        "CORRECT"),
    row("params as function", lambda: (odd.square, [dW()]),
        "`params` contains no arrays: there is nothing to check."),
]  # fmt: skip


# Values of the gradient of `W`, which should be [2.0, 4.0].
GRADIENTS = [
    row("nan", lambda: np.array([math.nan, 4.0]), "BUG"),
    row("a nan that signals", lambda: odd.bits(odd.SIGNALLING, odd.QUIET), "BUG"),
    row("inf", lambda: np.array([math.inf, 4.0]), "BUG"),
    row("-inf everywhere", lambda: np.full(2, -math.inf), "BUG"),
    row("huge", lambda: np.array([1e308, 1e308]), "BUG"),
    row("denormal", lambda: np.array([5e-324, 5e-324]), "BUG"),
    row("half", lambda: np.array([2, 4], dtype=np.float16), "CORRECT"),
    row("long double", lambda: np.array([2, 4], dtype=np.longdouble), "CORRECT"),
    row("int8", lambda: np.array([2, 4], dtype=np.int8), "CORRECT"),
    row("the largest uint64", lambda: np.array([2, 2**64 - 1], dtype=np.uint64), "BUG"),
    row("truth values", lambda: np.array([True, False]),
        "`dW` has dtype bool: expected real numbers."),
    row("objects", lambda: np.array([2.0, 4.0], dtype=object),
        "`dW` has dtype object: expected real numbers; an array of objects often comes from "
        "lists of different lengths."),
    row("strings", lambda: np.array(["2", "4"]), "`dW` has dtype <U1: expected real numbers."),
    row("complex", lambda: np.array([2, 4j]),
        "`dW` is complex, but `W` is real, and so is its gradient: take the real part, dW.real, if "
        "that is all that is wrong."),
    row("masked", lambda: np.ma.array([2.0, 4.0], mask=[0, 1]),
        "`dW` is a masked array: pass a plain array, such as dW.filled(0)."),
    row("dates", lambda: np.array([1, 2], dtype="M8[s]"),
        "`dW` has dtype datetime64[s]: expected real numbers."),
    row("records", lambda: np.zeros(2, [("a", float)]),
        "`dW` has dtype [('a', '<f8')]: expected real numbers."),
    row("backwards", lambda: np.array([4.0, 2.0])[::-1], "CORRECT"),
    row("big-endian", lambda: np.array([2.0, 4.0]).astype(">f8"), "CORRECT"),
    row("read-only", lambda: np.broadcast_to(2.0, 2), "BUG"),
    row("a matrix", lambda: np.array([[2.0, 4.0]]).view(np.matrix), "INSPECT"),
    row("a subclass without ufuncs", lambda: np.array([2.0, 4.0]).view(odd.WithoutUfuncs),
        "CORRECT"),
    row("a subclass without items", lambda: np.array([2.0, 4.0]).view(odd.WithoutItems), "CORRECT"),
    row("a list", lambda: [2, 4], "CORRECT"),
    row("a list of arrays", lambda: [np.array([2.0]), np.array([4.0])], "INSPECT"),
    row("a list with None", lambda: [2.0, None],
        "`dW` has dtype object: expected real numbers; an array of objects often comes from "
        "lists of different lengths."),
    row("a list of strings", lambda: ["2", "4"], "`dW` has dtype <U1: expected real numbers."),
    row("a list of long ints", lambda: [2**70, 1],
        "`dW` has dtype object: expected real numbers; an array of objects often comes from "
        "lists of different lengths."),
    row("a ragged list", lambda: [[2.0], [2.0, 4.0]],
        "`dW` is a list: expected a NumPy array or a number."),
    row("a tuple", lambda: (2.0, 4.0),
        "`dW` is a tuple: expected a NumPy array or a number; convert it with list(dW)."),
    row("a number", lambda: 2.0,
        "`dW` has shape (), but `W` has shape (2,): a gradient must have its parameter's shape."),
    row("empty", lambda: np.ones(0),
        "`dW` has shape (0,), but `W` has shape (2,): a gradient must have its parameter's shape."),
    row("a column", lambda: np.array([[2.0], [4.0]]), "INSPECT"),
    row("another size", lambda: np.ones(3),
        "`dW` has shape (3,), but `W` has shape (2,): a gradient must have its parameter's shape."),
    row("a truth value", lambda: True, "`dW` has dtype bool: expected real numbers."),
    row("None", lambda: None, "`dW` is None: give a gradient for `W`."),
    row("a string", lambda: "x", "`dW` is a str: expected a NumPy array or a number."),
    row("a function", lambda: math.sqrt,
        "`dW` is a builtin_function_or_method: expected a NumPy array or a number."),
    row("a Series", lambda: pd.Series([2.0, 4.0]),
        "`dW` is a pandas.Series: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a DataArray", lambda: xr.DataArray([2.0, 4.0]),
        "`dW` is an xarray.DataArray: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("a memoryview", lambda: memoryview(np.array([2.0, 4.0])),
        "`dW` is a memoryview: expected a NumPy array or a number; convert it with np.asarray."),
    row("array.array", lambda: array.array("d", [2.0, 4.0]),
        "`dW` is an array.array: expected a NumPy array or a number; convert it with np.asarray."),
    row("a generator", lambda: (g for g in [2.0, 4.0]),
        "`dW` is a generator, which can be read only once: convert it with list(dW)."),
    row("a dict", lambda: {"x": 2.0}, "`dW` is a dict: expected a NumPy array or a number."),
    row("a proxy", lambda: odd.Proxy(), "`dW` cannot be read: RuntimeError (no attributes)."),
    row("any name", lambda: odd.AnyName(),
        "`dW` is an odd_things.AnyName: expected a NumPy array or a number; convert it with "
        "np.asarray."),
    row("no repr", lambda: odd.WithoutRepr(),
        "`dW` is an odd_things.WithoutRepr: expected a NumPy array or a number."),
    row("no array", lambda: odd.WithoutArray(),
        "`dW` is an odd_things.WithoutArray: expected a NumPy array or a number; convert it "
        "with np.asarray."),
]  # fmt: skip


# Return values of the cost; if they contain the sum of all squares, the gradient is correct.
RETURNS = [
    row("None", lambda p: None, "`cost_function` returned None: is a `return` missing?"),
    row("a string", lambda p: "x", "`cost_function` returned a str: expected one real number."),
    row("a number in a string", lambda p: "1.5",
        "`cost_function` returned a str: expected one real number."),
    row("bytes", lambda p: b"x", "`cost_function` returned a bytes: expected one real number."),
    row("an array", lambda p: p["W"],
        "`cost_function` returned an array of shape (2,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("an empty array", lambda p: np.ones(0),
        "`cost_function` returned an array of shape (0,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("0-d", lambda p: np.array(square(p)), "CORRECT"),
    row("one entry, three axes", lambda p: np.array([[[square(p)]]]), "CORRECT"),
    row("a complex number", lambda p: complex(square(p), 0), "CORRECT"),
    row("a decimal", lambda p: decimal.Decimal(square(p)),
        "`cost_function` returned a decimal.Decimal: expected one real number."),
    row("a fraction", lambda p: fractions.Fraction(square(p)),
        "`cost_function` returned a fractions.Fraction: expected one real number."),
    row("a truth value", lambda p: square(p) > 1, "BUG"),
    row("a huge int", lambda p: 10**400,
        "`cost_function` returned an int: expected one real number."),
    row("a large int", lambda p: 10**30 + int(1e6 * square(p)),
        "`cost_function` returned an int: expected one real number."),
    row("a generator", lambda p: (x for x in [1.0]),
        "`cost_function` returned a generator: expected one real number."),
    row("no float", lambda p: odd.WithoutFloat(),
        "`cost_function` returned an odd_things.WithoutFloat: expected one real number."),
    row("as float", lambda p: odd.AsFloat(square(p)),
        "`cost_function` returned an odd_things.AsFloat: expected one real number."),
    row("no array", lambda p: odd.WithoutArray(),
        "`cost_function` returned an odd_things.WithoutArray: expected one real number."),
    row("an object", lambda p: object(),
        "`cost_function` returned an object: expected one real number."),
    row("a proxy", lambda p: odd.Proxy(), "RuntimeError"),
    row("any name", lambda p: odd.AnyName(),
        "`cost_function` returned an odd_things.AnyName: expected one real number."),
    row("a dict", lambda p: {"cost": square(p)},
        "`cost_function` returned a dict: expected one real number."),
    row("a set", lambda p: {1.0}, "`cost_function` returned a set: expected one real number."),
    row("an empty list", lambda p: [],
        "`cost_function` returned an array of shape (0,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("an empty tuple", lambda p: (),
        "`cost_function` returned an array of shape (0,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("a list of one", lambda p: [square(p)], "CORRECT"),
    row("a list in a list", lambda p: [[square(p)]], "CORRECT"),
    row("a tuple", lambda p: (square(p), 1), "CORRECT"),
    row("a tuple of None", lambda p: (None, 1),
        "`cost_function` returned None: is a `return` missing?"),
    row("a tuple in a tuple", lambda p: ((square(p), 1), 2), "CORRECT"),
    row("a list with a cache", lambda p: [square(p), {"a": 1}], "CORRECT"),
    row("a ragged list", lambda p: [[1], [1, 2]],
        "`cost_function` returned a list: expected one real number."),
    row("a list in itself", lambda p: odd.endless_list(),
        "`cost_function` returned a list: expected one real number."),
    row("a tuple in itself", lambda p: odd.endless_tuple(),
        "`cost_function` returned an array of shape (2,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("a masked array", lambda p: np.ma.array([square(p)]), "CORRECT"),
    row("masked", lambda p: np.ma.masked,
        "`cost_function` returned a masked value: the gradient can only be checked if the cost is "
        "a number."),
    row("a matrix", lambda p: np.array([[square(p)]]).view(np.matrix), "CORRECT"),
    row("np.float32", lambda p: np.float32(square(p)), "CORRECT"),
    row("np.longdouble", lambda p: np.longdouble(square(p)), "CORRECT"),
    row("np.datetime64", lambda p: np.datetime64("2020"),
        "`cost_function` returned a numpy.datetime64: expected one real number."),
    row("np.timedelta64", lambda p: np.timedelta64(1, "s"),
        "`cost_function` returned a numpy.timedelta64: expected one real number."),
    row("a record", lambda p: np.zeros(1, [("a", float)])[0],
        "`cost_function` returned a numpy.void: expected one real number."),
    row("a class", lambda p: int, "`cost_function` returned a type: expected one real number."),
    row("an exception", lambda p: ValueError("x"),
        "`cost_function` returned a ValueError: expected one real number."),
    row("nan", lambda p: math.nan,
        "`cost_function` is nan at the given parameters: the gradient can only be checked if the "
        "cost is finite."),
    row("inf", lambda p: math.inf,
        "`cost_function` is inf at the given parameters: the gradient can only be checked if the "
        "cost is finite."),
    row("-inf", lambda p: -math.inf,
        "`cost_function` is -inf at the given parameters: the gradient can only be checked if the "
        "cost is finite."),
    row("almost infinite", lambda p: 1.7e308 * square(p) / 6,
        "`cost_function` is inf at the given parameters: the gradient can only be checked if the "
        "cost is finite."),
    row("an object array", lambda p: np.array(square(p), dtype=object),
        "`cost_function` returned a numpy.ndarray: expected one real number."),
    row("a variable string", lambda p: np.array("x", dtype=np.dtypes.StringDType()),
        "`cost_function` returned a numpy.ndarray: expected one real number."),
    row("a Series", lambda p: pd.Series([square(p)]), "CORRECT"),
    row("a mock", lambda p: Mock(),
        "`cost_function` returned a unittest.Mock: expected one real number."),
    row("itself", lambda p: square,
        "`cost_function` returned a function: expected one real number."),
    row("a coroutine", lambda p: odd.awaited(p),
        "`cost_function` returned a coroutine: expected one real number."),
]  # fmt: skip


# Costs that do what a cost should not do; the gradient is correct.
COSTS = [
    row("recurses without end", lambda: odd.endless, "RecursionError"),
    row("checks another", lambda: odd.checks_another, "CORRECT"),
    row("checks itself", lambda: odd.checks_itself(), "CORRECT"),
    row("caches bytes", lambda: odd.caches_bytes(), "CORRECT"),
    row("remembers ids", lambda: odd.remembers_ids(),
        "`cost` returns different values for the same numbers in other arrays: if it remembers "
        "arrays by their id(), let it use their contents (W.tobytes())."),
    row("remembers arrays", lambda: odd.remembers_arrays(), "CORRECT"),
    row("keeps an array", lambda: odd.keeps(lambda p: p["W"]), "CORRECT"),
    row("keeps a view", lambda: odd.keeps(lambda p: p["W"][:1]), "CORRECT"),
    row("keeps the container", lambda: odd.keeps(lambda p: p), "CORRECT"),
    row("compares with the last", lambda: odd.compares_with_last(), "CORRECT"),
    row("runs a thread", lambda: odd.runs_thread, "CORRECT"),
    row("runs a pool", lambda: odd.runs_pool, "CORRECT"),
    row("prints", lambda: odd.prints, "CORRECT"),
    row("warns", lambda: odd.warns, "CORRECT"),
    row("adds_one first", lambda: odd.after(odd.adds_one),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds_and_takes first", lambda: odd.after(odd.adds_and_takes), "CORRECT"),
    row("adds_a_place first", lambda: odd.after(odd.adds_a_place),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("replaces first", lambda: odd.after(odd.replaces),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("replaces_shape first", lambda: odd.after(odd.replaces_shape),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds_a_key first", lambda: odd.after(odd.adds_a_key), "CORRECT"),
    row("swaps first", lambda: odd.after(odd.swaps), "CORRECT"),
    row("resizes first", lambda: odd.after(odd.resizes), "ValueError"),
    row("reshapes first", lambda: odd.after(odd.reshapes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("retypes first", lambda: odd.after(odd.retypes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("protects first", lambda: odd.after(odd.protects),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("swaps_bytes first", lambda: odd.after(odd.swaps_bytes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("fills first", lambda: odd.after(odd.fills),
        "`cost` is nan at the given parameters: the gradient can only be checked if the cost is "
        "finite."),
    row("adds_one at last", lambda: odd.before(odd.adds_one),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds_a_place at last", lambda: odd.before(odd.adds_a_place),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("replaces at last", lambda: odd.before(odd.replaces),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("replaces_shape at last", lambda: odd.before(odd.replaces_shape),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds_a_key at last", lambda: odd.before(odd.adds_a_key), "CORRECT"),
    row("swaps at last", lambda: odd.before(odd.swaps), "CORRECT"),
    row("resizes at last", lambda: odd.before(odd.resizes), "ValueError"),
    row("reshapes at last", lambda: odd.before(odd.reshapes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("retypes at last", lambda: odd.before(odd.retypes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("protects at last", lambda: odd.before(odd.protects),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("swaps_bytes at last", lambda: odd.before(odd.swaps_bytes),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("fills at last", lambda: odd.before(odd.fills),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("clears at last", lambda: odd.before(dict.clear),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("pops at last", lambda: odd.before(lambda p: p.pop("W")),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("deletes first", lambda: odd.after(dict.clear),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("sorts backwards", lambda: odd.after(lambda p: p["W"][::-1].sort()),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("drifts", lambda: odd.after(lambda p: p["W"].__imul__(1 + 1e-12)),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds one at evaluation 0", lambda: odd.once(0, odd.adds_one), "CORRECT"),
    row("adds one at evaluation 2", lambda: odd.once(2, odd.adds_one),
        "`cost` returned 5.25 and then 13.25 for the same parameters: it is random. Make it "
        "repeatable (no dropout, a fixed seed, the same batch), or let every call draw the same "
        "random numbers with --reseed (in Python, reseed=True)."),
    row("adds one at evaluation 3", lambda: odd.once(3, odd.adds_one),
        "`cost` can be called in 2 ways that differ around θ: with the container (J = 13.3365), "
        "with the flat θ (J = 5.30575); choose one with --call structured or --call flat (in "
        "Python, call=...)."),
    row("adds one at evaluation 5", lambda: odd.once(5, odd.adds_one), "CORRECT"),
    row("adds one at evaluation 20", lambda: odd.once(20, odd.adds_one),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds one at evaluation 25", lambda: odd.once(25, odd.adds_one),
        "`cost` changes its argument `W`: a cost must not change the parameters; let it work on a "
        "copy (W.copy())."),
    row("adds one at evaluation 30", lambda: odd.once(30, odd.adds_one), "CORRECT"),
    row("is nan on one side", lambda: odd.around(math.nan), "CORRECT"),
    row("is inf on one side", lambda: odd.around(math.inf), "CORRECT"),
    row("is -inf on one side", lambda: odd.around(-math.inf), "CORRECT"),
    row("is almost infinite on one side", lambda: odd.around(1e308), "INCONCLUSIVE"),
    row("is None on one side", lambda: odd.around(None),
        "`cost_function` returned None: is a `return` missing?"),
    row("is a string on one side", lambda: odd.around("x"),
        "`cost_function` returned a str: expected one real number."),
    row("is complex on one side", lambda: odd.around(1j),
        "`cost_function` returned the complex number 0+1j: expected a real cost, such as its real "
        "part or np.abs(...)**2. If it is an output, pass dJ/d(output) with --upstream "
        "(upstream=...)."),
    row("is a huge int on one side", lambda: odd.around(10**400),
        "`cost_function` returned an int: expected one real number."),
    row("is an array on one side", lambda: odd.around(np.ones(3)),
        "`cost_function` returned an array of shape (3,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("is nan everywhere else",
        lambda: lambda p: square(p) if list(p["W"]) == [1.0, 2.0] else math.nan,
        "INCONCLUSIVE"),
    row("is a staircase", lambda: lambda p: round(square(p), 1), "INCONCLUSIVE"),
    row("has a kink", lambda: lambda p: square(p) + abs(p["W"][0] - 1.0), "CORRECT"),
    row("is at its end", lambda: lambda p: square(p) + math.sqrt(p["W"][0] - 1.0), "ValueError"),
]  # fmt: skip


# Functions of many kinds; for those that return the sum of all squares, the gradient is correct.
FUNCTIONS = [
    row("partial", lambda: functools.partial(lambda X, p: square(p), 3), "CORRECT"),
    row("partial by keyword", lambda: functools.partial(lambda p, X: square(p), X=3), "CORRECT"),
    row("a method", lambda: odd.Model().method, "CORRECT"),
    row("a static method", lambda: odd.Model.static, "CORRECT"),
    row("a class method", lambda: odd.Model.of_class, "CORRECT"),
    row("an object", lambda: odd.Model(), "CORRECT"),
    row("an unbound method", lambda: odd.Model.method, "BUG"),
    row("a staticmethod object", lambda: staticmethod(square), "CORRECT"),
    row("a default", lambda: lambda p, q=3: square(p),
        "`cost_function` can be called in 3 ways that differ around θ: with the container (J = "
        "5.30575), with the flat θ (J = 5.30575), with the arrays one by one (J = 5.0512); choose "
        "one with --call structured, --call flat or --call arguments (in Python, call=...)."),
    row("a default for all", lambda: lambda p=None: square(p),
        "`cost_function` can be called in 3 ways that differ around θ: with the container (J = "
        "5.30575), with the flat θ (J = 5.30575), without arguments (J = 0); choose one with "
        "--call structured, --call flat or --call closure (in Python, call=...)."),
    row("async", lambda: odd.awaited, "`awaited` returned a coroutine: expected one real number."),
    row("a generator function", lambda: odd.yielded,
        "`yielded` returned a generator: expected one real number."),
    row("an async generator function", lambda: odd.both,
        "`both` returned an async_generator: expected one real number."),
    row("a keyword that is needed", lambda: odd.needs,
        "`needs(p, *, rate)` cannot be called: it must accept `params`, the flat θ, the arrays one "
        "by one (2 here), or no arguments."),
    row("by keyword only", lambda: odd.by_keyword, "CORRECT"),
    row("by position only", lambda: odd.by_position, "CORRECT"),
    row("*args", lambda: odd.any_number,
        "`any_number` can be called in 4 ways that differ around θ: with the container (J = "
        "5.30575), with the flat θ (J = 5.30575), with the arrays one by one (J = 5.30575), "
        "without arguments (J = 0); choose one with --call structured, --call flat, --call "
        "arguments or --call closure (in Python, call=...)."),
    row("**kwargs", lambda: odd.any_keyword,
        "`any_keyword` can be called in 2 ways that differ around θ: with the arrays one by one (J "
        "= 5.30575), without arguments (J = 0); choose one with --call arguments or --call closure "
        "(in Python, call=...)."),
    row("*args and **kwargs", lambda: odd.anything,
        "`anything` can be called in 4 ways that differ around θ: with the container (J = "
        "5.30575), with the flat θ (J = 5.30575), with the arrays one by one (J = 5.30575), "
        "without arguments (J = 0); choose one with --call structured, --call flat, --call "
        "arguments or --call closure (in Python, call=...)."),
    row("with defaults", lambda: odd.with_defaults, "CORRECT"),
    row("in another order", lambda: odd.in_another_order, "CORRECT"),
    row("six", lambda: odd.six,
        "`six(a, b, c, d, e, f)` cannot be called: it must accept `params`, the flat θ, the arrays "
        "one by one (2 here), or no arguments."),
    row("none", lambda: lambda: 1.0,
        "`cost_function` is 1 for all values of the parameters, but the gradient is not zero: it "
        "reads arrays other than those in `params`."),
    row("no signature", lambda: odd.NoSignature(), "CORRECT"),
    row("no name", lambda: odd.NoName(), "CORRECT"),
    row("an odd name", lambda: odd.OddName(),
        "`two\\nlines\\ud800` returned a str: expected one real number."),
    row("a number as name", lambda: odd.NumberName(),
        "`cost_function` returned a str: expected one real number."),
    row("any name", lambda: odd.AnyName(),
        "`cost_function` is 1 for all values of the parameters, but the gradient is not zero: it "
        "ignores its argument, and may read the notebook's variables instead."),
    row("a proxy", lambda: odd.Proxy(),
        "`cost_function` is an odd_things.Proxy: expected a function that returns the cost."),
    row("a mock", lambda: Mock(return_value=1.0),
        "`cost_function` is 1 for all values of the parameters, but the gradient is not zero: it "
        "ignores its argument, and may read the notebook's variables instead."),
    row("a magic mock", lambda: MagicMock(),
        "`cost_function` returned an array of shape (0,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("len", lambda: len,
        "`len` can be called in 2 ways that differ around θ: with the container (J = 2), with the "
        "flat θ (J = 3); choose one with --call structured or --call flat (in Python, call=...)."),
    row("print", lambda: print, "`print` returned None: is a `return` missing?"),
    row("float", lambda: float,
        "`float` is 0 for all values of the parameters, but the gradient is not zero: it reads "
        "arrays other than those in `params`."),
    row("str", lambda: str, "`str` returned a str: expected one real number."),
    row("dict", lambda: dict, "`dict` returned a dict: expected one real number."),
    row("type", lambda: type, "`type` returned a type: expected one real number."),
    row("iter", lambda: iter, "`iter` returned a dict_keyiterator: expected one real number."),
    row("next", lambda: next, "`next` cannot be called: 'dict' object is not an iterator."),
    row("hash", lambda: hash, "`hash` cannot be called: unhashable type: 'dict'."),
    row("repr", lambda: repr, "`repr` returned a str: expected one real number."),
    row("np.sum", lambda: np.sum, "BUG"),
    row("a ufunc", lambda: np.square,
        "`square` returned an array of shape (3,): expected one number. If it is a layer's output, "
        "pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("vectorized", lambda: np.vectorize(lambda x: x),
        "`cost_function` returned a numpy.ndarray: expected one real number."),
    row("itemgetter", lambda: operator.itemgetter("W"),
        "`cost_function` returned an array of shape (2,): expected one number. If it is a layer's "
        "output, pass dJ/d(output) with --upstream (upstream=...); to "
        "check its Jacobian, give that as the gradient."),
    row("methodcaller", lambda: operator.methodcaller("pop"),
        "`cost_function` cannot be called: pop expected at least 1 argument, got 0."),
    row("attrgetter", lambda: operator.attrgetter("x"),
        "`cost_function` cannot be called: 'dict' object has no attribute 'x'."),
    row("lru_cache", lambda: functools.lru_cache(square),
        "`square` cannot be called: unhashable type: 'dict'."),
    row("singledispatch", lambda: functools.singledispatch(square), "CORRECT"),
    row("wraps another", lambda: functools.wraps(odd.six)(lambda p: square(p)),
        "`six(a, b, c, d, e, f)` cannot be called: it must accept `params`, the flat θ, the arrays "
        "one by one (2 here), or no arguments."),
    row("an exception's class", lambda: ValueError,
        "`ValueError` returned a ValueError: expected one real number."),
    row("a number", lambda: 3,
        "`cost_function` is an int: expected a function that returns the cost."),
    row("None", lambda: None,
        "`cost_function` is a NoneType: expected a function that returns the cost."),
    row("a string", lambda: "cost",
        "`cost_function` is a str: expected a function that returns the cost."),
    row("an array", lambda: np.ones(2),
        "`cost_function` is a numpy.ndarray: expected a function that returns the cost."),
    row("a module", lambda: math, "`math` is a module: expected a function that returns the cost."),
    row("a property", lambda: property(square),
        "`cost_function` is a property: expected a function that returns the cost."),
    row("exit", lambda: sys.exit, "SystemExit"),
]  # fmt: skip


# Gradient functions, which should return [2.0, 4.0] and [[1.0]].
GRADIENT_FUNCTIONS = [
    row("right", lambda: lambda p: gradient(p), "CORRECT"),
    row("changes its argument", lambda: lambda p: (p["W"].__iadd__(1), gradient(p))[1],
        "`grads` changes its argument `W`: a gradient function must not change the parameters; let "
        "it work on a copy (W.copy())."),
    row("clears its argument", lambda: lambda p: (gradient(p), p.clear())[0],
        "`grads` changes its argument `W`: a gradient function must not change the parameters; let "
        "it work on a copy (W.copy())."),
    row("returns its argument", lambda: lambda p: p, "BUG"),
    row("a list", lambda: lambda W, b: [2 * W, 2 * b], "CORRECT"),
    row("one vector", lambda: lambda theta: 2 * theta, "CORRECT"),
    row("a tuple", lambda: lambda p: (gradient(p), 3),
        "`params` has 2 arrays, but `grads` has 3: give one gradient for each parameter."),
    row("None", lambda: lambda p: None,
        "`grads` is None: is a `return` missing in the function that computes it?"),
    row("a generator", lambda: lambda p: (g for g in [2.0]),
        "`grads` is a generator, which can be read only once: convert it with list(grads)."),
    row("a generator function", lambda: odd.yielded,
        "`grads` is a generator, which can be read only once: convert it with list(grads)."),
    row("async", lambda: odd.awaited,
        "`grads` returned a coroutine: pass a function that is not async."),
    row("in itself", lambda: lambda p: odd.endless_list(),
        "`grads[1]` is a list that contains itself: remove that reference."),
    row("a string", lambda: lambda p: "x",
        "`params` has 2 arrays, but `grads` has 0: give one gradient for each parameter."),
    row("a cost", lambda: square,
        "`params` has 2 arrays, but `grads` has 1: give one gradient for each parameter."),
    row("recurses", lambda: odd.endless, "RecursionError"),
    row("raises", lambda: odd.raising(ValueError("x"), 0), "ValueError"),
    row("exits", lambda: odd.raising(SystemExit(3), 0), "SystemExit"),
    row("is interrupted", lambda: odd.raising(KeyboardInterrupt(), 0), "KeyboardInterrupt"),
    row("six", lambda: odd.six,
        "`grads(a, b, c, d, e, f)` cannot be called: it must accept `params`, the flat θ, the "
        "arrays one by one (2 here), or no arguments."),
    row("a mock", lambda: MagicMock(), "`grads` is a function: call it, and pass its result."),
    row("any name", lambda: odd.AnyName(),
        "`params` has 2 arrays, but `grads` has 1: give one gradient for each parameter."),
    row("a proxy", lambda: odd.Proxy(), "RuntimeError"),
    row("a class", lambda: dict, "BUG"),
    row("a proxy's dict", lambda: lambda p: {"dW": odd.Proxy(), "db": 1.0},
        "`dW` cannot be read: RuntimeError (no attributes)."),
    row("nan", lambda: lambda p: {"dW": np.full(2, math.nan), "db": 2 * p["b"]}, "BUG"),
]  # fmt: skip


# Options, valid and invalid.
OPTIONS = [
    row("epsilon, 0", lambda: {"epsilon": 0},
        "`epsilon` is 0: expected a small positive number, such as 1e-7."),
    row("epsilon, 1", lambda: {"epsilon": math.nan},
        "`epsilon` is nan: expected a small positive number, such as 1e-7."),
    row("epsilon, 2", lambda: {"epsilon": "1e-7"},
        "`epsilon` is '1e-7': expected a small positive number, such as 1e-7."),
    row("epsilon, 3", lambda: {"epsilon": -1},
        "`epsilon` is -1: expected a small positive number, such as 1e-7."),
    row("epsilon, 4", lambda: {"epsilon": "x"},
        "`epsilon` is 'x': expected a small positive number, such as 1e-7."),
    row("epsilon, 5", lambda: {"epsilon": math.inf},
        "`epsilon` is inf: expected a small positive number, such as 1e-7."),
    row("epsilon, 6", lambda: {"epsilon": -0.0},
        "`epsilon` is -0.0: expected a small positive number, such as 1e-7."),
    row("epsilon, 7", lambda: {"epsilon": 5e-324}, "CORRECT"),
    row("epsilon, 8", lambda: {"epsilon": 1e300}, "CORRECT"),
    row("epsilon, 9", lambda: {"epsilon": 1e308}, "CORRECT"),
    row("epsilon, 10", lambda: {"epsilon": True},
        "`epsilon` is True: expected a small positive number, such as 1e-7."),
    row("epsilon, 11", lambda: {"epsilon": [1e-7]},
        "`epsilon` is [1e-07]: expected a small positive number, such as 1e-7."),
    row("epsilon, 12", lambda: {"epsilon": np.array(1e-7)}, "CORRECT"),
    row("epsilon, 13", lambda: {"epsilon": np.array([1e-7])},
        "`epsilon` is array([1.e-07]): expected a small positive number, such as 1e-7."),
    row("epsilon, 14", lambda: {"epsilon": "x" * 300},
        f"`epsilon` is '{'x' * 79}...{'x' * 39}': expected a small positive number, such as 1e-7."),
    row("epsilon, 15", lambda: {"epsilon": 1j},
        "`epsilon` is 1j: expected a small positive number, such as 1e-7."),
    row("epsilon, 16", lambda: {"epsilon": decimal.Decimal("1e-7")}, "CORRECT"),
    row("epsilon, 17", lambda: {"epsilon": 10**400},
        "`epsilon` is "
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000...000"
        "0000000000000000000000000000000000000: expected a small positive number, such as 1e-7."),
    row("epsilon, 18", lambda: {"epsilon": 10**5000},
        "`epsilon` is <int object at 0x...>: expected a small positive number, such as 1e-7."),
    row("epsilon, 19", lambda: {"epsilon": odd.WithoutFloat()},
        "`epsilon` is <odd_things.WithoutFloat object at 0x...>: expected a small positive "
        "number, such as 1e-7."),
    row("epsilon, 20", lambda: {"epsilon": "a" * 10_000},
        "`epsilon` is "
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': expected a small positive number, such as 1e-7."),
    row("epsilon, 21", lambda: {"epsilon": b"1"},
        "`epsilon` is b'1': expected a small positive number, such as 1e-7."),
    row("epsilon, 22", lambda: {"epsilon": object},
        "`epsilon` is <class 'object'>: expected a small positive number, such as 1e-7."),
    row("epsilon, 23", lambda: {"epsilon": np.float16(1e-3)}, "CORRECT"),
    row("epsilon, 24", lambda: {"epsilon": 1.0}, "CORRECT"),
    row("epsilon, 25", lambda: {"epsilon": 100.0}, "CORRECT"),
    row("epsilon, 26", lambda: {"epsilon": np.ma.masked},
        "`epsilon` is masked: expected a small positive number, such as 1e-7."),
    row("epsilon, 27", lambda: {"epsilon": "\ud800\n"},
        "`epsilon` is '\\ud800\\n': expected a small positive number, such as 1e-7."),
    row("epsilon, 28", lambda: {"epsilon": odd.Proxy()},
        "`epsilon` is <odd_things.Proxy object at 0x...>: expected a small positive number, "
        "such as 1e-7."),
    row("mode, 0", lambda: {"mode": "fast"}, "`mode` is 'fast': expected auto, full, scan."),
    row("mode, 1", lambda: {"mode": None}, "`mode` is None: expected auto, full, scan."),
    row("mode, 2", lambda: {"mode": 3}, "`mode` is 3: expected auto, full, scan."),
    row("mode, 3", lambda: {"mode": ["full"]}, "`mode` is ['full']: expected auto, full, scan."),
    row("mode, 4", lambda: {"mode": b"full"}, "`mode` is b'full': expected auto, full, scan."),
    row("mode, 5", lambda: {"mode": "FULL"}, "`mode` is 'FULL': expected auto, full, scan."),
    row("mode, 6", lambda: {"mode": np.array(["full", "scan"])},
        "`mode` is array(['full', 'scan'], dtype='<U4'): expected auto, full, scan."),
    row("mode, 7", lambda: {"mode": {}}, "`mode` is {}: expected auto, full, scan."),
    row("mode, 8", lambda: {"mode": odd.TwoLines()},
        "`mode` is two\\nlines: expected auto, full, scan."),
    row("mode, 9", lambda: {"mode": math.nan}, "`mode` is nan: expected auto, full, scan."),
    row("mode, 10", lambda: {"mode": "auto "}, "`mode` is 'auto ': expected auto, full, scan."),
    row("mode, 11", lambda: {"mode": "\ud800\n"},
        "`mode` is '\\ud800\\n': expected auto, full, scan."),
    row("mode, 12", lambda: {"mode": np.str_("full")}, "CORRECT"),
    row("mode, 13", lambda: {"mode": odd.endless_list()},
        "`mode` is [array([1., 1.]), [...]]: expected auto, full, scan."),
    row("only, 0", lambda: {"only": []}, "`only` selects no entries: choose from `W` and `b`."),
    row("only, 1", lambda: {"only": ["V"]},
        "`only` names `V`, which is not a parameter: choose from `W` and `b`."),
    row("only, 2", lambda: {"only": "V"},
        "`only` names `V`, which is not a parameter: choose from `W` and `b`."),
    row("only, 3", lambda: {"only": "W"}, "CORRECT"),
    row("only, 4", lambda: {"only": 3}, "`only` is 3: expected a sequence of names."),
    row("only, 5", lambda: {"only": [3]}, "`only` contains 3: expected names of parameters."),
    row("only, 6", lambda: {"only": [None]}, "`only` contains None: expected names of parameters."),
    row("only, 7", lambda: {"only": {"W"}}, "CORRECT"),
    row("only, 8", lambda: {"only": ["W", "W"]}, "CORRECT"),
    row("only, 9", lambda: {"only": iter(["W"])},
        "`only` is <list_iterator object at 0x...>: expected a sequence of names."),
    row("only, 10", lambda: {"only": (x for x in ["b"])},
        "`only` is <generator object <lambda>.<locals>.<genexpr> at 0x...>: expected a "
        "sequence of names."),
    row("only, 11", lambda: {"only": ""},
        "`only` names ``, which is not a parameter: choose from `W` and `b`."),
    row("only, 12", lambda: {"only": [""]},
        "`only` names ``, which is not a parameter: choose from `W` and `b`."),
    row("only, 13", lambda: {"only": b"W"}, "`only` contains 87: expected names of parameters."),
    row("only, 14", lambda: {"only": [b"W"]},
        "`only` contains b'W': expected names of parameters."),
    row("only, 15", lambda: {"only": np.array(["W"])}, "CORRECT"),
    row("only, 16", lambda: {"only": np.array([b"W"])},
        "`only` contains np.bytes_(b'W'): expected names of parameters."),
    row("only, 17", lambda: {"only": [["W"]]},
        "`only` contains ['W']: expected names of parameters."),
    row("only, 18", lambda: {"only": ["\ud800"]},
        "`only` names `\\ud800`, which is not a parameter: choose from `W` and `b`."),
    row("only, 19", lambda: {"only": ["a\nb"]},
        "`only` names `a\\nb`, which is not a parameter: choose from `W` and `b`."),
    row("only, 20", lambda: {"only": ["x" * 10_000]},
        "`only` names "
        "`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`, "
        "which is not a parameter: choose from `W` and `b`."),
    row("only, 21", lambda: {"only": range(2)}, "`only` contains 0: expected names of parameters."),
    row("only, 22", lambda: {"only": True}, "`only` is True: expected a sequence of names."),
    row("only, 23", lambda: {"only": [np.ones(2)]},
        "`only` contains array([1., 1.]): expected names of parameters."),
    row("only, 24", lambda: {"only": odd.TwoLines()},
        "`only` is two\\nlines: expected a sequence of names."),
    row("only, 25", lambda: {"only": [odd.TwoLines()]},
        "`only` contains two\\nlines: expected names of parameters."),
    row("only, 26", lambda: {"only": odd.endless_list()},
        "`only` contains array([1., 1.]): expected names of parameters."),
    row("names, 0", lambda: {"names": 3}, "`names` is 3: expected a sequence of names."),
    row("names, 1", lambda: {"names": ["one"]},
        "`names` has 1 name for 2 arrays: give one name for each array."),
    row("names, 2", lambda: {"names": [1, 2]},
        "`names` contains 1: expected strings, or a namespace."),
    row("names, 3", lambda: {"names": ["a", "a"]},
        "`names` contains `a` more than once: give each array its own name."),
    row("names, 4", lambda: {"names": ["a", "b"]}, "CORRECT"),
    row("names, 5", lambda: {"names": "ab"},
        "`names` has 1 name for 2 arrays: give one name for each array."),
    row("names, 6", lambda: {"names": {"X": 1}}, "CORRECT"),
    row("names, 7", lambda: {"names": {}}, "CORRECT"),
    row("names, 8", lambda: {"names": {1: 2}}, "CORRECT"),
    row("names, 9", lambda: {"names": iter(["a", "b"])},
        "`names` is <list_iterator object at 0x...>: expected a sequence of names."),
    row("names, 10", lambda: {"names": ["\ud800", "b"]}, "CORRECT"),
    row("names, 11", lambda: {"names": ["a\nb", "c"]}, "CORRECT"),
    row("names, 12", lambda: {"names": ["a" * 10_000, "b"]}, "CORRECT"),
    row("names, 13", lambda: {"names": [None, None]},
        "`names` contains None: expected strings, or a namespace."),
    row("names, 14", lambda: {"names": [b"a", b"b"]},
        "`names` contains b'a': expected strings, or a namespace."),
    row("names, 15", lambda: {"names": ["", "b"]}, "CORRECT"),
    row("names, 16", lambda: {"names": True}, "`names` is True: expected a sequence of names."),
    row("names, 17", lambda: {"names": odd.endless_list()},
        "`names` contains array([1., 1.]): expected strings, or a namespace."),
    row("names, 18", lambda: {"names": {WITHOUT_REPR: W()}}, "CORRECT"),
    row("names, 19", lambda: {"names": {3: np.ones(2), None: [1]}}, "CORRECT"),
    row("names, 20", lambda: {"names": types.MappingProxyType({"X": 1})}, "CORRECT"),
    row("names, 21", lambda: {"names": odd.GetItem(a=1)}, "CORRECT"),
    row("names, 22", lambda: {"names": odd.Items(a=1)},
        "`names` cannot be read: RuntimeError (no items)."),
    row("names, 23", lambda: {"names": ["<b>", "`"]}, "CORRECT"),
    row("names, 24", lambda: {"names": {"H": odd.Proxy(), "A": odd.AnyName()}}, "CORRECT"),
    row("call, 0", lambda: {"call": "flatly"},
        "`call` is 'flatly': expected auto, structured, flat, arguments, closure."),
    row("call, 1", lambda: {"call": None},
        "`call` is None: expected auto, structured, flat, arguments, closure."),
    row("call, 2", lambda: {"call": 3},
        "`call` is 3: expected auto, structured, flat, arguments, closure."),
    row("call, 3", lambda: {"call": "FLAT"},
        "`call` is 'FLAT': expected auto, structured, flat, arguments, closure."),
    row("call, 4", lambda: {"call": ["flat"]},
        "`call` is ['flat']: expected auto, structured, flat, arguments, closure."),
    row("call, 5", lambda: {"call": np.array(["flat"])},
        "`call` is array(['flat'], dtype='<U4'): expected auto, structured, flat, arguments, "
        "closure."),
    row("call, 6", lambda: {"call": b"flat"},
        "`call` is b'flat': expected auto, structured, flat, arguments, closure."),
    row("call, 7", lambda: {"call": "arguments"},
        "`square(params)` cannot be called with call='arguments': it must accept `params`, the "
        "flat θ, the arrays one by one (2 here), or no arguments."),
    row("call, 8", lambda: {"call": "closure"},
        "`square(params)` cannot be called with call='closure': it must accept `params`, the flat "
        "θ, the arrays one by one (2 here), or no arguments."),
    row("call, 9", lambda: {"call": odd.TwoLines()},
        "`call` is two\\nlines: expected auto, structured, flat, arguments, closure."),
    row("call, 10", lambda: {"call": {}},
        "`call` is {}: expected auto, structured, flat, arguments, closure."),
    row("call, 11", lambda: {"call": "\ud800"},
        "`call` is '\\ud800': expected auto, structured, flat, arguments, closure."),
    row("call, 12", lambda: {"call": np.str_("structured")}, "CORRECT"),
    row("call, 13", lambda: {"call": odd.endless_list()},
        "`call` is [array([1., 1.]), [...]]: expected auto, structured, flat, arguments, "
        "closure."),
    row("points, 0", lambda: {"points": 0}, "`points` is 0: expected a positive integer."),
    row("points, 1", lambda: {"points": -1}, "`points` is -1: expected a positive integer."),
    row("points, 2", lambda: {"points": 1.0},
        "`points` is 1.0: expected a positive integer."),
    row("points, 3", lambda: {"points": "1"},
        "`points` is '1': expected a positive integer."),
    row("points, 4", lambda: {"points": True},
        "`points` is True: expected a positive integer."),
    row("points, 5", lambda: {"points": None},
        "`points` is None: expected a positive integer."),
    row("points, 6", lambda: {"points": math.nan},
        "`points` is nan: expected a positive integer."),
    row("points, 7", lambda: {"points": [1]},
        "`points` is [1]: expected a positive integer."),
    row("points, 8", lambda: {"points": 10**30},
        "`points` is 1000000000000000000000000000000, but `grads` is the gradient at the given "
        "point only: pass `grads` as a function of the parameters."),
    row("points, 9", lambda: {"points": 10**5000},
        "`points` is <int object at 0x...>, but `grads` is the gradient at the given point only: "
        "pass `grads` as a function of the parameters."),
    row("points, 10", lambda: {"points": 2},
        "`points` is 2, but `grads` is the gradient at the given point only: pass `grads` as a "
        "function of the parameters."),
    row("points, 11", lambda: {"points": np.int64(1)}, "CORRECT"),
    row("points, 12", lambda: {"points": np.int64(3)},
        "`points` is np.int64(3), but `grads` is the gradient at the given point only: pass "
        "`grads` as a function of the parameters."),
    row("points, 13", lambda: {"points": 1j}, "`points` is 1j: expected a positive integer."),
    row("points, 14", lambda: {"points": odd.TwoLines()},
        "`points` is two\\nlines: expected a positive integer."),
    row("seed, 0", lambda: {"seed": -1}, "`seed` is -1: expected a non-negative integer."),
    row("seed, 1", lambda: {"seed": 1.0}, "`seed` is 1.0: expected a non-negative integer."),
    row("seed, 2", lambda: {"seed": "0"}, "`seed` is '0': expected a non-negative integer."),
    row("seed, 3", lambda: {"seed": None}, "`seed` is None: expected a non-negative integer."),
    row("seed, 4", lambda: {"seed": True}, "`seed` is True: expected a non-negative integer."),
    row("seed, 5", lambda: {"seed": [0]}, "`seed` is [0]: expected a non-negative integer."),
    row("seed, 6", lambda: {"seed": 10**100}, "CORRECT"),
    row("seed, 7", lambda: {"seed": np.int64(3)}, "CORRECT"),
    row("seed, 8", lambda: {"seed": np.array(3)},
        "`seed` is array(3): expected a non-negative integer."),
    row("seed, 9", lambda: {"seed": math.nan}, "`seed` is nan: expected a non-negative integer."),
    row("seed, 10", lambda: {"seed": 2**64}, "CORRECT"),
    row("seed, 11", lambda: {"seed": odd.TwoLines()},
        "`seed` is two\\nlines: expected a non-negative integer."),
    row("budget, 0", lambda: {"budget": 0},
        "`budget` is 0: expected a number of seconds, such as 10."),
    row("budget, 1", lambda: {"budget": -1},
        "`budget` is -1: expected a number of seconds, such as 10."),
    row("budget, 2", lambda: {"budget": math.nan},
        "`budget` is nan: expected a number of seconds, such as 10."),
    row("budget, 3", lambda: {"budget": math.inf},
        "`budget` is inf: expected a number of seconds, such as 10."),
    row("budget, 4", lambda: {"budget": "5"},
        "`budget` is '5': expected a number of seconds, such as 10."),
    row("budget, 5", lambda: {"budget": True},
        "`budget` is True: expected a number of seconds, such as 10."),
    row("budget, 6", lambda: {"budget": [1]},
        "`budget` is [1]: expected a number of seconds, such as 10."),
    row("budget, 7", lambda: {"budget": 1j},
        "`budget` is 1j: expected a number of seconds, such as 10."),
    row("budget, 8", lambda: {"budget": 1e-300}, "INCONCLUSIVE"),
    row("budget, 9", lambda: {"budget": 1e300}, "CORRECT"),
    row("budget, 10", lambda: {"budget": np.float64(50)}, "CORRECT"),
    row("budget, 11", lambda: {"budget": np.array(5.0)},
        "`budget` is array(5.): expected a number of seconds, such as 10."),
    row("budget, 12", lambda: {"budget": 10**400},
        "`budget` is "
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000...000"
        "0000000000000000000000000000000000000: expected a number of seconds, such as 10."),
    row("budget, 13", lambda: {"budget": decimal.Decimal(5)},
        "`budget` is Decimal('5'): expected a number of seconds, such as 10."),
    row("budget, 14", lambda: {"budget": fractions.Fraction(50)}, "CORRECT"),
    row("budget, 15", lambda: {"budget": odd.TwoLines()},
        "`budget` is two\\nlines: expected a number of seconds, such as 10."),
    row("workers, 0", lambda: {"workers": 0},
        "`workers` is 0: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 1", lambda: {"workers": -1},
        "`workers` is -1: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 2", lambda: {"workers": "2"},
        "`workers` is '2': expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 3", lambda: {"workers": 1.5},
        "`workers` is 1.5: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 4", lambda: {"workers": True},
        "`workers` is True: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 5", lambda: {"workers": []},
        "`workers` is []: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 6", lambda: {"workers": math.nan},
        "`workers` is nan: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 7", lambda: {"workers": np.ones(2)},
        "`workers` is array([1., 1.]): expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 8", lambda: {"workers": {}},
        "`workers` is {}: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 9", lambda: {"workers": 1}, "CORRECT"),
    row("workers, 10", lambda: {"workers": np.int64(1)}, "CORRECT"),
    row("workers, 11", lambda: {"workers": types.SimpleNamespace(submit=3)},
        "`workers` is namespace(submit=3): expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 12", lambda: {"workers": int},
        "`workers` is <class 'int'>: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("workers, 13", lambda: {"workers": odd.TwoLines()},
        "`workers` is two\\nlines: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."),
    row("upstream, 0", lambda: {"upstream": np.ones(3)},
        "`upstream` has shape (3,), but `square` returned an array of shape (): dJ/d(output) must "
        "have the shape of the output."),
    row("upstream, 1", lambda: {"upstream": 1.0}, "CORRECT"),
    row("upstream, 2", lambda: {"upstream": "x"},
        "`upstream` is a str (<U1): expected dJ/d(output), an array of real numbers."),
    row("upstream, 3", lambda: {"upstream": np.array([1j])},
        "`upstream` has shape (1,), but `square` returned an array of shape (): dJ/d(output) must "
        "have the shape of the output."),
    row("upstream, 4", lambda: {"upstream": [[1], [1, 2]]},
        "`upstream` is a list (object): expected dJ/d(output), an array of real numbers."),
    row("upstream, 5", lambda: {"upstream": math.nan},
        "`square` is nan at the given parameters: the gradient can only be checked if the cost is "
        "finite."),
    row("upstream, 6", lambda: {"upstream": np.array(math.inf)},
        "`square` is inf at the given parameters: the gradient can only be checked if the cost is "
        "finite."),
    row("upstream, 7", lambda: {"upstream": np.ones((2, 2))},
        "`upstream` has shape (2, 2), but `square` returned an array of shape (): dJ/d(output) "
        "must have the shape of the output."),
    row("upstream, 8", lambda: {"upstream": square},
        "`upstream` is a function (object): expected dJ/d(output), an array of real numbers."),
    row("upstream, 9", lambda: {"upstream": odd.WithoutArray()},
        "`upstream` is an odd_things.WithoutArray (object): expected dJ/d(output), an array of "
        "real numbers."),
    row("upstream, 10", lambda: {"upstream": {}},
        "`upstream` is a dict (object): expected dJ/d(output), an array of real numbers."),
    row("upstream, 11", lambda: {"upstream": []},
        "`upstream` has shape (0,), but `square` returned an array of shape (): dJ/d(output) must "
        "have the shape of the output."),
    row("upstream, 12", lambda: {"upstream": np.array(1, dtype=object)},
        "`upstream` is a numpy.ndarray (object): expected dJ/d(output), an array of real "
        "numbers."),
    row("upstream, 13", lambda: {"upstream": np.ma.array(1.0, mask=True)},
        "`upstream` is a masked array: pass a plain array, such as upstream.filled(0)."),
    row("upstream, 14", lambda: {"upstream": 10**400},
        "`upstream` is an int (object): expected dJ/d(output), an array of real numbers."),
    row("upstream, 15", lambda: {"upstream": True}, "CORRECT"),
    row("upstream, 16", lambda: {"upstream": 0.0},
        "`square` is 0 for all values of the parameters, but the gradient is not zero: it ignores "
        "its argument, and may read the notebook's variables instead."),
    row("upstream, 17", lambda: {"upstream": 2.0}, "BUG"),
    row("upstream, 18", lambda: {"upstream": np.array([[1.0]]).view(np.matrix)},
        "`upstream` has shape (1, 1), but `square` returned an array of shape (): dJ/d(output) "
        "must have the shape of the output."),
    row("upstream, 19", lambda: {"upstream": iter([1.0])},
        "`upstream` is a list_iterator (object): expected dJ/d(output), an array of real "
        "numbers."),
    row("upstream, 20", lambda: {"upstream": np.datetime64("2020")},
        "`upstream` is a numpy.datetime64 (datetime64[Y]): expected dJ/d(output), an array of "
        "real numbers."),
    row("upstream, 21", lambda: {"upstream": odd.endless_list()},
        "`upstream[1]` is a list (object): expected dJ/d(output), an array of real numbers."),
    row("progress, 0", lambda: {"progress": 3},
        "`progress` is an int: expected a function of (evaluations so far, evaluations "
        "expected, seconds so far)."),
    row("progress, 1", lambda: {"progress": "x"},
        "`progress` is a str: expected a function of (evaluations so far, evaluations "
        "expected, seconds so far)."),
    row("progress, 2", lambda: {"progress": []},
        "`progress` is a list: expected a function of (evaluations so far, evaluations "
        "expected, seconds so far)."),
    row("progress, 3", lambda: {"progress": lambda *_: None}, "CORRECT"),
    row("progress, 4", lambda: {"progress": print}, "CORRECT"),
    row("previous, 0", lambda: {"previous": 3},
        "`previous` is an int: expected the GradientCheck that an earlier check returned."),
    row("previous, 1", lambda: {"previous": "x"},
        "`previous` is a str: expected the GradientCheck that an earlier check returned."),
    row("previous, 2", lambda: {"previous": True},
        "`previous` is a bool: expected the GradientCheck that an earlier check returned."),
    row("previous, 3", lambda: {"previous": odd.AnyName()},
        "`previous` is an odd_things.AnyName: expected the GradientCheck that an earlier check "
        "returned."),
]  # fmt: skip
