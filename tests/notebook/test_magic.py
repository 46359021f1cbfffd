"""`%gradcheck` and `%%gradcheck` in a real IPython shell."""

import ast
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from interrupts import LimitError, time_limit
from IPython.utils.capture import capture_output

from gradcheck_magic import (
    GradientCheckFailed,
    GradientCheckInterrupted,
    InputError,
    Verdict,
)
from gradcheck_magic._notebook import plain_cards
from gradcheck_magic._notebook.cells import CellSyntaxError
from gradcheck_magic._notebook.live_card import WidgetCard
from gradcheck_magic._notebook.plain_cards import StaticCard, TextCard

NETWORK = """
import numpy as np
from networks import Smooth
net = Smooth()
params, cost_function = net.params, net.cost
right = net.grads()
wrong = {**right, "dW2": 2 * right["dW2"]}
grads = right
"""


@pytest.fixture
def notebook(shell, run):
    """Return a shell with a network, its correct gradients and wrong ones."""
    run(NETWORK)
    return shell


@pytest.fixture
def output(notebook):
    """Return a function that runs a cell, and returns what it prints and its error."""

    def of_cell(cell):
        with capture_output() as captured:
            result = notebook.run_cell(cell)
        return re.sub(
            r"\x1b\[[0-9;]*m", "", captured.stdout
        ), result.error_before_exec or result.error_in_exec

    return of_cell


@pytest.fixture
def line_of_error(output):
    """Return a function that runs a failing cell, and returns the one line that is shown."""

    def of_cell(cell):
        printed, error = output(cell)
        assert isinstance(error, InputError)
        assert printed.strip() == f"InputError: {error}"
        return str(error)

    return of_cell


def test_cell(notebook, run):
    """The body runs in the notebook's namespace, and then the check runs."""
    check = run("%%gradcheck\nfresh = 1\ngrads = wrong")
    assert notebook.user_ns["fresh"] == 1
    assert check.verdict is Verdict.BUG
    assert check.wrong_entries[0][0] == "W2"


def test_line(run, notebook):
    assert run("%gradcheck").passed


def test_returns_nothing(notebook, run):
    """The card is shown, not returned."""
    run("value = get_ipython().run_line_magic('gradcheck', '')")
    assert notebook.user_ns["value"] is None


def test_report_in_a_terminal(output):
    printed, error = output("%%gradcheck\ngrads = wrong")
    assert error is None
    first, *rest = printed.splitlines()
    assert first.startswith("✗ There is a bug in backpropagation.   difference 0.")
    assert any(line.startswith("- `dW2` is 2.000 times the numerical gradient") for line in rest)


EXPRESSIONS = [
    "-p net.params -g net.grads() -c net.cost",
    "--params net.params --grads=right --cost net.cost",
    "-p [params['W1']] -g \"[right['dW1']]\" -c 'lambda W1: net.cost({**params, \"W1\": W1})'",
    '-c "lambda p: (cost_function(p), 1)"',
    "--only W1 b1",
    "--only W1,b1 --epsilon 1e-6 --seed 3 --call structured",
]


@pytest.mark.parametrize("line", EXPRESSIONS)
def test_expressions(notebook, run, line):
    assert run(f"%gradcheck {line}").passed
    found = run(f"%%gradcheck {line}\nextra = 1")
    assert found.passed
    assert "--only" not in line or [p.name for p in found.parameters] == ["W1", "b1"]


def test_names_of_variables(notebook, run):
    """Parameters have their names in `[W1, b1]`, and gradients in errors theirs in `[dW1, db1]`."""
    run("W1, b1 = params['W1'], params['b1']; dW1, db1 = right['dW1'], right['db1']")
    run("first = lambda W1, b1: net.cost({**params, 'W1': W1, 'b1': b1})")
    found = run("%gradcheck -p [W1,b1] -g [dW1,db1] -c first")
    assert [p.name for p in found.parameters] == ["W1", "b1"]
    run("dW1 = dW1[:3]")
    with pytest.raises(InputError, match=r"`dW1` has shape \(3, 4\), but `W1` has shape \(4, 4\)"):
        run("%gradcheck -p [W1,b1] -g [dW1,db1] -c first")


