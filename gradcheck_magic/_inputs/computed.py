"""How the cells of a notebook have computed a value: the statements that lead to it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from gradcheck_magic._inputs.effects import (
    DEFINITIONS,
    LOOPS,
    Functions,
    Statement,
    added_to,
    base_of,
    bound_anew,
    statement_of,
)

__all__ = ["Computed", "Leading", "Roles", "leading_to"]

# At most this many cells are looked at, the last ones.
MOST_CELLS = 200
# Methods whose results no longer change with what they were computed from.
COPYING = {"copy", "deepcopy", "detach"}
# What binds names of its own.
SCOPES = (*DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Methods that change parameters or their gradients: a loop with one of them trains a network. Dicts
# have an `update`, too.
TRAINING = {"backward", "step", "fit", "train", "update"}
IsParameter = Callable[[str], bool]


class Computed:
    """The statements of the cells of a notebook.

    Parameters
    ----------
    cells : sequence of str
        The code of the cells, in the order in which they ran. What is no Python is left out.
    """

    def __init__(self, cells: Sequence[str]) -> None:
        # Of a cell that ran more than once, the last run counts.
        last = {cell: k for k, cell in enumerate(cells)}
        self._cells = [cell for k, cell in enumerate(cells) if last[cell] == k][-MOST_CELLS:]

    @cached_property
    def _parsed(self) -> list[tuple[int, ast.stmt]]:
        found = []
        for k, cell in enumerate(self._cells):
            with suppress(SyntaxError, ValueError, RecursionError):
                found += [(k, node) for node in ast.parse(cell).body]
        return found

    @cached_property
    def left_over(self) -> set[str]:
        """The variables that nothing but loops has bound, such as `p` in ``for p in params``."""
        inside = [each for _, node in self._parsed for each in _in_same_scope(node)]
        loops = [each.target for each in inside if isinstance(each, ast.For)]
        targets = {id(node) for target in loops for node in ast.walk(target)}
        bound = {
            (each.id, id(each) in targets)
            for each in inside
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        return {name for name, is_loops in bound if is_loops and (name, False) not in bound}

    def statements(self, roles: Roles) -> list[Statement]:
        """Return all statements in order; a loop that trains the network stands for one round."""
        opened = [(cell, each) for cell, node in self._parsed for each in self._opened(node, roles)]
        # What has the memory of another array now, had it since both were bound.
        since = {name: k for k, (_, node) in enumerate(opened) for name in bound_anew(node)}
        return [
            _with_views(statement_of(node, cell, self.functions), roles, k, since)
            for k, (cell, node) in enumerate(opened)
        ]

    def _opened(self, node: ast.stmt, roles: Roles) -> Iterator[ast.stmt]:
        """Yield a statement, or what is inside a loop that trains."""
        if not (isinstance(node, LOOPS) and _trains(statement_of(node, 0, self.functions), roles)):
            yield node
            return
        whole = _without_backward(node)
        if whole is not None and not _trains(statement_of(whole, 0, self.functions), roles):
            yield whole
            return
        for part in ("body", "orelse", "finalbody"):
            for inner in getattr(node, part, ()):
                yield from self._opened(inner, roles)

    @cached_property
    def functions(self) -> Functions:
        """The statements that define the functions of the cells; the last one for each name."""
        found = Functions()
        for _, node in self._parsed:
            match node:
                case ast.FunctionDef(name=name):
                    found[name] = node
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda()):
                    found[name] = node
        return found

    def calls(self, statements: Sequence[Statement]) -> Iterator[tuple[int, ast.Call]]:
        """Yield the calls in the last cell, the last first, with the positions of statements.

        A cell that only calls a magic does not count.
        """
        own = [k for k, each in enumerate(statements) if not _is_magic(each.node)]
        for k in reversed(own):
            if statements[k].cell != statements[own[-1]].cell:
                return
            if not isinstance(statements[k].node, DEFINITIONS):
                for node in ast.walk(statements[k].node):
                    if isinstance(node, ast.Call):
                        yield k, node


def _in_same_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all inside it, but not what functions, classes and comprehensions bind."""
    yield node
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _in_same_scope(child)


