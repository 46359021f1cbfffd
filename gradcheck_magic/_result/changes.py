"""The changes from one check to the next: parameters that were fixed, or are still wrong."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import listed

__all__ = ["changes"]

# The number of parameters that are named for each kind of change.
MOST_NAMES = 4
STANDINGS = {
    Verdict.CORRECT: "right",
    Verdict.INSPECT: "wrong",
    Verdict.BUG: "wrong",
    Verdict.INCONCLUSIVE: "open",
}
# In the order in which they are listed; a parameter that stays correct is not mentioned.
CHANGE_WORDS = {
    ("wrong", "right"): "fixed",
    ("open", "right"): "now agrees",
    ("right", "wrong"): "now wrong",
    ("open", "wrong"): "now wrong",
    ("wrong", "wrong"): "still wrong",
    ("wrong", "open"): "now inconclusive",
    ("right", "open"): "now inconclusive",
    ("open", "open"): "still inconclusive",
}


def changes(
    before: Sequence[ParameterCheck],
    after: Sequence[ParameterCheck],
    differences: tuple[str, str],
) -> str:
    """Describe the changes since the previous check, whose difference is the first, in one line.

    It is a text such as ``"0.21 → 3e-09: `W2` fixed, `b1` still wrong"``. It is empty if the two
    checks are not of the same parameters, or if everything was correct and still is.
    """
    if [(p.name, p.shape) for p in before] != [(p.name, p.shape) for p in after]:
        return ""
    told: dict[str, list[str]] = {words: [] for words in CHANGE_WORDS.values()}
    for earlier, later in zip(before, after, strict=True):
        words = CHANGE_WORDS.get((STANDINGS[earlier.verdict], STANDINGS[later.verdict]))
        if words:
            told[words].append(later.name)
    kinds = [f"{listed(names, MOST_NAMES)} {words}" for words, names in told.items() if names]
    if not kinds:
        return ""
    old, new = differences
    both = f"{old} → {new}" if old != new else f"{new}, as before"
    return f"{both}: {', '.join(kinds)}"
