"""The regimes: ways to make the cost, the point or the precision of any family hard to check."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np

from .family import JUMPS, KINKS_MEET, LENGTH_SCALES, LOW_PRECISION, Family, Problem, cast
from .rounded import to_bfloat16, to_float16, to_tf32

# These are the regimes of the first corpus in which the families of a kind are checked.
USUAL = (
    "plain",
    "plain, another size",
    "scaled by 1e-4",
    "scaled by 1e4",
    "offset 1e4",
    "regularised",
    "one gradient a millionth",
)


@dataclass(frozen=True)
class Regime:
    """A transformation of any family with the attribute that it `needs`.

    `ordinary` regimes are in double precision, well scaled, and without a planted kink. The variant
    of the family (its size and its activations) is drawn at random if none is given. `kind` is the
    kind of difficulty that the regime was added for; none if it is of the first corpus. If it is
    about what is `forgotten`, that is its only kind of bug, in each parameter.
    """

    name: str
    change: Callable[[Problem, np.random.Generator], Problem]
    ordinary: bool = False
    variant: int | None = None
    needs: str = "name"
    kind: str = ""
    forgotten: bool = False


def start(family: Family, regime: Regime, seed: int):
    """Return the problem before its transformation, and the random generator to go on with."""
    rng = np.random.default_rng(crc32(f"{family.name}|{regime.name}|{seed}".encode()))
    variant = int(rng.integers(2)) if regime.variant is None else regime.variant
    params, data = family.make(rng, variant)
    lengths = data.pop("lengths", {})
    return Problem(family, params, data, lengths=lengths, kinks_meet=family.kinks_meet), rng


def problem(family: Family, regime: Regime, seed: int):
    """Return the problem of a family in a regime."""
    return regime.change(*start(family, regime, seed))


def plain(problem, rng):
    return problem


def scaled(factor, problem, rng):
    return replace(problem, scale=factor)


def offset(constant, problem, rng):
    return replace(problem, offset=constant)


def summed(problem, rng):
    return replace(problem, scale=float(problem.data["m"]))


def single(problem, rng):
    """Compute everything in single precision, as many graphics cards do."""
    return replace(
        problem,
        params=cast(problem.params, np.float32),
        data=cast(problem.data, np.float32),
    )


def single_inside(returns, problem, rng):
    """Keep the parameters in double precision; the cost and the backward pass cast them."""
    return replace(problem, data=cast(problem.data, np.float32), casts=True, returns=returns)


def other_unit(unit, problem, rng):
    """Scale one parameter, p = u θ: θ is 1/u times as large, and its gradient u times."""
    name = str(rng.choice(list(problem.params)))
    params = {**problem.params, name: problem.params[name] / unit}
    return replace(problem, params=params, units={name: unit})


def other_slope(unit, problem, rng):
    """Let one parameter of the usual size move the cost u times as much as the others do."""
    name = str(rng.choice(list(problem.params)))
    return replace(problem, units={name: unit}, centres={name: problem.params[name].copy()})


def other_units(unit, problem, rng):
    """Scale all parameters, p = u θ: they are tiny or huge, with a length scale to match."""
    params = {name: value / unit for name, value in problem.params.items()}
    return replace(problem, params=params, units=dict.fromkeys(params, unit))


def regularised(problem, rng):
    return replace(problem, decay=float(10 ** rng.uniform(-4, -1)))


def zero_biases(problem, rng):
    params = {
        name: np.zeros_like(value) if name in problem.family.biases else value
        for name, value in problem.params.items()
    }
    return replace(problem, params=params)


def saturated(problem, rng):
    """Shift biases until the gradients of the saturated units are 1e-8 to 1e-14 of the others."""
    target = 10 ** rng.uniform(-14, -8)
    names = [name for name in problem.family.saturates if name in problem.params]
    signs = {name: rng.choice([-1.0, 1.0], size=problem.params[name].shape) for name in names}
    for _ in range(60):
        grads = problem.gradient()
        largest = max(np.abs(grad).max() for grad in grads.values())
        if max(np.abs(grads[name]).max() for name in names) <= target * largest:
            break
        params = {name: problem.params[name] + signs[name] for name in names}
        problem = replace(problem, params={**problem.params, **params})
    return problem


def badly_scaled(problem, rng):
    """Give the columns of the data units of 1e-4 to 10."""
    X = problem.data[problem.family.columns]
    factors = rng.permutation(np.logspace(-4, 1, X.shape[-1]))
    return replace(problem, data={**problem.data, problem.family.columns: X * factors})


def trained(problem, rng):
    """Descend until the gradient is a small part of the first one: near a minimum."""
    theta, gradient = flat(problem.params), flat(problem.gradient())
    goal = 10 ** rng.uniform(-5, -2) * np.abs(gradient).max()
    best, inverse = problem, np.eye(theta.size) / np.linalg.norm(gradient)
    cost, least = problem.cost(problem.params), np.abs(gradient).max()
    for _ in range(300):
        step, moved, new = searched(problem, cost, -inverse @ gradient, gradient)
        if moved is None or least <= goal:
            break
        change = flat(moved.gradient()) - gradient
        problem, cost, gradient = moved, new, gradient + change
        inverse = updated(inverse, step, change)
        if np.abs(gradient).max() < least:
            best, least = problem, np.abs(gradient).max()
    return best


def searched(problem, cost, direction, gradient):
    """Return the step, the problem there and its cost; no problem if no step descends."""
    if direction @ gradient >= 0:
        direction = -gradient
    # No entry moves further than 1: a likelihood may have a cliff there.
    direction = direction / max(1.0, np.abs(direction).max())
    for halvings in range(30):
        step = direction / 2**halvings
        moved = replace(problem, params=unflat(flat(problem.params) + step, problem.params))
        new = moved.cost(moved.params)
        if new <= cost + 1e-4 * (step @ gradient):
            return step, moved, new
    return direction, None, cost


def updated(inverse, step, change):
    """Return the inverse Hessian of BFGS after one more step."""
    curvature = step @ change
    if curvature <= 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
        return inverse
    projection = np.eye(len(step)) - np.outer(step, change) / curvature
    return projection @ inverse @ projection.T + np.outer(step, step) / curvature


def flat(params):
    return np.concatenate([value.ravel() for value in params.values()])


def unflat(theta, like):
    ends = np.cumsum([value.size for value in like.values()])[:-1]
    parts = zip(like.items(), np.split(theta, ends), strict=True)
    return {name: part.reshape(value.shape) for (name, value), part in parts}


def planted(exponents, problem, rng):
    """Plant one kink, exactly at the parameters or at a distance of a power of ten."""
    distance = 0.0
    if exponents is not None:
        distance = float(rng.choice([-1, 1]) * 10 ** rng.uniform(*exponents))
    problem.family.plant(problem.params, problem.data, distance)
    tie = float(rng.choice([0.0, 0.5, 1.0]))
    return replace(problem, kinked=exponents is None).with_tie(tie)


def single_kinked(problem, rng):
    return single(planted(None, problem, rng), rng)


def other_lengths(length, problem, rng):
    """Measure all parameters in large units, p = θ / length, and state the length."""
    made = other_units(1 / length, problem, rng)
    return replace(made, lengths=dict.fromkeys(made.params, 1.0))


def shifted(shift, problem, rng):
    """Let one parameter be large, and the length of the cost what it was: p = θ − shift."""
    name = str(rng.choice(list(problem.params)))
    params = {**problem.params, name: problem.params[name] + shift}
    return replace(problem, params=params, shifts={name: shift}, lengths={name: 1.0})


def pruned(problem, rng):
    """Let kinks of several entries meet: some units and their biases are zero."""
    problem.family.prune(problem.params, problem.data, rng)
    return replace(problem, kinks_meet=True)


def single_pruned(problem, rng):
    return single(pruned(problem, rng), rng)


def low_inside(rounding, problem, rng):
    """Compute the cost in low precision at numbers that it has, and return it as a float.

    The backward pass is in double precision: the gradient is that of the cost without rounding.
    """
    params, data = (
        {
            name: rounding(value)
            if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
            else value
            for name, value in values.items()
        }
        for values in (problem.params, problem.data)
    )
    returns = partial(rounded_to_float, rounding)
    made = replace(problem, params=params, data=data, rounding=rounding, returns=returns)
    bits = 10 if rounding is to_float16 else 7
    granularity = 2.0 ** (np.floor(np.log2(abs(made.cost(params)))) - bits)
    return replace(made, granularity=float(granularity))


def rounded_to_float(rounding, cost):
    return float(rounding(np.asarray(cost, dtype=float)))


def single_tf32(problem, rng):
    """Compute in single precision, of which 10 bits are left after every operation."""
    return replace(single(problem, rng), rounding=to_tf32, returns=np.float32)


def low_products(rounding, returns, problem, rng):
    """Compute in single precision, but matrices are rounded before they are multiplied."""
    made = single(problem, rng)
    return replace(made, rounding=rounding, products_only=True, returns=returns)


def offset_in_single(constant, problem, rng):
    """Add a constant, and return a number in single precision, in which little else is left."""
    granularity = float(np.spacing(np.float32(constant)))
    return replace(problem, offset=constant, returns=np.float32, granularity=granularity)


def faint(change, granularity, problem, rng):
    """Let one parameter move the cost by 2 to 100 of its units, at a tenth of the usual length."""
    grads = problem.gradient()
    name = str(rng.choice([name for name in grads if name not in problem.family.without_gradient]))
    wanted = granularity * 10 ** rng.uniform(0.3, 2) / 0.2
    centres = {name: problem.params[name].copy()}
    units = {name: float(wanted / np.abs(grads[name]).max())}
    made = change(replace(problem, units=units, centres=centres), rng)
    return replace(made, granularity=granularity)


def decimals(problem, rng):
    """Round the cost as people do who print it."""
    return replace(problem, returns=partial(round_decimals, 6), granularity=1e-6)


def round_decimals(digits, cost):
    return round(float(cost), digits)


def fixed_point(problem, rng):
    """Round the cost to 14 to 26 bits after the point."""
    bits = int(rng.integers(14, 27))
    return replace(problem, returns=partial(round_bits, bits), granularity=2.0**-bits)


def round_bits(bits, cost):
    return float(np.round(cost * 2.0**bits) / 2.0**bits)


def jumping(problem, rng):
    """Let the cost jump by 1e-9 to 1e-5 wherever the parameters enter another cell of a grid."""
    size, cell = 10 ** rng.uniform(-9, -5), 10 ** rng.uniform(-5, -1)
    return replace(problem, jumps=partial(jump, rng.normal(size=97) * size, cell))


def jump(table, cell, p):
    """Return a number from a table: it has no slope, near by or far away."""
    cells = sum(np.floor(value / cell).sum() for value in p.values())
    return table[int(cells % len(table))] if np.isfinite(cells) else np.nan


def table():
    """Return all regimes by name."""
    regimes = [
        Regime("plain", plain, ordinary=True, variant=0),
        Regime("plain, another size", plain, ordinary=True, variant=1),
        *(
            Regime(
                f"scaled by {text}", partial(scaled, float(text)), ordinary=text in {"1e-4", "1e4"}
            )
            for text in ("1e-9", "1e-4", "1e4", "1e9")
        ),
        *(
            Regime(f"offset {text}", partial(offset, float(text)))
            for text in ("1e2", "1e4", "1e6", "1e8")
        ),
        Regime("sums", summed, ordinary=True, needs="averaged"),
        Regime("regularised", regularised, ordinary=True),
        Regime("biases zero", zero_biases, ordinary=True, needs="biases"),
        Regime("single precision", single),
        Regime("single precision inside, as float32", partial(single_inside, None)),
        Regime("single precision inside, as float", partial(single_inside, float)),
        Regime("one parameter in units of 1e-6", partial(other_unit, 1e-6)),
        Regime("one parameter in units of 1e6", partial(other_unit, 1e6)),
        Regime("one gradient a millionth", partial(other_slope, 1e-6)),
        Regime("one gradient a million times", partial(other_slope, 1e6)),
        Regime("parameters of 1e-6", partial(other_units, 1e6)),
        Regime("parameters of 1e5", partial(other_units, 1e-5)),
        Regime("saturated", saturated, needs="saturates"),
        Regime("nearly at a minimum", trained),
        Regime("badly scaled data", badly_scaled, needs="columns"),
        Regime("at a kink", partial(planted, None), needs="plant"),
        Regime("1e-9 to 1e-7 from a kink", partial(planted, (-9, -7)), needs="plant"),
        Regime("1e-7 to 1e-5 from a kink", partial(planted, (-7, -5)), needs="plant"),
        Regime("at a kink, single precision", single_kinked, needs="plant"),
        *(
            Regime(name, change, needs=needs, kind=kind)
            for kind, name, change, needs in (
                (LENGTH_SCALES, "parameters of 1e-8", partial(other_lengths, 1e-8), "name"),
                (LENGTH_SCALES, "parameters of 1e-10", partial(other_lengths, 1e-10), "name"),
                (LENGTH_SCALES, "one parameter is a Unix time", partial(shifted, 1.7e9), "name"),
                (LENGTH_SCALES, "one parameter is a Julian date", partial(shifted, 2.46e6), "name"),
                (KINKS_MEET, "units pruned", pruned, "prune"),
                (KINKS_MEET, "units pruned, single precision", single_pruned, "prune"),
                (LOW_PRECISION, "float16 inside", partial(low_inside, to_float16), "name"),
                (LOW_PRECISION, "bfloat16 inside", partial(low_inside, to_bfloat16), "name"),
                (LOW_PRECISION, "TF32 inside", single_tf32, "name"),
                (
                    LOW_PRECISION,
                    "TF32 products",
                    partial(low_products, to_tf32, np.float32),
                    "columns",
                ),
                (
                    LOW_PRECISION,
                    "bfloat16 products, as float",
                    partial(low_products, to_bfloat16, float),
                    "columns",
                ),
                *(
                    (
                        LOW_PRECISION,
                        f"{text} added in single precision",
                        partial(offset_in_single, float(text)),
                        "name",
                    )
                    for text in ("1e4", "1e6")
                ),
                (LOW_PRECISION, "rounded to 6 decimals", decimals, "name"),
                (LOW_PRECISION, "rounded to a fixed point", fixed_point, "name"),
                (JUMPS, "with small jumps", jumping, "name"),
            )
        ),
        *(
            Regime(f"a faint gradient, {name}", change, kind=LOW_PRECISION, forgotten=True)
            for name, change in (
                ("rounded to 6 decimals", partial(faint, decimals, 1e-6)),
                ("offset 1e6", partial(faint, partial(offset, 1e6), float(np.spacing(1e6)))),
            )
        ),
    ]
    return {regime.name: regime for regime in regimes}


REGIMES = table()
