"""Functions of the parameters that evaluate an expression of the notebook anew.

What the expression reads is what the notebook has; what was computed from the parameters before is
computed anew, by the statements of the cells that lead to it.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck_magic._cost.reached import reached
from gradcheck_magic._inputs.arrays import is_users_array, library_of, share
from gradcheck_magic._inputs.computed import Computed, Statement, leading_to, names_read
from gradcheck_magic._inputs.parameters import Parameter, Parameters
from gradcheck_magic._wording import counted, listed

__all__ = ["USERS", "Available", "Filled", "Writer"]

# The name under which a written function finds the user's.
USERS = "__function__"
# Longer code is not quoted.
LONGEST_QUOTED = 100
UNBOUND = object()


@dataclass(frozen=True, eq=False)
class Available:
    """What may be passed to a function besides the parameters.

    Attributes
    ----------
    values : mapping
        The values by name, such as the variables of a notebook.
    before : mapping
        The same before the cell ran that makes the check.
    cells : callable
        Returns the code of the cells that have run; that of this cell is the last.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    cells: Callable[[], Sequence[str]] = list

    def __contains__(self, name: object) -> bool:
        # Such a name is that of nothing in particular: IPython's last result is in `_`.
        return isinstance(name, str) and name in self.values and not name.startswith("_")

    @cached_property
    def computed(self) -> Computed:
        """How the values were computed."""
        return Computed(self.cells())


@dataclass(frozen=True, eq=False)
class Filled:
    """A function of the parameters alone.

    Attributes
    ----------
    function : object
        The function: the user's own if it takes nothing else.
    notes : list of str
        How the user's own is called, if it is another.
    reads : list of str
        The variables of the notebook that it reads.
    """

    function: Any
    notes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)


class Writer:
    """Writes functions of some parameters.

    Parameters
    ----------
    function : object
        What an expression calls by the name `USERS`.
    name : str
        Its name in sentences.
    parameters : Parameters
        The parameters.
    available : Available
        What else there is.

    Attributes
    ----------
    root : str
        The variable that holds all parameters; empty if there is none.
    arrays : list of str
        The names of the parameters.
    own : set of str
        The variables that are parameters, or hold all of them.
    """

    def __init__(
        self, function: object, name: str, parameters: Parameters, available: Available
    ) -> None:
        self.function, self.name = function, name
        self.parameters, self.available = parameters, available
        self.arrays = [parameter.name for parameter in parameters.arrays]
        values, root, container = available.values, parameters.name, parameters.container
        is_root = root.isidentifier() and values.get(root, container) is container
        self.root = root if is_root else ""
        held = {parameter.name: parameter.value for parameter in parameters.arrays}
        self.own = {name for name, value in held.items() if values.get(name, UNBOUND) is value}
        self.own |= {self.root} & values.keys()
        self._known: dict[str, bool] = {}

    @cached_property
    def statements(self) -> list[Statement]:
        """The statements of the cells."""
        return self.available.computed.statements(self.own.__contains__, self._is_object)

    def is_parameter(self, name: str) -> bool:
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
        is_data = isinstance(value, (list, tuple, dict, set, np.ndarray)) or library_of(value)
        return not is_data and self.is_parameter(name)

    def _reaches(self, value: object) -> bool:
        own = self.parameters.arrays
        ids = {id(parameter.value) for parameter in own if not parameter.is_number}
        # A result may remember what it was computed from, without being a parameter.
        walk = reached(value, enters=lambda held: not is_users_array(held))
        return any(id(each.value) in ids or _shares(each.value, own) for each in walk)

    def written(
        self, tree: ast.expr, before: Sequence[Statement], takes: Sequence[str] = ()
    ) -> Filled | None:
        """Return a function that evaluates an expression; None if it depends on no parameter.

        Parameters
        ----------
        tree : ast.expr
            The expression.
        before : sequence of Statement
            The statements before it.
        takes : sequence of str
            The arguments of the function, as far as they are known.
        """
        own = self.own | set(takes)
        leading = leading_to(
            tree,
            before,
            lambda name: name in own or self.is_parameter(name),
            own.__contains__,
            self._is_object,
        )
        bound = {name for each in leading for name in each.assigned}
        read = dict.fromkeys([*names_read(tree), *(n for each in leading for n in each.read)])
        free = [name for name in read if name not in bound]
        named = own & set(free)
        reads_elsewhere = any(self.is_parameter(name) for name in free if name not in named)
        if not (named or reads_elsewhere):
            return None
        if reads_elsewhere or not takes:
            takes = [] if reads_elsewhere else self._taking(named)
        scope = {n: self._value(n, before) for n in free if n in self.available.values}
        made = self.made(takes, leading, tree, scope)
        data = [name for name in names_read(tree) if name in scope and name not in named]
        return Filled(made, [self._note(tree, leading, filter(self._is_data, data))], [*scope])

    def _taking(self, named: set[str]) -> list[str]:
        """Return the arguments of a function that reads some of the parameters by name."""
        if named == {self.root}:
            return [self.root]
        if named <= set(self.arrays) and all(name.isidentifier() for name in self.arrays):
            return self.arrays
        # It reads the notebook's own arrays, which are moved in place.
        return []

    def _value(self, name: str, before: Sequence[Statement]) -> Any:
        """Return the value of a variable when the expression was evaluated in the cell."""
        after = self.statements[len(before) :]
        if name in self.available.before and any(name in each.assigned for each in after):
            return self.available.before[name]
        return self.available.values[name]

    def made(
        self,
        takes: Sequence[str],
        leading: Sequence[Statement],
        tree: ast.expr,
        scope: Mapping[str, Any],
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

    def spoken(self, tree: ast.AST) -> str:
        """Return code as the user would write it."""
        return ast.unparse(tree).replace(USERS, self.name)

    def _note(self, tree: ast.expr, leading: Sequence[Statement], data: Iterable[str]) -> str:
        parts = [f"`{self.spoken(tree)}` was evaluated"]
        anew = {name for each in leading for name in each.bound}
        taken = [name for name in data if name not in anew]
        if taken:
            parts.append(f"with the notebook's {listed(taken)}")
        if leading:
            code = ast.unparse(leading[-1].node)
            is_short = len(leading) == 1 and len(code) <= LONGEST_QUOTED and "\n" not in code
            many = f"the {counted(len(leading), 'statement')} of the notebook that lead to it"
            parts.append(f"after `{code}`" if is_short else f"after {many}")
        return f"{', '.join(parts)}."

    def _is_data(self, name: str) -> bool:
        value = self.available.values[name]
        return not (inspect.ismodule(value) or callable(value))


def _shares(value: object, parameters: Sequence[Parameter]) -> bool:
    """Return True for an array in the memory of a parameter, such as a view of it."""
    return isinstance(value, np.ndarray) and any(share(value, each.array) for each in parameters)
