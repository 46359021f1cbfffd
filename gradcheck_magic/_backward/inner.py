"""The values inside an expression, such as ``W @ x + b`` in ``np.tanh(W @ x + b)``.

The forward pass need not bind what the backward pass has a gradient of. An expression that calls
nothing but NumPy's functions is evaluated again, with one of its parts recorded or moved.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType, ModuleType
from typing import Any

from gradcheck_magic._backward.arrays import as_array
from gradcheck_magic._backward.references import NOWHERE
from gradcheck_magic._backward.statements import Part, fresh

__all__ = ["METHODS", "METHODS_OF_TENSORS", "NOT_PLAIN", "Inner", "inner_of", "is_array", "is_pure"]

HOOK = "__inner__"
# The methods of arrays that an expression may call.
METHODS = {
    "T", "astype", "clip", "conj", "copy", "cumsum", "dot", "flatten", "max", "mean", "min", "prod",
    "ravel", "repeat", "reshape", "squeeze", "std", "sum", "swapaxes", "take", "transpose", "var",
}  # fmt: skip
# Those that only the arrays of torch and JAX have. Classes of the user's may have them, too.
METHODS_OF_TENSORS = {
    "abs", "bmm", "clamp", "clone", "cos", "detach", "double", "erf", "exp", "expand", "expand_as",
    "float", "ge", "gt", "le", "log", "log1p", "log_softmax", "logsumexp", "lt", "masked_fill",
    "matmul", "mm", "mT", "neg", "norm", "permute", "pow", "reciprocal", "relu", "rsqrt", "sigmoid",
    "sign", "sin", "softmax", "sqrt", "square", "t", "tanh", "unsqueeze", "view",
}  # fmt: skip
LIBRARIES = {"numpy", "torch", "jax"}
# What is no pure function of theirs.
NOT_PURE = {"random", "save", "load", "put", "copyto", "at", "batch_norm", "manual_seed"}
RANDOM = re.compile(r"rand|dropout|bernoulli|multinomial|^normal$|poisson|gumbel|seed|rrelu")
# What has code of its own, or runs only a part of it.
NOT_PLAIN = (
    ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.IfExp, ast.BoolOp,
    ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Inner:
    """An expression whose parts can be moved.

    Attributes
    ----------
    code : code
        The expression, in which each part passes through a hook.
    texts : tuple of str
        The parts as they are written.
    modules : tuple of str
        The names that must be those of modules of NumPy, torch or JAX.
    tensors : tuple of str
        The names that must be those of such modules, or of arrays.
    """

    code: CodeType
    texts: tuple[str, ...]
    modules: tuple[str, ...]
    tensors: tuple[str, ...] = ()

    def evaluated(self, frame: FrameType, hook: Callable[[int, Any], Any]) -> Any:
        """Return the value of the expression; `NOWHERE` if it may do more than compute."""
        local: Mapping[str, Any] = frame.f_locals
        for name in (*self.modules, *self.tensors):
            value = local.get(name, frame.f_globals.get(name))
            is_ours = isinstance(value, ModuleType) and value.__name__.split(".")[0] in LIBRARIES
            is_plain = as_array(value) is not None or isinstance(value, (int, float))
            if not (is_ours or (is_plain and name in self.tensors)):
                return NOWHERE
        try:
            return eval(self.code, {**frame.f_globals, HOOK: hook}, local)  # noqa: S307 (NumPy only)
        except Exception:  # noqa: BLE001 (the user will see it)
            return NOWHERE


@lru_cache(maxsize=4096)
def inner_of(part: Part) -> Inner | None:
    """Return the expression that a part of a statement binds, if it has parts of its own."""
    if part.value is None or part.path or part.changes:
        return None
    wrapping = _Wrapping()
    try:
        tree = wrapping.visit(fresh(part.value))
    except _NotPureError:
        return None
    # The whole is what the statement binds.
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == HOOK:
        tree = tree.args[1]
        wrapping.texts.pop()
    if not wrapping.texts:
        return None
    code = compile(ast.fix_missing_locations(ast.Expression(tree)), "<inner>", "eval")
    return Inner(code, tuple(wrapping.texts), tuple(wrapping.modules), tuple(wrapping.tensors))


class _NotPureError(Exception):
    pass


class _Wrapping(ast.NodeTransformer):
    """Wraps each part of an expression in a call of the hook, the innermost first."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.modules: dict[str, None] = {}
        self.tensors: dict[str, None] = {}

    def visit(self, node: ast.AST) -> Any:
        """Refuse what has code of its own, or runs only a part of it."""
        if isinstance(node, NOT_PLAIN):
            raise _NotPureError
        return super().visit(node)

    def _wrapped(self, node: ast.expr, text: str) -> ast.expr:
        self.texts.append(text)
        number = ast.Constant(len(self.texts) - 1)
        return ast.Call(ast.Name(HOOK, ast.Load()), [number, node], [])

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        text = ast.unparse(node)
        return self._wrapped(self.generic_visit(node), text)  # type: ignore[arg-type]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        text = ast.unparse(node)
        if not isinstance(node.func, ast.Attribute):
            raise _NotPureError
        if not is_pure(part for part in ast.unparse(node.func).split(".") if part.isidentifier()):
            raise _NotPureError
        owner, is_method = node.func.value, node.func.attr in METHODS
        is_of_tensor = not is_method and node.func.attr in METHODS_OF_TENSORS
        read = {each.id: None for each in ast.walk(owner) if isinstance(each, ast.Name)}
        if is_of_tensor:
            self.tensors |= read
        elif isinstance(owner, ast.Name) and not is_method:
            self.modules |= read
        elif not is_method:
            raise _NotPureError
        node.args = [self.visit(each) for each in node.args]
        if is_method or (is_of_tensor and not isinstance(owner, ast.Name)):
            node.func.value = self.visit(owner)
        for keyword in node.keywords:
            if keyword.arg == "out":
                raise _NotPureError
        return self._wrapped(node, text)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        text = ast.unparse(node)
        if any(isinstance(each, ast.Call) for each in ast.walk(node.slice)):
            raise _NotPureError
        node.value = self.visit(node.value)
        return self._wrapped(node, text)


def is_pure(names: Iterable[str]) -> bool:
    """Return True for a function that only computes, given the names in it, as in ``np.add.at``."""
    # In torch, what ends with "_" works in place.
    return not any(n in NOT_PURE or RANDOM.search(n) or n.endswith("_") for n in names)


def is_array(value: Any) -> bool:
    """Return True for what can be moved."""
    array = as_array(value)
    return array is not None and array.dtype.kind == "f" and array.size > 0
