"""Cases in which causes are searched for: mismatches, without a cost that could be evaluated."""

from gradcheck_magic._diagnosis.causes.unknown import Unknown
from gradcheck_magic._diagnosis.finding import Case
from gradcheck_magic._diagnosis.layers import Layers


def case_of(mismatches, numbers, wrong=None):
    """Return a case in which no cause has been found of some parameters, or of all wrong ones."""
    wrong = [m for m in mismatches if m.is_wrong] if wrong is None else wrong
    findings = tuple(map(Unknown.of, wrong))
    mismatches = tuple(mismatches)
    return Case(None, mismatches, Layers(mismatches), numbers, "J", findings=findings)
