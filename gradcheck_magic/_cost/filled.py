"""Costs that want more than the parameters, called as the notebook calls them.

``svm_loss(W, X, y, reg)`` is called as in the cell, or with what the notebook has under the names
of the arguments, as pytest fills the arguments of a test from fixtures. A number, such as `loss`,
stands for the statements that have computed it.

The result is a function of the parameters alone, as a person would write it. Nothing here calls it.
"""

from __future__ import annotations

import ast
import dis
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradcheck_magic._cost.evaluation import is_one_number
from gradcheck_magic._cost.written import USERS, Available, Filled, Writer
from gradcheck_magic._inputs.arrays import is_array
from gradcheck_magic._inputs.parameters import Names, collect, cost_name, is_function
from gradcheck_magic._wording import listed
from gradcheck_magic.errors import InputError

__all__ = ["filled", "filled_gradient"]

# Arguments that are passed one by one.
PASSED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


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
    name = cost_name(function, names) if callable(function) else text
    writer = Writer(function, name, collect(params, names=names), available)
    if not callable(function):
        tree = ast.parse(text.strip(), mode="eval").body
        found, is_number = writer.written(tree), is_one_number(function)
        if found is None and (is_number or is_array(function)):
            what = "a number" if is_number else "an array"
            raise InputError(
                f"`{text}` is {what}, and no statement is known that computes it from "
                f"`{writer.parameters.name}`: compute it in the cell of the check, or name a "
                "function with -c."
            )
        return found or Filled(function)
    return _Reader(function, text or name, writer).read()


def filled_gradient(
    grads: object, params: object, names: Names, available: Available | None, text: str = ""
) -> object:
    """Return the gradients, filled in the same way if they are a function."""
    return filled(grads, params, names, available, text).function if is_function(grads) else grads


def _takes_params_alone(function: object, params: object, available: Available) -> bool:
    """Return True if the only argument has the name of the parameters: by far most functions."""
    with suppress(Exception):  # the user's own may raise anything
        arguments = [*inspect.signature(function).parameters.values()]  # type: ignore[arg-type]
        if not arguments:
            # Unless a cell defines it: it may read what was computed from the parameters.
            return cost_name(function, None) not in available.computed.functions
        (argument,) = arguments
        is_passed = argument.kind in PASSED and _is_required(argument)
        return is_passed and available.values.get(argument.name) is params
    return False


def _arguments(function: object) -> list[inspect.Parameter]:
    with suppress(Exception):  # the user's own may raise anything
        signature = inspect.signature(function)  # type: ignore[arg-type]
        return [each for each in signature.parameters.values() if each.kind in PASSED]
    return []


def _is_required(argument: inspect.Parameter) -> bool:
    return argument.default is inspect.Parameter.empty


