"""`%gradcheck --watch`: which cells cause a check, and what the line under them says."""

import ast
import io
import re
import signal
import sys
import time
import weakref
from argparse import Namespace

import numpy as np
import pytest
from IPython.utils.capture import capture_output
from odd_rows import PARAMETERS
from watched import RIGHT, WATCHED

from gradcheck_magic import GradientCheckFailed, InputError, Verdict
from gradcheck_magic._inputs.fingerprint import BYTES_AT_ONCE, digest
from gradcheck_magic._notebook import snapshot, watch
from gradcheck_magic._notebook.snapshot import Snapshot
from gradcheck_magic._notebook.watch import Watch

SHOWN = r"`_gradcheck` shows the card\."
OLDER = r"`cost_function`, or something it uses, has changed since `grads` was computed\."
STALE = r"not checked: `params` have changed since `grads` was computed\."


@pytest.fixture
def cell(shell, run, monkeypatch):
    """Return a function that runs a cell and returns its output, with enough time for a check."""
    monkeypatch.setattr(watch, "LEAST_SECONDS", 30.0)
    run(WATCHED)

    def printed_by(code):
        with capture_output() as captured:
            run(code)
        return re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout).strip()

    return printed_by


@pytest.fixture
def watched(cell):
    """Return the same function, with the usual gradient being watched."""
    assert cell("%gradcheck --watch").startswith("✓ Backpropagation is correct.")
    return cell


CELLS = {
    # Nothing that the check uses changes.
    "another name": ("z = 1", ""),
    "no code": ("", ""),
    "what is read is only used": ("z = backward(params), X.sum(), predict(params)", ""),
    "a function that nobody calls": ("def unused():\n    return X", ""),
    "there and back again": ("X[0] *= 2\nX[0] /= 2", ""),
    # The gradient.
    "computed anew, the same": ("grads = backward(params)", RIGHT),
    "one entry in place": (
        "grads['dw'][1] *= 2",
        rf"✗ \S+ · `dw` is 2.000 times .* in 1 of 4 entries, \[1\], and correct in .*\. {SHOWN}",
    ),
    "two signs in place": ("grads['dw'][:2] *= -1", rf"✗ .*{SHOWN}"),
    "one bit": ("grads['dw'][2] = np.nextafter(grads['dw'][2], 9)", RIGHT),
    "another number in it": ("grads['db'] = 0.0", rf"✗ \S+ · `db` .*{SHOWN}"),
    "another name in it": ("grads['dW'] = grads.pop('dw')", r"not checked: .*"),
    "another shape": (
        "grads['dw'] = grads['dw'][:2]",
        r"not checked: `dw` has shape \(2,\), but `w` has shape \(4,\): .*",
    ),
    "deleted": ("del grads", r"not checked: `grads` is not defined: .*"),
    # The parameters.
    "the same values under the same name": ("params = {**params}", RIGHT),
    "another array of the same values": ("params['w'] = params['w'].copy()", RIGHT),
    "parameters alone": ("params['w'] -= 0.1 * grads['dw']", STALE),
    "parameters alone, a number": ("params['b'] += 1", STALE),
    "parameters and gradient": (
        "params['w'] -= 0.1 * grads['dw']\ngrads = backward(params)",
        RIGHT,
    ),
    # What the cost reads.
    "a number": ("lam = 0.2", rf"✗ \S+ · `dw` is off by .*`lam`.* {OLDER} {SHOWN}"),
    "data in place": ("X[0] *= 2", rf"✗ .* {OLDER} {SHOWN}"),
    "data and gradient": ("X[0] *= 2\ngrads = backward(params)", RIGHT),
    "rows exchanged, which makes no difference": (
        "X[[0, 1]], y[[0, 1]] = X[[1, 0]], y[[1, 0]]",
        RIGHT,
    ),
    "a function that the cost calls": (
        "def predict(p):\n    return X @ p['w'] - p['b']",
        rf"✗ .* {OLDER} {SHOWN}",
    ),
    "its code": ("predict.__code__ = (lambda p: X @ p['w']).__code__", rf"✗ .* {OLDER} {SHOWN}"),
    "an error in it": (
        "def predict(p):\n    return 1 / 0",
        r"not checked: ZeroDivisionError: division by zero\. Run %gradcheck to see where\.",
    ),
    "an exit in it": (
        "def predict(p):\n    raise SystemExit",
        r"not checked: SystemExit\. Run %gradcheck to see where\.",
    ),
    "words and a warning": (
        "def predict(p):\n    print('!')\n    np.log(-1.0)\n    return X @ p['w'] + p['b']",
        RIGHT,
    ),
    "not a number": (
        "y[0] = np.nan",
        r"not checked: `cost_function` is nan at the given parameters: .*",
    ),
    # Cells inside cells, and cells with a check of their own.
    "a cell in a cell": ("get_ipython().run_cell('grads = backward(params)')\nz = 1;", RIGHT),
    "twice in a cell": ("for _ in range(2):\n    get_ipython().run_cell('y += 0; X *= 1');", ""),
    "under another magic": ("%%time\ngrads = backward(params)", rf"(?s).*\n{RIGHT}"),
    "a cost that runs cells": (
        "def predict(p):\n    get_ipython().run_cell('lam *= 1')\n    return X @ p['w'] + p['b']",
        RIGHT,
    ),
    "a check of its own": ("%%gradcheck -q\ngrads = backward(params)", ""),
    "a check of another": ("grads = backward(params)\n%gradcheck -q -p params", ""),
}