LAYERS = """
import numpy as np
class Layer:
    def __init__(self):
        self.W, self.dW = np.ones(2), np.full(2, 2.0)
net = Layer()
net.layers = [Layer(), Layer()]
def half(): return sum(np.sum(each.W**2) for each in (net, *net.layers))
"""


@pytest.mark.parametrize(("loop", "params", "expected"), [
    ("for each in net.layers: pass", "net", ["W", "layers[0].W", "layers[1].W"]),
    ("for p, dp in [(each.W, each.dW) for each in net.layers]: pass",
     "[net.layers[0].W, net.layers[1].W]", ["net.layers[0].W", "net.layers[1].W"]),
    ("last = net.layers[1].W", "[net.layers[0].W, last]", ["net.layers[0].W", "last"]),
    ("for last in [net.layers[1].W]: pass", "[last, net.W]", ["last", "net.W"]),
], ids=["an object", "an array", "HARD: on purpose", "HARD: a loop's, on purpose"])  # fmt: skip
def test_what_a_loop_has_left_gives_no_name(run, loop, params, expected):
    run(LAYERS)
    grads = "" if params == "net" else "-g '[each.dW for each in net.layers]'"
    check = run(f"%%gradcheck -p {params} {grads} -c half\n{loop}")
    assert [parameter.name for parameter in check.parameters] == expected


def test_one_array_under_several_names(notebook, run):
    """The name in the expression counts first, and then a name that has a gradient."""
    run("x = None; W1, b1 = params['W1'], params['b1']")
    run("for x in [W1, b1]: pass")
    run("dW1, db1 = right['dW1'], right['db1']; both, grads = [W1, b1], [dW1, db1]")
    run("first = lambda W1, b1: net.cost({**params, 'W1': W1, 'b1': b1})")
    for expression in ("both", "[W1,b1]"):
        found = run(f"%gradcheck -p {expression} -c first --only b1")
        assert [p.name for p in found.parameters] == ["b1"]


def test_list_of_variables_and_dict_of_gradients(notebook, run):
    """They are matched by name, whatever the order of backpropagation."""
    run("W1, b1 = params['W1'], params['b1']")
    run("back = {'db1': right['db1'], 'dA1': 0, 'dW1': right['dW1']}")
    run("first = lambda W1, b1: net.cost({**params, 'W1': W1, 'b1': b1})")
    assert run("%gradcheck -p [W1,b1] -g back -c first").passed


def test_upstream(run):
    run("import numpy as np\nx, w = np.ones((2, 3)), np.ones((3, 2))")
    run("dout = np.array([[1., 2.], [3., 4.]])")
    found = run('%gradcheck -c "lambda x, w: x @ w" -p [x,w] -g "[dout @ w.T, x.T @ dout]" -u dout')
    assert found.passed
    assert [p.name for p in found.parameters] == ["x", "w"]


def test_notebook_arrays_are_restored(notebook, run):
    """A cost without arguments reads the notebook's arrays, which are perturbed in place."""
    run("before = {name: array.copy() for name, array in params.items()}")
    found = run('%gradcheck -c "lambda: net.cost(params)"')
    assert found.passed
    for name, array in notebook.user_ns["params"].items():
        assert array.tobytes() == notebook.user_ns["before"][name].tobytes()


def test_inside_a_function(notebook, run):
    """Names are those of the function in which the magic is, which helps in debugging."""
    run("def train():\n    params, grads = {'w': np.ones(2)}, {'dw': 2 * np.ones(2)}\n"
        "    cost_function = lambda p: float(p['w'] @ p['w'])\n"
        "    %gradcheck --strict\n    return 'done'\n")  # fmt: skip
    run("answer = train()")
    assert notebook.user_ns["answer"] == "done"
    assert [p.name for p in notebook.user_ns["_gradcheck"].parameters] == ["w"]


# The body


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("1 + 1", "2"),
        ("1 + 1;", ""),
        ("1 + 1  # with a comment", "2"),
        ("1 + 1;  # with a comment", ""),
        ("x = 3", ""),
        ("print('said')", "said"),
        ("for i in range(2):\n    i", ""),
        ("%time None", "Wall time"),
        ("!echo shell", "shell"),
        ("%%capture inner\nprint('said')", ""),
    ],
)
def test_display_of_the_body(notebook, output, body, shown):
    """As in any cell, the last expression is shown unless a semicolon ends it."""
    printed, error = output(f"%%gradcheck -q\n{body}")
    assert error is None
    assert shown in printed
    assert shown or not printed