class _Reader:
    """Finds out what a function is called with.

    Parameters
    ----------
    function : callable
        The function.
    text : str
        The user's expression for it.
    writer : Writer
        What writes the call.
    """

    def __init__(self, function: Callable[..., Any], text: str, writer: Writer) -> None:
        self.function, self.text, self.writer = function, text, writer
        self.available, self.parameters = writer.available, writer.parameters
        self.arguments = _arguments(function)
        self.required = [each.name for each in self.arguments if _is_required(each)]

    def read(self) -> Filled:
        """Return a function of the parameters."""
        if not (self.arguments or self._takes_more()):
            return self._without_arguments()
        return self._as_called() or self._by_name()

    # As it is called in the cell

    def _as_called(self) -> Filled | None:
        """Return the call in the cell that makes the check, if there is one."""
        is_one = len(self.arguments) == len(self.required) == 1 and not self._takes_more()
        if is_one and self.required[0] not in self.available:
            return None
        writer = self.writer
        calls = {
            ast.unparse(call): (k, call)
            for k, call in map(self._unwrapped, self.available.computed.calls(writer.statements))
            if ast.unparse(call.func) in {self.text, writer.name}
        }
        # A call with the parameters themselves is likelier than one with a copy that was moved.
        direct = {text: each for text, each in calls.items() if self._passes_own(each[1])}
        if any(self._passes_them_alone(call) for _, call in direct.values()):
            return Filled(self.function)
        if direct or self._named_like_parameters() is not None:
            calls = direct
        found = {}
        for text, (k, call) in calls.items():
            # What was no number in the notebook are scores: `scores = net.loss(X)`.
            if not writer.is_no_number(call, k) and (written := writer.written(call, k)):
                found[text] = written
        if len(found) > 1:
            raise self._called_differently(found.values())
        return next(iter(found.values()), None)

    def _takes_more(self) -> bool:
        """Return True if the function also takes ``*args`` or ``**kwargs``."""
        with suppress(Exception):  # the user's own may raise anything
            return len(inspect.signature(self.function).parameters) > len(self.arguments)
        return True

    def _unwrapped(self, found: tuple[int, ast.Call]) -> tuple[int, ast.Call]:
        """Return a call such as ``value_and_grad(cost)(params, X, y)`` as one of the cost."""
        k, call = found
        if isinstance(call.func, ast.Call):
            for passed in call.func.args:
                if ast.unparse(passed) in {self.text, self.writer.name}:
                    return k, ast.Call(passed, call.args, call.keywords)
        return found

    def _passes_own(self, call: ast.Call) -> bool:
        """Return True if a call passes a parameter as it is."""
        passed = [*call.args, *(each.value for each in call.keywords)]
        passed = [each.value if isinstance(each, ast.Starred) else each for each in passed]
        return any(isinstance(each, ast.Name) and each.id in self.writer.own for each in passed)

    def _passes_them_alone(self, call: ast.Call) -> bool:
        """Return True if a call passes the parameters, and nothing else."""
        passed = [ast.unparse(each) for each in call.args]
        return not call.keywords and passed in ([self.writer.root], self.writer.arrays)

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

    def _named_like_parameters(self) -> list[str] | None:
        """Return the arguments that have the names of the parameters: of all of them.

        Some may have a name in the function alone, if they come first, in the same order.
        """
        container, values = self.parameters.container, self.available.values
        names = [each.name for each in self.arguments]
        for each in names:
            if each == self.writer.root or (each in values and values[each] is container):
                return [each]
        arrays = self.writer.arrays
        if set(arrays) <= set(names):
            return arrays
        first = self.required[: len(arrays)]
        unlike = [own for own, each in zip(first, arrays, strict=False) if own != each]
        is_first = len(unlike) < len(first) == len(arrays)
        return first if is_first and not any(own in self.available for own in unlike) else None

    def _passed(self, takes: Sequence[str]) -> dict[str, ast.expr]:
        """Return what the other arguments are, as far as that is known."""
        found: dict[str, ast.expr | None] = {
            each: _name(each) for each in self.required if each in self.available
        }
        # Another function of the cell may have been called with arguments of the same names.
        for _, call in self.available.computed.calls(self.writer.statements):
            bound = self._bound_in(call)
            names = [each.name for each in self.arguments if each.name in bound]
            found.update({each: bound[each] for each in names})
        return {k: each for k, each in found.items() if each is not None and k not in takes}

    def _bound_in(self, call: ast.Call) -> Mapping[str, ast.expr | None]:
        """Return the expressions in a call by the names of the arguments.

        With ``*args``, it is not known which they are.
        """
        with suppress(Exception):  # it may be a function of anything, or none any more
            called = inspect.signature(self.available.values[ast.unparse(call.func)])
            keywords = {each.arg or "": each.value for each in call.keywords}
            if "" in keywords or any(isinstance(each, ast.Starred) for each in call.args):
                return dict.fromkeys(called.parameters)
            return called.bind(*call.args, **keywords).arguments
        return {}

    def _is_plain(self) -> bool:
        """Return True if the function can be called with the parameters alone."""
        return len(self.required) in {1, len(self.writer.arrays)}

    def _all_known(self, passed: dict[str, ast.expr]) -> Filled:
        """Read a function none of whose arguments is called like a parameter."""
        call = self._call(passed)
        if self._passes_them_alone(call):
            return Filled(self.function)
        if (found := self.writer.written(call)) is not None:
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
        own = [parameter.shape for parameter in self.parameters.leaves]
        return len(shapes) == 1 or shapes == own

    def _is_alike(self, name: str) -> bool:
        """Return True if a value of the notebook may be the parameters, as far as shapes tell."""
        container = self.parameters.container
        value: Any = self.available.values.get(name)
        if isinstance(container, dict) and isinstance(value, dict):
            return container.keys() == value.keys()
        shape = _shape_of(value)
        return bool(shape) and math.prod(shape) == self.parameters.size

    def _without_arguments(self) -> Filled:
        """Call a function whose arguments are all optional without any, if it reads θ itself.

        What else it reads may have been computed from θ, and is then computed anew.
        """
        call = ast.Call(_name(self.writer.name), [], [])
        if not self.arguments and self.writer.computes_anew(call):
            return self.writer.written(call) or Filled(self.function)
        if not (self.arguments and self.writer.is_parameter(USERS)):
            return Filled(self.function)
        return Filled(self.writer.made([], [], self._call({}), {}))

    def _in_place(self, arguments: Sequence[str]) -> Filled | None:
        """Pass the user's own parameters to a function that does not read its argument.

        It reads them elsewhere, as in cs231n: ``f = lambda _: model.loss(X, y)[0]``.
        """
        is_unused = len(arguments) == 1 and self._is_unused(arguments[0])
        if not (is_unused and self.writer.is_parameter(USERS)):
            return None
        call = self._call({arguments[0]: _name(arguments[0])})
        scope = {arguments[0]: self.parameters.container}
        return Filled(self.writer.made([], [], call, scope))

    def _is_unused(self, argument: str) -> bool:
        """Return True if the function never reads an argument."""
        code = getattr(self.function, "__code__", None)
        if code is None:
            return False
        read = {part for each in dis.get_instructions(code) for part in _parts(each.argval)}
        return argument not in read

    # The call

    def _call_with(self, passed: Mapping[str, ast.expr], takes: Sequence[str]) -> Filled:
        """Return the function that passes its own arguments to some of the user's."""
        own = {each: _name(each) for each in takes}
        if len(takes) == 1 and self.writer.root:
            own = {takes[0]: _name(self.writer.root)}
        call = self._call({**passed, **own})
        found = self.writer.written(call, takes=list(map(ast.unparse, own.values())))
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

    # Errors

    def _spoken(self, **others: ast.expr) -> str:
        """Return the call with the names of its arguments, but for some."""
        names = {each: _name(each) for each in self.required}
        return self.writer.spoken(self._call({**names, **others}))

    def _misses(self, takes: Sequence[str], missing: Sequence[str]) -> InputError:
        gaps: dict[str, ast.expr] = {each: ast.Constant(...) for each in missing}
        return InputError(
            f"`{self._spoken()}` needs {listed(missing)}, which the notebook does not have: assign "
            f'it, or say what to pass: -c "lambda {", ".join(takes)}: {self._spoken(**gaps)}" (in '
            "Python, arguments=...)."
        )

    def _takes_none(self) -> InputError:
        line = f"lambda {self.writer.root or 'params'}: ..."
        return InputError(
            f"`{self._spoken()}` does not take `{self.parameters.name}`, and nothing that it takes "
            f'was computed from it in a cell: say how, with -c "{line}" (in Python, pass such a '
            "function)."
        )

    def _called_differently(self, found: Iterable[Filled]) -> InputError:
        lines = " or ".join(f'-c "{each.line}"' for each in found)
        return InputError(
            f"The cell calls `{self.writer.name}` in more than one way: say which is the cost, "
            f"with {lines}."
        )

    def _ambiguous(self, alike: Sequence[str]) -> InputError:
        lines = " or ".join(f'-c "lambda {each}: {self._spoken()}"' for each in alike)
        return InputError(
            f"{listed(alike)} may each be the parameters in `{self._spoken()}`: say which, with "
            f"{lines}."
        )


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
