"""Matching of a Jacobian with outputs and parameters: a block ∂f/∂x for each pair of them.

The gradient of Σᵢ fᵢ(Θᵢ) by Θ is the Jacobian of f if every row Θᵢ is x. So a block is checked as
the gradient by an array of the shape of f and of x together, all of whose rows are x.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.arrays import densified
from gradcheck_magic._inputs.containers import children
from gradcheck_magic._inputs.outputs import Output, Outputs
from gradcheck_magic._inputs.pairing import (
    Match,
    Pairing,
    Undefined,
    flat_doubles,
    matches_of,
    require_all,
)
from gradcheck_magic._inputs.parameters import (
    Names,
    Parameter,
    Parameters,
    is_positional,
    numeric_array,
    readable_key,
    variable_names,
    while_reading,
)
from gradcheck_magic._inputs.precision import eps_of, significant_bits
from gradcheck_magic._wording import did_you_mean, listed
from gradcheck_magic.errors import InputError

__all__ = ["JacobianPairing", "matched_jacobian"]

Vector = NDArray[np.float64]
# The positions of the first entry of an output, and of a parameter.
Place = tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One row of the Jacobian: the gradient of one output, and where it is in the blocks."""

    output: int
    gradient: Pairing
    positions: NDArray[np.intp]


