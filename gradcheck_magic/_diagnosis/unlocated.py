"""Diagnoses of gradients that are proven wrong, although no entry is."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_magic._inputs.pairing import Pairing
from gradcheck_magic._measure.compare import Comparison
from gradcheck_magic._measure.measurement import Measurement
from gradcheck_magic._measure.scan import ParameterScan
from gradcheck_magic._result.cause import Cause, Diagnosis

__all__ = ["unlocated"]


def unlocated(
    pairing: Pairing, comparison: Comparison, measurement: Measurement, cost_name: str
) -> Iterator[Diagnosis]:
    """Yield a diagnosis for each of them, with the slope that proves it."""
    scanned = measurement.scan.parameters if measurement.scan else [None] * len(pairing.checked)
    parts = zip(scanned, comparison.parameters, pairing.gradient_names, strict=True)
    for each, check, gradient_name in parts:
        if check.n_wrong:
            continue
        if each is not None and each.is_proven_wrong and each.rest is not None:
            slope, given = each.rest.slope, each.rest.slope - each.rest.value
            along, unknown = f"a random direction in `{check.name}`", _none_of(each)
        elif check.name in measurement.together:
            slope, given = measurement.together[check.name]
            along = "all of its errors at once"
            unknown = (
                f": the noise of `{cost_name}` hides the error of each. Compute it in higher "
                "precision to see them"
            )
        else:
            continue
        yield Diagnosis(
            Cause.UNKNOWN,
            (check.name,),
            f"`{gradient_name}` is wrong: along {along}, the slope of `{cost_name}` is "
            f"{slope:.4g}, but {given:.4g} according to the gradient. Which entries are wrong is "
            f"not known{unknown}.",
            {"n_wrong": 0},
        )


def _none_of(each: ParameterScan) -> str:
    """Return how many entries were measured individually, if any were: none of them is wrong."""
    n_right = len(each.sampled.ks)
    return f": none of the {n_right:,} that were measured individually" if n_right > 1 else ""
