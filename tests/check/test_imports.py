"""The package imports only NumPy until something is drawn, and works from unusual places."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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
DRAW = "from gradcheck_magic._report.close_up_figures import error_map as draw\n"
CURVE = "curve = step_curve(x, 2 * x, lambda x: x @ x, 'params', 0)\n"

# The modules of ours that each entrance imports beyond `import gradcheck_magic`.
# Showing anything imports the entrance to all renderers, which imports nothing for drawing.
DOOR = {"card", "error_counts", "show", "step_curve_text", "text", "text_style", "words"}
TEXT = {"_report", *(f"_report.{name}" for name in DOOR)}
CARD = TEXT | {"_report.canvas", "_report.figures"}
CLOSE_CARD = CARD | {"_report.close_up_card", "_report.close_up_figures"}
MAP = {"canvas", "close_up_figures", "error_counts", "figures", "words"}
ERROR_MAP = {"_report", *(f"_report.{name}" for name in MAP)}
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
    "grid": (RIGHT + "check.close_up('params').grid()", set()),
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
    "error_map": (
        RIGHT + DRAW + "draw(check.close_up('params'))",
        ERROR_MAP,
    ),
}
# Every entrance is used in a fork of this process: earlier imports are made only once.
FORKED = """
import io, json, os, sys, traceback

def opened(code):
    \"\"\"Return what goes wrong behind a door, what it prints, and what is imported then.\"\"\"
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    sys.stdout, error = printed, ""
    try:
        exec(code, {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
    return error, printed.buffer.getvalue().decode(), names

for code in json.load(sys.stdin):
    process = os.fork()
    if process == 0:
        sys.__stdout__.write(json.dumps(opened(code)) + chr(10))
        sys.__stdout__.flush()
        os._exit(0)
    os.waitpid(process, 0)
"""
# A process with a second thread should not fork, and linear algebra would start one.
ALONE = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Behind(NamedTuple):
    """The effect of one entrance: what it prints and imports, from other packages and from ours."""

    printed: str
    names: set
    others: set
    ours: set


def run(code, *flags, **options):
    """Run code in its own process, and return what it prints."""
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def opened(first, doors, *flags):
    """Use each entrance in its own process, all of them forks of one that runs `first`."""
    code, environment = f"{first}\n{FORKED}", {**os.environ, **ALONE}
    lines = run(code, *flags, input=json.dumps(list(doors.values())), env=environment).splitlines()
    return dict(zip(doors, map(behind, lines), strict=True))


def behind(line):
    """Return the effect of one entrance, or its error, which then fails the test."""
    error, printed, names = json.loads(line)
    others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    ours = {name.partition(".")[2] for name in names if name.startswith("gradcheck_magic.")}
    return error or Behind(printed, {*names}, others - {"gradcheck_magic", "__main__"}, ours)


@pytest.fixture(scope="module")
def numpys():
    """Return what NumPy and its random numbers import from others: at most parts of Cython."""
    return opened("import numpy.random", {"": ""})[""].others


@pytest.fixture(scope="module")
def light():
    """Return the effects of the entrances that draw nothing; any warning is an error."""
    codes = {door: code for door, (code, _) in LIGHT_DOORS.items()}
    return opened("import gradcheck_magic", codes, "-W", "error")


@pytest.fixture(scope="module")
def drawing():
    """Return the effects of the entrances that draw; matplotlib is imported beforehand."""
    codes = {door: code for door, (code, _) in DRAWING_DOORS.items()}
    first = "import gradcheck_magic, matplotlib.figure, matplotlib.backends.backend_agg"
    return opened(first, codes)


@pytest.mark.parametrize("door", LIGHT_DOORS)
def test_numpy_alone(door, light, numpys):
    """Checking, and showing the result as text, import only NumPy."""
    _, _, others, ours = light[door]
    assert others <= numpys
    assert ours - light["import"].ours == LIGHT_DOORS[door][1]


@pytest.mark.parametrize("door", DRAWING_DOORS)
def test_matplotlib_where_something_is_drawn(door, light, drawing):
    """Pictures need matplotlib, and nothing needs IPython.

    They are made without pyplot, so no figure is left open and no backend is chosen.
    """
    _, names, others, ours = drawing[door]
    assert others & SHOWN == {"matplotlib"}
    assert "matplotlib.pyplot" not in names
    assert ours - light["import"].ours == DRAWING_DOORS[door][1]


def test_the_rest_with_the_extension(light):
    """The extension imports IPython and the widgets."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'gradcheck_magic')\n"
    )
    _, _, others, ours = opened("", {"": code})[""]
    assert others >= SHOWN
    assert ours - light["import"].ours >= {"_notebook.magic", "_notebook.live_card"}


MISSING = {name: {name} for name in sorted(SHOWN)} | {"all of them": SHOWN}
BLOCK = "import sys\nsys.modules.update(dict.fromkeys({}))\n"


@pytest.fixture(scope="module")
def without():
    """Return what is printed if some packages are missing but NumPy is there."""
    shown = WRONG + "print(check)\nprint(check.close_up('params'))"
    codes = {name: BLOCK.format(sorted(names)) + shown for name, names in MISSING.items()}
    return opened("import numpy.random", codes)


@pytest.mark.parametrize("missing", MISSING)
def test_something_is_missing(missing, without):
    """Results can be printed without the packages that show them in a notebook."""
    assert "There is a bug in backpropagation." in without[missing].printed


def test_in_a_zip_file(tmp_path):
    """The style of the card and the digits are also read from it."""
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
