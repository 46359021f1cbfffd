"""Take the README's pictures: the card in a real JupyterLab, light and dark.

Run it as ``python tests/pictures.py``; what it took is in notebooks/images.
"""

import shutil
import tempfile
from pathlib import Path

from browser import choose, chromium, opened
from lab_server import lab_server

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NOTEBOOK = NOTEBOOKS / "02_find_the_bugs.ipynb"
# Wide enough for the card to show all of it side by side.
WINDOW = {"width": 1500, "height": 4000}
THEMES = {"card": "JupyterLab Light", "card-dark": "JupyterLab Dark"}


def main():
    with chromium(viewport=WINDOW, device_scale_factor=1.5) as browser:
        for name, theme in THEMES.items():
            with tempfile.TemporaryDirectory() as home, lab_server(Path(home), theme) as server:
                shutil.copy(NOTEBOOK, server.folder)
                take(browser, server, NOTEBOOKS / "images" / f"{name}.png")


def take(browser, server, path):
    """Take the picture of the card that names the two bugs."""
    with opened(browser, server, NOTEBOOK.name) as page:
        choose(page, "Run", "Run All Cells")
        card = page.locator(".gc-live.gc-bug")
        card.wait_for()
        card.screenshot(path=path)


if __name__ == "__main__":
    main()
