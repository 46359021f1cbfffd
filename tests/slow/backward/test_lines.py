"""Over backward passes in many styles, the statement with a planted slip is named.

Two or three slips of each pass are planted; `python -m tests.benchmarks.lines` plants all of them.
"""

from collections import Counter

import pytest

from tests.benchmarks.lines import outcome_of
from tests.support.passes import passes

PASSES = {each.name: each for each in passes()}


@pytest.mark.parametrize("name", PASSES)
def test_right_pass(name):
    assert outcome_of(PASSES[name], None).outcome != "WRONG"


def step_of(each):
    """Return how many slips further the next one is that is planted."""
    return max(1, len(each.slips) // 2)


def test_slips():
    chosen = [(each, slip) for each in PASSES.values() for slip in each.slips[:: step_of(each)]]
    rows = [outcome_of(each, slip) for each, slip in chosen]
    counts = Counter(row.outcome for row in rows)
    wrong = [(row.name, row.line) for row in rows if row.outcome == "WRONG"]
    assert counts["only"] + counts["first"] >= FIRST * len(rows), counts
    assert not wrong


# The part of these slips whose statement is named first at least.
FIRST = 0.85
