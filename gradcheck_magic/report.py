"""A `GradientCheck` as HTML, and the words of it that text has too; displays nothing."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import pairwise

from gradcheck_magic.check import GradientCheck
from gradcheck_magic.comparison import (
    LISTED,
    THRESHOLDS,
    Entry,
    ParameterCheck,
    Verdict,
)
from gradcheck_magic.diagnosis import Diagnosis
from gradcheck_magic.error_histogram import in_words
from gradcheck_magic.errors import duration, listed
from gradcheck_magic.residuals import CERTAINTY

__all__ = [
    "NUMBERS",
    "SEPARATOR",
    "brief",
    "card",
    "entries_table",
    "entry_rows",
    "footer",
    "in_code",
    "one_line",
    "parameter_verdict",
    "picture_alt",
    "progress_card",
    "progress_text",
    "shape_text",
    "since_text",
    "table_rows",
]

# The ruler runs from here to 1, in powers of ten.
RULER_START = -12
# A table row for each parameter, up to this many; the others are behind a fold.
MOST_ROWS = 12
MOST_NOTES = 6
# Entries behind a diagnosis.
MOST_BEHIND = 12
# The ruler's colours where the style sheet is taken away, as it is from an output not trusted.
BANDS = ("#d3ece2", "#fbe8bd", "#fbd3ba", "#f7bdb7")
HEADS = ("parameter", "shape", "difference", "verdict", "worst entry", "analytic", "numerical")
# After a scan: the size of an error in a single entry that it finds.
REACH = "finds from"
SCAN_HEADS = (*HEADS[:4], REACH, "worst entry")
NUMBERS = {"difference", REACH, "analytic", "numerical"}
BEHIND_HEADS = ("entry", "analytic", "numerical", "analytic / numerical", "analytic − numerical")
_BLOCK = "margin:0 0 8px;padding:6px 10px"

SEPARATOR = " · "


# Words that text and card share


def parameter_verdict(check: ParameterCheck) -> str:
    """Return the verdict on a parameter, in words."""
    if check.is_scanned:
        return _scanned_verdict(check)
    if check.n_measured < check.size:
        wrong = f"wrong, {check.n_wrong:,}, " if check.n_wrong else ""
        return f"{wrong}{check.n_measured:,} of {check.size:,} measured"
    if check.verdict is Verdict.BUG:
        return f"wrong, {check.n_wrong:,} of {check.size:,}" if check.n_wrong else "differs"
    return _WORDS[check.verdict]


def _scanned_verdict(check: ParameterCheck) -> str:
    """Say what a scan found in a parameter, entry by entry or in regions."""
    if check.regions:
        # The name is at the beginning of the row.
        places = [r.label.removeprefix(check.name) or "all over" for r in check.regions]
        return f"wrong, {listed(places, 3, code=False)}"
    if check.verdict is Verdict.BUG:
        return f"wrong, {check.n_wrong} {'entry' if check.n_wrong == 1 else 'entries'} found"
    return _WORDS[check.verdict]


_WORDS = {
    Verdict.CORRECT: "agrees",
    Verdict.INSPECT: "inspect",
    Verdict.INCONCLUSIVE: "cannot tell",
}


def shape_text(shape: Sequence[int]) -> str:
    """Return ``5 × 4``, and ``scalar`` for a single number."""
    return " × ".join(map(str, shape)) or "scalar"


def footer(check: GradientCheck) -> str:
    """Return what was used, and what it could see: step, evaluations, time, cost, power."""
    is_full = check.mode == "full"
    parts = [
        _extent(check),
        {
            "flat": "cost called with the flat θ",
            "arguments": "cost called with the arrays one by one",
            "closure": "cost called with nothing",
        }.get(check.call, ""),
        f"ε = {check.epsilon:g}" if is_full else "",
        f"{check.n_evaluations:,} evaluations in {check.seconds:.2f} s",
        f"J = {check.cost:.6g}, known to {check.noise:.1e}",
        _power(check) if math.isfinite(check.detectable) and not check.interrupted else "",
    ]
    return SEPARATOR.join(filter(None, parts))


def _extent(check: GradientCheck) -> str:
    if check.mode == "scan":
        themselves = "itself" if check.n_measured == 1 else "themselves"
        return f"scan of {check.size:,} entries, {check.n_measured:,} measured by {themselves}"
    if check.n_measured == check.size == 1:
        return "the only entry measured"
    if check.n_measured == check.size:
        return f"all {check.size:,} entries measured"
    return f"{check.n_measured:,} of {check.size:,} entries measured"


def _power(check: GradientCheck) -> str:
    if check.mode == "full":
        return f"an error of {check.detectable:.1e} in any one entry would have been seen"
    return (
        f"an error of {check.detectable:.1e} in any single entry, and {LISTED:g} of it, "
        f"would have been found with probability {CERTAINTY}"
    )


def since_text(check: GradientCheck) -> str:
    """Return what has changed since the previous check, if there was one."""
    return f"Since last time: {check.changes}." if check.changes else ""


def ratio_text(entry: Entry) -> str:
    """Return by how much the analytic value is larger than the numerical one."""
    if not entry.numerical or not math.isfinite(entry.analytic / entry.numerical):
        return ""
    return f"{entry.analytic / entry.numerical:.4g}"


def picture_alt(check: GradientCheck) -> str:
    """Say in words what the picture shows."""
    if check.mode == "scan":
        return _reach_alt(check)
    errors = check.relative_errors
    return f"Histogram of the relative errors of {len(errors):,} entries: {in_words(errors)}."


def _reach_alt(check: GradientCheck) -> str:
    reaches = [
        f"{p.name} up to {p.largest:.1e}, found from {p.detectable:.1e}"
        for p in check.parameters[:MOST_ROWS]
        if p.is_scanned
    ]
    return f"The size of the entries, and of an error that is found: {'; '.join(reaches)}."


def one_line(check: GradientCheck) -> str:
    """Return verdict, difference and first diagnosis in one line."""
    return f"{check.verdict.symbol} {check.headline()}"


def brief(check: GradientCheck) -> str:
    """Return a result in a few words: of a right one its extent, else what is wrong first."""
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
    """What is wrong, without what to look at; or an entry that is; or why nothing can be said."""
    sentences = [*(diagnosis.sentence for diagnosis in check.diagnoses), *check.reasons]
    if check.wrong_entries and not check.diagnoses:
        label, analytic, numerical = _worst_values(check.worst_entries(1)[0])
        sentences = [f"`{label}`: analytic {analytic}, numerical {numerical}"]
    first, _ = _split(sentences[0] if sentences else check.verdict.value)
    return first if first.endswith((".", "?")) else f"{first}."


def progress_text(done: int, expected: int, seconds: float) -> str:
    """Return how far a check is: evaluations, their rate, and the time left."""
    rate = done / seconds if seconds > 0 else math.inf
    return (
        f"Checking the gradient: {done:,} of about {expected:,} evaluations, "
        f"{_rate_text(rate)}, about {duration((expected - done) / rate)} left"
    )


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f} per second" if rate >= 10 else f"{rate:.1f} per second"  # noqa: PLR2004 (two digits)


# The tables that text and card share


def table_rows(check: GradientCheck, parameters: Sequence[ParameterCheck]) -> list[tuple[str, ...]]:
    """Return the cells of the table: its heads, then a row for each of some parameters."""
    heads = _heads(check)
    rows = [heads]
    for p in parameters:
        verdict = f"{p.verdict.symbol} {parameter_verdict(p)}"
        rows.append((p.name, shape_text(p.shape), _difference(p), verdict, *_values(p, heads)))
    return rows


def entry_rows(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Return label, values and ratio of some entries."""
    return [(*_worst_values(entry), ratio_text(entry)) for entry in entries]


