"""Arrays that share entries are found, also among many that lie between each other."""

from itertools import combinations

import numpy as np

from gradcheck_magic._inputs.arrays import overlapping


def test_overlapping_among_many():
    """Columns of one matrix lie between each other, and those that share an entry are found."""
    random = np.random.default_rng(0)
    matrix = np.zeros((10, 2500))
    columns = {f"c{k}": matrix[:, k] for k in range(2500)}
    assert not list(overlapping(columns.items()))
    named = {**columns, "twice": matrix[3:5, 7], "two": matrix[9, 20:22]}
    assert set(overlapping(named.items())) == {("c7", "twice"), ("c20", "two"), ("c21", "two")}

    memory = np.zeros(4000, dtype=np.uint8)
    for _ in range(20):
        some = {}
        for k in range(60):
            dtype = np.dtype(random.choice(["f8", "f4", "f2", "u1", "c16"]))
            start, step = int(random.integers(3500)), int(random.choice([-60, -7, 20, 60]))
            first = max(start, -3 * step)
            some[str(k)] = np.ndarray(3, dtype, memory, first, (step,))
        expected = {
            pair for pair in combinations(some, 2) if np.shares_memory(*map(some.get, pair))
        }
        assert {pair for pair in overlapping(some.items()) if len({*pair}) > 1} == expected
