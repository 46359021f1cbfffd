"""What a cost keeps from one call to the next is after a check as it was before."""

import collections
import contextlib
import contextvars
import functools
import logging
import sys
import threading
import types
import weakref
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, make_dataclass
from itertools import count

import numpy as np
import pytest

from gradcheck_magic import (
    GradientCheckInterrupted,
    InputError,
    Verdict,
    check_gradients,
    gradient_checking,
    step_curve,
)
from gradcheck_magic._cost import reached, restore
from gradcheck_magic._cost.evaluation import OutOfTime

random = np.random.default_rng(0)
X, Y = random.normal(size=(8, 3)), random.normal(size=(8, 1))


class Layer:
    """A layer that keeps its activations in attributes, a dict, a list, arrays and slots."""

    def __init__(self, rows, columns):
        self.W = random.normal(size=(rows, columns))
        self.cache, self.stack, self.steps = {"t": 0}, [], 0
        self.buffer = np.full((8, columns), np.nan)
        self.slots = Slots()
        self.means = {"running": np.zeros(columns), "n": 0}

    def forward(self, x):
        self.x, self.out = x, np.tanh(x @ self.W)
        self.cache["out"] = self.out
        self.cache["t"] += 1
        self.stack.append((x, self.out))
        self.buffer[...] = self.out
        self.slots.kept = self.out
        self.steps += 1
        self.means["running"] = 0.9 * self.means["running"] + 0.1 * x.mean()
        self.means["n"] += 1
        return self.out


class Slots:
    __slots__ = ("kept", "other")


class Net:
    """A network by hand: `backward` uses what `forward` has kept."""

    last = None

    def __init__(self):
        self.layers = [Layer(3, 4), Layer(4, 1)]
        self.params = {"W1": self.layers[0].W, "W2": self.layers[1].W}
        self.forward()

    def forward(self):
        out = X
        for layer in self.layers:
            out = layer.forward(out)
        self.out = type(self).last = out
        return out

    def cost(self):
        return float(np.mean((self.forward() - Y) ** 2))

    def backward(self):
        one, two = self.layers
        d = 2 * (self.out - Y) / Y.size * (1 - two.cache["out"] ** 2)
        dA = d @ two.W.T * (1 - one.buffer**2)
        return {"dW1": one.stack[-1][0].T @ dA, "dW2": two.x.T @ d}

    def state(self):
        """Return everything that can be seen of it: what is an object by its id, too."""
        return [type(self).last, *map(seen, [vars(self), *map(vars, self.layers)])]


def seen(value):
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, dict):
        return id(value), [(k, seen(v)) for k, v in value.items()]
    if isinstance(value, tuple):
        return [seen(v) for v in value]
    if isinstance(value, list):
        return id(value), [seen(v) for v in value]
    if isinstance(value, Slots):
        return [(n, id(getattr(value, n, None))) for n in Slots.__slots__]
    return id(value)


def check_closure(net, **options):
    return check_gradients(net.params, net.backward(), net.cost, **options)


def check_arguments(net, **options):
    """Check with a cost that puts its arguments into the network."""

    def cost(W1, W2):
        net.params = {"W1": W1, "W2": W2}
        net.layers[0].W, net.layers[1].W = W1, W2
        return net.cost()

    return check_gradients(net.params, net.backward(), cost, **options)


def check_written(net, **options):
    """Check with a cost that writes its arguments into the network's own arrays."""

    def cost(params):
        for layer, W in zip(net.layers, params.values(), strict=True):
            layer.W[...] = W
        return net.cost()

    return check_gradients(net.params, net.backward(), cost, **options)


def check_flat(net, **options):
    def cost(theta):
        net.layers[0].W, net.layers[1].W = theta[:12].reshape(3, 4), theta[12:].reshape(4, 1)
        return net.cost()

    return check_gradients(net.params, net.backward(), cost, call="flat", **options)


def check_function(net, **options):
    """Check a gradient that is a function, and uses what the cost has kept."""
    return check_gradients(net.params, net.backward, net.cost, **options)


def draw_curve(net, **_):
    step_curve(net.params, net.backward(), net.cost, "W1", [0, 0])
    return check_closure(net)


WAYS = [check_closure, check_arguments, check_written, check_flat, check_function, draw_curve]


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_kept(way, mode):
    """The same check is right as often as it is made, and leaves everything as it was."""
    net = Net()
    before = net.state()
    for _ in range(3):
        assert way(net, mode=mode).verdict is Verdict.CORRECT
        assert net.state() == before


