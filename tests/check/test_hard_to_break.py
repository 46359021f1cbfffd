"""Any input at all gives a correct answer or a one-line error, and changes nothing."""

import decimal
import json
import math
import random
import signal
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import MagicMock

import hypothesis.extra.numpy as arrays_of
import hypothesis.strategies as st
import matplotlib as mpl
import numpy as np
import odd_things as odd
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from odd_rows import (
    CONTAINERS,
    COSTS,
    FUNCTIONS,
    GRADIENT_FUNCTIONS,
    GRADIENTS,
    OPTIONS,
    PARAMETERS,
    RETURNS,
    TWO_LINES,
    grads,
    number,
    params,
)
from odd_things import gradient, square
from throwing import THROWN, assert_one_line, throw, unchanged

from gradcheck_magic import (
    GradientCheck,
    InputError,
    Verdict,
    check_gradients,
    gradient_checking,
    step_curve,
)
from gradcheck_magic._report.text import text_report
from gradcheck_magic._report.text_style import TextStyle

# The least number of odd things that are tried, counting rows and examples.
ENOUGH = 2000


@pytest.fixture(params=["numpy's default", "everything raises"], autouse=True)
def strictness(request):
    """Keep the default of a notebook, or make every warning and floating-point error raise."""
    if request.param == "everything raises":
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def ticking(clock):
    """Let time pass at every look at the clock, so that any budget can be used up."""
    clock.tick = 1e-6


@pytest.mark.parametrize(("value", "expected"), PARAMETERS)
def test_parameters(value, expected):
    value = value()
    try:
        with np.errstate(all="ignore"):
            right = 2 * number(value)
    except Exception:  # noqa: BLE001 (it is not a number at all)
        right = np.ones(2)
    assert throw(check_gradients, {"W": value}, {"dW": right}, square).told == expected


@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long double is double here"
)
def test_beyond_a_double():
    huge, right = np.array([np.longdouble("1e4000"), 2.0]), np.array([2.0, 4.0])
    assert throw(check_gradients, {"W": huge}, {"dW": right}, square).told == (
        "`W[0]` is 1e+4000: the gradient can only be checked if every parameter is finite in "
        "double precision."
    )
    assert throw(check_gradients, {"W": right / 2}, {"dW": 2 * huge}, square).told == "BUG"


@pytest.mark.parametrize(("given", "expected"), CONTAINERS)
def test_containers(given, expected):
    assert throw(check_gradients, *given(), square).told == expected


@pytest.mark.parametrize(("value", "expected"), GRADIENTS)
def test_gradients(value, expected):
    assert throw(check_gradients, params(), grads(dW=value()), square).told == expected


@pytest.mark.parametrize(("returned", "expected"), RETURNS)
def test_returns(returned, expected):
    def cost_function(p):
        return returned(p)

    assert throw(check_gradients, params(), grads(), cost_function).told == expected


@pytest.mark.parametrize(("cost", "expected"), COSTS)
def test_costs(cost, expected):
    assert throw(check_gradients, params(), grads(), cost()).told == expected


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS)
def test_functions(function, expected):
    assert throw(check_gradients, params(), grads(), function()).told == expected


@pytest.mark.parametrize(("function", "expected"), GRADIENT_FUNCTIONS)
@pytest.mark.parametrize("points", [1, 3])
def test_gradient_functions(function, expected, points):
    assert throw(check_gradients, params(), function(), square, points=points).told == expected


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_options(options, expected):
    assert throw(check_gradients, params(), grads(), square, **options()).told == expected


def scan(*args):
    return check_gradients(*args, mode="scan")


def curve(params, grads, cost):
    return step_curve(params, grads, cost, "W[0]")


@pytest.mark.parametrize("strictness", ["numpy's default"], indirect=True)
@pytest.mark.parametrize("door", [gradient_checking, curve, scan])
@pytest.mark.parametrize(("given", "expected"), CONTAINERS)
def test_other_doors(given, expected, door):
    """The other public functions refuse the same input."""
    outcome = throw(door, *given(), square)
    assert outcome.error is None or isinstance(outcome.error, InputError)
    if expected == "CORRECT" and door is not curve:
        assert outcome.error is None


