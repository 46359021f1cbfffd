"""The card in real notebooks, as a user sees it in the browser."""

import re
import shutil

import pytest
from browser import FIRST_CHECK, choose, copy_first_check, expect, opened, visible, write_notebook
from lab_server import wait_until

# Where each kind of card has its picture, and the text that replaces it.
PICTURES = {"gc-live": ("svg[role=img]", "aria-label"), "gc-static": ("img:visible", "alt")}

SLOW_CHECK = [
    "%load_ext gradcheck_magic",
    """
import time
import numpy as np

params = np.linspace(0.1, 1, 500)
saved = params.copy()
grads = 2 * params

def cost_function():
    time.sleep(0.02)
    return params @ params
""",
    "%gradcheck --mode full",
    "print('later')",
    "print('unchanged:', np.array_equal(params.view(np.uint64), saved.view(np.uint64)))",
]


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_as_it_is_committed(browser, server, app):
    """The committed notebook shows its cards when it is opened, before it is run or trusted."""
    shutil.copy(FIRST_CHECK, server.folder / "committed.ipynb")
    with opened(browser, server, "committed.ipynb", app=app) as page:
        see_the_cards(page, "gc-static")
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(0)


def test_first_check_in_jupyterlab(browser, server, elsewhere):
    """Run All shows the results in live cards; the reopened notebook shows them in static ones."""
    path = server.folder / "saved.ipynb"
    copy_first_check(path)
    with opened(browser, server, path.name) as page:
        choose(page, "Run", "Run All Cells")
        see_the_cards(page, "gc-live")
        see_nothing_of(page.locator(".gc-static"), 3)
        expect(page.get_by_text("gradcheck is off:")).to_be_visible()
        choose(page, "File", "Save Notebook")
        wait_until("the notebook is saved", lambda: b"gc-static" in path.read_bytes())
    see_it_reopened(browser, server, path)
    see_it_sent_to_somebody(browser, elsewhere, path)


def see_it_reopened(browser, server, path):
    """Assert that static cards replace the widgets, which the new kernel does not know."""
    with opened(browser, server, path.name) as page:
        see_the_cards(page, "gc-static")
        see_nothing_of(page.get_by_text("Error displaying widget"), 3)
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(3)


def see_it_sent_to_somebody(browser, elsewhere, path):
    """Assert that the cards can be read where they are not trusted and lose their styles."""
    shutil.copy(path, elsewhere.folder)
    with opened(browser, elsewhere, path.name) as page:
        see_the_cards(page, "gc-static")
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(0)


def test_first_check_in_notebook_7(browser, server):
    """Run All shows live cards in the other front end, too."""
    copy_first_check(server.folder / FIRST_CHECK.name)
    with opened(browser, server, FIRST_CHECK.name, app="notebook") as page:
        choose(page, "Run", "Run All Cells")
        see_the_cards(page, "gc-live")
        see_nothing_of(page.locator(".gc-static"), 3)


def test_interrupted(browser, server):
    """An interrupt ends in a card with the results so far, and the parameters are as they were."""
    write_notebook(server.folder / "slow.ipynb", SLOW_CHECK)
    with opened(browser, server, "slow.ipynb") as page:
        cells = page.locator(".jp-CodeCell")
        expect(cells).to_have_count(len(SLOW_CHECK))
        *_, check, later, last = cells.all()
        choose(page, "Run", "Run All Cells")
        # Some evaluations are needed before the first entry.
        under_way = re.compile(r"\b([5-9]\d|\d\d\d) of about 1,0\d\d evaluations")
        expect(check.locator(".gc-running")).to_contain_text(under_way)
        choose(page, "Kernel", "Interrupt Kernel")

        expect(check.locator(".gc-live .gc-diagnosis")).to_contain_text("Interrupted: ")
        measured = re.compile(r"^[1-9]\d* of 500 entries measured")
        expect(check.locator(".gc-live").get_by_text(measured)).to_be_visible()
        expect(visible(page.locator(".gc-card"))).to_have_count(1)
        outputs = check.locator(".jp-OutputArea-output")
        message = outputs.filter(has_text="Gradient check interrupted: ")
        expect(message).to_be_visible()
        assert len(message.inner_text().strip().splitlines()) == 1

        last.click()
        choose(page, "Run", "Run Selected Cell")
        expect(last.locator(".jp-OutputArea-output")).to_have_text("unchanged: True")
        expect(later.locator(".jp-InputPrompt")).to_have_text("[ ]:")
        expect(later.locator(".jp-OutputArea-output")).to_have_count(0)