def test_at_several_points():
    """At other points, the cost has been called before the gradient is."""
    net, calls = Net(), []
    before = net.state()

    def cost():
        calls.append(1)
        return net.cost()

    check = check_gradients(net.params, net.backward, cost, points=3)
    assert check.verdict is Verdict.CORRECT
    assert check.n_evaluations == len(calls)
    assert net.state() == before


class StoppedError(Exception):
    """A cost has failed."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoppedError, SystemExit, OutOfTime])
@pytest.mark.parametrize("call", [1, 2, 5, 20])
def test_after_any_end(error, call):
    """An error or an interrupt, even before the parameters are put back by the cost itself."""
    net = Net()
    before, calls = net.state(), []

    def cost(params):
        calls.append(1)
        for layer, W in zip(net.layers, params.values(), strict=True):
            layer.W[...] = W
        if len(calls) == call:
            net.cost()
            raise error
        return net.cost()

    with contextlib.suppress(error, GradientCheckInterrupted):
        check_gradients(net.params, net.backward(), cost)
    assert len(calls) >= call
    assert net.state() == before


# What a function may keep, and where; each function changes it, and returns nothing.
module = types.ModuleType("layers_of_the_user")
exec(  # noqa: S102 (a file of the user's)
    "cache = {}\nstate = None\ndef keep(x):\n    global state\n    state = cache['x'] = x\n",
    module.__dict__,
)
held, replaced, ordered = {"A": X}, X, OrderedDict(one=X, two=Y)
full, grown, short = deque([X, Y], maxlen=2), defaultdict(list, A=[X]), [X, Y]
objects = np.array([X, None], dtype=object)
array = X.copy()


@dataclass
class Record:
    A: object = None


scalars, floats = {"A": 1.0}, [1.0]
record, namespace = Record(X), types.SimpleNamespace(A=X)


def rebinds_global():
    global replaced  # noqa: PLW0603 (what is tested, here and below)
    replaced = X + 1


def forgets_global():
    global replaced  # noqa: PLW0603
    del replaced


def puts_attribute():
    puts_attribute.cache = X + 1


def captures():
    kept = X

    def rebinds():
        nonlocal kept
        kept = X + 1

    return rebinds, lambda: kept


rebinds_captured, captured = captures()


class Keyed(dict):
    """A layer that is a dict of its weights."""


class Viewed(np.ndarray):
    """A parameter that keeps its gradient."""


class Meta(type):
    """A class that keeps something itself, in the class of its class."""


class WithMeta(metaclass=Meta):
    """An object with a property that is stored elsewhere."""

    @property
    def kept(self):
        return elsewhere["A"]

    @kept.setter
    def kept(self, value):
        elsewhere["A"] = value


elsewhere, keyed, viewed, with_meta = {"A": X}, Keyed(), np.zeros(2).view(Viewed), WithMeta()
user_dict, chained, parsed = collections.UserDict(A=X), collections.ChainMap({}), Namespace(A=X)
by_thread, by_object = threading.local(), weakref.WeakKeyDictionary()
unnamed = {}
exec("class Unnamed: pass", unnamed)  # noqa: S102 (a file of the user's)
unnamed = unnamed["Unnamed"]()
made = make_dataclass("Made", ["A"])(X)


def imports():
    import layers_of_the_user  # noqa: PLC0415 (what is tested)

    layers_of_the_user.keep(X)


def imports_name():
    from layers_of_the_user import cache  # noqa: PLC0415 (what is tested)

    cache["y"] = X


def assigns_in_module():
    module.A1 = X


def deep(function):
    """Return a function that calls another through several layers."""

    class Caller:
        def __init__(self):
            self.inner = [{"call": functools.partial(function)}]

        @staticmethod
        def through(call):
            return call()

        @property
        def step(self):
            return self.inner[0]["call"]

        def __call__(self):
            return self.through(self.step)

    return np.vectorize(Caller().__call__)


KEPT = {
    "an item of a dict": (lambda: held.update(A=X + 1), lambda: held),
    "a new item of a dict": (lambda: held.update(B=X), lambda: held),
    "an item removed": (lambda: held.pop("A"), lambda: held),
    "an array in place": (lambda: array.__iadd__(1), lambda: array),
    "a zero in place": (lambda: np.negative(array, out=array), lambda: array),
    "a global variable": (rebinds_global, lambda: replaced),
    "a global variable that is deleted": (forgets_global, lambda: replaced),
    "a captured variable": (rebinds_captured, captured),
    "an attribute of a function": (puts_attribute, lambda: vars(puts_attribute)),
    "an attribute of a record": (lambda: setattr(record, "A", X + 1), lambda: vars(record)),
    "of a namespace": (lambda: setattr(namespace, "A", X + 1), lambda: vars(namespace)),
    "of a class": (lambda: setattr(Record, "B", X), lambda: tuple(vars(Record).items())),
    "an ordered dict": (lambda: ordered.popitem(last=False), lambda: tuple(ordered.items())),
    "a full deque": (lambda: full.append(X), lambda: tuple(full)),
    "a default dict": (lambda: grown["B"].append(X), lambda: tuple(grown.items())),
    "a list that is cleared": (lambda: (short.clear(), short.append(Y)), lambda: short),
    "a list in another order": (short.reverse, lambda: short),
    "an array of objects": (lambda: objects.__setitem__(1, X), lambda: tuple(objects)),
    "a module of the user's": (lambda: module.keep(X), lambda: (module.state, module.cache)),
    "a module imported inside": (imports, lambda: (module.state, module.cache)),
    "a name imported inside": (imports_name, lambda: module.cache),
    "a variable of a module": (assigns_in_module, lambda: tuple(vars(module).items())),
    "an attribute of a dict": (lambda: setattr(keyed, "A", X), lambda: vars(keyed)),
    "an attribute of an array": (lambda: setattr(viewed, "A", X), lambda: vars(viewed)),
    "of a class of a class": (lambda: setattr(Meta, "A", X), lambda: tuple(vars(Meta).items())),
    "what a property sets": (lambda: setattr(with_meta, "kept", X + 1), lambda: elsewhere),
    "a UserDict": (lambda: user_dict.update(A=X + 1), lambda: user_dict.data),
    "a ChainMap": (lambda: chained.update(A=X), lambda: chained.maps[0]),
    "a Namespace": (lambda: setattr(parsed, "A", X + 1), lambda: vars(parsed)),
    "of a thread": (lambda: setattr(by_thread, "A", X), lambda: vars(by_thread)),
    "kept for an object": (
        lambda: by_object.update({unnamed: X}),
        lambda: tuple(by_object.values()),
    ),
    "of a class without a module": (lambda: setattr(unnamed, "A", X), lambda: vars(unnamed)),
    "of a dataclass that is made": (lambda: setattr(made, "A", X + 1), lambda: vars(made)),
    "all attributes": (lambda: setattr(record, "__dict__", {"A": Y}), lambda: vars(record)),
    "a float in a dict": (lambda: scalars.update(A=2.0), lambda: tuple(scalars.items())),
    "floats in a list": (lambda: floats.__setitem__(0, 2.0), lambda: tuple(floats)),
}


@pytest.mark.parametrize("wrap", [lambda f: f, deep], ids=["directly", "deep"])
@pytest.mark.parametrize(("change", "look"), KEPT.values(), ids=KEPT)
def test_what_a_function_keeps(change, look, wrap, monkeypatch):
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = seen(look())
    with restore.restored(np.ones(2), wrap(change)):
        change()
        if change is not forgets_global:
            assert seen(look()) != before
    assert seen(look()) == before


def generator_that_remembers():
    value = None
    while True:
        given = yield value
        value = value if given is None else given


in_context = contextvars.ContextVar("in_context")
remembering = generator_that_remembers()
next(remembering)
logger = logging.getLogger("logger")
# Where the check does not look for activations: how they are kept, and found.
OUT_OF_SIGHT = {
    "globals()": (lambda A: globals().update(out_of_sight=A), lambda: globals()["out_of_sight"]),
    "sys.modules": (
        lambda A: setattr(sys.modules["layers_of_the_user"], "unseen", A),
        lambda: sys.modules["layers_of_the_user"].unseen,
    ),
    "a context variable": (in_context.set, in_context.get),
    "a generator that runs": (remembering.send, lambda: next(remembering)),
    "an object of a library": (
        lambda A: setattr(logger, "kept", {"A": A}),
        lambda: logger.kept["A"],
    ),
    "the frame of a caller": (
        lambda A: sys._getframe(0).f_globals.update(unseen=A),
        lambda: globals()["unseen"],
    ),
}


def hyperbolic(keep, find):
    """Return parameters, and a cost and its backward pass that keeps tanh out of sight."""
    W = random.normal(size=(3, 1))

    def cost(W=W):
        out = np.tanh(X @ W)
        keep(out)
        return float(np.mean((out - Y) ** 2))

    def backward():
        out = find()
        return {"dW": X.T @ (2 * (out - Y) / Y.size * (1 - out**2))}

    cost()
    return {"W": W}, cost, backward


WAYS_TO_END = {
    "check": check_gradients,
    "scan": functools.partial(check_gradients, mode="scan"),
    "arguments": functools.partial(check_gradients, call="arguments"),
    "points": lambda params, grads, cost: check_gradients(params, lambda: grads, cost, points=2),
    "step curve": lambda *given: step_curve(*given, "W", (0, 0)),
    "textbook": lambda params, grads, cost: gradient_checking(params["W"], grads["dW"], cost),
}


@pytest.mark.parametrize("end", WAYS_TO_END.values(), ids=WAYS_TO_END)
@pytest.mark.parametrize(("keep", "find"), OUT_OF_SIGHT.values(), ids=OUT_OF_SIGHT)
def test_activations_out_of_sight(keep, find, end, monkeypatch):
    """What cannot be found is not put back, but the last call leaves the activations of θ there."""
    monkeypatch.setitem(sys.modules, module.__name__, module)
    params, cost, backward = hyperbolic(keep, find)
    right = backward()["dW"]
    for _ in range(2):
        end(params, backward(), cost)
        assert np.array_equal(backward()["dW"], right)


@pytest.mark.parametrize("budget", [8, 15, 20])
def test_activations_out_of_sight_in_time(clock, budget):
    """The time for the last call is kept."""
    params, cost, backward = hyperbolic(in_context.set, in_context.get)
    right = backward()["dW"]
    check = check_gradients(params, backward(), clock.slow(cost, 1), mode="full", budget=budget)
    assert check.interrupted
    assert check.seconds == check.n_evaluations == budget
    assert np.array_equal(backward()["dW"], right)


def fails(W, n):
    if n == 20:
        raise StoppedError


def doubles(W, n):
    """Change the argument, but not at θ."""
    if n == 20:
        W *= 2


def fails_far_away(W, n):
    """Fail at other points around θ, where every entry is 1."""
    if np.abs(W - 1).max() > 0.02:
        raise StoppedError


def nothing(W, n):
    pass


@pytest.mark.parametrize(("error", "of_cost", "of_grads", "options"), [
    pytest.param(StoppedError, fails, None, {"call": "closure"}, id="in the notebook"),
    pytest.param(StoppedError, fails, None, {"call": "arguments"}, id="in a copy"),
    pytest.param(InputError, doubles, None, {"call": "arguments"},
                 id="HARD: it changes its argument"),
    pytest.param(InputError, nothing, None, {}, id="HARD: it can be called in two ways"),
    pytest.param(StoppedError, fails_far_away, nothing, {"call": "arguments", "points": 3},
                 id="HARD: it fails at another point"),
    pytest.param(StoppedError, nothing, fails_far_away, {"call": "arguments", "points": 3},
                 id="HARD: its gradient does"),
])  # fmt: skip
def test_activations_out_of_sight_after_an_error(error, of_cost, of_grads, options):
    """A check that ends with an error calls the cost at θ once more."""
    params, cost, backward = hyperbolic(in_context.set, in_context.get)
    params["W"][...] = 1
    cost()
    right, n_calls = backward()["dW"], count()
    # Another array than that of the notebook makes a difference without an argument.
    default = params["W"] if options else params["W"].copy()

    def spoiled(W=default):
        of_cost(W, next(n_calls))
        return cost(W)

    def grads(params):
        of_grads(params["W"], 0)
        return backward()

    with pytest.raises(error):
        check_gradients(params, grads if of_grads else backward(), spoiled, **options)
    assert np.array_equal(backward()["dW"], right)


def appended(kept):
    """Return a network that appends its activations to a list that lies in a plain variable."""
    W = random.normal(size=(3, 1))

    def cost():
        kept.append((X, np.tanh(X @ W)))
        return float(np.mean((kept[-1][1] - Y) ** 2))

    def backward():
        x, out = kept[-1]
        return {"dW": x.T @ (2 * (out - Y) / Y.size * (1 - out**2))}

    cost()
    return {"W": W}, cost, backward


@pytest.mark.parametrize("kept", [[], deque()], ids=["list", "deque"])
def test_activations_that_are_appended(kept):
    """They stay like a log, but the last of them are those of θ, in whatever way a check ends."""
    params, cost, backward = appended(kept)
    for _ in range(3):
        before = len(kept)
        check = check_gradients(params, backward(), cost)
        assert check.verdict is Verdict.CORRECT
        assert check.n_evaluations == len(kept) - before
    before = [*kept]
    with pytest.raises(GradientCheckInterrupted):
        check_gradients(params, backward(), interrupted(cost, 9))
    assert all(one is other for one, other in zip(kept, before, strict=True))


class Backwards(list):
    """A list that is read from its end."""

    def __iter__(self):
        return reversed([self[k] for k in range(len(self))])


def rings():
    """Return ways to keep activations in a store, where a count says which are the last ones.

    Each is a pair of functions: one keeps them, and one finds them.
    """
    counts, steps, step, last = Counter(), count(1), 0, [0]
    by_step, ring, array = {0: None}, [None] * 4, np.zeros((4, 8, 1))
    owner = types.SimpleNamespace(by_step={}, stack=Backwards())

    def next_step():
        nonlocal step
        step += 1
        return step

    def next_of_all():
        last[0] = next(steps)
        return last[0]

    return {
        "a dict": (lambda A: by_step.update({next_step(): A}), lambda: by_step[step]),
        "a dict without the old": (
            lambda A: (by_step.pop(step), by_step.update({next_step(): A})),
            lambda: by_step[step],
        ),
        "a list": (lambda A: ring.__setitem__(next_step() % 4, A), lambda: ring[step % 4]),
        "an array": (lambda A: array.__setitem__(next_step() % 4, A), lambda: array[step % 4]),
        "an attribute": (
            lambda A: owner.by_step.update({next_step(): A}),
            lambda: owner.by_step[step],
        ),
        "counted in a dict": (
            lambda A: (counts.update("t"), by_step.update({counts["t"]: A})),
            lambda: by_step[counts["t"]],
        ),
        "counted by an iterator": (
            lambda A: by_step.update({next_of_all(): A}),
            lambda: by_step[last[0]],
        ),
        "HARD: a list that is read backwards": (
            lambda A: (next_step(), owner.stack.append(A)),
            lambda: owner.stack[step - 1],
        ),
    }


@pytest.mark.parametrize("kind", rings())
@pytest.mark.parametrize("end", ["check", "scan", "step curve", "interrupt", "error"])
def test_a_count_that_says_where_activations_are(kind, end):
    """It is put back together with them, although counts in variables stay otherwise."""
    params, cost, backward = hyperbolic(*rings()[kind])
    right = backward()["dW"]
    for _ in range(3):
        if end in WAYS_TO_END:
            result = WAYS_TO_END[end](params, backward(), cost)
            assert end == "step curve" or result.verdict is Verdict.CORRECT
        else:
            error = KeyboardInterrupt if end == "interrupt" else StoppedError
            with pytest.raises((GradientCheckInterrupted, StoppedError)):
                check_gradients(params, backward(), interrupted(cost, 19, error))
        assert np.array_equal(backward()["dW"], right)


def interrupted(cost, call, error=KeyboardInterrupt):
    """Return the same cost, which is interrupted at some call."""
    calls = count(1)

    def stops():
        J = cost()
        if next(calls) == call:
            raise error
        return J

    return stops


@pytest.mark.parametrize("change", [np.float32, lambda W: W * (np.abs(W) > 0.5)])
def test_written_with_changes(change):
    """A cost may round or mask the argument that it writes into the notebook's own arrays."""
    W = np.array([0.25, 1.5, 2])
    W = np.where(change(W) == 0, 0, W)
    before = W.tobytes()

    def cost(p):
        W[...] = change(p["W"])
        return float(np.sum(p["W"] ** 2))

    assert check_gradients({"W": W}, {"dW": 2 * W}, cost).verdict is not Verdict.BUG
    assert W.tobytes() == before


