"""A real kernel, as a notebook has it."""

from contextlib import contextmanager

import pytest
from jupyter_client.manager import start_new_kernel


class Kernel:
    """A kernel, and the cells of a notebook that are run in it."""

    def __init__(self, client):
        self.client = client

    def run(self, code, cell="a cell", *, silent=False):
        """Run a cell; return what it printed, and the bundles that it displays at last."""
        session = self.client.session
        content = {"code": code, "silent": silent, "store_history": not silent}
        message = session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        printed, shown = "", {}
        for kind, content in self._answers(message["header"]["msg_id"]):
            if kind == "stream":
                printed += content["text"]
            elif kind in {"display_data", "update_display_data"}:
                shown[content["transient"]["display_id"]] = content["data"]
            elif kind == "error":
                pytest.fail("\n".join(content["traceback"]))
        return printed, list(shown.values())

    def _answers(self, number):
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != number:
                continue
            if message["content"].get("execution_state") == "idle":
                return
            yield message["msg_type"], message["content"]


@contextmanager
def started():
    """A kernel, shut down in the end."""
    manager, client = start_new_kernel()
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
