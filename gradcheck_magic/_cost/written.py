"""Functions of the parameters that evaluate an expression of the notebook anew.

What the expression reads is what the notebook has; what was computed from the parameters before is
computed anew, by the statements of the cells that lead to it.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck_magic._cost.evaluation import is_one_number
from gradcheck_magic._cost.reached import reached
from gradcheck_magic._inputs.arrays import (
    from_library,
    is_array,
    is_users_array,
    library_of,
    share,
)
from gradcheck_magic._inputs.computed import (
    Computed,
    Leading,
    Roles,
    leading_to,
)
from gradcheck_magic._inputs.effects import Statement, declared_global, names_read, read_within
from gradcheck_magic._inputs.objects import holds_objects
from gradcheck_magic._inputs.parameters import Parameter, Parameters
from gradcheck_magic._wording import counted, listed
from gradcheck_magic.errors import InputError

__all__ = ["USERS", "Available", "Filled", "Writer"]

# The name under which a written function finds the user's.
USERS = "__function__"
# Longer code is not quoted.
LONGEST_QUOTED = 100
# And that under which it finds what copies a value.
COPY = "__copy__"
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
    line : str
        The function as a lambda, without the statements that come before.
    expected : float or None
        What it returned in the notebook, if that is known.
    """

    function: Any
    notes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    line: str = ""
    expected: float | None = None


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
        self.arrays = [parameter.name for parameter in parameters.leaves]
        values, root, container = available.values, parameters.name, parameters.container
        is_root = root.isidentifier() and values.get(root, container) is container
        self.root = root if is_root else ""
        held = {parameter.name: parameter.value for parameter in parameters.leaves}
        self.own = {name for name, value in held.items() if values.get(name, UNBOUND) is value}
        self.own |= {self.root} & values.keys()
        self._known: dict[str, bool] = {}

    @cached_property
    def statements(self) -> list[Statement]:
        """The statements of the cells."""
        return self.available.computed.statements(self._roles(self.own))

    def _roles(self, own: Container[str]) -> Roles:
        return Roles(
            lambda name: name in own or self.is_parameter(name),
            own.__contains__,
            self._is_object,
            self._views,
            {name.rpartition(".")[2] for name in self.arrays},
        )

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        held = self.available.values.items()
        return {name: value for name, value in held if isinstance(value, np.ndarray)}

    def _views(self, name: str) -> list[str]:
        """Return the other names of an array's memory."""
        its = self._arrays.get(name)
        if its is None:
            return []
        held = self._arrays.items()
        return [other for other, value in held if other != name and share(its, value)]

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
        return (not is_data or holds_objects(value)) and self.is_parameter(name)

    def _reaches(self, value: object) -> bool:
        own = self.parameters.leaves
        ids = {id(parameter.value) for parameter in own if not parameter.is_number}
        # A result may remember what it was computed from, without being a parameter.
        walk = reached(value, enters=lambda held: not is_users_array(held))
        return any(id(each.value) in ids or _shares(each.value, own) for each in walk)

    def written(
        self, tree: ast.expr, stop: int | None = None, takes: Sequence[str] = ()
    ) -> Filled | None:
        """Return a function that evaluates an expression; None if it depends on no parameter.

        Parameters
        ----------
        tree : ast.expr
            The expression.
        stop : int, optional
            The number of statements before it; by default, all are.
        takes : sequence of str
            The arguments of the function, as far as they are known.

        Raises
        ------
        InputError
            If it depends on a parameter, and on something else that an earlier cell has computed
            from one: that may be held fixed, or not.
        """
        own, stop = self.own | set(takes), len(self.statements) if stop is None else stop
        leading, old = self._leading(tree, stop, own, anywhere=False)
        everywhere = self._leading(tree, stop, own, anywhere=True)
        free = self._free(tree, leading)
        if self._depends(free, own):
            earlier = [each for each in everywhere.statements if each.cell != self._cell(stop)]
            if (held := self._computed_in(earlier, own, free)) is not None:
                raise self._held_or_not(tree, held)
        else:
            leading, old = everywhere
            free = self._free(tree, leading)
            if not self._depends(free, own):
                return None
        named = [name for name in free if name in own]
        reads_elsewhere = self._depends([name for name in free if name not in own], set())
        if reads_elsewhere or not takes:
            takes = [] if reads_elsewhere else self._taking(set(named))
        values, before = self.available.values, self.available.before
        scope = {name: values[name] for name in free if name in values}
        scope |= {name: before[name] for name in free if name in old and name in before}
        made = self.made(takes, leading, tree, scope)
        data = [name for name in names_read(tree) if name in scope and name not in named]
        note = self._note(tree, leading, filter(self._is_data, data))
        line = f"lambda {', '.join(takes)}: {self.spoken(tree)}".replace("lambda :", "lambda:")
        return Filled(made, [note], [*scope], line, self._expected(tree, stop))

    def computes_anew(self, tree: ast.expr) -> bool:
        """Return True if plain assignments of the cell compute from θ what an expression reads.

        Anything else, such as a call that fills a variable, may have been meant to happen once.
        """
        leading = self._leading(tree, len(self.statements), self.own, anywhere=False).statements
        here = self._cell(len(self.statements))
        return bool(leading) and all(each.is_plain and each.cell == here for each in leading)

    def _leading(self, tree: ast.expr, stop: int, own: set[str], *, anywhere: bool) -> Leading:
        """Return the statements before an expression, of its own cell or of all."""
        was_there = {name for each in self.statements for name in each.bound}
        was_there |= self.available.before.keys()
        return leading_to(
            self._read(tree),
            self.statements,
            stop,
            self._roles(own),
            here=None if anywhere else self._cell(stop),
            deleted=was_there - self.available.values.keys(),
        )

    def _cell(self, stop: int) -> int:
        """Return the cell of the statement at a position, or the last one."""
        return self.statements[min(stop, len(self.statements) - 1)].cell if self.statements else 0

    def _computed_in(
        self, statements: Sequence[Statement], own: set[str], free: Sequence[str]
    ) -> str | None:
        """Return a variable that some statements compute from the parameters, if there is one.

        If they are of an earlier cell, it may be meant to be held fixed, or not.
        """
        found: set[str] = set()
        for each in statements:
            if self._depends(each.values_read - found, own) or each.values_read & found:
                found |= each.assigned
        return next((name for name in free if name in found and not self.is_parameter(name)), None)

    def _free(self, tree: ast.expr, leading: Sequence[Statement]) -> list[str]:
        """Return the variables whose values come from the notebook."""
        bound, free = set[str](), dict[str, None]()
        for part in (*leading, None):
            read = self._read(tree) if part is None else part.read
            free.update((name, None) for name in read if name not in bound)
            bound |= part.assigned if part else set()
        return [*free]

    def _read(self, tree: ast.expr) -> list[str]:
        """Return what an expression reads, and the functions that it calls."""
        names = list(names_read(tree))
        return list(dict.fromkeys([*names, *read_within(names, self.available.computed.functions)]))

    def _defined_anew(self, tree: ast.expr, leading: Sequence[Statement]) -> list[ast.stmt]:
        """Return the definitions of functions that read what some statements compute anew."""
        anew = {name for each in leading for name in each.bound}
        read = {name for each in leading for name in each.read}.union(self._read(tree))
        functions = self.available.computed.functions
        return [
            node
            for name, node in functions.items()
            if name in read and not anew.isdisjoint(read_within([name], functions))
        ]

    def _depends(self, names: Iterable[str], own: set[str]) -> bool:
        return any(name in own or self.is_parameter(name) for name in names)

    def _expected(self, tree: ast.expr, stop: int) -> float | None:
        """Return the number that an expression was in the notebook, if it is there still."""
        value = self.available.values.get(tree.id) if isinstance(tree, ast.Name) else None
        if isinstance(tree, ast.Name) and not callable(value):
            return _as_number(value)
        numbers = [
            number for number in map(_as_number, self._held(tree, stop)) if number is not None
        ]
        return numbers[0] if numbers else None

    def is_no_number(self, tree: ast.expr, stop: int) -> bool:
        """Return True if an expression was something else in the notebook, as is still known."""
        held = self._held(tree, stop)
        return bool(held) and all(is_array(each) and not is_one_number(each) for each in held)

    def _held(self, tree: ast.expr, stop: int) -> list[Any]:
        """Return what an expression was in the notebook, if it is there still."""
        after = self.statements[stop:]
        if not (after and isinstance(after[0].node, ast.Assign) and after[0].node.value is tree):
            return []
        (target, *_), rebound = after[0].node.targets, {n for each in after[1:] for n in each.bound}
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(each, ast.Name) and each.id not in rebound for each in names):
            return []
        return [self.available.values.get(e.id) for e in names if isinstance(e, ast.Name)]

    def _taking(self, named: set[str]) -> list[str]:
        """Return the arguments of a function that reads some of the parameters by name."""
        if named == {self.root}:
            return [self.root]
        if named <= set(self.arrays) and all(name.isidentifier() for name in self.arrays):
            return self.arrays
        # It reads the notebook's own arrays, which are moved in place.
        return []

    def made(
        self,
        takes: Sequence[str],
        leading: Sequence[Statement],
        tree: ast.expr,
        scope: Mapping[str, Any],
    ) -> Callable[..., Any]:
        """Return a function that runs some statements, and returns the value of an expression."""
        module = ast.parse(f"def {USERS}({', '.join(takes)}): pass")
        # What is changed before it is bound begins with the notebook's value, in a copy.
        bound = {name for each in leading for name in each.assigned | each.rebound}
        first = [name for name in self._free(tree, leading) if name in bound & scope.keys()]
        scope = {**scope, COPY: copy.copy, **{f"{USERS}{name}": scope[name] for name in first}}
        code = "\n".join(f"{name} = {COPY}({USERS}{name})" for name in first)
        functions = self._defined_anew(tree, leading)
        # What they bind outside of themselves, they share with the rest.
        shared = sorted({name for each in functions for name in declared_global(each)})
        body: list[ast.stmt] = [ast.Global(shared)] if shared else []
        body += [*ast.parse(code).body, *functions]
        body += [*(each.node for each in leading), ast.Return(tree)]
        module.body[0].body = copy.deepcopy(body)  # type: ignore[attr-defined]
        compiled = compile(ast.fix_missing_locations(module), "<--cost>", "exec")
        # Only what it reads: the rest of the notebook need not be kept alive.
        scope = {**scope, USERS: self.function, "__name__": "__main__"}
        local: dict[str, Any] = {}
        exec(compiled, scope, local)  # noqa: S102 (the user's own statements)
        function: Callable[..., Any] = local[USERS]
        function.__name__ = function.__qualname__ = self.name
        return function

    def _held_or_not(self, tree: ast.expr, name: str) -> InputError:
        return InputError(
            f"`{name}` in `{self.spoken(tree)}` was computed from `{self.parameters.name}` in an "
            "earlier cell: compute it in the cell of the check, or hold it fixed with -c "
            f'"lambda {", ".join(self._taking(self.own)) or "..."}: {self.spoken(tree)}".'
        )

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
            lead = "lead" if len(leading) > 1 else "leads"
            many = f"the {counted(len(leading), 'statement')} of the notebook that {lead} to it"
            parts.append(f"after `{code}`" if is_short else f"after {many}")
        return f"{', '.join(parts)}."

    def _is_data(self, name: str) -> bool:
        value = self.available.values[name]
        return not (inspect.ismodule(value) or callable(value))


def _as_number(value: Any) -> float | None:
    if not is_one_number(value):
        return None
    return float(np.real(np.asarray(from_library(value, ""))).item())


def _shares(value: object, parameters: Sequence[Parameter]) -> bool:
    """Return True for an array in the memory of a parameter, such as a view of it."""
    return isinstance(value, np.ndarray) and any(share(value, each.array) for each in parameters)
