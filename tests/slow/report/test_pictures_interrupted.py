"""A picture that is interrupted while it is drawn leaves no trace, just like a check.

`tests/check/test_no_traces.py` interrupts checks; a picture takes a hundred times as long.
"""

import pytest
from interrupts import see_interrupts_leave_no_trace
from traces import PICTURES, unusual_world

MOMENTS = 30


@pytest.mark.parametrize("action", PICTURES)
def test_interrupted_at_any_line(action):
    with unusual_world():
        see_interrupts_leave_no_trace(action, MOMENTS)
