"""The statements of a function or a cell, found in the text that it was made from."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

from gradcheck_magic._backward.statements import Part, Statement, loads_of, parts_of, statement_of
from gradcheck_magic._inputs.ownership import is_in_library

__all__ = ["Source", "counts_references", "source_of"]

# These count the references to an array, and Python holds one more while code is traced.
COUNTS_REFERENCES = {"resize", "getrefcount"}
HIDES_VARIABLES = (3, 12)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False)
class Source:
    """The statements of one code object.

    Attributes
    ----------
    by_line : dict
        The statement on each line, if no line has two, and no statement has two lines.
    by_offset : list, optional
        Otherwise, the statement of each instruction.
    """

    by_line: dict[int, Statement | None] = field(default_factory=dict)
    by_offset: list[Statement | None] | None = None

    @property
    def statements(self) -> set[Statement]:
        """All of them."""
        return {*filter(None, self.by_line.values()), *filter(None, self.by_offset or ())}


def counts_references(code: CodeType) -> bool:
    """Return True for code of the user's that would notice that it is traced."""
    found = COUNTS_REFERENCES & set(code.co_names)
    return bool(found) and not is_in_library(code.co_filename)


def _is_changed_by_tracing(code: CodeType) -> bool:
    """Return True for a cell with a comprehension in Python 3.12.

    The variable of the comprehension is a hidden one of the cell, and after each event Python sets
    it to None, as it is not among the variables that a trace function sees.
    """
    is_function = code.co_flags & inspect.CO_OPTIMIZED
    return sys.version_info[:2] == HIDES_VARIABLES and not is_function and code.co_nlocals > 0


def source_of(code: CodeType) -> Source | None:
    """Return the statements of a code object; None if it is not the user's, or has no text."""
    # To read all files of a library takes long.
    if is_in_library(code.co_filename):
        return None
    lines = linecache.getlines(code.co_filename)
    known = SOURCES.get(code)
    if known is None or known[0] is not lines:
        SOURCES[code] = known = lines, _source(code)
    return known[1]


def _source(code: CodeType) -> Source | None:
    if _is_changed_by_tracing(code):
        return None
    if code.co_name in {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}:
        return None
    file = _parsed(code.co_filename)
    node = None if file is None else file.node_of(code)
    if file is None or node is None:
        return None
    by_line, is_simple = file.lines(node)
    source = Source(by_line)
    if not is_simple:
        source.by_offset = _by_offset(code, file.spans(node))
    return source


Span = tuple[ast.AST, Statement | None, int, int]


