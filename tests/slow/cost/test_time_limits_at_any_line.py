"""A time limit may strike at any line of a check; `tests/check` has a few of these moments."""

import pytest
from interrupts import see_interrupts_leave_no_trace, time_limit
from traces import Model, check_gradients, checked_wrong, step_curve, unusual_world

MOMENTS = 200


def scans(model):
    check_gradients(model.params, model.grads, model.cost, mode="scan")


def asks_for_gradients(model):
    check_gradients(model.params, lambda: model.grads, model.cost, points=2)


def draws_a_curve(model):
    step_curve(model.params, model.grads, model.cost, "W", (1, 1))


@pytest.mark.parametrize("action", [scans, asks_for_gradients, checked_wrong, draws_a_curve])
def test_at_any_line(action):
    with unusual_world(), time_limit() as number:
        see_interrupts_leave_no_trace(action, MOMENTS, Model, number)
