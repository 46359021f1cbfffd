"""The cost is evaluated by workers: the same numbers, whoever they are, and no hanging."""

import gc
import os
import pickle
import re
import signal
import sys
import threading
import time
import warnings
import weakref
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

from gradcheck_magic import (
    GradientCheckInterrupted,
    InputError,
    WorkerLostError,
    check_gradients,
)
from gradcheck_magic._cost.convention import Binding, Convention
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._cost.evaluation import EntryBatch, Evaluator
from gradcheck_magic._cost.worker_process import _known
from gradcheck_magic._cost.workers import Workers, pool_of
from gradcheck_magic._inputs.parameters import VariableNames, collect

HERE = os.getpid()
N = 40
# Nothing here is about time: what is long is only long enough.
LONG = 60.0


class AtOnce(Executor):
    """An executor of another library: only its `submit` is known, and it pickles what it gets."""

    def submit(self, function, /, *args):
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args))))))
        return future


# Those who evaluate


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def cluster():
    """A cluster of Dask's; a worker that dies is not replaced for the same task."""
    distributed = pytest.importorskip("distributed")
    config = pytest.importorskip("dask").config
    options = {"dashboard_address": ":0", "n_workers": 2, "threads_per_worker": 1}
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture(scope="module")
def engines():
    """Engines of ipyparallel's, which know of our modules what the environment tells them."""
    ipyparallel = pytest.importorskip("ipyparallel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        with ipyparallel.Cluster(n=2, log_level=40) as client:
            client.wait_for_engines(2, interactive=False)
            yield client.executor()


POOLS = ["1", "2", "3", "at once", "threads", "processes", "cluster", "engines"]


def pool(request, name):
    if name.isdigit():
        return int(name)
    return AtOnce() if name == "at once" else request.getfixturevalue(name)


# What is evaluated. Functions in functions are pickled whole, as those of a notebook are.


def sum_of_squares(theta):
    """A cost that workers import."""
    return float(theta @ theta)


def network(dtype=np.float64, wrong=1.0):
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(7, 4)).astype(dtype), random.normal(size=(7, 3)).astype(dtype)
    W, b = random.normal(size=(4, 3)).astype(dtype), random.normal(size=3).astype(dtype)

    def loss(W, b):
        return np.mean((np.tanh(X @ W + b) - Y) ** 2)

    A = np.tanh(X @ W + b)
    dZ = 2 * (A - Y) * (1 - A**2) / Y.size
    dW, db = X.T @ dZ, dZ.sum(axis=0)
    dW[1, 2] *= wrong
    return {"W": W, "b": b}, {"dW": dW, "db": db}, loss


def structured():
    params, grads, loss = network(wrong=1.5)
    return params, grads, lambda p: (loss(p["W"], p["b"]), "cache"), {}


def in_single_precision():
    params, grads, loss = network(np.float32)
    return params, grads, lambda p: loss(p["W"], p["b"]), {}


def single_by_itself():
    params, grads, loss = network(np.float32, wrong=1.1)
    return params, grads, lambda p: np.float32(loss(*(p[k].astype("f4") for k in "Wb"))), {}


def arguments():
    params, grads, loss = network()
    return list(params.values()), list(grads.values()), loss, {}


def by_keyword():
    params, grads, loss = network(wrong=0.0)
    return params, grads, lambda *, b, W: loss(W, b), {"only": ["W"]}


def flat():
    params, grads, loss = network()
    cost = lambda t: loss(t[:12].reshape(4, 3), t[12:])  # noqa: E731
    return params, grads, cost, {"call": "flat"}


def closure():
    params, grads, loss = network(wrong=1.5)
    W, b = params.values()
    return [W, b], list(grads.values()), lambda: loss(W, b), {}


def keeps_its_argument():
    kept = {}

    def cost(theta):
        if id(theta) not in kept:
            kept[id(theta)] = theta, float(theta @ theta)
        return kept[id(theta)][1]

    theta = np.linspace(1, 2, 7)
    return theta, 2 * theta, cost, {}


def numbers():
    return {"w": 2.0, "b": 1.0}, {"dw": 4.0, "db": 3.0}, lambda p: p["w"] ** 2 + 2 * p["b"], {}


def upstream():
    random = np.random.default_rng(0)
    x, w, dout = (random.normal(size=shape) for shape in [(5, 3), (3, 4), (5, 4)])
    return [x, w], [dout @ w.T, x.T @ dout], lambda x, w: (x @ w, "cache"), {"upstream": dout}


def on_kinks():
    theta = np.array([0.0, 1.0, -1e-8, 2.0, 0.0, 1e-9, -3.0])
    return theta, np.sign(theta), lambda t: float(np.abs(t).sum()), {}


