"""How the cells of a notebook have computed a value: the statements that lead to it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Computed", "Statement", "leading_to", "names_read"]

# At most this many cells are looked at, the last ones.
MOST_CELLS = 200
# What does not change if parameters are moved.
OF_SHAPE = {"shape", "size", "ndim", "dtype"}
LOOPS = (ast.For, ast.While, ast.With, ast.If, ast.Try, ast.Match)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Methods that change parameters or their gradients: a loop with one of them trains a network. Dicts
# have an `update`, too.
TRAINING = {"backward", "step", "fit", "train", "update"}

IsParameter = Callable[[str], bool]


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement that a cell runs by itself.

    Attributes
    ----------
    node : ast.stmt
        The statement.
    cell : int
        The number of the cell.
    assigned : frozenset of str
        The variables that it binds anew.
    rebound : frozenset of str
        The variables that it may bind, or binds to what is made of them: ``x += 1``.
    mutated : frozenset of str
        The variables to whose objects it assigns: ``x[0] = 1``.
    called : frozenset of str
        The variables whose methods it calls for their effect: ``layer.forward(x)``.
    """

    node: ast.stmt
    cell: int
    assigned: frozenset[str]
    rebound: frozenset[str]
    mutated: frozenset[str]
    called: frozenset[str]

    @cached_property
    def read(self) -> frozenset[str]:
        """The variables that it reads."""
        is_definition = isinstance(self.node, DEFINITIONS)
        return frozenset() if is_definition else frozenset(names_read(self.node))

    @cached_property
    def values_read(self) -> frozenset[str]:
        """Those of which it does not only read the shape."""
        is_definition = isinstance(self.node, DEFINITIONS)
        return frozenset() if is_definition else frozenset(_names(self.node, shapes=False))

    @property
    def bound(self) -> frozenset[str]:
        """All variables that it binds or changes."""
        return self.assigned | self.changed

    @property
    def changed(self) -> frozenset[str]:
        """Those that may keep something of what they were."""
        return (self.rebound | self.mutated | self.called) - self.assigned


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

    def statements(self, is_own: IsParameter, is_object: IsParameter) -> list[Statement]:
        """Return all statements in order; a loop that trains the network stands for one round.

        `is_own` and `is_object` are those of `leading_to`.
        """
        return [
            _statement(each, cell)
            for cell, node in self._parsed
            for each in _opened(node, is_own, is_object)
        ]

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


def _is_magic(node: ast.stmt) -> bool:
    return ast.unparse(node).startswith("get_ipython().run_")


def leading_to(
    tree: ast.AST,
    before: Sequence[Statement],
    is_parameter: IsParameter,
    is_own: IsParameter,
    is_object: IsParameter,
) -> list[Statement]:
    """Return the statements that compute what an expression reads from the parameters.

    Parameters
    ----------
    tree : ast.AST
        The expression.
    before : sequence of Statement
        The statements that ran before it.
    is_parameter : callable
        Returns True for the name of a parameter, or of an object that holds or reads some.
    is_own : callable
        Returns True for the name of a parameter: nothing that binds one is run again.
    is_object : callable
        Returns True for the name of an object, such as a layer, that holds some.
    """
    usable = [k for k, each in enumerate(before) if not _trains(each.node, is_own, is_object)]
    relevant = _relevant(set(names_read(tree)), before, usable)
    derived = _derived(before, relevant, is_parameter)
    chosen: list[Statement] = []
    needed, must = set(names_read(tree)), set[str]()
    for k in reversed(relevant):
        statement = before[k]
        # A layer's `forward` keeps what comes next; whatever else is done to it has been done.
        if any(map(is_object, statement.mutated)):
            continue
        if any(map(is_object, statement.called)) and not _is_beside(statement, chosen):
            continue
        is_needed = bool(statement.bound & needed & (derived[k] | must))
        needed -= statement.assigned
        must -= statement.assigned
        if is_needed:
            chosen.append(statement)
            needed |= statement.read
            # What is changed must begin anew each time; parameters are moved where they are.
            must |= {name for name in statement.changed if not is_object(name)}
    return chosen[::-1]


def _is_beside(statement: Statement, chosen: Sequence[Statement]) -> bool:
    """Return True for a statement in the cell of those that were chosen before."""
    return not chosen or statement.cell == chosen[0].cell


def _relevant(needed: set[str], before: Sequence[Statement], usable: Sequence[int]) -> list[int]:
    """Return the positions of statements that may have to do with some variables."""
    found = []
    for k in reversed(usable):
        if before[k].bound & needed:
            found.append(k)
            needed = needed | before[k].read
    return found[::-1]