def _heads(check: GradientCheck) -> tuple[str, ...]:
    return HEADS if check.mode == "full" else SCAN_HEADS


def _difference(check: ParameterCheck) -> str:
    if math.isinf(check.difference_uncertainty):
        # Of an estimate, that is all there is to say.
        return "" if not check.is_scanned else f"{check.difference}"
    return f"{'≈ ' if check.is_scanned else ''}{check.difference:.1e}"


def _values(check: ParameterCheck, heads: Sequence[str]) -> tuple[str, ...]:
    """What stands behind the verdict: the worst entry, and after a scan its reach."""
    worst = _worst_values(check.worst)
    if REACH not in heads:
        return worst
    known = check.is_scanned and 0 < check.detectable < math.inf
    return f"{check.detectable:.1e}" if known else "", worst[0]


def _worst_values(worst: Entry | None) -> tuple[str, str, str]:
    if worst is None:
        return "", "", ""
    known = f" ± {worst.uncertainty:.0e}" if math.isfinite(worst.uncertainty) else ""
    return worst.label, f"{worst.analytic:.5e}", f"{worst.numerical:.5e}{known}"


# HTML

# The package may be in a zip file.
_CSS = resources.files("gradcheck_magic").joinpath("card.css").read_text(encoding="utf-8")
# On one line, and without its comments: it goes into every output.
STYLE = " ".join(re.sub(r"/\*.*?\*/", "", _CSS, flags=re.DOTALL).split())

