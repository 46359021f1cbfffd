"""A notebook with three checks, executed once, and its exports by nbconvert."""

import importlib
import subprocess
import sys

from browser import expect, visible, write_notebook
from lab_server import PATIENCE, environment

# Names that a careless program would read as HTML, Markdown or LaTeX.
EVIL = "<b>x</b><script>window.isRun = true</script>"
NAMES = ("W_1$", "100%_$b$", EVIL)
CHECKS = [
    "%load_ext gradcheck_magic",
    f"""
import numpy as np

random = np.random.default_rng(0)
params = {{name: random.normal(size=(3, 4)) for name in {NAMES!r}}}

def cost_function(params):
    return sum(np.sum(np.sin(values)) for values in params.values())

def backward(**factors):
    return {{name: factors.get(name, 1) * np.cos(params[name]) for name in params}}
""",
    "%%gradcheck\ngrads = backward()",
    f"%%gradcheck\ngrads = backward(**{{{NAMES[0]!r}: 20}})",
    f"%%gradcheck\ngrads = backward(**{{{EVIL!r}: -1}})",
]
RIGHT, WRONG = "Backpropagation is correct.", "There is a bug in backpropagation."
# What each check says: its verdict, and the name of the wrong parameter.
SAYS = [(RIGHT, None), (WRONG, NAMES[0]), (WRONG, EVIL)]


def execute(folder, cells=CHECKS, name="checks.ipynb"):
    """Execute the notebook, or one with other cells, in its own process, and return its path."""
    write_notebook(folder / name, cells)
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to=notebook", "--inplace"]
    subprocess.run(
        [*command, folder / name],
        check=True, timeout=PATIENCE, env=environment(folder), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / name


def exported(notebook, exporter, *, has_state=True, **options):
    """Return the notebook's export, with or without the state of its widgets."""
    nbconvert = importlib.import_module("nbconvert")
    nbformat = importlib.import_module("nbformat")
    node = nbformat.read(notebook, as_version=4)
    if not has_state:
        del node.metadata["widgets"]
    return getattr(nbconvert, exporter)(**options).from_notebook_node(node)[0]


def see_checks(page, kind):
    """Assert that each check has one card, with its verdict, difference and picture."""
    cards = visible(page.locator(".gc-card"))
    expect(cards).to_have_count(len(SAYS))
    expect(visible(page.locator(f".gc-card.{kind}"))).to_have_count(len(SAYS))
    for card, (verdict, name) in zip(cards.all(), SAYS, strict=True):
        expect(card.locator(".gc-verdict")).to_contain_text(verdict)
        assert (float(card.locator(".gc-difference").inner_text()) < 1e-7) == (name is None)
        expect(visible(card.locator(".gc-picture :is(img, svg)"))).to_have_count(1)
        expect(card.locator(".gc-diagnosis")).to_contain_text([name] if name else [])
        for each in NAMES:
            expect(card.locator(".gc-tables")).to_contain_text(each)
    assert page.evaluate("window.isRun") is None
