"""What a user does with a live card: look closer, draw a step curve, check again."""

# All tests run in JupyterLab and in Notebook 7.

import re

import pytest
from browser import choose, expect, opened, visible, write_notebook

NOTEBOOK = [
    "%load_ext gradcheck_magic",
    """
import numpy as np

random = np.random.default_rng(0)
X, Y = random.normal(size=(20, 4)), random.normal(size=(20, 3))
params = {"W": random.normal(size=(4, 3)), "b": random.normal(size=3)}

def cost_function(p):
    return np.mean((np.tanh(X @ p["W"] + p["b"]) - Y) ** 2)

def backward(p):
    A = np.tanh(X @ p["W"] + p["b"])
    dZ = 2 * (A - Y) * (1 - A**2) / Y.size
    return {"dW": X.T @ dZ, "db": dZ.sum(axis=0)}

grads = backward(params)
grads["dW"][2, 1] *= -1
""",
    "%gradcheck",
    "%gradcheck --only b",
    # Shows what was typed or chosen last, as the kernel knows it.
    """
from ipywidgets import HTML
from ipywidgets.widgets import widget as _widget

known = HTML("<p class='known'></p>")

def show(change):
    known.value = f"<p class='known'>{change['new']}</p>"

for w in list(_widget._instances.values()):
    if getattr(w, "description", "") in ("Entry", "ε", "Mode"):
        w.observe(show, "value")
known
""",
    "grads = backward(params)",
    "params['W'] += 0.1",
    """
import time

quick = cost_function

def cost_function(p):
    time.sleep(1)  # long enough for whoever interrupts it, on any machine
    return quick(p)

before = {name: array.tobytes() for name, array in params.items()}
""",
    """
print("unchanged:", before == {name: array.tobytes() for name, array in params.items()})
cost_function = quick
""",
    "del grads",
]
WRONG, RIGHT, KNOWN, MEND, MOVE, SLOW, QUICK, LOSE = range(2, 10)


@pytest.fixture(scope="module", params=["lab", "notebook"])
def page(request, browser, server):
    """Yield the notebook, with two cards of the same names."""
    write_notebook(server.folder / "closer.ipynb", NOTEBOOK)
    with opened(browser, server, "closer.ipynb", app=request.param) as page:
        for position in range(RIGHT + 1):
            run(page, position)
        expect(visible(page.locator(".gc-live"))).to_have_count(2)
        # The controls are drawn after the card.
        expect(visible(page.get_by_label("Look closer at"))).to_have_count(2)
        run(page, KNOWN)
        yield page


def run(page, position):
    """Run a cell, and wait until it is done."""
    cell = page.locator(".jp-CodeCell").nth(position)
    cell.locator(".jp-InputArea").click()
    choose(page, "Run", "Run Selected Cell")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))


def box(page, position):
    """Return the live card of a cell, with its controls."""
    return page.locator(".jp-CodeCell").nth(position).locator(".gc-box")


def look_at(card, name):
    """Choose a parameter in the table."""
    card.locator("table").get_by_role("button", name=name, exact=True).click()
    expect(card.locator(".gc-close-up")).to_contain_text(name)


def enter(control, text):
    """Type a text, and wait until the kernel knows it: a button that is pressed may overtake it.

    ipykernel 7.4 handles values in a subshell, and buttons in the main shell.
    """
    control.fill(text)
    expect(control.page.locator(".known")).to_have_text(text)


def choose_mode(card, mode):
    card.get_by_label("Mode").select_option(mode)
    expect(card.page.locator(".known")).to_have_text(mode)


def test_a_parameter_is_chosen_in_the_table(page):
    """Its histogram, error map, scatter plot and worst entries are shown, in that card alone."""
    card = box(page, WRONG)
    look_at(card, "W")
    closer = card.locator(".gc-close-up")
    expect(visible(closer.locator("svg[role=img]"))).to_have_count(3)
    expect(closer.locator("tbody tr").first).to_contain_text("W[2, 1]")
    expect(box(page, RIGHT).locator(".gc-close-up")).to_have_count(0)
    look_at(card, "b")
    expect(closer.locator("tbody tr").first).to_contain_text("b[")


# What a button may say, from nothing to more than fits into its row.
STATUSES = ["", "Evaluating …", "A long message. " * 30]


def test_buttons_stay_where_they_are(page):
    """A status that comes and goes does not move its button, so that none escapes a click.

    Without a status, its row is no higher than the buttons.
    """
    card = box(page, RIGHT)
    look_at(card, "b")
    before = page.viewport_size
    for width in (before["width"], 700, 480):
        page.set_viewport_size({**before, "width": width})
        for i, name in enumerate(["Check again", "Draw step curve"]):
            button = card.get_by_role("button", name=name)
            status = card.locator(".gc-controls [role=status]").nth(i)
            expect(status).to_have_text("")
            assert status.bounding_box()["height"] == 0
            places = []
            for text in STATUSES:
                status.evaluate("(element, text) => { element.textContent = text }", text)
                places.append(button.bounding_box())
            assert places == [places[0]] * len(STATUSES)
            status.evaluate("element => { element.textContent = '' }")
    page.set_viewport_size(before)


