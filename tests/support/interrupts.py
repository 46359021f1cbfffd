"""Interrupts and time limits at any line of the package."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
from traces import Model, changed, world

import gradcheck_magic
from gradcheck_magic import GradientCheckInterrupted

PACKAGE = str(Path(gradcheck_magic.__file__).parent) + os.sep


class LimitError(Exception):
    """What a time limit raises: an `Exception`, which much may catch by mistake."""


def limit(*_):
    raise LimitError("the time is over")


@contextlib.contextmanager
def time_limit():
    """Handle the alarm as a time limit does, until the end of this context."""
    before = signal.signal(signal.SIGALRM, limit)
    try:
        yield signal.SIGALRM
    finally:
        signal.signal(signal.SIGALRM, before)


class Interrupter:
    """A tracer that counts the executed lines of the package, and sends a signal at the n-th."""

    def __init__(self, at=None, number=signal.SIGINT):
        self.at = at
        self.number = number
        self.lines = 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                signal.raise_signal(self.number)
        return self.trace


def lines_of(action, model):
    with Interrupter() as all_lines:
        action(model)
    return all_lines.lines


def interrupted(action, model, moment, number):
    """Interrupt an action at a line, and return what it raises; None if it ends before that."""
    with Interrupter(moment, number) as interrupter:
        try:
            action(model)
        except (KeyboardInterrupt, LimitError) as interrupt:
            return interrupt
    # The number of lines varies by a few, because it depends on how long they take.
    assert interrupter.lines < moment, "it was swallowed"
    return None


def see_interrupts_leave_no_trace(action, moments, make=Model, number=signal.SIGINT):
    """Interrupt an action on a model at this many lines, chosen at random, and look for traces.

    The interrupt is a signal, Ctrl-C if none is given. Each time it is a model that is made for it.
    Afterwards, everything is as it was before, and the interrupt is not swallowed.
    """
    action(make())  # the first call does what is done only once
    n_lines = lines_of(action, make())
    n_interrupted = 0
    for moment in np.random.default_rng(0).integers(1, n_lines, moments):
        model = make()
        before, around = model.state(), world()
        interrupt = interrupted(action, model, moment, number)
        assert model.state() == before, f"line {moment} of {n_lines}"
        assert changed(around) == [], f"line {moment} of {n_lines}"
        if isinstance(interrupt, GradientCheckInterrupted):
            assert "the parameters are as they were before" in str(interrupt)
        n_interrupted += interrupt is not None
    assert n_interrupted > 0.8 * moments
