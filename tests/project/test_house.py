"""The house keeps its order: imports between its rooms go one way, and the standards hold."""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gradcheck_magic"
MODULES = sorted(PACKAGE.rglob("*.py"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

# Each room, and each module beside the rooms, imports only from those before it.
ORDER = [
    "_wording", "errors", "_result", "_inputs", "_cost", "_measure", "_diagnosis", "_backward",
    "check", "_report", "_notebook", "demo", "__main__", "__init__",
]  # fmt: skip
ROOMS = [name for name in ORDER if (PACKAGE / name).is_dir()]
# The one import from a package above: a result imports its renderers when it is shown.
UPWARDS = {("_result/display.py", "_report.show")}
# The files that may import each package, besides the standard library and NumPy.
ALLOWED = {
    "cloudpickle": {"_cost/workers.py"},
    "IPython": {
        "_notebook/cells.py", "_notebook/completion.py", "_notebook/live_card.py",
        "_notebook/magic.py", "_notebook/plain_cards.py", "__main__.py", "__init__.py",
    },
    "ipywidgets": {"_notebook/controls.py", "_notebook/live_card.py"},
    "loky": {"_cost/workers.py"},
    "matplotlib": {
        "_report/canvas.py", "_report/close_up_figures.py", "_report/figures.py",
        "_report/show.py", "_result/gradient_check.py",
    },
    "traitlets": {"_notebook/magic.py", "__main__.py"},
}  # fmt: skip


def place(path):
    """Return the place of a module, as CONTRIBUTING writes it: ``_cost/noise.py``."""
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Yield every module that a file imports anywhere, with the names imported from it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module, tuple(alias.name for alias in node.names)


def ours(path):
    """Yield each module of this package that a file imports, as ``_cost.noise``."""
    for module, names in imports(path):
        if module.partition(".")[0] != "gradcheck_magic":
            continue
        inside = module.partition(".")[2]
        found = [f"{inside}.{name}".strip(".") for name in names]
        modules = [name for name in found if module_path(name)]
        yield from modules or [inside or "__init__"]


def module_path(name):
    """Return the file of a module such as ``_cost.noise``; None if there is no such module."""
    path = PACKAGE / (name.replace(".", "/") + ".py")
    return path if path.is_file() else None


def test_few_rooms():
    """There are at most eight rooms and eight files beside them; each room describes its files."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    beside = [path for path in PACKAGE.iterdir() if path.is_file()]
    assert rooms == set(ROOMS)
    assert len(rooms) <= 8
    assert len(beside) <= 8
    assert {path.stem for path in beside if path.suffix == ".py"} == set(ORDER) - rooms
    for room in rooms:
        paragraph = ast.get_docstring(tree(PACKAGE / room / "__init__.py"))
        named = set(re.findall(r"`(\w+\.(?:py|css))`", paragraph))
        inside = {path.name for path in (PACKAGE / room).iterdir() if path.is_file()}
        assert inside - {"__init__.py"} <= named, f"{room}/__init__.py leaves out a file"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_import_order(path):
    """A module imports from its own room and from those before it."""
    own = place(path).removesuffix(".py").partition("/")[0]
    for module in ours(path):
        room = module.partition(".")[0]
        is_below = ORDER.index(room) < ORDER.index(own) or room == own
        assert is_below or (place(path), module) in UPWARDS, f"{place(path)} imports {module}"
    for module, _ in imports(path):
        package = module.partition(".")[0]
        if package not in sys.stdlib_module_names | {"numpy", "gradcheck_magic"}:
            assert place(path) in ALLOWED[package], f"{place(path)} imports {package}"


def test_no_circle():
    """No module imports itself through others, apart from the one import upwards."""
    graph = {
        place(path): {
            place(module_path(module) or PACKAGE / module / "__init__.py")
            for module in ours(path)
            if (place(path), module) not in UPWARDS
        }
        for path in MODULES
    }
    # Raises CycleError, which names the modules of a circle.
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_constants_have_one_definition_and_a_reason():
    """No two modules define a constant of the same name, and a comment explains each number."""
    places, unexplained = defaultdict(set), []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        explained = False
        for node in tree(path).body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)):
                explained = False
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            names = [name for name in names if name.isupper()]
            above = lines[node.lineno - 2].startswith("#")
            # One comment may explain several lines below it.
            follows = explained and bool(lines[node.lineno - 2].strip())
            explained = above or follows
            for name in names:
                places[name].add(place(path))
            if names and is_number(node.value) and not explained:
                unexplained.append(f"{place(path)}: {names[0]}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
    assert unexplained == []


def is_number(value):
    """Return whether a constant is a number, or several numbers."""
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return all(
        isinstance(getattr(part, "operand", part), ast.Constant)
        and isinstance(getattr(part, "operand", part).value, (int, float))
        for part in parts
    )


def test_all_lists_what_others_use():
    """Every name that another module imports is in `__all__`."""
    for path in MODULES:
        for module, names in imports(path):
            target = module_path(module.removeprefix("gradcheck_magic").strip("."))
            if target is None:
                continue
            offered = set(all_of(target))
            assert set(names) <= offered, f"{place(path)} imports {set(names) - offered}"


def all_of(path):
    """Return `__all__` of a module."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_standards(command):
    """ruff and mypy report nothing."""
    pytest.importorskip(command[0])
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("encoding", "right", "wrong"), [("utf-8", "✓", "✗"), ("ascii", "OK", "X")]
)
def test_main_job(encoding, right, wrong):
    """`python -m gradcheck_magic` finds the planted bug, in a real shell."""
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck_magic"],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
    )
    assert f"{right} Backpropagation is correct." in done.stdout
    assert f"{wrong} There is a bug in backpropagation." in done.stdout
    assert "`dW2` is 100.0 times the numerical gradient, in all 80 entries" in done.stdout
    assert "and `X.shape[0]` is 100: was the mean over the examples forgotten?" in done.stdout
    assert "jupyter lab notebooks/01_first_check.ipynb" in done.stdout


