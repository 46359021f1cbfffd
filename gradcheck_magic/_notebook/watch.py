"""What a check uses, whether that has changed since, and what is said of the check after a cell.

Whatever the expressions for parameters, gradients and cost read is looked at: arrays by identity
and content, functions by identity and code, and what functions of the notebook read in turn.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import itertools
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._cost.free_variables import (
    closure_variables,
    global_variables,
    instance_attributes,
)
from gradcheck_magic._inputs.arrays import library_of, requires_gradient
from gradcheck_magic._inputs.fingerprint import digest
from gradcheck_magic._inputs.parameters import is_function
from gradcheck_magic._report.words import SEPARATOR, brief
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import duration, first_line, listed
from gradcheck_magic.errors import GradientCheckError, GradientCheckInterrupted

__all__ = ["News", "Watch", "is_there"]

Namespace = dict[str, Any]
Named = tuple[str, Any]
Checker = Callable[[float, bool], GradientCheck]

# A watched check, looking for changes included, takes no more than this part of the time of the
# cell before it, or than so many seconds, whichever is more; each look a third of that.
SHARE = 0.25
LEAST_SECONDS = 0.3
LOOK = 1 / 3
# Before so many evaluations of the cost, nothing can be said of a gradient.
FEWEST = 30
# What takes longer than there is time is tried all the same, up to so many times as long: it is
# stopped in time, and the machine may have been busy before.
UNEVEN = 3.0
# Where a full check took more than this part of the time there is, a scan is made instead.
TIGHT = 0.5
# Of a larger array than that, in bytes, only so many are looked at; and no more objects than these.
MOST_BYTES = 1 << 25
MOST_OBJECTS = 10_000
# Objects of these packages belong to the front end: they change whenever anything is run or shown.
FRONT_END = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "traitlets"}
PLAIN_NUMBERS = (int, float, complex, np.generic, type(None))


@dataclass(frozen=True, eq=False)
class News:
    """What there is to say after a cell.

    Attributes
    ----------
    sentence : str
        One line.
    check : GradientCheck or None
        The result, if a check was made.
    """

    sentence: str
    check: GradientCheck | None = None

    @property
    def is_good(self) -> bool:
        """Whether the gradient was checked, and is right."""
        return self.check is not None and self.check.passed


class Watch:
    """The expressions that a check is made of, and what they read when it was made.

    Parameters
    ----------
    params, grads, cost : str
        Expressions.
    others : iterable of str
        Further ones that the check depends on.
    namespace : dict
        The notebook.
    """

    def __init__(
        self, params: str, grads: str, cost: str, others: Iterable[str], namespace: Namespace
    ) -> None:
        self._params, self._grads, self._cost = params, grads, cost
        self._trees = {
            text: ast.parse(text.strip(), mode="eval").body
            for text in (params, grads, cost, *others)
        }
        self._namespace = namespace
        self._pace = _Pace()
        self._seen = self._looked(LOOK * LEAST_SECONDS)
        # The same when the gradient was last computed.
        self._computed = self._seen

    @property
    def blind_spots(self) -> str:
        """What is too large to be looked through after every cell, in words; empty if nothing."""
        names = dict.fromkeys(name for seen in self._seen.values() for name in seen.overlooked)
        return f"in-place changes of {listed(names)} may go unnoticed" if names else ""

    def remember(self, check: GradientCheck | None) -> None:
        """Take what is there now for what has been checked.

        Parameters
        ----------
        check : GradientCheck, optional
            The check: it tells how long another one will take.
        """
        self._take(self._looked(LOOK * LEAST_SECONDS))
        if check is not None:
            self._pace = self._pace.after(check)

    def after_cell(self, seconds: float, check: Checker) -> News | None:
        """Check again if anything has changed; whatever happens, nothing is raised.

        Parameters
        ----------
        seconds : float
            How long the cell took.
        check : callable
            Makes the check, in so many seconds; and whether to do so in a hurry.

        Returns
        -------
        News or None
            None where nothing has changed.
        """
        try:
            return self._after_cell(max(SHARE * seconds, LEAST_SECONDS), check)
        except BaseException as error:  # noqa: BLE001 (the user's code may raise anything)
            return _not_checked(error)

    def _after_cell(self, budget: float, check: Checker) -> News | None:
        began = time.perf_counter()
        now = self._looked(LOOK * budget)
        if not _differ(now, self._seen):
            return None
        looked = time.perf_counter() - began
        try:
            # Afterwards there is another look: the check itself may change what the cost reads.
            return self._news(now, max(budget - 2 * looked, looked), check)
        finally:
            self._take(self._looked(LOOK * budget))

    def _news(self, now: Mapping[str, _Seen], budget: float, check: Checker) -> News:
        if self._is_stale(now):
            have = "has" if self._params.isidentifier() and self._params[-1] != "s" else "have"
            what = f"`{self._params}` {have} changed since {self._gradient(now)} was computed."
            return News(f"not checked: {what}")
        given = budget - self._pace.beyond
        if self._pace.least >= UNEVEN * given:
            least = _time(self._pace.least + self._pace.beyond)
            why = (
                f"as the last check shows, it takes at least {least}; the limit is {_time(budget)}"
            )
            return News(f"not checked: {why}. Run %gradcheck to check it.")
        began = time.perf_counter()
        try:
            with _silence():
                made = check(given, self._pace.full > TIGHT * given)
        except BaseException as error:  # noqa: BLE001 (the user's code may raise anything)
            return _not_checked(error)
        self._pace = self._pace.after(made, time.perf_counter() - began - given)
        return self._told(now, made)

    def _told(self, now: Mapping[str, _Seen], check: GradientCheck) -> News:
        if check.interrupted and check.verdict is not Verdict.BUG:
            enough = f"{_time(check.seconds)} was not enough"
            return News(f"not checked: {enough}. Run %gradcheck to check in full.", check)
        line = brief(check)
        if not check.passed:
            if self._is_older_than(self._cost, now):
                what = f"`{self._cost}`, or something it uses, has changed"
                line += f" {what} since {self._gradient(now)} was computed."
            line += " `_gradcheck` shows the card."
        return News(SEPARATOR.join(filter(None, (line, self.blind_spots))), check)

    # What has changed

    def _looked(self, seconds: float) -> dict[str, _Seen]:
        """Look at what each expression reads, for so many seconds."""
        look = _Look(self._namespace, time.perf_counter() + seconds)
        seen = {text: look.at(tree) for text, tree in self._trees.items()}
        if self._are_accumulated(seen):
            seen[self._grads] = look.of(seen[self._params].gradients)
        return seen

    def _are_accumulated(self, seen: Mapping[str, _Seen]) -> bool:
        """Whether nobody computes `grads`, as torch accumulates them in the parameters."""
        return bool(seen[self._params].gradients) and not is_there(self._grads, self._namespace)

    def _gradient(self, now: Mapping[str, _Seen]) -> str:
        return "`.grad`" if self._are_accumulated(now) else f"`{self._grads}`"

    def _take(self, now: dict[str, _Seen]) -> None:
        if not now[self._grads].is_like(self._seen[self._grads]):
            self._computed = now
        self._seen = now

    def _is_stale(self, now: Mapping[str, _Seen]) -> bool:
        """Whether the parameters have other values than those that the gradient belongs to."""
        before, after = self._computed[self._params], now[self._params]
        are_stored = before.is_stored and after.is_stored
        return are_stored and self._is_kept(now) and not before.is_equal(after)

    def _is_older_than(self, text: str, now: Mapping[str, _Seen]) -> bool:
        return self._is_kept(now) and not self._computed[text].is_like(now[text])

    def _is_kept(self, now: Mapping[str, _Seen]) -> bool:
        """Whether the gradient is what it was, and is not computed when it is asked for."""
        grads = now[self._grads]
        return grads.is_stored and grads.is_like(self._seen[self._grads])


def _differ(one: Mapping[str, _Seen], other: Mapping[str, _Seen]) -> bool:
    return any(not seen.is_like(other[text]) for text, seen in one.items())


@dataclass(frozen=True)
class _Pace:
    """How long a check takes, by the last one; in seconds.

    Attributes
    ----------
    least : float
        Before it can say anything.
    full : float
        Where every entry was measured, at last.
    beyond : float
        Longer than it is given.
    """

    least: float = 0.0
    full: float = 0.0
    beyond: float = 0.0

    def after(self, check: GradientCheck, beyond: float = 0.0) -> _Pace:
        """Return the pace after another check."""
        least = check.seconds * FEWEST / max(1, check.n_evaluations)
        full = check.seconds if check.mode == "full" else self.full
        return _Pace(least, full, max(0.0, beyond))


def _not_checked(error: BaseException) -> News:
    """Say in one line why there is no result."""
    if isinstance(error, GradientCheckInterrupted):
        return News(f"not checked: interrupted. {error}", error.check)
    if isinstance(error, KeyboardInterrupt):
        return News("not checked: interrupted; the parameters are as they were before.")
    if isinstance(error, GradientCheckError):
        return News(f"not checked: {first_line(error)}")
    said = ": ".join(filter(None, (type(error).__name__, first_line(error))))
    return News(f"not checked: {said.rstrip('.')}. Run %gradcheck to see where.")


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004 (two digits)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep to one line: what the cost prints or warns of would come up once for each evaluation."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


# What is seen


class _Identity:
    """Tells an object from any other, without keeping it."""

    def __init__(self, value: object) -> None:
        self._id = id(value)
        try:
            self._value: weakref.ref[object] | None = weakref.ref(value)
        except TypeError:  # not every object can be referred to
            self._value = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        # The number of an object that is gone may have been given to another one.
        return self._id == other._id and not (self._is_gone or other._is_gone)

    __hash__ = None  # type: ignore[assignment]

    @property
    def _is_gone(self) -> bool:
        return self._value is not None and self._value() is None


@dataclass(frozen=True, eq=False)
class _Seen:
    """What an expression reads, at one time.

    Attributes
    ----------
    identities : list of _Identity
        The objects.
    contents : list of str
        The values of those that hold one; empty where there was no time to look.
    overlooked : list of str
        Variables of which not everything was looked at.
    gradients : list of (str, tensor)
        What torch has accumulated in them.
    is_stored : bool
        Whether the expression stands for what is there, and computes nothing.
    """

    identities: list[_Identity]
    contents: list[str]
    overlooked: list[str]
    gradients: list[Named]
    is_stored: bool

    def is_like(self, other: _Seen) -> bool:
        """Whether these are the same objects, with the same values."""
        return self.identities == other.identities and self.is_equal(other)

    def is_equal(self, other: _Seen) -> bool:
        """Whether these are the same values, as far as is known."""
        if len(self.contents) != len(other.contents):
            return False
        pairs = zip(self.contents, other.contents, strict=True)
        return all(one == another or not (one and another) for one, another in pairs)


class _Look:
    """A look at what expressions read.

    Parameters
    ----------
    namespace : dict
        The notebook.
    until : float
        When, by `time.perf_counter`, arrays are no longer looked through.
    """

    def __init__(self, namespace: Namespace, until: float) -> None:
        self._namespace = namespace
        self._until = until
        # An array is looked through once, whoever reads it.
        self._digests: dict[int, str] = {}

    def at(self, tree: ast.expr) -> _Seen:
        """Look at what an expression reads."""
        roots: list[Named] = []
        is_stored = True
        for node in _parts(tree):
            found, is_all = _read(node, self._namespace)
            roots += found
            is_stored = is_stored and is_all
        is_stored = is_stored and not any(is_function(value) for _, value in roots)
        return self.of(roots, is_stored=is_stored)

    def of(self, roots: list[Named], *, is_stored: bool = True) -> _Seen:
        """Look at some variables, and whatever is in them."""
        seen = _Seen([], [], [], [], is_stored)
        known: set[int] = set()
        waiting = deque(roots)
        while waiting:
            name, value = waiting.popleft()
            if id(value) in known:
                continue
            known.add(id(value))
            seen.identities.append(_Identity(value))
            if isinstance(value, PLAIN_NUMBERS):
                seen.contents.append(repr(value))
            elif isinstance(value, (str, bytes)):
                seen.contents.append(str(hash(value)))
            elif _is_array(value):
                seen.contents.append(self._content(name, value, seen.overlooked))
                if requires_gradient(value) and value.is_leaf:
                    seen.gradients.append((name, value.grad))
            else:
                room = MOST_OBJECTS - len(known) - len(waiting)
                inside = list(itertools.islice(self._inside(name, value), room + 1))
                if len(inside) > room:
                    seen.overlooked.append(name)
                waiting.extend(inside[:room])
        return seen

    def _content(self, name: str, value: Any, overlooked: list[str]) -> str:
        """Return the hash of an array, of a part of it, or nothing where there is no time left."""
        array = _array(value)
        if array is None or array.dtype.hasobject or time.perf_counter() > self._until:
            overlooked.append(name)
            return ""
        if array.nbytes > MOST_BYTES:
            overlooked.append(name)
        if id(value) not in self._digests:
            self._digests[id(value)] = digest([("", array)], MOST_BYTES)
        return self._digests[id(value)]

    def _inside(self, name: str, value: Any) -> Iterator[Named]:
        """Yield what an object is made of, each under the name of the variable nearest to it."""
        if isinstance(value, FunctionType):
            yield from self._inside_function(name, value)
            return
        items: Iterable[Any] = ()
        if isinstance(value, dict):
            items = itertools.chain.from_iterable(value.items())
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            items = value
        elif isinstance(value, functools.partial):
            items = (value.func, *value.args, *value.keywords.values())
        elif isinstance(value, MethodType):
            items = (value.__self__, value.__func__)
        elif isinstance(value, property):
            items = (value.fget,)
        elif isinstance(value, type):
            items = (*value.__bases__, *vars(value).values()) if self._is_ours(value) else ()
        elif not isinstance(value, ModuleType) and _package(type(value)) not in FRONT_END:
            yield from instance_attributes(value)
            items = (type(value),)
        yield from ((name, item) for item in items)

    def _inside_function(self, name: str, function: FunctionType) -> Iterator[Named]:
        yield name, function.__code__
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        yield from ((name, value) for value in defaults)
        yield from closure_variables(function)
        if function.__globals__ is self._namespace:
            yield from global_variables(function)

    def _is_ours(self, kind: type) -> bool:
        """Whether a class was defined in the notebook."""
        return kind.__module__ == self._namespace.get("__name__")


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _array(value: Any) -> NDArray[Any] | None:
    """Return what an array of any kind holds; None where that cannot be had."""
    if isinstance(value, np.ndarray):
        return value
    if _is_lazy(value):
        return None
    library = library_of(value)
    try:
        return np.asarray(value) if library is None else library.array(value)
    except Exception:  # noqa: BLE001 (an object may answer with anything)
        return None


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__") or library_of(value) is not None


def _is_lazy(value: Any) -> bool:
    """Whether to have the values takes work: a computation, a file, or a copy of many."""
    graph = getattr(value, "__dask_graph__", None)
    if graph is not None and graph() is not None:
        return True
    size = getattr(value, "nbytes", getattr(value, "size", 0))
    is_large = isinstance(size, int) and size > MOST_BYTES
    return is_large and not hasattr(value, "__dlpack__")


# What an expression reads


def is_there(expression: str, namespace: Namespace) -> bool:
    """Whether it is more than the name of a variable that does not exist."""
    return expression in namespace or not expression.isidentifier()


def _parts(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield what a list, tuple or dict in an expression is made of; or the expression itself."""
    if isinstance(tree, (ast.List, ast.Tuple)):
        for element in tree.elts:
            yield from _parts(element)
    elif isinstance(tree, ast.Dict):
        for value in tree.values:
            yield from _parts(value)
    else:
        yield tree


