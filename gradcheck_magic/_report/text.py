"""A `GradientCheck`, or a closer look at one parameter, as text. Nothing is printed here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._report.histogram import error_histogram
from gradcheck_magic._report.text_style import MUTED, PLAIN_STYLE, TONES, TextStyle, columns
from gradcheck_magic._report.words import (
    NUMBER_COLUMNS,
    entry_rows,
    footer,
    parameter_verdict,
    shape_text,
    since_text,
    table_rows,
)
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import Entry, ParameterCheck
from gradcheck_magic._result.verdict import Verdict

__all__ = ["close_up_text", "text_report"]

# The histogram has one row for each decade, down to 10 to the minus this.
DECADES = 16
BAR_WIDTH = 32
# A table of at most this many parameters shows all of them, in their order.
MANY_ROWS = 20
# A longer table shows the parameters that do not agree, at most ROWS_IN_TEXT, and others until it
# has FEW_ROWS.
FEW_ROWS, ROWS_IN_TEXT = 12, 40
# At most this many entries are listed for each diagnosis.
ENTRIES_IN_TEXT = 3
# A close-up lists at most this many entries.
MOST_CLOSE = 8
# The columns with names that the user has chosen.
NAMES = {"parameter", "worst entry"}
# The words for the parameters that the table leaves out, the most severe first.
LEFT_OUT = {
    Verdict.BUG: "wrong",
    Verdict.INSPECT: "to inspect",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.CORRECT: "correct",
}


def text_report(check: GradientCheck, style: TextStyle = PLAIN_STYLE) -> str:
    """Return the complete report as text.

    Parameters
    ----------
    style : TextStyle
        The characters, the colours and the width.
    """
    parts = (_headline, _findings, _table, _histogram, _footer)
    blocks = ("\n".join(part(check, style)) for part in parts)
    return "\n\n".join(block for block in blocks if block)


def close_up_text(close_up: CloseUp, style: TextStyle = PLAIN_STYLE) -> str:
    """Return one parameter as text: its verdict, worst entries and histogram."""
    parameter = close_up.parameter
    name, shape = style.name(parameter.name), style.sentence(shape_text(parameter.shape))
    verdict = style.sentence(f"{parameter.verdict.symbol} {parameter_verdict(parameter)}")
    title = f"relative error of {len(close_up.indices):,} of {parameter.size:,} entries"
    blocks = (
        [f"{name}   {shape}   {style.painted(verdict, TONES[parameter.verdict])}"],
        _entries(close_up.worst(MOST_CLOSE), style),
        _histogram_lines(close_up.relative_errors, title, style),
    )
    return "\n\n".join(filter(None, map("\n".join, blocks)))


def _headline(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    """Yield the verdict, the difference, and what has changed since the last check."""
    verdict = style.sentence(f"{check.verdict.symbol} {check.verdict.value}")
    difference = style.sentence(f"difference {check.difference_text}")
    yield f"{style.painted(verdict, TONES[check.verdict])}   {difference}"
    if check.changes:
        yield from style.broken(style.sentence(since_text(check)))


def _findings(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    """Yield the diagnoses, or the reasons why there is no clear verdict."""
    for diagnosis in check.diagnoses:
        yield from _item(diagnosis.sentence, style)
        yield from _entries(check.entries_behind(diagnosis, ENTRIES_IN_TEXT), style)
    for reason in check.reasons:
        yield from _item(reason, style)


def _entries(entries: Iterable[Entry], style: TextStyle) -> Iterator[str]:
    """Yield a line with both values for each entry."""
    cells = [(style.name(row[0]), *map(style.sentence, row[1:])) for row in entry_rows(entries)]
    widths = _widths(cells)
    for row in cells:
        label, analytic, numerical, _ = map(_padded, row, widths)
        ratio = f"  ratio {row[-1]}" if row[-1] else ""
        yield f"    {label}  analytic {analytic}  numerical {numerical}{ratio}".rstrip()


def _item(sentence: str, style: TextStyle) -> Iterator[str]:
    return style.broken(f"- {style.sentence(sentence)}", "  ")


def _table(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    shown, left_out = _shown(check.parameters)
    heads, *rows = table_rows(check, shown)
    cells = [heads, *(_cells(row, heads, style) for row in rows)]
    widths = _widths(cells)
    tones = ["", *(TONES[parameter.verdict] for parameter in shown)]
    for row, tone in zip(cells, tones, strict=True):
        aligned = [
            _padded(
                text,
                width,
                style.painted(text, tone) if tone and head == "verdict" else text,
                right=head in NUMBER_COLUMNS,
            )
            for head, text, width in zip(heads, row, widths, strict=True)
        ]
        yield "  ".join(aligned).rstrip()
    if left_out:
        yield _summary(left_out)


def _shown(
    parameters: Sequence[ParameterCheck],
) -> tuple[Sequence[ParameterCheck], Sequence[ParameterCheck]]:
    """Return the parameters that the table shows, and those that it leaves out."""
    if len(parameters) <= MANY_ROWS:
        return parameters, ()
    severity = list(LEFT_OUT)
    order = sorted(parameters, key=lambda p: severity.index(p.verdict))
    unlike = sum(p.verdict is not Verdict.CORRECT for p in parameters)
    most = min(max(unlike, FEW_ROWS), ROWS_IN_TEXT)
    return order[:most], order[most:]


def _summary(left_out: Sequence[ParameterCheck]) -> str:
    counts = Counter(parameter.verdict for parameter in left_out)
    if len(left_out) > 1 and set(counts) == {Verdict.CORRECT}:
        return f"... and {len(left_out)} more, all agree"
    kinds = (f"{counts[verdict]} {word}" for verdict, word in LEFT_OUT.items() if counts[verdict])
    return f"... and {len(left_out)} more: {', '.join(kinds)}"


def _cells(row: Sequence[str], heads: Sequence[str], style: TextStyle) -> tuple[str, ...]:
    return tuple(
        style.name(text) if head in NAMES else style.sentence(text)
        for head, text in zip(heads, row, strict=True)
    )


def _widths(rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(columns, column)) for column in zip(*rows, strict=True)]


def _padded(text: str, width: int, painted: str = "", *, right: bool = False) -> str:
    """Return a text padded to a width; the codes for colours in `painted` are not counted."""
    spaces = " " * (width - columns(text))
    return f"{spaces}{painted or text}" if right else f"{painted or text}{spaces}"


def _histogram(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    # A scan measures only the entries that it suspects.
    which = "each entry"
    if check.mode == "scan":
        several = check.n_measured != 1
        which = (
            "the entries measured individually" if several else "the entry measured individually"
        )
    yield from _histogram_lines(check.relative_errors, f"relative error of {which}", style)


def _histogram_lines(errors: NDArray[np.float64], title: str, style: TextStyle) -> Iterator[str]:
    rows = list(_histogram_rows(errors))
    if not rows:
        return
    yield title
    most = max(count for _, count in rows)
    for label, count in rows:
        bar = style.sentence("█" * math.ceil(BAR_WIDTH * count / most))
        yield f"{label:>14} |{bar}{f' {count}' if count else ''}"


def _histogram_rows(errors: NDArray[np.float64]) -> Iterator[tuple[str, int]]:
    """Yield the rows of the histogram: an interval of errors, and its number of entries."""
    histogram = error_histogram(errors, np.arange(-DECADES, 1.0))
    if histogram.n_exact:
        yield "exactly 0", histogram.n_exact
    occupied = np.flatnonzero(histogram.counts)
    if occupied.size:
        # The rows always go up to an error of 1, so that the thresholds are in sight.
        for k in range(occupied[0], len(histogram.counts)):
            low = round(histogram.exponents[k])
            high = f"1e{low + 1}" if low + 1 else "1"
            yield f"1e{low} to {high}", int(histogram.counts[k])
    if histogram.n_not_finite:
        yield "not finite", histogram.n_not_finite


def _footer(check: GradientCheck, style: TextStyle) -> Iterator[str]:
    for sentence in (footer(check), *(f"Note: {note}" for note in check.notes)):
        for line in style.broken(style.sentence(sentence), "  "):
            yield style.painted(line, MUTED)
