"""The reference is made from the docstrings, which agree with the options and signatures."""

import dataclasses
import inspect
import re
from functools import cached_property
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
    told_default,
)

import gradcheck_magic as package
from gradcheck_magic import GradientCheck, check_gradients, step_curve
from gradcheck_magic._inputs.request import Call, Mode
from gradcheck_magic._notebook.magic import HELP, GradcheckMagics
from gradcheck_magic._notebook.option_line import read_options
from gradcheck_magic._notebook.options import FLAGS

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
# The numpydoc rules by which a docstring must agree with its signature: the parameters, their
# order and their descriptions; what is returned and yielded, if it is described; and the first
# sentence.
RULES = re.compile("PR|RT0[2-5]|YD|SS0[1-5]|GL0[67]")


def test_page(request):
    """The page is up to date with the docstrings."""
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
    """All links lead to something on the page."""
    text = PAGE.read_text(encoding="utf-8")
    anchors = re.findall('<a id="(.*?)">', text)
    assert anchors == [anchor(name) for name in NAMES]
    linked = set(re.findall(r"\]\(#(.*?)\)", text))
    assert linked <= set(anchors)


def test_markdown():
    """No reStructuredText is left on the page."""
    prose = re.sub("```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    # Two backticks are correct if there is a single one between them.
    prose = re.sub("``[^`]+`[^`]+`[^`]+``", "", prose)
    assert not re.findall(r"``|::\s|:\w+:`|^\.\. |-{4}", prose, flags=re.MULTILINE)


# Docstrings


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_parameters(function):
    """All parameters are described, in their order, and no others."""
    found = validate(f"{function.__module__}.{function.__qualname__}")["errors"]
    assert [error for error in found if RULES.match(error[0])] == []


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_attributes(kind):
    """All fields are described, and what is computed from them once, and nothing else."""
    told = [name for item in parsed(kind)["Attributes"] for name in item.name.split(", ")]
    held = [field.name for field in dataclasses.fields(kind)]
    held += [name for name, value in vars(kind).items() if isinstance(value, cached_property)]
    assert sorted(told) == sorted(name for name in held if not name.startswith("_"))


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
    """There is an example, which runs with the other doctests."""
    assert ">>> " in "\n".join(parsed(thing)["Examples"])


def test_verdicts():
    """All verdicts are explained."""
    told = {item.name for item in parsed(package.Verdict)["Attributes"]}
    assert told == {verdict.name for verdict in package.Verdict}


# The options of the magic, and the parameters of the function

KEYWORDS = inspect.signature(check_gradients).parameters
# Options that have another name in the function.
RENAMED = {"cost": "cost_function"}
# Only the magic has these: how a result is shown, and when a check is made.
OF_NOTEBOOKS = {"display", "out", "quiet", "strict", "watch", "unwatch"}
# Only the function has these: the magic finds them out, or shows them, by itself.
OF_PROGRAMS = {"names", "progress", "previous", "arguments"}
OPTIONS = {option.name: option for option in options()}
SHARED = [name for name in OPTIONS if name not in OF_NOTEBOOKS]


def test_same_names():
    assert {RENAMED.get(name, name) for name in SHARED} == set(KEYWORDS) - OF_PROGRAMS


@pytest.mark.parametrize("name", SHARED)
def test_same_defaults(name):
    """The magic, the function and the help have the same defaults."""
    traits = GradcheckMagics.class_traits(config=True)
    default = KEYWORDS[RENAMED.get(name, name)].default
    _, told = told_default(OPTIONS[name])
    if default is inspect.Parameter.empty:
        # The default is a name in the notebook.
        assert told == traits[name].default_value
        return
    assert name not in traits or traits[name].default_value == default
    if default in {"auto", 0} and default is not False:
        assert told == str(default)


@pytest.mark.parametrize(("name", "kind"), [("mode", Mode), ("call", Call)])
def test_same_choices(name, kind):
    """The option, its help, the type and the docstring have the same choices, the default first."""
    choices = set(get_args(kind))
    assert set(FLAGS[f"--{name}"].kind.choices) == choices
    assert choices - {"auto"} <= set(re.findall(r"\w+", OPTIONS[name].help))
    (item,) = (item for item in parsed(check_gradients)["Parameters"] if item.name == name)
    default, *others = re.findall('"(.*?)"', item.type)
    assert default == KEYWORDS[name].default
    assert {default, *others} == choices


def test_same_in_a_step_curve():
    """The parameters that it shares with the check have the same defaults."""
    shared = inspect.signature(step_curve).parameters.keys() & KEYWORDS.keys()
    assert shared >= {"params", "grads", "cost_function", "names", "call", "upstream", "seed"}
    for name in shared:
        assert inspect.signature(step_curve).parameters[name].default == KEYWORDS[name].default


# `%gradcheck?`


@pytest.fixture
def helped(shell):
    """Return what `%gradcheck?` shows, without colours."""
    with capture_output() as captured:
        shell.run_line_magic("pinfo", "%gradcheck")
    return re.sub(r"\x1b\[\d+m", "", captured.stdout)


def test_help(helped):
    """The help fits a terminal, describes every option, and says where to read more."""
    shown = [line for line in helped.splitlines() if not line.startswith("File:")]
    assert max(map(len, shown)) <= 80
    assert HELP.strip() in helped
    words = " ".join(helped.split())
    for option in options():
        assert option.help in words
    assert "`gradcheck_magic.check_gradients`" in helped


LINES = re.findall("^    (%+)(gradcheck|config)(.*)", HELP, flags=re.MULTILINE)


@pytest.mark.parametrize(("signs", "magic", "line"), LINES)
def test_lines_in_the_help(signs, magic, line):
    """The magic understands the lines in its help."""
    if magic == "gradcheck":
        read_options(line)
    else:
        (name,) = re.findall(r"GradcheckMagics\.(\w+) = ", line)
        assert name in GradcheckMagics.class_trait_names(config=True)
