"""The verdicts of this check and of its rivals, on the same cases, in one run.

    python -m tests.benchmarks.verdicts

runs the whole corpus; ``--ours-only`` needs none of the rivals. The exit code is 1 if this check
misses its goals.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from gradcheck_magic import check_gradients, gradient_checking
from gradcheck_magic._result.verdict import THRESHOLDS, textbook_verdict
from tests.benchmarks import rivals
from tests.benchmarks.harness import (
    Count,
    Goal,
    corpus_parser,
    parsed,
    progress,
    run_on_all_cores,
    say,
    show_goals,
    show_table,
)
from tests.benchmarks.rivals import Counted, Found, Outcome, judged
from tests.corpus import FAMILIES, KINDS, REGIMES, Case, cases, sample
from tests.corpus.family import STOPS_EARLY

OURS = "this check"
TEXTBOOK = "textbook rule"

# The goals, in evaluations: so many for each entry, plus a fixed number.
TYPICAL_PER_ENTRY, MOST_PER_ENTRY, ONCE = 2.6, 12.0, 20
# The goal for inconclusive verdicts, as a share of the seeable cases.
INCONCLUSIVE_SHARE = 0.01

# The number of failing cases that are listed, and of characters that are shown of each remark.
MOST_LINES, MOST_CHARACTERS = 40, 100

LEGEND = """\
accused: right gradients called BUG, or INSPECT unless a solver stops early in the cost. passed:
bugs called CORRECT, or INSPECT where an entry is wrong by more than 1e-5, among those that
differences could see; unseeable: among the others. inconclusive: among all cases in which they
could see; ordinary: among those in ordinary regimes.
errors: crashes, which are left out of the other columns."""


@dataclass(frozen=True)
class Row:
    """One case, as far as it matters here, and the outcome with each checker.

    Attributes
    ----------
    name, family, regime, bug, kind : str
        As in `Case`; without a bug, the gradient is correct.
    size : int
        The number of entries of the gradient.
    ordinary : bool
        Whether the regime is an ordinary one.
    double : bool
        Whether all parameters are in double precision.
    seeable : bool
        Whether differences can see the bug.
    error : float
        The largest relative error of an entry.
    outcomes : dict of str to Outcome
        The outcomes by checker.
    """

    name: str
    family: str
    regime: str
    bug: str
    kind: str
    size: int
    ordinary: bool
    double: bool
    seeable: bool
    error: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case):
        """Return the row of a case, without outcomes."""
        return cls(
            name=case.name,
            family=case.family,
            regime=case.regime,
            bug=case.bug,
            kind=case.kind,
            size=int(case.size),
            ordinary=bool(case.ordinary),
            double=all(np.asarray(p).dtype == np.float64 for p in case.params.values()),
            seeable=bool(case.seeable()),
            error=float(case.error()),
        )


# Our own checkers; the others are in `rivals`.


def ours(case: Case, cost: Counted) -> Found:
    """Run this check with its defaults."""
    check = check_gradients(case.params, case.grads, cost)
    return Found(check.verdict.name, check.headline().removeprefix(check.verdict.value).strip())


def textbook(case: Case, cost: Counted) -> Found:
    """Apply the textbook's number and its bands, with a flat θ."""
    difference = gradient_checking(
        case.params, case.grads, lambda theta: cost(rivals.unflattened(theta, case.params))
    )
    return Found(textbook_verdict(difference).name, f"difference {difference:.3g}")


def checkers(*, ours_only: bool) -> tuple[dict[str, Callable], dict[str, str]]:
    """Return all checkers by name, and the versions of the rivals."""
    own = {OURS: ours, TEXTBOOK: textbook}
    if ours_only:
        return {OURS: ours}, {}
    installed, versions = rivals.available()
    return own | installed, versions


# What is counted


def accuses(kind: str, verdict: str) -> bool:
    """Return whether a verdict on a correct gradient accuses it.

    That of a solution is worth inspecting where the cost has another one, because its solver stops
    early.
    """
    return verdict == "BUG" or (verdict == "INSPECT" and kind != STOPS_EARLY)


def is_accused(row: Row, outcome: Outcome) -> bool:
    """Return whether a correct gradient was accused."""
    return not row.bug and accuses(row.kind, outcome.verdict)


def is_passed(row: Row, outcome: Outcome) -> bool:
    """Return whether a wrong gradient was passed.

    A faint error may be called worth inspecting.
    """
    # Written so that an error that is not a number is never a faint one.
    evident = not row.error <= THRESHOLDS[1]
    return bool(row.bug) and (
        outcome.verdict == "CORRECT" or (outcome.verdict == "INSPECT" and evident)
    )


def is_inconclusive(_row: Row, outcome: Outcome) -> bool:
    """Return whether the verdict is inconclusive."""
    return outcome.verdict == "INCONCLUSIVE"


