"""What a statement binds, and what it reads, from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradcheck_magic._backward.references import Reference, item_step, reference_of
from gradcheck_magic._inputs.effects import CHANGES_FIRST

__all__ = ["Part", "Statement", "fresh", "loads_of", "parts_of", "sources_of", "statement_of"]

# Methods that change their owner; torch's end with "_".
CHANGES_OWNER = {"fill", "sort", "put", "itemset", "partition"}
# Methods that add an item to the end of a list.
ADDS_LAST = {"append"}


@dataclass(frozen=True, eq=False)
class Part:
    """What one part of a statement binds: several in ``dW, db = dZ @ A.T, dZ.sum(1)``.

    Attributes
    ----------
    target : Reference, optional
        What it binds; None for the value that a function returns.
    path : tuple
        Where in the value the part is, such as (1,) or ("dW",), if the value is written out.
    loads : tuple of Reference
        What it reads.
    changes : bool
        True if it changes an array rather than binding another one.
    is_item : bool
        True if it binds an item, which changes the array that the item is part of.
    is_name : bool
        True if it only gives another name to something.
    is_last : bool
        True if it binds the last item of a list.
    is_zero : bool
        True if it only sets something to zero, to which more is added later.
    is_itemwise : bool
        True if it makes a list item by item.
    calls_for_items : bool
        True if it calls something for each of them.
    value : ast.expr, optional
        The expression that it binds.
    terms : frozenset of str
        What it adds up, as it is written, as far as it has names.
    """

    target: Reference | None
    path: tuple[Any, ...]
    loads: tuple[Reference, ...]
    changes: bool = False
    is_item: bool = False
    is_name: bool = False
    is_last: bool = False
    is_zero: bool = False
    is_itemwise: bool = False
    calls_for_items: bool = False
    value: ast.expr | None = None
    terms: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement of the user's code.

    Attributes
    ----------
    file : str
        The name of its file, or of what IPython has compiled its cell as.
    line, last_line : int
        Its first and its last line, from 1.
    text : str
        Its text in one line.
    function : str
        The name of the function that it is in; empty at the top level.
    parts : tuple of Part
        What it binds.
    heads : tuple of Statement
        The heads of the loops and conditions that it is in, the innermost first.
    is_loop : bool
        True for the head of a loop.
    is_product : bool
        True if it only multiplies values that others have computed, or adds lists of them.
    """

    file: str
    line: int
    last_line: int
    text: str
    function: str
    parts: tuple[Part, ...]
    is_return: bool = False
    heads: tuple[Statement, ...] = ()
    is_loop: bool = False
    is_product: bool = False

    @property
    def loop(self) -> Statement | None:
        """The head of the loop that it is in."""
        return next((head for head in self.heads if head.is_loop), None)

    @property
    def in_branch(self) -> bool:
        """True if it runs only under a condition."""
        return not all(head.is_loop for head in self.heads)

    @property
    def code_name(self) -> str:
        """The name of the code that it is in."""
        return self.function or "<module>"


def statement_of(
    node: Any, file: str, lines: Sequence[str], function: str, parts: tuple[Part, ...]
) -> Statement:
    """Return a statement, given its node, the file and its lines, and the function around it."""
    # `ast.get_source_segment` splits the whole source each time. Columns are counted in bytes.
    own = [line.encode() for line in lines[node.lineno - 1 : node.end_lineno]]
    own[-1] = own[-1][: node.end_col_offset]
    own[0] = own[0][node.col_offset :]
    text = " ".join(line.decode().strip() for line in own)
    is_product = _is_product(getattr(node, "value", None))
    return Statement(
        file, node.lineno, node.end_lineno, text, function, parts, is_product=is_product
    )


def fresh(value: ast.expr) -> ast.expr:
    """Return the same expression as a tree of its own.

    A deep copy may copy other trees as well: all trees share the nodes of operators and contexts,
    in which libraries note their parents, as the one does that IPython's tracebacks use.
    """
    return ast.parse(ast.unparse(value), mode="eval").body


def _is_product(value: ast.expr | None) -> bool:
    """Return True for a product, or a sum of lists, of what is there already."""
    match value:
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            factors: list[ast.expr] = [left, right]
        case ast.Call(func=ast.Attribute(attr="multiply"), args=factors):
            pass
        case ast.ListComp(elt=ast.BinOp(op=ast.Add(), left=left, right=right)):
            factors = [left, right]
        case _:
            return False
    return all(_is_name(f) or isinstance(f, ast.Call) or _is_product(f) for f in factors)


