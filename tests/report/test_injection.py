"""Whatever the user's names and sentences hold, it is shown as text, and nothing of it is run."""

import itertools
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from payloads import PAYLOADS
from reports import result_by_hand

import gradcheck_magic
from gradcheck_magic import check_gradients, step_curve
from gradcheck_magic._notebook.controls import Controls, Requests
from gradcheck_magic._report.canvas import svg
from gradcheck_magic._report.card import card
from gradcheck_magic._report.close_up_card import close_up_card, curve_card
from gradcheck_magic._report.figures import element
from gradcheck_magic._report.text import text_report
from gradcheck_magic._report.text_style import TextStyle
from gradcheck_magic._wording import as_html, first_line, printable, shortened

# A name of which nobody expects any effect.
PLAIN = "weights"
# The attributes that say in words what can be seen.
SPOKEN = {"aria-label", "alt"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text; in `spoken`, that of attributes.

    What an attribute says counts as text, and a picture's coordinates do not count.
    """

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.spoken = [], "", ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        held = dict(attributes)
        self.spoken += "".join(held[name] for name in sorted(SPOKEN & set(held)))
        effects = {k: v for k, v in held.items() if k.startswith("on") or "javascript" in str(v)}
        self.elements.append((tag, tuple(held), {} if SPOKEN & set(effects) else effects))

    def handle_endtag(self, tag):
        self.elements.append((tag,))

    def handle_data(self, text):
        self.text += text

    def handle_comment(self, text):
        self.elements.append(("a comment", text))

    unknown_decl = handle_decl = handle_pi = handle_comment


def in_words(draw, alt):
    """Stand in for a picture, which takes long to draw."""
    return f'<img alt="{as_html(alt)}">'


def square(p):
    return sum(float(np.sum(values**2)) for values in p.values())


def checked(*names, factor=3, **options):
    """Return the check of parameters with these names, whose gradient is wrong but for 2."""
    p = {name: np.array([1.0, 2.0]) for name in names}
    return check_gradients(p, {name: factor * p[name] for name in names}, square, **options)


def of_name(text):
    return shortened(printable(text))


def of_check(name):
    check = replace(
        checked(name),
        changes=f"0.2 → 0.1: `{of_name(name)}` now wrong",
        not_checked=(of_name(name),),
    )
    return card(check, in_words(None, of_name(name)), can_choose=True)


def of_scan(name):
    check = checked(name, factor=2, mode="scan")
    return card(check, element(check, in_words))


def of_many(name):
    """Return a card in which the name is in the fold."""
    check = thirty_parameters()
    *others, last = check.parameters
    return card(replace(check, parameters=(*others, replace(last, name=of_name(name)))), "")


@cache
def thirty_parameters():
    return checked(*map(str, range(30)), factor=2)


def of_close_up(name):
    check = checked(name)
    return close_up_card(check.close_up(check.parameters[0].name), in_words)


def of_step_curve(name):
    p = {name: np.array([1.0, 2.0])}
    index = (1,)
    curve = step_curve(p, {name: 3 * p[name]}, square, checked(name).parameters[0].name, index)
    return curve_card(curve, in_words)


def of_cost(name):
    """Return a card with a note that names the cost."""
    p = {"W": np.array([1.0, 2.0])}

    def cost(p):
        return square(p), None

    cost.__name__ = name
    return card(check_gradients(p, {"W": 2 * p["W"]}, cost), "")


def of_variable(name):
    """Return a card that names another variable of the notebook."""
    W, namespace = np.array([1.0, 2.0]), {name: np.ones((7, 2))}
    check = check_gradients({"W": W}, {"W": 14 * W}, square, names=namespace)
    return card(check, "")


def of_sentences(name):
    """Return a card of which every sentence holds the text, as a name and bare."""
    check = result_by_hand()
    sentence = f"`{name}` is {name}. Look at {name} and `{name}`."
    diagnoses = tuple(replace(diagnosis, sentence=sentence) for diagnosis in check.diagnoses)
    said = {"reasons": (sentence,), "notes": (sentence,), "changes": sentence}
    return card(replace(check, diagnoses=diagnoses, **said), "")


def of_status(name):
    """Return what a live card says after the user's function has raised an exception."""
    requests = Requests(pytest.fail, pytest.fail, "auto", None)
    controls = Controls(requests)
    with controls._check_status.during("Checking …"):
        raise ValueError(name)
    return controls._check_status.value


# What makes a page of a text, and how the text is shown there.
SINKS = {
    of_check: of_name, of_scan: of_name, of_many: of_name, of_close_up: of_name,
    of_step_curve: of_name, of_cost: of_name, of_variable: of_name, of_sentences: printable,
    of_status: lambda text: first_line(ValueError(text)),
}  # fmt: skip


@cache
def plain_page(sink):
    return Page(sink(PLAIN))


ROWS = [
    *itertools.product((of_check, of_sentences, of_status), PAYLOADS),
    # The rest takes the same way into the page, so a payload of each kind will do.
    *itertools.product(SINKS, ("out of double quotes", "another direction", "lines")),
]


@pytest.mark.parametrize(("sink", "name"), dict.fromkeys(ROWS))
def test_text_stays_text(sink, name):
    """The page has the elements and attributes of one with a plain name, and shows the text."""
    payload = PAYLOADS[name]
    page, plain, shown = Page(sink(payload)), plain_page(sink), SINKS[sink](payload)
    assert page.elements == plain.elements
    assert page.text == plain.text.replace(PLAIN, shown)
    assert page.spoken == plain.spoken.replace(PLAIN, shown)
    assert (page.text + page.spoken).isprintable()


def test_one_way_into_the_page():
    """Nothing but `as_html` escapes for HTML; it also escapes what cannot be seen."""
    package = Path(gradcheck_magic.__file__).parent
    users = [
        path.name for path in package.rglob("*.py") if "html.escape" in path.read_text("utf-8")
    ]
    assert users == ["_wording.py"]


@pytest.mark.parametrize("mode", ["full", "scan"])
def test_pictures(mode):
    """Names that would end something, in a picture, add no elements to it."""
    names = [PAYLOADS[f"out of a {what}"] for what in ("style", "comment", "section")]
    checks = [checked(*used, mode=mode) for used in (names, ["U", "V", "W"])]
    page, plain = (Page(element(check, svg)) for check in checks)
    assert kinds(page) == kinds(plain)
    # A picture may shorten a name.
    assert any(name[:8] in page.text for name in names)


def kinds(page):
    """Return the elements of a page with their attributes; how many there are depends on sizes."""
    return {str(element) for element in page.elements}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_text_controls_no_terminal(payload):
    """The report has no character with an effect but line breaks and its own colours."""
    sentence = f"`{payload}` is {payload}. Look at {payload}."
    check = replace(checked(payload), reasons=(sentence,), notes=(sentence,), changes=sentence)
    for report in (text_report(check, TextStyle(is_coloured=True, width=80)), str(check)):
        assert all(line.isprintable() for line in re.sub(r"\x1b\[\d+m", "", report).split("\n"))
