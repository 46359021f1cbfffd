"""Where a gradient has got a factor that nobody wants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck_magic._backward.bound import Origin
from gradcheck_magic._backward.evidence import Evidence
from gradcheck_magic._backward.names import has_gradient_name
from gradcheck_magic._backward.nodes import (
    Node,
    ancestors,
    gradients_read,
    is_divided,
    is_handed_on,
    is_natural,
    is_renamed,
    order,
    rounded,
    where_factor_changed,
)
from gradcheck_magic._backward.ranks import Ranks
from gradcheck_magic._backward.slices import Slice, Slices
from gradcheck_magic._backward.suspicion import Suspicion

__all__ = ["Factors", "most_common"]


@dataclass(frozen=True, eq=False)
class Factors:
    """Looks for statements that scale a gradient."""

    evidence: Evidence
    slices: Slices
    ranks: Ranks

    def odd_input(self, slices: Iterable[Slice]) -> Node | None:
        """Return a right gradient with a factor that nobody wants, from which others were made."""
        inputs = [node for each in slices for node in each.inputs]
        found = [n for node in inputs for n in ancestors(node) if n in self.evidence.odd]
        found = [n for n in found if n not in self.evidence.right]
        return order(found)[0] if found else None

    def odd_term(self, slices: Iterable[Slice]) -> Suspicion | None:
        """Return where a term was added with another factor than that of what it was added to."""
        nodes = {n for each in slices for node in each.suspects for n in ancestors(node)}
        for node in order(nodes):
            before = node.before
            if before is None or math.isnan(ratio := node.added / before.factor) or ratio == 1:
                continue
            terms = [n for n in gradients_read(node) if n is not before]
            same = [n for n in terms if n.factor == node.added]
            sources = [] if terms and not same else [*same, before]
            changed = filter(None, map(where_factor_changed, sources))
            if odd := next((each for each in changed if not is_divided(each)), None):
                return self.changed_factor(odd)
            return Suspicion(node, (node.bound.statement,), tuple(terms), ratio)
        return None

    def unlike_input(self, part: Slice) -> Node | None:
        """Return the value at which the factor of an input became unlike that of the others."""
        factors = [node.factor for node in part.inputs]
        if len(set(factors)) < 2:  # noqa: PLR2004
            return None
        usual = max(set(factors), key=factors.count)
        inputs = sorted(order(part.inputs), key=lambda n: n.factor == usual)
        changed = filter(None, map(where_factor_changed, inputs))
        return next((node for node in changed if not is_divided(node)), None)

    def changed_factor(self, node: Node) -> Suspicion:
        before = gradients_read(node)
        ratio = node.factor / before[0].factor if before else node.factor
        self.evidence.odd.discard(node)
        part = self.slices.of(node)
        counts = [n.bound.statement for n in self._wrong_counts(node.reads, ratio)]
        statements = dict.fromkeys([*counts, *self.ranks.ranked(part.suspects, part.origins)])
        return Suspicion(node, tuple(statements), before, ratio)

    def first_multiple(self, multiples: dict[Node, float]) -> Suspicion:
        for odd in order(self.evidence.odd):
            if odd not in self.evidence.right and any(odd in ancestors(node) for node in multiples):
                return self.changed_factor(odd)
        first = order(multiples)[0]
        factor = multiples[first]
        regions = {n: self._scaled_before(n) for n in order(multiples) if multiples[n] == factor}
        origins = [[n.bound.origin for n in region] for region in regions.values()]
        origins.sort(key=lambda each: first.bound.origin not in each)
        common = most_common(origins)
        in_common = {
            node: [n for n in region if n.bound.origin in common]
            for node, region in regions.items()
        }
        first, region = next(pair for pair in in_common.items() if pair[1])
        region = [n for n in region if not self._scales_so_elsewhere(n)] or [first]
        changes = [n for n in region if self._changes_factor(n, factor)]
        exact = [n for n in changes if n in self.evidence.wrong or n.factor == factor]
        own = [n for n in region if not (is_renamed(n) or n.is_operand)]
        likely = (exact or changes or own[::-1] or region)[0]
        counts = [n.bound.statement for n in self._wrong_counts(region, factor)]
        inputs = gradients_read(likely)
        is_sure = bool(inputs) and all(node.factor == 1 for node in inputs) and not counts
        rest = [] if is_sure else [n.bound.statement for n in reversed(region) if n not in exact]
        ranked = tuple(dict.fromkeys([*counts, likely.bound.statement, *rest]))
        return Suspicion(likely, ranked, inputs, factor)

    def _wrong_counts(self, nodes: Iterable[Node], factor: float) -> list[Node]:
        """Return the numbers that would be the length of something, but for the factor."""
        lengths = {
            n for bound in self.evidence.forward.bound for n in (*bound.shape, bound.size)
        } - {1}
        found = []
        for node in nodes:
            is_count = not (node.is_gradient or has_gradient_name(node.bound))
            if node.bound.size == 1 and is_count:
                number = float(node.bound.value[0])
                found += (
                    [node] if {rounded(number * factor), rounded(number / factor)} & lengths else []
                )
        return found

    def _scaled_before(self, node: Node) -> list[Node]:
        """Return what a value was made from, as far as its factor is not known to be right."""
        found, waiting = {node}, [node]
        while waiting:
            for read in waiting.pop().reads:
                if read not in self.evidence.right and read not in found:
                    found.add(read)
                    waiting.append(read)
        kept = [n for n in found if n is node or not is_handed_on(n)]
        # What is only given another name was made before.
        return sorted(order(kept), key=lambda n: is_renamed(n) or n.is_operand)

    def _scales_so_elsewhere(self, node: Node) -> bool:
        """Return True if the statement changes the factor in the same way where it goes right."""
        own = self.evidence.wrong.get(node, node.factor)
        ratios = {own / read.factor for read in gradients_read(node)}
        same = self.evidence.went_right.get(node.bound.origin, [])
        right = [n for n in same if n in self.evidence.right]
        others = {n.factor / read.factor for n in right for read in gradients_read(n)}
        return bool(ratios & others)

    def _changes_factor(self, node: Node, factor: float) -> bool:
        """Return True if the factors are natural with this statement mended."""
        own = 1.0 if node in self.evidence.wrong else node.factor / factor
        before = [read.factor for read in node.reads if read.is_gradient]
        return is_natural(own) and all(map(is_natural, before))


def most_common(found: Sequence[list[Origin]]) -> list[Origin]:
    """Return what may explain as many of the wrong values as possible."""
    counts = Counter(origin for origins in found for origin in set(origins))
    most = max(counts.values())
    return [o for o in dict.fromkeys(o for each in found for o in each) if counts[o] == most]
