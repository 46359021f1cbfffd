"""What the check says of every case, held fast: verdict, evaluations of the cost, and causes.

    python -m tests.corpus.golden            # compares, and shows the lines that differ
    python -m tests.corpus.golden --update   # writes the file anew; read the diff

It stands in ``tests/golden/corpus.txt``, a line for each case: those of the corpus, right and
wrong, in its order, then the rows of `planted.py`.

**Of which machine.** The number of evaluations, and now and then a cause, depend on the last bits
of what BLAS and NumPy compute. The file knows the arithmetic it was written with. With the same
one, every line must be the same. With another one, verdicts and causes of nearly all lines must be,
and about as many evaluations in all.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradcheck_magic import Diagnosis, GradientCheck, check_gradients
from tests.benchmarks.diagnosis import notebook
from tests.benchmarks.harness import parsed, progress, run_on_all_cores, say
from tests.corpus.case import Case
from tests.corpus.generate import Plan, build, plans
from tests.corpus.planted import ROWS, Row, checked

GOLDEN = Path(__file__).parents[1] / "golden" / "corpus.txt"
TITLE = (
    "# Verdict, evaluations and causes of every case; by `python -m tests.corpus.golden --update`."
)
ARITHMETIC = "# Arithmetic: "
# With another arithmetic: the share of lines that may differ, and by how much the evaluations may.
LINES_SHARE, EVALUATIONS_SHARE = 0.005, 0.01


class Line(NamedTuple):
    """What is said of a case.

    Attributes
    ----------
    name : str
        Of the case.
    verdict : str
        The name of the verdict.
    evaluations : int
        How often the cost was called.
    causes : str
        Of all diagnoses, such as ``SCALE(W1) UPSTREAM(W1 b1)``; empty where there are none.
    """

    name: str
    verdict: str
    evaluations: int
    causes: str

    def __str__(self):
        return f"{self.name}: {self.verdict} {self.evaluations} {self.causes}".rstrip()

    @classmethod
    def of(cls, name: str, check: GradientCheck) -> "Line":
        """What a check says of a case."""
        causes = " ".join(map(told, check.diagnoses))
        return cls(name, check.verdict.name, check.n_evaluations, causes)

    @classmethod
    def read(cls, text: str) -> "Line":
        """The line that was written."""
        name, _, rest = text.rpartition(": ")
        verdict, evaluations, *causes = rest.split(" ", 2)
        return cls(name, verdict, int(evaluations), *(causes or [""]))

    def says_the_same(self, other: "Line") -> bool:
        """Whether another line has the same verdict and causes."""
        return (self.verdict, self.causes) == (other.verdict, other.causes)


def told(diagnosis: Diagnosis) -> str:
    """A cause, how it came about where that is known, and its parameters."""
    details = diagnosis.details
    how = "clipped" if "clipped" in details else details.get("how", "")
    return f"{diagnosis.cause.name}{how and '.'}{how}({' '.join(diagnosis.names)})"


class Golden(NamedTuple):
    """All lines, and the arithmetic with which they came about."""

    arithmetic: str
    lines: list[Line]

    def __str__(self):
        return "\n".join([TITLE, f"{ARITHMETIC}{self.arithmetic}", *map(str, self.lines), ""])

    @classmethod
    def read(cls, text: str) -> "Golden":
        """The lines of a file."""
        _, arithmetic, *lines = text.splitlines()
        return cls(arithmetic.removeprefix(ARITHMETIC), [Line.read(line) for line in lines])

    @property
    def evaluations(self) -> int:
        """Of all cases together."""
        return sum(line.evaluations for line in self.lines)


# Here and now


def arithmetic() -> str:
    """A short hash over the bytes of sums, products and functions, in both precisions."""
    digest = hashlib.sha256()
    for dtype in (np.float64, np.float32):
        for n in (2, 3, 5, 8, 13, 24, 40):
            # Small numbers over a whole one: the same everywhere, to the bit.
            A = ((np.arange(n * (n + 3)) * 37 % 101 - 50) / dtype(29)).reshape(n, n + 3)
            square = A @ A.T + np.eye(n, dtype=dtype)
            results = [
                *(square, A.T @ A, A @ A[0], A[0] @ A[-1], np.einsum("ij,kj->ik", A, A)),
                *(np.exp(A), np.tanh(A), np.log(np.abs(A) + 1), np.logaddexp(0, A), np.sqrt(A**2)),
                *(A.sum(), A.sum(axis=0), A.mean(axis=1), A.std(axis=0), np.linalg.norm(A)),
                *(np.linalg.solve(square, A), np.linalg.cholesky(square), np.linalg.pinv(A)),
            ]
            for result in results:
                digest.update(np.ascontiguousarray(result).tobytes())
    return digest.hexdigest()[:12]


def built(plan: Plan) -> Case | None:
    """The case of a plan, if there is one.

    With another arithmetic, a gradient by hand may be a little further from the true one than the
    corpus allows. Its cases are then missing, and count among those that differ.
    """
    try:
        return build(plan)
    except AssertionError:
        return None


def everything() -> Iterator[tuple[Plan | None, Case | Row, Callable[[], GradientCheck]]]:
    """Yield each case, with its plan if it is one of the corpus itself, and what checks it."""
    for plan in plans():
        case = built(plan)
        if case is not None:
            names = notebook(plan)
            check = partial(check_gradients, case.params, case.grads, case.cost, names=names)
            yield plan, case, partial(check, mode="full")
    yield from ((None, row, partial(checked, row)) for row in ROWS)


def run_shard(options: argparse.Namespace, shard: int) -> list[Line]:
    """Every so-many-th case."""
    lines = []
    for _, case, check in islice(everything(), shard, None, options.workers):
        lines.append(Line.of(case.name, check()))
        if shard == 0:
            progress(len(lines) * options.workers)
    return lines


def today(workers: int) -> Golden:
    """What the check says now."""
    return Golden(arithmetic(), run_on_all_cores(run_shard, argparse.Namespace(workers=workers)))


# Then and now


class Comparison(NamedTuple):
    """What was written down, beside what is said now.

    With the same arithmetic it `is_exact`: line by line.
    """

    then: Golden
    now: Golden

    @property
    def is_exact(self) -> bool:
        """Whether every line must be the same."""
        return self.then.arithmetic == self.now.arithmetic

    def differences(self) -> list[str]:
        """The lines that differ, those of then before those of now."""
        then, now = ({line.name: line for line in golden.lines} for golden in self)
        found = []
        for name in dict.fromkeys(chain(then, now)):
            old, new = then.get(name), now.get(name)
            if old is None or new is None or not self._is_same(old, new):
                sides = ((mark, line) for mark, line in (("-", old), ("+", new)) if line)
                found.append("\n".join(f"{mark} {line}" for mark, line in sides))
        return found

    def _is_same(self, old: Line, new: Line) -> bool:
        return old == new if self.is_exact else old.says_the_same(new)

    def holds(self) -> bool:
        """Whether as much is the same as must be."""
        differing = len(self.differences())
        if self.is_exact:
            return differing == 0
        apart = abs(self.now.evaluations - self.then.evaluations)
        return (
            differing <= LINES_SHARE * len(self.then.lines)
            and apart <= EVALUATIONS_SHARE * self.then.evaluations
        )

    def report(self, most: int | None = None) -> str:
        """Say which comparison was made and what it found, with so many differing cases at most."""
        found = self.differences()
        how = (
            "The arithmetic is the same: every line must be."
            if self.is_exact
            else f"The arithmetic is another one: verdicts and causes of all but {LINES_SHARE:.1%} "
            f"of the lines must be the same, and evaluations within {EVALUATIONS_SHARE:.0%}."
        )
        counts = (
            f"{len(found)} of {len(self.then.lines)} lines differ; {self.then.evaluations} "
            f"evaluations then, {self.now.evaluations} now."
        )
        left = len(found) - len(found[:most])
        return "\n".join([how, counts, *found[:most], *([f"… and {left} more"] if left else [])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or compare; return 0 where as much is the same as must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.golden")
    add = parser.add_argument
    add("--update", action="store_true", help="write the file anew")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    options = parsed(parser, arguments)
    now = today(options.workers)
    if options.update:
        GOLDEN.write_text(str(now), encoding="utf-8")
        say(f"{len(now.lines)} lines")
        return 0
    comparison = Comparison(Golden.read(GOLDEN.read_text(encoding="utf-8")), now)
    say(comparison.report())
    return 0 if comparison.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
