"""A real kernel, such as a notebook has."""

import json
from contextlib import contextmanager

import pytest
from jupyter_client.manager import start_new_kernel
from lab_server import PATIENCE

# A notebook that shows cards.
CARDS = """
%load_ext gradcheck_magic
import gc, json
import numpy as np
from ipywidgets.widgets import widget as _widget

params = {"W": np.arange(6.0).reshape(2, 3) + 1, "b": np.array([1.0, -2.0])}
grads = {"dW": 2 * params["W"], "db": 2 * params["b"]}
grads["db"][1] *= -1

def cost_function(p):
    return sum(np.sum(value**2) for value in p.values())
"""
# Prints the number of widgets, and of all objects.
COUNT = """
gc.collect()
print(json.dumps([len(_widget._instances), len(gc.get_objects())]))
"""


class Kernel:
    """A kernel that runs the cells of a notebook."""

    def __init__(self, client):
        self.client = client

    def run(self, code, cell="a cell", *, silent=False, subshell=None):
        """Run a cell; return what it prints, and the bundles that are displayed at its end."""
        content = {"code": code, "silent": silent, "store_history": not silent}
        number = self.send("execute_request", content, cell, subshell)
        printed, shown = "", {}
        for kind, content in self._answers(number):
            if kind == "stream":
                printed += content["text"]
            elif kind in {"display_data", "update_display_data"}:
                shown[content["transient"]["display_id"]] = content["data"]
            elif kind == "error":
                pytest.fail("\n".join(content["traceback"]))
        return printed, list(shown.values())

    def send(self, kind, content, cell="a cell", subshell=None):
        """Send a message to the notebook's shell, or to a subshell; return its number."""
        message = self.client.session.msg(kind, content, metadata={"cellId": cell})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def _answers(self, number):
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != number:
                continue
            if message["content"].get("execution_state") == "idle":
                return
            yield message["msg_type"], message["content"]


@contextmanager
def started():
    """Start a kernel, and shut it down at the end."""
    manager, client = start_new_kernel(startup_timeout=PATIENCE)
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def counted(kernel):
    """Return the numbers of widgets and objects in a kernel with cards."""
    printed, _ = kernel.run(COUNT, "counting")
    return json.loads(printed)
