"""A browser for the tests: find it, start it, and open notebooks in it.

A test file that imports this module is skipped if a package is missing.
"""

import importlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from lab_server import PATIENCE
from needed import require

require("playwright", "jupyterlab", "notebook")
sync_api = importlib.import_module("playwright.sync_api")
expect = sync_api.expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Cells far outside the window are not in the page, so the whole notebook has to fit.
WINDOW = {"width": 1280, "height": 4000}

FIRST_CHECK = Path(__file__).parents[2] / "notebooks" / "01_first_check.ipynb"
PAGES = {"lab": "lab/tree", "notebook": "notebooks"}

OPAQUE = 255
# A colour as painted, and the colour of a picture's corner: red, green, blue and opacity.
PAINTED = """(element, property) => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = getComputedStyle(element)[property];
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
}"""
CORNER = """async image => {
    await image.decode();
    const context = document.createElement("canvas").getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, 1, 1).data];
}"""


@contextmanager
def chromium(**options):
    """Start Chromium without a window, and close it afterwards."""
    executable = find_browser()
    expect.set_options(timeout=1000 * PATIENCE)
    with (
        sync_api.sync_playwright() as playwright,
        # What the browser still writes as it ends does not matter.
        TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        # One context for all pages. It keeps JupyterLab's files, compiled, in its cache.
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=executable, args=FLAGS, **{"viewport": WINDOW, **options}
        )
        context.set_default_timeout(1000 * PATIENCE)
        yield context
        context.close()


def find_browser():
    """Return the path of a browser; if there is none, skip the test, or in CI let it fail."""
    for name in filter(None, (os.environ.get("CHROMIUM"), *BROWSERS)):
        if path := shutil.which(name):
            return path
    refuse = pytest.fail if os.environ.get("CI") else pytest.skip
    return refuse("Chromium is missing: apt-get install chromium, or set CHROMIUM to its path")


@contextmanager
def opened(browser, server, name, *, app="lab"):
    """Open a notebook in a new page with a new kernel, and close both afterwards."""
    page = browser.new_page()
    try:
        page.goto(server.url(f"{PAGES[app]}/{name}"))
        expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible()
        server.wait_for_kernel()
        yield page
    finally:
        page.close()
        server.shut_down_kernels()


def choose(page, menu, *path):
    """Choose an item from a menu, or from the menu behind an item."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    for name in path:
        # Not every item has the role, and a shortcut may follow its name.
        items = page.locator(".lm-Menu-item")
        items.filter(has=page.get_by_text(name, exact=True)).click()


def visible(elements):
    """Return the elements that are visible."""
    return elements.locator("visible=true")


def see_theme(page, theme):
    """Assert that each card has this theme: its colours, and its picture."""
    for card in visible(page.locator(".gc-card")).all():
        text, ground = (card.evaluate(PAINTED, name) for name in ("color", "backgroundColor"))
        assert ground[-1] == OPAQUE
        assert is_dark(ground) == (theme == "dark")
        assert is_dark(text) == (theme == "light")
        for picture in visible(card.locator("img")).all():
            corner = picture.evaluate(CORNER)
            assert corner[-1] == OPAQUE
            assert is_dark(corner) == (theme == "dark")


def is_dark(color):
    """Return whether a colour is closer to black than to white."""
    return sum(color[:3]) < 1.5 * 255


def copy_first_check(path):
    """Copy the first tutorial without its committed outputs."""
    notebook = json.loads(FIRST_CHECK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def write_notebook(path, cells):
    """Write a notebook with these code cells."""
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