def outside_the_domain():
    theta = np.array([1e-8, 1e-3, 1.0, 2.0])

    def cost(t):
        if t.min() <= 0:
            raise ValueError
        return float(np.log(t).sum())

    return theta, 1 / theta, cost, {"epsilon": 1e-5}


def noisy():
    theta = np.linspace(1, 2, 9)
    return theta, 3 * theta**2, lambda t: float(np.round((t**3).sum(), 6)), {}


CASES = [structured, in_single_precision, single_by_itself, arguments, by_keyword, flat, closure,
         keeps_its_argument, numbers, upstream, on_kinks, outside_the_domain, noisy]  # fmt: skip


def known(check):
    """All that a check says, but for the number of evaluations and how long it took."""
    arrays = [check.numerical, check.uncertainty, check.analytic, check.wrong, check.kinked]
    summary = {**check.to_dict(), "n_evaluations": None, "seconds": None}
    return [array.tobytes() for array in arrays], summary


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("case", CASES)
def test_the_same_bits(request, case, name):
    params, grads, cost, options = case()
    workers = pool(request, name)
    alone = check_gradients(params, grads, cost, **options)
    if case is closure and name in {"at once", "threads"}:
        with pytest.raises(InputError, match="which threads would move under each other"):
            check_gradients(params, grads, cost, workers=workers, **options)
    else:
        shared = check_gradients(params, grads, cost, workers=workers, **options)
        assert known(shared) == known(alone)


@pytest.mark.parametrize("name", ["2", "3", "threads", "processes"])
@pytest.mark.parametrize("n_wrong", [0, 3])
def test_the_same_bits_of_a_scan(request, name, n_wrong):
    """Its directions are made in the workers, of the same random numbers."""
    random = np.random.default_rng(0)
    params = {"W": random.normal(size=(30, 20)), "b": random.normal(size=20)}
    X = random.normal(size=(9, 30))
    grads = {"dW": X.T @ (1 - np.tanh(X @ params["W"] + params["b"]) ** 2)}
    grads["db"] = (1 - np.tanh(X @ params["W"] + params["b"]) ** 2).sum(axis=0)
    grads["dW"][[3, 4, 20][:n_wrong], 5] *= 1.5

    def cost(p):
        return float(np.tanh(X @ p["W"] + p["b"]).sum())

    workers = pool(request, name)
    alone = check_gradients(params, grads, cost, mode="scan")
    shared = check_gradients(params, grads, cost, mode="scan", workers=workers)
    assert known(shared) == known(alone)
    assert len(alone.wrong_entries) == n_wrong


def test_a_budget_is_kept():
    def cost(theta):
        time.sleep(0.02)
        return float(theta @ theta)

    theta = np.linspace(1, 2, 400)
    # To start the processes may take as long as that.
    check_gradients(theta[:20], 2 * theta[:20], cost, workers=2)
    check = check_gradients(theta, 2 * theta, cost, mode="full", workers=2, budget=1.5)
    assert check.interrupted
    assert 0 < check.n_measured < 400
    assert check.reasons[0].startswith("The budget was used up: ")
    # Those of two workers, and no more than fit there.
    assert check.n_evaluations * 0.02 <= 2 * 1.5 + 0.1


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

    alone = check_gradients(params, gradient, cost, points=2)
    shared = check_gradients(params, gradient, cost, points=2, workers=2)
    assert known(shared) == known(alone)


def test_imported_function():
    theta = np.ones(3)
    assert check_gradients(theta, 2 * theta, sum_of_squares, workers=2).passed


def test_floating_point_errors():
    """What NumPy was told to raise here, it raises there."""
    theta = np.array([1.0, 709.7827128])

    def cost(t):
        return float(np.exp(t).max() * 1e-300)

    with np.errstate(over="raise"):
        for workers in (None, 2):
            with pytest.raises(FloatingPointError, match="overflow"):
                check_gradients(theta, theta, cost, workers=workers)


def test_evaluations_are_counted():
    """Here and there, and progress never goes backwards."""
    seen = []
    theta = np.linspace(1, 2, N)
    check = check_gradients(
        theta, 2 * theta, lambda t: float(t @ t), workers=2, progress=lambda *s: seen.append(s)
    )
    done = [state[0] for state in seen]
    assert done == sorted(done)
    assert done[-1] == check.n_evaluations > 2 * N
    assert seen[-1][0] == seen[-1][1]


# What goes wrong


