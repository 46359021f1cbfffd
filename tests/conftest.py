"""Fixtures: a real IPython shell, and the check through both of its doors."""

import atexit
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


# By the processes in which pytest-xdist runs the tests.
THROWN_ELSEWHERE = []


TESTS = Path(__file__).parent
SLOW = TESTS / "slow"
# Of no test: what is in them is imported where it is needed.
HELP = [TESTS / name for name in ("benchmarks", "corpus", "golden", "support")]


def pytest_addoption(parser):
    what = "write tests/golden/reports and notebooks/reference.md anew"
    parser.addoption("--update-golden", action="store_true", help=what)
    what = "run the tests in tests/slow as well: browsers, notebook runners, pools, the corpus"
    parser.addoption("--slow", action="store_true", help=what)


def pytest_configure():
    """Make runs alike: with the same examples, and with interrupts that interrupt."""
    # A failure is then the fault of a change, and not of the day.
    settings.register_profile("the same", derandomize=True)
    settings.load_profile("the same")
    # A shell that starts pytest in the background has interrupts ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path, config):
    """Leave out what holds no tests, and the slow ones, unless they are asked for.

    Importing them alone takes a while.
    """
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    is_asked = config.getoption("slow") or any(path.is_relative_to(SLOW) for path in asked)
    is_left_out = collection_path == SLOW and not is_asked
    return True if is_left_out or collection_path in HELP else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where processes run whole files, give one of them all that is tested in the browser.

    So a browser and a Jupyter server are started once.
    """
    if config.getoption("dist") != "loadfile":
        return None
    # It is there where the hook is.
    scheduling = importlib.import_module("xdist.scheduler").LoadFileScheduling
    browser = "tests/slow/browser/"

    class WholeFiles(scheduling):
        def _split_scope(self, nodeid):
            return browser if nodeid.startswith(browser) else super()._split_scope(nodeid)

    return WholeFiles(config, log)


def thrown():
    """How often something odd was thrown at the check, in this process."""
    # It is there where it was imported: most tests have no need of it.
    return sys.modules["throwing"].THROWN.total() if "throwing" in sys.modules else 0


def pytest_sessionfinish(session):
    """In one of several processes: hand over how often."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["thrown"] = thrown()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Where several processes run the tests: add up what each hands over."""
    # One that died has nothing to hand over.
    THROWN_ELSEWHERE.append(getattr(node, "workeroutput", {}).get("thrown", 0))


def pytest_terminal_summary(terminalreporter):
    """Say how often something odd was thrown at the check."""
    if times := thrown() + sum(THROWN_ELSEWHERE):
        terminalreporter.write_line(f"Odd things were thrown at the check {times:,} times.")


@pytest.fixture(autouse=True)
def clock(request, monkeypatch):
    """A check's time, which stands still but where a test lets it pass; in slow tests it is real.

    So it does not depend on the machine whether a check becomes a scan, or is stopped.
    """
    clock = Clock()
    if not request.path.is_relative_to(SLOW):
        monkeypatch.setattr(time, "perf_counter", clock)
    return clock


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A real shell with the extension loaded, and nothing of another test in it."""
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
    """Run a cell as the user does: an error in it is raised here."""

    def run_cell(cell):
        shell.run_cell(cell).raise_error()
        return shell.user_ns.get("_gradcheck")

    return run_cell


@pytest.fixture(params=["function", "magic"])
def check(request):
    """`check_gradients`, or the magic on a namespace that holds the same objects."""
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