@pytest.mark.parametrize(("code", "line"), CELLS.values(), ids=CELLS)
def test_cells(watched, code, line):
    """The line says whether the cell was checked; the next cell changes nothing and has no line."""
    assert re.fullmatch(line, watched(code))
    assert watched("z = 2") == ""


def test_it_goes_on(watched):
    """The watch continues while one thing after another goes wrong and is fixed."""
    for code, line in [
        ("del params", "not checked: `params` is not defined"),
        ("params = {'w': np.ones(4), 'b': 0.0}", "not checked: `params` have changed since"),
        ("X[0] = 1", "not checked: `params` have changed since"),
        ("grads = backward(params)", "✓"),
        ("keep = cost_function; del cost_function", "not checked: `cost_function` is not defined"),
        ("cost_function = 3", "not checked: `cost_function` is a number"),
        ("cost_function = keep", "✓"),
    ]:
        assert watched(code).startswith(line)


def test_values_as_they_were(watched):
    """Parameters that are moved and moved back match the gradient again."""
    assert re.fullmatch(STALE, watched("before = params['w'].copy()\nparams['w'][0] += 1"))
    assert re.fullmatch(RIGHT, watched("params['w'][:] = before"))


def test_equal_numbers(cell):
    """A variable that takes the value of another one has changed."""
    cell("a, b, c = 1, 1, 2\ndef predict(p):\n    return a * b * c / 2 * X @ p['w'] + p['b']")
    cell("%gradcheck --watch")
    assert cell("b = 2").startswith("✗")


@pytest.mark.parametrize("code", ["lam = 0.2\n1 / 0", "lam = 0.2\nawait 1 / 0"])
def test_a_cell_that_raises(shell, watched, code):
    """It causes no check; the next cell without an error does."""
    with capture_output() as captured:
        assert not shell.run_cell(code).success
        assert not shell.run_cell("lam =").success
    assert "✗" not in captured.stdout
    assert watched("z = 1").startswith("✗")


def test_silent(shell, watched):
    """There is no check if a front end looks at variables in a silent cell."""
    with capture_output() as captured:
        assert shell.run_cell("lam = 0.2", silent=True).success
    assert captured.stdout == ""
    assert watched("z = 1").startswith("✗")


def test_an_address_that_is_used_again(watched):
    """Other values are noticed even if they are at the address of an array that is gone."""
    code = """
        place = id(grads["dw"])
        for _ in range(100):
            grads["dw"] = None
            grads["dw"] = np.zeros(4)
            if id(grads["dw"]) == place: break
        """
    assert watched(code).startswith("✗")


