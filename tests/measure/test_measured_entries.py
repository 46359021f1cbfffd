"""The table of measured entries is in the order of θ, even if only some entries were measured."""

import numpy as np
import pytest

from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.central_differences import CentralDifferences
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.scan import planned_scan

EPSILON = 0.25


def pairing():
    """Return three parameters with 2, 4 and 3 entries; the gradient counts up from 10."""
    params = {"a": np.zeros(2), "W": np.zeros((2, 2)), "b": np.zeros(3)}
    grads = {"a": [10.0, 11.0], "W": [[12.0, 13.0], [14.0, 15.0]], "b": [16.0, 17.0, 18.0]}
    return pair(params, grads)


def measured(positions, n_settled=None, planned_size=None):
    """Return differences in which every column gives away the position of the entry."""
    numbers = np.array(positions, dtype=float)
    m = len(positions)
    found = CentralDifferences.planned(m if planned_size is None else planned_size, EPSILON)
    found.cost_plus[:m], found.cost_minus[:m] = 1 + numbers, 1.0
    for k, column in enumerate(
        (found.numerical, found.uncertainty, found.rounding, found.low, found.high), start=1
    ):
        column[:m] = numbers + 100 * k
    found.disputed[:m] = numbers % 2 == 1
    found.n_measured, found.n_settled = m, m if n_settled is None else n_settled
    return found


def require_columns(entries, positions):
    numbers = np.array(positions, dtype=float)
    assert entries.positions.tolist() == list(positions)
    assert entries.analytic.tolist() == (numbers + 10).tolist()
    # (1 + k − 1) / 2ε
    assert entries.textbook.tolist() == (2 * numbers).tolist()
    columns = (
        entries.numerical, entries.uncertainty, entries.rounding, entries.low, entries.high,
    )  # fmt: skip
    for k, column in enumerate(columns, start=1):
        assert column.tolist() == (numbers + 100 * k).tolist()
    assert entries.disputed.tolist() == (numbers % 2 == 1).tolist()


@pytest.mark.parametrize(("n_measured", "n_settled"), [(9, 9), (5, 3), (0, 0)])
def test_first_ones(n_measured, n_settled):
    """After a full check was stopped, entries that were planned but not measured are left out."""
    differences = measured(range(n_measured), n_settled, planned_size=9)
    entries = MeasuredEntries.first(pairing(), differences)
    require_columns(entries, range(n_measured))
    assert entries.settled.tolist() == [k < n_settled for k in range(n_measured)]


def test_sampled_ones():
    """A scan measures entries in any order and in batches, and the last batch may be incomplete."""
    scan = planned_scan(pairing())
    a, _, b = scan.parameters
    a.sampled.ks, a.sampled.batches = [1], [measured([1])]
    b.sampled.ks = [2, 0, 1]
    b.sampled.batches = [measured([8, 6]), measured([7], n_settled=0)]
    entries = MeasuredEntries.sampled(pairing(), scan)
    require_columns(entries, [1, 6, 7, 8])
    assert entries.settled.tolist() == [True, True, False, True]


def test_none_sampled():
    require_columns(MeasuredEntries.sampled(pairing(), planned_scan(pairing())), [])


def test_parts():
    """Each parameter comes with the place of its measured entries and with their indices."""
    scan = planned_scan(pairing())
    a, _, b = scan.parameters
    a.sampled.ks, a.sampled.batches = [1], [measured([1])]
    b.sampled.ks, b.sampled.batches = [2, 0], [measured([8, 6])]
    entries = MeasuredEntries.sampled(pairing(), scan)
    found = [(p.name, here, ks.tolist()) for p, here, ks in entries.parts(pairing())]
    assert found == [("a", slice(0, 1), [1]), ("W", slice(1, 1), []), ("b", slice(1, 3), [0, 2])]


def test_kinked():
    differences = measured([0, 1, 2])
    differences.low[:3], differences.high[:3] = [-1.0, 2.0, np.nan], [1.0, 2.0, np.nan]
    assert MeasuredEntries.first(pairing(), differences).kinked.tolist() == [True, False, False]