def parts_of(node: ast.stmt) -> Iterator[Part]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _bound(target, value)
            yield from _outputs(value)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _bound(target, value)
        case ast.AugAssign(target=target, op=op, value=value):
            reference = reference_of(target)
            if reference is not None:
                index = target.slice if isinstance(target, ast.Subscript) else ast.Constant(0)
                loads = reference, *loads_of(value), *loads_of(index)
                whole = ast.BinOp(_loaded(target), op, value)
                terms = frozenset(_terms(whole))
                yield Part(reference, (), loads, changes=True, value=whole, terms=terms)
        case ast.Return(value=value) if value is not None:
            yield from _written_out(None, value)
            yield from _outputs(value)
        case ast.Expr(value=ast.Call() as call):
            parts = [*_outputs(call), *_called(call)]
            # What it gives to a function, that binds.
            yield from parts or [Part(None, (), tuple(loads_of(call)))]


def _bound(target: ast.expr, value: ast.expr) -> Iterator[Part]:
    targets: list[ast.expr] | None = getattr(target, "elts", None)
    if targets is not None:
        values: list[ast.expr] = getattr(value, "elts", [])
        is_starred = any(isinstance(each, ast.Starred) for each in [*targets, *values])
        is_matched = len(values) == len(targets) and not is_starred
        for k, each in enumerate(targets):
            if isinstance(each, ast.Starred):
                continue
            for part in _bound(each, values[k] if is_matched else value):
                # An item of something is no new value.
                yield part if is_matched else replace(part, is_name=False, value=None)
        return
    reference = reference_of(target)
    if reference is None:
        return
    if isinstance(target, ast.Subscript):
        loads = (*loads_of(value), *loads_of(target.slice))
        terms = frozenset(_terms(value))
        yield Part(
            reference,
            (),
            loads,
            is_item=True,
            is_name=_is_name(value),
            is_zero=_is_zero(value),
            value=value,
            terms=terms,
        )
        return
    yield from _written_out(reference, value)


def _written_out(target: Reference | None, value: ast.expr) -> Iterator[Part]:
    """Yield a part for each item of a dict, list or tuple that is written out."""
    match value:
        case ast.Dict(keys=keys, values=values) if values and all(
            isinstance(key, ast.Constant) for key in keys
        ):
            items = [(key.value, item) for key, item in zip(keys, values, strict=True)]  # type: ignore[union-attr]
        case ast.Tuple(elts=values) | ast.List(elts=values) if values and not any(
            isinstance(item, ast.Starred) for item in values
        ):
            items = list(enumerate(values))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if keywords:
            items = [(keyword.arg, keyword.value) for keyword in keywords]
        case _:
            yield Part(
                target,
                (),
                tuple(loads_of(value)),
                is_name=_is_name(value),
                is_zero=_is_zero(value),
                is_itemwise=isinstance(value, ast.ListComp) and len(value.generators) == 1,
                calls_for_items=isinstance(value, ast.ListComp) and _calls(value.elt),
                value=value,
                terms=frozenset(_terms(value)),
            )
            return
    for key, item in items:
        yield Part(
            target,
            (key,),
            tuple(loads_of(item)),
            is_name=_is_name(item),
            is_zero=_is_zero(item),
            value=item,
            terms=frozenset(_terms(item)),
        )


def _terms(value: ast.expr) -> Iterator[str]:
    """Yield the terms of a sum that are names, attributes or items."""
    match value:
        case ast.BinOp(op=ast.Add() | ast.Sub(), left=left, right=right):
            terms: list[ast.expr] = [left, right]
        case ast.BinOp(op=ast.Mult() | ast.Div(), left=left, right=right):
            # A sum may be scaled.
            terms = [each for each in (left, right) if _is_sum(each)]
        case ast.Call(func=ast.Attribute(attr="add" | "subtract" | "at"), args=terms):
            pass
        case ast.Call(func=ast.Attribute(attr="copy", value=inner)):
            terms = [inner]
        case ast.ListComp(elt=item, generators=[ast.comprehension() as each]):
            sources = sources_of(each)
            yield from (sources[term] for term in _terms(item) if term in sources)
            return
        case _:
            terms = []
            if _is_name(value):
                yield ast.unparse(value)
    for term in terms:
        yield from _terms(term)


