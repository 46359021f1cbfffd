"""The card: a `GradientCheck` as HTML. Nothing is displayed here."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import pairwise

from gradcheck_magic._report.words import (
    NUMBER_COLUMNS,
    difference_text,
    footer,
    parameter_verdict,
    progress_text,
    ratio_text,
    shape_text,
    since_text,
    split_sentences,
    table_heads,
    values_behind,
    worst_values,
)
from gradcheck_magic._result.cause import Diagnosis
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.verdict import THRESHOLDS, Verdict

__all__ = ["STYLE", "card", "entries_table", "in_code", "progress_card"]

# The scale of the difference runs from this power of ten to 1.
RULER_START = -12
# The table shows at most this many parameters; the others are in a fold.
ROWS_ON_CARD = 12
MOST_NOTES = 6
# At most this many entries are listed for each diagnosis.
ENTRIES_ON_CARD = 12
# The colours of the scale where there is no style sheet, as in an output that is not trusted.
BANDS = ("#d3ece2", "#fbe8bd", "#fbd3ba", "#f7bdb7")
ENTRY_HEADS = ("entry", "analytic", "numerical", "analytic / numerical", "analytic − numerical")
_BLOCK = "margin:0 0 8px;padding:6px 10px"

# Read as a resource, as the package may be in a zip file.
_CSS = resources.files("gradcheck_magic._report").joinpath("card.css").read_text(encoding="utf-8")
# It goes into every output, so it is put on one line and its comments are removed.
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
        Additional classes of the card.
    can_choose : bool
        True if the names in the table are buttons that choose a parameter in the controls.
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
        # tabindex lets the keyboard scroll it, too.
        '<div class="gc-tables" role="group" aria-label="Tables" tabindex="0">'
        f"{_html_tables(check, can_choose=can_choose)}</div></div>"
        f"{_html_footer(check)}</div>"
    )


def progress_card(done: int, expected: int, seconds: float, *, classes: str = "") -> str:
    """Return the card of a check that is still running."""
    return (
        f"<style>{STYLE}</style>"
        f'<div class="gc gc-card gc-running {classes}" role="region" aria-label="Gradient check">'
        f'<div role="status" aria-live="polite">{progress_text(done, expected, seconds)}</div>'
        f'<progress value="{done}" max="{expected}" aria-label="evaluations" '
        'style="width:100%"></progress>'
        '<div class="gc-muted">Interrupt the kernel to stop: the parameters are restored, and '
        "the results so far are shown.</div></div>"
    )


def _since_line(check: GradientCheck) -> str:
    since = since_text(check)
    return (
        f'<div class="gc-since" style="margin-bottom:6px">{in_code(since)}</div>' if since else ""
    )


def _ruler(difference: float) -> str:
    """Return the difference on a logarithmic scale, together with the thresholds."""
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
    alt = f"The difference, {difference:.3g}, on a scale with marks at {marked}."
    return (
        f'<div role="img" aria-label="{alt}" style="margin:2px 12px 10px 0">'
        f"{_pointer(difference)}"
        f'<div style="line-height:0;white-space:nowrap">{"".join(bands)}</div>'
        '<div class="gc-muted" style="font-size:11px;line-height:1.5;white-space:nowrap">'
        f"{''.join(marks)}</div></div>"
    )


def _pointer(difference: float) -> str:
    """Return the mark above the scale, or nothing if the difference is nan."""
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
    """Return a diagnosis: the cause in bold, what to look at, and its worst entries in a fold."""
    entries = check.entries_behind(diagnosis, ENTRIES_ON_CARD)
    return (
        f'<details class="gc-diagnosis" style="{_BLOCK}">'
        f"<summary>{_in_bold(diagnosis.sentence)}</summary>"
        f"{entries_table(entries, 'The worst entries')}</details>"
    )


def entries_table(entries: Iterable[Entry], caption: str) -> str:
    """Return an HTML table of entries with both values, the error bar, the ratio and the error."""
    heads = "".join(
        f'<th scope="col"{_class(number=name != "entry")}>{name}</th>' for name in ENTRY_HEADS
    )
    return _html_table(heads, map(_entry_row, entries), caption)


def _entry_row(entry: Entry) -> str:
    label, analytic, numerical = worst_values(entry)
    off = f"{entry.analytic - entry.numerical:.3e}"
    cells = "".join(
        f"<td{_class(number=True)}>{_bar_set_apart(text)}</td>"
        for text in (analytic, numerical, ratio_text(entry), off)
    )
    return f'<tr><th scope="row"><code>{html.escape(label)}</code></th>{cells}</tr>'


def _reason_block(sentence: str) -> str:
    return f'<div class="gc-diagnosis" style="{_BLOCK}">{_in_bold(sentence)}</div>'


def _in_bold(sentence: str) -> str:
    """Return the first sentence in bold, and the others below."""
    what, look = split_sentences(sentence)
    more = f'<div class="gc-muted">{in_code(look)}</div>' if look else ""
    full_stop = "." if look else ""
    return f"<b>{in_code(what)}{full_stop}</b>{more}"


def in_code(text: str) -> str:
    """Escape a sentence for HTML, and set its `names` as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _html_tables(check: GradientCheck, *, can_choose: bool) -> str:
    # Parameters that are wrong come first, before the fold.
    order = sorted(check.parameters, key=lambda p: p.verdict is Verdict.CORRECT)
    shown = check.parameters if len(order) <= ROWS_ON_CARD else tuple(order[:ROWS_ON_CARD])
    names = {
        p.name: _name_cell(p.name, k, can_choose=can_choose) for k, p in enumerate(check.parameters)
    }
    row = partial(_html_row, heads=table_heads(check), names=names)
    heads = _html_heads(table_heads(check))
    hint = ": choose one to look closer" if can_choose else ""
    table = _html_table(heads, map(row, shown), f"Gradient of each parameter{hint}")
    rest = order[len(shown) :]
    if rest:
        more = _html_table(heads, map(row, rest), "The other parameters")
        table += f"<details><summary>{len(rest)} more parameters</summary>{more}</details>"
    return table


