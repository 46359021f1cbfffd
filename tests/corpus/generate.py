"""All cases, or a few of them, made from seeds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import (
    attention,
    autoencoder,
    batch_norm,
    convolution,
    dense,
    embedding,
    factorisation,
    flow,
    gaussian_process,
    linear,
    mixture,
    physics,
    recurrent,
    residual,
)
from .bugs import RIGHT, Bug, decay_bugs, outer_bugs, wrong_gradient
from .case import Case
from .regimes import REGIMES, problem, start
from .truth import assert_right, slopes

FAMILIES = {
    family.name: family
    for module in (
        dense,
        convolution,
        recurrent,
        attention,
        batch_norm,
        residual,
        embedding,
        autoencoder,
        factorisation,
        mixture,
        flow,
        gaussian_process,
        linear,
        physics,
    )
    for family in module.FAMILIES
}

# A gradient that is wrong by less than this counts as correct.
WRONG = 1e-4


class Plan(NamedTuple):
    """The identity of a case, before anything is computed."""

    family: str
    regime: str
    seed: int
    bug: Bug


def cases(seeds=(0, 1), families=None, regimes=None) -> Iterator[Case]:
    """Yield all cases: for each problem the correct gradient, then wrong ones."""
    for plan in plans(seeds, families, regimes):
        case = build(plan)
        if case is not None:
            yield case


def plans(seeds=(0, 1), families=None, regimes=None) -> Iterator[Plan]:
    """Yield the plans of `cases`; a planted bug may turn out to change nothing."""
    for family in FAMILIES if families is None else families:
        for regime in REGIMES if regimes is None else regimes:
            if getattr(FAMILIES[family], REGIMES[regime].needs):
                for seed in seeds:
                    yield from (
                        Plan(family, regime, seed, bug) for bug in bugs(family, regime, seed)
                    )


def bugs(family, regime, seed):
    """Return `RIGHT` and a choice of bugs: more of them where nothing else is hard."""
    beginning, rng = start(FAMILIES[family], REGIMES[regime], seed)
    # These are not the random numbers that the regime draws.
    rng = np.random.default_rng([seed, *rng.bytes(8)])
    inside = [Bug(name, inside=True) for name in FAMILIES[family].bugs]
    outside = outer_bugs(beginning.params, beginning.data["m"])
    plain = regime.startswith("plain")
    chosen = inside if plain else pick(rng, inside, 1)
    chosen = [*chosen, *pick(rng, outside, 5 if plain else 2)]
    return [RIGHT, *chosen, *(decay_bugs() if regime == "regularised" else [])]


def pick(rng, bugs, count):
    """Yield some of the bugs; the kind is drawn first, as there are more parameters than kinds."""
    kinds = sorted({bug.kind or bug.name for bug in bugs})
    for kind in rng.permutation(kinds)[:count]:
        alike = [bug for bug in bugs if kind in (bug.kind, bug.name)]
        yield alike[rng.integers(len(alike))]


def build(plan) -> Case | None:
    """Return the case of a plan, or None if the planted bug changes nothing."""
    made, lower, upper = solved(plan.family, plan.regime, plan.seed)
    case = Case(
        family=plan.family,
        regime=plan.regime,
        bug=plan.bug.name,
        seed=plan.seed,
        params={name: value.copy() for name, value in made.params.items()},
        grads=wrong_gradient(made, plan.bug),
        cost=made.cost,
        lower=lower,
        upper=upper,
        ordinary=REGIMES[plan.regime].ordinary,
    )
    if plan.bug == RIGHT:
        return case
    # This is judged in double precision, because rounding is not a bug.
    exact = replace(case, grads=wrong_gradient(made.in_double(), plan.bug))
    return case if exact.error() >= WRONG else None


@lru_cache(maxsize=64)
def solved(family, regime, seed):
    """Return a problem and its true slopes, after asserting that its own gradient is correct."""
    made = problem(FAMILIES[family], REGIMES[regime], seed)
    lower, upper = slopes(made)
    assert_right(made, lower, upper)
    # All cases of the problem share these arrays.
    for value in (*lower.values(), *upper.values()):
        value.flags.writeable = False
    return made, lower, upper


def sample(size, seed=0) -> list[Case]:
    """Return a fixed choice of cases, spread over all families and regimes."""
    shuffled = list(plans())
    np.random.default_rng(seed).shuffle(shuffled)
    seen: Counter = Counter()
    turns = []
    for plan in shuffled:
        turns.append(seen[plan.family, plan.regime])
        seen[plan.family, plan.regime] += 1
    chosen = []
    for index in np.argsort(turns, kind="stable"):
        if len(chosen) == size:
            break
        case = build(shuffled[index])
        if case is not None:
            chosen.append(case)
    return chosen
