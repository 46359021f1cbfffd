"""The watch: it finds out if a cell has changed what a check uses, and checks again.

It looks at everything that the expressions for parameters, gradients and cost read: arrays by
identity and content, functions by identity and code, and the variables that the functions of the
notebook read in turn.
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

# A watched check, including the looks for changes, may take this part of the time of the cell
# before it, or LEAST_SECONDS if that is more. Each look may take the part LOOK of that.
CELL_SHARE = 0.25
LEAST_SECONDS = 0.3
LOOK = 1 / 3
# A check can say nothing before this many evaluations of the cost.
LEAST_EVALUATIONS = 30
# A check is tried even if it seems to need more time than there is, up to this factor: the machine
# may have been busy before, and the check is stopped in time anyway.
TIME_TOLERANCE = 3.0
# If the last full check took more than this part of the time there is, a scan is made instead.
TIGHT = 0.5
# The most bytes of one array, and the most objects, that a look covers.
MOST_BYTES = 1 << 25
MOST_OBJECTS = 10_000
# Objects of these packages belong to the front end, and change whenever anything is run or shown.
FRONT_END = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "traitlets"}
PLAIN_NUMBERS = (int, float, complex, np.generic, type(None))


@dataclass(frozen=True, eq=False)
class News:
    """The news after a cell.

    Attributes
    ----------
    sentence : str
        The news on one line.
    check : GradientCheck or None
        The result, if a check was made.
    """

    sentence: str
    check: GradientCheck | None = None

    @property
    def is_good(self) -> bool:
        """True if the gradient was checked and is correct."""
        return self.check is not None and self.check.passed


class Watch:
    """The expressions of a check, and what they read at the time of the last check.

    Parameters
    ----------
    params, grads, cost : str
        The expressions.
    others : iterable of str
        Other expressions that the check depends on.
    namespace : dict
        The variables of the notebook.
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
        # What the expressions read when the gradient was last computed.
        self._computed = self._seen

    @property
    def blind_spots(self) -> str:
        """A warning about variables that are too large for a full look, or an empty string."""
        names = dict.fromkeys(name for seen in self._seen.values() for name in seen.overlooked)
        return f"in-place changes of {listed(names)} may go unnoticed" if names else ""

    def remember(self, check: GradientCheck | None) -> None:
        """Take the present state as the one that was checked.

        Parameters
        ----------
        check : GradientCheck, optional
            The check, from which the time of the next one is estimated.
        """
        self._set_seen(self._looked(LOOK * LEAST_SECONDS))
        if check is not None:
            self._pace = self._pace.after(check)

    def after_cell(self, seconds: float, check: Checker) -> News | None:
        """Check again if anything has changed, and never raise an error.

        Parameters
        ----------
        seconds : float
            The run time of the cell.
        check : callable
            Makes the check. Its arguments are a budget in seconds, and True if a scan is advised.

        Returns
        -------
        News or None
            The news, or None if nothing has changed.
        """
        try:
            return self._after_cell(max(CELL_SHARE * seconds, LEAST_SECONDS), check)
        except BaseException as error:  # noqa: BLE001 (the user's code may raise anything)
            return _not_checked(error)

    def _after_cell(self, budget: float, check: Checker) -> News | None:
        began = time.perf_counter()
        now = self._looked(LOOK * budget)
        if not _differ(now, self._seen):
            return None
        looked = time.perf_counter() - began
        try:
            # Leave time for another look afterwards, as the check may change what the cost reads.
            return self._news(now, max(budget - 2 * looked, looked), check)
        finally:
            self._set_seen(self._looked(LOOK * budget))

    def _news(self, now: Mapping[str, _Seen], budget: float, check: Checker) -> News:
        if self._is_stale(now):
            have = "has" if self._params.isidentifier() and self._params[-1] != "s" else "have"
            what = f"`{self._params}` {have} changed since {self._gradient(now)} was computed."
            return News(f"not checked: {what}")
        given = budget - self._pace.beyond
        if self._pace.least >= TIME_TOLERANCE * given:
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
        return self._result_news(now, made)

    def _result_news(self, now: Mapping[str, _Seen], check: GradientCheck) -> News:
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
        """Look at what each expression reads, for at most this many seconds."""
        look = _Look(self._namespace, time.perf_counter() + seconds)
        seen = {text: look.at(tree) for text, tree in self._trees.items()}
        if self._uses_torch_gradients(seen):
            seen[self._grads] = look.of(seen[self._params].gradients)
        return seen

    def _uses_torch_gradients(self, seen: Mapping[str, _Seen]) -> bool:
        """Return True if there is no `grads`, as torch accumulates gradients in the parameters."""
        return bool(seen[self._params].gradients) and not is_there(self._grads, self._namespace)

    def _gradient(self, now: Mapping[str, _Seen]) -> str:
        return "`.grad`" if self._uses_torch_gradients(now) else f"`{self._grads}`"

    def _set_seen(self, now: dict[str, _Seen]) -> None:
        if not now[self._grads].is_like(self._seen[self._grads]):
            self._computed = now
        self._seen = now

    def _is_stale(self, now: Mapping[str, _Seen]) -> bool:
        """Return True if the parameters have changed since the gradient was computed."""
        before, after = self._computed[self._params], now[self._params]
        are_stored = before.is_stored and after.is_stored
        return are_stored and self._is_kept(now) and not before.is_equal(after)

    def _is_older_than(self, text: str, now: Mapping[str, _Seen]) -> bool:
        return self._is_kept(now) and not self._computed[text].is_like(now[text])

    def _is_kept(self, now: Mapping[str, _Seen]) -> bool:
        """Return True if the gradient is stored, and has not changed."""
        grads = now[self._grads]
        return grads.is_stored and grads.is_like(self._seen[self._grads])


