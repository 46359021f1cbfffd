"""Correct and wrong gradients, made from seeds, that are meant to break a gradient checker."""

import os

# With several threads, the last bits of a product vary, and so do the measurements. NumPy reads the
# variable when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from .case import Case
from .family import KINDS
from .generate import FAMILIES, PARTS, REGIMES, Plan, build, cases, plans, sample

__all__ = [
    "FAMILIES",
    "KINDS",
    "PARTS",
    "REGIMES",
    "Case",
    "Plan",
    "build",
    "cases",
    "plans",
    "sample",
]
