"""The result as text, in files and on terminals of any kind.

The reports must match the files in ``golden/reports`` exactly; ``--update-golden`` rewrites them.
"""

import ast
import io
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from reports import REPORTS, numbered, twice

from gradcheck_magic._notebook.plain_cards import TextCard, style_of
from gradcheck_magic._report.text import text_report
from gradcheck_magic._report.text_style import MUTED, SPELLED, TONES, TextStyle, columns
from gradcheck_magic._report.words import footer

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden" / "reports"
SGR = re.compile(r"\x1b\[[0-9]+m")
# None of these has all the characters that the package writes.
LACKING = ["ascii", "latin-1", "cp437", "cp850", "cp1252", "cp932", "koi8-r"]
TERMINAL = TextStyle(is_coloured=True, width=80)

check_of = cache(lambda name: REPORTS[name]())


@pytest.mark.parametrize(
    ("name", "style", "kind"),
    [
        *((name, TextStyle(), "") for name in REPORTS),
        *((name, TextStyle("ascii"), ".ascii") for name in REPORTS),
        ("upstream", TERMINAL, ".terminal"),
    ],
)
def test_golden(name, style, kind, request):
    """The whole report matches its file exactly."""
    path = GOLDEN / f"{name}{kind}.txt"
    report = text_report(check_of(name), style) + "\n"
    if request.config.getoption("update_golden"):
        path.write_text(report, encoding="utf-8", newline="\n")
    assert report == path.read_text(encoding="utf-8")


def test_no_other_golden_reports():
    written = {path.name.split(".")[0] for path in GOLDEN.iterdir()}
    assert written == set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_string_is_plain(name):
    assert str(check_of(name)) == text_report(check_of(name), TextStyle())


@pytest.mark.parametrize(
    ("name", "n_measured", "size", "extent"),
    [
        ("correct", 1, 1, "the only entry measured"),
        ("correct", 1, 30, "1 of 30 entries measured"),
        ("correct", 30, 30, "all 30 entries measured"),
        ("scan", 0, 1000, "scan of 1,000 entries, 0 measured individually"),
        ("scan", 1, 1000, "scan of 1,000 entries, 1 measured individually"),
        ("scan", 2, 1000, "scan of 1,000 entries, 2 measured individually"),
    ],
)
def test_extent(name, n_measured, size, extent):
    """Singular and plural are correct."""
    check = replace(check_of(name), measured=np.arange(n_measured), size=size)
    assert footer(check).split(" · ")[0] == extent


@pytest.mark.parametrize(
    ("entry", "title"),
    [(1, "the entry measured individually"), (2, "the entries measured individually")],
)
def test_title_after_a_scan(entry, title):
    values = np.ones(entry)
    check = replace(
        check_of("scan"), measured=np.arange(entry), analytic=values, numerical=values + 1e-9,
        uncertainty=values, wrong=values > 1, kinked=values > 1,
    )  # fmt: skip
    assert f"\nrelative error of {title}\n" in text_report(check)


# Colours


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [None, 60])
def test_the_same_without_colours(name, encoding, width):
    """Every colour also ends in its own line."""
    plain = text_report(check_of(name), TextStyle(encoding, width=width))
    coloured = text_report(check_of(name), TextStyle(encoding, is_coloured=True, width=width))
    assert "\x1b" not in plain
    assert SGR.sub("", coloured) == plain
    for line in coloured.splitlines():
        codes = SGR.findall(line)
        assert codes[1::2] == len(codes) // 2 * ["\x1b[0m"]
        assert len(codes) % 2 == 0


def test_tones():
    """The verdict, the verdict on each parameter, and the footer each have their colour."""
    check = check_of("result_by_hand")
    head, *lines = text_report(check, TERMINAL).splitlines()
    assert head.startswith(
        f"\x1b[{TONES[check.verdict]}m✗ There is a bug in backpropagation.\x1b[0m"
    )
    start = next(k for k, line in enumerate(lines) if line.startswith("parameter"))
    for parameter, line in zip(check.parameters, lines[start + 1 :], strict=False):
        assert f"\x1b[{TONES[parameter.verdict]}m{parameter.verdict.symbol} " in line
    assert lines[-1].startswith(f"\x1b[{MUTED}m")