# Each measure: the cases that belong to it, and what is counted among them.
MEASURES: dict[str, tuple[Callable[[Row], bool], Callable[[Row, Outcome], bool]]] = {
    "accused": (lambda row: not row.bug, is_accused),
    "passed": (lambda row: bool(row.bug) and row.seeable, is_passed),
    "passed unseeable": (lambda row: bool(row.bug) and not row.seeable, is_passed),
    "inconclusive": (lambda row: row.seeable, is_inconclusive),
    "inconclusive ordinary": (
        lambda row: row.seeable and row.ordinary,
        is_inconclusive,
    ),
}


def tally(rows: Iterable[Row], checker: str) -> dict[str, Count]:
    """Return every measure of one checker, without the cases in which it crashed."""
    pairs = [(row, row.outcomes[checker]) for row in rows]
    pairs = [(row, outcome) for row, outcome in pairs if not outcome.crashed]
    return {
        measure: Count(
            sum(counts(row, outcome) for row, outcome in pairs if belongs(row)),
            sum(belongs(row) for row, _ in pairs),
        )
        for measure, (belongs, counts) in MEASURES.items()
    }


def crashes(rows: Iterable[Row], checker: str) -> list[Row]:
    """Return the cases in which a checker gave no verdict."""
    return [row for row in rows if row.outcomes[checker].crashed]


def per_entry(rows: Iterable[Row], checker: str, once: int = 0) -> list[float]:
    """Return the evaluations for each entry, case by case, without those that are made once."""
    pairs = [(row, row.outcomes[checker]) for row in rows]
    return [(o.evaluations - once) / row.size for row, o in pairs if not o.crashed]


def ordinary(rows: Iterable[Row]) -> list[Row]:
    """Return the cases in which the goal for ordinary cases applies."""
    return [row for row in rows if row.ordinary and row.double]


# The run


def selected(options: argparse.Namespace) -> Iterable[Case]:
    """Return the requested cases."""
    families = [name for name in FAMILIES if options.family in name]
    regimes = [name for name in REGIMES if options.regime in name]
    if not options.sample:
        return cases(tuple(options.seeds), families, regimes, options.part)
    drawn = sample(options.sample)
    return [
        case
        for case in drawn
        if case.family in families
        and case.regime in regimes
        and options.part in {"whole", "added" if case.kind else "first"}
    ]


def run_shard(options: argparse.Namespace, shard: int) -> list[Row]:
    """Return the rows of every k-th case, with all checkers.

    The cases contain functions, which cannot be sent to other processes: each makes its own.
    """
    everybody, _ = checkers(ours_only=options.ours_only)
    rows = []
    for case in islice(selected(options), shard, None, options.workers):
        if not rows:
            # The first call includes imports and warm-up, which the later ones are spared.
            for checker in everybody.values():
                judged(checker, case)
        row = Row.of(case)
        row.outcomes.update({name: judged(checker, case) for name, checker in everybody.items()})
        rows.append(row)
        if shard == 0:
            progress(len(rows) * options.workers)
    return rows


# What is printed


def spread(values: Sequence[float]) -> str:
    """Return the median and the 95th percentile."""
    if not values:
        return "–"
    return f"{np.median(values):.2f} | {np.quantile(values, 0.95):.2f}"


def show_verdicts(rows: list[Row], names: Iterable[str]) -> None:
    """Show how often each checker accuses what is correct, passes what is wrong, or cannot tell."""
    show_table(
        f"Verdicts\n\n{LEGEND}",
        ["", *MEASURES, "errors"],
        [[name, *tally(rows, name).values(), len(crashes(rows, name))] for name in names],
    )


def show_costs(rows: list[Row], names: Iterable[str]) -> None:
    """Show how often each checker evaluates the cost, and how long it takes."""
    usual = ordinary(rows)
    lines = []
    for name in names:
        seconds = sum(row.outcomes[name].seconds for row in rows)
        spreads = [
            spread(per_entry(part, name, once)) for part in (rows, usual) for once in (0, ONCE)
        ]
        lines.append([name, *spreads, f"{seconds:.1f}", f"{len(rows) / seconds:.0f}"])
    head = [f"{part}{what}" for part in ("", "ordinary ") for what in ("E/n", f"(E−{ONCE})/n")]
    show_table(
        "Evaluations E of n entries (median | 95 %; ordinary: in double precision), and time",
        ["", *head, "seconds", "cases/s"],
        lines,
    )


def show_parts(rows: list[Row], by: str) -> None:
    """Show how well this check does, by regime, by family, or by the kind of difficulty."""
    lines = []
    for name in {"family": FAMILIES, "regime": REGIMES, "kind": KINDS}[by]:
        part = [row for row in rows if getattr(row, by) == name]
        if not part:
            continue
        silent = sum(is_inconclusive(row, row.outcomes[OURS]) for row in part)
        counts = tally(part, OURS).values()
        spreads = spread(per_entry(part, OURS))
        lines.append([name, len(part), *counts, silent, len(crashes(part, OURS)), spreads])
    head = ["", "cases", *MEASURES, "in all", "errors", "E/n"]
    show_table(f"{OURS}, by {by} (inconclusive in all: seeable or not)", head, lines)