def _is_magic(node: ast.stmt) -> bool:
    return ast.unparse(node).startswith("get_ipython().run_")


@dataclass(frozen=True)
class Roles:
    """What the names of a notebook stand for.

    Attributes
    ----------
    is_parameter : callable
        Returns True for the name of a parameter, or of an object that holds or reads some.
    is_own : callable
        Returns True for the name of a parameter: nothing that binds one is run again.
    is_object : callable
        Returns True for the name of an object, such as a layer, that holds some.
    views : callable
        Returns the names of all arrays in the memory of one of a given name.
    attributes : container of str
        The attributes, or keys, of objects that are parameters.
    """

    is_parameter: IsParameter
    is_own: IsParameter
    is_object: IsParameter
    views: Callable[[str], Iterable[str]] = lambda _: ()
    attributes: Container[str] = ()

    def is_array(self, name: str) -> bool:
        """Return True for the name of a parameter that is no object: binding it is an update."""
        return self.is_own(name) and not self.is_object(name)


class Leading(NamedTuple):
    """The statements that compute what an expression reads from the parameters.

    Attributes
    ----------
    statements : list of Statement
        The statements, in order.
    old : set of str
        The variables that had other values then: those from before the cell.
    """

    statements: list[Statement]
    old: set[str]


def leading_to(
    read: Iterable[str],
    statements: Sequence[Statement],
    stop: int,
    roles: Roles,
    *,
    here: int | None = None,
    deleted: Container[str] = (),
) -> Leading:
    """Return the statements that compute what an expression reads from the parameters.

    Parameters
    ----------
    read : iterable of str
        The variables that the expression reads.
    statements : sequence of Statement
        All statements.
    stop : int
        The number of those before the expression.
    roles : Roles
        What the names stand for.
    here : int, optional
        The cell of the expression: only what it computes is computed anew. By default, that of all
        cells is.
    deleted : container of str
        The variables that are no longer there.
    """
    last = here if here is not None else statements[-1].cell if statements else 0
    usable = [k for k in range(stop) if not _trains(statements[k], roles)]
    relevant = _relevant(set(read), statements, usable)
    derived, sources = _derived(statements, relevant, roles, last, anywhere=here is None)
    chosen: list[Statement] = []
    needed, must = set(read), set[str]()
    lost = _lost(needed, statements, stop, last, deleted)
    # Parameters whose values of then are no longer those that the expression reads.
    own, old_own = set(filter(roles.is_array, needed)), set[str]()
    for k in reversed(range(stop)):
        statement = statements[k]
        is_here = statement.cell == last
        if k not in derived:
            old_own |= own & statement.bound if is_here else set()
            continue
        # A layer's `forward` keeps what comes next; whatever else is done to it has been done.
        if any(map(roles.is_object, _bound_in(statement, roles))):
            continue
        if any(map(roles.is_object, statement.called)) and not is_here:
            continue
        again = statement.bound & lost if is_here else set()
        computed = derived[k] if sources[k] - old_own else set()
        is_needed = bool(statement.bound & needed & (computed | must | again))
        needed -= statement.assigned
        must -= statement.assigned
        lost -= statement.assigned if is_here else set()
        if is_needed:
            chosen.append(statement)
            needed |= statement.read
            own |= set(filter(roles.is_array, statement.values_read))
            lost |= _lost(statement.read, statements, k, last, deleted)
            # What is changed must begin anew each time; parameters are moved where they are.
            must |= {name for name in statement.changed if not roles.is_object(name)}
    old = {name for name in lost if not roles.is_parameter(name)}
    return Leading(chosen[::-1], old)


def _lost(
    read: Iterable[str],
    statements: Sequence[Statement],
    k: int,
    cell: int,
    deleted: Container[str],
) -> set[str]:
    """Return the variables among some that are bound again from the `k`-th statement on."""
    later = {name for each in statements[k:] if each.cell == cell for name in each.bound}
    return {name for name in read if name in later or name in deleted}