_TONES = {
    Verdict.CORRECT: "gc-good",
    Verdict.INSPECT: "gc-warn",
    Verdict.BUG: "gc-bad",
    Verdict.INCONCLUSIVE: "gc-unsure",
}


def card(check: GradientCheck, picture: str, *, classes: str = "", can_choose: bool = False) -> str:
    """Return the card as HTML.

    Parameters
    ----------
    picture : str
        The histogram, as an HTML element.
    classes : str
        Further classes of the card.
    can_choose : bool
        Whether the names in the table are buttons, which choose a parameter in the controls.
    """
    verdict = check.verdict
    return (
        f"<style>{STYLE}</style>"
        f'<div class="gc gc-card gc-{verdict.name.lower()} {classes}" role="region" '
        f'aria-label="Gradient check: {verdict.value} Difference {check.difference_text}.">'
        '<div class="gc-head" role="status">'
        f'<b class="gc-verdict" style="font-size:16px">{verdict.symbol} {verdict.value}</b> '
        f'<span style="font-size:15px">difference <b class="gc-difference">'
        f"{check.difference_text}</b></span></div>"
        f"{_since_line(check)}"
        f"{_ruler(check.difference)}"
        f"{''.join(_diagnosis_block(check, diagnosis) for diagnosis in check.diagnoses)}"
        f"{''.join(map(_reason_block, check.reasons))}"
        f'<div class="gc-columns"><div class="gc-picture">{picture}</div>'
        # It may be scrolled: by keyboard, too.
        '<div class="gc-tables" role="group" aria-label="Tables" tabindex="0">'
        f"{_html_tables(check, can_choose=can_choose)}</div></div>"
        f"{_html_footer(check)}</div>"
    )


def progress_card(done: int, expected: int, seconds: float, *, classes: str = "") -> str:
    """Return the card of a check under way."""
    return (
        f"<style>{STYLE}</style>"
        f'<div class="gc gc-card gc-running {classes}" role="region" aria-label="Gradient check">'
        f'<div role="status" aria-live="polite">{progress_text(done, expected, seconds)}</div>'
        f'<progress value="{done}" max="{expected}" aria-label="evaluations" '
        'style="width:100%"></progress>'
        '<div class="gc-muted">Interrupt the kernel to stop: the parameters are put back, and '
        "what is known by then is shown.</div></div>"
    )