SUBJECTS = {
    # The options, a cell, and the beginning of its line.
    "variables": ("-p [w,b] -g [dw,db] -c by_arrays", "dw *= 2", "✗"),
    "variables, one of them anew": ("-p [w,b] -g [dw,db] -c by_arrays", "w = w.copy()", "✓"),
    "variables, alone": (
        "-p [w,b] -g [dw,db] -c by_arrays",
        "w -= 1",
        "not checked: `[w,b]` have changed since `[dw,db]` was computed.",
    ),
    "a function for the gradient": ("-g backward", "params['w'] -= 1", "✓"),
    "an expression for it": ('-g "backward(params)"', "params['w'] -= 1", "✓"),
    "an expression, and what it calls": (
        '-g "backward(params)"',
        "def backward(p):\n    return grads\nparams['w'] -= 1",
        "✗",
    ),
    "a lambda": ('-c "lambda p: cost_function(p)"', "X *= 2", "✗"),
    "an object": ("-p net.params -g net.grads -c net.cost", "net.grads = backward(params)", "✓"),
    "an object's parameters alone": (
        "-p net.params -g net.grads -c net.cost",
        "net.params['w'] -= 1",
        "not checked: `net.params` have changed since `net.grads` was computed.",
    ),
    "an attribute without a dict": ("-c slotted", "slotted.lam = 0.2", "✗"),
    "an object's number": ("-p net.params -g net.grads -c net.cost", "net.scale = 2", "✗"),
    "a method": ("-c net.cost", "Net.inner = lambda self, p: 2 * cost_function(p)", "✗"),
    "a property": ("-p net.stored -g net.grads -c net.cost", "z = 1", ""),
    "an argument of a partial": ("-c bound", "bound.keywords['more'][0] = 1", "✓"),
    "a default": ("-c by_default", "data[0] *= 2", "✗"),
    "a variable of a function around it": ("-c enclosed", "enclosed.data[0] *= 2", "✗"),
    "a wrapped function": ("-c wrapped", "X *= 2", "✗"),
    "a cached function": ("-c cached", "z = helper(2)", ""),
    "a cached function, its code": (
        "-c cached",
        "helper.__wrapped__.__code__ = (lambda n: 2 * n).__code__; helper.cache_clear()",
        "✗",
    ),
    "an item": ("-p both[0] -g both[1]", "both[1]['dw'] *= 2", "✗"),
    "one parameter alone": ("--only w", "grads['db'] = 0.0", "✓"),
    "a layer": (
        '-p X -g "dout @ W.T" -c "lambda X: X @ W" -u dout',
        "dout = 2 * dout",
        "✓",
    ),
}
MORE = """
w, b, dw, db = params["w"], np.array(0.5), grads["dw"], grads["db"]
by_arrays = lambda w, b: cost_function({"w": w, "b": b})
both = [params, grads]
W, dout = np.ones((4, 2)), np.ones((30, 2))

class Net:
    def __init__(self):
        self.params, self.grads, self.scale = params, grads, 1
    @property
    def stored(self):
        return {**self.params}
    def inner(self, p):
        return cost_function(p)
    def cost(self, p):
        return self.scale * self.inner(p)

net = Net()
bound = functools.partial(lambda p, more: cost_function(p), more=[0])
data = X.copy()
def by_default(p, *, data=data):
    return np.mean((data @ p["w"] + p["b"] - y) ** 2) + lam * np.sum(p["w"] ** 2)
def around():
    data = X.copy()
    def enclosed(p):
        return by_default(p, data=data)
    enclosed.data = data
    return enclosed
enclosed = around()
wrapped = functools.lru_cache(lambda p: 0)
wrapped.__wrapped__ = cost_function
class Wrapped:
    def __init__(self, function):
        functools.update_wrapper(self, function)
    def __call__(self, p):
        return self.__wrapped__(p)
wrapped = Wrapped(cost_function)
@functools.cache
def helper(n):
    return n
cached = lambda p: helper(1) * cost_function(p)
class Slotted:
    __slots__ = ("lam",)
    def __call__(self, p):
        return np.mean((predict(p) - y) ** 2) + self.lam * np.sum(p["w"] ** 2)
slotted = Slotted()
slotted.lam = 0.1
"""


@pytest.mark.parametrize(("options", "code", "line"), SUBJECTS.values(), ids=SUBJECTS)
def test_subjects(cell, options, code, line):
    """Parameters, gradients and cost may be any kind of expression."""
    cell(MORE)
    verdict = "Backpropagation is correct."
    if "--only" in options:
        verdict = "`w` is correct; `b` was not checked."
    assert cell(f"%gradcheck --watch {options}").startswith(f"✓ {verdict}")
    assert cell("z = 1") == ""
    printed = cell(code)
    assert printed.startswith(line)
    assert bool(printed) == bool(line)
    assert cell("z = 1") == ""


def test_accumulated_gradients(cell):
    """The gradients that torch keeps in the parameters are watched, without any `grads`."""
    pytest.importorskip("torch")
    cell("import torch\ndel grads\nmodel = torch.nn.Linear(4, 1).double()\nZ = torch.tensor(X)")
    cell("def cost_function():\n    return (model(Z) ** 2).mean()\ncost_function().backward()")
    assert cell("%gradcheck --watch -p model").startswith("✓ Backpropagation is correct.")
    assert cell("z = cost_function()") == ""
    step = "with torch.no_grad():\n    model.weight -= 0.1 * model.weight.grad"
    assert cell(step) == "not checked: `model` has changed since `.grad` was computed."
    assert re.fullmatch(RIGHT, cell("model.zero_grad(); cost_function().backward()"))
    assert cell("cost_function().backward()").startswith("✗")
    assert cell("z = 1") == ""


def test_result(shell, watched):
    """The result is bound to its name as usual, and an outdated one is removed."""
    first = shell.user_ns["_gradcheck"]
    watched("grads['dw'] *= 2")
    check = shell.user_ns["_gradcheck"]
    assert check is not first
    assert check.verdict is Verdict.BUG
    assert "There is a bug in backpropagation." in check.to_html()
    assert check.changes
    watched("params['b'] = 3.0")
    assert shell.user_ns["_gradcheck"] is None


def test_bound_to_another_name(shell, cell):
    cell("%gradcheck --watch -o found")
    cell("grads['dw'] *= 2")
    assert shell.user_ns["found"].verdict is Verdict.BUG
    cell("del grads")
    assert shell.user_ns["found"] is None


def test_another_check_changes_nothing(shell, watched):
    """A check without `--watch` leaves the watch as it is."""
    assert watched("grads['dw'] *= 2\n%gradcheck --only b -q") == ""
    assert watched("z = 1").startswith("✗")


