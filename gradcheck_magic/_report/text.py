"""A `GradientCheck`, or a closer look at one parameter, as text. Nothing is printed here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._report.error_counts import error_counts
from gradcheck_magic._report.text_style import MUTED, PLAIN_STYLE, TONES, TextStyle, columns
from gradcheck_magic._report.words import (
    NUMBER_COLUMNS,
    Row,
    all_notes,
    diagnosis_text,
    entry_rows,
    findings,
    footer,
    left_out_text,
    more_findings,
    parameter_verdict,
    shape_text,
    shown_first,
    shown_steps,
    step_rows,
    table_rows,
)
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry

__all__ = ["close_up_text", "text_report"]

# The histogram has one row for each decade, down to 10 to the minus this.
DECADES = 16
BAR_WIDTH = 32
# At most this many entries are listed for each diagnosis.
ENTRIES_IN_TEXT = 3
# A close-up lists at most this many entries.
MOST_CLOSE = 8
# The columns with names that the user has chosen.
NAMES = {"parameter", "worst entry", "entry", "statement", "value"}


def text_report(check: GradientCheck, style: TextStyle = PLAIN_STYLE) -> str:
    """Return the complete report as text."""
    # A scan measures only the entries that it suspects.
    which = "each entry"
    if check.mode == "scan":
        which = f"the {'entry' if check.n_measured == 1 else 'entries'} measured individually"
    return _joined(
        _headline(check, style),
        _findings(check, style),
        _backward_pass(check, style),
        _table(check, style),
        _histogram(check.relative_errors, f"relative error of {which}", style),
        _footer(check, style),
    )


def close_up_text(close_up: CloseUp, style: TextStyle = PLAIN_STYLE) -> str:
    """Return one parameter as text: its verdict, worst entries and histogram."""
    parameter = close_up.parameter
    name, shape = style.name(parameter.name), style.sentence(shape_text(parameter.shape))
    verdict = style.sentence(f"{parameter.verdict.symbol} {parameter_verdict(parameter)}")
    title = f"relative error of {len(close_up.indices):,} of {parameter.size:,} entries"
    return _joined(
        [f"{name}   {shape}   {style.painted(verdict, TONES[parameter.verdict])}"],
        _entries(close_up.worst(MOST_CLOSE), style),
        _histogram(close_up.relative_errors, title, style),
    )


def _joined(*blocks: Iterable[str]) -> str:
    """Return blocks of lines as text, with an empty line between them."""
    return "\n\n".join(filter(None, map("\n".join, blocks)))


def _headline(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    """Yield the verdict, the difference, and what has changed since the last check."""
    verdict = style.sentence(f"{check.verdict.symbol} {check.verdict_text}")
    difference = style.sentence(f"difference {check.difference_text}")
    yield f"{style.painted(verdict, TONES[check.verdict])}   {difference}"
    if check.changes:
        yield from style.broken(style.sentence(f"Since last time: {check.changes}."))


def _findings(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    """Yield the diagnoses, and the reasons why there is no clear verdict."""
    for fault in check.backward.faults if check.backward else ():
        yield from style.broken(f"- {style.sentence(fault.sentence)}", "  ")
    diagnoses, reasons = findings(check)
    for diagnosis in diagnoses:
        told = diagnosis_text(check, diagnosis)
        yield from style.broken(f"- {style.sentence(told)}", "  ")
        yield from _entries(check.entries_behind(diagnosis, ENTRIES_IN_TEXT), style)
    for reason in (*reasons, *more_findings(check)):
        yield from style.broken(f"- {style.sentence(reason)}", "  ")


def _entries(entries: Iterable[Entry], style: TextStyle) -> Iterator[str]:
    """Yield a line with both values for each entry."""
    for row in _aligned(entry_rows(entries), style):
        label, analytic, numerical, ratio, _ = row.values()
        end = f"  ratio {ratio}" if ratio.strip() else ""
        yield f"    {label}  analytic {analytic}  numerical {numerical}{end}".rstrip()


def _table(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    shown, left_out = shown_first(check.parameters)
    rows = table_rows(check, shown)
    heads, *lines = _aligned([{head: head for head in rows[0]}, *rows], style)
    yield "  ".join(heads.values()).rstrip()
    for parameter, line in zip(shown, lines, strict=True):
        line["verdict"] = style.painted(line["verdict"], TONES[parameter.verdict])
        yield "  ".join(line.values()).rstrip()
    if left_out:
        yield f"... and {left_out_text(left_out)}"


def _backward_pass(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    """Yield the backward pass, a line for each value."""
    shown, n_more = shown_steps(check)
    if not shown:
        return
    yield style.sentence("the backward pass, statement by statement")
    for row in _aligned(step_rows(shown), style):
        yield "  ".join((row["line"], row["gradient"], row["statement"])).rstrip()
    if n_more:
        yield f"... and {n_more:,} more: check.backward.steps has them all"


def _aligned(rows: Sequence[Row], style: TextStyle) -> Iterator[Row]:
    """Yield rows in this style, with the cells of each column padded to the same width."""
    styled = [
        {h: style.name(text) if h in NAMES else style.sentence(text) for h, text in row.items()}
        for row in rows
    ]
    widths = [max(map(columns, cells)) for cells in zip(*map(Row.values, styled), strict=True)]
    for row in styled:
        aligned = {}
        for (head, text), width in zip(row.items(), widths, strict=True):
            spaces = " " * (width - columns(text))
            aligned[head] = spaces + text if head in NUMBER_COLUMNS else text + spaces
        yield aligned


def _histogram(errors: NDArray[np.float64], title: str, style: TextStyle) -> Iterator[str]:
    """Yield a bar for each interval of errors, up to 1, so that the thresholds are in sight."""
    counts = error_counts(errors, np.arange(-DECADES, 1.0))
    if not counts.any():
        return
    yield title
    edges = [*(f"1e{k}" for k in range(-DECADES, 0)), "1"]
    labels = ["exactly 0", *map(" to ".join, pairwise(edges)), "not finite"]
    shown = counts > 0
    shown[1:-1] = np.logical_or.accumulate(shown[1:-1])
    for k in np.flatnonzero(shown):
        bar = style.sentence("█" * math.ceil(BAR_WIDTH * counts[k] / counts.max()))
        yield f"{labels[k]:>14} |{bar}{f' {counts[k]}' if counts[k] else ''}"


def _footer(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    for sentence in (footer(check), *(f"Note: {note}" for note in all_notes(check))):
        for line in style.broken(style.sentence(sentence), "  "):
            yield style.painted(line, MUTED)
