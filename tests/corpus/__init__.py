"""Right and wrong gradients, made from seeds, that are meant to break a gradient checker."""

import os

# With several threads the last bits of a product differ, and so does what is measured. It is read
# when NumPy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from .case import Case
from .generate import FAMILIES, REGIMES, Plan, build, cases, plans, sample

__all__ = ["FAMILIES", "REGIMES", "Case", "Plan", "build", "cases", "plans", "sample"]