def test_last_one_counts(watched):
    """A second watch replaces the first."""
    watched("%gradcheck --watch --only b -q")
    assert watched("grads['dw'] *= 2") == ""
    assert watched("grads['db'] *= 2").count("✗") == 1


def hooks_of(shell):
    """Return the names of the functions that hear of each cell."""
    return [hook.__qualname__ for hooks in shell.events.callbacks.values() for hook in hooks]


def test_end(shell, cell):
    """The end of a watch leaves nothing behind in the shell."""
    before = hooks_of(shell)
    assert cell("%gradcheck --unwatch") == "gradcheck: nothing is being watched."
    for end in (
        "%gradcheck --unwatch",
        "%%gradcheck --unwatch\nlam = 1",
        "%gradcheck --unwatch\n%reload_ext gradcheck_magic",
    ):
        cell("%gradcheck --watch -q")
        cell("%gradcheck --watch -q")
        assert hooks_of(shell) != before
        check = shell.user_ns["_gradcheck"]
        assert cell(end) == ""
        assert shell.user_ns["_gradcheck"] is check
        assert hooks_of(shell) == before
        assert cell("grads = backward(params)") == ""
    assert cell("%gradcheck --unwatch") == "gradcheck: nothing is being watched."


def test_cell_magic(cell):
    """The body runs, with a card below it, and the cells after it are watched."""
    assert cell("%%gradcheck --watch\ngrads = {**grads, 'db': 0.0}").startswith("✗ There is a bug")
    assert cell("z = 1") == ""
    assert re.fullmatch(RIGHT, cell("grads = backward(params)"))


def test_first_check_fails(shell, cell):
    """The watch waits for a variable that does not exist yet."""
    cell("keep = grads; del grads")
    assert isinstance(shell.run_cell("%gradcheck --watch").error_in_exec, InputError)
    assert re.fullmatch(RIGHT, cell("grads = keep"))


@pytest.mark.parametrize("options", ["--watch --unwatch", '--watch -p "1 +"'])
def test_what_cannot_be_watched(shell, cell, options):
    before = hooks_of(shell)
    assert isinstance(shell.run_cell(f"%gradcheck {options}").error_in_exec, InputError)
    assert hooks_of(shell) == before


def test_quiet(cell):
    """With `--quiet`, only problems have a line."""
    assert cell("%gradcheck --watch --quiet") == ""
    assert cell("grads = backward(params)") == ""
    assert cell("grads['dw'] *= 2").startswith("✗")
    assert cell("params['b'] = 1").startswith("not checked")


WRONG = r"GradientCheckFailed: There is a bug in backpropagation\. The difference is \S+\. .*"
UPDATED = (
    r"InputError: `params` have changed since `grads` was computed: compute `grads` in the same "
    r"cell, or end the watch before \(--unwatch\)\."
)
OFF = (
    r"InputError: gradcheck is off, but this check is strict: %config GradcheckMagics\.enabled = "
    r"True turns it on; with --no-strict, nothing is checked\."
)
STRICT = {
    "a wrong gradient": ("grads['dw'][1] *= 2", rf"{WRONG} {SHOWN}"),
    "data alone": ("X[0] *= 2", rf"{WRONG} {OLDER} {SHOWN}"),
    "after an await": ("import asyncio\nawait asyncio.sleep(0)\ngrads['dw'] *= 2", rf"{WRONG} .*"),
    "HARD: parameters alone": ("params['w'] -= 0.1 * grads['dw']", UPDATED),
    "a missing variable": ("del grads", r"InputError: `grads` is not defined: .*"),
    "HARD: an error in the cost": (
        "def predict(p):\n    return 1 / 0",
        r"(?s)-+\nZeroDivisionError .*return 1 / 0\n.*ZeroDivisionError: division by zero",
    ),
    "HARD: an exit in it": ("def predict(p):\n    raise SystemExit", r"(?s).*SystemExit.*"),
    "an interrupt": (
        "def predict(p):\n    raise KeyboardInterrupt",
        r"Gradient check interrupted: 0 of 5 entries were checked; .*",
    ),
    "HARD: switched off": (
        "%config GradcheckMagics.enabled = False\ngrads = {**grads}",
        OFF,
    ),
}


@pytest.mark.parametrize(("code", "shown"), STRICT.values(), ids=STRICT)
@pytest.mark.parametrize("quiet", ["", "--quiet"])
def test_strict(shell, cell, code, shown, quiet):
    """Unless the gradient is correct after a cell, the cell fails, and shows one error."""
    cell(f"%gradcheck --watch --strict {quiet}")
    assert cell("z = 1") == ""
    assert re.fullmatch("" if quiet else RIGHT, cell("grads = {**grads}"))
    with capture_output() as captured:
        result = shell.run_cell(code)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout).strip()
    assert re.fullmatch(shown, printed)
    assert "gradcheck_magic/" not in printed
    assert not result.success
    assert not shell.last_execution_succeeded
    assert shell.user_ns["_gradcheck"] is getattr(result.error_in_exec, "check", None)
    assert cell("z = 2") == "", "the next cell changes nothing, and runs"


