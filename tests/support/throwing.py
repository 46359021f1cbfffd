"""Throw something at the check, and assert that nothing of the user's has changed."""

import array
import contextlib
import io
import os
import random
import re
import signal
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path
from types import GeneratorType
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr

import gradcheck_magic
from gradcheck_magic import GradientCheckError

PACKAGE = str(Path(gradcheck_magic.__file__).parent) + os.sep
# The number of odd inputs thrown at each function; the sum is shown at the end of a run.
THROWN = Counter()
# The address of an object in memory.
ADDRESS = re.compile("0x[0-9a-f]+")
# The depth to which nested containers are inspected.
DEEPEST = 150


class Outcome(NamedTuple):
    """The outcome of a check: its result, or what it raised."""

    check: object
    error: BaseException | None

    @property
    def told(self):
        """The verdict, the sentence of our error, or the type of the user's own exception."""
        if self.error is None:
            return self.check.verdict.name
        if isinstance(self.error, GradientCheckError):
            return ADDRESS.sub("0x...", str(self.error))
        return type(self.error).__name__


def throw(check, *args, **options):
    """Return the outcome of a check, and assert that it left everything as it was.

    Anything that it raises must be an error of ours with one line, or an exception of the user's.
    """
    THROWN[getattr(check, "__name__", "check")] += 1
    with unchanged(*args, *options.values()):
        outcome = _outcome(check, args, options)
    if isinstance(outcome.error, GradientCheckError):
        assert_one_line(str(outcome.error))
    return outcome


def _outcome(check, args, options):
    try:
        return Outcome(check(*args, **options), None)
    except BaseException as error:  # noqa: BLE001 (a cost may raise anything)
        return Outcome(None, error)


def assert_one_line(sentence):
    """Assert that a sentence is one line that is not empty and that every file can hold."""
    assert sentence.strip()
    assert len(sentence.splitlines()) == 1, sentence
    sentence.encode("utf-8")


@contextlib.contextmanager
def unchanged(*values):
    """Assert that the values, and the state of the whole process, are as they were before."""
    before, state = [trace(value) for value in values], process_state()
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        yield
        assert warnings.filters == filters, "the warning filters have changed"
    after = [trace(value) for value in values]
    assert after == before, "something of the user's has changed"
    now = process_state()
    changed = [key for key in state if state[key] != now[key]]
    assert not changed, changed
    assert "gradcheck" not in out.getvalue() + err.getvalue()
    ours = [
        f"{w.filename}:{w.lineno} {w.message}" for w in caught if w.filename.startswith(PACKAGE)
    ]
    assert not ours, ours


def process_state():
    """Return the state of the whole process, in a form that can be compared."""
    kind, keys, *rest = np.random.get_state()
    return {
        "np.random": (kind, keys.tobytes(), rest),
        "random": random.getstate(),
        "np.geterr": (np.geterr(), np.geterrcall()),
        "np.printoptions": np.get_printoptions(),
        "environ": dict(os.environ),
        "SIGINT": signal.getsignal(signal.SIGINT),
        # Read by `dict`: asking rcParams for each value takes as long as a check.
        "rcParams": list(dict.items(mpl.rcParams)),
        "recursion limit": sys.getrecursionlimit(),
        "cwd": Path.cwd(),
        "threads": threading.active_count(),
        "hooks": (sys.excepthook, sys.displayhook, threading.excepthook),
    }


def trace(value, seen=None, depth=0):
    """Return a record that shows any change of a value: bits, flags, order of keys, identities."""
    seen = {} if seen is None else seen
    # Not `isinstance`, which asks the value for its class.
    kind = type(value)
    if issubclass(kind, int):
        return (kind, hex(value))
    if issubclass(kind, (bytes, bytearray, float, complex)):
        return (kind, repr(value))
    if issubclass(kind, str):
        return (kind, str.__str__(value))
    if id(value) in seen or depth > DEEPEST or value is np.ma.masked:
        return (kind, id(value))
    seen[id(value)] = value
    return (kind, id(value), _inside(kind, value, lambda item: trace(item, seen, depth + 1)))


def _inside(kind, value, trace):
    if issubclass(kind, np.ndarray):
        return _array(value, trace)
    if issubclass(kind, dict):
        # The methods of a subclass may be hostile, so they are not called; likewise below.
        return [(trace(key), trace(item)) for key, item in dict.items(value)]
    for sequence in (list, tuple, set, frozenset):
        if issubclass(kind, sequence):
            return [trace(item) for item in sequence.__iter__(value)]
    held = next((look for kinds, look in HELD.items() if issubclass(kind, kinds)), None)
    return held(value) if held else ()


# How to read the contents of a value, or how far it has been consumed.
HELD = {
    (pd.Series, pd.DataFrame, xr.DataArray): lambda value: value.to_numpy().tobytes(),
    (array.array, memoryview): lambda value: value.tobytes(),
    (GeneratorType,): lambda value: value.gi_frame and value.gi_frame.f_lasti,
    (type(iter([])), type(iter(()))): lambda value: value.__length_hint__(),
}


def _array(value, trace):
    flags = value.flags
    layout = (value.dtype.str, value.shape, value.strides, flags.writeable, flags.owndata)
    if value.dtype.hasobject:
        return (*layout, [trace(item) for item in value.ravel().tolist()])
    mask = np.ma.getmaskarray(value).tobytes() if isinstance(value, np.ma.MaskedArray) else b""
    return (*layout, value.tobytes(), mask)
