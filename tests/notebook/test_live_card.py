"""The live card in a real kernel: what it displays, and what it leaves behind."""

import json
from types import SimpleNamespace

import pytest
from kernel import CARDS, counted, started

from gradcheck_magic._notebook.live_card import MOST_ENTRIES, LiveCards

HEADER = {"metadata": {"cellId": "c7"}}


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        kernel.run(CARDS)
        yield kernel


def test_bundle(kernel):
    """The static twin has every form of the result, and the widget has none."""
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
    """The card is of the kind that was asked for, on the line or by %config."""
    config = f"%config GradcheckMagics.display = {display!r}\n%gradcheck\n"
    for code in (f"%gradcheck --display {display}", config):
        printed, bundles = kernel.run(code)
        assert [
            kind for kind, bundle in zip(kinds, bundles, strict=True) if kind in bundle
        ] == kinds
        assert printed.startswith("✗ There is a bug") == (display == "text")
    kernel.run("%config GradcheckMagics.display = 'auto'")


def test_cards_of_one_run_live_together(kernel):
    kernel.run("%reload_ext gradcheck_magic")
    before, _ = counted(kernel)
    kernel.run("for _ in range(3):\n    %gradcheck", "a loop")
    three, _ = counted(kernel)
    kernel.run("%gradcheck", "a loop")
    one, _ = counted(kernel)
    assert three - before == 3 * (one - before) > 0


PRESSED = """
from concurrent.futures import ThreadPoolExecutor
magics = get_ipython().magics_manager.registry["GradcheckMagics"]
controls = magics._live._cards[-1][0]._controls
controls._parameter.value = "b"
check, told = _gradcheck, []

def press(button, status):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(button, None).result()
    told.append(status.value)

press(controls._check_again, controls._check_status)
press(controls._draw, controls._curve_status)
controls._parameter.value = ""
with ThreadPoolExecutor(1) as pool:
    pool.submit(setattr, controls._parameter, "value", "W").result()
told.append(controls._check_status.value + controls._curve_status.value)
closer = bool(controls._closer.value)
print(json.dumps([_gradcheck is check, closer, told]))
"""


def test_buttons_while_a_cell_runs(kernel):
    """A kernel may handle them in another thread: they say so, and the card stays as it is."""
    kernel.run("%gradcheck")
    printed, _ = kernel.run(PRESSED)
    is_kept, has_closer_look, (again, curve, choice) = json.loads(printed)
    assert is_kept
    assert has_closer_look, "it evaluates nothing"
    for told in (again, curve):
        assert ">A cell is running, and a check would move arrays that it may use: " in told
    assert "cell" not in choice


def test_unloaded(kernel):
    """Unloading the extension leaves no widget alive."""
    kernel.run("%gradcheck")
    kernel.run("%unload_ext gradcheck_magic")
    widgets, _ = counted(kernel)
    kernel.run("%load_ext gradcheck_magic")
    assert widgets == 0


class Card:
    """A card that only knows if it is live, and how many entries it keeps."""

    is_live = True

    def __init__(self, n_entries=0):
        self.n_entries = n_entries

    def retire(self):
        self.is_live = False


@pytest.mark.parametrize(("told", "is_known"), [
    pytest.param({"get_parent": lambda: HEADER}, True, id="told"),
    pytest.param({"get_parent": lambda: {"metadata": {}}}, False, id="not told"),
    pytest.param({"get_parent": dict}, False, id="HARD: no header"),
    pytest.param({"get_parent": lambda: None}, False, id="HARD: none at all"),
    pytest.param({}, False, id="HARD: no kernel of Jupyter's"),
    pytest.param({"get_parent": lambda: {"metadata": None}}, False, id="HARD: no metadata"),
    pytest.param({"get_parent": lambda: "a message"}, False, id="HARD: no message"),
    pytest.param({"get_parent": lambda channel: {}}, False, id="HARD: called otherwise"),
    pytest.param({"get_parent": {}.popitem}, False, id="HARD: raises"),
])  # fmt: skip
def test_cards_of_an_earlier_run(told, is_known):
    """They are retired if the front end says which cell runs."""
    cards, (first, second, third) = LiveCards(), (Card(), Card(), Card())
    for card, run in ((first, 1), (second, 1), (third, 2)):
        cards.add(card, SimpleNamespace(execution_count=run, **told))
    assert [first.is_live, second.is_live, third.is_live] == [not is_known, not is_known, True]
    cards.close()
    assert not third.is_live


@pytest.mark.parametrize(("kept", "live"), [
    pytest.param([0] * 40, 32, id="small ones"),
    pytest.param([MOST_ENTRIES // 2] * 4, 3, id="the last one and those that fit beside it"),
    pytest.param([0, 0, MOST_ENTRIES + 1], 3, id="HARD: the last one is huge"),
    pytest.param([0, MOST_ENTRIES + 1, 0], 1, id="HARD: one before it was huge"),
])  # fmt: skip
def test_cards_of_large_checks(kept, live):
    """Cards are retired if their checks measured millions of entries."""
    cards, all_cards = LiveCards(), [Card(n) for n in kept]
    for run, card in enumerate(all_cards):
        cards.add(card, SimpleNamespace(execution_count=run))
    assert [card.is_live for card in all_cards] == [False] * (len(kept) - live) + [True] * live
