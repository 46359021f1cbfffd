"""The words that the card and the text report share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from gradcheck_magic._measure.residuals import CERTAINTY
from gradcheck_magic._report.histogram import in_words
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.verdict import LISTED, Verdict
from gradcheck_magic._wording import duration, listed

__all__ = [
    "HEADS",
    "NUMBER_COLUMNS",
    "REACH",
    "SCAN_HEADS",
    "SEPARATOR",
    "brief",
    "difference_text",
    "entry_rows",
    "footer",
    "one_line",
    "parameter_verdict",
    "picture_alt",
    "progress_text",
    "ratio_text",
    "shape_text",
    "since_text",
    "split_sentences",
    "table_heads",
    "table_rows",
    "values_behind",
    "worst_values",
]

HEADS = ("parameter", "shape", "difference", "verdict", "worst entry", "analytic", "numerical")
# The column of a scan with the smallest error that it detects in a single entry.
REACH = "smallest detectable error"
SCAN_HEADS = (*HEADS[:4], REACH, "worst entry")
NUMBER_COLUMNS = {"difference", REACH, "analytic", "numerical"}
SEPARATOR = " · "
# The description of a picture names at most this many parameters.
PARAMETERS_TOLD = 12


def parameter_verdict(check: ParameterCheck) -> str:
    """Return the verdict on a parameter, in words."""
    if check.is_scanned:
        return _scanned_verdict(check)
    if check.n_measured < check.size:
        wrong = f"wrong, {check.n_wrong:,}, " if check.n_wrong else ""
        return f"{wrong}{check.n_measured:,} of {check.size:,} measured"
    if check.verdict is Verdict.BUG:
        return f"wrong, {check.n_wrong:,} of {check.size:,}" if check.n_wrong else "differs"
    return _VERDICT_WORDS[check.verdict]


def _scanned_verdict(check: ParameterCheck) -> str:
    """Return the verdict on a scanned parameter, with its wrong regions or entries."""
    if check.regions:
        # The row already begins with the name.
        places = [r.label.removeprefix(check.name) or "everywhere" for r in check.regions]
        return f"wrong, {listed(places, 3, code=False)}"
    if check.verdict is Verdict.BUG:
        return f"wrong, {check.n_wrong} {'entry' if check.n_wrong == 1 else 'entries'} found"
    return _VERDICT_WORDS[check.verdict]


_VERDICT_WORDS = {
    Verdict.CORRECT: "agrees",
    Verdict.INSPECT: "inspect",
    Verdict.INCONCLUSIVE: "cannot tell",
}


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as ``5 × 4``, or ``scalar`` for a single number."""
    return " × ".join(map(str, shape)) or "scalar"


def footer(check: GradientCheck) -> str:
    """Return the last line: step, evaluations, time, cost, and smallest detectable error."""
    is_full = check.mode == "full"
    parts = [
        _extent(check),
        {
            "flat": "cost called with the flat θ",
            "arguments": "cost called with the arrays one by one",
            "closure": "cost called without arguments",
        }.get(check.call, ""),
        f"ε = {check.epsilon:g}" if is_full else "",
        f"{check.n_evaluations:,} evaluations in {check.seconds:.2f} s",
        f"cost {check.cost:.6g} (rounding noise {check.noise:.0e})",
        _power(check) if math.isfinite(check.detectable) and not check.interrupted else "",
    ]
    return SEPARATOR.join(filter(None, parts))


def _extent(check: GradientCheck) -> str:
    if check.mode == "scan":
        return f"scan of {check.size:,} entries, {check.n_measured:,} measured individually"
    if check.n_measured == check.size == 1:
        return "the only entry measured"
    if check.n_measured == check.size:
        return f"all {check.size:,} entries measured"
    return f"{check.n_measured:,} of {check.size:,} entries measured"


def _power(check: GradientCheck) -> str:
    if check.mode == "full":
        return f"smallest detectable error {check.detectable:.1e} in any single entry"
    return (
        f"smallest detectable error {check.detectable:.1e} in any single entry (and {LISTED:g} of "
        f"the entry), with probability {CERTAINTY}"
    )


def since_text(check: GradientCheck) -> str:
    """Return the changes since the previous check, if there was one."""
    return f"Since last time: {check.changes}." if check.changes else ""


def ratio_text(entry: Entry) -> str:
    """Return the ratio of the analytic to the numerical value, if there is one."""
    if not entry.numerical or not math.isfinite(entry.analytic / entry.numerical):
        return ""
    return f"{entry.analytic / entry.numerical:.4g}"