def _read(node: ast.expr, namespace: Namespace) -> tuple[list[Named], bool]:
    """Return the variables that an expression reads, and whether these are all there is to it.

    Nothing is computed: of ``net.params`` it is what `net` holds under this name, or `net` itself
    where it holds nothing.
    """
    try:
        name, value, is_all = _stored(node, namespace)
    except LookupError:  # not there now
        return [], False
    except TypeError:
        function = eval(f"lambda: ({ast.unparse(node)})", namespace)  # noqa: S307 (it is not called)
        return list(global_variables(function)), False
    return [(name, value)], is_all


def _stored(node: ast.expr, namespace: Namespace) -> tuple[str, Any, bool]:
    """Return what is stored under a name, or an attribute or an item of it.

    Raises
    ------
    LookupError
        If there is no such variable, or item.
    TypeError
        If it is another kind of expression.
    """
    if isinstance(node, ast.Name):
        return node.id, namespace[node.id], True
    if isinstance(node, ast.Attribute):
        name, owner, is_all = _stored(node.value, namespace)
        held = dict(instance_attributes(owner)) if is_all else {}
        if node.attr in held:
            return ast.unparse(node), held[node.attr], True
        return name, owner, False
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name, container, is_all = _stored(node.value, namespace)
        if is_all and isinstance(container, (dict, list, tuple)):
            index: Any = node.slice.value
            return ast.unparse(node), container[index], True
        return name, container, False
    raise TypeError
