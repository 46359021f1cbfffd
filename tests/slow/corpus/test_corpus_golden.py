"""The golden file: writing it, reading it, and comparing it with the results of today."""

import pytest

pytest.importorskip("autograd")

from tests.corpus.golden import GOLDEN, Comparison, Golden, Line, arithmetic
from tests.corpus.planted import ROWS

LINES = [Line(f"case {k}", "BUG", 100, "SCALE(W1) UPSTREAM(b1 W2)") for k in range(399)]
LINES.append(Line("case: right", "CORRECT", 100, ""))


@pytest.fixture(scope="module")
def written():
    return Golden.read(GOLDEN.read_text(encoding="utf-8"))


def test_the_whole_corpus_is_written_down(written):
    planted = [line for line in written.lines if line.name.startswith("planted | ")]
    right = [line for line in written.lines if line.name.count(" | ") == 2]
    assert len(planted) == len(ROWS)
    assert len(written.lines) - len(planted) == 5810
    assert len(right) == 1205


def test_reading_and_writing():
    golden = Golden("abc", LINES)
    assert Golden.read(str(golden)) == golden
    assert str(golden).splitlines()[1:3] == [
        "# Arithmetic: abc",
        "case 0: BUG 100 SCALE(W1) UPSTREAM(b1 W2)",
    ]
    assert str(golden).endswith("\ncase: right: CORRECT 100\n")


def test_the_arithmetic_is_the_same_twice():
    assert arithmetic() == arithmetic()


def other(line, **changes):
    return line._replace(**changes)


@pytest.mark.parametrize(
    ("lines", "exactly", "about"),
    [
        (LINES, True, True),
        ([other(LINES[0], evaluations=101), *LINES[1:]], False, True),
        ([other(line, evaluations=102) for line in LINES], False, False),
        ([other(LINES[0], verdict="INSPECT"), *LINES[1:]], False, True),
        ([*(other(line, causes="") for line in LINES[:2]), *LINES[2:]], False, True),
        ([*(other(line, causes="") for line in LINES[:3]), *LINES[3:]], False, False),
        (LINES[2:], False, True),
        (LINES[3:], False, False),
        ([*LINES, other(LINES[0], name="one more")], False, True),
    ],
)
def test_how_much_may_differ(lines, exactly, about):
    """Nothing may differ with the same arithmetic; else 0.5 % of lines, and 1 % of evaluations."""
    then, now = Golden("abc", LINES), Golden("abc", lines)
    assert Comparison(then, now).holds() == exactly
    assert Comparison(then, now._replace(arithmetic="def")).holds() == about


def test_what_a_failure_says():
    now = Golden("abc", [other(line, verdict="INSPECT") for line in LINES[:3]] + LINES[3:])
    assert Comparison(Golden("abc", LINES), now).report(most=1).splitlines() == [
        "The arithmetic is the same: every line must be.",
        "3 of 400 lines differ; 40000 evaluations then, 40000 now.",
        "- case 0: BUG 100 SCALE(W1) UPSTREAM(b1 W2)",
        "+ case 0: INSPECT 100 SCALE(W1) UPSTREAM(b1 W2)",
        "… and 2 more",
    ]
    report = Comparison(Golden("def", LINES), now).report()
    assert report.startswith(
        "The arithmetic is another one: verdicts and causes of all but 0.5% of the lines must be "
        "the same, and evaluations within 1%.\n3 of 400 lines differ;"
    )
