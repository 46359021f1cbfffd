"""The price of a check: evaluations, time, memory, the gain of a second worker, and the import.

    python -m tests.benchmarks.speed

runs everything; ``--part`` runs one part, and ``--quick`` does less of each. Both sides of every
ratio are measured in the same run, in turns. The exit code is 1 if this check misses its goals.
"""

import argparse
import importlib
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import NamedTuple

# Every cost runs on one core. NumPy reads these when it is imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from gradcheck_magic import Verdict, check_gradients
from tests.benchmarks.harness import Count, Goal, progress, say, show_goals, show_table
from tests.support.networks import ACTIVATIONS, Network

# The evaluations that a scan may take: for a correct gradient, for each wrong entry, for a region.
SCAN_ONCE, SCAN_PER_ENTRY, SCAN_REGION = 60, 90, 250
# Rounds with one planted error that a scan promises to find with probability 0.999, and how many
# may be missed: more would happen by chance once in 200 times.
POWER_ROUNDS, POWER_MISSED = 1000, 4
QUICK_ROUNDS, QUICK_MISSED = 100, 1
# The size of that error, in units of the promised one.
BEYOND = 1.05
# And at least this share of the entry.
RELATIVE = 2.1e-5
# The most time of a whole check in units of its evaluations, if one evaluation takes SLOW seconds
# or more; and the most that one may cost beyond the cost itself, in seconds.
SLOW, MOST_RATIO, MOST_OWN = 1e-4, 1.05, 3e-6
# A cost that takes no longer than this, in seconds, is next to free.
FREE = 1e-5
# Sizes of θ, and the number of measurements of each.
REPEATS = {10**3: 9, 10**4: 5, 10**5: 1}
# During a check, the bare cost is timed for TURN seconds, every EVERY seconds.
TURN, EVERY = 0.02, 0.1
# In units of arrays of the size of θ.
MOST_MEMORY = 6.0
LEAST_SPEEDUP = 1.7
WORKER_REPEATS = 3
# The most time of the import beyond NumPy's, in seconds; and the number of pairs of processes in
# which it is timed.
MOST_IMPORT = 0.15
IMPORT_REPEATS, QUICK_IMPORT_REPEATS = 31, 7

# The number of failing scans that are listed, and of characters that are shown of each remark.
MOST_LINES, MOST_CHARACTERS = 30, 90

Gradients = dict[str, np.ndarray]


# The costs, with gradients written by hand


class Flat(NamedTuple):
    """A cost of a flat θ."""

    cost: Callable
    theta: np.ndarray
    grad: np.ndarray


def product(n):
    """Return the product of two entries of θ, the cheapest cost there is."""
    theta = np.linspace(0.5, 1.5, n)
    grad = np.zeros(n)
    grad[3], grad[5] = theta[5], theta[3]
    return Flat(lambda theta: theta[3] * theta[5], theta, grad)


def logistic(n, draws):
    """Return logistic regression on one example, averaged over some draws of noise in its score.

    The work is the same for all n, and it is done within the processor's caches.
    """
    random = np.random.default_rng(0)
    x, theta = random.normal(size=n) / np.sqrt(n), random.normal(size=n)
    noise = random.normal(size=draws)
    grad = -x * np.mean(1 / (1 + np.exp(x @ theta + noise)))
    return Flat(lambda theta: np.logaddexp(0, -(x @ theta + noise)).mean(), theta, grad)


# Enough draws to take about 100 µs or more.
FLAT_COSTS = {
    "slow": lambda n: logistic(n, 10_000),
    "cheap": lambda n: logistic(n, 1),
    "free": product,
}


# These take about 5 ms each in one thread, and can be sent to a process.