@pytest.mark.parametrize(
    ("interactivity", "body", "shown"),
    [
        ("all", "1 + 1\n2 + 2", ["2", "4"]),
        ("last", "for i in range(2):\n    i", ["0", "1"]),
        ("last_expr_or_assign", "x = 5", ["5"]),
        ("last_expr_or_assign", "x += 1", ["7"]),
        ("last_expr_or_assign", "a = b = 5", []),
        ("none", "1 + 1", []),
    ],
)
def test_interactivity(notebook, output, interactivity, body, shown):
    notebook.user_ns["x"] = 6
    notebook.ast_node_interactivity = interactivity
    printed, _ = output(f"%%gradcheck -q\n{body}")
    assert [line.partition(": ")[2] for line in printed.split("\n") if line] == shown


def test_transformers_see_the_body(notebook, run):
    class Sevens(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.copy_location(ast.Constant(7), node) if node.value == 3 else node

    notebook.ast_transformers.append(Sevens())
    run("%%gradcheck\nx = 3")
    assert notebook.user_ns["x"] == 7


def test_error_in_the_body(notebook, output):
    """An error shows one traceback, at the user's own line, and there is no check."""
    printed, error = output("%%gradcheck\nx = 1\n\nnp.zeros(3)[7]")
    assert isinstance(error, IndexError)
    assert "line 4" in printed
    assert printed.count("IndexError") == 2  # its name above the frames, and the message below
    assert "gradcheck_magic" not in printed
    assert "run_cell_magic" not in printed
    assert notebook.user_ns.get("_gradcheck") is None


def test_syntax_error_in_the_body(output):
    printed, error = output("%%gradcheck\nx = 1\ny = = 2")
    assert isinstance(error, CellSyntaxError)
    assert "line 3\n    y = = 2" in printed
    assert "SyntaxError: invalid syntax" in printed
    assert "run_body" not in printed


def test_error_in_the_cost(output):
    """The traceback points to the user's own line, and has none of ours."""
    output("def broken(p):\n    return p['nothing'].sum()")
    printed, error = output("%gradcheck -c broken")
    assert isinstance(error, KeyError)
    assert "return p['nothing'].sum()" in printed
    assert "cost.py" not in printed


LONG = "+0" * 50_000
UNKNOWN = "n" * 100_000


@pytest.mark.parametrize(
    "line",
    [
        f"-g (grads{LONG})",
        f'-c "lambda p: cost_function(p){LONG}" --watch',
        f"-g (grads{LONG}",
        f'-p "(params{LONG}"',
        f"-c {UNKNOWN}",
        f"-p {UNKNOWN}+1",
        f"-p params {UNKNOWN}",
        f"--only {UNKNOWN}",
        f"--{UNKNOWN}",
        UNKNOWN,
        f"--mode {UNKNOWN}",
        f"--workers {UNKNOWN}",
        "-g long_type",
    ],
    ids=lambda line: line[:20],
)
def test_long_texts_are_shortened(notebook, line_of_error, line):
    """Nobody reads 100,000 characters, and Python cannot compile such a sum."""
    notebook.user_ns["long_type"] = type(UNKNOWN, (), {})()
    assert len(line_of_error(f"%gradcheck {line}")) < 600


GROUPS = {
    "group": "raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])",
    "nested": "raise ExceptionGroup('outer', [ExceptionGroup('several', [ValueError('one')])])",
    "cause": "raise ExceptionGroup('several', [ValueError('one')]) from caught(p)",
    "of our errors": "raise ExceptionGroup('several', [caught(p), ValueError('one')])",
    "HARD: a group as context": """try:
        raise ExceptionGroup('several', [ValueError('one')])
    except ExceptionGroup:
        raise TypeError('other')""",
    "HARD: no group": "raise ValueError('several one') from caught(p)",
    "HARD: a circle": """error = ExceptionGroup('several', [ValueError('one')])
    error.exceptions[0].__context__ = error
    raise error""",
}
# An error that has been through a check of another cost.
CAUGHT = """
def inner(x):
    return 1 / 0

def caught(p):
    try:
        gradcheck_magic.check_gradients(np.ones(2), np.ones(2), inner)
    except ZeroDivisionError as error:
        return error
"""


@pytest.mark.parametrize("kind", GROUPS)
def test_groups_and_causes(notebook, kind):
    """IPython shows them in its own way, without our frames in any of them."""
    notebook.run_cell(f"import gradcheck_magic\n{CAUGHT}\ndef broken(p):\n    {GROUPS[kind]}")
    with capture_output() as captured:
        error = notebook.run_cell("%gradcheck -c broken").error_in_exec
    printed = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout + captured.stderr)
    assert "several" in printed
    assert "one" in printed
    assert "in broken" in printed
    assert ("1 / 0" in printed) == ("caught" in GROUPS[kind])
    assert f"{os.sep}gradcheck_magic{os.sep}" not in printed
    assert type(error).__module__ == "builtins"


