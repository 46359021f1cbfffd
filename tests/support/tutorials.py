"""The tutorials: their exercises solved, and run as they are committed, with static cards.

Run it as ``python tests/support/tutorials.py [path ...]`` to write the outputs of all (or some).
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TUTORIALS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))

CHECK = "application/vnd.gradcheck+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
# The code in a collapsed part of the text.
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)\n```.*?</details>", flags=re.DOTALL)


def read(path):
    return nbformat.read(path, as_version=4)


def exercises(notebook):
    """Return the positions of the cells that the reader is to mend, each with its solution."""
    found, exercise = {}, None
    for position, cell in enumerate(notebook.cells):
        if "exercise" in cell.metadata.get("tags", []):
            assert exercise is None, f"the exercise in cell {exercise} has no solution below it"
            exercise = position
        elif cell.cell_type == "markdown" and exercise is not None:
            for solution in SOLUTION.findall(cell.source):
                found[exercise], exercise = solution, None
    assert exercise is None, f"the exercise in cell {exercise} has no solution below it"
    return found


def solved(notebook):
    """Return a copy of the notebook in which every exercise is solved as the text says."""
    copy = nbformat.from_dict(notebook)
    for position, solution in exercises(notebook).items():
        copy.cells[position].source = solution
    return copy


def executed(notebook):
    """Return the notebook with new outputs, run in a kernel, in the folder of the tutorials."""
    client = NotebookClient(
        nbformat.from_dict(notebook),
        timeout=300,
        record_timing=False,
        # A card that is not live is what GitHub and nbviewer can show.
        extra_arguments=["--GradcheckMagics.display=static"],
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    done = client.execute()
    done.metadata = notebook.metadata
    for cell in done.cells:
        if cell.cell_type == "code":
            # What is a widget and nothing else is there for those who run the notebook.
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]
    return done


def checks(cell):
    """Return what the cards in a cell's outputs say, as `GradientCheck.to_dict` does."""
    return [
        output.data[CHECK] for output in cell.get("outputs", []) if CHECK in output.get("data", {})
    ]


def main(paths):
    for path in paths or TUTORIALS:
        notebook = executed(read(path))
        nbformat.write(notebook, path)
        verdicts = [check["verdict"] for cell in notebook.cells for check in checks(cell)]
        print(f"{Path(path).name}: {', '.join(verdicts)}")  # noqa: T201 (it is a command)


if __name__ == "__main__":
    main(sys.argv[1:])