def test_strict_has_time(sleep, shell, hurried):
    """A strict watch checks with the options that were given, however long that takes."""
    hurried(SLOW.format(1.0))
    hurried("%gradcheck --watch --strict --mode full")
    for _ in range(3):
        assert hurried("grads = {**grads}").startswith("✓")
        assert shell.user_ns["_gradcheck"].mode == "full"


def test_long_expressions_are_shortened(cell):
    """The line quotes an expression as an error does, and stays one line."""
    long = f"+ 0 * len({'x' * 1000!r})"
    cell(f'%gradcheck --watch -c "lambda p: cost_function(p) {long}"')
    line = cell("X = 2 * X")
    assert "xxx...xxx" in line
    assert len(line) < 600


def test_strict_has_no_blind_spots(monkeypatch, shell, cell):
    """A strict watch checks after each cell if some arrays are too large to be looked at."""
    monkeypatch.setattr(snapshot, "MOST_BYTES", 0)
    assert "may go unnoticed" not in cell("%gradcheck --watch --strict")
    assert re.fullmatch(RIGHT, cell("z = 1"))
    with capture_output():
        result = shell.run_cell("grads['dw'] *= 2")
    assert isinstance(result.error_in_exec, GradientCheckFailed)


def test_strict_within_a_budget(sleep, shell, hurried):
    """A strict check that is stopped by its own budget is an error, as it is without a watch."""
    hurried("%gradcheck --watch --strict --budget 3")
    with capture_output() as captured:
        result = shell.run_cell(SLOW.format(1.0))
    assert isinstance(result.error_in_exec, GradientCheckFailed)
    assert "The budget was used up" in captured.stdout


@pytest.mark.parametrize(("ci", "is_red"), [("true", True), ("", False)])
def test_strict_in_ci(monkeypatch, shell, cell, ci, is_red):
    monkeypatch.setenv("CI", ci)
    cell("%config GradcheckMagics.strict = 'ci'\n%gradcheck --watch")
    with capture_output() as captured:
        assert shell.run_cell("grads['dw'] *= 2").success is not is_red
    assert ("GradientCheckFailed" in captured.stdout) is is_red


RELOADED = [
    "%reload_ext gradcheck_magic",
    "%reload_ext gradcheck_magic\n%reload_ext gradcheck_magic",
    "%unload_ext gradcheck_magic\n%load_ext gradcheck_magic",
    "import gradcheck_magic\ngradcheck_magic.load_ipython_extension(get_ipython())",
]


@pytest.mark.parametrize("reload", RELOADED)
@pytest.mark.parametrize("wrong", [
    "\ngrads['dw'] *= 2", pytest.param("\n1 / 0", id="HARD: an error after it"), "",
])  # fmt: skip
def test_reloaded(shell, cell, reload, wrong):
    """A reload leaves a watch as it is, strict or not."""
    for strict in ("", "--strict"):
        cell(f"%gradcheck --watch {strict}")
        with capture_output() as captured:
            result = shell.run_cell(reload + wrong)
            if "grads" not in wrong:
                assert "watch" not in captured.stdout
                result = shell.run_cell("grads['dw'] *= 2")
        assert result.success is not bool(strict)
        assert ("GradientCheckFailed" if strict else "✗") in captured.stdout
        cell("grads = backward(params)")


@pytest.mark.parametrize("end", [
    "%gradcheck --unwatch", "%reload_ext gradcheck_magic\n%gradcheck --unwatch",
])  # fmt: skip
def test_the_end_of_a_watch_after_a_reload(shell, cell, end):
    """It is one watch, which leaves nothing behind."""
    before = hooks_of(shell)
    cell("%gradcheck --watch --strict")
    cell("%reload_ext gradcheck_magic")
    assert cell(end) == ""
    assert hooks_of(shell) == before
    assert cell("grads['dw'] *= 2") == ""


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("failed", [
    "", pytest.param("\n1 / 0", id="HARD: the cell fails, and the next one tells"),
])  # fmt: skip
def test_unloaded(shell, cell, strict, failed):
    """A watch does not end silently, and a strict one ends with an error."""
    others = [hook for hook in hooks_of(shell) if not hook.startswith("WaitingCells")]
    cell(f"%gradcheck --watch {'--strict' * strict}")
    with capture_output() as captured:
        result = shell.run_cell(f"%unload_ext gradcheck_magic{failed}")
        if failed:
            assert "unloaded" not in captured.stdout
            result = shell.run_cell("z = 1")
    assert result.success is not strict
    said = (
        "InputError: The extension was unloaded, which has ended its strict watch: end a watch "
        "with %gradcheck --unwatch before you unload the extension."
        if strict
        else "gradcheck: the extension was unloaded, which has ended its watch."
    )
    assert re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout).strip().endswith(said)
    assert hooks_of(shell) == others
    assert "GradcheckMagics" not in shell.magics_manager.registry
    assert cell("grads['dw'] *= 2") == "", "it is said once"


