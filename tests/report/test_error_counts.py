"""Every entry is in exactly one of the counts."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._report.error_counts import error_counts, in_words

EXPONENTS = np.array([-12.0, -7.0, -5.0, -3.0, 0.0])
ERRORS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 1.0, np.nan, 1e-7, 1e-5, 1e-3, 5e-324, 1e-300])
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ERRORS))
def test_every_entry_is_in_one_count(errors):
    errors = np.array(errors, dtype=float)
    counts = error_counts(errors, EXPONENTS)
    assert counts.sum() == len(errors)
    assert counts[0] == np.count_nonzero(errors == 0)
    assert counts[-1] == np.count_nonzero(np.isnan(errors))
    told = [int(n) for n in re.findall(r"(?:^|, )(\d+) ", in_words(errors))]
    assert sum(told) == len(errors)


@pytest.mark.parametrize(("error", "bin_"), [
    pytest.param(3e-9, 0, id="inside"),
    pytest.param(1e-20, 0, id="HARD: smaller than the first edge"),
    pytest.param(5e-324, 0, id="HARD: the least of all"),
    pytest.param(1e-7, 1, id="HARD: on an edge, to the right"),
    pytest.param(9.9e-6, 1, id="below an edge"),
    pytest.param(0.5, 3, id="large"),
    pytest.param(1.0, 3, id="HARD: the largest there is"),
])  # fmt: skip
def test_bins(error, bin_):
    counts = error_counts(np.array([error]), EXPONENTS)
    assert np.flatnonzero(counts).tolist() == [bin_ + 1]


@pytest.mark.parametrize(("error", "bounds"), [
    (0.0, []), (1e-12, [1e-7]), (1e-7, [1e-7, 1e-5]), (5e-6, [1e-7, 1e-5]), (1e-5, [1e-5, 1e-3]),
    (1e-3, [1e-3]), (1.0, [1e-3]), (np.nan, []),
])  # fmt: skip
def test_bands_in_words(error, bounds):
    """The band of an error is between two neighbouring thresholds."""
    count, *told = re.findall(r"\d[\d.e-]*", in_words(np.array([error])))
    assert int(count) == 1
    assert [float(bound) for bound in told] == bounds


def test_nothing_is_not_an_empty_text():
    assert in_words(np.array([]))
