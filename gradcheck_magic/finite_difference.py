"""The numerical gradient entry by entry, with an error bar on each.

First the textbook's pass. Round-off, e_J/ε, is its error wherever J is of ordinary curvature, and
the noise e_J of the cost is known: so most entries are settled by it. Those that are not, and only
those, have a second look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck_magic.analytic import Analytic, gradient_under_test
from gradcheck_magic.cost import Cost
from gradcheck_magic.pairing import Pairing
from gradcheck_magic.second_look import SecondLook
from gradcheck_magic.textbook import CentralDifferences, textbook_pass

__all__ = ["measure", "measure_parameter"]


def measure(differences: CentralDifferences, cost: Cost, pairing: Pairing) -> None:
    """Measure every checked entry, parameter by parameter.

    Parameters
    ----------
    differences : CentralDifferences
        What is filled, entry by entry: it holds what is known if this is interrupted.
    cost : Cost
        Entered as a context manager.
    pairing : Pairing
        What is to be measured, in the order of `pairing.indices`.
    """
    cost.expected = cost.n_evaluations + 2 * pairing.size
    for i in range(len(pairing.checked)):
        measure_parameter(differences, cost, gradient_under_test(pairing, i, cost))


def measure_parameter(
    differences: CentralDifferences,
    cost: Cost,
    analytic: Analytic,
    ks: Sequence[int] | None = None,
    *,
    aim: float = math.inf,
) -> None:
    """Measure the next entries, those of one parameter.

    Parameters
    ----------
    ks : sequence of int, optional
        Which of the entries, as they count in C order; all, if not given.
    aim : float
        The error bar that each is to have at most, if that can be had.
    """
    ks = range(analytic.parameter.size) if ks is None else ks
    entries = SecondLook(differences, cost, analytic, ks, aim=aim)
    try:
        textbook_pass(differences, cost, analytic.parameter, ks)
    finally:
        entries.take()
    entries.settle()
    differences.n_settled = differences.n_measured