def sources_of(each: ast.comprehension) -> dict[str, str]:
    """Return the lists from which the variables of a comprehension come, as they are written."""
    match each.iter:
        case ast.Call(func=ast.Name(id="zip"), args=sources):
            targets: list[ast.expr] = getattr(each.target, "elts", [])
        case _:
            targets, sources = [each.target], [each.iter]
    return {ast.unparse(t): ast.unparse(s) for t, s in zip(targets, sources, strict=False)}


def _calls(value: ast.expr) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(value))


def _is_sum(value: ast.expr) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Sub))


def _is_name(value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        return _is_name(value.body) or _is_name(value.orelse)
    return isinstance(value, (ast.Name, ast.Attribute)) or (
        isinstance(value, ast.Subscript) and reference_of(value) is not None
    )


def _is_zero(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=0):
            return True
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name in {"zeros", "zeros_like", "empty", "empty_like"}
    return False


def _outputs(value: ast.expr) -> Iterator[Part]:
    """Yield a part for each ``out=`` of a call."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    for node in calls:
        for keyword in node.keywords:
            if keyword.arg == "out" and (reference := reference_of(keyword.value)):
                terms, loads = frozenset(_terms(value)), tuple(loads_of(value))
                keywords = [each for each in node.keywords if each is not keyword]
                whole = ast.Call(node.func, node.args, keywords) if node is value else None
                yield Part(reference, (), loads, changes=True, value=whole, terms=terms)


def _loaded(target: ast.expr) -> ast.expr:
    """Return what an expression that is assigned to reads."""
    return ast.parse(ast.unparse(target), mode="eval").body


def _called(call: ast.Call) -> Iterator[Part]:
    """Yield what a call changes whose result is not used."""
    if not isinstance(call.func, ast.Attribute):
        return
    name, owner = call.func.attr, reference_of(call.func.value)
    loads = tuple(loads_of(call))
    if name in ADDS_LAST and owner is not None:
        yield Part(owner, (), tuple(loads_of(call.args[0])) if call.args else loads, is_last=True)
    elif name == "update" and owner is not None:
        for keyword in call.keywords:
            if keyword.arg:
                steps = *owner.steps, item_step(keyword.arg)
                item = Reference(owner.root, steps, f"{owner.text}[{keyword.arg!r}]")
                value, loads = keyword.value, tuple(loads_of(keyword.value))
                yield Part(item, (), loads, is_name=_is_name(value), value=value)
        for argument in call.args:
            yield from _written_out(owner, argument)
    elif (name in CHANGES_OWNER or name.endswith("_")) and owner is not None and owner.root != "np":
        yield Part(owner, (), loads, changes=True)
    elif name in CHANGES_FIRST and call.args and (first := reference_of(call.args[0])):
        added: ast.expr | None = call if name == "at" else None
        yield Part(first, (), loads, changes=True, value=added, terms=frozenset(_terms(call)))


def loads_of(value: ast.AST, hidden: frozenset[str] = frozenset()) -> Iterator[Reference]:
    """Yield what an expression reads: each variable, attribute or item in full.

    Hidden are the variables of comprehensions, which nobody knows outside of them.
    """
    match value:
        case ast.Call(func=func, args=arguments, keywords=keywords):
            # A function is no value, but what a method belongs to is.
            owner = func.value if isinstance(func, ast.Attribute) else ast.Constant(None)
            children: list[ast.AST] = [owner, *arguments, *(keyword.value for keyword in keywords)]
        case ast.Attribute(attr="T", value=owner):
            children = [owner]
        case ast.Name() | ast.Attribute() | ast.Subscript():
            reference = reference_of(value)
            names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
            children = list(ast.iter_child_nodes(value))
            if reference is not None and not names & hidden:
                yield reference
                children = [value.slice] if isinstance(value, ast.Subscript) else []
        case ast.Lambda():
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            targets = (node for each in value.generators for node in ast.walk(each.target))
            hidden |= {node.id for node in targets if isinstance(node, ast.Name)}
            children = list(ast.iter_child_nodes(value))
        case _:
            children = list(ast.iter_child_nodes(value))
    for child in children:
        yield from loads_of(child, hidden)
