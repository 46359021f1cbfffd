"""Take the README's pictures: the card in a real JupyterLab, in five situations, light and dark.

Run it as ``python tests/support/pictures.py``; it writes them to notebooks/images.
"""

import sys
import tempfile
from pathlib import Path

from browser import choose, chromium, expect, opened, write_notebook
from lab_server import lab_server

SUPPORT = Path(__file__).parent
IMAGES = SUPPORT.parents[1] / "notebooks" / "images"
# Wide enough for the card to show all its parts side by side.
WINDOW = {"width": 1500, "height": 6000}
THEMES = {"": "JupyterLab Light", "-dark": "JupyterLab Dark"}

SETUP = f"""
import sys
sys.path.insert(0, {str(SUPPORT)!r})
import numpy as np
from networks import ClassicExercise, Network
%load_ext gradcheck_magic
exercise = ClassicExercise()
"""
SITUATIONS = {
    "correct": """
params, cost_function = exercise.params, exercise.cost
right = exercise.grads()
%gradcheck -g right
""",
    "bug": """
%%gradcheck
A1, A2, A3 = exercise.forward(params)
dZ3 = (A3 - exercise.Y) / 3
dW3, db3 = dZ3 @ A2.T, dZ3.sum(axis=1, keepdims=True)
dZ2 = (params["W3"].T @ dZ3) * (A2 > 0)
dW2 = 2 * dZ2 @ A1.T
db2 = dZ2.sum(axis=1, keepdims=True)
dZ1 = (params["W2"].T @ dZ2) * (A1 > 0)
dW1 = dZ1 @ exercise.X.T
db1 = 4 * dZ1.sum(axis=1, keepdims=True)
grads = {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}
""",
    # The gradient uses 3.14159 for π, which is almost correct.
    "inspect": """
circle = {"angle": np.linspace(0.1, 1.4, 12), "radius": np.linspace(1.0, 2.0, 12)}
def length(p):
    return np.mean(p["radius"] * np.sin(np.pi * p["angle"]))
wave = np.pi * circle["angle"]
slopes = {
    "angle": 3.14159 * circle["radius"] * np.cos(wave) / 12,
    "radius": np.sin(wave) / 12,
}
%gradcheck -p circle -g slopes -c length
""",
    "inconclusive": """
def offset(p):
    return exercise.cost(p) + 1e13
%gradcheck -g right -c offset
""",
    "scan": """
net = Network.large("tanh", seed=0)
off = net.grads()
off["W2"][601, 17] *= 1.5
%gradcheck -p net.params -g off -c net.cost
""",
}
CLOSER = "closer"


def main():
    with chromium(viewport=WINDOW, device_scale_factor=1.5) as browser:
        for suffix, theme in THEMES.items():
            with tempfile.TemporaryDirectory() as home, lab_server(Path(home), theme) as server:
                write_notebook(server.folder / "cards.ipynb", [SETUP, *SITUATIONS.values()])
                take(browser, server, suffix)


def take(browser, server, suffix):
    """Take a picture of every card, and of one with a close-up below it."""
    with opened(browser, server, "cards.ipynb") as page:
        choose(page, "Run", "Run All Cells")
        cards = page.locator(".gc-box:has(.gc-controls)")
        expect(cards).to_have_count(len(SITUATIONS))
        for card, name in zip(cards.all(), SITUATIONS, strict=True):
            card.screenshot(path=IMAGES / f"{name}{suffix}.png")
        bug = cards.nth(list(SITUATIONS).index("bug"))
        bug.locator("table").get_by_role("button", name="W2", exact=True).click()
        bug.get_by_role("button", name="Draw step curve").click()
        bug.locator(".gc-curve").wait_for()
        bug.screenshot(path=IMAGES / f"{CLOSER}{suffix}.png")


if __name__ == "__main__":
    sys.exit(main())
