"""Results without IPython: in marimo, as an app and exported.

Both are shown by the same page of marimo's, so one of them is dark, and the other one light.
"""

import re
import subprocess
import sys
from contextlib import contextmanager
from importlib import resources
from urllib.request import urlopen

from browser import expect, require, see_theme, visible
from lab_server import HOST, PATIENCE, environment, free_port, is_running, stop, wait_until

require("marimo")

NOTEBOOK = """
# /// script
# [tool.marimo.display]
# theme = "{theme}"
# ///

import marimo

app = marimo.App()


@app.cell
def _():
    import numpy as np
    from gradcheck_magic import check_gradients, step_curve

    params = {{"W": np.linspace(-1, 1, 12).reshape(4, 3), "b": np.ones(3)}}
    grads = {{"dW": np.cos(params["W"]), "db": 2 * np.cos(params["b"])}}

    def cost(p):
        return np.sum(np.sin(p["W"])) + np.sum(np.sin(p["b"]))
    return check_gradients, cost, grads, params, step_curve


@app.cell
def _(check_gradients, cost, grads, params):
    check = check_gradients(params, grads, cost)
    check
    return (check,)


@app.cell
def _(check):
    check.close_up("b")
    return


@app.cell
def _(check, cost, grads, params, step_curve):
    step_curve(params, grads, cost, "W", (2, 1), check=check)
    return
"""
# What each card says, and the number of its pictures.
CARDS = [
    ("There is a bug in backpropagation.", 1),
    ("✗ wrong, 3 of 3", 3),
    ("The gradient is correct", 1),
]
# The address from which an exported page takes marimo's own files.
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/@marimo-team/frontend@[^/]*/dist/(?P<path>.*)")


def written(path, theme):
    """Return the path of the notebook, written with a theme."""
    path.write_text(NOTEBOOK.format(theme=theme), encoding="utf-8")
    return path


def test_app(page, tmp_path):
    """Each result at the end of a cell is a card, with its pictures, in marimo's theme."""
    with app_of(written(tmp_path / "checks.py", "dark")) as url:
        page.goto(url)
        see_cards(page, "dark")


def test_exported(page, tmp_path):
    """The exported page shows the same, without a kernel and without a network."""
    notebook = written(tmp_path / "checks.py", "light")
    export = marimo("export", "html", notebook, "--output", notebook.with_suffix(".html"))
    subprocess.run(export, check=True, timeout=PATIENCE, env=environment(notebook.parent))
    page.route(re.compile("^https?:"), fulfil)
    page.goto(notebook.with_suffix(".html").as_uri())
    see_cards(page, "light")


def marimo(*arguments):
    """Return a command of marimo's."""
    return [sys.executable, "-m", "marimo", *map(str, arguments)]


@contextmanager
def app_of(notebook):
    """Run a notebook as an app, yield its address, and stop it at the end."""
    url = f"http://{HOST}:{(port := free_port())}"
    options = ["--headless", "--no-token", "--host", HOST, "--port", port]
    log = notebook.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            marimo("run", notebook, *options),
            env=environment(notebook.parent), stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        wait_until("marimo answers", lambda: is_running(process, log) and is_up(url))
        yield url
    finally:
        stop(process)


def is_up(url):
    """Return whether marimo answers."""
    try:
        with urlopen(f"{url}/health", timeout=PATIENCE) as answer:  # noqa: S310 (our own server)
            return bool(answer.read())
    except OSError:
        return False


def fulfil(route):
    """Serve marimo's files from where it is installed, and nothing else."""
    found = CDN.fullmatch(route.request.url)
    file = resources.files("marimo") / "_static" / (found["path"] if found else "")
    if file.is_file():
        route.fulfill(path=str(file))
    else:
        route.abort()


def see_cards(page, theme):
    """Assert that each result has one card, with its text and its pictures."""
    cards = visible(page.locator(".gc-card"))
    expect(cards).to_have_count(len(CARDS))
    for card, (words, n_pictures) in zip(cards.all(), CARDS, strict=True):
        expect(card).to_contain_text(words)
        expect(visible(card.locator("img"))).to_have_count(n_pictures)
    see_theme(page, theme)
