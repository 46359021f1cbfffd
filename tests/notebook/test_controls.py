"""The controls of a live card do what they say, and errors are shown below the card."""

import html
import re
import signal
from dataclasses import replace

import ipywidgets as widgets
import pytest
from reports import result_by_hand

from gradcheck_magic._inputs.request import MODES
from gradcheck_magic._notebook import controls as ours
from gradcheck_magic._notebook.controls import MOST_PROPOSED, Controls, Requests, close
from gradcheck_magic._report.close_up_card import close_up_card, curve_card
from gradcheck_magic.errors import InputError

HAND = result_by_hand()


@pytest.fixture(autouse=True)
def plain_pictures(monkeypatch):
    """Replace the pictures, which take long; here it only matters what they show."""
    monkeypatch.setattr(
        ours, close_up_card.__name__, lambda shown: f"page of {shown.parameter.name}"
    )
    monkeypatch.setattr(ours, curve_card.__name__, lambda curve: f"page of {curve}")


class Panel:
    """The controls of a card, and what they have asked of the notebook."""

    def __init__(self, mode="auto", epsilon=None, fails=None):
        self.asked, self.fails, self.meanwhile = [], fails, ""
        requests = Requests(self._again, self._curve, mode, epsilon)
        self.controls = Controls(requests)
        parts = list(self._parts(self.controls.view))
        self.choose, self.mode, self.step, self.entry = (
            next(part for part in parts if f"gc-{name}" in part._dom_classes)
            for name in ("choose", "mode", "step", "entry")
        )
        self.again, self.draw = (part for part in parts if isinstance(part, widgets.Button))
        # What each button says, and the pictures of a parameter and of an entry.
        html = [part for part in parts if isinstance(part, widgets.HTML)]
        self.check_status, self.closer, self.curve_status, self.curve = html
        self.fold = next(
            part for part in parts
            if isinstance(part, widgets.VBox) and self.closer in part.children
        )  # fmt: skip

    def _parts(self, part):
        yield part
        for child in getattr(part, "children", ()):
            yield from self._parts(child)

    def _done(self, *what):
        self.asked.append(what)
        self.meanwhile = self.said
        if self.fails is not None:
            raise self.fails

    def _again(self, mode, epsilon):
        self._done(mode, epsilon)

    def _curve(self, check, name, index, progress):
        progress(500, 1000, 1.0)
        self._done(check, name, index)
        return f"{name}{list(index)}"

    @property
    def status(self):
        """The one that says something; the first if none does."""
        return self.curve_status if text_of(self.curve_status) else self.check_status

    @property
    def said(self):
        return text_of(self.check_status) + text_of(self.curve_status)

    @property
    def is_error(self):
        return "gc-error" in self.status.value


def text_of(status):
    return html.unescape(re.sub("<[^>]*>", "", status.value))


@pytest.fixture
def panel():
    made = Panel()
    made.controls.show(HAND)
    yield made
    close(made.controls.view)


# Choices


def test_before_a_check_there_is_nothing_to_see():
    panel = Panel()
    assert panel.choose.options == ()
    assert panel.fold.layout.display == "none"
    panel.draw.click()
    assert panel.asked == []


def test_parameters_are_offered_with_their_verdicts(panel):
    (_, nothing), *offered = panel.choose.options
    assert nothing == panel.choose.value == ""
    assert offered == [(f"{p.verdict.symbol} {p.name}", p.name) for p in HAND.parameters]
    assert panel.fold.layout.display == "none"
    assert panel.mode.options == tuple(MODES)


@pytest.mark.parametrize("name", ["W", "b", "U"])
def test_a_closer_look(panel, name):
    """A chosen parameter shows its picture and offers its worst entries, the worst one first."""
    panel.choose.value = name
    assert panel.closer.value == f"page of {name}"
    assert panel.fold.layout.display in {"", None}
    worst = [entry.label for entry in HAND.close_up(name).worst(MOST_PROPOSED)]
    assert list(panel.entry.options) == worst
    assert panel.entry.value == worst[0]
    panel.choose.value = ""
    assert panel.closer.value == ""
    assert panel.fold.layout.display == "none"


@pytest.mark.parametrize(("parameters", "chosen"), [
    pytest.param(HAND.parameters, "V", id="it is there again"),
    pytest.param(HAND.parameters[:1], "", id="HARD: it is gone"),
])  # fmt: skip
def test_another_check(panel, parameters, chosen):
    """After another check, the chosen parameter stays chosen, with its new picture."""
    panel.choose.value = "V"
    panel.curve.value = "an old curve"
    panel.controls.show(replace(HAND, parameters=parameters))
    assert panel.choose.value == chosen
    assert panel.closer.value == (f"page of {chosen}" if chosen else "")
    assert panel.curve.value == ""
    assert panel.said == ""


