"""Everything that the user's code binds is recorded while it runs, and nothing is changed by it."""

import ast
import gc
import linecache
import sys
import weakref

import numpy as np
import pytest

from gradcheck_magic._backward import sources
from gradcheck_magic._backward.record import Recorder

n_files = 0


def run(source, recorder=None, **names):
    """Run a source as a cell, and return its recording and its variables."""
    global n_files  # noqa: PLW0603 (each source is another file)
    n_files += 1
    name = f"<cell {n_files}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"np": np, **names}
    recorder = recorder or Recorder()
    with recorder:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102 (a cell)
    return recorder, namespace


def require_visible(source):
    """Skip a cell with a comprehension in Python 3.12: see `sources.HIDES_VARIABLES`."""
    if sys.version_info[:2] == (3, 12) and " for " in source and "[" in source:
        pytest.skip("Python 3.12 hides the variables of comprehensions")


def told(recorder):
    """Return the label, the line and the value of everything that was bound."""
    return [
        (bound.label, bound.statement.line, bound.value.tolist())
        for bound in recorder.bound
        if bound.value.dtype.kind == "f" and bound.alias_of is None and not bound.is_argument
    ]


X = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("source", "expected"),
    {
        "a statement": ("a = 2 * X", [("a", 1, [2, 4])]),
        "HARD: two on a line": ("a = 2 * X; b = a + 1", [("a", 1, [2, 4]), ("b", 1, [3, 5])]),
        "HARD: one on two lines": (
            "a = (2 *\n  X)\nb = a + 1", [("a", 1, [2, 4]), ("b", 3, [3, 5])],
        ),
        "HARD: two at once": ("a, b = 2 * X, X + 1", [("a", 1, [2, 4]), ("b", 1, [2, 3])]),
        "HARD: added to": ("a = 2 * X\na += 1", [("a", 1, [2, 4]), ("a", 2, [3, 5])]),
        "HARD: a slice": (
            "a = np.zeros((2, 2))\na[:, 1] = X",
            [("a", 1, [0, 0, 0, 0]), ("a[:, 1]", 2, [1, 2])],
        ),
        "HARD: a mask, in which the whole changes": (
            "a = 2 * X\na[a > 2] = 0",
            [("a", 1, [2, 4]), ("a[a > 2]", 2, [2, 0])],
        ),
        "HARD: scattered": (
            "a = np.zeros(2)\nnp.add.at(a, [0, 0], X)",
            [("a", 1, [0, 0]), ("a", 2, [3, 0])],
        ),
        "HARD: out=": (
            "a = np.zeros(2)\nnp.multiply(X, 3, out=a)",
            [("a", 1, [0, 0]), ("a", 2, [3, 6])],
        ),
        "HARD: in a loop": (
            "for k in range(2):\n    a = (k + 1) * X",
            [("a", 2, [1, 2]), ("a", 2, [2, 4])],
        ),
        "HARD: in a loop on one line": (
            "for k in range(2): a = (k + 1) * X",
            [("a", 1, [1, 2]), ("a", 1, [2, 4])],
        ),
        "HARD: a comprehension": (
            "a = [k * X for k in (1.0, 2.0)]",
            [("a[0]", 1, [1, 2]), ("a[1]", 1, [2, 4])],
        ),
        "HARD: a dict by time step": (
            "h = {}\nfor t in (0, 1): h[t] = (t + 1) * X",
            [("h[t]", 2, [1, 2]), ("h[t]", 2, [2, 4])],
        ),
        "a function": ("def f(x):\n    y = 2 * x\n    return y + 1\nz = f(X)",
            [("y", 2, [2, 4]), ("", 3, [3, 5])]),
        "HARD: a lambda": ("f = lambda x: 2 * x\nz = f(X)", [("", 1, [2, 4])]),
        "HARD: a method": (
            "class L:\n    def f(self, x):\n        self.y = 2 * x\nL().f(X)",
            [("self.y", 3, [2, 4])],
        ),
        "a number": ("a = 0.5 * float(X[0])", [("a", 1, [0.5])]),
        "HARD: what raises binds nothing": (
            "a = 2 * X\ntry:\n    a = X @ np.ones(3)\nexcept ValueError:\n    b = a + 1",
            [("a", 1, [2, 4]), ("b", 5, [3, 5])],
        ),
        "HARD: a generator": (
            "def g():\n    a = 2 * X\n    yield a\n    b = a + 1\n    yield b\nc = [*g()]",
            [("a", 2, [2, 4]), ("b", 4, [3, 5])],
        ),
    }.values(),
)  # fmt: skip
def test_bound(source, expected):
    require_visible(source)
    recorder, _ = run(source, X=X)
    assert told(recorder) == expected
    assert not recorder.obstacle


