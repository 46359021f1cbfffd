"""The rows in `tests/corpus/planted.py` are sound; other tests run the check on them."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("autograd")

from tests.corpus.planted import ROWS


def test_names_are_unique():
    assert Counter(row.name for row in ROWS).most_common(1)[0][1] == 1


def test_each_cause_is_planted_in_several_families():
    families = {}
    for row in ROWS:
        families.setdefault(row.cause.partition("(")[0], set()).add(row.family)
    causes = ["STALE", "BROADCAST.cost", "BROADCAST.axis", "COST_IGNORES_PARAMETERS",
              "TRANSPOSED.reshaped", "TRANSPOSED.reordered", "ENTRIES.clipped"]  # fmt: skip
    assert {cause: len(families[cause]) >= 4 for cause in causes} == dict.fromkeys(causes, True)


def test_most_are_named():
    assert sum(not row.instead for row in ROWS) >= 0.8 * len(ROWS)


def test_two_times_the_same():
    """A row gives the same arguments twice, and changes nothing that rows share."""
    for row in ROWS:
        one, other = row.given(), row.given()
        for part in ("params", "grads"):
            a, b = getattr(one, part), getattr(other, part)
            assert a.keys() == b.keys() == one.params.keys(), row.name
            assert all(np.array_equal(a[name], b[name]) for name in a), row.name
        assert np.isfinite(one.cost(one.params)), row.name