def _derived(
    before: Sequence[Statement], relevant: Iterable[int], is_parameter: IsParameter
) -> dict[int, set[str]]:
    """Return which of the variables that each statement binds come from parameters then."""
    now: dict[str, int] = {}
    after: dict[int, set[str]] = {}
    for k in relevant:
        statement = before[k]
        # What one cell makes of its own last result, such as a state, is data for the next.
        reads = [
            name
            for name in statement.values_read
            if is_parameter(name)
            or (name in now and not (name in statement.bound and now[name] != statement.cell))
        ]
        for name in statement.assigned:
            now.pop(name, None)
        if reads:
            now.update(dict.fromkeys(statement.bound, statement.cell))
        after[k] = {name for name in statement.bound if name in now}
    return after


def _opened(node: ast.stmt, is_own: IsParameter, is_object: IsParameter) -> Iterator[ast.stmt]:
    """Yield a statement, or what is inside a loop that trains."""
    if not (isinstance(node, LOOPS) and _trains(node, is_own, is_object)):
        yield node
        return
    for part in ("body", "orelse", "finalbody"):
        for inner in getattr(node, part, ()):
            yield from _opened(inner, is_own, is_object)


def _trains(node: ast.stmt, is_own: IsParameter, is_object: IsParameter) -> bool:
    """Return True for a statement that changes parameters or gradients, but for what it returns."""
    statement = _statement(node, 0)
    # A layer keeps what it computes.
    changed = statement.bound - {name for name in statement.called if is_object(name)}
    changed |= statement.mutated
    calls = (each.value for each in ast.walk(node) if isinstance(each, ast.Expr))
    return any(map(is_own, changed)) or any(_is_training(each, is_object) for each in calls)


def _is_training(call: ast.expr, is_object: IsParameter) -> bool:
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    name = call.func.attr
    is_needed = name == "update" and not any(map(is_object, _base(call.func)))
    return name in TRAINING and not is_needed


def _statement(node: ast.stmt, cell: int) -> Statement:
    assigned, rebound, mutated, called = set[str](), set[str](), set[str](), set[str]()
    match node:
        case ast.Assign(targets=targets):
            for target in targets:
                _add_target(target, assigned, mutated)
        case ast.AnnAssign(target=target, value=ast.expr()):
            _add_target(target, assigned, mutated)
        case ast.AugAssign(target=target):
            _add_target(target, rebound, mutated)
        case ast.Expr(value=ast.Call() as call):
            called.update(_changed_by(call))
    if isinstance(node, DEFINITIONS):
        assigned.add(node.name)
    elif isinstance(node, LOOPS):
        for inner in _inside(node):
            rebound |= inner.assigned | inner.rebound
            mutated |= inner.mutated
            called |= inner.called
        rebound |= _stored(node)
    return Statement(node, cell, *map(frozenset, (assigned, rebound, mutated, called)))


def _changed_by(call: ast.Call) -> Iterator[str]:
    """Yield what a call may change: ``layer.forward(x)`` keeps something in `layer`."""
    if isinstance(call.func, ast.Attribute):
        yield from _base(call.func)
        # `np.add.at(x, k, y)` changes `x`.
        if ast.unparse(call.func).startswith("np.") and call.args:
            yield from _base(call.args[0])


def _inside(node: ast.stmt) -> Iterator[Statement]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.stmt) and inner is not node and not isinstance(inner, LOOPS):
            yield _statement(inner, 0)


def _stored(tree: ast.AST) -> set[str]:
    """Return the variables that some code binds by their names."""
    names = (each for each in ast.walk(tree) if isinstance(each, ast.Name))
    return {each.id for each in names if isinstance(each.ctx, ast.Store)}


def _add_target(target: ast.expr, named: set[str], mutated: set[str]) -> None:
    match target:
        case ast.Name(id=name):
            named.add(name)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                _add_target(part, named, mutated)
        case ast.Starred(value=part):
            _add_target(part, named, mutated)
        case _:
            mutated.update(_base(target))


def _base(node: ast.expr) -> Iterator[str]:
    """Yield the variable to which an attribute or an item belongs."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def names_read(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the variables that some code reads, each once."""
    yield from dict.fromkeys(_names(tree, shapes=True))


def _names(tree: ast.AST, *, shapes: bool) -> Iterator[str]:
    match tree:
        case ast.Name(id=name, ctx=ast.Load()):
            yield name
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            yield name
            yield from _names(value, shapes=shapes)
        case ast.Attribute(attr=attribute) if attribute in OF_SHAPE and not shapes:
            pass
        case ast.Call(func=ast.Name(id="len")) if not shapes:
            pass
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            own = {name for each in tree.generators for name in _stored(each.target)}
            for part in ast.iter_child_nodes(tree):
                yield from (name for name in _names(part, shapes=shapes) if name not in own)
        case ast.Lambda(args=arguments, body=body):
            yield from _names(arguments, shapes=shapes)  # the defaults
            own = {each.arg for each in ast.walk(arguments) if isinstance(each, ast.arg)}
            yield from (name for name in _names(body, shapes=shapes) if name not in own)
        case _:
            for part in ast.iter_child_nodes(tree):
                yield from _names(part, shapes=shapes)
