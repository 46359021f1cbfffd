"""What a kernel does in its own way: outputs of cells, Ctrl-C, and completions."""

import re

import pytest
from kernel import started
from lab_server import PATIENCE
from watched import RIGHT, WATCHED

INTERRUPTED = """
import signal
{}
kept = predict

def predict(p):
    signal.raise_signal(signal.SIGINT)
    return X @ p["w"] + p["b"]
"""


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        kernel.run(f"%load_ext gradcheck_magic\n{WATCHED}")
        kernel.run("from gradcheck_magic._notebook import watch\nwatch.LEAST_SECONDS = 30.0")
        yield kernel


def test_line_is_output_of_the_cell(kernel):
    """The line of a watched cell is its only output."""
    _, cards = kernel.run("%gradcheck --watch")
    assert cards
    assert kernel.run("z = 1") == ("", [])
    for code in (
        "grads = backward(params)",
        "import asyncio\nawait asyncio.sleep(0)\nX *= 1; y = +y",
    ):
        printed, cards = kernel.run(code)
        assert re.fullmatch(RIGHT, printed.strip())
        assert not cards
    assert kernel.run("grads['dw'] *= 2", silent=True) == ("", [])
    printed, _ = kernel.run("z = 1")
    assert printed.startswith("✗")
    _, shown = kernel.run("display(_gradcheck, display_id='card')")
    assert "There is a bug in backpropagation." in shown[0]["text/html"]


@pytest.mark.parametrize("first", ["z = 1", "import asyncio; await asyncio.sleep(0)"])
def test_interrupted_in_a_kernel(kernel, first):
    """Ctrl-C also works in cells with `await`, which a kernel runs and interrupts differently."""
    kernel.run("grads = backward(params)\n%gradcheck --watch -q")
    printed, _ = kernel.run(INTERRUPTED.format(first))
    assert printed.startswith("not checked: interrupted. ")
    assert kernel.run("z = 1") == ("", [])
    kernel.run("predict = kept")


PRINTS = """
import sys
streams = sys.stdout, sys.stderr

def prints(p):
    print("line")
    print("error", file=sys.stderr)
    display({"text/plain": "shown"}, raw=True, display_id=True)
    return float(np.mean((X @ p["w"] + p["b"] - y) ** 2))
"""


def test_printed_and_displayed_once(kernel):
    """What the cost prints and displays is an output of the cell once, besides the card."""
    kernel.run(PRINTS)
    printed, shown = kernel.run("%gradcheck --unwatch\n%gradcheck -c prints")
    assert sorted(printed.splitlines()) == ["error", "line"]
    assert [each["text/plain"] for each in shown if "text/html" not in each] == ["shown", ""]
    told = "more lines printed by `prints` were not shown."
    assert sum(told in each["text/plain"] for each in shown) == 1
    assert kernel.run("assert (sys.stdout, sys.stderr) == streams\ndel prints, streams") == ("", [])


def test_completions(kernel):
    """Completions work as a notebook asks for them: with the whole cell and a position."""
    kernel.run("params = {'W1': 1.0, 'b1': 2.0}\nprices = 1")

    def offered(before, after):
        message = kernel.client.complete(before + after, len(before), reply=True, timeout=PATIENCE)
        reply = message["content"]
        return reply["matches"], before[reply["cursor_start"] :]

    body = "\ngrads = backward(params)\npr"
    assert offered("%%gradcheck --mo", body) == (["--mode"], "--mo")
    assert offered("%%gradcheck --mode=s", body) == (["scan"], "s")
    assert offered("%%gradcheck -p pr", body) == (["predict", "prices"], "pr")
    assert offered("%%gradcheck --only W1,", body) == (["b1"], "")
    assert offered("for _ in range(2):\n    %gradcheck --disp", "") == (["--display"], "--disp")
    found, fragment = offered(f"%%gradcheck -q{body}", "")
    assert fragment == "pr"
    assert {"prices", "print"} <= {*found}
