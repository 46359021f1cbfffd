"""Check, over backward passes in many styles, that the statement with a planted slip is named.

    python -m tests.benchmarks.lines

Each pass of `tests/corpus/passes` is run in a notebook's shell, once as it is and once with each of
its slips. The slip is

first   if its statement is named first, or is the only one;
range   if another one is named first, and this one among those that may be to blame instead;
none    if no statement is named;
WRONG   if only others are named.

    python -m tests.benchmarks.lines --overhead

compares the time of a cell, a network of four layers in NumPy, with and without recording what it
binds: with the baseline's three repetitions after those of the recording, in one run.
"""

import argparse
import linecache
import sys
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from gradcheck_magic._backward.find import FAILED
from gradcheck_magic._backward.record import Recorder
from gradcheck_magic._notebook.magic import SHARE
from tests.benchmarks.harness import (
    Goal,
    parsed,
    progress,
    run_on_all_cores,
    say,
    show_goals,
    show_table,
)
from tests.support.passes import Pass, Slip, checked, passes

OUTCOMES = ("only", "first", "range", "none", "WRONG")
# The part of the slips whose statement must be named first.
FIRST = 0.95
# What the card offers where recording would slow the cell down.
OFFERED = "--trace"


class Row(NamedTuple):
    """What was found in one pass, with one slip."""

    name: str
    line: str
    was: str
    outcome: str
    named: str
    n_evaluations: int
    seconds: float


def run_shard(options: argparse.Namespace, shard: int) -> list[Row]:
    """Return the rows of every k-th case."""
    cases = [(each, slip) for each in passes(options.name) for slip in (None, *each.slips)]
    rows = []
    for each, slip in cases[shard :: options.workers]:
        rows.append(outcome_of(each, slip))
        progress(len(rows))
    return rows


def outcome_of(backward: Pass, slip: Slip | None) -> Row:
    """Return what is found in a pass, with a slip planted in it or without."""
    began = time.perf_counter()
    check = checked(backward, slip)
    if check.backward and any(OFFERED in note for note in check.backward.notes):
        # A person would do so, too.
        check = checked(backward, slip, OFFERED)
    seconds = time.perf_counter() - began
    found = check.backward
    failed = [note for note in found.notes if note.startswith(FAILED)] if found else []
    if failed:
        raise RuntimeError(failed[0])
    faults = found.faults if found else ()
    lines = [line for fault in faults for line in fault.lines]
    named = "; ".join(f"{line.place}: {line.text}" for line in lines[:3])
    n_evaluations = found.n_evaluations if found else 0
    if slip is None:
        outcome = "WRONG" if faults else "only"
        return Row(backward.name, "", "", outcome, named, n_evaluations, seconds)
    place = backward.place(slip)
    hits = [line.file == place.file and line.line <= place.line <= line.last_line for line in lines]
    n_likely = sum(fault.n_likely for fault in faults)
    if not lines:
        outcome = "none"
    elif not any(hits):
        outcome = "WRONG"
    elif not hits[0]:
        outcome = "range"
    else:
        outcome = "only" if n_likely == 1 else "first"
    was = backward.lines[slip.at].strip()
    return Row(backward.name, slip.line.strip(), was, outcome, named, n_evaluations, seconds)


NETWORK = """
def forward(X, P, L):
    caches = []; A = X
    for l in range(1, L + 1):
        Z = P["W%d" % l] @ A + P["b%d" % l]
        caches.append((A, Z))
        A = np.tanh(Z)
    return A, caches

def backward(A, Y, caches, P, L):
    grads = {}
    dA = (A - Y) / Y.shape[1]
    for l in range(L, 0, -1):
        A_prev, Z = caches[l - 1]
        dZ = dA * (1 - np.tanh(Z) ** 2)
        grads["dW%d" % l] = dZ @ A_prev.T
        grads["db%d" % l] = dZ.sum(axis=1, keepdims=True)
        dA = P["W%d" % l].T @ dZ
    return grads

def cell():
    A, caches = forward(X, P, 4)
    return backward(A, Y, caches, P, 4)
"""


def show_overhead() -> None:
    """Print what recording adds to the time of a cell."""
    linecache.cache["<network>"] = (len(NETWORK), None, NETWORK.splitlines(keepends=True), "")
    table = []
    for width, samples in ((5, 10), (50, 100), (200, 500), (500, 2000), (1000, 4000)):
        random = np.random.default_rng(0)
        P = {f"W{k}": random.normal(size=(width, width)) / width for k in range(1, 5)}
        P |= {f"b{k}": np.zeros((width, 1)) for k in range(1, 5)}
        X = random.normal(size=(width, samples))
        names: dict[str, Any] = {"np": np, "P": P, "X": X, "Y": X / 2}
        exec(compile(NETWORK, "<network>", "exec"), names)  # noqa: S102 (it is above)
        recorded, plain = [], []
        for _ in range(5):
            began = time.perf_counter()
            with Recorder(share=SHARE) as recorder:
                names["cell"]()
            recorded.append(time.perf_counter() - began)
            began = time.perf_counter()
            names["cell"]()
            plain.append(time.perf_counter() - began)
        more = median(recorded) - median(plain)
        cells = f"{median(plain) * 1e3:.2f} ms", f"{more * 1e3:.2f} ms"
        ratio = f"{median(recorded) / median(plain):.2f}"
        table.append(
            (f"{width} units, {samples} samples", *cells, ratio, recorder.obstacle or "all")
        )
    head = ("network", "cell", "recording adds", "ratio", "recorded")
    show_table("A cell, recorded and not", head, table)


def main(arguments: Sequence[str] | None = None) -> bool:
    """Print the tables, and return whether the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lines")
    parser.add_argument("--name", default="", help="only passes whose names contain this")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--show", nargs="*", default=["WRONG", "none"], help="outcomes to list")
    parser.add_argument("--overhead", action="store_true", help="show what recording costs")
    options = parsed(parser, arguments)
    if options.overhead:
        show_overhead()
        return True
    rows = run_on_all_cores(run_shard, options)
    slips = [row for row in rows if row.line]
    for row in slips:
        if row.outcome in options.show:
            say(f"{row.name}  {row.outcome}  {row.line}   # was {row.was}\n    -> {row.named}")
    table = []
    for name in dict.fromkeys(row.name for row in slips):
        own = [row for row in slips if row.name == name]
        counts = Counter(row.outcome for row in own)
        table.append((
            name, len(own), *(counts[outcome] for outcome in OUTCOMES),
            f"{median(row.n_evaluations for row in own):.0f}",
            f"{max(row.seconds for row in own):.1f} s",
        ))  # fmt: skip
    head = ("pass", "slips", *OUTCOMES, "evaluations", "longest cell")
    show_table("Slips, by how their statement is named", head, table)
    counts = Counter(row.outcome for row in slips)
    n_first = counts["only"] + counts["first"]
    accused = [row.name for row in rows if not row.line and row.outcome == "WRONG"]
    return show_goals([
        Goal(f"at least {FIRST:.0%} named first", f"{n_first} of {len(slips)}",
             n_first >= FIRST * len(slips)),
        Goal("only others named: none", str(counts["WRONG"]), not counts["WRONG"]),
        Goal("right passes accused: none", ", ".join(accused) or "none", not accused),
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(not main())
