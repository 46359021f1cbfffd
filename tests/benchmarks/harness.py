"""The common parts of the benchmarks over the corpus: running on all cores, tables and goals."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from tests.corpus import PARTS


class Count(NamedTuple):
    """A count among a total."""

    found: int
    among: int

    def __str__(self):
        return f"{self.found} of {self.among}"


class Goal(NamedTuple):
    """A goal, the value that was found, and whether it meets the goal."""

    wanted: str
    found: str
    kept: bool


def progress(done: int) -> None:
    """Show the progress if somebody is watching in a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} cases ")
        sys.stderr.flush()


def run_on_all_cores(
    run_shard: Callable[[argparse.Namespace, int], list[Any]], options: argparse.Namespace
) -> list[Any]:
    """Return the rows of all cases in the order of the corpus; each process does every k-th."""
    if options.workers == 1:
        return run_shard(options, 0)
    # Each worker has one core; and JAX does not survive a fork.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        shards = list(pool.map(partial(run_shard, options), range(options.workers)))
    return [shards[k % options.workers][k // options.workers] for k in range(sum(map(len, shards)))]


def say(text: str = "") -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")


def show_table(title: str, head: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Write a table under its title, with names on the left and numbers on the right."""
    texts = [list(head), *([str(cell) for cell in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    say(f"\n{title}\n")
    for text in texts:
        first, *others = zip(text, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        say("  ".join(cells).rstrip())


def show_goals(found: Iterable[Goal]) -> bool:
    """Show which goals are met, and return whether all of them are."""
    goals = list(found)
    say("\nGoals\n")
    for goal in goals:
        say(f"  {'kept  ' if goal.kept else 'MISSED'}  {goal.wanted}: {goal.found}")
    return all(goal.kept for goal in goals)


def corpus_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of the options that choose the cases."""
    parser = argparse.ArgumentParser(prog=prog)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=[0, 1], help="of the corpus (default: 0 1)")
    add("--family", default="", help="only families whose names contain this")
    add("--regime", default="", help="only regimes whose names contain this")
    add("--part", choices=PARTS, default=PARTS[0], help="of the corpus (default: the whole)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or exit if they make no sense."""
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    return options