def test_switched_off(cell):
    """There are no checks while they are disabled; changes are checked later."""
    cell("%gradcheck --watch")
    cell("%config GradcheckMagics.enabled = False")
    assert cell("grads['dw'] *= 2") == ""
    assert cell("%config GradcheckMagics.enabled = True").startswith("✗")


def test_ascii(watched, run, monkeypatch):
    """On an ASCII terminal, the line is spelled in ASCII like everything else."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    run("lam = 0.2")
    stream.flush()
    line = stream.buffer.getvalue().decode("ascii")
    assert re.match(r"X \S+ \| `dw` is off by -0\.2000 times", line)


@pytest.mark.parametrize("make", [row.values[0] for row in PARAMETERS])
def test_odd_things(make):
    """Whatever the cost reads, a look does no harm, and finds no change if there is none."""
    thing = make()
    namespace = {"params": 1.0, "grads": 2.0, "cost": lambda _: thing}
    watching = Watch(options_of("params", "grads", "cost"), namespace)
    assert watching.after_cell(0.0, pytest.fail) is None


def test_what_is_computed_later():
    """An array of Dask is not computed only to be looked at, and the watch says so."""
    dask = pytest.importorskip("dask")
    array = pytest.importorskip("dask.array")
    lazy = array.from_delayed(dask.delayed(pytest.fail)("computed"), (3,), float)
    namespace = {"params": 1.0, "grads": 2.0, "cost": lambda _: lazy}
    watching = Watch(options_of("params", "grads", "cost"), namespace)
    assert watching.blind_spots == "in-place changes of `lazy` may go unnoticed"


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_nothing_is_kept_alive(library):
    """The memory of an array or tensor is free as soon as the notebook drops it."""
    array = pytest.importorskip(library).ones(2)
    if library == "torch":
        array.requires_grad_()
    namespace = {"params": {"w": array}, "cost": abs}
    watching = Watch(options_of("params", "grads", "cost"), namespace)
    dropped = weakref.ref(array)
    del namespace["params"], array
    assert dropped() is None
    assert watching.blind_spots == ""


# How long a check may take


def options_of(params, grads, cost):
    return Namespace(
        params=params, grads=grads, cost=cost, upstream=None, budget=None, mode="auto", strict=False
    )


@pytest.fixture
def hurried(watched, monkeypatch):
    """Return `watched`, with very little time for a check."""
    monkeypatch.setattr(watch, "LEAST_SECONDS", 0.3)
    return watched


@pytest.fixture
def sleep(monkeypatch, clock):
    """Let `time.sleep` in a cell advance the clock of the test."""
    monkeypatch.setattr(time, "sleep", clock.sleep)


SLOW = "import time\ndef predict(p):\n    time.sleep({})\n    return X @ p['w'] + p['b']"


@pytest.mark.parametrize(
    ("seconds", "looking", "given"),
    [
        pytest.param(0, 0, 0.3, id="a moment"),
        pytest.param(1, 0, 0.3, id="still a moment"),
        pytest.param(100, 0, 25, id="a quarter of the cell's"),
        pytest.param(100, 1, 23, id="looking counts, before and after"),
        pytest.param(0, 1, 1, id="as long as looking, at least"),
    ],
)
def test_share_of_time(clock, seconds, looking, given):
    class SlowWatch(Watch):
        def _snapshot(self):
            clock.sleep(looking)
            return super()._snapshot()

    namespace = {"params": np.ones(2), "grads": np.ones(2), "cost": abs}
    slow = SlowWatch(options_of("params", "grads", "cost"), namespace)
    budgets = []

    def check(options):
        budgets.append(options.budget)
        raise InputError("no")

    namespace["grads"] = np.ones(2)
    assert slow.after_cell(seconds, check).sentence == "not checked: no"
    assert slow.after_cell(seconds, check) is None
    assert budgets == [given]


TRIED_LATER = (
    r"not checked: as the last check shows, it takes longer than 0\.3 s\. It is tried again after "
    r"{} at most; run %gradcheck to check it now\."
)


def test_slow_cost(sleep, shell, hurried):
    """A check is stopped in time, and tried again once later cells have left time for it."""
    line = hurried(SLOW.format(1 / 16))
    assert line == "not checked: 0.25 s was not enough. Run %gradcheck to check in full."
    tried = shell.user_ns["_gradcheck"]
    assert tried.interrupted
    assert tried.n_evaluations == 4
    assert hurried("grads = {**grads}") == line
    done = shell.user_ns["evaluations"]
    assert re.fullmatch(TRIED_LATER.format("1 more cell"), hurried("grads = {**grads}"))
    assert shell.user_ns["evaluations"] == done
    assert shell.user_ns["_gradcheck"] is None
    assert hurried("z = 1") == line, "the change before was not checked yet"
    assert hurried("z = 1") == "", "not each cell leaves enough time"


TOO_SLOW = "not checked: 0.6 s was not enough. Run %gradcheck to check in full."
PACES = {
    # The seconds that some evaluations take, before all others take none; the lines of the cells.
    "a jit compiles": ([2.0], [RIGHT]),
    "a jit compiles for a minute": ([60.0], [RIGHT]),
    "a laptop sleeps": ([0.0] * 5 + [36000.0], [RIGHT]),
    "HARD: a busy moment": ([0.6, 0.6], [TOO_SLOW, TRIED_LATER.format("1 more cell"), RIGHT]),
    "HARD: a busy minute": ([0.6] * 3, [TOO_SLOW, TRIED_LATER.format("1 more cell"), RIGHT]),
}
PACED = """
import time
slow, each = [], 0.0
def predict(p):
    time.sleep(slow.pop(0) if slow else each)
    return X @ p["w"] + p["b"]
