"""The reference is made of the docstrings; these, the options and the signatures agree."""

import dataclasses
import inspect
import re
from typing import get_args

import pytest
from IPython.utils.capture import capture_output
from numpydoc.validate import validate
from reference import (
    GROUPS,
    NAMES,
    PAGE,
    anchor,
    options,
    page,
    parsed,
    parser,
    told_default,
)

import gradcheck_magic as package
from gradcheck_magic import GradientCheck, check_gradients, step_curve
from gradcheck_magic._inputs.request import Call, Mode
from gradcheck_magic._notebook.magic import HELP, GradcheckMagics
from gradcheck_magic._notebook.option_line import read_options
from gradcheck_magic._notebook.options import CALLS

THINGS = [thing for things in GROUPS.values() for thing in things]
FUNCTIONS = [
    *filter(inspect.isfunction, THINGS),
    *(
        held
        for thing in filter(inspect.isclass, THINGS)
        for name, held in vars(thing).items()
        if inspect.isfunction(held) and not name.startswith("_")
    ),
]
RESULTS = [thing for thing in THINGS if dataclasses.is_dataclass(thing)]
# What a signature and a docstring must agree in, by the names that numpydoc gives to it: the
# parameters, their order and their descriptions; what is returned and raised, if it is told; and
# the first sentence.
RULES = re.compile("PR|RT0[2-5]|YD|SS0[1-5]|GL0[67]")


def test_page(request):
    """It is what the docstrings make of it."""
    if request.config.getoption("update_golden"):
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    is_new = PAGE.read_text(encoding="utf-8") == page()
    assert is_new, (
        "docstrings have changed: write the page anew with `python tests/support/reference.py`"
    )


def test_all_names_are_there():
    assert set(package.__all__) <= set(NAMES)
    assert len(NAMES) == len(set(map(anchor, NAMES)))


def test_links():
    """They lead to something on the page."""
    text = PAGE.read_text(encoding="utf-8")
    anchors = re.findall('<a id="(.*?)">', text)
    assert anchors == [anchor(name) for name in NAMES]
    linked = set(re.findall(r"\]\(#(.*?)\)", text))
    assert linked <= set(anchors)


def test_markdown():
    """Nothing of reStructuredText is left in it."""
    prose = re.sub("```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    # Two backticks are right where one stands between them.
    prose = re.sub("``[^`]+`[^`]+`[^`]+``", "", prose)
    assert not re.findall(r"``|::\s|:\w+:`|^\.\. |-{4}", prose, flags=re.MULTILINE)


# Docstrings


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_parameters(function):
    """They are told of, in their order, and no others."""
    found = validate(f"{function.__module__}.{function.__qualname__}")["errors"]
    assert [error for error in found if RULES.match(error[0])] == []


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_attributes(kind):
    """All fields are told of, and no others."""
    told = [name for item in parsed(kind)["Attributes"] for name in item.name.split(", ")]
    assert sorted(told) == sorted(field.name for field in dataclasses.fields(kind))


@pytest.mark.parametrize(
    "thing",
    [
        check_gradients,
        package.gradient_checking,
        step_curve,
        GradientCheck,
        GradientCheck.close_up,
        GradientCheck.raise_if_failed,
        GradientCheck.to_dict,
    ],
    ids=lambda thing: thing.__qualname__,
)
def test_examples(thing):
    """There is one, which is run with the other doctests."""
    assert ">>> " in "\n".join(parsed(thing)["Examples"])


def test_verdicts():
    """All of them are explained."""
    told = {item.name for item in parsed(package.Verdict)["Attributes"]}
    assert told == {verdict.name for verdict in package.Verdict}


# The options of the magic, and the parameters of the function

KEYWORDS = inspect.signature(check_gradients).parameters
# By another name in the function.
RENAMED = {"cost": "cost_function"}
# How a result is shown, and when a check is made.
OF_NOTEBOOKS = {"display", "out", "quiet", "strict", "watch", "unwatch"}
# What the magic finds out, and says, by itself.
OF_PROGRAMS = {"names", "progress", "previous"}
OPTIONS = {action.dest: action for action in options()}
SHARED = [name for name in OPTIONS if name not in OF_NOTEBOOKS]


def test_same_names():
    assert {RENAMED.get(name, name) for name in SHARED} == set(KEYWORDS) - OF_PROGRAMS


@pytest.mark.parametrize("name", SHARED)
def test_same_defaults(name):
    """What is not said means the same to both, and to whoever reads the help."""
    traits = GradcheckMagics.class_traits(config=True)
    default = KEYWORDS[RENAMED.get(name, name)].default
    _, told = told_default(OPTIONS[name])
    if default is inspect.Parameter.empty:
        # A name in the notebook.
        assert told == traits[name].default_value
        return
    assert OPTIONS[name].default is None
    assert name not in traits or traits[name].default_value == default
    if default in {"auto", 0}:
        assert told == str(default)


@pytest.mark.parametrize(("name", "kind"), [("mode", Mode), ("call", Call)])
def test_same_choices(name, kind):
    """In the option, its help, the type, and the docstring, where the default comes first."""
    choices = set(get_args(kind))
    assert set(OPTIONS[name].choices) == choices
    assert choices - {"auto"} <= set(re.findall(r"\w+", OPTIONS[name].help))
    (item,) = (item for item in parsed(check_gradients)["Parameters"] if item.name == name)
    default, *others = re.findall('"(.*?)"', item.type)
    assert default == KEYWORDS[name].default
    assert {default, *others} == choices
    assert set(CALLS) == set(get_args(Call))


def test_same_in_a_step_curve():
    """What it shares with the check has the same default."""
    shared = inspect.signature(step_curve).parameters.keys() & KEYWORDS.keys()
    assert shared >= {"params", "grads", "cost_function", "names", "call", "upstream", "seed"}
    for name in shared:
        assert inspect.signature(step_curve).parameters[name].default == KEYWORDS[name].default


# `%gradcheck?`


@pytest.fixture
def helped(shell):
    """What it shows, without colours."""
    with capture_output() as captured:
        shell.run_line_magic("pinfo", "%gradcheck")
    return re.sub(r"\x1b\[\d+m", "", captured.stdout)


def test_help(helped):
    """It fits a terminal, and tells of every option, and where more is told."""
    shown = [line for line in helped.splitlines() if not line.startswith("File:")]
    assert max(map(len, shown)) <= 80
    assert HELP.strip() in helped
    words = " ".join(helped.split())
    for action in options():
        assert action.help in words
    assert "`gradcheck_magic.check_gradients`" in helped


LINES = re.findall("^    (%+)(gradcheck|config)(.*)", HELP, flags=re.MULTILINE)


@pytest.mark.parametrize(("signs", "magic", "line"), LINES)
def test_lines_in_the_help(signs, magic, line):
    """They are understood."""
    if magic == "gradcheck":
        read_options(parser(), line)
    else:
        (name,) = re.findall(r"GradcheckMagics\.(\w+) = ", line)
        assert name in GradcheckMagics.class_trait_names(config=True)