numbers, counts, delays, is_first = [1], {"n": 0}, [0.5, 0.25], True


def notes_the_first_call():
    global is_first  # noqa: PLW0603 (what is tested)
    is_first = False


class Foreign:
    """An object of a library that is not entered."""


Foreign.__module__ = "numpy"
foreign = Foreign()


def appends(log=[]):  # noqa: B006 (what is tested)
    log.append(X)
    return log


LEFT = {
    "numbers in a list": (lambda: numbers.append(2), lambda: tuple(numbers)),
    "a count in a dict": (lambda: counts.update(n=counts["n"] + 1), lambda: tuple(counts.items())),
    "delays that are used up": (lambda: delays.pop(0), lambda: tuple(delays)),
    "whether it is the first call": (notes_the_first_call, lambda: is_first),
    "a log of arrays": (appends, lambda: tuple(appends.__defaults__[0])),
    "an object of a library": (
        lambda: setattr(foreign, "A", X),
        lambda: tuple(vars(foreign).items()),
    ),
}


@pytest.mark.parametrize(("change", "look"), LEFT.values(), ids=LEFT)
def test_what_is_left(change, look):
    """What a function counts or logs in a variable stays: this is how people watch a check."""
    before = seen(look())
    with restore.restored(np.ones(2), change):
        change()
    assert seen(look()) != before


