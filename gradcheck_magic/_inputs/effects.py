"""What a statement binds, reads and changes, as far as its text tells."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = [
    "CHANGES_FIRST",
    "DEFINITIONS",
    "LOOPS",
    "Functions",
    "Statement",
    "added_to",
    "base_of",
    "bound_anew",
    "declared_global",
    "names_read",
    "read_within",
    "statement_of",
]

# What does not change if parameters are moved.
OF_SHAPE = {"shape", "size", "ndim", "dtype"}
LOOPS = (ast.For, ast.While, ast.With, ast.If, ast.Try, ast.Match)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Functions that change their first argument.
CHANGES_FIRST = {"at", "copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"}


class Functions(dict[str, ast.FunctionDef | ast.Assign]):
    """The statements that define functions of the cells, by their names; lambdas have some, too."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[str, set[str]] = {}
        self._read: dict[str, set[str]] = {}

    def changed_by(self, name: str) -> set[str]:
        """Return the arguments, and the global variables, that a function changes."""
        if name not in self._changed:
            # A function that calls itself is looked at once.
            self._changed[name] = set()
            function = self.get(name)
            if isinstance(function, ast.FunctionDef):
                self._changed[name] = _changed_in(function, self)
        return self._changed[name]

    def read_by(self, name: str) -> set[str]:
        """Return the global variables that a function reads by itself."""
        if name not in self._read:
            self._read[name] = _globals_read(self[name])
        return self._read[name]


