"""What may be wrong: the outcome of the search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradcheck_magic._backward.nodes import Node
from gradcheck_magic._backward.statements import Statement

__all__ = ["Suspicion"]


@dataclass(frozen=True, eq=False)
class Suspicion:
    """The statements one of which is wrong, the most likely first; often there is only one.

    Attributes
    ----------
    wrong : Node
        The first value that is known to be wrong.
    statements : tuple of Statement
        What may have made it wrong.
    inputs : tuple of Node
        The right gradients that it starts from.
    factor : float
        It is this many times what it should be; nan if it is no multiple.
    is_part : bool
        True if something is missing: it is the gradient by some uses of an array only.
    explains : tuple of Node
        The gradients of parameters that are wrong because of it.
    further : tuple of Statement
        What these statements depend on, and may be wrong instead, the nearest first.
    """

    wrong: Node
    statements: tuple[Statement, ...]
    inputs: tuple[Node, ...]
    factor: float = math.nan
    is_part: bool = False
    explains: tuple[Node, ...] = ()
    further: tuple[Statement, ...] = ()
