"""The tutorials: their exercises solved, and run as they are committed, with static cards.

Run it as ``python tests/support/tutorials.py [path ...]`` to write the outputs of all (or some).
"""

import re
import sys
from itertools import pairwise
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


def with_solutions(notebook):
    """Return a copy after which the reader solves one exercise after another.

    At its end, each exercise stands once more, solved as the text says, with all that follows it up
    to the next one. So one run, in one kernel, shows what is wrong and that it can be fixed.
    """
    copy = nbformat.from_dict(notebook)
    solutions = exercises(notebook)
    for position, following in parts(notebook):
        again = nbformat.from_dict(notebook).cells[position:following]
        again[0].source = solutions[position]
        copy.cells += again
    return copy


def parts(notebook):
    """Return where each exercise stands, and where the next one does, or the end."""
    positions = sorted(exercises(notebook))
    return list(pairwise([*positions, len(notebook.cells)]))


def executed(notebook, python=None, folder=NOTEBOOKS, **variables):
    """Return the notebook with new outputs, run in a kernel, in the folder of the tutorials.

    Parameters
    ----------
    notebook : NotebookNode
        What is run; it is not changed.
    python : str or Path, optional
        Whose kernel runs it, instead of that of this Python.
    folder : Path
        Where it runs.
    **variables : str
        The whole environment of the kernel, instead of that of this process.
    """
    client = NotebookClient(
        nbformat.from_dict(notebook),
        timeout=300,
        record_timing=False,
        # A card that is not live is what GitHub and nbviewer can show.
        extra_arguments=["--GradcheckMagics.display=static"],
        resources={"metadata": {"path": str(folder)}},
    )
    if python is not None:
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        client.create_kernel_manager().kernel_spec.argv = command
    done = client.execute(**({"env": variables} if variables else {}))
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


def said(cell):
    """What each card of a cell comes down to."""
    return [
        (check["verdict"], [(d["cause"], *d["names"]) for d in check["diagnoses"]])
        for check in checks(cell)
    ]


def see_it_says_what_it_said(committed, now):
    """See every card come to what the committed one says."""
    for before, after in zip(committed.cells, now.cells[: len(committed.cells)], strict=True):
        assert said(after) == said(before), before.source


def see_exercises(committed, now):
    """See what the reader is to fix wrong, and right with the solution: the cards say so."""
    places = parts(committed)
    assert places
    solved = len(committed.cells)
    for position, following in places:
        length = following - position
        before, after = (
            [
                check["verdict"]
                for cell in now.cells[start : start + length]
                for check in checks(cell)
            ]
            for start in (position, solved)
        )
        solved += length
        assert before[0] != "CORRECT"
        assert after[0] == "CORRECT"
        # Some checks below are stopped on purpose.
        assert not {"BUG", "INSPECT"} & set(after)
    assert solved == len(now.cells)


def main(paths):
    for path in paths or TUTORIALS:
        notebook = executed(read(path))
        nbformat.write(notebook, path)
        verdicts = [check["verdict"] for cell in notebook.cells for check in checks(cell)]
        print(f"{Path(path).name}: {', '.join(verdicts)}")  # noqa: T201 (it is a command)


if __name__ == "__main__":
    main(sys.argv[1:])