# Encodings


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("encoding", LACKING)
def test_any_encoding(name, encoding):
    """Every character can be written, and question marks are only those of the text."""
    report = text_report(check_of(name), TextStyle(encoding))
    assert report.encode(encoding).decode(encoding) == report
    assert report.count("?") == str(check_of(name)).count("?")


@pytest.mark.parametrize(
    ("encoding", "sentence", "written"),
    [
        ("utf-8", "✓ `θ` is −1 × ½", "✓ `θ` is −1 × ½"),
        ("ascii", "✓ 2 × 2, ≈ ±½ at θ", "OK 2 x 2, ~ +-1/2 at theta"),
        ("latin-1", "✓ 2 × 2, ≈ ±½ at θ", "OK 2 × 2, ~ ±½ at theta"),
        ("cp437", "✓ 2 × 2, ≈ ±½, ε █", "OK 2 x 2, ≈ ±½, ε █"),
        # `θ` and `theta` may be two names of the user's.
        ("ascii", "`dθ` is −1 times θ", "`d\\u03b8` is -1 times theta"),
        ("ascii", "`权重`, ``, `🙂`: 重", "`\\u6743\\u91cd`, ``, `\\U0001f642`: \\u91cd"),
        # Quotes that do not match.
        ("ascii", "at `θ", "at `theta"),
        # No name of the user's can control a terminal or break a line.
        ("utf-8", "`a\x1b[31m`\r\n\x9b\u202e", "`a\\x1b[31m`\\r\\n\\x9b\\u202e"),
        ("utf-8", "`\ud800`", "`\\ud800`"),
        ("utf-8", "", ""),
    ],
)  # fmt: skip
def test_sentence(encoding, sentence, written):
    assert TextStyle(encoding).sentence(sentence) == written


def test_every_character_can_be_spelled():
    """Checked are all strings of the package, except docstrings."""
    ours = set()
    for path in (ROOT / "gradcheck_magic").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        ours |= {
            character
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in docstrings
            for character in node.value
            if not character.isascii()
        }
    assert set(SPELLED) == ours
    assert all(map(str.isascii, SPELLED.values()))
    assert not any("?" in spelled for spelled in SPELLED.values())


# Columns


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("W1", 2),
        ("θ ±", 3),
        ("权重", 4),
        ("한글", 4),
        ("ｗ", 2),
        ("e\u0301", 1),
        ("🙂", 2),
    ],
)
def test_columns(text, width):
    assert columns(text) == width


@pytest.mark.parametrize("style", [TextStyle(), TextStyle("ascii"), TERMINAL])
def test_columns_are_aligned(style):
    """Columns are aligned for any names of parameters."""
    lines = SGR.sub("", text_report(check_of("names"), style)).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("parameter"))
    rows = lines[start : lines.index("", start)]
    assert len(rows) == 1 + len(check_of("names").parameters)
    assert len(set(map(columns, rows))) == 1
    verdicts = {columns(row[: re.search(r"verdict|[✓✗] |OK |X ", row).start()]) for row in rows}
    assert len(verdicts) == 1


def test_an_equation_stays_in_one_line():
    """An equation is not broken if it fits."""
    assert list(TextStyle(width=9).broken("known, J = 2.5", "  ")) == ["known,", "  J = 2.5"]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, ["- a `权重` b cc"]),
        (20, ["- a `权重` b cc"]),
        (15, ["- a `权重` b cc"]),
        (14, ["- a `权重` b", "  cc"]),
        (9, ["- a", "  `权重`", "  b cc"]),
        # A word is never broken.
        (1, ["-", "  a", "  `权重`", "  b", "  cc"]),
    ],
)
def test_sentences_are_broken(width, lines):
    assert list(TextStyle(width=width).broken("- a `权重` b cc", "  ")) == lines


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_lost_where_lines_break(name):
    broken = text_report(check_of(name), TextStyle(width=50))
    assert broken.split() == str(check_of(name)).split()


