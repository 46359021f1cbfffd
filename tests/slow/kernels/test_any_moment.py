"""Ctrl-C at a thousand random moments in a real kernel, whatever it is doing for a check.

Each time everything of the user's is as it was before, Ctrl-C works, and one clear line ends the
cell, or else a finished card does.
"""

import json
import random
import re
import sys
from collections import Counter

import pytest
from kernel import started

NOTEBOOK = """
%load_ext gradcheck_magic
import contextlib, json, os, signal, threading, time
import numpy as np

random = np.random.default_rng(0)
X, y = random.normal(size=(20, 12)), random.normal(size=(20, 3))
params = {"W": random.normal(size=(12, 3)), "b": np.zeros(3)}

def cost_function():
    return ((X @ params["W"] + params["b"] - y) ** 2).sum()

def backward():
    d = 2 * (X @ params["W"] + params["b"] - y)
    return {"dW": X.T @ d, "db": d.sum(axis=0)}

grads = backward()
magics = get_ipython().magics_manager.registry["GradcheckMagics"]
before = [array.tobytes() for array in (*params.values(), *grads.values())]
handlers = [signal.getsignal(number) for number in signal.valid_signals()]
events, lock, armed, n_struck = get_ipython().events, threading.Lock(), False, 0

def strike_in(seconds):
    def strike():
        global n_struck
        time.sleep(seconds)
        with lock:
            if armed:
                n_struck += 1
                os.kill(os.getpid(), signal.SIGINT)

    globals()["armed"] = True
    threading.Thread(target=strike).start()

def disarm(_):
    global armed
    with contextlib.suppress(KeyboardInterrupt), lock:
        armed = False

def disarm_after_each_cell():
    # Between cells, Ctrl-C is the kernel's own business. This comes after the watch.
    with contextlib.suppress(ValueError):
        events.unregister("post_run_cell", disarm)
    events.register("post_run_cell", disarm)

def shown():
    cards = magics._live._cards
    return cards[-1][0]._html.value if cards else ""

def looked():
    arrays = (*params.values(), *grads.values())
    print(json.dumps({
        "struck": n_struck,
        "arrays": before == [array.tobytes() for array in arrays],
        "handlers": handlers == [signal.getsignal(number) for number in signal.valid_signals()],
        "no progress": "gc-running" not in shown(),
    }))
"""
# What is done, how often an interrupt ends it, and the cell. A picture takes as long as twenty
# checks; `tests/slow/report` interrupts each kind of picture.
KINDS = [
    ("cell", 230, "%%gradcheck --display text\n{}\ngrads = backward()"),
    ("scan", 210, "{}\n%gradcheck --display text --mode scan"),
    ("watch", 150, "{}\ngrads = backward()"),
    ("workers", 28, "{}\n%gradcheck --display text --workers 2 --mode full"),
    ("drawing", 16, "{}\n%gradcheck"),
    ("button", 16, "{}\npanel._check_again(None); print(panel._check_status.value)"),
]
BEFORE = {
    "watch": "%gradcheck --watch -q",
    "workers": "%gradcheck --unwatch",
    "button": "%gradcheck\npanel = magics._live._cards[-1][0]._controls",
}
INTERRUPTED = re.compile(
    r"(Gradient check interrupted[.:].*|not checked: interrupted[.;].*|"
    r'<div class="gc-error".*>Interrupted; the parameters are as they were before\.</div>)'
)


class Moments:
    """A kernel that is interrupted."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.n_struck = 0

    def run(self, code):
        """Run a cell; return the text that it prints or shows, and the lines of its error."""
        session = self.kernel.client.session
        message = session.msg("execute_request", {"code": code, "silent": False})
        self.kernel.client.shell_channel.send(message)
        printed, error = "", []
        for kind, content in self.kernel._answers(message["header"]["msg_id"]):
            if kind == "stream":
                printed += content["text"]
            elif kind in {"display_data", "update_display_data"}:
                printed += content["data"].get("text/plain", "")
            elif kind == "error":
                error = "\n".join(content["traceback"]).splitlines()
        return printed, error

    def seconds(self, cell):
        """Return how long the cell takes, as the kernel sees it."""
        clock = "_began = time.perf_counter()"
        times = []
        for _ in range(3):
            self.run(cell.format(clock))
            times.append(float(self.run("print(time.perf_counter() - _began)")[0]))
        return sorted(times)[1]

    def outcome(self, cell, seconds):
        """Interrupt the cell after some seconds, and tell how it ended."""
        printed, error = self.run(cell.format(f"strike_in({seconds})"))
        found, trouble = self.run("looked()")
        assert not trouble, trouble
        state = json.loads(found)
        n_struck = state.pop("struck")
        assert all(state.values()), (state, printed, error)
        said = "\n".join([printed, *error])
        assert "gradcheck_magic" not in said.replace("%load_ext gradcheck_magic", ""), said
        if INTERRUPTED.search(said):
            assert len(error) <= 1, said
            assert len(INTERRUPTED.findall(said)) == 1, said
            self.n_struck = n_struck
            return "one line"
        if n_struck == self.n_struck:
            return "too late"
        self.n_struck = n_struck
        return "traceback of the cell" if error else "finished"


@pytest.fixture(scope="module")
def moments():
    with started() as kernel:
        kernel.run(NOTEBOOK)
        kernel.run("from gradcheck_magic._notebook import watch\nwatch.LEAST_SECONDS = 30.0")
        yield Moments(kernel)


@pytest.mark.parametrize(("kind", "n_ended", "cell"), KINDS)
def test_at_any_moment(moments, kind, n_ended, cell, capsys):
    moments.run(BEFORE.get(kind, ""))
    moments.run("disarm_after_each_cell()")
    longest = moments.seconds(cell)
    chosen = random.Random(kind)  # noqa: S311 (no secret)
    outcomes = Counter()
    # On a busy machine, no time says when a cell ends: any number of interrupts may come too late.
    while outcomes["one line"] < n_ended and outcomes.total() < 10 * n_ended:
        outcomes[moments.outcome(cell, chosen.uniform(0, longest))] += 1
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}, {longest:.2g} s: {dict(outcomes)}")
    assert outcomes["one line"] == n_ended
    assert outcomes["traceback of the cell"] < n_ended / 2