def _since_line(check: GradientCheck) -> str:
    since = since_text(check)
    return (
        f'<div class="gc-since" style="margin-bottom:6px">{in_code(since)}</div>' if since else ""
    )


def _ruler(difference: float) -> str:
    """The difference among the thresholds, on a logarithmic scale."""
    exponents = [RULER_START, *(round(math.log10(t)) for t in THRESHOLDS), 0]
    bands, marks = [], []
    for k, (low, high) in enumerate(pairwise(exponents)):
        width = 100 * (high - low) / -RULER_START
        bands.append(
            f'<span class="gc-band gc-b{k}" style="display:inline-block;height:10px;'
            f'width:{width:.4f}%;background-color:{BANDS[k]}"></span>'
        )
        label = f"1e{low}" if k else f"≤ 1e{low}"
        end = '<span style="float:right">1</span>' if high == 0 else ""
        marks.append(f'<span style="display:inline-block;width:{width:.4f}%">{label}{end}</span>')
    marked = ", ".join(f"1e{exponent}" for exponent in exponents[1:-1])
    alt = f"The difference, {difference:.3g}, on a ruler with the marks {marked}."
    return (
        f'<div role="img" aria-label="{alt}" style="margin:2px 12px 10px 0">'
        f"{_pointer(difference)}"
        f'<div style="line-height:0;white-space:nowrap">{"".join(bands)}</div>'
        '<div class="gc-muted" style="font-size:11px;line-height:1.5;white-space:nowrap">'
        f"{''.join(marks)}</div></div>"
    )


def _pointer(difference: float) -> str:
    """The mark above the ruler; none where the difference is no number."""
    if math.isnan(difference):
        return ""
    exponent = math.log10(difference) if difference > 0 else RULER_START
    place = 100 * min(max(1 - exponent / RULER_START, 0), 1)
    return (
        f'<div class="gc-pointer" style="line-height:1;height:12px;margin-left:{place:.2f}%">'
        '<span style="display:inline-block;width:12px;margin-left:-6px;text-align:center">▼</span>'
        "</div>"
    )


def _diagnosis_block(check: GradientCheck, diagnosis: Diagnosis) -> str:
    """What is wrong in bold, what to look at below; one click away, the entries behind it."""
    entries = check.entries_behind(diagnosis, MOST_BEHIND)
    return (
        f'<details class="gc-diagnosis" style="{_BLOCK}">'
        f"<summary>{_in_bold(diagnosis.sentence)}</summary>"
        f"{entries_table(entries, 'The entries that are furthest off')}</details>"
    )


def entries_table(entries: Iterable[Entry], caption: str) -> str:
    """Return a table of entries as HTML: both values, the error bar, ratio and error."""
    heads = "".join(
        f'<th scope="col"{_class(number=name != "entry")}>{name}</th>' for name in BEHIND_HEADS
    )
    return _html_table(heads, map(_behind_row, entries), caption)


def _behind_row(entry: Entry) -> str:
    label, analytic, numerical = _worst_values(entry)
    off = f"{entry.analytic - entry.numerical:.3e}"
    cells = "".join(
        f"<td{_class(number=True)}>{_bar_set_apart(text)}</td>"
        for text in (analytic, numerical, ratio_text(entry), off)
    )
    return f'<tr><th scope="row"><code>{html.escape(label)}</code></th>{cells}</tr>'


def _reason_block(sentence: str) -> str:
    return f'<div class="gc-diagnosis" style="{_BLOCK}">{_in_bold(sentence)}</div>'


def _in_bold(sentence: str) -> str:
    """The first sentence in bold, the others below."""
    what, look = _split(sentence)
    more = f'<div class="gc-muted">{in_code(look)}</div>' if look else ""
    full_stop = "." if look else ""
    return f"<b>{in_code(what)}{full_stop}</b>{more}"


