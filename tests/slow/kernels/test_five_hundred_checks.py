"""Five hundred checks of all kinds in one kernel: nothing grows with their number."""

import importlib.util
import sys
from ast import literal_eval
from itertools import chain, count, cycle, islice

from kernel import started
from lab_server import PATIENCE

CHECKS = 500
# What that many checks may add: memory in megabytes (IPython keeps the history of the notebook, and
# a check that kept its arrays would add several for each), threads, open files, and processes.
MOST_MORE = {"megabytes": 50, "threads": 0, "files": 0, "processes": 0}

NOTEBOOK = """
%load_ext gradcheck_magic
import ctypes, gc, os, signal
from pathlib import Path
import numpy as np

random = np.random.default_rng(0)
X, y = random.normal(size=(20, 12)), random.normal(size=(20, 3))
params = {"W": random.normal(size=(12, 3)), "b": np.zeros(3)}
big = {"W": random.normal(size=(300, 400)), "b": random.normal(size=1000)}
big_grads = {"dW": np.cos(big["W"]), "db": np.cos(big["b"])}
big_wrong = {"dW": big_grads["dW"].copy(), "db": big_grads["db"]}
big_wrong["dW"][3, 1] += 1

def cost_function(params):
    return ((X @ params["W"] + params["b"] - y) ** 2).sum()

def big_cost(params):
    return sum(np.sin(value).sum() for value in params.values())

def backward(params):
    d = 2 * (X @ params["W"] + params["b"] - y)
    return {"dW": X.T @ d, "db": d.sum(axis=0)}

def closure():
    return cost_function(params)

def failing(params, fail=lambda: 1 / 0):
    global calls
    calls += 1
    if calls == 30:
        fail()
    return big_cost(params)

def interrupted(params):
    return failing(params, lambda: os.kill(os.getpid(), signal.SIGINT))

def controls():
    card, *_ = get_ipython().magics_manager.registry["GradcheckMagics"]._live._cards[-1]
    card._controls._parameter.value = "W"
    return card._controls

def used():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free, but not returned to the system yet
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    children = [Path(f"/proc/self/task/{task}/children") for task in os.listdir("/proc/self/task")]
    return {
        "megabytes": int(status["VmRSS"].split()[0]) >> 10,
        "threads": int(status["Threads"]),
        "files": len(os.listdir("/proc/self/fd")),
        "processes": sum(len(each.read_text().split()) for each in children),
    }

grads = backward(params)
wrong = {"dW": 2 * grads["dW"], "db": grads["db"]}
"""
TORCH = """
import torch

model = torch.nn.Linear(12, 3).double()
inputs = torch.tensor(X)

def loss(model):
    return (model(inputs) ** 2).sum()

loss(model).backward()
torch_grads = [parameter.grad for parameter in model.parameters()]
"""
STOPPED, UNWATCH = "GradientCheckInterrupted", "%gradcheck --unwatch"
BIG = "%gradcheck -p big -g big_grads"
# The cells of each kind, and how the last one ends; None if that depends on the time.
QUICK = {
    "right": (["%%gradcheck -q\ngrads = backward(params)"], "CORRECT"),
    "wrong": (["%gradcheck -g wrong --display text"], "BUG"),
    "closure": (["%gradcheck -q -c closure"], "CORRECT"),
    "points": (["%gradcheck -q -g backward --points 3"], "CORRECT"),
    "budget": ([f"{BIG} -q -c big_cost --mode full --budget 0.05"], "INCONCLUSIVE"),
    "interrupt": ([f"calls = 0\n{BIG} -c interrupted --display text"], STOPPED),
    "error": ([f"calls = 0\n{BIG} -c failing --mode full"], "ZeroDivisionError"),
    "strict": (["%gradcheck -g wrong --strict -q"], "GradientCheckFailed"),
    "misspelled": (["%gradcheck -g wrogn"], "InputError"),
    "watch": (["%gradcheck --watch -q", "grads = backward(params | {})", UNWATCH], None),
    "torch": (["%gradcheck -q -p model -g torch_grads -c loss"], "CORRECT"),
    "workers": (["%gradcheck -q --workers 2 --mode full"], "CORRECT"),
}
# They draw pictures, which takes longer. In a live card, each button is pressed.
SLOW = {
    "buttons": (
        ["%gradcheck -g wrong", "controls()._draw(None)", "controls()._check_again(None)"],
        "BUG",
    ),
    "scan": ([f"{BIG} -c big_cost --mode scan"], "CORRECT"),
    "wrong scan": (["%gradcheck -p big -g big_wrong -c big_cost --mode scan"], "BUG"),
    "interrupted scan": ([f"calls = 0\n{BIG} -c interrupted --mode scan"], STOPPED),
    "static": (["%gradcheck -g wrong --display static"], "BUG"),
}


def checks_of_all_kinds(number):
    """Yield as many checks; after two rounds of the quick ones, there is a slow one."""
    slow = cycle(SLOW.items())
    rounds = chain.from_iterable((*QUICK.items(), *QUICK.items(), next(slow)) for _ in count())
    yield from islice(rounds, number)


class Checks:
    """A kernel in which cells are run, in each of which a check may fail."""

    def __init__(self, kernel):
        self.kernel = kernel

    def run(self, code, cell, then="_gradcheck.verdict.name if _gradcheck is not None else ''"):
        """Run a cell; return the name of its error, or the value of an expression after it."""
        content = {"code": code, "silent": False, "user_expressions": {"then": then}}
        number = self.kernel.send("execute_request", content, cell)
        list(self.kernel._answers(number))
        while True:
            reply = self.kernel.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"]["msg_id"] == number:
                break
        if reply["content"]["status"] == "error":
            return reply["content"]["ename"]
        return literal_eval(reply["content"]["user_expressions"]["then"]["data"]["text/plain"])

    def make(self, kinds):
        """Make checks of these kinds, and return what the kernel uses then."""
        for kind, (cells, ends) in kinds:
            *_, end = [self.run(code, kind) for code in cells]
            assert ends in (end, None), kind
        # Workers that have nothing to do end after some time.
        self.run(QUICK["workers"][0][0], "workers")
        return self.run("", "used", "used()")


def test_nothing_grows(capsys):
    """After the first checks of each kind, nothing grows."""
    with started() as kernel:
        kernel.run(NOTEBOOK)
        if importlib.util.find_spec("torch"):
            kernel.run(TORCH)
        else:
            QUICK.pop("torch")
        checks = Checks(kernel)
        before = checks.make([*QUICK.items(), *SLOW.items()])
        after = checks.make(checks_of_all_kinds(CHECKS))
    with capsys.disabled():
        sys.stdout.write(f"\nbefore {CHECKS} checks: {before}\nafterwards: {after}\n")
    assert {what for what, most in MOST_MORE.items() if after[what] - before[what] > most} == set()
