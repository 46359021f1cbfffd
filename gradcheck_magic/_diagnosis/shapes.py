"""Sentences on gradients whose shape is that of their parameter but for axes of length 1."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_magic._diagnosis.evidence import Evidence
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict

__all__ = ["harmless_shapes", "wrong_shapes"]


def wrong_shapes(evidence: Evidence) -> Iterator[str]:
    """Yield what becomes of each parameter whose shape an update would not keep."""
    is_known = evidence.verdict is not Verdict.INCONCLUSIVE
    for parameter, gradient, check in _unlike(evidence):
        if check.keeps_shape:
            continue
        update = _broadcast if evidence.cost.has_upstream else _updated
        right = "The values are right. " if is_known and check.verdict is Verdict.CORRECT else ""
        is_reduced = len(check.gradient_shape) < len(check.shape)
        use = "Sum with `keepdims=True`, or use" if is_reduced else "Use"
        fitting = "item()" if parameter.is_number else f"reshape({parameter.name}.shape)"
        yield (
            f"`{gradient}` has shape {check.gradient_shape}, but `{parameter.name}` has shape "
            f"{parameter.shape}: {update(parameter, gradient, check)}. "
            f"{right}{use} `{gradient}.{fitting}`."
        )


def harmless_shapes(evidence: Evidence) -> Iterator[str]:
    """Yield a note on each gradient of another shape that an update would bear."""
    for parameter, gradient, check in _unlike(evidence):
        if check.keeps_shape:
            yield (
                f"`{gradient}` has shape {check.gradient_shape} and `{parameter.name}` has shape "
                f"{parameter.shape}: axes of length 1 were ignored."
            )


def _unlike(evidence: Evidence) -> Iterator[tuple[Parameter, str, ParameterCheck]]:
    """Yield each parameter whose gradient has another shape, the name of that, and its check."""
    checks = evidence.comparison.parameters
    parts = zip(evidence.pairing.checked, evidence.pairing.gradient_names, checks, strict=True)
    return (part for part in parts if part[2].gradient_shape != part[2].shape)


def _updated(parameter: Parameter, gradient: str, check: ParameterCheck) -> str:
    """Return what a step of gradient descent makes of a parameter."""
    name, error = parameter.name, "would be an error"
    if check.updated_shape is None:
        return f"`{name} - lr * {gradient}` {error}"
    # An array that cannot be changed is only replaced by the larger one.
    in_place = "" if parameter.is_apart else f", and `{name} -= lr * {gradient}` {error}"
    return f"`{name} - lr * {gradient}` would have shape {check.updated_shape}{in_place}"


def _broadcast(parameter: Parameter, gradient: str, check: ParameterCheck) -> str:
    """Return what the two arrays make together: nobody updates the input of a layer."""
    shape = check.updated_shape
    outcome = "do not broadcast" if shape is None else f"broadcast to shape {shape}"
    return f"`{parameter.name}` and `{gradient}` together {outcome}"