class Recurrent:
    """A cost with many small arrays: a recurrent layer, 180 steps of h = tanh(x + h W)."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.X, self.y = random.normal(size=(180, 250, 31)) / 2, random.normal(size=(250, 31))
        self.W = random.normal(size=(31, 31)) * 0.1

    def states(self, W):
        h = [np.zeros(self.y.shape)]
        for x in self.X:
            h.append(np.tanh(x + h[-1] @ W))
        return h

    def cost(self, W):
        return np.mean((self.states(W)[-1] - self.y) ** 2) / 2

    def grad(self):
        *before, last = self.states(self.W)
        dh, dW = (last - self.y) / self.y.size, np.zeros_like(self.W)
        for h, after in zip(before[::-1], [last, *before[:0:-1]], strict=True):
            dz = dh * (1 - after**2)
            dW += h.T @ dz
            dh = dz @ self.W.T
        return dW


class Layer:
    """A cost with few large arrays: a regression on the sum of tanh of 75,000 examples."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.X, self.y = random.normal(size=(75_000, 30)), random.normal(size=75_000)
        self.W = random.normal(size=(30, 10)) * 0.2

    def cost(self, W):
        return np.mean((np.tanh(self.X @ W).sum(axis=1) - self.y) ** 2) / 2

    def grad(self):
        A = np.tanh(self.X @ self.W)
        residual = (A.sum(axis=1) - self.y) / len(self.y)
        return self.X.T @ (residual[:, np.newaxis] * (1 - A**2))


# Wrong gradients, changed in place


def ordinary(sizes):
    """Return where the sizes are at least the median of those that are not zero."""
    return sizes >= np.median(sizes[sizes > 0])


def plant_entries(grads: Gradients, random: np.random.Generator, count: int, *, evenly=False):
    """Make entries of ordinary size wrong by half.

    They are anywhere in θ or, with `evenly`, in any parameter with the same probability.
    """
    pools = {name: np.flatnonzero(ordinary(np.abs(grad))) for name, grad in grads.items()}
    weights = np.array([1.0 if evenly else len(pool) for pool in pools.values()])
    chosen = set()
    while len(chosen) < count:
        name = str(random.choice(list(pools), p=weights / weights.sum()))
        chosen.add((name, int(random.choice(pools[name]))))
    for name, k in chosen:
        grads[name].flat[k] *= 1.5


def plant_parameter(grads: Gradients, random: np.random.Generator, change: Callable):
    """Make a whole parameter wrong."""
    name = str(random.choice(list(grads)))
    grads[name] = change(grads[name])


def plant_line(grads: Gradients, random: np.random.Generator, axis: int):
    """Double a row (axis 0) or a column (axis 1) of ordinary size in one of the weights."""
    lines = np.moveaxis(grads[str(random.choice(["W1", "W2", "W3"]))], axis, 0)
    lines[random.choice(np.flatnonzero(ordinary(np.abs(lines).sum(axis=1))))] *= 2


def transposed(grad):
    """Return the right values in other places, in the same shape."""
    return grad.T.reshape(grad.shape) if grad.ndim > 1 else grad[::-1]


class Kind(NamedTuple):
    """A kind of wrong gradient, and the most evaluations that a scan may take to find it.

    The scan must list all its entries or, with `region`, name the region.
    """

    plant: Callable
    most: int | None
    region: bool = False


KINDS = {
    "right": Kind(lambda _grads, _random: None, SCAN_ONCE),
    **{
        f"{k} wrong, {where}": Kind(
            partial(plant_entries, count=k, evenly=evenly), SCAN_ONCE + k * SCAN_PER_ENTRY
        )
        for where, evenly in {"anywhere": False, "any parameter": True}.items()
        for k in (1, 3, 10)
    },
    **{
        f"parameter {how}": Kind(partial(plant_parameter, change=change), SCAN_REGION, region=True)
        for how, change in {
            "× 2": lambda grad: 2 * grad,
            "× −1": np.negative,
            "transposed": transposed,
        }.items()
    },
    "row × 2": Kind(partial(plant_line, axis=0), SCAN_REGION, region=True),
    "column × 2": Kind(partial(plant_line, axis=1), None, region=True),
}


# Scans


@dataclass(frozen=True)
class Scan:
    """One check in scan mode, and what it found.

    Attributes
    ----------
    kind, activation, seed
        The case that was checked.
    found : bool
        Whether everything wrong is listed, or its region named, and nothing else.
    accused : int
        The number of listed entries that are correct.
    evaluations : int
        The number of calls of the cost.
    seconds : float
        The seconds that it took.
    remark : str
        The headline of the check.
    """

    kind: str
    activation: str
    seed: int
    found: bool
    accused: int
    evaluations: int
    seconds: float
    remark: str


