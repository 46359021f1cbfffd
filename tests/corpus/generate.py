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
    branches,
    convolution,
    dense,
    embedding,
    factorisation,
    flow,
    gaussian_process,
    linear,
    meeting_kinks,
    mixture,
    near_limits,
    physics,
    recurrent,
    residual,
    small_units,
    solvers,
)
from .bugs import RIGHT, Bug, decay_bugs, outer_bugs, wrong_gradient
from .case import Case
from .regimes import REGIMES, USUAL, problem, start
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
        # What follows was added for a kind of difficulty.
        small_units,
        meeting_kinks,
        solvers,
        near_limits,
        branches,
    )
    for family in module.FAMILIES
}

# The corpus as a whole, what it was at first, and what was added for the kinds of difficulty.
PARTS = ("whole", "first", "added")
# A gradient that is wrong by less than this counts as correct.
WRONG = 1e-4


class Plan(NamedTuple):
    """The identity of a case, before anything is computed."""

    family: str
    regime: str
    seed: int
    bug: Bug


def cases(seeds=(0, 1), families=None, regimes=None, part="whole") -> Iterator[Case]:
    """Yield all cases: for each problem the correct gradient, then wrong ones."""
    for plan in plans(seeds, families, regimes, part):
        case = build(plan)
        if case is not None:
            yield case


def plans(seeds=(0, 1), families=None, regimes=None, part="whole") -> Iterator[Plan]:
    """Yield the plans of `cases`; a planted bug may turn out to change nothing."""
    pairs = [
        (family, regime)
        for family in (FAMILIES if families is None else families)
        for regime in (REGIMES if regimes is None else regimes)
        if crossed(family, regime)
        and part in {"whole", "added" if kind(family, regime) else "first"}
    ]
    # What was added comes last: the first corpus stands as it stood.
    for family, regime in sorted(pairs, key=lambda pair: bool(kind(*pair))):
        for seed in seeds:
            yield from (Plan(family, regime, seed, bug) for bug in bugs(family, regime, seed))


def crossed(family, regime):
    """Return whether the family is checked in the regime.

    The families and the regimes of the first corpus are all crossed. A family that was added for
    one kind of difficulty is checked in the usual ones of these regimes, and a regime that was
    added for one is tried on the families of the first corpus.
    """
    suits = bool(getattr(FAMILIES[family], REGIMES[regime].needs))
    return suits and (not FAMILIES[family].kind or regime in USUAL)


def kind(family, regime):
    """Return the kind of difficulty that was added with the family or the regime, or nothing."""
    return FAMILIES[family].kind or REGIMES[regime].kind


def bugs(family, regime, seed):
    """Return `RIGHT` and a choice of bugs: more of them where nothing else is hard."""
    beginning, rng = start(FAMILIES[family], REGIMES[regime], seed)
    # These are not the random numbers that the regime draws.
    rng = np.random.default_rng([seed, *rng.bytes(8)])
    inside = [Bug(name, inside=True) for name in FAMILIES[family].bugs]
    outside = outer_bugs(beginning.params, beginning.data["m"])
    if REGIMES[regime].forgotten:
        return [RIGHT, *(bug for bug in outside if bug.kind == "nothing for")]
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
        ordinary=REGIMES[plan.regime].ordinary and FAMILIES[plan.family].ordinary,
        kind=kind(plan.family, plan.regime),
        granularity=made.granularity,
        lengths={name: length / made.units.get(name, 1.0) for name, length in made.lengths.items()},
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
