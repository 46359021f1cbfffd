"""What was recorded is computed again, where some of it is other than it was."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic._backward.record import Recorder
from gradcheck_magic._backward.replay import Replay

A = np.arange(6.0).reshape(2, 3) - 2.5
NEW = np.linspace(-1, 1, 6).reshape(2, 3)


def scaled(array):
    return 2 * array


def several(array):
    return array + 1, array.T


def plain(a):
    b = a * 3
    c = b
    return c - b.mean()


def slices(a):
    whole = np.zeros((2, 4))
    whole[:, 1:] = a
    whole[:, 0] = a[:, 2] * 2
    whole[:, 2] += whole[:, 0]
    return whole * 1


def views(a):
    flat = a.reshape(-1)
    flat[1] = a[1, 1] * 5
    flat[4:] += 1
    turned = a.T
    return turned @ a


def scattered(a):
    found = np.zeros((4, 3))
    np.add.at(found, [0, 0], a)
    found[found < 0] = 1
    return found * 1


def through_functions(a):
    more, turned = several(a * 2)
    return scaled(more) @ turned


def an_argument_computed_in_the_call(a):
    return scaled(a * a + 1)


def opaque(a):
    total = a * 2
    total += np.random.default_rng(0).normal(size=(2, 3))
    return total * 1


def attributes(a):
    layer = SimpleNamespace()
    layer.out = a * 2
    layer.out = layer.out - 1
    layer.copy = layer.out
    return layer.copy * a


def item_by_item(a):
    rows = [a[0] * 1, a[1] * 1]
    rows = [row * 2 for row in rows]
    rows = [row + more for row, more in zip(rows, rows, strict=True)]
    return rows[0] * rows[1]


def from_functions_item_by_item(a):
    rows = [a[0] * 1, a[1] * 1]
    rows = [row - more for row, more in zip(rows, several(a * 2)[0], strict=False)]
    return rows[0] * 1


def shapes(a):
    return a.reshape(a.shape[1], len(a)).sum() / a.size * np.ones(3)


def recorded(function):
    with Recorder() as recorder:

        def cell():
            a = A * 1
            return function(a)

        cell()
    return {each.index: each for each in recorder.bound}


@pytest.mark.parametrize(
    "function",
    {
        "another name": plain,
        "HARD: slices that overlap": slices,
        "HARD: views of the same memory": views,
        "HARD: scattered entries": scattered,
        "functions": through_functions,
        "HARD: an argument": an_argument_computed_in_the_call,
        "HARD: added to, by what can't be evaluated": opaque,
        "attributes": attributes,
        "lists": item_by_item,
        "HARD: shapes": shapes,
    }.values(),
)
def test_all_that_follows_is_computed_again(function):
    known = recorded(function)
    first = next(k for k, each in known.items() if each.label == "a" and each.alias_of is None)
    last = max(k for k, each in known.items() if not each.statement.text.startswith("return f"))
    replay, changed = Replay(known), {first: NEW.copy()}
    steps = replay.made_from({first}, {last})
    assert last in steps
    assert not replay.lost(steps, {first, *steps})
    for step in steps:
        if not replay.sources(step).isdisjoint(changed):
            changed[step] = replay.value(step, changed)
    np.testing.assert_allclose(changed[last], function(NEW.copy()), rtol=1e-12)


def test_what_cannot_be_evaluated_is_lost():
    def hidden(a):
        return np.random.default_rng(0).permutation(a * 2)

    known = recorded(hidden)
    replay = Replay(known)
    last = max(known)
    steps = replay.made_from({0}, {last})
    assert replay.lost(steps, {0, *steps}) == {last}
