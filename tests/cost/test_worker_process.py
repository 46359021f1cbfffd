"""Memory that an evaluation frees is kept for the next one, even if the environment returns it."""

import os
import subprocess
import sys

import pytest

from gradcheck_magic._cost import worker_process

# Page faults while arrays of 4 MB are allocated and freed: before, during and after a task.
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

# An array has at least this many pages, whether they are of 4 KB each or larger.
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
    """Dask's workers return memory early; this is suspended only during a task."""
    before, meanwhile, afterwards = counted(MALLOC_TRIM_THRESHOLD_="65536")
    assert before > 20 * PAGES
    assert meanwhile < PAGES
    assert afterwards > 20 * PAGES


@glibc
def test_own_processes_keep_memory():
    """The processes of `workers=2` keep memory from the start."""
    _, _, afterwards = counted(**worker_process.KEEPING)
    assert afterwards < PAGES


@pytest.mark.parametrize("asked", ["", "-1", "a word"])
def test_nothing_is_done_unasked(monkeypatch, asked):
    monkeypatch.setenv(worker_process.ASKED, asked)
    monkeypatch.setattr(worker_process, "_mallopt", lambda: pytest.fail("the C library was asked"))
    with worker_process.memory_not_trimmed():
        pass