def scan(network: Network, right: Gradients, kind: str, activation: str, seed: int) -> Scan:
    """Plant errors, and return what a scan finds."""
    grads = {name: grad.copy() for name, grad in right.items()}
    KINDS[kind].plant(grads, np.random.default_rng([seed, list(KINDS).index(kind)]))
    planted = {name: grads[name] != right[name] for name in grads}
    n_planted = sum(int(mask.sum()) for mask in planted.values())
    check = check_gradients(network.params, grads, network.cost, mode="scan", seed=seed)
    accused = sum(not planted[name][index] for name, index in check.wrong_entries)
    if KINDS[kind].region:
        named = {name for diagnosis in check.diagnoses for name in diagnosis.names}
        region = {name for name, mask in planted.items() if mask.any()}
        found = check.verdict is Verdict.BUG and bool(named & region)
    else:
        found = len(check.wrong_entries) == n_planted and check.passed == (n_planted == 0)
    return Scan(
        kind,
        activation,
        seed,
        found and not accused,
        accused,
        check.n_evaluations,
        check.seconds,
        check.headline(),
    )


def show_scans(scans: Sequence[Scan], size: int, by: str) -> None:
    """Show what is found and with how many evaluations, by kind or by activation."""
    lines = []
    for name in dict.fromkeys(getattr(scan, by) for scan in scans):
        part = [scan for scan in scans if getattr(scan, by) == name]
        evaluations = [scan.evaluations for scan in part]
        quantiles = " | ".join(f"{np.quantile(evaluations, q):.0f}" for q in (0, 0.5, 1))
        found = Count(sum(scan.found for scan in part), len(part))
        accused = sum(scan.accused for scan in part)
        seconds = np.median([scan.seconds for scan in part])
        ratio = 2 * size / np.median(evaluations)
        lines.append([name, found, accused, quantiles, f"{ratio:,.0f}", f"{seconds:.2f}"])
    show_table(
        f"Scans of {size:,} entries, by {by} (evaluations: min | median | max; full: 2n = "
        f"{2 * size:,}, and so many times the median of a scan)",
        ["", "found", "right ones accused", "evaluations", "full / scan", "seconds"],
        lines,
    )


def show_failures(scans: Sequence[Scan]) -> None:
    """List the scans that did not find everything, or accused a correct entry."""
    failing = [scan for scan in scans if not scan.found]
    say(f"\n{len(failing)} of {len(scans)} scans fail")
    for scan in failing[:MOST_LINES]:
        where = f"{scan.kind}, {scan.activation}, seed {scan.seed}"
        said = scan.remark[:MOST_CHARACTERS]
        say(f"  {where}: {scan.accused} accused, {scan.evaluations} evaluations: {said}")
    if len(failing) > MOST_LINES:
        say(f"  … and {len(failing) - MOST_LINES} more")


def scan_part(options: argparse.Namespace) -> list[Goal]:
    """Scan a network of nearly a million entries, correct and wrong in many ways."""
    scans = []
    for activation in ACTIVATIONS:
        for seed in range(options.seeds):
            network = Network.large(activation, seed)
            right = network.grads()
            for kind in KINDS:
                scans.append(scan(network, right, kind, activation, seed))
                progress(len(scans))
    show_scans(scans, network.size, "kind")
    show_scans(scans, network.size, "activation")
    show_failures(scans)
    found = Count(sum(scan.found for scan in scans), len(scans))
    accused = sum(scan.accused for scan in scans)
    return [
        Goal("all that is wrong found, and nothing else", str(found), found.found == found.among),
        Goal("no right entry accused", str(accused), not accused),
        *(
            _within(kind, most, (scan.evaluations for scan in scans if scan.kind == kind))
            for kind, (_, most, _) in KINDS.items()
            if most
        ),
        power(options),
    ]


def _within(kind: str, most: int, evaluations: Iterable[int]) -> Goal:
    largest = max(evaluations)
    return Goal(f"{kind}: at most {most} evaluations", str(largest), largest <= most)


