"""The tutorials say what they show, and their exercises can be solved."""

import asyncio

import pytest
from needed import require

require("nbclient")
import zmq.asyncio  # noqa: E402 (once it is known to be there)
from jupyter_client.session import Session  # noqa: E402
from lab_server import PATIENCE  # noqa: E402
from tutorials import (  # noqa: E402
    TUTORIALS,
    WIDGET,
    ShellChannel,
    checks,
    executed,
    read,
    see_exercises,
    see_it_says_what_it_said,
    with_solutions,
)

tutorials = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@tutorials
def test_is_committed_with_its_cards(path):
    """It has run in order, and has nothing that GitHub would refuse or nbviewer would not show."""
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [output for output in outputs if WIDGET in output.get("data", {})]
    cards = [output for cell in cells if checks(cell) for output in cell.outputs]
    assert any("data:image/png" in output.get("data", {}).get("text/html", "") for output in cards)


@tutorials
def test_runs(path):
    """Every card says the same when the tutorial is run again, and each exercise is solved.

    If a package is missing that the tutorial would do without, the test is skipped.
    """
    if path.stem == "06_custom_gradients":
        require("jax", "torch", hint="pip install jax torch")
    committed = read(path)
    now = executed(with_solutions(committed))
    see_it_says_what_it_said(committed, now)
    see_exercises(committed, now)


def test_no_answer_is_missed():
    """An answer is found that comes while the client, which waits for it, sends something."""

    async def received():
        session = Session(key=b"")
        with (
            zmq.asyncio.Context() as context,
            context.socket(zmq.DEALER) as client,
            zmq.Context.shadow(context).socket(zmq.DEALER) as kernel,
        ):
            client.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
            channel = ShellChannel(client, session)
            waiting = asyncio.create_task(channel.get_msg(timeout=PATIENCE))
            for _ in range(10):  # until it has nothing to do but wait
                await asyncio.sleep(0)
            channel.send(session.msg("question"))
            kernel.recv_multipart()
            session.send(kernel, "answer")
            assert zmq.Socket.shadow(client).poll(1000 * PATIENCE), "the answer has come"
            channel.send(session.msg("comm_msg"))
            message = await asyncio.wait_for(waiting, PATIENCE / 2)
        return message["msg_type"]

    assert asyncio.run(received()) == "answer"