@pytest.mark.parametrize("body", ["return 3", "break", "x = 1\nnonlocal x", "def f(:\n    pass"])
def test_no_program_in_the_body(notebook, output, body):
    """A body with a syntax error does not run at all."""
    printed, error = output(f"%%gradcheck\nran = True\n{body}")
    assert isinstance(error, CellSyntaxError)
    assert "SyntaxError: " in printed
    assert "gradcheck_magic" not in printed
    assert "ran" not in notebook.user_ns


def test_users_exception_is_left_alone(notebook, output):
    """If the user raises it again elsewhere, its traceback starts there."""
    output("err = ValueError('again')\ndef broken(p):\n    raise err")
    printed, error = output("%gradcheck -c broken")
    assert "raise err" in printed
    assert "cost.py" not in printed
    assert not hasattr(error, "_render_traceback_")
    printed, _ = output("raise err  # here")
    assert "raise err  # here" in printed


def test_await_in_the_body(line_of_error):
    assert line_of_error("%%gradcheck\nimport asyncio\nawait asyncio.sleep(0)") == (
        "%%gradcheck cannot run a top-level `await`: put it in a cell of its own, and run "
        "%gradcheck in the next."
    )


# Results and options


def test_out(notebook, run):
    found = run("%gradcheck -o mine")
    assert notebook.user_ns["mine"] is found is notebook.user_ns["_gradcheck"]


@pytest.mark.parametrize("cell", ["%gradcheck -g nowhere -o mine", "%%gradcheck\n1 / 0"])
def test_an_error_leaves_no_old_result(notebook, output, run, cell):
    assert run("%gradcheck -o mine").passed
    output(cell)
    assert notebook.user_ns["_gradcheck"] is None
    assert "mine" not in cell or notebook.user_ns["mine"] is None


def test_the_users_name_of_the_cost(line_of_error):
    assert line_of_error("my_cost = lambda p: None\n%gradcheck -c my_cost") == (
        "`my_cost` returned None: is a `return` missing?"
    )


@pytest.mark.parametrize("how", ["-q", "--quiet", "config"])
def test_quiet(notebook, output, how):
    """A correct gradient prints nothing, and a wrong one prints one line."""
    line = how
    if how == "config":
        line = ""
        output("%config GradcheckMagics.quiet = True")
    assert output(f"%gradcheck {line}") == ("", None)
    printed, _ = output(f"%gradcheck {line} -g wrong")
    assert printed.count("\n") == 1
    assert printed.startswith("✗ There is a bug in backpropagation. The difference is 0.")
    printed, _ = output("%gradcheck --no-quiet")
    assert "parameter" in printed


@pytest.mark.parametrize("how", ["--strict", "config"])
def test_strict(notebook, output, how):
    """The card is shown, and then an error of one line is raised."""
    line = how
    if how == "config":
        line = ""
        output("%config GradcheckMagics.strict = True")
    _, error = output(f"%gradcheck {line}")
    assert error is None
    printed, error = output(f"%gradcheck {line} -g wrong")
    assert isinstance(error, GradientCheckFailed)
    assert error.check is notebook.user_ns["_gradcheck"]
    *report, raised = printed.strip().splitlines()
    assert any(line.startswith("parameter") for line in report)
    assert raised == f"GradientCheckFailed: {error}"
    printed, error = output("%gradcheck --strict --quiet -g wrong")
    assert printed.strip() == f"GradientCheckFailed: {error}"
    _, error = output("%gradcheck --no-strict -g wrong")
    assert error is None