# Another check


@pytest.mark.parametrize(("typed", "step"), [
    ("", None), ("  ", None), ("1e-5", 1e-5), (" 0.25 ", 0.25), ("1E-7", 1e-7),
])  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
def test_again(panel, mode, typed, step):
    panel.mode.value, panel.step.value = mode, typed
    panel.again.click()
    assert panel.asked == [(mode, step)]
    assert panel.meanwhile
    assert panel.said == ""


@pytest.mark.parametrize("typed", ["small", "0", "-1e-7", "inf", "nan", "1e-7 1e-8", "1,5"])
def test_a_step_that_is_none(panel, typed):
    panel.step.value = typed
    panel.again.click()
    assert panel.asked == []
    assert panel.is_error
    assert panel.said.startswith("`ε` is ")
    assert panel.said.endswith(": expected a positive number, such as 1e-7.")


@pytest.mark.parametrize(("epsilon", "shown"), [(None, ""), (1e-5, "1e-05"), (0.25, "0.25")])
def test_the_settings_of_the_first_check_are_shown(epsilon, shown):
    panel = Panel("scan", epsilon)
    assert (panel.mode.value, panel.step.value) == ("scan", shown)


# A step curve


@pytest.mark.parametrize(("typed", "index"), [
    ("W[0, 2]", (0, 2)), ("[0, 2]", (0, 2)), ("0, 2", (0, 2)), (" 0,2 ", (0, 2)), ("[3]", (3,)),
    ("(3", None), ("3,", (3,)), ("", ()), ("[]", ()), ("-1", None), ("0:2", None), ("a", None),
    ("1.5", None), ("1 2", None), ("W2[0]", None),
])  # fmt: skip
def test_an_entry(panel, typed, index):
    panel.choose.value = "W"
    panel.entry.value = typed
    panel.draw.click()
    if index is None:
        assert panel.asked == []
        assert panel.is_error
        assert panel.curve.value == ""
    else:
        assert panel.asked == [(HAND, "W", index)]
        assert panel.curve.value == f"page of W{list(index)}"
        assert "500" in panel.meanwhile, "how far it is was told"
        assert panel.said == ""


# Errors


@pytest.mark.parametrize(("error", "parts"), [
    pytest.param(InputError("`W` is <gone>."), ["`W` is <gone>."], id="of ours"),
    pytest.param(OSError("no <b>\nmore"), ["OSError", "no <b>"], id="of theirs"),
    pytest.param(KeyboardInterrupt(), [], id="HARD: an interrupt"),
])  # fmt: skip
@pytest.mark.parametrize("button", ["again", "draw"])
def test_errors_are_said(error, parts, button):
    panel = Panel(fails=error)
    panel.controls.show(HAND)
    panel.choose.value = "W"
    getattr(panel, button).click()
    assert len(panel.asked) == 1
    assert panel.is_error
    assert panel.status is {"again": panel.check_status, "draw": panel.curve_status}[button]
    assert panel.said
    assert all(part in panel.said for part in parts)
    assert "more" not in panel.said
    assert "<gone>" not in panel.status.value, "it is escaped"
    assert 'role="status"' in panel.status.value


@pytest.mark.parametrize("button", ["again", "draw"])
def test_ctrl_c_while_the_result_is_drawn(monkeypatch, panel, button):
    """The result is shown first. Then it is said, once."""
    panel.choose.value = "W"

    def shown(*what):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        panel.asked.append(what)

    monkeypatch.setattr(panel, "_done", shown)
    getattr(panel, button).click()
    assert len(panel.asked) == 1
    assert panel.said == "Interrupted; the parameters are as they were before."


def test_ctrl_c_while_a_status_is_said(monkeypatch, panel):
    monkeypatch.setattr(html, "escape", lambda text: signal.raise_signal(signal.SIGINT) or text)
    panel.again.click()
    assert panel.said == "Interrupted; the parameters are as they were before."


def test_closed():
    """Closing leaves no widget alive."""
    panel = Panel()
    parts = list(panel._parts(panel.controls.view))
    alive = [part for part in parts for part in (part, part.layout) if part.comm is not None]
    assert len(alive) == 2 * len(parts)
    close(panel.controls.view)
    assert [part for part in alive if part.comm is not None] == []
