"""Run the tutorials as they are committed, with static cards, and with their exercises solved.

Run it as ``python tests/support/tutorials.py [path ...]`` to write the outputs of all (or some).
"""

import re
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from nbclient import NotebookClient
from traitlets import Type

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TUTORIALS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))

CHECK = "application/vnd.gradcheck+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
# The code in a collapsed part of the text.
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)\n```.*?</details>", flags=re.DOTALL)


class ShellChannel(AsyncZMQSocketChannel):
    """A channel on which no answer is missed.

    While nbclient waits for the answer to a cell with `interact`, it sends what that shows back to
    the kernel. That takes the signal for an answer that has just come, which was then found only
    when the time limit of the cell had passed: in one of fifteen runs, 300 s later.
    """

    def send(self, message):
        super().send(message)
        # Looking for answers also wakes whoever waits for one.
        self.socket.get(zmq.EVENTS)


class KernelClient(AsyncKernelClient):
    shell_channel_class = Type(ShellChannel)


def read(path):
    return nbformat.read(path, as_version=4)


def exercises(notebook):
    """Return the positions of the cells that the reader should fix, each with its solution."""
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
    """Return a copy that goes on by solving one exercise after another.

    Its end repeats each exercise, solved as the text says, with the cells that follow it up to the
    next one. So one run, in one kernel, shows what is wrong and that it can be fixed.
    """
    copy = nbformat.from_dict(notebook)
    solutions = exercises(notebook)
    for position, following in parts(notebook):
        again = nbformat.from_dict(notebook).cells[position:following]
        again[0].source = solutions[position]
        copy.cells += again
    return copy


def parts(notebook):
    """Return the position of each exercise, with that of the next one or of the end."""
    positions = sorted(exercises(notebook))
    return list(pairwise([*positions, len(notebook.cells)]))


def executed(notebook, python=None, folder=NOTEBOOKS, **variables):
    """Run a notebook in a kernel, and return it with its new outputs.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook to run; it is not changed.
    python : str or Path, optional
        The Python whose kernel runs it; by default, this one.
    folder : Path
        The folder in which it runs.
    **variables : str
        The whole environment of the kernel; by default, that of this process.
    """
    client = NotebookClient(
        nbformat.from_dict(notebook),
        timeout=300,
        record_timing=False,
        # GitHub and nbviewer can show only cards that are not live.
        extra_arguments=["--GradcheckMagics.display=static"],
        resources={"metadata": {"path": str(folder)}},
    )
    manager = client.create_kernel_manager()
    manager.client_factory = KernelClient
    if python is not None:
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        manager.kernel_spec.argv = command
    done = client.execute(**({"env": variables} if variables else {}))
    done.metadata = notebook.metadata
    for cell in done.cells:
        if cell.cell_type == "code":
            # An output that is only a widget helps only those who run the notebook.
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]
    return done


def checks(cell):
    """Return the results in a cell's cards, in the form of `GradientCheck.to_dict`."""
    return [
        output.data[CHECK] for output in cell.get("outputs", []) if CHECK in output.get("data", {})
    ]


def said(cell):
    """Return the verdict and the causes that each card of a cell names."""
    return [
        (check["verdict"], [(d["cause"], *d["names"]) for d in check["diagnoses"]])
        for check in checks(cell)
    ]


def see_it_says_what_it_said(committed, now):
    """Assert that every card names the same verdict and causes as the committed one."""
    for before, after in zip(committed.cells, now.cells[: len(committed.cells)], strict=True):
        assert said(after) == said(before), before.source


def see_exercises(committed, now):
    """Assert that, by its cards, each exercise is wrong, and correct with its solution."""
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
        # Some checks below the exercise are stopped on purpose.
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
