"""The golden file: verdict, evaluations of the cost, and causes of every case.

    python -m tests.corpus.golden            # compares, and shows the lines that differ
    python -m tests.corpus.golden --update   # writes the file anew; read the diff

The file is ``tests/golden/corpus.txt``. It has a line for each case: first those of the corpus,
correct and wrong, in its order, then the rows of `planted.py`.

**On another machine.** The number of evaluations, and now and then a cause, depend on the last bits
of the results of BLAS and NumPy. The file records the arithmetic with which it was written. With
the same arithmetic, every line must be the same. With another one, the verdicts and causes of
nearly all lines must be the same, and the total number of evaluations about the same.
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
# Of what was added to the corpus, every sixth case is checked, which takes a few minutes; the
# benchmark of the verdicts checks them all.
EVERY = 6
# With another arithmetic, these shares of the lines and of the evaluations may differ.
LINES_SHARE, EVALUATIONS_SHARE = 0.005, 0.01


class Line(NamedTuple):
    """The line of one case.

    Attributes
    ----------
    name : str
        The name of the case.
    verdict : str
        The name of the verdict.
    evaluations : int
        The number of evaluations of the cost.
    causes : str
        The causes of all diagnoses, such as ``SCALE(W1) UPSTREAM(W1 b1)``; may be empty.
    """

    name: str
    verdict: str
    evaluations: int
    causes: str

    def __str__(self):
        return f"{self.name}: {self.verdict} {self.evaluations} {self.causes}".rstrip()

    @classmethod
    def of(cls, name: str, check: GradientCheck) -> "Line":
        """Return the line for the check of a case."""
        causes = " ".join(map(told, check.diagnoses))
        return cls(name, check.verdict.name, check.n_evaluations, causes)

    @classmethod
    def read(cls, text: str) -> "Line":
        """Return the line that was written as this text."""
        name, _, rest = text.rpartition(": ")
        verdict, evaluations, *causes = rest.split(" ", 2)
        return cls(name, verdict, int(evaluations), *(causes or [""]))

    def says_the_same(self, other: "Line") -> bool:
        """Return True if another line has the same verdict and causes."""
        return (self.verdict, self.causes) == (other.verdict, other.causes)


def told(diagnosis: Diagnosis) -> str:
    """Return a cause, how it came about if that is known, and its parameters."""
    details = diagnosis.details
    how = "clipped" if "clipped" in details else details.get("how", "")
    return f"{diagnosis.cause.name}{how and '.'}{how}({' '.join(diagnosis.names)})"


class Golden(NamedTuple):
    """All lines, and the arithmetic with which they were computed."""

    arithmetic: str
    lines: list[Line]

    def __str__(self):
        return "\n".join([TITLE, f"{ARITHMETIC}{self.arithmetic}", *map(str, self.lines), ""])

    @classmethod
    def read(cls, text: str) -> "Golden":
        """Return the contents of a file."""
        _, arithmetic, *lines = text.splitlines()
        return cls(arithmetic.removeprefix(ARITHMETIC), [Line.read(line) for line in lines])

    @property
    def evaluations(self) -> int:
        """The number of evaluations of all cases together."""
        return sum(line.evaluations for line in self.lines)


# Here and now


def arithmetic() -> str:
    """Return a short hash of the bytes of sums, products and functions, in both precisions."""
    digest = hashlib.sha256()
    for dtype in (np.float64, np.float32):
        for n in (2, 3, 5, 8, 13, 24, 40):
            # Small integers divided by an integer are the same everywhere, to the bit.
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
    """Return the case of a plan, if there is one.

    With another arithmetic, a handwritten gradient may be a little further from the true one than
    the corpus allows. Its cases are then missing, and they count among the lines that differ.
    """
    try:
        return build(plan)
    except AssertionError:
        return None


def everything() -> Iterator[tuple[Plan | None, Case | Row, Callable[[], GradientCheck]]]:
    """Yield each case, with its plan if it is in the corpus itself, and the check to run."""
    added = islice(plans(part="added"), None, None, EVERY)
    for plan in chain(plans(part="first"), added):
        case = built(plan)
        if case is not None:
            names = notebook(plan)
            check = partial(check_gradients, case.params, case.grads, case.cost, names=names)
            yield plan, case, partial(check, mode="full")
    yield from ((None, row, partial(checked, row)) for row in ROWS)


def run_shard(options: argparse.Namespace, shard: int) -> list[Line]:
    """Return the lines of every nth case, where n is the number of workers."""
    lines = []
    for _, case, check in islice(everything(), shard, None, options.workers):
        lines.append(Line.of(case.name, check()))
        if shard == 0:
            progress(len(lines) * options.workers)
    return lines


def today(workers: int) -> Golden:
    """Return all lines as they are now."""
    return Golden(arithmetic(), run_on_all_cores(run_shard, argparse.Namespace(workers=workers)))


# Then and now


class Comparison(NamedTuple):
    """The golden file beside the lines of today.

    With the same arithmetic the comparison `is_exact`: line by line.
    """

    then: Golden
    now: Golden

    @property
    def is_exact(self) -> bool:
        """True if every line must be the same."""
        return self.then.arithmetic == self.now.arithmetic

    def differences(self) -> list[str]:
        """Return the lines that differ, old before new."""
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
        """Return True if enough lines are the same."""
        differing = len(self.differences())
        if self.is_exact:
            return differing == 0
        apart = abs(self.now.evaluations - self.then.evaluations)
        return (
            differing <= LINES_SHARE * len(self.then.lines)
            and apart <= EVALUATIONS_SHARE * self.then.evaluations
        )

    def report(self, most: int | None = None) -> str:
        """Describe the comparison and its result, with up to `most` of the differing cases."""
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
    """Write the file, or compare with it; return 0 if enough lines are the same."""
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
