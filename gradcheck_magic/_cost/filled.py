"""Costs as the notebook computes them: with all that they need besides the parameters.

``svm_loss(W, X, y, reg)`` is called as in the cell, or with what the notebook has under the names
of the arguments, as pytest fills the arguments of a test from fixtures. What was computed from the
parameters before, such as `A2` in ``compute_cost(A2, Y)``, is computed anew each time, by the
statements of the cells that lead to it. A number, such as `loss`, is computed anew in the same way.

The result is a function of the parameters alone, as a person would write it. Nothing here calls it.
"""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from gradcheck_magic._cost.reached import reached
from gradcheck_magic._inputs.arrays import is_users_array, library_of, share
from gradcheck_magic._inputs.computed import Computed, Statement, leading_to, names_read
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    collect,
    cost_name,
    is_function,
)
from gradcheck_magic._wording import counted, listed
from gradcheck_magic.errors import InputError

__all__ = ["Available", "Filled", "filled", "filled_gradient"]

# The name under which a written function finds the user's.
USERS = "__function__"
# Arguments that are passed one by one.
PASSED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
# Longer code is not quoted.
LONGEST_QUOTED = 100


@dataclass(frozen=True, eq=False)
class Available:
    """What may be passed to a function besides the parameters.

    Attributes
    ----------
    values : mapping
        The values by name, such as the variables of a notebook.
    before : mapping
        The same before the cell ran that makes the check.
    cells : sequence of str
        The code of the cells that have run; that of this cell is the last.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[str] = ()

    def __contains__(self, name: object) -> bool:
        # Such a name is that of nothing in particular: IPython's last result is in `_`.
        return isinstance(name, str) and name in self.values and not name.startswith("_")

    @cached_property
    def computed(self) -> Computed:
        """How the values were computed."""
        return Computed(self.cells)


@dataclass(frozen=True, eq=False)
class Filled:
    """A function of the parameters alone.

    Attributes
    ----------
    function : object
        The function: the user's own if it takes nothing else.
    notes : list of str
        How the user's own is called, if it is another.
    """

    function: Any
    notes: list[str] = field(default_factory=list)


def filled(
    function: object,
    params: object,
    names: Names,
    available: Available | None,
    text: str = "",
) -> Filled:
    """Return a function of the parameters, with all that the user's own needs besides them.

    Parameters
    ----------
    function : object
        The user's function; or a number, if `text` says how it was computed.
    params, names
        As in `check_gradients`.
    available : Available, optional
        What may be passed to it.
    text : str
        The user's expression for the function.

    Raises
    ------
    InputError
        If an argument has no value, or more than one may be the parameters. The message has a line
        to be pasted.
    """
    if available is None:
        return Filled(function)
    if callable(function) and _takes_params_alone(function, params, available):
        return Filled(function)
    parameters = collect(params, names=names)
    name = cost_name(function, names) if callable(function) else text
    return _Reader(function, text or name, name, parameters, available).read()


def filled_gradient(
    grads: object, params: object, names: Names, available: Available | None, text: str = ""
) -> object:
    """Return the gradients, filled in the same way if they are a function."""
    return filled(grads, params, names, available, text).function if is_function(grads) else grads


def _takes_params_alone(function: object, params: object, available: Available) -> bool:
    """Return True if the only argument has the name of the parameters: by far most functions."""
    arguments = _arguments(function)
    required = [each.name for each in arguments if _is_required(each)]
    if not required:
        # A module of torch takes anything.
        return not arguments and isinstance(function, (FunctionType, MethodType))
    return len(required) == 1 and available.values.get(required[0]) is params


def _arguments(function: object) -> list[inspect.Parameter]:
    with suppress(Exception):  # the user's own may raise anything
        signature = inspect.signature(function)  # type: ignore[arg-type]
        return [each for each in signature.parameters.values() if each.kind in PASSED]
    return []


def _is_required(argument: inspect.Parameter) -> bool:
    return argument.default is inspect.Parameter.empty


class _Reader:
    """Finds out what a function is called with, and writes that call.

    Parameters
    ----------
    function : object
        The function, or a number.
    text, name : str
        The user's expression for it, and its name in sentences.
    parameters : Parameters
        The parameters.
    available : Available
        What the other arguments may be.
    """

    def __init__(
        self,
        function: Any,
        text: str,
        name: str,
        parameters: Parameters,
        available: Available,
    ) -> None:
        self.function, self.text, self.name = function, text, name
        self.parameters, self.available = parameters, available
        self.arguments = _arguments(function)
        self.required = [each.name for each in self.arguments if _is_required(each)]
        self.arrays = [parameter.name for parameter in parameters.arrays]
        values, root = available.values, parameters.name
        is_own = root.isidentifier() and values.get(root, parameters.container) is (
            parameters.container
        )
        self.root = root if is_own else ""
        # The variables that are parameters.
        held = {parameter.name: parameter.value for parameter in parameters.arrays}
        self.own = {name for name, value in held.items() if values.get(name, UNBOUND) is value}
        self.own |= {self.root} if self.root in values else set()
        self._known: dict[str, bool] = {}

    def read(self) -> Filled:
        """Return a function of the parameters."""
        if not callable(self.function):
            tree = ast.parse(self.text.strip(), mode="eval").body
            return self._written(tree, self._statements) or Filled(self.function)
        return self._as_called() or self._by_name()

    @cached_property
    def _statements(self) -> list[Statement]:
        return self.available.computed.statements(self.own.__contains__, self._is_object)

    # As it is called in the cell

    def _as_called(self) -> Filled | None:
        """Return the call in the cell that makes the check, if there is one."""
        calls = {
            ast.unparse(call): (k, call)
            for k, call in self.available.computed.calls(self._statements)
            if ast.unparse(call.func) in {self.text, self.name}
        }
        plain = {f"{self.text}({', '.join(own)})" for own in ([self.root], self.arrays)}
        if plain & calls.keys():
            return Filled(self.function)
        if len(self.required) == 1 and self.required[0] not in self.available:
            return None
        # A call with the parameters themselves is likelier than one with a copy that was moved.
        direct = {text: each for text, each in calls.items() if self._passes_own(each[1])}
        if direct or self._named_like_parameters() is not None:
            calls = direct
        found = {
            text: self._written(call, self._statements[:k]) for text, (k, call) in calls.items()
        }
        found = {text: each for text, each in found.items() if each is not None}
        if len(found) > 1:
            raise self._called_differently(found)
        return next(iter(found.values()), None)

    def _passes_own(self, call: ast.Call) -> bool:
        """Return True if a call passes a parameter as it is."""
        passed = [*call.args, *(each.value for each in call.keywords)]
        return any(isinstance(each, ast.Name) and each.id in self.own for each in passed)

    # By the names of its arguments

    def _by_name(self) -> Filled:
        if not self.required:
            return self._without_arguments()
        takes = self._named_like_parameters()
        passed = self._passed(takes or ())
        unknown = [each for each in self.required if each not in {*passed, *(takes or ())}]
        if takes is None and not unknown:
            return self._all_known(passed)
        if takes is None:
            if self._is_plain():
                return self._in_place(unknown) or Filled(self.function)
            takes, unknown = unknown[:1], unknown[1:]
        if set(self.required) <= set(takes) or (unknown and self._is_plain()):
            return Filled(self.function)
        if unknown:
            raise self._misses(takes, unknown)
        return self._call_with(passed, takes)

    def _without_arguments(self) -> Filled:
        """Call a function whose arguments are all optional without any, if it reads θ itself."""
        if not (self.arguments and self._reaches_own()):
            return Filled(self.function)
        return Filled(self._made([], [], self._call({}), {}))

    def _named_like_parameters(self) -> list[str] | None:
        """Return the arguments that have the names of the parameters: of all of them."""
        container, values = self.parameters.container, self.available.values
        names = [each.name for each in self.arguments]
        for each in names:
            if each == self.root or (each in values and values[each] is container):
                return [each]
        return self.arrays if set(self.arrays) <= set(names) else None

    def _passed(self, takes: Sequence[str]) -> dict[str, ast.expr]:
        """Return what the other arguments are, as far as that is known."""
        found = {each: _name(each) for each in self.required if each in self.available}
        # Another function of the cell may have been called with arguments of the same names.
        for _, call in self.available.computed.calls(self._statements):
            bound = self._bound_in(call)
            names = [each.name for each in self.arguments if each.name in bound]
            found.update({each: bound[each] for each in names})
        return {name: value for name, value in found.items() if name not in takes}

    def _bound_in(self, call: ast.Call) -> dict[str, ast.expr]:
        """Return the expressions in a call by the names of the arguments."""
        with suppress(Exception):  # it may be a function of anything, or none any more
            called = self.available.values[ast.unparse(call.func)]
            keywords = {each.arg or "": each.value for each in call.keywords}
            return inspect.signature(called).bind(*call.args, **keywords).arguments
        return {}

    def _names_of(self, takes: Sequence[str]) -> dict[str, str]:
        """Return the names of the parameters that are passed for some arguments."""
        if len(takes) == 1 and self.root:
            return {takes[0]: self.root}
        return {each: each for each in takes}

    def _is_plain(self) -> bool:
        """Return True if the function can be called with the parameters alone."""
        return len(self.required) in {1, len(self.arrays)}

    def _all_known(self, passed: dict[str, ast.expr]) -> Filled:
        """Read a function none of whose arguments is called like a parameter."""
        if (found := self._written(self._call(passed), self._statements)) is not None:
            return found
        if self._is_plain() and self._fits():
            return Filled(self.function)
        alike = [each for each in self.required if self._is_alike(each)]
        if len(alike) != 1:
            raise self._ambiguous(alike) if alike else self._takes_none()
        return self._call_with(passed, alike)

    def _fits(self) -> bool:
        """Return False if several arguments are unlike the parameters, array by array."""
        shapes = [_shape_of(self.available.values.get(each)) for each in self.required]
        own = [parameter.shape for parameter in self.parameters.arrays]
        return len(shapes) == 1 or shapes == own

    def _is_alike(self, name: str) -> bool:
        """Return True if a value of the notebook may be the parameters, as far as shapes tell."""
        container, value = self.parameters.container, self.available.values.get(name)
        if isinstance(container, dict) and isinstance(value, dict):
            return container.keys() == value.keys()
        shape = _shape_of(value)
        return bool(shape) and math.prod(shape) == self.parameters.size

    def _in_place(self, arguments: Sequence[str]) -> Filled | None:
        """Pass the user's own parameters to a function that does not read its argument.

        It reads them elsewhere, as in cs231n: ``f = lambda _: model.loss(X, y)[0]``.
        """
        if len(arguments) != 1 or not (self._is_unused(arguments[0]) and self._reaches_own()):
            return None
        passed = {arguments[0]: _name(arguments[0])}
        scope = {arguments[0]: self.parameters.container}
        return Filled(self._made([], [], self._call(passed), scope))

    def _is_unused(self, argument: str) -> bool:
        """Return True if the function never reads an argument."""
        code = getattr(self.function, "__code__", None)
        if code is None:
            return False
        read = {part for each in dis.get_instructions(code) for part in _parts(each.argval)}
        return argument not in read

    # What is a parameter

    def _is_parameter(self, name: str) -> bool:
        """Return True for a variable that is a parameter, or that holds or reads some."""
        if name in self.own:
            return True
        if name not in self._known:
            value = self.function if name == USERS else self.available.values.get(name)
            self._known[name] = not inspect.ismodule(value) and self._reaches(value)
        return self._known[name]

    def _is_object(self, name: str) -> bool:
        """Return True for an object of the user's own, such as a layer, that holds parameters."""
        value = self.available.values.get(name)
        kinds = (list, tuple, dict, set, np.ndarray)
        return (
            not isinstance(value, kinds) and library_of(value) is None and self._is_parameter(name)
        )

    def _reaches_own(self) -> bool:
        return self._is_parameter(USERS)

    def _reaches(self, value: object) -> bool:
        own = self.parameters.arrays
        ids = {id(parameter.value) for parameter in own if not parameter.is_number}
        # A result may remember what it was computed from, without being a parameter.
        walk = reached(value, enters=lambda held: not (is_users_array(held)))
        return any(id(each.value) in ids or _shares(each.value, own) for each in walk)

    # The call

    def _call_with(self, passed: Mapping[str, ast.expr], takes: Sequence[str]) -> Filled:
        own = self._names_of(takes)
        call = self._call({**passed, **{argument: _name(own[argument]) for argument in own}})
        found = self._written(call, self._statements, [*own.values()])
        if found is None:
            raise self._takes_none()
        return found

    def _call(self, passed: Mapping[str, ast.expr]) -> ast.Call:
        """Return a call with these expressions for some arguments."""
        call = ast.Call(_name(USERS), [], [])
        for each in self.arguments:
            if each.name not in passed:
                continue
            skipped = len(call.args) + len(call.keywords) < self.arguments.index(each)
            if skipped or each.kind is inspect.Parameter.KEYWORD_ONLY:
                call.keywords.append(ast.keyword(each.name, passed[each.name]))
            else:
                call.args.append(passed[each.name])
        return call

    def _written(
        self, tree: ast.expr, before: Sequence[Statement], takes: Sequence[str] = ()
    ) -> Filled | None:
        """Write a function of the parameters that evaluates an expression of the notebook.

        `before` are the statements before the expression, and `takes` the arguments of the function
        that are known. Return None if the expression does not depend on the parameters.
        """
        is_own = (self.own | set(takes)).__contains__
        leading = leading_to(
            tree,
            before,
            lambda name: is_own(name) or self._is_parameter(name),
            is_own,
            self._is_object,
        )
        bound = {name for each in leading for name in each.assigned}
        read = {*names_read(tree), *(name for each in leading for name in each.read)} - bound
        own = {name for name in read if is_own(name)}
        reads_elsewhere = any(self._is_parameter(name) for name in read - own)
        if not (own or reads_elsewhere):
            return None
        if not takes or reads_elsewhere:
            takes = [] if reads_elsewhere else self._taking(own)
        scope = {name: self._value(name, before) for name in read if name in self.available}
        made = self._made(takes, leading, tree, scope)
        by_name = [n for n in names_read(tree) if n in self.available and n not in own]
        return Filled(made, [self._note(tree, leading, by_name)])

    def _taking(self, own: set[str]) -> list[str]:
        """Return the arguments of a function that reads some of the parameters by name."""
        if own == {self.root}:
            return [self.root]
        if own <= set(self.arrays) and all(each.isidentifier() for each in self.arrays):
            return self.arrays
        # It reads the notebook's own arrays, which are moved in place.
        return []

    def _value(self, name: str, before: Sequence[Statement]) -> Any:
        """Return the value of a variable when the expression was evaluated in the cell."""
        after = self._statements[len(before) :]
        if name in self.available.before and any(name in each.assigned for each in after):
            return self.available.before[name]
        return self.available.values[name]

    def _made(
        self,
        takes: Sequence[str],
        leading: Sequence[Statement],
        tree: ast.expr,
        scope: dict[str, Any],
    ) -> Callable[..., Any]:
        """Return a function that runs some statements, and returns the value of an expression."""
        module = ast.parse(f"def {USERS}({', '.join(takes)}): pass")
        body = [*(each.node for each in leading), ast.Return(tree)]
        module.body[0].body = copy.deepcopy(body)  # type: ignore[attr-defined]
        code = compile(ast.fix_missing_locations(module), "<--cost>", "exec")
        # Only what it reads: the rest of the notebook need not be kept alive.
        scope = {**scope, USERS: self.function, "__name__": "__main__"}
        local: dict[str, Any] = {}
        exec(code, scope, local)  # noqa: S102 (the user's own statements)
        function: Callable[..., Any] = local[USERS]
        function.__name__ = function.__qualname__ = self.name
        return function

    # Sentences

    def _spoken(self, tree: ast.AST) -> str:
        return ast.unparse(tree).replace(USERS, self.name)

    def _note(self, tree: ast.expr, leading: Sequence[Statement], by_name: Iterable[str]) -> str:
        parts = [f"`{self._spoken(tree)}` was evaluated"]
        anew = {name for each in leading for name in each.bound}
        taken = [name for name in by_name if name not in anew and self._is_data(name)]
        if taken:
            parts.append(f"with the notebook's {listed(taken)}")
        if leading:
            code = ast.unparse(leading[-1].node)
            is_short = len(leading) == 1 and len(code) <= LONGEST_QUOTED and "\n" not in code
            what = f"`{code}`" if is_short else f"the {counted(len(leading), 'statement')} before"
            parts.append(f"after {what}" if is_short else f"after {what} it that matter")
        return f"{', '.join(parts)}."

    def _is_data(self, name: str) -> bool:
        value = self.available.values[name]
        return not (inspect.ismodule(value) or callable(value))

    def _misses(self, takes: Sequence[str], missing: Sequence[str]) -> InputError:
        shown = {each: _name(each) for each in self.required}
        call = self._spoken(self._call(shown))
        gaps = {each: ast.parse(f"{each}_", mode="eval").body for each in missing}
        line = self._spoken(self._call({**shown, **gaps}))
        for each in missing:
            line = line.replace(f"{each}_", "...")
        return InputError(
            f"`{call}` needs {listed(missing)}, which the notebook does not have: assign it, or "
            f'say what to pass: -c "lambda {", ".join(takes)}: {line}" (in Python, arguments=...).'
        )

    def _takes_none(self) -> InputError:
        call = self._spoken(self._call({each: _name(each) for each in self.required}))
        return InputError(
            f"`{call}` does not take `{self.parameters.name}`, and nothing that it takes was "
            f'computed from it in a cell: say how, with -c "lambda '
            f'{self.root or "params"}: ..." (in Python, pass such a function).'
        )

    def _called_differently(self, calls: Iterable[str]) -> InputError:
        root = self.root or ", ".join(self.arrays)
        lines = " or ".join(f'-c "lambda {root}: {call}"' for call in calls)
        return InputError(
            f"The cell calls `{self.name}` in more than one way: say which is the cost, with "
            f"{lines}."
        )

    def _ambiguous(self, alike: Sequence[str]) -> InputError:
        call = self._spoken(self._call({each: _name(each) for each in self.required}))
        lines = " or ".join(f'-c "lambda {each}: {call}"' for each in alike)
        return InputError(
            f"{listed(alike)} may each be the parameters in `{call}`: say which, with {lines}."
        )


UNBOUND = object()


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _shape_of(value: Any) -> tuple[int, ...]:
    """Return the shape of an array or a number; that of anything else is empty, too."""
    with suppress(Exception):  # lists of different lengths, or the user's own
        return np.shape(value)
    return ()


def _parts(value: object) -> tuple[object, ...]:
    # From Python 3.13 on, one instruction may load two variables.
    return value if isinstance(value, tuple) else (value,)


def _shares(value: object, parameters: Sequence[Parameter]) -> bool:
    """Return True for an array in the memory of a parameter, such as a view of it."""
    return isinstance(value, np.ndarray) and any(share(value, each.array) for each in parameters)