def _differ(one: Mapping[str, _Seen], other: Mapping[str, _Seen]) -> bool:
    return any(not seen.is_like(other[text]) for text, seen in one.items())


@dataclass(frozen=True)
class _Pace:
    """The time that a check takes, estimated from the last one, in seconds.

    Attributes
    ----------
    least : float
        The time before a check can say anything.
    full : float
        The time of the last full check.
    beyond : float
        The time by which the last check exceeded its budget.
    """

    least: float = 0.0
    full: float = 0.0
    beyond: float = 0.0

    def after(self, check: GradientCheck, beyond: float = 0.0) -> _Pace:
        """Return the pace after another check."""
        least = check.seconds * LEAST_EVALUATIONS / max(1, check.n_evaluations)
        full = check.seconds if check.mode == "full" else self.full
        return _Pace(least, full, max(0.0, beyond))


def _not_checked(error: BaseException) -> News:
    """Return the news that there is no result, with the reason."""
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
    """Suppress output and warnings, which the cost would repeat at each evaluation."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


# A look at objects


class _Identity:
    """The identity of an object, which does not keep the object alive."""

    def __init__(self, value: object) -> None:
        self._id = id(value)
        try:
            self._value: weakref.ref[object] | None = weakref.ref(value)
        except TypeError:  # not every object supports weak references
            self._value = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        # The id of an object that is gone may belong to another object now.
        return self._id == other._id and not (self._is_gone or other._is_gone)

    __hash__ = None  # type: ignore[assignment]

    @property
    def _is_gone(self) -> bool:
        return self._value is not None and self._value() is None


@dataclass(frozen=True, eq=False)
class _Seen:
    """The objects that an expression reads, at one time.

    Attributes
    ----------
    identities : list of _Identity
        The identities of the objects.
    contents : list of str
        Their values as text or hashes; an empty string if there was no time to look.
    overlooked : list of str
        The variables that were not looked at completely.
    gradients : list of (str, tensor)
        The gradients that torch has accumulated in the variables.
    is_stored : bool
        True if the expression only names stored objects, and computes nothing.
    """

    identities: list[_Identity]
    contents: list[str]
    overlooked: list[str]
    gradients: list[Named]
    is_stored: bool

    def is_like(self, other: _Seen) -> bool:
        """Return True if these are the same objects with the same values."""
        return self.identities == other.identities and self.is_equal(other)

    def is_equal(self, other: _Seen) -> bool:
        """Return True if the values are the same, as far as they are known."""
        if len(self.contents) != len(other.contents):
            return False
        pairs = zip(self.contents, other.contents, strict=True)
        return all(one == another or not (one and another) for one, another in pairs)


class _Look:
    """A look at the objects that expressions read.

    Parameters
    ----------
    namespace : dict
        The variables of the notebook.
    until : float
        The time, by `time.perf_counter`, after which no more arrays are hashed.
    """

    def __init__(self, namespace: Namespace, until: float) -> None:
        self._namespace = namespace
        self._until = until
        # Each array is hashed only once, even if several expressions read it.
        self._digests: dict[int, str] = {}

    def at(self, tree: ast.expr) -> _Seen:
        """Look at the objects that an expression reads."""
        roots: list[Named] = []
        is_stored = True
        for node in _elements(tree):
            found, is_all = _variables_of(node, self._namespace)
            roots += found
            is_stored = is_stored and is_all
        is_stored = is_stored and not any(is_function(value) for _, value in roots)
        return self.of(roots, is_stored=is_stored)

    def of(self, roots: list[Named], *, is_stored: bool = True) -> _Seen:
        """Look at the given variables, and at everything inside them."""
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
        """Return the hash of an array or of a part of it, or an empty string if time is up."""
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
        """Yield the parts of an object, each with the name of the nearest variable."""
        if isinstance(value, FunctionType):
            yield from self._parts_of_function(name, value)
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

    def _parts_of_function(self, name: str, function: FunctionType) -> Iterator[Named]:
        yield name, function.__code__
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        yield from ((name, value) for value in defaults)
        yield from closure_variables(function)
        if function.__globals__ is self._namespace:
            yield from global_variables(function)

    def _is_ours(self, kind: type) -> bool:
        """Return True if a class was defined in the notebook."""
        return kind.__module__ == self._namespace.get("__name__")


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _array(value: Any) -> NDArray[Any] | None:
    """Return an array of any library as a NumPy array, or None if that is not possible."""
    if isinstance(value, np.ndarray):
        return value
    if _is_lazy(value):
        return None
    library = library_of(value)
    try:
        return np.asarray(value) if library is None else library.array(value)
    except Exception:  # noqa: BLE001 (the object may raise anything)
        return None


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__") or library_of(value) is not None


def _is_lazy(value: Any) -> bool:
    """Return True if reading the values is costly: a computation, a file, or a large copy."""
    graph = getattr(value, "__dask_graph__", None)
    if graph is not None and graph() is not None:
        return True
    size = getattr(value, "nbytes", getattr(value, "size", 0))
    is_large = isinstance(size, int) and size > MOST_BYTES
    return is_large and not hasattr(value, "__dlpack__")


# The variables of an expression


def is_there(expression: str, namespace: Namespace) -> bool:
    """Return False if the expression is just the name of a variable that does not exist."""
    return expression in namespace or not expression.isidentifier()


def _elements(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield the elements of a list, tuple or dict in an expression, or the expression itself."""
    if isinstance(tree, (ast.List, ast.Tuple)):
        for element in tree.elts:
            yield from _elements(element)
    elif isinstance(tree, ast.Dict):
        for value in tree.values:
            yield from _elements(value)
    else:
        yield tree


