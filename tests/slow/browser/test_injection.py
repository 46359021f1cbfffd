"""Names and sentences that would have an effect on a page, in every form of the card."""

import shutil

import pytest
from browser import choose, expect, opened, visible
from exports import execute, exported
from lab_server import wait_until
from payloads import PAYLOADS

from gradcheck_magic._wording import printable

CELLS = [
    "%load_ext gradcheck_magic",
    f"""
import numpy as np

params = {{name: np.array([1.0, 2.0]) for name in {list(PAYLOADS.values())!r}}}
grads = {{name: 3 * values for name, values in params.items()}}

def cost_function(p):
    return sum(values @ values for values in p.values()), None

cost_function.__name__ = {PAYLOADS["out of a style"]!r}
""",
    "%gradcheck",
    "%gradcheck",
    "%gradcheck --mode scan",
]
# Whatever is neither ours nor text: elements that run or load something, and typeset formulas.
FOREIGN = (
    "script, iframe, object, embed, a, form, [onload], [onerror], [onmouseover], [srcdoc], "
    "img[src='x'], mjx-container, .MathJax, .katex, [onclick]:not(.gc-pick)"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return the path of the notebook, executed."""
    return execute(tmp_path_factory.mktemp("hostile"), CELLS, "hostile.ipynb")


def see_text_alone(page, kind):
    """Assert that all checks are seen, that they show the names, and that nothing has run."""
    cards = visible(page.locator(f".gc-card.{kind}"))
    expect(cards).to_have_count(3)
    for card in cards.all():
        for name in PAYLOADS.values():
            expect(card.locator(".gc-tables")).to_contain_text(printable(name)[:60])
    see_nothing_foreign(page)


def see_nothing_foreign(page):
    expect(page.locator(".gc-card, .gc-box").locator(FOREIGN)).to_have_count(0)
    assert page.evaluate("window.isRun") is None
    assert page.title() != "isRun"


@pytest.mark.parametrize("template", ["lab", "classic"])
def test_exported(page, hostile, template):
    """The page typesets formulas, if there is a network; here is what it would typeset."""
    page.set_content(exported(hostile, "HTMLExporter", template_name=template))
    see_text_alone(page, "gc-static")
    assert page.locator(".gc-static:not(.mathjax_ignore.tex2jax_ignore)").count() == 0


def test_live(browser, server, hostile):
    """The live cards and what they draw are harmless, as are the static ones, trusted or not."""
    path = server.folder / hostile.name
    shutil.copy(hostile, path)
    before = path.read_bytes()
    with opened(browser, server, path.name) as page:
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(0)
        see_text_alone(page, "gc-static")
        choose(page, "Run", "Run All Cells")
        see_text_alone(page, "gc-live")
        box = page.locator(".gc-box").first
        for name in ("an image", "out of a style", "a link in a formula"):
            box.get_by_role("button", name=PAYLOADS[name], exact=True).click()
            expect(box.locator(".gc-close-up")).to_contain_text(PAYLOADS[name])
            box.get_by_text("Draw step curve").click()
            expect(box.locator(".gc-curve")).to_contain_text(PAYLOADS[name])
        see_nothing_foreign(page)
        choose(page, "File", "Save Notebook")
        wait_until("the notebook is saved", lambda: path.read_bytes() != before)
    with opened(browser, server, path.name) as page:
        expect(page.locator(".jp-mod-trusted .gc-static")).to_have_count(3)
        see_text_alone(page, "gc-static")
