"""The table of measured entries is in the order of θ, even if only some entries were measured."""

import numpy as np
import pytest

from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.measured_entries import MeasuredEntries


def pairing():
    """Return three parameters with 2, 4 and 3 entries; the gradient counts up from 10."""
    params = {"a": np.zeros(2), "W": np.zeros((2, 2)), "b": np.zeros(3)}
    grads = {"a": [10.0, 11.0], "W": [[12.0, 13.0], [14.0, 15.0]], "b": [16.0, 17.0, 18.0]}
    return pair(params, grads)


def measured(positions, n_measured=None, n_settled=None):
    """Return a table in which every column gives away the position of the entry."""
    m = len(positions) if n_measured is None else n_measured
    numbers = np.array(positions, dtype=float)
    found = MeasuredEntries.planned(np.array(positions, dtype=np.intp), 10 + numbers, 0.5)
    columns = found.textbook, found.numerical, found.uncertainty, found.low, found.high
    for k, column in enumerate(columns):
        column[:m] = numbers[:m] + 100 * k
    found.disputed[:m] = numbers[:m] % 2 == 1
    found.settled[: m if n_settled is None else n_settled] = True
    return found


def require_columns(entries, positions):
    numbers = np.array(positions, dtype=float)
    assert entries.positions.tolist() == list(positions)
    assert entries.analytic.tolist() == (numbers + 10).tolist()
    columns = (
        entries.textbook, entries.numerical, entries.uncertainty, entries.low, entries.high,
    )  # fmt: skip
    for k, column in enumerate(columns):
        assert column.tolist() == (numbers + 100 * k).tolist()
    assert entries.rounding.tolist() == [0.5] * len(positions)
    assert entries.disputed.tolist() == (numbers % 2 == 1).tolist()


@pytest.mark.parametrize(("n_measured", "n_settled"), [(9, 9), (5, 3), (0, 0)])
def test_first_ones(n_measured, n_settled):
    """After a full check was stopped, entries that were planned but not measured are left out."""
    entries = MeasuredEntries.joined([measured(range(9), n_measured, n_settled)])
    require_columns(entries, range(n_measured))
    assert entries.settled.tolist() == [k < n_settled for k in range(n_measured)]


def test_sampled_ones():
    """A scan measures entries in any order and in batches, and the last batch may be incomplete."""
    batches = [measured([8, 6]), measured([1]), measured([7], n_settled=0)]
    entries = MeasuredEntries.joined(batches)
    require_columns(entries, [1, 6, 7, 8])
    assert entries.settled.tolist() == [True, True, False, True]


def test_none_sampled():
    require_columns(MeasuredEntries.joined([]), [])


def test_parts():
    """Each parameter comes with the place of its measured entries and with their indices."""
    entries = MeasuredEntries.joined([measured([1]), measured([8, 6])])
    found = [(p.name, here, ks.tolist()) for p, here, ks in entries.parts(pairing())]
    assert found == [("a", slice(0, 1), [1]), ("W", slice(1, 1), []), ("b", slice(1, 3), [0, 2])]


def test_kinked():
    entries = measured([0, 1, 2])
    entries.low[:], entries.high[:] = [-1.0, 2.0, np.nan], [1.0, 2.0, np.nan]
    assert entries.kinked.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("numerical", "n_measured", "shows_nothing"),
    [
        pytest.param([0.0, -1.9], 2, True, id="zero, to within two bars"),
        pytest.param([0.0, 2.1], 2, False, id="not zero"),
        pytest.param([0.0, 2.1], 1, True, id="not measured"),
        pytest.param([0.0, np.nan], 2, False, id="no slope"),
    ],
)
def test_shows_nothing(numerical, n_measured, shows_nothing):
    entries = measured([0, 1], n_measured)
    entries.numerical[:] = numerical
    entries.uncertainty[:n_measured] = 1.0
    assert entries.shows_nothing is shows_nothing