def test_a_parameter_is_chosen_by_keyboard(page):
    """The buttons of the table and the list are reached with Tab, and say what is chosen."""
    card = box(page, RIGHT)
    button = card.locator("table").get_by_role("button", name="b", exact=True)
    button.focus()
    button.press("Enter")
    expect(card.locator(".gc-close-up")).to_contain_text("b[")
    chosen = card.get_by_label("Look closer at")
    expect(chosen.locator("option:checked")).to_have_text("✓ b")
    chosen.select_option("a parameter …")
    expect(visible(card.locator(".gc-close-up"))).to_have_count(0)


def test_step_curve(page):
    """A step curve can be drawn for the worst entry, which is proposed, and for any other."""
    card = box(page, WRONG)
    look_at(card, "W")
    entry = card.get_by_label("Entry", exact=True)
    expect(entry).to_have_value("W[2, 1]")
    card.get_by_role("button", name="Draw step curve").click()
    curve = card.locator(".gc-curve")
    expect(curve).to_contain_text("W[2, 1]")
    expect(curve.locator("svg[role=img]")).to_be_visible()
    enter(entry, "0, 0")
    card.get_by_role("button", name="Draw step curve").click()
    expect(curve).to_contain_text("W[0, 0]")
    for wrong, message in {"W[9, 9]": "9", "here": "expected an index, such as [0, 1]"}.items():
        enter(entry, wrong)
        card.get_by_role("button", name="Draw step curve").click()
        expect(card.locator(".gc-error")).to_contain_text(message)


def test_checked_again(page):
    """The check uses current values and new settings, and the static twin is updated as well."""
    card = box(page, WRONG)
    look_at(card, "W")
    run(page, MEND)
    choose_mode(card, "scan")
    card.get_by_role("button", name="Check again").click()
    expect(card.locator(".gc-verdict")).to_contain_text("Backpropagation is correct.")
    expect(card.locator(".gc-since")).to_contain_text("W fixed")
    expect(card).to_contain_text("scan of 15 entries")
    # The chosen parameter stays chosen.
    expect(card.locator(".gc-close-up")).to_contain_text("W 4 × 3")
    expect(card.get_by_label("Look closer at").locator("option:checked")).to_have_text("✓ W")
    static = page.locator(".jp-CodeCell").nth(WRONG).locator(".gc-static")
    expect(static).to_contain_text("Backpropagation is correct.")
    choose_mode(card, "full")
    enter(card.get_by_label("ε"), "1e-5")
    card.get_by_role("button", name="Check again").click()
    expect(card).to_contain_text("ε = 1e-05")


def test_theta_has_moved(page):
    """A step curve says so if θ has changed since the check."""
    card = box(page, RIGHT)
    look_at(card, "b")
    run(page, MOVE)
    card.get_by_role("button", name="Draw step curve").click()
    expect(card.locator(".gc-curve")).to_contain_text("Since the check, θ has changed")


def test_interrupted(page):
    """A check from the card is interrupted like any other; a second interrupt does no harm."""
    card = box(page, RIGHT)
    run(page, SLOW)
    choose_mode(card, "full")
    card.get_by_role("button", name="Check again").click()
    expect(card.locator(".gc-card.gc-running")).to_contain_text("evaluations")
    choose(page, "Kernel", "Interrupt Kernel")
    expect(card.locator(".gc-error")).to_contain_text("Interrupted")
    expect(card.locator(".gc-card .gc-diagnosis").first).to_contain_text("Interrupted: ")
    choose(page, "Kernel", "Interrupt Kernel")
    run(page, QUICK)
    unchanged = page.locator(".jp-CodeCell").nth(QUICK).locator(".jp-OutputArea-output")
    expect(unchanged).to_have_text("unchanged: True")


def test_what_goes_wrong_is_said_in_the_card(page):
    """The card stays, with one line that says what is wrong."""
    card = box(page, WRONG)
    verdict = card.locator(".gc-verdict").inner_text()
    enter(card.get_by_label("ε"), "small")
    card.get_by_role("button", name="Check again").click()
    expect(card.locator(".gc-error")).to_have_text(
        "`ε` is small: expected a positive number, such as 1e-7."
    )
    enter(card.get_by_label("ε"), "")
    run(page, LOSE)
    card.get_by_role("button", name="Check again").click()
    expect(card.locator(".gc-error")).to_contain_text("`grads` is not defined")
    expect(card.locator(".gc-verdict")).to_have_text(verdict)
