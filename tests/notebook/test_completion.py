"""What the Tab key offers after `%gradcheck`, in a real shell."""

import itertools
import warnings

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter

from gradcheck_magic._notebook.completion import around_cursor, completions, users_names

IDENTIFIER = "gradcheck_magic.options"
NOTEBOOK = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from networks import Smooth

net = Smooth()
params, grads, cost_function = net.params, net.grads(), net.cost
W1, b1 = params["W1"], params["b1"]
alias = b1
theta, tasks = np.ones(3), ThreadPoolExecutor()
_hidden, layers, text = np.ones(1), [{"W": W1, "b": b1}, {"W": W1}], "a word"
odd = {"layer 1": np.ones(2), (0, 1): np.ones(2)}

def compute_cost(p): return net.cost(p)
def gradient_of(p): return net.grads()
"""
LONG = [
    "--params", "--grads", "--cost", "--upstream", "--mode", "--budget", "--only", "--epsilon",
    "--call", "--points", "--workers", "--display", "--trace", "--reseed", "--seed",
    "--out", "--quiet", "--no-quiet", "--strict", "--no-strict", "--watch", "--unwatch",
]  # fmt: skip
SHORT = ["-p", "-g", "-c", "-u", "-o", "-q"]


@pytest.fixture
def complete(shell, run):
    """Return a function that lists what is offered at `|` in a cell."""
    run(NOTEBOOK)

    def at_cursor(cell):
        before, _, after = cell.partition("|")
        with provisionalcompleter():
            found = list(shell.Completer.completions(before + after, len(before)))
        if found and found[0]._origin == IDENTIFIER and "\n" not in cell:
            # The old interface, which knows only the line, offers the same.
            fragment, matches = completed_line(shell, before, after)
            assert {completion.start for completion in found} == {len(before) - len(fragment)}
            assert [completion.text for completion in found] == matches
        return [completion.text for completion in found]

    return at_cursor


def completed_line(shell, before, after=""):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        fragment, matches = shell.complete("", before + after, len(before))
    return fragment, list(matches)


OFFERED = {
    # Names of options
    "%gradcheck |": LONG + SHORT,
    "%gradcheck -|": LONG + SHORT,
    "%gradcheck --|": LONG,
    "%gradcheck --p|": ["--params", "--points"],
    "%gradcheck --no|": ["--no-quiet", "--no-strict"],
    "   %gradcheck --mo|": ["--mode"],
    "%%gradcheck --mo|\ngrads = 1": ["--mode"],
    "\n%%gradcheck --mo|": ["--mode"],
    "x = 1\n  %gradcheck --mo|": ["--mode"],
    "%gradcheck -q \\\n  --mo|": ["--mode"],
    # A value that follows a letter at once
    "%gradcheck -ppar|": ["params"],
    # Lines that go on below count as well
    "%gradcheck --p| \\\n --points 3": ["--params"],
    # Options that are there already are not offered, in any form, before or after the cursor
    "%gradcheck --points 3 --p|": ["--params"],
    "%gradcheck --p| --points 3": ["--params"],
    "%gradcheck -q -|": [name for name in LONG + SHORT if "q" not in name],
    "%gradcheck --no-quiet --|": [name for name in LONG if "quiet" not in name],
    "%gradcheck -p=params --eps 1 -|": [
        name for name in LONG + SHORT if name not in {"--params", "-p", "--epsilon"}
    ],
    "%gradcheck --wrong -|": LONG + SHORT,
    # Choices
    "%gradcheck --mode |": ["auto", "full", "scan"],
    "%gradcheck --mode sc|": ["scan"],
    "%gradcheck --mode=sc|": ["scan"],
    "%gradcheck --mode=|": ["auto", "full", "scan"],
    "%gradcheck --mode 's|": ["scan"],
    "%gradcheck --mode='s|'": ["scan"],
    "%gradcheck --mod s|": ["scan"],
    "%gradcheck --mode s| --seed 3": ["scan"],
    "%gradcheck --call |": ["auto", "structured", "flat", "arguments", "closure"],
    "%gradcheck --display=t|": ["text"],
    # Names
    "%gradcheck -p pa|": ["params"],
    "%gradcheck --params=pa|": ["params"],
    '%gradcheck -p "pa|"': ["params"],
    "%gradcheck -p [W1, b|": ["b1"],
    "%gradcheck -p [W1,b|]": ["b1"],
    "%gradcheck -p ([W1,th|": ["theta"],
    "%gradcheck -g g|": ["gradient_of", "grads"],
    "%gradcheck -c co|": ["compute_cost", "cost_function"],
    "%gradcheck -u th|": ["theta"],
    "%gradcheck --workers t|": ["tasks", "text", "theta"],
    "%gradcheck -p _h|": ["_hidden"],
    "%gradcheck -p net.pa|": ["params"],
    "%gradcheck -g [net.params, net.gr|": ["grads"],
    # Parameters
    "%gradcheck --only |": ["W1", "b1", "W2", "b2"],
    "%gradcheck --only W|": ["W1", "W2"],
    "%gradcheck --only=W1,|": ["b1", "W2", "b2"],
    "%gradcheck --only=W1,b|": ["b1", "b2"],
    '%gradcheck --only "W1, b|"': ["b1", "b2"],
    "%gradcheck --only W1 b1 W|": ["W2"],
    "%gradcheck --only b1 |": ["W1", "W2", "b2", *(n for n in LONG + SHORT if n != "--only")],
    "%gradcheck --only | -p [theta, b1]": ["theta", "b1"],
    "%gradcheck -p [W1,alias] --only |": ["W1", "alias"],
    "%gradcheck -p [alias] --only |": ["alias"],
    "%gradcheck -p --only b|": ["b1", "b2"],
    "%gradcheck -p layers --only |": ["layers[0].W", "layers[0].b", "layers[1].W"],
    "%gradcheck -p layers --only layers[0].|": ["layers[0].W", "layers[0].b"],
    "%gradcheck -p net.params --only W|": ["W1", "W2"],
    "%gradcheck -p theta --only |": ["theta"],
    "%gradcheck -p odd --only |": ['"layer 1"', "odd[(0, 1)]"],
    "%gradcheck -p odd --only 'lay|": ["layer 1"],
}


@pytest.mark.parametrize(("cell", "offered"), OFFERED.items())
def test_offered(complete, cell, offered):
    assert complete(cell) == offered


@pytest.mark.parametrize("option", ["-p", "-g", "-c", "-u", "--workers"])
def test_names_of_the_notebook(complete, option):
    """Modules and classes come last; private names and IPython's are left out."""
    *offered, smooth, executor, module = complete(f"%gradcheck {option} |")
    assert offered == sorted(offered)
    assert {"W1", "alias", "compute_cost", "net", "tasks"} <= {*offered}
    assert [smooth, executor, module] == ["Smooth", "ThreadPoolExecutor", "np"]
    assert not {"_hidden", "_gradcheck", "In", "Out", "exit", "get_ipython"} & {*offered}


