"""Right and wrong gradients, made from seeds, that are meant to break a gradient checker."""

from .case import Case
from .generate import FAMILIES, REGIMES, Plan, build, cases, plans, sample

__all__ = ["FAMILIES", "REGIMES", "Case", "Plan", "build", "cases", "plans", "sample"]
