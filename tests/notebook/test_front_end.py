"""What the front end says about itself: the cell that runs, and how it keeps outputs."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from IPython.utils.capture import capture_output

from gradcheck_magic._notebook.front_end import Published, cell_of, outputs_stand_alone

HEADER = {"metadata": {"cellId": "c7"}}


@pytest.mark.parametrize(("shell", "cell"), [
    pytest.param(SimpleNamespace(get_parent=lambda: HEADER), "c7", id="told"),
    pytest.param(SimpleNamespace(get_parent=lambda: {"metadata": {}}), None, id="not told"),
    pytest.param(SimpleNamespace(get_parent=dict), None, id="HARD: no header"),
    pytest.param(SimpleNamespace(get_parent=lambda: None), None, id="HARD: none at all"),
    pytest.param(SimpleNamespace(), None, id="HARD: no kernel of Jupyter's"),
])  # fmt: skip
def test_cell(shell, cell):
    assert cell_of(shell) == cell


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