def _name_cell(name: str, position: int, *, can_choose: bool) -> str:
    """Return the table cell with the name of a parameter."""
    code = f"<code>{html.escape(name)}</code>"
    if not can_choose:
        return code
    script = _choose_script(position)
    return f'<button type="button" class="gc-pick" onclick="{script}">{code}</button>'


def _choose_script(position: int) -> str:
    """Return the JavaScript of a name button: it selects the parameter in the list below."""
    return (
        f"const s=this.closest('.gc-box').querySelector('.gc-choose select');"
        f"s.selectedIndex={position + 1};s.dispatchEvent(new Event('change',{{bubbles:true}}))"
    )


def _html_heads(heads: Sequence[str]) -> str:
    return "".join(
        f'<th scope="col"{_class(number=name in NUMBER_COLUMNS)}>{name}</th>' for name in heads
    )


def _html_table(heads: str, rows: Iterable[str], caption: str) -> str:
    return (
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _html_row(check: ParameterCheck, heads: Sequence[str], names: Mapping[str, str]) -> str:
    verdict = f"{check.verdict.symbol} {parameter_verdict(check)}"
    texts = dict(
        zip(heads[2:], (difference_text(check), verdict, *values_behind(check, heads)), strict=True)
    )
    label = texts["worst entry"]
    texts["worst entry"] = label.removeprefix(check.name) or label
    tones = {"verdict": _TONES[check.verdict]}
    return (
        f'<tr><th scope="row">{names[check.name]}</th>'
        f"<td>{shape_text(check.shape)}</td>"
        + "".join(
            f"<td{_class(tones.get(name, ''), number=name in NUMBER_COLUMNS)}>"
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