NO_FUNCTIONS = Functions()


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
        The variables that a call changes: ``layer.forward(x)``, ``fill(cache, x)``.
    within : frozenset of str
        The global variables that the functions read which it reads.
    places : frozenset of str
        The attributes and keys to which it assigns; empty for one that is not written out.
    """

    node: ast.stmt
    cell: int
    assigned: frozenset[str]
    rebound: frozenset[str]
    mutated: frozenset[str]
    called: frozenset[str]
    within: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()

    @cached_property
    def read(self) -> frozenset[str]:
        """The variables that it reads."""
        is_definition = isinstance(self.node, DEFINITIONS)
        return frozenset() if is_definition else self.within.union(names_read(self.node))

    @cached_property
    def values_read(self) -> frozenset[str]:
        """Those of which it does not only read the shape."""
        is_definition = isinstance(self.node, DEFINITIONS)
        return frozenset() if is_definition else self.within.union(_names(self.node, shapes=False))

    @property
    def is_plain(self) -> bool:
        """True if it does nothing but bind variables."""
        return isinstance(self.node, ast.Assign) and bool(self.assigned) and not self.changed

    @property
    def bound(self) -> frozenset[str]:
        """All variables that it binds or changes."""
        return self.assigned | self.changed

    @property
    def changed(self) -> frozenset[str]:
        """Those that may keep something of what they were."""
        return (self.rebound | self.mutated | self.called) - self.assigned


def statement_of(node: ast.stmt, cell: int, functions: Functions = NO_FUNCTIONS) -> Statement:
    """Return a statement of a cell, given the functions that the cells define."""
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
    if not isinstance(node, DEFINITIONS):
        calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
        called.update(name for call in calls for name in _changed_within(call, functions))
        mutated.update(name for call in calls for name in _outputs(call))
    assigned |= {each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr)}
    if isinstance(node, DEFINITIONS):
        assigned.add(node.name)
    elif isinstance(node, LOOPS):
        for inner in _inside(node, functions):
            rebound |= inner.assigned | inner.rebound
            mutated |= inner.mutated
            called |= inner.called
        rebound |= _stored(node)
    within = read_within(names_read(node), functions)
    sets = assigned, rebound, mutated, called, within, _places(node)
    return Statement(node, cell, *map(frozenset, sets))


def _places(node: ast.stmt) -> Iterator[str]:
    """Yield the attributes and keys to which a statement assigns."""
    for each in ast.walk(node):
        match each:
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.Subscript(slice=ast.Constant(value=str(name)), ctx=ast.Store()):
                yield name
            case ast.Subscript(ctx=ast.Store()):
                yield ""


def _changed_by(call: ast.Call) -> Iterator[str]:
    """Yield what a call for its effect changes: ``layer.forward(x)`` keeps something in `layer`."""
    if isinstance(call.func, ast.Attribute) and not ast.unparse(call.func).startswith("np."):
        yield from base_of(call.func)
    elif isinstance(call.func, ast.Attribute) and call.args and not [*_outputs(call)]:
        # `np.add.at(x, k, y)` changes `x`, and `np.tanh(x, y)` changes `y`.
        is_first = call.func.attr in CHANGES_FIRST
        yield from base_of(call.args[0 if is_first else -1])
    elif isinstance(call.func, ast.Name) and call.func.id == "setattr" and call.args:
        yield from base_of(call.args[0])


def _outputs(call: ast.Call) -> Iterator[str]:
    """Yield the arrays to which a call writes its result: ``np.dot(W, x, out=z)``."""
    for keyword in call.keywords:
        outputs = getattr(keyword.value, "elts", [keyword.value]) if keyword.arg == "out" else []
        for each in outputs:
            yield from base_of(each)


def _changed_within(call: ast.Call, functions: Functions) -> Iterator[str]:
    """Yield what a function of the cells changes: some of its arguments, or global variables."""
    function = functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
    if not isinstance(function, ast.FunctionDef):
        return
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    passed = dict(zip(names, call.args, strict=False))
    passed |= {each.arg: each.value for each in call.keywords if each.arg}
    for name in functions.changed_by(function.name):
        yield from base_of(passed[name]) if name in passed else [name] if name not in names else ()


def _changed_in(function: ast.FunctionDef, functions: Functions) -> set[str]:
    """Return the arguments, and the global variables, that a function changes."""
    changed, local = set[str](), set[str]()
    for inner in _inside(function, functions):
        changed |= inner.rebound | inner.mutated | inner.called
        local |= inner.assigned
    shared = declared_global(function)
    return (changed | (local & shared)) - (local - shared)


def _inside(node: ast.stmt, functions: Functions) -> Iterator[Statement]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.stmt) and inner is not node and not isinstance(inner, LOOPS):
            yield statement_of(inner, 0, functions)


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
            mutated.update(base_of(target))


def base_of(node: ast.expr) -> Iterator[str]:
    """Yield the variable to which an attribute or an item belongs."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def added_to(tree: ast.AST) -> set[str]:
    """Return the variables to which some code adds something: an array remains the same."""
    targets = [each.target for each in ast.walk(tree) if isinstance(each, ast.AugAssign)]
    return {each.id for each in targets if isinstance(each, ast.Name)}


def bound_anew(tree: ast.AST) -> set[str]:
    """Return the variables that some code binds, rather than adds something to them."""
    added = {id(each.target) for each in ast.walk(tree) if isinstance(each, ast.AugAssign)}
    names = (e for e in ast.walk(tree) if isinstance(e, ast.Name) and id(e) not in added)
    return {each.id for each in names if isinstance(each.ctx, ast.Store)}


def declared_global(function: ast.AST) -> set[str]:
    """Return the variables that a function declares to be global."""
    return {name for e in ast.walk(function) if isinstance(e, ast.Global) for name in e.names}


def read_within(names: Iterable[str], functions: Functions) -> set[str]:
    """Return the global variables that some functions of the cells read, and what they call."""
    found, waiting = set[str](), [name for name in names if name in functions]
    while waiting:
        read = functions.read_by(waiting.pop())
        waiting += [name for name in read - found if name in functions]
        found |= read
    return found


def _globals_read(definition: ast.FunctionDef | ast.Assign) -> set[str]:
    if isinstance(definition, ast.Assign):
        return set(names_read(definition.value))
    arguments = {e.arg for e in ast.walk(definition.args) if isinstance(e, ast.arg)}
    read = {name for each in definition.body for name in names_read(each)}
    declared = declared_global(definition)
    return (read | declared) - arguments - (_stored(definition) - declared)


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
