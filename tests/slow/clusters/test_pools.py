"""Processes and clusters evaluate the cost, with the same numbers and without hanging.

Most of the time goes into starting processes. So each kind of pool is started once, tests of one
kind follow each other, and only a few tests restart our own processes.
"""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from needed import require
from shared_costs import (
    CASES,
    HERE,
    LONG,
    N,
    StrangeError,
    closure,
    interrupted,
    known,
    network,
    see_an_error_of_the_cost,
    see_an_interrupt,
    see_nothing_kept,
    see_the_same_bits,
    see_the_same_bits_of_a_scan,
    structured,
    sum_of_squares,
)

from gradcheck_magic import InputError, WorkerLostError, check_gradients
from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.evaluation import EntryBatch, Evaluator, OutOfTime
from gradcheck_magic._cost.workers import IDLE, Workers, pool_of
from gradcheck_magic._inputs.parameters import collect

require("loky", "cloudpickle", "distributed", "ipyparallel")
import distributed  # noqa: E402 (once they are known to be there)
import ipyparallel  # noqa: E402
from dask import config  # noqa: E402


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("name", ["ours", "processes"])
def test_random_states(processes, name, factor):
    """Each process puts back the states of its own generators."""
    own, theta = np.random.default_rng(0), np.linspace(1, 2, 40)

    def mask():
        return (np.random.random(40) < 0.7) * own.random(40)

    def gradient(theta):
        return factor * 2 * theta * mask()

    def cost(theta):
        return float(np.sum(theta**2 * mask()))

    workers = processes if name == "processes" else 2
    alone = check_gradients(theta, gradient, cost, mode="full", reseed=True)
    check = check_gradients(theta, gradient, cost, mode="full", reseed=True, workers=workers)
    assert check.passed == (factor == 1)
    assert np.array_equal(check.numerical, alone.numerical)


