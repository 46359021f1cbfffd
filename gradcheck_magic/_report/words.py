"""The words and the table rows that the card and the text report share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from gradcheck_magic._measure.residuals import CERTAINTY
from gradcheck_magic._report.error_counts import in_words
from gradcheck_magic._result.backward_pass import Step
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.verdict import LISTED, Verdict
from gradcheck_magic._wording import duration, listed

__all__ = [
    "MOST_LISTED",
    "NUMBER_COLUMNS",
    "SEPARATOR",
    "Row",
    "all_notes",
    "brief",
    "diagnosis_text",
    "entries_text",
    "entry_rows",
    "findings",
    "footer",
    "left_out_text",
    "more_findings",
    "parameter_verdict",
    "picture_alt",
    "progress_text",
    "selectable",
    "shape_text",
    "shown_first",
    "shown_steps",
    "split_sentences",
    "step_rows",
    "table_rows",
]

# The cells of a row, by the heads of their columns.
Row = dict[str, str]

# The column of a scan with the smallest error that it detects in a single entry.
REACH = "smallest detectable error"
VALUE_COLUMNS = ("analytic", "numerical", "analytic / numerical", "analytic − numerical")
NUMBER_COLUMNS = {"difference", REACH, *VALUE_COLUMNS}
SEPARATOR = " · "
# The smallest detectable error of a parameter is told apart if it is this much larger.
UNLIKE = 5.0
# The description of a picture names at most this many parameters.
PARAMETERS_TOLD = 12
# A table of at most this many parameters shows all of them, in their order.
MANY_ROWS = 20
# A longer table shows the parameters that do not agree, at most MOST_ROWS, and others until it has
# FEW_ROWS.
FEW_ROWS, MOST_ROWS = 12, 40
# A card lists at most this many parameters, with those in the fold below its table.
MOST_LISTED = 100
# A sentence that says where to look.
LOOK = re.compile(r"\blook at\b", re.IGNORECASE)
# At most this many diagnoses are told, and as many reasons: nobody reads thousands.
MOST_FINDINGS = 12
# A table shows at most this many values of the backward pass, so many before the first wrong one.
MOST_VALUES_SHOWN, BEFORE_FIRST = 60, 20
# The signs for the marks of these values.
MARKS = {"right": "✓", "wrong": "✗", "not looked at": "–"}
# The words for the parameters that a table leaves out, the most severe first.
LEFT_OUT = {
    Verdict.BUG: "wrong",
    Verdict.INSPECT: "to inspect",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.CORRECT: "correct",
}


def parameter_verdict(check: ParameterCheck) -> str:
    """Return the verdict on a parameter, in words."""
    is_wrong = check.verdict is Verdict.BUG
    if check.regions:
        # The row already begins with the name.
        places = [r.label.removeprefix(check.name) or "everywhere" for r in check.regions]
        return f"wrong, {listed(places, 3, code=False)}"
    if is_wrong and not check.n_wrong:
        return "wrong, entries not located"
    if check.is_scanned and is_wrong:
        return f"wrong, {entries_text(check.n_wrong)} found"
    if check.n_measured < check.size and not check.is_scanned:
        wrong = f"wrong, {check.n_wrong:,}, " if check.n_wrong else ""
        return f"{wrong}{check.n_measured:,} of {check.size:,} measured"
    if is_wrong:
        return f"wrong, {check.n_wrong:,} of {check.size:,}"
    return {
        Verdict.CORRECT: "agrees",
        Verdict.INSPECT: "inspect" if check.keeps_shape else "inspect the shape",
        Verdict.INCONCLUSIVE: "cannot tell",
    }[check.verdict]


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as ``5 × 4``, or ``scalar`` for a single number."""
    return " × ".join(map(str, shape)) or "scalar"


def entries_text(number: int) -> str:
    """Return ``1 entry``, or ``1,200 entries``."""
    return "1 entry" if number == 1 else f"{number:,} entries"


def footer(check: GradientCheck) -> str:
    """Return the last line: step, evaluations, time, cost, and smallest detectable error."""
    # A check that was stopped at once knows neither.
    noise = "" if math.isnan(check.noise) else f" (rounding noise {check.noise:.0e})"
    what, value = ("function", "norm of f") if check.is_jacobian else ("cost", "cost")
    cost = "" if math.isnan(check.cost) else f"{value} {check.cost:.6g}{noise}"
    parts = [
        _extent(check),
        {
            "flat": f"{what} called with the flat θ",
            "arguments": f"{what} called with the arrays one by one",
            "closure": f"{what} called without arguments",
        }.get(check.call, ""),
        f"ε = {check.epsilon:g}" if check.mode == "full" else "",
        f"{check.n_evaluations:,} evaluations in {check.seconds:.2f} s",
        cost,
        _power(check) if math.isfinite(check.detectable) and not check.interrupted else "",
    ]
    return SEPARATOR.join(filter(None, parts))


