"""The card in Voila, which shows the outputs of a notebook and nothing else."""

import shutil

from browser import expect, require, visible
from exports import see_checks

require("voila")


def test_voila(browser, server, executed):
    """Voila runs the notebook, and shows each card once, live."""
    shutil.copy(executed, server.folder)
    page = browser.new_page()
    page.goto(server.url(f"voila/render/{executed.name}"))
    # The static cards are in the page from the start, and disappear when the live ones come.
    expect(visible(page.locator(".gc-card.gc-static"))).to_have_count(0)
    see_checks(page, "gc-live")
    page.close()