OFF = "%config GradcheckMagics.enabled = True turns it on"
STRICT_BUT_OFF = (
    f"InputError: gradcheck is off, but this check is strict: {OFF}; with --no-strict, nothing is "
    "checked."
)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", f"gradcheck is off: {OFF}."),
        ("--no-strict", f"gradcheck is off: {OFF}."),
        ("--strict", STRICT_BUT_OFF),
    ],
)
def test_disabled(notebook, output, line, shown):
    """The body runs, the results are None, and one line says so: an error if it is strict."""
    output("%gradcheck -o mine")
    output("%config GradcheckMagics.enabled = False")
    printed, error = output(f"%%gradcheck {line} -g wrong -o mine\nran = True")
    assert isinstance(error, InputError) == (line == "--strict")
    assert printed == f"{shown}\n"
    assert notebook.user_ns["ran"] is True
    assert notebook.user_ns["mine"] is notebook.user_ns["_gradcheck"] is None
    output("%config GradcheckMagics.enabled = True")
    output("%gradcheck")
    assert notebook.user_ns["_gradcheck"].passed


def test_configured_names(notebook, run):
    run("theta, gradients, J = params, right, cost_function; del params, grads, cost_function")
    run("%config GradcheckMagics.params = 'theta'")
    run("%config GradcheckMagics.grads = 'gradients'")
    run("%config GradcheckMagics.cost = 'J'")
    assert run("%gradcheck").passed


MISTAKES = {
    "%gradcheck -g nowhere": (
        "`nowhere` is not defined: assign it before the check, or name what to use with --grads."
    ),
    "%gradcheck -g out": (
        "`out` is not defined: assign it before the check, or name what to use with --grads."
    ),
    "gradients = grads; del grads\n%gradcheck": (
        "`grads` is not defined (did you mean `gradients`?): assign it before the check, "
        "or name what to use with --grads."
    ),
    "parameters = params; del params\n%gradcheck": (
        "`params` is not defined (did you mean `parameters`?): assign it before the "
        "check, or name what to use with --params."
    ),
    "%gradcheck -p 'a b'": "--params 'a b' is not an expression: invalid syntax.",
    "%gradcheck --seed x": "%gradcheck: `--seed` is x: expected a whole number from 0 on.",
    "%gradcheck --seed -1": "%gradcheck: `--seed` is -1: expected a whole number from 0 on.",
    "%gradcheck --stict": (
        "%gradcheck: there is no option `--stict` (did you mean `--strict`?). See %gradcheck? for "
        "the options."
    ),
    "%gradcheck -o 1x": "%gradcheck: `-o` is 1x: expected a name.",
    "%gradcheck -p 'a": (
        "%gradcheck: the quote ' in `'a` is never closed: write ' where the value ends."
    ),
    "%gradcheck -c 3.0": (
        "`3.0` is a number, and no statement is known that computes it from `params`: compute it "
        "in the cell of the check, or name a function with -c."
    ),
}


@pytest.mark.parametrize(("cell", "message"), MISTAKES.items())
def test_mistakes(line_of_error, cell, message):
    """A mistake is one line, and a real error, so that a notebook in CI fails."""
    assert line_of_error(cell) == message


def test_an_expression_that_exhausts_python(line_of_error):
    """Some errors of the parser have no message."""
    message = line_of_error(f"%gradcheck -p '{'-' * 30_000}W'")
    assert re.fullmatch(r"--params '-+\.\.\.-+W' is not an expression: .+\.", message)


def test_a_wrong_option_runs_nothing(notebook, output):
    output("%%gradcheck --stict\nran = True")
    assert "ran" not in notebook.user_ns


def test_help(output, notebook):
    """`%gradcheck?` shows every option, with examples."""
    shown = notebook.find_line_magic("gradcheck").__doc__
    for option in ("--params", "--grads", "--cost", "--upstream", "--only", "--epsilon", "--call",
                   "--seed", "--display", "--out", "--quiet", "--strict"):  # fmt: skip
        assert option in shown
    assert "%%gradcheck\n    grads = backward(params, X, Y)" in shown