@dataclass(eq=False)
class _File:
    name: str
    text: list[str]
    tree: ast.Module
    # IPython compiles each statement of a cell by itself, and asks for each.
    _spans: dict[ast.AST, list[Span]] = field(default_factory=dict)
    _lines: dict[ast.AST, tuple[dict[int, Statement | None], bool]] = field(default_factory=dict)

    def spans(self, node: ast.AST) -> list[Span]:
        """Return the statements of a part of the file."""
        if node not in self._spans:
            self._spans[node] = list(_statements(node, self))
        return self._spans[node]

    def lines(self, node: ast.AST) -> tuple[dict[int, Statement | None], bool]:
        """Return the statement of each line of a part of the file, and if there is only one."""
        if node not in self._lines:
            # From Python 3.12 on, each round of a comprehension is reported like another statement.
            is_simple = not any(isinstance(each, COMPREHENSIONS) for each in ast.walk(node))
            by_line: dict[int, Statement | None] = {}
            for _, own, first, last in self.spans(node):
                for line in range(first, last + 1):
                    is_simple &= line not in by_line
                    by_line[line] = own
                is_simple &= last == first or own is None
            self._lines[node] = by_line, is_simple
        return self._lines[node]

    @cached_property
    def functions(self) -> dict[tuple[str, int], list[ast.AST]]:
        """The functions by their name and first line."""
        found: dict[tuple[str, int], list[ast.AST]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                found.setdefault(("<lambda>", node.lineno), []).append(node)
        return found

    def node_of(self, code: CodeType) -> ast.AST | None:
        """Return the part of the file that a code object was made from, if the text still fits."""
        if code.co_name == "<module>":
            return self.tree
        nodes = self.functions.get((code.co_name, code.co_firstlineno), [])
        lines = {line for _, _, line in code.co_lines() if line}
        fitting = [
            node
            for node in nodes
            if [a.arg for a in _arguments(node)] == list(code.co_varnames[: len(_arguments(node))])
            and max(lines, default=0) <= (getattr(node, "end_lineno", 0) or 0)
        ]
        return fitting[0] if len(fitting) == 1 else None


def _arguments(node: Any) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


SOURCES: WeakKeyDictionary[CodeType, tuple[list[str], Source | None]] = WeakKeyDictionary()
PARSED: dict[str, tuple[list[str], _File | None]] = {}


def _parsed(name: str) -> _File | None:
    """Return a file or cell as a tree; it is parsed again if its text has changed."""
    lines = linecache.getlines(name)
    if not lines:
        return None
    known = PARSED.get(name)
    if known is None or known[0] is not lines:
        try:
            found = _File(name, lines, ast.parse("".join(lines)))
        except (SyntaxError, ValueError, RecursionError):
            found = None
        PARSED[name] = known = lines, found
    return known[1]


def _statements(node: ast.AST, file: _File) -> Iterator[Span]:
    """Yield each statement with its lines; of what has a body, only the head."""
    if isinstance(node, ast.Lambda):
        part = Part(None, (), tuple(loads_of(node.body)), value=node.body)
        own = statement_of(node.body, file.name, file.text, "<lambda>", (part,))
        own = replace(own, is_return=True)
        yield node.body, own, own.line, own.last_line
        return
    function = "" if isinstance(node, ast.Module) else node.name  # type: ignore[attr-defined]
    yield from _in_body(node, file, function, ())


def _in_body(
    node: ast.AST, file: _File, function: str, heads: tuple[Statement, ...]
) -> Iterator[Span]:
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, name, ()):
            body = getattr(child, "cases", getattr(child, "body", None))
            if not (isinstance(body, list) and body):
                own = statement_of(child, file.name, file.text, function, tuple(parts_of(child)))
                own = replace(own, is_return=isinstance(child, ast.Return), heads=heads)
                yield child, own, own.line, own.last_line
                continue
            first = _first(child)
            last = max(_first(body[0]) - 1, first)
            yield child, None, first, last
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from _in_body(child, file, function, (*_head(child, file, function), *heads))


def _head(node: Any, file: _File, function: str) -> Iterator[Statement]:
    """Yield the head of a loop, or of what runs only under a condition."""
    match node:
        case ast.For(iter=last):
            is_loop = True
        case ast.While(test=last):
            is_loop = True
        case ast.If(test=last) | ast.match_case(pattern=last):
            is_loop = False
        case _:
            return
    first, end = _first(node), last.end_lineno or node.lineno
    text = " ".join(line.strip() for line in file.text[first - 1 : end])
    yield Statement(file.name, first, end, text, function, (), is_loop=is_loop)


def _first(node: Any) -> int:
    """Return the first line of the head of what has a body."""
    own = getattr(node, "pattern", node)
    first: int = min([own.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return first


def _by_offset(code: CodeType, spans: list[Span]) -> list[Statement | None]:
    """Return the statement of each instruction of a code object."""
    found: list[Statement | None] = []
    # Several instructions have the same place.
    known: dict[tuple[int, int], Statement | None] = {}
    for line, _, column, _ in code.co_positions():
        if line is None or column is None:
            found.append(found[-1] if found else None)
            continue
        if (line, column) not in known:
            around = [
                (_extent(node), own)
                for node, own, first, last in spans
                if first <= line <= last and "lineno" in vars(node) and _holds(node, line, column)
            ]
            innermost = min(around, key=lambda each: each[0], default=(None, None))
            known[line, column] = innermost[1]
        found.append(known[line, column])
    return found


def _extent(node: Any) -> tuple[int, int]:
    """Return how long a node is, in lines and columns."""
    return node.end_lineno - node.lineno, node.end_col_offset - node.col_offset


def _holds(node: Any, line: int, column: int) -> bool:
    start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return bool(start <= (line, column) < end)
