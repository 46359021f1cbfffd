"""The changes from one check to the next: parameters that were fixed, or are still wrong."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_magic._result.parameter_check import ParameterCheck
from gradcheck_magic._result.verdict import Verdict
from gradcheck_magic._wording import listed

__all__ = ["changes"]

# The number of parameters that are named for each kind of change.
MOST_NAMES = 4

_RIGHT, _WRONG, _OPEN = "right", "wrong", "open"
_STANDINGS = {
    Verdict.CORRECT: _RIGHT,
    Verdict.INSPECT: _WRONG,
    Verdict.BUG: _WRONG,
    Verdict.INCONCLUSIVE: _OPEN,
}
# In the order in which they are listed; a parameter that stays correct is not mentioned.
_CHANGE_WORDS = {
    (_WRONG, _RIGHT): "fixed",
    (_OPEN, _RIGHT): "now agrees",
    (_RIGHT, _WRONG): "now wrong",
    (_OPEN, _WRONG): "now wrong",
    (_WRONG, _WRONG): "still wrong",
    (_WRONG, _OPEN): "now inconclusive",
    (_RIGHT, _OPEN): "now inconclusive",
    (_OPEN, _OPEN): "still inconclusive",
}


def changes(
    before: Sequence[ParameterCheck],
    after: Sequence[ParameterCheck],
    differences: tuple[float, float],
) -> str:
    """Describe the changes since the previous check, in one line.

    Parameters
    ----------
    before, after : sequence of ParameterCheck
        The results of the two checks.
    differences : tuple of float
        The difference of the previous check and of this one.

    Returns
    -------
    str
        A text such as ``"0.21 → 3e-09: `W2` fixed, `b1` still wrong"``. It is empty if the two
        checks are not of the same parameters, or if everything was correct and still is.
    """
    if [(p.name, p.shape) for p in before] != [(p.name, p.shape) for p in after]:
        return ""
    told: dict[str, list[str]] = {words: [] for words in _CHANGE_WORDS.values()}
    for earlier, later in zip(before, after, strict=True):
        words = _CHANGE_WORDS.get((_STANDINGS[earlier.verdict], _STANDINGS[later.verdict]))
        if words:
            told[words].append(later.name)
    kinds = [f"{listed(names, MOST_NAMES)} {words}" for words, names in told.items() if names]
    if not kinds:
        return ""
    return f"{_pair(*differences)}: {', '.join(kinds)}"


def _pair(before: float, after: float) -> str:
    """Return both differences, or one of them "as before" if they look the same."""
    old, new = f"{before:.2g}", f"{after:.2g}"
    return f"{old} → {new}" if old != new else f"{new}, as before"