@pytest.mark.parametrize(
    ("workers", "found"),
    [(0, "0"), (-1, "-1"), (2.0, "2.0"), ("2", "'2'"), (True, "True"), ([2], "[2]")],
)
def test_not_workers(workers, found):
    with pytest.raises(InputError) as error:
        check_gradients(np.ones(2), np.ones(2), sum, workers=workers)
    assert str(error.value) == (
        f"`workers` is {found}: expected a positive integer, or an executor, such as a "
        "ProcessPoolExecutor or a Dask client's get_executor()."
    )


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("loky", "`workers` is 2, which needs loky"),
        ("cloudpickle", "`workers` needs cloudpickle to send `sum_of_squares`"),
    ],
)
def test_not_installed(monkeypatch, package, sentence):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as error:
        check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=2)
    assert str(error.value) == f"{sentence}: pip install gradcheck_magic[parallel]."
    with ThreadPoolExecutor(2) as threads:
        assert check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=threads)


def test_cannot_be_pickled():
    lock = threading.Lock()

    def cost(theta):
        with lock:
            return float(theta @ theta)

    with pytest.raises(InputError) as error:
        check_gradients(np.ones(2), 2 * np.ones(2), cost, workers=2)
    assert str(error.value) == (
        "`cost` cannot be sent to `workers`: cannot pickle '_thread.lock' object. Create that "
        "object inside the function, or use workers=None."
    )


def test_executor_that_answers_otherwise():
    class Twice(AtOnce):
        def submit(self, function, /, *args):
            future = Future()
            once = super().submit(function, *args)
            future.set_result([once.result(), once.result()])
            return future

    with pytest.raises(InputError, match=r"`workers` returned a list: .* Client.executor"):
        check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=Twice())


def test_the_cost_is_sent_once_to_who_does_not_know_it():
    """A worker that came later has several tasks waiting by the time it is sent the cost."""

    class Late(AtOnce):
        _max_workers = 4

        def __init__(self):
            self.tasks = []

        def submit(self, function, task):
            self.tasks.append(task)
            if sum(task.batch is not None for task in self.tasks) == 1:
                _known.costs.clear()
            return super().submit(function, task)

    params, grads, cost, _ = structured()
    workers = Late()
    check = check_gradients(params, grads, cost, workers=workers)
    assert known(check) == known(check_gradients(params, grads, cost))
    assert len({task.number for task in workers.tasks}) == len(workers.tasks)
    greetings = [task for task in workers.tasks if task.batch is None]
    sent = [task for task in workers.tasks if task.batch is not None and task.recipe is not None]
    assert (len(greetings), len(sent)) == (4, 1)