LEFT_TO_THE_SHELL = [
    "|%gradcheck --mo",
    "%gradch|",
    "%gradcheck|",
    "%%gradcheck\n%gradchec|",
    "%%gradcheck\nthet|",
    "%%gradcheck -p\n--mo|",
    "x = 1\n%%gradcheck --mo|",
    "%gradchecks --mo|",
    "%time %gradcheck --mo|",
    "%gradcheck -q  # --mo|",
    "%gradcheck mo|",
    "%gradcheck --seed |",
    "%gradcheck --out th|",
    "%gradcheck -p params['W|",
    "%gradcheck -p 'net.pa|",
    "%gradcheck -p f(2 * th|",
    "%gradcheck -c 'lambda p: th|",
    "%gradcheck -p 'theta'|",
]


@pytest.mark.parametrize("cell", LEFT_TO_THE_SHELL)
def test_left_to_the_shell(shell, complete, cell):
    """Outside our options, completion is the same as without our matcher."""
    with_ours = complete(cell)
    shell.Completer.disable_matchers = [IDENTIFIER]
    assert complete(cell) == with_ours


def test_configured_name_of_the_parameters(run, complete):
    run("%config GradcheckMagics.params = 'layers'")
    assert complete("%gradcheck --only layers[1]|") == ["layers[1].W"]