def test_parameters_are_left_to_their_own_guard():
    """What somebody else writes to the parameters meanwhile is not overwritten."""
    W = np.ones(3)
    with restore.restored({"W": W[:2]}, lambda: W):
        W[0] = 2
    assert W[0] == 2


def test_what_is_too_large(monkeypatch):
    """Of arrays that cannot be copied, activations are computed anew, and a sum is told."""
    monkeypatch.setattr(restore, "MOST_COPIED", X.nbytes)
    W, activations, mean, data = np.ones(3), *np.zeros((3, 2 * X.size))
    calls = []

    def cost(W):
        calls.append(1)
        activations[:3] = W
        mean[:3] += W
        return float(W @ W) + 0 * data[0]

    cost(W)
    before = activations.copy()
    check = check_gradients([W], [2 * W], cost)
    assert check.verdict is Verdict.CORRECT
    assert check.n_evaluations == len(calls) - 1
    assert np.array_equal(activations, before)
    assert check.notes[-1] == (
        "The cost changes `mean`, too large to be copied before a check: what is there now is what "
        "the last call, at the parameters, has left."
    )


def test_a_step_curve_and_what_is_too_large(monkeypatch):
    monkeypatch.setattr(restore, "MOST_COPIED", 0)
    W, activations = np.ones(3), np.ones(3)

    def cost(W):
        activations[:] = W
        return float(W @ W)

    step_curve([W], [2 * W], cost, "params[0]", 1)
    assert np.array_equal(activations, W)