def test_in_a_thread():
    """In a thread, no signal handler can be set, and nothing else is different."""
    with ThreadPoolExecutor(1) as pool:
        for cost in (square, odd.checks_another, odd.runs_pool):
            done = pool.submit(throw, check_gradients, params(), grads(), cost)
            assert done.result().told == "CORRECT"


# An error of the cost is the user's, and comes out unchanged.

ERRORS = [
    ValueError("two\nlines"),
    ValueError("\ud800"),
    SystemExit(3),
    odd.Base("base"),
    GeneratorExit(),
    StopIteration(5),
    StopAsyncIteration(),
    odd.WithoutStr(),
    odd.WithoutNotes(),
    odd.Frozen(),
    MemoryError(),
    RecursionError(),
    ExceptionGroup("group", [ValueError("one")]),
    AssertionError(),
    InputError("the user's own"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"),
    KeyError("W"),
    UserWarning("warned"),
    SyntaxError("odd", ("file", 1, 1, "x")),
    np.linalg.LinAlgError("Singular matrix"),
    TypeError("odd"),
    NameError("W"),
]


@pytest.mark.parametrize("after", [0, 2, 20, 25])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_raised(error, after):
    """The error comes at θ or in the middle of the pass."""
    outcome = throw(check_gradients, params(), grads(), odd.raising(error, after))
    assert outcome.error is error


@pytest.mark.parametrize("after", [0, 20])
def test_interrupted(after):
    outcome = throw(check_gradients, params(), grads(), odd.raising(KeyboardInterrupt(), after))
    assert outcome.told == "GradientCheckInterrupted"


# Anything that a cost does to the process has the same effect as without a check.


@pytest.fixture
def process(monkeypatch):
    """Restore everything that a cost may change in the process."""
    states = np.random.get_state(), random.getstate(), signal.getsignal(signal.SIGINT)
    limit = sys.getrecursionlimit()
    monkeypatch.setenv("ODD_THINGS", "0")
    with np.errstate(), warnings.catch_warnings(), mpl.rc_context():
        yield
    np.random.set_state(states[0])
    random.setstate(states[1])
    signal.signal(signal.SIGINT, states[2])
    sys.setrecursionlimit(limit)


SETTERS = [odd.sets_errors, odd.sets_style, odd.sets_environment, odd.sets_recursion]


@pytest.mark.parametrize("cost", SETTERS, ids=lambda cost: cost.__name__)
def test_settings_of_the_cost(process, cost):
    cost(params())
    assert throw(check_gradients, params(), grads(), cost).told == "CORRECT"


def test_warning_filters_of_the_cost(process):
    THROWN["check_gradients"] += 1
    assert check_gradients(params(), grads(), odd.sets_filters).passed


def test_signal_handler_of_the_cost(process):
    """It stays, although the check has handlers of its own, and puts the others back."""
    THROWN["check_gradients"] += 1
    assert check_gradients(params(), grads(), odd.sets_signal).passed
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


RANDOM = [
    pytest.param(odd.draws_and_forgets, "CORRECT", id="draws and forgets"),
    pytest.param(odd.seeds, "CORRECT", id="seeds"),
]


@pytest.mark.parametrize(("cost", "expected"), RANDOM)
def test_random_state(process, cost, expected):
    assert throw(check_gradients, params(), grads(), cost).told == expected


@pytest.mark.parametrize("cost", [odd.draws, odd.drops_out], ids=lambda cost: cost.__name__)
def test_random_cost(process, cost):
    np.random.seed(3)
    with pytest.raises(InputError, match="for the same parameters: it is random"):
        check_gradients(params(), grads(), cost)


# Arrays that share memory


def test_sharing_noted():
    p = odd.overlapping()
    check = throw(check_gradients, p, gradient(p), square).check
    assert "`a` and `b` share memory: each was moved individually, in a copy." in check.notes


SHARED = [
    pytest.param(odd.overlapping, "`a` and `b`", id="overlap"),
    pytest.param(lambda: dict.fromkeys("ab", np.ones(2)), "`a` and `b`", id="one array twice"),
    pytest.param(
        lambda: {"a": np.lib.stride_tricks.as_strided(np.ones(2), (3,), (0,))}, "`a`",
        id="in itself",
    ),
]  # fmt: skip


@pytest.mark.parametrize("call", ["auto", "closure"])
@pytest.mark.parametrize(("given", "which"), SHARED)
def test_sharing_in_the_notebook(given, which, call):
    """Moving one of them moves the other."""
    p = given()
    told = throw(check_gradients, p, gradient(p), lambda: square(p), call=call).told
    assert told.startswith(f"`cost_function` reads {which} from the notebook, but some entries")
    assert "share memory: moving one moves the other." in told


def test_interlocking_in_the_notebook():
    """Parts of one vector that do not overlap are fine."""
    flat = np.arange(1.0, 9)
    p = {"even": flat[::2], "odd": flat[1::2], "last": np.array([-0.0])}
    assert throw(check_gradients, p, gradient(p), lambda: square(p)).told == "CORRECT"


# Names, all the way to the front end

NAMES = [
    "W 1", "<script>alert(1)</script>", "</td><b>", "&amp;", "two\nlines", "two\r\nlines",
    "two\u2028lines", '"quoted"', "'quoted'", "`W`", "W😀", "👩\u200d🔬", "\ud800", "W\udfff",
    "\ud83d", "W\x00", "\x1b[31mred", "x" * 10_000, "\u202eabc", "\u200b", "\ufeffW", "", " ", "\t",
    "权重", "é", "e\u0301", "{0}", "{W}", "%s", "$x$", "$\\frac{", "\\", "\\n", "W[0]", "W[0, 1]",
    "a.b", "params", "grads", "-W", "--only", "W,b", "None", "nan", "_", "d", "d_", "__class__",
    "θ", "#", "]]>", "${x}", "{{x}}", "javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
def test_names(name, factor):
    p = {name: np.array([1.0, 2.0]), "b": np.array([0.5])}
    check = throw(check_gradients, p, gradient({name: factor * p[name], "b": p["b"]}), square).check
    assert check.verdict is (Verdict.CORRECT if factor == 1 else Verdict.BUG)
    spoken = check.parameters[0].name
    assert spoken.isprintable()
    assert_one_line(check.headline())
    for shown in (str(check), repr(check), json.dumps(check.to_dict(), ensure_ascii=False)):
        shown.encode("utf-8")
    text_report(check, TextStyle("ascii")).encode("ascii")
    again = throw(check_gradients, p, gradient(p), square, only=[spoken]).check
    assert [parameter.name for parameter in again.parameters] == [spoken]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
def test_names_in_errors(name):
    p = {name: np.array([1.0, math.nan])}
    assert isinstance(throw(check_gradients, p, p, square).error, InputError)
    p = {name: np.array([1.0, 2.0])}
    assert isinstance(throw(check_gradients, p, {f"q{name}": p[name]}, square).error, InputError)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\ud800", "a\nb", "\u202eabc"])
def test_names_in_html(name):
    p = {name: np.array([1.0, 2.0])}
    check = check_gradients(p, {name: 3 * p[name]}, square)
    shown = check._repr_mimebundle_()
    assert name not in shown["text/html"]
    json.dumps(shown, ensure_ascii=False).encode("utf-8")
    curve = step_curve(p, {name: 2 * p[name]}, square, check.parameters[0].name, 0)
    json.dumps(curve.to_dict(), ensure_ascii=False).encode("utf-8")


# The magic


@pytest.mark.parametrize("strictness", ["numpy's default"], indirect=True)
class TestMagic:
    """The magic in a real shell."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("--only ''", "`only` selects no entries: choose from `W` and `b`."),
            ("-p )", "--params ')' is not an expression: unmatched ')'."),
            ("-p 1+", "--params '1+' is not an expression: invalid syntax."),
            ("-g (yield)", "--grads '(yield)' is not an expression: 'yield' outside function."),
            ("-o class", "`-o` is class: expected a name."),
            ("-o __builtins__", "`-o` is __builtins__: expected a name."),
            ("'", "the quote ' in `'` is never closed: write ' where the value ends."),
            ("-p '\ud800'", "surrogates not allowed."),
        ],
    )  # fmt: skip
    def test_lines(self, shell, line, expected):
        shell.user_ns.update(
            params=params(), grads=grads(), cost_function=square, _gradcheck="the one before"
        )
        THROWN["%gradcheck"] += 1
        error = shell.run_cell(f"%gradcheck {line}").error_in_exec
        assert expected in str(error)
        assert_one_line(str(error))
        assert shell.user_ns["_gradcheck"] is None

    @pytest.mark.parametrize("factor", [1, 3])
    def test_odd_namespace(self, shell, factor):
        """Other variables in the notebook are looked at, and not harmed."""
        things = {
            "proxy": odd.Proxy(), "any_name": odd.AnyName(), "mock": MagicMock(),
            "keys": odd.GetItem(a=1), "items": odd.Items(a=1), "endless": odd.endless_list(),
            "generator": (x for x in [1]), "long": 10**5000, "wild": {"\ud800": np.ones(7)},
            "number": odd.WithoutFloat(),
        }  # fmt: skip
        right = grads()
        given = {"params": params(), "grads": {name: factor * right[name] for name in right}}
        shell.user_ns.update(things | given)
        shell.run_cell(
            "def cost_function(p):\n"
            f"    {', '.join(things)}\n"
            "    return (p['W'] ** 2).sum() + (p['b'] ** 2).sum()"
        )
        THROWN["%gradcheck"] += 1
        with unchanged(*things.values(), *given.values()):
            shell.run_cell("%gradcheck -q").raise_error()
        assert shell.user_ns["_gradcheck"].passed is (factor == 1)

    @pytest.mark.parametrize("error", [odd.Base("odd"), RecursionError("odd")])
    @pytest.mark.parametrize("depth", [0, 600])
    def test_nothing_of_ours_in_a_traceback(self, shell, capsys, error, depth):
        def cost(p, depth=depth):
            if depth:
                return cost(p, depth - 1)
            raise error

        shell.user_ns.update(params=params(), grads=grads(), cost_function=cost)
        THROWN["%gradcheck"] += 1
        shell.run_cell("%gradcheck -c 'lambda p: cost_function(p)'")
        shown = capsys.readouterr().out
        assert "odd" in shown
        assert "evaluation.py" not in shown

    def test_within_itself(self, shell):
        """A cost may use the magic to make its own check."""
        shell.user_ns.update(params=params(), grads=grads(), square=square)
        shell.run_cell("x, dx = {'W': params['W']}, {'dW': grads['dW']}")
        shell.run_cell(
            "def cost_function(p):\n"
            "    get_ipython().run_line_magic('gradcheck', '-q -p x -g dx -c square')\n"
            "    return square(p)"
        )
        THROWN["%gradcheck"] += 1
        shell.run_cell("%gradcheck -q").raise_error()
        assert shell.user_ns["_gradcheck"].passed


# Everything mixed

DTYPES = ["f2", "f4", "f8", ">f8", "g", "i1", "i8", "u8", "?", "c16", "O"]
LAYOUTS = {
    "as it is": lambda a: a,
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[tuple(slice(None, None, -1) for _ in a.shape)],
    "Fortran order": np.asfortranarray,
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2] if a.ndim else a,
    "a subclass": lambda a: a.view(odd.Plain),
    "a list": lambda a: a.tolist(),
    "a number": lambda a: a.ravel()[0] if a.size else a,
}
NUMBERS = st.one_of(
    st.floats(-100, 100, width=16),
    st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 1e-310, 1e300, -1e154]),
)
ODD_VALUES = st.sampled_from(
    [None, "tanh", True, 1j, 2**70, b"x", math.sqrt, odd.AnyName(),
     odd.endless_list(), odd.endless_dict(), {1.0}, range(2), pd.Series([1.0]), np.ma.ones(2)]
)  # fmt: skip
KEYS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["W", "b", "dW", "\ud800", "a\nb", "W[0]"]),
    st.integers(-2, 2),
    st.sampled_from([None, True, (1, 2), 1.5, b"W", TWO_LINES]),
)


@st.composite
def odd_arrays(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    values = draw(st.lists(NUMBERS, min_size=math.prod(shape), max_size=math.prod(shape)))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = np.array(values, dtype=np.float64).reshape(shape).astype(dtype)
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](array)


CONTAINERS_OF = st.recursive(
    st.one_of(odd_arrays(), odd_arrays(), ODD_VALUES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: odd.Layer(*pair)),
        st.dictionaries(KEYS, inner, max_size=3),
        st.lists(inner, max_size=2).map(iter),
    ),
    max_leaves=4,
)
RETURNED = st.sampled_from(
    [None, "x", 1j, math.nan, math.inf, 10**400, (1.0, 2), [1.0], np.ones(2), True,
     odd.WithoutFloat(), np.ma.masked, decimal.Decimal(1), odd.endless_list(), 1e308]
)  # fmt: skip
CHANGES = st.sampled_from(
    [odd.adds_one, odd.replaces, odd.adds_a_key, odd.reshapes, odd.protects, odd.fills, dict.clear]
)
ODD_COSTS = st.one_of(
    st.just(square),
    st.builds(odd.raising, st.sampled_from(ERRORS), st.integers(0, 40)),
    st.builds(lambda n, change: lambda: odd.once(n, change), st.integers(0, 40), CHANGES).map(
        lambda make: make()
    ),
    RETURNED.map(lambda value: lambda p: value),
    RETURNED.map(odd.around),
    st.just(lambda *args, **kwargs: square(list(args) or kwargs)),
    st.just(lambda: 1.0),
)
ODD_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "epsilon": st.sampled_from([1e-7, 1e-3, 0, "x", math.nan, 1e300, 5e-324, None]),
        "mode": st.sampled_from(["auto", "full", "scan", "fast", None]),
        "call": st.sampled_from(["auto", "flat", "structured", "arguments", "closure", 3]),
        "only": st.sampled_from([None, ["W"], [], "b", 3, ["\ud800"]]),
        "names": st.sampled_from([None, ["a"], ["a", "b"], {"a": 1}, 3]),
        "seed": st.sampled_from([0, 7, -1, "x"]),
        "upstream": st.sampled_from([None, 1.0, np.ones(2), "x", math.nan]),
        "budget": st.sampled_from([None, 30, 1e-9, 0]),
        "points": st.sampled_from([1, 2, 0]),
    },
)
OURS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def right_or_one_line(outcome, cost):
    """Assert that the outcome is a check, our one-line error, or the error of the user's code."""
    if outcome.error is None:
        assert isinstance(outcome.check, GradientCheck)
        str(outcome.check).encode("utf-8")
        json.dumps(outcome.check.to_dict(), ensure_ascii=False).encode("utf-8")
    elif isinstance(outcome.error, InputError):
        assert "`" in outcome.told or outcome.error in ERRORS
    else:
        frames = outcome.error.__traceback__
        while frames.tb_next:
            frames = frames.tb_next
        assert "gradcheck_magic" not in frames.tb_frame.f_code.co_filename, outcome.error


@pytest.mark.parametrize("strictness", ["numpy's default"], indirect=True)
class TestMixed:
    """Random mixtures of all of the above."""

    @settings(OURS, max_examples=200)
    @given(CONTAINERS_OF, CONTAINERS_OF, ODD_OPTIONS)
    def test_containers(self, params, grads, options):
        right_or_one_line(throw(check_gradients, params, grads, square, **options), square)

    @settings(OURS, max_examples=150)
    @given(ODD_COSTS, ODD_OPTIONS)
    def test_costs(self, cost, options):
        right_or_one_line(throw(check_gradients, params(), grads(), cost, **options), cost)

    @settings(OURS, max_examples=200)
    @given(st.lists(st.tuples(KEYS, odd_arrays()), min_size=1, max_size=3), ODD_OPTIONS)
    def test_right_gradients(self, pairs, options):
        """Correct gradients are never called wrong, whatever the arrays look like."""
        try:
            p = dict(pairs)
            right = {key: 2 * number(value) for key, value in p.items()}
        except (
            TypeError,
            ValueError,
            OverflowError,
            FloatingPointError,
            np.exceptions.ComplexWarning,
        ):
            assume(False)
        options.pop("upstream", None)
        outcome = throw(check_gradients, p, right, square, **options)
        right_or_one_line(outcome, square)
        if outcome.error is None and all(np.all(np.isfinite(g)) for g in right.values()):
            assert outcome.check.verdict is not Verdict.BUG


def test_enough(request):
    """This file tries thousands of odd things; most are tried twice."""
    chosen = request.config.option.keyword or any("::" in arg for arg in request.config.args)
    if chosen and THROWN.total() < ENOUGH:
        pytest.skip("only some were thrown")
    assert THROWN.total() >= ENOUGH