def test_config_help(output):
    printed, _ = output("%config GradcheckMagics")
    for name in (
        "enabled",
        "strict",
        "quiet",
        "params",
        "grads",
        "cost",
        "epsilon",
        "call",
        "seed",
    ):
        assert f"GradcheckMagics.{name}=" in printed


def test_loaded_twice_and_unloaded(notebook, run, output):
    run("%load_ext gradcheck_magic")
    n_hooks = len(notebook.events.callbacks["pre_run_cell"])
    run("%reload_ext gradcheck_magic")
    names = [type(c).__name__ for c in notebook.configurables]
    assert names.count("GradcheckMagics") == 1
    assert len(notebook.events.callbacks["pre_run_cell"]) == n_hooks
    assert run("%gradcheck").passed
    run("%unload_ext gradcheck_magic")
    assert "gradcheck" not in notebook.magics_manager.magics["line"]
    assert "GradcheckMagics" not in [type(c).__name__ for c in notebook.configurables]
    assert len(notebook.events.callbacks["pre_run_cell"]) == n_hooks - 1
    run("%load_ext gradcheck_magic")
    assert run("%gradcheck").passed


def test_unloaded_from_a_shell_with_other_hooks(notebook, run):
    run("%load_ext gradcheck_magic")
    notebook.Completer.custom_matchers.clear()
    notebook.events.callbacks["pre_run_cell"].clear()
    run("%unload_ext gradcheck_magic")
    assert "gradcheck" not in notebook.magics_manager.magics["line"]
    assert "GradcheckMagics" not in [type(c).__name__ for c in notebook.configurables]


@pytest.mark.parametrize(
    ("display", "kinds"),
    [
        ("auto", (TextCard, WidgetCard, StaticCard)),
        ("widget", (TextCard, WidgetCard, WidgetCard)),
        ("static", (TextCard, StaticCard, StaticCard)),
        ("text", (TextCard, TextCard, TextCard)),
    ],
)
def test_card_suits_the_front_end(notebook, monkeypatch, display, kinds):
    """The card is text in a terminal, live in a notebook, and static if outputs are isolated."""
    magics = notebook.magics_manager.registry["GradcheckMagics"]
    options = magics.options_of(f"--display {display}")
    in_terminal, in_notebook, in_frames = kinds

    def kind():
        return type(magics._card(options, {}))

    monkeypatch.delenv("VSCODE_PID", raising=False)
    assert kind() is in_terminal
    monkeypatch.setattr(notebook, "kernel", object(), raising=False)
    assert kind() is in_notebook
    monkeypatch.setitem(notebook.user_ns, "__vsc_ipynb_file__", "notebook.ipynb")
    assert kind() is in_frames
    # Without a message of a front end, no widget can be opened.
    monkeypatch.delitem(notebook.user_ns, "__vsc_ipynb_file__")
    monkeypatch.setattr("comm.create_comm", {}.popitem)
    assert kind() is (StaticCard if in_notebook is WidgetCard else in_notebook)


def test_no_traces(notebook, run):
    """The random numbers and the display hook are as before."""
    np.random.seed(0)
    state, hook = np.random.get_state()[1].tobytes(), sys.displayhook
    run("%%gradcheck\ngrads = wrong")
    assert np.random.get_state()[1].tobytes() == state
    assert sys.displayhook is hook


def test_mode_and_budget(run, shell, clock):
    """They reach the check, and they are settings as well."""
    run("import numpy as np\nparams = np.linspace(1, 2, 300)\ngrads = 2 * params")
    shell.user_ns["cost_function"] = clock.slow(lambda theta: float(theta @ theta), 1 / 1024)
    run("%gradcheck -q --mode scan")
    assert shell.user_ns["_gradcheck"].mode == "scan"
    run("%gradcheck -q")
    assert shell.user_ns["_gradcheck"].mode == "full"
    run("%config GradcheckMagics.mode = 'scan'\n%gradcheck -q --budget 0.001")
    check = shell.user_ns["_gradcheck"]
    assert (check.mode, check.interrupted) == ("scan", True)
    assert check.reasons[0].startswith("The budget was used up: 0 of 1 parameters")


# Beside a cell in another thread