def _relevant(
    needed: set[str], statements: Sequence[Statement], usable: Sequence[int]
) -> list[int]:
    """Return the positions of statements that may have to do with some variables."""
    found = []
    for k in reversed(usable):
        if statements[k].bound & needed:
            found.append(k)
            needed = needed | statements[k].read
    return found[::-1]


def _derived(
    statements: Sequence[Statement],
    relevant: Iterable[int],
    roles: Roles,
    last: int,
    *,
    anywhere: bool,
) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """Return which variables that each statement binds come from parameters, and from which."""
    now: dict[str, set[str]] = {}
    after: dict[int, set[str]] = {}
    sources: dict[int, set[str]] = {}
    for k in relevant:
        statement = statements[k]
        reads = {name for name in statement.values_read if roles.is_parameter(name) or name in now}
        sources[k] = {source for name in reads for source in now.get(name, {name})}
        for name in statement.assigned:
            now.pop(name, None)
        # What an earlier cell makes of a variable itself is a state, and a copy is a value of then.
        is_here = statement.cell == last
        is_state = bool(statement.bound & statement.read) and not is_here
        if reads and (anywhere or is_here) and not (is_state or _is_copy(statement.node)):
            now.update(dict.fromkeys(statement.bound, sources[k]))
        after[k] = {name for name in statement.bound if name in now}
    return after, sources


def _is_copy(node: ast.stmt) -> bool:
    """Return True for ``w_old = w.copy()``, and what is like it."""
    match node:
        case ast.Assign(value=ast.Call(func=ast.Attribute(attr=name))):
            return name in COPYING
    return False


def _without_backward(node: ast.stmt) -> ast.stmt | None:
    """Return a loop that adds up a cost and its gradients, without its calls of ``backward()``.

    Gradients that are set to zero in it are only those of its last round.
    """
    inside = [*ast.walk(node)]
    adds = any(isinstance(e, ast.AugAssign) and isinstance(e.target, ast.Name) for e in inside)
    if not adds or any(isinstance(e, ast.Attribute) and e.attr == "zero_grad" for e in inside):
        return None
    (whole,) = ast.parse(ast.unparse(node)).body
    for each in ast.walk(whole):
        for name in ("body", "orelse", "finalbody"):
            held = getattr(each, name, None)
            if isinstance(held, list):
                held[:] = [ast.Pass() if _is_backward(inner) else inner for inner in held]
    return whole


def _is_backward(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="backward"))):
            return True
    return False


def _trains(statement: Statement, roles: Roles) -> bool:
    """Return True for a statement that changes parameters or gradients, but for what it returns."""
    # A layer keeps what it computes.
    changed = statement.bound - {name for name in statement.called if roles.is_object(name)}
    changed |= _bound_in(statement, roles)
    calls = (each.value for each in ast.walk(statement.node) if isinstance(each, ast.Expr))
    trains = any(_is_training(each, roles.is_object) for each in calls)
    return trains or any(map(roles.is_own, changed))


def _bound_in(statement: Statement, roles: Roles) -> set[str]:
    """Return the variables to whose objects a statement assigns more than activations."""
    known = statement.places
    is_kept = bool(known) and "" not in known and not any(e in roles.attributes for e in known)
    return {name for name in statement.mutated if not (is_kept and roles.is_object(name))}


def _is_training(call: ast.expr, is_object: IsParameter) -> bool:
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    name = call.func.attr
    is_needed = name == "update" and not any(map(is_object, base_of(call.func)))
    return name in TRAINING and not is_needed


def _with_views(statement: Statement, roles: Roles, k: int, since: Mapping[str, int]) -> Statement:
    """Return a statement that also changes other names of the memory that it changes."""
    # A loop only binds its variable: `for x in X` does not change `X`.
    changed = statement.mutated | statement.called | added_to(statement.node)
    others = {
        other
        for name in changed
        for other in roles.views(name)
        if max(since.get(name, -1), since.get(other, -1)) < k
    }
    return replace(statement, mutated=statement.mutated | (others - changed))
