"""Gradients as a backward pass has them, where the check tells them otherwise.

The check tells the real and the imaginary part of complex numbers as two arrays, and a flat θ in
the arrays that the cost reads from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_numpy
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter, numeric_array
from gradcheck_magic._result.gradient_check import COLUMNS, GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = ["Layout", "layouts_of"]

Gradient = NDArray[np.float64]


class Layout(NamedTuple):
    """A check and its gradients in arrays, and the names under which each of these is told."""

    check: GradientCheck
    pairing: Pairing
    told: dict[str, list[str]]


def layouts_of(check: GradientCheck, pairing: Pairing) -> list[Layout]:
    """Return the layouts in which the code may have the gradients, the most telling first."""
    parameters = pairing.parameters
    layouts = [_side_by_side(check, pairing)]
    if not parameters.is_container and len(parameters.leaves) > 1:
        layouts.append(_as_one_vector(check, pairing))
    return layouts


def _side_by_side(check: GradientCheck, pairing: Pairing) -> Layout:
    """Return a check whose θ has the real and the imaginary part of each number side by side.

    So they are in memory. A complex parameter then has another axis, of length 2.
    """
    parameters = pairing.parameters
    told = {leaf.name: [part.name for part in leaf.parts()] for leaf in parameters.leaves}
    if not any(leaf.is_complex for leaf in parameters.leaves):
        return Layout(check, pairing, told)
    places = np.arange(parameters.size)
    for leaf in parameters.leaves:
        if leaf.is_complex:
            places[leaf.start : leaf.stop] = leaf.start + _interleaved(leaf.size)
    measured = places[check.measured]
    order = np.argsort(measured)
    columns: dict[str, Any] = {name: getattr(check, name)[order] for name in COLUMNS}
    parts = iter(zip(check.parameters, pairing.gradients, strict=True))
    checked = [leaf for leaf in parameters.leaves if leaf.checked]
    joined = [_joined(leaf, [next(parts) for _ in leaf.parts()]) for leaf in checked]
    leaves = tuple(
        replace(leaf, array=as_numpy(leaf.array)) if leaf.is_complex else leaf
        for leaf in parameters.leaves
    )
    return Layout(
        replace(check, measured=measured[order], parameters=tuple(c for c, _ in joined), **columns),
        _with_leaves(pairing, leaves, tuple(gradient for _, gradient in joined)),
        told,
    )


def _as_one_vector(check: GradientCheck, pairing: Pairing) -> Layout:
    """Return a check of a flat θ that is no longer told in pieces."""
    name, pieces = pairing.parameters.name, check.parameters
    array = numeric_array(pairing.parameters.container, name)
    gradient = np.concatenate(pairing.gradients)
    return Layout(
        replace(check, parameters=(_together(name, array.shape, pieces),)),
        _with_leaves(pairing, (replace(pairing.checked[0], name=name, array=array),), (gradient,)),
        {name: [piece.name for piece in pieces if piece.n_wrong]},
    )


def _with_leaves(
    pairing: Pairing, leaves: tuple[Parameter, ...], gradients: tuple[Gradient, ...]
) -> Pairing:
    parameters = replace(pairing.parameters, leaves=leaves)
    return replace(pairing, parameters=parameters, gradients=gradients)


def _interleaved(size: int) -> NDArray[np.intp]:
    """Return where real parts, and then imaginary ones, are if each pair is side by side."""
    return np.arange(2 * size).reshape(size, 2).T.reshape(-1)


def _joined(
    leaf: Parameter, parts: list[tuple[ParameterCheck, Gradient]]
) -> tuple[ParameterCheck, Gradient]:
    """Return the result for a parameter, and its gradient, from those of its parts."""
    if len(parts) == 1:
        return parts[0]
    checks, gradients = zip(*parts, strict=True)
    whole = _together(leaf.name, (*leaf.shape, 2), checks)
    return whole, np.stack(gradients, axis=-1).reshape(-1)


def _together(
    name: str, shape: tuple[int, ...], parts: tuple[ParameterCheck, ...]
) -> ParameterCheck:
    """Return the result for an array of which there are results for its parts."""
    return replace(
        parts[0],
        name=name,
        shape=shape,
        size=sum(part.size for part in parts),
        n_measured=sum(part.n_measured for part in parts),
        n_wrong=sum(part.n_wrong for part in parts),
    )
