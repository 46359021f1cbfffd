"""The watch: it finds out if a cell has changed what a check uses, and checks again.

It looks at everything that the expressions for parameters, gradients and cost read: arrays by
identity and content, functions by identity and code, and the variables that the functions of the
notebook read in turn.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import io
import itertools
import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

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
Checker = Callable[[argparse.Namespace], GradientCheck]

# A watched check, including the looks for changes, may take this part of the time of the cell
# before it, or LEAST_SECONDS if that is more.
CELL_SHARE = 0.25
LEAST_SECONDS = 0.3
# A check is not begun if there is no time for this many evaluations: it could say nothing.
LEAST_EVALUATIONS = 10
# Every entry is measured only if its two evaluations take at most this part of the time.
FULL_SHARE = 0.5
# The most bytes of arrays that a look reads, and the most objects for one expression.
MOST_BYTES = 1 << 27
MOST_OBJECTS = 10_000
# Objects of these packages belong to the front end, and change whenever anything is run or shown.
FRONT_END = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "traitlets"}


class News(NamedTuple):
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
    options : argparse.Namespace
        The options of the check.
    namespace : dict
        The variables of the notebook.
    """

    def __init__(self, options: argparse.Namespace, namespace: Namespace) -> None:
        self.options = options
        texts = {name: getattr(options, name) for name in ("params", "grads", "cost", "upstream")}
        self._trees = {
            name: ast.parse(text.strip(), mode="eval").body
            for name, text in texts.items()
            if text is not None
        }
        self._namespace = namespace
        self._last: GradientCheck | None = None
        self._seen = self._looked()
        # What the expressions read when the gradient was last computed.
        self._computed = self._seen

    def is_of(self, options: argparse.Namespace) -> bool:
        """Return True if a check with these options uses the same expressions."""
        same = ("params", "grads", "cost", "upstream", "only")
        return all(getattr(options, name) == getattr(self.options, name) for name in same)

    @property
    def blind_spots(self) -> str:
        """A warning about variables that are too large for a full look, or an empty string."""
        names = self._seen.overlooked
        return f"in-place changes of {listed(names)} may go unnoticed" if names else ""

    def remember(self, check: GradientCheck | None) -> None:
        """Take the present state as the one that was checked.

        Parameters
        ----------
        check : GradientCheck, optional
            The check, from which the time of the next one is estimated.
        """
        if check is not None:
            self._last = check
        self._set_seen(self._looked())

    def after_cell(self, seconds: float, check: Checker) -> News | None:
        """Check again if anything has changed, and never raise an error.

        Parameters
        ----------
        seconds : float
            The run time of the cell.
        check : callable
            Makes the check with the given options.

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
        now = self._looked()
        if now.objects == self._seen.objects:
            return None
        looked = time.perf_counter() - began
        try:
            # Leave time for another look afterwards, as the check may change what the cost reads.
            return self._news(now, max(budget - 2 * looked, looked), check)
        finally:
            self._set_seen(self._looked())

    def _news(self, now: _Look, budget: float, check: Checker) -> News:
        params = self.options.params
        if self._is_kept(now) and now.are_values_new("params", self._computed):
            have = "has" if params.isidentifier() and params[-1] != "s" else "have"
            what = f"`{params}` {have} changed since {self._gradient(now)} was computed."
            return News(f"not checked: {what}")
        least = LEAST_EVALUATIONS * self._seconds_each
        if least > budget:
            why = f"it takes at least {_time(least)}; the limit is {_time(budget)}"
            return News(f"not checked: as the last check shows, {why}. Run %gradcheck to check it.")
        with _silence():
            self._last = check(self._options_within(budget))
        return self._result_news(now, self._last)

    def _result_news(self, now: _Look, check: GradientCheck) -> News:
        if check.interrupted and check.verdict is not Verdict.BUG:
            enough = f"{_time(check.seconds)} was not enough"
            return News(f"not checked: {enough}. Run %gradcheck to check in full.", check)
        line = brief(check)
        if not check.passed:
            if self._is_kept(now) and now.differs("cost", self._computed):
                what = f"`{self.options.cost}`, or something it uses, has changed"
                line += f" {what} since {self._gradient(now)} was computed."
            line += " `_gradcheck` shows the card."
        return News(SEPARATOR.join(filter(None, (line, self.blind_spots))), check)

    # The time of a check

    @property
    def _seconds_each(self) -> float:
        """The time of one evaluation of the cost in the last check."""
        return 0.0 if self._last is None else self._last.seconds / max(1, self._last.n_evaluations)

    def _options_within(self, seconds: float) -> argparse.Namespace:
        """Return the options of a check that takes no longer than this."""
        mode, asked = self.options.mode, self.options.budget
        n_evaluations = 0 if self._last is None else 2 * self._last.size
        if mode == "auto" and n_evaluations * self._seconds_each > FULL_SHARE * seconds:
            mode = "scan"
        budget = min(seconds, math.inf if asked is None else asked)
        # The time is too short to start processes and to send them functions.
        changed = {"budget": budget, "mode": mode, "workers": None}
        return argparse.Namespace(**{**vars(self.options), **changed})

    # What has changed

    def _looked(self) -> _Look:
        return _Look(self._trees, self._namespace)

    def _set_seen(self, now: _Look) -> None:
        if now.differs("grads", self._seen):
            self._computed = now
        self._seen = now

    def _is_kept(self, now: _Look) -> bool:
        """Return True if the gradient is stored, and has not changed."""
        return "grads" in now.stored and not now.differs("grads", self._seen)

    def _gradient(self, now: _Look) -> str:
        return "`.grad`" if now.is_accumulated else f"`{self.options.grads}`"


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


class _Look:
    """A look at all objects that some expressions read.

    Parameters
    ----------
    trees : dict of str to ast.expr
        The expressions by their role: "params", "grads", "cost" and "upstream", in this order.
    namespace : dict
        The variables of the notebook.

    Attributes
    ----------
    objects : dict of str to list of (int, object)
        The id and the content of each object that an expression reads. The content is a number or
        a hash; None for an object that only holds others.
    stored : set of str
        The expressions that only name stored objects, and compute nothing.
    overlooked : dict of str to None
        The variables that were not looked at completely.
    is_accumulated : bool
        True if there is no `grads`, as torch accumulates gradients in the parameters.
    """

    def __init__(self, trees: dict[str, ast.expr], namespace: Namespace) -> None:
        self.objects: dict[str, list[tuple[int, object]]] = {}
        self.stored: set[str] = set()
        self.overlooked: dict[str, None] = {}
        self.is_accumulated = False
        self._namespace = namespace
        # Each object is looked at only once, even if several expressions read it.
        self._contents: dict[int, object] = {}
        self._tensors: list[Named] = []
        self._bytes_left = MOST_BYTES
        for role, tree in trees.items():
            roots, is_stored = _roots(tree, namespace)
            if role == "grads" and isinstance(tree, ast.Name) and not roots and self._tensors:
                roots = [(name, tensor.grad) for name, tensor in self._tensors]
                is_stored = self.is_accumulated = True
            if is_stored and not any(is_function(value) for _, value in roots):
                self.stored.add(role)
            self.objects[role] = self._reached_from(roots)
        # A look that is remembered keeps nothing of the user's alive.
        self._tensors.clear()

    def differs(self, role: str, other: _Look) -> bool:
        """Return True if an expression reads other objects than before, or other values."""
        return self.objects[role] != other.objects[role]

    def are_values_new(self, role: str, other: _Look) -> bool:
        """Return True if the stored values have changed, in whatever objects they are."""
        return role in self.stored & other.stored and self._values(role) != other._values(role)

    def _values(self, role: str) -> list[object]:
        return [content for _, content in self.objects[role]]

    def _reached_from(self, roots: Iterable[Named]) -> list[tuple[int, object]]:
        """Look at some variables, and at everything inside them."""
        reached: list[tuple[int, object]] = []
        waiting = deque(roots)
        while waiting and len(reached) < MOST_OBJECTS:
            name, value = waiting.popleft()
            if id(value) not in self._contents:
                self._contents[id(value)] = self._content(name, value)
                waiting.extend(itertools.islice(self._inside(name, value), MOST_OBJECTS))
            reached.append((id(value), self._contents[id(value)]))
        self.overlooked.update((name, None) for name, _ in waiting)
        return reached

    def _content(self, name: str, value: Any) -> object:
        # The type is examined, not the value: a proxy may raise when it is asked for its class.
        kind = type(value)
        if issubclass(kind, (int, float, complex, np.generic)):
            return value
        if issubclass(kind, (str, bytes, CodeType)):
            return hash(value)
        if not _is_array(value):
            return None
        if requires_gradient(value) and value.is_leaf:
            self._tensors.append((name, value))
        # An array may take half of what is left, so that there is always something left.
        most = self._bytes_left // 2
        array = _array(value, most)
        if array is None or array.nbytes > most:
            self.overlooked[name] = None
        if array is None:
            return None
        self._bytes_left -= min(array.nbytes, most)
        return digest([("", array)], most)

    def _inside(self, name: str, value: Any) -> Iterator[Named]:
        """Yield the parts of an object, each with the name of the nearest variable."""
        parts: Iterable[Any] = ()
        kind = type(value)
        if issubclass(kind, FunctionType):
            yield from closure_variables(value)
            if value.__globals__ is self._namespace:
                yield from global_variables(value)
            parts = (value.__code__, value.__defaults__, value.__kwdefaults__)
        elif issubclass(kind, type):
            # Only classes of the notebook are of interest.
            if value.__module__ == self._namespace.get("__name__"):
                parts = (*value.__bases__, *vars(value).values())
        elif not (issubclass(kind, ModuleType) or _is_array(value) or _is_of_front_end(kind)):
            yield from instance_attributes(value)
            parts = _referents(value)
        yield from ((name, part) for part in parts)


def _referents(value: object) -> Iterable[Any]:
    """Return what is inside a list, a dict, a method, a partial or any other object."""
    if type(value) is list:
        return value  # it may be long
    # The results in a `functools.cache` are no inputs, and come and go.
    return () if hasattr(type(value), "cache_info") else gc.get_referents(value)


def _is_of_front_end(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in FRONT_END


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__") or library_of(value) is not None


def _array(value: Any, most: int) -> NDArray[Any] | None:
    """Return an array of any library as a NumPy array; None if that is not possible, or costly."""
    library = library_of(value)
    is_in_memory = library is not None or isinstance(value, np.ndarray)
    with contextlib.suppress(Exception):  # the object may raise anything
        if is_in_memory or not _is_costly(value, most):
            array = np.asarray(value) if library is None else library.array(value)
            return None if array.dtype.hasobject else array
    return None


def _is_costly(value: Any, most: int) -> bool:
    """Return True if reading the values is a computation, or a large file or copy."""
    graph = getattr(value, "__dask_graph__", None)
    is_computed = graph is not None and graph() is not None
    return is_computed or getattr(value, "nbytes", getattr(value, "size", 0)) > most


# The variables of an expression


def is_there(expression: str, namespace: Namespace) -> bool:
    """Return False if the expression is just the name of a variable that does not exist."""
    return expression in namespace or not expression.isidentifier()


def _roots(tree: ast.expr, namespace: Namespace) -> tuple[list[Named], bool]:
    """Return the variables that an expression reads, and True if it only names stored objects.

    Nothing is computed: for ``net.params`` this is the attribute that `net` stores, or `net` itself
    if it stores none of this name.
    """
    if isinstance(tree, (ast.List, ast.Tuple, ast.Dict)):
        elements = tree.values if isinstance(tree, ast.Dict) else tree.elts
        found = [_roots(element, namespace) for element in elements]
        return [root for roots, _ in found for root in roots], all(stored for _, stored in found)
    try:
        return [(ast.unparse(tree), _stored(tree, namespace))], True
    except Exception:  # noqa: BLE001 (it is computed, or does not exist; the object may raise anything)
        function = eval(f"lambda: ({ast.unparse(tree)})", namespace)  # noqa: S307 (it is never called)
        return list(global_variables(function)), False


def _stored(tree: ast.expr, namespace: Namespace) -> Any:
    """Return the object that a name, an attribute or an item stands for, or raise an error."""
    if isinstance(tree, ast.Name):
        return namespace[tree.id]
    if isinstance(tree, ast.Attribute):
        return vars(_stored(tree.value, namespace))[tree.attr]
    if isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Constant):
        container = _stored(tree.value, namespace)
        if isinstance(container, (dict, list, tuple)):
            index: Any = tree.slice.value
            return container[index]
    raise LookupError