def test_added_once_and_removed(shell, run, complete):
    def ours():
        matchers = shell.Completer.custom_matchers
        return [m for m in matchers if getattr(m, "matcher_identifier", "") == IDENTIFIER]

    others = len(shell.Completer.custom_matchers) - 1
    run("%load_ext gradcheck_magic\n%reload_ext gradcheck_magic")
    assert len(ours()) == 1
    assert complete("%gradcheck --mo|") == ["--mode"]
    run("%unload_ext gradcheck_magic")
    assert len(shell.Completer.custom_matchers) == others
    assert complete("%gradcheck --mo|") == []
    run("%load_ext gradcheck_magic")


def matches(shell, line):
    """Return what our own matcher returns."""
    (matcher,) = shell.Completer.custom_matchers
    return matcher(CompletionContext("", line, len(line), 0, None))


class Sensitive:
    """An object that records every access to it."""

    def __init__(self):
        self.__dict__["heard"] = []
        self.__dict__["params"] = {"v": 1.0}

    def __getattr__(self, name):
        self.heard.append(name)
        raise RuntimeError(name)

    def __dir__(self):
        self.heard.append("dir")
        raise RuntimeError

    @property
    def grads(self):
        self.heard.append("grads")
        raise RuntimeError

    @property
    def __class__(self):
        self.heard.append("class")
        raise RuntimeError


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("-p s", ["sensitive"]),
        ("-c s", ["sensitive"]),
        ("-g sensitive.g", []),
        ("-p sensitive.params --only ", ["v"]),
        ("-p sensitive.grads --only ", []),
        ("-p sensitive --only ", []),
        ("-p [sensitive.nothing] --only ", []),
        ("-p print('called') --only ", []),
        ("-p 'sensitive.heard.append(1)' --only ", []),
    ],
)
def test_nothing_is_run(shell, capsys, typed, offered):
    sensitive = Sensitive()
    shell.user_ns["sensitive"] = sensitive
    found = matches(shell, f"%gradcheck {typed}")["completions"]
    assert [completion.text for completion in found] == offered
    assert sensitive.heard == []
    assert capsys.readouterr().out == ""


def test_objects_that_raise(shell, capsys):
    """Errors in the user's objects are not shown while the user types."""

    class Broken(dict):
        def items(self):
            raise RuntimeError

    shell.user_ns["params"] = Broken()
    completed_line(shell, "%gradcheck --only ")
    assert matches(shell, "%gradcheck --only ")["completions"] == []
    assert capsys.readouterr().err == ""


def test_a_variable_without_a_value_is_offered(shell):
    shell.user_ns["pending"] = None
    found = matches(shell, "%gradcheck -p pend")["completions"]
    assert [each.text for each in found] == ["pending"]


def test_many_parameters(shell):
    """Only a thousand are looked at and offered, so that nobody has to wait."""
    looked_at = itertools.count()

    class Items(dict):
        def items(self):
            return (item for item in super().items() if next(looked_at) >= 0)

    shell.user_ns["params"] = Items({f"w{i}": 1.0 for i in range(100_000)})
    assert len(matches(shell, "%gradcheck --only ")["completions"]) == 1000
    assert next(looked_at) <= 1001


def test_at_every_position(shell, run):
    """There is no error behind the guard, and what is replaced is what is before the cursor."""
    run(NOTEBOOK)
    names = users_names(shell)
    for cell in (cell.replace("|", "") for cell in [*OFFERED, *LEFT_TO_THE_SHELL]):
        for number, line in enumerate(cell.split("\n")):
            for cursor in range(len(line) + 1):
                context = CompletionContext("", cell, cursor, number, None)
                fragment, _ = completions(*around_cursor(context), names, "params")
                assert line[:cursor].endswith(fragment)