"""


@pytest.mark.parametrize(("slow", "lines"), PACES.values(), ids=PACES)
def test_slow_for_a_moment(sleep, shell, hurried, slow, lines):
    """Whatever took so long once, the next cells are checked as usual."""
    hurried(PACED)
    hurried("%gradcheck --watch")
    shell.user_ns["slow"].extend(slow)
    for line in [*lines, RIGHT, RIGHT]:
        assert re.fullmatch(line, hurried("grads = {**grads}"))
    assert hurried("grads['dw'] *= 2").startswith("✗")


@pytest.mark.parametrize("each", [0.04, 4.0])
@pytest.mark.parametrize("ends", ["", "; 1 / 0"], ids=["", "the cost raises"])
def test_slow_for_good(sleep, clock, hurried, each, ends):
    """In the long run, the watch takes no more than its share, however slow the cost is."""
    hurried(f"{PACED}each = {each}")
    hurried("%gradcheck --watch")
    hurried(f"def cost_function(p):\n    return float(np.sum(predict(p) ** 2)){ends}")
    began, n_cells = clock.now, 50
    for _ in range(n_cells):
        assert hurried("grads = {**grads}").startswith("not checked: ")
    assert clock.now - began <= n_cells * watch.LEAST_SECONDS + each


def test_quiet_about_slow_checks(sleep, hurried):
    """With `--quiet`, a check that is not made is told, and one that passes is not."""
    hurried(PACED)
    hurried("%gradcheck --watch -q")
    assert hurried("each = 0.6").startswith("not checked: ")
    assert hurried("each = 0.0").startswith("not checked: ")
    assert hurried("z = 1") == hurried("grads = {**grads}") == ""
    assert hurried("grads['dw'] *= 2").startswith("✗")


def test_cells_that_take_long_leave_more_time(sleep, hurried):
    """A pause is over after a single cell that takes long enough."""
    hurried(PACED)
    hurried("%gradcheck --watch")
    assert hurried("each = 5.0").startswith("not checked: 5 s was not enough.")
    assert re.fullmatch(TRIED_LATER.format("16 more cells"), hurried("each = 0.0"))
    assert re.fullmatch(RIGHT, hurried("time.sleep(20)"))


def test_a_check_that_is_asked_for_ends_the_pause(sleep, hurried):
    hurried(PACED)
    hurried("%gradcheck --watch")
    assert hurried("each = 5.0").startswith("not checked: 5 s was not enough.")
    hurried("each = 0.0\n%gradcheck")
    assert re.fullmatch(RIGHT, hurried("grads = {**grads}"))


def test_slow_expressions_count(sleep, clock, hurried):
    """The time of the gradient's own function is part of the share."""
    hurried("import time\ndef slow_grads():\n    time.sleep(3)\n    return backward(params)")
    hurried("%gradcheck --watch -g slow_grads()")
    began = clock.now
    lines = [hurried("params['b'] += 1") for _ in range(40)]
    assert sum(line.startswith("✓") for line in lines) == 5
    assert clock.now - began <= 40 * watch.LEAST_SECONDS + 3


def test_scan_in_time(sleep, shell, cell):
    """If a full check has taken too long, the next check is a scan."""
    cell("params = {'w': np.ones(1000), 'b': 0.0}\nX = np.ones((1, 1000)); y = np.ones(1)")
    cell(SLOW.format(1 / 128))
    cell("lam = 0\ngrads = backward(params)\n%gradcheck --watch --mode full")
    cell("%gradcheck --watch")
    for _ in range(2):
        line = cell("grads = backward(params)")
        assert re.fullmatch(r"✓ ≈ \S+ ± \S+ · scan of 1,001 entries · \d+\.\d\d s", line)


def test_own_budget(sleep, shell, cell):
    """A smaller budget of the user's counts."""
    cell(SLOW.format(1 / 64))
    cell("%gradcheck --watch --budget 0.0625")
    assert cell("grads = backward(params)").startswith("not checked: 0.062 s was not enough.")