def _variables_of(node: ast.expr, namespace: Namespace) -> tuple[list[Named], bool]:
    """Return the variables that an expression reads, and True if it only names stored objects.

    Nothing is computed: for ``net.params`` this is the attribute that `net` stores, or `net` itself
    if it stores none of this name.
    """
    try:
        name, value, is_all = _stored_object(node, namespace)
    except LookupError:  # it does not exist now
        return [], False
    except TypeError:
        function = eval(f"lambda: ({ast.unparse(node)})", namespace)  # noqa: S307 (it is never called)
        return list(global_variables(function)), False
    return [(name, value)], is_all


def _stored_object(node: ast.expr, namespace: Namespace) -> tuple[str, Any, bool]:
    """Return the object that a name, an attribute or an item stands for, if it is stored.

    Raises
    ------
    LookupError
        If the variable or the item does not exist.
    TypeError
        If it is any other kind of expression.
    """
    if isinstance(node, ast.Name):
        return node.id, namespace[node.id], True
    if isinstance(node, ast.Attribute):
        name, owner, is_all = _stored_object(node.value, namespace)
        held = dict(instance_attributes(owner)) if is_all else {}
        if node.attr in held:
            return ast.unparse(node), held[node.attr], True
        return name, owner, False
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name, container, is_all = _stored_object(node.value, namespace)
        if is_all and isinstance(container, (dict, list, tuple)):
            index: Any = node.slice.value
            return ast.unparse(node), container[index], True
        return name, container, False
    raise TypeError
