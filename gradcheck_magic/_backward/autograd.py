"""The backward pass that torch makes of a cost, for gradients that nobody has computed in sight."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from gradcheck_magic._backward.find import Recording
from gradcheck_magic._backward.record import Recorder
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.arrays import requires_gradient, torch_class

__all__ = ["differentiated"]

# The class of what torch notes of a custom function.
CUSTOM = "autograd.function.BackwardCFunction"


def differentiated(cost: Cost) -> Recording | None:
    """Record the backward pass of J(θ); None if torch computes all of it by itself."""
    with Recorder() as recorder:
        output, upstream = cost.output()
        nodes = [*_graph(output.grad_fn)] if requires_gradient(output) else []
        if not any(isinstance(node, torch_class(CUSTOM)) for node in nodes):
            return None
        torch: Any = sys.modules["torch"]
        if upstream is not None:
            upstream = torch.as_tensor(upstream, dtype=output.dtype, device=output.device)
        ends = [node.variable for node in nodes if hasattr(node, "variable")]
        # Unlike `backward()`, this leaves `.grad` alone.
        torch.autograd.grad(output, ends, upstream, allow_unused=True)
    return Recording(recorder.bound, recorder.obstacle)


def _graph(node: Any) -> Iterator[Any]:
    """Yield what torch has noted of the computation of a tensor."""
    waiting, found = [node], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
