"""What an evaluation frees is kept for the next one, where the environment would have it go."""

import os
import subprocess
import sys

import pytest

from gradcheck_magic._cost import worker_process

# Page faults while arrays of 4 MB come and go: before, meanwhile and afterwards.
FAULTS = """
import resource
import numpy as np
from gradcheck_magic._cost.worker_process import memory_not_trimmed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(500_000) + np.ones(500_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

counts = [faults()]
with memory_not_trimmed():
    faults()
    counts.append(faults())
counts.append(faults())
print(*counts)
"""

# So many pages has one of the arrays, of 4 KB each, or of fewer and larger ones.
PAGES = 60
glibc = pytest.mark.skipif(worker_process._mallopt() is None, reason="the C library is not glibc")


def counted(**environment):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(count) for count in done.stdout.split()]


@glibc
def test_memory_is_kept_meanwhile():
    """Where memory is given back early, as in Dask's workers, that rests during a task alone."""
    before, meanwhile, afterwards = counted(MALLOC_TRIM_THRESHOLD_="65536")
    assert before > 20 * PAGES
    assert meanwhile < PAGES
    assert afterwards > 20 * PAGES


@glibc
def test_own_processes_keep_memory():
    """Those of `workers=2` do so from their start."""
    _, _, afterwards = counted(**worker_process.KEEPING)
    assert afterwards < PAGES


@pytest.mark.parametrize("asked", ["", "-1", "a word"])
def test_nothing_is_done_unasked(monkeypatch, asked):
    monkeypatch.setenv(worker_process.ASKED, asked)
    monkeypatch.setattr(worker_process, "_mallopt", lambda: pytest.fail("the C library was asked"))
    with worker_process.memory_not_trimmed():
        pass