def power(options: argparse.Namespace) -> Goal:
    """Plant errors that are just large enough, in the parameter in which a scan is least precise.

    An entry that is off by less than 2e-5 of itself is not called wrong in any mode.
    """
    rounds, most = (QUICK_ROUNDS, QUICK_MISSED) if options.quick else (POWER_ROUNDS, POWER_MISSED)
    network = Network.small("tanh", 0)
    right = network.grads()
    scanned = partial(check_gradients, network.params, cost_function=network.cost, mode="scan")
    limits = {name: scanned(right, only=[name]).detectable for name in right}
    weakest = max(limits, key=limits.get)
    random = np.random.default_rng(0)
    sizes, missed, listed = [], 0, 0
    for seed in range(rounds):
        limit = BEYOND * scanned(right, seed=seed).detectable
        grads = right | {weakest: right[weakest].copy()}
        index = tuple(int(random.integers(length)) for length in grads[weakest].shape)
        sizes.append(max(limit, RELATIVE * abs(right[weakest][index])))
        grads[weakest][index] += random.choice([-1, 1]) * sizes[-1]
        check = scanned(grads, seed=seed)
        missed += check.passed
        listed += check.wrong_entries == ((weakest, index),)
    gradient = np.median(np.abs(right[weakest][right[weakest] != 0]))
    show_table(
        f"One error of {BEYOND:g} × `detectable`, in {network.size:,} entries",
        ["in", "limit by itself", "error, median", "|gradient|, median", "found", "listed"],
        [
            [
                weakest,
                f"{limits[weakest]:.2g}",
                f"{np.median(sizes):.2g}",
                f"{gradient:.2g}",
                Count(rounds - missed, rounds),
                Count(listed, rounds),
            ]
        ],
    )
    wanted = f"errors beyond `detectable`: at most {most} of {rounds} not listed"
    return Goal(wanted, str(rounds - listed), rounds - listed <= most)


# Time beyond the evaluations


class Meter:
    """A timer of the bare cost that takes turns with a check, so that both see the same load.

    Attributes
    ----------
    calls, seconds
        The number of calls of the cost, and the seconds that they took.
    """

    def __init__(self, cost: Callable, theta: np.ndarray) -> None:
        self._cost, self._theta = cost, theta
        self._due = 0.0
        self._calls_in_turn, taken = 1, 0.0
        while taken < TURN:
            self._calls_in_turn *= 2
            self.calls = self.seconds = 0
            self.turn()
            taken = self.seconds

    def turn(self) -> None:
        """Call the cost many times."""
        cost, theta = self._cost, self._theta
        started = time.perf_counter()
        for _ in range(self._calls_in_turn):
            cost(theta)
        ended = time.perf_counter()
        self.calls += self._calls_in_turn
        self.seconds += ended - started
        self._due = ended + EVERY

    def progress(self, *_: float) -> None:
        """Take a turn if one is due."""
        if time.perf_counter() >= self._due:
            self.turn()


class Timing(NamedTuple):
    """One check: seconds without the timer's, evaluations, and the seconds of a bare evaluation."""

    seconds: float
    evaluations: int
    bare: float

    @property
    def own(self) -> float:
        """The seconds that an evaluation takes beyond the cost itself."""
        return self.seconds / self.evaluations - self.bare

    @property
    def ratio(self) -> float:
        """The time of the check in units of its evaluations."""
        return self.seconds / self.evaluations / self.bare


def timed(flat: Flat) -> Timing:
    """Time one check in full mode."""
    meter = Meter(flat.cost, flat.theta)
    before, started = meter.seconds, time.perf_counter()
    check = check_gradients(flat.theta, flat.grad, flat.cost, mode="full", progress=meter.progress)
    seconds = time.perf_counter() - started - (meter.seconds - before)
    meter.turn()
    check.raise_if_failed()
    return Timing(seconds, check.n_evaluations, meter.seconds / meter.calls)