@contextmanager
def another_cell(notebook):
    """Run a cell in another thread, as a subshell does, until the end of this context."""
    begun, end = threading.Event(), threading.Event()
    notebook.user_ns.update(begun=begun, end=end)
    thread = threading.Thread(target=notebook.run_cell, args=("begun.set(); end.wait(60)",))
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        end.set()
        thread.join(60)


def test_no_check_beside_another_cell(notebook, line_of_error):
    """The cell may use the arrays. Nothing runs, except what makes no check."""
    with another_cell(notebook):
        for magic in ("%gradcheck", "%%gradcheck\nran = True"):
            assert line_of_error(magic) == (
                "A cell is running, and a check would move arrays that it may use: check again "
                "when it has ended."
            )
        assert "ran" not in notebook.user_ns
        notebook.run_cell("%gradcheck --unwatch").raise_error()
        notebook.run_cell("%config GradcheckMagics.enabled = False").raise_error()
        notebook.run_cell("%gradcheck").raise_error()
    notebook.run_cell("%config GradcheckMagics.enabled = True").raise_error()
    notebook.run_cell("%gradcheck").raise_error()
    assert notebook.user_ns["_gradcheck"].passed


def test_no_watched_check_beside_another_cell(notebook, output):
    output("%gradcheck --watch -q")
    with another_cell(notebook):
        printed, error = output("grads = wrong")
    assert error is None
    assert printed.startswith("not checked: A cell is running, ")


# Signals while the result is shown


def while_shown(monkeypatch, *numbers):
    """Send signals in the middle of drawing, whatever is drawn."""

    def text_report(*args):
        for number in numbers:
            signal.raise_signal(number)
        return report(*args)

    report = plain_cards.text_report
    monkeypatch.setattr(plain_cards, report.__name__, text_report)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_the_card_is_drawn(output, notebook, monkeypatch, times):
    """The card is shown and the result is bound; then one line ends the cell."""
    while_shown(monkeypatch, *times * [signal.SIGINT])
    printed, error = output("%gradcheck -o mine\nafter = True")
    check = notebook.user_ns["_gradcheck"]
    assert type(error) is GradientCheckInterrupted
    assert printed == (
        f"{check}\nGradient check interrupted: {check.size} of {check.size} entries were checked; "
        "the parameters are as they were before.\n"
    )
    assert check.passed
    assert notebook.user_ns["mine"] is check
    assert "after" not in notebook.user_ns


def test_a_bug_under_strict_stays_an_error(output, monkeypatch):
    while_shown(monkeypatch, signal.SIGINT)
    printed, error = output("grads = wrong\n%gradcheck --strict")
    assert isinstance(error, GradientCheckFailed)
    assert printed.startswith("✗")


def test_a_quiet_check_is_bound(output, notebook, monkeypatch):
    monkeypatch.setattr(TextCard, "clear", lambda _: signal.raise_signal(signal.SIGINT))
    printed, error = output("%gradcheck -q")
    assert notebook.user_ns["_gradcheck"].passed
    assert printed.strip() == f"Gradient check interrupted: {error}"


def test_a_second_ctrl_c_while_what_is_known_is_drawn(output, notebook, monkeypatch):
    notebook.user_ns["press"] = lambda: signal.raise_signal(signal.SIGINT)
    while_shown(monkeypatch, signal.SIGINT)
    printed, error = output("%gradcheck -c 'lambda p: press() or cost_function(p)'")
    assert isinstance(error, GradientCheckInterrupted)
    assert printed.startswith("? The finite differences cannot tell.")
    assert printed.count("interrupted") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")
def test_time_is_over_while_the_card_is_drawn(output, notebook, monkeypatch):
    with time_limit() as number:
        while_shown(monkeypatch, number)
        printed, error = output("%gradcheck")
        assert isinstance(error, LimitError)
    assert printed.startswith(f"{notebook.user_ns['_gradcheck']}\n")
    assert "gradcheck_magic" not in printed


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")
@pytest.mark.parametrize("option", ["params", "grads", "cost"])
def test_expressions_are_the_users_code(output, notebook, option):
    """Signals reach them at once."""
    reached = []

    def evaluated():
        signal.raise_signal(signal.SIGALRM)
        reached.append(1)

    notebook.user_ns["evaluated"] = evaluated
    with time_limit():
        _, error = output(f"%gradcheck --{option} evaluated()")
        assert isinstance(error, LimitError)
    assert not reached