def block_after(heading):
    """Return the lines of the first code block after a heading of CONTRIBUTING."""
    return CONTRIBUTING.split(heading)[1].split("```")[1].splitlines()[1:]


def test_picture_of_the_house_is_true():
    """CONTRIBUTING lists every file of the package, in its room, and nothing else."""
    listed, folders = [], []
    for line in block_after("## The house"):
        depth = (len(line) - len(line.lstrip())) // 2
        if depth:
            name = line.split()[0]
            folders[depth - 1 :] = [name] if name.endswith("/") else []
            listed += [] if name.endswith("/") else ["".join(folders) + name]
    inside = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    rooms = {place(path) for path in PACKAGE.glob("*/**/__init__.py")}
    assert sorted(listed) == sorted({place(path) for path in inside} - rooms)


def rows_after(heading):
    """Return the cells of the first table after a heading of CONTRIBUTING."""
    table = CONTRIBUTING.split(heading)[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


QUESTIONS = [row for row in rows_after("### Where is …?") if len(row) == 3]


@pytest.mark.parametrize(("what", "where", "name"), QUESTIONS, ids=[row[0] for row in QUESTIONS])
def test_answers_are_true(what, where, name):
    """Everything is where CONTRIBUTING says it is."""
    path = PACKAGE / where.strip("`")
    assert name.strip("`") in all_of(path), what


def test_enough_questions():
    assert len(QUESTIONS) == 26


def test_files_to_touch_are_there():
    """Every file exists that CONTRIBUTING names for adding something."""
    rows = rows_after("### To add …")
    assert len(rows) == 6
    for _, files in rows:
        for name in re.findall(r"`([\w/.]+)`", files):
            assert any((base / name).exists() for base in (PACKAGE, ROOT, ROOT / "tests/corpus",
                       PACKAGE / "_diagnosis")), name  # fmt: skip
