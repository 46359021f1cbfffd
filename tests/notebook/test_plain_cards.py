"""A card shows progress, only if a check takes a while, and then the result in the same place."""

import io
import sys
from dataclasses import fields
from types import ModuleType, SimpleNamespace

import pytest
from IPython.utils.capture import capture_output
from reports import result_by_hand

from gradcheck_magic._notebook.plain_cards import (
    JSON_TYPE,
    PATIENCE,
    REFRESH,
    Clock,
    Published,
    StaticCard,
    TextCard,
    bundle_of,
    outputs_stand_alone,
    style_of,
)
from gradcheck_magic._result.gradient_check import GradientCheck


class Quick(GradientCheck):
    """A result whose page takes no time to make."""

    def to_html(self):
        return "<p>a page</p>"


HAND = result_by_hand()
HAND = Quick(**{field.name: getattr(HAND, field.name) for field in fields(HAND)})
LATE = PATIENCE + 0.01


class Terminal(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, *, is_terminal=True, encoding="utf-8"):
        super().__init__()
        self._is_terminal, self._encoding = is_terminal, encoding

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._is_terminal


class Outputs(list):
    """All outputs that a card has published, each with its replacements."""

    def __call__(self, bundle):
        self.append([bundle])
        return self

    def update(self, bundle):
        self[-1].append(bundle)


@pytest.mark.parametrize(("times", "shown"), [
    pytest.param([0.0, 0.1, PATIENCE - 0.01], [], id="over soon: nothing is shown"),
    pytest.param([PATIENCE], [PATIENCE], id="HARD: just then"),
    pytest.param([0.4, 0.45, 0.49], [0.4], id="not too often"),
    pytest.param([0.4, 0.4 + REFRESH + 1e-9], [0.4, 0.4 + REFRESH + 1e-9], id="and again"),
    pytest.param([5.0, 5.01, 9.0], [5.0, 9.0], id="HARD: after a long time, no backlog"),
])  # fmt: skip
def test_clock(times, shown):
    clock = Clock()
    assert [time for time in times if clock.due(time)] == shown


def test_static_card_is_one_output():
    """Progress and result appear in the same output."""
    outputs = Outputs()
    card = StaticCard(outputs)
    card.progress(1, 100, 0.0)
    assert outputs == []
    card.progress(50, 100, LATE)
    card.show(HAND)
    ((progress, result),) = outputs
    assert "50" in progress["text/plain"]
    assert "50" in progress["text/html"]
    assert JSON_TYPE not in progress
    assert result == bundle_of(HAND, HAND.to_html())
    card.progress(1, 100, LATE)
    assert len(outputs[0]) == 3, "another check, in the same card, has patience of its own"


def test_static_card_leaves_nothing_of_progress():
    outputs = Outputs()
    card = StaticCard(outputs)
    card.clear()
    assert outputs == [], "where nothing was shown, nothing is"
    card.progress(50, 100, LATE)
    card.clear()
    assert set(outputs[0][-1].values()) == {""}


def test_bundle():
    """A bundle has text for a terminal, a page for a notebook, and a dict for a script."""
    bundle = bundle_of(HAND, "<p>card</p>")
    assert bundle["text/plain"] == str(HAND)
    assert bundle["text/html"] == "<p>card</p>"
    assert bundle[JSON_TYPE] == HAND.to_dict()


def test_text_card_overwrites_its_line():
    """The progress is wiped to its last column; the report goes to the other stream."""
    out, err = Terminal(is_terminal=False), Terminal()
    card = TextCard(out, err)
    card.progress(1, 100, 0.0)
    assert err.getvalue() == ""
    card.progress(1000, 100_000, LATE)
    line = err.getvalue().lstrip("\r")
    assert "1,000" in line
    card.show(HAND)
    assert out.getvalue() == f"{HAND}\n"
    assert err.getvalue() == f"\r{line}\r{' ' * len(line)}\r"
    card.clear()
    assert err.getvalue().count("\r") == 3, "once it is wiped, there is nothing to wipe"


def test_no_progress_where_nobody_looks():
    err = Terminal(is_terminal=False)
    TextCard(io.StringIO(), err).progress(50, 100, LATE)
    assert err.getvalue() == ""


@pytest.mark.parametrize(("terminal", "environment", "is_coloured"), [
    pytest.param(True, {}, True, id="a terminal"),
    pytest.param(False, {}, False, id="a file"),
    pytest.param(True, {"NO_COLOR": "1"}, False, id="nobody wants colours"),
    pytest.param(True, {"NO_COLOR": ""}, True, id="HARD: an empty wish is none"),
    pytest.param(True, {"TERM": "dumb"}, False, id="no colours"),
])  # fmt: skip
def test_style(terminal, environment, is_coloured, monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    style = style_of(Terminal(is_terminal=terminal, encoding="latin-1"))
    assert style.is_coloured is is_coloured
    assert style.encoding == "latin-1"
    assert (style.width is None) == (not terminal), "only a terminal has a width"


def test_published(shell):
    """An update says that it replaces the same output."""
    with capture_output() as captured:
        output = Published({"text/plain": "one"})
        output.update({"text/plain": "two", "text/html": "<p>2</p>"})
    first, second = captured.outputs
    assert (first.data, second.data) == (
        {"text/plain": "one"},
        {"text/plain": "two", "text/html": "<p>2</p>"},
    )
    assert first.transient["display_id"] == second.transient["display_id"]
    assert (first.update, second.update) == (False, True)


def test_two_outputs_are_two(shell):
    with capture_output() as captured:
        Published({"text/plain": "one"})
        Published({"text/plain": "two"})
    assert len({output.transient["display_id"] for output in captured.outputs}) == 2


@pytest.mark.parametrize("front_end", ["VS Code", "VS Code, its process", "Colab", "another"])
def test_frames(front_end, monkeypatch):
    namespace = {"__vsc_ipynb_file__": "a.ipynb"} if front_end == "VS Code" else {}
    monkeypatch.delenv("VSCODE_PID", raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if front_end == "VS Code, its process":
        monkeypatch.setenv("VSCODE_PID", "12")
    if front_end == "Colab":
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("colab"))
    assert outputs_stand_alone(SimpleNamespace(user_ns=namespace)) == (front_end != "another")
