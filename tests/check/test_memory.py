"""A check that has ended keeps nothing in memory, however it ended; nor does its error."""

import gc
import tracemalloc
import weakref
from contextlib import suppress
from traceback import walk_tb

import numpy as np
import pytest

from gradcheck_magic import check_gradients, gradient_checking, step_curve
from gradcheck_magic._cost.calling import PACKAGE
from gradcheck_magic._cost.evaluation import OutOfTime


@pytest.fixture
def no_collection():
    """Collect no circles of references, as Python does only now and then."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def failing(at, error, got):
    """Return a cost that raises an error at some evaluation, and notes what it gets, weakly."""

    def cost(w):
        got.append(weakref.ref(w))
        if len(got) == at:
            raise error("it is the cost's")
        return float(np.vdot(w, w))

    return cost


def checked(w, g, cost, mode="full"):
    with suppress(ValueError, KeyboardInterrupt):
        check_gradients(w, g, cost, mode=mode, call="structured")


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("error", [OutOfTime, KeyboardInterrupt, ValueError])
def test_nothing_is_kept(no_collection, mode, error):
    """Neither the user's arrays nor copies of them are in a circle of references."""
    for at in (0, 1, 2, 3, 5, 8, 13, 18, 24, 28, 36):
        w = np.linspace(1, 2, 12).reshape(3, 4)
        g = 2 * w
        g[1, 1] = 5
        kept = [weakref.ref(w), weakref.ref(g)]
        checked(w, g, failing(at, error, kept), mode)
        del w, g
        assert len(kept) > 2
        assert not [ref for ref in kept if ref() is not None], at


STARTS = {
    "a check": lambda w, cost: check_gradients(w, 2 * w, cost, call="structured"),
    "the textbook's": lambda w, cost: gradient_checking(w, 2 * w, cost),
    "a step curve": lambda w, cost: step_curve(w, 2 * w, cost, "params", (0,)),
}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_an_error_keeps_no_copies(no_collection, start, error):
    """The last traceback stays in memory, and with it the user's frames, but none of ours."""
    with pytest.raises(error) as raised:
        start(np.ones(12), failing(2, error, []))
    ours = [f for f, _ in walk_tb(raised.value.__traceback__) if PACKAGE in f.f_code.co_filename]
    held = [set(frame.f_locals) for frame in ours]
    # The first frame still runs when the error leaves it, and has nothing but the arguments.
    assert held[1:] == [set()] * (len(held) - 1)
    assert held[0] <= {"function", "args", "kwargs", "error"}


def squared_norm(w):
    """Compute in parts, so that it needs next to no memory."""
    return sum(float(np.vdot(part, part)) for part in np.split(w, 100))


@pytest.mark.parametrize(("kind", "most"), [("argument", 6.5), ("closure", 4.5)])
def test_a_scan_needs_few_arrays(kind, most):
    """A scan takes memory for a few arrays of the size of θ, its copy of the gradient included.

    Besides the five, or four, of a large θ there are blocks of a fixed size.
    """
    w = np.linspace(1, 2, 400_000)
    g = 2 * w
    cost = {"argument": squared_norm, "closure": lambda: squared_norm(w)}[kind]
    tracemalloc.start()
    try:
        assert check_gradients(w, g, cost, mode="scan").passed
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / w.nbytes < most