def _power(check: GradientCheck) -> str:
    """Return the smallest detectable error, relative to the largest entry of each gradient.

    It is that of the median parameter, and of the worst one if that differs.
    """
    shares = sorted(
        (max(p.detectable / p.largest, LISTED), p.name)
        for p in check.parameters
        if p.largest > 0 and math.isfinite(p.detectable)
    )
    if not shares:
        return f"smallest detectable error {check.detectable:.1e} in any single entry"
    (middle, _), (most, name) = shares[(len(shares) - 1) // 2], shares[-1]
    worst = f" ({share_text(most)} in {name})" if most > UNLIKE * middle else ""
    where = "for most entries" if check.mode == "full" else f"with probability {CERTAINTY}"
    return f"smallest detectable error {share_text(middle)} of the gradient{worst}, {where}"


def share_text(share: float) -> str:
    """Return a share as ``0.002 %``, or ``over 100 %``."""
    percent = 100 * share
    if share > 1:
        return "over 100 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1g} %"  # noqa: PLR2004 (one digit)


def _extent(check: GradientCheck) -> str:
    if check.mode == "scan":
        return f"scan of {check.size:,} entries, {check.n_measured:,} measured individually"
    if check.n_measured < check.size:
        return f"{check.n_measured:,} of {check.size:,} entries measured"
    return f"all {check.size:,} entries measured" if check.size > 1 else "the only entry measured"


def ratio_text(entry: Entry) -> str:
    """Return the ratio of the analytic to the numerical value, if there is one."""
    if not entry.numerical or not math.isfinite(entry.analytic / entry.numerical):
        return ""
    return f"{entry.analytic / entry.numerical:.4g}"


def picture_alt(check: GradientCheck) -> str:
    """Return the picture of a check in words."""
    if check.mode == "full":
        errors = check.relative_errors
        return f"Histogram of the relative errors of {len(errors):,} entries: {in_words(errors)}."
    reaches = [
        f"{p.name} up to {p.largest:.1e}, smallest detectable error {p.detectable:.1e}"
        for p in shown_first(check.parameters)[0][:PARAMETERS_TOLD]
        if p.is_scanned
    ]
    return (
        "The size of the entries and the smallest detectable error of each parameter: "
        f"{'; '.join(reaches)}."
    )


def brief(check: GradientCheck) -> str:
    """Return a result in a few words: its extent if it passed, else the first finding."""
    parts = [f"{check.verdict.symbol} {check.difference_text}"]
    if check.passed and check.not_checked:
        parts.append(check.verdict_text.rstrip("."))
    if check.passed:
        kind = "scan of " if check.mode == "scan" else ""
        parts += [f"{kind}{entries_text(check.size)}", f"{check.seconds:.2f} s"]
    else:
        parts += [_extent(check)] if check.interrupted else []
        faults = check.backward.faults[:1] if check.backward else ()
        parts += [f"{fault.lines[0].place}: {fault.lines[0].text}" for fault in faults]
        sentences = [*(d.sentence for d in check.diagnoses), *check.reasons, check.verdict_text]
        parts.append(split_sentences(sentences[0])[0])
    return SEPARATOR.join(parts)


def progress_text(done: int, expected: int, seconds: float) -> str:
    """Return the progress of a check: evaluations, their rate, and the time left."""
    rate = done / seconds if seconds > 0 else math.inf
    digits = 0 if rate >= 10 else 1  # noqa: PLR2004 (two digits)
    return (
        f"Checking the gradient: {done:,} of about {expected:,} evaluations, "
        f"{rate:,.{digits}f} per second, about {duration((expected - done) / rate)} left"
    )


def table_rows(check: GradientCheck, parameters: Iterable[ParameterCheck]) -> list[Row]:
    """Return a row of the table for each of the parameters."""
    rows = []
    for p in parameters:
        row = {
            "parameter": p.name,
            "shape": shape_text(p.shape),
            "difference": difference_text(p),
            "verdict": f"{p.verdict.symbol} {parameter_verdict(p)}",
        }
        label, analytic, numerical = worst_values(p.worst)
        if check.mode == "full":
            row |= {"worst entry": label, "analytic": analytic, "numerical": numerical}
        else:
            known = p.is_scanned and 0 < p.detectable < math.inf
            row |= {REACH: f"{p.detectable:.1e}" if known else "", "worst entry": label}
        rows.append(row)
    return rows


def entry_rows(entries: Iterable[Entry]) -> list[Row]:
    """Return the label of each entry, its values, and their ratio and difference."""
    heads = ("entry", *VALUE_COLUMNS)
    cells = ((*worst_values(e), ratio_text(e), f"{e.analytic - e.numerical:.3e}") for e in entries)
    return [dict(zip(heads, row, strict=True)) for row in cells]


def difference_text(check: ParameterCheck) -> str:
    if math.isinf(check.difference_uncertainty):
        if not math.isnan(check.difference):
            return f"≥ {check.difference:.1e}"
        return "nan" if check.worst and not math.isfinite(check.worst.analytic) else ""
    if not check.is_scanned and check.n_measured == 0 < check.size:
        return ""
    return f"{'≈ ' if check.is_scanned else ''}{check.difference:.1e}"


def worst_values(worst: Entry | None) -> tuple[str, str, str]:
    if worst is None:
        return "", "", ""
    known = f" ± {worst.uncertainty:.0e}" if math.isfinite(worst.uncertainty) else ""
    return worst.label, f"{worst.analytic:.5e}", f"{worst.numerical:.5e}{known}"


def step_rows(steps: Iterable[Step]) -> list[Row]:
    """Return a row for each value of the backward pass: its statement, and what it is."""
    return [
        {
            "line": str(step.line.line) if step.line.file == "cell" else step.line.place,
            "statement": step.line.text,
            "value": step.value,
            "gradient": f"{MARKS[step.mark]} {step_text(step)}",
        }
        for step in steps
    ]


def step_text(step: Step) -> str:
    """Return what a value of the backward pass is, in words."""
    if not step.of:
        return step.mark
    wrong = "wrong: " if step.mark == "wrong" else ""
    factor = "" if step.factor == 1 else f"{step.factor:.4g} × "
    return f"{wrong}{factor}gradient of {step.of}"


def shown_steps(check: GradientCheck) -> tuple[Sequence[Step], int]:
    """Return the values of the backward pass that are shown, and how many are not.

    They are those around the first that is wrong, or else the first ones.
    """
    steps = check.backward.steps if check.backward else ()
    wrong = next((k for k, step in enumerate(steps) if step.mark == "wrong"), 0)
    start = max(0, min(wrong - BEFORE_FIRST, len(steps) - MOST_VALUES_SHOWN))
    shown = steps[start : start + MOST_VALUES_SHOWN]
    return shown, len(steps) - len(shown)


def all_notes(check: GradientCheck) -> Sequence[str]:
    """Return the notes on the check, and on what could not be seen of the backward pass."""
    return (*check.notes, *(check.backward.notes if check.backward else ()))


def findings(check: GradientCheck) -> tuple[Sequence[Diagnosis], Sequence[str]]:
    """Return the diagnoses and the reasons that are told."""
    return check.diagnoses[:MOST_FINDINGS], check.reasons[:MOST_FINDINGS]


def diagnosis_text(check: GradientCheck, diagnosis: Diagnosis) -> str:
    """Return a diagnosis in words; where to look is left out if the statement is named."""
    faults = check.backward.faults if check.backward else ()
    explained = {name for fault in faults for name in fault.parameters}
    if not explained.issuperset(diagnosis.names):
        return diagnosis.sentence
    kept, rest = [], diagnosis.sentence
    while rest:
        sentence, rest = split_sentences(rest)
        kept += [] if LOOK.search(sentence) else [sentence]
    return " ".join(kept)


def more_findings(check: GradientCheck) -> Iterator[str]:
    """Yield how many diagnoses and reasons are not told, and where they are."""
    for name, of_kind in (("diagnoses", check.diagnoses), ("reasons", check.reasons)):
        if (more := len(of_kind) - MOST_FINDINGS) > 0:
            yield f"And {more:,} more: `check.{name}` has them all."


def selectable(check: GradientCheck) -> list[ParameterCheck]:
    """Return the parameters that a card lists, in their order: the most severe, if too many."""
    shown, left_out = shown_first(check.parameters)
    names = {parameter.name for parameter in (*shown, *left_out[: MOST_LISTED - len(shown)])}
    return [parameter for parameter in check.parameters if parameter.name in names]


def shown_first(
    parameters: Sequence[ParameterCheck],
) -> tuple[Sequence[ParameterCheck], Sequence[ParameterCheck]]:
    """Return the parameters that a table shows, and those that it leaves out.

    A short table has all of them in their order; a long one the most severe ones.
    """
    if len(parameters) <= MANY_ROWS:
        return parameters, ()
    severity = list(LEFT_OUT)
    order = sorted(parameters, key=lambda p: severity.index(p.verdict))
    unlike = sum(p.verdict is not Verdict.CORRECT for p in parameters)
    most = min(max(unlike, FEW_ROWS), MOST_ROWS)
    return order[:most], order[most:]


def left_out_text(left_out: Sequence[ParameterCheck]) -> str:
    """Return the number of parameters that a table leaves out, and their verdicts."""
    counts = Counter(parameter.verdict for parameter in left_out)
    if len(left_out) > 1 and set(counts) == {Verdict.CORRECT}:
        return f"{len(left_out):,} more, all agree"
    kinds = (f"{counts[verdict]:,} {word}" for verdict, word in LEFT_OUT.items() if counts[verdict])
    return f"{len(left_out):,} more: {', '.join(kinds)}"


def split_sentences(text: str) -> tuple[str, str]:
    """Return the first sentence and the rest, which may be empty."""
    # A full stop in code ends no sentence.
    split = re.fullmatch(r"((?:`[^`]*`|[^`])*?[.?]) (.*)", text, flags=re.DOTALL)
    return (split[1], split[2]) if split else (text, "")