def full_part(options: argparse.Namespace) -> list[Goal]:
    """Measure what a full check takes beyond its evaluations, and compare it with others."""
    sizes = [n for n in REPEATS if n < max(REPEATS) or not options.quick]
    lines, goals = [], []
    for name, make in FLAT_COSTS.items():
        for n in sizes:
            flat = make(n)
            timings = sorted((timed(flat) for _ in range(REPEATS[n])), key=lambda each: each.own)
            timing = timings[len(timings) // 2]
            lines.append(
                [
                    f"{name}, n = {n:,}",
                    f"{timing.evaluations / n:.2f}",
                    f"{timing.bare * 1e6:.2f}",
                    f"{timing.seconds:.3f}",
                    f"{timing.own * 1e6:.2f}",
                    f"{timing.ratio:.3f}",
                ]
            )
            goals += _overhead(f"{name}, n = {n:,}", timing)
    show_table(
        "Full mode, beyond its evaluations (the median of several checks)",
        ["cost", "evaluations / n", "bare µs", "seconds", "own µs", "ratio"],
        lines,
    )
    show_rivals(sizes)
    return goals


def _overhead(name: str, timing: Timing) -> list[Goal]:
    """Return the goals for costs that are slow and for those that are next to free."""
    if timing.bare >= SLOW:
        wanted = f"{name}: at most {MOST_RATIO:g} × its evaluations"
        return [Goal(wanted, f"{timing.ratio:.3f}", timing.ratio <= MOST_RATIO)]
    if timing.bare > FREE:
        return []
    wanted = f"{name}: at most {MOST_OWN * 1e6:g} µs of its own for an evaluation"
    return [Goal(wanted, f"{timing.own * 1e6:.2f}", timing.own <= MOST_OWN)]


# Other packages that compute the same differences


def by_this_check(flat: Flat) -> np.ndarray:
    """Run this check with its defaults."""
    return check_gradients(flat.theta, flat.grad, flat.cost, mode="full").numerical


def by_textbook(flat: Flat, epsilon: float = 1e-7) -> np.ndarray:
    """Run the loop as courses write it, with two copies of θ for each entry."""
    approx = np.zeros(flat.theta.size)
    for i in range(flat.theta.size):
        theta_plus = np.copy(flat.theta)
        theta_plus[i] += epsilon
        theta_minus = np.copy(flat.theta)
        theta_minus[i] -= epsilon
        approx[i] = (flat.cost(theta_plus) - flat.cost(theta_minus)) / (2 * epsilon)
    return approx


def by_scipy(flat: Flat) -> np.ndarray:
    """Call the function that SciPy's optimisers use."""
    differentiate = importlib.import_module("scipy.optimize._numdiff").approx_derivative
    return differentiate(flat.cost, flat.theta, method="3-point")


def by_numdifftools(flat: Flat) -> np.ndarray:
    """Extrapolate from many steps."""
    return importlib.import_module("numdifftools").Gradient(flat.cost)(flat.theta)


# Each with the package that contains it, and the largest θ for which it is quick enough.
RIVALS = {
    "textbook loop": ("numpy", by_textbook, 10**5),
    "scipy 3-point": ("scipy", by_scipy, 10**5),
    "numdifftools": ("numdifftools", by_numdifftools, 10**3),
}


def show_rivals(sizes: Iterable[int]) -> None:
    """Show how long others take for the same cost, in units of this check, and their accuracy."""
    lines = []
    for n in sizes:
        flat = FLAT_COSTS["cheap"](n)
        entrants = {"this check": by_this_check} | {
            name: rival
            for name, (package, rival, most) in RIVALS.items()
            if n <= most and util.find_spec(package)
        }
        best, errors = dict.fromkeys(entrants, np.inf), {}
        for _ in range(REPEATS[n]):
            for name, differentiate in entrants.items():
                started = time.perf_counter()
                numerical = differentiate(flat)
                best[name] = min(best[name], time.perf_counter() - started)
                errors[name] = np.max(np.abs(numerical - flat.grad))
        lines += [
            [
                f"n = {n:,}, {name}",
                f"{best[name]:.3f}",
                f"{best[name] / best['this check']:.2f}",
                f"{errors[name]:.1e}",
            ]
            for name in entrants
        ]
    show_table(
        "Others on the cheap cost (the best of several runs, in turns)",
        ["", "seconds", "ratio", "largest error"],
        lines,
    )


# Memory

# The shapes of 10⁷ entries, by the way in which the cost gets them.
WAYS = {
    "a vector": {"theta": (10**7,)},
    "a dict": {"W": (2000, 4990), "b": (20_000,)},
    "a closure": {"W": (2000, 4990), "b": (20_000,)},
}
CHUNK = 2**16


def pseudo_huber(*arrays: np.ndarray) -> float:
    """Return the mean of √(1 + θᵢ²), computed in chunks so that it needs next to no memory."""
    total = 0.0
    for array in arrays:
        entries = array.reshape(-1)
        for start in range(0, entries.size, CHUNK):
            total += np.sum(np.sqrt(1 + entries[start : start + CHUNK] ** 2))
    return total / sum(array.size for array in arrays)


class Memory(NamedTuple):
    """The peaks of a check, without the cost, and of one evaluation, in arrays of the size of θ."""

    own: float
    cost: float
    verdict: str
    listed: int
    evaluations: int
    seconds: float


def peak(function: Callable[[], object]) -> tuple[int, object]:
    """Return the peak of the bytes that a call allocates, and its result."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    result = function()
    _, worst = tracemalloc.get_traced_memory()
    return worst - before, result


def memory_of(way: str, n_wrong: int) -> Memory:
    """Measure one scan, in its own process because earlier allocations would distort the result."""
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=shape) for name, shape in WAYS[way].items()}
    size = sum(array.size for array in arrays.values())
    gradients = {name: a / np.sqrt(1 + a**2) / size for name, a in arrays.items()}
    plant_entries(gradients, random, n_wrong)
    params, grads, cost, arguments = {
        "a vector": (*arrays.values(), *gradients.values(), pseudo_huber, tuple(arrays.values())),
        "a dict": (arrays, gradients, lambda params: pseudo_huber(*params.values()), (arrays,)),
        "a closure": (arrays, gradients, lambda: pseudo_huber(*arrays.values()), ()),
    }[way]
    tracemalloc.start()
    of_cost, _ = peak(lambda: cost(*arguments))
    of_check, check = peak(lambda: check_gradients(params, grads, cost, mode="scan"))
    tracemalloc.stop()
    unit = 8 * size
    return Memory(
        (of_check - of_cost) / unit,
        of_cost / unit,
        check.verdict.name,
        len(check.wrong_entries),
        check.n_evaluations,
        check.seconds,
    )


def memory_part(_options: argparse.Namespace) -> list[Goal]:
    """Measure the memory of scans of ten million entries."""
    lines, goals = [], []
    for way, n_wrong in [*((way, 0) for way in WAYS), ("a dict", 3)]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            used = pool.submit(memory_of, way, n_wrong).result()
        name = f"{way}, {n_wrong} wrong"
        lines.append(
            [
                name,
                f"{used.own:.2f}",
                f"{used.cost:.2f}",
                used.verdict,
                used.listed,
                used.evaluations,
                f"{used.seconds:.1f}",
            ]
        )
        wanted = f"memory of {name}: less than {MOST_MEMORY:g} arrays of θ"
        goals.append(Goal(wanted, f"{used.own:.2f}", used.own < MOST_MEMORY))
    show_table(
        "Peak memory of a scan of 10,000,000 entries, in arrays of θ (seconds: while traced)",
        ["", "own", "of the cost", "verdict", "listed", "evaluations", "seconds"],
        lines,
    )
    return goals


# Workers


@contextmanager
def dask_cluster() -> Iterator[Executor]:
    """Start two processes of Dask, with its defaults."""
    # Only this part needs it, and it takes a second to import.
    from distributed import Client, LocalCluster  # noqa: PLC0415

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client.get_executor()


@contextmanager
def ipyparallel_cluster() -> Iterator[Executor]:
    """Start two engines of ipyparallel, with its defaults."""
    import ipyparallel  # noqa: PLC0415

    with ipyparallel.Cluster(n=2, log_level=logging.ERROR) as client:
        client.wait_for_engines(2, interactive=False)
        yield client.executor()


CLUSTERS = {
    "loky": lambda: nullcontext(2),
    "Dask": dask_cluster,
    "ipyparallel": ipyparallel_cluster,
}


def seconds_of(layer: Layer | Recurrent, workers: int | Executor) -> float:
    """Check a layer in full, and return the seconds that it took."""
    grad = layer.grad()
    started = time.perf_counter()
    check = check_gradients(layer.W, grad, layer.cost, mode="full", workers=workers)
    seconds = time.perf_counter() - started
    check.raise_if_failed()
    return seconds


def workers_part(_options: argparse.Namespace) -> list[Goal]:
    """Measure how much time a second worker saves."""
    if (os.cpu_count() or 1) < 2:
        say("\nWorkers: left out, for there is one core alone.")
        return []
    lines, goals = [], []
    for name, cluster in CLUSTERS.items():
        with cluster() as workers:
            for layer in (Recurrent(), Layer()):
                # The first check starts any missing workers, and sends the data.
                seconds_of(layer, workers)
                turns = [
                    (seconds_of(layer, 1), seconds_of(layer, workers))
                    for _ in range(WORKER_REPEATS)
                ]
                one, two = np.min(turns, axis=0)
                kind = type(layer).__name__
                ratio = f"{one / two:.2f}"
                lines.append([name, kind, layer.W.size, f"{one:.2f}", f"{two:.2f}", ratio])
                if isinstance(layer, Recurrent) or name == "loky":
                    wanted = f"two workers of {name}'s, {kind}: {LEAST_SPEEDUP:g} times as fast"
                    goals.append(Goal(wanted, ratio, one / two >= LEAST_SPEEDUP))
    show_table(
        "Workers: full checks, each evaluation in one thread (the best of several runs)",
        ["workers", "cost", "n", "1 worker, seconds", "2 workers, seconds", "ratio"],
        lines,
    )
    return goals


# The import


def import_seconds(module: str, caches: str) -> float:
    """Import a module in a new process, and return the seconds that it took there."""
    code = f"from time import perf_counter as t; a = t(); import {module}; print(t() - a)"
    # Compiled modules are written and then reused, whatever the user's settings are.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": caches}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def import_part(options: argparse.Namespace) -> list[Goal]:
    """Measure the time of the import beyond that of NumPy alone, in turns, with warm caches."""
    repeats = QUICK_IMPORT_REPEATS if options.quick else IMPORT_REPEATS
    modules = ("numpy", "gradcheck_magic")
    with tempfile.TemporaryDirectory() as caches:
        for module in modules:
            import_seconds(module, caches)
        turns = [[import_seconds(module, caches) for module in modules] for _ in range(repeats)]
    numpy, ours = np.transpose(turns)
    rows = {"numpy": numpy, "gradcheck_magic": ours, "beyond numpy": ours - numpy}
    show_table(
        f"Import, in new processes ({repeats} of each, in turns; ratio: to `import numpy`)",
        ["", "seconds, median", "quartiles", "ratio"],
        [
            [
                name,
                f"{np.median(seconds):.3f}",
                " to ".join(f"{np.quantile(seconds, q):.3f}" for q in (0.25, 0.75)),
                f"{np.median(seconds / numpy):.2f}",
            ]
            for name, seconds in rows.items()
        ],
    )
    beyond = np.median(ours - numpy)
    wanted = f"import: at most {MOST_IMPORT:g} s beyond NumPy's"
    return [Goal(wanted, f"{beyond:.3f}", beyond <= MOST_IMPORT)]


# The command

PARTS = {
    "scan": scan_part,
    "full": full_part,
    "memory": memory_part,
    "workers": workers_part,
    "import": import_part,
}


def parsed_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed")
    add = parser.add_argument
    add("--part", choices=PARTS, help="this part alone")
    add("--quick", action="store_true", help="one seed, no n of 100,000, less often")
    add("--seeds", type=int, metavar="N", help="networks for each activation (default: 5)")
    options = parser.parse_args(arguments)
    if options.seeds is None:
        options.seeds = 1 if options.quick else 5
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if the goals are met."""
    options = parsed_options(arguments)
    say(f"numpy {np.__version__}, {os.cpu_count()} cores, one thread for each cost")
    parts = [options.part] if options.part else PARTS
    goals = [goal for part in parts for goal in PARTS[part](options)]
    return 0 if show_goals(goals) else 1


if __name__ == "__main__":
    sys.exit(main())
