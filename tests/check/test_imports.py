"""What is imported, and when: NumPy alone until there is something to draw; and from odd places."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradcheck_magic

PACKAGE = Path(gradcheck_magic.__file__).parent
SHOWN = {"IPython", "ipywidgets", "matplotlib", "traitlets"}

CHECK = """
import numpy as np
from gradcheck_magic import *
x = np.array([3.0, 4.0])
check = check_gradients(x, {gradient} * x, lambda x: x @ x)
"""
RIGHT, WRONG = CHECK.format(gradient=2), CHECK.format(gradient=3)
IN_A_THREAD = f"""
import threading
thread = threading.Thread(target=exec, args=({RIGHT!r}, globals()))
thread.start()
thread.join()
assert check.passed
"""
CURVE = "curve = step_curve(x, 2 * x, lambda x: x @ x, 'params', 0)\n"

# What of ours each door imports beyond `import gradcheck_magic`.
# Whatever is shown, the door to all that shows is imported: it knows how without drawing.
DOOR = {"card", "histogram", "show", "step_curve_text", "text", "text_style", "words"}
TEXT = {"_report", *(f"_report.{name}" for name in DOOR)}
CARD = TEXT | {"_report.canvas", "_report.figures"}
CLOSE_CARD = CARD | {"_report.close_up_card", "_report.close_up_figures"}
LIGHT_DOORS = {
    "import": ("import gradcheck_magic", set()),
    "gradient_checking": (RIGHT + "gradient_checking(x, 2 * x, lambda x: x @ x)", set()),
    "check_gradients": (RIGHT, set()),
    "check_gradients, wrong": (WRONG, set()),
    "scan": (
        RIGHT + "assert check_gradients(x, 2 * x, lambda x: x @ x, mode='scan').passed",
        set(),
    ),
    "in a thread": (IN_A_THREAD, set()),
    "raise_if_failed": (
        WRONG + "try: check.raise_if_failed()\nexcept GradientCheckFailed: pass",
        set(),
    ),
    "to_dict": (RIGHT + "import json; json.dumps(check.to_dict())", set()),
    "repr": (RIGHT + "repr(check)", set()),
    "pickle": (RIGHT + "import pickle; assert pickle.loads(pickle.dumps(check))", set()),
    "print": (WRONG + "print(check)", TEXT),
    "text for a console": (RIGHT + "check._repr_mimebundle_(include={'text/plain'})", TEXT),
    "anything but HTML": (RIGHT + "check._repr_mimebundle_(exclude=['text/html'])", TEXT),
    "close_up": (RIGHT + "repr(check.close_up('params'))", set()),
    "print close_up": (RIGHT + "print(check.close_up('params'))", TEXT),
    "step_curve": (RIGHT + CURVE + "repr(curve)", set()),
    "print step_curve": (RIGHT + CURVE + "print(curve)", TEXT),
}
DRAWING_DOORS = {
    "to_html": (RIGHT + "check.to_html()", CARD),
    "figure": (RIGHT + "check.figure()", CARD),
    "mimebundle": (RIGHT + "check._repr_mimebundle_()", CARD),
    "close_up, HTML": (RIGHT + "check.close_up('params').to_html()", CLOSE_CARD),
    "step_curve, HTML": (RIGHT + CURVE + "curve.to_html()", CLOSE_CARD),
}
# Appended to the code of a door: what it has imported.
LISTED = """
import json, sys
names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
sys.stdout.write(chr(10) + json.dumps(names))
"""


def run(code, *flags, **options):
    """Run code in a process of its own, and return what it prints."""
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(code, *flags):
    """Return what code imports: the packages of others, and the modules of ours."""
    *_, line = run(code + LISTED, *flags).splitlines()
    names = json.loads(line)
    others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    ours = {name.partition(".")[2] for name in names if name.startswith("gradcheck_magic.")}
    return others - {"gradcheck_magic", "__main__"}, ours


@pytest.fixture(scope="module")
def at_first():
    """What of ours `import gradcheck_magic` imports."""
    _, ours = imported("import gradcheck_magic")
    return ours


@pytest.fixture(scope="module")
def numpys():
    """What NumPy and its random numbers import of others: parts of Cython, at most."""
    others, _ = imported("import numpy.random")
    return others


@pytest.mark.parametrize("door", LIGHT_DOORS)
def test_numpy_alone(door, at_first, numpys):
    """Who checks, and reads the result as text, imports NumPy alone, and is warned of nothing."""
    code, shown = LIGHT_DOORS[door]
    others, ours = imported(code, "-W", "error")
    assert others <= numpys
    assert ours - at_first == shown


@pytest.mark.parametrize("door", DRAWING_DOORS)
def test_matplotlib_where_something_is_drawn(door, at_first):
    """Pictures need matplotlib, and nothing needs IPython."""
    code, shown = DRAWING_DOORS[door]
    others, ours = imported(code)
    assert others & SHOWN == {"matplotlib"}
    assert ours - at_first == shown


def test_the_rest_with_the_extension(at_first):
    """The magics know IPython and the widgets."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'gradcheck_magic')\n"
    )
    others, ours = imported(code)
    assert others >= SHOWN
    assert ours - at_first >= {"_notebook.magic", "_notebook.live_card"}


@pytest.mark.parametrize("missing", [*sorted(SHOWN), "all of them"])
def test_something_is_missing(missing):
    """What shows a result in a notebook need not be there."""
    names = SHOWN if missing == "all of them" else {missing}
    block = f"import sys\nsys.modules.update(dict.fromkeys({sorted(names)}))\n"
    printed = run(block + WRONG + "print(check)\nprint(check.close_up('params'))")
    assert "There is a bug in backpropagation." in printed


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_without_assertions_and_docstrings(flag):
    """Neither is needed: not by the check, and not by the magic, which has a help text."""
    assert "There is a bug in backpropagation." in run(WRONG + "print(check)", flag)
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'gradcheck_magic')\n"
        "shell.run_cell('%gradcheck?')\n"
    )
    assert "--epsilon" in run(code, flag)


def test_in_a_zip_file(tmp_path):
    """The style of the card and the digits are read from it too."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "content" / "gradcheck_magic", ignore=ignored)
    archive = shutil.make_archive(str(tmp_path / "wheel"), "zip", tmp_path / "content")
    code = (
        "import gradcheck_magic as g\n"
        "from gradcheck_magic import demo\n"
        "X, Y = demo.load_digits(20)\n"
        "params = demo.initialize()\n"
        "grads = demo.backward(params, X, Y)\n"
        "check = g.check_gradients(params, grads, lambda p: demo.cost(p, X, Y))\n"
        "assert 'class=\"gc gc-card' in check.to_html()\n"
        "print(g.__file__, check)\n"
    )
    printed = run(code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": archive})
    assert printed.startswith(archive)
    assert "Backpropagation is correct." in printed
