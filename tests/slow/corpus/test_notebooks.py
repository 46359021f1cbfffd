"""Notebooks as people write them: each check is right, and finds the bug that is planted for it.

A notebook in `tests/corpus/notebooks` is in the percent format. A cell headed ``check: NAME`` is
checked as it stands, and again with its ``# bug: replace: OLD -> NEW`` in a cell before.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gradcheck_magic import InputError, Verdict

# People use it, whatever NumPy recommends.
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "corpus" / "notebooks").glob("*.py"))
CHECK, BUG = "check: ", "# bug: replace: "
# What is imported besides NumPy.
NEEDED = re.compile(r"^import (scipy|torch)", re.MULTILINE)
# Gradients of only some of the parameters, as the course has them, and what is said then.
RNN = (
    "`gradients` has no gradient for `Wya`: expected `dWya`, found `dx`, `da0`, `dWax`, `dWaa` and "
    "`dba`. If `Wya` needs none, check the others with --only Waa Wax ba (in Python, "
    "only=['Waa', 'Wax', 'ba'])."
)
LSTM = (
    "`gradients` has no gradient for `Wy`: expected `dWy`, found `dx`, `da0`, `dWf`, `dbf`, `dWi`, "
    "`dbi`, `dWc`, `dbc` and 2 more. If `Wy` needs none, check the others with --only Wf bf Wi bi "
    "Wo bo Wc bc (in Python, only=['Wf', 'bf', 'Wi', 'bi', 'Wo', 'bo', 'Wc', 'bc'])."
)
ONLY = {"dlai-rnn": RNN, "dlai-lstm": LSTM}


@dataclass(frozen=True)
class Cell:
    code: str
    # The name of the check, and what is replaced by what; of most cells, none.
    check: str = ""
    bug: tuple[str, str] = ("", "")


@cache
def cells_of(path):
    """Return the cells with code."""
    parts = re.split(r"(?m)^# %% ?(.*)$", path.read_text(encoding="utf-8"))
    found = []
    for head, code in zip(parts[1::2], parts[2::2], strict=True):
        lines = code.strip("\n").splitlines()
        if head.startswith(CHECK):
            (bug,) = (line.removeprefix(BUG) for line in lines if line.startswith(BUG))
            body = "\n".join(line for line in lines if not line.startswith(BUG))
            old, new = bug.replace("\\n", "\n").split(" -> ", 1)
            found.append(Cell(body, head.removeprefix(CHECK), (old, new)))
        elif head != "[markdown]":
            found.append(Cell("\n".join(lines)))
    return found


class Notebook:
    """A notebook whose cells run one after another."""

    def __init__(self, path):
        for package in set(NEEDED.findall(path.read_text(encoding="utf-8"))):
            pytest.importorskip(package)
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance()
        self.run("%load_ext gradcheck_magic\n%config GradcheckMagics.display = 'text'")

    def run(self, code):
        """Run a cell, and return the result of its check, or its error."""
        self.shell.user_ns.pop("_gradcheck", None)
        done = self.shell.run_cell(code, store_history=True)
        check = self.shell.user_ns.get("_gradcheck")
        return (done.error_before_exec or done.error_in_exec) if check is None else check

    def checked(self, cell):
        """Run a cell with a check; what is missing is left out, as is said."""
        result = self.run(cell.code)
        if cell.check in ONLY:
            assert isinstance(result, InputError)
            assert str(result) == ONLY[cell.check]
            (option,) = re.findall(r"--only [\w ]+\w", str(result))
            line, rest = cell.code.split("\n", 1)
            result = self.run(f"{line} {option}\n{rest}")
        return result

    def close(self):
        self.shell.run_line_magic("unload_ext", "gradcheck_magic")
        self.shell.history_manager.end_session()
        InteractiveShell.clear_instance()


@cache
def right(path):
    """Return the results of all checks of a notebook, in which every other cell works."""
    notebook, found = Notebook(path), {}
    for cell in cells_of(path):
        if cell.check:
            found[cell.check] = notebook.checked(cell)
        else:
            assert notebook.run(cell.code) is None, cell.code
    notebook.close()
    return found


CHECKS = [
    pytest.param(path, cell.check, id=f"{path.stem}-{cell.check}")
    for path in NOTEBOOKS
    for cell in cells_of(path)
    if cell.check
]


def test_there_are_many():
    names = [each.values[1] for each in CHECKS]
    assert len(NOTEBOOKS) == 6
    assert len(names) == len(set(names)) == 85
    assert ONLY.keys() <= set(names)


@pytest.mark.parametrize(("path", "name"), CHECKS)
def test_right(path, name):
    check = right(path)[name]
    assert getattr(check, "verdict", check) is Verdict.CORRECT


@pytest.mark.parametrize(("path", "name"), CHECKS)
def test_with_its_bug(path, name):
    cells = [cell for cell in cells_of(path) if not cell.check or cell.check == name]
    (at,) = (k for k, cell in enumerate(cells) if cell.check)
    old, new = cells[at].bug
    (where,) = (k for k, cell in enumerate(cells[:at]) if old in cell.code)
    notebook = Notebook(path)
    for k, cell in enumerate(cells[:at]):
        code = cell.code.replace(old, new) if k == where else cell.code
        assert notebook.run(code) is None, code
    check = notebook.checked(cells[at])
    notebook.close()
    assert getattr(check, "verdict", check) is Verdict.BUG
