"""The results of a check are named by the first few of their entries and parameters."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic._diagnosis.evidence import NAMED_ENTRIES, Evidence
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.measured_entries import MeasuredEntries

PAIRING = pair({"W": np.ones((2, 3)), "c": 1.0, "b": np.ones(2)}, np.ones(9))
LABELS = [*(f"W[{i}, {j}]" for i in range(2) for j in range(3)), "c", "b[0]", "b[1]"]
OWNERS = ["W"] * 6 + ["c"] + ["b"] * 2


def evidence(positions=range(9)):
    """Return the evidence of a check that measured some entries."""
    columns = np.arange(8.0)[:, None] + 10 * np.arange(len(positions))
    flags = np.zeros((2, len(positions)), dtype=bool)
    measured = MeasuredEntries(np.array(positions, dtype=np.intp), *columns, *flags)
    return Evidence(PAIRING, None, None, None, measured)


def quoted(text):
    return re.findall(r"`([^`]*)`", text)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_labels(data):
    """The first few entries are named, in order, the others are counted; so are the parameters."""
    positions = sorted(data.draw(st.sets(st.integers(0, 8), min_size=1), label="measured"))
    mask = data.draw(st.lists(st.booleans(), min_size=len(positions), max_size=len(positions)))
    chosen = [k for k, here in zip(positions, mask, strict=True) if here]
    told = evidence(positions).labels(np.array(mask))
    assert quoted(told) == [LABELS[k] for k in chosen[:NAMED_ENTRIES]]
    more = len(chosen) - NAMED_ENTRIES
    assert re.findall(r"\d+", re.sub(r"`[^`]*`", "", told)) == ([str(more)] if more > 0 else [])
    names = evidence(positions).names(np.array(mask))
    assert quoted(names) == list(dict.fromkeys(OWNERS[k] for k in chosen))


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ((), "all of `W`, `c`, `b[0]` and 1 more"),
        ((6, 7, 8), "all of `W`"),
        ((7, 8), "all of `W` and `c`"),
        pytest.param((0, 7, 8), "`W[0, 1]`, `W[0, 2]`, `W[1, 0]` and 3 more", id="not all"),
        pytest.param(range(6), "`c`, `b[0]` and `b[1]`", id="HARD: too few to be worth a word"),
    ],
)  # fmt: skip
def test_all_of_a_parameter(left_out, told):
    """A parameter with more entries than are named is named itself."""
    mask = np.ones(9, dtype=bool)
    mask[list(left_out)] = False
    assert evidence().labels(mask) == told
