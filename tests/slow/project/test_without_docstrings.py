"""The package needs neither assertions nor docstrings; Python compiles everything without them."""

import subprocess
import sys

import pytest

CHECK = """
import numpy as np
from gradcheck_magic import check_gradients
x = np.array([3.0, 4.0])
print(check_gradients(x, 3 * x, lambda x: x @ x))
"""
HELP = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "gradcheck_magic")
shell.run_cell("%gradcheck?")
"""


def run(code, flag):
    command = [sys.executable, flag, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("flag", ["-O", "-OO"])
@pytest.mark.parametrize(
    ("code", "printed"),
    [
        pytest.param(CHECK, "There is a bug in backpropagation.", id="check"),
        pytest.param(HELP, "--epsilon", id="the magic, which has a help text"),
    ],
)
def test_without_assertions_and_docstrings(flag, code, printed):
    assert printed in run(code, flag)
