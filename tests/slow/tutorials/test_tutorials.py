"""The tutorials say what they show, and their exercises can be solved."""

import pytest
from needed import require

require("nbclient")
from tutorials import TUTORIALS, WIDGET, checks, executed, exercises, read, solved  # noqa: E402

tutorials = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


@pytest.fixture
def runnable(path):
    """What a tutorial leaves out where it is missing is there, or the test is left out, too."""
    if path.stem == "06_custom_gradients":
        require("jax", "torch", hint="pip install jax torch")


def said(cell):
    """What each card of a cell comes down to."""
    return [
        (check["verdict"], [(d["cause"], *d["names"]) for d in check["diagnoses"]])
        for check in checks(cell)
    ]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@tutorials
def test_is_committed_with_its_cards(path):
    """In the order in which it ran, with nothing that GitHub would refuse or nbviewer not show."""
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [output for output in outputs if WIDGET in output.get("data", {})]
    cards = [output for cell in cells if checks(cell) for output in cell.outputs]
    assert any("data:image/png" in output.get("data", {}).get("text/html", "") for output in cards)


@tutorials
@pytest.mark.usefixtures("runnable")
def test_says_what_it_said(path):
    """Run again, every card comes to what the committed one says."""
    committed = read(path)
    for before, now in zip(committed.cells, executed(committed).cells, strict=True):
        assert said(now) == said(before), before.source


@tutorials
@pytest.mark.usefixtures("runnable")
def test_exercises(path):
    """What the reader is to mend is wrong, and right with the solution: the cards say so."""
    committed = read(path)
    after = executed(solved(committed)).cells
    positions = sorted(exercises(committed))
    assert positions
    for position, following in zip(positions, [*positions[1:], None], strict=True):
        before, now = (
            [check["verdict"] for cell in cells[position:following] for check in checks(cell)]
            for cells in (committed.cells, after)
        )
        assert before[0] != "CORRECT"
        assert now[0] == "CORRECT"
        # Some checks below are stopped on purpose.
        assert not {"BUG", "INSPECT"} & set(now)