def show_crashes(rows: list[Row], names: Iterable[str]) -> None:
    """Show the most common crashes of each checker."""
    for name in names:
        verdicts = [row.outcomes[name].verdict for row in crashes(rows, name)]
        kinds = sorted(set(verdicts), key=verdicts.count, reverse=True)
        if kinds:
            say(f"\n{name}: {len(verdicts)} errors, such as")
        for kind in kinds[:3]:
            say(f"  {verdicts.count(kind)} × {kind}")


def failures(rows: Iterable[Row]) -> list[tuple[str, Row]]:
    """Return the cases in which this check misses its goals, and how."""
    kinds = {
        "accused": is_accused,
        "passed": lambda row, outcome: row.seeable and is_passed(row, outcome),
        "inconclusive": lambda row, outcome: row.seeable and is_inconclusive(row, outcome),
        "error": lambda _row, outcome: outcome.crashed,
    }
    return [
        (kind, row)
        for kind, holds in kinds.items()
        for row in rows
        if holds(row, row.outcomes[OURS])
    ]


def show_failures(rows: list[Row]) -> None:
    """List the failing cases."""
    failing = failures(rows)
    say(f"\n{OURS} fails in {len(failing)} of {len(rows)} cases")
    for kind, row in failing[:MOST_LINES]:
        outcome = row.outcomes[OURS]
        said = outcome.verdict if outcome.crashed else f"{outcome.verdict}: {outcome.remark}"
        say(f"  {kind:12}  {row.name}  (error {row.error:.2g})  {said[:MOST_CHARACTERS]}")
    if len(failing) > MOST_LINES:
        say(f"  … and {len(failing) - MOST_LINES} more")


# The goals


def goals(rows: list[Row]) -> list[Goal]:
    """Return the goals of this check."""
    accused, passed, _, silent, silent_ordinary = tally(rows, OURS).values()
    crashed = len(crashes(rows, OURS))
    return [
        Goal("no right gradient accused", str(accused), not accused.found),
        Goal("no seeable bug passed", str(passed), not passed.found),
        Goal(
            f"inconclusive in less than {INCONCLUSIVE_SHARE:.0%} of the seeable cases",
            str(silent),
            silent.found < INCONCLUSIVE_SHARE * silent.among or not silent.found,
        ),
        Goal(
            "never inconclusive in a seeable case of an ordinary regime",
            str(silent_ordinary),
            not silent_ordinary.found,
        ),
        Goal("no crash", str(crashed), not crashed),
        _price("the median, ordinary", ordinary(rows), 0.5, TYPICAL_PER_ENTRY),
        _price("95 % of all", rows, 0.95, MOST_PER_ENTRY),
    ]


def _price(which: str, rows: list[Row], share: float, most: float) -> Goal:
    values = per_entry(rows, OURS, ONCE)
    value = float(np.quantile(values, share)) if values else 0.0
    return Goal(
        f"evaluations of {which}, at most {most:g} n + {ONCE}",
        f"{value:.2f} n + {ONCE}" if values else "none",
        value <= most,
    )


def show(rows: list[Row], names: Iterable[str], versions: dict[str, str]) -> None:
    """Write all tables and lists."""
    wrong = sum(bool(row.bug) for row in rows)
    seeable = sum(row.seeable for row in rows)
    say(f"{len(rows)} cases: {len(rows) - wrong} right, {wrong} with a bug; {seeable} seeable")
    say(", ".join(f"{package} {version}" for package, version in versions.items()))
    show_verdicts(rows, names)
    show_costs(rows, names)
    show_crashes(rows, names)
    show_parts(rows, "family")
    show_parts(rows, "regime")
    show_parts(rows, "kind")
    show_failures(rows)


# The command


def parsed_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = corpus_parser("python -m tests.benchmarks.verdicts")
    add = parser.add_argument
    add("--sample", type=int, metavar="K", help="K cases, spread out; others then choose of these")
    add("--ours-only", action="store_true", help="without the textbook rule and the rivals")
    add("--json", type=Path, metavar="FILE", help="write every case and outcome there")
    return parsed(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if the goals are met."""
    options = parsed_options(arguments)
    everybody, versions = checkers(ours_only=options.ours_only)
    versions = {"numpy": np.__version__, **versions}
    rows = run_on_all_cores(run_shard, options)
    if not rows:
        say("No case has that family and regime.")
        return 2
    if options.json:
        records = [asdict(row) for row in rows]
        options.json.write_text(json.dumps({"versions": versions, "cases": records}, indent=1))
    show(rows, everybody, versions)
    return 0 if show_goals(goals(rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
