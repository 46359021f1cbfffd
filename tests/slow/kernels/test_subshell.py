"""While the notebook's cell runs, a subshell neither checks nor moves the cell's arrays.

A cell that begins while a subshell checks waits for it.

JupyterLab opens one by "New Subshell Console for Notebook". ipykernel 7.0 to 7.3 also handle the
buttons of a card in one.
"""

import json

import pytest
from kernel import started
from lab_server import PATIENCE

NOTEBOOK = """
%load_ext gradcheck_magic
import json, threading
import numpy as np
from ipywidgets.widgets import widget as _widget
random = np.random.default_rng(0)
W, X = random.normal(size=(40, 5)), random.normal(size=(30, 40))
params, n_calls = {"W": W}, 0

def cost_function():
    global n_calls
    n_calls += 1
    return float(np.sum(np.tanh(X @ W)))

grads = {"dW": X.T @ (1 - np.tanh(X @ W) ** 2)}
"""
# It prints the numbers of the two buttons: "Check again", and "Draw step curve".
CARD = """
controls = get_ipython().magics_manager.registry["GradcheckMagics"]._live._cards[-1][0]._controls
controls._parameter.value = "W"
described = {getattr(w, "description", ""): w for w in _widget._instances.values()}
buttons = [described[name].model_id for name in ("Check again", "Draw step curve")]
statuses = controls._check_status, controls._curve_status
said = lambda: " ".join(status.value for status in statuses)
asked, n_calls, before = threading.Event(), 0, W.copy()
print(json.dumps(buttons))
"""
# It trains until the subshell has done what it was asked, and says when it begins.
TRAINING = """
n_updates = 0
print("training", flush=True)
while not n_updates or not asked.wait(0.001):
    W -= 2.0**-20
    n_updates += 1
expected = before.copy()
for _ in range(n_updates):
    expected -= 2.0**-20
print(json.dumps([int((W != expected).sum()), n_calls, said()]))
"""
SAID = (
    "A cell is running, and a check would move arrays that it may use: check again when it has "
    "ended."
)


@pytest.fixture
def kernel():
    """Start a kernel with a subshell, in which a card is shown: its buttons are handled there."""
    with started() as kernel:
        control = kernel.client.control_channel
        control.send(kernel.client.session.msg("create_subshell_request"))
        reply = kernel.client.get_control_msg(timeout=PATIENCE)
        kernel.subshell = reply["content"]["subshell_id"]
        kernel.run(NOTEBOOK)
        kernel.run("%gradcheck", subshell=kernel.subshell)
        kernel.buttons = json.loads(kernel.run(CARD, subshell=kernel.subshell)[0])
        yield kernel


def executed(code):
    return "execute_request", {"code": code, "silent": False, "stop_on_error": False}


def pressed(button):
    data = {"method": "custom", "content": {"event": "click"}}
    return "comm_msg", {"comm_id": button, "data": data}


def while_training(kernel, message):
    """Send a message to the subshell while a cell trains; return what that prints, and errors."""
    cell = kernel.send(*executed(TRAINING))
    printed, errors, state, is_asked = "", [], "", False
    while state != "idle":
        answer = kernel.client.get_iopub_msg(timeout=PATIENCE)
        kind, content = answer["msg_type"], answer["content"]
        if kind == "error":
            errors += content["traceback"]
        if answer["parent_header"].get("msg_id") != cell:
            continue
        state = content.get("execution_state")
        if kind == "stream":
            printed += content["text"]
        if "training" in printed and not is_asked:
            is_asked = True
            kernel.send(*message, subshell=kernel.subshell)
            # A subshell handles its messages one after the other.
            kernel.send(*executed("asked.set()"), subshell=kernel.subshell)
    return json.loads(printed.removeprefix("training\n")), errors


def test_magic(kernel):
    (n_different, n_calls, _), errors = while_training(kernel, executed("%gradcheck"))
    assert (n_different, n_calls) == (0, 0), "nothing is lost, and nothing was evaluated"
    assert errors == [f"InputError: {SAID}"]


@pytest.mark.parametrize("which", [0, 1], ids=["Check again", "Draw step curve"])
def test_button(kernel, which):
    """It says so below the card, and works again afterwards."""
    message = pressed(kernel.buttons[which])
    (n_different, n_calls, status), errors = while_training(kernel, message)
    assert (n_different, n_calls) == (0, 0), "nothing is lost, and nothing was evaluated"
    assert SAID in status
    assert errors == []
    kernel.run("W[...] = before")
    kernel.send(*message, subshell=kernel.subshell)
    printed, _ = kernel.run("print(n_calls > 0)", subshell=kernel.subshell)
    assert printed == "True\n"


# In its fifth evaluation, θ is moved. It goes on when the cell waits, or has run.
MOVED = """
import os, signal, sys, traceback

began, quick = threading.Event(), cost_function

def is_waiting():
    innermost = sys._current_frames()[threading.main_thread().ident]
    return any(f.f_code.co_name == "wait_for_check" for f, _ in traceback.walk_stack(innermost))

def cost_function():
    J = quick()
    if n_calls == 5:
        print("moved", flush=True)
        while not is_waiting() and not began.wait(0.001):
            pass
        if is_interrupted:
            os.kill(os.getpid(), signal.SIGINT)
    return J
"""
UPDATE = """
began.set()
W -= 2.0**-20
"""
SEEN = """
passed, n_different = _gradcheck.passed, int((W != before - began.is_set() * 2.0**-20).sum())
print(json.dumps([began.is_set(), passed, n_different, said()]))
"""


@pytest.mark.parametrize(("awaits", "interrupted"), [
    pytest.param("", False, id="it runs then"),
    pytest.param(
        "import asyncio\nawait asyncio.sleep(0)", True, id="HARD: Ctrl-C while it waits, with await"
    ),
])  # fmt: skip
def test_a_cell_waits_for_a_button(kernel, awaits, interrupted):
    """The check passes in any case."""
    kernel.run(f"{MOVED}\nis_interrupted = {interrupted}")
    kernel.send(*pressed(kernel.buttons[0]), subshell=kernel.subshell)
    cell, reply = None, None
    while reply is None:
        answer = kernel.client.get_iopub_msg(timeout=PATIENCE)
        content = answer["content"]
        if content.get("text") == "moved\n":
            cell = kernel.send(*executed(awaits + UPDATE))
        if answer["parent_header"].get("msg_id") == cell:
            ended = content.get("execution_state") == "idle"
            reply = "error" if answer["msg_type"] == "error" else "ok" if ended else None
    # A subshell handles its messages one after the other.
    printed, _ = kernel.run(SEEN, subshell=kernel.subshell)
    began, passed, n_different, status = json.loads(printed)
    assert (reply, began) == (("error", False) if interrupted else ("ok", True))
    assert (passed, n_different) == (True, 0), status
