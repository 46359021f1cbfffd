"""Workers in one process: threads evaluate the cost, and unsuitable workers are refused.

Processes and clusters are tested in `tests/slow/clusters`.
"""

import importlib
import itertools
import sys
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor, wait

import loky
import numpy as np
import pytest
from clock import SECONDS
from shared_costs import (
    CASES,
    AtOnce,
    StrangeError,
    closure,
    known,
    outside_the_domain,
    see_an_error_of_the_cost,
    see_nothing_kept,
    see_the_same_bits,
    see_the_same_bits_of_a_scan,
    structured,
    sum_of_squares,
)

from gradcheck_magic import InputError, check_gradients
from gradcheck_magic._cost import workers
from gradcheck_magic._cost.worker_process import _known


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_of_one_worker(case):
    see_the_same_bits(case, 1)


def test_warnings_of_a_check_in_a_thread():
    """A check in another thread than the main one silences as many warnings as there."""
    theta = np.ones(300)

    def cost(x):
        warnings.warn("the cost's own", stacklevel=1)
        return x @ x

    def told(run):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
        return len(caught)

    def check():
        check_gradients(theta, 2 * theta, cost, mode="scan")

    def check_in_thread():
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()

    assert told(check_in_thread) == told(check) > 0


@pytest.mark.parametrize("name", ["at once", "threads"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_in_one_process(threads, case, name):
    workers = {"at once": AtOnce(), "threads": threads}[name]
    if case is closure and name == "threads":
        params, grads, cost, _ = closure()
        with pytest.raises(InputError) as error:
            check_gradients(params, grads, cost, workers=workers)
        assert str(error.value) == (
            "`cost_function` reads the notebook's arrays, which several threads would move at the "
            "same time: set `workers` to a number or a pool of processes, or make the parameters "
            "an argument of `cost_function`."
        )
    else:
        see_the_same_bits(case, workers)


@pytest.mark.parametrize("n_wrong", [0, 3])
def test_the_same_bits_of_a_scan(threads, n_wrong):
    see_the_same_bits_of_a_scan(n_wrong, threads)


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
    # Imported first, because loky itself imports cloudpickle.
    importlib.import_module("loky")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as error:
        check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=2)
    assert str(error.value) == f"{sentence}: pip install gradcheck_magic[parallel]."
    with ThreadPoolExecutor(2) as threads:
        assert check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=threads)


LOKYS = loky.reusable_executor._ReusablePoolExecutor
CANNOT_START = {
    "no threads": (threading.Thread, "start", RuntimeError("can't start new thread")),
    "no processes": (LOKYS, "submit", OSError(138, "no fork")),
    "no semaphores": (loky, "get_reusable_executor", NotImplementedError("no sem_open")),
    "no module": (loky, "get_reusable_executor", ImportError("no", name="_multiprocessing")),
}  # fmt: skip


@pytest.mark.parametrize("kind", CANNOT_START)
def test_cannot_start(monkeypatch, kind):
    """In a browser, Python has neither threads nor processes, even if loky is there."""
    owner, name, error = CANNOT_START[kind]

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(owner, name, fails)
    with pytest.raises(InputError) as caught:
        check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares, workers=2)
    assert str(caught.value) == (
        f"`workers` is 2, but this Python cannot start processes ({error}): leave out --workers "
        "(in Python, workers=None)."
    )
    assert check_gradients(np.ones(2), 2 * np.ones(2), sum_of_squares)


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


def test_the_cost_is_sent_to_who_does_not_know_it():
    """A worker that joins late has several tasks waiting by the time it is sent the cost."""

    class Late(AtOnce):
        _max_workers = 4

        def __init__(self):
            self.tasks = []

        def submit(self, function, task):
            self.tasks.append(task)
            if len(self.tasks) == self._max_workers + 1:
                _known.key = None
            return super().submit(function, task)

    params, grads, cost, _ = structured()
    workers = Late()
    check = check_gradients(params, grads, cost, mode="full", workers=workers)
    assert known(check) == known(check_gradients(params, grads, cost, mode="full"))
    assert len({task.number for task in workers.tasks}) == len(workers.tasks)
    greetings, later = workers.tasks[:4], workers.tasks[4:]
    assert all(task.pickled is not None for task in greetings)
    assert 1 <= sum(task.pickled is not None for task in later) <= 2 * Late._max_workers


def test_threads_share_the_filters_of_warnings(threads):
    """The filters are left alone, and warnings from steps outside the domain are not shown."""
    filters = list(warnings.filters)
    params, grads, _, _ = outside_the_domain()
    check_gradients(params, grads, lambda t: float(np.log(t).sum()), epsilon=0.1, workers=threads)
    assert warnings.filters == filters


@pytest.mark.parametrize("kind", [ValueError, StrangeError])
def test_errors_of_the_cost(threads, kind):
    see_an_error_of_the_cost(kind, threads)


def test_no_call_goes_on_after_an_error(threads, monkeypatch):
    """The check waits for what the other thread still evaluates, before the last call at θ."""
    theta, calls, ended = np.ones(300), itertools.count(), []
    is_busy, may_end = threading.Event(), threading.Event()

    def cost(x):
        if threading.current_thread() is not threading.main_thread():
            match next(calls):
                case 0:
                    assert is_busy.wait(SECONDS)
                    raise LookupError
                case 1:
                    is_busy.set()
                    assert may_end.wait(SECONDS)
        ended.append(np.array_equal(x, theta))
        return float(x @ x)

    monkeypatch.setattr(workers, "wait", lambda *given: (may_end.set(), wait(*given))[1])
    try:
        with pytest.raises(LookupError):
            check_gradients(theta, 2 * theta, cost, mode="full", workers=threads)
        assert may_end.is_set()
        assert ended[-1]
    finally:
        may_end.set()


def test_notebook_with_an_executor(run, shell, threads):
    shell.user_ns["pool"] = threads
    run("import numpy as np\nparams = np.ones(3)\ngrads = 2 * params")
    run("def cost_function(params): return float(params @ params)")
    assert run("%gradcheck --workers pool").passed
    run("%config GradcheckMagics.workers = pool")
    assert run("%gradcheck").passed
    run("%config GradcheckMagics.workers = 0")
    with pytest.raises(InputError, match="workers` is 0"):
        run("%gradcheck")
    with pytest.raises(InputError, match=r"`pol` is not defined .did you mean `pool`"):
        run("%gradcheck --workers pol")


def test_nothing_is_kept(threads):
    see_nothing_kept(threads)