def picture_alt(check: GradientCheck) -> str:
    """Return the picture of a check in words."""
    if check.mode == "scan":
        return _reach_alt(check)
    errors = check.relative_errors
    return f"Histogram of the relative errors of {len(errors):,} entries: {in_words(errors)}."


def _reach_alt(check: GradientCheck) -> str:
    reaches = [
        f"{p.name} up to {p.largest:.1e}, smallest detectable error {p.detectable:.1e}"
        for p in check.parameters[:PARAMETERS_TOLD]
        if p.is_scanned
    ]
    return (
        "The size of the entries and the smallest detectable error of each parameter: "
        f"{'; '.join(reaches)}."
    )


def one_line(check: GradientCheck) -> str:
    """Return the verdict, the difference and the first diagnosis in one line."""
    return f"{check.verdict.symbol} {check.headline()}"


def brief(check: GradientCheck) -> str:
    """Return a result in a few words: its extent if it passed, else the first error."""
    parts = [f"{check.verdict.symbol} {check.difference_text}"]
    if check.passed:
        kind = "scan of " if check.mode == "scan" else ""
        noun = "entry" if check.size == 1 else "entries"
        parts += [f"{kind}{check.size:,} {noun}", f"{check.seconds:.2f} s"]
    else:
        parts += [_extent(check)] if check.interrupted else []
        parts += [_first_finding(check)]
    return SEPARATOR.join(parts)


def _first_finding(check: GradientCheck) -> str:
    """Return the first diagnosis, or a wrong entry, or the reason why there is no verdict."""
    sentences = [*(diagnosis.sentence for diagnosis in check.diagnoses), *check.reasons]
    if check.wrong_entries and not check.diagnoses:
        label, analytic, numerical = worst_values(check.worst_entries(1)[0])
        sentences = [f"`{label}`: analytic {analytic}, numerical {numerical}"]
    first, _ = split_sentences(sentences[0] if sentences else check.verdict.value)
    return first if first.endswith((".", "?")) else f"{first}."


def progress_text(done: int, expected: int, seconds: float) -> str:
    """Return the progress of a check: evaluations, their rate, and the time left."""
    rate = done / seconds if seconds > 0 else math.inf
    return (
        f"Checking the gradient: {done:,} of about {expected:,} evaluations, "
        f"{_rate_text(rate)}, about {duration((expected - done) / rate)} left"
    )


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f} per second" if rate >= 10 else f"{rate:.1f} per second"  # noqa: PLR2004 (two digits)


def table_rows(check: GradientCheck, parameters: Sequence[ParameterCheck]) -> list[tuple[str, ...]]:
    """Return the cells of the table: its heads, then a row for each parameter given."""
    heads = table_heads(check)
    rows = [heads]
    for p in parameters:
        verdict = f"{p.verdict.symbol} {parameter_verdict(p)}"
        rows.append(
            (p.name, shape_text(p.shape), difference_text(p), verdict, *values_behind(p, heads))
        )
    return rows


def entry_rows(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Return the label, the values and the ratio of each entry."""
    return [(*worst_values(entry), ratio_text(entry)) for entry in entries]


def table_heads(check: GradientCheck) -> tuple[str, ...]:
    return HEADS if check.mode == "full" else SCAN_HEADS


def difference_text(check: ParameterCheck) -> str:
    if math.isinf(check.difference_uncertainty):
        # An estimate without an error bar has no digits to show.
        return "" if not check.is_scanned else f"{check.difference}"
    return f"{'≈ ' if check.is_scanned else ''}{check.difference:.1e}"


def values_behind(check: ParameterCheck, heads: Sequence[str]) -> tuple[str, ...]:
    """Return the cells after the verdict: the worst entry, and the reach after a scan."""
    worst = worst_values(check.worst)
    if REACH not in heads:
        return worst
    known = check.is_scanned and 0 < check.detectable < math.inf
    return f"{check.detectable:.1e}" if known else "", worst[0]


def worst_values(worst: Entry | None) -> tuple[str, str, str]:
    if worst is None:
        return "", "", ""
    known = f" ± {worst.uncertainty:.0e}" if math.isfinite(worst.uncertainty) else ""
    return worst.label, f"{worst.analytic:.5e}", f"{worst.numerical:.5e}{known}"


def split_sentences(text: str) -> tuple[str, str]:
    """Return the first sentence without its full stop, and the rest, which may be empty."""
    # A full stop in code ends no sentence.
    split = re.fullmatch(r"((?:`[^`]*`|[^`])*?)\. (.*)", text, flags=re.DOTALL)
    return (split[1], split[2]) if split else (text, "")
