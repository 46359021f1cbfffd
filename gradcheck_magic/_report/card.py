"""The card: a `GradientCheck` as HTML. Nothing is displayed here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import pairwise, starmap

from gradcheck_magic._report.words import (
    MOST_LISTED,
    NUMBER_COLUMNS,
    Row,
    all_notes,
    diagnosis_text,
    entry_rows,
    findings,
    footer,
    left_out_text,
    more_findings,
    progress_text,
    selectable,
    shown_first,
    shown_steps,
    split_sentences,
    step_rows,
    table_rows,
)
from gradcheck_magic._result.backward_pass import Fault
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.verdict import THRESHOLDS
from gradcheck_magic._wording import as_html

__all__ = ["NO_MATHS", "STYLE", "card", "entries_table", "in_code", "progress_card"]

# The scale of the difference runs from this power of ten to 1.
RULER_START = -12
# At most this many entries are listed for each diagnosis.
ENTRIES_ON_CARD = 12
# What the marks of the backward pass mean, and how each is coloured.
STEPS_CAPTION = (
    "✓ a gradient, but for the factor: whatever is not 1 must be divided by later · ✗ wrong · "
    "– not looked at"
)
STEP_TONES = {"right": "correct", "wrong": "bug", "not looked at": "open"}
# The colours of the scale where there is no style sheet, as in an output that is not trusted.
BANDS = ("#d3ece2", "#fbe8bd", "#fbd3ba", "#f7bdb7")

# MathJax, which typesets what a notebook shows, leaves elements of these classes alone (in its
# versions 3 and 2): a dollar sign in a name does not start a formula.
NO_MATHS = "mathjax_ignore tex2jax_ignore"

# Read as a resource, as the package may be in a zip file.
_CSS = resources.files("gradcheck_magic._report").joinpath("card.css").read_text(encoding="utf-8")
# It goes into every output, so it is put on one line and its comments are removed.
STYLE = " ".join(re.sub(r"/\*.*?\*/", "", _CSS, flags=re.DOTALL).split())


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
    verdict, sentence = check.verdict, check.verdict_text
    spoken = as_html(sentence.replace("`", ""))
    changes = in_code(f"Since last time: {check.changes}.")
    since = f'<div class="gc-since" style="margin-bottom:6px">{changes}</div>'
    faults = check.backward.faults if check.backward else ()
    diagnoses, reasons = findings(check)
    told = [
        (diagnosis_text(check, each), check.entries_behind(each, ENTRIES_ON_CARD))
        for each in diagnoses
    ]
    told += [(reason, []) for reason in (*reasons, *more_findings(check))]
    notes = "".join(f"<div>{in_code(note)}</div>" for note in all_notes(check))
    return (
        f"<style>{STYLE}</style>"
        f'<div class="gc gc-card gc-{verdict.name.lower()} {classes} {NO_MATHS}" role="region" '
        f'aria-label="Gradient check: {spoken} Difference {check.difference_text}.">'
        '<div class="gc-head" role="status">'
        f'<b class="gc-verdict" style="font-size:16px">{verdict.symbol} {in_code(sentence)}</b> '
        f'<span style="font-size:15px">difference <b class="gc-difference">'
        f"{check.difference_text}</b></span></div>"
        f"{since if check.changes else ''}{''.join(map(_fault, faults))}"
        f"{_ruler(check.difference)}{''.join(starmap(_finding, told))}{_steps(check)}"
        f'<div class="gc-columns"><div class="gc-picture">{picture}</div>'
        # tabindex lets the keyboard scroll it, too.
        '<div class="gc-tables" role="group" aria-label="Tables" tabindex="0">'
        f"{_tables(check, can_choose=can_choose)}</div></div>"
        f'<div class="gc-muted" style="margin-top:8px">{footer(check)}{notes}</div></div>'
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


def _ruler(difference: float) -> str:
    """Return the difference on a logarithmic scale, together with the thresholds."""
    pointer, bands = "", ""
    if not math.isnan(difference):
        exponent = math.log10(difference) if difference > 0 else RULER_START
        place = 100 * min(max(1 - exponent / RULER_START, 0), 1)
        pointer = (
            f'<div class="gc-pointer" style="line-height:1;height:12px;margin-left:{place:.2f}%">'
            '<span style="display:inline-block;width:12px;margin-left:-6px;text-align:center">▼'
            "</span></div>"
        )
    exponents = [RULER_START, *(round(math.log10(t)) for t in THRESHOLDS), 0]
    for k, (low, high) in enumerate(pairwise(exponents)):
        label = f"1e{low}" if k else f"≤ 1e{low}"
        end = '<span style="float:right">1</span>' if high == 0 else ""
        bands += (
            f'<span style="display:inline-block;width:{100 * (high - low) / -RULER_START:.4f}%">'
            f'<span class="gc-band gc-b{k}" style="display:block;height:10px;'
            f'background-color:{BANDS[k]}"></span>{label}{end}</span>'
        )
    marked = ", ".join(f"1e{exponent}" for exponent in exponents[1:-1])
    alt = f"The difference, {difference:.3g}, on a scale with marks at {marked}."
    return (
        f'<div role="img" aria-label="{alt}" style="margin:2px 12px 10px 0">{pointer}'
        '<div class="gc-muted" style="font-size:11px;line-height:1.5;white-space:nowrap">'
        f"{bands}</div></div>"
    )


def _steps(check: GradientCheck) -> str:
    """Return the backward pass, statement by statement, in a fold."""
    shown, n_more = shown_steps(check)
    if not shown:
        return ""
    rows = []
    for row, step in zip(step_rows(shown), shown, strict=True):
        cells = {head: as_html(text) for head, text in row.items()}
        for head in ("statement", "value"):
            cells[head] = f"<code>{cells[head]}</code>" if cells[head] else ""
        tone = STEP_TONES[step.mark]
        cells["gradient"] = f'<span class="gc-is-{tone}">{cells["gradient"]}</span>'
        rows.append(cells)
    more = in_code(f"And {n_more:,} more: `check.backward.steps` has them all.") if n_more else ""
    return (
        '<details class="gc-steps"><summary>The backward pass, statement by statement</summary>'
        f'<div class="gc-scroll">{_table(rows, STEPS_CAPTION)}{more}</div></details>'
    )


def _fault(fault: Fault) -> str:
    """Return a statement that is wrong: where, its text, and what is wrong there."""
    first = fault.lines[0]
    others = f'<div class="gc-muted">{in_code(fault.others)}</div>' if fault.others else ""
    return (
        '<div class="gc-fault" style="margin:0 0 8px;padding:6px 10px">'
        f'<div class="gc-muted">{fault.probably}{as_html(first.place)}</div>'
        f'<div class="gc-statement"><code>{as_html(first.text)}</code></div>'
        f"<b>{in_code(fault.outcome)}</b>{others}</div>"
    )


def _finding(sentence: str, entries: Iterable[Entry]) -> str:
    """Return a diagnosis or a reason, its first sentence in bold; entries are in a fold."""
    what, look = split_sentences(sentence)
    told = f"<b>{in_code(what)}</b>"
    if look:
        told += f'<div class="gc-muted">{in_code(look)}</div>'
    table = entries_table(entries, "The worst entries")
    tag = "details" if table else "div"
    told = f"<summary>{told}</summary>{table}" if table else told
    return f'<{tag} class="gc-diagnosis" style="margin:0 0 8px;padding:6px 10px">{told}</{tag}>'


def in_code(text: str) -> str:
    """Escape a sentence for HTML, and set its `names` as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", as_html(text))