def test_wrong_by_then(sleep, cell):
    """A wrong entry that was found before the time was up is reported."""
    cell("params = {'w': np.ones(1000), 'b': 0.0}\nX = np.ones((1, 1000)); y = np.ones(1)")
    cell(f"{SLOW.format(1 / 512)}\nlam = 0\ngrads = backward(params)")
    assert "measured" in cell("%gradcheck --watch --mode full --budget 0.5")
    line = cell("grads['dw'][0] *= 2")
    assert re.fullmatch(rf"✗ \S+ · \d+ of 1,001 entries measured · `dw.*` .*{SHOWN}", line)


def test_large_arrays(monkeypatch, cell):
    """Only a part of a large array is looked at, and the line says so."""
    monkeypatch.setattr(snapshot, "MOST_BYTES", 4 * BYTES_AT_ONCE)
    blind = "in-place changes of `params` and `grads` may go unnoticed"
    cell("params = np.zeros(200_000); grads = np.ones(200_000); cost_function = np.sum")
    line = cell("%gradcheck --watch --call structured --mode scan")
    assert line.endswith(f"\nWatching from now on; {blind}.")
    assert cell("grads[70_000] = 2") == ""  # in the second block of four
    assert cell("grads[0] = 2").endswith(f" · {blind}")
    assert cell("grads[:] = 1").startswith("✓")
    assert cell("grads = grads.copy()").startswith("✓")


def test_arrays_that_are_not_read(monkeypatch, cell):
    """Another array is noticed even if its values are not looked at."""
    monkeypatch.setattr(snapshot, "MOST_BYTES", 0)
    blind = "in-place changes of `params`, `grads`, `y` and `X` may go unnoticed"
    assert cell("%gradcheck --watch").endswith(f"\nWatching from now on; {blind}.")
    assert cell("grads['dw'] *= 2") == ""
    assert cell("grads['dw'] = grads['dw'].copy()").startswith("✗")


def test_arrays_that_are_read_late(monkeypatch):
    """Arrays that others compute or load are read only as far as the budget of bytes goes."""
    monkeypatch.setattr(snapshot, "MOST_BYTES", 100)

    class Lazy:
        nbytes = 40
        read = 0

        def __array__(self, *_, **__):
            Lazy.read += 1
            return np.zeros(5)

    trees = {"params": ast.parse("lazy", mode="eval").body}
    found = Snapshot(trees, {"lazy": [Lazy() for _ in range(9)]})
    assert Lazy.read == 1
    assert found.overlooked == {"lazy": None}


def test_many_objects(monkeypatch, cell):
    monkeypatch.setattr(snapshot, "MOST_OBJECTS", 100)
    cell("data = [0.0] * 200\ndef predict(p):\n    return X @ p['w'] + p['b'] + data[-1]")
    cell("data = list(range(-200, 0, 1))\ngrads = backward(params)")
    line = cell("%gradcheck --watch")
    assert line.endswith("\nWatching from now on; in-place changes of `data` may go unnoticed.")
    line = cell("data = list(data)")
    assert re.fullmatch(rf"{RIGHT} · in-place changes of `data` may go unnoticed", line)


CHANGES = {
    "one entry": lambda x: x.__setitem__(17, np.nextafter(x[17], 9)),
    "the last one": lambda x: x.__setitem__(-1, np.nextafter(x[-1], 9)),
    "two signs": lambda x: np.negative(x[:2], out=x[:2]),
    "all signs": lambda x: np.negative(x, out=x),
    "the sign of zero": lambda x: x.__setitem__(0, -0.0),
    "two entries exchanged": lambda x: x.__setitem__([3, 4], x[[4, 3]]),
    "two halves exchanged": lambda x: x.__setitem__(slice(None), np.roll(x, len(x) // 2)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_digest(change, dtype):
    """The digest depends on every bit and its place, in arrays of any size and layout."""
    for size in (18, 2 * BYTES_AT_ONCE // np.dtype(dtype).itemsize + 3):
        x = np.linspace(0, 1, size).astype(dtype)
        before = digest([("x", x)])
        strided = np.stack([x, x], axis=1)[:, 0]
        assert digest([("x", strided)]) == before
        assert digest([("y", x)]) != before
        change(x)
        assert digest([("x", x)]) != before


# Interrupts


def test_interrupted(shell, watched):
    """An interrupt prints one line, the parameters are as they were, and the next cell runs."""
    before = shell.user_ns["params"]["w"].tobytes()

    def interrupt():
        if shell.user_ns["evaluations"] % 20 == 0:
            signal.raise_signal(signal.SIGINT)

    shell.user_ns["interrupt"] = interrupt
    line = watched("def predict(p):\n    interrupt()\n    return X @ p['w'] + p['b']")
    assert line == (
        "not checked: interrupted. 0 of 5 entries were checked; the parameters are as they were "
        "before."
    )
    assert shell.user_ns["params"]["w"].tobytes() == before
    assert watched("z = 1") == ""
