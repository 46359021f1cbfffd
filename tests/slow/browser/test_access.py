"""The card is for everybody: by keyboard, for screen readers, on dark and light, and on paper."""

import json
import shutil

import pytest
from browser import CORNER, OPAQUE, PAINTED, choose, expect, opened, require, see_theme, visible
from exports import exported, see_checks

require("axe_playwright_python")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402 (once it is known to be there)

# What is around a static card: it gives the theme, and paints the background.
HOSTS = {
    "light": "<html><body>",
    "docs, dark": '<html data-theme="dark"><body style="background:#1c1c1c;color:#ddd">',
    "marimo, dark": """<html><body class="dark dark-theme" data-theme="dark" style="
        background:#181c1a;color:#eceeed">""",
    "Colab, light": '<html><body style="background:#fff;color:#212121">',
    "Colab, dark": '<html theme="dark"><body style="background:#383838;color:#d5d5d5">',
    "VS Code, light": """<html><body class="vscode-light" style="
        --vscode-editor-background:#fff;--vscode-editor-foreground:#3b3b3b;
        background:var(--vscode-editor-background);color:var(--vscode-editor-foreground)">""",
    "VS Code, dark": """<html><body class="vscode-dark" style="
        --vscode-editor-background:#1f1f1f;--vscode-editor-foreground:#ccc;
        background:var(--vscode-editor-background);color:var(--vscode-editor-foreground)">""",
}
# A page of A4, in CSS pixels.
PAPER = {"width": 720, "height": 1040}
BLACK, WHITE = [0, 0, 0, OPAQUE], [255, 255, 255, OPAQUE]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_exported(page, executed, theme):
    """axe finds nothing, and the entries behind a diagnosis can be reached by keyboard."""
    page.set_content(exported(executed, "HTMLExporter", has_state=False, theme=theme))
    see_checks(page, "gc-static")
    see_theme(page, theme)
    page.locator("body").press("Tab")
    open_fold(page)
    see_no_barrier(page)


def test_live(browser, server, executed):
    """The same is true of the live card, which follows JupyterLab's theme without another run."""
    shutil.copy(executed, server.folder)
    with opened(browser, server, executed.name) as page:
        choose(page, "Run", "Run All Cells")
        see_checks(page, "gc-live")
        see_theme(page, "light")
        for area in visible(page.locator(".jp-OutputArea")).all():
            assert right(visible(area.locator(".gc-card"))) <= right(area)
        prompts = page.locator(".jp-InputPrompt").all_inner_texts()
        visible(page.locator(".gc-verdict")).nth(1).click()
        open_fold(page)
        look_closer(page)
        see_no_barrier(page)
        choose(page, "Settings", "Theme", "JupyterLab Dark")
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
        assert page.locator(".jp-InputPrompt").all_inner_texts() == prompts
        see_theme(page, "dark")
        see_no_barrier(page)
        # The next test expects the light theme.
        choose(page, "Settings", "Theme", "JupyterLab Light")
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "true")
        see_theme(page, "light")


def test_untrusted_on_dark(browser, elsewhere, executed):
    """Without its styles, the card takes JupyterLab's colours, and the picture is on white."""
    shutil.copy(executed, elsewhere.folder)
    with opened(browser, elsewhere, executed.name) as page:
        see_checks(page, "gc-static")
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(0)
        for picture in visible(page.locator(".gc-picture img")).all():
            assert picture.evaluate(CORNER) == WHITE
        see_no_barrier(page)


def test_printed(page, executed):
    """On paper, the card is black on white even if the page is dark, and nothing is cut off."""
    page.set_content(exported(executed, "HTMLExporter", has_state=False, theme="dark"))
    see_theme(page, "dark")
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    see_theme(page, "light")
    card = page.locator(".gc-card").first
    assert card.evaluate(PAINTED, "color") == BLACK
    assert card.evaluate(PAINTED, "backgroundColor") == WHITE
    for tables in visible(page.locator(".gc-tables")).all():
        assert tables.evaluate("element => element.scrollWidth <= element.clientWidth")
    see_no_barrier(page)


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(page, executed, host):
    """In other front ends, the card paints text and background, and shows the right picture."""
    page.set_content(HOSTS[host] + "".join(static_cards(executed)))
    see_checks(page, "gc-static")
    see_theme(page, "dark" if "dark" in host else "light")
    see_no_barrier(page)


def right(element):
    """Return the right edge of an element."""
    box = element.bounding_box()
    return box["x"] + box["width"]


def see_no_barrier(page):
    """Assert that axe finds nothing, such as small text with a contrast below 4.5."""
    found = Axe().run(page, ".gc")
    assert found.violations_count == 0, found.generate_report()


def open_fold(page):
    """Go to the first fold that is a diagnosis with Tab, and open it with Enter."""
    fold = visible(page.locator("details.gc-diagnosis")).first
    rows = visible(fold.locator("tbody tr"))
    expect(rows).to_have_count(0)
    for _ in range(20):
        if fold.locator("summary:focus").count():
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(12)


def look_closer(page):
    """Show everything that a live card can show about a parameter."""
    card = page.locator(".gc-box").nth(1)
    card.locator("table .gc-pick").first.click()
    card.get_by_role("button", name="Draw step curve").click()
    expect(card.locator(".gc-curve")).to_be_visible()


def static_cards(notebook):
    """Return the HTML in the notebook's outputs."""
    cells = json.loads(notebook.read_text())["cells"]
    bundles = [output["data"] for cell in cells for output in cell["outputs"]]
    return ["".join(bundle.get("text/html", "")) for bundle in bundles]
