"""Gradients with regard to complex parameters, as a backward pass has them: in one array each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_numpy
from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._result.gradient_check import COLUMNS, GradientCheck
from gradcheck_magic._result.parameter_check import ParameterCheck

__all__ = ["part_names", "side_by_side"]


def side_by_side(check: GradientCheck, pairing: Pairing) -> tuple[GradientCheck, Pairing]:
    """Return a check whose θ has the real and the imaginary part of each number side by side.

    So they are in memory. A complex parameter then has another axis, of length 2.
    """
    parameters = pairing.parameters
    if not any(leaf.is_complex for leaf in parameters.leaves):
        return check, pairing
    places = np.arange(parameters.size)
    for leaf in parameters.leaves:
        if leaf.is_complex:
            places[leaf.start : leaf.stop] = leaf.start + _interleaved(leaf.size)
    measured = places[check.measured]
    order = np.argsort(measured)
    columns: dict[str, Any] = {name: getattr(check, name)[order] for name in COLUMNS}
    checked = [leaf for leaf in parameters.leaves if leaf.checked]
    parts = iter(zip(check.parameters, pairing.gradients, strict=True))
    joined = [_joined(leaf, [next(parts) for _ in leaf.parts()]) for leaf in checked]
    arrays = tuple(
        replace(leaf, array=as_numpy(leaf.array)) if leaf.is_complex else leaf
        for leaf in parameters.leaves
    )
    return (
        replace(check, measured=measured[order], parameters=tuple(c for c, _ in joined), **columns),
        replace(
            pairing,
            parameters=replace(parameters, leaves=arrays),
            gradients=tuple(gradient for _, gradient in joined),
        ),
    )


def part_names(pairing: Pairing) -> dict[str, list[str]]:
    """Return the names of the parts of each parameter."""
    leaves = pairing.parameters.leaves
    return {leaf.name: [part.name for part in leaf.parts()] for leaf in leaves}


def _interleaved(size: int) -> NDArray[np.intp]:
    """Return where real parts, and then imaginary ones, are if each pair is side by side."""
    return np.arange(2 * size).reshape(size, 2).T.reshape(-1)


def _joined(
    leaf: Parameter, parts: list[tuple[ParameterCheck, NDArray[np.float64]]]
) -> tuple[ParameterCheck, NDArray[np.float64]]:
    """Return the result for a parameter, and its gradient, from those of its parts."""
    if len(parts) == 1:
        return parts[0]
    (real, _), (imaginary, _) = parts
    whole = replace(
        real,
        name=leaf.name,
        shape=(*real.shape, 2),
        size=2 * real.size,
        n_measured=real.n_measured + imaginary.n_measured,
        n_wrong=real.n_wrong + imaginary.n_wrong,
    )
    return whole, np.stack([gradient for _, gradient in parts], axis=-1).reshape(-1)