@pytest.fixture(scope="module")
def cluster():
    """Yield a cluster of Dask's, which does not repeat a task if its worker dies."""
    options = {"dashboard_address": ":0", "n_workers": 2, "threads_per_worker": 1}
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture(scope="module")
def engines():
    """Yield engines of ipyparallel's, which find our modules through the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        with ipyparallel.Cluster(n=2, log_level=40) as client:
            client.wait_for_engines(2, interactive=False)
            yield client.executor()


POOLS = ["2", "3", "processes", "cluster", "engines"]


def pool(request, name):
    return int(name) if name.isdigit() else request.getfixturevalue(name)


# The case changes first, the pool last.
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", POOLS)
def test_the_same_bits(request, case, name):
    see_the_same_bits(case, pool(request, name))


@pytest.mark.parametrize("n_wrong", [0, 3])
@pytest.mark.parametrize("name", ["3", "2", "processes"])
def test_the_same_bits_of_a_scan(request, name, n_wrong):
    see_the_same_bits_of_a_scan(n_wrong, pool(request, name))


def test_a_budget_is_kept():
    def cost(theta):
        time.sleep(0.02)
        return float(theta @ theta)

    theta = np.linspace(1, 2, 400)
    # Starting the processes may take as long as the budget.
    check_gradients(theta[:20], 2 * theta[:20], cost, workers=2)
    # Two workers would take at least eight seconds.
    check = check_gradients(theta, 2 * theta, cost, mode="full", workers=2, budget=4)
    assert check.interrupted
    assert 0 < check.n_measured < 400
    assert check.reasons[0].startswith("The budget was used up: ")
    # There are no more evaluations than two workers can make in that time.
    assert check.n_evaluations * 0.02 <= 2 * 4 + 0.1


def test_several_points():
    params, _, cost, _ = structured()
    _, _, loss = network()

    def gradient(p):
        step = 1e-6j
        return {
            f"d{name}": np.array(
                [loss(**{**p, name: p[name] + step * e.reshape(p[name].shape)}).imag / 1e-6
                 for e in np.eye(p[name].size)]
            ).reshape(p[name].shape)
            for name in p
        }  # fmt: skip

    alone = check_gradients(params, gradient, cost, mode="full", points=2)
    shared = check_gradients(params, gradient, cost, mode="full", points=2, workers=2)
    assert known(shared) == known(alone)


def test_imported_function():
    theta = np.ones(3)
    assert check_gradients(theta, 2 * theta, sum_of_squares, workers=2).passed


def test_floating_point_errors():
    """Errors that NumPy is set to raise here are raised in the workers, too."""
    theta = np.array([1.0, 709.7827128])

    def cost(t):
        return float(np.exp(t).max() * 1e-300)

    with np.errstate(over="raise"):
        for workers in (None, 2):
            with pytest.raises(FloatingPointError, match="overflow"):
                check_gradients(theta, theta, cost, workers=workers)


def test_evaluations_are_counted():
    """Evaluations in the workers are counted, too, and progress never goes backwards."""
    seen = []
    theta = np.linspace(1, 2, N)
    check = check_gradients(
        theta, 2 * theta, lambda t: float(t @ t), workers=2, progress=lambda *s: seen.append(s)
    )
    done = [state[0] for state in seen]
    assert done == sorted(done)
    assert done[-1] == check.n_evaluations > 2 * N
    assert seen[-1][0] == seen[-1][1]


def test_threads_of_a_cluster():
    """A cluster's workers may be threads of this process: each has a copy of its own."""
    distributed = pytest.importorskip("distributed")
    options = {"dashboard_address": ":0", "n_workers": 1, "threads_per_worker": 2}
    with (
        distributed.LocalCluster(processes=False, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = client.get_executor()
        see_the_same_bits(closure, workers)
        see_the_same_bits(structured, workers)


def test_time_is_looked_at_while_waiting():
    """A deadline is noticed while a worker is busy."""

    def cost(theta):
        if 0 < abs(theta[0] - 1) < 1e-6:
            time.sleep(LONG)
        return float(theta @ theta)

    parameters = collect(np.ones(3))
    theta = parameters.theta()
    binding = Binding(Convention.FLAT, parameters, theta)
    evaluator = Evaluator(cost, "cost")
    workers = Workers(pool_of(2), evaluator, binding, 8)
    evaluator.deadline = time.perf_counter() + 0.2
    with pytest.raises(OutOfTime):
        workers.each_pair(binding, EntryBatch(0, range(3), 1e-7), lambda _: None)
    assert check_gradients(theta, 2 * theta, sum_of_squares, workers=2).passed


@pytest.mark.parametrize("name", ["2", "cluster", "engines"])
@pytest.mark.parametrize("kind", [ValueError, StrangeError])
def test_errors_of_the_cost(request, name, kind):
    see_an_error_of_the_cost(kind, pool(request, name))


@pytest.mark.parametrize(
    ("kind", "shown", "sentence"),
    [(ValueError, ValueError, "one"), (StrangeError, RuntimeError, "StrangeError: one and other")],
)
def test_errors_of_a_worker_alone(kind, shown, sentence):
    here, arguments = HERE, ("one", "other")[: 1 + (kind is StrangeError)]

    def cost(theta):
        if theta[5] > 1 and os.getpid() != here and theta[0] == 1:
            raise kind(*arguments)
        return float(theta @ theta)

    with pytest.raises(shown, match=sentence) as error:
        check_gradients(np.ones(N), 2 * np.ones(N), cost, workers=2)
    assert error.value.__notes__[-1] == "This happened in a worker, but not here."


def test_error_at_the_parameters_themselves():
    here = HERE

    def cost(theta):
        if os.getpid() != here:
            raise FileNotFoundError(2, "not here", "data.csv")
        return float(theta @ theta)

    with pytest.raises(FileNotFoundError) as error:
        check_gradients(np.ones(3), 2 * np.ones(3), cost, workers=2)
    assert error.value.__notes__ == ["This happened in a worker; here `cost` works."]


MODULE = """
import numpy as np
W = np.linspace(1, 2, 7)
def cost():
    return float(W @ W)
def scaled(theta):
    return {} * float(theta @ theta)
"""


@pytest.fixture(scope="module", autouse=True)
def beside(tmp_path_factory):
    """Yield a folder beside the notebook, for all tests: another path would restart processes."""
    folder = tmp_path_factory.mktemp("beside")
    for name in ("beside", "edited"):
        (folder / f"{name}.py").write_text(MODULE.format(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        # A shell would do this, too, but later.
        patch.syspath_prepend("")
        yield folder
    for name in ("beside", "edited"):
        sys.modules.pop(name, None)


@pytest.fixture
def module(beside):
    """Return a module in that folder."""
    return importlib.import_module("beside")


def test_arrays_of_an_imported_module(module):
    """The module's array in the worker is not the one in `params`."""
    with pytest.raises(InputError) as error:
        check_gradients(module.W, 2 * module.W, module.cost, workers=2)
    found, _, why = str(error.value).partition(": ")
    assert re.fullmatch(r"`cost` is 16\.\d+ in a worker, but 15\.\d+ here", found)
    assert why == (
        "it may read arrays of an imported module, or arrays of which `params` contains views, and "
        "a worker has other copies of these; make the parameters an argument of it."
    )
    assert check_gradients(module.W, 2 * module.W, module.cost).passed


def test_views_of_what_a_cost_reads():
    """A view that is pickled becomes an array of its own."""
    base = np.linspace(1, 2, 12).reshape(3, 4)
    view = base[:, 1:3]
    with pytest.raises(InputError, match="in a worker, but"):
        check_gradients(view, 2 * view, lambda: float((base**2).sum()), workers=2)


def test_module_that_was_edited(beside):
    """Processes that have imported the module before are restarted."""
    theta = np.ones(3)
    module = importlib.import_module("edited")
    assert check_gradients(theta, 2 * theta, module.scaled, workers=2).passed
    (beside / "edited.py").write_text(MODULE.format(10))
    del sys.modules["edited"]
    edited = importlib.import_module("edited")
    assert check_gradients(theta, 20 * theta, edited.scaled, workers=2).passed


# Interrupts


@pytest.mark.parametrize("name", ["2", "threads", "cluster", "engines"])
def test_interrupt(request, name):
    see_an_interrupt(pool(request, name))


def test_interrupt_of_a_cost_that_hangs():
    here, last = HERE, 2.0

    def cost(theta):
        if os.getpid() != here and theta[-1] > last and theta[0] == 1:
            time.sleep(LONG)
        time.sleep(0.001)
        return float(theta @ theta)

    interrupted(cost, 2)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=2).passed


# In a notebook

CELL = """
import numpy as np
import beside
X = np.linspace(-1, 1, 12).reshape(4, 3)
params = {"W": np.linspace(0.1, 0.6, 6).reshape(3, 2), "b": np.zeros(2)}
def activation(Z):
    return np.tanh(Z)
def make(scale):
    return lambda A: scale * beside.scaled(A.ravel())
loss = make(0.5)
def forward(params):
    return activation(X @ params["W"] + params["b"])
A = forward(params)
grads = {"dW": X.T @ (A * (1 - A**2)), "db": (A * (1 - A**2)).sum(axis=0)}
"""


@pytest.mark.parametrize(
    "cost",
    [
        "def cost_function(params): return loss(forward(params))",
        "def cost_function(): return loss(forward(params))",
        "cost_function = lambda W, b: loss(activation(X @ W + b))",
    ],
)
@pytest.mark.usefixtures("module")
def test_notebook(run, cost):
    """Workers run functions of cells that use other functions, arrays and imported modules."""
    run(CELL)
    run(cost)
    alone = run("%gradcheck --mode full")
    assert alone.passed
    assert known(run("%gradcheck --mode full --workers 2")) == known(alone)
    run("grads['dW'][1, 1] *= 2")
    assert run("%gradcheck --workers=1+1").wrong_entries == (("W", (1, 1)),)


# Checks in a process that is killed; its workers have the other end of the pipe as well.
KILLED = """
import os, signal
import numpy as np
from gradcheck_magic import check_gradients

def cost(theta):
    return float(theta @ theta)

assert check_gradients(np.ones(3), 2 * np.ones(3), cost, workers=2)
print("checked", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_killed_kernel():
    """They would have waited for the next check until they are idle, for minutes."""
    kernel = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, timeout=IDLE / 5, check=False
    )
    assert kernel.stdout == b"checked\n"
    assert kernel.returncode == -signal.SIGKILL


# Workers that die; these tests come last, because they leave fewer workers


def dying():
    here = HERE

    def cost(theta):
        if theta[5] > 1 and os.getpid() != here and theta[0] == 1:
            os._exit(1)
        return float(theta @ theta)

    return cost


def require_told(workers):
    with pytest.raises(WorkerLostError) as error:
        check_gradients(np.ones(N), 2 * np.ones(N), dying(), workers=workers)
    assert re.fullmatch(
        r"A worker was lost while it evaluated `cost` \(\w+\): it may have run out of memory, or "
        r"lack a package\. Try fewer workers, or workers=None\.",
        str(error.value),
    )


def test_a_process_dies():
    """The next check has a new process."""
    require_told(2)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=2).passed


def test_a_process_of_the_users_dies():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        require_told(processes)


def test_a_worker_of_a_cluster_dies(cluster):
    require_told(cluster)


def test_an_engine_dies(engines):
    require_told(engines)


def test_nothing_is_kept():
    see_nothing_kept(2)