def _split(text: str) -> tuple[str, str]:
    """Return the first of several sentences, without its full stop, and the others; or all."""
    # A full stop in code ends nothing.
    split = re.fullmatch(r"((?:`[^`]*`|[^`])*?)\. (.*)", text, flags=re.DOTALL)
    return (split[1], split[2]) if split else (text, "")


def in_code(text: str) -> str:
    """Escape a sentence, and set its `names` as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _html_tables(check: GradientCheck, *, can_choose: bool) -> str:
    # What is wrong comes before the fold.
    order = sorted(check.parameters, key=lambda p: p.verdict is Verdict.CORRECT)
    shown = check.parameters if len(order) <= MOST_ROWS else tuple(order[:MOST_ROWS])
    names = {
        p.name: _name_cell(p.name, k, can_choose=can_choose) for k, p in enumerate(check.parameters)
    }
    row = partial(_html_row, heads=_heads(check), names=names)
    heads = _html_heads(_heads(check))
    hint = ": choose one to look closer" if can_choose else ""
    table = _html_table(heads, map(row, shown), f"Gradient of each parameter{hint}")
    rest = order[len(shown) :]
    if rest:
        more = _html_table(heads, map(row, rest), "The other parameters")
        table += f"<details><summary>{len(rest)} more parameters</summary>{more}</details>"
    return table


def _name_cell(name: str, position: int, *, can_choose: bool) -> str:
    """The name of a parameter, in a table."""
    code = f"<code>{html.escape(name)}</code>"
    if not can_choose:
        return code
    return f'<button type="button" class="gc-pick" onclick="{_choosing(position)}">{code}</button>'


def _choosing(position: int) -> str:
    """What the page does when a parameter is chosen: as if it were chosen from the list below."""
    return (
        f"const s=this.closest('.gc-box').querySelector('.gc-choose select');"
        f"s.selectedIndex={position + 1};s.dispatchEvent(new Event('change',{{bubbles:true}}))"
    )


def _html_heads(heads: Sequence[str]) -> str:
    return "".join(f'<th scope="col"{_class(number=name in NUMBERS)}>{name}</th>' for name in heads)


def _html_table(heads: str, rows: Iterable[str], caption: str) -> str:
    return (
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _html_row(check: ParameterCheck, heads: Sequence[str], names: Mapping[str, str]) -> str:
    verdict = f"{check.verdict.symbol} {parameter_verdict(check)}"
    texts = dict(zip(heads[2:], (_difference(check), verdict, *_values(check, heads)), strict=True))
    label = texts["worst entry"]
    texts["worst entry"] = label.removeprefix(check.name) or label
    tones = {"verdict": _TONES[check.verdict]}
    return (
        f'<tr><th scope="row">{names[check.name]}</th>'
        f"<td>{shape_text(check.shape)}</td>"
        + "".join(
            f"<td{_class(tones.get(name, ''), number=name in NUMBERS)}>"
            f"{_bar_set_apart(html.escape(text))}</td>"
            for name, text in texts.items()
        )
        + "</tr>"
    )


def _bar_set_apart(text: str) -> str:
    value, plus_minus, bar = text.partition(" ± ")
    return f'{value}<span class="gc-bar">{plus_minus}{bar}</span>' if bar else text


def _class(tone: str = "", *, number: bool) -> str:
    classes = " ".join(filter(None, ["gc-number" if number else "", tone]))
    return f' class="{classes}"' if classes else ""


def _html_footer(check: GradientCheck) -> str:
    lines = [f"<div>{in_code(note)}</div>" for note in check.notes]
    notes, rest = "".join(lines[:MOST_NOTES]), "".join(lines[MOST_NOTES:])
    if rest:
        left = len(lines) - MOST_NOTES
        notes += f"<details><summary>{left} more notes</summary>{rest}</details>"
    return f'<div class="gc-muted" style="margin-top:8px">{footer(check)}{notes}</div>'
