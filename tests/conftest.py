"""Fixtures: a real IPython shell, and the check as a function and as a magic."""

import atexit
import gc
import importlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import one_thread  # noqa: F401 (before anything that imports NumPy)
import pytest
from clock import Clock
from hypothesis import settings
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gradcheck_magic import check_gradients

OPTIONS = {"only": "--only {}", "epsilon": "--epsilon {}", "call": "--call {}", "seed": "--seed {}",
           "points": "--points {}"}  # fmt: skip


# How often each process of pytest-xdist threw something odd at the check.
THROWN_ELSEWHERE = []


TESTS = Path(__file__).parent
SLOW = TESTS / "slow"
BROWSER = "tests/slow/browser/"
# What takes longest, the longest first, and would else come late: few tests are in it.
LONGEST = [BROWSER] + [
    f"tests/slow/{name}.py"
    for name in (
        "corpus/test_corpus_checked",
        "runners/test_runners",
        "kernels/test_five_hundred_checks",
        "kernels/test_any_moment",
    )
]
# These folders have no tests; their modules are imported where they are needed.
HELP = [TESTS / name for name in ("benchmarks", "corpus", "golden", "support")]


def pytest_addoption(parser):
    what = "write tests/golden/reports and notebooks/reference.md anew"
    parser.addoption("--update-golden", action="store_true", help=what)
    what = "run the tests in tests/slow as well: browsers, notebook runners, pools, the corpus"
    parser.addoption("--slow", action="store_true", help=what)


def pytest_configure():
    """Make all runs alike: the same examples, and interrupts that work."""
    # A failure is then due to a change, and not to chance.
    settings.register_profile("the same", derandomize=True)
    settings.load_profile("the same")
    # A shell that starts pytest in the background makes it ignore interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Spare the garbage collector all that is there by now; it would look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """Leave out folders without tests, and the slow tests unless they are asked for.

    Importing them alone takes a while.
    """
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    is_asked = config.getoption("slow") or any(path.is_relative_to(SLOW) for path in asked)
    is_left_out = collection_path == SLOW and not is_asked
    return True if is_left_out or collection_path in HELP else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """If each process runs whole files, give all browser tests to one of them, and begin with them.

    So the browser and the Jupyter server are started only once. Other long files come next, so
    that no process is left alone with one at the end.
    """
    if config.getoption("dist") != "loadfile":
        return None
    # If this hook is called, pytest-xdist is installed.
    scheduling = importlib.import_module("xdist.scheduler").LoadFileScheduling

    class WholeFiles(scheduling):
        def _split_scope(self, nodeid):
            return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)

        def _assign_work_unit(self, node):
            if longest := next((each for each in LONGEST if each in self.workqueue), None):
                self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return WholeFiles(config, log)


def thrown():
    """Return how often something odd was thrown at the check in this process."""
    # Most tests do not import this module.
    return sys.modules["throwing"].THROWN.total() if "throwing" in sys.modules else 0


def pytest_sessionfinish(session):
    """Report how often, if this is one of several processes."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["thrown"] = thrown()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Collect the number that each process reports, if there are several."""
    # A process that died reports nothing.
    THROWN_ELSEWHERE.append(getattr(node, "workeroutput", {}).get("thrown", 0))


def pytest_terminal_summary(terminalreporter):
    """Say how often something odd was thrown at the check."""
    if times := thrown() + sum(THROWN_ELSEWHERE):
        terminalreporter.write_line(f"Odd things were thrown at the check {times:,} times.")


@pytest.fixture(autouse=True)
def clock(request, monkeypatch):
    """Return a clock that replaces the check's, except in slow tests, and that only a test moves.

    So whether a check becomes a scan or is stopped does not depend on the machine.
    """
    clock = Clock()
    if not request.path.is_relative_to(SLOW):
        monkeypatch.setattr(time, "perf_counter", clock)
    return clock


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """Yield a real shell with the extension loaded, and with nothing from other tests."""
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}})
    instance = InteractiveShell.instance(config=config)
    instance.run_line_magic("load_ext", "gradcheck_magic")
    yield instance
    instance.run_line_magic("unload_ext", "gradcheck_magic")
    InteractiveShell.clear_instance()
    # At exit, hundreds of shells would each collect garbage once more.
    atexit.unregister(instance.atexit_operations)


@pytest.fixture
def run(shell):
    """Return a function that runs a cell as the user does, and raises any error in it."""

    def run_cell(cell):
        shell.run_cell(cell).raise_error()
        return shell.user_ns.get("_gradcheck")

    return run_cell


@pytest.fixture(params=["function", "magic"])
def check(request):
    """Return `check_gradients`, or the magic on a namespace with the same objects."""
    if request.param == "function":
        return check_gradients
    shell = request.getfixturevalue("shell")

    def through_magic(params, grads, cost_function, *, upstream=None, **options):
        # The names come from dict keys or positions, as they do for the function.
        shell.user_ns["_given"] = (params, grads, cost_function, upstream)
        line = "-p _given[0] -g _given[1] -c _given[2]"
        line += "" if upstream is None else " -u _given[3]"
        for name, value in options.items():
            shown = " ".join(value) if isinstance(value, list) else value
            line += " " + OPTIONS[name].format(shown)
        shell.run_cell(f"%gradcheck {line}").raise_error()
        return shell.user_ns["_gradcheck"]

    return through_magic