def test_an_object_that_answers_with_anything():
    """Objects that raise when they are looked at do not stop a check."""

    class Odd:
        __slots__ = ("__dict__", "slot")

        def __getattribute__(self, name):
            raise RuntimeError(name)

    odd, W = Odd(), np.ones(2)
    assert check_gradients([W], [2 * W], lambda p: float(p[0] @ p[0]) + 0 * bool(odd)).passed


@pytest.mark.parametrize("name", [3, [], property(lambda _: None)])
def test_a_class_with_an_odd_module(name):
    """What cannot be told of its class does not stop the walk; what it holds is restored."""
    odd = type("Odd", (dict,), {"__module__": name})(A=X)
    with restore.restored(np.ones(2), lambda: odd):
        odd["A"] = X + 1
    assert odd["A"] is X


def test_a_type_is_asked_once(monkeypatch):
    """A network has many layers, but of few types: asking each of them would take long."""
    asked = []
    is_users = reached.is_users_class
    monkeypatch.setattr(reached, "is_users_class", lambda t: asked.append(t) or is_users(t))
    layers = [Layer(3, 3) for _ in range(50)]
    list(reached.reached(lambda: layers))
    # Once for the kind of the layers, and once for their class itself.
    assert asked.count(Layer) == 2


def test_an_array_that_is_resized():
    """Its memory may be somewhere else: nothing is written to where it was."""
    kept = np.zeros(3)

    def cost(W):
        kept.resize(kept.size + 100, refcheck=False)
        return float(W @ W)

    assert check_gradients(np.ones(2), 2 * np.ones(2), cost).passed


def test_data_before_a_network():
    """Data that is deeper than the network does not use up the walk."""
    pictures = [[[[[i, j]] for j in range(100)]] for i in range(300)]
    net = SimpleLayer()
    found = [each.value for each in restore.reached(lambda: (net, pictures))]
    assert any(each is net.inner.kept for each in found)


class SimpleLayer:
    def __init__(self):
        self.inner = types.SimpleNamespace(kept=X.copy())


def test_what_contains_itself():
    loop = [X]
    loop.append({"loop": loop})
    with restore.restored(np.ones(2), lambda: loop):
        loop[1]["loop"] = None
    assert loop[1]["loop"] is loop


def test_the_walk_ends(monkeypatch):
    """It does not enter libraries: it stays among what a small network holds."""
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = list(restore.reached(Net().cost))
    assert len(found) < 200
    assert not any(isinstance(each.value, type(np)) for each in found if each.value is not module)