@pytest.mark.parametrize(
    ("source", "expected"),
    {
        "by name": ("a = 2 * X\nb = a + 1", {"b": {"a"}}),
        "HARD: another name": ("a = 2 * X\nb = a\nc = b + 1", {"c": {"b"}}),
        "HARD: an argument": ("def f(x):\n    return x + 1\na = 2 * X\nb = f(a)", {"": {"x"}}),
        "HARD: what a function returns": (
            "def f(x):\n    return 2 * x\na = f(X) + 1", {"a": {""}},
        ),
        "HARD: a view": ("a = np.ones((2, 2))\na[:, 0] = X\nb = a[:, 0] + 1", {"b": {"a[:, 0]"}}),
        "HARD: not another column": (
            "a = np.zeros((2, 2))\na[:, 0] = X\na[:, 1] = 2 * X\nb = a[:, 1] + 1",
            {"b": {"a[:, 1]"}},
        ),
        "HARD: in a tuple": ("a = 2 * X\nc = (a, 3)\nd, _ = c\nb = d + 1", {"b": {"d"}}),
        "HARD: a whole number": ("m = 3\nb = X / m", {"b": {"m"}}),
        "HARD: item by item": (
            "a = [X, 2 * X]\nb = [x + 1 for x in a]", {"b[1]": {"a[1]"}},
        ),
    }.values(),
)  # fmt: skip
def test_reads(source, expected):
    require_visible(source)
    recorder, _ = run(source, X=X)
    for label, reads in expected.items():
        made = [b for b in recorder.bound if b.label == label][-1]
        found = {recorder.bound[k].label for k in made.reads}
        assert found & reads == reads
        assert not found - reads - {"a", "x"}


def test_nothing_is_kept_alive():
    recorder, namespace = run("a = 2 * X\ndef f():\n    b = a + 1\n    return b\nc = f()", X=X)
    kept = weakref.ref(namespace["c"])
    namespace.clear()
    gc.collect()
    assert kept() is None
    assert recorder.bound


def test_trace_function_is_put_back():
    run("a = 2 * X", X=X)
    assert sys.gettrace() is None


def test_statements_of_a_cell_are_made_once(monkeypatch):
    """IPython compiles each statement of a cell by itself."""
    made = []
    make = sources.statement_of
    monkeypatch.setattr(sources, "statement_of", lambda *a: made.append(a) or make(*a))
    source = "".join(f"a{k} = {k}.0 * X; b{k} = a{k} + X\n" for k in range(30))
    name = "<cell by statements>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"X": X}
    cell = compile(source, name, "exec", flags=ast.PyCF_ONLY_AST)
    with Recorder() as recorder:
        for node in cell.body:
            exec(compile(ast.Module([node], []), name, "exec"), namespace)  # noqa: S102 (a cell)
    assert len(told(recorder)) == len(made) == 60


def test_another_tracer_is_left_alone():
    """A debugger or coverage goes on as if nothing else were there, and that is said."""
    seen = []

    def tracer(frame, event, _):
        seen.append((frame.f_code.co_name, event))
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        recorder, _ = run("a = 2 * X", X=X)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert not recorder.bound
    assert recorder.obstacle == "a debugger or coverage traces the code, and is left alone"
    assert ("<module>", "call") in seen


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring came with Python 3.12")
def test_a_monitoring_tool_is_left_alone():
    sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "coverage")
    try:
        recorder, _ = run("a = 2 * X", X=X)
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.COVERAGE_ID)
    assert not recorder.bound
    assert recorder.obstacle == "coverage monitors the code, and is left alone"


def test_a_tracer_set_by_the_cell_stays():
    def tracer(*_):
        return None

    before = sys.gettrace()
    try:
        run("import sys\na = 2 * X\nsys.settrace(tracer)", X=X, tracer=tracer)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_errors_of_the_cell_pass_through():
    with pytest.raises(ZeroDivisionError):
        run("a = 2 * X\nb = 1 / 0", X=X)
    assert sys.gettrace() is None


def test_code_that_counts_references_is_not_followed():
    """An array cannot be resized in place while Python traces the code that does it."""
    source = "a = 2 * X\ndef f():\n    a = np.ones(2)\n    a.resize(3)\n    return 2 * a\nb = f()"
    recorder, namespace = run(source, X=X)
    assert namespace["b"].tolist() == [2, 2, 0]
    assert [bound.label for bound in recorder.bound] == ["a"]
    assert recorder.obstacle == (
        "it calls a function that counts references to arrays, such as resize"
    )


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("gradcheck_magic._backward.record.MOST_RECORDED_BYTES", 1000)
    recorder, _ = run("a = 2 * X\nb = np.ones(1000)\nc = 3 * X", X=X)
    assert [bound.label for bound in recorder.bound] == ["a"]
    assert recorder.obstacle == "it binds too many arrays to keep a copy of each"


def test_time_is_bounded(monkeypatch):
    """A cell that runs many statements is followed only so far; unless that is asked for."""
    source = "for k in range(1000):\n    a = k * X"
    monkeypatch.setattr("gradcheck_magic._backward.record.ALLOWANCE", -1.0)
    short, _ = run(source, recorder=Recorder(share=0.0), X=X)
    assert not short.bound
    assert short.obstacle == (
        "to record all that it binds would slow it down; %%gradcheck --trace takes that time"
    )
    full, _ = run(source, X=X)
    assert len(full.bound) == 1000
    assert not full.obstacle
