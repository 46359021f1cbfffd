"""The live card in a real kernel: what it can be asked for, and what it leaves behind."""

import json

import pytest
from kernel import started

from gradcheck_magic._notebook.live_card import MOST_LIVE

SETUP = """
%load_ext gradcheck_magic
import gc, json
import numpy as np
from ipywidgets.widgets import widget as _widget

params = {"W": np.arange(6.0).reshape(2, 3) + 1, "b": np.array([1.0, -2.0])}
grads = {"dW": 2 * params["W"], "db": 2 * params["b"]}
grads["db"][1] *= -1

def cost_function(p):
    return sum(np.sum(value**2) for value in p.values())
"""
# How many widgets there are, and how many objects in all.
COUNT = """
gc.collect()
print(json.dumps([len(_widget._instances), len(gc.get_objects())]))
"""
RUNS = 100
# How many objects a run may leave behind: IPython's history grows, and matplotlib's caches fill up
# in the first hundred runs or so. A card that lives on has 500, some forty widgets among them.
MOST_LEFT = 200


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        kernel.run(SETUP)
        yield kernel


def test_bundle(kernel):
    """The static twin holds every form of the result, the widget none of them."""
    _, (static, widget) = kernel.run("%gradcheck")
    assert static["text/plain"].startswith("✗ There is a bug in backpropagation.")
    assert "data:image/png;base64," in static["text/html"]
    result = static["application/vnd.gradcheck+json"]
    assert result["verdict"] == "BUG"
    assert result["worst_entries"][0]["label"] == "b[1]"
    assert widget["text/plain"] == ""
    assert "application/vnd.jupyter.widget-view+json" in widget


@pytest.mark.parametrize(
    ("display", "kinds"),
    [
        ("auto", ["text/html", "application/vnd.jupyter.widget-view+json"]),
        ("widget", ["text/html", "application/vnd.jupyter.widget-view+json"]),
        ("static", ["text/html"]),
        ("text", []),
    ],
)
def test_display(kernel, display, kinds):
    """What is displayed is what was asked for, on the line or by %config."""
    config = f"%config GradcheckMagics.display = {display!r}\n%gradcheck\n"
    for code in (f"%gradcheck --display {display}", config):
        printed, bundles = kernel.run(code)
        assert [
            kind for kind, bundle in zip(kinds, bundles, strict=True) if kind in bundle
        ] == kinds
        assert printed.startswith("✗ There is a bug") == (display == "text")
    kernel.run("%config GradcheckMagics.display = 'auto'")


def counted(kernel):
    printed, _ = kernel.run(COUNT, "counting")
    return json.loads(printed)


def test_a_hundred_runs(kernel):
    """Neither widgets nor anything else grows with the runs of a cell."""
    kernel.run("%gradcheck")
    widgets, objects = counted(kernel)
    for _ in range(RUNS):
        kernel.run("%gradcheck")
    widgets_then, objects_then = counted(kernel)
    assert widgets_then == widgets
    assert objects_then - objects < RUNS * MOST_LEFT


def test_many_cards(kernel):
    """Where the front end does not tell cells apart, the oldest card makes room for a new one."""
    for _ in range(MOST_LIVE):
        kernel.run("%gradcheck", None)
    widgets, _ = counted(kernel)
    for _ in range(3):
        kernel.run("%gradcheck", None)
    assert counted(kernel)[0] == widgets


def test_cards_of_one_run_live_together(kernel):
    kernel.run("%reload_ext gradcheck_magic")
    before, _ = counted(kernel)
    kernel.run("for _ in range(3):\n    %gradcheck", "a loop")
    three, _ = counted(kernel)
    kernel.run("%gradcheck", "a loop")
    one, _ = counted(kernel)
    assert three - before == 3 * (one - before) > 0


def test_unloaded(kernel):
    """Nothing lives on."""
    kernel.run("%gradcheck")
    kernel.run("%unload_ext gradcheck_magic")
    widgets, _ = counted(kernel)
    kernel.run("%load_ext gradcheck_magic")
    assert widgets == 0
