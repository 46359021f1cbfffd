"""The card in real notebooks, as somebody in front of a browser sees it."""

import importlib
import importlib.util
import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_server import PATIENCE, lab_server, wait_until

# Where everything should be there, what is missing is an error.
for package in ("playwright", "jupyterlab", "notebook"):
    if importlib.util.find_spec(package) is None and not os.environ.get("CI"):
        pytest.skip(f"{package} is missing: pip install -e '.[test]'", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
expect = sync_api.expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# What is far outside the window is not in the page, so all of a notebook has to fit.
WINDOW = {"width": 1280, "height": 4000}

FIRST_CHECK = Path(__file__).parents[1] / "notebooks" / "01_first_check.ipynb"
PAGES = {"lab": "lab/tree", "notebook": "notebooks"}
# Where each kind of card has its picture, and the text that stands for it.
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


@pytest.fixture(scope="module")
def browser():
    with chromium() as context:
        yield context


@contextmanager
def chromium(**options):
    """Chromium, without a window."""
    executable = find_browser()
    expect.set_options(timeout=1000 * PATIENCE)
    with sync_api.sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        # One context for all pages, which keeps JupyterLab's files in its cache.
        context = program.new_context(**{"viewport": WINDOW, **options})
        context.set_default_timeout(1000 * PATIENCE)
        yield context
        program.close()


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """A Jupyter server with a folder and a user of its own, once there is a browser."""
    with lab_server(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def saved(browser, server):
    """The first tutorial, run and saved in JupyterLab; its kernel is gone."""
    path = server.folder / "saved.ipynb"
    shutil.copy(FIRST_CHECK, path)
    with opened(browser, server, path.name) as page:
        choose(page, "Run", "Run All Cells")
        expect(page.get_by_text("gradcheck is off:")).to_be_visible()
        choose(page, "File", "Save Notebook")
        wait_until("the notebook is saved", lambda: b"gc-static" in path.read_bytes())
    return path


def test_first_check_in_jupyterlab(browser, server):
    """Run All shows what is right and what is wrong, each in one live card."""
    shutil.copy(FIRST_CHECK, server.folder)
    with opened(browser, server, FIRST_CHECK.name) as page:
        choose(page, "Run", "Run All Cells")
        see_both_cards(page, "gc-live")
        see_nothing_of(page.locator(".gc-static"), 2)


def test_first_check_in_notebook_7(browser, server):
    """The same in the other front end."""
    shutil.copy(FIRST_CHECK, server.folder)
    with opened(browser, server, FIRST_CHECK.name, app="notebook") as page:
        choose(page, "Run", "Run All Cells")
        see_both_cards(page, "gc-live")
        see_nothing_of(page.locator(".gc-static"), 2)


def test_reopened(browser, server, saved):
    """Without a kernel that knows them, the static cards stand in for the dead widgets."""
    with opened(browser, server, saved.name) as page:
        see_both_cards(page, "gc-static")
        see_nothing_of(page.get_by_text("Error displaying widget"), 2)
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(2)


def test_reopened_by_somebody_else(browser, saved, tmp_path):
    """Jupyter does not trust it there and strips it of its styles: it can still be read."""
    with lab_server(tmp_path) as other:
        shutil.copy(saved, other.folder)
        with opened(browser, other, saved.name) as page:
            see_both_cards(page, "gc-static")
            expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(0)


def test_interrupted(browser, server):
    """An interrupt ends in a card of what is known, and leaves the parameters as they were."""
    write_notebook(server.folder / "slow.ipynb", SLOW_CHECK)
    with opened(browser, server, "slow.ipynb") as page:
        cells = page.locator(".jp-CodeCell")
        expect(cells).to_have_count(len(SLOW_CHECK))
        *_, check, later, last = cells.all()
        choose(page, "Run", "Run All Cells")
        # Some of these are needed before the first entry.
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


# What the stories are told with


def find_browser():
    """Return the path of a browser; without one, skip, but not where everything should be there."""
    for name in filter(None, (os.environ.get("CHROMIUM"), *BROWSERS)):
        if path := shutil.which(name):
            return path
    refuse = pytest.fail if os.environ.get("CI") else pytest.skip
    return refuse("Chromium is missing: apt-get install chromium, or set CHROMIUM to its path")


@contextmanager
def opened(browser, server, name, *, app="lab"):
    """A notebook in a new page, connected to a new kernel; both are gone afterwards."""
    page = browser.new_page()
    try:
        page.goto(server.url(f"{PAGES[app]}/{name}"))
        expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible()
        server.wait_for_kernel()
        yield page
    finally:
        page.close()
        server.shut_down_kernels()


def choose(page, menu, item):
    """Choose an item from a menu; behind its name, its keys may be shown."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    items = page.get_by_role("menu").get_by_role("menuitem")
    items.filter(has=page.get_by_text(item, exact=True)).click()


def see_both_cards(page, kind):
    """See one card for each check of the first tutorial: the first right, the second wrong."""
    cards = visible(page.locator(f".gc-card.{kind}"))
    right, wrong = cards.nth(0), cards.nth(1)
    expect(right.locator(".gc-verdict")).to_contain_text("Backpropagation is correct.")
    expect(wrong.locator(".gc-verdict")).to_contain_text("There is a bug in backpropagation.")
    expect(visible(page.locator(".gc-card"))).to_have_count(2)

    assert difference(right) < 1e-7
    assert difference(wrong) > 1e-3
    expect(right.locator(".gc-diagnosis")).to_have_count(0)
    expect(wrong.locator(".gc-diagnosis")).to_contain_text(re.compile(r"dW2.*\b100\b"))
    see_entries_behind(wrong.locator(".gc-diagnosis"))
    see_picture(right, kind)
    see_picture(wrong, kind)


def see_entries_behind(diagnosis):
    """See the entries that are wrong, one click away, or one key."""
    rows = visible(diagnosis.locator("tbody tr"))
    summary = diagnosis.locator("summary")
    expect(rows).to_have_count(0)
    summary.click()
    expect(rows).to_have_count(12)
    expect(rows.first).to_contain_text("W2[")
    summary.press("Enter")
    expect(rows).to_have_count(0)


def difference(card):
    """Read the difference off a card."""
    return float(card.locator(".gc-difference").inner_text())


def see_picture(card, kind):
    """See the histogram, and the text for those who cannot."""
    element, text = PICTURES[kind]
    picture = card.locator(f".gc-picture {element}")
    expect(picture).to_be_visible()
    expect(picture).to_have_attribute(text, re.compile(r"relative errors of 610 entries: \d+ "))
    if element.startswith("img"):
        # Raises an error if there is no picture in it.
        picture.evaluate("image => image.decode()")


def see_nothing_of(elements, count):
    """See none of the elements, though they are all in the page."""
    expect(elements).to_have_count(count)
    expect(visible(elements)).to_have_count(0)


def visible(elements):
    """Those of the elements that can be seen."""
    return elements.locator("visible=true")


def write_notebook(path, cells):
    """Write a notebook with these cells of code."""
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "source": source.strip(),
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
    }
    path.write_text(json.dumps(notebook))