def test_completion(browser, server):
    """The Tab key lists options and their values, and Enter takes one."""
    cells = ["%load_ext gradcheck_magic\nprint('loaded')", "%%gradcheck -q\ngrads = 1"]
    write_notebook(server.folder / "completion.ipynb", cells)
    with opened(browser, server, "completion.ipynb") as page:
        first, second = page.locator(".jp-CodeCell").all()
        choose(page, "Run", "Run All Cells")
        expect(first.locator(".jp-OutputArea-output")).to_have_text("loaded")
        line = second.locator(".cm-line").first
        line.click()
        page.keyboard.press("End")
        offered = page.locator(".jp-Completer-item .jp-Completer-match")
        page.keyboard.type(" --mo")
        # Otherwise the Tab key indents the line.
        expect(second.locator(".jp-mod-completer-enabled")).to_be_visible()
        page.keyboard.press("Tab")
        expect(offered).to_have_text(["--mode"])
        page.keyboard.press("Enter")
        expect(line).to_have_text("%%gradcheck -q --mode")
        page.keyboard.type(" s")
        page.keyboard.press("Tab")
        expect(offered).to_have_text(["scan"])
        page.keyboard.press("Enter")
        expect(line).to_have_text("%%gradcheck -q --mode scan")


# Helpers


def see_the_cards(page, kind):
    """Assert that each check of the first tutorial has a card: one is correct, two are not."""
    cards = visible(page.locator(f".gc-card.{kind}"))
    right, wrong, exercise = (cards.nth(i) for i in range(3))
    expect(right.locator(".gc-verdict")).to_contain_text("Backpropagation is correct.")
    expect(wrong.locator(".gc-verdict")).to_contain_text("There is a bug in backpropagation.")
    expect(exercise.locator(".gc-diagnosis")).to_contain_text("too weak")
    expect(visible(page.locator(".gc-card"))).to_have_count(3)

    assert difference(right) < 1e-7
    assert difference(wrong) > 1e-3
    expect(right.locator(".gc-diagnosis")).to_have_count(0)
    expect(wrong.locator(".gc-diagnosis")).to_contain_text(re.compile(r"dW2.*\b100\b"))
    see_entries_behind(wrong.locator(".gc-diagnosis"))
    see_picture(right, kind)
    see_picture(wrong, kind)


def see_entries_behind(diagnosis):
    """Assert that a click shows the wrong entries, and that a key hides them."""
    rows = visible(diagnosis.locator("tbody tr"))
    summary = diagnosis.locator("summary")
    expect(rows).to_have_count(0)
    summary.click()
    expect(rows).to_have_count(12)
    expect(rows.first).to_contain_text("W2[")
    summary.press("Enter")
    expect(rows).to_have_count(0)


def difference(card):
    """Return the difference that a card shows."""
    return float(card.locator(".gc-difference").inner_text())


def see_picture(card, kind):
    """Assert that the histogram is visible, with a text for those who cannot see it."""
    element, text = PICTURES[kind]
    picture = card.locator(f".gc-picture {element}")
    expect(picture).to_be_visible()
    expect(picture).to_have_attribute(text, re.compile(r"relative errors of 610 entries: \d+ "))
    if element.startswith("img"):
        # Raises an error if the image has no picture.
        picture.evaluate("image => image.decode()")


def see_nothing_of(elements, count):
    """Assert that none of the elements is visible, although all are in the page."""
    expect(elements).to_have_count(count)
    expect(visible(elements)).to_have_count(0)
