"""The card in an exported notebook, without a kernel and without a network."""

import html
import json
import re

import pytest
from browser import visible
from exports import NAMES, SAYS, exported, see_checks


@pytest.mark.parametrize("has_state", [True, False])
def test_html(browser, executed, tmp_path, has_state):
    """Only the static card is shown, whether the page waits for a widget or not."""
    path = tmp_path / "checks.html"
    path.write_text(exported(executed, "HTMLExporter", has_state=has_state))
    page = browser.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(path.as_uri())
    see_checks(page, "gc-static")
    see_nothing_broken(page)
    page.close()


def test_markdown(executed):
    """The export contains the card, which can be read without its tags."""
    text = re.sub("<style>.*?</style>", "", exported(executed, "MarkdownExporter"))
    _, *cards = text.split('<div class="gc gc-card')
    words = [html.unescape(re.sub("<[^>]*>", "", card)) for card in cards]
    for text, (verdict, wrong) in zip(words, SAYS, strict=True):
        assert verdict in text
        assert "all 36 entries measured" in text
        assert wrong is None or f"{wrong} is " in text
        assert all(name in text for name in NAMES)


def test_latex(executed):
    """The export contains the whole text, with LaTeX's special characters escaped."""
    latex = exported(executed, "LatexExporter")
    assert r"W\_1\$" in latex
    printed = latex.replace("\\", "")
    for report, (verdict, wrong) in zip(reports(executed), SAYS, strict=True):
        assert verdict in report
        assert wrong is None or f"`{wrong}` is " in report
        assert [line for line in report.splitlines() if line not in printed] == []


def reports(notebook):
    """Return the reports in the outputs, as text."""
    cells = json.loads(notebook.read_text())["cells"]
    texts = ["".join(out["data"]["text/plain"]) for cell in cells for out in cell["outputs"]]
    return list(filter(None, texts))


def see_nothing_broken(page):
    """Assert that the outputs have nothing but cards, and that no picture is missing."""
    outputs = visible(page.locator(".jp-OutputArea-output"))
    others = outputs.filter(has_not=page.locator(".gc-card"))
    assert [text for text in others.all_inner_texts() if text.strip()] == []
    for image in visible(page.locator("img")).all():
        # Raises an error if the image has no picture.
        image.evaluate("image => image.decode()")