@dataclass(frozen=True)
class JacobianPairing(Pairing):
    """A Jacobian, matched with what it is the derivative of; its parameters are its blocks."""

    # What the function takes, and what it returns.
    inputs: Parameters
    outputs: Outputs

    @property
    def arguments(self) -> Parameters:
        """The parameters as the function takes them."""
        return self.inputs

    def place(self, k: int) -> tuple[Row, int, int]:
        """Return the row that holds an entry of the blocks, and its parameter and place there."""
        row = next(row for row in self.rows() if k in row.positions)
        within = int(np.flatnonzero(row.positions == k)[0])
        i = int(np.searchsorted(row.gradient.starts, within, side="right")) - 1
        return row, i, within - row.gradient.starts[i]

    def columns(self, j: int) -> tuple[Vector, NDArray[np.intp]]:
        """Return the Jacobian by the j-th checked parameter, and where its entries are.

        Both have a row for each output.
        """
        n = len(self.inputs.checked)
        blocks = range(j, n * len(self.outputs.arrays), n)
        shape = self.outputs.size, self.inputs.checked[j].size
        places = [np.arange(*self.starts[k : k + 2]) for k in blocks]
        values = np.concatenate([self.gradients[k] for k in blocks])
        return values.reshape(shape), np.concatenate(places).reshape(shape)

    def rows(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[Row]:
        """Yield every row of the Jacobian, or those that are wanted."""
        checked = self.inputs.checked
        for k, output in enumerate(self.outputs.arrays):
            blocks = slice(k * len(checked), (k + 1) * len(checked))
            given, starts = self.gradients[blocks], self.starts[blocks]
            for i, position in enumerate(output.rows):
                if not (wanted is None or wanted[position]):
                    continue
                parts = [slice(i * p.size, (i + 1) * p.size) for p in checked]
                gradient = Pairing(
                    self.inputs,
                    tuple(values[part] for values, part in zip(given, parts, strict=True)),
                    self.gradient_names[blocks],
                    self.gradient_eps[blocks],
                    self.gradient_dtypes[blocks],
                    tuple(p.shape for p in checked),
                    self.not_checked,
                    (),
                )
                places = [
                    start + np.arange(part.start, part.stop)
                    for start, part in zip(starts, parts, strict=True)
                ]
                yield Row(position, gradient, np.concatenate(places))


@dataclass(frozen=True)
class _Given:
    """A block as the user gave it."""

    name: str
    values: Vector
    eps: float
    dtype: np.dtype[Any]


def matched_jacobian(
    parameters: Parameters, grads: object, names: Names, *, outputs: Outputs
) -> JacobianPairing:
    """Match parameters with the Jacobian of some outputs.

    It may be one matrix, with a row for each output and a column for each parameter; a container by
    input, such as ``{"x": ...}``, or by output and then by input; or a dict by pairs of both,
    ``{("f", "x"): ...}``, in which a pair that is missing means zero. An `InputError` is raised if
    it does not match.
    """
    if isinstance(grads, Undefined):
        raise grads.error
    for leaf in parameters.leaves:
        if leaf.is_complex:
            raise InputError(
                f"`{leaf.name}` is complex, and a Jacobian is checked only by real parameters: "
                "pass the real and the imaginary part as two."
            )
    variables = variable_names(names)
    root = variables.get(id(grads), "grads")
    matcher = _Matcher(parameters, outputs, root, variables)
    with while_reading(root):
        matcher.match(grads, outputs.tree, root)
    blocks = dict(_blocks(parameters, outputs))
    given = [matcher.found[place] for place, block in blocks.items() if block.checked]
    return JacobianPairing(
        Parameters(parameters.container, parameters.name, tuple(blocks.values())),
        tuple(each.values for each in given),
        tuple(each.name for each in given),
        tuple(each.eps for each in given),
        tuple(each.dtype for each in given),
        # Every layout with the same rows is as good.
        tuple(block.shape for block in blocks.values() if block.checked),
        tuple(p.name for p in parameters.arrays if not p.checked),
        tuple(matcher.notes),
        parameters,
        outputs,
    )


def _blocks(parameters: Parameters, outputs: Outputs) -> Iterator[tuple[Place, Parameter]]:
    """Yield each block by the positions of its output and its parameter."""
    start = 0
    for output in outputs.arrays:
        for p in parameters.arrays:
            array = np.broadcast_to(p.array, output.shape + p.shape)
            name, axes = _block_name(output, p), len(output.shape)
            block = Parameter(name, p.value, array, start, p.checked, axes)
            yield (output.start, p.start), block
            start += array.size


def _block_name(output: Output, parameter: Parameter) -> str:
    return f"∂{output.name}/∂{parameter.name}"


@dataclass(eq=False)
class _Matcher:
    """Finds the blocks in what the user has given."""

    parameters: Parameters
    outputs: Outputs
    root: str
    variables: dict[int, str]

    def __post_init__(self) -> None:
        self.found: dict[Place, _Given] = {}
        self.notes: list[str] = []

    def match(self, node: Any, tree: Any, name: str) -> None:
        """Find the blocks of the outputs in a tree."""
        held = None if node is None else children(node)
        given = dict(held or ())
        if given and all(isinstance(key, tuple) and len(key) == 2 for key in given):  # noqa: PLR2004
            self._by_pairs(given, name)
            return
        keys = list(tree) if isinstance(tree, dict) else []
        if keys and _are_alike(keys, given):
            missing = [key for key in keys if key not in given]
            if missing:
                raise InputError(
                    f"`{name}` has no Jacobian of the output `{readable_key(missing[0])}`: give "
                    f"one for each of {listed(map(readable_key, keys))}."
                )
            for key in keys:
                self.match(given[key], tree[key], f"{name}[{key!r}]")
            return
        outputs = [*_outputs_in(tree)]
        if held is None or _is_matrix(node):
            self._add(outputs, self.parameters.arrays, node, name)
            return
        matches, notes = matches_of(self.parameters, node, name)
        self.notes += notes
        pairs: list[tuple[Parameter, Match]] = list(
            zip(self.parameters.arrays, matches, strict=True)
        )
        checked = [pair for pair in pairs if pair[0].checked]
        require_all(checked)
        for parameter, (spoken, value) in checked:
            named = self.variables.get(id(value), spoken) if is_positional(spoken) else spoken
            self._add(outputs, [parameter], value, named)

    def _by_pairs(self, given: dict[Any, Any], name: str) -> None:
        """Find the blocks of a dict by output and input; what is missing is zero."""
        blocks = {
            (output.name, p.name): (output, p)
            for output in self.outputs.arrays
            for p in self.parameters.arrays
        }
        for key, value in given.items():
            if key not in blocks:
                meant = did_you_mean(str(key), map(str, blocks))
                raise InputError(
                    f"`{name}` has {key!r}, but `{self.outputs.name}` has no such output and "
                    f"input{meant}: expected {listed(map(str, blocks))}."
                )
            output, parameter = blocks[key]
            self._add([output], [parameter], value, f"{name}[{', '.join(map(repr, key))}]")
        zero = [key for key in blocks if key not in given and blocks[key][1].checked]
        for key in zero:
            output, parameter = blocks[key]
            values = np.zeros((output.size, parameter.size))
            self._add([output], [parameter], values, f"{name}[{', '.join(map(repr, key))}]")
        if zero:
            are = "is" if len(zero) == 1 else "are"
            spoken = listed(_block_name(*blocks[key]) for key in zero)
            self.notes.append(f"{spoken} {are} not in `{name}`, and so checked as zero.")

    def _add(
        self, outputs: Sequence[Output], parameters: Sequence[Parameter], value: Any, name: str
    ) -> None:
        """Split a matrix, with a row for each output and a column for each parameter."""
        if value is None:
            raise InputError(f"`{name}` is None: is a `return` missing in what computes it?")
        value = np.asarray(value) if isinstance(value, (list, tuple)) else densified(value)
        array = numeric_array(value, name)
        if array.dtype.kind == "c" and np.any(array.imag):
            raise InputError(
                f"`{name}` is complex, but outputs and parameters are real: take {name}.real, if "
                "that is all that is wrong."
            )
        array = array.real
        matrix = _matrix(array, outputs, parameters, name)
        eps, row = eps_of(significant_bits(value)), 0
        for output in outputs:
            rows, column = slice(row, row := row + output.size), 0
            for p in parameters:
                columns = slice(column, column := column + p.size)
                part = matrix[rows, columns]
                where = f"[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]"
                spoken = name if part.shape == matrix.shape else f"{name}{where}"
                self.found[output.start, p.start] = _Given(spoken, part.ravel(), eps, array.dtype)


def _matrix(
    array: NDArray[Any], outputs: Sequence[Output], parameters: Sequence[Parameter], name: str
) -> Vector:
    """Return what was given as a matrix, if it has the shape of some outputs and parameters."""
    rows, of, output = _together(outputs, "the outputs have")
    columns, by, parameter = _together(parameters, "the parameters have")
    shapes = [(rows, columns), (*of, *by), (*of, columns), (rows, *by)]
    if _squeezed(array.shape) in map(_squeezed, shapes):
        return flat_doubles(array).reshape(rows, columns)
    advice = f"a Jacobian must have shape {shapes[0]}, a row for each output"
    if array.shape == (columns, rows):
        other = name.removesuffix(".T") if name.endswith(".T") else f"{name}.T"
        advice = f"it is transposed; pass `{other}`"
    elif array.shape == (*by, *of):
        advice = "the axes of the output come first"
    raise InputError(f"`{name}` has shape {array.shape}, but {output} and {parameter}: {advice}.")


def _together(
    arrays: Sequence[Output] | Sequence[Parameter], several_have: str
) -> tuple[int, tuple[int, ...], str]:
    """Return the size and the shape of some arrays together, and both in words."""
    size = sum(array.size for array in arrays)
    if len(arrays) == 1:
        return size, arrays[0].shape, f"`{arrays[0].name}` has shape {arrays[0].shape}"
    return size, (size,), f"{several_have} {size} entries"


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _are_alike(keys: list[Any], given: dict[Any, Any]) -> bool:
    """Return True if a Jacobian has items for some outputs: by their names, or one by one."""
    if all(isinstance(key, int) for key in keys):
        return keys == list(given)
    return any(key in given for key in keys)


def _outputs_in(tree: Any) -> Iterator[Output]:
    if isinstance(tree, Output):
        yield tree
        return
    for child in tree.values():
        yield from _outputs_in(child)


def _is_matrix(node: Any) -> bool:
    """Return True for a matrix as nested lists of numbers."""
    while isinstance(node, (list, tuple)) and node:
        node = node[0]
    return isinstance(node, (int, float, np.number))
