"""The house keeps its order: imports go one way, and the standards hold."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gradcheck_magic"

# Each module imports only from those before it.
ORDER = [
    "errors", "interrupt", "memory", "libraries", "containers", "reads", "overlap", "parameters",
    "borrowed", "pairing", "fingerprint", "directions", "convention", "evaluation", "workers",
    "gradient_function", "noise", "cost", "analytic", "textbook", "ladder", "lockstep",
    "second_look", "finite_difference", "residuals", "sampling", "location", "scan", "measured",
    "comparison", "changes", "measurement",
    "mismatch", "cause", "readings", "recognition", "layers", "belonging", "stale",
    "broadcasting", "experiments", "sentences", "diagnosis", "findings", "scan_explanation",
    "explanation", "display", "check", "step_curve", "step_curve_report", "close_up",
    "error_histogram", "clock", "report", "text_style", "text_report", "drawing", "figures",
    "close_up_figures", "terminal", "close_up_card", "controls", "widget", "watch", "options",
    "option_line", "completion", "magic", "demo", "__main__", "__init__",
]  # fmt: skip
# How a result is shown is looked up when it is shown, inside the method that shows it.
UPWARDS = {
    ("check", "close_up"),
    ("check", "figures"),
    ("check", "report"),
    ("check", "text_report"),
    ("close_up", "close_up_card"),
    ("close_up", "text_report"),
    ("step_curve", "close_up_card"),
    ("step_curve", "step_curve_report"),
}
# Who may know whom, besides the standard library and NumPy.
ALLOWED = {
    "cloudpickle": {"workers"},
    "IPython": {"completion", "magic", "__main__", "__init__"},
    "ipywidgets": {"controls", "widget"},
    "loky": {"workers"},
    "matplotlib": {"drawing", "figures", "close_up_figures", "check"},
    "traitlets": {"magic", "__main__"},
}


def imports(path):
    """Yield every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module


def test_every_module_has_its_place():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_import_order(name):
    for module in imports(PACKAGE / f"{name}.py"):
        package, _, part = module.partition(".")
        if package == "gradcheck_magic":
            below = ORDER.index(part) < ORDER.index(name)
            assert below or (name, part) in UPWARDS, f"{name} imports {part}"
        elif package not in sys.stdlib_module_names | {"numpy"}:
            assert name in ALLOWED[package], f"{name} imports {package}"


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_standards(command):
    """ruff and mypy have nothing to say."""
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
    assert "and `X.shape[0]` is 100: a missing mean over the examples?" in done.stdout
    assert "jupyter lab notebooks/01_first_check.ipynb" in done.stdout