def test_threads_of_a_cluster():
    """Only the cluster knows that its workers are threads of this process."""
    distributed = pytest.importorskip("distributed")
    options = {"dashboard_address": ":0", "n_workers": 1, "threads_per_worker": 2}
    with (
        distributed.LocalCluster(processes=False, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = client.get_executor()
        params, grads, cost, _ = closure()
        with pytest.raises(InputError) as error:
            check_gradients(params, grads, cost, workers=workers)
        params, grads, cost, _ = structured()
        alone = check_gradients(params, grads, cost)
        assert known(check_gradients(params, grads, cost, workers=workers)) == known(alone)
    assert str(error.value) == (
        "`cost_function` reads the notebook's arrays, which several threads would move at the same "
        "time: set `workers` to a number or a pool of processes, or make the parameters an "
        "argument of `cost_function`."
    )


def test_threads_share_the_filters_of_warnings(threads):
    """They are left alone, and what a step outside the domain warns of is not heard."""
    filters = list(warnings.filters)
    params, grads, _, _ = outside_the_domain()
    check_gradients(params, grads, lambda t: float(np.log(t).sum()), epsilon=0.1, workers=threads)
    assert warnings.filters == filters


def test_time_is_looked_at_while_waiting():
    """Whatever takes its time in a worker, a deadline is noticed."""
    parameters = collect(np.ones(3), VariableNames({}), only=None, names=None)
    theta = parameters.theta()
    binding = Binding(Convention.FLAT, parameters, theta)
    evaluator = Evaluator(lambda _: time.sleep(LONG), "cost", None, 8)

    def check_time():
        raise TimeoutError("late")

    workers = Workers(pool_of(2), evaluator, binding, check_time)
    with pytest.raises(TimeoutError, match="late"):
        list(workers.parts(binding, EntryBatch(0, range(3), 1e-7)))
    assert check_gradients(theta, 2 * theta, sum_of_squares, workers=2).passed


class StrangeError(Exception):
    """It cannot be unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize("name", ["2", "threads", "cluster", "engines"])
@pytest.mark.parametrize("kind", [ValueError, StrangeError])
def test_errors_of_the_cost(request, name, kind):
    """They come as they are, from where they happen, and what was done before them counts."""
    arguments = ("one", "other")

    def cost(theta):
        if theta[5] > 1:
            raise kind(*arguments)
        return float(theta @ theta)

    parameters = collect(np.ones(N), VariableNames({}), only=None, names=None)
    plus, minus = np.full((2, N), np.nan)
    with Cost(cost, parameters, call="structured", workers=pool(request, name)) as there:
        with pytest.raises(kind) as error:
            there.fill(there.own, EntryBatch(0, range(N), 1e-7), plus, minus)
        assert there.n_filled == 5
    assert np.isfinite(plus).sum() == 5
    assert error.traceback[-1].name == "cost"
    (note,) = error.value.__notes__
    assert note == (
        "This happened with `params[5]` moved by 1e-07; at the parameters themselves "
        "`cost_function` works."
    )


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


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module beside the notebook."""
    (tmp_path / "beside.py").write_text(MODULE.format(1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return __import__("beside")


def test_arrays_of_an_imported_module(module):
    """The module's array in the worker is another one than that in `params`."""
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
    """Pickled, a view is an array of its own."""
    base = np.linspace(1, 2, 12).reshape(3, 4)
    view = base[:, 1:3]
    with pytest.raises(InputError, match="in a worker, but"):
        check_gradients(view, 2 * view, lambda: float((base**2).sum()), workers=2)


def test_module_that_was_edited(module, tmp_path):
    """Processes that imported it before are begun anew."""
    theta = np.ones(3)
    assert check_gradients(theta, 2 * theta, module.scaled, workers=2).passed
    (tmp_path / "beside.py").write_text(MODULE.format(10))
    del sys.modules["beside"]
    edited = __import__("beside")
    assert check_gradients(theta, 20 * theta, edited.scaled, workers=2).passed


# Interrupts


def interrupt():
    os.kill(HERE, signal.SIGINT)


def interrupted(cost, workers):
    """Return what was known when an interrupt came while the check waited."""
    theta = np.linspace(1, 2, 400)
    timers = []

    def progress(done, *_):
        if done > 200 and not timers:
            timers.append(threading.Timer(0.02, interrupt))
            timers[0].start()

    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients(theta, 2 * theta, cost, workers=workers, progress=progress)
    check = error.value.check
    assert check.interrupted
    assert 0 < check.n_measured < 400
    assert check.numerical == pytest.approx(2 * theta[: check.n_measured], rel=1e-6)
    return check


@pytest.mark.parametrize("name", ["2", "threads", "cluster", "engines"])
def test_interrupt(request, name):
    """What was measured is known, and the workers are there for the next check."""

    def cost(theta):
        time.sleep(0.005)
        return float(theta @ theta)

    workers = pool(request, name)
    interrupted(cost, workers)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=2).passed


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
def test_notebook(run, module, cost):
    """Functions of cells, which use others, their arrays and imported modules."""
    run(CELL)
    run(cost)
    alone = run("%gradcheck")
    assert alone.passed
    assert known(run("%gradcheck --workers 2")) == known(alone)
    run("grads['dW'][1, 1] *= 2")
    assert run("%gradcheck --workers=1+1").wrong_entries == (("W", (1, 1)),)


def test_notebook_with_an_executor(run, shell, threads):
    shell.user_ns["pool"] = threads
    run("import numpy as np\nparams = np.ones(3)\ngrads = 2 * params")
    run("def cost_function(params): return float(params @ params)")
    assert run("%gradcheck --workers pool").passed
    run("%config GradcheckMagics.workers = pool")
    assert run("%gradcheck").passed
    run("%config GradcheckMagics.workers = 0")
    with pytest.raises(InputError, match="`workers` is 0"):
        run("%gradcheck")
    with pytest.raises(InputError, match=r"`pol` is not defined .did you mean `pool`"):
        run("%gradcheck --workers pol")


# Workers that die, after which there are fewer


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
    assert str(error.value) == (
        "A worker died while it evaluated `cost`, perhaps from lack of memory: try fewer workers, "
        "or workers=None."
    )


def test_a_process_dies():
    """The next check has a new one."""
    require_told(2)
    assert check_gradients(np.ones(3), 2 * np.ones(3), sum_of_squares, workers=2).passed


def test_a_process_of_the_users_dies():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        require_told(processes)


def test_a_worker_of_a_cluster_dies(cluster):
    require_told(cluster)


def test_an_engine_dies(engines):
    require_told(engines)


@pytest.mark.parametrize("name", ["2", "threads"])
def test_nothing_is_kept(request, name):
    """After the check, nothing of the user's is alive because of it."""
    data = np.ones(1000)
    theta = np.linspace(1, 2, N)
    alive = weakref.ref(data)

    cost = partial(lambda data, t: float(t @ t) + float(data[0]), data)
    check_gradients(theta, 2 * theta, cost, workers=pool(request, name))
    del data, cost
    gc.collect()
    assert alive() is None
