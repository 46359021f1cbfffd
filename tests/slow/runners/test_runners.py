"""Notebooks in CI: every runner is red when it should be, and one line says why.

Each run takes a process and a kernel of its own, because most runners stop at an error. So not
every runner runs every notebook: each runner has a green one and a red one, and each notebook has
two of them. nbconvert, which takes twice as long as the others, has only a few. However a check
becomes strict, it looks the same to each runner: `tests/notebook` has the other ways.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from browser import require, write_notebook
from lab_server import PATIENCE, environment

from gradcheck_magic import GradientCheckFailed, check_gradients

require("nbclient", "nbconvert", "nbmake", "nbval", "papermill")

NOTEBOOK = "check.ipynb"
RUNNERS = {
    # The command of nbclient, which nbconvert, papermill and nbmake are built on.
    "nbclient": ["jupyter", "execute", NOTEBOOK],
    "nbconvert": ["nbconvert", "--execute", "--to=notebook", NOTEBOOK],
    "papermill": ["papermill", "--no-progress-bar", NOTEBOOK, "executed.ipynb"],
    "nbmake": ["pytest", "-p", "nbmake.pytest_plugin", "--nbmake", NOTEBOOK],
    "nbval": ["pytest", "-p", "nbval.plugin", "--nbval-lax", NOTEBOOK],
}
# pytest would load all plugins that are installed, which takes as long as running the notebook.
ONE_PLUGIN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
NETWORK = """
import signal

params, grads, wrong = {"w": 3.0}, {"dw": 6.0}, {"dw": -6.0}
calls = []

def cost_function(params):
    return params["w"] ** 2

def interrupting_cost(params):
    calls.append(params)
    if len(calls) == 5:
        signal.raise_signal(signal.SIGINT)
    return cost_function(params)
"""


def failed():
    """Return the one line that a failing check shows."""
    check = check_gradients({"w": 3.0}, {"dw": -6.0}, lambda params: params["w"] ** 2)
    with pytest.raises(GradientCheckFailed) as error:
        check.raise_if_failed()
    return f"GradientCheckFailed: {error.value}"


@dataclass(frozen=True)
class Outcome:
    """A notebook and its expected outcome.

    Attributes
    ----------
    cells : list of str
        The cells of the notebook.
    error : str or None
        The one line that says why it is red; None if it is green.
    project : str
        Our table in its `pyproject.toml`.
    ci : str
        The value of the variable CI.
    runners : str
        The names of the runners that run it.
    """

    cells: list[str]
    error: str | None = None
    project: str = ""
    ci: str = "true"
    runners: str = "nbclient"


FAILED = failed()
OFF = (
    "InputError: gradcheck is off, but this check is strict: %config GradcheckMagics.enabled = "
    "True turns it on; with --no-strict, nothing is checked."
)
IN_CI = '%config GradcheckMagics.strict = "ci"'
OUTCOMES = {
    "green": Outcome(
        ["%gradcheck -q --strict", IN_CI, "%gradcheck -g wrong"], ci="", runners=" ".join(RUNNERS)
    ),
    "strict in CI": Outcome(
        ["%gradcheck -g wrong"], FAILED, project='strict = "ci"', runners="nbmake nbval"
    ),
    "variable missing": Outcome(
        ["%gradcheck -g nowhere"],
        "InputError: `nowhere` is not defined: assign it before the check, or name what to use "
        "with --grads.",
        runners="nbclient papermill",
    ),
    "error in the cell": Outcome(
        ["%%gradcheck\n1 / 0"], "ZeroDivisionError: division by zero", runners="nbconvert nbval"
    ),
    "interrupted": Outcome(
        ["%gradcheck -q -c interrupting_cost"],
        "Gradient check interrupted: 0 of 1 entries were checked; the parameters are as they were "
        "before.",
        runners="papermill nbmake",
    ),
    "wrong after a later cell": Outcome(
        ["%gradcheck --watch --strict", "z = 1", "grads = wrong"],
        f"{FAILED} `_gradcheck` shows the card.",
        runners="nbclient nbmake nbval",
    ),
    "wrong after a later cell with an await": Outcome(
        [
            "%gradcheck --watch -q",
            "import asyncio\ngrads = wrong\nawait asyncio.sleep(0)",
        ],
        f"{FAILED} `_gradcheck` shows the card.",
        project='strict = "ci"',
        runners="nbconvert papermill",
    ),
    "parameters updated alone": Outcome(
        ["%gradcheck --watch --strict", "params['w'] -= 0.1 * grads['dw']"],
        "InputError: `params` have changed since `grads` was computed: compute `grads` in the same "
        "cell, or end the watch before (--unwatch).",
        runners="nbmake papermill",
    ),
    "switched off": Outcome(
        ["%config GradcheckMagics.enabled = False", "%gradcheck -g wrong"],
        OFF,
        project='strict = "ci"',
        runners="nbclient nbval",
    ),
    "switched off by the project": Outcome(
        ["%gradcheck -q --strict"], OFF, project="enabled = false", runners="nbclient nbmake"
    ),
    "switched off, not in CI": Outcome(
        ["%gradcheck -g wrong", "%gradcheck --watch", "grads = wrong"],
        project='enabled = false\nstrict = "ci"',
        ci="",
        runners="nbclient nbval",
    ),
}
TABLE = {
    f"{name}, {runner}": (outcome, runner)
    for name, outcome in OUTCOMES.items()
    for runner in outcome.runners.split()
}


def test_the_table():
    """Each runner is seen green and red, and each notebook by two."""
    seen = {(runner, outcome.error is None) for outcome, runner in TABLE.values()}
    assert seen == {(runner, is_green) for runner in RUNNERS for is_green in (True, False)}
    assert all(len(outcome.runners.split()) >= 2 for outcome in OUTCOMES.values())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start all runs, two at a time."""
    home = tmp_path_factory.mktemp("runners")
    variables = {**environment(home), **ONE_PLUGIN}
    with ThreadPoolExecutor(max_workers=2) as executor:
        yield {
            name: executor.submit(run, outcome, RUNNERS[runner], home / name, variables)
            for name, (outcome, runner) in TABLE.items()
        }
        executor.shutdown(cancel_futures=True)


def run(outcome, command, folder, variables):
    """Run a notebook, and return the finished process."""
    folder.mkdir()
    write_notebook(folder / NOTEBOOK, ["%load_ext gradcheck_magic", NETWORK, *outcome.cells])
    if outcome.project:
        (folder / "pyproject.toml").write_text(f"[tool.gradcheck_magic]\n{outcome.project}\n")
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env={**variables, "CI": outcome.ci}, timeout=PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_outcome(runs, name):
    done = runs[name].result()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    outcome, _ = TABLE[name]
    assert (done.returncode == 0) == (outcome.error is None), shown
    assert outcome.error is None or outcome.error in shown.splitlines(), shown
    # Nobody wants to see the lines inside this package.
    assert not re.search(r"gradcheck_magic[/\\]\w+\.py", shown), shown