# Long tables


@pytest.mark.parametrize(
    ("n", "wrong", "rows", "last"),
    [
        (20, 3, 20, ""),
        (21, 0, 12, "... and 9 more, all agree"),
        (21, 3, 12, "... and 9 more, all agree"),
        # Everything wrong is shown, even beyond the usual number of rows.
        (30, 25, 25, "... and 5 more, all agree"),
        (21, 20, 20, "... and 1 more: 1 correct"),
        (21, 21, 21, ""),
        # But there is a limit.
        (60, 45, 40, "... and 20 more: 5 wrong, 15 correct"),
        (41, 41, 40, "... and 1 more: 1 wrong"),
    ],
)
def test_long_tables(n, wrong, rows, last):
    """Wrong parameters come first, and rows that are left out are counted."""
    check = twice(numbered(*range(n)), numbered(*range(n - wrong, n)))
    _, _, table = str(check).partition("\nparameter ")
    lines = table.partition("\n\n")[0].splitlines()[1:]
    if last:
        assert lines.pop() == last
    assert len(lines) == rows
    if n > 20:
        assert all("✗" in line for line in lines[: min(wrong, 40)])


# The terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def ascii_stream(kind=io.TextIOWrapper):
    return kind(io.BytesIO(), encoding="ascii", newline="\n")


@pytest.fixture
def terminal(monkeypatch):
    """Set the environment of an ordinary terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return monkeypatch


@pytest.mark.parametrize(
    ("stream", "environment", "style"),
    [
        (io.StringIO, {}, TextStyle("utf-8")),
        (ascii_stream, {}, TextStyle("ascii")),
        (Terminal, {}, TextStyle("utf-8", is_coloured=True, width=60)),
        (Terminal, {"NO_COLOR": "1"}, TextStyle("utf-8", width=60)),
        (Terminal, {"NO_COLOR": "0"}, TextStyle("utf-8", width=60)),
        # As https://no-color.org says.
        (Terminal, {"NO_COLOR": ""}, TextStyle("utf-8", is_coloured=True, width=60)),
        (Terminal, {"TERM": "dumb"}, TextStyle("utf-8", width=60)),
    ],
)
def test_style_of_a_stream(terminal, stream, environment, style):
    for name, value in environment.items():
        terminal.setenv(name, value)
    assert style_of(stream()) == style


def test_terminal(terminal):
    """The line of progress is overwritten, and gone at the end."""
    terminal.setenv("COLUMNS", "100")
    check = check_of("two_bugs")
    out, err = io.StringIO(), Terminal()
    shown = TextCard(out, err)
    shown.progress(40, 100, 0.4)
    line = "Checking the gradient: 40 of about 100 evaluations, 100 per second, about 1 s left"
    assert err.getvalue() == f"\r{line}"
    shown.show(check)
    assert err.getvalue().endswith("\r" + " " * len(line) + "\r")
    assert out.getvalue() == str(check) + "\n"


def test_progress_in_a_narrow_terminal(terminal):
    """It must stay in one line, because a second one could not be overwritten."""
    err = Terminal()
    TextCard(io.StringIO(), err).progress(40, 100, 0.4)
    assert err.getvalue() == "\rChecking the gradient: 40 of about 100 evaluations, 100 per"


def test_report_in_a_terminal(terminal):
    out = Terminal()
    TextCard(out, io.StringIO()).show(check_of("correct"))
    style = TextStyle("utf-8", is_coloured=True, width=60)
    assert out.getvalue() == text_report(check_of("correct"), style) + "\n"


def test_terminal_without_unicode():
    out = ascii_stream()
    TextCard(out, io.StringIO()).show(check_of("names"))
    out.seek(0)
    assert out.read() == text_report(check_of("names"), TextStyle("ascii")) + "\n"


def test_no_progress_in_a_file():
    err = io.StringIO()
    shown = TextCard(io.StringIO(), err)
    shown.progress(40, 100, 0.4)
    shown.show(check_of("correct"))
    assert err.getvalue() == ""