def entries_table(entries: Iterable[Entry], caption: str) -> str:
    """Return an HTML table of entries with both values, the error bar, the ratio and the error."""
    rows = []
    for row in entry_rows(entries):
        cells = {head: _cell(text) for head, text in row.items()}
        rows.append({**cells, "entry": f"<code>{as_html(row['entry'])}</code>"})
    return _table(rows, caption)


def _tables(check: GradientCheck, *, can_choose: bool) -> str:
    """Return the table of parameters; if they are many, some are in a fold, and others left out."""
    shown, left_out = shown_first(check.parameters)
    hint = ": choose one to look closer" if can_choose else ""
    n_folded = MOST_LISTED - len(shown)
    folded, rest = left_out[:n_folded], left_out[n_folded:]
    rows = [_parameter_rows(check, each, can_choose=can_choose) for each in (shown, folded)]
    what = "Each block of the Jacobian" if check.is_jacobian else "Gradient of each parameter"
    table = _table(rows[0], f"{what}{hint}")
    more = _table(rows[1], "The other parameters")
    if rest:
        more += in_code(f"And {left_out_text(rest)}. `check.parameters` has them all.")
    fold = f"<details><summary>{left_out_text(left_out)}</summary>{more}</details>"
    return table + fold if left_out else table


def _parameter_rows(
    check: GradientCheck, parameters: Sequence[ParameterCheck], *, can_choose: bool
) -> list[Row]:
    """Return a row of HTML for each of the parameters."""
    # The places in the list below, after its first option.
    places = {parameter.name: k for k, parameter in enumerate(selectable(check), start=1)}
    rows = []
    for p, row in zip(parameters, table_rows(check, parameters), strict=True):
        # The row already begins with the name.
        label = row["worst entry"].removeprefix(p.name) or row["worst entry"]
        cells = {head: _cell(text) for head, text in {**row, "worst entry": label}.items()}
        cells["verdict"] = f'<span class="gc-is-{p.verdict.name.lower()}">{cells["verdict"]}</span>'
        name = f"<code>{as_html(p.name)}</code>"
        if can_choose:
            # The JavaScript selects the parameter in that list.
            name = (
                '<button type="button" class="gc-pick" onclick="'
                "const s=this.closest('.gc-box').querySelector('.gc-choose select');"
                f"s.selectedIndex={places[p.name]};"
                f"s.dispatchEvent(new Event('change',{{bubbles:true}}))\">{name}</button>"
            )
        rows.append({**cells, "parameter": name})
    return rows


def _table(rows: Sequence[Row], caption: str) -> str:
    """Return an HTML table whose cells are HTML themselves, or nothing without rows."""
    if not rows:
        return ""
    kinds = {head: ' class="gc-number"' if head in NUMBER_COLUMNS else "" for head in rows[0]}
    heads = "".join(f'<th scope="col"{kind}>{head}</th>' for head, kind in kinds.items())
    lines = ""
    for row in rows:
        (_, name), *cells = row.items()
        others = "".join(f"<td{kinds[head]}>{cell}</td>" for head, cell in cells)
        lines += f'<tr><th scope="row">{name}</th>{others}</tr>'
    return (
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _cell(text: str) -> str:
    """Escape a cell, and set its error bar apart."""
    value, plus_minus, bar = as_html(text).partition(" ± ")
    return f'{value}<span class="gc-bar">{plus_minus}{bar}</span>' if bar else value
